//! The words of conversations, for searching: an FTS5 table derived from the log, with a row for each event that
//! has words.
//!
//! An append leaves its words in `said_due`, a plain table, because a commit that touches the index takes noticeably
//! longer. The writer moves them into the index when it has nothing else to do, or when there are many.
//!
//! Promise: a search finds what was acknowledged before it, moved or due, in every process and after every crash.
//! Words go with their event, also from the index's own pages (`secure-delete`, SQLite's FTS5 page, section 6.9).
//! The tables can be made again from the log at any time.
//!
//! Not here: which words of an event count (harness-engine); when words are moved (`writer`).

use crate::schema::{SAID_OF_PAYLOADS, SAID_TABLE, event_row};
use crate::store::{SqliteStore, store_error};
use crate::writer::{Desk, Kind};
use harness_engine::ports::{Said, StoreError};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

/// Words of one search that count.
const WORDS_MAX: usize = 16;
/// Events whose words are moved in one transaction. Once so many are due, they are moved even when there is other
/// work: as many as one commit has changes, so that appends of one text each get no lead.
pub const SAID_TURN_ROWS_MAX: usize = 256;
/// Bytes after which a turn takes no further row.
const TURN_BYTES_MAX: usize = 256 << 10;

/// Adds words to events of a row.
pub(crate) fn write(connection: &Connection, owner: i64, said: &[Said]) -> rusqlite::Result<()> {
    said.iter().try_for_each(|Said { sequence, text }| add(connection, event_row(owner, sequence.0), text))
}

fn add(connection: &Connection, key: i64, text: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("INSERT INTO said (rowid, text) VALUES (?1, ?2)")?.execute(params![key, text])?;
    Ok(())
}

/// Leaves words to be added to events of a row.
pub(crate) fn write_due(connection: &Connection, owner: i64, said: &[Said]) -> rusqlite::Result<()> {
    for Said { sequence, text } in said {
        connection
            .prepare_cached("INSERT INTO said_due (id, text) VALUES (?1, ?2)")?
            .execute(params![event_row(owner, sequence.0), text])?;
    }
    Ok(())
}

/// Due words whose key is larger, in the order of keys: as many as a turn takes.
fn due_after(connection: &Connection, key: i64) -> rusqlite::Result<Vec<(i64, String)>> {
    let sql = "SELECT id, text FROM said_due WHERE id > ?1 ORDER BY id LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![key, SAID_TURN_ROWS_MAX as i64])?;
    let (mut due, mut bytes) = (Vec::new(), 0);
    while bytes < TURN_BYTES_MAX
        && let Some(row) = rows.next()?
    {
        let text: String = row.get(1)?;
        bytes += text.len();
        due.push((row.get(0)?, text));
    }
    Ok(due)
}

/// Moves a turn's worth of due words into the index, as a transaction of its own. Says of how many events.
pub(crate) fn move_due(connection: &Connection) -> rusqlite::Result<usize> {
    // Looking takes no lock from others.
    if !connection.prepare_cached("SELECT 1 FROM said_due")?.exists([])? {
        return Ok(0);
    }
    let turn = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let due = due_after(&turn, 0)?;
    for (key, text) in &due {
        add(&turn, *key, text)?;
    }
    if let Some((last, _)) = due.last() {
        turn.prepare_cached("DELETE FROM said_due WHERE id <= ?1")?.execute([last])?;
    }
    turn.commit()?;
    Ok(due.len())
}

/// The keys of due words that match what [`query`] made. They are put into an index in memory, a turn's worth at a
/// time, so that the same is found in them as later.
pub(crate) fn matching_due(connection: &Connection, query: &str) -> rusqlite::Result<Vec<i64>> {
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let due = due_after(connection, after)?;
        let Some((last, _)) = due.last() else { return Ok(found) };
        after = *last;
        let memory = Connection::open_in_memory()?;
        let index = memory.unchecked_transaction()?;
        index.execute_batch(SAID_TABLE)?;
        for (key, text) in &due {
            add(&index, *key, text)?;
        }
        let mut matching = index.prepare("SELECT rowid FROM said WHERE said MATCH ?1")?;
        for key in matching.query_map([query], |row| row.get(0))? {
            found.push(key?);
        }
    }
}

/// Takes an event's words away.
pub(crate) fn erase(connection: &Connection, key: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM said WHERE rowid = ?1")?.execute([key])?;
    connection.prepare_cached("DELETE FROM said_due WHERE id = ?1")?.execute([key])?;
    Ok(())
}

/// What a search asks the table for (FTS5 query syntax): all the words, the last one as a beginning. None where
/// it has no words.
pub(crate) fn query(search: &str) -> Option<String> {
    let words: Vec<&str> = search.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let quoted: Vec<String> = words.iter().take(WORDS_MAX).map(|word| format!("\"{word}\"")).collect();
    (!quoted.is_empty()).then(|| quoted.join(" ") + "*")
}

impl SqliteStore {
    /// Makes the table of words again from the log. Other changes wait meanwhile.
    pub async fn rebuild_search(&self) -> Result<(), StoreError> {
        let work = |desk: &mut Desk| {
            desk.connection.execute_batch("DELETE FROM said; DELETE FROM said_due").map_err(store_error)?;
            desk.connection.execute_batch(SAID_OF_PAYLOADS).map_err(store_error)
        };
        self.shared.writer.submit(Kind::Remove, StoreError::Storage, work).await
    }
}
