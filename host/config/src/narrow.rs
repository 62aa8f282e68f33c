//! What is left of a project's configuration that nobody trusted.
//!
//! Promise: without trust a project can only narrow. It takes away (stricter approval, lower limits,
//! rules that ask or deny) and sets colours; all else is withheld and reported, never silently
//! dropped. This module looks at every key, so a new key has to be thought about here.
//!
//! Not here: what is trusted (`trust`), asking a person (the CLI).

use crate::budget::written;
use crate::check::join;
use crate::layer::Layer;
use crate::raw::{RawConfig, RawProvider, RawRule, RawSecret, RawStorage};
use crate::words::{Approve, RuleVerdict};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// What holds below a project's layer, which it may narrow without trust.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) approve: Approve,
    pub(crate) max_steps: u64,
    pub(crate) limits: Vec<(&'static str, u64)>,
    pub(crate) tool_limits: Vec<(&'static str, u64)>,
    /// Of the budget of the turn and of the session: each key, and its value where there is one.
    pub(crate) budgets: Vec<(&'static str, &'static str, Option<u64>)>,
}

/// Something that an untrusted project asked for and did not get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Withheld {
    /// The key's dotted path in the project's file.
    pub key: String,
    /// What it asked for, safe to print.
    pub asked: String,
    /// Why it was withheld.
    pub reason: WithheldReason,
}

/// Why something was withheld.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithheldReason {
    /// It allows more than holds without it.
    Wider,
    /// It decides where data, prompts or credentials go, or what they cost.
    NeedsTrust,
}

impl fmt::Display for WithheldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wider => "it would allow more than your own settings do",
            Self::NeedsTrust => "only a trusted project may set it",
        })
    }
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the project asks for {} = {}: {}", self.key, self.asked, self.reason)
    }
}

/// Removes from an untrusted project's layer what is not narrower than what holds below it.
pub(crate) fn narrow(project: &mut Layer, below: &Base) -> Vec<Withheld> {
    let RawConfig {
        model,
        approve,
        mode,
        max_steps,
        budget,
        limits,
        tool_limits,
        ceiling: _, // Refused in every file but the machine's.
        storage,
        providers,
        models,
        secrets,
        rules,
        ui: _, // Colours can do no harm.
    } = &mut project.raw;
    let mut withheld = Withholding(Vec::new());
    if let Some(model) = model.take() {
        withheld.needs_trust("model", &model);
    }
    if let Some(asked) = approve.take_if(|asked| *asked >= below.approve) {
        withheld.wider("approve", &asked.word(), asked == below.approve);
    }
    if let Some(mode) = mode.take() {
        withheld.needs_trust("mode", &mode);
    }
    if let Some(asked) = max_steps.take_if(|asked| *asked >= below.max_steps) {
        withheld.wider("max-steps", &asked, asked == below.max_steps);
    }
    for (key, base) in &below.limits {
        if let Some(asked) = limits.get(key).filter(|asked| asked >= base) {
            limits.clear(key);
            withheld.wider(&join("limits", key), &asked, asked == *base);
        }
    }
    for (key, base) in &below.tool_limits {
        if let Some(asked) = tool_limits.get(key).filter(|asked| asked >= base) {
            tool_limits.clear(key);
            withheld.wider(&join("tool-limits", key), &asked, asked == *base);
        }
    }
    for (whose, key, base) in &below.budgets {
        let budget = if *whose == "turn" { &mut budget.turn } else { &mut budget.session };
        if let (Some(asked), Some(base)) = (budget.get(key), base)
            && asked >= *base
        {
            budget.clear(key);
            withheld.wider(&join(&join("budget", whose), key), &Plain(written(key, asked)), asked == *base);
        }
    }
    withheld.storage(std::mem::take(storage));
    withheld.providers(std::mem::take(providers));
    for name in std::mem::take(models).into_keys() {
        withheld.needs_trust(&join("models", &name), &"sizes and prices");
    }
    withheld.secrets(std::mem::take(secrets));
    withheld.rules(rules);
    withheld.0
}

/// A number as it is written.
struct Plain(serde_json::Value);

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Collects what is withheld.
struct Withholding(Vec<Withheld>);

impl Withholding {
    fn push(&mut self, key: &str, asked: &dyn fmt::Debug, reason: WithheldReason) {
        let asked = format!("{asked:?}"); // Debug escapes what a terminal would act on.
        self.0.push(Withheld { key: key.to_owned(), asked, reason });
    }

    fn needs_trust(&mut self, key: &str, asked: &dyn fmt::Debug) {
        self.push(key, asked, WithheldReason::NeedsTrust);
    }

    /// What is as it would be anyway is dropped without a word.
    fn wider(&mut self, key: &str, asked: &dyn fmt::Debug, is_same: bool) {
        if !is_same {
            self.push(key, asked, WithheldReason::Wider);
        }
    }

    /// Even a smaller quota is no narrowing: it would make other projects' blobs go.
    fn storage(&mut self, storage: RawStorage) {
        let RawStorage { state_dir, blob_quota_bytes } = storage;
        if let Some(asked) = state_dir {
            self.needs_trust("storage.state-dir", &asked);
        }
        if let Some(asked) = blob_quota_bytes {
            self.needs_trust("storage.blob-quota-bytes", &asked);
        }
    }

    fn providers(&mut self, providers: BTreeMap<String, RawProvider>) {
        for (name, provider) in providers {
            let path = join("providers", &name);
            let RawProvider { wire, base_url, default_model, key_env, key_file, key_keyring } = provider;
            let asked = [
                ("wire", wire.map(|wire| wire.word().to_owned())),
                ("base-url", base_url),
                ("default-model", default_model),
                ("key-env", key_env),
                ("key-file", key_file),
                ("key-keyring", key_keyring.map(|key| format!("{}/{}", key.service, key.account))),
            ];
            for (key, asked) in asked {
                if let Some(asked) = asked {
                    self.needs_trust(&join(&path, key), &asked);
                }
            }
        }
    }

    fn secrets(&mut self, secrets: BTreeMap<String, RawSecret>) {
        for (name, secret) in secrets {
            let path = join("secrets", &name);
            let RawSecret { env, file, keyring } = secret;
            let keyring = keyring.map(|entry| format!("{}/{}", entry.service, entry.account));
            for (key, asked) in [("env", env), ("file", file), ("keyring", keyring)] {
                if let Some(asked) = asked {
                    self.needs_trust(&join(&path, key), &asked);
                }
            }
        }
    }

    fn rules(&mut self, rules: &mut Vec<RawRule>) {
        rules.retain(|rule| {
            let is_narrowing = match rule.verdict {
                RuleVerdict::Ask | RuleVerdict::Deny => true,
                RuleVerdict::Allow => false,
            };
            if !is_narrowing {
                let id = rule.id.as_deref().unwrap_or("rules");
                self.push(&join("rules", id), &"allow", WithheldReason::Wider);
            }
            is_narrowing
        });
    }
}
