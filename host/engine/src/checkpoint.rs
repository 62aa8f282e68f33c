//! Checkpoints: a session's state beside its log, so that waking it does not fold the whole log again.
//!
//! Promise: what is read back equals the fold, or is not used: the bytes are sealed by their digests, and the
//! place in the log by the hash of its header. Making one costs work proportional to what is new: the
//! conversation is kept in segments that are written once.
//!
//! A checkpoint is as good as the file it is in: whoever can change the file can change checkpoint and log
//! alike. So `verify` always reads the log itself.
//!
//! Not here: folding what follows (`load`), keeping bytes (the log port), when one is made (`actor`).

use crate::load::LoadedSession;
use crate::ports::{Checkpoint, CheckpointWrite, EventLog};
use harness_core::envelope::{Lineage, Tip};
use harness_core::state::kept::{STATE_FORMAT, decode_items, encode_items};
use harness_core::{CORE_VERSION, Item, Sequence, SessionId, SessionState, TenantId, TimeMs};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::sync::Arc;

/// When checkpoints are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointPolicy {
    /// A running session makes one after so many events.
    pub events: u64,
    /// Closing a session makes one if so many events came since the last. It costs a commit.
    pub close_events: u64,
}

impl Default for CheckpointPolicy {
    fn default() -> Self {
        Self { events: 1_000, close_events: 100 }
    }
}

/// The size of a checkpoint without its conversation. A larger one is not kept. Bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 16 << 20;
/// About the size of a segment: one item more may make it larger. Bytes.
const SEGMENT_BYTES: usize = 1 << 20;
/// The size of a segment. A conversation with an item beyond it has no checkpoint. Bytes.
const SEGMENT_BYTES_MAX: usize = 64 << 20;
/// Segments of one conversation.
const SEGMENTS_MAX: usize = 1 << 16;
/// Bytes of segments read at once.
const READ_BYTES_MAX: usize = 2 << 20;
/// Pieces of segments that are decoded at once.
const DECODING_MAX: usize = 4;

type Hash = [u8; blake3::OUT_LEN];

/// A piece of the conversation as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    items: Vec<Arc<Item>>,
    hash: Hash,
}

/// What is kept of a session's conversation, as its writer knows it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    segments: Vec<Segment>,
    /// The newest checkpoint's event.
    pub(crate) at: Sequence,
}

/// A checkpoint without its conversation.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    session: SessionId,
    sequence: Sequence,
    tenant: TenantId,
    lineage: Lineage,
    origin: Option<SessionId>,
    created: TimeMs,
    updated: TimeMs,
    /// The digest over the digests of all segments, in hexadecimal.
    conversation: String,
    #[serde(borrow)]
    state: &'a RawValue,
}

/// A state on its way to become a checkpoint.
pub(crate) struct Snapshot {
    id: SessionId,
    /// Without its conversation.
    session: LoadedSession,
    kept: Vec<Segment>,
    items: Vec<Arc<Item>>,
}

/// A checkpoint ready to be kept, and what is kept once it is.
pub(crate) struct Made {
    pub(crate) write: CheckpointWrite,
    pub(crate) kept: Kept,
}

/// Takes what a checkpoint needs from a session's state. Copies only what is new.
pub(crate) fn snapshot(id: SessionId, session: &mut LoadedSession, kept: &Kept) -> Snapshot {
    let history = std::mem::take(&mut session.state.history);
    let mut rest = history.as_slice();
    let mut standing = Vec::new();
    for segment in &kept.segments {
        // The same items, not equal ones: a conversation that was rewound and went on otherwise has others.
        let Some((begin, after)) = rest.split_at_checked(segment.items.len()) else { break };
        if !begin.iter().zip(&segment.items).all(|(ours, theirs)| Arc::ptr_eq(ours, theirs)) {
            break;
        }
        standing.push(segment.clone());
        rest = after;
    }
    let items = rest.to_vec();
    let without = session.clone();
    session.state.history = history;
    Snapshot { id, session: without, kept: standing, items }
}

/// Makes a checkpoint; none where it would cross a limit. Works for some milliseconds per megabyte.
pub(crate) fn make(snapshot: Snapshot) -> Option<Made> {
    let Snapshot { id, session, kept: mut segments, items } = snapshot;
    let segments_kept = u32::try_from(segments.len()).ok()?;
    let mut fresh = Vec::new();
    for items in chunks(items) {
        let bytes = sealed(&encode_items(&items).ok()?);
        if bytes.len() > SEGMENT_BYTES_MAX {
            return None;
        }
        segments.push(Segment { items, hash: *bytes.first_chunk()? });
        fresh.push(bytes);
    }
    if segments.len() > SEGMENTS_MAX {
        return None;
    }
    let state = String::from_utf8(session.state.encode().ok()?).ok()?;
    let body = Body {
        session: id,
        sequence: session.tip.sequence,
        tenant: session.tenant,
        lineage: session.lineage,
        origin: session.origin,
        created: session.created,
        updated: session.updated,
        conversation: conversation(segments.iter().map(|segment| segment.hash)),
        state: &RawValue::from_string(state).ok()?,
    };
    let state = sealed(&serde_json::to_vec(&body).ok()?);
    if state.len() > CHECKPOINT_BYTES_MAX {
        return None;
    }
    let count = u32::try_from(segments.len()).ok()?;
    let checkpoint = Checkpoint { tip: session.tip, core: CORE_VERSION, format: STATE_FORMAT, state, segments: count };
    let kept = Kept { segments, at: session.tip.sequence };
    Some(Made { write: CheckpointWrite { checkpoint, segments_kept, segments: fresh }, kept })
}

