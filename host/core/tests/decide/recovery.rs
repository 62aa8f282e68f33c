//! Taking a session up again: whatever was under way when the last host stopped goes on.

use crate::notation::check;

#[test]
fn requests_and_waits_are_taken_up() {
    check(
        "> create
         -
         > open
         -
         > prompt hello
         turn 1, request 1.1 items=1 => ask model
         > open same
         => ask model
         > fail retryable after=40
         repeat 2 as asked => wait 40
         > open same
         => wait 40
         > retry
         request 1.2 items=1 => ask model
         > open same
         => ask model
         > say done
         done
         > open same
         -",
    );
}

#[test]
fn staged_calls_run_again_and_direct_ones_are_in_doubt() {
    check(
        "> create
         -
         > open approve=all
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call read read run edit
         c1 wants read, c2 wants read, c3 wants run, c4 wants edit, c1 allow approve.all, c1 starts, c2 allow approve.all, c2 starts => run c1, run c2
         > report c2 returned
         c2 returned
         > open same
         c1 starts => run c1
         > report c1 returned
         c1 returned, c3 allow approve.all, c3 starts => run c3
         > open same
         c3 in_doubt!, c4 allow approve.all, c4 starts => run c4
         > report c3 returned
         refused: c3 is not under way
         > open same
         c4 starts => run c4
         > report c4 staged a
         c4 allow approve.all, c4 authorized => put c4 [a]
         > open same
         => put c4 [a]
         > put c4 applied
         c4 returned [a], request 2.1 items=3 => ask model",
    );
}

#[test]
fn what_is_asked_stays_asked() {
    check(
        "> create
         -
         > open
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call edit run
         c1 wants edit, c2 wants run, c1 allow default.edit, c1 starts => run c1
         > report c1 staged a
         c1 ask default.edit, a1 asks c1 default.edit
         > open same
         -
         > answer a1 yes
         c1 authorized => put c1 [a]
         > put c1 applied
         c1 returned [a], c2 ask default.execute, a2 asks c2 default.execute
         > open same
         -
         > answer a2 yes
         c2 starts => run c2
         > open same
         c2 in_doubt!, request 2.1 items=3 => ask model",
    );
}

#[test]
fn who_opens_may_choose_to_be_asked_less_or_never() {
    check(
        "> create
         -
         > open
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call edit run
         c1 wants edit, c2 wants run, c1 allow default.edit, c1 starts => run c1
         > report c1 staged a
         c1 ask default.edit, a1 asks c1 default.edit
         > open approve=edits
         a1 withdrawn, c1 allow approve.edits, c1 authorized => put c1 [a]
         > put c1 applied
         c1 returned [a], c2 ask default.execute, a2 asks c2 default.execute
         > open approve=none
         a2 withdrawn, c2 deny approve.none, c2 denied!, request 2.1 items=3 => ask model",
    );
}

#[test]
fn an_interrupt_is_remembered_while_changes_are_put_in_place() {
    check(
        "> create
         -
         > open approve=all
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call edit edit
         c1 wants edit, c2 wants edit, c1 allow approve.all, c1 starts => run c1
         > report c1 staged a
         c1 allow approve.all, c1 authorized => put c1 [a]
         > interrupt
         c2 interrupted!
         > open same
         => put c1 [a]
         > put c1 applied
         c1 returned [a], interrupted",
    );
}

#[test]
fn what_a_tool_was_when_it_started_decides_whether_it_is_in_doubt() {
    check(
        "> create
         -
         > open approve=all
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call run
         c1 wants run, c1 allow approve.all, c1 starts => run c1
         > open approve=all staged=run
         c1 in_doubt!, request 2.1 items=3 => ask model
         > call run
         c2 wants run, c2 allow approve.all, c2 starts => run c2
         > open without=run
         c2 interrupted!, request 3.1 items=5 => ask model
         > call read read
         c3 wants read, c4 wants read, c3 allow default.read, c3 starts, c4 allow default.read, c4 starts => run c3, run c4
         > open direct=read
         c3 ask default.read, a1 asks c3 default.read, c4 ask default.read, a2 asks c4 default.read",
    );
}

#[test]
fn a_call_is_run_again_only_under_the_rules_that_hold_now() {
    check(
        "> create
         -
         > open rule=ask:read:shy
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call read read edit
         c1 wants read, c2 wants read, c3 wants edit, c1 ask shy, a1 asks c1 shy, c2 ask shy, a2 asks c2 shy
         > answer a1 yes
         c1 starts => run c1
         > open same
         c1 starts => run c1
         > open rule=deny:read:secret
         c1 deny secret, c1 denied!, a2 withdrawn, c2 deny secret, c2 denied!, c3 allow default.edit, c3 starts => run c3
         > open without=edit
         c3 interrupted!, request 2.1 items=3 => ask model",
    );
}
