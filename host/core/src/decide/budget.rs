//! Budgets and repetitions: what may not be done any more.
//!
//! Promise: nothing is asked or run that a budget has no room for, and what stopped it is named with its value.

use super::{Draft, Refusal};
use crate::budget::{Budget, Reservation, Spent};
use crate::event::{Event, TurnEnd};
use crate::ids::CallId;
use crate::limits::{REPEAT_STOPS, REPEAT_TOLD};
use crate::outcome::{FailureKind, Outcome};
use crate::state::SessionState;

/// A budget that has no room.
struct Crossed {
    limit: String,
    maximum: u64,
}

/// The first budget, of the turn and then of the session, that a test finds crossed.
fn crossed(
    state: &SessionState,
    test: impl Fn(&Budget, &Spent) -> Option<(&'static str, Option<u64>)>,
) -> Option<Crossed> {
    let turn = state.turn.as_ref().map(|turn| ("turn", turn.limits.budget, turn.spent));
    turn.into_iter().chain([("session", state.budget, state.spent)]).find_map(|(whose, budget, spent)| {
        let (name, maximum) = test(&budget, &spent)?;
        Some(Crossed { limit: format!("budget.{whose}.{name}"), maximum: maximum.unwrap_or_default() })
    })
}

/// Whether this much more would be too much.
fn exceeds(limit: Option<u64>, spent: u64, more: u64) -> bool {
    limit.is_some_and(|limit| spent.saturating_add(more) > limit)
}

impl Draft<'_> {
    /// Why the next request may not be made, as the end of the turn; otherwise what is set aside for it.
    pub(super) fn reserve(&self) -> Result<Reservation, TurnEnd> {
        self.reserve_beside(1)
    }

    /// The same where so many steps of it are not counted yet.
    pub(super) fn reserve_beside(&self, steps: u64) -> Result<Reservation, TurnEnd> {
        let reserved = self.state.reservation();
        let crossed = crossed(self.state, |budget, spent| {
            let room = [
                ("tokens", budget.tokens, exceeds(budget.tokens, spent.tokens, reserved.tokens)),
                (
                    "cost-micro-usd",
                    budget.cost_micro_usd,
                    exceeds(budget.cost_micro_usd, spent.cost_micro_usd, reserved.cost_micro_usd.max(1)),
                ),
                ("work-ms", budget.work_ms, exceeds(budget.work_ms, spent.work_ms, 1)),
                ("fuel", budget.fuel, exceeds(budget.fuel, spent.fuel, 1)),
                ("steps", budget.steps, exceeds(budget.steps, spent.steps, steps)),
            ];
            room.into_iter().find(|(_, _, is_crossed)| *is_crossed).map(|(name, maximum, _)| (name, maximum))
        });
        match crossed {
            Some(Crossed { limit, maximum }) => Err(TurnEnd::Limit { limit, maximum }),
            None => Ok(reserved),
        }
    }

    /// Whether a call may start; otherwise it has ended with what the model is told, and the turn ends with its step.
    pub(super) fn has_room_for(&mut self, call: CallId) -> Result<bool, Refusal> {
        let crossed = crossed(self.state, |budget, spent| {
            let room = [
                ("calls", budget.calls, exceeds(budget.calls, spent.calls, 1)),
                ("fuel", budget.fuel, exceeds(budget.fuel, spent.fuel, 1)),
                ("work-ms", budget.work_ms, exceeds(budget.work_ms, spent.work_ms, 1)),
            ];
            room.into_iter().find(|(_, _, is_crossed)| *is_crossed).map(|(name, maximum, _)| (name, maximum))
        });
        let Some(Crossed { limit, maximum }) = crossed else { return Ok(true) };
        let message = format!("{limit} = {maximum} is used up, so this was not run; a person can raise it");
        if self.state.turn.as_ref().is_some_and(|turn| turn.stopping.is_none()) {
            self.emit(Event::BudgetCrossed { limit, maximum })?;
        }
        self.end_call(call, &Outcome::failed(FailureKind::Failed, "over-budget", message))?;
        Ok(false)
    }

    /// Notices that a call that is about to end repeats what came before. Gives what the model is to be told of it.
    pub(super) fn notice_repetition(&mut self, id: CallId, outcome: &str) -> Result<Option<String>, Refusal> {
        let times = self.state.repetitions(self.call(id)?, outcome);
        if times != REPEAT_TOLD && times != REPEAT_STOPS {
            return Ok(None);
        }
        self.emit(Event::RepetitionNoticed { call: id, times })?;
        let tell = format!(
            "\n[This came {times} times in a row with the same outcome. Do something else, or say what is in the way.]"
        );
        Ok((times == REPEAT_TOLD).then_some(tell))
    }
}
