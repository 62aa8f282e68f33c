//! Lists, compound commands and redirections.
//!
//! Promise: every call makes progress or ends, and recursion is counted.
//!
//! Not here: what is inside a word (`words`), what a command runs in its turn (`runners`).

use super::runners::{Inner, inner};
use super::words::is_name;
use super::{
    Assignment, Dialect, LINE_BYTES_MAX, LINE_COMMANDS_MAX, NESTING_DEPTH_MAX, Parsed, Redirection, SimpleCommand,
    Word, refused,
};

/// Words that begin a command and change nothing about what runs.
const SEPARATORS: &[&str] = &["if", "then", "elif", "else", "fi", "while", "until", "do", "done", "!", "{", "}"];
/// Those after which a command has to come.
const OPENING: &[&str] = &["if", "then", "elif", "else", "while", "until", "do", "!", "{", "time", "function"];
/// Redirections, each before those that it begins with.
const OPERATORS: &[&str] = &["&>>", "&>", "<<<", "<<-", "<<", "<>", "<&", "<", ">>", ">&", ">|", ">"];
/// Files that hold nothing and keep nothing.
const NO_FILES: &[&str] = &["/dev/null", "/dev/stdin", "/dev/stdout", "/dev/stderr"];

/// A here-document whose body begins after the next newline.
pub(super) struct HereDocument {
    delimiter: String,
    is_quoted: bool,
    strips_tabs: bool,
}

/// What ends a list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    End,
    Parenthesis,
    /// `;;` and the like, which stay, or `esac`, which is taken.
    Clause,
}

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    pub(super) dialect: Dialect,
    pub(super) here_documents: Vec<HereDocument>,
    depth: usize,
    commands: &'a mut Vec<SimpleCommand>,
    /// What closes the compound commands that are open, the innermost last.
    closing: Vec<&'static str>,
    /// A command has to come: after a keyword, or as the body of a function.
    is_incomplete: bool,
}

impl<'a> Parser<'a> {
    pub(super) fn new(
        text: &'a str,
        dialect: Dialect,
        depth: usize,
        commands: &'a mut Vec<SimpleCommand>,
    ) -> Parsed<Self> {
        if text.len() > LINE_BYTES_MAX {
            return refused("it is longer than can be judged");
        }
        if depth > NESTING_DEPTH_MAX {
            return refused("it is nested too deeply");
        }
        // Shells disagree on which of these separate words, and bash marks its own with some.
        let is_odd = |c: char| (c.is_control() || c.is_whitespace()) && !matches!(c, ' ' | '\t' | '\n');
        if text.contains(is_odd) {
            return refused("it has control characters or unusual spaces");
        }
        Ok(Self {
            text,
            at: 0,
            dialect,
            here_documents: Vec::new(),
            depth,
            commands,
            closing: Vec::new(),
            is_incomplete: false,
        })
    }

    pub(super) fn all(&mut self) -> Parsed<()> {
        self.list(Until::End).map(|_| ())
    }

    /// Reads a text that is run in its turn.
    pub(super) fn nested(&mut self, text: &str, dialect: Dialect) -> Parsed<()> {
        Parser::new(text, dialect, self.depth + 1, self.commands)?.all()
    }

    /// Reads the body of a here-document.
    fn body(&mut self, text: &str) -> Parsed<()> {
        Parser::new(text, self.dialect, self.depth + 1, self.commands)?.expansions()
    }

