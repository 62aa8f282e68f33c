//! Taking back what calls changed: the reverse of their changes is put in place like any other change.
//!
//! Promise: nothing else is under way meanwhile, a call is taken back once, and what a crash interrupts is
//! put in place by the next opener.
//!
//! Not here: working out the reverse (harness-engine, which reads it from the log).

use super::{Command, Draft, Refusal};
use crate::change::Manifest;
use crate::event::Event;
use crate::ids::CallId;
use crate::limits::UNDO_CALLS_MAX;
use crate::state::SessionState;

/// Whether changes may be taken back now.
pub(super) fn check(state: &SessionState, of: &[CallId], manifest: &Manifest) -> Result<(), Refusal> {
    if state.turn.is_some() {
        return Err(Refusal::TurnRunning);
    }
    if state.undoing.is_some() {
        return Err(Refusal::Undoing);
    }
    if of.is_empty() || manifest.is_empty() {
        return Err(Refusal::NothingToUndo);
    }
    if of.len() > UNDO_CALLS_MAX {
        return Err(Refusal::UndoTooLarge { calls: of.len() });
    }
    match of.iter().find(|call| state.undone.contains(call)) {
        Some(call) => Err(Refusal::UndoneBefore(*call)),
        None => Ok(()),
    }
}

impl Draft<'_> {
    pub(super) fn begin_undo(&mut self, input: Event) -> Result<(), Refusal> {
        let Event::UndoRequested { undo, manifest, .. } = &input else {
            return Err(Refusal::NotAnInput(input.kind()));
        };
        let command = Command::PutChanges { call: *undo, manifest: manifest.clone() };
        self.emit(input)?;
        self.command(command);
        Ok(())
    }

    pub(super) fn end_undo(&mut self, input: Event) -> Result<(), Refusal> {
        let Event::ChangesPut { result, .. } = &input else { return Err(Refusal::NotAnInput(input.kind())) };
        let result = result.clone();
        self.emit(input)?;
        let Some(undoing) = &self.state.undoing else { return Err(Refusal::NothingToUndo) };
        let (undo, of) = (undoing.undo, undoing.of.clone());
        self.emit(Event::ChangesUndone { undo, of, result })?;
        // What was said meanwhile waits for nothing else.
        self.begin_waiting()
    }
}
