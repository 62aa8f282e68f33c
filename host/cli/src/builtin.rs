//! The tools that are part of the program, so that it needs no WebAssembly target to be installed.
//!
//! Promise: these are the bytes of `components/dist`, whose sources and digests `components/components.lock` names.

use harness_wasm::ComponentSource;
use std::borrow::Cow;

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../../components/dist/", $name, ".wasm")))),*]
    };
}

/// In the order in which the model sees them.
const EMBEDDED: &[(&str, &[u8])] =
    embedded!["read_file", "write_file", "edit_file", "list_dir", "glob", "grep", "shell", "fetch"];

/// The built-in components, or those of a folder in their place: the test command tests rebuilt ones so.
pub(crate) fn components() -> Result<Vec<ComponentSource>, (std::path::PathBuf, std::io::Error)> {
    let folder = std::env::var_os("HARNESS_HOST_COMPONENTS").map(std::path::PathBuf::from);
    let source = |(name, bytes): &(&str, &'static [u8])| {
        let bytes = match &folder {
            None => Cow::Borrowed(*bytes),
            Some(folder) => {
                let path = folder.join(format!("{name}.wasm"));
                Cow::Owned(std::fs::read(&path).map_err(|error| (path, error))?)
            }
        };
        Ok(ComponentSource { name: (*name).to_owned(), bytes })
    };
    EMBEDDED.iter().map(source).collect()
}
