//! The turn: begin, ask the model, repeat after failures, end; and taking a session up again.

use super::{Command, Draft, Refusal};
use crate::event::{Event, ModelFailure, ModelStop, TurnEnd};
use crate::ids::{CallId, TurnId};
use crate::item::{AssistantPart, Effects};
use crate::limits::{RETRY_ATTEMPTS_MAX, RETRY_DELAY_FIRST_MS, RETRY_DELAY_MAX_MS};
use crate::outcome::Outcome;
use crate::state::{CallStage, Phase};
use sha2::{Digest as _, Sha256};

impl Draft<'_> {
    pub(super) fn begin_turn(&mut self, input: Event) -> Result<(), Refusal> {
        let Event::PromptReceived { entropy, limits, .. } = &input else {
            return Err(Refusal::NotAnInput(input.kind()));
        };
        let turn = TurnId::from_bits(self.derive(entropy, "turn", 0));
        let (limits, number) = (*limits, self.state.turns + 1);
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
        if turn.interrupting {
            return self.end_turn(TurnEnd::Interrupted);
        }
        let (steps, steps_max) = (turn.steps, turn.limits.steps_max);
        if steps >= steps_max {
            return self.end_turn(TurnEnd::Limit { limit: "max-steps".to_owned(), maximum: u64::from(steps_max) });
        }
        self.request(steps + 1, 1)
    }

    fn request(&mut self, step: u32, attempt: u32) -> Result<(), Refusal> {
        let items = self.state.history.len() as u64;
        self.emit(Event::ModelRequested { step, attempt, items })?;
        self.command(Command::CallModel);
        Ok(())
    }

    pub(super) fn repeat_request(&mut self) -> Result<(), Refusal> {
        let Some(turn) = &self.state.turn else { return Err(Refusal::NoTurn) };
        let Phase::Waiting { attempt, .. } = turn.phase else { return Err(Refusal::NoTurn) };
        let step = turn.steps + 1;
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
                arguments: if arguments.trim().is_empty() { "{}".to_owned() } else { arguments.clone() },
            })
            .collect();
        self.emit(input)?;
        if calls.is_empty() {
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
        let Some(Phase::Failed { attempt, .. }) = self.state.turn.as_ref().map(|turn| &turn.phase) else {
            return Err(Refusal::NoTurn);
        };
        let attempt = *attempt;
        if !failure.kind.is_retryable() || attempt >= RETRY_ATTEMPTS_MAX {
            return self.end_turn(TurnEnd::Failed { failure });
        }
        let (delay_ms, asked_by_provider) = retry_delay_ms(&failure, attempt, jitter);
        self.emit(Event::RetryScheduled { attempt: attempt + 1, delay_ms, asked_by_provider })?;
        self.command(Command::Wait { delay_ms });
        Ok(())
    }

    pub(super) fn end_turn(&mut self, end: TurnEnd) -> Result<(), Refusal> {
        let Some(turn) = &self.state.turn else { return Err(Refusal::NoTurn) };
        let (turn, steps, usage) = (turn.id, turn.steps, turn.usage);
        self.emit(Event::TurnEnded { turn, end, steps, usage })
    }

    pub(super) fn interrupt(&mut self, input: Event) -> Result<(), Refusal> {
        self.emit(input)?;
        let Some(turn) = &self.state.turn else { return Err(Refusal::NoTurn) };
        if !matches!(turn.phase, Phase::Calling { .. }) {
            self.command(Command::CancelModel);
            return self.end_turn(TurnEnd::Interrupted);
        }
        // What is being put in place cannot be stopped half-way; everything else can.
        let open = turn.calls().iter().filter(|call| !call.is_ended() && call.stage != CallStage::Putting);
        let open: Vec<_> = open.map(|call| (call.id, call.stage.clone(), call.tool.clone())).collect();
        for (call, stage, tool) in open {
            if let CallStage::Asked { approval, .. } = stage {
                self.emit(Event::ApprovalWithdrawn { approval })?;
            }
            let outcome = if stage == CallStage::Running {
                self.command(Command::CancelCall { call });
                self.stopped_outcome(&tool)
            } else {
                Outcome::Interrupted
            };
            self.end_call(call, &outcome)?;
        }
        self.advance()
    }

    /// What may be said of a call that ran and whose report will never come.
    fn stopped_outcome(&self, tool: &str) -> Outcome {
        match self.state.tool(tool).map(|tool| tool.effects) {
            Some(Effects::Staged) | None => Outcome::Interrupted,
            Some(Effects::Direct) => Outcome::InDoubt,
        }
    }

    /// Takes a session up again: asks for whatever was under way when the last host stopped.
    pub(super) fn recover(&mut self) -> Result<(), Refusal> {
        let Some(turn) = &self.state.turn else { return Ok(()) };
        match &turn.phase {
            Phase::Between => return self.request_next_step(),
            Phase::Requesting { .. } => self.command(Command::CallModel),
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

    fn recover_call(&mut self, call: &crate::state::Call) -> Result<(), Refusal> {
        match &call.stage {
            CallStage::Running => match self.stopped_outcome(&call.tool) {
                // Nothing outside a private layer happened: it is dropped and run again.
                Outcome::Interrupted if self.state.tool(&call.tool).is_some() => self.command(Command::RunCall {
                    call: call.id,
                    tool: call.tool.clone(),
                    arguments: call.arguments.clone(),
                }),
                outcome => self.end_call(call.id, &outcome)?,
            },
            CallStage::Putting => {
                if let Some(manifest) = call.reported.as_ref().and_then(|it| it.staged()) {
                    self.command(Command::PutChanges { call: call.id, manifest: manifest.clone() });
                }
            }
            CallStage::Requested | CallStage::Asked { .. } | CallStage::Reported | CallStage::Ended(_) => {}
        }
        Ok(())
    }
}

/// The wait before a repetition: what the provider asks for, else doubling with jitter of ±25 %.
fn retry_delay_ms(failure: &ModelFailure, attempt: u32, jitter: u128) -> (u64, bool) {
    if let Some(asked) = failure.retry_after_ms {
        return (asked.min(RETRY_DELAY_MAX_MS), true);
    }
    let base = RETRY_DELAY_FIRST_MS.saturating_mul(1 << (attempt - 1).min(16)).min(RETRY_DELAY_MAX_MS);
    let percent = 75 + (jitter % 51) as u64;
    (base * percent / 100, false)
}
