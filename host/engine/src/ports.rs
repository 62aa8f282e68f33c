//! The ports: what the engine needs from the world, in its own words. Others implement them.
//!
//! Promise: each port has one conformance suite (in harness-sim) that the real and the fake
//! implementation both pass. No port knows a global order of events, so that a shared database can
//! serve the log.
//!
//! Not here: implementations.

mod inbox;

use async_trait::async_trait;
use harness_core::change::Manifest;
use harness_core::envelope::{Payload, SealedEvent, Tip};
use harness_core::event::{ApplyResult, Changes, Context, ModelFailure, ModelStop};
use harness_core::grant::{Capability, Grant};
use harness_core::item::{AssistantPart, Item, ToolSpec, Usage};
use harness_core::mode::{HistorySummary, HookAnswer, HookPoint, PolicyAnswer, PolicyQuestion};
pub use harness_core::outcome::Resume;
use harness_core::outcome::{CallUsage, Outcome};
use harness_core::record::{CallRecord, KvSpace, KvWrite};
use harness_core::{CallId, Digest, Epoch, Sequence, SessionId, TimeMs};
pub use inbox::*;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Content kept by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// SHA-256 of the content.
    pub digest: Digest,
    /// The content.
    pub bytes: Arc<[u8]>,
}

impl Blob {
    /// A blob with the digest of its bytes.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { digest: Digest::of(&bytes), bytes }
    }
}

/// What one append adds to one session. All parts become durable together or not at all.
#[derive(Debug, Clone)]
pub struct SessionAppend {
    /// The session.
    pub session: SessionId,
    /// The writer's fencing number.
    pub epoch: Epoch,
    /// The end of the log as the writer knows it.
    pub after: Tip,
    /// What follows it, in order; its chain starts at `after`.
    pub events: Vec<SealedEvent>,
    /// Contents that the events name by digest. They belong to the session and are dropped with it.
    pub blobs: Vec<Blob>,
    /// Kv writes that the events made valid, in order; the last one of a key counts.
    pub kv: Vec<KvWrite>,
    /// The session's row in the index, where it changed.
    pub summary: Option<SessionSummary>,
    /// What was said in the events, for searching.
    pub said: Vec<Said>,
    /// The log begins as that session's does, up to `after`, by reference: only for a session without events. What
    /// is shared stays as long as one of them needs it.
    pub fork_of: Option<SessionId>,
    /// A checkpoint of the session's, at `after` or before.
    pub checkpoint: Option<CheckpointWrite>,
    /// Entries of the session's inbox that became the events, or were declined. Refused where one does not wait.
    pub consumed: Vec<Consumed>,
}

impl SessionAppend {
    /// An append of events and nothing else.
    pub fn new(session: SessionId, epoch: Epoch, after: Tip, events: Vec<SealedEvent>) -> Self {
        let (blobs, kv, said, consumed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (summary, fork_of, checkpoint) = (None, None, None);
        Self { session, epoch, after, events, blobs, kv, summary, said, fork_of, checkpoint, consumed }
    }
}

/// Words of the conversation, as they are searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The event that they stand in.
    pub sequence: Sequence,
    /// The words, cut.
    pub text: String,
}

/// A session whose events a log begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// The session that the events were written for.
    pub session: SessionId,
    /// The last of them. The next one is that of the next ancestor, or the session's own.
    pub last: Sequence,
}

/// A session's state as of an event, derived from the log: it can be dropped at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The event, and the hash of its header.
    pub tip: Tip,
    /// The version of the rules that folded the state.
    pub core: u32,
    /// The form of the bytes.
    pub format: u32,
    /// Everything but the conversation, sealed by whoever made it.
    pub state: Vec<u8>,
    /// How many of the session's segments, from the first, are its conversation.
    pub segments: u32,
}

/// A checkpoint to be kept. The conversation only grows, so each piece of it is written once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointWrite {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Segments that stay, from the first. Those behind go, and the checkpoints that need them.
    pub segments_kept: u32,
    /// Segments that follow those: with them there are as many as the checkpoint needs.
    pub segments: Vec<Vec<u8>>,
}

/// A whole log from elsewhere, to be taken in as one change.
pub struct Import {
    /// Whose events the pages hold; the last one ends them.
    pub lineage: Vec<Ancestor>,
    /// Events in order, and contents, as they come. Verified already.
    pub pages: mpsc::Receiver<ImportPage>,
    /// What the session adds to them: its first own events. Its `after` is the end of the pages' events, and
    /// says that none is missing.
    pub append: SessionAppend,
}

