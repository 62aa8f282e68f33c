//! A session as its log in the store says it is.

use crate::simulation::core_world::fold;
use harness_core::{ApprovalId, Digest, Event, PlanId, QuestionId, SessionId, SessionState};
use harness_engine::ports::StoredEvent;

/// What was read of one session.
pub(super) struct View {
    pub(super) session: SessionId,
    pub(super) stored: Vec<StoredEvent>,
    events: Vec<Event>,
    state: SessionState,
    pub(super) approvals: Vec<(ApprovalId, Digest)>,
    pub(super) questions: Vec<QuestionId>,
    pub(super) plans: Vec<PlanId>,
    /// The session it was made from, counted from 0, and the last event that both share.
    pub(super) origin: Option<(usize, u64)>,
    /// Whose events its log begins with.
    pub(super) owners: Vec<(SessionId, u64)>,
}

impl View {
    pub(super) fn new(session: SessionId, origin: Option<(usize, u64)>) -> Self {
        Self {
            session,
            stored: Vec::new(),
            events: Vec::new(),
            state: SessionState::default(),
            approvals: Vec::new(),
            questions: Vec::new(),
            plans: Vec::new(),
            origin,
            owners: Vec::new(),
        }
    }

    pub(super) fn state(&self) -> &SessionState {
        &self.state
    }

    /// Whose events a log begins with that begins with this one's up to an event.
    pub(super) fn owners_up_to(&self, at: u64) -> Vec<(SessionId, u64)> {
        let mut owners: Vec<_> = self.owners.iter().filter(|(_, last)| *last < at).copied().collect();
        let whole = self.owners.iter().find(|(_, last)| *last >= at).map_or(self.session, |(owner, _)| *owner);
        owners.push((whole, at));
        owners
    }

    /// Believes the next event of the log.
    pub(super) fn take(&mut self, stored: StoredEvent) -> Result<(), String> {
        let header = serde_json::from_slice::<harness_core::Header>(&stored.header_bytes);
        let event = header.ok().zip(stored.payload.as_ref());
        let event = event.and_then(|(header, payload)| Event::decode(&header.kind, &payload.bytes).ok());
        self.stored.push(stored);
        let event = event.ok_or_else(|| "an event cannot be read".to_owned())?;
        match &event {
            Event::ApprovalAsked { approval, binds_to, .. } => self.approvals.push((*approval, *binds_to)),
            Event::QuestionAsked { question, .. } => self.questions.push(*question),
            Event::PlanSubmitted { plan, .. } => self.plans.push(*plan),
            _ => {}
        }
        let is_rewind = matches!(event, Event::SessionRewound { .. });
        if !is_rewind {
            self.state.apply(&event).map_err(|error| format!("the log cannot be folded: {error}"))?;
        }
        self.events.push(event);
        if is_rewind {
            self.state = fold(&self.events)?;
        }
        Ok(())
    }
}
