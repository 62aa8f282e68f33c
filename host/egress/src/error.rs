//! Why a request had no response, or a response no end.
//!
//! Promise: the words say what was tried, what was wrong and, where one can, what to do; never a secret's value.
//!
//! Not here: what a guest is told in its own interface's words (harness-wasm).

use harness_core::grant::Capability;
use harness_core::outcome::LimitName;
use std::net::IpAddr;

/// Why a request had no response, or a response no end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// No grant covers the request, or this place for a secret.
    #[error("not granted: it needs `{0}`")]
    NotGranted(Box<Capability>),
    /// A grant covers the request, but the name resolves only to addresses it does not reach.
    #[error("not granted: {host} resolves to {address}, which is {kind}: it needs `{needed}`")]
    ForbiddenAddress {
        /// The name.
        host: String,
        /// The first of its addresses.
        address: IpAddr,
        /// What kind of address it is.
        kind: &'static str,
        /// What would reach it.
        needed: Box<Capability>,
    },
    /// A header that guests may not set.
    #[error("the header `{name}` was refused: {why}")]
    ForbiddenHeader {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// A grant names the secret, and there is none of that name.
    #[error("the secret `{name}` is granted, but there is none of that name")]
    NotConfigured {
        /// Its name.
        name: String,
    },
    /// A secret that cannot be given, is in the wrong place or stands open.
    #[error("the secret `{name}`: {problem}")]
    Secret {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The host's name has no address.
    #[error("the name {host} could not be resolved: {problem}")]
    Dns {
        /// The name.
        host: String,
        /// What the resolver says.
        problem: String,
    },
    /// No address took a connection.
    #[error("could not connect to {host}: {problem}")]
    Connect {
        /// Host and port.
        host: String,
        /// What came of the last address tried.
        problem: String,
    },
    /// No secure connection.
    #[error("no secure connection to {host}: {problem}")]
    Tls {
        /// Host and port.
        host: String,
        /// What is wrong, such as a certificate for another name.
        problem: String,
    },
    /// It took too long.
    #[error("{what} took longer than {milliseconds} ms")]
    Timeout {
        /// What took too long.
        what: &'static str,
        /// The time it had.
        milliseconds: u64,
    },
    /// A limit of the call.
    #[error("over limit: the call crossed {}", .0.name())]
    Limit(LimitName),
    /// Not a sound request.
    #[error("not a sound request: {0}")]
    Malformed(String),
    /// A redirect that is not followed.
    #[error("the redirect was not followed: {0}")]
    Redirect(String),
    /// What the server sent is not a sound response.
    #[error("not a sound response: {0}")]
    Protocol(String),
}

impl EgressError {
    /// The capability that is missing, where that is the reason.
    pub fn missing(&self) -> Option<&Capability> {
        match self {
            Self::NotGranted(needed) | Self::ForbiddenAddress { needed, .. } => Some(needed),
            _ => None,
        }
    }

    /// With other words where a guest or server chose some of them.
    pub(crate) fn scrubbed(self, scrub: impl Fn(String) -> String) -> Self {
        match self {
            Self::Malformed(words) => Self::Malformed(scrub(words)),
            Self::Redirect(words) => Self::Redirect(scrub(words)),
            Self::Protocol(words) => Self::Protocol(scrub(words)),
            other => other,
        }
    }

    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }

    pub(crate) fn secret(name: &str, problem: impl Into<String>) -> Self {
        Self::Secret { name: name.to_owned(), problem: problem.into() }
    }

    pub(crate) fn header(name: &str, why: impl Into<String>) -> Self {
        Self::ForbiddenHeader { name: name.to_owned(), why: why.into() }
    }
}
