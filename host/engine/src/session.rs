//! A session in use: what its owner may do with it, and the stream of what happens.
//!
//! Promise: a subscription is gap-free from any sequence: logged events come in order, each once,
//! whatever the subscriber missed meanwhile. Pieces of a response are not logged and may be missed;
//! each says at which offset it stands, and none comes after the event that ends its response.

use crate::actor::Wake;
use crate::display::ScreenPlace;
use crate::load::{LoadError, LoadedSession};
use crate::ports::{Blobs, CallProgress, EventLog, GrantLists, Ids, ModelDelta, StoreError};
use harness_core::budget::{Budget, Price};
use harness_core::display::RESPONSE_SHOWN_BYTES_MAX;
use harness_core::envelope::{SealedEvent, VerifyError, verify};
use harness_core::event::{Answer, GitState, PlanAnswer, TurnLimits};
use harness_core::grant::SESSION_SOURCE;
use harness_core::item::ModelRef;
use harness_core::message::Delivery;
use harness_core::mode::{ModeSpec, TrustLevel};
use harness_core::trust::TrustKey;
use harness_core::{
    AllowanceId, ApprovalId, CallId, Digest, Event, Grant, GrantId, Header, MessageId, PlanId, QuestionId, Refusal,
    Sequence, SessionId, Tip,
};
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};
use tokio::sync::{broadcast, mpsc, oneshot};

/// Events read from the log at once when a subscriber catches up.
const CATCH_UP_EVENTS_MAX: usize = 500;

/// A durable event.
#[derive(Debug, Clone, Serialize)]
pub struct LoggedEvent {
    /// Its header.
    #[serde(flatten)]
    pub header: Header,
    /// What happened; none where the content was erased.
    pub event: Option<Event>,
}

/// Something that happened in a session.
#[derive(Debug, Clone)]
pub enum Update {
    /// An event became durable.
    Event(Arc<LoggedEvent>),
    /// A piece of the response that is under way. Not durable.
    Delta {
        /// Bytes of the same kind (words, or reasoning) that came before in this response.
        offset_bytes: u64,
        /// The piece.
        delta: ModelDelta,
    },
    /// A call says how far it has come. Not durable.
    Progress {
        /// The call.
        call: CallId,
        /// What it says.
        progress: CallProgress,
    },
    /// The session's writer stopped: closed, taken over, or broken. Nothing follows.
    Closed {
        /// What went wrong, if anything did.
        fault: Option<String>,
    },
}

/// What the writer sends to subscribers, each behind a pointer: a session keeps room for many, and may have no
/// subscriber at all.
#[derive(Debug, Clone)]
pub(crate) enum Live {
    Event(Arc<LoggedEvent>),
    /// `request` is the last event before the response that this is a piece of.
    Delta {
        request: Sequence,
        offset_bytes: u64,
        delta: ModelDelta,
    },
    Progress {
        call: CallId,
        progress: CallProgress,
    },
    Closed,
}

/// Why a session did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The core declined.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The session's writer has stopped.
    #[error("the session is closed{}", .0.as_ref().map(|why| format!(": {why}")).unwrap_or_default())]
    Closed(Option<String>),
    /// The log could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was read cannot be believed.
    #[error("the log cannot be believed")]
    Damaged(#[from] VerifyError),
}

impl From<LoadError> for SessionError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Store(error) => Self::Store(error),
            LoadError::Damaged { source, .. } => Self::Damaged(source),
            LoadError::NoEvent { sequence, .. } => Self::Refused(Refusal::NoEvent(sequence)),
            other => Self::Store(StoreError::Damaged(other.to_string())),
        }
    }
}

/// A session that this process writes. Clones refer to the same one.
#[derive(Clone)]
pub struct Session {
    pub(crate) id: SessionId,
    pub(crate) wakes: mpsc::Sender<Wake>,
    // Weak, so that the stream of a writer that is gone ends for everybody.
    pub(crate) updates: broadcast::WeakSender<Arc<Live>>,
    pub(crate) fault: Arc<OnceLock<String>>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) in_flight: Arc<Mutex<InFlight>>,
    pub(crate) screen: ScreenPlace,
}

