//! The architecture's rules, checked against the tree itself: who may depend on whom, what the core may
//! not touch, and the form of every file.
//!
//! Promise: each rule finds a violating sample, so that a rule that finds nothing means something.
//!
//! Not here: what the compiler and clippy check.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Which crates of ours a crate may depend on, tests aside. Dependencies point inward only.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("harness-core", &[]),
    ("harness-config", &["harness-core"]),
    ("harness-engine", &["harness-core"]),
    ("harness-store", &["harness-core", "harness-engine"]),
    ("harness-wasm", &["harness-core", "harness-egress", "harness-engine"]),
    ("harness-model", &["harness-core", "harness-engine"]),
    ("harness-egress", &["harness-core"]),
    ("harness-sim", &["harness-core", "harness-engine"]),
    (
        "harness-host",
        &[
            "harness-config",
            "harness-core",
            "harness-egress",
            "harness-engine",
            "harness-model",
            "harness-store",
            "harness-wasm",
        ],
    ),
    (
        "harness-tests",
        &[
            "harness-config",
            "harness-core",
            "harness-engine",
            "harness-host",
            "harness-model",
            "harness-sim",
            "harness-store",
            "harness-wasm",
        ],
    ),
];

/// Libraries that only some crates may use, by the beginning of their names. The tests may use all.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("wasmtime", &["harness-wasm"]),
    ("reqwest", &["harness-model"]),
    ("hyper", &["harness-model", "harness-egress"]),
    ("rustls", &["harness-model", "harness-egress"]),
    ("rusqlite", &["harness-store"]),
    (
        "tokio",
        &[
            "harness-egress",
            "harness-engine",
            "harness-host",
            "harness-model",
            "harness-sim",
            "harness-store",
            "harness-wasm",
        ],
    ),
    ("tracing", &["harness-engine", "harness-store", "harness-wasm", "harness-model", "harness-host"]),
];

/// What the core may not touch: time, randomness, files, network, output, and waiting for any of them.
const NOT_IN_CORE: &[&str] = &[
    "tokio",
    "async fn",
    "async move",
    ".await",
    "SystemTime",
    "Instant",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "println!",
    "eprintln!",
    "dbg!",
    "getrandom",
    "HashMap",
    "HashSet",
];

/// What opens sockets: only the model and the egress do, and fakes that stand in for providers.
const SOCKETS: &[&str] = &["TcpStream", "TcpListener", "UdpSocket", "UnixStream", "UnixListener"];
/// Where sockets may be opened, by a part of the path.
const SOCKETS_IN: &[&str] = &["host/egress/", "host/model/", "host/sim/", "tests/", "/tests.rs"];

/// Words that say nothing in a type's name; the last one only where it is the whole name.
const EMPTY_WORDS: &[&str] = &["Manager", "Helper", "Helpers", "Util", "Utils", "Common", "Data", "Info", "Service"];
const EMPTY_NAME: &str = "Handler";

/// Marks of unfinished work. Split, so that this file does not hold them.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("todo", "!(")];
/// A test that does not run.
const IGNORED: &[&str] = &[concat!("#[ign", "ore"), concat!("ign", "ore = \"")];
/// Lines of one file.
const FILE_LINES_MAX: usize = 800;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Files of ours under a folder, as paths relative to the root.
fn files(folder: &str, is_wanted: fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && name != "node_modules" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if is_wanted(&path) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// What is wrong with a crate's manifest.
fn check_manifest(text: &str) -> Vec<String> {
    let manifest: toml::Table = text.parse().unwrap();
    let Some(name) = manifest.get("package").and_then(|package| package["name"].as_str()) else { return Vec::new() };
    let may = MAY_DEPEND_ON.iter().find(|(crate_name, _)| *crate_name == name);
    let Some((_, may)) = may else { return vec![format!("{name} is not in the table of dependencies")] };
    let mut wrong = Vec::new();
    for dependency in dependencies(&manifest) {
        let ours = dependency.starts_with("harness-");
        if ours && !may.contains(&dependency.as_str()) {
            wrong.push(format!("{name} may not depend on {dependency}"));
        }
        let restricted = ONLY_IN.iter().find(|(library, _)| dependency.starts_with(library));
        if let Some((_, only)) = restricted
            && name != "harness-tests"
            && !only.contains(&name)
        {
            wrong.push(format!("{name} may not use {dependency}"));
        }
    }
    wrong
}

/// Every dependency but those of tests, also for one platform and of build scripts.
fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let platforms = manifest.get("target").and_then(toml::Value::as_table);
    let tables = platforms.iter().flat_map(|table| table.values()).filter_map(toml::Value::as_table);
    for table in tables.chain([manifest]) {
        for section in ["dependencies", "build-dependencies"] {
            let Some(section) = table.get(section).and_then(toml::Value::as_table) else { continue };
            for (name, value) in section {
                let renamed = value.get("package").and_then(toml::Value::as_str);
                names.insert(renamed.unwrap_or(name).to_owned());
            }
        }
    }
    names
}

