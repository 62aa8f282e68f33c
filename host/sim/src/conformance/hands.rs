//! What every hand must do, whatever it runs.
//!
//! Promise: each case gets a hand over a fresh workspace and panics where the port's promise is broken.
//! A hand whose changes are staged is held to what staging promises, one whose changes are found
//! afterwards to that.
//!
//! Not here: limits, isolation, crashes in the middle of a put.

use crate::files::Files;
use async_trait::async_trait;
use harness_core::change::{Change, FileState, Manifest};
use harness_core::event::{ApplyResult, Changes};
use harness_core::grant::{AccessKind, Capability};
use harness_core::item::Effects;
use harness_core::outcome::{FailureKind, Outcome};
use harness_core::{CallId, Digest, SessionId};
use harness_engine::ports::{Blob, Blobs, CallReport, CallRequest, Hands, StoreError};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a call that never ends is left alone before it is dropped, in milliseconds.
const LASTING_MS: u64 = 100;
/// After this time what a dropped call left behind would have shown itself, in milliseconds.
const AFTERMATH_MS: u64 = 1_500;

/// A call that a hand understands.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The tool.
    pub tool: String,
    /// Its arguments, JSON text.
    pub arguments: String,
}

impl Probe {
    /// A call of a tool.
    pub fn new(tool: &str, arguments: Value) -> Self {
        Self { tool: tool.to_owned(), arguments: arguments.to_string() }
    }
}

/// Makes a call about a path.
pub type Reading = Box<dyn Fn(&str) -> Probe + Send + Sync>;
/// Makes a call about a path and a content.
pub type Changing = Box<dyn Fn(&str, &str) -> Probe + Send + Sync>;

/// A hand under test over a fresh, empty workspace.
pub struct Subject {
    /// The hand.
    pub hands: Arc<dyn Hands>,
    /// Its workspace.
    pub files: Arc<dyn Files>,
    /// A call whose outcome's text is the content of the file.
    pub reading: Reading,
    /// A call after which the file has the content; folders on the way come into being.
    pub changing: Changing,
    /// A call that changes the file and then does not end for 30 seconds; half-way, after a second,
    /// it may write a file of the same name with `.late` at its end. None if the hand has no such tool.
    pub lasting: Option<Changing>,
    /// Another hand over the same workspace, as after a crash.
    pub reopen: Box<dyn Fn() -> Arc<dyn Hands> + Send + Sync>,
}

/// Runs every case. `open` makes a hand whose workspace is the folder, or nowhere.
pub async fn run_all(open: impl Fn(&Path) -> Subject) {
    let mut number = 0;
    let mut fresh = || {
        number += 1;
        let folder = tempfile::tempdir().expect("a temporary folder");
        (open(folder.path()), folder)
    };
    macro_rules! run {
        ($($case:ident),+) => { $({
            println!("case {}", stringify!($case));
            let (subject, _folder) = fresh();
            $case(&subject).await;
        })+ };
    }
    run!(
        tools_are_well_formed_and_stable,
        an_unknown_tool_is_an_outcome,
        wrong_arguments_are_an_outcome,
        reading_changes_nothing,
        a_file_that_is_not_there_is_an_outcome,
        what_is_reported_is_what_changed,
        staged_changes_are_nowhere_before_they_are_put,
        putting_twice_is_putting_once,
        a_conflict_puts_nothing_in_place,
        missing_contents_put_nothing_in_place,
        another_hand_finishes_what_one_began,
        a_dropped_call_leaves_nothing_behind
    );
}

/// The contents of reports, as a store would keep them.
#[derive(Default)]
struct Kept(BTreeMap<Digest, Arc<[u8]>>);

impl Kept {
    fn of<'a>(reports: impl IntoIterator<Item = &'a CallReport>) -> Self {
        let blobs = reports.into_iter().flat_map(|report| &report.contents);
        Self(blobs.map(|blob: &Blob| (blob.digest, Arc::clone(&blob.bytes))).collect())
    }
}

#[async_trait]
impl Blobs for Kept {
    async fn get(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        Ok(self.0.get(&digest).cloned())
    }
}

fn request(number: u128, probe: Probe) -> CallRequest {
    let (session, call) = (SessionId::from_bits(1), CallId::from_bits(number));
    let granted = vec![Capability::Filesystem { access: AccessKind::Write, path: "/workspace".to_owned() }];
    CallRequest { granted, ..CallRequest::new(session, call, probe.tool, probe.arguments) }
}

impl Subject {
    async fn change(&self, number: u128, path: &str, content: &str) -> CallReport {
        let report = self.hands.execute(request(number, (self.changing)(path, content))).await;
        assert!(report.outcome.is_success(), "{:?}", report.outcome);
        report
    }

    fn effects_of(&self, probe: &Probe) -> Effects {
        let tools = self.hands.tools();
        tools.iter().find(|tool| tool.name == probe.tool).map(|tool| tool.effects).expect("the tool is listed")
    }

    fn is_staged(&self) -> bool {
        self.effects_of(&(self.changing)("a", "b")) == Effects::Staged
    }
}

