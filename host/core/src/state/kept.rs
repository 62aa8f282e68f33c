//! A state as bytes, for a checkpoint: the conversation in pieces that never change, and everything else.
//!
//! Promise: what is decoded equals what was encoded, or is an error. The form is private to one
//! [`STATE_FORMAT`]: it is never read by a host with another one, so it needs no history of its own.
//!
//! The conversation is most of a state and is read each time a session wakes, so it has a form without names
//! (postcard); the rest is JSON. Not here: where the bytes are kept, and whether they may be believed.

use super::SessionState;
use crate::ids::CallId;
use crate::item::{AssistantPart, Item, ModelRef, ToolResult};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// The form of the bytes and the meaning of every field in them. It changes whenever either does.
pub const STATE_FORMAT: u32 = 3;

/// Bytes that are no state of this format.
#[derive(Debug, thiserror::Error)]
pub enum KeptStateError {
    /// The part that is JSON.
    #[error("the state cannot be read: {0}")]
    State(#[from] serde_json::Error),
    /// The conversation.
    #[error("a piece of the conversation cannot be read: {0}")]
    Items(#[from] postcard::Error),
}

impl SessionState {
    /// Everything but the conversation.
    pub fn encode(&self) -> Result<Vec<u8>, KeptStateError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// The state, with its conversation.
    pub fn decode(bytes: &[u8], history: Vec<Arc<Item>>) -> Result<Self, KeptStateError> {
        let state: Self = serde_json::from_slice(bytes)?;
        Ok(Self { history, ..state })
    }
}

/// An item without names. Each enum mirrors one of `item`'s, variant by variant.
#[derive(Serialize, Deserialize)]
enum KeptItem<'a> {
    User { text: Cow<'a, str> },
    Assistant { provider: Cow<'a, str>, name: Cow<'a, str>, parts: Vec<KeptPart<'a>> },
    ToolResults { results: Vec<KeptResult<'a>> },
}

#[derive(Serialize, Deserialize)]
enum KeptPart<'a> {
    Text { text: Cow<'a, str> },
    // JSON that providers gave has no form but its own.
    Reasoning { text: Cow<'a, str>, opaque: Option<String> },
    ToolCall { provider_call: Cow<'a, str>, tool: Cow<'a, str>, arguments: Cow<'a, str> },
}

#[derive(Serialize, Deserialize)]
struct KeptResult<'a> {
    call: [u8; 16],
    provider_call: Cow<'a, str>,
    tool: Cow<'a, str>,
    text: Cow<'a, str>,
    is_error: bool,
}

/// A piece of a conversation.
pub fn encode_items(items: &[Arc<Item>]) -> Result<Vec<u8>, KeptStateError> {
    let kept: Vec<KeptItem<'_>> = items.iter().map(|item| kept_item(item)).collect::<Result<_, _>>()?;
    Ok(postcard::to_allocvec(&kept)?)
}

/// A piece of a conversation, from its bytes.
pub fn decode_items(bytes: &[u8]) -> Result<Vec<Arc<Item>>, KeptStateError> {
    let (kept, rest) = postcard::take_from_bytes::<Vec<KeptItem<'_>>>(bytes)?;
    if !rest.is_empty() {
        return Err(postcard::Error::DeserializeBadEncoding.into());
    }
    kept.into_iter().map(|kept| item_of(kept).map(Arc::new)).collect()
}

fn kept_item(item: &Item) -> Result<KeptItem<'_>, KeptStateError> {
    Ok(match item {
        Item::User { text } => KeptItem::User { text: text.into() },
        Item::Assistant { model: ModelRef { provider, name }, parts } => {
            let parts = parts.iter().map(kept_part).collect::<Result<_, _>>()?;
            KeptItem::Assistant { provider: provider.into(), name: name.into(), parts }
        }
        Item::ToolResults { results } => KeptItem::ToolResults { results: results.iter().map(kept_result).collect() },
    })
}

fn kept_part(part: &AssistantPart) -> Result<KeptPart<'_>, KeptStateError> {
    Ok(match part {
        AssistantPart::Text { text } => KeptPart::Text { text: text.into() },
        AssistantPart::Reasoning { text, opaque } => {
            let opaque = opaque.as_ref().map(serde_json::to_string).transpose()?;
            KeptPart::Reasoning { text: text.into(), opaque }
        }
        AssistantPart::ToolCall { provider_call, tool, arguments } => {
            KeptPart::ToolCall { provider_call: provider_call.into(), tool: tool.into(), arguments: arguments.into() }
        }
    })
}

fn kept_result(result: &ToolResult) -> KeptResult<'_> {
    let ToolResult { call, provider_call, tool, text, is_error } = result;
    KeptResult {
        call: call.bits().to_be_bytes(),
        provider_call: provider_call.into(),
        tool: tool.into(),
        text: text.into(),
        is_error: *is_error,
    }
}

fn item_of(kept: KeptItem<'_>) -> Result<Item, KeptStateError> {
    Ok(match kept {
        KeptItem::User { text } => Item::User { text: text.into_owned() },
        KeptItem::Assistant { provider, name, parts } => Item::Assistant {
            model: ModelRef { provider: provider.into_owned(), name: name.into_owned() },
            parts: parts.into_iter().map(part_of).collect::<Result<_, _>>()?,
        },
        KeptItem::ToolResults { results } => {
            Item::ToolResults { results: results.into_iter().map(result_of).collect() }
        }
    })
}

fn part_of(kept: KeptPart<'_>) -> Result<AssistantPart, KeptStateError> {
    Ok(match kept {
        KeptPart::Text { text } => AssistantPart::Text { text: text.into_owned() },
        KeptPart::Reasoning { text, opaque } => {
            let opaque = opaque.as_deref().map(serde_json::from_str).transpose()?;
            AssistantPart::Reasoning { text: text.into_owned(), opaque }
        }
        KeptPart::ToolCall { provider_call, tool, arguments } => AssistantPart::ToolCall {
            provider_call: provider_call.into_owned(),
            tool: tool.into_owned(),
            arguments: arguments.into_owned(),
        },
    })
}

fn result_of(kept: KeptResult<'_>) -> ToolResult {
    let KeptResult { call, provider_call, tool, text, is_error } = kept;
    ToolResult {
        call: CallId::from_bits(u128::from_be_bytes(call)),
        provider_call: provider_call.into_owned(),
        tool: tool.into_owned(),
        text: text.into_owned(),
        is_error,
    }
}
