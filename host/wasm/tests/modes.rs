//! Modes and hooks through the real runtime: the built-in ones, one in Python, and a hostile one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use harness_core::change::{Change, FileState, Manifest};
use harness_core::command_line::{CommandLine, NotUnderstood};
use harness_core::item::{Category, Effects};
use harness_core::mode::{HookPoint, HookWish, PolicyAnswer, PolicyQuestion};
use harness_core::{Digest, VerdictKind};
use harness_engine::ports::{HookOccasion, Policy};
use harness_wasm::{
    CACHE_BYTES_MAX_DEFAULT, CacheSettings, CallLimits, Component, ComponentPolicies, ComponentSource, Kind,
    PoliciesError, PolicyComponent, PolicyLimits, Runtime, RuntimeSettings,
};
use std::path::Path;
use std::sync::Arc;

const BUILT_IN: [&str; 4] = ["auto", "build", "plan", "review"];
/// A built-in mode's binary, in bytes.
const BUILT_IN_BYTES_MAX: usize = 150_000;
/// What a model is told when it enters a built-in mode, in bytes.
const INSTRUCTIONS_BYTES_MAX: usize = 800;

fn source(name: &str, file: &str) -> ComponentSource {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}: run components/build and tests/guests/build", path.display());
    });
    ComponentSource { name: name.to_owned(), bytes: bytes.into() }
}

fn built_in(mode: &str) -> Arc<PolicyComponent> {
    let name = format!("mode-{mode}");
    let source = source(&name, &format!("components/dist/{name}.wasm"));
    Arc::new(PolicyComponent::read(source, PolicyLimits::DEFAULT).unwrap())
}

fn hostile() -> ComponentSource {
    source("hostile", "tests/guests/dist/mode-hostile.wasm")
}

/// One cache for all runs of the tests: CPython takes long to compile.
fn runtime() -> Arc<Runtime> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let cache = CacheSettings {
        folder: folder.join("modes-compiled"),
        key_file: folder.join("modes.key"),
        bytes_max: CACHE_BYTES_MAX_DEFAULT,
    };
    Arc::new(Runtime::new(RuntimeSettings { cache: Some(cache), ..RuntimeSettings::default() }))
}

async fn described(runtime: &Runtime, source: ComponentSource, limits: PolicyLimits) -> Arc<PolicyComponent> {
    let component = PolicyComponent::read(source.clone(), limits).unwrap();
    assert!(component.needs_describing() && component.mode().is_none());
    let json = runtime.describe_policy(&component).await.unwrap();
    Arc::new(PolicyComponent::read_described(source, limits, &json).unwrap())
}

fn policies(runtime: &Arc<Runtime>, components: &[&Arc<PolicyComponent>]) -> ComponentPolicies {
    let components = components.iter().map(|component| (*component).clone()).collect();
    ComponentPolicies::new(runtime.clone(), components).unwrap()
}

/// The command line of a call, as the core finds it.
fn line(arguments: &str) -> Option<Result<CommandLine, NotUnderstood>> {
    let arguments: serde_json::Value = serde_json::from_str(arguments).ok()?;
    Some(CommandLine::parse(arguments.get("command")?.as_str()?))
}

fn question(policy: &PolicyComponent, tool: &str, arguments: &str) -> PolicyQuestion {
    PolicyQuestion {
        subject: Digest::of(arguments.as_bytes()),
        policy: policy.digest(),
        mode: policy.mode().unwrap().name.clone(),
        call: None,
        tool: tool.to_owned(),
        component: "component".to_owned(),
        category: Category::Execute,
        effects: Effects::Staged,
        arguments: arguments.into(),
        command_line: line(arguments),
        staged: None,
        is_tainted: false,
        trust: Default::default(),
        budget_left: Default::default(),
        history: Default::default(),
    }
}

fn staged(paths: &[&str]) -> Option<Manifest> {
    let after = Some(FileState::File { digest: Digest::of(b"x"), bytes: 7, executable: false });
    let created = |path: &&str| Change { path: (*path).to_owned(), before: None, after: after.clone() };
    Some(Manifest::new(paths.iter().map(created).collect()))
}

