//! What a call did besides files and its outcome: requests, kv writes, refused capabilities, and what it was
//! told of time and chance.
//!
//! Promise: with the record, a call that read only time and chance can be run again identically.
//!
//! Not here: changes of files (`change`), the outcome (`outcome`).

use crate::grant::{Capability, Scope};
use crate::ids::{Digest, TimeMs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Readings of the clock that are recorded; beyond it a call cannot be run again identically.
pub const CLOCK_READINGS_MAX: usize = 1_024;

/// A request that left the host, or was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestMade {
    /// The method.
    pub method: String,
    /// Scheme, host, port and path; never the query, which may hold secrets.
    pub url: String,
    /// The address connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The response's status; none where none came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was no response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Bytes of the body sent.
    pub request_bytes: u64,
    /// Bytes of the body received.
    pub response_bytes: u64,
}

/// Whose values: a scope and, where it has several owners, which one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct KvSpace {
    /// The component, by the name it is installed under: a new digest keeps its values.
    pub component: String,
    /// How far the values reach.
    pub scope: Scope,
    /// Which session, principal or agent; empty for global.
    pub owner: String,
}

/// One value written or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KvWrite {
    /// Where.
    pub space: KvSpace,
    /// The key.
    pub key: String,
    /// The value, base64 (RFC 4648, 4); none where the key is deleted.
    pub value: Option<String>,
}

/// What a call was told of time and chance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Inputs {
    /// The clock when the call began.
    pub started: TimeMs,
    /// Where its random bytes come from: 32 bytes in hexadecimal.
    pub seed: String,
    /// What each reading of a clock gave, in milliseconds after the one before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clock_steps_ms: Vec<u32>,
    /// Whether all readings are here.
    pub is_complete: bool,
}

/// What a call did and was told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CallRecord {
    /// Requests, in the order they were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestMade>,
    /// Kv writes: in force once the call has ended well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kv: Vec<KvWrite>,
    /// Capabilities that it tried to use and does not have, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Capability>,
    /// What was in force for a call that needs another one: that one gets no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_force: Vec<Capability>,
    /// What it wrote to its log, by digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Digest>,
    /// Time and chance; none for hands that do not record them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Inputs>,
}

impl CallRecord {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
