//! Durations, sizes and rates as numbers with a unit, and percentiles of them.

use std::fmt;
use std::time::Duration;

/// A measured number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Quantity {
    /// Microseconds.
    Microseconds(f64),
    /// So many a second.
    PerSecond(f64),
    /// Mebibytes.
    Mebibytes(f64),
    /// A multiple of something else.
    Times(f64),
}

impl Quantity {
    pub(crate) fn time(duration: Duration) -> Self {
        Self::Microseconds(duration.as_secs_f64() * 1e6)
    }

    pub(crate) const fn milliseconds(number: f64) -> Self {
        Self::Microseconds(number * 1e3)
    }

    pub(crate) fn rate(count: usize, duration: Duration) -> Self {
        Self::PerSecond(count as f64 / duration.as_secs_f64())
    }

    pub(crate) const fn number(self) -> f64 {
        match self {
            Self::Microseconds(number) | Self::PerSecond(number) | Self::Mebibytes(number) | Self::Times(number) => {
                number
            }
        }
    }

    /// Whether more of it is better.
    pub(crate) const fn more_is_better(self) -> bool {
        matches!(self, Self::PerSecond(_))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Microseconds(us) if us < 1e3 => write!(f, "{us:.1} us"),
            Self::Microseconds(us) => write!(f, "{:.2} ms", us / 1e3),
            Self::PerSecond(rate) => write!(f, "{rate:.0}/s"),
            Self::Mebibytes(mebibytes) => write!(f, "{mebibytes:.2} MiB"),
            Self::Times(times) => write!(f, "{times:.2}x"),
        }
    }
}

/// Measured durations.
#[derive(Debug, Default)]
pub(crate) struct Durations(Vec<Duration>);

impl Durations {
    pub(crate) fn new(mut durations: Vec<Duration>) -> Self {
        assert!(!durations.is_empty(), "nothing was measured");
        durations.sort();
        Self(durations)
    }

    /// The duration that so many percent do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Quantity {
        Quantity::time(self.0[(self.0.len() - 1) * percent / 100])
    }
}
