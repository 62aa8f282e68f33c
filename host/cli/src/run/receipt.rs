//! What became of an answer or a message that was given to a session.
//!
//! Promise: what it says is in the session's log or inbox, and never guessed. A message is accepted first, then delivered
//! or expired, never both.
//!
//! Not here: giving it (`elsewhere`), what follows from it (harness-core).

use crate::failure::Failure;
use crate::paint::one_line;
use harness_core::{Event, InboxId, MessageId, Sequence, SessionId};
use harness_engine::ports::{INBOX_OUTCOMES_MAX, InboxOutcome};
use harness_engine::{Host, LoggedEvent};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// Events read from the log at once.
const PAGE_EVENTS_MAX: usize = 500;
/// How long something is waited for where nothing else is said. Seconds.
pub(super) const WAIT_S: u64 = 10;
/// Pause between two looks.
pub(super) const LOOK: Duration = Duration::from_millis(50);
/// A reason is shown up to this many characters.
const WORDS_CHARS_MAX: usize = 400;

/// How far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Became {
    /// The session's writer has not taken it.
    Waiting,
    /// The session declined it, and nothing is in its log.
    Refused { words: String },
    /// It is in the log. An answer counts; a message is not delivered yet.
    Accepted,
    /// The message is in the conversation since this event.
    Delivered { sequence: Sequence },
    /// The message will not be in the conversation, since this event.
    Expired { sequence: Sequence, reason: String },
}

/// What is known of something that was given.
pub(crate) struct Receipt {
    session: SessionId,
    /// What it is in the session's inbox; none where the session took it without.
    entry: Option<InboxId>,
    /// The message that it is; none for an answer, or where nobody looked yet.
    message: Option<MessageId>,
    became: Became,
    /// The event that it became.
    accepted: Option<Sequence>,
    /// The last event that was looked at.
    looked: Sequence,
}

impl Receipt {
    /// Of something that was put into the inbox.
    pub(super) fn of_entry(session: SessionId, entry: InboxId) -> Self {
        let became = Became::Waiting;
        Self { session, entry: Some(entry), message: None, became, accepted: None, looked: Sequence::START }
    }

    /// Of a message that is in the log after this event.
    pub(super) fn of_message(session: SessionId, message: MessageId, looked: Sequence) -> Self {
        let became = Became::Waiting;
        Self { session, entry: None, message: Some(message), became, accepted: None, looked }
    }

    /// What came of something that was given before.
    pub(crate) async fn find(host: &Host, session: SessionId, entry: InboxId) -> Result<Self, Failure> {
        let found = host.receipt(session, entry).await.map_err(|error| Failure::because("looking", &error))?;
        if found.is_none() {
            return Err(Failure::usage(format!(
                "{session} knows nothing of {entry} (any more): what came of the last {INBOX_OUTCOMES_MAX} is kept"
            )));
        }
        let mut receipt = Self::of_entry(session, entry);
        receipt.look(host).await?;
        Ok(receipt)
    }

    /// How far it has come, as far as was looked.
    pub(super) const fn became(&self) -> &Became {
        &self.became
    }

    /// Whether nothing more can come of it.
    pub(super) fn is_final(&self) -> bool {
        match self.became {
            Became::Waiting => false,
            Became::Accepted => self.message.is_none(),
            Became::Refused { .. } | Became::Delivered { .. } | Became::Expired { .. } => true,
        }
    }

    /// Looks again.
    pub(super) async fn look(&mut self, host: &Host) -> Result<(), Failure> {
        let failed = |error: &dyn std::error::Error| Failure::because("looking for what came of it", error);
        if let (Became::Waiting, Some(entry)) = (&self.became, self.entry) {
            let found = host.receipt(self.session, entry).await.map_err(|error| failed(&error))?;
            match found.and_then(|found| found.outcome) {
                None => return Ok(()),
                Some(InboxOutcome::Refused { words }) => {
                    self.became = Became::Refused { words };
                    return Ok(());
                }
                Some(InboxOutcome::Accepted { sequence }) => {
                    self.became = Became::Accepted;
                    self.accepted = Some(sequence);
                    self.looked = Sequence(sequence.0.saturating_sub(1));
                    let first = host.events(self.session, self.looked, 1).await.map_err(|error| failed(&error))?;
                    first.iter().for_each(|logged| self.see(logged));
                }
            }
        }
        while !self.is_final() {
            let page = host.events(self.session, self.looked, PAGE_EVENTS_MAX).await.map_err(|error| failed(&error))?;
            page.iter().for_each(|logged| self.see(logged));
            if page.len() < PAGE_EVENTS_MAX {
                break;
            }
        }
        Ok(())
    }

