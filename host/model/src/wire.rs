//! What a provider's protocol consists of: how a request is written and how its stream is read.
//!
//! Not here: connections and failures with an HTTP status (`provider`), the protocols themselves.

use crate::conversation::WriteConversation;
use crate::endpoint::Endpoint;
use crate::failure;
use crate::key::ApiKey;
use crate::sse::SseEvent;
use harness_core::event::{ModelFailure, ModelFailureKind, ModelStop};
use harness_core::item::{AssistantPart, Usage};
use harness_engine::ports::{DeltaSink, ModelRequest, ModelResponse};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// The text of all parts of one response together, in bytes: it has to fit into one event of the log.
const PARTS_BYTES_MAX: usize = 32 << 20;
/// Characters of a provider's id that are kept.
const RESPONSE_ID_CHARS_MAX: usize = 200;

/// The protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    /// Anthropic's Messages.
    Anthropic,
    /// OpenAI's Chat Completions, which Ollama, vLLM, LM Studio, OpenRouter and many others speak.
    OpenAiChat,
    /// OpenAI's Responses.
    OpenAiResponses,
    /// None: answers are made up here, by rules.
    Offline,
}

impl Wire {
    /// What follows the base URL and its version.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Anthropic => "/messages",
            Self::OpenAiChat => "/chat/completions",
            Self::OpenAiResponses => "/responses",
            Self::Offline => "",
        }
    }

    /// How to speak it; none where nothing is sent.
    pub(crate) fn protocol(self) -> Option<Box<dyn Protocol>> {
        match self {
            Self::Anthropic => Some(Box::new(crate::anthropic::Anthropic)),
            Self::OpenAiChat => Some(Box::new(crate::openai_chat::OpenAiChat)),
            Self::OpenAiResponses => Some(Box::new(crate::openai_responses::OpenAiResponses)),
            Self::Offline => None,
        }
    }
}

/// A protocol.
pub(crate) trait Protocol: WriteConversation {
    /// The request's JSON up to the first item of the conversation.
    fn head(&self, request: &ModelRequest, endpoint: &Endpoint) -> Vec<u8>;

    /// What is put before the closing brace of a block that the provider's cache should reach to.
    fn cache_mark(&self) -> Option<&'static str> {
        None
    }

    /// The headers that carry the key and name the protocol's version.
    fn headers(&self, key: Option<&ApiKey>) -> Result<HeaderMap, ModelFailure>;

    /// A reader for one response. `step` differs between the requests of a session.
    fn decoder(&self, step: usize) -> Box<dyn Decoder>;
}

/// How far a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More is needed.
    More,
    /// The response is whole; what may follow is only its usage.
    Ending,
    /// Nothing follows.
    Done,
}

/// Reads the events of one response.
pub(crate) trait Decoder: Send {
    /// Takes an event.
    fn event(&mut self, event: &SseEvent, deltas: &dyn DeltaSink) -> Result<Progress, ModelFailure>;

    /// The response, after the stream's end: a failure if it is not whole.
    fn finish(self: Box<Self>) -> Result<ModelResponse, ModelFailure>;
}

/// The headers of a provider that takes its key as a bearer token.
pub(crate) fn bearer_headers(key: Option<&ApiKey>) -> Result<HeaderMap, ModelFailure> {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        secret_header(&mut headers, AUTHORIZATION, "Bearer ", key)?;
    }
    Ok(headers)
}

/// A header whose value is not shown.
pub(crate) fn secret_header(
    headers: &mut HeaderMap,
    name: HeaderName,
    prefix: &str,
    key: &ApiKey,
) -> Result<(), ModelFailure> {
    let mut value = HeaderValue::from_str(&format!("{prefix}{}", key.expose())).map_err(|_| {
        let message = "the API key has characters that no key has, such as a line break: set it again";
        failure::failure(ModelFailureKind::Authentication, message)
    })?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

/// The data of an event as JSON.
pub(crate) fn parse<'a, T: serde::Deserialize<'a>>(event: &'a SseEvent) -> Result<T, ModelFailure> {
    serde_json::from_str(&event.data).map_err(|error| {
        let start: String = event.data.chars().take(80).collect();
        failure::malformed(format!("an event of the stream is not what the protocol allows: {error}, in `{start}`"))
    })
}

/// A tool call as it was put together.
pub(crate) fn tool_call(provider_call: String, tool: String, arguments: String) -> AssistantPart {
    let arguments = if arguments.trim().is_empty() { "{}".to_owned() } else { arguments };
    AssistantPart::ToolCall { provider_call, tool, arguments }
}

/// Whether text is whole JSON that every provider takes back: passing over it (`IgnoredAny`) would let half
/// a surrogate pair and any depth through, which strict parsers refuse.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok()
}

/// A whole response. Where the output limit was reached, a last call that is not whole is left out; a
/// response without parts gets an empty text, since an item of a conversation is never empty.
pub(crate) fn response(
    mut parts: Vec<AssistantPart>,
    limit_reached: bool,
    usage: Usage,
    id: Option<String>,
) -> Result<ModelResponse, ModelFailure> {
    let bytes: usize = parts.iter().map(part_bytes).sum();
    if bytes > PARTS_BYTES_MAX {
        let message = format!("the response has {bytes} bytes, more than {PARTS_BYTES_MAX}: ask for less at once");
        return Err(failure::failure(ModelFailureKind::Refused, message));
    }
    if limit_reached
        && let Some(AssistantPart::ToolCall { arguments, .. }) = parts.last()
        && (arguments == "{}" || !is_json(arguments))
    {
        parts.pop();
    }
    let has_calls = parts.iter().any(|part| matches!(part, AssistantPart::ToolCall { .. }));
    if parts.is_empty() {
        parts.push(AssistantPart::Text { text: String::new() });
    }
    let stop = match (limit_reached, has_calls) {
        (true, _) => ModelStop::OutputLimit,
        (false, true) => ModelStop::ToolCalls,
        (false, false) => ModelStop::EndOfTurn,
    };
    let provider_response = id.map(|id| failure::clean(&id).chars().take(RESPONSE_ID_CHARS_MAX).collect());
    Ok(ModelResponse { parts, stop, usage, provider_response })
}

fn part_bytes(part: &AssistantPart) -> usize {
    match part {
        AssistantPart::Text { text } => text.len(),
        AssistantPart::Reasoning { text, opaque } => {
            text.len() + opaque.as_ref().map_or(0, |opaque| opaque.to_string().len())
        }
        AssistantPart::ToolCall { provider_call, tool, arguments } => {
            provider_call.len() + tool.len() + arguments.len()
        }
    }
}
