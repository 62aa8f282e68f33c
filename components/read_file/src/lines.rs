//! Lines of any length out of a reader, keeping only their beginnings.
//!
//! Promise: memory is the reader's buffer and what was asked to be kept of one line.

use std::io::{self, BufRead};

/// A line without its newline.
pub(crate) struct Line<'a> {
    /// Its first bytes.
    pub(crate) kept: &'a [u8],
    /// How many more bytes it has.
    pub(crate) missing: u64,
}

pub(crate) struct Lines<R> {
    source: R,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { source, line: Vec::new() }
    }

    /// The next line, of which at most `keep` bytes are kept.
    pub(crate) fn next(&mut self, keep: usize) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let mut length = 0u64;
        loop {
            let buffer = self.source.fill_buf()?;
            if buffer.is_empty() {
                if length == 0 {
                    return Ok(None);
                }
                break;
            }
            let newline = memchr::memchr(b'\n', buffer);
            let part = &buffer[..newline.unwrap_or(buffer.len())];
            self.line.extend_from_slice(&part[..part.len().min(keep - self.line.len())]);
            length += part.len() as u64;
            let used = part.len() + usize::from(newline.is_some());
            self.source.consume(used);
            if newline.is_some() {
                break;
            }
        }
        Ok(Some(Line { missing: length - self.line.len() as u64, kept: &self.line }))
    }

    /// Skips a line; false when there is none.
    pub(crate) fn skip(&mut self) -> io::Result<bool> {
        Ok(self.next(0)?.is_some())
    }

    /// How many lines are left, looking at no more than about `limit` bytes, and whether these were all.
    pub(crate) fn count(&mut self, limit: u64) -> io::Result<(u64, bool)> {
        let (mut lines, mut bytes, mut open) = (0, 0, false);
        while bytes <= limit {
            let buffer = self.source.fill_buf()?;
            if buffer.is_empty() {
                return Ok((lines + u64::from(open), true));
            }
            lines += memchr::memchr_iter(b'\n', buffer).count() as u64;
            open = !buffer.ends_with(b"\n");
            let used = buffer.len();
            bytes += used as u64;
            self.source.consume(used);
        }
        Ok((lines, false))
    }
}
