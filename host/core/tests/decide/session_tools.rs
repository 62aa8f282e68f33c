//! What the model asks of the session itself: questions, plans, the list of what is to be done.

use crate::notation::check;
use harness_core::todo::TodoStatus;

#[test]
fn questions_are_parked_at_once_and_answered_in_any_order_beside_other_calls() {
    let world = check(
        r#"> create
         -
         > open session
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call ask_user={"question":"1?"} edit ask_user={"question":"2?","choices":["a","b"]} run
         c1 wants ask_user {"question":"1?"}, c2 wants edit, c3 wants ask_user {"question":"2?","choices":["a","b"]}, c4 wants run, c1 allow default.session, c1 starts, q1 of model for c1: 1?, c3 allow default.session, c3 starts, q2 of model for c3: 2? [a b], c2 allow default.edit, c2 starts => run c2
         > reply q2 c
         refused: `c` is not one of the answers to q2: a, b
         > reply q2 b
         c3 returned
         > reply q2 b
         refused: q2 does not wait for an answer (any more)
         > report c2 staged f
         c2 ask default.edit, a1 asks c2 default.edit
         > answer a1 yes
         c2 authorized => put c2 [f]
         > put c2 applied
         c2 returned [f], c4 ask default.execute, a2 asks c4 default.execute
         > answer a2 yes
         c4 starts => run c4
         > report c4 returned
         c4 returned
         > decline q1
         c1 returned, request 2.1 items=3 => ask model"#,
    );
    assert_eq!(world.result("c3"), "b");
    assert!(world.result("c1").starts_with("Nobody answered."), "{}", world.result("c1"));
}

#[test]
fn several_choices_are_each_on_a_line() {
    let world = check(
        r#"> create
         -
         > open session
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call ask_user={"question":"?","choices":["a","b","c"],"several":true}
         c1 wants ask_user {"question":"?","choices":["a","b","c"],"several":true}, c1 allow default.session, c1 starts, q1 of model for c1: ? [a b c] several
         > reply q1 a|a
         refused: `a a` is not one of the answers to q1: a, b, c
         > reply q1 a|d
         refused: `a d` is not one of the answers to q1: a, b, c
         > reply q1 c|a
         c1 returned, request 2.1 items=3 => ask model"#,
    );
    assert_eq!(world.result("c1"), "c\na");
}

#[test]
fn bad_arguments_are_the_models_to_mend() {
    let world = check(
        r#"> create
         -
         > open session
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call ask_user submit_plan={"title":"t"} todo={"todos":[{"text":"a","status":"soon"}]}
         c1 wants ask_user, c2 wants submit_plan {"title":"t"}, c3 wants todo {"todos":[{"text":"a","status":"soon"}]}, c1 allow default.session, c1 starts, c1 failed!, c3 allow default.session, c3 starts, c3 failed!, c2 allow default.session, c2 starts, c2 failed!, request 2.1 items=3 => ask model"#,
    );
    for (call, wrong) in [("c1", "missing field `question`"), ("c2", "missing field `plan`"), ("c3", "`soon`")] {
        assert!(world.result(call).contains(wrong), "{}", world.result(call));
    }
}

#[test]
fn no_mode_rule_or_approve_setting_takes_them_away_but_a_deny_by_name() {
    check(
        r#"> create
         -
         > open session approve=none mode=plan:p[read] rule=deny:*:all rule=ask:todo:shy
         mode plan (start)
         > prompt go
         turn 1, request 1.1 items=2 => ask model
         > call todo={"todos":[]} read
         c1 wants todo {"todos":[]}, c2 wants read, c1 allow default.session, c1 starts, todos , c1 returned, c2 judging => judge c2
         > policy c2 allow
         c2 deny all, c2 denied!, request 2.1 items=4 => ask model
         > open session rule=deny:todo:never
         mode  (gone) => ask model
         > call todo={"todos":[]}
         c3 wants todo {"todos":[]}, c3 deny never, c3 denied!, request 3.1 items=6 => ask model"#,
    );
}

