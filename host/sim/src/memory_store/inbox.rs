//! Inboxes in memory.

use super::{MemoryStore, Session};
use async_trait::async_trait;
use harness_core::{InboxId, SessionId};
use harness_engine::ports::{
    AppendError, Clock, Consumed, INBOX_BYTES_MAX, INBOX_ENTRIES_MAX, INBOX_OUTCOMES_MAX, Inbox, InboxEntry,
    InboxError, InboxOutcome, InboxReceipt, StoreError, UnreadEntry,
};

/// An entry, and what came of it once it was taken.
pub(super) struct Mail {
    unread: UnreadEntry,
    outcome: Option<InboxOutcome>,
}

impl Session {
    fn waiting(&self) -> impl Iterator<Item = &UnreadEntry> {
        self.inbox.iter().filter(|mail| mail.outcome.is_none()).map(|mail| &mail.unread)
    }

    /// Whether every entry waits, each named once.
    pub(super) fn check_consumed(&self, session: SessionId, consumed: &[Consumed]) -> Result<(), AppendError> {
        for (index, taken) in consumed.iter().enumerate() {
            let is_again = consumed.iter().take(index).any(|before| before.id == taken.id);
            if is_again || !self.waiting().any(|unread| unread.entry.id == taken.id) {
                return Err(AppendError::Storage(format!("{session} has no {} to take", taken.id)));
            }
        }
        Ok(())
    }

    /// Takes entries away and keeps what came of them.
    pub(super) fn consume(&mut self, consumed: Vec<Consumed>) {
        for Consumed { id, outcome } in consumed {
            if let Some(mail) = self.inbox.iter_mut().find(|mail| mail.unread.entry.id == id) {
                mail.outcome = Some(outcome);
            }
        }
        let taken = self.inbox.iter().filter(|mail| mail.outcome.is_some()).count();
        let mut surplus = taken.saturating_sub(INBOX_OUTCOMES_MAX);
        self.inbox.retain(|mail| {
            let goes = surplus > 0 && mail.outcome.is_some();
            surplus -= usize::from(goes);
            !goes
        });
    }
}

#[async_trait]
impl Inbox for MemoryStore {
    async fn put(&self, session: SessionId, entry: InboxEntry) -> Result<(), InboxError> {
        entry.check()?;
        let mut inner = self.inner();
        let place = inner.puts + 1;
        let known = inner.sessions.get_mut(&session).ok_or(InboxError::NotFound(session))?;
        if known.inbox.iter().any(|mail| mail.unread.entry.id == entry.id) {
            return Ok(());
        }
        let bytes: usize = known.waiting().map(|unread| unread.entry.input.len()).sum();
        if known.waiting().count() >= INBOX_ENTRIES_MAX || bytes + entry.input.len() > INBOX_BYTES_MAX {
            return Err(InboxError::Full(session));
        }
        known.inbox.push(Mail { unread: UnreadEntry { place, entry }, outcome: None });
        inner.puts = place;
        self.newest.send_replace(place);
        Ok(())
    }

    async fn unread(&self, session: SessionId, after: u64, entries_max: usize) -> Result<Vec<UnreadEntry>, StoreError> {
        let inner = self.inner();
        let unread = inner.find(session)?.waiting().filter(|unread| unread.place > after);
        Ok(unread.take(entries_max).cloned().collect())
    }

    async fn receipt(&self, session: SessionId, id: InboxId) -> Result<Option<InboxReceipt>, StoreError> {
        let inner = self.inner();
        let found = inner.find(session)?.inbox.iter().find(|mail| mail.unread.entry.id == id);
        Ok(found.map(|mail| InboxReceipt { session, id, outcome: mail.outcome.clone() }))
    }

    async fn arrival(&self, session: SessionId, after: u64, _: &dyn Clock) {
        let mut newest = self.newest.subscribe();
        while !self.unread(session, after, 1).await.is_ok_and(|unread| !unread.is_empty()) {
            if newest.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}
