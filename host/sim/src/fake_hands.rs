//! Hands over files in memory: staged edits, direct commands, conflicts, and gates in between.
//!
//! Promise: passes the same conformance cases as real hands; nothing happens that a test did not ask
//! for, in the order it asked for; every execution and every put is recorded.

use crate::files::{Files, MemoryFiles};
use crate::gate::Gate;
use async_trait::async_trait;
use harness_core::change::{Change, FileState, Manifest};
use harness_core::event::{ApplyResult, Changes};
use harness_core::item::{Category, Effects, ToolSpec};
use harness_core::outcome::{CallUsage, FailureKind, Outcome};
use harness_core::{CallId, CallRecord, Digest};
use harness_engine::ports::{Blob, Blobs, CallReport, CallRequest, Hands};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The tools:
///
/// | name | arguments | what it does |
/// |---|---|---|
/// | `read_file` | `path` | returns the content |
/// | `write_file` | `path`, `content` | stages the content |
/// | `append_file` | `path`, `content` | stages what is there with the content after it |
/// | `delete_file` | `path` | stages its absence |
/// | `run_command` | `path`, `content` | appends at once, as a process would |
pub struct FakeHands {
    files: Arc<MemoryFiles>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    executed: Vec<(CallId, String)>,
    put: Vec<CallId>,
    call_gates: BTreeMap<String, Gate>,
    put_gate: Option<Gate>,
}

impl FakeHands {
    /// Hands over a workspace.
    pub fn new(files: Arc<MemoryFiles>) -> Self {
        Self { files, seen: Mutex::default() }
    }

    /// From now on calls of this tool that succeed have done their work and then wait at the gate.
    pub fn hold(&self, tool: &str, gate: &Gate) {
        self.seen().call_gates.insert(tool.to_owned(), gate.clone());
    }

    /// From now on puts wait at the gate before they begin.
    pub fn hold_puts(&self, gate: &Gate) {
        self.seen().put_gate = Some(gate.clone());
    }

    /// The calls that were begun, in order, with their tools.
    pub fn executed(&self) -> Vec<(CallId, String)> {
        self.seen().executed.clone()
    }

    /// The calls whose changes were put in place, in order.
    pub fn put_calls(&self) -> Vec<CallId> {
        self.seen().put.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, tool: &str, arguments: &str) -> CallReport {
        if !specs().iter().any(|spec| spec.name == tool) {
            let message = format!("there is no tool `{tool}`");
            return CallReport::of(Outcome::failed(FailureKind::UnknownTool, "unknown-tool", message));
        }
        let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
        let text = |name: &str| arguments[name].as_str();
        let (path, content) = (text("path"), text("content"));
        match (tool, path, content) {
            ("read_file", Some(path), _) => self.read(path),
            ("write_file", Some(path), Some(content)) => self.stage(path, Some(content.as_bytes().to_vec())),
            ("append_file", Some(path), Some(content)) => {
                let mut whole = self.files.read(path).unwrap_or_default();
                whole.extend_from_slice(content.as_bytes());
                self.stage(path, Some(whole))
            }
            ("delete_file", Some(path), _) => self.stage(path, None),
            ("run_command", Some(path), Some(content)) => self.append_now(path, content),
            _ => CallReport::of(Outcome::failed(FailureKind::InvalidArguments, "arguments", "arguments are missing")),
        }
    }

    fn read(&self, path: &str) -> CallReport {
        CallReport::of(match self.files.read(path) {
            Some(content) => Outcome::text(String::from_utf8_lossy(&content)),
            None => Outcome::failed(FailureKind::NotFound, "not-found", format!("there is no file {path}")),
        })
    }

    fn stage(&self, path: &str, after: Option<Vec<u8>>) -> CallReport {
        let (manifest, contents) = changed(path, self.files.read(path), after);
        let changes = Changes::Staged { manifest };
        CallReport {
            outcome: Outcome::text("staged"),
            changes,
            contents,
            usage: CallUsage::default(),
            record: CallRecord::default(),
        }
    }

    fn append_now(&self, path: &str, content: &str) -> CallReport {
        let before = self.files.read(path);
        let mut after = before.clone().unwrap_or_default();
        after.extend_from_slice(content.as_bytes());
        self.files.write(path, &after);
        let (manifest, contents) = changed(path, before, Some(after));
        let changes = Changes::Observed { manifest };
        CallReport {
            outcome: Outcome::text("ran"),
            changes,
            contents,
            usage: CallUsage::default(),
            record: CallRecord::default(),
        }
    }
}

