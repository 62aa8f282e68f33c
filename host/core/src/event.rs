//! Events: the facts that a session's log is made of, one vocabulary for disk, screen and wire.
//!
//! Promise: an event is named in the past tense and never changed. A released shape is frozen: new
//! fields come with a default, other meanings come as new kinds, and reading lifts old to new.
//!
//! Inputs come from outside and are recorded as the event that says so; the others derive from them.

use crate::change::Manifest;
use crate::grant::Grant;
use crate::ids::{ApprovalId, CallId, Digest, Epoch, GrantId, QuestionId, Sequence, SessionId, TurnId};
use crate::item::{AssistantPart, ModelRef, ToolSpec, Usage};
use crate::outcome::{CallUsage, Outcome};
use crate::record::CallRecord;
use crate::verdict::{ApproveMode, Rule, Verdict};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a model is told besides the conversation: byte-stable from step to step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// What limits a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnLimits {
    /// Model requests in this turn at most, repetitions after failures not counted.
    pub steps_max: u32,
    /// Tokens of one response at most; none leaves it to the provider.
    pub output_tokens_max: Option<u32>,
    /// Attempts at one model request, the first included.
    pub retry_attempts_max: u32,
}

impl Default for TurnLimits {
    fn default() -> Self {
        Self {
            steps_max: crate::limits::TURN_STEPS_MAX_DEFAULT,
            output_tokens_max: None,
            retry_attempts_max: crate::limits::RETRY_ATTEMPTS_MAX_DEFAULT,
        }
    }
}

/// Why a model gave no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// A person's answer to an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// This once.
    Yes,
    /// This, and later calls of the same tool in this session.
    YesForTool,
    /// No; the reason reaches the model.
    No {
        /// May be empty.
        reason: String,
    },
}

