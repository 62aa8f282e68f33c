//! `harness-host config`: each value with its source, the schema, and trust in a project's files.

use super::{print_json, print_text};
use crate::args::{Cli, ConfigCommand};
use crate::capability_words::in_words;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::installed;
use crate::paint::one_line;
use crate::settings::{self, Said, Settings};
use harness_config::{
    ComponentPlaces, ConfigFiles, InstalledComponent, ProjectConfig, Trust, json_schema, read_project_components, show,
};
use harness_core::grant::Grant;
use serde_json::json;
use std::path::Path;

/// A grant is shown up to this many characters.
const GRANT_CHARS_MAX: usize = 600;

/// Runs the command.
pub(crate) fn run(cli: &Cli, command: &ConfigCommand) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Show { workspace, output } => show_all(cli, workspace.as_deref(), output.json),
        ConfigCommand::Schema => print_json(&json_schema()),
        ConfigCommand::Trust { workspace } => trust(cli, workspace.as_deref()),
        ConfigCommand::Untrust { workspace } => untrust(cli, workspace.as_deref()),
    }
}

fn show_all(cli: &Cli, workspace: Option<&Path>, json: bool) -> Result<Exit, Failure> {
    let workspace = settings::workspace_folder(workspace)?;
    let settings = settings::read(&Said::from_cli(cli), Some(&workspace))?;
    let values = show(&settings.resolved);
    let lists = installed::lists(&settings, Some(&workspace))?;
    if json {
        let project = settings.resolved.project.as_ref().map(|project| {
            json!({ "path": project.path, "digest": project.digest.to_string(), "trusted": project.trust == Trust::Trusted })
        });
        return print_json(&json!({
            "values": values, "project": project, "withheld": settings.resolved.withheld,
            "components_withheld": lists.withheld,
        }));
    }
    let width = values.iter().map(|value| value.key.chars().count()).max().unwrap_or(0);
    let mut lines: Vec<String> =
        values.iter().map(|value| format!("{:width$}  {}  ({})", value.key, value.value, value.source)).collect();
    if let Some(project) = &settings.resolved.project {
        let state = state(project.trust, "it can only narrow");
        lines.push(format!("\nproject configuration {}: {state}", project.path.display()));
    }
    if let Some(project) = &lists.project_file {
        let state = state(project.trust, "none of its components and grants hold");
        lines.push(format!("\nproject components {}: {state}", project.path.display()));
    }
    let withheld = settings.resolved.withheld.iter().chain(&lists.withheld);
    lines.extend(withheld.map(|withheld| format!("withheld: {withheld}")));
    print_text(&lines.join("\n"))
}

fn state(trust: Trust, until: &str) -> String {
    match trust {
        Trust::Trusted => "trusted".to_owned(),
        Trust::Changed => format!("changed since it was trusted: {until}"),
        Trust::Unknown => format!("not trusted: {until}"),
    }
}

fn trust(cli: &Cli, workspace: Option<&Path>) -> Result<Exit, Failure> {
    let workspace = settings::workspace_folder(workspace)?;
    let settings = settings::read(&Said::from_cli(cli), Some(&workspace))?;
    let lists = installed::lists(&settings, Some(&workspace))?;
    let components = project_components(&settings, &workspace, lists.project_file.as_ref())?;
    let files: Vec<&ProjectConfig> = settings.resolved.project.iter().chain(&lists.project_file).collect();
    if files.is_empty() {
        return Err(Failure::usage(format!(
            "{} has neither .harness-host/config.toml nor .harness-host/components.toml to trust",
            workspace.display()
        )));
    }
    for component in &components {
        print_text(&component_words(component)?)?;
    }
    let mut store = settings.trust()?;
    for file in files {
        store.add(&file.path, &file.digest).map_err(|error| Failure::because("keeping the trust", &error))?;
        print_text(&format!("trusted {} as {}", file.path.display(), file.digest))?;
    }
    Ok(Exit::Done)
}

/// The components of a project's list, trusted or not. A grant that cannot be understood is trusted by nobody.
fn project_components(
    settings: &Settings,
    workspace: &Path,
    to_trust: Option<&ProjectConfig>,
) -> Result<Vec<InstalledComponent>, Failure> {
    let places = ComponentPlaces::usual(&settings.paths, Some(workspace));
    let read = read_project_components(&places).map_err(|problems| Failure::usage(problems.to_string()))?;
    let (components, digest) = read.map_or((Vec::new(), None), |(components, digest)| (components, Some(digest)));
    // What is shown is what is trusted.
    if digest.as_ref() != to_trust.map(|file| &file.digest) {
        return Err(Failure::usage("the project's components.toml is being changed: look at it, and try again"));
    }
    let wrong: Vec<String> = components
        .iter()
        .filter_map(|component| installed::granted_by(component).err().map(|(why, _)| why.message))
        .collect();
    if wrong.is_empty() { Ok(components) } else { Err(Failure::usage(wrong.join("\n"))) }
}

/// What trusting an entry lets happen.
fn component_words(component: &InstalledComponent) -> Result<String, Failure> {
    let written = &component.written;
    let what = match &written.digest {
        Some(digest) => format!("component {} {digest}", written.name),
        None => format!("built-in component {}", written.name),
    };
    let grants = installed::granted_by(component).map_err(|(why, _)| why)?;
    let may = grants.iter().map(|Grant { capability, .. }| {
        one_line(&format!("may {}  ({capability})", in_words(capability)), GRANT_CHARS_MAX)
    });
    let may: Vec<String> = may.map(|words| format!("\n  {words}")).collect();
    let may = if may.is_empty() { "\n  may do nothing beyond itself".to_owned() } else { may.concat() };
    Ok(format!("{what}{may}"))
}

fn untrust(cli: &Cli, workspace: Option<&Path>) -> Result<Exit, Failure> {
    let workspace = settings::workspace_folder(workspace)?;
    let settings = settings::read(&Said::from_cli(cli), Some(&workspace))?;
    let config = ConfigFiles::usual(&settings.paths, Some(&workspace)).project;
    let components = ComponentPlaces::usual(&settings.paths, Some(&workspace)).project.map(|(list, _)| list);
    let mut store = settings.trust()?;
    for (path, is_always_told) in
        config.map(|path| (path, true)).into_iter().chain(components.map(|path| (path, false)))
    {
        let was = store.remove(&path).map_err(|error| Failure::because("taking the trust back", &error))?;
        if was || is_always_told {
            let words = if was { "is not trusted any more" } else { "was not trusted" };
            print_text(&format!("{} {words}", path.display()))?;
        }
    }
    Ok(Exit::Done)
}
