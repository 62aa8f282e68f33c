//! The modes of a session: built-in ones, the user's, a trusted project's, as components that judge.
//!
//! Promise: nothing of a mode is compiled before the first request to the model has left; a mode that was replaced in a
//! list is replaced in the running session, by digest, before its next prompt. A list that cannot be used changes
//! nothing.
//!
//! Not here: which components there are (`installed`), judging (harness-core, harness-wasm).

use crate::failure::Failure;
use crate::installed::{self, Installation, Listed};
use crate::settings::Settings;
use harness_core::mode::ModeSpec;
use harness_wasm::{ComponentPolicies, PolicyComponent, Runtime};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// The modes that there are now.
#[derive(Clone)]
pub(crate) struct Modes {
    policies: Arc<ComponentPolicies>,
    in_force: Vec<Arc<PolicyComponent>>,
    /// Entries of lists that are no modes: name and digest. They are not read again.
    others: BTreeSet<(String, String)>,
}

impl Modes {
    /// Those of an installation. Nothing is compiled.
    pub(crate) fn new(runtime: &Arc<Runtime>, installation: &Installation) -> Result<Self, Failure> {
        let in_force = installation.policies.clone();
        let policies = ComponentPolicies::new(Arc::clone(runtime), in_force.clone())
            .map_err(|error| Failure::usage(error.to_string()))?;
        let tools = installation.components.iter();
        let others = tools.map(|tool| (tool.name().to_owned(), tool.digest().to_string())).collect();
        Ok(Self { policies: Arc::new(policies), in_force, others })
    }

    /// What judges.
    pub(crate) fn policies(&self) -> &Arc<ComponentPolicies> {
        &self.policies
    }

    /// Whether there is a mode of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.in_force.iter().filter_map(|policy| policy.mode()).any(|mode| mode.name == name)
    }

    /// The components' names.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.in_force.iter().map(|policy| policy.name().to_owned())
    }

    /// The modes as a session takes them, the chosen one first, and what a person should know of them.
    ///
    /// # Errors
    /// If there is no mode of that name.
    pub(crate) fn specs(&self, settings: &Settings, chosen: &str) -> Result<(Vec<ModeSpec>, Vec<String>), Failure> {
        let mut specs: Vec<ModeSpec> = self.in_force.iter().filter_map(|policy| policy.mode()).cloned().collect();
        specs.sort_by(|one, other| (one.name != chosen, &one.name).cmp(&(other.name != chosen, &other.name)));
        let names: Vec<String> = specs.iter().map(|mode| mode.name.clone()).collect();
        if names.first().is_none_or(|first| first != chosen) {
            let chosen = crate::paint::one_line(chosen, 64);
            return Err(Failure::usage(format!("there is no mode `{chosen}`; there are: {}", names.join(", "))));
        }
        let mut notes = Vec::new();
        for mode in &mut specs {
            let (known, gone): (Vec<_>, Vec<_>) =
                std::mem::take(&mut mode.leads_to).into_iter().partition(|to| names.contains(to));
            mode.leads_to = known;
            notes.extend(gone.iter().map(|to| format!("the mode {} leads to {to}, which is not there", mode.name)));
            let provider = mode.model.as_ref().map(|model| &model.provider);
            if provider.is_some_and(|provider| !settings.resolved.providers.contains_key(provider)) {
                let model = mode.model.take().map(|model| model.to_string()).unwrap_or_default();
                notes.push(format!(
                    "the mode {} would like the model {}, whose provider is not configured",
                    mode.name,
                    crate::paint::one_line(&model, 128)
                ));
            }
        }
        Ok((specs, notes))
    }

    /// Looks at the lists again. Whether other modes or hooks are in force from now on.
    ///
    /// # Errors
    /// If a list or an entry of it cannot be used.
    pub(crate) fn refresh(
        &mut self,
        installation: &Installation,
        settings: &Settings,
        workspace: &Path,
    ) -> Result<bool, Failure> {
        let lists = installed::lists(settings, Some(workspace))?;
        let mut now: Vec<Arc<PolicyComponent>> = installation.built_in_policies().to_vec();
        for entry in lists.user.components.iter().chain(&lists.project.components) {
            let Some(digest) = &entry.written.digest else { continue };
            let key = (entry.written.name.clone(), digest.clone());
            if self.others.contains(&key) {
                continue;
            }
            let is_it = |known: &&Arc<PolicyComponent>| known.name() == key.0 && known.digest().to_string() == key.1;
            if let Some(known) = self.in_force.iter().find(is_it) {
                if !now.iter().any(|it| is_it(&it)) {
                    now.push(Arc::clone(known));
                }
                continue;
            }
            match installed::load(&lists, entry, *installation.limits())? {
                Listed::Policy(policy) => now.push(policy),
                Listed::Tools(_) => {
                    self.others.insert(key);
                }
            }
        }
        let digests = |policies: &[Arc<PolicyComponent>]| -> Vec<(String, harness_core::Digest)> {
            policies.iter().map(|policy| (policy.name().to_owned(), policy.digest())).collect()
        };
        if digests(&now) == digests(&self.in_force) {
            return Ok(false);
        }
        self.policies.set(now.clone()).map_err(|error| Failure::usage(error.to_string()))?;
        self.in_force = now;
        Ok(true)
    }
}
