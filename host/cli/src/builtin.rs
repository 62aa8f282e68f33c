//! The tools and modes that are part of the program, so that it needs no WebAssembly target to be installed.
//!
//! Promise: these are the bytes of `components/dist`, whose sources and digests `components/components.lock` names.

use crate::failure::Failure;
use harness_core::Digest;
use harness_wasm::{CallLimits, Component, ComponentSource, PolicyComponent, PolicyLimits};
use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../../components/dist/", $name, ".wasm")))),*]
    };
}

/// In the order in which the model sees them.
const EMBEDDED: &[(&str, &[u8])] =
    embedded!["read_file", "write_file", "edit_file", "list_dir", "glob", "grep", "shell", "fetch"];

/// The modes, by their components' names.
const EMBEDDED_MODES: &[(&str, &[u8])] = embedded!["mode-auto", "mode-build", "mode-plan", "mode-review"];

/// How many modes are built in.
pub(crate) const MODES: usize = EMBEDDED_MODES.len();

/// What `components/build` wrote of them: it vouches for their digests, and a test of the components checks it.
const LOCK: &str = include_str!("../../../components/components.lock");

/// The built-in components, or those of a folder in their place: the test command tests rebuilt ones so.
pub(crate) fn components(limits: CallLimits) -> Result<Vec<Arc<Component>>, Failure> {
    let read = |(name, bytes): &(&str, &'static [u8])| {
        let read = match vouched(name, bytes)? {
            Ok(digest) => Component::read_embedded(name, bytes, digest, limits),
            Err(source) => Component::read_with(source, limits),
        };
        read.map_err(|error| Failure::because("reading a built-in component", &error))
    };
    EMBEDDED.iter().map(read).collect()
}

/// The folder whose components take the place of the built-in ones. Only in builds for tests: whoever sets a
/// variable must not put other code in the built-in components' place.
fn replacements(variable: Option<OsString>, is_debug_build: bool) -> Option<PathBuf> {
    variable.filter(|_| is_debug_build).map(PathBuf::from)
}

/// The built-in modes, each with its component, or those of the same folder.
pub(crate) fn modes() -> Result<Vec<Arc<PolicyComponent>>, Failure> {
    let read = |(name, bytes): &(&str, &'static [u8])| {
        let read = match vouched(name, bytes)? {
            Ok(digest) => PolicyComponent::read_embedded(name, bytes, digest, PolicyLimits::DEFAULT),
            Err(source) => PolicyComponent::read(source, PolicyLimits::DEFAULT),
        };
        read.map(Arc::new).map_err(|error| Failure::because("reading a built-in mode", &error))
    };
    EMBEDDED_MODES.iter().map(read).collect()
}

/// The digest of an embedded component, or the one to be read in its place.
fn vouched(name: &str, bytes: &'static [u8]) -> Result<Result<Digest, ComponentSource>, Failure> {
    let folder = replacements(std::env::var_os("HARNESS_HOST_COMPONENTS"), cfg!(debug_assertions));
    let bytes = match (folder, locked_digest(name)) {
        (None, Some(digest)) => return Ok(Ok(digest)),
        (None, None) => Cow::Borrowed(bytes),
        (Some(folder), _) => Cow::Owned(read_file(&folder.join(format!("{name}.wasm")))?),
    };
    Ok(Err(ComponentSource { name: name.to_owned(), bytes }))
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))
}

/// The digest of a component's binary, as the lock names it.
fn locked_digest(component: &str) -> Option<Digest> {
    let of = format!("name = \"{component}\"");
    let mut lines = LOCK.lines().skip_while(|line| *line != of).take_while(|line| !line.is_empty());
    let digest = lines.find_map(|line| line.strip_prefix("wasm = \"")?.strip_suffix('"'))?;
    digest.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_build_for_tests_lets_a_variable_replace_the_built_in_components() {
        for (variable, is_debug_build, folder) in
            [(Some("/d"), true, Some("/d")), (Some("/d"), false, None), (None, true, None), (None, false, None)]
        {
            assert_eq!(replacements(variable.map(OsString::from), is_debug_build), folder.map(PathBuf::from));
        }
    }

    #[test]
    fn the_lock_names_what_is_embedded() {
        for (name, bytes) in EMBEDDED.iter().chain(EMBEDDED_MODES) {
            assert_eq!(locked_digest(name), Some(Digest::of(bytes)), "{name}");
        }
    }

    #[test]
    fn the_built_in_modes_are_there() {
        let modes = modes().unwrap();
        let names: Vec<_> = modes.iter().map(|mode| mode.mode().unwrap().name.as_str()).collect();
        assert_eq!(names, ["auto", "build", "plan", "review"]);
    }
}
