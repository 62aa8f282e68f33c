//! Command lines as a policy gets them, and where they come from.
//!
//! Promise: these types say what `wit/mode` says of them and no more.
//!
//! Not here: parsing.

/// A tool's command line, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// The tool takes no command line.
    None,
    /// Every simple command in it: of pipelines, lists, substitutions, loops and functions.
    Commands(Vec<SimpleCommand>),
    /// It makes no sense: it may do anything.
    NotUnderstood,
}

/// One simple command of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimpleCommand {
    /// The program and its arguments; none for a word that is not known before the line runs.
    pub words: Vec<Option<String>>,
    /// Its redirections.
    pub redirections: Vec<Redirection>,
}

/// A redirection of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirection {
    /// How the path is used.
    pub direction: Direction,
    /// The path; none where it is not known before the line runs.
    pub path: Option<String>,
}

/// How a path is used by a redirection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// It is read.
    Reads,
    /// It is written.
    Writes,
}

/// Finds the command line of a call.
pub trait CommandLines: Send + Sync + 'static {
    /// The command line in a tool's arguments, which are JSON text.
    fn command_line(&self, tool: &str, arguments: &str) -> CommandLine;
}

impl<F: Fn(&str, &str) -> CommandLine + Send + Sync + 'static> CommandLines for F {
    fn command_line(&self, tool: &str, arguments: &str) -> CommandLine {
        self(tool, arguments)
    }
}

/// For sessions without a tool that takes a command line.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCommandLines;

impl CommandLines for NoCommandLines {
    fn command_line(&self, _tool: &str, _arguments: &str) -> CommandLine {
        CommandLine::None
    }
}
