//! The port for names: from a host's name to its addresses.
//!
//! Promise: asked once for each request and hop; nothing is kept from one request for another.
//!
//! Not here: which of the addresses may be connected to (`covering`).

use async_trait::async_trait;
use std::io;
use std::net::IpAddr;

/// Finds the addresses of a name.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// The addresses of a name, in the order they are to be tried. Never asked for an address.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver, with its own cache and its hosts file.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}
