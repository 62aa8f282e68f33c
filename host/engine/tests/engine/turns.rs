//! Whole turns.

use crate::world::{World, context, finish, prompt, until};
use harness_core::event::{ModelFailureKind, TurnEnd, TurnLimits};
use harness_core::{ApproveMode, Event, Item, TimeMs};
use harness_engine::ports::{Blobs, Index, SessionStatus};
use harness_engine::{LoadError, OpenError};
use harness_sim::clock::SimClock;
use harness_sim::files::MemoryFiles;
use harness_sim::gate::Gate;
use harness_sim::memory_store::MemoryStore;
use harness_sim::scripted_model::{Reply, ScriptedModel};
use std::sync::Arc;

const READ_A: (&str, &str) = ("read_file", r#"{"path":"a.txt"}"#);
const WRITE_B: (&str, &str) = ("write_file", r#"{"path":"b.txt","content":"new"}"#);

#[tokio::test]
async fn a_turn_end_to_end() {
    let world = World::tape([Reply::calls(&[READ_A, WRITE_B]), Reply::text("all done")]);
    let session = world.create(ApproveMode::Ask).await;
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(world.file("b.txt"), "new");

    let expected = "session_created session_opened prompt_received turn_started model_requested model_responded \
                    call_requested call_requested call_judged call_started call_reported call_ended call_judged \
                    call_started call_reported call_judged approval_asked approval_answered changes_authorized \
                    changes_put call_ended model_requested model_responded turn_ended";
    assert_eq!(world.kinds(session.id()).await.join(" "), expected);
    assert_eq!(world.model.problems(), Vec::<String>::new());
    let results = &world.model.requests()[1].items[2];
    let Item::ToolResults { results } = results.as_ref() else { panic!("{results:?}") };
    assert_eq!(results[0].text, "alpha");

    let loaded = session.snapshot().await.unwrap();
    assert_eq!(loaded.state, world.host.load(session.id()).await.unwrap().state, "what is believed is what is logged");
    assert_eq!(loaded.state.final_text().as_deref(), Some("all done"));
    let row = world.store.summary(session.id()).await.unwrap();
    assert_eq!((row.status, row.turns, row.title.as_str()), (SessionStatus::Idle, 1, "go on"));
    assert_eq!((row.last_sequence, row.usage.input_tokens), (loaded.tip.sequence, 200));
    for content in ["beta", "new"] {
        let digest = harness_core::Digest::of(content.as_bytes());
        assert!(world.store.get(digest).await.unwrap().is_some(), "{content} is kept, to show and to undo");
    }
}

#[tokio::test]
async fn a_reading_step_takes_two_commits_and_a_changing_one_three() {
    for (call, commits) in [(READ_A, 2), (WRITE_B, 3)] {
        let world = World::tape([Reply::calls(&[call]), Reply::text("done")]);
        let session = world.create(ApproveMode::Edits).await;
        prompt(&session).await;
        finish(&session).await.unwrap();
        // Beside the step: opening, the prompt, the last response.
        assert_eq!(world.store.appends() - 3, commits, "{call:?}");
    }
}

#[tokio::test]
async fn ten_reads_run_at_once_and_are_answered_in_order() {
    let calls: Vec<String> = (0..10).map(|n| format!(r#"{{"path":"{n}.txt"}}"#)).collect();
    let calls: Vec<(&str, &str)> = calls.iter().map(|arguments| ("read_file", arguments.as_str())).collect();
    let world = World::tape([Reply::calls(&calls), Reply::text("done")]);
    for n in 0..10 {
        world.files.lock().insert(format!("{n}.txt"), format!("content {n}").into_bytes());
    }
    let gate = Gate::closed();
    world.hands.hold("read_file", &gate);
    let session = world.create(ApproveMode::Ask).await;
    prompt(&session).await;
    gate.reached(10).await;
    gate.open();
    finish(&session).await.unwrap();
    let Item::ToolResults { results } = world.model.requests()[1].items[2].as_ref().clone() else { panic!() };
    let texts: Vec<String> = results.into_iter().map(|result| result.text).collect();
    assert_eq!(texts, (0..10).map(|n| format!("content {n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn arguments_that_do_not_fit_the_schema_never_reach_a_hand() {
    let calls = [("read_file", "{}"), ("write_file", r#"{"path":7,"content":"x"}"#), ("nothing", "{}")];
    let world = World::tape([Reply::calls(&calls), Reply::text("sorry")]);
    let session = world.create(ApproveMode::All).await;
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(world.hands.executed(), []);
    let Item::ToolResults { results } = world.model.requests()[1].items[2].as_ref().clone() else { panic!() };
    assert!(results.iter().all(|result| result.is_error));
    assert!(results[0].text.contains("\"path\" is a required property"), "{}", results[0].text);
    assert!(results[1].text.contains("at /path"), "{}", results[1].text);
    assert!(results[2].text.contains("there is no tool `nothing`"), "{}", results[2].text);
}

#[tokio::test]
async fn a_failed_request_is_repeated_after_a_wait() {
    let model = ScriptedModel::tape([Reply::failure(ModelFailureKind::Retryable), Reply::text("at last")]);
    let clock = SimClock::manual(TimeMs(1_700_000_000_000));
    let world = World::over(MemoryStore::new(), Arc::new(MemoryFiles::default()), model, clock);
    let session = world.create(ApproveMode::Ask).await;
    prompt(&session).await;
    world.clock.until_sleeping(1).await;
    let Event::RetryScheduled { delay_ms, .. } = until(&session, "retry_scheduled").await else { panic!() };
    assert_eq!(world.clock.slept_ms(), [delay_ms]);
    assert_eq!(world.model.requests().len(), 1);
    world.clock.advance(delay_ms);
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(world.model.requests().len(), 2);
    assert_eq!(world.model.problems(), Vec::<String>::new());
}

#[tokio::test]
async fn an_interrupt_stops_the_turn_and_keeps_the_session() {
    let gate = Gate::closed();
    let world = World::tape([
        Reply::text("never heard").behind(&gate),
        Reply::calls(&[READ_A, WRITE_B]),
        Reply::text("still here"),
    ]);
    let session = world.create(ApproveMode::Edits).await;
    prompt(&session).await;
    gate.reached(1).await;
    session.interrupt().await.unwrap();
    gate.open();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Interrupted);

    let reading = Gate::closed();
    world.hands.hold("read_file", &reading);
    prompt(&session).await;
    reading.reached(1).await;
    session.interrupt().await.unwrap();
    reading.open();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Interrupted);
    assert_eq!(world.file("b.txt"), "beta", "what came after was not begun");

    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(world.model.problems(), Vec::<String>::new());
    assert_eq!(world.kinds(session.id()).await.iter().filter(|kind| **kind == "call_reported").count(), 0);
}

#[tokio::test]
async fn the_last_words_of_a_limit() {
    let world = World::tape([Reply::calls(&[READ_A]), Reply::calls(&[READ_A])]);
    let session = world.create(ApproveMode::Ask).await;
    let limits = TurnLimits { steps_max: 2, output_tokens_max: Some(77), ..TurnLimits::default() };
    session.prompt("read on", limits).await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Limit { limit: "max-steps".into(), maximum: 2 });
    assert!(world.model.requests().iter().all(|request| request.output_tokens_max == Some(77)));
}

#[tokio::test]
async fn two_sessions_at_once_do_not_meet() {
    let gate = Gate::closed();
    let held = gate.clone();
    let model = ScriptedModel::by(move |request| {
        let Item::User { text } = request.items[0].as_ref() else { return None };
        Some(match crate::world::responses(request) {
            0 => {
                let arguments = format!(r#"{{"path":"{text}.txt","content":"{text}"}}"#);
                Reply::calls(&[("append_file", &arguments)]).behind(&held)
            }
            _ => Reply::text(&format!("{text} is done")),
        })
    });
    let world = World::new(model);
    let (one, two) = (world.create(ApproveMode::Edits).await, world.create(ApproveMode::Edits).await);
    assert_ne!(one.id(), two.id());
    one.prompt("one", TurnLimits::default()).await.unwrap();
    two.prompt("two", TurnLimits::default()).await.unwrap();
    gate.reached(2).await;
    gate.open();
    let (first, second) = tokio::join!(finish(&one), finish(&two));
    assert_eq!((first.unwrap(), second.unwrap()), (TurnEnd::Done, TurnEnd::Done));
    assert_eq!((world.file("one.txt"), world.file("two.txt")), ("one".into(), "two".into()));
    for (session, text) in [(&one, "one is done"), (&two, "two is done")] {
        let loaded = world.host.load(session.id()).await.unwrap();
        assert_eq!(loaded.state.final_text().as_deref(), Some(text));
    }
    assert_eq!(world.model.problems(), Vec::<String>::new());
}

#[tokio::test]
async fn what_cannot_be_opened_says_why_and_holds_nothing() {
    let world = World::tape([]);
    let session = world.create(ApproveMode::Ask).await;
    let held = world.open(session.id(), ApproveMode::Ask).await;
    assert!(matches!(held, Err(OpenError::Lease(_))), "two writers of one process are two");
    session.clone().close().await;

    let unknown = harness_core::SessionId::from_bits(9);
    assert!(matches!(world.open(unknown, ApproveMode::Ask).await, Err(OpenError::Load(LoadError::Store(_)))));
    assert!(matches!(world.open(unknown, ApproveMode::Ask).await, Err(OpenError::Load(_))), "it was not made known");

    let new = harness_engine::NewSession { workspace: String::new(), title: None };
    let refused = world.host.create(new, context(ApproveMode::Ask), Vec::new(), Arc::clone(&world.hands) as _).await;
    assert!(matches!(refused, Err(OpenError::Refused(_))));

    world.host.rename(session.id(), "A better name").await.unwrap();
    assert!(matches!(world.host.rename(session.id(), " ").await, Err(OpenError::Refused(_))));
    let session = world.open(session.id(), ApproveMode::Ask).await.unwrap();
    assert_eq!(session.snapshot().await.unwrap().state.title.as_deref(), Some("A better name"));
    session.close().await;
}

#[tokio::test]
async fn a_log_of_another_session_is_not_believed() {
    let world = World::tape([]);
    let (one, two) = (world.create(ApproveMode::Ask).await, world.create(ApproveMode::Ask).await);
    assert!(world.host.load(two.id()).await.is_ok());
    world.log.mislead(one.id());
    assert!(world.host.load(one.id()).await.is_ok());
    assert!(matches!(world.host.load(two.id()).await, Err(LoadError::Damaged { .. })));
}
