//! A host over fakes, as one process would have it; the store and the workspace outlive it.

use crate::watched_log::WatchedLog;
use harness_core::event::{Answer, Context, TurnEnd, TurnLimits};
use harness_core::{ApproveMode, Event, Sequence, SessionId, TimeMs};
use harness_engine::ports::{Hands, Holder, ModelRequest, Takeover};
use harness_engine::{Host, LoadedSession, NewSession, OpenError, Ports, Session, SessionError, Update};
use harness_sim::clock::SimClock;
use harness_sim::fake_hands::{FakeHands, specs};
use harness_sim::files::{Files, MemoryFiles};
use harness_sim::ids::SeededIds;
use harness_sim::log_between::LogBetween;
use harness_sim::memory_store::MemoryStore;
use harness_sim::scripted_model::{Reply, ScriptedModel};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

static PROCESSES: AtomicU32 = AtomicU32::new(1);

pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) files: Arc<MemoryFiles>,
    pub(crate) log: Arc<WatchedLog>,
    pub(crate) hands: Arc<FakeHands>,
    pub(crate) model: Arc<ScriptedModel>,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) holder: Holder,
    pub(crate) host: Host,
}

pub(crate) fn context(approve: ApproveMode) -> Context {
    Context {
        model: "scripted/model".parse().unwrap(),
        model_reason: "test".to_owned(),
        system: "You are tested.".to_owned(),
        tools: specs(),
        approve,
        rules: Vec::new(),
        modes: Vec::new(),
        price: None,
        agent: harness_core::event::DEFAULT_AGENT.to_owned(),
        trust: false,
    }
}

impl World {
    /// A first process over an empty store, with a workspace of two files.
    pub(crate) fn new(model: ScriptedModel) -> Self {
        let files = Arc::new(MemoryFiles::default());
        files.write("a.txt", b"alpha");
        files.write("b.txt", b"beta");
        Self::over(MemoryStore::new(), files, model, SimClock::jumping(TimeMs(1_700_000_000_000)))
    }

    pub(crate) fn tape(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::new(ScriptedModel::tape(replies))
    }

    /// Another process over the same store and workspace.
    pub(crate) fn over(store: MemoryStore, files: Arc<MemoryFiles>, model: ScriptedModel, clock: SimClock) -> Self {
        let pid = PROCESSES.fetch_add(1, Ordering::Relaxed);
        let holder = Holder { machine: "test".to_owned(), pid, process_start: 1 };
        let log = Arc::new(WatchedLog::default());
        let hands = Arc::new(FakeHands::new(Arc::clone(&files)));
        let (model, clock) = (Arc::new(model), Arc::new(clock));
        let kept = Arc::new(store.clone());
        let ports = Ports {
            log: Arc::new(LogBetween::new(Arc::clone(&log), Arc::clone(&kept) as _)),
            lease: Arc::clone(&kept) as _,
            index: Arc::clone(&kept) as _,
            blobs: Arc::clone(&kept) as _,
            kv: Arc::clone(&kept) as _,
            inbox: kept,
            model: Arc::clone(&model) as _,
            clock: Arc::clone(&clock) as _,
            ids: Arc::new(SeededIds::new(u64::from(pid))),
        };
        let host = Host::new(ports, holder.clone(), "0.0.0-test").without_session_tools();
        Self { store, files, log, hands, model, clock, holder, host }
    }

    /// Another process, with these answers.
    pub(crate) fn again(&self, model: ScriptedModel) -> Self {
        let clock = SimClock::jumping(TimeMs(1_700_000_100_000));
        Self::over(self.store.clone(), Arc::clone(&self.files), model, clock)
    }

    pub(crate) async fn create(&self, approve: ApproveMode) -> Session {
        self.create_with(approve, Arc::clone(&self.hands) as _).await
    }

    pub(crate) async fn create_with(&self, approve: ApproveMode, hands: Arc<dyn Hands>) -> Session {
        let new = NewSession { workspace: "/work".to_owned(), title: None };
        self.host.create(new, context(approve), Vec::new(), hands).await.unwrap()
    }

    pub(crate) async fn open(&self, id: SessionId, approve: ApproveMode) -> Result<Session, OpenError> {
        self.host.open(id, context(approve), Vec::new(), Arc::clone(&self.hands) as _, Takeover::IfGone).await
    }

    /// The kinds of all events in a session's log.
    pub(crate) async fn kinds(&self, id: SessionId) -> Vec<&'static str> {
        let events = self.host.events(id, Sequence::START, usize::MAX).await.unwrap();
        events.into_iter().map(|logged| logged.event.unwrap().kind()).collect()
    }

    pub(crate) fn file(&self, path: &str) -> String {
        String::from_utf8(self.files.read(path).unwrap_or_default()).unwrap()
    }
}

pub(crate) async fn prompt(session: &Session) {
    session.prompt("go on", TurnLimits::default()).await.unwrap();
}

/// Waits until the turn has ended, saying yes to everything that is asked, and `yes` to questions.
pub(crate) async fn finish(session: &Session) -> Result<TurnEnd, SessionError> {
    let mut updates = session.subscribe(session.snapshot().await?.tip.sequence);
    loop {
        let LoadedSession { state, .. } = session.snapshot().await?;
        if let (None, Some(end)) = (&state.turn, state.last_end.clone()) {
            return Ok(end);
        }
        if let Some(question) = state.questions().first() {
            session.answer_question(question.question, Some("yes".to_owned())).await?;
            continue;
        }
        let pending: Vec<_> = state.pending().iter().map(|it| (it.approval, it.binds_to)).collect();
        if let Some((approval, binds_to)) = pending.first() {
            session.answer(*approval, *binds_to, Answer::Yes).await?;
            continue;
        }
        loop {
            match updates.next().await? {
                Update::Delta { .. } | Update::Progress { .. } => {}
                Update::Event(_) => break,
                Update::Closed { fault } => return Err(SessionError::Closed(fault)),
            }
        }
    }
}

/// Waits for an event of a kind.
pub(crate) async fn until(session: &Session, kind: &str) -> Event {
    let mut updates = session.subscribe(Sequence::START);
    loop {
        match updates.next().await.unwrap() {
            Update::Event(logged) if logged.header.kind == kind => return logged.event.clone().unwrap(),
            Update::Event(_) | Update::Delta { .. } | Update::Progress { .. } => {}
            Update::Closed { fault } => panic!("closed before {kind}: {fault:?}"),
        }
    }
}

/// Lets everything run that can.
pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// How many responses the conversation of a request has.
pub(crate) fn responses(request: &ModelRequest) -> usize {
    request.items.iter().filter(|item| matches!(item.as_ref(), harness_core::Item::Assistant { .. })).count()
}
