//! The clocks, randomness and standard streams that guests get.
//!
//! Promise: clocks are coarse (1 ms), so that they measure no side channel; nothing of the host's
//! environment, arguments or streams shows through; no request makes the host allocate more than the
//! call's limit.
//!
//! Not here: files (`filesystem`), sockets (linked, but their default denies all).

use crate::guest::GuestState;
use crate::log::Source;
use crate::meter::Crossed;
use harness_core::outcome::LimitName;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::p2::bindings::cli::{stderr, stdout};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};
use wasmtime_wasi_io::streams::DynOutputStream;

/// Resolution of both clocks, in nanoseconds.
const CLOCK_RESOLUTION_NS: u64 = 1_000_000;

/// Adds clocks, randomness and standard output and error.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    type Own = HasSelf<GuestState>;
    wall_clock::add_to_linker::<_, Own>(linker, |state| state)?;
    monotonic_clock::add_to_linker::<_, Own>(linker, |state| state)?;
    random::add_to_linker::<_, Own>(linker, |state| state)?;
    insecure::add_to_linker::<_, Own>(linker, |state| state)?;
    insecure_seed::add_to_linker::<_, Own>(linker, |state| state)?;
    stdout::add_to_linker::<_, Own>(linker, |state| state)?;
    stderr::add_to_linker::<_, Own>(linker, |state| state)
}

impl stdout::Host for GuestState {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        let stream = self.log.stream(Source::Out);
        Ok(self.table.push(stream)?)
    }
}

impl stderr::Host for GuestState {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<DynOutputStream>> {
        let stream = self.log.stream(Source::Err);
        Ok(self.table.push(stream)?)
    }
}

impl wall_clock::Host for GuestState {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        // A host clock before 1970 reads as 1970.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(wall_clock::Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_millis() * 1_000_000 })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: CLOCK_RESOLUTION_NS as u32 })
    }
}

impl GuestState {
    /// Nanoseconds since the call began, rounded down to the resolution.
    fn monotonic_now_ns(&self) -> u64 {
        let elapsed = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        elapsed - elapsed % CLOCK_RESOLUTION_NS
    }

    fn random_bytes(&self, length: u64) -> wasmtime::Result<Vec<u8>> {
        if length > self.limits.host_bytes {
            return Err(Crossed::of(&self.limits, LimitName::HostBytes).into());
        }
        let mut bytes = vec![0; usize::try_from(length)?];
        getrandom::fill(&mut bytes).map_err(|error| wasmtime::Error::msg(format!("no randomness: {error}")))?;
        Ok(bytes)
    }

    fn random_number(&self) -> wasmtime::Result<u64> {
        getrandom::u64().map_err(|error| wasmtime::Error::msg(format!("no randomness: {error}")))
    }
}

impl monotonic_clock::Host for GuestState {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.monotonic_now_ns())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(CLOCK_RESOLUTION_NS)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let wait = when.saturating_sub(self.monotonic_now_ns());
        self.subscribe_duration(wait)
    }

    fn subscribe_duration(&mut self, wait: u64) -> wasmtime::Result<Resource<DynPollable>> {
        // A time that cannot be represented is never reached; the deadline of the call comes first.
        let until = Instant::now().checked_add(Duration::from_nanos(wait));
        let alarm = self.table.push(Alarm { until, yielded: false })?;
        subscribe(&mut self.table, alarm)
    }
}

/// A point in time that a guest waits for.
struct Alarm {
    until: Option<Instant>,
    yielded: bool,
}

#[wasmtime_wasi_io::async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {
        match self.until {
            None => std::future::pending().await,
            Some(until) if until > Instant::now() => tokio::time::sleep_until(until).await,
            // Others get their turn also where a guest polls in a busy loop without waiting.
            Some(_) if !self.yielded => {
                self.yielded = true;
                tokio::task::yield_now().await;
            }
            Some(_) => {}
        }
    }
}

impl random::Host for GuestState {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(length)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_number()
    }
}

// The insecure kinds are as good as the secure one: nothing is gained by a second generator.
impl insecure::Host for GuestState {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(length)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_number()
    }
}

impl insecure_seed::Host for GuestState {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.random_number()?, self.random_number()?))
    }
}
