//! An open file or directory of a layer, and what can be done with it.
//!
//! Promise: two handles of one file see each other's writes; a handle of a removed or replaced file keeps
//! its content. Errors are those that a Linux system gives for the same operation, where WASI has a word
//! for them.

use super::base::{ListError, Meta, code};
use super::bindings::ErrorCode;
use super::layer::{Access, Shared};
use super::limits::{LISTING_ENTRY_BYTES, PATH_BYTES_MAX, READ_BYTES_MAX};
use super::path::split;
use super::resolve::{Entry, Follow, Quick, Target};
use super::tree::{Body, Content, Directory, File, Found, NodeId, Place, Slot, State};
use harness_core::outcome::LimitName;
use std::collections::BTreeMap;

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// Something else.
    Unknown,
}

/// What is known of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Bytes of a file's content; zero for anything else.
    pub bytes: u64,
    /// When it was changed, in nanoseconds since the Unix epoch: whole seconds for what is in the workspace,
    /// the layer's own clock for what is staged.
    pub modified_ns: u64,
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name.
    pub name: String,
    /// What it names; a link is not followed.
    pub kind: Kind,
}

/// How to open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenHow {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
    /// Create the file if there is none.
    pub create: bool,
    /// With `create`: fail if there is something.
    pub exclusive: bool,
    /// Empty the file.
    pub truncate: bool,
    /// Fail if it is no directory.
    pub directory: bool,
    /// Follow a symbolic link at the end of the path.
    pub follow: bool,
}

/// An open file or directory.
#[derive(Debug)]
pub struct Handle {
    shared: Shared,
    node: NodeId,
    access: Access,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

/// A directory's names on their way to the guest.
#[derive(Debug)]
#[allow(unreachable_pub, reason = "generated code re-exports it")]
pub struct Listing {
    pub(super) entries: std::vec::IntoIter<DirectoryEntry>,
    bytes: u64,
    held: Handle,
}

impl Drop for Listing {
    fn drop(&mut self) {
        let mut state = self.held.shared.lock();
        // What stands in place of a finished layer has counted nothing.
        state.listed_bytes = state.listed_bytes.saturating_sub(self.bytes);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.handles = state.handles.saturating_sub(1);
        state.let_go(self.node);
    }
}

impl Handle {
    pub(super) fn hold(
        shared: &Shared,
        node: NodeId,
        access: Access,
        readable: bool,
        writable: bool,
    ) -> Result<Self, ErrorCode> {
        let mut state = shared.lock();
        state.room_for_handle()?;
        state.take(node);
        Ok(Self { shared: shared.clone(), node, access, readable, writable })
    }

    /// Another handle of the same file, counted as one: for a stream.
    pub(super) fn again(&self) -> Result<Self, ErrorCode> {
        Self::hold(&self.shared, self.node, self.access, self.readable, self.writable)
    }

    /// Whether changes may be made through it. A refusal is remembered.
    pub(super) fn writes(&self) -> Result<(), ErrorCode> {
        match self.access {
            Access::Staged => Ok(()),
            Access::ReadOnly => {
                self.shared.lock().refuse_change(self.node);
                Err(ErrorCode::ReadOnly)
            }
        }
    }

    /// The directory at a path from here, if no symbolic link is on the way to it.
    pub(super) fn folder(&self, path: &str) -> Result<Self, ErrorCode> {
        let opened = self.open_at(path, OpenHow { read: true, directory: true, ..OpenHow::default() })?;
        let is_there = opened.shared.lock().path_of(opened.node).as_deref() == Some(path);
        if is_there { Ok(opened) } else { Err(ErrorCode::NotPermitted) }
    }

    /// What may be done through it.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.shared.lock().node(self.node).body, Body::Directory(_))
    }

    /// Opens a path relative to this directory.
    ///
    /// # Errors
    /// As `open-at` of `wasi:filesystem`; `unsupported` for a FIFO, socket or device.
    pub fn open_at(&self, path: &str, how: OpenHow) -> Result<Self, ErrorCode> {
        if how.write || how.create || how.truncate {
            self.writes()?;
        }
        let node = {
            let mut state = self.shared.lock();
            state.room_for_handle()?;
            let node = state.open(self.node, path, how)?;
            state.take(node);
            node
        };
        Ok(Self { shared: self.shared.clone(), node, access: self.access, readable: how.read, writable: how.write })
    }

