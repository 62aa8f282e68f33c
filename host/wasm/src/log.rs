//! What a guest writes to standard output and error and notes: rings in memory, never the host's own streams.
//!
//! Promise: at most `bytes_max` bytes are kept, the newest; writing never fails and never waits, and
//! nothing a guest writes here reaches a terminal or a protocol.
//!
//! Not here: deciding who reads it (`fault` quotes standard error where a call broke), the interface of notes
//! (`host::log`).

use crate::clean::clean;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime_wasi_io::bytes::Bytes;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{OutputStream, StreamResult};

/// Bytes that one write may bring.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Which of the rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// Notes.
    Notes,
}

#[derive(Debug, Default)]
struct Rings {
    out: VecDeque<u8>,
    err: VecDeque<u8>,
    notes: VecDeque<u8>,
    dropped: u64,
}

/// All that one call writes.
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

    /// What is kept of standard error, and how many bytes of all were dropped.
    pub(crate) fn standard_error(&self) -> (Vec<u8>, u64) {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        (rings.err.iter().copied().collect(), rings.dropped)
    }

    /// Adds a note.
    pub(crate) fn note(&self, level: &str, words: &str) {
        // What would be dropped again is not copied.
        let kept = &words[words.ceil_char_boundary(words.len().saturating_sub(self.bytes_max))..];
        self.write(Source::Notes, format!("{level}: {kept}\n").as_bytes());
    }

    /// All that is kept, as text for people: notes, standard output, standard error, each under its name. Nothing
    /// where nothing was written.
    pub(crate) fn text(&self) -> Option<String> {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for (name, ring) in [("notes", &rings.notes), ("standard output", &rings.out), ("standard error", &rings.err)] {
            if ring.is_empty() {
                continue;
            }
            let bytes: Vec<u8> = ring.iter().copied().collect();
            let kept = clean(String::from_utf8_lossy(&bytes).into_owned());
            let end = if kept.ends_with('\n') { "" } else { "\n" };
            text.push_str(&format!("[{name}]\n{kept}{end}"));
        }
        if rings.dropped > 0 {
            text.insert_str(0, &format!("[{} older bytes were dropped]\n", rings.dropped));
        }
        (!text.is_empty()).then_some(text)
    }

    fn write(&self, source: Source, bytes: &[u8]) {
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &bytes[bytes.len().saturating_sub(self.bytes_max)..];
        let mut dropped = bytes.len() - kept.len();
        // A ring gives way with its own oldest bytes first: a flood on one does not erase the others.
        let held = rings.out.len() + rings.err.len() + rings.notes.len();
        let mut excess = (held + kept.len()).saturating_sub(self.bytes_max);
        dropped += excess;
        let Rings { out, err, notes, .. } = &mut *rings;
        let (own, others) = match source {
            Source::Out => (out, [err, notes]),
            Source::Err => (err, [out, notes]),
            Source::Notes => (notes, [out, err]),
        };
        let from_own = excess.min(own.len());
        own.drain(..from_own);
        excess -= from_own;
        for other in others {
            let from_other = excess.min(other.len());
            other.drain(..from_other);
            excess -= from_other;
        }
        own.extend(kept);
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

    #[test]
    fn the_text_has_all_of_it_cleaned() {
        let log = Log::new(40);
        assert_eq!(log.text(), None);
        log.write(Source::Err, b"broken\x1b[31m");
        log.note("info", "begun");
        assert_eq!(log.text().unwrap(), "[notes]\ninfo: begun\n[standard error]\nbroken\n");
        log.note("warn", "0123456789");
        log.note("warn", "0123456789");
        let text = log.text().unwrap();
        assert!(text.starts_with("[17 older bytes were dropped]\n[notes]\n") && text.contains("broken"), "{text}");
        log.note("warn", &"ä".repeat(100));
        assert!(log.rings.lock().unwrap().notes.len() <= 40);
    }
}
