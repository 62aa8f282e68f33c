//! Calls that cannot go on without a person's answer or another call: what is asked and called for them, and
//! how they go on.
//!
//! Promise: a call needs something a bounded number of times; a nested call is judged like any other, and what
//! comes of it reaches the call that needs it and never the model.

use super::mode::ModeVoice;
use super::turn::stopped_outcome;
use super::{Draft, Refusal};
use crate::event::Event;
use crate::ids::{CallId, QuestionId};
use crate::item::Effects;
use crate::limits::{CALL_ROUNDS_MAX, NESTED_CALLS_MAX, NESTED_DEPTH_MAX};
use crate::outcome::{FailureKind, Outcome};
use crate::verdict::{Subject, VerdictKind};

impl Draft<'_> {
    /// A call needs a person's answer.
    pub(super) fn ask_person(&mut self, id: CallId) -> Result<(), Refusal> {
        let call = self.call(id)?;
        let Some(Outcome::NeedsInput { question: words, choices, .. }) = call.reported.as_ref().map(|it| &it.outcome)
        else {
            return Err(Refusal::StaleCall(id));
        };
        if call.rounds >= CALL_ROUNDS_MAX {
            let message = format!("it needed an answer or another tool more than {CALL_ROUNDS_MAX} times");
            return self.end_call(id, &Outcome::failed(FailureKind::Failed, "too-many-questions", message));
        }
        let (words, choices, rounds) = (words.clone(), choices.clone(), call.rounds);
        let component = self.state.tool(&call.tool).map(|tool| tool.component.clone()).filter(|name| !name.is_empty());
        let component = component.unwrap_or_else(|| call.tool.clone());
        let question = QuestionId::from_bits(self.derive(&id.to_string(), "question", rounds));
        self.emit(Event::QuestionAsked { question, call: id, component, words, choices, several: false })
    }

    /// A call needs another: requests it, and answers it at once where it cannot be run.
    pub(super) fn call_other(&mut self, id: CallId) -> Result<(), Refusal> {
        let call = self.call(id)?;
        let Some(Outcome::NeedsCall { tool, arguments, .. }) = call.reported.as_ref().map(|it| &it.outcome) else {
            return Err(Refusal::StaleCall(id));
        };
        let turn = self.state.turn.as_ref();
        let root = turn.and_then(|turn| turn.call(turn.root_of(id)?)).ok_or(Refusal::StaleCall(id))?;
        if call.rounds >= CALL_ROUNDS_MAX || root.nested >= NESTED_CALLS_MAX {
            let message = format!("it needed more than {NESTED_CALLS_MAX} other calls, theirs included");
            return self.end_call(id, &Outcome::failed(FailureKind::Failed, "too-many-calls", message));
        }
        let child = CallId::from_bits(self.derive(&id.to_string(), "nested", call.rounds));
        let tool = tool.clone();
        let arguments = if arguments.trim().is_empty() { "{}".to_owned() } else { arguments.clone() };
        let (parent, provider_call) = (Some(id), String::new());
        self.emit(Event::CallRequested { call: child, provider_call, tool, arguments, parent })?;
        let call = self.call(child)?;
        let problem = if call.depth > NESTED_DEPTH_MAX {
            let message = format!("tools may call each other {NESTED_DEPTH_MAX} deep");
            Some(Outcome::failed(FailureKind::Unsupported, "too-deep", message))
        } else {
            self.impossible(0, call)
        };
        // Otherwise it starts when it is its turn.
        problem.map_or(Ok(()), |outcome| self.end_call(child, &outcome))
    }

    /// Runs a call again that has what it needed, under the rules that hold now. Its arguments were judged
    /// when it began; only what reaches the world at once is asked about again.
    pub(super) fn go_on(&mut self, id: CallId) -> Result<(), Refusal> {
        // What a person answered the model reads, also where the turn ends with this step.
        if self.call(id)?.is_of_session {
            return self.end_asking(id);
        }
        if self.state.turn.as_ref().is_some_and(|turn| turn.stopping.is_some()) {
            let outcome = stopped_outcome(self.call(id)?);
            return self.end_call(id, &outcome);
        }
        let tool = self.call(id)?.tool.clone();
        let is_direct = self.state.tool(&tool).is_some_and(|tool| tool.effects == Effects::Direct);
        let mode = match self.mode_voice(id, None)? {
            ModeVoice::Silent => None,
            ModeVoice::Says { answer, narrowed: None } => answer,
            ModeVoice::Unasked | ModeVoice::Says { .. } => return self.judge_arguments(id),
        };
        match self.verdict(id, &tool, Subject::Arguments, mode.as_ref()) {
            Some((verdict, implementation))
                if verdict.kind == VerdictKind::Allow || verdict.kind == VerdictKind::Ask && !is_direct =>
            {
                self.start(id, implementation)
            }
            _ => self.judge_arguments(id),
        }
    }
}
