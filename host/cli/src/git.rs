//! What version control says of a workspace.
//!
//! Promise: nothing is run and nothing is written; only small files of git's own are read, and the index again only
//! when it changed.
//!
//! Not here: what the log says of it (harness-engine), anything but git (gitrepository-layout(5)).

use harness_core::Digest;
use harness_core::event::GitState;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// `HEAD`, a reference, `gitdir` and `commondir` are one line. Bytes.
const LINE_BYTES_MAX: u64 = 4 << 10;
/// `packed-refs`. Bytes.
const PACKED_BYTES_MAX: u64 = 16 << 20;
/// The index. Bytes.
const INDEX_BYTES_MAX: u64 = 256 << 20;

/// Looks at a workspace's repository again and again.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    /// When the index was changed, how long it was, and its digest.
    index: Option<(SystemTime, u64, Digest)>,
}

impl Repository {
    /// What it says now; none where there is no repository that can be read.
    pub(crate) fn look(&mut self, workspace: &Path) -> Option<GitState> {
        let folder = git_folder(workspace)?;
        let line = read(&folder.join("HEAD"), LINE_BYTES_MAX)?;
        let line = line.trim();
        let (head, commit) = match line.strip_prefix("ref:").map(str::trim) {
            Some(name) => {
                let branch = name.strip_prefix("refs/heads/").unwrap_or(name);
                (branch.to_owned(), commit_of(&folder, name).unwrap_or_default())
            }
            None => (line.to_owned(), line.to_owned()),
        };
        Some(GitState { head, commit, index: self.index_digest(&folder.join("index")) })
    }

    fn index_digest(&mut self, path: &Path) -> Option<Digest> {
        let metadata = std::fs::metadata(path).ok()?;
        let (modified, bytes) = (metadata.modified().ok()?, metadata.len());
        if let Some((then, length, digest)) = self.index
            && (then, length) == (modified, bytes)
        {
            return Some(digest);
        }
        let mut content = Vec::new();
        File::open(path).ok()?.take(INDEX_BYTES_MAX).read_to_end(&mut content).ok()?;
        let digest = Digest::of(&content);
        self.index = Some((modified, bytes, digest));
        Some(digest)
    }
}

/// The folder that git keeps a workspace's HEAD and index in.
fn git_folder(workspace: &Path) -> Option<PathBuf> {
    let found = workspace.ancestors().map(|folder| folder.join(".git")).find(|path| path.exists())?;
    if found.is_dir() {
        return Some(found);
    }
    // A linked worktree or a submodule.
    let line = read(&found, LINE_BYTES_MAX)?;
    let named = PathBuf::from(line.trim().strip_prefix("gitdir:")?.trim());
    Some(if named.is_absolute() { named } else { found.parent()?.join(named) })
}

fn commit_of(folder: &Path, name: &str) -> Option<String> {
    let is_plain = name.starts_with("refs/") && !name.split('/').any(|part| part.is_empty() || part == "..");
    if !is_plain {
        return None;
    }
    let common = read(&folder.join("commondir"), LINE_BYTES_MAX).map(|line| folder.join(line.trim()));
    let folders = [Some(folder.to_owned()), common];
    for folder in folders.iter().flatten() {
        if let Some(line) = read(&folder.join(name), LINE_BYTES_MAX) {
            return Some(line.trim().to_owned());
        }
    }
    let packed = folders.iter().flatten().find_map(|folder| read(&folder.join("packed-refs"), PACKED_BYTES_MAX))?;
    packed.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix(' ').map(str::to_owned))
}

fn read(path: &Path, bytes_max: u64) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(bytes_max).read_to_string(&mut text).ok()?;
    Some(text)
}

/// How two looks differ, in words; none where they do not.
pub(crate) fn difference(then: Option<&GitState>, now: Option<&GitState>) -> Option<String> {
    let shown = |git: &GitState| {
        let commit: String = git.commit.chars().take(12).collect();
        let at = if commit.is_empty() { "before its first commit".to_owned() } else { format!("at {commit}") };
        crate::paint::one_line(&format!("{} {at}", git.head), 120)
    };
    match (then, now) {
        (Some(then), Some(now)) if (&then.head, &then.commit) != (&now.head, &now.commit) => {
            Some(format!("git's HEAD was {} and is {}: it stays as it is", shown(then), shown(now)))
        }
        (Some(then), Some(now)) if then.index != now.index => {
            Some("git's index is not what it was: it stays as it is".to_owned())
        }
        (Some(then), None) => Some(format!("git's HEAD was {}, and there is no repository now", shown(then))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_commit_and_index_are_read_and_differences_told() {
        let folder = tempfile::tempdir().unwrap();
        let git = folder.path().join(".git");
        let write = |path: &str, text: &str| {
            let path = git.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let inside = folder.path().join("src");
        std::fs::create_dir(&inside).unwrap();
        let mut repository = Repository::default();
        assert_eq!(repository.look(&inside).filter(|_| git.exists()), None);
        write("HEAD", "ref: refs/heads/main\n");
        let first = repository.look(&inside).unwrap();
        assert_eq!(first, GitState { head: "main".into(), commit: String::new(), index: None });
        write("packed-refs", "# pack-refs\nabc123 refs/heads/main\nfff refs/heads/other\n");
        let packed = repository.look(&inside).unwrap();
        assert_eq!(packed.commit, "abc123");
        write("refs/heads/main", "def456\n");
        write("index", "DIRC");
        let loose = repository.look(&inside).unwrap();
        assert_eq!((loose.commit.as_str(), loose.index), ("def456", Some(Digest::of(b"DIRC"))));
        write("HEAD", "def456\n");
        let detached = repository.look(&inside).unwrap();
        assert_eq!((detached.head.as_str(), detached.commit.as_str()), ("def456", "def456"));
        write("HEAD", "ref: refs/../../escape\n");
        assert_eq!(repository.look(&inside).unwrap().commit, "");

        let told = difference(Some(&packed), Some(&loose)).unwrap();
        assert_eq!(told, "git's HEAD was main at abc123 and is main at def456: it stays as it is");
        assert!(difference(Some(&GitState { index: None, ..loose.clone() }), Some(&loose)).unwrap().contains("index"));
        assert_eq!(difference(Some(&loose), Some(&loose)), None);
        assert_eq!(difference(None, Some(&loose)), None);
    }
}
