//! A person's answers to approvals, and what is allowed for later calls.
//!
//! Promise: an answer counts for exactly what was shown; an edit is judged like any call and crosses no deny; what is
//! allowed is made from the call that was asked about, never from words of the answer alone.
//!
//! Not here: asking (`call`), where allowances are kept that outlast a session (harness-engine).

use super::mode::is_object;
use super::{Draft, Refusal};
use crate::event::{Answer, AnswerCoverage, Event};
use crate::grant::Scope;
use crate::ids::{ApprovalId, CallId, Digest, TimeMs};
use crate::limits::{ALLOWANCE_BYTES_MAX, ALLOWANCES_MAX, ANSWER_BYTES_MAX, ARGUMENT_BYTES_MAX};
use crate::outcome::Outcome;
use crate::pattern::Arguments;
use crate::state::{BY_PERSON, Call, CallStage, SessionState, may_allow_more, may_be_edited};
use crate::verdict::{Allowance, Coverage};

/// Whether an answer may be taken.
pub(super) fn check(
    state: &SessionState,
    approval: ApprovalId,
    binds_to: Digest,
    answer: &Answer,
) -> Result<(), Refusal> {
    let call = state.asked(approval).ok_or(Refusal::StaleApproval(approval))?;
    let CallStage::Asked { binds_to: shown, rule, .. } = &call.stage else {
        return Err(Refusal::StaleApproval(approval));
    };
    if *shown != binds_to {
        return Err(Refusal::WrongSubject(approval));
    }
    let wrong = |words: String| Err(Refusal::Answer(words));
    match answer {
        Answer::No { reason } if reason.len() > ANSWER_BYTES_MAX => Err(Refusal::AnswerTooLong { bytes: reason.len() }),
        Answer::YesForTool if may_allow_more(call) => {
            check_room(state, &Allowance::of_tool(call.tool.clone(), rule.clone()))
        }
        Answer::Yes | Answer::YesForTool | Answer::No { .. } => Ok(()),
        Answer::Edited { .. } if !may_be_edited(call) => {
            wrong("this call has reached the world already, so it cannot be run with other arguments".to_owned())
        }
        Answer::Edited { arguments } if !is_object(arguments) => wrong(format!(
            "edited arguments are a JSON object of at most {ARGUMENT_BYTES_MAX} bytes, these have {}",
            arguments.len()
        )),
        Answer::Edited { .. } => Ok(()),
        Answer::Allow { .. } if !may_allow_more(call) => wrong(format!(
            "what `{rule}` asks about, or a component's own call, is allowed once at a time: answer yes or no"
        )),
        Answer::Allow { coverage, scope, until } => check_allowance(state, call, rule, coverage, *scope, *until),
    }
}

fn check_allowance(
    state: &SessionState,
    call: &Call,
    rule: &str,
    coverage: &AnswerCoverage,
    scope: Scope,
    until: Option<TimeMs>,
) -> Result<(), Refusal> {
    let wrong = |words: &str| Err(Refusal::Answer(words.to_owned()));
    if !matches!(scope, Scope::Turn | Scope::Session | Scope::Workspace | Scope::Agent | Scope::Global) {
        return wrong("calls are allowed for a turn, a session, a workspace, an agent, or globally");
    }
    let Some(allowance) = allowance(state, call, rule, coverage, scope, until) else {
        return wrong("the tool is gone");
    };
    if let (Coverage::Pattern { pattern }, Some(tool)) = (&allowance.coverage, state.tool(&call.tool))
        && (pattern.is_empty() || !pattern.touches(&Arguments::of(tool, &call.arguments)))
    {
        return wrong("the pattern is not about the call that was asked about: edit it, or answer for this once");
    }
    if serde_json::to_vec(&allowance).map_or(usize::MAX, |bytes| bytes.len()) > ALLOWANCE_BYTES_MAX {
        return wrong("the pattern is too long");
    }
    check_room(state, &allowance)
}

fn check_room(state: &SessionState, allowance: &Allowance) -> Result<(), Refusal> {
    let fits = state.allowances.len() < ALLOWANCES_MAX || state.allowances.contains(allowance);
    if fits { Ok(()) } else { Err(Refusal::TooManyAllowances) }
}

