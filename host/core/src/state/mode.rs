//! Modes in the state: which one is in force, what its policy said, what the model is still to be told.
//!
//! Promise: what a policy said counts only in the step in which it was said, and only from the component that is in
//! force. What it said of a call by narrowing its arguments counts for the arguments that are left, until it speaks of
//! those.

use super::{Call, CallStage, SessionState};
use crate::budget::Price;
use crate::change::Manifest;
use crate::event::{Event, TurnEnd};
use crate::ids::{CallId, Digest};
use crate::item::{Category, Item, ModelRef};
use crate::limits::{NOTES_MAX, POLICY_ANSWERS_MAX};
use crate::mode::{HistorySummary, HookPoint, HookWish, ModeSpec, PolicyAnswer, PolicyQuestion};
use crate::pattern::Arguments;
use std::sync::Arc;

/// Who replaced a call's arguments, where a person did.
pub(crate) const BY_PERSON: &str = "person";

impl SessionState {
    /// The mode in force; none where the context has none.
    pub fn mode(&self) -> Option<&ModeSpec> {
        self.mode_named(&self.mode)
    }

    /// The mode of that name.
    pub fn mode_named(&self, name: &str) -> Option<&ModeSpec> {
        self.context.as_ref()?.modes.iter().find(|mode| mode.name == name)
    }

    /// The model in force: the one a person chose for the session, else the mode's, else the context's.
    pub fn model(&self) -> Option<&ModelRef> {
        let chosen = self.chosen_model.as_ref().map(|(model, _)| model);
        let preferred = || self.mode().and_then(|mode| mode.model.as_ref());
        chosen.or_else(preferred).or_else(|| Some(&self.context.as_ref()?.model))
    }

    /// What the tokens of the model in force cost, where that is known.
    pub fn price(&self) -> Option<Price> {
        match &self.chosen_model {
            Some((_, price)) => *price,
            // What a mode's model costs is not known unless it is the context's.
            None => self.context.as_ref().filter(|context| self.model() == Some(&context.model))?.price,
        }
    }

    /// What has happened, for policies and hooks.
    pub fn summary(&self) -> HistorySummary {
        self.turn.as_ref().map_or(HistorySummary { turn: self.turns, ..HistorySummary::default() }, |turn| {
            HistorySummary {
                turn: turn.number,
                steps: turn.steps,
                calls: turn.calls_ended,
                failed_calls: turn.calls_failed,
                denied_calls: turn.calls_denied,
            }
        })
    }

    /// What the policy in force is to be asked about a call of `tool`, on its arguments or on what it staged; none
    /// where there is no policy or no such tool, or the tool is the session's own.
    pub fn policy_question(
        &self,
        call: Option<CallId>,
        tool: &str,
        arguments: &Arc<str>,
        staged: Option<&Manifest>,
    ) -> Option<PolicyQuestion> {
        let mode = self.mode()?;
        let (policy, spec) = (mode.policy?, self.tool(tool)?);
        if spec.is_of_session() {
            return None;
        }
        Some(PolicyQuestion {
            subject: policy_subject(tool, arguments, staged),
            policy,
            mode: mode.name.clone(),
            call,
            tool: spec.name.clone(),
            component: spec.component.clone(),
            category: spec.category,
            effects: spec.effects,
            arguments: Arc::clone(arguments),
            command_line: Arguments::of(spec, arguments).into_line(),
            staged: staged.cloned(),
            is_tainted: self.is_tainted,
            trust: self.trust_level(spec, staged),
            budget_left: self.budget_left(),
            history: self.summary(),
        })
    }

    /// What the policy in force said about this in the step under way.
    pub fn policy_answer(&self, policy: Digest, subject: Digest) -> Option<&PolicyAnswer> {
        self.answers.iter().rev().find(|answer| answer.policy == policy && answer.subject == subject)
    }

