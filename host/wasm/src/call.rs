//! One call: a fresh Store, its limits, the guest, its outcome, its staged changes and its record.
//!
//! Promise: nothing is left of a call but its report. The deadline is armed when the call starts here
//! and covers all of it, host calls included; a call that trapped, timed out, crossed a limit, failed, needs
//! something or was dropped has staged nothing. What it was refused is in its record, and in its outcome where it
//! did not return.
//!
//! Not here: on which thread it runs (`threads`), compiling (`load`), what stands behind its imports (`host`).

use crate::answer;
use crate::entry::Answer;
use crate::fault;
use crate::filesystem::{Base, FinishError};
use crate::folders::Folders;
use crate::guest::{GuestState, Lent};
use crate::host::http::Requests;
use crate::host::inputs::Sources;
use crate::host::kv::{KvOwners, Values};
use crate::host::powers::{self, Powers};
use crate::host::progress::Reports;
use crate::limits::{CallLimits, as_size};
use crate::load::Loaded;
use crate::meter::Crossed;
use crate::tools::Component;
use harness_core::event::Changes;
use harness_core::grant::Capability;
use harness_core::outcome::{FailureKind, LimitName};
use harness_core::record::Inputs;
use harness_core::{CallRecord, CallUsage, Outcome};
use harness_egress::Egress;
use harness_engine::ports::{Blob, CallProgressSink, CallReport, Resume};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::{Engine, Store, UpdateDeadline};

/// Where a guest finds the workspace.
pub const WORKSPACE_PREOPEN: &str = "/workspace";

/// One call of a component.
#[derive(Clone)]
pub struct Call {
    /// The tool.
    pub tool: String,
    /// Its arguments, JSON text.
    pub arguments: String,
    /// What was granted, before the component's own ceiling.
    pub granted: Vec<Capability>,
    /// Where the call goes on; none where it begins.
    pub resume: Option<Resume>,
    /// Is told how far the call has come.
    pub progress: Arc<dyn CallProgressSink>,
    /// Where its values are kept, and as whose.
    pub kv: Option<KvOwners>,
    /// What it is told of time and chance; none where it is told of this host's.
    pub inputs: Option<Inputs>,
}

impl Call {
    /// A call that begins, with nothing granted.
    pub fn new(tool: impl Into<String>, arguments: impl Into<String>) -> Self {
        let (tool, arguments) = (tool.into(), arguments.into());
        let progress = Arc::new(|_| {});
        Self { tool, arguments, granted: Vec::new(), resume: None, progress, kv: None, inputs: None }
    }
}

/// What a call runs, over what.
pub(crate) struct Site<'a> {
    pub(crate) loaded: &'a Loaded,
    pub(crate) component: &'a Arc<Component>,
    pub(crate) base: &'a Arc<Base>,
    pub(crate) limits: &'a CallLimits,
    pub(crate) egress: &'a Arc<Egress>,
}

/// Runs a call to its end, on this thread. Needs a tokio runtime with its drivers around it.
pub(crate) async fn run(site: &Site<'_>, call: Call) -> CallReport {
    let started = Instant::now();
    let capabilities = powers::effective(site.component, &call.granted);
    let limits = powers::lowered(site.limits, &capabilities);
    if call.arguments.len() > as_size(limits.argument_bytes) {
        return CallReport::of(over(&limits, LimitName::ArgumentBytes));
    }
    let folders = Folders::lend(&capabilities, site.base, &limits);
    let lent = match lend(site.component, site.egress, &call, capabilities, &limits, started) {
        Ok(lent) => lent,
        Err(what) => return CallReport::of(Outcome::Faulted { what }),
    };
    let guest = GuestState::new(site.component.clone(), limits, folders.preopened(), lent);
    let mut store = match store(site.loaded.engine(), &limits, guest, started) {
        Ok(store) => store,
        Err(error) => {
            return CallReport::of(Outcome::Faulted { what: format!("no room for another guest: {error}") });
        }
    };
    let returned = enter(site, &limits, &mut store, call).await;
    let usage = CallUsage {
        fuel: limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0)),
        memory_bytes: store.data().meter.memory_peak_bytes(),
        time_us: 0,
    };
    let mut report = finish(site.component, &limits, store.into_data(), folders, returned);
    report.usage = CallUsage { time_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX), ..usage };
    report
}

fn over(limits: &CallLimits, limit: LimitName) -> Outcome {
    Outcome::OverLimit { limit, maximum: limits.maximum(limit) }
}

/// What a call is lent beside folders.
fn lend(
    component: &Component,
    egress: &Arc<Egress>,
    call: &Call,
    capabilities: Vec<Capability>,
    limits: &CallLimits,
    started: Instant,
) -> Result<Lent, String> {
    let sources = match &call.inputs {
        Some(inputs) => Sources::recorded(inputs).map_err(|error| format!("it cannot be run again: {error}"))?,
        None => Sources::fresh().map_err(|error| format!("no randomness: {error}"))?,
    };
    let deadline = started.checked_add(Duration::from_millis(limits.deadline_ms));
    Ok(Lent {
        powers: Powers::new(capabilities),
        sources,
        values: Values::new(call.kv.clone(), component.name()),
        reports: Reports::new(call.progress.clone()),
        requests: Requests::new(egress.clone(), deadline),
    })
}

