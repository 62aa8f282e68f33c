//! The store's ports in memory, for tests that need no disk.
//!
//! Promise: passes the same conformance cases as the real store; nothing here waits, so a test that
//! uses it is as deterministic as its own inputs.
//!
//! Not here: durability.

mod inbox;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness_core::envelope::{Payload, SealedEvent};
use harness_core::record::{KvSpace, KvWrite};
use harness_core::{Digest, Epoch, Header, Scope, Sequence, SessionId, Tip};
use harness_engine::ports::{
    Ancestor, AppendError, Archived, Blobs, Checkpoint, CheckpointWrite, EventLog, Holder, Import, Index, Kv, Lease,
    LeaseError, Said, SessionAppend, SessionFilter, SessionSummary, StoreError, StoredEvent, Takeover,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sessions in memory. Clones share them.
#[derive(Clone, Default)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
    /// The place of the entry that was put last in any inbox.
    newest: Arc<tokio::sync::watch::Sender<u64>>,
}

/// Components' values by space and key.
type Values = BTreeMap<KvSpace, BTreeMap<String, Vec<u8>>>;

#[derive(Default)]
struct Session {
    epoch: u64,
    holder: Option<Holder>,
    /// Shared with forks.
    events: Vec<Arc<Kept>>,
    lineage: Vec<Ancestor>,
    said: Vec<Said>,
    checkpoints: Vec<Checkpoint>,
    segments: Vec<Vec<u8>>,
    summary: Option<SessionSummary>,
    blobs: BTreeSet<Digest>,
    inbox: Vec<inbox::Mail>,
}

/// An event; forks see it erased as well.
struct Kept {
    header: Vec<u8>,
    payload: Mutex<Option<Payload>>,
}

impl Kept {
    fn new(header: Vec<u8>, payload: Option<Payload>) -> Arc<Self> {
        Arc::new(Self { header, payload: Mutex::new(payload) })
    }

    fn payload(&self) -> MutexGuard<'_, Option<Payload>> {
        self.payload.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Inner {
    sessions: BTreeMap<SessionId, Session>,
    blobs: BTreeMap<Digest, Arc<[u8]>>,
    kv: Values,
    blob_quota_bytes: Option<u64>,
    epoch_floor: u64,
    gone: Vec<Holder>,
    refusals: VecDeque<AppendError>,
    appends: u64,
    /// Entries that were put in inboxes.
    puts: u64,
}

impl MemoryStore {
    /// An empty store without a quota, in which every holder counts as alive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the quota of all contents together. Bytes.
    pub fn set_blob_quota(&self, bytes: u64) {
        self.inner().blob_quota_bytes = Some(bytes);
    }

    /// From now on this holder is known to be gone.
    pub fn set_gone(&self, holder: Holder) {
        self.inner().gone.push(holder);
    }

    /// The next append that would succeed fails with this instead and writes nothing. Several queue up.
    pub fn refuse_append(&self, error: AppendError) {
        self.inner().refusals.push_back(error);
    }

    /// Changes a kept content so that its digest is another.
    pub fn damage_blob(&self, digest: Digest) {
        if let Some(content) = self.inner().blobs.get_mut(&digest) {
            *content = content.iter().map(|byte| !byte).collect();
        }
    }

    /// How many appends became part of the store: what a real store would have committed.
    pub fn appends(&self) -> u64 {
        self.inner().appends
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn tip(&self) -> Tip {
        match self.events.last() {
            None => Tip::START,
            Some(last) => Tip { sequence: Sequence(self.events.len() as u64), hash: Digest::of(&last.header) },
        }
    }
}

impl Session {
    /// Keeps a checkpoint, unless its segments are not all there or something was erased.
    fn keep(&mut self, write: CheckpointWrite) {
        let kept = write.segments_kept as usize;
        let is_erased = self.events.iter().any(|event| event.payload().is_none());
        let is_whole = kept + write.segments.len() == write.checkpoint.segments as usize;
        if is_erased || !is_whole || self.segments.len() < kept {
            return;
        }
        if self.segments.len() > kept {
            self.checkpoints.retain(|known| known.segments as usize <= kept);
            self.segments.truncate(kept);
        }
        self.segments.extend(write.segments);
        self.checkpoints.retain(|known| known.tip.sequence < write.checkpoint.tip.sequence);
        self.checkpoints.push(write.checkpoint);
    }

