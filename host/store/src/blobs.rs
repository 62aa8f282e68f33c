//! Contents by digest: small ones in the database, large ones as files beside it.
//!
//! Promise: a content is durable before the commit that names it, is checked against its digest
//! whenever it is read, and goes with the last session that names it. All of them together stay under
//! the quota.
//!
//! Files are written and removed only under the database's write lock, by any process. So whoever
//! holds that lock and finds a file that the table does not name knows that nobody needs it: that is
//! how a crash between writing a file and naming it is cleaned up at the next opening.

use crate::append::storage;
use crate::open::sync_folder;
use crate::schema::roll_back;
use crate::store::{SqliteStore, session_row, store_error};
use crate::writer::Desk;
use async_trait::async_trait;
use harness_core::{Digest, Sequence, SessionId};
use harness_engine::ports::{AppendError, Blob, Blobs, StoreError};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Contents up to this size are rows of the database, larger ones files. Bytes.
pub const INLINE_BLOB_BYTES_MAX: usize = 256 << 10;
/// How the name of a file that is being written ends.
const UNFINISHED: &str = ".part";

/// The folder of large contents.
#[derive(Debug, Clone)]
pub(crate) struct BlobFolder {
    path: PathBuf,
}

/// A content as the database knows it.
struct Named {
    bytes: u64,
    content: Option<Vec<u8>>,
}

impl BlobFolder {
    pub(crate) fn new(store: &Path) -> Self {
        Self { path: store.join("blobs") }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.path.join(&hex[..2]).join(hex)
    }

    /// Makes the folder if it is missing.
    pub(crate) fn prepare(&self) -> std::io::Result<()> {
        make_folder(&self.path)
    }

    /// Keeps contents for sessions (by row number, with the event that they follow) as part of the transaction under way.
    pub(crate) fn store(
        &self,
        connection: &Connection,
        quota_bytes: u64,
        contents: &[(i64, Sequence, &[Blob])],
    ) -> Result<(), AppendError> {
        let mut fresh: Vec<&Blob> = Vec::new();
        let mut seen = HashSet::new();
        for blob in contents.iter().flat_map(|(_, _, blobs)| *blobs) {
            if seen.insert(blob.digest) && !self.is_kept(connection, blob)? {
                fresh.push(blob);
            }
        }
        let added_bytes: u64 = fresh.iter().map(|blob| blob.bytes.len() as u64).sum();
        if added_bytes > 0 {
            let sql = "UPDATE store SET blob_bytes = blob_bytes + ?1 RETURNING blob_bytes";
            let needed_bytes = connection
                .prepare_cached(sql)
                .and_then(|mut update| update.query_row([added_bytes as i64], |row| row.get::<_, i64>(0)))
                .map_err(storage)? as u64;
            if needed_bytes > quota_bytes {
                return Err(AppendError::Quota { needed_bytes, quota_bytes });
            }
        }
        for blob in fresh {
            self.add(connection, blob)?;
        }
        let sql = "INSERT OR IGNORE INTO blob_reference (session, blob, since) SELECT ?1, id, ?3 FROM blob
                   WHERE digest = ?2";
        let each = |(session, since, blobs): &(i64, Sequence, &'_ [Blob])| {
            let (session, since) = (*session, since.0 as i64);
            blobs.iter().map(move |blob| (session, since, blob.digest)).collect::<Vec<_>>()
        };
        for (session, since, digest) in contents.iter().flat_map(each) {
            let mut insert = connection.prepare_cached(sql).map_err(storage)?;
            insert.execute(params![session, digest.0, since]).map_err(storage)?;
        }
        Ok(())
    }

    /// Whether a content is kept already. A file that was lost or cut is written again.
    fn is_kept(&self, connection: &Connection, blob: &Blob) -> Result<bool, AppendError> {
        let found = connection
            .prepare_cached("SELECT content IS NULL FROM blob WHERE digest = ?1")
            .and_then(|mut find| find.query_row([blob.digest.0], |row| row.get::<_, bool>(0)).optional())
            .map_err(storage)?;
        if found == Some(true) {
            let path = self.file(&blob.digest);
            if !std::fs::metadata(path).is_ok_and(|file| file.len() == blob.bytes.len() as u64) {
                self.write_file(blob)?;
            }
        }
        Ok(found.is_some())
    }

