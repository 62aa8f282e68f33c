//! Budgets: what a turn or a session may spend, and what was spent.
//!
//! Promise: room is reserved before a request is made, and usage that is not known counts as what was reserved; so
//! a budget is overshot by at most one request.
//!
//! Not here: when a budget is looked at (`decide`), limits of one call (`limits` of the hand).

use crate::item::Usage;
use crate::mode::BudgetLeft;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What may be spent; none where there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Tokens of requests and responses together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Millionths of a US dollar, as far as prices are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_micro_usd: Option<u64>,
    /// Milliseconds of work: model requests and calls added up; waiting for a person is not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_ms: Option<u64>,
    /// Fuel of components.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// Tool calls that were run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// Model requests, repetitions after failures included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
}

/// What was spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Spent {
    /// Tokens of requests and responses together.
    pub tokens: u64,
    /// Millionths of a US dollar, as far as prices are known.
    pub cost_micro_usd: u64,
    /// Milliseconds of work.
    pub work_ms: u64,
    /// Fuel of components.
    pub fuel: u64,
    /// Tool calls that were run.
    pub calls: u64,
    /// Model requests.
    pub steps: u64,
}

/// What is set aside for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Reservation {
    /// Tokens of request and response together.
    pub tokens: u64,
    /// Millionths of a US dollar; zero where the price is not known.
    pub cost_micro_usd: u64,
}

impl Reservation {
    /// Whether nothing is set aside.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What tokens of a model cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    /// Millionths of a US dollar for a million tokens of a request.
    pub input_micro_usd: u64,
    /// Millionths of a US dollar for a million tokens of a response.
    pub output_micro_usd: u64,
}

/// A budget that does not suffice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossed {
    /// The field of the budget, its unit last, such as `tokens`.
    pub name: &'static str,
    /// Its value.
    pub maximum: u64,
}

impl Budget {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is left of a budget.
pub fn left(budget: &Budget, spent: &Spent) -> BudgetLeft {
    let left = |limit: Option<u64>, spent: u64| limit.map(|limit| limit.saturating_sub(spent));
    BudgetLeft {
        tokens: left(budget.tokens, spent.tokens),
        cost_micro_usd: left(budget.cost_micro_usd, spent.cost_micro_usd),
        work_ms: left(budget.work_ms, spent.work_ms),
        fuel: left(budget.fuel, spent.fuel),
        calls: left(budget.calls, spent.calls),
        steps: left(budget.steps, spent.steps),
    }
}

impl Spent {
    /// With a request whose usage is known; it cost what was set aside where nobody says.
    pub fn with_usage(mut self, usage: Usage, reserved: Reservation) -> Self {
        let tokens = usage.input_tokens.saturating_add(usage.output_tokens);
        self.tokens = self.tokens.saturating_add(tokens);
        let cost = usage.cost_micro_usd.unwrap_or(reserved.cost_micro_usd);
        self.cost_micro_usd = self.cost_micro_usd.saturating_add(cost);
        self
    }

    /// With a request whose usage is not known.
    pub fn with_reservation(mut self, reserved: Reservation) -> Self {
        self.tokens = self.tokens.saturating_add(reserved.tokens);
        self.cost_micro_usd = self.cost_micro_usd.saturating_add(reserved.cost_micro_usd);
        self
    }
}
