//! The components of a session (tools, modes, hooks), and what each may do: the built-in ones, the user's, a trusted
//! project's.
//!
//! Promise: a binary runs only with the digest that its list names, checked at each load; a grant that cannot be
//! understood is told with file and line; an entry that cannot be used keeps no other from being looked at, and no
//! session begins while there is one; a built-in component gets what it asks for inside the workspace, and
//! no requests, secrets, variables, questions or other tools unless a list says so.
//!
//! Not here: the lists themselves (harness-config), changing them (`commands/component`).

use crate::builtin;
use crate::failure::Failure;
use crate::settings::Settings;
use harness_config::{
    ComponentLists, ComponentPlaces, ConfigProblems, InstalledComponent, Source, WrittenComponent, read_components,
    read_usable_components,
};
use harness_core::Digest;
use harness_core::grant::{Capability, Grant, Scope};
use harness_core::item::{Category, ToolSpec};
use harness_wasm::{
    COMPONENT_BYTES_MAX, CallLimits, Component, ComponentSource, PolicyComponent, PolicyLimits, ReadComponentError,
};
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
    /// Modes and hooks: built-in, the user's, the project's.
    pub(crate) policies: Vec<Arc<PolicyComponent>>,
    /// The most that any call gets.
    limits: CallLimits,
    /// The lists.
    pub(crate) lists: ComponentLists,
    /// What each may do.
    pub(crate) grants: Vec<Grant>,
    /// Entries of the lists that cannot be used: their components and grants are not above.
    pub(crate) unusable: Vec<Unusable>,
    /// What is wrong with whole lists, which hold nothing then.
    pub(crate) problems: Option<ConfigProblems>,
}

/// An entry of a list that cannot be used.
#[derive(Debug, Clone)]
pub(crate) struct Unusable {
    /// The component's name.
    pub(crate) name: String,
    /// Whether it stands in the project's list.
    pub(crate) is_project: bool,
    /// Why, with file and line.
    pub(crate) why: String,
    /// What a person can do about it.
    pub(crate) remedy: String,
}

impl Unusable {
    fn of(installed: &InstalledComponent, why: Failure, remedy: Remedy) -> Self {
        let name = installed.written.name.clone();
        let is_project = matches!(installed.source, Source::Project(_));
        let layer = if is_project { " --project" } else { "" };
        let command = |words: &str| format!("harness-host component {words}{layer}");
        let remove = command(&format!("remove {name}"));
        let remedy = match remedy {
            Remedy::AddAgain => {
                format!("add it again: {}; or remove it: {remove}", command(&format!("add FILE --name {name}")))
            }
            Remedy::Remove => format!("remove it: {remove}"),
            Remedy::Rename => format!("remove it: {remove}; it can be added under another name"),
            // What could end the quotes is in no command that somebody copies.
            Remedy::Revoke(text) if text.contains(|c: char| c == '\'' || c.is_control()) => {
                "correct that grant in the list".to_owned()
            }
            Remedy::Revoke(text) => {
                let revoke = command(&format!("revoke {name} '{text}'"));
                format!("take that grant back: {revoke}; or correct it in the list")
            }
        };
        Self { name, is_project, why: crate::paint::lines(&why.message), remedy: crate::paint::lines(&remedy) }
    }
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.why, self.remedy)
    }
}

/// What helps against an entry that cannot be used.
enum Remedy {
    AddAgain,
    Remove,
    Rename,
    Revoke(String),
}

/// The lists that hold in a folder.
pub(crate) fn lists(settings: &Settings, workspace: Option<&Path>) -> Result<ComponentLists, Failure> {
    let places = ComponentPlaces::usual(&settings.paths, workspace);
    let trust = settings.trust()?;
    read_components(&places, &trust).map_err(|problems| Failure::usage(problems.to_string()))
}