fn manifest(report: &CallReport) -> Manifest {
    match &report.changes {
        Changes::None => Manifest::default(),
        Changes::Staged { manifest } | Changes::Observed { manifest } => manifest.clone(),
    }
}

/// The files that a manifest leaves, starting from others.
fn applied(mut files: BTreeMap<String, Vec<u8>>, manifest: &Manifest, kept: &Kept) -> BTreeMap<String, Vec<u8>> {
    for Change { path, after, .. } in manifest.entries() {
        match after {
            None => drop(files.remove(path)),
            Some(FileState::Directory) => {}
            Some(FileState::File { digest, bytes, .. }) => {
                let content = kept.0.get(digest).expect("the report carries what its manifest names");
                assert_eq!((Digest::of(content), content.len() as u64), (*digest, *bytes));
                files.insert(path.clone(), content.to_vec());
            }
        }
    }
    files
}

async fn tools_are_well_formed_and_stable(subject: &Subject) {
    let tools = subject.hands.tools();
    assert_eq!(tools, subject.hands.tools(), "the same tools in the same order");
    let names: BTreeSet<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names.len(), tools.len(), "each name once");
    for tool in &tools {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        assert!((1..=64).contains(&tool.name.len()) && tool.name.chars().all(fits), "{}", tool.name);
        assert_eq!(tool.parameters["type"], "object", "{}", tool.name);
        assert!(!tool.description.is_empty() && !tool.implementation.is_empty(), "{}", tool.name);
    }
    assert!(names.contains((subject.reading)("a").tool.as_str()));
    assert!(names.contains((subject.changing)("a", "b").tool.as_str()));
}

async fn an_unknown_tool_is_an_outcome(subject: &Subject) {
    let report = subject.hands.execute(request(1, Probe::new("no_such_tool", Value::Null))).await;
    assert!(matches!(&report.outcome, Outcome::Failed { kind: FailureKind::UnknownTool, .. }), "{:?}", report.outcome);
    assert!(manifest(&report).is_empty());
}

async fn wrong_arguments_are_an_outcome(subject: &Subject) {
    let before = subject.files.all();
    for tool in subject.hands.tools() {
        for arguments in ["null", "[]", "\"x\"", "7", r#"{"path":1,"command":[],"content":{}}"#, "not json", "", "{"] {
            let probe = Probe { tool: tool.name.clone(), arguments: arguments.to_owned() };
            let report = subject.hands.execute(request(1, probe)).await;
            assert!(!report.outcome.is_success(), "{} took {arguments}: {:?}", tool.name, report.outcome);
        }
    }
    assert_eq!(subject.files.all(), before);
}

async fn reading_changes_nothing(subject: &Subject) {
    subject.files.write("folder/a.txt", "grüße\n".as_bytes());
    let before = subject.files.all();
    let report = subject.hands.execute(request(1, (subject.reading)("folder/a.txt"))).await;
    assert!(report.outcome.is_success(), "{:?}", report.outcome);
    assert!(report.outcome.model_text(&[]).contains("grüße"), "{:?}", report.outcome);
    assert!(manifest(&report).is_empty(), "{:?}", report.changes);
    assert_eq!(subject.files.all(), before);
}

async fn a_file_that_is_not_there_is_an_outcome(subject: &Subject) {
    let report = subject.hands.execute(request(1, (subject.reading)("missing.txt"))).await;
    assert!(!report.outcome.is_success(), "{:?}", report.outcome);
    assert!(!report.outcome.model_text(&[]).is_empty());
}

async fn what_is_reported_is_what_changed(subject: &Subject) {
    subject.files.write("a.txt", b"before");
    subject.files.write("b.txt", b"untouched");
    for (number, path) in [(1, "a.txt"), (2, "new/folder/c.txt")] {
        let before = subject.files.all();
        let report = subject.change(number, path, "after").await;
        let manifest = manifest(&report);
        let change = manifest.entries().iter().find(|change| change.path == path).expect("the path is named");
        let was = before.get(path).map(|content| Digest::of(content));
        assert_eq!(change.before.as_ref().and_then(FileState::content).map(|(digest, _)| digest), was);
        let files = manifest.entries().iter().filter(|change| change.after != Some(FileState::Directory));
        assert_eq!(files.count(), 1, "nothing else is named: {manifest:?}");
        let kept = Kept::of([&report]);
        assert!(was.is_none_or(|was| kept.0.contains_key(&was)), "what was there before is kept, for undoing");
        let after = applied(before.clone(), &manifest, &kept);
        assert_eq!(after.get(path).map(Vec::as_slice), Some(b"after".as_slice()));
        if subject.is_staged() {
            assert!(matches!(report.changes, Changes::Staged { .. }));
            assert_eq!(subject.files.all(), before, "nothing is in place yet");
            let result = subject.hands.put(CallId::from_bits(number), &manifest, &kept).await;
            assert_eq!(result, ApplyResult::Applied);
        } else {
            assert!(matches!(report.changes, Changes::Observed { .. }));
        }
        assert_eq!(subject.files.all(), after, "what was reported is what changed");
    }
}

