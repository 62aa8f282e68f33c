//! The log: reading events back, and erasing payloads.
//!
//! Promise: a read is gap-free and never shorter than asked except at the end of the log; a stored gap
//! is reported as damage.
//!
//! Erasing deletes the payload's row with its salt, has SQLite overwrite the bytes (`secure_delete`) and
//! cuts the write-ahead log, so that what was erased does not stay behind there. Copies that the file
//! system, a snapshot or a backup made are beyond our reach.

use crate::append::{self, content_bytes, weight_bytes};
use crate::blobs::INLINE_BLOB_BYTES_MAX;
use crate::schema::{SEQUENCE_BITS, SESSION_EVENTS_MAX, event_row};
use crate::store::{SqliteStore, session_key, session_row, store_error};
use crate::writer::{Desk, Kind};
use crate::{checkpoint, import, lineage, said};
use async_trait::async_trait;
use harness_core::envelope::{Payload, Tip};
use harness_core::{Digest, Sequence, SessionId};
use harness_engine::ports::{
    Ancestor, AppendError, Checkpoint, EventLog, Import, SessionAppend, StoreError, StoredEvent,
};
use rusqlite::{Connection, OptionalExtension};

#[async_trait]
impl EventLog for SqliteStore {
    /// Beyond the port's promise: an append that breaks a limit or its own chain is refused as
    /// `Storage`, with words that say that nothing was written.
    async fn append(&self, appends: Vec<SessionAppend>) -> Result<(), AppendError> {
        let appends = if content_bytes(&appends) > INLINE_BLOB_BYTES_MAX {
            // Hashing megabytes would keep other sessions waiting on this thread.
            tokio::task::spawn_blocking(move || append::check(&appends).map(|()| appends))
                .await
                .map_err(|error| AppendError::Storage(error.to_string()))??
        } else {
            append::check(&appends)?;
            appends
        };
        let kind = Kind::Add(weight_bytes(&appends));
        let work = move |desk: &mut Desk| append::write(desk, &appends);
        self.shared.writer.submit(kind, AppendError::Storage, work).await
    }

    async fn read(
        &self,
        session: SessionId,
        after: Sequence,
        events_max: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let work = move |connection: &Connection| read(connection, session, after, events_max);
        self.shared.readers.read(StoreError::Storage, work).await
    }

    async fn tip(&self, session: SessionId) -> Result<Tip, StoreError> {
        let work = move |connection: &Connection| Ok(find_tip(connection, session)?.1);
        self.shared.readers.read(StoreError::Storage, work).await
    }

    /// Erasing what is erased already is no error.
    async fn erase_payload(&self, session: SessionId, sequence: Sequence) -> Result<(), StoreError> {
        let work = move |desk: &mut Desk| erase(desk, session, sequence);
        self.shared.writer.submit(Kind::Remove, StoreError::Storage, work).await
    }

    async fn lineage(&self, session: SessionId) -> Result<Vec<Ancestor>, StoreError> {
        let work = move |connection: &Connection| lineage::lineage(connection, session);
        self.shared.readers.read(StoreError::Storage, work).await
    }

    async fn checkpoint(&self, session: SessionId, up_to: Sequence) -> Result<Option<Checkpoint>, StoreError> {
        let work = move |connection: &Connection| checkpoint::newest(connection, session, up_to);
        self.shared.readers.read(StoreError::Storage, work).await
    }

    async fn segments(&self, session: SessionId, first: u32, bytes_max: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let work = move |connection: &Connection| checkpoint::segments(connection, session, first, bytes_max);
        self.shared.readers.read(StoreError::Storage, work).await
    }

    async fn drop_checkpoints(&self, session: SessionId) -> Result<(), StoreError> {
        let work = move |desk: &mut Desk| {
            let row = session_row(&desk.connection, session).map_err(store_error)?;
            let row = row.ok_or(StoreError::NotFound(session))?;
            checkpoint::delete(&desk.connection, row).map_err(store_error)
        };
        self.shared.writer.submit(Kind::Remove, StoreError::Storage, work).await
    }

    async fn import(&self, import: Import) -> Result<(), AppendError> {
        append::check(std::slice::from_ref(&import.append))?;
        let work = move |desk: &mut Desk| import::write(desk, import);
        self.shared.writer.submit(Kind::Remove, AppendError::Storage, work).await
    }
}

