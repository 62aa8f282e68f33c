//! Golden logs: what a version wrote must verify, decode, fold and replay for ever.

use crate::chain::{Stored, sealed, verify_all};
use crate::notation::{Past, World, decided, fold_all, grant, manifest};
use harness_core::change::{Change, FileState};
use harness_core::envelope::Payload;
use harness_core::event::{ApplyResult, Changes, ModelFailure, ModelFailureKind, TurnEnd};
use harness_core::outcome::{FailureKind, LimitName};
use harness_core::*;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Every kind of event, from the source: a new one cannot be forgotten here.
pub(crate) fn kinds() -> Vec<&'static str> {
    let source = include_str!("../../src/event.rs");
    let (_, body) = source.split_once("pub const fn kind(&self)").unwrap();
    let (body, _) = body.split_once("\n    }\n").unwrap();
    let kinds: Vec<&str> = body.split("=> \"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(kinds.len() >= 23, "the source was not understood: {kinds:?}");
    kinds
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/v1").join(name)
}

/// Reads a golden file; with `BLESS` set, writes it first where there is none.
fn golden(name: &str, lines: impl FnOnce() -> Vec<serde_json::Value>) -> Vec<serde_json::Value> {
    let path = file(name);
    if std::env::var_os("BLESS").is_some() && !path.exists() {
        let text: String = lines().iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, text).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}; see golden/README.md"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A session with every kind of event of its time.
fn session_lines() -> Vec<serde_json::Value> {
    lines_of(&[
        "create",
        "open rule=ask:fetch:careful rule=deny:think:frozen",
        "rename Größer",
        "prompt do it all",
        "fail retryable after=5",
        "retry",
        "call read edit fetch think nothing read={",
        "report c1 returned",
        "report c2 staged a b/c",
        "answer a1 yes",
        "put c2 applied",
        "answer a2 tool",
        "report c3 observed out",
        "call edit",
        "report c7 staged a",
        "open same",
        "answer a3 no not yet",
        "call edit edit",
        "report c8 staged .harness-host/x",
        "report c9 staged .git/x",
        "answer a4 yes",
        "put c9 conflict .git/x",
        "call run",
        "interrupt",
        "prompt again",
        "call run",
        "answer a6 yes",
        "open",
        "say that is all",
    ])
}

/// A session of components: grants, questions, nested calls, kv, undoing.
fn component_lines() -> Vec<serde_json::Value> {
    lines_of(&[
        "create",
        "grant http GET https://example.com",
        "grant question",
        "open approve=edits",
        "revoke question",
        "prompt do it all",
        "call edit send",
        "report c1 asks-of red blue",
        "open same",
        "reply q1 red",
        "report c1 calls edit",
        "report c3 staged b",
        "put c3 applied",
        "report c1 kv-staged a b/c",
        "put c1 applied",
        "report c2 asks why",
        "decline q2",
        "report c2 calls run",
        "answer a1 yes",
        "open same",
        "report c2 not-granted",
        "call read",
        "report c5 asks again",
        "interrupt",
        "undo c1 c3 of a",
        "put u1 conflict a",
        "undo c1 c3 of a",
        "open same",
        "put u2 applied",
        "prompt so",
        "say that is all",
    ])
}

/// A session under modes, policies, hooks, budgets and trust, with messages, questions, plans and allowances.
fn control_lines() -> Vec<serde_json::Value> {
    lines_of(&[
        "create",
        "trust carry edit supervised 8 0",
        "carry think",
        "open session trust mode=plan:p>build[read,edit,run] mode=build mode=review",
        "git 0a1b",
        "model test/other price=3000000+15000000",
        "budget b.tokens=1000000 b.calls=20",
        "hook note mind the gap",
        "prompt plan it b.steps=20",
        r#"policy read={"n":1} allow"#,
        r#"call read={"n":1} edit={"n":1} todo={"todos":[{"text":"one","status":"in_progress"}]}"#,
        "report c1 returned",
        r#"policy c2 allow narrow={"n":0}"#,
        "report c2 staged f",
        "open same",
        "policy c2 ask",
        "message steer look again",
        "answer a1 allow tool workspace",
        "put c2 applied",
        r#"call submit_plan={"title":"T","plan":"1.do"} ask_user={"question":"?","choices":["a","b"],"several":true}"#,
        "reply q1 a|b",
        "plan p1 reject not yet",
        r#"call submit_plan={"title":"T","plan":"1.do.it"}"#,
        "open same",
        "plan p2 approve",
        r#"call run={"n":1}"#,
        r#"answer a2 edit {"n":2}"#,
        "report c7 observed g",
        "call read read read",
        "report c8 returned",
        "report c9 returned",
        "report c10 returned",
        "hook mode review",
        "hook mode plan",
        "message queue then this",
        "message queue never",
        "withdraw m3",
        r#"call submit_plan={"title":"T","plan":"2."}"#,
        "message interrupt rather this",
        "call read",
        "hook stop enough",
        "forbid 2",
        "mode plan",
        "modes plan:q build",
        "mode build",
        "trust set edit autonomous",
        "budget b.calls=50",
        "prompt on",
        "budget b.calls=60",
        r#"call edit={"n":9}"#,
        "report c13 staged h",
        "put c13 applied",
        "review c13 bad",
        "budget b.calls=1",
        "call read",
        "prompt again",
        "trust reset edit",
        "git none",
        "budget b.tokens=9000000",
        "say bye",
        "say then",
    ])
}

