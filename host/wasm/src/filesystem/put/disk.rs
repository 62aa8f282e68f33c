//! The steps that change the workspace.
//!
//! Promise: each works in a directory opened name by name from the workspace's handle, without following a
//! link; each looks once more, right before it changes a path, whether that path is still as it was surveyed.

use super::Stop;
use super::modes::Modes;
use crate::filesystem::base::{Base, Meta};
use crate::filesystem::handle::Kind;
use crate::filesystem::limits::READ_BYTES_MAX;
use crate::filesystem::path::{join, split};
use harness_core::{Change, Digest, FileState, Manifest};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};

/// The marker's name after the call's own prefix.
const MARKER: &str = "run";
/// A staged file's permissions until it has its own.
const STAGING_MODE: u32 = 0o600;
/// A new file's permissions, less the process's umask.
const NEW_MODE: u32 = 0o666;
/// What an executable file has beside, less the umask.
const EXECUTABLE_MODE: u32 = 0o111;
/// A new directory's permissions, less the umask.
const DIRECTORY_MODE: u32 = 0o777;

/// The state of a path on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Now {
    Nothing,
    Directory,
    File {
        digest: Digest,
        bytes: u64,
        executable: bool,
    },
    /// A file, but of another size than any that is expected: not read.
    OtherFile,
    /// A link or special file.
    Other,
}

impl Now {
    /// Whether this is that state.
    pub(super) fn is(&self, state: &Option<FileState>) -> bool {
        match (self, state) {
            (Self::Nothing, None) | (Self::Directory, Some(FileState::Directory)) => true,
            (
                Self::File { digest, bytes, executable },
                Some(FileState::File { digest: d, bytes: b, executable: e }),
            ) => (digest, bytes, executable) == (d, b, e),
            _ => false,
        }
    }
}

/// The workspace, as one run of one call changes it.
pub(super) struct Disk<'a> {
    base: &'a Base,
    /// How this call's temporary names begin.
    prefix: String,
    /// Files as they were surveyed.
    surveyed: BTreeMap<String, Meta>,
    pub(super) modes: Modes,
}

fn failed(what: &str, path: &str, errno: Errno) -> Stop {
    Stop::Failed(format!("could not {what} {path}: {errno}"))
}

fn conflict(path: &str) -> Stop {
    Stop::Conflict(vec![path.to_owned()])
}

/// There is nothing, or something that is no directory is on the way.
fn is_absent(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
}

impl<'a> Disk<'a> {
    pub(super) fn new(base: &'a Base, prefix: String) -> Self {
        Self { base, prefix, surveyed: BTreeMap::new(), modes: Modes::default() }
    }

    /// What stands at a path. A file is read only if its size is that of one of the states it may have.
    pub(super) fn state(&mut self, path: &str, expected: [&Option<FileState>; 2]) -> Result<Now, Stop> {
        let meta = match self.base.peek(path) {
            Ok(meta) => meta,
            Err(Errno::NOENT) => return Ok(Now::Nothing),
            Err(errno) if is_absent(errno) => return self.above(path),
            Err(errno) => return Err(failed("look at", path, errno)),
        };
        match meta.kind {
            Kind::Directory => {
                self.modes.see_directory(path, meta.mode);
                return Ok(Now::Directory);
            }
            Kind::File => {}
            _ => return Ok(Now::Other),
        }
        let sizes = expected.into_iter().flatten().filter_map(FileState::content);
        if !sizes.into_iter().any(|(_, bytes)| bytes == meta.bytes) {
            return Ok(Now::OtherFile);
        }
        let (file, meta) = match self.base.open_read(path) {
            Ok(opened) => opened,
            Err(errno) if is_absent(errno) => return Ok(Now::Nothing),
            Err(errno) => return Err(failed("read", path, errno)),
        };
        if meta.kind != Kind::File {
            return Ok(Now::Other);
        }
        let (digest, bytes) = digest_of(&file).map_err(|errno| failed("read", path, errno))?;
        self.surveyed.insert(path.to_owned(), meta);
        self.modes.see_file(path, meta.mode);
        Ok(Now::File { digest, bytes, executable: meta.is_executable() })
    }

