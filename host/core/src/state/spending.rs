//! What was spent, and what repeats itself.
//!
//! Promise: whatever is spent counts for the turn and for the session; a request whose usage is not known counts as
//! what was set aside for it, also where it was stopped or its host was.

use super::{Call, Phase, SessionState};
use crate::budget::{Budget, Price, Reservation, Spent, left};
use crate::event::{Event, ModelFailureKind, TurnEnd};
use crate::ids::Digest;
use crate::item::{AssistantPart, Item, Usage};
use crate::limits::{OUTPUT_TOKENS_RESERVED, REPEAT_STOPS};
use crate::mode::{BudgetLeft, HookAnswer, HookPoint};

/// Calls that a turn remembers to find repetitions: three in turn, as often as it takes to stop.
pub(crate) const REPEAT_MARKS_MAX: usize = REPEAT_PERIOD_MAX * REPEAT_STOPS as usize;
/// Calls that may take turns in a repetition.
pub(crate) const REPEAT_PERIOD_MAX: usize = 3;
/// Bytes of an outcome that are compared.
const REPEAT_TEXT_BYTES_MAX: usize = 4 << 10;
/// Bytes of a conversation that make a token, where nothing better is known: fewer than in most languages, so that
/// more is set aside rather than less.
const BYTES_OF_A_TOKEN: u64 = 3;

/// What a call of the model's and what came of it are recognised by; none for a call that another one needed.
pub(crate) fn repeat_mark(call: &Call, outcome: &str) -> Option<Digest> {
    if call.parent.is_some() {
        return None;
    }
    let text = call.reported.as_ref().map(|reported| reported.outcome.model_text(&[])).unwrap_or_default();
    let text = text.as_bytes().get(..REPEAT_TEXT_BYTES_MAX).unwrap_or(text.as_bytes());
    Some(Digest::of_parts(&[
        call.tool.as_bytes(),
        b"\0",
        call.arguments.as_bytes(),
        b"\0",
        outcome.as_bytes(),
        b"\0",
        text,
    ]))
}

impl SessionState {
    /// What is left to spend: the tighter of turn and session.
    pub fn budget_left(&self) -> BudgetLeft {
        let session = left(&self.budget, &self.spent);
        let Some(turn) = &self.turn else { return session };
        let turn = left(&turn.limits.budget, &turn.spent);
        let tighter = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        BudgetLeft {
            tokens: tighter(session.tokens, turn.tokens),
            cost_micro_usd: tighter(session.cost_micro_usd, turn.cost_micro_usd),
            work_ms: tighter(session.work_ms, turn.work_ms),
            fuel: tighter(session.fuel, turn.fuel),
            calls: tighter(session.calls, turn.calls),
            steps: tighter(session.steps, turn.steps),
        }
    }

    /// What is set aside for the next request; nothing where neither tokens nor money are limited.
    pub fn reservation(&self) -> Reservation {
        self.reservation_with("")
    }

    /// The same where it is to hold these words too.
    pub(crate) fn reservation_with(&self, words: &str) -> Reservation {
        let limits = self.turn.as_ref().map(|turn| turn.limits);
        let is_limited = |budget: &Budget| budget.tokens.is_some() || budget.cost_micro_usd.is_some();
        if !is_limited(&self.budget) && !limits.is_some_and(|limits| is_limited(&limits.budget)) {
            return Reservation::default();
        }
        let (known, items) = self.known_tokens;
        let new: u64 = self.history.iter().skip(items).map(|item| bytes_of(item)).sum();
        let notes = self.notes.iter().map(|note| note.len() as u64).sum::<u64>() + words.len() as u64;
        // What the model is told besides the conversation is in what is known.
        let told = if items > 0 { 0 } else { self.told_bytes() };
        let input = known.saturating_add((new + notes + told).div_ceil(BYTES_OF_A_TOKEN));
        let output = limits.and_then(|limits| limits.output_tokens_max).unwrap_or(OUTPUT_TOKENS_RESERVED);
        let price = self.price().unwrap_or(Price { input_micro_usd: 0, output_micro_usd: 0 });
        let cost = |tokens: u64, price: u64| tokens.saturating_mul(price).div_ceil(1_000_000);
        Reservation {
            tokens: input.saturating_add(u64::from(output)),
            cost_micro_usd: cost(input, price.input_micro_usd)
                .saturating_add(cost(u64::from(output), price.output_micro_usd)),
        }
    }

    fn told_bytes(&self) -> u64 {
        let Some(context) = &self.context else { return 0 };
        let of_tool = |tool: &crate::item::ToolSpec| tool.description.len() + tool.parameters.to_string().len();
        (context.system.len() + context.tools.iter().map(of_tool).sum::<usize>()) as u64
    }

