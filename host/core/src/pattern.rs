//! Patterns on a call's arguments: for rules, and for what a person allowed.
//!
//! Promise: an *allow* covers only what its patterns cover whole (every command of a line, every element of a list),
//! and nothing that is missing, not known, or a path outside the workspace, but for the further words of a command that
//! a `*` at the pattern's end stands for: `cat *` covers `cat /etc/passwd`, and the sandbox alone decides what is
//! there. A *deny* or an *ask* is touched by any part
//! that matches, and by whatever is not known. So a doubt never gives more than certainty would.
//!
//! Not here: which rules there are and what follows from them (`verdict`), reading lines (`command_line`).

mod command;
mod glob;
mod suggest;
#[cfg(test)]
mod tests;

use crate::command_line::{CommandLine, NotUnderstood, SimpleCommand};
use crate::item::{Category, ToolSpec};
pub use command::CommandPattern;
pub use glob::{Glob, leaves_workspace};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
pub use suggest::suggest;

/// A pattern's text, in bytes.
pub const PATTERN_BYTES_MAX: usize = 256;
/// A longer text is matched by no allow and by every deny or ask, in bytes.
pub const MATCHED_TEXT_BYTES_MAX: usize = 64 << 10;
/// What a schema calls an argument that is a line of shell (JSON Schema 2020-12, 8.4, `contentMediaType`).
pub const COMMAND_LINE_MEDIA_TYPE: &str = "application/x-sh";

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no pattern: {why}")]
pub struct ParsePatternError {
    /// What was given, cut to 80 characters.
    pub text: String,
    /// What is wrong with it, and what to write instead.
    pub why: &'static str,
}

impl ParsePatternError {
    fn new(text: &str, why: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), why }
    }
}

/// What a rule or an allowance says of arguments. Empty, it is about any.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ArgumentPattern {
    /// The commands it is about, for a tool that takes a line of shell; empty for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<CommandPattern>,
    /// Arguments and what they are, by name, or by JSON Pointer (RFC 6901) where the key begins with `/`. All hold.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, Glob>,
}

impl ArgumentPattern {
    /// Whether it is about any arguments.
    pub fn is_empty(&self) -> bool {
        self.command.is_empty() && self.arguments.is_empty()
    }

    /// Whether an allow with this pattern covers the named arguments. Its commands are another question.
    pub(crate) fn covers_fields(&self, arguments: &Arguments) -> bool {
        self.arguments.iter().all(|(key, glob)| match arguments.field(key) {
            Some(Value::Array(items)) => !items.is_empty() && items.iter().all(|item| glob.covers(item)),
            Some(value) => glob.covers(value),
            None => false,
        })
    }

    fn touches_fields(&self, arguments: &Arguments) -> bool {
        self.arguments.iter().all(|(key, glob)| match arguments.field(key) {
            Some(Value::Array(items)) => items.iter().any(|item| glob.touches(item)),
            Some(value) => glob.touches(value),
            None => false,
        })
    }

    /// Whether one of its command patterns covers a command whole.
    pub(crate) fn covers_command(&self, command: &SimpleCommand) -> bool {
        self.command.iter().any(|pattern| pattern.covers(command))
    }

    /// Whether one of its command patterns could be about a command.
    pub(crate) fn touches_command(&self, command: &SimpleCommand) -> bool {
        self.command.iter().any(|pattern| pattern.touches(command))
    }

    /// Whether an allow with this pattern alone covers a call.
    pub fn covers(&self, arguments: &Arguments) -> bool {
        let covers_line = || match &arguments.line {
            Some(Ok(line)) => {
                let is_covered = |command| self.covers_command(command) || is_harmless(command);
                line.commands.iter().any(|command| self.covers_command(command)) && line.commands.iter().all(is_covered)
            }
            Some(Err(_)) | None => false,
        };
        self.covers_fields(arguments) && (self.command.is_empty() || covers_line())
    }

    /// Whether a deny or an ask with this pattern is about a call.
    pub fn touches(&self, arguments: &Arguments) -> bool {
        let touches_line = || match &arguments.line {
            Some(Ok(line)) => line.commands.iter().any(|command| self.touches_command(command)),
            Some(Err(_)) => true,
            None => false,
        };
        self.touches_fields(arguments) && (self.command.is_empty() || touches_line())
    }
}

/// Whether a command runs nothing, sets only variables of the line's own and writes no file.
pub(crate) fn is_harmless(command: &SimpleCommand) -> bool {
    command.words.is_empty()
        && command.assignments.iter().all(|it| crate::command_line::is_own_variable(&it.name) && !it.name.is_empty())
        && command.redirections.iter().all(command::only_reads_inside)
}

/// A call's arguments as patterns see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    value: Value,
    line: Option<Result<CommandLine, NotUnderstood>>,
}

impl Arguments {
    /// Reads a call's arguments. What is not JSON has no fields, and its line, if it should have one, is not understood.
    pub fn of(tool: &ToolSpec, text: &str) -> Self {
        Self::read(tool.command_line_argument(), text)
    }

    /// Reads arguments of a tool of which only the name is known: an argument `command` or `script` is taken for a line.
    pub fn of_unknown_tool(text: &str) -> Self {
        let has = |name: &&str| serde_json::from_str::<Value>(text).is_ok_and(|value| value.get(*name).is_some());
        Self::read(COMMAND_LINE_NAMES.iter().copied().find(has), text)
    }

    /// The arguments of a tool that takes nothing but this line.
    pub fn of_line(line: &str) -> Self {
        Self { value: Value::Null, line: Some(CommandLine::parse(line)) }
    }

    fn read(line_argument: Option<&str>, text: &str) -> Self {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let line = line_argument.map(|name| match value.get(name) {
            Some(Value::String(line)) => CommandLine::parse(line),
            _ => Err(NotUnderstood { why: "there is no line in the arguments" }),
        });
        Self { value, line }
    }

    fn field(&self, key: &str) -> Option<&Value> {
        if key.starts_with('/') { self.value.pointer(key) } else { self.value.get(key) }
    }

    /// The line of shell among them, if the tool takes one.
    pub fn into_line(self) -> Option<Result<CommandLine, NotUnderstood>> {
        self.line
    }

    /// The line of shell among them, if the tool takes one.
    pub fn line(&self) -> Option<&Result<CommandLine, NotUnderstood>> {
        self.line.as_ref()
    }
}

/// What an argument that is a line of shell is called where its schema does not say.
const COMMAND_LINE_NAMES: &[&str] = &["command", "script"];

impl ToolSpec {
    /// The argument that is a line of shell: the one whose schema has the content type [`COMMAND_LINE_MEDIA_TYPE`],
    /// else, of a tool that runs commands, a text called `command` or `script`.
    pub fn command_line_argument(&self) -> Option<&str> {
        let properties = self.parameters.get("properties")?.as_object()?;
        let is = |schema: &Value, key: &str, value: &str| schema.get(key).and_then(Value::as_str) == Some(value);
        let said = properties.iter().find(|(_, it)| is(it, "contentMediaType", COMMAND_LINE_MEDIA_TYPE));
        if let Some((name, _)) = said {
            return Some(name);
        }
        let called = || {
            let is_text = |name: &&&str| properties.get(**name).is_some_and(|schema| is(schema, "type", "string"));
            COMMAND_LINE_NAMES.iter().find(is_text).copied()
        };
        if self.category == Category::Execute { called() } else { None }
    }
}
