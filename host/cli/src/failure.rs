//! A command's failure: whose turn it is to act, and the whole chain of causes.

use crate::exit::Exit;
use std::error::Error;
use std::fmt::Write as _;

/// Why a command failed, ready to be told.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code it leads to.
    pub(crate) exit: Exit,
    /// What went wrong, with its causes.
    pub(crate) message: String,
}

impl Failure {
    /// The user can mend it: a flag, a file, a name.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    /// Something broke.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into() }
    }

    /// What was tried, and the chain of causes.
    pub(crate) fn because(tried: &str, error: &dyn Error) -> Self {
        Self::failed(format!("{tried}: {}", chain(error)))
    }
}

/// An error with its causes, each named once.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            let _ = write!(text, ": {next}");
        }
        cause = error.source();
    }
    text
}
