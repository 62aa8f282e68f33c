//! Policies are asked before anything happens and cost no commit of their own; hooks take part at their points.

use crate::world::{World, context, finish, prompt, settle};
use async_trait::async_trait;
use harness_core::event::TurnEnd;
use harness_core::event::TurnLimits;
use harness_core::message::Delivery;
use harness_core::mode::{HookAnswer, HookPoint, HookWish, ModeSpec, PolicyAnswer, PolicyQuestion};
use harness_core::{ApproveMode, Digest, Event, Item, MessageId, VerdictKind};
use harness_engine::ports::{HookOccasion, Policy};
use harness_engine::{Host, NewSession, Session};
use harness_sim::gate::Gate;
use harness_sim::scripted_model::{Reply, ScriptedModel};
use harness_sim::scripted_policy::ScriptedPolicy;
use std::sync::Arc;

const READ: (&str, &str) = ("read_file", r#"{"path":"a.txt"}"#);
const EDIT: (&str, &str) = ("append_file", r#"{"path":"a.txt","content":"+"}"#);
const RUN: (&str, &str) = ("run_command", r#"{"path":"a.txt","content":"!"}"#);

fn mode(name: &str, leads_to: &[&str]) -> ModeSpec {
    ModeSpec {
        name: name.to_owned(),
        description: String::new(),
        instructions: String::new(),
        tools: None,
        model: None,
        leads_to: leads_to.iter().map(|name| (*name).to_owned()).collect(),
        policy: Some(Digest::of(name.as_bytes())),
    }
}

async fn create(world: &World, policy: &Arc<ScriptedPolicy>) -> (Host, Session) {
    let host = world.host.clone().with_policy(Arc::clone(policy) as _);
    let modes = vec![mode("plan", &["build"]), mode("build", &[])];
    let context = harness_core::event::Context { modes, ..context(ApproveMode::Edits) };
    let new = NewSession { workspace: "/work".to_owned(), title: None };
    let session = host.create(new, context, Vec::new(), Arc::clone(&world.hands) as _).await.unwrap();
    (host, session)
}

fn allowing() -> ScriptedPolicy {
    ScriptedPolicy::by(|_| (VerdictKind::Allow, None))
}

#[tokio::test]
async fn a_policy_costs_no_commit_of_its_own() {
    let world = World::tape([Reply::calls(&[READ]), Reply::calls(&[EDIT]), Reply::text("done")]);
    let policy = Arc::new(allowing());
    let (_, session) = create(&world, &policy).await;
    let before = world.log.appends();
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    // The prompt; two for reading, three for changing, and the last response.
    assert_eq!(world.log.appends() - before, 1 + 2 + 3 + 1, "{:?}", world.kinds(session.id()).await);
    let questions = policy.questions();
    let seen: Vec<_> = questions.iter().map(|it| (it.tool.as_str(), it.staged.is_some(), it.mode.as_str())).collect();
    assert_eq!(seen, [("read_file", false, "plan"), ("append_file", false, "plan"), ("append_file", true, "plan")]);
    assert!(!world.kinds(session.id()).await.contains(&"policy_asked"));
}

#[tokio::test]
async fn what_comes_after_a_change_is_asked_when_its_time_has_come() {
    let world = World::tape([Reply::calls(&[RUN, EDIT]), Reply::text("done")]);
    let policy = Arc::new(allowing());
    let (_, session) = create(&world, &policy).await;
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    let calls: Vec<_> = policy.questions().iter().map(|it| (it.tool.clone(), it.history.calls)).collect();
    let expected = [("run_command", 0), ("append_file", 1), ("append_file", 1)];
    assert_eq!(calls, expected.map(|(tool, calls)| (tool.to_owned(), calls)));
    assert!(world.kinds(session.id()).await.contains(&"policy_asked"));
}

#[tokio::test]
async fn a_mode_whose_policy_is_not_there_allows_nothing() {
    let world = World::tape([Reply::calls(&[READ]), Reply::text("done")]);
    let modes = vec![mode("plan", &[])];
    let context = harness_core::event::Context { modes, ..context(ApproveMode::All) };
    let new = NewSession { workspace: "/work".to_owned(), title: None };
    let session = world.host.create(new, context, Vec::new(), Arc::clone(&world.hands) as _).await.unwrap();
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(world.hands.executed(), []);
}

#[tokio::test]
async fn a_policy_narrows_what_is_run() {
    let world = World::tape([Reply::calls(&[RUN]), Reply::text("done")]);
    let less = r#"{"path":"b.txt","content":"?"}"#;
    let policy = Arc::new(ScriptedPolicy::by(move |question| {
        (VerdictKind::Allow, (*question.arguments != *less).then(|| less.to_owned()))
    }));
    let (_, session) = create(&world, &policy).await;
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!((world.file("a.txt"), world.file("b.txt")), ("alpha".to_owned(), "beta?".to_owned()));
}

#[tokio::test]
async fn a_policy_that_is_killed_with_its_host_is_asked_again() {
    let world = World::tape([Reply::calls(&[RUN, EDIT])]);
    let asked_once = Arc::new(ScriptedPolicy::by(|_| (VerdictKind::Allow, None)));
    let (_, session) = create(&world, &asked_once).await;
    // The prompt's and the response's appends pass; then the process is dead.
    world.log.plan(4, crate::watched_log::Fate::DieBefore);
    prompt(&session).await;
    crate::world::settle().await;
    let world = world.again(ScriptedModel::tape([Reply::text("done")]));
    let denying = Arc::new(ScriptedPolicy::by(|_| (VerdictKind::Deny, None)));
    let host = world.host.clone().with_policy(Arc::clone(&denying) as _);
    let hands = Arc::clone(&world.hands) as _;
    let modes = vec![mode("plan", &[])];
    let context = harness_core::event::Context { modes, ..context(ApproveMode::Edits) };
    let takeover = harness_engine::ports::Takeover::Force;
    let session = host.open(session.id(), context, Vec::new(), hands, takeover).await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(world.hands.executed(), [], "nothing ran that the policy in force denies");
}

#[tokio::test]
async fn a_hook_stops_a_call_before_it_runs() {
    let world = World::tape([Reply::calls(&[RUN]), Reply::text("never said")]);
    let stop = HookWish::Stop { reason: "not today".to_owned() };
    let policy = Arc::new(allowing().with_hook(HookPoint::BeforeCall, stop, ""));
    let (_, session) = create(&world, &policy).await;
    prompt(&session).await;
    let end = finish(&session).await.unwrap();
    assert_eq!(end, TurnEnd::Stopped { by: "scripted".to_owned(), words: "not today".to_owned() });
    assert_eq!(world.hands.executed(), []);
    assert_eq!(world.file("a.txt"), "alpha");
}

#[tokio::test]
async fn a_hook_stops_a_step_before_the_model_is_asked_and_a_turn_before_it_begins() {
    for point in [HookPoint::BeforeStep, HookPoint::Prompt] {
        let world = World::tape([Reply::text("never said")]);
        let policy = Arc::new(allowing().with_hook(point, HookWish::Stop { reason: "no".to_owned() }, ""));
        let (_, session) = create(&world, &policy).await;
        prompt(&session).await;
        let end = finish(&session).await.unwrap();
        assert_eq!(end, TurnEnd::Stopped { by: "scripted".to_owned(), words: "no".to_owned() }, "{point:?}");
        assert!(world.model.requests().is_empty(), "{point:?}");
    }
}

#[tokio::test]
async fn what_hooks_note_reaches_the_model_and_what_they_propose_a_person_chooses() {
    let world = World::tape([Reply::calls(&[READ]), Reply::text("done")]);
    let build = HookWish::Mode { mode: "build".to_owned() };
    let policy = allowing()
        .with_hook(HookPoint::Prompt, HookWish::GoOn, "It is late.")
        .with_hook(HookPoint::AfterCall, build, "")
        .with_hook(HookPoint::Stop, HookWish::GoOn, "");
    let policy = Arc::new(policy);
    let (_, session) = create(&world, &policy).await;
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(session.snapshot().await.unwrap().state.mode, "plan");
    assert!(world.kinds(session.id()).await.contains(&"mode_proposed"));
    let requests = world.model.requests();
    let has = |index: usize, words: &str| {
        let is_it = |item: &Arc<Item>| matches!(item.as_ref(), Item::User { text } if text.contains(words));
        requests[index].items.iter().any(is_it)
    };
    assert!(has(0, "It is late.") && has(0, "mode `plan`") && !has(0, "mode `build`"));
    assert!(!has(1, "mode `build`"));
    crate::world::settle().await;
    let points: Vec<_> = policy.occasions().iter().map(|it| it.point).collect();
    assert_eq!(points, [HookPoint::Prompt, HookPoint::AfterCall, HookPoint::Stop]);
    assert_eq!(policy.occasions()[1].details["outcome"], "returned");
}

/// Stops at words with "halt", takes long over words with "slow", and notes the rest.
pub(crate) struct Listener {
    slow: tokio::sync::Semaphore,
    heard: std::sync::Mutex<Vec<String>>,
}

impl Listener {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { slow: tokio::sync::Semaphore::new(0), heard: std::sync::Mutex::default() })
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

#[async_trait]
impl Policy for Listener {
    async fn judge(&self, _question: PolicyQuestion) -> PolicyAnswer {
        unreachable!("there is no mode")
    }

    fn has_hooks(&self, point: HookPoint) -> bool {
        point == HookPoint::Prompt
    }

    async fn run_hooks(&self, occasion: HookOccasion) -> Vec<HookAnswer> {
        let text = occasion.details["text"].as_str().unwrap().to_owned();
        self.heard.lock().unwrap().push(text.clone());
        if text.contains("slow") {
            self.slow.acquire().await.unwrap().forget();
        }
        let wish = if text.contains("halt") { HookWish::Stop { reason: "halted".to_owned() } } else { HookWish::GoOn };
        let (component, digest) = ("listener".to_owned(), Digest::ZERO);
        vec![HookAnswer { component, digest, wish, note: String::new(), fault: None }]
    }
}

pub(crate) async fn listened(world: &World, listener: &Arc<Listener>) -> (Host, Session) {
    let host = world.host.clone().with_policy(Arc::clone(listener) as _);
    let new = NewSession { workspace: "/work".to_owned(), title: None };
    let hands = Arc::clone(&world.hands) as _;
    let session = host.create(new, context(ApproveMode::Edits), Vec::new(), hands).await.unwrap();
    (host, session)
}

pub(crate) fn halted() -> TurnEnd {
    TurnEnd::Stopped { by: "listener".to_owned(), words: "halted".to_owned() }
}

#[tokio::test]
async fn hooks_hear_messages_too_whichever_way_they_come() {
    let world = World::tape([Reply::text("never said")]);
    let listener = Listener::new();
    let (host, session) = listened(&world, &listener).await;
    session.say("halt here", Delivery::Steer, TurnLimits::default()).await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), halted());
    let message = MessageId::from_bits(7);
    let (text, delivery) = ("halt there".to_owned(), Delivery::Queue);
    let sent = Event::MessageReceived { message, text, delivery, limits: TurnLimits::default() };
    host.send(session.id(), sent).await.unwrap();
    settle().await;
    assert_eq!(session.snapshot().await.unwrap().state.last_end, Some(halted()));
    assert_eq!(listener.heard(), ["halt here", "halt there"]);
    assert!(world.model.requests().is_empty());
}

#[tokio::test]
async fn a_hook_stops_a_turn_over_a_message_which_then_waits() {
    let gate = Gate::closed();
    let world = World::tape([Reply::calls(&[READ]).behind(&gate), Reply::text("never said")]);
    let (_, session) = listened(&world, &Listener::new()).await;
    prompt(&session).await;
    gate.reached(1).await;
    session.say("halt", Delivery::Steer, TurnLimits::default()).await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), halted());
    let state = session.snapshot().await.unwrap().state;
    assert_eq!((state.turns, state.messages.len()), (1, 1));
}