    /// Reads at most `bytes_max` bytes (and at most 256 KiB) from a position. Empty at the end.
    ///
    /// # Errors
    /// `bad-descriptor` if it was not opened for reading, `is-directory`.
    pub fn read_at(&self, bytes_max: u64, offset: u64) -> Result<Vec<u8>, ErrorCode> {
        if !self.readable {
            return Err(ErrorCode::BadDescriptor);
        }
        let state = self.shared.lock();
        let wanted = usize::try_from(bytes_max.min(READ_BYTES_MAX)).unwrap_or(usize::MAX);
        let slice = |bytes: &[u8]| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            bytes[start..bytes.len().min(start.saturating_add(wanted))].to_vec()
        };
        match &state.file(self.node)?.content {
            Content::Image(bytes) => Ok(slice(bytes)),
            Content::Staged(bytes) => Ok(slice(bytes)),
            Content::Base { .. } if wanted == 0 || i64::try_from(offset).is_err() => Ok(Vec::new()),
            Content::Base { file, .. } => {
                let mut bytes = Vec::with_capacity(wanted);
                loop {
                    match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut bytes), offset) {
                        Err(rustix::io::Errno::INTR) => {}
                        Err(errno) => return Err(code(errno)),
                        Ok(_) => return Ok(bytes),
                    }
                }
            }
        }
    }

    /// Writes at a position; what lies between the end and it becomes zeros.
    ///
    /// # Errors
    /// `bad-descriptor` if it was not opened for writing; `insufficient-space` over the limit.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), ErrorCode> {
        self.change(|_| Some(offset), bytes)
    }

    /// Writes at the end.
    ///
    /// # Errors
    /// As for [`Handle::write_at`].
    pub fn append(&self, bytes: &[u8]) -> Result<(), ErrorCode> {
        self.change(|_| None, bytes)
    }

    fn change(&self, at: impl FnOnce(&State) -> Option<u64>, bytes: &[u8]) -> Result<(), ErrorCode> {
        if !self.writable {
            return Err(ErrorCode::BadDescriptor);
        }
        let mut state = self.shared.lock();
        let offset = at(&state);
        state.write(self.node, offset, bytes)
    }

    /// Makes a file longer, with zeros, or shorter.
    ///
    /// # Errors
    /// `invalid` if it was not opened for writing; `insufficient-space` over the limit.
    pub fn set_size(&self, bytes: u64) -> Result<(), ErrorCode> {
        if !self.writable {
            return Err(ErrorCode::Invalid);
        }
        let mut state = self.shared.lock();
        state.set_size(self.node, bytes)
    }

    /// What it is.
    ///
    /// # Errors
    /// `io` if the system fails.
    pub fn stat(&self) -> Result<Stat, ErrorCode> {
        self.shared.lock().stat_node(self.node)
    }

    /// What stands at a path.
    ///
    /// # Errors
    /// As `stat-at` of `wasi:filesystem`.
    pub fn stat_at(&self, path: &str, follow: bool) -> Result<Stat, ErrorCode> {
        self.shared.lock().stat_at(self.node, path, follow).map(|(_, stat)| stat)
    }

    /// A number that is the same for the same path, and for this file after it was removed another.
    pub fn identity(&self) -> u128 {
        match self.shared.lock().path_of(self.node) {
            Some(path) => identity_of(&path),
            // No path begins with a slash, so these are different from all others.
            None => identity_of(&format!("/{:?}", self.node)),
        }
    }

    /// The number of what stands at a path.
    ///
    /// # Errors
    /// As for [`Handle::stat_at`].
    pub fn identity_at(&self, path: &str, follow: bool) -> Result<u128, ErrorCode> {
        self.shared.lock().stat_at(self.node, path, follow).map(|(path, _)| identity_of(&path))
    }

    /// Whether both are the same file or directory.
    pub fn is_same(&self, other: &Self) -> bool {
        self.shared.is(&other.shared) && self.node == other.node
    }

    /// The names in this directory, sorted.
    ///
    /// # Errors
    /// `not-directory`; `insufficient-memory` over the limit.
    pub fn list(&self) -> Result<Vec<DirectoryEntry>, ErrorCode> {
        let mut state = self.shared.lock();
        let place = state.place_of(self.node)?;
        let listing = state.list(&place)?;
        Ok(listing.entries.into_iter().map(|(name, kind)| DirectoryEntry { name, kind }).collect())
    }

    /// The same, counted as long as it is held, and as an open handle.
    pub(super) fn list_held(&self) -> Result<Listing, ErrorCode> {
        let held = self.again()?;
        let entries = self.list()?;
        let bytes = entries.iter().map(|entry| LISTING_ENTRY_BYTES + entry.name.len() as u64).sum();
        self.shared.lock().listed_bytes += bytes;
        Ok(Listing { entries: entries.into_iter(), bytes, held })
    }

    /// Where a symbolic link inside the workspace points.
    ///
    /// # Errors
    /// `invalid` if it is none; `not-permitted` if it is absolute.
    pub fn read_link_at(&self, path: &str) -> Result<String, ErrorCode> {
        let state = self.shared.lock();
        let Target::Entry(entry) = state.resolve(self.node, path, Follow::BeforeSlash)? else {
            return Err(ErrorCode::Invalid);
        };
        match entry.found {
            Found::Missing => Err(ErrorCode::NoEntry),
            Found::Base(Meta { kind: Kind::Symlink, .. }) => {
                let base = state.base.as_ref().ok_or(ErrorCode::NoEntry)?;
                let target = base.read_link(&entry.path())?;
                if target.starts_with('/') { Err(ErrorCode::NotPermitted) } else { Ok(target) }
            }
            Found::Base(_) | Found::Node(_) => Err(ErrorCode::Invalid),
        }
    }

    /// Creates a directory.
    ///
    /// # Errors
    /// As `create-directory-at` of `wasi:filesystem`.
    pub fn create_directory_at(&self, path: &str) -> Result<(), ErrorCode> {
        self.writes()?;
        self.shared.lock().create_directory(self.node, path)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// As `remove-directory-at` of `wasi:filesystem`.
    pub fn remove_directory_at(&self, path: &str) -> Result<(), ErrorCode> {
        self.writes()?;
        self.shared.lock().remove_directory(self.node, path)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// As `unlink-file-at` of `wasi:filesystem`; `not-permitted` for anything but a regular file.
    pub fn unlink_file_at(&self, path: &str) -> Result<(), ErrorCode> {
        self.writes()?;
        self.shared.lock().unlink(self.node, path)
    }

    /// Moves a file or directory, replacing what stands at the other path if it is a file, or an empty
    /// directory where a directory is moved. A directory of the workspace is copied up with all that is in it.
    ///
    /// # Errors
    /// As `rename-at` of `wasi:filesystem`; `cross-device` between two layers; `not-permitted` where
    /// something is in the way that is neither file nor directory; `insufficient-space` over the limit.
    pub fn rename_at(&self, from: &str, to_directory: &Self, to: &str) -> Result<(), ErrorCode> {
        self.writes()?;
        to_directory.writes()?;
        if !self.shared.is(&to_directory.shared) {
            return Err(ErrorCode::CrossDevice);
        }
        self.shared.lock().rename(self.node, from, to_directory.node, to)
    }

    /// Bytes of the file now.
    pub(super) fn bytes(&self) -> Result<u64, ErrorCode> {
        self.stat().map(|stat| stat.bytes)
    }
}

/// 128 bits of a path: FNV-1a, with the offset and prime of its authors' publication
/// (<http://www.isthe.com/chongo/tech/comp/fnv/>). Not proof against a guest that wants to fool itself.
fn identity_of(path: &str) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    path.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

/// A directory's names, merged and sorted.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) entries: BTreeMap<String, Kind>,
    /// There are also names that guests do not see.
    pub(super) has_hidden: bool,
}

