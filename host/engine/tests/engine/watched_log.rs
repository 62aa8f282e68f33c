//! A log that a test can hold up, break and kill at any append.

use async_trait::async_trait;
use harness_core::{Sequence, SessionId, Tip};
use harness_engine::ports::{
    Ancestor, AppendError, Checkpoint, EventLog, Import, SessionAppend, StoreError, StoredEvent,
};
use harness_sim::gate::Gate;
use harness_sim::memory_store::MemoryStore;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What happens at an append.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    /// The process dies before it.
    DieBefore,
    /// It is durable, and the process dies before it hears of it.
    DieAfter,
    /// It fails and nothing is written.
    Fail,
    /// It is durable, and said to have failed.
    FailAfter,
    /// It waits at a gate before it begins.
    Hold(Gate),
}

#[derive(Default)]
pub(crate) struct WatchedLog {
    store: MemoryStore,
    plan: Mutex<Plan>,
    dead: Gate,
    instead: Mutex<Option<SessionId>>,
}

#[derive(Default)]
struct Plan {
    appends: u64,
    fates: BTreeMap<u64, Fate>,
}

impl WatchedLog {
    pub(crate) fn new(store: MemoryStore) -> Self {
        Self { store, ..Self::default() }
    }

    /// Appends since the last plan was made.
    pub(crate) fn appends(&self) -> u64 {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).appends
    }

    /// Plans what happens at an append, counted from 1 from now on.
    pub(crate) fn plan(&self, append: u64, fate: Fate) {
        self.set(BTreeMap::from([(append, fate)]));
    }

    /// Plans what happens at the next appends.
    pub(crate) fn plan_all(&self, fates: impl IntoIterator<Item = Fate>) {
        self.set((1..).zip(fates).collect());
    }

    fn set(&self, fates: BTreeMap<u64, Fate>) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Plan { appends: 0, fates };
    }

    /// From now on reads give another session's log.
    pub(crate) fn mislead(&self, to: SessionId) {
        *self.instead.lock().unwrap_or_else(PoisonError::into_inner) = Some(to);
    }

    /// Waits until the process has died.
    pub(crate) async fn died(&self) {
        self.dead.reached(1).await;
    }

    fn next(&self) -> Option<Fate> {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.appends += 1;
        plan.fates.get(&plan.appends).cloned()
    }
}

#[async_trait]
impl EventLog for WatchedLog {
    async fn append(&self, appends: Vec<SessionAppend>) -> Result<(), AppendError> {
        let broken = Err(AppendError::Storage("the disk is gone".to_owned()));
        match self.next() {
            None => self.store.append(appends).await,
            Some(Fate::DieBefore) => {
                self.dead.pass().await;
                broken
            }
            Some(Fate::DieAfter) => {
                self.store.append(appends).await?;
                self.dead.pass().await;
                broken
            }
            Some(Fate::Fail) => broken,
            Some(Fate::FailAfter) => self.store.append(appends).await.and(broken),
            Some(Fate::Hold(gate)) => {
                gate.pass().await;
                self.store.append(appends).await
            }
        }
    }

    async fn read(
        &self,
        session: SessionId,
        after: Sequence,
        events_max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let instead = *self.instead.lock().unwrap_or_else(PoisonError::into_inner);
        self.store.read(instead.unwrap_or(session), after, events_max).await
    }

    async fn tip(&self, session: SessionId) -> Result<Tip, StoreError> {
        self.store.tip(session).await
    }

    async fn erase_payload(&self, session: SessionId, sequence: Sequence) -> Result<(), StoreError> {
        self.store.erase_payload(session, sequence).await
    }

    async fn lineage(&self, session: SessionId) -> Result<Vec<Ancestor>, StoreError> {
        self.store.lineage(session).await
    }

    async fn checkpoint(&self, session: SessionId, up_to: Sequence) -> Result<Option<Checkpoint>, StoreError> {
        self.store.checkpoint(session, up_to).await
    }

    async fn segments(&self, session: SessionId, first: u32, bytes_max: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.store.segments(session, first, bytes_max).await
    }

    async fn drop_checkpoints(&self, session: SessionId) -> Result<(), StoreError> {
        self.store.drop_checkpoints(session).await
    }

    async fn import(&self, import: Import) -> Result<(), AppendError> {
        self.store.import(import).await
    }
}
