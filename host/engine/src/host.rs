//! The host: where sessions are created, opened and looked at.
//!
//! Promise: a session is written by at most one opener at a time; opening it takes up whatever was
//! under way; looking at one never writes.

use crate::LoggedEvent;
use crate::actor::{self, Opening};
use crate::arguments::Schemas;
use crate::checkpoint::{CheckpointPolicy, Kept};
use crate::load::{LoadError, LoadedSession, load, load_to, load_whole, verify_chain};
use crate::policy::NoPolicy;
use crate::ports::{
    AppendError, Blobs, Clock, EventLog, Hands, Holder, Ids, Inbox, Index, Kv, Lease, LeaseError, Model, Policy,
    SessionAppend, Takeover,
};
use crate::session::{Session, SessionError, logged};
use crate::system::{SystemClock, SystemIds};
use harness_core::budget::Budget;
use harness_core::envelope::{Lineage, SealContext, SealedEvent, Tip, seal, verify};
use harness_core::event::Context;
use harness_core::{
    Actor, Epoch, Event, Grant, Header, Refusal, Sequence, SessionId, SessionState, TenantId, ToolSpec, decide,
    session_tools,
};
use std::sync::Arc;

/// Everything a host stands on.
#[derive(Clone)]
pub struct Ports {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Who may write which session.
    pub lease: Arc<dyn Lease>,
    /// The index of sessions.
    pub index: Arc<dyn Index>,
    /// Contents by digest.
    pub blobs: Arc<dyn Blobs>,
    /// Components' values.
    pub kv: Arc<dyn Kv>,
    /// What other processes give sessions.
    pub inbox: Arc<dyn Inbox>,
    /// The models.
    pub model: Arc<dyn Model>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub ids: Arc<dyn Ids>,
}

impl Ports {
    /// One store for everything that is kept, with the system's clock and randomness.
    pub fn over<S: EventLog + Lease + Index + Blobs + Kv + Inbox>(store: Arc<S>, model: Arc<dyn Model>) -> Self {
        Self {
            log: Arc::clone(&store) as _,
            lease: Arc::clone(&store) as _,
            index: Arc::clone(&store) as _,
            blobs: Arc::clone(&store) as _,
            kv: Arc::clone(&store) as _,
            inbox: store,
            model,
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds),
        }
    }
}

/// Why a session could not be created or opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else writes it, or the store failed.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// Its log could not be read back.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Its first events could not be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The core declined.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A fork would begin among events of another host, with what was granted there.
    #[error(
        "the events of {session} up to {last} were written elsewhere, and what was granted there would be in force: \
         fork at a later event, and rewind the fork"
    )]
    WrittenElsewhere {
        /// The session.
        session: SessionId,
        /// The last event that was written elsewhere.
        last: Sequence,
    },
    /// What the session would be told cannot be logged.
    #[error("what the model is to be told (instructions, tools, rules) cannot be logged: {0}")]
    Unstorable(String),
}

/// What a new session starts with.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// The folder it works in, an absolute path.
    pub workspace: String,
    /// A title; none to make one from the first prompt.
    pub title: Option<String>,
}

/// A host of sessions. Cheap to clone.
#[derive(Clone)]
pub struct Host {
    ports: Ports,
    holder: Holder,
    version: String,
    schemas: Arc<Schemas>,
    policy: Arc<dyn Policy>,
    has_session_tools: bool,
    checkpoints: CheckpointPolicy,
}

impl Host {
    /// A host over its ports. `holder` is this process, `version` goes into the log.
    pub fn new(ports: Ports, holder: Holder, version: impl Into<String>) -> Self {
        let (schemas, policy, checkpoints) = (Arc::default(), Arc::new(NoPolicy), CheckpointPolicy::default());
        Self { ports, holder, version: version.into(), schemas, policy, has_session_tools: true, checkpoints }
    }

    /// The same host with policies and hooks for the sessions that it opens. Without it a mode whose policy is a
    /// component allows nothing, and there are no hooks.
    pub fn with_policy(self, policy: Arc<dyn Policy>) -> Self {
        Self { policy, ..self }
    }

    /// The same host, with checkpoints made at other times.
    pub fn with_checkpoints(self, checkpoints: CheckpointPolicy) -> Self {
        Self { checkpoints, ..self }
    }

    /// The same host without the session's own tools ([`session_tools::specs`]), which sessions otherwise have beside
    /// those of their context.
    pub fn without_session_tools(mut self) -> Self {
        self.has_session_tools = false;
        self
    }

    /// The context with the session's own tools after the others. A tool that another hand offers under the name of
    /// one of them is left out: a person must know whose question it is.
    fn with_session_tools(&self, mut context: Context) -> Context {
        if self.has_session_tools {
            let is_foreign = |tool: &ToolSpec| !session_tools::NAMES.contains(&tool.name.as_str());
            for tool in context.tools.iter().filter(|tool| !is_foreign(tool) && !tool.is_of_session()) {
                tracing::warn!(tool = %tool.name, component = %tool.component, "a tool has the name of a session's own and is left out");
            }
            context.tools.retain(is_foreign);
            context.tools.extend(session_tools::specs());
        }
        context
    }

