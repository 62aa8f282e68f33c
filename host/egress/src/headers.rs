//! Headers: which a guest may set, which leave, which come back.
//!
//! Promise: framing, routing and authority are the host's alone; what a guest sets cannot change which
//! request was judged.
//!
//! Not here: secrets in headers' values (`secret`).

use crate::error::EgressError;
use crate::limits::EgressLimits;
use crate::scan::Patterns;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, TRANSFER_ENCODING,
    USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// What servers are told of who asks, where the guest does not say.
const OWN_USER_AGENT: &str = concat!("harness-host/", env!("CARGO_PKG_VERSION"));

/// Framing and connection (RFC 9110, 7.6.1), and what makes some servers take the request for another.
const HOSTS_OWN: &[&str] = &[
    "connection",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-host",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
];

/// Headers in which servers look for keys, beside those that [`is_authority`] knows by their names' ends.
const OF_AUTHORITY: &[&str] = &[
    "api-key",
    "apikey",
    "authentication",
    "authorization",
    "cookie",
    "cookie2",
    "ocp-apim-subscription-key",
    "x-access-key",
    "x-api-key",
    "x-apikey",
    "x-auth",
    "x-auth-key",
    "x-auth-token",
    "x-client-cert",
    "x-functions-key",
    "x-jwt-assertion",
    "x-key",
    "x-rapidapi-key",
    "x-registry-auth",
    "x-session",
    "x-session-id",
    "x-token",
];
/// The ends of the names of headers of authority.
const AUTHORITY_ENDS: &[&str] = &["-api-key", "-authorization", "-password", "-secret", "-token"];

/// Of the guest's headers, only these are sent to another origin than the one it asked.
const ACROSS_ORIGINS: &[HeaderName] = &[ACCEPT, ACCEPT_LANGUAGE, USER_AGENT];

/// Headers of one connection (RFC 9110, 7.6.1): they mean nothing to the guest.
const OF_CONNECTION: &[&str] =
    &["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/// A name as gateways that write `_` for `-` see it.
fn plain(name: &HeaderName) -> String {
    name.as_str().replace('_', "-")
}

/// Whether servers look for a key in a header.
pub(crate) fn is_authority(name: &HeaderName) -> bool {
    let name = plain(name);
    OF_AUTHORITY.contains(&name.as_str()) || AUTHORITY_ENDS.iter().any(|end| name.ends_with(end))
}

/// Refuses what guests may not set.
pub(crate) fn check_guest(headers: &HeaderMap, limits: &EgressLimits) -> Result<(), EgressError> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > limits.headers || bytes > limits.header_bytes {
        let (most, most_bytes) = (limits.headers, limits.header_bytes);
        let what = format!("{} headers of {bytes} bytes; at most {most} of {most_bytes} bytes", headers.len());
        return Err(EgressError::malformed(what));
    }
    for name in headers.keys() {
        let plain = plain(name);
        if HOSTS_OWN.contains(&plain.as_str()) || plain.starts_with("proxy-") {
            return Err(EgressError::header(name.as_str(), "the host alone sets it; leave it out"));
        }
        if plain == CONTENT_LENGTH.as_str() && *name != CONTENT_LENGTH {
            return Err(EgressError::header(name.as_str(), "some take it for content-length; leave it out"));
        }
    }
    Ok(())
}

/// Refuses a length that is not the body's.
pub(crate) fn check_length(headers: &HeaderMap, body_bytes: usize) -> Result<(), EgressError> {
    let lengths: Vec<&[u8]> = headers.get_all(CONTENT_LENGTH).iter().map(HeaderValue::as_bytes).collect();
    match lengths.as_slice() {
        [] => Ok(()),
        [length] if *length == body_bytes.to_string().as_bytes() => Ok(()),
        _ => Err(EgressError::header("content-length", format!("the body has {body_bytes} bytes; leave it out"))),
    }
}

/// Drops what does not go to another origin.
pub(crate) fn keep_across_origins(headers: &mut HeaderMap) {
    let all = std::mem::take(headers);
    for name in ACROSS_ORIGINS {
        for value in all.get_all(name) {
            headers.append(name.clone(), value.clone());
        }
    }
}

/// The headers that leave: the guest's, already filled, and the host's own.
pub(crate) fn outgoing(mut headers: HeaderMap, authority: &str) -> Result<HeaderMap, EgressError> {
    let unfit = |_| EgressError::malformed("its host fits into no header");
    headers.insert(HOST, HeaderValue::from_str(authority).map_err(unfit)?);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.remove(CONTENT_LENGTH);
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(OWN_USER_AGENT));
    Ok(headers)
}

/// The headers that a guest gets: those of the connection dropped, secrets replaced.
pub(crate) fn incoming(headers: &HeaderMap, patterns: Option<&Patterns>) -> Result<HeaderMap, EgressError> {
    let mut clean = HeaderMap::with_capacity(headers.len());
    if let Some(coding) = headers.get(CONTENT_ENCODING).filter(|it| !it.as_bytes().eq_ignore_ascii_case(b"identity"))
        && patterns.is_some()
    {
        let coding = String::from_utf8_lossy(coding.as_bytes()).escape_debug().to_string();
        let what = format!("its content-encoding is {coding}, which cannot be searched for the call's secrets");
        return Err(EgressError::Protocol(what));
    }
    // A length beside chunks is not the body's (RFC 9112, 6.3).
    let is_chunked = headers.contains_key(TRANSFER_ENCODING);
    for (name, value) in headers {
        if is_chunked && *name == CONTENT_LENGTH {
            continue;
        }
        let Some(patterns) = patterns else {
            if !OF_CONNECTION.contains(&name.as_str()) {
                clean.append(name.clone(), value.clone());
            }
            continue;
        };
        let is_kept = !OF_CONNECTION.contains(&name.as_str()) && *name != CONTENT_LENGTH;
        if !is_kept || patterns.find(name.as_str().as_bytes()).is_some() {
            continue;
        }
        match patterns.replace(value.as_bytes()) {
            None => drop(clean.append(name.clone(), value.clone())),
            // What is put in is visible ASCII.
            Some(text) => drop(HeaderValue::from_bytes(&text).map(|value| clean.append(name.clone(), value))),
        }
    }
    Ok(clean)
}

#[cfg(test)]
mod tests;
