//! What comes from outside, drawn at random: contexts, responses, reports, answers, grants.
//!
//! Promise: every category, effect, outcome and kind of failure comes up; most of it makes sense.

mod control;

use crate::random::Random;
pub(crate) use control::*;
use harness_core::change::{Change, FileState, Manifest};
use harness_core::event::{
    Answer, ApplyResult, Changes, Context, ModelFailure, ModelFailureKind, ModelStop, TurnLimits,
};
use harness_core::item::{AssistantPart, Category, Effects, ToolSpec, Usage};
use harness_core::outcome::{CallUsage, FailureKind, LimitName, Outcome, Part, Resume};
use harness_core::record::{KvSpace, KvWrite, RequestMade};
use harness_core::verdict::{HOST_FOLDER, Rule};
use harness_core::{ApproveMode, CallRecord, Digest, Grant, Scope, VerdictKind};
use harness_engine::ports::ModelResponse;
use serde_json::json;

/// Paths that calls change: few, so that calls meet; some that only a person may decide about, or nobody.
const PATHS: [&str; 6] = ["a", "b", "c/d", "c/e", ".git/config", ".harness-host/config.toml"];
/// What files hold: few, so that a file often is again what it was.
const CONTENTS: [&str; 3] = ["one", "two", "three"];
/// Capabilities that are lent.
const CAPABILITIES: [&str; 4] = ["question", "kv write global", "tool read", "http GET https://example.com"];

/// The tool whose effects differ from context to context, as if another component had been installed.
const CHANGEABLE: &str = "changeable";

fn tools(shape: u64) -> Vec<ToolSpec> {
    let spec = |name: &str, category, effects, component: &str| ToolSpec {
        name: name.to_owned(),
        description: String::new(),
        parameters: json!({"type": "object"}),
        category,
        effects,
        implementation: format!("sim:{name}:{shape}"),
        component: component.to_owned(),
    };
    let changeable = [Effects::Staged, Effects::Direct, Effects::Requesting][(shape % 3) as usize];
    let mut tools = vec![
        spec("read", Category::Read, Effects::Staged, ""),
        spec("edit", Category::Edit, Effects::Staged, "editor"),
        spec("run", Category::Execute, Effects::Direct, ""),
        spec("shell", Category::Execute, Effects::Staged, "shell"),
        spec("fetch", Category::Network, Effects::Requesting, "fetcher"),
        spec("watch", Category::Read, Effects::Requesting, "fetcher"),
        spec("send", Category::Other, Effects::Direct, "sender"),
        spec(CHANGEABLE, Category::Other, changeable, "changeable"),
    ];
    if shape.is_multiple_of(7) {
        tools.remove((shape / 7 % 8) as usize);
    }
    tools
}

/// A context: other tools, other rules, another wish to be asked. Or one in which little is there and nobody says
/// anything of it, so that the same calls come again and trust in them is earned.
pub(crate) fn context(random: &mut Random) -> Context {
    let full = full_context(random);
    if !random.one_in(3) {
        return full;
    }
    let reading = full.tools.iter().find(|tool| tool.category == Category::Read).filter(|_| random.one_in(2));
    let other = reading.or_else(|| random.pick(&full.tools)).map(|tool| tool.name.clone());
    let is_kept =
        |tool: &ToolSpec| tool.category == Category::Edit || tool.is_of_session() || Some(&tool.name) == other.as_ref();
    let tools = full.tools.iter().filter(|tool| is_kept(tool)).cloned().collect();
    let modes = if random.one_in(2) { full.modes } else { Vec::new() };
    let rules = if random.one_in(2) { vec![reads_ask()] } else { Vec::new() };
    Context { tools, modes, rules, approve: ApproveMode::Ask, trust: true, ..full }
}

/// Calls that only read are asked about, together.
fn reads_ask() -> Rule {
    Rule { category: Some(Category::Read), reason: "so.".to_owned(), ..Rule::new("reads", VerdictKind::Ask) }
}

/// Whether so little is there that models and hands mostly just work: what needs a call to go well comes up there.
fn is_calm(tools: &[ToolSpec]) -> bool {
    tools.iter().filter(|tool| !tool.is_of_session()).count() <= 2
}

