//! `harness-host component`: beginning, describing, checking, trying and installing components, and saying what each may do.
//!
//! Promise: nothing is installed that was not read and compiled; nobody's grant is given but by their own word;
//! what a component says of itself is cleaned before it is shown.

mod add;
mod call;
mod describe;
mod edit;
mod list;
mod new;

pub(crate) use call::request_line;

use crate::args::Cli;
use crate::args::component::{ComponentCommand, LayerArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::installed::{self, Installation};
use crate::settings::{self, Said, Settings};
use harness_config::{ComponentPlaces, ComponentsEdit, TrustStore, WrittenComponent};
use harness_core::grant::Capability;
use harness_wasm::{CallLimits, Component, ComponentSource};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A component's name, in characters.
const NAME_CHARS_MAX: usize = 64;

/// Runs the command.
pub(crate) async fn run(cli: &Cli, command: &ComponentCommand) -> Result<Exit, Failure> {
    match command {
        ComponentCommand::New { name, lang, dir } => new::run(name, *lang, dir.as_deref()),
        ComponentCommand::Check { file, output } => list::check(cli, file, output.json).await,
        ComponentCommand::Describe { file, words } => describe::run(file, words),
        ComponentCommand::Inspect { component, output, place } => {
            let here = Here::of(cli, place.workspace.as_deref())?;
            list::inspect(&here, component, output.json).await
        }
        ComponentCommand::Call(args) => call::run(cli, args).await,
        ComponentCommand::Add(args) => add::run(cli, args).await,
        ComponentCommand::Remove { name, layer } => edit::remove(&Layer::of(cli, layer)?, name),
        ComponentCommand::List { output, place } => {
            let here = Here::of(cli, place.workspace.as_deref())?;
            list::list(&here, output.json)
        }
        ComponentCommand::Pin { name, digest, off, layer } => {
            edit::pin(&Layer::of(cli, layer)?, name, digest.as_deref(), !*off)
        }
        ComponentCommand::Grant { name, capability, layer } => edit::grant(&Layer::of(cli, layer)?, name, capability),
        ComponentCommand::Revoke { name, capability, all: _, layer } => {
            edit::revoke(&Layer::of(cli, layer)?, name, capability.as_deref())
        }
    }
}

/// The settings of a folder, and the components that hold there.
pub(super) struct Here {
    pub(super) settings: Settings,
    pub(super) workspace: PathBuf,
    pub(super) installation: Installation,
}

impl Here {
    fn of(cli: &Cli, workspace: Option<&Path>) -> Result<Self, Failure> {
        let workspace = settings::workspace_folder(workspace)?;
        let settings = settings::read(&Said::from_cli(cli), Some(&workspace))?;
        let limits = crate::wiring::call_limits(&settings);
        let installation = installed::installation(&settings, Some(&workspace), limits)?;
        if let Some(problems) = &installation.problems {
            // Whatever stands in the other list can still be used and changed.
            crate::paint::err_line(&format!("nothing of this list holds: {problems}"));
        }
        Ok(Self { settings, workspace, installation })
    }

    /// A component by its name, or a file.
    fn component(&self, named: &str) -> Result<Arc<Component>, Failure> {
        self.installation.check_usable(named)?;
        if let Some(component) = self.installation.component(named) {
            return Ok(Arc::clone(component));
        }
        let path = Path::new(named);
        if !path.exists() {
            let is_file = named.contains('/') || path.extension().is_some_and(|extension| extension == "wasm");
            if is_file {
                return Err(Failure::usage(format!("there is no file {}", crate::paint::one_line(named, 400))));
            }
            let known: Vec<&str> = self.installation.components.iter().map(|component| component.name()).collect();
            return Err(Failure::usage(format!(
                "`{named}` is neither a file nor an installed component; those are: {}",
                known.join(", ")
            )));
        }
        read_file(path, crate::wiring::call_limits(&self.settings))
    }
}

/// A component in a file, under the file's name.
fn read_file(path: &Path, limits: CallLimits) -> Result<Arc<Component>, Failure> {
    let bytes = installed::read_binary(path)?;
    let source = ComponentSource { name: name_of_file(path), bytes: bytes.into() };
    Component::read_with(source, limits).map_err(|error| Failure::usage(crate::failure::chain(&error)))
}

/// The name that a file's component gets when none is given.
fn name_of_file(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name: String = stem.chars().map(|c| if is_name_char(c) { c } else { '-' }).take(NAME_CHARS_MAX).collect();
    if name.is_empty() { "component".to_owned() } else { name }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_'
}

/// A name as lists have it.
fn check_name(name: &str) -> Result<(), Failure> {
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(is_name_char) {
        return Err(Failure::usage(format!(
            "`{name}` is not a name of 1 to {NAME_CHARS_MAX} lower-case letters, digits, `-` and `_`"
        )));
    }
    Ok(())
}

/// A capability from the command line.
fn parse_capability(text: &str) -> Result<Capability, Failure> {
    let capability: Capability = text.parse().map_err(|error| Failure::usage(format!("{error}")))?;
    if let Capability::Env { name, value: None } = &capability {
        return Err(Failure::usage(format!("a grant gives the value too: 'env {name}=VALUE'")));
    }
    Ok(capability)
}

/// The list that a command changes, and all that holds beside it.
pub(super) struct Layer {
    pub(super) here: Here,
    pub(super) is_project: bool,
    places: ComponentPlaces,
}

impl Layer {
    fn of(cli: &Cli, args: &LayerArgs) -> Result<Self, Failure> {
        let here = Here::of(cli, args.workspace.as_deref())?;
        let places = ComponentPlaces::usual(&here.settings.paths, Some(&here.workspace));
        if args.project && places.project.is_none() {
            return Err(Failure::usage("this folder's list is your own one: leave --project out"));
        }
        Ok(Self { here, is_project: args.project, places })
    }

    /// The list, to be changed now: no other process changes it until it is dropped.
    fn open(&self) -> Result<ComponentsEdit, Failure> {
        let opened = match &self.places.project {
            Some((path, _)) if self.is_project => ComponentsEdit::of_project(path.clone()),
            _ => ComponentsEdit::of_user(self.places.user.clone()),
        };
        opened.map_err(|error| Failure::usage(crate::failure::chain(&error)))
    }

    /// What the list said of a component when this command began.
    fn listed(&self, name: &str) -> Option<WrittenComponent> {
        let lists = &self.here.installation.lists;
        let own = if self.is_project { &lists.project } else { &lists.user };
        own.components.iter().map(|component| &component.written).find(|it| it.name == name).cloned()
    }

    /// What a list says of a component, or that it says nothing.
    fn entry(&self, edit: &ComponentsEdit, name: &str) -> Result<WrittenComponent, Failure> {
        edit.get(name).ok_or_else(|| {
            let (here, other) = if self.is_project { ("the folder's", "") } else { ("your", " --project") };
            Failure::usage(format!(
                "there is no component `{name}` in {here} list; harness-host component list shows those there are{}",
                if self.other_list_has(name) {
                    format!(": this one needs the same command{other}")
                } else {
                    String::new()
                }
            ))
        })
    }

    fn other_list_has(&self, name: &str) -> bool {
        let lists = &self.here.installation.lists;
        let other = if self.is_project { &lists.user } else { &lists.project };
        other.components.iter().any(|component| component.written.name == name)
    }

    /// Puts the list in place. A project's list that was trusted, or is new, is trusted as it is now: the person
    /// at the keyboard wrote it. One that nobody trusted stays so.
    fn write(&self, edit: &mut ComponentsEdit) -> Result<(), Failure> {
        let before = edit.before().cloned();
        let failed = |error: &dyn std::error::Error| Failure::because("changing the list of components", error);
        let digest = edit.write().map_err(|error| failed(&error))?;
        if let Some((path, _)) = self.places.project.as_ref().filter(|_| self.is_project) {
            let mut trust: TrustStore = self.here.settings.trust()?;
            let was_trusted = before.is_none_or(|before| {
                trust
                    .entries()
                    .any(|(known, digest)| known.canonicalize().ok() == path.canonicalize().ok() && *digest == before)
            });
            if was_trusted {
                trust.add(path, &digest).map_err(|error| failed(&error))?;
            } else {
                crate::paint::err_line(&format!(
                    "{} is not trusted: read it, then: harness-host config trust",
                    path.display()
                ));
            }
        }
        Ok(())
    }

    /// The folder of the list's binaries.
    fn binaries(&self) -> &Path {
        match &self.places.project {
            Some((_, binaries)) if self.is_project => binaries,
            _ => &self.places.user_binaries,
        }
    }
}
