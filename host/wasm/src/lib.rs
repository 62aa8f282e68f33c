//! Components: running untrusted tools and policies as WebAssembly, each call in a sandbox of its own.
//!
//! Promise: a call gets a fresh Store and instance and what was granted, within its component's own ceiling:
//! nothing granted is nothing it can do; what it changes is staged; every limit of [`CallLimits`] holds on every call
//! and is named when crossed; whatever a guest does ends as an outcome, and whatever a policy does as an answer. This crate is the only user of wasmtime.
//!
//! Not here: deciding whether a call may run and whether its changes are applied (harness-engine,
//! harness-core), other hands, sending requests (harness-egress).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod answer;
mod cache;
mod call;
mod clean;
pub mod compile;
mod contract;
mod describe;
mod engine;
mod entry;
mod fault;
pub mod filesystem;
mod folders;
mod guest;
mod hands;
mod host;
mod inspect;
mod limits;
mod link;
mod load;
mod log;
mod meter;
mod modes;
mod offered;
mod plain;
mod runtime;
mod threads;
mod ticker;
mod tools;
mod wasi;

pub use cache::{CACHE_BYTES_MAX_DEFAULT, CacheKey, CacheSettings, CompiledCache, OpenCacheError};
pub use call::{Call, WORKSPACE_PREOPEN};
pub use describe::DescribeError;
pub use hands::{ComponentHands, DuplicateTool, HandsSettings};
pub use host::kv::KvOwners;
pub use inspect::{Ability, Inspection, inspect, inspect_policy, inspect_source};
pub use limits::{COMPONENT_BYTES_MAX, CallLimits};
pub use link::MissingImport;
pub use load::{LoadError, Progress, ProgressSink, Readiness};
pub use modes::{
    ComponentPolicies, HOOKS_COMPONENTS_MAX, MODE_SECTION, MODE_SECTION_BYTES_MAX, POLICIES_MAX, PoliciesError,
    PolicyComponent, PolicyLimits,
};
pub use plain::NotOffered;
pub use runtime::{LoadedComponent, PREPARING_CODE, Runtime, RuntimeSettings};
pub use tools::{
    COMPONENT_TOOLS_MAX, Component, ComponentSource, DESCRIPTION_BYTES_MAX, Kind, MANIFEST_BYTES_MAX, MANIFEST_SECTION,
    OwnWords, ReadComponentError, TOOL_NAME_CHARS_MAX, TOOLS_SECTION, TOOLS_SECTION_BYTES_MAX,
};
