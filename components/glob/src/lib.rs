//! The tool `glob`: files by their paths.
//!
//! Promise: sorted by path; `*` and `?` stay within a folder, `**` does not; when not everything is shown,
//! the answer says so and how to see the rest.

#[cfg(test)]
mod tests;

use std::fs;
use std::ops::ControlFlow;

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use tool_kit::walk::{self, Walked};
use tool_kit::{Failure, Reply, Workspace, WorkspacePath, text};

tool_kit::export_tool!("glob", run);

const SHOWN: usize = 500;

/// The arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    pattern: String,
    path: Option<String>,
}

/// Runs the tool.
pub fn run(workspace: &Workspace, arguments: Arguments) -> Reply {
    let base = workspace.resolve(arguments.path.as_deref().unwrap_or("."))?;
    let metadata = fs::metadata(base.full()).map_err(|error| Failure::io(workspace, "search", &base, &error))?;
    if !metadata.is_dir() {
        return Err(Failure::invalid("not-a-directory", format!("{} is a file, not a folder", base.shown())));
    }
    let (start, pattern) = split(workspace, &base, &arguments.pattern)?;
    let matcher = compile(&pattern)?;
    let mut listing = String::new();
    let (mut found, mut more) = (0, false);
    // A start that the pattern names but that is not there is no match, not a fault.
    let walked = if start.full().is_dir() {
        let below = if start.shown() == "." { 0 } else { start.shown().len() + 1 };
        walk::files(workspace, &start, walk::names_hidden(&pattern), |path| {
            if !matcher.is_match(path.shown().get(below..).unwrap_or_default()) {
                return ControlFlow::Continue(());
            }
            let shown = text::printable(path.shown());
            if found == SHOWN || listing.len() + shown.len() + 1 > text::OUTPUT_BYTES {
                more = true;
                return ControlFlow::Break(());
            }
            found += 1;
            listing.push_str(&shown);
            listing.push('\n');
            ControlFlow::Continue(())
        })?
    } else {
        Walked::default()
    };
    if found == 0 {
        listing.push_str(&format!("[no file matches {} in {}", arguments.pattern, base.shown()));
        listing.push_str(&format!("; looked at {}", text::count(walked.files, "file")));
        if !arguments.pattern.contains('/') && walked.files > 0 {
            listing.push_str(&format!("; **/{} looks in all folders", arguments.pattern));
        }
        listing.push(']');
    }
    if more {
        listing.push_str(&format!("[only the first {found} matches; give a narrower pattern or a path for the rest]"));
    }
    if walked.cut {
        listing.push_str(&format!(
            "[stopped after {} entries, there may be more matches; give a path to look in]",
            walk::ENTRIES
        ));
    }
    if walked.unreadable > 0 {
        listing.push_str(&format!("[{} could not be read]", text::count(walked.unreadable, "folder")));
    }
    Ok(listing)
}

/// The folder that the plain beginning of `pattern` names, and what is left of the pattern: only that folder
/// needs walking.
fn split(workspace: &Workspace, base: &WorkspacePath, pattern: &str) -> Result<(WorkspacePath, String), Failure> {
    let mut rest = pattern;
    let mut start = base.clone();
    if let Some(inside) = rest.strip_prefix("/workspace/") {
        (rest, start) = (inside, workspace.root_path());
    } else if rest.starts_with('/') {
        let message = format!("{pattern} is outside the workspace; patterns are relative to path");
        return Err(Failure::invalid("outside-workspace", message));
    }
    if rest.split('/').any(|part| part == "..") {
        return Err(Failure::invalid("bad-pattern", "a pattern cannot hold ..; use path to choose the folder"));
    }
    while let Some((name, after)) = rest.split_once('/') {
        match name {
            "" | "." => {}
            name if name.contains(['*', '?', '[', ']', '{', '}', '\\', '\0']) => break,
            name => start = start.join(name),
        }
        rest = after;
    }
    if rest.is_empty() {
        let message = "the pattern names no file; **/* finds all files, list_dir lists one folder";
        return Err(Failure::invalid("bad-pattern", message));
    }
    Ok((start, rest.to_owned()))
}

fn compile(pattern: &str) -> Result<GlobMatcher, Failure> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    let glob = glob.map_err(|error| Failure::invalid("bad-pattern", error.to_string()))?;
    Ok(glob.compile_matcher())
}
