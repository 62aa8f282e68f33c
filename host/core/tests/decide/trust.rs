//! Trust: earned, lost, given, and what ran by it alone.

use crate::notation::{World, check};
use harness_core::trust::TrustLevel;
use harness_core::{Event, SessionId, decide};

fn world(open: &str) -> World {
    let mut world = World::default();
    for line in ["create", open, "prompt go steps=1000"] {
        world.step(line);
    }
    world
}

/// One call of a tool that stages an edit, which a person says yes to where they are asked; gives what followed from
/// the report, and from the answer if there was one. No two calls are the same.
fn edit(world: &mut World, number: usize, answer: &str) -> (String, Option<String>) {
    world.step(&format!("call edit={{\"n\":{number}}}"));
    let reported = world.step(&format!("report c{number} staged f"));
    let asked = world.state.pending().len() == 1;
    let answered = asked.then(|| {
        let approval = world.approvals();
        world.step(&format!("answer a{approval} {answer}"))
    });
    if answer == "yes" {
        world.step(&format!("put c{number} applied"));
    }
    (reported, answered)
}

fn level(world: &World) -> TrustLevel {
    let edit = world.state.tool("edit").unwrap();
    world.state.trust_level(edit, None)
}

#[test]
fn trust_rises_by_evidence_and_every_fifth_call_is_asked_about() {
    let mut world = world("open trust");
    for number in 1..=8 {
        let (_, answered) = edit(&mut world, number, "yes");
        assert_eq!(answered, Some(format!("c{number} authorized => put c{number} [f]")));
    }
    let (_, answered) = edit(&mut world, 9, "yes");
    let rise = "edit supervised to semi-autonomous (9, 0) wilson-95 >= 0.700 of at least 8";
    assert_eq!(answered, Some(format!("{rise}, c9 authorized => put c9 [f]")));
    let asked: Vec<usize> = (10..=30).filter(|number| edit(&mut world, *number, "yes").1.is_some()).collect();
    assert_eq!(asked, [14, 19, 24, 29]);
    assert_eq!(world.state.unreviewed().count(), 17);
    assert_eq!(level(&world), TrustLevel::SemiAutonomous, "what ran unasked is no evidence");
    // Reviews are evidence too.
    let said: Vec<String> = [10, 11, 12, 13].iter().map(|call| world.step(&format!("review c{call} good"))).collect();
    assert_eq!(said, ["-"; 4]);
    assert_eq!(world.step("review c10 good"), "refused: c10 does not wait for a review (any more)");
    // 9 + 4 asked + 4 reviewed are 17; 18 more make 35.
    let calls = (15..=18).chain(20..=23).chain(25..=28).chain([30]);
    for call in calls {
        assert_eq!(world.step(&format!("review c{call} good")), "-");
    }
    for number in 31..=49 {
        edit(&mut world, number, "yes");
    }
    assert_eq!(level(&world), TrustLevel::SemiAutonomous);
    assert_eq!(
        world.step("review c31 good"),
        "edit semi-autonomous to autonomous (35, 0) wilson-95 >= 0.900 of at least 30"
    );
    for number in 50..=70 {
        let (reported, answered) = edit(&mut world, number, "yes");
        let expected = format!("c{number} allow trust.autonomous, c{number} authorized => put c{number} [f]");
        assert_eq!((reported, answered), (expected, None));
    }
    // A rejection lowers it at once, and evidence begins anew.
    let said = world.step("review c70 bad");
    assert_eq!(said, "edit autonomous to semi-autonomous (35, 1) rejected");
    assert_eq!(world.step("review c69 good"), "-");
}

#[test]
fn a_denial_and_an_undo_lower_it_at_once() {
    let mut world = world("open trust");
    world.step("trust set edit autonomous");
    assert_eq!(edit(&mut world, 1, "yes").1, None);
    let said = world.step("say done");
    assert_eq!(said, "done");
    world.step("undo c1 of f");
    let said = world.step("put u1 applied");
    assert_eq!(said, "undone c1, edit autonomous to semi-autonomous (0, 1) undone");
    assert_eq!(world.state.unreviewed().count(), 0, "what was undone needs no review");
    world.step("prompt again");
    for number in 2..=5 {
        assert_eq!(edit(&mut world, number, "yes").1, None, "{number}");
    }
    let (_, answered) = edit(&mut world, 6, "no");
    let expected = "edit semi-autonomous to supervised (0, 1) denied, c6 denied!, request 6.1 items=15 => ask model";
    assert_eq!(answered.as_deref(), Some(expected));
    for number in 7..=14 {
        assert!(edit(&mut world, number, "yes").1.is_some());
    }
    assert_eq!(level(&world), TrustLevel::Supervised, "it takes as much as the first time");
    edit(&mut world, 15, "yes");
    assert_eq!(level(&world), TrustLevel::SemiAutonomous);
}

