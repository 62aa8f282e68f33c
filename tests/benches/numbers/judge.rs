//! Judging a call: one question to a built-in mode's policy through the engine's port, thread hops included.

use crate::host::{Shared, executor};
use crate::quantity::Durations;
use crate::table::{Row, Table};
use harness_core::change::{Change, FileState, Manifest};
use harness_core::command_line::CommandLine;
use harness_core::item::{Category, Effects};
use harness_core::mode::PolicyQuestion;
use harness_core::{Digest, VerdictKind};
use harness_engine::ports::Policy;
use harness_wasm::{ComponentPolicies, ComponentSource, PolicyComponent, PolicyLimits};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// The mode that judges.
const MODE: &str = "mode-plan";
/// Questions before measuring, and measured.
const WARM_UP: usize = 500;
const QUESTIONS: usize = 5_000;
/// A line of three programs.
const LINE: &str = "git log --oneline | grep fix | head -5";
/// Staged changes of one call.
const CHANGES: usize = 100;

pub(crate) fn measure(shared: &Shared, table: &mut Table) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../components/dist/{MODE}.wasm"));
    let source = ComponentSource {
        name: MODE.to_owned(),
        bytes: std::fs::read(&path).expect("components/build makes it").into(),
    };
    let mode = Arc::new(PolicyComponent::read(source, PolicyLimits::DEFAULT).unwrap());
    let runtime = shared.place("judge").component_runtime();
    let policies = ComponentPolicies::new(runtime, vec![mode.clone()]).unwrap();
    let edit = question(&mode, "edit_file", Category::Edit, None);
    let shell = question(&mode, "shell", Category::Execute, None);
    let staged = question(&mode, "shell", Category::Execute, Some(changes()));
    for (name, what, question, verdict) in [
        ("judge", "a question to the mode plan, about a call's arguments", edit, VerdictKind::Deny),
        ("", "the same about a command line of three programs", shell, VerdictKind::Allow),
        ("", "the same about 100 staged changes", staged, VerdictKind::Deny),
    ] {
        table.push(Row::p50_p99(name, what, &times(&policies, &question, verdict)));
    }
}

fn times(policies: &ComponentPolicies, question: &PolicyQuestion, verdict: VerdictKind) -> Durations {
    executor().block_on(async {
        let mut times = Vec::with_capacity(QUESTIONS);
        for number in 0..WARM_UP + QUESTIONS {
            let asked = question.clone();
            let begin = Instant::now();
            let answer = policies.judge(asked).await;
            if number >= WARM_UP {
                times.push(begin.elapsed());
            }
            assert_eq!(answer.verdict, Some(verdict), "{answer:?}");
        }
        Durations::new(times)
    })
}

fn question(mode: &PolicyComponent, tool: &str, category: Category, staged: Option<Manifest>) -> PolicyQuestion {
    let arguments = r#"{"path":"src/lib.rs","old":"one","new":"two"}"#;
    PolicyQuestion {
        subject: Digest::of(arguments.as_bytes()),
        policy: mode.digest(),
        mode: "plan".to_owned(),
        call: None,
        tool: tool.to_owned(),
        component: tool.to_owned(),
        category,
        effects: Effects::Staged,
        arguments: arguments.into(),
        command_line: (tool == "shell").then(|| CommandLine::parse(LINE)),
        staged,
        is_tainted: false,
        trust: Default::default(),
        budget_left: Default::default(),
        history: Default::default(),
    }
}

fn changes() -> Manifest {
    let after = Some(FileState::File { digest: Digest::of(b"x"), bytes: 1, executable: false });
    let change = |number: usize| Change { path: format!("src/{number}.rs"), before: None, after: after.clone() };
    Manifest::new((0..CHANGES).map(change).collect())
}
