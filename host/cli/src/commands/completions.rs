//! `harness-host completions`: a script for a shell.

use super::print_text;
use crate::args::Cli;
use crate::exit::Exit;
use crate::failure::Failure;
use clap::CommandFactory;
use clap_complete::Shell;

/// The program, as its script is registered.
const PROGRAM: &str = "harness-host";

/// Runs the command.
pub(crate) fn run(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), PROGRAM, &mut script);
    let script = String::from_utf8(script).map_err(|error| Failure::because("writing the script", &error))?;
    print_text(reachable(shell, &script).trim_end())
}

/// clap_complete 4.6 writes a dash of the program's name in two ways into its script for bash, so that the
/// branches of subcommands are never reached: here both are written in one way.
fn reachable(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => {
            let (set, matched) = (PROGRAM.replace('-', "__"), PROGRAM.replace('-', "__subcmd__"));
            script.replace(&matched, &set)
        }
        _ => script.to_owned(),
    }
}
