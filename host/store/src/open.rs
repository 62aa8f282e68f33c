//! Opening a store: the folder, the database file, its version and the settings of every connection.
//!
//! Promise: what is not ours, or newer than we are, is refused before a byte of it is changed. The
//! folder is readable by its owner alone (0700, files 0600). Processes that open at the same time wait
//! for each other.

use crate::blobs::BlobFolder;
use crate::recovered;
use crate::schema::{self, APPLICATION_ID, SCHEMA_VERSION};
use rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::{FlockOperation, flock};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The database's name in the store's folder.
pub const DATABASE_FILE: &str = "sessions.sqlite";
/// Taken (flock(2)) by a process while it opens the store.
const LOCK_FILE: &str = "open.lock";
/// Size of all contents at most, unless told otherwise. Bytes.
pub const BLOB_QUOTA_BYTES_DEFAULT: u64 = 10 << 30;
/// How long to wait for another process's transaction, unless told otherwise. Milliseconds.
pub const BUSY_TIMEOUT_MS_DEFAULT: u64 = 10_000;
/// Reading threads, unless told otherwise.
pub const READERS_DEFAULT: usize = 2;
/// Reading threads at most.
pub const READERS_MAX: usize = 16;
/// The first SQLite release whose write-ahead log is sound when several processes write and
/// checkpoint at once (release notes of 3.51.3, "WAL-reset bug"); as in `sqlite3_libversion_number`.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// Compiled statements that a connection keeps.
const STATEMENTS_MAX: usize = 64;
/// Page cache of one connection, in KiB.
const CACHE_KIB: i64 = 2_048;
/// The write-ahead log is cut back to this size when it is started again. Bytes.
const WAL_KEEP_BYTES: i64 = 16 << 20;
/// Pause between two attempts to take the lock of the folder. Milliseconds.
const LOCK_RETRY_MS: u64 = 5;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Size of all sessions' contents together at most. Bytes.
    pub blob_quota_bytes: u64,
    /// How long to wait for another process's transaction before giving up. Milliseconds.
    pub busy_timeout_ms: u64,
    /// Threads that read, 1 to [`READERS_MAX`].
    pub readers: usize,
    /// For this crate's tests of durability.
    #[doc(hidden)]
    pub faults: FaultOptions,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            blob_quota_bytes: BLOB_QUOTA_BYTES_DEFAULT,
            busy_timeout_ms: BUSY_TIMEOUT_MS_DEFAULT,
            readers: READERS_DEFAULT,
            faults: FaultOptions::default(),
        }
    }
}

/// Only for tests of durability: another file system under SQLite, and less care than we promise, to
/// prove that those tests notice. Never set in a product.
#[doc(hidden)]
#[derive(Debug, Clone, Default)]
pub struct FaultOptions {
    /// The name of a registered SQLite VFS.
    pub vfs: Option<String>,
    /// How often SQLite waits for the disk.
    pub synchronous: Synchronous,
    /// How long nobody has asked for a change when the writer takes up what can wait; its own time if none.
    /// Milliseconds.
    pub quiet_ms: Option<u64>,
}

/// `PRAGMA synchronous`. Only for tests.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// At every commit.
    #[default]
    Full,
    /// At checkpoints: loses acknowledged events.
    Normal,
    /// Never: loses acknowledged events and the database.
    Off,
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// This program was linked with an SQLite that is too old.
    #[error(
        "this build has SQLite {found}, the session store needs {needed} or newer (as numbers): rebuild it with the bundled SQLite"
    )]
    SqliteVersion {
        /// What there is, as `sqlite3_libversion_number` gives it.
        found: i32,
        /// What is needed.
        needed: i32,
    },
    /// The folder or a file in it could not be made or read.
    #[error("could not prepare {}: {source}. The session store needs a folder of its own that you can write", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the right name that is not ours.
    #[error("{} is not a harness-host session store: move it away, or choose another folder", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of this program wrote it.
    #[error("{} has schema version {found}, this harness-host knows up to {known}: update harness-host, or choose another folder", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// Ours.
        known: i32,
    },
    /// Another process takes very long to open it.
    #[error("another process has been opening {} for {waited_ms} ms: try again, or end that process", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
        /// How long we waited, in milliseconds.
        waited_ms: u64,
    },
    /// The folder's file system cannot do what the log needs.
    #[error("{} cannot have a write-ahead log: choose a folder on a local file system", path.display())]
    NoWriteAheadLog {
        /// The file.
        path: PathBuf,
    },
    /// SQLite refused.
    #[error("could not open {}: {source}. If the disk is full, make room; if the file is damaged, move it away", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A thread could not be started.
    #[error("could not start a thread for the session store: {0}")]
    Thread(std::io::Error),
}

/// Where the store is and how its connections are made.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) database: PathBuf,
    pub(crate) options: StoreOptions,
}

impl Place {
    /// A connection with all settings that are a connection's own.
    pub(crate) fn connect(&self) -> rusqlite::Result<Connection> {
        // No URI: a folder's name may hold `?` or `%`. No mutex: each connection stays on its thread.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match &self.options.faults.vfs {
            None => Connection::open_with_flags(&self.database, flags)?,
            Some(vfs) => Connection::open_with_flags_and_vfs(&self.database, flags, vfs.as_str())?,
        };
        connection.busy_timeout(Duration::from_millis(self.options.busy_timeout_ms))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        let synchronous = match self.options.faults.synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
            Synchronous::Off => "OFF",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        // On macOS fsync() leaves data in the drive's cache; elsewhere these two do nothing.
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "checkpoint_fullfsync", true)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // An erased payload must not stay behind in a free page.
        connection.pragma_update_and_check(None, "secure_delete", "ON", |_| Ok(()))?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update_and_check(None, "journal_size_limit", WAL_KEEP_BYTES, |_| Ok(()))?;
        // The writer checkpoints after it has replied, not in the middle of a commit.
        connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
        Ok(connection)
    }
}

