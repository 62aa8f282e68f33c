//! Driving a session from a prompt to the end of its turn.
//!
//! Promise: interrupts, questions and the end of the turn are all seen; where nobody can be asked the
//! first question ends the drive at once.

mod asking;

use super::ask::TerminalAsker;
use super::said::{HELP, Line, TO_SAY_IT, nearest_command, understood};
use super::screen::Screen;
use super::typed::TypedLines;
use crate::budget_words::{self, Raise};
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::git::Repository;
use harness_core::Sequence;
use harness_core::event::{Event, TurnEnd, TurnLimits};
use harness_core::grant::Grant;
use harness_core::message::Delivery;
use harness_core::mode::ModeSpec;
use harness_engine::ports::{Blobs, Clock};
use harness_engine::{Ports, Session, SessionError, Subscription, Update, diff};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How a drive ended.
pub(crate) enum TurnResult {
    /// The turn ended, and no other one began.
    Ended {
        /// Why.
        end: TurnEnd,
        /// Where a limit was reached: how it is raised far enough to go on.
        raise: Option<Raise>,
    },
    /// Somebody has to be asked and nobody can be.
    NeedsAnswer {
        /// What asked, in words.
        asks: Vec<String>,
        /// Their ids.
        ids: Vec<String>,
        /// The same for programs.
        pending: Vec<Value>,
    },
    /// The person wants to leave at once.
    Left,
}

/// What comes between a person and the line that they write.
pub(crate) enum Disturbance {
    /// A supervisor wants the process to end.
    Terminated,
    /// A turn began, or the session stopped.
    Begun,
}

/// A session and those around it.
pub(crate) struct Driver {
    session: Session,
    subscription: Subscription,
    blobs: Arc<dyn Blobs>,
    asker: Option<TerminalAsker>,
    stops: Stops,
    /// The last event that was shown.
    seen: Sequence,
    /// What is typed while a turn is under way.
    typed: TypedLines,
    /// The person leaves when the turn has ended.
    is_leaving: bool,
    /// What limits the turns that begin here.
    limits: TurnLimits,
    /// Nobody is asked before what goes on by itself has ended.
    settles: bool,
    /// Nobody can be asked, something waits, and more may come to wait with it: the next event tells.
    looks_again: bool,
    clock: Arc<dyn Clock>,
    repository: Repository,
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

impl Driver {
    /// A driver that shows what happens after the event at `before`.
    pub(crate) fn new(
        session: Session,
        before: Sequence,
        ports: &Ports,
        asker: Option<TerminalAsker>,
        limits: TurnLimits,
    ) -> Result<Self, Failure> {
        let (blobs, clock) = (ports.blobs.clone(), ports.clock.clone());
        let (settles, looks_again, repository) = (false, false, Repository::default());
        let typed = if asker.is_some() { TypedLines::of_terminal() } else { TypedLines::none() };
        let subscription = session.subscribe(before);
        let (stops, seen, once_requested) = (Stops::new()?, before, None);
        Ok(Self {
            session,
            subscription,
            blobs,
            asker,
            stops,
            seen,
            typed,
            is_leaving: false,
            limits,
            settles,
            looks_again,
            clock,
            repository,
            once_requested,
        })
    }

    /// Something that is to begin only when the model has been asked for the first time.
    pub(crate) fn once_requested(&mut self, begin: impl FnOnce() + Send + 'static) {
        self.once_requested = Some(Box::new(begin));
    }

    /// Where nobody can be asked: has what goes on by itself end before the drive does.
    pub(crate) fn settle(&mut self) {
        self.settles = true;
    }

    /// Has the log say what version control says of the workspace, where that is new.
    pub(crate) async fn observe(&mut self, workspace: &Path) -> Result<(), Failure> {
        let git = self.repository.look(workspace);
        self.session.observe_workspace(git).await.map_err(told)
    }

    /// What the lists of components grant from now on.
    pub(crate) async fn set_grants(&self, grants: Vec<Grant>) -> Result<(), Failure> {
        refused_is_usage(self.session.set_grants(grants).await)
    }

    /// Makes these the modes there are.
    pub(crate) async fn set_modes(&self, modes: Vec<ModeSpec>) -> Result<(), Failure> {
        refused_is_usage(self.session.set_modes(modes).await)
    }

    /// Begins a turn.
    pub(crate) async fn prompt(&mut self, text: String) -> Result<(), Failure> {
        // From here on a signal is about this turn; an earlier one was not.
        self.stops = Stops::new()?;
        refused_is_usage(self.session.prompt(text, self.limits).await)
    }

    /// Says something, whatever is under way. It is durable when this returns.
    pub(crate) async fn say(&mut self, text: String, delivery: Delivery) -> Result<(), Failure> {
        refused_is_usage(self.session.say(text, delivery, self.limits).await.map(|_| ()))
    }