/// A piece of a log from elsewhere.
#[derive(Debug, Default)]
pub struct ImportPage {
    /// Events that follow those of the page before.
    pub events: Vec<StoredEvent>,
    /// Contents that the events name.
    pub blobs: Vec<Blob>,
    /// What was said in the events.
    pub said: Vec<Said>,
    /// Nothing follows. Without such a page nothing is written.
    pub is_last: bool,
}

/// Why an append was refused. Nothing of it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Another writer took the session over.
    #[error("{session} was taken over by another writer (epoch {current:?}, ours is {ours:?}): open it again to go on")]
    Fenced {
        /// The session.
        session: SessionId,
        /// Our epoch.
        ours: Epoch,
        /// The epoch in force.
        current: Epoch,
    },
    /// The log does not end where the writer thought.
    #[error("{session} ends at event {found}, not at {expected}")]
    Tip {
        /// The session.
        session: SessionId,
        /// Where the writer thought it ends.
        expected: Sequence,
        /// Where it ends.
        found: Sequence,
    },
    /// There is no such session, or nobody acquired it.
    #[error("there is no session {0}")]
    NotFound(SessionId),
    /// The blobs of all sessions together would exceed the quota.
    #[error(
        "stored contents would need {needed_bytes} bytes, more than the quota of {quota_bytes}: delete old sessions or raise storage.blob-quota-bytes"
    )]
    Quota {
        /// What would be needed.
        needed_bytes: u64,
        /// What there is.
        quota_bytes: u64,
    },
    /// The storage failed. Whether the events are durable is unknown: open the session again and look.
    #[error("could not write the log: {0}")]
    Storage(String),
}

/// Why something could not be read or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no such session.
    #[error("there is no session {0}")]
    NotFound(SessionId),
    /// What is stored is damaged: it says where.
    #[error("{0}")]
    Damaged(String),
    /// The storage failed.
    #[error("could not read or write the store: {0}")]
    Storage(String),
}

/// An event as stored, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The header's canonical bytes.
    pub header_bytes: Vec<u8>,
    /// The payload; none where it was erased.
    pub payload: Option<Payload>,
}

/// The log of every session.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Adds events to one or several sessions in one durable step: when it returns, a power cut cannot
    /// undo it. Each session's epoch and tip are checked in the same step.
    async fn append(&self, appends: Vec<SessionAppend>) -> Result<(), AppendError>;

    /// Events after a position, oldest first, at most `events_max` of them (fewer only at the end of the log).
    async fn read(
        &self,
        session: SessionId,
        after: Sequence,
        events_max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError>;

    /// The end of a session's log; an error if there is no such session.
    async fn tip(&self, session: SessionId) -> Result<Tip, StoreError>;

    /// Replaces a payload with nothing, for good. The chain still verifies.
    ///
    /// Where the event is shared with forks or an origin, it is erased for all of them; so are words kept for
    /// searching and checkpoints that could hold it.
    async fn erase_payload(&self, session: SessionId, sequence: Sequence) -> Result<(), StoreError>;

    /// The sessions whose events the log begins with, the first one first; empty for a session that is no fork.
    async fn lineage(&self, session: SessionId) -> Result<Vec<Ancestor>, StoreError> {
        let _ = session;
        Ok(Vec::new())
    }

    /// The session's newest checkpoint at `up_to` or before, if one is kept. Where the log is made to keep none,
    /// there is none.
    async fn checkpoint(&self, session: SessionId, up_to: Sequence) -> Result<Option<Checkpoint>, StoreError> {
        let _ = (session, up_to);
        Ok(None)
    }

    /// Segments of the session's conversation from the position `first` on, counted from 0: as many as fit into
    /// `bytes_max`, at least one unless there is none.
    async fn segments(&self, session: SessionId, first: u32, bytes_max: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let _ = (session, first, bytes_max);
        Ok(Vec::new())
    }

    /// Drops the session's checkpoints and segments.
    async fn drop_checkpoints(&self, session: SessionId) -> Result<(), StoreError> {
        let _ = session;
        Ok(())
    }

    /// Takes in a log from elsewhere, all of it or nothing. The session was acquired and has no events.
    async fn import(&self, import: Import) -> Result<(), AppendError> {
        let session = import.append.session;
        Err(AppendError::Storage(format!("{session} was not imported: this log takes in none")))
    }
}

