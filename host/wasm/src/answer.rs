//! From what a guest answered to what came of the call.
//!
//! Promise: whatever a guest hands over is measured, checked and cleaned before it goes on; what it asks for is
//! asked for only where it was granted.
//!
//! Not here: running it (`entry`), its changes (`call`).

use crate::clean::clean;
use crate::contract::harness::tool::types::{ErrorKind, Failure, Outcome as ToolOutcome, Part as ToolPart};
use crate::contract::resumable::exports::harness::tool::resumable::{Need, OtherCall, Question};
use crate::entry::Answer;
use crate::host::powers::Powers;
use crate::host::progress::one_line;
use crate::limits::{CallLimits, as_size};
use crate::tools::TOOL_NAME_CHARS_MAX;
use harness_core::Outcome;
use harness_core::grant::Capability;
use harness_core::outcome::{FailureKind, LimitName, Part};
use harness_engine::ports::Blob;

/// An image's media type, in bytes.
const MIME_TYPE_BYTES_MAX: usize = 128;
/// A failure's code, in bytes.
const CODE_BYTES_MAX: usize = 64;
/// What a call leaves for itself, in bytes (`wit/tool/resumable.wit`).
const STATE_BYTES_MAX: usize = 64 << 10;
/// A question to the person, in characters.
const QUESTION_CHARS_MAX: usize = 500;
/// Answers to choose from.
const CHOICES_MAX: usize = 16;
/// One of them, in characters.
const CHOICE_CHARS_MAX: usize = 120;

/// The outcome, and the contents that it names.
pub(crate) fn outcome(
    component: &str,
    limits: &CallLimits,
    powers: &mut Powers,
    answer: Answer,
) -> (Outcome, Vec<Blob>) {
    let mut contents = Vec::new();
    let broken = |problem: String| Outcome::Faulted { what: format!("component `{component}` {problem}") };
    let outcome = match answer {
        Answer::Done(done) if output_bytes(&done) > as_size(limits.output_bytes) => {
            Outcome::OverLimit { limit: LimitName::OutputBytes, maximum: limits.output_bytes }
        }
        Answer::Done(ToolOutcome::Failed(failure)) => failed(failure),
        Answer::Done(ToolOutcome::Returned(parts)) => {
            match parts.into_iter().map(|part| convert(part, &mut contents)).collect() {
                Ok(parts) => Outcome::Returned { parts },
                Err(problem) => broken(format!("returned {problem}")),
            }
        }
        Answer::Needs(_, state) if state.len() > STATE_BYTES_MAX => {
            broken(format!("left itself a state of {} bytes, more than {STATE_BYTES_MAX}", state.len()))
        }
        Answer::Needs(need, state) => {
            let needed = match need {
                Need::Question(question) => ask(question, state),
                Need::Call(call) => other_call(call, state, limits),
            };
            match needed {
                Ok((needed, outcome)) if powers.require(&needed) => outcome,
                Ok((capability, _)) => {
                    Outcome::NotGranted { component: component.to_owned(), capability: Box::new(capability) }
                }
                Err(problem) => broken(problem),
            }
        }
    };
    (outcome, contents)
}

type Needed = Result<(Capability, Outcome), String>;

fn ask(question: Question, state: String) -> Needed {
    if question.choices.len() > CHOICES_MAX {
        return Err(format!("offers {} choices, more than {CHOICES_MAX}", question.choices.len()));
    }
    // Only lines of its own could look like another's.
    let words = one_line(question.words, QUESTION_CHARS_MAX);
    let choices: Vec<String> = question.choices.into_iter().map(|choice| one_line(choice, CHOICE_CHARS_MAX)).collect();
    if words.is_empty() || choices.iter().any(String::is_empty) {
        return Err("asks a question without words, or offers a choice without".to_owned());
    }
    Ok((Capability::Question, Outcome::NeedsInput { question: words, choices, state }))
}

