//! Time and chance, as one call is told of them: recorded, and given again when it is run again.
//!
//! Promise: all of a call's random bytes follow from one seed, and all its readings of clocks from where
//! the call began and the recorded steps; a call that is run again with them waits for no alarm.
//! Where the record does not suffice for the same run, it says so.
//!
//! Not here: what else a run depends on, its files and its arguments.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use harness_core::TimeMs;
use harness_core::record::{CLOCK_READINGS_MAX, Inputs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// A seed, in bytes.
const SEED_BYTES: usize = 32;

/// Where time and chance of a call come from.
pub(crate) struct Sources {
    started: TimeMs,
    seed: [u8; SEED_BYTES],
    random: Option<ChaCha20Rng>,
    clock: Clock,
    /// Milliseconds since the call began, at the last reading.
    elapsed_ms: u64,
    steps: Vec<u32>,
    is_complete: bool,
    alarms: Arc<Alarms>,
}

enum Clock {
    /// This host's.
    Own(Instant),
    /// The recorded steps that are left, the last first.
    Recorded(Vec<u32>),
}

/// The points in time that a guest waits for.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    waiting: AtomicUsize,
    /// What the guest saw of them depends on more than the record holds.
    are_unclear: AtomicBool,
}

/// Why a call cannot be run again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the recorded seed is not {SEED_BYTES} bytes in hexadecimal")]
pub(crate) struct DamagedInputs;

impl Sources {
    /// This host's own clock, and a fresh seed.
    pub(crate) fn fresh() -> Result<Self, getrandom::Error> {
        let mut seed = [0; SEED_BYTES];
        getrandom::fill(&mut seed)?;
        // A host clock before 1970 reads as 1970.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let started = TimeMs(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        Ok(Self::new(started, seed, Clock::Own(Instant::now())))
    }

    /// The same for everybody: time stands still at 1970, and chance is one fixed row of numbers.
    pub(crate) fn fixed() -> Self {
        Self::new(TimeMs(0), [0; SEED_BYTES], Clock::Recorded(Vec::new()))
    }

    /// What was recorded.
    pub(crate) fn recorded(inputs: &Inputs) -> Result<Self, DamagedInputs> {
        let seed = unhex(&inputs.seed).ok_or(DamagedInputs)?;
        let steps = inputs.clock_steps_ms.iter().rev().copied().collect();
        Ok(Self::new(inputs.started, seed, Clock::Recorded(steps)))
    }

    fn new(started: TimeMs, seed: [u8; SEED_BYTES], clock: Clock) -> Self {
        Self {
            started,
            seed,
            random: None,
            clock,
            elapsed_ms: 0,
            steps: Vec::new(),
            is_complete: true,
            alarms: Arc::default(),
        }
    }

    /// Milliseconds since the call began: one reading of a clock.
    pub(crate) fn elapsed_ms(&mut self) -> u64 {
        let step = match &mut self.clock {
            Clock::Own(began) => {
                let now = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                u32::try_from(now.saturating_sub(self.elapsed_ms)).unwrap_or(u32::MAX)
            }
            // Beyond what was recorded, time stands still.
            Clock::Recorded(steps) => steps.pop().unwrap_or(0),
        };
        self.elapsed_ms = self.elapsed_ms.saturating_add(u64::from(step));
        if self.steps.len() < CLOCK_READINGS_MAX {
            self.steps.push(step);
        } else {
            self.is_complete = false;
        }
        self.elapsed_ms
    }

    /// Milliseconds since the Unix epoch: one reading of a clock.
    pub(crate) fn wall_ms(&mut self) -> u64 {
        let elapsed_ms = self.elapsed_ms();
        u64::try_from(self.started.0).unwrap_or(0).saturating_add(elapsed_ms)
    }

    /// The call's random bytes, from where the last ones ended.
    pub(crate) fn random(&mut self) -> &mut impl Rng {
        let seed = self.seed;
        self.random.get_or_insert_with(|| ChaCha20Rng::from_seed(seed))
    }

    /// What the guest was told does not follow from the record alone.
    pub(crate) fn mark_incomplete(&mut self) {
        self.is_complete = false;
    }