fn full_context(random: &mut Random) -> Context {
    let approve = match random.below(10) {
        0 => ApproveMode::None,
        1 => ApproveMode::All,
        2 | 3 => ApproveMode::Edits,
        _ => ApproveMode::Ask,
    };
    let tools = tools(random.below(24));
    let mut rules = Vec::new();
    for number in 0..random.below(3) {
        let tool = tools.get(random.index(tools.len() + 4)).map(|tool| tool.name.clone());
        let category = [None, None, Some(Category::Read), Some(Category::Network)][random.index(4)];
        let verdict = match random.below(8) {
            // Who refuses everything learns nothing.
            0 if tool.is_some() || category.is_some() => VerdictKind::Deny,
            1..=3 => VerdictKind::Allow,
            _ => VerdictKind::Ask,
        };
        rules.push(Rule { tool, category, reason: "so.".to_owned(), ..Rule::new(format!("rule-{number}"), verdict) });
    }
    if random.one_in(3) {
        rules.push(reads_ask());
    }
    let mut tools = tools;
    tools.extend(harness_core::session_tools::specs());
    let model = harness_core::ModelRef { provider: "sim".to_owned(), name: "one".to_owned() };
    let (modes, price, trust) = (modes(random), price(random), !random.one_in(4));
    let context = Context::new(model, "sim");
    Context { system: format!("system {}", random.below(3)), tools, approve, rules, modes, price, trust, ..context }
}

/// Limits of a turn, tight now and then.
pub(crate) fn limits(random: &mut Random) -> TurnLimits {
    TurnLimits {
        steps_max: if random.one_in(4) { random.below(3) as u32 } else { 12 },
        retry_attempts_max: random.below(5) as u32,
        output_tokens_max: random.one_in(3).then_some(100),
        budget: budget(random),
    }
}

/// What a person says; now and then nothing.
pub(crate) fn prompt(random: &mut Random) -> String {
    if random.one_in(20) { "  \n".to_owned() } else { format!("prompt {}", random.below(1_000)) }
}

/// A response: words, calls of any tool, or both. `number` keeps the provider's ids apart.
pub(crate) fn response(random: &mut Random, tools: &[ToolSpec], number: u64) -> ModelResponse {
    let mut parts = Vec::new();
    if random.one_in(6) {
        parts.push(AssistantPart::Reasoning { text: "hm".to_owned(), opaque: Some(json!({"signature": "s"})) });
    }
    if random.one_in(2) {
        parts.push(AssistantPart::Text { text: "words".to_owned() });
    }
    let calls = calls(random, tools);
    for (call, (tool, arguments)) in calls.iter().cloned().enumerate() {
        parts.push(AssistantPart::ToolCall { provider_call: format!("p{number}-{call}"), tool, arguments });
    }
    let calls = calls.len();
    let stop = match (calls, random.below(8)) {
        (_, 0) => ModelStop::OutputLimit,
        (0, _) => ModelStop::EndOfTurn,
        _ => ModelStop::ToolCalls,
    };
    let used = Usage { input_tokens: 100 + random.below(3_000), output_tokens: 10, ..Usage::default() };
    let usage = match random.below(6) {
        // The provider does not say.
        0 => Usage::default(),
        _ => Usage { cost_micro_usd: random.one_in(2).then_some(3), ..used },
    };
    ModelResponse { parts, stop, usage, provider_response: None }
}

/// How the calls are drawn where all is calm: none, some that only read, one that edits.
const CALM_DRAWS: [u64; 5] = [1, 19, 40, 40, 40];

/// Tool and arguments of each call that a response makes.
fn calls(random: &mut Random, tools: &[ToolSpec]) -> Vec<(String, String)> {
    let only_reads: Vec<&ToolSpec> = tools.iter().filter(|tool| tool.category == Category::Read).collect();
    let editing = tools.iter().find(|tool| tool.category == Category::Edit);
    let named = |tool: Option<&ToolSpec>| tool.map_or("unknown", |tool| tool.name.as_str()).to_owned();
    let with_arguments = |tool: String, random: &mut Random| {
        let of_session = harness_core::session_tools::NAMES.contains(&tool.as_str());
        let arguments = if of_session { session_arguments(&tool, random) } else { arguments(random) };
        (tool, arguments)
    };
    let any = |random: &mut Random| {
        let tool = named(editing.filter(|_| random.one_in(3)).or_else(|| tools.get(random.index(tools.len() + 1))));
        with_arguments(tool, random)
    };
    let draw =
        if is_calm(tools) && !random.one_in(4) { CALM_DRAWS[random.index(CALM_DRAWS.len())] } else { random.below(40) };
    match draw {
        40 => vec![with_arguments(named(editing), random)],
        0 => (0..66).map(|_| any(random)).collect(),
        1..=5 => Vec::new(),
        6..=18 => vec![any(random)],
        // What only reads runs at the same time, and is asked about at the same time.
        19..=28 => {
            let count = 2 + random.below(4);
            (0..count).map(|_| with_arguments(named(random.pick(&only_reads).copied()), random)).collect()
        }
        // The same over and over.
        29..=31 => {
            let again = if random.one_in(2) { ("unknown".to_owned(), "{}".to_owned()) } else { any(random) };
            vec![again; 4 + random.index(4)]
        }
        _ => (0..2 + random.below(4)).map(|_| any(random)).collect(),
    }
}

