//! What a screen's state is made of.
//!
//! Promise: each entry is flat: numbers, words and lists, so that a patch of it leaves nothing of what it was.

use crate::event::ModelFailureKind;
use crate::grant::Scope;
use crate::ids::{CallId, Digest, Sequence, SessionId, TimeMs, TurnId};
use crate::item::{Category, Usage};
use crate::message::Delivery;
use crate::trust::{Risk, TrustLevel};
use crate::verdict::ApproveMode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The session and how it is set up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct About {
    /// Which session.
    pub session: Option<SessionId>,
    /// Its title.
    pub title: Option<String>,
    /// The folder it works in.
    pub workspace: String,
    /// The mode; empty where there are none.
    pub mode: String,
    /// The names of all modes.
    pub modes: Vec<String>,
    /// The model in force, `provider/name`.
    pub model: String,
    /// Why this one: `flag`, `config`, `default`… or `chosen`, or `mode`.
    pub model_reason: String,
    /// How much the person wants to be asked.
    pub approve: ApproveMode,
    /// What the session is doing.
    pub status: Status,
    /// The host's version that has it open, or had it last.
    pub host: String,
    /// The branch or commit that version control says the workspace is at.
    pub head: Option<String>,
    /// When it was created.
    pub created: TimeMs,
    /// The session that it was forked from, or was when it was exported.
    pub origin: Option<SessionId>,
    /// Whether it was put away.
    pub archived: bool,
    /// Whether trust is earned in it.
    pub trust: bool,
}

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Waiting for words.
    #[default]
    Idle,
    /// Something is under way.
    Running,
    /// A model request is to be repeated after a wait.
    Retrying,
    /// A person's answer is needed.
    NeedsAnswer,
}

/// What a turn is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PhaseShown {
    /// Between two steps.
    #[default]
    Between,
    /// The model is asked.
    Requesting,
    /// A request failed and is to be repeated.
    Waiting,
    /// Calls are under way.
    Calling,
    /// A person or a hook has stopped it; what is being put in place ends first.
    Stopping,
}

/// The turn under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TurnShown {
    /// The turn.
    pub turn: TurnId,
    /// Its number in the session, from 1.
    pub number: u32,
    /// When it began.
    pub started: TimeMs,
    /// The step, from 1; 0 before the first.
    pub step: u32,
    /// Steps it takes at most.
    pub steps_max: u32,
    /// What it is doing.
    pub phase: PhaseShown,
    /// The attempt at the model request, from 1.
    pub attempt: u32,
    /// Attempts at one request at most.
    pub attempts_max: u32,
    /// The wait before the next attempt, in milliseconds.
    pub retry_delay_ms: Option<u64>,
    /// When that wait is over.
    pub retry_due: Option<TimeMs>,
}

/// A response while it streams. Its pieces are keyed by the bytes that came before each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ResponseShown {
    /// Words, in pieces.
    pub text: BTreeMap<u64, String>,
    /// Bytes of words so far; the first pieces may not be shown any more.
    pub text_bytes: u64,
    /// Reasoning, in pieces.
    pub reasoning: BTreeMap<u64, String>,
    /// Bytes of reasoning so far.
    pub reasoning_bytes: u64,
    /// The tools of the calls that it makes so far.
    pub tools: Vec<String>,
    /// Bytes of their arguments so far.
    pub argument_bytes: u64,
}

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// The model asked for it.
    #[default]
    Requested,
    /// The mode's policy is asked.
    Judging,
    /// A person is asked.
    Asked,
    /// A hand runs it.
    Running,
    /// It waits for another call that it needs.
    Awaiting,
    /// A hand has reported; its changes are judged.
    Reported,
    /// Its changes are being put in place.
    Putting,
    /// The model is told what came of it.
    Ended,
}

