//! Compiled components on disk.
//!
//! Promise: a compiled component is native code, so nothing is handed out whose bytes, as read, do not
//! carry a MAC made with this host's own key for exactly this component, engine and settings. Whatever
//! is missing, damaged, swapped or foreign is as if it were not there. The cache never fails a call.
//!
//! The key lies outside the cache's folder, so that write access to the cache alone is worth nothing.
//! Several processes may use one cache.
//!
//! Not here: compiling (`compile`).

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Changes whenever the same component could be compiled or run differently for reasons that the
/// engine's own compatibility hash does not know.
const SETTINGS_VERSION: &[u8] = b"harness-host compiled component 1";
/// The first bytes of every file.
const MAGIC: &[u8; 8] = b"HHWASM1\n";
/// A MAC (HMAC-SHA256, RFC 2104), in bytes.
const MAC_BYTES: usize = 32;
/// The key, in bytes.
const KEY_BYTES: usize = 32;
/// One entry, in bytes: larger ones are not kept.
const ENTRY_BYTES_MAX: u64 = 512 << 20;
/// All entries together, unless told otherwise. Bytes.
pub const CACHE_BYTES_MAX_DEFAULT: u64 = 512 << 20;
/// Entries looked at when making room.
const ENTRIES_SCANNED_MAX: usize = 10_000;
/// How an entry's file name ends.
const SUFFIX: &str = ".cwasm";
/// How the name of a file that is being written begins.
pub(crate) const TEMPORARY: &str = ".tmp-";
/// A temporary file that is older was left by a process that died. Seconds.
const TEMPORARY_AGE_MAX_S: u64 = 3600;

/// Where compiled components are kept.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// A folder of the host's own. Made if it does not exist.
    pub folder: PathBuf,
    /// The key's file, outside the folder. Made if it does not exist.
    pub key_file: PathBuf,
    /// All entries together, in bytes: the least recently used are removed beyond it.
    pub bytes_max: u64,
}

/// Why there is no cache. The host works without, but compiles anew in every process.
#[derive(Debug, thiserror::Error)]
pub enum OpenCacheError {
    /// The key lies inside the folder it protects.
    #[error("the cache's key {} lies inside the cache {}: keep it elsewhere", key_file.display(), folder.display())]
    KeyInside {
        /// The key.
        key_file: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// The file system refused.
    #[error("could not open the cache of compiled components: {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Names one compiled component: component, engine, settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// The key of a component's digest for an engine with this compatibility hash, which covers
    /// wasmtime's version, the target, its CPU features and all settings that change code.
    pub fn new(component: &harness_core::Digest, compatibility: impl Hash) -> Self {
        struct Collect(Sha256);
        impl Hasher for Collect {
            fn write(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }
            // Only what was written counts.
            fn finish(&self) -> u64 {
                0
            }
        }
        let mut engine = Collect(Sha256::new());
        compatibility.hash(&mut engine);
        let key = Sha256::new()
            .chain_update(SETTINGS_VERSION)
            .chain_update(component.0)
            .chain_update(engine.0.finalize())
            .finalize();
        Self(key.into())
    }

    /// Its hexadecimal digits.
    pub(crate) fn hex(&self) -> String {
        harness_core::Digest(self.0).hex()
    }

    fn file_name(&self) -> String {
        self.hex() + SUFFIX
    }
}

/// A folder of compiled components, and the key that they are signed with.
#[derive(Debug)]
pub struct CompiledCache {
    folder: PathBuf,
    key: [u8; KEY_BYTES],
    bytes_max: u64,
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> OpenCacheError + 'a {
    move |source| OpenCacheError::Io { what, path: path.to_owned(), source }
}

impl CompiledCache {
    /// Opens a cache; makes folder and key if they do not exist.
    pub fn open(settings: &CacheSettings) -> Result<Self, OpenCacheError> {
        let CacheSettings { folder, key_file, bytes_max } = settings;
        if key_file.starts_with(folder) {
            return Err(OpenCacheError::KeyInside { key_file: key_file.clone(), folder: folder.clone() });
        }
        private_folder(folder).map_err(failed("making", folder))?;
        if let Some(parent) = key_file.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed("making", parent))?;
        }
        let key = read_or_make_key(key_file).map_err(failed("reading or making the key", key_file))?;
        Ok(Self { folder: folder.clone(), key, bytes_max: *bytes_max })
    }

    /// The code of a key, if it is there and certainly what this host put there.
    pub fn get(&self, key: &CacheKey) -> Option<Vec<u8>> {
        let path = self.folder.join(key.file_name());
        let (file, bytes) = read_file(&path, ENTRY_BYTES_MAX).ok()?;
        let Some(code_at) = self.verify(key, &bytes) else {
            tracing::warn!(file = %path.display(), "a compiled component is damaged or not ours: it is compiled again");
            return None;
        };
        // Marks it as used. Fails only where it was removed meanwhile.
        let _ = file.set_modified(SystemTime::now());
        let mut code = bytes;
        code.drain(..code_at);
        Some(code)
    }

    /// Whether there is a sound entry of a key.
    pub(crate) fn has(&self, key: &CacheKey) -> bool {
        self.get(key).is_some()
    }

    /// Keeps code under a key, in place of what was there. Without effect where it cannot be written.
    pub fn put(&self, key: &CacheKey, code: &[u8]) {
        if let Err(error) = self.try_put(key, code) {
            tracing::warn!(folder = %self.folder.display(), %error, "could not keep a compiled component");
        }
    }

    /// The same, for a caller to whom it matters.
    pub(crate) fn try_put(&self, key: &CacheKey, code: &[u8]) -> io::Result<()> {
        let entry_bytes = (code.len() + MAGIC.len() + MAC_BYTES) as u64;
        let bytes_max = ENTRY_BYTES_MAX.min(self.bytes_max);
        if entry_bytes > bytes_max {
            return Err(io::Error::other(format!("it has {entry_bytes} bytes, the cache takes {bytes_max}")));
        }
        self.write(key, code)?;
        if let Err(error) = self.make_room(&key.file_name()) {
            tracing::warn!(folder = %self.folder.display(), %error, "could not tidy the compiled components");
        }
        Ok(())
    }

    fn mac(&self, key: &CacheKey, code: &[u8]) -> Hmac<Sha256> {
        // An HMAC takes keys of every length.
        let Ok(mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.key) else { unreachable!("a key of any length") };
        mac.chain_update(MAGIC).chain_update(key.0).chain_update((code.len() as u64).to_be_bytes()).chain_update(code)
    }

    /// Where the code begins in an entry's bytes, if they are authentic.
    fn verify(&self, key: &CacheKey, bytes: &[u8]) -> Option<usize> {
        let (mac, code) = bytes.strip_prefix(MAGIC)?.split_at_checked(MAC_BYTES)?;
        self.mac(key, code).verify_slice(mac).ok()?;
        Some(MAGIC.len() + MAC_BYTES)
    }

    fn write(&self, key: &CacheKey, code: &[u8]) -> io::Result<()> {
        let temporary = self.folder.join(format!("{TEMPORARY}{:016x}", getrandom::u64().map_err(io::Error::other)?));
        let written = new_private_file(&temporary).and_then(|mut file| {
            file.write_all(MAGIC)?;
            file.write_all(&self.mac(key, code).finalize().into_bytes())?;
            file.write_all(code)?;
            std::fs::rename(&temporary, self.folder.join(key.file_name()))
        });
        if written.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }

    /// Removes the least recently used entries beyond the bound, but not the one just written.
    fn make_room(&self, newest: &str) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(&self.folder)?.take(ENTRIES_SCANNED_MAX) {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let Ok(metadata) = entry.metadata() else { continue };
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            if name.starts_with(TEMPORARY) {
                let age = SystemTime::now().duration_since(modified).unwrap_or_default();
                if age > Duration::from_secs(TEMPORARY_AGE_MAX_S) {
                    let _ = std::fs::remove_file(entry.path());
                }
            } else if name.ends_with(SUFFIX) {
                entries.push((name == newest, modified, metadata.len(), entry.path()));
            }
        }
        let mut total: u64 = entries.iter().map(|(_, _, bytes, _)| bytes).sum();
        entries.sort();
        for (is_newest, _, bytes, path) in entries {
            if total <= self.bytes_max || is_newest {
                break;
            }
            if std::fs::remove_file(&path).is_ok() {
                total -= bytes;
            }
        }
        Ok(())
    }
}

