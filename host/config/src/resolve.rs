//! From layers to the settings that hold.
//!
//! Promise: every value carries its source; the strongest layer wins, except that the machine's ceilings
//! hold against all. An untrusted project only narrows what the layers below it say; the environment and
//! flags, which the person gives, still win over it. All problems are reported at once:
//! first those of each layer, and when there are none, those between layers.
//!
//! Not here: reading and checking one layer (`layer`, `check`, `meaning`).

use crate::budget::{Budgets, RawBudget, resolve_budgets};
use crate::ceiling::{max_steps, tool_limits, turn_limits};
use crate::environment::{self, Environment};
use crate::flags::{self, Flags};
use crate::layer::{Layer, from_file, parse, strongest};
use crate::limits::{ToolLimits, TurnLimits};
use crate::meaning::check_meaning;
use crate::model::{ModelChoice, ModelFacts, ModelRef, choose_model, resolve_models};
use crate::narrow::{Base, Withheld, narrow};
use crate::paths::{ConfigFiles, Paths};
use crate::problem::{ConfigProblems, Fault, Problem};
use crate::provider::{Provider, ProviderKey, resolve_providers, resolve_secrets};
use crate::rule::{Rule, name_rules, resolve_rules};
use crate::source::{Source, Sourced};
use crate::trust::{ConfigDigest, Trust, TrustStore};
use crate::words::{Approve, Color};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The weakest layer.
const BUILT_IN: &str = include_str!("builtin.toml");

/// All that settings depend on.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The files to read.
    pub files: &'a ConfigFiles,
    /// The environment.
    pub environment: &'a Environment,
    /// The command line.
    pub flags: &'a Flags,
    /// The user's directories.
    pub paths: &'a Paths,
    /// The projects whose configuration is trusted.
    pub trust: &'a TrustStore,
}

/// The settings that hold, each with its source.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The model to use.
    pub model: ModelChoice,
    /// What is approved without asking a person.
    pub approve: Sourced<Approve>,
    /// The mode that a session begins in.
    pub mode: Sourced<String>,
    /// What a turn and a session may spend.
    pub budgets: Budgets,
    /// Model requests that one turn may take; at most `limits.turn_steps_max`.
    pub max_steps: Sourced<u64>,
    /// What a turn and its model requests may take.
    pub limits: TurnLimits,
    /// What one tool call may use.
    pub tool_limits: ToolLimits,
    /// Where state is kept.
    pub storage: Storage,
    /// Who serves models, by name; `offline` is always there.
    pub providers: BTreeMap<String, Provider>,
    /// What is known of models.
    pub models: BTreeMap<ModelRef, ModelFacts>,
    /// Where secrets are kept, by name. None is ever [`ProviderKey::NotNeeded`].
    pub secrets: BTreeMap<String, ProviderKey>,
    /// Verdicts on tool calls, weakest layer first; all hold.
    pub rules: Vec<Sourced<Rule>>,
    /// How things look.
    pub ui: Ui,
    /// The project's file, if there is one.
    pub project: Option<ProjectConfig>,
    /// What the project asked for and did not get, because nobody trusted it.
    pub withheld: Vec<Withheld>,
}

/// Where state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Directory of logs and blobs, absolute.
    pub state_dir: Sourced<PathBuf>,
    /// Bytes that blobs may take.
    pub blob_quota_bytes: Sourced<u64>,
}

/// How things look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ui {
    /// When the terminal gets colours.
    pub color: Sourced<Color>,
}

/// The project's file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectConfig {
    /// The file.
    pub path: PathBuf,
    /// The digest of the bytes that were read; what [`TrustStore::add`] takes.
    pub digest: ConfigDigest,
    /// Whether these bytes are trusted.
    pub trust: Trust,
}

