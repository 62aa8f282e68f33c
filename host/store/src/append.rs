//! Adding events: what is checked before, and what is written in one transaction.
//!
//! Promise: an append whose epoch, tip, chain or quota is wrong leaves nothing behind, in none of the
//! sessions it names.

use crate::schema::{SESSION_EVENTS_MAX, event_row};
use crate::store::session_key;
use crate::writer::Desk;
use crate::{checkpoint, inbox, kv, lineage, said};
use harness_core::envelope::{Payload, SealedEvent, Tip};
use harness_core::limits::EVENT_PAYLOAD_BYTES_MAX;
use harness_core::{Digest, Header, Sequence, SessionId};
use harness_engine::ports::{AppendError, Blob, SessionAppend, SessionStatus, SessionSummary};
use rusqlite::{Connection, OptionalExtension, params};

/// The header of one event, in bytes.
pub const HEADER_BYTES_MAX: usize = 64 << 10;
/// Events of one append to one session.
pub const APPEND_EVENTS_MAX: usize = 10_000;

/// Checks what needs no database: limits, headers, chain and contents. Every event's payload is
/// covered by its header already, so payloads are not hashed again.
pub(crate) fn check(appends: &[SessionAppend]) -> Result<(), AppendError> {
    for append in appends {
        let session = append.session;
        let refuse =
            |what: String| Err(AppendError::Storage(format!("refused, nothing was written: {session} {what}")));
        if append.events.len() > APPEND_EVENTS_MAX {
            return refuse(format!("gets {} events at once, more than {APPEND_EVENTS_MAX}", append.events.len()));
        }
        if append.summary.as_ref().is_some_and(|summary| summary.session != session) {
            return refuse("gets the index row of another session".to_owned());
        }
        let mut tip = append.after;
        for event in &append.events {
            match check_event(session, tip, event) {
                Ok(next) => tip = next,
                Err(what) => return refuse(format!("event {}: {what}", tip.sequence.next())),
            }
        }
        if let Some(wrong) = append.blobs.iter().find(|blob| Digest::of(&blob.bytes) != blob.digest) {
            return refuse(format!("gets a content that is not {}", wrong.digest));
        }
        if let Some(wrong) = append.kv.iter().find(|write| kv::value_of(write).is_err()) {
            return refuse(format!("gets a value of `{}` that is not base64", wrong.key.escape_debug()));
        }
    }
    Ok(())
}

fn check_event(session: SessionId, tip: Tip, event: &SealedEvent) -> Result<Tip, String> {
    if event.header_bytes.len() > HEADER_BYTES_MAX {
        return Err(format!("its header has more than {HEADER_BYTES_MAX} bytes"));
    }
    if event.payload.as_ref().is_some_and(|payload| payload.bytes.len() > EVENT_PAYLOAD_BYTES_MAX) {
        return Err(format!("its payload has more than {EVENT_PAYLOAD_BYTES_MAX} bytes"));
    }
    let header: Header = serde_json::from_slice(&event.header_bytes).map_err(|error| format!("its header: {error}"))?;
    if header.session != session {
        return Err(format!("its header belongs to {}", header.session));
    }
    if header.sequence != tip.sequence.next() || header.sequence.0 > SESSION_EVENTS_MAX {
        return Err(format!("its header has sequence {}", header.sequence));
    }
    if header.previous != tip.hash {
        return Err("its header does not follow the one before".to_owned());
    }
    Ok(Tip { sequence: header.sequence, hash: Digest::of(&event.header_bytes) })
}

/// About how much an append adds. Bytes.
pub(crate) fn weight_bytes(appends: &[SessionAppend]) -> usize {
    let events = appends.iter().flat_map(|append| &append.events);
    let payloads = events.map(|event| event.header_bytes.len() + event.payload.as_ref().map_or(0, |p| p.bytes.len()));
    let writes = appends.iter().flat_map(|append| &append.kv);
    let values = writes.map(|write| write.key.len() + write.value.as_ref().map_or(0, String::len));
    let checkpoints = appends.iter().filter_map(|append| append.checkpoint.as_ref());
    let kept =
        checkpoints.map(|write| write.checkpoint.state.len() + write.segments.iter().map(Vec::len).sum::<usize>());
    payloads.sum::<usize>() + values.sum::<usize>() + kept.sum::<usize>() + content_bytes(appends)
}

/// How much of it is contents. Bytes.
pub(crate) fn content_bytes(appends: &[SessionAppend]) -> usize {
    appends.iter().flat_map(|append| &append.blobs).map(|blob| blob.bytes.len()).sum()
}

/// Writes a checked append. Contents come last: by then nothing but the quota or the disk can refuse it.
pub(crate) fn write(desk: &mut Desk, appends: &[SessionAppend]) -> Result<(), AppendError> {
    let mut contents: Vec<(i64, Sequence, &[Blob])> = Vec::new();
    for append in appends {
        let row = write_session(&desk.connection, append)?;
        contents.push((row, append.after.sequence, &append.blobs));
        desk.due_rows = desk.due_rows.saturating_add(append.said.len());
    }
    desk.blobs.store(&desk.connection, desk.blob_quota_bytes, &contents)
}

