//! The ports of one simulated host: whatever it waits for lies on a desk until the plan gives it back.
//!
//! Promise: nothing returns by itself, and what the host does outside is seen when it begins.

use super::evidence::{Acquired, Evidence, Execution, Request, Told};
use super::inputs::{self, file_state, round_of};
use super::pilot::{Listener, Note};
use crate::ids::SeededIds;
use crate::log_between::{Between, LogBetween};
use crate::random::Random;
use async_trait::async_trait;
use harness_core::change::{FileState, Manifest};
use harness_core::event::{ApplyResult, ModelFailure, ModelFailureKind};
use harness_core::item::{Effects, ToolSpec};
use harness_core::mode::{HookAnswer, HookPoint, PolicyAnswer, PolicyQuestion};
use harness_core::{CallId, Epoch, InboxId, Outcome, SessionId, TimeMs, Tip};
use harness_engine::Ports;
use harness_engine::ports::{
    AppendError, Blob, Blobs, CallReport, CallRequest, Clock, DeltaSink, EventLog, Hands, Holder, HookOccasion, Inbox,
    InboxEntry, InboxError, InboxReceipt, Index, Kv, Lease, LeaseError, Model, ModelDelta, ModelRequest, ModelResponse,
    Policy, SessionAppend, StoreError, Takeover, UnreadEntry,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// How likely an append fails in each of three ways, in thousandths.
const APPEND_FAILS_PER_MILLE: u64 = 12;

/// How likely an append with contents finds the quota used up, in thousandths.
const QUOTA_REFUSES_PER_MILLE: u64 = 150;

/// How likely putting in place fails, in thousandths.
const PUT_FAILS_PER_MILLE: u64 = 200;

/// Work that is out, with the way back.
pub(crate) enum Slip {
    Model { tools: Vec<ToolSpec>, reply: oneshot::Sender<Result<ModelResponse, ModelFailure>> },
    Wait { reply: oneshot::Sender<()> },
    Call { spec: ToolSpec, round: u32, tools: Vec<ToolSpec>, reply: oneshot::Sender<CallReport> },
    Put { reply: oneshot::Sender<()> },
    Policy { question: Box<PolicyQuestion>, reply: oneshot::Sender<PolicyAnswer> },
    Disk { reply: oneshot::Sender<()> },
}

impl Slip {
    fn is_waited_for(&self) -> bool {
        match self {
            Self::Model { reply, .. } => !reply.is_closed(),
            Self::Call { reply, .. } => !reply.is_closed(),
            Self::Policy { reply, .. } => !reply.is_closed(),
            Self::Wait { reply } | Self::Put { reply } | Self::Disk { reply } => !reply.is_closed(),
        }
    }
}

impl Slip {
    /// Gives a result back. Whoever waited may be gone by now. `number` keeps the provider's ids apart.
    pub(crate) fn give_back(self, random: &mut Random, number: u64, files: &mut BTreeMap<String, Vec<u8>>) {
        match self {
            Self::Model { reply, .. } if random.one_in(5) => drop(reply.send(Err(inputs::failure(random)))),
            Self::Policy { question, reply } => drop(reply.send(inputs::policy_answer(random, &question))),
            Self::Model { tools, reply } => drop(reply.send(Ok(inputs::response(random, &tools, number)))),
            Self::Put { reply } => {
                // Somebody else is faster now and then.
                if random.one_in(4) {
                    for (path, content) in inputs::edits(random, |_| None).1 {
                        match content {
                            Some(content) => drop(files.insert(path, content)),
                            None => drop(files.remove(&path)),
                        }
                    }
                }
                let _ = reply.send(());
            }
            Self::Wait { reply } | Self::Disk { reply } => drop(reply.send(())),
            Self::Call { spec, round, tools, reply } => {
                let inputs::Reported { outcome, usage, record } = inputs::report(random, &spec, round, &tools);
                let (manifest, wanted) = inputs::edits(random, |path| files.get(path).cloned());
                let mut contents: Vec<Blob> = Vec::new();
                for (path, after) in wanted {
                    let before = files.get(&path).cloned();
                    contents.extend([before, after.clone()].into_iter().flatten().map(Blob::new));
                    match after.filter(|_| spec.effects == Effects::Direct) {
                        Some(after) => drop(files.insert(path, after)),
                        None if spec.effects == Effects::Direct => drop(files.remove(&path)),
                        None => {}
                    }
                }
                let changes = inputs::placed(spec.effects, manifest);
                drop(reply.send(CallReport { outcome, changes, contents, usage, record }));
            }
        }
    }
}

/// What all hosts of a play share: what is seen of them, and the world outside.
pub(crate) struct Outside {
    /// What is seen of each session, the first one first.
    pub(crate) evidence: Vec<Evidence>,
    /// The time.
    pub(crate) now: TimeMs,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) reached: Vec<&'static str>,
    /// How often something was put into an inbox.
    pub(crate) puts: tokio::sync::watch::Sender<u64>,
    /// Hears of what must hold, at once.
    pub(crate) listener: Option<Listener>,
}