/// A session that was archived, rewound, forked and imported.
fn branch_lines() -> Vec<serde_json::Value> {
    lines_of(&[
        "create",
        "grant question",
        "open",
        "archive on",
        "archive off",
        "prompt first",
        "call read run",
        "report c1 returned",
        "answer a1 tool",
        "report c2 observed out",
        "say done",
        "prompt second",
        "say so",
        "rewind 2",
        "prompt third",
        "say otherwise",
        "fork 30 third (fork)",
        "import /elsewhere",
        "open",
        "prompt fourth",
        "say that is all",
    ])
}

fn lines_of(inputs: &[&str]) -> Vec<serde_json::Value> {
    let mut world = World::default();
    for input in inputs {
        let followed = world.step(input);
        assert!(!followed.starts_with("refused"), "{input}: {followed}");
    }
    let mut batches: Vec<Vec<Event>> = Vec::new();
    for event in world.events {
        if is_input(&event) {
            batches.push(Vec::new());
        }
        batches.last_mut().unwrap().push(event);
    }
    let line = |(header, payload): &Stored| {
        let payload = payload.as_ref().unwrap();
        let salt: String = payload.salt.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        serde_json::json!({"header": text(header), "salt": salt, "payload": text(&payload.bytes)})
    };
    sealed(&batches).0.iter().map(line).collect()
}

fn is_input(event: &Event) -> bool {
    matches!(
        event,
        Event::SessionCreated { .. }
            | Event::SessionOpened { .. }
            | Event::SessionRenamed { .. }
            | Event::PromptReceived { .. }
            | Event::ModelResponded { .. }
            | Event::ModelFailed { .. }
            | Event::RetryDue
            | Event::CallReported { .. }
            | Event::ChangesPut { .. }
            | Event::ApprovalAnswered { .. }
            | Event::InterruptRequested
            | Event::GrantGiven { .. }
            | Event::GrantRevoked { .. }
            | Event::QuestionAnswered { .. }
            | Event::UndoRequested { .. }
            | Event::SessionArchived { .. }
            | Event::SessionForked { .. }
            | Event::SessionImported { .. }
            | Event::SessionRewound { .. }
            | Event::MessageReceived { .. }
            | Event::MessageWithdrawn { .. }
            | Event::BudgetSet { .. }
            | Event::ModeChosen { .. }
            | Event::ModesChanged { .. }
            | Event::ModelChosen { .. }
            | Event::PolicyAnswered { .. }
            | Event::HooksAnswered { .. }
            | Event::PlanAnswered { .. }
            | Event::WorkspaceObserved { .. }
            | Event::AllowanceRevoked { .. }
            | Event::AllowancesCarried { .. }
            | Event::TrustCarried { .. }
            | Event::TrustSet { .. }
            | Event::TrustReset { .. }
            | Event::WorkReviewed { .. }
    )
}

fn stored(line: &serde_json::Value) -> Stored {
    let text = |name: &str| line[name].as_str().unwrap().to_owned();
    let mut salt = [0; 16];
    let hex = text("salt");
    for (slot, pair) in salt.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *slot = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    }
    (text("header").into_bytes(), Some(Payload { salt, bytes: text("payload").into_bytes() }))
}

/// Versions of the rules that decide the golden sessions as today's do: what changed since is not in them.
const ALIKE: [u32; 3] = [1, 2, CORE_VERSION];

