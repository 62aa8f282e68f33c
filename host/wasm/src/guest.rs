//! The state of one guest: everything behind its imports, in one Store, for one call.
//!
//! Promise: nothing in here outlives the call or is shared with another one.

use crate::filesystem::{FilesystemCtx, FilesystemCtxView, FilesystemView};
use crate::host::http::Requests;
use crate::host::inputs::Sources;
use crate::host::kv::Values;
use crate::host::powers::Powers;
use crate::host::progress::Reports;
use crate::limits::{CallLimits, as_size};
use crate::log::Log;
use crate::meter::Meter;
use crate::tools::Component;
use std::sync::Arc;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::WasiCliCtx;
use wasmtime_wasi::sockets::WasiSocketsCtx;

/// What a Store carries.
pub(crate) struct GuestState {
    pub(crate) component: Arc<Component>,
    pub(crate) limits: CallLimits,
    pub(crate) meter: Meter,
    pub(crate) table: ResourceTable,
    pub(crate) log: Log,
    pub(crate) files: FilesystemCtx,
    /// Empty: standard input at its end, no terminal.
    pub(crate) cli: WasiCliCtx,
    pub(crate) sockets: Option<WasiSocketsCtx>,
    pub(crate) lent: Lent,
}

/// What a call is lent beside files.
pub(crate) struct Lent {
    pub(crate) powers: Powers,
    pub(crate) sources: Sources,
    pub(crate) values: Values,
    pub(crate) reports: Reports,
    pub(crate) requests: Requests,
}

impl GuestState {
    pub(crate) fn new(component: Arc<Component>, limits: CallLimits, files: FilesystemCtx, lent: Lent) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(as_size(limits.open_handles));
        Self {
            component,
            limits,
            meter: Meter::new(&limits),
            table,
            log: Log::new(as_size(limits.log_bytes)),
            files,
            cli: WasiCliCtx::default(),
            sockets: None,
            lent,
        }
    }
}

impl FilesystemView for GuestState {
    fn filesystem(&mut self) -> FilesystemCtxView<'_> {
        FilesystemCtxView { ctx: &mut self.files, table: &mut self.table }
    }
}
