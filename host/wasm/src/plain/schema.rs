//! The JSON Schema (2020-12) of a function's arguments.
//!
//! Promise: it accepts exactly the JSON that `arguments` takes, but for what only looking at a value can tell:
//! whether base64 is sound, whether a number of 64 bits fits, whether a map's key is there twice.

use super::types::{Integer, SAFE_INTEGER_MAX, Signature, ValueType};
use serde_json::{Map, Value, json};

/// The schema of one object with the parameters as its fields. `described` gives what the author says of each.
pub(crate) fn parameters(signature: &Signature, described: impl Fn(&str) -> Option<String>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, ty) in &signature.parameters {
        let mut schema = of(ty);
        if let (Some(words), Some(fields)) = (described(name), schema.as_object_mut()) {
            fields.insert("description".to_owned(), words.into());
        }
        properties.insert(name.clone(), schema);
        if !matches!(ty, ValueType::Option(_)) {
            required.push(name.clone());
        }
    }
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// The schema of one value.
pub(crate) fn of(ty: &ValueType) -> Value {
    match ty {
        ValueType::Bool => json!({ "type": "boolean" }),
        ValueType::Integer(integer) => self::integer(*integer),
        ValueType::F32 | ValueType::F64 => json!({ "type": ["number", "string"], "pattern": "^(NaN|-?Infinity)$" }),
        ValueType::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        ValueType::String => json!({ "type": "string" }),
        ValueType::Bytes => json!({
            "type": ["string", "array"],
            "contentEncoding": "base64",
            "items": { "type": "integer", "minimum": 0, "maximum": 255 },
        }),
        ValueType::List(element) => json!({ "type": "array", "items": of(element) }),
        ValueType::FixedList(element, length) => {
            json!({ "type": "array", "items": of(element), "minItems": length, "maxItems": length })
        }
        ValueType::Map(key, value) if **key == ValueType::String => {
            json!({ "type": "object", "additionalProperties": of(value) })
        }
        ValueType::Map(key, value) => json!({ "type": "array", "items": pair([of(key), of(value)].to_vec()) }),
        ValueType::Record(fields) => record(fields),
        ValueType::Tuple(types) => pair(types.iter().map(of).collect()),
        ValueType::Variant(cases) => variant(cases),
        ValueType::Enum(cases) => json!({ "type": "string", "enum": cases }),
        ValueType::Flags(names) => {
            json!({ "type": "array", "items": { "type": "string", "enum": names }, "uniqueItems": true })
        }
        ValueType::Option(some) if matches!(**some, ValueType::Option(_)) => {
            json!({ "anyOf": [one_field("some", of(some)), { "type": "null" }] })
        }
        ValueType::Option(some) => nullable(of(some)),
        ValueType::Result(ok, err) => {
            let payload = |ty: &Option<Box<ValueType>>| ty.as_deref().map_or_else(|| json!({ "type": "null" }), of);
            json!({ "anyOf": [one_field("ok", payload(ok)), one_field("err", payload(err))] })
        }
    }
}

fn integer(integer: Integer) -> Value {
    if integer.is_wide() {
        let (minimum, pattern) = match integer {
            Integer::S64 => (-SAFE_INTEGER_MAX, "^-?[0-9]{1,19}$"),
            _ => (0, "^[0-9]{1,20}$"),
        };
        return json!({
            "type": ["integer", "string"], "minimum": minimum, "maximum": SAFE_INTEGER_MAX, "pattern": pattern,
        });
    }
    json!({ "type": "integer", "minimum": integer.minimum(), "maximum": integer.maximum() })
}

fn record(fields: &[(String, ValueType)]) -> Value {
    let properties: Map<_, _> = fields.iter().map(|(name, ty)| (name.clone(), of(ty))).collect();
    let is_required = |(name, ty): &(String, ValueType)| (!matches!(ty, ValueType::Option(_))).then(|| name.clone());
    let required: Vec<_> = fields.iter().filter_map(is_required).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn pair(types: Vec<Value>) -> Value {
    let length = types.len();
    json!({ "type": "array", "prefixItems": types, "items": false, "minItems": length, "maxItems": length })
}

fn variant(cases: &[(String, Option<ValueType>)]) -> Value {
    let bare: Vec<_> = cases.iter().filter(|(_, ty)| ty.is_none()).map(|(name, _)| name).collect();
    let mut forms = Vec::new();
    if !bare.is_empty() {
        forms.push(json!({ "type": "string", "enum": bare }));
    }
    forms.extend(cases.iter().filter_map(|(name, ty)| Some(one_field(name, of(ty.as_ref()?)))));
    json!({ "anyOf": forms })
}

fn one_field(name: &str, schema: Value) -> Value {
    let properties = Map::from_iter([(name.to_owned(), schema)]);
    json!({ "type": "object", "properties": properties, "required": [name], "additionalProperties": false })
}

/// Adds `null` to what a schema accepts: to its one type where that is all it needs.
fn nullable(mut schema: Value) -> Value {
    let has_enum = schema.get("enum").is_some();
    match schema.get_mut("type") {
        Some(ty @ Value::String(_)) if !has_enum => *ty = json!([ty, "null"]),
        Some(Value::Array(types)) if !has_enum => types.push("null".into()),
        _ => return json!({ "anyOf": [schema, { "type": "null" }] }),
    }
    schema
}
