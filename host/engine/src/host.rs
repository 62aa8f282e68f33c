//! The host: where sessions are created, opened and looked at.
//!
//! Promise: a session is written by at most one opener at a time; opening it takes up whatever was
//! under way; looking at one never writes.

use crate::LoggedEvent;
use crate::actor::{self, Opening};
use crate::arguments::Schemas;
use crate::load::{LoadError, LoadedSession, load, verify_chain};
use crate::policy::NoPolicy;
use crate::ports::{
    AppendError, Blobs, Clock, EventLog, Hands, Holder, Ids, Index, Kv, Lease, LeaseError, Model, Policy,
    SessionAppend, Takeover,
};
use crate::session::{Session, SessionError, logged};
use harness_core::budget::Budget;
use harness_core::envelope::{Lineage, SealContext, Tip, seal, verify};
use harness_core::event::Context;
use harness_core::{Actor, Epoch, Event, Grant, Header, Refusal, Sequence, SessionId, SessionState, TenantId, decide};
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
    /// The models.
    pub model: Arc<dyn Model>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub ids: Arc<dyn Ids>,
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
}

impl Host {
    /// A host over its ports. `holder` is this process, `version` goes into the log.
    pub fn new(ports: Ports, holder: Holder, version: impl Into<String>) -> Self {
        let policy = Arc::new(NoPolicy);
        Self { ports, holder, version: version.into(), schemas: Arc::default(), policy }
    }

    /// The same host with policies and hooks for the sessions that it opens. Without it a mode whose policy is a
    /// component allows nothing, and there are no hooks.
    pub fn with_policy(mut self, policy: Arc<dyn Policy>) -> Self {
        self.policy = policy;
        self
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
            created: now,
            updated: now,
        };
        let opening = Opening { id, epoch, new: Some(new), context, grants: Some(grants), loaded: empty };
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
        let (epoch, loaded) = self.acquire(id, takeover).await?;
        let opening = Opening { id, epoch, new: None, context, grants: Some(grants), loaded };
        self.start(opening, hands).await
    }

    /// Opens a session that nothing is under way in, as it was opened last. Refused where a turn is under way.
    pub(crate) async fn open_idle(
        &self,
        id: SessionId,
        hands: Arc<dyn Hands>,
        takeover: Takeover,
    ) -> Result<Session, OpenError> {
        let (epoch, loaded) = self.acquire(id, takeover).await?;
        let context = loaded.state.context.as_deref().cloned().ok_or(Refusal::NotOpened);
        let context =
            context.and_then(|it| if loaded.state.turn.is_none() { Ok(it) } else { Err(Refusal::TurnRunning) });
        let context = match context {
            Ok(context) => context,
            Err(refusal) => {
                self.ports.lease.release(id, epoch).await?;
                return Err(refusal.into());
            }
        };
        self.start(Opening { id, epoch, new: None, context, grants: None, loaded }, hands).await
    }

    async fn start(&self, opening: Opening, hands: Arc<dyn Hands>) -> Result<Session, OpenError> {
        let (ports, version, schemas) = (self.ports.clone(), self.version.clone(), Arc::clone(&self.schemas));
        actor::start(opening, ports, version, hands, schemas, Arc::clone(&self.policy)).await
    }

    /// Becomes a session's writer and reads it.
    async fn acquire(&self, id: SessionId, takeover: Takeover) -> Result<(Epoch, LoadedSession), OpenError> {
        // An unknown id must not become a session by being acquired.
        self.ports.log.tip(id).await.map_err(LoadError::from)?;
        let epoch = self.ports.lease.acquire(id, &self.holder, takeover).await?;
        match load(self.ports.log.as_ref(), id).await {
            Ok(loaded) => Ok((epoch, loaded)),
            Err(error) => {
                let _ = self.ports.lease.release(id, epoch).await;
                Err(error.into())
            }
        }
    }

    /// Gives a session that nobody writes another title. Nothing that is under way in it is taken up.
    pub async fn rename(&self, id: SessionId, title: impl Into<String>) -> Result<(), OpenError> {
        self.ports.log.tip(id).await.map_err(LoadError::from)?;
        let epoch = self.ports.lease.acquire(id, &self.holder, Takeover::IfGone).await?;
        let renamed = self.append_input(id, epoch, Event::SessionRenamed { title: title.into() }).await;
        let released = self.ports.lease.release(id, epoch).await;
        renamed.and(released.map_err(OpenError::from))
    }

    /// Sets what a session that nobody writes may spend, what it has spent so far included. Nothing that is under way in
    /// it is taken up.
    pub async fn set_budget(&self, id: SessionId, budget: Budget) -> Result<(), OpenError> {
        self.ports.log.tip(id).await.map_err(LoadError::from)?;
        let epoch = self.ports.lease.acquire(id, &self.holder, Takeover::IfGone).await?;
        let set = self.append_input(id, epoch, Event::BudgetSet { budget }).await;
        let released = self.ports.lease.release(id, epoch).await;
        set.and(released.map_err(OpenError::from))
    }

    /// Writes an input from which nothing follows that would have to be done.
    async fn append_input(&self, id: SessionId, epoch: Epoch, input: Event) -> Result<(), OpenError> {
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
        let append =
            SessionAppend { session: id, epoch, after: loaded.tip, events, blobs: Vec::new(), kv: Vec::new(), summary };
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

    /// Verifies the chain of a session's log, also where payloads were erased. Gives its end.
    pub async fn verify(&self, id: SessionId) -> Result<Tip, LoadError> {
        verify_chain(self.ports.log.as_ref(), id).await
    }

    /// Reads a session without becoming its writer.
    pub async fn load(&self, id: SessionId) -> Result<LoadedSession, LoadError> {
        load(self.ports.log.as_ref(), id).await
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
