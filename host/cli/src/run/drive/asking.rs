//! Asking for everything that waits for a person.
//!
//! Promise: what another process answers meanwhile is not asked any more; where nobody can be asked, that something
//! waits ends the drive.
//!
//! Not here: how a question looks (`ask`, `plan`), giving answers from another process (`elsewhere`).

use super::{Driver, Stops, TurnResult, restore_terminal, told};
use crate::failure::Failure;
use crate::paint::err_line;
use crate::run::ask::{Hush, ask_question};
use crate::run::plan::ask_plan;
use crate::run::screen::Screen;
use crate::run::waiting::{Shown, ShownPlan, ShownQuestion, Waiting};
use harness_core::Sequence;
use harness_core::state::{CallStage, Phase, SessionState};
use harness_engine::{Session, SessionError, Update};
use std::pin::pin;

/// How asking a person ended.
enum Heard<T> {
    /// With this.
    Said(T),
    /// It does not wait any more: somebody else answered, or the turn was stopped.
    Elsewhere,
    /// A supervisor wants the process to end.
    Left,
}

/// What follows from one that was asked about.
enum Next {
    /// The next one.
    Ask,
    /// The person wants the turn stopped.
    Stop,
    /// A supervisor wants the process to end.
    Leave,
}

impl Driver {
    /// Asks everything that is pending. A result where the drive cannot go on.
    pub(super) async fn ask_all(
        &mut self,
        screen: &mut Screen,
        stopping: &mut bool,
    ) -> Result<Option<TurnResult>, Failure> {
        loop {
            // What was typed before something was asked is no answer to it.
            while let Some(line) = self.typed.ready() {
                self.take_typed(&line, screen).await?;
            }
            let loaded = self.session.snapshot().await.map_err(told)?;
            let (state, tip) = (loaded.state, loaded.tip.sequence);
            let waiting = Waiting::of(&state, self.blobs.as_ref()).await?;
            if self.asker.is_none() {
                let (asks, ids, pending) = (waiting.in_lines(), waiting.ids(), waiting.for_programs());
                // A policy answers soon, and what it asks waits as well.
                let may_be_settled = is_judged(&state) || (self.settles && is_busy(&state));
                let is_over = !asks.is_empty() && !may_be_settled;
                self.looks_again = !asks.is_empty() && may_be_settled;
                screen.count_waiting(&state.messages);
                return Ok(is_over.then_some(TurnResult::NeedsAnswer { asks, ids, pending }));
            }
            let next = if let Some(question) = waiting.questions.into_iter().next() {
                self.question(&question, tip, screen).await?
            } else if let Some(plan) = waiting.plans.into_iter().next() {
                self.plan(&plan, tip, screen).await?
            } else if let Some(shown) = waiting.approvals.into_iter().next() {
                self.approval(&shown, tip, screen).await?
            } else {
                return Ok(None);
            };
            match next {
                Next::Ask => {}
                Next::Stop => {
                    *stopping = true;
                    self.interrupt().await?;
                    return Ok(None);
                }
                Next::Leave => return Ok(Some(TurnResult::Left)),
            }
        }
    }

    async fn question(
        &mut self,
        question: &ShownQuestion,
        tip: Sequence,
        screen: &mut Screen,
    ) -> Result<Next, Failure> {
        let (hush, id) = (Hush::default(), question.question);
        let ShownQuestion { component, words, choices, several, .. } = question;
        let ask = ask_question(component, words, choices, *several, &hush);
        let waits = |state: &SessionState| state.questions().iter().any(|it| it.question == id);
        match heard(&self.session, &mut self.stops, (tip, &hush), ask, waits).await? {
            Heard::Left => Ok(Next::Leave),
            Heard::Elsewhere => Ok(elsewhere(screen)),
            Heard::Said(answer) => {
                told_where_refused(self.session.answer_question(id, answer).await, screen)?;
                Ok(Next::Ask)
            }
        }
    }