    /// Whether one thing that was said has all words; the last may be the beginning of one.
    fn says(&self, search: &str) -> bool {
        let words: Vec<String> = words_of(search);
        let Some((last, whole)) = words.split_last() else { return false };
        self.said.iter().any(|said| {
            let there = words_of(&said.text);
            whole.iter().all(|word| there.contains(word)) && there.iter().any(|word| word.starts_with(last.as_str()))
        })
    }
}

fn words_of(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

impl Inner {
    /// Has a session without events begin as another one does.
    fn begin_as(&mut self, id: SessionId, origin: SessionId, at: Tip) -> Result<(), AppendError> {
        let missing = |found| AppendError::Tip { session: origin, expected: at.sequence, found };
        let theirs = self.sessions.get(&origin).ok_or(AppendError::NotFound(origin))?;
        let count = usize::try_from(at.sequence.0).unwrap_or(usize::MAX);
        let events = theirs.events.get(..count).ok_or_else(|| missing(theirs.tip().sequence))?.to_vec();
        if events.last().map(|last| Digest::of(&last.header)) != Some(at.hash) {
            return Err(missing(theirs.tip().sequence));
        }
        let mut lineage: Vec<Ancestor> = theirs.lineage.clone();
        lineage.push(Ancestor { session: origin, last: at.sequence });
        let needed = lineage.iter().position(|ancestor| ancestor.last >= at.sequence).map_or(0, |index| index + 1);
        lineage.truncate(needed);
        for ancestor in &mut lineage {
            ancestor.last = ancestor.last.min(at.sequence);
        }
        let said = theirs.said.iter().filter(|said| said.sequence <= at.sequence).cloned().collect();
        let blobs = theirs.blobs.clone();
        let ours = self.sessions.get_mut(&id).ok_or(AppendError::NotFound(id))?;
        (ours.events, ours.lineage, ours.said, ours.blobs) = (events, lineage, said, blobs);
        Ok(())
    }

    fn find(&self, session: SessionId) -> Result<&Session, StoreError> {
        self.sessions.get(&session).ok_or(StoreError::NotFound(session))
    }

    /// All of it or nothing: what was done is undone where something is refused.
    fn append(&mut self, appends: Vec<SessionAppend>) -> Result<(), AppendError> {
        let mut undo = Vec::new();
        let mut fresh = BTreeMap::new();
        let writes: Vec<KvWrite> = appends.iter().flat_map(|append| append.kv.clone()).collect();
        let (mut checkpoints, mut consumed) = (Vec::new(), Vec::new());
        let done = appends.into_iter().try_for_each(|mut append| {
            consumed.push((append.session, std::mem::take(&mut append.consumed)));
            if let Some((id, taken)) = consumed.last() {
                self.sessions.get(id).map_or(Ok(()), |session| session.check_consumed(*id, taken))?;
            }
            checkpoints.extend(append.checkpoint.take().map(|write| (append.session, write)));
            self.append_one(append, &mut undo, &mut fresh)
        });
        let done = done.and_then(|()| self.check_quota(&fresh)).and_then(|()| match self.refusals.pop_front() {
            Some(error) => Err(error),
            None => Ok(()),
        });
        if let Err(error) = done {
            for step in undo.into_iter().rev() {
                step.take_back(&mut self.sessions);
            }
            return Err(error);
        }
        self.blobs.extend(fresh);
        for (session, write) in checkpoints {
            if let Some(session) = self.sessions.get_mut(&session) {
                session.keep(write);
            }
        }
        for (session, consumed) in consumed {
            if let Some(session) = self.sessions.get_mut(&session) {
                session.consume(consumed);
            }
        }
        for KvWrite { space, key, value } in writes {
            let values = self.kv.entry(space).or_default();
            // What is not base64 was refused before.
            match value.and_then(|value| STANDARD.decode(value).ok()) {
                Some(value) => drop(values.insert(key, value)),
                None => drop(values.remove(&key)),
            }
        }
        self.appends += 1;
        Ok(())
    }

    fn append_one(
        &mut self,
        append: SessionAppend,
        undo: &mut Vec<Undo>,
        fresh: &mut BTreeMap<Digest, Arc<[u8]>>,
    ) -> Result<(), AppendError> {
        let id = append.session;
        let session = self.sessions.get(&id).ok_or(AppendError::NotFound(id))?;
        let is_new = session.events.is_empty() && append.fork_of.is_some();
        check(&append, session, is_new)?;
        if let Some(origin) = append.fork_of.filter(|_| is_new) {
            self.begin_as(id, origin, append.after)?;
        }
        let session = self.sessions.get_mut(&id).ok_or(AppendError::NotFound(id))?;
        let mut step = Undo {
            session: id,
            events: session.events.len(),
            said: session.said.len(),
            summary: session.summary.clone(),
            named: Vec::new(),
            is_new,
        };
        session.events.extend(append.events.into_iter().map(|event| Kept::new(event.header_bytes, event.payload)));
        session.said.extend(append.said);
        session.summary = append.summary.or(session.summary.take());
        for blob in append.blobs {
            if session.blobs.insert(blob.digest) {
                step.named.push(blob.digest);
            }
            if !self.blobs.contains_key(&blob.digest) {
                fresh.insert(blob.digest, blob.bytes);
            }
        }
        undo.push(step);
        Ok(())
    }

    fn check_quota(&self, fresh: &BTreeMap<Digest, Arc<[u8]>>) -> Result<(), AppendError> {
        let kept = self.blobs.values().chain(fresh.values());
        let needed_bytes = kept.map(|bytes| bytes.len() as u64).sum();
        match self.blob_quota_bytes {
            Some(quota_bytes) if !fresh.is_empty() && needed_bytes > quota_bytes => {
                Err(AppendError::Quota { needed_bytes, quota_bytes })
            }
            _ => Ok(()),
        }
    }
}

/// What a session was before a part of an append.
struct Undo {
    session: SessionId,
    events: usize,
    said: usize,
    summary: Option<SessionSummary>,
    named: Vec<Digest>,
    /// Became a fork.
    is_new: bool,
}

impl Undo {
    fn take_back(self, sessions: &mut BTreeMap<SessionId, Session>) {
        if let Some(session) = sessions.get_mut(&self.session) {
            session.events.truncate(self.events);
            session.said.truncate(self.said);
            session.summary = self.summary;
            for digest in &self.named {
                session.blobs.remove(digest);
            }
            if self.is_new {
                (session.events, session.lineage, session.said) = Default::default();
                session.blobs.clear();
            }
        }
    }
}

fn check(append: &SessionAppend, session: &Session, is_new: bool) -> Result<(), AppendError> {
    let id = append.session;
    let tip = session.tip();
    let mut next = append.after;
    for event in &append.events {
        next = check_event(id, next, event).map_err(AppendError::Storage)?;
    }
    if append.summary.as_ref().is_some_and(|summary| summary.session != id) {
        return Err(AppendError::Storage(format!("{id} gets the index row of another session")));
    }
    if let Some(blob) = append.blobs.iter().find(|blob| Digest::of(&blob.bytes) != blob.digest) {
        return Err(AppendError::Storage(format!("{id} gets a content that is not {}", blob.digest)));
    }
    let is_wrong = |write: &&KvWrite| write.value.as_ref().is_some_and(|value| STANDARD.decode(value).is_err());
    if let Some(write) = append.kv.iter().find(is_wrong) {
        return Err(AppendError::Storage(format!("{id} gets a value of `{}` that is not base64", write.key)));
    }
    if append.epoch.0 != session.epoch {
        return Err(AppendError::Fenced { session: id, ours: append.epoch, current: Epoch(session.epoch) });
    }
    if session.holder.is_none() {
        return Err(AppendError::NotFound(id));
    }
    if !is_new && (append.after != tip || append.fork_of.is_some()) {
        return Err(AppendError::Tip { session: id, expected: append.after.sequence, found: tip.sequence });
    }
    Ok(())
}

fn check_event(session: SessionId, tip: Tip, event: &SealedEvent) -> Result<Tip, String> {
    let header: Header = serde_json::from_slice(&event.header_bytes).map_err(|error| error.to_string())?;
    if header.session != session || header.sequence != tip.sequence.next() || header.previous != tip.hash {
        return Err(format!("event {} of {session} does not follow {}", header.sequence, tip.sequence));
    }
    Ok(Tip { sequence: header.sequence, hash: Digest::of(&event.header_bytes) })
}

#[async_trait]
impl EventLog for MemoryStore {
    async fn append(&self, appends: Vec<SessionAppend>) -> Result<(), AppendError> {
        self.inner().append(appends)
    }

    async fn read(
        &self,
        session: SessionId,
        after: Sequence,
        events_max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let inner = self.inner();
        let events = &inner.find(session)?.events;
        let skipped = usize::try_from(after.0).unwrap_or(usize::MAX);
        let read = events.iter().skip(skipped).take(events_max);
        Ok(read
            .map(|kept| StoredEvent { header_bytes: kept.header.clone(), payload: kept.payload().clone() })
            .collect())
    }

    async fn tip(&self, session: SessionId) -> Result<Tip, StoreError> {
        Ok(self.inner().find(session)?.tip())
    }

    async fn erase_payload(&self, session: SessionId, sequence: Sequence) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let known = inner.sessions.get(&session).ok_or(StoreError::NotFound(session))?;
        let index = sequence.0.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        let event = index.and_then(|index| known.events.get(index));
        let event = event.ok_or_else(|| StoreError::Storage(format!("{session} has no event {sequence}")))?;
        *event.payload() = None;
        let event = Arc::clone(event);
        let shares =
            |known: &Session| index.and_then(|index| known.events.get(index)).is_some_and(|it| Arc::ptr_eq(it, &event));
        for known in inner.sessions.values_mut().filter(|known| shares(known)) {
            known.said.retain(|said| said.sequence != sequence);
            (known.checkpoints, known.segments) = Default::default();
        }
        Ok(())
    }

    async fn lineage(&self, session: SessionId) -> Result<Vec<Ancestor>, StoreError> {
        Ok(self.inner().find(session)?.lineage.clone())
    }

    async fn checkpoint(&self, session: SessionId, up_to: Sequence) -> Result<Option<Checkpoint>, StoreError> {
        let inner = self.inner();
        let fitting = |known: &&Checkpoint| known.tip.sequence <= up_to;
        Ok(inner.find(session)?.checkpoints.iter().rev().find(fitting).cloned())
    }

    async fn segments(&self, session: SessionId, first: u32, bytes_max: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let inner = self.inner();
        let mut bytes = 0_usize;
        let segments = inner.find(session)?.segments.iter().skip(first as usize);
        let fitting = segments.take_while(|segment| {
            let fits = bytes < bytes_max;
            bytes = bytes.saturating_add(segment.len());
            fits
        });
        Ok(fitting.cloned().collect())
    }

    async fn drop_checkpoints(&self, session: SessionId) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let known = inner.sessions.get_mut(&session).ok_or(StoreError::NotFound(session))?;
        (known.checkpoints, known.segments) = Default::default();
        Ok(())
    }

