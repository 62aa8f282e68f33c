//! Folders as values: what is in them, to compare and to copy.

use harness_core::Digest;
use std::collections::BTreeMap;
use std::path::Path;

/// Files larger than this stand for themselves by digest and size.
const SHOWN_BYTES_MAX: usize = 64 << 10;

/// Every file of a folder by its path; folders end with a slash.
///
/// # Panics
/// If the folder cannot be read.
pub fn read(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    collect(folder, "", &mut found);
    found
}

/// The same, with large files in short.
pub fn read_short(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = read(folder);
    for bytes in found.values_mut().filter(|bytes| bytes.len() > SHOWN_BYTES_MAX) {
        *bytes = format!("{}, {} bytes\n", Digest::of(bytes), bytes.len()).into_bytes();
    }
    found
}

fn collect(folder: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let entry = entry.expect("an entry");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().expect("a type").is_dir() {
            found.insert(format!("{name}/"), Vec::new());
            collect(&entry.path(), &format!("{name}/"), found);
        } else {
            found.insert(name, std::fs::read(entry.path()).expect("a file"));
        }
    }
}

/// Writes what [`read`] gave into an empty folder.
///
/// # Panics
/// If it cannot be written.
pub fn write(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    std::fs::create_dir_all(folder).expect("a folder");
    for (name, bytes) in files {
        let path = folder.join(name);
        if name.ends_with('/') {
            std::fs::create_dir_all(path).expect("a folder");
        } else {
            std::fs::create_dir_all(path.parent().expect("inside")).expect("a folder");
            std::fs::write(path, bytes).expect("a file");
        }
    }
}

/// Where two folders differ, in words.
pub fn difference(expected: &BTreeMap<String, Vec<u8>>, found: &BTreeMap<String, Vec<u8>>) -> Option<String> {
    // A folder of a repository cannot be empty, so one that holds something need not be named.
    let named = |files: &BTreeMap<String, Vec<u8>>| {
        let mut named = files.clone();
        named.retain(|name, _| {
            !name.ends_with('/') || !files.keys().any(|other| other != name && other.starts_with(name.as_str()))
        });
        named
    };
    let (expected, found) = (named(expected), named(found));
    for name in expected.keys().chain(found.keys()) {
        let text = |files: &BTreeMap<String, Vec<u8>>| {
            files.get(name).map(|bytes| String::from_utf8_lossy(&bytes[..bytes.len().min(2_000)]).into_owned())
        };
        if expected.get(name) != found.get(name) {
            return Some(format!("{name}: expected {:?}, found {:?}", text(&expected), text(&found)));
        }
    }
    None
}
