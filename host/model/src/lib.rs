//! Models: one module for each provider's wire, and one that answers without any.
//!
//! Promise: a response is whole or it is a failure of a typed kind; never half a tool call, never a key in
//! a text. A request's cost in work is that of its new items; connections and certificates are kept.
//!
//! Not here: when to ask again (harness-core decides), what is shown (harness-host), where keys are kept
//! (the callback that comes with a provider's configuration).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod anthropic;
mod body;
mod client;
mod conversation;
mod endpoint;
mod failure;
mod key;
mod key_guard;
mod models;
pub mod offline;
mod openai_chat;
mod openai_responses;
mod price;
mod provider;
mod retry_after;
mod sessions;
pub mod sse;
mod wire;
mod writer;

pub use client::CONNECT_TIMEOUT_MS;
pub use endpoint::EndpointError;
pub use key::{ApiKey, KeyError, KeyProvider};
pub use models::{
    ENDING_TIMEOUT_MS, ERROR_BODY_TIMEOUT_MS, IDLE_TIMEOUT_MS, ModelLimits, Models, ModelsError, PROBE_TIMEOUT_MS,
    ProviderConfig, RESPONSE_BYTES_MAX, RESPONSE_TIMEOUT_MS, Reachable,
};
pub use price::Price;
pub use wire::Wire;