impl State {
    fn room_for_handle(&mut self) -> Result<(), ErrorCode> {
        if self.handles >= self.limits.open_handles {
            return Err(self.cross(LimitName::OpenHandles, self.limits.open_handles));
        }
        Ok(())
    }

    fn take(&mut self, id: NodeId) {
        self.handles += 1;
        self.node_mut(id).opens += 1;
    }

    fn open(&mut self, start: NodeId, path: &str, how: OpenHow) -> Result<NodeId, ErrorCode> {
        if how.create && how.directory {
            return Err(ErrorCode::Invalid);
        }
        if !(how.write || how.create || how.truncate || how.directory) {
            match self.quick_open(start, path) {
                Quick::Failed(code) => return Err(code),
                Quick::Unclear => {}
                Quick::Found(full, (file, meta)) => {
                    let (parent, name) = split(&full).ok_or(ErrorCode::Invalid)?;
                    let place = Place { path: parent.to_owned(), node: None };
                    return match meta.kind {
                        Kind::Directory => self.materialise(&Place { path: full, node: None }),
                        Kind::File => {
                            self.see(&full, &meta);
                            self.add_base_file(&place, name, file, meta)
                        }
                        _ => Err(ErrorCode::Unsupported),
                    };
                }
            }
        }
        let follow = match (how.create && how.exclusive, how.follow) {
            (true, _) => Follow::Never,
            (false, true) => Follow::Always,
            (false, false) => Follow::BeforeSlash,
        };
        match self.resolve(start, path, follow)? {
            Target::Itself(_) if how.create && how.exclusive => Err(ErrorCode::Exist),
            Target::Itself(_) if how.write || how.create || how.truncate => Err(ErrorCode::IsDirectory),
            Target::Itself(place) => self.materialise(&place),
            // A file cannot be created by the name of a directory, even if it exists.
            Target::Entry(entry) if how.create && entry.directory => Err(ErrorCode::IsDirectory),
            Target::Entry(entry) => self.open_entry(&entry, how),
        }
    }

