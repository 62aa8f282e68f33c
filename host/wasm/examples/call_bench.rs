//! What a fresh sandboxed call costs, beside bare wasmtime doing the same, in one run:
//! `cargo run --release -p harness-wasm --example call_bench [CALLS]`.
//!
//! (a) bare: Store, limits, fuel, epoch, instantiate, JSON call, drop, with a plain WASI context;
//! (b) ours, on the guest's thread: with limits counted, a staged preopen, the outcome and its changes;
//! (c) ours, through the session's hands: with the way to a guest thread and back.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_core::{CallId, SessionId};
use harness_engine::ports::{CallRequest, Hands};
use harness_wasm::filesystem::Base;
use harness_wasm::{
    CACHE_BYTES_MAX_DEFAULT, CacheSettings, Component, ComponentHands, ComponentSource, LoadedComponent, Runtime,
    RuntimeSettings,
};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Config, Enabled, Engine, PoolingAllocationConfig, Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

mod contract {
    wasmtime::component::bindgen!({
        path: "../../wit/tool",
        world: "tool-component",
        exports: { default: async },
    });
}

/// A tool that is called with arguments it refuses: it reads nothing.
const TOOL: &str = "read_file";
/// Arguments that parse and lead to no file access.
const ARGUMENTS: &str = r#"{"path":""}"#;
/// Calls before measuring.
const WARM_UP: usize = 2_000;
/// Calls measured, unless told otherwise.
const CALLS: usize = 50_000;

struct Bare {
    table: ResourceTable,
    wasi: WasiCtx,
    limits: StoreLimits,
}

impl WasiView for Bare {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

struct BareTool {
    engine: Engine,
    pre: contract::ToolComponentPre<Bare>,
}

impl BareTool {
    fn new(bytes: &[u8]) -> Self {
        let mut pool = PoolingAllocationConfig::new();
        pool.max_memory_size(64 << 20).linear_memory_keep_resident(2 << 20).table_keep_resident(128 << 10);
        pool.total_memories(100).total_tables(200).pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config.concurrency_support(false).consume_fuel(true).epoch_interruption(true);
        config.memory_reservation(64 << 20).memory_guard_size(64 << 10).allocation_strategy(pool);
        let engine = Engine::new(&config).unwrap();
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
        let component = wasmtime::component::Component::new(&engine, bytes).unwrap();
        let pre = contract::ToolComponentPre::new(linker.instantiate_pre(&component).unwrap()).unwrap();
        let weak = engine.weak();
        std::thread::spawn(move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { engine, pre }
    }

    async fn call(&self) {
        let limits = StoreLimitsBuilder::new().memory_size(64 << 20).build();
        let state = Bare { table: ResourceTable::new(), wasi: WasiCtx::builder().build(), limits };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limits);
        store.set_fuel(1_000_000_000).unwrap();
        store.epoch_deadline_async_yield_and_update(1);
        store.set_epoch_deadline(1);
        let instance = self.pre.instantiate_async(&mut store).await.unwrap();
        let outcome = instance.harness_tool_tool().call_call(&mut store, TOOL, ARGUMENTS).await.unwrap();
        assert!(matches!(outcome, contract::harness::tool::types::Outcome::Failed(_)));
    }
}

struct Result {
    p50_us: f64,
    p99_us: f64,
    per_second: f64,
    two_per_second: f64,
}

/// Measures on one thread, then on two.
fn measure<F: Future<Output = ()>>(name: &str, calls: usize, call: impl Fn() -> F + Sync) -> Result {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let one = runtime();
    let mut times = Vec::with_capacity(calls);
    one.block_on(async {
        for _ in 0..WARM_UP {
            call().await;
        }
        for _ in 0..calls {
            let started = Instant::now();
            call().await;
            times.push(started.elapsed());
        }
    });
    let total: Duration = times.iter().sum();
    times.sort();
    let at = |share: f64| times[((calls - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                runtime().block_on(async {
                    for _ in 0..calls {
                        call().await;
                    }
                })
            });
        }
    });
    let result = Result {
        p50_us: at(0.5),
        p99_us: at(0.99),
        per_second: calls as f64 / total.as_secs_f64(),
        two_per_second: 2.0 * calls as f64 / started.elapsed().as_secs_f64(),
    };
    println!(
        "{name:<40} p50 {:>6.1} us   p99 {:>6.1} us   {:>8.0}/s   two threads {:>8.0}/s",
        result.p50_us, result.p99_us, result.per_second, result.two_per_second
    );
    result
}

