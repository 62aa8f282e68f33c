//! The components of a session, and what each may do: the built-in ones, the user's, a trusted project's.
//!
//! Promise: a binary runs only with the digest that its list names, checked at each load; a grant that cannot be
//! understood is told with file and line; a built-in component gets what it asks for inside the workspace, and
//! no requests, secrets, variables, questions or other tools unless a list says so.
//!
//! Not here: the lists themselves (harness-config), changing them (`commands/component`).

use crate::builtin;
use crate::failure::Failure;
use crate::settings::Settings;
use harness_config::{ComponentLists, ComponentPlaces, InstalledComponent, Source, WrittenComponent, read_components};
use harness_core::Digest;
use harness_core::grant::{Capability, Grant, Scope};
use harness_core::item::{Category, ToolSpec};
use harness_wasm::{COMPONENT_BYTES_MAX, CallLimits, Component, ComponentSource};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Hexadecimal digits of the digest in the name of a project's binary.
const PROJECT_DIGITS: usize = 12;

/// The components that hold in a folder.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    /// In the order in which the model sees their tools: built-in, the user's, the project's.
    pub(crate) components: Vec<Arc<Component>>,
    /// How many of them are built in.
    pub(crate) built_in: usize,
    /// The lists.
    pub(crate) lists: ComponentLists,
    /// What each may do.
    pub(crate) grants: Vec<Grant>,
}

/// The lists that hold in a folder.
pub(crate) fn lists(settings: &Settings, workspace: Option<&Path>) -> Result<ComponentLists, Failure> {
    let places = ComponentPlaces::usual(&settings.paths, workspace);
    let trust = settings.trust()?;
    read_components(&places, &trust).map_err(|problems| Failure::usage(problems.to_string()))
}

/// Reads the components that hold in a folder. Nothing is compiled.
pub(crate) fn installation(
    settings: &Settings,
    workspace: Option<&Path>,
    limits: CallLimits,
) -> Result<Installation, Failure> {
    let lists = lists(settings, workspace)?;
    let mut components = built_in(limits)?;
    let built_in = components.len();
    for installed in lists.user.components.iter().chain(&lists.project.components) {
        let written = &installed.written;
        if written.digest.is_none() {
            check_built_in(installed, &components[..built_in])?;
            continue;
        }
        if let Some(first) = components.iter().position(|known| known.name() == written.name) {
            if components[first].digest().to_string() == written.digest.as_deref().unwrap_or_default() {
                continue;
            }
            return Err(Failure::usage(format!(
                "{}:{}: there is another component `{}`, {}: remove one of them or add it under another name",
                installed.source,
                installed.line,
                written.name,
                if first < built_in { "a built-in one" } else { "your own" }
            )));
        }
        components.push(load(&lists, installed, limits)?);
    }
    let grants = grants(&lists, &components[..built_in])?;
    Ok(Installation { components, built_in, lists, grants })
}

impl Installation {
    /// The component of a name.
    pub(crate) fn component(&self, name: &str) -> Option<&Arc<Component>> {
        self.components.iter().find(|component| component.name() == name)
    }

    /// Which component offers which tool.
    pub(crate) fn components_by_tool(&self) -> HashMap<String, String> {
        let tools = self.components.iter().flat_map(|component| component.tools());
        tools.map(|tool| (tool.name.clone(), tool.component.clone())).collect()
    }

    /// Whether a name is that of a built-in component.
    pub(crate) fn is_built_in(&self, name: &str) -> bool {
        self.components.iter().take(self.built_in).any(|component| component.name() == name)
    }

    /// What holds now of grants, where the lists may have changed.
    pub(crate) fn grants_now(&self, settings: &Settings, workspace: &Path) -> Result<Vec<Grant>, Failure> {
        grants(&lists(settings, Some(workspace))?, self.components.get(..self.built_in).unwrap_or_default())
    }

    /// What a component may do.
    pub(crate) fn granted(&self, name: &str) -> Vec<Capability> {
        let own = self.grants.iter().filter(|grant| grant.component == name);
        own.map(|grant| grant.capability.clone()).collect()
    }

