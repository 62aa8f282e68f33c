//! The host's side of the worker: starts it, waits for it, says what became of it.
//!
//! Promise: one component is given to one worker at a time, over all processes that share a cache; waiting is
//! bounded; a worker that takes too long is ended. Nothing that the worker says is believed: what it made is read
//! from the cache, with its MAC.
//!
//! The component lies in a file of the cache's folder that is the worker's standard input and at the same time
//! the lock: whoever has it open and locked, host or worker, is at it, and the system unlocks it whatever way
//! they end.
//!
//! Not here: what the worker does (`worker`).

use super::order::{self, Order, PROBLEM_BYTES_MAX, SAID_BYTES_MAX, Said};
use super::{CompileLimitName, CompileLimits};
use crate::cache::{CacheKey, CacheSettings, CompiledCache, private_folder};
use crate::clean::clean_and_cut;
use crate::limits::CallLimits;
use crate::tools::Component;
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Between two looks at a worker or a lock, in milliseconds.
const LOOK_MS: u64 = 10;
/// How much longer than its own limit a worker is waited for: it ends itself first. Milliseconds.
const GRACE_MS: u64 = 2_000;
/// Threads that the compiler uses: more would take address space and everybody's processors.
const COMPILER_THREADS_MAX: usize = 4;

/// Why there is no compiled component.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The compiler refused the component.
    Refused { problem: String },
    /// A limit ended the worker.
    Limit { limit: CompileLimitName, maximum: u64 },
    /// The worker died of something else, or the system refused something.
    Broken { problem: String },
}

/// What waiting for a worker came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// A worker of ours compiled it.
    Here,
    /// Another process had it compiled meanwhile.
    Elsewhere,
}

/// A compiler outside of this process.
pub(crate) struct Outside {
    program: PathBuf,
    arguments: Vec<OsString>,
    limits: CompileLimits,
    guests: CallLimits,
    cache: CacheSettings,
    /// Removed at the end: there is no other cache.
    scratch: Option<PathBuf>,
}

impl Drop for Outside {
    fn drop(&mut self) {
        if let Some(folder) = &self.scratch {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

impl Outside {
    /// A compiler whose workers write into this cache. Without one, into a folder that ends with this.
    pub(crate) fn new(
        program: PathBuf,
        arguments: Vec<OsString>,
        limits: CompileLimits,
        guests: CallLimits,
        cache: Option<CacheSettings>,
    ) -> io::Result<Self> {
        let (cache, scratch) = match cache {
            Some(cache) => (cache, None),
            None => {
                let number = getrandom::u64().map_err(io::Error::other)?;
                let scratch = std::env::temp_dir().join(format!("harness-host-compiled-{number:016x}"));
                private_folder(&scratch)?;
                let bytes_max = crate::cache::CACHE_BYTES_MAX_DEFAULT;
                let cache = CacheSettings { folder: scratch.join("cache"), key_file: scratch.join("key"), bytes_max };
                (cache, Some(scratch))
            }
        };
        Ok(Self { program, arguments, limits, guests, cache, scratch })
    }

    /// Where the workers write.
    pub(crate) fn cache(&self) -> &CacheSettings {
        &self.cache
    }

    /// Has a component compiled, unless another process does: then waits for that.
    pub(crate) fn compile(
        &self,
        component: &Component,
        key: &CacheKey,
        cache: &CompiledCache,
    ) -> Result<Made, Failure> {
        let path = order::file(&self.cache.folder, key);
        let time_ms = self.limits.time_ms.saturating_add(GRACE_MS);
        let until = Deadline::after(time_ms);
        let broken =
            |what: &str, error: &dyn std::fmt::Display| Failure::Broken { problem: format!("{what}: {error}") };
        let mut file = loop {
            match lock(&path) {
                Ok(Some(file)) => break file,
                Ok(None) if until.is_over() => return Err(self.crossed(CompileLimitName::TimeMs)),
                Ok(None) => std::thread::sleep(Duration::from_millis(LOOK_MS)),
                Err(error) => return Err(broken("its place in the cache", &error)),
            }
        };
        // Removed while it is locked: who waits for it finds that it is gone. A worker that comes to its end does
        // that itself, because this process may not be there any more.
        let removed = Removed(&path);
        if cache.has(key) {
            return Ok(Made::Elsewhere);
        }
        let put_down = file.set_len(0).and_then(|()| file.write_all(component.bytes())).and_then(|()| file.rewind());
        put_down.map_err(|error| broken("handing it to the compiler", &error))?;
        let child = self.start(component, key, file).map_err(|error| broken("starting the compiler", &error))?;
        self.wait(child, &Deadline::after(time_ms))?;
        std::mem::forget(removed);
        Ok(Made::Here)
    }

    fn start(&self, component: &Component, key: &CacheKey, input: File) -> io::Result<Child> {
        let order = Order {
            digest: component.digest().hex(),
            key: key.hex(),
            cache_bytes_max: self.cache.bytes_max,
            guest_memory_bytes: self.guests.memory_bytes,
            guest_stack_bytes: self.guests.stack_bytes,
            limits: self.limits,
        };
        let order = order::to_arguments(&self.cache.folder, &self.cache.key_file, &order).map_err(io::Error::other)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(COMPILER_THREADS_MAX);
        Command::new(&self.program)
            .args(&self.arguments)
            .args(order)
            .env_clear()
            .env("RAYON_NUM_THREADS", threads.to_string())
            .current_dir("/")
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: an interrupt typed for the host is not for the worker.
            .process_group(0)
            .spawn()
    }

    fn wait(&self, mut child: Child, until: &Deadline) -> Result<(), Failure> {
        let ended = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if until.is_over() => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(self.crossed(CompileLimitName::TimeMs));
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(LOOK_MS)),
                Err(error) => return Err(Failure::Broken { problem: format!("waiting for the compiler: {error}") }),
            }
        };
        let said = child.stdout.take().map(read_some).unwrap_or_default();
        let complained = child.stderr.take().map(read_some).unwrap_or_default();
        self.meaning(ended, &said, &complained)
    }

