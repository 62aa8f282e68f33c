//! Policies and hooks that say what a test tells them.
//!
//! Promise: every question and every occasion is recorded in the order in which it came.

use async_trait::async_trait;
use harness_core::mode::{HookAnswer, HookPoint, HookWish, PolicyAnswer, PolicyQuestion};
use harness_core::{Digest, VerdictKind};
use harness_engine::ports::{HookOccasion, Policy};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

type Judge = Box<dyn Fn(&PolicyQuestion) -> (VerdictKind, Option<String>) + Send + Sync>;

/// Policies that all judge by one function, and hooks that want the same each time.
pub struct ScriptedPolicy {
    judge: Judge,
    hooks: BTreeMap<HookPoint, HookAnswer>,
    asked: Mutex<(Vec<PolicyQuestion>, Vec<HookOccasion>)>,
}

impl ScriptedPolicy {
    /// Policies by a function that gives a verdict and, now and then, narrower arguments.
    pub fn by(judge: impl Fn(&PolicyQuestion) -> (VerdictKind, Option<String>) + Send + Sync + 'static) -> Self {
        Self { judge: Box::new(judge), hooks: BTreeMap::new(), asked: Mutex::default() }
    }

    /// With a hook `scripted` at a point.
    pub fn with_hook(mut self, point: HookPoint, wish: HookWish, note: &str) -> Self {
        let (component, digest) = ("scripted".to_owned(), Digest::ZERO);
        self.hooks.insert(point, HookAnswer { component, digest, wish, note: note.to_owned(), fault: None });
        self
    }

    /// The questions so far.
    pub fn questions(&self) -> Vec<PolicyQuestion> {
        self.asked().0.clone()
    }

    /// The occasions so far.
    pub fn occasions(&self) -> Vec<HookOccasion> {
        self.asked().1.clone()
    }

    fn asked(&self) -> MutexGuard<'_, (Vec<PolicyQuestion>, Vec<HookOccasion>)> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Policy for ScriptedPolicy {
    async fn judge(&self, question: PolicyQuestion) -> PolicyAnswer {
        let (verdict, narrowed) = (self.judge)(&question);
        let (subject, policy, verdict) = (question.subject, question.policy, Some(verdict));
        self.asked().0.push(question);
        let (rule, words) = ("scripted".to_owned(), "the script says so.".to_owned());
        PolicyAnswer { subject, policy, verdict, rule, words, narrowed, fuel: 1 }
    }

    fn has_hooks(&self, point: HookPoint) -> bool {
        self.hooks.contains_key(&point)
    }

    async fn run_hooks(&self, occasion: HookOccasion) -> Vec<HookAnswer> {
        let answers = self.hooks.get(&occasion.point).cloned();
        self.asked().1.push(occasion);
        answers.into_iter().collect()
    }
}