#[test]
fn what_failed_counts_against_it() {
    let mut world = world("open trust");
    for number in 1..=9 {
        world.step(&format!("call run={{\"n\":{number}}}"));
        world.step(&format!("answer a{number} yes"));
        world.step(&format!("report c{number} {}", if number < 3 { "failed" } else { "returned" }));
    }
    let run = world.state.tool("run").unwrap().clone();
    assert_eq!(world.state.trust_level(&run, None), TrustLevel::Supervised, "9 of 11 is too little");
    let entry = world.state.ledger.entries().next().unwrap();
    assert_eq!((entry.total().approved, entry.total().failed), (9, 2));
}

#[test]
fn high_risk_is_never_autonomous_and_boundaries_do_not_move() {
    check(
        "> create
         -
         > open trust
         -
         > trust set run autonomous
         refused: work of high risk is semi-autonomous at most
         > trust set run semi-autonomous
         run supervised to semi-autonomous (0, 0) person
         > trust set edit autonomous
         edit supervised to autonomous (0, 0) person
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call run edit
         c1 wants run, c2 wants edit, c1 allow trust.semi-autonomous, c1 starts => run c1
         > report c1 returned
         c1 returned, c2 allow default.edit, c2 starts => run c2
         > report c2 staged .git/config
         c2 ask boundary.version-control, a1 asks c2 boundary.version-control
         > trust reset
         run semi-autonomous to supervised (0, 0) person, edit autonomous to supervised (0, 0) person
         > trust reset think
         refused: nothing is known of `default/test:think/think/-/other/medium`
         > interrupt
         a1 withdrawn, c2 interrupted!, interrupted",
    );
}

#[test]
fn trust_yields_to_rules_and_is_no_answer_to_a_component() {
    check(
        "> create
         -
         > open trust rule=ask:fetch:shy
         -
         > trust set run semi-autonomous
         run supervised to semi-autonomous (0, 0) person
         > trust set fetch semi-autonomous
         fetch supervised to semi-autonomous (0, 0) person
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call fetch read
         c1 wants fetch, c2 wants read, c1 ask shy, a1 asks c1 shy
         > answer a1 yes
         c1 starts => run c1
         > report c1 returned
         c1 returned, c2 allow default.read, c2 starts => run c2
         > report c2 calls run
         c3 wants run for c2, c3 ask default.execute, a2 asks c3 default.execute
         > answer a2 no
         c3 denied!, c2 starts => run c2 on outcome! Denied",
    );
}

#[test]
fn another_digest_agent_or_mode_is_not_trusted_as_the_one_before() {
    check(
        "> create
         -
         > open trust component=edit:editor mode=plan mode=build
         mode plan (start)
         > trust set edit autonomous
         edit supervised to autonomous (0, 0) person
         > open same
         -
         > open trust component=edit:editor digest=edit:new mode=plan mode=build
         edit autonomous to semi-autonomous (0, 0) another digest
         > prompt go
         turn 1, request 1.1 items=2 => ask model
         > call edit
         c1 wants edit, c1 allow default.edit, c1 starts => run c1
         > report c1 staged f
         c1 allow trust.semi-autonomous, c1 authorized => put c1 [f]
         > mode build
         mode build (person)
         > put c1 applied
         c1 returned [f], request 2.1 items=5 => ask model
         > call edit
         c2 wants edit, c2 allow default.edit, c2 starts => run c2
         > report c2 staged f
         c2 ask default.edit, a1 asks c2 default.edit",
    );
}

#[test]
fn what_other_sessions_know_counts_from_the_opening() {
    check(
        "> create
         -
         > trust carry edit supervised 9 0
         -
         > open trust
         edit supervised to semi-autonomous (9, 0) wilson-95 >= 0.700 of at least 8
         > trust carry edit autonomous 40 1
         -
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call edit
         c1 wants edit, c1 allow default.edit, c1 starts => run c1
         > report c1 staged f
         c1 allow trust.autonomous, c1 authorized => put c1 [f]
         > trust carry edit supervised 0 0
         -
         > put c1 applied
         c1 returned [f], request 2.1 items=3 => ask model
         > call edit={\"n\":1}
         c2 wants edit {\"n\":1}, c2 allow default.edit, c2 starts => run c2
         > report c2 staged f
         c2 allow trust.autonomous, c2 authorized => put c2 [f]",
    );
}

#[test]
fn without_trust_nothing_is_counted() {
    let mut world = world("open");
    for number in 1..=12 {
        assert!(edit(&mut world, number, "yes").1.is_some());
    }
    assert_eq!(world.state.ledger.entries().count(), 0);
}

#[test]
fn a_level_given_where_the_tool_is_not_there_is_the_one_where_it_is() {
    let mut world = World::default();
    for line in ["create", "open trust component=edit:editor"] {
        world.step(line);
    }
    let key = world.state.trust_key(world.state.tool("edit").unwrap(), None);
    world.step("open trust without=edit");
    let set = Event::TrustSet { key, level: TrustLevel::Autonomous };
    world.events.extend(decide(&mut world.state, SessionId::from_bits(7), set).unwrap().events);
    assert_eq!(world.step("open trust component=edit:editor"), "-");
    assert_eq!(level(&world), TrustLevel::Autonomous);
    // From now on it is known what implements it.
    let other = world.step("open trust component=edit:editor digest=edit:other");
    assert_eq!(other, "edit autonomous to semi-autonomous (0, 0) another digest");
}
