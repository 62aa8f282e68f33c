//! Messages while a turn is under way, with crashes in between.

use crate::watched_log::Fate;
use crate::world::{World, context, finish, prompt, responses, settle, until};
use harness_core::event::{TurnEnd, TurnLimits};
use harness_core::message::Delivery;
use harness_core::{ApproveMode, Event, Item, MessageId, Refusal, Sequence, SessionId};
use harness_engine::ports::{InboxOutcome, InboxReceipt, Takeover};
use harness_engine::{OpenError, Session};
use harness_sim::gate::Gate;
use harness_sim::scripted_model::{Reply, ScriptedModel};
use std::sync::Arc;

const READ: (&str, &str) = ("read_file", r#"{"path":"a.txt"}"#);
const EDIT: (&str, &str) = ("append_file", r#"{"path":"a.txt","content":"+"}"#);
const RUN: (&str, &str) = ("run_command", r#"{"path":"b.txt","content":"!"}"#);

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

async fn take_over(world: &World, id: SessionId) -> Session {
    let (told, hands) = (context(ApproveMode::Edits), Arc::clone(&world.hands) as _);
    world.host.open(id, told, Vec::new(), hands, Takeover::Force).await.unwrap()
}

async fn events(world: &World, id: SessionId) -> Vec<Event> {
    let logged = world.host.events(id, Sequence::START, usize::MAX).await.unwrap();
    logged.into_iter().map(|logged| logged.event.unwrap()).collect()
}

/// Where the only event of a kind stands in a log.
fn at(kinds: &[&str], kind: &str) -> usize {
    assert_eq!(kinds.iter().filter(|found| **found == kind).count(), 1, "{kind}: {kinds:?}");
    kinds.iter().position(|found| *found == kind).unwrap()
}

/// A message from another process.
async fn send(world: &World, id: SessionId, number: u128, text: &str, delivery: Delivery) -> InboxReceipt {
    let (message, limits) = (MessageId::from_bits(number), TurnLimits::default());
    let sent = Event::MessageReceived { message, text: text.to_owned(), delivery, limits };
    world.host.send(id, sent).await.unwrap()
}

/// The event that what was sent became.
async fn accepted(world: &World, sent: &InboxReceipt) -> usize {
    match world.host.taken(sent, 60_000).await.unwrap().outcome {
        Some(InboxOutcome::Accepted { sequence }) => usize::try_from(sequence.0).unwrap() - 1,
        other => panic!("{other:?}"),
    }
}

/// Edits and runs something; answers once it was told anything else.
fn editor() -> ScriptedModel {
    ScriptedModel::by(|request| {
        Some(if responses(request) == 0 { Reply::calls(&[EDIT, RUN]) } else { Reply::text("as you wish") })
    })
}

/// What holds once an interrupting message came while changes were being put in place.
async fn is_put_and_told(world: &World, session: &Session, sent: &InboxReceipt, case: &str) {
    assert_eq!(finish(session).await.unwrap(), TurnEnd::Done, "{case}");
    assert_eq!((world.file("a.txt").as_str(), world.file("b.txt").as_str()), ("alpha+", "beta"), "{case}");
    let id = session.id();
    let (kinds, events) = (world.kinds(id).await, events(world, id).await);
    let received = accepted(world, sent).await;
    assert_eq!(kinds[received], "message_received", "{case}");
    let order = [received, at(&kinds, "changes_put"), at(&kinds, "message_delivered")];
    assert!(order.is_sorted(), "{case}: {order:?} {kinds:?}");
    let between: Vec<_> = events[order[1]..order[2]]
        .iter()
        .filter_map(|event| match event {
            Event::CallEnded { is_error: false, changes, .. } => Some(format!("{} changes", changes.entries().len())),
            Event::TurnEnded { end, .. } => Some(end.word().to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(between, ["1 changes", "interrupted"], "{case}");
    let requests = world.model.requests();
    let last = requests.last().unwrap();
    assert_eq!(said(&last.items), ["go on", "rather this"], "{case}");
    let state = session.snapshot().await.unwrap().state;
    assert_eq!((state.messages.len(), state.turns), (0, 2), "{case}");
    assert_eq!(world.host.replay(id).await.unwrap().difference, None, "{case}");
}

#[tokio::test]
async fn an_interrupting_message_lets_changes_be_put_in_place_and_is_the_next_prompt() {
    let world = World::new(editor());
    let session = world.create(ApproveMode::Edits).await;
    let gate = Gate::closed();
    world.hands.hold_puts(&gate);
    prompt(&session).await;
    gate.reached(1).await;
    let other = world.again(ScriptedModel::tape([]));
    let sent = send(&other, session.id(), 1, "rather this", Delivery::Interrupt).await;
    accepted(&other, &sent).await;
    settle().await;
    let kinds = world.kinds(session.id()).await;
    assert!(!kinds.contains(&"message_delivered") && !kinds.contains(&"turn_ended"), "{kinds:?}");
    gate.open();
    is_put_and_told(&world, &session, &sent, "no crash").await;
    assert_eq!(world.hands.put_calls().len(), 1);
}

#[tokio::test]
async fn nor_does_a_crash_over_that_lose_the_changes_or_the_message() {
    for fate in [Fate::DieBefore, Fate::DieAfter, Fate::Fail, Fate::FailAfter] {
        for at in 1..=2 {
            let world = World::new(editor());
            let session = world.create(ApproveMode::Edits).await;
            let gate = Gate::closed();
            world.hands.hold_puts(&gate);
            prompt(&session).await;
            gate.reached(1).await;
            world.log.plan(at, fate.clone());
            let other = world.again(ScriptedModel::tape([]));
            // The first append takes the message, the second says that the changes are in place.
            let sent = send(&other, session.id(), 1, "rather this", Delivery::Interrupt).await;
            settle().await;
            gate.open();
            settle().await;
            let world = world.again(editor());
            let hold = Gate::closed();
            world.hands.hold_puts(&hold);
            let session = take_over(&world, session.id()).await;
            settle().await;
            hold.open();
            is_put_and_told(&world, &session, &sent, &format!("{fate:?} at {at}")).await;
        }
    }
}

#[tokio::test]
async fn who_opens_a_session_for_something_else_begins_nothing_with_what_interrupted() {
    let world = World::new(editor());
    let session = world.create(ApproveMode::Edits).await;
    let id = session.id();
    let gate = Gate::closed();
    world.hands.hold_puts(&gate);
    prompt(&session).await;
    gate.reached(1).await;
    session.say("rather this", Delivery::Interrupt, TurnLimits::default()).await.unwrap();
    world.log.plan(1, Fate::DieBefore);
    gate.open();
    world.log.died().await;
    world.store.set_gone(world.holder.clone());

    let world = world.again(ScriptedModel::tape([]));
    let open_idle = || world.host.open_idle(id, Arc::clone(&world.hands) as _, Takeover::IfGone);
    let refused = open_idle().await.err();
    assert!(matches!(refused, Some(OpenError::Refused(Refusal::TurnRunning))), "{refused:?}");
    world.host.interrupt(id).await.unwrap();
    let session = open_idle().await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Interrupted);
    settle().await;
    let state = session.snapshot().await.unwrap().state;
    assert_eq!((world.file("a.txt").as_str(), state.turns, state.messages.len()), ("alpha+", 1, 1));
    assert!(world.model.requests().is_empty());
}

#[tokio::test]
async fn a_message_expires_where_it_is_taken_back_before_it_was_delivered() {
    for delivery in [Delivery::Steer, Delivery::Queue] {
        let gate = Gate::closed();
        let world = World::tape([Reply::calls(&[READ]).behind(&gate), Reply::text("done")]);
        let session = world.create(ApproveMode::Ask).await;
        let id = session.id();
        prompt(&session).await;
        gate.reached(1).await;
        let ours = session.say("never mind", delivery, TurnLimits::default()).await.unwrap();
        let other = world.again(ScriptedModel::tape([]));
        let theirs = MessageId::from_bits(1);
        let sent = send(&other, id, 1, "nor this", delivery).await;
        accepted(&other, &sent).await;
        session.withdraw(ours).await.unwrap();
        let taken_back = other.host.send(id, Event::MessageWithdrawn { message: theirs }).await.unwrap();
        let at = accepted(&other, &taken_back).await;
        assert!(session.withdraw(theirs).await.is_err(), "once");
        gate.open();
        assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
        let events = events(&world, id).await;
        assert_eq!(events[at], Event::MessageWithdrawn { message: theirs });
        let expired: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::MessageExpired { message, reason } => Some((*message, reason.as_str())),
                Event::MessageDelivered { message } => Some((*message, "delivered")),
                _ => None,
            })
            .collect();
        assert_eq!(expired, [(ours, "withdrawn"), (theirs, "withdrawn")], "{delivery:?}");
        let state = session.snapshot().await.unwrap().state;
        assert_eq!((said(&state.history), state.turns), (vec!["go on".to_owned()], 1));
        assert!(state.messages.is_empty());
    }
}

#[tokio::test]
async fn an_interrupting_message_that_is_taken_back_in_time_has_stopped_the_turn_and_begins_none() {
    let world = World::new(editor());
    let session = world.create(ApproveMode::Edits).await;
    let gate = Gate::closed();
    world.hands.hold_puts(&gate);
    prompt(&session).await;
    gate.reached(1).await;
    let message = session.say("rather this", Delivery::Interrupt, TurnLimits::default()).await.unwrap();
    session.withdraw(message).await.unwrap();
    gate.open();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Interrupted);
    settle().await;
    let state = session.snapshot().await.unwrap().state;
    assert_eq!((state.turns, said(&state.history)), (1, vec!["go on".to_owned()]));
    let kinds = world.kinds(session.id()).await;
    assert!(at(&kinds, "message_expired") < at(&kinds, "changes_put"), "{kinds:?}");
}

#[tokio::test]
async fn what_is_delivered_in_the_append_under_way_cannot_be_taken_back() {
    let gate = Gate::closed();
    let world = World::tape([Reply::calls(&[READ]).behind(&gate), Reply::text("done")]);
    let session = world.create(ApproveMode::Ask).await;
    prompt(&session).await;
    gate.reached(1).await;
    let message = session.say("also this", Delivery::Steer, TurnLimits::default()).await.unwrap();
    // The response's append passes, that of the report delivers the message.
    let held = Gate::closed();
    world.log.plan(2, Fate::Hold(held.clone()));
    gate.open();
    held.reached(1).await;
    let taking = session.clone();
    let taking = tokio::spawn(async move { taking.withdraw(message).await });
    settle().await;
    held.open();
    assert!(taking.await.unwrap().is_err());
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    let kinds = world.kinds(session.id()).await;
    assert_eq!((at(&kinds, "message_delivered") > 0, kinds.contains(&"message_expired")), (true, false));
}

#[tokio::test]
async fn a_message_that_is_taken_back_while_its_host_dies_is_delivered_or_expires_and_never_both() {
    for (fate, is_durable) in
        [(Fate::DieBefore, false), (Fate::DieAfter, true), (Fate::Fail, false), (Fate::FailAfter, true)]
    {
        let gate = Gate::closed();
        let world = World::tape([Reply::text("never").behind(&gate)]);
        let session = world.create(ApproveMode::Edits).await;
        let id = session.id();
        prompt(&session).await;
        gate.reached(1).await;
        let message = session.say("never mind", Delivery::Queue, TurnLimits::default()).await.unwrap();
        world.log.plan(1, fate.clone());
        let taking = session.clone();
        let taking = tokio::spawn(async move { taking.withdraw(message).await });
        settle().await;
        let world = world.again(ScriptedModel::by(|_| Some(Reply::text("done"))));
        let session = take_over(&world, id).await;
        assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done, "{fate:?}");
        settle().await;
        let kinds = world.kinds(id).await;
        let count = |kind: &str| kinds.iter().filter(|found| **found == kind).count();
        let expected = if is_durable { (1, 0) } else { (0, 1) };
        assert_eq!((count("message_expired"), count("message_delivered")), expected, "{fate:?}");
        assert!(session.withdraw(message).await.is_err(), "{fate:?}");
        taking.abort();
    }
}
