//! What people give a session from another process than the one that writes it: taken once, or declined with words.

use crate::watched_log::Fate;
use crate::world::{World, context, finish, prompt, settle, until};
use harness_core::event::{Answer, Context, PlanAnswer, TurnEnd, TurnLimits};
use harness_core::item::Category;
use harness_core::message::Delivery;
use harness_core::verdict::Rule;
use harness_core::{
    Actor, ApproveMode, Digest, Event, InboxId, MessageId, Sequence, SessionId, SessionState, VerdictKind,
};
use harness_engine::ports::{Inbox, InboxEntry, InboxError, InboxOutcome, InboxReceipt, Takeover};
use harness_engine::{Host, LoggedEvent, NewSession, Session};
use harness_sim::gate::Gate;
use harness_sim::scripted_model::{Reply, ScriptedModel};
use std::sync::Arc;

const EDIT: (&str, &str) = ("append_file", r#"{"path":"a.txt","content":"+"}"#);
const READ: (&str, &str) = ("read_file", r#"{"path":"a.txt"}"#);
const ASK: (&str, &str) = ("ask_user", r#"{"question":"Which?","choices":["one","two"]}"#);
const PLAN: (&str, &str) = ("submit_plan", r#"{"title":"Tidy","plan":"First."}"#);

fn message(number: u128, text: &str) -> Event {
    let (message, delivery, limits) = (MessageId::from_bits(number), Delivery::Queue, TurnLimits::default());
    Event::MessageReceived { message, text: text.to_owned(), delivery, limits }
}

async fn state(session: &Session) -> SessionState {
    session.snapshot().await.unwrap().state
}

async fn log(world: &World, id: SessionId) -> Vec<LoggedEvent> {
    world.host.events(id, Sequence::START, usize::MAX).await.unwrap()
}

/// How often an event of this kind is in the log.
async fn count(world: &World, id: SessionId, kind: &str) -> usize {
    world.kinds(id).await.into_iter().filter(|found| *found == kind).count()
}

/// Waits until it was taken, and gives the event that it became.
async fn accepted(world: &World, sent: &InboxReceipt) -> LoggedEvent {
    let taken = world.host.taken(sent, 60_000).await.unwrap();
    let Some(InboxOutcome::Accepted { sequence }) = taken.outcome else { panic!("it was not accepted: {taken:?}") };
    let at = usize::try_from(sequence.0 - 1).unwrap();
    log(world, sent.session).await.swap_remove(at)
}

async fn refused(world: &World, sent: &InboxReceipt) -> String {
    match world.host.taken(sent, 60_000).await.unwrap().outcome {
        Some(InboxOutcome::Refused { words }) => words,
        other => panic!("it was not refused: {other:?}"),
    }
}

async fn take_over(world: &World, id: SessionId) -> Session {
    let hands = Arc::clone(&world.hands) as _;
    world.host.open(id, context(ApproveMode::Ask), Vec::new(), hands, Takeover::Force).await.unwrap()
}

#[tokio::test]
async fn what_is_asked_is_answered_by_another_host_in_any_order() {
    let first = World::tape([Reply::calls(&[READ, PLAN, ASK]), Reply::text("done")]);
    let host = Host::new(first.host.ports().clone(), first.holder.clone(), "0.0.0-test");
    let new = NewSession { workspace: "/work".to_owned(), title: None };
    let rule = Rule { category: Some(Category::Read), ..Rule::new("shy", VerdictKind::Ask) };
    let told = Context { rules: vec![rule], ..context(ApproveMode::Ask) };
    let session = host.create(new, told, Vec::new(), Arc::clone(&first.hands) as _).await.unwrap();
    let id = session.id();
    prompt(&session).await;
    for kind in ["approval_asked", "plan_submitted", "question_asked"] {
        until(&session, kind).await;
    }
    let found = state(&session).await;
    let (pending, question, plan) = (found.pending()[0], found.questions()[0].question, found.plans()[0].plan);
    let approved =
        Event::ApprovalAnswered { approval: pending.approval, binds_to: pending.binds_to, answer: Answer::Yes };
    let rejected = Event::PlanAnswered { plan, answer: PlanAnswer::Reject { feedback: "smaller".to_owned() } };
    let answered = Event::QuestionAnswered { question, answer: Some("two".to_owned()) };

    let second = first.again(ScriptedModel::tape([]));
    for (who, input) in [("eve", approved), ("ada", answered), ("bob", rejected)] {
        let sent = second.host.send_as(id, who, input.clone()).await.unwrap();
        assert_eq!(sent.outcome, None);
        let logged = accepted(&second, &sent).await;
        assert_eq!((logged.event, logged.header.actor), (Some(input), Actor::Principal(who.to_owned())));
    }
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    let told = format!("{:?}", first.model.requests()[1].items);
    assert!(told.contains("did not approve the plan: smaller") && told.contains("two"), "{told}");
    let unread = first.store.unread(id, 0, 9).await.unwrap();
    assert!(unread.is_empty());
}

#[tokio::test]
async fn what_cannot_be_taken_is_declined_with_words() {
    let world = World::tape([Reply::calls(&[EDIT]), Reply::text("done")]);
    let session = world.create(ApproveMode::Ask).await;
    let id = session.id();
    prompt(&session).await;
    until(&session, "approval_asked").await;
    let (approval, binds_to) = state(&session).await.pending().first().map(|it| (it.approval, it.binds_to)).unwrap();
    let answer = |binds_to| Event::ApprovalAnswered { approval, binds_to, answer: Answer::Yes };
    let other = world.again(ScriptedModel::tape([]));
    let sent = other.host.send(id, answer(Digest::of(b"else"))).await.unwrap();
    let words = refused(&other, &sent).await;
    assert!(words.contains(&approval.to_string()), "{words}");
    accepted(&other, &other.host.send(id, answer(binds_to)).await.unwrap()).await;
    let words = refused(&other, &other.host.send(id, answer(binds_to)).await.unwrap()).await;
    assert!(words.contains(&approval.to_string()), "{words}");
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!((count(&world, id, "approval_answered").await, world.file("a.txt").as_str()), (1, "alpha+"));
    let sent = other.host.send(id, Event::InterruptRequested).await.unwrap();
    assert!(!refused(&other, &sent).await.is_empty(), "no turn is under way");
}

#[tokio::test]
async fn only_what_a_person_may_say_comes_this_way() {
    let world = World::tape([]);
    let session = world.create(ApproveMode::Ask).await;
    let id = session.id();
    let before = log(&world, id).await.len();
    let forged =
        [Event::RetryDue, Event::SessionRewound { to: Sequence(1) }, Event::SessionArchived { archived: true }];
    for (number, input) in forged.iter().enumerate() {
        let sendable = matches!(input, Event::SessionArchived { .. });
        if !sendable {
            let refused = world.host.send(id, input.clone()).await.unwrap_err();
            assert_eq!(refused, InboxError::NotSendable(input.kind().to_owned()));
        }
        // Somebody who writes the store themselves comes no further, in whatever form.
        let cut = if sendable { 5 } else { input.encode().len() };
        let entry_id = InboxId::from_bits(number as u128);
        let input = input.encode()[..cut].to_vec();
        let entry = InboxEntry { id: entry_id, principal: "mallory".to_owned(), input };
        world.store.put(id, entry).await.unwrap();
        let sent = InboxReceipt { session: id, id: entry_id, outcome: None };
        let words = refused(&world, &sent).await;
        assert!(words.contains(if sendable { "no event" } else { "nothing that can be sent" }), "{words}");
    }
    assert_eq!(log(&world, id).await.len(), before);
    let unknown = SessionId::from_bits(1);
    assert_eq!(world.host.send(unknown, message(1, "x")).await, Err(InboxError::NotFound(unknown)));
}

#[tokio::test]
async fn what_is_sent_to_a_session_that_nobody_writes_is_taken_when_it_is_opened() {
    let world = World::tape([Reply::text("hello")]);
    let session = world.create(ApproveMode::Ask).await;
    let id = session.id();
    session.close().await;
    let other = world.again(ScriptedModel::tape([]));
    let sent = other.host.send(id, message(1, "are you there?")).await.unwrap();
    let renamed = other.host.send(id, Event::SessionRenamed { title: "sent".to_owned() }).await.unwrap();
    settle().await;
    assert_eq!(other.host.taken(&sent, 500).await.unwrap().outcome, None, "nobody takes it");
    let session = world.open(id, ApproveMode::Ask).await.unwrap();
    let [sent, renamed] = [accepted(&other, &sent).await, accepted(&other, &renamed).await];
    assert!(sent.header.sequence < renamed.header.sequence, "in the order in which they were sent");
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    let state = state(&session).await;
    assert_eq!((state.final_text().as_deref(), state.title.as_deref()), (Some("hello"), Some("sent")));
}

/// One life after the other is killed at each append in turn; what was sent is in the log once.
#[tokio::test]
async fn a_kill_between_putting_and_taking_loses_and_repeats_nothing() {
    for fate in [Fate::DieBefore, Fate::DieAfter, Fate::Fail, Fate::FailAfter] {
        for at in 1..=4 {
            let gate = Gate::closed();
            let first = World::tape([Reply::calls(&[READ]).behind(&gate)]);
            let session = first.create(ApproveMode::Ask).await;
            let id = session.id();
            prompt(&session).await;
            gate.reached(1).await;
            first.log.plan(at, fate.clone());
            let other = first.again(ScriptedModel::tape([]));
            let mut sent = Vec::new();
            for (number, text) in [(1, "later"), (2, "and then")] {
                sent.push(other.host.send(id, message(number, text)).await.unwrap());
                settle().await;
            }
            gate.open();
            settle().await;

            let script = |request: &harness_engine::ports::ModelRequest| {
                Some(match crate::world::responses(request) {
                    0 => Reply::calls(&[READ]),
                    _ => Reply::text("done"),
                })
            };
            let second = first.again(ScriptedModel::by(script));
            let session = take_over(&second, id).await;
            for receipt in &sent {
                let logged = accepted(&second, receipt).await;
                assert_eq!(logged.header.kind, "message_received", "{fate:?} at {at}");
            }
            assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
            for kind in ["message_received", "message_delivered"] {
                assert_eq!(count(&second, id, kind).await, 2, "{kind}: {fate:?} at {at}");
            }
            assert!(second.store.unread(id, 0, 9).await.unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn a_writer_that_was_fenced_takes_nothing() {
    let first = World::tape([]);
    let old = first.create(ApproveMode::Ask).await;
    let id = old.id();
    let second = first.again(ScriptedModel::tape([Reply::text("here")]));
    // The new writer's append is held up, so that the old one is the first to try.
    let new = take_over(&second, id).await;
    let gate = Gate::closed();
    second.log.plan(1, Fate::Hold(gate.clone()));
    let sent = second.host.send(id, message(1, "who is there?")).await.unwrap();
    gate.reached(1).await;
    until_closed(&old).await;
    assert_eq!(second.host.taken(&sent, 0).await.unwrap().outcome, None, "the old writer took nothing");
    gate.open();
    accepted(&second, &sent).await;
    assert_eq!(finish(&new).await.unwrap(), TurnEnd::Done);
    assert_eq!(count(&second, id, "message_received").await, 1);
    assert!(first.model.requests().is_empty());
}

/// Waits until a writer has noticed that another one took over.
async fn until_closed(session: &Session) {
    let mut updates = session.subscribe(Sequence::START);
    loop {
        if let harness_engine::Update::Closed { fault } = updates.next().await.unwrap() {
            return assert!(fault.is_some_and(|fault| fault.contains("taken over")));
        }
    }
}

#[tokio::test]
async fn what_is_taken_with_contents_that_there_is_no_room_for_says_where_it_is() {
    let gate = Gate::closed();
    let world = World::tape([
        Reply::calls(&[EDIT, READ]).behind(&gate),
        Reply::text("done"),
        Reply::text("one"),
        Reply::text("two"),
    ]);
    let session = world.create(ApproveMode::Ask).await;
    let id = session.id();
    world.store.set_blob_quota(1);
    prompt(&session).await;
    gate.reached(1).await;
    let held = [Gate::closed(), Gate::closed()];
    world.log.plan_all(held.iter().cloned().map(Fate::Hold));
    gate.open();
    let other = world.again(ScriptedModel::tape([]));
    let mut sent = Vec::new();
    // The first are taken while the call runs; the others together with its report, whose contents are refused.
    for (number, gate) in (1..).zip(&held) {
        gate.reached(1).await;
        settle().await;
        sent.push(other.host.send(id, message(number, "noted")).await.unwrap());
        settle().await;
        gate.open();
    }
    for (number, receipt) in (1..).zip(&sent) {
        assert_eq!(accepted(&other, receipt).await.event, Some(message(number, "noted")));
    }
    let kinds = world.kinds(id).await;
    let report = kinds.iter().position(|kind| *kind == "call_reported");
    assert!(report < kinds.iter().rposition(|kind| *kind == "message_received"), "{kinds:?}");
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(world.file("a.txt"), "alpha", "there was no room for what the call changed");
}
