//! Whether an event can be logged and read back, looked at before it is decided on.
//!
//! Promise: what a model, hand or configuration says never makes a log that cannot be read again: it is
//! too large or nested too deeply for a payload, and then something else is logged in its place.

use crate::ports::AppendError;
use harness_core::Event;
use harness_core::event::{Changes, ModelFailure, ModelFailureKind};
use harness_core::item::AssistantPart;
use harness_core::limits::EVENT_PAYLOAD_BYTES_MAX;
use harness_core::outcome::{FailureKind, Outcome};
use harness_core::record::CallRecord;

/// What is wrong with an event as a payload, if anything is.
pub(crate) fn problem(event: &Event) -> Option<String> {
    let has_foreign_json = match event {
        Event::ModelResponded { parts, .. } => {
            parts.iter().any(|part| matches!(part, AssistantPart::Reasoning { opaque: Some(_), .. }))
        }
        Event::SessionOpened { context, .. } => context.is_some(),
        Event::CallReported { .. } => false,
        _ => return None,
    };
    let payload = event.encode();
    if payload.len() > EVENT_PAYLOAD_BYTES_MAX {
        return Some(format!("it takes {} bytes to log, more than {EVENT_PAYLOAD_BYTES_MAX}", payload.len()));
    }
    // Text always reads back; JSON from elsewhere may be nested deeper than a payload is read.
    if has_foreign_json {
        return Event::decode(event.kind(), &payload).err().map(|error| format!("it could not be read back ({error})"));
    }
    None
}

/// The event itself, or the one that is logged in its place.
pub(crate) fn or_failure(event: Event) -> Event {
    match (problem(&event), event) {
        (Some(problem), Event::ModelResponded { entropy, .. }) => {
            let kind = ModelFailureKind::Refused;
            let message = format!("the model's response cannot be logged: {problem}");
            Event::ModelFailed { entropy, failure: ModelFailure { kind, message, status: None, retry_after_ms: None } }
        }
        (Some(problem), report @ Event::CallReported { .. }) => {
            without_changes(report, &format!("what the call reported cannot be logged: {problem}"))
        }
        (_, event) => event,
    }
}

/// A report in place of one whose contents the store has no room for.
pub(crate) fn without_contents(event: Event, error: &AppendError) -> Event {
    without_changes(event, &format!("what the call changed cannot be kept, so nothing was applied: {error}"))
}

fn without_changes(event: Event, message: &str) -> Event {
    match event {
        Event::CallReported { call, usage, record, .. } => {
            let outcome = Outcome::failed(FailureKind::TooLarge, "not-logged", message);
            // What left the host has left it.
            let record = CallRecord { requests: record.requests, ..CallRecord::default() };
            Event::CallReported { call, outcome, changes: Changes::None, usage, record }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_core::Usage;
    use harness_core::event::ModelStop;

    fn response(parts: Vec<AssistantPart>) -> Event {
        Event::ModelResponded {
            entropy: "e".into(),
            parts,
            stop: ModelStop::EndOfTurn,
            usage: Usage::default(),
            provider_response: None,
            time_ms: 0,
        }
    }

    #[test]
    fn a_response_nested_too_deeply_is_a_failure_and_not_a_broken_log() {
        let nested = |depth: usize| {
            let json = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let opaque = serde_json::from_str(&json).unwrap();
            response(vec![AssistantPart::Reasoning { text: String::new(), opaque: Some(opaque) }])
        };
        assert!(matches!(or_failure(nested(20)), Event::ModelResponded { .. }));
        assert!(matches!(or_failure(nested(126)), Event::ModelFailed { .. }));
    }

    #[test]
    fn a_response_too_large_for_a_payload_is_a_failure() {
        let text = "\u{1}".repeat(EVENT_PAYLOAD_BYTES_MAX / 6);
        let large = or_failure(response(vec![AssistantPart::Text { text }]));
        assert!(matches!(large, Event::ModelFailed { failure, .. } if failure.message.contains("bytes to log")));
    }
}
