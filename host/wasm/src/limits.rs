//! Limits of one call and of the runtime: the one table of defaults.
//!
//! Promise: every limit has its unit last in its name, every one is enforced on every call, and a
//! component can only lower what the runtime was given.
//!
//! Not here: enforcing them (`meter`, `call`, `filesystem`), reading them from files (harness-config).

use harness_core::outcome::LimitName;

/// What one call may use. Crossing a limit ends the call with an outcome that names it; only
/// `log_bytes` drops the oldest bytes instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// Deterministic work, in wasmtime's fuel (about one per instruction).
    pub fuel: u64,
    /// Wall-clock milliseconds of the whole call, host calls included, from its start on a thread.
    pub deadline_ms: u64,
    /// Bytes over all linear memories.
    pub memory_bytes: u64,
    /// Elements over all tables.
    pub table_elements: u64,
    /// Core instances.
    pub instances: u64,
    /// The guest's stack, in bytes. One value for the whole runtime: a component cannot lower it.
    pub stack_bytes: u64,
    /// Bytes of the outcome.
    pub output_bytes: u64,
    /// Bytes kept of what is written to standard output, standard error and the log together.
    pub log_bytes: u64,
    /// Bytes that one host call may copy out of the guest or make for it.
    pub host_bytes: u64,
    /// Open files, directories, streams and pollables.
    pub open_handles: u64,
    /// Bytes of all staged files together.
    pub staged_bytes: u64,
    /// Number of staged files and directories.
    pub staged_files: u64,
    /// Bytes of the arguments.
    pub argument_bytes: u64,
    /// Requests that leave the host, redirects included.
    pub requests: u64,
    /// Bytes of all requests' bodies together.
    pub request_bytes: u64,
    /// Bytes of all responses' bodies together.
    pub response_bytes: u64,
    /// Bytes of all values written to kv, keys included.
    pub kv_bytes: u64,
}

impl CallLimits {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        fuel: 10_000_000_000,
        deadline_ms: 30_000,
        memory_bytes: 64 << 20,
        table_elements: 10_000,
        instances: 32,
        stack_bytes: 1 << 20,
        output_bytes: 1 << 20,
        log_bytes: 64 << 10,
        host_bytes: 8 << 20,
        open_handles: 256,
        staged_bytes: 64 << 20,
        staged_files: 10_000,
        argument_bytes: 4 << 20,
        requests: 32,
        request_bytes: 4 << 20,
        response_bytes: 16 << 20,
        kv_bytes: 1 << 20,
    };

    /// The lower of two values, limit by limit. The stack is the runtime's: it stays as it is here.
    #[must_use]
    pub fn lowered_to(&self, other: &Self) -> Self {
        Self {
            fuel: self.fuel.min(other.fuel),
            deadline_ms: self.deadline_ms.min(other.deadline_ms),
            memory_bytes: self.memory_bytes.min(other.memory_bytes),
            table_elements: self.table_elements.min(other.table_elements),
            instances: self.instances.min(other.instances),
            stack_bytes: self.stack_bytes,
            output_bytes: self.output_bytes.min(other.output_bytes),
            log_bytes: self.log_bytes.min(other.log_bytes),
            host_bytes: self.host_bytes.min(other.host_bytes),
            open_handles: self.open_handles.min(other.open_handles),
            staged_bytes: self.staged_bytes.min(other.staged_bytes),
            staged_files: self.staged_files.min(other.staged_files),
            argument_bytes: self.argument_bytes.min(other.argument_bytes),
            requests: self.requests.min(other.requests),
            request_bytes: self.request_bytes.min(other.request_bytes),
            response_bytes: self.response_bytes.min(other.response_bytes),
            kv_bytes: self.kv_bytes.min(other.kv_bytes),
        }
    }

    /// Lowers one limit. The stack is the runtime's: it stays as it is.
    pub const fn lower(&mut self, limit: LimitName, maximum: u64) {
        let own = match limit {
            LimitName::StackBytes => return,
            LimitName::Fuel => &mut self.fuel,
            LimitName::DeadlineMs => &mut self.deadline_ms,
            LimitName::MemoryBytes => &mut self.memory_bytes,
            LimitName::TableElements => &mut self.table_elements,
            LimitName::Instances => &mut self.instances,
            LimitName::OutputBytes => &mut self.output_bytes,
            LimitName::LogBytes => &mut self.log_bytes,
            LimitName::HostBytes => &mut self.host_bytes,
            LimitName::OpenHandles => &mut self.open_handles,
            LimitName::StagedBytes => &mut self.staged_bytes,
            LimitName::StagedFiles => &mut self.staged_files,
            LimitName::ArgumentBytes => &mut self.argument_bytes,
            LimitName::Requests => &mut self.requests,
            LimitName::RequestBytes => &mut self.request_bytes,
            LimitName::ResponseBytes => &mut self.response_bytes,
            LimitName::KvBytes => &mut self.kv_bytes,
        };
        if maximum < *own {
            *own = maximum;
        }
    }

    /// The value of a limit.
    pub const fn maximum(&self, limit: LimitName) -> u64 {
        match limit {
            LimitName::Fuel => self.fuel,
            LimitName::DeadlineMs => self.deadline_ms,
            LimitName::MemoryBytes => self.memory_bytes,
            LimitName::TableElements => self.table_elements,
            LimitName::Instances => self.instances,
            LimitName::StackBytes => self.stack_bytes,
            LimitName::OutputBytes => self.output_bytes,
            LimitName::LogBytes => self.log_bytes,
            LimitName::HostBytes => self.host_bytes,
            LimitName::OpenHandles => self.open_handles,
            LimitName::StagedBytes => self.staged_bytes,
            LimitName::StagedFiles => self.staged_files,
            LimitName::ArgumentBytes => self.argument_bytes,
            LimitName::Requests => self.requests,
            LimitName::RequestBytes => self.request_bytes,
            LimitName::ResponseBytes => self.response_bytes,
            LimitName::KvBytes => self.kv_bytes,
        }
    }
}

