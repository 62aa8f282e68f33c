//! How many file descriptors all layers of the process hold together.
//!
//! Promise: guests never take the descriptors that the host needs for itself (its log, its sockets, putting
//! changes in place): what layers keep open stays below half of what the process may open. Beyond it the
//! guest's open fails with the system's own word for it, `EMFILE`; the call has crossed no limit of its own.
//!
//! Not here: what one call may hold (`limits.rs`).

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The process's limit is raised to this many at most: beyond it, programs that close every possible
/// descriptor at their start become slow. macOS refuses more than its `OPEN_MAX`.
const PROCESS_DESCRIPTORS_MAX: u64 = if cfg!(target_vendor = "apple") { 10_240 } else { 65_536 };

/// A number of descriptors that may be held at once.
#[derive(Debug)]
pub(super) struct Descriptors {
    free: AtomicUsize,
}

/// One of them, given back when dropped.
#[derive(Debug)]
struct Permit(&'static Descriptors);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::Relaxed);
    }
}

/// An open file that counts.
#[derive(Debug)]
pub(super) struct HeldFile {
    // Closed before it is given back: fields are dropped in this order.
    file: OwnedFd,
    _permit: Permit,
}

impl AsFd for HeldFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Descriptors {
    pub(super) const fn new(count: usize) -> Self {
        Self { free: AtomicUsize::new(count) }
    }

    /// Those of the process. The first call raises the process's limit as far as it may.
    pub(super) fn of_process() -> &'static Self {
        static OF_PROCESS: OnceLock<Descriptors> = OnceLock::new();
        OF_PROCESS.get_or_init(|| {
            let half = raise_limit() / 2;
            Self::new(usize::try_from(half).unwrap_or(usize::MAX))
        })
    }

    /// Opens something that counts until it is dropped.
    pub(super) fn open<T>(
        &'static self,
        open: impl FnOnce() -> Result<(OwnedFd, T), Errno>,
    ) -> Result<(HeldFile, T), Errno> {
        let one_less = |free: usize| free.checked_sub(1);
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).map_err(|_| Errno::MFILE)?;
        let permit = Permit(self);
        let (file, more) = open()?;
        Ok((HeldFile { file, _permit: permit }, more))
    }
}

/// Raises the process's soft limit of open descriptors; gives what it is then, no limit being the most.
fn raise_limit() -> u64 {
    let now = getrlimit(Resource::Nofile);
    let soft = now.current.unwrap_or(u64::MAX);
    let wanted = now.maximum.unwrap_or(u64::MAX).min(PROCESS_DESCRIPTORS_MAX);
    if soft >= wanted {
        return soft.min(PROCESS_DESCRIPTORS_MAX);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: now.maximum }) {
        Ok(()) => wanted,
        Err(_) => soft,
    }
}
