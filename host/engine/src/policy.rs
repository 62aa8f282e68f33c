//! Asking policies and hooks, beside the session's writer.
//!
//! Promise: what a policy says about the calls of a response, or about staged changes, is asked as soon as they are
//! there and recorded in the same append, so that it costs no commit of its own; a policy that breaks, or takes
//! longer than it may, denies. Hooks that want nothing leave no trace.
//!
//! Not here: running components (the port), what follows from their answers (the core).

use crate::actor::Wake;
use crate::ports::{HookOccasion, Policy};
use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::join_all;
use harness_core::event::Changes;
use harness_core::item::{AssistantPart, Category, Effects};
use harness_core::mode::{HookAnswer, HookPoint, HookWish, PolicyAnswer, PolicyQuestion};
use harness_core::{CallId, Digest, Event, SessionState, VerdictKind};
use serde_json::{Value, json};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// One question to a policy takes at most this long; the port's own deadline is shorter.
const ANSWER_WAIT_MS_MAX: u64 = 30_000;
/// All hooks of one point take at most this long; as many as there may be can each run into the port's own deadline.
const HOOKS_WAIT_MS_MAX: u64 = 240_000;
/// Whose fault it is where nobody knows which hook's it is.
const ALL_HOOKS: &str = "hooks";
/// A text in what a hook is told, in characters.
const HOOK_TEXT_CHARS_MAX: usize = 8_000;

/// For hosts without modes: there are no hooks, and a mode whose policy is not there allows nothing.
pub(crate) struct NoPolicy;

#[async_trait]
impl Policy for NoPolicy {
    async fn judge(&self, question: PolicyQuestion) -> PolicyAnswer {
        fault(&question, "this host has no policies")
    }

    fn has_hooks(&self, _point: HookPoint) -> bool {
        false
    }

    async fn run_hooks(&self, _occasion: HookOccasion) -> Vec<HookAnswer> {
        Vec::new()
    }
}

/// What counts where a policy gave no answer.
fn fault(question: &PolicyQuestion, what: &str) -> PolicyAnswer {
    PolicyAnswer {
        subject: question.subject,
        policy: question.policy,
        verdict: Some(VerdictKind::Deny),
        rule: "fault".to_owned(),
        words: format!("the policy of the mode `{}` gave no answer: {what}.", question.mode),
        narrowed: None,
        fuel: 0,
    }
}

/// Asks one policy. Always an answer.
pub(crate) async fn judge(policy: &dyn Policy, question: PolicyQuestion) -> PolicyAnswer {
    let asked = AssertUnwindSafe(policy.judge(question.clone())).catch_unwind();
    let mut answer = match tokio::time::timeout(Duration::from_millis(ANSWER_WAIT_MS_MAX), asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => fault(&question, "BUG: the code that runs it broke"),
        Err(_) => fault(&question, "it took too long"),
    };
    // An answer is about what was asked, whatever the port says.
    (answer.subject, answer.policy) = (question.subject, question.policy);
    answer
}

/// Runs one point's hooks. Only answers that want or say something.
pub(crate) async fn run_hooks(policy: &dyn Policy, occasion: HookOccasion) -> Vec<HookAnswer> {
    let asked = AssertUnwindSafe(policy.run_hooks(occasion)).catch_unwind();
    let mut answers = match tokio::time::timeout(Duration::from_millis(HOOKS_WAIT_MS_MAX), asked).await {
        Ok(Ok(answers)) => answers,
        Ok(Err(_)) => vec![all_broke("BUG: the code that runs hooks broke")],
        Err(_) => vec![all_broke("BUG: the code that runs hooks did not come back")],
    };
    answers.truncate(harness_core::limits::ANSWERS_MAX);
    answers.retain(|answer| answer.wish != HookWish::GoOn || !answer.note.is_empty() || answer.fault.is_some());
    answers
}

/// What is said of a point's hooks whose answers are not there: it is in the log that they were to be heard.
fn all_broke(what: &str) -> HookAnswer {
    let (component, digest, fault) = (ALL_HOOKS.to_owned(), Digest::ZERO, Some(what.to_owned()));
    HookAnswer { component, digest, wish: HookWish::GoOn, note: String::new(), fault }
}

/// What the hooks of one point are told in this state.
pub(crate) fn occasion(state: &SessionState, point: HookPoint, details: Value) -> HookOccasion {
    let policy = state.mode().and_then(|mode| mode.policy);
    HookOccasion { point, mode: state.mode.clone(), policy, details, history: state.summary() }
}

/// The input that says what hooks said; none where that is nothing.
pub(crate) fn hooks_answered(point: HookPoint, call: Option<CallId>, answers: Vec<HookAnswer>) -> Option<Event> {
    (!answers.is_empty()).then_some(Event::HooksAnswered { point, call, answers })
}

/// What is to be asked before an input is taken.
#[derive(Default)]
struct Forethought {
    questions: Vec<PolicyQuestion>,
    occasion: Option<(HookOccasion, Option<CallId>)>,
}

