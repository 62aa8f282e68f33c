//! Driving a session from a prompt to the end of its turn.
//!
//! Promise: interrupts, questions and the end of the turn are all seen; where nobody can be asked the
//! first question ends the drive at once.

use super::ask::{Asked, TerminalAsker, ask_question};
use super::screen::Screen;
use crate::failure::{Failure, chain};
use crate::paint::one_line;
use harness_core::event::{Answer, Event, TurnEnd, TurnLimits};
use harness_core::grant::Grant;
use harness_core::state::Pending;
use harness_core::{ApprovalId, CallId, Digest, QuestionId};
use harness_engine::ports::Blobs;
use harness_engine::{Session, SessionError, Subscription, Update, diff};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How a drive ended.
pub(crate) enum TurnResult {
    /// The turn ended.
    Ended(TurnEnd),
    /// Somebody has to be asked and nobody can be.
    NeedsAnswer {
        /// What asked, in words.
        asks: Vec<String>,
        /// The same for programs.
        pending: Vec<Value>,
    },
    /// The person wants to leave at once.
    Left,
}

/// A session and those around it.
pub(crate) struct Driver {
    session: Session,
    subscription: Subscription,
    blobs: Arc<dyn Blobs>,
    asker: Option<TerminalAsker>,
    stops: Stops,
    /// What has waited for the first request to the model.
    once_requested: Option<Box<dyn FnOnce() + Send>>,
}

/// Signals that a process gets from people and supervisors.
struct Stops {
    interrupt: Signal,
    terminate: Signal,
}

impl Stops {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::because("listening for signals", &error));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }
}

/// What an approval is about, ready to be shown.
struct Shown {
    approval: ApprovalId,
    binds_to: Digest,
    asked: Asked,
}

/// What a component wants to know, ready to be shown.
struct ShownQuestion {
    question: QuestionId,
    call: CallId,
    component: String,
    words: String,
    choices: Vec<String>,
}

impl ShownQuestion {
    /// For those who cannot answer now.
    fn in_one_line(&self) -> String {
        let choices: Vec<String> = self.choices.iter().map(|choice| one_line(choice, 80)).collect();
        let choices = if choices.is_empty() { String::new() } else { format!(" ({})", choices.join(", ")) };
        format!("{} asks: {}{choices}", one_line(&self.component, 64), one_line(&self.words, 400))
    }

    fn for_programs(&self) -> Value {
        let Self { question, call, component, words, choices } = self;
        json!({ "question": question, "call": call, "component": component, "words": words, "choices": choices })
    }
}

impl Shown {
    fn for_programs(&self) -> Value {
        let Asked { call, tool, arguments, rule, words, diff } = &self.asked;
        json!({
            "approval": self.approval, "binds_to": self.binds_to, "call": call, "tool": tool,
            "arguments": arguments, "rule": rule, "words": words, "diff": diff,
        })
    }
}