    /// What stands at a path below something that is no directory: nothing, unless that is a link, behind
    /// which nobody looks.
    fn above(&self, path: &str) -> Result<Now, Stop> {
        let mut at = path;
        while let Some((parent, _)) = split(at) {
            at = parent;
            match self.base.peek(at) {
                Ok(meta) if meta.kind == Kind::Symlink => return Ok(Now::Other),
                Ok(_) => return Ok(Now::Nothing),
                Err(errno) if is_absent(errno) => {}
                Err(errno) => return Err(failed("look at", at, errno)),
            }
        }
        Ok(Now::Nothing)
    }

    /// Whether all names in a directory are entries of the manifest that do not stay.
    pub(super) fn holds_only(&mut self, path: &str, by_path: &BTreeMap<&str, &Change>) -> Result<bool, Stop> {
        let directory = match self.base.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(directory) => directory,
            Err(errno) if is_absent(errno) => return Ok(true),
            Err(errno) => return Err(failed("list", path, errno)),
        };
        let refused = |errno| failed("list", path, errno);
        let mut stream = rustix::fs::Dir::new(directory).map_err(refused)?;
        while let Some(entry) = stream.read() {
            let entry = entry.map_err(refused)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." || name.starts_with(self.prefix.as_bytes()) {
                continue;
            }
            let known = std::str::from_utf8(name).ok().and_then(|name| by_path.get(join(path, name).as_str()));
            if known.is_none_or(|change| change.after.is_some()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn parent_of<'p>(&self, path: &'p str) -> Result<(OwnedFd, &'p str), Stop> {
        let (parent, name) =
            split(path).ok_or_else(|| Stop::Failed("the workspace itself cannot be changed".to_owned()))?;
        match self.base.directory(parent) {
            Ok(directory) => Ok((directory, name)),
            Err(errno) if is_absent(errno) => Err(conflict(path)),
            Err(errno) => Err(failed("open the folder of", path, errno)),
        }
    }

    /// Where a change's content is staged: beside its target, or in the nearest directory above that
    /// exists already and stays one.
    fn staging(&self, index: usize, change: &Change) -> Result<(OwnedFd, String), Stop> {
        let mut at = split(&change.path).map_or("", |(parent, _)| parent);
        loop {
            match self.base.directory(at) {
                Ok(directory) => return Ok((directory, format!("{}{index}", self.prefix))),
                Err(errno) if is_absent(errno) && !at.is_empty() => at = split(at).map_or("", |(parent, _)| parent),
                Err(errno) => return Err(failed("open the folder of", &change.path, errno)),
            }
        }
    }

    /// Writes a content to its temporary file, durably.
    pub(super) fn stage(&mut self, index: usize, change: &Change, bytes: &[u8]) -> Result<(), Stop> {
        let refused = |errno| failed("write", &change.path, errno);
        let executable = matches!(change.after, Some(FileState::File { executable: true, .. }));
        let wanted = self.modes.wanted(&change.path);
        let (directory, name) = self.staging(index, change)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode =
            if wanted.is_some() { STAGING_MODE } else { NEW_MODE | if executable { EXECUTABLE_MODE } else { 0 } };
        remove_file(&directory, &name).map_err(refused)?;
        let file = rustix::fs::openat(&directory, name.as_str(), flags, Mode::from_raw_mode(mode)).map_err(refused)?;
        let mut left = bytes;
        while !left.is_empty() {
            match rustix::io::write(&file, left) {
                Ok(0) => return Err(refused(Errno::IO)),
                Ok(written) => left = left.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(refused(errno)),
            }
        }
        if let Some(mode) = wanted {
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(refused)?;
        }
        sync(&file).map_err(refused)
    }

