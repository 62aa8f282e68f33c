//! Looking at what calls changed, and taking it back.

use crate::watched_log::Fate;
use crate::world::{World, finish, prompt};
use harness_core::event::ApplyResult;
use harness_core::{ApproveMode, Digest, Refusal, SessionId};
use harness_engine::ports::{Blobs, Takeover};
use harness_engine::undo::net;
use harness_engine::{OpenError, Selection, UndoError, diff};
use harness_sim::files::Files;
use harness_sim::gate::Gate;
use harness_sim::scripted_model::{Reply, ScriptedModel};
use std::sync::Arc;

const NESTED: &str = r#"{"tool":"append_file","arguments":"{\"path\":\"a.txt\",\"content\":\"3\"}"}"#;

/// A session of two turns: the first changes `a.txt` twice and makes `c.txt`, the second deletes `b.txt`, asks
/// another tool to change `a.txt`, fetches and notes.
async fn two_turns() -> (World, SessionId) {
    let append = |content: &str| ("append_file", format!(r#"{{"path":"a.txt","content":"{content}"}}"#));
    let (one, two) = (append("1"), append("2"));
    let world = World::tape([
        Reply::calls(&[
            (one.0, &one.1),
            (two.0, &two.1),
            ("write_file", r#"{"path":"c.txt","content":"new"}"#),
            ("read_file", r#"{"path":"a.txt"}"#),
        ]),
        Reply::text("one"),
        Reply::calls(&[
            ("delete_file", r#"{"path":"b.txt"}"#),
            ("call_tool", NESTED),
            ("note", r#"{"key":"k","value":"eWVz"}"#),
            ("read_file", r#"{"path":"missing"}"#),
        ]),
        Reply::text("two"),
    ]);
    let session = world.create(ApproveMode::Edits).await;
    for _ in 0..2 {
        prompt(&session).await;
        finish(&session).await.unwrap();
    }
    let id = session.id();
    session.close().await;
    assert_eq!(world.files.all().len(), 2);
    assert_eq!(world.file("a.txt"), "alpha123");
    (world, id)
}

async fn undo(world: &World, id: SessionId, selection: Selection) -> Result<ApplyResult, UndoError> {
    let plan = world.host.plan_undo(id, selection).await?;
    world.host.undo(id, &plan, Arc::clone(&world.hands) as _, Takeover::IfGone).await
}

#[tokio::test]
async fn the_log_says_what_each_call_did() {
    let (world, id) = two_turns().await;
    let calls = world.host.changes(id).await.unwrap();
    let mut said: Vec<String> = calls
        .iter()
        .map(|call| {
            let paths: Vec<_> = call.changes.entries().iter().map(|change| change.path.as_str()).collect();
            let nested = if call.parent.is_some() { " nested" } else { "" };
            format!("{} {} {} {paths:?}{nested}", call.turn_number, call.tool, call.outcome)
        })
        .collect();
    // Calls that run at once end in any order; the one that is needed before the one that needs it.
    let ended = |tool: &str| calls.iter().rposition(|call| call.tool == tool);
    assert!(ended("append_file") < ended("call_tool"));
    said.sort();
    assert_eq!(
        said,
        [
            r#"1 append_file returned ["a.txt"]"#,
            r#"1 append_file returned ["a.txt"]"#,
            "1 read_file returned []",
            r#"1 write_file returned ["c.txt"]"#,
            r#"2 append_file returned ["a.txt"] nested"#,
            "2 call_tool returned []",
            r#"2 delete_file returned ["b.txt"]"#,
            "2 note returned []",
            "2 read_file failed []",
        ]
    );
    let all = net(&calls);
    assert_eq!(all.foreign, Vec::<String>::new());
    let shown = diff::unified(&all.manifest, &world.store).await.unwrap();
    assert!(shown.contains("-alpha\n") && shown.contains("+alpha123\n"), "{shown}");
    let first = net(calls.iter().filter(|call| call.turn_number == 1));
    assert_eq!(first.manifest.entries().len(), 2, "two calls of one path are one change");
}

#[tokio::test]
async fn a_call_is_taken_back_with_those_that_it_needed() {
    let (world, id) = two_turns().await;
    let calls = world.host.changes(id).await.unwrap();
    let needing = calls.iter().find(|call| call.tool == "call_tool").unwrap().call;
    assert_eq!(undo(&world, id, Selection::Call(needing)).await.unwrap(), ApplyResult::Applied);
    assert_eq!((world.file("a.txt"), world.file("b.txt")), ("alpha12".to_owned(), String::new()));
}

#[tokio::test]
async fn a_turn_a_call_and_a_session_are_taken_back() {
    let (world, id) = two_turns().await;
    let plan = world.host.plan_undo(id, Selection::Turn(2)).await.unwrap();
    assert_eq!((plan.of.len(), plan.kv.len(), plan.manifest.entries().len()), (2, 1, 2));
    assert_eq!(undo(&world, id, Selection::Turn(2)).await.unwrap(), ApplyResult::Applied);
    assert_eq!((world.file("a.txt"), world.file("b.txt")), ("alpha12".to_owned(), "beta".to_owned()));
    assert!(world.host.changes(id).await.unwrap().iter().all(|call| call.undone == plan.of.contains(&call.call)));

    // Of what is left, the first call alone is under the second's change.
    let calls = world.host.changes(id).await.unwrap();
    let conflict = ApplyResult::Conflict { paths: vec!["a.txt".to_owned()] };
    assert_eq!(undo(&world, id, Selection::Call(calls[0].call)).await.unwrap(), conflict);
    assert_eq!(undo(&world, id, Selection::Call(calls[1].call)).await.unwrap(), ApplyResult::Applied);
    assert_eq!(world.file("a.txt"), "alpha1");
    let twice = undo(&world, id, Selection::Call(calls[1].call)).await;
    assert!(matches!(twice, Err(UndoError::Session(_))), "{twice:?}");
    assert_eq!(undo(&world, id, Selection::All).await.unwrap(), ApplyResult::Applied);
    assert_eq!((world.file("a.txt"), world.file("b.txt")), ("alpha".to_owned(), "beta".to_owned()));
    assert_eq!(world.files.read("c.txt"), None);
    for unknown in [Selection::Turn(7), Selection::Call(harness_core::CallId::from_bits(5))] {
        assert!(matches!(world.host.plan_undo(id, unknown).await, Err(UndoError::Unknown(_))));
    }
    // Undoing a call that needed another takes that one's changes back too: nothing is left of them here.
    let needing = calls.iter().find(|call| call.tool == "call_tool").unwrap().call;
    let plan = world.host.plan_undo(id, Selection::Call(needing)).await.unwrap();
    assert_eq!(plan.of, []);
}

#[tokio::test]
async fn what_somebody_else_changed_stays() {
    let (world, id) = two_turns().await;
    world.files.write("c.txt", b"mine now");
    let conflict = ApplyResult::Conflict { paths: vec!["c.txt".to_owned()] };
    assert_eq!(undo(&world, id, Selection::All).await.unwrap(), conflict);
    assert_eq!((world.file("a.txt"), world.file("c.txt")), ("alpha123".to_owned(), "mine now".to_owned()));
    assert!(world.host.changes(id).await.unwrap().iter().all(|call| !call.undone), "it can be tried again");
    world.files.write("c.txt", b"new");
    assert_eq!(undo(&world, id, Selection::All).await.unwrap(), ApplyResult::Applied);

    // Between two calls: taking both back at once would lose it.
    let append = ("append_file", r#"{"path":"a.txt","content":"+"}"#);
    let again = world.again(ScriptedModel::tape([
        Reply::calls(&[append]),
        Reply::text("ok"),
        Reply::calls(&[append]),
        Reply::text("ok"),
    ]));
    let session = again.open(id, ApproveMode::Edits).await.unwrap();
    prompt(&session).await;
    finish(&session).await.unwrap();
    again.files.write("a.txt", b"somebody");
    prompt(&session).await;
    finish(&session).await.unwrap();
    let plan = again.host.plan_undo(id, Selection::All).await.unwrap();
    assert_eq!(plan.foreign, ["a.txt"]);
    assert!(matches!(session.undo(&plan).await, Err(UndoError::Foreign(paths)) if paths == ["a.txt"]));
    let last = again.host.plan_undo(id, Selection::Turn(4)).await.unwrap();
    assert_eq!(session.undo(&last).await.unwrap(), ApplyResult::Applied);
    assert_eq!(again.file("a.txt"), "somebody");
    assert!(matches!(session.undo(&last).await, Err(UndoError::Stale)));
}

#[tokio::test]
async fn a_content_that_is_not_kept_is_named_before_anything_is_touched() {
    let (world, id) = two_turns().await;
    assert!(world.store.get(Digest::of(b"beta")).await.unwrap().is_some());
    world.store.damage_blob(Digest::of(b"beta"));
    let plan = world.host.plan_undo(id, Selection::Turn(2)).await.unwrap();
    assert_eq!(plan.missing, ["b.txt"]);
    assert!(matches!(undo(&world, id, Selection::Turn(2)).await, Err(UndoError::NotKept(paths)) if paths == ["b.txt"]));
    assert_eq!(world.file("a.txt"), "alpha123");
}

#[tokio::test]
async fn nothing_is_undone_while_a_turn_is_under_way() {
    let gate = Gate::closed();
    let world = World::tape([
        Reply::calls(&[("append_file", r#"{"path":"a.txt","content":"1"}"#)]),
        Reply::text("ok"),
        Reply::text("late").behind(&gate),
    ]);
    let session = world.create(ApproveMode::Edits).await;
    prompt(&session).await;
    finish(&session).await.unwrap();
    prompt(&session).await;
    let (id, selection) = (session.id(), Selection::All);
    let plan = world.host.plan_undo(id, selection).await.unwrap();
    assert!(matches!(session.undo(&plan).await, Err(UndoError::Session(_))));
    session.close().await;
    let refused = undo(&world, id, selection).await;
    assert!(matches!(refused, Err(UndoError::Open(OpenError::Refused(Refusal::TurnRunning)))), "{refused:?}");
    assert_eq!(world.file("a.txt"), "alpha1");
    // The lease was given back.
    let session = world.open(id, ApproveMode::Edits).await.unwrap();
    session.interrupt().await.unwrap();
    assert_eq!(session.undo(&plan).await.unwrap(), ApplyResult::Applied);
    assert_eq!(world.file("a.txt"), "alpha");
}

#[tokio::test]
async fn whichever_append_an_undoing_dies_at_it_is_finished_or_never_was() {
    let mut finished = 0;
    for fate in [Fate::DieBefore, Fate::DieAfter] {
        for append in 1..=3 {
            let (world, id) = two_turns().await;
            let dying = world.again(ScriptedModel::tape([]));
            dying.log.plan(append, fate.clone());
            tokio::select! {
                undone = undo(&dying, id, Selection::All) => panic!("{undone:?}"),
                () = dying.log.died() => {}
            }
            world.store.set_gone(dying.holder.clone());
            let next = world.again(ScriptedModel::tape([]));
            // Whoever comes next and wants the same finds it done, or does it.
            match undo(&next, id, Selection::All).await {
                Ok(result) => assert_eq!(result, ApplyResult::Applied),
                Err(error) => {
                    finished += 1;
                    assert!(matches!(error, UndoError::Stale | UndoError::Session(_)), "{error:?}");
                }
            }
            assert_eq!((next.file("a.txt"), next.file("b.txt")), ("alpha".to_owned(), "beta".to_owned()));
            let undone = next.host.changes(id).await.unwrap().iter().filter(|call| call.undone).count();
            assert_eq!(undone, 5, "{fate:?} {append}");
        }
    }
    assert!(finished >= 2, "the sweep hit the undoing: {finished}");
}
