//! Text for a model: cut where it grows long, and safe to show.
//!
//! Promise: cutting never splits a character and always says that something was cut.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The most that one result should hold.
pub const OUTPUT_BYTES: usize = 50 * 1024;

/// `line`, or its first `limit` characters and a mark that tells how many are missing.
pub fn cut(line: &str, limit: usize) -> Cow<'_, str> {
    match line.char_indices().nth(limit) {
        None => Cow::Borrowed(line),
        Some((end, _)) => {
            let missing = line[end..].chars().count();
            Cow::Owned(format!("{} … [{missing} more characters]", &line[..end]))
        }
    }
}

/// A file name that cannot pretend to be more than one line of output.
pub fn printable(name: &str) -> String {
    let mut shown = String::with_capacity(name.len());
    for character in name.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// `12 B`, `3.4 KiB`, `5.6 MiB`, `7.8 GiB`.
pub fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1024 => return format!("{bytes} B"),
        1024..0x10_0000 => (1024, "KiB"),
        0x10_0000..0x4000_0000 => (0x10_0000, "MiB"),
        _ => (0x4000_0000, "GiB"),
    };
    let tenths = u128::from(bytes) * 10 / unit;
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// `1 line`, `2 lines`.
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// How many lines `text` has; a last line without its newline counts.
pub fn lines(text: &[u8]) -> usize {
    let newlines = text.iter().filter(|byte| **byte == b'\n').count();
    newlines + usize::from(text.last().is_some_and(|byte| *byte != b'\n'))
}

/// Appends `line` as line `number` of a file, as every tool shows numbered lines.
pub fn push_numbered(out: &mut String, number: u64, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{number:>6}\t{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_characters_and_says_so() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöü", 2), "äö … [1 more characters]");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn sizes_are_for_people() {
        let shown = [0, 1023, 1024, 1536, 1 << 20, 1 << 30, u64::MAX].map(size);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.0 GiB", "17179869183.9 GiB"]);
    }

    #[test]
    fn a_last_line_without_newline_counts() {
        assert_eq!([lines(b""), lines(b"a"), lines(b"a\n"), lines(b"a\nb"), lines(b"\n\n")], [0, 1, 1, 2, 2]);
    }

    #[test]
    fn names_stay_on_one_line() {
        assert_eq!(printable("a\nb\u{1b}[0m"), "a\\nb\\u{1b}[0m");
    }
}