/// The last words, or reasoning, of the response in flight.
#[derive(Debug, Default)]
pub(crate) struct SoFar {
    pub(crate) text: String,
    /// Bytes that came before and are not kept.
    pub(crate) offset_bytes: u64,
}

impl SoFar {
    /// Takes a piece; gives the bytes that came before it.
    pub(crate) fn push(&mut self, piece: &str) -> u64 {
        let offset = self.offset_bytes + self.text.len() as u64;
        self.text.push_str(piece);
        // Cut rarely, so that a piece costs no more than its length.
        if self.text.len() > 2 * RESPONSE_SHOWN_BYTES_MAX {
            let cut = self.text.ceil_char_boundary(self.text.len() - RESPONSE_SHOWN_BYTES_MAX);
            self.text.drain(..cut);
            self.offset_bytes += cut as u64;
        }
        offset
    }
}

/// The response in flight, for those who come while it is.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    /// The last event before it.
    pub(crate) request: Sequence,
    pub(crate) text: SoFar,
    pub(crate) reasoning: SoFar,
}

impl Session {
    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    async fn ask<T>(&self, wake: impl FnOnce(oneshot::Sender<T>) -> Wake) -> Result<T, SessionError> {
        let (reply, answer) = oneshot::channel();
        self.wakes.send(wake(reply)).await.map_err(|_| self.closed())?;
        answer.await.map_err(|_| self.closed())
    }

    fn closed(&self) -> SessionError {
        SessionError::Closed(self.fault.get().cloned())
    }

    /// Begins a turn.
    pub async fn prompt(&self, text: impl Into<String>, limits: TurnLimits) -> Result<(), SessionError> {
        let text = text.into();
        self.ask(|reply| Wake::Prompt { text, limits, reply }).await?.map_err(SessionError::from)
    }

    /// Says something, whatever is under way; begins a turn where nothing is. When this returns the message is durable:
    /// the receipt. `message_delivered` or `message_expired` follows in the log, never both.
    pub async fn say(
        &self,
        text: impl Into<String>,
        delivery: Delivery,
        limits: TurnLimits,
    ) -> Result<MessageId, SessionError> {
        let message = MessageId::from_bits(u128::from_be_bytes(self.ids.entropy()));
        let text = text.into();
        self.tell(Event::MessageReceived { message, text, delivery, limits }).await.map(|()| message)
    }

    /// Takes back a message that was not delivered yet.
    pub async fn withdraw(&self, message: MessageId) -> Result<(), SessionError> {
        self.tell(Event::MessageWithdrawn { message }).await
    }

    /// Sets what the session may spend, what it has spent so far included.
    pub async fn set_budget(&self, budget: Budget) -> Result<(), SessionError> {
        self.tell(Event::BudgetSet { budget }).await
    }

    /// Chooses a mode. What waits for a person or a policy is judged by it at once.
    pub async fn choose_mode(&self, mode: impl Into<String>) -> Result<(), SessionError> {
        self.tell(Event::ModeChosen { mode: mode.into() }).await
    }

    /// Makes these the modes there are, as after a mode's component was replaced.
    pub async fn set_modes(&self, modes: Vec<ModeSpec>) -> Result<(), SessionError> {
        self.tell(Event::ModesChanged { modes }).await
    }

    /// Chooses a model for this session, from the next request on.
    pub async fn choose_model(&self, model: ModelRef, price: Option<Price>) -> Result<(), SessionError> {
        self.tell(Event::ModelChosen { model, price }).await
    }

    /// Answers a submitted plan.
    pub async fn answer_plan(&self, plan: PlanId, answer: PlanAnswer) -> Result<(), SessionError> {
        self.tell(Event::PlanAnswered { plan, answer }).await
    }

    /// Answers an approval; `binds_to` is the digest of what the person was shown.
    pub async fn answer(&self, approval: ApprovalId, binds_to: Digest, answer: Answer) -> Result<(), SessionError> {
        self.tell(Event::ApprovalAnswered { approval, binds_to, answer }).await
    }

    /// Gives a level of trust.
    pub async fn set_trust(&self, key: TrustKey, level: TrustLevel) -> Result<(), SessionError> {
        self.tell(Event::TrustSet { key, level }).await
    }

