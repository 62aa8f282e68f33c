//! URLs: one table of those that are taken apart, one of those refused, a corpus, and URLs at random.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::{Target, check_method, prefix_of};
use crate::covering::covering;
use crate::error::EgressError;
use harness_core::grant::{Capability, HttpScope};
use proptest::prelude::*;
use std::net::IpAddr;

const BYTES_MAX: usize = 8 << 10;

fn parse(text: &str) -> Result<Target, EgressError> {
    Target::parse(text, BYTES_MAX)
}

fn scope(text: &str) -> HttpScope {
    match format!("http {text}").parse() {
        Ok(Capability::Http(scope)) => scope,
        other => unreachable!("{text}: {other:?}"),
    }
}

#[test]
fn urls_are_brought_to_one_form() {
    for (text, host, authority, path) in [
        ("http://example.com", "example.com", "example.com", "/"),
        ("HTTP://EXAMPLE.com:80/a?b#c", "example.com", "example.com", "/a?b"),
        ("https://example.com:443/", "example.com", "example.com", "/"),
        ("https://example.com:80/", "example.com", "example.com:80", "/"),
        ("https://example.com:8443/a/./b/../c", "example.com", "example.com:8443", "/a/c"),
        ("https://example.com/a/%2e%2E/b", "example.com", "example.com", "/b"),
        ("https://example.com/../../etc", "example.com", "example.com", "/etc"),
        ("https://ex%61mple.com/", "example.com", "example.com", "/"),
        ("https://bücher.example/", "xn--bcher-kva.example", "xn--bcher-kva.example", "/"),
        ("https://ex\u{ff41}mple.com/", "example.com", "example.com", "/"),
        ("https://example.com/ü?ü", "example.com", "example.com", "/%C3%BC?%C3%BC"),
        ("https://example.com/a%2fb", "example.com", "example.com", "/a%2fb"),
        ("https://example.com//a", "example.com", "example.com", "//a"),
        ("http://127.0.0.1/", "127.0.0.1", "127.0.0.1", "/"),
        ("http://0x7f.1/", "127.0.0.1", "127.0.0.1", "/"),
        ("http://0x7f000001/", "127.0.0.1", "127.0.0.1", "/"),
        ("http://127.1/", "127.0.0.1", "127.0.0.1", "/"),
        ("http://2130706433/", "127.0.0.1", "127.0.0.1", "/"),
        ("http://0177.0.0.1/", "127.0.0.1", "127.0.0.1", "/"),
        ("http://017700000001/", "127.0.0.1", "127.0.0.1", "/"),
        ("http://127.0.0.1./", "127.0.0.1", "127.0.0.1", "/"),
        ("http://%31%32%37.0.0.1/", "127.0.0.1", "127.0.0.1", "/"),
        ("http://１２７.0.0.1/", "127.0.0.1", "127.0.0.1", "/"),
        ("http://127。0。0。1/", "127.0.0.1", "127.0.0.1", "/"),
        ("http://0/", "0.0.0.0", "0.0.0.0", "/"),
        ("http://[::1]:81/", "::1", "[::1]:81", "/"),
        ("http://[::ffff:127.0.0.1]/", "127.0.0.1", "127.0.0.1", "/"),
        ("http://[::ffff:7f00:1]:8080/", "127.0.0.1", "127.0.0.1:8080", "/"),
        ("http://[0:0:0:0:0:0:0:1]/", "::1", "[::1]", "/"),
        ("http://a_b.example/", "a_b.example", "a_b.example", "/"),
    ] {
        let target = parse(text).unwrap_or_else(|error| unreachable!("{text}: {error}"));
        assert_eq!((target.host(), target.authority().as_str()), (host, authority), "{text}");
        assert_eq!(target.path_with(target.query()), path, "{text}");
        assert_eq!(target.address(), host.parse::<IpAddr>().ok(), "{text}");
    }
}

