//! The inbox: what people gave a session from any process, until its writer has taken it.
//!
//! Promise: what `put` accepted is durable and is taken exactly once: an entry goes in the same append as the events
//! that it became. What came of it can be read for a while.
//!
//! Not here: which inputs may come this way, and what they mean (`inbox`), who takes them (`actor`).

use super::{Clock, StoreError};
use async_trait::async_trait;
use harness_core::ids::{InboxId, Sequence, SessionId};
use serde::Serialize;

/// Entries that may wait for one session.
pub const INBOX_ENTRIES_MAX: usize = 256;
/// What one entry may hold: the longest prompt fits, written as JSON.
pub const INBOX_ENTRY_BYTES_MAX: usize = 2 << 20;
/// What all entries that wait for one session may hold together.
pub const INBOX_BYTES_MAX: usize = 8 << 20;
/// Of how many taken entries a session keeps what came of them; the oldest go first.
pub const INBOX_OUTCOMES_MAX: usize = 256;
/// The name of whoever gave an entry.
pub const PRINCIPAL_BYTES_MAX: usize = 256;
/// How often a store looks for entries that other processes put. Milliseconds.
pub const INBOX_LOOK_MS: u64 = 250;

/// An input on its way to a session. Nobody has looked at what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEntry {
    /// Chosen by the sender, random: the same entry put again is one entry.
    pub id: InboxId,
    /// Who gives it: the principal that the log will name.
    pub principal: String,
    /// The event, as JSON.
    pub input: Vec<u8>,
}

impl InboxEntry {
    /// Whether it is within the limits of one entry.
    pub fn check(&self) -> Result<(), InboxError> {
        let name = &self.principal;
        if name.is_empty() || name.len() > PRINCIPAL_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(InboxError::Principal);
        }
        let bytes = self.input.len();
        if bytes > INBOX_ENTRY_BYTES_MAX { Err(InboxError::TooLarge { bytes }) } else { Ok(()) }
    }
}

/// An entry that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadEntry {
    /// Its place: entries put later have a larger one, and none is given twice.
    pub place: u64,
    /// The entry.
    pub entry: InboxEntry,
}

/// What came of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum InboxOutcome {
    /// It is in the log.
    Accepted {
        /// As this event.
        sequence: Sequence,
    },
    /// The session declined it, and nothing is in the log.
    Refused {
        /// Why, for a person.
        words: String,
    },
}

/// An entry that was taken, with what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    /// Which.
    pub id: InboxId,
    /// What came of it.
    pub outcome: InboxOutcome,
}

/// What the sender of an entry holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InboxReceipt {
    /// The session.
    pub session: SessionId,
    /// The entry.
    pub id: InboxId,
    /// What came of it; none while it waits for the session's writer.
    #[serde(flatten)]
    pub outcome: Option<InboxOutcome>,
}

/// Why an entry was not put. Nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InboxError {
    /// There is no such session.
    #[error("there is no session {0}")]
    NotFound(SessionId),
    /// It has too many bytes.
    #[error("what is sent takes {bytes} bytes, {INBOX_ENTRY_BYTES_MAX} are possible: send less at once")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Too much waits for the session already.
    #[error(
        "too much waits for {0}: at most {INBOX_ENTRIES_MAX} entries and {INBOX_BYTES_MAX} bytes. Open the session so that it is taken"
    )]
    Full(SessionId),
    /// The sender's name cannot be logged.
    #[error("a sender needs a name of 1 to {PRINCIPAL_BYTES_MAX} bytes without control characters")]
    Principal,
    /// Nothing of this kind is taken this way.
    #[error("`{0}` is nothing that can be sent to a session: answers, messages, choices, budgets and reviews can")]
    NotSendable(String),
    /// The storage failed. Whether the entry is kept is unknown: putting it again does no harm.
    #[error("could not write the inbox: {0}")]
    Storage(String),
}

/// Inputs for sessions, from any process that has the same store.
///
/// What was taken is removed by [`super::EventLog::append`], with [`super::SessionAppend::consumed`].
#[async_trait]
pub trait Inbox: Send + Sync + 'static {
    /// Keeps an entry, durably. An id that the session knows already changes nothing.
    async fn put(&self, session: SessionId, entry: InboxEntry) -> Result<(), InboxError>;

    /// Entries that wait and whose place is larger than `after`, in the order in which they were put, at most
    /// `entries_max`.
    async fn unread(&self, session: SessionId, after: u64, entries_max: usize) -> Result<Vec<UnreadEntry>, StoreError>;

    /// What came of an entry, if it is known: it waits, or was taken not too long ago.
    async fn receipt(&self, session: SessionId, id: InboxId) -> Result<Option<InboxReceipt>, StoreError>;

    /// Returns once an entry waits whose place is larger than `after`. Whoever has to look again and again sleeps by
    /// this clock in between. Costs next to nothing while nothing comes. Where it cannot look, it goes on waiting.
    async fn arrival(&self, session: SessionId, after: u64, clock: &dyn Clock);
}
