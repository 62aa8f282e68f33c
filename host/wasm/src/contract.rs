//! The contract `wit/tool` as Rust: generated.

#![allow(missing_docs, unreachable_pub, clippy::all)]

wasmtime::component::bindgen!({
    path: "../../wit/tool",
    world: "tool-component",
    exports: { default: async },
    require_store_data_send: true,
});
