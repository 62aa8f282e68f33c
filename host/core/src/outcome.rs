//! What came of a tool call: always data that the model can read, never an error of the host's.
//!
//! Promise: denied, missing, failed and over a limit are different answers, and the text for the
//! model says which.

use crate::change::Change;
use crate::grant::Capability;
use crate::ids::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One part of what a tool returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "part", rename_all = "snake_case")]
pub enum Part {
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// JSON, kept as its text.
    Json {
        /// UTF-8 JSON.
        json: String,
    },
    /// An image, kept as a blob.
    Image {
        /// An IANA media type.
        mime_type: String,
        /// The content's digest in the blob store.
        digest: Digest,
        /// The content's size.
        bytes: u64,
    },
    /// A document with its address.
    Resource {
        /// Its address.
        uri: String,
        /// An IANA media type, if known.
        mime_type: Option<String>,
        /// Its content.
        text: String,
    },
}

/// Why a tool failed: a closed list. The code beside it is the tool's own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The arguments do not fit the schema or make no sense here.
    InvalidArguments,
    /// A thing the arguments name does not exist.
    NotFound,
    /// No tool of that name.
    UnknownTool,
    /// A grant or permission is missing.
    NotPermitted,
    /// The world is not in the state the call expects.
    Conflict,
    /// An input or result is larger than the tool handles.
    TooLarge,
    /// The tool does not handle this kind of input.
    Unsupported,
    /// Anything else.
    Failed,
}

/// A limit of one call, by the name under which it is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitName {
    /// Deterministic work, in wasmtime's fuel.
    Fuel,
    /// Wall-clock milliseconds of the whole call, host calls included.
    DeadlineMs,
    /// Bytes over all linear memories of the call.
    MemoryBytes,
    /// Elements over all tables of the call.
    TableElements,
    /// Core instances.
    Instances,
    /// The guest's stack, in bytes.
    StackBytes,
    /// Bytes of the outcome.
    OutputBytes,
    /// Bytes written to standard output and error together.
    LogBytes,
    /// Bytes the host holds on behalf of the guest.
    HostBytes,
    /// Open files, directories and streams.
    OpenHandles,
    /// Bytes of all staged files together.
    StagedBytes,
    /// Number of staged files and directories.
    StagedFiles,
    /// Bytes of the arguments.
    ArgumentBytes,
    /// Requests that leave the host, redirects included.
    Requests,
    /// Bytes of all requests' bodies together.
    RequestBytes,
    /// Bytes of all responses' bodies together.
    ResponseBytes,
    /// Bytes of all values that the call writes to kv, keys included.
    KvBytes,
}

impl LimitName {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Fuel,
        Self::DeadlineMs,
        Self::MemoryBytes,
        Self::TableElements,
        Self::Instances,
        Self::StackBytes,
        Self::OutputBytes,
        Self::LogBytes,
        Self::HostBytes,
        Self::OpenHandles,
        Self::StagedBytes,
        Self::StagedFiles,
        Self::ArgumentBytes,
        Self::Requests,
        Self::RequestBytes,
        Self::ResponseBytes,
        Self::KvBytes,
    ];

    /// The name for people and configuration files, its unit last.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fuel => "fuel",
            Self::DeadlineMs => "deadline-ms",
            Self::MemoryBytes => "memory-bytes",
            Self::TableElements => "table-elements",
            Self::Instances => "instances",
            Self::StackBytes => "stack-bytes",
            Self::OutputBytes => "output-bytes",
            Self::LogBytes => "log-bytes",
            Self::HostBytes => "host-bytes",
            Self::OpenHandles => "open-handles",
            Self::StagedBytes => "staged-bytes",
            Self::StagedFiles => "staged-files",
            Self::ArgumentBytes => "argument-bytes",
            Self::Requests => "requests",
            Self::RequestBytes => "request-bytes",
            Self::ResponseBytes => "response-bytes",
            Self::KvBytes => "kv-bytes",
        }
    }
}

/// What a call gets when it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// A person's answer.
    Answer {
        /// Their words, or the choice.
        text: String,
    },
    /// Nobody answers: the person declined, or there is nobody to ask.
    Unanswered,
    /// What came of the other tool's call.
    Outcome {
        /// As the model would read it.
        text: String,
        /// Whether it is to be read as a failure.
        is_error: bool,
    },
}

