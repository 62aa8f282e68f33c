//! Secrets of the configuration, for requests of components.
//!
//! Promise: a secret is read when a request needs it, from the place that the configuration names, and kept
//! nowhere here; no error holds a value.
//!
//! Not here: which component may use which secret (grants), putting it into requests (harness-egress).

use crate::settings::{Settings, SystemKeyring};
use harness_config::{Environment, KeySource, ProviderKey};
use harness_egress::{SecretValue, Secrets};
use std::collections::BTreeMap;

/// The configured secrets, by place.
pub(crate) struct ConfiguredSecrets {
    places: BTreeMap<String, KeySource>,
    environment: Environment,
}

impl ConfiguredSecrets {
    pub(crate) fn of(settings: &Settings) -> Self {
        let place = |(name, place): (&String, &ProviderKey)| match place {
            ProviderKey::In(place) => Some((name.clone(), place.value.clone())),
            ProviderKey::Missing { variable } => Some((name.clone(), KeySource::Environment(variable.value.clone()))),
            ProviderKey::NotNeeded => None,
        };
        let places = settings.resolved.secrets.iter().filter_map(place).collect();
        Self { places, environment: settings.environment.clone() }
    }
}

impl Secrets for ConfiguredSecrets {
    fn secret(&self, name: &str) -> Result<Option<SecretValue>, String> {
        let Some(place) = self.places.get(name) else { return Ok(None) };
        let secret = place.read_key(&self.environment, &SystemKeyring);
        secret.map(|secret| Some(SecretValue::new(secret.expose()))).map_err(|error| crate::failure::chain(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{self, Said};

    #[test]
    fn a_secret_is_read_where_it_is_and_errors_hold_no_value() {
        let mut settings = settings::read(&Said::default(), None).unwrap();
        settings.environment = Environment::from_pairs([("SET", "s3cret"), ("TWO", "two words")]);
        let mut add = |name: &str, variable: &str| {
            let place = harness_config::Sourced::new(variable.to_owned(), harness_config::Source::BuiltIn);
            settings.resolved.secrets.insert(name.to_owned(), ProviderKey::Missing { variable: place });
        };
        add("set", "SET");
        add("unset", "UNSET");
        add("two", "TWO");
        let secrets = ConfiguredSecrets::of(&settings);
        assert!(secrets.secret("set").unwrap().is_some());
        assert!(secrets.secret("other").unwrap().is_none());
        for (name, said) in [("unset", "UNSET"), ("two", "TWO")] {
            let error = secrets.secret(name).unwrap_err();
            assert!(error.contains(said) && !error.contains("words"), "{error}");
        }
    }
}
