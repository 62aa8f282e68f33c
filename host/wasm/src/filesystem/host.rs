//! `wasi:filesystem/types` and `wasi:filesystem/preopens`, version 0.2, on layers.
//!
//! Promise: a guest sees the directories it was given and nothing else; an error of its own making is a
//! code that it can read, and only a handle that never was traps. Every function works on the guest's own
//! thread.
//!
//! Not here: what the operations do (`handle.rs`), the other interfaces a guest imports (the linker).

use super::bindings::ErrorCode;
use super::bindings::wasi::filesystem::preopens;
use super::bindings::wasi::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry as WasiEntry, Filesize,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use super::handle::{Handle, Kind, Listing, OpenHow, Stat};
use super::layer::{Access, Layer, Shared};
use super::stream::{FileInput, FileOutput, StreamFailure};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable, ResourceTableError};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

/// What a host function answers instead of a result: a code for the guest, or a trap.
#[derive(Debug)]
#[allow(unreachable_pub, reason = "generated code re-exports it")]
pub enum Failure {
    /// The guest reads it.
    Code(ErrorCode),
    /// The guest ends.
    Trap(wasmtime::Error),
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self::Code(code)
    }
}

impl From<ResourceTableError> for Failure {
    fn from(error: ResourceTableError) -> Self {
        match error {
            ResourceTableError::Full => Self::Code(ErrorCode::InsufficientMemory),
            other => Self::Trap(other.into()),
        }
    }
}

type Answer<T> = Result<T, Failure>;

/// A directory that a guest is given.
#[derive(Debug)]
pub struct Preopen {
    guest_path: String,
    shared: Shared,
    /// Below the layer's root; empty for the root.
    folder: String,
    access: Access,
}

impl Preopen {
    /// A layer under a guest's path, such as `/workspace`.
    pub fn new(guest_path: impl Into<String>, layer: &Layer, access: Access) -> Self {
        Self::of_folder(guest_path, layer, "", access)
    }

    /// A folder of a layer, by its path below the layer's root. A guest gets it only if it is there, and no
    /// symbolic link leads to it: whoever can make links must not decide what was meant.
    pub fn of_folder(guest_path: impl Into<String>, layer: &Layer, folder: impl Into<String>, access: Access) -> Self {
        Self { guest_path: guest_path.into(), shared: layer.shared().clone(), folder: folder.into(), access }
    }

    fn open(&self) -> Result<Handle, ErrorCode> {
        let root = Handle::root(&self.shared, self.access)?;
        if self.folder.is_empty() { Ok(root) } else { root.folder(&self.folder) }
    }
}

/// What one guest is given. Without a preopen it has no file system.
#[derive(Debug, Default)]
pub struct FilesystemCtx {
    /// The directories, in the order the guest gets them.
    pub preopens: Vec<Preopen>,
    /// The guest asked for them.
    pub were_asked_for: bool,
}

/// A store's data, as this interface needs it.
pub struct FilesystemCtxView<'a> {
    /// What the guest is given.
    pub ctx: &'a mut FilesystemCtx,
    /// The store's handles.
    pub table: &'a mut ResourceTable,
}

/// Store data that has a file system.
pub trait FilesystemView: Send {
    /// Its parts.
    fn filesystem(&mut self) -> FilesystemCtxView<'_>;
}

struct HasFilesystem;

impl HasData for HasFilesystem {
    type Data<'a> = FilesystemCtxView<'a>;
}

/// Links `wasi:filesystem/types` and `wasi:filesystem/preopens`. A guest may import any 0.2 version.
///
/// # Errors
/// If the linker has one of them already.
pub fn add_to_linker<T: FilesystemView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    types::add_to_linker::<T, HasFilesystem>(linker, T::filesystem)?;
    preopens::add_to_linker::<T, HasFilesystem>(linker, T::filesystem)
}

impl preopens::Host for FilesystemCtxView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Handle>, String)>> {
        self.ctx.were_asked_for = true;
        let mut directories = Vec::with_capacity(self.ctx.preopens.len());
        for preopen in &self.ctx.preopens {
            // No such folder, or no handle is left: the guest does not get it, and the layer says which limit it was.
            let Ok(handle) = preopen.open() else { continue };
            directories.push((self.table.push(handle)?, preopen.guest_path.clone()));
        }
        Ok(directories)
    }
}

impl types::Host for FilesystemCtxView<'_> {
    fn convert_error_code(&mut self, failure: Failure) -> wasmtime::Result<ErrorCode> {
        match failure {
            Failure::Code(code) => Ok(code),
            Failure::Trap(error) => Err(error),
        }
    }

    fn filesystem_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(self.table.get(&error)?.downcast_ref::<StreamFailure>().map(|failure| failure.0))
    }
}

