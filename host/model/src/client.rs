//! The HTTP clients of the process.
//!
//! Promise: made when first needed, kept for the process, with their connections; TLS is set up and root
//! certificates are loaded only when an address needs them, once, off the threads that serve sessions.
//! No redirect is followed: a key goes only to the host it is for.
//!
//! There are two: one for servers on this machine, which no proxy should see and no certificate concerns,
//! and one for all others, which honours the system's proxies.

use crate::failure;
use harness_core::event::{ModelFailure, ModelFailureKind};
use reqwest::Client;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A connection has to stand after this time, in milliseconds.
pub const CONNECT_TIMEOUT_MS: u64 = 15_000;
/// An idle connection is kept this long, in milliseconds: a person reads, a tool runs.
const KEEP_IDLE_MS: u64 = 300_000;
/// The operating system asks a silent peer whether it is still there after this time, in milliseconds.
const TCP_KEEPALIVE_MS: u64 = 30_000;
/// What servers are told.
const USER_AGENT: &str = concat!("harness-host/", env!("CARGO_PKG_VERSION"));

static LOCAL: OnceLock<Client> = OnceLock::new();
static WORLD: OnceLock<Client> = OnceLock::new();

/// The client for a server on this machine or elsewhere.
pub(crate) async fn get(is_local: bool) -> Result<Client, ModelFailure> {
    let slot = if is_local { &LOCAL } else { &WORLD };
    if let Some(client) = slot.get() {
        return Ok(client.clone());
    }
    if is_local {
        return Ok(slot.get_or_init(|| local().unwrap_or_default()).clone());
    }
    let made = tokio::task::spawn_blocking(|| match WORLD.get() {
        Some(client) => Ok(client.clone()),
        None => world(),
    });
    let made = made.await.map_err(|_| broken("it was stopped"))?.map_err(|error| broken(&error))?;
    Ok(slot.get_or_init(|| made).clone())
}

fn broken(what: &str) -> ModelFailure {
    let message = format!(
        "could not set up secure connections: {what}. Is a package of root certificates installed, or SSL_CERT_FILE set?"
    );
    failure::failure(ModelFailureKind::Refused, message)
}

fn builder() -> reqwest::ClientBuilder {
    Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(Duration::from_millis(CONNECT_TIMEOUT_MS))
        .pool_idle_timeout(Duration::from_millis(KEEP_IDLE_MS))
        .tcp_keepalive(Duration::from_millis(TCP_KEEPALIVE_MS))
        .tcp_nodelay(true)
}

/// Without proxies, and with a TLS configuration that trusts nobody: it is never used.
fn local() -> Result<Client, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    builder().no_proxy().tls_backend_preconfigured(tls).build().map_err(|error| error.to_string())
}

/// With the system's proxies and the platform's root certificates.
fn world() -> Result<Client, String> {
    // Fails only if another provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder().build().map_err(|error| crate::provider::causes(&error))
}