impl Default for Outside {
    fn default() -> Self {
        let (evidence, now) = (vec![Evidence::default()], TimeMs(1_700_000_000_000));
        Self { evidence, now, files: BTreeMap::new(), reached: Vec::new(), puts: Default::default(), listener: None }
    }
}

impl Outside {
    fn note(&mut self, of: usize, note: Note) {
        if let Some(listener) = &self.listener {
            listener(&note);
        }
        let Some(evidence) = self.evidence.get_mut(of) else { return };
        match note {
            Note::Told(told) => evidence.told.push(told),
            Note::Ran(execution) => evidence.executions.push(execution),
            Note::Acquired(acquired) => evidence.acquired.push(acquired),
        }
    }

    /// Something that no judging makes right.
    pub(crate) fn wrong(&mut self, what: String) {
        if let Some(evidence) = self.evidence.first_mut() {
            evidence.wrong.push(what);
        }
    }

    /// Somebody was told of an event of a session.
    pub(crate) fn tell(shared: &SharedOutside, of: usize, told: Told) {
        locked(shared).note(of, Note::Told(told));
    }
}

/// The world outside, shared.
pub(crate) type SharedOutside = Arc<Mutex<Outside>>;

pub(crate) fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What lies on one host's desk.
pub(crate) struct Desk {
    slips: Mutex<Vec<Slip>>,
    random: Mutex<Random>,
    /// Whether its disk is slow and fails now and then.
    is_faulty: AtomicBool,
}

impl Desk {
    pub(crate) fn new(seed: u64, is_faulty: bool) -> Self {
        Self { slips: Mutex::default(), random: Mutex::new(Random(seed)), is_faulty: AtomicBool::new(is_faulty) }
    }

    /// From now on its disk is slow and fails now and then.
    pub(crate) fn wear_out(&self) {
        self.is_faulty.store(true, Ordering::Relaxed);
    }

    fn is_faulty(&self) -> bool {
        self.is_faulty.load(Ordering::Relaxed)
    }

    fn put(&self, slip: Slip) {
        locked(&self.slips).push(slip);
    }

    /// Takes one that is still waited for.
    pub(crate) fn take(&self, random: &mut Random) -> Option<Slip> {
        let mut slips = locked(&self.slips);
        slips.retain(Slip::is_waited_for);
        if slips.is_empty() {
            return None;
        }
        let index = random.index(slips.len());
        Some(slips.swap_remove(index))
    }

    /// What is out and waited for: everything, and the disk alone.
    pub(crate) fn count(&self, test: impl Fn(&Slip) -> bool) -> usize {
        locked(&self.slips).iter().filter(|slip| slip.is_waited_for() && test(slip)).count()
    }

    /// Now and then the disk takes its time.
    async fn disk(&self) {
        if self.is_faulty() && locked(&self.random).one_in(4) {
            let (reply, done) = oneshot::channel();
            self.put(Slip::Disk { reply });
            let _ = done.await;
        }
    }

    fn draw(&self, per_mille: u64) -> bool {
        self.is_faulty() && locked(&self.random).per_mille(per_mille)
    }
}

/// What keeps sessions: the real store, or one in memory.
pub trait Store: EventLog + Lease + Index + Blobs + Kv + Inbox {}

impl<S: EventLog + Lease + Index + Blobs + Kv + Inbox> Store for S {}

/// Everything that one host stands on. Log, lease and inbox go through here, the rest of the store does not.
#[derive(Clone)]
pub(crate) struct SimPorts {
    pub(crate) desk: Arc<Desk>,
    pub(crate) outside: SharedOutside,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) tools: Arc<Vec<ToolSpec>>,
    /// The session that it plays, counted from 0.
    pub(crate) of: usize,
    /// The points at which it has hooks.
    pub(crate) hooks: Arc<Vec<HookPoint>>,
}

impl SimPorts {
    /// The ports of a host that stands on these and on `store`.
    pub(crate) fn over<S: Store>(&self, store: Arc<S>, seed: u64) -> Ports {
        let all = Arc::new(self.clone());
        Ports {
            log: Arc::new(LogBetween::new(Arc::clone(&all), Arc::clone(&store) as _)),
            lease: Arc::clone(&all) as _,
            index: Arc::clone(&store) as _,
            blobs: Arc::clone(&store) as _,
            kv: store,
            inbox: Arc::clone(&all) as _,
            model: Arc::clone(&all) as _,
            clock: all,
            ids: Arc::new(SeededIds::new(seed)),
        }
    }

