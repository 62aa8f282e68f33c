//! Patterns on one command: words, and what may stand around them.
//!
//! Promise: a pattern is one command. `*` at its end stands for any further words, also none, and elsewhere for one;
//! in a word the signs of [`Glob`] hold. Variables set before the command and files written by redirection are covered
//! only where the pattern names them: `LANG=C sort * > build/*`.
//!
//! Not here: lines of several commands (`pattern`).

use super::{Glob, PATTERN_BYTES_MAX, ParsePatternError, leaves_workspace};
use crate::command_line::{Redirection, SimpleCommand, Word};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A pattern on one command.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct CommandPattern {
    text: String,
    assignments: Vec<(String, Glob)>,
    words: Vec<WordPattern>,
    takes_more: bool,
    writes: Vec<Glob>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum WordPattern {
    Exactly(String),
    Like(Glob),
    AnyOne,
}

impl WordPattern {
    fn covers(&self, word: &str) -> bool {
        match self {
            Self::Exactly(text) => text == word,
            Self::Like(glob) => glob.covers_text(word),
            Self::AnyOne => true,
        }
    }

    fn touches(&self, word: &str) -> bool {
        match self {
            Self::Exactly(text) => text == word,
            Self::Like(glob) => glob.touches_text(word),
            Self::AnyOne => true,
        }
    }
}

/// Whether a redirection leaves all files as they are and stays in the workspace.
pub(super) fn only_reads_inside(redirection: &Redirection) -> bool {
    !redirection.writes && redirection.path.known().is_some_and(|path| !leaves_workspace(path))
}

impl CommandPattern {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether an allow covers the command whole.
    pub(crate) fn covers(&self, command: &SimpleCommand) -> bool {
        let is_written = |redirection: &Redirection| {
            let covers = |path: &str| self.writes.iter().any(|glob| glob.covers_text(path));
            redirection.path.known().is_some_and(covers)
        };
        let is_set = |name: &str, value: &Word| {
            let covers = |text: &str| self.assignments.iter().any(|(it, glob)| it == name && glob.covers_text(text));
            value.known().is_some_and(covers)
        };
        let is_covered = |(pattern, word): (&WordPattern, &Word)| word.known().is_some_and(|word| pattern.covers(word));
        let has_name = match command.words.first() {
            Some(name) => name.known().is_some() && (self.takes_more || !self.words.is_empty()),
            None => self.words.is_empty() && !self.takes_more && !command.assignments.is_empty(),
        };
        has_name
            && (command.words.len() == self.words.len() || self.takes_more && command.words.len() > self.words.len())
            && self.words.iter().zip(&command.words).all(is_covered)
            && command.assignments.iter().all(|it| is_set(&it.name, &it.value))
            && self.assignments.iter().all(|(name, _)| command.assignments.iter().any(|it| it.name == *name))
            && command.redirections.iter().all(|it| only_reads_inside(it) || it.writes && is_written(it))
    }

    /// Whether a deny or an ask could be about the command. Words that are not known could be any.
    pub(crate) fn touches(&self, command: &SimpleCommand) -> bool {
        let is_set = |(name, glob): &(String, Glob)| {
            command.assignments.iter().any(|it| {
                (it.name == *name || it.name.is_empty()) && it.value.known().is_none_or(|text| glob.touches_text(text))
            })
        };
        let is_written = |redirection: &Redirection| {
            let touches = |path: &str| self.writes.iter().any(|glob| glob.touches_text(path));
            redirection.writes && redirection.path.known().is_none_or(touches)
        };
        // It may run what follows as code.
        if command.words.first() == Some(&Word::Dynamic) {
            return true;
        }
        self.touches_words(&command.words)
            && self.assignments.iter().all(is_set)
            && (self.writes.is_empty() || command.redirections.iter().any(is_written))
    }

    fn touches_words(&self, words: &[Word]) -> bool {
        // How many of the pattern's words may be behind us.
        let end = self.words.len();
        let mut behind = vec![false; end + 1];
        if let Some(first) = behind.first_mut() {
            *first = true;
        }
        for (index, word) in words.iter().enumerate() {
            let mut next = vec![false; end + 1];
            let mut any_before = false;
            for (at, is_here) in behind.iter().enumerate() {
                any_before |= is_here;
                let Word::Known(text) = word else {
                    mark(&mut next, at, any_before);
                    continue;
                };
                if !is_here {
                    continue;
                }
                match self.words.get(at) {
                    Some(pattern) => {
                        // A program is the same by its path.
                        let by_name = text.rsplit('/').next().filter(|_| index == 0);
                        if pattern.touches(text) || by_name.is_some_and(|name| pattern.touches(name)) {
                            mark(&mut next, at + 1, true);
                        }
                    }
                    None => mark(&mut next, at, self.takes_more),
                }
            }
            behind = next;
        }
        behind.last() == Some(&true)
    }
}

fn mark(flags: &mut [bool], index: usize, value: bool) {
    if let Some(flag) = flags.get_mut(index) {
        *flag |= value;
    }
}

/// The words of a pattern, quotes left in.
fn split(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let Some(word) = words.last_mut() else { break };
        match c {
            ' ' => words.push(String::new()),
            '\\' => {
                word.push(c);
                word.extend(chars.next());
            }
            _ => word.push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The text that a word without signs means; none where it has signs.
fn literal(word: &str) -> Option<String> {
    let mut text = String::new();
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' | '?' => return None,
            '\\' => text.extend(chars.next()),
            _ => text.push(c),
        }
    }
    Some(text)
}

impl FromStr for CommandPattern {
    type Err = ParsePatternError;
    fn from_str(text: &str) -> Result<Self, ParsePatternError> {
        let wrong = |why| ParsePatternError::new(text, why);
        if text.len() > PATTERN_BYTES_MAX {
            return Err(wrong("it has more than 256 bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(wrong("it has control characters"));
        }
        let mut pattern = Self {
            text: text.to_owned(),
            assignments: Vec::new(),
            words: Vec::new(),
            takes_more: false,
            writes: Vec::new(),
        };
        let words = split(text);
        let mut rest = words.iter().peekable();
        while let Some(word) = rest.next() {
            let is_last = rest.peek().is_none_or(|next| *next == ">");
            if word == ">" {
                let path = rest.next().ok_or_else(|| wrong("`>` is followed by the path that may be written"))?;
                pattern.writes.push(path.parse()?);
                continue;
            }
            if !pattern.writes.is_empty() {
                return Err(wrong("`> PATH` comes last"));
            }
            if has_operator(word) {
                return Err(wrong("it is one command: quote `' \" $ ; & | < > ( ) #` and backticks with `\\`"));
            }
            let set = word.split_once('=').filter(|(name, _)| pattern.words.is_empty() && is_variable(name));
            if let Some((name, value)) = set {
                pattern.assignments.push((name.to_owned(), value.parse()?));
                continue;
            }
            match (word.as_str(), literal(word)) {
                ("*", _) if is_last => pattern.takes_more = true,
                ("*", _) => pattern.words.push(WordPattern::AnyOne),
                (_, Some(text)) => pattern.words.push(WordPattern::Exactly(text)),
                (_, None) => pattern.words.push(WordPattern::Like(word.parse()?)),
            }
        }
        if pattern.words.is_empty() && !pattern.takes_more && pattern.assignments.is_empty() {
            return Err(wrong("it names no command"));
        }
        Ok(pattern)
    }
}

fn is_variable(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(is_plain)
}

/// Whether a word has a character that a shell would act on, not quoted by a backslash.
fn has_operator(word: &str) -> bool {
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '\'' | '"' | '$' | ';' | '&' | '|' | '<' | '>' | '(' | ')' | '`' | '#' => return true,
            _ => {}
        }
    }
    false
}

impl fmt::Display for CommandPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for CommandPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CommandPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
