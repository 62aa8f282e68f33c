//! Judging a call: on its arguments before it runs, and on its staged changes before they are applied.
//!
//! Promise: any deny is final; a boundary's ask is a person's each time; a user's ask yields only to an
//! allowance made from that very ask; a mode's ask yields to an allow rule or an allowance; then any allow, where
//! trust stands in for nothing but the default's ask; then the default by category. `judge` is total and pure.
//!
//! Not here: asking (the loop does), running a mode's policy (its answer is given), what earns trust.

mod allowance;
mod boundary;
mod explain;
mod rule;

use crate::change::Manifest;
use crate::command_line::SimpleCommand;
use crate::grant::{AccessKind, Capability, HttpScope, Methods};
use crate::ids::TimeMs;
use crate::item::{Category, Effects, ToolSpec};
use crate::pattern::{Arguments, is_harmless};
pub use allowance::{Allowance, Coverage, arguments_digest};
pub use boundary::{DELETIONS_UNASKED_FILES_MAX, HOST_FOLDER};
pub use explain::{Explanation, Heard, Silence, SilentRule, Standing};
pub use rule::{Example, ExampleFault, Rule, RuleLayer, test_examples};
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

/// Who speaks. Which word counts is a question of the order, see the module.
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
    /// Trust that was earned.
    Trust,
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

/// What the policy of the session's mode said of a call, or of its staged changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModeAnswer {
    /// What it said.
    pub kind: VerdictKind,
    /// The policy's rule, with the mode's name before it.
    pub rule: String,
    /// Words for people and for the model.
    pub words: String,
}

impl ModeAnswer {
    /// What counts for a policy that faulted, ran out or gave no sense.
    pub fn faulted(mode: &str, why: &str) -> Self {
        let words = format!("the policy of mode {mode} gave no answer ({why}), and nothing is allowed without one.");
        Self { kind: VerdictKind::Deny, rule: format!("{mode}.fault"), words }
    }
}

/// What earned trust says of a call: it need not be asked about by default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrustAnswer {
    /// The entry of the trust ledger.
    pub rule: String,
    /// The evidence, in words.
    pub words: String,
}

/// What is judged.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// The arguments, before the call runs.
    Arguments,
    /// The staged changes, before they are applied.
    Staged(&'a Manifest),
}

/// Everything a judgement depends on besides the call and the subject.
#[derive(Debug, Clone, Copy, Default)]
pub struct Judge<'a> {
    /// How much the person wants to be asked.
    pub approve: ApproveMode,
    /// The user's rules.
    pub rules: &'a [Rule],
    /// What was allowed before.
    pub allowances: &'a [Allowance],
    /// What the mode's policy said of this subject; none where the mode has no policy.
    pub mode: Option<&'a ModeAnswer>,
    /// What earned trust says; none where nothing was earned.
    pub trust: Option<&'a TrustAnswer>,
    /// The time; without one, allowances that end count as ended.
    pub now: Option<TimeMs>,
}

impl Judge<'_> {
    /// The verdict on a call of `tool` with `arguments`, the JSON text that the model wrote.
    pub fn judge(&self, tool: &ToolSpec, arguments: &str, subject: Subject<'_>) -> Verdict {
        Hearing::new(self, tool, arguments, subject).decide().0
    }

    /// Every voice that speaks, strongest kind of voice first.
    pub fn voices(&self, tool: &ToolSpec, arguments: &str, subject: Subject<'_>) -> Vec<Verdict> {
        Hearing::new(self, tool, arguments, subject).voices()
    }

    /// The verdict with everything that led to it.
    pub fn explain(&self, tool: &ToolSpec, arguments: &str, subject: Subject<'_>) -> Explanation {
        explain::explain(&Hearing::new(self, tool, arguments, subject))
    }
}

