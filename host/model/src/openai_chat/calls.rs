//! Tool calls out of the pieces in which servers send them.
//!
//! Promise: pieces are told apart by index and id together, since some servers leave one of them out or
//! give every call the same; a name that is repeated with every piece is one name.

use crate::failure;
use crate::wire::{is_json, tool_call};
use harness_core::event::ModelFailure;
use harness_core::item::AssistantPart;
use harness_engine::ports::{DeltaSink, ModelDelta};
use serde::Deserialize;
use serde_json::Value;

/// Calls of one response at most.
const CALLS_MAX: usize = 1024;

/// A piece of a call.
#[derive(Deserialize)]
pub(super) struct Piece {
    index: Option<i64>,
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    /// A piece of JSON text; some servers send the object itself.
    arguments: Option<Value>,
}

struct Call {
    index: Option<i64>,
    id: String,
    name: String,
    arguments: String,
}

/// The calls so far.
#[derive(Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
}

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Whether the arguments of every call have come: none at all may mean that they were cut off.
    pub(super) fn are_whole(&self) -> bool {
        self.calls.iter().all(|call| is_json(&call.arguments))
    }

    /// Takes a piece.
    pub(super) fn push(&mut self, piece: Piece, deltas: &dyn DeltaSink) -> Result<(), ModelFailure> {
        let id = piece.id.unwrap_or_default();
        let (name, arguments) = piece.function.map_or((None, None), |function| (function.name, function.arguments));
        let name = name.unwrap_or_default();
        let at = match self.position(piece.index, &id, &name) {
            Some(at) => at,
            None => {
                if self.calls.len() >= CALLS_MAX {
                    return Err(failure::malformed(format!("the response has more than {CALLS_MAX} tool calls")));
                }
                if name.is_empty() {
                    return Err(failure::malformed("a tool call begins without a name"));
                }
                deltas.delta(ModelDelta::ToolCall { index: self.calls.len(), tool: name.clone() });
                self.calls.push(Call { index: piece.index, id, name, arguments: String::new() });
                self.calls.len() - 1
            }
        };
        let text = match arguments {
            Some(Value::String(text)) => text,
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        };
        if !text.is_empty() {
            self.calls[at].arguments.push_str(&text);
            deltas.delta(ModelDelta::ToolArguments { index: at, text });
        }
        Ok(())
    }

    /// The call that a piece belongs to; none if it begins one.
    fn position(&self, index: Option<i64>, id: &str, name: &str) -> Option<usize> {
        let last = self.calls.len().checked_sub(1)?;
        let at = match index {
            Some(_) => self.calls.iter().rposition(|call| call.index == index)?,
            None if id.is_empty() => last,
            None => return self.calls.iter().position(|call| call.id == id),
        };
        let call = &self.calls[at];
        // Another id under the same index, or, without ids, a name when the call has all it needs.
        let is_other_id = !id.is_empty() && !call.id.is_empty() && call.id != id;
        let is_next =
            id.is_empty() && !name.is_empty() && (call.name != name || index.is_none()) && is_json(&call.arguments);
        (!is_other_id && !is_next).then_some(at)
    }

    /// The calls as parts; `step` makes the ids unique that a server left out.
    pub(super) fn into_parts(self, step: usize) -> impl Iterator<Item = AssistantPart> {
        self.calls.into_iter().enumerate().map(move |(number, call)| {
            let id = if call.id.is_empty() { format!("call_{step}_{number}") } else { call.id };
            tool_call(id, call.name, call.arguments)
        })
    }
}
