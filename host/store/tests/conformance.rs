//! The store against the cases that every implementation of its ports must pass.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_core::Digest;
use harness_engine::ports::Holder;
use harness_sim::conformance::{self, BLOB_QUOTA_BYTES, Stores};
use harness_store::{DATABASE_FILE, SqliteStore, StoreOptions, this_process};
use std::path::Path;
use std::sync::Arc;

/// Inverts every byte, wherever the store keeps the content.
fn damage(dir: &Path, digest: Digest) {
    let file = dir.join("blobs").join(&digest.hex()[..2]).join(digest.hex());
    let invert = |bytes: Vec<u8>| bytes.into_iter().map(|byte| !byte).collect::<Vec<u8>>();
    if let Ok(content) = std::fs::read(&file) {
        return std::fs::write(file, invert(content)).unwrap();
    }
    let database = rusqlite::Connection::open(dir.join(DATABASE_FILE)).unwrap();
    let content: Vec<u8> =
        database.query_row("SELECT content FROM blob WHERE digest = ?1", [digest.0], |row| row.get(0)).unwrap();
    let changed = database
        .execute("UPDATE blob SET content = ?2 WHERE digest = ?1", rusqlite::params![digest.0, invert(content)])
        .unwrap();
    assert_eq!(changed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_promises_of_the_ports() {
    let mut folders = Vec::new();
    conformance::run_all(|| {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_owned();
        folders.push(folder);
        let options = StoreOptions { blob_quota_bytes: BLOB_QUOTA_BYTES, ..StoreOptions::default() };
        let store = SqliteStore::open(&dir, options).unwrap();
        // Our own number with another start time: a process that ended and whose number was given anew.
        let gone = Holder { process_start: this_process().process_start + 1, ..this_process() };
        Stores::of(Arc::new(store), this_process(), gone, move |digest| damage(&dir, digest))
    })
    .await;
}
