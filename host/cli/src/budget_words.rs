//! Budgets in words: what a person writes, what they are shown, and the option that raises one.
//!
//! Promise: the unit that a person writes is the one they are shown; a command that raises a budget leaves room for the
//! next request.
//!
//! Not here: counting and stopping (harness-core).

use crate::failure::Failure;
use harness_config::BudgetValue;
use harness_core::SessionState;
use harness_core::budget::{Budget, Spent};

/// The names of a budget's parts, as people write them.
const NAMES: [&str; 6] = ["tokens", "cost", "work", "fuel", "calls", "steps"];
/// Millionths of a US dollar in one.
const MICRO_USD: f64 = 1_000_000.0;

/// A budget with what a person changes of it: `tokens=20000`, `cost=none`.
///
/// # Errors
/// If one is no change, naming it.
pub(crate) fn changed<'a>(mut budget: Budget, changes: impl Iterator<Item = &'a str>) -> Result<Budget, Failure> {
    for change in changes {
        let wrong = |why: &str| {
            Failure::usage(format!(
                "`{}` {why}: give NAME=NUMBER or NAME=none, where NAME is {}",
                crate::paint::one_line(change, 80),
                NAMES.join(", ")
            ))
        };
        let (name, value) = change.split_once('=').ok_or_else(|| wrong("is no change of a budget"))?;
        let limit = match (name, value) {
            (_, "none") => None,
            ("cost", value) => {
                let usd: f64 =
                    value.trim_start_matches('$').parse().map_err(|_| wrong("is no number of US dollars"))?;
                in_range(change, "cost-usd", usd)?;
                Some(micro_usd(usd).ok_or_else(|| wrong("is less than can be counted"))?)
            }
            (name, value) => {
                let value: i64 = value.replace('_', "").parse().map_err(|_| wrong("is no whole number"))?;
                in_range(change, if name == "work" { "work-seconds" } else { name }, value)?;
                Some(value.unsigned_abs())
            }
        };
        let part = match name {
            "tokens" => &mut budget.tokens,
            "cost" => &mut budget.cost_micro_usd,
            "work" => &mut budget.work_ms,
            "fuel" => &mut budget.fuel,
            "calls" => &mut budget.calls,
            "steps" => &mut budget.steps,
            _ => return Err(wrong("names nothing that can be spent")),
        };
        *part = if name == "work" { limit.map(|seconds: u64| seconds.saturating_mul(1_000)) } else { limit };
    }
    Ok(budget)
}

/// Whether a part of a budget may have this value, by the rule of files and flags and in its words.
fn in_range(change: &str, key: &str, value: impl Into<BudgetValue>) -> Result<(), Failure> {
    let fault = harness_config::session_budget_fault(key, value.into());
    fault.map_or(Ok(()), |fault| Err(Failure::usage(format!("{}: {fault}", crate::paint::one_line(change, 80)))))
}

/// Dollars in range, as they are counted; less than can be counted is not nothing.
fn micro_usd(usd: f64) -> Option<u64> {
    let micro = (usd * MICRO_USD).round().max(0.0) as u64;
    (micro > 0 || usd == 0.0).then_some(micro)
}

/// A limit that was reached, by the name and in the unit in which it is configured.
pub(crate) fn reached(limit: &str, maximum: u64) -> String {
    if let Some(budget) = limit.strip_suffix("cost-micro-usd") {
        return format!("{budget}cost-usd = {}", usd(maximum));
    }
    if let Some(budget) = limit.strip_suffix("work-ms") {
        return format!("{budget}work-seconds = {}", maximum.div_ceil(1_000));
    }
    format!("{limit} = {maximum}")
}

/// What may be spent and what was, a line each.
pub(crate) fn shown(budget: &Budget, spent: &Spent) -> String {
    let parts = [
        ("tokens", budget.tokens, spent.tokens),
        ("cost", budget.cost_micro_usd, spent.cost_micro_usd),
        ("work", budget.work_ms, spent.work_ms),
        ("fuel", budget.fuel, spent.fuel),
        ("calls", budget.calls, spent.calls),
        ("steps", budget.steps, spent.steps),
    ];
    let line = |(name, limit, spent): (&str, Option<u64>, u64)| {
        let value = |value: u64| match name {
            "cost" => format!("${}", usd(value)),
            "work" => format!("{:.1} s", value as f64 / 1_000.0),
            _ => value.to_string(),
        };
        let limit = limit.map_or_else(|| "no limit".to_owned(), |limit| format!("of {}", value(limit)));
        format!("{name:7} {} {limit}", value(spent))
    };
    parts.map(line).join("\n")
}