/// One judgement: the call, and what is known of it.
struct Hearing<'a> {
    judge: &'a Judge<'a>,
    tool: &'a ToolSpec,
    text: &'a str,
    subject: Subject<'a>,
    /// Read only where a pattern is in force.
    arguments: Option<Arguments>,
    /// Of each command of the line, whether the user's allow rules cover it.
    covered_by_rules: Vec<bool>,
    /// Nothing changes if it goes on now.
    harmless: bool,
    /// It has run and changed nothing.
    unchanged: bool,
}

impl<'a> Hearing<'a> {
    fn new(judge: &'a Judge<'a>, tool: &'a ToolSpec, text: &'a str, subject: Subject<'a>) -> Self {
        let has_patterns = judge.rules.iter().any(|rule| !rule.arguments.is_empty())
            || judge.allowances.iter().any(|it| matches!(it.coverage, Coverage::Pattern { .. }));
        let arguments = has_patterns.then(|| Arguments::of(tool, text));
        Self {
            judge,
            tool,
            text,
            subject,
            covered_by_rules: arguments.as_ref().map(|it| covered_by_rules(judge.rules, tool, it)).unwrap_or_default(),
            arguments,
            // A tool whose effects are staged is harmless until its changes are judged, and one that makes
            // requests until it makes them, each judged by its grants: before it runs only a refusal counts.
            harmless: matches!(subject, Subject::Arguments) && tool.effects != Effects::Direct,
            unchanged: matches!(subject, Subject::Staged(manifest) if manifest.is_empty()),
        }
    }

    fn voices(&self) -> Vec<Verdict> {
        let mut voices = match self.subject {
            Subject::Staged(manifest) => boundary::voices(manifest),
            Subject::Arguments => Vec::new(),
        };
        voices.extend(self.judge.rules.iter().filter(|rule| self.silence(rule).is_none()).map(|rule| Verdict {
            kind: rule.verdict,
            voice: Voice::User,
            rule: rule.id.clone(),
            words: rule.reason.clone(),
        }));
        voices.extend(self.approve_voice());
        voices.extend(self.mode().filter(|mode| mode.kind != VerdictKind::Ask || !self.unchanged).map(|mode| {
            Verdict { kind: mode.kind, voice: Voice::Mode, rule: mode.rule.clone(), words: mode.words.clone() }
        }));
        voices.extend(self.allowances().filter(|it| self.is_allowed_by(it)).map(|it| it.verdict(&self.tool.name)));
        let default = default_voice(self.tool, self.harmless, self.unchanged);
        if default.kind == VerdictKind::Ask {
            voices.extend(self.judge.trust.map(|trust| Verdict {
                kind: VerdictKind::Allow,
                voice: Voice::Trust,
                rule: trust.rule.clone(),
                words: trust.words.clone(),
            }));
        }
        voices.push(default);
        voices
    }

