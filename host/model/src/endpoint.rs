//! Addresses: what people write as a base URL, and what is asked for it.
//!
//! Promise: with or without a slash at the end, with or without the version, and with a whole endpoint
//! pasted, the same address comes out.

use crate::Wire;
use reqwest::Url;

/// Why a base URL cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not an address.
    #[error("`{0}` is not a base URL: write it as https://HOST or http://HOST:PORT, with a path if it has one")]
    Parse(String),
    /// A key or a query has no place in it.
    #[error("the base URL of host {0} holds a user name, query or fragment: leave these out, keys are set apart")]
    Extra(String),
}

/// A provider's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Where responses are asked for.
    pub(crate) respond: Url,
    /// Where the list of models is.
    pub(crate) models: Url,
}

impl Endpoint {
    /// The addresses for a wire from what a person wrote. Anthropic's SDKs expect a base URL without
    /// `/v1`, OpenAI's one with it; both forms work for both.
    pub(crate) fn new(wire: Wire, base: &str) -> Result<Self, EndpointError> {
        let shown = || base.chars().take(200).collect::<String>();
        let url = Url::parse(base.trim()).map_err(|_| EndpointError::Parse(shown()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(EndpointError::Parse(shown()));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError::Extra(url.host_str().unwrap_or_default().to_owned()));
        }
        let mut path = url.path().trim_end_matches('/').to_owned();
        let own = wire.path();
        for suffix in [own, "/models", "/completions"] {
            if let Some(rest) = path.strip_suffix(suffix) {
                path.truncate(rest.trim_end_matches('/').len());
                break;
            }
        }
        if !path.split('/').any(is_version) {
            path.push_str("/v1");
        }
        let at = |suffix: &str| {
            let mut url = url.clone();
            url.set_path(&format!("{path}{suffix}"));
            url
        };
        Ok(Self { respond: at(own), models: at("/models") })
    }

    /// Whether it is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        match self.respond.host_str() {
            Some(host) => {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                // Names below `localhost` are left to resolvers, and some ask the network for them.
                host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
            }
            None => false,
        }
    }

    /// Whether it is a host that answers nobody without a key.
    pub(crate) fn wants_key(&self) -> bool {
        matches!(self.respond.host_str(), Some("api.anthropic.com" | "api.openai.com" | "openrouter.ai"))
    }

    /// Whether it is OpenAI's own host, which refuses parameters that others need.
    pub(crate) fn is_openai(&self) -> bool {
        self.respond.host_str() == Some("api.openai.com")
    }

    /// Host and port, for people.
    pub(crate) fn shown(&self) -> String {
        let host = self.respond.host_str().unwrap_or_default();
        match self.respond.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }
}

/// `v1`, `v4`, `v1beta`: a part of a path that names a version.
fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_to_write_it_give_the_same_address() {
        for (wire, base, expected) in [
            (Wire::Anthropic, "https://api.anthropic.com", "https://api.anthropic.com/v1/messages"),
            (Wire::Anthropic, "https://api.anthropic.com/", "https://api.anthropic.com/v1/messages"),
            (Wire::Anthropic, "https://api.anthropic.com/v1", "https://api.anthropic.com/v1/messages"),
            (Wire::Anthropic, "https://api.anthropic.com/v1/", "https://api.anthropic.com/v1/messages"),
            (Wire::Anthropic, " https://api.anthropic.com/v1/messages ", "https://api.anthropic.com/v1/messages"),
            (Wire::Anthropic, "https://x.test/anthropic", "https://x.test/anthropic/v1/messages"),
            (Wire::OpenAiChat, "https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"),
            (Wire::OpenAiChat, "https://api.openai.com", "https://api.openai.com/v1/chat/completions"),
            (
                Wire::OpenAiChat,
                "https://api.openai.com/v1/chat/completions",
                "https://api.openai.com/v1/chat/completions",
            ),
            (Wire::OpenAiChat, "http://127.0.0.1:11434", "http://127.0.0.1:11434/v1/chat/completions"),
            (Wire::OpenAiChat, "http://127.0.0.1:11434/v1//", "http://127.0.0.1:11434/v1/chat/completions"),
            (Wire::OpenAiChat, "https://openrouter.ai/api", "https://openrouter.ai/api/v1/chat/completions"),
            (Wire::OpenAiChat, "https://x.test/v1beta/openai/", "https://x.test/v1beta/openai/chat/completions"),
            (Wire::OpenAiChat, "https://x.test/api/paas/v4", "https://x.test/api/paas/v4/chat/completions"),
            (Wire::OpenAiResponses, "https://api.openai.com/v1/", "https://api.openai.com/v1/responses"),
            (Wire::OpenAiResponses, "https://x.test/openai/v1/responses", "https://x.test/openai/v1/responses"),
        ] {
            let endpoint = Endpoint::new(wire, base).unwrap();
            assert_eq!(endpoint.respond.as_str(), expected, "{base}");
            assert!(endpoint.models.as_str().ends_with("/models"), "{}", endpoint.models);
        }
    }

    #[test]
    fn what_is_no_base_url_is_refused() {
        for base in ["", "api.openai.com", "ftp://x.test", "file:///etc", "http://", "https://"] {
            assert!(matches!(Endpoint::new(Wire::OpenAiChat, base), Err(EndpointError::Parse(_))), "{base}");
        }
        for base in ["https://x.test/v1?key=secret", "https://user:secret@x.test", "https://x.test/#secret"] {
            let error = Endpoint::new(Wire::OpenAiChat, base).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn loopback_is_known_by_name_and_address() {
        for (base, expected) in [
            ("http://localhost:1", true),
            ("http://127.0.0.9", true),
            ("http://[::1]:8080", true),
            ("http://10.0.0.1", false),
            ("https://localhost.example.com", false),
            ("http://models.localhost:1", false),
            ("http://localhost.:1", false),
        ] {
            assert_eq!(Endpoint::new(Wire::OpenAiChat, base).unwrap().is_loopback(), expected, "{base}");
        }
    }
}
