//! The staged filesystem: guests read the workspace through a directory handle and write into a
//! private layer above it; nothing they do is on disk before the host puts it there.
//!
//! Promises:
//! - A call's [`Layer`] never writes to the workspace. Its [`Manifest`](harness_core::Manifest) is
//!   exact: every path the call changed, with what stood there when the call first changed it and what
//!   stands there after. A file that was read earlier in the call and had become another by then is a
//!   conflict, not a "before".
//! - [`put()`] puts a manifest in place wholly or not at all, also when it is killed at any point and
//!   run again, and never overwrites what somebody else wrote meanwhile.
//! - No path leaves the workspace: every access is relative to a handle opened once, symbolic links
//!   are followed by this module and not by the kernel, and absolute or escaping ones are refused.
//! - Directories of the host itself are neither visible nor reachable, wherever they are; nor is anything
//!   on a file system of the kernel's own, such as `/proc`, except for the name it is mounted at.
//! - Only regular files and directories are opened; a FIFO, socket or device never blocks a call.
//! - Everything a guest can make this module hold has a limit; see [`LayerLimits`].
//!
//! What a guest does not get: symbolic and hard links cannot be created, and existing symbolic links
//! cannot be removed, renamed or replaced (a manifest knows only files and directories); times that a
//! guest sets are accepted and forgotten; permissions other than "its owner may execute it" are not
//! seen; names that are not UTF-8 are skipped in listings and cannot be reached.
//!
//! Not here: who may see which changes (the policy), what becomes of a manifest (the engine), the
//! other WASI interfaces (the linker).

mod base;
mod before;
mod bindings;
mod descriptors;
mod finish;
mod handle;
mod host;
mod layer;
mod limits;
mod mounts;
mod path;
mod put;
mod rename;
mod resolve;
mod stream;
mod tree;

#[cfg(test)]
mod tests;

pub use base::{Base, OpenBaseError};
pub use bindings::ErrorCode;
pub use finish::{FinishError, Staged};
pub use handle::{DirectoryEntry, Handle, Kind, OpenHow, Stat};
pub use host::{FilesystemCtx, FilesystemCtxView, FilesystemView, Preopen, add_to_linker};
pub use layer::{Access, Layer};
pub use limits::{
    Crossed, LISTING_BYTES_MAX_DEFAULT, LayerLimits, NAME_BYTES_MAX, OPEN_HANDLES_MAX_DEFAULT, PATH_BYTES_MAX,
    READ_BYTES_MAX, STAGED_BYTES_MAX_DEFAULT, STAGED_FILES_MAX_DEFAULT, STREAM_WRITE_BYTES_MAX, SYMLINK_HOPS_MAX,
};
pub use put::put;
