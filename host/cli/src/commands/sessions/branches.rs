//! `sessions fork|clone|archive|unarchive|import`: sessions from sessions.
//!
//! Promise: nothing that exists is overwritten; a copy of a workspace follows no link and leaves what it cannot copy out
//! only after saying so by failing.
//!
//! Not here: what a fork or an import means (harness-engine).

use crate::args::operations::{FilesWord, ForkArgs};
use crate::commands::{print_json, print_text};
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::paint::one_line;
use crate::settings;
use crate::wiring::Wiring;
use harness_core::event::ForkFiles;
use harness_core::limits::TITLE_CHARS_MAX;
use harness_core::{Event, Sequence, SessionId};
use harness_engine::{ImportAs, ImportLimits};
use serde_json::json;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A path is shown up to this many characters.
const PATH_CHARS_MAX: usize = 4_096;
/// Entries that are copied at most.
const COPIED_ENTRIES_MAX: usize = 1_000_000;

/// Begins a fork.
pub(super) async fn fork(wiring: &Wiring, id: SessionId, at: Option<u64>, how: &ForkArgs) -> Result<Exit, Failure> {
    // Nothing is copied for a fork that could not begin.
    if let Some(at) = at {
        let origin = wiring.host.events(id, Sequence(at.saturating_sub(1)), 1).await;
        let origin = origin.map_err(|error| Failure::because("reading the session", &error))?;
        if at == 0 || origin.is_empty() {
            return Err(Failure::usage(format!("forking {id}: it has no event {at}")));
        }
    }
    let is_title = |title: &String| !title.trim().is_empty() && title.chars().count() <= TITLE_CHARS_MAX;
    if !how.title.iter().all(is_title) {
        return Err(Failure::usage(format!("--title: a title has 1 to {TITLE_CHARS_MAX} characters")));
    }
    let files = match (how.files, &how.to) {
        (FilesWord::Shared, None) => ForkFiles::Shared,
        (FilesWord::Shared, Some(_)) => return Err(Failure::usage("--to is for --files copy")),
        (FilesWord::Copy, to) => copied(wiring, id, to.as_deref()).await?,
    };
    let workspace = files.workspace().map(str::to_owned);
    let forked = wiring.host.fork(id, at.map(Sequence), files).await;
    let forked = forked.map_err(|error| Failure::usage(format!("forking {id}: {}", chain(&error))))?;
    if let Some(title) = &how.title {
        let named = wiring.host.rename(forked, title.clone()).await;
        named.map_err(|error| Failure::because("naming the fork", &error))?;
    }
    if how.output.json {
        return print_json(&json!({ "session": forked, "origin": id, "at": at, "workspace": workspace }));
    }
    let place = workspace.map(|workspace| format!(", in {}", one_line(&workspace, PATH_CHARS_MAX))).unwrap_or_default();
    print_text(&format!("{forked} goes on from {id}{place}: harness-host run --session {forked}"))
}

/// Copies a session's workspace.
async fn copied(wiring: &Wiring, id: SessionId, to: Option<&Path>) -> Result<ForkFiles, Failure> {
    let summary = wiring.host.ports().index.summary(id).await;
    let own = summary.map_err(|error| Failure::because("reading the session", &error))?.workspace;
    let from = settings::workspace_folder(Some(Path::new(&own)))?;
    let to = match to {
        Some(to) => to.to_owned(),
        None => beside(&from)?,
    };
    let tried = format!("copying {} to {}", from.display(), to.display());
    let made = std::fs::DirBuilder::new().mode(0o700).create(&to);
    made.map_err(|error| Failure::usage(format!("{tried}: {error}")))?;
    // From here on it is known by the path that a session names.
    let to = settings::workspace_folder(Some(&to))?;
    if to.starts_with(&from) {
        let _ = std::fs::remove_dir(&to);
        return Err(Failure::usage(format!("{tried}: the copy would lie inside what is copied")));
    }
    let workspace = to.display().to_string();
    let copy = tokio::task::spawn_blocking(move || copy(&from, &to));
    let copied = copy.await.map_err(|error| Failure::because(&tried, &error))?;
    copied.map_err(|error| Failure::failed(format!("{tried}: {error}; what is there already is left for you")))?;
    Ok(ForkFiles::Copied { workspace })
}

