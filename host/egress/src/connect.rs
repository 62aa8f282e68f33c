//! A connection to an address that was checked, and TLS over it.
//!
//! Promise: no name is resolved here and no proxy used; the peer is one of the addresses given, in their
//! order; a certificate has to be for the URL's host. Roots are loaded once, when first needed, off the
//! threads that serve sessions. No connection and no TLS session outlives its request.
//!
//! Not here: what is said over it (`exchange`).

use crate::error::EgressError;
use crate::target::Target;
use harness_core::grant::UrlScheme;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// What requests are written to and responses read from.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Whom we trust.
pub(crate) struct Tls {
    extra_roots: Vec<CertificateDer<'static>>,
    config: OnceCell<Arc<ClientConfig>>,
}

impl Tls {
    pub(crate) fn new(extra_roots: Vec<CertificateDer<'static>>) -> Self {
        Self { extra_roots, config: OnceCell::new() }
    }

    async fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let made = self.config.get_or_try_init(|| async {
            let roots = self.extra_roots.clone();
            let made = tokio::task::spawn_blocking(move || make_config(roots));
            made.await
                .map_err(|_| "it was stopped".to_owned())?
                .map_err(|error| format!("{error}. Is a package of root certificates installed, or SSL_CERT_FILE set?"))
        });
        made.await.cloned()
    }
}

fn make_config(extra_roots: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new_with_extra_roots(extra_roots, provider.clone())?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A session of one guest would mark the requests of another.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Connects to the first of these addresses that answers; each has this time.
pub(crate) async fn connect(
    tls: &Tls,
    target: &Target,
    addresses: &[IpAddr],
    time: Duration,
) -> Result<(Box<dyn Wire>, IpAddr), EgressError> {
    let mut last = EgressError::Connect { host: target.authority(), problem: "it has no address".to_owned() };
    for address in addresses {
        match timeout(time, TcpStream::connect(SocketAddr::new(*address, target.port()))).await {
            Err(_) => last = timed_out("connecting", time),
            Ok(Err(error)) => {
                last = EgressError::Connect { host: target.authority(), problem: format!("{address}: {error}") };
            }
            Ok(Ok(stream)) => {
                // A request is written in one go; waiting for more would only delay it.
                let _ = stream.set_nodelay(true);
                return match target.scheme() {
                    UrlScheme::Http => Ok((Box::new(stream), *address)),
                    UrlScheme::Https => match timeout(time, secure(tls, target, stream)).await {
                        Err(_) => Err(timed_out("the TLS handshake", time)),
                        Ok(secured) => Ok((secured?, *address)),
                    },
                };
            }
        }
    }
    Err(last)
}

async fn secure(tls: &Tls, target: &Target, stream: TcpStream) -> Result<Box<dyn Wire>, EgressError> {
    let wrong = |problem: String| EgressError::Tls { host: target.authority(), problem };
    let config = tls.config().await.map_err(wrong)?;
    let name = match target.address() {
        Some(address) => ServerName::IpAddress(address.into()),
        None => ServerName::try_from(target.host().to_owned()).map_err(|error| wrong(error.to_string()))?,
    };
    let secured = TlsConnector::from(config).connect(name, stream).await;
    Ok(Box::new(secured.map_err(|error| wrong(error.to_string()))?))
}

pub(crate) fn timed_out(what: &'static str, time: Duration) -> EgressError {
    EgressError::Timeout { what, milliseconds: u64::try_from(time.as_millis()).unwrap_or(u64::MAX) }
}
