//! Bare wasmtime doing what a sandboxed call does: what this host's own calls are compared with.
//!
//! The same component, pool, fuel, epochs and contract; a Store with a plain WASI context and, if asked for,
//! a plain preopen. No staged files, no counting over several memories, no outcome, no report.

use crate::calls::{ARGUMENTS, TOOL};
use std::path::{Path, PathBuf};
use std::time::Duration;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Config, Enabled, Engine, PoolingAllocationConfig, Store, StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};

mod contract {
    #![allow(missing_docs, unreachable_pub, clippy::all)]

    wasmtime::component::bindgen!({
        path: "../wit/tool",
        world: "tool-component",
        exports: { default: async },
    });
}

struct State {
    table: ResourceTable,
    wasi: WasiCtx,
    limits: StoreLimits,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// A component, ready to be called.
pub(crate) struct BareTool {
    engine: Engine,
    pre: contract::ToolComponentPre<State>,
    preopen: Option<PathBuf>,
}

impl BareTool {
    pub(crate) fn new(bytes: &[u8], preopen: Option<&Path>) -> Self {
        let mut pool = PoolingAllocationConfig::new();
        // Those of the host's engine: what is cleared by hand, and no scan for it.
        pool.max_memory_size(64 << 20).linear_memory_keep_resident(1280 << 10).table_keep_resident(128 << 10);
        pool.total_memories(100).total_tables(200).max_unused_warm_slots(64).pagemap_scan(Enabled::No);
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
        Self { engine, pre, preopen: preopen.map(Path::to_owned) }
    }

    /// One call, from Store to drop.
    pub(crate) async fn call(&self) {
        let limits = StoreLimitsBuilder::new().memory_size(64 << 20).build();
        let mut wasi = WasiCtx::builder();
        if let Some(folder) = &self.preopen {
            wasi.preopened_dir(folder, "/workspace", FsPerms::ReadWrite).unwrap();
        }
        let state = State { table: ResourceTable::new(), wasi: wasi.build(), limits };
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
