//! `sessions diff|undo`: what calls changed, and taking it back.
//!
//! Promise: what would be put in place is shown exactly before it is; a file that was changed since, or whose
//! content from before is not kept, is named, and nothing is changed; what cannot be taken back (requests,
//! values) is listed.
//!
//! Not here: planning and doing it (harness-engine).

use crate::args::SelectionArgs;
use crate::commands::component::request_line;
use crate::commands::sessions::on_disk::{self, OnDisk};
use crate::commands::{counted, print_json, print_text};
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::git::{self, Repository};
use crate::paint::{Paint, err_line, lines, one_line};
use crate::settings::{self, Said, Settings};
use crate::wiring::Wiring;
use harness_core::change::Manifest;
use harness_core::event::ApplyResult;
use harness_core::record::{KvWrite, RequestMade};
use harness_core::{CallId, Refusal, SessionId};
use harness_engine::ports::Takeover;
use harness_engine::undo::{CallChanges, Selection, UndoError, UndoPlan, net};
use harness_engine::{OpenError, SessionError, diff};
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::path::Path;

/// Characters of a call's id after `call_` that its beginning has at least.
const PREFIX_CHARS_MIN: usize = 4;

/// Shows what calls changed together.
pub(super) async fn diff(
    wiring: &Wiring,
    settings: &Settings,
    id: SessionId,
    which: &SelectionArgs,
    json: bool,
) -> Result<Exit, Failure> {
    let all = changes(wiring, id).await?;
    let selection = selection(&all, which)?;
    let calls: Vec<&CallChanges> = all.iter().filter(|call| is_selected(call, selection, &all)).collect();
    let changed = net(calls.iter().copied().filter(|call| !call.undone));
    let diff = shown(wiring, &changed.manifest).await?;
    if json {
        return print_json(&json!({
            "calls": calls.iter().map(|call| call_json(call)).collect::<Vec<_>>(),
            "changes": changed.manifest, "foreign": changed.foreign, "diff": diff,
        }));
    }
    if calls.is_empty() {
        return print_text("no call has ended");
    }
    let paint = Paint::new(settings.resolved.ui.color.value, &std::io::stdout());
    let mut text = Vec::new();
    for call in calls {
        text.push(call_row(call));
        text.extend(call.requests.iter().map(|request| format!("  {}", request_line(request))));
        text.extend(call.kv.iter().map(|write| format!("  {}", kv_line(write))));
    }
    text.push(String::new());
    text.push(match diff.is_empty() {
        true => "no file is changed".to_owned(),
        false => paint.diff(&diff).trim_end_matches('\n').to_owned(),
    });
    if !changed.foreign.is_empty() {
        text.push(format!("changed by somebody else in between: {}", paths(&changed.foreign)));
    }
    print_text(&text.join("\n"))
}

/// Takes changes back.
pub(super) async fn undo(
    wiring: &Wiring,
    said: &Said,
    id: SessionId,
    which: &SelectionArgs,
    (dry_run, yes, json): (bool, bool, bool),
) -> Result<Exit, Failure> {
    let all = changes(wiring, id).await?;
    let plan = wiring.host.plan_undo(id, selection(&all, which)?).await.map_err(told)?;
    let diff = shown(wiring, &plan.manifest).await?;
    let workspace = wiring.host.ports().index.summary(id).await;
    let workspace = workspace.map_err(|error| Failure::because("reading the session", &error))?.workspace;
    let workspace = settings::workspace_folder(Some(Path::new(&workspace)))?;
    // An undoing that a crash interrupted is finished first: until then the disk says nothing.
    let loaded = wiring.host.load(id).await.map_err(|error| Failure::because("reading the session", &error))?;
    let on_disk = match loaded.state.undoing {
        Some(_) => OnDisk::default(),
        None => on_disk::compare(&workspace, &plan.manifest)?,
    };
    let now = Repository::default().look(&workspace);
    if let Some(words) = git::difference(loaded.state.git.as_ref(), now.as_ref()) {
        err_line(&words);
    }
    let planned = Planned { plan: &plan, diff: &diff, on_disk: &on_disk };
    let refusal = refusal(&plan, &on_disk);
    if json && (refusal.is_some() || dry_run || plan.of.is_empty()) {
        planned.print(None)?;
    } else if !json {
        planned.show()?;
    }
    if let Some(failure) = refusal {
        return Err(failure);
    }
    if plan.of.is_empty() || dry_run {
        return Ok(Exit::Done);
    }
    let count = plan.manifest.entries().len().saturating_sub(on_disk.already.len());
    if !yes && !confirmed(count, json)? {
        return print_text("nothing was changed");
    }
    let settings = settings::read(said, Some(&workspace))?;
    let hands = wiring.hands(&settings, &workspace, Vec::new(), wiring.host.ports().kv.clone())?;
    let result = wiring.host.undo(id, &plan, hands, Takeover::IfGone).await;
    let result = result.map_err(|error| told_of(id, error))?;
    if json {
        planned.print(Some(&result))?;
    }
    match result {
        ApplyResult::Applied if json => Ok(Exit::Done),
        ApplyResult::Applied => print_text(&format!("took back {}", counted(count, "change"))),
        ApplyResult::Conflict { paths: changed } => Err(conflict(&changed)),
        ApplyResult::Failed { message } => Err(Failure::failed(format!("not taken back: {}", lines(&message)))),
    }
}