/// What is wrong with a source file.
fn check_source(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut say = |line: usize, what: String| wrong.push(format!("{path}:{}: {what}", line + 1));
    if !text.trim_start_matches(|c: char| c.is_whitespace()).starts_with("//!") {
        say(0, "does not open with its purpose (`//!`)".to_owned());
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        say(lines, format!("has {lines} lines, at most {FILE_LINES_MAX}"));
    }
    for (number, line) in text.lines().enumerate() {
        if let Some(mark) = UNFINISHED.iter().find(|mark| has_word(line, mark)) {
            say(number, format!("unfinished: {mark}"));
        }
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        if IGNORED.iter().any(|mark| code.starts_with(mark)) {
            say(number, "a test that does not run".to_owned());
        }
        // An associated type has the name that its trait gives it.
        let is_associated = code.len() < line.len() && code.starts_with("type ");
        if let Some(name) = type_name(code).filter(|_| !is_associated) {
            let empty = words_of(name).into_iter().find(|word| EMPTY_WORDS.contains(&word.as_str()));
            if empty.is_some() || name == EMPTY_NAME {
                say(number, format!("`{name}` says nothing: {}", empty.unwrap_or_else(|| name.to_owned())));
            }
        }
        if path.starts_with("host/core/src/") {
            for forbidden in NOT_IN_CORE.iter().filter(|word| has_word(line, word)) {
                say(number, format!("{forbidden} in the core"));
            }
        }
        if !SOCKETS_IN.iter().any(|part| path.contains(part)) {
            for socket in SOCKETS.iter().filter(|word| has_word(line, word)) {
                say(number, format!("{socket} outside of the model"));
            }
        }
    }
    wrong
}

/// Whether a text has a word that no letter or digit goes on with.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let (opens, closes) = (is_part(word.chars().next()), is_part(word.chars().last()));
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + word.len()..].chars().next());
        !(opens && is_part(before) || closes && is_part(after))
    })
}

/// The name of the type that a line of code declares.
fn type_name(code: &str) -> Option<&str> {
    let mut words = code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    let keyword = words.find(|word| !["pub", "crate", "super", "in", "unsafe", "auto"].contains(word))?;
    if !["struct", "enum", "trait", "type", "union"].contains(&keyword) {
        return None;
    }
    words.next()
}

/// The words of a name in camel case.
fn words_of(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for c in name.chars() {
        match words.last_mut() {
            Some(word) if !c.is_uppercase() => word.push(c),
            _ => words.push(c.to_string()),
        }
    }
    words
}

fn all_of(checked: impl Iterator<Item = Vec<String>>) -> String {
    checked.flatten().map(|line| format!("{line}\n")).collect()
}

