//! The tool `shell`: a bash script over the session's folders.
//!
//! Promise: no process is started and no network reached: all commands are code in this component, and the folders
//! that the host lends are the only files. A script that ends with a status other than 0 is an outcome like any
//! other, not a failure of the tool. Memory, time and output have limits (`limits`); a script that one of them stops is
//! a failure `limit`, which shows what was printed until then, and none of its changes stay.
//!
//! The interpreter is the crate bashkit: bash's language and the usual commands in one library, made to run scripts of
//! models, with limits on everything and no processes, and it compiles to `wasm32-wasip2`. The alternatives fit less:
//! brush and yash are shells for a system with processes, where a command that is not built in is a program to start;
//! uutils has the commands, but as programs that own standard input, output and the directory of their process, and
//! neither awk, jq nor a shell; rust-bash is alike, with half the commands and fewer limits.
//! bashkit's own access to real files goes through threads, which WASI has not: `folder` takes its place. Its network,
//! Python, SQLite, git and ssh are not compiled in.

mod commands;
mod folder;
mod guarded;
mod limits;
mod noted;
mod session;
mod shown;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use tool_kit::{Failure, Reply, Workspace};

use session::{SCRATCH, Session, WORKSPACE};

tool_kit::export_tool!("shell", run);

/// The arguments.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    command: String,
    stdin: Option<String>,
    directory: Option<String>,
}

/// Runs the tool.
pub fn run(workspace: &Workspace, arguments: Arguments) -> Reply {
    let directory = workspace.resolve(arguments.directory.as_deref().unwrap_or("."))?;
    let metadata =
        fs::metadata(directory.full()).map_err(|error| Failure::io(workspace, "start in", &directory, &error))?;
    if !metadata.is_dir() {
        let message = format!("directory: {} is a file; give the folder to start in", directory.shown());
        return Err(Failure::invalid("not-a-directory", message));
    }
    let session = Session {
        workspace: workspace.root_path().full().to_owned(),
        // Only where the host lends folders does an absolute path mean one of them.
        scratch: Some(PathBuf::from(SCRATCH)).filter(|path| cfg!(target_family = "wasm") && path.is_dir()),
        directory: match directory.shown() {
            "." => WORKSPACE.to_owned(),
            below => format!("{WORKSPACE}/{below}"),
        },
        time: limits::TIME_MAX,
    };
    let ended = session.run(&arguments.command, arguments.stdin.as_deref().unwrap_or_default())?;
    let text = shown::shown(&ended);
    // Only a call that failed leaves no changes, so that half of a script's work is not mistaken for all of it.
    if ended.stopped.is_some() { Err(Failure::failed("limit", text, false)) } else { Ok(text) }
}
