//! The hands of a session with the built-in tools: listing, calling, staging, putting, loading.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use async_trait::async_trait;
use harness_core::event::{ApplyResult, Changes};
use harness_core::{CallId, Change, Digest, FileState, Manifest, Outcome};
use harness_engine::ports::{Blob, Blobs, Hands, StoreError};
use harness_wasm::filesystem::Base;
use harness_wasm::{CacheSettings, CallLimits, ComponentHands, HandsSettings, Progress, Runtime, RuntimeSettings};
use std::path::Path;
use std::sync::{Arc, Mutex};

struct Kept(Vec<Blob>);

#[async_trait]
impl Blobs for Kept {
    async fn get(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, StoreError> {
        Ok(self.0.iter().find(|blob| blob.digest == digest).map(|blob| blob.bytes.clone()))
    }
}

/// A runtime with a cache under `root`, and the names of what it compiled.
fn runtime(root: &Path) -> (Arc<Runtime>, Arc<Mutex<Vec<String>>>) {
    let compiled = Arc::<Mutex<Vec<String>>>::default();
    let sink = compiled.clone();
    let cache = CacheSettings {
        folder: root.join("cache"),
        key_file: root.join("state/component-cache.key"),
        bytes_max: harness_wasm::CACHE_BYTES_MAX_DEFAULT,
    };
    let progress: harness_wasm::ProgressSink = Arc::new(move |progress| {
        if let Progress::Compiling { name } = progress {
            sink.lock().unwrap().push(name);
        }
    });
    let settings =
        RuntimeSettings { threads: 2, cache: Some(cache), progress: Some(progress), ..RuntimeSettings::default() };
    (Arc::new(Runtime::new(settings)), compiled)
}

#[tokio::test]
async fn tools_are_listed_without_compiling_and_called_with_one_compilation() {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(work.path().join("a.txt"), "hello\n").unwrap();
    let (runtime, compiled) = runtime(root.path());
    let components = [support::built_in("read_file"), support::built_in("list_dir")];
    let hands = Arc::new(support::hands(&runtime, work.path(), &components));
    let names: Vec<_> = hands.tools().into_iter().map(|tool| tool.name).collect();
    assert_eq!(names, ["read_file", "list_dir"]);
    assert!(hands.tools().iter().all(|tool| tool.implementation.starts_with("sha256:")));
    assert!(compiled.lock().unwrap().is_empty());
    assert!(!root.path().join("cache").exists(), "nothing is started before the first call");

    let calls = (0..8).map(|_| {
        let hands = hands.clone();
        tokio::spawn(async move { support::call(&hands, "read_file", r#"{"path":"a.txt"}"#).await })
    });
    for call in calls.collect::<Vec<_>>() {
        let report = call.await.unwrap();
        assert!(report.outcome.model_text(&[]).contains("hello"), "{:?}", report.outcome);
        assert!(report.usage.fuel > 0 && report.usage.memory_bytes > 0, "{:?}", report.usage);
        assert_eq!(report.changes, Changes::None);
    }
    assert_eq!(*compiled.lock().unwrap(), ["read_file"]);
    let unknown = support::call(&hands, "rm", "{}").await;
    assert!(matches!(unknown.outcome, Outcome::Failed { code, .. } if code == "unknown-tool"));
}

#[tokio::test]
async fn preparing_compiles_all_before_the_first_call() {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (runtime, compiled) = runtime(root.path());
    let components = [support::built_in("read_file"), support::built_in("list_dir")];
    let hands = support::hands(&runtime, work.path(), &components);
    hands.prepare().await.unwrap();
    assert_eq!(*compiled.lock().unwrap(), ["read_file", "list_dir"]);
    assert!(support::call(&hands, "list_dir", "{}").await.outcome.is_success());
    assert_eq!(compiled.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn the_cache_spares_compiling_unless_it_was_touched() {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let used =
        |folder: &Path| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let run = async || {
        let (runtime, compiled) = runtime(root.path());
        let hands = support::hands(&runtime, work.path(), &[support::built_in("list_dir")]);
        assert!(support::call(&hands, "list_dir", "{}").await.outcome.is_success());
        compiled.lock().unwrap().len()
    };
    assert_eq!(run().await, 1);
    assert_eq!(run().await, 0, "from the cache");
    let files = used(&root.path().join("cache"));
    assert_eq!(files.len(), 1);
    let good = std::fs::read(&files[0]).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    std::fs::write(&files[0], &bad).unwrap();
    assert_eq!(run().await, 1, "damaged: compiled again");
    assert_eq!(run().await, 0, "and replaced");
    std::fs::remove_file(root.path().join("state/component-cache.key")).unwrap();
    assert_eq!(run().await, 1, "another key: the entry is foreign");
}

#[tokio::test]
async fn changes_are_staged_then_put_in_place() {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (runtime, _) = runtime(root.path());
    let hands = support::hands(&runtime, work.path(), &[support::built_in("write_file")]);
    let report = support::call(&hands, "write_file", r#"{"path":"new/a.txt","content":"hello"}"#).await;
    let Changes::Staged { manifest } = report.changes else { panic!("{:?}", report.outcome) };
    assert!(!work.path().join("new").exists(), "only staged");
    let contents = Kept(report.contents);
    for _ in 0..2 {
        assert_eq!(hands.put(CallId::from_bits(1), &manifest, &contents).await, ApplyResult::Applied);
        assert_eq!(std::fs::read_to_string(work.path().join("new/a.txt")).unwrap(), "hello");
    }
}

#[tokio::test]
async fn a_failed_or_limited_call_stages_nothing() {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (runtime, _) = runtime(root.path());
    let hands = support::hands(&runtime, work.path(), &[support::built_in("write_file")])
        .lowered_to(&CallLimits { staged_bytes: 4, ..CallLimits::DEFAULT });
    let report = support::call(&hands, "write_file", r#"{"path":"a.txt","content":"hello"}"#).await;
    let over = Outcome::OverLimit { limit: harness_core::outcome::LimitName::StagedBytes, maximum: 4 };
    assert_eq!((report.outcome, report.changes), (over, Changes::None));
    let report = support::call(&hands, "write_file", r#"{"path":"../a.txt","content":""}"#).await;
    assert!(matches!(report.outcome, Outcome::Failed { .. }), "{:?}", report.outcome);
    assert_eq!(report.changes, Changes::None);
}

#[tokio::test]
async fn fuel_is_the_same_for_the_same_call() {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(work.path().join("a.txt"), "hello\n").unwrap();
    let (runtime, _) = runtime(root.path());
    let hands = support::hands(&runtime, work.path(), &[support::built_in("read_file")]);
    let mut fuel = Vec::new();
    for _ in 0..5 {
        fuel.push(support::call(&hands, "read_file", r#"{"path":"a.txt"}"#).await.usage.fuel);
    }
    assert!(fuel.iter().all(|used| *used == fuel[0] && *used > 0), "{fuel:?}");
}

#[test]
fn two_components_with_one_tool_are_refused() {
    let work = tempfile::tempdir().unwrap();
    let runtime = Arc::new(Runtime::new(RuntimeSettings::default()));
    let base = Arc::new(harness_wasm::filesystem::Base::open(work.path(), &[]).unwrap());
    let twice = vec![support::built_in("list_dir"), support::built_in("list_dir")];
    let Err(error) = ComponentHands::new(runtime, base, twice, HandsSettings::default()) else { panic!("accepted") };
    assert_eq!(error.tool, "list_dir");
}

#[tokio::test]
async fn a_put_that_somebody_overtook_after_a_crash_is_taken_back_whole() {
    let (root, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let base = Arc::new(Base::open(work.path(), &[]).unwrap());
    let hands = ComponentHands::new(runtime(root.path()).0, base, Vec::new(), HandsSettings::default()).unwrap();
    let call = CallId::from_bits(7);
    let blob = |text: &str| Blob::new(text.as_bytes().to_vec());
    let state =
        |blob: &Blob| Some(FileState::File { digest: blob.digest, bytes: blob.bytes.len() as u64, executable: false });
    let kept = Kept(vec![blob("a1"), blob("a2"), blob("b1"), blob("b2")]);
    let change = |path: &str, before: &Blob, after: &Blob| Change {
        path: path.to_owned(),
        before: state(before),
        after: state(after),
    };
    let manifest = Manifest::new(vec![change("a", &kept.0[0], &kept.0[1]), change("b", &kept.0[2], &kept.0[3])]);
    // As a killed run leaves it: the marker, the first file in place; and the second is somebody else's now.
    std::fs::write(work.path().join(format!(".harness-host-{call}-run")), "").unwrap();
    std::fs::write(work.path().join("a"), "a2").unwrap();
    std::fs::write(work.path().join("b"), "foreign").unwrap();
    let result = hands.put(call, &manifest, &kept).await;
    assert_eq!(result, ApplyResult::Conflict { paths: vec!["b".to_owned()] });
    let content = |name: &str| std::fs::read_to_string(work.path().join(name)).unwrap();
    assert_eq!((content("a").as_str(), content("b").as_str()), ("a1", "foreign"));
    assert_eq!(std::fs::read_dir(work.path()).unwrap().count(), 2, "nothing of the run is left");
}
