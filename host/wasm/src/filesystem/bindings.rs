//! The generated side of `wasi:filesystem`, with `wasi:io` and `wasi:clocks` mapped to wasmtime-wasi's
//! own types so that one linker serves both.

// Generated items document themselves in the WIT.
#![allow(missing_docs, unreachable_pub)]

pub use self::wasi::filesystem::types::ErrorCode;

wasmtime::component::bindgen!({
    path: "wit/wasi-filesystem",
    world: "wasi:filesystem/imports",
    imports: { default: trappable },
    trappable_error_type: { "wasi:filesystem/types.error-code" => super::host::Failure },
    with: {
        "wasi:io": wasmtime_wasi::p2::bindings::io,
        "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
        "wasi:filesystem/types.descriptor": super::handle::Handle,
        "wasi:filesystem/types.directory-entry-stream": super::handle::Listing,
    },
    require_store_data_send: true,
});
