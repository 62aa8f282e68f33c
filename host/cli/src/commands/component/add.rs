//! `component add`: installing a component by digest, with the grants that a person gives.
//!
//! Promise: what it asks for is shown in plain words before anything is given; on a terminal each is asked about,
//! and only a clear yes gives it; where nobody is asked, only the command line gives. Nothing is installed that
//! does not compile. Another digest under a name keeps its grants, and is asked about where it wants more.
//!
//! Not here: the list's file (harness-config).

mod policy;

use super::edit::{check_use, remove_binary};
use super::{Layer, check_name, name_of_file, parse_capability};
use crate::args::Cli;
use crate::args::component::AddArgs;
use crate::capability_words::in_words;
use crate::commands::print_text;
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::installed::{project_binary, read_binary, user_binary};
use crate::paint::{err_line, one_line};
use crate::wiring;
use harness_config::WrittenComponent;
use harness_core::Digest;
use harness_core::grant::Capability;
use harness_wasm::{Component, ComponentSource, ReadComponentError};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Runs the command.
pub(super) async fn run(cli: &Cli, args: &AddArgs) -> Result<Exit, Failure> {
    let name = args.name.clone().unwrap_or_else(|| name_of_file(&args.file));
    check_name(&name)?;
    let layer = Layer::of(cli, &args.layer)?;
    let given: Vec<Capability> = args.grant.iter().map(|text| parse_capability(text)).collect::<Result<_, _>>()?;
    let bytes = read_binary(&args.file)?;
    let wiring = wiring::wire(&layer.here.settings)?;
    let source = ComponentSource { name: name.clone(), bytes: bytes.into() };
    let read = Component::read_with(source.clone(), *wiring.runtime.limits());
    if matches!(read, Err(ReadComponentError::OtherKind { .. })) {
        return policy::add(&layer, args, &wiring, source).await;
    }
    let mut component = read.map_err(|error| Failure::usage(chain(&error)))?;
    let before = layer.listed(&name);
    check_replaces(&layer, &name, component.digest(), before.as_ref())?;
    check_tools(&layer, &component)?;
    // It is compiled before anybody is asked about it: what does not run needs no grants.
    wiring.runtime.load(&component).await.map_err(|error| Failure::failed(chain(&error)))?;
    let described = described(&wiring, &component).await?;
    if let Some(json) = &described {
        component = Component::read_described(source, *wiring.runtime.limits(), json)
            .map_err(|error| Failure::usage(chain(&error)))?;
    }
    check_tools(&layer, &component)?;
    given.iter().try_for_each(|capability| check_use(&component, capability))?;
    let grants = grants(&layer, args, &component, before.as_ref(), given)?;
    let digest = component.digest().to_string();
    let mut edit = layer.open()?;
    // While the person was asked, another process may have changed the list: what it says now holds.
    let now = edit.get(&name);
    check_replaces(&layer, &name, component.digest(), now.as_ref())?;
    let grants = merged(before.as_ref(), now.as_ref(), grants);
    store(&layer, &name, &digest, component.bytes())?;
    let written = WrittenComponent {
        name: name.clone(),
        digest: Some(digest.clone()),
        source: Some(whence(&args.file, layer.is_project)),
        bytes: u64::try_from(component.bytes().len()).ok(),
        grants: grants.clone(),
        described,
        ..now.clone().unwrap_or_default()
    };
    edit.put(&written);
    layer.write(&mut edit)?;
    if let Some(old) = now.and_then(|now| now.digest).filter(|old| *old != digest) {
        remove_binary(&layer, &edit, &name, &old);
    }
    drop(edit);
    let tools: Vec<&str> = component.tools().iter().map(|tool| tool.name.as_str()).collect();
    let may = if grants.is_empty() { "nothing beyond itself".to_owned() } else { grants.join("; ") };
    print_text(&format!("added {name} {digest}\ntools: {}\nmay: {may}", one_line(&tools.join(", "), 400)))
}

/// The grants that the list has now, with those that were given here.
fn merged(before: Option<&WrittenComponent>, now: Option<&WrittenComponent>, given: Vec<Capability>) -> Vec<String> {
    let capabilities = |written: Option<&WrittenComponent>| -> Vec<Capability> {
        written.iter().flat_map(|it| &it.grants).filter_map(|text| text.parse().ok()).collect()
    };
    let (before, mut grants) = (capabilities(before), capabilities(now));
    for capability in given {
        if !before.contains(&capability) && !grants.contains(&capability) {
            grants.push(capability);
        }
    }
    grants.iter().map(ToString::to_string).collect()
}

/// Where a file is. A team's list names no folder of one person's.
fn whence(file: &Path, is_project: bool) -> String {
    let whole = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let name = file.file_name().map(PathBuf::from).filter(|_| is_project);
    name.unwrap_or(whole).display().to_string()
}

/// What only a call tells of its tools.
pub(super) async fn described(wiring: &wiring::Wiring, component: &Arc<Component>) -> Result<Option<String>, Failure> {
    if !component.needs_describing() {
        return Ok(None);
    }
    wiring.runtime.describe(component).await.map(Some).map_err(|error| Failure::failed(chain(&error)))
}

