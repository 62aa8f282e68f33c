//! A log with somebody between it and whoever uses it.
//!
//! Promise: what is not intercepted reaches the log behind unchanged, and what that one answers comes back unchanged.
//!
//! Not here: keeping events (`memory_store`, harness-store).

use async_trait::async_trait;
use harness_core::{Sequence, SessionId, Tip};
use harness_engine::ports::{
    Ancestor, AppendError, Checkpoint, EventLog, Import, SessionAppend, StoreError, StoredEvent,
};
use std::sync::Arc;

/// Takes part in what a log is asked. Each function does by itself what the log behind does; who replaces one may ask
/// `log`, or not.
#[async_trait]
pub trait Between: Send + Sync + 'static {
    /// See [`EventLog::append`].
    async fn append(&self, log: &dyn EventLog, appends: Vec<SessionAppend>) -> Result<(), AppendError> {
        log.append(appends).await
    }

    /// See [`EventLog::read`].
    async fn read(
        &self,
        log: &dyn EventLog,
        session: SessionId,
        after: Sequence,
        events_max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        log.read(session, after, events_max).await
    }

    /// See [`EventLog::tip`].
    async fn tip(&self, log: &dyn EventLog, session: SessionId) -> Result<Tip, StoreError> {
        log.tip(session).await
    }

    /// See [`EventLog::checkpoint`].
    async fn checkpoint(
        &self,
        log: &dyn EventLog,
        session: SessionId,
        up_to: Sequence,
    ) -> Result<Option<Checkpoint>, StoreError> {
        log.checkpoint(session, up_to).await
    }

    /// See [`EventLog::segments`].
    async fn segments(
        &self,
        log: &dyn EventLog,
        session: SessionId,
        first: u32,
        bytes_max: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        log.segments(session, first, bytes_max).await
    }
}

/// The log that its users see.
pub struct LogBetween<B> {
    between: Arc<B>,
    log: Arc<dyn EventLog>,
}

impl<B: Between> LogBetween<B> {
    /// A log whose users reach `log` through `between`.
    pub fn new(between: Arc<B>, log: Arc<dyn EventLog>) -> Self {
        Self { between, log }
    }
}

#[async_trait]
impl<B: Between> EventLog for LogBetween<B> {
    async fn append(&self, appends: Vec<SessionAppend>) -> Result<(), AppendError> {
        self.between.append(self.log.as_ref(), appends).await
    }

    async fn read(
        &self,
        session: SessionId,
        after: Sequence,
        events_max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.between.read(self.log.as_ref(), session, after, events_max).await
    }

    async fn tip(&self, session: SessionId) -> Result<Tip, StoreError> {
        self.between.tip(self.log.as_ref(), session).await
    }

    async fn erase_payload(&self, session: SessionId, sequence: Sequence) -> Result<(), StoreError> {
        self.log.erase_payload(session, sequence).await
    }

    async fn lineage(&self, session: SessionId) -> Result<Vec<Ancestor>, StoreError> {
        self.log.lineage(session).await
    }

    async fn checkpoint(&self, session: SessionId, up_to: Sequence) -> Result<Option<Checkpoint>, StoreError> {
        self.between.checkpoint(self.log.as_ref(), session, up_to).await
    }

    async fn segments(&self, session: SessionId, first: u32, bytes_max: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.between.segments(self.log.as_ref(), session, first, bytes_max).await
    }

    async fn drop_checkpoints(&self, session: SessionId) -> Result<(), StoreError> {
        self.log.drop_checkpoints(session).await
    }

    async fn import(&self, import: Import) -> Result<(), AppendError> {
        self.log.import(import).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{self, Stores};
    use crate::memory_store::tests::empty;

    struct Nobody;

    impl Between for Nobody {}

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_in_between_changes_nothing() {
        conformance::run_all(|| {
            let stores = empty();
            Stores { log: Arc::new(LogBetween::new(Arc::new(Nobody), Arc::clone(&stores.log))), ..stores }
        })
        .await;
    }
}
