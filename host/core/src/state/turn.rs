//! A turn under way: which request is out, which calls are open and how far each has come.

use super::Results;
use super::mode::BY_PERSON;
use super::spending::{REPEAT_MARKS_MAX, repeat_mark};
use crate::budget::{Reservation, Spent};
use crate::change::Manifest;
use crate::event::{ApplyResult, Changes, Event, ModelFailure, ModelStop, TurnEnd, TurnLimits};
use crate::grant::Capability;
use crate::ids::{ApprovalId, CallId, Digest, PlanId, QuestionId, TurnId};
use crate::item::{Effects, ModelRef, ToolResult, Usage};
use crate::limits::NESTED_PATHS_SHOWN_MAX;
use crate::mode::PolicyAnswer;
use crate::outcome::{CallUsage, Outcome, Reply, Resume};
use crate::record::CallRecord;
use crate::trust::TrustKey;
use crate::verdict::arguments_digest;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How far a call has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallStage {
    /// The model asked for it.
    Requested,
    /// A person is asked, before it runs or before its changes are put in place.
    Asked {
        /// The approval.
        approval: ApprovalId,
        /// What the answer binds to.
        binds_to: Digest,
        /// The rule that asks.
        rule: String,
        /// Words for the person.
        words: String,
    },
    /// The mode's policy is asked, about the arguments or about the staged changes.
    Judging {
        /// What it is asked about, by digest.
        subject: Digest,
    },
    /// A hand runs it.
    Running,
    /// A hand has reported; the changes are judged.
    Reported,
    /// Its changes are being put in place.
    Putting,
    /// A person is asked what its component, or the model itself, wants to know.
    Questioned {
        /// The question.
        question: QuestionId,
        /// The component, or the tool where none is named; empty where the model itself asks.
        component: String,
        /// What is asked.
        words: String,
        /// The answers to choose from.
        choices: Vec<String>,
        /// Several of them may be chosen.
        several: bool,
        /// What the component left for itself.
        state: String,
    },
    /// A person is asked to approve a plan.
    Planned {
        /// The plan.
        plan: PlanId,
        /// What it is about.
        title: String,
        /// The plan.
        text: String,
    },
    /// Another call, which this one needs, is under way.
    Awaiting {
        /// That call.
        child: CallId,
        /// What the component left for itself.
        state: String,
        /// What was in force for this one, as its hand said: that call gets no more. Empty where it did not say.
        in_force: Vec<Capability>,
    },
    /// What it needed is there: it is to go on.
    Answered,
    /// The model will be told this.
    Ended(ToolResult),
}

/// What a hand reported of a call that has not ended yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportedCall {
    /// What came of it.
    pub outcome: Outcome,
    /// What it changed.
    pub changes: Changes,
    /// What it used.
    pub usage: CallUsage,
    /// What else it did, and what it was told.
    pub record: CallRecord,
    /// How putting the changes in place went, once it did.
    pub put: Option<ApplyResult>,
}

impl ReportedCall {
    /// The staged changes, if there are any.
    pub fn staged(&self) -> Option<&Manifest> {
        match &self.changes {
            Changes::Staged { manifest } if !manifest.is_empty() => Some(manifest),
            Changes::Staged { .. } | Changes::None | Changes::Observed { .. } => None,
        }
    }
}

