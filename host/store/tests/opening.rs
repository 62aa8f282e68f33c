//! Opening: versions, foreign files, permissions, what a crash left behind, erased bytes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_core::record::KvSpace;
use harness_core::{InboxId, Scope, Sequence};
use harness_engine::ports::{
    Blob, Blobs, EventLog, Inbox, InboxEntry, Index, Said, SessionAppend, SessionFilter, UnreadEntry,
};
use harness_sim::conformance::{Stores, Writer, session, summary, titles, whole};
use harness_store::{
    APPLICATION_ID, DATABASE_FILE, INLINE_BLOB_BYTES_MAX, OpenStoreError, SCHEMA_VERSION, SqliteStore, StoreOptions,
    this_process,
};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir, StoreOptions::default()).unwrap()
}

fn ports(store: &SqliteStore) -> Stores {
    Stores::of(Arc::new(store.clone()), this_process(), this_process(), |_| unreachable!("nothing is damaged here"))
}

fn database(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join(DATABASE_FILE)).unwrap()
}

/// Every file and folder below, with its permissions.
fn walk(dir: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = vec![(dir.to_owned(), std::fs::metadata(dir).unwrap().permissions().mode() & 0o777)];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push((path.clone(), std::fs::metadata(&path).unwrap().permissions().mode() & 0o777));
        }
    }
    found
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("a/b?c%20d");
    let large = Blob::new(vec![5; INLINE_BLOB_BYTES_MAX + 1]);
    {
        let store = open(&dir);
        let mut writer = Writer::acquire(&ports(&store), session(1)).await;
        writer.append_with(&["one"], vec![large.clone()], None).await.unwrap();
    }
    let store = open(&dir);
    assert_eq!(titles(&store, session(1)).await, whole(&["one"]));
    assert_eq!(store.get(large.digest).await.unwrap().as_deref(), Some(&large.bytes[..]));
}

#[tokio::test]
async fn nobody_else_can_read_any_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let check = |dir: &Path| {
        let found = walk(dir);
        for (path, mode) in &found {
            let expected = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(*mode, expected, "{} has {mode:o}", path.display());
        }
        found.len()
    };
    let store = open(&dir);
    let mut writer = Writer::acquire(&ports(&store), session(1)).await;
    writer.append_with(&["one"], vec![Blob::new(vec![5; INLINE_BLOB_BYTES_MAX + 1])], None).await.unwrap();
    // Folder, lock, database, its log and shared memory, and two folders with one content.
    assert_eq!(check(&dir), 8);
    drop((store, writer));
    // What somebody had opened up is closed again.
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(dir.join(DATABASE_FILE), std::fs::Permissions::from_mode(0o644)).unwrap();
    let _store = open(&dir);
    check(&dir);
}

#[test]
fn a_newer_store_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    database(folder.path()).pragma_update(None, "user_version", SCHEMA_VERSION + 6).unwrap();
    let before = std::fs::read(folder.path().join(DATABASE_FILE)).unwrap();
    let error = SqliteStore::open(folder.path(), StoreOptions::default()).unwrap_err();
    assert!(matches!(error, OpenStoreError::Newer { found: 10, known: 4, .. }), "{error}");
    let words = error.to_string();
    assert!(words.contains("version 10") && words.contains("up to 4"), "{words}");
    assert_eq!(std::fs::read(folder.path().join(DATABASE_FILE)).unwrap(), before);
}

#[tokio::test]
async fn a_store_of_the_first_version_is_brought_up_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    Writer::acquire(&ports(&store), session(1)).await.append(&["one"]).await.unwrap();
    drop(store);
    // What versions 2 to 4 added.
    let undo =
        "DROP TABLE inbox; DROP TABLE kv; DROP TABLE part; DROP TABLE checkpoint; DROP TABLE segment; DROP TABLE said;
        DROP TABLE said_due; DROP INDEX summary_by_parent; ALTER TABLE summary DROP COLUMN archived;
        ALTER TABLE summary DROP COLUMN parent; ALTER TABLE summary DROP COLUMN origin;
        ALTER TABLE blob_reference DROP COLUMN since; ALTER TABLE session DROP COLUMN is_gone;
        ALTER TABLE session DROP COLUMN is_erased; PRAGMA user_version = 1";
    database(folder.path()).execute_batch(undo).unwrap();
    let store = open(folder.path());
    let stores = ports(&store);
    assert_eq!(titles(&*stores.log, session(1)).await, whole(&["one"]));
    let space = KvSpace { component: "notes".to_owned(), scope: Scope::Global, owner: String::new() };
    assert_eq!(stores.kv.kv_bytes(&space).await, Ok(0));
    let version: i32 = database(folder.path()).pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, SCHEMA_VERSION);
}