#[tokio::test]
async fn built_in_modes_are_small_and_say_what_their_section_says() {
    let runtime = runtime();
    for mode in BUILT_IN {
        let component = built_in(mode);
        assert!(component.bytes().len() < BUILT_IN_BYTES_MAX, "{mode}: {} bytes", component.bytes().len());
        assert_eq!(component.kind(), Kind::Mode);
        let spec = component.mode().unwrap();
        assert_eq!((spec.name.as_str(), spec.policy), (mode, Some(component.digest())));
        assert!(spec.instructions.len() < INSTRUCTIONS_BYTES_MAX, "{mode}: {}", spec.instructions.len());
        assert!(spec.leads_to.iter().all(|to| BUILT_IN.contains(&to.as_str())), "{spec:?}");
        let told: serde_json::Value =
            serde_json::from_str(&runtime.describe_policy(&component).await.unwrap()).unwrap();
        let told = &told["mode"];
        assert_eq!(told["instructions"].as_str(), Some(spec.instructions.as_str()));
        assert_eq!(told["description"].as_str(), Some(spec.description.as_str()));
        assert_eq!(told["leads_to"], serde_json::to_value(&spec.leads_to).unwrap());
        assert!(Component::read(source(mode, &format!("components/dist/mode-{mode}.wasm"))).is_err());
    }
    let components: Vec<_> = BUILT_IN.map(built_in).to_vec();
    let policies = ComponentPolicies::new(runtime, components).unwrap();
    assert_eq!(policies.modes().iter().map(|mode| mode.name.as_str()).collect::<Vec<_>>(), BUILT_IN);
    assert!(!policies.has_hooks(HookPoint::Prompt));
}

#[tokio::test]
async fn plan_holds_against_arguments_and_staged_changes() {
    let runtime = runtime();
    let plan = built_in("plan");
    let policies = policies(&runtime, &[&plan]);
    let table = [
        ("ls | sort", None, Some(VerdictKind::Allow), "reads"),
        ("ls && rm x", None, Some(VerdictKind::Deny), "changes"),
        ("echo $(rm x)", None, Some(VerdictKind::Deny), "changes"),
        ("ls > x", None, Some(VerdictKind::Deny), "writes-file"),
        ("ls | tee x", None, Some(VerdictKind::Deny), "changes"),
        ("PATH=. ls", None, Some(VerdictKind::Deny), "dynamic-program"),
        ("ls 'x", None, Some(VerdictKind::Deny), "not-understood"),
        ("ls", staged(&[]), Some(VerdictKind::Allow), "no-changes"),
        ("ls", staged(&["a", "b"]), Some(VerdictKind::Deny), "changes"),
    ];
    for (line, changes, verdict, rule) in table {
        let arguments = serde_json::json!({ "command": line }).to_string();
        let asked = PolicyQuestion { staged: changes, ..question(&plan, "shell", &arguments) };
        let answer = policies.judge(asked.clone()).await;
        assert_eq!((answer.verdict, answer.rule.as_str()), (verdict, rule), "{line}: {answer:?}");
        assert_eq!((answer.subject, answer.policy), (asked.subject, plan.digest()));
        assert!(answer.fuel > 0 && !answer.words.is_empty() && answer.narrowed.is_none());
    }
}

