//! Who may write a session.
//!
//! Promise: every acquisition gets a larger epoch than any before it, also after the session was
//! released, or deleted and made again. A holder in doubt counts as alive.
//!
//! After a release nobody may append, not even with the last epoch, until someone acquires again.

use crate::process::is_gone;
use crate::store::{SqliteStore, session_key};
use crate::writer::{Desk, Kind};
use async_trait::async_trait;
use harness_core::{Epoch, SessionId};
use harness_engine::ports::{Holder, Lease, LeaseError, Takeover};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// About what an acquisition writes. Bytes.
const LEASE_BYTES: usize = 256;

#[async_trait]
impl Lease for SqliteStore {
    async fn acquire(&self, session: SessionId, holder: &Holder, takeover: Takeover) -> Result<Epoch, LeaseError> {
        let holder = holder.clone();
        let work = move |desk: &mut Desk| acquire(&desk.connection, session, &holder, takeover);
        self.shared.writer.submit(Kind::Add(LEASE_BYTES), LeaseError::Storage, work).await
    }

    async fn release(&self, session: SessionId, epoch: Epoch) -> Result<(), LeaseError> {
        let work = move |desk: &mut Desk| {
            let sql = "UPDATE session SET holder_machine = NULL, holder_pid = NULL, holder_start = NULL
                       WHERE session = ?1 AND epoch = ?2";
            let mut release = desk.connection.prepare_cached(sql).map_err(storage)?;
            release.execute(params![session_key(session), epoch.0 as i64]).map_err(storage)?;
            Ok(())
        };
        self.shared.writer.submit(Kind::Add(LEASE_BYTES), LeaseError::Storage, work).await
    }

    async fn holder(&self, session: SessionId) -> Result<Option<Holder>, LeaseError> {
        let work = move |connection: &Connection| {
            Ok(find(connection, session).map_err(storage)?.and_then(|found| found.holder))
        };
        self.shared.readers.read(LeaseError::Storage, work).await
    }
}

struct Found {
    row: i64,
    epoch: i64,
    holder: Option<Holder>,
}

fn find(connection: &Connection, session: SessionId) -> rusqlite::Result<Option<Found>> {
    let sql = "SELECT id, epoch, holder_machine, holder_pid, holder_start FROM session WHERE session = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([session_key(session)], |row| {
        Ok(Found { row: row.get(0)?, epoch: row.get(1)?, holder: stored_holder(row)? })
    });
    found.optional()
}

fn stored_holder(row: &Row<'_>) -> rusqlite::Result<Option<Holder>> {
    let Some(pid) = row.get::<_, Option<u32>>(3)? else { return Ok(None) };
    let machine = row.get::<_, Option<String>>(2)?.unwrap_or_default();
    // A start time is an unsigned number; SQLite keeps its bits in a signed one.
    let process_start = row.get::<_, Option<i64>>(4)?.unwrap_or_default() as u64;
    Ok(Some(Holder { machine, pid, process_start }))
}

fn acquire(
    connection: &Connection,
    session: SessionId,
    holder: &Holder,
    takeover: Takeover,
) -> Result<Epoch, LeaseError> {
    let ours = (&holder.machine, holder.pid, holder.process_start as i64);
    let Some(found) = find(connection, session).map_err(storage)? else {
        let sql =
            "INSERT INTO session (session, epoch, tip_sequence, tip_hash, holder_machine, holder_pid, holder_start)
                   SELECT ?1, epoch_floor + 1, 0, zeroblob(32), ?2, ?3, ?4 FROM store RETURNING epoch";
        return connection
            .prepare_cached(sql)
            .and_then(|mut insert| {
                insert.query_row(params![session_key(session), ours.0, ours.1, ours.2], |row| row.get::<_, i64>(0))
            })
            .map(|epoch| Epoch(epoch as u64))
            .map_err(storage);
    };
    if takeover == Takeover::IfGone
        && let Some(theirs) = found.holder.filter(|theirs| !is_gone(theirs))
    {
        return Err(LeaseError::Held { session, holder: theirs });
    }
    let epoch = found.epoch + 1;
    connection
        .prepare_cached(
            "UPDATE session SET epoch = ?2, holder_machine = ?3, holder_pid = ?4, holder_start = ?5 WHERE id = ?1",
        )
        .and_then(|mut update| update.execute(params![found.row, epoch, ours.0, ours.1, ours.2]))
        .map_err(storage)?;
    Ok(Epoch(epoch as u64))
}

fn storage(error: rusqlite::Error) -> LeaseError {
    LeaseError::Storage(error.to_string())
}
