//! What a person answers has consequences at once, and the words reach whoever asked.

use super::Seen;
use harness_core::event::{Answer, PlanAnswer};
use harness_core::{ApprovalId, CallId, Event, PlanId, QuestionId};
use std::collections::BTreeMap;

#[derive(Default)]
struct Asked {
    approvals: BTreeMap<ApprovalId, CallId>,
    /// Whether the model itself asks.
    questions: BTreeMap<QuestionId, (CallId, bool)>,
    plans: BTreeMap<PlanId, CallId>,
}

/// Whether an event says how a call goes on.
fn goes_on(event: &Event, call: CallId) -> bool {
    match event {
        Event::CallStarted { call: it, .. }
        | Event::CallJudged { call: it, .. }
        | Event::CallEnded { call: it, .. }
        | Event::PolicyAsked { call: it, .. }
        | Event::ArgumentsReplaced { call: it, .. }
        | Event::ChangesAuthorized { call: it, .. } => *it == call,
        _ => false,
    }
}

fn ends_with(event: &Event, call: CallId, words: &str) -> bool {
    matches!(event, Event::CallEnded { call: it, text: Some(text), .. } if *it == call && text.contains(words))
}

pub(super) fn no_answer_is_lost(seen: &Seen<'_>) -> Result<(), String> {
    let mut asked = Asked::default();
    for (index, event) in seen.log.iter().enumerate() {
        let follows = |test: &dyn Fn(&Event) -> bool| seen.rest_of_batch(index).any(test);
        let has_effect = match event {
            Event::ApprovalAsked { approval, call, .. } => {
                asked.approvals.insert(*approval, *call);
                true
            }
            Event::QuestionAsked { question, call, component, .. } => {
                asked.questions.insert(*question, (*call, component.is_empty()));
                true
            }
            Event::PlanSubmitted { plan, call, .. } => {
                asked.plans.insert(*plan, *call);
                true
            }
            Event::ApprovalAnswered { approval, answer, .. } => asked.approvals.get(approval).is_some_and(|call| {
                let words = match answer {
                    Answer::No { reason } => Some(reason.trim()),
                    _ => None,
                };
                follows(&|next| match words {
                    Some(words) => ends_with(next, *call, words),
                    None => goes_on(next, *call),
                })
            }),
            Event::QuestionAnswered { question, answer } => {
                asked.questions.get(question).is_some_and(|(call, of_model)| {
                    follows(&|next| match answer {
                        Some(answer) if *of_model => ends_with(next, *call, answer),
                        _ => goes_on(next, *call),
                    })
                })
            }
            Event::PlanAnswered { plan, answer } => asked.plans.get(plan).is_some_and(|call| {
                let words = match answer {
                    PlanAnswer::Approve { .. } => "approved",
                    PlanAnswer::Reject { feedback } => feedback.trim(),
                };
                follows(&|next| ends_with(next, *call, words))
            }),
            _ => true,
        };
        if !has_effect {
            return Err(format!("nothing follows from event {}: {event:?}", index + 1));
        }
    }
    Ok(())
}
