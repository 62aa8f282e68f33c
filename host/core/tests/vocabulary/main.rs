//! The vocabulary's own page and schemas, made from the types and their doc comments: `host/EVENTS.md`,
//! `core/events.schema.json` and `core/display.schema.json`. `BLESS=1` writes them anew.
//!
//! Promise: what is written there is what the code says, and what the golden logs and random sessions hold fits it.
//!
//! Not here: what follows from an input (`tests/decide`).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod facts;
mod page;

use harness_core::display::DisplayState;
use harness_core::{CORE_VERSION, Event, Header};
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The schema of a line of a log as it is shown: a header and, beside it, what happened.
pub(crate) fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let (header, event) = (generator.subschema_for::<Header>(), generator.subschema_for::<Event>());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "LoggedEvent",
        "description": "An event of a session with its header. An erased event has null in place of what happened.",
        "allOf": [header, {
            "type": "object",
            "properties": { "event": { "anyOf": [event, { "type": "null" }] } },
            "required": ["event"],
        }],
        "$defs": generator.take_definitions(true),
    })
}

/// Compares a generated text with the file that holds it; with `BLESS` set, writes the file first.
fn hold(name: &str, text: &str) {
    let path = path(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let held = std::fs::read_to_string(&path).unwrap_or_default();
    let difference = held.lines().zip(text.lines()).position(|(held, made)| held != made);
    let command = "BLESS=1 cargo test -p harness-core --test vocabulary";
    assert!(held == text, "{name} is stale from line {:?} on: run `{command}`", difference.map(|line| line + 1));
}

fn pretty(schema: &Value) -> String {
    serde_json::to_string_pretty(schema).unwrap() + "\n"
}

/// The golden logs' lines: core version, kind, payload.
fn golden_lines() -> Vec<(u32, Value, Value)> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(path("../../tests/golden/v1")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let read = |name: &str| line[name].as_str().map(|text| serde_json::from_str(text).unwrap());
            if let (Some(header), Some(payload)) = (read("header"), read("payload")) {
                let header: Value = header;
                lines.push((u32::try_from(header["core"].as_u64().unwrap()).unwrap(), header, payload));
            }
        }
    }
    assert!(lines.len() > 100, "the golden logs were not found");
    lines
}

/// The core version that a kind is first seen with in the golden logs; those of no log are this version's.
fn since() -> BTreeMap<String, u32> {
    let mut since = BTreeMap::new();
    for (core, header, _) in golden_lines() {
        let first = since.entry(header["kind"].as_str().unwrap().to_owned()).or_insert(core);
        *first = core.min(*first);
    }
    since
}

#[test]
fn the_schema_is_that_of_the_types() {
    hold("events.schema.json", &pretty(&schema()));
}

#[test]
fn the_schema_of_a_screen_is_that_of_the_types() {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<DisplayState>();
    hold("display.schema.json", &pretty(&schema.to_value()));
}

#[test]
fn the_page_is_that_of_the_types() {
    let since = since();
    let of = |kind: &str| since.get(kind).copied().unwrap_or(CORE_VERSION);
    hold("../EVENTS.md", &page::page(&schema(), of));
}

#[test]
fn every_line_of_a_golden_log_fits_the_schema_and_what_differs_does_not() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for (_, header, payload) in golden_lines() {
        let mut line = header;
        line["event"] = payload;
        if let Err(error) = validator.validate(&line) {
            panic!("{line}: {error}");
        }
        for (name, wrong) in [("sequence", json!("1")), ("payload", json!("sha256:0")), ("event", json!({"kind": "?"}))]
        {
            let mut other = line.clone();
            other[name] = wrong;
            assert!(!validator.is_valid(&other), "{name}: {other}");
        }
    }
}

#[test]
fn facts_of_others_are_mapped_to_kinds_that_exist() {
    let kinds: Vec<String> = page::kinds(&schema()).into_iter().map(|kind| kind.name).collect();
    assert!(facts::MASTRA.len() == 52 && facts::ANTHROPIC.len() == 37, "each of theirs is there");
    for (name, ours) in facts::MASTRA.iter().chain(facts::ANTHROPIC) {
        let mut named = ours.split('`').skip(1).step_by(2).peekable();
        assert!(named.peek().is_some() || *ours == facts::NOT_YET || ours.starts_with("does not apply: "), "{name}");
        for ours in named {
            let kind = ours.split('.').next().unwrap();
            let is_known = kinds.iter().any(|it| it == kind) || facts::STREAM_ONLY.iter().any(|(it, _)| *it == kind);
            assert!(is_known, "{name} is mapped to `{ours}`, which is none of ours");
        }
    }
}
