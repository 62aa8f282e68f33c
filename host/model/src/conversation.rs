//! From the items of a conversation to what every wire may be sent.
//!
//! Promise: a request is always valid for a provider. Every tool call has exactly one result right after
//! it (one that is missing is given as interrupted, one without a call is left out); ids and names have
//! only characters that every provider takes; arguments are a JSON object; no text is blank; what only
//! its own provider understands goes back to no other.
//!
//! Not here: how a wire writes it down.

use crate::wire::is_json;
use crate::writer::Writer;
use harness_core::Digest;
use harness_core::item::{AssistantPart, Item};
use serde_json::Value;
use std::borrow::Cow;

/// The longest id of a call, in bytes: OpenAI's Chat Completions take no longer one.
const CALL_ID_BYTES_MAX: usize = 40;
/// The longest name of a tool, in bytes.
const TOOL_NAME_BYTES_MAX: usize = 64;
/// The result of a call that has none.
const INTERRUPTED: &str = "Interrupted: no result of this call was recorded.";

/// A part of a model's message that can be sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SentPart<'a> {
    /// Words, not blank.
    Text(&'a str),
    /// Reasoning, for its own provider.
    Reasoning {
        /// As far as it was shown.
        text: &'a str,
        /// What the provider wants back.
        opaque: &'a Value,
    },
    /// A call.
    Call {
        /// Its id.
        id: String,
        /// The tool's name.
        name: Cow<'a, str>,
        /// A JSON object.
        arguments: Cow<'a, str>,
    },
}

/// How a wire writes a conversation down.
pub(crate) trait WriteConversation: Send + Sync {
    /// Words of the user's side, not blank.
    fn user(&self, text: &str, out: &mut Writer);
    /// A message of the model, at least one part.
    fn assistant(&self, parts: &[SentPart<'_>], out: &mut Writer);
    /// The result of a call, not blank.
    fn result(&self, id: &str, text: &str, is_error: bool, out: &mut Writer);
    /// Closes what is open. Nothing is written after it.
    fn close(&self, out: &mut Writer);
}

/// A call that has no result yet.
#[derive(Debug, Clone)]
struct PendingCall {
    provider_call: String,
    id: String,
}

/// Takes items one after the other and writes them.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    /// The text so far.
    pub(crate) writer: Writer,
    pending: Vec<PendingCall>,
}

impl Conversation {
    /// Adds an item. `own` is the provider's name.
    pub(crate) fn push(&mut self, own: &str, wire: &dyn WriteConversation, item: &Item) {
        match item {
            Item::User { text } => {
                self.answer_pending(wire, &[]);
                wire.user(if text.trim().is_empty() { "(no text)" } else { text }, &mut self.writer);
                self.writer.mark_user_side();
            }
            Item::Assistant { model, parts } => {
                self.answer_pending(wire, &[]);
                self.writer.mark_assistant();
                let parts = sent_parts(model.provider == own, parts, &mut self.pending);
                if !parts.is_empty() {
                    wire.assistant(&parts, &mut self.writer);
                }
            }
            Item::ToolResults { results } => {
                let results: Vec<_> = results
                    .iter()
                    .map(|result| (result.provider_call.as_str(), result.text.as_str(), result.is_error))
                    .collect();
                self.answer_pending(wire, &results);
            }
        }
    }

    /// What has to follow the text to end it: results of calls that have none yet, and what is open.
    pub(crate) fn tail(&self, wire: &dyn WriteConversation) -> Vec<u8> {
        let mut tail = Writer::default();
        tail.message = self.writer.message;
        for call in &self.pending {
            wire.result(&call.id, INTERRUPTED, true, &mut tail);
        }
        wire.close(&mut tail);
        tail.body(bytes::Bytes::new(), None, bytes::Bytes::new()).into_vec()
    }

