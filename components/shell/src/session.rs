//! One shell: made over the session's folders, it runs one script.
//!
//! Promise: `/workspace`, and `/scratch` where there is one, are the real folders; `/tmp` is memory and ends with the
//! call; nothing else exists besides `/dev`, and none of that can be written to. Whatever happens has an [`Ended`].
//! Not here: which commands there are (`commands`), how much they may use (`limits`).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bashkit::{Bash, Error, ExecOptions, FileSystem, InMemoryFs, PosixFs, ReadOnlyFs, StreamData};
use tool_kit::Failure;

use crate::commands;
use crate::folder::Folder;
use crate::guarded::{GUARDED, Guarded, Tee};
use crate::limits;
use crate::noted::words;

/// Where the workspace is in the shell's tree.
pub(crate) const WORKSPACE: &str = "/workspace";
/// Where the session's scratch folder is, where it has one.
pub(crate) const SCRATCH: &str = "/scratch";
const TMP: &str = "/tmp";
/// bash's status for a script that cannot be read (bash(1), EXIT STATUS).
const SYNTAX_STATUS: i32 = 2;

/// The folders that a shell works over.
pub(crate) struct Session {
    pub(crate) workspace: PathBuf,
    pub(crate) scratch: Option<PathBuf>,
    /// The directory to start in, as the shell names it.
    pub(crate) directory: String,
    /// How long a script may take.
    pub(crate) time: Duration,
}

/// How a script ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) status: i32,
    /// Whether output was dropped because there was more than is kept.
    pub(crate) dropped: bool,
    /// The limit that ended it before its own end.
    pub(crate) stopped: Option<String>,
}

/// Output as it comes: what there is to show of a script that a limit ended.
#[derive(Default)]
struct Shown {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Session {
    pub(crate) fn run(&self, script: &str, stdin: &str) -> Result<Ended, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| failed(&format!("cannot start the shell: {error}")))?;
        runtime.block_on(async {
            let mut bash = self.bash().await.map_err(|error| failed(&format!("cannot set up the shell: {error}")))?;
            Ok(execute(&mut bash, script, stdin).await)
        })
    }

    async fn bash(&self) -> bashkit::Result<Bash> {
        let root = InMemoryFs::with_limits(limits::folder());
        root.remove(Path::new("/home"), true).await?;
        let tmp = InMemoryFs::with_limits(limits::tmp());
        for entry in tmp.read_dir(Path::new("/")).await? {
            tmp.remove(&Path::new("/").join(entry.name), true).await?;
        }
        let mut shell = Bash::builder().builtin("tee", Box::new(Tee));
        for &(name, runs) in GUARDED {
            shell = shell.builtin(name, Box::new(Guarded { name, runs, time: self.time }));
        }
        let bash = shell
            .fs(Arc::new(ReadOnlyFs::new(Arc::new(root))))
            .rootfs(false)
            .builtin_filter(commands::offered)
            .limits(limits::execution(self.time))
            .memory_limits(limits::memory())
            .username("agent")
            .hostname("sandbox")
            .env("HOME", WORKSPACE)
            .env("TMPDIR", if self.scratch.is_some() { SCRATCH } else { TMP })
            .env("TZ", "UTC")
            .cwd(&self.directory)
            .build();
        bash.mount(TMP, Arc::new(tmp))?;
        bash.mount(WORKSPACE, Arc::new(PosixFs::new(Folder::new(&self.workspace))))?;
        if let Some(scratch) = &self.scratch {
            bash.mount(SCRATCH, Arc::new(PosixFs::new(Folder::new(scratch))))?;
        }
        Ok(bash)
    }
}

async fn execute(bash: &mut Bash, script: &str, stdin: &str) -> Ended {
    let shown = Arc::new(Mutex::new(Shown::default()));
    let sink = Arc::clone(&shown);
    let show = move |stdout: &StreamData, stderr: &StreamData| {
        let mut shown = sink.lock().unwrap_or_else(PoisonError::into_inner);
        shown.stdout.extend_from_slice(stdout.as_bytes());
        shown.stderr.extend_from_slice(stderr.as_bytes());
    };
    let options = ExecOptions::new().stdin(stdin.to_owned()).streaming(Box::new(show));
    match bash.exec_with_options(script, options).await {
        Ok(result) => Ended {
            stdout: text(result.stdout.as_bytes()),
            stderr: text(result.stderr.as_bytes()),
            status: result.exit_code,
            dropped: result.stdout_truncated || result.stderr_truncated,
            stopped: None,
        },
        Err(error) => {
            let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            let mut ended = Ended { stdout: text(&shown.stdout), stderr: text(&shown.stderr), ..Ended::default() };
            match (error.syntax_report("bash", script), error) {
                (Some(report), _) => {
                    ended.stderr.push_str(&report);
                    ended.status = SYNTAX_STATUS;
                }
                (None, Error::ResourceLimit(limit)) => ended.stopped = Some(limit.to_string()),
                (None, other) => {
                    ended.stderr.push_str(&format!("bash: {}\n", words(&other)));
                    ended.status = 1;
                }
            }
            ended
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn failed(message: &str) -> Failure {
    Failure::failed("shell", message, false)
}
