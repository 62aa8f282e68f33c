//! Modes: named ways for an agent to work, and what their policy components say about calls.
//!
//! Promise: a question holds all that a policy may know, and an answer is bound by digest to what was asked
//! about, so that the same answer given to something else counts for nothing.
//!
//! Not here: asking a policy (the engine does, through a port), the order of voices (`verdict`).

use crate::change::Manifest;
use crate::command_line::{CommandLine, NotUnderstood};
use crate::ids::{CallId, Digest};
use crate::item::{Category, Effects, ModelRef};
use crate::verdict::VerdictKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A mode that a session can be in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModeSpec {
    /// Its name: 1 to 32 characters of `[a-z0-9_-]`.
    pub name: String,
    /// What it is for, one line for people.
    pub description: String,
    /// What the model is told when the session enters the mode.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instructions: String,
    /// The tools that may be called in it, by name; none for all. Session tools may always be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// The model that it prefers; none keeps the session's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRef>,
    /// The modes that an approved plan leads to, the first unless the person names one: its own name where it carries
    /// plans out itself. A person may always choose any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leads_to: Vec<String>,
    /// The policy component that judges calls in it; none where only rules and defaults do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Digest>,
}

impl ModeSpec {
    /// What the model is told when the session enters it.
    pub(crate) fn words(&self) -> String {
        let tools = self.tools.as_ref().map_or_else(String::new, |tools| match tools.as_slice() {
            [] => "\nIn this mode no tools are used but the session's own.".to_owned(),
            tools => format!("\nIn this mode only these tools are used, and the session's own: {}.", tools.join(", ")),
        });
        let instructions =
            if self.instructions.is_empty() { String::new() } else { format!("\n{}", self.instructions.trim()) };
        format!("[The session is now in the mode `{}`.]{instructions}{tools}", self.name)
    }
}

/// How much a pair of agent and component is trusted with one kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrustLevel {
    /// Asked about by the rules and defaults.
    #[default]
    Supervised,
    /// Not asked about, except every so many calls.
    SemiAutonomous,
    /// Not asked about; listed for review.
    Autonomous,
}

/// What has happened in the session so far, for a policy: counts only, so that no policy reads the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct HistorySummary {
    /// The turn's number in the session, from 1.
    pub turn: u32,
    /// Model requests answered in this turn.
    pub steps: u32,
    /// Calls ended in this turn.
    pub calls: u32,
    /// Those of them that did not do what was asked.
    pub failed_calls: u32,
    /// Those of them that were denied.
    pub denied_calls: u32,
}

/// What is left of the budgets that are set, the tighter of turn and session; none where none is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct BudgetLeft {
    /// Tokens of requests and responses.
    pub tokens: Option<u64>,
    /// Millionths of a US dollar.
    pub cost_micro_usd: Option<u64>,
    /// Milliseconds of work.
    pub work_ms: Option<u64>,
    /// Fuel of components.
    pub fuel: Option<u64>,
    /// Tool calls.
    pub calls: Option<u64>,
    /// Model requests.
    pub steps: Option<u64>,
}

/// What a policy is asked: may this call run, or may its staged changes be put in place?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyQuestion {
    /// What the answer binds to.
    pub subject: Digest,
    /// The policy component to ask.
    pub policy: Digest,
    /// The mode.
    pub mode: String,
    /// The call; none where a call is only imagined.
    pub call: Option<CallId>,
    /// The tool.
    pub tool: String,
    /// The tool's component; empty for other hands.
    pub component: String,
    /// What kind of thing the tool does, as it says itself.
    pub category: Category,
    /// Where its effects go.
    pub effects: Effects,
    /// The arguments, JSON text.
    pub arguments: Arc<str>,
    /// What the line of shell among them would run; none where the tool takes none.
    pub command_line: Option<Result<CommandLine, NotUnderstood>>,
    /// The staged changes, where those are judged; none where the arguments are.
    pub staged: Option<Manifest>,
    /// Whether something from outside the workspace was read in this session.
    pub is_tainted: bool,
    /// How far the tool is trusted with this kind of work.
    pub trust: TrustLevel,
    /// What is left to spend.
    pub budget_left: BudgetLeft,
    /// What happened so far.
    pub history: HistorySummary,
}

/// What a policy said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyAnswer {
    /// What it was asked about.
    pub subject: Digest,
    /// The component that answered.
    pub policy: Digest,
    /// Allow, ask or deny; none where it has no opinion, so that the other voices decide. A policy that broke, ran out
    /// or gave no sense denies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictKind>,
    /// The policy's own id for the rule, cleaned and cut; after `mode.NAME.` it is the verdict's rule.
    pub rule: String,
    /// Words for the person, cleaned and cut.
    pub words: String,
    /// The only arguments that may be run, JSON text, where the policy allows or asks for less than was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrowed: Option<String>,
    /// Fuel burnt.
    #[serde(default)]
    pub fuel: u64,
}

/// Points at which hooks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HookPoint {
    /// A session is opened.
    SessionStart,
    /// A session is closed.
    SessionEnd,
    /// Someone spoke to the session.
    Prompt,
    /// The model is to be asked.
    BeforeStep,
    /// The model answered.
    AfterStep,
    /// A call is to be run.
    BeforeCall,
    /// A call was reported.
    AfterCall,
    /// The conversation is to be compacted.
    BeforeCompaction,
    /// The conversation was compacted.
    AfterCompaction,
    /// A turn is to end.
    Stop,
}

impl HookPoint {
    /// The word for people, the same as in a log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::SessionStart => "session_start",
            Self::SessionEnd => "session_end",
            Self::Prompt => "prompt",
            Self::BeforeStep => "before_step",
            Self::AfterStep => "after_step",
            Self::BeforeCall => "before_call",
            Self::AfterCall => "after_call",
            Self::BeforeCompaction => "before_compaction",
            Self::AfterCompaction => "after_compaction",
            Self::Stop => "stop",
        }
    }
}

/// What a hook wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "wants", rename_all = "snake_case")]
pub enum HookWish {
    /// Nothing: go on.
    GoOn,
    /// The turn ends here.
    Stop {
        /// Why, for person and model.
        reason: String,
    },
    /// Another mode: a person is told of the proposal and may choose it.
    Mode {
        /// Its name.
        mode: String,
    },
}

/// What one hook said at one point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HookAnswer {
    /// The component's name.
    pub component: String,
    /// Its digest.
    pub digest: Digest,
    /// What it wants.
    pub wish: HookWish,
    /// Words that the model is to read at this point, cleaned and cut.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What broke; the hook then wanted nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl HookAnswer {
    /// Whether it wants the turn to end.
    pub(crate) const fn stops(&self) -> bool {
        matches!(self.wish, HookWish::Stop { .. })
    }
}
