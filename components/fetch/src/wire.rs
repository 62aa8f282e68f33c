//! What stands between the tool and the network: a request goes in, a response or an error comes out.
//!
//! Promise: every error is one clear failure, told apart by what to do about it.
//!
//! Not here: the network itself (`wasi`, or a test's answers).

use tool_kit::Failure;

use crate::request::Request;

/// The header in which the host tells where it got the response from, after redirects.
pub(crate) const URL_HEADER: &str = "harness-url";

/// Where requests go.
pub(crate) trait Wire {
    /// Sends `request` and reads at most `bytes_max` of the response's body.
    fn send(&self, request: &Request, bytes_max: usize) -> Result<Response, WireError>;
}

/// What came back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    /// Whether the body goes on after what was read.
    pub(crate) cut: bool,
}

impl Response {
    /// The first value of a header, as text.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        Some(String::from_utf8_lossy(value).trim().to_owned())
    }
}

/// Why nothing came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WireError {
    /// No grant covers the request.
    Denied,
    /// The host's name has no address; with what the resolver said.
    Dns(String),
    /// Nothing listens, or the network does not lead there.
    Unreachable,
    /// The connection ended early.
    Broken,
    /// No encrypted connection came about; with why.
    Tls(String),
    /// It took too long.
    TimedOut,
    /// The host's own limits or rules, or the protocol; with what was wrong.
    Protocol(String),
}

impl WireError {
    /// The failure that a model reads.
    pub(crate) fn failure(self, request: &Request) -> Failure {
        let shown = request.shown();
        let host = request.url.host_str().unwrap_or_default();
        let failed = |code: &str, why: String, retryable| Failure::failed(code, format!("{shown}: {why}"), retryable);
        match self {
            Self::Denied => Failure::not_permitted(
                "not-granted",
                format!(
                    "{shown} is not granted: a person must grant it before it can be sent; do not try again before"
                ),
            ),
            Self::Dns(why) => failed("dns", format!("the name {host} could not be resolved{}", because(&why)), true),
            Self::Unreachable => failed("unreachable", format!("no connection to {host}: refused or no route"), true),
            Self::Broken => failed("broken", "the connection ended before the response did".into(), true),
            Self::Tls(why) => failed("tls", format!("no encrypted connection to {host}{}", because(&why)), false),
            Self::TimedOut => failed("timeout", "no answer in time".into(), true),
            Self::Protocol(why) => failed("protocol", why, false),
        }
    }
}

fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}