    fn mode(&self) -> Option<&'a ModeAnswer> {
        self.judge.mode.filter(|_| !self.tool.is_of_session())
    }

    /// Why a rule says nothing, if it does not.
    fn silence(&self, rule: &Rule) -> Option<Silence> {
        // A session's own tool changes nothing but the session: only a deny that names it speaks.
        let names_it = || rule.verdict == VerdictKind::Deny && rule.tool.as_ref() == Some(&self.tool.name);
        if !rule.covers(self.tool) || self.tool.is_of_session() && !names_it() {
            return Some(Silence::OtherTool);
        }
        let speaks_now = match rule.verdict {
            VerdictKind::Deny => true,
            VerdictKind::Ask => {
                // An edit is asked about once, with its changes to look at; anything else before it runs.
                let before_it_runs = self.tool.category != Category::Edit && matches!(self.subject, Subject::Arguments);
                before_it_runs || !(self.harmless || self.unchanged)
            }
            // What is harmless needs no allow, unless a mode asks about it.
            VerdictKind::Allow => !self.harmless || self.judge.mode.is_some_and(|mode| mode.kind == VerdictKind::Ask),
        };
        if !speaks_now {
            return Some(Silence::NothingChangesYet);
        }
        let is_about_it = rule.arguments.is_empty()
            || self.arguments.as_ref().is_some_and(|arguments| match rule.verdict {
                VerdictKind::Deny | VerdictKind::Ask => rule.arguments.touches(arguments),
                VerdictKind::Allow if rule.arguments.command.is_empty() => rule.arguments.covers_fields(arguments),
                VerdictKind::Allow => self.is_line_covered(
                    &|command| rule.arguments.covers_fields(arguments) && rule.arguments.covers_command(command),
                    &|_| false,
                ),
            });
        (!is_about_it).then_some(Silence::OtherArguments)
    }

    /// Whether a line is understood, each of its commands is covered by the one, the others or an allow rule, and one at
    /// least by the one.
    fn is_line_covered(&self, one: &dyn Fn(&SimpleCommand) -> bool, others: &dyn Fn(&SimpleCommand) -> bool) -> bool {
        let Some(Ok(line)) = self.arguments.as_ref().and_then(Arguments::line) else { return false };
        let by_rules = self.covered_by_rules.iter().copied().chain(std::iter::repeat(false));
        line.commands.iter().any(one)
            && line
                .commands
                .iter()
                .zip(by_rules)
                .all(|(command, by_rules)| by_rules || is_harmless(command) || one(command) || others(command))
    }

    fn allowances(&self) -> impl Iterator<Item = &'a Allowance> {
        let now = self.judge.now;
        self.judge.allowances.iter().filter(move |it| it.is_in_force(now))
    }

    /// Whether an allowance's pattern covers a command of this call.
    fn is_command_allowed_by(&self, allowance: &Allowance, command: &SimpleCommand) -> bool {
        let (Coverage::Pattern { pattern }, Some(arguments)) = (&allowance.coverage, &self.arguments) else {
            return false;
        };
        allowance.tool == self.tool.name && pattern.covers_command(command) && pattern.covers_fields(arguments)
    }

    fn is_allowed_by(&self, allowance: &Allowance) -> bool {
        match &allowance.coverage {
            Coverage::Exact { digest } => *digest == arguments_digest(&self.tool.name, self.text),
            Coverage::Tool => allowance.tool == self.tool.name,
            Coverage::Category { category } => *category == self.tool.category,
            Coverage::Pattern { pattern } if allowance.tool != self.tool.name || pattern.is_empty() => false,
            Coverage::Pattern { pattern } if pattern.command.is_empty() => {
                self.arguments.as_ref().is_some_and(|arguments| pattern.covers_fields(arguments))
            }
            Coverage::Pattern { .. } => self
                .is_line_covered(&|command| self.is_command_allowed_by(allowance, command), &|command| {
                    self.allowances().any(|other| self.is_command_allowed_by(other, command))
                }),
        }
    }

    /// Whether allowances made from a rule's ask answer it: for a line, each command that the rule asks about.
    fn is_answered(&self, asked: &str) -> bool {
        let answers: Vec<&Allowance> = self.allowances().filter(|it| it.rule == asked).collect();
        let has_lines =
            |it: &Allowance| matches!(&it.coverage, Coverage::Pattern { pattern } if !pattern.command.is_empty());
        if answers.iter().any(|it| !has_lines(it) && self.is_allowed_by(it)) {
            return true;
        }
        let Some(Ok(line)) = self.arguments.as_ref().and_then(Arguments::line) else { return false };
        let rule = self.judge.rules.iter().find(|rule| rule.id == asked);
        let is_asked = |command: &&SimpleCommand| match rule {
            Some(rule) if !rule.arguments.command.is_empty() => rule.arguments.touches_command(command),
            _ => !is_harmless(command),
        };
        let asked: Vec<&SimpleCommand> = line.commands.iter().filter(is_asked).collect();
        !asked.is_empty()
            && asked.iter().all(|command| answers.iter().any(|it| self.is_command_allowed_by(it, command)))
    }

    fn approve_voice(&self) -> Option<Verdict> {
        if self.tool.is_of_session() {
            return None;
        }
        let changes = self.tool.category != Category::Read;
        let (harmless, unchanged) = (self.harmless, self.unchanged);
        let approve = self.judge.approve;
        let says = |kind, words: &str| {
            let rule = format!("approve.{}", approve_word(approve));
            Some(Verdict { kind, voice: Voice::User, rule, words: words.to_owned() })
        };
        match approve {
            ApproveMode::None if changes || !(harmless || unchanged) => {
                says(VerdictKind::Deny, "this session refuses every change; say what you would change instead.")
            }
            ApproveMode::Edits if !unchanged && !harmless && self.tool.effects != Effects::Direct => {
                says(VerdictKind::Allow, "changes inside the workspace are allowed in this session.")
            }
            ApproveMode::All => says(VerdictKind::Allow, "everything that nothing denies is allowed in this session."),
            ApproveMode::None | ApproveMode::Ask | ApproveMode::Edits => None,
        }
    }

    /// The verdict, and the voices it was chosen among, by the order of the design: any deny, a boundary's ask, a
    /// user's ask that no allowance answered, a mode's ask that no user allowed, any allow, the default.
    fn decide(&self) -> (Verdict, Vec<Verdict>) {
        let voices = self.voices();
        let first = |test: &dyn Fn(&Verdict) -> bool| voices.iter().find(|verdict| test(verdict));
        let asks = |verdict: &Verdict, voice| verdict.kind == VerdictKind::Ask && verdict.voice == voice;
        let chosen = first(&|it| it.kind == VerdictKind::Deny)
            .or_else(|| first(&|it| asks(it, Voice::Boundary)))
            .or_else(|| first(&|it| asks(it, Voice::User) && !self.is_answered(&it.rule)))
            .or_else(|| first(&|it| asks(it, Voice::Mode) && !voices.iter().any(is_persons_allow)))
            .or_else(|| first(&|it| it.kind == VerdictKind::Allow && it.voice != Voice::Default))
            .or_else(|| first(&|it| it.voice == Voice::Default));
        let chosen = chosen.cloned().unwrap_or_else(|| Verdict {
            kind: VerdictKind::Deny,
            voice: Voice::Boundary,
            rule: "boundary.silence".to_owned(),
            words: "no voice spoke for it.".to_owned(),
        });
        (chosen, voices)
    }
}

