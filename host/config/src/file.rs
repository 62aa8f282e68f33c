//! Reads small files with a limit, and replaces them whole.
//!
//! Promise: never more than the limit is read, and a pipe or device at the path is refused and not
//! waited for. A file that is not there is no error. A reader sees the old file or the new one, never half of one.
//! Who holds a lock is the only one of all processes that does, and nobody waits for it without end.

use crate::problem::Fault;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// A configuration file is at most this long, in bytes.
pub const CONFIG_FILE_BYTES_MAX: usize = 1 << 20;

/// The bytes of a file, or none if there is no file.
pub(crate) fn read(path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, Fault> {
    let unreadable = |error: std::io::Error| Fault::Unreadable { message: error.to_string() };
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err(Fault::NotAFile),
        Ok(_) => {}
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > bytes_max {
        return Err(Fault::TooLarge { bytes_max });
    }
    Ok(Some(bytes))
}

/// Another process may take this long over a change, in milliseconds.
const LOCK_WAIT_MS_MAX: u64 = 10_000;
/// A lock that another process holds is tried again after this long, in milliseconds.
const LOCK_RETRY_MS: u64 = 20;

/// Locks a file or folder for this process alone, until it is dropped.
pub(crate) fn locked(file: File) -> io::Result<File> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if begun.elapsed() >= Duration::from_millis(LOCK_WAIT_MS_MAX) => {
                let words = format!("another process has been changing it for {LOCK_WAIT_MS_MAX} ms: try again");
                return Err(io::Error::new(ErrorKind::TimedOut, words));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(LOCK_RETRY_MS)),
        }
    }
}

/// Makes the folder of a file, if it is not there.
pub(crate) fn make_folder_of(path: &Path, readers: Readers) -> io::Result<&Path> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    if readers == Readers::Owner {
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    }
    builder.create(folder)?;
    Ok(folder)
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Who may read a file that is written here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Its owner only.
    Owner,
    /// Whoever the process's umask lets: a team shares its project's files.
    Umask,
}

/// Puts a file in place whole, and durably.
pub(crate) fn replace(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    make_folder_of(path, readers)?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = write_new(&temporary, bytes, readers).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary); // The first error is the one to tell.
    }
    written
}

fn write_new(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if readers == Readers::Owner {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
