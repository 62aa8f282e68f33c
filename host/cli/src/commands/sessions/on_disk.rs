//! What stands on disk, against what a plan to undo expects there.
//!
//! Promise: nothing is changed and no link is followed; a path counts as the engine's hand counts it when it puts
//! the plan in place, but for what changes in between.
//!
//! Not here: putting it in place (harness-wasm).

use crate::failure::Failure;
use harness_core::Digest;
use harness_core::change::{Change, FileState, Manifest};
use harness_engine::Standing;
use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Who may execute a file: its owner. POSIX, `S_IXUSR`.
const OWNER_EXECUTES: u32 = 0o100;

/// A file that somebody else made is replaced up to this size. Bytes.
const REPLACED_FILE_BYTES_MAX: u64 = 1 << 30;

/// Where a plan and the disk differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OnDisk {
    /// Paths that are not what the plan found in the log.
    pub(super) changed: Vec<String>,
    /// Paths that are already what the plan would make of them.
    pub(super) already: Vec<String>,
}

/// Looks at every path of a plan.
pub(super) fn compare(workspace: &Path, plan: &Manifest) -> Result<OnDisk, Failure> {
    let planned: BTreeSet<&str> = plan.entries().iter().map(|change| change.path.as_str()).collect();
    let mut on_disk = OnDisk::default();
    for change in plan.entries() {
        let failed = |error: io::Error| Failure::failed(format!("{} cannot be looked at: {error}", change.path));
        let is_already = stands(workspace, &change.path, change.after.as_ref()).map_err(failed)?;
        if is_already {
            on_disk.already.push(change.path.clone());
        } else if !stands(workspace, &change.path, change.before.as_ref()).map_err(failed)?
            || !can_be_done(workspace, change, &planned).map_err(failed)?
        {
            on_disk.changed.push(change.path.clone());
        }
    }
    Ok(on_disk)
}

/// What stands at every path of a plan, for one that is to replace it.
///
/// # Errors
/// Where something stands that no change can be made over: a link, or a file that is too large to be compared.
pub(super) fn standing(workspace: &Path, plan: &Manifest) -> Result<Standing, Failure> {
    let mut standing = Standing::new();
    for Change { path, .. } in plan.entries() {
        let failed = |why: String| Failure::failed(format!("{path} cannot be replaced: {why}"));
        let found = match look(workspace, path).map_err(|error| failed(error.to_string()))? {
            None => None,
            Some(found) if found.is_dir() => Some(FileState::Directory),
            Some(found) if found.is_file() && found.len() <= REPLACED_FILE_BYTES_MAX => {
                let (executable, bytes) = (found.permissions().mode() & OWNER_EXECUTES != 0, found.len());
                let digest = digest_of(&workspace.join(path), bytes).map_err(|error| failed(error.to_string()))?;
                Some(FileState::File { digest, bytes, executable })
            }
            Some(_) => return Err(failed("a link, or a file that is too large, stands there".to_owned())),
        };
        standing.insert(path.clone(), found);
    }
    Ok(standing)
}

/// Whether a folder that is to go holds nothing of somebody else's, and one that is to hold something is there.
fn can_be_done(workspace: &Path, change: &Change, planned: &BTreeSet<&str>) -> io::Result<bool> {
    if change.before == Some(FileState::Directory) {
        for entry in std::fs::read_dir(workspace.join(&change.path))? {
            let name = entry?.file_name();
            let path = format!("{}/{}", change.path, name.to_string_lossy());
            if !planned.contains(path.as_str()) {
                return Ok(false);
            }
        }
    }
    match change.path.rsplit_once('/') {
        Some((parent, _)) if change.after.is_some() && !planned.contains(parent) => {
            stands(workspace, parent, Some(&FileState::Directory))
        }
        _ => Ok(true),
    }
}

/// Whether a path stands as it should, or nothing is there where nothing should be.
fn stands(workspace: &Path, path: &str, expected: Option<&FileState>) -> io::Result<bool> {
    let Some(found) = look(workspace, path)? else { return Ok(expected.is_none()) };
    match expected {
        None => Ok(false),
        Some(FileState::Directory) => Ok(found.is_dir()),
        Some(FileState::File { digest, bytes, executable }) => {
            let is_executable = found.permissions().mode() & OWNER_EXECUTES != 0;
            let may_be = found.is_file() && found.len() == *bytes && is_executable == *executable;
            Ok(may_be && digest_of(&workspace.join(path), *bytes)? == *digest)
        }
    }
}

/// What is at a path; nothing where nothing is. What is behind a link is not looked at: the link is.
pub(super) fn look(workspace: &Path, path: &str) -> io::Result<Option<Metadata>> {
    let mut at = workspace.to_owned();
    let mut found = None;
    for part in path.split('/') {
        at.push(part);
        match std::fs::symlink_metadata(&at) {
            Ok(metadata) if metadata.is_symlink() => return Ok(Some(metadata)),
            Ok(metadata) => found = Some(metadata),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The digest of a file's content, of which no more than what is expected is read, and one byte.
fn digest_of(path: &Path, bytes_expected: u64) -> io::Result<Digest> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_expected.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(Digest::of(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str, executable: bool) -> Option<FileState> {
        let (digest, bytes) = (Digest::of(content.as_bytes()), content.len() as u64);
        Some(FileState::File { digest, bytes, executable })
    }

    #[test]
    fn each_path_is_as_expected_done_already_or_changed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for made in ["own", "others", "deep"] {
            std::fs::create_dir(at(made)).unwrap();
        }
        for (path, content) in [("same", "a"), ("done", "b"), ("other", "x"), ("run", "a"), ("own/in", "a")] {
            std::fs::write(at(path), content).unwrap();
        }
        std::fs::write(at("others/theirs"), "mine").unwrap();
        std::os::unix::fs::symlink(at("same"), at("link")).unwrap();
        std::os::unix::fs::symlink(at("deep"), at("behind")).unwrap();
        let directory = Some(FileState::Directory);
        let change = |path: &str, before: Option<FileState>, after: Option<FileState>| Change {
            path: path.to_owned(),
            before,
            after,
        };
        let plan = Manifest::new(vec![
            change("same", file("a", false), None),
            change("done", file("a", false), file("b", false)),
            change("gone", file("a", false), None),
            change("other", file("a", false), None),
            change("run", file("a", true), None),
            change("link", file("a", false), None),
            change("behind/file", None, file("a", false)),
            change("own", directory.clone(), None),
            change("own/in", file("a", false), None),
            change("others", directory, None),
            change("nowhere/file", None, file("a", false)),
        ]);
        let mut found = compare(folder.path(), &plan).unwrap();
        found.changed.sort();
        found.already.sort();
        assert_eq!(found.changed, ["behind/file", "link", "nowhere/file", "other", "others", "run"]);
        assert_eq!(found.already, ["done", "gone"]);
    }
}
