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
use harness_core::item::ToolSpec;
use harness_core::mode::HookPoint;
use harness_core::{Event, Sequence, SessionId};
use harness_engine::ports::{Holder, Takeover};
use harness_engine::{CheckpointPolicy, Host, NewSession, Session, SessionError, Subscription, Update};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Turns of the runtime between two actions.
const TURNS_PER_ACTION: u64 = 6;

/// How long whoever speaks is waited for before somebody else gets on with it.
const SPEAKING_MAX: Duration = Duration::from_millis(2);

/// Actions of one host in a fight at most, until it takes the session over again.
const FIGHT_ACTIONS: usize = 12;

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
}

/// Whether something said was taken, and what must be in the log if it was.
type Spoken = (Result<(), SessionError>, Option<Accepted>);

/// One host's time with the session, and how many things happened in it.
struct Flight {
    outside: SharedOutside,
    session: Option<SessionId>,
    /// Keeps apart what is said in different flights.
    flight: u64,
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

    /// What was seen so far, with what the store holds of the session now, and the session as it is read back.
    pub async fn land<S: Store>(&self, store: Arc<S>) -> Result<Evidence, String> {
        let seen = locked(&self.outside).evidence.first_mut().map(std::mem::take).unwrap_or_default();
        let Some(session) = self.session else { return Ok(seen) };
        let text = |error: harness_engine::ports::StoreError| error.to_string();
        let stored = store.read(session, Sequence::START, usize::MAX).await.map_err(text)?;
        let tip = Some(store.tip(session).await.map_err(text)?);
        let reader = ports(&self.outside, &store, 0, Vec::new(), Vec::new());
        let holder = Holder { machine: "sim".to_owned(), pid: 0, process_start: 0 };
        let loaded = Host::new(reader.over(store, 0), holder, "sim").load(session).await;
        let loaded = Some(Box::new(loaded.map_err(|error| error.to_string())?.state));
        Ok(Evidence { session: Some(session), stored, tip, loaded, ..seen })
    }

    /// Gives what was landed back, so that the next flight adds to it.
    pub fn keep(&self, evidence: Evidence) {
        locked(&self.outside).evidence = vec![evidence];
    }

    /// How often something was reached in all flights, such as `append fenced`.
    pub fn reached(&self, what: &str) -> usize {
        locked(&self.outside).reached.iter().filter(|it| **it == what).count()
    }

    fn begin(&mut self) -> Flight {
        self.flights += 1;
        let (outside, session) = (Arc::clone(&self.outside), self.session);
        Flight { outside, session, flight: self.flights, number: 0 }
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
        let mut flight = self.begin();
        let played = flight.fly(store, holder, takeover, seed, actions).await;
        self.session = flight.session;
        played
    }

    /// Two hosts that fight for the session, each over a store of its own: whoever lost it takes it over again, until
    /// each was at it so often. Says how many actions were played.
    pub async fn fight<S: Store>(&mut self, stores: [Arc<S>; 2], holder: Holder, seed: u64, flights: u64) -> usize {
        let random = &mut Random(seed);
        let hosts: Vec<Vec<(Flight, u64, usize)>> = stores
            .iter()
            .map(|_| (0..flights).map(|_| (self.begin(), random.next(), 1 + random.index(FIGHT_ACTIONS))).collect())
            .collect();
        let [one, other] = stores;
        let host = async |store: Arc<S>, flights: Vec<(Flight, u64, usize)>| {
            let mut played = 0;
            for (mut flight, seed, actions) in flights {
                let flown = flight.fly(Arc::clone(&store), holder.clone(), Takeover::Force, seed, actions);
                played += flown.await;
            }
            played
        };
        let mut hosts = hosts.into_iter();
        let (ones, others) = (hosts.next().unwrap_or_default(), hosts.next().unwrap_or_default());
        let (one, other) = tokio::join!(host(one, ones), host(other, others));
        one + other
    }
}

impl Flight {
    async fn fly<S: Store>(
        &mut self,
        store: Arc<S>,
        holder: Holder,
        takeover: Takeover,
        seed: u64,
        actions: usize,
    ) -> usize {
        let random = &mut Random(seed);
        let context = inputs::context(random);
        let desk = random.next();
        let hooks = if random.one_in(3) { vec![inputs::hook_point(random)] } else { Vec::new() };
        let ports = ports(&self.outside, &store, desk, context.tools.clone(), hooks);
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
            let number = self.flight << 32 | self.number;
            slip.give_back(random, number, &mut locked(&self.outside).files);
            tokio::task::yield_now().await;
            return Ok(());
        }
        let number = self.flight << 32 | self.number;
        let slips = &mut Random(random.next());
        let mut speaking = pin!(self.speak(session, random));
        let (told, accepted) = loop {
            match tokio::time::timeout(SPEAKING_MAX, speaking.as_mut()).await {
                Ok(spoken) => break spoken?,
                // It waits for a hook, and that for somebody to come back.
                Err(_) => {
                    if let Some(slip) = ports.desk.take(slips) {
                        slip.give_back(slips, number, &mut locked(&ports.outside).files);
                    }
                }
            }
        };
        match told {
            Ok(()) => {
                let mut outside = locked(&ports.outside);
                outside.evidence.iter_mut().for_each(|evidence| evidence.accepted.extend(accepted.clone()));
            }
            Err(SessionError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Says something, and gives what came of it, with what was accepted if it was.
    async fn speak(&self, session: &Session, random: &mut Random) -> Result<Spoken, SessionError> {
        let state = session.snapshot().await?.state;
        let (told, accepted) = if random.one_in(15) {
            (session.interrupt().await, None)
        } else if random.one_in(6) {
            let said = session.say(
                format!("said {} {}", self.flight, self.number),
                inputs::delivery(random),
                inputs::limits(random),
            );
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
            let text = format!("{} {} {}", inputs::prompt(random), self.flight, self.number);
            let told = session.prompt(text.clone(), inputs::limits(random)).await;
            (told, Some(Accepted::Prompt(text)))
        };
        Ok((told, accepted))
    }
}

/// What a host over this store stands on.
fn ports<S: Store>(
    outside: &SharedOutside,
    store: &Arc<S>,
    desk: u64,
    tools: Vec<ToolSpec>,
    hooks: Vec<HookPoint>,
) -> SimPorts {
    let desk = Arc::new(Desk::new(desk, false));
    let (outside, store, tools) = (Arc::clone(outside), Arc::clone(store) as _, Arc::new(tools));
    SimPorts { desk, outside, store, tools, of: 0, hooks: Arc::new(hooks) }
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
