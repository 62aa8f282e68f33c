//! A state from a checkpoint is the fold of the log, or the checkpoint is not used.

use crate::world::{World, finish};
use async_trait::async_trait;
use harness_core::event::TurnLimits;
use harness_core::{ApproveMode, Sequence, SessionId, SessionState};
use harness_engine::ports::{Checkpoint, EventLog, StoreError, StoredEvent, Takeover};
use harness_engine::{CheckpointPolicy, Host, Ports, Session, SessionError};
use harness_sim::log_between::{Between, LogBetween};
use harness_sim::scripted_model::{Reply, ScriptedModel};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A checkpoint after every append, and a last one.
pub(crate) const ALWAYS: CheckpointPolicy = CheckpointPolicy { events: 1, close_events: 1 };

/// What a log makes of a checkpoint that is read.
type Twist = fn(Checkpoint) -> Option<Checkpoint>;

/// What it makes of a segment.
type TwistBytes = fn(Vec<u8>) -> Vec<u8>;

/// A log whose checkpoints are twisted, and that counts the events it is read.
struct TwistedLog {
    twist: Twist,
    segment: TwistBytes,
    events_read: AtomicU64,
}

#[async_trait]
impl Between for TwistedLog {
    async fn read(
        &self,
        log: &dyn EventLog,
        session: SessionId,
        after: Sequence,
        events_max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let read = log.read(session, after, events_max).await?;
        self.events_read.fetch_add(read.len() as u64, Ordering::Relaxed);
        Ok(read)
    }

    async fn checkpoint(
        &self,
        log: &dyn EventLog,
        session: SessionId,
        up_to: Sequence,
    ) -> Result<Option<Checkpoint>, StoreError> {
        Ok(log.checkpoint(session, up_to).await?.and_then(self.twist))
    }

    async fn segments(
        &self,
        log: &dyn EventLog,
        session: SessionId,
        first: u32,
        bytes_max: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let segments = log.segments(session, first, bytes_max).await?;
        Ok(segments.into_iter().map(self.segment).collect())
    }
}

/// The state that a host over a twisted log loads, and how many events it read for it.
async fn load_with(world: &World, id: SessionId, twist: Twist, segment: TwistBytes) -> (SessionState, u64) {
    let twisted = Arc::new(TwistedLog { twist, segment, events_read: AtomicU64::new(0) });
    let log = Arc::new(LogBetween::new(Arc::clone(&twisted), Arc::new(world.store.clone())));
    let ports = Ports { log, ..world.host.ports().clone() };
    let loaded = Host::new(ports, world.holder.clone(), "test").load(id).await.unwrap();
    (loaded.state, twisted.events_read.load(Ordering::Relaxed))
}

/// The fold of the whole log.
pub(crate) async fn refold(world: &World, id: SessionId) -> SessionState {
    load_with(world, id, |_| None, |segment| segment).await.0
}

/// The next of a row of numbers that look random (the constants of Numerical Recipes' `ranqd1`).
pub(crate) fn next(seed: &mut u32) -> u32 {
    *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *seed >> 8
}

pub(crate) async fn turn(session: &Session) {
    session.prompt("go on", TurnLimits::default()).await.unwrap();
    finish(session).await.unwrap();
}