pub(crate) fn store(
    engine: &Engine,
    limits: &CallLimits,
    guest: GuestState,
    started: Instant,
) -> wasmtime::Result<Store<GuestState>> {
    let mut store = Store::try_new(engine, guest)?;
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

/// Instantiates and calls within the deadline.
async fn enter(
    site: &Site<'_>,
    limits: &CallLimits,
    store: &mut Store<GuestState>,
    call: Call,
) -> Result<Answer, Outcome> {
    let (entry, instance_pre) = (site.loaded.entry(), site.loaded.instance_pre());
    let guest = entry.call(instance_pre, store, &call.tool, &call.arguments, call.resume);
    match tokio::time::timeout(Duration::from_millis(limits.deadline_ms), guest).await {
        Err(_elapsed) => Err(over(limits, LimitName::DeadlineMs)),
        Ok(Err(error)) => Err(fault::outcome(site.component.name(), &error, limits, &store.data().log)),
        Ok(Ok(answer)) => Ok(answer),
    }
}

/// The report of a run, with its staged changes and kv writes if the tool did what was asked.
fn finish(
    component: &Component,
    limits: &CallLimits,
    state: GuestState,
    folders: Folders,
    returned: Result<Answer, Outcome>,
) -> CallReport {
    let GuestState { files, log, table, lent, .. } = state;
    // What the guest left open holds parts of the layer.
    drop(table);
    let Lent { mut powers, mut sources, mut values, mut reports, requests } = lent;
    reports.finish();
    let broke = returned.is_err();
    let crossed = requests.used().and_then(|used| used.crossed());
    let crossed = folders.crossed().or(crossed.map(|limit| (limit, limits.maximum(limit))));
    let (outcome, mut contents) = match (crossed, returned) {
        // A limit counts also where the guest hid it from us, or died of it.
        (Some((limit, maximum)), _) => (Outcome::OverLimit { limit, maximum }, Vec::new()),
        (None, Ok(answer)) => answer::outcome(component.name(), limits, &mut powers, answer),
        (None, Err(outcome)) => (outcome, Vec::new()),
    };
    let mut record = CallRecord { refused: powers.take_refused(), ..CallRecord::default() };
    add_once(&mut record.refused, folders.refused());
    if let Some(used) = requests.used() {
        record.requests = used.requests();
        add_once(&mut record.refused, used.refused());
        sources.mark_incomplete();
    }
    if values.was_read() || matches!(outcome, Outcome::OverLimit { limit: LimitName::DeadlineMs, .. }) {
        sources.mark_incomplete();
    }
    if record.refused.is_empty() && files.were_asked_for && is_unexplained(&outcome, broke) {
        record.refused.extend(folders.missing(component));
    }
    record.inputs = Some(sources.finish());
    let (outcome, changes) = if outcome.is_success() {
        match folders.finish() {
            Ok(staged) => {
                contents.extend(staged.contents);
                record.kv = values.take_writes();
                let manifest = staged.manifest;
                (outcome, if manifest.is_empty() { Changes::None } else { Changes::Staged { manifest } })
            }
            Err(FinishError::Conflict { paths }) => (Outcome::Conflict { paths }, Changes::None),
            Err(FinishError::OverLimit { limit, maximum }) => (Outcome::OverLimit { limit, maximum }, Changes::None),
        }
    } else {
        (not_granted(component, outcome, &record.refused), Changes::None)
    };
    if !outcome.is_success() {
        contents.clear();
    }
    if matches!(outcome, Outcome::NeedsCall { .. }) {
        record.in_force = powers.capabilities().to_vec();
    }
    if let Some(text) = log.text() {
        let blob = Blob::new(text.into_bytes());
        record.log = Some(blob.digest);
        contents.push(blob);
    }
    CallReport { outcome, changes, contents, usage: CallUsage::default(), record }
}

fn add_once(refused: &mut Vec<Capability>, more: Vec<Capability>) {
    for capability in more {
        if !refused.contains(&capability) {
            refused.push(capability);
        }
    }
}

/// Whether a folder that is not there may be why a tool failed, or its guest broke.
fn is_unexplained(outcome: &Outcome, broke: bool) -> bool {
    match outcome {
        Outcome::Failed { kind, .. } => *kind != FailureKind::InvalidArguments,
        Outcome::Faulted { .. } => broke,
        _ => false,
    }
}

/// Where a tool failed or broke after something was refused, that is what a person can change.
fn not_granted(component: &Component, outcome: Outcome, refused: &[Capability]) -> Outcome {
    match (&outcome, refused.first()) {
        (Outcome::Failed { .. } | Outcome::Faulted { .. }, Some(capability)) => {
            Outcome::NotGranted { component: component.name().to_owned(), capability: Box::new(capability.clone()) }
        }
        _ => outcome,
    }
}
