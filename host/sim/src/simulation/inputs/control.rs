//! What steers a session from outside, drawn at random: messages, budgets, modes, policies, hooks, trust, allowances.
//!
//! Promise: tight and generous, fitting and foreign, of each something.

use crate::random::Random;
use harness_core::budget::{Budget, Price};
use harness_core::event::{Answer, AnswerCoverage, GitState, PlanAnswer};
use harness_core::item::{Category, ToolSpec};
use harness_core::message::Delivery;
use harness_core::mode::{HookAnswer, HookPoint, HookWish, ModeSpec, PolicyAnswer, PolicyQuestion};
use harness_core::pattern::ArgumentPattern;
use harness_core::trust::{TrustCounts, TrustKey, TrustLevel, TrustRecord};
use harness_core::verdict::Allowance;
use harness_core::{Digest, ModelRef, Scope, SessionState, TimeMs, VerdictKind, session_tools};
use serde_json::json;

/// A time before every other one here, and one after.
const ENDS_MS: [i64; 2] = [1, i64::MAX];

/// Mostly none, and now and then something tight.
pub(crate) fn budget(random: &mut Random) -> Budget {
    if !random.one_in(3) {
        return Budget::default();
    }
    let mut tight = |most: u64| random.one_in(3).then(|| random.below(most));
    Budget {
        tokens: tight(40_000),
        cost_micro_usd: tight(80),
        work_ms: tight(30_000),
        fuel: tight(6_000),
        calls: tight(12),
        steps: tight(8),
    }
}

/// What tokens cost, where it is known.
pub(crate) fn price(random: &mut Random) -> Option<Price> {
    random.one_in(3).then(|| Price { input_micro_usd: random.below(3_000), output_micro_usd: random.below(3_000) })
}

fn policy(number: u64) -> Digest {
    Digest::of(format!("policy {number}").as_bytes())
}

fn mode(name: &str, random: &mut Random) -> ModeSpec {
    let some = ["read", "edit", "watch", "changeable"].map(str::to_owned).to_vec();
    let all = [some.clone(), vec!["read".to_owned(), "shell".to_owned()], Vec::new()];
    ModeSpec {
        name: name.to_owned(),
        description: String::new(),
        instructions: if random.one_in(2) { format!("do {name}") } else { String::new() },
        tools: random.one_in(6).then(|| all[random.index(3)].clone()),
        model: random.one_in(6).then(|| model(random)),
        leads_to: Vec::new(),
        policy: random.one_in(2).then(|| policy(random.below(3))),
    }
}

/// No modes, or some of three: the same names come again with other tools and policies, as after a hot swap.
pub(crate) fn modes(random: &mut Random) -> Vec<ModeSpec> {
    let names: &[&str] = match random.below(6) {
        0 | 1 => &[],
        2 => &["build"],
        3 => &["plan", "build"],
        _ => &["plan", "build", "review"],
    };
    let mut modes: Vec<ModeSpec> = names.iter().map(|name| mode(name, random)).collect();
    for index in 0..modes.len() {
        let to: Vec<String> = names.iter().filter(|_| random.one_in(2)).map(|name| (*name).to_owned()).collect();
        if let Some(mode) = modes.get_mut(index) {
            mode.leads_to = to.into_iter().filter(|to| *to != mode.name).collect();
        }
    }
    modes
}

/// A mode's name; now and then of none.
pub(crate) fn mode_name(random: &mut Random) -> String {
    ["plan", "build", "review", "build", "plan", "nowhere"][random.index(6)].to_owned()
}

/// What version control says of the workspace.
pub(crate) fn git(random: &mut Random) -> Option<GitState> {
    let index = random.one_in(2).then(|| Digest::of(&[random.below(3) as u8]));
    let head = ["main", "topic"][random.index(2)].to_owned();
    (!random.one_in(4)).then(|| GitState { head, commit: format!("{:040x}", random.below(3)), index })
}

/// A model.
pub(crate) fn model(random: &mut Random) -> ModelRef {
    ModelRef { provider: "sim".to_owned(), name: ["one", "two"][random.index(2)].to_owned() }
}

/// What a policy says when it is asked.
pub(crate) fn policy_answer(random: &mut Random, question: &PolicyQuestion) -> PolicyAnswer {
    let (verdict, rule) = match random.below(14) {
        0..=5 => (Some(VerdictKind::Allow), "may"),
        6..=8 => (Some(VerdictKind::Ask), "ask"),
        9 | 10 => (Some(VerdictKind::Deny), "no"),
        11 | 12 => (None, "whatever"),
        _ => (Some(VerdictKind::Deny), "fault"),
    };
    // Now and then what is asked about as well.
    let narrower = if random.one_in(2) { 9 } else { random.below(4) };
    let narrowed = match random.below(12) {
        0 | 1 if question.staged.is_none() => Some(json!({"n": narrower}).to_string()),
        2 => Some("[no object]".to_owned()),
        _ => None,
    };
    let (subject, policy, words) = (question.subject, question.policy, "so.".to_owned());
    PolicyAnswer { subject, policy, verdict, rule: rule.to_owned(), words, narrowed, fuel: random.below(9) }
}

/// What a hook wants or says.
pub(crate) fn hook_answer(random: &mut Random) -> HookAnswer {
    let wish = match random.below(8) {
        0 => HookWish::Stop { reason: "enough".to_owned() },
        1..=4 => HookWish::Mode { mode: mode_name(random) },
        _ => HookWish::GoOn,
    };
    let note = if wish == HookWish::GoOn || random.one_in(2) { "note".to_owned() } else { String::new() };
    let fault = random.one_in(10).then(|| "it trapped".to_owned());
    HookAnswer { component: "hooks".to_owned(), digest: Digest::of(b"hooks"), wish, note, fault }
}