#[test]
fn urls_that_may_be_read_in_two_ways_are_refused() {
    for (text, words) in [
        ("", "its URL is wrong"),
        ("example.com/", "its URL is wrong"),
        ("/a", "its URL is wrong"),
        ("ftp://example.com/", "neither with http://"),
        ("file:///etc/passwd", "neither with http://"),
        ("data:text/plain,x", "neither with http://"),
        ("http://", "its URL is wrong"),
        ("https://user@example.com/", "user name"),
        ("https://user:word@example.com/", "user name"),
        ("https://:word@example.com/", "user name"),
        ("https://good.example\\@evil.example/", "character `\\\\`"),
        ("https://good.example/\\..\\x", "character `\\\\`"),
        ("https://exam\tple.com/", "character `\\t`"),
        ("https://example.com/a\nb", "character `\\n`"),
        ("https://example.com/a\r\nhost: evil", "character `\\r`"),
        (" https://example.com/", "character ` `"),
        ("https://example.com/a b", "character ` `"),
        ("https://example.com/\0", "character `\\u{0}`"),
        ("https://example.com/\u{a0}", "character `\\u{a0}`"),
        ("https://example.com./", "its host is not a name"),
        ("https://.example.com/", "its host is not a name"),
        ("https://a..b/", "its host is not a name"),
        ("https://-a.example/", "its host is not a name"),
        ("https://a!b.example/", "its host is not a name"),
        ("https://a*.example/", "its host is not a name"),
        ("https://a%00.example/", "its URL is wrong"),
        ("https://a%2fb/", "its URL is wrong"),
        ("https://a%40b/", "its URL is wrong"),
        ("http://256.0.0.1/", "its URL is wrong"),
        ("http://1.2.3.4.5/", "its URL is wrong"),
        ("http://[::1/", "its URL is wrong"),
        ("http://[fe80::1%25eth0]/", "its URL is wrong"),
        ("http://example.com:0/", "the port 0"),
        ("http://example.com:65536/", "its URL is wrong"),
        ("http://example.com:80a/", "its URL is wrong"),
        ("https://example.com/v1/..%2fadmin", "hides `.`"),
        ("https://example.com/v1/..%5cadmin", "hides `.`"),
        ("https://example.com/v1%2f..%2fadmin", "hides `.`"),
        ("https://example.com/v1/%252e%252e/admin", "hides `.`"),
        ("https://example.com/v1/%25252e%25252e%25252fadmin", "hides `.`"),
        ("https://example.com/v1/..;/admin", "hides `.`"),
        ("https://example.com/v1/..;a=b/admin", "hides `.`"),
        ("https://example.com/v1/%2e%2e;/admin", "hides `.`"),
        ("https://example.com/a%00", "control character"),
        ("https://example.com/a%0d%0ahost:x", "control character"),
        ("https://example.com/a%250a", "control character"),
        ("https://example.com/%2525252525252525252525252541", "too many times"),
    ] {
        let error = parse(text).map(|target| target.as_str().to_owned()).unwrap_err();
        assert!(matches!(error, EgressError::Malformed(_)) && error.to_string().contains(words), "{text}: {error}");
    }
    assert!(parse(&format!("https://example.com/{}", "a".repeat(BYTES_MAX))).is_err());
    assert!(parse(&format!("https://{}.example/", "a".repeat(64))).is_err());
    assert!(Target::parse("https://example.com/ü", 24).is_err(), "the normal form is longer");
}

#[test]
fn locations_are_read_from_where_they_came() {
    let from = parse("https://example.com/a/b?c").unwrap();
    for (location, url) in [
        ("d", Some("https://example.com/a/d")),
        ("/d", Some("https://example.com/d")),
        ("?d", Some("https://example.com/a/b?d")),
        ("", Some("https://example.com/a/b?c")),
        ("//evil.example/d", Some("https://evil.example/d")),
        ("http://example.com/", Some("http://example.com/")),
        ("https:d", Some("https://example.com/a/d")),
        ("///evil.example/d", None),
        ("https://user@example.com/", None),
        ("/\\evil.example", None),
        ("\\\\evil.example", None),
        ("javascript:x", None),
        ("/a\tb", None),
        ("/..%2f", None),
    ] {
        let target = from.join(location, BYTES_MAX);
        assert_eq!(target.as_ref().ok().map(Target::as_str), url, "{location}: {target:?}");
    }
}

