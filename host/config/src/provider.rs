//! Who serves models, at which address, in which protocol, and where the key is.
//!
//! Promise: every provider here has all that is needed to speak to it, except that its key may be
//! missing, which is said.
//!
//! Not here: speaking to it (harness-model), reading the key (`key`).

use crate::check::join;
use crate::environment::Environment;
use crate::key::{KeySource, KeyringEntry};
use crate::layer::{Layer, strongest};
use crate::paths::Paths;
use crate::problem::{Fault, Problem};
use crate::raw::{RawKeyringEntry, RawProvider};
use crate::source::{Source, Sourced};
use crate::words::Wire;
use std::collections::{BTreeMap, BTreeSet};

/// The provider whose protocol depends on its address.
const OPENAI: &str = "openai";
/// The address at which OpenAI itself answers.
const OPENAI_HOST: &str = "https://api.openai.com/";

/// One provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// The protocol it is spoken to in.
    pub wire: Sourced<Wire>,
    /// Its address, without a slash at the end; none for [`Wire::Offline`].
    pub base_url: Option<Sourced<String>>,
    /// Where its API key is.
    pub key: ProviderKey,
    /// The model to use when none was chosen.
    pub default_model: Option<Sourced<String>>,
}

/// Where a provider's API key, or a secret, is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderKey {
    /// No layer names a place: the provider is spoken to without a key.
    NotNeeded,
    /// A key is needed, and the variable that should hold it is unset.
    Missing {
        /// The variable.
        variable: Sourced<String>,
    },
    /// In this place. A variable is known to be set; files and keyrings were not looked at.
    In(Sourced<KeySource>),
}

impl Provider {
    /// Whether somebody set this provider up: by its key, or, when it needs none, by its address.
    pub fn is_configured(&self) -> bool {
        match (&self.key, &self.base_url) {
            _ if self.wire.value == Wire::Offline => false,
            (ProviderKey::In(_), _) => true,
            (ProviderKey::Missing { .. }, _) => false,
            (ProviderKey::NotNeeded, url) => url.as_ref().is_some_and(|url| url.source != Source::BuiltIn),
        }
    }
}

/// Every provider that any layer mentions.
pub(crate) fn resolve_providers(
    layers: &[Layer],
    environment: &Environment,
    paths: &Paths,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Provider> {
    let names: BTreeSet<&String> = layers.iter().flat_map(|layer| layer.raw.providers.keys()).collect();
    let mut providers = BTreeMap::new();
    for name in names {
        match resolve_provider(layers, name, environment, paths) {
            Ok(provider) => {
                providers.insert(name.clone(), provider);
            }
            Err(missing) => {
                let mentions = layers.iter().rev().find(|layer| layer.raw.providers.contains_key(name));
                problems.extend(mentions.into_iter().flat_map(|layer| {
                    let path = join("providers", name);
                    missing.iter().map(move |key| layer.problem(&path, Fault::Missing { key: String::from(*key) }))
                }));
            }
        }
    }
    providers
}

/// One provider, or the keys that it lacks.
fn resolve_provider(
    layers: &[Layer],
    name: &str,
    environment: &Environment,
    paths: &Paths,
) -> Result<Provider, Vec<&'static str>> {
    let wire = strongest(layers, |raw| raw.providers.get(name)?.wire);
    let base_url = strongest(layers, |raw| raw.providers.get(name)?.base_url.clone())
        .map(|url| Sourced::new(url.value.trim_end_matches('/').to_owned(), url.source));
    let needs_url = wire.as_ref().is_none_or(|wire| wire.value != Wire::Offline);
    let (wire, base_url) = match (wire, base_url) {
        (Some(wire), Some(base_url)) => (wire, Some(base_url)),
        (Some(wire), None) if !needs_url => (wire, None),
        (Some(_), None) => return Err(vec!["base-url"]),
        (None, Some(_)) => return Err(vec!["wire"]),
        (None, None) => return Err(vec!["wire", "base-url"]),
    };
    let default_model = strongest(layers, |raw| raw.providers.get(name)?.default_model.clone());
    let key = resolve_key(layers, name, environment, paths);
    let provider = Provider { wire, base_url, key, default_model };
    Ok(if name == OPENAI { compatible_server(provider) } else { provider })
}

/// What the built-in values say of OpenAI is not true of other servers that speak its protocol.
fn compatible_server(mut provider: Provider) -> Provider {
    let other = provider
        .base_url
        .as_ref()
        .filter(|url| !format!("{}/", url.value).starts_with(OPENAI_HOST))
        .map(|url| url.source.clone());
    if let Some(source) = other {
        if provider.wire.source == Source::BuiltIn {
            provider.wire = Sourced::new(Wire::OpenaiChat, source);
        }
        provider.default_model.take_if(|model| model.source == Source::BuiltIn);
    }
    provider
}

/// A variable that is set goes first, as in every other program; then the strongest layer that names
/// a file or a keyring entry.
fn resolve_key(layers: &[Layer], name: &str, environment: &Environment, paths: &Paths) -> ProviderKey {
    let variable = strongest(layers, |raw| raw.providers.get(name)?.key_env.clone());
    if let Some(set) = variable.as_ref().filter(|variable| environment.get(&variable.value).is_some()) {
        let source = Source::Environment(set.value.clone());
        return ProviderKey::In(Sourced::new(KeySource::Environment(set.value.clone()), source));
    }
    let stored = strongest(layers, |raw| stored_key(raw.providers.get(name)?, paths));
    match (stored, variable) {
        (Some(stored), _) => ProviderKey::In(stored),
        (None, Some(variable)) => ProviderKey::Missing { variable },
        (None, None) => ProviderKey::NotNeeded,
    }
}

fn stored_key(raw: &RawProvider, paths: &Paths) -> Option<KeySource> {
    stored(raw.key_file.as_deref(), raw.key_keyring.as_ref(), paths)
}

fn stored(file: Option<&str>, keyring: Option<&RawKeyringEntry>, paths: &Paths) -> Option<KeySource> {
    let file = file.and_then(|file| paths.expand(file)).map(KeySource::File);
    file.or_else(|| {
        let entry = keyring?;
        let (service, account) = (entry.service.clone(), entry.account.clone());
        Some(KeySource::Keyring(KeyringEntry { service, account }))
    })
}

/// Where each secret is. The strongest layer that names one says all of it, so that no layer can lend another
/// layer's secret a name or a place of its own.
pub(crate) fn resolve_secrets(
    layers: &[Layer],
    environment: &Environment,
    paths: &Paths,
) -> BTreeMap<String, ProviderKey> {
    let mut secrets = BTreeMap::new();
    for layer in layers {
        for (name, raw) in &layer.raw.secrets {
            let source = || layer.source.clone();
            let variable = raw.env.as_ref();
            let set = variable.filter(|variable| environment.get(variable).is_some());
            let place = match (set, stored(raw.file.as_deref(), raw.keyring.as_ref(), paths), variable) {
                (Some(set), _, _) => ProviderKey::In(Sourced::new(KeySource::Environment(set.clone()), source())),
                (None, Some(stored), _) => ProviderKey::In(Sourced::new(stored, source())),
                (None, None, Some(variable)) => {
                    ProviderKey::Missing { variable: Sourced::new(variable.clone(), source()) }
                }
                // A layer that names no place has been refused.
                (None, None, None) => continue,
            };
            secrets.insert(name.clone(), place);
        }
    }
    secrets
}
