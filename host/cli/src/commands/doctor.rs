//! `harness-host doctor`: what is configured, where files live, whether the sandbox works, which
//! providers can be reached; each finding with a remedy where one is needed.
//!
//! Promise: no key is shown, nothing outside the host's own folders is changed, and every check is
//! bounded in time.

use super::{print_json, print_text};
use crate::args::{Cli, DoctorArgs};
use crate::commands::counted;
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::installed;
use crate::settings::{self, Said, Settings, SystemKeyring};
use crate::wiring::{self, Wiring};
use harness_config::{ProviderKey, Trust, Wire};
use harness_core::grant::{AccessKind, Capability};
use harness_core::{CallId, Outcome, SessionId};
use harness_engine::ports::{CallRequest, SessionFilter};
use serde::Serialize;
use std::path::Path;
use std::time::{Duration, Instant};

/// The sandbox's self-test may take this long; it may have to compile a component.
const SELF_TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Good,
    Note,
    Bad,
}

/// One check.
#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    health: Health,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn good(check: &str, found: impl Into<String>) -> Self {
        Self { check: check.to_owned(), health: Health::Good, found: found.into(), remedy: None }
    }

    fn with(check: &str, health: Health, found: impl Into<String>, remedy: &str) -> Self {
        Self { check: check.to_owned(), health, found: found.into(), remedy: Some(remedy.to_owned()) }
    }
}

/// Runs the command. It ends as failed if anything is bad.
pub(crate) async fn run(cli: &Cli, args: &DoctorArgs) -> Result<Exit, Failure> {
    let mut findings = vec![Finding::good("version", format!("harness-host {}", env!("CARGO_PKG_VERSION")))];
    examine(cli, args, &mut findings).await;
    let is_bad = findings.iter().any(|finding| finding.health == Health::Bad);
    if args.output.json {
        print_json(&serde_json::json!({ "healthy": !is_bad, "findings": findings }))?;
    } else {
        for finding in &findings {
            let mark = match finding.health {
                Health::Good => "✓",
                Health::Note => "·",
                Health::Bad => "✗",
            };
            print_text(&format!("{mark} {:22} {}", finding.check, finding.found))?;
            if let Some(remedy) = &finding.remedy {
                print_text(&format!("  {:22} → {remedy}", ""))?;
            }
        }
    }
    Ok(if is_bad { Exit::Failed } else { Exit::Done })
}

async fn examine(cli: &Cli, args: &DoctorArgs, findings: &mut Vec<Finding>) {
    let settings = settings::workspace_folder(args.workspace.as_deref())
        .and_then(|workspace| settings::read(&Said::from_cli(cli), Some(&workspace)));
    let settings = match settings {
        Ok(settings) => settings,
        Err(failure) => {
            findings.push(Finding::with(
                "configuration",
                Health::Bad,
                failure.message,
                "correct the files and keys it names",
            ));
            return;
        }
    };
    findings.extend(configuration(&settings));
    findings.extend(folders(&settings));
    findings.extend(secrets(&settings));
    match wiring::wire(&settings) {
        Ok(wiring) => {
            findings.push(sessions(&wiring).await);
            findings.push(sandbox(&wiring, &settings).await);
            findings.extend(components(&wiring, &settings, args.workspace.as_deref()));
            findings.extend(providers(&wiring, &settings).await);
        }
        Err(failure) => findings.push(Finding::with(
            "session store",
            Health::Bad,
            failure.message,
            "make the state folder writable, or set storage.state-dir to another",
        )),
    }
}

fn configuration(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![match settings.model() {
        Ok((model, reason)) => Finding::good("model", format!("{model} ({reason})")),
        Err(failure) => Finding::with("model", Health::Bad, failure.message, "choose a model"),
    }];
    if let Some(project) = &settings.resolved.project {
        let path = project.path.display().to_string();
        findings.push(match project.trust {
            Trust::Trusted => Finding::good("project configuration", format!("{path}, trusted")),
            Trust::Changed | Trust::Unknown => Finding::with(
                "project configuration",
                Health::Note,
                format!("{path}, not trusted as it is: {} settings are withheld", settings.resolved.withheld.len()),
                "read it, then: harness-host config trust",
            ),
        });
    }
    findings
}

