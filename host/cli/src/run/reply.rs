//! `sessions answer`: one answer to what a session waits for, by id.
//!
//! Promise: the answer counts for what waits under that id and nothing else; one that means nothing is told, and nothing
//! is recorded.
//!
//! Not here: what follows from it (harness-core), driving the session (`drive`), giving it to a session that another
//! process holds (`elsewhere`).

use super::answers::{Said, chosen, parse, parse_plan};
use super::waiting::Waiting;
use crate::args::operations::AnswerArgs;
use crate::failure::Failure;
use crate::paint::one_line;
use harness_core::event::{Answer, PlanAnswer};
use harness_core::{ApprovalId, Digest, Event, PlanId, QuestionId, Sequence, SessionId, SessionState};
use harness_engine::{Host, Session, SessionError};

/// Events read from the log at once.
const PAGE_EVENTS_MAX: usize = 500;

/// An answer that was understood.
pub(super) enum Reply {
    /// To an approval, and to what was shown of it.
    Approval(ApprovalId, Digest, Answer),
    /// To a question; none to give no answer.
    Question(QuestionId, Option<String>),
    /// To a plan.
    Plan(PlanId, PlanAnswer),
}

impl Reply {
    /// The input that it is.
    pub(super) fn into_event(self) -> Event {
        match self {
            Self::Approval(approval, binds_to, answer) => Event::ApprovalAnswered { approval, binds_to, answer },
            Self::Question(question, answer) => Event::QuestionAnswered { question, answer },
            Self::Plan(plan, answer) => Event::PlanAnswered { plan, answer },
        }
    }

    /// Gives it to a session that this process writes.
    pub(super) async fn give(self, session: &Session) -> Result<(), SessionError> {
        match self {
            Self::Approval(approval, binds_to, answer) => session.answer(approval, binds_to, answer).await,
            Self::Question(question, answer) => session.answer_question(question, answer).await,
            Self::Plan(plan, answer) => session.answer_plan(plan, answer).await,
        }
    }
}

/// What the answer is, to what the session waits for now.
pub(super) async fn understood(
    host: &Host,
    id: SessionId,
    state: &SessionState,
    args: &AnswerArgs,
) -> Result<Reply, Failure> {
    let waiting = Waiting::of(state, host.ports().blobs.as_ref()).await?;
    let line = args.answer.join(" ");
    let is_it = |id: &dyn std::fmt::Display| id.to_string() == args.pending;
    if let Some(shown) = waiting.approvals.iter().find(|shown| is_it(&shown.approval)) {
        let binds_to = match &args.binds_to {
            Some(text) => text.parse::<Digest>().map_err(|error| Failure::usage(error.to_string()))?,
            None => shown.binds_to,
        };
        if line.trim().is_empty() {
            return Err(Failure::usage(format!(
                "there is no answer: give yes, no REASON, or one of those that harness-host sessions pending {id} shows"
            )));
        }
        let said = parse(&line, &shown.asked.offers, shown.asked.can_edit, host.ports().clock.now());
        let answer = match said.map_err(Failure::usage)? {
            // Nobody edits it here: it is meant as it was offered.
            Said::Answer(answer) | Said::EditPattern(answer) => answer,
            Said::Edit => return Err(Failure::usage("give the arguments: edit '{…}'")),
        };
        return Ok(Reply::Approval(shown.approval, binds_to, answer));
    }
    if let Some(shown) = waiting.questions.iter().find(|shown| is_it(&shown.question)) {
        let answer = match line.trim() {
            "" => None,
            line => Some(chosen(line, &shown.choices, shown.several).ok_or_else(|| {
                let choices: Vec<String> = shown.choices.iter().map(|choice| one_line(choice, 80)).collect();
                Failure::usage(format!("`{}` is not one of the choices: {}", one_line(line, 80), choices.join(", ")))
            })?),
        };
        return Ok(Reply::Question(shown.question, answer));
    }
    let Some(shown) = waiting.plans.iter().find(|shown| is_it(&shown.plan)) else {
        return Err(Failure::usage(format!(
            "`{}` {}; harness-host sessions pending {id} lists what waits",
            one_line(&args.pending, 80),
            why_not(host, id, &args.pending).await?
        )));
    };
    let answer =
        parse_plan(&line).ok_or_else(|| Failure::usage("a plan is answered yes, yes MODE, no or no FEEDBACK"))?;
    Ok(Reply::Plan(shown.plan, answer))
}

/// Why something does not wait in a session.
async fn why_not(host: &Host, id: SessionId, pending: &str) -> Result<String, Failure> {
    let mut why = "does not wait for an answer in this session".to_owned();
    let mut after = Sequence::START;
    loop {
        let page = host.events(id, after, PAGE_EVENTS_MAX).await;
        let page = page.map_err(|error| Failure::because("looking for what was asked", &error))?;
        for logged in &page {
            after = logged.header.sequence;
            let (asked, came) = match &logged.event {
                Some(Event::ApprovalAnswered { approval, .. }) => (approval.to_string(), "answered"),
                Some(Event::ApprovalWithdrawn { approval, .. }) => (approval.to_string(), "withdrawn"),
                Some(Event::QuestionAnswered { question, .. }) => (question.to_string(), "answered"),
                Some(Event::PlanAnswered { plan, .. }) => (plan.to_string(), "answered"),
                _ => continue,
            };
            if asked == pending {
                why = format!("does not wait for an answer any more: it was {came} as event {after}");
            }
        }
        if page.len() < PAGE_EVENTS_MAX {
            return Ok(why);
        }
    }
}
