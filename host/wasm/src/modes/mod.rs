//! Modes and hooks: components that judge calls and take part at fixed points of a session.
//!
//! Promise: a policy has no capability, whatever it imports: no file, no request, no value, no secret, no environment,
//! a clock that stands still and chance that is always the same. Each question gets a fresh Store, so that the same
//! question gets the same answer for the same fuel. Whatever a policy does ends as an answer: what broke, ran out or
//! made no sense denies, and a hook that did wants nothing.
//!
//! Not here: when a policy is asked and what its answer is worth (harness-core), parsing command lines.

mod answer;
mod component;
mod declared;
mod limits;
mod policies;
mod question;
mod run;

pub use component::PolicyComponent;
pub use declared::{MODE_SECTION, MODE_SECTION_BYTES_MAX};
pub use limits::PolicyLimits;
pub use policies::{ComponentPolicies, HOOKS_COMPONENTS_MAX, POLICIES_MAX, PoliciesError};

pub(crate) use declared::PolicyDeclaration;
pub(crate) use run::{Ask, Asked, PolicyEntry, Said, run};

/// The rule of an answer that the host gives in a policy's place.
const FAULT_RULE: &str = "fault";
