//! Why a text is not in a file, and what is there instead.
//!
//! Promise: the work is bounded by the file's size, and the answer by [`SHOWN`] lines.

use std::collections::HashMap;

use tool_kit::{WorkspacePath, text};

use crate::normal::WAYS;

/// How many lines of the file an explanation shows.
const SHOWN: usize = 20;
/// How many lines are compared letter by letter.
const COMPARED: usize = 20_000;
/// How many places are thought of.
const PLACES: usize = 10_000;
const LINE_CHARACTERS: usize = 500;
/// How alike, from 0 to 1, a line must be to be called near.
const NEAR: f64 = 0.5;

/// The lines of a file, without their ends.
pub(crate) fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    content.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Appends lines `from` to `to`, counted from 1, numbered.
pub(crate) fn show(out: &mut String, content: &[u8], from: usize, to: usize) {
    for (number, line) in (from..=to).zip(lines(content).skip(from.saturating_sub(1))) {
        text::push_numbered(out, number as u64, &text::cut(&String::from_utf8_lossy(line), LINE_CHARACTERS));
    }
}

/// The message for an `old` that is not in `content`.
pub(crate) fn no_match(path: &WorkspacePath, content: &[u8], old: &str) -> String {
    let file = String::from_utf8_lossy(content);
    let mut message = format!("old_string is not in {}", path.shown());
    if content.is_empty() {
        message.push_str(": the file is empty");
        return message;
    }
    for way in WAYS {
        if let Some((first, last)) = way.find(&file, old) {
            message.push_str(&format!(": {}. The file has:\n", way.says));
            show(&mut message, content, first, last.min(first + SHOWN));
            message.push_str(&indentation(content, first, last));
            return message;
        }
    }
    match nearest(content, old) {
        Some(first) => {
            message.push_str(". The nearest text in the file is:\n");
            let last = first + text::lines(old.as_bytes()).max(1) - 1;
            show(&mut message, content, first, last.min(first + SHOWN));
            message.push_str("Copy the text to replace exactly as the file has it.");
        }
        None => message.push_str(", nor anything like it; read the file again, it may have changed"),
    }
    message
}

/// What numbered lines do not show well.
fn indentation(content: &[u8], first: usize, last: usize) -> String {
    let shown = || lines(content).take(last).skip(first - 1);
    if shown().any(|line| line.starts_with(b"\t")) {
        "The file indents with tabs here (one follows each line number).".to_owned()
    } else if shown().any(|line| line.ends_with(b" ") || line.ends_with(b"\t")) {
        "Some of these lines end with whitespace.".to_owned()
    } else {
        String::new()
    }
}

/// The line, from 1, where the text most like `old` begins.
fn nearest(content: &[u8], old: &str) -> Option<usize> {
    let wanted: Vec<&str> = old.lines().map(str::trim).collect();
    // Each line that both have speaks for a place where the whole might begin.
    let mut by_text: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, line) in wanted.iter().enumerate().filter(|(_, line)| line.len() >= 3) {
        by_text.entry(line).or_default().push(index);
    }
    let mut votes: HashMap<usize, usize> = HashMap::new();
    for (number, line) in lines(content).enumerate() {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        // Of a line that is repeated, the first few speak for all.
        for index in by_text.get(line.trim()).into_iter().flatten().take(8) {
            *votes.entry(number.saturating_sub(*index)).or_default() += 1;
        }
        if votes.len() > PLACES {
            break;
        }
    }
    if let Some((start, _)) = votes.into_iter().max_by_key(|(start, count)| (*count, std::cmp::Reverse(*start))) {
        return Some(start + 1);
    }
    // No line in common: look for one like the longest.
    let (anchor, longest) = wanted.iter().enumerate().max_by_key(|(_, line)| line.len())?;
    let longest = shortened(longest);
    if longest.is_empty() {
        return None;
    }
    let mut best = (NEAR, None);
    for (number, line) in lines(content).enumerate().take(COMPARED) {
        let line = String::from_utf8_lossy(line);
        let line = shortened(line.trim());
        let (short, long) = (longest.len().min(line.len()), longest.len().max(line.len()));
        // Lines of very different lengths cannot be alike: most are settled here.
        if short * 3 < long {
            continue;
        }
        let alike = strsim::sorensen_dice(longest, line);
        if alike > best.0 {
            best = (alike, Some(number));
        }
    }
    best.1.map(|number| number.saturating_sub(anchor) + 1)
}

/// The beginning of a long line: enough to compare by.
fn shortened(line: &str) -> &str {
    line.char_indices().nth(200).map_or(line, |(end, _)| &line[..end])
}