#[test]
fn a_component_never_asks_in_the_models_name() {
    let world = check(
        r#"> create
         -
         > open session
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call read
         c1 wants read, c1 allow default.read, c1 starts => run c1
         > report c1 calls ask_user={"question":"password?"}
         c2 wants ask_user {"question":"password?"} for c1, c2 failed!, c1 starts => run c1 on outcome! Failed
         > report c1 returned
         c1 returned, request 2.1 items=3 => ask model"#,
    );
    assert_eq!(world.result("c1"), "ok");
}

#[test]
fn an_approved_plan_leads_to_the_next_mode_and_what_comes_after_it_is_judged_there() {
    let world = check(
        r#"> create
         -
         > open session mode=plan>build[read] mode=build mode=review
         mode plan (start)
         > prompt go
         turn 1, request 1.1 items=2 => ask model
         > call submit_plan={"title":"Tidy","plan":"First…"} read edit
         c1 wants submit_plan {"title":"Tidy","plan":"First…"}, c2 wants read, c3 wants edit, c1 allow default.session, c1 starts, p1 of c1: Tidy, c2 allow default.read, c2 starts => run c2
         > plan p1 approve fly
         refused: there is no mode `fly`; there are: plan, build, review
         > plan p2 approve
         refused: p? does not wait for an answer (any more)
         > report c2 returned
         c2 returned
         > plan p1 approve
         mode build (plan), c1 returned, c3 allow default.edit, c3 starts => run c3
         > plan p1 approve
         refused: p1 does not wait for an answer (any more)
         > report c3 returned
         c3 returned, request 2.1 items=5 => ask model
         > call submit_plan={"title":"More","plan":"x"}
         c4 wants submit_plan {"title":"More","plan":"x"}, c4 allow default.session, c4 starts, p2 of c4: More
         > plan p2 reject  without tests 
         c4 returned, request 3.1 items=7 => ask model
         > call submit_plan={"title":"Again","plan":"x"}
         c5 wants submit_plan {"title":"Again","plan":"x"}, c5 allow default.session, c5 starts, p3 of c5: Again
         > plan p3 approve review
         mode review (plan), c5 returned, request 4.1 items=10 => ask model"#,
    );
    let (approved, rejected) = (world.result("c1"), world.result("c4"));
    assert!(approved.contains("approved the plan. The session is now in the mode `build`."), "{approved}");
    assert_eq!(rejected, "A person did not approve the plan: without tests");
}

#[test]
fn an_interrupt_withdraws_what_waits_and_a_crash_does_not() {
    let world = check(
        r#"> create
         -
         > open session
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call todo={"todos":[{"text":"a","status":"in_progress"}]} ask_user={"question":"?"} submit_plan={"title":"t","plan":"p"} run
         c1 wants todo {"todos":[{"text":"a","status":"in_progress"}]}, c2 wants ask_user {"question":"?"}, c3 wants submit_plan {"title":"t","plan":"p"}, c4 wants run, c1 allow default.session, c1 starts, todos a:InProgress, c1 returned, c2 allow default.session, c2 starts, q1 of model for c2: ?, c3 allow default.session, c3 starts, p1 of c3: t
         > open same
         -
         > open
         -
         > reply q1 yes
         c2 returned
         > interrupt
         p1 withdrawn, c3 interrupted!, c4 interrupted!, interrupted
         > plan p1 approve
         refused: p1 does not wait for an answer (any more)"#,
    );
    assert_eq!(world.result("c2"), "yes", "it is answered also where the tool is not offered any more");
    assert_eq!(world.state.todos[0].status, TodoStatus::InProgress);
}

#[test]
fn an_answer_reaches_the_model_also_where_a_budget_ends_the_turn() {
    let world = check(
        r#"> create
         -
         > open session
         -
         > prompt go b.calls=1
         turn 1, request 1.1 items=1 => ask model
         > call ask_user={"question":"1?"} read
         c1 wants ask_user {"question":"1?"}, c2 wants read, c1 allow default.session, c1 starts, q1 of model for c1: 1?, c2 allow default.read, crossed budget.turn.calls=1, c2 failed!
         > reply q1 so
         c1 returned, limit budget.turn.calls=1"#,
    );
    assert_eq!(world.result("c1"), "so");
}
