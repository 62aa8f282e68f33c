//! Which model is used, and what is known of models.
//!
//! Promise: a model is chosen by a person, by a default of the first configured provider, or is the
//! offline one; when a provider is configured and no model can be told, that is said and nothing is
//! guessed.
//!
//! Not here: talking to models (harness-model), adding up costs (the core).

use crate::layer::{Layer, strongest};
use crate::problem::{Fault, Problem};
use crate::provider::Provider;
use crate::raw::RawPrice;
use crate::source::{Source, Sourced};
use crate::suggest::nearest;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// The provider and the model that are part of the program.
pub(crate) const OFFLINE: &str = "offline";
/// Built-in providers in the order in which they are asked for a default model; others follow by name.
const PROVIDER_ORDER: [&str; 4] = ["anthropic", "openai", "openrouter", "ollama"];

/// A model of a provider, written `provider/name`. The name may have slashes itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelRef {
    /// The provider's name in the configuration.
    pub provider: String,
    /// The model's name as the provider knows it.
    pub name: String,
}

/// A text that does not name a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected PROVIDER/NAME without spaces, for example anthropic/claude-sonnet-5-5")]
pub struct ParseModelRefError;

impl FromStr for ModelRef {
    type Err = ParseModelRefError;
    fn from_str(text: &str) -> Result<Self, ParseModelRefError> {
        let (provider, name) = text.split_once('/').ok_or(ParseModelRefError)?;
        let is_spaced = text.chars().any(|c| c.is_whitespace() || c.is_control());
        if provider.is_empty() || name.is_empty() || is_spaced {
            return Err(ParseModelRefError);
        }
        Ok(Self { provider: provider.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.name)
    }
}

impl Serialize for ModelRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The model to use, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelChoice {
    /// This one; the source is who named it.
    Chosen(Sourced<ModelRef>),
    /// Providers are configured, and nothing says which of their models to use.
    NotChosen(NoModelChosen),
}

/// Providers are configured, and nothing says which of their models to use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "provider {provider} is configured but no model is chosen: pass --model {provider}/NAME or set model = \"{provider}/NAME\""
)]
pub struct NoModelChosen {
    /// The first configured provider.
    pub provider: String,
}

impl ModelChoice {
    /// The chosen model.
    ///
    /// # Errors
    /// When there is none.
    pub fn chosen(&self) -> Result<&Sourced<ModelRef>, NoModelChosen> {
        match self {
            Self::Chosen(model) => Ok(model),
            Self::NotChosen(error) => Err(error.clone()),
        }
    }
}

/// What is known of a model. Unknown is none, and never zero.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelFacts {
    /// Tokens of prompt and response together that it can handle.
    pub context_tokens_max: Option<Sourced<u64>>,
    /// Tokens that one response can have.
    pub output_tokens_max: Option<Sourced<u64>>,
    /// Its prices; all from one layer, so that they belong together.
    pub price: Option<Sourced<Price>>,
}

/// Prices in US dollars for a million tokens. Unknown is none; free is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Price {
    /// Of input that was not in the provider's cache.
    pub input: Option<f64>,
    /// Of input that was read from the provider's cache.
    pub cached_input: Option<f64>,
    /// Of input that was written to the provider's cache.
    pub cache_write: Option<f64>,
    /// Of output.
    pub output: Option<f64>,
}

impl From<RawPrice> for Price {
    fn from(raw: RawPrice) -> Self {
        let RawPrice { input, cached_input, cache_write, output } = raw;
        Self { input, cached_input, cache_write, output }
    }
}

/// The facts on every model that any layer mentions.
pub(crate) fn resolve_models(layers: &[Layer]) -> BTreeMap<ModelRef, ModelFacts> {
    let names: BTreeSet<&String> = layers.iter().flat_map(|layer| layer.raw.models.keys()).collect();
    let facts = names.into_iter().filter_map(|name| {
        let facts = ModelFacts {
            context_tokens_max: strongest(layers, |raw| raw.models.get(name)?.context_tokens_max),
            output_tokens_max: strongest(layers, |raw| raw.models.get(name)?.output_tokens_max),
            price: strongest(layers, |raw| raw.models.get(name)?.usd_per_million_tokens.map(Price::from)),
        };
        Some((name.parse().ok()?, facts))
    });
    facts.collect()
}

/// Chooses the model.
pub(crate) fn choose_model(
    layers: &[Layer],
    providers: &BTreeMap<String, Provider>,
    problems: &mut Vec<Problem>,
) -> ModelChoice {
    let named = layers.iter().rev().find_map(|layer| Some((layer, layer.raw.model.as_ref()?)));
    let Some((layer, text)) = named else { return default_model(providers) };
    let offline = ModelRef { provider: OFFLINE.to_owned(), name: OFFLINE.to_owned() };
    let model = text.parse().unwrap_or(offline); // Texts that do not parse are problems already.
    if !providers.contains_key(&model.provider) {
        let suggestion = nearest(&model.provider, providers.keys().map(String::as_str));
        let fault =
            Fault::UnknownProvider { provider: model.provider.clone(), suggestion: suggestion.map(str::to_owned) };
        problems.push(layer.problem("model", fault));
    }
    ModelChoice::Chosen(Sourced::new(model, layer.source.clone()))
}

fn default_model(providers: &BTreeMap<String, Provider>) -> ModelChoice {
    let others = providers.keys().map(String::as_str).filter(|name| !PROVIDER_ORDER.contains(name));
    let mut configured = PROVIDER_ORDER
        .into_iter()
        .chain(others)
        .filter_map(|name| providers.get_key_value(name))
        .filter(|(_, provider)| provider.is_configured())
        .peekable();
    let first = configured.peek().map(|(name, _)| (*name).clone());
    let named = configured.find_map(|(name, provider)| {
        let default = provider.default_model.as_ref()?;
        let model = ModelRef { provider: name.clone(), name: default.value.clone() };
        Some(Sourced::new(model, default.source.clone()))
    });
    match (named, first) {
        (Some(model), _) => ModelChoice::Chosen(model),
        (None, Some(provider)) => ModelChoice::NotChosen(NoModelChosen { provider }),
        (None, None) => {
            let model = ModelRef { provider: OFFLINE.to_owned(), name: OFFLINE.to_owned() };
            ModelChoice::Chosen(Sourced::new(model, Source::BuiltIn))
        }
    }
}
