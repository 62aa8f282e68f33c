//! What `harness-host component new` gives in each language, built from source by `tests/guests/build-examples`: read,
//! asked for its tools where it declares none, and called.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use harness_core::Outcome;
use harness_core::event::Changes;
use harness_core::outcome::Part;
use harness_wasm::{
    CACHE_BYTES_MAX_DEFAULT, CacheSettings, CallLimits, Component, ComponentSource, Kind, Runtime, RuntimeSettings,
};
use std::path::Path;
use std::sync::Arc;

/// Languages, and how their components are called.
const EXAMPLES: &[(&str, Kind)] =
    &[("rust", Kind::Tool), ("python", Kind::Tool), ("js", Kind::Tool), ("c", Kind::Plain)];

/// CPython as `components/python/build` makes it.
fn python() -> ComponentSource {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/python/python.wasm");
    let path = std::env::var_os("HARNESS_TESTS_PYTHON").map_or(default, std::path::PathBuf::from);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}: run components/python/build target/python", path.display());
    });
    ComponentSource { name: "python".to_owned(), bytes: bytes.into() }
}

fn source(language: &str) -> ComponentSource {
    let file = format!("../../tests/guests/dist/word-count-{language}.wasm");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}: run tests/guests/build-examples", path.display());
    });
    ComponentSource { name: format!("word-count-{language}"), bytes: bytes.into() }
}

/// One cache for all runs of the tests: CPython and SpiderMonkey take long to compile.
fn runtime() -> Arc<Runtime> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let cache = CacheSettings {
        folder: folder.join("examples-compiled"),
        key_file: folder.join("examples.key"),
        bytes_max: CACHE_BYTES_MAX_DEFAULT,
    };
    Arc::new(Runtime::new(RuntimeSettings { cache: Some(cache), ..RuntimeSettings::default() }))
}

#[tokio::test]
async fn an_example_of_each_language_counts_words() {
    let runtime = runtime();
    let workspace = tempfile::tempdir().unwrap();
    for (language, kind) in EXAMPLES {
        let mut component = Component::read(source(language)).unwrap();
        assert_eq!(component.kind(), *kind, "{language}");
        if component.needs_describing() {
            let json = runtime.describe(&component).await.unwrap();
            component = Component::read_described(source(language), CallLimits::DEFAULT, &json).unwrap();
        }
        let tools: Vec<_> = component.tools().iter().map(|tool| (tool.name.as_str(), &*tool.description)).collect();
        assert_eq!(tools, [("word_count", "Counts the lines, words and bytes of a text.")], "{language}");
        assert!(component.has_manifest() && component.ceiling().is_empty(), "{language}: it asks for nothing");
        runtime.load(&component).await.unwrap();
        let hands = support::hands(&runtime, workspace.path(), &[component]);
        let report = support::call(&hands, "word_count", r#"{"text":"one two\nthree"}"#).await;
        let Outcome::Returned { parts } = report.outcome else { panic!("{language}: {:?}", report.outcome) };
        let [Part::Json { json }] = parts.as_slice() else { panic!("{language}: {parts:?}") };
        let found: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(found, serde_json::json!({"lines": 2, "words": 3, "bytes": 13}), "{language}");
    }
}

#[tokio::test]
async fn the_python_tool_is_cpython_over_the_workspace() {
    let runtime = runtime();
    let workspace = tempfile::tempdir().unwrap();
    std::fs::write(workspace.path().join("numbers.csv"), "n\n1\n2\n39\n").unwrap();
    let component = Component::read(python()).unwrap();
    runtime.load(&component).await.unwrap();
    let hands = support::hands(&runtime, workspace.path(), &[component]);
    let run = async |code: &str| {
        let arguments = serde_json::json!({ "code": code }).to_string();
        support::call(&hands, "python", &arguments).await
    };
    let sum =
        run("import csv\nprint('reading')\nsum(int(row['n']) for row in csv.DictReader(open('numbers.csv')))").await;
    let text = sum.outcome.model_text(&[]);
    assert!(sum.outcome.is_success() && text.contains("reading") && text.contains("42"), "{text}");
    let written = run("open('out.txt', 'w').write('hello')").await;
    let Changes::Staged { manifest } = &written.changes else { panic!("{:?}", written.outcome) };
    assert_eq!(manifest.entries().iter().map(|it| it.path.as_str()).collect::<Vec<_>>(), ["out.txt"]);
    for (code, words) in
        [("1/0", "ZeroDivisionError"), ("import socket\nsocket.create_connection(('127.0.0.1', 9))", "Traceback")]
    {
        let report = run(code).await;
        let text = report.outcome.model_text(&[]);
        assert!(!report.outcome.is_success() && text.contains(words), "{code}: {text}");
        assert_eq!(report.changes, Changes::None);
    }
    let endless = run("while True: pass").await;
    assert!(matches!(endless.outcome, Outcome::OverLimit { .. }), "{:?}", endless.outcome);
}
