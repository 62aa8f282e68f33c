//! The command line.

pub(crate) mod component;
pub(crate) mod operations;
pub(crate) mod policy;

use crate::exit::HELP;
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use component::ComponentCommand;
use operations::{SessionOperation, TrustCommand};
use policy::PolicyCommand;
use std::path::PathBuf;

/// Runs AI agents whose every tool is a sandboxed WebAssembly component, in sessions that survive crashes.
#[derive(Debug, Parser)]
#[command(name = "harness-host", version, after_help = HELP, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Sets a configuration key, as a line of TOML: --set 'tool-limits.deadline-ms = 1000'.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// When to use colours.
    #[arg(long, global = true, value_name = "WHEN")]
    pub(crate) color: Option<ColorWhen>,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How much to ask.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ApproveWord {
    /// Ask before every change.
    Ask,
    /// Allow changes of files inside the workspace.
    Edits,
    /// Allow all that no boundary or rule denies.
    All,
    /// Refuse every change.
    None,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Give a task to an agent: with a prompt, from standard input, or interactively.
    Run(Box<RunArgs>),
    /// List, show, answer, stop, follow, undo, budget, fork, rewind, move, verify and replay sessions.
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// Begin, check, try and install components, and say what each may do.
    #[command(subcommand)]
    Component(ComponentCommand),
    /// Say what would be allowed and why, and test the rules by their examples.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Show, give and take back trust, and look at what was done unasked.
    #[command(subcommand)]
    Trust(TrustCommand),
    /// Check what is configured, where files live, whether the sandbox works and providers can be reached.
    Doctor(DoctorArgs),
    /// Show the configuration and trust a project's.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Compile a component in a bounded process of its own.
    #[command(hide = true)]
    CompileComponent {
        /// What the host says of it.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

#[derive(Debug, Default, Args)]
#[command(after_help = HELP)]
pub(crate) struct RunArgs {
    /// The task. `-` or nothing with a pipe reads standard input; nothing on a terminal is interactive.
    pub(crate) prompt: Option<String>,
    /// The folder the agent works in.
    #[arg(long, short = 'w', value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) workspace: Option<PathBuf>,
    /// The model, as provider/name. `offline/offline` needs no key and no network.
    #[arg(long, short = 'm', value_name = "PROVIDER/NAME")]
    pub(crate) model: Option<String>,
    /// Go on with this session (an id or the unique beginning of one).
    #[arg(long, value_name = "ID", conflicts_with = "continue_last")]
    pub(crate) session: Option<String>,
    /// Go on with the latest session of the workspace, also with what it still waits for.
    #[arg(long = "continue", short = 'c')]
    pub(crate) continue_last: bool,
    /// Take the session over from another process that holds it.
    #[arg(long)]
    pub(crate) take_over: bool,
    /// Print one JSON event per line and nobody is asked; the last line is the only `run_ended`.
    #[arg(long)]
    pub(crate) json: bool,
    /// A JSON Schema file that the final answer has to fit.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output_schema: Option<PathBuf>,
    /// The mode to work in, such as plan, build, review or auto; a session keeps its own unless this is given.
    #[arg(long, value_name = "NAME")]
    pub(crate) mode: Option<String>,
    /// A further prompt, which waits until the turn before it has ended well. May be given several times.
    #[arg(long, value_name = "PROMPT", conflicts_with = "output_schema")]
    pub(crate) then: Vec<String>,
    /// Model requests that one turn may take.
    #[arg(long, value_name = "N")]
    pub(crate) max_steps: Option<u64>,
    #[command(flatten)]
    pub(crate) budgets: BudgetArgs,
    /// How much to ask.
    #[arg(long, value_name = "WORD")]
    pub(crate) approve: Option<ApproveWord>,
}

/// What a turn and a session may spend. Reaching one ends the turn with exit code 4, and it can be raised to go on.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Budgets")]
pub(crate) struct BudgetArgs {
    /// Tokens that one turn may take, requests and responses together.
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u64>,
    /// What one turn may cost in US dollars, as far as the model's prices are known.
    #[arg(long, value_name = "USD")]
    pub(crate) max_cost: Option<f64>,
    /// Seconds that the model and the tools may work in one turn; waiting for you is not counted.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) max_work: Option<u64>,
    /// Tool calls of one turn.
    #[arg(long, value_name = "N")]
    pub(crate) max_calls: Option<u64>,
    /// Fuel that components may burn in one turn.
    #[arg(long, value_name = "N")]
    pub(crate) max_fuel: Option<u64>,
    /// The same for the session, all its turns together. A session keeps its budget until it is set anew.
    #[arg(long, value_name = "N")]
    pub(crate) budget_tokens: Option<u64>,
    /// What the session may cost in US dollars.
    #[arg(long, value_name = "USD")]
    pub(crate) budget_cost: Option<f64>,
    /// Seconds of work for the session.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) budget_work: Option<u64>,
    /// Tool calls of the session.
    #[arg(long, value_name = "N")]
    pub(crate) budget_calls: Option<u64>,
    /// Fuel for the session.
    #[arg(long, value_name = "N")]
    pub(crate) budget_fuel: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SelectionArgs {
    /// Only this call (an id or the unique beginning of one) and those that it needed.
    #[arg(long, value_name = "ID", conflicts_with = "turn")]
    pub(crate) call: Option<String>,
    /// Only the calls of this turn, from 1.
    #[arg(long, value_name = "N")]
    pub(crate) turn: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// List sessions, the latest first.
    List {
        /// Only those of this folder.
        #[arg(long, short = 'w', value_name = "DIR", value_hint = ValueHint::DirPath)]
        workspace: Option<PathBuf>,
        /// Only those whose title or id has this text, or in which a person or the model said words that begin so.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        /// Leave out so many first.
        #[arg(long, value_name = "N", default_value_t = 0)]
        skip: usize,
        /// Only those that were put away.
        #[arg(long)]
        archived: bool,
        /// Also those that were put away.
        #[arg(long, conflicts_with = "archived")]
        all: bool,
        /// Only those that are doing this.
        #[arg(long, value_name = "WORD")]
        status: Option<StatusWord>,
        /// Only those after this one in the list: ID, or ID@UPDATED with the time in its row, for the place that it had
        /// then.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show one session: what it is doing, what it waits for, and its conversation.
    Show {
        /// The session.
        id: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Print a session's events.
    Events {
        /// The session.
        id: String,
        /// Begin with this event.
        #[arg(long, value_name = "N", default_value_t = 1)]
        from: u64,
        /// Go on printing as events come, until interrupted.
        #[arg(long, short = 'f')]
        follow: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show what a session changed, or one of its turns or calls.
    Diff {
        /// The session.
        id: String,
        #[command(flatten)]
        which: SelectionArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Take back what a session changed, or one of its turns or calls. Refused where a file was changed since.
    Undo {
        /// The session.
        id: String,
        #[command(flatten)]
        which: SelectionArgs,
        /// Only show what would be put in place.
        #[arg(long)]
        dry_run: bool,
        /// Do not ask.
        #[arg(long, short = 'y')]
        yes: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show what a session may spend and has spent, or set it: sessions budget ID tokens=200000 cost=none.
    Budget {
        /// The session.
        id: String,
        /// tokens, cost (US dollars), work (seconds), fuel, calls or steps, each with a number, or none for no limit.
        #[arg(value_name = "NAME=VALUE")]
        changes: Vec<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Give a session another title.
    Rename {
        /// The session.
        id: String,
        /// The title.
        title: String,
    },
    /// Delete sessions for good.
    Delete {
        /// The sessions, by their whole ids.
        #[arg(required = true)]
        ids: Vec<String>,
        /// Do not ask.
        #[arg(long, short = 'y')]
        yes: bool,
    },
    /// Write a session's whole log as JSON lines, exact enough to verify its chain elsewhere.
    Export {
        /// The session.
        id: String,
        /// Where to; standard output if not given.
        #[arg(long, short = 'o', value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: Option<PathBuf>,
        /// The same as `--out`.
        #[arg(conflicts_with = "out", value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
    #[command(flatten)]
    Operation(SessionOperation),
}

/// What a session is doing.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum StatusWord {
    /// Waiting for a prompt.
    Idle,
    /// A turn is under way.
    Running,
    /// A turn waits for an answer.
    NeedsAnswer,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The folder whose configuration is looked at.
    #[arg(long, short = 'w', value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) workspace: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show each value with where it came from.
    Show {
        /// The folder whose configuration is looked at.
        #[arg(long, short = 'w', value_name = "DIR", value_hint = ValueHint::DirPath)]
        workspace: Option<PathBuf>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Print the JSON Schema of configuration files.
    Schema,
    /// Trust a project's configuration and components as they are now; what changes later has to be trusted again.
    Trust {
        /// The project's folder.
        #[arg(long, short = 'w', value_name = "DIR", value_hint = ValueHint::DirPath)]
        workspace: Option<PathBuf>,
    },
    /// Take trust back.
    Untrust {
        /// The project's folder.
        #[arg(long, short = 'w', value_name = "DIR", value_hint = ValueHint::DirPath)]
        workspace: Option<PathBuf>,
    },
}
