//! What was seen of a session from outside while it was played, for the invariants to judge.
//!
//! Promise: nothing in it is what the code under test says of itself, but the log it wrote and what it told.

use harness_core::item::Effects;
use harness_core::{
    ApprovalId, CallId, Epoch, Event, Item, MessageId, PlanId, QuestionId, SessionId, SessionState, Tip,
};
use harness_engine::ports::StoredEvent;
use std::sync::Arc;

/// An event that somebody was told of: from then on it must not be lost.
#[derive(Debug, Clone)]
pub struct Told {
    /// Where it stands in the log.
    pub sequence: u64,
    /// The writer whose append was acknowledged; none where it was told by a subscription.
    pub epoch: Option<Epoch>,
    /// What it says.
    pub event: Arc<Event>,
}

/// A host became the session's only writer.
#[derive(Debug, Clone, Copy)]
pub struct Acquired {
    /// With which epoch.
    pub epoch: Epoch,
    /// Where the log ended right after: whoever wrote before writes nothing after this.
    pub after: u64,
}

/// A run of a call by a hand.
#[derive(Debug, Clone, Copy)]
pub struct Execution {
    /// The call.
    pub call: CallId,
    /// How often it went on before: each going on is a run of its own.
    pub round: u32,
    /// Where its effects go.
    pub effects: Effects,
    /// Where the log ended when it began, at least; 0 where nobody looked.
    pub after: u64,
}

/// A request that a model was asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// The conversation.
    pub items: Vec<Arc<Item>>,
}

/// A taking up of the session by a host, seen right after it.
#[derive(Debug, Clone)]
pub struct Opened {
    /// With which epoch.
    pub epoch: Epoch,
    /// Where the log ended when the session was looked at.
    pub after: u64,
    /// The approvals that wait, in order.
    pub approvals: Vec<ApprovalId>,
    /// The questions that wait, in order.
    pub questions: Vec<QuestionId>,
    /// The plans that wait, in order.
    pub plans: Vec<PlanId>,
}

impl Opened {
    /// What waits for a person in a state.
    pub fn of(epoch: Epoch, after: u64, state: &SessionState) -> Self {
        let approvals = state.pending().iter().map(|pending| pending.approval).collect();
        let questions = state.questions().iter().map(|question| question.question).collect();
        let plans = state.plans().iter().map(|plan| plan.plan).collect();
        Self { epoch, after, approvals, questions, plans }
    }
}

/// A session as its writer believes it is, at rest.
#[derive(Debug, Clone)]
pub struct Live {
    /// What it believes.
    pub state: SessionState,
    /// Pieces of work that are out: requests, waits, calls and puts.
    pub out: usize,
}

/// Something that a person was told is accepted: from then on it must be in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// A prompt of these words.
    Prompt(String),
    /// The answer to an approval.
    Approval(ApprovalId),
    /// The answer to a question.
    Question(QuestionId),
    /// The answer to a plan.
    Plan(PlanId),
    /// A message.
    Message(MessageId),
    /// That the session was gone back to an event.
    Rewind(u64),
}

/// What a session's log begins with, where that is another's.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Whose events stand up to which one, the first owner first.
    pub owners: Vec<(SessionId, u64)>,
    /// The events of the session it was made from, up to the last one that both share, as that one has them.
    pub events: Vec<StoredEvent>,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The session; none where it never came into being.
    pub session: Option<SessionId>,
    /// What its log begins with; none where all of it is its own.
    pub origin: Option<Origin>,
    /// What the store holds at the end.
    pub stored: Vec<StoredEvent>,
    /// Where the store says that it ends.
    pub tip: Option<Tip>,
    /// What was told.
    pub told: Vec<Told>,
    /// When the session got another writer.
    pub acquired: Vec<Acquired>,
    /// What persons were told is accepted.
    pub accepted: Vec<Accepted>,
    /// What hands ran, in order.
    pub executions: Vec<Execution>,
    /// The puts that hands were asked for, in order.
    pub puts: Vec<CallId>,
    /// What models were asked, in order.
    pub requests: Vec<Request>,
    /// When the session was taken up again.
    pub openings: Vec<Opened>,
    /// The session at the end; none where nobody has it open.
    pub live: Option<Live>,
    /// The session at the end as it is read back, from a checkpoint where there is one; none where nobody looked.
    pub loaded: Option<Box<SessionState>>,
    /// What was noticed on the way and needs no judging.
    pub wrong: Vec<String>,
}
