//! `policy explain`: one imagined call, judged.
//!
//! Promise: rules, mode and tools are those that a session would begin with in this folder.
//!
//! Not here: laying the answer out (`table`).

use super::table;
use crate::args::Cli;
use crate::args::policy::ExplainArgs;
use crate::commands::print_json;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::installed;
use crate::modes::Modes;
use crate::settings::{self, Said, Settings};
use crate::wiring;
use harness_core::change::FileState;
use harness_core::command_line::{CommandLine, NotUnderstood, SimpleCommand, Word};
use harness_core::event::Context;
use harness_core::item::ToolSpec;
use harness_core::mode::PolicyAnswer;
use harness_core::pattern::Arguments;
use harness_core::verdict::{Explanation, Judge, ModeAnswer, Subject};
use harness_core::{ApproveMode, Change, Digest, Manifest, ModelRef, SessionState};
use harness_engine::ports::Policy;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Where a rule is written.
pub(super) struct Place {
    /// Its file, or whatever else says it.
    pub(super) source: String,
    /// The line, from 1.
    pub(super) line: Option<usize>,
}

/// A judged call with all that is told of it.
pub(super) struct Judged {
    pub(super) tool: String,
    pub(super) arguments: String,
    pub(super) mode: String,
    pub(super) approve: ApproveMode,
    /// The staged changes that were judged; none where the arguments were.
    pub(super) staged: Option<Manifest>,
    /// The commands of the line, in words; none for a tool that takes no line.
    pub(super) line: Option<Result<Vec<String>, String>>,
    /// Arguments that the mode would have run in place of these.
    pub(super) narrowed: Option<String>,
    /// The rule by which the mode's policy has no opinion.
    pub(super) abstains: Option<String>,
    pub(super) explanation: Explanation,
    /// Where each rule is written, by id.
    pub(super) places: BTreeMap<String, Place>,
    /// Whether its changes are judged as well, once they are known.
    pub(super) is_judged_again: bool,
}

/// Runs the command.
pub(super) async fn run(cli: &Cli, args: &ExplainArgs) -> Result<Exit, Failure> {
    let workspace = settings::workspace_folder(args.workspace.as_deref())?;
    let said = Said::from_cli(cli).with_judging(args.mode.clone(), args.approve);
    let settings = settings::read(&said, Some(&workspace))?;
    let judged = judge(&settings, &workspace, args).await?;
    if args.output.json { print_json(&to_json(&judged)) } else { table::print(&judged) }
}

async fn judge(settings: &Settings, workspace: &Path, args: &ExplainArgs) -> Result<Judged, Failure> {
    let wiring = wiring::wire(settings)?;
    let installation = installed::installation(settings, Some(workspace), *wiring.runtime.limits())?.whole()?;
    let modes = Modes::new(&wiring.runtime, &installation)?;
    let mode = settings.resolved.mode.value.clone();
    // Nobody is asked, so that any model does.
    let mut context = Context::new(ModelRef { provider: "offline".into(), name: "offline".into() }, "none");
    context.tools = installation.components.iter().flat_map(|component| component.tools()).cloned().collect();
    installation.classify(&mut context.tools);
    context.modes = modes.specs(settings, &mode)?.0;
    (context.approve, context.rules) = (settings.approve(), settings.rules());
    let state = SessionState { context: Some(Arc::new(context)), mode: mode.clone(), ..SessionState::default() };
    let Some(tool) = state.tool(&args.tool) else {
        let context = state.context.iter();
        let names: Vec<&str> = context.flat_map(|it| &it.tools).map(|tool| tool.name.as_str()).collect();
        if harness_core::session_tools::NAMES.contains(&args.tool.as_str()) {
            let words =
                format!("`{}` is the session's own tool: it changes nothing else, and is not judged", args.tool);
            return Err(Failure::usage(words));
        }
        let tool = crate::paint::one_line(&args.tool, 64);
        return Err(Failure::usage(format!("there is no tool `{tool}`; there are: {}", names.join(", "))));
    };
    let arguments: Arc<str> = arguments(tool, &args.arguments)?.into();
    let staged = (!args.staged.is_empty()).then(|| staged(workspace, &args.staged)).transpose()?;
    let asked = match state.policy_question(None, &args.tool, &arguments, staged.as_ref()) {
        Some(question) => Some(modes.policies().judge(question).await),
        None => None,
    };
    let rule_of = |answer: &PolicyAnswer| format!("mode.{mode}.{}", answer.rule);
    let voice = asked.as_ref().and_then(|answer| {
        answer.verdict.map(|kind| ModeAnswer { kind, rule: rule_of(answer), words: answer.words.clone() })
    });
    let abstains = asked.as_ref().filter(|answer| answer.verdict.is_none()).map(rule_of);
    let rules = settings.rules();
    let judge = Judge { approve: settings.approve(), rules: &rules, mode: voice.as_ref(), ..Judge::default() };
    let subject = staged.as_ref().map_or(Subject::Arguments, Subject::Staged);
    let explanation = judge.explain(tool, &arguments, subject);
    let places = settings.resolved.rules.iter().map(|rule| {
        let place = Place { source: rule.source.to_string(), line: rule.value.line };
        (rule.value.id.clone(), place)
    });
    Ok(Judged {
        tool: args.tool.clone(),
        line: Arguments::of(tool, &arguments).into_line().map(in_words),
        narrowed: asked.and_then(|answer| answer.narrowed).filter(|_| staged.is_none()),
        abstains,
        is_judged_again: staged.is_none() && tool.effects == harness_core::item::Effects::Staged,
        arguments: arguments.to_string(),
        approve: settings.approve(),
        places: places.collect(),
        mode,
        staged,
        explanation,
    })
}