    /// One level down.
    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= NESTING_DEPTH_MAX {
            return refused("it is nested too deeply");
        }
        // Where the body would begin is another place in every shell.
        if !self.here_documents.is_empty() {
            return refused("a substitution or subshell stands between a here-document and its body");
        }
        self.depth += 1;
        let read = read(self)?;
        self.depth -= 1;
        if !self.here_documents.is_empty() {
            return refused("a here-document ends outside of where it began");
        }
        Ok(read)
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn take(&mut self, token: &str) -> bool {
        let is_next = self.rest().starts_with(token);
        if is_next {
            self.at += token.len();
        }
        is_next
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// The characters up to the next blank or operator. A word that is quoted in part is never a keyword.
    pub(super) fn raw(&self) -> &'a str {
        let rest = self.rest();
        // No keyword or name is longer, and looking further at each word would take more than linear time.
        const NAME_BYTES_MAX: usize = 256;
        let ends = |c: char| matches!(c, ' ' | '\t' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>');
        let near = rest.get(..rest.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default();
        near.split(ends).next().unwrap_or_default()
    }

    pub(super) fn take_raw(&mut self, word: &str) -> bool {
        let is_next = self.raw() == word;
        if is_next {
            self.at += word.len();
        }
        is_next
    }

    /// A backslash before a newline joins two lines. Where that could join two characters into an operator,
    /// shells disagree.
    pub(super) fn continuation(&mut self) -> Parsed<bool> {
        if !self.rest().starts_with("\\\n") {
            return Ok(false);
        }
        let before = self.text.get(..self.at).unwrap_or_default();
        if !(before.is_empty() || before.ends_with([' ', '\t', '\n'])) {
            return refused("a line is continued in the middle of a word");
        }
        self.at += 2;
        Ok(true)
    }

    /// Skips blanks and a comment.
    fn blanks(&mut self) -> Parsed<()> {
        loop {
            match self.peek() {
                Some(' ' | '\t') => self.at += 1,
                Some('\\') if self.continuation()? => {}
                Some('#') => {
                    let rest = self.rest();
                    self.at += rest.find('\n').unwrap_or(rest.len());
                }
                _ => return Ok(()),
            }
        }
    }

    fn blanks_and_newlines(&mut self) -> Parsed<()> {
        loop {
            self.blanks()?;
            if self.peek() != Some('\n') {
                return Ok(());
            }
            self.newline()?;
        }
    }

    /// Takes a newline and the here-documents that begin after it.
    fn newline(&mut self) -> Parsed<()> {
        self.at += 1;
        for document in std::mem::take(&mut self.here_documents) {
            let begin = self.at;
            let end = loop {
                let rest = self.rest();
                if rest.is_empty() {
                    return refused("a here-document has no end");
                }
                let line = rest.split('\n').next().unwrap_or_default();
                let start = self.at;
                self.at = (start + line.len() + 1).min(self.text.len());
                let line = if document.strips_tabs { line.trim_start_matches('\t') } else { line };
                if line == document.delimiter {
                    break start;
                }
            };
            if !document.is_quoted {
                let body = self.text.get(begin..end).unwrap_or_default();
                self.body(body)?;
            }
        }
        // The newline after a delimiter is the end of its line and of what stood before the documents.
        Ok(())
    }

    /// A list of commands. Says whether `esac` ended it.
    fn list(&mut self, until: Until) -> Parsed<bool> {
        let outer = std::mem::take(&mut self.closing);
        let ended = self.commands_until(until)?;
        // Shells read on in ways of their own where something stays open.
        if !self.closing.is_empty() || self.is_incomplete {
            return refused("a compound command is not closed");
        }
        self.closing = outer;
        Ok(ended)
    }

    fn commands_until(&mut self, until: Until) -> Parsed<bool> {
        // Whether something stands before an operator. Where nothing does, shells recover in ways of their own.
        let mut is_complete = false;
        loop {
            self.blanks()?;
            match self.peek() {
                None if until == Until::End && self.here_documents.is_empty() => return Ok(false),
                None => return refused("something that was opened is not closed"),
                Some('\n') => self.newline()?,
                Some(')') if until == Until::Parenthesis => {
                    self.at += 1;
                    return Ok(false);
                }
                Some(')') => return refused("there is a `)` too many"),
                Some(';') if self.rest().starts_with(";;") || self.rest().starts_with(";&") => {
                    if until == Until::Clause {
                        return Ok(false);
                    }
                    return refused("there is a `;` too many");
                }
                Some('&') if self.rest().starts_with("&>") => {
                    self.simple()?;
                    is_complete = true;
                }
                Some(';' | '&' | '|') if !is_complete => return refused("an operator has nothing before it"),
                Some(';' | '&' | '|') => {
                    if !(self.take("&&") || self.take("||") || self.take("|&")) {
                        self.at += 1;
                    }
                    is_complete = false;
                }
                Some('(') if self.rest().starts_with("((") => return refused("it does arithmetic"),
                Some('(') => {
                    self.at += 1;
                    self.is_incomplete = false;
                    self.subshell()?;
                    is_complete = true;
                }
                Some(_) => {
                    is_complete = !OPENING.contains(&self.raw());
                    if self.command(until)? {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// The inside of parentheses whose first was taken.
    pub(super) fn subshell(&mut self) -> Parsed<()> {
        self.deeper(|parser| parser.list(Until::Parenthesis)).map(|_| ())
    }

    fn command(&mut self, until: Until) -> Parsed<bool> {
        let raw = self.raw();
        self.open_or_close(raw)?;
        self.is_incomplete = OPENING.contains(&raw);
        match raw {
            _ if SEPARATORS.contains(&raw) => self.at += raw.len(),
            "time" => {
                self.at += raw.len();
                self.blanks()?;
                self.take_raw("-p");
            }
            "esac" if until == Until::Clause => {
                self.at += raw.len();
                return Ok(true);
            }
            "esac" | "coproc" => return refused("a keyword stands where it has no fixed meaning"),
            "for" | "select" => {
                self.at += raw.len();
                self.for_words()?;
            }
            "case" => {
                self.at += raw.len();
                self.case()?;
            }
            "function" => {
                self.at += raw.len();
                self.blanks()?;
                let name = self.raw();
                self.at += name.len();
                if !is_name(name) {
                    return refused("a function has an unusual name");
                }
                self.blanks()?;
                if self.peek() == Some('(') {
                    self.definition()?;
                }
            }
            "[[" => {
                self.at += raw.len();
                self.condition()?;
            }
            _ => self.simple()?,
        }
        Ok(false)
    }

    /// Keeps count of compound commands.
    fn open_or_close(&mut self, keyword: &str) -> Parsed<()> {
        match keyword {
            "if" => self.closing.push("fi"),
            "for" | "select" | "while" | "until" => self.closing.push("done"),
            "{" => self.closing.push("}"),
            "fi" | "done" | "}" if self.closing.pop() != Some(keyword) => {
                return refused("a keyword closes what is not open");
            }
            "then" | "elif" | "else" if self.closing.last() != Some(&"fi") => return refused("an `if` is missing"),
            "do" if self.closing.last() != Some(&"done") => return refused("a loop is missing"),
            _ => {}
        }
        Ok(())
    }

    /// `()` after a function's name.
    fn definition(&mut self) -> Parsed<()> {
        self.at += 1;
        self.is_incomplete = true;
        self.blanks()?;
        if self.take(")") { Ok(()) } else { refused("a `(` stands where it has no fixed meaning") }
    }

    fn for_words(&mut self) -> Parsed<()> {
        self.blanks()?;
        let name = self.raw();
        if !is_name(name) {
            return refused("a loop's variable has an unusual name");
        }
        self.at += name.len();
        let assignment = Assignment { name: name.to_owned(), value: Word::Dynamic };
        self.found(SimpleCommand { assignments: vec![assignment], ..SimpleCommand::default() })?;
        self.blanks_and_newlines()?;
        if !self.take_raw("in") {
            return Ok(());
        }
        loop {
            self.blanks()?;
            match self.peek() {
                Some('\n' | ';') => return Ok(()),
                None => return refused("a loop has no body"),
                // Some shells begin the body there.
                Some(_) if SEPARATORS.contains(&self.raw()) || OPENING.contains(&self.raw()) => {
                    return refused("a keyword stands where it has no fixed meaning");
                }
                Some(_) => self.word().map(|_| ())?,
            }
        }
    }

    fn case(&mut self) -> Parsed<()> {
        self.blanks()?;
        self.word()?;
        self.blanks_and_newlines()?;
        if !self.take_raw("in") {
            return refused("a `case` has no `in`");
        }
        loop {
            self.blanks_and_newlines()?;
            if self.take_raw("esac") {
                return Ok(());
            }
            if self.peek() == Some('(') {
                self.at += 1;
            }
            loop {
                self.blanks()?;
                self.word()?;
                self.blanks()?;
                if self.take(")") {
                    break;
                }
                if !self.take("|") {
                    return refused("a `case` has an unusual pattern");
                }
            }
            if self.deeper(|parser| parser.list(Until::Clause))? {
                return Ok(());
            }
            let _ = self.take(";;&") || self.take(";;") || self.take(";&");
        }
    }

    /// What follows `[[`: words that run nothing but their substitutions.
    fn condition(&mut self) -> Parsed<()> {
        if self.dialect == Dialect::Posix {
            return refused("`[[` means something else in other shells");
        }
        loop {
            while let Some(' ' | '\t') = self.peek() {
                self.at += 1;
            }
            let rest = self.rest();
            let after = rest.strip_prefix("]]");
            if after.is_some_and(|after| after.is_empty() || after.starts_with([' ', '\t', '\n', ';', '&', '|', ')'])) {
                self.at += 2;
                return Ok(());
            }
            let raw = self.raw();
            if matches!(raw, "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge" | "-v" | "-R") {
                return refused("it does arithmetic on what variables hold");
            }
            self.condition_word()?;
        }
    }

    fn simple(&mut self) -> Parsed<()> {
        let mut command = SimpleCommand::default();
        loop {
            self.blanks()?;
            let rest = self.rest();
            match self.peek() {
                None | Some('\n' | ';' | ')' | '|') => break,
                Some('&') if !rest.starts_with("&>") => break,
                Some('<' | '>') if rest.starts_with("<(") || rest.starts_with(">(") => {
                    let word = self.word()?;
                    command.words.push(word);
                }
                Some('<' | '>' | '&') => self.redirection(&mut command)?,
                Some('(') => {
                    let is_definition = matches!(command.words.as_slice(), [Word::Known(name)] if is_name(name))
                        && command.assignments.is_empty()
                        && command.redirections.is_empty();
                    if !is_definition {
                        return refused("a `(` stands where it has no fixed meaning");
                    }
                    return self.definition();
                }
                Some(_) => self.word_or_assignment(&mut command)?,
            }
        }
        self.found(command)
    }

    fn word_or_assignment(&mut self, command: &mut SimpleCommand) -> Parsed<()> {
        let rest = self.rest();
        let raw = self.raw();
        let digits = raw.len() - raw.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == raw.len() && rest[digits..].starts_with(['<', '>']) {
            self.at += digits;
            return Ok(());
        }
        let name = raw.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
        let after = raw.get(name.len()..).unwrap_or_default();
        if !is_name(name) || !after.starts_with(['=', '+', '[']) {
            let word = self.word()?;
            command.words.push(word);
            return Ok(());
        }
        if after.starts_with('[') && command.words.is_empty() {
            return refused("it sets a part of an array, whose index is evaluated");
        }
        let sign = ["=", "+="].into_iter().find(|sign| after.starts_with(sign));
        let is_array =
            sign.is_some_and(|sign| rest.get(name.len() + sign.len()..).is_some_and(|value| value.starts_with('(')));
        let Some(sign) = sign.filter(|_| command.words.is_empty() || is_array) else {
            let word = self.word()?;
            command.words.push(word);
            return Ok(());
        };
        self.at += name.len() + sign.len();
        let value = if is_array { self.array()? } else { self.value()? };
        if command.words.is_empty() {
            let value = if sign == "=" { value } else { Word::Dynamic };
            command.assignments.push(Assignment { name: name.to_owned(), value });
        } else {
            command.words.push(Word::Dynamic);
        }
        Ok(())
    }

    fn array(&mut self) -> Parsed<Word> {
        self.at += 1;
        loop {
            self.blanks()?;
            match self.peek() {
                Some(')') => {
                    self.at += 1;
                    return Ok(Word::Dynamic);
                }
                Some('\n') if self.here_documents.is_empty() => self.at += 1,
                Some('[') => return refused("it sets a part of an array, whose index is evaluated"),
                _ => self.word().map(|_| ())?,
            }
        }
    }

    fn redirection(&mut self, command: &mut SimpleCommand) -> Parsed<()> {
        let Some(operator) = OPERATORS.iter().copied().find(|operator| self.rest().starts_with(operator)) else {
            return refused("an operator is not known");
        };
        self.at += operator.len();
        if self.dialect == Dialect::Posix && operator == "<<<" {
            return refused("`<<<` means something else in other shells");
        }
        self.blanks()?;
        if operator == "<<" || operator == "<<-" {
            let (delimiter, is_quoted) = self.delimiter()?;
            let document = HereDocument { delimiter, is_quoted, strips_tabs: operator == "<<-" };
            self.here_documents.push(document);
            return Ok(());
        }
        let is_sign = |c: char| c.is_ascii_digit() || c == '-';
        let is_copy = |text: &str| text.chars().all(is_sign);
        let begins_as_copy = operator.ends_with('&') && self.peek().is_some_and(is_sign);
        let path = self.word()?;
        let known = path.known();
        let is_network = known.is_some_and(|path| path.starts_with("/dev/tcp/") || path.starts_with("/dev/udp/"));
        if begins_as_copy && !known.is_some_and(is_copy) {
            return refused("a descriptor's number is followed by a word");
        }
        if operator == "<<<"
            || known.is_some_and(|path| NO_FILES.contains(&path))
            || operator.ends_with('&') && known.is_some_and(is_copy)
        {
            return Ok(());
        }
        command.redirections.push(Redirection { writes: operator.contains('>') || is_network, path });
        Ok(())
    }

    /// A here-document's delimiter, and whether it is quoted.
    fn delimiter(&mut self) -> Parsed<(String, bool)> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '!');
        let quote = self.peek().filter(|c| matches!(c, '\'' | '"' | '\\'));
        self.at += usize::from(quote.is_some());
        let rest = self.rest();
        let delimiter = rest.get(..rest.find(|c| !is_plain(c)).unwrap_or(rest.len())).unwrap_or_default();
        self.at += delimiter.len();
        let is_closed = match quote {
            Some(quote @ ('\'' | '"')) => self.bump() == Some(quote),
            _ => true,
        };
        let ends = self.peek().is_none_or(|c| matches!(c, ' ' | '\t' | '\n' | ';' | '&' | '|' | ')' | '<' | '>'));
        if delimiter.is_empty() || !is_closed || !ends {
            return refused("a here-document has an unusual delimiter");
        }
        Ok((delimiter.to_owned(), quote.is_some()))
    }

    /// Notes a command, and those that it runs in its turn.
    fn found(&mut self, command: SimpleCommand) -> Parsed<()> {
        let is_keyword = |name: &str| SEPARATORS.contains(&name) || OPENING.contains(&name) || name == "]]";
        let is_set = |name: &str| name.split_once('=').is_some_and(|(name, _)| is_name(name));
        match command.words.first().and_then(Word::known) {
            Some(name) if is_keyword(name) => return refused("a keyword stands where it has no fixed meaning"),
            // Quoted or escaped: a program's name for some shells, an assignment for others.
            Some(name) if is_set(name) => return refused("a program's name looks like an assignment"),
            _ => {}
        }
        if command == SimpleCommand::default() {
            return Ok(());
        }
        if self.commands.len() >= LINE_COMMANDS_MAX {
            return refused("it has more commands than can be judged");
        }
        let inner = inner(&command)?;
        self.commands.push(command);
        if inner.is_empty() {
            return Ok(());
        }
        if self.depth >= NESTING_DEPTH_MAX {
            return refused("it is nested too deeply");
        }
        self.depth += 1;
        for inner in inner {
            match inner {
                Inner::Command(command) => self.found(command)?,
                Inner::Text(text, dialect) => self.nested(&text, dialect)?,
            }
        }
        self.depth -= 1;
        Ok(())
    }
}
