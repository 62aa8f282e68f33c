//! What events are made of: contexts, limits, failures, answers, ends.

use crate::budget::{Budget, Price};
use crate::change::Manifest;
use crate::grant::Scope;
use crate::ids::{Digest, TimeMs};
use crate::item::{ModelRef, ToolSpec};
use crate::mode::ModeSpec;
use crate::pattern::ArgumentPattern;
use crate::verdict::{ApproveMode, Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a model is told besides the conversation: byte-stable from step to step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Context {
    /// The model that is asked.
    pub model: ModelRef,
    /// Why this model: `flag`, `config`, `default`, `session`…
    pub model_reason: String,
    /// The system prompt.
    pub system: String,
    /// The tools, in the order in which they are shown to the model.
    pub tools: Vec<ToolSpec>,
    /// How much the person wants to be asked.
    pub approve: ApproveMode,
    /// The user's rules.
    pub rules: Vec<Rule>,
    /// The modes there are; the first is the one a session begins in. None: calls are judged by rules and defaults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modes: Vec<ModeSpec>,
    /// What the model's tokens cost, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// The agent that works in the session, one word.
    #[serde(default = "default_agent", skip_serializing_if = "is_default_agent")]
    pub agent: String,
    /// Whether trust is earned, and spares a person what the defaults would ask.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trust: bool,
}

/// The agent where none is named.
pub const DEFAULT_AGENT: &str = "default";

fn default_agent() -> String {
    DEFAULT_AGENT.to_owned()
}

fn is_default_agent(agent: &String) -> bool {
    agent == DEFAULT_AGENT
}

impl Context {
    /// A context of a model without instructions, tools, rules and modes, in which every change is asked about until
    /// trust is earned.
    pub fn new(model: ModelRef, model_reason: impl Into<String>) -> Self {
        Self {
            model,
            model_reason: model_reason.into(),
            system: String::new(),
            tools: Vec::new(),
            approve: ApproveMode::default(),
            rules: Vec::new(),
            modes: Vec::new(),
            price: None,
            agent: default_agent(),
            trust: true,
        }
    }
}

/// What limits a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TurnLimits {
    /// Model requests in this turn at most, repetitions after failures not counted.
    pub steps_max: u32,
    /// Tokens of one response at most; none leaves it to the provider.
    pub output_tokens_max: Option<u32>,
    /// Attempts at one model request, the first included.
    pub retry_attempts_max: u32,
    /// What the turn may spend.
    #[serde(default, skip_serializing_if = "Budget::is_empty")]
    pub budget: Budget,
}

impl Default for TurnLimits {
    fn default() -> Self {
        Self {
            steps_max: crate::limits::TURN_STEPS_MAX_DEFAULT,
            output_tokens_max: None,
            retry_attempts_max: crate::limits::RETRY_ATTEMPTS_MAX_DEFAULT,
            budget: Budget::default(),
        }
    }
}

/// Why a model gave no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelFailureKind {
    /// Overload, rate limit or a server's error: the same request may succeed later.
    Retryable,
    /// The connection could not be made or broke before or in the middle of the response.
    Disconnected,
    /// What came was not what the provider's protocol allows.
    MalformedStream,
    /// The provider declined to answer this content, or the request is not acceptable to it.
    Refused,
    /// The key is missing, wrong or not allowed to.
    Authentication,
    /// The conversation is longer than the model's window.
    ContextTooLong,
}

impl ModelFailureKind {
    /// Whether repeating the same request may help.
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Retryable | Self::Disconnected | Self::MalformedStream => true,
            Self::Refused | Self::Authentication | Self::ContextTooLong => false,
        }
    }

    /// The kind in one word, as in the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Retryable => "retryable",
            Self::Disconnected => "disconnected",
            Self::MalformedStream => "malformed_stream",
            Self::Refused => "refused",
            Self::Authentication => "authentication",
            Self::ContextTooLong => "context_too_long",
        }
    }
}

/// Why a model gave no response, with what was said about it. Never holds a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct ModelFailure {
    /// The kind.
    pub kind: ModelFailureKind,
    /// What was tried, what was wrong, what to do.
    pub message: String,
    /// The HTTP status, if there was one.
    pub status: Option<u16>,
    /// How long the provider asks to wait, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelStop {
    /// It had said all.
    EndOfTurn,
    /// It wants tools called.
    ToolCalls,
    /// It ran into the limit of output tokens.
    OutputLimit,
}

