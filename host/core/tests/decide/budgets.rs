//! What a turn and a session may spend.

use crate::notation::check;

const BARE: &str = "> create
    -
    > open without=read without=edit without=run without=fetch without=think without=send
    -
    ";

#[test]
fn room_is_set_aside_before_a_request_and_usage_that_is_not_known_counts_as_that() {
    // Ten bytes of words and no context are 4 tokens; 100 are set aside for the response. What broke off counts as
    // that, what was used counts as itself, and 11 tokens of known conversation are in the request after it.
    check(&format!(
        "{BARE}> budget b.tokens=320
         -
         > prompt tokens=100
         turn 1, request 1.1 items=1 tokens=104 => ask model
         > fail disconnected
         repeat 2 => wait 585
         > retry
         request 1.2 items=1 tokens=104 => ask model
         > say done
         done
         > prompt tokens=100
         turn 2, request 1.1 items=3 tokens=115 => ask model
         > say x used=0+0
         done
         > prompt tokens=100
         turn 3, limit budget.session.tokens=320
         > budget b.tokens=400
         -
         > prompt tokens=100
         turn 4, request 1.1 items=6 tokens=125 => ask model"
    ));
}

#[test]
fn money_is_set_aside_by_the_models_price() {
    check(&format!(
        "{BARE}> model test/dear price=1000000+2000000
         -
         > prompt tokens=100 b.cost=203
         turn 1, limit budget.turn.cost-micro-usd=203
         > prompt tokens=100 b.cost=300
         turn 2, request 1.1 items=2 tokens=114 cost=214 => ask model"
    ));
}

#[test]
fn a_budget_is_crossed_by_name_and_can_be_raised() {
    check(
        "> create
         -
         > open
         -
         > budget b.calls=1
         -
         > prompt hi
         turn 1, request 1.1 items=1 => ask model
         > call read read
         c1 wants read, c2 wants read, c1 allow default.read, c1 starts, c2 allow default.read, crossed budget.session.calls=1, c2 failed! => run c1
         > report c1 returned
         c1 returned, limit budget.session.calls=1
         > budget b.calls=5
         -
         > prompt go on
         turn 2, request 1.1 items=4 => ask model
         > call read
         c3 wants read, c3 allow default.read, c3 starts => run c3",
    );
}

#[test]
fn steps_and_work_of_a_turn() {
    check(
        "> create
         -
         > open
         -
         > prompt hi b.steps=1
         turn 1, request 1.1 items=1 => ask model
         > call read
         c1 wants read, c1 allow default.read, c1 starts => run c1
         > report c1 returned
         c1 returned, limit budget.turn.steps=1
         > prompt on b.steps=0
         turn 2, limit budget.turn.steps=0
         > prompt on b.work=0
         turn 3, limit budget.turn.work-ms=0
         > prompt on b.fuel=0
         turn 4, limit budget.turn.fuel=0
         > prompt free
         turn 5, request 1.1 items=7 => ask model
         > fail retryable
         repeat 2 => wait 580
         > retry
         request 1.2 items=7 => ask model",
    );
}

#[test]
fn repetitions_after_failures_count_too() {
    check(
        "> create
         -
         > open
         -
         > prompt hi b.steps=1
         turn 1, request 1.1 items=1 => ask model
         > fail retryable
         repeat 2 => wait 470
         > retry
         limit budget.turn.steps=1",
    );
}

#[test]
fn a_request_that_nobody_waits_for_any_more_counts_as_what_was_set_aside() {
    // Each is 104 and what is new. Opening again makes a request again, which may have been billed before.
    check(&format!(
        "{BARE}> budget b.tokens=330
         -
         > prompt tokens=100
         turn 1, request 1.1 items=1 tokens=104 => ask model
         > interrupt
         interrupted => cancel model
         > prompt tokens=100
         turn 2, request 1.1 items=2 tokens=107 => ask model
         > open without=read without=edit without=run without=fetch without=think without=send
         => ask model
         > open without=read without=edit without=run without=fetch without=think without=send
         limit budget.session.tokens=330"
    ));
}

#[test]
fn a_request_that_is_made_again_is_a_step() {
    check(
        "> create
         -
         > open
         -
         > prompt hi b.steps=2
         turn 1, request 1.1 items=1 => ask model
         > open
         => ask model
         > open
         limit budget.turn.steps=2",
    );
}

#[test]
fn what_hooks_add_to_a_request_is_set_aside_too() {
    // Six bytes are two tokens. What was never asked costs nothing.
    let script = |budget: u32, after: &str| {
        format!(
            "{BARE}> budget b.tokens={budget}
             -
             > prompt tokens=100
             turn 1, request 1.1 items=1 tokens=104 => ask model
             > hook-before note six by
             {after}"
        )
    };
    check(&script(105, "hooks notes six by at once tokens=106, limit budget.session.tokens=105 => cancel model"));
    // Usage that is not known counts as all of it.
    check(&script(
        211,
        "hooks notes six by at once tokens=106
         > fail disconnected
         repeat 2 => wait 455
         > retry
         limit budget.session.tokens=211",
    ));
}

