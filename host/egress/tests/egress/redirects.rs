//! Redirects: each hop is judged like a new request.

use crate::server::{Authority, Server, Step, response};
use crate::world::{FORGE, Names, OTHER, call, call_with, get, limits, lines, local, send, whole};
use harness_core::outcome::LimitName;
use harness_egress::{EgressError, EgressLimits};

fn to(location: &str) -> Vec<Step> {
    response("302 Found", &[&format!("location: {location}")], b"moved")
}

/// `/N` leads to `/N-1`, `/0` is there.
fn counting(request: &str) -> Vec<Step> {
    let path = request.split(' ').nth(1).unwrap();
    match path.trim_start_matches('/').parse::<u32>() {
        Ok(0) => response("200 OK", &[], b"there"),
        Ok(number) => to(&format!("/{}", number - 1)),
        Err(_) => to(path),
    }
}

#[tokio::test]
async fn three_hops_are_followed_and_no_more() {
    let server = Server::start(counting).await;
    let (port, call) = (server.port, call(&[local(server.port)]));
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    assert_eq!(whole(get(&call, &at("/3")).await).await.unwrap().2, "there");
    assert_eq!(server.seen().len(), 4);
    for path in ["/4", "/loop"] {
        let error = get(&call, &at(path)).await.err().unwrap();
        assert!(matches!(&error, EgressError::Redirect(words) if words.contains("more than 3 times")), "{error}");
    }
    assert_eq!((server.seen().len(), call.requests().len()), (12, 12));
    assert!(lines(&call).last().unwrap().contains("/loop 127.0.0.1 302 0 0 the redirect was not followed"));
}

#[tokio::test]
async fn redirects_count_as_requests() {
    let server = Server::start(counting).await;
    let limits = EgressLimits { requests: 2, ..limits() };
    let call = call_with(&[local(server.port)], Names::new(&[]), Vec::new(), limits);
    let error = get(&call, &format!("http://127.0.0.1:{}/3", server.port)).await.err().unwrap();
    assert_eq!((error, call.crossed()), (EgressError::Limit(LimitName::Requests), Some(LimitName::Requests)));
    assert_eq!((server.seen().len(), call.requests().len()), (2, 2));
}

#[tokio::test]
async fn only_get_and_head_are_redirected() {
    let server = Server::start(counting).await;
    let (port, call) = (server.port, call(&[local(server.port)]));
    let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let (status, headers, text) = whole(send(&call, "POST", &at("/1"), &[], "abc").await).await.unwrap();
    assert_eq!((status, headers.get("location").unwrap().to_str().unwrap(), text.as_str()), (302, "/0", "moved"));
    assert_eq!(send(&call, "HEAD", &at("/1"), &[], "").await.unwrap().status(), 200);
    let bare = Server::start(|_| response("304 Not Modified", &["location: /x"], b"")).await;
    let call = crate::world::call(&[local(bare.port)]);
    assert_eq!(get(&call, &format!("http://127.0.0.1:{}/", bare.port)).await.unwrap().status(), 304);
    let missing = Server::start(|_| response("302 Found", &[], b"")).await;
    let call = crate::world::call(&[local(missing.port)]);
    assert_eq!(get(&call, &format!("http://127.0.0.1:{}/", missing.port)).await.unwrap().status(), 302);
}

#[tokio::test]
async fn a_hop_needs_its_own_grant_and_address() {
    let server = Server::start(|request| {
        let location = request.split(' ').nth(1).and_then(|path| path.split_once("to=")).unwrap().1;
        // The request's own URL cannot hold one.
        to(&location.replace("BACKSLASH", "/\\evil.example"))
    })
    .await;
    let port = server.port;
    let names = || Names::new(&[("public.example", &["127.0.0.1"]), ("inner.example", &["10.0.0.1"])]);
    let granted = [
        format!("http GET http://public.example:{port} via 127.0.0.1"),
        format!("http GET http://inner.example:{port}"),
    ];
    for (location, words) in [
        (format!("http://evil.example:{port}/a/b"), format!("`http GET http://evil.example:{port}/a`")),
        (format!("//evil.example:{port}/a/b"), format!("`http GET http://evil.example:{port}/a`")),
        (format!("http://127.0.0.1:{port}/"), format!("`http GET http://127.0.0.1:{port}`")),
        (format!("http://2130706433:{port}/"), format!("`http GET http://127.0.0.1:{port}`")),
        ("http://169.254.169.254/latest/meta".to_owned(), "`http GET http://169.254.169.254/latest`".to_owned()),
        (format!("http://inner.example:{port}/"), "which is private".to_owned()),
        (format!("https://public.example:{port}/"), format!("`http GET https://public.example:{port}`")),
        (format!("http://user@public.example:{port}/"), "user name".to_owned()),
        ("file:///etc/passwd".to_owned(), "neither with http://".to_owned()),
        ("/a/..%2fb".to_owned(), "hides".to_owned()),
        ("BACKSLASH".to_owned(), "character".to_owned()),
    ] {
        let call = call_with(&granted, names(), Vec::new(), limits());
        let url = format!("http://public.example:{port}/?to={location}");
        let error = get(&call, &url).await.err().unwrap();
        assert!(error.to_string().contains(&words), "{location}: {error}");
        assert_eq!(call.refused().len(), usize::from(error.missing().is_some()));
    }
    let targets: Vec<String> = server.seen().into_iter().map(|it| it.text).collect();
    assert!(targets.iter().all(|text| text.contains("host: public.example")), "{targets:?}");
}

