//! Answers to approvals beyond yes and no: for later calls, and with other arguments.

use crate::notation::{World, check};
use harness_core::event::Answer;
use harness_core::state::OfferKind;

#[test]
fn an_answer_covers_as_many_later_calls_as_it_says() {
    check(
        r#"> create
         -
         > open rule=ask:read:shy
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call read={"path":"src/a"} read={"path":"src/b"} read={"path":"doc"}
         c1 wants read {"path":"src/a"}, c2 wants read {"path":"src/b"}, c3 wants read {"path":"doc"}, c1 ask shy, a1 asks c1 shy, c2 ask shy, a2 asks c2 shy, c3 ask shy, a3 asks c3 shy
         > answer a2 allow path:doc/**
         refused: the pattern is not about the call that was asked about: edit it, or answer for this once
         > answer a2 allow path:src/** tenant
         refused: calls are allowed for a turn, a session, a workspace, an agent, or globally
         > answer a2 allow path:src/**
         allowance read shy pattern, c2 starts, a1 withdrawn, c1 allow allowance.read, c1 starts => run c2, run c1
         > answer a1 yes
         refused: a1 does not wait for an answer (any more)
         > answer a3 allow exact workspace
         allowance read shy exact workspace, c3 starts => run c3
         > report c1 returned
         c1 returned
         > report c2 returned
         c2 returned
         > report c3 returned
         c3 returned, request 2.1 items=3 => ask model
         > call read={"path":"doc"} read={"path":"docs"}
         c4 wants read {"path":"doc"}, c5 wants read {"path":"docs"}, c4 allow allowance.read, c4 starts, c5 ask shy, a4 asks c5 shy => run c4"#,
    );
}

#[test]
fn a_turns_allowance_ends_with_it_and_a_line_is_covered_whole() {
    check(
        r#"> create
         -
         > open
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call run={"command":"git_log"}
         c1 wants run {"command":"git_log"}, c1 ask default.execute, a1 asks c1 default.execute
         > answer a1 allow category turn
         allowance run default.execute category turn, c1 starts => run c1
         > report c1 returned
         c1 returned, request 2.1 items=3 => ask model
         > call run
         c2 wants run, c2 allow allowance.run, c2 starts => run c2
         > report c2 returned
         c2 returned, request 3.1 items=5 => ask model
         > say done
         done
         > prompt go
         turn 2, request 1.1 items=7 => ask model
         > call run={"command":"ls"}
         c3 wants run {"command":"ls"}, c3 ask default.execute, a2 asks c3 default.execute
         > answer a2 allow command:ls_*
         allowance run default.execute pattern, c3 starts => run c3
         > report c3 returned
         c3 returned, request 2.1 items=9 => ask model
         > call run={"command":"ls&&rm"} run={"command":"ls|ls"}
         c4 wants run {"command":"ls&&rm"}, c5 wants run {"command":"ls|ls"}, c4 ask default.execute, a3 asks c4 default.execute
         > answer a3 no
         c4 denied!, c5 allow allowance.run, c5 starts => run c5"#,
    );
}

#[test]
fn a_boundary_and_a_component_are_asked_about_each_time() {
    let world = check(
        r#"> create
         -
         > open
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call edit read
         c1 wants edit, c2 wants read, c1 allow default.edit, c1 starts => run c1
         > report c1 staged .git/hooks/x
         c1 ask boundary.version-control, a1 asks c1 boundary.version-control
         > answer a1 allow tool
         refused: what `boundary.version-control` asks about, or a component's own call, is allowed once at a time: answer yes or no
         > answer a1 no
         c1 denied!, c2 allow default.read, c2 starts => run c2
         > report c2 calls run
         c3 wants run for c2, c3 ask default.execute, a2 asks c3 default.execute
         > answer a2 allow tool
         refused: what `default.execute` asks about, or a component's own call, is allowed once at a time: answer yes or no"#,
    );
    let pending = world.state.pending();
    let offers = world.state.offers(pending[0].approval);
    assert_eq!(offers.iter().map(|offer| offer.kind).collect::<Vec<_>>(), [OfferKind::Once]);
}

#[test]
fn yes_for_the_tool_is_for_once_where_a_boundary_asks() {
    let world = check(
        r#"> create
         -
         > open
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call edit edit edit
         c1 wants edit, c2 wants edit, c3 wants edit, c1 allow default.edit, c1 starts => run c1
         > report c1 staged .git/hooks/x
         c1 ask boundary.version-control, a1 asks c1 boundary.version-control
         > answer a1 tool
         c1 authorized => put c1 [.git/hooks/x]
         > put c1 applied
         c1 returned [.git/hooks/x], c2 allow default.edit, c2 starts => run c2
         > report c2 staged .git/hooks/y
         c2 ask boundary.version-control, a2 asks c2 boundary.version-control
         > answer a2 tool
         c2 authorized => put c2 [.git/hooks/y]
         > put c2 applied
         c2 returned [.git/hooks/y], c3 allow default.edit, c3 starts => run c3
         > report c3 staged a
         c3 ask default.edit, a3 asks c3 default.edit"#,
    );
    assert_eq!(world.state.allowances, []);
}

#[test]
fn what_is_carried_and_what_has_ended_count_from_then_on() {
    check(
        r#"> create
         -
         > carry run
         -
         > open
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call run run
         c1 wants run, c2 wants run, c1 allow allowance.run, c1 starts => run c1
         > forbid 0
         refused: alw_00000000000000000000000033 is not in force in this session
         > forbid 1 expired
         -
         > report c1 returned
         c1 returned, c2 ask default.execute, a1 asks c2 default.execute
         > carry run
         -
         > open same
         a1 withdrawn, c2 allow allowance.run, c2 starts => run c2
         > report c2 returned
         c2 returned, request 2.1 items=3 => ask model"#,
    );
}

#[test]
fn an_edit_is_run_in_place_of_what_the_model_wrote_and_the_model_is_told() {
    let world = check(
        r#"> create
         -
         > open
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call run={"command":"rm"}
         c1 wants run {"command":"rm"}, c1 ask default.execute, a1 asks c1 default.execute
         > answer a1 edit [1]
         refused: edited arguments are a JSON object of at most 4194304 bytes, these have 3
         > answer a1 edit {"command":"ls"}
         c1 is {"command":"ls"} by person, c1 ask default.execute, c1 starts => run c1
         > report c1 returned
         c1 returned, request 2.1 items=3 => ask model
         > call edit={"path":"a"}
         c2 wants edit {"path":"a"}, c2 allow default.edit, c2 starts => run c2
         > report c2 staged a
         c2 ask default.edit, a2 asks c2 default.edit
         > answer a2 edit {"path":"b"}
         c2 is {"path":"b"} by person, c2 allow default.edit, c2 starts => run c2
         > report c2 staged a
         c2 ask default.edit, a3 asks c2 default.edit
         > answer a2 yes
         refused: a2 does not wait for an answer (any more)
         > answer a3 edit {"path":"b"}
         c2 authorized => put c2 [a]"#,
    );
    let told = world.result("c1");
    assert!(told.contains("replaced by a person. These counted: {\"command\":\"ls\"}"), "{told}");
}

#[test]
fn an_edit_crosses_no_deny_and_the_mode_hears_of_it() {
    check(
        r#"> create
         -
         > open mode=plan:p rule=deny:run:never
         mode plan (start)
         > prompt go
         turn 1, request 1.1 items=2 => ask model
         > call fetch={"url":"a"} fetch={"url":"a"}
         c1 wants fetch {"url":"a"}, c2 wants fetch {"url":"a"}, c1 judging => judge c1
         > policy c1 ask
         c1 ask mode.plan.rule, a1 asks c1 mode.plan.rule
         > answer a1 edit {"url":"b"}
         c1 is {"url":"b"} by person, c1 judging => judge c1
         > policy c1 ask
         c1 ask mode.plan.rule, c1 starts => run c1
         > report c1 returned
         c1 returned, c2 ask mode.plan.rule, a2 asks c2 mode.plan.rule
         > answer a2 edit {"url":"c"}
         c2 is {"url":"c"} by person, c2 judging => judge c2
         > policy c2 allow narrow={"url":"d"}
         c2 is {"url":"d"} by mode.plan.rule, c2 allow mode.plan.rule, c2 starts => run c2
         > report c2 returned
         c2 returned, request 2.1 items=4 => ask model
         > open rule=ask:run:shy
         mode  (gone) => ask model
         > call run
         c3 wants run, c3 ask shy, a3 asks c3 shy
         > open rule=deny:run:never
         a3 withdrawn, c3 deny never, c3 denied!, request 3.1 items=6 => ask model"#,
    );
}

#[test]
fn an_edit_into_what_is_denied_is_denied() {
    let world = check(
        r#"> create
         -
         > open rule=deny:run:never:rm_*
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call run={"command":"ls"}
         c1 wants run {"command":"ls"}, c1 ask default.execute, a1 asks c1 default.execute
         > answer a1 edit {"command":"rm x"}
         c1 is {"command":"rm x"} by person, c1 deny never, c1 denied!, request 2.1 items=3 => ask model"#,
    );
    assert!(world.result("c1").contains("replaced by a person"), "{}", world.result("c1"));
}

#[test]
fn what_has_reached_the_world_is_not_edited() {
    check(
        r#"> create
         -
         > open
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call send
         c1 wants send, c1 allow default.network, c1 starts => run c1
         > report c1 staged a
         c1 ask default.network, a1 asks c1 default.network
         > answer a1 edit {"to":"you"}
         refused: this call has reached the world already, so it cannot be run with other arguments"#,
    );
}

#[test]
fn every_offer_is_taken() {
    let call = r#"call run={"command":"cargo\ttest\t-q"}"#;
    let lines = ["create", "open", "prompt go", call];
    let begin = || {
        let mut world = World::default();
        for line in lines {
            world.step(line);
        }
        world
    };
    let world = begin();
    let asked = world.state.pending()[0];
    let (approval, binds_to) = (asked.approval, asked.binds_to);
    assert!(world.state.can_edit(approval));
    let offers = world.state.offers(approval);
    let words: Vec<&str> = offers.iter().map(|offer| offer.words.as_str()).collect();
    let expected = [
        "this once",
        "run with exactly these arguments",
        "run where it is `cargo test *`",
        "every call of run",
        "every tool that runs commands",
    ];
    assert_eq!(words, expected);
    for offer in offers {
        let mut world = begin();
        assert!(world.answer_with(approval, binds_to, offer.answer.clone()).ends_with("c1 starts => run c1"));
        world.step("report c1 returned");
        let again = world.step(call);
        assert_eq!(again.contains(" asks c2 "), offer.answer == Answer::Yes, "{offer:?}: {again}");
    }
}

#[test]
fn every_way_to_allow_more_is_within_the_limit() {
    for (number, answer) in ["tool", "allow tool", "allow exact"].into_iter().enumerate() {
        let mut world = World::default();
        let tools: Vec<String> = (0..harness_core::limits::ALLOWANCES_MAX).map(|tool| format!("t{tool}")).collect();
        for line in ["create", &format!("carry {}", tools.join(" ")), "open", "prompt go", "call run"] {
            world.step(line);
        }
        let said = world.step(&format!("answer a1 {answer}"));
        assert_eq!(said, "refused: a session has at most 256 allowances: revoke some first", "{number}");
        assert_eq!(world.step("answer a1 yes"), "c1 starts => run c1");
    }
}

#[test]
fn a_reason_is_no_longer_than_another_answer() {
    let mut world = World::default();
    for line in ["create", "open", "prompt go", "call run"] {
        world.step(line);
    }
    let reason = "x".repeat(harness_core::limits::ANSWER_BYTES_MAX);
    assert!(world.step(&format!("answer a1 no {reason}y")).starts_with("refused: an answer has at most 16384 bytes"));
    assert!(world.step(&format!("answer a1 no {reason}")).starts_with("c1 denied!"));
}
