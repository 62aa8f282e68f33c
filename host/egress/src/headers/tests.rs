//! One table of headers that guests may not set, and one of those that are for keys.
#![allow(clippy::unwrap_used)]

use super::{check_guest, check_length, is_authority};
use crate::limits::EgressLimits;
use http::{HeaderMap, HeaderName, HeaderValue};

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let parse =
        |(name, value): &(&str, &str)| (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
    lines.iter().map(parse).collect()
}

#[test]
fn the_hosts_own_headers_are_refused() {
    let limits = EgressLimits::default();
    for name in [
        "Host",
        "connection",
        "Keep-Alive",
        "Proxy-Authorization",
        "proxy-connection",
        "proxy-x",
        "transfer-encoding",
        "Transfer_Encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "http2-settings",
        "x-http-method-override",
        "X-HTTP-Method",
        "x-original-url",
        "x-rewrite-url",
        "x-forwarded-host",
        "forwarded",
        "content_length",
        "x_host",
    ] {
        assert!(check_guest(&map(&[(name, "x")]), &limits).is_err(), "{name}");
    }
    for name in
        ["accept", "content-type", "content-length", "range", "if-none-match", "x-requested-with", "authorization"]
    {
        assert!(check_guest(&map(&[(name, "x")]), &limits).is_ok(), "{name}");
    }
}

#[test]
fn headers_for_keys_are_known() {
    for name in [
        "authorization",
        "cookie",
        "x-api-key",
        "api_key",
        "X-Auth-Token",
        "private-token",
        "x-amz-security-token",
        "x-goog-api-key",
        "x-client-secret",
        "x-password",
        "x-my-authorization",
        "x-user-password",
        "apikey",
    ] {
        assert!(is_authority(&HeaderName::try_from(name).unwrap()), "{name}");
    }
    for name in ["accept", "content-type", "x-request-id", "user-agent", "token", "x-keyboard", "idempotency-key"] {
        assert!(!is_authority(&HeaderName::try_from(name).unwrap()), "{name}");
    }
}

#[test]
fn a_length_is_the_bodys() {
    for (lengths, body_bytes, is_sound) in [
        (&[][..], 3, true),
        (&["3"], 3, true),
        (&["0"], 0, true),
        (&["4"], 3, false),
        (&["03"], 3, false),
        (&["+3"], 3, false),
        (&["3, 3"], 3, false),
        (&["3", "3"], 3, false),
        (&["3", "0"], 3, false),
        (&[""], 0, false),
    ] {
        let headers = map(&lengths.iter().map(|length| ("content-length", *length)).collect::<Vec<_>>());
        assert_eq!(check_length(&headers, body_bytes).is_ok(), is_sound, "{lengths:?} {body_bytes}");
    }
}

#[test]
fn headers_have_a_size() {
    let limits = EgressLimits { header_bytes: 20, headers: 2, ..EgressLimits::default() };
    assert!(check_guest(&map(&[("a", "b"), ("c", &"d".repeat(17))]), &limits).is_ok());
    assert!(check_guest(&map(&[("a", "b"), ("c", &"d".repeat(18))]), &limits).is_err());
    assert!(check_guest(&map(&[("a", "b"), ("c", "d"), ("e", "f")]), &limits).is_err());
}
