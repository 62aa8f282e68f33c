//! Logs that begin with another's events: whose they are, and what happens to them when sessions go.
//!
//! Promise: an event is stored once, whoever shares it. A session that is deleted leaves exactly the events that
//! a fork still needs; they go with the last such fork, and so do the contents that they brought.
//!
//! A row of `session` that is gone keeps its number, because events are found by it, and has a random key,
//! so that nobody finds it and the id is free. Not here: what the events say of it (harness-engine checks that).

use crate::append::storage;
use crate::schema::event_row;
use crate::store::{session_key, session_row, store_error};
use crate::writer::Desk;
use harness_core::envelope::Tip;
use harness_core::{Digest, Sequence, SessionId};
use harness_engine::ports::{Ancestor, AppendError, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

/// Events that stand in one row's range.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The row of `session` that they are stored under.
    pub(crate) owner: i64,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Whose they are, as their headers say.
    written_for: SessionId,
}

/// Where the beginning of a log stands that is not stored under its own row, in order.
pub(crate) fn parts(connection: &Connection, row: i64) -> rusqlite::Result<Vec<Place>> {
    let sql = "SELECT first, last, owner, written_for FROM part WHERE session = ?1 ORDER BY first";
    let mut statement = connection.prepare_cached(sql)?;
    let places = statement.query_map([row], |row| {
        Ok(Place {
            first: row.get::<_, i64>(0)? as u64,
            last: row.get::<_, i64>(1)? as u64,
            owner: row.get(2)?,
            written_for: SessionId::from_bits(u128::from_be_bytes(row.get(3)?)),
        })
    })?;
    places.collect()
}

/// Where the events `first` to `last` of a log stand, in order.
pub(crate) fn places(
    connection: &Connection,
    (row, session): (i64, SessionId),
    first: u64,
    last: u64,
) -> rusqlite::Result<Vec<Place>> {
    let mut places = parts(connection, row)?;
    let own = places.last().map_or(1, |part| part.last + 1);
    places.push(Place { owner: row, first: own, last, written_for: session });
    let clipped =
        places.into_iter().map(|place| Place { first: place.first.max(first), last: place.last.min(last), ..place });
    Ok(clipped.filter(|place| place.first <= place.last).collect())
}

/// The row number of one event.
pub(crate) fn event_key(connection: &Connection, row: i64, sequence: u64) -> rusqlite::Result<i64> {
    let parts = parts(connection, row)?;
    let part = parts.iter().find(|part| (part.first..=part.last).contains(&sequence));
    Ok(event_row(part.map_or(row, |part| part.owner), sequence))
}

pub(crate) fn lineage(connection: &Connection, session: SessionId) -> Result<Vec<Ancestor>, StoreError> {
    let row = session_row(connection, session).map_err(store_error)?.ok_or(StoreError::NotFound(session))?;
    let mut lineage: Vec<Ancestor> = Vec::new();
    for part in parts(connection, row).map_err(store_error)? {
        let ancestor = Ancestor { session: part.written_for, last: Sequence(part.last) };
        match lineage.last_mut() {
            Some(before) if before.session == ancestor.session => before.last = ancestor.last,
            _ => lineage.push(ancestor),
        }
    }
    Ok(lineage)
}

/// Has a session without events begin as another one does, up to `at`.
pub(crate) fn begin_as(connection: &Connection, row: i64, origin: SessionId, at: Tip) -> Result<(), AppendError> {
    let sql = "SELECT id, tip_sequence, is_erased FROM session WHERE session = ?1";
    let found = connection
        .prepare_cached(sql)
        .and_then(|mut find| {
            let found = find.query_row([session_key(origin)], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)? as u64, row.get::<_, bool>(2)?))
            });
            found.optional()
        })
        .map_err(storage)?;
    let (origin_row, tip, is_erased) = found.ok_or(AppendError::NotFound(origin))?;
    let key = event_key(connection, origin_row, at.sequence.0).map_err(storage)?;
    let header: Option<Vec<u8>> = connection
        .prepare_cached("SELECT header FROM event WHERE id = ?1")
        .and_then(|mut find| find.query_row([key], |row| row.get(0)).optional())
        .map_err(storage)?;
    let is_there = at.sequence.0 <= tip && header.is_some_and(|header| Digest::of(&header) == at.hash);
    if !is_there {
        return Err(AppendError::Tip { session: origin, expected: at.sequence, found: Sequence(tip) });
    }
    let places = places(connection, (origin_row, origin), 1, at.sequence.0).map_err(storage)?;
    add_parts(connection, row, &places).map_err(storage)?;
    set_tip(connection, row, at, is_erased).map_err(storage)
}

