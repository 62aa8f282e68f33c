//! One call: a fresh Store, its limits, the guest, its outcome and its staged changes.
//!
//! Promise: nothing is left of a call but its report. The deadline is armed when the call starts here
//! and covers all of it, host calls included; a call that trapped, timed out, crossed a limit, failed
//! or was dropped has staged nothing.
//!
//! Not here: on which thread it runs (`threads`), compiling (`load`).

use crate::clean::clean;
use crate::contract::exports::harness::tool::tool::Outcome as ToolOutcome;
use crate::contract::harness::tool::types::{ErrorKind, Failure, Part as ToolPart};
use crate::entry::Answer;
use crate::fault;
use crate::filesystem::{Access, Base, FilesystemCtx, FinishError, Layer, LayerLimits, Preopen};
use crate::guest::GuestState;
use crate::limits::{CallLimits, as_size};
use crate::load::Loaded;
use crate::meter::Crossed;
use harness_core::event::Changes;
use harness_core::outcome::{FailureKind, LimitName, Part};
use harness_core::{CallRecord, CallUsage, Outcome};
use harness_engine::ports::{Blob, CallReport};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::{Engine, Store, UpdateDeadline};

/// Where a guest finds the workspace.
pub const WORKSPACE_PREOPEN: &str = "/workspace";
/// An image's media type, in bytes.
const MIME_TYPE_BYTES_MAX: usize = 128;
/// A failure's code, in bytes.
const CODE_BYTES_MAX: usize = 64;

/// Runs a call to its end, on this thread. Needs a tokio runtime with time around it.
pub(crate) async fn run(
    loaded: &Loaded,
    base: &Arc<Base>,
    limits: &CallLimits,
    tool: &str,
    arguments: &str,
) -> CallReport {
    let started = Instant::now();
    if arguments.len() > as_size(limits.argument_bytes) {
        return CallReport::of(over(limits, LimitName::ArgumentBytes));
    }
    let layer = Layer::new(base.clone(), layer_limits(limits));
    let (returned, mut usage) = call_guest(loaded, &layer, limits, started, tool, arguments).await;
    let mut report = match returned {
        Ok(outcome) => finish(loaded.component().name(), layer, limits, outcome),
        // The layer is dropped: nothing was staged.
        Err(outcome) => CallReport::of(outcome),
    };
    usage.time_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    report.usage = usage;
    report
}

fn over(limits: &CallLimits, limit: LimitName) -> Outcome {
    Outcome::OverLimit { limit, maximum: limits.maximum(limit) }
}

fn layer_limits(limits: &CallLimits) -> LayerLimits {
    LayerLimits {
        staged_bytes: limits.staged_bytes,
        staged_files: limits.staged_files,
        open_handles: limits.open_handles,
        ..LayerLimits::default()
    }
}

/// Instantiates and calls within the deadline. Afterwards the Store is gone.
async fn call_guest(
    loaded: &Loaded,
    layer: &Layer,
    limits: &CallLimits,
    started: Instant,
    tool: &str,
    arguments: &str,
) -> (Result<ToolOutcome, Outcome>, CallUsage) {
    let preopens = vec![Preopen::new(WORKSPACE_PREOPEN, layer, Access::Staged)];
    let mut store = match store(loaded.engine(), limits, FilesystemCtx { preopens }, started) {
        Ok(store) => store,
        Err(error) => {
            let what = format!("no room for another guest: {error}");
            return (Err(Outcome::Faulted { what }), CallUsage::default());
        }
    };
    let guest = async {
        let Answer::Done(outcome) = loaded.entry().call(loaded.instance_pre(), &mut store, tool, arguments).await?;
        Ok(outcome)
    };
    let returned = match tokio::time::timeout(Duration::from_millis(limits.deadline_ms), guest).await {
        Err(_elapsed) => Err(over(limits, LimitName::DeadlineMs)),
        Ok(Err(error)) => Err(fault::outcome(loaded.component().name(), &error, limits, &store.data().log)),
        Ok(Ok(outcome)) => Ok(outcome),
    };
    let usage = CallUsage {
        fuel: limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0)),
        memory_bytes: store.data().meter.memory_peak_bytes(),
        time_us: 0,
    };
    // A limit of the layer counts also where the guest hid it from us, or died of it.
    match layer.crossed() {
        Some((limit, maximum)) => (Err(Outcome::OverLimit { limit, maximum }), usage),
        None => (returned, usage),
    }
}

pub(crate) fn store(
    engine: &Engine,
    limits: &CallLimits,
    files: FilesystemCtx,
    started: Instant,
) -> wasmtime::Result<Store<GuestState>> {
    let mut store = Store::try_new(engine, GuestState::new(*limits, files))?;
    store.limiter(|state| &mut state.meter);
    store.set_fuel(limits.fuel)?;
    store.set_hostcall_fuel(as_size(limits.host_bytes));
    store.set_max_component_handles(as_size(limits.open_handles));
    store.set_epoch_deadline(1);
    let crossed = Crossed::of(limits, LimitName::DeadlineMs);
    let deadline = Duration::from_millis(limits.deadline_ms);
    // A guest that computes gives others their turn at every epoch, and ends at its deadline without
    // waiting for a timer to be looked at.
    store.epoch_deadline_callback(move |_| {
        if started.elapsed() >= deadline { Err(crossed.into()) } else { Ok(UpdateDeadline::Yield(1)) }
    });
    Ok(store)
}

