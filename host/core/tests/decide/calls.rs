//! Calls: order, limits, conflicts, late reports.

use crate::notation::check;
use harness_core::limits::STEP_CALLS_MAX;

#[test]
fn a_reading_step_runs_its_calls_at_once() {
    check(
        "> create
         -
         > open
         -
         > prompt look
         turn 1, request 1.1 items=1 => ask model
         > call read read read
         c1 wants read, c2 wants read, c3 wants read, c1 allow default.read, c1 starts, c2 allow default.read, c2 starts, c3 allow default.read, c3 starts => run c1, run c2, run c3
         > report c2 returned
         c2 returned
         > report c1 failed
         c1 failed!
         > report c3 returned
         c3 returned, request 2.1 items=3 => ask model
         > report c3 returned
         refused: c3 is not under way
         > say done
         done",
    );
}

#[test]
fn an_edit_waits_for_all_before_it_and_holds_up_what_follows() {
    check(
        "> create
         -
         > open approve=edits
         -
         > prompt change
         turn 1, request 1.1 items=1 => ask model
         > call read edit read edit
         c1 wants read, c2 wants edit, c3 wants read, c4 wants edit, c1 allow default.read, c1 starts => run c1
         > report c1 returned
         c1 returned, c2 allow default.edit, c2 starts => run c2
         > report c3 returned
         refused: c3 is not under way
         > report c2 staged a
         c2 allow approve.edits, c2 authorized => put c2 [a]
         > report c4 staged a
         refused: c4 is not under way
         > put c2 applied
         c2 returned [a], c3 allow default.read, c3 starts => run c3
         > report c3 returned
         c3 returned, c4 allow default.edit, c4 starts => run c4
         > report c4 staged a b
         c4 allow approve.edits, c4 authorized => put c4 [a b]
         > put c4 applied
         c4 returned [a b], request 2.1 items=3 => ask model
         > put c4 applied
         refused: c4 is not under way",
    );
}

#[test]
fn changes_that_cannot_be_put_in_place_are_told() {
    let world = check(
        "> create
         -
         > open approve=all
         -
         > prompt change
         turn 1, request 1.1 items=1 => ask model
         > call edit edit run think
         c1 wants edit, c2 wants edit, c3 wants run, c4 wants think, c1 allow approve.all, c1 starts => run c1
         > report c1 staged a
         c1 allow approve.all, c1 authorized => put c1 [a]
         > put c1 conflict a
         c1 conflict!, c2 allow approve.all, c2 starts => run c2
         > report c2 staged a
         c2 allow approve.all, c2 authorized => put c2 [a]
         > put c2 failed
         c2 failed!, c3 allow approve.all, c3 starts => run c3
         > report c3 observed out.txt
         c3 returned [out.txt], c4 allow approve.all, c4 starts => run c4
         > report c4 failed-staged a
         c4 failed!, request 2.1 items=3 => ask model",
    );
    assert!(world.result("c1").starts_with("Conflict: a changed on disk"), "{}", world.result("c1"));
    assert!(world.result("c2").contains("in place failed: disk full"), "{}", world.result("c2"));
}

#[test]
fn calls_that_cannot_run_are_answered() {
    let world = check(
        "> create
         -
         > open
         -
         > prompt look
         turn 1, request 1.1 items=1 => ask model
         > call erase read={ read= read=[]
         c1 wants erase, c2 wants read {, c3 wants read, c4 wants read [], c1 failed!, c2 failed!, c3 allow default.read, c3 starts, c4 allow default.read, c4 starts => run c3, run c4
         > report c3 returned
         c3 returned
         > report c4 returned
         c4 returned, request 2.1 items=3 => ask model",
    );
    assert_eq!(
        world.result("c1"),
        "Failed (unknown-tool): there is no tool `erase`; there are: read, edit, run, fetch, think, send"
    );
    assert!(world.result("c2").starts_with("Failed (not-json)"));
}

#[test]
fn a_step_of_nothing_but_impossible_calls_asks_the_model_again() {
    check(
        "> create
         -
         > open
         -
         > prompt look
         turn 1, request 1.1 items=1 => ask model
         > call erase
         c1 wants erase, c1 failed!, request 2.1 items=3 => ask model",
    );
}

#[test]
fn calls_beyond_the_limit_are_answered_and_not_run() {
    let calls = vec!["read"; STEP_CALLS_MAX + 2].join(" ");
    let number = |verb: &str| (1..=STEP_CALLS_MAX + 2).map(|n| format!("c{n} {verb}")).collect::<Vec<_>>();
    let mut expected = number("wants read");
    expected.extend(number("failed!")[STEP_CALLS_MAX..].to_vec());
    let started = (1..=STEP_CALLS_MAX).flat_map(|n| [format!("c{n} allow default.read"), format!("c{n} starts")]);
    expected.extend(started);
    let runs: Vec<String> = (1..=STEP_CALLS_MAX).map(|n| format!("run c{n}")).collect();
    check(&format!(
        "> create
         -
         > open
         -
         > prompt look
         turn 1, request 1.1 items=1 => ask model
         > call {calls}
         {} => {}",
        expected.join(", "),
        runs.join(", ")
    ));
}
