//! The same small tool in four languages, the shell, and the tool `python`: a fresh sandboxed call of each.

use crate::host::Shared;
use crate::quantity::{Durations, Quantity};
use crate::table::{Row, Table};
use harness_wasm::filesystem::Base;
use harness_wasm::{Call, Component, ComponentSource, LoadedComponent};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Calls before measuring, and measured on each thread.
const WARM_UP: usize = 20;
const CALLS: usize = 1_000;
/// Threads that call at the same time.
const THREADS: usize = 2;
/// What a fresh pipeline and a fresh interpreter are to hold, in milliseconds.
const HOLD_MS: f64 = 1.0;

const WORDS: &str = r#"{"text":"How many words are there in this line?\nAnd in this one?"}"#;
const CODE: &str = r#"{"code":"print(sum(range(10)))"}"#;
const PIPELINE: &str = r#"{"command":"printf 'b\na\nc\n' | sort | head -n 2 | wc -l"}"#;

/// A guest that may not have been built.
struct Guest {
    words: &'static str,
    /// From the folder of this package.
    file: &'static str,
    arguments: &'static str,
    held: bool,
}

const GUESTS: [Guest; 6] = [
    Guest { words: "Rust", file: "guests/dist/word-count-rust.wasm", arguments: WORDS, held: false },
    Guest { words: "C", file: "guests/dist/word-count-c.wasm", arguments: WORDS, held: false },
    Guest { words: "JavaScript", file: "guests/dist/word-count-js.wasm", arguments: WORDS, held: false },
    Guest { words: "Python", file: "guests/dist/word-count-python.wasm", arguments: WORDS, held: true },
    Guest {
        words: "the shell, a pipeline of four",
        file: "../components/dist/shell.wasm",
        arguments: PIPELINE,
        held: true,
    },
    // Held to the same: it has the whole standard library and compiles code, so it touches far more memory.
    Guest {
        words: "the tool python, one line of code, with the standard library",
        file: "../components/python/dist/python.wasm",
        arguments: CODE,
        held: true,
    },
];

pub(crate) fn measure(shared: &Shared, table: &mut Table) {
    let mut name = "fresh call by language";
    for guest in &GUESTS {
        match load(shared, guest) {
            Ok((loaded, tool)) => measure_one(shared, table, std::mem::take(&mut name), guest, &loaded, &tool),
            Err(reason) => eprintln!("no row for {}: {reason}", guest.words),
        }
    }
}

/// The component and the name of its first tool, or why there is none.
fn load(shared: &Shared, guest: &Guest) -> Result<(LoadedComponent, String), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(guest.file);
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", guest.file))?;
    let source = ComponentSource { name: guest.words.to_owned(), bytes: bytes.into() };
    let mut component = Component::read(source.clone()).map_err(|error| error.to_string())?;
    let runtime = shared.place("languages").component_runtime();
    if component.needs_describing() {
        let json = executor().block_on(runtime.describe(&component)).map_err(|error| error.to_string())?;
        component = Component::read_described(source, *runtime.limits(), &json).map_err(|error| error.to_string())?;
    }
    let tool = component.tools().first().ok_or("it has no tools")?.name.clone();
    let loaded = executor().block_on(runtime.load(&component)).map_err(|error| error.to_string())?;
    Ok((loaded, tool))
}

fn measure_one(
    shared: &Shared,
    table: &mut Table,
    name: &'static str,
    guest: &Guest,
    loaded: &LoadedComponent,
    tool: &str,
) {
    let base = Arc::new(Base::open(shared.place("languages").workspace(), &[]).unwrap());
    let call = || async {
        let report = loaded.call_here(&base, granted(tool, guest.arguments)).await;
        assert_eq!(report.outcome.word(), "returned", "{}: {:?}", guest.words, report.outcome);
    };
    let rounds = |count: usize| {
        executor().block_on(async {
            let mut times = Vec::with_capacity(count);
            for _ in 0..count {
                let begin = Instant::now();
                call().await;
                times.push(begin.elapsed());
            }
            times
        })
    };
    rounds(WARM_UP);
    let alone = Durations::new(rounds(CALLS));
    let begin = Instant::now();
    let together: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| rounds(CALLS))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let rate = Quantity::rate(together.len(), begin.elapsed());
    let row = Row::p50_p99(name, format!("{}: Store, instantiate, call, drop", guest.words), &alone);
    table.push(if guest.held { row.hold(Quantity::milliseconds(HOLD_MS)) } else { row });
    let what = format!("the same on {THREADS} threads");
    table.push(Row::p50_p99("", what, &Durations::new(together)));
    table.push(Row::of("", "calls a second there", rate));
}

/// A call that may change the workspace.
pub(crate) fn granted(tool: &str, arguments: &str) -> Call {
    Call { granted: vec!["filesystem write /workspace".parse().unwrap()], ..Call::new(tool, arguments) }
}

fn executor() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
