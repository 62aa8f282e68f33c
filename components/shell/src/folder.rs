//! A folder of the session, for the shell: every operation is one of the file system's, at once.
//!
//! Promise: nothing is cached and nothing lies over the folder: what another saw last is what a command sees, and
//! what a command writes is in the folder when the command ends. No file is read beyond [`limits::FILE_BYTES_MAX`].
//! Not here: where links lead. bashkit follows those at the end of a path, inside what is mounted; the host those
//! on the way, and refuses what leaves. Nor permission bits: WASI has none, so all may be run and `chmod` does nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use bashkit::time::SystemTime;
use bashkit::{DirEntry, FileType, FsBackend, FsLimits, Metadata, Result, async_trait};

use crate::limits;

/// A folder that the host lends, mounted somewhere in the shell's own tree.
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where the path `path`, absolute in this folder and without `..`, is for the file system.
    fn place(&self, path: &Path) -> PathBuf {
        let mut place = self.root.clone();
        place.extend(path.components().filter(|part| matches!(part, Component::Normal(_))));
        place
    }
}

#[async_trait]
impl FsBackend for Folder {
    async fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let file = File::open(self.place(path))?;
        let mut bytes = Vec::new();
        file.take(limits::FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limits::FILE_BYTES_MAX {
            return Err(too_large().into());
        }
        Ok(bytes)
    }

    async fn write(&self, path: &Path, content: &[u8]) -> Result<()> {
        if content.len() as u64 > limits::FILE_BYTES_MAX {
            return Err(too_large().into());
        }
        Ok(fs::write(self.place(path), content)?)
    }

    async fn append(&self, path: &Path, content: &[u8]) -> Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).open(self.place(path))?;
        Ok(file.write_all(content)?)
    }

    async fn mkdir(&self, path: &Path, recursive: bool) -> Result<()> {
        let place = self.place(path);
        Ok(if recursive { fs::create_dir_all(place) } else { fs::create_dir(place) }?)
    }

    async fn remove(&self, path: &Path, recursive: bool) -> Result<()> {
        let place = self.place(path);
        if place == self.root {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "this folder itself stays").into());
        }
        Ok(match (fs::symlink_metadata(&place)?.is_dir(), recursive) {
            (true, true) => fs::remove_dir_all(place),
            (true, false) => fs::remove_dir(place),
            (false, _) => fs::remove_file(place),
        }?)
    }

    async fn stat(&self, path: &Path) -> Result<Metadata> {
        Ok(described(&fs::symlink_metadata(self.place(path))?))
    }

    async fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.place(path))? {
            let entry = entry?;
            if entries.len() == limits::FOLDER_ENTRIES_MAX {
                let most = limits::FOLDER_ENTRIES_MAX;
                return Err(io::Error::other(format!("a folder of more than {most} entries")).into());
            }
            // A name that is not UTF-8 cannot be named in a command either. What vanished meanwhile is not there.
            if let (Ok(name), Ok(metadata)) = (entry.file_name().into_string(), entry.metadata()) {
                entries.push(DirEntry { name, metadata: described(&metadata) });
            }
        }
        Ok(entries)
    }

    async fn exists(&self, path: &Path) -> Result<bool> {
        Ok(fs::symlink_metadata(self.place(path)).is_ok())
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        Ok(fs::rename(self.place(from), self.place(to))?)
    }

    async fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        let bytes = self.read(from).await?;
        self.write(to, &bytes).await
    }

    async fn symlink(&self, _: &Path, _: &Path) -> Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "links cannot be made here; copy instead").into())
    }

    async fn read_link(&self, path: &Path) -> Result<PathBuf> {
        Ok(fs::read_link(self.place(path))?)
    }

    async fn chmod(&self, path: &Path, _: u32) -> Result<()> {
        fs::symlink_metadata(self.place(path))?;
        Ok(())
    }

    async fn set_modified_time(&self, path: &Path, time: SystemTime) -> Result<()> {
        let place = self.place(path);
        let folder = fs::metadata(&place)?.is_dir();
        let opened = OpenOptions::new().read(folder).write(!folder).open(place)?;
        Ok(opened.set_modified(time)?)
    }

    fn limits(&self) -> FsLimits {
        limits::folder()
    }
}

fn too_large() -> io::Error {
    let most = limits::FILE_BYTES_MAX >> 20;
    io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than the {most} MiB that commands here handle"))
}

fn described(metadata: &fs::Metadata) -> Metadata {
    let kind = metadata.file_type();
    let file_type = if kind.is_dir() {
        FileType::Directory
    } else if kind.is_symlink() {
        FileType::Symlink
    } else {
        FileType::File
    };
    // A file system without times shows the beginning of time.
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let created = metadata.created().unwrap_or(modified);
    Metadata { file_type, size: metadata.len(), mode: 0o755, modified, created }
}
