//! Session tools: what the model asks of the session itself, carried out where another call would be run.
//!
//! Promise: no hand is asked; what waits for a person waits under the same id after a crash, and several wait at once.
//!
//! Not here: their arguments (`session_tools`).

use super::mode::unknown;
use super::{Draft, Refusal};
use crate::event::{Event, PlanAnswer};
use crate::ids::{CallId, PlanId, QuestionId};
use crate::limits::ANSWER_BYTES_MAX;
use crate::outcome::{FailureKind, Outcome, Reply};
use crate::session_tools::{self, SessionRequest};
use crate::state::SessionState;
use crate::todo::TodoStatus;

/// Whether a plan's answer may be taken.
pub(super) fn check_plan(state: &SessionState, plan: PlanId, answer: &PlanAnswer) -> Result<(), Refusal> {
    state.plan(plan).ok_or(Refusal::StalePlan(plan))?;
    match answer {
        PlanAnswer::Approve { mode: Some(mode) } if state.mode_named(mode).is_none() => Err(unknown(state, mode)),
        PlanAnswer::Reject { feedback } if feedback.len() > ANSWER_BYTES_MAX => {
            Err(Refusal::AnswerTooLong { bytes: feedback.len() })
        }
        PlanAnswer::Approve { .. } | PlanAnswer::Reject { .. } => Ok(()),
    }
}

impl Draft<'_> {
    /// Does what a call of a session tool asks for.
    pub(super) fn run_session_tool(&mut self, id: CallId) -> Result<(), Refusal> {
        let call = self.call(id)?;
        match session_tools::parse(&call.tool, &call.arguments) {
            Err(words) => self.end_call(id, &Outcome::failed(FailureKind::InvalidArguments, "", words)),
            Ok(SessionRequest::Ask { question: words, choices, several }) => {
                let question = QuestionId::from_bits(self.derive(&id.to_string(), "question", 0));
                self.emit(Event::QuestionAsked {
                    question,
                    call: id,
                    component: String::new(),
                    words,
                    choices,
                    several,
                })
            }
            Ok(SessionRequest::Plan { title, plan: text }) => {
                let plan = PlanId::from_bits(self.derive(&id.to_string(), "plan", 0));
                self.emit(Event::PlanSubmitted { plan, call: id, title, text })
            }
            Ok(SessionRequest::Todos(todos)) => {
                let done = todos.iter().filter(|todo| todo.status == TodoStatus::Done).count();
                let words = format!("The list has {} entries, {done} of them done.", todos.len());
                self.emit(Event::TodosChanged { call: id, todos })?;
                self.end_call(id, &Outcome::text(words))
            }
        }
    }

    /// Ends a call whose question was answered.
    pub(super) fn end_asking(&mut self, id: CallId) -> Result<(), Refusal> {
        let outcome = match self.call(id)?.going_on.as_ref().map(|it| &it.reply) {
            Some(Reply::Answer { text }) => Outcome::text(text.clone()),
            Some(Reply::Unanswered | Reply::Outcome { .. }) | None => {
                Outcome::text("Nobody answered. Go on without the answer, and say what you took for granted.")
            }
        };
        self.end_call(id, &outcome)
    }

    pub(super) fn take_plan_answer(&mut self, input: Event) -> Result<(), Refusal> {
        let Event::PlanAnswered { plan, answer } = &input else { return Err(Refusal::NotAnInput(input.kind())) };
        let (id, answer) = (self.state.plan(*plan).ok_or(Refusal::StalePlan(*plan))?.call.id, answer.clone());
        self.emit(input)?;
        let words = match answer {
            PlanAnswer::Approve { mode } => {
                let leads_to = || self.state.mode().and_then(|mode| mode.leads_to.first().cloned());
                let before = self.state.mode.clone();
                if let Some(mode) = mode.or_else(leads_to) {
                    self.enter_mode(&mode, "plan")?;
                }
                let now = &self.state.mode;
                let mode =
                    if *now == before { String::new() } else { format!(" The session is now in the mode `{now}`.") };
                format!("A person approved the plan.{mode} Carry it out.")
            }
            PlanAnswer::Reject { feedback } if feedback.trim().is_empty() => {
                "A person did not approve the plan and gave no reason.".to_owned()
            }
            PlanAnswer::Reject { feedback } => format!("A person did not approve the plan: {}", feedback.trim()),
        };
        self.end_call(id, &Outcome::text(words))?;
        // Another mode may be in force.
        self.judge_again()
    }
}
