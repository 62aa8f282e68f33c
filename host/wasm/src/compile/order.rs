//! What host and worker tell each other.
//!
//! Promise: both sides are the same program; an order of another version is refused, not guessed at.
//!
//! Not here: the component itself, which the worker reads from standard input.

use super::CompileLimits;
use crate::cache::{CacheKey, TEMPORARY};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Whatever one side says at most, in bytes.
pub(super) const SAID_BYTES_MAX: u64 = 16 << 10;
/// A problem in words, in bytes.
pub(super) const PROBLEM_BYTES_MAX: usize = 2 << 10;

/// Everything but paths that the worker has to know.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    /// The component's digest, in hexadecimal digits.
    pub(super) digest: String,
    /// The cache's key for it. The worker must come to the same, or it would make what the host cannot use.
    pub(super) key: String,
    /// The cache's size, in bytes.
    pub(super) cache_bytes_max: u64,
    /// Limits of guests that change code: see [`crate::engine`].
    pub(super) guest_memory_bytes: u64,
    pub(super) guest_stack_bytes: u64,
    pub(super) limits: CompileLimits,
}

/// The file that holds the component, and is locked while somebody is at it.
pub(super) fn file(folder: &Path, key: &CacheKey) -> PathBuf {
    folder.join(format!("{TEMPORARY}order-{}", key.hex()))
}

/// The worker's arguments. Paths stay apart: they need not be text.
pub(super) fn to_arguments(folder: &Path, key_file: &Path, order: &Order) -> Result<[OsString; 3], String> {
    let order = serde_json::to_string(order).map_err(|error| error.to_string())?;
    Ok([folder.into(), key_file.into(), order.into()])
}

/// Folder, key file and order.
pub(super) fn from_arguments(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(PathBuf, PathBuf, Order), String> {
    let wrong = "the arguments are: the cache's folder, its key's file, an order in JSON";
    let mut arguments = arguments.into_iter();
    let (Some(folder), Some(key_file), Some(order), None) =
        (arguments.next(), arguments.next(), arguments.next(), arguments.next())
    else {
        return Err(wrong.to_owned());
    };
    let order = order.to_str().ok_or(wrong)?;
    let order = serde_json::from_str(order).map_err(|error| format!("{wrong}: {error}"))?;
    Ok((folder.into(), key_file.into(), order))
}

/// What the worker says at its end, in one line of JSON.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub(super) enum Said {
    /// It is in the cache now.
    Compiled,
    /// The compiler refused the component.
    Refused { problem: String },
    /// There was not enough memory.
    OutOfMemory,
    /// It took longer than it may.
    OutOfTime,
    /// Anything else.
    Failed { problem: String },
}
