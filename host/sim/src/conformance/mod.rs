//! What every implementation of a port must do, as cases that run against any of them.
//!
//! Promise: the fake that other tests stand on and the real store pass the same cases. A case gets a
//! fresh, empty store with a quota of [`BLOB_QUOTA_BYTES`] and panics where the promise is broken.
//!
//! Not here: durability (only a real disk can break it) and speed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a broken expectation is a failed case")]

pub mod blobs;
pub mod checkpoints;
pub mod clock;
pub mod event_log;
pub mod forks;
pub mod grant_lists;
pub mod hands;
pub mod ids;
pub mod inbox;
pub mod index;
pub mod kv;
pub mod lease;
pub mod model;

use harness_core::envelope::Lineage;
use harness_core::envelope::{self, SealContext, SealedEvent, Tip};
use harness_core::{Actor, Digest, Epoch, Event, SessionId, TenantId, TimeMs, Usage};
use harness_engine::ports::{
    AppendError, Blob, Blobs, EventLog, Holder, Inbox, Index, Kv, Lease, SessionAppend, SessionStatus, SessionSummary,
    Takeover,
};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// The quota of the stores that cases run against. Bytes.
pub const BLOB_QUOTA_BYTES: u64 = 1 << 20;

/// An empty store, and what the cases have to know of its world.
pub struct Stores {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Who may write.
    pub lease: Arc<dyn Lease>,
    /// The index.
    pub index: Arc<dyn Index>,
    /// The contents.
    pub blobs: Arc<dyn Blobs>,
    /// Components' values.
    pub kv: Arc<dyn Kv>,
    /// What sessions are given.
    pub inbox: Arc<dyn Inbox>,
    /// A holder that lives.
    pub alive: Holder,
    /// A holder of the same machine that is certainly gone.
    pub gone: Holder,
    /// Changes a kept content behind the store's back, keeping its length.
    pub damage: Box<dyn Fn(Digest) + Send + Sync>,
}

impl Stores {
    /// The six ports of one implementation.
    pub fn of<S: EventLog + Lease + Index + Blobs + Kv + Inbox>(
        store: Arc<S>,
        alive: Holder,
        gone: Holder,
        damage: impl Fn(Digest) + Send + Sync + 'static,
    ) -> Self {
        Self {
            log: Arc::clone(&store) as _,
            lease: Arc::clone(&store) as _,
            index: Arc::clone(&store) as _,
            blobs: Arc::clone(&store) as _,
            kv: Arc::clone(&store) as _,
            inbox: store,
            alive,
            gone,
            damage: Box::new(damage),
        }
    }
}

/// One thing that must hold, with its name.
pub struct Case {
    /// What must hold, as a sentence without spaces.
    pub name: &'static str,
    /// Checks it.
    pub run: fn(Stores) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Names each `async fn(Stores)` as a case.
macro_rules! cases {
    ($($name:ident),+ $(,)?) => {
        /// What must hold.
        pub const CASES: &[$crate::conformance::Case] =
            &[$($crate::conformance::Case { name: stringify!($name), run: |stores| Box::pin($name(stores)) }),+];
    };
}
pub(crate) use cases;

/// Every case of every port, in order.
pub fn all() -> impl Iterator<Item = &'static Case> {
    let log = [event_log::CASES, forks::CASES, checkpoints::CASES, lease::CASES];
    let others = [index::CASES, blobs::CASES, kv::CASES, inbox::CASES];
    log.into_iter().chain(others).flatten()
}

/// Runs every case against a fresh store each. The name of the case under way is printed.
pub async fn run_all(mut open: impl FnMut() -> Stores) {
    for case in all() {
        println!("case {}", case.name);
        (case.run)(open()).await;
    }
}

/// The session of a small number. Larger numbers are younger.
pub fn session(number: u64) -> SessionId {
    SessionId::new(TimeMs(1_700_000_000_000 + number as i64), &[7; 16])
}

