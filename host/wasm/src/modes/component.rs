//! A mode or hooks as a component that was read: what it is, and what it may use.
//!
//! Promise: nothing of it has run to read it; where it says what it is only when it is asked, whoever installs it keeps
//! the answer with its digest.
//!
//! Not here: asking it (`run`), which modes a session has (`policies`).

use super::PolicyLimits;
use crate::tools::{Component, ComponentSource, Kind, ReadComponentError};
use harness_core::Digest;
use harness_core::mode::{HookPoint, ModeSpec};
use std::borrow::Cow;
use std::sync::Arc;

/// A mode, hooks, or both: a component without any capability.
#[derive(Debug, Clone)]
pub struct PolicyComponent {
    component: Arc<Component>,
    limits: PolicyLimits,
}

impl PolicyComponent {
    /// Reads a mode or hooks. What it is comes from its section [`super::MODE_SECTION`]; without one it
    /// [needs describing](Self::needs_describing).
    ///
    /// # Errors
    /// What is wrong with it, naming it.
    pub fn read(source: ComponentSource, limits: PolicyLimits) -> Result<Self, ReadComponentError> {
        Self::read_any(source, limits, None, None)
    }

    /// Reads one that is part of the program, whose build vouches for its digest: it is not worked out again.
    ///
    /// # Errors
    /// What is wrong with it, naming it.
    pub fn read_embedded(
        name: &str,
        bytes: &'static [u8],
        digest: Digest,
        limits: PolicyLimits,
    ) -> Result<Self, ReadComponentError> {
        let source = ComponentSource { name: name.to_owned(), bytes: Cow::Borrowed(bytes) };
        Self::read_any(source, limits, None, Some(digest))
    }

    /// Reads one that was asked what it is: `json` is what [`crate::Runtime::describe_policy`] gave. It is checked as
    /// its section would be; a component that has the section needs no such thing, for the section counts then.
    ///
    /// # Errors
    /// What is wrong with it, naming it.
    pub fn read_described(
        source: ComponentSource,
        limits: PolicyLimits,
        json: &str,
    ) -> Result<Self, ReadComponentError> {
        Self::read_any(source, limits, Some(json), None)
    }

    fn read_any(
        source: ComponentSource,
        limits: PolicyLimits,
        described: Option<&str>,
        vouched: Option<Digest>,
    ) -> Result<Self, ReadComponentError> {
        let component = Arc::new(Component::read_policy(source, described, vouched)?);
        Ok(Self { component, limits })
    }

    /// Its name for people.
    pub fn name(&self) -> &str {
        self.component.name()
    }

    /// Its identity: the digest of its binary.
    pub fn digest(&self) -> Digest {
        self.component.digest()
    }

    /// Its binary.
    pub fn bytes(&self) -> &[u8] {
        self.component.bytes()
    }

    /// What it exports.
    pub fn kind(&self) -> Kind {
        self.component.kind()
    }

    /// Whether only a call tells what it is: [`crate::Runtime::describe_policy`].
    pub fn needs_describing(&self) -> bool {
        self.component.facts().policy.is_none()
    }

    /// The mode, with this component as its policy; none for hooks alone, and while it needs describing.
    pub fn mode(&self) -> Option<&ModeSpec> {
        self.component.facts().policy.as_ref()?.mode.as_ref()
    }

    /// Where its hooks want to be called, each point once.
    pub fn hook_points(&self) -> &[HookPoint] {
        self.component.facts().policy.as_ref().map(|policy| policy.points.as_slice()).unwrap_or_default()
    }

    /// What answering one question may take.
    pub fn limits(&self) -> &PolicyLimits {
        &self.limits
    }

    pub(crate) fn component(&self) -> &Arc<Component> {
        &self.component
    }
}