#[tokio::test]
async fn the_same_question_gets_the_same_answer_for_the_same_fuel() {
    let hostile = described(&runtime(), hostile(), PolicyLimits::DEFAULT).await;
    let plan = built_in("plan");
    let mut first: Vec<PolicyAnswer> = Vec::new();
    for _ in 0..3 {
        // In another engine, and with others beside it.
        let runtime = runtime();
        let policies = Arc::new(policies(&runtime, &[&plan, &hostile]));
        let mut questions = vec![question(&plan, "shell", r#"{"command":"ls | sort"}"#)];
        for tool in ["chance", "clock", "environment", "trap", "endless-loop", "memory", "anything"] {
            questions.push(question(&hostile, tool, r#"{"a":1}"#));
        }
        let ask = |question: PolicyQuestion| {
            let policies = policies.clone();
            tokio::spawn(async move { policies.judge(question).await })
        };
        let asked: Vec<_> = questions.into_iter().map(ask).collect();
        let mut answers = Vec::new();
        for answer in asked {
            answers.push(answer.await.unwrap());
        }
        if first.is_empty() {
            first.clone_from(&answers);
        }
        assert_eq!(first, answers);
    }
}

#[tokio::test]
async fn whatever_a_policy_does_ends_as_an_answer() {
    let runtime = runtime();
    let hostile = described(&runtime, hostile(), PolicyLimits::DEFAULT).await;
    let policies = policies(&runtime, &[&hostile]);
    let table = [
        ("endless-loop", "crossed fuel = 200000000"),
        ("endless-recursion", "stopped: out of bounds memory access"),
        ("memory", "crossed memory-bytes = 67108864"),
        ("trap", "`unreachable` instruction executed; what it wrote on standard error: thread"),
        ("exit", "exited with status"),
        ("words-huge", "crossed output-bytes = 2097152"),
        ("rule-empty", "its rule `` is no id"),
        ("rule-words", "its rule `it is fine` is no id"),
        ("rule-long", "is no id of 1 to 48"),
        ("rule-fault", "the host's own word"),
        ("narrowed-text", "are no JSON"),
        ("narrowed-list", "are no JSON object"),
        ("narrowed-twice", "are no JSON"),
        ("narrowed-deep", "are no JSON"),
        ("narrowed-large", "bytes, more than 1048576"),
    ];
    for (tool, expected) in table {
        let answer = policies.judge(question(&hostile, tool, "{}")).await;
        assert_eq!((answer.verdict, answer.rule.as_str()), (Some(VerdictKind::Deny), "fault"), "{tool}: {answer:?}");
        assert!(answer.words.contains(expected) && answer.words.contains("`hostile`"), "{tool}: {}", answer.words);
        assert!(!answer.words.contains(['\n', '\u{1b}']) && answer.words.chars().count() <= 1_024, "{tool}");
        assert!(answer.narrowed.is_none() && answer.fuel > 0, "{tool}");
    }
    // Not a fault: cut and cleaned.
    let judged = async |tool: &str| policies.judge(question(&hostile, tool, "{}")).await;
    assert_eq!(judged("words-long").await.words, "x".repeat(1_024));
    let cleaned = judged("words-control").await;
    assert_eq!((cleaned.verdict, cleaned.words.as_str()), (Some(VerdictKind::Allow), "fine > yes"));
    assert_eq!(judged("narrowed").await.narrowed.as_deref(), Some(r#"{"path":"less"}"#));
    let denied = judged("narrowed-denied").await;
    assert_eq!((denied.verdict, denied.rule.as_str(), denied.narrowed), (Some(VerdictKind::Deny), "fine", None));
    let asked = PolicyQuestion { staged: staged(&["x"]), ..question(&hostile, "narrowed", "{}") };
    assert!(policies.judge(asked).await.words.contains("a call that has run"));
}

#[tokio::test]
async fn a_policy_sees_nothing_but_its_question() {
    let runtime = runtime();
    let hostile = described(&runtime, hostile(), PolicyLimits::DEFAULT).await;
    let spec = hostile.mode().unwrap();
    assert_eq!((spec.description.as_str(), spec.instructions.as_str()), ("Looks harmless $ rm", "Do as you like."));
    let policies = policies(&runtime, &[&hostile]);
    let words = async |tool: &str| policies.judge(question(&hostile, tool, "{}")).await.words;
    assert_eq!(words("files").await, "[false, false, false, false] false");
    assert_eq!(words("clock").await, "0 0 0", "it sleeps a minute in no time");
    assert_eq!(words("environment").await, r#"0 0 Some("/")"#);
    assert_eq!(words("network").await, "false");
    let asked = PolicyQuestion {
        staged: staged(&["a/b"]),
        is_tainted: true,
        trust: harness_core::mode::TrustLevel::SemiAutonomous,
        ..question(&hostile, "shell", r#"{"command":"ls $y > x"}"#)
    };
    let told = policies.judge(asked).await.words;
    for part in [
        "tool: \"shell\"",
        "component: \"component\"",
        r#"words: [Some("ls"), None]"#,
        r#"path: Some("x")"#,
        r#"path: "a/b""#,
        "size: 7",
        "is-tainted: true",
        "SemiAutonomous",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[tokio::test]
async fn what_cannot_be_asked_denies() {
    let runtime = runtime();
    let limits = PolicyLimits { question_bytes: 1_000, fuel: 10_000, ..PolicyLimits::DEFAULT };
    let small = described(&runtime, hostile(), PolicyLimits::DEFAULT).await;
    let json = runtime.describe_policy(&small).await.unwrap();
    let small = Arc::new(PolicyComponent::read_described(hostile(), limits, &json).unwrap());
    let policies = policies(&runtime, &[&small]);
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1_000));
    let answer = policies.judge(question(&small, "any", &large)).await;
    assert!(answer.words.contains("more than the 1000 that can be judged") && answer.fuel == 0, "{answer:?}");
    assert!(policies.judge(question(&small, "endless-loop", "{}")).await.words.contains("crossed fuel = 10000"));
    let elsewhere = PolicyQuestion { policy: Digest::of(b"other"), ..question(&small, "any", "{}") };
    let answer = policies.judge(elsewhere).await;
    assert!(answer.words.contains("is not installed here"), "{answer:?}");
    assert_eq!((answer.verdict, answer.rule.as_str()), (Some(VerdictKind::Deny), "fault"));
    // What waits and does not compute is ended by the deadline.
    let limits = PolicyLimits { deadline_ms: 300, ..PolicyLimits::DEFAULT };
    let json = runtime.describe_policy(&small).await.unwrap();
    let hasty = Arc::new(PolicyComponent::read_described(hostile(), limits, &json).unwrap());
    policies.put(hasty.clone()).unwrap();
    let answer = policies.judge(question(&hasty, "endless-sleep", "{}")).await;
    assert!(answer.words.contains("crossed deadline-ms = 300") && answer.fuel == limits.fuel, "{answer:?}");
    // Describing is bounded in the same way.
    let short = PolicyComponent::read(hostile(), PolicyLimits { fuel: 100, ..PolicyLimits::DEFAULT }).unwrap();
    let problem = runtime.describe_policy(&short).await.unwrap_err().to_string();
    assert!(problem.contains("`hostile`") && problem.contains("crossed fuel = 100"), "{problem}");
}

#[tokio::test]
async fn hooks_run_in_their_order_and_break_alone() {
    let runtime = runtime();
    let json =
        runtime.describe_policy(&PolicyComponent::read(hostile(), PolicyLimits::DEFAULT).unwrap()).await.unwrap();
    let named = |name: &str| ComponentSource { name: name.to_owned(), ..hostile() };
    let mode = Arc::new(PolicyComponent::read_described(named("the-mode"), PolicyLimits::DEFAULT, &json).unwrap());
    assert_eq!(mode.hook_points(), [HookPoint::Prompt, HookPoint::BeforeCall, HookPoint::Stop]);
    assert_eq!(mode.kind(), Kind::ModeWithHooks);
    let alone = |name: &str| Arc::new(hooks_alone(name));
    let policies = policies(&runtime, &[&mode, &alone("b"), &alone("a")]);
    assert!(policies.has_hooks(HookPoint::Prompt) && policies.has_hooks(HookPoint::SessionEnd));
    assert!(!policies.has_hooks(HookPoint::AfterStep));
    let run = async |point: HookPoint, mode_name: &str, text: &str| {
        let details = serde_json::json!({ "text": text });
        let policy = (mode_name == "hostile").then(|| mode.digest());
        let occasion = HookOccasion { point, mode: mode_name.to_owned(), policy, details, history: Default::default() };
        policies.run_hooks(occasion).await
    };
    let names = |answers: &[harness_core::mode::HookAnswer]| -> Vec<String> {
        answers.iter().map(|answer| answer.component.clone()).collect()
    };
    assert_eq!(names(&run(HookPoint::Prompt, "hostile", "hi").await), ["a", "b", "the-mode"]);
    assert_eq!(names(&run(HookPoint::Prompt, "other", "hi").await), ["a", "b"]);
    assert_eq!(names(&run(HookPoint::SessionEnd, "hostile", "hi").await), ["a", "b"]);
    assert_eq!(names(&run(HookPoint::Stop, "hostile", "hi").await), ["the-mode"]);
    let of_mode = async |text: &str| run(HookPoint::Stop, "hostile", text).await.remove(0);
    assert_eq!(of_mode("stop").await.wish, HookWish::Stop { reason: "enough > go on".to_owned() });
    assert_eq!(of_mode("other-mode").await.wish, HookWish::Mode { mode: "plan".to_owned() });
    assert_eq!(of_mode("long-note").await.note.chars().count(), 4_096);
    assert!(of_mode("hi").await.note.contains(r#"details: "{\"text\":\"hi\"}""#));
    for (text, expected) in
        [("trap", "unreachable"), ("endless-loop", "crossed fuel"), ("no-mode", "not a mode's name")]
    {
        let answer = of_mode(text).await;
        assert_eq!((answer.wish, answer.note.as_str()), (HookWish::GoOn, ""));
        assert!(answer.fault.as_ref().unwrap().contains(expected), "{text}: {:?}", answer.fault);
    }
}

/// Hooks without a mode, as text: they go on.
fn hooks_alone(name: &str) -> PolicyComponent {
    let bytes = wat::parse_str(HOOKS).unwrap();
    let source = ComponentSource { name: name.to_owned(), bytes: bytes.into() };
    PolicyComponent::read(source, PolicyLimits::DEFAULT).unwrap()
}

const HOOKS: &str = include_str!("../../../tests/components-read/hooks.wat");

#[test]
fn what_does_not_fit_is_refused_with_both_versions_named() {
    let read = |source: ComponentSource| PolicyComponent::read(source, PolicyLimits::DEFAULT).unwrap_err().to_string();
    let later = wat::parse_str(HOOKS.replace("hooks@0.1.0", "hooks@0.2.0")).unwrap();
    let problem = read(ComponentSource { name: "later".to_owned(), bytes: later.into() });
    assert!(
        problem.contains("`harness:mode/hooks@0.2.0`") && problem.contains("`harness:mode/hooks@0.1.0`"),
        "{problem}"
    );
    let problem = read(source("read_file", "components/dist/read_file.wasm"));
    assert_eq!(problem, "component `read_file` is a tool, not a mode");
    let problem = Component::read_with(hostile(), CallLimits::DEFAULT).unwrap_err().to_string();
    assert_eq!(problem, "component `hostile` is a mode with hooks, not a tool");
    let leads = r#"{"mode":{"name":"hostile","leads_to":["build","build"]}}"#;
    let problem = PolicyComponent::read_described(hostile(), PolicyLimits::DEFAULT, leads).unwrap_err().to_string();
    assert_eq!(problem, "component `hostile` says wrongly what it is: it leads to `build` twice");
}

#[tokio::test]
async fn one_mode_takes_anothers_place() {
    let runtime = runtime();
    let hostile = described(&runtime, hostile(), PolicyLimits::DEFAULT).await;
    let as_plan = r#"{"mode":{"name":"plan"}}"#;
    let own = PolicyComponent::read_described(self::hostile(), PolicyLimits::DEFAULT, as_plan).unwrap();
    let (own, plan) = (Arc::new(own), built_in("plan"));
    let both = vec![plan.clone(), own.clone()];
    let error = ComponentPolicies::new(runtime.clone(), both).err().unwrap();
    assert!(matches!(&error, PoliciesError::DuplicateMode { mode, .. } if mode == "plan"), "{error}");
    let policies = policies(&runtime, &[&plan]);
    let before = policies.put(own.clone()).unwrap().unwrap();
    assert_eq!(before.digest(), plan.digest());
    assert_eq!(policies.mode("plan").unwrap().policy, Some(hostile.digest()));
    // Who was asked of the old one is still answered by it.
    assert_eq!(policies.judge(question(&plan, "edit", "{}")).await.rule, "reads");
    assert_eq!(policies.judge(question(&own, "edit", "{}")).await.rule, "fine");
    let bare = Arc::new(PolicyComponent::read(self::hostile(), PolicyLimits::DEFAULT).unwrap());
    assert!(policies.put(bare).unwrap_err().to_string().contains("was not asked what it is"));
}

#[tokio::test]
async fn a_mode_in_python_judges() {
    let runtime = runtime();
    let source = source("mode-python", "tests/guests/dist/mode-python.wasm");
    let docs = described(&runtime, source, PolicyLimits::DEFAULT).await;
    assert_eq!(docs.mode().unwrap().name, "docs");
    let policies = policies(&runtime, &[&docs]);
    let asked = |paths: &[&str]| PolicyQuestion { staged: staged(paths), ..question(&docs, "write_file", "{}") };
    let answer = policies.judge(asked(&["a.md", "src/b.rs"])).await;
    assert_eq!((answer.verdict, answer.rule.as_str()), (Some(VerdictKind::Deny), "documents-only"), "{answer:?}");
    println!("one answer takes {} fuel", answer.fuel);
    assert_eq!(answer.words, "`src/b.rs` is no document.");
    assert_eq!(policies.judge(asked(&["a.md", "src/b.rs"])).await, answer, "also the fuel");
    assert_eq!(policies.judge(asked(&["a.md"])).await.verdict, Some(VerdictKind::Ask));
    let long =
        PolicyQuestion { category: Category::Read, ..question(&docs, "read_file", r#"{"path":"x","limit":500}"#) };
    let narrowed = policies.judge(long).await.narrowed.unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&narrowed).unwrap(),
        serde_json::json!({"path":"x","limit":100})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zz_timing() {
    let runtime = runtime();
    let plan = built_in("plan");
    let policies = policies(&runtime, &[&plan]);
    let mut times = Vec::new();
    for _ in 0..3000 {
        let q = question(&plan, "edit", r#"{"a":1}"#);
        let t = std::time::Instant::now();
        let a = policies.judge(q).await;
        times.push((t.elapsed(), a.fuel));
    }
    times.sort();
    println!("p50 {:?} p99 {:?} min {:?}", times[1500], times[2970], times[0]);
}
