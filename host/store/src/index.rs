//! The index of sessions: listing, one row, deleting.
//!
//! Promise: a session shows up with its first events and is gone with its log; a search takes its text
//! as it is, whatever characters are in it.
//!
//! Deleting asks nobody: a writer that holds the session finds it gone at its next append
//! (`NotFound`), and a session made again under that id has a larger epoch, so that the old writer stays
//! shut out. Whoever wants to ask first looks at `Lease::holder`.

use crate::append::status_word;
use crate::said;
use crate::schema::{SEQUENCE_BITS, SESSION_EVENTS_MAX};
use crate::store::{SqliteStore, session_key, session_row, store_error};
use crate::writer::{Desk, Kind};
use async_trait::async_trait;
use harness_core::{Sequence, SessionId, TimeMs};
use harness_engine::ports::{Archived, Index, SessionCursor, SessionFilter, SessionStatus, SessionSummary, StoreError};
use rusqlite::types::{Type, Value};
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

const COLUMNS: &str = "session.session, title, workspace, model, created, updated, last_sequence, status, turns,
    usage, archived, parent, origin";

#[async_trait]
impl Index for SqliteStore {
    /// Sessions of one update time come with the younger id first.
    async fn list(&self, filter: SessionFilter) -> Result<Vec<SessionSummary>, StoreError> {
        self.shared
            .readers
            .read(StoreError::Storage, move |connection| list(connection, &filter).map_err(store_error))
            .await
    }

    async fn count(&self, filter: SessionFilter) -> Result<u64, StoreError> {
        self.shared
            .readers
            .read(StoreError::Storage, move |connection| count(connection, &filter).map_err(store_error))
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

/// The condition of a filter and the values of its parameters, from `?1` on.
fn condition(connection: &Connection, filter: &SessionFilter) -> rusqlite::Result<(String, Vec<Value>)> {
    let mut conditions = vec!["tip_sequence > 0".to_owned()];
    let mut values: Vec<Value> = Vec::new();
    // `#` stands for the number of the parameter.
    let mut and = |condition: &str, value: Value| {
        values.push(value);
        conditions.push(condition.replace('#', &values.len().to_string()));
    };
    if let Some(workspace) = &filter.workspace {
        and("workspace = ?#", workspace.clone().into());
    }
    if let Some(status) = filter.status {
        and("status = ?#", status_word(status).to_owned().into());
    }
    if let Some(parent) = filter.parent {
        and("parent = ?#", session_key(parent).to_vec().into());
    }
    match filter.archived {
        Archived::Included => {}
        Archived::LeftOut => and("archived = ?#", 0.into()),
        Archived::Only => and("archived = ?#", 1.into()),
    }
    if let Some(search) = &filter.search {
        // instr() and not LIKE: `%` and `_` are letters here, and our folding covers more than ASCII.
        let in_row = "instr(folded, ?#) > 0";
        and(in_row, search.to_lowercase().into());
        if let Some(query) = said::query(search) {
            // Or said in the session's own events, or in those that it shares.
            let in_row = conditions.pop().unwrap_or_default();
            let due = serde_json::Value::from(said::matching_due(connection, &query)?);
            values.extend([query.into(), due.to_string().into()]);
            let [query, due] = [values.len() - 1, values.len()];
            conditions.push(format!(
                "({in_row} OR summary.session IN (
                    WITH found (id) AS (SELECT rowid FROM said WHERE said MATCH ?{query}
                        UNION ALL SELECT value FROM json_each(?{due}))
                    SELECT id >> {SEQUENCE_BITS} FROM found
                    UNION SELECT part.session FROM found JOIN part ON part.owner = found.id >> {SEQUENCE_BITS}
                        AND found.id & {SESSION_EVENTS_MAX} BETWEEN part.first AND part.last))"
            ));
        }
    }
    Ok((conditions.join(" AND "), values))
}

fn list(connection: &Connection, filter: &SessionFilter) -> rusqlite::Result<Vec<SessionSummary>> {
    let (condition, mut values) = condition(connection, filter)?;
    let mut sql =
        format!("SELECT {COLUMNS} FROM summary JOIN session ON session.id = summary.session WHERE {condition}");
    if let Some(SessionCursor { updated, session }) = filter.after {
        values.extend([updated.0.into(), Value::from(session_key(session).to_vec())]);
        let [updated, session] = [values.len() - 1, values.len()];
        sql.push_str(&format!(" AND (updated, session.session) < (?{updated}, ?{session})"));
    }
    let count = |number: usize| Value::from(i64::try_from(number).unwrap_or(i64::MAX));
    values.extend([count(filter.sessions_max), count(filter.skip)]);
    let [limit, offset] = [values.len() - 1, values.len()];
    sql.push_str(&format!(" ORDER BY updated DESC, session.session DESC LIMIT ?{limit} OFFSET ?{offset}"));
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(params_from_iter(values), stored_summary)?.collect()
}

fn count(connection: &Connection, filter: &SessionFilter) -> rusqlite::Result<u64> {
    let (condition, values) = condition(connection, filter)?;
    let sql = format!("SELECT count(*) FROM summary JOIN session ON session.id = summary.session WHERE {condition}");
    let found: i64 = connection.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| row.get(0))?;
    Ok(found.unsigned_abs())
}

fn stored_id(key: [u8; 16]) -> SessionId {
    SessionId::from_bits(u128::from_be_bytes(key))
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
        session: stored_id(row.get(0)?),
        title: row.get(1)?,
        workspace: row.get(2)?,
        model: row.get(3)?,
        created: TimeMs(row.get(4)?),
        updated: TimeMs(row.get(5)?),
        last_sequence: Sequence(row.get::<_, i64>(6)? as u64),
        status,
        turns: row.get(8)?,
        usage: serde_json::from_str(row.get_ref(9)?.as_str()?).map_err(|error| broken(9, error.into()))?,
        archived: row.get(10)?,
        parent: row.get::<_, Option<[u8; 16]>>(11)?.map(stored_id),
        origin: row.get::<_, Option<[u8; 16]>>(12)?.map(stored_id),
    })
}

fn delete(desk: &mut Desk, row: i64, session: SessionId) -> rusqlite::Result<()> {
    let connection = &desk.connection;
    let run = |sql: &str| connection.prepare_cached(sql)?.execute([row]);
    crate::kv::delete_session(connection, session)?;
    crate::checkpoint::delete(connection, row)?;
    crate::inbox::delete(connection, row)?;
    run("DELETE FROM summary WHERE session = ?1")?;
    run("UPDATE store SET epoch_floor = max(epoch_floor, (SELECT epoch FROM session WHERE id = ?1))")?;
    crate::lineage::delete(desk, row)?;
    desk.erased = true;
    Ok(())
}
