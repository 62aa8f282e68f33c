//! The ports' SQLite implementation: log, blobs, kv, leases, inboxes and the index of sessions, in one folder.
//!
//! Promise: when `append` returns, a power cut cannot undo it, and all of it happened or nothing.
//! Several processes may have the same folder open; who may write a session is settled by its epoch,
//! in the same transaction as the write. Header bytes come back exactly as they were given.
//!
//! Not here: what events mean (harness-core), when to write them (harness-engine). Chains are verified
//! by whoever reads: the store only refuses what would break them.
//!
//! | file | what it holds |
//! |---|---|
//! | `sessions.sqlite` (and `-wal`, `-shm`) | everything but large contents |
//! | `blobs/ab/…` | contents larger than [`INLINE_BLOB_BYTES_MAX`], named by their digest in hexadecimal |
//! | `open.lock` | taken while a process opens the store |
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod append;
mod blobs;
mod checkpoint;
mod import;
mod inbox;
mod index;
mod kv;
mod lease;
mod lineage;
mod log;
mod open;
mod process;
mod reader;
mod recovered;
mod said;
mod schema;
mod store;
mod writer;

pub use append::{APPEND_EVENTS_MAX, HEADER_BYTES_MAX};
pub use blobs::INLINE_BLOB_BYTES_MAX;
pub use checkpoint::CHECKPOINTS_MAX;
pub use open::{
    BLOB_QUOTA_BYTES_DEFAULT, BUSY_TIMEOUT_MS_DEFAULT, DATABASE_FILE, OpenStoreError, READERS_DEFAULT, READERS_MAX,
    StoreOptions,
};
#[doc(hidden)]
pub use open::{FaultOptions, Synchronous};
pub use process::{is_gone, this_process};
pub use said::SAID_TURN_ROWS_MAX;
pub use schema::{APPLICATION_ID, SCHEMA_VERSION};
pub use store::SqliteStore;