/// Gives a wake back where nothing has to be asked before it is taken; otherwise it comes again as
/// [`Wake::Prepared`], with what was said.
pub(crate) fn prepare(
    wake: Wake,
    state: &SessionState,
    policy: &Arc<dyn Policy>,
    wakes: &mpsc::Sender<Wake>,
) -> Option<Wake> {
    let ask = forethought(&wake, state, policy.as_ref());
    if ask.questions.is_empty() && ask.occasion.is_none() {
        return Some(wake);
    }
    // Words begin a turn, or are said whatever is under way.
    let is_of_turn = matches!(wake, Wake::Model { .. } | Wake::Call { .. });
    let turn = state.turn.as_ref().map(|turn| turn.id).filter(|_| is_of_turn);
    let (policy, wakes) = (Arc::clone(policy), wakes.clone());
    tokio::spawn(async move {
        let answers = join_all(ask.questions.into_iter().map(|question| judge(policy.as_ref(), question))).await;
        let mut inputs = Vec::new();
        if !answers.is_empty() {
            inputs.push(Event::PolicyAnswered { answers });
        }
        if let Some((occasion, call)) = ask.occasion {
            let point = occasion.point;
            inputs.extend(hooks_answered(point, call, run_hooks(policy.as_ref(), occasion).await));
        }
        // Where the writer has stopped nobody reads this any more.
        let _ = wakes.send(Wake::Prepared { inputs, wake: Box::new(wake), turn }).await;
    });
    None
}

fn forethought(wake: &Wake, state: &SessionState, policy: &dyn Policy) -> Forethought {
    match wake {
        _ if policy.has_hooks(HookPoint::Prompt)
            && let Some(text) = wake.words(state) =>
        {
            let occasion = occasion(state, HookPoint::Prompt, json!({ "text": cut(&text) }));
            Forethought { questions: Vec::new(), occasion: Some((occasion, None)) }
        }
        Wake::Model { result: Ok(response), .. } => {
            let occasion = policy.has_hooks(HookPoint::AfterStep).then(|| {
                let step = state.turn.as_ref().map_or(0, |turn| turn.steps.saturating_add(1));
                let tools: Vec<&str> = calls_of(&response.parts).map(|(tool, _)| tool).collect();
                let details = json!({ "step": step, "text": cut(&text_of(&response.parts)), "tools": tools });
                (occasion(state, HookPoint::AfterStep, details), None)
            });
            Forethought { questions: first_questions(state, &response.parts), occasion }
        }
        Wake::Call { call, report } => {
            let Some(found) = state.turn.as_ref().and_then(|turn| turn.call(*call)) else {
                return Forethought::default();
            };
            let staged = match &report.changes {
                Changes::Staged { manifest } if !manifest.is_empty() && report.outcome.is_success() => Some(manifest),
                Changes::Staged { .. } | Changes::None | Changes::Observed { .. } => None,
            };
            let question =
                staged.and_then(|it| state.policy_question(Some(*call), &found.tool, &found.arguments, Some(it)));
            let occasion = policy.has_hooks(HookPoint::AfterCall).then(|| {
                let entries = staged.into_iter().flat_map(|it| it.entries());
                let paths: Vec<&str> = entries.take(256).map(|change| change.path.as_str()).collect();
                let details = json!({
                    "tool": found.tool, "arguments": cut(&found.arguments),
                    "outcome": report.outcome.word(), "paths": paths,
                });
                (occasion(state, HookPoint::AfterCall, details), Some(*call))
            });
            Forethought { questions: question.into_iter().collect(), occasion }
        }
        _ => Forethought::default(),
    }
}

/// Questions about the calls of a response that are judged as soon as it is taken: those that only read, up to the
/// first one that may change something. What comes after that is asked when its time has come, for by then something
/// may have happened that matters.
fn first_questions(state: &SessionState, parts: &[AssistantPart]) -> Vec<PolicyQuestion> {
    let mut questions = Vec::new();
    for (tool, arguments) in calls_of(parts).take(harness_core::limits::STEP_CALLS_MAX) {
        let arguments: Arc<str> = if arguments.trim().is_empty() { "{}".into() } else { arguments.into() };
        questions.extend(state.policy_question(None, tool, &arguments, None));
        let reads = |tool: &harness_core::ToolSpec| {
            tool.category == Category::Read && tool.effects != Effects::Requesting || tool.is_of_session()
        };
        if !state.tool(tool).is_none_or(reads) {
            break;
        }
    }
    questions
}

fn calls_of(parts: &[AssistantPart]) -> impl Iterator<Item = (&str, &str)> {
    parts.iter().filter_map(|part| match part {
        AssistantPart::ToolCall { tool, arguments, .. } => Some((tool.as_str(), arguments.as_str())),
        AssistantPart::Text { .. } | AssistantPart::Reasoning { .. } => None,
    })
}

fn text_of(parts: &[AssistantPart]) -> String {
    let texts = parts.iter().filter_map(|part| match part {
        AssistantPart::Text { text } => Some(text.as_str()),
        AssistantPart::Reasoning { .. } | AssistantPart::ToolCall { .. } => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// A text for a hook.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(HOOK_TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
