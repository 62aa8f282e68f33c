//! What one call's requests may use, in numbers, bytes and time.
//!
//! Promise: every number and time of this crate that a host may set is here, and all are bounded by default.
//!
//! Not here: counting (`call`, `body`), the time of a whole call (its deadline, kept by who runs it).

use std::time::Duration;

/// Redirects followed for one request of the guest.
pub const REDIRECTS_MAX: usize = 3;
/// Addresses of one name that are tried.
pub const ADDRESSES_MAX: usize = 8;
/// A secret's value, in bytes: it has to fit into a header.
pub const SECRET_BYTES_MAX: usize = 8 << 10;
/// A secret shorter than this, in bytes, is not searched for: it would be found by chance.
pub const SEARCHED_BYTES_MIN: usize = 8;

/// What one call's requests may use. All counts are over the whole call, unless they say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EgressLimits {
    /// Requests, redirects and refused ones included.
    pub requests: u64,
    /// Bytes of all requests' bodies together. A body is held in memory until it is sent.
    pub request_bytes: u64,
    /// Bytes of all responses' bodies together.
    pub response_bytes: u64,
    /// Bytes of one message's headers, names and values; also of its first line. At least 8 KiB for responses.
    pub header_bytes: usize,
    /// Headers of one message.
    pub headers: usize,
    /// Bytes of one URL.
    pub url_bytes: usize,
    /// Resolving a name; connecting to one address, TLS included.
    pub connect: Duration,
    /// From the connection to the response's headers.
    pub first_byte: Duration,
    /// Between two pieces of a response's body.
    pub between_bytes: Duration,
}

impl Default for EgressLimits {
    fn default() -> Self {
        Self {
            requests: 32,
            request_bytes: 1 << 20,
            response_bytes: 8 << 20,
            header_bytes: 32 << 10,
            headers: 100,
            url_bytes: 8 << 10,
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(30),
            between_bytes: Duration::from_secs(30),
        }
    }
}

/// Times a guest asks for, for one request. They only lower those of [`EgressLimits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// As [`EgressLimits::connect`].
    pub connect: Option<Duration>,
    /// As [`EgressLimits::first_byte`].
    pub first_byte: Option<Duration>,
    /// As [`EgressLimits::between_bytes`].
    pub between_bytes: Option<Duration>,
}

impl EgressLimits {
    /// With what a guest asked for.
    pub(crate) fn lowered(mut self, asked: Timeouts) -> Self {
        let lower = |own: Duration, asked: Option<Duration>| asked.map_or(own, |asked| own.min(asked));
        self.connect = lower(self.connect, asked.connect);
        self.first_byte = lower(self.first_byte, asked.first_byte);
        self.between_bytes = lower(self.between_bytes, asked.between_bytes);
        self
    }
}
