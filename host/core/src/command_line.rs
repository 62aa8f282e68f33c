//! What a line of shell would run: every simple command anywhere in it, with its words as far as they are known.
//!
//! Promise: a line is either understood whole, and then no command that it could run is missing from the list, or it is
//! [`NotUnderstood`], which allows nothing. Where shells disagree, or a value that is not known is itself run as code
//! (`eval`, arithmetic over variables, aliases), the answer is `NotUnderstood`. Parsing never panics, takes time linear
//! in the line, and at most [`LINE_BYTES_MAX`], [`NESTING_DEPTH_MAX`] and [`LINE_COMMANDS_MAX`].
//!
//! The grammar is bash's (bash(1), SHELL GRAMMAR, QUOTING, EXPANSION), read by code of our own: a verdict needs to know
//! what a line *cannot* do, and a parser made to run scripts accepts too much (yash-syntax, besides its licence, and
//! brush-parser keep words as text to be parsed again, and neither bounds its recursion; tree-sitter-bash is C and
//! repairs what it does not understand; bashkit's parser comes with all of bashkit). Keywords such as `if` and `do` are
//! read as separators only: that finds the same commands, and finds them too where a shell would refuse the line.
//!
//! Not here: what programs do with their arguments (`python -c`, `git -c alias.x=…`, `make`), what files that are run
//! hold, and judging (`pattern`, `verdict`).

mod grammar;
mod runners;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;

/// A longer line is not read, in bytes.
pub const LINE_BYTES_MAX: usize = 64 << 10;
/// Levels of substitutions, subshells, `case`, and commands that run commands.
pub const NESTING_DEPTH_MAX: usize = 24;
/// Simple commands of one line.
pub const LINE_COMMANDS_MAX: usize = 1_024;

/// All that a line could run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandLine {
    /// The simple commands, those in substitutions and those that other commands run included.
    pub commands: Vec<SimpleCommand>,
}

/// One simple command (bash(1), Simple Commands). Any part may be empty, not all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SimpleCommand {
    /// Variables that are set for it, or in the shell where there are no words.
    pub assignments: Vec<Assignment>,
    /// Its name and arguments, quotes removed. Where the name is not known, what it runs in its turn is not either.
    pub words: Vec<Word>,
    /// The files that it is connected to. Copies of descriptors, here-documents and `/dev/null` are no files.
    pub redirections: Vec<Redirection>,
}

/// A word as far as it is known without running anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Exactly this text.
    Known(String),
    /// Whatever an expansion gives: any number of words of any text.
    Dynamic,
}

impl Word {
    /// The text, if it is known.
    pub fn known(&self) -> Option<&str> {
        match self {
            Self::Known(text) => Some(text),
            Self::Dynamic => None,
        }
    }
}

/// A variable that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Word,
}

/// A file that a command is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirection {
    /// Whether it may be changed, or is a connection to the network (`/dev/tcp/…`).
    pub writes: bool,
    /// The file.
    pub path: Word,
}

/// A line that could run more than can be told from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotUnderstood {
    /// What is in the way, in words for people.
    pub why: &'static str,
}

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what this line would run cannot be told: {}", self.why)
    }
}

impl CommandLine {
    /// Reads a line, or several, as bash would.
    ///
    /// # Errors
    /// The line is longer or nested deeper than the limits, is no valid line, or its commands depend on values that are
    /// not known.
    pub fn parse(line: &str) -> Result<Self, NotUnderstood> {
        let mut commands = Vec::new();
        grammar::Parser::new(line, Dialect::Bash, 0, &mut commands)?.all()?;
        Ok(Self { commands })
    }
}

/// Whose rules a text is read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Bash,
    /// `sh`, which may be another shell than bash: what only bash reads in one way is refused.
    Posix,
}

type Parsed<T> = Result<T, NotUnderstood>;

fn refused<T>(why: &'static str) -> Parsed<T> {
    Err(NotUnderstood { why })
}

/// Whether a variable steers nothing but the line itself. Those that programs and shells look at have upper-case
/// names, apart from proxies.
pub fn is_own_variable(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.chars().all(is_plain) && !name.ends_with("_proxy")
}
