//! `component list|check|inspect`: what there is, and what each could do.
//!
//! Promise: nothing of a component runs for it but the question for its tools, with everything denied, where only
//! that tells them.

use super::Here;
use super::name_of_file;
use crate::args::Cli;
use crate::commands::{print_json, print_text};
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::installed::{self, Unusable};
use crate::paint::one_line;
use crate::settings::{self, Said, Settings};
use crate::wiring;
use harness_config::{InstalledComponent, Source};
use harness_wasm::{Component, ComponentSource, Inspection, PolicyComponent, PolicyLimits, inspect_source};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;

/// What a component says is shown up to this many characters a line.
const LINE_CHARS_MAX: usize = 400;

/// Lists what there is.
pub(super) fn list(here: &Here, json: bool) -> Result<Exit, Failure> {
    let installation = &here.installation;
    if json {
        let mut rows: Vec<_> = installation.components.iter().map(|component| row_json(here, component)).collect();
        rows.extend(installation.policies.iter().map(|policy| policy_json(here, policy)));
        let unusable: Vec<_> = installation.unusable.iter().map(unusable_json).collect();
        return print_json(&json!({
            "components": rows, "unusable": unusable, "withheld": installation.lists.withheld,
        }));
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
    for policy in &installation.policies {
        let entry = policy_entry(here, policy);
        let pinned = if entry.is_some_and(|entry| entry.written.pinned) { ", pinned" } else { "" };
        let digest: String = policy.digest().to_string().chars().take(19).collect();
        text.push(format!(
            "{:16}  {:8}  {digest}  {} KiB{pinned}  {}",
            policy.name(),
            layer_of(entry),
            policy.bytes().len().div_ceil(1_024),
            what(policy)
        ));
    }
    text.extend(installation.unusable.iter().map(|unusable| {
        let layer = if unusable.is_project { "project" } else { "user" };
        format!("{:16}  {layer:8}  unusable: {unusable}", unusable.name)
    }));
    text.extend(installation.lists.withheld.iter().map(|withheld| format!("withheld: {withheld}")));
    print_text(&text.join("\n"))
}

fn unusable_json(unusable: &Unusable) -> serde_json::Value {
    let layer = if unusable.is_project { "project" } else { "user" };
    json!({ "name": unusable.name, "layer": layer, "why": unusable.why, "remedy": unusable.remedy })
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

fn policy_json(here: &Here, policy: &PolicyComponent) -> serde_json::Value {
    let entry = policy_entry(here, policy);
    let written = entry.map(|entry| &entry.written);
    json!({
        "name": policy.name(), "layer": layer_of(entry), "digest": policy.digest(), "bytes": policy.bytes().len(),
        "pinned": written.is_some_and(|written| written.pinned),
        "source": written.and_then(|written| written.source.as_deref()),
        "kind": policy.kind(), "mode": policy.mode().map(|mode| &mode.name),
        "hook_points": policy.hook_points().iter().map(|point| point.word()).collect::<Vec<_>>(),
    })
}

/// What a mode or hooks are, in words.
pub(super) fn what(policy: &PolicyComponent) -> String {
    let mode = policy.mode().map(|mode| format!("mode {}", mode.name));
    let points: Vec<&str> = policy.hook_points().iter().map(|point| point.word()).collect();
    let hooks = (!points.is_empty()).then(|| format!("hooks {}", points.join(", ")));
    mode.into_iter().chain(hooks).collect::<Vec<_>>().join("; ")
}

/// The entry that installs a mode or hooks; none for a built-in one.
fn policy_entry<'a>(here: &'a Here, policy: &PolicyComponent) -> Option<&'a InstalledComponent> {
    entry_of(here, policy.name(), &policy.digest().to_string())
}

/// The entry that installs a component; none for a built-in one.
fn entry<'a>(here: &'a Here, name: &str) -> Option<&'a InstalledComponent> {
    entry_of(here, name, &here.installation.component(name)?.digest().to_string())
}

fn entry_of<'a>(here: &'a Here, name: &str, digest: &str) -> Option<&'a InstalledComponent> {
    let lists = &here.installation.lists;
    let mut all = lists.user.components.iter().chain(&lists.project.components);
    all.find(|entry| entry.written.digest.as_deref() == Some(digest) && entry.written.name == name)
}

fn layer(here: &Here, name: &str) -> &'static str {
    layer_of(entry(here, name))
}

fn layer_of(entry: Option<&InstalledComponent>) -> &'static str {
    match entry.map(|entry| &entry.source) {
        None => "built-in",
        Some(Source::Project(_)) => "project",
        Some(_) => "user",
    }
}