impl types::HostDirectoryEntryStream for FilesystemCtxView<'_> {
    fn read_directory_entry(&mut self, stream: Resource<Listing>) -> Answer<Option<WasiEntry>> {
        let next = self.table.get_mut(&stream)?.entries.next();
        Ok(next.map(|entry| WasiEntry { type_: type_of(entry.kind), name: entry.name }))
    }

    fn drop(&mut self, stream: Resource<Listing>) -> wasmtime::Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

impl types::HostDescriptor for FilesystemCtxView<'_> {
    fn read_via_stream(&mut self, file: Resource<Handle>, offset: Filesize) -> Answer<Resource<DynInputStream>> {
        let handle = self.table.get(&file)?;
        if handle.is_directory() {
            return Err(ErrorCode::IsDirectory.into());
        }
        if !handle.readable {
            return Err(ErrorCode::BadDescriptor.into());
        }
        let stream: DynInputStream = Box::new(FileInput::new(handle.again()?, offset));
        Ok(self.table.push(stream)?)
    }

    fn write_via_stream(&mut self, file: Resource<Handle>, offset: Filesize) -> Answer<Resource<DynOutputStream>> {
        self.output(&file, Some(offset))
    }

    fn append_via_stream(&mut self, file: Resource<Handle>) -> Answer<Resource<DynOutputStream>> {
        self.output(&file, None)
    }

    fn advise(&mut self, file: Resource<Handle>, _: Filesize, _: Filesize, _: Advice) -> Answer<()> {
        let handle = self.table.get(&file)?;
        // As on Linux, where a directory has no pages to advise on.
        if handle.is_directory() { Err(ErrorCode::BadDescriptor.into()) } else { Ok(()) }
    }

    fn sync_data(&mut self, file: Resource<Handle>) -> Answer<()> {
        self.sync(file)
    }

    fn get_flags(&mut self, file: Resource<Handle>) -> Answer<DescriptorFlags> {
        let handle = self.table.get(&file)?;
        let mut flags = DescriptorFlags::empty();
        for (flag, is_set) in [
            (DescriptorFlags::READ, handle.readable),
            (DescriptorFlags::WRITE, handle.writable),
            (DescriptorFlags::MUTATE_DIRECTORY, handle.is_directory() && handle.access() == Access::Staged),
        ] {
            if is_set {
                flags |= flag;
            }
        }
        Ok(flags)
    }

    fn get_type(&mut self, file: Resource<Handle>) -> Answer<DescriptorType> {
        Ok(if self.table.get(&file)?.is_directory() { DescriptorType::Directory } else { DescriptorType::RegularFile })
    }

    fn set_size(&mut self, file: Resource<Handle>, size: Filesize) -> Answer<()> {
        Ok(self.table.get(&file)?.set_size(size)?)
    }

    fn set_times(&mut self, file: Resource<Handle>, _: NewTimestamp, _: NewTimestamp) -> Answer<()> {
        // Accepted and forgotten: what a call leaves behind is content, not times.
        Ok(self.table.get(&file)?.writes()?)
    }

    fn read(&mut self, file: Resource<Handle>, length: Filesize, offset: Filesize) -> Answer<(Vec<u8>, bool)> {
        let bytes = self.table.get(&file)?.read_at(length, offset)?;
        let at_end = bytes.is_empty();
        Ok((bytes, at_end))
    }

    fn write(&mut self, file: Resource<Handle>, bytes: Vec<u8>, offset: Filesize) -> Answer<Filesize> {
        self.table.get(&file)?.write_at(&bytes, offset)?;
        Ok(bytes.len() as Filesize)
    }

    fn read_directory(&mut self, file: Resource<Handle>) -> Answer<Resource<Listing>> {
        let listing = self.table.get(&file)?.list_held()?;
        Ok(self.table.push(listing)?)
    }

    fn sync(&mut self, file: Resource<Handle>) -> Answer<()> {
        // What is staged becomes durable when it is put in place.
        self.table.get(&file)?;
        Ok(())
    }

    fn create_directory_at(&mut self, file: Resource<Handle>, path: String) -> Answer<()> {
        Ok(self.table.get(&file)?.create_directory_at(&path)?)
    }

    fn stat(&mut self, file: Resource<Handle>) -> Answer<DescriptorStat> {
        Ok(wasi_stat(&self.table.get(&file)?.stat()?))
    }

    fn stat_at(&mut self, file: Resource<Handle>, flags: PathFlags, path: String) -> Answer<DescriptorStat> {
        Ok(wasi_stat(&self.table.get(&file)?.stat_at(&path, follows(flags))?))
    }

    fn set_times_at(
        &mut self,
        file: Resource<Handle>,
        flags: PathFlags,
        path: String,
        _: NewTimestamp,
        _: NewTimestamp,
    ) -> Answer<()> {
        let handle = self.table.get(&file)?;
        handle.stat_at(&path, follows(flags))?;
        Ok(handle.writes()?)
    }

    fn link_at(
        &mut self,
        file: Resource<Handle>,
        _: PathFlags,
        _: String,
        to: Resource<Handle>,
        _: String,
    ) -> Answer<()> {
        self.table.get(&file)?;
        self.table.get(&to)?;
        Err(ErrorCode::NotPermitted.into())
    }

    fn open_at(
        &mut self,
        file: Resource<Handle>,
        path_flags: PathFlags,
        path: String,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> Answer<Resource<Handle>> {
        let how = OpenHow {
            read: flags.contains(DescriptorFlags::READ),
            write: flags.contains(DescriptorFlags::WRITE),
            create: open.contains(OpenFlags::CREATE),
            exclusive: open.contains(OpenFlags::EXCLUSIVE),
            truncate: open.contains(OpenFlags::TRUNCATE),
            directory: open.contains(OpenFlags::DIRECTORY),
            follow: follows(path_flags),
        };
        let opened = self.table.get(&file)?.open_at(&path, how)?;
        Ok(self.table.push(opened)?)
    }

    fn readlink_at(&mut self, file: Resource<Handle>, path: String) -> Answer<String> {
        Ok(self.table.get(&file)?.read_link_at(&path)?)
    }

    fn remove_directory_at(&mut self, file: Resource<Handle>, path: String) -> Answer<()> {
        Ok(self.table.get(&file)?.remove_directory_at(&path)?)
    }

    fn rename_at(&mut self, file: Resource<Handle>, old: String, to: Resource<Handle>, new: String) -> Answer<()> {
        Ok(self.table.get(&file)?.rename_at(&old, self.table.get(&to)?, &new)?)
    }

    fn symlink_at(&mut self, file: Resource<Handle>, _: String, _: String) -> Answer<()> {
        self.table.get(&file)?;
        Err(ErrorCode::NotPermitted.into())
    }

    fn unlink_file_at(&mut self, file: Resource<Handle>, path: String) -> Answer<()> {
        Ok(self.table.get(&file)?.unlink_file_at(&path)?)
    }

    fn is_same_object(&mut self, one: Resource<Handle>, other: Resource<Handle>) -> wasmtime::Result<bool> {
        Ok(self.table.get(&one)?.is_same(self.table.get(&other)?))
    }

    fn metadata_hash(&mut self, file: Resource<Handle>) -> Answer<MetadataHashValue> {
        Ok(wasi_hash(self.table.get(&file)?.identity()))
    }

    fn metadata_hash_at(
        &mut self,
        file: Resource<Handle>,
        flags: PathFlags,
        path: String,
    ) -> Answer<MetadataHashValue> {
        Ok(wasi_hash(self.table.get(&file)?.identity_at(&path, follows(flags))?))
    }

    fn drop(&mut self, file: Resource<Handle>) -> wasmtime::Result<()> {
        self.table.delete(file)?;
        Ok(())
    }
}