    async fn import(&self, mut import: Import) -> Result<(), AppendError> {
        let session = import.append.session;
        let refuse = |what: &str| Err(AppendError::Storage(format!("{session} {what}")));
        let mut begun = Session { lineage: import.lineage, ..Session::default() };
        let mut contents = Vec::new();
        loop {
            let Some(page) = import.pages.recv().await else { return refuse("came to no end") };
            begun.events.extend(page.events.into_iter().map(|event| Kept::new(event.header_bytes, event.payload)));
            begun.said.extend(page.said);
            contents.extend(page.blobs);
            if page.is_last {
                break;
            }
        }
        if begun.tip() != import.append.after || begun.tip() == Tip::START {
            return refuse("is not the log that was announced");
        }
        let mut inner = self.inner();
        let known = inner.sessions.get_mut(&session).ok_or(AppendError::NotFound(session))?;
        let found = known.tip().sequence;
        if found != Sequence::START {
            return Err(AppendError::Tip { session, expected: Sequence::START, found });
        }
        begun.blobs = contents.iter().map(|blob| blob.digest).collect();
        (begun.epoch, begun.holder) = (known.epoch, known.holder.clone());
        let before = std::mem::replace(known, begun);
        let mut append = import.append;
        append.blobs.extend(contents);
        let done = inner.append(vec![append]);
        if done.is_err() {
            inner.sessions.insert(session, before);
        }
        done
    }
}

#[async_trait]
impl Lease for MemoryStore {
    async fn acquire(&self, session: SessionId, holder: &Holder, takeover: Takeover) -> Result<Epoch, LeaseError> {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let fresh = Session { epoch: inner.epoch_floor, ..Session::default() };
        let known = inner.sessions.entry(session).or_insert(fresh);
        if takeover == Takeover::IfGone
            && let Some(theirs) = known.holder.as_ref().filter(|theirs| !inner.gone.contains(theirs))
        {
            return Err(LeaseError::Held { session, holder: theirs.clone() });
        }
        known.epoch += 1;
        known.holder = Some(holder.clone());
        Ok(Epoch(known.epoch))
    }

