//! Model responses written as a provider's server writes them.

use crate::provider::Wire;
use serde_json::{Value, json};

/// A model's response.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// Its words; empty for none.
    pub text: String,
    /// The calls it asks for: id, tool, arguments.
    pub calls: Vec<(String, String, Value)>,
}

impl Response {
    /// Words and nothing else.
    pub fn text(text: &str) -> Self {
        Self { text: text.to_owned(), calls: Vec::new() }
    }

    /// One call.
    pub fn call(id: &str, tool: &str, arguments: Value) -> Self {
        Self::default().and(id, tool, arguments)
    }

    /// The same with one call more.
    #[must_use]
    pub fn and(mut self, id: &str, tool: &str, arguments: Value) -> Self {
        self.calls.push((id.to_owned(), tool.to_owned(), arguments));
        self
    }

    /// The body of the stream.
    pub fn stream(&self, wire: Wire) -> Vec<u8> {
        match wire {
            Wire::Anthropic => self.anthropic(),
            Wire::OpenAiChat => self.chat(),
            Wire::OpenAiResponses => self.responses(),
        }
        .into_bytes()
    }

    fn anthropic(&self) -> String {
        let mut out = String::new();
        let mut event = |data: Value| {
            out.push_str(&format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default()));
        };
        event(
            json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "content": [],
            "model": "test-model", "stop_reason": null, "usage": {"input_tokens": 10, "output_tokens": 1}}}),
        );
        let mut index = 0;
        if !self.text.is_empty() {
            event(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}));
            event(
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": self.text}}),
            );
            event(json!({"type": "content_block_stop", "index": 0}));
            index = 1;
        }
        for (id, tool, arguments) in &self.calls {
            event(json!({"type": "content_block_start", "index": index,
                "content_block": {"type": "tool_use", "id": id, "name": tool, "input": {}}}));
            event(json!({"type": "content_block_delta", "index": index,
                "delta": {"type": "input_json_delta", "partial_json": arguments.to_string()}}));
            event(json!({"type": "content_block_stop", "index": index}));
            index += 1;
        }
        let stop = if self.calls.is_empty() { "end_turn" } else { "tool_use" };
        event(json!({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 5}}));
        event(json!({"type": "message_stop"}));
        out
    }

    fn chat(&self) -> String {
        let mut out = String::new();
        let mut delta = |delta: Value, finish: Value| {
            let data = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
            out.push_str(&format!("data: {data}\n\n"));
        };
        if !self.text.is_empty() {
            delta(json!({"role": "assistant", "content": self.text}), Value::Null);
        }
        for (index, (id, tool, arguments)) in self.calls.iter().enumerate() {
            delta(
                json!({"tool_calls": [{"index": index, "id": id, "type": "function",
                    "function": {"name": tool, "arguments": arguments.to_string()}}]}),
                Value::Null,
            );
        }
        delta(json!({}), json!(if self.calls.is_empty() { "stop" } else { "tool_calls" }));
        out + "data: [DONE]\n\n"
    }

    fn responses(&self) -> String {
        let mut out = String::new();
        let mut event = |data: Value| {
            out.push_str(&format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default()));
        };
        event(json!({"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "output": []}}));
        let mut items = Vec::new();
        if !self.text.is_empty() {
            items.push(json!({"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": self.text, "annotations": []}]}));
        }
        items.extend(self.calls.iter().map(|(id, tool, arguments)| {
            json!({"id": format!("fc_{id}"), "type": "function_call", "status": "completed", "call_id": id, "name": tool,
                "arguments": arguments.to_string()})
        }));
        for (index, item) in items.iter().enumerate() {
            event(json!({"type": "response.output_item.added", "output_index": index, "item": item}));
            event(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
        }
        event(
            json!({"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": items,
            "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}}}),
        );
        out
    }
}
