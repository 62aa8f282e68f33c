//! From JSON to the engine's values, along a function's signature.
//!
//! Promise: what does not fit is an error with the path to it (RFC 6901) and what was expected; no text makes
//! more than [`VALUES_MAX`] values; nothing panics.
//!
//! Not here: the way back (`results`), the schema (`schema`).

use super::types::{Integer, SAFE_INTEGER_MAX, Signature, ValueType};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};
use std::fmt;
use wasmtime::component::Val;

/// Values that the arguments of one call may become; each takes some tens of bytes.
pub(crate) const VALUES_MAX: usize = 1 << 20;
/// What an error repeats of a wrong text, in characters.
const SHOWN_CHARS_MAX: usize = 60;
/// Fields that an error lists.
const LISTED_MAX: usize = 8;

/// Standard alphabet, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Arguments that do not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// Where, as a JSON pointer; empty for the whole.
    path: String,
    /// What was expected and what was there.
    what: String,
}

impl Misfit {
    fn new(what: impl Into<String>) -> Self {
        Self { path: String::new(), what: what.into() }
    }

    fn under(mut self, key: &str) -> Self {
        let key = crate::clean::clean(key.chars().take(SHOWN_CHARS_MAX).collect());
        self.path.insert_str(0, &format!("/{}", key.replace('~', "~0").replace('/', "~1")));
        self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the arguments" } else { self.path.as_str() };
        write!(f, "{path}: {}", self.what)
    }
}

type Fit<T> = Result<T, Misfit>;

/// The values of a function's parameters, out of one JSON object.
pub(crate) fn values(signature: &Signature, arguments: &str) -> Fit<Vec<Val>> {
    let json: Value = serde_json::from_str(arguments).map_err(|error| Misfit::new(format!("not JSON: {error}")))?;
    let Value::Object(object) = json else { return Err(expected("an object with the parameters", &json)) };
    let mut making = Making { room: VALUES_MAX };
    fields(&signature.parameters, &object, |ty, value| making.value(ty, value))
}

