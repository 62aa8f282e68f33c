//! A call's way from the model's request to its result: judged, run, judged again, put in place.

use super::arguments::Unambiguous;
use super::mode::{ModeVoice, Narrowed};
use super::{Command, Draft, Refusal};
use crate::change::Manifest;
use crate::event::{ApplyResult, Changes, Event};
use crate::ids::{ApprovalId, CallId, Digest, TimeMs};
use crate::item::{Category, Effects, ToolSpec};
use crate::limits::{ARGUMENT_BYTES_MAX, NESTED_PATHS_SHOWN_MAX, REPLACED_ARGUMENTS_SHOWN_CHARS_MAX, STEP_CALLS_MAX};
use crate::outcome::{FailureKind, Outcome};
use crate::session_tools::SUBMIT_PLAN;
use crate::state::{Call, CallStage, Phase};
use crate::verdict::{Judge, ModeAnswer, Subject, Verdict, VerdictKind};

/// The core knows no time: an allowance whose end has come is taken out by an input before the next one.
const BEFORE_ALL_ENDS: Option<TimeMs> = Some(TimeMs(i64::MIN));

impl Draft<'_> {
    pub(super) fn call(&self, id: CallId) -> Result<&Call, Refusal> {
        self.state.turn.as_ref().and_then(|turn| turn.call(id)).ok_or(Refusal::StaleCall(id))
    }

    /// Answers the calls that cannot be run at all.
    pub(super) fn refuse_impossible(&mut self) -> Result<(), Refusal> {
        let Some(turn) = &self.state.turn else { return Err(Refusal::NoTurn) };
        let problems: Vec<(CallId, Outcome)> = turn
            .calls()
            .iter()
            .enumerate()
            .filter_map(|(index, call)| Some((call.id, self.impossible(index, call)?)))
            .collect();
        for (call, outcome) in problems {
            self.end_call(call, &outcome)?;
        }
        Ok(())
    }

    pub(super) fn impossible(&self, index: usize, call: &Call) -> Option<Outcome> {
        let spec = self.state.tool(&call.tool);
        if spec.is_none() {
            let names: Vec<&str> =
                self.state.context.iter().flat_map(|context| &context.tools).map(|tool| tool.name.as_str()).collect();
            let message = format!("there is no tool `{}`; there are: {}", call.tool, names.join(", "));
            return Some(Outcome::failed(FailureKind::UnknownTool, "unknown-tool", message));
        }
        // What looks like the model's own question must be one.
        if call.parent.is_some() && spec.is_some_and(ToolSpec::is_of_session) {
            let message =
                format!("only the model itself calls `{}`; a component asks with the question capability", call.tool);
            return Some(Outcome::failed(FailureKind::NotPermitted, "session-tool", message));
        }
        if index >= STEP_CALLS_MAX {
            let message = format!("one response may make {STEP_CALLS_MAX} calls; make the rest in the next one");
            return Some(Outcome::failed(FailureKind::TooLarge, "too-many-calls", message));
        }
        if call.arguments.len() > ARGUMENT_BYTES_MAX {
            let message =
                format!("the arguments have {} bytes, at most {ARGUMENT_BYTES_MAX} are taken", call.arguments.len());
            return Some(Outcome::failed(FailureKind::TooLarge, "arguments-too-large", message));
        }
        if let Err(error) = serde_json::from_str::<Unambiguous>(&call.arguments) {
            let message = format!("the arguments are not valid JSON: {error}");
            return Some(Outcome::failed(FailureKind::InvalidArguments, "not-json", message));
        }
        None
    }

    /// Starts every call whose turn it is; asks the model again once all have ended.
    ///
    /// Calls that only read run at once. A call that may change something waits for all before it, and
    /// what comes after it waits for it, so that a step has the effect its order promises. A call that another
    /// call needs stands where that one stands. What the model asks the person, and its list, wait for nothing and hold
    /// nothing up; a plan is like a call that only reads, so that changes after it wait for its answer.
    pub(super) fn advance(&mut self) -> Result<(), Refusal> {
        loop {
            let Some(turn) = &self.state.turn else { return Ok(()) };
            if turn.phase == Phase::Between {
                return self.request_next_step();
            }
            if let Some(call) = turn.calls().iter().find(|call| call.stage == CallStage::Answered) {
                let id = call.id;
                self.go_on(id)?;
                continue;
            }
            let Some(next) = self.next_to_start() else { return Ok(()) };
            self.judge_arguments(next)?;
        }
    }

    fn next_to_start(&self) -> Option<CallId> {
        let turn = self.state.turn.as_ref()?;
        let mut earlier_open = false;
        let aside = turn.calls().iter().find(|call| call.stage == CallStage::Requested && self.stands_aside(call));
        if let Some(call) = aside {
            return Some(call.id);
        }
        for call in turn.calls().iter().filter(|call| call.parent.is_none() && !self.stands_aside(call)) {
            let (mut innermost, mut reads) = (call, self.reads(call));
            while let CallStage::Awaiting { child, .. } = &innermost.stage {
                innermost = turn.call(*child)?;
                reads &= self.reads(innermost);
            }
            if innermost.stage == CallStage::Requested && (self.reads(innermost) || !earlier_open) {
                return Some(innermost.id);
            }
            if !call.is_ended() {
                if !reads {
                    return None;
                }
                earlier_open = true;
            }
        }
        None
    }

    /// Whether its place among the others does not matter.
    fn stands_aside(&self, call: &Call) -> bool {
        let is_of_session = call.is_of_session || self.state.tool(&call.tool).is_some_and(ToolSpec::is_of_session);
        is_of_session && call.tool != SUBMIT_PLAN
    }

    fn reads(&self, call: &Call) -> bool {
        self.state
            .tool(&call.tool)
            .is_none_or(|tool| tool.category == Category::Read && tool.effects != Effects::Requesting)
    }

    pub(super) fn verdict(
        &self,
        call: CallId,
        tool: &str,
        subject: Subject<'_>,
        mode: Option<&ModeAnswer>,
    ) -> Option<(Verdict, String)> {
        let context = self.state.context.as_ref()?;
        let spec = context.tools.iter().find(|spec| spec.name == tool)?;
        // What a person allowed was asked for by the model: a component's own call of the tool is another thing.
        let call = self.call(call).ok()?;
        let allowances: &[_] = if call.parent.is_some() { &[] } else { &self.state.allowances };
        let staged = match subject {
            Subject::Staged(manifest) => Some(manifest),
            Subject::Arguments => None,
        };
        let trust = self.state.trust_answer(call, spec, staged);
        let judge = Judge {
            approve: context.approve,
            rules: &context.rules,
            allowances,
            mode,
            trust: trust.as_ref(),
            now: BEFORE_ALL_ENDS,
        };
        Some((judge.judge(spec, &call.arguments, subject), spec.implementation.clone()))
    }

    /// Judges a call on its arguments, once the mode's policy has answered where there is one.
    pub(super) fn judge_arguments(&mut self, id: CallId) -> Result<(), Refusal> {
        let mode = match self.mode_voice(id, None)? {
            ModeVoice::Silent => None,
            ModeVoice::Unasked => return self.ask_policy(id, None),
            ModeVoice::Says { answer, narrowed } => {
                if let Some(Narrowed { arguments, by }) = narrowed {
                    self.emit(Event::ArgumentsReplaced { call: id, arguments, by })?;
                }
                answer
            }
        };
        let call = self.call(id)?;
        let (tool, binds_to) = (call.tool.clone(), call.arguments_digest());
        let Some((verdict, implementation)) = self.verdict(id, &tool, Subject::Arguments, mode.as_ref()) else {
            return self.end_call(id, &Outcome::failed(FailureKind::UnknownTool, "unknown-tool", "the tool is gone"));
        };
        self.emit(Event::CallJudged { call: id, subject: binds_to, verdict: verdict.clone() })?;
        match verdict.kind {
            VerdictKind::Allow => self.start(id, implementation),
            // Whoever wrote the arguments has said yes to them.
            VerdictKind::Ask if self.call(id)?.is_given_by_person() => self.start(id, implementation),
            VerdictKind::Ask => self.ask(id, binds_to, verdict),
            VerdictKind::Deny => self.end_call(id, &Outcome::Denied { rule: verdict.rule, words: verdict.words }),
        }
    }

    pub(super) fn start(&mut self, id: CallId, implementation: String) -> Result<(), Refusal> {
        if !self.has_room_for(id)? {
            return Ok(());
        }
        self.emit(Event::CallStarted { call: id, implementation })?;
        let call = self.call(id)?;
        if call.is_of_session {
            return self.run_session_tool(id);
        }
        let (tool, arguments, resume) = (call.tool.clone(), call.arguments.clone(), call.going_on.clone());
        let command = Command::RunCall { call: id, tool, arguments, resume };
        self.command(command);
        Ok(())
    }

    fn ask(&mut self, call: CallId, binds_to: Digest, verdict: Verdict) -> Result<(), Refusal> {
        let asked = self.call(call)?;
        let parent = asked.parent.and_then(|parent| self.state.turn.as_ref()?.call(parent));
        let words = match parent {
            Some(parent) => format!("called by {}: {}", parent.tool, verdict.words),
            None => verdict.words,
        };
        // One call may be asked about on its arguments and on its changes, and again each time it goes on: as
        // many approvals.
        let approval = ApprovalId::from_bits(self.derive(&format!("{call} {binds_to}"), "approval", asked.rounds));
        self.emit(Event::ApprovalAsked { approval, call, binds_to, rule: verdict.rule, words })
    }

    /// A hand has reported: ends the call, unless it needs something to go on, or staged changes that are
    /// judged first.
    pub(super) fn judge_report(&mut self, id: CallId) -> Result<(), Refusal> {
        let call = self.call(id)?;
        let reported = call.reported.as_ref().ok_or(Refusal::StaleCall(id))?;
        match &reported.outcome {
            Outcome::NeedsInput { .. } => return self.ask_person(id),
            Outcome::NeedsCall { .. } => return self.call_other(id),
            _ => {}
        }
        // A failed call's layer is dropped, whatever was in it.
        let staged = reported.staged().filter(|_| reported.outcome.is_success()).cloned();
        let Some(manifest) = staged else {
            return self.end_reported(id);
        };
        let tool = call.tool.clone();
        let mode = match self.mode_voice(id, Some(&manifest))? {
            ModeVoice::Silent => None,
            ModeVoice::Unasked => return self.ask_policy(id, Some(&manifest)),
            ModeVoice::Says { answer, .. } => answer,
        };
        let Some((verdict, _)) = self.verdict(id, &tool, Subject::Staged(&manifest), mode.as_ref()) else {
            return self.end_call(id, &Outcome::failed(FailureKind::UnknownTool, "unknown-tool", "the tool is gone"));
        };
        let subject = manifest.digest();
        self.emit(Event::CallJudged { call: id, subject, verdict: verdict.clone() })?;
        match verdict.kind {
            VerdictKind::Allow => self.put(id, manifest),
            VerdictKind::Ask => self.ask(id, subject, verdict),
            VerdictKind::Deny => self.end_call(id, &Outcome::Denied { rule: verdict.rule, words: verdict.words }),
        }
    }

    pub(super) fn put(&mut self, call: CallId, manifest: Manifest) -> Result<(), Refusal> {
        self.emit(Event::ChangesAuthorized { call, manifest: manifest.digest() })?;
        self.command(Command::PutChanges { call, manifest });
        Ok(())
    }

    /// Ends a call whose report is all there is to say.
    fn end_reported(&mut self, id: CallId) -> Result<(), Refusal> {
        let call = self.call(id)?;
        let reported = call.reported.as_ref().ok_or(Refusal::StaleCall(id))?;
        let has_kv = reported.outcome.is_success() && !reported.record.kv.is_empty();
        let note = notes(call, &reported.outcome);
        let changes = match (&reported.changes, &reported.put) {
            (Changes::Observed { manifest }, _) | (Changes::Staged { manifest }, Some(ApplyResult::Applied)) => {
                manifest.clone()
            }
            (Changes::None | Changes::Staged { .. }, _) => Manifest::default(),
        };
        let (outcome, is_error) = (reported.outcome.word().to_owned(), !reported.outcome.is_success());
        let repeats = self.notice_repetition(id, &outcome)?;
        let text = match (note, repeats) {
            (None, None) => None,
            (note, repeats) => {
                let reported = self.call(id)?.reported.as_ref().ok_or(Refusal::StaleCall(id))?;
                Some(reported.outcome.model_text(&[]) + &note.unwrap_or_default() + &repeats.unwrap_or_default())
            }
        };
        if has_kv {
            self.emit(Event::KvWritten { call: id })?;
        }
        self.emit(Event::CallEnded { call: id, outcome, text, is_error, changes })
    }

    /// Ends a call with an outcome that no hand reported.
    pub(super) fn end_call(&mut self, call: CallId, outcome: &Outcome) -> Result<(), Refusal> {
        let note = notes(self.call(call)?, outcome).unwrap_or_default();
        let repeats = self.notice_repetition(call, outcome.word())?.unwrap_or_default();
        self.emit(Event::CallEnded {
            call,
            outcome: outcome.word().to_owned(),
            text: Some(outcome.model_text(&[]) + &note + &repeats),
            is_error: !outcome.is_success(),
            changes: Manifest::default(),
        })
    }

    pub(super) fn end_put(&mut self, id: CallId) -> Result<(), Refusal> {
        let put = self.call(id)?.reported.as_ref().and_then(|reported| reported.put.clone());
        match put {
            Some(ApplyResult::Conflict { paths }) => self.end_call(id, &Outcome::Conflict { paths }),
            Some(ApplyResult::Failed { message }) => {
                let message = format!("putting the changes in place failed: {message}");
                self.end_call(id, &Outcome::failed(FailureKind::Failed, "not-applied", message))
            }
            Some(ApplyResult::Applied) | None => self.end_reported(id),
        }
    }

    /// Judges a call that waits for a person again; it goes on waiting unless nobody needs to be asked any more.
    pub(super) fn judge_asked_again(&mut self, id: CallId, approval: ApprovalId) -> Result<(), Refusal> {
        let call = self.call(id)?;
        let staged = call.reported.as_ref().and_then(|reported| reported.staged()).cloned();
        let (tool, arguments) = (call.tool.clone(), call.arguments_digest());
        let (subject, binds_to) = match &staged {
            Some(manifest) => (Subject::Staged(manifest), manifest.digest()),
            None => (Subject::Arguments, arguments),
        };
        let mode = match self.mode_voice(id, staged.as_ref())? {
            ModeVoice::Silent => None,
            ModeVoice::Says { answer, narrowed: None } => answer,
            // What was shown may not be what may be run: the policy that is in force now is asked first.
            ModeVoice::Unasked | ModeVoice::Says { .. } => {
                self.emit(Event::ApprovalWithdrawn { approval })?;
                return match &staged {
                    Some(_) => self.judge_report(id),
                    None => self.judge_arguments(id),
                };
            }
        };
        let Some((verdict, implementation)) = self.verdict(id, &tool, subject, mode.as_ref()) else {
            self.emit(Event::ApprovalWithdrawn { approval })?;
            return self.end_call(id, &Outcome::failed(FailureKind::UnknownTool, "unknown-tool", "the tool is gone"));
        };
        if verdict.kind == VerdictKind::Ask {
            return Ok(());
        }
        self.emit(Event::ApprovalWithdrawn { approval })?;
        self.emit(Event::CallJudged { call: id, subject: binds_to, verdict: verdict.clone() })?;
        match (verdict.kind, staged) {
            (VerdictKind::Allow, Some(manifest)) => self.put(id, manifest),
            (VerdictKind::Allow, None) => self.start(id, implementation),
            (VerdictKind::Ask | VerdictKind::Deny, _) => {
                self.end_call(id, &Outcome::Denied { rule: verdict.rule, words: verdict.words })
            }
        }
    }
}

