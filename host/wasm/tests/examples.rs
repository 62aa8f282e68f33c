//! What `harness-host component new` gives in each language, built from source by `tests/guests/build-examples`: read,
//! asked for its tools where it declares none, and called.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use harness_core::Outcome;
use harness_core::outcome::Part;
use harness_wasm::{
    CACHE_BYTES_MAX_DEFAULT, CacheSettings, CallLimits, Component, ComponentSource, Kind, Runtime, RuntimeSettings,
};
use std::path::Path;
use std::sync::Arc;

/// Languages, and how their components are called.
const EXAMPLES: &[(&str, Kind)] =
    &[("rust", Kind::Tool), ("python", Kind::Tool), ("js", Kind::Tool), ("c", Kind::Plain)];

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
        runtime.load(&component).await.unwrap();
        let hands = support::hands(&runtime, workspace.path(), &[component]);
        let report = support::call(&hands, "word_count", r#"{"text":"one two\nthree"}"#).await;
        let Outcome::Returned { parts } = report.outcome else { panic!("{language}: {:?}", report.outcome) };
        let [Part::Json { json }] = parts.as_slice() else { panic!("{language}: {parts:?}") };
        let found: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(found, serde_json::json!({"lines": 2, "words": 3, "bytes": 13}), "{language}");
    }
}