/// A call of the step under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Our id for it.
    pub id: CallId,
    /// The provider's id for it; empty where another call needs it.
    pub provider_call: String,
    /// The tool, as the model named it.
    pub tool: String,
    /// The arguments, JSON text.
    pub arguments: Arc<str>,
    /// The call that needs this one; none where the model asked for it.
    pub parent: Option<CallId>,
    /// How many calls stand between the model and this one.
    pub depth: u32,
    /// How far it has come.
    pub stage: CallStage,
    /// Where its effects go, as the tool said when the call was started; none before.
    pub effects: Option<Effects>,
    /// What a hand reported of it.
    pub reported: Option<Box<ReportedCall>>,
    /// Where it goes on, or went on when it was last started; none where it begins.
    pub going_on: Option<Resume>,
    /// How often it needed something.
    pub rounds: u32,
    /// How many calls it and those that it needed needed; counted for calls of the model's.
    pub nested: u32,
    /// What those calls changed, as far as it is named.
    pub nested_paths: Vec<String>,
    /// Who gave it other arguments than the model did: a rule's id, or `person`.
    pub replaced_by: Option<String>,
    /// What the policy said of its arguments by narrowing them to these; none once it has spoken of them again.
    pub narrowing: Option<Box<PolicyAnswer>>,
    /// What a person, or trust, stood up for when it was allowed.
    pub vouched: Option<TrustKey>,
    /// It was started as one of the session's own tools.
    pub is_of_session: bool,
}

/// A question that waits for a person.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The question.
    pub question: QuestionId,
    /// The call that needs the answer.
    pub call: &'a Call,
    /// The component, or the tool where none is named; empty where the model itself asks.
    pub component: &'a str,
    /// What is asked, in the component's or the model's words.
    pub words: &'a str,
    /// The answers to choose from; empty where any text is one.
    pub choices: &'a [String],
    /// Several of them may be chosen.
    pub several: bool,
}

impl Call {
    /// Whether the model has its answer.
    pub fn is_ended(&self) -> bool {
        matches!(self.stage, CallStage::Ended(_))
    }

    /// Takes the state that the component left when it said what it needs, and what was in force for it.
    fn take_need(&mut self) -> Result<(String, Vec<Capability>), &'static str> {
        let reported = self.reported.take().ok_or("it has not reported")?;
        self.rounds = self.rounds.saturating_add(1);
        match reported.outcome {
            Outcome::NeedsInput { state, .. } | Outcome::NeedsCall { state, .. } => {
                Ok((state, reported.record.in_force))
            }
            _ => Err("it needs nothing"),
        }
    }

    /// Whether its arguments are a person's own and it has not run with them.
    pub(crate) fn is_given_by_person(&self) -> bool {
        self.replaced_by.as_deref() == Some(BY_PERSON) && self.reported.is_none() && self.going_on.is_none()
    }

    /// What an approval of the arguments binds to.
    pub fn arguments_digest(&self) -> Digest {
        arguments_digest(&self.tool, &self.arguments)
    }
}

/// An approval that waits for a person.
#[derive(Debug, Clone, Copy)]
pub struct Pending<'a> {
    /// The approval.
    pub approval: ApprovalId,
    /// The call it is about.
    pub call: &'a Call,
    /// What the answer binds to.
    pub binds_to: Digest,
    /// The rule that asks.
    pub rule: &'a str,
    /// Words for the person.
    pub words: &'a str,
}

/// A plan that waits for a person.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The plan.
    pub plan: PlanId,
    /// The call that submitted it.
    pub call: &'a Call,
    /// What it is about, in the model's words.
    pub title: &'a str,
    /// The plan, Markdown.
    pub text: &'a str,
}

/// What a turn is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing yet, or between a step's last result and the next request.
    Between,
    /// A model request is out.
    Requesting {
        /// The attempt, from 1.
        attempt: u32,
    },
    /// A model request failed; what follows is being decided.
    Failed {
        /// The attempt that failed.
        attempt: u32,
        /// Why.
        failure: ModelFailure,
    },
    /// A repetition waits.
    Waiting {
        /// The attempt that will be made.
        attempt: u32,
        /// The whole wait, in milliseconds.
        delay_ms: u64,
    },
    /// The model has answered; its calls are under way.
    Calling {
        /// Why it stopped.
        stop: ModelStop,
        /// Its calls, in order.
        calls: Vec<Call>,
    },
}

