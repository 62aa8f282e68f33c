//! Commands of bashkit that would end the whole script when a file cannot be read or written, or would tell that in
//! words of their own, kept from doing so.
//!
//! Promise: what goes wrong with a file is `COMMAND: PATH: words` on standard error and a status, and the script goes
//! on. Only a crossed limit ends it.
//! Not here: the other commands, which tell such an error themselves (`tests/cases/unwritable.toml` tries them all).
//!
//! bashkit gives no way to reach one of its commands but a shell. So each of these runs in a shell of its own, over
//! the same files, whose errors are plain words (`noted`); a little is added to what they offer.

use std::sync::Arc;
use std::time::Duration;

use bashkit::{
    Bash, Builtin, BuiltinContext, Error, ExecOptions, ExecResult, Result, StreamData, async_trait, normalize_path,
};

use crate::commands;
use crate::limits;
use crate::noted::{Noted, other_name, words};

/// What bashkit puts before an error that is none of a file's.
const TYPE_NAME: &str = "execution error: ";

/// The commands that are kept so, and the first words of what runs in their place.
pub(crate) const GUARDED: &[(&str, &str)] = &[
    ("bunzip2", "bunzip2"),
    ("bzcat", "bzcat"),
    ("bzip2", "bzip2"),
    ("cksum", "cksum"),
    ("cp", "cp"),
    ("dd", "dd"),
    ("diff", "diff"),
    ("du", "du"),
    ("file", "file"),
    ("gunzip", "gunzip"),
    ("gzip", "gzip"),
    ("install", "install"),
    ("join", "join"),
    ("ln", "ln"),
    ("md5sum", "md5sum"),
    ("mv", "mv"),
    ("patch", "patch"),
    ("rev", "rev"),
    ("rmdir", "rmdir"),
    ("sha1sum", "sha1sum"),
    ("sha224sum", "sha224sum"),
    ("sha256sum", "sha256sum"),
    ("sha384sum", "sha384sum"),
    ("sha512sum", "sha512sum"),
    ("shasum", "shasum"),
    ("shuf", "shuf"),
    ("sort", "sort"),
    ("split", "split"),
    ("stat", "stat"),
    ("tac", "tac"),
    ("tar", "tar"),
    ("truncate", "truncate"),
    ("uniq", "uniq"),
    ("unlink", "unlink"),
    ("unzip", "unzip"),
    ("zcat", "gunzip -c"),
    ("zip", "zip"),
];

/// A command that runs in a shell of its own.
pub(crate) struct Guarded {
    pub(crate) name: &'static str,
    /// What runs, without arguments.
    pub(crate) runs: &'static str,
    /// How long it may take.
    pub(crate) time: Duration,
}

#[async_trait]
impl Builtin for Guarded {
    async fn execute(&self, ctx: BuiltinContext<'_>) -> Result<ExecResult> {
        if self.name == "diff" && ctx.args.iter().any(|arg| recursive(arg)) {
            let words = "diff: -r is not offered here; compare file by file, such as with find, cmp and a loop\n";
            return Ok(ExecResult::err(words, trouble(self.name)));
        }
        let files = Arc::new(Noted::new(Arc::clone(&ctx.fs)));
        let mut shell = Bash::builder()
            .fs(Arc::<Noted>::clone(&files))
            .rootfs(false)
            .follow_symlinks(false)
            .builtin_filter(commands::offered)
            .limits(limits::guarded(self.time))
            .memory_limits(limits::memory())
            .cwd(ctx.cwd.clone());
        for (name, value) in ctx.env {
            shell = shell.env(name, value);
        }
        let mut script = self.runs.to_owned();
        for arg in ctx.args {
            script.push_str(" '");
            script.push_str(&other_name(arg).replace('\'', r"'\''"));
            script.push('\'');
        }
        let mut options = ExecOptions::new();
        if let Some(stdin) = ctx.stdin {
            options = options.stdin(stdin.clone());
        }
        match shell.build().exec_with_options(&script, options).await {
            // Part of a file must not pass for all of it.
            Ok(ended) if ended.stdout_truncated => {
                let words = format!("{}: more output than a command here may have\n", self.name);
                Ok(ExecResult::err(words, trouble(self.name)))
            }
            Ok(ended) => Ok(ExecResult {
                stdout: ended.stdout,
                stderr: plain(ended.stderr),
                exit_code: ended.exit_code,
                stderr_truncated: ended.stderr_truncated,
                ..ExecResult::default()
            }),
            Err(limit @ (Error::ResourceLimit(_) | Error::Cancelled)) => Err(limit),
            Err(error) => Ok(ExecResult::err(files.told(self.name, &error), trouble(self.name))),
        }
    }
}

/// The status of `name` for trouble with a file, as GNU's has it: 1, but 2 of those that have another use for 1.
fn trouble(name: &str) -> i32 {
    if matches!(name, "diff" | "patch" | "tar") { 2 } else { 1 }
}

/// Standard error without the name that bashkit has for such an error.
fn plain(stderr: StreamData) -> StreamData {
    let text = stderr.text_lossy();
    if text.contains(TYPE_NAME) { text.replace(TYPE_NAME, "").into() } else { stderr }
}

/// Whether `arg` asks diff for folders.
fn recursive(arg: &str) -> bool {
    arg == "--recursive" || (arg.starts_with('-') && !arg.starts_with("--") && arg.contains('r'))
}

/// `tee`: unlike bashkit's, it goes on with the other files and keeps bytes as they are.
pub(crate) struct Tee;

#[async_trait]
impl Builtin for Tee {
    async fn execute(&self, ctx: BuiltinContext<'_>) -> Result<ExecResult> {
        let (mut append, mut options, mut files) = (false, true, Vec::new());
        for arg in ctx.args {
            match arg.as_str() {
                "--" if options => options = false,
                "-a" | "--append" | "-ai" | "-ia" if options => append = true,
                "-i" | "-p" | "--ignore-interrupts" if options => {}
                other if options && other.len() > 1 && other.starts_with('-') => {
                    let words = format!("tee: unrecognized option '{other}'\nusage: tee [-a] [FILE]...\n");
                    return Ok(ExecResult::err(words, 1));
                }
                file => files.push(file),
            }
        }
        let bytes = ctx.stdin.map(|stdin| stdin.as_bytes().to_vec()).unwrap_or_default();
        let mut stderr = String::new();
        for file in files {
            let path = normalize_path(&ctx.cwd.join(file));
            let written =
                if append { ctx.fs.append_file(&path, &bytes).await } else { ctx.fs.write_file(&path, &bytes).await };
            match written {
                Ok(()) => {}
                Err(limit @ (Error::ResourceLimit(_) | Error::Cancelled)) => return Err(limit),
                Err(error) => stderr.push_str(&format!("tee: {file}: {}\n", words(&error))),
            }
        }
        let exit_code = i32::from(!stderr.is_empty());
        Ok(ExecResult { stdout: bytes.into(), stderr: stderr.into(), exit_code, ..ExecResult::default() })
    }
}
