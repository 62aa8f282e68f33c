//! Deciding: what follows from an input.
//!
//! Promise: `decide` is a pure function of state and input. Every change of state is an event that it
//! returns, believed at once through `apply`, so that a later decision within the same batch sees it.
//! A refused input leaves the state as it was. The commands may be carried out once the events are durable.
//!
//! Not here: durability, carrying out.

mod answer;
mod arguments;
mod branch;
mod budget;
mod call;
mod message;
mod mode;
mod need;
mod session_tool;
mod trust;
mod turn;
mod undo;

use crate::change::Manifest;
use crate::event::Event;
use crate::grant::{CAPABILITIES_MAX, Grant};
use crate::ids::{AllowanceId, ApprovalId, CallId, GrantId, MessageId, PlanId, QuestionId, Sequence, SessionId};
use crate::limits;
use crate::mode::PolicyQuestion;
use crate::outcome::Resume;
use crate::state::{CallStage, Inconsistency, Phase, SessionState};
use std::sync::Arc;

pub use branch::decide_rewind;

/// What the core asks the engine to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Ask the model with the whole conversation.
    CallModel,
    /// Wait, then send [`Event::RetryDue`].
    Wait {
        /// Milliseconds.
        delay_ms: u64,
    },
    /// Have a hand run a call, then send [`Event::CallReported`].
    RunCall {
        /// The call.
        call: CallId,
        /// The tool.
        tool: String,
        /// The arguments, JSON text.
        arguments: Arc<str>,
        /// Where it goes on; none where it begins.
        resume: Option<Resume>,
    },
    /// Have the hand put changes in place, then send [`Event::ChangesPut`].
    PutChanges {
        /// The call whose changes they are, or the undoing.
        call: CallId,
        /// What was authorised.
        manifest: Manifest,
    },
    /// Ask the mode's policy, then send [`Event::PolicyAnswered`].
    AskPolicy {
        /// What is asked.
        question: Box<PolicyQuestion>,
    },
    /// Stop the model request or the wait that is out.
    CancelModel,
    /// Stop a call that runs.
    CancelCall {
        /// The call.
        call: CallId,
    },
}

/// What follows from an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The input first, then what derives from it: one atomic batch.
    pub events: Vec<Event>,
    /// What to do once they are durable.
    pub commands: Vec<Command>,
}

