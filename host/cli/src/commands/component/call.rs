//! `component call`: one tool of a component, alone, in a sandbox without a session.
//!
//! Promise: it can do what it was granted here and where it was installed, and no more; its changes are shown
//! exactly, and put in place only where that was asked for; what it kept is shown and not kept.
//!
//! Not here: judging: the person at the keyboard sees all of it.

use super::add::described;
use super::{Here, parse_capability};
use crate::args::Cli;
use crate::args::component::CallArgs;
use crate::commands::{print_json, print_text};
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::paint::{Paint, err_line, lines, one_line};
use crate::run::{Hush, ask_question};
use crate::settings;
use crate::wiring;
use async_trait::async_trait;
use harness_core::change::Manifest;
use harness_core::event::{ApplyResult, Changes};
use harness_core::grant::{AccessKind, Capability};
use harness_core::outcome::Reply;
use harness_core::record::{KvSpace, RequestMade};
use harness_core::{CallId, Digest, Outcome, SessionId};
use harness_engine::diff;
use harness_engine::ports::{Blob, Blobs, CallProgress, CallReport, CallRequest, Hands, Kv, Resume, StoreError};
use harness_wasm::{Component, ComponentSource};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::sync::Arc;

/// Questions answered in one call.
const QUESTIONS_MAX: usize = 16;
/// Words of a component are shown up to this many characters.
const WORDS_CHARS_MAX: usize = 400;

/// Runs the command.
pub(super) async fn run(cli: &Cli, args: &CallArgs) -> Result<Exit, Failure> {
    let here = Here::of(cli, args.workspace.as_deref())?;
    let mut component = here.component(&args.component)?;
    let granted = granted(&here, &component, args)?;
    let wiring = wiring::wire(&here.settings)?;
    // What takes long is told by the runtime; the call's own time does not count it.
    wiring.runtime.load(&component).await.map_err(|error| Failure::because("preparing the component", &error))?;
    if let Some(json) = described(&wiring, &component).await? {
        let source = ComponentSource { name: component.name().to_owned(), bytes: component.bytes().to_owned().into() };
        component = Component::read_described(source, *component.limits(), &json)
            .map_err(|error| Failure::usage(chain(&error)))?;
    }
    let arguments = checked_arguments(&component, args, &given_arguments(&here, args)?)?;
    // Its folder is removed when this is dropped.
    let mut empty = None;
    let folder: PathBuf = match &args.workspace {
        Some(_) => here.workspace.clone(),
        None => {
            let made = tempfile::tempdir().map_err(|error| Failure::because("making an empty folder", &error))?;
            empty.insert(made).path().to_owned()
        }
    };
    // A file has no values of its own, whatever its name.
    let is_installed = here.installation.component(&args.component).is_some();
    let kv: Arc<dyn Kv> = if is_installed { wiring.host.ports().kv.clone() } else { Arc::new(NothingKept) };
    let hands = match &args.workspace {
        Some(_) => wiring.hands(&here.settings, &folder, vec![Arc::clone(&component)], kv)?,
        None => wiring.bare_hands(&folder, vec![Arc::clone(&component)], kv)?,
    };
    let mut request = CallRequest::new(SessionId::from_bits(0), CallId::from_bits(1), args.tool.clone(), arguments);
    request.granted = granted;
    request.progress = Arc::new(progress(args.output.json));
    let report = answered(hands.as_ref(), request, &component, args.output.json).await?;
    let contents = Contents::of(&report);
    let applied = apply(args, hands.as_ref(), &report, &contents).await;
    let applied = applied.as_ref();
    let shown = Shown { component: &component, report: &report, contents: &contents, applied, is_installed };
    if args.output.json { shown.json(args).await } else { shown.text(cli).await }?;
    Ok(match (&report.outcome, applied) {
        (_, Some(ApplyResult::Conflict { .. } | ApplyResult::Failed { .. })) => Exit::Failed,
        (Outcome::Returned { .. }, _) => Exit::Done,
        (Outcome::NeedsInput { .. }, _) => Exit::NeedsAnswer,
        (Outcome::OverLimit { .. }, _) => Exit::Limit,
        _ => Exit::Failed,
    })
}

/// The arguments as they were given, on the command line or on standard input.
fn given_arguments(here: &Here, args: &CallArgs) -> Result<String, Failure> {
    if args.arguments != "-" {
        return Ok(args.arguments.clone());
    }
    let bytes_max = wiring::call_limits(&here.settings).argument_bytes;
    let mut text = String::new();
    let read = std::io::stdin().lock().take(bytes_max.saturating_add(1)).read_to_string(&mut text);
    read.map_err(|error| Failure::usage(format!("the arguments on standard input cannot be read: {error}")))?;
    if u64::try_from(text.len()).is_ok_and(|bytes| bytes > bytes_max) {
        return Err(Failure::usage(format!("the arguments on standard input are longer than {bytes_max} bytes")));
    }
    Ok(text)
}

