//! Reads small files with a limit.
//!
//! Promise: never more than the limit is read, and a pipe or device at the path is refused and not
//! waited for. A file that is not there is no error.

use crate::problem::Fault;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

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

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
