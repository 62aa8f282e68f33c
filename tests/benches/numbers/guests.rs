//! Guests of the hostile corpus, for measurements under attack and of guests that wait.
//!
//! Not here: what is expected of them (`host/wasm/tests/hostile.rs`).

use harness_wasm::{CallLimits, Component, ComponentSource};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Parts that the corpus's texts name in a comment of their own line.
const PARTS: [(&str, &str); 4] =
    [(";; @tools", "tools.wat"), (";; @realloc", "realloc.wat"), (";; @ok", "ok.wat"), (";; @tool", "tool.wat")];

/// The tool that all of them declare.
pub(crate) const TOOL: &str = "attack";

/// A case, by family and name, with limits of its own.
pub(crate) fn case(case: &str, limits: CallLimits) -> Arc<Component> {
    let text = std::fs::read_to_string(corpus().join(format!("cases/{case}.wat"))).unwrap();
    let mut whole = String::new();
    for line in text.lines() {
        match PARTS.iter().find(|(mark, _)| line.trim() == *mark) {
            Some((_, part)) => whole += &std::fs::read_to_string(corpus().join("parts").join(part)).unwrap(),
            None => whole += line,
        }
        whole.push('\n');
    }
    let bytes = wat::parse_str(&whole).unwrap_or_else(|error| panic!("{case}: {error}"));
    Component::read_with(ComponentSource { name: case.to_owned(), bytes: bytes.into() }, limits).unwrap()
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile")
}
