//! A component's own ceiling: what it does not ask for it does not get.

use crate::lab::{Lab, assert_not_granted, assert_over, guest, refused, returned};
use harness_core::event::Changes;
use harness_core::item::Effects;
use harness_core::outcome::LimitName;
use harness_engine::ports::Hands;
use harness_sim::http_server::{HttpServer, Reply};
use harness_wasm::{Component, ComponentSource};
use serde_json::json;

#[tokio::test]
async fn a_grant_beyond_the_ceiling_is_none() {
    let server = HttpServer::start([Reply::status(200, &[], "ok")]).await.unwrap();
    let manifest = json!({ "capabilities": [
        "filesystem read /workspace/sub", "kv read session", "env A", format!("http GET {}/in", server.url()),
        "secret forge 127.0.0.1 header x-key", "limit output-bytes 1000",
    ]});
    let lab = Lab::with(guest("caps-rust", Some(&manifest.to_string())));
    assert!(lab.hands.tools().iter().all(|tool| tool.effects == Effects::Requesting));
    let http = format!("http * {}", server.url());
    let granted = &["filesystem write /workspace", "kv write session", "env A=1", "env B=2", http.as_str()];

    assert_eq!(returned(&lab.call("read", json!({ "path": "/workspace/sub/b.txt" }), granted).await), "b");
    assert!(!lab.call("read", json!({ "path": "/workspace/a.txt" }), granted).await.outcome.is_success());
    let write = json!({ "how": "write", "path": "/workspace/sub/b.txt", "content": "new" });
    let report = lab.call("change", write, granted).await;
    assert_not_granted(&report, "filesystem write /workspace/sub");
    assert_eq!(report.changes, Changes::None);

    let steps = |how: &str| json!({ "steps": [{ "do": how, "key": "k", "value": "v" }] });
    assert_eq!(returned(&lab.call("kv", steps("get"), granted).await), "none");
    assert_not_granted(&lab.call("kv", steps("set"), granted).await, "kv write session");
    assert_eq!(returned(&lab.call("env", json!({}), granted).await), "A=1");

    let fetch = |path: &str| json!({ "url": format!("{}{path}", server.url()) });
    assert_eq!(returned(&lab.call("fetch", fetch("/in/x"), granted).await), "200  ok");
    let outside = lab.call("fetch", fetch("/out/x"), granted).await;
    assert_not_granted(&outside, &format!("http GET {}/out", server.url()));

    // What it asks for and was not granted is named as it asks for it.
    let report = lab.call("secret", json!({ "name": "forge" }), granted).await;
    assert_not_granted(&report, "secret forge 127.0.0.1 header x-key");
    let report = lab.call("read", json!({ "path": "/workspace/sub/b.txt" }), &[]).await;
    assert_not_granted(&report, "filesystem read /workspace/sub");
    assert_over(&lab.call("note", json!({ "hide": true }), &["limit output-bytes 1"]).await, LimitName::OutputBytes, 1);
}

#[tokio::test]
async fn who_asks_for_nothing_gets_nothing() {
    let lab = Lab::with(guest("caps-rust", Some(r#"{"capabilities":[]}"#)));
    assert!(lab.hands.tools().iter().all(|tool| tool.effects == Effects::Staged));
    let report = lab.call("read", json!({ "path": "/workspace/a.txt" }), &["filesystem write /workspace"]).await;
    assert!(!report.outcome.is_success());
    assert_eq!(refused(&report), [""; 0], "it did not ask for any folder");
}

#[test]
fn a_manifest_that_cannot_be_read_is_refused() {
    let whole = guest("caps-rust", None);
    for (manifest, words) in [
        ("[]", "section `harness:manifest`"),
        (r#"{"capabilities":["fly"]}"#, "is not a capability"),
        (r#"{"capabilities":7}"#, "section `harness:manifest`"),
    ] {
        let section = [&[16][..], b"harness:manifest", manifest.as_bytes()].concat();
        let bytes = [whole.bytes(), &[0, u8::try_from(section.len()).unwrap()], &section].concat();
        let source = ComponentSource { name: "odd".to_owned(), bytes: bytes.into() };
        let refused = Component::read(source).unwrap_err().to_string();
        assert!(refused.contains("`odd`") && refused.contains(words), "{refused}");
    }
}
