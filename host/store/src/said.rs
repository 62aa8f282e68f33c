//! The words of conversations, for searching: an FTS5 table derived from the log, with a row for each event that
//! has words.
//!
//! Promise: words go with their event, also from the index's own pages (`secure-delete`, SQLite's FTS5 page,
//! section 6.9). The table can be made again from the log at any time.
//!
//! Not here: which words of an event count (harness-engine).

use crate::schema::{SAID_OF_PAYLOADS, event_row};
use crate::store::{SqliteStore, store_error};
use crate::writer::{Desk, Kind};
use harness_engine::ports::{Said, StoreError};
use rusqlite::{Connection, params};

/// Words of one search that count.
const WORDS_MAX: usize = 16;

/// Adds words to events of a row.
pub(crate) fn write(connection: &Connection, owner: i64, said: &[Said]) -> rusqlite::Result<()> {
    for Said { sequence, text } in said {
        connection
            .prepare_cached("INSERT INTO said (rowid, text) VALUES (?1, ?2)")?
            .execute(params![event_row(owner, sequence.0), text])?;
    }
    Ok(())
}

/// Takes an event's words away.
pub(crate) fn erase(connection: &Connection, key: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM said WHERE rowid = ?1")?.execute([key])?;
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
            desk.connection.execute_batch("DELETE FROM said").map_err(store_error)?;
            desk.connection.execute_batch(SAID_OF_PAYLOADS).map_err(store_error)
        };
        self.shared.writer.submit(Kind::Remove, StoreError::Storage, work).await
    }
}
