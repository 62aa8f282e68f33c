//! Messages: what people say to a session, also while a turn is under way.
//!
//! Promise: a message that was accepted is delivered exactly once or said to have expired; what was not delivered to
//! the turn it was meant for begins the next one.

use crate::event::TurnLimits;
use crate::ids::MessageId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a message reaches the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// At the next step of the turn under way.
    Steer,
    /// As the next turn.
    Queue,
    /// Now: the turn under way is stopped, and the message begins the next one.
    Interrupt,
}

/// A message that was accepted and not delivered yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitingMessage {
    /// Which.
    pub message: MessageId,
    /// When it is to reach the model.
    pub delivery: Delivery,
    /// The words.
    pub text: String,
    /// What limits the turn that it begins, if it begins one.
    pub limits: TurnLimits,
}

impl WaitingMessage {
    /// Whether it is meant for the next step, and not for a turn of its own.
    pub(crate) fn is_due(&self) -> bool {
        self.delivery != Delivery::Queue
    }
}
