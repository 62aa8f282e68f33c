//! Approvals outlive the host that asked.

use crate::world::{World, finish, prompt, until};
use harness_core::event::{Answer, TurnEnd};
use harness_core::{ApproveMode, Digest, Refusal};
use harness_engine::SessionError;
use harness_engine::ports::{Index, SessionStatus};
use harness_sim::scripted_model::{Reply, ScriptedModel};

const EDIT: (&str, &str) = ("append_file", r#"{"path":"a.txt","content":"+"}"#);

#[tokio::test]
async fn an_approval_survives_close_and_is_answered_later() {
    let first = World::tape([Reply::calls(&[EDIT])]);
    let session = first.create(ApproveMode::Ask).await;
    let id = session.id();
    prompt(&session).await;
    until(&session, "approval_asked").await;
    let asked = session.snapshot().await.unwrap().state;
    let asked = (asked.pending()[0].approval, asked.pending()[0].binds_to);
    session.close().await;
    assert_eq!(first.store.summary(id).await.unwrap().status, SessionStatus::NeedsAnswer);

    let second = first.again(ScriptedModel::tape([Reply::text("done")]));
    let session = second.open(id, ApproveMode::Ask).await.unwrap();
    let state = session.snapshot().await.unwrap().state;
    assert_eq!((state.pending()[0].approval, state.pending()[0].binds_to), asked, "it stays asked");
    assert_eq!(second.hands.executed(), [], "what was staged is not made again");
    let wrong = session.answer(asked.0, Digest::of(b"else"), Answer::Yes).await;
    assert!(matches!(wrong, Err(SessionError::Refused(Refusal::WrongSubject(_)))));
    session.answer(asked.0, asked.1, Answer::Yes).await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(second.file("a.txt"), "alpha+", "the second host put what the first had staged");
    let stale = session.answer(asked.0, asked.1, Answer::Yes).await;
    assert!(matches!(stale, Err(SessionError::Refused(Refusal::StaleApproval(_)))));
}

#[tokio::test]
async fn a_no_leaves_the_workspace_alone_and_reaches_the_model() {
    let world = World::tape([Reply::calls(&[EDIT]), Reply::text("as you wish")]);
    let session = world.create(ApproveMode::Ask).await;
    prompt(&session).await;
    until(&session, "approval_asked").await;
    let state = session.snapshot().await.unwrap().state;
    let pending = state.pending()[0];
    let no = Answer::No { reason: "not this file".to_owned() };
    session.answer(pending.approval, pending.binds_to, no).await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(world.file("a.txt"), "alpha");
    let told = format!("{:?}", world.model.requests()[1].items[2]);
    assert!(told.contains("a person said no: not this file."), "{told}");
}

#[tokio::test]
async fn an_edit_that_somebody_else_overtook_is_a_conflict() {
    let world = World::tape([Reply::calls(&[EDIT]), Reply::text("I see")]);
    let session = world.create(ApproveMode::Ask).await;
    prompt(&session).await;
    until(&session, "approval_asked").await;
    world.files.lock().insert("a.txt".to_owned(), b"somebody else's".to_vec());
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(world.file("a.txt"), "somebody else's");
    let told = format!("{:?}", world.model.requests()[1].items[2]);
    assert!(told.contains("Conflict: a.txt changed on disk"), "{told}");
}
