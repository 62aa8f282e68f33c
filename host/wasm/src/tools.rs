//! Reading what a component offers and asks for, without running or compiling any of it.
//!
//! Promise: a component's declaration is untrusted text: sizes are capped, names and categories are
//! checked, descriptions are cleaned; whatever is wrong names the component. What it imports and
//! exports is checked here too, so that a component that cannot load is refused before it is compiled.
//!
//! Not here: loading (`load`), asking a component for its tools (`describe`), what it could do in words
//! (`inspect`), checking arguments against the schema (the engine).

mod anatomy;
mod declared;
mod error;
mod kind;
mod manifest;
mod sections;

pub use error::ReadComponentError;
pub use kind::Kind;
pub use manifest::{MANIFEST_BYTES_MAX, MANIFEST_SECTION};
pub use sections::OwnWords;

pub(crate) use declared::is_tool_name;
pub(crate) use manifest::{Manifest, ToolWords};

use crate::limits::{COMPONENT_BYTES_MAX, CallLimits};
use crate::link::{self, MissingImport};
use crate::modes::{MODE_SECTION, PolicyDeclaration};
use crate::plain::{self, Function, NotOffered, Origin};
use anatomy::{Anatomy, Once};
use declared::not_a_name;
use harness_core::Digest;
use harness_core::grant::Capability;
use harness_core::item::{Effects, ToolSpec};
use kind::DESCRIBE_INTERFACE;
use std::borrow::Cow;
use std::sync::Arc;
use wasmparser::Parser;

/// The custom section that declares tools.
pub const TOOLS_SECTION: &str = "harness:tools";
/// The whole declaration, in bytes.
pub const TOOLS_SECTION_BYTES_MAX: usize = 256 << 10;
/// Tools of one component.
pub const COMPONENT_TOOLS_MAX: usize = 64;
/// A tool's name, in characters.
pub const TOOL_NAME_CHARS_MAX: usize = 64;
/// A tool's description, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 4 << 10;

/// A component as it comes: a name for people, and its binary.
#[derive(Debug, Clone)]
pub struct ComponentSource {
    /// A name for people: a built-in's name or a file.
    pub name: String,
    /// The binary.
    pub bytes: Cow<'static, [u8]>,
}

/// A component that was read and may be loaded: its tools are known, nothing of it has run.
#[derive(Debug)]
pub struct Component {
    name: String,
    bytes: Cow<'static, [u8]>,
    digest: Digest,
    facts: Facts,
    limits: CallLimits,
}

/// What the binary says.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) kind: Kind,
    pub(crate) tools: Vec<ToolSpec>,
    pub(crate) functions: Vec<Function>,
    pub(crate) not_offered: Vec<NotOffered>,
    /// Tools that nobody described.
    pub(crate) undescribed: Vec<String>,
    pub(crate) ceiling: Vec<Capability>,
    pub(crate) description: Option<String>,
    /// Under which name it exports `describe`, where only a call tells its tools.
    pub(crate) describe: Option<String>,
    /// What it says of itself as a mode or as hooks, where that is known.
    pub(crate) policy: Option<PolicyDeclaration>,
    pub(crate) has_manifest: bool,
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
    pub(crate) missing: Vec<MissingImport>,
    pub(crate) proposals: Vec<&'static str>,
    pub(crate) sections: Vec<(String, usize)>,
    pub(crate) producers: Vec<String>,
}

impl Component {
    /// Reads a component, with the limits of the runtime.
    ///
    /// # Errors
    /// What is wrong with it, naming it.
    pub fn read(source: ComponentSource) -> Result<Arc<Self>, ReadComponentError> {
        Self::read_with(source, CallLimits::DEFAULT)
    }

    /// Reads a component whose calls get at most these limits; the runtime's apply as well.
    ///
    /// # Errors
    /// What is wrong with it, naming it.
    pub fn read_with(source: ComponentSource, limits: CallLimits) -> Result<Arc<Self>, ReadComponentError> {
        Self::read_any(source, limits, None, None)
    }

    /// Reads a component that is part of the program, whose build vouches for its digest: it is not worked out again.
    ///
    /// # Errors
    /// What is wrong with it, naming it.
    pub fn read_embedded(
        name: &str,
        bytes: &'static [u8],
        digest: Digest,
        limits: CallLimits,
    ) -> Result<Arc<Self>, ReadComponentError> {
        let source = ComponentSource { name: name.to_owned(), bytes: Cow::Borrowed(bytes) };
        Self::read_any(source, limits, None, Some(digest))
    }

    /// Reads a component that was asked for its tools: `json` is what [`crate::Runtime::describe`] gave. It is
    /// checked as its section would be. A component that has the section needs no such thing: it counts then.
    ///
    /// # Errors
    /// What is wrong with it, naming it.
    pub fn read_described(
        source: ComponentSource,
        limits: CallLimits,
        json: &str,
    ) -> Result<Arc<Self>, ReadComponentError> {
        Self::read_any(source, limits, Some(json), None)
    }

