//! `--output-schema`: the final answer as JSON that fits a schema.
//!
//! Promise: what is printed has been validated here, whatever the model or provider says.

use crate::failure::Failure;
use jsonschema::Validator;
use serde_json::Value;
use std::path::Path;

/// A schema file is at most this long, in bytes.
const SCHEMA_BYTES_MAX: u64 = 1 << 20;
/// Violations told to the model at once.
const VIOLATIONS_MAX: usize = 5;

/// A schema for the final answer.
pub(crate) struct AnswerSchema {
    text: String,
    validator: Validator,
}

impl AnswerSchema {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let unreadable =
            |error: std::io::Error| Failure::usage(format!("the output schema {shown} cannot be read: {error}"));
        if std::fs::metadata(path).map_err(unreadable)?.len() > SCHEMA_BYTES_MAX {
            return Err(Failure::usage(format!("the output schema {shown} is larger than {SCHEMA_BYTES_MAX} bytes")));
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let schema: Value = serde_json::from_slice(&bytes)
            .map_err(|error| Failure::usage(format!("the output schema {shown} is not JSON: {error}")))?;
        let validator = jsonschema::validator_for(&schema)
            .map_err(|error| Failure::usage(format!("the output schema {shown} is not a JSON Schema: {error}")))?;
        Ok(Self { text: schema.to_string(), validator })
    }

    /// The prompt with the wish for JSON.
    pub(crate) fn ask_for(&self, prompt: &str) -> String {
        format!(
            "{prompt}\n\nYour final answer has to be one JSON value, without any words or code fence around it, that fits \
             this JSON Schema:\n{}",
            self.text
        )
    }

    /// The prompt after an answer that did not fit.
    pub(crate) fn ask_again(&self, why: &str) -> String {
        format!(
            "Your answer does not fit the JSON Schema: {why}\nAnswer again with nothing but the corrected JSON value."
        )
    }

    /// The answer as JSON, or what is wrong with it.
    pub(crate) fn check(&self, answer: &str) -> Result<Value, String> {
        let value: Value =
            serde_json::from_str(without_fence(answer)).map_err(|error| format!("it is not JSON ({error})"))?;
        let violations: Vec<String> = self
            .validator
            .iter_errors(&value)
            .take(VIOLATIONS_MAX)
            .map(|error| match error.instance_path().to_string() {
                place if place.is_empty() => error.to_string(),
                place => format!("at {place}: {error}"),
            })
            .collect();
        if violations.is_empty() { Ok(value) } else { Err(violations.join("; ")) }
    }
}

/// Models put JSON into a code fence even when told not to.
fn without_fence(answer: &str) -> &str {
    let answer = answer.trim();
    let inner = answer.strip_prefix("```json").or_else(|| answer.strip_prefix("```"));
    inner.and_then(|inner| inner.strip_suffix("```")).unwrap_or(answer).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_checked_with_and_without_a_fence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("schema.json");
        std::fs::write(&path, r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}"#).unwrap();
        let schema = AnswerSchema::read(&path).unwrap();
        assert_eq!(schema.check(" {\"n\":1}\n").unwrap()["n"], 1);
        assert_eq!(schema.check("```json\n{\"n\":2}\n```").unwrap()["n"], 2);
        assert!(schema.check("{\"n\":\"x\"}").unwrap_err().contains("at /n"));
        assert!(schema.check("sure!").unwrap_err().contains("not JSON"));
    }

    #[test]
    fn a_bad_schema_file_is_a_usage_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("schema.json");
        assert!(AnswerSchema::read(&path).is_err_and(|failure| failure.message.contains("cannot be read")));
        std::fs::write(&path, "{").unwrap();
        assert!(AnswerSchema::read(&path).is_err_and(|failure| failure.message.contains("is not JSON")));
        std::fs::write(&path, r#"{"type":"nonsense"}"#).unwrap();
        assert!(AnswerSchema::read(&path).is_err_and(|failure| failure.message.contains("not a JSON Schema")));
    }
}
