//! Where API keys and secrets are kept, and reading them from there.
//!
//! Promise: a resolved configuration holds places, never keys. A key read from a file is refused when
//! others than its owner could read it too. No error repeats a key.
//!
//! Not here: the keyrings of operating systems (the CLI brings one, as a [`Keyring`]).

use crate::environment::Environment;
use crate::file::read;
use crate::problem::Fault;
use crate::secret::SecretString;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// A file with an API key is at most this long, in bytes.
pub const KEY_FILE_BYTES_MAX: usize = 16 << 10;

/// An entry of the system's keyring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyringEntry {
    /// The service's name.
    pub service: String,
    /// The account's name.
    pub account: String,
}

/// The place of an API key or a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeySource {
    /// An environment variable, by name.
    Environment(String),
    /// A file that holds nothing else.
    File(PathBuf),
    /// An entry of the system's keyring.
    Keyring(KeyringEntry),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Keyring(entry) => write!(f, "keyring entry {}/{}", entry.service, entry.account),
        }
    }
}

/// What a keyring says when it fails: its own words, without any key in them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KeyringError {
    /// The words.
    pub message: String,
}

/// The system's keyring.
pub trait Keyring {
    /// The secret of an entry; none when there is no such entry.
    ///
    /// # Errors
    /// When the keyring cannot be asked.
    fn read(&self, entry: &KeyringEntry) -> Result<Option<SecretString>, KeyringError>;
}

/// A system without a keyring.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoKeyring;

impl Keyring for NoKeyring {
    fn read(&self, _entry: &KeyringEntry) -> Result<Option<SecretString>, KeyringError> {
        Err(KeyringError { message: "no keyring is available here".to_owned() })
    }
}

/// Why a key could not be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReadKeyError {
    /// The place is fine, and nothing is there.
    #[error("{place} is missing or empty")]
    Absent {
        /// The place.
        place: KeySource,
    },
    /// Others than the owner may read the file.
    #[error("key file {path} can be read by others (mode {mode:03o}): run `chmod 600` on it", path = .path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file cannot be read.
    #[error("key file {path} {fault}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The keyring failed.
    #[error("{place} could not be read")]
    Keyring {
        /// The place.
        place: KeySource,
        /// The keyring's words.
        source: KeyringError,
    },
    /// The text cannot be a key: it has spaces, line breaks or control characters inside.
    #[error("{place} does not hold a single word, so it is no key")]
    NotAKey {
        /// The place.
        place: KeySource,
    },
}

impl KeySource {
    /// Reads the key, without spaces and line breaks around it.
    ///
    /// # Errors
    /// When nothing is there, the place cannot be read, a file is larger than
    /// [`KEY_FILE_BYTES_MAX`] or open to others, or what is there cannot be a key.
    pub fn read_key(&self, environment: &Environment, keyring: &dyn Keyring) -> Result<SecretString, ReadKeyError> {
        let absent = || ReadKeyError::Absent { place: self.clone() };
        let secret = match self {
            Self::Environment(variable) => SecretString::new(environment.get(variable).ok_or_else(absent)?),
            Self::File(path) => read_key_file(path)?.ok_or_else(absent)?,
            Self::Keyring(entry) => keyring
                .read(entry)
                .map_err(|source| ReadKeyError::Keyring { place: self.clone(), source })?
                .ok_or_else(absent)?,
        };
        let key = secret.expose().trim();
        if key.is_empty() {
            return Err(absent());
        }
        if key.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(ReadKeyError::NotAKey { place: self.clone() });
        }
        Ok(SecretString::new(key))
    }
}

fn read_key_file(path: &Path) -> Result<Option<SecretString>, ReadKeyError> {
    let failed = |fault| ReadKeyError::File { path: path.to_owned(), fault };
    if let Some(mode) = bits_for_others(path) {
        return Err(ReadKeyError::OpenToOthers { path: path.to_owned(), mode });
    }
    let Some(bytes) = read(path, KEY_FILE_BYTES_MAX).map_err(failed)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| failed(Fault::NotUtf8))?;
    Ok(Some(SecretString::new(text)))
}

/// The permission bits of a file that others than its owner have some of.
#[cfg(unix)]
fn bits_for_others(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// Elsewhere permissions are not bits, and the file's folder protects it.
#[cfg(not(unix))]
fn bits_for_others(_path: &Path) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn key_file(text: &str, mode: u32) -> (tempfile::TempDir, KeySource) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, KeySource::File(path))
    }

    fn read_file(text: &str, mode: u32) -> Result<String, ReadKeyError> {
        let (_folder, source) = key_file(text, mode);
        let key = source.read_key(&Environment::default(), &NoKeyring)?;
        Ok(key.expose().to_owned())
    }

    #[test]
    fn a_key_file_is_trimmed() {
        assert_eq!(read_file("  sk-1\n", 0o600).unwrap(), "sk-1");
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        assert!(matches!(read_file("sk-1", 0o640), Err(ReadKeyError::OpenToOthers { mode: 0o640, .. })));
    }

    #[test]
    fn files_that_hold_no_key_are_refused_without_showing_them() {
        assert!(matches!(read_file(" \n", 0o600), Err(ReadKeyError::Absent { .. })));
        let error = read_file("sk-1\nsk-2", 0o600).unwrap_err();
        assert!(matches!(error, ReadKeyError::NotAKey { .. }));
        assert!(!error.to_string().contains("sk-"), "{error}");
        let long = "k".repeat(KEY_FILE_BYTES_MAX + 1);
        let error = read_file(&long, 0o600).unwrap_err();
        assert!(matches!(error, ReadKeyError::File { fault: Fault::TooLarge { .. }, .. }));
    }

    #[test]
    fn a_variable_and_a_keyring_are_read_where_they_are() {
        struct Ring;
        impl Keyring for Ring {
            fn read(&self, entry: &KeyringEntry) -> Result<Option<SecretString>, KeyringError> {
                Ok((entry.account == "me").then(|| SecretString::new("sk-ring")))
            }
        }
        let environment = Environment::from_pairs([("KEY", "sk-env")]);
        let read = |source: KeySource| source.read_key(&environment, &Ring).map(|key| key.expose().to_owned());
        let entry = |account: &str| KeySource::Keyring(KeyringEntry { service: "s".into(), account: account.into() });
        assert_eq!(read(KeySource::Environment("KEY".into())).unwrap(), "sk-env");
        assert_eq!(read(entry("me")).unwrap(), "sk-ring");
        assert!(matches!(read(entry("you")), Err(ReadKeyError::Absent { .. })));
    }
}