/// Turns what the guest returned into a report, with its staged changes if it succeeded.
fn finish(component: &str, layer: Layer, limits: &CallLimits, returned: ToolOutcome) -> CallReport {
    if output_bytes(&returned) > as_size(limits.output_bytes) {
        return CallReport::of(over(limits, LimitName::OutputBytes));
    }
    let parts = match returned {
        ToolOutcome::Failed(failure) => return CallReport::of(failed(failure)),
        ToolOutcome::Returned(parts) => parts,
    };
    let mut contents = Vec::new();
    let parts = match parts.into_iter().map(|part| convert(part, &mut contents)).collect() {
        Ok(parts) => parts,
        Err(problem) => {
            return CallReport::of(Outcome::Faulted { what: format!("component `{component}` returned {problem}") });
        }
    };
    let staged = match layer.finish() {
        Ok(staged) => staged,
        Err(error) => return CallReport::of(finish_failed(error)),
    };
    let changes =
        if staged.manifest.is_empty() { Changes::None } else { Changes::Staged { manifest: staged.manifest } };
    contents.extend(staged.contents);
    CallReport {
        outcome: Outcome::Returned { parts },
        changes,
        contents,
        usage: CallUsage::default(),
        record: CallRecord::default(),
    }
}

/// What the model reads of a failure to collect the changes.
fn finish_failed(error: FinishError) -> Outcome {
    match error {
        FinishError::Conflict { paths } => Outcome::Conflict { paths },
        FinishError::OverLimit { limit, maximum } => Outcome::OverLimit { limit, maximum },
    }
}

fn output_bytes(outcome: &ToolOutcome) -> usize {
    let part_bytes = |part: &ToolPart| match part {
        ToolPart::Text(text) | ToolPart::Json(text) => text.len(),
        ToolPart::Image(image) => image.mime_type.len() + image.bytes.len(),
        ToolPart::Resource(resource) => {
            resource.uri.len() + resource.mime_type.as_ref().map_or(0, String::len) + resource.text.len()
        }
    };
    match outcome {
        // An empty part takes room too.
        ToolOutcome::Returned(parts) => parts.iter().map(|part| part_bytes(part) + size_of::<Part>()).sum(),
        ToolOutcome::Failed(failure) => failure.code.len() + failure.message.len(),
    }
}

fn convert(part: ToolPart, contents: &mut Vec<Blob>) -> Result<Part, &'static str> {
    Ok(match part {
        ToolPart::Text(text) => Part::Text { text: clean(text) },
        ToolPart::Json(json) => {
            serde_json::from_str::<serde::de::IgnoredAny>(&json).map_err(|_| "a JSON part that is not JSON")?;
            // Valid JSON has control characters only between its values.
            Part::Json { json: clean(json) }
        }
        ToolPart::Image(image) => {
            let mime_type = mime_type(image.mime_type).ok_or("an image without a media type")?;
            let blob = Blob::new(image.bytes);
            let part = Part::Image { mime_type, digest: blob.digest, bytes: blob.bytes.len() as u64 };
            contents.push(blob);
            part
        }
        ToolPart::Resource(resource) => Part::Resource {
            uri: clean(resource.uri).replace(['\n', '\t'], " "),
            mime_type: resource.mime_type.and_then(mime_type),
            text: clean(resource.text),
        },
    })
}

/// A media type as RFC 6838, 4.2 allows it: `type/subtype` and parameters, printable ASCII.
fn mime_type(text: String) -> Option<String> {
    let is_sound = text.len() <= MIME_TYPE_BYTES_MAX
        && text.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty())
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    is_sound.then_some(text)
}

fn failed(failure: Failure) -> Outcome {
    let code = clean(failure.code).replace(['\n', '\t'], " ");
    Outcome::Failed {
        kind: kind(failure.kind),
        code: code[..code.floor_char_boundary(CODE_BYTES_MAX)].to_owned(),
        message: clean(failure.message),
        retryable: failure.retryable,
    }
}

const fn kind(kind: ErrorKind) -> FailureKind {
    match kind {
        ErrorKind::InvalidArguments => FailureKind::InvalidArguments,
        ErrorKind::NotFound => FailureKind::NotFound,
        ErrorKind::NotPermitted => FailureKind::NotPermitted,
        ErrorKind::Conflict => FailureKind::Conflict,
        ErrorKind::TooLarge => FailureKind::TooLarge,
        ErrorKind::Unsupported => FailureKind::Unsupported,
        ErrorKind::Failed => FailureKind::Failed,
    }
}
