//! `component list|check|inspect`: what there is, and what each could do.
//!
//! Promise: nothing of a component runs for it.

use super::Here;
use crate::capability_words::in_words;
use crate::commands::{print_json, print_text};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::paint::one_line;
use harness_config::{InstalledComponent, Source};
use harness_wasm::Component;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// Lists what there is.
pub(super) fn list(here: &Here, json: bool) -> Result<Exit, Failure> {
    let installation = &here.installation;
    if json {
        let rows: Vec<_> = installation.components.iter().map(|component| row_json(here, component)).collect();
        return print_json(&json!({ "components": rows, "withheld": installation.lists.withheld }));
    }
    let mut text: Vec<String> = Vec::new();
    for component in &installation.components {
        let tools: Vec<&str> = component.tools().iter().map(|tool| tool.name.as_str()).collect();
        let entry = entry(here, component.name());
        let pinned = if entry.is_some_and(|entry| entry.written.pinned) { ", pinned" } else { "" };
        text.push(format!(
            "{:16}  {:8}  {}  {} KiB{pinned}  {}",
            component.name(),
            layer(here, component.name()),
            short(component),
            component.bytes().len().div_ceil(1_024),
            one_line(&tools.join(", "), 200)
        ));
        for grant in installation.grants.iter().filter(|grant| grant.component == component.name()) {
            text.push(format!("  {}  ({})", one_line(&grant.capability.to_string(), 400), grant.source));
        }
    }
    text.extend(installation.lists.withheld.iter().map(|withheld| format!("withheld: {withheld}")));
    print_text(&text.join("\n"))
}

fn row_json(here: &Here, component: &Arc<Component>) -> serde_json::Value {
    let own = here.installation.grants.iter().filter(|grant| grant.component == component.name());
    let written = entry(here, component.name()).map(|entry| &entry.written);
    json!({
        "name": component.name(), "layer": layer(here, component.name()), "digest": component.digest(),
        "bytes": component.bytes().len(), "pinned": written.is_some_and(|written| written.pinned),
        "source": written.and_then(|written| written.source.as_deref()),
        "tools": component.tools().iter().map(|tool| &tool.name).collect::<Vec<_>>(),
        "asks_for": component.ceiling(),
        "grants": own.map(|grant| json!({ "capability": grant.capability, "source": grant.source })).collect::<Vec<_>>(),
    })
}

/// The entry that installs a component; none for a built-in one.
fn entry<'a>(here: &'a Here, name: &str) -> Option<&'a InstalledComponent> {
    let lists = &here.installation.lists;
    let all = lists.user.components.iter().chain(&lists.project.components);
    all.filter(|entry| entry.written.digest.is_some()).find(|entry| entry.written.name == name)
}

fn layer(here: &Here, name: &str) -> &'static str {
    match entry(here, name).map(|entry| &entry.source) {
        None => "built-in",
        Some(Source::Project(_)) => "project",
        Some(_) => "user",
    }
}

/// The beginning of a digest, as long as in the name of a file.
fn short(component: &Component) -> String {
    component.digest().to_string().chars().take(19).collect()
}

/// Checks a file.
pub(super) fn check(_file: &Path, _json: bool) -> Result<Exit, Failure> {
    Err(Failure::failed("not yet"))
}

/// Shows what a component could do.
pub(super) fn inspect(here: &Here, named: &str, _json: bool) -> Result<Exit, Failure> {
    let component = here.component(named)?;
    let asked: Vec<String> = component.ceiling().iter().map(in_words).collect();
    print_text(&asked.join("\n"))
}
