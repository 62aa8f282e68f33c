//! One session of the core's world: its log in memory, and the host that has it open.
//!
//! Promise: what is read back is read from the log's bytes, or from a checkpoint's and the bytes that follow.

use crate::simulation::evidence::{Evidence, Live, Origin};
use harness_core::envelope::{Lineage, SealContext, Tip, seal, verify};
use harness_core::event::Context;
use harness_core::item::ToolSpec;
use harness_core::mode::PolicyQuestion;
use harness_core::state::CallStage;
use harness_core::state::kept::{decode_items, encode_items};
use harness_core::{
    Actor, ApprovalId, CallId, Digest, Epoch, Event, Fold, Manifest, PlanId, QuestionId, Sequence, SessionId,
    SessionState, TenantId, TimeMs,
};
use harness_engine::ports::StoredEvent;

/// Work that is out.
#[derive(Debug, Clone)]
pub(super) enum Work {
    Model,
    Wait,
    Call { call: CallId, spec: ToolSpec, round: u32 },
    Put { call: CallId },
    Policy { question: Box<PolicyQuestion> },
}

/// What the host that has the session open believes and has out.
pub(super) struct Open {
    pub(super) state: SessionState,
    pub(super) epoch: Epoch,
    pub(super) out: Vec<Work>,
    /// Work that was stopped, or was done before.
    pub(super) stopped: Vec<Work>,
}

impl Open {
    /// Pieces of work that somebody waits for.
    pub(super) fn waited_for(&self) -> usize {
        let policy = self.state.mode().and_then(|mode| mode.policy);
        let is_waited_for = |work: &&Work| match work {
            Work::Model | Work::Wait | Work::Call { .. } | Work::Put { .. } => true,
            Work::Policy { question } => {
                let judged = CallStage::Judging { subject: question.subject };
                Some(question.policy) == policy && self.state.judging().any(|call| call.stage == judged)
            }
        };
        self.out.iter().filter(is_waited_for).count()
    }
}

/// A session, its log and the host that has it open, if any.
pub(super) struct Branch {
    pub(super) session: SessionId,
    pub(super) stored: Vec<StoredEvent>,
    pub(super) events: Vec<Event>,
    /// Where batches end.
    pub(super) ends: Vec<u64>,
    pub(super) tip: Tip,
    pub(super) epoch: u64,
    pub(super) context: Context,
    pub(super) open: Option<Open>,
    /// Approvals that were ever asked, with what was shown.
    pub(super) approvals: Vec<(ApprovalId, Digest)>,
    pub(super) questions: Vec<QuestionId>,
    pub(super) plans: Vec<PlanId>,
    /// Changes that are in place and not taken back.
    pub(super) changed: Vec<(CallId, Manifest)>,
    /// A state beside the log: its place, everything but the conversation, and the conversation.
    checkpoint: Option<(Sequence, Vec<u8>, Vec<u8>)>,
    owners: Vec<(SessionId, u64)>,
    origin: Option<SessionId>,
    pub(super) evidence: Evidence,
}

impl Branch {
    pub(super) fn new(session: SessionId, context: Context) -> Self {
        let evidence = Evidence { session: Some(session), ..Evidence::default() };
        Self {
            session,
            stored: Vec::new(),
            events: Vec::new(),
            ends: Vec::new(),
            tip: Tip::START,
            epoch: 0,
            context,
            open: None,
            approvals: Vec::new(),
            questions: Vec::new(),
            plans: Vec::new(),
            changed: Vec::new(),
            checkpoint: None,
            owners: Vec::new(),
            origin: None,
            evidence,
        }
    }

    /// A session whose log begins with this one's up to the end of a batch.
    pub(super) fn beginning(&self, session: SessionId, at: u64) -> Self {
        let count = usize::try_from(at).unwrap_or(usize::MAX);
        let stored: Vec<StoredEvent> = self.stored.iter().take(count).cloned().collect();
        let hash = stored.last().map_or(Tip::START.hash, |last| Digest::of(&last.header_bytes));
        let mut owners: Vec<_> = self.owners.iter().filter(|(_, last)| *last < at).copied().collect();
        let whole = self.owners.iter().find(|(_, last)| *last >= at).map_or(self.session, |(owner, _)| *owner);
        owners.push((whole, at));
        let evidence = Evidence {
            session: Some(session),
            executions: self.evidence.executions.iter().filter(|it| it.after <= at).copied().collect(),
            ..Evidence::default()
        };
        Self {
            stored,
            events: self.events.iter().take(count).cloned().collect(),
            ends: self.ends.iter().filter(|end| **end <= at).copied().collect(),
            tip: Tip { sequence: Sequence(at), hash },
            checkpoint: self.checkpoint.clone().filter(|(sequence, ..)| sequence.0 <= at),
            owners,
            origin: Some(self.session),
            evidence,
            ..Self::new(session, self.context.clone())
        }
    }

