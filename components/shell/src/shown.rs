//! What a model reads of a script that ended: what a terminal would show.
//!
//! Promise: standard output, then standard error after a line that says so, then what else there is to know, one line
//! each. Of long output the beginning and the end are shown; what is missing is told, and how to see it.

use std::fmt::Write as _;

use tool_kit::text;

use crate::commands;
use crate::session::Ended;

/// What is shown of standard output, in bytes: with standard error and the lines after it less than 64 KiB.
const STDOUT_BYTES_MAX: usize = 48 << 10;
/// What is shown of standard error, in bytes.
const STDERR_BYTES_MAX: usize = 12 << 10;

/// The text for a model.
pub(crate) fn shown(ended: &Ended) -> String {
    let mut out = String::new();
    push(&mut out, &ended.stdout, STDOUT_BYTES_MAX);
    if !ended.stderr.is_empty() {
        out.push_str("[stderr]\n");
        push(&mut out, &ended.stderr, STDERR_BYTES_MAX);
    }
    if ended.dropped {
        out.push_str("[there was more output than is kept; write it to a file with > and look at parts of that]\n");
    }
    if ended.stderr.contains("command not found") {
        let _ = writeln!(out, "[{}]", commands::list());
    }
    if let Some(limit) = &ended.stopped {
        let _ = writeln!(out, "[stopped by a limit: {limit}; nothing was changed. Do less at once]");
    } else if ended.status != 0 {
        let _ = writeln!(out, "exit status {}", ended.status);
    }
    if out.is_empty() {
        out.push_str("[no output]\n");
    }
    out
}

/// Appends `output`, ended by a newline; where it is longer than `most` bytes, its first and last part.
fn push(out: &mut String, output: &str, most: usize) {
    if output.len() <= most {
        out.push_str(output);
    } else {
        let head = output.get(..output.floor_char_boundary(most / 4 * 3)).unwrap_or_default();
        let tail = output.get(output.ceil_char_boundary(output.len() - most / 4)..).unwrap_or_default();
        let missing = text::size((output.len() - head.len() - tail.len()) as u64);
        out.push_str(head);
        line(out);
        let _ = writeln!(
            out,
            "[… {missing} left out here; to see all, write it to a file with > and show parts with sed -n '1,200p' FILE]"
        );
        out.push_str(tail);
    }
    line(out);
}

/// Ends the last line.
fn line(out: &mut String) {
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
}