/// What stands before the first call of a process: reading all built-in tools, starting the engine.
fn start_up() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../components/dist");
    let files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    let binaries: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    let bytes: usize = binaries.iter().map(Vec::len).sum();
    let started = Instant::now();
    for (file, bytes) in files.iter().zip(binaries) {
        Component::read(ComponentSource { name: file.display().to_string(), bytes: bytes.into() }).unwrap();
    }
    let read = started.elapsed();
    println!("reading {} components of {} KiB: {:.2} ms", files.len(), bytes >> 10, read.as_secs_f64() * 1e3);
}

fn main() {
    start_up();
    let calls = std::env::args().nth(1).map_or(CALLS, |text| text.parse().expect("a number of calls"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../components/dist/{TOOL}.wasm"));
    let bytes = std::fs::read(&path).expect("components/build makes it");
    let work = tempfile::tempdir().unwrap();
    let workspace = work.path().join("workspace");
    std::fs::create_dir(&workspace).unwrap();
    let base = Arc::new(Base::open(&workspace, &[]).unwrap());
    let runtime = Arc::new(Runtime::new(RuntimeSettings { threads: 2, ..RuntimeSettings::default() }));
    let component = Component::read(ComponentSource { name: TOOL.to_owned(), bytes: bytes.clone().into() }).unwrap();
    let hands = ComponentHands::new(runtime.clone(), base.clone(), vec![component.clone()]).unwrap();
    let loading = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let started = Instant::now();
    let loaded: LoadedComponent = loading.block_on(runtime.load(&component)).unwrap();
    println!("starting the engine and compiling {TOOL}: {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    let cache = CacheSettings {
        folder: work.path().join("cache"),
        key_file: work.path().join("state/key"),
        bytes_max: CACHE_BYTES_MAX_DEFAULT,
    };
    for what in ["and compiling into the cache", "and loading from the cache"] {
        let settings = RuntimeSettings { threads: 2, cache: Some(cache.clone()), ..RuntimeSettings::default() };
        let started = Instant::now();
        let other = Runtime::new(settings);
        loading.block_on(other.load(&component)).unwrap();
        println!("starting the engine {what}: {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
    }

    let bare = BareTool::new(&bytes);
    let a = measure("(a) bare wasmtime", calls, || bare.call());
    let b = measure("(b) ours, on the guest's thread", calls, || async {
        let report = loaded.call_here(&base, TOOL, ARGUMENTS).await;
        assert_eq!(report.outcome.word(), "failed");
    });
    let c = measure("(c) ours, through the hands", calls, || async {
        let request = CallRequest {
            session: SessionId::from_bits(1),
            call: CallId::from_bits(1),
            tool: TOOL.to_owned(),
            arguments: ARGUMENTS.to_owned(),
        };
        assert_eq!(hands.execute(request).await.outcome.word(), "failed");
    });
    println!(
        "ratios to (a): (b) p50 {:.2}, p99 {:.2}, two threads {:.2}; (c) p50 {:.2}",
        b.p50_us / a.p50_us,
        b.p99_us / a.p99_us,
        a.two_per_second / b.two_per_second,
        c.p50_us / a.p50_us
    );
    println!("per second on one thread: (a) {:.0}, (b) {:.0}, (c) {:.0}", a.per_second, b.per_second, c.per_second);
}
