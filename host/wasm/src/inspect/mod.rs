//! Everything a component could ever do, read from its type and its sections, before anything of it runs.
//!
//! Promise: complete: what is not told here a component cannot do, since it reaches the host only by what it
//! imports; also a component that cannot be loaded is told about, with what is missing. Text of the component's
//! own is cleaned.
//!
//! Not here: what it was granted, how a call of it went.

mod words;

use crate::clean::clean_and_cut;
use crate::link::MissingImport;
use crate::modes::PolicyComponent;
use crate::offered::{self, Power};
use crate::plain::NotOffered;
use crate::tools::{self, Component, ComponentSource, Facts, Kind, ReadComponentError};
use harness_core::Digest;
use harness_core::grant::Capability;
use harness_core::item::ToolSpec;
use harness_core::mode::{HookPoint, ModeSpec};
use serde::Serialize;
use std::collections::BTreeSet;

/// A tool's schema that is worth a warning: a model pays for it with every request. Bytes.
const SCHEMA_LARGE_BYTES: usize = 8 << 10;
/// An import's or export's name, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// Something a component could do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ability {
    /// What, in plain words.
    pub words: String,
    /// By which of its imports.
    pub imports: Vec<String>,
    /// At most this, where it needs grants; the capabilities' texts.
    pub at_most: Vec<Capability>,
}

/// What a component is and could do.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub digest: Digest,
    /// Its size.
    pub bytes: usize,
    /// How it is called.
    pub kind: Kind,
    /// What it says it is for.
    pub description: Option<String>,
    /// What it imports, with versions.
    pub imports: Vec<String>,
    /// What it exports, with versions.
    pub exports: Vec<String>,
    /// Its tools, as a model would get them.
    pub tools: Vec<ToolSpec>,
    /// Whether only a call tells which tools it has, or what it is.
    pub needs_describing: bool,
    /// The mode that it is, where it is one and that is known.
    pub mode: Option<ModeSpec>,
    /// Where its hooks are called.
    pub hook_points: Vec<HookPoint>,
    /// Its exports that are no tools, with the reason.
    pub not_offered: Vec<NotOffered>,
    /// What it could do with every grant it may ask for.
    pub could: Vec<Ability>,
    /// What it can never do.
    pub cannot: Vec<String>,
    /// What it is linked to and never gets.
    pub refused: Vec<Ability>,
    /// The most it asks for.
    pub ceiling: Vec<Capability>,
    /// Whether that is declared in its manifest; otherwise it follows from its imports.
    pub is_ceiling_declared: bool,
    /// What it imports and this host does not have.
    pub missing: Vec<MissingImport>,
    /// Its own custom sections: name and size in bytes.
    pub sections: Vec<(String, usize)>,
    /// What it was made with.
    pub producers: Vec<String>,
    /// Why it cannot be used here.
    pub problems: Vec<String>,
    /// What its author or its user should know.
    pub warnings: Vec<String>,
}

/// Inspects a component that was read.
pub fn inspect(component: &Component) -> Inspection {
    of_facts(component.name(), component.digest(), component.bytes().len(), component.facts())
}

/// Inspects a mode or hooks that were read.
pub fn inspect_policy(policy: &PolicyComponent) -> Inspection {
    inspect(policy.component())
}

/// Inspects a component as it comes, also where it cannot be loaded. `described` is what it answered when it was
/// asked for its tools, or what it is.
///
/// # Errors
/// If it cannot be read at all.
pub fn inspect_source(source: &ComponentSource, described: Option<&str>) -> Result<Inspection, ReadComponentError> {
    let (digest, facts) = tools::facts(source, described, None)?;
    Ok(of_facts(&source.name, digest, source.bytes.len(), &facts))
}

