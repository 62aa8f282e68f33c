//! Components built for every released version of the contracts go on working, and released contracts do not change.
//! With `BLESS=1` the described component of the newest version is written where it is missing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use harness_core::outcome::{Part, Reply};
use harness_core::{CallId, Outcome, SessionId};
use harness_engine::ports::{CallRequest, Hands, Resume};
use harness_sim::memory_store::MemoryStore;
use harness_wasm::filesystem::Base;
use harness_wasm::{CallLimits, Component, ComponentHands, ComponentSource, HandsSettings, Runtime, RuntimeSettings};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Calls {
    call: Vec<Call>,
}

/// One call, and the one thing that is expected of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    component: String,
    tool: String,
    arguments: String,
    #[serde(default)]
    granted: Vec<String>,
    /// The call goes on from state `s` with this answer.
    answer: Option<String>,
    text: Option<String>,
    starts: Option<String>,
    json: Option<String>,
    asks: Option<String>,
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

fn versions() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(tests().join("golden/components")).unwrap();
    let mut versions: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    versions.sort();
    assert!(!versions.is_empty());
    versions
}

/// The contract without its words, which may be made clearer.
fn shape(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("//") && !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn released_contracts_do_not_change() {
    let mut compared = 0;
    for version in versions() {
        for package in std::fs::read_dir(version.join("wit")).unwrap() {
            let package = package.unwrap();
            for file in std::fs::read_dir(package.path()).unwrap() {
                let file = file.unwrap();
                let now = tests().join("../wit").join(package.file_name()).join(file.file_name());
                assert_eq!(shape(&file.path()), shape(&now), "{}: see wit/README.md", now.display());
                compared += 1;
            }
        }
    }
    assert!(compared >= 7, "{compared} contracts");
}

async fn component(runtime: &Runtime, path: &Path) -> Arc<Component> {
    if std::env::var_os("BLESS").is_some() && path.ends_with("0.1.0/described.wasm") && !path.exists() {
        let text = std::fs::read_to_string(tests().join("components-read/tool-describe.wat")).unwrap();
        std::fs::write(path, support::assemble(&text)).unwrap();
    }
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let source = ComponentSource { name, bytes: bytes.into() };
    let component = Component::read(source.clone()).unwrap();
    if !component.needs_describing() {
        return component;
    }
    let json = runtime.describe(&component).await.unwrap();
    Component::read_described(source, CallLimits::DEFAULT, &json).unwrap()
}

fn check(call: &Call, outcome: &Outcome) {
    let said = format!("{} {}: {outcome:?}", call.component, call.tool);
    let only = |parts: &[Part]| parts.first().cloned();
    match (outcome, call) {
        (Outcome::NeedsInput { question, .. }, Call { asks: Some(asks), .. }) => assert_eq!(question, asks, "{said}"),
        (Outcome::Returned { parts }, Call { json: Some(expected), .. }) => {
            let Some(Part::Json { json }) = only(parts) else { panic!("{said}") };
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(value(&json), value(expected), "{said}");
        }
        (Outcome::Returned { parts }, Call { text, starts, .. }) => {
            let Some(Part::Text { text: found }) = only(parts) else { panic!("{said}") };
            assert!(text.as_ref().is_none_or(|text| *text == found), "{said}");
            assert!(starts.as_ref().is_none_or(|starts| found.starts_with(starts)), "{said}");
            assert!(text.is_some() || starts.is_some(), "{said}: nothing is expected of it");
        }
        _ => panic!("{said}"),
    }
}

#[tokio::test]
async fn components_of_every_released_version_go_on_working() {
    let runtime = Arc::new(Runtime::new(RuntimeSettings { threads: 1, ..RuntimeSettings::default() }));
    let workspace = tempfile::tempdir().unwrap();
    let base = Arc::new(Base::open(workspace.path(), &[]).unwrap());
    for version in versions() {
        let calls = std::fs::read_to_string(version.join("calls.toml")).unwrap();
        let calls: Calls = toml::from_str(&calls).unwrap();
        for call in calls.call {
            let component = component(&runtime, &version.join(format!("{}.wasm", call.component))).await;
            let settings = HandsSettings { kv: Some(Arc::new(MemoryStore::default())), ..HandsSettings::default() };
            let hands = ComponentHands::new(runtime.clone(), base.clone(), vec![component], settings).unwrap();
            let (session, id) = (SessionId::from_bits(1), CallId::from_bits(1));
            let mut request = CallRequest::new(session, id, &*call.tool, &*call.arguments);
            request.granted = call.granted.iter().map(|text| text.parse().unwrap()).collect();
            request.granted.push("filesystem write /workspace".parse().unwrap());
            let reply = call.answer.clone().map(|text| Reply::Answer { text });
            request.resume = reply.map(|reply| Resume { state: "s".to_owned(), reply });
            check(&call, &hands.execute(request).await.outcome);
        }
    }
}