fn folders(settings: &Settings) -> Vec<Finding> {
    let state = settings.resolved.storage.state_dir.value.as_path();
    let folders: [(&str, &Path); 3] = [
        ("configuration folder", &settings.paths.config_dir),
        ("state folder", state),
        ("cache folder", &settings.paths.cache_dir),
    ];
    folders.iter().map(|(check, folder)| Finding::good(check, folder.display().to_string())).collect()
}

async fn sessions(wiring: &Wiring) -> Finding {
    let filter = SessionFilter { sessions_max: 1_000, ..SessionFilter::default() };
    match wiring.host.ports().index.list(filter).await {
        Ok(found) => Finding::good("session store", format!("readable, {} sessions", found.len())),
        Err(error) => {
            Finding::with("session store", Health::Bad, chain(&error), "restore the session store from a backup")
        }
    }
}

/// Where each secret is; it is read, for what cannot be read is of no use, and not shown.
fn secrets(settings: &Settings) -> Vec<Finding> {
    let finding = |(name, place): (&String, &ProviderKey)| {
        let check = format!("secret {name}");
        match place {
            ProviderKey::In(place) => match place.value.read_key(&settings.environment, &SystemKeyring) {
                Ok(_) => Finding::good(&check, format!("in {}", place.value)),
                Err(error) => Finding::with(&check, Health::Bad, chain(&error), "put it there, or name another place"),
            },
            ProviderKey::Missing { variable } => Finding::with(
                &check,
                Health::Note,
                "not set",
                &format!("to use it, set the environment variable {}", variable.value),
            ),
            ProviderKey::NotNeeded => Finding::good(&check, "in no place"),
        }
    };
    settings.resolved.secrets.iter().map(finding).collect()
}

/// Each installed component: whether its binary is what its list says and can be run here.
fn components(wiring: &Wiring, settings: &Settings, workspace: Option<&Path>) -> Vec<Finding> {
    let found = settings::workspace_folder(workspace)
        .and_then(|workspace| installed::installation(settings, Some(&workspace), *wiring.runtime.limits()));
    let installation = match found {
        Ok(installation) => installation,
        Err(failure) => {
            let remedy = "correct the list that it names, or add the component again";
            return vec![Finding::with("components", Health::Bad, failure.message, remedy)];
        }
    };
    let mut findings = vec![Finding::good("components", format!("{} built in", installation.built_in))];
    findings.push(match crate::builtin::modes() {
        Ok(modes) => {
            let names = modes.iter().filter_map(|mode| mode.mode()).map(|mode| mode.name.as_str());
            Finding::good("modes", format!("built in: {}", names.collect::<Vec<_>>().join(", ")))
        }
        Err(failure) => Finding::with("modes", Health::Bad, failure.message, "install harness-host again"),
    });
    for component in installation.components.iter().skip(installation.built_in) {
        let grants = installation.granted(component.name()).len();
        findings.push(Finding::good(
            &format!("component {}", component.name()),
            format!(
                "{}, {}, {}",
                counted(component.tools().len(), "tool"),
                counted(grants, "grant"),
                component.digest()
            ),
        ));
    }
    for unusable in &installation.unusable {
        let check = format!("component {}", unusable.name);
        findings.push(Finding::with(&check, Health::Bad, unusable.why.clone(), &unusable.remedy));
    }
    if let Some(problems) = &installation.problems {
        let remedy = "correct the list that it names";
        findings.push(Finding::with("components", Health::Bad, problems.to_string(), remedy));
    }
    if !installation.lists.withheld.is_empty() {
        let found = format!("{} of the project's components are withheld", installation.lists.withheld.len());
        let remedy = "read .harness-host/components.toml, then: harness-host config trust";
        findings.push(Finding::with("project components", Health::Note, found, remedy));
    }
    findings
}

