//! One call's private upper layer.
//!
//! Promise: making one touches nothing and takes about a microsecond, whatever the workspace's size. It is
//! the call's alone; dropping it drops all that the call wrote.

use super::base::Base;
use super::bindings::ErrorCode;
use super::finish::{FinishError, Staged};
use super::handle::Handle;
use super::limits::{Crossed, LayerLimits};
use super::tree::{ROOT, State};
use harness_core::TimeMs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a guest may do with a preopened directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read.
    ReadOnly,
    /// Read, and write into the layer.
    Staged,
}

/// One call's private upper layer over a workspace.
#[derive(Debug)]
pub struct Layer {
    shared: Shared,
}

/// The layer's state, as its handles and streams share it.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<Mutex<State>>);

impl Shared {
    /// The state. A panic elsewhere leaves it usable: the call it belongs to has failed anyway.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is the same layer.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Layer {
    /// A layer over a workspace.
    pub fn new(base: Arc<Base>, limits: LayerLimits) -> Self {
        Self::over(Some(base), limits)
    }

    /// A layer over nothing: an empty directory that is gone when the call ends.
    pub fn scratch(limits: LayerLimits) -> Self {
        Self::over(None, limits)
    }

    /// A layer over nothing for the same call as another one: their staged contents count together.
    pub fn scratch_beside(&self, limits: LayerLimits) -> Self {
        let scratch = Self::scratch(limits);
        scratch.shared.lock().call_bytes = self.shared.lock().call_bytes.clone();
        scratch
    }

    fn over(base: Option<Arc<Base>>, limits: LayerLimits) -> Self {
        Self { shared: Shared(Arc::new(Mutex::new(State::new(base, limits)))) }
    }

    /// Where the clock of staged files starts; it moves one millisecond with each change, so that times
    /// are the same whenever the call is run again. Without this it starts at 1980-01-01.
    pub fn set_clock(&self, start: TimeMs) {
        let start_ns = u64::try_from(start.0).unwrap_or(0).saturating_mul(1_000_000);
        self.shared.lock().set_clock(start_ns);
    }

    /// The workspace's own directory.
    ///
    /// # Errors
    /// `insufficient-memory` when too many handles are open.
    pub fn root(&self, access: Access) -> Result<Handle, ErrorCode> {
        Handle::root(&self.shared, access)
    }

    /// The first limit that was crossed, and its value.
    pub fn crossed(&self) -> Option<Crossed> {
        self.shared.lock().crossed
    }

    /// Directories, relative to the root, in which a change was refused because they were given to be read only.
    pub fn refused_in(&self) -> Vec<String> {
        self.shared.lock().refused_in.iter().cloned().collect()
    }

    /// Ends the call: what it changed, and the contents that takes. Handles that are still open are of no
    /// use afterwards.
    ///
    /// # Errors
    /// See [`FinishError`]. Nothing is staged any more then.
    pub fn finish(self) -> Result<Staged, FinishError> {
        let mut state = self.shared.lock();
        let limits = state.limits;
        let ended = std::mem::replace(&mut *state, State::ended(limits));
        drop(state);
        ended.finish()
    }

    /// The preopened directory, as the linker's side needs it.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Handle {
    pub(super) fn root(shared: &Shared, access: Access) -> Result<Self, ErrorCode> {
        Self::hold(shared, ROOT, access, true, false)
    }
}
