//! Every case of tests/hostile/cases: the expected outcome, nothing staged, a bounded host, and a
//! well-behaved neighbour that goes on working in the same runtime while it is attacked.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use harness_core::Outcome;
use harness_core::event::Changes;
use harness_engine::ports::Hands;
use harness_wasm::{CallLimits, ComponentHands, Runtime, RuntimeSettings};
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Attackers at the same time: twice the threads.
const ATTACKERS: usize = 4;
/// Threads of the runtime under attack.
const THREADS: usize = 2;
/// An attack that ends fast is repeated until the neighbour made a call during it, but not more often.
const ROUNDS_MAX: u64 = 2_000;
/// Memory of one attacker, in bytes.
const MEMORY_BYTES: u64 = 16 << 20;
/// How much the host may grow over all attacks, in bytes: every attacker's memory and staged files,
/// what copying them takes, and the compiler.
const HOST_GROWTH_BYTES_MAX: u64 = (ATTACKERS as u64 + 1) * (MEMORY_BYTES + 16 * (1 << 20)) + (192 << 20);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    outcome: String,
    limit: Option<String>,
    /// What the words for people contain.
    contains: Option<String>,
    /// What the model reads, exactly.
    text: Option<String>,
    arguments: Option<String>,
    #[serde(default)]
    limits: Limits,
    /// A second call of the same component, and what the model reads of it.
    then_arguments: Option<String>,
    then_text: Option<String>,
    /// The description that is left.
    description: Option<String>,
    cut_to_bytes: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Limits {
    fuel: Option<u64>,
    deadline_ms: Option<u64>,
    memory_bytes: Option<u64>,
    staged_files: Option<u64>,
    argument_bytes: Option<u64>,
}

impl Limits {
    fn over(&self, limits: CallLimits) -> CallLimits {
        CallLimits {
            fuel: self.fuel.unwrap_or(limits.fuel),
            deadline_ms: self.deadline_ms.unwrap_or(limits.deadline_ms),
            memory_bytes: self.memory_bytes.unwrap_or(limits.memory_bytes),
            staged_files: self.staged_files.unwrap_or(limits.staged_files),
            argument_bytes: self.argument_bytes.unwrap_or(limits.argument_bytes),
            ..limits
        }
    }
}

fn limits() -> CallLimits {
    CallLimits { fuel: u64::MAX, memory_bytes: MEMORY_BYTES, staged_bytes: 4 << 20, ..CallLimits::DEFAULT }
}

