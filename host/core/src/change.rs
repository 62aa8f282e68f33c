//! What a call did to files: the manifest that is shown, approved, put in place and undone.
//!
//! Promise: a manifest's digest depends on every path and every state before and after, so that an
//! approval bound to it covers exactly what was shown. Entries are sorted by path and unique.
//!
//! Not here: reading files or making diffs (harness-engine), staging (harness-wasm).

use crate::ids::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum FileState {
    /// A regular file.
    File {
        /// Digest of its content.
        digest: Digest,
        /// Its size.
        bytes: u64,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A directory. What is in it has entries of its own.
    Directory,
}

impl FileState {
    /// The digest and size of a file's content; nothing for a directory.
    pub fn content(&self) -> Option<(Digest, u64)> {
        match self {
            Self::File { digest, bytes, .. } => Some((*digest, *bytes)),
            Self::Directory => None,
        }
    }
}

/// One path that a call changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Relative to the workspace, parts joined by `/`, no `.` or `..` parts.
    pub path: String,
    /// What stood there before; nothing where the call created it.
    pub before: Option<FileState>,
    /// What stands there after; nothing where the call deleted it.
    pub after: Option<FileState>,
}

/// In one word, what happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It did not exist before.
    Created,
    /// Its content or its kind is another.
    Modified,
    /// It does not exist any more.
    Deleted,
}

impl ChangeKind {
    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Modified => "modified",
            Self::Deleted => "deleted",
        }
    }
}

impl Change {
    /// Whether its path is one of the workspace: relative, of names alone. What a log from elsewhere says need not be.
    pub fn is_inside(&self) -> bool {
        self.path.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && !part.contains('\0'))
    }

    /// In one word, what happened.
    pub fn kind(&self) -> ChangeKind {
        match (&self.before, &self.after) {
            (None, _) => ChangeKind::Created,
            (Some(_), None) => ChangeKind::Deleted,
            (Some(_), Some(_)) => ChangeKind::Modified,
        }
    }
}

/// Everything a call changed, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Manifest {
    entries: Vec<Change>,
}

impl Manifest {
    /// Sorts by path; of two entries with one path the later wins; entries that change nothing are dropped.
    pub fn new(mut entries: Vec<Change>) -> Self {
        entries.reverse();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries.dedup_by(|later, kept| later.path == kept.path);
        entries.retain(|change| change.before != change.after);
        Self { entries }
    }

    /// The first of its paths that is not one of the workspace; see [`Change::is_inside`].
    pub fn outside(&self) -> Option<&str> {
        self.entries.iter().find(|change| !change.is_inside()).map(|change| change.path.as_str())
    }

    /// The changes, sorted by path.
    pub fn entries(&self) -> &[Change] {
        &self.entries
    }

    /// Whether nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Files that were moved: what was deleted and what was created with the same content, where no other
    /// deleted or created path has that content, in the order of the created paths. Empty files tell nothing.
    pub fn moves(&self) -> Vec<(&Change, &Change)> {
        let moved = |state: &Option<FileState>| state.as_ref().and_then(FileState::content).filter(|it| it.1 > 0);
        let mut sides: BTreeMap<Digest, (Vec<&Change>, Vec<&Change>)> = BTreeMap::new();
        for change in &self.entries {
            match (&change.before, &change.after) {
                (gone @ Some(_), None) => {
                    moved(gone).into_iter().for_each(|(digest, _)| sides.entry(digest).or_default().0.push(change));
                }
                (None, new @ Some(_)) => {
                    moved(new).into_iter().for_each(|(digest, _)| sides.entry(digest).or_default().1.push(change));
                }
                _ => {}
            }
        }
        let pairs = sides.into_values().filter_map(|(gone, new)| match (gone.as_slice(), new.as_slice()) {
            ([gone], [new]) => Some((*gone, *new)),
            _ => None,
        });
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_by(|a, b| a.1.path.cmp(&b.1.path));
        pairs
    }

    /// What an approval binds to.
    pub fn digest(&self) -> Digest {
        let mut bytes = Vec::new();
        let mut field = |part: &[u8]| {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        };
        for change in &self.entries {
            field(change.path.as_bytes());
            for state in [&change.before, &change.after] {
                match state {
                    None => field(b"none"),
                    Some(FileState::Directory) => field(b"directory"),
                    Some(FileState::File { digest, bytes, executable }) => {
                        field(&digest.0);
                        field(&bytes.to_be_bytes());
                        field(&[u8::from(*executable)]);
                    }
                }
            }
        }
        Digest::of(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> Option<FileState> {
        Some(FileState::File { digest: Digest::of(content.as_bytes()), bytes: content.len() as u64, executable: false })
    }

    fn change(path: &str, before: Option<FileState>, after: Option<FileState>) -> Change {
        Change { path: path.to_owned(), before, after }
    }

    #[test]
    fn entries_are_sorted_unique_and_real() {
        let manifest = Manifest::new(vec![
            change("b", None, file("1")),
            change("a", file("same"), file("same")),
            change("b", None, file("2")),
            change("A", file("x"), None),
        ]);
        let shown: Vec<_> = manifest.entries().iter().map(|c| (c.path.as_str(), c.kind())).collect();
        assert_eq!(shown, [("A", ChangeKind::Deleted), ("b", ChangeKind::Created)]);
        assert_eq!(manifest.entries()[1].after, file("2"));
    }

    #[test]
    fn only_a_pair_of_its_own_content_was_moved() {
        let manifest = Manifest::new(vec![
            change("a", file("one"), None),
            change("z", None, file("one")),
            change("b", file("two"), None),
            change("c", None, file("two")),
            change("d", None, file("two")),
            change("e", file(""), None),
            change("f", None, file("")),
            change("g", file("three"), file("four")),
            change("h", file("four"), None),
            change("i", Some(FileState::Directory), None),
            change("j", None, Some(FileState::Directory)),
            change("k", file("five"), None),
            change("B", None, file("five")),
        ]);
        let moves: Vec<_> = manifest.moves().iter().map(|(a, b)| (a.path.as_str(), b.path.as_str())).collect();
        assert_eq!(moves, [("k", "B"), ("a", "z")]);
    }

    #[test]
    fn the_digest_depends_on_every_part() {
        let base = Manifest::new(vec![change("a", file("1"), file("2"))]).digest();
        for other in [
            change("b", file("1"), file("2")),
            change("a", file("0"), file("2")),
            change("a", file("1"), file("3")),
            change("a", None, file("2")),
            change("a", file("1"), None),
            change("a", file("1"), Some(FileState::Directory)),
        ] {
            assert_ne!(base, Manifest::new(vec![other]).digest());
        }
    }
}
