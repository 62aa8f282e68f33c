//! Words: quotes, expansions and substitutions.
//!
//! Promise: a word is known only where every shell gives exactly that text; each substitution's commands are found.
//!
//! Not here: where a word may stand (`grammar`).

use super::grammar::Parser;
use super::{Dialect, Parsed, Word, is_own_variable, refused};

/// Whether a text is a variable's or function's name.
pub(super) fn is_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(is_plain)
}

/// A word as it grows.
#[derive(Default)]
struct Growing {
    text: String,
    is_dynamic: bool,
}

impl Growing {
    fn word(self) -> Word {
        if self.is_dynamic { Word::Dynamic } else { Word::Known(self.text) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Command,
    /// Between `[[` and `]]`, where operators are words.
    Condition,
}

impl Parser<'_> {
    /// A word. It is an error if there is none.
    pub(super) fn word(&mut self) -> Parsed<Word> {
        let begin = self.at;
        let word = self.read_word(Place::Command)?;
        if self.at == begin { refused("a word is missing") } else { Ok(word) }
    }

    /// A variable's value, possibly empty.
    pub(super) fn value(&mut self) -> Parsed<Word> {
        self.read_word(Place::Command)
    }

    pub(super) fn condition_word(&mut self) -> Parsed<()> {
        let begin = self.at;
        self.read_word(Place::Condition)?;
        if self.at == begin { refused("a `[[` has no end in its line") } else { Ok(()) }
    }

    fn read_word(&mut self, place: Place) -> Parsed<Word> {
        let begin = self.at;
        let mut word = Growing::default();
        // Alone they are words of `test`, else signs of a pattern.
        if let Some(bracket) = ["[", "]", "]]"].into_iter().find(|bracket| self.raw() == *bracket) {
            self.at += bracket.len();
            return Ok(Word::Known(bracket.to_owned()));
        }
        // Shells differ in where a brace ends a group.
        if self.peek() == Some('}') && place == Place::Command {
            return refused("a word begins with a `}`");
        }
        while let Some(next) = self.peek() {
            match next {
                ' ' | '\t' | '\n' | ';' => break,
                '<' | '>' if self.rest()[1..].starts_with('(') => {
                    if self.dialect == Dialect::Posix {
                        return refused("a substitution means something else in other shells");
                    }
                    self.at += 2;
                    self.subshell()?;
                    word.is_dynamic = true;
                }
                '&' | '|' | '(' | ')' | '<' | '>' if place == Place::Command => break,
                '\\' => {
                    if self.continuation()? {
                        continue;
                    }
                    self.at += 1;
                    match self.bump() {
                        Some(escaped) => word.text.push(escaped),
                        None => return refused("it ends in a backslash"),
                    }
                }
                '\'' => {
                    self.at += 1;
                    self.single_quoted(&mut word)?;
                }
                '"' => {
                    self.at += 1;
                    self.double_quoted(&mut word)?;
                }
                '`' => self.backticks(false, &mut word)?,
                '$' => self.dollar(false, &mut word)?,
                '{' if self.rest().starts_with("{}") => {
                    self.at += 2;
                    word.text.push_str("{}");
                }
                '~' => {
                    let before = self.text.get(begin..self.at).unwrap_or_default();
                    word.is_dynamic |= before.is_empty() || before.ends_with(['=', ':']);
                    self.at += 1;
                    word.text.push(next);
                }
                _ => {
                    word.is_dynamic |= matches!(next, '*' | '?' | '[' | ']' | '{');
                    word.text.push(next);
                    self.at += next.len_utf8();
                }
            }
        }
        Ok(word.word())
    }

    fn no_newline_before_a_body(&self, text: &str) -> Parsed<()> {
        if text.contains('\n') && !self.here_documents.is_empty() {
            return refused("quotes stand between a here-document and its body");
        }
        Ok(())
    }

    fn single_quoted(&mut self, word: &mut Growing) -> Parsed<()> {
        let rest = self.rest();
        let Some(text) = rest.find('\'').and_then(|end| rest.get(..end)) else {
            return refused("a quote is not closed");
        };
        self.no_newline_before_a_body(text)?;
        word.text.push_str(text);
        self.at += text.len() + 1;
        Ok(())
    }

    fn double_quoted(&mut self, word: &mut Growing) -> Parsed<()> {
        let begin = self.at;
        while let Some(next) = self.peek() {
            match next {
                '"' => {
                    let text = self.text.get(begin..self.at).unwrap_or_default();
                    self.no_newline_before_a_body(text)?;
                    self.at += 1;
                    return Ok(());
                }
                '\\' => {
                    if self.continuation()? {
                        continue;
                    }
                    self.at += 1;
                    match self.bump() {
                        Some(escaped @ ('$' | '`' | '"' | '\\')) => word.text.push(escaped),
                        Some(other) => word.text.extend(['\\', other]),
                        None => break,
                    }
                }
                '`' => self.backticks(true, word)?,
                '$' => self.dollar(true, word)?,
                _ => {
                    word.text.push(next);
                    self.at += next.len_utf8();
                }
            }
        }
        refused("a quote is not closed")
    }

    /// All expansions of a here-document's body.
    pub(super) fn expansions(&mut self) -> Parsed<()> {
        let mut word = Growing::default();
        while let Some(next) = self.peek() {
            match next {
                '\\' => {
                    self.at += 1;
                    if self.bump() == Some('\n') {
                        return refused("a here-document joins lines");
                    }
                }
                '`' => self.backticks(true, &mut word)?,
                '$' => self.dollar(true, &mut word)?,
                _ => self.at += next.len_utf8(),
            }
        }
        Ok(())
    }

    fn backticks(&mut self, is_quoted: bool, word: &mut Growing) -> Parsed<()> {
        self.at += 1;
        let rest = self.rest();
        let Some(text) = rest.find('`').and_then(|end| rest.get(..end)) else {
            return refused("a backtick is not closed");
        };
        // What a backslash or a quote means in here depends on the shell; `$(…)` says the same clearly.
        if text.contains('\\') || is_quoted && text.contains('"') {
            return refused("there are quotes in backticks; use $(…)");
        }
        if !self.here_documents.is_empty() {
            return refused("a substitution stands between a here-document and its body");
        }
        word.is_dynamic = true;
        self.at += text.len() + 1;
        self.nested(text, self.dialect)
    }

    fn dollar(&mut self, is_quoted: bool, word: &mut Growing) -> Parsed<()> {
        self.at += 1;
        let rest = self.rest();
        let name_bytes = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        match rest.chars().next() {
            Some('(') if rest.starts_with("((") => {
                self.at += 2;
                self.arithmetic()?;
            }
            Some('(') => {
                self.at += 1;
                self.subshell()?;
            }
            Some('{') => {
                self.at += 1;
                self.deeper(Self::parameter)?;
            }
            Some('\'') if !is_quoted => {
                self.at += 1;
                return self.ansi_c(word);
            }
            Some('"') if !is_quoted => return refused("a text is translated"),
            Some('\\') if !is_quoted => return refused("a `$` stands before a backslash"),
            Some('[') => return refused("it does arithmetic"),
            Some('\\') if rest.starts_with("\\\n") => return refused("a line is continued in the middle of a word"),
            Some(c) if c.is_ascii_alphabetic() || c == '_' => self.at += name_bytes,
            Some(c) if c.is_ascii_digit() || "@*#?$!-".contains(c) => self.at += 1,
            _ => {
                word.text.push('$');
                return Ok(());
            }
        }
        word.is_dynamic = true;
        Ok(())
    }

    /// Numbers and signs alone. Variables in arithmetic are evaluated in their turn, commands in an index included.
    fn arithmetic(&mut self) -> Parsed<()> {
        let mut open = 0_usize;
        loop {
            match self.bump() {
                Some('(') => open += 1,
                Some(')') if open > 0 => open -= 1,
                Some(')') if self.take(")") => return Ok(()),
                Some(c) if c.is_ascii_digit() || " \t+-*/%<>=!&|^~?:,".contains(c) => {}
                _ => return refused("it does arithmetic on what variables hold"),
            }
        }
    }

    /// What follows `${`.
    fn parameter(&mut self) -> Parsed<()> {
        const UNUSUAL: &str = "a parameter is expanded in an unusual way";
        let rest = self.rest();
        let is_length = rest.starts_with('#') && !rest.starts_with("#}");
        self.at += usize::from(is_length);
        let rest = self.rest();
        let name_bytes = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let name_bytes =
            if name_bytes == 0 && rest.starts_with(['@', '*', '#', '?', '$', '-']) { 1 } else { name_bytes };
        let name = rest.get(..name_bytes).unwrap_or_default();
        if name.is_empty() {
            return refused(UNUSUAL);
        }
        self.at += name_bytes;
        if self.take("[") {
            let index = self.rest().split(']').next().unwrap_or_default();
            if !(matches!(index, "@" | "*") || !index.is_empty() && index.chars().all(|c| c.is_ascii_digit())) {
                return refused("an index is evaluated");
            }
            self.at += index.len() + 1;
        }
        let rest = self.rest();
        if rest.starts_with('@') || is_length && !rest.starts_with('}') {
            return refused(UNUSUAL);
        }
        if rest.trim_start_matches(':').starts_with('=') && !is_own_variable(name) {
            return refused("it sets a variable that others look at");
        }
        let is_part = rest.starts_with(':') && !rest[1..].starts_with(['-', '=', '?', '+']);
        while let Some(next) = self.peek() {
            match next {
                '}' => {
                    self.at += 1;
                    return Ok(());
                }
                _ if is_part && !(next.is_ascii_digit() || matches!(next, ' ' | ':' | '-')) => break,
                '\'' | '"' | '\\' | '`' | '\n' | '{' | '<' | '>' => break,
                '$' => self.dollar(true, &mut Growing::default())?,
                _ => self.at += next.len_utf8(),
            }
        }
        refused(UNUSUAL)
    }

    /// What follows `$'`.
    fn ansi_c(&mut self, word: &mut Growing) -> Parsed<()> {
        if self.dialect == Dialect::Posix {
            return refused("`$'` means something else in other shells");
        }
        let begin = self.at;
        loop {
            match self.bump() {
                Some('\'') => {
                    let text = self.text.get(begin..self.at).unwrap_or_default();
                    return self.no_newline_before_a_body(text);
                }
                Some('\\') => match self.bump() {
                    Some('n') => word.text.push('\n'),
                    Some('t') => word.text.push('\t'),
                    Some(same @ ('\\' | '\'' | '"')) => word.text.push(same),
                    Some(_) => word.is_dynamic = true,
                    None => return refused("a quote is not closed"),
                },
                Some(other) => word.text.push(other),
                None => return refused("a quote is not closed"),
            }
        }
    }
}
