//! The command line's layer.
//!
//! Promise: flags go through the same checks as files.
//!
//! Not here: parsing the command line (the CLI).

use crate::layer::{Layer, from_value, parse};
use crate::problem::Problem;
use crate::source::Source;
use crate::words::{Approve, Color};
use toml::Value;

/// What the command line says, filled by the CLI. The strongest layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--model PROVIDER/NAME`.
    pub model: Option<String>,
    /// `--approve WORD`.
    pub approve: Option<Approve>,
    /// `--max-steps N`.
    pub max_steps: Option<u64>,
    /// `--color WORD`.
    pub color: Option<Color>,
    /// `--set KEY=VALUE`, each a line of TOML with a dotted key, for example
    /// `tool-limits.deadline-ms = 1000`. Later ones win; all are weaker than the flags above.
    pub set: Vec<String>,
}

/// A layer for each flag that was given.
pub(crate) fn layers(flags: &Flags, problems: &mut Vec<Problem>) -> Vec<Layer> {
    let mut layers = Vec::new();
    for text in &flags.set {
        layers.extend(parse(text, flag("--set"), problems));
    }
    let word = |word: &str| Value::String(word.to_owned());
    let steps = |steps: u64| Value::Integer(i64::try_from(steps).unwrap_or(i64::MAX));
    let single: [(&str, &[&str], Option<Value>); 4] = [
        ("--model", &["model"], flags.model.as_deref().map(word)),
        ("--approve", &["approve"], flags.approve.map(|approve| word(approve.word()))),
        ("--max-steps", &["max-steps"], flags.max_steps.map(steps)),
        ("--color", &["ui", "color"], flags.color.map(|color| word(color.word()))),
    ];
    for (name, path, value) in single {
        if let Some(value) = value {
            layers.extend(from_value(path, value, flag(name), problems));
        }
    }
    layers
}

fn flag(name: &str) -> Source {
    Source::Flag(name.to_owned())
}
