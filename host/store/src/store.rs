//! The store as one value: a writer, some readers, and the folder of large contents.

use crate::blobs::BlobFolder;
use crate::inbox::Mail;
use crate::open::{self, OpenStoreError, READERS_MAX, StoreOptions};
use crate::reader::Readers;
use crate::writer::{Desk, QUIET_MS, Writer};
use harness_core::SessionId;
use harness_engine::ports::StoreError;
use rusqlite::{Connection, ErrorCode, OptionalExtension};
use std::path::Path;
use std::sync::Arc;

/// Sessions in one folder: `EventLog`, `Lease`, `Index`, `Blobs`, `Kv` and `Inbox` over SQLite.
///
/// Clones share the same threads and connections. Dropping the last one waits until what was handed in
/// is committed, some milliseconds at most.
#[derive(Clone)]
pub struct SqliteStore {
    pub(crate) shared: Arc<Shared>,
}

/// Readers before the writer, so that the writer's is the last connection and tidies up.
pub(crate) struct Shared {
    pub(crate) readers: Readers,
    pub(crate) writer: Writer,
    pub(crate) blobs: BlobFolder,
    pub(crate) mail: Mail,
}

impl SqliteStore {
    /// Opens the store of a folder, or makes one. Blocks for some milliseconds; other processes may have
    /// the same folder open.
    pub fn open(dir: impl AsRef<Path>, options: StoreOptions) -> Result<Self, OpenStoreError> {
        let (place, connection, blobs) = open::open(dir.as_ref(), options)?;
        let desk = Desk {
            connection,
            blobs: blobs.clone(),
            blob_quota_bytes: place.options.blob_quota_bytes,
            busy_timeout_ms: place.options.busy_timeout_ms,
            unnamed: Vec::new(),
            erased: false,
            // A process that was killed may have left some.
            due_rows: 1,
            quiet_ms: place.options.faults.quiet_ms.unwrap_or(QUIET_MS),
        };
        let writer = Writer::start(desk).map_err(OpenStoreError::Thread)?;
        let readers =
            Readers::start(&place, place.options.readers.clamp(1, READERS_MAX)).map_err(OpenStoreError::Thread)?;
        Ok(Self { shared: Arc::new(Shared { readers, writer, blobs, mail: Mail::default() }) })
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("blobs", &self.shared.blobs).finish_non_exhaustive()
    }
}

/// A failure of SQLite in the words of the port.
pub(crate) fn store_error(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged(format!("the session database is damaged: {error}. Restore it from a backup"))
        }
        _ => StoreError::Storage(error.to_string()),
    }
}

/// A session's row number, if it is known.
pub(crate) fn session_row(connection: &Connection, session: SessionId) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM session WHERE session = ?1")?
        .query_row([session_key(session)], |row| row.get(0))
        .optional()
}

/// A session's id as it is stored: its bits, most significant first, so that they sort as ids do.
pub(crate) fn session_key(session: SessionId) -> [u8; 16] {
    session.bits().to_be_bytes()
}
