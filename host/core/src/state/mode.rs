//! Modes in the state: which one is in force, what its policy said.

use super::SessionState;
use crate::event::Event;

impl SessionState {
    pub(super) fn apply_mode(&mut self, event: &Event) -> Result<(), &'static str> {
        let _ = event;
        Err("modes are not understood")
    }
}
