//! Inboxes: what any process gives a session, kept until its writer takes it, and then what came of it.
//!
//! Promise: what was put is durable; what an append consumed was waiting, and goes with that append or not at all.
//! Places only grow, also over deletions.
//!
//! Whoever waits sees what this process puts at once. For other processes one of those who wait looks at the newest
//! place on behalf of all, every [`INBOX_LOOK_MS`]: one row that stays in the reader's cache while the database does
//! not change.

use crate::store::{SqliteStore, session_row, store_error};
use crate::writer::{Desk, Kind};
use async_trait::async_trait;
use harness_core::{InboxId, Sequence, SessionId};
use harness_engine::ports::{
    AppendError, Clock, Consumed, INBOX_BYTES_MAX, INBOX_ENTRIES_MAX, INBOX_LOOK_MS, INBOX_OUTCOMES_MAX, Inbox,
    InboxEntry, InboxError, InboxOutcome, InboxReceipt, StoreError, UnreadEntry,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::{Mutex, watch};

/// What those who wait for entries share.
#[derive(Default)]
pub(crate) struct Mail {
    /// The largest place known to this process.
    newest: watch::Sender<u64>,
    /// Held by the one who looks.
    looking: Mutex<()>,
}

#[async_trait]
impl Inbox for SqliteStore {
    async fn put(&self, session: SessionId, entry: InboxEntry) -> Result<(), InboxError> {
        entry.check()?;
        let kind = Kind::Add(entry.input.len());
        let work = move |desk: &mut Desk| put(&desk.connection, session, &entry);
        let place = self.shared.writer.submit(kind, InboxError::Storage, work).await?;
        self.shared.mail.tell(place);
        Ok(())
    }

    async fn unread(&self, session: SessionId, after: u64, entries_max: usize) -> Result<Vec<UnreadEntry>, StoreError> {
        let work = move |connection: &Connection| {
            let row = session_row(connection, session).map_err(store_error)?.ok_or(StoreError::NotFound(session))?;
            unread(connection, row, after, entries_max).map_err(store_error)
        };
        self.shared.readers.read(StoreError::Storage, work).await
    }

    async fn receipt(&self, session: SessionId, id: InboxId) -> Result<Option<InboxReceipt>, StoreError> {
        let work = move |connection: &Connection| {
            let row = session_row(connection, session).map_err(store_error)?.ok_or(StoreError::NotFound(session))?;
            let outcome = connection
                .prepare_cached("SELECT sequence, refusal FROM inbox WHERE session = ?1 AND id = ?2")
                .and_then(|mut find| find.query_row(params![row, id_key(id)], stored_outcome).optional())
                .map_err(store_error)?;
            Ok(outcome.map(|outcome| InboxReceipt { session, id, outcome }))
        };
        self.shared.readers.read(StoreError::Storage, work).await
    }

    async fn arrival(&self, session: SessionId, after: u64, clock: &dyn Clock) {
        let mail = &self.shared.mail;
        let (mut newest, mut seen) = (mail.newest.subscribe(), after);
        loop {
            let now = *newest.borrow_and_update();
            if now > seen {
                match self.unread(session, seen, 1).await {
                    Ok(unread) if !unread.is_empty() => return,
                    Ok(_) => seen = now,
                    Err(error) => tracing::debug!(%session, %error, "an inbox could not be read"),
                }
            }
            let look = async {
                let _turn = mail.looking.lock().await;
                clock.sleep(INBOX_LOOK_MS).await;
                self.newest_place().await
            };
            tokio::select! {
                biased;
                // Whoever looks hears of what others found, too.
                changed = newest.changed() => if changed.is_err() {
                    return std::future::pending().await;
                },
                found = look => match found {
                    Ok(place) => mail.tell(place),
                    Err(error) => tracing::debug!(%error, "the inboxes could not be looked at"),
                },
            }
        }
    }
}

impl Mail {
    fn tell(&self, place: u64) {
        self.newest.send_if_modified(|newest| {
            let is_new = place > *newest;
            *newest = place.max(*newest);
            is_new
        });
    }
}

impl SqliteStore {
    async fn newest_place(&self) -> Result<u64, StoreError> {
        let work = |connection: &Connection| {
            let sql = "SELECT coalesce(max(place), 0) FROM inbox";
            let place =
                connection.prepare_cached(sql).and_then(|mut find| find.query_row([], |row| row.get::<_, i64>(0)));
            place.map(i64::unsigned_abs).map_err(store_error)
        };
        self.shared.readers.read(StoreError::Storage, work).await
    }
}

fn id_key(id: InboxId) -> [u8; 16] {
    id.bits().to_be_bytes()
}

/// Gives the place of the entry, new or known.
fn put(connection: &Connection, session: SessionId, entry: &InboxEntry) -> Result<u64, InboxError> {
    let storage = |error: rusqlite::Error| InboxError::Storage(error.to_string());
    let row = session_row(connection, session).map_err(storage)?.ok_or(InboxError::NotFound(session))?;
    let known = connection
        .prepare_cached("SELECT place FROM inbox WHERE session = ?1 AND id = ?2")
        .and_then(|mut find| find.query_row(params![row, id_key(entry.id)], |row| row.get::<_, i64>(0)).optional())
        .map_err(storage)?;
    if let Some(place) = known {
        return Ok(place.unsigned_abs());
    }
    let sql = "SELECT count(*), coalesce(sum(octet_length(input)), 0) FROM inbox
               WHERE session = ?1 AND input IS NOT NULL";
    let (entries, bytes): (i64, i64) = connection
        .prepare_cached(sql)
        .and_then(|mut sum| sum.query_row([row], |row| Ok((row.get(0)?, row.get(1)?))))
        .map_err(storage)?;
    let bytes = bytes.unsigned_abs() + entry.input.len() as u64;
    if entries.unsigned_abs() >= INBOX_ENTRIES_MAX as u64 || bytes > INBOX_BYTES_MAX as u64 {
        return Err(InboxError::Full(session));
    }
    connection
        .prepare_cached("INSERT INTO inbox (session, id, principal, input) VALUES (?1, ?2, ?3, ?4)")
        .and_then(|mut insert| insert.insert(params![row, id_key(entry.id), entry.principal, entry.input]))
        .map(i64::unsigned_abs)
        .map_err(storage)
}

fn unread(connection: &Connection, row: i64, after: u64, entries_max: usize) -> rusqlite::Result<Vec<UnreadEntry>> {
    let sql = "SELECT place, id, principal, input FROM inbox
               WHERE session = ?1 AND place > ?2 AND input IS NOT NULL ORDER BY place LIMIT ?3";
    let (after, limit) = (i64::try_from(after).unwrap_or(i64::MAX), i64::try_from(entries_max).unwrap_or(i64::MAX));
    let read = |row: &Row<'_>| {
        let id = InboxId::from_bits(u128::from_be_bytes(row.get(1)?));
        let entry = InboxEntry { id, principal: row.get(2)?, input: row.get(3)? };
        Ok(UnreadEntry { place: row.get::<_, i64>(0)?.unsigned_abs(), entry })
    };
    connection.prepare_cached(sql)?.query_map(params![row, after, limit], read)?.collect()
}