/// What would be done, ready to be shown.
pub(super) struct Planned<'a> {
    pub(super) plan: &'a UndoPlan,
    pub(super) diff: &'a str,
    pub(super) on_disk: &'a OnDisk,
}

impl Planned<'_> {
    fn print(&self, result: Option<&ApplyResult>) -> Result<Exit, Failure> {
        print_json(&self.for_programs(result))
    }

    pub(super) fn for_programs(&self, result: Option<&ApplyResult>) -> Value {
        let Self { plan, diff, on_disk } = self;
        json!({
            "of": plan.of, "changes": plan.manifest, "diff": diff, "missing": plan.missing, "foreign": plan.foreign,
            "changed_since": on_disk.changed, "as_before_already": on_disk.already,
            "requests": plan.requests, "kv": plan.kv, "stay_undone": plan.stay_undone, "result": result,
        })
    }

    pub(super) fn show(&self) -> Result<(), Failure> {
        let Self { plan, diff, on_disk } = self;
        if plan.of.is_empty() {
            print_text("there is nothing to take back")?;
        } else {
            print_text(diff.trim_end_matches('\n'))?;
        }
        for path in &on_disk.already {
            err_line(&lines(&format!("as it was before already: {path}")));
        }
        for request in &plan.requests {
            err_line(&format!("stays made: {}", request_line(request)));
        }
        for write in &plan.kv {
            err_line(&format!("stays: {}", kv_line(write)));
        }
        for path in &plan.stay_undone {
            err_line(&lines(&format!("was taken back since, and is not put in place again: {path}")));
        }
        Ok(())
    }
}

/// Why a plan cannot be carried out.
pub(super) fn refusal(plan: &UndoPlan, on_disk: &OnDisk) -> Option<Failure> {
    if !plan.foreign.is_empty() {
        return Some(told(UndoError::Foreign(plan.foreign.clone())));
    }
    if !plan.missing.is_empty() {
        return Some(told(UndoError::NotKept(plan.missing.clone())));
    }
    (!on_disk.changed.is_empty()).then(|| conflict(&on_disk.changed))
}

pub(super) fn conflict(changed: &[String]) -> Failure {
    let words = "nothing was changed: changed since, by a later turn or somebody else";
    Failure::failed(format!("{words}: {}", paths(changed)))
}

pub(super) fn told(error: UndoError) -> Failure {
    let words = lines(&chain(&error));
    match error {
        UndoError::Unknown(_) => Failure::usage(words),
        _ => Failure::failed(format!("nothing was changed: {words}")),
    }
}

/// The same of one session: a turn that is in the way can be stopped.
pub(super) fn told_of(id: SessionId, error: UndoError) -> Failure {
    let is_running = matches!(
        error,
        UndoError::Open(OpenError::Refused(Refusal::TurnRunning))
            | UndoError::Session(SessionError::Refused(Refusal::TurnRunning))
    );
    let mut failure = told(error);
    if is_running {
        failure.message.push_str(&format!(" (harness-host sessions stop {id})"));
    }
    failure
}

