//! A log that a test can hold up, break and kill at any append.

use async_trait::async_trait;
use harness_core::{Sequence, SessionId};
use harness_engine::ports::{AppendError, EventLog, SessionAppend, StoreError, StoredEvent};
use harness_sim::gate::Gate;
use harness_sim::log_between::Between;
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
impl Between for WatchedLog {
    async fn append(&self, log: &dyn EventLog, appends: Vec<SessionAppend>) -> Result<(), AppendError> {
        let broken = Err(AppendError::Storage("the disk is gone".to_owned()));
        match self.next() {
            None => log.append(appends).await,
            Some(Fate::DieBefore) => {
                self.dead.pass().await;
                broken
            }
            Some(Fate::DieAfter) => {
                log.append(appends).await?;
                self.dead.pass().await;
                broken
            }
            Some(Fate::Fail) => broken,
            Some(Fate::FailAfter) => log.append(appends).await.and(broken),
            Some(Fate::Hold(gate)) => {
                gate.pass().await;
                log.append(appends).await
            }
        }
    }

    async fn read(
        &self,
        log: &dyn EventLog,
        session: SessionId,
        after: Sequence,
        events_max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let instead = *self.instead.lock().unwrap_or_else(PoisonError::into_inner);
        log.read(instead.unwrap_or(session), after, events_max).await
    }
}
