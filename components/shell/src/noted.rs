//! Files as a guarded command sees them: those of the shell, with errors in plain words.
//!
//! Promise: passes everything on unchanged; an error keeps its meaning, loses its number, and its path is remembered.
//! Not here: which commands need this (`guarded`).

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bashkit::time::SystemTime;
use bashkit::{DirEntry, Error, FileSystem, FileSystemExt, FsLimits, FsUsage, Metadata, Result, async_trait};

/// Where the shell has what `<(…)` and `>(…)` stand for.
const PIPES: &str = "/dev/fd/";
/// Where a guarded command finds it: [`PIPES`] are those of its own shell there, which has none.
const PIPES_OF_THE_SHELL: &str = "/dev/pipe/";

/// The name of `path` for a guarded command.
pub(crate) fn other_name(path: &str) -> String {
    path.replace(PIPES, PIPES_OF_THE_SHELL)
}

/// The name of `path` in the shell.
fn own_name(path: &Path) -> Cow<'_, Path> {
    match path.strip_prefix(PIPES_OF_THE_SHELL) {
        Ok(number) => Cow::Owned(Path::new(PIPES).join(number)),
        Err(_) => Cow::Borrowed(path),
    }
}

/// See the module.
pub(crate) struct Noted {
    files: Arc<dyn FileSystem>,
    /// Where the last error was.
    last: Mutex<Option<PathBuf>>,
}

impl Noted {
    pub(crate) fn new(files: Arc<dyn FileSystem>) -> Self {
        Self { files, last: Mutex::default() }
    }

    /// What the command `name` says of `error`, which ended it.
    pub(crate) fn told(&self, name: &str, error: &Error) -> String {
        match (error, &*self.last.lock().unwrap_or_else(PoisonError::into_inner)) {
            (Error::CommandFailure(words), Some(path)) => format!("{name}: {}: {words}\n", path.display()),
            _ => format!("{name}: {}\n", words(error)),
        }
    }

    fn note<T>(&self, path: &Path, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| match error {
            Error::Io(_) => {
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.to_owned());
                Error::CommandFailure(words(&error))
            }
            other => other,
        })
    }
}

/// `error` as bash would word it: without the name of its type and the system's number.
pub(crate) fn words(error: &Error) -> String {
    let Error::Io(io) = error else { return error.to_string() };
    let message = io.to_string();
    // bashkit's own words for what has a usual one, and those of the system, which differ between systems.
    let restated = io.raw_os_error().is_some()
        || matches!(
            message.as_str(),
            "file not found"
                | "not found"
                | "source not found"
                | "parent directory not found"
                | "not a directory"
                | "is a directory"
                | "directory not empty"
                | "file exists"
                | "directory exists"
        );
    let usual = match io.kind() {
        _ if message == "is a directory" => "Is a directory",
        _ if message == "directory not empty" => "Directory not empty",
        _ if !restated => return message,
        ErrorKind::NotFound => "No such file or directory",
        ErrorKind::PermissionDenied => "Permission denied",
        ErrorKind::ReadOnlyFilesystem => "Read-only file system",
        ErrorKind::IsADirectory => "Is a directory",
        ErrorKind::NotADirectory => "Not a directory",
        ErrorKind::AlreadyExists => "File exists",
        ErrorKind::DirectoryNotEmpty => "Directory not empty",
        ErrorKind::StorageFull => "No space left on device",
        ErrorKind::Unsupported => "Operation not supported",
        _ => return message.split(" (os error ").next().unwrap_or_default().to_owned(),
    };
    usual.to_owned()
}

#[async_trait]
impl FileSystem for Noted {
    async fn read_file(&self, path: &Path) -> Result<Vec<u8>> {
        self.note(path, self.files.read_file(&own_name(path)).await)
    }

    async fn write_file(&self, path: &Path, content: &[u8]) -> Result<()> {
        self.note(path, self.files.write_file(&own_name(path), content).await)
    }

    async fn append_file(&self, path: &Path, content: &[u8]) -> Result<()> {
        self.note(path, self.files.append_file(&own_name(path), content).await)
    }

    async fn mkdir(&self, path: &Path, recursive: bool) -> Result<()> {
        self.note(path, self.files.mkdir(path, recursive).await)
    }

    async fn remove(&self, path: &Path, recursive: bool) -> Result<()> {
        self.note(path, self.files.remove(path, recursive).await)
    }

    async fn stat(&self, path: &Path) -> Result<Metadata> {
        self.note(path, self.files.stat(&own_name(path)).await)
    }

    async fn lstat(&self, path: &Path) -> Result<Metadata> {
        self.note(path, self.files.lstat(&own_name(path)).await)
    }

    async fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        self.note(path, self.files.read_dir(path).await)
    }

    async fn exists(&self, path: &Path) -> Result<bool> {
        self.note(path, self.files.exists(&own_name(path)).await)
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.note(to, self.files.rename(from, to).await)
    }

    async fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        self.note(to, self.files.copy(from, to).await)
    }

    async fn symlink(&self, target: &Path, link: &Path) -> Result<()> {
        self.note(link, self.files.symlink(target, link).await)
    }

    async fn read_link(&self, path: &Path) -> Result<PathBuf> {
        self.note(path, self.files.read_link(path).await)
    }

    async fn chmod(&self, path: &Path, mode: u32) -> Result<()> {
        self.note(path, self.files.chmod(path, mode).await)
    }

    async fn set_modified_time(&self, path: &Path, time: SystemTime) -> Result<()> {
        self.note(path, self.files.set_modified_time(path, time).await)
    }
}

#[async_trait]
impl FileSystemExt for Noted {
    fn usage(&self) -> FsUsage {
        self.files.usage()
    }

    fn limits(&self) -> FsLimits {
        self.files.limits()
    }
}
