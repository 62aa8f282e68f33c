//! Reading what a component offers and asks for, without running or compiling any of it.
//!
//! Promise: a component's declaration is untrusted text: sizes are capped, names and categories are
//! checked, descriptions are cleaned; whatever is wrong names the component. What it imports and
//! exports is checked here too, so that a component that cannot load is refused before it is compiled.
//!
//! Not here: loading (`load`), checking arguments against the schema (the engine).

use crate::clean::clean;
use crate::limits::{COMPONENT_BYTES_MAX, CallLimits};
use crate::link::{self, MissingImport, REQUESTS_INTERFACE, RESUMABLE_INTERFACE, TOOL_INTERFACE};
use harness_core::Digest;
use harness_core::grant::{CAPABILITIES_MAX, Capability};
use harness_core::item::{Category, Effects, ToolSpec};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use wasmparser::{Encoding, Parser, Payload};

/// The custom section that declares tools.
pub const TOOLS_SECTION: &str = "harness:tools";
/// The whole declaration, in bytes.
pub const TOOLS_SECTION_BYTES_MAX: usize = 256 << 10;
/// The custom section that declares the most a component asks for.
pub const MANIFEST_SECTION: &str = "harness:manifest";
/// That declaration, in bytes.
pub const MANIFEST_SECTION_BYTES_MAX: usize = 64 << 10;
/// Tools of one component.
pub const COMPONENT_TOOLS_MAX: usize = 64;
/// A tool's name, in characters.
pub const TOOL_NAME_CHARS_MAX: usize = 64;
/// A tool's description, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 4 << 10;
/// Modules and components inside one another.
const NESTING_DEPTH_MAX: usize = 16;
/// Imports of a component, and exports: many times what there is to import.
const COMPONENT_NAMES_MAX: usize = 1_000;
/// Missing imports that an error names.
const MISSING_SHOWN_MAX: usize = 5;

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
    tools: Vec<ToolSpec>,
    ceiling: Option<Vec<Capability>>,
    limits: CallLimits,
}