    fn add(&self, connection: &Connection, blob: &Blob) -> Result<(), AppendError> {
        let is_inline = blob.bytes.len() <= INLINE_BLOB_BYTES_MAX;
        if !is_inline {
            self.write_file(blob)?;
        }
        let content = is_inline.then_some(&blob.bytes[..]);
        connection
            .prepare_cached("INSERT INTO blob (digest, bytes, content) VALUES (?1, ?2, ?3)")
            .and_then(|mut insert| insert.execute(params![blob.digest.0, blob.bytes.len() as i64, content]))
            .map_err(storage)?;
        Ok(())
    }

    /// Written, synced, renamed, both folders synced: from here on it survives a power cut.
    fn write_file(&self, blob: &Blob) -> Result<(), AppendError> {
        let path = self.file(&blob.digest);
        let folder = path.parent().unwrap_or(&self.path);
        let write = || {
            make_folder(folder)?;
            let unfinished = path.with_extension(&UNFINISHED[1..]);
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            file.write_all(&blob.bytes)?;
            file.sync_all()?;
            std::fs::rename(&unfinished, &path)?;
            sync_folder(folder)
        };
        write()
            .map_err(|error| AppendError::Storage(format!("could not keep a content as {}: {error}", path.display())))
    }

    /// Removes files of contents that have just lost their name, unless they got it back.
    pub(crate) fn remove_unnamed(&self, connection: &Connection, digests: &[Digest]) -> rusqlite::Result<()> {
        self.locked(connection, || {
            for digest in digests {
                if !is_named(connection, digest)? {
                    remove(&self.file(digest));
                }
            }
            Ok(())
        })
    }

    /// Removes files that no content names: what a crash left behind. The write lock is taken only if
    /// there are any.
    pub(crate) fn sweep(&self, connection: &Connection) -> rusqlite::Result<()> {
        let files = self.files();
        if files.is_empty() {
            return Ok(());
        }
        let mut statement = connection.prepare("SELECT digest FROM blob WHERE content IS NULL")?;
        let named: HashSet<[u8; 32]> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        let suspects: Vec<_> =
            files.into_iter().filter(|(_, digest)| digest.is_none_or(|digest| !named.contains(&digest.0))).collect();
        if suspects.is_empty() {
            return Ok(());
        }
        self.locked(connection, || {
            for (path, digest) in &suspects {
                // Another process may have named it, or be writing it until a moment ago: look again.
                if digest.is_none_or(|digest| !is_named(connection, &digest).unwrap_or(true)) {
                    remove(path);
                }
            }
            Ok(())
        })
    }

    /// Every file that we could have written, with its digest unless it is unfinished.
    fn files(&self) -> Vec<(PathBuf, Option<Digest>)> {
        let names = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten();
        names(&self.path)
            .flat_map(|folder| names(&folder.path()))
            .filter_map(|file| {
                let name = file.file_name().into_string().ok()?;
                let unfinished = name.strip_suffix(UNFINISHED);
                let digest: Digest = format!("sha256:{}", unfinished.unwrap_or(&name)).parse().ok()?;
                Some((file.path(), unfinished.is_none().then_some(digest)))
            })
            .collect()
    }

    /// Runs something that touches files while no process can write the database.
    fn locked(&self, connection: &Connection, work: impl FnOnce() -> rusqlite::Result<()>) -> rusqlite::Result<()> {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let done = work();
        roll_back(connection);
        done
    }

    fn read_file(&self, digest: &Digest, bytes: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.file(digest);
        let failed = |error: std::io::Error| StoreError::Storage(format!("{}: {error}", path.display()));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut content = Vec::new();
        // One byte more than it should have shows that it grew.
        file.take(bytes.saturating_add(1)).read_to_end(&mut content).map_err(failed)?;
        Ok(Some(content))
    }
}

#[async_trait]
impl Blobs for SqliteStore {
    async fn get(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        // A file that is missing may have been deleted with its session between the two looks.
        for _ in 0..2 {
            let folder = self.shared.blobs.clone();
            let work = move |connection: &Connection| look(&folder, connection, &digest);
            match self.shared.readers.read(StoreError::Storage, work).await? {
                Look::Unknown => return Ok(None),
                Look::Found(content) => return Ok(Some(content)),
                Look::FileMissing => {}
            }
        }
        Err(StoreError::Damaged(format!("the content {digest} is missing from the store. Restore it from a backup")))
    }

