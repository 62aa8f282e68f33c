//! The shape of a configuration file, exactly as written.
//!
//! Promise: every key is optional, and a key that is not here is an error. The JSON schema, the
//! check of a file and the reading of it all follow from these types.
//!
//! Not here: defaults (`builtin.toml`), what values mean together (`meaning`, `resolve`).

use crate::budget::RawBudgets;
use crate::limits::{RawToolLimits, RawTurnLimits};
use crate::words::{Approve, Category, Color, RuleVerdict, Wire};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Configuration of harness-host. Files, weakest first: /etc/harness-host/config.toml,
/// ~/.config/harness-host/config.toml, and .harness-host/config.toml in the workspace.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "harness-host configuration")]
pub(crate) struct RawConfig {
    /// The model, as PROVIDER/NAME. Unset: the default model of the first provider that is
    /// configured, else `offline/offline`.
    #[schemars(length(min = 3, max = 256))]
    pub(crate) model: Option<String>,
    /// What is approved without asking a person.
    pub(crate) approve: Option<Approve>,
    /// The mode that a session begins in.
    #[schemars(length(min = 1, max = 32))]
    pub(crate) mode: Option<String>,
    /// Model requests that one turn may take.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) max_steps: Option<u64>,
    /// What a turn and a session may spend. Nothing is limited that is not set.
    #[serde(default)]
    pub(crate) budget: RawBudgets,
    /// What a turn and its model requests may take.
    #[serde(default)]
    pub(crate) limits: RawTurnLimits,
    /// What one tool call may use.
    #[serde(default)]
    pub(crate) tool_limits: RawToolLimits,
    /// Values that no other layer may exceed; only in the machine's file.
    pub(crate) ceiling: Option<RawCeiling>,
    /// Where state is kept, and how much of it.
    #[serde(default)]
    pub(crate) storage: RawStorage,
    /// Who serves models, by the name that `model` uses before the slash.
    #[serde(default)]
    pub(crate) providers: BTreeMap<String, RawProvider>,
    /// Sizes and prices of models, by PROVIDER/NAME.
    #[serde(default)]
    pub(crate) models: BTreeMap<String, RawModelFacts>,
    /// Where secrets are kept that components may use and never read, by the name that grants call them.
    #[serde(default)]
    pub(crate) secrets: BTreeMap<String, RawSecret>,
    /// Verdicts on tool calls. Rules of all layers hold together; deny wins.
    #[serde(default)]
    pub(crate) rules: Vec<RawRule>,
    /// How things look.
    #[serde(default)]
    pub(crate) ui: RawUi,
}

/// Values that no other layer may exceed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawCeiling {
    /// Highest values of `limits`.
    #[serde(default)]
    pub(crate) limits: RawTurnLimits,
    /// Highest values of `tool-limits`.
    #[serde(default)]
    pub(crate) tool_limits: RawToolLimits,
}

/// Where state is kept, and how much of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawStorage {
    /// Directory of logs and blobs: absolute, or starting with `~/`.
    #[schemars(length(min = 1, max = 4096))]
    pub(crate) state_dir: Option<String>,
    /// Bytes that blobs (whole outputs, before-images of files) may take.
    #[schemars(range(min = 1_048_576, max = 1_125_899_906_842_624_u64))]
    pub(crate) blob_quota_bytes: Option<u64>,
}

/// Who serves models. A provider that is not built in needs `wire` and `base-url`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawProvider {
    /// The protocol it is spoken to in.
    pub(crate) wire: Option<Wire>,
    /// Its address, without credentials, query or a slash at the end.
    #[schemars(length(min = 8, max = 2048))]
    pub(crate) base_url: Option<String>,
    /// The model to use when `model` is unset and this provider is the first configured one.
    #[schemars(length(min = 1, max = 240))]
    pub(crate) default_model: Option<String>,
    /// Name of the environment variable that holds the API key. It goes before the other two.
    #[schemars(length(min = 1, max = 256))]
    pub(crate) key_env: Option<String>,
    /// File that holds the API key and nothing else, readable by its owner only: absolute, or
    /// starting with `~/`. Not together with `key-keyring`.
    #[schemars(length(min = 1, max = 4096))]
    pub(crate) key_file: Option<String>,
    /// Entry of the system's keyring that holds the API key.
    pub(crate) key_keyring: Option<RawKeyringEntry>,
}

/// An entry of the system's keyring.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawKeyringEntry {
    /// The service's name.
    #[schemars(length(min = 1, max = 256))]
    pub(crate) service: String,
    /// The account's name.
    #[schemars(length(min = 1, max = 256))]
    pub(crate) account: String,
}

/// Where a secret is kept. It needs one place at least; the strongest layer that names the secret says all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawSecret {
    /// Name of the environment variable that holds it. It goes before the other two.
    #[schemars(length(min = 1, max = 256))]
    pub(crate) env: Option<String>,
    /// File that holds it and nothing else, readable by its owner only: absolute, or starting with
    /// `~/`. Not together with `keyring`.
    #[schemars(length(min = 1, max = 4096))]
    pub(crate) file: Option<String>,
    /// Entry of the system's keyring that holds it.
    pub(crate) keyring: Option<RawKeyringEntry>,
}

/// Sizes and prices of one model.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawModelFacts {
    /// Tokens of prompt and response together that the model can handle.
    #[schemars(range(min = 1_024, max = 100_000_000))]
    pub(crate) context_tokens_max: Option<u64>,
    /// Tokens that one response can have.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub(crate) output_tokens_max: Option<u64>,
    /// Prices in US dollars for a million tokens; used to show costs.
    pub(crate) usd_per_million_tokens: Option<RawPrice>,
}

/// Prices in US dollars for a million tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawPrice {
    /// Of input that was not in the provider's cache.
    #[schemars(range(min = 0, max = 100_000))]
    pub(crate) input: Option<f64>,
    /// Of input that was read from the provider's cache.
    #[schemars(range(min = 0, max = 100_000))]
    pub(crate) cached_input: Option<f64>,
    /// Of input that was written to the provider's cache.
    #[schemars(range(min = 0, max = 100_000))]
    pub(crate) cache_write: Option<f64>,
    /// Of output.
    #[schemars(range(min = 0, max = 100_000))]
    pub(crate) output: Option<f64>,
}

/// A verdict on the calls that it covers. It needs `tool`, `category` or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawRule {
    /// Name of the rule in logs and answers; lower-case letters, digits and dashes. Unset: the
    /// layer's name and the rule's number in it.
    #[schemars(length(min = 1, max = 64))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// The tool's exact name, or `*` for all of them.
    #[schemars(length(min = 1, max = 64))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool: Option<String>,
    /// Only tools that do this kind of thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) category: Option<Category>,
    /// Only calls with these commands, for a tool that takes a line of shell. Each pattern is one command: `git status *`,
    /// `LANG=C sort * > build/**`. An allow needs every command of the line covered; an ask or a deny any one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) command: Vec<String>,
    /// Only calls with these arguments, by name or JSON Pointer: globs such as `src/**`, over paths as they are meant.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) arguments: BTreeMap<String, String>,
    /// Examples that the rule has to match: lines of shell, or arguments as JSON.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) matches: Vec<String>,
    /// Examples that the rule may not match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) matches_not: Vec<String>,
    /// What is said of the calls.
    pub(crate) verdict: RuleVerdict,
    /// Why, in words for the person and the model.
    #[schemars(length(min = 1, max = 1000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Where it stands in its file.
    #[serde(skip)]
    pub(crate) line: Option<usize>,
}

/// How things look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RawUi {
    /// When the terminal gets colours.
    pub(crate) color: Option<Color>,
}
