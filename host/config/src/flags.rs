//! The command line's layer.
//!
//! Promise: flags go through the same checks as files.
//!
//! Not here: parsing the command line (the CLI).

use crate::layer::{Layer, from_value, parse};
use crate::problem::{Fault, Problem};
use crate::source::Source;
use crate::words::{Approve, Color};
use toml::Value;

/// What the command line says, filled by the CLI. The strongest layer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flags {
    /// `--model PROVIDER/NAME`.
    pub model: Option<String>,
    /// `--approve WORD`.
    pub approve: Option<Approve>,
    /// `--mode NAME`.
    pub mode: Option<String>,
    /// `--max-steps N`.
    pub max_steps: Option<u64>,
    /// What a turn may spend: `--max-tokens N` and so on.
    pub turn_budget: BudgetFlags,
    /// What a session may spend: `--budget-tokens N` and so on.
    pub session_budget: BudgetFlags,
    /// `--color WORD`.
    pub color: Option<Color>,
    /// `--set KEY=VALUE`, each a line of TOML with a dotted key, for example
    /// `tool-limits.deadline-ms = 1000`. Later ones win; all are weaker than the flags above.
    pub set: Vec<String>,
}

/// What the command line says of a budget.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BudgetFlags {
    /// Tokens of requests and responses together.
    pub tokens: Option<u64>,
    /// US dollars.
    pub cost_usd: Option<f64>,
    /// Seconds of work.
    pub work_seconds: Option<u64>,
    /// Fuel of components.
    pub fuel: Option<u64>,
    /// Tool calls.
    pub calls: Option<u64>,
}

impl BudgetFlags {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The flags that were given: the end of their names, their key, their value.
    fn given(&self) -> impl Iterator<Item = (&'static str, &'static str, Value)> {
        let number = |value: u64| Value::Integer(i64::try_from(value).unwrap_or(i64::MAX));
        [
            ("tokens", "tokens", self.tokens.map(number)),
            ("cost", "cost-usd", self.cost_usd.map(Value::Float)),
            ("work", "work-seconds", self.work_seconds.map(number)),
            ("fuel", "fuel", self.fuel.map(number)),
            ("calls", "calls", self.calls.map(number)),
        ]
        .into_iter()
        .filter_map(|(flag, key, value)| Some((flag, key, value?)))
    }
}

/// A value of one key of a budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BudgetValue {
    /// All but dollars.
    Whole(i64),
    /// US dollars.
    Usd(f64),
}

impl From<i64> for BudgetValue {
    fn from(value: i64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for BudgetValue {
    fn from(value: f64) -> Self {
        Self::Usd(value)
    }
}

/// What is wrong with a value of a session's budget, if anything is: the rule of files and flags, for what is said
/// elsewhere. `key` is the key of a file, such as `tokens` or `cost-usd`.
pub fn session_budget_fault(key: &str, value: BudgetValue) -> Option<Fault> {
    let value = match value {
        BudgetValue::Whole(value) => Value::Integer(value),
        BudgetValue::Usd(value) => Value::Float(value),
    };
    let mut problems = Vec::new();
    let _ = from_value(&["budget", "session", key], value, flag(key), &mut problems);
    problems.into_iter().next().map(|problem| problem.fault)
}

/// A layer for each flag that was given.
pub(crate) fn layers(flags: &Flags, problems: &mut Vec<Problem>) -> Vec<Layer> {
    let mut layers = Vec::new();
    for text in &flags.set {
        layers.extend(parse(text, flag("--set"), problems));
    }
    let word = |word: &str| Value::String(word.to_owned());
    let steps = |steps: u64| Value::Integer(i64::try_from(steps).unwrap_or(i64::MAX));
    let single: [(&str, &[&str], Option<Value>); 5] = [
        ("--model", &["model"], flags.model.as_deref().map(word)),
        ("--approve", &["approve"], flags.approve.map(|approve| word(approve.word()))),
        ("--mode", &["mode"], flags.mode.as_deref().map(word)),
        ("--max-steps", &["max-steps"], flags.max_steps.map(steps)),
        ("--color", &["ui", "color"], flags.color.map(|color| word(color.word()))),
    ];
    for (name, path, value) in single {
        if let Some(value) = value {
            layers.extend(from_value(path, value, flag(name), problems));
        }
    }
    for (whose, prefix, budget) in
        [("turn", "--max-", &flags.turn_budget), ("session", "--budget-", &flags.session_budget)]
    {
        for (name, key, value) in budget.given() {
            layers.extend(from_value(&["budget", whose, key], value, flag(&format!("{prefix}{name}")), problems));
        }
    }
    layers
}

fn flag(name: &str) -> Source {
    Source::Flag(name.to_owned())
}
