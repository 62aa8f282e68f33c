//! Secrets: where they go, where they do not, and that they do not come back.

use crate::server::{Authority, Server, Step, chunked, response};
use crate::world::{FORGE, Names, OTHER, body, call, call_with, get, limits, local, send, whole};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use harness_egress::{CallEgress, EgressError, EgressLimits, PLACEHOLDER_PREFIX, SecretValue};

fn ok(_: &str) -> Vec<Step> {
    response("200 OK", &[], b"")
}

/// Granted: `forge` in authorization, cookie and the field `key`, `other` in x-api-key.
fn granted(port: u16) -> Vec<String> {
    let mut granted = vec![local(port)];
    for rest in ["forge 127.0.0.1 header authorization", "forge 127.0.0.1 header cookie", "forge 127.0.0.1 query key"] {
        granted.push(format!("secret {rest}"));
    }
    granted.push("secret other 127.0.0.1 header x-api-key".to_owned());
    granted
}

#[tokio::test]
async fn placeholders_become_values_where_a_grant_says() {
    let server = Server::start(ok).await;
    let call = call(&granted(server.port));
    assert_eq!(call.secret_names(), ["forge", "other"]);
    let (forge, other) = (call.placeholder("forge").unwrap(), call.placeholder("other").unwrap());
    assert_eq!((forge.len(), forge.starts_with(PLACEHOLDER_PREFIX)), (PLACEHOLDER_PREFIX.len() + 32, true));
    assert_eq!(call.placeholder("forge").unwrap(), forge, "the same for the whole call");
    assert_ne!(crate::world::call(&granted(server.port)).placeholder("forge").unwrap(), forge, "of no use elsewhere");
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let unpadded = format!("basic {}", STANDARD_NO_PAD.encode(format!("me:{forge}")));
    for (header, value, wanted) in [
        ("authorization", format!("Bearer {forge}"), format!("Bearer {FORGE}")),
        ("authorization", basic(&format!("me:{forge}")), basic(&format!("me:{FORGE}"))),
        ("authorization", unpadded, basic(&format!("me:{FORGE}"))),
        ("cookie", format!("a={forge}"), format!("a={FORGE}")),
        ("x-api-key", other.clone(), OTHER.to_owned()),
    ] {
        let url = format!("http://127.0.0.1:{}/", server.port);
        send(&call, "POST", &url, &[(header, &value)], "abc").await.unwrap();
        let seen = server.seen().pop().unwrap().text;
        assert!(seen.contains(&format!("\r\n{header}: {wanted}\r\n")), "{seen}");
    }
    for (query, wanted) in [
        (format!("key={forge}"), "key=f0rge%2Fs3cret%2B%221%22"),
        (format!("a=%20+b&key={forge}&&c"), "a=%20+b&key=f0rge%2Fs3cret%2B%221%22&&c"),
        (format!("%6bey={forge}"), "%6bey=f0rge%2Fs3cret%2B%221%22"),
        (format!("key={}", forge.replace('h', "%68")), "key=f0rge%2Fs3cret%2B%221%22"),
    ] {
        get(&call, &format!("http://127.0.0.1:{}/?{query}", server.port)).await.unwrap();
        let seen = server.seen().pop().unwrap().text;
        assert!(seen.starts_with(&format!("GET /?{wanted} HTTP/1.1\r\n")), "{seen}");
    }
    // Text of the guest's around a value could push parts of it over where a server cuts what it sends back.
    let url = format!("http://127.0.0.1:{}/", server.port);
    for (header, value) in [
        ("cookie", format!("a={forge}; b={forge}")),
        ("authorization", format!("Bearer {forge}x")),
        ("authorization", format!("Bearer {}{forge}", "x".repeat(100))),
        ("authorization", basic(&format!("me:{forge} and more"))),
    ] {
        let error = send(&call, "POST", &url, &[(header, &value)], "").await.err().unwrap();
        assert!(error.to_string().contains("stands alone"), "{value}: {error}");
    }
    let whole = [("authorization", &*format!("Bearer {forge}")), ("range", "bytes=0-3")];
    assert!(send(&call, "POST", &url, &whole, "").await.err().unwrap().to_string().contains("asks for the whole"));
    let recorded = format!("{:?} {:?}", call.requests(), call.refused());
    assert!(!recorded.contains("f0rge") && !recorded.contains('?'), "{recorded}");
}

