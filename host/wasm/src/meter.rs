//! Metering one Store: memory over all its memories, elements over all its tables, instances.
//!
//! Promise: sums are exact also when a permitted growth then fails, so that N memories share one
//! limit. What crosses a limit traps at once with [`Crossed`], which names the limit.
//!
//! Not here: fuel and deadline (`call`), host buffers and handles (the engine's own counters).

use crate::limits::{CallLimits, as_size};
use harness_core::outcome::LimitName;
use wasmtime::ResourceLimiter;

/// A limit was crossed. Travels as an error through the engine, out of the guest.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("crossed {} = {maximum}", limit.name())]
pub(crate) struct Crossed {
    pub(crate) limit: LimitName,
    pub(crate) maximum: u64,
}

impl Crossed {
    pub(crate) const fn of(limits: &CallLimits, limit: LimitName) -> Self {
        Self { limit, maximum: limits.maximum(limit) }
    }
}

/// Counts one resource: what is used, and what the last growth added, in case it fails.
#[derive(Debug)]
struct Count {
    limit: Crossed,
    used: usize,
    peak: usize,
    last: usize,
}

impl Count {
    const fn new(limit: Crossed) -> Self {
        Self { limit, used: 0, peak: 0, last: 0 }
    }

    fn grow(&mut self, current: usize, desired: usize, own_maximum: Option<usize>) -> wasmtime::Result<bool> {
        let added = desired.saturating_sub(current);
        let used = self.used.saturating_add(added);
        if used > as_size(self.limit.maximum) {
            return Err(self.limit.into());
        }
        // Beyond what the module itself declared: it fails as the specification says.
        if own_maximum.is_some_and(|maximum| desired > maximum) {
            self.last = 0;
            return Ok(false);
        }
        self.used = used;
        self.last = added;
        self.peak = self.peak.max(used);
        Ok(true)
    }

    fn failed(&mut self) {
        self.used = self.used.saturating_sub(self.last);
        self.last = 0;
    }
}

/// The limiter of one Store.
#[derive(Debug)]
pub(crate) struct Meter {
    memory: Count,
    tables: Count,
    instances: usize,
}

impl Meter {
    pub(crate) const fn new(limits: &CallLimits) -> Self {
        Self {
            memory: Count::new(Crossed::of(limits, LimitName::MemoryBytes)),
            tables: Count::new(Crossed::of(limits, LimitName::TableElements)),
            instances: if limits.instances > usize::MAX as u64 { usize::MAX } else { limits.instances as usize },
        }
    }

    /// Peak of all linear memories together, in bytes.
    pub(crate) const fn memory_peak_bytes(&self) -> u64 {
        self.memory.peak as u64
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.memory.grow(current, desired, maximum)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.failed();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.tables.grow(current, desired, maximum)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.tables.failed();
        Ok(())
    }

    fn instances(&self) -> usize {
        self.instances
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(memory_bytes: u64) -> Meter {
        Meter::new(&CallLimits { memory_bytes, ..CallLimits::DEFAULT })
    }

    #[test]
    fn several_memories_share_one_limit() {
        let mut meter = meter(100);
        assert!(meter.memory_growing(0, 60, None).unwrap());
        assert!(meter.memory_growing(0, 40, None).unwrap());
        let crossed = meter.memory_growing(40, 41, None).unwrap_err();
        assert_eq!(crossed.downcast_ref::<Crossed>().unwrap().limit, LimitName::MemoryBytes);
        assert_eq!(meter.memory_peak_bytes(), 100);
    }

    #[test]
    fn a_growth_that_failed_is_taken_back() {
        let mut meter = meter(100);
        assert!(meter.memory_growing(0, 60, None).unwrap());
        assert!(meter.memory_growing(60, 100, None).unwrap());
        meter.memory_grow_failed(wasmtime::Error::msg("no memory")).unwrap();
        assert!(meter.memory_growing(60, 100, None).unwrap(), "the failed growth does not count");
        meter.memory_grow_failed(wasmtime::Error::msg("no memory")).unwrap();
        assert!(!meter.memory_growing(60, 70, Some(65)).unwrap(), "the module's own maximum");
        meter.memory_grow_failed(wasmtime::Error::msg("own maximum")).unwrap();
        assert_eq!(meter.memory.used, 60, "a refused growth takes nothing back");
    }
}