impl FilesystemCtxView<'_> {
    fn output(&mut self, file: &Resource<Handle>, offset: Option<u64>) -> Answer<Resource<DynOutputStream>> {
        let handle = self.table.get(file)?;
        if handle.is_directory() {
            return Err(ErrorCode::IsDirectory.into());
        }
        if !handle.writable {
            return Err(ErrorCode::BadDescriptor.into());
        }
        let stream: DynOutputStream = Box::new(FileOutput::new(handle.again()?, offset));
        Ok(self.table.push(stream)?)
    }
}

fn follows(flags: PathFlags) -> bool {
    flags.contains(PathFlags::SYMLINK_FOLLOW)
}

fn type_of(kind: Kind) -> DescriptorType {
    match kind {
        Kind::File => DescriptorType::RegularFile,
        Kind::Directory => DescriptorType::Directory,
        Kind::Symlink => DescriptorType::SymbolicLink,
        Kind::Fifo => DescriptorType::Fifo,
        Kind::Socket => DescriptorType::Socket,
        Kind::CharacterDevice => DescriptorType::CharacterDevice,
        Kind::BlockDevice => DescriptorType::BlockDevice,
        Kind::Unknown => DescriptorType::Unknown,
    }
}

fn wasi_stat(stat: &Stat) -> DescriptorStat {
    let nanoseconds = u32::try_from(stat.modified_ns % 1_000_000_000).unwrap_or(0);
    let time = Some(Datetime { seconds: stat.modified_ns / 1_000_000_000, nanoseconds });
    DescriptorStat {
        type_: type_of(stat.kind),
        link_count: 1,
        size: stat.bytes,
        data_access_timestamp: time,
        data_modification_timestamp: time,
        status_change_timestamp: time,
    }
}

fn wasi_hash(identity: u128) -> MetadataHashValue {
    MetadataHashValue { lower: identity as u64, upper: (identity >> 64) as u64 }
}
