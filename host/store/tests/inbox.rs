//! What another process puts into a session's inbox is seen without anybody being told.
//!
//! Two stores over one folder stand for two processes: they share nothing but the files.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_core::{InboxId, SessionId, TimeMs};
use harness_engine::ports::{INBOX_LOOK_MS, Inbox, InboxEntry, Lease, Takeover};
use harness_sim::clock::SimClock;
use harness_sim::conformance::session;
use harness_store::{SqliteStore, StoreOptions, this_process};
use std::path::Path;
use std::sync::Arc;

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir, StoreOptions::default()).unwrap()
}

fn entry(number: u128) -> InboxEntry {
    InboxEntry { id: InboxId::from_bits(number), principal: "tester".to_owned(), input: b"x".to_vec() }
}

/// Two stores over one folder that know these sessions.
async fn two_stores(dir: &Path, sessions: impl Iterator<Item = SessionId>) -> (SqliteStore, SqliteStore) {
    let (ours, theirs) = (open(dir), open(dir));
    for session in sessions {
        ours.acquire(session, &this_process(), Takeover::IfGone).await.unwrap();
    }
    (ours, theirs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_another_process_is_seen_at_the_next_look() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = two_stores(folder.path(), [session(1)].into_iter()).await;
    let clock = Arc::new(SimClock::manual(TimeMs(0)));
    let mut after = 0;
    for number in 1..=3 {
        let (store, looks_by) = (ours.clone(), Arc::clone(&clock));
        let waiting = tokio::spawn(async move { store.arrival(session(1), after, looks_by.as_ref()).await });
        clock.until_sleeping(1).await;
        theirs.put(session(1), entry(number)).await.unwrap();
        clock.advance(INBOX_LOOK_MS);
        waiting.await.unwrap();
        let unread = ours.unread(session(1), after, 9).await.unwrap();
        assert_eq!(unread.iter().map(|unread| unread.entry.clone()).collect::<Vec<_>>(), [entry(number)]);
        after = unread[0].place;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_looks_for_all_who_wait_and_another_goes_on_when_it_is_gone() {
    const SESSIONS: u64 = 40;
    const LOOKS: usize = 5;
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = two_stores(folder.path(), (1..=SESSIONS).map(session)).await;
    let clock = Arc::new(SimClock::manual(TimeMs(0)));
    let wait = |number| {
        let (store, looks_by) = (ours.clone(), Arc::clone(&clock));
        tokio::spawn(async move { store.arrival(session(number), 0, looks_by.as_ref()).await })
    };
    // The first who waits looks, and goes away while it does.
    let first = wait(1);
    clock.until_sleeping(1).await;
    let others: Vec<_> = (2..=SESSIONS).map(wait).collect();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    // The clock counts whoever has gone until it moves.
    clock.until_sleeping(2).await;
    clock.advance(INBOX_LOOK_MS);
    for _ in 0..LOOKS {
        clock.until_sleeping(1).await;
        clock.advance(INBOX_LOOK_MS);
    }
    clock.until_sleeping(1).await;
    assert_eq!(clock.slept_ms().len(), 2 + LOOKS + 1, "nobody else looks meanwhile");
    for number in 2..=SESSIONS {
        theirs.put(session(number), entry(1)).await.unwrap();
    }
    clock.advance(INBOX_LOOK_MS);
    for waiting in others {
        waiting.await.unwrap();
    }
}
