//! The workspace on disk, as a directory handle.
//!
//! Promise: every access goes from that handle downwards, follows no symbolic link, and does not enter a
//! forbidden directory or a file system of the kernel's own; opening never blocks on a FIFO or device.
//!
//! Where the kernel can (Linux `openat2` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`), a path is opened
//! in one step. Where it cannot, where the path crosses a mount point, and where a forbidden directory lies
//! inside the workspace, it is opened name by name, each directory checked by device and inode.
//!
//! Not here: symbolic links (`resolve.rs`), what a call changed (`tree.rs`), writing (`put/`).

use super::bindings::ErrorCode;
use super::descriptors::{Descriptors, HeldFile};
use super::handle::Kind;
use super::limits::LISTING_ENTRY_BYTES;
use super::mounts::{device_of_dev, is_of_kernel};
use super::path::{is_hidden, split};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Opens a directory only to look names up in it.
#[cfg(target_os = "linux")]
const SEARCH: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const SEARCH: OFlags = OFlags::RDONLY;
/// A symbolic link's target is at most this long, in bytes (Linux `PATH_MAX`).
const LINK_BYTES_MAX: usize = super::limits::PATH_BYTES_MAX;
/// Directories above a workspace, at most: a bound for a loop that always ends at the root.
const ANCESTORS_MAX: usize = 4096;

/// Why a workspace could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenBaseError {
    /// It is not a directory that can be opened.
    #[error("could not open the workspace {}: {source}", path.display())]
    Open {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A directory that guests must never reach could not be identified.
    #[error("could not open {}, which must be kept out of guests' reach: {source}; create it first", path.display())]
    Forbidden {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The workspace is a directory of the host's own, or lies in one.
    #[error("the workspace {} lies in {}, where the host keeps its own files: choose another folder", path.display(), forbidden.display())]
    Inside {
        /// The workspace.
        path: PathBuf,
        /// The host's directory.
        forbidden: PathBuf,
    },
    /// The workspace lies on a file system of the kernel's own.
    #[error("the workspace {} lies on a file system of the kernel's own, such as /proc: choose another folder", path.display())]
    OfKernel {
        /// The workspace.
        path: PathBuf,
    },
}

/// Device and inode: what a directory is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

/// A workspace. Opened once, shared by all calls.
#[derive(Debug)]
pub struct Base {
    root: Dir,
    forbidden: Vec<Identity>,
    /// A forbidden directory lies inside: every path is walked name by name.
    walk_always: bool,
    /// What the workspace itself lies on: nothing there is looked at further.
    device: u64,
    /// What `/dev` lies on, if that is a file system of its own.
    device_of_dev: Option<u64>,
    /// What its layers may hold open, with all others.
    descriptors: &'static Descriptors,
}

/// What is known of something on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) kind: Kind,
    pub(super) bytes: u64,
    pub(super) mode: u32,
    pub(super) modified_s: i64,
    device: u64,
    inode: u64,
    modified_ns: i64,
    changed: (i64, i64),
}

impl Meta {
    /// Whether its owner may execute it.
    pub(super) fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    /// Whether this is the same file in the same state, as far as its metadata tells.
    pub(super) fn is_same_state(&self, other: &Self) -> bool {
        (self.device, self.inode, self.bytes, self.modified_s, self.modified_ns, self.changed)
            == (other.device, other.inode, other.bytes, other.modified_s, other.modified_ns, other.changed)
    }

    /// The state in one number, to be compared with a later one.
    pub(super) fn stamp(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        (self.device, self.inode, self.bytes, self.modified_s, self.modified_ns, self.changed).hash(&mut hasher);
        hasher.finish()
    }

    /// Of something open.
    pub(super) fn of_open(file: impl AsFd) -> Result<Self, Errno> {
        Ok(Self::of(&rustix::fs::fstat(file)?))
    }