fn arguments(random: &mut Random) -> String {
    match random.below(24) {
        0 => "{\"path\":".to_owned(),
        1 => "[1]".to_owned(),
        2 => String::new(),
        _ => json!({"n": random.below(4)}).to_string(),
    }
}

/// Why the model gave no response.
pub(crate) fn failure(random: &mut Random) -> ModelFailure {
    let kind = [
        ModelFailureKind::Retryable,
        ModelFailureKind::Retryable,
        ModelFailureKind::Disconnected,
        ModelFailureKind::MalformedStream,
        ModelFailureKind::Refused,
        ModelFailureKind::Authentication,
        ModelFailureKind::ContextTooLong,
    ][random.index(7)];
    let retry_after_ms = random.one_in(3).then(|| random.below(300_000));
    ModelFailure { kind, message: "sim".to_owned(), status: Some(500), retry_after_ms }
}

/// The state of a file with this content.
pub(crate) fn file_state(content: &[u8]) -> FileState {
    FileState::File { digest: Digest::of(content), bytes: content.len() as u64, executable: false }
}

/// A path and what its file is to hold; none where it is to be gone.
pub(crate) type Edit = (String, Option<Vec<u8>>);

/// Changes of some files: each path with what it is to hold, none where it is to be gone. What a file holds now
/// is asked of `now`.
pub(crate) fn edits(random: &mut Random, now: impl Fn(&str) -> Option<Vec<u8>>) -> (Manifest, Vec<Edit>) {
    // The paths that somebody has to decide about come up less often.
    let reach = if random.one_in(6) { PATHS.len() } else { PATHS.len() - 2 };
    let mut wanted: Vec<Edit> = Vec::new();
    for _ in 0..random.below(4) {
        let Some(path) = PATHS.get(random.index(reach)) else { continue };
        let content = random.pick(&CONTENTS).filter(|_| !random.one_in(6)).map(|content| content.as_bytes().to_vec());
        wanted.retain(|(other, _)| other != path);
        wanted.push(((*path).to_owned(), content));
    }
    let change = |(path, after): &Edit| Change {
        path: path.clone(),
        before: now(path).as_deref().map(file_state),
        after: after.as_deref().map(file_state),
    };
    let manifest = Manifest::new(wanted.iter().map(change).collect());
    (manifest, wanted)
}

/// What a call comes to besides its changes.
pub(crate) struct Reported {
    pub(crate) outcome: Outcome,
    pub(crate) usage: CallUsage,
    pub(crate) record: CallRecord,
}

