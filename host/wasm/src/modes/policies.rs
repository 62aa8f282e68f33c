//! The policies of a host: its modes by name, every policy by digest, its hooks in their order.
//!
//! Promise: never an error and never a wait without end: a policy that is not there, does not load, breaks or runs out
//! denies, and a hook that does wants nothing and says what broke. A mode whose component was put in another's place
//! answers from then on; what was asked of the old one by its digest is still answered by it.
//!
//! Not here: when somebody is asked (the engine), what an answer is worth (harness-core).

use super::{Ask, Asked, PolicyComponent, answer, question};
use crate::runtime::Runtime;
use async_trait::async_trait;
use harness_core::Digest;
use harness_core::mode::{HookAnswer, HookPoint, HookWish, ModeSpec, PolicyAnswer, PolicyQuestion};
use harness_engine::ports::{HookOccasion, Policy};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

/// Policies that a host knows at the same time, those included that others were put in the place of.
pub const POLICIES_MAX: usize = 256;
/// Components with hooks of their own, without a mode: each takes part in every session.
pub const HOOKS_COMPONENTS_MAX: usize = 32;

/// Why policies cannot be used together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoliciesError {
    /// Two components are a mode of the same name.
    #[error("the components `{first}` and `{second}` are both the mode `{mode}`: leave one of them out")]
    DuplicateMode {
        /// The mode.
        mode: String,
        /// The component named first.
        first: String,
        /// The component named second.
        second: String,
    },
    /// Two components with hooks have the same name.
    #[error("there are two components `{name}` with hooks: give one of them another name")]
    DuplicateHooks {
        /// The name.
        name: String,
    },
    /// Nobody knows what it is.
    #[error("component `{name}` was not asked what it is: add it again")]
    NotDescribed {
        /// The component.
        name: String,
    },
    /// Too many.
    #[error("there are more than {maximum} {what}: remove some")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        maximum: usize,
    },
}

/// Modes and hooks of a host, as components. Shared by all its sessions.
pub struct ComponentPolicies {
    runtime: Arc<Runtime>,
    known: RwLock<Known>,
}

/// What is known now.
#[derive(Default)]
struct Known {
    /// Everything that may still be asked.
    by_digest: HashMap<Digest, Arc<PolicyComponent>>,
    /// The modes in force, by name.
    modes: BTreeMap<String, Arc<PolicyComponent>>,
    /// Hooks without a mode, by their component's name.
    hooks: BTreeMap<String, Arc<PolicyComponent>>,
    /// Where anybody wants to be called, those included that others were put in the place of.
    points: BTreeSet<HookPoint>,
}

impl ComponentPolicies {
    /// The policies of these components.
    ///
    /// # Errors
    /// If two are the same mode or have the same name, one was not described, or there are too many.
    pub fn new(runtime: Arc<Runtime>, components: Vec<Arc<PolicyComponent>>) -> Result<Self, PoliciesError> {
        let mut known = Known::default();
        known.put_all(components)?;
        Ok(Self { runtime, known: RwLock::new(known) })
    }

    /// The modes in force, by name, each with the digest of its component.
    pub fn modes(&self) -> Vec<ModeSpec> {
        self.read(|known| known.modes.values().filter_map(|component| component.mode()).cloned().collect())
    }

    /// The mode in force of that name.
    pub fn mode(&self, name: &str) -> Option<ModeSpec> {
        self.read(|known| known.modes.get(name)?.mode().cloned())
    }

    /// Puts a mode or hooks in force, in the place of those of the same name, which are given back and can still be
    /// asked by their digest.
    ///
    /// # Errors
    /// If it was not described, or there are too many.
    pub fn put(&self, component: Arc<PolicyComponent>) -> Result<Option<Arc<PolicyComponent>>, PoliciesError> {
        self.known.write().unwrap_or_else(PoisonError::into_inner).put(component)
    }

    /// Puts exactly these in force. Those that were can still be asked by their digest. Where they cannot be used
    /// together, nothing changes.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn set(&self, components: Vec<Arc<PolicyComponent>>) -> Result<(), PoliciesError> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Known { by_digest: known.by_digest.clone(), ..Known::default() };
        next.put_all(components)?;
        *known = next;
        Ok(())
    }

    /// Begins to load what is in force, so that the first question need not wait for a compiler.
    pub fn prepare(&self) {
        let components: Vec<_> = self.read(|known| known.in_force().cloned().collect());
        components.iter().for_each(|component| self.runtime.prepare(component.component()));
    }

    fn read<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn hook(&self, component: &Arc<PolicyComponent>, occasion: &HookOccasion) -> HookAnswer {
        let said = match question::occasion(occasion) {
            Ok(occasion) => self.runtime.ask(component, Ask::Hook(Box::new(occasion))).await.said,
            Err(problem) => Err(problem),
        };
        let (wish, note, fault) = match answer::hooked(said) {
            Ok((wish, note)) => (wish, note, None),
            Err(problem) => (HookWish::GoOn, String::new(), Some(answer::problem(problem))),
        };
        HookAnswer { component: component.name().to_owned(), digest: component.digest(), wish, note, fault }
    }
}

