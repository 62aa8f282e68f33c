//! `sessions replay --execute`: calls, run again.
//!
//! Promise: a call runs by the digest that it ran by, in a fresh sandbox over a copy of the workspace from which its
//! changes and all later ones of the session were taken back; nothing of the workspace, no host and no value is touched.
//! What cannot be run so is listed with the reason.
//!
//! Not here: what a call was told (`harness_engine::recorded`), running it (harness-wasm).

use super::{branches, on_disk};
use crate::failure::Failure;
use crate::installed::Installation;
use crate::paint::one_line;
use crate::wiring::Wiring;
use harness_core::change::{Change, FileState, Manifest};
use harness_core::event::Changes;
use harness_core::outcome::Outcome;
use harness_core::{CallId, Capability, SessionId};
use harness_engine::ports::{Blobs, CallRequest};
use harness_engine::recorded::RecordedCall;
use serde::Serialize;
use std::fs::{Metadata, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Where calls are run again.
pub(super) struct Place<'a> {
    pub(super) workspace: &'a Path,
    pub(super) installation: &'a Installation,
}

/// What came of one call.
#[derive(Serialize)]
pub(super) struct Again {
    call: CallId,
    tool: String,
    /// Why it was not run; none where it was.
    not_executed: Option<String>,
    /// What is not the same.
    pub(super) differences: Vec<String>,
}

impl Again {
    pub(super) fn row(&self) -> String {
        let came = match (&self.not_executed, self.differences.as_slice()) {
            (Some(why), _) => format!("not run again: {why}"),
            (None, []) => "same outcome, changes and fuel".to_owned(),
            (None, differences) => format!("DIFFERENT: {}", differences.join("; ")),
        };
        format!("{}  {}  {came}", self.call, one_line(&self.tool, 64))
    }
}

/// Runs all calls again that can be, and tells of the others. In the order in which they reported.
pub(super) async fn run_all(wiring: &Wiring, id: SessionId, place: Place<'_>) -> Result<Vec<Again>, Failure> {
    let calls = wiring.host.recorded_calls(id).await.map_err(|error| Failure::because("reading the calls", &error))?;
    let undone = wiring.host.changes(id).await.map_err(|error| Failure::because("reading the calls", &error))?;
    let is_undone = |call: CallId| undone.iter().any(|it| it.call == call && it.undone);
    let failed = |error: &dyn std::error::Error| Failure::because("copying the workspace to run calls over", error);
    let folder = tempfile::tempdir().map_err(|error| failed(&error))?;
    let (from, to) = (place.workspace.to_owned(), folder.path().to_owned());
    let copied =
        tokio::task::spawn_blocking(move || branches::copy(&from, &to)).await.map_err(|error| failed(&error))?;
    copied.map_err(|error| failed(&error))?;
    let mut all = Vec::new();
    // Once something could not be taken back, what was there before is not known any more.
    let mut unknown: Option<String> = None;
    for call in calls.iter().rev() {
        if unknown.is_none() && !is_undone(call.call) {
            unknown = take_back(folder.path(), &call.applied, wiring.host.ports().blobs.as_ref()).await.err();
        }
        let (not_executed, differences) = match unknown.clone().or_else(|| reason(call, &place)) {
            Some(why) => (Some(why), Vec::new()),
            None => (None, run(wiring, id, &place, folder.path(), call).await?),
        };
        all.push(Again { call: call.call, tool: call.tool.clone(), not_executed, differences });
    }
    all.reverse();
    Ok(all)
}

