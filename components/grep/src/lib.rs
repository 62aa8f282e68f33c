//! The tool `grep`: lines of files that match a regular expression.
//!
//! Promise: files in the order of their paths; memory does not depend on their sizes; when not everything was
//! searched or shown, the answer says so and how to see the rest.

mod filter;
mod found;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::Read;
use std::ops::ControlFlow;

use grep_matcher::LineTerminator;
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, MmapChoice, Searcher, SearcherBuilder};
use serde::Deserialize;
use tool_kit::walk::{self, Walked};
use tool_kit::{Failure, Reply, Workspace, WorkspacePath, text};

use filter::Filter;
use found::{Found, Stop};

tool_kit::export_tool!("grep", run);

const MATCHES: u64 = 200;
const MOST_MATCHES: usize = 2_000;
const MOST_CONTEXT: usize = 50;
/// What a compiled pattern may take, and the cache of its automaton.
const PATTERN_BYTES: usize = 4 << 20;
/// The longest line: longer ones end the search of their file.
const LINE_BYTES: usize = 8 << 20;
/// How much of one file is searched when it was not named.
const FILE_BYTES: u64 = 64 << 20;

/// The arguments.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    pattern: String,
    path: Option<String>,
    glob: Option<String>,
    case_insensitive: Option<bool>,
    context: Option<u64>,
    max_matches: Option<u64>,
    files_only: Option<bool>,
}

/// Runs the tool.
pub fn run(workspace: &Workspace, arguments: Arguments) -> Reply {
    let path = workspace.resolve(arguments.path.as_deref().unwrap_or("."))?;
    let max = at_most(arguments.max_matches.unwrap_or(MATCHES), MOST_MATCHES);
    if max == 0 {
        return Err(Failure::invalid("arguments", "max_matches must be at least 1"));
    }
    let matcher = compile(&arguments.pattern, arguments.case_insensitive == Some(true))?;
    let filter = arguments.glob.as_deref().map(Filter::new).transpose()?;
    let metadata = fs::metadata(path.full()).map_err(|error| Failure::io(workspace, "search", &path, &error))?;
    let context = at_most(arguments.context.unwrap_or(0), MOST_CONTEXT);
    let found = Found::new(&matcher, max, context, arguments.files_only == Some(true));
    let mut search = Search { searcher: searcher(context), found, unreadable: 0, partial: 0 };
    let mut walked = Walked::default();
    if metadata.is_dir() {
        let hidden = filter.as_ref().is_some_and(Filter::names_hidden);
        let below = if path.shown() == "." { 0 } else { path.shown().len() + 1 };
        walked = walk::files(workspace, &path, hidden, |file| {
            let relative = file.shown().get(below..).unwrap_or_default();
            if filter.as_ref().is_some_and(|filter| !filter.wants(relative)) {
                return ControlFlow::Continue(());
            }
            search.file(file, FILE_BYTES);
            if search.found.stop.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    } else if metadata.is_file() {
        search.file(&path, u64::MAX);
    } else {
        return Err(Failure::unsupported("not-a-file", format!("{} is not a regular file", path.shown())));
    }
    Ok(search.report(&arguments, &path, walked))
}

/// An argument where it is no more than a maximum: `usize` has 32 bits here, arguments do not.
fn at_most(argument: u64, maximum: usize) -> usize {
    usize::try_from(argument).map_or(maximum, |argument| argument.min(maximum))
}

fn compile(pattern: &str, case_insensitive: bool) -> Result<RegexMatcher, Failure> {
    RegexMatcherBuilder::new()
        .multi_line(true)
        .case_insensitive(case_insensitive)
        // `$` then also matches before the CR of a CRLF.
        .crlf(true)
        .size_limit(PATTERN_BYTES)
        .dfa_size_limit(PATTERN_BYTES)
        .build(pattern)
        .map_err(|error| {
            let hint = if error.to_string().contains(r#""\n""#) {
                "; lines are searched one by one, so use context to see what is around a match"
            } else {
                ""
            };
            Failure::invalid("bad-pattern", format!("pattern: {error}{hint}"))
        })
}

fn searcher(context: usize) -> Searcher {
    SearcherBuilder::new()
        .line_number(true)
        .line_terminator(LineTerminator::crlf())
        .before_context(context)
        .after_context(context)
        .binary_detection(BinaryDetection::quit(0))
        .heap_limit(Some(LINE_BYTES))
        .memory_map(MmapChoice::never())
        .build()
}

struct Search<'a> {
    searcher: Searcher,
    found: Found<'a>,
    unreadable: usize,
    /// Files of which only the beginning was searched.
    partial: usize,
}

impl Search<'_> {
    fn file(&mut self, path: &WorkspacePath, limit: u64) {
        let Ok(file) = File::open(path.full()) else {
            self.unreadable += 1;
            return;
        };
        let mut source = file.take(limit);
        let matcher = self.found.matcher;
        let sink = self.found.file(path);
        match self.searcher.search_reader(matcher, &mut source, sink) {
            Ok(()) => self.partial += usize::from(source.limit() == 0),
            Err(_) => self.unreadable += 1,
        }
        self.found.end_file();
    }

    fn report(mut self, arguments: &Arguments, path: &WorkspacePath, walked: Walked) -> String {
        let mut out = std::mem::take(&mut self.found.text);
        let mut note = |text: String| {
            out.push_str(&text);
        };
        let searched = text::count(self.found.files, "file");
        match self.found.stop {
            Some(Stop::Matches(max)) => note(format!(
                "[stopped at {max} matches, there are more; narrow pattern, path or glob, or raise max_matches (at most {MOST_MATCHES})]"
            )),
            Some(Stop::Bytes) => note(
                "[stopped at 50 KiB, there are more matches; narrow pattern, path or glob, or use files_only]".into(),
            ),
            None if self.found.matches == 0 => {
                let binary = match self.found.binary {
                    0 => String::new(),
                    files => format!(", skipped {}", text::count(files, "binary file")),
                };
                note(format!("[no match in {}; searched {searched}{binary}", path.shown()));
                match &arguments.glob {
                    Some(glob) if self.found.files == 0 && walked.files > 0 => {
                        note(format!("; none of {} matches the glob {glob}]", text::count(walked.files, "file")));
                    }
                    _ => note("]".into()),
                }
            }
            None => {}
        }
        if walked.cut {
            let limit = walk::ENTRIES;
            note(format!("[stopped after {limit} entries, there may be more matches; give a path to search in]"));
        }
        if self.partial > 0 {
            let files = text::count(self.partial, "large file");
            note(format!(
                "[only the first {} of {files} searched; name a file as path to search all of it]",
                text::size(FILE_BYTES)
            ));
        }
        let unreadable = self.unreadable + walked.unreadable;
        if unreadable > 0 {
            note(format!("[{} could not be read]", text::count(unreadable, "file or folder")));
        }
        out
    }
}