fn find_tip(connection: &Connection, session: SessionId) -> Result<(i64, Tip), StoreError> {
    connection
        .prepare_cached("SELECT id, tip_sequence, tip_hash FROM session WHERE session = ?1")
        .and_then(|mut statement| {
            let found = statement.query_row([session_key(session)], |row| {
                let tip = Tip { sequence: Sequence(row.get::<_, i64>(1)? as u64), hash: Digest(row.get(2)?) };
                Ok((row.get(0)?, tip))
            });
            found.optional()
        })
        .map_err(store_error)?
        .ok_or(StoreError::NotFound(session))
}

fn read(
    connection: &Connection,
    session: SessionId,
    after: Sequence,
    events_max: usize,
) -> Result<Vec<StoredEvent>, StoreError> {
    let (row, tip) = find_tip(connection, session)?;
    let expected = usize::try_from(tip.sequence.0.saturating_sub(after.0)).unwrap_or(usize::MAX).min(events_max);
    if expected == 0 {
        return Ok(Vec::new());
    }
    let first = after.0 + 1;
    let mut events = Vec::with_capacity(expected);
    for place in lineage::places(connection, (row, session), first, after.0 + expected as u64).map_err(store_error)? {
        read_place(connection, &place, &mut events).map_err(store_error)?;
        if first + events.len() as u64 <= place.last {
            break;
        }
    }
    if events.len() == expected {
        return Ok(events);
    }
    let missing = first + events.len() as u64;
    Err(StoreError::Damaged(format!("{session}: event {missing} of {} is missing. Restore a backup", tip.sequence)))
}

/// Reads on, up to the first gap.
fn read_place(connection: &Connection, place: &lineage::Place, events: &mut Vec<StoredEvent>) -> rusqlite::Result<()> {
    let sql = "SELECT event.id, header, salt, bytes FROM event LEFT JOIN payload ON payload.id = event.id
               WHERE event.id BETWEEN ?1 AND ?2 ORDER BY event.id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([event_row(place.owner, place.first), event_row(place.owner, place.last)])?;
    let mut sequence = place.first;
    while let Some(stored) = rows.next()? {
        if stored.get::<_, i64>(0)? != event_row(place.owner, sequence) {
            break;
        }
        events.push(stored_event(stored)?);
        sequence += 1;
    }
    Ok(())
}

fn stored_event(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredEvent> {
    let payload = match row.get::<_, Option<[u8; 16]>>(2)? {
        None => None,
        Some(salt) => Some(Payload { salt, bytes: row.get(3)? }),
    };
    Ok(StoredEvent { header_bytes: row.get(1)?, payload })
}

fn erase(desk: &mut Desk, session: SessionId, sequence: Sequence) -> Result<(), StoreError> {
    let (row, tip) = find_tip(&desk.connection, session)?;
    let key = lineage::event_key(&desk.connection, row, sequence.0.min(SESSION_EVENTS_MAX)).map_err(store_error)?;
    let known = desk
        .connection
        .prepare_cached("SELECT 1 FROM event WHERE id = ?1")
        .and_then(|mut statement| statement.exists([key]))
        .map_err(store_error)?;
    if !known || sequence > tip.sequence {
        return Err(StoreError::Storage(format!("{session} has no event {sequence} to erase")));
    }
    let deleted = desk
        .connection
        .prepare_cached("DELETE FROM payload WHERE id = ?1")
        .and_then(|mut statement| statement.execute([key]))
        .map_err(store_error)?;
    desk.erased |= deleted > 0;
    forget(&desk.connection, key, sequence).map_err(store_error)
}

/// Takes away what was derived from an event that was erased, in every session that has it.
fn forget(connection: &Connection, key: i64, sequence: Sequence) -> rusqlite::Result<()> {
    said::erase(connection, key)?;
    let owner = key >> SEQUENCE_BITS;
    let sql = "SELECT ?1 UNION SELECT session FROM part WHERE owner = ?1 AND ?2 BETWEEN first AND last";
    let sharing: Vec<i64> = connection
        .prepare_cached(sql)?
        .query_map([owner, sequence.0 as i64], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for row in sharing {
        checkpoint::delete(connection, row)?;
        connection.prepare_cached("UPDATE session SET is_erased = 1 WHERE id = ?1")?.execute([row])?;
    }
    Ok(())
}
