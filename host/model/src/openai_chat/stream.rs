//! The stream of a Chat Completions response.
//!
//! Promise: without a finish reason (or `[DONE]` after content and the arguments of every call) the
//! response is not whole and no part of it counts.

use super::calls::{Calls, Piece};
use crate::failure::{self, Reported};
use crate::sse::SseEvent;
use crate::wire::{Decoder, Progress, parse, response};
use harness_core::event::{ModelFailure, ModelFailureKind};
use harness_core::item::{AssistantPart, Usage};
use harness_engine::ports::{DeltaSink, ModelDelta, ModelResponse};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What closes a stream.
const DONE: &str = "[DONE]";
/// Reasoning details of one response at most, after joining pieces.
const DETAILS_MAX: usize = 1024;
/// The JSON of all pieces of reasoning details of one response, in bytes: parsed it takes many times that.
const DETAILS_BYTES_MAX: usize = 4 << 20;

#[derive(Deserialize)]
struct Chunk {
    id: Option<String>,
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<RawUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: i64,
    delta: Option<Delta>,
    finish_reason: Option<String>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    reasoning_details: Option<Vec<Value>>,
    refusal: Option<String>,
    tool_calls: Option<Vec<Piece>>,
}

#[derive(Deserialize)]
struct RawUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's name for cached tokens.
    prompt_cache_hit_tokens: Option<u64>,
    /// US dollars, from OpenRouter.
    cost: Option<f64>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl RawUsage {
    fn comparable(&self) -> Usage {
        let details = self.prompt_tokens_details.as_ref();
        let cached = details.and_then(|details| details.cached_tokens).or(self.prompt_cache_hit_tokens);
        let cost = self.cost.map(|dollars| dollars * 1e6).filter(|cost| cost.is_finite() && *cost >= 0.0);
        Usage {
            input_tokens: self.prompt_tokens.unwrap_or(0),
            cached_input_tokens: cached.unwrap_or(0),
            cache_write_tokens: details.and_then(|details| details.cache_write_tokens).unwrap_or(0),
            output_tokens: self.completion_tokens.unwrap_or(0),
            reasoning_tokens: self.completion_tokens_details.as_ref().and_then(|d| d.reasoning_tokens).unwrap_or(0),
            cost_micro_usd: cost.map(|cost| cost.round() as u64),
        }
    }
}

/// Puts a response together.
pub(super) struct Stream {
    step: usize,
    id: Option<String>,
    text: String,
    refusal: String,
    reasoning: String,
    reasoning_field: &'static str,
    details: Vec<Value>,
    details_bytes: usize,
    calls: Calls,
    usage: Option<Usage>,
    finish: Option<String>,
    is_done: bool,
}

impl Stream {
    pub(super) fn new(step: usize) -> Self {
        Self {
            step,
            id: None,
            text: String::new(),
            refusal: String::new(),
            reasoning: String::new(),
            reasoning_field: "",
            details: Vec::new(),
            details_bytes: 0,
            calls: Calls::default(),
            usage: None,
            finish: None,
            is_done: false,
        }
    }

    fn delta(&mut self, delta: Delta, deltas: &dyn DeltaSink) -> Result<(), ModelFailure> {
        // Some servers send the same words in both fields.
        let (field, reasoning) = match (delta.reasoning_content, delta.reasoning) {
            (Some(text), _) if !text.is_empty() => ("reasoning_content", text),
            (_, Some(text)) => ("reasoning", text),
            _ => ("", String::new()),
        };
        if !reasoning.is_empty() {
            self.reasoning_field = field;
            self.reasoning.push_str(&reasoning);
            deltas.delta(ModelDelta::Reasoning { text: reasoning });
        }
        for detail in delta.reasoning_details.unwrap_or_default() {
            self.details_bytes += detail.to_string().len();
            join_detail(&mut self.details, detail);
            if self.details.len() > DETAILS_MAX || self.details_bytes > DETAILS_BYTES_MAX {
                let message = format!(
                    "the response has more than {DETAILS_MAX} reasoning details or {DETAILS_BYTES_MAX} bytes of them"
                );
                return Err(failure::malformed(message));
            }
        }
        if let Some(text) = delta.content.filter(|text| !text.is_empty()) {
            self.text.push_str(&text);
            deltas.delta(ModelDelta::Text { text });
        }
        self.refusal.push_str(&delta.refusal.unwrap_or_default());
        for piece in delta.tool_calls.unwrap_or_default() {
            self.calls.push(piece, deltas)?;
        }
        Ok(())
    }