/// The values of fields in their declared order. One that is an option may be left out.
fn fields<T>(
    declared: &[(String, ValueType)],
    object: &Map<String, Value>,
    mut make: impl FnMut(&ValueType, &Value) -> Fit<T>,
) -> Fit<Vec<T>> {
    let mut values = Vec::with_capacity(declared.len());
    for (name, ty) in declared {
        let value = match (object.get(name), ty) {
            (Some(value), _) => value,
            (None, ValueType::Option(_)) => &Value::Null,
            (None, _) => return Err(Misfit::new(format!("`{name}` is missing: it is {}", words(ty)))),
        };
        values.push(make(ty, value).map_err(|misfit| misfit.under(name))?);
    }
    if let Some(unknown) = object.keys().find(|key| declared.iter().all(|(name, _)| name != *key)) {
        let known: Vec<_> = declared.iter().take(LISTED_MAX).map(|(name, _)| name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(Misfit::new(format!("`{}` is not a field here; there are: {known}", shown(unknown))));
    }
    Ok(values)
}

struct Making {
    room: usize,
}

impl Making {
    fn take(&mut self, count: usize) -> Fit<()> {
        self.room = self.room.checked_sub(count).ok_or_else(|| {
            Misfit::new(format!(
                "the arguments hold more than {VALUES_MAX} values, the bytes of lists counted: send less"
            ))
        })?;
        Ok(())
    }

    fn value(&mut self, ty: &ValueType, json: &Value) -> Fit<Val> {
        self.take(1 + names_cost(ty))?;
        let misfit = || expected(&words(ty), json);
        Ok(match ty {
            ValueType::Bool => Val::Bool(json.as_bool().ok_or_else(misfit)?),
            ValueType::Integer(integer) => self::integer(*integer, json).ok_or_else(misfit)?,
            ValueType::F32 => Val::Float32(float32(json).ok_or_else(misfit)?),
            ValueType::F64 => Val::Float64(float64(json).ok_or_else(misfit)?),
            ValueType::Char => Val::Char(one_character(json).ok_or_else(misfit)?),
            ValueType::String => Val::String(json.as_str().ok_or_else(misfit)?.to_owned()),
            ValueType::Bytes => self.bytes(ty, json)?,
            ValueType::List(element) => Val::List(self.list(element, json.as_array().ok_or_else(misfit)?)?),
            ValueType::FixedList(element, length) => {
                let values = json.as_array().filter(|values| values.len() == *length as usize).ok_or_else(misfit)?;
                Val::FixedLengthList(self.list(element, values)?)
            }
            ValueType::Map(key, value) => Val::Map(self.map(key, value, json).ok_or_else(misfit)??),
            ValueType::Record(declared) => {
                let object = json.as_object().ok_or_else(misfit)?;
                let values = fields(declared, object, |ty, value| self.value(ty, value))?;
                Val::Record(declared.iter().map(|(name, _)| name.clone()).zip(values).collect())
            }
            ValueType::Tuple(types) => {
                let values = json.as_array().filter(|values| values.len() == types.len()).ok_or_else(misfit)?;
                let values = types.iter().zip(values).enumerate();
                let values =
                    values.map(|(at, (ty, value))| self.value(ty, value).map_err(|it| it.under(&at.to_string())));
                Val::Tuple(values.collect::<Fit<_>>()?)
            }
            ValueType::Variant(cases) => self.variant(ty, cases, json)?,
            ValueType::Enum(cases) => Val::Enum(named(cases, json).ok_or_else(misfit)?),
            ValueType::Flags(names) => self.flags(ty, names, json)?,
            ValueType::Option(some) => Val::Option(self.option(ty, some, json)?.map(Box::new)),
            ValueType::Result(ok, err) => Val::Result(match one_field(json) {
                Some(("ok", value)) => Ok(self.payload(ok.as_deref(), "ok", value)?),
                Some(("err", value)) => Err(self.payload(err.as_deref(), "err", value)?),
                _ => return Err(misfit()),
            }),
        })
    }

    fn list(&mut self, element: &ValueType, values: &[Value]) -> Fit<Vec<Val>> {
        let values = values.iter().enumerate();
        values.map(|(at, value)| self.value(element, value).map_err(|it| it.under(&at.to_string()))).collect()
    }

    fn bytes(&mut self, ty: &ValueType, json: &Value) -> Fit<Val> {
        let Value::String(text) = json else {
            let values = json.as_array().ok_or_else(|| expected(&words(ty), json))?;
            return Ok(Val::List(self.list(&ValueType::Integer(Integer::U8), values)?));
        };
        let bytes = BASE64.decode(text).map_err(|error| Misfit::new(format!("expected base64: {error}")))?;
        self.take(bytes.len())?;
        Ok(Val::List(bytes.into_iter().map(Val::U8).collect()))
    }

    /// The entries; none where the JSON is not of the form. A later entry of the same key is the one that counts,
    /// as in the component model.
    fn map(&mut self, key: &ValueType, value: &ValueType, json: &Value) -> Option<Fit<Vec<(Val, Val)>>> {
        if *key == ValueType::String {
            let entry = |(name, json): (&String, &Value)| {
                self.take(1)?;
                Ok((Val::String(name.clone()), self.value(value, json).map_err(|it| it.under(name))?))
            };
            return Some(json.as_object()?.iter().map(entry).collect());
        }
        let pairs: Option<Vec<_>> =
            json.as_array()?.iter().map(|pair| <&[Value; 2]>::try_from(pair.as_array()?.as_slice()).ok()).collect();
        let entry = |(at, [k, v]): (usize, &[Value; 2])| {
            let both = self.value(key, k).and_then(|k| Ok((k, self.value(value, v)?)));
            both.map_err(|it| it.under(&at.to_string()))
        };
        Some(pairs?.into_iter().enumerate().map(entry).collect())
    }

    fn variant(&mut self, ty: &ValueType, cases: &[(String, Option<ValueType>)], json: &Value) -> Fit<Val> {
        let (name, payload) = match (json.as_str(), one_field(json)) {
            (Some(name), _) => (name, None),
            (None, Some((name, value))) => (name, Some(value)),
            (None, None) => return Err(expected(&words(ty), json)),
        };
        match (cases.iter().find(|(case, _)| case == name), payload) {
            (Some((name, None)), None) => Ok(Val::Variant(name.clone(), None)),
            (Some((name, Some(ty))), Some(value)) => {
                let value = self.value(ty, value).map_err(|it| it.under(name))?;
                Ok(Val::Variant(name.clone(), Some(Box::new(value))))
            }
            (Some((name, Some(ty))), None) => {
                Err(Misfit::new(format!("expected {{\"{name}\": {}}}, got only the case's name", words(ty))))
            }
            (Some((name, None)), Some(_)) => {
                Err(Misfit::new(format!("expected \"{name}\" alone: this case has no value")))
            }
            (None, _) => Err(expected(&words(ty), json)),
        }
    }

    fn flags(&mut self, ty: &ValueType, names: &[String], json: &Value) -> Fit<Val> {
        let given = json.as_array().ok_or_else(|| expected(&words(ty), json))?;
        self.take(given.len())?;
        let mut set: Vec<String> = Vec::with_capacity(given.len().min(names.len()));
        for (at, value) in given.iter().enumerate() {
            let misfit = |what: Misfit| what.under(&at.to_string());
            let one_of = || misfit(expected(&format!("one of {}", list(names)), value));
            let name = named(names, value).ok_or_else(one_of)?;
            if set.contains(&name) {
                return Err(misfit(Misfit::new(format!("\"{name}\" is there twice"))));
            }
            set.push(name);
        }
        Ok(Val::Flags(set))
    }

    fn option(&mut self, ty: &ValueType, some: &ValueType, json: &Value) -> Fit<Option<Val>> {
        if json.is_null() {
            return Ok(None);
        }
        if !matches!(some, ValueType::Option(_)) {
            return self.value(some, json).map(Some);
        }
        match one_field(json) {
            Some(("some", value)) => self.value(some, value).map(Some).map_err(|it| it.under("some")),
            _ => Err(expected(&words(ty), json)),
        }
    }

    fn payload(&mut self, ty: Option<&ValueType>, name: &str, json: &Value) -> Fit<Option<Box<Val>>> {
        match ty {
            Some(ty) => self.value(ty, json).map(|value| Some(Box::new(value))),
            None if json.is_null() => Ok(None),
            None => Err(expected("null", json)),
        }
        .map_err(|misfit| misfit.under(name))
    }
}

/// The only field of an object.
fn one_field(json: &Value) -> Option<(&str, &Value)> {
    let object = json.as_object().filter(|object| object.len() == 1)?;
    object.iter().next().map(|(name, value)| (name.as_str(), value))
}

fn named(names: &[String], json: &Value) -> Option<String> {
    let given = json.as_str()?;
    names.iter().find(|name| *name == given).cloned()
}

fn one_character(json: &Value) -> Option<char> {
    let mut characters = json.as_str()?.chars();
    let first = characters.next()?;
    characters.next().is_none().then_some(first)
}

fn integer(integer: Integer, json: &Value) -> Option<Val> {
    let number = match json {
        Value::String(text) if integer.is_wide() => decimal(text)?,
        Value::Number(_) => whole(json)?,
        _ => return None,
    };
    Some(match integer {
        Integer::S8 => Val::S8(number.try_into().ok()?),
        Integer::U8 => Val::U8(number.try_into().ok()?),
        Integer::S16 => Val::S16(number.try_into().ok()?),
        Integer::U16 => Val::U16(number.try_into().ok()?),
        Integer::S32 => Val::S32(number.try_into().ok()?),
        Integer::U32 => Val::U32(number.try_into().ok()?),
        Integer::S64 => Val::S64(number.try_into().ok()?),
        Integer::U64 => Val::U64(number.try_into().ok()?),
    })
}

/// Digits, with a minus before them. Not what `parse` takes besides.
fn decimal(text: &str) -> Option<i128> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_decimal = (1..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_decimal)
}