/// A workspace with ways out of it.
fn workspace(root: &Path) -> std::path::PathBuf {
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

/// A line of /proc/self/status, in bytes.
fn process_bytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Calls the neighbour for ever, counting the calls that lie wholly within one round of an attack.
async fn neighbour(hands: Arc<ComponentHands>, round: Arc<AtomicU64>, during: Arc<AtomicU64>) {
    loop {
        let before = round.load(Ordering::SeqCst);
        let report = support::call(&hands, "attack", "{}").await;
        assert_eq!(report.outcome, Outcome::text("ok"), "the neighbour");
        if before != 0 && round.load(Ordering::SeqCst) == before {
            during.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// What is wrong with an outcome.
fn check(case: &Case, outcome: &Outcome) -> Result<(), String> {
    let words = outcome.model_text(&[]);
    let over = match outcome {
        Outcome::OverLimit { limit, maximum } if *maximum == case.limits.over(limits()).maximum(*limit) => {
            Some(limit.name())
        }
        _ => None,
    };
    let is_right = outcome.word() == case.outcome
        && over == case.limit.as_deref()
        && case.contains.as_ref().is_none_or(|expected| words.contains(expected.as_str()))
        && case.text.as_ref().is_none_or(|expected| words == *expected);
    if is_right { Ok(()) } else { Err(format!("{outcome:?}")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_components_get_nowhere() {
    let root = tempfile::tempdir().unwrap();
    let work = workspace(root.path());
    let runtime =
        Arc::new(Runtime::new(RuntimeSettings { limits: limits(), threads: THREADS, ..RuntimeSettings::default() }));
    let cases = support::corpus().join("cases");
    let good = support::assemble(&std::fs::read_to_string(cases.join("neighbour.wat")).unwrap());
    let good = support::read("neighbour", good, CallLimits::DEFAULT).unwrap();
    let good = Arc::new(support::hands(&runtime, &work, &[good]));
    support::call(&good, "attack", "{}").await;
    let growth_from = process_bytes("VmRSS");

    let (round, during) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let beside = tokio::spawn(neighbour(good, round.clone(), during.clone()));
    let mut names: Vec<_> = std::fs::read_dir(&cases)
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".wat")?.to_owned()))
        .collect();
    names.sort();
    assert!(names.len() > 50, "the corpus is not where it should be");
    let mut failures = Vec::new();
    println!("{:<24} {:<28} {:>6} {:>10} {:>8}", "case", "outcome", "rounds", "neighbour", "RSS MiB");
    for name in &names {
        let case = toml::from_str(&std::fs::read_to_string(cases.join(format!("{name}.toml"))).unwrap());
        let case: Case = case.unwrap_or_else(|error| panic!("{name}: {error}"));
        during.store(0, Ordering::SeqCst);
        let text = std::fs::read_to_string(cases.join(format!("{name}.wat"))).unwrap();
        let (outcome, rounds) = match attack(&case, &text, &runtime, &work, &round, &during).await {
            Ok(ended) => ended,
            Err(wrong) => {
                failures.push(format!("{name}: {wrong}"));
                round.store(0, Ordering::SeqCst);
                continue;
            }
        };
        assert!(!beside.is_finished(), "{name}: the neighbour broke");
        let (calls, rss) = (during.load(Ordering::SeqCst), process_bytes("VmRSS") >> 20);
        println!("{name:<24} {outcome:<28} {rounds:>6} {calls:>10} {rss:>8}");
    }
    beside.abort();
    assert!(failures.is_empty(), "not as expected:\n{}", failures.join("\n"));
    let growth = process_bytes("VmHWM").saturating_sub(growth_from);
    println!("the host grew by at most {} MiB", growth >> 20);
    assert!(growth < HOST_GROWTH_BYTES_MAX, "the host grew by {growth} bytes");
    assert_eq!(runtime.threads_lost(), 0);
    let outside: Vec<_> = std::fs::read_dir(root.path().join("outside")).unwrap().collect();
    assert_eq!(outside.len(), 1, "something was made outside");
    assert_eq!(std::fs::read(root.path().join("outside/secret")).unwrap(), b"secret");
}

/// Attacks until the neighbour made a call meanwhile: the outcome in a word, and how many rounds it took.
async fn attack(
    case: &Case,
    text: &str,
    runtime: &Arc<Runtime>,
    work: &Path,
    round: &AtomicU64,
    during: &AtomicU64,
) -> Result<(String, u64), String> {
    let mut bytes = support::assemble(text);
    bytes.truncate(case.cut_to_bytes.unwrap_or(usize::MAX));
    let component = match support::read("attack", bytes, case.limits.over(limits())) {
        Ok(component) => component,
        Err(error) => {
            let words = error.to_string();
            let expected = case.contains.as_deref().ok_or("a refusal without words")?;
            let is_right = case.outcome == "refused" && words.contains(expected) && words.contains("`attack`");
            return if is_right { Ok(("refused".to_owned(), 0)) } else { Err(words) };
        }
    };
    let hands = support::hands(runtime, work, &[component]);
    if case.description.as_ref().is_some_and(|expected| hands.tools()[0].description != *expected) {
        return Err(format!("described as {:?}", hands.tools()[0].description));
    }
    let arguments = case.arguments.as_deref().unwrap_or("{}");
    let mut rounds = 0;
    while rounds == 0 || during.load(Ordering::SeqCst) == 0 {
        rounds += 1;
        if rounds > ROUNDS_MAX {
            return Err(format!("the neighbour came to nothing in {ROUNDS_MAX} rounds"));
        }
        round.store(rounds, Ordering::SeqCst);
        let calls: [_; ATTACKERS] = std::array::from_fn(|_| support::call(&hands, "attack", arguments));
        for report in join(calls).await {
            check(case, &report.outcome)?;
            if report.changes != Changes::None
                || report.contents.iter().any(|blob| Some(blob.digest) != report.record.log)
            {
                return Err(format!("it staged {:?}", report.changes));
            }
        }
        round.store(0, Ordering::SeqCst);
    }
    if let (Some(arguments), Some(text)) = (&case.then_arguments, &case.then_text) {
        let report = support::call(&hands, "attack", arguments).await;
        if report.outcome != Outcome::text(text.clone()) {
            return Err(format!("the next call: {:?}", report.outcome));
        }
    }
    Ok((case.limit.clone().unwrap_or_else(|| case.outcome.clone()), rounds))
}

async fn join<T, const N: usize>(futures: [impl Future<Output = T>; N]) -> Vec<T> {
    let mut futures = futures.map(Box::pin);
    let mut results: [Option<T>; N] = std::array::from_fn(|_| None);
    std::future::poll_fn(|cx| {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *result = Some(value);
            }
        }
        if results.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}