    /// Waits so long, from now on; in a call that is run again only as long as others need for their turn.
    pub(crate) fn alarm(&self, wait: Duration) -> Alarm {
        let count = self.alarms.clone();
        if !wait.is_zero() && count.waiting.fetch_add(1, Ordering::Relaxed) > 0 {
            // Which of several was first depends on the clock.
            count.are_unclear.store(true, Ordering::Relaxed);
        }
        let until = match self.clock {
            Clock::Recorded(_) => Some(tokio::time::Instant::now()),
            // A time that cannot be represented is never reached; the deadline of the call comes first.
            Clock::Own(_) => tokio::time::Instant::now().checked_add(wait),
        };
        Alarm {
            until,
            is_own: matches!(self.clock, Clock::Own(_)),
            waits: !wait.is_zero(),
            was_looked_at: false,
            count,
        }
    }

    /// The record.
    pub(crate) fn finish(self) -> Inputs {
        let is_complete = self.is_complete && !self.alarms.are_unclear.load(Ordering::Relaxed);
        Inputs { started: self.started, seed: hex(&self.seed), clock_steps_ms: self.steps, is_complete }
    }
}

/// A point in time that a guest waits for.
pub(crate) struct Alarm {
    until: Option<tokio::time::Instant>,
    is_own: bool,
    waits: bool,
    was_looked_at: bool,
    count: Arc<Alarms>,
}

impl Alarm {
    /// Waits for it.
    pub(crate) async fn wait(&mut self) {
        let is_first = !std::mem::replace(&mut self.was_looked_at, true);
        let has_passed = self.until.is_some_and(|until| until <= tokio::time::Instant::now());
        if self.is_own && self.waits && (has_passed || !is_first) {
            // Whether it had passed when the guest looked is a reading that is not recorded; only waiting for it
            // at the first look comes to the same again.
            self.count.are_unclear.store(true, Ordering::Relaxed);
        }
        match self.until {
            None => std::future::pending().await,
            Some(until) if !has_passed => tokio::time::sleep_until(until).await,
            // Others get their turn also where a guest polls in a busy loop without waiting. And a guest that only
            // looks is told what it was told when it had to wait: not yet.
            Some(_) if is_first => tokio::task::yield_now().await,
            Some(_) => {}
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if self.waits {
            self.count.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn hex(seed: &[u8; SEED_BYTES]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    seed.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

fn unhex(text: &str) -> Option<[u8; SEED_BYTES]> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok())).collect();
    let bytes: Vec<u8> =
        digits?.chunks(2).map(|pair| pair.iter().fold(0, |value, digit| (value << 4) | digit)).collect();
    (text.len() == 2 * SEED_BYTES).then(|| bytes.try_into().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_is_given_again() {
        let mut first = Sources::fresh().unwrap();
        let mut seen = Vec::new();
        let look = |sources: &mut Sources| {
            let mut bytes = [0; 40];
            sources.random().fill_bytes(&mut bytes);
            (sources.wall_ms(), sources.elapsed_ms(), bytes)
        };
        for _ in 0..3 {
            seen.push(look(&mut first));
            std::thread::sleep(Duration::from_millis(2));
        }
        let inputs = first.finish();
        assert!(inputs.is_complete && inputs.clock_steps_ms.len() == 6, "{inputs:?}");
        let mut again = Sources::recorded(&inputs).unwrap();
        assert_eq!((0..3).map(|_| look(&mut again)).collect::<Vec<_>>(), seen);
        assert_eq!(again.finish(), inputs);
    }

    #[test]
    fn too_many_readings_and_damaged_seeds_are_said_to_be_that() {
        let mut sources = Sources::fresh().unwrap();
        for _ in 0..=CLOCK_READINGS_MAX {
            sources.elapsed_ms();
        }
        let inputs = sources.finish();
        assert!(!inputs.is_complete && inputs.clock_steps_ms.len() == CLOCK_READINGS_MAX);
        for seed in ["", "00", &"zz".repeat(32), &"0".repeat(65), &"ä".repeat(32)] {
            let damaged = Inputs { seed: seed.to_owned(), ..inputs.clone() };
            assert!(Sources::recorded(&damaged).is_err(), "{seed:?}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn alarms_wait_once_and_say_what_they_cannot_promise() {
        let fresh = Sources::fresh().unwrap();
        fresh.alarm(Duration::from_millis(1)).wait().await;
        fresh.alarm(Duration::ZERO).wait().await;
        let inputs = fresh.finish();
        assert!(inputs.is_complete, "one after the other");
        let again = Sources::recorded(&inputs).unwrap();
        let began = Instant::now();
        again.alarm(Duration::from_secs(3_600)).wait().await;
        assert!(began.elapsed() < Duration::from_secs(3_600));

        let two = Sources::fresh().unwrap();
        let (_one, _other) = (two.alarm(Duration::from_millis(1)), two.alarm(Duration::from_millis(2)));
        assert!(!two.finish().is_complete);
    }
}