/// Opens or makes the database of a folder. Gives the connection for the writer.
pub(crate) fn open(dir: &Path, options: StoreOptions) -> Result<(Place, Connection, BlobFolder), OpenStoreError> {
    let found = rusqlite::version_number();
    if found < SQLITE_VERSION_MIN {
        return Err(OpenStoreError::SqliteVersion { found, needed: SQLITE_VERSION_MIN });
    }
    prepare_folder(dir)?;
    let _lock = take_lock(dir, options.busy_timeout_ms)?;
    let place = Place { database: dir.join(DATABASE_FILE), options };
    prepare_file(&place.database)?;

    let database = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenStoreError::Foreign { path: place.database.clone() },
        _ => OpenStoreError::Database { path: place.database.clone(), source },
    };
    let connection = place.connect().map_err(database)?;
    // What may not stay or is not ours is not copied into the database when this fails.
    let copies_at_close = |copies: bool| connection.set_db_config(SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !copies);
    copies_at_close(false).map_err(database)?;
    let identity = schema::identity(&connection).map_err(database)?;
    let is_new = identity.is_empty && identity.application == 0 && identity.version == 0;
    if !is_new && identity.application != APPLICATION_ID {
        return Err(OpenStoreError::Foreign { path: place.database.clone() });
    }
    if identity.version > SCHEMA_VERSION {
        return Err(OpenStoreError::Newer {
            path: place.database.clone(),
            found: identity.version,
            known: SCHEMA_VERSION,
        });
    }
    // Only now is it known that all this is ours to close to others.
    tighten(dir, 0o700)?;
    for ending in ["", "-wal", "-shm"] {
        tighten(&dir.join(format!("{DATABASE_FILE}{ending}")), 0o600)?;
    }
    if !use_write_ahead_log(&connection).map_err(database)? {
        return Err(OpenStoreError::NoWriteAheadLog { path: place.database.clone() });
    }
    recovered::settle(&connection).and_then(|()| copies_at_close(true)).map_err(database)?;
    if identity.version < SCHEMA_VERSION {
        schema::migrate(&connection).map_err(database)?;
    }

    let blobs = BlobFolder::new(dir);
    blobs.prepare().map_err(|source| OpenStoreError::Folder { path: blobs.path().to_owned(), source })?;
    blobs.sweep(&connection).map_err(database)?;
    Ok((place, connection, blobs))
}

/// Switches to the write-ahead log for good. Says whether it is in force.
///
/// The switch is a transaction of its own that ends with the statement, so the statement is run to its
/// end: on a full disk the mode is reported first and fails to be written after that. Without the log,
/// a commit is durable only when the deletion of a journal is, which nothing here waits for.
fn use_write_ahead_log(connection: &Connection) -> rusqlite::Result<bool> {
    let mode = |sql: &str| -> rusqlite::Result<String> {
        let mut statement = connection.prepare(sql)?;
        let modes = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
        Ok(modes.concat())
    };
    Ok(mode("PRAGMA journal_mode = WAL")? == "wal" && mode("PRAGMA journal_mode")? == "wal")
}

fn prepare_folder(dir: &Path) -> Result<(), OpenStoreError> {
    let failed = |source| OpenStoreError::Folder { path: dir.to_owned(), source };
    let missing: Vec<&Path> =
        dir.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    // The names of new folders must survive as well as what is in them.
    for made in missing {
        let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_folder(parent.unwrap_or(Path::new("."))).map_err(failed)?;
    }
    Ok(())
}

/// Makes the database's file before SQLite does, so that it never exists with wider permissions; its
/// `-wal` and `-shm` files take over its mode.
fn prepare_file(path: &Path) -> Result<(), OpenStoreError> {
    let failed = |source| OpenStoreError::Folder { path: path.to_owned(), source };
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all().map_err(failed)?;
            path.parent().map_or(Ok(()), sync_folder).map_err(failed)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Takes away permissions beyond `mode`, if the file is there.
fn tighten(path: &Path, mode: u32) -> Result<(), OpenStoreError> {
    let tighten = || {
        let found = std::fs::metadata(path)?.permissions().mode() & 0o777;
        if found & !mode == 0 { Ok(()) } else { std::fs::set_permissions(path, Permissions::from_mode(found & mode)) }
    };
    match tighten() {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(OpenStoreError::Folder { path: path.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// The lock goes with the file that is returned.
fn take_lock(dir: &Path, wait_ms: u64) -> Result<File, OpenStoreError> {
    let path = dir.join(LOCK_FILE);
    let failed = |source| OpenStoreError::Folder { path: path.clone(), source };
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    let start = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed(error.into())),
        }
        if start.elapsed() >= Duration::from_millis(wait_ms) {
            return Err(OpenStoreError::Busy { path: dir.to_owned(), waited_ms: wait_ms });
        }
        std::thread::sleep(Duration::from_millis(LOCK_RETRY_MS));
    }
}
