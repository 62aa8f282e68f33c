//! `harness-host policy`: what would come of a call and why, whether the rules match what they are meant to, and what
//! persons allowed for later calls.
//!
//! Promise: the engine that judges sessions judges here, the mode's own component included; nothing is run, and nothing
//! changed but what is taken back.
//!
//! Not here: an imagined call is judged without what a person allowed.

mod allowed;
mod explain;
mod table;

use super::{counted, print_json, print_text};
use crate::args::Cli;
use crate::args::policy::PolicyCommand;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::installed;
use crate::paint::lines;
use crate::settings::{self, Said, Settings};
use crate::wiring;
use harness_config::{ConfigProblems, Fault};
use harness_core::session_tools;
use harness_core::verdict::{Rule, test_examples};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Runs the command.
pub(crate) async fn run(cli: &Cli, command: &PolicyCommand) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::Explain(args) => explain::run(cli, args).await,
        PolicyCommand::Test { workspace, output } => test(cli, workspace.as_deref(), output.json),
        PolicyCommand::Allowed { session, output } => allowed::list(cli, session.as_deref(), output.json).await,
        PolicyCommand::Forbid { allowance } => allowed::forbid(cli, allowance).await,
    }
}

fn test(cli: &Cli, workspace: Option<&Path>, json: bool) -> Result<Exit, Failure> {
    let workspace = settings::workspace_folder(workspace)?;
    match settings::read_or_problems(&Said::from_cli(cli), Some(&workspace))? {
        Ok(settings) => passed(&settings, &workspace, json),
        Err(problems) => failed(&problems, json),
    }
}

/// A configuration that was read has no faults in its own examples; they are checked together all the same, by the
/// rules as sessions get them.
fn passed(settings: &Settings, workspace: &Path, json: bool) -> Result<Exit, Failure> {
    let rules = settings.rules();
    let of_nothing = of_no_tool(&rules, settings, workspace)?;
    let of_rules = settings.resolved.rules.iter();
    let examples: Vec<_> = of_rules.flat_map(|rule| rule.value.examples.iter().cloned()).collect();
    let faults = test_examples(&rules, &examples);
    let exit = if faults.is_empty() { Exit::Done } else { Exit::Failed };
    if json {
        let faults: Vec<Value> =
            faults.iter().map(|fault| json!({ "rule": fault.example.rule, "words": fault.to_string() })).collect();
        print_json(&json!({
            "rules": rules.len(), "examples": examples.len(), "faults": faults, "of_no_tool": of_nothing,
        }))?;
        return Ok(exit);
    }
    for fault in &faults {
        print_text(&lines(&format!("rule {}: {fault}", fault.example.rule)))?;
    }
    for (rule, tool) in &of_nothing {
        print_text(&lines(&format!("rule {rule} is about the tool `{tool}`, which is not there")))?;
    }
    let withheld = settings.resolved.withheld.iter().filter(|withheld| withheld.key.starts_with("rules."));
    for withheld in withheld {
        print_text(&format!("withheld: {withheld}"))?;
    }
    if faults.is_empty() {
        let rules = counted(rules.len(), "rule");
        print_text(&format!("{rules}, {}: each matches what it should", counted(examples.len(), "example")))?;
    }
    Ok(exit)
}

/// The rules about a tool that is not there, by id, with its name: it may come yet, or be a slip by which a deny denies
/// nothing.
fn of_no_tool(rules: &[Rule], settings: &Settings, workspace: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let installation = installed::installation(settings, Some(workspace), wiring::call_limits(settings))?;
    let is_there = |name: &str| {
        let mut tools = installation.components.iter().flat_map(|component| component.tools());
        session_tools::NAMES.contains(&name) || tools.any(|tool| tool.name == name)
    };
    let named = rules.iter().filter_map(|rule| rule.tool.clone().map(|tool| (rule.id.clone(), tool)));
    Ok(named.filter(|(_, tool)| !is_there(tool)).collect())
}

/// Examples that do not hold are what is looked for; anything else is in the way of looking.
fn failed(problems: &ConfigProblems, json: bool) -> Result<Exit, Failure> {
    if !problems.problems.iter().all(|problem| matches!(problem.fault, Fault::Example { .. })) {
        return Err(Failure::usage(problems.to_string()));
    }
    if json {
        let faults: Vec<Value> = problems
            .problems
            .iter()
            .map(|problem| {
                json!({
                    "file": problem.origin.to_string(), "line": problem.line, "key": problem.key,
                    "words": problem.fault.to_string(),
                })
            })
            .collect();
        print_json(&json!({ "faults": faults }))?;
    } else {
        print_text(&lines(&problems.to_string()))?;
    }
    Ok(Exit::Failed)
}