#[tokio::test]
async fn what_hooks_heard_of_a_prompt_that_is_refused_counts_for_nothing() {
    let gate = Gate::closed();
    let world = World::tape([Reply::text("done").behind(&gate)]);
    let (_, session) = listened(&world, &Listener::new()).await;
    prompt(&session).await;
    gate.reached(1).await;
    assert!(session.prompt("halt", TurnLimits::default()).await.is_err());
    gate.open();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
}

#[tokio::test]
async fn messages_keep_their_order_however_long_hooks_take() {
    let gate = Gate::closed();
    let world = World::tape([Reply::calls(&[READ]).behind(&gate), Reply::text("done")]);
    let listener = Listener::new();
    let (_, session) = listened(&world, &listener).await;
    prompt(&session).await;
    gate.reached(1).await;
    let say = |text: &'static str| {
        let session = session.clone();
        tokio::spawn(async move { session.say(text, Delivery::Steer, TurnLimits::default()).await })
    };
    let slow = say("slow");
    settle().await;
    let quick = say("quick");
    settle().await;
    listener.slow.add_permits(1);
    assert!(slow.await.unwrap().is_ok() && quick.await.unwrap().is_ok());
    let waiting = session.snapshot().await.unwrap().state.messages;
    assert_eq!(waiting.iter().map(|it| it.text.as_str()).collect::<Vec<_>>(), ["slow", "quick"]);
    // Who interrupts does not wait for hooks.
    let now = session.clone();
    let now = tokio::spawn(async move { now.say("slow stop", Delivery::Interrupt, TurnLimits::default()).await });
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Interrupted);
    listener.slow.add_permits(1);
    assert!(now.await.unwrap().is_ok());
    settle().await;
    assert_eq!(session.snapshot().await.unwrap().state.turns, 2);
}

