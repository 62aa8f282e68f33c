//! What was said while something was under way: delivered once, in order, or told to have expired.

use super::Seen;
use harness_core::event::TurnEnd;
use harness_core::message::Delivery;
use harness_core::{Event, Item, MessageId};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn a_message_is_delivered_once_in_order_or_expires(seen: &Seen<'_>) -> Result<(), String> {
    let mut waiting: Vec<(MessageId, Delivery)> = Vec::new();
    let mut known = BTreeSet::new();
    // A person stopped the turn without a word, and said nothing after it that was to interrupt.
    let mut is_silenced = false;
    for (index, event) in seen.log.iter().enumerate() {
        let at = |what: String| Err(format!("event {}: {what}", index + 1));
        match event {
            Event::MessageReceived { message, delivery, .. } => {
                if !known.insert(*message) {
                    return at(format!("{message} was received before"));
                }
                waiting.push((*message, *delivery));
                is_silenced &= *delivery != Delivery::Interrupt;
            }
            Event::InterruptRequested => is_silenced = true,
            Event::TurnStarted { .. } => is_silenced = false,
            Event::MessageDelivered { message } => {
                let Some(place) = waiting.iter().position(|(it, _)| it == message) else {
                    return at(format!("{message} does not wait"));
                };
                let (_, delivery) = waiting.remove(place);
                if waiting.iter().take(place).any(|(_, it)| *it == delivery) {
                    return at(format!("{message} overtakes another one of its kind"));
                }
            }
            Event::MessageExpired { message, .. } => {
                if !waiting.iter().any(|(it, _)| it == message) {
                    return at(format!("{message} does not wait"));
                }
                waiting.retain(|(it, _)| it != message);
            }
            Event::MessageWithdrawn { message } => {
                let expires =
                    |event: &Event| matches!(event, Event::MessageExpired { message: it, .. } if it == message);
                if !seen.rest_of_batch(index).any(expires) {
                    return at(format!("{message} was taken back and goes on waiting"));
                }
            }
            // What was said elsewhere was said elsewhere.
            Event::SessionImported { .. } => waiting.clear(),
            Event::ModelRequested { attempt: 1, .. } => {
                if let Some((message, _)) = waiting.iter().find(|(_, delivery)| *delivery != Delivery::Queue) {
                    return at(format!("a step begins without {message}"));
                }
            }
            Event::TurnEnded { end, .. } => {
                let begins =
                    |(_, delivery): &(MessageId, Delivery)| *end == TurnEnd::Done || *delivery == Delivery::Interrupt;
                let next = seen.rest_of_batch(index).next();
                let is_followed = matches!(next, Some(Event::MessageDelivered { .. }));
                if is_silenced && is_followed {
                    return at(format!("it was stopped without a word, and {next:?} follows"));
                }
                if !is_silenced && waiting.iter().any(begins) && !is_followed {
                    return at(format!("{waiting:?} waits, and {next:?} follows"));
                }
            }
            _ => {}
        }
    }
    let left: Vec<MessageId> = seen.state.messages.iter().map(|it| it.message).collect();
    let waiting: Vec<MessageId> = waiting.into_iter().map(|(message, _)| message).collect();
    if left == waiting { Ok(()) } else { Err(format!("{waiting:?} should wait, {left:?} do")) }
}

/// The words of a message stand in each conversation once at most; in the one that there is now exactly once, where it
/// was delivered and nobody went back since.
pub(super) fn a_delivered_message_is_read_once(seen: &Seen<'_>) -> Result<(), String> {
    // Words that nobody said twice.
    let mut words: BTreeMap<&str, Vec<MessageId>> = BTreeMap::new();
    for event in &seen.log {
        if let Event::MessageReceived { message, text, .. } = event {
            words.entry(text).or_default().push(*message);
        }
    }
    words.retain(|_, of| of.len() == 1);
    let mut delivered: BTreeSet<MessageId> = BTreeSet::new();
    for event in &seen.log {
        match event {
            Event::MessageDelivered { message } => drop(delivered.insert(*message)),
            Event::SessionRewound { .. } => delivered.clear(),
            _ => {}
        }
    }
    let conversations = seen.evidence.requests.iter().map(|request| &request.items);
    for items in conversations.chain([&seen.state.history]) {
        let mut read = BTreeSet::new();
        let texts = items.iter().filter_map(|item| match item.as_ref() {
            Item::User { text } => words.get_key_value(text.as_str()).map(|(text, _)| *text),
            Item::Assistant { .. } | Item::ToolResults { .. } => None,
        });
        if let Some(twice) = texts.into_iter().find(|text| !read.insert(*text)) {
            return Err(format!("`{twice}` is there twice"));
        }
    }
    let is_read =
        |text: &str| seen.state.history.iter().any(|it| matches!(it.as_ref(), Item::User { text: it } if it == text));
    let lost = words.iter().find(|(text, of)| of.iter().any(|it| delivered.contains(it)) && !is_read(text));
    lost.map_or(Ok(()), |(text, _)| Err(format!("`{text}` was delivered, and nobody reads it")))
}
