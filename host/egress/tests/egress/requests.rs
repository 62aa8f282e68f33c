//! What leaves and what comes back; what never leaves.

use crate::server::{Authority, Seen, Server, Step, response};
use crate::world::{Names, body, call, call_with, get, limits, lines, local, send, whole};
use harness_egress::{Egress, EgressError, EgressLimits, EgressSettings};
use http_body_util::BodyExt;
use std::time::Duration;

fn is_send<T: Send>(it: T) -> T {
    it
}

#[tokio::test]
async fn a_request_is_built_anew_and_recorded() {
    let server = Server::start(|_| response("201 Made", &["x-a: b", "keep-alive: x", "Set-Cookie: c"], b"hello")).await;
    let (port, call) = (server.port, call(&[local(server.port)]));
    let url = format!("http://127.1:{port}/a/../b%20c?q=%31&r#f");
    let headers =
        [("Accept", "x/y"), ("accept-encoding", "gzip, br"), ("X-Own", "1"), ("x-own", "2"), ("content-length", "3")];
    let sent = is_send(send(&call, "POST", &url, &headers, "abc")).await;
    let (status, headers, text) = whole(sent).await.unwrap();
    assert_eq!((status, text.as_str()), (201, "hello"));
    let mut names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "set-cookie", "x-a"]);

    let seen = server.only();
    let (head, body) = seen.split_once("\r\n\r\n").unwrap();
    let mut head: Vec<&str> = head.lines().collect();
    assert_eq!(head.remove(0), "POST /b%20c?q=%31&r HTTP/1.1");
    head.sort_unstable();
    let agent = format!("user-agent: harness-host/{}", env!("CARGO_PKG_VERSION"));
    let host = format!("host: 127.0.0.1:{port}");
    let wanted = ["accept-encoding: identity", "accept: x/y", "connection: close", "content-length: 3", &host, &agent];
    let wanted: Vec<&str> = wanted.into_iter().chain(["x-own: 1", "x-own: 2"]).collect();
    assert_eq!((head, body), (wanted, "abc"));
    assert_eq!(lines(&call), [format!("POST http://127.0.0.1:{port}/b%20c 127.0.0.1 201 3 5 -")]);
    assert!(call.refused().is_empty() && call.crossed().is_none());
}