/// Stops the first turn that it hears of at a point, once it is let.
struct Stopper {
    point: HookPoint,
    heard: Gate,
    has_stopped: std::sync::atomic::AtomicBool,
}

impl Stopper {
    fn at(point: HookPoint) -> Arc<Self> {
        Arc::new(Self { point, heard: Gate::closed(), has_stopped: Default::default() })
    }
}

#[async_trait]
impl Policy for Stopper {
    async fn judge(&self, _question: PolicyQuestion) -> PolicyAnswer {
        unreachable!("there is no mode")
    }

    fn has_hooks(&self, point: HookPoint) -> bool {
        point == self.point
    }

    async fn run_hooks(&self, _occasion: HookOccasion) -> Vec<HookAnswer> {
        if self.has_stopped.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return Vec::new();
        }
        self.heard.pass().await;
        let wish = HookWish::Stop { reason: "enough".to_owned() };
        vec![HookAnswer {
            component: "stopper".to_owned(),
            digest: Digest::ZERO,
            wish,
            note: String::new(),
            fault: None,
        }]
    }
}

#[tokio::test]
async fn a_hook_stops_no_turn_but_the_one_that_it_heard_of() {
    for point in [HookPoint::AfterStep, HookPoint::AfterCall] {
        let gate = Gate::closed();
        let world = World::tape([Reply::calls(&[READ]), Reply::text("said in turn 2").behind(&gate)]);
        let stopper = Stopper::at(point);
        let host = world.host.clone().with_policy(Arc::clone(&stopper) as _);
        let new = NewSession { workspace: "/work".to_owned(), title: None };
        let hands = Arc::clone(&world.hands) as _;
        let session = host.create(new, context(ApproveMode::Edits), Vec::new(), hands).await.unwrap();
        prompt(&session).await;
        stopper.heard.reached(1).await;
        // The turn is stopped and another one begins, while the hooks still think about the first.
        session.say("rather this", Delivery::Interrupt, TurnLimits::default()).await.unwrap();
        gate.reached(1).await;
        stopper.heard.open();
        settle().await;
        gate.open();
        assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done, "{point:?}");
        assert_eq!(session.snapshot().await.unwrap().state.turns, 2);
    }
}