/// Pieces of about [`SEGMENT_BYTES`].
fn chunks(items: Vec<Arc<Item>>) -> Vec<Vec<Arc<Item>>> {
    let mut chunks = Vec::new();
    let (mut chunk, mut bytes) = (Vec::new(), 0_usize);
    for item in items {
        bytes = bytes.saturating_add(item.text_bytes());
        chunk.push(item);
        if bytes >= SEGMENT_BYTES {
            chunks.push(std::mem::take(&mut chunk));
            bytes = 0;
        }
    }
    if !chunk.is_empty() {
        chunks.push(chunk);
    }
    chunks
}

/// Reads a checkpoint back, if it is sound and of this host's rules and form. Its place in the log is the
/// caller's to check.
pub(crate) async fn read(
    log: &dyn EventLog,
    session: SessionId,
    checkpoint: Checkpoint,
) -> Option<(LoadedSession, Kept)> {
    let Checkpoint { tip, core, format, state, segments } = checkpoint;
    if core != CORE_VERSION || format != STATE_FORMAT || state.len() > CHECKPOINT_BYTES_MAX {
        return None;
    }
    // The conversation is read and decoded meanwhile.
    let decoding = tokio::task::spawn_blocking(move || decode(session, tip, &state));
    let segments = read_segments(log, session, segments).await?;
    let (mut loaded, expected) = decoding.await.ok()??;
    if expected != conversation(segments.iter().map(|segment| segment.hash)) {
        return None;
    }
    loaded.state.history = segments.iter().flat_map(|segment| segment.items.iter().cloned()).collect();
    Some((loaded, Kept { segments, at: tip.sequence }))
}

/// Reads the segments; pieces are decoded while the next ones are read.
async fn read_segments(log: &dyn EventLog, session: SessionId, count: u32) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut decoding = VecDeque::<tokio::task::JoinHandle<Option<Vec<Segment>>>>::new();
    let mut next = 0_u32;
    while next < count {
        let mut page = log.segments(session, next, READ_BYTES_MAX).await.ok()?;
        page.truncate(usize::try_from(count - next).ok()?);
        next = next.checked_add(u32::try_from(page.len()).ok().filter(|read| *read > 0)?)?;
        if decoding.len() == DECODING_MAX
            && let Some(first) = decoding.pop_front()
        {
            segments.extend(first.await.ok()??);
        }
        decoding.push_back(tokio::task::spawn_blocking(move || page.iter().map(|bytes| segment(bytes)).collect()));
    }
    for piece in decoding {
        segments.extend(piece.await.ok()??);
    }
    Some(segments)
}

fn segment(bytes: &[u8]) -> Option<Segment> {
    let (hash, body) = opened(bytes)?;
    Some(Segment { items: decode_items(body).ok()?, hash })
}

/// The session without its conversation, and the digest of that.
fn decode(session: SessionId, tip: Tip, state: &[u8]) -> Option<(LoadedSession, String)> {
    let (_, body) = opened(state)?;
    let body: Body<'_> = serde_json::from_slice(body).ok()?;
    if body.session != session || body.sequence != tip.sequence {
        return None;
    }
    let loaded = LoadedSession {
        state: SessionState::decode(body.state.get().as_bytes(), Vec::new()).ok()?,
        tip,
        tenant: body.tenant,
        lineage: body.lineage,
        origin: body.origin,
        created: body.created,
        updated: body.updated,
    };
    Some((loaded, body.conversation))
}

fn sealed(body: &[u8]) -> Vec<u8> {
    [blake3::hash(body).as_bytes(), body].concat()
}

fn opened(bytes: &[u8]) -> Option<(Hash, &[u8])> {
    let (hash, body) = bytes.split_first_chunk()?;
    (blake3::hash(body) == *hash).then_some((*hash, body))
}

fn conversation(hashes: impl Iterator<Item = Hash>) -> String {
    let mut whole = blake3::Hasher::new();
    for hash in hashes {
        whole.update(&hash);
    }
    whole.finalize().to_hex().to_string()
}