#[tokio::test]
async fn nothing_leaves_without_a_grant() {
    let server = Server::start(|_| response("200 OK", &[], b"")).await;
    let (port, names) = (server.port, Names::new(&[]));
    let granted = [format!("http GET http://127.0.0.1:{port}/v1"), format!("http GET http://a.example:{port}")];
    let call = call_with(&granted, names.clone(), Vec::new(), limits());
    for (method, url, needed) in [
        ("POST", format!("http://127.0.0.1:{port}/v1/x/y"), format!("http POST http://127.0.0.1:{port}/v1/x")),
        ("GET", format!("http://127.0.0.1:{port}/v2"), format!("http GET http://127.0.0.1:{port}")),
        ("GET", format!("https://127.0.0.1:{port}/v1"), format!("http GET https://127.0.0.1:{port}")),
        ("GET", format!("http://localhost:{port}/v1"), format!("http GET http://localhost:{port}")),
        (
            "GET",
            format!("http://a.example:{port}/v1/x"),
            format!("http GET http://a.example:{port}/v1 via 127.0.0.1/32"),
        ),
    ] {
        let error = send(&call, method, &url, &[], "").await.err().unwrap();
        assert_eq!(error.missing().unwrap().to_string(), needed, "{error}");
        assert!(error.to_string().contains(&format!("`{needed}`")));
        // What is named is what is missing, and enough.
        let names = Names::new(&[]);
        let limits = EgressLimits { connect: Duration::from_millis(300), ..limits() };
        let retried =
            send(&call_with(std::slice::from_ref(&needed), names, Vec::new(), limits), method, &url, &[], "").await;
        assert_eq!(retried.is_ok(), url.starts_with("http:") && !url.contains("localhost"), "{needed}");
        assert_eq!(call.refused().last().unwrap().to_string(), needed);
    }
    assert_eq!(call.refused().len(), 5);
    let _ = get(&call, &format!("http://127.0.0.1:{port}/v2")).await;
    assert_eq!((call.refused().len(), call.requests().len()), (5, 6), "each capability once, each request");
    assert_eq!(names.asked(), ["a.example"], "no name is looked up for a request that is not granted");
    assert_eq!(server.seen().len(), 3, "only the retries");
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_the_checked_address_is_used() {
    let first = Server::at("127.0.0.2:0", None, |_| response("200 OK", &[], b"first")).await;
    let port = first.port;
    let second = Server::at(&format!("127.0.0.1:{port}"), None, |_| response("200 OK", &[], b"second")).await;
    for (answers, via, came) in [
        (["127.0.0.2", "127.0.0.1"], " via 127.0.0.2/32", Ok("first")),
        (["127.0.0.2", "127.0.0.1"], "", Err("which is loopback")),
        (["127.0.0.1 127.0.0.2", "127.0.0.1"], " via 127.0.0.2/32", Ok("first")),
        (["127.0.0.3 127.0.0.2", "127.0.0.1"], " via 127.0.0.2/31", Ok("first")),
        (["::ffff:127.0.0.2", "127.0.0.1"], " via 127.0.0.2/32", Ok("first")),
        (["", "127.0.0.1"], " via 127.0.0.0/8", Err("no address")),
    ] {
        let names = Names::new(&[("a.example", &answers)]);
        let granted = [format!("http GET http://a.example:{port}{via}")];
        let limits = EgressLimits { connect: Duration::from_millis(500), ..limits() };
        let call = call_with(&granted, names.clone(), Vec::new(), limits);
        match (whole(get(&call, &format!("http://a.example:{port}/")).await).await, came) {
            (Ok((_, _, text)), Ok(came)) => {
                assert_eq!(text, came, "{answers:?}");
                assert_eq!(call.requests().first().unwrap().address.as_deref(), Some("127.0.0.2"));
            }
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{answers:?}: {error}"),
            (got, came) => panic!("{answers:?}: {got:?} and not {came:?}"),
        }
        assert_eq!(names.asked(), ["a.example"]);
    }
    assert!(second.seen().is_empty());
    assert_eq!(first.seen().len(), 4);
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused() {
    let server = Server::start(|_| response("200 OK", &[], b"")).await;
    let port = server.port;
    let call = call_with(&[local(port)], Names::new(&[]), Vec::new(), EgressLimits { requests: 1000, ..limits() });
    let at = format!("127.0.0.1:{port}");
    for url in [
        format!("http://user@{at}/"),
        format!("http://user:word@{at}/"),
        format!("http://{at}/a/..%2fb"),
        format!("http://{at}/%0d%0ahost:evil"),
        format!("ftp://{at}/"),
        "http://127.0.0.1:/".to_owned(),
        "http://127.0.0.1:0/".to_owned(),
        "/only/a/path".to_owned(),
        "*".to_owned(),
    ] {
        let error = get(&call, &url).await.err().unwrap();
        assert!(matches!(error, EgressError::Malformed(_)), "{url}: {error}");
        assert!(!lines(&call).last().unwrap().contains('@'));
    }
    for method in ["CONNECT", "TRACE", "get"] {
        let error = send(&call, method, &format!("http://{at}/"), &[], "").await.err().unwrap();
        assert!(matches!(error, EgressError::Malformed(_)), "{method}: {error}");
    }
    for headers in [
        &[("host", "evil.example")][..],
        &[("content-length", "3"), ("content-length", "3")],
        &[("content-length", "4")],
        &[("content-length", "3, 3")],
        &[("transfer-encoding", "chunked")],
        &[("connection", "x-secret")],
        &[("expect", "100-continue")],
        &[("upgrade", "h2c")],
        &[("te", "trailers")],
        &[("trailer", "x")],
        &[("proxy-authorization", "x")],
        &[("x-http-method-override", "DELETE")],
        &[("authorization", "Bearer own")],
        &[("cookie", "a=b")],
        &[("x-api-key", "own")],
    ] {
        let error = send(&call, "POST", &format!("http://{at}/"), headers, "abc").await.err().unwrap();
        assert!(
            matches!(&error, EgressError::ForbiddenHeader { name, .. } if *name == headers[0].0),
            "{headers:?}: {error}"
        );
    }
    assert!(server.seen().is_empty());
    // A whole URL as path is only a path.
    assert_eq!(body(get(&call, &format!("http://{at}//evil.example/http://evil.example/")).await).await, "");
    assert!(server.only().starts_with("GET //evil.example/http://evil.example/ HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_certificate_has_to_be_for_the_name() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let good = Server::secure(&authority, "a.example", |_| response("200 OK", &[], b"good")).await;
    let address = Server::secure(&authority, "127.0.0.1", |_| response("200 OK", &[], b"address")).await;
    let strange = Server::secure(&stranger, "a.example", |_| response("200 OK", &[], b"")).await;
    let plain = Server::start(|_| response("200 OK", &[], b"")).await;
    for (server, host, came) in [
        (&good, "a.example", Ok("good")),
        (&address, "127.0.0.1", Ok("address")),
        (&good, "b.example", Err("not valid for name")),
        (&address, "a.example", Err("not valid for name")),
        (&good, "127.0.0.1", Err("not valid for name")),
        (&strange, "a.example", Err("invalid peer certificate")),
    ] {
        let port = server.port;
        let via = if host.starts_with('1') { "" } else { " via 127.0.0.0/8" };
        let granted = [format!("http GET https://{host}:{port}{via}")];
        let call = call_with(&granted, Names::new(&[]), vec![authority.root.clone()], limits());
        match (whole(get(&call, &format!("https://{host}:{port}/")).await).await, came) {
            (Ok((_, _, text)), Ok(came)) => assert_eq!(text, came),
            (Err(EgressError::Tls { problem, .. }), Err(words)) => assert!(problem.contains(words), "{problem}"),
            (got, came) => panic!("{host}: {got:?} and not {came:?}"),
        }
    }
    let names: Vec<Option<String>> = good.seen().into_iter().chain(address.seen()).map(|it| it.tls_name).collect();
    assert_eq!(names, [Some("a.example".to_owned()), None], "an address is no name in TLS");
    let granted = [format!("http GET https://127.0.0.1:{}", plain.port)];
    let limits = EgressLimits { connect: Duration::from_millis(300), ..limits() };
    let call = call_with(&granted, Names::new(&[]), vec![authority.root.clone()], limits);
    let error = get(&call, &format!("https://127.0.0.1:{}/", plain.port)).await.err().unwrap();
    assert!(matches!(error, EgressError::Tls { .. } | EgressError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn large_bodies_go_both_ways_at_once() {
    let server =
        Server::start(|request| response("200 OK", &[], request.split_once("\r\n\r\n").unwrap().1.as_bytes())).await;
    let call = call(&[local(server.port)]);
    let url = format!("http://127.0.0.1:{}/", server.port);
    let (large, larger) = ("a".repeat(300_000), "b".repeat(500_000));
    let (first, second) = tokio::join!(send(&call, "PUT", &url, &[], &large), send(&call, "PUT", &url, &[], &larger));
    let (first, second) = tokio::join!(body(first), body(second));
    assert!(first == large && second == larger);
    let bytes: Vec<_> = call.requests().iter().map(|it| (it.request_bytes, it.response_bytes)).collect();
    assert_eq!(bytes, [(300_000, 300_000), (500_000, 500_000)]);
}

#[tokio::test]
async fn a_dropped_response_closes_its_connection() {
    let server = Server::start(|_| {
        vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegin".to_vec()), Step::Hold]
    })
    .await;
    let call = call(&[local(server.port)]);
    let mut response = get(&call, &format!("http://127.0.0.1:{}/", server.port)).await.unwrap();
    assert_eq!(response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "begin");
    drop(response);
    for _ in 0..500 {
        if matches!(server.seen().as_slice(), [Seen { is_closed: true, .. }]) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the connection stayed open");
}

#[tokio::test]
async fn without_grants_everything_is_refused() {
    let call = Egress::new(EgressSettings::default()).for_call(&[], EgressLimits::default());
    let error = get(&call, "https://example.com/a/b").await.err().unwrap();
    assert_eq!(error.missing().unwrap().to_string(), "http GET https://example.com/a");
    assert_eq!(call.clone().refused().len(), 1, "clones share what they record");
    assert!(call.placeholder("x").is_err() && call.secret_names().is_empty());
}
