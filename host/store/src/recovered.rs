//! What is found in the write-ahead log when nobody has the database open: on the disk before it is believed.
//!
//! Promise: after [`settle`] everything that is read from the log is on the disk, whatever became of the syncs of
//! those who wrote it; that nothing was left costs nothing, and nobody waits where others are at work.
//!
//! A commit whose sync failed was refused, but it may stand in the system's cache, whole and with the right
//! checksums. If the process is killed then, the next one to open the database finds and believes it: recovery
//! reads the log and syncs nothing. What that one appends would go with it at a power cut. To sync the log is not
//! enough, since after a failed fsync the system holds the pages for written (fsync(2)); to copy it into the
//! database would leave pages there whose log is gone. So the same bytes are written once more where they stand.
//!
//! Not here: recovery itself, and copying into the database, which are SQLite's.

use crate::schema::roll_back;
use rusqlite::{Connection, ffi};
use std::ffi::c_int;
use std::ptr::null_mut;

/// Bytes that are read and written at once: no more than the largest page, since SQLite asks for no more itself.
const CHUNK_BYTES: u64 = 64 << 10;
/// The log's own header and that of each page in it (<https://sqlite.org/fileformat2.html#walformat>). Bytes.
const LOG_HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: u64 = 24;
/// A part of the index of the log (<https://sqlite.org/walformat.html>, 2.1), as SQLite asks for it. Bytes.
const INDEX_PART_BYTES: c_int = 32 << 10;

/// Writes what recovery found in the log once more and syncs it, unless somebody has committed since: whoever did
/// has opened the database before us, one at a time, and so did this already.
pub(crate) fn settle(connection: &Connection) -> rusqlite::Result<()> {
    // Has SQLite open the log, if it has not.
    connection.pragma_query_value(None, "user_version", |_| Ok(()))?;
    let main = file(connection, ffi::SQLITE_FCNTL_FILE_POINTER)?;
    if Recovered::read(main)?.is_none() {
        return Ok(());
    }
    // Nobody else writes the log meanwhile, not even another program.
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let done = Recovered::read(main).and_then(|recovered| match recovered {
        Some(recovered) => write_again(file(connection, ffi::SQLITE_FCNTL_JOURNAL_POINTER)?, recovered.log_bytes()),
        None => Ok(()),
    });
    roll_back(connection);
    done
}

/// A log that nobody has committed to since it was recovered.
struct Recovered {
    page_bytes: u64,
    pages: u64,
}

impl Recovered {
    /// From the header of the index: its count of commits begins at 0 with each recovery.
    fn read(main: *mut ffi::sqlite3_file) -> rusqlite::Result<Option<Self>> {
        let mut part = null_mut();
        // SAFETY: `main` is the open database of a connection that only this thread uses. SQLite mapped this part
        // when it read the database, with the same size, and keeps it until the log or the connection is closed.
        let (code, header) = unsafe {
            let map = (*(*main).pMethods).xShmMap.ok_or_else(|| failure(ffi::SQLITE_IOERR_SHMMAP))?;
            let code = map(main, 0, INDEX_PART_BYTES, 0, &raw mut part);
            // Five words of the native byte order; others may write them at the same time.
            let word = |index: usize| part.cast::<u32>().add(index).read_volatile();
            (code, (code == ffi::SQLITE_OK && !part.is_null()).then(|| [word(2), word(3), word(4)]))
        };
        check(code)?;
        let Some([commits, form, pages]) = header else { return Ok(None) };
        // Two bytes of flags, then the size of a page; 1 stands for 65536.
        let [_, _, low, high] = form.to_ne_bytes();
        let page_bytes = match u16::from_ne_bytes([low, high]) {
            1 => 1 << 16,
            size => u64::from(size),
        };
        Ok((commits == 0 && pages > 0).then_some(Self { page_bytes, pages: u64::from(pages) }))
    }

    fn log_bytes(&self) -> u64 {
        LOG_HEADER_BYTES + self.pages * (FRAME_HEADER_BYTES + self.page_bytes)
    }
}

/// Reads so much of a file from its beginning, writes the same, and syncs it with its name.
fn write_again(log: *mut ffi::sqlite3_file, bytes: u64) -> rusqlite::Result<()> {
    let mut chunk = vec![0_u8; CHUNK_BYTES as usize];
    let mut at = 0;
    // SAFETY: `log` is the open log of a connection that only this thread uses; `amount` is never more than `chunk`.
    unsafe {
        let methods = &*(*log).pMethods;
        let (Some(read), Some(write), Some(sync)) = (methods.xRead, methods.xWrite, methods.xSync) else {
            return Err(failure(ffi::SQLITE_IOERR));
        };
        while at < bytes {
            let amount = CHUNK_BYTES.min(bytes - at);
            check(read(log, chunk.as_mut_ptr().cast(), amount as c_int, at as i64))?;
            check(write(log, chunk.as_ptr().cast(), amount as c_int, at as i64))?;
            at += amount;
        }
        check(sync(log, ffi::SQLITE_SYNC_FULL))
    }
}

/// The database's file or its log, as `which` says.
fn file(connection: &Connection, which: c_int) -> rusqlite::Result<*mut ffi::sqlite3_file> {
    let mut file: *mut ffi::sqlite3_file = null_mut();
    // SAFETY: the handle is open; both operations write one pointer to where the last argument points.
    let code =
        unsafe { ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), which, (&raw mut file).cast()) };
    check(code)?;
    // SAFETY: SQLite gave the pointer to a file that lives as long as the connection.
    if file.is_null() || unsafe { (*file).pMethods.is_null() } {
        return Err(failure(ffi::SQLITE_CANTOPEN));
    }
    Ok(file)
}

fn check(code: c_int) -> rusqlite::Result<()> {
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(failure(code)) }
}

fn failure(code: c_int) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}
