//! Which projects' configurations a person has trusted.
//!
//! Promise: trust holds for a file at its canonical path with exactly the bytes whose digest was
//! given; any other byte ends it. The store is changed by one process at a time and replaced whole by
//! a rename, and only its owner can read it. It lies in the state directory of [`crate::Paths`],
//! wherever logs are kept, so that no configuration can bring its own.
//!
//! Not here: showing a configuration to a person and asking (the CLI).

use crate::file::{Readers, locked, make_folder_of, read, replace};
use crate::problem::Fault;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The store is at most this long, in bytes.
const TRUST_FILE_BYTES_MAX: usize = 16 << 20;
/// Whoever changes the store holds a lock on this file beside it.
const LOCK_FILE: &str = "trusted-projects.lock";
/// The store's name in the state directory.
const TRUST_FILE: &str = "trusted-projects.json";

/// The digest of a configuration file: sha256 of its bytes, printed as `sha256:` and hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfigDigest(String);

impl ConfigDigest {
    /// The digest of a file's bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("sha256:{hex}"))
    }
}

impl fmt::Display for ConfigDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of a project's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// A person trusted these bytes at this path.
    Trusted,
    /// A person trusted other bytes at this path: the file has changed since.
    Changed,
    /// Nobody trusted this path.
    Unknown,
}

/// Why the store could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadTrustError {
    /// The file cannot be read.
    #[error("the list of trusted projects, {path}, {fault}", path = .path.display())]
    File {
        /// The store.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The file is not what this program writes.
    #[error("the list of trusted projects, {path}, is damaged; remove it to trust nothing", path = .path.display())]
    Damaged {
        /// The store.
        path: PathBuf,
        /// The parser's words.
        source: serde_json::Error,
    },
}

