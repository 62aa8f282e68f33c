//! A request's URL, taken apart: only what every reader of it understands alike goes on.
//!
//! Promise: what is checked is what is sent, since the request is built from the checked parts; a URL that
//! servers may read in another way than we do (backslashes, hidden dot segments, user names) is refused.
//!
//! Not here: whether it is granted (`covering`), its headers (`headers`).

use crate::error::EgressError;
use harness_core::grant::{Capability, HostPattern, HttpScope, Methods, RequestTarget, UrlScheme};
use percent_encoding::percent_decode;
use std::net::IpAddr;
use url::{Host, Url};

/// A method, in bytes: as long as a grant can name.
const METHOD_BYTES_MAX: usize = 16;
/// A host's name, in bytes (RFC 1035, 2.3.4).
const HOST_BYTES_MAX: usize = 253;
/// A label of a name, in bytes (RFC 1035, 2.3.4).
const LABEL_BYTES_MAX: usize = 63;
/// How often a path is decoded to look for dot segments.
const DECODINGS_MAX: usize = 8;
/// What a named capability's path may have, in bytes, so that its text is not too long.
const NEEDED_PATH_BYTES_MAX: usize = 256;

/// Where a request goes, in normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    url: Url,
    scheme: UrlScheme,
    /// A lower-case name, or an address without brackets.
    host: String,
    address: Option<IpAddr>,
    port: u16,
}

impl Target {
    /// Takes a URL as a guest or a server wrote it.
    pub(crate) fn parse(text: &str, bytes_max: usize) -> Result<Self, EgressError> {
        check_text(text, bytes_max)?;
        let url = Url::parse(text).map_err(|error| EgressError::malformed(format!("its URL is wrong: {error}")))?;
        Self::from_url(url, bytes_max)
    }

    /// Takes what a server's `location` says, seen from here.
    pub(crate) fn join(&self, location: &str, bytes_max: usize) -> Result<Self, EgressError> {
        check_text(location, bytes_max)?;
        let joined = self.url.join(location);
        let url = joined.map_err(|error| EgressError::malformed(format!("its URL is wrong: {error}")))?;
        Self::from_url(url, bytes_max)
    }

    fn from_url(mut url: Url, bytes_max: usize) -> Result<Self, EgressError> {
        let malformed = |what: &str| Err(EgressError::malformed(what));
        let scheme = match url.scheme() {
            "http" => UrlScheme::Http,
            "https" => UrlScheme::Https,
            _ => return malformed("its URL begins neither with http:// nor with https://"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return malformed("its URL has a user name or password; a secret goes into a header");
        }
        url.set_fragment(None);
        if url.as_str().len() > bytes_max {
            return Err(too_long(bytes_max));
        }
        let (host, address) = match url.host() {
            Some(Host::Domain(name)) => (host_name(name)?, None),
            // Also 0x7f.1, 2130706433 and others: the parser gives the address that they mean.
            Some(Host::Ipv4(v4)) => (v4.to_string(), Some(IpAddr::V4(v4))),
            Some(Host::Ipv6(v6)) => {
                let address = IpAddr::V6(v6).to_canonical();
                (address.to_string(), Some(address))
            }
            None => return malformed("its URL has no host"),
        };
        if let Some(address @ IpAddr::V4(_)) = address {
            // A mapped address is sent as the one it maps.
            url.set_ip_host(address).map_err(|()| EgressError::malformed("its URL cannot have this host"))?;
        }
        let port = match url.port() {
            Some(0) => return malformed("its URL has the port 0"),
            Some(port) => port,
            None => scheme.default_port(),
        };
        check_path(url.path())?;
        Ok(Self { url, scheme, host, address, port })
    }

    pub(crate) fn scheme(&self) -> UrlScheme {
        self.scheme
    }

    /// A lower-case name, or an address without brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The address, where the host is one. Never a mapped one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn query(&self) -> Option<&str> {
        self.url.query()
    }

    /// The whole URL.
    pub(crate) fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Everything before the query.
    pub(crate) fn before_query(&self) -> &str {
        self.url.as_str().split('?').next().unwrap_or_default()
    }

    /// Host and, where it is not the scheme's own, port: as in the header `host`.
    pub(crate) fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// What a request's first line says: the path and this query.
    pub(crate) fn path_with(&self, query: Option<&str>) -> String {
        let path = self.url.path();
        query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
    }

