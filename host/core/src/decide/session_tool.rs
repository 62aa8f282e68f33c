//! Session tools: what the model asks of the session itself.

use super::{Draft, Refusal};
use crate::event::Event;

impl Draft<'_> {
    pub(super) fn take_plan_answer(&mut self, input: Event) -> Result<(), Refusal> {
        Err(Refusal::NotAnInput(input.kind()))
    }
}
