//! Modes: entering them, asking their policies, taking what hooks say.

use super::{Draft, Refusal};
use crate::event::Event;

impl Draft<'_> {
    pub(super) fn take_mode_input(&mut self, input: Event) -> Result<(), Refusal> {
        Err(Refusal::NotAnInput(input.kind()))
    }
}
