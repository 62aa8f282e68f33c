//! The page of all events, written from their schema.
//!
//! Promise: every kind, every field and every type that they are made of is on it, in the words of the doc comments.

use crate::facts;
use harness_core::CORE_VERSION;
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// A kind of event.
pub(crate) struct Kind {
    pub(crate) name: String,
    is_input: bool,
    words: String,
    fields: Vec<Field>,
}

struct Field {
    name: String,
    kind: String,
    words: String,
}

/// A doc comment on one line, safe in a table.
fn words(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn linked(name: &str) -> String {
    format!("[{name}](#{})", name.to_lowercase())
}

/// A type in words.
fn kind_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        return linked(name.rsplit('/').next().unwrap());
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let of = any.iter().find(|it| it["type"] != "null").map(kind_of).unwrap_or_default();
        return format!("{of}, or none");
    }
    let list = |schema: &Value| format!("list of {}", kind_of(&schema["items"]));
    match &schema["type"] {
        Value::String(word) if word == "array" => list(schema),
        Value::String(word) => word.clone(),
        Value::Array(words) if words[0] == "array" => list(schema) + ", or none",
        Value::Array(words) => format!("{}, or none", words[0].as_str().unwrap()),
        _ => "any JSON".to_owned(),
    }
}

fn fields(schema: &Value, tag: Option<&str>) -> Vec<Field> {
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let of = |(name, schema): (&String, &Value)| {
        let kind = schema["const"].as_str().map_or_else(|| kind_of(schema), |word| format!("`{word}`"));
        Field { name: name.clone(), kind, words: words(schema) }
    };
    properties.iter().filter(|(name, _)| Some(name.as_str()) != tag).map(of).collect()
}

/// All kinds of events, in the order of the source.
pub(crate) fn kinds(schema: &Value) -> Vec<Kind> {
    let of = |variant: &Value| {
        let told = words(variant);
        let after = told.strip_prefix("Input: ");
        let mut text = after.unwrap_or(&told).to_owned();
        if let Some(first) = text.get(..1) {
            text = first.to_uppercase() + &text[1..];
        }
        let name = variant["properties"]["kind"]["const"].as_str().unwrap().to_owned();
        Kind { name, is_input: after.is_some(), words: text, fields: fields(variant, Some("kind")) }
    };
    schema["$defs"]["Event"]["oneOf"].as_array().unwrap().iter().map(of).collect()
}

fn table(page: &mut String, fields: &[Field]) {
    if fields.is_empty() {
        return;
    }
    page.push_str("\n| field | type | meaning |\n|---|---|---|\n");
    for Field { name, kind, words } in fields {
        writeln!(page, "| `{name}` | {kind} | {words} |").unwrap();
    }
}

/// A type that events are made of.
fn part(page: &mut String, name: &str, schema: &Value) {
    write!(page, "\n### {name}\n\n{}\n", words(schema)).unwrap();
    let Some(variants) = schema["oneOf"].as_array() else {
        table(page, &fields(schema, None));
        if schema["properties"].is_null() {
            writeln!(page, "\nWritten as: {}.", kind_of(schema)).unwrap();
        }
        return;
    };
    page.push('\n');
    for variant in variants {
        if let Some(word) = variant["const"].as_str() {
            writeln!(page, "- `{word}`: {}", words(variant)).unwrap();
            continue;
        }
        let all = fields(variant, None);
        let tag = all.iter().find(|field| field.kind.starts_with('`'));
        let (tag, word) = tag.map_or(("", ""), |field| (field.name.as_str(), field.kind.as_str()));
        writeln!(page, "- `{tag}` {word}: {}", words(variant)).unwrap();
        for Field { name, kind, words } in all.iter().filter(|field| field.name != tag) {
            writeln!(page, "  - `{name}` ({kind}): {words}").unwrap();
        }
    }
}

const OPENING: &str = "# Events

Every fact that a session's log can hold. Written by a test of `core` from the types and their doc comments
(`BLESS=1 cargo test -p harness-core --test vocabulary`); the same as a JSON schema: [events.schema.json](core/events.schema.json).

An **input** came from outside: a person, a model, a hand, a hook, the clock. A **derived** event follows from the input before it
that its header names as its cause. An input and all that derives from it are appended together or not at all. A released
shape does not change: new fields have a default, and other meanings are new kinds.

On disk, on screen and on the wire it is the same: a header, and beside it, under `event`, an object whose `kind` says
which fact it is. _since_ is the version of the core that wrote the kind first. Fields are listed by name.
";

/// The page.
pub(crate) fn page(schema: &Value, since: impl Fn(&str) -> u32) -> String {
    let mut page = OPENING.to_owned();
    let kinds = kinds(schema);
    writeln!(page, "\nCore version {CORE_VERSION}, {} kinds.\n\n## Header\n", kinds.len()).unwrap();
    writeln!(page, "{}", words(&schema["$defs"]["Header"])).unwrap();
    table(&mut page, &fields(&schema["$defs"]["Header"], None));
    for (title, is_input) in [("Inputs", true), ("Derived events", false)] {
        write!(page, "\n## {title}\n").unwrap();
        for kind in kinds.iter().filter(|kind| kind.is_input == is_input) {
            let origin = if is_input { "input" } else { "derived" };
            write!(page, "\n### `{}`\n\n_{origin}, since core {}_ · {}\n", kind.name, since(&kind.name), kind.words)
                .unwrap();
            table(&mut page, &kind.fields);
        }
    }
    page.push_str("\n## Told and not logged\n\nThese come between events to whoever subscribes. They may be missed; no state depends on them.\n\n");
    for (name, words) in facts::STREAM_ONLY {
        writeln!(page, "- `{name}`: {words}.").unwrap();
    }
    page.push_str("\n## Types\n");
    for (name, schema) in schema["$defs"].as_object().unwrap() {
        if name != "Event" && name != "Header" {
            part(&mut page, name, schema);
        }
    }
    page.push_str("\n## Facts of others\n\nWhere what others' events tell is found here.\n");
    let tables = [("Mastra, `AgentControllerEvent`", facts::MASTRA), ("Anthropic, Managed Agents", facts::ANTHROPIC)];
    for (title, facts) in tables {
        write!(page, "\n### {title}\n\n| theirs | ours |\n|---|---|\n").unwrap();
        for (theirs, ours) in facts {
            writeln!(page, "| `{theirs}` | {ours} |").unwrap();
        }
    }
    page
}
