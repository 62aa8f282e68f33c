//! What stood at a path before a call changed it.
//!
//! Promise: a path's "before" is its state in the workspace at the moment the call first changed it (first
//! write, truncation, replacement, move or deletion), content included. If the call had read the file
//! earlier and it had become another by then, the path is stale: the call's result is a conflict.
//! A change of the file after that moment is found when the manifest is put in place.

use super::base::{Meta, code};
use super::bindings::ErrorCode;
use super::descriptors::HeldFile;
use super::handle::Kind;
use super::limits::SEEN_FILES_MAX;
use super::path::join;
use super::tree::{Body, Content, File, Found, NodeId, Place, Slot, State};
use harness_core::outcome::LimitName;
use harness_core::{Digest, FileState};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Times a file is read again when it changes under our eyes.
const READ_ATTEMPTS_MAX: u32 = 3;

/// What stood at a path, with its content.
#[derive(Debug)]
pub(super) enum Before {
    Nothing,
    Directory,
    File { image: Arc<[u8]>, executable: bool },
}

impl Before {
    /// As a manifest states it.
    pub(super) fn state(&self) -> Option<FileState> {
        match self {
            Self::Nothing => None,
            Self::Directory => Some(FileState::Directory),
            Self::File { image, executable } => {
                Some(FileState::File { digest: Digest::of(image), bytes: image.len() as u64, executable: *executable })
            }
        }
    }
}

