//! What components need beyond files: grants, values, a person's answer, other tools.

use crate::world::{World, context, finish, prompt, until};
use async_trait::async_trait;
use harness_core::event::{Answer, ApplyResult, Changes, TurnEnd, TurnLimits};
use harness_core::grant::SESSION_SOURCE;
use harness_core::record::{KvSpace, KvWrite};
use harness_core::*;
use harness_engine::ports::{Blobs, CallReport, CallRequest, Clock, Hands, Index, Kv, SessionStatus, Takeover};
use harness_engine::{SessionError, Update};
use harness_sim::fake_hands::specs;
use harness_sim::grant_lists::MemoryGrantLists;
use harness_sim::scripted_model::{Reply as Said, ScriptedModel};
use std::sync::Arc;

const FETCH: (&str, &str) = ("fetch", r#"{"url":"https://example.com/a"}"#);
const ASK: (&str, &str) = ("ask_person", r#"{"path":"c.txt","question":"what goes in?"}"#);

fn grant(capability: &str, source: &str) -> Grant {
    Grant {
        component: "fetch".to_owned(),
        capability: capability.parse().unwrap(),
        scope: Scope::Session,
        until: None,
        source: source.to_owned(),
    }
}

fn results(world: &World, request: usize) -> Vec<String> {
    let requests = world.model.requests();
    match requests[request].items.last().unwrap().as_ref() {
        Item::ToolResults { results } => results.iter().map(|result| result.text.clone()).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_missing_grant_is_named_and_given_while_the_session_runs() {
    let world = World::tape([
        Said::calls(&[FETCH]),
        Said::text("I may not"),
        Said::calls(&[FETCH]),
        Said::calls(&[FETCH]),
        Said::calls(&[FETCH]),
        Said::text("done"),
    ]);
    let session = world.create(ApproveMode::Ask).await;
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    let said = &results(&world, 1)[0];
    assert!(said.contains("harness-host component grant fetch 'http GET https://example.com/a'"), "{said}");

    // Its own, for a while; then the configuration's, narrowed by the mode.
    let soon = TimeMs(world.clock.now().0 + 1);
    let own = Grant { until: Some(soon), ..grant("http * https://example.com", "whatever") };
    let id = session.grant(own.clone()).await.unwrap();
    assert_eq!(id, Grant { source: SESSION_SOURCE.to_owned(), ..own }.id());
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    let granted: Vec<usize> = world.hands.requests().iter().map(|call| call.granted.len()).collect();
    assert_eq!(granted, [0, 1, 1, 1]);
    session.revoke(id).await.unwrap();
    let again = session.revoke(id).await;
    assert!(matches!(again, Err(SessionError::Refused(Refusal::UnknownGrant(_)))), "{again:?}");
    let ended = world.kinds(session.id()).await.iter().filter(|kind| **kind == "call_ended").count();
    assert_eq!(ended, 4);
}

#[tokio::test]
async fn a_grant_that_has_ended_is_none() {
    let world = World::tape([Said::calls(&[FETCH]), Said::text("done")]);
    let session = world.create(ApproveMode::Ask).await;
    let now = world.clock.now();
    session.grant(Grant { until: Some(now), ..grant("http * https://example.com", "") }).await.unwrap();
    prompt(&session).await;
    finish(&session).await.unwrap();
    assert_eq!(world.hands.requests()[0].granted, []);
    assert!(results(&world, 1)[0].starts_with("Not granted: fetch"));
}

#[tokio::test]
async fn the_configurations_grants_are_brought_in_line_and_logged_once() {
    let world = World::tape([]);
    let (get, post) = (grant("http GET https://a.example", "user"), grant("http POST https://a.example", "project"));
    let hands = || Arc::clone(&world.hands) as Arc<dyn Hands>;
    let new = harness_engine::NewSession { workspace: "/w".to_owned(), title: None };
    let given = vec![get.clone(), post.clone(), get.clone(), grant("question", SESSION_SOURCE)];
    let session = world.host.create(new, context(ApproveMode::Ask), given.clone(), hands()).await.unwrap();
    let id = session.id();
    assert_eq!(session.snapshot().await.unwrap().state.grants, [post.clone(), get.clone()]);
    session.set_grants(given.clone()).await.unwrap();
    assert_eq!(world.kinds(id).await, ["session_created", "grant_given", "grant_given", "session_opened"]);

    let own = session.grant(grant("tool read_file", "")).await.unwrap();
    let until = Grant { until: Some(TimeMs(9)), ..get.clone() };
    session.set_grants(vec![until.clone()]).await.unwrap();
    let grants = session.snapshot().await.unwrap().state.grants;
    assert_eq!(grants.iter().map(Grant::id).collect::<Vec<_>>(), [own, until.id()]);
    assert_eq!(world.kinds(id).await[4..], ["grant_given", "grant_revoked", "grant_given"]);
    let many = (0..100).map(|number| grant(&format!("tool t{number}"), "user")).collect();
    let refused = session.set_grants(many).await;
    assert!(matches!(refused, Err(SessionError::Refused(Refusal::TooManyGrants))), "{refused:?}");
    assert_eq!(session.snapshot().await.unwrap().state.grants, grants, "all of it or nothing");
    session.close().await;

    let takeover = Takeover::IfGone;
    let session = world.host.open(id, context(ApproveMode::Ask), vec![post.clone()], hands(), takeover).await.unwrap();
    let grants = session.snapshot().await.unwrap().state.grants;
    assert_eq!(grants.iter().map(Grant::id).collect::<Vec<_>>(), [own, post.id()]);
    assert_eq!(world.kinds(id).await[7..], ["grant_revoked", "grant_given", "session_opened"]);
}

#[tokio::test]
async fn what_is_granted_or_revoked_meanwhile_is_in_force_for_the_next_call() {
    // The calls that change something wait for an approval each, so that `fetch` behind them starts later.
    let [first, second] = ["1", "2"].map(|content| format!(r#"{{"path":"c.txt","content":"{content}"}}"#));
    let world = World::tape([
        Said::calls(&[FETCH, ("write_file", &first), FETCH, ("write_file", &second), FETCH]),
        Said::calls(&[("read_file", r#"{"path":"a.txt"}"#), FETCH]),
        Said::text("done"),
    ]);
    let session = world.create(ApproveMode::Ask).await;
    let lists = Arc::new(MemoryGrantLists::default());
    session.follow_grants(Arc::clone(&lists) as _).await.unwrap();
    let wide = grant("http * https://example.com", "user");
    lists.write(vec![wide.clone()]);
    prompt(&session).await;
    let mut asked = session.subscribe(Sequence::START);
    // Revoked, then more than a session can have.
    let many = (0..100).map(|number| grant(&format!("tool t{number}"), "user"));
    for written in [Vec::new(), many.chain([wide.clone()]).collect()] {
        loop {
            let Update::Event(logged) = asked.next().await.unwrap() else { continue };
            let Some(Event::ApprovalAsked { approval, binds_to, .. }) = &logged.event else { continue };
            lists.write(written);
            session.answer(*approval, *binds_to, Answer::Yes).await.unwrap();
            break;
        }
    }
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    let calls = world.hands.requests();
    let granted: Vec<usize> = calls.iter().filter(|it| it.tool == "fetch").map(|it| it.granted.len()).collect();
    assert_eq!(granted, [1, 0, 0, 0], "what does not fit gives nothing");

    let kinds = world.kinds(session.id()).await;
    let of_grants: Vec<_> = kinds.iter().filter(|kind| kind.starts_with("grant_")).collect();
    assert_eq!(of_grants, [&"grant_given", &"grant_revoked"]);
}

#[tokio::test]
async fn grants_that_changed_take_no_commit_of_their_own_and_nobody_looks_where_no_call_starts() {
    let world = World::tape([Said::calls(&[FETCH]), Said::text("done"), Said::text("nothing to do")]);
    let session = world.create(ApproveMode::Ask).await;
    let lists = Arc::new(MemoryGrantLists::default());
    session.follow_grants(Arc::clone(&lists) as _).await.unwrap();
    lists.write(vec![grant("http * https://example.com", "user")]);
    let before = world.store.appends();
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    // The prompt, the response with its call, the report, the answer.
    assert_eq!(world.store.appends() - before, 4);
    assert_eq!(results(&world, 1), ["page"]);
    lists.write(Vec::new());
    prompt(&session).await;
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    let kinds = world.kinds(session.id()).await;
    assert!(kinds.contains(&"grant_given") && !kinds.contains(&"grant_revoked"), "{kinds:?}");
}

#[tokio::test]
async fn a_nested_call_has_no_more_than_both_were_granted() {
    let call = r#"{"tool":"fetch","arguments":"{\"url\":\"https://example.com/a\"}"}"#;
    let script = || [Said::calls(&[("call_tool", call)]), Said::text("done")];
    for (parent, child, said, lacks) in [
        (None, Some("http * https://example.com"), "Failed (other)", Some("call_tool")),
        (
            Some("http GET https://*.example.com"),
            Some("http GET https://example.com"),
            "Failed (other)",
            Some("call_tool"),
        ),
        (Some("http GET https://example.com/a"), Some("http GET,POST https://example.com"), "it said: page", None),
        (Some("http GET https://example.com/a"), None, "Failed (other)", Some("fetch")),
        // Both: granting begins with the one that makes the request.
        (None, None, "Failed (other)", Some("fetch")),
    ] {
        let world = World::tape(script());
        let session = world.create(ApproveMode::Ask).await;
        let of = |component: &str, text: &str| Grant { component: component.to_owned(), ..grant(text, "user") };
        let given = parent.map(|text| of("call_tool", text)).into_iter().chain(child.map(|text| of("fetch", text)));
        session.set_grants(given.collect()).await.unwrap();
        prompt(&session).await;
        finish(&session).await.unwrap();
        let result = &results(&world, 1)[0];
        assert!(result.starts_with(said), "{parent:?} {child:?}: {result}");
        assert_eq!(results(&world, 1).len(), 1, "the model hears of its own call alone");
        // Whoever reads the log learns whom to grant it.
        let events = world.host.events(session.id(), Sequence::START, usize::MAX).await.unwrap();
        let named = events.into_iter().find_map(|logged| match logged.event {
            Some(Event::CallReported { outcome: Outcome::NotGranted { component, .. }, .. }) => Some(component),
            _ => None,
        });
        assert_eq!(named.as_deref(), lacks, "{parent:?} {child:?}");
    }
}

#[tokio::test]
async fn a_nested_calls_arguments_are_checked_and_its_approval_names_who_calls() {
    let bad = r#"{"tool":"write_file","arguments":"{\"path\":7}"}"#;
    let good = r#"{"tool":"run_command","arguments":"{\"path\":\"a.txt\",\"content\":\"+\"}"}"#;
    let world = World::tape([Said::calls(&[("call_tool", bad), ("call_tool", good)]), Said::text("done")]);
    let session = world.create(ApproveMode::Ask).await;
    prompt(&session).await;
    let Event::ApprovalAsked { approval, binds_to, words, .. } = until(&session, "approval_asked").await else {
        panic!()
    };
    assert_eq!(words, "called by call_tool: running commands asks.");
    session.answer(approval, binds_to, Answer::Yes).await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(results(&world, 1)[1], "it said: ran");
    assert!(results(&world, 1)[0].starts_with("Failed (other)"));
    let tools: Vec<String> = world.hands.executed().into_iter().map(|(_, tool)| tool).collect();
    assert!(!tools.contains(&"write_file".to_owned()), "{tools:?}");
    assert_eq!(world.file("a.txt"), "alpha+");
}

#[tokio::test]
async fn a_question_outlives_the_host_that_asked() {
    let first = World::tape([Said::calls(&[ASK])]);
    let session = first.create(ApproveMode::Edits).await;
    let id = session.id();
    prompt(&session).await;
    until(&session, "question_asked").await;
    let question = session.snapshot().await.unwrap().state.questions()[0].question;
    session.close().await;
    assert_eq!(first.store.summary(id).await.unwrap().status, SessionStatus::NeedsAnswer);

    let second = first.again(ScriptedModel::tape([Said::text("done")]));
    let session = second.open(id, ApproveMode::Edits).await.unwrap();
    let state = session.snapshot().await.unwrap().state;
    assert_eq!((state.questions()[0].component, state.questions()[0].words), ("ask_person", "what goes in?"));
    let stale = session.answer_question(QuestionId::from_bits(1), None).await;
    assert!(matches!(stale, Err(SessionError::Refused(Refusal::StaleQuestion(_)))));
    session.answer_question(question, Some("flowers".to_owned())).await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(second.file("c.txt"), "flowers");
}

#[tokio::test]
async fn a_question_that_nobody_answers_is_the_components_to_cope_with() {
    let world = World::tape([Said::calls(&[ASK]), Said::text("then not")]);
    let session = world.create(ApproveMode::Edits).await;
    prompt(&session).await;
    until(&session, "question_asked").await;
    let question = session.snapshot().await.unwrap().state.questions()[0].question;
    session.answer_question(question, None).await.unwrap();
    assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
    assert_eq!(results(&world, 1), ["Failed (unanswered): nobody answered"]);
}

#[tokio::test]
async fn progress_is_told_and_not_logged() {
    let world = World::tape([Said::calls(&[("read_file", r#"{"path":"a.txt"}"#)]), Said::text("done")]);
    let session = world.create(ApproveMode::Ask).await;
    let mut updates = session.subscribe(session.snapshot().await.unwrap().tip.sequence);
    prompt(&session).await;
    let words = loop {
        match updates.next().await.unwrap() {
            Update::Progress { progress, .. } => break progress.words,
            Update::Event(_) | Update::Delta { .. } => {}
            Update::Closed { fault } => panic!("{fault:?}"),
        }
    };
    assert_eq!(words, "read_file runs");
    finish(&session).await.unwrap();
}

/// Hands of one component, `note`, that report what a test tells them to.
struct Reporting(CallReport);

#[async_trait]
impl Hands for Reporting {
    fn tools(&self) -> Vec<ToolSpec> {
        specs()
    }

    async fn execute(&self, _: CallRequest) -> CallReport {
        self.0.clone()
    }

    async fn put(&self, _: CallId, _: &Manifest, _: &dyn Blobs) -> ApplyResult {
        ApplyResult::Applied
    }
}

fn space() -> KvSpace {
    KvSpace { component: "note".to_owned(), scope: Scope::Global, owner: String::new() }
}

#[tokio::test]
async fn values_are_written_with_the_end_of_the_call() {
    let world = World::tape([Said::calls(&[("note", r#"{"key":"k","value":"eWVz"}"#)]), Said::text("done")]);
    let session = world.create(ApproveMode::Ask).await;
    prompt(&session).await;
    finish(&session).await.unwrap();
    assert_eq!(world.store.kv_get(&space(), "k").await.unwrap().as_deref(), Some(b"yes".as_slice()));
    let kinds = world.kinds(session.id()).await;
    let at = kinds.iter().position(|kind| *kind == "kv_written").unwrap();
    assert_eq!(kinds[at - 1..=at + 1], ["call_reported", "kv_written", "call_ended"]);
    let changes = world.host.changes(session.id()).await.unwrap();
    assert_eq!(changes[0].kv.len(), 1);
}

#[tokio::test]
async fn a_report_that_breaks_the_rules_is_the_hands_fault_and_writes_nothing() {
    let good = KvWrite { space: space(), key: "k".to_owned(), value: Some("eWVz".to_owned()) };
    let with = |change: &dyn Fn(&mut KvWrite)| {
        let mut bad = good.clone();
        change(&mut bad);
        let mut report = CallReport::of(Outcome::text("noted"));
        report.record.kv = vec![good.clone(), bad];
        report
    };
    let needs = |question: usize, choices: usize, state: usize| {
        let choices = vec!["x".to_owned(); choices];
        CallReport::of(Outcome::NeedsInput { question: "x".repeat(question), choices, state: "x".repeat(state) })
    };
    let reports = [
        with(&|write| write.value = Some("Y-".to_owned())),
        with(&|write| write.value = Some("YQ==".repeat(30_000))),
        with(&|write| write.value = Some("eHh4".repeat(22_000))),
        with(&|write| write.key = String::new()),
        with(&|write| write.key = "x".repeat(257)),
        with(&|write| write.space.component = "other".to_owned()),
        with(&|write| write.space.owner = "x".to_owned()),
        with(&|write| write.space.scope = Scope::Agent),
        with(&|write| write.space.scope = Scope::Workspace),
        with(&|write| (write.space.scope, write.space.owner) = (Scope::Session, "ses_other".to_owned())),
        needs(1, 65, 0),
        needs(17 << 10, 0, 0),
        needs(1, 0, 65 << 10),
    ];
    for report in reports {
        let said = format!("{:?}", report.record.kv.last());
        let world = World::tape([Said::calls(&[("note", r#"{"key":"k","value":"x"}"#)]), Said::text("done")]);
        let session = world.create_with(ApproveMode::All, Arc::new(Reporting(report))).await;
        prompt(&session).await;
        assert_eq!(finish(&session).await.unwrap(), TurnEnd::Done);
        let result = &results(&world, 1)[0];
        assert!(result.starts_with("The tool broke: BUG: the hand's report is not sound"), "{said}: {result}");
        assert_eq!(world.store.kv_get(&space(), "k").await, Ok(None));
    }
}

#[tokio::test]
async fn values_of_a_call_whose_changes_are_denied_or_fail_are_not_written() {
    let write = KvWrite { space: space(), key: "k".to_owned(), value: Some("eWVz".to_owned()) };
    let host_file = Change { path: ".harness-host/x".to_owned(), before: None, after: Some(FileState::Directory) };
    for (outcome, changes) in [
        (Outcome::text("ok"), Changes::Staged { manifest: Manifest::new(vec![host_file]) }),
        (Outcome::failed(harness_core::outcome::FailureKind::Failed, "", "no"), Changes::None),
        (Outcome::Faulted { what: "trap".to_owned() }, Changes::None),
    ] {
        let mut report = CallReport::of(outcome);
        report.changes = changes;
        report.record.kv = vec![write.clone()];
        let world = World::tape([Said::calls(&[("note", r#"{"key":"k","value":"x"}"#)]), Said::text("done")]);
        let session = world.create_with(ApproveMode::All, Arc::new(Reporting(report))).await;
        session.prompt("go", TurnLimits::default()).await.unwrap();
        finish(&session).await.unwrap();
        assert_eq!(world.store.kv_get(&space(), "k").await, Ok(None));
        assert!(!world.kinds(session.id()).await.contains(&"kv_written"));
    }
}
