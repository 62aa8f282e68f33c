//! The stream of a Messages response.
//!
//! Promise: a block counts only when its stop was seen, a response only when `message_stop` was; event
//! and block types that are not known are passed over, as the API's versioning asks for.

use crate::failure::{self, Reported};
use crate::sse::SseEvent;
use crate::wire::{Decoder, Progress, parse, response, tool_call};
use harness_core::event::{ModelFailure, ModelFailureKind};
use harness_core::item::{AssistantPart, Usage};
use harness_engine::ports::{DeltaSink, ModelDelta, ModelResponse};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Blocks of one response at most.
const BLOCKS_MAX: usize = 4096;

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    index: usize,
    message: Option<Message>,
    content_block: Option<RawBlock>,
    delta: Option<Delta>,
    usage: Option<RawUsage>,
}

#[derive(Deserialize)]
struct Message {
    id: Option<String>,
    usage: Option<RawUsage>,
}

#[derive(Deserialize)]
struct RawBlock {
    #[serde(rename = "type", default)]
    kind: String,
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    data: Option<String>,
    id: Option<String>,
    name: Option<String>,
    input: Option<Value>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(rename = "type", default)]
    kind: String,
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    partial_json: Option<String>,
    stop_reason: Option<String>,
    stop_details: Option<Value>,
}

/// Counts of tokens; in a later event they replace those of an earlier one.
#[derive(Deserialize, Default, Clone, Copy)]
struct RawUsage {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<RawOutputDetails>,
}

#[derive(Deserialize, Clone, Copy)]
struct RawOutputDetails {
    thinking_tokens: Option<u64>,
}

impl RawUsage {
    fn update(&mut self, newer: Self) {
        self.input_tokens = newer.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens = newer.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = newer.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.output_tokens = newer.output_tokens.or(self.output_tokens);
        self.output_tokens_details = newer.output_tokens_details.or(self.output_tokens_details);
    }

    /// Anthropic counts cached tokens beside the others, we count them among them.
    fn comparable(self) -> Usage {
        let cached = self.cache_read_input_tokens.unwrap_or(0);
        let written = self.cache_creation_input_tokens.unwrap_or(0);
        Usage {
            input_tokens: self.input_tokens.unwrap_or(0).saturating_add(cached).saturating_add(written),
            cached_input_tokens: cached,
            cache_write_tokens: written,
            output_tokens: self.output_tokens.unwrap_or(0),
            reasoning_tokens: self.output_tokens_details.and_then(|details| details.thinking_tokens).unwrap_or(0),
            cost_micro_usd: None,
        }
    }
}

enum Kind {
    Text(String),
    Thinking {
        text: String,
        signature: String,
    },
    Redacted {
        data: String,
    },
    Call {
        id: String,
        name: String,
        arguments: String,
        given: Option<Value>,
        number: usize,
    },
    /// Of no use here, such as a server's own tools.
    Other,
}

struct Block {
    kind: Kind,
    is_done: bool,
}

/// Puts a response together.
pub(super) struct Stream {
    step: usize,
    id: Option<String>,
    blocks: BTreeMap<usize, Block>,
    calls: usize,
    usage: RawUsage,
    stop: Option<String>,
    stop_details: Option<Value>,
    is_stopped: bool,
}

impl Stream {
    pub(super) fn new(step: usize) -> Self {
        Self {
            step,
            id: None,
            blocks: BTreeMap::new(),
            calls: 0,
            usage: RawUsage::default(),
            stop: None,
            stop_details: None,
            is_stopped: false,
        }
    }

    fn start_block(&mut self, index: usize, raw: RawBlock, deltas: &dyn DeltaSink) -> Result<(), ModelFailure> {
        if self.blocks.len() >= BLOCKS_MAX {
            return Err(failure::malformed(format!("the response has more than {BLOCKS_MAX} blocks")));
        }
        let kind = match raw.kind.as_str() {
            "text" => {
                let text = raw.text.unwrap_or_default();
                send(deltas, &text, |text| ModelDelta::Text { text });
                Kind::Text(text)
            }
            "thinking" => {
                let text = raw.thinking.unwrap_or_default();
                send(deltas, &text, |text| ModelDelta::Reasoning { text });
                Kind::Thinking { text, signature: raw.signature.unwrap_or_default() }
            }
            "redacted_thinking" => Kind::Redacted { data: raw.data.unwrap_or_default() },
            "tool_use" => {
                let number = self.calls;
                self.calls += 1;
                let name = raw.name.unwrap_or_default();
                deltas.delta(ModelDelta::ToolCall { index: number, tool: name.clone() });
                let id = raw.id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{}_{number}", self.step));
                Kind::Call { id, name, arguments: String::new(), given: raw.input, number }
            }
            _ => Kind::Other,
        };
        if self.blocks.insert(index, Block { kind, is_done: false }).is_some() {
            return Err(failure::malformed(format!("block {index} of the response begins twice")));
        }
        Ok(())
    }