/// Reads all layers and resolves the settings.
///
/// # Errors
/// All problems of all layers, with file, line and key.
pub fn resolve(inputs: &Inputs<'_>) -> Result<Resolved, ConfigProblems> {
    let mut problems = Vec::new();
    let (mut layers, project) = read_layers(inputs, &mut problems);
    for layer in &layers {
        check_meaning(layer, inputs.paths, &mut problems);
    }
    if !problems.is_empty() {
        return Err(in_order(problems));
    }
    name_rules(&mut layers);
    let withheld = narrow_project(&mut layers, project.as_ref());
    let layers = layers.as_slice();
    let limits = turn_limits(layers, &mut problems);
    let providers = resolve_providers(layers, inputs.environment, inputs.paths, &mut problems);
    let missing =
        |key| Problem { origin: Source::BuiltIn, line: None, key: String::from(key), fault: Fault::NoBuiltInValue };
    let approve = strongest(layers, |raw| raw.approve);
    let color = strongest(layers, |raw| raw.ui.color);
    let mode = strongest(layers, |raw| raw.mode.clone());
    let quota = strongest(layers, |raw| raw.storage.blob_quota_bytes);
    let resolved = Resolved {
        model: choose_model(layers, &providers, &mut problems),
        approve: or_missing(approve, Approve::None, missing("approve"), &mut problems),
        mode: or_missing(mode, String::new(), missing("mode"), &mut problems),
        budgets: resolve_budgets(layers),
        max_steps: max_steps(layers, &limits, &mut problems),
        tool_limits: tool_limits(layers, &mut problems),
        storage: Storage {
            state_dir: strongest(layers, |raw| inputs.paths.expand(raw.storage.state_dir.as_ref()?))
                .unwrap_or_else(|| inputs.paths.default_state_dir()),
            blob_quota_bytes: or_missing(quota, 0, missing("storage.blob-quota-bytes"), &mut problems),
        },
        models: resolve_models(layers),
        secrets: resolve_secrets(layers, inputs.environment, inputs.paths),
        rules: resolve_rules(layers, &mut problems),
        ui: Ui { color: or_missing(color, Color::Auto, missing("ui.color"), &mut problems) },
        limits,
        providers,
        project,
        withheld,
    };
    if problems.is_empty() { Ok(resolved) } else { Err(in_order(problems)) }
}

fn in_order(mut problems: Vec<Problem>) -> ConfigProblems {
    problems.sort_by_key(|problem| (problem.origin.strength(), problem.line));
    ConfigProblems { problems }
}

/// All layers, weakest first, and what is known of the project's.
fn read_layers(inputs: &Inputs<'_>, problems: &mut Vec<Problem>) -> (Vec<Layer>, Option<ProjectConfig>) {
    let files = inputs.files;
    let mut layers: Vec<Layer> = parse(BUILT_IN, Source::BuiltIn, problems).into_iter().collect();
    let mut read = |path: Option<&PathBuf>, source: fn(PathBuf) -> Source| {
        let path = path?;
        let (layer, digest) = from_file(path, source(path.clone()), problems)?;
        layers.push(layer);
        Some((path.clone(), digest))
    };
    read(files.machine.as_ref(), Source::Machine);
    read(files.user.as_ref(), Source::User);
    let project = files.project.as_ref().filter(|path| !is_same_file(path, files.user.as_deref()));
    let project = read(project, Source::Project).map(|(path, digest)| {
        let trust = inputs.trust.check(&path, &digest);
        ProjectConfig { path, digest, trust }
    });
    layers.extend(environment::layers(inputs.environment, problems));
    layers.extend(flags::layers(inputs.flags, problems));
    (layers, project)
}

/// In a workspace that is the user's own directory one file can be both; then it is the user's.
fn is_same_file(project: &Path, user: Option<&Path>) -> bool {
    let canonical = |path: &Path| fs::canonicalize(path).ok();
    user.is_some_and(|user| canonical(project).is_some() && canonical(project) == canonical(user))
}

/// Withholds what the project's layer may not say.
fn narrow_project(layers: &mut [Layer], project: Option<&ProjectConfig>) -> Vec<Withheld> {
    let is_trusted = project.is_none_or(|project| project.trust == Trust::Trusted);
    let at = layers.iter().position(|layer| matches!(layer.source, Source::Project(_)));
    let (false, Some(at)) = (is_trusted, at) else { return Vec::new() };
    let (below, rest) = layers.split_at_mut(at);
    let problems = &mut Vec::new(); // Found again, and told, when all layers are resolved.
    let limits = turn_limits(below, problems);
    let values = |entries: Vec<(&'static str, &Sourced<u64>)>| {
        entries.into_iter().map(|(key, limit)| (key, limit.value)).collect()
    };
    let base = Base {
        approve: strongest(below, |raw| raw.approve).map_or(Approve::None, |approve| approve.value),
        max_steps: max_steps(below, &limits, problems).value,
        limits: values(limits.entries()),
        tool_limits: values(tool_limits(below, problems).entries()),
        budgets: budgets_below(below),
    };
    rest.first_mut().map_or_else(Vec::new, |project| narrow(project, &base))
}

/// Every key of both budgets, with what holds below the project.
fn budgets_below(below: &[Layer]) -> Vec<(&'static str, &'static str, Option<u64>)> {
    let budgets = resolve_budgets(below);
    let mut keys = Vec::with_capacity(2 * RawBudget::KEYS.len());
    for (whose, budget) in [("turn", &budgets.turn), ("session", &budgets.session)] {
        keys.extend(budget.entries().map(|(key, limit)| (whose, key, limit.map(|limit| limit.value))));
    }
    keys
}

fn or_missing<T>(value: Option<Sourced<T>>, fallback: T, missing: Problem, problems: &mut Vec<Problem>) -> Sourced<T> {
    value.unwrap_or_else(|| {
        problems.push(missing);
        Sourced::new(fallback, Source::BuiltIn)
    })
}
