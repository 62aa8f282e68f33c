//! What the store derives from the log: words and checkpoints; and old stores that have neither.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_core::envelope::verify;
use harness_core::{Sequence, SessionId, Tip};
use harness_engine::ports::{Blobs, Checkpoint, CheckpointWrite, EventLog, Index, SessionAppend, SessionFilter};
use harness_sim::conformance::{Stores, Writer, session, titles, whole};
use harness_store::{CHECKPOINTS_MAX, DATABASE_FILE, SqliteStore, StoreOptions, this_process};
use std::path::Path;
use std::sync::Arc;

/// Made by a host of schema version 2; see its first line.
const VERSION_2: &str = include_str!("version-2.sql");

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir, StoreOptions::default()).unwrap()
}

fn ports(store: &SqliteStore) -> Stores {
    Stores::of(Arc::new(store.clone()), this_process(), this_process(), |_| unreachable!("nothing is damaged here"))
}

async fn found(store: &SqliteStore, search: &str) -> u64 {
    store.count(SessionFilter { search: Some(search.to_owned()), ..SessionFilter::default() }).await.unwrap()
}

#[tokio::test]
async fn a_store_of_version_2_is_brought_up_and_its_words_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let old = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    old.execute_batch(&format!("PRAGMA foreign_keys = OFF; {VERSION_2}")).unwrap();
    drop(old);
    let store = open(folder.path());
    assert_eq!(titles(&store, session(1)).await.len(), 3);
    let golden = SessionId::from_bits(7);
    let mut tip = Tip::START;
    for stored in store.read(golden, Sequence::START, usize::MAX).await.unwrap() {
        (_, tip) = verify(tip, stored.header_bytes, stored.payload).unwrap();
    }
    assert_eq!(store.tip(golden).await, Ok(tip));
    let row = store.summary(golden).await.unwrap();
    assert_eq!((row.title.as_str(), row.archived, row.parent, row.origin), ("Größer", false, None, None));
    // Prompts and responses; not what calls returned.
    for (search, count) in [("that is all", 1), ("do it", 1), ("größ", 1), ("wörk", 0)] {
        assert_eq!(found(&store, search).await, count, "{search}");
    }
    let named = store.named_by(golden, None, 9).await.unwrap();
    assert_eq!(store.get(named[0]).await.unwrap().as_deref(), Some(&b"content of version 2"[..]));
    // It can be forked like any other.
    let mut fork = Writer::acquire(&ports(&store), session(5)).await;
    fork.tip = tip;
    let (append, _) = fork.batch(&["fork"]);
    store.append(vec![SessionAppend { fork_of: Some(golden), ..append }]).await.unwrap();
    store.delete(golden).await.unwrap();
    assert_eq!(store.named_by(session(5), None, 9).await.unwrap(), named);
    store.delete(session(5)).await.unwrap();
    assert_eq!(store.get(named[0]).await, Ok(None));
}

#[tokio::test]
async fn the_words_can_be_made_again_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let old = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    old.execute_batch(&format!("PRAGMA foreign_keys = OFF; {VERSION_2}")).unwrap();
    drop(old);
    drop(open(folder.path()));
    let database = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    database.execute_batch("DELETE FROM said; INSERT INTO said_due VALUES (7, 'of no event')").unwrap();
    drop(database);
    let store = open(folder.path());
    assert_eq!(found(&store, "that is all").await, 0);
    store.rebuild_search().await.unwrap();
    store.rebuild_search().await.unwrap();
    assert_eq!(found(&store, "that is all").await, 1);
    let database = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    let strays = "SELECT count(*) FROM said_due UNION ALL SELECT count(*) FROM said WHERE said MATCH 'event'";
    let strays: Vec<i64> =
        database.prepare(strays).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(strays, [0, 0]);
}

#[tokio::test]
async fn checkpoints_stay_few_and_spread_over_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut writer = Writer::acquire(&ports(&store), session(1)).await;
    const COUNT: u64 = 200;
    for number in 0..COUNT {
        let (append, tip) = writer.batch(&["x"]);
        let state = vec![1; 100];
        let checkpoint = Checkpoint { tip: writer.tip, core: 1, format: 1, state, segments: number as u32 + 1 };
        let segments = vec![number.to_be_bytes().to_vec()];
        let write = CheckpointWrite { checkpoint, segments_kept: number as u32, segments };
        store.append(vec![SessionAppend { checkpoint: Some(write), ..append }]).await.unwrap();
        writer.tip = tip;
    }
    let (mut places, mut up_to) = (Vec::new(), u64::MAX);
    while let Some(found) = store.checkpoint(session(1), Sequence(up_to)).await.unwrap() {
        places.push(found.tip.sequence.0);
        let Some(before) = found.tip.sequence.0.checked_sub(1) else { break };
        up_to = before;
    }
    assert!(places.len() <= CHECKPOINTS_MAX, "{places:?}");
    assert_eq!(places[0], COUNT - 1, "the newest stays");
    let widest = places.windows(2).map(|pair| pair[0] - pair[1]).max().unwrap();
    assert!(widest <= 4 * COUNT / CHECKPOINTS_MAX as u64, "{places:?}");
    assert_eq!(store.segments(session(1), 0, usize::MAX).await.unwrap().len() as u64, COUNT);
    assert_eq!(titles(&store, session(1)).await.len() as u64, COUNT);
    let expected = whole(&["x"]);
    assert_eq!(titles(&store, session(1)).await[..1], expected[..]);
}