/// Whether a person wants changes put in place.
pub(super) fn confirmed(count: usize, json: bool) -> Result<bool, Failure> {
    let question = format!("Put {} in place?", counted(count, "change"));
    is_wanted(&question, "give --yes to do it, or --dry-run to see it only", json)
}

/// Asks a person; where nobody can be asked, that fails with what to do instead.
pub(super) fn is_wanted(question: &str, instead: &str, json: bool) -> Result<bool, Failure> {
    if json || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::usage(format!("nobody can be asked here: {instead}")));
    }
    let failed = |error: std::io::Error| Failure::because("asking", &error);
    let mut err = std::io::stderr().lock();
    write!(err, "{question} [y/N] ").and_then(|()| err.flush()).map_err(failed)?;
    drop(err);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(failed)?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

async fn changes(wiring: &Wiring, id: SessionId) -> Result<Vec<CallChanges>, Failure> {
    wiring.host.changes(id).await.map_err(|error| Failure::because("reading the session", &error))
}

pub(super) async fn shown(wiring: &Wiring, manifest: &Manifest) -> Result<String, Failure> {
    diff::unified(manifest, wiring.host.ports().blobs.as_ref())
        .await
        .map_err(|error| Failure::because("reading what changed", &error))
}

/// The calls that the command line means; a call by its id or the unique beginning of one.
fn selection(all: &[CallChanges], which: &SelectionArgs) -> Result<Selection, Failure> {
    let Some(text) = &which.call else {
        return Ok(which.turn.map_or(Selection::All, Selection::Turn));
    };
    let beginning = text.strip_prefix("call_").unwrap_or(text);
    let prefix = format!("call_{beginning}");
    let found: Vec<CallId> =
        all.iter().map(|call| call.call).filter(|call| call.to_string().starts_with(&prefix)).collect();
    match found.as_slice() {
        [call] if beginning.len() >= PREFIX_CHARS_MIN => Ok(Selection::Call(*call)),
        [] => Err(Failure::usage(format!("the session has no call `{}` that ended", one_line(text, 80)))),
        several => Err(Failure::usage(format!(
            "{} calls begin with `{}`: give more of the id",
            several.len(),
            one_line(text, 80)
        ))),
    }
}

fn is_selected(call: &CallChanges, selection: Selection, all: &[CallChanges]) -> bool {
    match selection {
        Selection::All => true,
        Selection::Turn(number) => call.turn_number == number,
        Selection::After(event) => call.ended > event,
        Selection::Call(wanted) => {
            let mut next = Some(call);
            // A call belongs to those that needed it. Parents never form a circle; the count ends one all the same.
            for _ in 0..all.len() {
                match next {
                    Some(found) if found.call == wanted => return true,
                    Some(found) => next = all.iter().find(|other| Some(other.call) == found.parent),
                    None => return false,
                }
            }
            false
        }
    }
}

fn call_row(call: &CallChanges) -> String {
    let undone = if call.undone { "  taken back" } else { "" };
    format!(
        "turn {}  {}  {}  {}  {}  {} fuel  {} KiB  {} µs{undone}",
        call.turn_number,
        call.call,
        one_line(&call.tool, 64),
        call.outcome,
        counted(call.changes.entries().len(), "path"),
        call.usage.fuel,
        call.usage.memory_bytes >> 10,
        call.usage.time_us
    )
}

fn call_json(call: &CallChanges) -> Value {
    let requests: &[RequestMade] = &call.requests;
    json!({
        "call": call.call, "parent": call.parent, "turn": call.turn_number, "tool": call.tool,
        "outcome": call.outcome, "changes": call.changes, "requests": requests, "kv": call.kv,
        "usage": call.usage, "undone": call.undone,
    })
}

/// One kv write in words.
fn kv_line(write: &KvWrite) -> String {
    let verb = if write.value.is_some() { "set" } else { "deleted" };
    let words = format!("kv {} of {}: {verb} {}", write.space.scope.word(), write.space.component, write.key);
    one_line(&words, 200)
}

fn paths(paths: &[String]) -> String {
    lines(&paths.join(", "))
}
