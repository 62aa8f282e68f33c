//! OpenAI's Chat Completions, streaming, as OpenAI and the many servers that imitate it speak it.
//!
//! Promise: the request of a step begins with the bytes of the one before; reading is tolerant where
//! imitations differ, and strict where a mistake would call a tool with half its arguments.
//!
//! Sources: developers.openai.com (chat completions), openrouter.ai/docs (streaming, reasoning tokens),
//! docs.vllm.ai and api-docs.deepseek.com (reasoning), and what Ollama and LM Studio send.

mod calls;
mod stream;

use crate::conversation::{SentPart, WriteConversation};
use crate::endpoint::Endpoint;
use crate::key::ApiKey;
use crate::wire::{Decoder, Protocol, bearer_headers};
use crate::writer::{OpenMessage, Writer, push_string, push_value};
use harness_core::event::ModelFailure;
use harness_engine::ports::ModelRequest;
use reqwest::header::HeaderMap;

/// The protocol.
pub(crate) struct OpenAiChat;

impl Protocol for OpenAiChat {
    fn head(&self, request: &ModelRequest, endpoint: &Endpoint) -> Vec<u8> {
        let context = &request.context;
        let mut head = b"{\"model\":".to_vec();
        push_string(&mut head, &context.model.name);
        head.extend_from_slice(br#","stream":true,"stream_options":{"include_usage":true}"#);
        if let Some(limit) = request.output_tokens_max {
            // OpenAI's reasoning models refuse the old name, others do not know the new one.
            let name = if endpoint.is_openai() { "max_completion_tokens" } else { "max_tokens" };
            head.extend_from_slice(format!(",\"{name}\":{limit}").as_bytes());
        }
        if endpoint.is_openai() {
            head.extend_from_slice(format!(",\"prompt_cache_key\":\"{}\"", request.session).as_bytes());
        }
        for (at, tool) in context.tools.iter().enumerate() {
            head.extend_from_slice(if at == 0 { b",\"tools\":[" } else { b"," });
            head.extend_from_slice(b"{\"type\":\"function\",\"function\":{\"name\":");
            push_string(&mut head, &tool.name);
            head.extend_from_slice(b",\"description\":");
            push_string(&mut head, &tool.description);
            head.extend_from_slice(b",\"parameters\":");
            push_value(&mut head, &tool.parameters);
            head.extend_from_slice(b"}}");
        }
        if !context.tools.is_empty() {
            head.push(b']');
        }
        head.extend_from_slice(b",\"messages\":[");
        if !context.system.trim().is_empty() {
            head.extend_from_slice(b"{\"role\":\"system\",\"content\":");
            push_string(&mut head, &context.system);
            head.extend_from_slice(b"},");
        }
        head
    }

    fn headers(&self, key: Option<&ApiKey>) -> Result<HeaderMap, ModelFailure> {
        bearer_headers(key)
    }

    fn decoder(&self, step: usize) -> Box<dyn Decoder> {
        Box::new(stream::Stream::new(step))
    }
}

impl WriteConversation for OpenAiChat {
    fn user(&self, text: &str, out: &mut Writer) {
        // Many chat templates demand that the sides alternate: words that follow words join them.
        if out.message == OpenMessage::User {
            out.string_inside("\n\n");
        } else {
            begin(out);
            out.raw("{\"role\":\"user\",\"content\":\"");
            out.message = OpenMessage::User;
        }
        out.string_inside(text);
    }

    fn assistant(&self, parts: &[SentPart<'_>], out: &mut Writer) {
        begin(out);
        out.raw("{\"role\":\"assistant\",\"content\":");
        let texts: Vec<&str> =
            parts.iter().filter_map(|part| if let SentPart::Text(text) = part { Some(*text) } else { None }).collect();
        if texts.is_empty() {
            out.raw("null")
        } else {
            out.string(&texts.concat())
        }
        for part in parts {
            if let SentPart::Reasoning { text, opaque } = part {
                reasoning(text, opaque, out);
            }
        }
        let mut calls = 0;
        for part in parts {
            if let SentPart::Call { id, name, arguments } = part {
                out.raw(if calls == 0 { ",\"tool_calls\":[{\"id\":" } else { ",{\"id\":" });
                out.string(id);
                out.raw(",\"type\":\"function\",\"function\":{\"name\":");
                out.string(name);
                out.raw(",\"arguments\":");
                out.string(arguments);
                out.raw("}}");
                calls += 1;
            }
        }
        out.raw(if calls > 0 { "]}" } else { "}" });
        out.message = OpenMessage::Closed;
    }

    fn result(&self, id: &str, text: &str, _is_error: bool, out: &mut Writer) {
        begin(out);
        out.raw("{\"role\":\"tool\",\"tool_call_id\":");
        out.string(id);
        out.raw(",\"content\":");
        out.string(text);
        out.raw("}");
        out.message = OpenMessage::Closed;
    }

    fn close(&self, out: &mut Writer) {
        if out.message == OpenMessage::User {
            out.raw("\"}");
        }
        out.raw("]}");
    }
}

/// Ends the message before, if there is one.
fn begin(out: &mut Writer) {
    match out.message {
        OpenMessage::None => {}
        OpenMessage::User => out.raw("\"},"),
        OpenMessage::Closed | OpenMessage::Assistant => out.raw(","),
    }
}

/// Reasoning goes back in the field in which it came; OpenRouter's details go back unchanged.
fn reasoning(text: &str, opaque: &serde_json::Value, out: &mut Writer) {
    if let Some(details) = opaque.get("reasoning_details") {
        out.raw(",\"reasoning_details\":");
        out.value(details);
    } else if let Some(field) = opaque.get("field").and_then(serde_json::Value::as_str) {
        out.raw(",");
        out.string(field);
        out.raw(":");
        out.string(text);
    }
}