/// What comes of a call of this tool. `round` is how often it went on before.
pub(crate) fn report(random: &mut Random, spec: &ToolSpec, round: u32, tools: &[ToolSpec]) -> Reported {
    let words = |text: &str| Outcome::Returned { parts: vec![Part::Text { text: text.to_owned() }] };
    // What goes on knows how often it did, so that no two runs of a call are taken for one.
    let state = (round + 1).to_string();
    let draw = if is_calm(tools) && !random.one_in(4) { 29 } else { random.below(30) };
    let outcome = match draw {
        0 => Outcome::failed(FailureKind::NotFound, "gone", "it is gone"),
        1 => Outcome::Faulted { what: "it trapped".to_owned() },
        2 => Outcome::OverLimit { limit: LimitName::Fuel, maximum: 7 },
        3 => Outcome::Conflict { paths: vec!["a".to_owned()] },
        4 if spec.effects != Effects::Staged => Outcome::InDoubt,
        5 => not_granted(random, spec),
        6 | 7 => Outcome::NeedsInput { question: "which?".to_owned(), choices: Vec::new(), state },
        8 | 9 => {
            Outcome::NeedsInput { question: "which?".to_owned(), choices: vec!["left".into(), "right".into()], state }
        }
        10..=12 => {
            let tool = tools.get(random.index(tools.len() + 1)).map_or("unknown", |tool| tool.name.as_str());
            Outcome::NeedsCall { tool: tool.to_owned(), arguments: arguments(random), state }
        }
        13 => words(""),
        _ => words("done"),
    };
    let requests = if spec.effects == Effects::Requesting { vec![request()] } else { Vec::new() };
    let space = KvSpace { component: spec.component.clone(), scope: Scope::Global, owner: String::new() };
    let write = || KvWrite { space: space.clone(), key: "k".to_owned(), value: Some("dg==".to_owned()) };
    let kv = if !spec.component.is_empty() && random.one_in(4) { vec![write()] } else { Vec::new() };
    let record = CallRecord { requests, kv, ..CallRecord::default() };
    Reported {
        outcome,
        usage: CallUsage { fuel: random.below(1_000), memory_bytes: 1, time_us: random.below(3_000_000) },
        record,
    }
}

fn not_granted(random: &mut Random, spec: &ToolSpec) -> Outcome {
    let capability = CAPABILITIES.get(random.index(CAPABILITIES.len())).and_then(|text| text.parse().ok());
    match capability {
        Some(capability) => Outcome::NotGranted { component: spec.component.clone(), capability: Box::new(capability) },
        None => Outcome::Interrupted,
    }
}

fn request() -> RequestMade {
    RequestMade {
        method: "GET".to_owned(),
        url: "https://example.com".to_owned(),
        address: None,
        status: Some(200),
        problem: None,
        request_bytes: 0,
        response_bytes: 4,
    }
}

/// Where changes of a tool with these effects are when it reports.
pub(crate) fn placed(effects: Effects, manifest: Manifest) -> Changes {
    match (effects, manifest.is_empty()) {
        (_, true) => Changes::None,
        (Effects::Direct, false) => Changes::Observed { manifest },
        (Effects::Staged | Effects::Requesting, false) => Changes::Staged { manifest },
    }
}

/// How putting in place goes where no real files decide it.
pub(crate) fn put(random: &mut Random) -> ApplyResult {
    match random.below(8) {
        0 => ApplyResult::Conflict { paths: vec!["a".to_owned()] },
        1 => ApplyResult::Failed { message: "the disk is full".to_owned() },
        _ => ApplyResult::Applied,
    }
}

/// A person's answer to an approval.
pub(crate) fn answer(random: &mut Random) -> Answer {
    match random.below(12) {
        0 => Answer::No { reason: "not now".to_owned() },
        1 => Answer::No { reason: String::new() },
        2 => Answer::YesForTool,
        3..=5 => answer_with_more(random),
        6 | 7 => edited(random),
        _ => Answer::Yes,
    }
}

/// A person's answer to a question: one of the choices, any words, none, or one that is not to choose from.
pub(crate) fn reply(random: &mut Random, choices: &[String]) -> Option<String> {
    match random.below(6) {
        0 => None,
        1 => Some("neither".to_owned()),
        _ => Some(random.pick(choices).map_or_else(|| "words".to_owned(), Clone::clone)),
    }
}

/// A grant of some component's.
pub(crate) fn grant(random: &mut Random) -> Option<Grant> {
    let component = ["editor", "fetcher", "sender", "shell"][random.index(4)].to_owned();
    let capability = CAPABILITIES[random.index(CAPABILITIES.len())].parse().ok()?;
    Some(Grant { component, capability, scope: Scope::Session, until: None, source: "session".to_owned() })
}

/// Whether a manifest names the host's own files.
pub(crate) fn touches_the_hosts_own(manifest: &Manifest) -> bool {
    manifest.entries().iter().any(|change| change.path.split('/').any(|part| part == HOST_FOLDER))
}

/// How often a call went on before: the state that [`report`] left says so.
pub(crate) fn round_of(resume: Option<&Resume>) -> u32 {
    resume.and_then(|resume| resume.state.parse().ok()).unwrap_or(0)
}