/// The beginning of a digest, as long as in the name of a file.
fn short(component: &Component) -> String {
    component.digest().to_string().chars().take(19).collect()
}

/// Checks a file: what it is, and what is missing to run it here.
pub(super) async fn check(cli: &Cli, file: &Path, json: bool) -> Result<Exit, Failure> {
    let settings = settings::read(&Said::from_cli(cli), None)?;
    let inspection = inspected(&settings, file).await?;
    let exit = if inspection.problems.is_empty() { Exit::Done } else { Exit::Failed };
    if json {
        print_json(&json!({ "usable": exit == Exit::Done, "inspection": inspection }))?;
        return Ok(exit);
    }
    let Inspection {
        name,
        kind,
        bytes,
        digest,
        mode,
        hook_points,
        tools,
        imports,
        exports,
        missing,
        problems,
        warnings,
        ..
    } = &inspection;
    let tools: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
    let mut text = vec![format!("{name}: {}, {bytes} bytes, {digest}", kind.word())];
    if let Some(mode) = mode {
        text.push(format!("mode     {}: {}", mode.name, one_line(&mode.description, LINE_CHARS_MAX)));
    }
    if !hook_points.is_empty() {
        let points: Vec<&str> = hook_points.iter().map(|point| point.word()).collect();
        text.push(format!("hooks    {}", points.join(", ")));
    }
    if !kind.is_policy() {
        text.push(format!("tools    {}", one_line(&tools.join(", "), LINE_CHARS_MAX)));
    }
    text.extend(imports.iter().map(|it| format!("import   {}", one_line(it, LINE_CHARS_MAX))));
    text.extend(exports.iter().map(|it| format!("export   {}", one_line(it, LINE_CHARS_MAX))));
    text.extend(missing.iter().map(|it| format!("missing  {}", one_line(&it.to_string(), LINE_CHARS_MAX))));
    let is_told = |problem: &&String| missing.iter().any(|missing| missing.to_string() == **problem);
    text.extend(
        problems.iter().filter(|it| !is_told(it)).map(|it| format!("problem  {}", one_line(it, LINE_CHARS_MAX))),
    );
    text.extend(warnings.iter().map(|it| format!("note     {}", one_line(it, LINE_CHARS_MAX))));
    let (verdict, next) = match exit {
        Exit::Done if kind.is_policy() => {
            ("it can run here", "harness-host component inspect FILE shows what it could do")
        }
        Exit::Done => ("it can run here", "harness-host component call FILE TOOL JSON tries it"),
        _ => ("it cannot run here", "see above"),
    };
    text.push(format!("{verdict}; {next}"));
    print_text(&text.join("\n"))?;
    Ok(exit)
}

/// What a file says of itself, also where it cannot be loaded; its tools by a call where only that tells them.
async fn inspected(settings: &Settings, file: &Path) -> Result<Inspection, Failure> {
    let bytes = installed::read_binary(file)?;
    let source = ComponentSource { name: name_of_file(file), bytes: bytes.into() };
    let failed = |error: harness_wasm::ReadComponentError| Failure::failed(chain(&error));
    let inspection = inspect_source(&source, None).map_err(failed)?;
    if !inspection.needs_describing || !inspection.problems.is_empty() {
        return Ok(inspection);
    }
    let wiring = wiring::wire(settings)?;
    if inspection.kind.is_policy() {
        let policy = PolicyComponent::read(source.clone(), PolicyLimits::DEFAULT).map_err(failed)?;
        let described = wiring.runtime.describe_policy(&policy).await;
        let described = described.map_err(|error| Failure::failed(chain(&error)))?;
        return inspect_source(&source, Some(&described)).map_err(failed);
    }
    let component = Component::read_with(source.clone(), *wiring.runtime.limits()).map_err(failed)?;
    let described = wiring.runtime.describe(&component).await.map_err(|error| Failure::failed(chain(&error)))?;
    inspect_source(&source, Some(&described)).map_err(failed)
}

/// Shows what a component could do.
pub(super) async fn inspect(here: &Here, named: &str, json: bool) -> Result<Exit, Failure> {
    here.installation.check_usable(named)?;
    let inspection = match (here.installation.component(named), here.installation.policy(named)) {
        (Some(component), _) => harness_wasm::inspect(component),
        (None, Some(policy)) => harness_wasm::inspect_policy(policy),
        (None, None) if Path::new(named).exists() => inspected(&here.settings, Path::new(named)).await?,
        (None, None) => return here.component(named).map(|_| Exit::Done),
    };
    if json { print_json(&inspection) } else { print_text(inspection.to_string().trim_end()) }
}