    fn progress(&self) -> Progress {
        match (&self.finish, &self.usage) {
            _ if self.is_done => Progress::Done,
            (Some(_), _) => Progress::Ending,
            _ => Progress::More,
        }
    }
}

/// Joins pieces of the same detail: text and encrypted data come in pieces, a signature at the end.
fn join_detail(details: &mut Vec<Value>, piece: Value) {
    let Value::Object(piece) = piece else { return };
    let same = |known: &Map<String, Value>| {
        known.get("type") == piece.get("type")
            && known.get("index") == piece.get("index")
            && piece.get("index").is_some()
    };
    let Some(known) = details.last_mut().and_then(Value::as_object_mut).filter(|known| same(known)) else {
        details.push(Value::Object(piece));
        return;
    };
    for (name, value) in piece {
        match (known.get_mut(&name), value) {
            (_, Value::Null) => {}
            (Some(Value::String(text)), Value::String(more))
                if matches!(name.as_str(), "text" | "summary" | "data") =>
            {
                text.push_str(&more);
            }
            (_, value) => {
                known.insert(name, value);
            }
        }
    }
}

impl Decoder for Stream {
    fn event(&mut self, event: &SseEvent, deltas: &dyn DeltaSink) -> Result<Progress, ModelFailure> {
        if event.data.trim() == DONE {
            self.is_done = true;
            return Ok(Progress::Done);
        }
        if event.data.trim().is_empty() {
            return Ok(self.progress());
        }
        let chunk: Chunk = parse(event)?;
        let choice_error = chunk.choices.iter().find_map(|choice| choice.error.as_ref());
        if let Some(error) = chunk.error.as_ref().or(choice_error).filter(|error| !error.is_null()) {
            return Err(Reported::from_json(&json!({ "error": error })).unwrap_or_default().in_stream());
        }
        self.id = self.id.take().or(chunk.id.filter(|id| !id.is_empty()));
        for choice in chunk.choices.into_iter().filter(|choice| choice.index == 0) {
            if let Some(delta) = choice.delta {
                self.delta(delta, deltas)?;
            }
            self.finish = choice.finish_reason.filter(|reason| !reason.is_empty()).or(self.finish.take());
        }
        if let Some(usage) = chunk.usage {
            self.usage = Some(usage.comparable());
        }
        Ok(self.progress())
    }

    fn finish(self: Box<Self>) -> Result<ModelResponse, ModelFailure> {
        let is_empty = self.text.is_empty() && self.calls.is_empty() && self.refusal.is_empty();
        match self.finish.as_deref() {
            None if !self.is_done => return Err(failure::cut()),
            // Without a finish reason, nothing says that a call's arguments are still to come.
            None if !self.calls.are_whole() => return Err(failure::cut()),
            None if is_empty => return Err(failure::malformed("the stream ended without an answer")),
            Some("error") => return Err(Reported::default().in_stream()),
            Some("content_filter") => {
                let message = "the provider's content filter stopped the response";
                return Err(failure::failure(ModelFailureKind::Refused, message));
            }
            _ => {}
        }
        if !self.refusal.is_empty() {
            let message = format!("the model declined to answer: {}", self.refusal);
            return Err(failure::failure(ModelFailureKind::Refused, message));
        }
        let limit_reached = self.finish.as_deref() == Some("length");
        let mut parts = Vec::new();
        if !self.details.is_empty() {
            let opaque = Some(json!({ "reasoning_details": self.details }));
            parts.push(AssistantPart::Reasoning { text: self.reasoning, opaque });
        } else if !self.reasoning.is_empty() {
            let opaque = Some(json!({ "field": self.reasoning_field }));
            parts.push(AssistantPart::Reasoning { text: self.reasoning, opaque });
        }
        if !self.text.is_empty() {
            parts.push(AssistantPart::Text { text: self.text });
        }
        parts.extend(self.calls.into_parts(self.step));
        response(parts, limit_reached, self.usage.unwrap_or_default(), self.id)
    }
}
