//! Globs over paths and other texts: `*` any characters but `/`, `**` any, `**/` any folders, `?` one but `/`, `\` quotes.
//!
//! Promise: matching takes time proportional to text times pattern, both limited. A path is taken for what it means:
//! `a//b`, `./a/b`, `a/x/../b` and `/workspace/a/b` are one.
//!
//! Not here: what a workspace holds; links are not followed.

use super::{MATCHED_TEXT_BYTES_MAX, PATTERN_BYTES_MAX, ParsePatternError};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

/// Where guests see the workspace.
const WORKSPACE: &str = "workspace";
/// Folders at the root that are the session's own.
const OWN_FOLDERS: &[&str] = &["scratch", "tmp"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Exactly(char),
    One,
    /// `*`
    Some,
    /// `**`
    Any,
    /// `**/`
    Folders,
}

/// A glob.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct Glob {
    text: String,
    tokens: Vec<Token>,
}

/// A path as it is meant: relative to the workspace where it is inside, else absolute; and whether it leaves the
/// workspace and the session's own folders.
fn meant(text: &str) -> (String, bool) {
    let is_absolute = text.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    let mut leaves = text == "~" || text.starts_with("~/");
    for part in text.split('/') {
        match part {
            "" | "." => {}
            // Above the root of all is the root itself.
            ".." if parts.last().is_none_or(|last| *last == "..") => {
                leaves |= !is_absolute;
                parts.extend((!is_absolute).then_some(part));
            }
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    if !is_absolute {
        let path = if parts.is_empty() && !text.is_empty() { ".".to_owned() } else { parts.join("/") };
        return (path, leaves);
    }
    match parts.split_first() {
        Some((&WORKSPACE, [])) => (".".to_owned(), false),
        Some((&WORKSPACE, rest)) => (rest.join("/"), false),
        first => (format!("/{}", parts.join("/")), !first.is_some_and(|(folder, _)| OWN_FOLDERS.contains(folder))),
    }
}

/// Whether a text, taken for a path, or what follows its first `=`, leads out of the workspace.
pub fn leaves_workspace(text: &str) -> bool {
    meant(text).1 || text.split_once('=').is_some_and(|(_, value)| meant(value).1)
}

impl Glob {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it has no signs and means exactly one text.
    pub fn is_literal(&self) -> bool {
        self.tokens.iter().all(|token| matches!(token, Token::Exactly(_)))
    }

    /// Whether an allow covers a value: a text, or the words for a number or truth value.
    pub(crate) fn covers(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.covers_text(text),
            Value::Number(_) | Value::Bool(_) => self.is_match(&value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        }
    }

    /// Whether a deny or an ask is about a value.
    pub(crate) fn touches(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.touches_text(text),
            Value::Number(_) | Value::Bool(_) => self.is_match(&value.to_string()),
            Value::Null => false,
            // What a tool makes of these is not known.
            Value::Array(_) | Value::Object(_) => true,
        }
    }

    pub(crate) fn covers_text(&self, text: &str) -> bool {
        text.len() <= MATCHED_TEXT_BYTES_MAX && !leaves_workspace(text) && self.is_match(&meant(text).0)
    }

    pub(crate) fn touches_text(&self, text: &str) -> bool {
        text.len() > MATCHED_TEXT_BYTES_MAX || self.is_match(text) || self.is_match(&meant(text).0)
    }

    /// Whether the whole text fits.
    fn is_match(&self, text: &str) -> bool {
        let end = self.tokens.len();
        let mut at = vec![false; end + 1];
        set(&mut at, 0);
        self.skip(&mut at, true);
        for c in text.chars() {
            let mut next = vec![false; end + 1];
            for (index, token) in self.tokens.iter().enumerate().filter(|(index, _)| at.get(*index) == Some(&true)) {
                match token {
                    Token::Exactly(wanted) if *wanted == c => set(&mut next, index + 1),
                    Token::One if c != '/' => set(&mut next, index + 1),
                    Token::Some if c != '/' => set(&mut next, index),
                    Token::Any => set(&mut next, index),
                    Token::Folders => set(&mut next, index),
                    Token::Exactly(_) | Token::One | Token::Some => {}
                }
            }
            at = next;
            self.skip(&mut at, c == '/');
        }
        at.last() == Some(&true)
    }

    /// Goes past tokens that may stand for nothing: `**/` only where a name begins.
    fn skip(&self, at: &mut [bool], begins_name: bool) {
        for (index, token) in self.tokens.iter().enumerate() {
            let is_skipped = match token {
                Token::Some | Token::Any => true,
                Token::Folders => begins_name,
                Token::Exactly(_) | Token::One => false,
            };
            if is_skipped && at.get(index) == Some(&true) {
                set(at, index + 1);
            }
        }
    }
}

fn set(flags: &mut [bool], index: usize) {
    if let Some(flag) = flags.get_mut(index) {
        *flag = true;
    }
}

impl FromStr for Glob {
    type Err = ParsePatternError;
    fn from_str(text: &str) -> Result<Self, ParsePatternError> {
        let wrong = |why| ParsePatternError::new(text, why);
        if text.len() > PATTERN_BYTES_MAX {
            return Err(wrong("it has more than 256 bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(wrong("it has control characters"));
        }
        let (path, leaves) = meant(text);
        if leaves || text.split('/').any(|part| part == "..") {
            return Err(wrong("paths are relative to the workspace and stay in it, without `..`"));
        }
        let mut chars = path.chars().peekable();
        let mut tokens = Vec::new();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '\\' => Token::Exactly(chars.next().ok_or_else(|| wrong("a `\\` quotes nothing"))?),
                '?' => Token::One,
                '*' if chars.next_if_eq(&'*').is_some() => {
                    let begins_part =
                        tokens.last().is_none_or(|last| *last == Token::Exactly('/') || *last == Token::Folders);
                    if begins_part && chars.next_if_eq(&'/').is_some() { Token::Folders } else { Token::Any }
                }
                '*' => Token::Some,
                other => Token::Exactly(other),
            });
        }
        Ok(Self { text: text.to_owned(), tokens })
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Glob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
