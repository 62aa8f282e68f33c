//! Hard boundaries on staged changes, which no rule, allowance, mode or trust moves.
//!
//! Promise: a path outside the workspace and the host's own files are denied; files that hold credentials, files of
//! version control, and deletions of much at once ask a person each time. Names are compared without regard to case,
//! since some file systems fold it.
//!
//! Changing a credential asks and is not denied: writing an `.env` is ordinary work, and nothing that is asked about
//! is lost by being shown. Reading them is not seen here: what a tool may read is a question of its grants.
//!
//! Not here: budgets (the loop counts), requests (their grants).

use super::{Verdict, VerdictKind, Voice};
use crate::change::{Change, FileState, Manifest};
use std::collections::BTreeSet;

/// The folder in a workspace that holds the host's own configuration.
pub const HOST_FOLDER: &str = ".harness-host";
/// Folders whose change asks a person each time: version control's own files can run code.
const ASK_FOLDERS: &[&str] = &[".git"];
/// More deleted files of one call ask a person each time. Moved files are not deleted.
pub const DELETIONS_UNASKED_FILES_MAX: usize = 50;

/// Folders that programs keep credentials in.
const CREDENTIAL_FOLDERS: &[&str] = &[".aws", ".azure", ".gnupg", ".kube", ".ssh"];
/// Files that programs keep credentials in.
const CREDENTIAL_FILES: &[&str] = &[
    ".env",
    ".envrc",
    ".git-credentials",
    ".htpasswd",
    ".netrc",
    ".npmrc",
    ".pgpass",
    ".pypirc",
    "_netrc",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_rsa",
];
/// Endings of files that hold private keys.
const CREDENTIAL_ENDINGS: &[&str] = &[".jks", ".kdbx", ".key", ".keystore", ".p12", ".pem", ".pfx", ".ppk"];
/// Endings of `.env` files that are there to be read by everybody.
const ENV_SAMPLES: &[&str] = &["dist", "example", "sample", "template"];

/// What the boundaries say of changes.
pub(super) fn voices(manifest: &Manifest) -> Vec<Verdict> {
    let says = |kind, rule: &str, words: String| Verdict {
        kind,
        voice: Voice::Boundary,
        rule: format!("boundary.{rule}"),
        words,
    };
    let (deny, ask) = (VerdictKind::Deny, VerdictKind::Ask);
    let mut voices = Vec::new();
    if let Some(change) = manifest.entries().iter().find(|change| is_outside(&change.path)) {
        voices.push(says(deny, "outside", format!("{:?} is no path inside the workspace.", change.path)));
    }
    if let Some(change) = within(manifest, HOST_FOLDER) {
        let words = format!("{} belongs to the host's own configuration, which only a person changes.", change.path);
        voices.push(says(deny, "host-files", words));
    }
    if let Some((folder, change)) =
        ASK_FOLDERS.iter().find_map(|folder| within(manifest, folder).map(|change| (folder, change)))
    {
        let words =
            format!("{} belongs to {folder}, whose files can run code: a person decides each time.", change.path);
        voices.push(says(ask, "version-control", words));
    }
    if let Some(change) = manifest.entries().iter().find(|change| holds_credentials(&change.path)) {
        let words = format!("{} may hold credentials: a person decides each time.", change.path);
        voices.push(says(ask, "credentials", words));
    }
    voices.extend(deletion(manifest).map(|words| says(ask, "deletion", words)));
    voices
}

fn within<'a>(manifest: &'a Manifest, folder: &str) -> Option<&'a Change> {
    manifest.entries().iter().find(|change| change.path.split('/').any(|part| part.eq_ignore_ascii_case(folder)))
}

/// A manifest's paths have no such parts; one that does was not made by the host.
fn is_outside(path: &str) -> bool {
    path.contains('\0') || path.split('/').any(|part| matches!(part, "" | "." | ".."))
}

fn holds_credentials(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let is_sample = |ending: &str| ENV_SAMPLES.contains(&ending);
    folders.split('/').chain([name]).any(|part| CREDENTIAL_FOLDERS.contains(&part))
        || CREDENTIAL_FILES.contains(&name)
        || CREDENTIAL_ENDINGS.iter().any(|ending| name.ends_with(ending))
        || name.strip_prefix(".env.").is_some_and(|kind| !kind.rsplit('.').next().is_some_and(is_sample))
}

/// Why deleting is too much to go unasked, if it is.
fn deletion(manifest: &Manifest) -> Option<String> {
    let moved: BTreeSet<&str> = manifest.moves().iter().map(|(gone, _)| gone.path.as_str()).collect();
    let is_deleted = |change: &&Change| {
        matches!(change.before, Some(FileState::File { .. }))
            && change.after.is_none()
            && !moved.contains(change.path.as_str())
    };
    let deleted: Vec<&str> = manifest.entries().iter().filter(is_deleted).map(|change| change.path.as_str()).collect();
    let is_gone = |change: &&Change| {
        let is_folder = change.before == Some(FileState::Directory) && change.after != Some(FileState::Directory);
        let is_below = |path: &&str| path.strip_prefix(change.path.as_str()).is_some_and(|rest| rest.starts_with('/'));
        is_folder && !change.path.contains('/') && deleted.iter().any(is_below)
    };
    if let Some(folder) = manifest.entries().iter().find(is_gone) {
        return Some(format!("the whole folder {} would be deleted: a person decides each time.", folder.path));
    }
    (deleted.len() > DELETIONS_UNASKED_FILES_MAX)
        .then(|| format!("{} files would be deleted: a person decides each time.", deleted.len()))
}