pub(crate) fn replies(seed: u32, turns: usize) -> Vec<Reply> {
    let mut seed = seed;
    let read = ("read_file", r#"{"path":"a.txt"}"#);
    let write = ("append_file", r#"{"path":"b.txt","content":"more"}"#);
    let note = ("note", r#"{"key":"k","value":"eWVz"}"#);
    let missing = ("nothing", "{}");
    let all = [read, write, note, missing];
    let step = |seed: &mut u32| {
        let calls: Vec<_> = (0..=next(seed) % 3).map(|_| all[next(seed) as usize % 4]).collect();
        Reply::calls(&calls)
    };
    let turn = |_| {
        let steps: Vec<Reply> = (0..next(&mut seed) % 3).map(|_| step(&mut seed)).collect();
        steps.into_iter().chain([Reply::text("done")]).collect::<Vec<_>>()
    };
    (0..turns).flat_map(turn).collect()
}

/// What was wrong with requests, but for items that are others since the session was rewound or opened again.
pub(crate) fn conversation_problems(world: &World) -> Vec<String> {
    world.model.problems().into_iter().filter(|problem| !problem.ends_with("are the same")).collect()
}

pub(crate) fn keeping(world: &World) -> Host {
    world.host.clone().with_checkpoints(ALWAYS)
}

#[tokio::test]
async fn a_state_from_a_checkpoint_is_the_fold_of_the_log() {
    for seed in 0..12_u32 {
        let mut random = seed.wrapping_mul(7_919);
        let mut world = World::new(ScriptedModel::tape(replies(seed, 8)));
        world.host = keeping(&world);
        let mut session = world.create(ApproveMode::Edits).await;
        let id = session.id();
        for _ in 0..8 {
            turn(&session).await;
            match next(&mut random) % 4 {
                0 => drop(session.rewind(Sequence(u64::from(next(&mut random)) % 60 + 1)).await),
                1 => session.rename("other").await.unwrap(),
                2 => {
                    session.close().await;
                    session = world.open(id, ApproveMode::Edits).await.unwrap();
                }
                _ => {}
            }
            let live = session.snapshot().await.unwrap().state;
            assert_eq!(world.host.load(id).await.unwrap().state, live, "seed {seed}");
            assert_eq!(refold(&world, id).await, live, "seed {seed}");
        }
        session.close().await;
        let tip = world.store.tip(id).await.unwrap();
        let newest = world.store.checkpoint(id, Sequence(u64::MAX)).await.unwrap().unwrap();
        assert_eq!(newest.tip, tip, "closing keeps a last one");
    }
}

#[tokio::test]
async fn only_what_follows_a_checkpoint_is_read() {
    let mut world = World::tape(replies(3, 6));
    world.host = keeping(&world);
    let session = world.create(ApproveMode::Edits).await;
    for _ in 0..6 {
        turn(&session).await;
    }
    let id = session.id();
    session.close().await;
    let events = world.store.tip(id).await.unwrap().sequence.0;
    let (state, read) = load_with(&world, id, Some, |segment| segment).await;
    assert_eq!((state, read), (refold(&world, id).await, 1), "of {events} events only the header at the checkpoint");
    let older: Twist = |checkpoint| (checkpoint.tip.sequence.0 < 20).then_some(checkpoint);
    assert_eq!(load_with(&world, id, older, |segment| segment).await.1, events);
}

#[tokio::test]
async fn an_odd_checkpoint_is_as_if_it_were_not_there() {
    let mut world = World::tape(replies(5, 4));
    world.host = keeping(&world);
    let session = world.create(ApproveMode::Edits).await;
    for _ in 0..4 {
        turn(&session).await;
    }
    let id = session.id();
    session.close().await;
    let events = world.store.tip(id).await.unwrap().sequence.0;
    let whole = refold(&world, id).await;
    let twists: [(&str, Twist); 9] = [
        ("of an older core", |it| Some(Checkpoint { core: it.core - 1, ..it })),
        ("of another form", |it| Some(Checkpoint { format: it.format + 1, ..it })),
        ("of another log", |mut it| {
            it.tip.hash.0[5] ^= 1;
            Some(it)
        }),
        ("at another place", |mut it| {
            it.tip.sequence.0 -= 1;
            Some(it)
        }),
        ("beyond the end", |mut it| {
            it.tip.sequence.0 += 1;
            Some(it)
        }),
        ("with a changed byte", |mut it| {
            let middle = it.state.len() / 2;
            it.state[middle] ^= 1;
            Some(it)
        }),
        ("cut", |mut it| {
            it.state.truncate(it.state.len() - 1);
            Some(it)
        }),
        ("without its last segment", |it| Some(Checkpoint { segments: it.segments - 1, ..it })),
        ("with a segment too many", |it| Some(Checkpoint { segments: it.segments + 1, ..it })),
    ];
    for (what, twist) in twists {
        let (state, read) = load_with(&world, id, twist, |segment| segment).await;
        assert!(state == whole && read >= events, "{what}: {read} of {events} events read");
    }
    let segments: [(&str, TwistBytes); 3] = [
        ("changed", |mut it| {
            let last = it.len() - 1;
            it[last] ^= 0x20;
            it
        }),
        ("empty", |_| Vec::new()),
        ("of another", |it| it.iter().rev().copied().collect()),
    ];
    for (what, segment) in segments {
        let (state, read) = load_with(&world, id, Some, segment).await;
        assert!(state == whole && read >= events, "a segment {what}: {read} of {events} events read");
    }
}

#[tokio::test]
async fn a_writer_that_opens_from_a_checkpoint_goes_on_like_any_other() {
    let mut world = World::tape(replies(9, 6));
    world.host = keeping(&world);
    let session = world.create(ApproveMode::Edits).await;
    let id = session.id();
    turn(&session).await;
    session.close().await;
    for _ in 0..3 {
        let session = world.open(id, ApproveMode::Edits).await.unwrap();
        turn(&session).await;
        session.close().await;
        assert_eq!(world.host.load(id).await.unwrap().state, refold(&world, id).await);
    }
    let segments = world.store.segments(id, 0, usize::MAX).await.unwrap();
    let items = world.host.load(id).await.unwrap().state.history.len();
    assert!(segments.len() >= 4 && segments.len() <= items, "{} segments of {items} items", segments.len());
    assert_eq!(conversation_problems(&world), Vec::<String>::new());
    let refused = world
        .host
        .open(id, crate::world::context(ApproveMode::Ask), Vec::new(), Arc::clone(&world.hands) as _, Takeover::IfGone)
        .await;
    let session = refused.unwrap();
    assert!(matches!(session.rewind(Sequence(0)).await, Err(SessionError::Refused(_))));
    session.close().await;
}