    fn read_any(
        source: ComponentSource,
        limits: CallLimits,
        described: Option<&str>,
        vouched: Option<Digest>,
    ) -> Result<Arc<Self>, ReadComponentError> {
        let (digest, facts) = facts(&source, described, vouched)?;
        let component = Self::of_facts(source, digest, facts, limits)?;
        let Facts { kind, tools, describe, not_offered, .. } = &component.facts;
        let name = || component.name.clone();
        if kind.is_policy() {
            return Err(ReadComponentError::OtherKind { name: name(), found: kind.word(), wanted: "tool" });
        }
        if tools.is_empty() && describe.is_none() {
            return Err(ReadComponentError::NoTools { name: name(), not_offered: not_offered.clone() });
        }
        Ok(Arc::new(component))
    }

    /// Reads a mode or hooks, which have limits of their own: `described` is what it answered when it was asked what it
    /// is.
    pub(crate) fn read_policy(
        source: ComponentSource,
        described: Option<&str>,
        vouched: Option<Digest>,
    ) -> Result<Self, ReadComponentError> {
        let (digest, facts) = facts(&source, described, vouched)?;
        let component = Self::of_facts(source, digest, facts, CallLimits::DEFAULT)?;
        if !component.kind().is_policy() {
            let (name, found) = (component.name, component.facts.kind.word());
            return Err(ReadComponentError::OtherKind { name, found, wanted: "mode" });
        }
        Ok(component)
    }

    fn of_facts(
        source: ComponentSource,
        digest: Digest,
        facts: Facts,
        limits: CallLimits,
    ) -> Result<Self, ReadComponentError> {
        let ComponentSource { name, bytes } = source;
        if !facts.missing.is_empty() {
            return Err(ReadComponentError::Imports { name, missing: facts.missing });
        }
        if !facts.proposals.is_empty() {
            return Err(ReadComponentError::Proposals { name, proposals: facts.proposals });
        }
        Ok(Self { name, digest, facts, limits, bytes })
    }

    /// Its name for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its identity: the digest of its binary.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its binary.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How it is called.
    pub fn kind(&self) -> Kind {
        self.facts.kind
    }

    /// Its tools, in the order it declares or exports them. None while [`Self::needs_describing`].
    pub fn tools(&self) -> &[ToolSpec] {
        &self.facts.tools
    }

    /// Whether only a call tells which tools it has: [`crate::Runtime::describe`].
    pub fn needs_describing(&self) -> bool {
        self.facts.describe.is_some() && self.facts.tools.is_empty()
    }

    /// The most it asks for: what its manifest declares, or, without one, all that its imports could be used
    /// for. No grant makes it more.
    pub fn ceiling(&self) -> &[Capability] {
        &self.facts.ceiling
    }

    /// What it says it is for; cleaned.
    pub fn description(&self) -> Option<&str> {
        self.facts.description.as_deref()
    }

    /// Whether it says what it asks for, in a manifest of its own.
    pub fn has_manifest(&self) -> bool {
        self.facts.has_manifest
    }

    /// The most its calls get.
    pub fn limits(&self) -> &CallLimits {
        &self.limits
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(crate) fn functions(&self) -> &[Function] {
        &self.facts.functions
    }

    pub(crate) fn describe_export(&self) -> Option<&str> {
        self.facts.describe.as_deref()
    }
}

/// Everything the binary says, also where something it imports is missing.
pub(crate) fn facts(
    source: &ComponentSource,
    described: Option<&str>,
    vouched: Option<Digest>,
) -> Result<(Digest, Facts), ReadComponentError> {
    let ComponentSource { name, bytes } = source;
    check_binary(source)?;
    let malformed =
        |problem: String| ReadComponentError::Malformed { name: name.clone(), problem: error::text(problem) };
    let anatomy = Anatomy::of(bytes).map_err(malformed)?;
    let (kind, describe) = kind::kind(&anatomy.exports).map_err(|unknown| ReadComponentError::Contract {
        name: name.clone(),
        found: unknown.found,
        known: unknown.known,
    })?;
    let missing = link::missing(anatomy.imports.iter().map(String::as_str));
    let manifest = manifest(&anatomy)
        .map_err(|problem| ReadComponentError::Manifest { name: name.clone(), problem: error::text(problem) })?;
    let ceiling = match &manifest {
        Some(manifest) => manifest.ceiling(),
        None => manifest::ceiling_of(anatomy.imports.iter().map(String::as_str)),
    };
    let digest = vouched.unwrap_or_else(|| Digest::of(bytes));
    let has_manifest = manifest.is_some();
    let manifest = manifest.unwrap_or_default();
    let mut facts = Facts {
        kind,
        tools: Vec::new(),
        functions: Vec::new(),
        not_offered: Vec::new(),
        undescribed: Vec::new(),
        description: manifest.description.clone(),
        describe: describe.filter(|_| anatomy.tools.count == 0).map(str::to_owned),
        policy: None,
        has_manifest,
        ceiling,
        missing,
        proposals: Vec::new(),
        imports: anatomy.imports.clone(),
        exports: anatomy.exports.iter().map(|export| (*export).to_owned()).collect(),
        sections: anatomy.sections.clone(),
        producers: anatomy.producers.iter().cloned().collect(),
    };
    let makes_requests = facts.ceiling.iter().any(|it| matches!(it, Capability::Http(_)));
    let effects = if makes_requests { Effects::Requesting } else { Effects::Staged };
    let origin = Origin { component: name, digest, effects };
    if kind.is_policy() {
        // Nothing is ever granted to it.
        facts.ceiling = Vec::new();
        facts.policy = policy(&anatomy, kind, digest, described)
            .map_err(|problem| ReadComponentError::Policy { name: name.clone(), problem: error::text(problem) })?;
    } else if kind == Kind::Plain {
        read_plain(bytes, &anatomy, &manifest, &origin, &mut facts)?;
    } else {
        facts.tools = contract_tools(&anatomy, &manifest, &origin, described, facts.describe.is_some())
            .map_err(|problem| ReadComponentError::Tools { name: name.clone(), problem: error::text(problem) })?;
    }
    Ok((digest, facts))
}

/// Refuses what is too large, or no component at all.
fn check_binary(source: &ComponentSource) -> Result<(), ReadComponentError> {
    let ComponentSource { name, bytes } = source;
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(ReadComponentError::TooLarge { name: name.clone(), bytes: bytes.len() });
    }
    if !Parser::is_component(bytes) {
        let problem = what_it_is(bytes).to_owned();
        return Err(ReadComponentError::Malformed { name: name.clone(), problem });
    }
    Ok(())
}