/// A point at which hooks run while a session is open.
pub(crate) fn hook_point(random: &mut Random) -> HookPoint {
    use HookPoint::{AfterCall, AfterStep, BeforeCall, BeforeStep, Prompt, Stop};
    [Prompt, BeforeStep, AfterStep, BeforeCall, AfterCall, Stop][random.index(6)]
}

/// When a message is to reach the model.
pub(crate) fn delivery(random: &mut Random) -> Delivery {
    [Delivery::Steer, Delivery::Steer, Delivery::Queue, Delivery::Interrupt][random.index(4)]
}

/// A person's answer to an approval of a call: any of them, also ones that cannot be given.
pub(crate) fn answer_with_more(random: &mut Random) -> Answer {
    let coverage = match random.below(4) {
        0 => AnswerCoverage::Exact,
        1 => AnswerCoverage::Tool,
        2 => AnswerCoverage::Category,
        _ => {
            let glob = ["*", "1", ""][random.index(3)].parse();
            let arguments = glob.into_iter().map(|glob| ("n".to_owned(), glob)).collect();
            AnswerCoverage::Pattern { pattern: ArgumentPattern { arguments, ..ArgumentPattern::default() } }
        }
    };
    let scopes = [Scope::Turn, Scope::Session, Scope::Session, Scope::Workspace, Scope::Agent, Scope::Global];
    let scope = if random.one_in(12) { Scope::Tenant } else { scopes[random.index(6)] };
    let until = random.one_in(4).then(|| TimeMs(ENDS_MS[random.index(2)]));
    Answer::Allow { coverage, scope, until }
}

/// Other arguments than the model's; now and then none that can be taken.
pub(crate) fn edited(random: &mut Random) -> Answer {
    let arguments = if random.one_in(8) { "[]".to_owned() } else { json!({"n": random.below(12)}).to_string() };
    Answer::Edited { arguments }
}

/// A person's answer to a plan.
pub(crate) fn plan_answer(random: &mut Random) -> PlanAnswer {
    match random.below(5) {
        0 => PlanAnswer::Reject { feedback: String::new() },
        1 => PlanAnswer::Reject { feedback: "smaller steps".to_owned() },
        2 => PlanAnswer::Approve { mode: Some(mode_name(random)) },
        _ => PlanAnswer::Approve { mode: None },
    }
}

/// What a model gives a session's own tool.
pub(crate) fn session_arguments(tool: &str, random: &mut Random) -> String {
    match (tool, random.below(4)) {
        (_, 0) => json!({"what": 1}).to_string(),
        (session_tools::ASK_USER, 1) => json!({"question": "?"}).to_string(),
        (session_tools::ASK_USER, 2) => json!({"question": "?", "choices": ["left", "right"]}).to_string(),
        (session_tools::ASK_USER, _) => {
            json!({"question": "?", "choices": ["left", "right", "up"], "several": true}).to_string()
        }
        (session_tools::SUBMIT_PLAN, _) => json!({"title": "t", "plan": "p"}).to_string(),
        _ => json!({"todos": [{"text": "a", "status": "done"}, {"text": "b", "status": "pending"}]}).to_string(),
    }
}

/// The kind of work of some tool, mostly of one that is asked about now.
pub(crate) fn trust_key(random: &mut Random, state: &SessionState) -> Option<TrustKey> {
    let pending = state.pending();
    if let Some(asked) = random.pick(&pending).filter(|_| !random.one_in(3))
        && let Some(tool) = state.tool(&asked.call.tool)
    {
        let staged = asked.call.reported.as_ref().and_then(|reported| reported.staged());
        return Some(state.trust_key(tool, staged));
    }
    let tools: Vec<&ToolSpec> =
        state.context.iter().flat_map(|it| &it.tools).filter(|it| !it.is_of_session()).collect();
    // What is asked about most is trusted most.
    let editing = tools.iter().find(|tool| tool.category == Category::Edit).filter(|_| random.one_in(2));
    Some(state.trust_key(editing.or_else(|| random.pick(&tools))?, None))
}

/// A level of trust; now and then one that this kind of work never gets.
pub(crate) fn trust_level(random: &mut Random, key: &TrustKey) -> TrustLevel {
    let level = match random.below(8) {
        0 => TrustLevel::Supervised,
        1..=3 => TrustLevel::SemiAutonomous,
        _ => TrustLevel::Autonomous,
    };
    if random.one_in(8) { level } else { level.min(TrustLevel::highest(key.risk)) }
}

/// What other sessions know of trust.
pub(crate) fn trust_record(random: &mut Random, key: TrustKey) -> TrustRecord {
    let evidence =
        TrustCounts { approved: random.below(50) as u32, failed: random.below(4) as u32, ..TrustCounts::default() };
    let implementation = format!("sim:{}:{}", key.tool, random.below(24));
    TrustRecord {
        level: trust_level(random, &key).min(TrustLevel::highest(key.risk)),
        era: random.below(3) as u32,
        began: trust_level(random, &key).min(TrustLevel::highest(key.risk)),
        key,
        implementation,
        evidence,
        total: evidence,
    }
}

/// What was allowed in other sessions.
pub(crate) fn carried_allowances(random: &mut Random) -> Vec<Allowance> {
    let names = ["edit", "run", "shell", "send"];
    let count = random.index(3);
    let allowance = |_| {
        let rule = ["default.edit", "default.execute", "rule-0", "reads"][random.index(4)];
        Allowance { scope: Scope::Global, ..Allowance::of_tool(names[random.index(4)], rule) }
    };
    let mut carried: Vec<Allowance> = (0..count).map(allowance).collect();
    carried.dedup();
    carried
}
