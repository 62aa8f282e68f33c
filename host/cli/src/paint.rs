//! Colours and words on a terminal.
//!
//! Promise: text of models, guests and files cannot move the cursor or recolour the screen.

use harness_config::Color;
use std::io::{IsTerminal, Write};

/// Puts colours around text, or does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    enabled: bool,
}

impl Paint {
    /// For a stream, as the settings say.
    pub(crate) fn new(color: Color, stream: &impl IsTerminal) -> Self {
        let enabled = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => stream.is_terminal(),
        };
        Self { enabled }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.enabled { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    pub(crate) fn ask(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// A unified diff, its lines coloured.
    pub(crate) fn diff(self, diff: &str) -> String {
        let mut text = String::with_capacity(diff.len());
        for line in diff.lines() {
            let painted = match line.as_bytes().first() {
                Some(b'+') => self.good(line),
                Some(b'-') => self.bad(line),
                Some(b'@') => self.dim(line),
                _ => line.to_owned(),
            };
            text.push_str("  ");
            text.push_str(&painted);
            text.push('\n');
        }
        text
    }
}

/// Writes to standard output. A reader that went away has seen what it wanted: that is no failure.
pub(crate) fn out(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes a line to standard error; see [`out`].
pub(crate) fn err_line(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Several lines of foreign text, without what could act on a terminal.
pub(crate) fn lines(text: &str) -> String {
    text.split('\n').map(harness_engine::diff::visible).collect::<Vec<_>>().join("\n")
}

/// Foreign text as one line of at most `chars_max` characters.
pub(crate) fn one_line(text: &str, chars_max: usize) -> String {
    let first = text.trim().lines().next().unwrap_or_default();
    let mut line: String = harness_engine::diff::visible(first).chars().take(chars_max).collect();
    if text.trim().lines().nth(1).is_some() || first.chars().count() > chars_max {
        line.push('…');
    }
    line
}