/// Somebody who holds a session and writes it.
pub struct Writer {
    log: Arc<dyn EventLog>,
    /// The session.
    pub session: SessionId,
    /// The epoch it was acquired with.
    pub epoch: Epoch,
    /// The end of the log as this writer knows it.
    pub tip: Tip,
}

impl Writer {
    /// Takes a session, by force where it is held.
    pub async fn acquire(stores: &Stores, session: SessionId) -> Self {
        let epoch = stores.lease.acquire(session, &stores.alive, Takeover::Force).await.expect("acquire");
        let tip = stores.log.tip(session).await.expect("tip");
        Self { log: Arc::clone(&stores.log), session, epoch, tip }
    }

    /// An append of one event per title, and the tip after it.
    pub fn batch(&self, titles: &[&str]) -> (SessionAppend, Tip) {
        let events: Vec<Event> =
            titles.iter().map(|title| Event::SessionRenamed { title: (*title).to_owned() }).collect();
        let (events, tip) = seal(self.session, self.tip, &events);
        (SessionAppend::new(self.session, self.epoch, self.tip, events), tip)
    }

    /// Appends one event per title.
    pub async fn append(&mut self, titles: &[&str]) -> Result<(), AppendError> {
        self.append_with(titles, Vec::new(), None).await
    }

    /// Appends one event per title, with contents and a row.
    pub async fn append_with(
        &mut self,
        titles: &[&str],
        blobs: Vec<Blob>,
        summary: Option<SessionSummary>,
    ) -> Result<(), AppendError> {
        let (append, tip) = self.batch(titles);
        self.log.append(vec![SessionAppend { blobs, summary, ..append }]).await?;
        self.tip = tip;
        Ok(())
    }
}

/// Seals events as the session's own, with salts that depend on the position.
pub fn seal(session: SessionId, tip: Tip, events: &[Event]) -> (Vec<SealedEvent>, Tip) {
    let context = SealContext {
        tenant: TenantId::local(),
        session,
        lineage: Lineage::root_of(session),
        time: TimeMs(1),
        actor: Actor::Principal("tester".to_owned()),
    };
    let mut salt = tip.sequence.0;
    envelope::seal(tip, &context, events, || {
        salt += 1;
        u128::from(salt).to_be_bytes()
    })
}

/// A row of the index.
pub fn summary(session: SessionId, title: &str, workspace: &str, updated: i64) -> SessionSummary {
    SessionSummary {
        session,
        title: title.to_owned(),
        workspace: workspace.to_owned(),
        model: "scripted/one".to_owned(),
        created: TimeMs(1),
        updated: TimeMs(updated),
        last_sequence: harness_core::Sequence(1),
        status: SessionStatus::NeedsAnswer,
        turns: 3,
        usage: Usage { input_tokens: u64::MAX, cost_micro_usd: Some(17), ..Usage::default() },
        archived: false,
        parent: None,
        origin: None,
    }
}

/// Reads a whole log and verifies its chain. Gives the titles; none where a payload was erased.
pub async fn titles(log: &dyn EventLog, session: SessionId) -> Vec<Option<String>> {
    let mut tip = Tip::START;
    let mut titles = Vec::new();
    for stored in log.read(session, tip.sequence, usize::MAX).await.expect("read") {
        let (sealed, next) = envelope::verify(tip, stored.header_bytes, stored.payload).expect("the chain verifies");
        tip = next;
        titles.push(sealed.event().expect("the event decodes").map(|event| match event {
            Event::SessionRenamed { title } => title,
            other => panic!("nobody wrote {other:?}"),
        }));
    }
    assert_eq!(log.tip(session).await.expect("tip"), tip, "the tip is where the log ends");
    titles
}

/// What [`titles`] gives for a log in which nothing was erased.
pub fn whole(titles: &[&str]) -> Vec<Option<String>> {
    titles.iter().map(|title| Some((*title).to_owned())).collect()
}