    async fn named_by(
        &self,
        session: SessionId,
        after: Option<Digest>,
        digests_max: usize,
    ) -> Result<Vec<Digest>, StoreError> {
        let work = move |connection: &Connection| named_by(connection, session, after, digests_max);
        self.shared.readers.read(StoreError::Storage, work).await
    }
}

/// Takes the contents from a session's row that came with events after `needed` (-1: all), and drops those that no
/// other one names.
pub(crate) fn release(desk: &mut Desk, row: i64, needed: i64) -> rusqlite::Result<()> {
    let connection = &desk.connection;
    let mut unnamed = connection.prepare_cached(
        "SELECT blob.id, digest, bytes, content IS NULL FROM blob_reference AS ours JOIN blob ON blob.id = ours.blob
         WHERE ours.session = ?1 AND (?2 < 0 OR ours.since >= ?2) AND NOT EXISTS (
             SELECT 1 FROM blob_reference AS theirs WHERE theirs.blob = ours.blob AND theirs.session <> ?1)",
    )?;
    let unnamed: Vec<(i64, Digest, i64, bool)> = unnamed
        .query_map([row, needed], |row| Ok((row.get(0)?, Digest(row.get(1)?), row.get(2)?, row.get(3)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let sql = "DELETE FROM blob_reference WHERE session = ?1 AND (?2 < 0 OR since >= ?2)";
    connection.prepare_cached(sql)?.execute([row, needed])?;
    for (blob, digest, bytes, is_file) in unnamed {
        connection.prepare_cached("DELETE FROM blob WHERE id = ?1")?.execute([blob])?;
        connection.prepare_cached("UPDATE store SET blob_bytes = blob_bytes - ?1")?.execute([bytes])?;
        if is_file {
            desk.unnamed.push(digest);
        }
    }
    Ok(())
}

fn named_by(
    connection: &Connection,
    session: SessionId,
    after: Option<Digest>,
    digests_max: usize,
) -> Result<Vec<Digest>, StoreError> {
    let row = session_row(connection, session).map_err(store_error)?.ok_or(StoreError::NotFound(session))?;
    let sql = "SELECT DISTINCT digest FROM blob_reference JOIN blob ON blob.id = blob_reference.blob
               WHERE (?2 IS NULL OR digest > ?2) AND (blob_reference.session = ?1 OR EXISTS (
                   SELECT 1 FROM part WHERE part.session = ?1 AND owner = blob_reference.session AND since < last))
               ORDER BY digest LIMIT ?3";
    let count = i64::try_from(digests_max).unwrap_or(i64::MAX);
    let read = || -> rusqlite::Result<Vec<Digest>> {
        let mut statement = connection.prepare_cached(sql)?;
        let found = statement.query_map(params![row, after.map(|digest| digest.0), count], |row| row.get(0))?;
        found.map(|digest| digest.map(Digest)).collect()
    };
    read().map_err(store_error)
}

enum Look {
    Unknown,
    Found(Arc<[u8]>),
    FileMissing,
}

fn look(folder: &BlobFolder, connection: &Connection, digest: &Digest) -> Result<Look, StoreError> {
    let named = connection
        .prepare_cached("SELECT bytes, content FROM blob WHERE digest = ?1")
        .and_then(|mut statement| {
            let named = statement
                .query_row([digest.0], |row| Ok(Named { bytes: row.get::<_, i64>(0)? as u64, content: row.get(1)? }));
            named.optional()
        })
        .map_err(store_error)?;
    let Some(named) = named else { return Ok(Look::Unknown) };
    let content = match named.content {
        Some(content) => content,
        None => match folder.read_file(digest, named.bytes)? {
            Some(content) => content,
            None => return Ok(Look::FileMissing),
        },
    };
    if Digest::of(&content) != *digest {
        return Err(StoreError::Damaged(format!(
            "the content {digest} was changed in the store. Restore it from a backup"
        )));
    }
    Ok(Look::Found(content.into()))
}

fn is_named(connection: &Connection, digest: &Digest) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM blob WHERE digest = ?1")?.exists([digest.0])
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "could not remove a content that no session names");
    }
}

/// Makes a folder if it is missing, and its name durable: whoever made it may have been killed before
/// that.
fn make_folder(path: &Path) -> std::io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => path.parent().map_or(Ok(()), sync_folder),
    }
}