    pub(super) fn state(&self) -> Option<&SessionState> {
        self.open.as_ref().map(|open| &open.state)
    }

    pub(super) fn wrong(&mut self, what: String) {
        self.evidence.wrong.push(what);
    }

    pub(super) fn write(&mut self, events: &[Event], time: TimeMs, salt: impl FnMut() -> [u8; 16]) {
        let context = SealContext {
            tenant: TenantId::local(),
            session: self.session,
            lineage: Lineage::root_of(self.session),
            time,
            actor: Actor::Host,
        };
        let (sealed, tip) = seal(self.tip, &context, events, salt);
        let stored = sealed.into_iter().map(|it| StoredEvent { header_bytes: it.header_bytes, payload: it.payload });
        self.stored.extend(stored);
        self.events.extend_from_slice(events);
        self.tip = tip;
        self.ends.push(tip.sequence.0);
    }

    /// Remembers what later actions refer to.
    pub(super) fn notice(&mut self, event: &Event) {
        match event {
            Event::ApprovalAsked { approval, binds_to, .. } => self.approvals.push((*approval, *binds_to)),
            Event::QuestionAsked { question, .. } => self.questions.push(*question),
            Event::PlanSubmitted { plan, .. } => self.plans.push(*plan),
            Event::CallEnded { call, changes, .. } if !changes.is_empty() => {
                self.changed.push((*call, changes.clone()));
            }
            Event::ChangesUndone { of, result: harness_core::event::ApplyResult::Applied, .. } => {
                self.changed.retain(|(call, _)| !of.contains(call));
            }
            _ => {}
        }
    }

    /// Keeps the state beside the log.
    pub(super) fn keep(&mut self) {
        let Some(open) = &self.open else { return };
        match (open.state.encode(), encode_items(&open.state.history)) {
            (Ok(state), Ok(items)) => self.checkpoint = Some((self.tip.sequence, state, items)),
            (state, items) => self.wrong(format!("it cannot be kept: {:?} {:?}", state.err(), items.err())),
        }
    }

    /// Reads the log from its bytes. Says what is wrong with it.
    pub(super) fn read(&self) -> Result<(Vec<Event>, Tip), String> {
        let (mut events, mut tip) = (Vec::new(), Tip::START);
        for stored in self.stored.clone() {
            let read = verify(tip, stored.header_bytes, stored.payload);
            let read = read.and_then(|(sealed, next)| sealed.event().map(|event| (event, next)));
            let Ok((Some(event), next)) = read else { return Err(format!("the log cannot be read after {tip:?}")) };
            events.push(event);
            tip = next;
        }
        Ok((events, tip))
    }

    /// The state from the checkpoint and what follows; none where there is no checkpoint, or what follows goes back
    /// to before it.
    pub(super) fn woken_from_checkpoint(&self, events: &[Event]) -> Result<Option<SessionState>, String> {
        let Some((sequence, state, items)) = &self.checkpoint else { return Ok(None) };
        let rest = usize::try_from(sequence.0).ok().and_then(|count| events.get(count..)).unwrap_or_default();
        let rewinds = rewinds(rest);
        if rewinds.iter().any(|to| to < sequence) {
            return Ok(None);
        }
        let items = decode_items(items).map_err(|error| error.to_string())?;
        let state = SessionState::decode(state, items).map_err(|error| error.to_string())?;
        let mut fold = Fold::new(state, *sequence, rewinds);
        rest.iter().try_for_each(|event| fold.apply(event)).map_err(|error| error.to_string())?;
        Ok(Some(fold.into_state()))
    }

    /// What was seen, once it is over.
    pub(super) fn into_evidence(mut self, others: &[(SessionId, Vec<StoredEvent>)]) -> Evidence {
        let live = self.open.take().map(|open| Live { out: open.waited_for(), state: open.state });
        let shared = self.owners.last().map_or(0, |(_, last)| usize::try_from(*last).unwrap_or(usize::MAX));
        let theirs = others.iter().find(|(session, _)| Some(*session) == self.origin);
        let origin = theirs
            .map(|(_, stored)| Origin { owners: self.owners, events: stored.iter().take(shared).cloned().collect() });
        Evidence { stored: self.stored, origin, tip: Some(self.tip), live, ..self.evidence }
    }
}

fn rewinds(events: &[Event]) -> Vec<Sequence> {
    let targets = events.iter().filter_map(|event| match event {
        Event::SessionRewound { to } => Some(*to),
        _ => None,
    });
    targets.collect()
}

/// The fold of a log.
pub(crate) fn fold(events: &[Event]) -> Result<SessionState, String> {
    let mut fold = Fold::new(SessionState::default(), Sequence::START, rewinds(events));
    events.iter().try_for_each(|event| fold.apply(event)).map_err(|error| error.to_string())?;
    Ok(fold.into_state())
}
