//! What the lists of components grant, for a session that goes on while other processes change them.
//!
//! Promise: a change of a list, or of what is trusted, is seen by the next look at them, which costs three `stat`s
//! while nothing changes. A list or an entry that cannot be read gives nothing, and that is told once.
//!
//! Not here: bringing the session in line (the engine), reading lists to begin a turn (`installed`).

use crate::installed::{Installation, given_to_built_in, granted_by};
use crate::paint::{err_line, lines};
use crate::settings::Settings;
use async_trait::async_trait;
use harness_config::{ComponentPlaces, TrustStore, read_usable_components};
use harness_core::grant::Grant;
use harness_engine::ports::GrantLists;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file that was changed no longer ago than this may be changed again without its times telling: the coarsest
/// times that file systems in use keep are two seconds (FAT).
const SETTLES_AFTER: Duration = Duration::from_secs(2);

/// The lists that hold in a folder.
pub(crate) struct GrantFiles {
    places: ComponentPlaces,
    state_dir: PathBuf,
    given_to_built_in: Vec<Grant>,
    now: fn() -> SystemTime,
    seen: Mutex<Seen>,
}

/// What the last look found.
#[derive(Default)]
struct Seen {
    /// The lists and what is trusted; none where looking again could find something else behind the same stamps.
    stamps: Option<[Option<Stamp>; 3]>,
    /// What is wrong with them, as it was told.
    problems: String,
}

/// What differs between two states of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds since the Unix epoch.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// None where nothing is.
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    fn is_settled(self, now: SystemTime) -> bool {
        let newest = self.modified.0.max(self.changed.0);
        let until = Duration::from_secs(u64::try_from(newest).unwrap_or(0)) + Duration::from_secs(1) + SETTLES_AFTER;
        now.duration_since(UNIX_EPOCH).is_ok_and(|now| now > until)
    }
}

impl GrantFiles {
    /// The lists of a folder, not looked at yet.
    pub(crate) fn new(settings: &Settings, workspace: &Path, installation: &Installation) -> Self {
        Self {
            places: ComponentPlaces::usual(&settings.paths, Some(workspace)),
            state_dir: settings.paths.state_dir.clone(),
            given_to_built_in: given_to_built_in(installation.built_in()),
            now: SystemTime::now,
            seen: Mutex::default(),
        }
    }

    fn stamps(&self) -> [Option<Stamp>; 3] {
        let project = self.places.project.as_ref().and_then(|(path, _)| Stamp::of(path));
        let trust = TrustStore::empty(&self.state_dir);
        [Stamp::of(&self.places.user), project, Stamp::of(trust.path())]
    }

    /// All that is granted now, and what is wrong with the lists.
    fn read(&self) -> (Vec<Grant>, Vec<String>) {
        let mut problems = Vec::new();
        let trust = TrustStore::read(&self.state_dir).unwrap_or_else(|error| {
            problems.push(error.to_string());
            TrustStore::empty(&self.state_dir)
        });
        let (lists, unread) = read_usable_components(&self.places, &trust);
        problems.extend(unread.map(|problems| problems.to_string()));
        let mut grants = self.given_to_built_in.clone();
        for installed in lists.user.components.iter().chain(&lists.project.components) {
            match granted_by(installed) {
                Ok(granted) => grants.extend(granted),
                Err((why, _)) => problems.push(why.message),
            }
        }
        (grants, problems)
    }
}

#[async_trait]
impl GrantLists for GrantFiles {
    async fn changed(&self) -> Option<Vec<Grant>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Before reading: what is changed meanwhile has other stamps at the next look.
        let stamps = self.stamps();
        if seen.stamps == Some(stamps) {
            return None;
        }
        let now = (self.now)();
        let is_settled = stamps.iter().flatten().all(|stamp| stamp.is_settled(now));
        seen.stamps = is_settled.then_some(stamps);
        let (grants, problems) = self.read();
        let problems = problems.join("\n");
        if problems != seen.problems && !problems.is_empty() {
            err_line(&lines(&format!("nothing is granted by what cannot be read: {problems}")));
        }
        seen.problems = problems;
        Some(grants)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_sim::conformance::grant_lists::{self, COMPONENT};

    fn files(folder: &Path, now: fn() -> SystemTime) -> GrantFiles {
        let places = ComponentPlaces {
            user: folder.join("components.toml"),
            user_binaries: folder.join("binaries"),
            project: Some((folder.join("project/components.toml"), folder.join("project/components"))),
        };
        let (given_to_built_in, state_dir) = (Vec::new(), folder.to_owned());
        GrantFiles { places, state_dir, given_to_built_in, now, seen: Mutex::default() }
    }

    /// Written in place and at once, so that only the times and the length of the file could tell.
    fn write(files: &GrantFiles, capabilities: &[&str]) {
        let list = format!("[[component]]\nname = \"{COMPONENT}\"\ngrants = {capabilities:?}\n");
        std::fs::write(&files.places.user, list).unwrap();
    }

    #[tokio::test]
    async fn lists_on_disk_pass_the_conformance_suite() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), SystemTime::now);
        assert_eq!(files.changed().await, Some(Vec::new()), "none are there");
        assert_eq!(files.changed().await, None, "and there still are none");
        grant_lists::run_all(&files, |capabilities| write(&files, capabilities)).await;
    }

    #[test]
    fn a_file_settles_once_its_times_would_tell_a_change() {
        let stamp = |changed| Stamp { device: 1, inode: 1, bytes: 1, modified: (0, 0), changed: (changed, 0) };
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let settled = |changed, now| stamp(changed).is_settled(at(now));
        assert!(!settled(100, 100) && !settled(100, 103) && settled(100, 104));
        assert!(!settled(100, 50), "the clock was set back");
    }

    #[tokio::test]
    async fn settled_lists_are_told_once_and_what_cannot_be_read_gives_nothing() {
        let folder = tempfile::tempdir().unwrap();
        // For it, everything here was written long ago.
        let files = files(folder.path(), || SystemTime::now() + Duration::from_secs(3_600));
        write(&files, &["question"]);
        std::fs::create_dir(folder.path().join("project")).unwrap();
        let project = "[[component]]\nname = \"fetch\"\ngrants = [\"question\"]\n";
        std::fs::write(folder.path().join("project/components.toml"), project).unwrap();
        assert_eq!(files.changed().await.unwrap().len(), 1, "nobody trusted the project's list");
        assert_eq!(files.changed().await, None);
        let mut trust = TrustStore::empty(folder.path());
        let digest = harness_config::ConfigDigest::of(project.as_bytes());
        trust.add(&folder.path().join("project/components.toml"), &digest).unwrap();
        assert_eq!(files.changed().await.unwrap().len(), 2);
        for broken in ["[[component]", "[[component]]\nname = \"fetch\"\ngrants = [\"question\", \"http GET\"]\n"] {
            std::fs::write(&files.places.user, broken).unwrap();
            assert_eq!(files.changed().await.unwrap().len(), 1, "the project's list still holds: {broken}");
        }
    }
}
