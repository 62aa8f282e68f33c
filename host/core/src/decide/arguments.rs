//! Reading a call's arguments as everybody would.
//!
//! Promise: what is taken means the same to every reader: of a field that is there twice some take the first and some
//! the last (RFC 8259, 4), so that one would be judged and the other run. Nothing is kept of it, and what is nested
//! deeper than serde_json reads is refused.
//!
//! Not here: schemas (harness-engine).

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;

/// JSON in which no object has a field twice.
pub(super) struct Unambiguous;

/// Characters of a field's name in an error.
const NAME_SHOWN_CHARS_MAX: usize = 80;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Unambiguous;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_unit<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unambiguous, A::Error> {
        while items.next_element::<Unambiguous>()?.is_some() {}
        Ok(Unambiguous)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Unambiguous, A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            let shown: String = name.chars().take(NAME_SHOWN_CHARS_MAX).collect();
            if !names.insert(name) {
                // The rest is read, so that the error is this one.
                fields.next_value::<IgnoredAny>()?;
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Err(A::Error::custom(format_args!("the field {shown:?} is there twice; give it once")));
            }
            fields.next_value::<Unambiguous>()?;
        }
        Ok(Unambiguous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_there_twice_is_refused() {
        let table = [
            ("{}", true),
            (r#"{"a":{"a":1},"b":[{"a":null},{"a":true}]}"#, true),
            (r#"[1,-2,3.5,"x",1e400]"#, false),
            (r#"[1,-2,3.5,"x",18446744073709551616]"#, true),
            (r#"{"command":"rm x","command":"ls"}"#, false),
            (r#"{"command":"rm x","\u0063ommand":"ls"}"#, false),
            (r#"{"a":[{"b":{"c":1,"c":1}}]}"#, false),
            ("{", false),
        ];
        for (text, is_taken) in table {
            assert_eq!(serde_json::from_str::<Unambiguous>(text).is_ok(), is_taken, "{text}");
        }
        let error = serde_json::from_str::<Unambiguous>(r#"{"a":1,"a":{"b":2}}"#).err().map(|it| it.to_string());
        assert!(error.as_ref().is_some_and(|it| it.contains("\"a\" is there twice")), "{error:?}");
    }
}
