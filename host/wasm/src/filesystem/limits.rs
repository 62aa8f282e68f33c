//! What one call's layer may hold.
//!
//! Promise: crossing a limit fails the guest's operation and is remembered, so that the call ends with
//! an outcome that names the limit.

use harness_core::outcome::LimitName;

/// Bytes of all staged contents together, unless told otherwise.
pub const STAGED_BYTES_MAX_DEFAULT: u64 = 64 << 20;
/// Changed paths, unless told otherwise.
pub const STAGED_FILES_MAX_DEFAULT: u64 = 10_000;
/// Open files, directories and streams, unless told otherwise.
pub const OPEN_HANDLES_MAX_DEFAULT: u64 = 256;
/// Bytes of all open directory listings together, unless told otherwise.
pub const LISTING_BYTES_MAX_DEFAULT: u64 = 16 << 20;

/// Bytes of a path, as Linux has it (`PATH_MAX`).
pub const PATH_BYTES_MAX: usize = 4096;
/// Bytes of one name in a path, as Linux has it (`NAME_MAX`).
pub const NAME_BYTES_MAX: usize = 255;
/// Symbolic links followed for one path, as Linux has it (`MAXSYMLINKS`).
pub const SYMLINK_HOPS_MAX: u32 = 40;
/// Bytes that one read returns at most; a guest that wants more reads again.
pub const READ_BYTES_MAX: u64 = 256 << 10;
/// Bytes that a stream accepts in one write.
pub const STREAM_WRITE_BYTES_MAX: usize = 256 << 10;
/// What an entry of a listing costs beside its name, in bytes.
pub(super) const LISTING_ENTRY_BYTES: u64 = 64;
/// Files whose state at their first reading is remembered, 16 bytes each.
pub(super) const SEEN_FILES_MAX: usize = 1 << 16;

/// Directories of which it is remembered that a change in them was refused.
pub(super) const REFUSED_DIRECTORIES_MAX: usize = 64;

/// The limits of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerLimits {
    /// Bytes of all staged contents together. The contents that were there before have the same limit
    /// of their own, because they are kept too.
    pub staged_bytes: u64,
    /// Changed paths: files and directories created, changed, moved or deleted.
    pub staged_files: u64,
    /// Open files, directories and streams.
    pub open_handles: u64,
    /// Bytes of all open directory listings together: names and 64 bytes for each.
    pub listing_bytes: u64,
}

impl Default for LayerLimits {
    fn default() -> Self {
        Self {
            staged_bytes: STAGED_BYTES_MAX_DEFAULT,
            staged_files: STAGED_FILES_MAX_DEFAULT,
            open_handles: OPEN_HANDLES_MAX_DEFAULT,
            listing_bytes: LISTING_BYTES_MAX_DEFAULT,
        }
    }
}

/// A limit that was crossed, and its value.
pub type Crossed = (LimitName, u64);
