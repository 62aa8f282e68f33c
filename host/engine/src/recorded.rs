//! Calls as the log has them: what each was told, what came of it.
//!
//! Promise: what a call had (its arguments, what was granted) is what the log says it had when it was started.
//!
//! Not here: running one again (harness-wasm, the binary).

use crate::host::Host;
use crate::load::{LoadError, Walk, event_of};
use harness_core::change::Manifest;
use harness_core::event::Changes;
use harness_core::{
    CallId, CallRecord, CallUsage, Capability, Event, Fold, Origin, Outcome, Sequence, SessionId, SessionState,
};
use std::collections::HashMap;

/// A call that was run.
#[derive(Debug, Clone)]
pub struct RecordedCall {
    /// The call.
    pub call: CallId,
    /// The tool.
    pub tool: String,
    /// What implements it: a component's digest, or a word for another hand.
    pub implementation: String,
    /// The arguments that counted, JSON text.
    pub arguments: String,
    /// What it had.
    pub granted: Vec<Capability>,
    /// How often it was started: more than once where it needed something, or a host died.
    pub started: u32,
    /// What its hand reported last.
    pub reported: Option<(Outcome, Changes, CallUsage, CallRecord)>,
    /// What is in place of it; empty where it changed nothing or has not ended.
    pub applied: Manifest,
}

impl Host {
    /// The calls of a session that were run, in the order in which they reported last.
    pub async fn recorded_calls(&self, id: SessionId) -> Result<Vec<RecordedCall>, LoadError> {
        let log = self.ports().log.as_ref();
        let rewinds = Walk::open(log, id).await?.rewinds().await?;
        let mut walk = Walk::open(log, id).await?;
        let mut fold = Fold::new(SessionState::default(), Sequence::START, rewinds);
        let mut reading = Reading::default();
        loop {
            let page = walk.page().await?;
            if page.is_empty() {
                return Ok(reading.calls);
            }
            for sealed in page {
                let sequence = sealed.header.sequence;
                let event = event_of(id, &sealed)?.ok_or(LoadError::Erased { session: id, sequence })?;
                let is_of_grants = matches!(event, Event::GrantGiven { .. } | Event::GrantRevoked { .. });
                if sealed.header.origin == Origin::Input && !is_of_grants {
                    // What was given in the same moment as the call was started counts for it.
                    reading.begin(fold.state());
                }
                fold.apply(&event).map_err(|source| LoadError::Inconsistent { session: id, sequence, source })?;
                reading.take(event, sealed.header.time);
            }
        }
    }
}

#[derive(Default)]
struct Reading {
    /// Started, and not looked at yet.
    starting: Vec<(CallId, String, harness_core::TimeMs)>,
    under_way: HashMap<CallId, RecordedCall>,
    calls: Vec<RecordedCall>,
}

impl Reading {
    fn begin(&mut self, state: &SessionState) {
        for (id, implementation, time) in std::mem::take(&mut self.starting) {
            let Some(call) = state.turn.as_ref().and_then(|turn| turn.call(id)) else { continue };
            let started = self.under_way.get(&id).map_or(0, |before| before.started).saturating_add(1);
            let recorded = RecordedCall {
                call: id,
                tool: call.tool.clone(),
                implementation,
                arguments: call.arguments.to_string(),
                granted: state.granted(id, time),
                started,
                reported: None,
                applied: Manifest::default(),
            };
            self.under_way.insert(id, recorded);
        }
    }

    fn take(&mut self, event: Event, time: harness_core::TimeMs) {
        match event {
            Event::CallStarted { call, implementation } => self.starting.push((call, implementation, time)),
            Event::CallReported { call, outcome, changes, usage, record } => {
                if let Some(recorded) = self.under_way.get_mut(&call) {
                    recorded.reported = Some((outcome, changes, usage, record));
                    self.calls.retain(|known| known.call != call);
                    self.calls.push(recorded.clone());
                }
            }
            Event::CallEnded { call, changes, .. } => {
                self.under_way.remove(&call);
                if let Some(recorded) = self.calls.iter_mut().find(|known| known.call == call) {
                    recorded.applied = changes;
                }
            }
            _ => {}
        }
    }
}
