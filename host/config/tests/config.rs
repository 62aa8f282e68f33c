//! Runs the cases under `tests/`: folders of layers and of lists of components with what they resolve to, single
//! files that are invalid for the reason in their name, and the schema. `HARNESS_CONFIG_BLESS=1` writes what came
//! out instead of comparing; the difference is then read before it is committed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_config::{
    ComponentList, ComponentPlaces, ConfigDigest, ConfigFiles, Environment, Flags, Inputs, ModelChoice, Paths,
    Resolved, Source, TrustStore, json_schema, read_components, resolve, show,
};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What a case has besides its layers' files.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    environment: BTreeMap<String, String>,
    model: Option<String>,
    approve: Option<String>,
    max_steps: Option<u64>,
    set: Vec<String>,
    trusted: bool,
    /// The project's file was trusted and has changed since.
    changed: bool,
}

fn tests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn entries(folder: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(tests_dir().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Compares with a file, or writes it. Says what differs.
fn compare(expected: &Path, found: &str) -> Option<String> {
    if std::env::var_os("HARNESS_CONFIG_BLESS").is_some() {
        fs::write(expected, found).unwrap();
        return None;
    }
    let wanted = fs::read_to_string(expected).unwrap_or_default();
    (wanted != found).then(|| format!("{}\n--- wanted\n{wanted}\n--- found\n{found}", expected.display()))
}

fn run(files: &ConfigFiles, settings: Settings, state: &Path) -> Result<Resolved, String> {
    let mut variables = settings.environment;
    variables.entry("HOME".to_owned()).or_insert_with(|| "/home/person".to_owned());
    let environment = Environment::from_pairs(variables);
    let flags = Flags {
        model: settings.model,
        approve: settings.approve.map(|approve| approve.parse().unwrap()),
        max_steps: settings.max_steps,
        set: settings.set,
        ..Flags::default()
    };
    let paths = Paths::from_environment(&environment).unwrap();
    let mut trust = TrustStore::empty(state);
    if let Some(project) = files.project.as_ref().filter(|_| settings.trusted || settings.changed) {
        let bytes = if settings.changed { Vec::new() } else { fs::read(project).unwrap() };
        trust.add(project, &ConfigDigest::of(&bytes)).unwrap();
    }
    let inputs = Inputs { files, environment: &environment, flags: &flags, paths: &paths, trust: &trust };
    resolve(&inputs).map_err(|problems| format!("{problems}\n"))
}

/// What differs from the built-in values, the model, and what was withheld.
fn render(resolved: &Resolved) -> String {
    let values: Vec<_> = show(resolved)
        .into_iter()
        .filter(|shown| shown.source != Source::BuiltIn && shown.key != "model")
        .map(|shown| format!("{} = {} ({})", shown.key, shown.value, shown.source))
        .collect();
    let model = match &resolved.model {
        ModelChoice::Chosen(model) => format!("{} ({})", model.value, model.source),
        ModelChoice::NotChosen(error) => error.to_string(),
    };
    let withheld: Vec<_> = resolved.withheld.iter().map(ToString::to_string).collect();
    let trust = resolved.project.as_ref().map(|project| project.trust);
    let found = json!({ "model": model, "values": values, "withheld": withheld, "project": trust });
    format!("{}\n", serde_json::to_string_pretty(&found).unwrap())
}

#[test]
fn every_case_resolves_to_what_is_expected() {
    let mut differences = Vec::new();
    for case in entries("cases") {
        let state = tempfile::tempdir().unwrap();
        let file = |name: &str| Some(case.join(name)).filter(|path| path.exists());
        let files =
            ConfigFiles { machine: file("machine.toml"), user: file("user.toml"), project: file("project.toml") };
        let settings = file("settings.toml")
            .map(|path| toml::from_str(&fs::read_to_string(path).unwrap()).unwrap())
            .unwrap_or_default();
        let (name, found) = match run(&files, settings, state.path()) {
            Ok(resolved) => ("expected.json", render(&resolved)),
            Err(problems) => ("expected-error.txt", problems),
        };
        let found = found.replace(&format!("{}/", case.display()), "");
        differences.extend(compare(&case.join(name), &found));
        let other = if name == "expected.json" { "expected-error.txt" } else { "expected.json" };
        if case.join(other).exists() {
            differences.push(format!("{} has {other}, but gave\n{found}", case.display()));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

fn rendered(list: &ComponentList) -> Vec<serde_json::Value> {
    let rendered = list.components.iter().map(|component| {
        let written = &component.written;
        let grants: Vec<_> =
            component.grants.iter().map(|grant| format!("{}: {}", component.place_of(grant), grant.text)).collect();
        json!({
            "name": written.name, "line": component.line, "digest": written.digest, "bytes": written.bytes,
            "pinned": written.pinned, "category": written.category, "grants": grants, "limits": written.limits,
        })
    });
    rendered.collect()
}

#[test]
fn every_list_of_components_is_read_as_expected() {
    let mut differences = Vec::new();
    for case in entries("components") {
        let state = tempfile::tempdir().unwrap();
        let (user, project) = (case.join("user.toml"), case.join("project.toml"));
        let mut trust = TrustStore::empty(state.path());
        if case.join("trusted").exists() {
            trust.add(&project, &ConfigDigest::of(&fs::read(&project).unwrap())).unwrap();
        }
        let places = ComponentPlaces { user, user_binaries: "b".into(), project: Some((project, "p".into())) };
        let (name, found) = match read_components(&places, &trust) {
            Ok(lists) => {
                let withheld: Vec<_> = lists.withheld.iter().map(ToString::to_string).collect();
                let project = lists.project_file.as_ref().map(|project| project.trust);
                let found = json!({
                    "user": rendered(&lists.user), "project": rendered(&lists.project), "trust": project,
                    "withheld": withheld,
                });
                ("expected.json", format!("{}\n", serde_json::to_string_pretty(&found).unwrap()))
            }
            Err(problems) => ("expected-error.txt", format!("{problems}\n")),
        };
        differences.extend(compare(&case.join(name), &found.replace(&format!("{}/", case.display()), "")));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

#[test]
fn every_invalid_file_is_refused_for_the_reason_in_its_name() {
    let mut differences = Vec::new();
    for path in entries("invalid") {
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let files = ConfigFiles { user: Some(path.clone()), ..ConfigFiles::default() };
        let found = match run(&files, Settings::default(), Path::new("/nowhere")) {
            Ok(_) => "accepted\n".to_owned(),
            Err(problems) => problems.replace(&format!("{}/", path.parent().unwrap().display()), ""),
        };
        assert_ne!(found, "accepted\n", "{}", path.display());
        differences.extend(compare(&path.with_extension("txt"), &found));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

#[test]
fn the_schema_is_the_one_that_was_checked_in() {
    let found = format!("{}\n", serde_json::to_string_pretty(&json_schema()).unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.schema.json");
    assert_eq!(compare(&path, &found), None);
}

#[test]
fn a_file_over_the_cap_or_not_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let big = folder.path().join("big.toml");
    fs::write(&big, "# ".repeat(harness_config::CONFIG_FILE_BYTES_MAX)).unwrap();
    let files = ConfigFiles {
        machine: Some(folder.path().to_owned()),
        user: Some(big),
        project: Some(folder.path().join("absent.toml")),
    };
    let problems = run(&files, Settings::default(), folder.path()).unwrap_err();
    let problems = problems.replace(&folder.path().display().to_string(), "");
    assert_eq!(problems, ": is not a regular file\n/big.toml: is larger than 1048576 bytes\n");
}

#[test]
fn one_file_that_is_the_users_and_the_projects_is_the_users() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, "approve = \"all\"").unwrap();
    let files = ConfigFiles { machine: None, user: Some(path.clone()), project: Some(path.clone()) };
    let resolved = run(&files, Settings::default(), folder.path()).unwrap();
    assert_eq!(resolved.approve.source, Source::User(path));
    assert_eq!(resolved.project, None);
}

#[test]
fn no_key_is_part_of_a_resolved_configuration() {
    let settings: Settings = toml::from_str("environment = { ANTHROPIC_API_KEY = \"sk-secret\" }").unwrap();
    let resolved = run(&ConfigFiles::default(), settings, Path::new("/nowhere")).unwrap();
    assert!(!format!("{resolved:?}").contains("sk-secret"));
    assert!(!serde_json::to_string(&show(&resolved)).unwrap().contains("sk-secret"));
}