/// Of each command of a line, whether one of the allow rules covers it.
fn covered_by_rules(rules: &[Rule], tool: &ToolSpec, arguments: &Arguments) -> Vec<bool> {
    let Some(Ok(line)) = arguments.line() else { return Vec::new() };
    let is_about_it = |rule: &&Rule| {
        let is_allow = rule.verdict == VerdictKind::Allow && !rule.arguments.command.is_empty();
        is_allow && rule.covers(tool) && rule.arguments.covers_fields(arguments)
    };
    let allows: Vec<&Rule> = rules.iter().filter(is_about_it).collect();
    line.commands.iter().map(|command| allows.iter().any(|rule| rule.arguments.covers_command(command))).collect()
}

/// Whether a person said it: by a rule, by how much they want to be asked, or as an answer.
fn is_persons_allow(verdict: &Verdict) -> bool {
    verdict.kind == VerdictKind::Allow && matches!(verdict.voice, Voice::User | Voice::Allowance)
}

fn approve_word(approve: ApproveMode) -> &'static str {
    match approve {
        ApproveMode::None => "none",
        ApproveMode::Ask => "ask",
        ApproveMode::Edits => "edits",
        ApproveMode::All => "all",
    }
}

fn default_voice(tool: &ToolSpec, harmless: bool, unchanged: bool) -> Verdict {
    if tool.is_of_session() {
        let words = "it changes nothing but the session.".to_owned();
        return Verdict { kind: VerdictKind::Allow, voice: Voice::Default, rule: "default.session".to_owned(), words };
    }
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
    let category = tool.category.word();
    Verdict { kind, voice: Voice::Default, rule: format!("default.{category}"), words: words.to_owned() }
}
