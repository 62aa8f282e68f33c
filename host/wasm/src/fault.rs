//! What an error out of the engine means: the limit that was crossed, or what broke.
//!
//! Promise: every limit is named whichever way the engine reports it; text of the guest is cleaned,
//! cut, and marked as the guest's.
//!
//! Not here: what happens to the call's changes (`call`: they are dropped).

use crate::clean::clean_and_cut;
use crate::limits::{CallLimits, FAULT_TEXT_BYTES_MAX};
use crate::log::Log;
use crate::meter::Crossed;
use harness_core::Outcome;
use harness_core::outcome::LimitName;
use wasmtime::component::ResourceTableError;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

/// Bytes of the engine's own reason.
const REASON_BYTES_MAX: usize = 512;

/// The outcome of a call that ended with an error.
pub(crate) fn outcome(component: &str, error: &wasmtime::Error, limits: &CallLimits, log: &Log) -> Outcome {
    if let Some(crossed) = error.downcast_ref::<Crossed>() {
        return Outcome::OverLimit { limit: crossed.limit, maximum: crossed.maximum };
    }
    match limit(error) {
        Some(limit) => Outcome::OverLimit { limit, maximum: limits.maximum(limit) },
        None => Outcome::Faulted { what: what(component, error, log) },
    }
}

fn limit(error: &wasmtime::Error) -> Option<LimitName> {
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => return Some(LimitName::Fuel),
        Some(Trap::StackOverflow) => return Some(LimitName::StackBytes),
        Some(Trap::Interrupt) => return Some(LimitName::DeadlineMs),
        _ => {}
    }
    if matches!(error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full)) {
        return Some(LimitName::OpenHandles);
    }
    // These the engine reports in words only. The hostile corpus fails when the words change.
    let reason = error.root_cause().to_string();
    if reason.contains("store handle limit exceeded") {
        Some(LimitName::OpenHandles)
    } else if reason.contains("resource limit exceeded: instance count") {
        Some(LimitName::Instances)
    } else if reason.contains("fuel allocated for hostcalls has been exhausted") {
        // Out of a host call there is a backtrace of the guest; out of its result there is none.
        let in_host_call = error.downcast_ref::<WasmBacktrace>().is_some();
        Some(if in_host_call { LimitName::HostBytes } else { LimitName::OutputBytes })
    } else {
        None
    }
}

fn what(component: &str, error: &wasmtime::Error, log: &Log) -> String {
    let mut what = match error.downcast_ref::<I32Exit>() {
        Some(I32Exit(status)) => format!("component `{component}` exited with status {status} instead of returning"),
        None => {
            let reason = clean_and_cut(error.root_cause().to_string().as_bytes(), REASON_BYTES_MAX);
            format!("component `{component}` stopped: {}", reason.trim_start_matches("wasm trap: "))
        }
    };
    let (written, dropped) = log.standard_error();
    // The end of what it wrote says most.
    let tail = &written[written.len().saturating_sub(FAULT_TEXT_BYTES_MAX)..];
    let tail = clean_and_cut(tail, FAULT_TEXT_BYTES_MAX);
    if !tail.is_empty() {
        let cut = if dropped > 0 || written.len() > FAULT_TEXT_BYTES_MAX { "the end of " } else { "" };
        what.push_str(&format!("; {cut}what it wrote on standard error: {tail}"));
    }
    what
}
