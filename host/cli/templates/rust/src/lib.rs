//! The tool `{{snake}}`: counts the lines, words and bytes of a text.
//!
//! Promise: the work (`count`) can be tested without a host; only the edge (`component`) knows one.

pub mod count;

#[cfg(target_family = "wasm")]
mod component;
