//! Log, progress, environment, limits.

use crate::lab::{Lab, assert_over, log, returned};
use harness_core::outcome::LimitName;
use serde_json::json;

#[tokio::test]
async fn notes_and_streams_become_the_calls_log() {
    let lab = Lab::new();
    let report =
        lab.call("note", json!({ "words": "hel\u{202e}lo", "out": "printed", "err": "\u{1b}[31mred" }), &[]).await;
    assert_eq!(returned(&report), "noted");
    let expected = "[notes]\ninfo: hello 0\n[standard output]\nprinted\n[standard error]\nred\n";
    assert_eq!(log(&report).as_deref(), Some(expected));

    let quiet = lab.call("env", json!({}), &[]).await;
    assert_eq!((log(&quiet), quiet.contents.len()), (None, 0));

    let flood = json!({ "words": "x".repeat(100), "times": 10_000 });
    let report = lab.call("note", flood, &["limit log-bytes 1000"]).await;
    let kept = log(&report).unwrap();
    assert!(kept.len() < 1_100 && kept.contains("older bytes were dropped") && kept.ends_with("x 9999\n"), "{kept}");

    let report = lab.call("fail", json!({}), &[]).await;
    assert_eq!((log(&report), report.outcome.word()), (None, "failed"));
}

#[tokio::test]
async fn progress_is_clean_short_and_thinned() {
    let lab = Lab::new();
    let words = format!("\u{1b}[2Jline\nline {}", "y".repeat(1_000));
    let report = lab.call("report", json!({ "words": words, "times": 2_000 }), &[]).await;
    assert_eq!(returned(&report), "reported");
    let told = lab.progress.lock().unwrap();
    assert!(told.len() < 200, "{}", told.len());
    assert_eq!(told.first().unwrap().done_permille, Some(1));
    let last = told.last().unwrap();
    assert_eq!((last.done_permille, last.words.chars().count()), (Some(1_000), 120));
    assert!(last.words.starts_with("line line yyy"), "{}", last.words);
}

#[tokio::test]
async fn the_environment_is_what_was_granted() {
    let lab = Lab::new();
    assert_eq!(returned(&lab.call("env", json!({}), &[]).await), "(no output)");
    let granted = &["env LANGUAGE=en GB", "env EMPTY=", "env NAMED"];
    assert_eq!(returned(&lab.call("env", json!({}), granted).await), "LANGUAGE=en GB;EMPTY=");
}

#[tokio::test]
async fn a_granted_limit_lowers_the_calls() {
    let lab = Lab::new();
    assert_over(&lab.call("env", json!({}), &["limit fuel 1000"]).await, LimitName::Fuel, 1_000);
    assert_over(&lab.call("env", json!({}), &["limit argument-bytes 1"]).await, LimitName::ArgumentBytes, 1);
    let slow = json!({ "pause_ms": 5_000 });
    assert_over(&lab.call("clock", slow, &["limit deadline-ms 50"]).await, LimitName::DeadlineMs, 50);
    assert_over(&lab.call("chance", json!({}), &["limit output-bytes 10"]).await, LimitName::OutputBytes, 10);
    assert!(lab.call("env", json!({}), &["limit fuel 99999999999999"]).await.outcome.is_success());
}