    /// Takes back trust in one key, or in everything that any session knows of; for all sessions, those that are open
    /// from their next input on.
    pub async fn reset_trust(&self, key: Option<TrustKey>) -> Result<(), SessionError> {
        self.tell(Event::TrustReset { key }).await
    }

    /// Says whether a call that ran by trust alone was as it should be.
    pub async fn review(&self, call: CallId, accepted: bool) -> Result<(), SessionError> {
        self.tell(Event::WorkReviewed { call, accepted }).await
    }

    /// Takes back what was allowed for later calls; for all sessions, where it was allowed beyond this one: those that
    /// are open ask again from their next input on.
    pub async fn forbid(&self, allowance: AllowanceId) -> Result<(), SessionError> {
        self.tell(Event::AllowanceRevoked { allowance, expired: false }).await
    }

    /// Answers a question; none declines, as where nobody can be asked. Of several choices each is on a line of its own.
    pub async fn answer_question(&self, question: QuestionId, answer: Option<String>) -> Result<(), SessionError> {
        self.tell(Event::QuestionAnswered { question, answer }).await
    }

    /// Makes these the configuration's grants: what is new or different is given, what is missing is revoked.
    /// Grants whose source is [`SESSION_SOURCE`] are the session's own: here they are ignored, in the session
    /// they stay. A call that runs keeps what it started with.
    pub async fn set_grants(&self, grants: Vec<Grant>) -> Result<(), SessionError> {
        self.ask(|reply| Wake::Grants { grants, reply }).await?.map_err(SessionError::from)
    }

    /// Has the configuration's grants brought in line with these lists whenever calls start from now on: what was
    /// given or revoked since is in force for those calls, and logged as by [`Self::set_grants`]. Where there are more
    /// than a session can have, what was revoked is gone and nothing new is given.
    pub async fn follow_grants(&self, lists: Arc<dyn GrantLists>) -> Result<(), SessionError> {
        self.wakes.send(Wake::FollowGrants { lists }).await.map_err(|_| self.closed())
    }

    /// Gives a grant of the session's own, whatever source it names. The same grant again replaces it.
    pub async fn grant(&self, grant: Grant) -> Result<GrantId, SessionError> {
        let grant = Grant { source: SESSION_SOURCE.to_owned(), ..grant };
        let id = grant.id();
        self.tell(Event::GrantGiven { grant }).await.map(|()| id)
    }

    /// Revokes a grant. One of the configuration's comes back when that is set again.
    pub async fn revoke(&self, grant: GrantId) -> Result<(), SessionError> {
        self.tell(Event::GrantRevoked { grant }).await
    }

    /// Hands a person's input to the writer.
    pub(crate) async fn tell(&self, event: Event) -> Result<(), SessionError> {
        self.ask(|reply| Wake::Answer { event: Box::new(event), reply }).await?.map_err(SessionError::from)
    }

    /// Stops the running turn and keeps the session.
    pub async fn interrupt(&self) -> Result<(), SessionError> {
        self.tell(Event::InterruptRequested).await
    }

    /// Gives the session a title.
    pub async fn rename(&self, title: impl Into<String>) -> Result<(), SessionError> {
        self.tell(Event::SessionRenamed { title: title.into() }).await
    }

    /// Puts the session away, or takes it out again.
    pub async fn archive(&self, archived: bool) -> Result<(), SessionError> {
        self.tell(Event::SessionArchived { archived }).await
    }

    /// Has the log say what version control says of the workspace, where that is not what it said last.
    pub async fn observe_workspace(&self, git: Option<GitState>) -> Result<(), SessionError> {
        if self.snapshot().await?.state.git == git {
            return Ok(());
        }
        self.tell(Event::WorkspaceObserved { git }).await
    }

    /// Goes back to what the session was after an event and everything that derives from the same input; gives the
    /// last event of those. What came after stays in the log. Files stay as they are. Refused while a turn is under way.
    pub async fn rewind(&self, to: Sequence) -> Result<Sequence, SessionError> {
        self.ask(|reply| Wake::Rewind { to, reply }).await?
    }

