//! Making failures: one constructor per kind that tools use, and the reading of I/O errors.
//!
//! Promise: every I/O error has one kind and one code, the same in all tools.

use std::io;

use crate::{ErrorKind, Failure, Workspace, WorkspacePath, missing};

impl Failure {
    fn new(kind: ErrorKind, code: &str, message: String) -> Self {
        Self { kind, code: code.to_owned(), message, retryable: false }
    }

    /// The arguments make no sense here.
    pub fn invalid(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArguments, code, message.into())
    }

    /// What the arguments name does not exist.
    pub fn not_found(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, code, message.into())
    }

    /// The world is not as the call expects it.
    pub fn conflict(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, code, message.into())
    }

    /// Larger than the tool handles.
    pub fn too_large(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::TooLarge, code, message.into())
    }

    /// Not an input this tool handles.
    pub fn unsupported(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, code, message.into())
    }

    /// A grant or permission is missing.
    pub fn not_permitted(code: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotPermitted, code, message.into())
    }

    /// Anything that the other kinds do not say; `retryable` when the same call may succeed later.
    pub fn failed(code: &str, message: impl Into<String>, retryable: bool) -> Self {
        Self { retryable, ..Self::new(ErrorKind::Failed, code, message.into()) }
    }

    /// `path` is a folder where a file was expected; `instead` says which tool to use.
    pub fn is_directory(path: &WorkspacePath, instead: &str) -> Self {
        Self::invalid("is-directory", format!("{} is a folder, not a file; {instead}", path.shown()))
    }

    /// What an I/O error met while trying to `act` (a verb: "read") on `path` means.
    pub fn io(workspace: &Workspace, act: &str, path: &WorkspacePath, error: &io::Error) -> Self {
        use io::ErrorKind as Io;
        let message = format!("cannot {act} {}: {error}", path.shown());
        match error.kind() {
            Io::NotFound | Io::NotADirectory => missing(workspace, path),
            Io::PermissionDenied | Io::ReadOnlyFilesystem => {
                Self::new(ErrorKind::NotPermitted, "not-permitted", message)
            }
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => Self::too_large("no-room", message),
            Io::InvalidFilename => Self::invalid("bad-name", message),
            Io::Interrupted | Io::TimedOut | Io::WouldBlock | Io::ResourceBusy => {
                Self { retryable: true, ..Self::new(ErrorKind::Failed, "io", message) }
            }
            _ => Self::new(ErrorKind::Failed, "io", message),
        }
    }
}