/// Makes a folder only its owner can use, or makes an existing one so.
pub(crate) fn private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let metadata = std::fs::metadata(folder)?;
    if metadata.mode() & 0o077 != 0 {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn new_private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Reads a regular file of at most so many bytes, not through a symbolic link.
fn read_file(path: &Path, bytes_max: u64) -> io::Result<(File, Vec<u8>)> {
    // Not waiting: what lies there could be a pipe.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > bytes_max {
        return Err(io::Error::other("not a file of a size that could be ours"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).map_err(io::Error::other)?);
    (&file).take(bytes_max).read_to_end(&mut bytes)?;
    Ok((file, bytes))
}

/// The key, if its file is sound and nobody else could have read or written it; else a new one, which
/// makes all entries worthless.
fn read_or_make_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    const ATTEMPTS: usize = 3;
    for _ in 0..ATTEMPTS {
        match read_key(path) {
            Ok(Some(key)) => return Ok(key),
            Ok(None) => std::fs::remove_file(path).or_else(gone_is_fine)?,
            Err(error) => gone_is_fine(error)?,
        }
        make_key(path)?;
    }
    Err(io::Error::other("it keeps being replaced by another process"))
}

fn gone_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn read_key(path: &Path) -> io::Result<Option<[u8; KEY_BYTES]>> {
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Ok(None);
    }
    let (file, bytes) = read_file(path, KEY_BYTES as u64)?;
    let metadata = file.metadata()?;
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o077 == 0;
    Ok(bytes.try_into().ok().filter(|_| is_ours))
}

/// Writes a new key unless another process was faster: the first one stays.
fn make_key(path: &Path) -> io::Result<()> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let suffix = format!("tmp-{:016x}", getrandom::u64().map_err(io::Error::other)?);
    let temporary = path.with_added_extension(suffix);
    let linked = new_private_file(&temporary).and_then(|mut file| {
        file.write_all(&key)?;
        file.sync_all()?;
        // A link, unlike a rename, does not replace what is there.
        match std::fs::hard_link(&temporary, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    });
    let _ = std::fs::remove_file(&temporary);
    linked
}

#[cfg(test)]
mod tests;
