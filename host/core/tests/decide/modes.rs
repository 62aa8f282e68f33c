//! Modes: entered, judged by, changed; hooks.

use crate::notation::{World, check};
use harness_core::Item;

/// What the model was told in a person's place.
fn told(world: &World) -> Vec<String> {
    let items = world.state.history.iter();
    let texts = items.filter_map(|item| match item.as_ref() {
        Item::User { text } if text.starts_with('[') => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

/// Runs a script in the first turn of a session whose mode has the policy `p`.
#[track_caller]
fn judged(script: &str) -> World {
    let start = "> create
         -
         > open mode=plan:p
         mode plan (start)
         > prompt hi
         turn 1, request 1.1 items=2 => ask model\n";
    check(&[start, script].concat())
}

#[test]
fn a_session_begins_in_the_first_mode_and_the_model_is_told() {
    let world = check(
        "> create
         -
         > open mode=plan>build mode=build
         mode plan (start)
         > prompt hi
         turn 1, request 1.1 items=2 => ask model
         > mode build
         mode build (person)
         > mode build
         -
         > mode fly
         refused: there is no mode `fly`; there are: plan, build
         > call read
         c1 wants read, c1 allow default.read, c1 starts => run c1
         > report c1 returned
         c1 returned, request 2.1 items=5 => ask model
         > say done
         done",
    );
    let told = told(&world);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("mode `plan`") && told[0].contains("Do as plan does."), "{told:?}");
    assert!(told[1].contains("mode `build`"), "{told:?}");
}

#[test]
fn a_policy_is_asked_before_a_call_runs_and_before_its_changes_are_put_in_place() {
    judged(
        "> call edit={\"a\":1}
         c1 wants edit {\"a\":1}, c1 judging => judge c1
         > policy c1 allow by=another
         -
         > policy c1 allow
         c1 allow mode.plan.rule, c1 starts => run c1
         > report c1 staged f
         c1 judging => judge c1 staged
         > policy c1 deny
         c1 deny mode.plan.rule, c1 denied!, request 2.1 items=4 => ask model",
    );
}

#[test]
fn an_answer_that_comes_with_the_response_costs_no_wait() {
    judged(
        "> policy read={} allow
         -
         > call read
         c1 wants read, c1 allow mode.plan.rule, c1 starts => run c1
         > report c1 returned
         c1 returned, request 2.1 items=4 => ask model
         > call read
         c2 wants read, c2 judging => judge c2",
    );
}

#[test]
fn narrower_arguments_are_what_is_approved_and_run_and_the_model_is_told() {
    let world = judged(
        "> call run={\"all\":1}
         c1 wants run {\"all\":1}, c1 judging => judge c1
         > policy c1 ask narrow={\"one\":1}
         c1 is {\"one\":1} by mode.plan.rule, c1 ask mode.plan.rule, a1 asks c1 mode.plan.rule
         > answer a1 yes
         c1 starts => run c1
         > report c1 returned
         c1 returned, request 2.1 items=4 => ask model",
    );
    assert!(world.result("c1").contains("These counted: {\"one\":1}"), "{}", world.result("c1"));
}

#[test]
fn arguments_that_make_no_sense_are_a_no() {
    judged(
        "> call run
         c1 wants run, c1 judging => judge c1
         > policy c1 allow narrow=[1]
         c1 deny mode.plan.narrowed, c1 denied!, request 2.1 items=4 => ask model",
    );
}

#[test]
fn a_mode_yields_to_a_rule_that_allows_and_never_to_itself() {
    check(
        "> create
         -
         > open mode=plan:p rule=allow:run:mine rule=deny:fetch:never
         mode plan (start)
         > prompt hi
         turn 1, request 1.1 items=2 => ask model
         > call run fetch
         c1 wants run, c2 wants fetch, c1 judging => judge c1
         > policy c1 ask
         c1 allow mine, c1 starts => run c1
         > report c1 returned
         c1 returned, c2 judging => judge c2
         > policy c2 allow
         c2 deny never, c2 denied!, request 2.1 items=4 => ask model",
    );
}

#[test]
fn a_mode_uses_only_its_tools() {
    check(
        "> create
         -
         > open mode=plan[read]
         mode plan (start)
         > prompt hi
         turn 1, request 1.1 items=2 => ask model
         > call edit read
         c1 wants edit, c2 wants read, c1 deny mode.plan.tools, c1 denied!, c2 allow default.read, c2 starts => run c2",
    );
}

#[test]
fn another_mode_or_policy_judges_what_waits() {
    check(
        "> create
         -
         > open mode=plan:p mode=build
         mode plan (start)
         > prompt hi
         turn 1, request 1.1 items=2 => ask model
         > call run
         c1 wants run, c1 judging => judge c1
         > mode build
         mode build (person), c1 ask default.execute, a1 asks c1 default.execute
         > mode plan
         mode plan (person), a1 withdrawn, c1 judging => judge c1
         > modes plan:q
         c1 judging => judge c1
         > policy c1 allow by=p
         -
         > policy c1 deny
         c1 deny mode.plan.rule, c1 denied!, request 2.1 items=5 => ask model
         > modes other
         mode other (gone)
         > modes a a
         refused: these modes cannot be taken: `a` is there twice",
    );
}

#[test]
fn a_policy_that_was_asked_is_asked_again_after_a_crash() {
    judged(
        "> call edit
         c1 wants edit, c1 judging => judge c1
         > open same
         c1 judging => judge c1
         > policy c1 allow
         c1 allow mode.plan.rule, c1 starts => run c1
         > report c1 staged f
         c1 judging => judge c1 staged
         > open same
         c1 judging => judge c1 staged
         > interrupt
         c1 interrupted!, interrupted",
    );
}

#[test]
fn hooks_go_on_note_stop_and_propose() {
    let world = check(
        "> create
         -
         > open mode=plan>build mode=build mode=review
         mode plan (start)
         > hook note mind the gap
         hooks notes mind the gap
         > prompt hi
         turn 1, request 1.1 items=2 => ask model
         > hook mode build
         hooks proposes build
         > hook mode review
         hooks proposes review
         > call read
         c1 wants read, c1 allow default.read, c1 starts => run c1
         > hook stop enough
         c1 interrupted!, end stopped by hooks: enough => cancel c1
         > prompt on
         turn 2, request 1.1 items=5 => ask model
         > hook stop now
         end stopped by hooks: now => cancel model",
    );
    assert!(told(&world)[0].contains("mind the gap"));
}

#[test]
fn a_hook_stops_what_was_said_before_it_is_asked_and_what_was_answered_before_it_is_done() {
    check(
        "> create
         -
         > open
         -
         > hook stop not this
         -
         > prompt hi
         turn 1, end stopped by hooks: not this
         > prompt again
         turn 2, request 1.1 items=2 => ask model
         > hook-after stop seen enough
         -
         > call run
         c1 wants run, c1 interrupted!, end stopped by hooks: seen enough
         > prompt once more
         turn 3, request 1.1 items=5 => ask model
         > hook-after stop so be it
         -
         > say bye
         end stopped by hooks: so be it
         > prompt and now
         turn 4, request 1.1 items=7 => ask model
         > hook-end stop it had ended
         -",
    );
}

#[test]
fn what_a_hook_says_before_a_step_is_in_the_request_of_that_step() {
    let world = check(
        "> create
         -
         > open
         -
         > prompt hi
         turn 1, request 1.1 items=1 => ask model
         > hook note for the next
         hooks notes for the next
         > hook-before note mind the gap
         hooks notes mind the gap at once
         > call read
         c1 wants read, c1 allow default.read, c1 starts => run c1
         > hook-before note too late for this one
         hooks notes too late for this one
         > report c1 returned
         c1 returned, request 2.1 items=6 => ask model
         > hook-after note what follows
         hooks notes what follows
         > say done
         done
         > prompt on
         turn 2, request 1.1 items=9 => ask model",
    );
    let texts: Vec<String> = world
        .state
        .history
        .iter()
        .map(|item| match item.as_ref() {
            Item::User { text } => text.clone(),
            Item::Assistant { .. } => "model".to_owned(),
            Item::ToolResults { .. } => "results".to_owned(),
        })
        .collect();
    let expected = [
        "hi",
        "for the next",
        "mind the gap",
        "model",
        "results",
        "too late for this one",
        "model",
        "what follows",
        "on",
    ];
    assert_eq!(texts, expected);
}

#[test]
fn a_mode_that_a_hook_proposes_judges_what_waits_once_a_person_chose_it() {
    check(
        "> create
         -
         > open mode=build>plan mode=plan[read]
         mode build (start)
         > prompt hi
         turn 1, request 1.1 items=2 => ask model
         > call run
         c1 wants run, c1 ask default.execute, a1 asks c1 default.execute
         > hook mode plan
         hooks proposes plan
         > mode plan
         mode plan (person), a1 withdrawn, c1 deny mode.plan.tools, c1 denied!, request 2.1 items=5 => ask model
         > answer a1 yes
         refused: a1 does not wait for an answer (any more)",
    );
    check(
        "> create
         -
         > open mode=build:p>plan mode=plan:p2
         mode build (start)
         > prompt hi
         turn 1, request 1.1 items=2 => ask model
         > call run
         c1 wants run, c1 judging => judge c1
         > hook mode plan
         hooks proposes plan
         > mode plan
         mode plan (person), c1 judging => judge c1
         > policy c1 allow
         c1 allow mode.plan.rule, c1 starts => run c1",
    );
}

#[test]
fn where_a_policy_abstains_the_other_voices_decide() {
    check(
        "> create
         -
         > open trust mode=build:p
         mode build (start)
         > prompt hi
         turn 1, request 1.1 items=2 => ask model
         > call run={\"n\":1}
         c1 wants run {\"n\":1}, c1 judging => judge c1
         > policy c1 abstain
         c1 ask default.execute, a1 asks c1 default.execute
         > answer a1 yes
         c1 starts => run c1
         > report c1 returned
         c1 returned, request 2.1 items=4 => ask model
         > trust set run semi-autonomous
         run supervised to semi-autonomous (1, 0) person
         > call run={\"n\":2}
         c2 wants run {\"n\":2}, c2 judging => judge c2
         > policy c2 abstain narrow={\"n\":0}
         c2 is {\"n\":0} by mode.build.rule, c2 allow trust.semi-autonomous, c2 starts => run c2",
    );
}

#[test]
fn a_call_that_waits_for_a_person_goes_by_what_its_policy_said_last() {
    judged(
        "> call run
         c1 wants run, c1 judging => judge c1
         > policy c1 ask
         c1 ask mode.plan.rule, a1 asks c1 mode.plan.rule
         > policy c1 deny
         a1 withdrawn, c1 deny mode.plan.rule, c1 denied!, request 2.1 items=4 => ask model
         > answer a1 yes
         refused: a1 does not wait for an answer (any more)",
    );
}

#[test]
fn arguments_are_not_narrowed_to_what_was_denied() {
    judged(
        "> policy run={\"n\":9} deny
         -
         > call run={\"n\":1}
         c1 wants run {\"n\":1}, c1 judging => judge c1
         > policy c1 allow narrow={\"n\":9}
         c1 deny mode.plan.rule, c1 denied!, request 2.1 items=4 => ask model",
    );
}

#[test]
fn nor_to_what_the_policy_gave_arguments_for_that_make_no_sense() {
    judged(
        "> policy run={\"n\":9} allow narrow=[1]
         -
         > call run={\"n\":1}
         c1 wants run {\"n\":1}, c1 judging => judge c1
         > policy c1 allow narrow={\"n\":9}
         c1 deny mode.plan.narrowed, c1 denied!, request 2.1 items=4 => ask model",
    );
}

#[test]
fn who_is_asked_about_narrower_arguments_is_still_asked_after_a_crash() {
    let script = |also: &str, opened_with: &str, after: &str| {
        format!(
            "{also}> call run={{\"n\":1}}
             c1 wants run {{\"n\":1}}, c1 judging => judge c1
             > policy c1 ask narrow={{\"n\":0}}
             c1 is {{\"n\":0}} by mode.plan.rule, c1 ask mode.plan.rule, a1 asks c1 mode.plan.rule
             > open mode=plan:{opened_with}
             {after}"
        )
    };
    judged(&script("", "p", "-"));
    // Nor is it taken for what the policy said of another call that has these arguments.
    judged(&script("> policy run={\"n\":0} allow\n-\n", "p", "-"));
    // What it says of them later counts.
    judged(&script(
        "",
        "p",
        "-
         > policy run={\"n\":0} allow
         a1 withdrawn, c1 allow mode.plan.rule, c1 starts => run c1",
    ));
    // Another policy has not spoken of them.
    judged(&script("", "q", "a1 withdrawn, c1 judging => judge c1"));
}

#[test]
fn a_policy_that_narrows_to_what_is_already_asked_about_changes_nothing() {
    check(
        "> create
         -
         > open mode=plan:p
         mode plan (start)
         > prompt hi
         turn 1, request 1.1 items=2 => ask model
         > call run={\"n\":1}
         c1 wants run {\"n\":1}, c1 judging => judge c1
         > policy c1 ask narrow={\"n\":1}
         c1 ask mode.plan.rule, a1 asks c1 mode.plan.rule
         > policy c1 ask narrow={\"n\":1}
         -
         > open mode=plan:p
         -",
    );
}

#[test]
fn a_hook_that_stops_after_a_call_loses_nothing_of_what_the_call_did() {
    let begin = "> create
         -
         > open approve=all
         -
         > prompt hi
         turn 1, request 1.1 items=1 => ask model
         > call run run
         c1 wants run, c2 wants run, c1 allow approve.all, c1 starts => run c1
         ";
    check(&format!(
        "{begin}> hook-call c1 stop enough
         -
         > report c1 observed f
         c1 returned [f], c2 interrupted!, end stopped by hooks: enough"
    ));
    // What was stopped while its hooks heard of it has ended: nobody waits for its report any more.
    check(&format!(
        "{begin}> interrupt
         c1 in_doubt!, c2 interrupted!, interrupted => cancel c1
         > prompt on
         turn 2, request 1.1 items=4 => ask model
         > hook-call c1 stop enough
         -
         > report c1 observed f
         refused: c1 is not under way
         > say done
         done"
    ));
}

#[test]
fn what_a_call_staged_is_judged_before_the_stop_of_a_hook_counts() {
    check(
        "> create
         -
         > open approve=edits
         -
         > prompt hi
         turn 1, request 1.1 items=1 => ask model
         > call edit edit
         c1 wants edit, c2 wants edit, c1 allow default.edit, c1 starts => run c1
         > hook-call c1 stop enough
         -
         > report c1 staged f
         c1 allow approve.edits, c1 authorized, c2 interrupted! => put c1 [f]
         > put c1 applied
         c1 returned [f], end stopped by hooks: enough",
    );
}

#[test]
fn the_model_is_told_what_is_new_in_a_mode_that_was_replaced() {
    let told = |last: &str| {
        let mut world = crate::notation::World::default();
        for line in ["create", "open mode=plan[read]", "prompt hi", "say done", last, "prompt on"] {
            world.step(line);
        }
        world
            .state
            .history
            .iter()
            .filter(|item| matches!(item.as_ref(), harness_core::Item::User { text } if text.contains("mode `plan`")))
            .count()
    };
    for last in ["modes plan[read,edit]", "open mode=plan[read,edit]"] {
        assert_eq!(told(last), 2, "{last}");
    }
    for last in ["modes plan[read]", "modes plan:policy[read]", "open mode=plan[read]", "open same"] {
        assert_eq!(told(last), 1, "{last}");
    }
}
