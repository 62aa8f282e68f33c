//! Messages in the state: accepted, delivered, expired.

use super::{SessionState, title_of};
use crate::event::{Event, TurnEnd};
use crate::ids::MessageId;
use crate::item::Item;
use crate::limits::{MESSAGES_WAITING_BYTES_MAX, MESSAGES_WAITING_MAX};
use crate::message::{Delivery, WaitingMessage};
use std::sync::Arc;

impl SessionState {
    /// The message, if it waits.
    pub fn waiting(&self, message: MessageId) -> Option<&WaitingMessage> {
        self.messages.iter().find(|waiting| waiting.message == message)
    }

    /// Whether a message can wait, besides those that do.
    pub fn has_room_for(&self, text: &str) -> bool {
        let bytes = self.messages.iter().map(|waiting| waiting.text.len()).sum::<usize>().saturating_add(text.len());
        self.messages.len() < MESSAGES_WAITING_MAX && bytes <= MESSAGES_WAITING_BYTES_MAX
    }

    pub(super) fn apply_message(&mut self, event: &Event) -> Result<(), &'static str> {
        match event {
            Event::MessageReceived { message, text, delivery, limits } => {
                if self.waiting(*message).is_some() {
                    return Err("the message is there already");
                }
                let (message, delivery, limits) = (*message, *delivery, *limits);
                self.messages.push(WaitingMessage { message, delivery, text: text.clone(), limits });
                if let (Delivery::Interrupt, Some(turn)) = (delivery, &mut self.turn) {
                    turn.stopping.get_or_insert(TurnEnd::Interrupted);
                    turn.is_stopped_without_word = false;
                }
            }
            Event::MessageDelivered { message } => {
                let text = self.take_message(*message)?.text;
                if self.title.is_none() {
                    self.title = Some(title_of(&text));
                }
                // Whoever is spoken to begins anew.
                if let Some(turn) = &mut self.turn {
                    turn.recent.clear();
                }
                self.tell_notes();
                self.history.push(Arc::new(Item::User { text }));
            }
            Event::MessageExpired { message, .. } => drop(self.take_message(*message)?),
            // What follows from it says what changes.
            Event::MessageWithdrawn { .. } => {}
            _ => return Err("it is not about messages"),
        }
        Ok(())
    }

    fn take_message(&mut self, message: MessageId) -> Result<WaitingMessage, &'static str> {
        let index = self.messages.iter().position(|waiting| waiting.message == message);
        index.map(|index| self.messages.remove(index)).ok_or("there is no such message")
    }
}
