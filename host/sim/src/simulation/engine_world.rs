//! The real engine over a store in memory: hosts that write one session, one after the other or against each other.
//!
//! Promise: each host has a runtime of its own on the same thread; who runs, for how long, and what returns when is
//! the plan's. A crash drops the runtime with whatever is in it, wherever it stands.

use super::action::{Action, Planned};
use super::core_world::refused;
use super::coverage::Coverage;
use super::engine_ports::{Desk, Outside, SharedOutside, SimPorts, Slip, locked};
use super::evidence::{Accepted, Evidence, Live, Opened, Told};
use super::inputs;
use crate::memory_store::MemoryStore;
use crate::random::Random;
use harness_core::event::{Context, TurnLimits};
use harness_core::{ApprovalId, Digest, Event, Grant, QuestionId, Sequence, SessionId, SessionState};
use harness_engine::ports::{EventLog, Hands, Holder, StoredEvent, Takeover};
use harness_engine::{Host, NewSession, Selection, Session, SessionError, Update};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};
use tokio::runtime::Runtime;

/// Turns after which whatever can run by itself has run.
const SETTLE_TURNS: u64 = 40;
/// Hosts at once.
const HOSTS_MAX: usize = 2;
/// Returns after which a session that is left alone must have come to rest.
const REST_ACTIONS_MAX: usize = 3_000;

/// One host, as a process of its own would be.
struct Process {
    runtime: Runtime,
    ports: SimPorts,
    host: Host,
    holder: Holder,
    session: Arc<std::sync::Mutex<Option<Session>>>,
}