#[tokio::test]
async fn https_does_not_lead_to_http() {
    let authority = Authority::new();
    let plain = Server::start(|_| response("200 OK", &[], b"")).await;
    let port = plain.port;
    let secure = Server::secure(&authority, "a.example", move |_| to(&format!("http://127.0.0.1:{port}/"))).await;
    let granted = [local(port), format!("http GET https://a.example:{} via 127.0.0.1", secure.port)];
    let call = call_with(&granted, Names::new(&[]), vec![authority.root.clone()], limits());
    let error = get(&call, &format!("https://a.example:{}/", secure.port)).await.err().unwrap();
    assert!(matches!(&error, EgressError::Redirect(words) if words.contains("from https to http")), "{error}");
    assert!(plain.seen().is_empty());
}

#[tokio::test]
async fn headers_and_secrets_stay_with_their_origin() {
    let other = Server::start(|_| response("200 OK", &[], b"other")).await;
    let port = other.port;
    let first = Server::start(move |request| match request.split(' ').nth(1).unwrap() {
        "/same" => to("/there"),
        "/there" => response("200 OK", &[], b"same"),
        _ => to(&format!("http://127.0.0.1:{port}/x")),
    })
    .await;
    let granted = [
        local(port),
        local(first.port),
        "secret forge 127.0.0.1 header authorization".to_owned(),
        "secret forge 127.0.0.1 query key".to_owned(),
    ];
    let call = crate::world::call(&granted);
    let bearer = format!("Bearer {}", call.placeholder("forge").unwrap());
    let headers = [("authorization", bearer.as_str()), ("accept", "a/b"), ("x-own", "own"), ("user-agent", "me")];
    for path in ["/same", "/away"] {
        let sent = send(&call, "GET", &format!("http://127.0.0.1:{}{path}", first.port), &headers, "").await;
        assert_eq!(whole(sent).await.unwrap().0, 200);
    }
    let seen = first.seen();
    assert!(seen.iter().all(|it| it.text.contains(&format!("authorization: Bearer {FORGE}\r\n"))), "{seen:?}");
    assert_eq!(seen.len(), 3);
    let there = other.only();
    assert!(there.contains("accept: a/b\r\n") && there.contains("user-agent: me\r\n"), "{there}");
    assert!(!there.contains("own") && !there.contains("authorization") && !there.contains(FORGE), "{there}");

    // A server that puts the value into its location does not get it sent on.
    let echoing = Server::start(move |request| {
        let query = request.split(' ').nth(1).unwrap().split_once('?').unwrap().1.to_owned();
        to(&format!("http://127.0.0.1:{port}/?{query}"))
    })
    .await;
    let call = crate::world::call(&[granted.as_slice(), &[local(echoing.port)]].concat());
    let url = format!("http://127.0.0.1:{}/?key={}", echoing.port, call.placeholder("forge").unwrap());
    let error = get(&call, &url).await.err().unwrap();
    assert!(matches!(&error, EgressError::Secret { name, .. } if name == "forge"), "{error}");
    assert_eq!(other.seen().len(), 1);
    assert!(!format!("{:?}", call.requests()).contains("f0rge"));

    // Nor does the guest read it in what is missing or wrong.
    for location in [format!("http://{OTHER}.evil.example/"), format!("http://{OTHER}!/"), format!("/{OTHER}/..%2f")] {
        let telling = Server::start(move |_| to(&location)).await;
        let call = crate::world::call(&[local(telling.port), "secret other 127.0.0.1 header x-key".to_owned()]);
        call.placeholder("other").unwrap();
        let error = get(&call, &format!("http://127.0.0.1:{}/", telling.port)).await.err().unwrap();
        assert!(!format!("{error} {error:?} {:?} {:?}", call.requests(), call.refused()).contains(OTHER), "{error}");
    }
}
