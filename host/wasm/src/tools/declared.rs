//! Tools as a component of the contract declares them: in its section `harness:tools`, or by a call.
//!
//! Promise: untrusted text: sizes are capped, names and categories are checked, descriptions are cleaned.
//!
//! Not here: checking arguments against a schema (the engine).

use super::{COMPONENT_TOOLS_MAX, DESCRIPTION_BYTES_MAX, TOOL_NAME_CHARS_MAX, TOOLS_SECTION_BYTES_MAX};
use crate::clean::clean;
use crate::plain::Origin;
use harness_core::item::{Category, ToolSpec};
use serde::Deserialize;
use std::collections::HashSet;

/// Values in a schema.
const SCHEMA_NODES_MAX: usize = 10_000;
/// Levels of a schema.
const SCHEMA_DEPTH_MAX: usize = 64;

/// A tool as its component declares it.
#[derive(Debug, Deserialize)]
struct Declaration {
    name: String,
    description: String,
    category: Category,
    parameters: serde_json::Value,
}

/// The tools that a declaration lists.
pub(super) fn tools(declaration: &[u8], origin: &Origin<'_>) -> Result<Vec<ToolSpec>, String> {
    if declaration.len() > TOOLS_SECTION_BYTES_MAX {
        return Err(format!("it has {} bytes, more than {TOOLS_SECTION_BYTES_MAX}", declaration.len()));
    }
    let declared: Vec<Declaration> = serde_json::from_slice(declaration).map_err(|error| clean(error.to_string()))?;
    if declared.is_empty() || declared.len() > COMPONENT_TOOLS_MAX {
        return Err(format!("it lists {} tools, 1 to {COMPONENT_TOOLS_MAX} are possible", declared.len()));
    }
    let mut names = HashSet::new();
    declared
        .into_iter()
        .map(|tool| {
            check(&tool)?;
            if !names.insert(tool.name.clone()) {
                return Err(format!("tool `{}` is listed twice", tool.name));
            }
            Ok(ToolSpec {
                name: tool.name,
                description: clean(tool.description),
                parameters: tool.parameters,
                category: tool.category,
                effects: origin.effects,
                implementation: origin.digest.to_string(),
                component: origin.component.to_owned(),
            })
        })
        .collect()
}

fn check(tool: &Declaration) -> Result<(), String> {
    if !is_tool_name(&tool.name) {
        return Err(not_a_name(&tool.name));
    }
    if tool.description.len() > DESCRIPTION_BYTES_MAX {
        let bytes = tool.description.len();
        return Err(format!(
            "tool `{}`: its description has {bytes} bytes, more than {DESCRIPTION_BYTES_MAX}",
            tool.name
        ));
    }
    if !tool.parameters.is_object() {
        return Err(format!("tool `{}`: its parameters are not a JSON object", tool.name));
    }
    if let Some(problem) = unbounded(&tool.parameters) {
        return Err(format!("tool `{}`: its parameters {problem}", tool.name));
    }
    if has_unwanted_text(&tool.parameters) {
        return Err(format!("tool `{}`: its parameters hold control, direction or invisible characters", tool.name));
    }
    Ok(())
}

/// Whether a model can call a tool of this name.
pub(crate) fn is_tool_name(name: &str) -> bool {
    let is_name_char = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=TOOL_NAME_CHARS_MAX).contains(&name.chars().count()) && name.chars().all(is_name_char)
}

pub(super) fn not_a_name(name: &str) -> String {
    let name = clean(name.chars().take(TOOL_NAME_CHARS_MAX).collect());
    format!("`{name}` is not a name of 1 to {TOOL_NAME_CHARS_MAX} of the characters a-z A-Z 0-9 _ -")
}

/// Why checking arguments against a schema could take for ever, if it could: references can name one part many
/// times over, and each level doubles the work.
fn unbounded(schema: &serde_json::Value) -> Option<String> {
    const REFERENCES: &[&str] = &["$ref", "$dynamicRef", "$recursiveRef"];
    let mut nodes = 0_usize;
    let mut open = vec![(schema, 0_usize)];
    while let Some((value, depth)) = open.pop() {
        nodes += 1;
        if nodes > SCHEMA_NODES_MAX || depth > SCHEMA_DEPTH_MAX {
            return Some(format!("have more than {SCHEMA_NODES_MAX} values or {SCHEMA_DEPTH_MAX} levels"));
        }
        match value {
            serde_json::Value::Array(values) => open.extend(values.iter().map(|value| (value, depth + 1))),
            serde_json::Value::Object(fields) => {
                if let Some(name) = REFERENCES.iter().find(|name| fields.get(**name).is_some_and(|it| it.is_string())) {
                    return Some(format!("use `{name}`: write out what it refers to"));
                }
                open.extend(fields.values().map(|value| (value, depth + 1)));
            }
            _ => {}
        }
    }
    None
}

/// Whether any string of a schema, key or value, holds what `clean` removes. Cleaning could make two
/// keys one, so such a schema is refused.
fn has_unwanted_text(value: &serde_json::Value) -> bool {
    let unwanted = |text: &str| clean(text.to_owned()) != text;
    match value {
        serde_json::Value::String(text) => unwanted(text),
        serde_json::Value::Array(values) => values.iter().any(has_unwanted_text),
        serde_json::Value::Object(fields) => {
            fields.iter().any(|(key, value)| unwanted(key) || has_unwanted_text(value))
        }
        _ => false,
    }
}
