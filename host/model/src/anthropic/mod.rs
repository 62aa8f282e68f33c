//! Anthropic's Messages API, streaming.
//!
//! Promise: the request of a step begins with the bytes of the one before, but for the cache marks, of
//! which there are at most four: after the tools, after the system prompt, and at the end of the user's
//! side as it is and as it was one request ago, where the cache was last written.
//!
//! Source: platform.claude.com/docs (messages, streaming, prompt caching, preserved thinking).

mod stream;

use crate::conversation::{SentPart, WriteConversation};
use crate::endpoint::Endpoint;
use crate::key::ApiKey;
use crate::wire::{Decoder, Protocol, secret_header};
use crate::writer::{OpenMessage, Writer, push_string, push_value};
use harness_core::event::ModelFailure;
use harness_engine::ports::ModelRequest;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// Output tokens at most where nobody says otherwise; the API demands a number.
const OUTPUT_TOKENS_MAX_DEFAULT: u32 = 32_000;
/// The version of the protocol.
const VERSION: &str = "2023-06-01";
/// Marks the end of what the provider's cache should hold.
const CACHE_MARK: &str = r#","cache_control":{"type":"ephemeral"}"#;
/// From this generation on, models think unless told otherwise, and show nothing of it unless asked to.
const ADAPTIVE_GENERATION_MIN: u32 = 5;

/// The protocol.
pub(crate) struct Anthropic;

impl Protocol for Anthropic {
    fn head(&self, request: &ModelRequest, _: &Endpoint) -> Vec<u8> {
        let context = &request.context;
        let mut head = b"{\"model\":".to_vec();
        push_string(&mut head, &context.model.name);
        let limit = request.output_tokens_max.unwrap_or(OUTPUT_TOKENS_MAX_DEFAULT);
        head.extend_from_slice(format!(",\"max_tokens\":{limit},\"stream\":true").as_bytes());
        if generation(&context.model.name).is_some_and(|generation| generation >= ADAPTIVE_GENERATION_MIN) {
            head.extend_from_slice(br#","thinking":{"type":"adaptive","display":"summarized"}"#);
        }
        for (at, tool) in context.tools.iter().enumerate() {
            head.extend_from_slice(if at == 0 { b",\"tools\":[{\"name\":" } else { b",{\"name\":" });
            push_string(&mut head, &tool.name);
            head.extend_from_slice(b",\"description\":");
            push_string(&mut head, &tool.description);
            head.extend_from_slice(b",\"input_schema\":");
            push_value(&mut head, &tool.parameters);
            if at + 1 == context.tools.len() {
                head.extend_from_slice(CACHE_MARK.as_bytes());
                head.extend_from_slice(b"}]");
            } else {
                head.push(b'}');
            }
        }
        if !context.system.trim().is_empty() {
            head.extend_from_slice(b",\"system\":[{\"type\":\"text\",\"text\":");
            push_string(&mut head, &context.system);
            head.extend_from_slice(CACHE_MARK.as_bytes());
            head.extend_from_slice(b"}]");
        }
        head.extend_from_slice(b",\"messages\":[");
        head
    }

    fn cache_mark(&self) -> Option<&'static str> {
        Some(CACHE_MARK)
    }

    fn headers(&self, key: Option<&ApiKey>) -> Result<HeaderMap, ModelFailure> {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("anthropic-version"), HeaderValue::from_static(VERSION));
        if let Some(key) = key {
            secret_header(&mut headers, HeaderName::from_static("x-api-key"), "", key)?;
        }
        Ok(headers)
    }

    fn decoder(&self, step: usize) -> Box<dyn Decoder> {
        Box::new(stream::Stream::new(step))
    }
}

/// The first number in a Claude model's name: `claude-sonnet-5-5` is of generation 5,
/// `claude-3-5-haiku-20241022` of 3.
fn generation(model: &str) -> Option<u32> {
    let rest = model.rsplit('/').next()?.strip_prefix("claude-")?;
    rest.split(['-', '.']).filter(|part| part.len() <= 2).find_map(|part| part.parse().ok())
}

impl WriteConversation for Anthropic {
    fn user(&self, text: &str, out: &mut Writer) {
        open(OpenMessage::User, out);
        out.raw("{\"type\":\"text\",\"text\":");
        out.string(text);
        out.raw("}");
    }

    fn assistant(&self, parts: &[SentPart<'_>], out: &mut Writer) {
        if out.message == OpenMessage::None {
            // A conversation has to begin on the user's side.
            self.user("(continued)", out);
        }
        for part in parts {
            open(OpenMessage::Assistant, out);
            match part {
                SentPart::Text(text) => {
                    out.raw("{\"type\":\"text\",\"text\":");
                    out.string(text);
                }
                SentPart::Reasoning { text, opaque } => reasoning(text, opaque, out),
                SentPart::Call { id, name, arguments } => {
                    out.raw("{\"type\":\"tool_use\",\"id\":");
                    out.string(id);
                    out.raw(",\"name\":");
                    out.string(name);
                    out.raw(",\"input\":");
                    out.raw(arguments);
                }
            }
            out.raw("}");
        }
    }

    fn result(&self, id: &str, text: &str, is_error: bool, out: &mut Writer) {
        open(OpenMessage::User, out);
        out.raw("{\"type\":\"tool_result\",\"tool_use_id\":");
        out.string(id);
        out.raw(",\"content\":");
        out.string(text);
        out.raw(if is_error { ",\"is_error\":true}" } else { "}" });
    }

    fn close(&self, out: &mut Writer) {
        if matches!(out.message, OpenMessage::User | OpenMessage::Assistant) {
            out.raw("]}");
        }
        out.raw("]}");
    }
}

/// What the provider gave with a thinking block, and all of a redacted one, unchanged.
fn reasoning(text: &str, opaque: &serde_json::Value, out: &mut Writer) {
    let field = |name: &str| opaque.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    if field("type") == "redacted_thinking" {
        out.raw("{\"type\":\"redacted_thinking\",\"data\":");
        out.string(field("data"));
    } else {
        out.raw("{\"type\":\"thinking\",\"thinking\":");
        out.string(text);
        out.raw(",\"signature\":");
        out.string(field("signature"));
    }
}

/// Goes on with the message of a side, or begins one.
fn open(side: OpenMessage, out: &mut Writer) {
    if out.message == side {
        out.raw(",");
        return;
    }
    if matches!(out.message, OpenMessage::User | OpenMessage::Assistant) {
        out.raw("]},");
    }
    out.raw(if side == OpenMessage::User {
        "{\"role\":\"user\",\"content\":["
    } else {
        "{\"role\":\"assistant\",\"content\":["
    });
    out.message = side;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_read_from_names() {
        for (model, expected) in [
            ("claude-sonnet-5-5", Some(5)),
            ("claude-sonnet-5", Some(5)),
            ("claude-haiku-4-5-20251001", Some(4)),
            ("claude-3-7-sonnet-20250219", Some(3)),
            ("anthropic/claude-opus-4.6", Some(4)),
            ("claude-fable-5-1", Some(5)),
            ("claude-next", None),
            ("deepseek-chat", None),
        ] {
            assert_eq!(generation(model), expected, "{model}");
        }
    }
}