fn what_it_is(bytes: &[u8]) -> &'static str {
    if Parser::is_core_wasm(bytes) {
        "it is a core module: build it for a component target, such as wasm32-wasip2"
    } else {
        "it does not begin like one"
    }
}

fn manifest(anatomy: &Anatomy<'_>) -> Result<Option<Manifest>, String> {
    match anatomy.manifest {
        Once { data: Some(section), count: 1 } => Manifest::read(section).map(Some),
        Once { count: 0, .. } => Ok(None),
        Once { count, .. } => Err(format!("there are {count} such sections, one is possible")),
    }
}

fn policy(
    anatomy: &Anatomy<'_>,
    kind: Kind,
    digest: Digest,
    described: Option<&str>,
) -> Result<Option<PolicyDeclaration>, String> {
    let section = match (anatomy.mode, described) {
        (Once { count: 0, .. }, None) => return Ok(None),
        (Once { count: 0, .. }, Some(json)) => json.as_bytes(),
        (Once { data: Some(section), count: 1 }, _) => section,
        (Once { count, .. }, _) => return Err(format!("there are {count} sections `{MODE_SECTION}`, one is possible")),
    };
    PolicyDeclaration::read(section, kind, digest).map(Some)
}

fn read_plain(
    bytes: &[u8],
    anatomy: &Anatomy<'_>,
    manifest: &Manifest,
    origin: &Origin<'_>,
    facts: &mut Facts,
) -> Result<(), ReadComponentError> {
    let name = || origin.component.to_owned();
    // It meant to follow the contract.
    if anatomy.tools.count > 0 {
        return Err(ReadComponentError::Contract {
            name: name(),
            found: "no tools".to_owned(),
            known: link::TOOL_INTERFACE,
        });
    }
    let docs = anatomy.docs.iter().copied();
    let plain = plain::read(bytes, anatomy.exports.iter().copied(), manifest, docs, origin)
        .map_err(|problem| ReadComponentError::Exports { name: name(), problem: error::text(problem) })?;
    facts.tools = plain.specs;
    facts.functions = plain.functions;
    facts.not_offered = plain.not_offered;
    facts.undescribed = plain.undescribed;
    facts.proposals = plain.proposals.into_iter().collect();
    Ok(())
}

fn contract_tools(
    anatomy: &Anatomy<'_>,
    manifest: &Manifest,
    origin: &Origin<'_>,
    described: Option<&str>,
    by_call: bool,
) -> Result<Vec<ToolSpec>, String> {
    // What its tools are is said in one place only.
    manifest.check_tools(std::iter::empty())?;
    match (anatomy.tools, described) {
        (Once { data: Some(section), count: 1 }, _) => declared::tools(section, origin),
        (Once { count: 0, .. }, Some(json)) if by_call => declared::tools(json.as_bytes(), origin),
        (Once { count: 0, .. }, None) if by_call => Ok(Vec::new()),
        (Once { count: 0, .. }, _) => {
            let other = anatomy.exports.iter().find(|export| export.starts_with("harness:tool/describe@"));
            let other = other.map(|export| format!(" but `{export}`")).unwrap_or_default();
            Err(format!("there is no such section, and it does not export `{DESCRIBE_INTERFACE}`{other}"))
        }
        (Once { count, .. }, _) => Err(format!("there are {count} such sections, one is needed")),
    }
}

/// The names of a component's exports.
#[cfg(test)]
pub(crate) fn exports(bytes: &[u8]) -> Vec<String> {
    Anatomy::of(bytes).unwrap().exports.iter().map(|export| (*export).to_owned()).collect()
}

#[cfg(test)]
mod tests;