    fn open_entry(&mut self, entry: &Entry, how: OpenHow) -> Result<NodeId, ErrorCode> {
        match self.kind_of(&entry.found) {
            None if !how.create => Err(ErrorCode::NoEntry),
            None => {
                let modified_ns = self.tick();
                let file = File { content: Content::Staged(Vec::new()), executable: false, modified_ns };
                self.create(entry, Body::File(file))
            }
            Some(_) if how.create && how.exclusive => Err(ErrorCode::Exist),
            Some(Kind::Directory) if how.write || how.create || how.truncate => Err(ErrorCode::IsDirectory),
            Some(Kind::Directory) => match entry.found {
                Found::Node(id) => Ok(id),
                _ => self.materialise(&Place { path: entry.path(), node: None }),
            },
            Some(_) if how.directory => Err(ErrorCode::NotDirectory),
            Some(Kind::File) => {
                let id = match entry.found {
                    Found::Node(id) => id,
                    _ => self.open_base_file(&entry.parent, &entry.name)?,
                };
                if let Content::Base { meta, .. } = &self.file(id)?.content
                    && how.read
                {
                    let meta = *meta;
                    self.see(&entry.path(), &meta);
                }
                if how.truncate
                    && let Err(refused) = self.set_size(id, 0)
                {
                    self.collect(id);
                    return Err(refused);
                }
                Ok(id)
            }
            Some(Kind::Symlink) => Err(ErrorCode::Loop),
            Some(_) => Err(ErrorCode::Unsupported),
        }
    }

    /// Adds a name where nothing stands.
    fn create(&mut self, entry: &Entry, body: Body) -> Result<NodeId, ErrorCode> {
        let path = entry.path();
        if path.len() > PATH_BYTES_MAX {
            return Err(ErrorCode::NameTooLong);
        }
        if super::path::is_hidden(&entry.name) {
            return Err(ErrorCode::NotPermitted);
        }
        self.touch_nothing(&path)?;
        let parent = self.materialise(&entry.parent)?;
        self.insert(parent, &entry.name, true, body)
    }

