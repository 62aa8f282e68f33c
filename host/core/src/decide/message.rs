//! Messages: taking them, delivering them, letting them expire.
//!
//! Promise: speaking answers and declines nothing that is asked; a message is delivered once, in the order in which
//! messages of its kind came, or said to have expired.
//!
//! What begins a turn when none is under way: first what was meant for the turn before, all of it together; then what
//! was queued, one message a turn. After a turn that failed or ran into a limit, or that a person stopped without a
//! word, what waits goes on waiting until a person speaks: it would only run into the same.

use super::{Draft, Refusal};
use crate::event::{Event, TurnEnd, TurnLimits};
use crate::ids::{MessageId, TurnId};
use crate::limits::PROMPT_BYTES_MAX;
use crate::message::Delivery;
use crate::state::SessionState;

/// Whether an input about messages may be taken.
pub(super) fn check(state: &SessionState, input: &Event) -> Result<(), Refusal> {
    match input {
        Event::MessageReceived { text, .. } if text.trim().is_empty() || text.len() > PROMPT_BYTES_MAX => {
            Err(Refusal::Prompt { bytes: text.len() })
        }
        Event::MessageReceived { text, .. } if !state.has_room_for(text) => Err(Refusal::TooManyMessages),
        Event::MessageReceived { message, .. } if state.waiting(*message).is_some() => {
            Err(Refusal::StaleMessage(*message))
        }
        Event::MessageWithdrawn { message } if state.waiting(*message).is_none() => {
            Err(Refusal::StaleMessage(*message))
        }
        _ => Ok(()),
    }
}

impl Draft<'_> {
    pub(super) fn take_message(&mut self, input: Event) -> Result<(), Refusal> {
        match &input {
            Event::MessageWithdrawn { message } => {
                let message = *message;
                self.emit(input)?;
                self.emit(Event::MessageExpired { message, reason: "withdrawn".to_owned() })
            }
            Event::MessageReceived { delivery, .. } => {
                let delivery = *delivery;
                self.emit(input)?;
                if self.state.turn.is_none() {
                    return self.begin_waiting();
                }
                if delivery == Delivery::Interrupt { self.stop_calls() } else { Ok(()) }
            }
            other => Err(Refusal::NotAnInput(other.kind())),
        }
    }

    /// After a turn: begins the next one where something waits for it.
    pub(super) fn go_on_after(&mut self, end: &TurnEnd) -> Result<(), Refusal> {
        let interrupts = || self.state.messages.iter().any(|waiting| waiting.delivery == Delivery::Interrupt);
        if *end == TurnEnd::Done || interrupts() { self.begin_waiting() } else { Ok(()) }
    }

    /// Begins a turn with what waits, if anything does and nothing is in the way.
    pub(super) fn begin_waiting(&mut self) -> Result<(), Refusal> {
        if self.state.turn.is_some() || self.state.undoing.is_some() {
            return Ok(());
        }
        let mut begins: Vec<(MessageId, TurnLimits)> = self
            .state
            .messages
            .iter()
            .filter(|it| it.is_due())
            .map(|waiting| (waiting.message, waiting.limits))
            .collect();
        if begins.is_empty() {
            begins.extend(self.state.messages.first().map(|waiting| (waiting.message, waiting.limits)));
        }
        let Some((last, limits)) = begins.last().copied() else { return Ok(()) };
        for (message, _) in begins {
            self.emit(Event::MessageDelivered { message })?;
        }
        let turn = TurnId::from_bits(self.derive(&last.to_string(), "turn", 0));
        let number = self.state.turns.saturating_add(1);
        self.emit(Event::TurnStarted { turn, number, limits })?;
        self.request_next_step()
    }

    /// Puts what is not meant for a turn of its own into the conversation, before the next step: also what was to
    /// interrupt a turn that was then stopped without a word.
    pub(super) fn deliver_due(&mut self) -> Result<(), Refusal> {
        let due = self.state.messages.iter().filter(|waiting| waiting.is_due());
        for message in due.map(|waiting| waiting.message).collect::<Vec<_>>() {
            self.emit(Event::MessageDelivered { message })?;
        }
        Ok(())
    }
}
