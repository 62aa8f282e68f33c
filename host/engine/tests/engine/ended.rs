//! What was allowed until a time is in force no longer, whatever waits or is under way then.

use crate::watched_log::Fate;
use crate::world::{World, context, finish, prompt, settle};
use async_trait::async_trait;
use harness_core::event::{Answer, AnswerCoverage, Context, TurnEnd};
use harness_core::item::{Category, Item};
use harness_core::mode::{HookAnswer, HookPoint, ModeSpec, PolicyAnswer, PolicyQuestion};
use harness_core::verdict::{Rule, Voice};
use harness_core::{ApproveMode, Digest, Event, Scope, Sequence, SessionState, TimeMs, VerdictKind};
use harness_engine::ports::{Clock, HookOccasion, InboxOutcome, Policy, Takeover};
use harness_engine::{Host, NewSession, Ports, Session, SessionError};
use harness_sim::gate::Gate;
use harness_sim::scripted_model::{Reply, ScriptedModel};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

const READ_A: (&str, &str) = ("read_file", r#"{"path":"a.txt"}"#);
const READ_B: (&str, &str) = ("read_file", r#"{"path":"b.txt"}"#);
const EDIT: (&str, &str) = ("append_file", r#"{"path":"a.txt","content":"+"}"#);
const RUN: (&str, &str) = ("run_command", r#"{"path":"a.txt","content":"!"}"#);

/// Has these calls made in every turn.
fn caller(calls: &'static [(&'static str, &'static str)]) -> ScriptedModel {
    ScriptedModel::by(move |request| {
        let is_told = matches!(request.items.last().unwrap().as_ref(), Item::ToolResults { .. });
        Some(if is_told { Reply::text("done") } else { Reply::calls(calls) })
    })
}

/// Asks before it reads.
fn asking() -> Context {
    let rule = Rule { category: Some(Category::Read), ..Rule::new("shy", VerdictKind::Ask) };
    Context { rules: vec![rule], ..context(ApproveMode::Ask) }
}

async fn create(world: &World, host: &Host, context: Context) -> Session {
    let new = NewSession { workspace: "/work".to_owned(), title: None };
    host.create(new, context, Vec::new(), Arc::clone(&world.hands) as _).await.unwrap()
}

async fn state(session: &Session) -> SessionState {
    session.snapshot().await.unwrap().state
}

/// Waits until so many approvals wait.
async fn asked(session: &Session, approvals: usize) {
    while state(session).await.pending().len() != approvals {
        tokio::task::yield_now().await;
    }
}

fn allow(scope: Scope, until: i64) -> Answer {
    Answer::Allow { coverage: AnswerCoverage::Tool, scope, until: Some(TimeMs(until)) }
}

/// Answers the first approval.
async fn answer(session: &Session, answer: Answer) -> Result<(), SessionError> {
    let state = state(session).await;
    let pending = &state.pending()[0];
    session.answer(pending.approval, pending.binds_to, answer).await
}

fn now(world: &World) -> i64 {
    world.clock.now().0
}

/// One turn in which the tool is allowed for a second.
async fn allow_for_a_second(world: &World, session: &Session) {
    prompt(session).await;
    asked(session, 1).await;
    answer(session, allow(Scope::Session, now(world) + 1_000)).await.unwrap();
    assert_eq!(finish(session).await.unwrap(), TurnEnd::Done);
}

#[tokio::test]
async fn an_answer_whose_time_is_over_when_it_is_taken_allows_nothing() {
    let world = World::new(caller(&[READ_A, READ_B]));
    let session = create(&world, &world.host, asking()).await;
    let id = session.id();
    prompt(&session).await;
    asked(&session, 2).await;
    let late = now(&world);
    assert!(matches!(answer(&session, allow(Scope::Session, late)).await, Err(SessionError::Refused(_))));
    // Given in time, and taken by whoever opens the session much later.
    let found = state(&session).await;
    let (approval, binds_to) = (found.pending()[0].approval, found.pending()[0].binds_to);
    session.close().await;
    let until = allow(Scope::Global, now(&world) + 1_000);
    let given = Event::ApprovalAnswered { approval, binds_to, answer: until };
    let sent = world.host.send(id, given).await.unwrap();
    world.clock.advance(1_000);
    let session =
        world.host.open(id, asking(), Vec::new(), Arc::clone(&world.hands) as _, Takeover::Force).await.unwrap();
    let Some(InboxOutcome::Refused { words }) = world.host.taken(&sent, 60_000).await.unwrap().outcome else {
        panic!("it was not refused");
    };
    assert!(words.contains("has ended"), "{words}");
    settle().await;
    let found = state(&session).await;
    assert_eq!((found.pending().len(), found.allowances.len(), world.hands.executed().len()), (2, 0, 0));
}

#[tokio::test]
async fn what_waits_for_a_person_goes_on_waiting_once_what_would_cover_it_has_ended() {
    for (later_ms, is_in_force) in [(999, true), (1_000, false)] {
        let world = World::new(caller(&[READ_A]));
        let waits = create(&world, &world.host, asking()).await;
        let id = waits.id();
        prompt(&waits).await;
        asked(&waits, 1).await;
        waits.close().await;
        let other = create(&world, &world.host, asking()).await;
        prompt(&other).await;
        asked(&other, 1).await;
        answer(&other, allow(Scope::Workspace, now(&world) + 1_000)).await.unwrap();
        assert_eq!(finish(&other).await.unwrap(), TurnEnd::Done);
        world.clock.advance(later_ms);
        let hands = Arc::clone(&world.hands) as _;
        let waits = world.host.open(id, asking(), Vec::new(), hands, Takeover::Force).await.unwrap();
        settle().await;
        let found = state(&waits).await;
        assert_eq!((found.pending().len(), found.turn.is_none()), (usize::from(!is_in_force), is_in_force));
        assert_eq!(world.hands.executed().len(), 1 + usize::from(is_in_force));
    }
}

/// A mode whose policy asks about everything, once it may.
struct Slow {
    gate: Gate,
    parks: AtomicBool,
}

#[async_trait]
impl Policy for Slow {
    async fn judge(&self, question: PolicyQuestion) -> PolicyAnswer {
        if self.parks.load(Ordering::Relaxed) {
            self.gate.pass().await;
        }
        let (subject, policy, verdict) = (question.subject, question.policy, Some(VerdictKind::Ask));
        PolicyAnswer {
            subject,
            policy,
            verdict,
            rule: "rule".to_owned(),
            words: String::new(),
            narrowed: None,
            fuel: 1,
        }
    }

    fn has_hooks(&self, _point: HookPoint) -> bool {
        false
    }

    async fn run_hooks(&self, _occasion: HookOccasion) -> Vec<HookAnswer> {
        Vec::new()
    }
}

#[tokio::test]
async fn what_ends_while_a_policy_is_asked_allows_nothing_any_more() {
    let mode = ModeSpec {
        name: "careful".to_owned(),
        description: String::new(),
        instructions: String::new(),
        tools: None,
        model: None,
        leads_to: Vec::new(),
        policy: Some(Digest::of(b"careful")),
    };
    // The first is asked about with the response, the second when its turn has come.
    for (calls, parks_at) in [(&[RUN][..], 1), (&[READ_A, RUN], 2)] {
        for (later_ms, is_in_force) in [(999, true), (1_000, false)] {
            let world = World::new(caller(calls));
            let policy = Arc::new(Slow { gate: Gate::closed(), parks: AtomicBool::new(false) });
            let host = world.host.clone().with_policy(Arc::clone(&policy) as _);
            let told = Context { modes: vec![mode.clone()], ..context(ApproveMode::Ask) };
            let session = create(&world, &host, told).await;
            prompt(&session).await;
            for _ in calls {
                asked(&session, 1).await;
                answer(&session, allow(Scope::Session, now(&world) + 1_000)).await.unwrap();
            }
            assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
            policy.parks.store(true, Ordering::Relaxed);
            prompt(&session).await;
            policy.gate.reached(parks_at).await;
            world.clock.advance(later_ms);
            policy.gate.open();
            settle().await;
            let found = state(&session).await;
            let ran = world.hands.executed().len() - calls.len();
            assert_eq!((ran, found.turn.is_none()), (if is_in_force { calls.len() } else { 0 }, is_in_force));
            assert_eq!(found.pending().len(), usize::from(!is_in_force));
        }
    }
}

#[tokio::test]
async fn changes_of_a_call_that_was_allowed_in_time_are_judged_by_what_is_in_force_then() {
    for (later_ms, is_in_force) in [(999, true), (1_000, false)] {
        let world = World::new(caller(&[EDIT]));
        let session = create(&world, &world.host, context(ApproveMode::Ask)).await;
        allow_for_a_second(&world, &session).await;
        let gate = Gate::closed();
        world.hands.hold(EDIT.0, &gate);
        prompt(&session).await;
        gate.reached(1).await;
        world.clock.advance(later_ms);
        gate.open();
        settle().await;
        assert_eq!(world.file("a.txt"), if is_in_force { "alpha++" } else { "alpha+" });
        assert_eq!(state(&session).await.pending().len(), usize::from(!is_in_force));
    }
}

#[tokio::test]
async fn what_ends_while_its_host_is_dead_lets_nothing_begin() {
    // The response and the start of its call are one append: it is durable and nobody heard of it, or it is not.
    for (fate, asks) in [(Fate::DieBefore, true), (Fate::DieAfter, false)] {
        let world = World::new(caller(&[RUN]));
        let session = create(&world, &world.host, context(ApproveMode::Ask)).await;
        allow_for_a_second(&world, &session).await;
        world.log.plan(2, fate.clone());
        prompt(&session).await;
        world.log.died().await;
        // Its clock says a hundred seconds later.
        let world = world.again(caller(&[RUN]));
        let (told, hands) = (context(ApproveMode::Ask), Arc::clone(&world.hands) as _);
        let session = world.host.open(session.id(), told, Vec::new(), hands, Takeover::Force).await.unwrap();
        settle().await;
        let found = state(&session).await;
        assert_eq!((found.pending().len(), found.allowances.len()), (usize::from(asks), 0), "{fate:?}");
        assert!(world.hands.executed().is_empty(), "{fate:?}");
    }
}

/// A millisecond passes whenever somebody looks.
struct Ticking(AtomicI64);

#[async_trait]
impl Clock for Ticking {
    fn now(&self) -> TimeMs {
        TimeMs(self.0.fetch_add(1, Ordering::Relaxed))
    }

    async fn sleep(&self, _duration_ms: u64) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_log_never_says_that_something_was_allowed_after_its_end() {
    let mut ran = [0, 0];
    for until in (1..120).step_by(1) {
        let world = World::new(caller(&[RUN]));
        let ports = Ports { clock: Arc::new(Ticking(AtomicI64::new(0))), ..world.host.ports().clone() };
        let host = Host::new(ports, world.holder.clone(), "test").without_session_tools();
        let session = create(&world, &host, context(ApproveMode::Ask)).await;
        prompt(&session).await;
        asked(&session, 1).await;
        let answered = answer(&session, allow(Scope::Session, until)).await;
        if answered.is_err() {
            answer(&session, Answer::Yes).await.unwrap();
        }
        assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
        for _ in 0..3 {
            prompt(&session).await;
            assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
        }
        for logged in host.events(session.id(), Sequence::START, usize::MAX).await.unwrap() {
            let Some(Event::CallJudged { verdict, .. }) = logged.event else { continue };
            if verdict.voice == Voice::Allowance {
                assert!(logged.header.time.0 < until, "until {until}: {:?}", logged.header);
                ran[0] += 1;
            } else {
                ran[1] += 1;
            }
        }
    }
    assert!(ran[0] > 20 && ran[1] > 200, "{ran:?}");
}
