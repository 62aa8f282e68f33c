//! The tool `read_file`: lines of a text file, numbered.
//!
//! Promise: neither memory nor what is read depends on the file's size: no more than [`READ_BYTES`] are read to
//! reach lines and show them, and no more than [`COUNTED_BYTES`] after them. Whatever is left out (lines, the rest
//! of a long line, bytes that are not text) is told, with the call that shows more.

mod lines;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};

use serde::Deserialize;
use tool_kit::{Failure, Reply, Workspace, WorkspacePath, text};

use lines::Lines;

tool_kit::export_tool!("read_file", run);

const LINES: u64 = 2_000;
const LINE_CHARACTERS: usize = 2_000;
/// How much of a file is looked at to tell text from anything else.
const HEAD_BYTES: usize = 8 * 1024;
/// How much of a file is read to reach the lines and show them.
const READ_BYTES: u64 = 256 * 1024 * 1024;
/// How far beyond the shown lines the rest is counted.
const COUNTED_BYTES: u64 = 64 * 1024 * 1024;

/// The arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    path: String,
    offset: Option<u64>,
    limit: Option<u64>,
}

/// Runs the tool.
pub fn run(workspace: &Workspace, arguments: Arguments) -> Reply {
    let path = workspace.resolve(&arguments.path)?;
    let first = arguments.offset.unwrap_or(1);
    let limit = arguments.limit.unwrap_or(LINES).min(LINES);
    if first == 0 || limit == 0 {
        return Err(Failure::invalid("arguments", "offset and limit count lines from 1"));
    }
    let failed = |error: io::Error| Failure::io(workspace, "read", &path, &error);
    let metadata = fs::metadata(path.full()).map_err(failed)?;
    if metadata.is_dir() {
        return Err(Failure::is_directory(&path, "use list_dir"));
    }
    if !metadata.is_file() {
        return Err(Failure::unsupported("not-a-file", format!("{} is not a regular file", path.shown())));
    }
    let mut file = File::open(path.full()).map_err(failed)?;
    let mut head = Vec::with_capacity(HEAD_BYTES);
    (&mut file).take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(failed)?;
    if head.is_empty() {
        return Ok(format!("[{} is empty]", path.shown()));
    }
    if let Some(what) = not_text(&head) {
        let message = format!(
            "{} is not text ({what}), {}; its content cannot be shown",
            path.shown(),
            text::size(metadata.len())
        );
        return Err(Failure::unsupported("binary", message));
    }
    let source = BufReader::with_capacity(64 * 1024, head.as_slice().chain(file));
    let page = Page::read(source, first, limit, READ_BYTES).map_err(failed)?;
    page.finish(&path, first)
}

/// The failure for lines that are not there, or too far away.
fn not_reached(page: &Page, path: &WorkspacePath, first: u64) -> Failure {
    let (shown, lines) = (path.shown(), page.lines);
    if page.spent {
        let read = text::size(READ_BYTES);
        let message = format!(
            "offset {first} is too far: {shown} has more than {lines} lines, and no more than its first {read} are read; \
             grep finds what lies beyond"
        );
        return Failure::too_large("too-far", message);
    }
    Failure::invalid("past-end", format!("offset {first} is past the end: {shown} has {lines} lines"))
}

/// Why these first bytes are not those of a text file.
fn not_text(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return Some("it looks like UTF-16");
    }
    if memchr::memchr(0, head).is_some() {
        return Some("binary: it holds NUL bytes");
    }
    match std::str::from_utf8(head) {
        Ok(_) => None,
        // The last character may only have been cut off where the head ends.
        Err(error) if error.error_len().is_none() && head.len() == HEAD_BYTES => None,
        Err(_) => Some("binary, or text in another encoding than UTF-8"),
    }
}

/// One result: some lines of a file, and what is known of the rest.
#[derive(Default)]
struct Page {
    text: String,
    shown: u64,
    /// Lines of the file, as far as they were counted.
    lines: u64,
    counted_all: bool,
    /// Reading ended before the file did.
    spent: bool,
    full: bool,
    crlf: u64,
    lossy: bool,
}

impl Page {
    fn read(source: impl io::BufRead, first: u64, limit: u64, read_bytes: u64) -> io::Result<Self> {
        let mut page = Self::default();
        let mut lines = Lines::new(source, read_bytes);
        while page.lines + 1 < first {
            if !lines.skip()? {
                page.end(&mut lines)?;
                return Ok(page);
            }
            page.lines += 1;
        }
        // Four bytes are the longest character.
        while page.shown < limit
            && let Some(line) = lines.next(LINE_CHARACTERS * 4)?
        {
            let crlf = line.kept.ends_with(b"\r") && line.missing == 0;
            let kept = if crlf { &line.kept[..line.kept.len() - 1] } else { line.kept };
            let kept = if page.lines == 0 { kept.strip_prefix(b"\xef\xbb\xbf").unwrap_or(kept) } else { kept };
            let decoded = String::from_utf8_lossy(kept);
            let mut shown = text::cut(&decoded, LINE_CHARACTERS);
            if line.missing > 0 || !line.ended {
                let characters: String = decoded.chars().take(LINE_CHARACTERS).collect();
                let missing = line.missing + (decoded.len() - characters.len()) as u64;
                let more_than = if line.ended { "" } else { "more than " };
                shown = format!("{characters} … [{more_than}{} more]", text::size(missing)).into();
            }
            page.lines += 1;
            if page.text.len() + shown.len() + 8 > text::OUTPUT_BYTES {
                page.full = true;
                break;
            }
            text::push_numbered(&mut page.text, page.lines, &shown);
            page.shown += 1;
            page.crlf += u64::from(crlf);
            page.lossy |= line.missing == 0 && std::str::from_utf8(kept).is_err();
        }
        page.end(&mut lines)?;
        Ok(page)
    }

    /// Looks at what follows.
    fn end(&mut self, lines: &mut Lines<impl io::BufRead>) -> io::Result<()> {
        let (more, all) = lines.count(COUNTED_BYTES)?;
        self.lines += more;
        self.counted_all = all;
        self.spent = !all && lines.is_spent();
        Ok(())
    }

    /// The result.
    fn finish(mut self, path: &WorkspacePath, first: u64) -> Reply {
        if self.shown == 0 {
            return Err(not_reached(&self, path, first));
        }
        self.add_notes(path, first);
        Ok(self.text)
    }

    fn add_notes(&mut self, path: &WorkspacePath, first: u64) {
        let last = first + self.shown - 1;
        // Writing to a string cannot fail.
        let _ = if self.spent && last == self.lines {
            let read = text::size(READ_BYTES);
            write!(self.text, "[lines {first}-{last}; no more than the first {read} are read]")
        } else if !self.counted_all || last < self.lines {
            let of = if self.counted_all { "" } else { "more than " };
            let why = if self.full { ", cut at 50 KiB" } else { "" };
            let lines = self.lines;
            write!(self.text, "[lines {first}-{last} of {of}{lines}{why}; continue with offset={}]", last + 1)
        } else if first > 1 {
            write!(self.text, "[lines {first}-{last} of {last}: the end of {}]", path.shown())
        } else {
            Ok(())
        };
        if self.crlf == self.shown {
            self.text.push_str("[lines end with CRLF]");
        }
        if self.lossy {
            self.text.push_str("[bytes that are not UTF-8 are shown as \u{fffd}]");
        }
    }
}
