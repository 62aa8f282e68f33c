//! Every case of tests/hostile/cases, printed as a table: the expected outcome, nothing staged, a bounded host, and a
//! well-behaved neighbour that goes on working in the same runtime while it is attacked.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use harness_core::Outcome;
use harness_core::event::Changes;
use harness_engine::ports::{CallReport, CallRequest, Hands};
use harness_wasm::{Component, ComponentHands, Runtime, RuntimeSettings};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::case::{self, Before, Case, Found, MEMORY_BYTES};
use support::ground::Ground;

/// Attackers of one session at the same time: twice the threads.
const ATTACKERS: usize = 4;
/// Sessions at the same time where every slot is to be used: together as many attackers as run at a time.
const SLOT_SESSIONS: usize = 8;
/// Threads of the runtime under attack.
const THREADS: usize = 2;
/// An attack that ends fast is repeated until the neighbour made a call during it, but not more often.
const ROUNDS_MAX: u64 = 2_000;
/// Rounds of attacks that end at once, after which the neighbour gets the time for a call.
const ROUNDS_BEFORE_PAUSE: u64 = 50;
/// Calls that the neighbour makes before an attack is given up.
const CALLS_BEFORE_CANCEL: u64 = 20;
/// How much the host may grow over all attacks, in bytes: every attacker's memory and staged files,
/// what copying them takes, and the compiler.
const HOST_GROWTH_BYTES_MAX: u64 = (ATTACKERS as u64 + 1) * (MEMORY_BYTES + 16 * (1 << 20)) + (192 << 20);

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

