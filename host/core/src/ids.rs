//! Identifiers and small numbers, each with a type of its own so that they cannot be swapped.
//!
//! Promise: an id prints its kind (`ses_…`, `call_…`) and parses only from that form.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Crockford's base 32, lower case: no `i`, `l`, `o`, `u`, so that ids survive being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters that 128 bits take in base 32.
const ID_TEXT_CHARS: usize = 26;

/// A text that is not a valid id, digest or reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {expected}")]
pub struct ParseIdError {
    /// What was given, cut to 80 characters.
    pub text: String,
    /// What it should have been, with its form.
    pub expected: &'static str,
}

impl ParseIdError {
    /// Names what was given and what was expected.
    pub fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), expected }
    }
}

fn encode(value: u128) -> String {
    let mut text = [0u8; ID_TEXT_CHARS];
    let mut rest = value;
    for slot in text.iter_mut().rev() {
        *slot = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
    text.iter().map(|&byte| byte as char).collect()
}

fn decode(text: &str) -> Option<u128> {
    if text.len() != ID_TEXT_CHARS || !text.starts_with(['0', '1', '2', '3', '4', '5', '6', '7']) {
        return None;
    }
    text.bytes().try_fold(0u128, |value, byte| {
        let digit = ALPHABET.iter().position(|&known| known == byte)?;
        Some((value << 5) | digit as u128)
    })
}

macro_rules! define_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// Makes an id of 128 bits.
            pub const fn from_bits(bits: u128) -> Self { Self(bits) }
            /// The id's 128 bits.
            pub const fn bits(self) -> u128 { self.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }
        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.strip_prefix(concat!($prefix, "_")).and_then(decode).map(Self)
                    .ok_or_else(|| ParseIdError::new(text, $expected))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> { serializer.collect_str(self) }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> { stringify!($name).into() }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "description": concat!("A ", $expected, "."),
                    "type": "string",
                    "pattern": concat!("^", $prefix, "_[0-7][0-9a-hjkmnp-tv-z]{25}$"),
                })
            }
        }
    };
}

define_id!(
    /// A session. The upper 48 bits are its time of creation in milliseconds, so that ids sort by age.
    SessionId, "ses", "session id (ses_ and 26 characters)"
);
define_id!(
    /// A turn of a session.
    TurnId, "turn", "turn id (turn_ and 26 characters)"
);
define_id!(
    /// A tool call; also its idempotency key.
    CallId, "call", "call id (call_ and 26 characters)"
);
define_id!(
    /// A question to a person whether something may happen.
    ApprovalId, "apr", "approval id (apr_ and 26 characters)"
);
define_id!(
    /// Something that a component asked a person.
    QuestionId, "qst", "question id (qst_ and 26 characters)"
);
define_id!(
    /// Something that a person said to the session while a turn was under way.
    MessageId, "msg", "message id (msg_ and 26 characters)"
);
define_id!(
    /// A plan that was submitted for approval.
    PlanId, "plan", "plan id (plan_ and 26 characters)"
);
define_id!(
    /// What a person allowed for later calls.
    AllowanceId, "alw", "allowance id (alw_ and 26 characters)"
);
define_id!(
    /// Something that was sent to a session, until its writer has taken it.
    InboxId, "in", "id of something sent (in_ and 26 characters)"
);
define_id!(
    /// A capability lent to a component.
    GrantId, "grant", "grant id (grant_ and 26 characters)"
);

impl SessionId {
    /// A session id from its time of creation and 80 bits of entropy.
    pub fn new(created: TimeMs, entropy: &[u8; 16]) -> Self {
        let time = (created.0.max(0) as u128 & 0xffff_ffff_ffff) << 80;
        Self(time | (u128::from_be_bytes(*entropy) >> 48))
    }
}

/// Who owns the data. Today there is one: `local`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct TenantId(pub String);

impl TenantId {
    /// The only tenant of a single-user host.
    pub fn local() -> Self {
        Self("local".to_owned())
    }
}

/// A position in a session's log: gap-free, from 1. Zero stands for "before the first event".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before the first event.
    pub const START: Self = Self(0);
    /// The position after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The fencing number of a session's writer: each new writer gets a larger one, and an append with
/// a smaller one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// Milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct TimeMs(pub i64);

/// A SHA-256 digest, written as OCI writes it: `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// All zero: the "previous header" of a session's first event.
    pub const ZERO: Self = Self([0; 32]);

    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of several byte strings put together, without lengths between them.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The 64 hexadecimal digits alone.
    pub fn hex(&self) -> String {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            text.push(HEX[usize::from(byte >> 4)] as char);
            text.push(HEX[usize::from(byte & 15)] as char);
        }
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let wrong = || ParseIdError::new(text, "digest (sha256: and 64 lower-case hexadecimal digits)");
        let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64).ok_or_else(wrong)?;
        let mut bytes = [0u8; 32];
        for (slot, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let digit = |byte: u8| match byte {
                b'0'..=b'9' => Some(byte - b'0'),
                b'a'..=b'f' => Some(byte - b'a' + 10),
                _ => None,
            };
            *slot = digit(pair[0]).zip(digit(pair[1])).map(|(high, low)| high << 4 | low).ok_or_else(wrong)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Digest {
    fn schema_name() -> Cow<'static, str> {
        "Digest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A SHA-256 digest, written as OCI writes it.",
            "type": "string",
            "pattern": "^sha256:[0-9a-f]{64}$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text() {
        for bits in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
            let id = SessionId::from_bits(bits);
            assert_eq!(id.to_string().parse::<SessionId>().unwrap(), id);
        }
    }

    #[test]
    fn another_kind_of_id_is_refused() {
        let call = CallId::from_bits(7).to_string();
        assert!(call.parse::<SessionId>().is_err());
        assert!("ses_8zzzzzzzzzzzzzzzzzzzzzzzzz".parse::<SessionId>().is_err(), "more than 128 bits");
        assert!("ses_".parse::<SessionId>().is_err());
    }

    #[test]
    fn session_ids_sort_by_age() {
        let old = SessionId::new(TimeMs(1_000), &[0xff; 16]);
        let young = SessionId::new(TimeMs(1_001), &[0; 16]);
        assert!(old < young && old.to_string() < young.to_string());
    }

    #[test]
    fn a_digest_reads_back_and_refuses_other_forms() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert!(digest.to_string().to_uppercase().parse::<Digest>().is_err());
        assert!("sha256:zz".parse::<Digest>().is_err());
    }
}
