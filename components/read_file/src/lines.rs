//! Lines of any length out of a reader, keeping only their beginnings.
//!
//! Promise: memory is the reader's buffer and what was asked to be kept of one line; no more bytes are read
//! than were allowed, give or take the reader's buffer, however long a line is.

use std::io::{self, BufRead};

/// A line without its newline.
pub(crate) struct Line<'a> {
    /// Its first bytes.
    pub(crate) kept: &'a [u8],
    /// How many more bytes it has, as far as they were read.
    pub(crate) missing: u64,
    /// Whether it was read to its end.
    pub(crate) ended: bool,
}

pub(crate) struct Lines<R> {
    source: R,
    line: Vec<u8>,
    /// Bytes that may still be read.
    left: u64,
}

impl<R: BufRead> Lines<R> {
    /// Lines of the first `limit` bytes, about.
    pub(crate) fn new(source: R, limit: u64) -> Self {
        Self { source, line: Vec::new(), left: limit }
    }

    /// Whether all was read that may be read.
    pub(crate) fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// The next line, of which at most `keep` bytes are kept; none at the end, and none that would begin
    /// beyond what may be read.
    pub(crate) fn next(&mut self, keep: usize) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let (mut length, mut ended) = (0u64, true);
        loop {
            let buffer = self.source.fill_buf()?;
            if buffer.is_empty() {
                if length == 0 {
                    return Ok(None);
                }
                break;
            }
            if self.left == 0 {
                if length == 0 {
                    return Ok(None);
                }
                ended = false;
                break;
            }
            let newline = memchr::memchr(b'\n', buffer);
            let part = &buffer[..newline.unwrap_or(buffer.len())];
            self.line.extend_from_slice(&part[..part.len().min(keep - self.line.len())]);
            length += part.len() as u64;
            let used = part.len() + usize::from(newline.is_some());
            self.source.consume(used);
            self.left = self.left.saturating_sub(used as u64);
            if newline.is_some() {
                break;
            }
        }
        Ok(Some(Line { missing: length - self.line.len() as u64, kept: &self.line, ended }))
    }

    /// Skips a line; false when there is none, or its end was not found.
    pub(crate) fn skip(&mut self) -> io::Result<bool> {
        Ok(self.next(0)?.is_some_and(|line| line.ended))
    }

    /// How many lines are left, looking at no more than about `limit` bytes, and whether these were all.
    pub(crate) fn count(&mut self, limit: u64) -> io::Result<(u64, bool)> {
        let (mut lines, mut bytes, mut open) = (0, 0, false);
        let limit = limit.min(self.left);
        loop {
            let buffer = self.source.fill_buf()?;
            if buffer.is_empty() {
                return Ok((lines + u64::from(open), true));
            }
            if bytes >= limit {
                return Ok((lines, false));
            }
            lines += memchr::memchr_iter(b'\n', buffer).count() as u64;
            open = !buffer.ends_with(b"\n");
            let used = buffer.len();
            bytes += used as u64;
            self.source.consume(used);
        }
    }
}