    /// The mode that the session's list of modes begins with.
    pub(crate) async fn first_mode(&self) -> Result<Option<String>, Failure> {
        let state = self.session.snapshot().await.map_err(told)?.state;
        Ok(state.context.iter().flat_map(|context| context.modes.first()).map(|mode| mode.name.clone()).next())
    }

    /// Shows what happened so far where no turn is under way.
    pub(crate) async fn show_what_happened(&mut self, screen: &mut Screen) -> Result<(), Failure> {
        let until = self.session.snapshot().await.map_err(told)?;
        if until.state.turn.is_some() {
            return Ok(());
        }
        self.show_until(until.tip.sequence, screen).await
    }

    /// Shows what came of what was given, where something else waits before the turn goes on.
    async fn show_rest(&mut self, screen: &mut Screen) -> Result<(), Failure> {
        if !self.settles {
            return Ok(());
        }
        let until = self.session.snapshot().await.map_err(told)?.tip.sequence;
        self.show_until(until, screen).await
    }

    async fn show_until(&mut self, until: Sequence, screen: &mut Screen) -> Result<(), Failure> {
        while self.seen < until {
            match self.subscription.next().await.map_err(told)? {
                Update::Event(logged) => {
                    self.seen = logged.header.sequence;
                    screen.event(&logged);
                }
                Update::Closed { .. } => break,
                Update::Delta { .. } | Update::Progress { .. } => {}
            }
        }
        Ok(())
    }

    /// Whether a turn is under way.
    pub(crate) async fn is_under_way(&self) -> Result<bool, Failure> {
        Ok(self.session.snapshot().await.map_err(told)?.state.turn.is_some())
    }

    /// Carries out what a person said, if it is not words: whether it was. What cannot be done is told.
    pub(super) async fn command(&mut self, line: &Line<'_>, screen: &mut Screen) -> Result<bool, Failure> {
        let done = match line {
            Line::Nothing | Line::Exit => Ok(()),
            Line::Words(..) => return Ok(false),
            Line::Help => {
                screen.note(HELP);
                Ok(())
            }
            Line::Session => {
                screen.note(&self.session.id().to_string());
                Ok(())
            }
            Line::Mode(Some(mode)) => self.choose_mode(mode, screen).await,
            Line::Mode(None) => self.tell_mode(screen).await,
            Line::Modes => self.tell_modes(screen).await,
            Line::Budget(changes) => self.budget(changes, screen).await,
            Line::NoWords(command) => {
                screen.note(&format!("{command} says something: {command} TEXT"));
                Ok(())
            }
            Line::Unknown(command) => {
                let nearest = nearest_command(command).map(|nearest| format!(", did you mean {nearest}?"));
                let nearest = nearest.unwrap_or_default();
                screen
                    .note(&format!("there is no command {command}{nearest} /help shows those there are; {TO_SAY_IT}"));
                Ok(())
            }
            Line::WithWords(command) => {
                screen.note(&format!("{command} takes no words; {TO_SAY_IT}"));
                Ok(())
            }
        };
        told_where_usage(done, screen)?;
        Ok(true)
    }

    async fn choose_mode(&self, mode: &str, screen: &Screen) -> Result<(), Failure> {
        refused_is_usage(self.session.choose_mode(mode.to_owned()).await)?;
        // It may bring a model of its own.
        let state = self.session.snapshot().await.map_err(told)?.state;
        if let Some(words) = budget_words::without_price(&state, &self.limits.budget) {
            screen.note(&words);
        }
        Ok(())
    }

    async fn tell_mode(&self, screen: &Screen) -> Result<(), Failure> {
        let state = self.session.snapshot().await.map_err(told)?.state;
        let words = state.mode().map_or_else(
            || "no mode: rules and defaults judge".to_owned(),
            |mode| format!("{}: {}", mode.name, mode.description),
        );
        screen.note(&words);
        Ok(())
    }

    async fn tell_modes(&self, screen: &Screen) -> Result<(), Failure> {
        let state = self.session.snapshot().await.map_err(told)?.state;
        for mode in state.context.iter().flat_map(|context| &context.modes) {
            let here = if mode.name == state.mode { "*" } else { " " };
            screen.note(&format!("{here} {:10} {}", mode.name, mode.description));
        }
        Ok(())
    }

    async fn budget(&self, changes: &str, screen: &Screen) -> Result<(), Failure> {
        let mut state = self.session.snapshot().await.map_err(told)?.state;
        if !changes.is_empty() {
            state.budget = budget_words::changed(state.budget, changes.split_whitespace())?;
            refused_is_usage(self.session.set_budget(state.budget).await)?;
        }
        screen.note(&budget_words::shown(&state.budget, &state.spent));
        if let Some(words) = budget_words::without_price(&state, &self.limits.budget) {
            screen.note(&words);
        }
        Ok(())
    }