    /// The ports.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Creates a session and opens it. `grants` are all that the configuration gives, as for [`Session::set_grants`].
    pub async fn create(
        &self,
        new: NewSession,
        context: Context,
        grants: Vec<Grant>,
        hands: Arc<dyn Hands>,
    ) -> Result<Session, OpenError> {
        let now = self.ports.clock.now();
        let id = SessionId::new(now, &self.ports.ids.entropy());
        let epoch = self.ports.lease.acquire(id, &self.holder, Takeover::IfGone).await?;
        let empty = LoadedSession {
            state: SessionState::default(),
            tip: Tip::START,
            tenant: TenantId::local(),
            lineage: Lineage::root_of(id),
            origin: None,
            created: now,
            updated: now,
        };
        let context = self.with_session_tools(context);
        let (grants, kept) = (Some(grants), Kept::default());
        let opening =
            Opening { id, epoch, new: Some(new), context, grants, loaded: empty, kept, checkpoints: self.checkpoints };
        self.start(opening, hands).await
    }

    /// Opens a session and takes up whatever was under way. `grants` are all that the configuration gives, as
    /// for [`Session::set_grants`].
    pub async fn open(
        &self,
        id: SessionId,
        context: Context,
        grants: Vec<Grant>,
        hands: Arc<dyn Hands>,
        takeover: Takeover,
    ) -> Result<Session, OpenError> {
        let context = self.with_session_tools(context);
        let (epoch, loaded, kept) = self.acquire(id, takeover).await?;
        let opening = Opening {
            id,
            epoch,
            new: None,
            context,
            grants: Some(grants),
            loaded,
            kept,
            checkpoints: self.checkpoints,
        };
        self.start(opening, hands).await
    }

    /// Opens a session that nothing is under way in, as it was opened last. Refused where a turn is under way, unless
    /// it was stopped without a word and has only changes to put in place.
    pub async fn open_idle(
        &self,
        id: SessionId,
        hands: Arc<dyn Hands>,
        takeover: Takeover,
    ) -> Result<Session, OpenError> {
        let (epoch, loaded, kept) = self.acquire(id, takeover).await?;
        let context = loaded.state.context.as_deref().cloned().ok_or(Refusal::NotOpened);
        let turn = loaded.state.turn.as_ref();
        let is_idle = turn.is_none_or(|turn| turn.is_stopped_without_word);
        let context = context.and_then(|it| if is_idle { Ok(it) } else { Err(Refusal::TurnRunning) });
        let context = match context {
            Ok(context) => context,
            Err(refusal) => {
                self.ports.lease.release(id, epoch).await?;
                return Err(refusal.into());
            }
        };
        self.start(
            Opening { id, epoch, new: None, context, grants: None, loaded, kept, checkpoints: self.checkpoints },
            hands,
        )
        .await
    }

    async fn start(&self, opening: Opening, hands: Arc<dyn Hands>) -> Result<Session, OpenError> {
        let (ports, version, schemas) = (self.ports.clone(), self.version.clone(), Arc::clone(&self.schemas));
        actor::start(opening, ports, version, hands, schemas, Arc::clone(&self.policy)).await
    }

    /// Becomes a session's writer and reads it.
    async fn acquire(&self, id: SessionId, takeover: Takeover) -> Result<(Epoch, LoadedSession, Kept), OpenError> {
        // An unknown id must not become a session by being acquired.
        self.ports.log.tip(id).await.map_err(LoadError::from)?;
        let epoch = self.ports.lease.acquire(id, &self.holder, takeover).await?;
        match load_to(self.ports.log.as_ref(), id, Sequence(u64::MAX)).await {
            Ok((loaded, kept)) => Ok((epoch, loaded, kept)),
            Err(error) => {
                let _ = self.ports.lease.release(id, epoch).await;
                Err(error.into())
            }
        }
    }

    /// Gives a session that nobody writes another title. Nothing that is under way in it is taken up.
    pub async fn rename(&self, id: SessionId, title: impl Into<String>) -> Result<(), OpenError> {
        self.append_input(id, Event::SessionRenamed { title: title.into() }).await
    }

    /// Sets what a session that nobody writes may spend, what it has spent so far included. Nothing that is under way in
    /// it is taken up.
    pub async fn set_budget(&self, id: SessionId, budget: Budget) -> Result<(), OpenError> {
        self.append_input(id, Event::BudgetSet { budget }).await
    }

    /// Puts a session that nobody writes away, or takes it out again. Nothing that is under way in it is taken up.
    pub async fn archive(&self, id: SessionId, archived: bool) -> Result<(), OpenError> {
        self.append_input(id, Event::SessionArchived { archived }).await
    }

