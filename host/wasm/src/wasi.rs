//! The clocks, randomness and standard streams that guests get.
//!
//! Promise: clocks are coarse (1 ms), so that they measure no side channel; nothing of the host's
//! environment, arguments or streams shows through, only the variables that were granted; no request makes the
//! host allocate more than the call's limit.
//!
//! Not here: where time and chance come from (`host::inputs`), files (`filesystem`), sockets (linked, but their
//! default denies all).

use crate::guest::GuestState;
use crate::host::inputs::Alarm;
use crate::log::Source;
use crate::meter::Crossed;
use chacha20::rand_core::Rng;
use harness_core::grant::Capability;
use harness_core::outcome::LimitName;
use std::time::Duration;
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::p2::bindings::cli::{environment, stderr, stdout};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};
use wasmtime_wasi_io::streams::DynOutputStream;

/// Resolution of both clocks, in nanoseconds.
const CLOCK_RESOLUTION_NS: u64 = 1_000_000;

/// A millisecond, in nanoseconds.
const MS_NS: u64 = 1_000_000;

/// Adds clocks, randomness, the environment and standard output and error.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    type Own = HasSelf<GuestState>;
    wall_clock::add_to_linker::<_, Own>(linker, |state| state)?;
    monotonic_clock::add_to_linker::<_, Own>(linker, |state| state)?;
    random::add_to_linker::<_, Own>(linker, |state| state)?;
    insecure::add_to_linker::<_, Own>(linker, |state| state)?;
    insecure_seed::add_to_linker::<_, Own>(linker, |state| state)?;
    environment::add_to_linker::<_, Own>(linker, |state| state)?;
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

impl environment::Host for GuestState {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        let variable = |capability: &Capability| match capability {
            Capability::Env { name, value: Some(value) } => Some((name.clone(), value.clone())),
            _ => None,
        };
        Ok(self.lent.powers.capabilities().iter().filter_map(variable).collect())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl wall_clock::Host for GuestState {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now_ms = self.lent.sources.wall_ms();
        // Below a thousand million.
        let nanoseconds = ((now_ms % 1_000) * MS_NS) as u32;
        Ok(wall_clock::Datetime { seconds: now_ms / 1_000, nanoseconds })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: CLOCK_RESOLUTION_NS as u32 })
    }
}

impl GuestState {
    fn random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        if length > self.limits.host_bytes {
            return Err(Crossed::of(&self.limits, LimitName::HostBytes).into());
        }
        let mut bytes = vec![0; usize::try_from(length)?];
        self.lent.sources.random().fill_bytes(&mut bytes);
        Ok(bytes)
    }

    fn random_number(&mut self) -> u64 {
        self.lent.sources.random().next_u64()
    }
}

impl monotonic_clock::Host for GuestState {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.lent.sources.elapsed_ms().saturating_mul(MS_NS))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(CLOCK_RESOLUTION_NS)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        // Whether the time has come is a reading of the clock.
        let now = monotonic_clock::Host::now(self)?;
        self.subscribe_duration(when.saturating_sub(now))
    }

    fn subscribe_duration(&mut self, wait: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let alarm = self.table.push(self.lent.sources.alarm(Duration::from_nanos(wait)))?;
        subscribe(&mut self.table, alarm)
    }
}

#[wasmtime_wasi_io::async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {
        self.wait().await;
    }
}

impl random::Host for GuestState {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(length)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random_number())
    }
}

// The insecure kinds are as good as the secure one: nothing is gained by a second generator.
impl insecure::Host for GuestState {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(length)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random_number())
    }
}

impl insecure_seed::Host for GuestState {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.random_number(), self.random_number()))
    }
}
