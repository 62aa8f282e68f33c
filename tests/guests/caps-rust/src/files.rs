//! Changing and listing files in every way there is.

use crate::{Told, debug as shown, text};
use serde_json::Value;
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::Write;
use std::time::UNIX_EPOCH;

/// One change, by its name.
pub(crate) fn change(arguments: &Value) -> Told {
    let (path, to) = (text(arguments, "path"), text(arguments, "to"));
    let done = match text(arguments, "how") {
        "write" => fs::write(path, text(arguments, "content")),
        "append" => OpenOptions::new().append(true).open(path).and_then(|mut file| file.write_all(b"x")),
        "create" => OpenOptions::new().write(true).create_new(true).open(path).map(drop),
        "create-only" => OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map(drop),
        "truncate" => OpenOptions::new().write(true).truncate(true).open(path).map(drop),
        "resize" => OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(1)),
        "write-read-only" => File::open(path).and_then(|mut file| file.write_all(b"x")),
        "resize-read-only" => File::open(path).and_then(|file| file.set_len(1)),
        "times" => File::open(path).and_then(|file| file.set_times(FileTimes::new().set_modified(UNIX_EPOCH))),
        "rename" => fs::rename(path, to),
        "link" => fs::hard_link(path, to),
        "remove" => fs::remove_file(path),
        "make-folder" => fs::create_dir(path),
        "remove-folder" => fs::remove_dir(path),
        other => return Err(format!("no change `{other}`")),
    };
    done.map(|()| "changed".to_owned()).map_err(shown)
}

/// The names in a folder.
pub(crate) fn list(arguments: &Value) -> Told {
    let entries = fs::read_dir(text(arguments, "path")).map_err(shown)?;
    let names: Result<Vec<String>, _> =
        entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned())).collect();
    Ok(names.map_err(shown)?.join(","))
}