/// How a call goes on that had needed something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The guest's own small state, as it gave it.
    pub state: String,
    /// What it needed.
    pub reply: Reply,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The tool did what was asked.
    Returned {
        /// What it returned.
        parts: Vec<Part>,
    },
    /// The tool could not do it and says why.
    Failed {
        /// The kind of failure.
        kind: FailureKind,
        /// A short stable word of the tool's own; may be empty.
        code: String,
        /// What was tried, what was wrong, what to do.
        message: String,
        /// Whether the same call may succeed when repeated unchanged.
        retryable: bool,
    },
    /// A boundary, rule, mode or person said no.
    Denied {
        /// The rule that denied.
        rule: String,
        /// Words for the model: why, and what to do instead.
        words: String,
    },
    /// A capability is missing; nothing was applied. A person can give it.
    NotGranted {
        /// The component that needs it.
        component: String,
        /// What it needs.
        capability: Box<Capability>,
    },
    /// The call cannot go on without a person's answer; it runs again when there is one.
    NeedsInput {
        /// What is asked, in the guest's words.
        question: String,
        /// The answers to choose from; none where any text is one.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        choices: Vec<String>,
        /// The guest's own small state, handed back with the answer.
        state: String,
    },
    /// The call cannot go on without another tool's call, made by the host with no more than both components
    /// were granted; it runs again with what came of that.
    NeedsCall {
        /// The tool.
        tool: String,
        /// Its arguments, JSON text.
        arguments: String,
        /// The guest's own small state, handed back with the outcome.
        state: String,
    },
    /// A file is not what it was when the call read it; nothing was applied.
    Conflict {
        /// The paths that differ.
        paths: Vec<String>,
    },
    /// A limit was crossed; nothing was applied.
    OverLimit {
        /// Which limit.
        limit: LimitName,
        /// Its value, in the unit the name ends in.
        maximum: u64,
    },
    /// The component or its host broke; nothing was applied.
    Faulted {
        /// What broke.
        what: String,
    },
    /// The call was stopped before it ended; nothing was applied.
    Interrupted,
    /// The host was killed while the call ran outside the sandbox: it may or may not have happened.
    InDoubt,
}

impl Outcome {
    /// One text part.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Returned { parts: vec![Part::Text { text: text.into() }] }
    }

    /// A failure that is final.
    pub fn failed(kind: FailureKind, code: &str, message: impl Into<String>) -> Self {
        Self::Failed { kind, code: code.to_owned(), message: message.into(), retryable: false }
    }

    /// Whether the tool did what was asked.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Returned { .. })
    }

    /// The kind in one word, as in the log.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Returned { .. } => "returned",
            Self::Failed { .. } => "failed",
            Self::Denied { .. } => "denied",
            Self::NotGranted { .. } => "not_granted",
            Self::NeedsInput { .. } => "needs_input",
            Self::NeedsCall { .. } => "needs_call",
            Self::Conflict { .. } => "conflict",
            Self::OverLimit { .. } => "over_limit",
            Self::Faulted { .. } => "faulted",
            Self::Interrupted => "interrupted",
            Self::InDoubt => "in_doubt",
        }
    }

    /// What the model reads. `changes` are those put in place.
    pub fn model_text(&self, changes: &[Change]) -> String {
        let mut text = match self {
            Self::Returned { parts } => parts.iter().map(part_text).collect::<Vec<_>>().join("\n"),
            Self::Failed { message, code, .. } if code.is_empty() => format!("Failed: {message}"),
            Self::Failed { message, code, .. } => format!("Failed ({code}): {message}"),
            Self::Denied { rule, words } => format!("Denied by rule `{rule}`: {words} Nothing was changed."),
            Self::NotGranted { component, capability } => format!(
                "Not granted: {component} needs `{capability}`. Nothing was changed. A person can give it with: \
                 harness-host component grant {component} '{capability}'"
            ),
            Self::NeedsInput { question, .. } => format!("The tool needs an answer first: {question}"),
            Self::NeedsCall { tool, .. } => format!("The tool needs what comes of `{tool}` first."),
            Self::Conflict { paths } => format!(
                "Conflict: {} changed on disk after this call read {}. Nothing was applied; read again and retry.",
                paths.join(", "),
                if paths.len() == 1 { "it" } else { "them" },
            ),
            Self::OverLimit { limit, maximum } => format!(
                "Over limit: the call crossed {} = {maximum}. Nothing was applied; ask for less at once.",
                limit.name()
            ),
            Self::Faulted { what } => format!("The tool broke: {what}. Nothing was applied."),
            Self::Interrupted => "Interrupted before it ended. Nothing was applied.".to_owned(),
            Self::InDoubt => "In doubt: the host stopped while this ran outside the sandbox, so it may or may not \
                              have happened. It was not repeated; check before you repeat it."
                .to_owned(),
        };
        if text.is_empty() && changes.is_empty() {
            text.push_str("(no output)");
        }
        text
    }
}

fn part_text(part: &Part) -> String {
    match part {
        Part::Text { text } => text.clone(),
        Part::Json { json } => json.clone(),
        Part::Image { mime_type, bytes, .. } => format!("[image {mime_type}, {bytes} bytes]"),
        Part::Resource { uri, text, .. } => format!("[{uri}]\n{text}"),
    }
}

/// What a call used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CallUsage {
    /// Fuel burnt; zero for hands that do not count it.
    pub fuel: u64,
    /// Peak of all linear memories together, in bytes.
    pub memory_bytes: u64,
    /// Wall-clock time from start to end, in microseconds.
    pub time_us: u64,
}