fn add_parts(connection: &Connection, row: i64, places: &[Place]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO part (session, first, last, owner, written_for) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = connection.prepare_cached(sql)?;
    for place in places {
        let Place { owner, first, last, written_for } = *place;
        insert.execute(params![row, first as i64, last as i64, owner, session_key(written_for)])?;
    }
    Ok(())
}

fn set_tip(connection: &Connection, row: i64, tip: Tip, is_erased: bool) -> rusqlite::Result<()> {
    let sql = "UPDATE session SET tip_sequence = ?2, tip_hash = ?3, is_erased = ?4 WHERE id = ?1";
    connection.prepare_cached(sql)?.execute(params![row, tip.sequence.0 as i64, tip.hash.0, is_erased])?;
    Ok(())
}

/// Makes a row for events from elsewhere, which no session has as its own.
pub(crate) fn add_owner(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO session (session, epoch, tip_sequence, tip_hash, is_gone)
               VALUES (randomblob(16), 0, 0, zeroblob(32), 1)";
    connection.prepare_cached(sql)?.execute([])?;
    Ok(connection.last_insert_rowid())
}

/// Has a session without events begin with those that stand under `owner`.
pub(crate) fn begin_with(
    connection: &Connection,
    row: i64,
    owner: i64,
    lineage: &[Ancestor],
    (tip, is_erased): (Tip, bool),
) -> rusqlite::Result<()> {
    let mut first = 1;
    let mut places = Vec::new();
    for ancestor in lineage {
        places.push(Place { owner, first, last: ancestor.last.0, written_for: ancestor.session });
        first = ancestor.last.0 + 1;
    }
    add_parts(connection, row, &places)?;
    set_tip(connection, row, tip, is_erased)
}

/// Takes away what a session had, but for what forks need. Its row is gone afterwards, or stays as one that is gone.
pub(crate) fn delete(desk: &mut Desk, row: i64) -> rusqlite::Result<()> {
    let connection = &desk.connection;
    let owners: Vec<i64> = connection
        .prepare_cached("SELECT DISTINCT owner FROM part WHERE session = ?1 AND owner <> ?1")?
        .query_map([row], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    connection.prepare_cached("DELETE FROM part WHERE session = ?1")?.execute([row])?;
    let sql = "UPDATE session SET session = randomblob(16), is_gone = 1, holder_machine = NULL, holder_pid = NULL,
               holder_start = NULL WHERE id = ?1";
    connection.prepare_cached(sql)?.execute([row])?;
    shrink(desk, row)?;
    for owner in owners {
        let sql = "SELECT is_gone FROM session WHERE id = ?1";
        let is_gone = desk.connection.prepare_cached(sql)?.query_row([owner], |row| row.get(0)).optional()?;
        if is_gone == Some(true) {
            shrink(desk, owner)?;
        }
    }
    Ok(())
}

/// Takes from a row that is gone what no fork needs any more.
fn shrink(desk: &mut Desk, row: i64) -> rusqlite::Result<()> {
    let connection = &desk.connection;
    let needed: Option<i64> =
        connection.prepare_cached("SELECT max(last) FROM part WHERE owner = ?1")?.query_row([row], |row| row.get(0))?;
    let needed = needed.unwrap_or(0);
    for table in ["said WHERE rowid", "said_due WHERE id", "payload WHERE id", "event WHERE id"] {
        let sql = format!("DELETE FROM {table} BETWEEN ?1 AND ?2");
        connection.prepare_cached(&sql)?.execute([event_row(row, needed as u64 + 1), event_row(row + 1, 0) - 1])?;
    }
    crate::blobs::release(desk, row, if needed == 0 { -1 } else { needed })?;
    if needed == 0 {
        desk.connection.prepare_cached("DELETE FROM session WHERE id = ?1")?.execute([row])?;
    }
    Ok(())
}