    /// Waits until the session's writer took it, at most so long; ten seconds if nothing is said.
    pub(super) async fn wait_until_taken(&mut self, host: &Host, wait_s: Option<u64>) -> Result<(), Failure> {
        let began = Instant::now();
        let most = Duration::from_secs(wait_s.unwrap_or(WAIT_S));
        loop {
            self.look(host).await?;
            if self.became != Became::Waiting || began.elapsed() >= most {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn see(&mut self, logged: &LoggedEvent) {
        let sequence = logged.header.sequence;
        self.looked = sequence;
        match &logged.event {
            Some(Event::MessageReceived { message, .. }) if self.accepted == Some(sequence) => {
                self.message = Some(*message);
            }
            Some(Event::MessageReceived { message, .. }) if self.message == Some(*message) => {
                self.became = Became::Accepted;
                self.accepted = Some(sequence);
            }
            Some(Event::MessageDelivered { message }) if self.message == Some(*message) => {
                self.became = Became::Delivered { sequence };
            }
            Some(Event::MessageExpired { message, reason }) if self.message == Some(*message) => {
                self.became = Became::Expired { sequence, reason: reason.clone() };
            }
            _ => {}
        }
    }

    /// For people, in a line.
    pub(crate) fn in_words(&self) -> String {
        let Self { session, accepted, .. } = self;
        let at = accepted.map(|sequence| format!(" as event {sequence}")).unwrap_or_default();
        match &self.became {
            Became::Waiting => format!("waits in the inbox of {session}. {}", self.how_to_go_on()),
            Became::Refused { words } => format!("declined by {session}: {}", one_line(words, WORDS_CHARS_MAX)),
            Became::Accepted if self.message.is_none() => format!("accepted by {session}{at}"),
            Became::Accepted => {
                let how = self.entry.map(|_| format!(". {}", self.how_to_look())).unwrap_or_default();
                format!("accepted by {session}{at}, not delivered yet{how}")
            }
            Became::Delivered { sequence } => format!("delivered by {session} as event {sequence}, accepted{at}"),
            Became::Expired { sequence, reason } => {
                let reason = one_line(reason, WORDS_CHARS_MAX);
                format!("expired in {session} as event {sequence} ({reason}), accepted{at}")
            }
        }
    }

    fn how_to_look(&self) -> String {
        let entry = self.entry.map(|entry| entry.to_string()).unwrap_or_default();
        format!("harness-host sessions receipt {} {entry} tells what came of it", self.session)
    }

    /// What to do where it is not taken.
    pub(super) fn how_to_go_on(&self) -> String {
        let Self { session, .. } = self;
        format!("{}; harness-host run --session {session} --take-over goes on with it here", self.how_to_look())
    }

    /// For programs.
    pub(crate) fn for_programs(&self) -> Value {
        let Self { session, entry, message, accepted, .. } = self;
        let mut value = json!({ "session": session, "given": entry, "message": message, "accepted": accepted });
        let (word, more) = match &self.became {
            Became::Waiting => ("waiting", None),
            Became::Refused { words } => ("refused", Some(("reason", json!(words)))),
            Became::Accepted => ("accepted", None),
            Became::Delivered { sequence } => ("delivered", Some(("delivered", json!(sequence)))),
            Became::Expired { sequence, reason } => {
                value["reason"] = json!(reason);
                ("expired", Some(("expired", json!(sequence))))
            }
        };
        value["receipt"] = json!(word);
        if let Some((key, more)) = more {
            value[key] = more;
        }
        value
    }
}
