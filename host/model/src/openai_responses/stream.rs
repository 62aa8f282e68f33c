//! The stream of a Responses response.
//!
//! Promise: an item counts as it stands in its `response.output_item.done`, a response only with
//! `response.completed` or `response.incomplete`; event and item types that are not known are passed over.

use crate::failure::{self, Reported};
use crate::sse::SseEvent;
use crate::wire::{Decoder, Progress, parse, response, tool_call};
use harness_core::event::{ModelFailure, ModelFailureKind};
use harness_core::item::{AssistantPart, Usage};
use harness_engine::ports::{DeltaSink, ModelDelta, ModelResponse};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Items of one response at most.
const ITEMS_MAX: usize = 4096;
/// The JSON of all items of one response, in bytes: parsed it takes many times that.
const ITEMS_BYTES_MAX: usize = 16 << 20;

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    output_index: usize,
    #[serde(default)]
    summary_index: u64,
    delta: Option<Value>,
    item: Option<Value>,
    response: Option<Whole>,
}

#[derive(Deserialize)]
struct Whole {
    id: Option<String>,
    #[serde(default)]
    output: Vec<Value>,
    usage: Option<RawUsage>,
    error: Option<Value>,
    incomplete_details: Option<IncompleteDetails>,
}

#[derive(Deserialize)]
struct IncompleteDetails {
    reason: Option<String>,
}

#[derive(Deserialize)]
struct RawUsage {
    input_tokens: Option<u64>,
    input_tokens_details: Option<InputDetails>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<OutputDetails>,
    /// US dollars, from OpenRouter.
    cost: Option<f64>,
}

#[derive(Deserialize)]
struct InputDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct OutputDetails {
    reasoning_tokens: Option<u64>,
}

impl RawUsage {
    fn comparable(&self) -> Usage {
        let details = self.input_tokens_details.as_ref();
        let cost = self.cost.map(|dollars| dollars * 1e6).filter(|cost| cost.is_finite() && *cost >= 0.0);
        Usage {
            input_tokens: self.input_tokens.unwrap_or(0),
            cached_input_tokens: details.and_then(|details| details.cached_tokens).unwrap_or(0),
            cache_write_tokens: details.and_then(|details| details.cache_write_tokens).unwrap_or(0),
            output_tokens: self.output_tokens.unwrap_or(0),
            reasoning_tokens: self.output_tokens_details.as_ref().and_then(|d| d.reasoning_tokens).unwrap_or(0),
            cost_micro_usd: cost.map(|cost| cost.round() as u64),
        }
    }
}

/// Puts a response together.
pub(super) struct Stream {
    step: usize,
    id: Option<String>,
    /// Items that are done, by their place.
    items: BTreeMap<usize, Value>,
    items_bytes: usize,
    /// The numbers of the calls that began, by the place of their items.
    calls: BTreeMap<usize, usize>,
    end: Option<Whole>,
}

impl Stream {
    pub(super) fn new(step: usize) -> Self {
        Self { step, id: None, items: BTreeMap::new(), items_bytes: 0, calls: BTreeMap::new(), end: None }
    }

    fn begin_call(&mut self, place: usize, item: Option<&Value>, deltas: &dyn DeltaSink) {
        let Some(item) = item.filter(|item| word(item, "type") == "function_call") else { return };
        if self.calls.len() < ITEMS_MAX && !self.calls.contains_key(&place) {
            let index = self.calls.len();
            self.calls.insert(place, index);
            deltas.delta(ModelDelta::ToolCall { index, tool: word(item, "name").to_owned() });
        }
    }

    fn delta(&self, event: &Event, deltas: &dyn DeltaSink) {
        let Some(text) = event.delta.as_ref().and_then(Value::as_str).filter(|text| !text.is_empty()) else { return };
        let text = text.to_owned();
        match event.kind.as_str() {
            "response.output_text.delta" => deltas.delta(ModelDelta::Text { text }),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                deltas.delta(ModelDelta::Reasoning { text });
            }
            "response.function_call_arguments.delta" => {
                if let Some(&index) = self.calls.get(&event.output_index) {
                    deltas.delta(ModelDelta::ToolArguments { index, text });
                }
            }
            _ => {}
        }
    }
}

fn word<'a>(item: &'a Value, name: &str) -> &'a str {
    item.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The texts of the parts of one kind.
fn texts<'a>(item: &'a Value, list: &str, kind: &'a str, field: &'a str) -> impl Iterator<Item = &'a str> {
    let parts = item.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    parts.iter().filter(move |part| word(part, "type") == kind).map(move |part| word(part, field))
}

