//! What hooks and policies hear before the writer takes a wake.
//!
//! Promise: hooks at `prompt` hear all that is said to a session, whichever way it comes, and messages are taken in the
//! order in which they came, however long hooks take over one. Whoever stops a turn by a message does not wait for
//! hooks. What is refused was not said. What hooks and policies say of a turn counts for no other.
//!
//! Not here: asking (`policy`).

use super::follow::Look;
use super::{Batch, SessionWriter, Taken, Wake};
use crate::inbox;
use crate::ports::{Consumed, InboxOutcome};
use harness_core::event::TurnEnd;
use harness_core::limits::{MESSAGES_WAITING_MAX, PROMPT_BYTES_MAX};
use harness_core::message::Delivery;
use harness_core::state::Turn;
use harness_core::{Actor, Event, Refusal, SessionState, TurnId};
use std::borrow::Cow;
use std::collections::VecDeque;

/// The messages that hooks hear of.
#[derive(Default)]
pub(super) struct Hearing {
    /// One is being heard.
    is_hearing: bool,
    /// Those that came after it, at most [`MESSAGES_WAITING_MAX`].
    behind: VecDeque<Wake>,
}

impl Wake {
    /// What a person gives by it.
    pub(super) fn given(&self) -> Option<Cow<'_, Event>> {
        match self {
            Self::Answer { event, .. } => Some(Cow::Borrowed(event.as_ref())),
            Self::Given { entry } => inbox::read(&entry.entry).ok().map(Cow::Owned),
            _ => None,
        }
    }

    /// The message that it brings.
    fn message(&self) -> Option<Cow<'_, Event>> {
        self.given().filter(|event| matches!(**event, Event::MessageReceived { .. }))
    }

    /// What it says to the session, if that can be taken.
    pub(crate) fn words(&self, state: &SessionState) -> Option<String> {
        let text = match self {
            Self::Prompt { text, .. } if state.turn.is_none() && state.undoing.is_none() => text.clone(),
            Self::Prompt { .. } => return None,
            other => match other.message()?.into_owned() {
                Event::MessageReceived { message, text, .. }
                    if state.waiting(message).is_none() && state.has_room_for(&text) =>
                {
                    text
                }
                _ => return None,
            },
        };
        (!text.trim().is_empty() && text.len() <= PROMPT_BYTES_MAX).then_some(text)
    }
}

impl SessionWriter {
    pub(super) async fn take_wake(&mut self, batch: &mut Batch, wake: Wake) {
        if let Wake::Prepared { inputs, wake, turn } = wake {
            // What was said of a turn that has ended counts for no other.
            let inputs = if self.is_over(turn) { Vec::new() } else { inputs };
            return self.take_prepared(batch, inputs, *wake).await;
        }
        let delivery = match wake.message().as_deref() {
            Some(Event::MessageReceived { delivery, .. }) => Some(*delivery),
            _ => None,
        };
        let principal = match &wake {
            Wake::Given { entry } => entry.entry.principal.clone(),
            _ => "person".to_owned(),
        };
        let waits = if delivery.is_some() && self.hearing.is_hearing {
            self.wait_behind(batch, wake)
        } else if let Some(wake) = self.work.prepare(wake, &self.session.state) {
            self.take_now(batch, wake).await;
            false
        } else {
            self.hearing.is_hearing |= delivery.is_some();
            true
        };
        let goes_on = |turn: &Turn| turn.stopping != Some(TurnEnd::Interrupted);
        if waits && delivery == Some(Delivery::Interrupt) && self.session.state.turn.as_ref().is_some_and(goes_on) {
            let (actor, event) = (Actor::Principal(principal), Event::InterruptRequested);
            self.take_or_decline(batch, Taken { actor, event, blobs: Vec::new(), reply: None });
        }
    }

    async fn take_prepared(&mut self, batch: &mut Batch, inputs: Vec<Event>, wake: Wake) {
        // What was said before the wake may lead to a judgement as well.
        if self.follow(batch, Look::before(&wake)).await.is_err() {
            return;
        }
        let is_busy = self.session.state.turn.is_some() || self.session.state.undoing.is_some();
        if wake.message().is_none() {
            // A turn may have begun while hooks heard of words that are to begin one: these will be refused.
            if !(is_busy && matches!(wake, Wake::Prompt { .. })) {
                self.take_said(batch, inputs);
            }
            return self.take_now(batch, wake).await;
        }
        // A turn that hooks stop over a message stops with the message waiting: before it, the message would begin
        // the next one.
        if is_busy {
            self.take_now(batch, wake).await;
            self.take_said(batch, inputs);
        } else {
            self.take_said(batch, inputs);
            self.take_now(batch, wake).await;
        }
        self.hearing.is_hearing = false;
        while !self.hearing.is_hearing
            && let Some(next) = self.hearing.behind.pop_front()
        {
            Box::pin(self.take_wake(batch, next)).await;
        }
    }

    /// Whether a turn that something was asked about is not under way any more.
    pub(super) fn is_over(&self, turn: Option<TurnId>) -> bool {
        turn.is_some() && turn != self.session.state.turn.as_ref().map(|turn| turn.id)
    }

    fn take_said(&mut self, batch: &mut Batch, inputs: Vec<Event>) {
        for event in inputs {
            self.take_or_decline(batch, Taken { actor: Actor::Host, event, blobs: Vec::new(), reply: None });
        }
    }

    /// Has a message wait for those before it; whether it does.
    fn wait_behind(&mut self, batch: &mut Batch, wake: Wake) -> bool {
        if self.hearing.behind.len() < MESSAGES_WAITING_MAX {
            self.hearing.behind.push_back(wake);
            return true;
        }
        match wake {
            Wake::Answer { reply, .. } => drop(reply.send(Err(Refusal::TooManyMessages))),
            Wake::Given { entry } => {
                let words = Refusal::TooManyMessages.to_string();
                batch.consumed.push(Consumed { id: entry.entry.id, outcome: InboxOutcome::Refused { words } });
            }
            _ => {}
        }
        false
    }
}