#[test]
fn dependencies_point_inward() {
    // A template's is another project's.
    let is_manifest = |path: &Path| path.ends_with("Cargo.toml") && !path.iter().any(|part| part == "templates");
    let mut manifests = files("host", is_manifest);
    manifests.push(PathBuf::from("tests/Cargo.toml"));
    assert_eq!(manifests.len(), MAY_DEPEND_ON.len(), "every crate is in the table: {manifests:?}");
    let wrong =
        all_of(manifests.iter().map(|path| check_manifest(&std::fs::read_to_string(root().join(path)).unwrap())));
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_file_keeps_its_form() {
    let is_source = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
    let sources: Vec<PathBuf> =
        ["host", "tests", "components"].into_iter().flat_map(|folder| files(folder, is_source)).collect();
    assert!(sources.len() > 100, "the tree was not found: {}", sources.len());
    let check =
        |path: &PathBuf| check_source(&path.to_string_lossy(), &std::fs::read_to_string(root().join(path)).unwrap());
    let wrong = all_of(sources.iter().map(check));
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn violating_manifests_are_found() {
    let manifest = |name: &str, rest: &str| check_manifest(&format!("[package]\nname = \"{name}\"\n{rest}"));
    let engine = "harness-engine.workspace = true";
    for (name, rest, found) in [
        ("harness-core", format!("[dependencies]\n{engine}"), "harness-core may not depend on harness-engine"),
        ("harness-wasm", "[dependencies.harness-store]\npath = \"x\"".into(), "may not depend on harness-store"),
        ("harness-host", "[dependencies]\nharness-sim = \"1\"".into(), "may not depend on harness-sim"),
        ("harness-engine", "[dependencies]\nwasmtime-wasi = \"48\"".into(), "may not use wasmtime-wasi"),
        ("harness-core", "[dependencies]\ntokio = \"1\"".into(), "may not use tokio"),
        ("harness-store", "[target.'cfg(unix)'.dependencies]\nreqwest = \"1\"".into(), "may not use reqwest"),
        ("harness-model", "[build-dependencies]\nx = { package = \"wasmtime\" }".into(), "may not use wasmtime"),
        ("harness-new", String::new(), "is not in the table"),
    ] {
        let wrong = manifest(name, &rest);
        assert!(wrong.len() == 1 && wrong[0].contains(found), "{name} {rest}: {wrong:?}");
    }
    for (name, rest) in [
        ("harness-engine", "[dependencies]\nharness-core = \"1\"\n[dev-dependencies]\nharness-sim = \"1\""),
        ("harness-wasm", "[dependencies]\nwasmtime = \"48\""),
        ("harness-tests", "[dependencies]\nharness-sim = \"1\"\nwasmtime = \"48\"\nhyper = \"1\""),
    ] {
        assert_eq!(manifest(name, rest), Vec::<String>::new());
    }
}

#[test]
fn violating_sources_are_found() {
    let core = "host/core/src/x.rs";
    let long = format!("//! x\n{}", "\n".repeat(FILE_LINES_MAX));
    for (path, text, found) in [
        ("host/cli/src/x.rs", "use std::fmt;\n".to_owned(), "does not open"),
        ("host/cli/src/x.rs", long, "has 801 lines"),
        ("tests/x.rs", format!("//! x\n// {}: later", UNFINISHED[0]), "x.rs:2: unfinished"),
        ("tests/x.rs", format!("//! x\n{}]\nfn f() {{}}", IGNORED[0]), "a test that does not run"),
        ("tests/x.rs", format!("//! x\n{} = \"slow\"]", IGNORED[0]), "a test that does not run"),
        ("host/cli/src/x.rs", "//! x\npub(crate) struct SessionManager;".to_owned(), "`SessionManager` says nothing"),
        ("host/cli/src/x.rs", "//! x\ntype UserData<T> = Vec<T>;".to_owned(), "`UserData` says nothing"),
        ("host/cli/src/x.rs", "//! x\npub enum Handler { A }".to_owned(), "`Handler` says nothing"),
        (core, "//! x\nuse std::time::{Duration, Instant};".to_owned(), "Instant in the core"),
        (core, "//! x\npub async fn f() {}".to_owned(), "async fn in the core"),
        (core, "//! x\n    println!(\"x\");".to_owned(), "println! in the core"),
        (core, "//! x\nlet x = f().await;".to_owned(), ".await in the core"),
        ("host/engine/src/x.rs", "//! x\nuse tokio::net::TcpStream;".to_owned(), "TcpStream outside of the model"),
    ] {
        let wrong = check_source(path, &text);
        assert!(wrong.len() == 1 && wrong[0].contains(found), "{text:?}: {wrong:?}");
    }
    for (path, text) in [
        ("host/engine/src/x.rs", "//! x\nuse std::time::Instant;\npub struct Metadata;\ntrait InputHandler {}"),
        (core, "//! An Instant is not here.\n// No println! either.\nfn instantiate_tokio_like() {}"),
        ("host/model/src/x.rs", "//! x\nuse tokio::net::TcpStream;\nlet information = database;"),
        ("host/model/src/x.rs", "//! x\nimpl Body for X {\n    type Data = Bytes;\n}"),
        ("host/wasm/src/filesystem/tests/x.rs", "//! x\nUnixListener::bind(\"a socket file\");"),
    ] {
        assert_eq!(check_source(path, text), Vec::<String>::new());
    }
}