    /// The file's own content, to be changed.
    fn staged(&mut self, id: NodeId) -> Result<&mut Vec<u8>, ErrorCode> {
        self.copy_up(id)?;
        let modified_ns = self.tick();
        if let Content::Image(image) = &self.file(id)?.content {
            let image = std::sync::Arc::clone(image);
            self.resize(0, image.len() as u64)?;
            self.file_mut(id)?.content = Content::Staged(image.to_vec());
        }
        let file = self.file_mut(id)?;
        file.modified_ns = modified_ns;
        match &mut file.content {
            Content::Staged(bytes) => Ok(bytes),
            Content::Base { .. } | Content::Image(_) => Err(ErrorCode::BadDescriptor),
        }
    }

    fn write(&mut self, id: NodeId, offset: Option<u64>, bytes: &[u8]) -> Result<(), ErrorCode> {
        self.file(id)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let before = self.staged(id)?.len() as u64;
        let start = offset.unwrap_or(before);
        let end = start.checked_add(bytes.len() as u64).ok_or(ErrorCode::FileTooLarge)?;
        self.resize(before, before.max(end))?;
        let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(end)) else {
            return Err(ErrorCode::FileTooLarge);
        };
        let content = self.staged(id)?;
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn set_size(&mut self, id: NodeId, bytes: u64) -> Result<(), ErrorCode> {
        self.copy_up(id)?;
        if bytes == 0 && matches!(self.file(id)?.content, Content::Image(_)) {
            // Nothing of the content is kept: it need not be copied.
            self.file_mut(id)?.content = Content::Staged(Vec::new());
        }
        let before = self.staged(id)?.len() as u64;
        self.resize(before, bytes)?;
        let size = usize::try_from(bytes).map_err(|_| ErrorCode::FileTooLarge)?;
        let content = self.staged(id)?;
        content.resize(size, 0);
        if content.capacity() / 4 > size {
            content.shrink_to_fit();
        }
        Ok(())
    }

    fn stat_node(&self, id: NodeId) -> Result<Stat, ErrorCode> {
        Ok(match &self.node(id).body {
            Body::Free => return Err(ErrorCode::BadDescriptor),
            Body::Directory(_) => Stat { kind: Kind::Directory, bytes: 0, modified_ns: 0 },
            Body::File(file) => {
                let bytes = match &file.content {
                    Content::Image(bytes) => bytes.len() as u64,
                    Content::Staged(bytes) => bytes.len() as u64,
                    Content::Base { file, .. } => Meta::of_open(file).map_err(code)?.bytes,
                };
                Stat { kind: Kind::File, bytes, modified_ns: file.modified_ns }
            }
        })
    }

    fn stat_at(&self, start: NodeId, path: &str, follow: bool) -> Result<(String, Stat), ErrorCode> {
        let follow = if follow { Follow::Always } else { Follow::BeforeSlash };
        match self.quick_peek(start, path, follow) {
            Quick::Found(full, meta) => return Ok((full, stat_of(&meta))),
            Quick::Failed(code) => return Err(code),
            Quick::Unclear => {}
        }
        match self.resolve(start, path, follow)? {
            Target::Itself(place) => Ok((place.path, Stat { kind: Kind::Directory, bytes: 0, modified_ns: 0 })),
            Target::Entry(entry) => match entry.found {
                Found::Missing => Err(ErrorCode::NoEntry),
                Found::Base(meta) => Ok((entry.path(), stat_of(&meta))),
                Found::Node(id) => Ok((entry.path(), self.stat_node(id)?)),
            },
        }
    }

