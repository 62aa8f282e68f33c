//! What may be spent, counted again from the log.

use super::Seen;
use harness_core::budget::{Budget, Reservation};
use harness_core::event::{ModelFailureKind, TurnEnd};
use harness_core::item::Usage;
use harness_core::limits::OUTPUT_TOKENS_RESERVED;
use harness_core::mode::{HookPoint, HookWish};
use harness_core::{Event, SessionState};

/// What was spent of one budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Purse {
    budget: Budget,
    tokens: u64,
    cost: u64,
    work_ms: u64,
    fuel: u64,
    calls: u64,
    steps: u64,
}

impl Purse {
    /// What has no room for so much more, if anything has not.
    fn lacks(&self, more: &[(&'static str, u64)]) -> Option<&'static str> {
        let all = [
            ("tokens", self.budget.tokens, self.tokens),
            ("cost", self.budget.cost_micro_usd, self.cost),
            ("work", self.budget.work_ms, self.work_ms),
            ("fuel", self.budget.fuel, self.fuel),
            ("calls", self.budget.calls, self.calls),
            ("steps", self.budget.steps, self.steps),
        ];
        let has_no_room = |(name, more): &(&'static str, u64)| {
            all.iter().any(|(it, most, spent)| it == name && most.is_some_and(|most| spent + more > most))
        };
        more.iter().find(|it| has_no_room(it)).map(|(name, _)| *name)
    }

    fn is_counted_by(&self, state: &SessionState, of_turn: bool) -> bool {
        let spent = if of_turn { state.turn.as_ref().map(|turn| turn.spent) } else { Some(state.spent) };
        spent.is_none_or(|it| {
            (it.tokens, it.cost_micro_usd, it.work_ms, it.fuel, it.calls, it.steps)
                == (self.tokens, self.cost, self.work_ms, self.fuel, self.calls, self.steps)
        })
    }
}

#[derive(Default)]
struct Purses {
    session: Purse,
    turn: Option<Purse>,
    reserved: Reservation,
    /// A request is out.
    is_out: bool,
    /// The most that the turn under way lets a response have. Tokens.
    output_tokens: u64,
    /// What the last request of this conversation took, where the provider said so. Tokens.
    known_tokens: u64,
}

impl Purses {
    fn add(&mut self, add: impl Fn(&mut Purse)) {
        add(&mut self.session);
        self.turn.iter_mut().for_each(add);
    }

    fn take(&mut self, event: &Event) {
        let reserved = self.reserved;
        let unknown = |purse: &mut Purse| {
            (purse.tokens, purse.cost) = (purse.tokens + reserved.tokens, purse.cost + reserved.cost_micro_usd);
        };
        let was_out = self.is_out;
        match event {
            Event::ModelRequested { .. } => self.is_out = true,
            Event::ModelResponded { .. }
            | Event::ModelFailed { .. }
            | Event::TurnEnded { .. }
            | Event::SessionImported { .. } => self.is_out = false,
            _ => {}
        }
        match event {
            // It is not made.
            Event::HooksAnswered { point: HookPoint::BeforeStep, answers, .. }
                if answers.iter().any(|answer| matches!(answer.wish, HookWish::Stop { .. })) =>
            {
                self.reserved = Reservation::default();
            }
            // Nobody learns what it used; and whoever opens the session makes it again.
            Event::TurnEnded { end: TurnEnd::Interrupted | TurnEnd::Stopped { .. }, .. } if was_out => {
                self.add(unknown);
                self.turn = None;
            }
            Event::SessionOpened { .. } if was_out => self.add(|purse| {
                unknown(purse);
                purse.steps += 1;
            }),
            Event::TurnStarted { limits, .. } => {
                self.turn = Some(Purse { budget: limits.budget, ..Purse::default() });
                self.output_tokens = limits.output_tokens_max.unwrap_or(OUTPUT_TOKENS_RESERVED).into();
            }
            // What it goes on from is shorter.
            Event::SessionRewound { .. } => self.known_tokens = 0,
            Event::TurnEnded { .. } => self.turn = None,
            Event::BudgetSet { budget } => self.session.budget = *budget,
            // What it may spend here somebody here says.
            Event::SessionImported { .. } => (self.turn, self.session.budget) = (None, Budget::default()),
            // The request that is out holds it too.
            Event::NoteAdded { reserved: Some(reserved), .. } => self.reserved = *reserved,
            Event::ModelRequested { reserved, .. } => {
                self.reserved = *reserved;
                self.add(|purse| purse.steps += 1);
            }
            Event::ModelResponded { usage, time_ms, .. } => {
                if *usage != Usage::default() {
                    self.known_tokens = usage.input_tokens + usage.output_tokens;
                }
                self.add(|purse| {
                    let (tokens, cost) = match *usage == Usage::default() {
                        true => (reserved.tokens, reserved.cost_micro_usd),
                        false => {
                            let cost = usage.cost_micro_usd.unwrap_or(reserved.cost_micro_usd);
                            (usage.input_tokens + usage.output_tokens, cost)
                        }
                    };
                    (purse.tokens, purse.cost) = (purse.tokens + tokens, purse.cost + cost);
                    purse.work_ms += time_ms;
                });
            }
            Event::ModelFailed { failure, .. }
                if matches!(failure.kind, ModelFailureKind::Disconnected | ModelFailureKind::MalformedStream) =>
            {
                self.add(unknown);
            }
            Event::CallStarted { .. } => self.add(|purse| purse.calls += 1),
            Event::CallReported { usage, .. } => self.add(|purse| {
                purse.fuel += usage.fuel;
                purse.work_ms += usage.time_us.div_ceil(1_000);
            }),
            _ => {}
        }
    }

    /// Whether some budget makes it necessary to set something aside.
    fn is_limited(&self) -> bool {
        let budgets = [Some(self.session), self.turn].into_iter().flatten().map(|purse| purse.budget);
        budgets.into_iter().any(|budget| budget.tokens.is_some() || budget.cost_micro_usd.is_some())
    }

    fn lacks(&self, more: &[(&'static str, u64)]) -> Option<String> {
        let turn = self
            .turn
            .and_then(|turn| turn.lacks(more))
            .map(|what| format!("{what} of the turn: {self_:?}", self_ = self.turn));
        turn.or_else(|| self.session.lacks(more).map(|what| format!("{what} of the session: {:?}", self.session)))
    }
}

/// A request is made only where all budgets have room for it as it was estimated, in every branch of its own; so what
/// it costs beyond that is the most that a budget is overshot by. The estimate is at least what the request before
/// took, and as much of a response as there may be.
pub(super) fn a_budget_is_overshot_by_one_request_at_most(seen: &Seen<'_>) -> Result<(), String> {
    let mut purses = Purses::default();
    for (sequence, event) in (1u64..).zip(&seen.log) {
        if let Event::ModelRequested { reserved, .. } = event {
            // Something is always set aside where it is limited.
            let more = [
                ("tokens", reserved.tokens.max(1)),
                ("cost", reserved.cost_micro_usd.max(1)),
                ("work", 1),
                ("fuel", 1),
                ("steps", 1),
            ];
            if let Some(what) = purses.lacks(&more) {
                return Err(format!("event {sequence} asks a model beyond {what}"));
            }
            let least = purses.known_tokens + purses.output_tokens;
            if purses.is_limited() && reserved.tokens < least {
                return Err(format!("event {sequence} sets {reserved:?} aside, a request takes {least} tokens"));
            }
        }
        purses.take(event);
    }
    let state = &seen.state;
    let is_counted =
        purses.session.is_counted_by(state, false) && purses.turn.is_none_or(|it| it.is_counted_by(state, true));
    if is_counted { Ok(()) } else { Err(format!("spent was {:?} {:?}", purses.session, purses.turn)) }
}

/// A call starts only where budgets have room for it.
pub(super) fn no_call_starts_beyond_a_budget(seen: &Seen<'_>) -> Result<(), String> {
    let mut purses = Purses::default();
    for (sequence, event) in (1u64..).zip(&seen.log) {
        if let (Event::CallStarted { .. }, Some(what)) =
            (event, purses.lacks(&[("calls", 1), ("fuel", 1), ("work", 1)]))
        {
            return Err(format!("event {sequence} starts a call beyond {what}"));
        }
        purses.take(event);
    }
    Ok(())
}
