//! What was said is found at once, whether it stands in the index or is due to be moved there, and goes with what
//! is erased or deleted.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_core::Sequence;
use harness_engine::ports::{EventLog, Index, Said, SessionAppend, SessionFilter};
use harness_sim::conformance::{Stores, Writer, session, summary, titles};
use harness_store::{DATABASE_FILE, FaultOptions, SAID_TURN_ROWS_MAX, SqliteStore, StoreOptions, this_process};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Words stay due: nothing here is quiet for an hour.
const STAY: u64 = 3_600_000;
/// Words are moved after each commit that nothing follows at once.
const MOVE: u64 = 0;

fn open(dir: &Path, quiet_ms: u64) -> SqliteStore {
    let faults = FaultOptions { quiet_ms: Some(quiet_ms), ..FaultOptions::default() };
    SqliteStore::open(dir, StoreOptions { faults, ..StoreOptions::default() }).unwrap()
}

async fn writer(store: &SqliteStore, number: u64) -> Writer {
    let store = Arc::new(store.clone());
    let ports = Stores::of(store, this_process(), this_process(), |_| unreachable!("nothing is damaged here"));
    Writer::acquire(&ports, session(number)).await
}

/// Appends an event for each text, in which that was said.
async fn say(writer: &mut Writer, store: &SqliteStore, texts: &[&str]) {
    let (append, tip) = writer.batch(&vec!["said"; texts.len()]);
    let sequences = writer.tip.sequence.0 + 1..;
    let said = sequences.zip(texts).map(|(at, text)| Said { sequence: Sequence(at), text: (*text).to_owned() });
    let row = Some(summary(writer.session, "t", "/w", 1));
    store.append(vec![SessionAppend { said: said.collect(), summary: row, ..append }]).await.unwrap();
    writer.tip = tip;
}

async fn found(store: &SqliteStore, search: &str) -> u64 {
    store.count(SessionFilter { search: Some(search.to_owned()), ..SessionFilter::default() }).await.unwrap()
}

fn database(dir: &Path) -> rusqlite::Connection {
    let database = rusqlite::Connection::open(dir.join(DATABASE_FILE)).unwrap();
    database.busy_timeout(Duration::from_secs(10)).unwrap();
    database
}

/// Events whose words are due, and those whose words are in the index.
fn due_and_moved(dir: &Path) -> (usize, usize) {
    let counts = "SELECT (SELECT count(*) FROM said_due), (SELECT count(*) FROM said)";
    database(dir)
        .query_row(counts, [], |row| Ok((row.get::<_, u32>(0)? as usize, row.get::<_, u32>(1)? as usize)))
        .unwrap()
}

