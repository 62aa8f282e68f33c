//! What a provider accepts as a conversation that is to be answered.
//!
//! Promise: whatever passes is a request that none of the wires' providers refuses for its shape: every call is
//! answered exactly once, at once and in order; no message is empty; the last word is not the model's own.
//!
//! As a grammar, in which ids are unique within a response and `results` has those of the `calls` right before it, in
//! their order:
//!
//! ```text
//! request      = *( user / response ) ( user / calls results )
//! response     = words / calls results
//! user         = one non-blank text
//! words        = 1*( text / reasoning )
//! calls        = *( text / reasoning / call ) call *( text / reasoning / call )
//! results      = 1*( id non-empty-text )
//! ```

use harness_core::Item;
use harness_core::item::AssistantPart;
use std::collections::BTreeSet;

/// Whether a provider would accept these items as a request; the error says what is wrong with which.
pub fn valid_for_provider<'a>(items: impl IntoIterator<Item = &'a Item>) -> Result<(), String> {
    let mut open: Vec<&str> = Vec::new();
    let mut last = None;
    for (index, item) in items.into_iter().enumerate() {
        last = Some(item);
        match item {
            Item::ToolResults { results } => {
                let answered: Vec<&str> = results.iter().map(|result| result.provider_call.as_str()).collect();
                if open.is_empty() || answered != open {
                    return Err(format!("item {index} answers {answered:?}, asked was {open:?}"));
                }
                if let Some(silent) = results.iter().find(|result| result.text.is_empty()) {
                    return Err(format!("item {index} answers {} with nothing", silent.provider_call));
                }
                open.clear();
            }
            Item::User { .. } | Item::Assistant { .. } if !open.is_empty() => {
                return Err(format!("item {index} comes before {open:?} was answered"));
            }
            Item::User { text } if text.trim().is_empty() => return Err(format!("item {index} says nothing")),
            Item::User { .. } => {}
            Item::Assistant { parts, .. } if parts.is_empty() => return Err(format!("item {index} is empty")),
            Item::Assistant { parts, .. } => {
                open.extend(parts.iter().filter_map(|part| match part {
                    AssistantPart::ToolCall { provider_call, .. } => Some(provider_call.as_str()),
                    AssistantPart::Text { .. } | AssistantPart::Reasoning { .. } => None,
                }));
                let unique: BTreeSet<&str> = open.iter().copied().collect();
                if unique.len() < open.len() {
                    return Err(format!("item {index} makes two calls of one id: {open:?}"));
                }
            }
        }
    }
    match last {
        Some(Item::User { .. } | Item::ToolResults { .. }) => Ok(()),
        Some(Item::Assistant { .. }) => Err("the last word is the model's own".to_owned()),
        None => Err("there is nothing to answer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_core::CallId;
    use harness_core::item::ToolResult;

    fn user() -> Item {
        Item::User { text: "hi".into() }
    }

    fn asks(calls: &[&str]) -> Item {
        let part = |id: &&str| AssistantPart::ToolCall {
            provider_call: (*id).to_owned(),
            tool: "t".into(),
            arguments: "{}".into(),
        };
        Item::Assistant { model: "a/b".parse().unwrap(), parts: calls.iter().map(part).collect() }
    }

    fn answers_with(calls: &[&str], text: &str) -> Item {
        let result = |id: &&str| ToolResult {
            call: CallId::from_bits(1),
            provider_call: (*id).to_owned(),
            tool: "t".into(),
            text: text.into(),
            is_error: false,
        };
        Item::ToolResults { results: calls.iter().map(result).collect() }
    }

    fn answers(calls: &[&str]) -> Item {
        answers_with(calls, "ok")
    }

    #[test]
    fn conversations_that_a_provider_refuses_are_found() {
        for good in [
            vec![user()],
            vec![user(), user()],
            vec![user(), asks(&["1", "2"]), answers(&["1", "2"])],
            vec![user(), asks(&["1"]), answers(&["1"]), user()],
        ] {
            assert_eq!(valid_for_provider(&good), Ok(()), "{good:?}");
        }
        for bad in [
            vec![],
            vec![user(), asks(&["1"])],
            vec![user(), asks(&["1"]), user()],
            vec![user(), asks(&["1", "2"]), answers(&["1"])],
            vec![user(), asks(&["1", "2"]), answers(&["2", "1"])],
            vec![user(), asks(&["1"]), answers(&["1", "1"])],
            vec![user(), answers(&["1"])],
            vec![user(), asks(&[]), user()],
            vec![user(), asks(&["1", "1"]), answers(&["1", "1"])],
            vec![user(), asks(&["1"]), answers_with(&["1"], "")],
            vec![Item::User { text: " \n".into() }],
        ] {
            assert!(valid_for_provider(&bad).is_err(), "{bad:?}");
        }
    }
}
