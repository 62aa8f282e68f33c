//! Keeping a session's checkpoints, and going back to an earlier event.
//!
//! Promise: a checkpoint is made beside the writer and travels in the next append, so no turn waits for it and
//! it costs no commit of its own but when a session closes. Failing to make one changes nothing else.
//!
//! Not here: making and reading one (`checkpoint`), reading the log (`load`).

use super::{Batch, SessionWriter, Wake};
use crate::checkpoint::{self, CheckpointPolicy, Kept, Made, Snapshot};
use crate::load::{batch_end, load_to};
use crate::ports::{CheckpointWrite, SessionAppend};
use crate::session::SessionError;
use harness_core::{Actor, Refusal, Sequence, decide_rewind};
use tokio::sync::mpsc;

/// What a writer knows of its session's checkpoints.
pub(super) struct Keep {
    pub(super) kept: Kept,
    policy: CheckpointPolicy,
    wakes: mpsc::Sender<Wake>,
    /// One is being made, or waits for an append.
    is_busy: bool,
    /// Ready for the next append.
    ready: Option<Box<Made>>,
    /// What an append that is under way would leave kept.
    giving: Option<Kept>,
    /// Whatever the number of events: one at this event or after it is due.
    due: Option<Sequence>,
}

impl Keep {
    pub(super) fn new(kept: Kept, policy: CheckpointPolicy, wakes: mpsc::Sender<Wake>) -> Self {
        Self { kept, policy, wakes, is_busy: false, ready: None, giving: None, due: None }
    }

    /// One was made. Where none could be, the next attempt waits as long as after one.
    pub(super) fn made(&mut self, made: Option<Box<Made>>) {
        self.is_busy = made.is_some();
        self.ready = made;
    }

    /// What the next append is to carry.
    pub(super) fn give(&mut self) -> Option<CheckpointWrite> {
        let made = self.ready.take()?;
        self.is_busy = false;
        self.giving = Some(made.kept);
        Some(made.write)
    }

    /// The append is over.
    pub(super) fn given(&mut self, is_kept: bool) {
        if let Some(kept) = self.giving.take().filter(|_| is_kept) {
            self.due = self.due.filter(|due| kept.at < *due);
            self.kept = kept;
        }
    }

    /// Makes one on another thread.
    fn start(&mut self, snapshot: Snapshot) {
        self.is_busy = true;
        // A session that is closed meanwhile makes its last one itself.
        let wakes = self.wakes.downgrade();
        tokio::task::spawn_blocking(move || {
            let made = checkpoint::make(snapshot).map(Box::new);
            if let Some(wakes) = wakes.upgrade() {
                let _ = wakes.blocking_send(Wake::Checkpoint { made });
            }
        });
    }
}

impl SessionWriter {
    /// Begins a checkpoint where one is due. Everything believed is durable.
    pub(super) fn keep_on(&mut self) {
        let since = self.session.tip.sequence.0.saturating_sub(self.keep.kept.at.0);
        if !self.keep.is_busy && (self.keep.due.is_some() || since >= self.keep.policy.events) {
            let snapshot = checkpoint::snapshot(self.id, &mut self.session, &self.keep.kept);
            self.keep.start(snapshot);
        }
    }

    /// Keeps a last checkpoint of a session that closes, where it is worth a commit.
    pub(super) async fn keep_last(&mut self) {
        let since = self.session.tip.sequence.0.saturating_sub(self.keep.kept.at.0);
        if since < self.keep.policy.close_events && self.keep.due.is_none() {
            return;
        }
        let snapshot = checkpoint::snapshot(self.id, &mut self.session, &self.keep.kept);
        let made = tokio::task::spawn_blocking(move || checkpoint::make(snapshot)).await;
        let Ok(Some(made)) = made else { return };
        let append = SessionAppend::new(self.id, self.epoch, self.session.tip, Vec::new());
        let append = SessionAppend { checkpoint: Some(made.write), ..append };
        if let Err(error) = self.ports.log.append(vec![append]).await {
            tracing::debug!(session = %self.id, %error, "the session was closed without a checkpoint");
        }
    }

    /// Goes back to an event. Nothing waits to be committed.
    pub(super) async fn rewind(&mut self, to: Sequence) -> Result<Sequence, SessionError> {
        if to == Sequence::START || to > self.session.tip.sequence {
            return Err(Refusal::NoEvent(to).into());
        }
        let log = self.ports.log.clone();
        let to = batch_end(log.as_ref(), self.id, to).await?;
        let (past, _) = load_to(log.as_ref(), self.id, to).await?;
        let decision = decide_rewind(&mut self.session.state, to, past.state)?;
        let mut batch = Batch::default();
        self.add(&mut batch, decision, Actor::Principal("person".to_owned()), self.ports.clock.now());
        // Waking must not have to read what was left behind.
        self.keep.due = Some(self.session.tip.sequence.next());
        self.commit(batch).await.map_err(|error| SessionError::Closed(Some(error.to_string())))?;
        Ok(to)
    }
}
