//! Building the guests of the tests from their text.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

pub(crate) mod case;
pub(crate) mod ground;

use harness_core::{CallId, SessionId};
use harness_engine::ports::{CallReport, CallRequest, Hands};
use harness_sim::memory_store::MemoryStore;
use harness_wasm::filesystem::Base;
use harness_wasm::{
    CallLimits, Component, ComponentHands, ComponentSource, HandsSettings, ReadComponentError, Runtime,
};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What calls are granted unless a test says otherwise.
pub(crate) const WORKSPACE: &str = "filesystem write /workspace";

/// The corpus.
pub(crate) fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/hostile")
}

/// Puts the shared parts in place of their marks, and assembles.
pub(crate) fn assemble(text: &str) -> Vec<u8> {
    let part = |name: &str| std::fs::read_to_string(corpus().join("parts").join(name)).unwrap();
    let mut whole = String::new();
    let mut contract = None;
    for line in text.lines() {
        let mut words = line.trim().trim_start_matches(";; ").split(' ');
        let number = |word: Option<&str>| word.unwrap().parse::<usize>().unwrap();
        match words.next() {
            Some("@tools") => whole += &part("tools.wat"),
            Some("@realloc") => whole += &part("realloc.wat"),
            Some("@ok") => whole += &part("ok.wat"),
            Some("@sleep") => whole += &part("sleep.wat"),
            Some("@tool") => whole += &part("tool.wat"),
            Some("@as") => contract = words.next(),
            Some("@tools-of-bytes") => whole += &tools_section(&format!("\"{}\"", "x".repeat(number(words.next())))),
            Some("@tools-nested") => {
                let depth = number(words.next());
                let schema = format!("{}0{}", "{\"a\":".repeat(depth), "}".repeat(depth));
                whole += &tools_section(&format!(
                    "[{{\"name\":\"a\",\"description\":\"\",\"category\":\"other\",\"parameters\":{schema}}}]"
                ));
            }
            _ => whole += line,
        }
        whole.push('\n');
    }
    if let Some(contract) = contract {
        whole = whole.replace("harness:tool/tool@0.1.0", contract);
    }
    wat::parse_str(&whole).unwrap_or_else(|error| panic!("{error}"))
}

fn tools_section(json: &str) -> String {
    format!("(@custom \"harness:tools\" \"{}\")", json.replace('"', "\\\""))
}

pub(crate) fn read(name: &str, bytes: Vec<u8>, limits: CallLimits) -> Result<Arc<Component>, ReadComponentError> {
    Component::read_with(ComponentSource { name: name.to_owned(), bytes: Cow::Owned(bytes) }, limits)
}

/// A built-in tool as components/build made it.
pub(crate) fn built_in(name: &str) -> Arc<Component> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../components/dist/{name}.wasm"));
    read(name, std::fs::read(path).unwrap(), CallLimits::DEFAULT).unwrap()
}

/// A workspace with ways out of it, inside this folder.
pub(crate) fn workspace(root: &Path) -> PathBuf {
    use std::os::unix::fs::symlink;
    let work = root.join("work");
    std::fs::create_dir_all(work.join("inside")).unwrap();
    std::fs::create_dir(root.join("outside")).unwrap();
    std::fs::write(root.join("outside/secret"), "secret").unwrap();
    std::fs::write(work.join("inside/file"), "inside").unwrap();
    symlink("../outside", work.join("link-out")).unwrap();
    symlink(root.join("outside/secret"), work.join("link-absolute")).unwrap();
    symlink("..", work.join("link-up")).unwrap();
    symlink("link-loop", work.join("link-loop")).unwrap();
    symlink("../outside/new", work.join("link-dangling")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(work.join("pipe")).status().unwrap();
    assert!(made.success());
    work
}

/// What lies outside of that workspace is as it was.
pub(crate) fn assert_outside_is_untouched(root: &Path) {
    assert_eq!(std::fs::read_dir(root.join("outside")).unwrap().count(), 1, "something was made outside");
    assert_eq!(std::fs::read(root.join("outside/secret")).unwrap(), b"secret");
}

/// A tool that answers "ok".
pub(crate) fn neighbour() -> Arc<Component> {
    let text = std::fs::read_to_string(corpus().join("neighbour.wat")).unwrap();
    read("neighbour", assemble(&text), CallLimits::DEFAULT).unwrap()
}

pub(crate) fn hands(runtime: &Arc<Runtime>, workspace: &Path, components: &[Arc<Component>]) -> ComponentHands {
    let base = Arc::new(Base::open(workspace, &[]).unwrap());
    let settings = HandsSettings { kv: Some(Arc::new(MemoryStore::new())), ..HandsSettings::default() };
    ComponentHands::new(runtime.clone(), base, components.to_vec(), settings).unwrap()
}

pub(crate) async fn call(hands: &ComponentHands, tool: &str, arguments: &str) -> CallReport {
    let mut request = CallRequest::new(SessionId::from_bits(1), CallId::from_bits(1), tool, arguments);
    request.granted = vec![WORKSPACE.parse().unwrap()];
    hands.execute(request).await
}
