//! A hand that runs commands as native processes: what the port looks like for something outside the
//! sandbox.
//!
//! Promise: a command's whole process group ends when the call does, however it ends; what changed in
//! the workspace is found by comparing before and after, and reported as observed.
//!
//! Not here: isolation. Commands may do whatever the user may; only tests use this hand.

use async_trait::async_trait;
use harness_core::change::{Change, FileState, Manifest};
use harness_core::event::{ApplyResult, Changes};
use harness_core::item::{Category, Effects, ToolSpec};
use harness_core::outcome::{CallUsage, FailureKind, LimitName, Outcome};
use harness_core::{CallId, CallRecord, Digest};
use harness_engine::ports::{Blob, Blobs, CallReport, CallRequest, Hands};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// The only tool.
pub const TOOL: &str = "run";
/// Output of one command, standard output and error each, in bytes.
const OUTPUT_BYTES_MAX: u64 = 256 << 10;
/// Files of a workspace that are compared, in bytes together.
const SNAPSHOT_BYTES_MAX: u64 = 64 << 20;
/// Files and folders of a workspace that are compared.
const SNAPSHOT_ENTRIES_MAX: usize = 20_000;

/// Runs commands in a folder.
pub struct NativeHand {
    workspace: PathBuf,
    deadline_ms: u64,
}

impl NativeHand {
    /// Runs commands in `workspace`, each for at most `deadline_ms`.
    pub fn new(workspace: &Path, deadline_ms: u64) -> Self {
        Self { workspace: workspace.to_owned(), deadline_ms }
    }

    async fn run(&self, command: &str) -> CallReport {
        let started = Instant::now();
        let before = match snapshot(&self.workspace).await {
            Ok(before) => before,
            Err(outcome) => return CallReport::of(outcome),
        };
        let outcome = self.process(command).await;
        let after = match snapshot(&self.workspace).await {
            Ok(after) => after,
            // It ran, and what it did cannot be said.
            Err(_) => return CallReport::of(Outcome::InDoubt),
        };
        let (manifest, contents) = compare(&before, &after);
        let time_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let usage = CallUsage { time_us, ..CallUsage::default() };
        CallReport { outcome, changes: Changes::Observed { manifest }, contents, usage, record: CallRecord::default() }
    }

    async fn process(&self, command: &str) -> Outcome {
        let mut process = Command::new("sh");
        process.arg("-c").arg(command).current_dir(&self.workspace).process_group(0).kill_on_drop(true);
        process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match process.spawn() {
            Ok(child) => child,
            Err(error) => return Outcome::Faulted { what: format!("could not start a shell: {error}") },
        };
        // Dropped when this future is: also what the command left behind is stopped.
        let _group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let ended = async { tokio::join!(read(stdout), read(stderr), child.wait()) };
        match tokio::time::timeout(Duration::from_millis(self.deadline_ms), ended).await {
            Err(_) => Outcome::OverLimit { limit: LimitName::DeadlineMs, maximum: self.deadline_ms },
            Ok((Some(stdout), Some(stderr), Ok(status))) => outcome_of(status, &stdout, &stderr),
            Ok((_, _, Err(error))) => Outcome::Faulted { what: format!("the command was lost: {error}") },
            Ok(_) => Outcome::OverLimit { limit: LimitName::OutputBytes, maximum: OUTPUT_BYTES_MAX },
        }
    }
}

fn outcome_of(status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> Outcome {
    let text = format!("{}{}", String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr));
    match status.code() {
        Some(0) => Outcome::text(text),
        Some(code) => Outcome::failed(FailureKind::Failed, &format!("exit-{code}"), text),
        None => Outcome::failed(FailureKind::Failed, "signal", text),
    }
}

/// Ends a process group.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // A group that has ended is what is wanted.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// All of a stream; none if it is longer than it may be. Then the rest is read too, so that the
/// command does not stop at a full pipe.
async fn read(stream: Option<impl AsyncRead + Unpin>) -> Option<Vec<u8>> {
    let mut stream = stream?;
    let mut bytes = Vec::new();
    (&mut stream).take(OUTPUT_BYTES_MAX + 1).read_to_end(&mut bytes).await.ok()?;
    if bytes.len() as u64 <= OUTPUT_BYTES_MAX {
        return Some(bytes);
    }
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.ok()?;
    None
}

struct Entry {
    state: FileState,
    content: Arc<[u8]>,
}

type Snapshot = BTreeMap<String, Entry>;

async fn snapshot(root: &Path) -> Result<Snapshot, Outcome> {
    let root = root.to_owned();
    let taken = tokio::task::spawn_blocking(move || take_snapshot(&root)).await;
    match taken {
        Ok(Ok(Some(snapshot))) => Ok(snapshot),
        Ok(Ok(None)) => Err(Outcome::OverLimit { limit: LimitName::HostBytes, maximum: SNAPSHOT_BYTES_MAX }),
        Ok(Err(error)) => Err(Outcome::Faulted { what: format!("the workspace could not be read: {error}") }),
        Err(_) => Err(Outcome::Faulted { what: "the workspace could not be read".to_owned() }),
    }
}

/// Every regular file and folder; none if there are too many. Links are left out.
fn take_snapshot(root: &Path) -> std::io::Result<Option<Snapshot>> {
    let mut snapshot = Snapshot::new();
    let mut left_bytes = SNAPSHOT_BYTES_MAX;
    let mut folders = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if snapshot.len() >= SNAPSHOT_ENTRIES_MAX {
                return Ok(None);
            }
            if kind.is_dir() {
                folders.push((entry.path(), format!("{name}/")));
                snapshot.insert(name, Entry { state: FileState::Directory, content: Arc::from([]) });
            } else if kind.is_file() {
                let metadata = entry.metadata()?;
                let Some(left) = left_bytes.checked_sub(metadata.len()) else { return Ok(None) };
                left_bytes = left;
                let content: Arc<[u8]> = std::fs::read(entry.path())?.into();
                let executable = metadata.permissions().mode() & 0o100 != 0;
                let state = FileState::File { digest: Digest::of(&content), bytes: content.len() as u64, executable };
                snapshot.insert(name, Entry { state, content });
            }
        }
    }
    Ok(Some(snapshot))
}