#[tokio::test]
async fn a_store_of_version_3_gets_inboxes_and_due_words_for_the_sessions_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    Writer::acquire(&ports(&store), session(1)).await.append(&["one"]).await.unwrap();
    drop(store);
    database(folder.path()).execute_batch("DROP TABLE inbox; DROP TABLE said_due; PRAGMA user_version = 3").unwrap();
    let store = open(folder.path());
    assert_eq!(titles(&store, session(1)).await, whole(&["one"]));
    let entry = InboxEntry { id: InboxId::from_bits(7), principal: "p".to_owned(), input: b"x".to_vec() };
    store.put(session(1), entry.clone()).await.unwrap();
    let writer = Writer::acquire(&ports(&store), session(1)).await;
    let (append, _) = writer.batch(&["two"]);
    let said = vec![Said { sequence: Sequence(2), text: "words of two".to_owned() }];
    let row = Some(summary(session(1), "t", "/w", 1));
    store.append(vec![SessionAppend { said, summary: row, ..append }]).await.unwrap();
    drop(store);
    let store = open(folder.path());
    let search = SessionFilter { search: Some("words".to_owned()), ..SessionFilter::default() };
    assert_eq!(store.count(search).await, Ok(1));
    assert_eq!(store.unread(session(1), 0, 9).await.unwrap(), [UnreadEntry { place: 1, entry }]);
    let version: i32 = database(folder.path()).pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, SCHEMA_VERSION);
}

#[test]
fn foreign_files_are_refused_and_left_alone() {
    let other_program = |path: &Path| {
        let other = rusqlite::Connection::open(path).unwrap();
        other.execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)").unwrap();
    };
    let other_id = |path: &Path| {
        rusqlite::Connection::open(path).unwrap().pragma_update(None, "application_id", APPLICATION_ID + 1).unwrap();
    };
    let text =
        |path: &Path| std::fs::write(path, "this is not a database at all, only a long text ".repeat(50)).unwrap();
    for (what, make) in [("program", other_program as fn(&Path)), ("id", other_id), ("text", text)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DATABASE_FILE);
        make(&path);
        let before = std::fs::read(&path).unwrap();
        let error = SqliteStore::open(folder.path(), StoreOptions::default()).unwrap_err();
        assert!(matches!(error, OpenStoreError::Foreign { .. }), "{what}: {error:?}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "{what}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = SqliteStore::open(file.join("store"), StoreOptions::default()).unwrap_err();
    assert!(matches!(&error, OpenStoreError::Folder { path, .. } if path.starts_with(&file)), "{error}");
}

#[test]
fn many_open_a_new_store_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let opened: Vec<_> = (0..6).map(|_| scope.spawn(|| open(folder.path()))).collect();
        for store in opened {
            store.join().unwrap();
        }
    });
}

#[tokio::test]
async fn what_a_crash_left_is_swept_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, orphan) = (Blob::new(vec![1; INLINE_BLOB_BYTES_MAX + 1]), Blob::new(vec![2; 10]));
    let store = open(folder.path());
    let mut writer = Writer::acquire(&ports(&store), session(1)).await;
    writer.append_with(&["one"], vec![kept.clone()], None).await.unwrap();
    let place = |name: &str| folder.path().join("blobs").join(&name[..2]).join(name);
    let (orphan, unfinished) = (orphan.digest.hex(), format!("{}.part", kept.digest.hex()));
    let strange = "ab-not-ours.txt".to_owned();
    for name in [&orphan, &unfinished, &strange] {
        std::fs::create_dir_all(place(name).parent().unwrap()).unwrap();
        std::fs::write(place(name), "left").unwrap();
    }
    // Another process may be at work meanwhile.
    let second = open(folder.path());
    assert!(!place(&orphan).exists() && !place(&unfinished).exists());
    assert!(place(&strange).exists(), "files of others stay");
    assert!(second.get(kept.digest).await.unwrap().is_some());
    // What was lost is kept again when it comes again.
    std::fs::remove_file(place(&kept.digest.hex())).unwrap();
    assert!(store.get(kept.digest).await.is_err());
    writer.append_with(&["two"], vec![kept.clone()], None).await.unwrap();
    assert!(store.get(kept.digest).await.unwrap().is_some());
    store.delete(session(1)).await.unwrap();
    assert!(!place(&kept.digest.hex()).exists());
}