/// The arguments as a model would write them: a line of shell is put where its tool takes it.
fn arguments(tool: &ToolSpec, given: &str) -> Result<String, Failure> {
    let parsed: Result<Value, _> = serde_json::from_str(given);
    match (parsed, tool.command_line_argument()) {
        (Ok(value), _) if value.is_object() => Ok(given.to_owned()),
        (_, Some(name)) => Ok(json!({ name: given }).to_string()),
        (Ok(_), None) => Err(Failure::usage("the arguments are no JSON object")),
        (Err(error), None) => Err(Failure::usage(format!("the arguments are no JSON: {error}"))),
    }
}

/// Changes as if these files had been written, or deleted.
fn staged(workspace: &Path, paths: &[String]) -> Result<Manifest, Failure> {
    let content = FileState::File { digest: Digest::of(b""), bytes: 0, executable: false };
    let change = |text: &String| {
        let (path, is_deleted) = text.strip_prefix('-').map_or((text.as_str(), false), |path| (path, true));
        let is_plain = |part: &str| !matches!(part, "" | "." | "..");
        if !path.split('/').all(is_plain) {
            return Err(Failure::usage(format!(
                "`{}` is no path inside the workspace: give it relative to it, without `.` and `..`",
                crate::paint::one_line(path, 400)
            )));
        }
        let before = FileState::File { digest: Digest::of(b"before"), bytes: 0, executable: false };
        let is_there = is_deleted || workspace.join(path).symlink_metadata().is_ok();
        Ok(Change {
            path: path.to_owned(),
            before: is_there.then_some(before),
            after: (!is_deleted).then(|| content.clone()),
        })
    };
    Ok(Manifest::new(paths.iter().map(change).collect::<Result<_, _>>()?))
}

fn in_words(line: Result<CommandLine, NotUnderstood>) -> Result<Vec<String>, String> {
    line.map(|line| line.commands.iter().map(command_words).collect()).map_err(|why| why.to_string())
}

/// A command as a person would write it; `…` stands for what is not known before it runs.
fn command_words(command: &SimpleCommand) -> String {
    let word = |word: &Word| match word.known() {
        Some(text)
            if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./,:=+@%".contains(c)) =>
        {
            text.to_owned()
        }
        Some(text) => format!("'{}'", text.replace('\'', "'\\''")),
        None => "…".to_owned(),
    };
    let set = command.assignments.iter().map(|it| format!("{}={}", it.name, word(&it.value)));
    let files =
        command.redirections.iter().map(|it| format!("{} {}", if it.writes { ">" } else { "<" }, word(&it.path)));
    set.chain(command.words.iter().map(word)).chain(files).collect::<Vec<_>>().join(" ")
}

fn to_json(judged: &Judged) -> Value {
    let places: BTreeMap<&String, Value> = judged
        .places
        .iter()
        .map(|(rule, place)| (rule, json!({ "source": place.source, "line": place.line })))
        .collect();
    let (commands, not_understood) = match &judged.line {
        None => (None, None),
        Some(Ok(commands)) => (Some(commands), None),
        Some(Err(why)) => (None, Some(why)),
    };
    json!({
        "tool": judged.tool, "arguments": judged.arguments, "mode": judged.mode, "approve": judged.approve,
        "subject": if judged.staged.is_some() { "staged" } else { "arguments" },
        "staged": judged.staged, "commands": commands, "line_not_understood": not_understood,
        "verdict": judged.explanation.verdict, "heard": judged.explanation.heard, "silent": judged.explanation.silent,
        "rules": places, "narrowed": judged.narrowed, "abstains": judged.abstains, "changes_are_judged_too": judged.is_judged_again,
    })
}