/// Who holds a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// A name of the machine or container, different after a restart of it.
    pub machine: String,
    /// The process.
    pub pid: u32,
    /// When the process started, in the system's own unit: a reused pid has another.
    pub process_start: u64,
}

impl Holder {
    /// The machine for people: what its name has after `|` only tells one start of it from another.
    pub fn machine_name(&self) -> &str {
        self.machine.split('|').next().unwrap_or_default()
    }
}

/// What to do when somebody else holds the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takeover {
    /// Refuse, unless the holder is certainly gone.
    IfGone,
    /// Take it over; the holder's next append is refused.
    Force,
}

/// Why a session could not be acquired.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// A live process holds it.
    #[error("{session} is in use by process {} on {}", holder.pid, holder.machine_name())]
    Held {
        /// The session.
        session: SessionId,
        /// Who holds it.
        holder: Holder,
    },
    /// The storage failed.
    #[error("could not acquire the session: {0}")]
    Storage(String),
}

/// Who may write a session: one at a time, each with a larger epoch than any before.
#[async_trait]
pub trait Lease: Send + Sync + 'static {
    /// Becomes the session's only writer. Also makes a session known that does not exist yet.
    async fn acquire(&self, session: SessionId, holder: &Holder, takeover: Takeover) -> Result<Epoch, LeaseError>;

    /// Gives the session back. Does nothing if the epoch is not in force any more.
    async fn release(&self, session: SessionId, epoch: Epoch) -> Result<(), LeaseError>;

    /// Who holds it, if anybody does (alive or not).
    async fn holder(&self, session: SessionId) -> Result<Option<Holder>, LeaseError>;
}

/// What a session is doing, as its row in the index says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// Waiting for a prompt.
    Idle,
    /// A turn is under way, or was when the host stopped.
    Running,
    /// A turn waits for a person's answer.
    NeedsAnswer,
}

/// A session's row in the index: derived from its log and rebuildable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSummary {
    /// The session.
    pub session: SessionId,
    /// Its title.
    pub title: String,
    /// The folder it works in.
    pub workspace: String,
    /// The model it asks.
    pub model: String,
    /// When it was created.
    pub created: TimeMs,
    /// When its last event was appended.
    pub updated: TimeMs,
    /// Its last event.
    pub last_sequence: Sequence,
    /// What it is doing.
    pub status: SessionStatus,
    /// Turns begun.
    pub turns: u32,
    /// What it cost so far.
    pub usage: Usage,
    /// Whether it was put away.
    #[serde(default)]
    pub archived: bool,
    /// The session that started it, if any.
    #[serde(default)]
    pub parent: Option<SessionId>,
    /// The session that it was forked from or was when it was exported, if any.
    #[serde(default)]
    pub origin: Option<SessionId>,
}

/// A place in a list of sessions. It stays where it is when sessions come, go or change: those updated meanwhile
/// stand before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionCursor {
    /// When the last session of the page was updated.
    pub updated: TimeMs,
    /// That session.
    pub session: SessionId,
}

impl SessionCursor {
    /// After that row.
    pub const fn after(row: &SessionSummary) -> Self {
        Self { updated: row.updated, session: row.session }
    }
}

/// Whether sessions that were put away are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Archived {
    /// No.
    #[default]
    LeftOut,
    /// Among the others.
    Included,
    /// Nothing else.
    Only,
}

/// Which sessions to list.
#[derive(Debug, Clone, Default)]
pub struct SessionFilter {
    /// Only those of this folder.
    pub workspace: Option<String>,
    /// Only those whose title or id contains this text, case folded, or in whose conversation one thing said has
    /// all of its words (the last may be the beginning of one).
    pub search: Option<String>,
    /// Only those that are doing this.
    pub status: Option<SessionStatus>,
    /// Only those that this session started.
    pub parent: Option<SessionId>,
    /// What of those that were put away.
    pub archived: Archived,
    /// Only those after this place.
    pub after: Option<SessionCursor>,
    /// At most so many, the most recently updated first.
    pub sessions_max: usize,
    /// Leave out so many first.
    pub skip: usize,
}

/// The index of sessions.
#[async_trait]
pub trait Index: Send + Sync + 'static {
    /// The sessions that match, most recently updated first.
    async fn list(&self, filter: SessionFilter) -> Result<Vec<SessionSummary>, StoreError>;

    /// How many sessions match. Place, number and `skip` do not count.
    async fn count(&self, filter: SessionFilter) -> Result<u64, StoreError>;

    /// One session's row.
    async fn summary(&self, session: SessionId) -> Result<SessionSummary, StoreError>;

    /// Removes a session for good: its log, its row and the contents that no other session names. What a fork
    /// shares with it stays until the last such fork is removed; nobody else sees it.
    async fn delete(&self, session: SessionId) -> Result<(), StoreError>;
}

