//! What subscribers see: every event once and in order, whatever they missed.

use crate::world::{World, finish, prompt};
use harness_core::{ApproveMode, Sequence};
use harness_engine::ports::ModelDelta;
use harness_engine::{SessionError, Subscription, Update};
use harness_sim::gate::Gate;
use harness_sim::scripted_model::Reply;
use std::time::Duration;

/// Nothing here takes long; a missing event is to fail and not to hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// The sequences up to one, which must come next.
async fn read_to(updates: &mut Subscription, last: Sequence) -> Vec<u64> {
    let mut sequences = Vec::new();
    while sequences.last().is_none_or(|seen| *seen < last.0) {
        let next = tokio::time::timeout(PATIENCE, updates.next()).await.expect("an event is missing");
        match next.unwrap() {
            Update::Event(logged) => sequences.push(logged.header.sequence.0),
            Update::Delta { .. } | Update::Progress { .. } => {}
            Update::Closed { fault } => panic!("closed at {sequences:?}: {fault:?}"),
        }
    }
    sequences
}

#[tokio::test]
async fn a_subscriber_that_lags_gets_every_event_without_a_gap() {
    let world = World::tape([]);
    let session = world.create(ApproveMode::Ask).await;
    let mut lagging = session.subscribe(Sequence::START);
    let mut half = session.subscribe(Sequence::START);
    // One that has caught up with the log and then falls behind what is live.
    let begun = session.snapshot().await.unwrap().tip.sequence;
    let mut live = session.subscribe(Sequence::START);
    read_to(&mut live, begun).await;
    // More than the engine keeps for slow subscribers.
    for number in 0..1_500 {
        session.rename(format!("title {number}")).await.unwrap();
        if number == 700 {
            read_to(&mut half, Sequence(400)).await;
        }
    }
    let tip = session.snapshot().await.unwrap().tip.sequence;
    assert_eq!(read_to(&mut lagging, tip).await, (1..=tip.0).collect::<Vec<_>>());
    assert_eq!(read_to(&mut half, tip).await, (401..=tip.0).collect::<Vec<_>>());
    assert_eq!(read_to(&mut live, tip).await, (begun.0 + 1..=tip.0).collect::<Vec<_>>());
    for after in [0, 1, 2, 499, 500, 501, tip.0 - 1] {
        let mut updates = session.subscribe(Sequence(after));
        assert_eq!(read_to(&mut updates, tip).await, (after + 1..=tip.0).collect::<Vec<_>>());
    }
    session.rename("live again").await.unwrap();
    assert_eq!(read_to(&mut lagging, tip.next()).await, [tip.0 + 1]);
}

#[tokio::test]
async fn pieces_of_a_response_say_where_they_stand() {
    let piece = |text: &str| ModelDelta::Text { text: text.to_owned() };
    let thought = |text: &str| ModelDelta::Reasoning { text: text.to_owned() };
    let mut reply = Reply::text("grüße");
    reply.deltas = vec![thought("hm"), piece("grü"), thought("so"), piece("ße")];
    let gates = [Gate::closed(), Gate::closed()];
    let world = World::tape(gates.each_ref().map(|gate| reply.clone().behind(gate)));
    let session = world.create(ApproveMode::Ask).await;
    for gate in gates {
        let tip = session.snapshot().await.unwrap().tip.sequence;
        let [mut updates, mut late] = [session.subscribe(tip), session.subscribe(tip)];
        prompt(&session).await;
        let mut seen = Vec::new();
        loop {
            match updates.next().await.unwrap() {
                Update::Delta { offset_bytes, delta } => seen.push((offset_bytes, delta)),
                Update::Event(logged) if logged.header.kind == "turn_ended" => break,
                Update::Event(_) | Update::Progress { .. } => {}
                Update::Closed { fault } => panic!("{fault:?}"),
            }
            if seen.len() == 4 {
                gate.open();
            }
        }
        assert_eq!(seen, [(0, thought("hm")), (0, piece("grü")), (2, thought("so")), (4, piece("ße"))]);
        // Who reads the whole turn afterwards is not told pieces of what it knows whole.
        session.rename("later").await.unwrap();
        loop {
            match late.next().await.unwrap() {
                Update::Event(logged) if logged.header.kind == "session_renamed" => break,
                Update::Event(_) | Update::Progress { .. } => {}
                stale => panic!("{stale:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_closed_session_says_so_to_everybody_and_its_events_stay_readable() {
    let world = World::tape([Reply::text("hi")]);
    let session = world.create(ApproveMode::Ask).await;
    let mut early = session.subscribe(Sequence::START);
    prompt(&session).await;
    finish(&session).await.unwrap();
    let tip = session.snapshot().await.unwrap().tip.sequence;
    session.clone().close().await;
    session.clone().close().await;
    let mut late = session.subscribe(Sequence::START);
    for updates in [&mut early, &mut late] {
        assert_eq!(read_to(updates, tip).await, (1..=tip.0).collect::<Vec<_>>());
        for _ in 0..2 {
            assert!(matches!(updates.next().await.unwrap(), Update::Closed { fault: None }));
        }
    }
    assert!(matches!(session.rename("too late").await, Err(SessionError::Closed(None))));
    assert!(matches!(session.snapshot().await, Err(SessionError::Closed(None))));
}
