//! Putting staged changes in place.
//!
//! Promise: all of a manifest or nothing of it. First every path must be in its `before` state, else it is a
//! conflict and nothing is done. Then new contents are written beside their targets, synced, and renamed into
//! place. It can be killed at any point and run again: a path that is in its `after` state counts as
//! done. If somebody changed a path in the middle, what is done is undone from the before-images and
//! the conflict is reported. Symbolic links are never followed; what somebody else wrote is never
//! overwritten knowingly.
//!
//! How a second run knows that there was a first: before the first change of a manifest with several entries a
//! marker `.harness-host-<call>-run` is made in the workspace, and it is removed after the last. Only
//! with the marker is anything undone: without it, a path that is in its `after` state while another is
//! not as expected is somebody else's work, and stays.
//!
//! Permissions stay, also those of what is moved, and never get wider (`modes.rs`); a file's owner, extended attributes and further hard links do not stay, because it is
//! replaced and not rewritten. Between the last look at a file and the rename over it lie some microseconds
//! in which a change by somebody else is lost.

mod disk;
mod modes;
mod plan;
#[cfg(test)]
mod tests;

use super::base::Base;
use super::path::HIDDEN_PREFIX;
use disk::Disk;
use harness_core::event::ApplyResult;
use harness_core::{CallId, Change, Digest, Manifest};
use harness_engine::crash;
use plan::{Step, order};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Paths that a message names at most.
const NAMED_PATHS_MAX: usize = 3;

/// Why a run ended early.
#[derive(Debug)]
enum Stop {
    /// These paths are not what they should be.
    Conflict(Vec<String>),
    /// The system refused.
    Failed(String),
    /// A test pulled the plug: nothing more is done, not even cleaning up.
    #[cfg(test)]
    Killed,
}

/// Passes a crash point; tests give one that ends the run.
type Points<'a> = dyn FnMut(&'static str) -> Result<(), Stop> + 'a;

/// Puts a manifest in place. `contents` gives what the manifest names by digest, before and after; what is
/// not given cannot be put in place (`after`) or back (`before`).
///
/// A failure's message ends with what the disk holds of the changes then: `none of the changes is in place`, or
/// `in place all the same:` and the paths.
///
/// May be called again for the same call, and must be after a crash.
pub fn put(
    base: &Base,
    call: CallId,
    manifest: &Manifest,
    contents: impl Fn(Digest) -> Option<Arc<[u8]>>,
) -> ApplyResult {
    let mut points = |name| {
        crash::point(name);
        Ok(())
    };
    match run(base, call, manifest, &contents, &mut points) {
        Ok(()) => ApplyResult::Applied,
        Err(Stop::Conflict(paths)) => ApplyResult::Conflict { paths },
        Err(Stop::Failed(message)) => {
            ApplyResult::Failed { message: format!("{message}; {}", what_is_in_place(base, call, manifest)) }
        }
        #[cfg(test)]
        Err(Stop::Killed) => unreachable!("only tests kill"),
    }
}

/// After a failure: which changes are to be found on disk, whoever made them.
fn what_is_in_place(base: &Base, call: CallId, manifest: &Manifest) -> String {
    const NONE: &str = "none of the changes is in place";
    if plan::check_paths(manifest).is_err() {
        return NONE.to_owned();
    }
    let mut disk = Disk::new(base, format!("{HIDDEN_PREFIX}{call}-"));
    match plan::in_place(&mut disk, manifest) {
        Ok(paths) if paths.is_empty() => NONE.to_owned(),
        Ok(paths) => {
            let named = paths[..paths.len().min(NAMED_PATHS_MAX)].join(", ");
            match paths.len().saturating_sub(NAMED_PATHS_MAX) {
                0 => format!("in place all the same: {named}"),
                more => format!("in place all the same: {named} (and {more} more)"),
            }
        }
        Err(Stop::Failed(why)) => format!("whether any of the changes is in place could not be seen: {why}"),
        Err(_) => "whether any of the changes is in place could not be seen".to_owned(),
    }
}

type Contents<'a> = dyn Fn(Digest) -> Option<Arc<[u8]>> + 'a;

fn run(
    base: &Base,
    call: CallId,
    manifest: &Manifest,
    contents: &Contents<'_>,
    points: &mut Points<'_>,
) -> Result<(), Stop> {
    let mut disk = Disk::new(base, format!("{HIDDEN_PREFIX}{call}-"));
    plan::check_paths(manifest)?;
    let marked = disk.has_marker()?;
    let survey = plan::survey(&mut disk, manifest, marked)?;
    if !survey.foreign.is_empty() {
        if marked {
            undo(&mut disk, manifest, contents, points)?;
            disk.remove_marker()?;
        }
        disk.sweep(manifest)?;
        return Err(Stop::Conflict(survey.foreign));
    }
    disk.modes.decide(manifest, false);
    let entries = manifest.entries();
    let needs_marker = !survey.pending.is_empty() && (entries.len() > 1 || entries.iter().any(plan::changes_kind));
    let applied = stage(&mut disk, manifest, &survey.pending, contents, points).and_then(|()| {
        if needs_marker && !marked {
            disk.make_marker()?;
        }
        apply(&mut disk, manifest, &survey.pending, Others::Stop, points)
    });
    match applied {
        Ok(()) => {}
        #[cfg(test)]
        Err(Stop::Killed) => return Err(Stop::Killed),
        Err(stop) => return Err(abandon(&mut disk, manifest, contents, points, stop)),
    }
    // A temporary file of an earlier run may be left where its target was in place already.
    disk.sweep(manifest)?;
    disk.sync_parents(manifest)?;
    if needs_marker || marked {
        disk.remove_marker()?;
    }
    points("put.end")
}