/// Words on a budget in dollars that holds nothing, since what the model in force costs is not known.
pub(crate) fn without_price(state: &SessionState, turn: &Budget) -> Option<String> {
    let is_limited = state.budget.cost_micro_usd.or(turn.cost_micro_usd).is_some();
    let model = state.model().filter(|_| is_limited && state.price().is_none())?;
    Some(format!(
        "what {model} costs is not known: a budget in US dollars does not hold for it (one in tokens does; prices are set \
         with the model, see harness-host config schema)"
    ))
}

/// Dollars with as many digits as it takes, two at least.
fn usd(micro: u64) -> String {
    let text = format!("{:.6}", micro as f64 / MICRO_USD);
    let kept = text.trim_end_matches('0').len().max(text.len() - 4);
    text.get(..kept).unwrap_or(&text).to_owned()
}

/// How a limit that was reached is raised far enough to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raise {
    /// The option of `run`.
    pub(crate) option: String,
    /// What `/budget` in a conversation takes; none for what limits one turn.
    change: Option<String>,
    /// One turn is limited, and the next one has enough to begin with.
    next_turn_goes_on: bool,
}

impl Raise {
    /// What to do in a conversation; `command` goes on outside of it.
    pub(crate) fn in_conversation(&self, command: &str) -> String {
        match (&self.change, self.next_turn_goes_on) {
            (Some(change), _) => format!("Raise it: /budget {change}, and say how to go on."),
            (None, true) => "It is for each turn: say how to go on, and another turn begins.".to_owned(),
            (None, false) => format!("It is for each turn. To raise it, leave (/exit) and go on: {command}"),
        }
    }
}

/// How a limit is raised; `output_tokens_max` is what a response may have.
pub(crate) fn raised(limit: &str, maximum: u64, state: &SessionState, output_tokens_max: Option<u32>) -> Option<Raise> {
    if limit == "max-steps" {
        let option = format!("--max-steps {}", maximum.saturating_mul(2));
        return Some(Raise { option, change: None, next_turn_goes_on: maximum > 0 });
    }
    let (whose, name) = limit.strip_prefix("budget.")?.split_once('.')?;
    let spent = match whose {
        "session" => state.spent,
        // One call may burn many times what a turn was to burn: no turn has burnt more than the session.
        _ => Spent { fuel: state.spent.fuel, work_ms: state.spent.work_ms, ..Spent::default() },
    };
    let next = next_request(state, output_tokens_max);
    let (spent, next) = match name {
        "tokens" => (spent.tokens, next.0),
        "cost-micro-usd" => (spent.cost_micro_usd, next.1),
        "work-ms" => (spent.work_ms, 0),
        "fuel" => (spent.fuel, 0),
        "calls" => (spent.calls, 0),
        "steps" => (spent.steps, 0),
        _ => return None,
    };
    let enough = round_up(maximum.max(spent.saturating_add(next)).max(1).saturating_mul(2));
    let (flag, value) = match name {
        "cost-micro-usd" => ("cost", usd(enough)),
        "work-ms" => ("work", enough.div_ceil(1_000).to_string()),
        name => (name, enough.to_string()),
    };
    let option = match (flag, whose) {
        ("steps", whose) => format!("--set 'budget.{whose}.steps = {value}'"),
        (flag, "session") => format!("--budget-{flag} {value}"),
        (flag, _) => format!("--max-{flag} {value}"),
    };
    let change = (whose == "session").then(|| format!("{flag}={value}"));
    Some(Raise { option, change, next_turn_goes_on: maximum > next })
}

/// Tokens and money that are set aside for the next request where both are limited.
fn next_request(state: &SessionState, output_tokens_max: Option<u32>) -> (u64, u64) {
    let mut limited = state.clone();
    limited.turn = None;
    limited.budget = Budget { tokens: Some(u64::MAX), ..Budget::default() };
    let next = limited.reservation();
    let output = output_tokens_max.map_or(0, u64::from);
    let price = limited.price().map_or(0, |price| price.output_micro_usd);
    let cost = output.saturating_mul(price).div_ceil(1_000_000);
    (next.tokens.saturating_add(output), next.cost_micro_usd.saturating_add(cost))
}