/// Contents by digest. They are written together with the events that name them.
#[async_trait]
pub trait Blobs: Send + Sync + 'static {
    /// The content, if it is kept. An error if what is kept has another digest.
    async fn get(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError>;

    /// The contents that belong to a session, those it shares included, after `after` in the order of their bytes, at
    /// most `digests_max`. Some may be of events that a fork left behind.
    async fn named_by(
        &self,
        session: SessionId,
        after: Option<Digest>,
        digests_max: usize,
    ) -> Result<Vec<Digest>, StoreError> {
        let _ = (session, after, digests_max);
        Ok(Vec::new())
    }
}

/// Values that outlast calls. They are written together with the events that say so; what belongs to a
/// session is dropped with it.
#[async_trait]
pub trait Kv: Send + Sync + 'static {
    /// The value of a key, if there is one.
    async fn kv_get(&self, space: &KvSpace, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keys that begin with `prefix` and come after `after`, in the order of their bytes, at most `keys_max`.
    async fn kv_keys(
        &self,
        space: &KvSpace,
        prefix: &str,
        after: Option<&str>,
        keys_max: usize,
    ) -> Result<Vec<String>, StoreError>;

    /// Bytes of all keys and values of a space together.
    async fn kv_bytes(&self, space: &KvSpace) -> Result<u64, StoreError>;
}

/// A piece of a response while it streams. Not logged: the whole response is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "delta", rename_all = "snake_case")]
pub enum ModelDelta {
    /// More words for the person.
    Text {
        /// The words.
        text: String,
    },
    /// More reasoning.
    Reasoning {
        /// The reasoning.
        text: String,
    },
    /// A tool call begins.
    ToolCall {
        /// Its position among the calls of this response, from 0.
        index: usize,
        /// The tool's name.
        tool: String,
    },
    /// More of a call's arguments: a piece of JSON text.
    ToolArguments {
        /// The call's position.
        index: usize,
        /// The piece.
        text: String,
    },
}

/// Where pieces of a response go while it streams. Must not block.
pub trait DeltaSink: Send + Sync {
    /// Takes a piece.
    fn delta(&self, delta: ModelDelta);
}

impl<F: Fn(ModelDelta) + Send + Sync> DeltaSink for F {
    fn delta(&self, delta: ModelDelta) {
        self(delta)
    }
}

/// What a model is asked.
#[derive(Debug, Clone)]
pub struct ModelRequest {
    /// The session, so that an implementation can keep what it encoded of its history.
    pub session: SessionId,
    /// Model, system prompt and tools.
    pub context: Arc<Context>,
    /// The conversation. From request to request of a session it only grows, unless the session was rewound:
    /// earlier items stay the same `Arc`s.
    pub items: Vec<Arc<Item>>,
    /// Tokens of the response at most.
    pub output_tokens_max: Option<u32>,
}

/// What a model answered, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelResponse {
    /// Its parts, in order. Never half a tool call.
    pub parts: Vec<AssistantPart>,
    /// Why it stopped.
    pub stop: ModelStop,
    /// What it cost.
    pub usage: Usage,
    /// The provider's id of the response.
    pub provider_response: Option<String>,
}

/// A model, or a set of them told apart by `request.context.model`.
#[async_trait]
pub trait Model: Send + Sync + 'static {
    /// Asks once: repeating is the core's decision. Dropping the future cancels the request.
    async fn respond(&self, request: ModelRequest, deltas: &dyn DeltaSink) -> Result<ModelResponse, ModelFailure>;
}

/// One call for a hand. Its arguments are valid JSON that fits the tool's schema.
#[derive(Clone)]
pub struct CallRequest {
    /// The session.
    pub session: SessionId,
    /// The call: the idempotency key.
    pub call: CallId,
    /// The tool.
    pub tool: String,
    /// The arguments, JSON text.
    pub arguments: String,
    /// What the component was granted and the mode allows, before its own ceiling; for a call that another call
    /// needs, no more than that one has. As of when the call starts: what is given or revoked while it runs does not
    /// reach it.
    pub granted: Vec<Capability>,
    /// Where the call goes on; none where it begins.
    pub resume: Option<Resume>,
    /// Is told how far the call has come.
    pub progress: Arc<dyn CallProgressSink>,
}