#[tokio::test]
async fn who_interrupts_does_not_wait_for_hooks_that_hear_another_message() {
    let gate = Gate::closed();
    let world = World::tape([Reply::calls(&[READ]).behind(&gate), Reply::text("one"), Reply::text("two")]);
    let listener = Listener::new();
    let (_, session) = listened(&world, &listener).await;
    prompt(&session).await;
    gate.reached(1).await;
    let say = |text: &'static str, delivery| {
        let session = session.clone();
        tokio::spawn(async move { session.say(text, delivery, TurnLimits::default()).await })
    };
    let slow = say("slow", Delivery::Steer);
    settle().await;
    let now = say("stop", Delivery::Interrupt);
    settle().await;
    assert_eq!(session.snapshot().await.unwrap().state.last_end, Some(TurnEnd::Interrupted));
    listener.slow.add_permits(1);
    assert!(slow.await.unwrap().is_ok() && now.await.unwrap().is_ok());
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(session.snapshot().await.unwrap().state.messages, []);
}

#[tokio::test]
async fn what_hooks_heard_of_a_message_that_is_refused_counts_for_nothing() {
    let gate = Gate::closed();
    let world = World::tape([Reply::text("never said").behind(&gate), Reply::text("done")]);
    let (host, session) = listened(&world, &Listener::new()).await;
    prompt(&session).await;
    gate.reached(1).await;
    let say = |text: &'static str| session.say(text, Delivery::Queue, TurnLimits::default());
    for _ in 0..harness_core::limits::MESSAGES_WAITING_MAX {
        say("later").await.unwrap();
    }
    // After a stop without a word they go on waiting, and there is room for no other.
    session.interrupt().await.unwrap();
    assert!(say("halt").await.is_err());
    prompt(&session).await;
    for _ in 0..20 {
        settle().await;
    }
    let events = host.events(session.id(), harness_core::Sequence::START, usize::MAX).await.unwrap();
    let ends = events.into_iter().filter_map(|logged| match logged.event {
        Some(Event::TurnEnded { end, .. }) => Some(end),
        _ => None,
    });
    assert_eq!(ends.take(2).collect::<Vec<_>>(), [TurnEnd::Interrupted, TurnEnd::Done]);
}

#[tokio::test]
async fn hooks_hear_of_the_end_of_each_turn() {
    let gate = Gate::closed();
    let world = World::tape([Reply::text("never said").behind(&gate), Reply::text("done"), Reply::text("done")]);
    let policy = Arc::new(allowing().with_hook(HookPoint::Stop, HookWish::GoOn, ""));
    let (_, session) = create(&world, &policy).await;
    prompt(&session).await;
    gate.reached(1).await;
    // Both are there before the writer takes the first.
    let say = |text: &'static str| session.say(text, Delivery::Interrupt, TurnLimits::default());
    let (one, two) = tokio::join!(say("this"), say("no, this"));
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    settle().await;
    let heard: Vec<_> = policy.occasions().iter().map(|it| it.details["reason"].clone()).collect();
    assert_eq!(heard, ["interrupted", "interrupted", "done"]);
}
