//! What a reading step costs: from the end of a response to the arrival of the next request, with the call,
//! its outcome and the events between them durable; at the beginning of a session and after 1,000 steps.

use crate::host::{Shared, executor, run_turn};
use crate::model_server::{Gap, gaps};
use crate::process::Role;
use crate::quantity::{Durations, Quantity};
use crate::table::{Row, Table};
use std::ops::Range;
use std::time::Duration;

/// Short sessions, one after the other.
const SHORT_SESSIONS: usize = 8;
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
    let (mut early, mut late) = (Vec::new(), Vec::new());
    executor().block_on(async {
        let bench = shared.place("steps").host(&url);
        for number in 0..SHORT_SESSIONS + LONG_SESSIONS {
            let is_long = number >= SHORT_SESSIONS;
            let steps = if is_long { LONG_STEPS } else { EARLY.end };
            let model = format!("steps{number}-{steps}");
            let session = bench.create(&model).await;
            run_turn(&session).await;
            session.close().await;
            let found = gaps(&url, &model);
            assert_eq!(found.len(), steps, "each call was followed by a request");
            early.extend_from_slice(&found[EARLY]);
            if is_long {
                late.extend_from_slice(&found[LATE]);
            }
        }
    });
    let durations = |gaps: &[Gap], of: fn(&Gap) -> Duration| Durations::new(gaps.iter().map(of).collect());
    let at_5 = durations(&early, |gap| gap.begin);
    let at_1000 = durations(&late, |gap| gap.begin);
    let what = "response end to next request, durable, 2 KB read, around step 5";
    table.push(Row::p50_p95("reading step", what, &at_5).hold(Quantity::milliseconds(1.5)));
    let what = "the same around step 1,000 of one session";
    table.push(Row::p50_p95("", what, &at_1000).hold(Quantity::milliseconds(1.5)));
    let flat = Quantity::Times(at_1000.percentile(50).number() / at_5.percentile(50).number());
    table.push(Row::of("", "flat: step 1,000 against step 5", flat).hold(Quantity::Times(1.25)));
    let whole = durations(&late, |gap| gap.whole);
    table.push(Row::p50_p95("", "around step 1,000, until the last byte of the request arrived", &whole));
}