    async fn release(&self, session: SessionId, epoch: Epoch) -> Result<(), LeaseError> {
        if let Some(known) = self.inner().sessions.get_mut(&session).filter(|known| known.epoch == epoch.0) {
            known.holder = None;
        }
        Ok(())
    }

    async fn holder(&self, session: SessionId) -> Result<Option<Holder>, LeaseError> {
        Ok(self.inner().sessions.get(&session).and_then(|known| known.holder.clone()))
    }
}

impl Inner {
    fn matching(&self, filter: &SessionFilter) -> Vec<SessionSummary> {
        let finds = |session: &Session, row: &SessionSummary| {
            let folded = || format!("{}\n{}", row.title.to_lowercase(), row.session);
            let search = filter.search.as_ref();
            search.is_none_or(|text| folded().contains(&text.to_lowercase()) || session.says(text))
        };
        let mut rows: Vec<&SessionSummary> = self
            .sessions
            .values()
            .filter(|session| !session.events.is_empty())
            .filter_map(|session| session.summary.as_ref().filter(|row| finds(session, row)))
            .filter(|row| match filter.archived {
                Archived::LeftOut => !row.archived,
                Archived::Included => true,
                Archived::Only => row.archived,
            })
            .filter(|row| filter.status.is_none_or(|status| status == row.status))
            .filter(|row| filter.parent.is_none_or(|parent| row.parent == Some(parent)))
            .filter(|row| filter.workspace.as_ref().is_none_or(|workspace| *workspace == row.workspace))
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.updated, row.session)));
        rows.into_iter().cloned().collect()
    }
}

