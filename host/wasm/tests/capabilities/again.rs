//! Running a call again with what it was told of time and chance.

use crate::lab::{Lab, log, returned};
use harness_core::Outcome;
use harness_core::record::{CLOCK_READINGS_MAX, Inputs};
use harness_engine::ports::Hands;
use serde_json::json;
use std::time::{Duration, Instant};

const WRITE: &[&str] = &["filesystem write /workspace"];

#[tokio::test]
async fn a_call_run_again_comes_to_the_same() {
    let lab = Lab::new();
    let arguments = json!({ "path": "/workspace/sub/new.txt", "times": 5, "pause_ms": 20 });
    let request = || lab.request("mix", &arguments, WRITE);
    let first = lab.hands.execute(request()).await;
    let told = returned(&first);
    let inputs = first.record.inputs.clone().unwrap();
    assert!(inputs.is_complete && inputs.clock_steps_ms.iter().sum::<u32>() >= 100, "{inputs:?}");
    for _ in 0..2 {
        let again = lab.hands.execute_again(request(), &inputs).await;
        assert_eq!(returned(&again), told);
        assert_eq!((&again.changes, &again.contents), (&first.changes, &first.contents));
        assert_eq!(again.usage.fuel, first.usage.fuel);
        assert_eq!(again.record, first.record);
    }
    let other = lab.hands.execute(request()).await;
    assert_ne!(returned(&other), told);
}

#[tokio::test]
async fn a_call_run_again_sleeps_for_nothing() {
    let lab = Lab::new();
    let inputs = Inputs { is_complete: true, ..lab.call("env", json!({}), &[]).await.record.inputs.unwrap() };
    let began = Instant::now();
    let long = lab.request("clock", &json!({ "pause_ms": 20_000 }), &[]);
    assert!(lab.hands.execute_again(long, &inputs).await.outcome.is_success());
    assert!(began.elapsed() < Duration::from_millis(20_000));
}

#[tokio::test]
async fn what_cannot_be_run_again_the_same_is_said_to_be_that() {
    let lab = Lab::new();
    let many = json!({ "times": CLOCK_READINGS_MAX + 10 });
    let report = lab.call("clock", many, &[]).await;
    let inputs = report.record.inputs.unwrap();
    assert!(!inputs.is_complete && inputs.clock_steps_ms.len() == CLOCK_READINGS_MAX);
    let late = lab.call("clock", json!({ "pause_ms": 5_000 }), &["limit deadline-ms 50"]).await;
    assert!(!late.record.inputs.as_ref().unwrap().is_complete, "{late:?}");
    let damaged = Inputs { seed: "xyz".to_owned(), ..inputs };
    let report = lab.hands.execute_again(lab.request("env", &json!({}), &[]), &damaged).await;
    assert!(matches!(&report.outcome, Outcome::Faulted { what } if what.contains("seed")), "{:?}", report.outcome);
    assert_eq!(log(&report), None);
}