impl CallRequest {
    /// A call that begins, with nothing granted and nobody told of its progress.
    pub fn new(session: SessionId, call: CallId, tool: impl Into<String>, arguments: impl Into<String>) -> Self {
        let (tool, arguments) = (tool.into(), arguments.into());
        Self { session, call, tool, arguments, granted: Vec::new(), resume: None, progress: Arc::new(|_| {}) }
    }
}

/// How far a call has come. Shown while it runs, not logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallProgress {
    /// In the component's words, cleaned and cut.
    pub words: String,
    /// Parts of a thousand that are done, where it knows.
    pub done_permille: Option<u16>,
}

/// Where progress goes. Must not block.
pub trait CallProgressSink: Send + Sync {
    /// Takes a report.
    fn progress(&self, progress: CallProgress);
}

impl<F: Fn(CallProgress) + Send + Sync> CallProgressSink for F {
    fn progress(&self, progress: CallProgress) {
        self(progress)
    }
}

/// What a hand reports of a call.
#[derive(Debug, Clone)]
pub struct CallReport {
    /// What came of it.
    pub outcome: Outcome,
    /// What it changed.
    pub changes: Changes,
    /// The contents that outcome and changes name by digest: after, and before where it was a file.
    pub contents: Vec<Blob>,
    /// What it used.
    pub usage: CallUsage,
    /// What else it did, and what it was told.
    pub record: CallRecord,
}

impl CallReport {
    /// A report of an outcome without changes.
    pub fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            changes: Changes::None,
            contents: Vec::new(),
            usage: CallUsage::default(),
            record: CallRecord::default(),
        }
    }
}

/// Whatever executes tool calls for one session: components, a process, a remote sandbox.
#[async_trait]
pub trait Hands: Send + Sync + 'static {
    /// The tools, in a fixed order. Cheap: nothing is compiled or provisioned for it.
    fn tools(&self) -> Vec<ToolSpec>;

    /// Runs a call. Never an error: a hand that broke says so in the outcome. Dropping the future
    /// stops the call; a staged call has then changed nothing.
    async fn execute(&self, call: CallRequest) -> CallReport;

    /// Puts staged changes in place: all or none. May be called again for the same call after a crash:
    /// what is in place already stays. `contents` holds what the manifest names. Changes that are taken back
    /// come the same way, with the undoing in place of the call.
    async fn put(&self, call: CallId, manifest: &Manifest, contents: &dyn Blobs) -> ApplyResult;
}

/// Where the configuration's grants are written down, for a session that goes on while they change.
#[async_trait]
pub trait GrantLists: Send + Sync + 'static {
    /// All that the configuration gives now, as for [`crate::Session::set_grants`]; none where that is what was told
    /// last. Asked whenever calls are about to start, so it costs next to nothing while nothing changes. What cannot be
    /// read gives nothing.
    async fn changed(&self) -> Option<Vec<Grant>>;
}

/// The policies of modes, and hooks: components without any capability, whose answers become inputs.
///
/// Promise: never an error and never a wait without end. A policy that broke, ran out or is not there denies; a
/// hook that did wants nothing and says what broke.
#[async_trait]
pub trait Policy: Send + Sync + 'static {
    /// Asks a mode's component about one call.
    async fn judge(&self, question: PolicyQuestion) -> PolicyAnswer;

    /// Whether any hook wants to be called at this point. Cheap: asked on every turn's path.
    fn has_hooks(&self, point: HookPoint) -> bool;

    /// Runs the hooks of one point in their fixed order: those of the configuration by name, then the mode's own.
    /// Later ones run whatever earlier ones want.
    async fn run_hooks(&self, occasion: HookOccasion) -> Vec<HookAnswer>;
}

/// What a hook is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookOccasion {
    /// The point.
    pub point: HookPoint,
    /// The mode.
    pub mode: String,
    /// The mode's policy component in force, whose hooks run too: not another one that has come in its place since.
    pub policy: Option<Digest>,
    /// A JSON object, by point as the contract says (`wit/mode/mode.wit`); long texts cut.
    pub details: serde_json::Value,
    /// What happened so far.
    pub history: HistorySummary,
}

/// Time.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> TimeMs;
    /// Waits.
    async fn sleep(&self, duration_ms: u64);
}

/// Randomness.
pub trait Ids: Send + Sync + 'static {
    /// 16 bytes that nobody can guess.
    fn entropy(&self) -> [u8; 16];
}