#[async_trait]
impl Index for MemoryStore {
    async fn list(&self, filter: SessionFilter) -> Result<Vec<SessionSummary>, StoreError> {
        let place = filter.after.map(|after| (after.updated, after.session));
        let rows = self.inner().matching(&filter).into_iter();
        let rows = rows.filter(|row| place.is_none_or(|place| (row.updated, row.session) < place));
        Ok(rows.skip(filter.skip).take(filter.sessions_max).collect())
    }

    async fn count(&self, filter: SessionFilter) -> Result<u64, StoreError> {
        Ok(self.inner().matching(&filter).len() as u64)
    }

    async fn summary(&self, session: SessionId) -> Result<SessionSummary, StoreError> {
        let inner = self.inner();
        let known = inner.find(session)?;
        known.summary.clone().filter(|_| !known.events.is_empty()).ok_or(StoreError::NotFound(session))
    }

    async fn delete(&self, session: SessionId) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let gone = inner.sessions.remove(&session).ok_or(StoreError::NotFound(session))?;
        inner.epoch_floor = inner.epoch_floor.max(gone.epoch);
        let owner = session.to_string();
        inner.kv.retain(|space, _| space.scope != Scope::Session || space.owner != owner);
        let Inner { sessions, blobs, .. } = &mut *inner;
        blobs.retain(|digest, _| {
            !gone.blobs.contains(digest) || sessions.values().any(|other| other.blobs.contains(digest))
        });
        Ok(())
    }
}

#[async_trait]
impl Blobs for MemoryStore {
    async fn get(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        let content = self.inner().blobs.get(&digest).cloned();
        match content {
            Some(bytes) if Digest::of(&bytes) != digest => {
                Err(StoreError::Damaged(format!("the content {digest} was changed")))
            }
            found => Ok(found),
        }
    }

    async fn named_by(
        &self,
        session: SessionId,
        after: Option<Digest>,
        digests_max: usize,
    ) -> Result<Vec<Digest>, StoreError> {
        let inner = self.inner();
        let named = inner.find(session)?.blobs.iter().filter(|digest| after.is_none_or(|after| **digest > after));
        Ok(named.take(digests_max).copied().collect())
    }
}

#[async_trait]
impl Kv for MemoryStore {
    async fn kv_get(&self, space: &KvSpace, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.inner().kv.get(space).and_then(|values| values.get(key).cloned()))
    }

    async fn kv_keys(
        &self,
        space: &KvSpace,
        prefix: &str,
        after: Option<&str>,
        keys_max: usize,
    ) -> Result<Vec<String>, StoreError> {
        let inner = self.inner();
        let keys = inner.kv.get(space).into_iter().flat_map(BTreeMap::keys);
        let fitting = keys.filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        Ok(fitting.take(keys_max).cloned().collect())
    }

    async fn kv_bytes(&self, space: &KvSpace) -> Result<u64, StoreError> {
        let inner = self.inner();
        let values = inner.kv.get(space).into_iter().flatten();
        Ok(values.map(|(key, value)| (key.len() + value.len()) as u64).sum())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::conformance::{self, Stores};

    /// An empty store for a case.
    pub(crate) fn empty() -> Stores {
        let store = MemoryStore::new();
        store.set_blob_quota(conformance::BLOB_QUOTA_BYTES);
        let alive = Holder { machine: "here".to_owned(), pid: 1, process_start: 1 };
        let gone = Holder { pid: 2, ..alive.clone() };
        store.set_gone(gone.clone());
        let damaged = store.clone();
        Stores::of(Arc::new(store), alive, gone, move |digest| damaged.damage_blob(digest))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keeps_the_promises_of_the_ports() {
        conformance::run_all(empty).await;
    }
}
