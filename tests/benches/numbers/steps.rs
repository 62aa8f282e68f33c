//! What a reading step costs: from the end of a response to the arrival of the next request, with the call,
//! its outcome and the events between them durable; at the beginning of a session and after 1,000 steps.

use crate::host::{Bench, Shared, executor, run_turn};
use crate::model_server::{Gap, SHORT, WORDY, gaps};
use crate::process::Role;
use crate::quantity::{Durations, Quantity};
use crate::table::{Row, Table};
use std::ops::Range;
use std::time::Duration;

/// Sessions of few steps, one after the other.
const FEW_STEPS_SESSIONS: usize = 8;
/// Long sessions.
const LONG_SESSIONS: usize = 2;
/// Their steps.
const LONG_STEPS: usize = 1_025;
/// Around step 5.
const EARLY: Range<usize> = 2..25;
/// Around step 1,000.
const LATE: Range<usize> = 975..1_025;

pub(crate) fn measure(shared: &Shared, table: &mut Table) {
    let mut server = Role::start("model-server", &[]);
    let url: String = server.hear();
    let (mut early, mut late, mut short, mut wordy) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    executor().block_on(async {
        let bench = shared.place("steps").host(&url);
        for number in 0..FEW_STEPS_SESSIONS {
            early.extend_from_slice(&session(&bench, &url, &format!("few{number}"), EARLY.end).await[EARLY]);
            wordy.extend_from_slice(&session(&bench, &url, &format!("{WORDY}{number}"), EARLY.end).await[EARLY]);
        }
        for number in 0..LONG_SESSIONS {
            let gaps = session(&bench, &url, &format!("long{number}"), LONG_STEPS).await;
            early.extend_from_slice(&gaps[EARLY]);
            late.extend_from_slice(&gaps[LATE]);
            short.extend_from_slice(&session(&bench, &url, &format!("{SHORT}{number}"), LONG_STEPS).await[LATE]);
        }
    });
    let durations = |gaps: &[Gap], of: fn(&Gap) -> Duration| Durations::new(gaps.iter().map(of).collect());
    let at_5 = durations(&early, |gap| gap.begin);
    let at_1000 = durations(&late, |gap| gap.begin);
    let what = "response end to next request, durable, 2 KB read, around step 5";
    table.push(Row::p50_p95("reading step", what, &at_5).hold(Quantity::milliseconds(1.5)));
    let what = "the same where the model says 40 words with each call, which can be searched for";
    table.push(Row::p50_p95("", what, &durations(&wordy, |gap| gap.begin)).hold(Quantity::milliseconds(1.5)));
    let what = "without words around step 1,000 of one session";
    table.push(Row::p50_p95("", what, &at_1000).hold(Quantity::milliseconds(1.5)));
    let flat = Quantity::Times(at_1000.percentile(50).number() / at_5.percentile(50).number());
    table.push(Row::of("", "flat: step 1,000 against step 5", flat).hold(Quantity::Times(1.25)));
    let what = "around step 1,000 where each call reads 13 bytes: without the weight of the request itself";
    table.push(Row::p50_p95("", what, &durations(&short, |gap| gap.begin)));
    let whole = durations(&late, |gap| gap.whole);
    table.push(Row::p50_p95(
        "",
        "around step 1,000, 2 KB, until the last byte of the request (2.3 MB) arrived",
        &whole,
    ));
}

/// Runs one session of so many steps and gives the gaps between them.
async fn session(bench: &Bench, url: &str, name: &str, steps: usize) -> Vec<Gap> {
    let model = format!("{name}-{steps}");
    let session = bench.create(&model).await;
    run_turn(&session).await;
    session.close().await;
    let gaps = gaps(url, &model);
    assert_eq!(gaps.len(), steps, "each call was followed by a request");
    gaps
}
