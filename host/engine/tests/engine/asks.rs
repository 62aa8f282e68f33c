//! What waits for a person outlives the host that asked, and what a person said beyond a session reaches others.

use crate::world::{World, context, finish, prompt, until};
use harness_core::event::{Answer, AnswerCoverage, Context, PlanAnswer, TurnEnd};
use harness_core::item::Category;
use harness_core::trust::TrustLevel;
use harness_core::verdict::Rule;
use harness_core::{ApproveMode, Event, Scope, SessionState, TimeMs, VerdictKind, session_tools};
use harness_engine::ports::{Index, SessionStatus, Takeover};
use harness_engine::{Host, NewSession, Session};
use harness_sim::scripted_model::{Reply, ScriptedModel};
use std::sync::Arc;

const READ_A: (&str, &str) = ("read_file", r#"{"path":"a.txt"}"#);
const READ_B: (&str, &str) = ("read_file", r#"{"path":"b.txt"}"#);
const EDIT: (&str, &str) = ("append_file", r#"{"path":"a.txt","content":"+"}"#);
const RUN: (&str, &str) = ("run_command", r#"{"path":"a.txt","content":"!"}"#);
const ASK: (&str, &str) = ("ask_user", r#"{"question":"Which?","choices":["one","two"]}"#);
const PLAN: (&str, &str) = ("submit_plan", r#"{"title":"Tidy","plan":"First."}"#);

/// A host as its users have it.
fn host(world: &World) -> Host {
    Host::new(world.host.ports().clone(), world.holder.clone(), "0.0.0-test")
}

async fn create(world: &World, workspace: &str, context: Context) -> Session {
    let new = NewSession { workspace: workspace.to_owned(), title: None };
    host(world).create(new, context, Vec::new(), Arc::clone(&world.hands) as _).await.unwrap()
}

async fn state(session: &Session) -> SessionState {
    session.snapshot().await.unwrap().state
}

/// The ids of everything that waits for a person.
fn waiting(state: &SessionState) -> Vec<String> {
    let approvals = state.pending().into_iter().map(|it| it.approval.to_string()).collect::<Vec<_>>();
    let questions = state.questions().into_iter().map(|it| it.question.to_string());
    let plans = state.plans().into_iter().map(|it| it.plan.to_string());
    approvals.into_iter().chain(questions).chain(plans).collect()
}

fn asking() -> Context {
    let rule = Rule { category: Some(Category::Read), ..Rule::new("shy", VerdictKind::Ask) };
    Context { rules: vec![rule], ..context(ApproveMode::Ask) }
}

#[tokio::test]
async fn two_approvals_a_question_and_a_plan_survive_their_host_and_are_answered_in_another_order() {
    let first = World::tape([Reply::calls(&[READ_A, PLAN, ASK, READ_B])]);
    let session = create(&first, "/work", asking()).await;
    let id = session.id();
    prompt(&session).await;
    while waiting(&state(&session).await).len() < 4 {
        tokio::task::yield_now().await;
    }
    let asked = waiting(&state(&session).await);
    assert_eq!(first.store.summary(id).await.unwrap().status, SessionStatus::NeedsAnswer);

    // The first host is not told that it is over.
    let second = first.again(ScriptedModel::tape([Reply::text("done")]));
    let hands = Arc::clone(&second.hands) as _;
    let session = host(&second).open(id, asking(), Vec::new(), hands, Takeover::Force).await.unwrap();
    let found = state(&session).await;
    assert_eq!(waiting(&found), asked, "the same ids");
    let (pending, question, plan) = (found.pending(), found.questions()[0].question, found.plans()[0].plan);
    session.answer_question(question, Some("two".to_owned())).await.unwrap();
    session.answer(pending[1].approval, pending[1].binds_to, Answer::Yes).await.unwrap();
    session.answer_plan(plan, PlanAnswer::Reject { feedback: "smaller".to_owned() }).await.unwrap();
    session.answer(pending[0].approval, pending[0].binds_to, Answer::No { reason: String::new() }).await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    let told = format!("{:?}", second.model.requests()[0].items.last());
    for words in ["said no", "did not approve the plan: smaller", "\"two\"", "\"beta\""] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[tokio::test]
async fn sessions_have_the_sessions_tools_once_unless_the_host_leaves_them_out() {
    let world = World::tape([]);
    let mut forged = context(ApproveMode::Ask);
    forged.tools[0].name = session_tools::ASK_USER.to_owned();
    let session = create(&world, "/work", forged).await;
    let tools = state(&session).await.context.unwrap().tools.clone();
    let own: Vec<_> = tools.iter().filter(|tool| session_tools::NAMES.contains(&tool.name.as_str())).collect();
    assert_eq!(own.len(), 3);
    assert!(own.iter().all(|tool| tool.is_of_session()), "no other tool has such a name");
    let session = world.create(ApproveMode::Ask).await;
    assert!(!state(&session).await.context.unwrap().tools.iter().any(harness_core::ToolSpec::is_of_session));
}

/// Runs one command in a session, and says yes for later calls where it is asked; gives whether it was asked.
async fn run(session: &Session, scope: Scope, until_ms: Option<i64>) -> bool {
    prompt(session).await;
    loop {
        let state = state(session).await;
        if state.turn.is_none() {
            return false;
        }
        if let Some(pending) = state.pending().first() {
            let (coverage, until) = (AnswerCoverage::Tool, until_ms.map(TimeMs));
            let answer = Answer::Allow { coverage, scope, until };
            session.answer(pending.approval, pending.binds_to, answer).await.unwrap();
            assert_eq!(finish(session).await.unwrap(), TurnEnd::Done);
            return true;
        }
        tokio::task::yield_now().await;
    }
}

/// Says `done` after every call of [`RUN`].
fn runner() -> ScriptedModel {
    ScriptedModel::by(|request| {
        let is_told = matches!(request.items.last().unwrap().as_ref(), harness_core::Item::ToolResults { .. });
        Some(if is_told { Reply::text("done") } else { Reply::calls(&[RUN]) })
    })
}

#[tokio::test]
async fn what_is_allowed_in_a_workspace_holds_there_until_it_is_taken_back() {
    let world = World::new(runner());
    let (ask, scope) = (|| context(ApproveMode::Ask), Scope::Workspace);
    let first = create(&world, "/work", ask()).await;
    assert!(run(&first, scope, None).await);
    assert!(!run(&first, scope, None).await);
    let second = create(&world, "/work", ask()).await;
    assert!(!run(&second, scope, None).await, "another session of the workspace");
    let elsewhere = create(&world, "/other", ask()).await;
    assert!(run(&elsewhere, Scope::Session, None).await, "another workspace");
    let allowed = state(&second).await.allowances[0].id();
    second.forbid(allowed).await.unwrap();
    assert!(run(&second, Scope::Turn, None).await);
    let third = create(&world, "/work", ask()).await;
    assert!(run(&third, Scope::Turn, None).await, "it is taken back for all");
    // What the first has in its log and is not kept any more is gone when it is opened again.
    let id = first.id();
    first.close().await;
    let hands = Arc::clone(&world.hands) as _;
    let first = host(&world).open(id, ask(), Vec::new(), hands, Takeover::IfGone).await.unwrap();
    assert_eq!(state(&first).await.allowances, []);
}

#[tokio::test]
async fn an_allowance_ends_when_it_said_and_the_log_says_so() {
    let world = World::new(runner());
    let session = create(&world, "/work", context(ApproveMode::Ask)).await;
    let now = harness_engine::ports::Clock::now(world.clock.as_ref()).0;
    assert!(run(&session, Scope::Global, Some(now + 1_000)).await);
    assert!(!run(&session, Scope::Global, None).await);
    world.clock.advance(1_000);
    assert!(run(&session, Scope::Turn, None).await);
    let revoked = until(&session, "allowance_revoked").await;
    assert!(matches!(revoked, Event::AllowanceRevoked { expired: true, .. }));
    // A replay of the log comes to the same without a clock.
    assert_eq!(world.host.load(session.id()).await.unwrap().state, state(&session).await);
    let other = create(&world, "/work", context(ApproveMode::Ask)).await;
    assert_eq!(state(&other).await.allowances, []);
}

#[tokio::test]
async fn trust_adds_up_over_sessions_and_falls_in_all_of_them() {
    let model = || {
        ScriptedModel::by(|request| {
            let is_told = matches!(request.items.last().unwrap().as_ref(), harness_core::Item::ToolResults { .. });
            Some(if is_told { Reply::text("done") } else { Reply::calls(&[EDIT]) })
        })
    };
    let world = World::new(model());
    let trusting = || Context { trust: true, ..context(ApproveMode::Ask) };
    let level = |state: &SessionState| {
        let tool = state.tool("append_file").unwrap().clone();
        state.trust_level(&tool, None)
    };
    let first = create(&world, "/work", trusting()).await;
    for _ in 0..5 {
        prompt(&first).await;
        finish(&first).await.unwrap();
    }
    let second = create(&world, "/work", trusting()).await;
    assert_eq!(level(&state(&second).await), TrustLevel::Supervised);
    for _ in 0..4 {
        prompt(&second).await;
        finish(&second).await.unwrap();
    }
    assert_eq!(level(&state(&second).await), TrustLevel::SemiAutonomous, "five of the first and four of its own");
    prompt(&second).await;
    finish(&second).await.unwrap();
    let unasked = state(&second).await.unreviewed().next().unwrap().call;
    // The same session again knows no more and no less.
    let id = second.id();
    let before = state(&second).await;
    second.close().await;
    let hands = Arc::clone(&world.hands) as _;
    let second = host(&world).open(id, trusting(), Vec::new(), hands, Takeover::IfGone).await.unwrap();
    assert_eq!(state(&second).await.ledger, before.ledger);
    let third = create(&world, "/work", trusting()).await;
    assert_eq!(level(&state(&third).await), TrustLevel::SemiAutonomous);
    second.review(unasked, false).await.unwrap();
    assert_eq!(level(&state(&second).await), TrustLevel::Supervised);
    let fourth = create(&world, "/work", trusting()).await;
    assert_eq!(level(&state(&fourth).await), TrustLevel::Supervised, "what was known before the rejection is over");
    let loaded = world.host.load(second.id()).await.unwrap();
    assert_eq!(loaded.state.ledger, state(&second).await.ledger, "the log says all of it");
}
