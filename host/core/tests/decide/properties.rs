//! Laws that hold for every sequence of inputs, sensible or not.

use crate::notation::{Past, decided, fold_all, grant, manifest, mode, provider_problem, tools};
use harness_core::budget::Budget;
use harness_core::event::{
    Answer, AnswerCoverage, ApplyResult, Changes, Context, ForkFiles, ModelFailure, ModelFailureKind, ModelStop,
    PlanAnswer, TurnLimits,
};
use harness_core::message::Delivery;
use harness_core::mode::{HookAnswer, HookPoint, HookWish, ModeSpec, PolicyAnswer};
use harness_core::outcome::{FailureKind, LimitName};
use harness_core::pattern::ArgumentPattern;
use harness_core::record::{KvSpace, KvWrite};
use harness_core::state::kept::{self, decode_items, encode_items};
use harness_core::state::{CallStage, Phase};
use harness_core::trust::{TrustCounts, TrustLevel, TrustRecord};
use harness_core::verdict::{Allowance, Rule};
use harness_core::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::sync::Arc;

const SESSION: SessionId = SessionId::from_bits(7);
const PATHS: [&str; 5] = ["a", "b/c", ".git/config", ".harness-host/policy", "d"];
const TOOLS: [&str; 7] = ["read", "edit", "run", "fetch", "think", "send", "unknown"];
const SESSION_CALLS: [(&str, &str); 6] = [
    ("ask_user", r#"{"question":"?"}"#),
    ("ask_user", r#"{"question":"?","choices":["so","or"],"several":true}"#),
    ("submit_plan", r#"{"title":"t","plan":"p"}"#),
    ("todo", r#"{"todos":[{"text":"a","status":"done"}]}"#),
    ("todo", r#"{"todos":7}"#),
    ("ask_user", "{broken"),
];
const GRANTS: [&str; 4] = ["question", "kv write session", "tool read", "http GET https://example.com"];

/// What to try next: the numbers are read against the state, so that most inputs make sense.
type Move = (u8, u8, u8, u8);

fn context(seed: u8) -> Arc<Context> {
    let mut tools = tools();
    if seed & 0x10 > 0 {
        tools.remove(usize::from(seed) % 6);
    }
    if seed & 0x20 == 0 {
        tools.extend(session_tools::specs());
    }
    let verdicts = [VerdictKind::Allow, VerdictKind::Ask, VerdictKind::Deny];
    let rule = Rule {
        tool: Some(TOOLS[usize::from(seed) % 6].into()),
        reason: "so.".into(),
        ..Rule::new("rule", verdicts[usize::from(seed / 5) % 3])
    };
    let approve = [ApproveMode::Ask, ApproveMode::None, ApproveMode::Edits, ApproveMode::All][usize::from(seed & 3)];
    Arc::new(Context {
        model: "test/model".parse().unwrap(),
        model_reason: "test".into(),
        system: format!("system {seed}"),
        tools,
        approve,
        rules: if seed & 4 > 0 { vec![rule] } else { Vec::new() },
        modes: modes(seed),
        price: None,
        agent: "default".into(),
        trust: seed & 0x40 > 0 || seed & 3 == 0,
    })
}

/// An input of the kind `kind`.
pub(crate) fn input(state: &SessionState, number: usize, (kind, a, b, c): Move) -> Event {
    let entropy = format!("{number:032x}");
    let calls = state.turn.as_ref().map_or(&[][..], |turn| turn.calls());
    let at = |stage: fn(&CallStage) -> bool| {
        let fitting: Vec<CallId> = calls.iter().filter(|call| stage(&call.stage)).map(|call| call.id).collect();
        let any = calls.get(usize::from(a) % calls.len().max(1)).map(|call| call.id);
        let chosen = fitting.get(usize::from(a) % fitting.len().max(1)).copied();
        // Now and then a call that is not at that stage, or none of ours.
        if c.is_multiple_of(16) {
            any.unwrap_or(CallId::from_bits(u128::from(a)))
        } else {
            chosen.unwrap_or(CallId::from_bits(1))
        }
    };
    match kind % 46 {
        39..=45 => trust(state, a, b, c),
        36 | 37 => plan_answer(state, a, b),
        38 if a < 100 => {
            let allowances =
                vec![Allowance { scope: Scope::Workspace, ..Allowance::of_tool(TOOLS[usize::from(b) % 7], "r") }];
            Event::AllowancesCarried { allowances }
        }
        38 => {
            let known = state.allowances.get(usize::from(b) % state.allowances.len().max(1)).map(Allowance::id);
            Event::AllowanceRevoked { allowance: known.unwrap_or(AllowanceId::from_bits(1)), expired: c > 128 }
        }
        32 | 33 => message(number, a, b, c),
        34 => Event::MessageWithdrawn {
            message: state.messages.first().map_or(MessageId::from_bits(1), |waiting| waiting.message),
        },
        35 => Event::BudgetSet { budget: budget(a, b) },
        26 | 27 => policy(state, a, b),
        28 => {
            let points = [HookPoint::Prompt, HookPoint::BeforeStep, HookPoint::AfterStep, HookPoint::Stop];
            Event::HooksAnswered { point: points[usize::from(c) % 4], call: None, answers: vec![hook(a, b)] }
        }
        29 if a < 128 => Event::ModeChosen { mode: ["plan", "build", "none"][usize::from(b) % 3].into() },
        29 => Event::ModesChanged { modes: modes(b) },
        30 => Event::ModelChosen { model: "test/other".parse().unwrap(), price: None },
        31 => Event::WorkspaceObserved { git: None },
        0 => Event::SessionCreated { workspace: if a == 0 { "" } else { "/w" }.into(), title: None },
        1 => {
            let context = b.is_multiple_of(2).then(|| context(a));
            Event::SessionOpened { host: "test".into(), epoch: Epoch(number as u64), context }
        }
        2 => Event::SessionRenamed { title: "x".repeat(usize::from(a)) },
        3 | 4 => {
            let limits = TurnLimits {
                steps_max: u32::from(b % 8),
                retry_attempts_max: u32::from(c % 4),
                ..TurnLimits::default()
            };
            Event::PromptReceived { entropy, text: "p".repeat(usize::from(a)), limits }
        }
        5..=7 => response(entropy, a, b, c),
        8 => Event::ModelFailed { entropy, failure: failure(a, b) },
        9 => Event::RetryDue,
        10 | 11 | 16 | 17 => report(at(|stage| *stage == CallStage::Running), b, c),
        12 => {
            let results = [
                ApplyResult::Applied,
                ApplyResult::Conflict { paths: vec!["a".into()] },
                ApplyResult::Failed { message: "no".into() },
            ];
            Event::ChangesPut {
                call: at(|stage| *stage == CallStage::Putting),
                result: results[usize::from(b) % 3].clone(),
            }
        }
        13 | 14 => {
            let pending = state.pending();
            let chosen = pending.get(usize::from(a) % pending.len().max(1));
            let (approval, binds_to) =
                chosen.map_or((ApprovalId::from_bits(1), Digest::ZERO), |it| (it.approval, it.binds_to));
            let answers = answers(c);
            let binds_to = if c.is_multiple_of(16) { Digest::of(b"other") } else { binds_to };
            Event::ApprovalAnswered { approval, binds_to, answer: answers[usize::from(b) % 10].clone() }
        }
        18 | 19 => {
            let questions = state.questions();
            let chosen = questions.get(usize::from(a) % questions.len().max(1));
            let question = chosen.map_or(QuestionId::from_bits(1), |it| it.question);
            let answer = chosen.and_then(|it| it.choices.first().cloned()).unwrap_or_else(|| "so".into());
            Event::QuestionAnswered { question, answer: (b > 100).then_some(answer) }
        }
        20 if a < 90 => Event::GrantGiven { grant: grant(GRANTS[usize::from(b) % 4]) },
        20 => Event::GrantRevoked { grant: grant(GRANTS[usize::from(b) % 4]).id() },
        21 => match &state.undoing {
            Some(undoing) if a > 60 => {
                let conflict = ApplyResult::Conflict { paths: vec!["a".into()] };
                let result = if b > 128 { ApplyResult::Applied } else { conflict };
                Event::ChangesPut { call: undoing.undo, result }
            }
            _ => {
                let (undo, of) = (CallId::from_bits(number as u128 + 1_000), vec![CallId::from_bits(u128::from(a))]);
                Event::UndoRequested { undo, of, manifest: manifest(&PATHS[..usize::from(c) % 3]) }
            }
        },
        22 => Event::SessionArchived { archived: a < 128 },
        23 => {
            let files = if b < 128 { ForkFiles::Shared } else { ForkFiles::Overlaid { workspace: "/o".into() } };
            Event::SessionForked { origin: SESSION, at: Sequence(1), title: "f".repeat(usize::from(a)), files }
        }
        24 if a < 40 => {
            let workspace = if b == 0 { "" } else { "/i" }.into();
            Event::SessionImported { origin: SESSION, at: Sequence(1), workspace }
        }
        25 => Event::SessionRewound { to: Sequence(u64::from(a) * u64::from(b) / 16) },
        _ if a < 60 => Event::InterruptRequested,
        _ => Event::TurnEnded {
            turn: TurnId::from_bits(1),
            end: event::TurnEnd::Done,
            steps: 0,
            usage: Usage::default(),
        },
    }
}

fn response(entropy: String, a: u8, b: u8, c: u8) -> Event {
    let mut parts = Vec::new();
    if a & 1 > 0 {
        parts.push(AssistantPart::Reasoning {
            text: "hm".into(),
            opaque: Some(serde_json::json!({"s": [1, null, "ü"]})),
        });
    }
    if a & 2 > 0 {
        parts.push(AssistantPart::Text { text: "wörds\u{0}\u{2028}".into() });
    }
    for index in 0..usize::from(b % 5) {
        let arguments = ["{}", "", "{\"path\":\"a\"}", "{broken", " "][(usize::from(c) + index) % 5];
        let tool = TOOLS[(usize::from(c) * 5 + index * usize::from(a | 1)) % 7];
        let of_session = SESSION_CALLS[(usize::from(a) + index) % 6];
        let (tool, arguments) = if (usize::from(c) + index) % 4 == 3 { of_session } else { (tool, arguments) };
        parts.push(AssistantPart::ToolCall {
            provider_call: format!("p{index}"),
            tool: tool.into(),
            arguments: arguments.into(),
        });
    }
    let stop = [ModelStop::EndOfTurn, ModelStop::ToolCalls, ModelStop::OutputLimit][usize::from(c) % 3];
    let usage =
        Usage { input_tokens: u64::from(a), cost_micro_usd: b.is_multiple_of(2).then_some(3), ..Usage::default() };
    Event::ModelResponded { entropy, parts, stop, usage, provider_response: Some("r".into()), time_ms: u64::from(c) }
}

/// Levels given and taken back, reviews, and what other sessions know.
fn trust(state: &SessionState, a: u8, b: u8, c: u8) -> Event {
    let tools = tools();
    // What is asked about now is what may go unasked the next time.
    let asked = state.pending().first().and_then(|it| state.tool(&it.call.tool).cloned());
    let key = state.trust_key(&asked.unwrap_or_else(|| tools[1 + usize::from(b) % 5].clone()), None);
    let level =
        [TrustLevel::SemiAutonomous, TrustLevel::SemiAutonomous, TrustLevel::Autonomous, TrustLevel::Supervised];
    let level = level[usize::from(c) % 4];
    let unreviewed = state.unreviewed().next().map(|it| it.call);
    match a % 8 {
        0 | 1 => Event::WorkReviewed { call: unreviewed.unwrap_or(CallId::from_bits(1)), accepted: b > 90 },
        2 if unreviewed.is_some() => Event::WorkReviewed { call: unreviewed.unwrap(), accepted: b > 90 },
        2..=5 => Event::TrustSet { key, level },
        6 => Event::TrustReset { key: c.is_multiple_of(2).then_some(key) },
        _ => {
            let evidence = TrustCounts { approved: u32::from(c), failed: u32::from(b / 16), ..TrustCounts::default() };
            let (implementation, era) = (key.component.clone(), u32::from(c % 3));
            let began = if c.is_multiple_of(2) { level } else { TrustLevel::Supervised };
            let record = TrustRecord { key, level, era, began, implementation, evidence, total: evidence };
            Event::TrustCarried { records: vec![record] }
        }
    }
}

/// Every way to answer an approval.
fn answers(c: u8) -> [Answer; 10] {
    let allow = |coverage, scope| Answer::Allow { coverage, scope, until: None };
    let pattern = |arguments| AnswerCoverage::Pattern { pattern: ArgumentPattern { arguments, ..Default::default() } };
    let scopes = [Scope::Turn, Scope::Session, Scope::Workspace, Scope::Tenant, Scope::Global];
    let scope = scopes[usize::from(c) % 5];
    [
        Answer::Yes,
        Answer::YesForTool,
        Answer::No { reason: "no".into() },
        allow(AnswerCoverage::Exact, scope),
        allow(AnswerCoverage::Tool, scope),
        allow(AnswerCoverage::Category, scope),
        allow(pattern([("path".to_owned(), "*".parse().unwrap())].into()), scope),
        allow(pattern(std::collections::BTreeMap::new()), scope),
        Answer::Edited { arguments: format!("{{\"path\":{c}}}") },
        Answer::Edited { arguments: "[]".into() },
    ]
}

fn plan_answer(state: &SessionState, a: u8, b: u8) -> Event {
    let plans = state.plans();
    let plan = plans.get(usize::from(a) % plans.len().max(1)).map_or(PlanId::from_bits(1), |plan| plan.plan);
    let answer = match b % 4 {
        0 => PlanAnswer::Approve { mode: None },
        1 => PlanAnswer::Approve { mode: Some("build".into()) },
        _ => PlanAnswer::Reject { feedback: "no".repeat(usize::from(b) % 3) },
    };
    Event::PlanAnswered { plan, answer }
}

fn failure(a: u8, b: u8) -> ModelFailure {
    use ModelFailureKind as Kind;
    let kinds = [
        Kind::Retryable,
        Kind::Disconnected,
        Kind::MalformedStream,
        Kind::Refused,
        Kind::Authentication,
        Kind::ContextTooLong,
    ];
    ModelFailure {
        kind: kinds[usize::from(a) % 6],
        message: "m".into(),
        status: Some(u16::from(b)),
        retry_after_ms: (b > 128).then_some(u64::MAX),
    }
}

fn report(call: CallId, b: u8, c: u8) -> Event {
    let outcomes = [
        Outcome::text("ok"),
        Outcome::text("ok"),
        Outcome::text("ok"),
        Outcome::failed(FailureKind::NotFound, "code", "gone"),
        Outcome::OverLimit { limit: LimitName::Fuel, maximum: 9 },
        Outcome::Faulted { what: "trap".into() },
        Outcome::NeedsInput { question: "?".into(), choices: Vec::new(), state: "{}".into() },
        Outcome::NeedsInput { question: "?".into(), choices: vec!["one".into()], state: "{}".into() },
        Outcome::NeedsCall { tool: TOOLS[usize::from(c) % 7].into(), arguments: "{}".into(), state: "s".into() },
        Outcome::NeedsCall { tool: TOOLS[usize::from(c) % 7].into(), arguments: "{}".into(), state: "s".into() },
    ];
    let paths = &PATHS[..usize::from(c) % 5];
    let changes = match c / 64 {
        0 => Changes::None,
        1 => Changes::Observed { manifest: manifest(paths) },
        _ => Changes::Staged { manifest: manifest(paths) },
    };
    let usage = CallUsage { fuel: u64::from(b), memory_bytes: 1, time_us: 2 };
    Event::CallReported { call, outcome: outcomes[usize::from(b) % 10].clone(), changes, usage, record: record(b) }
}

fn message(number: usize, a: u8, b: u8, c: u8) -> Event {
    let delivery = [Delivery::Steer, Delivery::Queue, Delivery::Interrupt][usize::from(b) % 3];
    let (message, text) = (MessageId::from_bits(number as u128 + 5_000), "m".repeat(usize::from(a)));
    let limits = TurnLimits { steps_max: u32::from(c % 8), budget: budget(b, c), ..TurnLimits::default() };
    Event::MessageReceived { message, text, delivery, limits }
}

/// Mostly none, and now and then tight.
fn budget(a: u8, b: u8) -> Budget {
    let tight = |kind: u8| (a % 16 == kind).then_some(u64::from(b % 8));
    Budget {
        tokens: tight(1).map(|it| it * 3_000),
        cost_micro_usd: tight(2),
        work_ms: tight(3),
        fuel: tight(4).map(|it| it * 100),
        calls: tight(5),
        steps: tight(6),
    }
}

fn modes(seed: u8) -> Vec<ModeSpec> {
    match seed % 5 {
        0 | 1 => Vec::new(),
        2 => vec![mode("plan:p>build[read,edit,send]"), mode("build")],
        3 => vec![mode("build>plan"), mode("plan:p2")],
        _ => vec![mode("plan:p")],
    }
}

fn hook(a: u8, b: u8) -> HookAnswer {
    let wishes = [
        HookWish::GoOn,
        HookWish::Mode { mode: "build".into() },
        HookWish::Mode { mode: "plan".into() },
        HookWish::Stop { reason: "enough".into() },
    ];
    let note = if a > 128 { "a note".into() } else { String::new() };
    let wish = wishes[usize::from(b) % 4].clone();
    HookAnswer { component: "hooks".into(), digest: Digest::ZERO, wish, note, fault: None }
}

/// An answer to what is asked, or about something else.
fn policy(state: &SessionState, a: u8, b: u8) -> Event {
    let judging: Vec<_> = state.judging().collect();
    let subject = judging.get(usize::from(a) % judging.len().max(1)).map(|call| match call.stage {
        CallStage::Judging { subject } => subject,
        _ => Digest::ZERO,
    });
    let verdicts = [Some(VerdictKind::Allow), Some(VerdictKind::Ask), Some(VerdictKind::Deny), None];
    let verdict = verdicts[usize::from(b) % 4];
    let narrowed = b.is_multiple_of(7).then(|| "{\"less\":1}".to_owned());
    let policy = state.mode().and_then(|mode| mode.policy).unwrap_or(Digest::ZERO);
    let (subject, rule, words) = (subject.unwrap_or(Digest::ZERO), "r".into(), "w".into());
    Event::PolicyAnswered { answers: vec![PolicyAnswer { subject, policy, verdict, rule, words, narrowed, fuel: 1 }] }
}

fn record(b: u8) -> CallRecord {
    let space = KvSpace { component: "editor".into(), scope: Scope::Global, owner: String::new() };
    let write = KvWrite { space, key: "k".into(), value: None };
    CallRecord { kv: if b & 0x40 > 0 { vec![write] } else { Vec::new() }, ..CallRecord::default() }
}

/// Commands are only for what is open, and everything that is out has been commanded.
fn check_commands(state: &SessionState, decision: &Decision) {
    let turn = state.turn.as_ref();
    let stage = |id: CallId| turn.and_then(|turn| turn.call(id)).map(|call| call.stage.clone());
    for command in &decision.commands {
        match command {
            Command::CallModel => assert!(matches!(turn.unwrap().phase, Phase::Requesting { .. })),
            Command::Wait { delay_ms } => {
                assert!(*delay_ms <= limits::RETRY_DELAY_MAX_MS);
                assert!(matches!(turn.unwrap().phase, Phase::Waiting { .. }));
            }
            Command::RunCall { call, tool, arguments, resume } => {
                assert_eq!(stage(*call), Some(CallStage::Running));
                assert_eq!(turn.unwrap().call(*call).unwrap().going_on, *resume);
                assert!(state.tool(tool).is_some() && serde_json::from_str::<serde_json::Value>(arguments).is_ok());
            }
            Command::PutChanges { call, manifest } if state.undoing.as_ref().is_some_and(|it| it.undo == *call) => {
                assert!(turn.is_none() && state.undoing.as_ref().unwrap().manifest == *manifest);
            }
            Command::PutChanges { call, manifest } => {
                assert_eq!(stage(*call), Some(CallStage::Putting));
                let forbidden = |path: &str| path.split('/').any(|part| part == verdict::HOST_FOLDER);
                assert!(!manifest.entries().iter().any(|change| forbidden(&change.path)), "a deny was crossed");
            }
            Command::AskPolicy { question } => {
                let subject = question.subject;
                assert_eq!(stage(question.call.unwrap()), Some(CallStage::Judging { subject }));
                assert_eq!(state.mode().and_then(|mode| mode.policy), Some(question.policy));
            }
            // What was said meanwhile may have begun another turn, with a request of its own.
            Command::CancelModel => assert!(turn.is_none() || decision.commands.contains(&Command::CallModel)),
            Command::CancelCall { call } => assert!(!matches!(stage(*call), Some(CallStage::Running))),
        }
    }
    for event in &decision.events {
        let id = match event {
            Event::CallStarted { implementation, .. } if implementation == item::SESSION_IMPLEMENTATION => continue,
            Event::CallStarted { call, .. } | Event::ChangesAuthorized { call, .. } => *call,
            _ => continue,
        };
        let commanded = decision.commands.iter().any(|command| match command {
            Command::RunCall { call, .. } | Command::PutChanges { call, .. } => *call == id,
            _ => false,
        });
        assert!(commanded, "{event:?} is carried out");
    }
}

/// Nothing stands still: what is under way waits for the model, a timer, a hand or a person.
fn check_alive(state: &SessionState) {
    let Some(turn) = &state.turn else { return };
    match &turn.phase {
        Phase::Requesting { .. } | Phase::Waiting { .. } => {}
        Phase::Calling { calls, .. } => assert!(calls.iter().any(|call| match call.stage {
            CallStage::Running
            | CallStage::Judging { .. }
            | CallStage::Putting
            | CallStage::Asked { .. }
            | CallStage::Planned { .. }
            | CallStage::Questioned { .. } => true,
            CallStage::Requested
            | CallStage::Reported
            | CallStage::Awaiting { .. }
            | CallStage::Answered
            | CallStage::Ended(_) => false,
        })),
        other => panic!("nobody will end {other:?}"),
    }
    check_nested(turn);
    let is_parked = |call: &&state::Call| call.stage == CallStage::Requested && call.tool == "ask_user";
    assert!(!turn.calls().iter().any(|call| is_parked(&call)), "a question waits for nothing");
    // At most one call that changes something is on its way, and nothing runs beside it that came later.
    let changing =
        |call: &&state::Call| state.tool(&call.tool).is_some_and(|tool| tool.category != item::Category::Read);
    let under_way = |call: &&state::Call| {
        !call.is_ended() && !matches!(call.stage, CallStage::Requested | CallStage::Awaiting { .. })
    };
    let on_their_way = turn.calls().iter().filter(under_way).filter(changing).count();
    assert!(
        on_their_way <= 1
            || state.context.as_ref().is_some_and(|it| it.tools.iter().filter(|it| !it.is_of_session()).count() < 6),
        "{:?}",
        turn.calls()
    );
}

/// A nested call is there as long as the one that needs it waits for it, or a person stopped that one.
fn check_nested(turn: &state::Turn) {
    for call in turn.calls() {
        assert!(call.depth <= limits::NESTED_DEPTH_MAX && call.rounds <= limits::CALL_ROUNDS_MAX);
        assert!(call.nested <= limits::NESTED_CALLS_MAX);
        if let CallStage::Awaiting { child, .. } = call.stage {
            assert_eq!(turn.call(child).and_then(|child| child.parent), Some(call.id));
        }
        let parent = call.parent.map(|parent| turn.call(parent).unwrap());
        let awaits =
            |parent: &state::Call| matches!(parent.stage, CallStage::Awaiting { child, .. } if child == call.id);
        assert!(!call.is_ended() || call.parent.is_none(), "an ended nested call is gone");
        assert!(parent.is_none_or(|parent| awaits(parent) && parent.depth + 1 == call.depth));
    }
}

/// Feeds moves to a fresh session and checks every law at every step; gives the batches.
pub(crate) fn play(moves: &[Move]) -> (SessionState, Vec<Vec<Event>>) {
    let mut state = SessionState::default();
    let mut batches: Vec<Vec<Event>> = Vec::new();
    let mut past = Past::new();
    let first = [(0, 1, 0, 1), (1, 0, 0, 1)];
    for (number, step) in first.iter().chain(moves).enumerate() {
        let mut input = input(&state, number, *step);
        if let Event::SessionRewound { to } = &mut input {
            // Mostly to the end of a batch.
            *to = past.range(..=*to).next_back().map_or(*to, |(end, _)| *end);
        }
        let before = state.clone();
        match decided(&mut state, &past, input.clone()) {
            Err(Refusal::Inconsistent(why)) => panic!("{input:?}: {why}"),
            Err(_) => assert_eq!(state, before, "a refused input changes nothing"),
            Ok(decision) => {
                assert_eq!(decision.events[0], input);
                let mut folded = before;
                for event in &decision.events {
                    match event {
                        Event::SessionRewound { .. } => folded = state.clone(),
                        event => folded.apply(event).unwrap(),
                    }
                    let bytes = event.encode();
                    let decoded = Event::decode(event.kind(), &bytes).unwrap();
                    assert_eq!(&decoded, event);
                    assert_eq!(decoded.encode(), bytes, "an event has one form");
                }
                assert_eq!(folded, state, "the state is the fold of the events");
                check_commands(&state, &decision);
                check_alive(&state);
                if state.turn.as_ref().is_none_or(|turn| turn.calls().is_empty()) {
                    assert_eq!(provider_problem(&state.history), None);
                }
                batches.push(decision.events);
                past.insert(Sequence(batches.iter().map(Vec::len).sum::<usize>() as u64), state.clone());
            }
        }
    }
    (state, batches)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_hold_for_any_inputs(moves in prop::collection::vec(any::<Move>(), 1..120)) {
        let (state, batches) = play(&moves);
        let (mut again, mut past, mut count) = (SessionState::default(), Past::new(), 0);
        for batch in &batches {
            let decision = decided(&mut again, &past, batch[0].clone()).unwrap();
            count += batch.len() as u64;
            past.insert(Sequence(count), again.clone());
            let bytes = |events: &[Event]| events.iter().map(Event::encode).collect::<Vec<_>>();
            prop_assert_eq!(bytes(&decision.events), bytes(batch), "a replay gives the same events");
        }
        prop_assert_eq!(&again, &state);
        prop_assert_eq!(&fold_all(batches.iter().flatten()), &state, "a rewind is part of the fold");
        let pieces: Vec<_> = state.history.chunks(3).map(|items| encode_items(items).unwrap()).collect();
        let items = pieces.iter().flat_map(|piece| decode_items(piece).unwrap()).collect();
        prop_assert_eq!(&SessionState::decode(&state.encode().unwrap(), items).unwrap(), &state, "kept bytes are the state");
    }

    #[test]
    fn a_rewind_gives_nothing_back(moves in prop::collection::vec(any::<Move>(), 1..60), cut in any::<prop::sample::Index>()) {
        let (now, batches) = play(&moves);
        let then = fold_all(batches[..cut.index(batches.len()) + 1].iter().flatten());
        let mut state = now.clone();
        if decide_rewind(&mut state, Sequence(1), then.clone()).is_err() {
            prop_assert_eq!(&state, &now);
            return Ok(());
        }
        prop_assert!(state.grants.iter().all(|grant| now.grants.contains(grant) && then.grants.contains(grant)));
        prop_assert!(state.allowances.iter().all(|it| now.allowances.contains(it) && (it.is_kept() || then.allowances.contains(it))));
        prop_assert_eq!((state.usage, state.turns, &state.undone), (now.usage, now.turns, &now.undone));
        prop_assert_eq!((&state.workspace, &state.title, state.archived), (&now.workspace, &now.title, now.archived));
        prop_assert_eq!((state.epoch, &state.context, &state.turn), (now.epoch, &now.context, &None));
        prop_assert_eq!(provider_problem(&state.history), None);
        prop_assert!(state.history.starts_with(&then.history));
        let shared = state.history.iter().zip(&now.history).take_while(|(ours, theirs)| ours == theirs);
        prop_assert!(shared.into_iter().all(|(ours, theirs)| Arc::ptr_eq(ours, theirs)));
    }

    #[test]
    fn reading_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), number in any::<u128>()) {
        let _ = Event::decode("turn_ended", &bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        prop_assert!(text.parse::<CallId>().is_err());
        let _ = (text.parse::<Digest>(), text.parse::<ModelRef>());
        prop_assert_eq!(CallId::from_bits(number).to_string().parse::<CallId>().unwrap(), CallId::from_bits(number));
    }
}

#[test]
fn random_inputs_reach_every_kind_of_event() {
    // The generator would prove nothing if it never got anywhere.
    let mut seen = std::collections::BTreeSet::new();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = prop::collection::vec(any::<Move>(), 120);
    for _ in 0..300 {
        let moves = strategy.new_tree(&mut runner).unwrap().current();
        seen.extend(play(&moves).1.into_iter().flatten().map(|event| event.kind()));
    }
    let missing: Vec<_> = crate::golden::kinds().into_iter().filter(|kind| !seen.contains(kind)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// What the kept form of a state looks like: every key of its JSON that random inputs reach, by its path.
fn form_of_states() -> String {
    fn keys(value: &serde_json::Value, path: &str, found: &mut std::collections::BTreeSet<String>) {
        match value {
            serde_json::Value::Object(fields) => fields.iter().for_each(|(key, value)| {
                let path = format!("{path}.{key}");
                keys(value, &path, found);
                found.insert(path);
            }),
            serde_json::Value::Array(items) => items.iter().for_each(|item| keys(item, path, found)),
            _ => {}
        }
    }
    let mut found = std::collections::BTreeSet::new();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = prop::collection::vec(any::<Move>(), 60);
    for _ in 0..200 {
        let (state, _) = play(&strategy.new_tree(&mut runner).unwrap().current());
        keys(&serde_json::from_slice(&state.encode().unwrap()).unwrap(), "", &mut found);
    }
    found.into_iter().collect::<Vec<_>>().join("\n")
}

#[test]
fn the_form_of_a_kept_state_is_that_of_its_number() {
    let form = form_of_states();
    let known = (3, "sha256:400187f6126605710e157b6f895cdc9309430323cb08b8931a5bb1ece2c64c1f");
    let found = Digest::of(form.as_bytes()).to_string();
    let words = "the form changed, or the inputs that show it: raise STATE_FORMAT and note the new digest";
    assert_eq!((kept::STATE_FORMAT, found.as_str()), known, "{words}:\n{form}");
}
