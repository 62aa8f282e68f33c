//! Folding a log event by event, rewinds included.
//!
//! Promise: the state is the fold of the events it was given, in one pass: what a rewind goes back to is
//! remembered while it is passed, if it was asked for before.
//!
//! Not here: verifying (`envelope`), reading (harness-engine).

use crate::event::Event;
use crate::ids::Sequence;
use crate::state::{Inconsistency, SessionState};
use std::collections::BTreeMap;

/// A fold under way.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    state: SessionState,
    at: Sequence,
    /// What was asked for; none where it is not there yet.
    wanted: BTreeMap<Sequence, Option<SessionState>>,
}

impl Fold {
    /// Begins after an event: `state` is the fold up to it. `rewinds` are the events that rewinds further on go
    /// back to; those before `at` cannot be remembered any more.
    pub fn new(state: SessionState, at: Sequence, rewinds: impl IntoIterator<Item = Sequence>) -> Self {
        let wanted = rewinds.into_iter().map(|to| (to, None)).collect();
        let mut fold = Self { state, at, wanted };
        fold.remember();
        fold
    }

    /// Believes the next event.
    pub fn apply(&mut self, event: &Event) -> Result<(), Inconsistency> {
        match event {
            Event::SessionRewound { to } => {
                let past = self.wanted.get(to).and_then(Option::as_ref);
                let why = "what it goes back to is not there";
                let past = past.ok_or(Inconsistency { kind: event.kind(), why })?.clone();
                self.state.rewind(past);
            }
            _ => self.state.apply(event)?,
        }
        self.at = self.at.next();
        self.remember();
        Ok(())
    }

    fn remember(&mut self) {
        if let Some(wanted) = self.wanted.get_mut(&self.at) {
            *wanted = Some(self.state.clone());
        }
    }

    /// The event that was believed last.
    pub fn at(&self) -> Sequence {
        self.at
    }

    /// The state after it.
    pub fn state(&self) -> &SessionState {
        &self.state
    }

    /// The state after it.
    pub fn into_state(self) -> SessionState {
        self.state
    }
}