/// The arguments, fit for the tool: what the engine checks in a session.
fn checked_arguments(component: &Component, args: &CallArgs, given: &str) -> Result<String, Failure> {
    let Some(tool) = component.tools().iter().find(|tool| tool.name == args.tool) else {
        let known: Vec<&str> = component.tools().iter().map(|tool| tool.name.as_str()).collect();
        return Err(Failure::usage(format!(
            "{} has no tool `{}`; it has: {}",
            component.name(),
            one_line(&args.tool, 80),
            known.join(", ")
        )));
    };
    let shown = one_line(given, WORDS_CHARS_MAX);
    let value: Value = serde_json::from_str(given)
        .map_err(|error| Failure::usage(format!("the arguments are not JSON: {error}; given was: {shown}")))?;
    if !value.is_object() {
        return Err(Failure::usage(format!(
            "the arguments are not a JSON object, such as '{{\"path\": \"a.txt\"}}'; given was: {shown}"
        )));
    }
    let validator = jsonschema::validator_for(&tool.parameters)
        .map_err(|error| Failure::usage(format!("the tool's schema cannot be used: {error}")))?;
    let wrong: Vec<String> = validator.iter_errors(&value).take(5).map(|error| lines(&error.to_string())).collect();
    if wrong.is_empty() {
        return Ok(value.to_string());
    }
    Err(Failure::usage(format!(
        "the arguments do not fit: {}; `harness-host component inspect` shows the schema",
        wrong.join("; ")
    )))
}

/// What it was granted when it was installed, what the command line gives, and the folder it is lent unless the
/// command line says what it may do with files.
fn granted(here: &Here, component: &Component, args: &CallArgs) -> Result<Vec<Capability>, Failure> {
    let is_installed = here.installation.component(&args.component).is_some();
    let mut granted = if is_installed { here.installation.granted(component.name()) } else { Vec::new() };
    let installed = granted.len();
    for text in &args.grant {
        granted.push(parse_capability(text)?);
    }
    let is_filesystem = |it: &Capability| matches!(it, Capability::Filesystem { .. });
    let is_said = granted.iter().skip(installed).any(is_filesystem);
    // Nothing that happens in these outlives the call unless a person asked for it.
    let folder = |path: &str| Capability::Filesystem { access: AccessKind::Write, path: path.to_owned() };
    granted.push(folder("/scratch"));
    if !is_said {
        granted.push(folder("/workspace"));
    }
    Ok(granted)
}

fn progress(json: bool) -> impl Fn(CallProgress) {
    move |progress: CallProgress| {
        if !json {
            let share = progress.done_permille.map(|done| format!(" ({} %)", done / 10)).unwrap_or_default();
            err_line(&format!("  … {}{share}", one_line(&progress.words, WORDS_CHARS_MAX)));
        }
    }
}

/// Runs the call, and again with the answer where it asks a person who is there.
async fn answered(
    hands: &dyn Hands,
    mut request: CallRequest,
    component: &Component,
    json: bool,
) -> Result<CallReport, Failure> {
    let somebody = std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && !json;
    for _ in 0..QUESTIONS_MAX {
        let report = hands.execute(request.clone()).await;
        let Outcome::NeedsInput { question, choices, state } = &report.outcome else { return Ok(report) };
        if !somebody {
            return Ok(report);
        }
        let answer = ask_question(component.name(), question, choices, false, &Hush::default()).await?;
        let reply = answer.map_or(Reply::Unanswered, |text| Reply::Answer { text });
        request.resume = Some(Resume { state: state.clone(), reply });
    }
    Err(Failure::failed(format!("{} asked more than {QUESTIONS_MAX} questions", component.name())))
}

async fn apply(args: &CallArgs, hands: &dyn Hands, report: &CallReport, contents: &Contents) -> Option<ApplyResult> {
    let manifest = manifest(report).filter(|manifest| args.apply && !manifest.is_empty())?;
    if !report.outcome.is_success() {
        return None;
    }
    Some(hands.put(CallId::from_bits(1), manifest, contents).await)
}

fn manifest(report: &CallReport) -> Option<&Manifest> {
    match &report.changes {
        Changes::None => None,
        Changes::Staged { manifest } | Changes::Observed { manifest } => Some(manifest),
    }
}

/// A store with nothing in it.
struct NothingKept;