/// What has to be said of a call besides its outcome.
fn notes(call: &Call, outcome: &Outcome) -> Option<String> {
    let notes = [nested_note(call, outcome), requests_note(call, outcome), replaced_note(call)];
    notes.into_iter().flatten().reduce(|all, note| all + &note)
}

/// What has to be said of a call that put nothing in place, but whose requests left the host.
fn requests_note(call: &Call, outcome: &Outcome) -> Option<String> {
    let requests = &call.reported.as_ref().filter(|_| !outcome.is_success())?.record.requests;
    match requests.iter().filter(|request| request.address.is_some()).count() {
        0 => None,
        1 => Some(" One request was made.".to_owned()),
        made => Some(format!(" {made} requests were made.")),
    }
}

/// What has to be said of a call that did not run with the model's arguments.
fn replaced_note(call: &Call) -> Option<String> {
    let by = call.replaced_by.as_ref()?;
    let by = if by == "person" { "a person".to_owned() } else { format!("rule `{by}`") };
    let shown: String = call.arguments.chars().take(REPLACED_ARGUMENTS_SHOWN_CHARS_MAX).collect();
    let more = if shown.len() < call.arguments.len() { "…" } else { "" };
    Some(format!("\n[Your arguments were replaced by {by}. These counted: {shown}{more}]"))
}

/// What has to be said of a call that did not do what was asked, but whose nested calls changed something.
fn nested_note(call: &Call, outcome: &Outcome) -> Option<String> {
    if outcome.is_success() || call.nested_paths.is_empty() {
        return None;
    }
    let more = if call.nested_paths.len() < NESTED_PATHS_SHOWN_MAX { "" } else { ", …" };
    Some(format!(" What the tools that it called changed stays: {}{more}.", call.nested_paths.join(", ")))
}