    async fn plan(&mut self, plan: &ShownPlan, tip: Sequence, screen: &mut Screen) -> Result<Next, Failure> {
        let Self { asker: Some(asker), session, stops, .. } = self else { return Ok(Next::Ask) };
        let hush = Hush::default();
        let ask = ask_plan(plan, asker.paint(), &hush);
        let waits = |state: &SessionState| state.plans().iter().any(|it| it.plan == plan.plan);
        match heard(session, stops, (tip, &hush), ask, waits).await? {
            Heard::Left => Ok(Next::Leave),
            Heard::Elsewhere => Ok(elsewhere(screen)),
            Heard::Said(None) => Ok(Next::Stop),
            Heard::Said(Some(answer)) => {
                told_where_refused(session.answer_plan(plan.plan, answer).await, screen)?;
                Ok(Next::Ask)
            }
        }
    }

    async fn approval(&mut self, shown: &Shown, tip: Sequence, screen: &mut Screen) -> Result<Next, Failure> {
        let Self { asker: Some(asker), session, stops, clock, .. } = self else { return Ok(Next::Ask) };
        screen.asking(shown.asked.call);
        let hush = Hush::default();
        let ask = asker.ask(&shown.asked, || clock.now(), &hush);
        let binds_to = shown.binds_to;
        let waits = |state: &SessionState| {
            state.pending().iter().any(|it| it.approval == shown.approval && it.binds_to == binds_to)
        };
        match heard(session, stops, (tip, &hush), ask, waits).await? {
            Heard::Left => Ok(Next::Leave),
            Heard::Elsewhere => Ok(elsewhere(screen)),
            Heard::Said(None) => Ok(Next::Stop),
            Heard::Said(Some(answer)) => {
                told_where_refused(session.answer(shown.approval, binds_to, answer).await, screen)?;
                Ok(Next::Ask)
            }
        }
    }
}

/// Asks, as long as what is asked about waits; `tip` is an event at which it did.
async fn heard<T>(
    session: &Session,
    stops: &mut Stops,
    (tip, hush): (Sequence, &Hush),
    ask: impl Future<Output = Result<T, Failure>>,
    waits: impl Fn(&SessionState) -> bool,
) -> Result<Heard<T>, Failure> {
    let mut ask = pin!(ask);
    tokio::select! {
        said = &mut ask => return said.map(Heard::Said),
        _ = stops.terminate.recv() => {
            restore_terminal();
            return Ok(Heard::Left);
        }
        settled = settled(session, tip, waits) => settled?,
    }
    hush.set();
    // The line editor gives the terminal back. An answer of the same moment came too late.
    ask.await?;
    Ok(Heard::Elsewhere)
}

/// Waits until something does not wait any more.
async fn settled(session: &Session, tip: Sequence, waits: impl Fn(&SessionState) -> bool) -> Result<(), Failure> {
    let mut updates = session.subscribe(tip);
    loop {
        match updates.next().await.map_err(told)? {
            Update::Event(_) if !waits(&session.snapshot().await.map_err(told)?.state) => return Ok(()),
            Update::Closed { .. } => return Ok(()),
            Update::Event(_) | Update::Delta { .. } | Update::Progress { .. } => {}
        }
    }
}

fn elsewhere(screen: &Screen) -> Next {
    // The cursor is where the person would have written.
    err_line("");
    screen.note("answered elsewhere");
    Next::Ask
}

/// Whether something goes on without a person: a request, a wait, a call that runs or is put in place.
fn is_busy(state: &SessionState) -> bool {
    let Some(turn) = &state.turn else { return false };
    let runs = |stage: &CallStage| {
        matches!(stage, CallStage::Running | CallStage::Putting | CallStage::Judging { .. } | CallStage::Answered)
    };
    matches!(turn.phase, Phase::Requesting { .. } | Phase::Waiting { .. })
        || turn.calls().iter().any(|call| runs(&call.stage))
}

/// Whether a policy is being asked about a call.
fn is_judged(state: &SessionState) -> bool {
    let calls = state.turn.iter().flat_map(|turn| turn.calls());
    calls.into_iter().any(|call| matches!(call.stage, CallStage::Judging { .. }))
}

/// What the core declined is told, and asked about again if it still waits.
fn told_where_refused(result: Result<(), SessionError>, screen: &Screen) -> Result<(), Failure> {
    match result {
        Err(SessionError::Refused(refusal)) => {
            screen.note(&refusal.to_string());
            Ok(())
        }
        other => other.map_err(told),
    }
}
