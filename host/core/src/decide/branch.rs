//! Going on from another place: as another session was, as a file says, as the session was before.
//!
//! Promise: a rewind is declined while anything is under way, and what it goes back to is the caller's fold of
//! the same log, so that deciding stays a function of its input.
//!
//! Not here: what of the present stays (`state`), reading the fold (harness-engine).

use super::{Decision, Refusal, check_title};
use crate::event::{Event, ForkFiles};
use crate::ids::Sequence;
use crate::state::SessionState;

/// Whether a fork may begin so.
pub(super) fn check_fork(title: &str, files: &ForkFiles) -> Result<(), Refusal> {
    check_title(title)?;
    files.workspace().map_or(Ok(()), check_import)
}

/// Whether a session may go on in that folder.
pub(super) fn check_import(workspace: &str) -> Result<(), Refusal> {
    if workspace.is_empty() { Err(Refusal::Workspace) } else { Ok(()) }
}

/// Decides to go back to the event `to`; `past` is the fold of the log up to it. A refused rewind changes nothing.
pub fn decide_rewind(state: &mut SessionState, to: Sequence, past: SessionState) -> Result<Decision, Refusal> {
    if state.context.is_none() {
        return Err(Refusal::NotOpened);
    }
    if state.turn.is_some() {
        return Err(Refusal::TurnRunning);
    }
    if state.undoing.is_some() {
        return Err(Refusal::Undoing);
    }
    if to == Sequence::START || past.workspace.is_empty() {
        return Err(Refusal::NoEvent(to));
    }
    state.rewind(past);
    Ok(Decision { events: vec![Event::SessionRewound { to }], commands: Vec::new() })
}
