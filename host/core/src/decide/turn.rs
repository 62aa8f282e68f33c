//! The turn: begin, ask the model, repeat after failures, end; and taking a session up again.

use super::mode::ModeVoice;
use super::{Command, Draft, Refusal};
use crate::event::{Event, ModelFailure, ModelStop, TurnEnd};
use crate::ids::{CallId, TurnId};
use crate::item::{AssistantPart, Effects};
use crate::limits::{RETRY_DELAY_FIRST_MS, RETRY_DELAY_MAX_MS};
use crate::outcome::Outcome;
use crate::state::{Call, CallStage, Phase, Turn};
use crate::verdict::{Subject, VerdictKind};
use sha2::{Digest as _, Sha256};

impl Draft<'_> {
    pub(super) fn begin_turn(&mut self, input: Event) -> Result<(), Refusal> {
        let Event::PromptReceived { entropy, limits, .. } = &input else {
            return Err(Refusal::NotAnInput(input.kind()));
        };
        let turn = TurnId::from_bits(self.derive(entropy, "turn", 0));
        let (limits, number) = (*limits, self.state.turns.saturating_add(1));
        self.emit(input)?;
        self.emit(Event::TurnStarted { turn, number, limits })?;
        self.request_next_step()
    }

    /// 128 bits from the input's entropy.
    pub(super) fn derive(&self, entropy: &str, purpose: &str, index: u32) -> u128 {
        let hash = Sha256::new()
            .chain_update(self.session.bits().to_be_bytes())
            .chain_update(entropy.as_bytes())
            .chain_update([0])
            .chain_update(purpose.as_bytes())
            .chain_update(index.to_be_bytes())
            .finalize();
        let mut bits = [0u8; 16];
        bits.copy_from_slice(&hash[..16]);
        u128::from_be_bytes(bits)
    }

    /// Asks the model for the next step, or ends the turn where a limit or a person says so.
    pub(super) fn request_next_step(&mut self) -> Result<(), Refusal> {
        let Some(turn) = &self.state.turn else { return Err(Refusal::NoTurn) };
        if let Some(end) = &turn.stopping {
            let end = end.clone();
            return self.end_turn(end);
        }
        let (steps, steps_max) = (turn.steps, turn.limits.steps_max);
        if steps >= steps_max {
            return self.end_turn(TurnEnd::Limit { limit: "max-steps".to_owned(), maximum: u64::from(steps_max) });
        }
        self.deliver_due()?;
        self.request(steps.saturating_add(1), 1)
    }

    fn request(&mut self, step: u32, attempt: u32) -> Result<(), Refusal> {
        let reserved = match self.reserve() {
            Ok(reserved) => reserved,
            Err(end) => return self.end_turn(end),
        };
        let items = self.state.history.len() as u64 + u64::from(!self.state.notes.is_empty());
        self.emit(Event::ModelRequested { step, attempt, items, reserved })?;
        self.command(Command::CallModel);
        Ok(())
    }

    pub(super) fn repeat_request(&mut self) -> Result<(), Refusal> {
        let Some(turn) = &self.state.turn else { return Err(Refusal::NoTurn) };
        let Phase::Waiting { attempt, .. } = turn.phase else { return Err(Refusal::NoTurn) };
        let step = turn.steps.saturating_add(1);
        self.request(step, attempt)
    }

    pub(super) fn take_response(&mut self, input: Event) -> Result<(), Refusal> {
        let Event::ModelResponded { entropy, parts, stop, .. } = &input else {
            return Err(Refusal::NotAnInput(input.kind()));
        };
        let stop = *stop;
        let calls: Vec<Event> = parts
            .iter()
            .filter_map(|part| match part {
                AssistantPart::ToolCall { provider_call, tool, arguments } => Some((provider_call, tool, arguments)),
                AssistantPart::Text { .. } | AssistantPart::Reasoning { .. } => None,
            })
            .enumerate()
            .map(|(index, (provider_call, tool, arguments))| Event::CallRequested {
                call: CallId::from_bits(self.derive(entropy, "call", index as u32)),
                provider_call: provider_call.clone(),
                tool: tool.clone(),
                parent: None,
                arguments: if arguments.trim().is_empty() { "{}".to_owned() } else { arguments.clone() },
            })
            .collect();
        self.emit(input)?;
        if calls.is_empty() {
            if let Some(end) = self.state.turn.as_ref().and_then(|turn| turn.stopping.clone()) {
                return self.end_turn(end);
            }
            return self.end_turn(match stop {
                ModelStop::OutputLimit => {
                    TurnEnd::Limit { limit: "output-tokens".to_owned(), maximum: self.output_limit() }
                }
                ModelStop::EndOfTurn | ModelStop::ToolCalls => TurnEnd::Done,
            });
        }
        for call in calls {
            self.emit(call)?;
        }
        if self.state.turn.as_ref().is_some_and(|turn| turn.stopping.is_some()) {
            return self.stop_calls();
        }
        self.refuse_impossible()?;
        self.advance()
    }

    /// The limit of output tokens, zero where it was left to the provider.
    fn output_limit(&self) -> u64 {
        self.state.turn.as_ref().and_then(|turn| turn.limits.output_tokens_max).map_or(0, u64::from)
    }

    pub(super) fn take_failure(&mut self, input: Event) -> Result<(), Refusal> {
        let Event::ModelFailed { entropy, failure } = &input else { return Err(Refusal::NotAnInput(input.kind())) };
        let failure = failure.clone();
        let jitter = self.derive(entropy, "jitter", 0);
        self.emit(input)?;
        let Some(turn) = &self.state.turn else { return Err(Refusal::NoTurn) };
        let Phase::Failed { attempt, .. } = turn.phase else { return Err(Refusal::NoTurn) };
        if !failure.kind.is_retryable() || attempt >= turn.limits.retry_attempts_max {
            return self.end_turn(TurnEnd::Failed { failure });
        }
        let (delay_ms, asked_by_provider) = retry_delay_ms(&failure, attempt, jitter);
        self.emit(Event::RetryScheduled { attempt: attempt + 1, delay_ms, asked_by_provider })?;
        self.command(Command::Wait { delay_ms });
        Ok(())
    }

    pub(super) fn end_turn(&mut self, end: TurnEnd) -> Result<(), Refusal> {
        let Some(turn) = &self.state.turn else { return Err(Refusal::NoTurn) };
        let (turn, steps, usage, without_word) = (turn.id, turn.steps, turn.usage, turn.is_stopped_without_word);
        self.emit(Event::TurnEnded { turn, end: end.clone(), steps, usage })?;
        if without_word { Ok(()) } else { self.go_on_after(&end) }
    }

    pub(super) fn interrupt(&mut self, input: Event) -> Result<(), Refusal> {
        self.emit(input)?;
        self.stop_calls()
    }

    /// Stops the turn: what is out is cancelled, and the turn ends once nothing is being put in place any more.
    pub(super) fn stop_calls(&mut self) -> Result<(), Refusal> {
        let Some(turn) = &self.state.turn else { return Err(Refusal::NoTurn) };
        if !matches!(turn.phase, Phase::Calling { .. }) {
            let end = turn.stopping.clone().unwrap_or(TurnEnd::Interrupted);
            self.command(Command::CancelModel);
            return self.end_turn(end);
        }
        // What is being put in place cannot be stopped half-way, and whoever needs it learns of it; everything
        // else can.
        let open = turn.calls().iter().filter(|call| !call.is_ended() && !is_being_put(turn, call));
        for call in open.cloned().collect::<Vec<_>>() {
            match call.stage {
                CallStage::Asked { approval, .. } => self.emit(Event::ApprovalWithdrawn { approval })?,
                CallStage::Questioned { question, .. } => self.emit(Event::QuestionWithdrawn { question })?,
                CallStage::Planned { plan, .. } => self.emit(Event::PlanWithdrawn { plan })?,
                _ => {}
            }
            if call.stage == CallStage::Running {
                self.command(Command::CancelCall { call: call.id });
            }
            self.end_call(call.id, &stopped_outcome(&call))?;
        }
        self.advance()
    }

    /// Goes on with the step; with none of its other calls where a hook that heard of the report stops the turn.
    pub(super) fn go_on_after_report(&mut self) -> Result<(), Refusal> {
        let turn = self.state.turn.as_ref();
        let is_stopped = turn.is_some_and(|turn| {
            matches!(turn.stopping, Some(TurnEnd::Stopped { .. })) && matches!(turn.phase, Phase::Calling { .. })
        });
        if is_stopped { self.stop_calls() } else { self.advance() }
    }

    /// Takes up a call whose report will never come: it is run again where nothing outside a private
    /// layer can have happened, under the rules that hold now.
    fn recover_running(&mut self, call: &Call) -> Result<(), Refusal> {
        let stopped = stopped_outcome(call);
        let spec = self.state.tool(&call.tool);
        let is_staged = spec.is_some_and(|tool| tool.effects == Effects::Staged);
        if stopped != Outcome::Interrupted {
            return self.end_call(call.id, &stopped);
        }
        let mode = match self.mode_voice(call.id, None)? {
            ModeVoice::Silent => None,
            ModeVoice::Says { answer, narrowed: None } => answer,
            ModeVoice::Unasked | ModeVoice::Says { .. } => return self.judge_arguments(call.id),
        };
        let Some((verdict, implementation)) = self.verdict(call.id, &call.tool, Subject::Arguments, mode.as_ref())
        else {
            return self.end_call(call.id, &stopped);
        };
        match verdict.kind {
            // It was authorised before, and again nothing leaves its layer unjudged.
            VerdictKind::Allow | VerdictKind::Ask if is_staged => self.start(call.id, implementation),
            VerdictKind::Allow | VerdictKind::Ask | VerdictKind::Deny => self.judge_arguments(call.id),
        }
    }

    /// Takes a session up again: asks for whatever was under way when the last host stopped.
    pub(super) fn recover(&mut self) -> Result<(), Refusal> {
        if let Some(undoing) = &self.state.undoing {
            let (call, manifest) = (undoing.undo, undoing.manifest.clone());
            self.command(Command::PutChanges { call, manifest });
        }
        let Some(turn) = &self.state.turn else { return Ok(()) };
        match &turn.phase {
            Phase::Between => return self.request_next_step(),
            Phase::Requesting { .. } => {
                // That it is made again was counted when the session was opened.
                return match self.reserve_beside(0) {
                    Ok(_) => {
                        self.command(Command::CallModel);
                        Ok(())
                    }
                    Err(end) => self.end_turn(end),
                };
            }
            Phase::Failed { .. } => {}
            Phase::Waiting { delay_ms, .. } => {
                let delay_ms = *delay_ms;
                self.command(Command::Wait { delay_ms });
            }
            Phase::Calling { .. } => {
                for call in turn.calls().to_vec() {
                    self.recover_call(&call)?;
                }
                return self.advance();
            }
        }
        Ok(())
    }

    fn recover_call(&mut self, call: &Call) -> Result<(), Refusal> {
        match &call.stage {
            CallStage::Running => self.recover_running(call)?,
            CallStage::Putting => {
                if let Some(manifest) = call.reported.as_ref().and_then(|it| it.staged()) {
                    self.command(Command::PutChanges { call: call.id, manifest: manifest.clone() });
                }
            }
            // Whoever opened the session may have chosen to be asked less, or never.
            CallStage::Asked { approval, .. } => self.judge_asked_again(call.id, *approval)?,
            // The policy that is in force now is asked.
            CallStage::Judging { .. } if call.reported.is_some() => self.judge_report(call.id)?,
            CallStage::Judging { .. } => self.judge_arguments(call.id)?,
            CallStage::Requested
            | CallStage::Reported
            | CallStage::Questioned { .. }
            | CallStage::Planned { .. }
            | CallStage::Awaiting { .. }
            | CallStage::Answered
            | CallStage::Ended(_) => {}
        }
        Ok(())
    }
}

