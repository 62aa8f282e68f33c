//! A turn under way: which request is out, which calls are open and how far each has come.

use super::Results;
use crate::change::Manifest;
use crate::event::{ApplyResult, Changes, Event, ModelFailure, ModelStop, TurnLimits};
use crate::ids::{ApprovalId, CallId, Digest, TurnId};
use crate::item::{Effects, ToolResult, Usage};
use crate::outcome::{CallUsage, Outcome};
use crate::record::CallRecord;
use std::sync::Arc;

/// How far a call has come.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// A hand runs it.
    Running,
    /// A hand has reported; the changes are judged.
    Reported,
    /// Its changes are being put in place.
    Putting,
    /// The model will be told this.
    Ended(ToolResult),
}

/// What a hand reported of a call that has not ended yet.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Our id for it.
    pub id: CallId,
    /// The provider's id for it.
    pub provider_call: String,
    /// The tool, as the model named it.
    pub tool: String,
    /// The arguments, JSON text.
    pub arguments: Arc<str>,
    /// How far it has come.
    pub stage: CallStage,
    /// Where its effects go, as the tool said when the call was started; none before.
    pub effects: Option<Effects>,
    /// What a hand reported of it.
    pub reported: Option<Box<ReportedCall>>,
}

impl Call {
    /// Whether the model has its answer.
    pub fn is_ended(&self) -> bool {
        matches!(self.stage, CallStage::Ended(_))
    }

    /// What an approval of the arguments binds to.
    pub fn arguments_digest(&self) -> Digest {
        Digest::of_parts(&[self.tool.as_bytes(), b"\0", self.arguments.as_bytes()])
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

/// What a turn is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// A person wants it stopped.
    pub interrupting: bool,
    /// What it is doing.
    pub phase: Phase,
}

impl Turn {
    pub(super) fn new(id: TurnId, number: u32, limits: TurnLimits) -> Self {
        Self { id, number, steps: 0, usage: Usage::default(), limits, interrupting: false, phase: Phase::Between }
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

    fn call_mut(&mut self, id: CallId) -> Result<&mut Call, &'static str> {
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
            Event::InterruptRequested => self.interrupting = true,
            Event::CallRequested { call, provider_call, tool, arguments } => {
                let Phase::Calling { calls, .. } = &mut self.phase else { return Err("the model has not answered") };
                calls.push(Call {
                    id: *call,
                    provider_call: provider_call.clone(),
                    tool: tool.clone(),
                    arguments: arguments.as_str().into(),
                    stage: CallStage::Requested,
                    effects: None,
                    reported: None,
                });
            }
            Event::CallReported { call, outcome, changes, usage, record } => {
                let call = self.call_mut(*call)?;
                call.stage = CallStage::Reported;
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

    pub(super) fn start_call(&mut self, id: CallId, effects: Option<Effects>) -> Result<(), &'static str> {
        let call = self.call_mut(id)?;
        call.stage = CallStage::Running;
        call.effects = effects;
        Ok(())
    }

    pub(super) fn end_call(&mut self, id: CallId, text: Option<&str>, is_error: bool) -> Result<(), &'static str> {
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
        Ok(())
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