/// Why a component was refused before it was loaded.
#[derive(Debug, thiserror::Error)]
pub enum ReadComponentError {
    /// Larger than a component may be.
    #[error("component `{name}` has {bytes} bytes, more than {COMPONENT_BYTES_MAX}: make it smaller")]
    TooLarge {
        /// The component.
        name: String,
        /// Its size.
        bytes: usize,
    },
    /// Not WebAssembly, or damaged.
    #[error("component `{name}` is not a valid WebAssembly component: {problem}")]
    Malformed {
        /// The component.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// Its declaration cannot be used.
    #[error("component `{name}` declares its tools wrongly in its section `{TOOLS_SECTION}`: {problem}")]
    Tools {
        /// The component.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// What it says it asks for cannot be used.
    #[error("component `{name}` declares what it asks for wrongly in its section `{MANIFEST_SECTION}`: {problem}")]
    Manifest {
        /// The component.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// It wants what this host does not have.
    #[error("component `{name}` cannot be loaded: {}", shown(missing))]
    Imports {
        /// The component.
        name: String,
        /// What it wants and what there is instead.
        missing: Vec<MissingImport>,
    },
    /// It does not export the contract this host knows.
    #[error("component `{name}` exports {found}, this host calls `{TOOL_INTERFACE}`: build it for that version")]
    Contract {
        /// The component.
        name: String,
        /// What it exports in its place.
        found: String,
    },
}

fn shown(missing: &[MissingImport]) -> String {
    let mut words: Vec<_> = missing.iter().take(MISSING_SHOWN_MAX).map(ToString::to_string).collect();
    if missing.len() > MISSING_SHOWN_MAX {
        words.push(format!("and {} more", missing.len() - MISSING_SHOWN_MAX));
    }
    words.join("; ")
}

/// A tool as its component declares it.
#[derive(Debug, Deserialize)]
struct Declaration {
    name: String,
    description: String,
    category: Category,
    parameters: serde_json::Value,
}

/// The most that a component asks for.
#[derive(Debug, Deserialize)]
struct Asked {
    capabilities: Vec<Capability>,
}

/// What the binary's own structure says.
#[derive(Debug, Default)]
struct Shape<'a> {
    section: Option<&'a [u8]>,
    sections: usize,
    manifest: Option<&'a [u8]>,
    manifests: usize,
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Component {
    /// Reads a component, with the limits of the runtime.
    pub fn read(source: ComponentSource) -> Result<Arc<Self>, ReadComponentError> {
        Self::read_with(source, CallLimits::DEFAULT)
    }

    /// Reads a component whose calls get at most these limits; the runtime's apply as well.
    pub fn read_with(source: ComponentSource, limits: CallLimits) -> Result<Arc<Self>, ReadComponentError> {
        let ComponentSource { name, bytes } = source;
        if bytes.len() > COMPONENT_BYTES_MAX {
            return Err(ReadComponentError::TooLarge { name, bytes: bytes.len() });
        }
        let malformed = |problem: String| ReadComponentError::Malformed { name: name.clone(), problem };
        if !Parser::is_component(&bytes) {
            return Err(malformed(what_it_is(&bytes).to_owned()));
        }
        let shape = shape(&bytes).map_err(malformed)?;
        check_contract(&name, &shape)?;
        let missing = link::missing(shape.imports.iter().map(String::as_str));
        if !missing.is_empty() {
            return Err(ReadComponentError::Imports { name, missing });
        }
        let digest = Digest::of(&bytes);
        let ceiling =
            ceiling(&shape).map_err(|problem| ReadComponentError::Manifest { name: name.clone(), problem })?;
        let effects = effects(&shape, ceiling.as_deref());
        let tools = tools(&name, &shape, digest, effects)
            .map_err(|problem| ReadComponentError::Tools { name: name.clone(), problem })?;
        Ok(Arc::new(Self { name, digest, tools, ceiling, limits, bytes }))
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

    /// Its tools, in the order it declares them.
    pub fn tools(&self) -> &[ToolSpec] {
        &self.tools
    }

    /// The most it asks for. Empty also where it does not say: see [`Component::has_manifest`].
    pub fn ceiling(&self) -> &[Capability] {
        self.ceiling.as_deref().unwrap_or_default()
    }

    /// Whether it says what it asks for. One that does not may use whatever it is granted.
    pub fn has_manifest(&self) -> bool {
        self.ceiling.is_some()
    }

    /// The most its calls get.
    pub fn limits(&self) -> &CallLimits {
        &self.limits
    }
}

fn what_it_is(bytes: &[u8]) -> &'static str {
    if Parser::is_core_wasm(bytes) {
        "it is a core module: build it for a component target, such as wasm32-wasip2"
    } else {
        "it does not begin like one"
    }
}

fn shape(bytes: &[u8]) -> Result<Shape<'_>, String> {
    let mut shape = Shape::default();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| error.to_string())? {
            Payload::Version { encoding: Encoding::Module | Encoding::Component, .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                check_room("imports", shape.imports.len(), section.count())?;
                for import in section {
                    let import = import.map_err(|error| error.to_string())?;
                    shape.imports.push(import.name.full_name().to_string());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                check_room("exports", shape.exports.len(), section.count())?;
                for export in section {
                    let export = export.map_err(|error| error.to_string())?;
                    shape.exports.push(export.name.full_name().to_string());
                }
            }
            Payload::CustomSection(section) if section.name() == TOOLS_SECTION => {
                shape.sections += 1;
                shape.section = Some(section.data());
            }
            Payload::CustomSection(section) if section.name() == MANIFEST_SECTION => {
                shape.manifests += 1;
                shape.manifest = Some(section.data());
            }
            _ => {}
        }
        if depth > NESTING_DEPTH_MAX {
            return Err(format!("more than {NESTING_DEPTH_MAX} modules and components inside one another"));
        }
    }
    Ok(shape)
}

/// Refuses names before any of them is kept.
fn check_room(what: &str, known: usize, more: u32) -> Result<(), String> {
    let all = known.saturating_add(usize::try_from(more).unwrap_or(usize::MAX));
    if all > COMPONENT_NAMES_MAX {
        return Err(format!("it has {all} {what}, more than {COMPONENT_NAMES_MAX}"));
    }
    Ok(())
}

fn check_contract(name: &str, shape: &Shape<'_>) -> Result<(), ReadComponentError> {
    let (interface, version) = TOOL_INTERFACE.split_once('@').unwrap_or((TOOL_INTERFACE, ""));
    let exported: Vec<_> = shape
        .exports
        .iter()
        .filter_map(|export| export.split_once('@').filter(|(found, _)| *found == interface))
        .collect();
    if exported.iter().any(|(_, wanted)| link::is_compatible(wanted, version)) {
        return Ok(());
    }
    if shape.exports.iter().any(|export| export == RESUMABLE_INTERFACE) {
        return Ok(());
    }
    let found = match exported.first() {
        Some((_, other)) => format!("`{}`", clean(format!("{interface}@{other}"))),
        None => "no tools".to_owned(),
    };
    Err(ReadComponentError::Contract { name: name.to_owned(), found })
}

/// What the manifest declares, if there is one.
fn ceiling(shape: &Shape<'_>) -> Result<Option<Vec<Capability>>, String> {
    let section = match (&shape.manifest, shape.manifests) {
        (Some(section), 1) => section,
        (_, 0) => return Ok(None),
        (_, several) => return Err(format!("there are {several} such sections, at most one is possible")),
    };
    if section.len() > MANIFEST_SECTION_BYTES_MAX {
        return Err(format!("it has {} bytes, more than {MANIFEST_SECTION_BYTES_MAX}", section.len()));
    }
    let Asked { capabilities } = serde_json::from_slice(section).map_err(|error| clean(error.to_string()))?;
    if capabilities.len() > CAPABILITIES_MAX {
        return Err(format!("it lists {} capabilities, at most {CAPABILITIES_MAX} are possible", capabilities.len()));
    }
    Ok(Some(capabilities))
}

/// Where its calls may have effects: requests leave when they are made.
fn effects(shape: &Shape<'_>, ceiling: Option<&[Capability]>) -> Effects {
    let may_request = match ceiling {
        Some(ceiling) => ceiling.iter().any(|capability| matches!(capability, Capability::Http(_))),
        None => shape.imports.iter().any(|import| import.split('@').next() == Some(REQUESTS_INTERFACE)),
    };
    if may_request { Effects::Requesting } else { Effects::Staged }
}

fn tools(component: &str, shape: &Shape<'_>, digest: Digest, effects: Effects) -> Result<Vec<ToolSpec>, String> {
    let section = match (&shape.section, shape.sections) {
        (Some(section), 1) => section,
        (_, 0) => return Err("there is no such section".to_owned()),
        (_, several) => return Err(format!("there are {several} such sections, one is needed")),
    };
    if section.len() > TOOLS_SECTION_BYTES_MAX {
        return Err(format!("it has {} bytes, more than {TOOLS_SECTION_BYTES_MAX}", section.len()));
    }
    let declared: Vec<Declaration> = serde_json::from_slice(section).map_err(|error| error.to_string())?;
    if declared.is_empty() || declared.len() > COMPONENT_TOOLS_MAX {
        return Err(format!("it lists {} tools, 1 to {COMPONENT_TOOLS_MAX} are possible", declared.len()));
    }
    let mut names = HashSet::new();
    declared
        .into_iter()
        .map(|tool| {
            check_tool(&tool)?;
            if !names.insert(tool.name.clone()) {
                return Err(format!("tool `{}` is listed twice", tool.name));
            }
            Ok(ToolSpec {
                name: tool.name,
                description: clean(tool.description),
                parameters: tool.parameters,
                category: tool.category,
                effects,
                implementation: digest.to_string(),
                component: component.to_owned(),
            })
        })
        .collect()
}

fn check_tool(tool: &Declaration) -> Result<(), String> {
    let is_name_char = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let length = tool.name.chars().count();
    if length == 0 || length > TOOL_NAME_CHARS_MAX || !tool.name.chars().all(is_name_char) {
        let name: String = clean(tool.name.chars().take(TOOL_NAME_CHARS_MAX).collect());
        return Err(format!("`{name}` is not a name of 1 to {TOOL_NAME_CHARS_MAX} of the characters a-z A-Z 0-9 _ -"));
    }
    if tool.description.len() > DESCRIPTION_BYTES_MAX {
        let bytes = tool.description.len();
        return Err(format!(
            "tool `{}`: its description has {bytes} bytes, more than {DESCRIPTION_BYTES_MAX}",
            tool.name
        ));
    }
    if !tool.parameters.is_object() {
        return Err(format!("tool `{}`: its parameters are not a JSON object", tool.name));
    }
    if has_unwanted_text(&tool.parameters) {
        return Err(format!("tool `{}`: its parameters hold control, direction or invisible characters", tool.name));
    }
    Ok(())
}

/// Whether any string of a schema, key or value, holds what `clean` removes. Cleaning could make two
/// keys one, so such a schema is refused.
fn has_unwanted_text(value: &serde_json::Value) -> bool {
    let unwanted = |text: &str| clean(text.to_owned()) != text;
    match value {
        serde_json::Value::String(text) => unwanted(text),
        serde_json::Value::Array(values) => values.iter().any(has_unwanted_text),
        serde_json::Value::Object(fields) => {
            fields.iter().any(|(key, value)| unwanted(key) || has_unwanted_text(value))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    /// A component with so many imports, and as many exports of them.
    fn component(names: usize) -> Vec<u8> {
        let text = (0..names).fold(String::from("(component"), |mut text, number| {
            write!(text, "(import \"i{number}\" (func $i{number}))(export \"e{number}\" (func $i{number}))").unwrap();
            text
        });
        wat::parse_str(text + ")").unwrap()
    }

    /// The same names in one section, as no tool writes it.
    fn imports_in_one_section(count: usize) -> Vec<u8> {
        let number = |mut value: usize| {
            let mut bytes = Vec::new();
            while value >= 0x80 {
                bytes.push((value & 0x7f) as u8 | 0x80);
                value >>= 7;
            }
            bytes.push(value as u8);
            bytes
        };
        let mut section = number(count);
        // A plain name of one character, and a function of type 0.
        section.extend([0x00, 0x01, b'a', 0x01, 0x00].repeat(count));
        [b"\0asm\x0d\0\x01\0\x0a".to_vec(), number(section.len()), section].concat()
    }

    #[test]
    fn names_are_counted_before_they_are_kept() {
        let at_most = component(COMPONENT_NAMES_MAX);
        let found = shape(&at_most).unwrap();
        assert_eq!((found.imports.len(), found.exports.len()), (COMPONENT_NAMES_MAX, COMPONENT_NAMES_MAX));
        assert!(shape(&component(COMPONENT_NAMES_MAX + 1)).unwrap_err().contains("1001 imports, more than 1000"));
        assert_eq!(shape(&imports_in_one_section(2)).unwrap().imports, ["a", "a"]);
        assert!(shape(&imports_in_one_section(1 << 20)).unwrap_err().contains("1048576 imports"));
        let exports = check_room("exports", COMPONENT_NAMES_MAX, 1).unwrap_err();
        assert!(exports.contains("1001 exports"), "{exports}");
        let source = ComponentSource { name: "many".to_owned(), bytes: imports_in_one_section(1 << 20).into() };
        let refused = Component::read(source).unwrap_err().to_string();
        assert!(refused.contains("`many`") && refused.contains("more than 1000"), "{refused}");
    }
}