/// A turn under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// The turn.
    pub id: TurnId,
    /// Its number in the session.
    pub number: u32,
    /// Model requests answered.
    pub steps: u32,
    /// What it cost so far.
    pub usage: Usage,
    /// What limits it.
    pub limits: TurnLimits,
    /// Calls that ended.
    pub calls_ended: u32,
    /// Those of them that did not do what was asked, the denied ones included.
    pub calls_failed: u32,
    /// Those of them that were denied.
    pub calls_denied: u32,
    /// What it has spent.
    pub spent: Spent,
    /// What is set aside for the request that is out.
    pub reserved: Reservation,
    /// The last calls of the model's that ended, each with what came of it, by digest.
    pub recent: Vec<Digest>,
    /// The model that was asked last: another may have been chosen since.
    pub asked: Option<ModelRef>,
    /// Why it is to end as soon as nothing is being put in place any more; none where it goes on.
    pub stopping: Option<TurnEnd>,
    /// A person stopped it without a word: what interrupted it before that waits like everything else.
    pub is_stopped_without_word: bool,
    /// What it is doing.
    pub phase: Phase,
}

impl Turn {
    pub(super) fn new(id: TurnId, number: u32, limits: TurnLimits) -> Self {
        let (usage, phase) = (Usage::default(), Phase::Between);
        let (steps, calls_ended, calls_failed, calls_denied) = (0, 0, 0, 0);
        Self {
            id,
            number,
            steps,
            usage,
            limits,
            calls_ended,
            calls_failed,
            calls_denied,
            spent: Spent::default(),
            reserved: Reservation::default(),
            recent: Vec::new(),
            asked: None,
            stopping: None,
            is_stopped_without_word: false,
            phase,
        }
    }

    /// Counts a call that ends.
    pub(super) fn count(&mut self, call: CallId, outcome: &str, is_error: bool) {
        if let Some(mark) = self.call(call).and_then(|call| repeat_mark(call, outcome)) {
            let surplus = (self.recent.len() + 1).saturating_sub(REPEAT_MARKS_MAX);
            self.recent.drain(..surplus);
            self.recent.push(mark);
        }
        self.calls_ended = self.calls_ended.saturating_add(1);
        self.calls_failed = self.calls_failed.saturating_add(u32::from(is_error));
        self.calls_denied = self.calls_denied.saturating_add(u32::from(outcome == "denied"));
    }

    /// The calls of the step under way, in order.
    pub fn calls(&self) -> &[Call] {
        match &self.phase {
            Phase::Calling { calls, .. } => calls,
            Phase::Between | Phase::Requesting { .. } | Phase::Failed { .. } | Phase::Waiting { .. } => &[],
        }
    }

    /// The call of that id in the step under way.
    pub fn call(&self, id: CallId) -> Option<&Call> {
        self.calls().iter().find(|call| call.id == id)
    }

    pub(super) fn calls_mut(&mut self) -> &mut [Call] {
        match &mut self.phase {
            Phase::Calling { calls, .. } => calls,
            _ => &mut [],
        }
    }

