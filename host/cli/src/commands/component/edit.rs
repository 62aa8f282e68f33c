//! `component remove|pin|grant|revoke`: changing what a list says.
//!
//! Promise: a grant that could have no effect is refused and not kept; what is not named stays.

use super::{Layer, parse_capability};
use crate::capability_words::in_words;
use crate::commands::print_text;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::installed::{project_binary, user_binary};
use harness_config::{ComponentsEdit, WrittenComponent};
use harness_core::grant::Capability;
use harness_wasm::Component;

/// Takes a component out of a list, and its binary with it.
pub(super) fn remove(layer: &Layer, name: &str) -> Result<Exit, Failure> {
    let mut edit = layer.open()?;
    refuse_built_in(layer, &edit, name)?;
    let entry = layer.entry(&edit, name)?;
    edit.remove(name);
    layer.write(&mut edit)?;
    if let Some(digest) = &entry.digest {
        remove_binary(layer, &edit, name, digest);
    }
    print_text(&format!("removed {name}; what it kept stays, for when it comes back"))
}

/// Part of the program is what no list installs, though a list may grant it something.
fn refuse_built_in(layer: &Layer, edit: &ComponentsEdit, name: &str) -> Result<(), Failure> {
    let is_installed = edit.get(name).is_some_and(|entry| entry.digest.is_some());
    if is_installed || !layer.here.installation.is_built_in(name) {
        return Ok(());
    }
    Err(Failure::usage(format!("{name} is built in: it cannot be removed or pinned")))
}

/// Removes a binary that no entry of the list names any more.
pub(super) fn remove_binary(layer: &Layer, edit: &ComponentsEdit, name: &str, digest: &str) {
    let is_used = if layer.is_project {
        edit.get(name).is_some_and(|entry| entry.digest.as_deref() == Some(digest))
    } else {
        edit.has_digest(digest)
    };
    if !is_used {
        let file = if layer.is_project { project_binary(name, digest) } else { user_binary(digest) };
        // One that is gone already is removed.
        let _ = std::fs::remove_file(layer.binaries().join(file));
    }
}

/// Keeps a component at its digest, or lets it go.
pub(super) fn pin(layer: &Layer, name: &str, digest: Option<&str>, pinned: bool) -> Result<Exit, Failure> {
    let mut edit = layer.open()?;
    refuse_built_in(layer, &edit, name)?;
    let mut entry = layer.entry(&edit, name)?;
    let Some(installed) = entry.digest.clone() else {
        return Err(Failure::usage(format!("{name} has no digest in the list to be pinned at")));
    };
    if digest.is_some_and(|digest| digest != installed) {
        return Err(Failure::usage(format!("{name} has the digest {installed}; add the one you want first")));
    }
    entry.pinned = pinned;
    edit.put(&entry);
    layer.write(&mut edit)?;
    print_text(&if pinned { format!("pinned {name} at {installed}") } else { format!("{name} is not pinned any more") })
}

/// Lets a component do something.
pub(super) fn grant(layer: &Layer, name: &str, text: &str) -> Result<Exit, Failure> {
    let capability = parse_capability(text)?;
    let mut edit = layer.open()?;
    let installation = &layer.here.installation;
    let mut entry = match edit.get(name) {
        Some(entry) => entry,
        None if installation.is_built_in(name) => {
            WrittenComponent { name: name.to_owned(), ..WrittenComponent::default() }
        }
        None => layer.entry(&edit, name)?,
    };
    if let Some(component) = installation.component(name) {
        check_use(component, &capability)?;
    }
    let text = capability.to_string();
    if entry.grants.contains(&text) {
        return print_text(&format!("{name} has it already: {text}"));
    }
    entry.grants.push(text.clone());
    edit.put(&entry);
    layer.write(&mut edit)?;
    print_text(&format!("{name} may now {} ({text})", in_words(&capability)))
}

/// Refuses a grant that a component never asks for: it would have no effect, and look as if it had one. One without
/// a manifest says nothing of what it asks for: what it is granted is in force, as far as it imports a way to use it.
pub(super) fn check_use(component: &Component, capability: &Capability) -> Result<(), Failure> {
    if !component.has_manifest() {
        return Ok(());
    }
    let ceiling = component.ceiling();
    if matches!(capability, Capability::Limit { .. }) || ceiling.iter().any(|asked| asked.meet(capability).is_some()) {
        return Ok(());
    }
    let asked: Vec<String> = ceiling.iter().map(ToString::to_string).collect();
    Err(Failure::usage(format!(
        "{} never asks for `{capability}`, so granting it would change nothing; it asks for: {}",
        component.name(),
        if asked.is_empty() { "nothing".to_owned() } else { asked.join("; ") }
    )))
}

/// Takes back one capability, or all of them.
pub(super) fn revoke(layer: &Layer, name: &str, text: Option<&str>) -> Result<Exit, Failure> {
    let mut edit = layer.open()?;
    let is_built_in = layer.here.installation.is_built_in(name);
    if is_built_in && edit.get(name).is_none() {
        return Err(Failure::usage(format!(
            "{name} has no grants but those of a built-in component; a rule denies its tools: see [[rules]]"
        )));
    }
    let mut entry = layer.entry(&edit, name)?;
    let revoked: Vec<String> = match text {
        None => std::mem::take(&mut entry.grants),
        Some(text) => {
            let wanted = text.parse::<Capability>().map_or_else(|_| text.trim().to_owned(), |it| it.to_string());
            let is_it = |grant: &String| {
                grant.parse::<Capability>().map_or_else(|_| grant.trim() == wanted, |it| it.to_string() == wanted)
            };
            let (revoked, kept) = entry.grants.iter().cloned().partition(is_it);
            entry.grants = kept;
            revoked
        }
    };
    if revoked.is_empty() {
        let known = if entry.grants.is_empty() { "none".to_owned() } else { entry.grants.join("; ") };
        return Err(Failure::usage(format!("{name} has no such grant; its grants are: {known}")));
    }
    if is_built_in && entry.grants.is_empty() {
        edit.remove(name);
    } else {
        edit.put(&entry);
    }
    layer.write(&mut edit)?;
    print_text(&format!("{name} may no longer: {}", revoked.join("; ")))
}