/// Waits until nothing is due any more.
fn drained(dir: &Path) -> usize {
    for _ in 0..2_000 {
        if let (0, moved) = due_and_moved(dir) {
            return moved;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("still due: {:?}", due_and_moved(dir));
}

/// Has the words in the place that a test is about.
fn settle(dir: &Path, quiet_ms: u64) {
    match quiet_ms {
        STAY => assert!(matches!(due_and_moved(dir), (1.., 0)), "{:?}", due_and_moved(dir)),
        _ => assert_ne!(drained(dir), 0),
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_found_at_once_everywhere() {
    for quiet_ms in [STAY, MOVE] {
        let folder = tempfile::tempdir().unwrap();
        let (store, other) = (open(folder.path(), quiet_ms), open(folder.path(), STAY));
        let mut writer = writer(&store, 1).await;
        for number in 0..20 {
            let (text, search) = (format!("it is number{number} now"), format!("number{number} now"));
            say(&mut writer, &store, &[&text]).await;
            assert_eq!((found(&store, &search).await, found(&other, &search).await), (1, 1), "{search}");
        }
        settle(folder.path(), quiet_ms);
        drop((store, other, writer));
        // In the state that the process left, and while it is moved.
        for quiet_ms in [STAY, MOVE] {
            let store = open(folder.path(), quiet_ms);
            for number in 0..20 {
                assert_eq!(found(&store, &format!("number{number} now")).await, 1);
            }
            assert_eq!(found(&store, "number").await, 1, "the beginning of a word");
            assert_eq!(found(&store, "number20").await, 0);
            if quiet_ms == MOVE {
                assert_eq!(drained(folder.path()), 20);
            }
        }
    }
}

#[tokio::test]
async fn the_queue_drains_by_turns_while_there_is_other_work() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), STAY);
    let mut writer = writer(&store, 1).await;
    let texts: Vec<String> = (0..2 * SAID_TURN_ROWS_MAX + 10).map(|number| format!("word{number}")).collect();
    say(&mut writer, &store, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for turns in 1..=2 {
        // A turn comes before the next change.
        writer.append(&["other"]).await.unwrap();
        let (due, moved) = due_and_moved(folder.path());
        assert_eq!(due + moved, texts.len(), "each word is in one place");
        assert!(moved >= turns * SAID_TURN_ROWS_MAX, "{moved} moved after {turns} turns");
    }
    writer.append(&["other"]).await.unwrap();
    assert_eq!(due_and_moved(folder.path()), (10, 2 * SAID_TURN_ROWS_MAX), "few can wait");
    for text in texts.iter().step_by(50) {
        assert_eq!(found(&store, text).await, 1, "{text}");
    }
    assert_eq!(found(&store, texts.last().unwrap()).await, 1);
}

#[tokio::test]
async fn more_than_a_turn_of_due_words_is_searched() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), STAY);
    database(folder.path()).execute_batch(REFUSE_MOVES).unwrap();
    let mut writer = writer(&store, 1).await;
    // Some turns end by their rows, some by their bytes.
    let long = "long ".repeat(20_000);
    for part in 0..4 {
        let texts: Vec<String> = (0..SAID_TURN_ROWS_MAX).map(|number| format!("word{part}x{number}")).collect();
        let mut texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        texts.extend([long.as_str(); 4]);
        say(&mut writer, &store, &texts).await;
    }
    assert_eq!(due_and_moved(folder.path()), (4 * (SAID_TURN_ROWS_MAX + 4), 0));
    for part in 0..4 {
        assert_eq!(found(&store, &format!("word{part}x0")).await, 1);
        assert_eq!(found(&store, &format!("word{part}x{}", SAID_TURN_ROWS_MAX - 1)).await, 1);
    }
    assert_eq!(found(&store, "word4x0").await, 0);
}

/// Has every turn fail.
const REFUSE_MOVES: &str = "CREATE TRIGGER refuse BEFORE DELETE ON said_due BEGIN SELECT RAISE(ABORT, 'refused'); END";

#[tokio::test]
async fn words_that_cannot_be_moved_hinder_no_append_and_are_moved_later() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), MOVE);
    database(folder.path()).execute_batch(REFUSE_MOVES).unwrap();
    let mut writer = writer(&store, 1).await;
    for number in 0..5 {
        say(&mut writer, &store, &[&format!("number{number}")]).await;
        // Nothing of a turn that failed stays.
        assert_eq!(due_and_moved(folder.path()), (number + 1, 0));
        assert_eq!(found(&store, &format!("number{number}")).await, 1);
    }
    database(folder.path()).execute_batch("DROP TRIGGER refuse").unwrap();
    say(&mut writer, &store, &["number5"]).await;
    assert_eq!(drained(folder.path()), 6);
    assert_eq!(found(&store, "number3").await, 1);
    assert_eq!(titles(&store, session(1)).await.len(), 6);
}

#[tokio::test]
async fn nobody_waits_for_another_process_to_move_words() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), STAY);
    let mut writer = writer(&store, 1).await;
    say(&mut writer, &store, &["swordfish"]).await;
    drop((store, writer));
    // It has words to move and cannot: it tries on.
    let other = database(folder.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let store = open(folder.path(), MOVE);
    assert_eq!(found(&store, "swordfish").await, 1);
    assert_eq!(due_and_moved(folder.path()), (1, 0));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(drained(folder.path()), 1);
    assert_eq!(found(&store, "swordfish").await, 1);
}

