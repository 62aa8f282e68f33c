//! The engine: wasmtime as this host wants it.
//!
//! Promise: fuel and epochs are always on, so that every guest can be counted and stopped; proposals
//! that tools do not need are off; slots are bounded, and where their address space cannot be had
//! memory is allocated on demand instead of failing.
//!
//! Not here: the epoch's clock (`ticker`), what guests are linked to (`link`).

use crate::limits::{
    COMPONENT_MEMORIES_MAX, COMPONENT_TABLES_MAX, CallLimits, GUESTS_PER_THREAD_MAX, THREADS_LOST_MAX, as_size,
};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmFeatures};

/// Stack beyond the guest's own that host functions may use, in bytes.
const HOST_STACK_BYTES: usize = 1 << 20;
/// Memory of a slot that is cleared by hand and stays mapped from call to call; what is beyond is given back to the kernel,
/// which costs a fault for each page that the next guest touches. All of a guest's that has the linker's usual stack of
/// 1 MiB; to an interpreter it makes no difference. Bytes.
const MEMORY_RESIDENT_BYTES: usize = 1280 << 10;
/// The same for tables. Bytes.
const TABLE_RESIDENT_BYTES: usize = 128 << 10;
/// Inaccessible address space after each memory, in bytes.
const MEMORY_GUARD_BYTES: u64 = 64 << 10;
/// An instance's own data: what its functions, globals and imports take in the host. Bytes.
const INSTANCE_BYTES_MAX: usize = 1 << 20;
/// Slots that keep their contents mapped although another component used them last.
const UNUSED_WARM_SLOTS_MAX: u32 = 64;
/// A WebAssembly page, in bytes: memory limits are rounded up to it.
const PAGE_BYTES: usize = 64 << 10;

/// Makes an engine for that many threads, with these limits as the most that a call can be given.
pub(crate) fn engine(limits: &CallLimits, threads: usize) -> wasmtime::Result<Engine> {
    let calls = (threads + THREADS_LOST_MAX) * GUESTS_PER_THREAD_MAX;
    let mut config = base_config(limits);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits, calls)));
    Engine::new(&config).or_else(|error| {
        // A limit on address space (ulimit -v, a small container): no slots, the same isolation.
        tracing::warn!(%error, "no address space for pooled guests: they are allocated on demand, more slowly");
        Engine::new(&base_config(limits))
    })
}

/// An engine that only compiles, for an engine of these limits: it has no slots.
pub(crate) fn compiling_engine(limits: &CallLimits) -> wasmtime::Result<Engine> {
    Engine::new(&base_config(limits))
}

fn base_config(limits: &CallLimits) -> Config {
    let memory_bytes = memory_slot_bytes(limits);
    let stack_bytes = as_size(limits.stack_bytes);
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(stack_bytes)
        .async_stack_size(stack_bytes + HOST_STACK_BYTES)
        .memory_reservation(memory_bytes as u64)
        .memory_reservation_for_growth(0)
        .memory_guard_size(MEMORY_GUARD_BYTES)
        .memory_may_move(false)
        .shared_memory(false)
        // Maps code offsets to wasm offsets for backtraces only: a third of the compiled size.
        .generate_address_map(false)
        .cranelift_nan_canonicalization(true);
    for feature in [
        WasmFeatures::THREADS,
        WasmFeatures::SHARED_EVERYTHING_THREADS,
        WasmFeatures::RELAXED_SIMD,
        WasmFeatures::MEMORY64,
        WasmFeatures::MULTI_MEMORY,
        WasmFeatures::CUSTOM_PAGE_SIZES,
        WasmFeatures::EXCEPTIONS,
        WasmFeatures::LEGACY_EXCEPTIONS,
        WasmFeatures::STACK_SWITCHING,
        WasmFeatures::WIDE_ARITHMETIC,
        WasmFeatures::FUNCTION_REFERENCES,
        WasmFeatures::GC,
    ] {
        config.wasm_features(feature, false);
    }
    config
}

fn pool(limits: &CallLimits, calls: usize) -> PoolingAllocationConfig {
    let calls = u32::try_from(calls).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        // Instances are only counted, not kept: the Store's own limit ends a call by name first.
        .total_core_instances(u32::MAX)
        .max_core_instances_per_component(u32::MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        // As many slots as all calls together can want: an exhausted pool is an error, not a queue.
        .max_memories_per_component(COMPONENT_MEMORIES_MAX)
        .total_memories(calls.saturating_mul(COMPONENT_MEMORIES_MAX))
        .max_memories_per_module(1)
        .max_tables_per_component(COMPONENT_TABLES_MAX)
        .total_tables(calls.saturating_mul(COMPONENT_TABLES_MAX))
        .max_tables_per_module(COMPONENT_TABLES_MAX)
        .table_elements(as_size(limits.table_elements))
        .total_stacks(calls)
        .max_memory_size(memory_slot_bytes(limits))
        .linear_memory_keep_resident(MEMORY_RESIDENT_BYTES)
        .table_keep_resident(TABLE_RESIDENT_BYTES)
        .max_unused_warm_slots(UNUSED_WARM_SLOTS_MAX)
        // Asking the kernel which pages were written would save clearing the others, but its answer lacks those that are
        // swapped out or on the move just then: they would not be cleared, and the next guest could read them.
        .pagemap_scan(Enabled::No);
    pool
}

fn memory_slot_bytes(limits: &CallLimits) -> usize {
    as_size(limits.memory_bytes).min(4 << 30).next_multiple_of(PAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CacheKey;

    #[test]
    fn what_one_engine_compiles_fits_the_other() {
        let key = |engine: &Engine| {
            CacheKey::new(&harness_core::Digest::of(b"component"), engine.precompile_compatibility_hash())
        };
        let limits = CallLimits { memory_bytes: 1 << 20, stack_bytes: 256 << 10, ..CallLimits::DEFAULT };
        assert_eq!(key(&engine(&limits, 1).unwrap()), key(&compiling_engine(&limits).unwrap()));
        assert_ne!(key(&compiling_engine(&limits).unwrap()), key(&compiling_engine(&CallLimits::DEFAULT).unwrap()));
    }

    #[test]
    fn proposals_that_tools_do_not_need_are_refused() {
        let engine = engine(&CallLimits::DEFAULT, 1).unwrap();
        for module in [
            "(module (memory 1 1 shared))",
            "(module (memory i64 1))",
            "(module (memory 1) (memory 1))",
            "(module (tag))",
            "(module (type (struct)))",
            "(module (func (param v128) local.get 0 local.get 0 local.get 0 f32x4.relaxed_madd drop))",
        ] {
            assert!(wasmtime::Module::new(&engine, wat::parse_str(module).unwrap()).is_err(), "{module}");
        }
        assert!(wasmtime::Module::new(&engine, wat::parse_str("(module (memory 1))").unwrap()).is_ok());
    }
}
