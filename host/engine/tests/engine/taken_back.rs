//! What one session takes back is not in force any more for the next call of another one that is open.

use crate::world::{World, context, finish, prompt, settle};
use async_trait::async_trait;
use harness_core::event::{Answer, AnswerCoverage, ApplyResult, Context, TurnEnd};
use harness_core::item::{Category, Item};
use harness_core::mode::{HookAnswer, HookPoint, PolicyAnswer, PolicyQuestion};
use harness_core::record::KvSpace;
use harness_core::trust::{TrustKey, TrustLevel};
use harness_core::verdict::Rule;
use harness_core::{ApproveMode, CallId, Scope, SessionState, VerdictKind};
use harness_engine::ports::{HookOccasion, Kv, Policy, StoreError, Takeover};
use harness_engine::{Host, NewSession, Ports, Selection, Session};
use harness_sim::gate::Gate;
use harness_sim::memory_store::MemoryStore;
use harness_sim::scripted_model::{Reply, ScriptedModel};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const READ: (&str, &str) = ("read_file", r#"{"path":"a.txt"}"#);
const EDIT: (&str, &str) = ("append_file", r#"{"path":"a.txt","content":"+"}"#);
const RUN: (&str, &str) = ("run_command", r#"{"path":"a.txt","content":"!"}"#);

/// Has one call made in every turn.
fn caller(call: (&'static str, &'static str)) -> ScriptedModel {
    ScriptedModel::by(move |request| {
        let is_told = matches!(request.items.last().unwrap().as_ref(), Item::ToolResults { .. });
        Some(if is_told { Reply::text("done") } else { Reply::calls(&[call]) })
    })
}

async fn create(world: &World, context: Context) -> Session {
    let new = NewSession { workspace: "/work".to_owned(), title: None };
    world.host.create(new, context, Vec::new(), Arc::clone(&world.hands) as _).await.unwrap()
}

async fn state(session: &Session) -> SessionState {
    session.snapshot().await.unwrap().state
}

/// Waits until a person is asked or the turn is over; gives the rule that asks.
async fn asked(session: &Session) -> Option<String> {
    loop {
        let state = state(session).await;
        if let Some(pending) = state.pending().first() {
            return Some(pending.rule.to_owned());
        }
        state.turn.as_ref()?;
        tokio::task::yield_now().await;
    }
}

async fn answer(session: &Session, answer: Answer) {
    let state = state(session).await;
    let pending = &state.pending()[0];
    session.answer(pending.approval, pending.binds_to, answer).await.unwrap();
}

/// Has one turn allow calls of the tool from now on.
async fn allow(session: &Session, scope: Scope) {
    prompt(session).await;
    assert!(asked(session).await.is_some());
    answer(session, Answer::Allow { coverage: AnswerCoverage::Tool, scope, until: None }).await;
    assert_eq!(finish(session).await.unwrap(), TurnEnd::Done);
}

/// One turn; gives the rule that asked, and says yes.
async fn turn(session: &Session) -> Option<String> {
    prompt(session).await;
    let asked = asked(session).await;
    assert_eq!(finish(session).await.unwrap(), TurnEnd::Done);
    asked
}

#[tokio::test]
async fn an_allowance_that_another_session_takes_back_is_gone_for_the_next_call() {
    for scope in [Scope::Workspace, Scope::Agent, Scope::Global] {
        let ours = World::new(caller(RUN));
        // Another process over the same store.
        let theirs = ours.again(caller(RUN));
        let first = create(&ours, context(ApproveMode::Ask)).await;
        allow(&first, scope).await;
        let second = create(&theirs, context(ApproveMode::Ask)).await;
        let third = create(&ours, context(ApproveMode::Ask)).await;
        assert_eq!((turn(&second).await, turn(&third).await), (None, None));
        first.forbid(state(&second).await.allowances[0].id()).await.unwrap();
        for session in [&second, &third] {
            assert_eq!(turn(session).await.as_deref(), Some("default.execute"), "{scope:?}");
            assert_eq!(state(session).await.allowances, []);
            let kinds = ours.kinds(session.id()).await;
            assert_eq!(kinds.iter().filter(|kind| **kind == "allowances_carried").count(), 2, "{kinds:?}");
            assert_eq!(ours.host.load(session.id()).await.unwrap().state, state(session).await);
            assert_eq!(ours.host.replay(session.id()).await.unwrap().difference, None);
        }
        // What is allowed anew is in force where it was.
        allow(&second, scope).await;
        assert_eq!(turn(&second).await, None);
    }
}

#[tokio::test]
async fn a_running_turn_hears_of_it_in_the_append_that_judges_the_call() {
    let model = ScriptedModel::by(|request| {
        let told = request.items.iter().filter(|item| matches!(item.as_ref(), Item::ToolResults { .. })).count();
        Some(match told {
            0 => Reply::calls(&[READ, RUN]),
            _ => Reply::text("done"),
        })
    });
    let world = World::new(caller(RUN));
    let first = create(&world, context(ApproveMode::Ask)).await;
    allow(&first, Scope::Workspace).await;
    let rule = Rule { category: Some(Category::Read), ..Rule::new("shy", VerdictKind::Ask) };
    let asking = Context { rules: vec![rule], ..context(ApproveMode::Ask) };
    let second = create(&world.again(model), asking).await;
    prompt(&second).await;
    assert_eq!(asked(&second).await.as_deref(), Some("shy"));
    first.forbid(state(&first).await.allowances[0].id()).await.unwrap();
    answer(&second, Answer::Yes).await;
    settle().await;
    assert_eq!(asked(&second).await.as_deref(), Some("default.execute"));
    let kinds = world.kinds(second.id()).await;
    let at = kinds.iter().rposition(|kind| *kind == "allowances_carried").unwrap();
    assert_eq!(kinds[at + 1], "approval_answered", "{kinds:?}");
}

#[tokio::test]
async fn taking_it_back_reaches_what_others_allowed_since() {
    let world = World::new(caller(RUN));
    let first = create(&world, context(ApproveMode::Ask)).await;
    let second = create(&world, context(ApproveMode::Ask)).await;
    allow(&second, Scope::Workspace).await;
    allow(&first, Scope::Workspace).await;
    first.forbid(state(&first).await.allowances[0].id()).await.unwrap();
    assert!(turn(&second).await.is_some(), "the same allowance by its own answer");
    let third = create(&world, context(ApproveMode::Ask)).await;
    assert_eq!(state(&third).await.allowances, []);
}

fn trusting() -> Context {
    Context { trust: true, ..context(ApproveMode::Ask) }
}

fn key(state: &SessionState) -> TrustKey {
    state.trust_key(state.tool(EDIT.0).unwrap(), None)
}

/// How trust falls in the session that does not ask.
#[derive(Debug, Clone, Copy)]
enum Fall {
    ResetAll,
    ResetKey,
    Set,
    Denied,
    Rejected,
    Undone,
}

async fn fall(world: &World, session: &Session, how: Fall, ran: CallId) {
    let key = key(&state(session).await);
    match how {
        Fall::ResetAll => session.reset_trust(None).await.unwrap(),
        Fall::ResetKey => session.reset_trust(Some(key)).await.unwrap(),
        Fall::Set => session.set_trust(key, TrustLevel::Supervised).await.unwrap(),
        Fall::Denied => {
            prompt(session).await;
            assert_eq!(asked(session).await.as_deref(), Some("careful"));
            answer(session, Answer::No { reason: String::new() }).await;
            assert_eq!(finish(session).await.unwrap(), TurnEnd::Done);
        }
        Fall::Rejected => session.review(ran, false).await.unwrap(),
        Fall::Undone => {
            let plan = world.host.plan_undo(session.id(), Selection::Call(ran)).await.unwrap();
            assert_eq!(session.undo(&plan).await.unwrap(), ApplyResult::Applied);
        }
    }
}

#[tokio::test]
async fn trust_that_falls_in_another_session_is_gone_for_the_next_call() {
    use Fall::{Denied, Rejected, ResetAll, ResetKey, Set, Undone};
    for how in [ResetAll, ResetKey, Set, Denied, Rejected, Undone] {
        let world = World::new(caller(EDIT));
        let first = create(&world, trusting()).await;
        let key = key(&state(&first).await);
        first.set_trust(key, TrustLevel::SemiAutonomous).await.unwrap();
        let id = first.id();
        assert_eq!(turn(&first).await, None);
        let ran = state(&first).await.unreviewed().next().unwrap().call;
        let first = if matches!(how, Denied) {
            first.close().await;
            let rule = Rule { tool: Some(EDIT.0.to_owned()), ..Rule::new("careful", VerdictKind::Ask) };
            let careful = Context { rules: vec![rule], ..trusting() };
            let hands = Arc::clone(&world.hands) as _;
            world.host.open(id, careful, Vec::new(), hands, Takeover::IfGone).await.unwrap()
        } else {
            first
        };
        let second = create(&world.again(caller(EDIT)), trusting()).await;
        let tool = state(&second).await.tool(EDIT.0).unwrap().clone();
        assert_eq!(state(&second).await.trust_level(&tool, None), TrustLevel::SemiAutonomous);
        if !matches!(how, Undone) {
            // Its edit would stand in the undo's way.
            assert_eq!(turn(&second).await, None, "{how:?}");
        }
        fall(&world, &first, how, ran).await;
        assert_eq!(turn(&second).await.as_deref(), Some("default.edit"), "{how:?}");
        assert_eq!(world.host.load(second.id()).await.unwrap().state, state(&second).await);
        assert_eq!(world.host.replay(second.id()).await.unwrap().difference, None);
    }
}

#[tokio::test]
async fn a_reset_of_everything_reaches_what_others_earned_since() {
    let world = World::new(caller(EDIT));
    let first = create(&world, trusting()).await;
    let second = create(&world, trusting()).await;
    let key = key(&state(&second).await);
    second.set_trust(key, TrustLevel::Autonomous).await.unwrap();
    assert_eq!(turn(&second).await, None);
    first.reset_trust(None).await.unwrap();
    assert!(turn(&second).await.is_some());
}

/// Values as the store has them, counting who looks.
struct Watched {
    store: MemoryStore,
    values: AtomicU64,
    lists: AtomicU64,
    is_broken: AtomicBool,
}

#[async_trait]
impl Kv for Watched {
    async fn kv_get(&self, space: &KvSpace, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.values.fetch_add(1, Ordering::Relaxed);
        if self.is_broken.load(Ordering::Relaxed) {
            return Err(StoreError::Storage("broken".to_owned()));
        }
        self.store.kv_get(space, key).await
    }

    async fn kv_keys(
        &self,
        space: &KvSpace,
        prefix: &str,
        after: Option<&str>,
        keys_max: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        self.store.kv_keys(space, prefix, after, keys_max).await
    }

    async fn kv_bytes(&self, space: &KvSpace) -> Result<u64, StoreError> {
        self.store.kv_bytes(space).await
    }
}

#[tokio::test]
async fn looking_costs_one_read_for_an_append_and_a_session_that_cannot_look_stops() {
    for context in [context(ApproveMode::Ask), trusting()] {
        let world = World::new(caller(EDIT));
        let (values, lists, is_broken) = Default::default();
        let kv = Arc::new(Watched { store: world.store.clone(), values, lists, is_broken });
        let ports = Ports { kv: Arc::clone(&kv) as _, ..world.host.ports().clone() };
        let host = Host::new(ports, world.holder.clone(), "0.0.0-test").without_session_tools();
        let new = NewSession { workspace: "/work".to_owned(), title: None };
        let trust = context.trust;
        let session = host.create(new, context, Vec::new(), Arc::clone(&world.hands) as _).await.unwrap();
        let counts = || (kv.values.load(Ordering::Relaxed), kv.lists.load(Ordering::Relaxed));
        let (before, appends) = (counts(), world.log.appends());
        for _ in 0..3 {
            turn(&session).await;
        }
        let (after, appends) = (counts(), world.log.appends() - appends);
        assert!(if trust { (1..=appends).contains(&(after.0 - before.0)) } else { after.0 == before.0 }, "{appends}");
        assert_eq!(after.1, before.1, "nothing is listed where nothing was taken back");
        kv.is_broken.store(true, Ordering::Relaxed);
        let said = session.prompt("go on", Default::default()).await;
        if trust {
            assert!(said.unwrap_err().to_string().contains("what was taken back elsewhere is not known"), "{trust}");
        } else {
            said.unwrap();
        }
    }
}

#[tokio::test]
async fn evidence_that_is_taken_back_before_it_was_enough_is_gone_for_all() {
    use harness_core::trust::SEMI_EVIDENCE_MIN;
    let world = World::new(caller(EDIT));
    let (first, second) = (create(&world, trusting()).await, create(&world, trusting()).await);
    for _ in 0..SEMI_EVIDENCE_MIN {
        assert!(turn(&second).await.is_some());
    }
    let key = key(&state(&second).await);
    first.reset_trust(Some(key.clone())).await.unwrap();
    assert!(turn(&second).await.is_some());
    let known = state(&second).await.ledger.entry(&key).unwrap().clone();
    assert_eq!((known.own.level, known.evidence().approved), (TrustLevel::Supervised, 1));
    let third = create(&world, trusting()).await;
    assert_eq!(state(&third).await.ledger.entry(&key).unwrap().evidence().approved, 1);
    // It is kept, also where nobody asks the sessions that are open.
    for session in [first, second, third] {
        session.close().await;
    }
    let records = world.host.trust_records().await.unwrap();
    assert_eq!(records.iter().map(|it| (it.era, it.evidence.approved)).collect::<Vec<_>>(), [(1, 1)]);
}

/// A hook at the beginning of a session that takes its time.
struct Slow(Gate);

#[async_trait]
impl Policy for Slow {
    async fn judge(&self, _question: PolicyQuestion) -> PolicyAnswer {
        unreachable!("there is no mode")
    }

    fn has_hooks(&self, point: HookPoint) -> bool {
        point == HookPoint::SessionStart
    }

    async fn run_hooks(&self, _occasion: HookOccasion) -> Vec<HookAnswer> {
        self.0.pass().await;
        Vec::new()
    }
}

#[tokio::test]
async fn what_is_taken_back_while_a_session_is_being_opened_is_not_in_force_in_it() {
    let world = World::new(caller(RUN));
    let first = create(&world, context(ApproveMode::Ask)).await;
    let second = create(&world, context(ApproveMode::Ask)).await;
    let id = second.id();
    prompt(&second).await;
    assert!(asked(&second).await.is_some());
    second.close().await;
    allow(&first, Scope::Workspace).await;
    // Its call waits for a person, and is judged again by what is allowed when it is opened.
    let gate = Gate::closed();
    let host = world.host.clone().with_policy(Arc::new(Slow(gate.clone())));
    let hands = Arc::clone(&world.hands) as _;
    let opening = tokio::spawn(async move {
        host.open(id, context(ApproveMode::Ask), Vec::new(), hands, Takeover::IfGone).await.unwrap()
    });
    gate.reached(1).await;
    first.forbid(state(&first).await.allowances[0].id()).await.unwrap();
    gate.open();
    let second = opening.await.unwrap();
    assert_eq!(asked(&second).await.as_deref(), Some("default.execute"));
}