#[test]
fn the_golden_sessions_verify_fold_and_replay() {
    let mut seen = BTreeSet::new();
    let folded = fold_and_replay("session.jsonl", session_lines, &mut seen);
    assert_eq!(folded.last_end, Some(TurnEnd::Done));
    assert_eq!(folded.title.as_deref(), Some("Größer"));
    assert_eq!((folded.turns, folded.history.len()), (2, 13));

    let folded = fold_and_replay("session-components.jsonl", component_lines, &mut seen);
    assert_eq!((folded.turns, folded.undone.len(), folded.grants.len()), (2, 2, 1));

    let folded = fold_and_replay("session-branches.jsonl", branch_lines, &mut seen);
    assert_eq!((folded.turns, folded.workspace.as_str(), folded.grants.len()), (4, "/elsewhere", 0));
    let asked = folded.history.iter().filter(|item| matches!(item.as_ref(), Item::User { .. })).count();
    assert_eq!(asked, 3, "what was rewound is not in the conversation");

    let folded = fold_and_replay("session-control.jsonl", control_lines, &mut seen);
    assert_eq!(folded.last_end, Some(TurnEnd::Done));

    let missing: Vec<_> = kinds().into_iter().filter(|kind| !seen.contains(*kind)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "kinds of event that no golden log has");
}

fn fold_and_replay(name: &str, lines: fn() -> Vec<serde_json::Value>, seen: &mut BTreeSet<String>) -> SessionState {
    let log: Vec<Stored> = golden(name, lines).iter().map(stored).collect();
    let (events, tip) = verify_all(Tip::START, &log).unwrap();
    assert_eq!(tip.sequence, Sequence(log.len() as u64));
    seen.extend(events.iter().map(|sealed| sealed.header.kind.clone()));

    let all: Vec<Event> = events.iter().map(|sealed| sealed.event().unwrap().unwrap()).collect();
    let mut past = Past::new();
    let mut replayed = SessionState::default();
    let mut expected = std::collections::VecDeque::new();
    for ((sealed, (_, payload)), event) in events.iter().zip(&log).zip(all.iter().cloned()) {
        let bytes = &payload.as_ref().unwrap().bytes;
        assert_eq!(sealed.header.v, 1);
        // Another version of the rules may decide otherwise; what it wrote must fold all the same.
        if !ALIKE.contains(&sealed.header.core) {
            continue;
        }
        if sealed.header.origin == Origin::Input {
            assert!(expected.is_empty(), "the replay gave more events: {expected:?}");
            expected.extend(decided(&mut replayed, &past, event).unwrap().events);
            past.insert(Sequence(sealed.header.sequence.0 + expected.len() as u64 - 1), replayed.clone());
        }
        let again = expected.pop_front().expect("the replay gave fewer events");
        assert_eq!(String::from_utf8(again.encode()).unwrap(), String::from_utf8(bytes.clone()).unwrap());
    }
    fold_all(all.iter())
}

/// Payloads with every variant of the types inside events.
fn payload_lines() -> Vec<serde_json::Value> {
    let call = CallId::from_bits(3);
    let report = |outcome: Outcome, changes: Changes| Event::CallReported {
        call,
        outcome,
        changes,
        usage: CallUsage { fuel: 1, memory_bytes: 2, time_us: 3 },
        record: CallRecord::default(),
    };
    let mut events: Vec<Event> = outcomes().into_iter().map(|outcome| report(outcome, Changes::None)).collect();
    let file = |executable| Some(FileState::File { digest: Digest::of(b"x"), bytes: 1, executable });
    let change = |path: &str, before, after| Change { path: path.to_owned(), before, after };
    let all = Manifest::new(vec![
        change("created", None, file(true)),
        change("deleted", file(false), None),
        change("folder", file(false), Some(FileState::Directory)),
        change("ändert", file(true), file(false)),
    ]);
    events.push(report(Outcome::text(""), Changes::Staged { manifest: all.clone() }));
    events.push(report(Outcome::text(""), Changes::Observed { manifest: all }));
    for result in [
        ApplyResult::Applied,
        ApplyResult::Conflict { paths: vec!["a".into()] },
        ApplyResult::Failed { message: "disk full".into() },
    ] {
        events.push(Event::ChangesPut { call, result });
    }
    use ModelFailureKind as Kind;
    for kind in [
        Kind::Retryable,
        Kind::Disconnected,
        Kind::MalformedStream,
        Kind::Refused,
        Kind::Authentication,
        Kind::ContextTooLong,
    ] {
        let failure = ModelFailure { kind, message: "m".into(), status: Some(500), retry_after_ms: Some(1) };
        events.push(Event::ModelFailed { entropy: "e".into(), failure });
    }
    let failure = ModelFailure { kind: Kind::Refused, message: "m".into(), status: None, retry_after_ms: None };
    let ends = [
        TurnEnd::Done,
        TurnEnd::Failed { failure },
        TurnEnd::Limit { limit: "max-steps".into(), maximum: 3 },
        TurnEnd::Interrupted,
    ];
    for end in ends {
        let usage = Usage { cost_micro_usd: Some(5), reasoning_tokens: 2, ..Usage::default() };
        events.push(Event::TurnEnded { turn: TurnId::from_bits(2), end, steps: 1, usage });
    }
    events.extend(responses());
    let text = Some("text".to_owned());
    events.push(Event::CallEnded {
        call,
        outcome: "returned".into(),
        text,
        is_error: false,
        changes: manifest(&["a"]),
    });
    events.iter().map(|event| serde_json::json!({"payload": String::from_utf8(event.encode()).unwrap()})).collect()
}

