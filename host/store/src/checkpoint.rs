//! Checkpoints and the conversation's segments, beside the log.
//!
//! Promise: a checkpoint is kept whole with all its segments, or not at all, and never makes an append fail
//! for what is wrong with it alone. None is kept for a log of which something was erased. At most
//! [`CHECKPOINTS_MAX`] of a session stay, spread over its log, so that going back finds one not far away.
//!
//! Not here: what the bytes mean and whether they can be believed (harness-engine).

use crate::schema::{SEQUENCE_BITS, event_row};
use crate::store::{session_row, store_error};
use harness_core::envelope::Tip;
use harness_core::{Digest, Sequence, SessionId};
use harness_engine::ports::{Checkpoint, CheckpointWrite, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

/// Checkpoints of one session. They share their segments.
pub const CHECKPOINTS_MAX: usize = 16;

/// The rows of a session in a table whose keys are a session's row and a number.
fn range(row: i64) -> [i64; 2] {
    [event_row(row, 0), event_row(row + 1, 0) - 1]
}

fn number_of(key: i64) -> i64 {
    key & ((1 << SEQUENCE_BITS) - 1)
}

/// Keeps a checkpoint, as part of the transaction under way.
pub(crate) fn keep(connection: &Connection, row: i64, write: &CheckpointWrite) -> rusqlite::Result<()> {
    let CheckpointWrite { checkpoint, segments_kept, segments } = write;
    let standing = {
        let sql =
            "SELECT is_erased, (SELECT max(id) FROM segment WHERE id BETWEEN ?2 AND ?3) FROM session WHERE id = ?1";
        let [first, last] = range(row);
        let found = connection
            .prepare_cached(sql)?
            .query_row([row, first, last], |row| Ok((row.get::<_, bool>(0)?, row.get::<_, Option<i64>>(1)?)))?;
        match found {
            (true, _) => return Ok(()),
            (false, last) => last.map_or(0, |key| number_of(key) + 1),
        }
    };
    let kept = i64::from(*segments_kept);
    let whole = u32::try_from(segments.len()).ok().and_then(|fresh| segments_kept.checked_add(fresh));
    // Its writer may not know that they were dropped.
    if standing < kept || whole != Some(checkpoint.segments) {
        return Ok(());
    }
    if standing > kept {
        let [first, last] = range(row);
        let sql = "DELETE FROM checkpoint WHERE id BETWEEN ?1 AND ?2 AND segments > ?3";
        connection.prepare_cached(sql)?.execute([first, last, kept])?;
        let sql = "DELETE FROM segment WHERE id BETWEEN ?1 AND ?2";
        connection.prepare_cached(sql)?.execute([event_row(row, u64::from(*segments_kept)), last])?;
    }
    let mut insert = connection.prepare_cached("INSERT INTO segment (id, bytes) VALUES (?1, ?2)")?;
    for (number, bytes) in (u64::from(*segments_kept)..).zip(segments) {
        insert.execute(params![event_row(row, number), bytes])?;
    }
    let sql =
        "INSERT OR REPLACE INTO checkpoint (id, hash, core, format, segments, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let Checkpoint { tip, core, format, state, segments } = checkpoint;
    let key = event_row(row, tip.sequence.0);
    connection.prepare_cached(sql)?.execute(params![key, tip.hash.0, core, format, segments, state])?;
    thin_out(connection, row)
}

/// Drops the checkpoint that is missed least, where there are too many: the one between the two closest together.
fn thin_out(connection: &Connection, row: i64) -> rusqlite::Result<()> {
    let keys: Vec<i64> = connection
        .prepare_cached("SELECT id FROM checkpoint WHERE id BETWEEN ?1 AND ?2 ORDER BY id")?
        .query_map(range(row), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    if keys.len() <= CHECKPOINTS_MAX {
        return Ok(());
    }
    let before = std::iter::once(event_row(row, 0)).chain(keys.iter().copied());
    let gaps = before.zip(&keys).zip(keys.iter().skip(1)).map(|((before, key), after)| (after - before, *key));
    if let Some((_, key)) = gaps.min() {
        connection.prepare_cached("DELETE FROM checkpoint WHERE id = ?1")?.execute([key])?;
    }
    Ok(())
}

/// Drops all of a session's.
pub(crate) fn delete(connection: &Connection, row: i64) -> rusqlite::Result<()> {
    for table in ["checkpoint", "segment"] {
        let sql = format!("DELETE FROM {table} WHERE id BETWEEN ?1 AND ?2");
        connection.prepare_cached(&sql)?.execute(range(row))?;
    }
    Ok(())
}

/// The newest at `up_to` or before.
pub(crate) fn newest(
    connection: &Connection,
    session: SessionId,
    up_to: Sequence,
) -> Result<Option<Checkpoint>, StoreError> {
    let row = session_row(connection, session).map_err(store_error)?.ok_or(StoreError::NotFound(session))?;
    let [first, last] = range(row);
    let up_to = event_row(row, up_to.0.min(number_of(last) as u64));
    let sql = "SELECT id, hash, core, format, segments, state FROM checkpoint WHERE id BETWEEN ?1 AND ?2
               ORDER BY id DESC LIMIT 1";
    connection
        .prepare_cached(sql)
        .and_then(|mut find| {
            let found = find.query_row([first, up_to], |row| {
                let sequence = Sequence(number_of(row.get(0)?) as u64);
                Ok(Checkpoint {
                    tip: Tip { sequence, hash: Digest(row.get(1)?) },
                    core: row.get(2)?,
                    format: row.get(3)?,
                    segments: row.get(4)?,
                    state: row.get(5)?,
                })
            });
            found.optional()
        })
        .map_err(store_error)
}

/// Segments from `first` on, up to `bytes_max` but at least one.
pub(crate) fn segments(
    connection: &Connection,
    session: SessionId,
    first: u32,
    bytes_max: usize,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let row = session_row(connection, session).map_err(store_error)?.ok_or(StoreError::NotFound(session))?;
    let read = || {
        let mut statement =
            connection.prepare_cached("SELECT bytes FROM segment WHERE id BETWEEN ?1 AND ?2 ORDER BY id")?;
        let mut rows = statement.query([event_row(row, u64::from(first)), range(row)[1]])?;
        let (mut segments, mut bytes) = (Vec::new(), 0_usize);
        while bytes < bytes_max
            && let Some(row) = rows.next()?
        {
            let segment: Vec<u8> = row.get(0)?;
            bytes = bytes.saturating_add(segment.len());
            segments.push(segment);
        }
        Ok(segments)
    };
    read().map_err(store_error)
}
