//! Nothing passes from call to call: not through memory, tables, globals or slots of the pool.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use harness_core::Outcome;
use harness_wasm::{CallLimits, Runtime, RuntimeSettings};
use std::sync::Arc;

/// Components that follow each other: more than the slots that the pool keeps for components that do
/// not run, so that later ones get the slots of earlier ones.
const COMPONENTS: usize = 100;
/// How often one component writes a secret and looks for it.
const ROUNDS: usize = 20;

fn guest(variant: usize) -> Arc<harness_wasm::Component> {
    let text = std::fs::read_to_string(support::corpus().join("isolation/memory.wat")).unwrap();
    let text = text.replacen(";; @tools", &format!("(@custom \"variant\" \"{variant}\")\n;; @tools"), 1);
    support::read("memory", support::assemble(&text), CallLimits::DEFAULT).unwrap()
}

#[tokio::test]
async fn a_secret_in_memory_is_gone_with_its_call() {
    let root = tempfile::tempdir().unwrap();
    // One thread: calls of one component follow each other in the same slot.
    let runtime = Arc::new(Runtime::new(RuntimeSettings { threads: 1, ..RuntimeSettings::default() }));
    let ok = Outcome::text("ok");
    let own = support::hands(&runtime, root.path(), &[guest(0)]);
    for round in 0..ROUNDS {
        assert_eq!(support::call(&own, "attack", "{}").await.outcome, ok, "writes the secret, round {round}");
        assert_eq!(support::call(&own, "attack", "{\"look\": 1}").await.outcome, ok, "looks for it, round {round}");
    }
    for variant in 1..=COMPONENTS {
        let other = support::hands(&runtime, root.path(), &[guest(variant)]);
        let report = support::call(&other, "attack", "{\"look\": 1}").await;
        assert_eq!(report.outcome, ok, "component {variant} found a byte of another one");
        assert_eq!(support::call(&other, "attack", "{}").await.outcome, ok, "writes the secret");
    }
}

/// Calls of two sessions that follow each other, one of each.
const ALTERNATIONS: usize = 1_000;

#[tokio::test]
async fn a_secret_of_one_session_is_never_seen_by_another() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let runtime = Arc::new(Runtime::new(RuntimeSettings { threads: 1, ..RuntimeSettings::default() }));
    // The same component: the second session gets the very slots that the first has just left.
    let writer = support::hands(&runtime, one.path(), &[guest(0)]);
    let reader = support::hands(&runtime, other.path(), &[guest(0)]);
    for turn in 0..ALTERNATIONS {
        let wrote = support::call(&writer, "attack", "{}").await;
        assert_eq!(wrote.outcome, Outcome::text("ok"), "writes the secret, turn {turn}");
        let looked = support::call(&reader, "attack", "{\"look\": 1}").await;
        assert_eq!(looked.outcome, Outcome::text("ok"), "the other session looks for it, turn {turn}");
    }
}
