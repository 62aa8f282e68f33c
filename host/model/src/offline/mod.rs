//! Answers without a language model: for trying the host out, for demonstrations and for tests.
//!
//! Promise: an answer is a pure function of the context and the items, costs nothing, and says in its
//! first line what it is. It only calls tools that the context offers.
//!
//! A prompt is a script if a line of it begins with one of these; other lines of a script are remarks:
//! - `TOOL name {json}` or `TOOL {"name": …, "arguments": {…}}`: a call of that tool;
//! - `$ COMMAND`: a call of the tool `shell` with `{"command": …}`;
//! - `ANSWER text`, as the last line that is not blank: the final answer is exactly that text.
//!
//! Calls are made one at a time, in order; the first that fails ends the script. Any other prompt is a
//! question about the workspace: it is searched for the prompt's words, and what fits best is quoted.
//!
//! Not here: understanding.

mod keywords;
mod matches;
mod question;
mod script;
mod turn;

use async_trait::async_trait;
use harness_core::event::{Context, ModelFailure, ModelStop};
use harness_core::item::{AssistantPart, Item, Usage};
use harness_engine::ports::{DeltaSink, Model, ModelDelta, ModelRequest, ModelResponse};
use serde_json::Value;
use std::sync::Arc;
use turn::Turn;

/// What every answer begins with.
pub const FIRST_WORDS: &str = "[offline] I am not a language model:";
/// Text is handed over in pieces of about this size, in bytes.
const PIECE_BYTES: usize = 96;

/// The model that is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offline;

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
enum Next {
    /// Call these tools, all at once.
    Calls(Vec<(String, Value)>),
    /// Say this.
    Say(String),
}

impl Offline {
    /// The response to a conversation.
    pub fn answer(context: &Context, items: &[Arc<Item>]) -> ModelResponse {
        let turn = Turn::of(context, items);
        let next = match script::Script::parse(turn.prompt) {
            Some(script) => script.next(&turn),
            None => question::next(&turn),
        };
        let (parts, stop) = match next {
            Next::Say(text) => (vec![AssistantPart::Text { text }], ModelStop::EndOfTurn),
            Next::Calls(calls) => {
                let part = |(number, (tool, arguments)): (usize, (String, Value))| AssistantPart::ToolCall {
                    provider_call: format!("offline_{}_{number}", items.len()),
                    tool,
                    // Arguments that were no JSON in a script stay as they were written.
                    arguments: arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned),
                };
                (calls.into_iter().enumerate().map(part).collect(), ModelStop::ToolCalls)
            }
        };
        ModelResponse { parts, stop, usage: Usage::default(), provider_response: None }
    }
}

#[async_trait]
impl Model for Offline {
    async fn respond(&self, request: ModelRequest, deltas: &dyn DeltaSink) -> Result<ModelResponse, ModelFailure> {
        let response = Self::answer(&request.context, &request.items);
        let mut index = 0;
        for part in &response.parts {
            match part {
                AssistantPart::Text { text } => {
                    for piece in pieces(text) {
                        deltas.delta(ModelDelta::Text { text: piece.to_owned() });
                        // Lets others run, as waiting for the next piece of a real stream does.
                        tokio::task::yield_now().await;
                    }
                }
                AssistantPart::ToolCall { tool, arguments, .. } => {
                    deltas.delta(ModelDelta::ToolCall { index, tool: tool.clone() });
                    deltas.delta(ModelDelta::ToolArguments { index, text: arguments.clone() });
                    index += 1;
                }
                AssistantPart::Reasoning { .. } => {}
            }
        }
        Ok(response)
    }
}

/// Text in pieces that end between words where they can; together they are the text.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.char_indices().skip_while(|(at, _)| *at < PIECE_BYTES).find(|(_, c)| c.is_whitespace());
        let (piece, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        rest = after;
        Some(piece)
    })
}

/// Text from a tool, cut to some lines and bytes.
fn cut(text: &str, lines_max: usize, bytes_max: usize) -> String {
    let text = text.trim_end();
    let mut short: String = text.lines().take(lines_max).collect::<Vec<_>>().join("\n");
    let mut end = short.len().min(bytes_max);
    while !short.is_char_boundary(end) {
        end -= 1;
    }
    short.truncate(end);
    if short.len() < text.len() {
        short.push_str(" […]");
    }
    short
}

/// A fence that the text does not hold itself.
fn fenced(text: &str) -> String {
    let mut fence = "```".to_owned();
    while text.contains(&fence) {
        fence.push('`');
    }
    format!("{fence}\n{text}\n{fence}")
}

#[cfg(test)]
mod tests;
