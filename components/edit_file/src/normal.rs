//! The usual ways in which a text that was meant to be copied differs from the file.
//!
//! Promise: each way keeps the number of lines of the file's text, so that what is found after normalising has
//! the same line numbers as before.

/// A way to differ: what to say of it, and how to take it out of the file's text and of the one looked for.
pub(crate) struct Way {
    pub(crate) says: &'static str,
    file: fn(&str) -> String,
    wanted: fn(&str) -> String,
}

/// Most particular first: the first that explains the difference is told.
pub(crate) const WAYS: &[Way] = &[
    Way {
        says: "it has read_file's line numbers in it; leave out the numbers and the tab after them",
        file: str::to_owned,
        wanted: without_numbers,
    },
    Way { says: "its line ends differ (CRLF here, LF there)", file: lf, wanted: lf },
    Way { says: "whitespace at the end of a line differs", file: without_trailing, wanted: without_trailing },
    Way {
        says: "whitespace differs (indentation, tabs or spaces)",
        file: without_whitespace,
        wanted: without_whitespace,
    },
    Way {
        says: "it has escapes in it (such as \\n or \\\") where the file has the characters themselves",
        file: lf,
        wanted: unescaped,
    },
    Way { says: "quotes, dashes or spaces are other characters", file: plain, wanted: plain },
    Way { says: "upper and lower case differ", file: lower, wanted: lower },
];

impl Way {
    /// Where, in lines from 1, the wanted text is when this difference is not looked at.
    pub(crate) fn find(&self, file: &str, wanted: &str) -> Option<(usize, usize)> {
        let wanted = (self.wanted)(wanted);
        if wanted.trim().is_empty() {
            return None;
        }
        let file = (self.file)(file);
        let place = memchr::memmem::find(file.as_bytes(), wanted.as_bytes())?;
        let newlines = |text: &[u8]| memchr::memchr_iter(b'\n', text).count();
        let first = 1 + newlines(&file.as_bytes()[..place]);
        Some((first, first + newlines(wanted.strip_suffix('\n').unwrap_or(&wanted).as_bytes())))
    }
}

fn by_line(text: &str, change: impl Fn(&str) -> &str) -> String {
    let mut changed = String::with_capacity(text.len());
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            changed.push('\n');
        }
        changed.push_str(change(line));
    }
    changed
}

fn without_numbers(text: &str) -> String {
    by_line(text, |line| match line.trim_start_matches(' ').split_once('\t') {
        Some((number, rest)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => rest,
        _ => line,
    })
}

fn lf(text: &str) -> String {
    text.replace("\r\n", "\n")
}

fn without_trailing(text: &str) -> String {
    by_line(text, str::trim_end)
}

fn without_whitespace(text: &str) -> String {
    text.chars().filter(|character| *character == '\n' || !character.is_whitespace()).collect()
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => {}
            Some(escaped @ ('"' | '\'' | '\\' | '/')) => plain.push(escaped),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    plain
}

fn plain(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\u{2018}' | '\u{2019}' | '\u{201a}' => '\'',
            '\u{201c}' | '\u{201d}' | '\u{201e}' => '"',
            '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
            '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' => ' ',
            other => other,
        })
        .collect()
}

fn lower(text: &str) -> String {
    text.to_lowercase()
}
