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
use harness_core::outcome::{CallUsage, FailureKind, Outcome, Reply};
use harness_core::record::{KvSpace, KvWrite, RequestMade};
use harness_core::{CallId, CallRecord, Capability, Digest, Scope};
use harness_engine::ports::{Blob, Blobs, CallProgress, CallReport, CallRequest, Hands, Resume};
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
/// | `ask_person` | `path`, `question` | asks, then stages the answer as the content |
/// | `call_tool` | `tool`, `arguments` | needs that call, then returns what came of it |
/// | `note` | `key`, `value` | writes a value for all sessions; `value` is base64 as it is |
/// | `fetch` | `url` | makes a request, if it was granted |
///
/// The last four are of components of the same names.
pub struct FakeHands {
    files: Arc<MemoryFiles>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    executed: Vec<(CallId, String)>,
    requests: Vec<CallRequest>,
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

    /// What the calls that were begun were given, in order.
    pub fn requests(&self) -> Vec<CallRequest> {
        self.seen().requests.clone()
    }

    /// The calls whose changes were put in place, in order.
    pub fn put_calls(&self) -> Vec<CallId> {
        self.seen().put.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, call: &CallRequest) -> CallReport {
        let tool = call.tool.as_str();
        if !specs().iter().any(|spec| spec.name == tool) {
            let message = format!("there is no tool `{tool}`");
            return CallReport::of(Outcome::failed(FailureKind::UnknownTool, "unknown-tool", message));
        }
        let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
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
            _ => match (tool, [text("question"), text("tool"), text("key"), text("url")]) {
                ("ask_person", [Some(question), ..]) if path.is_some() => self.ask(call, path.unwrap_or(""), question),
                ("call_tool", [_, Some(other), ..]) if text("arguments").is_some() => {
                    call_other(call, other, text("arguments").unwrap_or(""))
                }
                ("note", [_, _, Some(key), _]) if text("value").is_some() => note(key, text("value").unwrap_or("")),
                ("fetch", [.., Some(url)]) => fetch(call, url),
                _ => {
                    let message = "arguments are missing";
                    CallReport::of(Outcome::failed(FailureKind::InvalidArguments, "arguments", message))
                }
            },
        }
    }

    fn ask(&self, call: &CallRequest, path: &str, question: &str) -> CallReport {
        match &call.resume {
            None => CallReport::of(Outcome::NeedsInput {
                question: question.to_owned(),
                choices: Vec::new(),
                state: format!("asked {question}"),
            }),
            Some(Resume { state, reply: Reply::Answer { text } }) if *state == format!("asked {question}") => {
                self.stage(path, Some(text.as_bytes().to_vec()))
            }
            Some(_) => CallReport::of(Outcome::failed(FailureKind::Failed, "unanswered", "nobody answered")),
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

fn call_other(call: &CallRequest, tool: &str, arguments: &str) -> CallReport {
    CallReport::of(match &call.resume {
        Some(Resume { reply: Reply::Outcome { text, is_error: false }, .. }) => {
            Outcome::text(format!("it said: {text}"))
        }
        Some(_) => Outcome::failed(FailureKind::Failed, "other", "the other tool did not do it"),
        None => {
            let (tool, arguments, state) = (tool.to_owned(), arguments.to_owned(), String::new());
            Outcome::NeedsCall { tool, arguments, state }
        }
    })
}

fn note(key: &str, value: &str) -> CallReport {
    let space = KvSpace { component: "note".to_owned(), scope: Scope::Global, owner: String::new() };
    let write = KvWrite { space, key: key.to_owned(), value: Some(value.to_owned()) };
    let record = CallRecord { kv: vec![write], ..CallRecord::default() };
    CallReport { record, ..CallReport::of(Outcome::text("noted")) }
}

fn fetch(call: &CallRequest, url: &str) -> CallReport {
    let Ok(needed) = format!("http GET {url}").parse::<Capability>() else {
        return CallReport::of(Outcome::failed(FailureKind::InvalidArguments, "url", "that is no address"));
    };
    if !call.granted.iter().any(|granted| granted.covers(&needed)) {
        let component = "fetch".to_owned();
        return CallReport::of(Outcome::NotGranted { component, capability: Box::new(needed) });
    }
    let made = RequestMade {
        method: "GET".to_owned(),
        url: url.to_owned(),
        address: None,
        status: Some(200),
        problem: None,
        request_bytes: 0,
        response_bytes: 4,
    };
    let record = CallRecord { requests: vec![made], ..CallRecord::default() };
    CallReport { record, ..CallReport::of(Outcome::text("page")) }
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
    let of_component = |spec: ToolSpec| ToolSpec { component: spec.name.clone(), ..spec };
    vec![
        spec("read_file", &["path"], Category::Read, Effects::Staged),
        spec("write_file", &["path", "content"], Category::Edit, Effects::Staged),
        spec("append_file", &["path", "content"], Category::Edit, Effects::Staged),
        spec("delete_file", &["path"], Category::Edit, Effects::Staged),
        spec("run_command", &["path", "content"], Category::Execute, Effects::Direct),
        of_component(spec("ask_person", &["path", "question"], Category::Edit, Effects::Staged)),
        of_component(spec("call_tool", &["tool", "arguments"], Category::Read, Effects::Staged)),
        of_component(spec("note", &["key", "value"], Category::Read, Effects::Staged)),
        of_component(spec("fetch", &["url"], Category::Network, Effects::Requesting)),
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
        self.seen().requests.push(call.clone());
        (call.progress).progress(CallProgress { words: format!("{} runs", call.tool), done_permille: None });
        let report = self.run(&call);
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
