//! Log, then believe, then act; and what happens when the log fails.

use crate::watched_log::Fate;
use crate::world::{World, context, finish, prompt, settle};
use harness_core::event::{TurnEnd, TurnLimits};
use harness_core::{ApproveMode, Sequence};
use harness_engine::ports::{EventLog, Lease, Takeover};
use harness_engine::{SessionError, Update};
use harness_sim::gate::Gate;
use harness_sim::scripted_model::{Reply, ScriptedModel};
use std::sync::Arc;
use std::time::Duration;

const EDIT: (&str, &str) = ("append_file", r#"{"path":"a.txt","content":"+"}"#);

#[tokio::test]
async fn nobody_is_told_and_nothing_is_done_before_an_append_returned() {
    let world = World::tape([Reply::calls(&[EDIT]), Reply::text("done")]);
    let session = world.create(ApproveMode::Edits).await;
    let mut updates = session.subscribe(session.snapshot().await.unwrap().tip.sequence);
    let gates: Vec<Gate> = (0..5).map(|_| Gate::closed()).collect();
    world.log.plan_all(gates.iter().cloned().map(Fate::Hold));
    let prompting = session.clone();
    let prompting = tokio::spawn(async move { prompting.prompt("go", TurnLimits::default()).await });
    // What had happened when each append was still on its way: requests, executions, puts.
    let expected = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1), (2, 1, 1)];
    for (append, gate) in gates.iter().enumerate() {
        gate.reached(1).await;
        settle().await;
        let durable = world.store.tip(session.id()).await.unwrap().sequence;
        while let Ok(update) = tokio::time::timeout(Duration::ZERO, updates.next()).await {
            if let Update::Event(logged) = update.unwrap() {
                assert!(logged.header.sequence <= durable, "{:?} was told before it was durable", logged.event);
            }
        }
        let done = (world.model.requests().len(), world.hands.executed().len(), world.hands.put_calls().len());
        assert_eq!(done, expected[append], "before append {append} of the turn returned");
        assert_eq!(prompting.is_finished(), append > 0, "who prompts hears of it once it is durable");
        gate.open();
    }
    prompting.await.unwrap().unwrap();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
}

#[tokio::test]
async fn a_failed_append_closes_the_session_and_opening_it_again_goes_on() {
    for fate in [Fate::Fail, Fate::FailAfter] {
        for append in 1..=6 {
            let script = || {
                ScriptedModel::by(|request| {
                    Some(match crate::world::responses(request) {
                        0 => Reply::calls(&[EDIT]),
                        _ => Reply::text("done"),
                    })
                })
            };
            let world = World::new(script());
            let session = world.create(ApproveMode::Edits).await;
            let (id, tip) = (session.id(), session.snapshot().await.unwrap().tip.sequence);
            let mut updates = session.subscribe(tip);
            world.log.plan(append, fate.clone());
            let prompted = session.prompt("go", TurnLimits::default()).await;
            let ended = match prompted {
                Ok(()) => finish(&session).await.map(|_| ()),
                Err(error) => Err(error),
            };
            let failed = matches!(&ended, Err(SessionError::Closed(Some(why))) if why.contains("the disk is gone"));
            // Five appends: prompt, response, report, put, last response.
            assert_eq!(failed, append <= 5, "append {append}: {ended:?}");
            if !failed {
                continue;
            }
            let fault = loop {
                match updates.next().await.unwrap() {
                    Update::Closed { fault } => break fault,
                    Update::Event(_) | Update::Delta { .. } | Update::Progress { .. } => {}
                }
            };
            assert!(fault.is_some_and(|fault| fault.contains("the disk is gone")));
            assert!(matches!(session.snapshot().await, Err(SessionError::Closed(Some(_)))));
            assert_eq!(world.store.holder(id).await, Ok(None), "it was given back");

            let world = world.again(script());
            let session = world.open(id, ApproveMode::Edits).await.unwrap();
            let state = session.snapshot().await.unwrap().state;
            if state.turns == 0 {
                prompt(&session).await;
            }
            assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done, "append {append}, {fate:?}");
            assert_eq!(world.file("a.txt"), "alpha+", "append {append}, {fate:?}");
        }
    }
}

#[tokio::test]
async fn who_is_taken_over_stops_and_says_so() {
    let gate = Gate::closed();
    let first = World::tape([Reply::calls(&[EDIT]).behind(&gate), Reply::text("not ours")]);
    let session = first.create(ApproveMode::Edits).await;
    let mut updates = session.subscribe(Sequence::START);
    prompt(&session).await;
    gate.reached(1).await;

    let second = first.again(ScriptedModel::tape([Reply::text("ours now")]));
    let hands = Arc::clone(&second.hands);
    let taken =
        second.host.open(session.id(), context(ApproveMode::Edits), Vec::new(), hands, Takeover::Force).await.unwrap();
    gate.open();
    let fault = loop {
        if let Update::Closed { fault } = updates.next().await.unwrap() {
            break fault.unwrap();
        }
    };
    assert!(fault.contains("was taken over by another writer"), "{fault}");
    assert!(matches!(session.interrupt().await, Err(SessionError::Closed(Some(_)))));
    assert_eq!(finish(&taken).await.unwrap(), TurnEnd::Done);
    assert_eq!(first.hands.executed(), [], "the first did nothing after it was displaced");
    assert_eq!(taken.snapshot().await.unwrap().state.final_text().as_deref(), Some("ours now"));
    assert_eq!(first.store.holder(taken.id()).await, Ok(Some(second.holder.clone())), "nor did it give it back");
    taken.close().await;
}