fn allowance(
    state: &SessionState,
    call: &Call,
    rule: &str,
    coverage: &AnswerCoverage,
    scope: Scope,
    until: Option<TimeMs>,
) -> Option<Allowance> {
    let coverage = match coverage {
        AnswerCoverage::Exact => Coverage::Exact { digest: call.arguments_digest() },
        AnswerCoverage::Pattern { pattern } => Coverage::Pattern { pattern: pattern.clone() },
        AnswerCoverage::Tool => Coverage::Tool,
        AnswerCoverage::Category => Coverage::Category { category: state.tool(&call.tool)?.category },
    };
    Some(Allowance { tool: call.tool.clone(), rule: rule.to_owned(), coverage, scope, until })
}

/// Whether an input about allowances may be taken.
pub(super) fn check_allowances(state: &SessionState, input: &Event) -> Result<(), Refusal> {
    match input {
        Event::AllowanceRevoked { allowance, .. } => {
            let found = state.allowances.iter().any(|known| known.id() == *allowance);
            if found { Ok(()) } else { Err(Refusal::UnknownAllowance(*allowance)) }
        }
        Event::AllowancesCarried { allowances } => {
            let own = state.allowances.iter().filter(|known| !known.is_kept()).count();
            if own.saturating_add(allowances.len()) > ALLOWANCES_MAX {
                return Err(Refusal::TooManyAllowances);
            }
            let is_kept = allowances.iter().all(Allowance::is_kept);
            if is_kept { Ok(()) } else { Err(Refusal::Answer("what is carried outlasts a session".to_owned())) }
        }
        other => Err(Refusal::NotAnInput(other.kind())),
    }
}

impl Draft<'_> {
    pub(super) fn take_answer(&mut self, input: Event) -> Result<(), Refusal> {
        let Event::ApprovalAnswered { approval, answer, .. } = &input else {
            return Err(Refusal::NotAnInput(input.kind()));
        };
        let (approval, answer) = (*approval, answer.clone());
        let call = self.state.asked(approval).ok_or(Refusal::StaleApproval(approval))?;
        let CallStage::Asked { rule, .. } = &call.stage else { return Err(Refusal::StaleApproval(approval)) };
        let (id, tool) = (call.id, call.tool.clone());
        let allowance = match &answer {
            Answer::YesForTool if may_allow_more(call) => Some(Allowance::of_tool(tool.clone(), rule.clone())),
            Answer::Allow { coverage, scope, until } => allowance(self.state, call, rule, coverage, *scope, *until),
            Answer::Yes | Answer::YesForTool | Answer::No { .. } | Answer::Edited { .. } => None,
        };
        let is_other = |arguments: &str| *arguments != *call.arguments;
        let edited = match &answer {
            Answer::Edited { arguments } if is_other(arguments) => Some(arguments.clone()),
            _ => None,
        };
        let staged = call.reported.as_ref().and_then(|reported| reported.staged()).cloned();
        self.emit(input)?;
        if let Answer::No { reason } = &answer {
            let words = match reason.trim() {
                "" => "a person said no.".to_owned(),
                reason if reason.ends_with(['.', '!', '?']) => format!("a person said no: {reason}"),
                reason => format!("a person said no: {reason}."),
            };
            self.end_call(id, &Outcome::Denied { rule: "person".to_owned(), words })?;
            return self.advance();
        }
        if let Some(arguments) = edited {
            self.emit(Event::ArgumentsReplaced { call: id, arguments, by: BY_PERSON.to_owned() })?;
            self.judge_arguments(id)?;
            return self.advance();
        }
        if let Some(allowance) = allowance {
            self.emit(Event::AllowanceGranted { allowance })?;
        }
        match staged {
            Some(manifest) => self.put(id, manifest)?,
            None => {
                let implementation = self.state.tool(&tool).map(|tool| tool.implementation.clone());
                self.start(id, implementation.unwrap_or_default())?;
            }
        }
        if matches!(answer, Answer::Allow { .. }) {
            self.judge_all_asked_again()?;
        }
        self.advance()
    }

    /// What waits for a person may not have to any more.
    fn judge_all_asked_again(&mut self) -> Result<(), Refusal> {
        let calls = self.state.pending();
        let asked: Vec<(CallId, ApprovalId)> =
            calls.iter().map(|pending| (pending.call.id, pending.approval)).collect();
        for (id, approval) in asked {
            self.judge_asked_again(id, approval)?;
        }
        Ok(())
    }
}
