//! The store's ports in memory, for tests that need no disk.
//!
//! Promise: passes the same conformance cases as the real store; nothing here waits, so a test that
//! uses it is as deterministic as its own inputs.
//!
//! Not here: durability.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness_core::envelope::{Payload, SealedEvent};
use harness_core::record::{KvSpace, KvWrite};
use harness_core::{Digest, Epoch, Header, Scope, Sequence, SessionId, Tip};
use harness_engine::ports::{
    AppendError, Blobs, EventLog, Holder, Index, Kv, Lease, LeaseError, SessionAppend, SessionFilter, SessionSummary,
    StoreError, StoredEvent, Takeover,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sessions in memory. Clones share them.
#[derive(Clone, Default)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
}

/// Components' values by space and key.
type Values = BTreeMap<KvSpace, BTreeMap<String, Vec<u8>>>;

#[derive(Default)]
struct Session {
    epoch: u64,
    holder: Option<Holder>,
    events: Vec<(Vec<u8>, Option<Payload>)>,
    summary: Option<SessionSummary>,
    blobs: BTreeSet<Digest>,
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
            Some((header, _)) => Tip { sequence: Sequence(self.events.len() as u64), hash: Digest::of(header) },
        }
    }
}

impl Inner {
    fn find(&self, session: SessionId) -> Result<&Session, StoreError> {
        self.sessions.get(&session).ok_or(StoreError::NotFound(session))
    }

    /// All of it or nothing: what was done is undone where something is refused.
    fn append(&mut self, appends: Vec<SessionAppend>) -> Result<(), AppendError> {
        let mut undo = Vec::new();
        let mut fresh = BTreeMap::new();
        let writes: Vec<KvWrite> = appends.iter().flat_map(|append| append.kv.clone()).collect();
        let done = appends.into_iter().try_for_each(|append| self.append_one(append, &mut undo, &mut fresh));
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
        let session = self.sessions.get_mut(&id).ok_or(AppendError::NotFound(id))?;
        check(&append, session)?;
        let mut step =
            Undo { session: id, events: session.events.len(), summary: session.summary.clone(), named: Vec::new() };
        session.events.extend(append.events.into_iter().map(|event| (event.header_bytes, event.payload)));
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
    summary: Option<SessionSummary>,
    named: Vec<Digest>,
}

impl Undo {
    fn take_back(self, sessions: &mut BTreeMap<SessionId, Session>) {
        if let Some(session) = sessions.get_mut(&self.session) {
            session.events.truncate(self.events);
            session.summary = self.summary;
            for digest in &self.named {
                session.blobs.remove(digest);
            }
        }
    }
}

fn check(append: &SessionAppend, session: &Session) -> Result<(), AppendError> {
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
    if append.after != tip {
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
            .map(|(header_bytes, payload)| StoredEvent { header_bytes: header_bytes.clone(), payload: payload.clone() })
            .collect())
    }

    async fn tip(&self, session: SessionId) -> Result<Tip, StoreError> {
        Ok(self.inner().find(session)?.tip())
    }

    async fn erase_payload(&self, session: SessionId, sequence: Sequence) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let known = inner.sessions.get_mut(&session).ok_or(StoreError::NotFound(session))?;
        let index = sequence.0.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        let event = index.and_then(|index| known.events.get_mut(index));
        let (_, payload) = event.ok_or_else(|| StoreError::Storage(format!("{session} has no event {sequence}")))?;
        *payload = None;
        Ok(())
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

#[async_trait]
impl Index for MemoryStore {
    async fn list(&self, filter: SessionFilter) -> Result<Vec<SessionSummary>, StoreError> {
        let inner = self.inner();
        let search = filter.search.map(|text| text.to_lowercase());
        let mut rows: Vec<&SessionSummary> = inner
            .sessions
            .values()
            .filter(|session| !session.events.is_empty())
            .filter_map(|session| session.summary.as_ref())
            .filter(|row| filter.workspace.as_ref().is_none_or(|workspace| *workspace == row.workspace))
            .filter(|row| {
                let folded = || format!("{}\n{}", row.title.to_lowercase(), row.session);
                search.as_ref().is_none_or(|text| folded().contains(text))
            })
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.updated, row.session)));
        Ok(rows.into_iter().skip(filter.skip).take(filter.sessions_max).cloned().collect())
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
mod tests {
    use super::*;
    use crate::conformance::{self, Stores};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keeps_the_promises_of_the_ports() {
        conformance::run_all(|| {
            let store = MemoryStore::new();
            store.set_blob_quota(conformance::BLOB_QUOTA_BYTES);
            let alive = Holder { machine: "here".to_owned(), pid: 1, process_start: 1 };
            let gone = Holder { pid: 2, ..alive.clone() };
            store.set_gone(gone.clone());
            let damaged = store.clone();
            Stores::of(Arc::new(store), alive, gone, move |digest| damaged.damage_blob(digest))
        })
        .await;
    }
}