/// A call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallShown {
    /// The event that asked for it.
    pub at: Sequence,
    /// The tool.
    pub tool: String,
    /// The arguments, JSON text, cut.
    pub arguments: String,
    /// Who replaced the model's arguments by these.
    pub replaced_by: Option<String>,
    /// The call that needs this one.
    pub parent: Option<CallId>,
    /// How far it has come.
    pub status: CallStatus,
    /// The rule that the last verdict on it names.
    pub rule: Option<String>,
    /// What its component says of its progress. Not durable.
    pub progress: Option<String>,
    /// Parts of a thousand that are done. Not durable.
    pub done_permille: Option<u16>,
    /// The outcome in one word.
    pub outcome: Option<String>,
    /// What the model reads of it, where that is not what the hand returned; cut.
    pub words: Option<String>,
    /// Whether it is a failure.
    pub is_error: bool,
    /// Paths that it changed, or would change.
    pub changes: u64,
    /// Time that the hand took, in microseconds.
    pub time_us: Option<u64>,
    /// Fuel burnt.
    pub fuel: Option<u64>,
}

/// An approval that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalShown {
    /// The event that asks.
    pub at: Sequence,
    /// The call it is about.
    pub call: CallId,
    /// What the answer binds to.
    pub binds_to: Digest,
    /// The rule that asks.
    pub rule: String,
    /// Words for the person.
    pub words: String,
}

/// A question that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuestionShown {
    /// The event that asks.
    pub at: Sequence,
    /// The call that needs the answer.
    pub call: CallId,
    /// The component that asks; empty where the model itself does.
    pub component: String,
    /// What is asked, cut.
    pub words: String,
    /// The answers to choose from.
    pub choices: Vec<String>,
    /// Several may be chosen.
    pub several: bool,
}

/// A plan that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanShown {
    /// The event that submitted it.
    pub at: Sequence,
    /// The call that goes on with the answer.
    pub call: CallId,
    /// What it is about.
    pub title: String,
    /// The plan, cut; the whole is in the event.
    pub text: String,
}

/// A message that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageShown {
    /// The event that brought it.
    pub at: Sequence,
    /// The words, cut.
    pub text: String,
    /// When it is to reach the model.
    pub delivery: Delivery,
}

/// A limit of what may be spent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetShown {
    /// Which: `session.tokens`, `turn.cost_micro_usd`…
    pub name: String,
    /// Its value.
    pub maximum: u64,
    /// What is spent of it.
    pub spent: u64,
    /// What is left.
    pub left: u64,
}

/// Tokens, money and budgets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Spending {
    /// What the session cost.
    pub session: Usage,
    /// What the turn under way cost, or the last one.
    pub turn: Usage,
    /// Tokens of the last request: how full the model's window is.
    pub request_tokens: u64,
    /// Parts of a thousand of the session's request tokens that came from the provider's cache.
    pub cache_hit_permille: Option<u16>,
    /// The same of the last request.
    pub last_cache_hit_permille: Option<u16>,
    /// The budgets that are set, the session's first.
    pub budgets: Vec<BudgetShown>,
}

/// What happened to a path in a session, all calls together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileStatus {
    /// It did not exist before.
    Created,
    /// It is another.
    Changed,
    /// It does not exist any more.
    Deleted,
    /// It was created and deleted again.
    Gone,
}

/// A path that calls changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileShown {
    /// The last event that changed it.
    pub at: Sequence,
    /// What happened to it.
    pub status: FileStatus,
    /// The calls that changed it, the latest last; the earliest may not be named any more.
    pub calls: Vec<CallId>,
    /// Those of them whose change was taken back.
    pub undone: Vec<CallId>,
}

/// Changes that are being taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UndoingShown {
    /// The undoing.
    pub undo: CallId,
    /// Calls whose changes they are.
    pub calls: u64,
    /// Paths that are put back.
    pub paths: u64,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestShown {
    /// The event that reported it.
    pub at: Sequence,
    /// The call that made it.
    pub call: CallId,
    /// The method.
    pub method: String,
    /// Scheme, host, port and path.
    pub url: String,
    /// The response's status.
    pub status: Option<u16>,
    /// Why there was no response.
    pub problem: Option<String>,
}

