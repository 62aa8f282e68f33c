//! What of an event is searched: the words of people and models.
//!
//! Promise: each event adds at most [`SAID_BYTES_MAX`]. Not here: what tools returned; it is most of a log, and
//! a person rarely looks for it.

use crate::ports::Said;
use harness_core::{AssistantPart, Event, Header};

/// Words of one event that are searched; the rest of a longer text is not found. Bytes.
pub(crate) const SAID_BYTES_MAX: usize = 8 << 10;

/// The words of an event, if it has any.
pub(crate) fn of(header: &Header, event: &Event) -> Option<Said> {
    let mut text = match event {
        Event::PromptReceived { text, .. } => cut(text).to_owned(),
        Event::ModelResponded { parts, .. } => {
            let texts = parts.iter().filter_map(|part| match part {
                AssistantPart::Text { text } => Some(cut(text)),
                AssistantPart::Reasoning { .. } | AssistantPart::ToolCall { .. } => None,
            });
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => return None,
    };
    text.truncate(cut(&text).len());
    (!text.trim().is_empty()).then_some(Said { sequence: header.sequence, text })
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(SAID_BYTES_MAX)]
}
