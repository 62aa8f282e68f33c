//! The manifest of a component: the most it asks for, and what there is to say of plain functions.
//!
//! Promise: untrusted JSON, read strictly: an unknown field, a text that is no capability or a tool that is not
//! exported is refused, and everything that reaches a model or a person is capped and cleaned.
//!
//! Not here: what was granted, and what both have in common.

use crate::clean::clean;
use crate::offered::{self, Power};
use harness_core::grant::{
    AccessKind, CAPABILITIES_MAX, Capability, HostPattern, HttpScope, Methods, Scope, UrlScheme,
};
use harness_core::item::Category;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The custom section that holds a component's manifest.
pub const MANIFEST_SECTION: &str = "harness:manifest";
/// The whole manifest, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 64 << 10;
/// A parameter's description, in bytes.
const PARAMETER_WORDS_BYTES_MAX: usize = 1 << 10;

/// What a component says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    capabilities: Vec<Capability>,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    tools: BTreeMap<String, ToolWords>,
}

/// What it says of one exported function.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolWords {
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) category: Option<Category>,
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads the section.
    pub(super) fn read(section: &[u8]) -> Result<Self, String> {
        if section.len() > MANIFEST_BYTES_MAX {
            return Err(format!("it has {} bytes, more than {MANIFEST_BYTES_MAX}", section.len()));
        }
        let mut manifest: Self = serde_json::from_slice(section).map_err(|error| clean(error.to_string()))?;
        if manifest.capabilities.len() > CAPABILITIES_MAX {
            let count = manifest.capabilities.len();
            return Err(format!("it declares {count} capabilities, {CAPABILITIES_MAX} are possible"));
        }
        for capability in &manifest.capabilities {
            if let Capability::Env { name, value: Some(_) } = capability {
                return Err(format!("`env {name}` has a value: a component asks for a name, a grant gives the value"));
            }
            if matches!(capability, Capability::Http(scope) if !scope.via.is_empty()) {
                return Err(format!("`{capability}` names addresses: only a grant says where a name may lead"));
            }
        }
        manifest.description = words("its description", manifest.description, super::DESCRIPTION_BYTES_MAX)?;
        for (export, tool) in &mut manifest.tools {
            let export = clean(export.clone());
            if let Some(name) = tool.name.as_ref().filter(|name| !super::is_tool_name(name)) {
                return Err(super::not_a_name(name));
            }
            let what = format!("the description of `{export}`");
            tool.description = words(&what, tool.description.take(), super::DESCRIPTION_BYTES_MAX)?;
            for (name, text) in &mut tool.parameters {
                let what = format!("the description of `{}` of `{export}`", clean(name.clone()));
                *text = words(&what, Some(std::mem::take(text)), PARAMETER_WORDS_BYTES_MAX)?.unwrap_or_default();
            }
        }
        Ok(manifest)
    }

    /// The most it asks for, each once.
    pub(super) fn ceiling(&self) -> Vec<Capability> {
        let mut ceiling: Vec<Capability> = Vec::with_capacity(self.capabilities.len());
        for capability in &self.capabilities {
            if !ceiling.contains(capability) {
                ceiling.push(capability.clone());
            }
        }
        ceiling
    }

    /// What it says of an export.
    pub(crate) fn tool(&self, export: &str) -> Option<&ToolWords> {
        self.tools.get(export)
    }

    /// Refuses words about what is not exported.
    pub(crate) fn check_tools(&self, exports: impl Iterator<Item = String>) -> Result<(), String> {
        let exports: BTreeSet<String> = exports.collect();
        match self.tools.keys().find(|export| !exports.contains(*export)) {
            Some(unknown) => Err(format!(
                "its manifest describes `{}`, which is not exported; an export is written \
                 `namespace:package/interface@version#function`, or `function`",
                clean(unknown.clone())
            )),
            None => Ok(()),
        }
    }
}

fn words(what: &str, text: Option<String>, bytes_max: usize) -> Result<Option<String>, String> {
    match text {
        Some(text) if text.len() > bytes_max => Err(format!("{what} has {} bytes, more than {bytes_max}", text.len())),
        text => Ok(text.map(clean)),
    }
}

/// Everything that a component without a manifest could use, by what it imports. Never a secret, a variable,
/// a question or another tool: those must be named.
pub(super) fn ceiling_of<'a>(imports: impl Iterator<Item = &'a str>) -> Vec<Capability> {
    let powers: BTreeSet<Power> = imports
        .filter_map(|import| offered::find(import.split('@').next().unwrap_or(import)))
        .map(|offered| offered.power)
        .collect();
    powers.into_iter().flat_map(all_of).collect()
}

fn all_of(power: Power) -> Vec<Capability> {
    let folder = |access, path: &str| Capability::Filesystem { access, path: path.to_owned() };
    let origin = |scheme: UrlScheme| {
        let (methods, host, path_prefix) = (Methods::Any, HostPattern::Any, "/".to_owned());
        Capability::Http(HttpScope { methods, scheme, host, port: None, path_prefix, via: Vec::new() })
    };
    match power {
        Power::Files => vec![
            folder(AccessKind::Write, "/workspace"),
            folder(AccessKind::Write, "/scratch"),
            folder(AccessKind::Read, "/skill"),
        ],
        Power::Requests => vec![origin(UrlScheme::Https), origin(UrlScheme::Http)],
        Power::Kv => [Scope::Session, Scope::Principal, Scope::Agent, Scope::Global]
            .map(|scope| Capability::Kv { access: AccessKind::Write, scope })
            .to_vec(),
        _ => Vec::new(),
    }
}
