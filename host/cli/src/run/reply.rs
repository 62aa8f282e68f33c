//! `sessions answer`: one answer to what a session waits for, by id.
//!
//! Promise: the answer counts for what waits under that id and nothing else; one that means nothing is told, and nothing
//! is recorded.
//!
//! Not here: what follows from it (harness-core), driving the session (`drive`).

use super::answers::{Said, chosen, parse, parse_plan};
use super::waiting::Waiting;
use crate::args::operations::AnswerArgs;
use crate::failure::Failure;
use crate::paint::one_line;
use harness_core::Digest;
use harness_engine::{Ports, Session, SessionError};

/// Gives the answer.
pub(super) async fn give(session: &Session, ports: &Ports, args: &AnswerArgs) -> Result<(), Failure> {
    let failed = |error: SessionError| match error {
        SessionError::Refused(refusal) => Failure::usage(refusal.to_string()),
        other => Failure::because("answering", &other),
    };
    let state = session.snapshot().await.map_err(failed)?.state;
    let waiting = Waiting::of(&state, ports.blobs.as_ref()).await?;
    let line = args.answer.join(" ");
    let is_it = |id: &dyn std::fmt::Display| id.to_string() == args.pending;
    if let Some(shown) = waiting.approvals.iter().find(|shown| is_it(&shown.approval)) {
        let binds_to = match &args.binds_to {
            Some(text) => text.parse::<Digest>().map_err(|error| Failure::usage(error.to_string()))?,
            None => shown.binds_to,
        };
        let said = parse(&line, &shown.asked.offers, shown.asked.can_edit, ports.clock.now());
        let answer = match said.map_err(Failure::usage)? {
            // Nobody edits it here: it is meant as it was offered.
            Said::Answer(answer) | Said::EditPattern(answer) => answer,
            Said::Edit => return Err(Failure::usage("give the arguments: edit '{…}'")),
        };
        return session.answer(shown.approval, binds_to, answer).await.map_err(failed);
    }
    if let Some(shown) = waiting.questions.iter().find(|shown| is_it(&shown.question)) {
        let answer = match line.trim() {
            "" => None,
            line => Some(chosen(line, &shown.choices, shown.several).ok_or_else(|| {
                let choices: Vec<String> = shown.choices.iter().map(|choice| one_line(choice, 80)).collect();
                Failure::usage(format!("`{}` is not one of the choices: {}", one_line(line, 80), choices.join(", ")))
            })?),
        };
        return session.answer_question(shown.question, answer).await.map_err(failed);
    }
    let Some(shown) = waiting.plans.iter().find(|shown| is_it(&shown.plan)) else {
        return Err(Failure::usage(format!(
            "`{}` does not wait for an answer in this session; harness-host sessions pending {} lists what does",
            one_line(&args.pending, 80),
            session.id()
        )));
    };
    let answer =
        parse_plan(&line).ok_or_else(|| Failure::usage("a plan is answered yes, yes MODE, no or no FEEDBACK"))?;
    session.answer_plan(shown.plan, answer).await.map_err(failed)
}