#[test]
fn grants_cover_requests_or_the_missing_one_is_named() {
    let all = [
        "GET,POST https://api.example.com:8443/v1",
        "GET https://*.example.org",
        "GET http://127.0.0.1:8080",
        "* http://*",
    ];
    let granted: Vec<HttpScope> = all.iter().map(|text| scope(text)).collect();
    for (method, url, missing) in [
        ("GET", "https://api.example.com:8443/v1", None),
        ("POST", "https://api.example.com:8443/v1/a/b?c", None),
        ("GET", "https://API.example.com:8443/v1/../v1/", None),
        ("PUT", "https://api.example.com:8443/v1/a/b", Some("http PUT https://api.example.com:8443/v1/a")),
        ("GET", "https://api.example.com:8443/v2", Some("http GET https://api.example.com:8443")),
        ("GET", "https://api.example.com:8443/v1x/y", Some("http GET https://api.example.com:8443/v1x")),
        ("GET", "https://api.example.com:8443/v1/../v2/y", Some("http GET https://api.example.com:8443/v2")),
        ("GET", "https://api.example.com:8443/%76%31/y", Some("http GET https://api.example.com:8443")),
        ("GET", "https://api.example.com:8443/v1%2fy", Some("http GET https://api.example.com:8443")),
        ("GET", "https://api.example.com/v1/a", Some("http GET https://api.example.com/v1")),
        ("GET", "https://evil-api.example.com:8443/v1", Some("http GET https://evil-api.example.com:8443")),
        ("GET", "https://a.b.example.org/", None),
        ("GET", "https://example.org/", Some("http GET https://example.org")),
        ("GET", "https://evilexample.org/", Some("http GET https://evilexample.org")),
        ("GET", "https://a.example.org.evil.example/x/y", Some("http GET https://a.example.org.evil.example/x")),
        ("GET", "http://127.1:8080/x", None),
        ("GET", "http://[::ffff:127.0.0.1]:8080/x", None),
        ("GET", "http://127.0.0.2:8080/x", Some("http GET http://127.0.0.2:8080")),
        ("DELETE", "http://any.example/x", None),
        ("GET", "http://10.0.0.1/x", Some("http GET http://10.0.0.1")),
        ("GET", "http://[::1]/x/y", Some("http GET http://[::1]/x")),
        ("GET", "https://x.example/a/b%20c/d", Some("http GET https://x.example/a")),
        ("GET", "https://x.example/a//d/e", Some("http GET https://x.example/a")),
    ] {
        let target = parse(url).unwrap();
        let named = covering(&granted, &target, method).err().map(|error| error.missing().cloned().unwrap());
        assert_eq!(named.as_ref().map(ToString::to_string).as_deref(), missing, "{method} {url}");
        if let Some(named) = named {
            let Ok(Capability::Http(given)) = named.to_string().parse() else { unreachable!("{named}") };
            assert!(covering(&[given], &target, method).is_ok(), "{named} is enough for {url}");
        }
    }
}

#[test]
fn addresses_are_reached_only_where_a_grant_names_them() {
    for (grant, url, resolved, reached) in [
        ("GET http://a.example", "http://a.example/", "93.184.216.34", "93.184.216.34"),
        ("GET http://a.example", "http://a.example/", "127.0.0.1", ""),
        ("GET http://a.example", "http://a.example/", "10.0.0.1 93.184.216.34 ::1 2600::1", "93.184.216.34 2600::1"),
        ("GET http://a.example", "http://a.example/", "::ffff:127.0.0.1 ::ffff:8.8.8.8", "8.8.8.8"),
        ("GET http://a.example via 10.0.0.0/8", "http://a.example/", "10.1.2.3 127.0.0.1", "10.1.2.3"),
        ("GET http://a.example via 10.0.0.0/8", "http://a.example/", "::ffff:10.1.2.3", "10.1.2.3"),
        ("GET http://a.example via ::1", "http://a.example/", "::1 ::2", "::1"),
        ("GET http://*", "http://localhost/", "127.0.0.1", ""),
        ("GET http://127.0.0.1", "http://127.0.0.1/", "127.0.0.1", "127.0.0.1"),
        ("GET http://[::1]", "http://[::1]/", "::1", "::1"),
        ("GET http://169.254.169.254", "http://169.254.169.254/", "169.254.169.254", "169.254.169.254"),
    ] {
        let list = |text: &str| text.split(' ').filter(|it| !it.is_empty()).map(|it| it.parse().unwrap()).collect();
        let (resolved, reached): (Vec<IpAddr>, Vec<IpAddr>) = (list(resolved), list(reached));
        let (target, granted) = (parse(url).unwrap(), [scope(grant)]);
        let covering = covering(&granted, &target, "GET").ok().unwrap();
        match covering.reachable(&resolved) {
            Ok(found) => assert_eq!(found, reached, "{grant}"),
            Err(error) => {
                assert!(reached.is_empty(), "{grant}: {error}");
                let named = error.missing().unwrap().to_string();
                let via = format!("{} via {}/", target.needed("GET"), resolved[0].to_canonical());
                assert!(named.starts_with(&via) && error.to_string().contains(&named), "{named} {error}");
                let Ok(Capability::Http(given)) = named.parse() else { unreachable!("{named}") };
                assert!(crate::covering::covering(&[given], &target, "GET").ok().unwrap().reachable(&resolved).is_ok());
            }
        }
    }
}