/// Reads the components that hold in a folder. Nothing is compiled. What cannot be used is told beside the rest.
pub(crate) fn installation(
    settings: &Settings,
    workspace: Option<&Path>,
    limits: CallLimits,
) -> Result<Installation, Failure> {
    let places = ComponentPlaces::usual(&settings.paths, workspace);
    let (lists, problems) = read_usable_components(&places, &settings.trust()?);
    let components = builtin::components(limits)?;
    let built_in = components.len();
    let grants = given_to_built_in(&components);
    let policies = builtin::modes()?;
    let unusable = Vec::new();
    let mut found = Installation { components, built_in, policies, limits, lists, grants, unusable, problems };
    let lists = found.lists.clone();
    for installed in lists.user.components.iter().chain(&lists.project.components) {
        match found.add(installed, limits) {
            Ok(granted) => found.grants.extend(granted),
            Err((why, remedy)) => found.unusable.push(Unusable::of(installed, why, remedy)),
        }
    }
    Ok(found)
}

impl Installation {
    /// Takes one entry of a list in; gives what it grants. An entry that cannot be used leaves everything as it is.
    fn add(&mut self, installed: &InstalledComponent, limits: CallLimits) -> Result<Vec<Grant>, (Failure, Remedy)> {
        let granted = granted_by(installed).map_err(|(why, text)| (why, Remedy::Revoke(text)))?;
        let written = &installed.written;
        let Some(digest) = &written.digest else {
            let built_in = self.components.get(..self.built_in).unwrap_or_default();
            check_built_in(installed, built_in).map_err(|why| (why, Remedy::AddAgain))?;
            return Ok(granted);
        };
        let of_tools = self.component(&written.name).map(|first| first.digest());
        if let Some(first) = of_tools.or_else(|| self.policy(&written.name).map(|first| first.digest())) {
            if first.to_string() == *digest {
                return Ok(granted);
            }
            let whose = if self.is_built_in(&written.name) { "a built-in one" } else { "your own" };
            let why = format!(
                "{}:{}: there is another component `{}`, {whose}",
                installed.source, installed.line, written.name
            );
            return Err((Failure::usage(why), Remedy::Rename));
        }
        match load(&self.lists, installed, limits).map_err(|why| (why, Remedy::AddAgain))? {
            Listed::Tools(component) => self.components.push(component),
            Listed::Policy(policy) => {
                self.check_mode(&policy).map_err(|why| {
                    let why = format!("{}:{}: {}", installed.source, installed.line, why.message);
                    (Failure::usage(why), Remedy::Remove)
                })?;
                self.policies.push(policy);
            }
        }
        Ok(granted)
    }

    /// Refuses a mode whose name another component's mode has.
    pub(crate) fn check_mode(&self, policy: &PolicyComponent) -> Result<(), Failure> {
        let Some(mode) = policy.mode() else { return Ok(()) };
        let has_it = |other: &&Arc<PolicyComponent>| other.mode().is_some_and(|its| its.name == mode.name);
        let others = self.policies.iter().filter(|other| other.name() != policy.name());
        match others.into_iter().find(has_it) {
            None => Ok(()),
            Some(other) => {
                let (name, of) = (&mode.name, other.name());
                Err(Failure::usage(format!(
                    "`{}` is a mode `{name}`, and so is `{of}`: one of them has to go, or have its mode renamed",
                    policy.name()
                )))
            }
        }
    }

    /// Only where every entry of every list can be used: a session has all of them, or does not begin.
    pub(crate) fn whole(self) -> Result<Self, Failure> {
        if let Some(problems) = &self.problems {
            return Err(Failure::usage(problems.to_string()));
        }
        if self.unusable.is_empty() {
            return Ok(self);
        }
        let told: Vec<String> = self.unusable.iter().map(ToString::to_string).collect();
        Err(Failure::usage(told.join("\n")))
    }

    /// Refuses an entry that cannot be used.
    pub(crate) fn check_usable(&self, name: &str) -> Result<(), Failure> {
        match self.unusable.iter().find(|unusable| unusable.name == name) {
            Some(unusable) => Err(Failure::usage(unusable.to_string())),
            None => Ok(()),
        }
    }

    /// The components that are part of the program.
    pub(crate) fn built_in(&self) -> &[Arc<Component>] {
        self.components.get(..self.built_in).unwrap_or_default()
    }

