//! Modes: entering them, asking their policies, taking what hooks say.
//!
//! Promise: where a mode has a policy, no call runs and no change is put in place before that policy has answered for
//! exactly that; a mode's answer is one voice among others and never more.

use super::arguments::Unambiguous;
use super::{Command, Draft, Refusal};
use crate::change::Manifest;
use crate::event::Event;
use crate::ids::CallId;
use crate::limits::{ARGUMENT_BYTES_MAX, MODE_INSTRUCTIONS_BYTES_MAX, MODES_MAX};
use crate::mode::{HookAnswer, HookPoint, HookWish, ModeSpec, PolicyAnswer};
use crate::state::{Call, CallStage, SessionState, policy_subject};
use crate::verdict::{ModeAnswer, VerdictKind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a mode has to say about a call.
pub(super) enum ModeVoice {
    /// Nothing: there is no mode, or it leaves all to rules and defaults.
    Silent,
    /// Its policy has to be asked first.
    Unasked,
    /// This.
    Says {
        /// Its voice; none where its policy has no opinion.
        answer: Option<ModeAnswer>,
        /// The only arguments that may be run, where the call has others, and the rule that says so.
        narrowed: Option<Narrowed>,
    },
}

/// Arguments in place of those that the model wrote.
pub(super) struct Narrowed {
    /// A JSON object.
    pub(super) arguments: String,
    /// The policy's rule, with the mode's name before it.
    pub(super) by: String,
}

impl ModeVoice {
    fn denies(rule: String, words: String) -> Self {
        Self::Says { answer: Some(ModeAnswer { kind: VerdictKind::Deny, rule, words }), narrowed: None }
    }
}

/// Whether a list of modes can be taken.
pub(super) fn check_modes(modes: &[ModeSpec]) -> Result<(), Refusal> {
    let wrong = |words: String| Err(Refusal::Modes(words));
    if modes.len() > MODES_MAX {
        return wrong(format!("there are {}, at most {MODES_MAX} are taken", modes.len()));
    }
    for (index, mode) in modes.iter().enumerate() {
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if !(1..=32).contains(&mode.name.len()) || !mode.name.chars().all(is_word) {
            return wrong(format!(
                "`{}` is not a mode's name (1 to 32 of a-z, 0-9, _ and -)",
                mode.name.escape_debug()
            ));
        }
        if modes.iter().take(index).any(|other| other.name == mode.name) {
            return wrong(format!("`{}` is there twice", mode.name));
        }
        if mode.instructions.len() > MODE_INSTRUCTIONS_BYTES_MAX {
            let bytes = mode.instructions.len();
            return wrong(format!(
                "the instructions of `{}` have {bytes} bytes, at most {MODE_INSTRUCTIONS_BYTES_MAX} are taken",
                mode.name
            ));
        }
        if let Some(to) = mode.leads_to.iter().find(|to| !modes.iter().any(|it| it.name == **to)) {
            return wrong(format!("`{}` leads to `{to}`, which is not there", mode.name));
        }
    }
    Ok(())
}

/// Whether an input about modes may be taken.
pub(super) fn check(state: &SessionState, input: &Event) -> Result<(), Refusal> {
    match input {
        Event::ModeChosen { mode } if state.mode_named(mode).is_none() => Err(unknown(state, mode)),
        Event::ModesChanged { modes } => check_modes(modes),
        Event::PolicyAnswered { answers } if answers.is_empty() || answers.len() > crate::limits::ANSWERS_MAX => {
            Err(Refusal::Answers { answers: answers.len() })
        }
        Event::HooksAnswered { answers, .. } if answers.is_empty() || answers.len() > crate::limits::ANSWERS_MAX => {
            Err(Refusal::Answers { answers: answers.len() })
        }
        _ => Ok(()),
    }
}

pub(super) fn unknown(state: &SessionState, mode: &str) -> Refusal {
    let known = state.context.iter().flat_map(|context| &context.modes).map(|mode| mode.name.clone()).collect();
    Refusal::UnknownMode { mode: mode.chars().take(80).collect(), known }
}

impl Draft<'_> {
    pub(super) fn take_mode_input(&mut self, input: Event) -> Result<(), Refusal> {
        match &input {
            Event::ModeChosen { mode } => {
                let mode = mode.clone();
                self.emit(input)?;
                self.enter_mode(&mode, "person")?;
                self.judge_again()
            }
            Event::ModesChanged { .. } => {
                self.take_modes(input)?;
                self.judge_again()
            }
            Event::ModelChosen { .. } => self.emit(input),
            Event::PolicyAnswered { answers } => {
                let answers = answers.clone();
                self.emit(input)?;
                self.take_answers(&answers)
            }
            Event::HooksAnswered { .. } => self.take_hooks(input),
            other => Err(Refusal::NotAnInput(other.kind())),
        }
    }

    /// Enters a mode; nothing where it is in force already.
    pub(super) fn enter_mode(&mut self, mode: &str, reason: &str) -> Result<(), Refusal> {
        let Some(spec) = self.state.mode_named(mode) else { return Err(unknown(self.state, mode)) };
        if self.state.mode == mode {
            return Ok(());
        }
        let spec = spec.clone();
        self.enter(&spec, reason)
    }

    fn enter(&mut self, spec: &ModeSpec, reason: &str) -> Result<(), Refusal> {
        let (policy, model, text) = (spec.policy, spec.model.clone(), spec.words());
        let (mode, previous, reason) = (spec.name.clone(), self.state.mode.clone(), reason.to_owned());
        self.emit(Event::ModeEntered { mode, previous, reason, policy, model, text })
    }

    /// Takes an input that may bring other modes: the model is told where its own is not what it was.
    pub(super) fn take_modes(&mut self, input: Event) -> Result<(), Refusal> {
        let before = self.state.mode().map(|mode| (mode.name.clone(), mode.words()));
        self.emit(input)?;
        self.settle_mode()?;
        let is_other =
            |mode: &&ModeSpec| before.is_some_and(|(name, words)| name == mode.name && words != mode.words());
        match self.state.mode().filter(is_other).cloned() {
            Some(mode) => self.enter(&mode, "changed"),
            None => Ok(()),
        }
    }

    /// Puts a session into a mode that there is: the first where it is in none, or where its own is gone.
    fn settle_mode(&mut self) -> Result<(), Refusal> {
        let first = self.state.context.as_ref().and_then(|context| context.modes.first()).map(|mode| mode.name.clone());
        match first {
            Some(first) if self.state.mode.is_empty() => self.enter_mode(&first, "start"),
            Some(first) if self.state.mode().is_none() => self.enter_mode(&first, "gone"),
            None if !self.state.mode.is_empty() => {
                let previous = self.state.mode.clone();
                let (mode, reason, text) = (String::new(), "gone".to_owned(), String::new());
                self.emit(Event::ModeEntered { mode, previous, reason, policy: None, model: None, text })
            }
            _ => Ok(()),
        }
    }

    /// What the mode says about a call, as far as it is known.
    pub(super) fn mode_voice(&self, id: CallId, staged: Option<&Manifest>) -> Result<ModeVoice, Refusal> {
        let call = self.call(id)?;
        let (Some(mode), Some(tool)) = (self.state.mode(), self.state.tool(&call.tool)) else {
            return Ok(ModeVoice::Silent);
        };
        if tool.is_of_session() {
            return Ok(ModeVoice::Silent);
        }
        if mode.tools.as_ref().is_some_and(|tools| !tools.contains(&tool.name)) {
            let words = format!("the mode `{}` does not use {}.", mode.name, tool.name);
            return Ok(ModeVoice::denies(format!("mode.{}.tools", mode.name), words));
        }
        let Some(policy) = mode.policy else { return Ok(ModeVoice::Silent) };
        let Some(answer) = self.state.policy_answer_about(policy, call, staged) else { return Ok(ModeVoice::Unasked) };
        let rule_of = |answer: &PolicyAnswer| format!("mode.{}.{}", mode.name, answer.rule);
        let makes_no_sense = |answer: &PolicyAnswer| answer.narrowed.as_ref().is_some_and(|it| !is_object(it));
        let senseless = || {
            let words = format!("the policy of `{}` gave arguments that are no JSON object, or too long.", mode.name);
            ModeVoice::denies(format!("mode.{}.narrowed", mode.name), words)
        };
        if makes_no_sense(answer) {
            return Ok(senseless());
        }
        // Changes are what they are: only arguments can be narrowed.
        let is_denied = |answer: &PolicyAnswer| answer.verdict == Some(VerdictKind::Deny);
        let is_less = |arguments: &String| **arguments != *call.arguments;
        let narrowed = answer.narrowed.clone().filter(|it| staged.is_none() && !is_denied(answer) && is_less(it));
        // Nor may they be narrowed to what was denied.
        let about = narrowed.as_deref().map(|arguments| policy_subject(&call.tool, arguments, None));
        match about.and_then(|subject| self.state.policy_answer(policy, subject)) {
            Some(denied) if is_denied(denied) => {
                return Ok(ModeVoice::denies(rule_of(denied), denied.words.clone()));
            }
            Some(other) if makes_no_sense(other) => return Ok(senseless()),
            _ => {}
        }
        let by = rule_of(answer);
        let said = answer.verdict.map(|kind| ModeAnswer { kind, rule: by.clone(), words: answer.words.clone() });
        Ok(ModeVoice::Says { answer: said, narrowed: narrowed.map(|arguments| Narrowed { arguments, by }) })
    }

    /// Has the policy asked about a call.
    pub(super) fn ask_policy(&mut self, id: CallId, staged: Option<&Manifest>) -> Result<(), Refusal> {
        let call = self.call(id)?;
        let (tool, arguments) = (call.tool.clone(), Arc::clone(&call.arguments));
        let Some(question) = self.state.policy_question(Some(id), &tool, &arguments, staged) else {
            return Err(Refusal::StaleCall(id));
        };
        self.emit(Event::PolicyAsked { call: id, subject: question.subject })?;
        self.command(Command::AskPolicy { question: Box::new(question) });
        Ok(())
    }

    /// Goes on with the calls that waited for these answers. A call that waits for a person is judged by the last answer.
    fn take_answers(&mut self, answers: &[PolicyAnswer]) -> Result<(), Refusal> {
        // What a policy said that is not in force any more is of no use.
        let policy = self.state.mode().and_then(|mode| mode.policy);
        let is_answered = |subject| answers.iter().any(|it| it.subject == subject && Some(it.policy) == policy);
        let waits = |call: &&Call| match &call.stage {
            CallStage::Judging { subject } => is_answered(*subject),
            CallStage::Asked { .. } => {
                let staged = call.reported.as_ref().and_then(|reported| reported.staged());
                is_answered(policy_subject(&call.tool, &call.arguments, staged))
            }
            _ => false,
        };
        let calls = self.state.turn.iter().flat_map(|turn| turn.calls());
        let answered: Vec<(CallId, CallStage)> =
            calls.filter(waits).map(|call| (call.id, call.stage.clone())).collect();
        if answered.is_empty() {
            return Ok(());
        }
        for (id, stage) in answered {
            match stage {
                CallStage::Asked { approval, .. } => self.judge_asked_again(id, approval)?,
                _ => self.judge_anew(id)?,
            }
        }
        self.advance()
    }

    /// Another mode or another policy is in force: what waits is judged by it.
    pub(super) fn judge_again(&mut self) -> Result<(), Refusal> {
        let Some(turn) = &self.state.turn else { return Ok(()) };
        let open: Vec<(CallId, CallStage)> = turn.calls().iter().map(|call| (call.id, call.stage.clone())).collect();
        for (id, stage) in open {
            match stage {
                CallStage::Judging { .. } => self.judge_anew(id)?,
                CallStage::Asked { approval, .. } => self.judge_asked_again(id, approval)?,
                _ => {}
            }
        }
        self.advance()
    }

    fn judge_anew(&mut self, id: CallId) -> Result<(), Refusal> {
        if self.call(id)?.reported.is_some() { self.judge_report(id) } else { self.judge_arguments(id) }
    }

    fn take_hooks(&mut self, input: Event) -> Result<(), Refusal> {
        let Event::HooksAnswered { point, call, answers } = &input else {
            return Err(Refusal::NotAnInput(input.kind()));
        };
        let (point, call, answers) = (*point, *call, answers.clone());
        self.emit(input)?;
        // The engine makes the request only once these hooks were heard, and not at all where one of them stops it.
        let is_before_request =
            point == HookPoint::BeforeStep && self.state.is_requesting() && !answers.iter().any(HookAnswer::stops);
        let mut has_added = false;
        for answer in answers {
            if !answer.note.is_empty() {
                let (by, text) = (answer.component.clone(), answer.note);
                let reserved = is_before_request.then(|| self.state.reservation_with(&text));
                has_added |= reserved.is_some();
                self.emit(Event::NoteAdded { by, text, reserved })?;
            }
            match answer.wish {
                // The state knows of it by the input.
                HookWish::GoOn | HookWish::Stop { .. } => {}
                HookWish::Mode { mode } => {
                    if self.state.mode_named(&mode).is_some() && self.state.mode != mode {
                        self.emit(Event::ModeProposed { mode, by: answer.component })?;
                    }
                }
            }
        }
        let Some(turn) = &self.state.turn else { return Ok(()) };
        // The response or the report that the hook heard of comes next, and is not lost; so too where no call ran.
        let waits = match point {
            HookPoint::AfterStep => self.state.is_requesting(),
            HookPoint::BeforeCall | HookPoint::AfterCall => call.is_some_and(|call| self.state.is_running(call)),
            _ => false,
        };
        if turn.stopping.is_some() && !waits {
            return self.stop_calls();
        }
        if has_added && let Err(end) = self.reserve_beside(0) {
            self.command(Command::CancelModel);
            return self.end_turn(end);
        }
        Ok(())
    }
}

pub(super) fn is_object(arguments: &str) -> bool {
    let is_one = || serde_json::from_str::<BTreeMap<String, serde::de::IgnoredAny>>(arguments).is_ok();
    let is_clear = || serde_json::from_str::<Unambiguous>(arguments).is_ok();
    arguments.len() <= ARGUMENT_BYTES_MAX && is_one() && is_clear()
}
