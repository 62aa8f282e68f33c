//! `harness-host config`: each value with its source, the schema, and trust in a project's file.

use super::{print_json, print_text};
use crate::args::{Cli, ConfigCommand};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::settings::{self, Said};
use harness_config::{Trust, TrustStore, json_schema, show};
use serde_json::json;
use std::path::Path;

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
    if json {
        let project = settings.resolved.project.as_ref().map(|project| {
            json!({ "path": project.path, "digest": project.digest.to_string(), "trusted": project.trust == Trust::Trusted })
        });
        return print_json(&json!({ "values": values, "project": project, "withheld": settings.resolved.withheld }));
    }
    let width = values.iter().map(|value| value.key.chars().count()).max().unwrap_or(0);
    let mut lines: Vec<String> =
        values.iter().map(|value| format!("{:width$}  {}  ({})", value.key, value.value, value.source)).collect();
    if let Some(project) = &settings.resolved.project {
        let state = match project.trust {
            Trust::Trusted => "trusted",
            Trust::Changed => "changed since it was trusted: it can only narrow",
            Trust::Unknown => "not trusted: it can only narrow",
        };
        lines.push(format!("\nproject configuration {}: {state}", project.path.display()));
    }
    lines.extend(settings.resolved.withheld.iter().map(|withheld| format!("withheld: {withheld}")));
    print_text(&lines.join("\n"))
}

fn trust(cli: &Cli, workspace: Option<&Path>) -> Result<Exit, Failure> {
    let workspace = settings::workspace_folder(workspace)?;
    let settings = settings::read(&Said::from_cli(cli), Some(&workspace))?;
    let Some(project) = &settings.resolved.project else {
        return Err(Failure::usage(format!("{} has no .harness-host/config.toml to trust", workspace.display())));
    };
    let mut store = read_store(&settings)?;
    store.add(&project.path, &project.digest).map_err(|error| Failure::because("keeping the trust", &error))?;
    print_text(&format!("trusted {} as {}", project.path.display(), project.digest))
}

fn untrust(cli: &Cli, workspace: Option<&Path>) -> Result<Exit, Failure> {
    let workspace = settings::workspace_folder(workspace)?;
    let settings = settings::read(&Said::from_cli(cli), Some(&workspace))?;
    let path = match &settings.resolved.project {
        Some(project) => project.path.clone(),
        None => workspace.join(".harness-host").join("config.toml"),
    };
    let mut store = read_store(&settings)?;
    let was = store.remove(&path).map_err(|error| Failure::because("taking the trust back", &error))?;
    print_text(&format!("{} {}", path.display(), if was { "is not trusted any more" } else { "was not trusted" }))
}

fn read_store(settings: &settings::Settings) -> Result<TrustStore, Failure> {
    TrustStore::read(&settings.paths.state_dir).map_err(|error| Failure::because("reading what is trusted", &error))
}