/// Whether a call's changes, or those of a call that it needs, are being put in place.
fn is_being_put(turn: &Turn, call: &Call) -> bool {
    let mut call = call;
    while let CallStage::Awaiting { child, .. } = &call.stage {
        let Some(child) = turn.call(*child) else { return false };
        call = child;
    }
    call.stage == CallStage::Putting
}

/// What may be said of a call that does not come to its end. If it runs, or ran until it needed something, what counts
/// is where its effects went when it was started, not what a tool of that name would do now.
pub(super) fn stopped_outcome(call: &Call) -> Outcome {
    let has_run = call.stage == CallStage::Running || call.rounds > 0;
    match call.effects.filter(|_| has_run) {
        Some(Effects::Staged) | None => Outcome::Interrupted,
        Some(Effects::Requesting | Effects::Direct) => Outcome::InDoubt,
    }
}

/// The wait before a repetition: what the provider asks for, else doubling with jitter of ±25 %.
fn retry_delay_ms(failure: &ModelFailure, attempt: u32, jitter: u128) -> (u64, bool) {
    if let Some(asked) = failure.retry_after_ms {
        return (asked.min(RETRY_DELAY_MAX_MS), true);
    }
    let base = RETRY_DELAY_FIRST_MS.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(RETRY_DELAY_MAX_MS);
    let percent = 75 + (jitter % 51) as u64;
    (base * percent / 100, false)
}
