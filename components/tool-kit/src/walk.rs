//! Walking the files below a folder, as glob and grep see them.
//!
//! Promise: sorted by path; never follows links; skips `.git`, what `.gitignore` files (of the folder, those
//! above it in the workspace, and those below) and `.git/info/exclude` ignore, and hidden names unless asked;
//! looks at no more than [`ENTRIES`] entries and says when it stopped there. A folder that is named as the start
//! is walked even when it is hidden or ignored: naming it is how to look inside.
//!
//! Not `ignore`'s own walker: it needs what WASI lacks (absolute paths to look for rules above the start).

use std::fs;
use std::ops::ControlFlow;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::{Failure, Workspace, WorkspacePath};

/// How many entries one walk looks at: bounds its time and memory.
pub const ENTRIES: usize = 100_000;

/// Whether a glob names hidden files: some part of it begins with a dot.
pub fn names_hidden(pattern: &str) -> bool {
    pattern.starts_with('.') || ["/.", "{.", ",."].iter().any(|sign| pattern.contains(sign))
}

/// How a walk ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Walked {
    /// Files shown to the visitor.
    pub files: usize,
    /// Folders that could not be read.
    pub unreadable: usize,
    /// Whether entries are missing because there were too many.
    pub cut: bool,
}

/// What a folder's listing says an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
}

/// A folder being walked: what is left of it, in reverse order, and its rules.
struct Level {
    folder: WorkspacePath,
    left: Vec<(String, Kind)>,
    rules: Gitignore,
}

struct Walk {
    hidden: bool,
    limit: usize,
    seen: usize,
    end: Walked,
    /// Rules of the folders above the start, outermost first.
    above: Vec<Gitignore>,
    levels: Vec<Level>,
}

/// Shows every file below `start` to `visit`, until that breaks.
pub fn files(
    workspace: &Workspace,
    start: &WorkspacePath,
    hidden: bool,
    visit: impl FnMut(&WorkspacePath) -> ControlFlow<()>,
) -> Result<Walked, Failure> {
    walk(workspace, start, hidden, ENTRIES, visit)
}

fn walk(
    workspace: &Workspace,
    start: &WorkspacePath,
    hidden: bool,
    limit: usize,
    mut visit: impl FnMut(&WorkspacePath) -> ControlFlow<()>,
) -> Result<Walked, Failure> {
    let mut walk = Walk { hidden, limit, seen: 0, end: Walked::default(), above: Vec::new(), levels: Vec::new() };
    let mut folder = workspace.root_path();
    let exclude = folder.full().join(".git/info/exclude");
    walk.above.push(rules(&folder, &[exclude]));
    for name in start.parts() {
        walk.above.push(rules(&folder, &[folder.full().join(".gitignore")]));
        folder = folder.join(name);
    }
    walk.enter(start.clone()).map_err(|error| Failure::io(workspace, "list", start, &error))?;
    while let Some(level) = walk.levels.last_mut() {
        let Some((name, kind)) = level.left.pop() else {
            walk.levels.pop();
            continue;
        };
        let path = level.folder.join(&name);
        if walk.ignored(&path, kind) {
            continue;
        }
        match kind {
            Kind::File => {
                walk.end.files += 1;
                if visit(&path).is_break() {
                    break;
                }
            }
            Kind::Folder if walk.end.cut => {}
            Kind::Folder => {
                if walk.enter(path).is_err() {
                    walk.end.unreadable += 1;
                }
            }
        }
    }
    Ok(walk.end)
}

impl Walk {
    fn enter(&mut self, folder: WorkspacePath) -> std::io::Result<()> {
        let mut left = Vec::new();
        let mut has_rules = false;
        for entry in fs::read_dir(folder.full())? {
            if self.seen == self.limit {
                self.end.cut = true;
                break;
            }
            self.seen += 1;
            // After an error a listing may not go on: what it gave so far is walked.
            let Ok(entry) = entry else {
                self.end.unreadable += 1;
                break;
            };
            // A name that is not UTF-8 cannot be named in a call either; a host does not even show it.
            let Ok(name) = entry.file_name().into_string() else { continue };
            has_rules |= name == ".gitignore";
            if name == ".git" || (name.starts_with('.') && !self.hidden) {
                continue;
            }
            let kind = match entry.file_type() {
                Ok(kind) if kind.is_dir() => Kind::Folder,
                Ok(kind) if kind.is_file() => Kind::File,
                // Links are not followed: no loops, nothing twice, nothing from elsewhere.
                _ => continue,
            };
            left.push((name, kind));
        }
        left.sort_unstable_by(|one, other| other.0.cmp(&one.0));
        let rules = if has_rules { rules(&folder, &[folder.full().join(".gitignore")]) } else { Gitignore::empty() };
        self.levels.push(Level { folder, left, rules });
        Ok(())
    }

