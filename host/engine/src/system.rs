//! The system's clock and randomness.
//!
//! Promise: what randomness gives cannot be guessed; where the system has none, the process ends.

use crate::ports::{Clock, Ids};
use async_trait::async_trait;
use harness_core::TimeMs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> TimeMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        TimeMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    async fn sleep(&self, duration_ms: u64) {
        tokio::time::sleep(Duration::from_millis(duration_ms)).await;
    }
}

/// The system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    fn entropy(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        if let Err(error) = getrandom::fill(&mut bytes) {
            // Ids and salts that can be guessed would be worse than no host.
            eprintln!("harness-host: the system gives no randomness: {error}");
            std::process::abort();
        }
        bytes
    }
}