#[tokio::test]
async fn erased_words_are_not_in_the_file_any_more() {
    for (quiet_ms, is_deleted) in [(STAY, false), (MOVE, false), (STAY, true), (MOVE, true)] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), quiet_ms);
        let (mut kept, mut secret) = (writer(&store, 1).await, writer(&store, 2).await);
        for number in 0..50 {
            say(&mut kept, &store, &[&format!("plain words number {number}")]).await;
            say(&mut secret, &store, &[&format!("plain words number {number}")]).await;
        }
        say(&mut secret, &store, &["the swordfishpassphrase of the vault"]).await;
        assert_eq!(found(&store, "swordfishpassphrase").await, 1);
        settle(folder.path(), quiet_ms);
        let holds_it = || {
            let files = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
            let holds = |path: &Path| std::fs::read(path).unwrap().windows(12).any(|window| window == b"swordfishpas");
            files.filter(|path| path.is_file() && holds(path)).count()
        };
        assert_ne!(holds_it(), 0, "the test looks in the wrong place");
        if is_deleted {
            store.delete(session(2)).await.unwrap();
        } else {
            store.erase_payload(session(2), Sequence(51)).await.unwrap();
        }
        assert_eq!(holds_it(), 0);
        assert_eq!(found(&store, "swordfishpassphrase").await, 0);
        assert_eq!(found(&store, "words number 49").await, if is_deleted { 1 } else { 2 });
        let (due, moved) = due_and_moved(folder.path());
        assert_eq!(due + moved, if is_deleted { 50 } else { 100 });
        drop((store, kept, secret));
        assert_eq!(holds_it(), 0);
    }
}

#[tokio::test]
async fn a_fork_is_found_by_what_it_shares_and_keeps_it() {
    for quiet_ms in [STAY, MOVE] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), quiet_ms);
        let (mut origin, mut fork) = (writer(&store, 1).await, writer(&store, 2).await);
        say(&mut origin, &store, &["shared"]).await;
        fork.tip = origin.tip;
        say(&mut origin, &store, &["apart"]).await;
        let (append, _) = fork.batch(&["fork"]);
        let row = Some(summary(session(2), "t", "/w", 1));
        store.append(vec![SessionAppend { fork_of: Some(session(1)), summary: row, ..append }]).await.unwrap();
        settle(folder.path(), quiet_ms);
        assert_eq!((found(&store, "shared").await, found(&store, "apart").await), (2, 1));
        store.delete(session(1)).await.unwrap();
        assert_eq!((found(&store, "shared").await, found(&store, "apart").await), (1, 0));
        store.delete(session(2)).await.unwrap();
        assert_eq!(due_and_moved(folder.path()), (0, 0));
    }
}

#[tokio::test]
async fn whatever_characters_are_searched_for_what_was_said_is_found() {
    for quiet_ms in [STAY, MOVE] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), quiet_ms);
        let mut writer = writer(&store, 1).await;
        let text = "Two cafés (\"crème\" AND x*y) · naïve NEAR/2 हिन्दी 中文 a%b_c";
        say(&mut writer, &store, &[text]).await;
        settle(folder.path(), quiet_ms);
        for (search, count) in [
            ("cafés", 1),
            ("\"crème\"", 1),
            ("AND x", 1),
            ("x*y)", 1),
            ("NEAR/2", 1),
            ("हिन्दी", 1),
            ("中文", 1),
            ("a%b", 1),
            ("\u{301}", 0),
            ("' OR 1=1 --", 0),
            ("text:two", 0),
            ("%", 0),
            ("\0", 0),
            (&"no ".repeat(10_000), 0),
        ] {
            assert_eq!(found(&store, search).await, count, "{}", search.escape_debug().take(40).collect::<String>());
        }
    }
}
