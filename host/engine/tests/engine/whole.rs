//! Looking at whole logs: while they are written, and where a checkpoint says otherwise.

use crate::checkpoints::{keeping, turn};
use crate::world::World;
use async_trait::async_trait;
use harness_core::{ApproveMode, Sequence, SessionId, Tip};
use harness_engine::ports::{Ancestor, AppendError, Checkpoint, EventLog, SessionAppend, StoreError, StoredEvent};
use harness_engine::{Host, LoadError, Ports};
use harness_sim::memory_store::MemoryStore;
use harness_sim::scripted_model::Reply;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A log to which somebody appends whenever its end was read.
struct GrowingLog {
    store: MemoryStore,
    /// The host of another process.
    writer: Host,
    grown: AtomicU64,
    /// What is wrong with its end.
    twist: fn(Tip) -> Tip,
}

#[async_trait]
impl EventLog for GrowingLog {
    async fn append(&self, appends: Vec<SessionAppend>) -> Result<(), AppendError> {
        self.store.append(appends).await
    }
    async fn read(
        &self,
        session: SessionId,
        after: Sequence,
        events_max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let read = self.store.read(session, after, events_max).await?;
        if read.is_empty() {
            let grown = self.grown.fetch_add(1, Ordering::Relaxed);
            self.writer.rename(session, format!("title {grown}")).await.unwrap();
        }
        Ok(read)
    }
    async fn tip(&self, session: SessionId) -> Result<Tip, StoreError> {
        Ok((self.twist)(self.store.tip(session).await?))
    }
    async fn erase_payload(&self, session: SessionId, sequence: Sequence) -> Result<(), StoreError> {
        self.store.erase_payload(session, sequence).await
    }
    async fn lineage(&self, session: SessionId) -> Result<Vec<Ancestor>, StoreError> {
        self.store.lineage(session).await
    }
    async fn checkpoint(&self, session: SessionId, up_to: Sequence) -> Result<Option<Checkpoint>, StoreError> {
        self.store.checkpoint(session, up_to).await
    }
    async fn segments(&self, session: SessionId, first: u32, bytes_max: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.store.segments(session, first, bytes_max).await
    }
}

fn growing(world: &World, twist: fn(Tip) -> Tip) -> Host {
    let (store, writer) = (world.store.clone(), world.host.clone());
    let log = Arc::new(GrowingLog { store, writer, grown: AtomicU64::new(0), twist });
    let ports = Ports { log, ..world.host.ports().clone() };
    Host::new(ports, world.holder.clone(), "test")
}

async fn a_session(world: &World) -> SessionId {
    let session = world.create(ApproveMode::Ask).await;
    turn(&session).await;
    turn(&session).await;
    let id = session.id();
    session.close().await;
    id
}

#[tokio::test]
async fn a_log_that_is_being_written_is_verified_and_replayed_as_it_is_now() {
    let world = World::tape([Reply::text("one"), Reply::text("two")]);
    let id = a_session(&world).await;
    let end = world.store.tip(id).await.unwrap();
    let verified = growing(&world, |tip| tip).verify_whole(id, Some(end.hash)).await.unwrap();
    assert_eq!(
        (verified.events, verified.head, verified.known_head_at),
        (end.sequence.0, end.hash, Some(end.sequence))
    );
    assert!(verified.is_loaded_as_logged, "{verified:?}");
    let end = world.store.tip(id).await.unwrap();
    assert!(end.sequence.0 > verified.events, "it grew meanwhile");
    assert_eq!(growing(&world, |tip| tip).verify(id).await.unwrap(), end);
    let end = world.store.tip(id).await.unwrap();
    let replayed = growing(&world, |tip| tip).replay(id).await.unwrap();
    assert_eq!((replayed.events, replayed.difference), (end.sequence.0, None));
}

#[tokio::test]
async fn an_end_that_is_not_that_of_the_events_is_told() {
    let world = World::tape([Reply::text("one"), Reply::text("two")]);
    let id = a_session(&world).await;
    let twists: [fn(Tip) -> Tip; 2] = [
        |tip| Tip { hash: harness_core::Digest::of(b"other"), ..tip },
        |tip| Tip { sequence: tip.sequence.next(), ..tip },
    ];
    for twist in twists {
        let host = growing(&world, twist);
        for told in [host.verify_whole(id, None).await.map(|_| ()), host.verify(id).await.map(|_| ())] {
            assert!(matches!(&told, Err(LoadError::Store(StoreError::Damaged(_)))), "{told:?}");
        }
    }
}

#[tokio::test]
async fn a_whole_log_is_read_whatever_checkpoints_there_are() {
    let mut world = World::tape([Reply::text("one"), Reply::text("two")]);
    world.host = keeping(&world);
    let id = a_session(&world).await;
    assert_eq!(world.host.load_whole(id).await.unwrap().state, world.host.load(id).await.unwrap().state);
    world.store.erase_payload(id, Sequence(2)).await.unwrap();
    assert!(matches!(world.host.load_whole(id).await, Err(LoadError::Erased { .. })));
}