/// Takes back what was done before something went wrong. The first reason stays the reason.
fn abandon(
    disk: &mut Disk<'_>,
    manifest: &Manifest,
    contents: &Contents<'_>,
    points: &mut Points<'_>,
    stop: Stop,
) -> Stop {
    let mut cleaned = Ok(());
    if matches!(disk.has_marker(), Ok(true)) {
        cleaned = undo(disk, manifest, contents, points).and_then(|()| disk.remove_marker());
    }
    match cleaned.and_then(|()| disk.sweep(manifest)) {
        #[cfg(test)]
        Err(Stop::Killed) => Stop::Killed,
        Err(Stop::Failed(second)) => match stop {
            Stop::Failed(first) => Stop::Failed(format!("{first}; and while taking it back: {second}")),
            // No mere conflict: that would say that nothing is in place.
            Stop::Conflict(paths) => {
                let named = paths[..paths.len().min(NAMED_PATHS_MAX)].join(", ");
                Stop::Failed(format!("somebody else changed {named}; and while taking the rest back: {second}"))
            }
            #[cfg(test)]
            Stop::Killed => Stop::Killed,
        },
        _ => stop,
    }
}

/// Writes what is to come beside its targets.
fn stage(
    disk: &mut Disk<'_>,
    manifest: &Manifest,
    pending: &BTreeSet<usize>,
    contents: &Contents<'_>,
    points: &mut Points<'_>,
) -> Result<(), Stop> {
    for &index in pending {
        let change = &manifest.entries()[index];
        let Some((digest, _)) = change.after.as_ref().and_then(|state| state.content()) else { continue };
        points("put.stage.before")?;
        let bytes = content(contents, digest, &change.path)?;
        disk.stage(index, change, &bytes)?;
        points("put.stage.after")?;
    }
    Ok(())
}

/// A content, whole and as its digest says.
fn content(contents: &Contents<'_>, digest: Digest, path: &str) -> Result<Arc<[u8]>, Stop> {
    let bytes =
        contents(digest).ok_or_else(|| Stop::Failed(format!("the content {digest} of {path} is not kept any more")))?;
    if Digest::of(&bytes) != digest {
        return Err(Stop::Failed(format!("the content kept for {path} is not {digest}: the store is damaged")));
    }
    Ok(bytes)
}

/// What to do about a path that somebody else changed at this very moment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    /// Stop: everything is taken back.
    Stop,
    /// Leave it as it is and go on.
    Leave,
}

/// Changes what guests and people see.
fn apply(
    disk: &mut Disk<'_>,
    manifest: &Manifest,
    pending: &BTreeSet<usize>,
    others: Others,
    points: &mut Points<'_>,
) -> Result<(), Stop> {
    for step in order(manifest.entries(), pending) {
        let index = step.index();
        let change = &manifest.entries()[index];
        let (before, after) = match step {
            Step::Remove(_) => ("put.remove.before", "put.remove.after"),
            Step::MakeDirectory(_) | Step::Rename(_) => ("put.rename.before", "put.rename.after"),
        };
        points(before)?;
        let done = match step {
            Step::Remove(_) => disk.remove(change),
            Step::MakeDirectory(_) => disk.make_directory(change),
            Step::Rename(_) => disk.rename(index, change),
        };
        match done {
            Err(Stop::Conflict(_)) if others == Others::Leave => {}
            done => done?,
        }
        points(after)?;
    }
    Ok(())
}

/// Brings back what is in its `after` state to its `before` state. What is in neither is left alone.
fn undo(
    disk: &mut Disk<'_>,
    manifest: &Manifest,
    contents: &Contents<'_>,
    points: &mut Points<'_>,
) -> Result<(), Stop> {
    let reversed = Manifest::new(
        manifest
            .entries()
            .iter()
            .map(|change| Change {
                path: change.path.clone(),
                before: change.after.clone(),
                after: change.before.clone(),
            })
            .collect(),
    );
    let survey = plan::survey(disk, &reversed, true)?;
    disk.modes.decide(&reversed, true);
    stage(disk, &reversed, &survey.pending, contents, points)?;
    apply(disk, &reversed, &survey.pending, Others::Leave, points)?;
    disk.sync_parents(&reversed)
}
