//! Grants: given, revoked, expired, narrowed by the mode, met along a chain of calls.

use crate::notation::{check, grant};
use harness_core::grant::CAPABILITIES_MAX;
use harness_core::*;

fn texts(granted: Vec<Capability>) -> Vec<String> {
    granted.iter().map(ToString::to_string).collect()
}

#[test]
fn a_mode_that_refuses_changes_leaves_looking() {
    for (granted, left) in [
        ("filesystem write /workspace", Some("filesystem read /workspace")),
        ("filesystem read /workspace/src", Some("filesystem read /workspace/src")),
        ("filesystem write /scratch", Some("filesystem write /scratch")),
        ("filesystem write /scratch/a", Some("filesystem write /scratch/a")),
        ("kv write global", Some("kv read global")),
        ("kv read session", Some("kv read session")),
        ("http * https://example.com", Some("http GET,HEAD https://example.com")),
        ("http GET,POST https://example.com/v1", Some("http GET https://example.com/v1")),
        ("http POST https://example.com", None),
        ("secret forge example.com header authorization", Some("secret forge example.com header authorization")),
        ("env A=b", Some("env A=b")),
        ("tool read_file", Some("tool read_file")),
        ("question", Some("question")),
        ("limit fuel 5", Some("limit fuel 5")),
    ] {
        let capability: Capability = granted.parse().unwrap();
        let narrowed = ApproveMode::None.narrows(vec![capability.clone()]);
        assert!(narrowed.iter().all(|left| capability.covers(left)), "it never gives more: {granted}");
        assert_eq!(texts(narrowed), left.into_iter().collect::<Vec<_>>(), "{granted}");
        for mode in [ApproveMode::Ask, ApproveMode::Edits, ApproveMode::All] {
            assert_eq!(texts(mode.narrows(vec![capability.clone()])), [granted]);
        }
    }
}

#[test]
fn a_call_gets_what_is_in_force_for_its_component_and_those_that_need_it() {
    let mut world = check(
        "> create
         -
         > grant kv write session
         -
         > grant question
         -
         > grant http * https://example.com
         -
         > open component=edit:editor component=read:reader
         -
         > revoke question
         -
         > revoke question
         refused: grant_0 is not in force in this session
         > prompt go
         turn 1, request 1.1 items=1 => ask model
         > call edit run
         c1 wants edit, c2 wants run, c1 allow default.edit, c1 starts => run c1
         > report c1 calls read
         c3 wants read for c1, c3 allow default.read, c3 starts => run c3
         > report c3 calls think
         c4 wants think for c3, c4 allow default.other, c4 starts => run c4"
            .replace("grant_0", &grant("question").id().to_string())
            .as_str(),
    );
    let mut give = |capability: &str, until: Option<TimeMs>| {
        let capability = capability.parse().unwrap();
        let grant = Grant { component: "reader".to_owned(), capability, until, ..grant("question") };
        world.state.apply(&Event::GrantGiven { grant }).unwrap();
    };
    give("http GET https://*.example.com", None);
    give("http GET,PUT https://example.com/v1", Some(TimeMs(100)));
    give("kv write session", Some(TimeMs(50)));
    give("kv read session", None);
    let calls: Vec<CallId> = world.state.turn.as_ref().unwrap().calls().iter().map(|call| call.id).collect();
    let granted = |state: &SessionState, call: usize, now: i64| texts(state.granted(calls[call], TimeMs(now)));
    assert_eq!(granted(&world.state, 0, 0), ["kv write session", "http * https://example.com"]);
    assert_eq!(granted(&world.state, 1, 0), Vec::<String>::new(), "no component, no grants");
    assert_eq!(
        granted(&world.state, 2, 49),
        ["http GET,PUT https://example.com/v1", "kv write session", "kv read session"]
    );
    assert_eq!(granted(&world.state, 2, 50), ["http GET,PUT https://example.com/v1", "kv read session"]);
    assert_eq!(granted(&world.state, 2, 100), ["kv read session"], "an end is when it ends");
    assert_eq!(granted(&world.state, 3, 0), Vec::<String>::new());
    // The mode narrows what is left.
    let mut context = world.state.context.as_deref().unwrap().clone();
    context.approve = ApproveMode::None;
    world.state.context = Some(std::sync::Arc::new(context));
    assert_eq!(granted(&world.state, 2, 0), ["http GET https://example.com/v1", "kv read session"]);
    assert_eq!(granted(&world.state, 0, 0), ["kv read session", "http GET,HEAD https://example.com"]);
}