    /// The innermost rule that speaks decides, as in git.
    fn ignored(&self, path: &WorkspacePath, kind: Kind) -> bool {
        let innermost_first = self.levels.iter().rev().map(|level| &level.rules).chain(self.above.iter().rev());
        for rules in innermost_first.filter(|rules| !rules.is_empty()) {
            let matched = rules.matched(path.full(), kind == Kind::Folder);
            if !matched.is_none() {
                return matched.is_ignore();
            }
        }
        false
    }
}

/// The rules in `sources`, for paths below `folder`. Lines that cannot be read as rules say nothing, as in git.
fn rules(folder: &WorkspacePath, sources: &[std::path::PathBuf]) -> Gitignore {
    let mut builder = GitignoreBuilder::new(folder.full());
    for source in sources {
        let _ = builder.add(source);
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Workspace) {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let full = folder.path().join(path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, content).unwrap();
        }
        let workspace = Workspace::at(folder.path());
        (folder, workspace)
    }

    fn seen(workspace: &Workspace, start: &str, hidden: bool) -> Vec<String> {
        let mut paths = Vec::new();
        let start = workspace.resolve(start).unwrap();
        files(workspace, &start, hidden, |path| {
            paths.push(path.shown().to_owned());
            ControlFlow::Continue(())
        })
        .unwrap();
        paths
    }

    #[test]
    fn rules_of_every_level_count_and_the_innermost_decides() {
        let (_folder, workspace) = tree(&[
            (".gitignore", "*.log\n/target\nbuild/\n!kept.log\n"),
            (".git/info/exclude", "private\n"),
            (".git/config", ""),
            ("a.log", ""),
            ("kept.log", ""),
            ("target/x", ""),
            ("src/target", ""),
            ("src/build/x", ""),
            ("src/b.log", ""),
            ("src/.gitignore", "!b.log\nsecret.*\n"),
            ("src/secret.txt", ""),
            ("private/x", ""),
            ("secret.txt", ""),
        ]);
        let expected = ["kept.log", "secret.txt", "src/b.log", "src/target"];
        assert_eq!(seen(&workspace, ".", false), expected);
        assert_eq!(seen(&workspace, "src", false), ["src/b.log", "src/target"]);
        assert_eq!(seen(&workspace, "target", false), ["target/x"]);
    }

    #[test]
    fn hidden_names_are_seen_only_when_asked_and_git_never() {
        let (_folder, workspace) = tree(&[(".env", ""), (".github/ci.yml", ""), (".git/HEAD", ""), ("a", "")]);
        assert_eq!(seen(&workspace, ".", false), ["a"]);
        assert_eq!(seen(&workspace, ".", true), [".env", ".github/ci.yml", "a"]);
        assert_eq!(seen(&workspace, ".github", false), [".github/ci.yml"]);
    }

    #[test]
    #[cfg(unix)]
    fn links_are_not_followed() {
        let (folder, workspace) = tree(&[("a/x", "")]);
        std::os::unix::fs::symlink("..", folder.path().join("a/up")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("out")).unwrap();
        assert_eq!(seen(&workspace, ".", false), ["a/x"]);
    }

    #[test]
    fn too_many_entries_end_the_walk_and_are_told() {
        let (_folder, workspace) = tree(&[("a/1", ""), ("a/2", ""), ("b/3", ""), ("b/4", "")]);
        let root = workspace.root_path();
        let all = walk(&workspace, &root, false, 6, |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(all, Walked { files: 4, unreadable: 0, cut: false });
        let some = walk(&workspace, &root, false, 5, |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(some, Walked { files: 3, unreadable: 0, cut: true });
    }

    #[test]
    fn a_visitor_can_stop_and_a_missing_start_is_said() {
        let (_folder, workspace) = tree(&[("a", ""), ("b", "")]);
        let stopped = walk(&workspace, &workspace.root_path(), false, 9, |_| ControlFlow::Break(())).unwrap();
        assert_eq!(stopped.files, 1);
        let nowhere = workspace.resolve("nowhere").unwrap();
        assert_eq!(files(&workspace, &nowhere, false, |_| ControlFlow::Continue(())).unwrap_err().code, "not-found");
    }
}