/// Payloads with every variant that came with components: grants, records, needs.
fn component_payload_lines() -> Vec<serde_json::Value> {
    let call = CallId::from_bits(3);
    let capabilities = [
        "filesystem write /workspace/src",
        "filesystem read /skill",
        "http GET,POST https://*.example.com:8443/v1",
        "http * https://intranet.example via 10.0.0.0/8",
        "http GET http://127.0.0.1:8080",
        "secret forge api.example.com header authorization",
        "secret forge api.example.com query key",
        "env LANG=C.UTF-8",
        "env LANG",
        "kv read session",
        "kv write global",
        "tool read_file",
        "question",
    ];
    let limits = LimitName::ALL
        .iter()
        .filter(|limit| **limit != LimitName::StackBytes)
        .map(|limit| format!("limit {} 7", limit.name()));
    let texts = capabilities.iter().map(|text| (*text).to_owned()).chain(limits);
    let mut events: Vec<Event> = texts.map(|text| Event::GrantGiven { grant: grant(&text) }).collect();
    use Scope::{Agent, Global, Principal, Session, Tenant, Turn, Workspace};
    for scope in [Turn, Session, Workspace, Agent, Principal, Tenant, Global] {
        events.push(Event::GrantGiven { grant: Grant { scope, until: Some(TimeMs(5)), ..grant("question") } });
    }
    let report = |outcome: Outcome, record: CallRecord| Event::CallReported {
        call,
        outcome,
        changes: Changes::None,
        usage: CallUsage::default(),
        record,
    };
    events.push(report(Outcome::text("ok"), record()));
    let (choices, state) = (vec!["a".to_owned(), "b".to_owned()], "{}".to_owned());
    for outcome in [
        Outcome::NeedsInput { question: "?".into(), choices, state: state.clone() },
        Outcome::NeedsCall { tool: "read".into(), arguments: "{}".into(), state },
        Outcome::NotGranted { component: "editor".into(), capability: Box::new("question".parse().unwrap()) },
        Outcome::OverLimit { limit: LimitName::Requests, maximum: 1 },
        Outcome::OverLimit { limit: LimitName::RequestBytes, maximum: 1 },
        Outcome::OverLimit { limit: LimitName::ResponseBytes, maximum: 1 },
        Outcome::OverLimit { limit: LimitName::KvBytes, maximum: 1 },
    ] {
        events.push(report(outcome, CallRecord::default()));
    }
    let context = requesting_context();
    events.push(Event::SessionOpened { host: "h".into(), epoch: Epoch(1), context: Some(context) });
    let (undo, of) = (CallId::from_bits(9), vec![call]);
    for result in [
        ApplyResult::Applied,
        ApplyResult::Conflict { paths: vec!["a".into()] },
        ApplyResult::Failed { message: "disk full".into() },
    ] {
        events.push(Event::ChangesUndone { undo, of: of.clone(), result });
    }
    events.iter().map(|event| serde_json::json!({"payload": String::from_utf8(event.encode()).unwrap()})).collect()
}

/// A tool of a component, whose requests leave when they are made.
fn requesting_context() -> std::sync::Arc<event::Context> {
    let tool = ToolSpec {
        name: "fetch".into(),
        description: String::new(),
        parameters: serde_json::json!({"type": "object"}),
        category: item::Category::Network,
        effects: item::Effects::Requesting,
        implementation: "sha256:x".into(),
        component: "fetch".into(),
    };
    std::sync::Arc::new(event::Context {
        model: "test/model".parse().unwrap(),
        model_reason: "test".into(),
        system: String::new(),
        tools: vec![tool],
        approve: ApproveMode::Ask,
        rules: Vec::new(),
        modes: Vec::new(),
        price: None,
        agent: event::DEFAULT_AGENT.into(),
        trust: false,
    })
}