fn compare(before: &Snapshot, after: &Snapshot) -> (Manifest, Vec<Blob>) {
    let state = |snapshot: &Snapshot, path: &str| snapshot.get(path).map(|entry| entry.state.clone());
    let paths = before.keys().chain(after.keys());
    let change = |path: &String| Change { path: path.clone(), before: state(before, path), after: state(after, path) };
    let manifest = Manifest::new(paths.map(change).collect());
    let mut contents = BTreeMap::new();
    for change in manifest.entries() {
        for entry in [before, after].into_iter().filter_map(|snapshot| snapshot.get(&change.path)) {
            if let Some((digest, _)) = entry.state.content() {
                contents.insert(digest, Blob { digest, bytes: Arc::clone(&entry.content) });
            }
        }
    }
    (manifest, contents.into_values().collect())
}

#[async_trait]
impl Hands for NativeHand {
    fn tools(&self) -> Vec<ToolSpec> {
        vec![ToolSpec {
            name: TOOL.to_owned(),
            description: "Runs a shell command in the workspace.".to_owned(),
            parameters: json!({
                "type": "object",
                "properties": {"command": {"type": "string"}},
                "required": ["command"],
                "additionalProperties": false
            }),
            category: Category::Execute,
            effects: Effects::Direct,
            implementation: "native".to_owned(),
            component: String::new(),
        }]
    }

    async fn execute(&self, call: CallRequest) -> CallReport {
        if call.tool != TOOL {
            let message = format!("there is no tool `{}`; there is: {TOOL}", call.tool);
            return CallReport::of(Outcome::failed(FailureKind::UnknownTool, "unknown-tool", message));
        }
        let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
        match arguments["command"].as_str() {
            Some(command) => self.run(command).await,
            None => CallReport::of(Outcome::failed(
                FailureKind::InvalidArguments,
                "arguments",
                "`command` is missing: give the shell command as a string",
            )),
        }
    }

    async fn put(&self, _: CallId, manifest: &Manifest, _: &dyn Blobs) -> ApplyResult {
        if manifest.is_empty() {
            return ApplyResult::Applied;
        }
        ApplyResult::Failed { message: "this hand stages nothing".to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::hands::{Probe, Subject, run_all};
    use crate::files::FolderFiles;
    use harness_core::SessionId;

    /// Long enough for any command here on a busy machine, in milliseconds.
    const PATIENT_MS: u64 = 60_000;

    #[tokio::test]
    async fn keeps_the_promises_of_the_port() {
        run_all(|folder| {
            let workspace = folder.to_owned();
            let command = |text: String| Probe::new(TOOL, json!({"command": text}));
            Subject {
                hands: Arc::new(NativeHand::new(folder, PATIENT_MS)),
                files: Arc::new(FolderFiles::new(folder)),
                reading: Box::new(move |path| command(format!("cat '{path}'"))),
                changing: Box::new(move |path, content| {
                    command(format!("mkdir -p \"$(dirname '{path}')\" && printf %s '{content}' > '{path}'"))
                }),
                // The second writer is a grandchild: the whole group has to end.
                lasting: Some(Box::new(move |path, content| {
                    command(format!("printf %s '{content}' > '{path}'; (sleep 1; echo > '{path}.late') & sleep 30"))
                })),
                reopen: Box::new(move || Arc::new(NativeHand::new(&workspace, PATIENT_MS))),
            }
        })
        .await;
    }

    async fn run(folder: &Path, deadline_ms: u64, command: &str) -> CallReport {
        let hand = NativeHand::new(folder, deadline_ms);
        let arguments = json!({"command": command}).to_string();
        let (session, call) = (SessionId::from_bits(1), CallId::from_bits(1));
        hand.execute(CallRequest::new(session, call, TOOL, arguments)).await
    }

    #[tokio::test]
    async fn limits_end_a_command_and_its_changes_are_still_told() {
        let folder = tempfile::tempdir().unwrap();
        let report = run(folder.path(), 300, "echo x > a; sleep 30").await;
        assert_eq!(report.outcome, Outcome::OverLimit { limit: LimitName::DeadlineMs, maximum: 300 });
        let Changes::Observed { manifest } = report.changes else { panic!("it changed something") };
        assert_eq!(manifest.entries().iter().map(|change| change.path.as_str()).collect::<Vec<_>>(), ["a"]);

        let report = run(folder.path(), PATIENT_MS, "head -c 1000000 /dev/zero").await;
        assert_eq!(report.outcome, Outcome::OverLimit { limit: LimitName::OutputBytes, maximum: OUTPUT_BYTES_MAX });
    }

    #[tokio::test]
    async fn a_command_that_fails_says_how_and_what_it_did() {
        let folder = tempfile::tempdir().unwrap();
        let report = run(folder.path(), PATIENT_MS, "mkdir d; chmod +x . ; echo out; echo err >&2; exit 3").await;
        let Outcome::Failed { code, message, .. } = &report.outcome else { panic!("{:?}", report.outcome) };
        assert_eq!((code.as_str(), message.as_str()), ("exit-3", "out\nerr\n"));
        let Changes::Observed { manifest } = report.changes else { panic!("it changed something") };
        assert_eq!(manifest.entries()[0].after, Some(FileState::Directory));
    }
}
