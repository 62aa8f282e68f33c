//! Every folder of `scenarios/`, against the real program and a real server.
//!
//! `BLESS=1` writes what is expected anew; `SCENARIO=text` runs only those whose names hold the text.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_tests::scenario;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Scenarios that run at once: most of their time is waiting.
const AT_ONCE: usize = 3;

#[test]
fn every_scenario_comes_out_as_expected() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let only = std::env::var("SCENARIO").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|folder| folder.file_name().unwrap().to_string_lossy().contains(&only));
    folders.sort();
    assert!(!folders.is_empty(), "no scenario is called so");
    let bless = std::env::var_os("BLESS").is_some();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(folder) = folders.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
                    if let Err(problems) = scenario::run(folder, runtime.handle(), bless) {
                        failed.lock().unwrap().push(format!("== {name}\n{problems}\n"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} scenarios failed:\n{}", failed.len(), folders.len(), failed.join("\n"));
    println!("{} scenarios", folders.len());
}
