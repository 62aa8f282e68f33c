//! Requests and secrets.

use crate::lab::{Lab, SECRET, assert_not_granted, assert_over, refused, returned};
use harness_core::Outcome;
use harness_core::item::Effects;
use harness_core::outcome::LimitName;
use harness_engine::ports::Hands;
use harness_sim::http_server::{After, HttpServer, Reply};
use serde_json::json;

async fn server(replies: impl IntoIterator<Item = Reply>) -> HttpServer {
    HttpServer::start(replies).await.unwrap()
}

fn ok(body: &str) -> Reply {
    Reply::status(200, &[("x-from", "server")], body)
}

#[tokio::test]
async fn a_request_leaves_where_it_was_granted() {
    let (lab, server) = (Lab::new(), server([ok("one"), ok("two")]).await);
    assert!(lab.hands.tools().iter().all(|tool| tool.effects == Effects::Requesting));
    let granted = [format!("http GET,POST {}/api", server.url())];
    let granted: Vec<&str> = granted.iter().map(String::as_str).collect();
    let url = format!("{}/api/x?q=1", server.url());
    let report = lab.call("fetch", json!({ "url": url }), &granted).await;
    assert_eq!(returned(&report), "200 x-from=server one");
    let body = json!({ "url": url, "method": "POST", "body": "0123456789", "body_times": 2_000 });
    let report = lab.call("fetch", body, &granted).await;
    assert_eq!(returned(&report), "200 x-from=server two");
    let made = &report.record.requests[0];
    assert_eq!((made.method.as_str(), made.url.as_str()), ("POST", url.split('?').next().unwrap()));
    assert_eq!((made.status, made.request_bytes, made.response_bytes), (Some(200), 20_000, 3));
    assert!(made.address.as_deref().is_some_and(|address| address.starts_with("127.0.0.1")));
    assert!(!report.record.inputs.unwrap().is_complete);
    let seen = server.requests();
    assert_eq!((seen[0].line.as_str(), seen[1].body.len()), ("GET /api/x?q=1 HTTP/1.1", 20_000));
    assert_eq!(seen[0].headers.iter().filter(|(name, _)| name == "host").count(), 1);
}

#[tokio::test]
async fn what_is_not_granted_is_named() {
    let (lab, server) = (Lab::new(), server([]).await);
    let url = format!("{}/api/x", server.url());
    let needed = format!("http GET {}/api", server.url());
    let elsewhere = format!("http GET {}/other", server.url());
    let posting = format!("http POST {}", server.url());
    let everywhere = format!("http GET {}", server.url().replace("127.0.0.1", "*"));
    for granted in [&[][..], &[elsewhere.as_str()], &[posting.as_str()], &[everywhere.as_str()]] {
        assert_not_granted(&lab.call("fetch", json!({ "url": url }), granted).await, &needed);
        let report = lab.call("fetch", json!({ "url": url, "hide": true }), granted).await;
        assert!(returned(&report).contains(&needed), "{}", returned(&report));
        assert_eq!(refused(&report), [needed.as_str()]);
        assert!(report.record.requests[0].problem.is_some());
    }
    assert_eq!(server.accepts(), 0);
}

#[tokio::test]
async fn headers_that_are_the_hosts_alone_are_refused() {
    let (lab, server) = (Lab::new(), server([]).await);
    let granted = format!("http * {}", server.url());
    for header in ["host", "transfer-encoding", "connection", "te", "proxy-authorization", "authorization", "x-api-key"]
    {
        let arguments = json!({ "url": server.url(), "headers": { header: "x" } });
        let report = lab.call("fetch", arguments, &[&granted]).await;
        assert!(matches!(report.outcome, Outcome::Failed { .. }), "{header}: {:?}", report.outcome);
    }
    let many = json!({ "url": server.url(), "headers": { "x-long": "y".repeat(40 << 10) } });
    assert!(!lab.call("fetch", many, &[&granted]).await.outcome.is_success());
    assert_eq!(server.accepts(), 0);
}