fn record() -> CallRecord {
    use harness_core::record::{Inputs, KvSpace, KvWrite, RequestMade};
    let made = RequestMade {
        method: "GET".into(),
        url: "https://example.com/a".into(),
        address: Some("192.0.2.1".into()),
        status: Some(200),
        problem: None,
        request_bytes: 0,
        response_bytes: 5,
    };
    let refused = RequestMade { address: None, status: None, problem: Some("not granted".into()), ..made.clone() };
    let space = KvSpace { component: "editor".into(), scope: Scope::Agent, owner: "o".into() };
    let write = KvWrite { space, key: "k".into(), value: Some("dg==".into()) };
    let deleted = KvWrite { value: None, ..write.clone() };
    let inputs = Inputs { started: TimeMs(1), seed: "00".into(), clock_steps_ms: vec![0, 5], is_complete: true };
    CallRecord {
        requests: vec![made, refused],
        kv: vec![write, deleted],
        refused: vec!["question".parse().unwrap()],
        in_force: vec!["tool read_file".parse().unwrap()],
        log: Some(Digest::of(b"log")),
        inputs: Some(inputs),
    }
}

fn responses() -> Vec<Event> {
    use event::ModelStop;
    [ModelStop::EndOfTurn, ModelStop::ToolCalls, ModelStop::OutputLimit]
        .map(|stop| Event::ModelResponded {
            entropy: "e".into(),
            parts: vec![
                AssistantPart::Text { text: "t".into() },
                AssistantPart::Reasoning {
                    text: "r".into(),
                    opaque: Some(serde_json::json!({"a": [1.5, "ü"], "b": 1})),
                },
                AssistantPart::ToolCall { provider_call: "p".into(), tool: "read".into(), arguments: "{}".into() },
            ],
            stop,
            usage: Usage::default(),
            provider_response: None,
            time_ms: 1,
        })
        .into()
}

fn outcomes() -> Vec<Outcome> {
    use FailureKind as Kind;
    use LimitName as Limit;
    let mut outcomes = vec![
        Outcome::Returned {
            parts: vec![
                Part::Text { text: "t".into() },
                Part::Json { json: "{}".into() },
                Part::Image { mime_type: "image/png".into(), digest: Digest::of(b"i"), bytes: 1 },
                Part::Resource { uri: "file:a".into(), mime_type: Some("text/plain".into()), text: "r".into() },
            ],
        },
        Outcome::Denied { rule: "r".into(), words: "w".into() },
        Outcome::NeedsInput { question: "?".into(), choices: Vec::new(), state: "{}".into() },
        Outcome::Conflict { paths: vec!["a".into()] },
        Outcome::Faulted { what: "trap".into() },
        Outcome::Interrupted,
        Outcome::InDoubt,
    ];
    outcomes.extend(
        [
            Kind::InvalidArguments,
            Kind::NotFound,
            Kind::UnknownTool,
            Kind::NotPermitted,
            Kind::Conflict,
            Kind::TooLarge,
            Kind::Unsupported,
            Kind::Failed,
        ]
        .map(|kind| Outcome::Failed { kind, code: "c".into(), message: "m".into(), retryable: true }),
    );
    outcomes.extend(
        [
            Limit::Fuel,
            Limit::DeadlineMs,
            Limit::MemoryBytes,
            Limit::TableElements,
            Limit::Instances,
            Limit::StackBytes,
            Limit::OutputBytes,
            Limit::LogBytes,
            Limit::HostBytes,
            Limit::OpenHandles,
            Limit::StagedBytes,
            Limit::StagedFiles,
            Limit::ArgumentBytes,
        ]
        .map(|limit| Outcome::OverLimit { limit, maximum: 1 }),
    );
    outcomes
}

#[test]
fn every_golden_payload_reads_back_to_the_same_bytes() {
    let mut lines = golden("payloads.jsonl", payload_lines);
    lines.extend(golden("payloads-components.jsonl", component_payload_lines));
    assert!(lines.len() > 80);
    for line in &lines {
        let text = line["payload"].as_str().unwrap();
        let kind = serde_json::from_str::<serde_json::Value>(text).unwrap()["kind"].as_str().unwrap().to_owned();
        let event = Event::decode(&kind, text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(event.encode()).unwrap(), text);
    }
    // What today's code would write is in the golden file already: a new variant needs a new line.
    let known: BTreeSet<String> = lines.iter().map(ToString::to_string).collect();
    let todays = payload_lines().into_iter().chain(component_payload_lines());
    let missing: Vec<_> = todays.filter(|line| !known.contains(&line.to_string())).collect();
    assert_eq!(missing, Vec::<serde_json::Value>::new());
}
