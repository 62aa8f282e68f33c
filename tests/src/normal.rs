//! What differs from run to run, replaced by names that do not.
//!
//! Promise: the same thing gets the same name throughout one text or several that share a [`Names`];
//! nothing else is touched.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Prefixes of ids, and how long the rest is.
const ID_PREFIXES: &[&str] = &["ses_", "call_", "turn_", "apr_"];
/// Characters of an id after its prefix.
const ID_CHARS: usize = 26;
/// Hexadecimal digits of a digest.
const DIGEST_CHARS: usize = 64;
/// An event's line is cut beyond this many characters.
const EVENT_CHARS_MAX: usize = 600;

/// Names for ids, in order of appearance, and for places.
#[derive(Debug, Clone, Default)]
pub struct Names {
    ids: BTreeMap<String, String>,
    counts: BTreeMap<&'static str, usize>,
    places: Vec<(String, String)>,
}

impl Names {
    /// Names for these texts, such as paths and addresses.
    pub fn new(places: &[(String, &str)]) -> Self {
        let mut places: Vec<_> = places.iter().map(|(text, name)| (text.clone(), (*name).to_owned())).collect();
        // A place inside another goes first.
        places.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Self { places, ..Self::default() }
    }

    /// A text with ids, digests, times and places replaced.
    pub fn text(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (place, name) in &self.places {
            text = text.replace(place, name);
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let (taken, replaced) = self.token(rest).unwrap_or_else(|| (first.len_utf8(), first.to_string()));
            out.push_str(&replaced);
            rest = &rest[taken..];
        }
        out
    }

    /// What stands at the beginning, if it has to be replaced: its bytes and its replacement.
    fn token(&mut self, text: &str) -> Option<(usize, String)> {
        for prefix in ID_PREFIXES {
            let Some(rest) = text.strip_prefix(prefix) else { continue };
            let chars = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
            if chars == ID_CHARS {
                let length = prefix.len() + ID_CHARS;
                return Some((length, self.id(&text[..length], prefix)));
            }
        }
        if let Some(rest) = text.strip_prefix("sha256:") {
            let chars = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
            return (chars == DIGEST_CHARS).then(|| ("sha256:".len() + DIGEST_CHARS, "sha256:…".to_owned()));
        }
        // 2026-11-21T07:40:57Z
        let shape = |text: &str| {
            text.bytes().map(|byte| if byte.is_ascii_digit() { '0' } else { char::from(byte) }).collect::<String>()
        };
        let time = text.get(..20).filter(|time| shape(time) == "0000-00-00T00:00:00Z");
        time.map(|time| (time.len(), "<time>".to_owned()))
    }

    fn id(&mut self, id: &str, prefix: &&'static str) -> String {
        if let Some(name) = self.ids.get(id) {
            return name.clone();
        }
        let count = self.counts.entry(prefix).or_default();
        *count += 1;
        let name = format!("{prefix}{count}");
        self.ids.insert(id.to_owned(), name.clone());
        name
    }

    /// The events of a log, one line each: sequence numbers, times, salts and measurements left out.
    pub fn events(&mut self, events: &[Value]) -> String {
        let lines: Vec<String> = in_steady_order(events).iter().map(|event| self.event(event)).collect();
        lines.join("\n") + "\n"
    }

    fn event(&mut self, logged: &Value) -> String {
        let kind = logged["kind"].as_str().unwrap_or_default();
        let mut fields = logged["event"].as_object().cloned().unwrap_or_default();
        for volatile in ["kind", "entropy", "time_ms", "host"] {
            fields.remove(volatile);
        }
        match kind {
            "call_reported" => {
                fields.remove("usage");
                without_inputs(&mut fields);
            }
            "retry_scheduled" if fields["asked_by_provider"] == Value::Bool(false) => {
                fields.remove("delay_ms");
            }
            "session_opened" => short_context(&mut fields),
            "mode_entered" => {
                fields.remove("text");
            }
            "policy_answered" => without_fuel(&mut fields),
            _ => {}
        }
        let text = self.text(&Value::Object(fields).to_string());
        let mut line = format!("{kind} {text}");
        if line.chars().count() > EVENT_CHARS_MAX {
            line = line.chars().take(EVENT_CHARS_MAX).chain("…".chars()).collect();
        }
        line
    }
}

/// Time and chance differ from run to run.
fn without_inputs(fields: &mut Map<String, Value>) {
    let Some(record) = fields.get_mut("record").and_then(Value::as_object_mut) else { return };
    record.remove("inputs");
    if record.is_empty() {
        fields.remove("record");
    }
}

/// Fuel differs from build to build of a component.
fn without_fuel(fields: &mut Map<String, Value>) {
    for answer in fields.get_mut("answers").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(answer) = answer.as_object_mut() {
            answer.remove("fuel");
        }
    }
}

/// Of what the model is told, the parts that scenarios are about.
fn short_context(fields: &mut Map<String, Value>) {
    if let Some(context) = fields.get_mut("context").and_then(Value::as_object_mut) {
        context.remove("system");
        for list in ["tools", "modes"] {
            let all = context.get(list).and_then(Value::as_array);
            let names = all.into_iter().flatten().map(|one| one["name"].clone()).collect();
            context.insert(list.to_owned(), Value::Array(names));
        }
    }
}

/// Calls that run at once report in any order: within a stretch of events about calls, each call's own
/// events come together, calls in the order in which they were asked for.
fn in_steady_order(events: &[Value]) -> Vec<Value> {
    let mut order: BTreeMap<String, usize> = BTreeMap::new();
    let mut ordered: Vec<Value> = Vec::with_capacity(events.len());
    let mut stretch: Vec<(usize, Value)> = Vec::new();
    for event in events {
        match event["event"]["call"].as_str() {
            Some(call) => {
                let next = order.len();
                stretch.push((*order.entry(call.to_owned()).or_insert(next), event.clone()));
            }
            None => {
                stretch.sort_by_key(|(at, _)| *at);
                ordered.extend(stretch.drain(..).map(|(_, event)| event));
                ordered.push(event.clone());
            }
        }
    }
    stretch.sort_by_key(|(at, _)| *at);
    ordered.extend(stretch.into_iter().map(|(_, event)| event));
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_from_run_to_run_is_replaced() {
        let mut names = Names::new(&[("/tmp/x".to_owned(), "$A"), ("/tmp/x/y".to_owned(), "$B")]);
        let id = |last: char| format!("call_{}{last}", "0".repeat(25));
        let text = format!(
            "{} {} {} /tmp/x/y/z /tmp/x sha256:{} 2026-11-21T07:40:57Z call_1 2026",
            id('a'),
            id('b'),
            id('a'),
            "f".repeat(64)
        );
        let expected = "call_1 call_2 call_1 $B/z $A sha256:… <time> call_1 2026";
        assert_eq!(names.text(&text), expected);
        assert_eq!(names.text(&id('b')), "call_2");
    }
}