#[async_trait]
impl Kv for NothingKept {
    async fn kv_get(&self, _: &KvSpace, _: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    async fn kv_keys(&self, _: &KvSpace, _: &str, _: Option<&str>, _: usize) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    async fn kv_bytes(&self, _: &KvSpace) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// The contents that a report brings along.
struct Contents(HashMap<Digest, Arc<[u8]>>);

impl Contents {
    fn of(report: &CallReport) -> Self {
        Self(report.contents.iter().map(|Blob { digest, bytes }| (*digest, bytes.clone())).collect())
    }
}

#[async_trait]
impl Blobs for Contents {
    async fn get(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        Ok(self.0.get(&digest).cloned())
    }
}

/// What came of a call, ready to be shown.
struct Shown<'a> {
    component: &'a Component,
    report: &'a CallReport,
    contents: &'a Contents,
    applied: Option<&'a ApplyResult>,
    /// Else it is a file, which no list grants anything.
    is_installed: bool,
}

impl Shown<'_> {
    async fn diff(&self) -> Result<String, Failure> {
        let empty = Manifest::default();
        diff::unified(manifest(self.report).unwrap_or(&empty), self.contents)
            .await
            .map_err(|error| Failure::because("reading what would change", &error))
    }

    fn log(&self) -> Option<String> {
        let bytes = self.contents.0.get(&self.report.record.log?)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    fn model_text(&self) -> String {
        let changes = manifest(self.report).map_or(&[][..], Manifest::entries);
        match &self.report.outcome {
            Outcome::NotGranted { component, capability } if !self.is_installed => {
                format!("Not granted: {component} needs `{capability}`. Nothing was changed.")
            }
            outcome => outcome.model_text(changes),
        }
    }

    async fn json(&self, args: &CallArgs) -> Result<Exit, Failure> {
        let CallReport { outcome, usage, record, .. } = self.report;
        print_json(&json!({
            "component": self.component.name(), "digest": self.component.digest(), "tool": args.tool,
            "outcome": outcome, "text": self.model_text(), "usage": usage,
            "changes": manifest(self.report).map(Manifest::entries).unwrap_or_default(), "diff": self.diff().await?,
            "applied": self.applied, "requests": record.requests, "kv": record.kv, "refused": record.refused,
            "log": self.log(),
        }))
    }

    async fn text(&self, cli: &Cli) -> Result<Exit, Failure> {
        let settings = settings::read(&settings::Said::from_cli(cli), None)?;
        let paint = Paint::new(settings.resolved.ui.color.value, &std::io::stderr());
        let CallReport { outcome, usage, record, .. } = self.report;
        print_text(&lines(&self.model_text()))?;
        let word = outcome.word().replace('_', " ");
        let word = if outcome.is_success() { paint.good(&word) } else { paint.bad(&word) };
        err_line(&format!(
            "{word}  {}  {} fuel  {} KiB of memory",
            duration(usage.time_us),
            usage.fuel,
            usage.memory_bytes >> 10
        ));
        record.requests.iter().for_each(|request| err_line(&format!("  {}", request_line(request))));
        for write in &record.kv {
            let what = match &write.value {
                Some(value) => format!("set, {} bytes", value.len() / 4 * 3),
                None => "deleted".to_owned(),
            };
            let (scope, key) = (write.space.scope.word(), one_line(&write.key, 100));
            err_line(&format!("  kv {scope} {key}: {what} (not kept)"));
        }
        for refused in &record.refused {
            err_line(&paint.bad(&format!("  not granted: {refused}; grant it with --grant '{refused}'")));
        }
        if let Some(log) = self.log() {
            lines(&log).lines().for_each(|line| err_line(&paint.dim(&format!("  | {line}"))));
        }
        let diff = self.diff().await?;
        if !diff.is_empty() {
            err_line(paint.diff(&diff).trim_end_matches('\n'));
        }
        match self.applied {
            Some(ApplyResult::Applied) => err_line("applied"),
            Some(ApplyResult::Conflict { paths }) => {
                err_line(&paint.bad(&format!("not applied: {} changed meanwhile", lines(&paths.join(", ")))));
            }
            Some(ApplyResult::Failed { message }) => err_line(&paint.bad(&format!("not applied: {}", lines(message)))),
            None if !diff.is_empty() => err_line("not applied (--apply puts it in place)"),
            None => {}
        }
        Ok(Exit::Done)
    }
}

/// A request in one line.
pub(crate) fn request_line(request: &RequestMade) -> String {
    let RequestMade { method, url, status, problem, request_bytes, response_bytes, .. } = request;
    let came = match (status, problem) {
        (Some(status), None) => format!("{status}, {response_bytes} bytes"),
        (Some(status), Some(problem)) => format!("{status}, {response_bytes} bytes, then {problem}"),
        (None, Some(problem)) => problem.clone(),
        (None, None) => "no response".to_owned(),
    };
    let sent = if *request_bytes > 0 { format!(" ({request_bytes} bytes sent)") } else { String::new() };
    one_line(&format!("→ {method} {url}{sent}: {came}"), WORDS_CHARS_MAX)
}

fn duration(time_us: u64) -> String {
    if time_us < 10_000 { format!("{time_us} µs") } else { format!("{} ms", time_us / 1_000) }
}
