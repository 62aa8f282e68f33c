//! Checks a parsed file against the schema.
//!
//! Promise: every unknown key, wrong type and value out of range is found in one pass, each with its
//! line and dotted path. What passes here can be read into [`crate::raw::RawConfig`].
//!
//! Not here: what values mean beyond their type and range (`meaning`).

use crate::problem::Fault;
use crate::suggest::nearest;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// A string's value is cut to so many characters where a problem repeats it.
const FOUND_CHARS_MAX: usize = 40;
/// What people call an API key when they try to write it into a file.
const KEY_WORDS: [&str; 7] = ["api-key", "key", "apikey", "token", "secret", "auth-token", "password"];

/// What a pass over one file found.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Line, dotted path and fault of each problem.
    pub(crate) faults: Vec<(usize, String, Fault)>,
    /// Line of each key, by dotted path.
    pub(crate) lines: BTreeMap<String, usize>,
}

/// Checks a whole document against a schema.
pub(crate) fn check(document: &DeTable<'_>, text: &str, root: &Value) -> Checked {
    let mut walk = Walk { lines: LineIndex::new(text), root, checked: Checked::default() };
    if let Some(schema) = root.as_object() {
        walk.table(document, schema, "", 1);
    }
    walk.checked.faults.sort_by_key(|(line, _, _)| *line);
    walk.checked
}

/// Appends a key to a dotted path, quoted where TOML would need it.
pub(crate) fn join(path: &str, key: &str) -> String {
    let is_bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let key = if is_bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// Finds lines by byte offset.
pub(crate) struct LineIndex(Vec<usize>);

impl LineIndex {
    /// Notes where lines end.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    /// The line of an offset, from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

struct Walk<'a> {
    lines: LineIndex,
    root: &'a Value,
    checked: Checked,
}

impl Walk<'_> {
    fn fault(&mut self, line: usize, path: &str, fault: Fault) {
        self.checked.faults.push((line, path.to_owned(), fault));
    }

    fn table(&mut self, table: &DeTable<'_>, schema: &Map<String, Value>, path: &str, line: usize) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties").and_then(Value::as_object);
        for (key, value) in table {
            let name: &str = key.get_ref();
            let key_path = join(path, name);
            let key_line = self.lines.line(key.span().start);
            self.checked.lines.insert(key_path.clone(), key_line);
            let known = properties.and_then(|known| known.get(name)).and_then(Value::as_object);
            match known.or(others) {
                Some(schema) => self.value(value.get_ref(), schema, &key_path, key_line),
                None => self.fault(key_line, &key_path, unknown_key(name, properties, self.root)),
            }
        }
        let required = schema.get("required").and_then(Value::as_array);
        for key in required.into_iter().flatten().filter_map(Value::as_str) {
            if !table.keys().any(|present| present.get_ref() == key) {
                self.fault(line, path, Fault::Missing { key: key.to_owned() });
            }
        }
    }

    fn value(&mut self, value: &DeValue<'_>, schema: &Map<String, Value>, path: &str, line: usize) {
        let words = words(schema);
        let expected =
            if words.is_empty() { schema.get("type").and_then(Value::as_str).unwrap_or("object") } else { "string" };
        let fault = match (expected, value) {
            ("object", DeValue::Table(table)) => return self.table(table, schema, path, line),
            ("array", DeValue::Array(items)) => return self.array(items, schema, path),
            ("string", DeValue::String(text)) if words.is_empty() => text_fault(text, schema),
            ("string", DeValue::String(text)) => word_fault(text, words),
            ("integer" | "number", DeValue::Integer(number)) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix()).ok();
                range_fault(parsed.map(|number| number as f64), &number.to_string(), schema)
            }
            ("number", DeValue::Float(number)) => range_fault(number.as_str().parse().ok(), number.as_str(), schema),
            ("boolean", DeValue::Boolean(_)) => None,
            _ => Some(Fault::WrongType { expected: toml_word(expected), found: found_word(value) }),
        };
        if let Some(fault) = fault {
            self.fault(line, path, fault);
        }
    }

    fn array(&mut self, items: &DeArray<'_>, schema: &Map<String, Value>, path: &str) {
        let Some(item_schema) = schema.get("items").and_then(Value::as_object) else { return };
        for (index, item) in items.iter().enumerate() {
            let item_path = format!("{path}[{}]", index + 1);
            let line = self.lines.line(Spanned::span(item).start);
            self.checked.lines.insert(item_path.clone(), line);
            self.value(item.get_ref(), item_schema, &item_path, line);
        }
    }
}