impl Default for CallLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A limit as a `usize`, as most interfaces of the engine want it.
pub(crate) fn as_size(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// One epoch: how long a guest runs before others get their turn. Milliseconds.
pub(crate) const EPOCH_MS: u64 = 10;
/// Guests that one thread runs at the same time.
pub(crate) const GUESTS_PER_THREAD_MAX: usize = 16;
/// Threads that run guests, however many cores there are.
pub(crate) const THREADS_MAX: usize = 32;
/// Threads that hang in the operating system at the same time before no more are started in their place.
pub(crate) const THREADS_LOST_MAX: usize = 8;
/// Calls that run or wait for a thread; further callers wait outside.
pub(crate) const CALLS_MAX: usize = 1024;
/// How long after its deadline a call may take to end before its thread counts as lost. Milliseconds.
pub(crate) const GRACE_MS: u64 = 1_000;
/// Linear memories of one component.
pub(crate) const COMPONENT_MEMORIES_MAX: u32 = 8;
/// Tables of one component.
pub(crate) const COMPONENT_TABLES_MAX: u32 = 20;
/// A component's binary, in bytes.
pub const COMPONENT_BYTES_MAX: usize = 64 << 20;
/// Components that are compiled at the same time. The compiler itself uses all cores.
pub(crate) const COMPILES_MAX: usize = 1;
/// A component that a call waits for while it is compiled, in bytes: about four seconds.
pub(crate) const COMPILE_WAITED_FOR_BYTES_MAX: usize = 2 << 20;
/// Loaded components that are kept in memory.
pub(crate) const LOADED_COMPONENTS_MAX: usize = 256;
/// Text of a guest inside a fault's description, in bytes.
pub(crate) const FAULT_TEXT_BYTES_MAX: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_lowers_and_never_raises() {
        let own = CallLimits { fuel: 5, memory_bytes: u64::MAX, ..CallLimits::DEFAULT };
        let limits = CallLimits::DEFAULT.lowered_to(&own);
        assert_eq!(limits, CallLimits { fuel: 5, ..CallLimits::DEFAULT });
    }
}