#[tokio::test]
async fn placeholders_elsewhere_are_refused_with_what_is_missing() {
    let server = Server::start(ok).await;
    let port = server.port;
    let mut granted = granted(port);
    granted.push(format!("http * http://b.example:{port} via 127.0.0.1"));
    granted.push(format!("http * http://c.example:{port} via 127.0.0.1"));
    granted.push("secret forge c.example header authorization".to_owned());
    let call = call_with(&granted, Names::new(&[]), Vec::new(), EgressLimits { requests: 100, ..limits() });
    let (forge, other) = (call.placeholder("forge").unwrap(), call.placeholder("other").unwrap());
    let (a, b, c) =
        (format!("http://127.0.0.1:{port}"), format!("http://b.example:{port}"), format!("http://c.example:{port}"));
    for (url, header, text, words) in [
        (format!("{a}/"), ("x-own", forge.as_str()), "", "`secret forge 127.0.0.1 header x-own`"),
        (format!("{a}/"), ("x-api-key", &forge), "", "`secret forge 127.0.0.1 header x-api-key`"),
        (format!("{a}/"), ("authorization", &other), "", "`secret other 127.0.0.1 header authorization`"),
        (format!("{a}/?k={forge}"), ("a", "b"), "", "`secret forge 127.0.0.1 query k`"),
        (format!("{a}/?key={other}"), ("a", "b"), "", "`secret other 127.0.0.1 query key`"),
        (format!("{b}/"), ("authorization", &forge), "", "`secret forge b.example header authorization`"),
        (format!("{b}/?key={forge}"), ("a", "b"), "", "`secret forge b.example query key`"),
        (format!("{c}/"), ("authorization", &forge), "", "goes only over https"),
        (format!("{a}/{forge}"), ("a", "b"), "", "placeholder is in the URL's host or path"),
        (format!("{a}/{}", forge.replace('h', "%68")), ("a", "b"), "", "placeholder is in the URL's host or path"),
        (format!("{a}/?{forge}=1"), ("a", "b"), "", "placeholder is in the name of a field"),
        (format!("{a}/"), (forge.as_str(), "b"), "", "placeholder is in the name of a header"),
        (format!("{a}/"), ("a", "b"), &forge, "placeholder is in the body"),
    ] {
        let error = send(&call, "POST", &url, &[header], text).await.err().unwrap();
        assert!(error.to_string().contains(words), "{url} {header:?}: {error}");
        assert_eq!(error.missing().is_some(), words.starts_with('`'));
        assert!(call.refused().last() == error.missing() || error.missing().is_none());
    }
    // What a guest calls a place is named as a grant only where it can be read back as one: it is logged.
    let long = "x".repeat(1_000);
    for (url, header, value) in [
        (format!("{a}/"), "x!own", forge.as_str()),
        (format!("{a}/"), "x'own", &forge),
        (format!("{a}/"), &long, &forge),
        (format!("{a}/?a%20b={forge}"), "a", "b"),
        (format!("{a}/?%ff={forge}"), "a", "b"),
        (format!("{a}/?%0a={forge}"), "a", "b"),
        (format!("{a}/?={forge}"), "a", "b"),
    ] {
        let before = call.refused().len();
        let error = send(&call, "POST", &url, &[(header, value)], "").await.err().unwrap();
        assert!(error.to_string().contains("a place that no grant can name"), "{url} {header}: {error}");
        assert_eq!((error.missing(), call.refused().len()), (None, before), "{url} {header}");
    }
    let stale = format!("Bearer {PLACEHOLDER_PREFIX}{}", "0".repeat(32));
    let error = send(&call, "GET", &format!("{a}/"), &[("authorization", &stale)], "").await.err().unwrap();
    assert!(matches!(error, EgressError::ForbiddenHeader { .. }), "{error}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn secrets_go_over_tls_to_named_hosts() {
    let authority = Authority::new();
    let server = Server::secure(&authority, "api.example.com", ok).await;
    let granted = [
        format!("http GET https://*.example.com:{} via 127.0.0.1", server.port),
        "secret forge *.example.com header authorization".to_owned(),
    ];
    let call = call_with(&granted, Names::new(&[]), vec![authority.root.clone()], limits());
    let value = call.placeholder("forge").unwrap();
    let url = format!("https://api.example.com:{}/", server.port);
    send(&call, "GET", &url, &[("authorization", &value)], "").await.unwrap();
    assert!(server.only().contains(FORGE));
    get(&call, &url).await.unwrap();
    let seen = server.seen();
    assert!(seen.len() == 2 && seen.iter().all(|it| !it.is_resumed), "one session would tell calls apart: {seen:?}");
}

#[tokio::test]
async fn secrets_that_cannot_be_given_say_why() {
    let mut granted = granted(1);
    granted.extend(["gone", "broken", "lines", "empty"].map(|name| format!("secret {name} 127.0.0.1 header x-key")));
    let server = Server::start(ok).await;
    granted.push(local(server.port));
    let call = call(&granted);
    for (name, words) in [
        ("nobody", "no grant names it"),
        ("bad\nname", "no grant names it"),
        ("gone", "there is none of that name"),
        ("broken", "the keyring is locked"),
        ("empty", "has 0 bytes"),
    ] {
        let error = call.placeholder(name).unwrap_err().to_string();
        assert!(error.contains(words) && !error.contains('\n'), "{error}");
    }
    let lines = call.placeholder("lines").unwrap();
    let url = format!("http://127.0.0.1:{}/", server.port);
    let error = send(&call, "GET", &url, &[("x-key", &lines)], "").await.err().unwrap();
    assert!(error.to_string().contains("no header can hold") && !error.to_string().contains("two"), "{error}");
    assert_eq!(format!("{:?}", SecretValue::new(FORGE)), "SecretValue(…)");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn values_that_the_guest_holds_do_not_leave() {
    let server = Server::start(ok).await;
    let port = server.port;
    let at = format!("http://127.0.0.1:{port}");
    let call = call_with(&granted(port), Names::new(&[]), Vec::new(), EgressLimits { requests: 100, ..limits() });
    call.placeholder("other").unwrap();
    let encoded = STANDARD.encode(format!("a{OTHER}"));
    let hex: String = OTHER.bytes().map(|byte| format!("{byte:02x}")).collect();
    for (url, header, text) in [
        (format!("{at}/{OTHER}"), ("a", "b"), ""),
        (format!("{at}/{}", OTHER.replace('a', "%61")), ("a", "b"), ""),
        (format!("{at}/x?{hex}"), ("a", "b"), ""),
        (format!("http://{OTHER}.example/"), ("a", "b"), ""),
        (format!("{at}/"), ("a", OTHER), ""),
        (format!("{at}/"), ("authorization", &format!("Basic {encoded}")), ""),
        (format!("{at}/"), (OTHER, "a"), ""),
        (format!("{at}/"), ("a", "b"), &format!("{{\"key\":\"{OTHER}\"}}")),
        (format!("{at}/"), ("a", "b"), &encoded),
    ] {
        let error = send(&call, "POST", &url, &[header], text).await.err().unwrap();
        let is_named = matches!(&error, EgressError::Secret { name, problem } if name == "other" && problem.contains("stands open"));
        assert!(is_named && !error.to_string().contains(OTHER), "{url} {header:?} {text}: {error}");
    }
    assert!(server.seen().is_empty());
    let recorded = format!("{:?} {:?}", call.requests(), call.refused());
    assert!(!recorded.contains(OTHER) && !recorded.contains(&hex) && !recorded.contains("n-other"), "{recorded}");
}

/// A request that uses `forge`, to a path.
async fn ask(call: &CallEgress, port: u16, path: &str) -> Result<(u16, http::HeaderMap, String), EgressError> {
    let value = call.placeholder("forge").unwrap();
    whole(send(call, "GET", &format!("http://127.0.0.1:{port}{path}"), &[("authorization", &value)], "").await).await
}

#[tokio::test]
async fn responses_come_without_the_value_wherever_they_are_cut() {
    // The server echoes what it was sent, in several forms, cut where the path says.
    let echo = |request: &str| {
        let value = request.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap();
        let json = value.replace('"', "\\\"");
        format!("<{value}|{json}|{}>", STANDARD.encode(format!("x{value}")))
    };
    let length = echo(&format!("authorization: {FORGE}")).len();
    let server = Server::start(move |request| {
        let text = echo(request);
        let at: usize = request.split(' ').nth(1).unwrap().trim_start_matches('/').parse().unwrap();
        let (before, after) = text.as_bytes().split_at(at);
        chunked(&[], &[before, after])
    })
    .await;
    let limits = EgressLimits { requests: 1000, ..limits() };
    let call = call_with(&granted(server.port), Names::new(&[]), Vec::new(), limits);
    for cut in 0..=length {
        let (_, _, text) = ask(&call, server.port, &format!("/{cut}")).await.unwrap();
        // Of base64, the characters that also hold bits of the bytes around stay.
        assert!(text.starts_with("<[secret forge]|[secret forge]|eG[secret forge]"), "{cut}: {text}");
    }
    assert_eq!(call.requests().first().unwrap().response_bytes, length as u64, "what came is counted");
}

#[tokio::test]
async fn headers_come_without_the_value() {
    let server = Server::start(|_| {
        let location = format!("location: /?key={}", FORGE.replace('"', "%22"));
        let lines = [format!("x-echo: a{FORGE}b"), location, "x-plain: c".to_owned()];
        response("200 OK", &lines.iter().map(String::as_str).collect::<Vec<_>>(), FORGE.as_bytes())
    })
    .await;
    let call = call(&granted(server.port));
    // Also where no placeholder was asked for: somebody else may have sent it there.
    let (_, _, text) = whole(get(&call, &format!("http://127.0.0.1:{}/", server.port)).await).await.unwrap();
    assert_eq!(text, "[secret forge]");
    let (_, headers, text) = ask(&call, server.port, "/").await.unwrap();
    assert_eq!(headers.get("x-echo").unwrap(), "a[secret forge]b");
    assert_eq!(headers.get("location").unwrap(), "/?key=[secret forge]");
    assert_eq!(headers.get("x-plain").unwrap(), "c");
    assert!(headers.get("content-length").is_none(), "it would be wrong");
    assert_eq!(text, "[secret forge]");
}

#[tokio::test]
async fn what_cannot_be_searched_does_not_come() {
    let server = Server::start(|_| response("200 OK", &["content-encoding: gzip"], b"\x1f\x8b")).await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    let plain = call(&[local(server.port)]);
    assert!(whole(get(&plain, &url).await).await.is_ok(), "no secret could be in it");
    let call = call(&granted(server.port));
    let error = ask(&call, server.port, "/").await.unwrap_err();
    assert!(matches!(&error, EgressError::Protocol(words) if words.contains("gzip")), "{error}");
    let telling = Server::start(|_| response("200 OK", &[&format!("content-encoding: {OTHER}")], b"x")).await;
    let told = crate::world::call(&self::granted(telling.port));
    told.placeholder("other").unwrap();
    let error = ask(&told, telling.port, "/").await.unwrap_err();
    assert!(error.to_string().contains("[secret other]") && !error.to_string().contains(OTHER), "{error}");
    let identity = Server::start(|_| response("200 OK", &["content-encoding: Identity"], b"x")).await;
    let call = crate::world::call(&self::granted(identity.port));
    assert!(ask(&call, identity.port, "/").await.is_ok());
}

#[tokio::test]
async fn a_stream_is_not_held_back_by_the_search() {
    use http_body_util::BodyExt;
    let server = Server::start(|_| {
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_vec();
        vec![Step::Send(head), Step::Send(b"event: 1\n\n".to_vec()), Step::Hold]
    })
    .await;
    let call = call(&granted(server.port));
    call.placeholder("forge").unwrap();
    let mut response = get(&call, &format!("http://127.0.0.1:{}/", server.port)).await.unwrap();
    let first = response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "event: 1\n\n");
}

#[tokio::test]
async fn an_empty_response_is_empty() {
    let server = Server::start(ok).await;
    let call = call(&granted(server.port));
    call.placeholder("forge").unwrap();
    assert_eq!(body(get(&call, &format!("http://127.0.0.1:{}/", server.port)).await).await, "");
}