fn write_session(connection: &Connection, append: &SessionAppend) -> Result<i64, AppendError> {
    let session = find(connection, append.session)?;
    let ours = append.epoch;
    if session.epoch != ours.0 {
        let current = harness_core::Epoch(session.epoch);
        return Err(AppendError::Fenced { session: append.session, ours, current });
    }
    if !session.is_held {
        return Err(AppendError::NotFound(append.session));
    }
    if let Some(origin) = append.fork_of
        && session.tip == Tip::START
    {
        lineage::begin_as(connection, session.row, origin, append.after)?;
    } else if session.tip != append.after || append.fork_of.is_some() {
        let (expected, found) = (append.after.sequence, session.tip.sequence);
        return Err(AppendError::Tip { session: append.session, expected, found });
    }
    let row = session.row;
    for (sequence, event) in (append.after.sequence.0 + 1..).zip(&append.events) {
        let key = event_row(row, sequence);
        write_event(connection, key, &event.header_bytes, event.payload.as_ref()).map_err(storage)?;
    }
    said::write_due(connection, row, &append.said).map_err(storage)?;
    if let Some(last) = append.events.last() {
        let end = append.after.sequence.0 + append.events.len() as u64;
        let mut update = connection
            .prepare_cached("UPDATE session SET tip_sequence = ?2, tip_hash = ?3 WHERE id = ?1")
            .map_err(storage)?;
        update.execute(params![row, end as i64, Digest::of(&last.header_bytes).0]).map_err(storage)?;
    }
    kv::write(connection, &append.kv).map_err(storage)?;
    inbox::consume(connection, append.session, row, &append.consumed)?;
    if let Some(summary) = &append.summary {
        write_summary(connection, row, summary).map_err(storage)?;
    }
    if let Some(write) = &append.checkpoint {
        checkpoint::keep(connection, row, write).map_err(storage)?;
    }
    Ok(row)
}

/// Writes one event under its key.
pub(crate) fn write_event(
    connection: &Connection,
    key: i64,
    header_bytes: &[u8],
    payload: Option<&Payload>,
) -> rusqlite::Result<()> {
    connection.prepare_cached("INSERT INTO event (id, header) VALUES (?1, ?2)")?.execute(params![key, header_bytes])?;
    if let Some(payload) = payload {
        connection.prepare_cached("INSERT INTO payload (id, salt, bytes) VALUES (?1, ?2, ?3)")?.execute(params![
            key,
            payload.salt,
            payload.bytes
        ])?;
    }
    Ok(())
}

/// Whether a session that was acquired has no events yet.
pub(crate) fn check_empty(connection: &Connection, session: SessionId) -> Result<(), AppendError> {
    let found = find(connection, session)?.tip.sequence;
    if found == Sequence::START { Ok(()) } else { Err(AppendError::Tip { session, expected: Sequence::START, found }) }
}

struct Found {
    row: i64,
    epoch: u64,
    tip: Tip,
    is_held: bool,
}

fn find(connection: &Connection, session: SessionId) -> Result<Found, AppendError> {
    let sql = "SELECT id, epoch, tip_sequence, tip_hash, holder_pid IS NOT NULL FROM session WHERE session = ?1";
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| {
            let found = statement.query_row([session_key(session)], |row| {
                Ok(Found {
                    row: row.get(0)?,
                    epoch: row.get::<_, i64>(1)? as u64,
                    tip: Tip { sequence: Sequence(row.get::<_, i64>(2)? as u64), hash: Digest(row.get(3)?) },
                    is_held: row.get(4)?,
                })
            });
            found.optional()
        })
        .map_err(storage)?
        .ok_or(AppendError::NotFound(session))
}

fn write_summary(connection: &Connection, row: i64, summary: &SessionSummary) -> rusqlite::Result<()> {
    let usage = serde_json::to_string(&summary.usage)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let sql = "INSERT OR REPLACE INTO summary (session, title, workspace, model, created, updated, last_sequence,
               status, turns, usage, folded, archived, parent, origin)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    connection.prepare_cached(sql)?.execute(params![
        row,
        summary.title,
        summary.workspace,
        summary.model,
        summary.created.0,
        summary.updated.0,
        summary.last_sequence.0 as i64,
        status_word(summary.status),
        summary.turns,
        usage,
        folded(summary),
        summary.archived,
        summary.parent.map(session_key),
        summary.origin.map(session_key),
    ])?;
    Ok(())
}

/// What a search looks into.
fn folded(summary: &SessionSummary) -> String {
    format!("{}\n{}", summary.title.to_lowercase(), summary.session)
}

/// A status as it is stored.
pub(crate) const fn status_word(status: SessionStatus) -> &'static str {
    match status {
        SessionStatus::Idle => "idle",
        SessionStatus::Running => "running",
        SessionStatus::NeedsAnswer => "needs_answer",
    }
}

pub(crate) fn storage(error: rusqlite::Error) -> AppendError {
    AppendError::Storage(error.to_string())
}