    /// Tools whose component says nothing of what kind they are are of the kind that a list names.
    pub(crate) fn classify(&self, tools: &mut [ToolSpec]) {
        let installed = self.lists.user.components.iter().chain(&self.lists.project.components);
        for written in installed.map(|installed| &installed.written) {
            let Some(category) = written.category.map(core_category) else { continue };
            let own = tools.iter_mut().filter(|tool| tool.component == written.name);
            for tool in own.filter(|tool| tool.category == Category::Other) {
                tool.category = category;
            }
        }
    }
}

/// The same word in the core's vocabulary.
pub(crate) fn core_category(category: harness_config::Category) -> Category {
    match category {
        harness_config::Category::Read => Category::Read,
        harness_config::Category::Edit => Category::Edit,
        harness_config::Category::Execute => Category::Execute,
        harness_config::Category::Network => Category::Network,
        harness_config::Category::Other => Category::Other,
    }
}

/// The components that are part of the program.
pub(crate) fn built_in(limits: CallLimits) -> Result<Vec<Arc<Component>>, Failure> {
    let sources = builtin::components()
        .map_err(|(path, error)| Failure::usage(format!("{} cannot be read: {error}", path.display())))?;
    let read = |source| {
        Component::read_with(source, limits).map_err(|error| Failure::because("reading a built-in component", &error))
    };
    sources.into_iter().map(read).collect()
}

fn check_built_in(installed: &InstalledComponent, built_in: &[Arc<Component>]) -> Result<(), Failure> {
    let name = &installed.written.name;
    if built_in.iter().any(|component| component.name() == name) {
        return Ok(());
    }
    let known: Vec<&str> = built_in.iter().map(|component| component.name()).collect();
    Err(Failure::usage(format!(
        "{}:{}: `{name}` has no digest and is no built-in component; those are: {}",
        installed.source,
        installed.line,
        known.join(", ")
    )))
}

/// What each component may do, as built-in components ask and the lists say.
fn grants(lists: &ComponentLists, built_in: &[Arc<Component>]) -> Result<Vec<Grant>, Failure> {
    let mut grants = Vec::new();
    for component in built_in {
        let own = component.ceiling().iter().filter(|capability| is_given(capability));
        grants.extend(own.map(|capability| Grant {
            component: component.name().to_owned(),
            capability: capability.clone(),
            scope: Scope::Global,
            until: None,
            source: "built-in".to_owned(),
        }));
    }
    let layers = [(&lists.user, Scope::Principal, "user"), (&lists.project, Scope::Workspace, "project")];
    for (list, scope, source) in layers {
        for installed in &list.components {
            for capability in capabilities(installed)? {
                let component = installed.written.name.clone();
                grants.push(Grant { component, capability, scope, until: None, source: source.to_owned() });
            }
        }
    }
    Ok(grants)
}

/// Whether a built-in component gets it without anybody's word.
fn is_given(capability: &Capability) -> bool {
    match capability {
        Capability::Filesystem { .. } | Capability::Kv { .. } | Capability::Limit { .. } => true,
        Capability::Http(_)
        | Capability::Secret(_)
        | Capability::Env { .. }
        | Capability::Tool { .. }
        | Capability::Question => false,
    }
}

/// The grants of one entry, understood.
pub(crate) fn capabilities(installed: &InstalledComponent) -> Result<Vec<Capability>, Failure> {
    let parse = |grant: &harness_config::GrantLine| {
        let parsed: Result<Capability, _> = grant.text.parse();
        parsed.map_err(|error| Failure::usage(format!("{}: {error}", installed.place_of(grant))))
    };
    installed.grants.iter().map(parse).collect()
}

