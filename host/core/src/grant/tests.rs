//! Texts of capabilities, what they mean together, and what is refused.

use super::*;
use proptest::prelude::*;

fn capability(text: &str) -> Capability {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_normal_form_of_a_text() {
    for (text, normal) in [
        ("filesystem read /workspace/", "filesystem read /workspace"),
        ("filesystem write /scratch", "filesystem write /scratch"),
        ("http post,get,GET https://API.Example.com:443/v1/", "http GET,POST https://api.example.com/v1"),
        ("http * http://*.example.com:8080", "http * http://*.example.com:8080"),
        ("http GET http://[::ffff:127.0.0.1]:80/", "http GET http://127.0.0.1"),
        ("http GET http://[::1]:9/x", "http GET http://[::1]:9/x"),
        (
            "http GET https://intranet.example via 10.0.0.0/8,192.168.1.7",
            "http GET https://intranet.example via 10.0.0.0/8,192.168.1.7/32",
        ),
        ("http * https://*:*", "http * https://*:*"),
        ("secret forge *.Example.com header Authorization", "secret forge *.example.com header authorization"),
        ("secret forge 127.0.0.1 query Key", "secret forge 127.0.0.1 query Key"),
        ("env A=b c=d ", "env A=b c=d"),
        ("env A", "env A"),
        ("kv write principal", "kv write principal"),
        ("tool read_file", "tool read_file"),
        (" question ", "question"),
        ("limit fuel 1_000", "limit fuel 1000"),
    ] {
        assert_eq!(capability(text).to_string(), normal, "{text}");
        assert_eq!(capability(normal), capability(text));
    }
}

#[test]
fn what_is_refused_says_what_would_be_right() {
    for (text, words) in [
        ("", "begins with one of"),
        ("filesystem /workspace", "filesystem read|write PATH"),
        ("filesystem read workspace", "absolute path"),
        ("filesystem read /workspace/../etc", "absolute path"),
        ("filesystem read /etc", "sees nothing else"),
        ("filesystem read /workspaces", "sees nothing else"),
        ("http GET example.com", "http:// or https://"),
        ("http GET https://user@example.com", "no user name"),
        ("http GET https://exa*mple.com", "not a host"),
        ("http GET https://1.2.3", "not a host"),
        ("http GET https://0x7f.1", "not a host"),
        ("http GET https://bücher.example", "not a host"),
        ("http GET https://a.example:0", "not a port"),
        ("http GET https://a.example:99999", "not a port"),
        ("http GET https://a.example/v1/../x", "beginning of a path"),
        ("http GET https://a.example/%2e%2e/x", "beginning of a path"),
        ("http GE/T https://a.example", "list of methods"),
        ("http FETCHALL https://a.example", "list of methods"),
        ("http GET https://a.example/it's", "beginning of a path"),
        ("limit stack-bytes 70000", "belongs to the whole runtime"),
        ("secret forge *.com header authorization", "below a whole domain"),
        ("http GET https://a.example via 10.0.0.1/8", "first address"),
        ("http GET https://a.example via 10.0.0.0/33", "range of addresses"),
        ("http GET https://10.0.0.1 via 10.0.0.0/8", "needs no `via`"),
        ("secret forge * header authorization", "named hosts"),
        ("secret forge a.example body x", "neither `header` nor `query`"),
        ("kv write turn", "none of session"),
        ("limit colour 3", "there is no limit `colour`"),
        ("limit fuel -1", "whole number"),
        ("question now", "stands alone"),
        ("tool a\u{1b}b", "control character"),
    ] {
        let error = text.parse::<Capability>().unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn what_two_capabilities_allow_together() {
    let table = [
        ("filesystem write /workspace", "filesystem read /workspace/src", Some("filesystem read /workspace/src")),
        ("filesystem write /workspace/srcs", "filesystem read /workspace/src", None),
        ("http * https://*", "http GET https://a.example/v1", Some("http GET https://a.example/v1")),
        ("http * https://*", "http GET https://10.0.0.1", Some("http GET https://10.0.0.1")),
        ("http GET https://*.example", "http GET,POST https://a.example", Some("http GET https://a.example")),
        ("http GET https://*.a.example", "http GET https://*.example", Some("http GET https://*.a.example")),
        ("http GET https://*.example", "http GET https://example", None),
        ("http * http://*:*", "http GET http://127.0.0.1:18999", Some("http GET http://127.0.0.1:18999")),
        ("http * http://a.example:8080", "http * http://a.example:9090", None),
        ("http GET https://a.example/v1", "http GET https://a.example/v10", None),
        ("http GET https://a.example", "http GET http://a.example", None),
        ("http GET https://a.example", "http POST https://a.example", None),
        ("http GET https://*", "http GET https://a.example via 10.0.0.0/8", Some("http GET https://a.example")),
        (
            "http GET https://a.example via 10.0.0.0/8,fd00::/8",
            "http GET https://a.example via 10.1.0.0/16,0.0.0.0/0",
            Some("http GET https://a.example via 10.1.0.0/16,10.0.0.0/8"),
        ),
        ("env A", "env A=1", Some("env A=1")),
        ("env A=2", "env A=1", None),
        ("kv write session", "kv read session", Some("kv read session")),
        ("kv write session", "kv read global", None),
        ("limit fuel 5", "limit fuel 3", Some("limit fuel 3")),
        ("question", "tool a", None),
    ];
    for (a, b, expected) in table {
        let expected = expected.map(capability);
        assert_eq!(capability(a).meet(&capability(b)), expected, "{a} with {b}");
        assert_eq!(capability(b).meet(&capability(a)), expected, "{b} with {a}");
    }
}

#[test]
fn which_requests_are_covered() {
    let covers = |text: &str, method, scheme, host, port, path| match capability(text) {
        Capability::Http(scope) => scope.covers(&RequestTarget { method, scheme, host, port, path }),
        other => panic!("{other}"),
    };
    let (plain, tls) = (UrlScheme::Http, UrlScheme::Https);
    for (text, method, scheme, host, port, path, expected) in [
        ("http GET https://a.example/v1", "GET", tls, "a.example", 443, "/v1", true),
        ("http GET https://a.example/v1", "GET", tls, "a.example", 443, "/v1/x", true),
        ("http GET https://a.example/v1", "GET", tls, "a.example", 443, "/v1x", false),
        ("http GET https://a.example/v1", "HEAD", tls, "a.example", 443, "/v1", false),
        ("http GET https://a.example", "GET", tls, "a.example", 8443, "/", false),
        ("http GET https://a.example:*", "GET", tls, "a.example", 8443, "/", true),
        ("http GET https://a.example", "GET", plain, "a.example", 443, "/", false),
        ("http GET https://*.example", "GET", tls, "evilexample", 443, "/", false),
        ("http GET https://*.a.example", "GET", tls, "x.y.a.example", 443, "/", true),
        ("http GET https://*", "GET", tls, "10.0.0.1", 443, "/", false),
        ("http GET https://*", "GET", tls, "::1", 443, "/", false),
        ("http GET http://127.0.0.1:8080", "GET", plain, "127.0.0.1", 8080, "/x", true),
    ] {
        assert_eq!(covers(text, method, scheme, host, port, path), expected, "{text}: {method} {host}{path}");
    }
}

#[test]
fn ranges_of_addresses() {
    let Capability::Http(scope) = capability("http GET https://a.example via 10.0.0.0/8,fd00::/8,0.0.0.0/0") else {
        panic!("not http");
    };
    let contains = |at: usize, address: &str| scope.via[at].contains(address.parse().unwrap());
    assert!(contains(0, "10.255.0.1") && contains(0, "::ffff:10.0.0.1") && !contains(0, "11.0.0.0"));
    assert!(contains(1, "fd12::1") && !contains(1, "fe80::1") && !contains(1, "10.0.0.1"));
    assert!(contains(2, "255.255.255.255") && !contains(2, "::1"));
}

#[test]
fn ranges_of_addresses_come_from_grants_alone() {
    let under = |granted: &str, ceiling: &str| {
        let met = under_ceiling(&[capability(granted)], &[capability(ceiling)]);
        met.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let (plain, ranged) = ("http GET https://a.example", "http GET https://a.example via 10.0.0.0/8");
    assert_eq!(under(plain, "http GET https://a.example via 0.0.0.0/0"), [plain]);
    assert_eq!(under(ranged, "http * https://*:*"), [ranged]);
    assert!(!capability(plain).covers(&capability(ranged)), "a wider update is asked about");
}

fn list(texts: &[&str]) -> Vec<Capability> {
    texts.iter().map(|text| capability(text)).collect()
}

#[test]
fn under_its_ceiling_a_component_gets_what_it_asked_for_of_what_it_was_granted() {
    for (granted, ceiling, left) in [
        (&["kv write session", "question"][..], &["kv read session"][..], &["kv read session"][..]),
        (&["kv read session"], &["kv write session", "question"], &["kv read session"]),
        (&["http GET https://*.example"], &["http * https://a.example"], &["http GET https://a.example"]),
        (&["env A=1", "env B=2"], &["env A"], &["env A=1"]),
        (&["question"], &[], &[]),
        // A limit takes away, so it holds without a grant.
        (&[], &["limit fuel 5", "question"], &["limit fuel 5"]),
        (&["limit fuel 3"], &["limit fuel 5"], &["limit fuel 5", "limit fuel 3"]),
    ] {
        assert_eq!(under_ceiling(&list(granted), &list(ceiling)), list(left), "{granted:?} under {ceiling:?}");
    }
}

#[test]
fn limits_of_both_sides_stay() {
    let met = meet_all(&list(&["limit fuel 5", "question"]), &list(&["question", "tool a", "limit deadline-ms 9"]));
    assert_eq!(met, list(&["limit fuel 5", "limit deadline-ms 9", "question"]));
}

/// Texts near the grammar: most are refused, and none may break anything.
fn texts() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("filesystem".to_owned()),
        Just("http".to_owned()),
        Just("secret".to_owned()),
        Just("env".to_owned()),
        Just("kv".to_owned()),
        Just("limit".to_owned()),
        Just("tool".to_owned()),
        Just("read".to_owned()),
        Just("write".to_owned()),
        Just("via".to_owned()),
        Just("header".to_owned()),
        Just("session".to_owned()),
        "(GET|POST|\\*|get,PUT)",
        "https?://[a-z.*0-9\\[\\]:%@]{0,20}(/[a-z./%]{0,10})?",
        "/(workspace|scratch)[a-z./]{0,10}",
        "[0-9./]{1,18}(/[0-9]{1,3})?",
        "[A-Z_]{1,5}=.{0,5}",
        "fuel|deadline-ms",
        "[0-9_]{1,5}",
        ".{0,12}",
    ];
    proptest::collection::vec(word, 0..6).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn every_text_is_refused_or_has_a_normal_form(text in texts()) {
        if let Ok(capability) = text.parse::<Capability>() {
            let normal = capability.to_string();
            prop_assert_eq!(normal.parse::<Capability>().unwrap(), capability.clone());
            prop_assert!(capability.covers(&capability), "{}", normal);
        }
    }

    #[test]
    fn together_they_allow_no_more_than_each(a in texts(), b in texts()) {
        if let (Ok(a), Ok(b)) = (a.parse::<Capability>(), b.parse::<Capability>())
            && let Some(met) = a.meet(&b)
        {
            prop_assert_eq!(Some(met.clone()), b.meet(&a));
            if !matches!(met, Capability::Env { .. }) {
                prop_assert!(a.covers(&met) && b.covers(&met));
            }
        }
    }
}
