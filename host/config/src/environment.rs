//! The environment, as a value: which variables say what.
//!
//! Promise: variables that are empty count as unset. Debugging shows names only, for values can be
//! API keys. Only [`Environment::from_process`] looks at the process.
//!
//! Not here: directories that follow from the environment (`paths`), reading keys (`key`).

use crate::layer::{Layer, from_value};
use crate::ollama_host::base_url;
use crate::problem::Problem;
use crate::source::Source;
use std::collections::BTreeMap;
use std::fmt;
use toml::Value;

/// Variables with their values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process; those that are not UTF-8 are left out.
    pub fn from_process() -> Self {
        let pairs =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self(pairs.collect())
    }

    /// Given variables, as tests do.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// A variable's value; none if it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Environment").field(&self.0.keys()).finish()
    }
}

/// How a variable's text becomes a setting's value.
#[derive(Clone, Copy)]
enum Reading {
    Text,
    /// An integer; other text is passed on and refused by the check.
    Integer,
    /// Any value means `never`.
    NoColor,
    OllamaHost,
}

/// Variables that are settings, weaker before stronger.
const VARIABLES: &[(&str, &[&str], Reading)] = &[
    ("NO_COLOR", &["ui", "color"], Reading::NoColor),
    ("HARNESS_HOST_COLOR", &["ui", "color"], Reading::Text),
    ("HARNESS_HOST_MODEL", &["model"], Reading::Text),
    ("HARNESS_HOST_MODE", &["mode"], Reading::Text),
    ("HARNESS_HOST_APPROVE", &["approve"], Reading::Text),
    ("HARNESS_HOST_MAX_STEPS", &["max-steps"], Reading::Integer),
    ("ANTHROPIC_BASE_URL", &["providers", "anthropic", "base-url"], Reading::Text),
    ("OPENAI_BASE_URL", &["providers", "openai", "base-url"], Reading::Text),
    ("OLLAMA_HOST", &["providers", "ollama", "base-url"], Reading::OllamaHost),
];

/// A layer for each variable that is a setting and set.
pub(crate) fn layers(environment: &Environment, problems: &mut Vec<Problem>) -> Vec<Layer> {
    let mut layers = Vec::new();
    for (name, path, reading) in VARIABLES {
        let Some(text) = environment.get(name) else { continue };
        let value = match reading {
            Reading::Text => Value::String(text.to_owned()),
            Reading::Integer => text.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Integer),
            Reading::NoColor => Value::String("never".to_owned()),
            Reading::OllamaHost => Value::String(base_url(text)),
        };
        layers.extend(from_value(path, value, Source::Environment((*name).to_owned()), problems));
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debugging_an_environment_shows_no_values() {
        let environment = Environment::from_pairs([("ANTHROPIC_API_KEY", "sk-1")]);
        assert_eq!(format!("{environment:?}"), r#"Environment(["ANTHROPIC_API_KEY"])"#);
    }

    #[test]
    fn an_empty_variable_is_unset() {
        assert_eq!(Environment::from_pairs([("A", "")]).get("A"), None);
    }
}
