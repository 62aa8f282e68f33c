//! Hooks take part at their points in their order, and what they say is in the log in that order.

use crate::policies::{Listener, halted, listened};
use crate::world::{World, context, finish, prompt, settle, until};
use async_trait::async_trait;
use harness_core::event::{Context, TurnEnd, TurnLimits};
use harness_core::message::Delivery;
use harness_core::mode::{HookAnswer, HookPoint, HookWish, PolicyAnswer, PolicyQuestion};
use harness_core::{ApproveMode, Digest, Event, Item, Sequence, SessionId};
use harness_engine::ports::{HookOccasion, Policy, Takeover};
use harness_engine::{Host, NewSession, Session};
use harness_sim::gate::Gate;
use harness_sim::scripted_model::{Reply, ScriptedModel};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const READ: (&str, &str) = ("read_file", r#"{"path":"a.txt"}"#);

/// What a test's hooks say at each point, in their order.
#[derive(Default)]
struct Hooks {
    said: BTreeMap<HookPoint, Vec<HookAnswer>>,
    /// Where they never come back.
    hanging: Option<HookPoint>,
    heard: Mutex<Vec<HookPoint>>,
}

fn says(component: &str, wish: HookWish, note: &str) -> HookAnswer {
    let (component, digest) = (component.to_owned(), Digest::of(component.as_bytes()));
    HookAnswer { component, digest, wish, note: note.to_owned(), fault: None }
}

fn notes(component: &str, note: &str) -> HookAnswer {
    says(component, HookWish::GoOn, note)
}

fn stops(component: &str, reason: &str) -> HookAnswer {
    says(component, HookWish::Stop { reason: reason.to_owned() }, "")
}

impl Hooks {
    fn at(mut self, point: HookPoint, said: impl IntoIterator<Item = HookAnswer>) -> Self {
        self.said.entry(point).or_default().extend(said);
        self
    }

    fn heard(&self) -> Vec<HookPoint> {
        self.heard.lock().unwrap().clone()
    }
}

#[async_trait]
impl Policy for Hooks {
    async fn judge(&self, _question: PolicyQuestion) -> PolicyAnswer {
        unreachable!("there is no mode")
    }

    fn has_hooks(&self, point: HookPoint) -> bool {
        self.said.contains_key(&point) || self.hanging == Some(point)
    }

    async fn run_hooks(&self, occasion: HookOccasion) -> Vec<HookAnswer> {
        self.heard.lock().unwrap().push(occasion.point);
        if self.hanging == Some(occasion.point) {
            return std::future::pending().await;
        }
        self.said.get(&occasion.point).cloned().unwrap_or_default()
    }
}

fn host(world: &World, hooks: &Arc<Hooks>) -> Host {
    world.host.clone().with_policy(Arc::clone(hooks) as _)
}

async fn create(world: &World, hooks: &Arc<Hooks>) -> Session {
    let new = NewSession { workspace: "/work".to_owned(), title: None };
    let hands = Arc::clone(&world.hands) as _;
    host(world, hooks).create(new, context(ApproveMode::Edits), Vec::new(), hands).await.unwrap()
}

async fn open(world: &World, hooks: &Arc<Hooks>, id: SessionId) -> Session {
    let (told, hands): (Context, _) = (context(ApproveMode::Edits), Arc::clone(&world.hands) as _);
    host(world, hooks).open(id, told, Vec::new(), hands, Takeover::Force).await.unwrap()
}

async fn events(world: &World, id: SessionId) -> Vec<Event> {
    let logged = world.host.events(id, Sequence::START, usize::MAX).await.unwrap();
    logged.into_iter().map(|logged| logged.event.unwrap()).collect()
}

/// The words of people, and of what stands in their place, in a request.
fn told(world: &World, request: usize) -> Vec<String> {
    let requests = world.model.requests();
    let items = requests[request].items.iter();
    let texts = items.filter_map(|item| match item.as_ref() {
        Item::User { text } => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

const POINTS: [HookPoint; 8] = [
    HookPoint::SessionStart,
    HookPoint::Prompt,
    HookPoint::BeforeStep,
    HookPoint::AfterStep,
    HookPoint::BeforeCall,
    HookPoint::AfterCall,
    HookPoint::Stop,
    HookPoint::SessionEnd,
];

#[tokio::test]
async fn what_hooks_of_one_point_say_is_in_the_log_in_their_order_and_one_that_broke_does_not_matter_to_the_others() {
    for point in POINTS {
        let world = World::tape([Reply::calls(&[READ]), Reply::text("done")]);
        let broken = HookAnswer { fault: Some("it trapped".to_owned()), ..notes("second", "") };
        let silent = notes("third", "");
        let said = [notes("first", "one"), broken.clone(), silent, notes("fourth", "two")];
        let hooks = Arc::new(Hooks::default().at(point, said));
        let session = create(&world, &hooks).await;
        let id = session.id();
        prompt(&session).await;
        assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done, "{point:?}");
        settle().await;
        session.close().await;
        let events = events(&world, id).await;
        let times = if point == HookPoint::BeforeStep || point == HookPoint::AfterStep { 2 } else { 1 };
        let mut found = 0;
        for (index, event) in events.iter().enumerate() {
            let Event::HooksAnswered { point: at, call, answers } = event else { continue };
            found += 1;
            assert_eq!(*at, point);
            let of_call = matches!(point, HookPoint::BeforeCall | HookPoint::AfterCall);
            assert_eq!(call.is_some(), of_call, "{point:?}");
            // Who wants and says nothing leaves no trace.
            assert_eq!(*answers, [notes("first", "one"), broken.clone(), notes("fourth", "two")], "{point:?}");
            let added: Vec<_> = events[index + 1..]
                .iter()
                .map_while(|event| match event {
                    Event::NoteAdded { by, text, .. } => Some((by.as_str(), text.as_str())),
                    _ => None,
                })
                .collect();
            assert_eq!(added, [("first", "one"), ("fourth", "two")], "{point:?}");
        }
        assert_eq!((found, hooks.heard().len()), (times, times), "{point:?}");
        // A broken hook denies nothing.
        assert_eq!(world.hands.executed().len(), 1, "{point:?}");
        assert_eq!(world.host.replay(id).await.unwrap().difference, None, "{point:?}");
    }
}

#[tokio::test]
async fn the_first_that_stops_counts_and_those_after_it_are_heard() {
    for point in [HookPoint::Prompt, HookPoint::BeforeStep, HookPoint::AfterStep, HookPoint::BeforeCall] {
        let world = World::tape([Reply::calls(&[READ]), Reply::text("never said")]);
        let said = [stops("first", "one"), notes("second", "heard"), stops("third", "two")];
        let session = create(&world, &Arc::new(Hooks::default().at(point, said.clone()))).await;
        prompt(&session).await;
        let end = TurnEnd::Stopped { by: "first".to_owned(), words: "one".to_owned() };
        assert_eq!(finish(&session).await.unwrap(), end, "{point:?}");
        settle().await;
        let id = session.id();
        let events = events(&world, id).await;
        let answers: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::HooksAnswered { answers, .. } => Some(answers.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(answers, [said], "{point:?}");
        assert!(world.hands.executed().is_empty(), "{point:?}");
        let asked = usize::from(matches!(point, HookPoint::AfterStep | HookPoint::BeforeCall));
        assert_eq!(world.model.requests().len(), asked, "{point:?}");
        assert_eq!(world.host.replay(id).await.unwrap().difference, None, "{point:?}");
    }
}

#[tokio::test]
async fn a_call_that_a_hook_stopped_before_it_ran_is_never_in_doubt() {
    let run = ("run_command", r#"{"path":"b.txt","content":"!"}"#);
    for after in [false, true] {
        let world = World::tape([Reply::calls(&[run]), Reply::text("never said")]);
        let mut hooks = Hooks::default().at(HookPoint::BeforeCall, [stops("first", "no")]);
        if after {
            hooks = hooks.at(HookPoint::AfterCall, [notes("second", "heard")]);
        }
        let session = create(&world, &Arc::new(hooks)).await;
        prompt(&session).await;
        let end = TurnEnd::Stopped { by: "first".to_owned(), words: "no".to_owned() };
        assert_eq!(finish(&session).await.unwrap(), end);
        let events = events(&world, session.id()).await;
        let outcomes = events.iter().filter_map(|event| match event {
            Event::CallEnded { outcome, .. } => Some(outcome.as_str()),
            _ => None,
        });
        assert_eq!(outcomes.collect::<Vec<_>>(), ["denied"], "{after}");
        let requests = events.iter().filter(|event| matches!(event, Event::ModelRequested { .. })).count();
        assert_eq!(requests, 1, "nothing is set aside for a request that nobody wants: {after}");
        assert!(world.hands.executed().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_that_never_come_back_hold_nothing_up_for_good_and_the_log_names_them() {
    for point in POINTS {
        let world = World::tape([Reply::calls(&[READ]), Reply::text("done")]);
        let session = create(&world, &Arc::new(Hooks { hanging: Some(point), ..Hooks::default() })).await;
        let id = session.id();
        prompt(&session).await;
        assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done, "{point:?}");
        if point == HookPoint::Stop {
            tokio::time::sleep(std::time::Duration::from_secs(600)).await;
        }
        session.close().await;
        let broke = events(&world, id).await.into_iter().filter(|event| match event {
            Event::HooksAnswered { point: at, answers, .. } => {
                *at == point && answers[0].fault.is_some() && answers[0].wish == HookWish::GoOn
            }
            _ => false,
        });
        assert!(broke.count() >= 1, "{point:?}");
        assert_eq!(world.hands.executed().len(), 1, "{point:?}");
    }
}

#[tokio::test]
async fn what_is_said_before_a_step_is_in_the_request_of_that_step() {
    let world = World::tape([Reply::calls(&[READ]), Reply::text("done")]);
    let said = [notes("first", "mind the gap"), notes("second", "and the door")];
    let session = create(&world, &Arc::new(Hooks::default().at(HookPoint::BeforeStep, said))).await;
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(told(&world, 0), ["go on", "mind the gap", "and the door"]);
    assert_eq!(told(&world, 1), ["go on", "mind the gap", "and the door", "mind the gap", "and the door"]);
    assert!(world.model.problems().is_empty(), "{:?}", world.model.problems());
    let id = session.id();
    assert_eq!(world.host.load(id).await.unwrap().state, session.snapshot().await.unwrap().state);
    assert_eq!(world.host.replay(id).await.unwrap().difference, None);
}

/// Killed before and after the append that says what hooks said before a step.
#[tokio::test]
async fn hooks_before_a_step_are_heard_again_by_whoever_opens_the_session_after_a_crash() {
    use crate::watched_log::Fate;
    for (fate, times) in [(Fate::DieBefore, 1), (Fate::DieAfter, 2)] {
        let world = World::tape([]);
        let hooks = Arc::new(Hooks::default().at(HookPoint::BeforeStep, [notes("first", "mind the gap")]));
        let session = create(&world, &hooks).await;
        world.log.plan(2, fate.clone());
        prompt(&session).await;
        world.log.died().await;
        assert!(world.model.requests().is_empty(), "nothing is asked before it is durable");
        let world = world.again(ScriptedModel::tape([Reply::text("done")]));
        let session = open(&world, &hooks, session.id()).await;
        assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
        let expected = [vec!["go on"], vec!["mind the gap"; times]].concat();
        assert_eq!(told(&world, 0), expected, "{fate:?}");
        assert_eq!(world.model.requests().len(), 1);
    }
}

/// Says a note before each step, once it may.
struct Parked(Gate);

#[async_trait]
impl Policy for Parked {
    async fn judge(&self, _question: PolicyQuestion) -> PolicyAnswer {
        unreachable!("there is no mode")
    }

    fn has_hooks(&self, point: HookPoint) -> bool {
        point == HookPoint::BeforeStep
    }

    async fn run_hooks(&self, _occasion: HookOccasion) -> Vec<HookAnswer> {
        self.0.pass().await;
        vec![notes("parked", "mind the gap")]
    }
}

#[tokio::test]
async fn a_turn_is_stopped_while_hooks_before_a_step_are_heard() {
    let gate = Gate::closed();
    let world = World::tape([Reply::text("as you wish")]);
    let host = world.host.clone().with_policy(Arc::new(Parked(gate.clone())));
    let new = NewSession { workspace: "/work".to_owned(), title: None };
    let hands = Arc::clone(&world.hands) as _;
    let session = host.create(new, context(ApproveMode::Edits), Vec::new(), hands).await.unwrap();
    prompt(&session).await;
    gate.reached(1).await;
    session.say("rather this", Delivery::Interrupt, TurnLimits::default()).await.unwrap();
    gate.reached(2).await;
    gate.open();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(world.model.requests().len(), 1, "the first was never made");
    assert_eq!(told(&world, 0), ["go on", "rather this", "mind the gap"]);
}

/// What was said, in the order in which it entered the conversation.
async fn said(session: &Session) -> Vec<String> {
    let items = session.snapshot().await.unwrap().state.history;
    let texts = items.iter().filter_map(|item| match item.as_ref() {
        Item::User { text } => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

#[tokio::test]
async fn what_is_queued_waits_where_a_hook_stops_a_prompt_and_goes_on_in_order_once_a_person_speaks() {
    let gate = Gate::closed();
    let replies = [Reply::text("never").behind(&gate), Reply::text("one"), Reply::text("two"), Reply::text("three")];
    let world = World::tape(replies);
    let listener = Listener::new();
    let (_, session) = listened(&world, &listener).await;
    prompt(&session).await;
    gate.reached(1).await;
    for text in ["first", "second"] {
        session.say(text, Delivery::Queue, TurnLimits::default()).await.unwrap();
    }
    session.interrupt().await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Interrupted);
    let waiting = async |session: &Session| session.snapshot().await.unwrap().state.messages.len();
    session.prompt("halt", TurnLimits::default()).await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), halted());
    assert_eq!((waiting(&session).await, world.model.requests().len()), (2, 1));
    session.prompt("well then", TurnLimits::default()).await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    settle().await;
    assert_eq!(said(&session).await, ["go on", "halt", "well then", "first", "second"]);
    assert_eq!((waiting(&session).await, session.snapshot().await.unwrap().state.turns), (0, 5));
    assert_eq!(listener.heard(), ["go on", "first", "second", "halt", "well then"], "each is heard once");
}

#[tokio::test]
async fn an_interrupting_message_that_a_hook_stops_ends_both_turns_and_begins_nothing_that_is_queued() {
    let gate = Gate::closed();
    let world = World::tape([Reply::text("never").behind(&gate), Reply::text("one"), Reply::text("two")]);
    let (_, session) = listened(&world, &Listener::new()).await;
    prompt(&session).await;
    gate.reached(1).await;
    session.say("later", Delivery::Queue, TurnLimits::default()).await.unwrap();
    session.say("halt now", Delivery::Interrupt, TurnLimits::default()).await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), halted());
    settle().await;
    let state = session.snapshot().await.unwrap().state;
    assert_eq!((state.messages.len(), state.turns, world.model.requests().len()), (1, 2, 1));
    session.prompt("well then", TurnLimits::default()).await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    settle().await;
    assert_eq!(said(&session).await, ["go on", "halt now", "well then", "later"]);
}

#[tokio::test]
async fn what_hooks_say_at_the_end_of_a_session_is_its_last_event_and_comes_before_the_next_words() {
    let world = World::tape([Reply::text("one"), Reply::text("two")]);
    let hooks = Arc::new(Hooks::default().at(HookPoint::SessionEnd, [notes("last", "it is late")]));
    let session = create(&world, &hooks).await;
    let id = session.id();
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert!(hooks.heard().is_empty());
    session.close().await;
    let kinds = world.kinds(id).await;
    assert_eq!(kinds[kinds.len() - 2..], ["hooks_answered", "note_added"]);
    let session = open(&world, &hooks, id).await;
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(told(&world, 1), ["go on", "it is late", "go on"]);
    // Whoever is fenced or breaks ends nothing.
    let other = world.again(ScriptedModel::tape([]));
    open(&other, &Arc::default(), id).await;
    assert!(session.rename("mine").await.is_err());
    session.close().await;
    assert_eq!(hooks.heard(), [HookPoint::SessionEnd]);
}

#[tokio::test]
async fn a_hook_that_stops_at_the_end_of_a_session_ends_the_turn_and_what_is_queued_waits() {
    const RUN: (&str, &str) = ("run_command", r#"{"path":"a.txt","content":"!"}"#);
    let world = World::tape([Reply::calls(&[RUN])]);
    let hooks = Arc::new(Hooks::default().at(HookPoint::SessionEnd, [stops("last", "time to go")]));
    let session = create(&world, &hooks).await;
    let id = session.id();
    prompt(&session).await;
    until(&session, "approval_asked").await;
    session.say("later", Delivery::Queue, TurnLimits::default()).await.unwrap();
    session.close().await;
    let world = world.again(ScriptedModel::tape([Reply::text("one"), Reply::text("two")]));
    let session = open(&world, &hooks, id).await;
    settle().await;
    let state = session.snapshot().await.unwrap().state;
    let end = TurnEnd::Stopped { by: "last".to_owned(), words: "time to go".to_owned() };
    assert_eq!((state.turn, state.last_end, state.messages.len()), (None, Some(end), 1));
    assert!(world.kinds(id).await.contains(&"approval_withdrawn"));
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    settle().await;
    assert_eq!(said(&session).await, ["go on", "go on", "later"]);
    assert!(world.hands.executed().is_empty());
    assert_eq!(world.host.replay(id).await.unwrap().difference, None);
}
