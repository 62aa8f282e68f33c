//! Limits of one question to a policy: their own small table.
//!
//! Promise: each has its unit last in its name and is enforced on every question. Fuel ends what computes
//! without an end long before the deadline does, so that a slow machine gets the same answer as a fast one; the deadline
//! is there for what waits.
//!
//! Not here: what an answer may hold (`answer`), limits of tools' calls.

use crate::limits::CallLimits;

/// What answering one question may take. A policy that needs more denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyLimits {
    /// Deterministic work, in wasmtime's fuel (about one per instruction).
    pub fuel: u64,
    /// Wall-clock milliseconds, from the question's start on a thread.
    pub deadline_ms: u64,
    /// Bytes over all linear memories.
    pub memory_bytes: u64,
    /// Bytes of all texts of a question together.
    pub question_bytes: u64,
    /// Bytes that an answer may copy out of the policy.
    pub answer_bytes: u64,
}

impl PolicyLimits {
    /// The defaults. An everyday answer takes less than a hundredth of the fuel; CPython and its heap fit too.
    pub const DEFAULT: Self = Self {
        fuel: 200_000_000,
        deadline_ms: 5_000,
        memory_bytes: 64 << 20,
        question_bytes: 8 << 20,
        answer_bytes: 2 << 20,
    };

    /// The limits of the Store that answers, in an engine that was made for calls of these limits. What a person
    /// allows tools is no concern of a policy, but it fits where they fit.
    pub(crate) fn of_call(&self, engine: &CallLimits) -> CallLimits {
        CallLimits {
            fuel: self.fuel,
            deadline_ms: self.deadline_ms,
            memory_bytes: self.memory_bytes.min(engine.memory_bytes),
            table_elements: engine.table_elements,
            stack_bytes: engine.stack_bytes,
            host_bytes: self.answer_bytes,
            output_bytes: self.answer_bytes,
            open_handles: 32,
            staged_bytes: 0,
            staged_files: 0,
            requests: 0,
            request_bytes: 0,
            response_bytes: 0,
            kv_bytes: 0,
            ..CallLimits::DEFAULT
        }
    }
}

impl Default for PolicyLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
