//! Messages: taking them, delivering them, letting them expire.

use super::{Draft, Refusal};
use crate::event::Event;

impl Draft<'_> {
    pub(super) fn take_message(&mut self, input: Event) -> Result<(), Refusal> {
        Err(Refusal::NotAnInput(input.kind()))
    }
}
