//! The real engine over a store in memory: hosts that write one session, one after the other or against each other.
//!
//! Promise: each host has a runtime of its own on the same thread; who runs, for how long, and what returns when is
//! the plan's. A crash drops the runtime with whatever is in it, wherever it stands.

mod persons;
mod view;

use super::action::{Action, Planned};
use super::core_world::refused;
use super::coverage::Coverage;
use super::engine_ports::{Desk, Outside, SharedOutside, SimPorts, Slip, locked};
use super::evidence::{Accepted, Evidence, Live, Opened, Origin, Told};
use super::inputs;
use crate::memory_store::MemoryStore;
use crate::random::Random;
use harness_core::event::{Context, ForkFiles};
use harness_core::{Sequence, SessionId};
use harness_engine::ports::{EventLog, Hands, Holder, Takeover};
use harness_engine::{
    CheckpointPolicy, Host, ImportAs, ImportLimits, NewSession, OpenError, Session, SessionError, Update,
};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};
use tokio::runtime::Runtime;
use view::View;

/// Turns after which whatever can run by itself has run.
const SETTLE_TURNS: u64 = 40;
/// Hosts of one session at once.
const HOSTS_MAX: usize = 2;
/// Sessions of one play: the first, and what is made from it.
const SESSIONS_MAX: usize = 2;
/// One in so many hosts keeps checkpoints; what makes them is waited for, which takes time.
const CHECKPOINTS_ONE_IN: u64 = 4;
/// Returns after which a session that is left alone must have come to rest.
const REST_ACTIONS_MAX: usize = 3_000;

/// One host, as a process of its own would be.
struct Process {
    runtime: Runtime,
    ports: SimPorts,
    host: Host,
    holder: Holder,
    session: Arc<std::sync::Mutex<Option<Session>>>,
    /// Something may be at work on another thread.
    has_threads: bool,
}

/// Sessions in a store, and the hosts that write them.
pub(crate) struct EngineWorld<'a> {
    store: MemoryStore,
    outside: SharedOutside,
    processes: Vec<Process>,
    /// The sessions, each as its log says.
    views: Vec<View>,
    context: Context,
    ids: Random,
    started: u32,
    responses: u64,
    prompts: u64,
    /// A checkpoint may be there: it is read on another thread.
    has_checkpoints: bool,
    coverage: &'a mut Coverage,
}

/// The result of what never waits.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Task::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

impl Process {
    fn run(&self, turns: u64) {
        self.runtime.block_on(async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
                if self.has_threads {
                    self.wait_for_threads();
                }
            }
        });
    }

    /// Waits until the runtime's one other thread has done all that it was given, so that when that happens does not
    /// depend on the machine.
    fn wait_for_threads(&self) {
        let (done, is_done) = std::sync::mpsc::channel();
        self.runtime.spawn_blocking(move || {
            let _ = done.send(());
        });
        let _ = is_done.recv();
    }

    fn session(&self) -> Option<Session> {
        locked(&self.session).clone()
    }
}

impl<'a> EngineWorld<'a> {
    /// A new session, opened by a first host.
    pub(crate) fn new(seed: u64, coverage: &'a mut Coverage) -> Self {
        let mut ids = Random(seed);
        let context = inputs::context(&mut ids);
        let mut world = Self {
            store: MemoryStore::new(),
            outside: SharedOutside::default(),
            processes: Vec::new(),
            views: Vec::new(),
            context,
            ids,
            started: 0,
            responses: 0,
            prompts: 0,
            has_checkpoints: false,
            coverage,
        };
        let process = world.start(0, false);
        let (host, hands, context) = (process.host.clone(), Arc::new(process.ports.clone()), world.context.clone());
        let new = NewSession { workspace: "/w".to_owned(), title: None };
        let created = process.runtime.block_on(host.create(new, context, Vec::new(), hands));
        match created {
            Ok(session) => {
                world.views.push(View::new(session.id(), None));
                *locked(&process.session) = Some(session);
            }
            Err(error) => world.wrong(format!("it was not created: {error}")),
        }
        if world.ids.one_in(2) {
            process.ports.desk.wear_out();
        }
        world.processes.push(process);
        world.look();
        world
    }