fn of_facts(name: &str, digest: Digest, bytes: usize, facts: &Facts) -> Inspection {
    let used = powers(facts);
    let is_policy = facts.kind.is_policy();
    let needs_describing =
        if is_policy { facts.policy.is_none() } else { facts.describe.is_some() && facts.tools.is_empty() };
    // What a policy is linked to it is always refused.
    let is_refused = |power: Power| power == Power::Sockets || (is_policy && power != Power::Plumbing);
    let policy = facts.policy.clone();
    Inspection {
        name: name.to_owned(),
        digest,
        bytes,
        kind: facts.kind,
        description: facts.description.clone(),
        imports: facts.imports.iter().map(|import| clean_and_cut(import.as_bytes(), NAME_BYTES_MAX)).collect(),
        exports: facts.exports.iter().map(|export| clean_and_cut(export.as_bytes(), NAME_BYTES_MAX)).collect(),
        tools: facts.tools.clone(),
        needs_describing,
        hook_points: policy.as_ref().map(|policy| policy.points.clone()).unwrap_or_default(),
        mode: policy.and_then(|policy| policy.mode),
        not_offered: facts.not_offered.clone(),
        could: if is_policy { policy_could(facts.kind) } else { could(facts, &used) },
        cannot: cannot(facts, &used),
        refused: used.iter().filter(|it| is_refused(it.0)).map(|it| refused(facts, it)).collect(),
        ceiling: facts.ceiling.clone(),
        is_ceiling_declared: facts.has_manifest,
        missing: facts.missing.clone(),
        sections: facts.sections.clone(),
        producers: facts.producers.clone(),
        problems: problems(facts, needs_describing),
        warnings: warnings(facts, &used),
    }
}

type Used = (Power, Vec<String>);

/// What it imports, by what that is good for.
fn powers(facts: &Facts) -> Vec<Used> {
    let of = |power: Power| {
        let imports = facts.imports.iter().filter(|import| find(import) == Some(power)).cloned();
        (power, imports.collect::<Vec<_>>())
    };
    Power::ALL.iter().copied().map(of).filter(|(_, imports)| !imports.is_empty()).collect()
}

fn find(import: &str) -> Option<Power> {
    offered::find(import.split('@').next().unwrap_or(import)).map(|offered| offered.power)
}

/// Whether a capability that comes by no interface could be in force: where nothing is declared, whatever is granted is.
fn could_ask(facts: &Facts, wanted: fn(&Capability) -> bool) -> bool {
    facts.kind == Kind::Resumable && (!facts.has_manifest || facts.ceiling.iter().any(wanted))
}

fn could(facts: &Facts, used: &[Used]) -> Vec<Ability> {
    let is_idle = |power: Power| matches!(power, Power::Sockets | Power::Plumbing);
    let mut could: Vec<_> = used.iter().filter(|it| !is_idle(it.0)).map(|it| ability(facts, it)).collect();
    // A capability is worth nothing to a component that has no way to use it.
    could.retain(|ability| !ability.words.is_empty());
    if facts.kind == Kind::Resumable {
        let asks = |wanted: fn(&Capability) -> bool| -> Vec<Capability> {
            facts.ceiling.iter().filter(|it| wanted(it)).cloned().collect()
        };
        let mut add = |words: &str, at_most: Vec<Capability>| {
            if !facts.has_manifest || !at_most.is_empty() {
                could.push(Ability { words: words.to_owned(), imports: Vec::new(), at_most });
            }
        };
        add("ask you a question before it goes on", asks(|it| matches!(it, Capability::Question)));
        add(
            "have other tools called, with no more than both are granted",
            asks(|it| matches!(it, Capability::Tool { .. })),
        );
    }
    could
}

/// What a mode or hooks do, without anything that they import.
fn policy_could(kind: Kind) -> Vec<Ability> {
    let ability = |words: &str| Ability { words: words.to_owned(), imports: Vec::new(), at_most: Vec::new() };
    let mut could = Vec::new();
    if kind.judges() {
        could.push(ability(
            "tell the model how to work in its mode, see each call in it with its arguments and changes, and allow it, \
             deny it, have you asked about it, or allow less of it; your rules stand above it",
        ));
    }
    if kind.has_hooks() {
        could.push(ability(
            "be told at fixed points of a session what happens there, add words for the model, end a turn, or propose \
             another mode",
        ));
    }
    could
}

fn refused(facts: &Facts, used: &Used) -> Ability {
    let words = used.0.words().to_owned();
    Ability { words, ..ability(facts, used) }
}

fn ability(facts: &Facts, (power, imports): &Used) -> Ability {
    let of_power = |capability: &&Capability| Power::of(capability) == Some(*power);
    let at_most: Vec<_> = facts.ceiling.iter().filter(of_power).cloned().collect();
    let is_never = power.needs_grant() && facts.has_manifest && at_most.is_empty();
    let words = if is_never { String::new() } else { power.words().to_owned() };
    let imports = imports.iter().map(|import| clean_and_cut(import.as_bytes(), NAME_BYTES_MAX)).collect();
    Ability { words, imports, at_most }
}

