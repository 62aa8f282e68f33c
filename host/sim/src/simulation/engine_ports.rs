//! The ports of one simulated host: whatever it waits for lies on a desk until the plan gives it back.
//!
//! Promise: nothing returns by itself, and what the host does outside is seen when it begins.

use super::evidence::{Evidence, Execution, Request, Told};
use super::inputs::{file_state, round_of};
use crate::memory_store::MemoryStore;
use crate::random::Random;
use async_trait::async_trait;
use harness_core::change::{FileState, Manifest};
use harness_core::event::{ApplyResult, ModelFailure, ModelFailureKind};
use harness_core::item::ToolSpec;
use harness_core::{CallId, Outcome, Sequence, SessionId, TimeMs, Tip};
use harness_engine::ports::{
    AppendError, Blobs, CallReport, CallRequest, Clock, DeltaSink, EventLog, Hands, Model, ModelDelta, ModelRequest,
    ModelResponse, SessionAppend, StoreError, StoredEvent,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// How likely an append fails in each of three ways, in thousandths.
const APPEND_FAILS_PER_MILLE: u64 = 6;

/// How likely putting in place fails, in thousandths.
const PUT_FAILS_PER_MILLE: u64 = 80;

/// Work that is out, with the way back.
pub(crate) enum Slip {
    Model { tools: Vec<ToolSpec>, reply: oneshot::Sender<Result<ModelResponse, ModelFailure>> },
    Wait { reply: oneshot::Sender<()> },
    Call { spec: ToolSpec, round: u32, tools: Vec<ToolSpec>, reply: oneshot::Sender<CallReport> },
    Put { reply: oneshot::Sender<()> },
    Disk { reply: oneshot::Sender<()> },
}

impl Slip {
    fn is_waited_for(&self) -> bool {
        match self {
            Self::Model { reply, .. } => !reply.is_closed(),
            Self::Call { reply, .. } => !reply.is_closed(),
            Self::Wait { reply } | Self::Put { reply } | Self::Disk { reply } => !reply.is_closed(),
        }
    }
}

/// What all hosts of a play share: what is seen of them, and the world outside.
#[derive(Default)]
pub(crate) struct Outside {
    pub(crate) evidence: Evidence,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) reached: Vec<&'static str>,
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
    is_faulty: bool,
}

impl Desk {
    pub(crate) fn new(seed: u64, is_faulty: bool) -> Self {
        Self { slips: Mutex::default(), random: Mutex::new(Random(seed)), is_faulty }
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
        if self.is_faulty && locked(&self.random).one_in(4) {
            let (reply, done) = oneshot::channel();
            self.put(Slip::Disk { reply });
            let _ = done.await;
        }
    }

    fn draw(&self, per_mille: u64) -> bool {
        self.is_faulty && locked(&self.random).per_mille(per_mille)
    }
}

/// Everything that one host stands on, besides the store.
#[derive(Clone)]
pub(crate) struct SimPorts {
    pub(crate) desk: Arc<Desk>,
    pub(crate) outside: SharedOutside,
    pub(crate) store: MemoryStore,
    pub(crate) tools: Arc<Vec<ToolSpec>>,
}

impl SimPorts {
    fn outside(&self) -> MutexGuard<'_, Outside> {
        locked(&self.outside)
    }
}

#[async_trait]
impl Model for SimPorts {
    async fn respond(&self, request: ModelRequest, deltas: &dyn DeltaSink) -> Result<ModelResponse, ModelFailure> {
        let (reply, answer) = oneshot::channel();
        self.outside().evidence.requests.push(Request { items: request.items });
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
        TimeMs(1_700_000_000_000)
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
        let Some(spec) = self.tools.iter().find(|spec| spec.name == call.tool).cloned() else {
            self.outside().evidence.wrong.push(format!("{} runs `{}`, which there is not", call.call, call.tool));
            return CallReport::of(Outcome::Interrupted);
        };
        let round = round_of(call.resume.as_ref());
        let (reply, report) = oneshot::channel();
        self.outside().evidence.executions.push(Execution { call: call.call, round, effects: spec.effects });
        self.desk.put(Slip::Call { spec, round, tools: self.tools.to_vec(), reply });
        report.await.unwrap_or_else(|_| CallReport::of(Outcome::Interrupted))
    }

    async fn put(&self, call: CallId, manifest: &Manifest, contents: &dyn Blobs) -> ApplyResult {
        self.outside().evidence.puts.push(call);
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
                    Ok(None) | Err(_) => {
                        self.outside().evidence.wrong.push(format!("contents of {call} are not kept: {digest}"));
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
impl EventLog for SimPorts {
    async fn append(&self, appends: Vec<SessionAppend>) -> Result<(), AppendError> {
        self.desk.disk().await;
        let failed = |what: &'static str| {
            self.outside().reached.push(what);
            AppendError::Storage(what.to_owned())
        };
        if self.desk.draw(APPEND_FAILS_PER_MILLE) {
            return Err(failed("append failed, nothing written"));
        }
        let has_contents = appends.iter().any(|append| !append.blobs.is_empty());
        if has_contents && self.desk.draw(APPEND_FAILS_PER_MILLE * 6) {
            self.outside().reached.push("append refused by the quota");
            return Err(AppendError::Quota { needed_bytes: 2, quota_bytes: 1 });
        }
        let told: Vec<Told> = appends.iter().flat_map(told_by).collect();
        let appended = self.store.append(appends).await;
        if let Err(AppendError::Fenced { .. }) = &appended {
            self.outside().reached.push("append fenced");
        }
        appended?;
        if self.desk.draw(APPEND_FAILS_PER_MILLE) {
            return Err(failed("append failed, written all the same"));
        }
        // From here on the writer may say so: what it is told late is acknowledged all the same.
        self.outside().evidence.told.extend(told);
        self.desk.disk().await;
        Ok(())
    }

    async fn read(
        &self,
        session: SessionId,
        after: Sequence,
        events_max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.read(session, after, events_max).await
    }

    async fn tip(&self, session: SessionId) -> Result<Tip, StoreError> {
        self.store.tip(session).await
    }

    async fn erase_payload(&self, session: SessionId, sequence: Sequence) -> Result<(), StoreError> {
        self.store.erase_payload(session, sequence).await
    }
}

/// What is told once an append is acknowledged.
fn told_by(append: &SessionAppend) -> impl Iterator<Item = Told> + '_ {
    append.events.iter().filter_map(|sealed| {
        let event = Arc::new(sealed.event().ok()??);
        Some(Told { sequence: sealed.header.sequence.0, epoch: Some(append.epoch), event })
    })
}
