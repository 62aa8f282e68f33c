//! A server that answers as a test says, byte by byte, and keeps what it was sent.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{HandshakeKind, ServerConfig};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What a server does next.
pub(crate) enum Step {
    Send(Vec<u8>),
    Wait(Duration),
    /// Nothing more, the connection stays open until the client closes it.
    Hold,
}

/// What came over one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The request, as it was.
    pub(crate) text: String,
    /// The name asked for in TLS.
    pub(crate) tls_name: Option<String>,
    /// Whether TLS went on with an earlier session.
    pub(crate) is_resumed: bool,
    /// Whether the client closed the connection while it was held.
    pub(crate) is_closed: bool,
}

pub(crate) struct Server {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A complete response.
pub(crate) fn response(status: &str, headers: &[&str], body: &[u8]) -> Vec<Step> {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
    vec![Step::Send([head.as_bytes(), body].concat())]
}

/// A response in chunks, each sent by itself.
pub(crate) fn chunked(headers: &[&str], chunks: &[&[u8]]) -> Vec<Step> {
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let mut steps = vec![Step::Send(format!("HTTP/1.1 200 OK\r\n{headers}transfer-encoding: chunked\r\n\r\n").into())];
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        steps.push(Step::Send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()));
    }
    steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
    steps
}

/// A certificate authority of one test.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) root: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), root }
    }

    fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into());
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

impl Server {
    pub(crate) async fn start(answer: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", None, answer).await
    }

    /// With a certificate for this name.
    pub(crate) async fn secure(
        authority: &Authority,
        name: &str,
        answer: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        Self::at("127.0.0.1:0", Some(authority.acceptor(name)), answer).await
    }

    pub(crate) async fn at(
        address: &str,
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address.parse::<SocketAddr>().unwrap()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (seen.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, kept, answer) = (tls.clone(), kept.clone(), answer.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else { return serve(stream, Seen::default(), &kept, &*answer).await };
                    if let Ok(stream) = tls.accept(stream).await {
                        let tls = stream.get_ref().1;
                        let is_resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
                        let tls_name = tls.server_name().map(str::to_owned);
                        serve(stream, Seen { tls_name, is_resumed, ..Seen::default() }, &kept, &*answer).await;
                    }
                });
            }
        });
        Self { port, seen }
    }

    /// What came, one entry for each connection that sent a request.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request's text.
    pub(crate) fn only(&self) -> String {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.into_iter().next().unwrap().text
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: Seen,
    seen: &Mutex<Vec<Seen>>,
    answer: &(dyn Fn(&str) -> Vec<Step> + Send + Sync),
) {
    let mut text = Vec::new();
    while !is_whole(&text) {
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(read) if read > 0 => text.extend(piece.iter().take(read)),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let steps = answer(&text);
    let at = {
        let mut seen = seen.lock().unwrap();
        seen.push(Seen { text, ..connection });
        seen.len() - 1
    };
    for step in steps {
        match step {
            Step::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                    break;
                }
                // The client may take this piece before the next is there.
                tokio::task::yield_now().await;
            }
            Step::Wait(time) => tokio::time::sleep(time).await,
            Step::Hold => {
                while matches!(stream.read(&mut [0; 64]).await, Ok(read) if read > 0) {}
                seen.lock().unwrap().get_mut(at).unwrap().is_closed = true;
                return;
            }
        }
    }
    let _ = stream.shutdown().await;
}

/// Whether a head and the body that it announces are there.
fn is_whole(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}