/// An installed component, its binary checked against the digest that its list names.
fn load(lists: &ComponentLists, installed: &InstalledComponent, limits: CallLimits) -> Result<Arc<Component>, Failure> {
    let written = &installed.written;
    let path = binary_of(lists, installed);
    let again = format!("add it again: harness-host component add FILE --name {}", written.name);
    let bytes = read_binary(&path).map_err(|failure| {
        Failure::usage(format!("{}:{}: {}; {again}", installed.source, installed.line, failure.message))
    })?;
    let found = Digest::of(&bytes);
    if written.digest.as_deref() != Some(found.to_string().as_str()) {
        return Err(Failure::usage(format!(
            "{} is not the component that {}:{} names: it has the digest {found}; {again}",
            path.display(),
            installed.source,
            installed.line
        )));
    }
    let source = ComponentSource { name: written.name.clone(), bytes: bytes.into() };
    let limits = lowered(limits, written);
    let read = match &written.described {
        Some(json) => Component::read_described(source, limits, json),
        None => Component::read_with(source, limits),
    };
    read.map_err(|error| Failure::usage(format!("{}:{}: {error}", installed.source, installed.line)))
}

/// A component's binary, with a limit.
pub(crate) fn read_binary(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("{} cannot be read: {error}", path.display()));
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(Failure::usage(format!("{} is not a regular file", path.display())));
    }
    let mut bytes = Vec::new();
    let limit = COMPONENT_BYTES_MAX as u64 + 1;
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(Failure::usage(format!("{} is larger than {COMPONENT_BYTES_MAX} bytes", path.display())));
    }
    Ok(bytes)
}

/// Where the binary of an installed component is.
pub(crate) fn binary_of(lists: &ComponentLists, installed: &InstalledComponent) -> PathBuf {
    let WrittenComponent { name, digest, .. } = &installed.written;
    let digest = digest.as_deref().unwrap_or_default();
    match &installed.source {
        Source::Project(_) => lists.project.binaries.join(project_binary(name, digest)),
        _ => lists.user.binaries.join(user_binary(digest)),
    }
}

/// The file of a user's binary.
pub(crate) fn user_binary(digest: &str) -> String {
    format!("{}.wasm", digest.replacen(':', "-", 1))
}

/// The file of a project's binary: people of a team meet it.
pub(crate) fn project_binary(name: &str, digest: &str) -> String {
    let digits: String = digest.chars().skip("sha256:".len()).take(PROJECT_DIGITS).collect();
    format!("{name}-{digits}.wasm")
}

/// The limits of a component's calls: those of all calls, where the list does not name lower ones.
fn lowered(mut limits: CallLimits, written: &WrittenComponent) -> CallLimits {
    for (key, maximum) in &written.limits {
        let limit = match *key {
            "fuel" => &mut limits.fuel,
            "deadline-ms" => &mut limits.deadline_ms,
            "memory-bytes" => &mut limits.memory_bytes,
            "table-elements" => &mut limits.table_elements,
            "instances" => &mut limits.instances,
            "stack-bytes" => &mut limits.stack_bytes,
            "output-bytes" => &mut limits.output_bytes,
            "log-bytes" => &mut limits.log_bytes,
            "host-bytes" => &mut limits.host_bytes,
            "open-handles" => &mut limits.open_handles,
            "staged-bytes" => &mut limits.staged_bytes,
            "staged-files" => &mut limits.staged_files,
            "argument-bytes" => &mut limits.argument_bytes,
            "requests" => &mut limits.requests,
            "request-bytes" => &mut limits.request_bytes,
            "response-bytes" => &mut limits.response_bytes,
            "kv-bytes" => &mut limits.kv_bytes,
            _ => continue,
        };
        *limit = (*limit).min(*maximum);
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_can_be_lowered_and_none_raised() {
        for limit in harness_core::outcome::LimitName::ALL {
            let with = |maximum| {
                let written = WrittenComponent { limits: vec![(limit.name(), maximum)], ..WrittenComponent::default() };
                lowered(CallLimits::DEFAULT, &written)
            };
            assert_ne!(with(0), CallLimits::DEFAULT, "{}", limit.name());
            assert_eq!(with(u64::MAX), CallLimits::DEFAULT, "{}", limit.name());
        }
    }
}
