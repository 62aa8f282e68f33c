//! Which permissions a put file or directory gets.
//!
//! Promise: nothing becomes readable to more people by being put in place or taken back. A changed file keeps
//! its permissions, and only where its executable bit changes are those bits changed, as `chmod` has it. A
//! moved file (its content stood at a path that loses it) takes the permissions of where it stood, and the
//! directories made for it those of the directories it stood in, less the umask; of several the narrowest.
//! What stood there may be gone since a run that was killed: then nobody but the owner gets anything. The
//! same goes for what is taken back and was never seen.
//!
//! Not here: what is new in every way gets what the process's umask leaves.

use harness_core::{Change, Digest, FileState, Manifest};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A file's permissions where they cannot be known.
const FILE_UNKNOWN: u32 = 0o600;
/// A directory's permissions where they cannot be known; a directory's owner has at least these.
const DIRECTORY_UNKNOWN: u32 = 0o700;

/// The permissions of one call's paths.
#[derive(Debug, Default)]
pub(super) struct Modes {
    /// As first seen in this run.
    files: BTreeMap<String, u32>,
    directories: BTreeMap<String, u32>,
    /// What is put gets; what is not in here gets what the umask leaves.
    wanted: BTreeMap<String, u32>,
}

impl Modes {
    /// Remembers a file's permissions before anything changes.
    pub(super) fn see_file(&mut self, path: &str, mode: u32) {
        self.files.entry(path.to_owned()).or_insert(mode & 0o777);
    }

    /// The same for a directory.
    pub(super) fn see_directory(&mut self, path: &str, mode: u32) {
        self.directories.entry(path.to_owned()).or_insert(mode & 0o777);
    }

    /// What a path is to get; nothing if it is new in every way.
    pub(super) fn wanted(&self, path: &str) -> Option<u32> {
        self.wanted.get(path).copied()
    }

    /// Decides for a manifest that was surveyed. `restoring`: it takes another back.
    pub(super) fn decide(&mut self, manifest: &Manifest, restoring: bool) {
        self.wanted.clear();
        let entries = manifest.entries();
        let paths = |of: fn(&Change) -> bool| -> BTreeSet<&str> {
            entries.iter().filter(|change| of(change)).map(|change| change.path.as_str()).collect()
        };
        let lost = paths(|change| is_directory(&change.before) && !is_directory(&change.after));
        let made = paths(|change| is_directory(&change.after) && !is_directory(&change.before));
        let left = self.left(entries, &lost);
        let mut directories: BTreeMap<&str, u32> = BTreeMap::new();
        for change in entries {
            let Some((digest, executable)) = file(&change.after) else { continue };
            let own = self.files.get(&change.path).copied();
            let line = left.get(&digest).filter(|_| file(&change.before).is_none_or(|(before, _)| before != digest));
            let moved = line.and_then(|line| line.first()).copied();
            let mode = match (own, moved) {
                (Some(own), _) if restoring => Some(own),
                (Some(own), Some(moved)) => Some(narrower(own, moved)),
                (own, moved) => own.or(moved).or(restoring.then_some(FILE_UNKNOWN)),
            };
            if let Some(mode) = mode {
                self.wanted.insert(change.path.clone(), with_bit(mode, executable));
            }
            for (above, mode) in above(&change.path, &made).zip(line.into_iter().flatten().skip(1)) {
                directories.entry(above).and_modify(|known| *known = narrower(*known, *mode)).or_insert(*mode);
            }
        }
        for &path in &made {
            let own = self.directories.get(path).filter(|_| restoring).copied();
            let moved = directories.get(path).copied();
            if let Some(mode) = own.or(moved).or(restoring.then_some(DIRECTORY_UNKNOWN)) {
                self.wanted.insert(path.to_owned(), mode | DIRECTORY_UNKNOWN);
            }
        }
    }

    /// For each content that some path loses: the permissions of that file, and of the directories above it
    /// that go too, from below.
    fn left(&self, entries: &[Change], lost: &BTreeSet<&str>) -> HashMap<Digest, Vec<u32>> {
        let mut left: HashMap<Digest, Vec<u32>> = HashMap::new();
        for change in entries {
            let Some((digest, _)) = file(&change.before) else { continue };
            if file(&change.after).is_some_and(|(after, _)| after == digest) {
                continue;
            }
            let own = self.files.get(&change.path).copied().unwrap_or(FILE_UNKNOWN);
            let directory = |path: &str| self.directories.get(path).copied().unwrap_or(DIRECTORY_UNKNOWN);
            let line = left.entry(digest).or_default();
            for (level, mode) in std::iter::once(own).chain(above(&change.path, lost).map(directory)).enumerate() {
                match line.get_mut(level) {
                    Some(known) => *known = narrower(*known, mode),
                    None => line.push(mode),
                }
            }
        }
        left
    }
}

fn is_directory(state: &Option<FileState>) -> bool {
    matches!(state, Some(FileState::Directory))
}

/// A file's content and whether it is executable.
fn file(state: &Option<FileState>) -> Option<(Digest, bool)> {
    match state {
        Some(FileState::File { digest, executable, .. }) => Some((*digest, *executable)),
        _ => None,
    }
}

/// The directories above a path, from below, as long as they are in a set.
fn above<'a>(path: &'a str, set: &BTreeSet<&str>) -> impl Iterator<Item = &'a str> {
    let parent = |path: &&'a str| path.rsplit_once('/').map(|(parent, _)| parent);
    std::iter::successors(parent(&path), parent).take_while(|path| set.contains(path))
}

/// The one that gives fewer rights to others than the owner.
fn narrower(one: u32, other: u32) -> u32 {
    if (other & 0o077).count_ones() < (one & 0o077).count_ones() { other } else { one }
}

/// With another executable bit, if it is another: who may read may then also execute.
fn with_bit(mode: u32, executable: bool) -> u32 {
    match (mode & 0o100 != 0, executable) {
        (false, true) => mode | 0o100 | ((mode & 0o044) >> 2),
        (true, false) => mode & !0o111,
        _ => mode,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_change_only_with_the_bit() {
        for (mode, executable, wanted) in [
            (0o744, true, 0o744),
            (0o644, false, 0o644),
            (0o641, false, 0o641),
            (0o644, true, 0o755),
            (0o640, true, 0o750),
            (0o600, true, 0o700),
            (0o755, false, 0o644),
        ] {
            assert_eq!(with_bit(mode, executable), wanted, "{mode:o} {executable}");
        }
        assert_eq!((narrower(0o644, 0o600), narrower(0o600, 0o644), narrower(0o755, 0o700)), (0o600, 0o600, 0o700));
    }
}
