//! From the engine's values to JSON: the normal form, which `arguments` reads back to the same value.
//!
//! Promise: a value that is not of its type is an error, never a panic.

use super::types::{SAFE_INTEGER_MAX, ValueType};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use wasmtime::component::Val;

/// The JSON of a value; none where the value is not of the type.
pub(crate) fn json(ty: &ValueType, value: &Val) -> Option<Value> {
    Some(match (ty, value) {
        (ValueType::Bool, Val::Bool(value)) => Value::Bool(*value),
        (ValueType::Integer(_), value) => integer(value)?,
        (ValueType::F32, Val::Float32(number)) => float32(*number),
        (ValueType::F64, Val::Float64(number)) => float64(*number),
        (ValueType::Char, Val::Char(character)) => Value::String(character.to_string()),
        (ValueType::String, Val::String(text)) => Value::String(text.clone()),
        (ValueType::Bytes, Val::List(values)) => {
            let byte = |value: &Val| if let Val::U8(byte) = value { Some(*byte) } else { None };
            let bytes: Option<Vec<u8>> = values.iter().map(byte).collect();
            Value::String(STANDARD.encode(bytes?))
        }
        (ValueType::List(element), Val::List(values))
        | (ValueType::FixedList(element, _), Val::FixedLengthList(values)) => {
            Value::Array(values.iter().map(|value| json(element, value)).collect::<Option<_>>()?)
        }
        (ValueType::Map(key, ty), Val::Map(entries)) => map(key, ty, entries)?,
        (ValueType::Record(fields), Val::Record(values)) if fields.len() == values.len() => {
            let field = |((name, ty), (_, value)): (&(String, ValueType), &(String, Val))| {
                Some((name.clone(), json(ty, value)?))
            };
            Value::Object(fields.iter().zip(values).map(field).collect::<Option<_>>()?)
        }
        (ValueType::Tuple(types), Val::Tuple(values)) if types.len() == values.len() => {
            Value::Array(types.iter().zip(values).map(|(ty, value)| json(ty, value)).collect::<Option<_>>()?)
        }
        (ValueType::Variant(cases), Val::Variant(name, payload)) => {
            match (&cases.iter().find(|(case, _)| case == name)?.1, payload) {
                (None, None) => Value::String(name.clone()),
                (Some(ty), Some(value)) => one_field(name, json(ty, value)?),
                _ => return None,
            }
        }
        (ValueType::Enum(_), Val::Enum(name)) => Value::String(name.clone()),
        (ValueType::Flags(names), Val::Flags(set)) => {
            // In their declared order.
            names.iter().filter(|name| set.contains(name)).map(|name| Value::String(name.clone())).collect()
        }
        (ValueType::Option(_), Val::Option(None)) => Value::Null,
        (ValueType::Option(some), Val::Option(Some(value))) => match **some {
            ValueType::Option(_) => one_field("some", json(some, value)?),
            _ => json(some, value)?,
        },
        (ValueType::Result(ok, _), Val::Result(Ok(value))) => {
            one_field("ok", payload(ok.as_deref(), value.as_deref())?)
        }
        (ValueType::Result(_, err), Val::Result(Err(value))) => {
            one_field("err", payload(err.as_deref(), value.as_deref())?)
        }
        _ => return None,
    })
}

/// The JSON of what a case carries: null where it carries nothing.
pub(crate) fn payload(ty: Option<&ValueType>, value: Option<&Val>) -> Option<Value> {
    match (ty, value) {
        (None, None) => Some(Value::Null),
        (Some(ty), Some(value)) => json(ty, value),
        _ => None,
    }
}

fn one_field(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

fn map(key: &ValueType, ty: &ValueType, entries: &[(Val, Val)]) -> Option<Value> {
    let pairs = entries.iter().map(|(name, value)| Some((json(key, name)?, json(ty, value)?)));
    if *key != ValueType::String {
        return pairs.map(|pair| pair.map(|(key, value)| json!([key, value]))).collect();
    }
    let fields = pairs
        .map(|pair| pair.and_then(|(key, value)| if let Value::String(key) = key { Some((key, value)) } else { None }));
    fields.collect::<Option<_>>().map(Value::Object)
}

fn integer(value: &Val) -> Option<Value> {
    Some(match value {
        Val::S8(number) => json!(number),
        Val::U8(number) => json!(number),
        Val::S16(number) => json!(number),
        Val::U16(number) => json!(number),
        Val::S32(number) => json!(number),
        Val::U32(number) => json!(number),
        Val::S64(number) if number.unsigned_abs() <= SAFE_INTEGER_MAX.unsigned_abs() => json!(number),
        Val::S64(number) => Value::String(number.to_string()),
        Val::U64(number) if *number <= SAFE_INTEGER_MAX.unsigned_abs() => json!(number),
        Val::U64(number) => Value::String(number.to_string()),
        _ => return None,
    })
}

/// The shortest decimal that reads back as the same f32: `0.1`, not `0.10000000149011612`.
fn float32(number: f32) -> Value {
    match number.to_string().parse() {
        Ok(shortest) if number.is_finite() => float64(shortest),
        _ => float64(f64::from(number)),
    }
}

fn float64(number: f64) -> Value {
    match serde_json::Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => Value::String("NaN".to_owned()),
        None if number > 0.0 => Value::String("Infinity".to_owned()),
        None => Value::String("-Infinity".to_owned()),
    }
}
