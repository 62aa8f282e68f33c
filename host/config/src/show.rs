//! The settings as a flat list, for `config show`.
//!
//! Promise: every value that holds is in the list with its source, in a fixed order; keys never are,
//! only the places where they are kept.
//!
//! Not here: laying the list out for a terminal (the CLI).

use crate::budget::written;
use crate::check::join;
use crate::model::ModelChoice;
use crate::provider::{Provider, ProviderKey};
use crate::resolve::Resolved;
use crate::source::{Source, Sourced};
use serde::Serialize;
use serde_json::{Value, json};

/// One value that holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShownValue {
    /// The key's dotted path, as in a file.
    pub key: String,
    /// The value; null for a model or key that is missing.
    pub value: Value,
    /// Where it came from.
    pub source: Source,
}

/// All values that hold.
pub fn show(resolved: &Resolved) -> Vec<ShownValue> {
    let mut list = List(Vec::new());
    match &resolved.model {
        ModelChoice::Chosen(model) => list.add("model", model),
        ModelChoice::NotChosen(_) => list.add("model", &Sourced::new(Value::Null, Source::BuiltIn)),
    }
    list.add("approve", &resolved.approve);
    list.add("mode", &resolved.mode);
    list.add("max-steps", &resolved.max_steps);
    for (whose, budget) in [("turn", &resolved.budgets.turn), ("session", &resolved.budgets.session)] {
        for (key, limit) in budget.entries() {
            let limit = limit.map(|limit| Sourced::new(written(key, limit.value), limit.source.clone()));
            list.add_some(&join(&join("budget", whose), key), limit.as_ref());
        }
    }
    for (key, limit) in resolved.limits.entries() {
        list.add(&join("limits", key), limit);
    }
    for (key, limit) in resolved.tool_limits.entries() {
        list.add(&join("tool-limits", key), limit);
    }
    list.add("storage.state-dir", &resolved.storage.state_dir);
    list.add("storage.blob-quota-bytes", &resolved.storage.blob_quota_bytes);
    for (name, provider) in &resolved.providers {
        list.provider(&join("providers", name), provider);
    }
    for (model, facts) in &resolved.models {
        let path = join("models", &model.to_string());
        list.add_some(&join(&path, "context-tokens-max"), facts.context_tokens_max.as_ref());
        list.add_some(&join(&path, "output-tokens-max"), facts.output_tokens_max.as_ref());
        list.add_some(&join(&path, "usd-per-million-tokens"), facts.price.as_ref());
    }
    for (name, place) in &resolved.secrets {
        list.key(&join("secrets", name), place);
    }
    for rule in &resolved.rules {
        list.add(&join("rules", &rule.value.id), rule);
    }
    list.add("ui.color", &resolved.ui.color);
    list.0
}

struct List(Vec<ShownValue>);

impl List {
    fn add<T: Serialize>(&mut self, key: &str, sourced: &Sourced<T>) {
        let mut value = json!(sourced.value);
        if let Value::Object(fields) = &mut value {
            fields.retain(|_, field| !field.is_null());
        }
        self.0.push(ShownValue { key: key.to_owned(), value, source: sourced.source.clone() });
    }

    fn add_some<T: Serialize>(&mut self, key: &str, sourced: Option<&Sourced<T>>) {
        if let Some(sourced) = sourced {
            self.add(key, sourced);
        }
    }

    fn provider(&mut self, path: &str, provider: &Provider) {
        self.add(&join(path, "wire"), &provider.wire);
        self.add_some(&join(path, "base-url"), provider.base_url.as_ref());
        self.key(&join(path, "key"), &provider.key);
        self.add_some(&join(path, "default-model"), provider.default_model.as_ref());
    }

    fn key(&mut self, path: &str, key: &ProviderKey) {
        match key {
            ProviderKey::NotNeeded => {}
            ProviderKey::Missing { variable } => {
                let missing = json!({ "environment": variable.value, "missing": true });
                self.add(path, &Sourced::new(missing, variable.source.clone()));
            }
            ProviderKey::In(place) => self.add(path, place),
        }
    }
}