/// Why a turn ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum TurnEnd {
    /// The model said all it had to say.
    Done,
    /// The model could not be asked.
    Failed {
        /// Why.
        failure: ModelFailure,
    },
    /// A limit was reached.
    Limit {
        /// Its name, such as `max-steps`.
        limit: String,
        /// Its value.
        maximum: u64,
    },
    /// A person stopped it.
    Interrupted,
    /// A hook stopped it.
    Stopped {
        /// The hook's component.
        by: String,
        /// Why, in its words.
        words: String,
    },
    /// The same was done over and over without getting anywhere, also after the model was told.
    Stuck {
        /// The tool.
        tool: String,
        /// How often.
        times: u32,
    },
}

impl TurnEnd {
    /// The reason in one word, as in the log.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed { .. } => "failed",
            Self::Limit { .. } => "limit",
            Self::Interrupted => "interrupted",
            Self::Stopped { .. } => "stopped",
            Self::Stuck { .. } => "stuck",
        }
    }
}

/// What a person says to a submitted plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum PlanAnswer {
    /// Do it, in the present mode or another one.
    Approve {
        /// The mode to go on in; none for where the present one leads first, or the present one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<String>,
    },
    /// Not like this.
    Reject {
        /// What to change; may be empty.
        feedback: String,
    },
}

/// What version control says of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GitState {
    /// What HEAD says: a branch's name or a commit.
    pub head: String,
    /// The commit that HEAD stands for; empty before the first.
    pub commit: String,
    /// The index file's digest; none where there is none.
    pub index: Option<Digest>,
}

/// A person's answer to an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// This once.
    Yes,
    /// This, and later calls of the same tool in this session; this once where a boundary asks, or for a component's
    /// own call.
    YesForTool,
    /// This, and later calls.
    Allow {
        /// Which.
        coverage: AnswerCoverage,
        /// How far: turn, session, workspace, agent or global.
        scope: Scope,
        /// When it ends, if it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<TimeMs>,
    },
    /// This once, with other arguments. They are judged: an edit never crosses a deny.
    Edited {
        /// The arguments, a JSON object.
        arguments: String,
    },
    /// No; the reason reaches the model.
    No {
        /// May be empty.
        reason: String,
    },
}

/// Which later calls an answer covers besides the one it was given to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "covers", rename_all = "snake_case")]
pub enum AnswerCoverage {
    /// The same tool with the same arguments, byte for byte.
    Exact,
    /// The same tool, where the pattern covers the arguments whole.
    Pattern {
        /// The pattern; it has to be about the call that was asked about.
        pattern: ArgumentPattern,
    },
    /// The same tool.
    Tool,
    /// Every tool of the same category.
    Category,
}

/// How files changed, as a hand reports it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "changes", rename_all = "snake_case")]
pub enum Changes {
    /// Not at all.
    #[default]
    None,
    /// In a private layer: not applied yet.
    Staged {
        /// What would be applied.
        manifest: Manifest,
    },
    /// In the world already, found by comparing before and after.
    Observed {
        /// What was found.
        manifest: Manifest,
    },
}

/// How putting staged changes in place went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "applied", rename_all = "snake_case")]
pub enum ApplyResult {
    /// All of them are in place and durable.
    Applied,
    /// Some paths are not what they were; none of the changes is in place.
    Conflict {
        /// Those paths.
        paths: Vec<String>,
    },
    /// The file system refused. The message says what is in place all the same, if anything is.
    Failed {
        /// What it said.
        message: String,
    },
}

/// Which files a fork works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "files", rename_all = "snake_case")]
pub enum ForkFiles {
    /// Those of its origin, in the same folder.
    Shared,
    /// A copy of its origin's.
    Copied {
        /// The copy's folder, an absolute path.
        workspace: String,
    },
    /// An overlay on the base that its origin stands on.
    Overlaid {
        /// The overlay's folder, an absolute path.
        workspace: String,
    },
}

impl ForkFiles {
    /// The folder the fork works in, where it is another than its origin's.
    pub fn workspace(&self) -> Option<&str> {
        match self {
            Self::Shared => None,
            Self::Copied { workspace } | Self::Overlaid { workspace } => Some(workspace),
        }
    }
}
