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

/// What a call is about, in the tools' own words.
const SUBJECTS: &[&str] = &["path", "pattern", "command", "url"];

/// The fields of a JSON object as they are written: one that is there twice is shown twice.
struct Fields(Vec<(String, serde_json::Value)>);

impl<'de> serde::Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// All arguments of a call, for a person who decides about it: a field a line, a text of several lines below its
/// name, what the call is about first. Beyond the limit it is cut, which is said.
pub(crate) fn whole_arguments(json: &str, bytes_max: usize) -> String {
    let text = match serde_json::from_str(json) {
        Ok(Fields(fields)) if fields.is_empty() => "  (no arguments)".to_owned(),
        Ok(Fields(mut fields)) => {
            fields.sort_by_key(|(key, _)| SUBJECTS.iter().position(|it| it == key).unwrap_or(SUBJECTS.len()));
            fields.iter().map(|(key, value)| field_lines(key, value)).collect::<Vec<_>>().join("\n")
        }
        Err(_) => format!("  {}", harness_engine::diff::visible(json)),
    };
    cut(text, bytes_max)
}

/// Of all arguments those that say what a call is about, for a question that shows what comes of the rest.
pub(crate) fn subject_arguments(json: &str, bytes_max: usize) -> String {
    let Ok(Fields(fields)) = serde_json::from_str(json) else { return whole_arguments(json, bytes_max) };
    let subjects = fields.iter().filter(|(key, _)| SUBJECTS.contains(&key.as_str()));
    cut(subjects.map(|(key, value)| field_lines(key, value)).collect::<Vec<_>>().join("\n"), bytes_max)
}

fn cut(text: String, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text;
    }
    let shown = text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default();
    format!("{shown}\n  … CUT: {} of {} bytes are not shown here", text.len() - shown.len(), text.len())
}

fn field_lines(key: &str, value: &serde_json::Value) -> String {
    let key = harness_engine::diff::visible(key);
    match value {
        serde_json::Value::String(text) if text.contains('\n') => {
            let below: Vec<String> =
                text.split('\n').map(|line| format!("    | {}", harness_engine::diff::visible(line))).collect();
            format!("  {key}:\n{}", below.join("\n"))
        }
        serde_json::Value::String(text) => format!("  {key}: {}", harness_engine::diff::visible(text)),
        other => format!("  {key}: {}", harness_engine::diff::visible(&other.to_string())),
    }
}

/// Arguments of a call for people: what it is about first, then the rest, long texts by their size.
pub(crate) fn arguments(json: &str, chars_max: usize) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(json) else { return one_line(json, chars_max) };
    /// A text longer than this, or of several lines, is told by its size. Characters.
    const TEXT_CHARS_MAX: usize = 80;
    let shown = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) if text.chars().count() > TEXT_CHARS_MAX || text.contains('\n') => {
            format!("({} bytes)", text.len())
        }
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let subjects = SUBJECTS.iter().filter_map(|key| fields.get(*key)).map(shown);
    let rest = fields.iter().filter(|(key, _)| !SUBJECTS.contains(&key.as_str()));
    let rest = rest.map(|(key, value)| format!("{key}={}", shown(value)));
    one_line(&subjects.chain(rest).collect::<Vec<_>>().join(" "), chars_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_begin_with_what_they_are_about() {
        let json = r#"{"limit":5,"path":"src/a.rs","pattern":"x\u001b[2J"}"#;
        assert_eq!(arguments(json, 100), "src/a.rs x\\u{1b}[2J limit=5");
        assert_eq!(arguments(r#"{"path":"a","content":"1\n2\n"}"#, 100), "a content=(4 bytes)");
        assert_eq!(arguments("{", 100), "{");
    }

    #[test]
    fn a_person_who_decides_sees_all_arguments() {
        let json =
            "{\"timeout\":5,\"command\":\"set -e\\nrm -rf ~\\u001b[2J\",\"command\":\"ls\",\"env\":{\"A\":\"1\\n2\"}}";
        assert_eq!(
            whole_arguments(json, 1_000),
            "  command:\n    | set -e\n    | rm -rf ~\\u{1b}[2J\n  command: ls\n  timeout: 5\n  env: {\"A\":\"1\\n2\"}"
        );
        assert_eq!(subject_arguments(r#"{"content":"x","path":"a"}"#, 100), "  path: a");
        assert_eq!(whole_arguments("{}", 100), "  (no arguments)");
        assert_eq!(whole_arguments("[1]", 100), "  [1]");
        let cut = whole_arguments(r#"{"command":"ééééé"}"#, 16);
        assert_eq!(cut, "  command: éé\n  … CUT: 6 of 21 bytes are not shown here");
    }

    #[test]
    fn one_line_says_that_there_is_more() {
        assert_eq!(one_line("first\nsecond", 100), "first…");
        assert_eq!(one_line("abcdef", 3), "abc…");
        assert_eq!(one_line("short", 100), "short");
    }
}