/// Why an input is declined. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A turn is under way.
    #[error("a turn is under way: wait for it, answer what it asks, or interrupt it")]
    TurnRunning,
    /// No turn is under way.
    #[error("no turn is under way")]
    NoTurn,
    /// The session does not exist yet, or was not opened.
    #[error("the session was not opened")]
    NotOpened,
    /// The session exists already.
    #[error("the session exists already")]
    Exists,
    /// The prompt is empty or too long.
    #[error("a prompt has 1 to {} bytes, this one has {bytes}", limits::PROMPT_BYTES_MAX)]
    Prompt {
        /// Its size.
        bytes: usize,
    },
    /// There is no such event to go back to.
    #[error("there is no event {0} to go back to: name one of the session's, from 1")]
    NoEvent(Sequence),
    /// The workspace is empty.
    #[error("a session works in a folder: give its absolute path")]
    Workspace,
    /// The title is empty or too long.
    #[error("a title has 1 to {} characters", limits::TITLE_CHARS_MAX)]
    Title,
    /// Nobody waits for this answer.
    #[error("{0} does not wait for an answer (any more)")]
    StaleApproval(ApprovalId),
    /// The answer was given to something else than what would happen now.
    #[error("{0} was shown something else than what would be done now: look again")]
    WrongSubject(ApprovalId),
    /// The answer cannot be given to this ask.
    #[error("{0}")]
    Answer(String),
    /// What a person says of trust cannot be taken.
    #[error("{0}")]
    Trust(String),
    /// There is no such allowance in this session.
    #[error("{0} is not in force in this session")]
    UnknownAllowance(AllowanceId),
    /// More allowances than a session has.
    #[error("a session has at most {} allowances: revoke some first", limits::ALLOWANCES_MAX)]
    TooManyAllowances,
    /// The call has ended or never was.
    #[error("{0} is not under way")]
    StaleCall(CallId),
    /// Nobody waits for an answer to this question.
    #[error("{0} does not wait for an answer (any more)")]
    StaleQuestion(QuestionId),
    /// Nobody waits for an answer to this plan.
    #[error("{0} does not wait for an answer (any more)")]
    StalePlan(PlanId),
    /// The answer is none of those to choose from.
    #[error("`{answer}` is not one of the answers to {question}: {}", choices.join(", "))]
    NotAChoice {
        /// The question.
        question: QuestionId,
        /// What was answered, cut.
        answer: String,
        /// What can be answered.
        choices: Vec<String>,
    },
    /// The answer is too long.
    #[error("an answer has at most {} bytes, this one has {bytes}", limits::ANSWER_BYTES_MAX)]
    AnswerTooLong {
        /// Its size.
        bytes: usize,
    },
    /// The session, or one component in it, has as many grants as it can have.
    #[error("a session has at most {} grants, one component {CAPABILITIES_MAX}: revoke some first", limits::GRANTS_MAX)]
    TooManyGrants,
    /// Changes are being taken back.
    #[error("changes are being taken back: wait until that has ended")]
    Undoing,
    /// Nothing would be put in place.
    #[error("there is nothing to undo")]
    NothingToUndo,
    /// The call's changes were taken back before.
    #[error("the changes of {0} were undone before")]
    UndoneBefore(CallId),
    /// More calls than one undoing takes back.
    #[error("one undo takes back at most {} calls, not {calls}: undo the last turns first", limits::UNDO_CALLS_MAX)]
    UndoTooLarge {
        /// How many were named.
        calls: usize,
    },
    /// The message was delivered, has expired, or never was.
    #[error("{0} does not wait (any more)")]
    StaleMessage(MessageId),
    /// More messages than can wait.
    #[error(
        "at most {} messages with {} bytes together wait in a session: withdraw some, or wait",
        limits::MESSAGES_WAITING_MAX,
        limits::MESSAGES_WAITING_BYTES_MAX
    )]
    TooManyMessages,
    /// There is no such mode.
    #[error("there is no mode `{mode}`; there are: {}", known.join(", "))]
    UnknownMode {
        /// What was asked for, cut.
        mode: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// The modes cannot be taken.
    #[error("these modes cannot be taken: {0}")]
    Modes(String),
    /// No answers, or more than one input brings.
    #[error("an input brings 1 to {} answers, not {answers}", limits::ANSWERS_MAX)]
    Answers {
        /// How many there were.
        answers: usize,
    },
    /// There is no such grant in this session.
    #[error("{0} is not in force in this session")]
    UnknownGrant(GrantId),
    /// The event is not an input.
    #[error("`{0}` follows from inputs and is not one")]
    NotAnInput(&'static str),
    /// A rule of the core's own was broken.
    #[error("BUG: {0}")]
    Inconsistent(#[from] Inconsistency),
}

/// Decides what follows from an input, and believes it.
pub fn decide(state: &mut SessionState, session: SessionId, input: Event) -> Result<Decision, Refusal> {
    check(state, &input)?;
    let mut draft = Draft { state, session, events: Vec::with_capacity(4), commands: Vec::new() };
    draft.take(input)?;
    Ok(Decision { events: draft.events, commands: draft.commands })
}

/// Whether the input may be taken at all. Nothing has been changed yet.
fn check(state: &SessionState, input: &Event) -> Result<(), Refusal> {
    let opened = state.context.is_some();
    match input {
        Event::SessionCreated { .. } if !state.workspace.is_empty() => Err(Refusal::Exists),
        Event::SessionCreated { workspace, .. } if workspace.is_empty() => Err(Refusal::Workspace),
        Event::SessionCreated { title, .. } => title.as_deref().map_or(Ok(()), check_title),
        Event::SessionOpened { context, .. } if !opened && context.is_none() => Err(Refusal::NotOpened),
        _ if state.workspace.is_empty() => Err(Refusal::NotOpened),
        Event::SessionOpened { context, .. } => {
            context.as_ref().map_or(Ok(()), |context| mode::check_modes(&context.modes))
        }
        Event::GrantGiven { grant } => check_grant(state, grant),
        Event::GrantRevoked { grant } => {
            let found = state.grants.iter().any(|known| known.id() == *grant);
            if found { Ok(()) } else { Err(Refusal::UnknownGrant(*grant)) }
        }
        Event::SessionRenamed { title } => check_title(title),
        Event::SessionArchived { .. } => Ok(()),
        Event::SessionForked { title, files, .. } => branch::check_fork(title, files),
        Event::SessionImported { workspace, .. } => branch::check_import(workspace),
        Event::SessionRewound { .. } => Err(Refusal::NotAnInput(input.kind())),
        Event::PolicyAnswered { .. } if state.turn.is_none() => Err(Refusal::NoTurn),
        Event::ModeChosen { .. }
        | Event::ModesChanged { .. }
        | Event::ModelChosen { .. }
        | Event::PolicyAnswered { .. }
        | Event::HooksAnswered { .. }
        | Event::BudgetSet { .. }
        | Event::WorkspaceObserved { .. } => {
            if opened {
                mode::check(state, input)
            } else {
                Err(Refusal::NotOpened)
            }
        }
        Event::MessageReceived { .. } if !opened => Err(Refusal::NotOpened),
        Event::MessageReceived { .. } | Event::MessageWithdrawn { .. } => message::check(state, input),
        Event::PromptReceived { .. } if !opened => Err(Refusal::NotOpened),
        Event::PromptReceived { .. } if state.turn.is_some() => Err(Refusal::TurnRunning),
        Event::PromptReceived { .. } if state.undoing.is_some() => Err(Refusal::Undoing),
        Event::PromptReceived { text, .. } if text.trim().is_empty() || text.len() > limits::PROMPT_BYTES_MAX => {
            Err(Refusal::Prompt { bytes: text.len() })
        }
        Event::PromptReceived { .. } => Ok(()),
        Event::ApprovalAnswered { approval, binds_to, answer } => answer::check(state, *approval, *binds_to, answer),
        Event::AllowanceRevoked { .. } | Event::AllowancesCarried { .. } => answer::check_allowances(state, input),
        Event::QuestionAnswered { question, answer } => check_question(state, *question, answer.as_deref()),
        Event::TrustCarried { .. } => trust::check(state, input),
        Event::TrustSet { .. } | Event::TrustReset { .. } | Event::WorkReviewed { .. } if !opened => {
            Err(Refusal::NotOpened)
        }
        Event::TrustSet { .. } | Event::TrustReset { .. } | Event::WorkReviewed { .. } => trust::check(state, input),
        Event::PlanAnswered { plan, answer } => session_tool::check_plan(state, *plan, answer),
        Event::UndoRequested { of, manifest, .. } => undo::check(state, of, manifest),
        Event::ChangesPut { call, .. } if state.undoing.as_ref().is_some_and(|it| it.undo == *call) => Ok(()),
        _ => check_in_turn(state, input),
    }
}

fn check_grant(state: &SessionState, grant: &Grant) -> Result<(), Refusal> {
    let id = grant.id();
    let others = || state.grants.iter().filter(|known| known.id() != id);
    let of_component = others().filter(|known| known.component == grant.component).count();
    let fits = others().count() < limits::GRANTS_MAX && of_component < CAPABILITIES_MAX;
    if fits { Ok(()) } else { Err(Refusal::TooManyGrants) }
}

fn check_question(state: &SessionState, id: QuestionId, answer: Option<&str>) -> Result<(), Refusal> {
    let question = state.question(id).ok_or(Refusal::StaleQuestion(id))?;
    let Some(answer) = answer else { return Ok(()) };
    if answer.len() > limits::ANSWER_BYTES_MAX {
        return Err(Refusal::AnswerTooLong { bytes: answer.len() });
    }
    let is_choice = |answer: &str| question.choices.iter().any(|choice| choice == answer);
    let is_answer = match question.several {
        true => answer
            .split('\n')
            .enumerate()
            .all(|(index, line)| is_choice(line) && answer.split('\n').take(index).all(|before| before != line)),
        false => is_choice(answer),
    };
    if question.choices.is_empty() || is_answer {
        return Ok(());
    }
    let answer = answer.chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect();
    Err(Refusal::NotAChoice { question: id, answer, choices: question.choices.to_vec() })
}

fn check_title(title: &str) -> Result<(), Refusal> {
    let fits = !title.trim().is_empty() && title.chars().count() <= limits::TITLE_CHARS_MAX;
    if fits { Ok(()) } else { Err(Refusal::Title) }
}

fn check_in_turn(state: &SessionState, input: &Event) -> Result<(), Refusal> {
    let turn = state.turn.as_ref().ok_or(Refusal::NoTurn)?;
    let at_stage = |id: CallId, stage: &CallStage| {
        let found = turn.call(id).is_some_and(|call| call.stage == *stage);
        if found { Ok(()) } else { Err(Refusal::StaleCall(id)) }
    };
    match input {
        Event::ModelResponded { .. } | Event::ModelFailed { .. } => {
            if matches!(turn.phase, Phase::Requesting { .. }) {
                Ok(())
            } else {
                Err(Refusal::NoTurn)
            }
        }
        Event::RetryDue => {
            if matches!(turn.phase, Phase::Waiting { .. }) {
                Ok(())
            } else {
                Err(Refusal::NoTurn)
            }
        }
        Event::CallReported { call, .. } => at_stage(*call, &CallStage::Running),
        Event::ChangesPut { call, .. } => at_stage(*call, &CallStage::Putting),
        Event::InterruptRequested => Ok(()),
        other => Err(Refusal::NotAnInput(other.kind())),
    }
}

/// A decision in the making.
struct Draft<'a> {
    state: &'a mut SessionState,
    session: SessionId,
    events: Vec<Event>,
    commands: Vec<Command>,
}

impl Draft<'_> {
    /// Believes an event and makes it part of the batch.
    fn emit(&mut self, event: Event) -> Result<(), Refusal> {
        self.state.apply(&event)?;
        let settles = trust::may_change(&event);
        self.events.push(event);
        if settles { self.settle_trust() } else { Ok(()) }
    }

    fn command(&mut self, command: Command) {
        self.commands.push(command);
    }

    fn take(&mut self, input: Event) -> Result<(), Refusal> {
        match input {
            Event::SessionCreated { .. }
            | Event::SessionRenamed { .. }
            | Event::SessionArchived { .. }
            | Event::SessionForked { .. }
            | Event::SessionImported { .. }
            | Event::GrantGiven { .. }
            | Event::GrantRevoked { .. }
            | Event::AllowanceRevoked { .. }
            | Event::AllowancesCarried { .. }
            | Event::TrustCarried { .. }
            | Event::TrustSet { .. }
            | Event::TrustReset { .. }
            | Event::WorkReviewed { .. } => self.emit(input),
            Event::SessionOpened { .. } => {
                self.take_modes(input)?;
                self.recover()
            }
            Event::PromptReceived { .. } => self.begin_turn(input),
            Event::ModelResponded { .. } => self.take_response(input),
            Event::ModelFailed { .. } => self.take_failure(input),
            Event::RetryDue => {
                self.emit(input)?;
                self.repeat_request()
            }
            Event::CallReported { call, .. } => {
                self.emit(input)?;
                self.judge_report(call)?;
                self.go_on_after_report()
            }
            Event::MessageReceived { .. } | Event::MessageWithdrawn { .. } => self.take_message(input),
            Event::BudgetSet { .. } | Event::WorkspaceObserved { .. } => self.emit(input),
            Event::ModeChosen { .. }
            | Event::ModesChanged { .. }
            | Event::ModelChosen { .. }
            | Event::PolicyAnswered { .. }
            | Event::HooksAnswered { .. } => self.take_mode_input(input),
            Event::PlanAnswered { .. } => self.take_plan_answer(input),
            Event::UndoRequested { .. } => self.begin_undo(input),
            Event::ChangesPut { call, .. } if self.state.undoing.as_ref().is_some_and(|it| it.undo == call) => {
                self.end_undo(input)
            }
            Event::QuestionAnswered { .. } => {
                self.emit(input)?;
                self.advance()
            }
            Event::ChangesPut { call, .. } => {
                self.emit(input)?;
                self.end_put(call)?;
                self.advance()
            }
            Event::ApprovalAnswered { .. } => self.take_answer(input),
            Event::InterruptRequested => self.interrupt(input),
            other => Err(Refusal::NotAnInput(other.kind())),
        }
    }
}
