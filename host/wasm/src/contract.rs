//! The contracts of `wit/tool`, `wit/mode` and `wit/host` as Rust: generated. A component with tools that run to their end is
//! here itself, the others are in modules.

#![allow(missing_docs, unreachable_pub, clippy::all)]

wasmtime::component::bindgen!({
    path: "../../wit/tool",
    world: "tool-component",
    exports: { default: async },
    require_store_data_send: true,
});

/// A component with tools that may need something first.
pub mod resumable {
    wasmtime::component::bindgen!({
        path: "../../wit/tool",
        world: "resumable-component",
        exports: { default: async },
        with: { "harness:tool/types": super::harness::tool::types },
        require_store_data_send: true,
    });
}

/// A mode: what it is, and how it judges.
pub mod mode {
    wasmtime::component::bindgen!({
        path: "../../wit/mode",
        world: "mode-component",
        exports: { default: async },
        require_store_data_send: true,
    });
}

/// Hooks, of a mode or on their own.
pub mod hooks {
    wasmtime::component::bindgen!({
        path: "../../wit/mode",
        world: "hooks-component",
        exports: { default: async },
        with: { "harness:mode/types": super::mode::harness::mode::types },
        require_store_data_send: true,
    });
}

/// What the host offers.
pub mod host {
    wasmtime::component::bindgen!({
        path: "../../wit/host",
        inline: "
            package harness:behind@0.1.0;
            world imports {
                import harness:host/log@0.1.0;
                import harness:host/progress@0.1.0;
                import harness:host/kv@0.1.0;
                import harness:host/secrets@0.1.0;
            }
        ",
        world: "harness:behind/imports",
        imports: {
            default: trappable,
            "harness:host/kv": async | trappable,
            "harness:host/secrets": async | trappable,
        },
        require_store_data_send: true,
    });
}