#[test]
fn what_a_response_took_beyond_what_was_set_aside_is_all_that_a_budget_is_overshot_by() {
    // Of the turn: the response is taken, its calls are answered, and nothing is asked any more.
    check(&format!(
        "{BARE}> prompt tokens=100 b.tokens=130
         turn 1, request 1.1 items=1 tokens=108 => ask model
         > call nothing used=4000+1
         c1 wants nothing, c1 failed!, limit budget.turn.tokens=130
         > prompt tokens=100 b.tokens=9000
         turn 2, request 1.1 items=4 tokens=4130 => ask model
         > say done used=10+1
         done"
    ));
    // Of the session, raised to go on: what was overshot counts.
    check(&format!(
        "{BARE}> budget b.tokens=130
         -
         > prompt tokens=100
         turn 1, request 1.1 items=1 tokens=104 => ask model
         > call nothing used=4000+1
         c1 wants nothing, c1 failed!, limit budget.session.tokens=130
         > budget b.tokens=4001
         -
         > prompt tokens=100
         turn 2, limit budget.session.tokens=4001
         > budget b.tokens=9000
         -
         > prompt tokens=100
         turn 3, request 1.1 items=5 tokens=4129 => ask model"
    ));
}

#[test]
fn a_response_whose_cost_nobody_says_costs_what_was_set_aside() {
    let script = |cost: u32, after: &str| {
        format!(
            "{BARE}> model test/dear price=1000000+2000000
             -
             > budget b.cost={cost}
             -
             > prompt tokens=100
             turn 1, request 1.1 items=1 tokens=104 cost=204 => ask model
             > call nothing used=4+1{after}"
        )
    };
    check(&script(420, "\nc1 wants nothing, c1 failed!, limit budget.session.cost-micro-usd=420"));
    check(&script(420, " cost=6\nc1 wants nothing, c1 failed!, request 2.1 items=3 tokens=126 cost=226 => ask model"));
}

#[test]
fn a_budget_of_the_turn_and_one_of_the_session_each_stop_and_the_tighter_one_is_named() {
    for (of_turn, of_session, named) in [(1, 2, "turn"), (2, 1, "session")] {
        check(&format!(
            "> create
             -
             > open
             -
             > budget b.steps={of_session}
             -
             > prompt hi b.steps={of_turn}
             turn 1, request 1.1 items=1 => ask model
             > call read
             c1 wants read, c1 allow default.read, c1 starts => run c1
             > report c1 returned
             c1 returned, limit budget.{named}.steps=1
             > budget b.steps=9
             -
             > prompt go on
             turn 2, request 1.1 items=4 => ask model"
        ));
    }
}

#[test]
fn what_waits_does_not_begin_after_a_budget_was_crossed_and_goes_on_once_it_was_raised() {
    check(
        "> create
         -
         > open
         -
         > budget b.steps=1
         -
         > prompt hi
         turn 1, request 1.1 items=1 => ask model
         > message queue later
         -
         > call read
         c1 wants read, c1 allow default.read, c1 starts => run c1
         > report c1 returned
         c1 returned, limit budget.session.steps=1
         > budget b.steps=9
         -
         > prompt go on
         turn 2, request 1.1 items=4 => ask model
         > say done
         done, m1 delivered, turn 3, request 1.1 items=6 => ask model",
    );
}

#[test]
fn a_request_that_a_hook_stops_counts_as_what_was_set_aside_unless_it_was_never_made() {
    check(&format!(
        "{BARE}> budget b.tokens=320
         -
         > prompt tokens=100
         turn 1, request 1.1 items=1 tokens=104 => ask model
         > hook-before stop no
         end stopped by hooks: no => cancel model
         > prompt tokens=100
         turn 2, request 1.1 items=2 tokens=107 => ask model
         > hook stop no
         end stopped by hooks: no => cancel model
         > prompt tokens=100
         turn 3, request 1.1 items=3 tokens=110 => ask model
         > interrupt
         interrupted => cancel model
         > prompt tokens=100
         turn 4, limit budget.session.tokens=320"
    ));
}

#[test]
fn a_request_that_one_hook_stops_and_another_adds_to_was_never_made() {
    for stops in ["stop no and note six by", "note six by and stop no"] {
        let world = check(&format!(
            "{BARE}> budget b.tokens=320
             -
             > prompt tokens=100
             turn 1, request 1.1 items=1 tokens=104 => ask model
             > hook-before {stops}
             hooks notes six by, end stopped by hooks: no => cancel model"
        ));
        assert_eq!(world.state.spent.tokens, 0);
    }
}