    /// What an ended worker means.
    fn meaning(&self, ended: ExitStatus, said: &str, complained: &str) -> Result<(), Failure> {
        use rustix::process::Signal;
        if let Some(signal) = ended.signal() {
            let limit = if signal == Signal::XCPU.as_raw() {
                Some(CompileLimitName::CpuS)
            } else if signal == Signal::XFSZ.as_raw() {
                Some(CompileLimitName::FileBytes)
            } else if signal == Signal::ABORT.as_raw() && is_out_of_memory(complained) {
                Some(CompileLimitName::MemoryBytes)
            } else {
                None
            };
            return Err(limit.map_or_else(
                || {
                    let complained = clean_and_cut(complained.as_bytes(), PROBLEM_BYTES_MAX);
                    let problem = format!("the compiler was ended by signal {signal}: {complained}");
                    Failure::Broken { problem: problem.trim_end_matches([':', ' ']).to_owned() }
                },
                |limit| self.crossed(limit),
            ));
        }
        let last = said.lines().next_back().unwrap_or_default();
        match serde_json::from_str(last) {
            Ok(Said::Compiled) => Ok(()),
            Ok(Said::Refused { problem }) => Err(Failure::Refused { problem }),
            Ok(Said::OutOfMemory) => Err(self.crossed(CompileLimitName::MemoryBytes)),
            Ok(Said::OutOfTime) => Err(self.crossed(CompileLimitName::TimeMs)),
            Ok(Said::Failed { problem }) => Err(Failure::Broken { problem }),
            Err(_) if is_out_of_memory(complained) => Err(self.crossed(CompileLimitName::MemoryBytes)),
            Err(_) => {
                let complained = clean_and_cut(complained.as_bytes(), PROBLEM_BYTES_MAX);
                let problem = format!("the compiler ended with {ended} and said nothing that can be understood");
                let problem = if complained.is_empty() { problem } else { format!("{problem}: {complained}") };
                Err(Failure::Broken { problem })
            }
        }
    }

    fn crossed(&self, limit: CompileLimitName) -> Failure {
        let maximum = match limit {
            CompileLimitName::MemoryBytes => self.limits.memory_bytes,
            CompileLimitName::CpuS => self.limits.cpu_s,
            CompileLimitName::FileBytes => self.limits.file_bytes,
            CompileLimitName::TimeMs => self.limits.time_ms,
        };
        Failure::Limit { limit, maximum }
    }
}

struct Deadline(Option<Instant>);

impl Deadline {
    /// One beyond the clock's range never comes.
    fn after(time_ms: u64) -> Self {
        Self(Instant::now().checked_add(Duration::from_millis(time_ms)))
    }

    fn is_over(&self) -> bool {
        self.0.is_some_and(|until| until <= Instant::now())
    }
}

struct Removed<'a>(&'a Path);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}

/// The file, locked; none if another process has it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Who had it may have removed it between the two: then another file has its name by now, or none.
    let is_there = std::fs::symlink_metadata(path)
        .is_ok_and(|there| file.metadata().is_ok_and(|own| (there.ino(), there.dev()) == (own.ino(), own.dev())));
    Ok(is_there.then_some(file))
}

/// Whether these are the last words of a process that got no memory: of Rust's own allocation, or of the system
/// where a mapping or a thread's stack found no room (`strerror` of ENOMEM and EAGAIN).
fn is_out_of_memory(complained: &str) -> bool {
    ["memory allocation of", "Cannot allocate memory", "Resource temporarily unavailable"]
        .iter()
        .any(|words| complained.contains(words))
}

fn read_some(stream: impl Read) -> String {
    let mut bytes = Vec::new();
    // What was read before an error counts.
    let _ = stream.take(SAID_BYTES_MAX).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An error and what caused it, outermost first.
pub(crate) fn chain(error: &wasmtime::Error) -> String {
    let links: Vec<_> = error.chain().map(ToString::to_string).collect();
    clean_and_cut(links.join(": ").as_bytes(), PROBLEM_BYTES_MAX)
}
