//! Paths as models write them, made into paths under the workspace.
//!
//! Promise: a [`WorkspacePath`] lies under the workspace's root, judged by its text alone. Where links lead
//! is not judged here: the host resolves them, and refuses those that leave.

use std::path::{Path, PathBuf};

use crate::Failure;

/// Where the host puts the workspace.
const PREOPEN: &str = "/workspace";

/// The folder a tool works in.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
}

/// A path in the workspace: as the file system wants it, and as people and models see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspacePath {
    full: PathBuf,
    shown: String,
}

impl Workspace {
    /// The workspace as the host lends it.
    pub fn preopened() -> Self {
        Self::at(PREOPEN)
    }

    /// A workspace at any folder, for tests.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The workspace's own folder.
    pub fn root_path(&self) -> WorkspacePath {
        WorkspacePath { full: self.root.clone(), shown: ".".to_owned() }
    }

    /// The path that `text` means: relative to the workspace, or starting with `/workspace/`.
    pub fn resolve(&self, text: &str) -> Result<WorkspacePath, Failure> {
        if text.is_empty() {
            return Err(Failure::invalid("empty-path", "the path is empty; . is the workspace itself"));
        }
        if text.contains('\0') {
            return Err(Failure::invalid("bad-path", "the path holds a NUL character"));
        }
        let outside = || {
            let message = format!(
                "{text} is outside the workspace; paths are relative to the workspace or start with {PREOPEN}/"
            );
            Failure::invalid("outside-workspace", message)
        };
        let inside = match text.strip_prefix(PREOPEN) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
            // `~` would be an ordinary name here, which is never what was meant.
            _ if text.starts_with('/') || text == "~" || text.starts_with("~/") => return Err(outside()),
            _ => text,
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in inside.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop().ok_or_else(outside)?;
                }
                name => parts.push(name),
            }
        }
        Ok(parts.into_iter().fold(self.root_path(), |folder, name| folder.join(name)))
    }
}

impl WorkspacePath {
    /// For the file system.
    pub fn full(&self) -> &Path {
        &self.full
    }

    /// For people and models: relative to the workspace, `.` for the workspace itself.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The names this path is made of, from the workspace's root on.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.shown.split('/').filter(|part| *part != ".")
    }

    /// The entry `name` of this folder.
    pub fn join(&self, name: &str) -> Self {
        let shown = if self.shown == "." { name.to_owned() } else { format!("{}/{name}", self.shown) };
        Self { full: self.full.join(name), shown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_by_text_alone() {
        let workspace = Workspace::at("/root");
        for (text, expected) in [
            (".", "."),
            ("a", "a"),
            ("./a//b/", "a/b"),
            ("a/../b", "b"),
            ("a/..", "."),
            ("/workspace", "."),
            ("/workspace/", "."),
            ("/workspace/a/b", "a/b"),
            ("/workspace/./a/../c", "c"),
            ("workspace/a", "workspace/a"),
            ("a/~", "a/~"),
            ("...", "..."),
            ("a b/ü", "a b/ü"),
        ] {
            let path = workspace.resolve(text).unwrap();
            assert_eq!(path.shown(), expected, "{text}");
            let below = if expected == "." { "" } else { expected };
            assert_eq!(path.full(), Path::new("/root").join(below), "{text}");
        }
    }

    #[test]
    fn refuses_what_leaves_the_workspace() {
        let workspace = Workspace::at("/root");
        for (text, code) in [
            ("", "empty-path"),
            ("..", "outside-workspace"),
            ("a/../..", "outside-workspace"),
            ("a/../../root/b", "outside-workspace"),
            ("/", "outside-workspace"),
            ("/etc/passwd", "outside-workspace"),
            ("/workspaces/a", "outside-workspace"),
            ("/workspace/..", "outside-workspace"),
            ("/workspace/../workspace/a", "outside-workspace"),
            ("~", "outside-workspace"),
            ("~/.ssh/id", "outside-workspace"),
            ("a\0b", "bad-path"),
        ] {
            assert_eq!(workspace.resolve(text).unwrap_err().code, code, "{text:?}");
        }
    }
}