    /// The names in a directory.
    pub(super) fn list(&mut self, place: &Place) -> Result<Merged, ErrorCode> {
        let mut merged = Merged::default();
        let mut gone = Vec::new();
        let mut bytes = 0;
        let mut look_below = true;
        if let Some(id) = place.node {
            let directory = self.directory(id)?;
            look_below = directory.merged;
            for (name, slot) in &directory.names {
                match slot {
                    Slot::Gone => gone.push(name.clone()),
                    Slot::Node(child) => {
                        bytes += LISTING_ENTRY_BYTES + name.len() as u64;
                        let kind = self.kind_of(&Found::Node(*child)).unwrap_or(Kind::Unknown);
                        merged.entries.insert(name.to_string(), kind);
                    }
                }
            }
        }
        let bytes_max = self.limits.listing_bytes;
        bytes += self.listed_bytes;
        if bytes > bytes_max {
            return Err(self.cross(LimitName::HostBytes, bytes_max));
        }
        let Some(base) = self.base.clone().filter(|_| look_below) else { return Ok(merged) };
        let below = match base.list(&place.path, bytes_max - bytes) {
            Ok(below) => below,
            // Removed by somebody else: what is staged is still there.
            Err(ListError::Errno(rustix::io::Errno::NOENT)) if !merged.entries.is_empty() => return Ok(merged),
            Err(ListError::Errno(errno)) => return Err(code(errno)),
            Err(ListError::TooLarge) => return Err(self.cross(LimitName::HostBytes, bytes_max)),
        };
        merged.has_hidden = below.has_hidden;
        for entry in below.entries {
            if gone.binary_search_by(|name| (**name).cmp(entry.name.as_str())).is_err() {
                merged.entries.entry(entry.name).or_insert(entry.kind);
            }
        }
        Ok(merged)
    }

    fn create_directory(&mut self, start: NodeId, path: &str) -> Result<(), ErrorCode> {
        // `mkdir a/` means `a`, whatever stands there.
        let bare = if path.starts_with('/') { path } else { path.trim_end_matches('/') };
        let Target::Entry(entry) = self.resolve(start, bare, Follow::Never)? else { return Err(ErrorCode::Exist) };
        if !matches!(entry.found, Found::Missing) {
            return Err(ErrorCode::Exist);
        }
        self.create(&entry, Body::Directory(Directory { merged: false, names: BTreeMap::new() }))?;
        Ok(())
    }

    fn remove_directory(&mut self, start: NodeId, path: &str) -> Result<(), ErrorCode> {
        let Target::Entry(entry) = self.resolve(start, path, Follow::Never)? else { return Err(ErrorCode::Invalid) };
        match self.kind_of(&entry.found) {
            None => return Err(ErrorCode::NoEntry),
            Some(Kind::Directory) => {}
            Some(_) => return Err(ErrorCode::NotDirectory),
        }
        let node = if let Found::Node(id) = entry.found { Some(id) } else { None };
        let place = Place { path: entry.path(), node };
        if !self.is_empty(&place)? {
            return Err(ErrorCode::NotEmpty);
        }
        // Recorded already if the call made it.
        self.touch_directory(&place.path)?;
        let parent = self.materialise(&entry.parent)?;
        self.forget_name(parent, &entry.name)?;
        if let Some(id) = node {
            self.detach(id);
        }
        Ok(())
    }

    /// Whether a directory holds nothing, seen or unseen.
    pub(super) fn is_empty(&mut self, place: &Place) -> Result<bool, ErrorCode> {
        let merged = self.list(place)?;
        Ok(merged.entries.is_empty() && !merged.has_hidden)
    }

    fn unlink(&mut self, start: NodeId, path: &str) -> Result<(), ErrorCode> {
        let Target::Entry(entry) = self.resolve(start, path, Follow::Never)? else {
            return Err(ErrorCode::IsDirectory);
        };
        match self.kind_of(&entry.found) {
            None => return Err(ErrorCode::NoEntry),
            Some(Kind::File) => {}
            Some(Kind::Directory) => return Err(ErrorCode::IsDirectory),
            Some(_) => return Err(ErrorCode::NotPermitted),
        }
        let id = self.own_file(&entry.parent, &entry.name, &entry.found)?;
        let parent = self.materialise(&entry.parent)?;
        self.forget_name(parent, &entry.name)?;
        self.detach(id);
        Ok(())
    }
}

fn stat_of(meta: &Meta) -> Stat {
    let bytes = if meta.kind == Kind::File || meta.kind == Kind::Symlink { meta.bytes } else { 0 };
    let modified_ns = u64::try_from(meta.modified_s).unwrap_or(0).saturating_mul(1_000_000_000);
    Stat { kind: meta.kind, bytes, modified_ns: if meta.kind == Kind::Directory { 0 } else { modified_ns } }
}