    fn answer_pending(&mut self, wire: &dyn WriteConversation, results: &[(&str, &str, bool)]) {
        if self.pending.is_empty() {
            return;
        }
        let mut used = vec![false; results.len()];
        for call in std::mem::take(&mut self.pending) {
            let found = results.iter().enumerate().find(|(at, result)| !used[*at] && result.0 == call.provider_call);
            let (text, is_error) = match found {
                Some((at, &(_, text, is_error))) => {
                    used[at] = true;
                    (if text.trim().is_empty() { "(no output)" } else { text }, is_error)
                }
                None => (INTERRUPTED, true),
            };
            wire.result(&call.id, text, is_error, &mut self.writer);
        }
        self.writer.mark_user_side();
    }
}

/// The parts that can be sent; their calls are pending from now on.
fn sent_parts<'a>(is_own: bool, parts: &'a [AssistantPart], pending: &mut Vec<PendingCall>) -> Vec<SentPart<'a>> {
    let mut sent = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            AssistantPart::Text { text } if text.trim().is_empty() => {}
            AssistantPart::Text { text } => sent.push(SentPart::Text(text)),
            AssistantPart::Reasoning { text, opaque: Some(opaque) } if is_own => {
                sent.push(SentPart::Reasoning { text, opaque });
            }
            AssistantPart::Reasoning { .. } => {}
            AssistantPart::ToolCall { provider_call, tool, arguments } => {
                let mut id = call_id(is_own, provider_call);
                if pending.iter().any(|call| call.id == id) {
                    id = hashed_id(&format!("{id} {}", pending.len()));
                }
                pending.push(PendingCall { provider_call: provider_call.clone(), id: id.clone() });
                sent.push(SentPart::Call { id, name: tool_name(tool), arguments: object(arguments) });
            }
        }
    }
    // Providers refuse reasoning that nothing follows: it is what an output limit leaves.
    while matches!(sent.last(), Some(SentPart::Reasoning { .. })) {
        sent.pop();
    }
    sent
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// A provider gets its own ids back as they were; others get ids that everybody takes.
fn call_id(is_own: bool, id: &str) -> String {
    let fits = !id.is_empty() && (is_own || (is_plain(id) && id.len() <= CALL_ID_BYTES_MAX));
    if fits { id.to_owned() } else { hashed_id(id) }
}

fn hashed_id(text: &str) -> String {
    format!("call_{}", &Digest::of(text.as_bytes()).hex()[..32])
}

/// A name that providers take, also where the model made one up.
fn tool_name(name: &str) -> Cow<'_, str> {
    if !name.is_empty() && name.len() <= TOOL_NAME_BYTES_MAX && is_plain(name) {
        return Cow::Borrowed(name);
    }
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    let plain: String = name.chars().take(TOOL_NAME_BYTES_MAX).map(fits).collect();
    Cow::Owned(if plain.is_empty() { "unknown".to_owned() } else { plain })
}