    /// What the policy in force said last of a call, on its arguments or on what it staged.
    pub(crate) fn policy_answer_about<'a>(
        &'a self,
        policy: Digest,
        call: &'a Call,
        staged: Option<&Manifest>,
    ) -> Option<&'a PolicyAnswer> {
        let subject = policy_subject(&call.tool, &call.arguments, staged);
        let by_narrowing = call.narrowing.as_deref();
        by_narrowing
            .filter(|answer| answer.policy == policy && answer.subject == subject)
            .or_else(|| self.policy_answer(policy, subject))
    }

    /// The calls that wait for the policy.
    pub fn judging(&self) -> impl Iterator<Item = &Call> {
        let calls = self.turn.iter().flat_map(|turn| turn.calls());
        calls.filter(|call| matches!(call.stage, CallStage::Judging { .. }))
    }

    /// Whether a hand runs a call.
    pub(crate) fn is_running(&self, call: CallId) -> bool {
        let call = self.turn.as_ref().and_then(|turn| turn.call(call));
        call.is_some_and(|call| call.stage == CallStage::Running)
    }

    /// Whether a call is of a tool that reaches the network.
    pub(super) fn is_of_network(&self, call: CallId) -> bool {
        let call = self.turn.as_ref().and_then(|turn| turn.call(call));
        call.and_then(|call| self.tool(&call.tool)).is_some_and(|tool| tool.category == Category::Network)
    }

    /// Puts what the model is still to be told into the conversation.
    pub(super) fn tell_notes(&mut self) {
        if !self.notes.is_empty() {
            let text = std::mem::take(&mut self.notes).join("\n\n");
            self.history.push(Arc::new(Item::User { text }));
        }
    }

    pub(super) fn apply_mode(&mut self, event: &Event) -> Result<(), &'static str> {
        match event {
            // What follows from it says what changes.
            Event::ModeChosen { .. } | Event::ModeProposed { .. } => {}
            Event::HooksAnswered { point, call, answers } => {
                let has_ended = *point == HookPoint::AfterCall && call.is_some_and(|call| !self.is_running(call));
                let stop = answers.iter().find_map(|answer| match &answer.wish {
                    HookWish::Stop { reason } => {
                        Some(TurnEnd::Stopped { by: answer.component.clone(), words: reason.clone() })
                    }
                    HookWish::GoOn | HookWish::Mode { .. } => None,
                });
                match (&mut self.turn, stop) {
                    // What it heard of has ended, and the next turn is another one.
                    (Some(_), _) if *point == HookPoint::Stop || has_ended => {}
                    (Some(turn), Some(stop)) => {
                        turn.stopping.get_or_insert(stop);
                    }
                    // What is said next begins a turn that ends at once.
                    (None, stop) if *point == HookPoint::Prompt => self.stop_next = stop,
                    (_, _) => {}
                }
            }
            Event::ModesChanged { modes } => {
                let context = self.context.as_mut().ok_or("the session was not opened")?;
                Arc::make_mut(context).modes.clone_from(modes);
            }
            Event::ModelChosen { model, price } => self.chosen_model = Some((model.clone(), *price)),
            Event::ModeEntered { mode, text, .. } => {
                self.mode.clone_from(mode);
                self.note(text);
            }
            Event::NoteAdded { text, reserved: None, .. } => self.note(text),
            // The request that is out reads it, and what else is still to be told.
            Event::NoteAdded { text, reserved: Some(_), .. } => {
                self.tell_notes();
                self.note(text);
                self.tell_notes();
            }
            Event::PolicyAsked { call, subject } => {
                let turn = self.turn.as_mut().ok_or("no turn is under way")?;
                turn.call_mut(*call)?.stage = CallStage::Judging { subject: *subject };
            }
            Event::PolicyAnswered { answers } => {
                // It has spoken of these arguments now: that counts for all that have them.
                for call in self.turn.iter_mut().flat_map(|turn| turn.calls_mut()) {
                    let is_newer =
                        |it: &PolicyAnswer, said: &PolicyAnswer| it.subject == said.subject && it.policy == said.policy;
                    call.narrowing = call.narrowing.take().filter(|said| !answers.iter().any(|it| is_newer(it, said)));
                }
                self.answers.extend(answers.iter().cloned());
                let surplus = self.answers.len().saturating_sub(POLICY_ANSWERS_MAX);
                self.answers.drain(..surplus);
            }
            Event::ArgumentsReplaced { call, arguments, by } => {
                let narrowing = if by == BY_PERSON { None } else { self.narrowing(*call, arguments) };
                let turn = self.turn.as_mut().ok_or("no turn is under way")?;
                let call = turn.call_mut(*call)?;
                call.arguments = arguments.as_str().into();
                call.replaced_by = Some(by.clone());
                call.narrowing = narrowing;
                if by == BY_PERSON {
                    // It begins anew: what it did with the other arguments is dropped.
                    call.reported = None;
                    call.going_on = None;
                    call.rounds = call.rounds.saturating_add(1);
                }
            }
            _ => return Err("it is not about modes"),
        }
        Ok(())
    }

    /// What the policy in force said of a call that it now narrows to these arguments, as said of these.
    fn narrowing(&self, call: CallId, arguments: &str) -> Option<Box<PolicyAnswer>> {
        let call = self.turn.as_ref()?.call(call)?;
        let said = self.policy_answer_about(self.mode()?.policy?, call, None)?;
        let subject = policy_subject(&call.tool, arguments, None);
        Some(Box::new(PolicyAnswer { subject, narrowed: None, ..said.clone() }))
    }

    /// What policies said in the step before is over.
    pub(super) fn begin_step(&mut self) {
        self.answers.clear();
        self.tell_notes();
    }

    pub(super) fn note(&mut self, text: &str) {
        if !text.is_empty() && self.notes.len() < NOTES_MAX {
            self.notes.push(text.to_owned());
        }
    }
}

/// What a policy's answer binds to: tool and arguments, or tool and staged changes.
pub fn policy_subject(tool: &str, arguments: &str, staged: Option<&Manifest>) -> Digest {
    match staged {
        None => Digest::of_parts(&[tool.as_bytes(), b"\0", arguments.as_bytes()]),
        Some(manifest) => {
            let (arguments, digest) = (Digest::of(arguments.as_bytes()).to_string(), manifest.digest().to_string());
            Digest::of_parts(&[tool.as_bytes(), b"\0staged\0", arguments.as_bytes(), b"\0", digest.as_bytes()])
        }
    }
}
