//! Whether an event can be logged and read back, looked at before it is decided on.
//!
//! Promise: what a model, hand or configuration says never makes a log that cannot be read again: it is
//! too large or nested too deeply for a payload, or breaks the rules for records, and then something else is
//! logged in its place.

use crate::ports::{AppendError, CallReport};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness_core::event::{Changes, ModelFailure, ModelFailureKind};
use harness_core::item::AssistantPart;
use harness_core::limits::{
    ARGUMENT_BYTES_MAX, EVENT_PAYLOAD_BYTES_MAX, KV_KEY_BYTES_MAX, KV_VALUE_BYTES_MAX, QUESTION_BYTES_MAX,
    QUESTION_CHOICE_BYTES_MAX, QUESTION_CHOICES_MAX, RECORD_KV_WRITES_MAX, RECORD_REFUSED_MAX, RECORD_REQUESTS_MAX,
    RESUME_STATE_BYTES_MAX,
};
use harness_core::outcome::{FailureKind, Outcome};
use harness_core::record::{CLOCK_READINGS_MAX, CallRecord, KvWrite};
use harness_core::{Event, Scope, SessionId};

/// What is wrong with an event as a payload, if anything is.
pub(crate) fn problem(event: &Event) -> Option<String> {
    let has_foreign_json = match event {
        Event::ModelResponded { parts, .. } => {
            parts.iter().any(|part| matches!(part, AssistantPart::Reasoning { opaque: Some(_), .. }))
        }
        Event::SessionOpened { context, .. } => context.is_some(),
        // Capabilities are logged as text and read back.
        Event::CallReported { outcome, record, .. } => {
            !record.refused.is_empty() || matches!(outcome, Outcome::NotGranted { .. })
        }
        Event::UndoRequested { .. } => false,
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

/// Replaces a report that breaks the rules for what a hand may report: that is the hand's fault and not the
/// guest's. What has left the host or changed the world stays in it.
pub(crate) fn make_sound(report: &mut CallReport, component: &str, session: SessionId) {
    let Err(what) = check(report, component, session) else { return };
    let what = format!("BUG: the hand's report is not sound: {what}");
    let mut requests = std::mem::take(&mut report.record.requests);
    requests.truncate(RECORD_REQUESTS_MAX);
    report.record = CallRecord { requests, ..CallRecord::default() };
    if matches!(report.changes, Changes::Observed { .. }) {
        report.outcome = Outcome::failed(FailureKind::Failed, "bad-report", what);
    } else {
        report.outcome = Outcome::Faulted { what };
        report.changes = Changes::None;
        report.contents.clear();
    }
}

fn check(report: &CallReport, component: &str, session: SessionId) -> Result<(), String> {
    let at_most = |what: &str, found: usize, most: usize| {
        if found <= most { Ok(()) } else { Err(format!("{what}: {found}, at most {most}")) }
    };
    let record = &report.record;
    at_most("requests", record.requests.len(), RECORD_REQUESTS_MAX)?;
    at_most("kv writes", record.kv.len(), RECORD_KV_WRITES_MAX)?;
    at_most("refused capabilities", record.refused.len(), RECORD_REFUSED_MAX)?;
    let readings = record.inputs.as_ref().map_or(0, |inputs| inputs.clock_steps_ms.len());
    at_most("readings of the clock", readings, CLOCK_READINGS_MAX)?;
    for write in &record.kv {
        check_write(write, component, session)?;
    }
    match &report.outcome {
        Outcome::NeedsInput { question, choices, state } => {
            at_most("bytes of a question", question.len(), QUESTION_BYTES_MAX)?;
            at_most("choices", choices.len(), QUESTION_CHOICES_MAX)?;
            at_most(
                "bytes of a choice",
                choices.iter().map(String::len).max().unwrap_or(0),
                QUESTION_CHOICE_BYTES_MAX,
            )?;
            at_most("bytes of a state", state.len(), RESUME_STATE_BYTES_MAX)
        }
        Outcome::NeedsCall { arguments, state, .. } => {
            at_most("bytes of arguments", arguments.len(), ARGUMENT_BYTES_MAX)?;
            at_most("bytes of a state", state.len(), RESUME_STATE_BYTES_MAX)
        }
        _ => Ok(()),
    }
}

fn check_write(write: &KvWrite, component: &str, session: SessionId) -> Result<(), String> {
    let space = &write.space;
    let owner_fits = match space.scope {
        Scope::Session => space.owner == session.to_string(),
        Scope::Principal | Scope::Agent => !space.owner.is_empty(),
        Scope::Global => space.owner.is_empty(),
        Scope::Turn | Scope::Workspace | Scope::Tenant => false,
    };
    if component.is_empty() || space.component != component || !owner_fits {
        return Err(format!("a kv write of `{component}` goes to {space:?}"));
    }
    if !(1..=KV_KEY_BYTES_MAX).contains(&write.key.len()) {
        return Err(format!("a key in kv has {} bytes, 1 to {KV_KEY_BYTES_MAX} are possible", write.key.len()));
    }
    let Some(value) = &write.value else { return Ok(()) };
    match STANDARD.decode(value) {
        Ok(bytes) if bytes.len() <= KV_VALUE_BYTES_MAX => Ok(()),
        Ok(bytes) => Err(format!("a value in kv has {} bytes, at most {KV_VALUE_BYTES_MAX} are possible", bytes.len())),
        Err(error) => Err(format!("a value in kv is not base64: {error}")),
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
    use harness_core::event::ModelStop;
    use harness_core::grant::{HostPattern, SecretPlace, SecretScope};
    use harness_core::outcome::CallUsage;
    use harness_core::record::RequestMade;
    use harness_core::{CallId, Capability, Manifest, Usage};

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

    fn request() -> RequestMade {
        RequestMade {
            method: "GET".into(),
            url: "https://example.com".into(),
            address: None,
            status: None,
            problem: None,
            request_bytes: 0,
            response_bytes: 0,
        }
    }

    #[test]
    fn a_report_with_a_capability_that_does_not_read_back_is_a_failure_and_not_a_broken_log() {
        let needed = |header: &str| {
            let host = HostPattern::Name("example.com".into());
            Capability::Secret(SecretScope { name: "forge".into(), host, place: SecretPlace::Header(header.into()) })
        };
        let denied = |capability| Outcome::NotGranted { component: "fetch".into(), capability: Box::new(capability) };
        let failed = |_| Outcome::failed(FailureKind::Failed, "", "it was refused");
        for (header, is_logged) in [("x-own", true), ("x!own", false), ("x own", false), ("", false)] {
            for (outcome, refused) in [(denied(needed(header)), Vec::new()), (failed(()), vec![needed(header)])] {
                let record = CallRecord { refused, requests: vec![request()], ..CallRecord::default() };
                let (call, changes, usage) = (CallId::from_bits(1), Changes::None, CallUsage::default());
                let report = Event::CallReported { call, outcome, changes, usage, record };
                let logged = or_failure(report.clone());
                assert_eq!(Event::decode(logged.kind(), &logged.encode()).ok().as_ref(), Some(&logged), "{header}");
                assert_eq!(logged == report, is_logged, "{header}: {logged:?}");
                let Event::CallReported { record, .. } = logged else { panic!("not a report") };
                assert_eq!(record.requests, [request()], "what left the host has left it");
            }
        }
    }

    #[test]
    fn what_left_the_host_stays_in_a_report_that_is_not_sound() {
        let made = request();
        for changes in
            [Changes::Staged { manifest: Manifest::default() }, Changes::Observed { manifest: Manifest::default() }]
        {
            let mut report = CallReport::of(Outcome::text("ok"));
            report.changes = changes.clone();
            report.record.requests = vec![made.clone(); RECORD_REQUESTS_MAX];
            make_sound(&mut report, "fetch", SessionId::from_bits(1));
            assert_eq!(report.outcome, Outcome::text("ok"), "as many as there may be");
            report.record.requests.push(made.clone());
            make_sound(&mut report, "fetch", SessionId::from_bits(1));
            assert_eq!(report.record.requests.len(), RECORD_REQUESTS_MAX);
            let text = report.outcome.model_text(&[]);
            assert!(text.contains("requests: 10001, at most 10000"), "{text}");
            let is_observed = matches!(changes, Changes::Observed { .. });
            assert_eq!(text.contains("Nothing was applied"), !is_observed, "what was done is not denied: {text}");
            assert_eq!(report.changes == changes, is_observed);
        }
    }
}