/// How files changed, as a hand reports it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// A fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    // Inputs: what came from outside.
    /// Input: a session came into being.
    SessionCreated {
        /// The folder it works in, an absolute path.
        workspace: String,
        /// A title, if the person gave one.
        title: Option<String>,
    },
    /// Input: a host took the session up, for the first time or again.
    SessionOpened {
        /// The host's version.
        host: String,
        /// The fencing number of this writer.
        epoch: Epoch,
        /// What the model is told, if it differs from what it was.
        context: Option<Arc<Context>>,
    },
    /// Input: a title was given.
    SessionRenamed {
        /// The title.
        title: String,
    },
    /// Input: the session was put away, or taken out again.
    SessionArchived {
        /// Whether it is put away now.
        archived: bool,
    },
    /// Input: the session begins as another one was; the first event of its own. The events before it are the
    /// origin's, by reference.
    SessionForked {
        /// The session it was made from.
        origin: SessionId,
        /// The last of its events that both share.
        at: Sequence,
        /// The title.
        title: String,
        /// Which files it works on.
        files: ForkFiles,
    },
    /// Input: the session was taken in from a file; the first event of its own. The events before it were written
    /// elsewhere: what they granted, allowed or had under way is not in force here.
    SessionImported {
        /// The session that was exported.
        origin: SessionId,
        /// The last event that was in the file.
        at: Sequence,
        /// The folder it works in from now on, an absolute path.
        workspace: String,
    },
    /// Input: the session goes on as it was after an earlier event. What that was is read from the log again.
    SessionRewound {
        /// That event.
        to: Sequence,
    },
    /// Input: someone spoke to the session and a turn is to begin.
    PromptReceived {
        /// Randomness from which the ids of this input's events are derived.
        entropy: String,
        /// The words.
        text: String,
        /// What limits the turn.
        limits: TurnLimits,
    },
    /// Input: the model answered.
    ModelResponded {
        /// Randomness from which the ids of this input's events are derived.
        entropy: String,
        /// The parts of its response, in order.
        parts: Vec<AssistantPart>,
        /// Why it stopped.
        stop: ModelStop,
        /// What it cost.
        usage: Usage,
        /// The provider's id of the response, if it gives one.
        provider_response: Option<String>,
        /// Time from request to end of response, in milliseconds.
        time_ms: u64,
    },
    /// Input: the model could not be asked, or its response could not be used.
    ModelFailed {
        /// Randomness, for the wait before the next attempt.
        entropy: String,
        /// Why.
        failure: ModelFailure,
    },
    /// Input: the wait before a repetition is over.
    RetryDue,
    /// Input: a hand reports what came of a call.
    CallReported {
        /// The call.
        call: CallId,
        /// What came of it.
        outcome: Outcome,
        /// What it changed, and whether that is in place.
        changes: Changes,
        /// What it used.
        usage: CallUsage,
        /// What else it did, and what it was told.
        #[serde(default, skip_serializing_if = "CallRecord::is_empty")]
        record: CallRecord,
    },
    /// Input: a hand reports how putting staged changes in place went.
    ChangesPut {
        /// The call whose changes they are.
        call: CallId,
        /// How it went.
        result: ApplyResult,
    },
    /// Input: a person answered an approval.
    ApprovalAnswered {
        /// Which.
        approval: ApprovalId,
        /// What the person was shown, by digest.
        binds_to: Digest,
        /// The answer.
        answer: Answer,
    },
    /// Input: a person stops the running turn.
    InterruptRequested,
    /// Input: a capability was lent to a component. Calls that start from now on have it.
    GrantGiven {
        /// What, to whom, how long.
        grant: Grant,
    },
    /// Input: a capability was taken back. Calls that start from now on do not have it.
    GrantRevoked {
        /// Which.
        grant: GrantId,
    },
    /// Input: a person answered a component's question, or declined to.
    QuestionAnswered {
        /// Which.
        question: QuestionId,
        /// The words or the choice; none where nobody answers.
        answer: Option<String>,
    },
    /// Input: a person takes back what calls changed.
    UndoRequested {
        /// The undoing; it stands where a put names its call.
        undo: CallId,
        /// The calls whose changes are taken back, in the order in which they ended.
        of: Vec<CallId>,
        /// What is put in place: the reverse of what they changed together.
        manifest: Manifest,
    },

    // Derived: what follows.
    /// A turn began.
    TurnStarted {
        /// The turn.
        turn: TurnId,
        /// Its number in the session, from 1.
        number: u32,
        /// What limits it.
        limits: TurnLimits,
    },
    /// The model was to be asked.
    ModelRequested {
        /// The step's number in the turn, from 1.
        step: u32,
        /// The attempt, from 1.
        attempt: u32,
        /// How many items of history the request holds.
        items: u64,
    },
    /// The request is to be repeated after a wait.
    RetryScheduled {
        /// The attempt that will be made, from 2.
        attempt: u32,
        /// The wait in milliseconds.
        delay_ms: u64,
        /// The wait is the provider's wish.
        asked_by_provider: bool,
    },
    /// The model, or a call that cannot go on without it, asked for a call.
    CallRequested {
        /// The call.
        call: CallId,
        /// The provider's id for it; empty where another call needs it.
        provider_call: String,
        /// The tool, as the model named it.
        tool: String,
        /// The arguments, as the model wrote them.
        arguments: String,
        /// The call that needs this one; none where the model asked for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<CallId>,
    },
    /// A call was judged, on its arguments or on its staged changes.
    CallJudged {
        /// The call.
        call: CallId,
        /// What was judged, by digest.
        subject: Digest,
        /// The verdict.
        verdict: Verdict,
    },
    /// A call was to be run.
    CallStarted {
        /// The call.
        call: CallId,
        /// What implements the tool: a component's digest, or a word for another hand.
        implementation: String,
    },
    /// A person was to be asked.
    ApprovalAsked {
        /// The approval.
        approval: ApprovalId,
        /// The call it is about.
        call: CallId,
        /// What the answer binds to: the digest of the arguments or of the manifest.
        binds_to: Digest,
        /// The rule that asks.
        rule: String,
        /// Words for the person.
        words: String,
    },
    /// An approval needs no answer any more.
    ApprovalWithdrawn {
        /// Which.
        approval: ApprovalId,
    },
    /// A component was to ask a person; its call goes on with the answer.
    QuestionAsked {
        /// The question.
        question: QuestionId,
        /// The call that needs the answer.
        call: CallId,
        /// The component, or the tool where none is named.
        component: String,
        /// What is asked, in the component's words.
        words: String,
        /// The answers to choose from; none where any text is one.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        choices: Vec<String>,
    },
    /// A question needs no answer any more.
    QuestionWithdrawn {
        /// Which.
        question: QuestionId,
    },
    /// The kv writes that a call's last report names are in force, in the same append.
    KvWritten {
        /// The call.
        call: CallId,
    },
    /// Changes were taken back, or could not be.
    ChangesUndone {
        /// The undoing.
        undo: CallId,
        /// The calls whose changes they were.
        of: Vec<CallId>,
        /// How it went: all of them or none.
        result: ApplyResult,
    },
    /// A person allowed a tool for later calls.
    AllowanceGranted {
        /// The tool.
        tool: String,
        /// The rule whose ask was answered.
        rule: String,
    },
    /// Staged changes were to be put in place.
    ChangesAuthorized {
        /// The call whose changes they are.
        call: CallId,
        /// What was authorised, by digest.
        manifest: Digest,
    },
    /// A call ended: this is what the model is told.
    CallEnded {
        /// The call.
        call: CallId,
        /// The outcome in one word.
        outcome: String,
        /// What the model reads; none where that is the text of the reported outcome, unchanged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// Whether the model is to read it as a failure.
        is_error: bool,
        /// What is in place now.
        changes: Manifest,
    },
    /// A turn ended.
    TurnEnded {
        /// The turn.
        turn: TurnId,
        /// Why.
        end: TurnEnd,
        /// Model requests that were answered.
        steps: u32,
        /// What the turn cost.
        usage: Usage,
    },
}

