//! Processes of this benchmark: the same binary in another role, so that memory and the server's work are
//! told apart.
//!
//! A child prints one line of JSON when it has something to say and ends when its standard input does.

use crate::model_server::ModelServer;
use crate::{beside, memory, others, sessions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

/// The first word of a child's command line.
pub(crate) const CHILD_WORD: &str = "--child";

/// What a child does.
pub(crate) fn child_main(words: &[String]) {
    let Some((role, words)) = words.split_first() else { panic!("a child has a role") };
    match role.as_str() {
        "model-server" => {
            say(&ModelServer::start().url());
            wait_for_end();
        }
        "sessions" => sessions::child(words),
        "memory" => memory::child(words),
        "live-guests" => beside::child(words),
        "json-rpc" => others::child(),
        other => panic!("no role is called {other}"),
    }
}

/// Says one thing to the parent.
pub(crate) fn say(value: &impl Serialize) {
    println!("{}", serde_json::to_string(value).unwrap());
    std::io::stdout().flush().unwrap();
}

fn wait_for_end() {
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
}

/// A child; it is ended when this is dropped.
pub(crate) struct Role {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Role {
    /// Starts this binary in a role.
    pub(crate) fn start(role: &str, words: &[String]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(CHILD_WORD)
            .arg(role)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    /// Tells it one thing, and hears what it says to that.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, value: &impl Serialize) -> T {
        let mut line = serde_json::to_string(value).unwrap();
        line.push('\n');
        self.child.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
        self.hear()
    }

    /// The next thing it says.
    pub(crate) fn hear<T: DeserializeOwned>(&mut self) -> T {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("a child said {line:?}: {error}"))
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Memory of this process, in MiB: resident now (`VmRSS`), of that not backed by a file (`RssAnon`), or at most so far
/// (`VmHWM`).
pub(crate) fn memory_mebibytes(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    let kibibytes: f64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap();
    kibibytes / 1024.0
}