    pub(super) fn call_mut(&mut self, id: CallId) -> Result<&mut Call, &'static str> {
        let Phase::Calling { calls, .. } = &mut self.phase else { return Err("no calls are under way") };
        let call = calls.iter_mut().find(|call| call.id == id).ok_or("there is no such call")?;
        if call.is_ended() { Err("the call has ended") } else { Ok(call) }
    }

    pub(super) fn responded(&mut self, stop: ModelStop, usage: Usage) -> Result<(), &'static str> {
        if !matches!(self.phase, Phase::Requesting { .. }) {
            return Err("no request is out");
        }
        self.steps = self.steps.saturating_add(1);
        self.usage = self.usage.plus(usage);
        self.phase = Phase::Calling { stop, calls: Vec::new() };
        Ok(())
    }

    pub(super) fn apply(&mut self, event: &Event) -> Result<(), &'static str> {
        match event {
            Event::ModelRequested { attempt, .. } => {
                if !matches!(self.phase, Phase::Between | Phase::Waiting { .. }) {
                    return Err("a request or its calls are under way");
                }
                self.phase = Phase::Requesting { attempt: *attempt };
            }
            Event::ModelFailed { failure, .. } => match self.phase {
                Phase::Requesting { attempt } => self.phase = Phase::Failed { attempt, failure: failure.clone() },
                _ => return Err("no request is out"),
            },
            Event::RetryScheduled { attempt, delay_ms, .. } => {
                if !matches!(self.phase, Phase::Failed { .. }) {
                    return Err("no request failed");
                }
                self.phase = Phase::Waiting { attempt: *attempt, delay_ms: *delay_ms };
            }
            Event::RetryDue => {
                if !matches!(self.phase, Phase::Waiting { .. }) {
                    return Err("no repetition waits");
                }
            }
            Event::InterruptRequested => {
                (self.stopping, self.is_stopped_without_word) = (Some(TurnEnd::Interrupted), true);
            }
            Event::CallRequested { call, provider_call, tool, arguments, parent } => {
                let depth = parent.map_or(Ok(0), |parent| self.await_child(parent, *call))?;
                let Phase::Calling { calls, .. } = &mut self.phase else { return Err("the model has not answered") };
                calls.push(Call {
                    id: *call,
                    provider_call: provider_call.clone(),
                    tool: tool.clone(),
                    arguments: arguments.as_str().into(),
                    parent: *parent,
                    depth,
                    stage: CallStage::Requested,
                    effects: None,
                    reported: None,
                    going_on: None,
                    rounds: 0,
                    nested: 0,
                    nested_paths: Vec::new(),
                    replaced_by: None,
                    narrowing: None,
                    vouched: None,
                    is_of_session: false,
                });
            }
            Event::QuestionAsked { question, call, component, words, choices, several } => {
                let call = self.call_mut(*call)?;
                // The model's own question leaves nothing for itself.
                let state = if component.is_empty() { String::new() } else { call.take_need()?.0 };
                call.stage = CallStage::Questioned {
                    question: *question,
                    component: component.clone(),
                    words: words.clone(),
                    choices: choices.clone(),
                    several: *several,
                    state,
                };
            }
            Event::QuestionAnswered { question, answer } => self.answer_question(*question, answer.as_deref())?,
            Event::CallReported { call, outcome, changes, usage, record } => {
                let call = self.call_mut(*call)?;
                call.stage = CallStage::Reported;
                call.going_on = None;
                let (outcome, changes, record) = (outcome.clone(), changes.clone(), record.clone());
                call.reported = Some(Box::new(ReportedCall { outcome, changes, usage: *usage, record, put: None }));
            }
            Event::ApprovalAsked { approval, call, binds_to, rule, words } => {
                self.call_mut(*call)?.stage = CallStage::Asked {
                    approval: *approval,
                    binds_to: *binds_to,
                    rule: rule.clone(),
                    words: words.clone(),
                };
            }
            Event::ChangesAuthorized { call, .. } => self.call_mut(*call)?.stage = CallStage::Putting,
            Event::ChangesPut { call, result } => {
                let call = self.call_mut(*call)?;
                call.reported.as_mut().ok_or("nothing was staged")?.put = Some(result.clone());
            }
            _ => return Err("it is not about a turn"),
        }
        Ok(())
    }

    pub(super) fn start_call(
        &mut self,
        id: CallId,
        effects: Option<Effects>,
        of_session: bool,
    ) -> Result<(), &'static str> {
        let call = self.call_mut(id)?;
        call.is_of_session = of_session;
        call.stage = CallStage::Running;
        call.effects = effects;
        Ok(())
    }

    /// Has a call wait for another that it needs. Gives that one's depth.
    fn await_child(&mut self, id: CallId, child: CallId) -> Result<u32, &'static str> {
        let call = self.call_mut(id)?;
        let (state, in_force) = call.take_need()?;
        call.stage = CallStage::Awaiting { child, state, in_force };
        let depth = call.depth.saturating_add(1);
        let root = self.root_of(id).ok_or("there is no such call")?;
        let root = self.call_mut(root)?;
        root.nested = root.nested.saturating_add(1);
        Ok(depth)
    }

    /// The model's call that a call belongs to: itself, or the first in the chain of those that need it.
    pub fn root_of(&self, id: CallId) -> Option<CallId> {
        let mut call = self.call(id)?;
        while let Some(parent) = call.parent {
            call = self.call(parent)?;
        }
        Some(call.id)
    }

    fn answer_question(&mut self, id: QuestionId, answer: Option<&str>) -> Result<(), &'static str> {
        let Phase::Calling { calls, .. } = &mut self.phase else { return Err("no calls are under way") };
        for call in calls {
            if let CallStage::Questioned { question, state, .. } = &mut call.stage
                && *question == id
            {
                let reply = answer.map_or(Reply::Unanswered, |text| Reply::Answer { text: text.to_owned() });
                call.going_on = Some(Resume { state: std::mem::take(state), reply });
                call.stage = CallStage::Answered;
                return Ok(());
            }
        }
        Err("there is no such question")
    }

    /// Ends a call. One that another call needs is told to that one and is gone; the model never hears of it.
    pub(super) fn end_call(
        &mut self,
        id: CallId,
        text: Option<&str>,
        is_error: bool,
        changes: &Manifest,
    ) -> Result<(), &'static str> {
        let call = self.call_mut(id)?;
        let text = match (text, &call.reported) {
            (Some(text), _) => text.to_owned(),
            (None, Some(reported)) => reported.outcome.model_text(&[]),
            (None, None) => return Err("it has no text and nothing was reported"),
        };
        let provider_call = call.provider_call.clone();
        call.stage = CallStage::Ended(ToolResult { call: id, provider_call, tool: call.tool.clone(), text, is_error });
        // What the report held is in the log; the model's text is all that is still needed.
        call.reported = None;
        if let Some(parent) = call.parent {
            let mut paths = std::mem::take(&mut call.nested_paths);
            paths.extend(changes.entries().iter().map(|change| change.path.clone()));
            self.tell_parent(parent, id, paths);
        }
        Ok(())
    }

    /// Takes an ended call out of the step and hands what came of it to the one that needs it. That one may
    /// have ended meanwhile: a person stopped the turn.
    fn tell_parent(&mut self, parent: CallId, child: CallId, paths: Vec<String>) {
        let Phase::Calling { calls, .. } = &mut self.phase else { return };
        let Some(index) = calls.iter().position(|call| call.id == child) else { return };
        let CallStage::Ended(result) = calls.remove(index).stage else { return };
        let Some(call) = calls.iter_mut().find(|call| call.id == parent) else { return };
        for path in paths {
            if call.nested_paths.len() < NESTED_PATHS_SHOWN_MAX && !call.nested_paths.contains(&path) {
                call.nested_paths.push(path);
            }
        }
        if let CallStage::Awaiting { child: awaited, state, .. } = &mut call.stage
            && *awaited == child
        {
            let reply = Reply::Outcome { text: result.text, is_error: result.is_error };
            call.going_on = Some(Resume { state: std::mem::take(state), reply });
            call.stage = CallStage::Answered;
        }
    }

    /// The results of the step, once every call has one.
    pub(super) fn take_results(&mut self) -> Option<Results> {
        let Phase::Calling { calls, .. } = &mut self.phase else { return None };
        if !calls.iter().all(Call::is_ended) {
            return None;
        }
        let results = calls
            .drain(..)
            .filter_map(|call| match call.stage {
                CallStage::Ended(result) => Some(result),
                _ => None,
            })
            .collect();
        self.phase = Phase::Between;
        Some(results)
    }
}