/// A session in a store, and the hosts that write it.
pub(crate) struct EngineWorld<'a> {
    store: MemoryStore,
    outside: SharedOutside,
    processes: Vec<Process>,
    session: Option<SessionId>,
    context: Context,
    ids: Random,
    started: u32,
    responses: u64,
    prompts: u64,
    /// The fold of what the store holds, as far as it was read.
    state: SessionState,
    stored: Vec<StoredEvent>,
    approvals: Vec<(ApprovalId, Digest)>,
    questions: Vec<QuestionId>,
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
            }
        });
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
            session: None,
            context,
            ids,
            started: 0,
            responses: 0,
            prompts: 0,
            state: SessionState::default(),
            stored: Vec::new(),
            approvals: Vec::new(),
            questions: Vec::new(),
            coverage,
        };
        let process = world.start(false);
        let (host, hands, context) = (process.host.clone(), Arc::new(process.ports.clone()), world.context.clone());
        let new = NewSession { workspace: "/w".to_owned(), title: None };
        let created = process.runtime.block_on(host.create(new, context, Vec::new(), hands));
        match created {
            Ok(session) => {
                world.session = Some(session.id());
                *locked(&process.session) = Some(session);
            }
            Err(error) => world.wrong(format!("it was not created: {error}")),
        }
        world.processes.push(process);
        world.look();
        world
    }

    fn outside(&self) -> std::sync::MutexGuard<'_, Outside> {
        locked(&self.outside)
    }

    fn wrong(&self, what: String) {
        self.outside().evidence.wrong.push(what);
    }

    /// A process that has opened nothing yet.
    fn start(&mut self, is_faulty: bool) -> Process {
        self.started += 1;
        let holder = Holder { machine: "sim".to_owned(), pid: self.started, process_start: 1 };
        let desk = Arc::new(Desk::new(self.ids.next(), is_faulty));
        let tools = Arc::new(self.context.tools.clone());
        let store = Arc::new(self.store.clone());
        let ports = SimPorts { desk, outside: Arc::clone(&self.outside), store: Arc::clone(&store) as _, tools };
        let host = Host::new(ports.over(store, self.ids.next()), holder.clone(), "sim");
        #[allow(clippy::expect_used, reason = "without a thread's runtime there is nothing to simulate")]
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
        Process { runtime, ports, host, holder, session: Arc::default() }
    }

    /// Lets one thing happen.
    pub(crate) fn act(&mut self, planned: Planned) {
        let random = &mut Random(planned.seed);
        let chosen = random.index(self.processes.len());
        match planned.action {
            Action::Return | Action::ReturnLate => self.give_back(chosen, random),
            Action::Prompt => self.prompt(chosen, random),
            Action::Answer => self.answer(chosen, random),
            Action::AnswerAgain => self.answer_again(chosen, random),
            Action::AnswerForeign => self.answer_foreign(chosen, random),
            Action::AnswerQuestion => self.answer_question(chosen, random),
            Action::AnswerQuestionAgain => self.answer_question_again(chosen, random),
            Action::Interrupt => self.tell(chosen, None, |session| async move { session.interrupt().await }),
            Action::Rename => {
                let title = "t".repeat(random.index(90));
                self.tell(chosen, None, |session| async move { session.rename(title).await });
            }
            Action::Grant => {
                let grant = inputs::grant(random);
                self.tell(chosen, None, |session| async move {
                    match grant {
                        Some(grant) => session.grant(grant).await.map(drop),
                        None => Ok(()),
                    }
                });
            }
            Action::Revoke => {
                let Some(grant) = random.pick(&self.state.grants).map(Grant::id) else { return };
                self.tell(chosen, None, |session| async move { session.revoke(grant).await });
            }
            Action::Undo => self.undo(chosen, random),
            Action::ChangeFile => {
                let files = &mut locked(&self.outside).files;
                for (path, content) in inputs::edits(random, |_| None).1 {
                    match content {
                        Some(content) => drop(files.insert(path, content)),
                        None => drop(files.remove(&path)),
                    }
                }
            }
            Action::Crash => self.crash(chosen),
            Action::Close => self.close(chosen),
            Action::Open if self.processes.iter().all(|process| process.session().is_none()) => {
                self.open_session(Takeover::IfGone, true, random);
            }
            Action::TakeOver => self.take_over(random),
            Action::Open | Action::Run => {}
        }
        // Mostly everything runs that can, but not always: then it is met in the middle.
        if let Some(process) = self.processes.get(random.index(self.processes.len())) {
            process.run(if random.one_in(3) { random.below(6) } else { SETTLE_TURNS / 2 });
        }
        self.look();
    }

    /// Ends the play: kills every host, has a last one take the session up, lets it come to rest if `rest` says
    /// so, and gives what was seen.
    pub(crate) fn end(mut self, seed: u64, rest: bool) -> Evidence {
        let random = &mut Random(seed);
        while !self.processes.is_empty() {
            self.crash(0);
        }
        self.open_session(Takeover::IfGone, false, random);
        self.settle();
        if rest {
            self.come_to_rest(random);
        }
        let live = self.processes.first().and_then(|process| {
            let session = process.session()?;
            let loaded = process.runtime.block_on(session.snapshot()).ok()?;
            Some(Live { state: loaded.state, out: process.ports.desk.count(|_| true) })
        });
        if live.is_none() {
            self.wrong("the last host has no session".to_owned());
        }
        self.look();
        let tip = self.session.and_then(|session| at_once(self.store.tip(session))?.ok());
        let Outside { evidence, reached, .. } = std::mem::take(&mut *locked(&self.outside));
        reached.into_iter().for_each(|what| self.coverage.reach(what));
        Evidence { session: self.session, stored: std::mem::take(&mut self.stored), tip, live, ..evidence }
    }

    fn settle(&mut self) {
        for process in &self.processes {
            process.run(SETTLE_TURNS);
        }
        self.look();
    }

    fn come_to_rest(&mut self, random: &mut Random) {
        for _ in 0..REST_ACTIONS_MAX {
            if self.state.turn.is_none() && self.state.undoing.is_none() {
                return self.coverage.reach("came to rest at the end");
            }
            let is_out = self.processes.first().is_some_and(|process| process.ports.desk.count(|_| true) > 0);
            match is_out {
                true => self.give_back(0, random),
                false if self.state.questions().is_empty() => self.answer(0, random),
                false => self.answer_question(0, random),
            }
            self.settle();
        }
        self.wrong(format!("left alone, it does not come to rest: {:?}", self.state.turn));
    }

    /// Reads what the store holds by now.
    fn look(&mut self) {
        let Some(session) = self.session else { return };
        let after = Sequence(self.stored.len() as u64);
        let Some(Ok(fresh)) = at_once(self.store.read(session, after, usize::MAX)) else { return };
        for stored in fresh {
            let header = serde_json::from_slice::<harness_core::Header>(&stored.header_bytes);
            let event = header.ok().zip(stored.payload.as_ref());
            let event = event.and_then(|(header, payload)| Event::decode(&header.kind, &payload.bytes).ok());
            self.stored.push(stored);
            let Some(event) = event else { return self.wrong("an event cannot be read".to_owned()) };
            match &event {
                Event::ApprovalAsked { approval, binds_to, .. } => self.approvals.push((*approval, *binds_to)),
                Event::QuestionAsked { question, .. } => self.questions.push(*question),
                _ => {}
            }
            if let Err(error) = self.state.apply(&event) {
                return self.wrong(format!("the log cannot be folded: {error}"));
            }
        }
    }

    fn give_back(&mut self, chosen: usize, random: &mut Random) {
        let Some(process) = self.processes.get(chosen) else { return };
        let Some(slip) = process.ports.desk.take(random) else { return self.go_on(chosen, random) };
        self.responses += 1;
        slip.give_back(random, self.responses, &mut locked(&self.outside).files);
    }

    /// Nothing is out: a person goes on, in whatever way there is.
    fn go_on(&mut self, chosen: usize, random: &mut Random) {
        match &self.state {
            state if !state.pending().is_empty() => self.answer(chosen, random),
            state if !state.questions().is_empty() => self.answer_question(chosen, random),
            state if state.turn.is_none() && random.one_in(4) => self.undo(chosen, random),
            _ => self.prompt(chosen, random),
        }
    }

    /// Sends something to a host's session without waiting for what comes of it. What is accepted is remembered.
    fn tell<F>(&mut self, chosen: usize, accepted: Option<Accepted>, what: impl FnOnce(Session) -> F)
    where
        F: Future<Output = Result<(), SessionError>> + Send + 'static,
    {
        self.tell_and(chosen, what, move |outside, result| match (result, accepted) {
            (Ok(()), Some(accepted)) => outside.evidence.accepted.push(accepted),
            (Err(SessionError::Refused(refusal)), _) => outside.reached.push(refused(&refusal)),
            (Err(SessionError::Closed(_)), _) => outside.reached.push("refused: closed session"),
            (Ok(()) | Err(_), _) => {}
        });
    }

    fn tell_and<F>(
        &mut self,
        chosen: usize,
        what: impl FnOnce(Session) -> F,
        then: impl FnOnce(&mut Outside, Result<(), SessionError>) + Send + 'static,
    ) where
        F: Future<Output = Result<(), SessionError>> + Send + 'static,
    {
        let Some(process) = self.processes.get(chosen) else { return };
        let Some(session) = process.session() else { return };
        let (told, outside) = (what(session), Arc::clone(&self.outside));
        process.runtime.spawn(async move {
            let result = told.await;
            then(&mut locked(&outside), result);
        });
    }

    /// Sends what must be refused.
    fn must_refuse<F>(&mut self, chosen: usize, what: &'static str, tell: impl FnOnce(Session) -> F)
    where
        F: Future<Output = Result<(), SessionError>> + Send + 'static,
    {
        self.tell_and(chosen, tell, move |outside, result| match result {
            Ok(()) => outside.evidence.wrong.push(format!("{what} was taken")),
            Err(SessionError::Refused(refusal)) => outside.reached.push(refused(&refusal)),
            Err(_) => {}
        });
    }

    fn prompt(&mut self, chosen: usize, random: &mut Random) {
        self.prompts += 1;
        let text = format!("{} {}", inputs::prompt(random), self.prompts);
        let limits: TurnLimits = inputs::limits(random);
        let accepted = Some(Accepted::Prompt(text.clone()));
        self.tell(chosen, accepted, |session| async move { session.prompt(text, limits).await });
    }

    fn answer(&mut self, chosen: usize, random: &mut Random) {
        let waiting: Vec<_> = self.state.pending().iter().map(|it| (it.approval, it.binds_to)).collect();
        if waiting.len() > 1 {
            self.coverage.reach("several approvals waiting at once");
        }
        let Some((approval, binds_to)) = random.pick(&waiting).copied() else { return };
        let answer = inputs::answer(random);
        let accepted = Some(Accepted::Approval(approval));
        self.tell(chosen, accepted, |session| async move { session.answer(approval, binds_to, answer).await });
    }

    fn answer_again(&mut self, chosen: usize, random: &mut Random) {
        // What the log says is over stays over, whoever is asked.
        let stale: Vec<_> = self.approvals.iter().filter(|(id, _)| self.state.asked(*id).is_none()).copied().collect();
        let Some((approval, binds_to)) = random.pick(&stale).copied() else { return };
        let answer = inputs::answer(random);
        let tell = |session: Session| async move { session.answer(approval, binds_to, answer).await };
        self.must_refuse(chosen, "an answer to what does not wait", tell);
    }

    fn answer_foreign(&mut self, chosen: usize, random: &mut Random) {
        let waiting = self.state.pending().first().map(|it| it.approval);
        let unknown = ApprovalId::from_bits(u128::from(random.next()));
        let approval = waiting.filter(|_| !random.one_in(4)).unwrap_or(unknown);
        let answer = inputs::answer(random);
        let tell = |session: Session| async move { session.answer(approval, Digest::ZERO, answer).await };
        self.must_refuse(chosen, "an answer to something else", tell);
    }

    fn answer_question(&mut self, chosen: usize, random: &mut Random) {
        let waiting: Vec<_> = self.state.questions().iter().map(|it| (it.question, it.choices.to_vec())).collect();
        let Some((question, choices)) = random.pick(&waiting).cloned() else { return };
        let answer = inputs::reply(random, &choices);
        let accepted = Some(Accepted::Question(question));
        self.tell(chosen, accepted, |session| async move { session.answer_question(question, answer).await });
    }

    fn answer_question_again(&mut self, chosen: usize, random: &mut Random) {
        let stale: Vec<_> = self.questions.iter().filter(|id| self.state.question(**id).is_none()).copied().collect();
        let Some(question) = random.pick(&stale).copied() else { return };
        let tell = |session: Session| async move { session.answer_question(question, None).await };
        self.must_refuse(chosen, "an answer to a question that is over", tell);
    }

    fn undo(&mut self, chosen: usize, random: &mut Random) {
        let (Some(process), Some(id)) = (self.processes.get(chosen), self.session) else { return };
        let host = process.host.clone();
        let selection = match self.state.turns {
            0 => return,
            turns if random.one_in(2) => Selection::Turn(1 + random.below(u64::from(turns)) as u32),
            _ => Selection::All,
        };
        self.tell(chosen, None, |session| async move {
            if let Ok(plan) = host.plan_undo(id, selection).await {
                drop(session.undo(&plan).await);
            }
            Ok(())
        });
    }

    fn crash(&mut self, chosen: usize) {
        if chosen >= self.processes.len() {
            return;
        }
        let process = self.processes.swap_remove(chosen);
        let desk = &process.ports.desk;
        let reached = [
            ("crash with a model request out", desk.count(|it| matches!(it, Slip::Model { .. })) > 0),
            ("crash with a call running", desk.count(|it| matches!(it, Slip::Call { .. })) > 0),
            ("crash with a put out", desk.count(|it| matches!(it, Slip::Put { .. })) > 0),
            ("crash with the disk at work", desk.count(|it| matches!(it, Slip::Disk { .. })) > 0),
            ("crash with an approval waiting", !self.state.pending().is_empty()),
            ("crash with a question waiting", !self.state.questions().is_empty()),
            ("crash at rest", desk.count(|_| true) == 0),
        ];
        reached.into_iter().filter(|(_, is)| *is).for_each(|(what, _)| self.coverage.reach(what));
        self.store.set_gone(process.holder.clone());
        // Whatever it was at ends here, and its process with it.
        drop(process);
        self.look();
    }

    fn close(&mut self, chosen: usize) {
        let Some(process) = self.processes.get(chosen) else { return };
        let Some(session) = locked(&process.session).take() else { return };
        process.runtime.spawn(session.close());
    }

    fn take_over(&mut self, random: &mut Random) {
        while self.processes.len() >= HOSTS_MAX {
            self.crash(0);
        }
        if self.processes.iter().any(|process| process.session().is_some()) {
            self.coverage.reach("taken over from a live host");
        }
        self.open_session(Takeover::Force, true, random);
    }

    /// Has a new host take the session up.
    fn open_session(&mut self, takeover: Takeover, is_faulty: bool, random: &mut Random) {
        let Some(id) = self.session else { return };
        while self.processes.len() >= HOSTS_MAX {
            self.crash(0);
        }
        if random.one_in(3) {
            self.context = inputs::context(random);
        }
        let process = self.start(is_faulty);
        let (host, context) = (process.host.clone(), self.context.clone());
        let hands: Arc<dyn Hands> = Arc::new(process.ports.clone());
        let (slot, outside) = (Arc::clone(&process.session), Arc::clone(&self.outside));
        let after = Sequence(self.stored.len() as u64);
        process.runtime.spawn(async move {
            let Ok(session) = host.open(id, context, Vec::new(), hands, takeover).await else { return };
            // Asked for before anything else can reach the writer.
            let seen = session.snapshot().await;
            let updates = session.subscribe(after);
            *locked(&slot) = Some(session);
            if let Ok(seen) = seen {
                let opened = Opened::of(seen.state.epoch, seen.tip.sequence.0, &seen.state);
                locked(&outside).evidence.openings.push(opened);
            }
            watch(updates, &outside).await;
        });
        process.run(random.below(SETTLE_TURNS));
        self.processes.push(process);
        self.look();
    }
}

/// Remembers what subscribers are told.
async fn watch(mut updates: harness_engine::Subscription, outside: &SharedOutside) {
    loop {
        match updates.next().await {
            Ok(Update::Event(logged)) => {
                let Some(event) = logged.event.clone() else { continue };
                let told = Told { sequence: logged.header.sequence.0, epoch: None, event: Arc::new(event) };
                Outside::tell(outside, told);
            }
            Ok(Update::Delta { .. } | Update::Progress { .. }) => {}
            Ok(Update::Closed { .. }) => return,
            Err(error) => return locked(outside).evidence.wrong.push(format!("a subscriber was told {error}")),
        }
    }
}