    fn outside(&self) -> MutexGuard<'_, Outside> {
        locked(&self.outside)
    }

    /// Whether a session is the one that this host plays; the first one that is heard of is.
    fn is_its(&self, session: SessionId) -> bool {
        let mut outside = self.outside();
        outside.evidence.get_mut(self.of).is_some_and(|it| *it.session.get_or_insert(session) == session)
    }

    fn note(&self, note: Note) {
        self.outside().note(self.of, note);
    }

    fn see(&self, see: impl FnOnce(&mut Evidence)) {
        if let Some(evidence) = self.outside().evidence.get_mut(self.of) {
            see(evidence);
        }
    }
}

#[async_trait]
impl Policy for SimPorts {
    async fn judge(&self, question: PolicyQuestion) -> PolicyAnswer {
        let (reply, answer) = oneshot::channel();
        self.desk.put(Slip::Policy { question: Box::new(question.clone()), reply });
        match answer.await {
            Ok(answer) => answer,
            Err(_) => inputs::policy_answer(&mut Random(0), &question),
        }
    }

    fn has_hooks(&self, point: HookPoint) -> bool {
        self.hooks.contains(&point)
    }

    async fn run_hooks(&self, _: HookOccasion) -> Vec<HookAnswer> {
        if locked(&self.desk.random).one_in(3) {
            let (reply, over) = oneshot::channel();
            self.desk.put(Slip::Wait { reply });
            let _ = over.await;
        }
        let random = &mut *locked(&self.desk.random);
        (0..random.below(2)).map(|_| inputs::hook_answer(random)).collect()
    }
}

#[async_trait]
impl Model for SimPorts {
    async fn respond(&self, request: ModelRequest, deltas: &dyn DeltaSink) -> Result<ModelResponse, ModelFailure> {
        let (reply, answer) = oneshot::channel();
        self.see(|evidence| evidence.requests.push(Request { items: request.items }));
        self.desk.put(Slip::Model { tools: request.context.tools.clone(), reply });
        deltas.delta(ModelDelta::Text { text: "w".to_owned() });
        answer.await.unwrap_or_else(|_| {
            let kind = ModelFailureKind::Refused;
            Err(ModelFailure { kind, message: String::new(), status: None, retry_after_ms: None })
        })
    }
}

#[async_trait]
impl Clock for SimPorts {
    fn now(&self) -> TimeMs {
        self.outside().now
    }

    async fn sleep(&self, _: u64) {
        let (reply, over) = oneshot::channel();
        self.desk.put(Slip::Wait { reply });
        let _ = over.await;
    }
}

#[async_trait]
impl Hands for SimPorts {
    fn tools(&self) -> Vec<ToolSpec> {
        self.tools.to_vec()
    }

    async fn execute(&self, call: CallRequest) -> CallReport {
        let spec = self.tools.iter().find(|spec| spec.name == call.tool && !spec.is_of_session());
        let Some(spec) = spec.cloned() else {
            self.outside().wrong(format!("{} runs `{}`, which there is not", call.call, call.tool));
            return CallReport::of(Outcome::Interrupted);
        };
        let round = round_of(call.resume.as_ref());
        let (reply, report) = oneshot::channel();
        let after = self.store.tip(call.session).await.map_or(0, |tip| tip.sequence.0);
        self.note(Note::Ran(Execution { call: call.call, round, effects: spec.effects, after }));
        self.desk.put(Slip::Call { spec, round, tools: self.tools.to_vec(), reply });
        report.await.unwrap_or_else(|_| CallReport::of(Outcome::Interrupted))
    }