/// The runtime under attack, what is around it, and who works beside.
struct Field {
    runtime: Arc<Runtime>,
    work: PathBuf,
    ground: Ground,
    round: Arc<AtomicU64>,
    during: Arc<AtomicU64>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_components_get_nowhere() {
    let root = tempfile::tempdir().unwrap();
    let work = support::workspace(root.path());
    let ground = Ground::start().await;
    let (limits, egress) = (case::limits(), ground.egress());
    let settings = RuntimeSettings { limits, threads: THREADS, egress, ..RuntimeSettings::default() };
    let runtime = Arc::new(Runtime::new(settings));
    let good = Arc::new(support::hands(&runtime, &work, &[support::neighbour()]));
    support::call(&good, "attack", "{}").await;
    let growth_from = process_bytes("VmRSS");

    let (round, during) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let beside = tokio::spawn(neighbour(good, round.clone(), during.clone()));
    let field = Field { runtime, work, ground, round, during };
    let all = case::all();
    assert!(all.len() > 100, "the corpus is not where it should be");
    let mut failures = Vec::new();
    println!(
        "| family | case | expected | got | rounds | neighbour's calls | RSS MiB |\n|---|---|---|---|--:|--:|--:|"
    );
    for found in &all {
        let Found { family, name, case, .. } = found;
        field.during.store(0, Ordering::SeqCst);
        field.ground.set(case);
        let ended = attack(found, &field).await;
        field.round.store(0, Ordering::SeqCst);
        let (got, rounds) = ended.unwrap_or_else(|wrong| {
            failures.push(format!("{family}/{name}: {wrong}"));
            ("something else".to_owned(), 0)
        });
        assert!(!beside.is_finished(), "{family}/{name}: the neighbour broke");
        let (calls, rss) = (field.during.load(Ordering::SeqCst), process_bytes("VmRSS") >> 20);
        println!("| {family} | {name} | {} | {got} | {rounds} | {calls} | {rss} |", case.expected());
    }
    beside.abort();
    assert!(failures.is_empty(), "not as expected:\n{}", failures.join("\n"));
    let growth = process_bytes("VmHWM").saturating_sub(growth_from);
    println!("the host grew by at most {} MiB", growth >> 20);
    assert!(growth < HOST_GROWTH_BYTES_MAX, "the host grew by {growth} bytes");
    assert_eq!(field.runtime.threads_lost(), 0);
    support::assert_outside_is_untouched(root.path());
}

/// Attacks until the neighbour made a call meanwhile: the outcome in a word, and how many rounds it took.
async fn attack(found: &Found, field: &Field) -> Result<(String, u64), String> {
    let case = &found.case;
    let component = match support::read("attack", found.bytes(), case.limits()) {
        Ok(component) => component,
        Err(error) => {
            let words = error.to_string();
            let expected = case.contains.as_deref().ok_or("a refusal without words")?;
            let is_right = case.outcome == "refused" && words.contains(expected) && words.contains("`attack`");
            return if is_right { Ok(("refused".to_owned(), 0)) } else { Err(words) };
        }
    };
    if case.description.as_ref().is_some_and(|expected| component.tools()[0].description != *expected) {
        return Err(format!("described as {:?}", component.tools()[0].description));
    }
    let sessions = field.sessions(&component, if case.before.is_some() { SLOT_SESSIONS } else { 1 });
    let writers = case.before.as_ref().map(|before| writers(found, before, &component, field));
    let request = case.request(&field.ground);
    let mut rounds = 0;
    while rounds == 0 || field.during.load(Ordering::SeqCst) == 0 {
        rounds += 1;
        if rounds > ROUNDS_MAX {
            return Err(format!("the neighbour came to nothing in {ROUNDS_MAX} rounds"));
        }
        field.round.store(rounds, Ordering::SeqCst);
        // A component that is refused before it runs would let nobody else on.
        tokio::task::yield_now().await;
        if let (Some(before), Some(writers)) = (&case.before, &writers) {
            write(before, writers, field).await?;
        }
        let calls = calls(&sessions, &request);
        if case.outcome == case::CANCELLED {
            give_up(calls, field).await?;
            continue;
        }
        for report in join(calls).await {
            check(case, &report, field)?;
        }
        if rounds % ROUNDS_BEFORE_PAUSE == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        field.round.store(0, Ordering::SeqCst);
    }
    if case.outcome != case::CANCELLED {
        field.ground.check(case, rounds * (sessions.len() * ATTACKERS) as u64)?;
    }
    if let (Some(arguments), Some(text)) = (&case.then_arguments, &case.then_text) {
        let report = support::call(&sessions[0], "attack", arguments).await;
        if report.outcome != Outcome::text(text.clone()) {
            return Err(format!("the next call: {:?}", report.outcome));
        }
    }
    Ok((case.expected(), rounds))
}

impl Field {
    /// That many sessions with this component.
    fn sessions(&self, component: &Arc<Component>, count: usize) -> Vec<ComponentHands> {
        (0..count).map(|_| support::hands(&self.runtime, &self.work, std::slice::from_ref(component))).collect()
    }
}

/// Calls of all sessions, to run at the same time.
fn calls(sessions: &[ComponentHands], request: &CallRequest) -> Vec<impl Future<Output = CallReport>> {
    let each = sessions.iter().flat_map(|hands| std::iter::repeat_n(hands, ATTACKERS));
    each.map(|hands| hands.execute(request.clone())).collect()
}

/// A call is as expected and leaves nothing.
fn check(case: &Case, report: &CallReport, field: &Field) -> Result<(), String> {
    case.check(report, &field.ground)?;
    let has_contents = report.contents.iter().any(|blob| Some(blob.digest) != report.record.log);
    if report.changes != Changes::None || has_contents || !report.record.kv.is_empty() {
        return Err(format!("it staged {:?} and wrote {:?}", report.changes, report.record.kv));
    }
    Ok(())
}

/// The sessions that come before those of a case, of one component after the other.
fn writers(found: &Found, before: &Before, own: &Arc<Component>, field: &Field) -> Vec<Vec<ComponentHands>> {
    let other = |number| support::read("attack", found.variant(number), found.case.limits()).unwrap();
    let components =
        if before.others == 0 { vec![own.clone()] } else { (0..before.others).map(other).collect::<Vec<_>>() };
    components.iter().map(|component| field.sessions(component, SLOT_SESSIONS)).collect()
}

/// Lets them write into every slot.
async fn write(before: &Before, writers: &[Vec<ComponentHands>], field: &Field) -> Result<(), String> {
    for sessions in writers {
        let request = before.request(&field.ground);
        for report in join(calls(sessions, &request)).await {
            if report.outcome.word() != before.outcome {
                return Err(format!("the session before: {:?}", report.outcome));
            }
        }
    }
    Ok(())
}

/// Lets them run until the neighbour made calls meanwhile, and drops them. One that went on would keep
/// its place, and there are not enough of them for all cases.
async fn give_up(calls: Vec<impl Future<Output = CallReport>>, field: &Field) -> Result<(), String> {
    let enough = async {
        while field.during.load(Ordering::SeqCst) < CALLS_BEFORE_CANCEL {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        ended = join(calls) => Err(format!("it ended by itself: {:?}", ended.first().map(|report| &report.outcome))),
        () = enough => Ok(()),
    }
}

async fn join<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut results: Vec<Option<T>> = futures.iter().map(|_| None).collect();
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
