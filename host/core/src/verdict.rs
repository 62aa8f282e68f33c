//! Judging a call: on its arguments before it runs, and on its staged changes before they are applied.
//!
//! Promise: any deny is final; a boundary's ask is a person's each time; a user's ask yields only to an
//! allowance made from that very ask; then any allow; then the default by category. `judge` is total and pure.
//!
//! Not here: asking (the loop does), policy components.

use crate::change::Manifest;
use crate::grant::{AccessKind, Capability, HttpScope, Methods};
use crate::item::{Category, Effects, ToolSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much a person wants to be asked in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApproveMode {
    /// Refuse every change.
    None,
    /// Ask before every change.
    #[default]
    Ask,
    /// Allow changes of files inside the workspace.
    Edits,
    /// Allow all that no boundary or rule denies.
    All,
}

impl ApproveMode {
    /// What this mode leaves of what a component was granted.
    ///
    /// A mode that refuses every change lets files and values be read only (`/scratch` is nobody's and may be
    /// written), and requests only of the methods that are safe by definition (RFC 9110, 9.2.1: GET and HEAD;
    /// OPTIONS and TRACE are of no use to a tool). The other modes take nothing away: changes are judged when they
    /// are known.
    pub fn narrows(self, granted: Vec<Capability>) -> Vec<Capability> {
        match self {
            Self::None => {
                let mut narrowed: Vec<Capability> = Vec::with_capacity(granted.len());
                for capability in granted.into_iter().filter_map(without_changes) {
                    if !narrowed.contains(&capability) {
                        narrowed.push(capability);
                    }
                }
                narrowed
            }
            Self::Ask | Self::Edits | Self::All => granted,
        }
    }
}

fn without_changes(capability: Capability) -> Option<Capability> {
    let safe = || Methods::Only(vec!["GET".to_owned(), "HEAD".to_owned()]);
    let is_scratch = |path: &str| path == "/scratch" || path.starts_with("/scratch/");
    Some(match capability {
        Capability::Filesystem { path, .. } if !is_scratch(&path) => {
            Capability::Filesystem { access: AccessKind::Read, path }
        }
        Capability::Kv { scope, .. } => Capability::Kv { access: AccessKind::Read, scope },
        Capability::Http(scope) => {
            let methods = scope.methods.meet(&safe())?;
            Capability::Http(HttpScope { methods, ..scope })
        }
        // A secret goes into requests that are left; a tool that is called is judged as any other.
        other @ (Capability::Filesystem { .. }
        | Capability::Secret(_)
        | Capability::Env { .. }
        | Capability::Tool { .. }
        | Capability::Question
        | Capability::Limit { .. }) => other,
    })
}

/// Allow, ask or deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// It may happen.
    Allow,
    /// A person decides.
    Ask,
    /// It may not happen.
    Deny,
}

/// Who speaks, in the order of design: hard boundaries, the user's rules, grants and allowances, defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Voice {
    /// A hard boundary of the host.
    Boundary,
    /// A rule of the machine's, user's or project's configuration, or the approve mode the user chose.
    User,
    /// The mode: the tools that it offers, and its policy component.
    Mode,
    /// What a person allowed before.
    Allowance,
    /// The default for the category.
    Default,
}

/// A judgement with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// Allow, ask or deny.
    pub kind: VerdictKind,
    /// Whose word it is.
    pub voice: Voice,
    /// The rule's id.
    pub rule: String,
    /// Words for people and for the model.
    pub words: String,
}

/// A rule of the user's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    /// Its id, as in the configuration.
    pub id: String,
    /// The tool it is about; none for any.
    pub tool: Option<String>,
    /// The category it is about; none for any.
    pub category: Option<Category>,
    /// What it says.
    pub verdict: VerdictKind,
    /// Words for people and for the model.
    pub reason: String,
}

impl Rule {
    fn covers(&self, tool: &ToolSpec) -> bool {
        // A category is the component's own word: whatever makes requests is held to what is said of the network.
        let is_network = tool.effects == Effects::Requesting && self.verdict != VerdictKind::Allow;
        let covers = |it| it == tool.category || (it == Category::Network && is_network);
        self.tool.as_ref().is_none_or(|name| *name == tool.name) && self.category.is_none_or(covers)
    }
}

