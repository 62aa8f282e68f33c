//! Guests beside each other: what one takes while it lives, and what an attacker does to its neighbour.

use crate::calls::{ARGUMENTS, TOOL};
use crate::guests;
use crate::host::{Shared, component};
use crate::languages::granted;
use crate::process::{Role, memory_mebibytes, say};
use crate::quantity::{Durations, Quantity};
use crate::table::{Row, Table};
use harness_wasm::filesystem::Base;
use harness_wasm::{Call, CallLimits, LoadedComponent, Runtime, RuntimeSettings};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Guests that live at the same time.
const LIVE: usize = 100;
/// How long they are left alone before they are looked at, in milliseconds.
const SETTLE_MS: u64 = 300;
/// Threads that run guests.
const THREADS: usize = 2;
/// Calls of the neighbour: before measuring, and measured.
const WARM_UP: usize = 500;
const CALLS: usize = 5_000;
/// Attackers: fewer than cores.
const ATTACKS: [(&str, &str); 3] = [
    ("cpu/loop-deadline", "that loops for ever"),
    ("cpu/bulk-fill", "that fills its memory for ever"),
    ("memory/memory-growth", "that grows its memory to the limit, again and again"),
];

pub(crate) fn measure(shared: &Shared, table: &mut Table) {
    let workspace = shared.place("beside").workspace();
    let words = [workspace.to_str().unwrap().to_owned()];
    let (before, with): (f64, f64) = Role::start("live-guests", &words).hear();
    let what = format!("resident memory of each of {LIVE} live instances of a small guest that waits in the host");
    table.push(Row::of("live instance", what, Quantity::Mebibytes((with - before) / LIVE as f64)));
    neighbour(&workspace, table);
}

fn runtime() -> Arc<Runtime> {
    Arc::new(Runtime::new(RuntimeSettings { threads: THREADS, ..RuntimeSettings::default() }))
}

fn executor() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The process in which guests wait: the workspace.
pub(crate) fn child(words: &[String]) {
    let base = Arc::new(Base::open(Path::new(&words[0]), &[]).unwrap());
    let runtime = Arc::new(Runtime::new(RuntimeSettings { threads: LIVE.div_ceil(8), ..RuntimeSettings::default() }));
    let limits = CallLimits { deadline_ms: 3_600_000, ..CallLimits::DEFAULT };
    let found = executor().block_on(async {
        let quick = runtime.load(&component(TOOL)).await.unwrap();
        runtime.call(&quick, &base, granted(TOOL, ARGUMENTS)).await;
        let waiting = guests::case("cpu/sleep-for-ever", limits);
        let waiting = runtime.load(&waiting).await.unwrap().lowered_to(&limits);
        let before = memory_mebibytes("VmRSS");
        let calls: Vec<_> = (0..LIVE)
            .map(|_| {
                let (runtime, waiting, base) = (runtime.clone(), waiting.clone(), base.clone());
                tokio::spawn(async move {
                    runtime.call(&waiting, &base, Call::new(guests::TOOL, "{}")).await;
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(SETTLE_MS)).await;
        assert!(calls.iter().all(|call| !call.is_finished()), "they wait");
        let with = memory_mebibytes("VmRSS");
        calls.iter().for_each(tokio::task::JoinHandle::abort);
        (before, with)
    });
    say(&found);
}

/// The neighbour's calls, quiet and with one attacker.
fn neighbour(workspace: &Path, table: &mut Table) {
    let runtime = runtime();
    let base = Arc::new(Base::open(workspace, &[]).unwrap());
    let loaded = executor().block_on(runtime.load(&component(TOOL))).unwrap();
    let quiet = times(&runtime, &base, &loaded);
    let what = format!("a call on the runtime's {THREADS} threads, nobody else there");
    table.push(Row::p50_p99("neighbour", what, &quiet));
    for (case, words) in ATTACKS {
        let attacker = guests::case(case, CallLimits { fuel: u64::MAX, ..CallLimits::DEFAULT });
        let attacker = executor().block_on(runtime.load(&attacker)).unwrap();
        let stop = Arc::new(tokio::sync::Notify::new());
        let attack = std::thread::spawn({
            let (runtime, base, stop) = (runtime.clone(), base.clone(), stop.clone());
            move || {
                executor().block_on(async {
                    let again = async {
                        loop {
                            runtime.call(&attacker, &base, Call::new(guests::TOOL, "{}")).await;
                        }
                    };
                    tokio::select! {
                        () = stop.notified() => {}
                        () = again => {}
                    }
                });
            }
        });
        let attacked = times(&runtime, &base, &loaded);
        stop.notify_one();
        attack.join().unwrap();
        table.push(Row::p50_p99("", format!("the same beside one attacker {words}"), &attacked));
        let ratio = attacked.percentile(99).number() / quiet.percentile(99).number();
        table.push(Row::of("", "its p99 against quiet", Quantity::Times(ratio)));
    }
}

fn times(runtime: &Runtime, base: &Arc<Base>, loaded: &LoadedComponent) -> Durations {
    executor().block_on(async {
        let mut times = Vec::with_capacity(CALLS);
        for number in 0..WARM_UP + CALLS {
            let begin = Instant::now();
            let report = runtime.call(loaded, base, granted(TOOL, ARGUMENTS)).await;
            if number >= WARM_UP {
                times.push(begin.elapsed());
            }
            assert_eq!(report.outcome.word(), "failed");
        }
        Durations::new(times)
    })
}
