//! What every provider demands of a conversation: no call without its one result, no result without a call,
//! nothing between the two.

use serde_json::Value;
use std::collections::BTreeSet;

/// The protocols, by the names that configuration files use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Chat Completions.
    OpenAiChat,
    /// OpenAI Responses.
    OpenAiResponses,
}

impl Wire {
    /// The name in configuration files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAiChat => "openai-chat",
            Self::OpenAiResponses => "openai-responses",
        }
    }

    /// The wire of a name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Anthropic, Self::OpenAiChat, Self::OpenAiResponses].into_iter().find(|wire| wire.name() == name)
    }

    /// The variables that make the program speak to a server at `url`, and the model it asks.
    pub fn environment(self, url: &str, key: &str) -> Vec<(String, String)> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        match self {
            Self::Anthropic => vec![
                pair("ANTHROPIC_API_KEY", key),
                pair("ANTHROPIC_BASE_URL", url),
                pair("HARNESS_HOST_MODEL", "anthropic/test-model"),
            ],
            Self::OpenAiChat | Self::OpenAiResponses => vec![
                pair("OPENAI_API_KEY", key),
                pair("OPENAI_BASE_URL", &format!("{url}/v1")),
                pair("HARNESS_HOST_MODEL", "openai/test-model"),
            ],
        }
    }

    /// How many tool results a request carries.
    pub fn results(self, body: &Value) -> usize {
        self.entries(body).iter().filter(|entry| matches!(entry, Entry::Result(_))).count()
    }

    /// Checks a request as the provider would.
    ///
    /// # Errors
    /// Why the provider would refuse it.
    pub fn check(self, body: &Value) -> Result<(), String> {
        if body["stream"] != Value::Bool(true) || !body["model"].is_string() {
            return Err("it names no model or does not stream".to_owned());
        }
        let mut open: BTreeSet<String> = BTreeSet::new();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut last = None;
        for entry in self.entries(body) {
            match &entry {
                Entry::User | Entry::Words if !open.is_empty() => {
                    return Err(format!("calls without results: {open:?}"));
                }
                Entry::User | Entry::Words => {}
                Entry::Call(id) => {
                    if !seen.insert(id.clone()) {
                        return Err(format!("the id {id} is used twice"));
                    }
                    open.insert(id.clone());
                }
                Entry::Result(id) if !open.remove(id) => return Err(format!("a result of no open call: {id}")),
                Entry::Result(_) => {}
                Entry::Unknown(what) => return Err(format!("what is this: {what}")),
            }
            last = Some(entry);
        }
        if !open.is_empty() {
            return Err(format!("calls without results: {open:?}"));
        }
        match last {
            Some(Entry::User | Entry::Result(_)) => Ok(()),
            _ => Err("it does not end with the user's side".to_owned()),
        }
    }

    fn entries(self, body: &Value) -> Vec<Entry> {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        match self {
            Self::Anthropic => list(&body["messages"]).iter().flat_map(anthropic).collect(),
            Self::OpenAiChat => list(&body["messages"]).iter().flat_map(chat).collect(),
            Self::OpenAiResponses => list(&body["input"]).iter().map(responses).collect(),
        }
    }
}

/// One thing in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    User,
    Words,
    Call(String),
    Result(String),
    Unknown(String),
}

fn id(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn anthropic(message: &Value) -> Vec<Entry> {
    let blocks = message["content"].as_array().cloned().unwrap_or_else(|| vec![serde_json::json!({"type": "text"})]);
    let block = |block: &Value| match (message["role"].as_str(), block["type"].as_str()) {
        (Some("user"), Some("text")) => Entry::User,
        (Some("user"), Some("tool_result")) => Entry::Result(id(&block["tool_use_id"])),
        (Some("assistant"), Some("text" | "thinking" | "redacted_thinking")) => Entry::Words,
        (Some("assistant"), Some("tool_use")) if block["input"].is_object() => Entry::Call(id(&block["id"])),
        _ => Entry::Unknown(block.to_string()),
    };
    blocks.iter().map(block).collect()
}

fn chat(message: &Value) -> Vec<Entry> {
    match message["role"].as_str() {
        Some("system") => Vec::new(),
        Some("user") => vec![Entry::User],
        Some("assistant") => {
            let calls = message["tool_calls"].as_array().cloned().unwrap_or_default();
            let call = |call: &Value| match call["function"]["arguments"].as_str() {
                Some(_) => Entry::Call(id(&call["id"])),
                None => Entry::Unknown(call.to_string()),
            };
            std::iter::once(Entry::Words).chain(calls.iter().map(call)).collect()
        }
        Some("tool") => vec![Entry::Result(id(&message["tool_call_id"]))],
        _ => vec![Entry::Unknown(message.to_string())],
    }
}

fn responses(item: &Value) -> Entry {
    match (item["type"].as_str(), item["role"].as_str()) {
        (Some("message"), Some("user")) => Entry::User,
        (Some("message"), Some("assistant")) | (Some("reasoning"), _) => Entry::Words,
        (Some("function_call"), _) if item["arguments"].is_string() => Entry::Call(id(&item["call_id"])),
        (Some("function_call_output"), _) => Entry::Result(id(&item["call_id"])),
        _ => Entry::Unknown(item.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn body(messages: Value) -> Value {
        json!({"model": "m", "stream": true, "messages": messages})
    }

    #[test]
    fn a_call_without_a_result_is_found() {
        let call = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "a", "input": {}}]});
        let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]});
        let words = json!({"role": "user", "content": "go"});
        let check = |messages| Wire::Anthropic.check(&body(messages));
        assert_eq!(check(json!([words, call, result])), Ok(()));
        assert!(check(json!([words, call])).is_err());
        assert!(check(json!([words, call, words])).is_err());
        assert!(check(json!([words, result])).is_err());
        assert!(check(json!([words, call, result, result])).is_err());
        let chat = json!([{"role": "user", "content": "go"}, {"role": "assistant", "tool_calls": [{"id": "a", "function": {"arguments": "{}"}}]}]);
        assert!(Wire::OpenAiChat.check(&body(chat)).is_err());
        let input =
            json!([{"type": "message", "role": "user"}, {"type": "function_call", "call_id": "a", "arguments": "{}"}]);
        assert!(Wire::OpenAiResponses.check(&json!({"model": "m", "stream": true, "input": input})).is_err());
    }
}
