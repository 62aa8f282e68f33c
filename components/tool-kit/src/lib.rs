//! What the built-in tools share.
//!
//! Purpose: a tool is a function from typed arguments and a workspace to text or a [`Failure`]; this crate
//! is everything around that function: bindings, arguments, paths, failures, walking folders, cutting text.
//!
//! Promise: no input makes a tool panic; whatever goes wrong is a [`Failure`] that a model can act on.
//! Nothing here knows a particular tool. All of it also runs natively, over any folder, so that tools are
//! tested without a host.

mod answer;
mod failure;
mod missing;
pub mod text;
pub mod walk;
mod workspace;

pub use answer::{Returned, answer};
pub use bindings::harness::tool::types::{ErrorKind, Failure, Image, Outcome, Part};
pub use missing::missing;
pub use workspace::{Workspace, WorkspacePath};

/// What most tools' functions give back: the text for the model, or why there is none.
pub type Reply = Result<String, Failure>;

/// The contract `wit/tool` as Rust: generated.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/tool",
        world: "tool-component",
        pub_export_macro: true,
        default_bindings_module: "tool_kit::bindings",
        additional_derives: [PartialEq],
    });
}

/// Makes a crate the component of one tool: `export_tool!("read_file", run)`, where `run` is a
/// `fn(&Workspace, Arguments) -> Reply` (or `Result<Vec<Part>, Failure>`) and the crate has two files beside its
/// `Cargo.toml`: `tool.json`, what a model reads of it, and `manifest.json`, the most it could ever ask for.
///
/// Natively this is nothing, so that the same crate can be tested.
#[macro_export]
macro_rules! export_tool {
    ($name:literal, $run:path) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            const DECLARATION: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tool.json"));

            // Where a host reads what this component offers without running it.
            #[used]
            #[unsafe(link_section = "harness:tools")]
            static SECTION: [u8; DECLARATION.len()] =
                *include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tool.json"));

            const MANIFEST: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/manifest.json"));

            // The capabilities beyond which nothing can be granted to this component.
            #[used]
            #[unsafe(link_section = "harness:manifest")]
            static CEILING: [u8; MANIFEST.len()] =
                *include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/manifest.json"));

            struct Component;

            impl $crate::bindings::exports::harness::tool::tool::Guest for Component {
                fn call(name: String, arguments: String) -> $crate::Outcome {
                    $crate::answer($name, $run, &$crate::Workspace::preopened(), &name, &arguments)
                }
            }

    $crate::bindings::export!(Component with_types_in $crate::bindings);
        };
    };
}