/// Why the store could not be changed. It is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum WriteTrustError {
    /// The store as it is now could not be read.
    #[error(transparent)]
    Read(#[from] ReadTrustError),
    /// The project's file has no canonical path, for example because it is not there.
    #[error("could not find {path}", path = .path.display())]
    Project {
        /// The project's file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The project's path cannot be written into the store.
    #[error("the path {path} is not UTF-8", path = .path.display())]
    PathNotUtf8 {
        /// The project's file.
        path: PathBuf,
    },
    /// The store could not be put in place.
    #[error("could not write {path}", path = .path.display())]
    Write {
        /// The store.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// The trusted configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustStore {
    path: PathBuf,
    trusted: BTreeMap<String, ConfigDigest>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    trusted: BTreeMap<String, ConfigDigest>,
}

/// Whether a file is where its path says: trust in one project's file is none in another project that links to it.
fn is_in_its_place(path: &Path, canonical: &Path) -> bool {
    let in_place = || {
        let (file, folder) = (path.file_name()?, path.parent()?);
        let workspace = fs::canonicalize(folder.parent()?).ok()?;
        Some(workspace.join(folder.file_name()?).join(file))
    };
    in_place().is_some_and(|place| place == canonical)
}

impl TrustStore {
    /// A store that trusts nothing yet, to be kept in a state directory.
    pub fn empty(state_dir: &Path) -> Self {
        Self { path: state_dir.join(TRUST_FILE), trusted: BTreeMap::new() }
    }

    /// Reads the store; one that was never written trusts nothing.
    ///
    /// # Errors
    /// When the store is there and cannot be read or understood.
    pub fn read(state_dir: &Path) -> Result<Self, ReadTrustError> {
        let mut store = Self::empty(state_dir);
        store.reload()?;
        Ok(store)
    }

    /// Where it is kept, written or not.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Each trusted file with the digest it had.
    pub fn entries(&self) -> impl Iterator<Item = (&Path, &ConfigDigest)> {
        self.trusted.iter().map(|(path, digest)| (Path::new(path), digest))
    }

    /// Says whether a file with this digest is trusted. A path that cannot be found is unknown.
    pub fn check(&self, project_config: &Path, digest: &ConfigDigest) -> Trust {
        let path = fs::canonicalize(project_config).ok().filter(|path| is_in_its_place(project_config, path));
        let known = path.as_ref().and_then(|path| path.to_str()).and_then(|path| self.trusted.get(path));
        match known {
            Some(known) if known == digest => Trust::Trusted,
            Some(_) => Trust::Changed,
            None => Trust::Unknown,
        }
    }

    /// Trusts a file as it was when the digest was taken, which is when a person was shown it.
    ///
    /// # Errors
    /// When the file is not there, or the store cannot be read or written.
    pub fn add(&mut self, project_config: &Path, digest: &ConfigDigest) -> Result<(), WriteTrustError> {
        let path = fs::canonicalize(project_config)
            .map_err(|source| WriteTrustError::Project { path: project_config.to_owned(), source })?;
        let Some(path) = path.to_str() else {
            return Err(WriteTrustError::PathNotUtf8 { path: path.clone() });
        };
        let _lock = self.lock()?;
        self.reload()?;
        self.trusted.insert(path.to_owned(), digest.clone());
        self.write()
    }

    /// Ends the trust in a file, which need not be there any more. Says whether it was trusted.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn remove(&mut self, project_config: &Path) -> Result<bool, WriteTrustError> {
        let path = fs::canonicalize(project_config).unwrap_or_else(|_| project_config.to_owned());
        let _lock = self.lock()?;
        self.reload()?;
        let was_trusted = path.to_str().is_some_and(|path| self.trusted.remove(path).is_some());
        if was_trusted {
            self.write()?;
        }
        Ok(was_trusted)
    }

    /// Keeps other processes from changing the store until it is dropped.
    fn lock(&self) -> Result<fs::File, WriteTrustError> {
        let open = |folder: &Path| {
            let mut options = fs::OpenOptions::new();
            options.create(true).append(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(folder.join(LOCK_FILE))
        };
        make_folder_of(&self.path, Readers::Owner)
            .and_then(open)
            .and_then(locked)
            .map_err(|source| WriteTrustError::Write { path: self.path.clone(), source })
    }

    /// Reads what is on disk now, for another process may have changed it.
    fn reload(&mut self) -> Result<(), ReadTrustError> {
        let bytes = read(&self.path, TRUST_FILE_BYTES_MAX)
            .map_err(|fault| ReadTrustError::File { path: self.path.clone(), fault })?;
        let stored = match bytes {
            None => Stored::default(),
            Some(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| ReadTrustError::Damaged { path: self.path.clone(), source })?,
        };
        self.trusted = stored.trusted;
        Ok(())
    }

    fn write(&self) -> Result<(), WriteTrustError> {
        let stored = Stored { trusted: self.trusted.clone() };
        let text = serde_json::to_vec_pretty(&stored).map_err(io::Error::from);
        text.and_then(|text| replace(&self.path, &text, Readers::Owner))
            .map_err(|source| WriteTrustError::Write { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn trust_holds_for_the_bytes_that_were_shown_and_ends_on_removal() {
        let folder = tempfile::tempdir().unwrap();
        let (state, project) = (folder.path().join("state"), folder.path().join("config.toml"));
        fs::write(&project, "approve = \"all\"").unwrap();
        let shown = ConfigDigest::of(b"approve = \"all\"");

        let mut store = TrustStore::read(&state).unwrap();
        assert_eq!(store.check(&project, &shown), Trust::Unknown);
        store.add(&project, &shown).unwrap();
        let mut again = TrustStore::read(&state).unwrap();
        assert_eq!(again.check(&project, &shown), Trust::Trusted);
        assert_eq!(again.check(&project, &ConfigDigest::of(b"other")), Trust::Changed);
        let mode = fs::metadata(state.join(TRUST_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        assert!(again.remove(&project).unwrap());
        assert!(!again.remove(&project).unwrap());
        assert_eq!(TrustStore::read(&state).unwrap().entries().count(), 0);
    }

    #[test]
    fn a_link_to_a_trusted_file_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        fs::create_dir_all(one.join(".harness-host")).unwrap();
        fs::create_dir(&two).unwrap();
        let file = one.join(".harness-host/config.toml");
        fs::write(&file, "").unwrap();
        let digest = ConfigDigest::of(b"");
        let mut store = TrustStore::empty(&folder.path().join("state"));
        store.add(&file, &digest).unwrap();
        std::os::unix::fs::symlink(one.join(".harness-host"), two.join(".harness-host")).unwrap();
        assert_eq!(store.check(&file, &digest), Trust::Trusted);
        assert_eq!(store.check(&two.join(".harness-host/config.toml"), &digest), Trust::Unknown);
        std::os::unix::fs::symlink(&one, folder.path().join("same")).unwrap();
        assert_eq!(store.check(&folder.path().join("same/.harness-host/config.toml"), &digest), Trust::Trusted);
    }

    #[test]
    fn two_stores_do_not_lose_each_others_entries() {
        let folder = tempfile::tempdir().unwrap();
        let project = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, "").unwrap();
            path
        };
        let (one, two, digest) = (project("one"), project("two"), ConfigDigest::of(b""));
        let mut first = TrustStore::read(folder.path()).unwrap();
        let mut second = TrustStore::read(folder.path()).unwrap();
        first.add(&one, &digest).unwrap();
        second.add(&two, &digest).unwrap();
        assert_eq!(TrustStore::read(folder.path()).unwrap().entries().count(), 2);
    }

    #[test]
    fn a_damaged_store_is_an_error_and_not_an_empty_store() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(TRUST_FILE), "{").unwrap();
        assert!(matches!(TrustStore::read(folder.path()), Err(ReadTrustError::Damaged { .. })));
    }
}