    /// Takes a line that was typed while a turn was under way.
    async fn take_typed(&mut self, line: &str, screen: &mut Screen) -> Result<(), Failure> {
        let line = understood(line);
        if let Line::Words(delivery, words) = line {
            let said = self.say(words.to_owned(), delivery.unwrap_or(Delivery::Steer)).await;
            return told_where_usage(said, screen);
        }
        if line == Line::Exit {
            self.is_leaving = true;
            screen.note("leaving when the turn has ended; Ctrl-C stops it");
        }
        self.command(&line, screen).await.map(|_| ())
    }

    /// Whether the person said, while a turn was under way, that they leave.
    pub(crate) fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// Waits, while a line is being read, until something has to be done before it is there. A turn may begin by what
    /// another process said.
    pub(crate) async fn disturbed(&mut self) -> Result<Disturbance, Failure> {
        let Self { session, stops, seen, .. } = self;
        let begun = async {
            let mut updates = session.subscribe(*seen);
            loop {
                match updates.next().await? {
                    Update::Event(logged) if matches!(logged.event, Some(Event::TurnStarted { .. })) => return Ok(()),
                    Update::Closed { .. } => return Ok(()),
                    _ => {}
                }
            }
        };
        tokio::select! {
            _ = stops.terminate.recv() => {}
            begun = begun => return begun.map(|()| Disturbance::Begun).map_err(told),
        }
        restore_terminal();
        Ok(Disturbance::Terminated)
    }

    /// Shows what happens until the turn, and those that what was said meanwhile begins, end or cannot go on here.
    pub(crate) async fn until_turn_ends(&mut self, screen: &mut Screen) -> Result<TurnResult, Failure> {
        let mut stopping = false;
        // A question that was pending before this process came is not announced again.
        if let Some(result) = self.ask_all(screen, &mut stopping).await? {
            self.show_rest(screen).await?;
            return Ok(result);
        }
        let mut ended: Option<TurnEnd> = None;
        loop {
            let update = tokio::select! {
                update = self.subscription.next() => update.map_err(told)?,
                line = self.typed.next() => {
                    self.take_typed(&line, screen).await?;
                    continue;
                }
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
                    self.seen = logged.header.sequence;
                    screen.event(&logged);
                    match &logged.event {
                        Some(Event::TurnEnded { end, .. }) => ended = Some(end.clone()),
                        Some(Event::TurnStarted { .. }) => {
                            ended = None;
                            stopping = false;
                        }
                        Some(Event::ModelRequested { .. }) => {
                            if let Some(begin) = self.once_requested.take() {
                                begin();
                            }
                        }
                        Some(
                            Event::ApprovalAsked { .. } | Event::QuestionAsked { .. } | Event::PlanSubmitted { .. },
                        ) => {
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
                    if (self.settles || self.looks_again)
                        && ended.is_none()
                        && let Some(result) = self.ask_all(screen, &mut stopping).await?
                    {
                        return Ok(result);
                    }
                    if let Some(end) = &ended
                        && let Some(result) = self.result(end, screen).await?
                    {
                        return Ok(result);
                    }
                }
            }
        }
    }

    /// What a turn came to; none where what was said meanwhile began another turn, or more
    /// events are to be shown.
    async fn result(&mut self, end: &TurnEnd, screen: &mut Screen) -> Result<Option<TurnResult>, Failure> {
        while let Some(line) = self.typed.ready() {
            self.take_typed(&line, screen).await?;
        }
        let loaded = self.session.snapshot().await.map_err(told)?;
        if loaded.state.turn.is_some() || self.seen < loaded.tip.sequence {
            return Ok(None);
        }
        screen.waiting(&loaded.state.messages);
        let raise = match end {
            TurnEnd::Limit { limit, maximum } => {
                budget_words::raised(limit, *maximum, &loaded.state, self.limits.output_tokens_max)
            }
            _ => None,
        };
        Ok(Some(TurnResult::Ended { end: end.clone(), raise }))
    }

    async fn interrupt(&self) -> Result<(), Failure> {
        match self.session.interrupt().await {
            // The turn ended by itself in the same moment.
            Ok(()) | Err(SessionError::Refused(_)) => Ok(()),
            Err(error) => Err(told(error)),
        }
    }
}

/// The line editor is left in the middle of a line: the terminal gets its usual mode back.
fn restore_terminal() {
    let _ = crossterm::terminal::disable_raw_mode();
}

/// What the core declined is the person's to mend.
fn refused_is_usage(result: Result<(), SessionError>) -> Result<(), Failure> {
    match result {
        Err(SessionError::Refused(refusal)) => Err(Failure::usage(refusal.to_string())),
        other => other.map_err(told),
    }
}

/// What the person can mend is told, and it goes on.
fn told_where_usage(result: Result<(), Failure>, screen: &Screen) -> Result<(), Failure> {
    match result {
        Err(failure) if failure.exit == Exit::Usage => {
            screen.note(&failure.message);
            Ok(())
        }
        other => other,
    }
}

fn told(error: SessionError) -> Failure {
    Failure::failed(chain(&error))
}
