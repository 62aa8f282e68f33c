//! A driver for a real store: plays actions in a session of a real engine, over any store, in real time.
//!
//! Promise: what is done follows from the seed; when the store's own threads answer does not, so that a seed
//! leads to the same kind of play and not to the same bytes. What was seen adds up over all flights.
//!
//! Not here: crashes. Whoever owns the store makes them, and the pilot notices.

use super::engine_ports::{Desk, Outside, SharedOutside, SimPorts, Store, locked};
use super::evidence::{Accepted, Evidence, Told};
use super::inputs;
use crate::random::Random;
use harness_core::{Event, Sequence, SessionId};
use harness_engine::ports::{EventLog, Holder, Takeover};
use harness_engine::{CheckpointPolicy, Host, NewSession, Session, SessionError, Subscription, Update};
use std::sync::Arc;

/// Turns of the runtime between two actions.
const TURNS_PER_ACTION: u64 = 6;

/// Called with each thing that must not be forgotten, before the pilot goes on.
pub type Listener = Box<dyn Fn(&Note) + Send>;

/// Something that must hold from now on, also if this process ends at once.
#[derive(Debug, Clone)]
pub enum Note {
    /// An append was acknowledged, or a subscriber told.
    Told(Told),
    /// A hand begins a run.
    Ran(super::evidence::Execution),
    /// The session was acquired.
    Acquired(super::evidence::Acquired),
}

/// Plays one session, flight after flight.
#[derive(Default)]
pub struct Pilot {
    outside: SharedOutside,
    session: Option<SessionId>,
    flights: u64,
    number: u64,
}

impl Pilot {
    /// A pilot who tells `listener` of what must hold.
    pub fn new(listener: Listener) -> Self {
        let pilot = Self::default();
        locked(&pilot.outside).listener = Some(listener);
        pilot
    }

    /// The session, once there is one.
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// Flies another session from now on, one that exists.
    pub fn board(&mut self, session: SessionId) {
        self.session = Some(session);
    }

    /// What was seen so far, with what `log` holds of the session now.
    pub async fn land(&self, log: &dyn EventLog) -> Result<Evidence, String> {
        let seen = locked(&self.outside).evidence.first_mut().map(std::mem::take).unwrap_or_default();
        let Some(session) = self.session else { return Ok(seen) };
        let text = |error: harness_engine::ports::StoreError| error.to_string();
        let stored = log.read(session, harness_core::Sequence::START, usize::MAX).await.map_err(text)?;
        let tip = Some(log.tip(session).await.map_err(text)?);
        Ok(Evidence { session: Some(session), stored, tip, ..seen })
    }

    /// Gives what was landed back, so that the next flight adds to it.
    pub fn keep(&self, evidence: Evidence) {
        locked(&self.outside).evidence = vec![evidence];
    }

    /// Opens the session over a store, or makes it, and plays so many actions in it, until they are over or the
    /// session is closed. Says how many were played.
    pub async fn fly<S: Store>(
        &mut self,
        store: Arc<S>,
        holder: Holder,
        takeover: Takeover,
        seed: u64,
        actions: usize,
    ) -> usize {
        let random = &mut Random(seed);
        self.flights += 1;
        let context = inputs::context(random);
        let desk = Arc::new(Desk::new(random.next(), false));
        let (outside, tools) = (Arc::clone(&self.outside), Arc::new(context.tools.clone()));
        let hooks = Arc::new(if random.one_in(3) { vec![inputs::hook_point(random)] } else { Vec::new() });
        let ports = SimPorts { desk, outside, store: Arc::clone(&store) as _, tools, of: 0, hooks };
        let host = Host::new(ports.over(store, random.next()), holder, "sim");
        let often = CheckpointPolicy { events: 1 + random.below(60), close_events: 10 };
        let host = host.with_policy(Arc::new(ports.clone())).with_checkpoints(often);
        let hands = Arc::new(ports.clone());
        let opened = match self.session {
            Some(id) => host.open(id, context, Vec::new(), hands, takeover).await,
            None => {
                let new = NewSession { workspace: "/w".to_owned(), title: None };
                host.create(new, context, Vec::new(), hands).await
            }
        };
        let Ok(session) = opened else { return 0 };
        self.session = Some(session.id());
        let watched = tokio::spawn(watch(session.subscribe(Sequence::START), Arc::clone(&self.outside)));
        let mut played = 0;
        while played < actions && self.act(&ports, &session, random).await.is_ok() {
            played += 1;
        }
        watched.abort();
        played
    }