    fn extend_block(&mut self, index: usize, delta: Delta, deltas: &dyn DeltaSink) -> Result<(), ModelFailure> {
        let block = self.blocks.get_mut(&index).filter(|block| !block.is_done);
        let Some(block) = block else {
            return Err(failure::malformed(format!("a piece of block {index}, which is not open")));
        };
        match (&mut block.kind, delta.kind.as_str()) {
            (Kind::Text(text), "text_delta") => {
                let piece = delta.text.unwrap_or_default();
                text.push_str(&piece);
                send(deltas, &piece, |text| ModelDelta::Text { text });
            }
            (Kind::Thinking { text, .. }, "thinking_delta") => {
                let piece = delta.thinking.unwrap_or_default();
                text.push_str(&piece);
                send(deltas, &piece, |text| ModelDelta::Reasoning { text });
            }
            (Kind::Thinking { signature, .. }, "signature_delta") => {
                signature.push_str(&delta.signature.unwrap_or_default());
            }
            (Kind::Call { arguments, number, .. }, "input_json_delta") => {
                let piece = delta.partial_json.unwrap_or_default();
                arguments.push_str(&piece);
                let index = *number;
                send(deltas, &piece, |text| ModelDelta::ToolArguments { index, text });
            }
            _ => {}
        }
        Ok(())
    }

    fn end_block(&mut self, index: usize, deltas: &dyn DeltaSink) {
        let Some(block) = self.blocks.get_mut(&index) else { return };
        block.is_done = true;
        // Some servers give the whole input with the beginning of the block.
        if let Kind::Call { arguments, given, number, .. } = &mut block.kind
            && arguments.is_empty()
            && let Some(given) = given.take().filter(|given| given.as_object().is_some_and(|object| !object.is_empty()))
        {
            *arguments = given.to_string();
            deltas.delta(ModelDelta::ToolArguments { index: *number, text: arguments.clone() });
        }
    }

    fn parts(&mut self) -> Result<Vec<AssistantPart>, ModelFailure> {
        let mut parts = Vec::with_capacity(self.blocks.len());
        for (index, block) in std::mem::take(&mut self.blocks) {
            if !block.is_done {
                return Err(failure::malformed(format!("block {index} of the response has no end")));
            }
            match block.kind {
                Kind::Text(text) if text.is_empty() => {}
                Kind::Text(text) => parts.push(AssistantPart::Text { text }),
                Kind::Thinking { text, signature } => {
                    let opaque = Some(json!({ "type": "thinking", "signature": signature }));
                    parts.push(AssistantPart::Reasoning { text, opaque });
                }
                Kind::Redacted { data } => {
                    let opaque = Some(json!({ "type": "redacted_thinking", "data": data }));
                    parts.push(AssistantPart::Reasoning { text: String::new(), opaque });
                }
                Kind::Call { id, name, arguments, .. } => parts.push(tool_call(id, name, arguments)),
                Kind::Other => {}
            }
        }
        Ok(parts)
    }
}

fn send(deltas: &dyn DeltaSink, text: &str, make: impl FnOnce(String) -> ModelDelta) {
    if !text.is_empty() {
        deltas.delta(make(text.to_owned()));
    }
}

impl Decoder for Stream {
    fn event(&mut self, event: &SseEvent, deltas: &dyn DeltaSink) -> Result<Progress, ModelFailure> {
        let raw = event;
        let event: Event = parse(raw)?;
        if raw.name == "error" || event.kind == "error" || (event.kind.is_empty() && raw.data.contains("\"error\"")) {
            let value: Value = parse(raw)?;
            return Err(Reported::from_json(&value).unwrap_or_default().in_stream());
        }
        match event.kind.as_str() {
            "message_start" => {
                if let Some(message) = event.message {
                    self.id = message.id;
                    self.usage.update(message.usage.unwrap_or_default());
                }
            }
            "content_block_start" => match event.content_block {
                Some(block) => self.start_block(event.index, block, deltas)?,
                None => return Err(failure::malformed("a block begins without saying what it is")),
            },
            "content_block_delta" => {
                if let Some(delta) = event.delta {
                    self.extend_block(event.index, delta, deltas)?;
                }
            }
            "content_block_stop" => self.end_block(event.index, deltas),
            "message_delta" => {
                self.usage.update(event.usage.unwrap_or_default());
                if let Some(delta) = event.delta {
                    self.stop = delta.stop_reason.or(self.stop.take());
                    self.stop_details = delta.stop_details.or(self.stop_details.take());
                }
            }
            "message_stop" => {
                self.is_stopped = true;
                return Ok(Progress::Done);
            }
            _ => {}
        }
        Ok(Progress::More)
    }

    fn finish(mut self: Box<Self>) -> Result<ModelResponse, ModelFailure> {
        if !self.is_stopped {
            return Err(failure::cut());
        }
        let limit_reached = match self.stop.as_deref() {
            Some("refusal") => return Err(refused(self.stop_details.as_ref())),
            Some("max_tokens") => true,
            Some("model_context_window_exceeded") if self.blocks.is_empty() => {
                let message = "the conversation fills the model's window";
                return Err(failure::failure(ModelFailureKind::ContextTooLong, message));
            }
            Some("model_context_window_exceeded") => true,
            _ => false,
        };
        let parts = self.parts()?;
        response(parts, limit_reached, self.usage.comparable(), self.id)
    }
}

fn refused(details: Option<&Value>) -> ModelFailure {
    let word = |name: &str| details.and_then(|details| details.get(name)).and_then(Value::as_str);
    let mut message = "the model declined to answer".to_owned();
    for said in [word("category"), word("explanation")].into_iter().flatten() {
        message.push_str(": ");
        message.push_str(said);
    }
    failure::failure(ModelFailureKind::Refused, message)
}