#[tokio::test]
async fn a_reader_in_another_process_sees_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()), open(folder.path()));
    let mut writer = Writer::acquire(&ports(&one), session(1)).await;
    for round in 1..=20 {
        writer.append(&["x"]).await.unwrap();
        assert_eq!(two.tip(session(1)).await.unwrap().sequence, Sequence(round));
    }
}

#[tokio::test]
async fn opening_waits_for_no_transaction_of_those_who_have_it_open() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut writer = Writer::acquire(&ports(&store), session(1)).await;
    writer.append(&["one"]).await.unwrap();
    let other = database(folder.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let second = SqliteStore::open(folder.path(), StoreOptions { busy_timeout_ms: 1, ..StoreOptions::default() });
    assert_eq!(titles(&second.unwrap(), session(1)).await, whole(&["one"]));
    other.execute_batch("ROLLBACK").unwrap();
    writer.append(&["two"]).await.unwrap();
}

#[tokio::test]
async fn erased_bytes_are_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "s3cr3t-that-must-go";
    let holds_secret = || {
        let holds =
            |path: &Path| std::fs::read(path).unwrap().windows(secret.len()).any(|part| part == secret.as_bytes());
        walk(folder.path()).into_iter().filter(|(path, _)| path.is_file() && holds(path)).count()
    };
    let store = open(folder.path());
    let mut writer = Writer::acquire(&ports(&store), session(1)).await;
    writer.append(&["before", secret, "after"]).await.unwrap();
    assert_ne!(holds_secret(), 0, "the test looks in the wrong place");
    store.erase_payload(session(1), Sequence(2)).await.unwrap();
    assert_eq!(holds_secret(), 0);

    // Rows move between pages as their neighbours grow: no copy may stay where one was.
    let mut writers = Vec::new();
    for number in 2..12 {
        writers.push(Writer::acquire(&ports(&store), session(number)).await);
    }
    for round in 0..40 {
        for writer in &mut writers {
            let title = if round % 10 == 5 { secret.to_owned() } else { "y".repeat(40 * (round % 7)) };
            writer.append(&[&title]).await.unwrap();
        }
    }
    for writer in &writers {
        for round in [5, 15, 25, 35] {
            store.erase_payload(writer.session, Sequence(round + 1)).await.unwrap();
        }
    }
    assert_eq!(holds_secret(), 0);

    writer.append(&[secret]).await.unwrap();
    assert_ne!(holds_secret(), 0);
    store.delete(session(1)).await.unwrap();
    assert_eq!(holds_secret(), 0);
}

#[tokio::test]
async fn a_missing_event_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut writer = Writer::acquire(&ports(&store), session(1)).await;
    writer.append(&["one", "two", "three"]).await.unwrap();
    database(folder.path()).execute("DELETE FROM event WHERE id & 0xffffffff = 2", []).unwrap();
    let read = store.read(session(1), Sequence::START, 10).await;
    assert!(read.as_ref().is_err_and(|error| error.to_string().contains("event 2 of 3")), "{read:?}");
    assert_eq!(store.read(session(1), Sequence(2), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let writer = Writer::acquire(&ports(&store), session(1)).await;
    let many = vec!["x"; harness_store::APPEND_EVENTS_MAX + 1];
    let (append, _) = writer.batch(&many);
    assert!(store.append(vec![append]).await.is_err_and(|error| error.to_string().contains("10000")));
    let (append, _) = writer.batch(&many[1..]);
    store.append(vec![SessionAppend { ..append }]).await.unwrap();
}