    fn outside(&self) -> std::sync::MutexGuard<'_, Outside> {
        locked(&self.outside)
    }

    fn wrong(&self, what: String) {
        self.outside().wrong(what);
    }

    /// A process that has opened nothing yet, to play a session.
    fn start(&mut self, of: usize, is_faulty: bool) -> Process {
        self.started += 1;
        let holder = Holder { machine: "sim".to_owned(), pid: self.started, process_start: 1 };
        let mut random = Random(self.ids.next());
        let keeps = random.one_in(CHECKPOINTS_ONE_IN);
        self.has_checkpoints |= keeps;
        let hooks = match random.below(3) {
            0 => (0..1 + random.below(3)).map(|_| inputs::hook_point(&mut random)).collect(),
            _ => Vec::new(),
        };
        let desk = Arc::new(Desk::new(self.ids.next(), is_faulty));
        let tools = Arc::new(self.context.tools.clone());
        let store = Arc::new(self.store.clone());
        let (outside, kept) = (Arc::clone(&self.outside), Arc::clone(&store) as _);
        let ports = SimPorts { desk, outside, store: kept, tools, of, hooks: Arc::new(hooks) };
        let host = Host::new(ports.over(store, self.ids.next()), holder.clone(), "sim");
        let often = CheckpointPolicy { events: 1 + random.below(40), close_events: 5 };
        let never = CheckpointPolicy { events: u64::MAX, close_events: u64::MAX };
        let host = host.with_policy(Arc::new(ports.clone()));
        let host = host.with_checkpoints(if keeps { often } else { never });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(1).build();
        #[allow(clippy::expect_used, reason = "without a thread's runtime there is nothing to simulate")]
        let runtime = runtime.expect("a runtime of its own");
        Process { runtime, ports, host, holder, session: Arc::default(), has_threads: self.has_checkpoints }
    }

    /// Lets one thing happen.
    pub(crate) fn act(&mut self, planned: Planned) {
        let random = &mut Random(planned.seed);
        let chosen = random.index(self.processes.len());
        let of = random.index(self.views.len());
        match planned.action {
            Action::Return | Action::ReturnLate => self.give_back(chosen, random),
            Action::ChangeFile => {
                let mut outside = locked(&self.outside);
                outside.now.0 += 1;
                for (path, content) in inputs::edits(random, |_| None).1 {
                    match content {
                        Some(content) => drop(outside.files.insert(path, content)),
                        None => drop(outside.files.remove(&path)),
                    }
                }
            }
            Action::Crash => self.crash(chosen),
            Action::Close => self.close(chosen),
            Action::Open if !self.is_open(of) => self.open_session(of, Takeover::IfGone, true, random),
            Action::TakeOver => self.take_over(of, random),
            Action::Fork => self.fork(chosen, random),
            Action::Import => self.import(chosen),
            Action::Rewind => self.rewind(chosen, random),
            Action::Open | Action::Run | Action::Checkpoint => {}
            of_a_person => self.hear(of_a_person, chosen, random),
        }
        // Mostly everything runs that can, but not always: then it is met in the middle.
        if let Some(process) = self.processes.get(random.index(self.processes.len())) {
            process.run(if random.one_in(3) { random.below(6) } else { SETTLE_TURNS / 2 });
        }
        self.look();
    }

    fn is_open(&self, of: usize) -> bool {
        self.processes.iter().any(|process| process.ports.of == of && process.session().is_some())
    }

    /// Ends the play: kills every host, has a last one take each session up, lets it come to rest if `rest` says so,
    /// and gives what was seen of each.
    pub(crate) fn end(mut self, seed: u64, rest: bool) -> Vec<Evidence> {
        let random = &mut Random(seed);
        while !self.processes.is_empty() {
            self.crash(0);
        }
        let mut ends = Vec::new();
        for of in 0..self.views.len() {
            self.open_session(of, Takeover::IfGone, false, random);
            self.settle();
            if rest {
                self.come_to_rest(of, random);
            }
            let id = self.views.get(of).map(|view| view.session);
            let process = self.processes.iter().rev().find(|process| process.ports.of == of);
            let last = process.and_then(|process| {
                let session = process.session()?;
                let live = process.runtime.block_on(session.snapshot()).ok()?;
                let loaded = process.runtime.block_on(process.host.load(id?)).map(|loaded| Box::new(loaded.state));
                let loaded = loaded.map_err(|error| self.wrong(format!("it cannot be loaded: {error}"))).ok();
                Some((Live { state: live.state, out: process.ports.desk.count(|_| true) }, loaded))
            });
            if last.is_none() {
                self.wrong("the last host has no session".to_owned());
            }
            ends.push(last);
        }
        self.look();
        let Outside { evidence, reached, .. } = std::mem::take(&mut *locked(&self.outside));
        reached.into_iter().for_each(|what| self.coverage.reach(what));
        let mut seen = Vec::new();
        for ((view, evidence), last) in self.views.iter().zip(evidence).zip(ends) {
            let tip = at_once(self.store.tip(view.session)).and_then(Result::ok);
            let (live, loaded) = last.map_or((None, None), |(live, loaded)| (Some(live), loaded));
            let origin = view.origin.and_then(|(of, at)| {
                let events = self.views.get(of)?.stored.iter().take(usize::try_from(at).ok()?).cloned().collect();
                Some(Origin { owners: view.owners.clone(), events })
            });
            let (session, stored) = (Some(view.session), view.stored.clone());
            seen.push(Evidence { session, stored, origin, tip, live, loaded, ..evidence });
        }
        seen
    }

    fn settle(&mut self) {
        for process in &self.processes {
            process.run(SETTLE_TURNS);
        }
        self.look();
    }

    fn come_to_rest(&mut self, of: usize, random: &mut Random) {
        let Some(chosen) = self.processes.iter().position(|process| process.ports.of == of) else { return };
        for _ in 0..REST_ACTIONS_MAX {
            let Some(view) = self.views.get(of) else { return };
            let state = view.state();
            if state.turn.is_none() && state.undoing.is_none() {
                return self.coverage.reach("came to rest at the end");
            }
            let is_out = self.processes.get(chosen).is_some_and(|process| process.ports.desk.count(|_| true) > 0);
            match is_out {
                true => self.give_back(chosen, random),
                false if !state.questions().is_empty() => self.answer_question(chosen, random),
                false if !state.plans().is_empty() => self.answer_plan(chosen, random),
                false => self.answer(chosen, random),
            }
            self.settle();
        }
        let turn = self.views.get(of).map(|view| view.state().turn.clone());
        self.wrong(format!("left alone, it does not come to rest: {turn:?}"));
    }

    /// Reads what the store holds by now.
    fn look(&mut self) {
        let mut wrong = None;
        for view in &mut self.views {
            let after = Sequence(view.stored.len() as u64);
            let Some(Ok(fresh)) = at_once(self.store.read(view.session, after, usize::MAX)) else { continue };
            wrong = wrong.or(fresh.into_iter().try_for_each(|stored| view.take(stored)).err());
            if view.state().pending().len() > 1 {
                self.coverage.reach("several approvals waiting at once");
            }
        }
        wrong.into_iter().for_each(|what| self.wrong(what));
    }

    fn give_back(&mut self, chosen: usize, random: &mut Random) {
        let Some(process) = self.processes.get(chosen) else { return };
        let Some(slip) = process.ports.desk.take(random) else { return self.go_on(chosen, random) };
        self.responses += 1;
        slip.give_back(random, self.responses, &mut locked(&self.outside).files);
    }

    /// Sends something to a host's session without waiting for what comes of it. What is accepted is remembered.
    fn tell<F>(&mut self, chosen: usize, accepted: Option<Accepted>, what: impl FnOnce(Session) -> F)
    where
        F: Future<Output = Result<(), SessionError>> + Send + 'static,
    {
        self.tell_and(chosen, what, move |outside, of, result| match (result, accepted) {
            (Ok(()), Some(accepted)) => {
                outside.evidence.get_mut(of).into_iter().for_each(|it| it.accepted.push(accepted.clone()));
            }
            (Err(SessionError::Refused(refusal)), _) => outside.reached.push(refused(&refusal)),
            (Err(SessionError::Closed(_)), _) => outside.reached.push("refused: closed session"),
            (Ok(()) | Err(_), _) => {}
        });
    }

    fn tell_and<T: Send + 'static, F>(
        &mut self,
        chosen: usize,
        what: impl FnOnce(Session) -> F,
        then: impl FnOnce(&mut Outside, usize, Result<T, SessionError>) + Send + 'static,
    ) where
        F: Future<Output = Result<T, SessionError>> + Send + 'static,
    {
        let Some(process) = self.processes.get(chosen) else { return };
        let Some(session) = process.session() else { return };
        let (told, outside, of) = (what(session), Arc::clone(&self.outside), process.ports.of);
        process.runtime.spawn(async move {
            let result = told.await;
            then(&mut locked(&outside), of, result);
        });
    }

    /// Sends what must be refused.
    fn must_refuse<F>(&mut self, chosen: usize, what: &'static str, tell: impl FnOnce(Session) -> F)
    where
        F: Future<Output = Result<(), SessionError>> + Send + 'static,
    {
        self.tell_and(chosen, tell, move |outside, _, result| match result {
            Ok(()) => outside.wrong(format!("{what} was taken")),
            Err(SessionError::Refused(refusal)) => outside.reached.push(refused(&refusal)),
            Err(_) => {}
        });
    }

    fn crash(&mut self, chosen: usize) {
        if chosen >= self.processes.len() {
            return;
        }
        let process = self.processes.swap_remove(chosen);
        let desk = &process.ports.desk;
        let state = self.views.get(process.ports.of).map(View::state);
        let waits = |test: fn(&harness_core::SessionState) -> bool| state.is_some_and(test);
        let reached = [
            ("crash with a model request out", desk.count(|it| matches!(it, Slip::Model { .. })) > 0),
            ("crash with a call running", desk.count(|it| matches!(it, Slip::Call { .. })) > 0),
            ("crash with a put out", desk.count(|it| matches!(it, Slip::Put { .. })) > 0),
            ("crash with a policy asked", desk.count(|it| matches!(it, Slip::Policy { .. })) > 0),
            ("crash with the disk at work", desk.count(|it| matches!(it, Slip::Disk { .. })) > 0),
            ("crash with an approval waiting", waits(|state| !state.pending().is_empty())),
            ("crash with a question waiting", waits(|state| !state.questions().is_empty())),
            ("crash with a plan waiting", waits(|state| !state.plans().is_empty())),
            ("crash with a message waiting", waits(|state| !state.messages.is_empty())),
            ("crash at rest", desk.count(|_| true) == 0),
        ];
        reached.into_iter().filter(|(_, is)| *is).for_each(|(what, _)| self.coverage.reach(what));
        self.store.set_gone(process.holder.clone());
        if process.has_threads {
            process.wait_for_threads();
        }
        // Whatever it was at ends here, and its process with it.
        drop(process);
        self.look();
    }

    fn close(&mut self, chosen: usize) {
        let Some(process) = self.processes.get(chosen) else { return };
        let Some(session) = locked(&process.session).take() else { return };
        process.runtime.spawn(session.close());
    }

    fn take_over(&mut self, of: usize, random: &mut Random) {
        self.make_room(of);
        if self.is_open(of) {
            self.coverage.reach("taken over from a live host");
        }
        self.open_session(of, Takeover::Force, true, random);
    }

    fn make_room(&mut self, of: usize) {
        let others = |world: &Self| world.processes.iter().filter(|it| it.ports.of == of).count();
        while others(self) >= HOSTS_MAX {
            let Some(first) = self.processes.iter().position(|it| it.ports.of == of) else { return };
            self.crash(first);
        }
    }

    /// Has a new host take a session up.
    fn open_session(&mut self, of: usize, takeover: Takeover, is_faulty: bool, random: &mut Random) {
        let Some((id, after)) = self.views.get(of).map(|view| (view.session, Sequence(view.stored.len() as u64)))
        else {
            return;
        };
        self.make_room(of);
        if random.one_in(3) {
            self.context = inputs::context(random);
        }
        let process = self.start(of, is_faulty);
        let (host, context) = (process.host.clone(), self.context.clone());
        let hands: Arc<dyn Hands> = Arc::new(process.ports.clone());
        let (slot, outside) = (Arc::clone(&process.session), Arc::clone(&self.outside));
        process.runtime.spawn(async move {
            let session = match host.open(id, context, Vec::new(), hands, takeover).await {
                Ok(session) => session,
                // On a whole disk nothing is in its way.
                Err(error) if !is_faulty => return locked(&outside).wrong(format!("it was not opened: {error:?}")),
                Err(_) => return,
            };
            // Asked for before anything else can reach the writer.
            let seen = session.snapshot().await;
            let updates = session.subscribe(after);
            *locked(&slot) = Some(session);
            if let Ok(seen) = seen {
                let opened = Opened::of(seen.state.epoch, seen.tip.sequence.0, &seen.state);
                locked(&outside).evidence.get_mut(of).into_iter().for_each(|it| it.openings.push(opened.clone()));
            }
            watch(updates, &outside, of).await;
        });
        process.run(random.below(SETTLE_TURNS));
        self.processes.push(process);
        self.look();
    }

    fn rewind(&mut self, chosen: usize, random: &mut Random) {
        let Some(process) = self.processes.get_mut(chosen) else { return };
        // What is left behind is passed over by a checkpoint.
        process.has_threads = true;
        self.has_checkpoints = true;
        let end = self.views.get(process.ports.of).map_or(0, |view| view.stored.len() as u64);
        let to = Sequence(random.below(end + 2));
        self.tell_and(
            chosen,
            |session| async move { session.rewind(to).await },
            |outside, of, result| match result {
                Ok(to) => {
                    let accepted = Accepted::Rewind(to.0);
                    outside.evidence.get_mut(of).into_iter().for_each(|it| it.accepted.push(accepted.clone()));
                }
                Err(SessionError::Refused(refusal)) => outside.reached.push(refused(&refusal)),
                Err(_) => {}
            },
        );
    }

    /// A session that another may be made from, with its end and a host of its own for it that does nothing else.
    fn origin(&mut self, chosen: usize) -> Option<(usize, SessionId, u64, Process)> {
        let of = self.processes.get(chosen).filter(|_| self.views.len() < SESSIONS_MAX)?.ports.of;
        let (origin, end) = self.views.get(of).map(|view| (view.session, view.stored.len() as u64))?;
        Some((of, origin, end, self.start(of, false)))
    }

    /// Makes another session of what one was after some event, whoever writes it meanwhile.
    fn fork(&mut self, chosen: usize, random: &mut Random) {
        let Some((of, origin, end, process)) = self.origin(chosen) else { return };
        let at = (!random.one_in(3)).then(|| Sequence(1 + random.below(end)));
        let forked = process.runtime.block_on(process.host.fork(origin, at, ForkFiles::Shared));
        self.look();
        match forked {
            Ok(id) => self.begin_another(id, of, "forked"),
            // What was granted elsewhere would be in force.
            Err(OpenError::WrittenElsewhere { last, .. }) if at.is_some_and(|at| at <= last) => {}
            Err(error) => self.wrong(format!("it was not forked: {error}")),
        }
    }

    /// Writes a session into a file and takes it in again.
    fn import(&mut self, chosen: usize) {
        let Some((of, origin, _, process)) = self.origin(chosen) else { return };
        let mut file = Vec::new();
        if let Err(error) = process.runtime.block_on(process.host.export(origin, &mut file)) {
            return self.wrong(format!("it was not exported: {error}"));
        }
        let (file, limits) = (std::io::Cursor::new(file), ImportLimits::default());
        let imported = process.runtime.block_on(process.host.import(file, ImportAs::New, "/i", limits));
        self.look();
        match imported {
            Ok(id) => self.begin_another(id, of, "imported"),
            Err(error) => self.wrong(format!("it was not imported: {error}")),
        }
    }

    fn begin_another(&mut self, id: SessionId, of: usize, what: &'static str) {
        let mut view = View::new(id, None);
        let Some(Ok(stored)) = at_once(self.store.read(id, Sequence::START, usize::MAX)) else {
            return self.wrong(format!("{id} is not there"));
        };
        if let Err(what) = stored.into_iter().try_for_each(|stored| view.take(stored)) {
            return self.wrong(what);
        }
        let at = view.stored.len() as u64 - 1;
        view.origin = Some((of, at));
        view.owners = self.views.get(of).map_or_else(Vec::new, |origin| origin.owners_up_to(at));
        let mut outside = self.outside();
        let theirs = outside.evidence.get(of).map_or_else(Vec::new, |it| it.executions.clone());
        let executions = theirs.into_iter().filter(|it| it.after <= at).collect();
        outside.evidence.push(Evidence { session: Some(id), executions, ..Evidence::default() });
        drop(outside);
        self.views.push(view);
        self.coverage.reach(what);
    }
}

/// Remembers what subscribers are told.
async fn watch(mut updates: harness_engine::Subscription, outside: &SharedOutside, of: usize) {
    loop {
        match updates.next().await {
            Ok(Update::Event(logged)) => {
                let Some(event) = logged.event.clone() else { continue };
                let told = Told { sequence: logged.header.sequence.0, epoch: None, event: Arc::new(event) };
                Outside::tell(outside, of, told);
            }
            Ok(Update::Delta { .. } | Update::Progress { .. }) => {}
            Ok(Update::Closed { .. }) => return,
            Err(error) => return locked(outside).wrong(format!("a subscriber was told {error}")),
        }
    }
}
