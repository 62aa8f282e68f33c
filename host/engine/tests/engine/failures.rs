//! Ports that break instead of saying so: no session waits for ever.

use crate::world::{World, finish, prompt};
use async_trait::async_trait;
use harness_core::event::{ApplyResult, TurnEnd};
use harness_core::{ApproveMode, CallId, Manifest, ToolSpec};
use harness_engine::SessionError;
use harness_engine::ports::{Blobs, CallReport, CallRequest, Hands};
use harness_sim::fake_hands::FakeHands;
use harness_sim::scripted_model::{Reply, ScriptedModel};
use std::sync::Arc;

/// Hands that panic at one place.
struct Breaking {
    hands: Arc<FakeHands>,
    execute: bool,
    put: bool,
}

#[async_trait]
impl Hands for Breaking {
    fn tools(&self) -> Vec<ToolSpec> {
        self.hands.tools()
    }

    async fn execute(&self, call: CallRequest) -> CallReport {
        assert!(!self.execute, "broken on purpose");
        self.hands.execute(call).await
    }

    async fn put(&self, call: CallId, manifest: &Manifest, contents: &dyn Blobs) -> ApplyResult {
        assert!(!self.put, "broken on purpose");
        self.hands.put(call, manifest, contents).await
    }
}

const EDIT: (&str, &str) = ("append_file", r#"{"path":"a.txt","content":"+"}"#);
const RUN: (&str, &str) = ("run_command", r#"{"path":"a.txt","content":"!"}"#);

#[tokio::test]
async fn a_hand_that_breaks_is_an_outcome_that_the_model_reads() {
    let world = World::tape([Reply::calls(&[EDIT, RUN]), Reply::text("I see")]);
    let hands = Breaking { hands: Arc::clone(&world.hands), execute: true, put: false };
    let session = world.create_with(ApproveMode::All, Arc::new(hands)).await;
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    let told = format!("{:?}", world.model.requests()[1].items[2]);
    assert!(told.contains("The tool broke: BUG"), "{told}");
    assert!(told.contains("In doubt"), "a direct one may have happened: {told}");
}

#[tokio::test]
async fn a_put_that_breaks_stops_the_session_and_is_done_again() {
    let world = World::tape([Reply::calls(&[EDIT])]);
    let hands = Breaking { hands: Arc::clone(&world.hands), execute: false, put: true };
    let session = world.create_with(ApproveMode::All, Arc::new(hands)).await;
    let id = session.id();
    prompt(&session).await;
    let ended = finish(&session).await;
    assert!(matches!(&ended, Err(SessionError::Closed(Some(why))) if why.contains("half in place")), "{ended:?}");
    let world = world.again(ScriptedModel::tape([Reply::text("done")]));
    let session = world.open(id, ApproveMode::All).await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(world.file("a.txt"), "alpha+");
}

#[tokio::test]
async fn a_model_that_breaks_fails_the_turn_and_not_the_session() {
    let world = World::new(ScriptedModel::by(|request| {
        assert!(request.items.len() > 1, "broken on purpose");
        Some(Reply::text("better now"))
    }));
    let session = world.create(ApproveMode::Ask).await;
    prompt(&session).await;
    assert!(matches!(finish(&session).await.unwrap(), TurnEnd::Failed { .. }));
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
}

#[tokio::test]
async fn a_change_that_the_store_has_no_room_for_fails_and_the_session_goes_on() {
    let world = World::tape([Reply::calls(&[EDIT]), Reply::text("I see")]);
    world.store.set_blob_quota(3);
    let session = world.create(ApproveMode::Edits).await;
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    let told = format!("{:?}", world.model.requests()[1].items[2]);
    assert!(told.contains("nothing was applied") && told.contains("quota"), "{told}");
    assert_eq!(world.file("a.txt"), "alpha");
    // What is believed is what the log says.
    let id = session.id();
    let believed = session.snapshot().await.unwrap();
    session.close().await;
    assert_eq!(world.host.load(id).await.unwrap().state, believed.state);
}

#[tokio::test]
async fn a_session_that_is_written_is_not_deleted() {
    let world = World::tape([]);
    let session = world.create(ApproveMode::Ask).await;
    let id = session.id();
    let other = world.again(ScriptedModel::tape([]));
    assert!(other.host.delete(id).await.is_err());
    session.close().await;
    other.host.delete(id).await.unwrap();
    assert!(other.host.load(id).await.is_err());
}