impl Driver {
    pub(crate) fn new(
        session: Session,
        subscription: Subscription,
        blobs: Arc<dyn Blobs>,
        asker: Option<TerminalAsker>,
    ) -> Result<Self, Failure> {
        Ok(Self { session, subscription, blobs, asker, stops: Stops::new()?, once_requested: None })
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Something that is to begin only when the model has been asked for the first time.
    pub(crate) fn once_requested(&mut self, begin: impl FnOnce() + Send + 'static) {
        self.once_requested = Some(Box::new(begin));
    }

    /// What the lists of components grant from now on.
    pub(crate) async fn set_grants(&self, grants: Vec<Grant>) -> Result<(), Failure> {
        match self.session.set_grants(grants).await {
            Err(SessionError::Refused(refusal)) => Err(Failure::usage(refusal.to_string())),
            other => other.map_err(told),
        }
    }

    pub(crate) async fn prompt(&mut self, text: String, limits: TurnLimits) -> Result<(), Failure> {
        // From here on a signal is about this turn; an earlier one was not.
        self.stops = Stops::new()?;
        match self.session.prompt(text, limits).await {
            Err(SessionError::Refused(refusal)) => Err(Failure::usage(refusal.to_string())),
            other => other.map_err(told),
        }
    }

    /// Waits until a supervisor wants the process to end, while a line is being read.
    pub(crate) async fn terminated(&mut self) {
        self.stops.terminate.recv().await;
        restore_terminal();
    }

    /// Shows what happens until the turn ends or cannot go on here.
    pub(crate) async fn until_turn_ends(&mut self, screen: &mut Screen) -> Result<TurnResult, Failure> {
        let mut stopping = false;
        // A question that was pending before this process came is not announced again.
        if let Some(result) = self.ask_all(screen, &mut stopping).await? {
            return Ok(result);
        }
        loop {
            let update = tokio::select! {
                update = self.subscription.next() => update.map_err(told)?,
                _ = self.stops.terminate.recv() => return Ok(TurnResult::Left),
                _ = self.stops.interrupt.recv() => {
                    if stopping {
                        return Ok(TurnResult::Left);
                    }
                    stopping = true;
                    screen.note("stopping; Ctrl-C again leaves at once");
                    self.interrupt().await?;
                    continue;
                }
            };
            match update {
                Update::Delta { offset_bytes, delta } => screen.delta(offset_bytes, &delta),
                Update::Progress { call, progress } => screen.progress(call, &progress),
                Update::Closed { fault } => {
                    let why = fault.unwrap_or_else(|| "it was closed".to_owned());
                    return Err(Failure::failed(format!("the session stopped: {why}")));
                }
                Update::Event(logged) => {
                    screen.event(&logged);
                    match &logged.event {
                        Some(Event::TurnEnded { end, .. }) => return Ok(TurnResult::Ended(end.clone())),
                        Some(Event::ModelRequested { .. }) => {
                            if let Some(begin) = self.once_requested.take() {
                                begin();
                            }
                        }
                        Some(Event::ApprovalAsked { .. } | Event::QuestionAsked { .. }) => {
                            if let Some(result) = self.ask_all(screen, &mut stopping).await? {
                                return Ok(result);
                            }
                        }
                        Some(Event::CallEnded { changes, call, .. })
                            if !changes.is_empty() && screen.wants_diff(*call) =>
                        {
                            let diff = diff::unified(changes, self.blobs.as_ref()).await;
                            screen.diff(&diff.map_err(|error| Failure::because("reading what changed", &error))?);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    async fn interrupt(&self) -> Result<(), Failure> {
        match self.session.interrupt().await {
            // The turn ended by itself in the same moment.
            Ok(()) | Err(SessionError::Refused(_)) => Ok(()),
            Err(error) => Err(told(error)),
        }
    }

    /// Asks everything that is pending. A result where the drive cannot go on.
    async fn ask_all(&mut self, screen: &mut Screen, stopping: &mut bool) -> Result<Option<TurnResult>, Failure> {
        loop {
            let pending = self.pending().await?;
            let questions = self.questions().await?;
            let Self { asker, stops, .. } = self;
            let Some(asker) = asker else {
                let mut asks: Vec<String> = pending.iter().map(|shown| shown.asked.in_one_line()).collect();
                asks.extend(questions.iter().map(ShownQuestion::in_one_line));
                let approvals = pending.iter().map(Shown::for_programs);
                let pending = approvals.chain(questions.iter().map(ShownQuestion::for_programs)).collect();
                return Ok((!asks.is_empty()).then_some(TurnResult::NeedsAnswer { asks, pending }));
            };
            if let Some(question) = questions.into_iter().next() {
                let answer = tokio::select! {
                    answer = ask_question(&question.component, &question.words, &question.choices) => answer?,
                    _ = stops.terminate.recv() => {
                        restore_terminal();
                        return Ok(Some(TurnResult::Left));
                    }
                };
                self.answer_question(&question, answer, screen).await?;
                continue;
            }
            let Some(shown) = pending.into_iter().next() else { return Ok(None) };
            screen.asking(shown.asked.call);
            let answer = tokio::select! {
                answer = asker.ask(&shown.asked) => answer?,
                _ = stops.terminate.recv() => {
                    restore_terminal();
                    return Ok(Some(TurnResult::Left));
                }
            };
            let Some(answer) = answer else {
                *stopping = true;
                self.interrupt().await?;
                return Ok(None);
            };
            self.answer(&shown, answer, screen).await?;
        }
    }

    async fn answer_question(
        &self,
        question: &ShownQuestion,
        answer: Option<String>,
        screen: &mut Screen,
    ) -> Result<(), Failure> {
        match self.session.answer_question(question.question, answer).await {
            Err(SessionError::Refused(refusal)) => {
                screen.note(&refusal.to_string());
                Ok(())
            }
            other => other.map_err(told),
        }
    }

    /// The questions of components that wait for an answer.
    async fn questions(&self) -> Result<Vec<ShownQuestion>, Failure> {
        let loaded = self.session.snapshot().await.map_err(told)?;
        let questions = loaded.state.questions();
        Ok(questions
            .iter()
            .map(|question| ShownQuestion {
                question: question.question,
                call: question.call.id,
                component: question.component.to_owned(),
                words: question.words.to_owned(),
                choices: question.choices.to_vec(),
            })
            .collect())
    }

    async fn answer(&self, shown: &Shown, answer: Answer, screen: &mut Screen) -> Result<(), Failure> {
        match self.session.answer(shown.approval, shown.binds_to, answer).await {
            Err(SessionError::Refused(refusal)) => {
                screen.note(&refusal.to_string());
                Ok(())
            }
            other => other.map_err(told),
        }
    }

    /// What waits for an answer, with exactly what would be applied.
    async fn pending(&self) -> Result<Vec<Shown>, Failure> {
        let loaded = self.session.snapshot().await.map_err(told)?;
        let mut shown = Vec::new();
        for Pending { approval, call, binds_to, rule, words } in loaded.state.pending() {
            let diff = match call.reported.as_ref().and_then(|reported| reported.staged()) {
                Some(manifest) => diff::unified(manifest, self.blobs.as_ref())
                    .await
                    .map_err(|error| Failure::because("reading what would change", &error))?,
                None => String::new(),
            };
            let asked = Asked {
                call: call.id,
                tool: call.tool.clone(),
                arguments: call.arguments.to_string(),
                rule: rule.to_owned(),
                words: words.to_owned(),
                diff,
            };
            shown.push(Shown { approval, binds_to, asked });
        }
        Ok(shown)
    }
}

/// The line editor is left in the middle of a line: the terminal gets its usual mode back.
fn restore_terminal() {
    let _ = crossterm::terminal::disable_raw_mode();
}

fn told(error: SessionError) -> Failure {
    Failure::failed(chain(&error))
}
