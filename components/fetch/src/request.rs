//! A request, made from arguments that are checked here.
//!
//! Promise: what passes is an absolute `http` or `https` URL without credentials, and headers that cannot end a
//! line or say how the message is framed; everything else is a failure that says what to change.
//!
//! Not here: whether the request is granted (the host), sending it (`wire`).

use std::collections::BTreeMap;

use serde::Deserialize;
use tool_kit::Failure;
use url::Url;

pub(crate) const URL_BYTES_MAX: usize = 8 << 10;
pub(crate) const HEADERS_MAX: usize = 64;
pub(crate) const HEADER_VALUE_BYTES_MAX: usize = 8 << 10;
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;

/// What a server should send, best first, unless the arguments say so.
const ACCEPT: &str = "text/markdown, text/html;q=0.9, application/json;q=0.8, text/*;q=0.8, */*;q=0.5";
const USER_AGENT: &str = concat!("harness-host-fetch/", env!("CARGO_PKG_VERSION"));

/// Headers that say where a message goes and where it ends (RFC 9110, 7.2 and 7.6.1; RFC 9112, 6): the host's.
const OF_THE_HOST: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The methods that the tool offers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    #[default]
    Get,
    Post,
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// A request as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<String>,
}

impl Request {
    pub(crate) fn new(
        method: Method,
        url: &str,
        headers: BTreeMap<String, String>,
        body: Option<String>,
    ) -> Result<Self, Failure> {
        let url = checked_url(url)?;
        if body.is_some() && method != Method::Post {
            return Err(Failure::invalid("body-without-post", "a body is sent with POST only: set method to POST"));
        }
        if body.as_ref().is_some_and(|body| body.len() > BODY_BYTES_MAX) {
            return Err(Failure::too_large("body", format!("the body is larger than {BODY_BYTES_MAX} bytes")));
        }
        Ok(Self { method, url, headers: checked_headers(headers, body.is_some())?, body })
    }

    /// `GET https://example.com/a`.
    pub(crate) fn shown(&self) -> String {
        format!("{} {}", self.method.name(), self.url)
    }
}

fn checked_url(text: &str) -> Result<Url, Failure> {
    if text.len() > URL_BYTES_MAX {
        return Err(Failure::too_large("url", format!("the url is longer than {URL_BYTES_MAX} bytes")));
    }
    // The URL standard drops line breaks and tabs inside a URL; nobody means them.
    if text.chars().any(char::is_control) {
        return Err(Failure::invalid("bad-url", "the url holds a control character"));
    }
    let mut url = Url::parse(text).map_err(|error| {
        let message = format!("{text} is not an absolute URL ({error}); give one such as https://example.com/page");
        Failure::invalid("bad-url", message)
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Failure::invalid("bad-url", format!("{}: is not fetched, only http and https are", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let message = "the url holds a user name or password; leave them out, the host adds credentials itself";
        return Err(Failure::invalid("credentials", message));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(Failure::invalid("bad-url", format!("{text} names no host")));
    }
    // Never sent to a server (RFC 9110, 7.1).
    url.set_fragment(None);
    Ok(url)
}

fn checked_headers(given: BTreeMap<String, String>, has_body: bool) -> Result<Vec<(String, String)>, Failure> {
    if given.len() > HEADERS_MAX {
        return Err(Failure::too_large("headers", format!("more than {HEADERS_MAX} headers")));
    }
    let mut headers: Vec<(String, String)> = Vec::with_capacity(given.len() + 3);
    for (name, value) in given {
        let shown = tool_kit::text::printable(&name);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(Failure::invalid("bad-header", format!("{shown:?} is not a name of a header")));
        }
        let name = name.to_ascii_lowercase();
        if OF_THE_HOST.contains(&name.as_str()) {
            return Err(Failure::invalid("bad-header", format!("the host sets {name} itself: leave it out")));
        }
        if value.len() > HEADER_VALUE_BYTES_MAX {
            let message = format!("the header {name} is longer than {HEADER_VALUE_BYTES_MAX} bytes");
            return Err(Failure::too_large("header", message));
        }
        if !value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
            let message = format!("the header {name} may hold printable ASCII only, and no line break");
            return Err(Failure::invalid("bad-header", message));
        }
        if headers.iter().any(|(known, _)| *known == name) {
            return Err(Failure::invalid("bad-header", format!("the header {name} is given twice")));
        }
        headers.push((name, value.trim().to_owned()));
    }
    let mut default = |name: &str, value: &str| {
        if !headers.iter().any(|(known, _)| known == name) {
            headers.push((name.to_owned(), value.to_owned()));
        }
    };
    default("accept", ACCEPT);
    default("user-agent", USER_AGENT);
    if has_body {
        default("content-type", "application/json");
    }
    Ok(headers)
}

/// Whether a byte may be part of a header's name (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