    // The widths of these fields differ from system to system.
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    fn of(stat: &rustix::fs::Stat) -> Self {
        Self {
            kind: kind_of(FileType::from_raw_mode(stat.st_mode as _)),
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            mode: u32::from(stat.st_mode) & 0o7777,
            modified_s: stat.st_mtime as i64,
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            modified_ns: stat.st_mtime_nsec as i64,
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

/// One name of a directory on disk.
#[derive(Debug)]
pub(super) struct BaseEntry {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// A directory on disk, as far as guests may see it.
#[derive(Debug, Default)]
pub(super) struct BaseListing {
    pub(super) entries: Vec<BaseEntry>,
    /// It also has names that guests do not see.
    pub(super) has_hidden: bool,
}

/// Why a listing failed.
#[derive(Debug)]
pub(super) enum ListError {
    Errno(Errno),
    TooLarge,
}

impl From<Errno> for ListError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl Base {
    /// Opens a workspace. `forbidden` are existing directories that no guest may reach, whether or not
    /// they lie inside the workspace: the host's state, cache and configuration.
    ///
    /// A forbidden directory that is moved into the workspace while it is open is kept out only where
    /// paths are walked name by name; the host does not move its own directories.
    ///
    /// # Errors
    /// See [`OpenBaseError`].
    pub fn open(path: impl AsRef<Path>, forbidden: &[PathBuf]) -> Result<Self, OpenBaseError> {
        let path = path.as_ref();
        let refused = |source| OpenBaseError::Open { path: path.to_owned(), source };
        let root = Dir::open_ambient_dir(path, ambient_authority()).map_err(refused)?;
        let above = ancestors(&root).map_err(|errno| refused(errno.into()))?;
        if is_of_kernel(&root).map_err(|errno| refused(errno.into()))? {
            return Err(OpenBaseError::OfKernel { path: path.to_owned() });
        }
        let own = above.first().copied();
        let mut base = Self {
            root,
            forbidden: Vec::with_capacity(forbidden.len()),
            walk_always: false,
            device: own.map_or(0, |own| own.device),
            device_of_dev: device_of_dev(),
            descriptors: Descriptors::of_process(),
        };
        for directory in forbidden {
            let wrong = |source| OpenBaseError::Forbidden { path: directory.clone(), source };
            let handle = Dir::open_ambient_dir(directory, ambient_authority()).map_err(wrong)?;
            let line = ancestors(&handle).map_err(|errno| wrong(errno.into()))?;
            let Some(&identity) = line.first() else { continue };
            if above.contains(&identity) {
                return Err(OpenBaseError::Inside { path: path.to_owned(), forbidden: directory.clone() });
            }
            base.walk_always |= own.is_some_and(|own| line.contains(&own));
            base.forbidden.push(identity);
        }
        Ok(base)
    }

    /// The same, every path walked name by name.
    #[cfg(test)]
    pub(super) fn walking(self) -> Self {
        Self { walk_always: true, ..self }
    }

    /// The same, with so many descriptors for what is held open.
    #[cfg(test)]
    pub(super) fn with_descriptors(self, count: usize) -> Self {
        Self { descriptors: Box::leak(Box::new(Descriptors::new(count))), ..self }
    }

    /// Whether this is a directory that guests must not reach.
    fn is_forbidden(&self, meta: &Meta) -> bool {
        meta.kind == Kind::Directory && self.forbidden.contains(&Identity { device: meta.device, inode: meta.inode })
    }

    /// Whether something open lies where no guest looks.
    fn is_out_of_reach(&self, meta: &Meta, opened: &OwnedFd) -> Result<bool, Errno> {
        if self.is_forbidden(meta) {
            return Ok(true);
        }
        if meta.device == self.device {
            return Ok(false);
        }
        Ok(self.device_of_dev == Some(meta.device) || is_of_kernel(opened)?)
    }

    /// Opens a path that has no symbolic link in it, nor at its end. `""` is the workspace itself.
    /// Where there is a link, the error is `LOOP` or `NOTDIR`.
    pub(super) fn open_at(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::NONBLOCK;
        if path.is_empty() {
            return rustix::fs::openat(self.root.as_fd(), ".", flags | OFlags::DIRECTORY, Mode::empty());
        }
        #[cfg(target_os = "linux")]
        if !self.walk_always {
            use rustix::fs::ResolveFlags;
            // `O_PATH` knows only a few other flags; the rest is an error with `openat2`.
            let known = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::DIRECTORY;
            let flags = if flags.contains(OFlags::PATH) { flags & known } else { flags };
            let resolve =
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
            match rustix::fs::openat2(self.root.as_fd(), path, flags, Mode::empty(), resolve) {
                // Not known to the kernel, refused by a seccomp filter, a mount point, a race.
                Err(Errno::NOSYS | Errno::PERM | Errno::XDEV | Errno::AGAIN | Errno::INVAL) => {}
                // On the workspace's own mount, and so on no file system of the kernel's.
                opened => return opened,
            }
        }
        let (parent, name) = split(path).unwrap_or(("", "."));
        let parent = self.walk(parent)?;
        let from = parent.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
        let opened = rustix::fs::openat(from, name, flags, Mode::empty())?;
        if self.is_out_of_reach(&Meta::of_open(&opened)?, &opened)? {
            return Err(Errno::NOENT);
        }
        Ok(opened)
    }

    /// Opens a directory name by name; nothing for the workspace itself.
    fn walk(&self, path: &str) -> Result<Option<OwnedFd>, Errno> {
        let mut at: Option<OwnedFd> = None;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let from = at.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
            let flags = SEARCH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let next = rustix::fs::openat(from, name, flags, Mode::empty())?;
            if self.is_out_of_reach(&Meta::of_open(&next)?, &next)? {
                return Err(Errno::NOENT);
            }
            at = Some(next);
        }
        Ok(at)
    }

    /// A directory to change things in: always walked name by name.
    pub(super) fn directory(&self, path: &str) -> Result<OwnedFd, Errno> {
        match self.walk(path)? {
            Some(directory) => Ok(directory),
            None => rustix::io::fcntl_dupfd_cloexec(self.root.as_fd(), 0),
        }
    }

    /// What stands at a path; a symbolic link at its end is not followed.
    pub(super) fn peek(&self, path: &str) -> Result<Meta, Errno> {
        let Some((parent, name)) = split(path) else {
            return Ok(Meta::of(&rustix::fs::fstat(self.root.as_fd())?));
        };
        let directory;
        let at = if parent.is_empty() {
            self.root.as_fd()
        } else {
            directory = self.open_at(parent, SEARCH | OFlags::DIRECTORY)?;
            directory.as_fd()
        };
        let meta = Meta::of(&rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?);
        #[cfg(target_os = "linux")]
        if meta.device != self.device {
            // A mount point: to be asked what is mounted there, it must be open.
            let opened =
                rustix::fs::openat(at, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            if self.is_out_of_reach(&Meta::of_open(&opened)?, &opened)? {
                return Err(Errno::NOENT);
            }
        }
        if self.is_forbidden(&meta) { Err(Errno::NOENT) } else { Ok(meta) }
    }

    /// Opens for reading, and says what it is that was opened.
    pub(super) fn open_read(&self, path: &str) -> Result<(OwnedFd, Meta), Errno> {
        let file = self.open_at(path, OFlags::RDONLY)?;
        let meta = Meta::of(&rustix::fs::fstat(&file)?);
        if self.is_forbidden(&meta) { Err(Errno::NOENT) } else { Ok((file, meta)) }
    }

    /// The same, for a layer to hold: it counts. `MFILE` when all layers of the process hold too many.
    pub(super) fn open_held(&self, path: &str) -> Result<(HeldFile, Meta), Errno> {
        self.descriptors.open(|| self.open_read(path))
    }

    /// Where a symbolic link points.
    pub(super) fn read_link(&self, path: &str) -> Result<String, ErrorCode> {
        let (parent, name) = split(path).ok_or(ErrorCode::Invalid)?;
        let parent = self.open_at(parent, SEARCH | OFlags::DIRECTORY).map_err(code)?;
        let target = rustix::fs::readlinkat(parent, name, Vec::with_capacity(256)).map_err(code)?;
        if target.as_bytes().len() > LINK_BYTES_MAX {
            return Err(ErrorCode::NameTooLong);
        }
        target.into_string().map_err(|_| ErrorCode::IllegalByteSequence)
    }

    /// The names in a directory, unsorted, without `.` and `..`, those that are not UTF-8, the host's own
    /// and forbidden directories.
    pub(super) fn list(&self, path: &str, bytes_max: u64) -> Result<BaseListing, ListError> {
        let directory = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        if self.is_forbidden(&Meta::of(&rustix::fs::fstat(&directory)?)) {
            return Err(Errno::NOENT.into());
        }
        let mut listing = BaseListing::default();
        let mut bytes = 0;
        let mut stream = rustix::fs::Dir::new(directory)?;
        while let Some(entry) = stream.read() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            bytes += LISTING_ENTRY_BYTES + name.len() as u64;
            if bytes > bytes_max {
                return Err(ListError::TooLarge);
            }
            let Some(name) = std::str::from_utf8(name).ok().filter(|name| !is_hidden(name)) else {
                listing.has_hidden = true;
                continue;
            };
            let mut kind = kind_of(entry.file_type());
            let suspect = self.forbidden.iter().any(|known| known.inode == entry.ino());
            if kind == Kind::Unknown || suspect {
                match self.peek(&super::path::join(path, name)) {
                    Ok(meta) => kind = meta.kind,
                    // Gone meanwhile, or forbidden.
                    Err(Errno::NOENT) => {
                        listing.has_hidden |= suspect;
                        continue;
                    }
                    Err(errno) => return Err(errno.into()),
                }
            }
            listing.entries.push(BaseEntry { name: name.to_owned(), kind });
        }
        Ok(listing)
    }
}

/// A directory and those above it, by identity, up to the root.
fn ancestors(directory: &Dir) -> Result<Vec<Identity>, Errno> {
    let mut line: Vec<Identity> = Vec::new();
    let mut at = rustix::io::fcntl_dupfd_cloexec(directory.as_fd(), 0)?;
    for _ in 0..ANCESTORS_MAX {
        let meta = Meta::of(&rustix::fs::fstat(&at)?);
        let identity = Identity { device: meta.device, inode: meta.inode };
        if line.last() == Some(&identity) {
            break;
        }
        line.push(identity);
        at = rustix::fs::openat(&at, "..", SEARCH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    }
    Ok(line)
}

fn kind_of(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::CharacterDevice => Kind::CharacterDevice,
        FileType::BlockDevice => Kind::BlockDevice,
        _ => Kind::Unknown,
    }
}

/// The guest's word for an error of the system.
pub(super) fn code(errno: Errno) -> ErrorCode {
    match errno {
        Errno::NOENT => ErrorCode::NoEntry,
        Errno::NOTDIR => ErrorCode::NotDirectory,
        Errno::ISDIR => ErrorCode::IsDirectory,
        Errno::ACCESS => ErrorCode::Access,
        Errno::PERM => ErrorCode::NotPermitted,
        Errno::LOOP => ErrorCode::Loop,
        Errno::NAMETOOLONG => ErrorCode::NameTooLong,
        Errno::INVAL => ErrorCode::Invalid,
        Errno::NOMEM => ErrorCode::InsufficientMemory,
        // Too many files are open, in all calls together: it passes. WASI has no word of its own for it.
        Errno::MFILE | Errno::NFILE => ErrorCode::Busy,
        // What opening a socket says, or a FIFO or device that nobody serves.
        Errno::NXIO | Errno::NODEV | Errno::OPNOTSUPP => ErrorCode::Unsupported,
        _ => ErrorCode::Io,
    }
}