#[tokio::test]
async fn limits_are_named_also_where_the_guest_hides_them() {
    let replies = (0..20).map(|_| ok(&"z".repeat(10_000)));
    let (lab, server) = (Lab::new(), server(replies).await);
    let http = format!("http * {}", server.url());
    let get = json!({ "url": server.url(), "hide": true, "times": 3 });
    let report = lab.call("fetch", get.clone(), &[&http, "limit requests 2"]).await;
    assert_over(&report, LimitName::Requests, 2);
    assert_eq!(report.record.requests.len(), 2);
    let report = lab.call("fetch", get.clone(), &[&http, "limit response-bytes 25000"]).await;
    assert_over(&report, LimitName::ResponseBytes, 25_000);
    let post = json!({ "url": server.url(), "method": "POST", "hide": true, "body": "0123456789", "body_times": 500 });
    let report = lab.call("fetch", post, &[&http, "limit request-bytes 4999"]).await;
    assert_over(&report, LimitName::RequestBytes, 4_999);
    assert_eq!(returned(&lab.call("fetch", get, &[&http]).await), "200 x-from=server 10000 bytes");
}

#[tokio::test]
async fn a_server_that_does_not_answer_takes_no_longer_than_asked_or_left() {
    let hang = || Reply { pieces: Vec::new(), after: After::Hang };
    let (lab, server) = (Lab::new(), server([hang(), hang()]).await);
    let http = format!("http * {}", server.url());
    let short = json!({ "url": server.url(), "first_byte_ms": 50 });
    let report = lab.call("fetch", short, &[&http]).await;
    assert!(matches!(&report.outcome, Outcome::Failed { message, .. } if message.contains("Timeout")), "{report:?}");
    let report = lab.call("fetch", json!({ "url": server.url() }), &[&http, "limit deadline-ms 300"]).await;
    assert!(!report.outcome.is_success());
    assert_eq!(report.record.requests.len(), 1);
}

#[tokio::test]
async fn a_secret_is_put_in_at_the_edge_and_never_comes_back() {
    let echo = Reply::status(200, &[("x-echo", &format!("Bearer {SECRET}"))], &format!("you sent {SECRET}"));
    let (lab, server) = (Lab::new(), server([echo]).await);
    let http = format!("http GET {}", server.url());
    let secret = "secret forge 127.0.0.1 header authorization";
    let report = lab.call("secret", json!({ "name": "forge" }), &[&http, secret]).await;
    let told = returned(&report);
    let placeholder = told.split(' ').next_back().unwrap();
    assert!(told.starts_with("forge ") && !told.contains(SECRET), "{told}");
    // It is of no use in another call.
    let arguments = json!({ "url": server.url(), "headers": { "authorization": format!("Bearer {placeholder}") } });
    let report = lab.call("fetch", arguments, &[&http, secret]).await;
    assert!(!report.outcome.is_success() && server.accepts() == 0, "{:?}", report.outcome);

    let with_secret = json!({ "url": server.url(), "secret": "forge" });
    let report = lab.call("fetch", with_secret.clone(), &[&http, secret]).await;
    assert!(!format!("{report:?}").contains(SECRET), "{report:?}");
    assert!(returned(&report).starts_with("200 x-echo=Bearer "), "{}", returned(&report));
    let sent = server.requests();
    assert_eq!(sent[0].header("authorization"), Some(format!("Bearer {SECRET}").as_str()));
    let elsewhere = "secret forge 127.0.0.2 header authorization";
    let report = lab.call("fetch", with_secret, &[&http, elsewhere]).await;
    assert_not_granted(&report, secret);
}

#[tokio::test]
async fn a_secret_without_a_grant_or_a_value_is_said_to_be_that() {
    let lab = Lab::new();
    let report = lab.call("secret", json!({ "name": "forge" }), &[]).await;
    let Outcome::Failed { message, .. } = &report.outcome else { panic!("{:?}", report.outcome) };
    assert!(message.contains("NotGranted(\"secret forge HOST header|query FIELD\")"), "{message}");
    let report = lab.call("secret", json!({ "name": "other" }), &["secret other a.example query key"]).await;
    let Outcome::Failed { message, .. } = &report.outcome else { panic!("{:?}", report.outcome) };
    assert!(message.contains("NotConfigured"), "{message}");
}
