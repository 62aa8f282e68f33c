//! The turn under way, as the offline model sees it.

use harness_core::event::Context;
use harness_core::item::{AssistantPart, Item, ToolResult};
use serde_json::Value;
use std::sync::Arc;

/// How the host's words on a mode begin (harness-core, entering a mode).
const MODE_NOTE: &str = "[The session is now in the mode `";

/// A call that was answered.
#[derive(Debug)]
pub(super) struct Done<'a> {
    /// The tool.
    pub(super) tool: &'a str,
    /// Its arguments; null where they were no JSON.
    pub(super) arguments: Value,
    /// What it said.
    pub(super) text: &'a str,
    /// Whether that is a failure.
    pub(super) is_error: bool,
}

impl Done<'_> {
    /// A text argument.
    pub(super) fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.get(name).and_then(Value::as_str)
    }
}

/// Everything since the last prompt.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    /// The prompt.
    pub(super) prompt: &'a str,
    /// The calls that were answered, in order.
    pub(super) done: Vec<Done<'a>>,
    /// How many times tools were called.
    pub(super) rounds: usize,
    tools: Vec<&'a str>,
}

impl<'a> Turn<'a> {
    /// The last turn of a conversation.
    pub(super) fn of(context: &'a Context, items: &'a [Arc<Item>]) -> Self {
        // What the host tells of a mode is no task.
        let is_prompt = |item: &Item| matches!(item, Item::User { text } if !text.starts_with(MODE_NOTE));
        let prompt_at = items.iter().rposition(|item| is_prompt(item));
        let since = &items[prompt_at.map_or(0, |at| at + 1)..];
        let prompt = match prompt_at.map(|at| &*items[at]) {
            Some(Item::User { text }) => text,
            _ => "",
        };
        let mut turn = Self {
            prompt,
            done: Vec::new(),
            rounds: 0,
            tools: context.tools.iter().map(|tool| tool.name.as_str()).collect(),
        };
        let mut asked: &[AssistantPart] = &[];
        for item in since {
            match &**item {
                Item::Assistant { parts, .. } => asked = parts,
                Item::ToolResults { results } => {
                    turn.rounds += 1;
                    turn.done.extend(results.iter().map(|result| done(asked, result)));
                }
                Item::User { .. } => {}
            }
        }
        turn
    }

    /// Whether the context offers a tool.
    pub(super) fn offers(&self, tool: &str) -> bool {
        self.tools.contains(&tool)
    }

    /// The names of the tools, for people.
    pub(super) fn tools(&self) -> String {
        if self.tools.is_empty() { "none".to_owned() } else { self.tools.join(", ") }
    }
}

fn done<'a>(asked: &[AssistantPart], result: &'a ToolResult) -> Done<'a> {
    let arguments = asked.iter().find_map(|part| match part {
        AssistantPart::ToolCall { provider_call, arguments, .. } if *provider_call == result.provider_call => {
            serde_json::from_str(arguments).ok()
        }
        _ => None,
    });
    Done {
        tool: &result.tool,
        arguments: arguments.unwrap_or(Value::Null),
        text: &result.text,
        is_error: result.is_error,
    }
}
