//! Exit codes: one for each way a command can end. They are documented in `--help` and in the README.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked.
    Done,
    /// It could not: a provider, a file or the host failed.
    Failed,
    /// The command line or a configuration file is wrong. clap uses the same number.
    Usage,
    /// A person's answer is needed and nobody could be asked; `run --continue` takes it up.
    NeedsAnswer,
    /// A limit or budget was reached.
    Limit,
    /// A person stopped it: 128 + SIGINT, as shells count.
    Interrupted,
}

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NeedsAnswer => 3,
            Self::Limit => 4,
            Self::Interrupted => 130,
        }
    }

    /// The word in `--json` output.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NeedsAnswer => "needs_answer",
            Self::Limit => "limit",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What `--help` says about exit codes.
pub(crate) const HELP: &str = "\
Exit codes: 0 done; 1 failed; 2 usage or configuration error; 3 a person's answer is needed and nobody could be \
asked (run --continue takes it up); 4 a limit was reached; 130 interrupted.";
