//! Approvals: asked, answered, remembered; boundaries and rules on a call's way.

use crate::notation::check;

#[test]
fn an_edit_is_shown_before_it_is_put_in_place() {
    let world = check(
        "> create
         -
         > open
         -
         > prompt change
         turn 1, request 1.1 items=1 => ask model
         > call edit read
         c1 wants edit, c2 wants read, c1 allow default.edit, c1 starts => run c1
         > report c1 staged a
         c1 ask default.edit, a1 asks c1 default.edit
         > answer a1 wrong
         refused: a1 was shown something else than what would be done now: look again
         > answer a2 yes
         refused: a? does not wait for an answer (any more)
         > answer a1 yes
         c1 authorized => put c1 [a]
         > answer a1 yes
         refused: a1 does not wait for an answer (any more)
         > put c1 applied
         c1 returned [a], c2 allow default.read, c2 starts => run c2",
    );
    assert!(world.state.allowances.is_empty());
}

#[test]
fn a_no_reaches_the_model_with_its_reason() {
    let world = check(
        "> create
         -
         > open
         -
         > prompt change
         turn 1, request 1.1 items=1 => ask model
         > call edit run
         c1 wants edit, c2 wants run, c1 allow default.edit, c1 starts => run c1
         > report c1 staged a
         c1 ask default.edit, a1 asks c1 default.edit
         > answer a1 no use b instead
         c1 denied!, c2 ask default.execute, a2 asks c2 default.execute
         > answer a2 no
         c2 denied!, request 2.1 items=3 => ask model",
    );
    assert_eq!(world.result("c1"), "Denied by rule `person`: a person said no: use b instead. Nothing was changed.");
    assert_eq!(world.result("c2"), "Denied by rule `person`: a person said no. Nothing was changed.");
}

#[test]
fn yes_for_the_tool_holds_for_later_calls_but_crosses_no_boundary() {
    check(
        "> create
         -
         > open
         -
         > prompt change
         turn 1, request 1.1 items=1 => ask model
         > call edit edit edit run
         c1 wants edit, c2 wants edit, c3 wants edit, c4 wants run, c1 allow default.edit, c1 starts => run c1
         > report c1 staged a
         c1 ask default.edit, a1 asks c1 default.edit
         > answer a1 tool
         allowance edit default.edit, c1 authorized => put c1 [a]
         > put c1 applied
         c1 returned [a], c2 allow allowance.edit, c2 starts => run c2
         > report c2 staged b
         c2 allow allowance.edit, c2 authorized => put c2 [b]
         > put c2 applied
         c2 returned [b], c3 allow allowance.edit, c3 starts => run c3
         > report c3 staged .git/hooks/pre-commit
         c3 ask boundary.version-control, a2 asks c3 boundary.version-control
         > answer a2 no
         c3 denied!, c4 ask default.execute, a3 asks c4 default.execute
         > answer a3 yes
         c4 starts => run c4
         > report c4 observed c
         c4 returned [c], request 2.1 items=3 => ask model",
    );
}

#[test]
fn an_allowance_answers_only_the_ask_it_was_made_from() {
    check(
        "> create
         -
         > open rule=ask:run:careful
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call run run
         c1 wants run, c2 wants run, c1 ask careful, a1 asks c1 careful
         > answer a1 tool
         allowance run careful, c1 starts => run c1
         > report c1 observed a
         c1 returned [a], c2 allow allowance.run, c2 starts => run c2
         > report c2 returned
         c2 returned, request 2.1 items=3 => ask model
         > open rule=ask:run:other
         => ask model
         > call run
         c3 wants run, c3 ask other, a2 asks c3 other",
    );
}

#[test]
fn mode_none() {
    check(
        "> create
         -
         > open approve=none
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call read edit run think
         c1 wants read, c2 wants edit, c3 wants run, c4 wants think, c1 allow default.read, c1 starts => run c1
         > report c1 returned
         c1 returned, c2 deny approve.none, c2 denied!, c3 deny approve.none, c3 denied!, c4 deny approve.none, c4 denied!, request 2.1 items=3 => ask model
         > call read
         c5 wants read, c5 allow default.read, c5 starts => run c5
         > report c5 staged sneaky
         c5 deny approve.none, c5 denied!, request 3.1 items=5 => ask model",
    );
}

