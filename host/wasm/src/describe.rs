//! Asking a component for its tools by a call, for languages that cannot write a custom section.
//!
//! Promise: everything is denied (no files, no environment, no requests) and the limits are tight; what comes
//! back is checked like a section before anybody believes it. Asked once, when a component is installed: whoever
//! installs it keeps the answer with its digest and reads it with [`Component::read_described`].
//!
//! Not here: what the answer must be (`tools`).

use crate::call;
use crate::fault;
use crate::filesystem::FilesystemCtx;
use crate::guest::{GuestState, Lent};
use crate::host::http::Requests;
use crate::host::inputs::Sources;
use crate::host::kv::Values;
use crate::host::powers::Powers;
use crate::host::progress::Reports;
use crate::limits::CallLimits;
use crate::load::Loaded;
use crate::tools::{Component, ComponentSource, TOOLS_SECTION_BYTES_MAX};
use harness_core::Outcome;
use harness_core::outcome::{LimitName, Part};
use harness_egress::Egress;
use harness_engine::ports::CallReport;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::format_err;

/// What describing may use: CPython's start fits.
pub(crate) const DESCRIBE_LIMITS: CallLimits = CallLimits {
    fuel: 2_000_000_000,
    deadline_ms: 5_000,
    memory_bytes: 64 << 20,
    open_handles: 32,
    output_bytes: TOOLS_SECTION_BYTES_MAX as u64,
    host_bytes: 1 << 20,
    ..CallLimits::DEFAULT
};

/// Why a component's tools are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescribeError {
    /// There is nothing to ask.
    #[error("component `{name}` does not export `harness:tool/describe@0.1.0`: there is nothing to ask it")]
    Nothing {
        /// The component.
        name: String,
    },
    /// It could not be loaded.
    #[error("{0}")]
    Load(String),
    /// The call did not end well.
    #[error("component `{name}` was asked what it offers and did not answer: {problem}")]
    Call {
        /// The component.
        name: String,
        /// What happened, as a model would read it.
        problem: String,
    },
    /// What it answered cannot be used.
    #[error("component `{name}` was asked what it offers and gave no good answer: {problem}")]
    Answer {
        /// The component.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

/// Makes the call, on this thread. The report's one text part is the answer, not cleaned.
pub(crate) async fn run(
    loaded: &Loaded,
    component: &Arc<Component>,
    egress: &Arc<Egress>,
    limits: &CallLimits,
) -> CallReport {
    match ask(loaded, component, egress, &limits.lowered_to(&DESCRIBE_LIMITS)).await {
        Ok(json) => CallReport::of(Outcome::Returned { parts: vec![Part::Text { text: json }] }),
        Err(outcome) => CallReport::of(outcome),
    }
}

async fn ask(
    loaded: &Loaded,
    component: &Arc<Component>,
    egress: &Arc<Egress>,
    limits: &CallLimits,
) -> Result<String, Outcome> {
    let faulted = |what: String| Outcome::Faulted { what };
    let sources = Sources::fresh().map_err(|error| faulted(format!("no randomness: {error}")))?;
    let started = Instant::now();
    let lent = Lent {
        powers: Powers::default(),
        sources,
        values: Values::new(None, component.name()),
        reports: Reports::new(Arc::new(|_| {})),
        requests: Requests::new(egress.clone(), None),
    };
    let guest = GuestState::new(component.clone(), *limits, FilesystemCtx::default(), lent);
    let mut store = call::store(loaded.engine(), limits, guest, started)
        .map_err(|error| faulted(format!("no room for another guest: {error}")))?;
    let name = component.name();
    let guest = async {
        let missing = || format_err!("`describe` is not where it was read");
        let instance = loaded.instance_pre().instantiate_async(&mut store).await?;
        let export = component.describe_export().ok_or_else(missing)?;
        let interface = instance.get_export_index(&mut store, None, export).ok_or_else(missing)?;
        let index = instance.get_export_index(&mut store, Some(&interface), "describe").ok_or_else(missing)?;
        let function = instance.get_typed_func::<(), (String,)>(&mut store, index)?;
        function.call_async(&mut store, ()).await.map(|(json,)| json)
    };
    let over = |limit| Outcome::OverLimit { limit, maximum: limits.maximum(limit) };
    match tokio::time::timeout(Duration::from_millis(limits.deadline_ms), guest).await {
        Err(_elapsed) => Err(over(LimitName::DeadlineMs)),
        Ok(Err(error)) => Err(fault::outcome(name, &error, limits, &store.data().log)),
        Ok(Ok(json)) if json.len() > TOOLS_SECTION_BYTES_MAX => Err(over(LimitName::OutputBytes)),
        Ok(Ok(json)) => Ok(json),
    }
}

/// The answer, if it can be used.
pub(crate) fn answer(component: &Component, report: CallReport) -> Result<String, DescribeError> {
    let name = component.name().to_owned();
    let json = match report.outcome {
        Outcome::Returned { parts } => match parts.into_iter().next() {
            Some(Part::Text { text }) => text,
            _ => String::new(),
        },
        outcome => return Err(DescribeError::Call { name, problem: outcome.model_text(&[]) }),
    };
    let source = ComponentSource { name: name.clone(), bytes: component.bytes().to_vec().into() };
    match Component::read_described(source, *component.limits(), &json) {
        Ok(_) => Ok(json),
        Err(error) => Err(DescribeError::Answer { name, problem: error.to_string() }),
    }
}
