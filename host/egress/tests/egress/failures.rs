//! Servers that are slow, silent, broken or too generous, and guests that send too much.

use crate::server::{Server, Step, chunked, response};
use crate::world::{Names, call, call_with, get, limits, local, send, whole};
use bytes::Bytes;
use harness_core::outcome::LimitName;
use harness_egress::{EgressError, EgressLimits, Timeouts};
use http::Request;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(150);

fn text(steps: &str) -> Vec<Step> {
    vec![Step::Send(steps.as_bytes().to_vec())]
}

#[tokio::test]
async fn broken_responses_are_errors_with_words() {
    let head = "HTTP/1.1 200 OK\r\n";
    for (sent, words) in [
        (String::new(), "closed the connection"),
        ("HTTP/1.1 20".to_owned(), "closed the connection"),
        (format!("{head}a: b\r\n"), "closed the connection"),
        (format!("{head}content-length: 10\r\n\r\nabc"), "not a sound response"),
        (format!("{head}transfer-encoding: chunked\r\n\r\n5\r\nab"), "not a sound response"),
        (format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\nab"), "not a sound response"),
        (format!("{head}content-length: 1\r\ncontent-length: 2\r\n\r\nab"), "not a sound response"),
        (format!("{head}content-length: -1\r\n\r\nab"), "not a sound response"),
        ("SSH-2.0-OpenSSH\r\n\r\n".to_owned(), "not a sound response"),
        ("\0\0\0\0\r\n\r\n".to_owned(), "not a sound response"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".to_owned(),
            "another protocol",
        ),
        (format!("{head}a: {}\r\n\r\n", "b".repeat(33 << 10)), "not a sound response"),
        (format!("{head}{}\r\n", "a: b\r\n".repeat(101)), "not a sound response"),
        (format!("{head}{}", "a".repeat(64 << 10)), "not a sound response"),
    ] {
        let shown: String = sent.chars().take(60).collect();
        let server = Server::start(move |_| text(&sent)).await;
        let call = call(&[local(server.port)]);
        let error = whole(get(&call, &format!("http://127.0.0.1:{}/", server.port)).await).await.unwrap_err();
        assert!(error.to_string().contains(words), "{shown:?}: {error}");
        let record = call.requests().pop().unwrap();
        assert_eq!(record.problem, Some(error.to_string()), "{shown:?}");
    }
}

#[tokio::test]
async fn silence_ends_with_its_time() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n";
    let trickle = || head.iter().flat_map(|byte| [Step::Send(vec![*byte]), Step::Wait(Duration::from_millis(20))]);
    for (steps, words) in [
        ((|| vec![Step::Hold]) as fn() -> Vec<Step>, "the response's first byte took longer than 150 ms"),
        (|| vec![Step::Send(b"HTTP/1.1 200 OK\r\na: ".to_vec()), Step::Hold], "the response's first byte took longer"),
        (|| vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab".to_vec()), Step::Hold], "the next piece"),
    ] {
        let server = Server::start(move |_| steps()).await;
        let limits = EgressLimits { first_byte: SHORT, between_bytes: SHORT, ..limits() };
        let call = call_with(&[local(server.port)], Names::new(&[]), Vec::new(), limits);
        let error = whole(get(&call, &format!("http://127.0.0.1:{}/", server.port)).await).await.unwrap_err();
        assert!(matches!(error, EgressError::Timeout { .. }) && error.to_string().contains(words), "{error}");
        assert!(call.requests().pop().unwrap().problem.unwrap().contains(words));
    }
    // A head byte by byte has no more time than one that never comes; a guest may ask for less time.
    let server = Server::start(move |_| trickle().collect()).await;
    let call = call(&[local(server.port)]);
    let request = Request::get(format!("http://127.0.0.1:{}/", server.port)).body(Empty::<Bytes>::new()).unwrap();
    let asked = Timeouts { first_byte: Some(SHORT), ..Timeouts::default() };
    let error = call.send(request, asked).await.err().unwrap();
    assert!(matches!(error, EgressError::Timeout { milliseconds: 150, .. }), "{error}");
}

#[tokio::test]
async fn a_slow_but_steady_body_arrives() {
    let server = Server::start(|_| {
        let mut steps = vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n".to_vec())];
        steps.extend(b"hello".iter().flat_map(|byte| [Step::Wait(Duration::from_millis(60)), Step::Send(vec![*byte])]));
        steps
    })
    .await;
    let limits = EgressLimits { between_bytes: Duration::from_secs(2), ..limits() };
    let call = call_with(&[local(server.port)], Names::new(&[]), Vec::new(), limits);
    let sent = get(&call, &format!("http://127.0.0.1:{}/", server.port)).await;
    assert_eq!(whole(sent).await.unwrap().2, "hello");
}

#[tokio::test]
async fn limits_are_named_when_they_are_crossed() {
    let server = Server::start(|request| match request.split(' ').nth(1).unwrap() {
        "/chunked" => chunked(&[], &[&[b'a'; 60], &[b'b'; 60]]),
        "/endless" => {
            let mut steps = vec![Step::Send(b"HTTP/1.1 200 OK\r\n\r\n".to_vec())];
            steps.extend((0..1000).map(|_| Step::Send(vec![b'a'; 1000])));
            steps
        }
        "/half" => response("200 OK", &[], &[b'a'; 60]),
        "/head" => response("200 OK", &[], &[]),
        _ => response("200 OK", &[], &[b'a'; 120]),
    })
    .await;
    let at = |path: &str| format!("http://127.0.0.1:{}{path}", server.port);
    let new = || {
        let limits = EgressLimits { requests: 4, request_bytes: 10, response_bytes: 100, ..limits() };
        call_with(&[local(server.port)], Names::new(&[]), Vec::new(), limits)
    };
    for path in ["/whole", "/chunked", "/endless"] {
        let call = new();
        let error = whole(get(&call, &at(path)).await).await.unwrap_err();
        assert_eq!(
            (error, call.crossed()),
            (EgressError::Limit(LimitName::ResponseBytes), Some(LimitName::ResponseBytes))
        );
        assert_eq!(call.requests().len(), 1, "{path}");
    }
    let call = new();
    assert!(whole(get(&call, &at("/half")).await).await.is_ok());
    let error = whole(get(&call, &at("/half")).await).await.unwrap_err();
    assert_eq!(error, EgressError::Limit(LimitName::ResponseBytes), "all responses together");

    let call = new();
    assert!(send(&call, "POST", &at("/head"), &[], "123456").await.is_ok());
    let before = server.seen().len();
    let error = send(&call, "POST", &at("/head"), &[], "12345").await.err().unwrap();
    assert_eq!((error, call.crossed()), (EgressError::Limit(LimitName::RequestBytes), Some(LimitName::RequestBytes)));
    assert_eq!(server.seen().len(), before, "nothing of it was sent");

    let call = new();
    for _ in 0..4 {
        assert!(get(&call, "https://not.granted/").await.err().unwrap().missing().is_some());
    }
    assert_eq!(get(&call, &at("/head")).await.err(), Some(EgressError::Limit(LimitName::Requests)));
    assert_eq!((call.requests().len(), call.crossed()), (4, Some(LimitName::Requests)), "refused ones count");

    let call = new();
    let long = at(&format!("/{}", "a".repeat(9 << 10)));
    assert!(matches!(get(&call, &long).await.err().unwrap(), EgressError::Malformed(_)));
    let wide = "b".repeat(33 << 10);
    let error = send(&call, "GET", &at("/"), &[("a", &wide)], "").await.err().unwrap();
    assert!(matches!(error, EgressError::Malformed(_)), "{error}");
}

#[tokio::test]
async fn an_endless_request_is_cut_and_a_broken_one_not_sent() {
    let server = Server::start(|_| response("200 OK", &[], b"")).await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    let post = || Request::post(&url);
    let crossed = call(&[local(server.port)]);
    let endless = tokio_stream_of(|| Ok(http_body::Frame::data(Bytes::from_static(&[0; 4096]))));
    let error = crossed.send(post().body(endless).unwrap(), Timeouts::default()).await.err().unwrap();
    assert_eq!(error, EgressError::Limit(LimitName::RequestBytes));
    let error = get(&crossed, &url).await.err().unwrap();
    assert_eq!(error, EgressError::Limit(LimitName::RequestBytes), "a call that crossed a limit sends nothing more");
    let call = call(&[local(server.port)]);
    let broken = tokio_stream_of(|| Err(std::io::Error::other("the guest went away")));
    let error = call.send(post().body(broken).unwrap(), Timeouts::default()).await.err().unwrap();
    assert!(error.to_string().contains("the guest went away"), "{error}");
    let trailers = Full::new(Bytes::from_static(b"a")).with_trailers(async { Some(Ok(http::HeaderMap::new())) });
    let error = call.send(post().body(trailers).unwrap(), Timeouts::default()).await.err().unwrap();
    assert!(error.to_string().contains("trailers"), "{error}");
    assert!(server.seen().is_empty());
}

type Piece = Result<http_body::Frame<Bytes>, std::io::Error>;

/// A body without end.
fn tokio_stream_of(next: fn() -> Piece) -> impl http_body::Body<Data = Bytes, Error = std::io::Error> + Send + 'static {
    StreamBody::new(futures_util::stream::repeat_with(next))
}

#[tokio::test]
async fn names_and_ports_without_a_server_are_told_apart() {
    let closed = {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        server.local_addr().unwrap().port()
    };
    let names = Names::new(&[("none.example", &[])]);
    let granted = ["http GET http://none.example".to_owned(), local(closed)];
    let call = call_with(&granted, names, Vec::new(), limits());
    let error = get(&call, "http://none.example/").await.err().unwrap();
    assert!(matches!(&error, EgressError::Dns { .. }) && error.to_string().contains("no such name"), "{error}");
    let error = get(&call, &format!("http://127.0.0.1:{closed}/")).await.err().unwrap();
    assert!(matches!(&error, EgressError::Connect { .. }) && error.to_string().contains("refused"), "{error}");
}