/// A number without a fraction that JSON carries exactly; `2.0` is one (JSON Schema, 6.1.1).
fn whole(json: &Value) -> Option<i128> {
    let number = match (json.as_i64(), json.as_f64()) {
        (Some(number), _) => i128::from(number),
        #[allow(clippy::cast_possible_truncation, reason = "without a fraction and in range")]
        (None, Some(number)) if number.fract() == 0.0 && number.abs() <= SAFE_INTEGER_MAX as f64 => number as i128,
        _ => return None,
    };
    (number.abs() <= i128::from(SAFE_INTEGER_MAX)).then_some(number)
}

fn float64(json: &Value) -> Option<f64> {
    match json {
        Value::Number(number) => number.as_f64().filter(|number| number.is_finite()),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn float32(json: &Value) -> Option<f32> {
    let wide = float64(json)?;
    #[allow(clippy::cast_possible_truncation, reason = "rounding is what f32 means")]
    let number = wide as f32;
    (number.is_finite() == wide.is_finite()).then_some(number)
}

fn expected(what: &str, got: &Value) -> Misfit {
    Misfit::new(format!("expected {what}, got {}", got_words(got)))
}

fn got_words(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("\"{}\"", shown(text)),
        Value::Array(values) => format!("an array of {}", values.len()),
        Value::Object(fields) => format!("an object of {} fields", fields.len()),
    }
}

fn shown(text: &str) -> String {
    let cut: String = crate::clean::clean(text.chars().take(SHOWN_CHARS_MAX).collect());
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() { format!("{cut}…") } else { cut }
}

fn list(names: &[String]) -> String {
    let some: Vec<_> = names.iter().take(LISTED_MAX).map(|name| format!("\"{name}\"")).collect();
    let more = if names.len() > LISTED_MAX { ", …" } else { "" };
    format!("{}{more}", some.join(", "))
}

/// What JSON a type wants, in a few words.
fn words(ty: &ValueType) -> String {
    match ty {
        ValueType::Bool => "true or false".to_owned(),
        ValueType::Integer(integer) if integer.is_wide() => format!(
            "a whole number from {} to {}, as a string of digits where beyond ±{SAFE_INTEGER_MAX}",
            integer.minimum(),
            integer.maximum()
        ),
        ValueType::Integer(integer) => format!("a whole number from {} to {}", integer.minimum(), integer.maximum()),
        ValueType::F32 => "a number within f32, \"NaN\", \"Infinity\" or \"-Infinity\"".to_owned(),
        ValueType::F64 => "a number, \"NaN\", \"Infinity\" or \"-Infinity\"".to_owned(),
        ValueType::Char => "a string of one character".to_owned(),
        ValueType::String => "a string".to_owned(),
        ValueType::Bytes => "bytes, as base64 or as an array of numbers".to_owned(),
        ValueType::List(_) => "an array".to_owned(),
        ValueType::FixedList(_, length) => format!("an array of {length}"),
        ValueType::Map(key, _) if **key == ValueType::String => "an object".to_owned(),
        ValueType::Map(..) => "an array of [key, value] arrays".to_owned(),
        ValueType::Record(fields) => {
            let names: Vec<_> = fields.iter().map(|(name, _)| name.clone()).collect();
            format!("an object with {}", list(&names))
        }
        ValueType::Tuple(types) => format!("an array of {}", types.len()),
        ValueType::Variant(cases) => {
            let form = |(name, ty): &(String, Option<ValueType>)| match ty {
                Some(_) => format!("{{\"{name}\": …}}"),
                None => format!("\"{name}\""),
            };
            let forms: Vec<_> = cases.iter().take(LISTED_MAX).map(form).collect();
            format!("one of {}{}", forms.join(", "), if cases.len() > LISTED_MAX { ", …" } else { "" })
        }
        ValueType::Enum(names) => format!("one of {}", list(names)),
        ValueType::Flags(names) => format!("an array of some of {}", list(names)),
        ValueType::Option(some) if matches!(**some, ValueType::Option(_)) => "null or {\"some\": …}".to_owned(),
        ValueType::Option(some) => format!("null or {}", words(some)),
        ValueType::Result(..) => "an object with \"ok\" or \"err\"".to_owned(),
    }
}

/// What the names in a value of a type cost beside the value itself: each value holds copies of them, however
/// little JSON stands for it.
fn names_cost(ty: &ValueType) -> usize {
    const NAME_BYTES_PER_VALUE: usize = 32;
    let bytes: usize = match ty {
        ValueType::Record(fields) => fields.iter().map(|(name, _)| name.len()).sum(),
        ValueType::Flags(names) => names.iter().map(String::len).sum(),
        ValueType::Enum(names) => names.iter().map(String::len).max().unwrap_or(0),
        ValueType::Variant(cases) => cases.iter().map(|(name, _)| name.len()).max().unwrap_or(0),
        _ => 0,
    };
    bytes / NAME_BYTES_PER_VALUE
}