    /// The modes that are part of the program.
    pub(crate) fn built_in_policies(&self) -> &[Arc<PolicyComponent>] {
        self.policies.get(..builtin::MODES).unwrap_or_default()
    }

    /// The most that any call gets.
    pub(crate) fn limits(&self) -> &CallLimits {
        &self.limits
    }

    /// The mode or hooks of a component's name.
    pub(crate) fn policy(&self, name: &str) -> Option<&Arc<PolicyComponent>> {
        self.policies.iter().find(|policy| policy.name() == name)
    }

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
        self.built_in().iter().any(|component| component.name() == name)
            || self.built_in_policies().iter().any(|policy| policy.name() == name)
    }

    /// What holds now of grants, where the lists may have changed.
    pub(crate) fn grants_now(&self, settings: &Settings, workspace: &Path) -> Result<Vec<Grant>, Failure> {
        grants(&lists(settings, Some(workspace))?, self.built_in())
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
    let mut grants = given_to_built_in(built_in);
    for installed in lists.user.components.iter().chain(&lists.project.components) {
        grants.extend(granted_by(installed).map_err(|(why, _)| why)?);
    }
    Ok(grants)
}

/// What built-in components may do without anybody's word.
pub(crate) fn given_to_built_in(built_in: &[Arc<Component>]) -> Vec<Grant> {
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
    grants
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

/// The grants of one entry, understood. Else why not, and the text that is none.
pub(crate) fn granted_by(installed: &InstalledComponent) -> Result<Vec<Grant>, (Failure, String)> {
    let (scope, source) = match &installed.source {
        Source::Project(_) => (Scope::Workspace, "project"),
        _ => (Scope::Principal, "user"),
    };
    let parse = |line: &harness_config::GrantLine| {
        let parsed: Result<Capability, _> = line.text.parse();
        let capability = parsed
            .map_err(|error| (Failure::usage(format!("{}: {error}", installed.place_of(line))), line.text.clone()))?;
        let component = installed.written.name.clone();
        Ok(Grant { component, capability, scope, until: None, source: source.to_owned() })
    };
    installed.grants.iter().map(parse).collect()
}

/// What a list installs.
pub(crate) enum Listed {
    /// Tools.
    Tools(Arc<Component>),
    /// A mode or hooks.
    Policy(Arc<PolicyComponent>),
}

/// An installed component, its binary checked against the digest that its list names.
pub(crate) fn load(
    lists: &ComponentLists,
    installed: &InstalledComponent,
    limits: CallLimits,
) -> Result<Listed, Failure> {
    let written = &installed.written;
    let path = binary_of(lists, installed);
    let bytes = read_binary(&path)
        .map_err(|failure| Failure::usage(format!("{}:{}: {}", installed.source, installed.line, failure.message)))?;
    let found = Digest::of(&bytes);
    if written.digest.as_deref() != Some(found.to_string().as_str()) {
        return Err(Failure::usage(format!(
            "{} is not the component that {}:{} names: it has the digest {found}",
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
    let told = |error: ReadComponentError| Failure::usage(format!("{}:{}: {error}", installed.source, installed.line));
    match read {
        Ok(component) => Ok(Listed::Tools(component)),
        Err(ReadComponentError::OtherKind { .. }) => {
            // Most entries are tools: only a mode's binary, which is small, is read twice.
            let source = ComponentSource { name: written.name.clone(), bytes: read_binary(&path)?.into() };
            let policy = match &written.described {
                Some(json) => PolicyComponent::read_described(source, PolicyLimits::DEFAULT, json),
                None => PolicyComponent::read(source, PolicyLimits::DEFAULT),
            };
            let policy = policy.map_err(told)?;
            if policy.digest() != found || policy.needs_describing() {
                let why =
                    if policy.digest() == found { "nobody asked it what it is" } else { "it was changed just now" };
                return Err(Failure::usage(format!(
                    "{}:{}: {}: {why}",
                    installed.source, installed.line, written.name
                )));
            }
            Ok(Listed::Policy(Arc::new(policy)))
        }
        Err(error) => Err(told(error)),
    }
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
