//! The tool `write_file`: a whole file at once.
//!
//! Promise: the file ends up with exactly the given content, and the answer tells whether there was one before.

use std::fs;
use std::io;

use serde::Deserialize;
use tool_kit::{Failure, Reply, Workspace, text};

tool_kit::export_tool!("write_file", run);

/// The arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    path: String,
    content: String,
}

/// Runs the tool.
pub fn run(workspace: &Workspace, arguments: Arguments) -> Reply {
    let path = workspace.resolve(&arguments.path)?;
    let failed = |error: io::Error| Failure::io(workspace, "write", &path, &error);
    let before = match fs::metadata(path.full()) {
        Ok(metadata) if metadata.is_dir() => {
            return Err(Failure::is_directory(&path, "give the path of a file in it"));
        }
        Ok(metadata) if !metadata.is_file() => {
            return Err(Failure::unsupported("not-a-file", format!("{} is not a regular file", path.shown())));
        }
        Ok(metadata) => Some(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    if arguments.path.ends_with('/') {
        return Err(Failure::invalid("is-directory", format!("{} names a folder, not a file", arguments.path)));
    }
    if let (None, Some(folder)) = (before, path.full().parent())
        && !folder.is_dir()
    {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path.full(), &arguments.content).map_err(failed)?;
    let (lines, bytes) = (text::lines(arguments.content.as_bytes()), arguments.content.len());
    let now = format!("{}, {}", text::count(lines, "line"), text::count(bytes, "byte"));
    Ok(match before {
        None => format!("created {}: {now}", path.shown()),
        Some(before) => format!("overwrote {}: {now} (before: {before})", path.shown()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(workspace: &Workspace, path: &str, content: &str) -> Reply {
        run(workspace, Arguments { path: path.into(), content: content.into() })
    }

    #[test]
    fn creates_and_overwrites_and_says_which() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::at(folder.path());
        for (path, content, expected) in [
            ("a/b/c.txt", "one\ntwo\n", "created a/b/c.txt: 2 lines, 8 bytes"),
            ("a/b/c.txt", "é", "overwrote a/b/c.txt: 1 line, 2 bytes (before: 8)"),
            ("/workspace/empty", "", "created empty: 0 lines, 0 bytes"),
            ("./a/x", "\r\n", "created a/x: 1 line, 2 bytes"),
        ] {
            assert_eq!(write(&workspace, path, content).unwrap(), expected);
            let full = folder.path().join(path.trim_start_matches("/workspace/"));
            assert_eq!(fs::read_to_string(full).unwrap(), content);
        }
    }

    #[test]
    fn refuses_what_cannot_be_a_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("src")).unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let workspace = Workspace::at(folder.path());
        for (path, expected) in [
            ("src", "src is a folder"),
            (".", ". is a folder"),
            ("new/", "names a folder"),
            ("file/x", "file is a file, not a folder"),
            ("file/x/y", "file is a file, not a folder"),
            ("../x", "outside the workspace"),
            ("/etc/x", "outside the workspace"),
        ] {
            let failure = write(&workspace, path, "x").unwrap_err();
            assert!(failure.message.contains(expected), "{path}: {}", failure.message);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
