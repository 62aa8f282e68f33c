//! Messages while a turn is under way, with crashes in between.

use crate::watched_log::Fate;
use crate::world::{World, finish, prompt, settle, until};
use harness_core::event::{TurnEnd, TurnLimits};
use harness_core::message::Delivery;
use harness_core::{ApproveMode, Item};
use harness_sim::gate::Gate;
use harness_sim::scripted_model::{Reply, ScriptedModel};

const READ: (&str, &str) = ("read_file", r#"{"path":"a.txt"}"#);

fn said(items: &[std::sync::Arc<Item>]) -> Vec<String> {
    let texts = items.iter().filter_map(|item| match item.as_ref() {
        Item::User { text } => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

#[tokio::test]
async fn a_steer_reaches_the_next_request_and_a_queued_message_the_next_turn() {
    let gate = Gate::closed();
    let replies = [Reply::calls(&[READ]).behind(&gate), Reply::text("first"), Reply::text("second")];
    let world = World::tape(replies);
    let session = world.create(ApproveMode::Ask).await;
    prompt(&session).await;
    gate.reached(1).await;
    session.say("later", Delivery::Queue, TurnLimits::default()).await.unwrap();
    session.say("also this", Delivery::Steer, TurnLimits::default()).await.unwrap();
    gate.open();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    let requests = world.model.requests();
    assert_eq!(said(&requests[1].items), ["go on", "also this"]);
    assert_eq!(said(&requests[2].items), ["go on", "also this", "later"]);
    assert_eq!(session.snapshot().await.unwrap().state.turns, 2);
}

#[tokio::test]
async fn what_was_accepted_survives_a_crash_and_is_delivered_once() {
    let gate = Gate::closed();
    let world = World::tape([Reply::calls(&[READ]).behind(&gate)]);
    let session = world.create(ApproveMode::Ask).await;
    prompt(&session).await;
    gate.reached(1).await;
    session.say("later", Delivery::Queue, TurnLimits::default()).await.unwrap();
    session.say("steer", Delivery::Steer, TurnLimits::default()).await.unwrap();
    world.log.plan(1, Fate::DieBefore);
    gate.open();
    settle().await;

    let script = |request: &harness_engine::ports::ModelRequest| {
        Some(match crate::world::responses(request) {
            0 => Reply::calls(&[READ]),
            _ => Reply::text("done"),
        })
    };
    let world = world.again(ScriptedModel::by(script));
    let hands = std::sync::Arc::clone(&world.hands) as _;
    let takeover = harness_engine::ports::Takeover::Force;
    let context = crate::world::context(ApproveMode::Ask);
    let session = world.host.open(session.id(), context, Vec::new(), hands, takeover).await.unwrap();
    assert_eq!(session.snapshot().await.unwrap().state.messages.len(), 2, "both are still there");
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    let state = session.snapshot().await.unwrap().state;
    assert_eq!(said(&state.history), ["go on", "steer", "later"]);
    assert!(state.messages.is_empty());
    let delivered = world.kinds(session.id()).await.iter().filter(|kind| **kind == "message_delivered").count();
    assert_eq!(delivered, 2);
}

#[tokio::test]
async fn an_interrupting_message_stops_the_request_and_is_answered() {
    let gate = Gate::closed();
    let world = World::tape([Reply::text("never").behind(&gate), Reply::text("as you wish")]);
    let session = world.create(ApproveMode::Ask).await;
    prompt(&session).await;
    gate.reached(1).await;
    let message = session.say("rather this", Delivery::Interrupt, TurnLimits::default()).await.unwrap();
    until(&session, "message_delivered").await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    let state = session.snapshot().await.unwrap().state;
    assert_eq!(state.final_text().as_deref(), Some("as you wish"));
    assert!(session.withdraw(message).await.is_err(), "it was delivered");
}