/// What a person allowed for later calls: a tool, within the session, as an answer to the ask of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Allowance {
    /// The tool it covers.
    pub tool: String,
    /// The rule whose ask it answered.
    pub rule: String,
}

/// What is judged.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// The arguments, before the call runs.
    Arguments,
    /// The staged changes, before they are applied.
    Staged(&'a Manifest),
}

/// What the mode says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeAnswer {
    /// Allow, ask or deny.
    pub kind: VerdictKind,
    /// The rule's id.
    pub rule: String,
    /// Words for people and for the model.
    pub words: String,
}

/// Everything a judgement depends on besides the subject.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// How much the person wants to be asked.
    pub approve: ApproveMode,
    /// The user's rules.
    pub rules: &'a [Rule],
    /// What was allowed before.
    pub allowances: &'a [Allowance],
    /// What the mode says; none where it has no opinion.
    pub mode: Option<&'a ModeAnswer>,
}

/// The folder in a workspace that holds the host's own configuration.
pub const HOST_FOLDER: &str = ".harness-host";
/// Folders whose change asks a person each time: version control's own files can run code.
const ASK_FOLDERS: &[&str] = &[".git"];

impl Judge<'_> {
    /// The verdict on a call of `tool`.
    pub fn judge(&self, tool: &ToolSpec, subject: Subject<'_>) -> Verdict {
        let voices = self.voices(tool, subject);
        decide_among(&voices, self.allowances, &tool.name)
    }

    /// Every voice that speaks, for explanation.
    pub fn voices(&self, tool: &ToolSpec, subject: Subject<'_>) -> Vec<Verdict> {
        let mut voices = Vec::new();
        if let Subject::Staged(manifest) = subject {
            voices.extend(boundary(manifest));
        }
        // A tool whose effects are staged is harmless until its changes are judged, and one that makes
        // requests until it makes them, each judged by its grants: before it runs only a refusal counts.
        let harmless = matches!(subject, Subject::Arguments) && tool.effects != Effects::Direct;
        let unchanged = matches!(subject, Subject::Staged(manifest) if manifest.is_empty());
        let rules = self.rules.iter().filter(|rule| rule.covers(tool)).filter(|rule| match rule.verdict {
            VerdictKind::Deny => true,
            VerdictKind::Ask => {
                // An edit is asked about once, with its changes to look at; anything else before it runs.
                let before_it_runs = tool.category != Category::Edit && matches!(subject, Subject::Arguments);
                before_it_runs || !(harmless || unchanged)
            }
            VerdictKind::Allow => !harmless,
        });
        voices.extend(rules.map(|rule| Verdict {
            kind: rule.verdict,
            voice: Voice::User,
            rule: rule.id.clone(),
            words: rule.reason.clone(),
        }));
        voices.extend(self.mode.map(|answer| Verdict {
            kind: answer.kind,
            voice: Voice::Mode,
            rule: answer.rule.clone(),
            words: answer.words.clone(),
        }));
        voices.extend(self.approve_voice(tool, harmless, unchanged));
        voices.extend(self.allowances.iter().filter(|it| it.tool == tool.name).map(|it| Verdict {
            kind: VerdictKind::Allow,
            voice: Voice::Allowance,
            rule: format!("allowance.{}", it.tool),
            words: format!("allowed for {} in this session, as an answer to {}", it.tool, it.rule),
        }));
        voices.push(default_voice(tool, harmless, unchanged));
        voices
    }

    fn approve_voice(&self, tool: &ToolSpec, harmless: bool, unchanged: bool) -> Option<Verdict> {
        let changes = tool.category != Category::Read;
        let says = |kind, words: &str| {
            Some(Verdict {
                kind,
                voice: Voice::User,
                rule: format!("approve.{}", mode_word(self.approve)),
                words: words.to_owned(),
            })
        };
        match self.approve {
            ApproveMode::None if changes || !(harmless || unchanged) => {
                says(VerdictKind::Deny, "this session refuses every change; say what you would change instead.")
            }
            ApproveMode::Edits if !unchanged && !harmless && tool.effects != Effects::Direct => {
                says(VerdictKind::Allow, "changes inside the workspace are allowed in this session.")
            }
            ApproveMode::All => says(VerdictKind::Allow, "everything that nothing denies is allowed in this session."),
            ApproveMode::None | ApproveMode::Ask | ApproveMode::Edits => None,
        }
    }
}

