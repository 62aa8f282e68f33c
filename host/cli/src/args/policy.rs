//! The command line of `policy`.

use super::{ApproveWord, OutputArgs};
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Say what would come of a call and why: every voice, which of them counts, and why the others yield.
    Explain(ExplainArgs),
    /// Check the rules that are in force against the examples that they carry (matches, matches-not).
    Test {
        /// The folder whose rules are looked at.
        #[arg(long, short = 'w', value_name = "DIR", value_hint = ValueHint::DirPath)]
        workspace: Option<PathBuf>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List what was allowed for later calls by answers, and how far and how long it holds.
    Allowed {
        /// Only what holds in this session; in any session if not given.
        #[arg(long, value_name = "ID")]
        session: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Take back what was allowed for later calls: they are asked about again, in every session that it held in.
    Forbid {
        /// What was allowed, as `policy allowed` names it.
        #[arg(value_name = "ALLOWANCE")]
        allowance: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The tool.
    pub(crate) tool: String,
    /// Its arguments: a JSON object; or, of a tool that takes one, a line of shell.
    #[arg(value_name = "JSON", default_value = "{}")]
    pub(crate) arguments: String,
    /// The mode; the configured one if not given.
    #[arg(long, value_name = "NAME")]
    pub(crate) mode: Option<String>,
    /// Judge its changes, as if it had written this file; may be given several times. `-` before the path stands for
    /// deleting it.
    #[arg(long, value_name = "PATH", allow_hyphen_values = true, value_parser = staged_path)]
    pub(crate) staged: Vec<String>,
    /// How much to ask.
    #[arg(long, value_name = "WORD")]
    pub(crate) approve: Option<ApproveWord>,
    /// The folder that the call would work in.
    #[arg(long, short = 'w', value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) workspace: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// One path. Options that stand where a path should are no paths.
fn staged_path(text: &str) -> Result<String, String> {
    match text {
        "" | "-" => Err("it names no path".to_owned()),
        text if text.starts_with("--") => Err("a path is missing before this option".to_owned()),
        text => Ok(text.to_owned()),
    }
}
