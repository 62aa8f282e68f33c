//! The JSON schema of a configuration file.
//!
//! Promise: it is made from the types that files are read into, and files are checked against it, so
//! schema, check and reading cannot disagree. TOML has no null, so the schema has none either.
//!
//! Not here: the check itself (`check`).

use crate::raw::RawConfig;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;
use std::sync::LazyLock;

static SCHEMA: LazyLock<Value> = LazyLock::new(schema_of::<RawConfig>);

/// The schema of a file that is read into a type.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    tidy(&mut schema);
    schema
}

/// The JSON schema (draft 2020-12) of a configuration file, for editors and for `config schema`.
pub fn json_schema() -> Value {
    SCHEMA.clone()
}

/// The same, without a copy.
pub(crate) fn schema() -> &'static Value {
    &SCHEMA
}

/// Takes out what Rust's types bring along and TOML does not have: nulls, defaults that only say
/// "empty", and names of integer widths.
fn tidy(schema: &mut Value) {
    if let Value::Object(object) = schema {
        unwrap_nullable(object);
        object.remove("format");
        object.remove("default");
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|kind| kind != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                object.insert("type".to_owned(), only);
            }
        }
        object.values_mut().for_each(tidy);
    } else if let Value::Array(items) = schema {
        items.iter_mut().for_each(tidy);
    }
}

/// Turns "this or null" into "this", with the description of the place and not of the type.
fn unwrap_nullable(object: &mut serde_json::Map<String, Value>) {
    let Some(Value::Array(choices)) = object.get_mut("anyOf") else { return };
    choices.retain(|choice| choice.get("type") != Some(&Value::from("null")));
    let [Value::Object(only)] = choices.as_slice() else { return };
    let only = only.clone();
    object.remove("anyOf");
    for (key, value) in only {
        object.entry(key).or_insert(value);
    }
}