async fn staged_changes_are_nowhere_before_they_are_put(subject: &Subject) {
    if !subject.is_staged() {
        return;
    }
    subject.files.write("a.txt", b"before");
    subject.change(1, "a.txt", "never put").await;
    let report = subject.hands.execute(request(2, (subject.reading)("a.txt"))).await;
    let text = report.outcome.model_text(&[]);
    assert!(text.contains("before") && !text.contains("never put"), "another call does not see it either: {text}");
    assert_eq!(subject.files.read("a.txt").as_deref(), Some(b"before".as_slice()));
}

async fn putting_twice_is_putting_once(subject: &Subject) {
    if !subject.is_staged() {
        return;
    }
    subject.files.write("a.txt", b"before");
    let report = subject.change(1, "a.txt", "after").await;
    let (manifest, kept) = (manifest(&report), Kept::of([&report]));
    for _ in 0..2 {
        assert_eq!(subject.hands.put(CallId::from_bits(1), &manifest, &kept).await, ApplyResult::Applied);
        assert_eq!(subject.files.all(), BTreeMap::from([("a.txt".to_owned(), b"after".to_vec())]));
    }
}

/// Two calls' changes as one manifest, with what both need.
async fn two_changes(subject: &Subject) -> (Manifest, Kept) {
    let one = subject.change(1, "a.txt", "after a").await;
    let two = subject.change(2, "b.txt", "after b").await;
    let entries = [&one, &two].into_iter().flat_map(|report| manifest(report).entries().to_vec());
    (Manifest::new(entries.collect()), Kept::of([&one, &two]))
}

async fn a_conflict_puts_nothing_in_place(subject: &Subject) {
    if !subject.is_staged() {
        return;
    }
    subject.files.write("a.txt", b"before a");
    subject.files.write("b.txt", b"before b");
    let (both, kept) = two_changes(subject).await;
    let interferences: [&dyn Fn(); 2] =
        [&|| subject.files.write("b.txt", b"somebody else's"), &|| subject.files.remove("b.txt")];
    for interfere in interferences {
        interfere();
        let before = subject.files.all();
        let result = subject.hands.put(CallId::from_bits(1), &both, &kept).await;
        assert_eq!(result, ApplyResult::Conflict { paths: vec!["b.txt".to_owned()] });
        assert_eq!(subject.files.all(), before, "all or none");
    }
    let new = subject.change(3, "new.txt", "ours").await;
    subject.files.write("new.txt", b"somebody else's");
    let result = subject.hands.put(CallId::from_bits(3), &manifest(&new), &Kept::of([&new])).await;
    assert_eq!(result, ApplyResult::Conflict { paths: vec!["new.txt".to_owned()] });
    assert_eq!(subject.files.read("new.txt").as_deref(), Some(b"somebody else's".as_slice()));
}

async fn missing_contents_put_nothing_in_place(subject: &Subject) {
    if !subject.is_staged() {
        return;
    }
    subject.files.write("a.txt", b"before a");
    subject.files.write("b.txt", b"before b");
    let before = subject.files.all();
    let (both, mut kept) = two_changes(subject).await;
    kept.0.remove(&Digest::of(b"after b"));
    let result = (subject.reopen)().put(CallId::from_bits(1), &both, &kept).await;
    assert!(matches!(result, ApplyResult::Failed { .. }), "{result:?}");
    assert_eq!(subject.files.all(), before, "all or none");
}

async fn another_hand_finishes_what_one_began(subject: &Subject) {
    if !subject.is_staged() {
        return;
    }
    subject.files.write("a.txt", b"before a");
    subject.files.write("b.txt", b"before b");
    let (both, kept) = two_changes(subject).await;
    // As a crash between the two would leave it.
    subject.files.write("a.txt", b"after a");
    let result = (subject.reopen)().put(CallId::from_bits(1), &both, &kept).await;
    assert_eq!(result, ApplyResult::Applied);
    let expected = [("a.txt", b"after a"), ("b.txt", b"after b")];
    assert_eq!(subject.files.all(), expected.map(|(path, content)| (path.to_owned(), content.to_vec())).into());
}

async fn a_dropped_call_leaves_nothing_behind(subject: &Subject) {
    let Some(lasting) = &subject.lasting else { return };
    subject.files.write("a.txt", b"before");
    let probe = lasting("a.txt", "after");
    let is_staged = subject.effects_of(&probe) == Effects::Staged;
    let running = subject.hands.execute(request(1, probe));
    let begun = async {
        tokio::time::sleep(Duration::from_millis(LASTING_MS)).await;
        // A process is stopped once it has begun, or the case would prove nothing.
        while !is_staged && subject.files.read("a.txt").as_deref() == Some(b"before") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        report = running => panic!("it was not to end: {:?}", report.outcome),
        () = begun => {}
    }
    if is_staged {
        assert_eq!(subject.files.read("a.txt").as_deref(), Some(b"before".as_slice()));
        return;
    }
    tokio::time::sleep(Duration::from_millis(AFTERMATH_MS)).await;
    assert_eq!(subject.files.read("a.txt.late"), None, "a process of the call still runs");
}
