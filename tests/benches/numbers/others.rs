//! What others do for a tool call: start a process, or ask one that runs over its standard input and output.

use crate::host::Shared;
use crate::process::{Role, say};
use crate::quantity::{Durations, Quantity};
use crate::table::{Row, Table};
use serde_json::{Value, json};
use std::io::BufRead;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Measured of each.
const SPAWNS: usize = 300;
const ROUND_TRIPS: usize = 5_000;
/// The smallest program there is.
const PROGRAM: &str = "/bin/true";

pub(crate) fn measure(_shared: &Shared, table: &mut Table) {
    let spawns = Durations::new((0..SPAWNS).map(|_| timed(spawn)).collect());
    let what = format!("starting {PROGRAM} and waiting for it: a process for each call");
    table.push(Row::p50_p99("other ways to call", what, &spawns));
    let mut server = Role::start("json-rpc", &[]);
    let mut number = 0_u64;
    let mut round_trip = || {
        number += 1;
        let answer: Value = server.ask(&json!({
            "jsonrpc": "2.0",
            "id": number,
            "method": "tools/call",
            "params": {"name": "count", "arguments": {"text": "a few words"}},
        }));
        assert_eq!(answer["id"], number);
    };
    round_trip();
    let trips = Durations::new((0..ROUND_TRIPS).map(|_| timed(&mut round_trip)).collect());
    let what =
        "a JSON-RPC round trip over standard input and output with a process that runs; no sandbox, no fresh state";
    table.push(Row::p50_p99("", what, &trips));
    table.push(Row::of("", "the same, one after the other", Quantity::PerSecond(1e6 / trips.percentile(50).number())));
}

fn timed(mut work: impl FnMut()) -> std::time::Duration {
    let begin = Instant::now();
    work();
    begin.elapsed()
}

fn spawn() {
    let status = Command::new(PROGRAM).stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
}

/// The process that answers: one line for each line.
pub(crate) fn child() {
    for line in std::io::stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let text = asked["params"]["arguments"]["text"].as_str().unwrap();
        let words = text.split_whitespace().count().to_string();
        say(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"content": [{"type": "text", "text": words}]}}));
    }
}