    /// What grants look at.
    pub(crate) fn facts<'a>(&'a self, method: &'a str) -> RequestTarget<'a> {
        RequestTarget { method, scheme: self.scheme, host: &self.host, port: self.port, path: self.url.path() }
    }

    pub(crate) fn is_same_origin(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.host == other.host && self.port == other.port
    }

    /// The host, as a grant names it.
    pub(crate) fn host_pattern(&self) -> HostPattern {
        self.address.map_or_else(|| HostPattern::Name(self.host.clone()), HostPattern::Address)
    }

    /// The smallest capability that a person would give for this: the path up to its last slash.
    pub(crate) fn needed(&self, method: &str) -> Capability {
        Capability::Http(HttpScope {
            methods: Methods::Only(vec![method.to_owned()]),
            scheme: self.scheme,
            host: self.host_pattern(),
            port: Some(self.port),
            path_prefix: prefix_of(self.url.path()),
            via: Vec::new(),
        })
    }
}

/// What no writer of a URL means well. A parser would drop or turn it silently (WHATWG URL, 4.4).
fn check_text(text: &str, bytes_max: usize) -> Result<(), EgressError> {
    if text.len() > bytes_max {
        return Err(too_long(bytes_max));
    }
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    match text.chars().find(|c| is_odd(*c)) {
        Some(odd) => Err(EgressError::malformed(format!("its URL has the character `{}`", odd.escape_default()))),
        None => Ok(()),
    }
}

fn too_long(bytes_max: usize) -> EgressError {
    EgressError::malformed(format!("its URL has more than {bytes_max} bytes"))
}

fn host_name(name: &str) -> Result<String, EgressError> {
    let is_label = |label: &str| {
        let is_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        !label.is_empty() && label.len() <= LABEL_BYTES_MAX && label.chars().all(is_char) && !label.starts_with('-')
    };
    if name.len() > HOST_BYTES_MAX || !name.split('.').all(is_label) {
        return Err(EgressError::malformed(
            "its host is not a name: letters, digits and `-` between dots, no dot at its end",
        ));
    }
    Ok(name.to_owned())
}

/// Refuses paths that some servers read as another: `..%2f`, `%252e%252e/`, `..;x/` and the like.
fn check_path(path: &str) -> Result<(), EgressError> {
    let mut decoded = path.as_bytes().to_vec();
    for _ in 0..DECODINGS_MAX {
        let mut segments = decoded.split(|byte| matches!(byte, b'/' | b'\\'));
        // What follows a semicolon is dropped by some.
        let bare = |segment: &[u8]| segment.split(|byte| *byte == b';').next().unwrap_or_default().to_vec();
        if segments.any(|segment| matches!(bare(segment).as_slice(), b"." | b"..")) {
            return Err(EgressError::malformed("its path hides `.` or `..` behind an encoding"));
        }
        if decoded.iter().any(|byte| byte.is_ascii_control()) {
            return Err(EgressError::malformed("its path hides a control character behind an encoding"));
        }
        let next: Vec<u8> = percent_decode(&decoded).collect();
        if next == decoded {
            return Ok(());
        }
        decoded = next;
    }
    Err(EgressError::malformed("its path is encoded too many times"))
}

/// A path up to its last slash, as far as a grant can name it.
fn prefix_of(path: &str) -> String {
    let is_char = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    let folders = path.rsplit_once('/').map_or("", |(before, _)| before);
    let mut prefix = String::new();
    for segment in folders.split('/').skip(1) {
        let is_nameable = !segment.is_empty() && segment.chars().all(is_char);
        if !is_nameable || prefix.len() + segment.len() >= NEEDED_PATH_BYTES_MAX {
            break;
        }
        prefix.push('/');
        prefix.push_str(segment);
    }
    if prefix.is_empty() { "/".to_owned() } else { prefix }
}

/// Whether a method can be granted and is not one that turns a connection into something else.
pub(crate) fn check_method(method: &str) -> Result<(), EgressError> {
    let is_method =
        method.len() <= METHOD_BYTES_MAX && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    if !is_method || method.is_empty() || matches!(method, "CONNECT" | "TRACE" | "TRACK") {
        let shown: String = method.chars().take(METHOD_BYTES_MAX).collect();
        return Err(EgressError::malformed(format!("the method `{}` is not possible", shown.escape_debug())));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
