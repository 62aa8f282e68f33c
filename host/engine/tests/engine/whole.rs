//! Looking at whole logs: while they are written, and where a checkpoint says otherwise.

use crate::checkpoints::{keeping, turn};
use crate::world::World;
use async_trait::async_trait;
use harness_core::{ApproveMode, Sequence, SessionId, Tip};
use harness_engine::ports::{EventLog, StoreError, StoredEvent};
use harness_engine::{Host, LoadError, Ports};
use harness_sim::log_between::{Between, LogBetween};
use harness_sim::scripted_model::Reply;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A log to which somebody appends whenever its end was read.
struct GrowingLog {
    /// The host of another process.
    writer: Host,
    grown: AtomicU64,
    /// What is wrong with its end.
    twist: fn(Tip) -> Tip,
    /// A byte of its second event was changed.
    is_damaged: bool,
}

#[async_trait]
impl Between for GrowingLog {
    async fn read(
        &self,
        log: &dyn EventLog,
        session: SessionId,
        after: Sequence,
        events_max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let mut read = log.read(session, after, events_max).await?;
        if let Some(payload) = read.get_mut(1).filter(|_| self.is_damaged && after == Sequence::START) {
            payload.payload.as_mut().unwrap().bytes[3] ^= 1;
        }
        if read.is_empty() {
            let grown = self.grown.fetch_add(1, Ordering::Relaxed);
            self.writer.rename(session, format!("title {grown}")).await.unwrap();
        }
        Ok(read)
    }

    async fn tip(&self, log: &dyn EventLog, session: SessionId) -> Result<Tip, StoreError> {
        Ok((self.twist)(log.tip(session).await?))
    }
}

/// A host over a log that grows.
fn growing(world: &World, twist: fn(Tip) -> Tip, is_damaged: bool) -> Host {
    let growing = GrowingLog { writer: world.host.clone(), grown: AtomicU64::new(0), twist, is_damaged };
    let log = Arc::new(LogBetween::new(Arc::new(growing), Arc::new(world.store.clone())));
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
    let verified = growing(&world, |tip| tip, false).verify_whole(id, Some(end.hash)).await.unwrap();
    assert_eq!(
        (verified.events, verified.head, verified.known_head_at),
        (end.sequence.0, end.hash, Some(end.sequence))
    );
    assert!(verified.is_loaded_as_logged, "{verified:?}");
    let end = world.store.tip(id).await.unwrap();
    assert!(end.sequence.0 > verified.events, "it grew meanwhile");
    assert_eq!(growing(&world, |tip| tip, false).verify(id).await.unwrap(), end);
    let end = world.store.tip(id).await.unwrap();
    let replayed = growing(&world, |tip| tip, false).replay(id).await.unwrap();
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
        let host = growing(&world, twist, false);
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
    let host = growing(&world, |tip| tip, true);
    assert!(host.load(id).await.is_ok(), "a checkpoint stands for what is before it");
    let told = host.load_whole(id).await;
    assert!(matches!(&told, Err(LoadError::Damaged { after: Sequence(1), .. })), "{told:?}");
}
