//! Components' values: written with the events that say so, read by space and key.
//!
//! Promise: an append's writes are there with its events or not at all; keys come in the order of their
//! bytes; what belongs to a session goes with it.
//!
//! Not here: who may read or write what, and how much (the hand).

use crate::store::{SqliteStore, store_error};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness_core::record::{KvSpace, KvWrite};
use harness_core::{Scope, SessionId};
use harness_engine::ports::{Kv, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

/// The bytes that a write sets; none where it deletes.
pub(crate) fn value_of(write: &KvWrite) -> Result<Option<Vec<u8>>, base64::DecodeError> {
    write.value.as_ref().map(|value| STANDARD.decode(value)).transpose()
}

/// Carries out an append's writes, in order, as part of the transaction under way.
pub(crate) fn write(connection: &Connection, writes: &[KvWrite]) -> rusqlite::Result<()> {
    for write in writes {
        let KvSpace { component, scope, owner } = &write.space;
        let value = value_of(write).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        match value {
            Some(value) => {
                let sql = "INSERT OR REPLACE INTO kv (component, scope, owner, key, value) VALUES (?1, ?2, ?3, ?4, ?5)";
                connection.prepare_cached(sql)?.execute(params![component, scope.word(), owner, write.key, value])?;
            }
            None => {
                let sql = "DELETE FROM kv WHERE component = ?1 AND scope = ?2 AND owner = ?3 AND key = ?4";
                connection.prepare_cached(sql)?.execute(params![component, scope.word(), owner, write.key])?;
            }
        }
    }
    Ok(())
}

/// Drops the values that belong to a session, as part of the transaction under way.
pub(crate) fn delete_session(connection: &Connection, session: SessionId) -> rusqlite::Result<()> {
    let sql = "DELETE FROM kv WHERE scope = ?1 AND owner = ?2";
    connection.prepare_cached(sql)?.execute(params![Scope::Session.word(), session.to_string()])?;
    Ok(())
}

#[async_trait]
impl Kv for SqliteStore {
    async fn kv_get(&self, space: &KvSpace, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let (space, key) = (space.clone(), key.to_owned());
        let work = move |connection: &Connection| {
            let sql = "SELECT value FROM kv WHERE component = ?1 AND scope = ?2 AND owner = ?3 AND key = ?4";
            connection
                .prepare_cached(sql)
                .and_then(|mut find| {
                    let place = params![space.component, space.scope.word(), space.owner, key];
                    find.query_row(place, |row| row.get(0)).optional()
                })
                .map_err(store_error)
        };
        self.shared.readers.read(StoreError::Storage, work).await
    }

    async fn kv_keys(
        &self,
        space: &KvSpace,
        prefix: &str,
        after: Option<&str>,
        keys_max: usize,
    ) -> Result<Vec<String>, StoreError> {
        let (space, prefix, after) = (space.clone(), prefix.to_owned(), after.map(str::to_owned));
        let work = move |connection: &Connection| {
            keys(connection, &space, &prefix, after.as_deref(), keys_max).map_err(store_error)
        };
        self.shared.readers.read(StoreError::Storage, work).await
    }

    async fn kv_bytes(&self, space: &KvSpace) -> Result<u64, StoreError> {
        let space = space.clone();
        let work = move |connection: &Connection| {
            let sql = "SELECT coalesce(sum(octet_length(key) + octet_length(value)), 0) FROM kv
                       WHERE component = ?1 AND scope = ?2 AND owner = ?3";
            let place = params![space.component, space.scope.word(), space.owner];
            connection
                .prepare_cached(sql)
                .and_then(|mut sum| sum.query_row(place, |row| row.get::<_, i64>(0)))
                .map(i64::unsigned_abs)
                .map_err(store_error)
        };
        self.shared.readers.read(StoreError::Storage, work).await
    }
}

/// Reads in key order from the prefix on and stops where keys begin otherwise: what is not asked for costs nothing.
fn keys(
    connection: &Connection,
    space: &KvSpace,
    prefix: &str,
    after: Option<&str>,
    keys_max: usize,
) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT key FROM kv WHERE component = ?1 AND scope = ?2 AND owner = ?3
               AND key >= ?4 AND (?5 IS NULL OR key > ?5) ORDER BY key LIMIT ?6";
    // SQLite can seek to one lower bound: the later one.
    let from = after.filter(|after| *after > prefix).unwrap_or(prefix);
    let limit = i64::try_from(keys_max).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![space.component, space.scope.word(), space.owner, from, after, limit])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let key: String = row.get(0)?;
        if !key.starts_with(prefix) {
            break;
        }
        keys.push(key);
    }
    Ok(keys)
}
