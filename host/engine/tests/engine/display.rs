//! What readers of a screen get: the state of the log, whenever they come and however slow they are.

use crate::world::{World, finish, prompt, settle, until};
use harness_core::display::{DisplayState, DisplayUpdate, Screen};
use harness_core::{ApproveMode, Event, Sequence, SessionId};
use harness_engine::ports::ModelDelta;
use harness_engine::{DisplayStream, SessionError, Update};
use harness_sim::gate::Gate;
use harness_sim::scripted_model::Reply;
use serde_json::Value;
use std::time::Duration;

const EDIT: (&str, &str) = ("append_file", r#"{"path":"a.txt","content":"+"}"#);
/// Nothing here takes long; a missing update is to fail and not to hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// A reader with its own copy.
struct Reader {
    updates: DisplayStream,
    known: Value,
    wholes: usize,
    patches: usize,
}

impl Reader {
    fn new(updates: DisplayStream) -> Self {
        Self { updates, known: Value::Null, wholes: 0, patches: 0 }
    }

    /// Reads one update; none at the end.
    async fn read(&mut self) -> Option<Sequence> {
        let next = tokio::time::timeout(PATIENCE, self.updates.next()).await.expect("an update is missing");
        let update = next.unwrap()?;
        match update {
            DisplayUpdate::Whole { .. } => self.wholes += 1,
            DisplayUpdate::Patch(_) => self.patches += 1,
        }
        Some(update.apply_to(&mut self.known))
    }

    async fn read_to(&mut self, sequence: Sequence) {
        while self.read().await.expect("it ended too early") < sequence {}
    }

    fn state(&self) -> DisplayState {
        serde_json::from_value(self.known.clone()).unwrap()
    }
}

/// The fold of a session's log.
async fn folded(world: &World, id: SessionId) -> Value {
    let mut screen = Screen::default();
    let events = world.host.events(id, Sequence::START, usize::MAX).await.unwrap();
    screen.expect_rewinds(events.iter().filter_map(|logged| match logged.event {
        Some(Event::SessionRewound { to }) => Some(to),
        _ => None,
    }));
    for logged in events {
        screen.apply(&logged.header, logged.event.as_ref());
    }
    screen.state().to_json()
}

#[tokio::test]
async fn every_reader_comes_to_the_state_of_the_log() {
    let world = World::tape([Reply::calls(&[EDIT]), Reply::text("done")]);
    let session = world.create(ApproveMode::Ask).await;
    let mut readers = [Reader::new(session.display(Sequence::START)), Reader::new(session.display(Sequence::START))];
    let other = world.again(harness_sim::scripted_model::ScriptedModel::tape([]));
    let mut follower = Reader::new(other.host.display(session.id(), Sequence::START));
    readers[0].read().await.unwrap();
    prompt(&session).await;
    until(&session, "approval_asked").await;
    while readers[0].state().approvals.is_empty() {
        readers[0].read().await.unwrap();
    }
    assert_eq!(readers[0].state().about.status, harness_core::display::Status::NeedsAnswer);
    finish(&session).await.unwrap();
    let tip = session.snapshot().await.unwrap().tip.sequence;
    let now = folded(&world, session.id()).await;
    follower.read_to(tip).await;
    for reader in &mut readers {
        reader.read_to(tip).await;
    }
    let known = readers[0].known.clone();
    // One that comes back has all but what came after.
    let mut back = Reader::new(session.display(tip));
    back.known = known;
    session.rename("later").await.unwrap();
    back.read_to(tip.next()).await;
    assert_eq!((back.wholes, back.state().about.title.as_deref()), (0, Some("later")));
    assert_eq!(back.known, folded(&world, session.id()).await);
    for reader in readers.iter_mut().chain([&mut follower]) {
        assert_eq!((&reader.known, reader.wholes), (&now, 1));
        assert_eq!(reader.state().files.len(), 1);
    }
    session.close().await;
    for reader in &mut readers {
        while reader.read().await.is_some() {}
        assert_eq!(reader.known, folded(&world, back.state().about.session.unwrap()).await);
    }
}

#[tokio::test]
async fn who_comes_in_the_middle_of_a_response_sees_all_of_it() {
    let mut reply = Reply::text("grüße");
    let piece = |text: &str| ModelDelta::Text { text: text.to_owned() };
    reply.deltas = vec![piece("grü"), ModelDelta::Reasoning { text: "hm".to_owned() }, piece("ße")];
    let gate = Gate::closed();
    let world = World::tape([reply.behind(&gate)]);
    let session = world.create(ApproveMode::Ask).await;
    let mut updates = session.subscribe(session.snapshot().await.unwrap().tip.sequence);
    prompt(&session).await;
    let mut pieces = 0;
    while pieces < 3 {
        pieces += usize::from(matches!(updates.next().await.unwrap(), Update::Delta { .. }));
    }
    // Nobody had a screen until now.
    let mut reader = Reader::new(session.display(Sequence::START));
    reader.read().await.unwrap();
    let shown = reader.state();
    let response = shown.responses.values().next().unwrap();
    assert_eq!((shown.text().as_str(), response.text_bytes, response.reasoning_bytes), ("grüße", 7, 2));
    gate.open();
    finish(&session).await.unwrap();
    let tip = session.snapshot().await.unwrap().tip.sequence;
    reader.read_to(tip).await;
    assert_eq!(reader.known, folded(&world, session.id()).await);
    assert_eq!(reader.state().problems.last_text.as_deref(), Some("grüße"));
}

#[tokio::test]
async fn a_slow_reader_gets_one_patch_over_many_events() {
    let world = World::tape([]);
    let session = world.create(ApproveMode::Ask).await;
    let mut slow = Reader::new(session.display(Sequence::START));
    slow.read().await.unwrap();
    for number in 0..3_000 {
        session.rename(format!("title {number}")).await.unwrap();
        if number % 100 == 0 {
            settle().await;
        }
    }
    settle().await;
    let tip = session.snapshot().await.unwrap().tip.sequence;
    slow.read_to(tip).await;
    assert!(slow.wholes == 1 && slow.patches <= 3, "{} patches", slow.patches);
    assert_eq!(slow.state().about.title.as_deref(), Some("title 2999"));
    assert_eq!(slow.known, folded(&world, session.id()).await);
}

#[tokio::test(start_paused = true)]
async fn updates_come_no_more_often_than_wanted_and_the_last_one_comes() {
    let world = World::tape([]);
    let session = world.create(ApproveMode::Ask).await;
    let mut reader = Reader::new(session.display(Sequence::START).per_second_max(10.try_into().unwrap()));
    reader.read().await.unwrap();
    let began = tokio::time::Instant::now();
    for number in 0..5 {
        session.rename(format!("title {number}")).await.unwrap();
        reader.read().await.unwrap();
    }
    assert!(began.elapsed() >= Duration::from_millis(500));
    session.rename("last").await.unwrap();
    session.clone().close().await;
    while reader.read().await.is_some() {}
    assert_eq!(reader.state().about.title.as_deref(), Some("last"));
}

#[tokio::test]
async fn a_session_that_is_not_there_is_an_error() {
    let world = World::tape([]);
    let mut updates = world.host.display(SessionId::from_bits(1), Sequence::START);
    assert!(matches!(updates.next().await, Err(SessionError::Closed(Some(why))) if why.contains("no session")));
}

#[tokio::test]
async fn after_a_rewind_readers_see_what_was_shown_then() {
    let replies = [Reply::text("one"), Reply::calls(&[EDIT]), Reply::text("two"), Reply::text("three")];
    let world = World::tape(replies);
    let session = world.create(ApproveMode::Edits).await;
    let mut reader = Reader::new(session.display(Sequence::START));
    prompt(&session).await;
    finish(&session).await.unwrap();
    let first = session.snapshot().await.unwrap().tip.sequence;
    prompt(&session).await;
    finish(&session).await.unwrap();
    let second = session.snapshot().await.unwrap().tip.sequence;
    reader.read_to(second).await;
    assert_eq!((reader.state().files.len(), reader.wholes), (1, 1));

    session.rewind(first).await.unwrap();
    reader.read_to(second.next()).await;
    let shown = reader.state();
    assert_eq!((shown.files.len(), shown.problems.last_text.as_deref()), (0, Some("one")));
    assert_eq!(shown.counters.turns, 2, "what was done stays done");
    assert_eq!(reader.wholes, 2, "the whole state comes anew");
    assert_eq!(reader.known, folded(&world, session.id()).await);

    // Forward again into what was left, and once more back.
    session.rewind(second).await.unwrap();
    session.rewind(second.next()).await.unwrap();
    prompt(&session).await;
    finish(&session).await.unwrap();
    let tip = session.snapshot().await.unwrap().tip.sequence;
    reader.read_to(tip).await;
    assert_eq!(reader.known, folded(&world, session.id()).await);
    // Those who come later, in this process or another one.
    drop(reader);
    let other = world.again(harness_sim::scripted_model::ScriptedModel::tape([]));
    for updates in [session.display(Sequence::START), other.host.display(session.id(), Sequence::START)] {
        let mut late = Reader::new(updates);
        late.read_to(tip).await;
        assert_eq!((&late.known, late.wholes), (&folded(&world, session.id()).await, 1));
        assert_eq!((late.state().files.len(), late.state().problems.last_text.as_deref()), (0, Some("three")));
    }
}

#[tokio::test]
async fn a_fork_is_shown_from_the_events_of_its_origin_on() {
    let world = World::tape([Reply::text("one")]);
    let session = world.create(ApproveMode::Ask).await;
    prompt(&session).await;
    finish(&session).await.unwrap();
    let fork = world.host.fork(session.id(), None, harness_core::event::ForkFiles::Shared).await.unwrap();
    let mut follower = Reader::new(world.host.display(fork, Sequence::START));
    follower.read_to(session.snapshot().await.unwrap().tip.sequence.next()).await;
    let about = follower.state().about;
    assert_eq!((about.session, about.origin), (Some(fork), Some(session.id())));
    assert_eq!(about.title.as_deref(), Some("go on (fork)"));
    assert_eq!(follower.state().problems.last_text.as_deref(), Some("one"));
    let opened = world.open(fork, ApproveMode::Ask).await.unwrap();
    opened.rename("apart").await.unwrap();
    follower.read_to(opened.snapshot().await.unwrap().tip.sequence).await;
    assert_eq!(follower.known, folded(&world, fork).await);
    assert_eq!(follower.state().about.title.as_deref(), Some("apart"));
}