/// Refuses a name that is taken, and another digest where one is pinned.
fn check_replaces(layer: &Layer, name: &str, digest: Digest, before: Option<&WrittenComponent>) -> Result<(), Failure> {
    let installation = &layer.here.installation;
    if installation.is_built_in(name) {
        return Err(Failure::usage(format!("`{name}` is a built-in component: choose another name with --name")));
    }
    if layer.other_list_has(name) {
        let whose = if layer.is_project { "your own list" } else { "the folder's list" };
        return Err(Failure::usage(format!("{whose} has a component `{name}`: choose another name with --name")));
    }
    let digest = digest.to_string();
    let pinned = before.filter(|before| before.pinned).and_then(|before| before.digest.as_ref());
    match pinned {
        Some(pinned) if *pinned != digest => Err(Failure::usage(format!(
            "{name} is pinned at {pinned}, and this is {digest}; to let it go: harness-host component pin {name} --off"
        ))),
        _ => Ok(()),
    }
}

/// Refuses tools that another component of the folder offers.
fn check_tools(layer: &Layer, component: &Component) -> Result<(), Failure> {
    let others = layer.here.installation.components.iter().filter(|other| other.name() != component.name());
    for other in others {
        let clash = component.tools().iter().find(|tool| other.tools().iter().any(|its| its.name == tool.name));
        if let Some(tool) = clash {
            return Err(Failure::usage(format!(
                "`{}` and `{}` both offer a tool `{}`: a session can have one of them. Rename the tool in one of \
                 them{}",
                other.name(),
                component.name(),
                tool.name,
                if layer.here.installation.is_built_in(other.name()) {
                    String::new()
                } else {
                    format!(
                        ", or remove the other: harness-host component remove {} (--project, if it is the project's)",
                        other.name()
                    )
                }
            )));
        }
    }
    Ok(())
}

/// What it may do: what it was granted before, what the command line gives, and what the person says yes to.
fn grants(
    layer: &Layer,
    args: &AddArgs,
    component: &Component,
    before: Option<&WrittenComponent>,
    given: Vec<Capability>,
) -> Result<Vec<Capability>, Failure> {
    let mut grants = Vec::new();
    for text in before.iter().flat_map(|before| &before.grants) {
        match text.parse::<Capability>() {
            Ok(known) => grants.push(known),
            Err(error) => err_line(&format!("  left out of the list: {error}")),
        }
    }
    let asked = component.ceiling();
    tell(component, asked);
    for capability in given {
        if !grants.contains(&capability) {
            grants.push(capability);
        }
    }
    // What the version before asked for was decided then.
    let old = layer.here.installation.component(component.name());
    let decided = old.map(|old| old.ceiling()).unwrap_or_default();
    let somebody = std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && !args.yes;
    for capability in asked {
        if grants.iter().any(|grant| grant.covers(capability)) {
            continue;
        }
        if let Capability::Env { name, value: None } = capability {
            err_line(&format!(
                "  {name} needs a value: harness-host component grant {} 'env {name}=…'",
                component.name()
            ));
            continue;
        }
        let is_decided = decided.iter().any(|known| known.covers(capability));
        let yes = args.grant_all || (somebody && !is_decided && asks(component.name(), capability)?);
        if yes {
            grants.push(capability.clone());
        } else {
            err_line(&format!(
                "  not granted: {capability} (harness-host component grant {} '{capability}')",
                component.name()
            ));
        }
    }
    Ok(grants)
}

fn tell(component: &Component, asked: &[Capability]) {
    if asked.is_empty() {
        return err_line(&format!("{} asks for nothing.", component.name()));
    }
    err_line(&format!("{} asks to:", component.name()));
    for capability in asked {
        err_line(&format!("  - {}  ({})", in_words(capability), one_line(&capability.to_string(), 400)));
    }
}

/// Only a clear yes is one.
fn asks(name: &str, capability: &Capability) -> Result<bool, Failure> {
    let failed = |error: std::io::Error| Failure::because("asking", &error);
    let mut err = std::io::stderr().lock();
    write!(err, "May {name} {}? [y/N] ", in_words(capability)).and_then(|()| err.flush()).map_err(failed)?;
    drop(err);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(failed)?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Copies the binary to where its list finds it.
fn store(layer: &Layer, name: &str, digest: &str, bytes: &[u8]) -> Result<(), Failure> {
    let folder = layer.binaries();
    let (file, mode) =
        if layer.is_project { (project_binary(name, digest), 0o644) } else { (user_binary(digest), 0o600) };
    let path = folder.join(file);
    let failed = |error: std::io::Error| Failure::failed(format!("{} cannot be written: {error}", path.display()));
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(if layer.is_project { 0o755 } else { 0o700 });
    builder.create(folder).map_err(failed)?;
    let temporary = folder.join(format!(".{}.tmp", std::process::id()));
    let written = write_new(&temporary, bytes, mode).and_then(|()| std::fs::rename(&temporary, &path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(failed)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let _ = std::fs::remove_file(path);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
