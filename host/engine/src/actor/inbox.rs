//! Taking what other processes gave the session.
//!
//! Promise: each entry is decided on once by a writer and goes with the append that holds what it became, also where it
//! was declined. A writer that was fenced takes nothing. An entry that breaks the writer is declined before it stops,
//! so that the next one does not meet it again.
//!
//! Not here: who gives them (`crate::inbox`), keeping them (the port).

use super::{Batch, SessionWriter, Taken, Wake};
use crate::inbox;
use crate::ports::{Clock, Consumed, Inbox, InboxOutcome, SessionAppend, UnreadEntry};
use harness_core::{Actor, Event, Origin, Refusal, Sequence, SessionId};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Entries read at once.
const UNREAD_ENTRIES_MAX: usize = 16;
/// Pause after a look that failed. Milliseconds.
const FAILED_LOOK_MS: u64 = 1_000;

/// Hands the writer what is in the session's inbox and what comes, until the writer is gone.
pub(super) async fn watch(session: SessionId, inbox: Arc<dyn Inbox>, clock: Arc<dyn Clock>, wakes: mpsc::Sender<Wake>) {
    let look = async {
        let mut after = 0;
        loop {
            let unread = match inbox.unread(session, after, UNREAD_ENTRIES_MAX).await {
                Ok(unread) => unread,
                Err(error) => {
                    tracing::warn!(%session, %error, "the session's inbox could not be read");
                    clock.sleep(FAILED_LOOK_MS).await;
                    continue;
                }
            };
            if unread.is_empty() {
                inbox.arrival(session, after, clock.as_ref()).await;
            }
            for entry in unread {
                after = after.max(entry.place);
                if wakes.send(Wake::Given { entry: Box::new(entry) }).await.is_err() {
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = wakes.closed() => {}
        () = look => {}
    }
}

impl SessionWriter {
    /// Decides on an entry and has the batch take it away.
    pub(super) fn take_given(&mut self, batch: &mut Batch, unread: UnreadEntry) {
        let entry = unread.entry;
        let outcome = match inbox::read(&entry) {
            Ok(event) => self.decide_given(batch, entry.principal, event),
            Err(words) => Ok(InboxOutcome::Refused { words }),
        };
        match outcome {
            Ok(outcome) => batch.consumed.push(Consumed { id: entry.id, outcome }),
            Err(words) => {
                self.poison = Some(Consumed { id: entry.id, outcome: InboxOutcome::Refused { words } });
            }
        }
    }

    /// What came of an input; an error where nothing more may be decided.
    fn decide_given(&mut self, batch: &mut Batch, principal: String, event: Event) -> Result<InboxOutcome, String> {
        let taken = Taken { actor: Actor::Principal(principal), event, blobs: Vec::new(), reply: None };
        match self.take(batch, taken) {
            Ok(()) => Ok(InboxOutcome::Accepted { sequence: last_input(batch).unwrap_or(self.session.tip.sequence) }),
            Err(refusal @ Refusal::Inconsistent(_)) => {
                self.stop(&refusal);
                Err(refusal.to_string())
            }
            Err(refusal) => Ok(InboxOutcome::Refused { words: refusal.to_string() }),
        }
    }

    /// Takes away the entry that broke this writer. Nothing that is believed goes with it.
    pub(super) async fn drop_poison(&mut self) {
        let Some(consumed) = self.poison.take() else { return };
        let append = SessionAppend::new(self.id, self.epoch, self.session.tip, Vec::new());
        let append = SessionAppend { consumed: vec![consumed], ..append };
        if let Err(error) = self.ports.log.append(vec![append]).await {
            tracing::debug!(session = %self.id, %error, "the entry that broke the session stays in its inbox");
        }
    }
}

/// The last input of a batch.
pub(super) fn last_input(batch: &Batch) -> Option<Sequence> {
    let mut inputs = batch.logged.iter().rev().filter(|logged| logged.header.origin == Origin::Input);
    inputs.next().map(|logged| logged.header.sequence)
}

/// Says of entries that were accepted as `old` that they are now `new`.
pub(super) fn renumber(consumed: &mut [Consumed], old: Sequence, new: Sequence) {
    for taken in consumed {
        if let InboxOutcome::Accepted { sequence } = &mut taken.outcome
            && *sequence == old
        {
            *sequence = new;
        }
    }
}