    /// The session as it is now. Everything in it is durable.
    pub async fn snapshot(&self) -> Result<LoadedSession, SessionError> {
        self.ask(|reply| Wake::Snapshot { reply }).await
    }

    /// Stops the writer. What was under way is taken up again when the session is next opened.
    pub async fn close(self) {
        // A writer that is gone already is closed.
        let _ = self.ask(|reply| Wake::Close { reply }).await;
    }

    /// Everything that happens after a position: first what the log has, then live.
    pub fn subscribe(&self, after: Sequence) -> Subscription {
        Subscription {
            session: self.id,
            log: Arc::clone(&self.log),
            live: self.updates.upgrade().map(|updates| updates.subscribe()),
            fault: Arc::clone(&self.fault),
            next_after: after,
            response_end: Sequence::START,
            caught_up: false,
            ready: VecDeque::new(),
        }
    }
}

/// A gap-free stream of what happens in a session.
pub struct Subscription {
    session: SessionId,
    log: Arc<dyn EventLog>,
    /// None once nothing more can come.
    live: Option<broadcast::Receiver<Arc<Live>>>,
    fault: Arc<OnceLock<String>>,
    next_after: Sequence,
    /// The last event told that ends a response: pieces of that response come too late.
    response_end: Sequence,
    caught_up: bool,
    ready: VecDeque<Update>,
}

impl Subscription {
    /// The next update. `Closed` is the last one, and comes again if asked again.
    pub async fn next(&mut self) -> Result<Update, SessionError> {
        loop {
            if let Some(update) = self.ready.pop_front() {
                return Ok(update);
            }
            if !self.caught_up {
                self.catch_up().await?;
                continue;
            }
            let Some(live) = &mut self.live else {
                return Ok(Update::Closed { fault: self.fault.get().cloned() });
            };
            let live = match live.recv().await {
                Ok(live) => Arc::unwrap_or_clone(live),
                Err(broadcast::error::RecvError::Closed) => Live::Closed,
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    self.caught_up = false;
                    continue;
                }
            };
            match live {
                Live::Event(event) if event.header.sequence <= self.next_after => {}
                Live::Event(event) if event.header.sequence == self.next_after.next() => return Ok(self.take(event)),
                Live::Event(_) => self.caught_up = false,
                Live::Delta { request, .. } if request < self.response_end => {}
                Live::Delta { offset_bytes, delta, .. } => return Ok(Update::Delta { offset_bytes, delta }),
                Live::Progress { call, progress } => return Ok(Update::Progress { call, progress }),
                Live::Closed => self.live = None,
            }
        }
    }

    /// Whether all was told that the log had when it was last read; what comes next is live.
    pub(crate) fn is_live(&self) -> bool {
        self.caught_up && self.ready.is_empty()
    }

    async fn catch_up(&mut self) -> Result<(), SessionError> {
        let page = self.log.read(self.session, self.next_after, CATCH_UP_EVENTS_MAX).await?;
        self.caught_up = page.len() < CATCH_UP_EVENTS_MAX;
        for stored in page {
            // The writer verified the chain when it opened the session; here only the order matters.
            let header: Header = serde_json::from_slice(&stored.header_bytes).map_err(VerifyError::Header)?;
            let tip = Tip { sequence: self.next_after, hash: header.previous };
            let (sealed, tip) = verify(tip, stored.header_bytes, stored.payload)?;
            let event = Arc::new(logged(sealed)?);
            debug_assert_eq!(event.header.sequence, tip.sequence);
            let update = self.take(event);
            self.ready.push_back(update);
        }
        Ok(())
    }

    fn take(&mut self, event: Arc<LoggedEvent>) -> Update {
        self.next_after = event.header.sequence;
        let ends = |event: &Event| {
            matches!(event, Event::ModelResponded { .. } | Event::ModelFailed { .. } | Event::TurnEnded { .. })
        };
        if event.event.as_ref().is_some_and(ends) {
            self.response_end = event.header.sequence;
        }
        Update::Event(event)
    }
}

/// A sealed event with its content read.
pub(crate) fn logged(sealed: SealedEvent) -> Result<LoggedEvent, VerifyError> {
    let event = sealed.event()?;
    Ok(LoggedEvent { header: sealed.header, event })
}
