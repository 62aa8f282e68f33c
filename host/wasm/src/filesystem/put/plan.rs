//! What is to be done, and in which order.
//!
//! Promise: nothing is done to a path that is in neither its `before` nor its `after` state, nor to a directory
//! that holds, or lies in, something the manifest does not know.

use super::Stop;
use super::disk::{Disk, Now};
use crate::filesystem::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX};
use crate::filesystem::path::{is_hidden, is_within, split};
use harness_core::{Change, FileState, Manifest};
use std::collections::{BTreeMap, BTreeSet};

/// How a manifest's paths stand on disk.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Entries still in their `before` state, by number.
    pub(super) pending: BTreeSet<usize>,
    /// Paths in neither state, sorted.
    pub(super) foreign: Vec<String>,
}

/// Refuses paths that no layer makes. A manifest comes from the log; this is the second wall.
pub(super) fn check_paths(manifest: &Manifest) -> Result<(), Stop> {
    for change in manifest.entries() {
        let path = &change.path;
        let is_name = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && !is_hidden(part)
                && part.len() <= NAME_BYTES_MAX
                && !part.contains('\0')
        };
        if path.len() > PATH_BYTES_MAX || !path.split('/').all(is_name) {
            return Err(Stop::Failed(format!("{path:?} is not a path inside the workspace")));
        }
    }
    Ok(())
}

/// Whether a file takes a directory's place or the other way round.
pub(super) fn changes_kind(change: &Change) -> bool {
    let is_directory = |state: &FileState| matches!(state, FileState::Directory);
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => is_directory(before) != is_directory(after),
        _ => false,
    }
}

/// Looks at every path. On a second run (`again`) what changes its kind may be gone already. What lies where
/// a directory was expected and something else stands is not pending: it cannot be done.
pub(super) fn survey(disk: &mut Disk<'_>, manifest: &Manifest, again: bool) -> Result<Survey, Stop> {
    let entries = manifest.entries();
    let by_path: BTreeMap<&str, &Change> = entries.iter().map(|change| (change.path.as_str(), change)).collect();
    let mut survey = Survey::default();
    let mut blocked: Vec<&str> = Vec::new();
    for (index, change) in entries.iter().enumerate() {
        let now = disk.state(&change.path, [&change.before, &change.after])?;
        let is = |state: &Option<FileState>| now.is(state);
        let made_way = again && changes_kind(change) && now == Now::Nothing;
        let mut fits = is(&change.before) || is(&change.after) || made_way;
        if made_way || (is(&change.before) && !is(&change.after)) {
            survey.pending.insert(index);
            if change.after.is_some() {
                fits &= stands_in_directory(disk, &by_path, &change.path)?;
            }
            if change.before == Some(FileState::Directory) {
                fits &= disk.holds_only(&change.path, &by_path)?;
            }
        }
        if !fits {
            survey.pending.remove(&index);
            if now != Now::Directory {
                blocked.push(&change.path);
            }
            survey.foreign.push(change.path.clone());
        }
    }
    survey.pending.retain(|&index| !blocked.iter().any(|path| is_within(&entries[index].path, path)));
    Ok(survey)
}

/// The paths of changes that stand as they are to stand, whoever made them so.
pub(super) fn in_place(disk: &mut Disk<'_>, manifest: &Manifest) -> Result<Vec<String>, Stop> {
    let mut paths = Vec::new();
    for change in manifest.entries().iter().filter(|change| change.before != change.after) {
        if disk.state(&change.path, [&change.before, &change.after])?.is(&change.after) {
            paths.push(change.path.clone());
        }
    }
    Ok(paths)
}

/// Whether there is, or will be, a directory for this path.
fn stands_in_directory(disk: &mut Disk<'_>, by_path: &BTreeMap<&str, &Change>, path: &str) -> Result<bool, Stop> {
    let parent = split(path).map_or("", |(parent, _)| parent);
    if parent.is_empty() {
        return Ok(true);
    }
    match by_path.get(parent) {
        Some(change) => Ok(change.after == Some(FileState::Directory)),
        None => Ok(disk.state(parent, [&None, &None])?.is(&Some(FileState::Directory))),
    }
}

/// One thing to do, with the entry's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Remove(usize),
    MakeDirectory(usize),
    Rename(usize),
}

impl Step {
    pub(super) fn index(self) -> usize {
        match self {
            Self::Remove(index) | Self::MakeDirectory(index) | Self::Rename(index) => index,
        }
    }
}

/// The order: what must make way for something of another kind, deepest first; new directories, from above;
/// contents; and last what is only removed, deepest first, so that a moved file is at both places rather than
/// at none when the host is killed between.
pub(super) fn order(entries: &[Change], pending: &BTreeSet<usize>) -> Vec<Step> {
    let mut steps = Vec::with_capacity(pending.len() + 1);
    let is_directory = |state: &Option<FileState>| matches!(state, Some(FileState::Directory));
    let ways: Vec<&str> = pending
        .iter()
        .map(|&index| &entries[index])
        .filter(|change| changes_kind(change))
        .map(|change| change.path.as_str())
        .collect();
    let makes_way = |change: &Change| {
        changes_kind(change) || (change.after.is_none() && ways.iter().any(|way| is_within(&change.path, way)))
    };
    // Sorted by path, so a directory comes before what is in it; backwards, after.
    steps.extend(pending.iter().rev().filter(|&&index| makes_way(&entries[index])).map(|&index| Step::Remove(index)));
    steps.extend(
        pending.iter().filter(|&&index| is_directory(&entries[index].after)).map(|&index| Step::MakeDirectory(index)),
    );
    steps.extend(
        pending
            .iter()
            .filter(|&&index| matches!(entries[index].after, Some(FileState::File { .. })))
            .map(|&index| Step::Rename(index)),
    );
    steps.extend(
        pending
            .iter()
            .rev()
            .filter(|&&index| entries[index].after.is_none() && !makes_way(&entries[index]))
            .map(|&index| Step::Remove(index)),
    );
    steps
}
