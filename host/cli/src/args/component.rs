//! The command line of `component`.

use super::OutputArgs;
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

/// A language that components are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// Rust, built with cargo for wasm32-wasip2.
    Rust,
    /// Python, built with componentize-py.
    Python,
    /// JavaScript, built with jco.
    Js,
    /// C, built with the WASI SDK.
    C,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ComponentCommand {
    /// Begin a component: a small project with one tool, one test and a README.
    New {
        /// Its name: a lower-case letter, then lower-case letters, digits and single dashes, such as word-count.
        name: String,
        /// The language.
        #[arg(long, value_name = "LANGUAGE")]
        lang: Language,
        /// The folder to make; NAME if not given. It must not exist, or be empty.
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
    /// Check whether a file is a component that this host can run, and what is missing if not.
    Check {
        /// The file.
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Put a manifest, or the tools, into a built component whose language's compiler cannot.
    Describe {
        /// The file; it is replaced whole.
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        #[command(flatten)]
        words: WordsArgs,
    },
    /// Show a component's tools and everything it could ever do, read from it before anything runs.
    Inspect {
        /// The file, or the name of an installed or built-in component.
        component: String,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        place: WorkspaceArg,
    },
    /// Run one tool of a component alone, without a session. Its changes are only shown.
    Call(CallArgs),
    /// Install a component: for you, or with --project for everybody who works in the folder.
    Add(AddArgs),
    /// Take an installed component out. What it kept stays, for when it comes back.
    Remove {
        /// Its name.
        name: String,
        #[command(flatten)]
        layer: LayerArgs,
    },
    /// List built-in and installed components with what each may do.
    List {
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        place: WorkspaceArg,
    },
    /// Keep a component at its digest: adding another one under its name is refused.
    Pin {
        /// Its name.
        name: String,
        /// The digest it has to have, if it is to be checked.
        digest: Option<String>,
        /// Let it go again.
        #[arg(long, conflicts_with = "digest")]
        off: bool,
        #[command(flatten)]
        layer: LayerArgs,
    },
    /// Let a component do something: component grant fetch 'http GET https://docs.rs'.
    Grant {
        /// Its name; built-in ones too.
        name: String,
        /// The capability.
        #[arg(value_name = "CAPABILITY")]
        capability: String,
        #[command(flatten)]
        layer: LayerArgs,
    },
    /// Take back what a component was allowed.
    Revoke {
        /// Its name.
        name: String,
        /// The capability, as `component list` shows it.
        #[arg(value_name = "CAPABILITY", required_unless_present = "all", conflicts_with = "all")]
        capability: Option<String>,
        /// Everything.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        layer: LayerArgs,
    },
}

/// What a component says of itself.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct WordsArgs {
    /// The most it asks for: a JSON file such as {"capabilities": ["http GET https://docs.rs"]}.
    #[arg(long, value_name = "JSON", value_hint = ValueHint::FilePath)]
    pub(crate) manifest: Option<PathBuf>,
    /// Its tools with their schemas: a JSON file, as `component new --lang rust` has one.
    #[arg(long, value_name = "JSON", value_hint = ValueHint::FilePath)]
    pub(crate) tools: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct WorkspaceArg {
    /// The folder whose components are looked at.
    #[arg(long, short = 'w', value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) workspace: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct LayerArgs {
    /// In the folder's own list, which its team shares, and not in yours.
    #[arg(long)]
    pub(crate) project: bool,
    /// The folder.
    #[arg(long, short = 'w', value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) workspace: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CallArgs {
    /// The file, or the name of an installed or built-in component.
    pub(crate) component: String,
    /// The tool.
    pub(crate) tool: String,
    /// Its arguments: a JSON object; `-` reads it from standard input.
    #[arg(value_name = "JSON", default_value = "{}")]
    pub(crate) arguments: String,
    /// Let it do this, beside what it was granted when it was installed. May be given several times.
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) grant: Vec<String>,
    /// Lend it this folder as /workspace, to read and to change as far as --grant does not say what it may do
    /// with files; else it gets an empty one.
    #[arg(long, short = 'w', value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) workspace: Option<PathBuf>,
    /// Put its changes in place.
    #[arg(long, requires = "workspace")]
    pub(crate) apply: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The component: a .wasm file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Its name; that of the file if not given.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Let it do this. May be given several times.
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) grant: Vec<String>,
    /// Let it do everything it asks for.
    #[arg(long, conflicts_with = "grant")]
    pub(crate) grant_all: bool,
    /// Ask nothing: what --grant does not give is not given.
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) layer: LayerArgs,
}