/// Why a call cannot be run again.
fn reason(call: &RecordedCall, place: &Place<'_>) -> Option<String> {
    let (outcome, changes, _, record) = call.reported.as_ref()?;
    if call.implementation == harness_core::item::SESSION_IMPLEMENTATION {
        return Some("the session itself carried it out".to_owned());
    }
    if call.started > 1 || matches!(outcome, Outcome::NeedsInput { .. } | Outcome::NeedsCall { .. }) {
        return Some("it was started more than once, or asked something".to_owned());
    }
    if matches!(changes, Changes::Observed { .. }) {
        return Some("it changed the world at once".to_owned());
    }
    if !record.requests.is_empty() {
        return Some("it made requests, which are not made again".to_owned());
    }
    if call.granted.iter().any(|capability| matches!(capability, Capability::Kv { .. })) {
        return Some("it could read values, which are not recorded".to_owned());
    }
    match &record.inputs {
        None => return Some("what it was told of time and chance is not recorded".to_owned()),
        Some(inputs) if !inputs.is_complete => {
            return Some("it read the clock more often than is recorded, or was stopped".to_owned());
        }
        Some(_) => {}
    }
    let is_there = place.installation.components.iter().any(|it| it.digest().to_string() == call.implementation);
    (!is_there).then(|| format!("the component {} is not here any more", one_line(&call.implementation, 80)))
}

async fn run(
    wiring: &Wiring,
    id: SessionId,
    place: &Place<'_>,
    folder: &Path,
    call: &RecordedCall,
) -> Result<Vec<String>, Failure> {
    let components = &place.installation.components;
    let component = components.iter().find(|it| it.digest().to_string() == call.implementation);
    let (Some(component), Some((outcome, changes, usage, record))) = (component, &call.reported) else {
        return Ok(vec!["its component is gone".to_owned()]);
    };
    let Some(inputs) = &record.inputs else { return Ok(vec!["its inputs are gone".to_owned()]) };
    let hands = wiring.hands_again(folder, component.clone())?;
    let request = CallRequest::new(id, call.call, call.tool.clone(), call.arguments.clone());
    let again = hands.execute_again(CallRequest { granted: call.granted.clone(), ..request }, inputs).await;
    let mut differences = Vec::new();
    if again.outcome != *outcome {
        let [was, is] = [outcome, &again.outcome].map(|it| one_line(&it.model_text(&[]), 120));
        differences.push(format!("the outcome was `{was}` and is `{is}`"));
    }
    if again.changes != *changes {
        differences.push("the changes are others".to_owned());
    }
    if again.usage.fuel != usage.fuel {
        differences.push(format!("the fuel was {} and is {}", usage.fuel, again.usage.fuel));
    }
    Ok(differences)
}

/// Puts back what was there before. An error where that is not kept, or would be put elsewhere: a log that was taken in
/// may name any path, and the workspace may have got links since.
async fn take_back(folder: &Path, applied: &Manifest, blobs: &dyn Blobs) -> Result<(), String> {
    let failed = |path: &str, why: &dyn std::fmt::Display| {
        format!("what was there before it is not known: {}: {why}", one_line(path, 120))
    };
    for change in applied.entries() {
        let is_link = |found: Option<Metadata>| found.is_some_and(|found| found.is_symlink());
        if !change.is_inside() || on_disk::look(folder, &change.path).map(is_link).unwrap_or(true) {
            return Err(failed(&change.path, &"it leads out of the workspace"));
        }
    }
    // A folder comes before what is in it, and goes after it.
    for Change { path, before, after } in applied.entries().iter().rev() {
        let at = folder.join(path);
        if before.is_none() {
            let removed = match after {
                Some(FileState::Directory) => std::fs::remove_dir(&at),
                Some(FileState::File { .. }) => std::fs::remove_file(&at),
                None => Ok(()),
            };
            removed.map_err(|error| failed(path, &error))?;
        }
    }
    for Change { path, before, .. } in applied.entries() {
        let at = folder.join(path);
        match before {
            None => {}
            Some(FileState::Directory) => std::fs::create_dir_all(&at).map_err(|error| failed(path, &error))?,
            Some(FileState::File { digest, executable, .. }) => {
                let content = blobs.get(*digest).await.map_err(|error| failed(path, &error))?;
                let content = content.ok_or_else(|| failed(path, &"its content is not kept any more"))?;
                if let Some(parent) = at.parent() {
                    std::fs::create_dir_all(parent).map_err(|error| failed(path, &error))?;
                }
                std::fs::write(&at, &content).map_err(|error| failed(path, &error))?;
                let mode = if *executable { 0o755 } else { 0o644 };
                std::fs::set_permissions(&at, Permissions::from_mode(mode)).map_err(|error| failed(path, &error))?;
            }
        }
    }
    Ok(())
}
