//! Where components are compiled: in this process, or in a bounded one of its own.
//!
//! Promise: a component that makes the compiler loop, allocate without end or crash costs a worker process,
//! never this one; the limit that ended the worker is named. The worker goes on when this process ends, and
//! what it made is found in the cache by the next one. Of several processes that want the same component one
//! has it compiled and the others wait for that.
//!
//! The worker runs the same program as the host and writes the cache's entry itself, with the host's key. It is
//! trusted as the host is: it runs nothing of the component, it only compiles it, and the host would sign
//! whatever came out of it anyway.
//!
//! Not here: which components are wanted (`load`), what the worker does (`worker`).

mod order;
mod parent;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) use parent::{Failure, Made, Outside, chain};
pub use worker::worker_main;

/// Where components are compiled.
#[derive(Debug, Clone, Default)]
pub enum Compiler {
    /// In this process: only the component's size is bounded.
    #[default]
    InThisProcess,
    /// In a process of its own, with limits.
    Worker {
        /// The program, an absolute path.
        program: PathBuf,
        /// Its first arguments. The order follows them; the program hands it to [`worker_main`].
        arguments: Vec<OsString>,
        /// What it may use.
        limits: CompileLimits,
    },
}

/// What one compilation may use. The first four are set by the worker for itself, before it reads anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CompileLimits {
    /// Address space of the worker, in bytes.
    pub memory_bytes: u64,
    /// Processor time over all its threads, in seconds.
    pub cpu_s: u64,
    /// The largest file it may write, in bytes.
    pub file_bytes: u64,
    /// Wall-clock milliseconds, waiting for another process that compiles the same not included.
    pub time_ms: u64,
    /// How long this process remembers that a limit, a crash or the system ended a compilation before it tries
    /// again. Milliseconds. What the compiler refused stays refused.
    pub remember_failure_ms: u64,
}

impl CompileLimits {
    /// The defaults.
    pub const DEFAULT: Self =
        Self { memory_bytes: 4 << 30, cpu_s: 300, file_bytes: 1 << 30, time_ms: 300_000, remember_failure_ms: 60_000 };
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A limit of a compilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompileLimitName {
    /// [`CompileLimits::memory_bytes`].
    MemoryBytes,
    /// [`CompileLimits::cpu_s`].
    CpuS,
    /// [`CompileLimits::file_bytes`].
    FileBytes,
    /// [`CompileLimits::time_ms`].
    TimeMs,
}

impl CompileLimitName {
    /// The limit's name as people read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MemoryBytes => "compile-memory-bytes",
            Self::CpuS => "compile-cpu-s",
            Self::FileBytes => "compile-file-bytes",
            Self::TimeMs => "compile-time-ms",
        }
    }
}
