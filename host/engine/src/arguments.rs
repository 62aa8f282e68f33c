//! Checking a call's arguments against the tool's JSON schema before it runs.
//!
//! Promise: a violation is told so that a model can act on it: where, what was expected, what was there.

use harness_core::Outcome;
use harness_core::item::ToolSpec;
use harness_core::outcome::FailureKind;
use jsonschema::Validator;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Violations told at once.
const VIOLATIONS_MAX: usize = 8;
/// A violation's text, in characters.
const VIOLATION_CHARS_MAX: usize = 300;
/// Schemas kept compiled.
const SCHEMAS_MAX: usize = 1_024;

/// Compiled schemas, by tool name and implementation.
#[derive(Default)]
pub(crate) struct Schemas {
    compiled: Mutex<HashMap<(String, String), Arc<Validator>>>,
}

impl Schemas {
    fn validator(&self, tool: &ToolSpec) -> Result<Arc<Validator>, Box<Outcome>> {
        let key = (tool.name.clone(), tool.implementation.clone());
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validator) = compiled.get(&key) {
            return Ok(Arc::clone(validator));
        }
        // Patterns come from components too: this engine takes time linear in the text.
        let linear = jsonschema::PatternOptions::regex();
        let made = jsonschema::options().with_pattern_options(linear).build(&tool.parameters);
        let validator = made.map_err(|error| {
            let what = format!("the schema of tool `{}` is not a valid JSON Schema: {error}", tool.name);
            Box::new(Outcome::Faulted { what })
        })?;
        if compiled.len() >= SCHEMAS_MAX {
            compiled.clear();
        }
        let validator = Arc::new(validator);
        compiled.insert(key, Arc::clone(&validator));
        Ok(validator)
    }

    /// Checks arguments; the outcome says what is wrong with them.
    pub(crate) fn check(&self, tool: &ToolSpec, arguments: &str) -> Result<(), Box<Outcome>> {
        let value: Value = serde_json::from_str(arguments).map_err(|error| {
            let message = format!("the arguments are not valid JSON: {error}");
            Box::new(Outcome::failed(FailureKind::InvalidArguments, "not-json", message))
        })?;
        let validator = self.validator(tool)?;
        let mut errors = validator.iter_errors(&value).peekable();
        if errors.peek().is_none() {
            return Ok(());
        }
        let violations: Vec<String> = errors
            .take(VIOLATIONS_MAX)
            .map(|error| {
                let place = error.instance_path().to_string();
                let text: String = error.to_string().chars().take(VIOLATION_CHARS_MAX).collect();
                if place.is_empty() { format!("- {text}") } else { format!("- at {place}: {text}") }
            })
            .collect();
        let message = format!(
            "the arguments of `{}` do not fit its schema; correct them and call again:\n{}",
            tool.name,
            violations.join("\n")
        );
        Err(Box::new(Outcome::failed(FailureKind::InvalidArguments, "schema", message)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_core::item::{Category, Effects};
    use serde_json::json;

    fn tool() -> ToolSpec {
        ToolSpec {
            name: "read_file".into(),
            description: String::new(),
            parameters: json!({
                "type": "object",
                "properties": {"path": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}},
                "required": ["path"],
                "additionalProperties": false
            }),
            category: Category::Read,
            effects: Effects::Staged,
            implementation: "test".into(),
            component: String::new(),
        }
    }

    #[test]
    fn violations_say_where_and_what() {
        let schemas = Schemas::default();
        assert!(schemas.check(&tool(), r#"{"path":"a","limit":3}"#).is_ok());
        for (arguments, expected) in [
            ("{}", "\"path\" is a required property"),
            (r#"{"path":1}"#, "at /path"),
            (r#"{"path":"a","limit":0}"#, "at /limit"),
            (r#"{"path":"a","file":"b"}"#, "'file'"),
            ("{", "not valid JSON"),
        ] {
            let outcome = schemas.check(&tool(), arguments).unwrap_err();
            let text = outcome.model_text(&[]);
            assert!(text.contains(expected), "{arguments}: {text}");
        }
    }
}
