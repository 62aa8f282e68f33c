//! What one process takes back is gone for the next call of a session that another one has open.
//!
//! Two stores over one folder stand for two processes: they share nothing but the files.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_core::event::{Answer, AnswerCoverage, Context, DEFAULT_AGENT, TurnLimits};
use harness_core::item::Item;
use harness_core::trust::TrustLevel;
use harness_core::{ApproveMode, Scope, TimeMs};
use harness_engine::{Host, NewSession, Ports, Session};
use harness_sim::clock::SimClock;
use harness_sim::fake_hands::{FakeHands, specs};
use harness_sim::files::{Files, MemoryFiles};
use harness_sim::ids::SeededIds;
use harness_sim::scripted_model::{Reply, ScriptedModel};
use harness_store::{SqliteStore, StoreOptions, this_process};
use std::path::Path;
use std::sync::Arc;

const EDIT: (&str, &str) = ("append_file", r#"{"path":"a.txt","content":"+"}"#);

/// A host of its own over the folder, with a session that edits once in every turn.
async fn session(dir: &Path, number: u64) -> Session {
    let store = Arc::new(SqliteStore::open(dir, StoreOptions::default()).unwrap());
    let files = Arc::new(MemoryFiles::default());
    files.write("a.txt", b"alpha");
    let model = ScriptedModel::by(|request| {
        let is_told = matches!(request.items.last().unwrap().as_ref(), Item::ToolResults { .. });
        Some(if is_told { Reply::text("done") } else { Reply::calls(&[EDIT]) })
    });
    let ports = Ports {
        log: Arc::clone(&store) as _,
        lease: Arc::clone(&store) as _,
        index: Arc::clone(&store) as _,
        blobs: Arc::clone(&store) as _,
        kv: Arc::clone(&store) as _,
        inbox: store,
        model: Arc::new(model),
        clock: Arc::new(SimClock::jumping(TimeMs(1_700_000_000_000))),
        ids: Arc::new(SeededIds::new(number)),
    };
    let context = Context {
        model: "scripted/model".parse().unwrap(),
        model_reason: "test".to_owned(),
        system: "You are tested.".to_owned(),
        tools: specs(),
        approve: ApproveMode::Ask,
        rules: Vec::new(),
        modes: Vec::new(),
        price: None,
        agent: DEFAULT_AGENT.to_owned(),
        trust: true,
    };
    let new = NewSession { workspace: "/work".to_owned(), title: None };
    let host = Host::new(ports, this_process(), "0.0.0-test").without_session_tools();
    host.create(new, context, Vec::new(), Arc::new(FakeHands::new(files))).await.unwrap()
}

/// One turn, every ask answered so; gives how many there were.
async fn turn(session: &Session, answer: Answer) -> usize {
    session.prompt("go on", TurnLimits::default()).await.unwrap();
    let mut asks = 0;
    loop {
        let state = session.snapshot().await.unwrap().state;
        if state.turn.is_none() {
            return asks;
        }
        if let Some(pending) = state.pending().first() {
            session.answer(pending.approval, pending.binds_to, answer.clone()).await.unwrap();
            asks += 1;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn allowances_and_trust_that_another_process_takes_back_are_gone_for_the_next_call() {
    let folder = tempfile::tempdir().unwrap();
    let ours = session(folder.path(), 1).await;
    let answer = Answer::Allow { coverage: AnswerCoverage::Tool, scope: Scope::Workspace, until: None };
    assert_eq!(turn(&ours, answer).await, 1);
    let theirs = session(folder.path(), 2).await;
    assert_eq!(turn(&theirs, Answer::Yes).await, 0);
    let allowed = ours.snapshot().await.unwrap().state.allowances[0].id();
    ours.forbid(allowed).await.unwrap();
    assert_eq!(turn(&theirs, Answer::Yes).await, 1, "the allowance");

    let state = theirs.snapshot().await.unwrap().state;
    let key = state.trust_key(state.tool(EDIT.0).unwrap(), None);
    theirs.set_trust(key, TrustLevel::Autonomous).await.unwrap();
    assert_eq!(turn(&theirs, Answer::Yes).await, 0);
    ours.reset_trust(None).await.unwrap();
    assert_eq!(turn(&theirs, Answer::Yes).await, 1, "trust");
}
