//! How requests of sandboxed components leave the host.
//!
//! Promise: a request leaves only where a grant covers it, to an address that was checked and is the one
//! connected to; redirects are judged like new requests; secrets take their places only here and are
//! searched for on the way back; every request is recorded, also one that was refused.
//!
//! Not here: `wasi:http` (harness-wasm), what is granted (harness-core), where secrets are kept (the port
//! [`Secrets`]), requests of the host itself (harness-model).
//!
//! Blocking: [`CallEgress::placeholder`] asks the port for secrets; all else waits asynchronously, on any
//! tokio runtime with its drivers for time and input and output. Nothing is spawned but the loading of root
//! certificates: a request and its connection end with the futures that hold them.

mod address;
mod body;
mod call;
mod connect;
mod covering;
mod encodings;
mod error;
mod exchange;
mod headers;
mod limits;
mod resolve;
mod scan;
mod secret;
mod target;

pub use body::ScannedBody;
pub use call::CallEgress;
pub use error::EgressError;
pub use limits::{ADDRESSES_MAX, EgressLimits, REDIRECTS_MAX, SEARCHED_BYTES_MIN, SECRET_BYTES_MAX, Timeouts};
pub use resolve::{Resolve, SystemResolver};
pub use secret::{NoSecrets, PLACEHOLDER_PREFIX, SecretValue, Secrets};

use harness_core::grant::Capability;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;

/// What requests of all calls share.
pub struct EgressSettings {
    /// Finds the addresses of names.
    pub resolver: Arc<dyn Resolve>,
    /// Where secrets are kept.
    pub secrets: Arc<dyn Secrets>,
    /// Root certificates trusted beside the platform's.
    pub extra_roots: Vec<CertificateDer<'static>>,
}

impl Default for EgressSettings {
    /// The system's resolver, no secrets, the platform's roots.
    fn default() -> Self {
        Self { resolver: Arc::new(SystemResolver), secrets: Arc::new(NoSecrets), extra_roots: Vec::new() }
    }
}

/// The way out, one for the process: holds what is loaded once.
pub struct Egress {
    resolver: Arc<dyn Resolve>,
    secrets: Arc<dyn Secrets>,
    tls: connect::Tls,
}

impl Egress {
    /// Loads nothing yet.
    pub fn new(settings: EgressSettings) -> Arc<Self> {
        let EgressSettings { resolver, secrets, extra_roots } = settings;
        Arc::new(Self { resolver, secrets, tls: connect::Tls::new(extra_roots) })
    }

    /// The way out of one call, with what it was granted. Costs one small allocation where nothing is.
    pub fn for_call(self: &Arc<Self>, granted: &[Capability], limits: EgressLimits) -> CallEgress {
        CallEgress::new(self.clone(), granted, limits)
    }
}
