//! A fresh sandboxed call without the log: Store, WASI, staged preopen, limits, instantiate, JSON call, drop.

use crate::bare::BareTool;
use crate::host::{Shared, component};
use crate::model_server::{FILE, file_of};
use crate::quantity::{Durations, Quantity};
use crate::table::{Row, Table};
use harness_core::Capability;
use harness_wasm::Call;
use harness_wasm::filesystem::Base;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The tool that is called.
pub(crate) const TOOL: &str = "read_file";
/// Arguments that the guest parses and refuses: it answers in JSON and touches no file.
pub(crate) const ARGUMENTS: &str = r#"{"path":""}"#;
/// Calls before measuring.
const WARM_UP: usize = 1_000;
/// Calls of one round.
const ROUND_CALLS: usize = 5_000;
/// Rounds; the contestants take turns, and the middle round of each counts.
const ROUNDS: usize = 5;
/// Threads that call at the same time.
const THREADS: usize = 2;

pub(crate) fn measure(shared: &Shared, table: &mut Table) {
    let place = shared.place("calls");
    let runtime = place.component_runtime();
    let component = component(TOOL);
    let loaded = thread_executor().block_on(runtime.load(&component)).unwrap();
    let base = Arc::new(Base::open(place.workspace(), &[]).unwrap());
    let bare = BareTool::new(component.bytes(), Some(&place.workspace()));
    let bare_without = BareTool::new(component.bytes(), None);
    let read_arguments = format!(r#"{{"path":"{}"}}"#, file_of(FILE, 0));

    let granted: Vec<Capability> = vec!["filesystem write /workspace".parse().unwrap()];
    let call = |arguments: &str| Call { granted: granted.clone(), ..Call::new(TOOL, arguments) };
    let without_call = || bare_without.call();
    let bare_call = || bare.call();
    let own_call = || async {
        let report = loaded.call_here(&base, call(ARGUMENTS)).await;
        assert_eq!(report.outcome.word(), "failed");
    };
    let read_call = || async {
        let report = loaded.call_here(&base, call(&read_arguments)).await;
        assert_eq!(report.outcome.word(), "returned");
    };
    let mut rounds: [Vec<Round>; 4] = Default::default();
    for _ in 0..ROUNDS {
        rounds[0].push(Round::of(&without_call));
        rounds[1].push(Round::of(&bare_call));
        rounds[2].push(Round::of(&own_call));
        rounds[3].push(Round::of(&read_call));
    }
    let [without, bare, own, read] = rounds.map(middle);

    let what = "bare wasmtime: Store, WASI, instantiate, JSON call, drop; no preopen";
    table.push(Row::p50_p99("bare call", what, &without.times));
    table.push(Row::of("", "the same on 2 threads", without.together));
    table.push(Row::p50_p99("", "the same with a plain WASI preopen, 1 thread", &bare.times));
    let what = "ours: Store, WASI, staged preopen, limits, instantiate, JSON call, drop";
    table.push(Row::p50_p99("fresh sandboxed call", what, &own.times).hold(Quantity::Microseconds(20.0)));
    table.push(Row::of("", "its p99", own.times.percentile(99)).hold(Quantity::Microseconds(40.0)));
    table.push(Row::of("", "the same on 2 threads", own.together).hold(Quantity::PerSecond(80_000.0)));
    let times =
        |other: &Round| Quantity::Times(own.times.percentile(50).number() / other.times.percentile(50).number());
    table.push(Row::of("", "p50 against bare with a plain preopen", times(&bare)).hold(Quantity::Times(1.5)));
    table.push(Row::of("", "p50 against bare without a preopen", times(&without)));
    table.push(Row::p50_p99("", "the same call reading a 2 KB file through the staged preopen", &read.times));
}

/// One round: calls one after the other, then on several threads.
struct Round {
    times: Durations,
    together: Quantity,
}

impl Round {
    fn of<F: Future<Output = ()>>(call: &(impl Fn() -> F + Sync)) -> Self {
        let times = thread_executor().block_on(async {
            for _ in 0..WARM_UP {
                call().await;
            }
            let mut times = Vec::with_capacity(ROUND_CALLS);
            for _ in 0..ROUND_CALLS {
                let begin = Instant::now();
                call().await;
                times.push(begin.elapsed());
            }
            times
        });
        let together = together(call);
        Self { times: Durations::new(times), together: Quantity::rate(ROUND_CALLS * THREADS, together) }
    }
}

fn together<F: Future<Output = ()>>(call: &(impl Fn() -> F + Sync)) -> Duration {
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                thread_executor().block_on(async {
                    for _ in 0..ROUND_CALLS {
                        call().await;
                    }
                });
            });
        }
    });
    begin.elapsed()
}

/// The middle one by its p50; its rate is the middle rate.
fn middle(mut rounds: Vec<Round>) -> Round {
    let at = rounds.len() / 2;
    rounds.sort_by(|a, b| a.together.number().total_cmp(&b.together.number()));
    let together = rounds[at].together;
    rounds.sort_by(|a, b| a.times.percentile(50).number().total_cmp(&b.times.percentile(50).number()));
    Round { together, ..rounds.swap_remove(at) }
}

fn thread_executor() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}
