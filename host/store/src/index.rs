//! The index of sessions: listing, one row, deleting.
//!
//! Promise: a session shows up with its first events and is gone with its log; a search takes its text
//! as it is, whatever characters are in it.
//!
//! Deleting asks nobody: a writer that holds the session finds it gone at its next append
//! (`NotFound`), and a session made again under that id has a larger epoch, so that the old writer stays
//! shut out. Whoever wants to ask first looks at `Lease::holder`.

use crate::schema::event_row;
use crate::store::{SqliteStore, session_key, session_row, store_error};
use crate::writer::{Desk, Kind};
use async_trait::async_trait;
use harness_core::{Digest, Sequence, SessionId, TimeMs};
use harness_engine::ports::{Index, SessionFilter, SessionStatus, SessionSummary, StoreError};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

const COLUMNS: &str = "session.session, title, workspace, model, created, updated, last_sequence, status, turns, usage";

#[async_trait]
impl Index for SqliteStore {
    /// Sessions of one update time come with the younger id first.
    async fn list(&self, filter: SessionFilter) -> Result<Vec<SessionSummary>, StoreError> {
        self.shared
            .readers
            .read(StoreError::Storage, move |connection| list(connection, &filter).map_err(store_error))
            .await
    }

    async fn summary(&self, session: SessionId) -> Result<SessionSummary, StoreError> {
        let work = move |connection: &Connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM session JOIN summary ON summary.session = session.id
                               WHERE session.session = ?1 AND tip_sequence > 0"
            );
            connection
                .prepare_cached(&sql)
                .and_then(|mut statement| statement.query_row([session_key(session)], stored_summary).optional())
                .map_err(store_error)?
                .ok_or(StoreError::NotFound(session))
        };
        self.shared.readers.read(StoreError::Storage, work).await
    }

    async fn delete(&self, session: SessionId) -> Result<(), StoreError> {
        let work = move |desk: &mut Desk| {
            let row = session_row(&desk.connection, session).map_err(store_error)?;
            let row = row.ok_or(StoreError::NotFound(session))?;
            delete(desk, row, session).map_err(store_error)
        };
        self.shared.writer.submit(Kind::Remove, StoreError::Storage, work).await
    }
}

fn list(connection: &Connection, filter: &SessionFilter) -> rusqlite::Result<Vec<SessionSummary>> {
    // instr() and not LIKE: `%` and `_` are letters here, and our folding covers more than ASCII.
    let mut sql = format!(
        "SELECT {COLUMNS} FROM summary JOIN session ON session.id = summary.session
                           WHERE tip_sequence > 0 AND (?2 IS NULL OR instr(folded, ?2) > 0)"
    );
    if filter.workspace.is_some() {
        sql.push_str(" AND workspace = ?1");
    } else {
        sql.push_str(" AND ?1 IS NULL");
    }
    sql.push_str(" ORDER BY updated DESC, session.session DESC LIMIT ?3 OFFSET ?4");
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let search = filter.search.as_ref().map(|text| text.to_lowercase());
    let mut statement = connection.prepare_cached(&sql)?;
    let parameters = params![filter.workspace, search, count(filter.sessions_max), count(filter.skip)];
    statement.query_map(parameters, stored_summary)?.collect()
}

fn stored_summary(row: &Row<'_>) -> rusqlite::Result<SessionSummary> {
    let broken = |column: usize, error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error)
    };
    let status = match row.get_ref(7)?.as_str()? {
        "idle" => SessionStatus::Idle,
        "running" => SessionStatus::Running,
        "needs_answer" => SessionStatus::NeedsAnswer,
        other => return Err(broken(7, format!("unknown status {other}").into())),
    };
    Ok(SessionSummary {
        session: SessionId::from_bits(u128::from_be_bytes(row.get(0)?)),
        title: row.get(1)?,
        workspace: row.get(2)?,
        model: row.get(3)?,
        created: TimeMs(row.get(4)?),
        updated: TimeMs(row.get(5)?),
        last_sequence: Sequence(row.get::<_, i64>(6)? as u64),
        status,
        turns: row.get(8)?,
        usage: serde_json::from_str(row.get_ref(9)?.as_str()?).map_err(|error| broken(9, error.into()))?,
    })
}

fn delete(desk: &mut Desk, row: i64, session: SessionId) -> rusqlite::Result<()> {
    let connection = &desk.connection;
    let run = |sql: &str| connection.prepare_cached(sql)?.execute([row]);
    for table in ["payload", "event"] {
        let sql = format!("DELETE FROM {table} WHERE id BETWEEN ?1 AND ?2");
        connection.prepare_cached(&sql)?.execute([event_row(row, 0), event_row(row + 1, 0) - 1])?;
    }
    let mut unnamed = connection.prepare_cached(
        "SELECT blob.id, digest, bytes, content IS NULL FROM blob_reference AS ours JOIN blob ON blob.id = ours.blob
         WHERE ours.session = ?1 AND NOT EXISTS (
             SELECT 1 FROM blob_reference AS theirs WHERE theirs.blob = ours.blob AND theirs.session <> ?1)",
    )?;
    let unnamed: Vec<(i64, Digest, i64, bool)> = unnamed
        .query_map([row], |row| Ok((row.get(0)?, Digest(row.get(1)?), row.get(2)?, row.get(3)?)))?
        .collect::<rusqlite::Result<_>>()?;
    run("DELETE FROM blob_reference WHERE session = ?1")?;
    for (blob, digest, bytes, is_file) in unnamed {
        connection.prepare_cached("DELETE FROM blob WHERE id = ?1")?.execute([blob])?;
        connection.prepare_cached("UPDATE store SET blob_bytes = blob_bytes - ?1")?.execute([bytes])?;
        if is_file {
            desk.unnamed.push(digest);
        }
    }
    crate::kv::delete_session(connection, session)?;
    run("DELETE FROM summary WHERE session = ?1")?;
    run("UPDATE store SET epoch_floor = max(epoch_floor, (SELECT epoch FROM session WHERE id = ?1))")?;
    run("DELETE FROM session WHERE id = ?1")?;
    desk.erased = true;
    Ok(())
}