fn mode_word(mode: ApproveMode) -> &'static str {
    match mode {
        ApproveMode::None => "none",
        ApproveMode::Ask => "ask",
        ApproveMode::Edits => "edits",
        ApproveMode::All => "all",
    }
}

fn boundary(manifest: &Manifest) -> Option<Verdict> {
    let within = |folder: &str| {
        manifest.entries().iter().find(|change| {
            // Some filesystems fold case: `.GIT` may be `.git`.
            change.path.split('/').any(|part| part.eq_ignore_ascii_case(folder))
        })
    };
    if let Some(change) = within(HOST_FOLDER) {
        return Some(Verdict {
            kind: VerdictKind::Deny,
            voice: Voice::Boundary,
            rule: "boundary.host-files".to_owned(),
            words: format!("{} belongs to the host's own configuration, which only a person changes.", change.path),
        });
    }
    let (folder, change) = ASK_FOLDERS.iter().find_map(|folder| within(folder).map(|change| (folder, change)))?;
    Some(Verdict {
        kind: VerdictKind::Ask,
        voice: Voice::Boundary,
        rule: "boundary.version-control".to_owned(),
        words: format!("{} belongs to {folder}, whose files can run code: a person decides each time.", change.path),
    })
}

fn default_voice(tool: &ToolSpec, harmless: bool, unchanged: bool) -> Verdict {
    let (kind, words) = if unchanged {
        (VerdictKind::Allow, "it changes nothing.")
    } else if harmless && tool.effects == Effects::Requesting {
        (VerdictKind::Allow, "its requests are judged when they are made.")
    } else if harmless && tool.category != Category::Read {
        (VerdictKind::Allow, "its changes are staged, and judged before they are put in place.")
    } else if harmless {
        (VerdictKind::Allow, "looking inside the workspace is allowed.")
    } else {
        match tool.category {
            Category::Read => (VerdictKind::Ask, "a tool that says it only reads wants to change something."),
            Category::Edit => (VerdictKind::Ask, "changing files asks."),
            Category::Execute => (VerdictKind::Ask, "running commands asks."),
            Category::Network => (VerdictKind::Ask, "reaching the network asks."),
            Category::Other => (VerdictKind::Ask, "this asks."),
        }
    };
    let category = match tool.category {
        Category::Read => "read",
        Category::Edit => "edit",
        Category::Execute => "execute",
        Category::Network => "network",
        Category::Other => "other",
    };
    Verdict { kind, voice: Voice::Default, rule: format!("default.{category}"), words: words.to_owned() }
}

/// The order of the design: any deny, a boundary's ask, a user's ask that no allowance answered, any allow, the default.
fn decide_among(voices: &[Verdict], allowances: &[Allowance], tool: &str) -> Verdict {
    let first = |test: &dyn Fn(&Verdict) -> bool| voices.iter().find(|verdict| test(verdict));
    let answered = |rule: &str| allowances.iter().any(|it| it.tool == tool && it.rule == rule);
    let chosen = first(&|v| v.kind == VerdictKind::Deny)
        .or_else(|| first(&|v| v.kind == VerdictKind::Ask && v.voice == Voice::Boundary))
        .or_else(|| first(&|v| v.kind == VerdictKind::Ask && v.voice == Voice::User && !answered(&v.rule)))
        .or_else(|| {
            let yields =
                |v: &Verdict| v.kind == VerdictKind::Allow && matches!(v.voice, Voice::User | Voice::Allowance);
            first(&|v| v.kind == VerdictKind::Ask && v.voice == Voice::Mode).filter(|_| !voices.iter().any(yields))
        })
        .or_else(|| first(&|v| v.kind == VerdictKind::Allow && v.voice != Voice::Default))
        .or_else(|| first(&|v| v.voice == Voice::Default));
    chosen.cloned().unwrap_or_else(|| Verdict {
        kind: VerdictKind::Deny,
        voice: Voice::Boundary,
        rule: "boundary.silence".to_owned(),
        words: "no voice spoke for it.".to_owned(),
    })
}
