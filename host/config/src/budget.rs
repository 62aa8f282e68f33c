//! What a turn and a session may spend.
//!
//! Promise: one list gives the keys, their ranges and their documentation; as resolved, every value has the unit that
//! the core counts in. Nothing is limited that nobody limits.
//!
//! Not here: counting what was spent (the core), an untrusted project's narrowing (`narrow`).

use crate::layer::{Layer, strongest};
use crate::raw::RawConfig;
use crate::source::Sourced;
use schemars::JsonSchema;
use serde::Deserialize;

/// Millionths of a US dollar in one.
const MICRO_USD: f64 = 1_000_000.0;
/// Milliseconds in a second.
const SECOND_MS: u64 = 1_000;

/// What turns and sessions may spend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawBudgets {
    /// What one turn may spend.
    #[serde(default)]
    pub(crate) turn: RawBudget,
    /// What a session may spend, all its turns together.
    #[serde(default)]
    pub(crate) session: RawBudget,
}

/// What may be spent; a key that is not set limits nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawBudget {
    /// Tokens of requests and responses together.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub(crate) tokens: Option<u64>,
    /// US dollars, as far as the prices of models are known.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) cost_usd: Option<f64>,
    /// Seconds of work: model requests and calls added up; waiting for a person is not counted.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub(crate) work_seconds: Option<u64>,
    /// Fuel of components, all calls together.
    #[schemars(range(min = 1, max = 1_000_000_000_000_000_000_u64))]
    pub(crate) fuel: Option<u64>,
    /// Tool calls.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) calls: Option<u64>,
    /// Model requests, repetitions after failures included.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) steps: Option<u64>,
}

impl RawBudget {
    /// The keys, in the order in which they are shown.
    pub(crate) const KEYS: [&str; 6] = ["tokens", "cost-usd", "work-seconds", "fuel", "calls", "steps"];

    /// The value under a key, if it is a key and set, in the core's unit.
    pub(crate) fn get(&self, key: &str) -> Option<u64> {
        match key {
            "tokens" => self.tokens,
            // In range, so that no digit that counts is lost.
            "cost-usd" => self.cost_usd.map(|usd| (usd * MICRO_USD).round().max(0.0) as u64),
            "work-seconds" => self.work_seconds.map(|seconds| seconds.saturating_mul(SECOND_MS)),
            "fuel" => self.fuel,
            "calls" => self.calls,
            "steps" => self.steps,
            _ => None,
        }
    }

    /// Drops the value under a key.
    pub(crate) fn clear(&mut self, key: &str) {
        match key {
            "tokens" => self.tokens = None,
            "cost-usd" => self.cost_usd = None,
            "work-seconds" => self.work_seconds = None,
            "fuel" => self.fuel = None,
            "calls" => self.calls = None,
            "steps" => self.steps = None,
            _ => {}
        }
    }
}

/// What may be spent, each value in the core's unit; none where nothing is limited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budget {
    /// Tokens of requests and responses together.
    pub tokens: Option<Sourced<u64>>,
    /// Millionths of a US dollar.
    pub cost_micro_usd: Option<Sourced<u64>>,
    /// Milliseconds of work.
    pub work_ms: Option<Sourced<u64>>,
    /// Fuel of components.
    pub fuel: Option<Sourced<u64>>,
    /// Tool calls.
    pub calls: Option<Sourced<u64>>,
    /// Model requests.
    pub steps: Option<Sourced<u64>>,
}

/// The budgets that hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budgets {
    /// What one turn may spend.
    pub turn: Budget,
    /// What a session may spend.
    pub session: Budget,
}

impl Budget {
    /// The same in the core's shape.
    pub fn to_core(&self) -> harness_core::budget::Budget {
        let value = |limit: &Option<Sourced<u64>>| limit.as_ref().map(|limit| limit.value);
        harness_core::budget::Budget {
            tokens: value(&self.tokens),
            cost_micro_usd: value(&self.cost_micro_usd),
            work_ms: value(&self.work_ms),
            fuel: value(&self.fuel),
            calls: value(&self.calls),
            steps: value(&self.steps),
        }
    }

    /// Every key as it is written, with its value in the core's unit, in the order they are shown.
    pub(crate) fn entries(&self) -> [(&'static str, Option<&Sourced<u64>>); 6] {
        let [tokens, cost, work, fuel, calls, steps] = RawBudget::KEYS;
        [
            (tokens, self.tokens.as_ref()),
            (cost, self.cost_micro_usd.as_ref()),
            (work, self.work_ms.as_ref()),
            (fuel, self.fuel.as_ref()),
            (calls, self.calls.as_ref()),
            (steps, self.steps.as_ref()),
        ]
    }
}

/// A value of [`Budget::entries`] as it is written.
pub(crate) fn written(key: &str, value: u64) -> serde_json::Value {
    match key {
        "cost-usd" => (value as f64 / MICRO_USD).into(),
        "work-seconds" => (value / SECOND_MS).into(),
        _ => value.into(),
    }
}

/// The budgets of all layers.
pub(crate) fn resolve_budgets(layers: &[Layer]) -> Budgets {
    Budgets { turn: of(layers, |raw| &raw.budget.turn), session: of(layers, |raw| &raw.budget.session) }
}

fn of(layers: &[Layer], whose: fn(&RawConfig) -> &RawBudget) -> Budget {
    let value = |key: &str| strongest(layers, |raw| whose(raw).get(key));
    let [tokens, cost_micro_usd, work_ms, fuel, calls, steps] = RawBudget::KEYS.map(value);
    Budget { tokens, cost_micro_usd, work_ms, fuel, calls, steps }
}