/// The arguments if they are a JSON object, else an object that holds them as text.
fn object(arguments: &str) -> Cow<'_, str> {
    let text = arguments.trim();
    if text.is_empty() {
        return Cow::Borrowed("{}");
    }
    if text.starts_with('{') && is_json(text) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(serde_json::json!({ "invalid_arguments": arguments }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_core::CallId;
    use harness_core::item::{ModelRef, ToolResult};

    /// A wire that can be read.
    struct Plain;
    impl WriteConversation for Plain {
        fn user(&self, text: &str, out: &mut Writer) {
            out.raw(&format!("user({text}) "))
        }
        fn assistant(&self, parts: &[SentPart<'_>], out: &mut Writer) {
            for part in parts {
                match part {
                    SentPart::Text(text) => out.raw(&format!("text({text}) ")),
                    SentPart::Reasoning { text, .. } => out.raw(&format!("reasoning({text}) ")),
                    SentPart::Call { id, name, arguments } => out.raw(&format!("call({id},{name},{arguments}) ")),
                }
            }
        }
        fn result(&self, id: &str, text: &str, is_error: bool, out: &mut Writer) {
            out.raw(&format!("result({id},{},{is_error}) ", text.split(':').next().unwrap_or_default()));
        }
        fn close(&self, out: &mut Writer) {
            out.raw("end")
        }
    }

    fn user(text: &str) -> Item {
        Item::User { text: text.to_owned() }
    }
    fn assistant(parts: Vec<AssistantPart>) -> Item {
        Item::Assistant { model: ModelRef { provider: "own".into(), name: "m".into() }, parts }
    }
    fn call(id: &str, tool: &str, arguments: &str) -> AssistantPart {
        AssistantPart::ToolCall { provider_call: id.into(), tool: tool.into(), arguments: arguments.into() }
    }
    fn said(text: &str) -> AssistantPart {
        AssistantPart::Text { text: text.into() }
    }
    fn thought(text: &str) -> AssistantPart {
        AssistantPart::Reasoning { text: text.into(), opaque: Some(Value::Null) }
    }
    fn results(list: &[(&str, &str)]) -> Item {
        let results = list.iter().map(|(id, text)| ToolResult {
            call: CallId::from_bits(1),
            provider_call: (*id).into(),
            tool: "t".into(),
            text: (*text).into(),
            is_error: false,
        });
        Item::ToolResults { results: results.collect() }
    }
    fn written(own: &str, items: &[Item]) -> String {
        let mut conversation = Conversation::default();
        for item in items {
            conversation.push(own, &Plain, item);
        }
        let tail = conversation.tail(&Plain);
        let body = conversation.writer.body(bytes::Bytes::new(), None, tail.into());
        String::from_utf8(body.into_vec()).unwrap()
    }

    #[test]
    fn every_call_has_one_result_right_after_it() {
        let calls = || assistant(vec![call("a", "t", "{}"), call("b", "t", "{}")]);
        let two = "call(a,t,{}) call(b,t,{}) ";
        for (items, expected) in [
            (
                vec![calls(), results(&[("a", "1"), ("b", "2")])],
                format!("{two}result(a,1,false) result(b,2,false) end"),
            ),
            (
                vec![calls(), results(&[("b", "2"), ("a", "1")])],
                format!("{two}result(a,1,false) result(b,2,false) end"),
            ),
            (vec![calls(), results(&[("b", "2")])], format!("{two}result(a,Interrupted,true) result(b,2,false) end")),
            (
                vec![calls(), results(&[("x", "2")]), user("u")],
                format!("{two}result(a,Interrupted,true) result(b,Interrupted,true) user(u) end"),
            ),
            (
                vec![calls(), user("u")],
                format!("{two}result(a,Interrupted,true) result(b,Interrupted,true) user(u) end"),
            ),
            (
                vec![calls(), assistant(vec![said("t")])],
                format!("{two}result(a,Interrupted,true) result(b,Interrupted,true) text(t) end"),
            ),
            (vec![calls()], format!("{two}result(a,Interrupted,true) result(b,Interrupted,true) end")),
            (vec![results(&[("a", "1")]), user("u")], "user(u) end".to_owned()),
            (
                vec![calls(), results(&[("a", " "), ("b", "")])],
                format!("{two}result(a,(no output),false) result(b,(no output),false) end"),
            ),
        ] {
            assert_eq!(written("own", &items), expected);
        }
    }

    #[test]
    fn a_late_result_replaces_the_interrupted_one() {
        let mut conversation = Conversation::default();
        conversation.push("own", &Plain, &assistant(vec![call("a", "t", "{}")]));
        assert_eq!(conversation.tail(&Plain), b"result(a,Interrupted,true) end");
        conversation.push("own", &Plain, &results(&[("a", "1")]));
        assert_eq!(conversation.tail(&Plain), b"end");
    }

    #[test]
    fn what_providers_refuse_is_not_sent() {
        for (parts, expected) in [
            (vec![said(" \n")], "end"),
            (vec![thought("r")], "end"),
            (vec![thought("r"), said("t"), thought("r")], "reasoning(r) text(t) end"),
            (
                vec![said("t"), call("a", "bad name!", "{}")],
                "text(t) call(a,bad_name_,{}) result(a,Interrupted,true) end",
            ),
            (vec![call("a", "", "")], "call(a,unknown,{}) result(a,Interrupted,true) end"),
            (vec![call("a", "t", "[1")], "call(a,t,{\"invalid_arguments\":\"[1\"}) result(a,Interrupted,true) end"),
            (vec![call("a", "t", "[]")], "call(a,t,{\"invalid_arguments\":\"[]\"}) result(a,Interrupted,true) end"),
            (vec![call("a", "t", " {\"x\": 1 } ")], "call(a,t,{\"x\": 1 }) result(a,Interrupted,true) end"),
        ] {
            assert_eq!(written("own", &[assistant(parts)]), expected);
        }
        assert_eq!(written("own", &[user("  ")]), "user((no text)) end");
    }

    #[test]
    fn arguments_that_a_strict_parser_refuses_are_sent_as_text() {
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(1_000), "]".repeat(1_000));
        for arguments in [r#"{"x":"\ud83d"}"#, r#"{"x":"\udc00\ud800"}"#, r#"{"\ud83d":1}"#, r#"{"x":1e999}"#, &deep] {
            let sent = object(arguments);
            let value: Value = serde_json::from_str(&sent).unwrap();
            assert_eq!(value, serde_json::json!({ "invalid_arguments": arguments }));
        }
        let pair = r#"{"x":"\ud83d\ude00"}"#;
        assert_eq!(object(pair), pair);
    }

    #[test]
    fn foreign_parts_are_made_fit_or_left_out() {
        let parts = || vec![thought("r"), said("t"), call("functions.read:0", "t", "{}")];
        assert_eq!(
            written("own", &[assistant(parts())]),
            "reasoning(r) text(t) call(functions.read:0,t,{}) result(functions.read:0,Interrupted,true) end"
        );
        let foreign = written("other", &[assistant(parts()), results(&[("functions.read:0", "1")])]);
        let id = hashed_id("functions.read:0");
        assert_eq!(foreign, format!("text(t) call({id},t,{{}}) result({id},1,false) end"));
        assert!(is_plain(&id) && id.len() <= CALL_ID_BYTES_MAX);
    }

    #[test]
    fn equal_ids_in_one_message_are_told_apart() {
        let text = written(
            "own",
            &[assistant(vec![call("a", "t", "{}"), call("a", "t", "{}")]), results(&[("a", "1"), ("a", "2")])],
        );
        let ids: Vec<&str> = text.split("result(").skip(1).filter_map(|rest| rest.split(',').next()).collect();
        assert_eq!(ids.len(), 2);
        assert_ne!(ids[0], ids[1]);
        assert!(text.contains(",1,false) ") && text.contains(",2,false) "), "{text}");
    }
}
