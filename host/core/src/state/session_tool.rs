//! What session tools change: the list of what is to be done, plans.

use super::SessionState;
use crate::event::Event;

impl SessionState {
    pub(super) fn apply_session_tool(&mut self, event: &Event) -> Result<(), &'static str> {
        let _ = event;
        Err("session tools are not understood")
    }
}
