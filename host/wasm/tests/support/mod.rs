//! Building the guests of the tests from their text.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

use harness_core::{CallId, SessionId};
use harness_engine::ports::{CallReport, CallRequest, Hands};
use harness_wasm::filesystem::Base;
use harness_wasm::{
    CallLimits, Component, ComponentHands, ComponentSource, HandsSettings, ReadComponentError, Runtime,
};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

pub(crate) fn hands(runtime: &Arc<Runtime>, workspace: &Path, components: &[Arc<Component>]) -> ComponentHands {
    let base = Arc::new(Base::open(workspace, &[]).unwrap());
    ComponentHands::new(runtime.clone(), base, components.to_vec(), HandsSettings::default()).unwrap()
}

pub(crate) async fn call(hands: &ComponentHands, tool: &str, arguments: &str) -> CallReport {
    let mut request = CallRequest::new(SessionId::from_bits(1), CallId::from_bits(1), tool, arguments);
    request.granted = vec!["filesystem write /workspace".parse().unwrap()];
    hands.execute(request).await
}
