//! Turns: prompts, requests, repetitions, limits, interrupts.

use crate::notation::check;

#[test]
fn a_plain_answer() {
    let world = check(
        "> create
         -
         > open
         -
         > prompt hello
         turn 1, request 1.1 items=1 => ask model
         > say hi
         done
         > prompt and again
         turn 2, request 1.1 items=3 => ask model
         > say ho
         done",
    );
    assert_eq!(world.state.final_text().as_deref(), Some("ho"));
    assert_eq!(world.state.title.as_deref(), Some("hello"));
    assert_eq!(world.state.usage.input_tokens, 20);
}

#[test]
fn an_empty_response_ends_the_turn() {
    check(
        "> create
         -
         > open
         -
         > prompt hello
         turn 1, request 1.1 items=1 => ask model
         > call
         done
         > prompt hello?
         turn 2, request 1.1 items=2 => ask model",
    );
}

#[test]
fn inputs_out_of_place_are_refused() {
    check(
        "> open
         refused: the session was not opened
         > prompt too early
         refused: the session was not opened
         > rename nothing
         refused: the session was not opened
         > create
         -
         > create
         refused: the session exists already
         > open same
         refused: the session was not opened
         > prompt not opened
         refused: the session was not opened
         > open
         -
         > interrupt
         refused: no turn is under way
         > say nobody asked
         refused: no turn is under way
         > retry
         refused: no turn is under way
         > report c9 returned
         refused: no turn is under way
         > answer a9 yes
         refused: a? does not wait for an answer (any more)
         > rename
         refused: a title has 1 to 80 characters
         > rename a good title
         -
         > prompt
         refused: a prompt has 1 to 1048576 bytes, this one has 0
         > prompt one
         turn 1, request 1.1 items=1 => ask model
         > prompt two
         refused: a turn is under way: wait for it, answer what it asks, or interrupt it
         > derived
         refused: `allowance_granted` follows from inputs and is not one
         > retry
         refused: no turn is under way
         > report c9 returned
         refused: c? is not under way
         > put c9 applied
         refused: c? is not under way",
    );
}

#[test]
fn failures_are_repeated_with_growing_waits_and_then_end_the_turn() {
    check(
        "> create
         -
         > open
         -
         > prompt hello
         turn 1, request 1.1 items=1 => ask model
         > fail retryable
         repeat 2 => wait 470
         > retry
         request 1.2 items=1 => ask model
         > fail retryable
         repeat 3 => wait 910
         > retry
         request 1.3 items=1 => ask model
         > fail retryable
         repeat 4 => wait 2460
         > retry
         request 1.4 items=1 => ask model
         > fail retryable
         repeat 5 => wait 4640
         > retry
         request 1.5 items=1 => ask model
         > fail retryable
         repeat 6 => wait 9840
         > retry
         request 1.6 items=1 => ask model
         > fail retryable
         failed retryable",
    );
}

#[test]
fn what_a_repetition_cannot_help_ends_the_turn_at_once() {
    for kind in ["refused", "authentication", "too-long"] {
        let word = if kind == "too-long" { "context_too_long" } else { kind };
        check(&format!(
            "> create
             -
             > open
             -
             > prompt hello
             turn 1, request 1.1 items=1 => ask model
             > fail {kind} after=5
             failed {word}
             > prompt once more
             turn 2, request 1.1 items=2 => ask model"
        ));
    }
}

#[test]
fn a_provider_may_ask_for_a_wait_but_not_for_an_endless_one() {
    check(
        "> create
         -
         > open
         -
         > prompt hello
         turn 1, request 1.1 items=1 => ask model
         > fail malformed after=1234
         repeat 2 as asked => wait 1234
         > say too late
         refused: no turn is under way
         > retry
         request 1.2 items=1 => ask model
         > fail retryable after=999999999
         repeat 3 as asked => wait 120000
         > retry
         request 1.3 items=1 => ask model
         > call read
         c1 wants read, c1 allow default.read, c1 starts => run c1
         > report c1 returned
         c1 returned, request 2.1 items=3 => ask model",
    );
}

#[test]
fn a_turn_has_limits() {
    check(
        "> create
         -
         > open
         -
         > prompt steps=2
         turn 1, request 1.1 items=1 => ask model
         > call read
         c1 wants read, c1 allow default.read, c1 starts => run c1
         > report c1 returned
         c1 returned, request 2.1 items=3 => ask model
         > call read
         c2 wants read, c2 allow default.read, c2 starts => run c2
         > report c2 returned
         c2 returned, limit max-steps=2
         > prompt steps=0
         turn 2, limit max-steps=0
         > prompt tokens=99
         turn 3, request 1.1 items=7 => ask model
         > cut half an ans
         limit output-tokens=99",
    );
}

#[test]
fn an_interrupt_ends_a_request_and_a_wait() {
    check(
        "> create
         -
         > open
         -
         > prompt hello
         turn 1, request 1.1 items=1 => ask model
         > interrupt
         interrupted => cancel model
         > say too late
         refused: no turn is under way
         > prompt hello
         turn 2, request 1.1 items=2 => ask model
         > fail disconnected after=7
         repeat 2 as asked => wait 7
         > interrupt
         interrupted => cancel model
         > retry
         refused: no turn is under way",
    );
}

#[test]
fn an_interrupt_ends_calls_but_not_what_is_being_put_in_place() {
    let world = check(
        "> create
         -
         > open rule=ask:think:slow
         -
         > prompt hello
         turn 1, request 1.1 items=1 => ask model
         > call read read think run edit
         c1 wants read, c2 wants read, c3 wants think, c4 wants run, c5 wants edit, c1 allow default.read, c1 starts, c2 allow default.read, c2 starts => run c1, run c2
         > report c2 returned
         c2 returned
         > interrupt
         c1 interrupted!, c3 interrupted!, c4 interrupted!, c5 interrupted!, interrupted => cancel c1
         > report c1 returned
         refused: no turn is under way
         > answer a1 yes
         refused: a? does not wait for an answer (any more)
         > prompt on
         turn 2, request 1.1 items=4 => ask model
         > call run edit
         c6 wants run, c7 wants edit, c6 ask default.execute, a1 asks c6 default.execute
         > answer a1 yes
         c6 starts => run c6
         > interrupt
         c6 in_doubt!, c7 interrupted!, interrupted => cancel c6
         > prompt on
         turn 3, request 1.1 items=7 => ask model
         > call edit read
         c8 wants edit, c9 wants read, c8 allow default.edit, c8 starts => run c8
         > report c8 staged a
         c8 ask default.edit, a2 asks c8 default.edit
         > interrupt
         a2 withdrawn, c8 interrupted!, c9 interrupted!, interrupted
         > answer a2 yes
         refused: a2 does not wait for an answer (any more)
         > open approve=edits
         -
         > prompt on
         turn 4, request 1.1 items=10 => ask model
         > call edit read
         c10 wants edit, c11 wants read, c10 allow default.edit, c10 starts => run c10
         > report c10 staged a
         c10 allow approve.edits, c10 authorized => put c10 [a]
         > interrupt
         c11 interrupted!
         > interrupt
         -
         > prompt not yet
         refused: a turn is under way: wait for it, answer what it asks, or interrupt it
         > put c10 applied
         c10 returned [a], interrupted",
    );
    assert!(world.result("c1").starts_with("Interrupted before it ended"));
    assert!(world.result("c6").starts_with("In doubt"), "it ran outside the sandbox");
}
