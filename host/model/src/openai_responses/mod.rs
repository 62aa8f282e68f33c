//! OpenAI's Responses API, streaming, with nothing stored at the provider.
//!
//! Promise: the request of a step begins with the bytes of the one before; reasoning items go back with
//! their encrypted content and without their ids, which mean nothing where nothing is stored.
//!
//! Source: developers.openai.com (responses, streaming events, reasoning).

mod stream;

use crate::conversation::{SentPart, WriteConversation};
use crate::endpoint::Endpoint;
use crate::key::ApiKey;
use crate::wire::{Decoder, Protocol, bearer_headers};
use crate::writer::{OpenMessage, Writer, push_string, push_value};
use harness_core::event::ModelFailure;
use harness_engine::ports::ModelRequest;
use reqwest::header::HeaderMap;

/// Families of models that do not reason, and refuse to be asked for encrypted reasoning.
const PLAIN_FAMILIES: &[&str] = &["gpt-3", "gpt-4", "chatgpt-4"];

/// The protocol.
pub(crate) struct OpenAiResponses;

impl Protocol for OpenAiResponses {
    fn head(&self, request: &ModelRequest, _: &Endpoint) -> Vec<u8> {
        let context = &request.context;
        let mut head = b"{\"model\":".to_vec();
        push_string(&mut head, &context.model.name);
        head.extend_from_slice(br#","stream":true,"store":false"#);
        let family = context.model.name.rsplit('/').next().unwrap_or_default();
        if !PLAIN_FAMILIES.iter().any(|plain| family.starts_with(plain)) {
            head.extend_from_slice(br#","include":["reasoning.encrypted_content"]"#);
        }
        if let Some(limit) = request.output_tokens_max {
            head.extend_from_slice(format!(",\"max_output_tokens\":{limit}").as_bytes());
        }
        head.extend_from_slice(format!(",\"prompt_cache_key\":\"{}\"", request.session).as_bytes());
        if !context.system.trim().is_empty() {
            head.extend_from_slice(b",\"instructions\":");
            push_string(&mut head, &context.system);
        }
        for (at, tool) in context.tools.iter().enumerate() {
            head.extend_from_slice(if at == 0 { b",\"tools\":[" } else { b"," });
            head.extend_from_slice(b"{\"type\":\"function\",\"name\":");
            push_string(&mut head, &tool.name);
            head.extend_from_slice(b",\"description\":");
            push_string(&mut head, &tool.description);
            head.extend_from_slice(b",\"parameters\":");
            push_value(&mut head, &tool.parameters);
            // Strict schemas must list every property as required, ours do not.
            head.extend_from_slice(b",\"strict\":false}");
        }
        if !context.tools.is_empty() {
            head.push(b']');
        }
        head.extend_from_slice(b",\"input\":[");
        head
    }

    fn headers(&self, key: Option<&ApiKey>) -> Result<HeaderMap, ModelFailure> {
        bearer_headers(key)
    }

    fn decoder(&self, step: usize) -> Box<dyn Decoder> {
        Box::new(stream::Stream::new(step))
    }
}

impl WriteConversation for OpenAiResponses {
    fn user(&self, text: &str, out: &mut Writer) {
        begin(out);
        out.raw("{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":");
        out.string(text);
        out.raw("}]}");
    }

    fn assistant(&self, parts: &[SentPart<'_>], out: &mut Writer) {
        for part in parts {
            begin(out);
            match part {
                SentPart::Text(text) => {
                    out.raw(
                        "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":",
                    );
                    out.string(text);
                    out.raw("}]}");
                }
                SentPart::Reasoning { opaque, .. } => out.value(opaque),
                SentPart::Call { id, name, arguments } => {
                    out.raw("{\"type\":\"function_call\",\"call_id\":");
                    out.string(id);
                    out.raw(",\"name\":");
                    out.string(name);
                    out.raw(",\"arguments\":");
                    out.string(arguments);
                    out.raw("}");
                }
            }
        }
    }

    fn result(&self, id: &str, text: &str, _is_error: bool, out: &mut Writer) {
        begin(out);
        out.raw("{\"type\":\"function_call_output\",\"call_id\":");
        out.string(id);
        out.raw(",\"output\":");
        out.string(text);
        out.raw("}");
    }

    fn close(&self, out: &mut Writer) {
        out.raw("]}")
    }
}

/// Separates an item from the one before.
fn begin(out: &mut Writer) {
    if out.message == OpenMessage::Closed {
        out.raw(",");
    }
    out.message = OpenMessage::Closed;
}
