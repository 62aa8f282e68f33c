//! The tool `edit_file`: exact text replaced by other text.
//!
//! Promise: nothing but the named text changes: other bytes, line ends and a missing last newline stay as they
//! are. A text that does not match is never guessed at; the answer says why it does not and what is there.

mod apply;
mod explain;
mod normal;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;

use serde::Deserialize;
use tool_kit::{Failure, Reply, Workspace, WorkspacePath, text};

use apply::{Changed, Edit};

tool_kit::export_tool!("edit_file", run);

/// The largest file, before and after: it is held in memory a few times over.
const FILE_BYTES: u64 = 4 << 20;
/// How many line numbers a message lists.
const LISTED: usize = 20;

/// The arguments.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    path: String,
    old_string: String,
    new_string: String,
    replace_all: Option<bool>,
}

/// Runs the tool.
pub fn run(workspace: &Workspace, arguments: Arguments) -> Reply {
    let path = workspace.resolve(&arguments.path)?;
    let Arguments { old_string: old, new_string: new, .. } = &arguments;
    let content = load(workspace, &path, old.is_empty())?;
    if old.is_empty() {
        let message = if content.is_empty() {
            format!("{} is empty; use write_file to give it content", path.shown())
        } else {
            "old_string is empty: give the text to replace; to insert, give the text beside the place and repeat it in new_string".to_owned()
        };
        return Err(Failure::invalid("empty-old-string", message));
    }
    if old == new {
        return Err(Failure::invalid("no-change", "old_string and new_string are the same: nothing would change"));
    }
    let all = arguments.replace_all == Some(true);
    let edit = Edit::find(&content, old, new);
    match edit.places.as_slice() {
        [] => return Err(Failure::conflict("no-match", explain::no_match(&path, &content, old))),
        [_, _, ..] if !all => return Err(ambiguous(&path, &content, &edit)),
        _ => {}
    }
    if edit.size_after(&content) > FILE_BYTES {
        let limit = text::size(FILE_BYTES);
        let message = format!("{} would be larger than edit_file handles ({limit})", path.shown());
        return Err(Failure::too_large("file-size", message));
    }
    let (after, changed) = edit.apply(&content);
    fs::write(path.full(), &after).map_err(|error| Failure::io(workspace, "write", &path, &error))?;
    Ok(confirmation(&path, &after, &changed))
}

/// The file's content, when it is a text file of a size to edit.
fn load(workspace: &Workspace, path: &WorkspacePath, creating: bool) -> Result<Vec<u8>, Failure> {
    let metadata = match fs::metadata(path.full()) {
        Ok(metadata) => metadata,
        Err(error) if creating && error.kind() == io::ErrorKind::NotFound => {
            let message = format!("{} does not exist; use write_file to create it", path.shown());
            return Err(Failure::not_found("not-found", message));
        }
        Err(error) => return Err(Failure::io(workspace, "edit", path, &error)),
    };
    if metadata.is_dir() {
        return Err(Failure::is_directory(path, "give the path of a file"));
    }
    if !metadata.is_file() {
        return Err(Failure::unsupported("not-a-file", format!("{} is not a regular file", path.shown())));
    }
    let too_large = |bytes: u64| {
        let (size, limit) = (text::size(bytes), text::size(FILE_BYTES));
        Failure::too_large("file-size", format!("{} has {size}, edit_file handles at most {limit}", path.shown()))
    };
    if metadata.len() > FILE_BYTES {
        return Err(too_large(metadata.len()));
    }
    let content = fs::read(path.full()).map_err(|error| Failure::io(workspace, "edit", path, &error))?;
    if content.len() as u64 > FILE_BYTES {
        return Err(too_large(content.len() as u64));
    }
    if memchr::memchr(0, &content).is_some() {
        return Err(Failure::unsupported("binary", format!("{} is binary: it holds NUL bytes", path.shown())));
    }
    Ok(content)
}

fn ambiguous(path: &WorkspacePath, content: &[u8], edit: &Edit) -> Failure {
    let numbers: Vec<String> =
        edit.places.iter().take(LISTED).map(|place| line_of(content, *place).to_string()).collect();
    let more = if edit.places.len() > LISTED { ", …" } else { "" };
    let message = format!(
        "old_string is in {} {} times, at lines {}{more}; include more of the lines around the one to change, or set replace_all",
        path.shown(),
        edit.places.len(),
        numbers.join(", ")
    );
    Failure::conflict("several-matches", message)
}

/// The changed lines with some around them.
fn confirmation(path: &WorkspacePath, after: &[u8], changed: &Changed) -> String {
    const AROUND: usize = 3;
    const LINES: usize = 30;
    let mut answer = format!("edited {}: {}\n", path.shown(), text::count(changed.places, "replacement"));
    let total = explain::lines(after).count();
    let mut shown_to = 0;
    for range in &changed.first {
        let first = line_of(after, range.start);
        let last = line_of(after, range.end.max(range.start + 1) - 1).max(first);
        let from = first.saturating_sub(AROUND).max(shown_to + 1);
        let to = (last + AROUND).min(total).min(first + LINES);
        if from > to {
            continue;
        }
        if shown_to > 0 && from > shown_to + 1 {
            answer.push_str("     …\n");
        }
        explain::show(&mut answer, after, from, to);
        if to < last {
            answer.push_str(&format!("     … [{} more changed]\n", text::count(last - to, "line")));
        }
        shown_to = to;
    }
    if changed.places > changed.first.len() {
        let more = text::count(changed.places - changed.first.len(), "more replacement");
        answer.push_str(&format!("[and {more}]\n"));
    }
    answer
}

/// The number, from 1, of the line that holds the byte at `place`.
fn line_of(content: &[u8], place: usize) -> usize {
    1 + memchr::memchr_iter(b'\n', content.get(..place).unwrap_or(content)).count()
}
