//! The binary `harness-host`: wiring and words for people.
//!
//! Promise: every command ends with a documented exit code; what failed is told with its causes on
//! standard error.
//!
//! Not here: decisions. If logic appears in this crate, it belongs further in.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod args;
mod budget_words;
mod builtin;
mod capability_words;
mod commands;
mod exit;
mod failure;
mod git;
mod grant_lists;
mod installed;
mod modes;
mod paint;
mod run;
mod secrets;
mod settings;
mod system_prompt;
mod wiring;

use args::{Cli, Command};
use clap::Parser;
use failure::Failure;
use std::io::Write;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Threads that run sessions; guests have their own.
const SESSION_THREADS: usize = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::CompileComponent { arguments } = cli.command {
        // It limits its whole process, which therefore does nothing else.
        return harness_wasm::compile::worker_main(arguments);
    }
    let filter = EnvFilter::try_from_env("HARNESS_HOST_LOG").unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(SESSION_THREADS).enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(dispatch(&cli));
            // A thread that waits for the terminal must not keep the process.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::because("starting", &error)),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "harness-host: {}", paint::lines(&failure.message));
            failure.exit.into()
        }
    }
}

async fn dispatch(cli: &Cli) -> Result<exit::Exit, Failure> {
    match &cli.command {
        Command::Run(args) => run::run(cli, args).await,
        Command::Sessions(command) => commands::sessions::run(cli, command).await,
        Command::Component(command) => commands::component::run(cli, command).await,
        Command::Trust(command) => commands::trust::run(cli, command).await,
        Command::Policy(command) => commands::policy::run(cli, command).await,
        Command::Doctor(args) => commands::doctor::run(cli, args).await,
        Command::Config(command) => commands::config::run(cli, command),
        Command::CompileComponent { .. } => Err(Failure::usage("this is for the program itself")),
        Command::Completions { shell } => commands::completions::run(*shell),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