impl Decoder for Stream {
    fn event(&mut self, event: &SseEvent, deltas: &dyn DeltaSink) -> Result<Progress, ModelFailure> {
        // OpenAI sends no such line here, others do.
        if event.data.trim() == "[DONE]" {
            return Ok(if self.end.is_some() { Progress::Done } else { Progress::More });
        }
        let raw = event;
        let event: Event = parse(raw)?;
        match event.kind.as_str() {
            "response.created" | "response.in_progress" => {
                self.id = self.id.take().or(event.response.and_then(|response| response.id));
            }
            "response.output_item.added" => self.begin_call(event.output_index, event.item.as_ref(), deltas),
            "response.output_item.done" => {
                self.items_bytes += raw.data.len();
                if self.items.len() >= ITEMS_MAX || self.items_bytes > ITEMS_BYTES_MAX {
                    let message =
                        format!("the response has more than {ITEMS_MAX} items or {ITEMS_BYTES_MAX} bytes of them");
                    return Err(failure::malformed(message));
                }
                self.begin_call(event.output_index, event.item.as_ref(), deltas);
                if let Some(item) = event.item {
                    self.items.insert(event.output_index, item);
                }
            }
            "response.reasoning_summary_part.added" if event.summary_index > 0 => {
                deltas.delta(ModelDelta::Reasoning { text: "\n\n".to_owned() });
            }
            "response.completed" | "response.incomplete" => {
                let Some(end) = event.response else {
                    return Err(failure::malformed("the response ends without saying how"));
                };
                self.end = Some(end);
                return Ok(Progress::Done);
            }
            "response.failed" | "response.cancelled" => {
                let error = event.response.and_then(|response| response.error).unwrap_or_default();
                let reported = Reported::from_json(&serde_json::json!({ "error": error })).unwrap_or_default();
                return Err(reported.in_stream());
            }
            "error" => {
                let value: Value = parse(raw)?;
                return Err(Reported::from_json(&value).unwrap_or_default().in_stream());
            }
            "" if raw.data.contains("\"error\"") => {
                let value: Value = parse(raw)?;
                return Err(Reported::from_json(&value).unwrap_or_default().in_stream());
            }
            _ => self.delta(&event, deltas),
        }
        Ok(Progress::More)
    }

    fn finish(self: Box<Self>) -> Result<ModelResponse, ModelFailure> {
        let Some(end) = self.end else { return Err(failure::cut()) };
        let reason = end.incomplete_details.and_then(|details| details.reason);
        let limit_reached = match reason.as_deref() {
            Some("content_filter") => {
                let message = "the provider's content filter stopped the response";
                return Err(failure::failure(ModelFailureKind::Refused, message));
            }
            Some(_) => true,
            None => false,
        };
        let items: Vec<Value> = if self.items.is_empty() { end.output } else { self.items.into_values().collect() };
        let mut parts = Vec::with_capacity(items.len());
        for (number, item) in items.into_iter().enumerate() {
            push_item(item, self.step, number, &mut parts)?;
        }
        let usage = end.usage.map(|usage| usage.comparable()).unwrap_or_default();
        response(parts, limit_reached, usage, end.id.or(self.id))
    }
}

/// Adds what an item holds.
fn push_item(item: Value, step: usize, number: usize, parts: &mut Vec<AssistantPart>) -> Result<(), ModelFailure> {
    match word(&item, "type") {
        "message" => {
            let refusal: String = texts(&item, "content", "refusal", "refusal").collect();
            if !refusal.is_empty() {
                let message = format!("the model declined to answer: {refusal}");
                return Err(failure::failure(ModelFailureKind::Refused, message));
            }
            let text: String = texts(&item, "content", "output_text", "text").collect();
            if !text.is_empty() {
                parts.push(AssistantPart::Text { text });
            }
        }
        "function_call" if word(&item, "status") != "incomplete" => {
            let id = [word(&item, "call_id"), word(&item, "id")].into_iter().find(|id| !id.is_empty());
            let id = id.map_or_else(|| format!("call_{step}_{number}"), str::to_owned);
            parts.push(tool_call(id, word(&item, "name").to_owned(), word(&item, "arguments").to_owned()));
        }
        "reasoning" => {
            let summary: Vec<&str> = texts(&item, "summary", "summary_text", "text").collect();
            let text = if summary.is_empty() {
                texts(&item, "content", "reasoning_text", "text").collect::<Vec<_>>().join("\n\n")
            } else {
                summary.join("\n\n")
            };
            parts.push(AssistantPart::Reasoning { text, opaque: opaque(item) });
        }
        _ => {}
    }
    Ok(())
}

/// What goes back of a reasoning item: all but its id and status, if its content is there to be read
/// by the provider again.
fn opaque(item: Value) -> Option<Value> {
    if word(&item, "encrypted_content").is_empty() {
        return None;
    }
    let Value::Object(mut item) = item else { return None };
    item.remove("id");
    item.remove("status");
    // Text that was shown in the clear is not taken back beside the encrypted content.
    item.remove("content");
    Some(Value::Object(item))
}
