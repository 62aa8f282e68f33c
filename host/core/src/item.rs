//! What the model sees: items of the conversation, tools, and what a response cost.
//!
//! Promise: history is append-only; an item never changes once it is part of it, and tool results
//! enter it as one item that answers every call of the step, so a prefix is always valid for a provider.

use crate::ids::{CallId, ParseIdError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which model of which provider, written `provider/name`. The name may itself contain slashes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ModelRef {
    /// The provider's name in the configuration.
    pub provider: String,
    /// The model's name as the provider knows it.
    pub name: String,
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.name)
    }
}

impl FromStr for ModelRef {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        match text.split_once('/') {
            Some((provider, name)) if !provider.is_empty() && !name.is_empty() => {
                Ok(Self { provider: provider.to_owned(), name: name.to_owned() })
            }
            _ => Err(ParseIdError::new(text, "model (provider/name)")),
        }
    }
}

/// What kind of thing a tool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Looks, changes nothing.
    Read,
    /// Changes files.
    Edit,
    /// Runs commands or code.
    Execute,
    /// Reaches the network.
    Network,
    /// Anything else.
    Other,
}

impl Category {
    /// The word for people, rules and keys.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Edit => "edit",
            Self::Execute => "execute",
            Self::Network => "network",
            Self::Other => "other",
        }
    }
}

/// Where a tool's effects go before anybody has agreed to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effects {
    /// Nowhere but a private layer: the call can be dropped and run again.
    Staged,
    /// Files as above; requests leave when they are made, each only where a grant covers it. The call must
    /// never be silently repeated.
    Requesting,
    /// Into the world at once: the call must be judged before, and never silently repeated.
    Direct,
}

/// A tool as the model and the judge see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolSpec {
    /// The name the model calls, at most 64 characters of `[a-zA-Z0-9_-]`.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its arguments, an object.
    pub parameters: serde_json::Value,
    /// What kind of thing it does.
    pub category: Category,
    /// Where its effects go.
    pub effects: Effects,
    /// What implements it: a component's digest, or a word for another hand.
    pub implementation: String,
    /// The component's name, which grants are given to; empty for other hands.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub component: String,
}

/// What implements a tool that changes nothing but the session.
pub const SESSION_IMPLEMENTATION: &str = "session";

impl ToolSpec {
    /// Whether it is one of the session's own tools, which no mode takes away.
    pub fn is_of_session(&self) -> bool {
        self.implementation == SESSION_IMPLEMENTATION
            && self.component.is_empty()
            && crate::session_tools::NAMES.contains(&self.name.as_str())
    }
}

/// One part of a model's response, in the order the model gave them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "part", rename_all = "snake_case")]
pub enum AssistantPart {
    /// Words for the person.
    Text {
        /// The words.
        text: String,
    },
    /// Reasoning, as far as the provider shows it.
    Reasoning {
        /// The reasoning or its summary; may be empty.
        text: String,
        /// What the same provider wants back unchanged (signature, encrypted content), as JSON.
        opaque: Option<serde_json::Value>,
    },
    /// A call of a tool.
    ToolCall {
        /// The provider's id for it, sent back with the result.
        provider_call: String,
        /// The tool's name as the model wrote it.
        tool: String,
        /// The arguments as the model wrote them: JSON text, possibly invalid.
        arguments: String,
    },
}

impl AssistantPart {
    fn text_bytes(&self) -> usize {
        match self {
            Self::Text { text } | Self::Reasoning { text, .. } => text.len(),
            Self::ToolCall { arguments, .. } => arguments.len(),
        }
    }

    /// The provider's id and the tool, where it is a call.
    pub fn as_tool_call(&self) -> Option<(&str, &str)> {
        match self {
            Self::ToolCall { provider_call, tool, .. } => Some((provider_call, tool)),
            Self::Text { .. } | Self::Reasoning { .. } => None,
        }
    }
}

/// The answer to one call, as the model sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolResult {
    /// Our id of the call.
    pub call: CallId,
    /// The provider's id of the call.
    pub provider_call: String,
    /// The tool's name.
    pub tool: String,
    /// What the model reads.
    pub text: String,
    /// Whether it is to be read as a failure.
    pub is_error: bool,
}

/// One item of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "item", rename_all = "snake_case")]
pub enum Item {
    /// A person's words, or the host's in their place.
    User {
        /// The words.
        text: String,
    },
    /// One response of a model. Never empty.
    Assistant {
        /// Which model gave it: opaque parts go back only to its provider.
        model: ModelRef,
        /// Its parts in order.
        parts: Vec<AssistantPart>,
    },
    /// The answers to every tool call of the assistant item before it, in that order.
    ToolResults {
        /// One for each call.
        results: Vec<ToolResult>,
    },
}

impl Item {
    /// About its size: the bytes of its texts.
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::User { text } => text.len(),
            Self::Assistant { parts, .. } => parts.iter().map(AssistantPart::text_bytes).sum(),
            Self::ToolResults { results } => results.iter().map(|result| result.text.len()).sum(),
        }
    }
}

/// Tokens and money that a request cost. Providers count differently; these are made comparable:
/// `input_tokens` includes the cached ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// All tokens of the request.
    pub input_tokens: u64,
    /// Those of them that were read from the provider's cache.
    pub cached_input_tokens: u64,
    /// Those of them that were written to the provider's cache.
    pub cache_write_tokens: u64,
    /// Tokens of the response, reasoning included.
    pub output_tokens: u64,
    /// Those of them that were reasoning, where the provider says so.
    pub reasoning_tokens: u64,
    /// Millionths of a US dollar, where the price is known.
    pub cost_micro_usd: Option<u64>,
}

impl Usage {
    /// The sum of two. The cost is known if either is: it is then the least the two have cost together.
    pub fn plus(self, other: Self) -> Self {
        let cost = match (self.cost_micro_usd, other.cost_micro_usd) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
        };
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            cached_input_tokens: self.cached_input_tokens.saturating_add(other.cached_input_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_add(other.cache_write_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
            cost_micro_usd: cost,
        }
    }
}