#[test]
fn a_nested_call_has_no_more_than_was_in_force_for_its_caller() {
    for (in_force, nested, deeper) in [
        // A hand that does not say: what was granted counts.
        (&[][..], &["http GET https://example.com", "kv write session"][..], &["kv write session"][..]),
        // The caller's own ceiling left it this.
        (&["http GET https://example.com/v1", "tool read"], &["http GET https://example.com/v1"], &[]),
        (&["tool read", "kv read session"], &["kv read session"], &["kv read session"]),
        (&["tool read"], &[], &[]),
        // More than was granted is none of it.
        (
            &["http * https://*", "kv write session", "kv write global", "limit fuel 7"],
            &["limit fuel 7", "http GET https://example.com", "kv write session"],
            &["limit fuel 7", "kv write session"],
        ),
    ] {
        let mut world = check(
            "> create
             -
             > grant http GET https://example.com
             -
             > grant kv write session
             -
             > open component=edit:editor component=read:reader component=think:thinker
             -
             > prompt go
             turn 1, request 1.1 items=1 => ask model
             > call edit
             c1 wants edit, c1 allow default.edit, c1 starts => run c1",
        );
        for (component, capability) in
            [("reader", "http * https://*"), ("reader", "kv write session"), ("thinker", "kv write session")]
        {
            let grant = Grant { component: component.to_owned(), ..grant(capability) };
            world.state.apply(&Event::GrantGiven { grant }).unwrap();
        }
        let caller = world.state.turn.as_ref().unwrap().calls()[0].id;
        let (tool, arguments, state) = ("read".to_owned(), "{}".to_owned(), String::new());
        let outcome = Outcome::NeedsCall { tool, arguments, state };
        let record = CallRecord {
            in_force: in_force.iter().map(|text| text.parse().unwrap()).collect(),
            ..CallRecord::default()
        };
        let (changes, usage) = (event::Changes::None, CallUsage::default());
        let report = Event::CallReported { call: caller, outcome, changes, usage, record };
        decide(&mut world.state, SessionId::from_bits(7), report).unwrap();
        let granted = |state: &SessionState, call: usize| {
            let call = state.turn.as_ref().unwrap().calls()[call].id;
            texts(state.granted(call, TimeMs(0)))
        };
        assert_eq!(granted(&world.state, 1), nested, "{in_force:?}");
        assert_eq!(granted(&world.state, 0), ["http GET https://example.com", "kv write session"], "its own stays");
        // And so on down: what the call in the middle reports is not all that counts.
        let middle = world.state.turn.as_ref().unwrap().calls()[1].id;
        let (tool, arguments, state) = ("think".to_owned(), "{}".to_owned(), String::new());
        let outcome = Outcome::NeedsCall { tool, arguments, state };
        let (changes, usage, record) = (event::Changes::None, CallUsage::default(), CallRecord::default());
        let report = Event::CallReported { call: middle, outcome, changes, usage, record };
        decide(&mut world.state, SessionId::from_bits(7), report).unwrap();
        assert_eq!(granted(&world.state, 2), deeper, "{in_force:?}");
    }
}

#[test]
fn one_component_has_so_many_grants_and_giving_one_again_replaces_it() {
    let mut world = check(
        "> create
         -",
    );
    for number in 0..CAPABILITIES_MAX {
        assert_eq!(world.step(&format!("grant tool t{number}")), "-");
    }
    assert!(world.step("grant question").starts_with("refused: a session has at most 1024 grants"));
    assert_eq!(world.step("grant tool t0"), "-");
    assert_eq!(world.state.grants.len(), CAPABILITIES_MAX);
}