    async fn put(&self, call: CallId, manifest: &Manifest, contents: &dyn Blobs) -> ApplyResult {
        self.see(|evidence| evidence.puts.push(call));
        let (reply, may) = oneshot::channel();
        self.desk.put(Slip::Put { reply });
        let _ = may.await;
        if self.desk.draw(PUT_FAILS_PER_MILLE) {
            return ApplyResult::Failed { message: "the disk is full".to_owned() };
        }
        let mut after = Vec::new();
        for change in manifest.entries() {
            let digest = change.after.as_ref().and_then(FileState::content);
            after.push(match digest {
                None => None,
                Some((digest, _)) => match contents.get(digest).await {
                    Ok(Some(bytes)) => Some(bytes.to_vec()),
                    // A disk that fails to read keeps what it has.
                    Err(StoreError::Storage(_)) => {
                        return ApplyResult::Failed { message: "not read".to_owned() };
                    }
                    Ok(None) | Err(_) => {
                        self.outside().wrong(format!("contents of {call} are not kept: {digest}"));
                        return ApplyResult::Failed { message: "not kept".to_owned() };
                    }
                },
            });
        }
        let mut outside = self.outside();
        let now = |path: &str| outside.files.get(path).map(|content| file_state(content));
        let differs = manifest.entries().iter().filter(|it| now(&it.path) != it.before && now(&it.path) != it.after);
        let paths: Vec<String> = differs.map(|change| change.path.clone()).collect();
        if !paths.is_empty() {
            return ApplyResult::Conflict { paths };
        }
        for (change, content) in manifest.entries().iter().zip(after) {
            match content {
                Some(content) => drop(outside.files.insert(change.path.clone(), content)),
                None => drop(outside.files.remove(&change.path)),
            }
        }
        ApplyResult::Applied
    }
}

#[async_trait]
impl Between for SimPorts {
    async fn append(&self, log: &dyn EventLog, appends: Vec<SessionAppend>) -> Result<(), AppendError> {
        self.desk.disk().await;
        let failed = |what: &'static str| {
            self.outside().reached.push(what);
            AppendError::Storage(what.to_owned())
        };
        if self.desk.draw(APPEND_FAILS_PER_MILLE) {
            return Err(failed("append failed, nothing written"));
        }
        let has_contents = appends.iter().any(|append| !append.blobs.is_empty());
        if has_contents && self.desk.draw(QUOTA_REFUSES_PER_MILLE) {
            self.outside().reached.push("append refused by the quota");
            return Err(AppendError::Quota { needed_bytes: 2, quota_bytes: 1 });
        }
        let told: Vec<Told> = appends.iter().filter(|it| self.is_its(it.session)).flat_map(told_by).collect();
        let appended = log.append(appends).await;
        if let Err(AppendError::Fenced { .. }) = &appended {
            self.outside().reached.push("append fenced");
        }
        appended?;
        if self.desk.draw(APPEND_FAILS_PER_MILLE) {
            return Err(failed("append failed, written all the same"));
        }
        // From here on the writer may say so: what it is told late is acknowledged all the same.
        told.into_iter().for_each(|told| self.note(Note::Told(told)));
        self.desk.disk().await;
        Ok(())
    }
}

#[async_trait]
impl Lease for SimPorts {
    async fn acquire(&self, session: SessionId, holder: &Holder, takeover: Takeover) -> Result<Epoch, LeaseError> {
        let epoch = self.store.acquire(session, holder, takeover).await?;
        if self.is_its(session)
            && let Ok(Tip { sequence, .. }) = self.store.tip(session).await
        {
            self.note(Note::Acquired(Acquired { epoch, after: sequence.0 }));
        }
        // Others may go on in between.
        self.desk.disk().await;
        Ok(epoch)
    }

    async fn release(&self, session: SessionId, epoch: Epoch) -> Result<(), LeaseError> {
        self.store.release(session, epoch).await
    }

    async fn holder(&self, session: SessionId) -> Result<Option<Holder>, LeaseError> {
        self.store.holder(session).await
    }
}

/// What is put is seen at once: nobody looks again and again, so that nothing but the plan makes time pass.
#[async_trait]
impl Inbox for SimPorts {
    async fn put(&self, session: SessionId, entry: InboxEntry) -> Result<(), InboxError> {
        self.store.put(session, entry).await?;
        self.outside().puts.send_modify(|puts| *puts += 1);
        Ok(())
    }

    async fn unread(&self, session: SessionId, after: u64, entries_max: usize) -> Result<Vec<UnreadEntry>, StoreError> {
        self.store.unread(session, after, entries_max).await
    }

    async fn receipt(&self, session: SessionId, id: InboxId) -> Result<Option<InboxReceipt>, StoreError> {
        self.store.receipt(session, id).await
    }

    async fn arrival(&self, session: SessionId, after: u64, _: &dyn Clock) {
        let mut puts = self.outside().puts.subscribe();
        while !self.store.unread(session, after, 1).await.is_ok_and(|unread| !unread.is_empty()) {
            if puts.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

/// What is told once an append is acknowledged.
fn told_by(append: &SessionAppend) -> impl Iterator<Item = Told> + '_ {
    append.events.iter().filter_map(|sealed| {
        let event = Arc::new(sealed.event().ok()??);
        Some(Told { sequence: sealed.header.sequence.0, epoch: Some(append.epoch), event })
    })
}