/// What no component can do, and what this one cannot since it has no way to it or asks for nothing of it.
fn cannot(facts: &Facts, used: &[Used]) -> Vec<String> {
    let can = |power: Power| {
        if facts.kind.is_policy() {
            return false;
        }
        let is_asked = !facts.has_manifest || facts.ceiling.iter().any(|it| Power::of(it) == Some(power));
        is_asked && used.iter().any(|(used, _)| *used == power)
    };
    let own = [
        (Power::Files, "read or change any file"),
        (Power::Requests, "send any request"),
        (Power::Kv, "keep anything from call to call"),
        (Power::Secrets, "use any secret"),
        (Power::Environment, "read any environment variable"),
    ];
    let mut cannot: Vec<_> =
        own.iter().filter(|(power, _)| !can(*power)).map(|(_, words)| (*words).to_owned()).collect();
    if !could_ask(facts, |it| matches!(it, Capability::Question)) {
        cannot.push("ask you anything".to_owned());
    }
    if !could_ask(facts, |it| matches!(it, Capability::Tool { .. })) {
        cannot.push("have another tool called".to_owned());
    }
    for words in [
        "start processes",
        "open sockets or look up names",
        "read the value of a secret",
        "see anything of another call, session or component",
    ] {
        cannot.push(words.to_owned());
    }
    cannot
}

fn problems(facts: &Facts, needs_describing: bool) -> Vec<String> {
    let mut problems: Vec<_> = facts.missing.iter().map(ToString::to_string).collect();
    problems.extend(facts.proposals.iter().map(|proposal| format!("this host's engine does not have {proposal}")));
    if facts.tools.is_empty() && !needs_describing && !facts.kind.is_policy() {
        problems.push("it has no tools".to_owned());
    }
    problems
}

fn warnings(facts: &Facts, used: &[Used]) -> Vec<String> {
    let mut warnings = Vec::new();
    if facts.kind.is_policy() {
        if facts.has_manifest {
            warnings.push("it has a manifest, which counts for nothing: no mode is granted anything".to_owned());
        }
        return warnings;
    }
    for tool in &facts.tools {
        if tool.description.trim().is_empty() {
            warnings.push(format!("tool `{}` has no description: a model can only guess what it does", tool.name));
        }
        let bytes = tool.parameters.to_string().len();
        if bytes > SCHEMA_LARGE_BYTES {
            warnings.push(format!("tool `{}` has a schema of {bytes} bytes, which each request pays for", tool.name));
        }
    }
    for name in &facts.undescribed {
        warnings.push(format!("tool `{name}` has no description of its own: give it one in the manifest"));
    }
    let has = |power: Power| used.iter().any(|(used, _)| *used == power);
    if facts.has_manifest {
        for capability in &facts.ceiling {
            if Power::of(capability).is_some_and(|power| !has(power)) {
                warnings.push(format!("`{capability}` is declared, but nothing it imports can use it"));
            }
            if matches!(capability, Capability::Question | Capability::Tool { .. }) && facts.kind != Kind::Resumable {
                warnings.push(format!("`{capability}` is declared, but only a resumable tool can use it"));
            }
        }
        let asked: BTreeSet<_> = facts.ceiling.iter().filter_map(Power::of).collect();
        for (power, imports) in used.iter().filter(|(power, _)| power.needs_grant() && !asked.contains(power)) {
            // Every program of a language's library imports these two.
            if !matches!(power, Power::Environment | Power::Files) {
                let imports = imports.join("`, `");
                warnings.push(format!("`{imports}` is imported, but no capability for it is declared"));
            }
        }
    } else if used.iter().any(|(power, _)| power.needs_grant() && *power != Power::Environment) {
        warnings.push(
            "it has no manifest: it may ask for all that its imports could be used for. One with what it needs is put \
             into it by: harness-host component describe FILE --manifest manifest.json"
                .to_owned(),
        );
    }
    if facts.describe.is_some() {
        warnings.push(
            "its tools are known only by a call; a section needs none: harness-host component describe FILE --tools \
             tools.json"
                .to_owned(),
        );
    }
    warnings
}