/// The words a value may be, when it is one of a list.
fn words(schema: &Map<String, Value>) -> Vec<String> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let described = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let described = described.flat_map(|choice| {
        let several = choice.get("enum").and_then(Value::as_array).into_iter().flatten();
        choice.get("const").into_iter().chain(several)
    });
    listed.chain(described).filter_map(Value::as_str).map(str::to_owned).collect()
}

fn unknown_key(name: &str, properties: Option<&Map<String, Value>>, root: &Value) -> Fault {
    let Some(properties) = properties else { return Fault::UnknownKey { suggestion: None } };
    let plain = name.to_ascii_lowercase().replace('_', "-");
    if properties.contains_key("key-env") && KEY_WORDS.contains(&plain.as_str()) {
        return Fault::KeyInConfig;
    }
    if properties.contains_key("keyring") && (KEY_WORDS.contains(&plain.as_str()) || plain == "value") {
        return Fault::SecretInConfig;
    }
    let near = nearest(name, properties.keys().map(String::as_str)).map(str::to_owned);
    Fault::UnknownKey { suggestion: near.or_else(|| elsewhere(&plain, root)) }
}

/// A key that exists in one of the top-level tables and was written outside of it.
fn elsewhere(name: &str, root: &Value) -> Option<String> {
    let top = root.get("properties")?.as_object()?;
    if top.contains_key(name) {
        return Some(name.to_owned());
    }
    top.iter().find_map(|(table, schema)| {
        let inner = schema.get("properties")?.as_object()?;
        inner.contains_key(name).then(|| join(table, name))
    })
}

fn word_fault(text: &str, words: Vec<String>) -> Option<Fault> {
    if words.iter().any(|word| word == text) {
        return None;
    }
    let suggestion = nearest(text, words.iter().map(String::as_str)).map(str::to_owned);
    let found = text.chars().take(FOUND_CHARS_MAX).collect();
    Some(Fault::NotOneOf { found, expected: words, suggestion })
}

fn text_fault(text: &str, schema: &Map<String, Value>) -> Option<Fault> {
    let chars = text.chars().count() as u64;
    let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
    let (min, max) = (bound("minLength").unwrap_or(0), bound("maxLength").unwrap_or(u64::MAX));
    (chars < min || chars > max).then(|| Fault::OutOfRange {
        unit: " characters",
        min: min.to_string(),
        max: max.to_string(),
        found: chars.to_string(),
    })
}

/// Bounds are far below the integers that a double cannot hold exactly.
fn range_fault(number: Option<f64>, found: &str, schema: &Map<String, Value>) -> Option<Fault> {
    let bound = |key: &str| schema.get(key);
    let (min, max) = (bound("minimum")?, bound("maximum")?);
    let good = number.is_some_and(|number| {
        min.as_f64().is_some_and(|min| number >= min) && max.as_f64().is_some_and(|max| number <= max)
    });
    (!good).then(|| Fault::OutOfRange {
        unit: "",
        min: min.to_string(),
        max: max.to_string(),
        found: found.chars().take(FOUND_CHARS_MAX).collect(),
    })
}

fn toml_word(kind: &str) -> &'static str {
    match kind {
        "object" => "a table",
        "array" => "an array",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "true or false",
        _ => "a string",
    }
}

fn found_word(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// Whether a text is a sha256 digest as OCI writes it.
pub(crate) fn is_digest(text: &str) -> bool {
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.chars().all(is_hex))
}
