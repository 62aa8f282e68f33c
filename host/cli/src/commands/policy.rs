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
use crate::paint::lines;
use crate::settings::{self, Said, Settings};
use harness_config::{ConfigProblems, Fault};
use harness_core::verdict::test_examples;
use serde_json::{Value, json};
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
        Ok(settings) => passed(&settings, json),
        Err(problems) => failed(&problems, json),
    }
}

/// A configuration that was read has no faults in its own examples; they are checked together all the same, by the
/// rules as sessions get them.
fn passed(settings: &Settings, json: bool) -> Result<Exit, Failure> {
    let rules = settings.rules();
    let of_rules = settings.resolved.rules.iter();
    let examples: Vec<_> = of_rules.flat_map(|rule| rule.value.examples.iter().cloned()).collect();
    let faults = test_examples(&rules, &examples);
    let exit = if faults.is_empty() { Exit::Done } else { Exit::Failed };
    if json {
        let faults: Vec<Value> =
            faults.iter().map(|fault| json!({ "rule": fault.example.rule, "words": fault.to_string() })).collect();
        print_json(&json!({ "rules": rules.len(), "examples": examples.len(), "faults": faults }))?;
        return Ok(exit);
    }
    for fault in &faults {
        print_text(&lines(&format!("rule {}: {fault}", fault.example.rule)))?;
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