/// Why a payload is not an event.
#[derive(Debug, thiserror::Error)]
pub enum DecodeEventError {
    /// Not JSON of a known event.
    #[error("unknown or damaged event `{kind}`")]
    Json {
        /// The kind its header names.
        kind: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// Header and payload disagree.
    #[error("the header says `{header}`, the payload `{payload}`")]
    Kind {
        /// The header's kind.
        header: String,
        /// The payload's kind.
        payload: &'static str,
    },
}

impl Event {
    /// The payload's bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Strings, numbers, lists and JSON values: nothing that JSON cannot hold.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The event of a payload whose header names `kind`.
    pub fn decode(kind: &str, bytes: &[u8]) -> Result<Self, DecodeEventError> {
        let event: Self =
            serde_json::from_slice(bytes).map_err(|source| DecodeEventError::Json { kind: kind.to_owned(), source })?;
        if event.kind() != kind {
            return Err(DecodeEventError::Kind { header: kind.to_owned(), payload: event.kind() });
        }
        Ok(event)
    }

    /// The kind, as in header and payload.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SessionCreated { .. } => "session_created",
            Self::SessionOpened { .. } => "session_opened",
            Self::SessionRenamed { .. } => "session_renamed",
            Self::SessionArchived { .. } => "session_archived",
            Self::SessionForked { .. } => "session_forked",
            Self::SessionImported { .. } => "session_imported",
            Self::SessionRewound { .. } => "session_rewound",
            Self::PromptReceived { .. } => "prompt_received",
            Self::ModelResponded { .. } => "model_responded",
            Self::ModelFailed { .. } => "model_failed",
            Self::RetryDue => "retry_due",
            Self::CallReported { .. } => "call_reported",
            Self::ChangesPut { .. } => "changes_put",
            Self::ApprovalAnswered { .. } => "approval_answered",
            Self::InterruptRequested => "interrupt_requested",
            Self::GrantGiven { .. } => "grant_given",
            Self::GrantRevoked { .. } => "grant_revoked",
            Self::QuestionAnswered { .. } => "question_answered",
            Self::UndoRequested { .. } => "undo_requested",
            Self::TurnStarted { .. } => "turn_started",
            Self::ModelRequested { .. } => "model_requested",
            Self::RetryScheduled { .. } => "retry_scheduled",
            Self::CallRequested { .. } => "call_requested",
            Self::CallJudged { .. } => "call_judged",
            Self::CallStarted { .. } => "call_started",
            Self::ApprovalAsked { .. } => "approval_asked",
            Self::ApprovalWithdrawn { .. } => "approval_withdrawn",
            Self::QuestionAsked { .. } => "question_asked",
            Self::QuestionWithdrawn { .. } => "question_withdrawn",
            Self::KvWritten { .. } => "kv_written",
            Self::ChangesUndone { .. } => "changes_undone",
            Self::AllowanceGranted { .. } => "allowance_granted",
            Self::ChangesAuthorized { .. } => "changes_authorized",
            Self::CallEnded { .. } => "call_ended",
            Self::TurnEnded { .. } => "turn_ended",
        }
    }
}