    /// Stops the turn under way in a session that nobody writes. Nothing that is under way is taken up, and what asked
    /// is withdrawn. Changes that were being put in place still are: the turn ends when they have been, after
    /// [`Self::open_idle`].
    pub async fn interrupt(&self, id: SessionId) -> Result<(), OpenError> {
        self.append_input(id, Event::InterruptRequested).await
    }

    /// Seals the first event of a session's own, after a beginning that others wrote.
    pub(crate) fn seal_own(&self, id: SessionId, after: Tip, event: Event) -> (Vec<SealedEvent>, Tip) {
        let context = SealContext {
            tenant: TenantId::local(),
            session: id,
            lineage: Lineage::root_of(id),
            time: self.ports.clock.now(),
            actor: Actor::Principal("person".to_owned()),
        };
        seal(after, &context, &[event], || self.ports.ids.entropy())
    }

    /// Gives a new session back; one that did not come into being goes.
    pub(crate) async fn give_back(&self, id: SessionId, epoch: Epoch, has_begun: bool) -> Result<(), LeaseError> {
        if !has_begun && let Err(error) = self.ports.index.delete(id).await {
            tracing::debug!(session = %id, %error, "a session that did not begin was left behind");
        }
        self.ports.lease.release(id, epoch).await
    }

    pub(crate) fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Appends a person's input to a session that nobody writes.
    async fn append_input(&self, id: SessionId, input: Event) -> Result<(), OpenError> {
        self.ports.log.tip(id).await.map_err(LoadError::from)?;
        let epoch = self.ports.lease.acquire(id, &self.holder, Takeover::IfGone).await?;
        let appended = self.decide_and_append(id, epoch, input).await;
        let released = self.ports.lease.release(id, epoch).await;
        appended.and(released.map_err(OpenError::from))
    }

    async fn decide_and_append(&self, id: SessionId, epoch: Epoch, input: Event) -> Result<(), OpenError> {
        let mut loaded = self.load(id).await?;
        let decision = decide(&mut loaded.state, id, input)?;
        loaded.updated = self.ports.clock.now();
        let context = SealContext {
            tenant: loaded.tenant.clone(),
            session: id,
            lineage: loaded.lineage,
            time: loaded.updated,
            actor: Actor::Principal("person".to_owned()),
        };
        let (events, tip) = seal(loaded.tip, &context, &decision.events, || self.ports.ids.entropy());
        let summary = Some(loaded.summary(id, tip));
        let append = SessionAppend { summary, ..SessionAppend::new(id, epoch, loaded.tip, events) };
        Ok(self.ports.log.append(vec![append]).await?)
    }

    /// Deletes a session for good, unless a live process writes it.
    pub async fn delete(&self, id: SessionId) -> Result<(), OpenError> {
        self.ports.index.summary(id).await.map_err(LoadError::from)?;
        let epoch = self.ports.lease.acquire(id, &self.holder, Takeover::IfGone).await?;
        let deleted = self.ports.index.delete(id).await;
        if deleted.is_err() {
            self.ports.lease.release(id, epoch).await?;
        }
        Ok(deleted.map_err(LoadError::from)?)
    }

    /// Verifies the chain of a session's whole log, also where payloads were erased. Gives its end.
    pub async fn verify(&self, id: SessionId) -> Result<Tip, LoadError> {
        verify_chain(self.ports.log.as_ref(), id).await
    }

    /// Reads a session without becoming its writer.
    pub async fn load(&self, id: SessionId) -> Result<LoadedSession, LoadError> {
        load(self.ports.log.as_ref(), id).await
    }

    /// The same without believing a checkpoint: every event is read, so that one that was changed is found.
    pub async fn load_whole(&self, id: SessionId) -> Result<LoadedSession, LoadError> {
        load_whole(self.ports.log.as_ref(), id).await
    }

    /// Reads a session as it was after an event and all that derives from the same input.
    pub async fn load_at(&self, id: SessionId, at: Sequence) -> Result<LoadedSession, LoadError> {
        let at = self.tip_at(id, Some(at)).await?;
        Ok(load_to(self.ports.log.as_ref(), id, at.sequence).await?.0)
    }

    /// Events after a position, at most `events_max`, for readers that are not its writer.
    pub async fn events(
        &self,
        id: SessionId,
        after: Sequence,
        events_max: usize,
    ) -> Result<Vec<LoggedEvent>, SessionError> {
        let mut sequence = after;
        let mut events = Vec::new();
        for stored in self.ports.log.read(id, after, events_max).await? {
            let header: Header =
                serde_json::from_slice(&stored.header_bytes).map_err(harness_core::envelope::VerifyError::Header)?;
            let (sealed, tip) = verify(Tip { sequence, hash: header.previous }, stored.header_bytes, stored.payload)?;
            sequence = tip.sequence;
            events.push(logged(sealed)?);
        }
        Ok(events)
    }
}
