//! The models there are: providers by their names, behind the engine's port.
//!
//! Promise: a request goes to the provider that its context names, and nowhere else; a name that is not
//! configured is a failure that says which ones are.

use crate::endpoint::{Endpoint, EndpointError};
use crate::failure;
use crate::key::{KeptKey, KeyProvider};
use crate::offline::Offline;
use crate::price::Price;
use crate::provider::Provider;
use crate::sessions::Sessions;
use crate::wire::Wire;
use async_trait::async_trait;
use harness_core::event::{ModelFailure, ModelFailureKind};
use harness_engine::ports::{DeltaSink, Model, ModelRequest, ModelResponse};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A stream may be silent so long, in milliseconds: models think, local servers load them first.
pub const IDLE_TIMEOUT_MS: u64 = 300_000;
/// After a finish reason, the usage may take so long, in milliseconds; also each piece of an error's body.
pub const ENDING_TIMEOUT_MS: u64 = 5_000;
/// A whole response may take so long, in milliseconds, whatever keeps the stream alive.
pub const RESPONSE_TIMEOUT_MS: u64 = 3_600_000;
/// The whole body of an error may take so long, in milliseconds; what came by then is used.
pub const ERROR_BODY_TIMEOUT_MS: u64 = 10_000;
/// A response as it comes over the wire is at most this long, in bytes.
pub const RESPONSE_BYTES_MAX: u64 = 32 << 20;
/// A probe waits so long, in milliseconds.
pub const PROBE_TIMEOUT_MS: u64 = 5_000;

/// A provider as configured.
pub struct ProviderConfig {
    /// Its name, as in `PROVIDER/MODEL`.
    pub name: String,
    /// What it speaks.
    pub wire: Wire,
    /// Its address; not looked at for [`Wire::Offline`].
    pub base_url: String,
    /// Where its key comes from; none for a server that wants none.
    pub key: Option<Arc<dyn KeyProvider>>,
    /// Prices, by the model's name.
    pub prices: BTreeMap<String, Price>,
}

impl fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderConfig")
            .field("name", &self.name)
            .field("wire", &self.wire)
            .field("has_key", &self.key.is_some())
            .finish_non_exhaustive()
    }
}

/// Limits of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelLimits {
    /// The longest silence, before the response begins and inside it, in milliseconds.
    pub idle_ms: u64,
    /// The longest silence when all but the usage has come, in milliseconds.
    pub ending_ms: u64,
    /// The longest time from asking to the end of the response, in milliseconds.
    pub response_ms: u64,
    /// The longest time for the whole body of an error, in milliseconds.
    pub error_body_ms: u64,
    /// The longest response, in bytes on the wire.
    pub response_bytes_max: u64,
}

impl Default for ModelLimits {
    fn default() -> Self {
        Self {
            idle_ms: IDLE_TIMEOUT_MS,
            ending_ms: ENDING_TIMEOUT_MS,
            response_ms: RESPONSE_TIMEOUT_MS,
            error_body_ms: ERROR_BODY_TIMEOUT_MS,
            response_bytes_max: RESPONSE_BYTES_MAX,
        }
    }
}

/// Why providers cannot be used as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelsError {
    /// Two have the same name.
    #[error("there are two providers named `{0}`: rename one")]
    Twice(String),
    /// An address is wrong.
    #[error("provider `{name}`: {source}")]
    Endpoint {
        /// The provider.
        name: String,
        /// What is wrong.
        source: EndpointError,
    },
}

/// A provider that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reachable {
    /// Host and port.
    pub address: String,
    /// Time to the beginning of its answer, in milliseconds.
    pub time_ms: u64,
    /// The models it offers; empty where it does not say.
    pub models: Vec<String>,
}

enum Entry {
    Remote(Box<Provider>),
    Offline,
}

/// All providers.
pub struct Models {
    providers: BTreeMap<String, Entry>,
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Models").field("providers", &self.names()).finish()
    }
}

impl Models {
    /// Providers with the usual limits. Nothing is connected, loaded or read yet.
    pub fn new(configs: Vec<ProviderConfig>) -> Result<Self, ModelsError> {
        Self::with_limits(configs, ModelLimits::default())
    }

    /// Providers with limits of one's own.
    pub fn with_limits(configs: Vec<ProviderConfig>, limits: ModelLimits) -> Result<Self, ModelsError> {
        let mut providers = BTreeMap::new();
        for config in configs {
            let entry = match config.wire.protocol() {
                None => Entry::Offline,
                Some(protocol) => {
                    let endpoint = Endpoint::new(config.wire, &config.base_url)
                        .map_err(|source| ModelsError::Endpoint { name: config.name.clone(), source })?;
                    Entry::Remote(Box::new(Provider {
                        name: config.name.clone(),
                        endpoint,
                        protocol,
                        key: KeptKey::new(config.key),
                        prices: config.prices,
                        limits,
                        sessions: Sessions::default(),
                    }))
                }
            };
            if providers.insert(config.name.clone(), entry).is_some() {
                return Err(ModelsError::Twice(config.name));
            }
        }
        Ok(Self { providers })
    }

    /// The providers' names.
    pub fn names(&self) -> Vec<&str> {
        self.providers.keys().map(String::as_str).collect()
    }

    /// Whether a provider answers, and what it offers. Costs nothing at any known provider.
    pub async fn probe(&self, provider: &str) -> Result<Reachable, ModelFailure> {
        match self.entry(provider)? {
            Entry::Remote(remote) => remote.probe(PROBE_TIMEOUT_MS).await,
            Entry::Offline => {
                Ok(Reachable { address: "this process".to_owned(), time_ms: 0, models: vec!["offline".to_owned()] })
            }
        }
    }

    /// Does ahead what the first request to a provider would wait for: the HTTP client with its
    /// certificates, the key. To be called in the background; failures show at the request.
    pub async fn warm(&self, provider: &str) {
        if let Ok(Entry::Remote(remote)) = self.entry(provider) {
            remote.warm().await;
        }
    }

    /// Bytes of conversation items that were encoded so far, over all providers: a request of a session
    /// adds those of its new items.
    pub fn encoded_bytes(&self) -> u64 {
        let of = |entry: &Entry| match entry {
            Entry::Remote(remote) => remote.sessions.encoded_bytes(),
            Entry::Offline => 0,
        };
        self.providers.values().map(of).sum()
    }

    fn entry(&self, provider: &str) -> Result<&Entry, ModelFailure> {
        self.providers.get(provider).ok_or_else(|| {
            let shown: String = provider.chars().take(80).collect();
            let known = self.names().join(", ");
            let message = format!("no provider named `{shown}` is configured; there are: {known}");
            failure::failure(ModelFailureKind::Refused, failure::clean(&message))
        })
    }
}

#[async_trait]
impl Model for Models {
    async fn respond(&self, request: ModelRequest, deltas: &dyn DeltaSink) -> Result<ModelResponse, ModelFailure> {
        match self.entry(&request.context.model.provider)? {
            Entry::Remote(remote) => remote.respond(request, deltas).await,
            Entry::Offline => Offline.respond(request, deltas).await,
        }
    }
}
