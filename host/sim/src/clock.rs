//! A clock that tests move by hand.
//!
//! Promise: no time passes but what a test makes pass.

use async_trait::async_trait;
use harness_core::TimeMs;
use harness_engine::ports::Clock;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{oneshot, watch};

/// A clock without a will of its own.
#[derive(Debug)]
pub struct SimClock {
    jumps: bool,
    inner: Mutex<Inner>,
    sleeping: watch::Sender<usize>,
}

#[derive(Debug)]
struct Inner {
    now_ms: i64,
    sleepers: Vec<(i64, oneshot::Sender<()>)>,
    slept_ms: Vec<u64>,
}

impl SimClock {
    fn new(now_ms: i64, jumps: bool) -> Self {
        let inner = Inner { now_ms, sleepers: Vec::new(), slept_ms: Vec::new() };
        Self { jumps, inner: Mutex::new(inner), sleeping: watch::Sender::new(0) }
    }

    /// Who sleeps sleeps until [`SimClock::advance`] was told to go that far.
    pub fn manual(now: TimeMs) -> Self {
        Self::new(now.0, false)
    }

    /// Who sleeps moves the clock and goes on at once.
    pub fn jumping(now: TimeMs) -> Self {
        Self::new(now.0, true)
    }

    /// Moves the clock and wakes whoever has slept long enough.
    pub fn advance(&self, duration_ms: u64) {
        let mut inner = self.inner();
        inner.now_ms = inner.now_ms.saturating_add_unsigned(duration_ms);
        let now_ms = inner.now_ms;
        let (due, rest) = inner.sleepers.drain(..).partition(|(until, _)| *until <= now_ms);
        inner.sleepers = rest;
        self.sleeping.send_replace(inner.sleepers.len());
        let due: Vec<(i64, oneshot::Sender<()>)> = due;
        for (_, wake) in due {
            // Who does not sleep any more needs no waking.
            let _ = wake.send(());
        }
    }

    /// Waits until so many sleep.
    pub async fn until_sleeping(&self, sleepers: usize) {
        let _ = self.sleeping.subscribe().wait_for(|count| *count >= sleepers).await;
    }

    /// Every wait that was asked for, in milliseconds.
    pub fn slept_ms(&self) -> Vec<u64> {
        self.inner().slept_ms.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> TimeMs {
        TimeMs(self.inner().now_ms)
    }

    async fn sleep(&self, duration_ms: u64) {
        let woken = {
            let mut inner = self.inner();
            inner.slept_ms.push(duration_ms);
            let until = inner.now_ms.saturating_add_unsigned(duration_ms);
            if self.jumps || until <= inner.now_ms {
                inner.now_ms = until;
                None
            } else {
                let (wake, woken) = oneshot::channel();
                inner.sleepers.push((until, wake));
                self.sleeping.send_replace(inner.sleepers.len());
                Some(woken)
            }
        };
        match woken {
            None => tokio::task::yield_now().await,
            Some(woken) => {
                let _ = woken.await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn keeps_the_promises_of_the_port() {
        crate::conformance::clock::run_all(&SimClock::jumping(TimeMs(1_700_000_000_000))).await;
    }

    #[tokio::test]
    async fn who_sleeps_wakes_when_the_test_says_so() {
        let clock = Arc::new(SimClock::manual(TimeMs(10)));
        let sleeper = Arc::clone(&clock);
        let slept = tokio::spawn(async move { sleeper.sleep(5).await });
        clock.until_sleeping(1).await;
        clock.advance(4);
        tokio::task::yield_now().await;
        assert!(!slept.is_finished());
        clock.advance(1);
        slept.await.unwrap();
        assert_eq!((clock.now(), clock.slept_ms()), (TimeMs(15), vec![5]));
    }
}
