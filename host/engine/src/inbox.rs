//! Giving a session an input from any process: the sender's side, and what may come this way.
//!
//! Promise: only what a person may say, answer or choose is taken, never what the host, a model or a hand reports. An
//! entry is parsed and checked when it is sent and again when it is taken: whoever wrote the store is not believed.
//!
//! Not here: keeping entries (the port), taking them (`actor`).

use crate::host::Host;
use crate::ports::{InboxEntry, InboxError, InboxReceipt, StoreError};
use harness_core::{Event, InboxId, SessionId};

/// Who gives an input where nobody else is named.
const PERSON: &str = "person";
/// Pause between two looks at a receipt. Milliseconds.
const RECEIPT_LOOK_MS: u64 = 50;

/// Whether an input may come through an inbox. A prompt comes as a message, which begins a turn where none is under
/// way.
pub fn is_sendable(input: &Event) -> bool {
    match input {
        Event::ApprovalAnswered { .. }
        | Event::QuestionAnswered { .. }
        | Event::PlanAnswered { .. }
        | Event::MessageReceived { .. }
        | Event::MessageWithdrawn { .. }
        | Event::InterruptRequested
        | Event::ModeChosen { .. }
        | Event::ModelChosen { .. }
        | Event::BudgetSet { .. }
        | Event::TrustSet { .. }
        | Event::TrustReset { .. }
        | Event::WorkReviewed { .. }
        | Event::SessionRenamed { .. }
        | Event::SessionArchived { .. } => true,
        // That its end has come is for the host's clock to say.
        Event::AllowanceRevoked { expired, .. } => !expired,
        _ => false,
    }
}

/// Reads what an entry holds; what is wrong with it otherwise, for whoever sent it.
pub(crate) fn read(entry: &InboxEntry) -> Result<Event, String> {
    entry.check().map_err(|error| error.to_string())?;
    let input: Event = serde_json::from_slice(&entry.input)
        .map_err(|error| format!("what was sent is no event that this host knows: {error}"))?;
    if is_sendable(&input) { Ok(input) } else { Err(InboxError::NotSendable(input.kind().to_owned()).to_string()) }
}

impl Host {
    /// Gives a session an input, whoever writes it, in this process or another, or nobody: then it waits until the
    /// session is opened. When this returns it is durable; [`Self::receipt`] tells what came of it.
    ///
    /// What may be sent: [`is_sendable`].
    pub async fn send(&self, session: SessionId, input: Event) -> Result<InboxReceipt, InboxError> {
        self.send_as(session, PERSON, input).await
    }

    /// The same in the name of a principal, which the log will name.
    pub async fn send_as(
        &self,
        session: SessionId,
        principal: impl Into<String>,
        input: Event,
    ) -> Result<InboxReceipt, InboxError> {
        if !is_sendable(&input) {
            return Err(InboxError::NotSendable(input.kind().to_owned()));
        }
        let id = InboxId::from_bits(u128::from_be_bytes(self.ports().ids.entropy()));
        let entry = InboxEntry { id, principal: principal.into(), input: input.encode() };
        self.ports().inbox.put(session, entry).await?;
        Ok(InboxReceipt { session, id, outcome: None })
    }

    /// What came of an input that was sent; none where that is not known, or not any more.
    pub async fn receipt(&self, session: SessionId, id: InboxId) -> Result<Option<InboxReceipt>, StoreError> {
        self.ports().inbox.receipt(session, id).await
    }

    /// Waits until an input that was sent was taken, at most so long. The receipt has no outcome where that was too
    /// short.
    pub async fn taken(&self, sent: &InboxReceipt, wait_ms: u64) -> Result<InboxReceipt, StoreError> {
        let mut waited_ms = 0;
        loop {
            let found = self.receipt(sent.session, sent.id).await?.unwrap_or_else(|| sent.clone());
            if found.outcome.is_some() || waited_ms >= wait_ms {
                return Ok(found);
            }
            let pause_ms = RECEIPT_LOOK_MS.min(wait_ms.saturating_sub(waited_ms));
            self.ports().clock.sleep(pause_ms).await;
            waited_ms = waited_ms.saturating_add(pause_ms);
        }
    }
}
