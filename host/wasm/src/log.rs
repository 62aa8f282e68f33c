//! What a guest writes to standard output and error: a ring in memory, never the host's own streams.
//!
//! Promise: at most `bytes_max` bytes are kept, the newest; writing never fails and never waits, and
//! nothing a guest writes here reaches a terminal or a protocol.
//!
//! Not here: deciding who reads it (`fault` quotes standard error where a call broke).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime_wasi_io::bytes::Bytes;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{OutputStream, StreamResult};

/// Bytes that one write may bring.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Which of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

#[derive(Debug, Default)]
struct Rings {
    out: VecDeque<u8>,
    err: VecDeque<u8>,
    dropped: u64,
}

/// Both streams of one call.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    rings: Arc<Mutex<Rings>>,
    bytes_max: usize,
}

impl Log {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { rings: Arc::default(), bytes_max }
    }

    /// A stream that writes here.
    pub(crate) fn stream(&self, source: Source) -> Box<dyn OutputStream> {
        Box::new(LogStream { log: self.clone(), source })
    }

    /// What is kept of standard error, and how many bytes of both streams were dropped.
    pub(crate) fn standard_error(&self) -> (Vec<u8>, u64) {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        (rings.err.iter().copied().collect(), rings.dropped)
    }

    fn write(&self, source: Source, bytes: &[u8]) {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &bytes[bytes.len().saturating_sub(self.bytes_max)..];
        let mut dropped = bytes.len() - kept.len();
        // A stream gives way with its own oldest bytes first: a flood on one does not erase the other.
        let excess = (rings.out.len() + rings.err.len() + kept.len()).saturating_sub(self.bytes_max);
        let Rings { out, err, .. } = &mut *rings;
        let (own, other) = match source {
            Source::Out => (out, err),
            Source::Err => (err, out),
        };
        let from_own = excess.min(own.len());
        own.drain(..from_own);
        other.drain(..excess - from_own);
        own.extend(kept);
        dropped += excess;
        rings.dropped += dropped as u64;
    }
}

struct LogStream {
    log: Log,
    source: Source,
}

#[wasmtime_wasi_io::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.write(self.source, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bytes_are_kept_within_one_bound() {
        let log = Log::new(8);
        log.write(Source::Err, b"abcd");
        log.write(Source::Out, b"12345");
        assert_eq!(log.standard_error(), (b"bcd".to_vec(), 1), "standard output had nothing to give");
        log.write(Source::Err, b"efgh");
        assert_eq!(log.standard_error(), (b"efgh".to_vec(), 5), "a stream gives its own oldest bytes first");
        log.write(Source::Err, b"0123456789");
        assert_eq!(log.standard_error().0, b"23456789");
        let rings = log.rings.lock().unwrap();
        assert!(rings.out.len() + rings.err.len() <= 8);
    }
}