/// Runs a real tool in a real sandbox over a small folder of its own.
async fn sandbox(wiring: &Wiring, settings: &Settings) -> Finding {
    let bad =
        |found: String| Finding::with("sandbox", Health::Bad, found, "report this with the output of doctor --json");
    let folder = settings.paths.cache_dir.join(format!("doctor-{}", std::process::id()));
    let made = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(folder.join("probe.txt"), "sandboxed\n"));
    let result = match made {
        Err(error) => bad(format!("{} cannot be written: {error}", folder.display())),
        Ok(()) => self_test(wiring, &folder).await.unwrap_or_else(bad),
    };
    let _ = std::fs::remove_dir_all(&folder);
    result
}

async fn self_test(wiring: &Wiring, folder: &Path) -> Result<Finding, String> {
    let built_in = crate::builtin::components(*wiring.runtime.limits()).map_err(|failure| failure.message)?;
    let hands =
        wiring.bare_hands(folder, built_in, wiring.host.ports().kv.clone()).map_err(|failure| failure.message)?;
    let granted = vec![Capability::Filesystem { access: AccessKind::Read, path: "/workspace".to_owned() }];
    let call = |number| CallRequest {
        granted: granted.clone(),
        ..CallRequest::new(SessionId::from_bits(0), CallId::from_bits(number), "read_file", r#"{"path":"probe.txt"}"#)
    };
    let first = tokio::time::timeout(SELF_TEST_TIMEOUT, hands.execute(call(0)));
    let report = first.await.map_err(|_| format!("no answer within {SELF_TEST_TIMEOUT:?}"))?;
    match &report.outcome {
        outcome @ Outcome::Returned { .. } if outcome.model_text(&[]).contains("sandboxed") => {}
        other => return Err(other.model_text(&[])),
    }
    let started = Instant::now();
    let second = tokio::time::timeout(SELF_TEST_TIMEOUT, hands.execute(call(1)));
    let report = second.await.map_err(|_| format!("no second answer within {SELF_TEST_TIMEOUT:?}"))?;
    let time_us = started.elapsed().as_micros();
    Ok(Finding::good(
        "sandbox",
        format!(
            "read_file ran: {time_us} µs, {} fuel, {} KiB of memory",
            report.usage.fuel,
            report.usage.memory_bytes >> 10
        ),
    ))
}

async fn providers(wiring: &Wiring, settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, provider) in &settings.resolved.providers {
        let check = format!("provider {name}");
        if provider.wire.value == Wire::Offline {
            findings.push(Finding::good(&check, "embedded, no language model"));
            continue;
        }
        if !provider.is_configured() {
            let remedy = match &provider.key {
                ProviderKey::Missing { variable } => {
                    format!("to use it, set the environment variable {}", variable.value)
                }
                ProviderKey::NotNeeded | ProviderKey::In(_) => {
                    format!("to use it, set its address: providers.{name}.base-url")
                }
            };
            findings.push(Finding::with(&check, Health::Note, "not configured", &remedy));
            continue;
        }
        findings.push(reach(wiring, settings, name, provider, &check).await);
    }
    findings
}

async fn reach(
    wiring: &Wiring,
    settings: &Settings,
    name: &str,
    provider: &harness_config::Provider,
    check: &str,
) -> Finding {
    if let ProviderKey::In(source) = &provider.key
        && let Err(error) = source.value.read_key(&settings.environment, &SystemKeyring)
    {
        return Finding::with(check, Health::Bad, chain(&error), "put the key there, or name another place");
    }
    match wiring.models.probe(name).await {
        Ok(reachable) => Finding::good(
            check,
            format!(
                "reachable at {} in {} ms, {} models",
                reachable.address,
                reachable.time_ms,
                reachable.models.len()
            ),
        ),
        Err(failure) => {
            Finding::with(check, Health::Bad, failure.message, "check its address, your network and the key")
        }
    }
}
