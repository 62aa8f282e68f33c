//! Calls that need a person's answer or another call before they can go on.

use crate::notation::check;
use harness_core::limits::{ANSWER_BYTES_MAX, CALL_ROUNDS_MAX, NESTED_CALLS_MAX, NESTED_DEPTH_MAX};
use harness_core::state::CallStage;

const BEGUN: &str = "
    > create
    -
    > open approve=edits
    -
    > prompt go
    turn 1, request 1.1 items=1 => ask model";

fn begun(rest: &str) -> crate::notation::World {
    check(&format!("{BEGUN}\n{rest}"))
}

#[test]
fn a_question_is_asked_answered_and_the_call_goes_on_with_the_answer() {
    let world = begun(
        "> call edit read
         c1 wants edit, c2 wants read, c1 allow default.edit, c1 starts => run c1
         > report c1 asks how many
         q1 of edit for c1: how many
         > report c1 returned
         refused: c1 is not under way
         > reply q2 five
         refused: q? does not wait for an answer (any more)
         > reply q1 five at most
         c1 starts => run c1 on `five at most`
         > reply q1 six
         refused: q1 does not wait for an answer (any more)
         > report c1 asks-of red blue
         q2 of edit for c1: which [red blue]
         > reply q2 green
         refused: `green` is not one of the answers to q2: red, blue
         > reply q2 blue
         c1 starts => run c1 on `blue`
         > report c1 staged a
         c1 allow approve.edits, c1 authorized => put c1 [a]
         > put c1 applied
         c1 returned [a], c2 allow default.read, c2 starts => run c2
         > report c2 asks why
         q3 of read for c2: why
         > decline q3
         c2 starts => run c2 on no answer
         > report c2 not-granted
         c2 not_granted!, request 2.1 items=3 => ask model",
    );
    assert!(world.result("c2").contains("harness-host component grant editor 'question'"), "{}", world.result("c2"));
}

#[test]
fn an_answer_has_a_length() {
    let mut world = begun(
        "> call edit
         c1 wants edit, c1 allow default.edit, c1 starts => run c1
         > report c1 asks what
         q1 of edit for c1: what",
    );
    let refused = world.step(&format!("reply q1 {}", "x".repeat(ANSWER_BYTES_MAX + 1)));
    assert!(refused.contains("at most 16384 bytes, this one has 16385"), "{refused}");
    let taken = world.step(&format!("reply q1 {}", "x".repeat(ANSWER_BYTES_MAX)));
    assert!(taken.starts_with("c1 starts => run c1"), "{taken}");
}

#[test]
fn a_call_asks_a_bounded_number_of_times() {
    let mut world = begun(
        "> call edit
         c1 wants edit, c1 allow default.edit, c1 starts => run c1",
    );
    for round in 1..=CALL_ROUNDS_MAX {
        assert_eq!(world.step("report c1 asks on"), format!("q{round} of edit for c1: on"));
        assert_eq!(world.step(&format!("reply q{round} on")), "c1 starts => run c1 on `on`");
    }
    assert_eq!(world.step("report c1 asks on"), "c1 failed!, request 2.1 items=3 => ask model");
    assert!(world.result("c1").starts_with("Failed (too-many-questions)"), "{}", world.result("c1"));
}

#[test]
fn an_interrupt_withdraws_what_is_asked() {
    begun(
        "> call read read
         c1 wants read, c2 wants read, c1 allow default.read, c1 starts, c2 allow default.read, c2 starts => run c1, run c2
         > report c1 asks how many
         q1 of read for c1: how many
         > report c2 calls run
         c3 wants run for c2
         > interrupt
         q1 withdrawn, c1 interrupted!, c2 interrupted!, c3 interrupted!, interrupted
         > reply q1 five
         refused: q1 does not wait for an answer (any more)",
    );
}