impl Known {
    fn in_force(&self) -> impl Iterator<Item = &Arc<PolicyComponent>> {
        self.hooks.values().chain(self.modes.values())
    }

    /// Refuses two in one place.
    fn put_all(&mut self, components: Vec<Arc<PolicyComponent>>) -> Result<(), PoliciesError> {
        for component in components {
            let (name, second) = (component.name().to_owned(), component.name().to_owned());
            let mode = component.mode().map(|mode| mode.name.clone());
            match (self.put(component)?, mode) {
                (None, _) => {}
                (Some(first), Some(mode)) => {
                    let first = first.name().to_owned();
                    return Err(PoliciesError::DuplicateMode { mode, first, second });
                }
                (Some(_), None) => return Err(PoliciesError::DuplicateHooks { name }),
            }
        }
        Ok(())
    }

    /// Gives back what was in its place.
    fn put(&mut self, component: Arc<PolicyComponent>) -> Result<Option<Arc<PolicyComponent>>, PoliciesError> {
        let name = component.name().to_owned();
        if component.needs_describing() {
            return Err(PoliciesError::NotDescribed { name });
        }
        self.make_room(&component)?;
        self.by_digest.insert(component.digest(), component.clone());
        let before = match component.mode().map(|mode| mode.name.clone()) {
            Some(mode) => self.modes.insert(mode, component),
            None => self.hooks.insert(name, component),
        };
        let hooks = self.hooks.values().chain(self.by_digest.values());
        self.points = hooks.flat_map(|component| component.hook_points()).copied().collect();
        Ok(before)
    }

    /// Forgets one that is not in force where there would be too many.
    fn make_room(&mut self, component: &PolicyComponent) -> Result<(), PoliciesError> {
        let is_new_hooks = component.mode().is_none() && !self.hooks.contains_key(component.name());
        if is_new_hooks && self.hooks.len() >= HOOKS_COMPONENTS_MAX {
            return Err(PoliciesError::TooMany { what: "components with hooks", maximum: HOOKS_COMPONENTS_MAX });
        }
        if self.by_digest.len() < POLICIES_MAX || self.by_digest.contains_key(&component.digest()) {
            return Ok(());
        }
        let in_force: BTreeSet<Digest> = self.in_force().map(|component| component.digest()).collect();
        let idle = self.by_digest.keys().find(|digest| !in_force.contains(digest)).copied();
        match idle.and_then(|digest| self.by_digest.remove(&digest)) {
            Some(_) => Ok(()),
            None => Err(PoliciesError::TooMany { what: "modes and hooks", maximum: POLICIES_MAX }),
        }
    }
}

#[async_trait]
impl Policy for ComponentPolicies {
    async fn judge(&self, asked: PolicyQuestion) -> PolicyAnswer {
        let Some(component) = self.read(|known| known.by_digest.get(&asked.policy).cloned()) else {
            return answer::fault(&asked, format!("its component {} is not installed here", asked.policy), 0);
        };
        let said = match question::question(&asked, component.limits().question_bytes) {
            Ok(question) => self.runtime.ask(&component, Ask::Judge(Box::new(question))).await,
            Err(problem) => Asked::not(problem),
        };
        answer::judged(&asked, said)
    }

    fn has_hooks(&self, point: HookPoint) -> bool {
        self.read(|known| known.points.contains(&point))
    }

    async fn run_hooks(&self, occasion: HookOccasion) -> Vec<HookAnswer> {
        let components: Vec<_> = self.read(|known| {
            let of_mode = occasion.policy.and_then(|policy| known.by_digest.get(&policy));
            let wants = |component: &&Arc<PolicyComponent>| component.hook_points().contains(&occasion.point);
            known.hooks.values().chain(of_mode).filter(wants).cloned().collect()
        });
        let mut answers = Vec::with_capacity(components.len());
        for component in &components {
            answers.push(self.hook(component, &occasion).await);
        }
        answers
    }
}
