//! What a call is lent: the grants in force, and what stands behind the interfaces of `wit/host` and
//! `wasi:http`, one file each.
//!
//! Promise: every interface is linked always; what is used without its grant is refused with the grant's
//! text and recorded; nothing in here outlives the call.
//!
//! Not here: files (`filesystem`), WASI's other interfaces (`wasi`), what may be granted (harness-core).

pub(crate) mod http;
pub(crate) mod inputs;
pub(crate) mod kv;
mod log;
pub(crate) mod powers;
pub(crate) mod progress;
mod secrets;

use crate::contract::host::harness::host;
use crate::guest::GuestState;
use wasmtime::component::{HasSelf, Linker};

/// Adds the interfaces of `wit/host` and of `wasi:http`.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    type Own = HasSelf<GuestState>;
    host::log::add_to_linker::<_, Own>(linker, |state| state)?;
    host::progress::add_to_linker::<_, Own>(linker, |state| state)?;
    host::kv::add_to_linker::<_, Own>(linker, |state| state)?;
    host::secrets::add_to_linker::<_, Own>(linker, |state| state)?;
    http::add_to_linker(linker)
}