/// With two digits that are not zero: a number that a person can read.
fn round_up(value: u64) -> u64 {
    let digits = value.checked_ilog10().unwrap_or(0);
    let unit = 10_u64.saturating_pow(digits.saturating_sub(1));
    value.div_ceil(unit).saturating_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_core::budget::Price;
    use harness_core::event::Context;
    use std::sync::Arc;

    #[test]
    fn what_is_written_is_what_is_shown() {
        let changes = "tokens=20_000 cost=0.5 work=90 calls=7 fuel=none".split(' ');
        let before = Budget { fuel: Some(3), steps: Some(4), ..Budget::default() };
        let budget = changed(before, changes).unwrap();
        let spent = Spent { tokens: 100, cost_micro_usd: 1_230, work_ms: 1_500, ..Spent::default() };
        let lines = "tokens  100 of 20000\ncost    $0.00123 of $0.50\nwork    1.5 s of 90.0 s\nfuel    0 no limit\n\
                     calls   0 of 7\nsteps   0 of 4";
        assert_eq!(shown(&budget, &spent), lines);
        for (wrong, why) in [
            ("tokens=0", "expected 1 to 1000000000000, found 0"),
            ("work=0", "expected 1 to 31536000, found 0"),
            ("fuel=0", "expected 1 to"),
            ("steps=0", "expected 1 to"),
            ("calls=-1", "expected 0 to"),
            ("cost=1000001", "expected 0 to 1000000, found"),
        ] {
            let told = changed(before, [wrong].into_iter()).unwrap_err().message;
            assert!(told.contains(wrong) && told.contains(why), "{told}");
        }
        assert_eq!(changed(before, ["calls=0", "cost=0"].into_iter()).unwrap().calls, Some(0));
        for wrong in ["tokens", "tokens=many", "cost=-1", "cost=NaN", "cost=0.0000001", "money=1", "calls=-1"] {
            assert!(changed(before, [wrong].into_iter()).unwrap_err().message.contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_budget_in_dollars_needs_a_price() {
        let mut context = Context::new("here/fast".parse().unwrap(), "test");
        let limited = Budget { cost_micro_usd: Some(1), ..Budget::default() };
        let with = |context: &Context, budget| SessionState {
            context: Some(Arc::new(context.clone())),
            budget,
            ..SessionState::default()
        };
        let nothing = Budget::default();
        assert!(without_price(&with(&context, limited), &nothing).unwrap().contains("what here/fast costs"));
        assert!(without_price(&with(&context, nothing), &limited).is_some());
        assert_eq!(without_price(&with(&context, nothing), &nothing), None);
        context.price = Some(Price { input_micro_usd: 1, output_micro_usd: 1 });
        assert_eq!(without_price(&with(&context, limited), &nothing), None);
    }

    #[test]
    fn what_was_reached_is_told_as_it_is_configured() {
        for (limit, maximum, told) in [
            ("budget.turn.cost-micro-usd", 10_000, "budget.turn.cost-usd = 0.01"),
            ("budget.session.work-ms", 90_000, "budget.session.work-seconds = 90"),
            ("budget.turn.calls", 3, "budget.turn.calls = 3"),
            ("max-steps", 5, "max-steps = 5"),
        ] {
            assert_eq!(reached(limit, maximum), told);
        }
    }

    #[test]
    fn a_raise_leaves_room_for_the_next_request() {
        let state = SessionState { spent: Spent { calls: 30, ..Spent::default() }, ..SessionState::default() };
        let raise = |limit, maximum| raised(limit, maximum, &state, Some(1_000)).unwrap().option;
        assert_eq!(raise("max-steps", 3), "--max-steps 6");
        assert_eq!(raise("budget.turn.calls", 5), "--max-calls 10");
        assert_eq!(raise("budget.session.calls", 5), "--budget-calls 60");
        assert_eq!(raise("budget.turn.cost-micro-usd", 1_500_000), "--max-cost 3.00");
        assert_eq!(raise("budget.session.work-ms", 90_000), "--budget-work 180");
        assert_eq!(raise("budget.turn.steps", 8), "--set 'budget.turn.steps = 16'");
        let tokens: u64 = raise("budget.turn.tokens", 10).strip_prefix("--max-tokens ").unwrap().parse().unwrap();
        assert!(tokens >= 1_000, "{tokens}");
        assert_eq!(raised("other", 1, &state, None), None);
    }

    #[test]
    fn in_a_conversation_a_raise_is_something_to_type_there() {
        let state = SessionState::default();
        let told = |limit, maximum| raised(limit, maximum, &state, Some(1_000)).unwrap().in_conversation("COMMAND");
        for (limit, maximum, expected) in [
            ("budget.session.calls", 5, "/budget calls=10,"),
            ("budget.session.cost-micro-usd", 1_500_000, "/budget cost=3.00,"),
            ("budget.session.work-ms", 90_000, "/budget work=180,"),
            ("budget.session.steps", 8, "/budget steps=16,"),
            ("max-steps", 3, "another turn begins"),
            ("budget.turn.calls", 5, "another turn begins"),
            // The next turn could not make one request.
            ("budget.turn.tokens", 10, "(/exit) and go on: COMMAND"),
        ] {
            assert!(told(limit, maximum).contains(expected), "{limit}: {}", told(limit, maximum));
        }
    }
}