/// A name beside a folder that is not taken.
fn beside(from: &Path) -> Result<PathBuf, Failure> {
    let name = from.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let free =
        (1..1_000).map(|number| from.with_file_name(format!("{name}-fork-{number}"))).find(|path| !path.exists());
    free.ok_or_else(|| Failure::usage("there are too many forks beside the workspace: name a folder with --to"))
}

/// Copies what is in a folder: files with their modes, folders, links as links.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut folders = vec![(from.to_owned(), to.to_owned())];
    let mut entries = 0_usize;
    // A folder that nobody may write into is filled first.
    let mut modes = Vec::new();
    while let Some((from, to)) = folders.pop() {
        modes.push((to.clone(), std::fs::metadata(&from)?.permissions()));
        for entry in std::fs::read_dir(&from)? {
            let entry = entry?;
            entries += 1;
            if entries > COPIED_ENTRIES_MAX {
                return Err(io::Error::other(format!("there are more than {COPIED_ENTRIES_MAX} files")));
            }
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", source.display()));
            let kind = entry.file_type().map_err(named)?;
            if kind.is_symlink() {
                std::os::unix::fs::symlink(std::fs::read_link(&source).map_err(named)?, target).map_err(named)?;
            } else if kind.is_dir() {
                std::fs::DirBuilder::new().mode(0o700).create(&target).map_err(named)?;
                folders.push((source.clone(), target));
            } else if kind.is_file() {
                std::fs::copy(&source, target).map_err(named)?;
            } else {
                return Err(named(io::Error::other("it is neither file, folder nor link")));
            }
        }
    }
    modes.into_iter().rev().try_for_each(|(folder, mode)| std::fs::set_permissions(folder, mode))
}

/// Puts sessions away, or takes them out again.
pub(super) async fn archive(wiring: &Wiring, ids: &[String], archived: bool) -> Result<Exit, Failure> {
    let word = if archived { "put away" } else { "taken out" };
    for id in super::found(wiring, ids).await? {
        let done = wiring.host.archive(id, archived).await;
        let tried = format!("{id} cannot be {word}");
        super::told(wiring, id, done, &tried, Event::SessionArchived { archived }).await?;
        print_text(&format!("{id} is {word}"))?;
    }
    Ok(Exit::Done)
}

/// Takes in a session from a file.
pub(super) async fn import(
    wiring: &Wiring,
    path: &Path,
    workspace: Option<&Path>,
    same_id: bool,
    json: bool,
) -> Result<Exit, Failure> {
    let workspace = settings::workspace_folder(workspace)?.display().to_string();
    let file = std::fs::File::open(path);
    let file = file.map_err(|error| Failure::usage(format!("{} cannot be opened: {error}", path.display())))?;
    let import_as = if same_id { ImportAs::Same } else { ImportAs::New };
    let id = wiring.host.import(file, import_as, &workspace, ImportLimits::default()).await;
    let id = id.map_err(|error| Failure::failed(format!("nothing was imported: {}", chain(&error))))?;
    if json {
        return print_json(&json!({ "session": id, "workspace": workspace }));
    }
    let place = one_line(&workspace, PATH_CHARS_MAX);
    print_text(&format!("{id} works in {place}: harness-host run --session {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_copy_is_as_closed_as_what_it_was_copied_from() {
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        for (folder, mode) in [("from", 0o750), ("from/own", 0o700), ("from/fixed", 0o555), ("to", 0o700)] {
            std::fs::create_dir(place.path().join(folder)).unwrap();
            if folder == "from/fixed" {
                std::fs::write(place.path().join("from/fixed/file"), "x").unwrap();
            }
            std::fs::set_permissions(place.path().join(folder), Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("own", from.join("link")).unwrap();
        copy(&from, &to).unwrap();
        let mode = |path: &str| std::fs::metadata(to.join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!([mode(""), mode("own"), mode("fixed")], [0o750, 0o700, 0o555]);
        assert_eq!(std::fs::read(to.join("fixed/file")).unwrap(), b"x");
        assert_eq!(std::fs::read_link(to.join("link")).unwrap(), Path::new("own"));
        for folder in [&from, &to] {
            std::fs::set_permissions(folder.join("fixed"), Permissions::from_mode(0o755)).unwrap();
        }
    }
}