fn key(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

impl State {
    /// Remembers the state of a file that is about to be read.
    pub(super) fn see(&mut self, path: &str, meta: &Meta) {
        if self.seen.len() < SEEN_FILES_MAX {
            self.seen.entry(key(path)).or_insert_with(|| meta.stamp());
        }
    }

    /// Records what stands at a path, once.
    fn touch(&mut self, path: &str, before: impl FnOnce() -> Before) -> Result<(), ErrorCode> {
        if self.touched.contains_key(path) {
            return Ok(());
        }
        if self.touched.len() as u64 >= self.limits.staged_files {
            return Err(self.cross(LimitName::StagedFiles, self.limits.staged_files));
        }
        self.touched.insert(path.to_owned(), before());
        Ok(())
    }

    /// Records that nothing stands at a path.
    pub(super) fn touch_nothing(&mut self, path: &str) -> Result<(), ErrorCode> {
        self.touch(path, || Before::Nothing)
    }

    /// Records that a directory stands at a path.
    pub(super) fn touch_directory(&mut self, path: &str) -> Result<(), ErrorCode> {
        self.touch(path, || Before::Directory)
    }

    /// Forgets a path where nothing stood before and nothing stands now.
    pub(super) fn untouch(&mut self, path: &str) {
        if matches!(self.touched.get(path), Some(Before::Nothing)) {
            self.touched.remove(path);
        }
    }

    /// Reads a file of the workspace whole and records it as what stood there.
    fn touch_file(&mut self, path: &str, file: &HeldFile, meta: &Meta) -> Result<Arc<[u8]>, ErrorCode> {
        let first = self.seen.get(&key(path)).copied();
        let mut meta = *meta;
        for _ in 0..READ_ATTEMPTS_MAX {
            let room = self.limits.staged_bytes.saturating_sub(self.before_bytes);
            if meta.bytes > room {
                return Err(self.cross(LimitName::StagedBytes, self.limits.staged_bytes));
            }
            let Some(bytes) = read_whole(file, meta.bytes, room)? else {
                return Err(self.cross(LimitName::StagedBytes, self.limits.staged_bytes));
            };
            let after = Meta::of_open(file).map_err(code)?;
            if !after.is_same_state(&meta) || after.bytes != bytes.len() as u64 {
                meta = after;
                continue;
            }
            let image: Arc<[u8]> = bytes.into();
            let before = Before::File { image: Arc::clone(&image), executable: meta.is_executable() };
            self.touch(path, || before)?;
            self.before_bytes += image.len() as u64;
            if first.is_some_and(|stamp| stamp != meta.stamp()) {
                self.stale.insert(path.to_owned());
            }
            return Ok(image);
        }
        // Somebody writes it all the time.
        Err(ErrorCode::Busy)
    }

    /// Makes a file's content the layer's own, without changing it. Does nothing if it is already.
    pub(super) fn copy_up(&mut self, id: NodeId) -> Result<(), ErrorCode> {
        let path = self.path_of(id);
        let file = self.file_mut(id)?;
        if !matches!(file.content, Content::Base { .. }) {
            return Ok(());
        }
        // A removed file was copied up when it was removed.
        let path = path.ok_or(ErrorCode::BadDescriptor)?;
        let content = std::mem::replace(&mut file.content, Content::Staged(Vec::new()));
        let Content::Base { file: handle, meta } = content else { return Ok(()) };
        match self.touch_file(&path, &handle, &meta) {
            Ok(image) => {
                self.file_mut(id)?.content = Content::Image(image);
                self.node_mut(id).pinned = true;
                Ok(())
            }
            Err(refused) => {
                self.file_mut(id)?.content = Content::Base { file: handle, meta };
                Err(refused)
            }
        }
    }

    /// The node of a regular file in the workspace; made by opening it.
    pub(super) fn open_base_file(&mut self, parent: &Place, name: &str) -> Result<NodeId, ErrorCode> {
        let base = self.base.clone().ok_or(ErrorCode::NoEntry)?;
        let (file, meta) = base.open_held(&join(&parent.path, name)).map_err(code)?;
        if meta.kind != Kind::File {
            return Err(ErrorCode::Unsupported);
        }
        self.add_base_file(parent, name, file, meta)
    }

    /// The node of a file of the workspace that is open already.
    pub(super) fn add_base_file(
        &mut self,
        parent: &Place,
        name: &str,
        file: HeldFile,
        meta: Meta,
    ) -> Result<NodeId, ErrorCode> {
        let parent = self.materialise(parent)?;
        let modified_ns = u64::try_from(meta.modified_s).unwrap_or(0).saturating_mul(1_000_000_000);
        let executable = meta.is_executable();
        let body = Body::File(File { content: Content::Base { file, meta }, executable, modified_ns });
        self.insert(parent, name, false, body)
    }

    /// Copies up a file, whether or not it has a node, and gives its node.
    pub(super) fn own_file(&mut self, parent: &Place, name: &str, found: &Found) -> Result<NodeId, ErrorCode> {
        let id = match found {
            Found::Node(id) => *id,
            Found::Base(_) => self.open_base_file(parent, name)?,
            Found::Missing => return Err(ErrorCode::NoEntry),
        };
        let owned = self.copy_up(id);
        if owned.is_err() {
            self.collect(id);
        }
        owned.map(|()| id)
    }

    /// Takes a name out of its directory: a tombstone where the workspace has something, else nothing.
    pub(super) fn forget_name(&mut self, parent: NodeId, name: &str) -> Result<(), ErrorCode> {
        let path = join(&self.path_of(parent).ok_or(ErrorCode::NoEntry)?, name);
        let in_base = matches!(self.touched.get(&path), Some(Before::File { .. } | Before::Directory));
        let directory = self.directory_mut(parent)?;
        if in_base && directory.merged {
            directory.names.insert(name.into(), Slot::Gone);
        } else {
            directory.names.remove(name);
        }
        self.untouch(&path);
        Ok(())
    }
}

/// Reads a file from its start; nothing if it is longer than `bytes_max`.
fn read_whole(file: &HeldFile, bytes_expected: u64, bytes_max: u64) -> Result<Option<Vec<u8>>, ErrorCode> {
    let mut bytes = Vec::with_capacity(usize::try_from(bytes_expected.min(bytes_max)).unwrap_or(0) + 1);
    loop {
        if bytes.len() as u64 > bytes_max {
            return Ok(None);
        }
        if bytes.len() == bytes.capacity() {
            bytes.reserve(super::limits::READ_BYTES_MAX as usize);
        }
        let at = bytes.len() as u64;
        let got = match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut bytes), at) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other.map_err(code)?,
        };
        if got == 0 {
            return Ok(Some(bytes));
        }
    }
}
