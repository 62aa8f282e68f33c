//! The state of one guest: everything behind its imports, in one Store, for one call.
//!
//! Promise: nothing in here outlives the call or is shared with another one.

use crate::filesystem::{FilesystemCtx, FilesystemCtxView, FilesystemView};
use crate::limits::{CallLimits, as_size};
use crate::log::Log;
use crate::meter::Meter;
use std::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::WasiCliCtx;
use wasmtime_wasi::sockets::WasiSocketsCtx;

/// What a Store carries.
pub(crate) struct GuestState {
    pub(crate) limits: CallLimits,
    pub(crate) meter: Meter,
    pub(crate) table: ResourceTable,
    pub(crate) log: Log,
    pub(crate) files: FilesystemCtx,
    /// Empty: no environment, no arguments, standard input at its end.
    pub(crate) cli: WasiCliCtx,
    pub(crate) sockets: Option<WasiSocketsCtx>,
    pub(crate) started: Instant,
}

impl GuestState {
    pub(crate) fn new(limits: CallLimits, files: FilesystemCtx) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(as_size(limits.open_handles));
        Self {
            limits,
            meter: Meter::new(&limits),
            table,
            log: Log::new(as_size(limits.log_bytes)),
            files,
            cli: WasiCliCtx::default(),
            sockets: None,
            started: Instant::now(),
        }
    }
}

impl FilesystemView for GuestState {
    fn filesystem(&mut self) -> FilesystemCtxView<'_> {
        FilesystemCtxView { ctx: &mut self.files, table: &mut self.table }
    }
}