fn state(content: &[u8]) -> FileState {
    FileState::File { digest: Digest::of(content), bytes: content.len() as u64, executable: false }
}

fn changed(path: &str, before: Option<Vec<u8>>, after: Option<Vec<u8>>) -> (Manifest, Vec<Blob>) {
    let side = |content: &Option<Vec<u8>>| content.as_deref().map(state);
    let change = Change { path: path.to_owned(), before: side(&before), after: side(&after) };
    (Manifest::new(vec![change]), [before, after].into_iter().flatten().map(Blob::new).collect())
}

/// The tools of every [`FakeHands`].
pub fn specs() -> Vec<ToolSpec> {
    let spec = |name: &str, fields: &[&str], category, effects| {
        let properties: serde_json::Map<String, Value> =
            fields.iter().map(|field| ((*field).to_owned(), json!({"type": "string"}))).collect();
        ToolSpec {
            name: name.to_owned(),
            description: format!("The tool {name}."),
            parameters: json!({"type": "object", "properties": properties, "required": fields}),
            category,
            effects,
            implementation: format!("fake:{name}"),
            component: String::new(),
        }
    };
    vec![
        spec("read_file", &["path"], Category::Read, Effects::Staged),
        spec("write_file", &["path", "content"], Category::Edit, Effects::Staged),
        spec("append_file", &["path", "content"], Category::Edit, Effects::Staged),
        spec("delete_file", &["path"], Category::Edit, Effects::Staged),
        spec("run_command", &["path", "content"], Category::Execute, Effects::Direct),
    ]
}

#[async_trait]
impl Hands for FakeHands {
    fn tools(&self) -> Vec<ToolSpec> {
        specs()
    }

    async fn execute(&self, call: CallRequest) -> CallReport {
        let gate = {
            let mut seen = self.seen();
            seen.executed.push((call.call, call.tool.clone()));
            seen.call_gates.get(&call.tool).cloned()
        };
        let report = self.run(&call.tool, &call.arguments);
        if let Some(gate) = gate.filter(|_| report.outcome.is_success()) {
            gate.pass().await;
        }
        report
    }

    async fn put(&self, call: CallId, manifest: &Manifest, contents: &dyn Blobs) -> ApplyResult {
        let gate = self.seen().put_gate.clone();
        if let Some(gate) = gate {
            gate.pass().await;
        }
        let mut after = Vec::new();
        for change in manifest.entries() {
            let content = match change.after.as_ref().map(FileState::content) {
                None => None,
                Some(None) => return ApplyResult::Failed { message: "there are no directories here".to_owned() },
                Some(Some((digest, _))) => match contents.get(digest).await {
                    Ok(Some(bytes)) => Some(bytes),
                    Ok(None) => return ApplyResult::Failed { message: format!("{digest} is not kept") },
                    Err(error) => return ApplyResult::Failed { message: error.to_string() },
                },
            };
            after.push(content);
        }
        let mut files = self.files.lock();
        // What is in place already, from before a crash, is no conflict.
        let differs = |change: &&Change| {
            let now = files.get(&change.path).map(|content| state(content));
            now != change.before && now != change.after
        };
        let paths: Vec<String> = manifest.entries().iter().filter(differs).map(|change| change.path.clone()).collect();
        if !paths.is_empty() {
            return ApplyResult::Conflict { paths };
        }
        for (change, content) in manifest.entries().iter().zip(after) {
            match content {
                Some(content) => files.insert(change.path.clone(), content.to_vec()),
                None => files.remove(&change.path),
            };
        }
        drop(files);
        self.seen().put.push(call);
        ApplyResult::Applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::hands::{Probe, Subject, run_all};

    fn arguments(path: &str, content: &str) -> String {
        json!({"path": path, "content": content}).to_string()
    }

    #[tokio::test]
    async fn keeps_the_promises_of_the_port_with_staged_changes() {
        run_all(|_| {
            let files = Arc::new(MemoryFiles::default());
            let hands = Arc::new(FakeHands::new(Arc::clone(&files)));
            hands.hold("append_file", &Gate::closed());
            let again = Arc::clone(&files);
            Subject {
                hands,
                files,
                reading: Box::new(|path| Probe::new("read_file", json!({"path": path}))),
                changing: Box::new(|path, content| Probe::new("write_file", json!({"path": path, "content": content}))),
                lasting: Some(Box::new(|path, content| Probe {
                    tool: "append_file".to_owned(),
                    arguments: arguments(path, content),
                })),
                reopen: Box::new(move || Arc::new(FakeHands::new(Arc::clone(&again)))),
            }
        })
        .await;
    }
}