    async fn act(&mut self, ports: &SimPorts, session: &Session, random: &mut Random) -> Result<(), SessionError> {
        for _ in 0..random.below(TURNS_PER_ACTION) {
            tokio::task::yield_now().await;
        }
        self.number += 1;
        if !random.one_in(8)
            && let Some(slip) = ports.desk.take(random)
        {
            let number = self.flights << 32 | self.number;
            slip.give_back(random, number, &mut locked(&self.outside).files);
            tokio::task::yield_now().await;
            return Ok(());
        }
        let state = session.snapshot().await?.state;
        let (told, accepted) = if random.one_in(15) {
            (session.interrupt().await, None)
        } else if random.one_in(6) {
            let said = session.say(format!("said {}", self.number), inputs::delivery(random), inputs::limits(random));
            match said.await {
                Ok(message) => (Ok(()), Some(Accepted::Message(message))),
                Err(error) => (Err(error), None),
            }
        } else if random.one_in(12) {
            (steer(session, random).await, None)
        } else if state.turn.is_none() && random.one_in(6) {
            let tip = session.snapshot().await?.tip.sequence.0;
            match session.rewind(Sequence(1 + random.below(tip))).await {
                Ok(to) => (Ok(()), Some(Accepted::Rewind(to.0))),
                Err(error) => (Err(error), None),
            }
        } else if let Some(pending) = random.pick(&state.pending()) {
            let answer = inputs::answer(random);
            let told = session.answer(pending.approval, pending.binds_to, answer).await;
            (told, Some(Accepted::Approval(pending.approval)))
        } else if let Some(plan) = random.pick(&state.plans()) {
            let told = session.answer_plan(plan.plan, inputs::plan_answer(random)).await;
            (told, Some(Accepted::Plan(plan.plan)))
        } else if let Some(question) = random.pick(&state.questions()) {
            let answer = inputs::reply(random, question.choices);
            (session.answer_question(question.question, answer).await, Some(Accepted::Question(question.question)))
        } else {
            let text = format!("{} {} {}", inputs::prompt(random), self.flights, self.number);
            let told = session.prompt(text.clone(), inputs::limits(random)).await;
            (told, Some(Accepted::Prompt(text)))
        };
        match told {
            Ok(()) => {
                let mut outside = locked(&self.outside);
                outside.evidence.iter_mut().for_each(|evidence| evidence.accepted.extend(accepted.clone()));
            }
            Err(SessionError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Sets what steers the session.
async fn steer(session: &Session, random: &mut Random) -> Result<(), SessionError> {
    match random.below(4) {
        0 => session.choose_mode(inputs::mode_name(random)).await,
        1 => session.set_modes(inputs::modes(random)).await,
        2 => session.set_budget(inputs::budget(random)).await,
        _ => session.choose_model(inputs::model(random), inputs::price(random)).await,
    }
}

/// Remembers what a subscriber is told.
async fn watch(mut updates: Subscription, outside: SharedOutside) {
    while let Ok(update) = updates.next().await {
        match update {
            Update::Event(logged) => {
                let Some(event) = logged.event.clone() else { continue };
                let told = Told { sequence: logged.header.sequence.0, epoch: None, event: Arc::<Event>::new(event) };
                Outside::tell(&outside, 0, told);
            }
            Update::Delta { .. } | Update::Progress { .. } => {}
            Update::Closed { .. } => return,
        }
    }
}