#[test]
fn mode_edits() {
    check(
        "> create
         -
         > open approve=edits
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call edit run
         c1 wants edit, c2 wants run, c1 allow default.edit, c1 starts => run c1
         > report c1 staged a
         c1 allow approve.edits, c1 authorized => put c1 [a]
         > put c1 applied
         c1 returned [a], c2 ask default.execute, a1 asks c2 default.execute
         > answer a1 yes
         c2 starts => run c2
         > report c2 observed b
         c2 returned [b], request 2.1 items=3 => ask model
         > call edit edit
         c3 wants edit, c4 wants edit, c3 allow default.edit, c3 starts => run c3
         > report c3 staged .git/config
         c3 ask boundary.version-control, a2 asks c3 boundary.version-control
         > answer a2 no
         c3 denied!, c4 allow default.edit, c4 starts => run c4
         > report c4 staged sub/.Harness-Host/policy
         c4 deny boundary.host-files, c4 denied!, request 3.1 items=5 => ask model",
    );
}

#[test]
fn mode_all_crosses_no_deny_and_no_boundary() {
    check(
        "> create
         -
         > open approve=all rule=deny:fetch:offline rule=ask:run:careful
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call think fetch edit edit edit run
         c1 wants think, c2 wants fetch, c3 wants edit, c4 wants edit, c5 wants edit, c6 wants run, c1 allow approve.all, c1 starts => run c1
         > report c1 staged note
         c1 allow approve.all, c1 authorized => put c1 [note]
         > put c1 applied
         c1 returned [note], c2 deny offline, c2 denied!, c3 allow approve.all, c3 starts => run c3
         > report c3 staged .harness-host/config.toml
         c3 deny boundary.host-files, c3 denied!, c4 allow approve.all, c4 starts => run c4
         > report c4 staged .GIT/config
         c4 ask boundary.version-control, a1 asks c4 boundary.version-control
         > answer a1 tool
         c4 authorized => put c4 [.GIT/config]
         > put c4 applied
         c4 returned [.GIT/config], c5 allow approve.all, c5 starts => run c5
         > report c5 staged .git/config
         c5 ask boundary.version-control, a2 asks c5 boundary.version-control
         > answer a2 no
         c5 denied!, c6 ask careful, a3 asks c6 careful
         > answer a3 tool
         allowance run careful, c6 starts => run c6
         > report c6 returned
         c6 returned, request 2.1 items=3 => ask model
         > call run
         c7 wants run, c7 allow approve.all, c7 starts => run c7",
    );
}

#[test]
fn rules_of_the_user() {
    check(
        "> create
         -
         > open rule=allow:run:trusted rule=ask:read:shy rule=ask:think:slow rule=deny:edit:frozen
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call run read think edit
         c1 wants run, c2 wants read, c3 wants think, c4 wants edit, c1 allow trusted, c1 starts => run c1
         > report c1 observed a
         c1 returned [a], c2 ask shy, a1 asks c2 shy
         > answer a1 tool
         allowance read shy, c2 starts => run c2
         > report c2 returned
         c2 returned, c3 ask slow, a2 asks c3 slow
         > answer a2 yes
         c3 starts => run c3
         > report c3 returned
         c3 returned, c4 deny frozen, c4 denied!, request 2.1 items=3 => ask model
         > call read
         c5 wants read, c5 allow allowance.read, c5 starts => run c5",
    );
}

#[test]
fn what_is_denied_after_its_requests_were_made_does_not_say_that_nothing_happened() {
    let world = check(
        "> create
         -
         > open
         -
         > prompt hi
         turn 1, request 1.1 items=1 => ask model
         > call edit
         c1 wants edit, c1 allow default.edit, c1 starts => run c1
         > report c1 requested a
         c1 ask default.edit, a1 asks c1 default.edit
         > answer a1 no
         c1 denied!, request 2.1 items=3 => ask model",
    );
    assert!(world.result("c1").ends_with("Nothing was changed. One request was made."), "{}", world.result("c1"));
}
