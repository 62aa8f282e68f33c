//! The library's example: a whole agent in a few lines, which runs.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_tests::program::example;
use std::path::Path;
use std::process::Command;

/// Lines of the example that are neither empty nor a comment are fewer than this.
const LINES_MAX: usize = 40;

#[test]
fn an_agent_is_built_in_a_few_lines_and_runs() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/cli/examples/agent.rs");
    let text = std::fs::read_to_string(source).unwrap();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count();
    assert!((10..LINES_MAX).contains(&lines), "{lines} lines");

    // As somebody would who has no key and no settings.
    let home = tempfile::tempdir().unwrap();
    let ran = Command::new(example("agent")).env_clear().env("HOME", home.path()).output().unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{wrong}");
    assert!(said.contains("src/") && said.contains(".rs:"), "the answer names files and lines: {said}");
}