fn other_call(call: OtherCall, state: String, limits: &CallLimits) -> Needed {
    let OtherCall { tool, arguments } = call;
    let is_name_char = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if tool.is_empty() || tool.len() > TOOL_NAME_CHARS_MAX || !tool.chars().all(is_name_char) {
        return Err(format!("asks for the tool `{}`, which is no tool's name", one_line(tool, TOOL_NAME_CHARS_MAX)));
    }
    if arguments.len() > as_size(limits.argument_bytes) {
        return Err(format!("asks for `{tool}` with arguments of {} bytes", arguments.len()));
    }
    if !serde_json::from_str::<serde_json::Value>(&arguments).is_ok_and(|value| value.is_object()) {
        return Err(format!("asks for `{tool}` with arguments that are no JSON object"));
    }
    Ok((Capability::Tool { name: tool.clone() }, Outcome::NeedsCall { tool, arguments, state }))
}

fn output_bytes(outcome: &ToolOutcome) -> usize {
    let part_bytes = |part: &ToolPart| match part {
        ToolPart::Text(text) | ToolPart::Json(text) => text.len(),
        ToolPart::Image(image) => image.mime_type.len() + image.bytes.len(),
        ToolPart::Resource(resource) => {
            resource.uri.len() + resource.mime_type.as_ref().map_or(0, String::len) + resource.text.len()
        }
    };
    match outcome {
        // An empty part takes room too.
        ToolOutcome::Returned(parts) => parts.iter().map(|part| part_bytes(part) + size_of::<Part>()).sum(),
        ToolOutcome::Failed(failure) => failure.code.len() + failure.message.len(),
    }
}

fn convert(part: ToolPart, contents: &mut Vec<Blob>) -> Result<Part, &'static str> {
    Ok(match part {
        ToolPart::Text(text) => Part::Text { text: clean(text) },
        ToolPart::Json(json) => {
            serde_json::from_str::<serde::de::IgnoredAny>(&json).map_err(|_| "a JSON part that is not JSON")?;
            // Valid JSON has control characters only between its values.
            Part::Json { json: clean(json) }
        }
        ToolPart::Image(image) => {
            let mime_type = mime_type(image.mime_type).ok_or("an image without a media type")?;
            let blob = Blob::new(image.bytes);
            let part = Part::Image { mime_type, digest: blob.digest, bytes: blob.bytes.len() as u64 };
            contents.push(blob);
            part
        }
        ToolPart::Resource(resource) => Part::Resource {
            uri: clean(resource.uri).replace(['\n', '\t'], " "),
            mime_type: resource.mime_type.and_then(mime_type),
            text: clean(resource.text),
        },
    })
}

/// A media type as RFC 6838, 4.2 allows it: `type/subtype` and parameters, printable ASCII.
fn mime_type(text: String) -> Option<String> {
    let is_sound = text.len() <= MIME_TYPE_BYTES_MAX
        && text.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty())
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    is_sound.then_some(text)
}

fn failed(failure: Failure) -> Outcome {
    let code = clean(failure.code).replace(['\n', '\t'], " ");
    Outcome::Failed {
        kind: kind(failure.kind),
        code: code[..code.floor_char_boundary(CODE_BYTES_MAX)].to_owned(),
        message: clean(failure.message),
        retryable: failure.retryable,
    }
}

const fn kind(kind: ErrorKind) -> FailureKind {
    match kind {
        ErrorKind::InvalidArguments => FailureKind::InvalidArguments,
        ErrorKind::NotFound => FailureKind::NotFound,
        ErrorKind::NotPermitted => FailureKind::NotPermitted,
        ErrorKind::Conflict => FailureKind::Conflict,
        ErrorKind::TooLarge => FailureKind::TooLarge,
        ErrorKind::Unsupported => FailureKind::Unsupported,
        ErrorKind::Failed => FailureKind::Failed,
    }
}