    /// How often the calls before this one, alone or in turn with others, were the same with the same outcome; this
    /// one counts.
    pub fn repetitions(&self, call: &Call, outcome: &str) -> u32 {
        let (Some(turn), Some(mark)) = (&self.turn, repeat_mark(call, outcome)) else { return 1 };
        let marks: Vec<Digest> = turn.recent.iter().copied().chain([mark]).collect();
        let times = |period: usize| {
            let same = marks.iter().rev().zip(marks.iter().rev().skip(period)).take_while(|(a, b)| a == b).count();
            // A block that came again `same / period` times stands there once more; only whole ones count.
            if same % period == 0 { (same / period + 1) as u32 } else { 1 }
        };
        (1..=REPEAT_PERIOD_MAX).map(times).max().unwrap_or(1)
    }

    /// Whether a model request is out.
    pub(crate) fn is_requesting(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| matches!(turn.phase, Phase::Requesting { .. }))
    }

    /// Counts what an event says was spent.
    pub(super) fn spend(&mut self, event: &Event) {
        let reserved = self.turn.as_ref().map(|turn| turn.reserved).unwrap_or_default();
        let history = self.history.len();
        match event {
            Event::NoteAdded { reserved: Some(reserved), .. } => self.set_aside(*reserved),
            Event::ModelRequested { reserved, .. } => {
                self.set_aside(*reserved);
                self.add(|spent| spent.steps = spent.steps.saturating_add(1));
            }
            Event::ModelResponded { usage, time_ms, parts, .. } => {
                let is_known = *usage != Usage::default();
                if is_known {
                    let tokens = usage.input_tokens.saturating_add(usage.output_tokens);
                    self.known_tokens = (tokens, history + usize::from(!parts.is_empty()));
                }
                self.add(|spent| {
                    *spent =
                        if is_known { spent.with_usage(*usage, reserved) } else { spent.with_reservation(reserved) };
                    spent.work_ms = spent.work_ms.saturating_add(*time_ms);
                });
            }
            // It is not made.
            Event::HooksAnswered { point: HookPoint::BeforeStep, answers, .. }
                if answers.iter().any(HookAnswer::stops) =>
            {
                if let Some(turn) = &mut self.turn {
                    turn.reserved = Reservation::default();
                }
            }
            // Nobody learns any more what it used; an opened session makes it again.
            Event::TurnEnded { end: TurnEnd::Interrupted | TurnEnd::Stopped { .. }, .. } if self.is_requesting() => {
                self.add(|spent| *spent = spent.with_reservation(reserved));
            }
            Event::SessionOpened { .. } if self.is_requesting() => self.add(|spent| {
                *spent = spent.with_reservation(reserved);
                spent.steps = spent.steps.saturating_add(1);
            }),
            // What broke off in the middle may have been billed.
            Event::ModelFailed { failure, .. }
                if matches!(failure.kind, ModelFailureKind::Disconnected | ModelFailureKind::MalformedStream) =>
            {
                self.add(|spent| *spent = spent.with_reservation(reserved));
            }
            Event::CallStarted { .. } => self.add(|spent| spent.calls = spent.calls.saturating_add(1)),
            Event::CallReported { usage, .. } => self.add(|spent| {
                spent.fuel = spent.fuel.saturating_add(usage.fuel);
                spent.work_ms = spent.work_ms.saturating_add(usage.time_us.div_ceil(1_000));
            }),
            _ => {}
        }
    }

    fn set_aside(&mut self, reserved: Reservation) {
        if let Some(turn) = &mut self.turn {
            turn.reserved = reserved;
        }
    }

    fn add(&mut self, add: impl Fn(&mut Spent)) {
        add(&mut self.spent);
        if let Some(turn) = &mut self.turn {
            add(&mut turn.spent);
        }
    }

    pub(super) fn apply_spending(&mut self, event: &Event) -> Result<(), &'static str> {
        match event {
            Event::BudgetSet { budget } => self.budget = *budget,
            Event::BudgetCrossed { limit, maximum } => {
                let turn = self.turn.as_mut().ok_or("no turn is under way")?;
                turn.stopping.get_or_insert(TurnEnd::Limit { limit: limit.clone(), maximum: *maximum });
            }
            Event::RepetitionNoticed { call, times } => {
                let turn = self.turn.as_mut().ok_or("no turn is under way")?;
                let tool = turn.call(*call).ok_or("there is no such call")?.tool.clone();
                if *times >= REPEAT_STOPS {
                    turn.stopping.get_or_insert(TurnEnd::Stuck { tool, times: *times });
                }
            }
            _ => return Err("it is not about spending"),
        }
        Ok(())
    }
}

fn bytes_of(item: &Item) -> u64 {
    let of_part = |part: &AssistantPart| match part {
        AssistantPart::Text { text } | AssistantPart::Reasoning { text, .. } => text.len(),
        AssistantPart::ToolCall { tool, arguments, .. } => tool.len() + arguments.len(),
    };
    let bytes: usize = match item {
        Item::User { text } => text.len(),
        Item::Assistant { parts, .. } => parts.iter().map(of_part).sum(),
        Item::ToolResults { results } => results.iter().map(|result| result.text.len()).sum(),
    };
    bytes as u64
}