/// A grant in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrantShown {
    /// The event that gave it.
    pub at: Sequence,
    /// The component.
    pub component: String,
    /// What it may do, as a line of text.
    pub capability: String,
    /// How long, in one word.
    pub scope: String,
    /// When it ends.
    pub until: Option<TimeMs>,
    /// Where it was given.
    pub source: String,
}

/// An allowance in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AllowanceShown {
    /// The event that says so.
    pub at: Sequence,
    /// The tool whose call was asked about.
    pub tool: String,
    /// The rule whose ask was answered.
    pub rule: String,
    /// The later calls that it covers, in words.
    pub covers: String,
    /// How far it holds.
    pub scope: Scope,
    /// When it ends.
    pub until: Option<TimeMs>,
}

/// How far work is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrustShown {
    /// The event that says so.
    pub at: Sequence,
    /// The agent.
    pub agent: String,
    /// The component, or what else implements the tool.
    pub component: String,
    /// The tool.
    pub tool: String,
    /// The mode; empty without modes.
    pub task: String,
    /// What kind of thing the tool does.
    pub category: Category,
    /// How much can go wrong.
    pub risk: Risk,
    /// The level.
    pub level: TrustLevel,
    /// The evidence, in words.
    pub evidence: String,
    /// The rule that led to it, in words; `carried` where other sessions did.
    pub rule: String,
}

/// A call that ran by trust alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewShown {
    /// The event that let it run.
    pub at: Sequence,
    /// The tool.
    pub tool: String,
    /// The arguments, JSON text, cut.
    pub arguments: String,
    /// The rule that let it run.
    pub rule: String,
}

/// A mode that was proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProposalShown {
    /// The event that says so.
    pub at: Sequence,
    /// The hook's component.
    pub by: String,
}

/// What a hook said, or what broke in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoteShown {
    /// The event that says so.
    pub at: Sequence,
    /// The hook's component.
    pub by: String,
    /// The words.
    pub text: String,
}

/// What went wrong last, how the last turn ended, and what repeats itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Problems {
    /// The last failure of a model; none once it answered.
    pub model_failure: Option<String>,
    /// Its kind.
    pub model_failure_kind: Option<ModelFailureKind>,
    /// Its HTTP status.
    pub model_failure_status: Option<u16>,
    /// The call that repeats others, in the turn under way.
    pub repeating_call: Option<CallId>,
    /// How often.
    pub repeated: Option<u32>,
    /// The budget that was crossed, in the turn under way or the last one.
    pub budget_crossed: Option<String>,
    /// How the last turn ended, in one word; none while one is under way.
    pub last_end: Option<String>,
    /// What there is to say of that.
    pub last_end_words: Option<String>,
    /// The model's last words, cut.
    pub last_text: Option<String>,
}

/// How often what happened in the session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Counters {
    /// Turns begun.
    pub turns: u64,
    /// Model requests that were answered.
    pub responses: u64,
    /// Model requests that failed.
    pub model_failures: u64,
    /// Calls that were asked for.
    pub calls: u64,
    /// Calls that were denied.
    pub denied: u64,
    /// Calls that failed in another way.
    pub failed: u64,
    /// Approvals that were asked for.
    pub approvals: u64,
    /// Requests of components.
    pub requests: u64,
    /// Undoings that went well.
    pub undone: u64,
    /// Messages that were delivered.
    pub messages: u64,
    /// Events whose content was erased.
    pub erased: u64,
}

/// What is not shown any more, of each list since the session began.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Dropped {
    /// Calls.
    pub calls: u64,
    /// Approvals, questions and plans.
    pub asked: u64,
    /// Things to do.
    pub todos: u64,
    /// Paths.
    pub files: u64,
    /// Requests.
    pub requests: u64,
    /// Grants.
    pub grants: u64,
    /// Allowances.
    pub allowances: u64,
    /// Levels of trust.
    pub trust: u64,
    /// Calls that wait for a review.
    pub reviews: u64,
    /// Proposals, notes and faults.
    pub notes: u64,
    /// Messages.
    pub messages: u64,
}
