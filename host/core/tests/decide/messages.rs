//! What is said while a turn is under way: steered, queued, interrupting, taken back.

use crate::notation::check;

const START: &str = "> create
    -
    > open
    -
    > prompt hi
    turn 1, request 1.1 items=1 => ask model
    ";

#[test]
fn a_steer_reaches_the_model_at_the_next_step_after_the_results() {
    check(&format!(
        "{START}> message steer one
         -
         > message steer two
         -
         > call read
         c1 wants read, c1 allow default.read, c1 starts => run c1
         > report c1 returned
         c1 returned, m1 delivered, m2 delivered, request 2.1 items=5 => ask model
         > say done
         done"
    ));
}

#[test]
fn a_steer_that_came_too_late_begins_the_next_turn_before_what_was_queued() {
    check(&format!(
        "{START}> message queue later
         -
         > message queue last
         -
         > message steer wait
         -
         > say done
         done, m3 delivered, turn 2, request 1.1 items=3 => ask model
         > say done
         done, m1 delivered, turn 3, request 1.1 items=5 => ask model
         > say done
         done, m2 delivered, turn 4, request 1.1 items=7 => ask model
         > say done
         done"
    ));
}

#[test]
fn an_interrupting_message_stops_the_turn_and_begins_the_next() {
    check(&format!(
        "{START}> call edit
         c1 wants edit, c1 allow default.edit, c1 starts => run c1
         > message queue later
         -
         > message interrupt rather this
         c1 interrupted!, interrupted, m2 delivered, turn 2, request 1.1 items=4 => cancel c1, ask model
         > message interrupt no, this
         interrupted, m3 delivered, turn 3, request 1.1 items=5 => cancel model, ask model
         > say done
         done, m1 delivered, turn 4, request 1.1 items=7 => ask model"
    ));
}

#[test]
fn an_interrupting_message_waits_for_changes_that_are_being_put_in_place() {
    check(
        "> create
         -
         > open approve=edits
         -
         > prompt hi
         turn 1, request 1.1 items=1 => ask model
         > call edit
         c1 wants edit, c1 allow default.edit, c1 starts => run c1
         > report c1 staged f
         c1 allow approve.edits, c1 authorized => put c1 [f]
         > message interrupt stop
         -
         > put c1 applied
         c1 returned [f], interrupted, m1 delivered, turn 2, request 1.1 items=4 => ask model",
    );
}

#[test]
fn a_stop_without_a_word_counts_over_words_before_it_and_not_over_those_after_it() {
    let stopped = "> create
         -
         > open approve=edits
         -
         > prompt hi
         turn 1, request 1.1 items=1 => ask model
         > call edit
         c1 wants edit, c1 allow default.edit, c1 starts => run c1
         > report c1 staged f
         c1 allow approve.edits, c1 authorized => put c1 [f]
         > message interrupt rather this
         -
         > interrupt
         -
         ";
    check(&format!(
        "{stopped}> put c1 applied
         c1 returned [f], interrupted
         > message queue go on
         m1 delivered, turn 2, request 1.1 items=4 => ask model"
    ));
    // A prompt brings it before the model too.
    check(&format!(
        "{stopped}> put c1 applied
         c1 returned [f], interrupted
         > prompt go on
         turn 2, m1 delivered, request 1.1 items=5 => ask model"
    ));
    check(&format!(
        "{stopped}> message interrupt or this
         -
         > put c1 applied
         c1 returned [f], interrupted, m1 delivered, m2 delivered, turn 2, request 1.1 items=5 => ask model"
    ));
}

#[test]
fn speaking_declines_nothing_that_is_asked() {
    check(&format!(
        "{START}> call run
         c1 wants run, c1 ask default.execute, a1 asks c1 default.execute
         > message steer by the way
         -
         > message queue later
         -
         > answer a1 yes
         c1 starts => run c1
         > report c1 returned
         c1 returned, m1 delivered, request 2.1 items=4 => ask model"
    ));
}

#[test]
fn what_waits_goes_on_waiting_after_a_failure_and_after_a_stop_without_a_word() {
    check(&format!(
        "{START}> message queue later
         -
         > fail refused
         failed refused
         > open same
         -
         > prompt again
         turn 2, request 1.1 items=2 => ask model
         > interrupt
         interrupted => cancel model
         > message queue last
         m1 delivered, turn 3, request 1.1 items=3 => ask model
         > say done
         done, m2 delivered, turn 4, request 1.1 items=5 => ask model"
    ));
}

#[test]
fn a_message_begins_a_turn_where_none_is_under_way_and_can_be_taken_back_where_it_waits() {
    check(
        "> create
         -
         > message queue too early
         refused: the session was not opened
         > open
         -
         > message steer hi
         m2 delivered, turn 1, request 1.1 items=1 => ask model
         > message queue later
         -
         > withdraw m3
         m3 expired: withdrawn
         > withdraw m3
         refused: m3 does not wait (any more)
         > say done
         done",
    );
}

#[test]
fn what_is_said_while_changes_are_taken_back_waits_for_that() {
    check(
        "> create
         -
         > open approve=edits
         -
         > prompt hi
         turn 1, request 1.1 items=1 => ask model
         > call edit
         c1 wants edit, c1 allow default.edit, c1 starts => run c1
         > report c1 staged f
         c1 allow approve.edits, c1 authorized => put c1 [f]
         > put c1 applied
         c1 returned [f], request 2.1 items=3 => ask model
         > say done
         done
         > undo c1 of f
         => put u1 [f]
         > message queue next
         -
         > put u1 applied
         undone c1, m1 delivered, turn 2, request 1.1 items=5 => ask model",
    );
}

#[test]
fn a_session_holds_so_many_messages() {
    let waiting = "> message queue x\n-\n".repeat(harness_core::limits::MESSAGES_WAITING_MAX);
    check(&format!(
        "{START}{waiting}> message queue x
         refused: at most 64 messages with 4194304 bytes together wait in a session: withdraw some, or wait"
    ));
}