#[test]
fn a_nested_call_is_judged_like_any_other_and_told_to_its_parent_alone() {
    let world = begun(
        "> call edit run
         c1 wants edit, c2 wants run, c1 allow default.edit, c1 starts => run c1
         > report c1 calls edit={\"path\":1}
         c3 wants edit {\"path\":1} for c1, c3 allow default.edit, c3 starts => run c3
         > report c1 returned
         refused: c1 is not under way
         > report c3 staged b
         c3 allow approve.edits, c3 authorized => put c3 [b]
         > put c3 applied
         c3 returned [b], c1 starts => run c1 on outcome
         > report c3 returned
         refused: c3 is not under way
         > report c1 calls run
         c4 wants run for c1, c4 ask default.execute, a1 asks c4 default.execute
         > answer a1 no
         c4 denied!, c1 starts => run c1 on outcome! Denied
         > report c1 calls run
         c5 wants run for c1, c5 ask default.execute, a2 asks c5 default.execute
         > answer a2 yes
         c5 starts => run c5
         > report c5 observed out
         c5 returned [out], c1 starts => run c1 on outcome
         > report c1 failed
         c1 failed!, c2 ask default.execute, a3 asks c2 default.execute
         > answer a3 no
         c2 denied!, request 2.1 items=3 => ask model",
    );
    assert_eq!(world.result("c1"), "Failed: gone What the tools that it called changed stays: b, out.");
    let asked = world.events.iter().filter_map(|event| match event {
        harness_core::Event::ApprovalAsked { words, .. } => Some(words.as_str()),
        _ => None,
    });
    let asked: Vec<&str> = asked.collect();
    assert_eq!(asked[0], "called by edit: running commands asks.");
    assert_eq!(asked[2], "running commands asks.");
}

#[test]
fn what_a_person_allowed_for_the_models_calls_is_not_allowed_for_a_components() {
    let world = begun(
        "> call edit run run edit
         c1 wants edit, c2 wants run, c3 wants run, c4 wants edit, c1 allow default.edit, c1 starts => run c1
         > report c1 calls run
         c5 wants run for c1, c5 ask default.execute, a1 asks c5 default.execute
         > answer a1 tool
         c5 starts => run c5
         > report c5 returned
         c5 returned, c1 starts => run c1 on outcome
         > report c1 returned
         c1 returned, c2 ask default.execute, a2 asks c2 default.execute
         > answer a2 tool
         allowance run default.execute, c2 starts => run c2
         > report c2 returned
         c2 returned, c3 allow allowance.run, c3 starts => run c3
         > report c3 returned
         c3 returned, c4 allow default.edit, c4 starts => run c4
         > report c4 calls run
         c6 wants run for c4, c6 ask default.execute, a3 asks c6 default.execute
         > open approve=edits
         -
         > answer a3 no
         c6 denied!, c4 starts => run c4 on outcome! Denied",
    );
    assert_eq!(world.state.allowances.len(), 1);
}

#[test]
fn a_nested_call_that_cannot_run_is_answered_at_once() {
    begun(
        "> call read
         c1 wants read, c1 allow default.read, c1 starts => run c1
         > report c1 calls erase
         c2 wants erase for c1, c2 failed!, c1 starts => run c1 on outcome! Failed
         > report c1 calls read={
         c3 wants read { for c1, c3 failed!, c1 starts => run c1 on outcome! Failed
         > report c1 returned
         c1 returned, request 2.1 items=3 => ask model",
    );
}

#[test]
fn calls_may_need_each_other_only_so_deep_and_so_often() {
    let mut world = begun(
        "> call read
         c1 wants read, c1 allow default.read, c1 starts => run c1",
    );
    for depth in 1..=NESTED_DEPTH_MAX {
        let (parent, child) = (depth, depth + 1);
        assert_eq!(
            world.step(&format!("report c{parent} calls read")),
            format!("c{child} wants read for c{parent}, c{child} allow default.read, c{child} starts => run c{child}")
        );
    }
    assert_eq!(
        world.step("report c5 calls read"),
        "c6 wants read for c5, c6 failed!, c5 starts => run c5 on outcome! Failed"
    );
    for number in NESTED_DEPTH_MAX + 2..=NESTED_CALLS_MAX {
        let child = number + 1;
        world.step("report c5 calls erase");
        assert_eq!(world.state.turn.as_ref().unwrap().calls()[0].nested, number, "c{child}");
    }
    assert_eq!(
        world.step("report c5 calls read"),
        "c5 failed!, c4 starts => run c4 on outcome! Failed",
        "those of the whole chain count"
    );
}

#[test]
fn a_nested_change_waits_for_what_comes_before_it_and_holds_up_what_follows() {
    begun(
        "> call read read edit
         c1 wants read, c2 wants read, c3 wants edit, c1 allow default.read, c1 starts, c2 allow default.read, c2 starts => run c1, run c2
         > report c2 calls edit
         c4 wants edit for c2
         > report c1 calls edit
         c5 wants edit for c1, c5 allow default.edit, c5 starts => run c5
         > report c5 returned
         c5 returned, c1 starts => run c1 on outcome
         > report c1 returned
         c1 returned, c4 allow default.edit, c4 starts => run c4
         > report c4 staged a
         c4 allow approve.edits, c4 authorized => put c4 [a]
         > put c4 conflict a
         c4 conflict!, c2 starts => run c2 on outcome! Conflict
         > report c2 returned
         c2 returned, c3 allow default.edit, c3 starts => run c3",
    );
}

#[test]
fn questions_and_nested_calls_are_taken_up() {
    let world = begun(
        "> call read edit
         c1 wants read, c2 wants edit, c1 allow default.read, c1 starts => run c1
         > report c1 asks how many
         q1 of read for c1: how many
         > open same
         -
         > reply q1 five
         c1 starts => run c1 on `five`
         > open same
         c1 starts => run c1 on `five`
         > report c1 calls read
         c3 wants read for c1, c3 allow default.read, c3 starts => run c3
         > open same
         c3 starts => run c3
         > report c3 calls run
         c4 wants run for c3, c4 ask default.execute, a1 asks c4 default.execute
         > open same
         -
         > answer a1 yes
         c4 starts => run c4
         > open same
         c4 in_doubt!, c3 starts => run c3 on outcome! In
         > open same
         c3 starts => run c3 on outcome! In
         > open rule=deny:read:secret
         c3 deny secret, c3 denied!, c1 deny secret, c1 denied!, c2 allow default.edit, c2 starts => run c2
         > report c2 calls edit
         c5 wants edit for c2, c5 allow default.edit, c5 starts => run c5
         > report c5 staged a
         c5 ask default.edit, a2 asks c5 default.edit
         > open approve=edits
         a2 withdrawn, c5 allow approve.edits, c5 authorized => put c5 [a]
         > interrupt
         -
         > open same
         => put c5 [a]
         > put c5 applied
         c5 returned [a], c2 interrupted!, interrupted",
    );
    let said = world.result("c2");
    assert!(said.ends_with("Nothing was applied. What the tools that it called changed stays: a."), "{said}");
}

#[test]
fn a_question_of_a_tool_that_is_gone_or_denied_ends_with_its_answer() {
    for (reopen, ended) in [("open without=read", "c1 failed!"), ("open rule=deny:read:no", "c1 deny no, c1 denied!")] {
        begun(&format!(
            "> call read
             c1 wants read, c1 allow default.read, c1 starts => run c1
             > report c1 asks how many
             q1 of read for c1: how many
             > {reopen}
             -
             > reply q1 five
             {ended}, request 2.1 items=3 => ask model"
        ));
    }
}

#[test]
fn what_reaches_the_world_is_asked_about_again_when_it_goes_on() {
    let world = begun(
        "> call run send
         c1 wants run, c2 wants send, c1 ask default.execute, a1 asks c1 default.execute
         > answer a1 yes
         c1 starts => run c1
         > report c1 asks sure
         q1 of run for c1: sure
         > reply q1 yes
         c1 ask default.execute, a2 asks c1 default.execute
         > answer a2 tool
         allowance run default.execute, c1 starts => run c1 on `yes`
         > report c1 asks really
         q2 of run for c1: really
         > reply q2 yes
         c1 starts => run c1 on `yes`
         > report c1 returned
         c1 returned, c2 allow default.network, c2 starts => run c2
         > open same
         c2 in_doubt!, request 2.1 items=3 => ask model",
    );
    assert!(matches!(world.state.turn, Some(ref turn) if turn.calls().is_empty()));
}

#[test]
fn kv_writes_are_in_force_only_when_the_call_ended_well() {
    begun(
        "> call read read edit edit edit
         c1 wants read, c2 wants read, c3 wants edit, c4 wants edit, c5 wants edit, c1 allow default.read, c1 starts, c2 allow default.read, c2 starts => run c1, run c2
         > report c1 kv
         c1 kv, c1 returned
         > report c2 kv-failed
         c2 failed!, c3 allow default.edit, c3 starts => run c3
         > report c3 kv-staged a
         c3 allow approve.edits, c3 authorized => put c3 [a]
         > put c3 applied
         c3 kv, c3 returned [a], c4 allow default.edit, c4 starts => run c4
         > report c4 kv-staged a
         c4 allow approve.edits, c4 authorized => put c4 [a]
         > put c4 conflict a
         c4 conflict!, c5 allow default.edit, c5 starts => run c5
         > report c5 kv-staged .harness-host/x
         c5 deny boundary.host-files, c5 denied!, request 2.1 items=3 => ask model",
    );
}

#[test]
fn what_needs_something_lists_it() {
    let world = begun(
        "> call read read
         c1 wants read, c2 wants read, c1 allow default.read, c1 starts, c2 allow default.read, c2 starts => run c1, run c2
         > report c2 asks-of b
         q1 of read for c2: which [b]
         > report c1 asks what
         q2 of read for c1: what",
    );
    let asked: Vec<_> =
        world.state.questions().iter().map(|it| (it.component, it.words, it.choices.to_vec())).collect();
    assert_eq!(asked, [("read", "what", Vec::new()), ("read", "which", vec!["b".to_owned()])]);
    assert!(world.state.pending().is_empty());
    assert!(matches!(world.state.questions()[0].call.stage, CallStage::Questioned { .. }));
}

#[test]
fn what_ran_outside_before_it_asked_is_in_doubt_when_it_is_stopped() {
    let begin = "> create
         -
         > open approve=all
         -
         > prompt hi
         turn 1, request 1.1 items=1 => ask model
         > call run edit
         c1 wants run, c2 wants edit, c1 allow approve.all, c1 starts => run c1
         ";
    check(&format!(
        "{begin}> report c1 asks really
         q1 of run for c1: really
         > interrupt
         q1 withdrawn, c1 in_doubt!, c2 interrupted!, interrupted"
    ));
    check(&format!(
        "{begin}> report c1 calls edit={{}}
         c3 wants edit for c1, c3 allow approve.all, c3 starts => run c3
         > report c3 staged f
         c3 allow approve.all, c3 authorized => put c3 [f]
         > interrupt
         c2 interrupted!
         > put c3 applied
         c3 returned [f], c1 in_doubt!, interrupted"
    ));
}
