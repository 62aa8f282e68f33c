//! Checks what the values of one layer mean, beyond their types and ranges.
//!
//! Promise: each layer is checked alone, so that all its problems are found whatever others say.
//! A text that could be an API key in the wrong place is not repeated.
//!
//! Not here: values that depend on other layers (`resolve` and the modules it calls).

use crate::check::join;
use crate::layer::Layer;
use crate::model::{ModelRef, OFFLINE, ParseModelRefError};
use crate::paths::Paths;
use crate::problem::{Fault, Problem};
use crate::raw::{RawProvider, RawRule, RawSecret};
use crate::rule::pattern_faults;
use crate::source::Source;

/// The problems of one layer.
pub(crate) fn check_meaning(layer: &Layer, paths: &Paths, problems: &mut Vec<Problem>) {
    let mut faults: Vec<(String, Fault)> = Vec::new();
    let raw = &layer.raw;
    if raw.ceiling.is_some() && !matches!(layer.source, Source::Machine(_)) {
        faults.push(("ceiling".to_owned(), Fault::OnlyInMachineFile));
    }
    let bad_model = || invalid(&ParseModelRefError.to_string().replacen("expected ", "", 1));
    if raw.model.as_ref().is_some_and(|model| model.parse::<ModelRef>().is_err()) {
        faults.push(("model".to_owned(), bad_model()));
    }
    if raw.mode.as_ref().is_some_and(|mode| !is_plain_name(mode)) {
        faults.push(("mode".to_owned(), invalid("a mode's name of lower-case letters, digits, `-` and `_`")));
    }
    for name in raw.models.keys().filter(|name| name.parse::<ModelRef>().is_err()) {
        faults.push((join("models", name), bad_model()));
    }
    if raw.storage.state_dir.as_ref().is_some_and(|path| paths.expand(path).is_none()) {
        faults.push(("storage.state-dir".to_owned(), bad_path()));
    }
    for (name, provider) in &raw.providers {
        let path = join("providers", name);
        if !is_plain_name(name) {
            let fault = invalid("a provider's name of lower-case letters, digits, `-` and `_`");
            faults.push((path.clone(), fault));
        }
        if name == OFFLINE && layer.source != Source::BuiltIn {
            faults.push((path.clone(), invalid("another name: `offline` cannot be changed")));
        }
        provider_faults(&path, provider, paths, &mut faults);
    }
    for (name, secret) in &raw.secrets {
        secret_faults(&join("secrets", name), name, secret, paths, &mut faults);
    }
    for (index, rule) in raw.rules.iter().enumerate() {
        rule_faults(&format!("rules[{}]", index + 1), rule, &mut faults);
    }
    problems.extend(faults.into_iter().map(|(key, fault)| layer.problem(&key, fault)));
}

fn provider_faults(path: &str, provider: &RawProvider, paths: &Paths, faults: &mut Vec<(String, Fault)>) {
    let mut fault = |key: &str, fault: Fault| faults.push((join(path, key), fault));
    if provider.base_url.as_ref().is_some_and(|url| !is_base_url(url)) {
        let expected = "an http:// or https:// address without user, password, query, fragment or spaces";
        fault("base-url", invalid(expected));
    }
    if provider.key_env.as_ref().is_some_and(|name| !is_variable_name(name)) {
        let expected = "the name of an environment variable (upper-case letters, digits, `_`), not the key itself";
        fault("key-env", invalid(expected));
    }
    if provider.key_file.as_ref().is_some_and(|file| paths.expand(file).is_none()) {
        fault("key-file", bad_path());
    }
    if provider.key_file.is_some() && provider.key_keyring.is_some() {
        fault("key-keyring", Fault::Exclusive { key: "key-keyring", other: "key-file" });
    }
    let is_spaced = |name: &String| name.chars().any(|c| c.is_whitespace() || c.is_control());
    if provider.default_model.as_ref().is_some_and(is_spaced) {
        fault("default-model", invalid("a model's name without spaces"));
    }
}

fn secret_faults(path: &str, name: &str, secret: &RawSecret, paths: &Paths, faults: &mut Vec<(String, Fault)>) {
    if !is_plain_name(name) {
        faults.push((path.to_owned(), invalid("a secret's name of lower-case letters, digits, `-` and `_`")));
    }
    let mut fault = |key: &str, fault: Fault| faults.push((join(path, key), fault));
    if secret.env.as_ref().is_some_and(|name| !is_variable_name(name)) {
        let expected = "the name of an environment variable (upper-case letters, digits, `_`), not the secret itself";
        fault("env", invalid(expected));
    }
    if secret.file.as_ref().is_some_and(|file| paths.expand(file).is_none()) {
        fault("file", bad_path());
    }
    if secret.file.is_some() && secret.keyring.is_some() {
        fault("keyring", Fault::Exclusive { key: "keyring", other: "file" });
    }
    if secret.env.is_none() && secret.file.is_none() && secret.keyring.is_none() {
        faults.push((path.to_owned(), Fault::NoPlace));
    }
}

fn rule_faults(path: &str, rule: &RawRule, faults: &mut Vec<(String, Fault)>) {
    let mut fault = |key: &str, expected: &str| faults.push((join(path, key), invalid(expected)));
    if rule.id.as_ref().is_some_and(|id| !is_plain_name(id)) {
        fault("id", "lower-case letters, digits, `-` and `_`");
    }
    if rule.tool.as_ref().is_some_and(|tool| !is_tool(tool)) {
        fault("tool", "a tool's exact name (letters, digits, `-` and `_`), or `*` alone");
    }
    if rule.reason.as_ref().is_some_and(|reason| reason.chars().any(char::is_control)) {
        fault("reason", "one line of text without control characters");
    }
    if rule.tool.is_none() && rule.category.is_none() {
        let fault = invalid("`tool`, `category` or both; `tool = \"*\"` is for all calls");
        faults.push((path.to_owned(), fault));
    }
    faults.extend(pattern_faults(rule).into_iter().map(|(key, fault)| (format!("{path}.{key}"), fault)));
}

fn invalid(expected: &str) -> Fault {
    Fault::Invalid { expected: expected.to_owned() }
}

fn bad_path() -> Fault {
    invalid("an absolute path, or one that starts with `~/`")
}

pub(crate) fn is_plain_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= 64 && name.chars().all(is_plain)
}

/// Lower-case names exist, but accepting them would accept most API keys too.
fn is_variable_name(name: &str) -> bool {
    let is_good = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_good)
}

fn is_tool(name: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name == "*" || name.chars().all(is_good)
}

fn is_base_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let is_bad = |c: char| c.is_whitespace() || c.is_control() || "@?#\\\"".contains(c);
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(is_bad))
}
