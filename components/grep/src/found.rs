//! What a search finds, as text, up to its limits.
//!
//! Promise: a file that turns out to be binary leaves nothing behind; the text never grows much beyond
//! `text::OUTPUT_BYTES`; a match is in sight even where its line is cut.

use std::fmt::Write as _;
use std::io;

use grep_matcher::Matcher;
use grep_regex::RegexMatcher;
use grep_searcher::{Searcher, Sink, SinkContext, SinkFinish, SinkMatch};
use tool_kit::{WorkspacePath, text};

/// The longest line shown whole, in bytes; of longer ones, as many characters at most.
const LINE: usize = 500;
/// What is shown before a match that lies beyond that.
const BEFORE: usize = 100;

/// Why a search ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Matches(usize),
    Bytes,
}

pub(crate) struct Found<'a> {
    pub(crate) matcher: &'a RegexMatcher,
    pub(crate) text: String,
    pub(crate) matches: usize,
    pub(crate) files: usize,
    pub(crate) binary: usize,
    pub(crate) stop: Option<Stop>,
    max: usize,
    context: usize,
    files_only: bool,
    /// The file being searched, as shown, and what was found in it.
    path: String,
    part: String,
    part_matches: usize,
    is_binary: bool,
}

impl<'a> Found<'a> {
    pub(crate) fn new(matcher: &'a RegexMatcher, max: usize, context: usize, files_only: bool) -> Self {
        Self {
            matcher,
            text: String::new(),
            matches: 0,
            files: 0,
            binary: 0,
            stop: None,
            max,
            context,
            files_only,
            path: String::new(),
            part: String::new(),
            part_matches: 0,
            is_binary: false,
        }
    }

    /// Begins a file; [`Found::end_file`] ends it.
    pub(crate) fn file(&mut self, path: &WorkspacePath) -> &mut Self {
        self.path = text::printable(path.shown());
        self.part.clear();
        self.part_matches = 0;
        self.is_binary = false;
        self
    }

    pub(crate) fn end_file(&mut self) {
        if self.is_binary {
            self.binary += 1;
            return;
        }
        self.files += 1;
        if self.part.is_empty() {
            return;
        }
        if self.context > 0 && !self.files_only && !self.text.is_empty() {
            self.text.push_str("--\n");
        }
        self.text.push_str(&self.part);
        self.matches += self.part_matches;
    }

    fn push(&mut self, mark: char, number: Option<u64>, line: &[u8], show_from: usize) -> bool {
        let number = number.unwrap_or_default();
        let shown = cut(line, show_from);
        if self.text.len() + self.part.len() + self.path.len() + shown.len() + 16 > text::OUTPUT_BYTES {
            self.stop = Some(Stop::Bytes);
            return false;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(self.part, "{}{mark}{number}{mark}{shown}", self.path);
        true
    }

    fn push_path(&mut self) {
        if self.text.len() + self.path.len() + 1 > text::OUTPUT_BYTES {
            self.stop = Some(Stop::Bytes);
            return;
        }
        self.part_matches = 1;
        let _ = writeln!(self.part, "{}", self.path);
    }
}

impl Sink for &mut Found<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, line: &SinkMatch<'_>) -> Result<bool, io::Error> {
        if self.matches + self.part_matches == self.max {
            self.stop = Some(Stop::Matches(self.max));
            return Ok(false);
        }
        if self.files_only {
            self.push_path();
            return Ok(false);
        }
        let start = match self.matcher.find(line.bytes()) {
            Ok(Some(found)) if found.end() > LINE => found.start(),
            _ => 0,
        };
        let more = self.push(':', line.line_number(), line.bytes(), start);
        self.part_matches += usize::from(more);
        Ok(more)
    }

    fn context(&mut self, _: &Searcher, line: &SinkContext<'_>) -> Result<bool, io::Error> {
        Ok(self.push('-', line.line_number(), line.bytes(), 0))
    }

    fn context_break(&mut self, _: &Searcher) -> Result<bool, io::Error> {
        self.part.push_str("--\n");
        Ok(true)
    }

    fn finish(&mut self, _: &Searcher, finish: &SinkFinish) -> Result<(), io::Error> {
        self.is_binary = finish.binary_byte_offset().is_some();
        Ok(())
    }
}

/// A line as it is shown: whole, or a window that holds the byte `show_from`.
fn cut(line: &[u8], show_from: usize) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() <= LINE {
        return String::from_utf8_lossy(line).into_owned();
    }
    let mut start = show_from.saturating_sub(BEFORE);
    // Not in the middle of a character.
    while start > 0 && line.get(start).is_some_and(|byte| byte & 0xc0 == 0x80) {
        start -= 1;
    }
    let window = line.get(start..).unwrap_or_default();
    let window = window.get(..LINE * 4).unwrap_or(window);
    let mut shown = String::from(if start > 0 { "… " } else { "" });
    shown.extend(String::from_utf8_lossy(window).chars().take(LINE));
    let _ = write!(shown, " … [line of {}]", text::size(line.len() as u64));
    shown
}