    /// Whether a file is still the one that was surveyed.
    fn is_unchanged(&mut self, change: &Change) -> Result<bool, Stop> {
        let known = self.surveyed.get(&change.path).copied();
        if let (Some(known), Ok(now)) = (known, self.base.peek(&change.path))
            && now.is_same_state(&known)
        {
            return Ok(true);
        }
        Ok(self.state(&change.path, [&change.before, &None])?.is(&change.before))
    }

    /// Renames a staged content into place.
    pub(super) fn rename(&mut self, index: usize, change: &Change) -> Result<(), Stop> {
        let refused = |errno| failed("put in place", &change.path, errno);
        let (directory, name) = self.parent_of(&change.path)?;
        let (staging, staged) = self.find_staged(index, change)?;
        let replaces = matches!(change.before, Some(FileState::File { .. }));
        if replaces {
            if !self.is_unchanged(change)? {
                return Err(conflict(&change.path));
            }
            return rustix::fs::renameat(&staging, staged.as_str(), &directory, name).map_err(refused);
        }
        match rustix::fs::renameat_with(&staging, staged.as_str(), &directory, name, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(conflict(&change.path)),
            // The filesystem knows no such flag: look, then rename.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => {
                        rustix::fs::renameat(&staging, staged.as_str(), &directory, name).map_err(refused)
                    }
                    Ok(_) => Err(conflict(&change.path)),
                    Err(errno) => Err(refused(errno)),
                }
            }
            Err(errno) => Err(refused(errno)),
        }
    }

    /// The temporary file of a change: new directories may stand between it and its target by now.
    fn find_staged(&self, index: usize, change: &Change) -> Result<(OwnedFd, String), Stop> {
        let name = format!("{}{index}", self.prefix);
        let mut at = split(&change.path).map_or("", |(parent, _)| parent);
        loop {
            if let Ok(directory) = self.base.directory(at)
                && rustix::fs::statat(&directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).is_ok()
            {
                return Ok((directory, name));
            }
            match split(at) {
                Some((parent, _)) => at = parent,
                None => return Err(Stop::Failed(format!("the staged content of {} is gone", change.path))),
            }
        }
    }

    /// Makes a directory where nothing stands.
    pub(super) fn make_directory(&mut self, change: &Change) -> Result<(), Stop> {
        let (directory, name) = self.parent_of(&change.path)?;
        let mode = self.modes.wanted(&change.path).unwrap_or(DIRECTORY_MODE);
        match rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(mode)) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(conflict(&change.path)),
            Err(errno) => Err(failed("make the folder", &change.path, errno)),
        }
    }

    /// Removes a file that is as surveyed, or an empty directory. What is gone is gone.
    pub(super) fn remove(&mut self, change: &Change) -> Result<(), Stop> {
        match self.base.peek(&change.path) {
            Err(errno) if is_absent(errno) => return Ok(()),
            _ => {}
        }
        let (directory, name) = self.parent_of(&change.path)?;
        if change.before == Some(FileState::Directory) {
            self.sweep_in(&change.path)?;
            return match rustix::fs::unlinkat(&directory, name, AtFlags::REMOVEDIR) {
                Ok(()) => Ok(()),
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => Err(conflict(&change.path)),
                Err(errno) => Err(failed("remove", &change.path, errno)),
            };
        }
        if !self.is_unchanged(change)? {
            return Err(conflict(&change.path));
        }
        rustix::fs::unlinkat(&directory, name, AtFlags::empty()).map_err(|errno| failed("remove", &change.path, errno))
    }

    pub(super) fn has_marker(&self) -> Result<bool, Stop> {
        let name = format!("{}{MARKER}", self.prefix);
        match self.base.peek(&name) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(failed("look at", &name, errno)),
        }
    }

    /// Makes the marker, durably.
    pub(super) fn make_marker(&self) -> Result<(), Stop> {
        let name = format!("{}{MARKER}", self.prefix);
        let refused = |errno| failed("write", &name, errno);
        let root = self.base.directory("").map_err(refused)?;
        // Nothing that somebody put there meanwhile is opened, be it a FIFO that nobody reads.
        let flags = OFlags::WRONLY
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        rustix::fs::openat(&root, name.as_str(), flags, Mode::from_raw_mode(STAGING_MODE)).map_err(refused)?;
        sync(&self.base.open_at("", OFlags::RDONLY).map_err(refused)?).map_err(refused)
    }

    pub(super) fn remove_marker(&self) -> Result<(), Stop> {
        let name = format!("{}{MARKER}", self.prefix);
        let root = self.base.directory("").map_err(|errno| failed("open", &name, errno))?;
        remove_file(&root, &name).map_err(|errno| failed("remove", &name, errno))
    }

    /// Removes this call's temporary files wherever this manifest may have put them.
    pub(super) fn sweep(&self, manifest: &Manifest) -> Result<(), Stop> {
        for directory in directories_of(manifest) {
            self.sweep_in(&directory)?;
        }
        Ok(())
    }

    fn sweep_in(&self, path: &str) -> Result<(), Stop> {
        let refused = |errno| failed("clean up", path, errno);
        let directory = match self.base.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(directory) => directory,
            Err(errno) if is_absent(errno) => return Ok(()),
            Err(errno) => return Err(refused(errno)),
        };
        let mut stream = rustix::fs::Dir::read_from(&directory).map_err(refused)?;
        let mut left = Vec::new();
        while let Some(entry) = stream.read() {
            let entry = entry.map_err(refused)?;
            if let Some(rest) = entry.file_name().to_bytes().strip_prefix(self.prefix.as_bytes())
                && rest.iter().all(u8::is_ascii_digit)
            {
                left.push(entry.file_name().to_owned());
            }
        }
        for name in left {
            rustix::fs::unlinkat(&directory, &name, AtFlags::empty()).map_err(refused)?;
        }
        Ok(())
    }

    /// Makes the names durable.
    pub(super) fn sync_parents(&self, manifest: &Manifest) -> Result<(), Stop> {
        let parents: BTreeSet<&str> =
            manifest.entries().iter().filter_map(|change| split(&change.path)).map(|(parent, _)| parent).collect();
        for path in parents {
            match self.base.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY) {
                Ok(directory) => sync(&directory).map_err(|errno| failed("sync", path, errno))?,
                // Removed itself: the directory above is synced.
                Err(errno) if is_absent(errno) => {}
                Err(errno) => return Err(failed("sync", path, errno)),
            }
        }
        Ok(())
    }
}

/// Every directory in or above which something changes.
fn directories_of(manifest: &Manifest) -> BTreeSet<String> {
    let mut directories = BTreeSet::new();
    for change in manifest.entries() {
        let mut at = change.path.as_str();
        while let Some((parent, _)) = split(at) {
            if !directories.insert(parent.to_owned()) {
                break;
            }
            at = parent;
        }
    }
    directories
}

fn remove_file(directory: impl AsFd, name: &str) -> Result<(), Errno> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// To the disk itself, not only to the drive's cache.
fn sync(file: &OwnedFd) -> Result<(), Errno> {
    #[cfg(target_vendor = "apple")]
    return rustix::fs::fcntl_fullfsync(file);
    #[cfg(not(target_vendor = "apple"))]
    rustix::fs::fsync(file)
}

fn digest_of(file: &OwnedFd) -> Result<(Digest, u64), Errno> {
    let mut hash = Sha256::new();
    let mut buffer = Vec::with_capacity(READ_BYTES_MAX as usize);
    let mut bytes = 0;
    loop {
        buffer.clear();
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut buffer), bytes) {
            Ok(0) => return Ok((Digest(hash.finalize().into()), bytes)),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        }
        hash.update(&buffer);
        bytes += buffer.len() as u64;
    }
}
