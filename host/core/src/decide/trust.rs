//! Trust: what persons say about it, and the levels that follow.
//!
//! Promise: every change of a level is an event with its evidence, right behind what led to it.

use super::{Draft, Refusal};
use crate::event::Event;
use crate::limits::TRUST_KEYS_MAX;
use crate::state::SessionState;
use crate::trust::TrustLevel;

/// Whether an input about trust may be taken.
pub(super) fn check(state: &SessionState, input: &Event) -> Result<(), Refusal> {
    match input {
        Event::TrustCarried { records } if records.len() > TRUST_KEYS_MAX => Err(Refusal::Trust(format!(
            "a session knows of at most {TRUST_KEYS_MAX} keys, these are {}",
            records.len()
        ))),
        Event::TrustCarried { .. } => Ok(()),
        Event::WorkReviewed { call, .. } if !state.unreviewed().any(|it| it.call == *call) => {
            Err(Refusal::Trust(format!("{call} does not wait for a review (any more)")))
        }
        Event::TrustSet { key, level } if *level > TrustLevel::highest(key.risk) => {
            let highest = TrustLevel::highest(key.risk).word();
            Err(Refusal::Trust(format!("work of {} risk is {highest} at most", key.risk.word())))
        }
        Event::TrustSet { key, .. } => {
            let has_room = state.ledger.entry(key).is_some() || state.ledger.entries().count() < TRUST_KEYS_MAX;
            if has_room { Ok(()) } else { Err(Refusal::Trust(format!("the ledger has {TRUST_KEYS_MAX} keys already"))) }
        }
        Event::TrustReset { key: Some(key) } if state.ledger.entry(key).is_none() => {
            Err(Refusal::Trust(format!("nothing is known of `{key}`")))
        }
        _ => Ok(()),
    }
}

/// Whether an event may have given a reason for another level.
pub(super) fn may_change(event: &Event) -> bool {
    matches!(
        event,
        Event::ApprovalAnswered { .. }
            | Event::CallEnded { .. }
            | Event::ChangesUndone { .. }
            | Event::WorkReviewed { .. }
            | Event::TrustSet { .. }
            | Event::TrustReset { .. }
            | Event::SessionOpened { .. }
    )
}

impl Draft<'_> {
    /// Says which levels are others now.
    pub(super) fn settle_trust(&mut self) -> Result<(), Refusal> {
        while let Some((key, from, change)) = self.state.ledger.due().filter(|_| self.state.earns_trust()) {
            let event =
                Event::TrustLevelChanged { key, from, to: change.to, evidence: change.evidence, rule: change.rule };
            self.state.apply(&event)?;
            self.events.push(event);
        }
        Ok(())
    }
}
