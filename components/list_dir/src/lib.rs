//! The tool `list_dir`: what is in one folder.
//!
//! Promise: sorted by name; memory does not depend on how many entries there are; of what the host shows, whatever
//! is left out here is counted.
//!
//! Not here: names that are not UTF-8. The host leaves them out of a listing without a word, so a folder that is
//! said to be empty may hold some.

use std::fs;
use std::io;

use serde::Deserialize;
use tool_kit::{Failure, Reply, Workspace, text};

tool_kit::export_tool!("list_dir", run);

const SHOWN: usize = 1_000;

/// The arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    path: Option<String>,
}

/// Runs the tool.
pub fn run(workspace: &Workspace, arguments: Arguments) -> Reply {
    let path = workspace.resolve(arguments.path.as_deref().unwrap_or("."))?;
    let failed = |error: io::Error| Failure::io(workspace, "list", &path, &error);
    let metadata = fs::metadata(path.full()).map_err(failed)?;
    if !metadata.is_dir() {
        let message =
            format!("{} is a file ({}), not a folder; use read_file", path.shown(), text::size(metadata.len()));
        return Err(Failure::invalid("not-a-directory", message));
    }
    let mut entries = Vec::new();
    let (mut total, mut unreadable) = (0usize, 0usize);
    for entry in fs::read_dir(path.full()).map_err(failed)? {
        // After an error a listing may not go on.
        let Ok(entry) = entry else {
            unreadable += 1;
            break;
        };
        total += 1;
        entries.push((entry.file_name(), entry.file_type().ok()));
        if entries.len() == 2 * SHOWN {
            keep_first(&mut entries);
        }
    }
    keep_first(&mut entries);
    if total == 0 && unreadable == 0 {
        return Ok(format!("[{} is empty]", path.shown()));
    }
    let mut listing = String::new();
    let mut shown = 0;
    for (name, kind) in &entries {
        let line = match kind {
            Some(kind) if kind.is_dir() => "/".to_owned(),
            Some(kind) if kind.is_symlink() => "\tlink".to_owned(),
            Some(kind) if kind.is_file() => match fs::symlink_metadata(path.full().join(name)) {
                Ok(metadata) => format!("\t{}", text::size(metadata.len())),
                Err(error) => format!("\t({error})"),
            },
            _ => "\tspecial".to_owned(),
        };
        let name = text::printable(&name.to_string_lossy());
        if listing.len() + name.len() + line.len() + 1 > text::OUTPUT_BYTES {
            break;
        }
        listing.push_str(&name);
        listing.push_str(&line);
        listing.push('\n');
        shown += 1;
    }
    if shown < total {
        listing.push_str(&format!("[{} more entries; glob with a pattern finds particular ones]", total - shown));
    }
    if unreadable > 0 {
        listing.push_str("[the listing broke off: more entries may exist]");
    }
    Ok(listing)
}

/// Keeps the entries that are shown.
fn keep_first<T>(entries: &mut Vec<(std::ffi::OsString, T)>) {
    entries.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    entries.truncate(SHOWN);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(workspace: &Workspace, path: Option<&str>) -> Reply {
        run(workspace, Arguments { path: path.map(str::to_owned) })
    }

    #[test]
    fn sorted_with_sizes_and_marks() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::at(folder.path());
        assert_eq!(list(&workspace, None).unwrap(), "[. is empty]");
        fs::create_dir_all(folder.path().join("src/deep")).unwrap();
        fs::write(folder.path().join("b.txt"), "12345").unwrap();
        fs::write(folder.path().join(".hidden"), "").unwrap();
        fs::write(folder.path().join("big"), vec![0; 3 << 10]).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("b.txt", folder.path().join("z")).unwrap();
        #[cfg(unix)]
        assert_eq!(list(&workspace, None).unwrap(), ".hidden\t0 B\nb.txt\t5 B\nbig\t3.0 KiB\nsrc/\nz\tlink\n");
        assert_eq!(list(&workspace, Some("src/")).unwrap(), "deep/\n");
        assert_eq!(list(&workspace, Some("/workspace/src/deep")).unwrap(), "[src/deep is empty]");
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..2_500 {
            fs::write(folder.path().join(format!("{number:04}")), "").unwrap();
        }
        let listing = list(&Workspace::at(folder.path()), Some(".")).unwrap();
        assert!(listing.starts_with("0000\t0 B\n0001\t"), "{listing}");
        assert!(listing.contains("0999\t0 B\n[1500 more entries;"), "{listing}");
    }

    #[test]
    fn files_and_missing_folders_say_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "123").unwrap();
        let workspace = Workspace::at(folder.path());
        for (path, expected) in [
            ("file", "file is a file (3 B), not a folder; use read_file"),
            ("fil", "did you mean file?"),
            ("..", "outside the workspace"),
        ] {
            let failure = list(&workspace, Some(path)).unwrap_err();
            assert!(failure.message.contains(expected), "{path}: {}", failure.message);
        }
    }
}
