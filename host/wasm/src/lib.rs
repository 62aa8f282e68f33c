//! Components: running untrusted tools as WebAssembly, each call in a sandbox of its own.
//!
//! Promise: a call gets a fresh Store and instance, the workspace as a staged file system, and nothing
//! else; every limit of [`CallLimits`] holds on every call and is named when crossed; whatever a guest
//! does ends as an outcome. This crate is the only user of wasmtime.
//!
//! Not here: deciding whether a call may run and whether its changes are applied (harness-engine,
//! harness-core), other hands, network access.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod cache;
mod call;
mod clean;
mod contract;
mod describe;
mod engine;
mod entry;
mod fault;
pub mod filesystem;
mod guest;
mod hands;
mod inspect;
mod limits;
mod link;
mod load;
mod log;
mod meter;
mod offered;
mod plain;
mod runtime;
mod threads;
mod ticker;
mod tools;
mod wasi;

pub use cache::{CACHE_BYTES_MAX_DEFAULT, CacheKey, CacheSettings, CompiledCache, OpenCacheError};
pub use call::WORKSPACE_PREOPEN;
pub use describe::DescribeError;
pub use hands::{ComponentHands, DuplicateTool};
pub use inspect::{Ability, Inspection, inspect, inspect_source};
pub use limits::{COMPONENT_BYTES_MAX, CallLimits};
pub use link::MissingImport;
pub use load::{LoadError, Progress, ProgressSink};
pub use plain::NotOffered;
pub use runtime::{LoadedComponent, Runtime, RuntimeSettings};
pub use tools::{
    COMPONENT_TOOLS_MAX, Component, ComponentSource, DESCRIPTION_BYTES_MAX, Kind, MANIFEST_BYTES_MAX, MANIFEST_SECTION,
    ReadComponentError, TOOL_NAME_CHARS_MAX, TOOLS_SECTION, TOOLS_SECTION_BYTES_MAX,
};
