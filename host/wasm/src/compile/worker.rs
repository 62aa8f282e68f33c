//! The worker: compiles one component within limits that it sets for itself.
//!
//! Promise: the limits hold before the first byte of the component is read; it ends by itself, also when nobody
//! waits for it; it reads no environment, runs nothing of the component and opens no network.
//!
//! Not here: whether it is wanted (`parent`).

use super::order::{self, Order, PROBLEM_BYTES_MAX, Said};
use crate::cache::{CacheKey, CacheSettings, CompiledCache};
use crate::clean::clean_and_cut;
use crate::engine;
use crate::limits::{COMPONENT_BYTES_MAX, CallLimits};
use harness_core::Digest;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

/// The entry is in the cache.
const EXIT_COMPILED: u8 = 0;
/// The component was refused.
const EXIT_REFUSED: u8 = 1;
/// A limit or the system ended it.
const EXIT_FAILED: u8 = 2;
/// Files it may have open: streams, key, component, entry, folder.
const OPEN_FILES_MAX: u64 = 32;
/// Seconds between the signal that ends it at its limit of processor time and the one that cannot be caught.
const CPU_GRACE_S: u64 = 1;
/// How much it gives way to everything else (`nice`).
const NICENESS: i32 = 5;

/// The whole worker: compiles the component on standard input as the arguments say, writes it into the cache,
/// prints one line of JSON that says what happened. The exit code is 0 if the entry is in the cache, 1 if the
/// component was refused, 2 if a limit or the system ended it.
///
/// To be called first thing in a process that does nothing else: it limits the whole process.
pub fn worker_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let said = match order::from_arguments(arguments) {
        Ok((folder, key_file, order)) => {
            let settings = CacheSettings { folder, key_file, bytes_max: order.cache_bytes_max };
            obey(&settings, &order).unwrap_or_else(|said| said)
        }
        Err(problem) => Said::Failed { problem },
    };
    say(&said);
    ExitCode::from(match said {
        Said::Compiled => EXIT_COMPILED,
        Said::Refused { .. } => EXIT_REFUSED,
        Said::OutOfMemory | Said::OutOfTime | Said::Failed { .. } => EXIT_FAILED,
    })
}

fn say(said: &Said) {
    // The host may be gone: then nobody hears it.
    if let Ok(line) = serde_json::to_string(said) {
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

fn failed(what: &str, error: impl std::fmt::Display) -> Said {
    let problem = clean_and_cut(format!("{what}: {error}").as_bytes(), PROBLEM_BYTES_MAX);
    Said::Failed { problem }
}

fn obey(settings: &CacheSettings, order: &Order) -> Result<Said, Said> {
    end_in_time(order.limits.time_ms).map_err(|error| failed("no thread to watch the time", error))?;
    let cache = CompiledCache::open(settings).map_err(|error| failed("the cache", error))?;
    limit_this_process(order).map_err(|error| failed("setting the limits", error))?;

    let bytes = component().map_err(|error| match error.kind() {
        std::io::ErrorKind::OutOfMemory => Said::OutOfMemory,
        _ => failed("reading the component", error),
    })?;
    let digest = Digest::of(&bytes);
    if digest.hex() != order.digest {
        return Err(failed("the component", "it is not the one of the order"));
    }
    let guests = CallLimits {
        memory_bytes: order.guest_memory_bytes,
        stack_bytes: order.guest_stack_bytes,
        ..CallLimits::DEFAULT
    };
    let engine = engine::compiling_engine(&guests).map_err(|error| said_of(&error))?;
    let key = CacheKey::new(&digest, engine.precompile_compatibility_hash());
    if key.hex() != order.key {
        return Err(failed("the compiler", "it is of another version than the host: install both anew"));
    }
    let code = engine.precompile_component(&bytes).map_err(|error| said_of(&error))?;
    let kept = cache.try_put(&key, &code).map_err(|error| failed("writing into the cache", error));
    // Still locked by this process: it is standard input.
    let _ = std::fs::remove_file(order::file(&settings.folder, &key));
    kept?;
    Ok(Said::Compiled)
}

/// What an error of the engine means here.
fn said_of(error: &wasmtime::Error) -> Said {
    let is_out_of_memory = error.chain().any(|link| {
        link.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::OutOfMemory)
            || link.downcast_ref::<rustix::io::Errno>() == Some(&rustix::io::Errno::NOMEM)
    });
    if is_out_of_memory { Said::OutOfMemory } else { Said::Refused { problem: super::parent::chain(error) } }
}

/// The host kills a worker that takes too long; this is for the one that it left behind.
fn end_in_time(time_ms: u64) -> std::io::Result<()> {
    let watch = move || {
        std::thread::sleep(Duration::from_millis(time_ms));
        say(&Said::OutOfTime);
        std::process::exit(i32::from(EXIT_FAILED));
    };
    std::thread::Builder::new().name("compile-time".to_owned()).spawn(watch).map(drop)
}

fn limit_this_process(order: &Order) -> rustix::io::Result<()> {
    let exactly = |maximum| Rlimit { current: Some(maximum), maximum: Some(maximum) };
    let limits = &order.limits;
    setrlimit(Resource::Core, exactly(0))?;
    setrlimit(Resource::Nofile, exactly(OPEN_FILES_MAX))?;
    setrlimit(Resource::Fsize, exactly(limits.file_bytes))?;
    let cpu = Rlimit { current: Some(limits.cpu_s), maximum: Some(limits.cpu_s.saturating_add(CPU_GRACE_S)) };
    setrlimit(Resource::Cpu, cpu)?;
    setrlimit(Resource::As, exactly(limits.memory_bytes))?;
    // Only a courtesy: fails nowhere that matters.
    let _ = rustix::process::nice(NICENESS);
    Ok(())
}

fn component() -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(COMPONENT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(std::io::Error::other(format!("it has more than {COMPONENT_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}