#[test]
fn methods_are_those_a_grant_can_name() {
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH"] {
        assert!(check_method(method).is_ok(), "{method}");
    }
    for method in ["", "get", "Get", "CONNECT", "TRACE", "TRACK", "GET ", "GET\r\n", "G_T", "A1", "ABCDEFGHIJKLMNOPQ"] {
        assert!(check_method(method).is_err(), "{method}");
    }
}

/// What is true of every URL that is taken.
fn check_taken(text: &str) {
    let Ok(target) = parse(text) else { return };
    let again = parse(target.as_str()).unwrap_or_else(|error| unreachable!("{text}: {error}"));
    assert_eq!(again, target, "{text}: the normal form is its own");
    let line = target.path_with(target.query());
    assert!(line.starts_with('/') && line.bytes().all(|byte| byte.is_ascii_graphic()), "{text}: {line}");
    assert!(target.host().bytes().all(|byte| byte.is_ascii_graphic() && !b"@/\\?#%".contains(&byte)), "{text}");
    let needed = target.needed("GET");
    let given: Capability = needed.to_string().parse().unwrap_or_else(|error| unreachable!("{text}: {error}"));
    assert_eq!(given, needed, "{text}");
    let Capability::Http(given) = given else { unreachable!() };
    assert!(given.covers(&target.facts("GET")), "{text}: {needed}");
    assert!(!given.covers(&target.facts("POST")), "{text}: {needed}");
    assert!(prefix_of(line.as_str()).starts_with('/'));
}

#[test]
fn the_corpus_of_urls_keeps_the_rules() {
    let corpus = include_str!("../../tests/corpus/urls.txt");
    let mut lines = 0;
    for line in corpus.lines().filter(|line| !line.starts_with("# ")) {
        // A line may hold escapes such as \t and \u{a0}.
        let text = serde_json::from_str::<String>(&format!("\"{line}\"")).unwrap_or_else(|_| line.to_owned());
        check_taken(&text);
        lines += 1;
    }
    assert!(lines > 50);
}

proptest! {
    #[test]
    fn any_text_is_taken_by_the_rules_or_refused(text in ".{0,64}") {
        check_taken(&text);
        check_taken(&format!("http://{text}"));
        check_taken(&format!("https://a.example/{text}"));
        check_taken(&format!("https://{text}.example/{text}?{text}"));
    }

    #[test]
    fn texts_of_the_parts_of_urls_keep_the_rules(parts in proptest::collection::vec(proptest::sample::select(vec![
        "http:", "https:", "/", "//", "\\", "@", ":", ":80", "..", ".", "%2e", "%2f", "%5c", "%25", "%00", ";", "?", "#",
        "[", "]", "::1", "127", "0x7f", "1", "a", "example", ".com", "&", "=", "ü", "\u{3002}", "\t", " ", "xn--", "*",
    ]), 0..12)) {
        let text = parts.concat();
        check_taken(&text);
        check_taken(&format!("https://{text}"));
        check_taken(&format!("https://a.example/{text}"));
    }
}