fn stored_outcome(row: &Row<'_>) -> rusqlite::Result<Option<InboxOutcome>> {
    let accepted = row.get::<_, Option<i64>>(0)?.map(|at| InboxOutcome::Accepted { sequence: Sequence(at as u64) });
    let refused = row.get::<_, Option<String>>(1)?.map(|words| InboxOutcome::Refused { words });
    Ok(accepted.or(refused))
}

/// Takes entries away as part of the transaction under way, and keeps what came of them for a while.
pub(crate) fn consume(
    connection: &Connection,
    session: SessionId,
    row: i64,
    consumed: &[Consumed],
) -> Result<(), AppendError> {
    let storage = |error: rusqlite::Error| AppendError::Storage(error.to_string());
    for Consumed { id, outcome } in consumed {
        let (sequence, words) = match outcome {
            InboxOutcome::Accepted { sequence } => (Some(sequence.0 as i64), None),
            InboxOutcome::Refused { words } => (None, Some(words)),
        };
        let sql = "UPDATE inbox SET input = NULL, sequence = ?3, refusal = ?4
                   WHERE session = ?1 AND id = ?2 AND input IS NOT NULL";
        let taken = connection
            .prepare_cached(sql)
            .and_then(|mut update| update.execute(params![row, id_key(*id), sequence, words]))
            .map_err(storage)?;
        if taken != 1 {
            return Err(AppendError::Storage(format!("refused, nothing was written: {session} has no {id} to take")));
        }
    }
    if consumed.is_empty() { Ok(()) } else { drop_oldest(connection, row).map_err(storage) }
}

fn drop_oldest(connection: &Connection, row: i64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM inbox WHERE session = ?1 AND input IS NULL AND place <= (
                   SELECT place FROM inbox WHERE session = ?1 AND input IS NULL ORDER BY place DESC LIMIT 1 OFFSET ?2)";
    connection.prepare_cached(sql)?.execute(params![row, INBOX_OUTCOMES_MAX as i64]).map(drop)
}

/// Drops a session's inbox, as part of the transaction under way.
pub(crate) fn delete(connection: &Connection, row: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM inbox WHERE session = ?1")?.execute([row]).map(drop)
}
