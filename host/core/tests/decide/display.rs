//! What a screen shows: the same as the session's state says, the same by patches as whole, and never large.

use crate::notation::{check, grant};
use crate::properties::play;
use harness_core::change::{Change, FileState};
use harness_core::display::{Cursor, DisplayState, DisplayUpdate, Screen, TOUCHES_MAX, merge};
use harness_core::envelope::Lineage;
use harness_core::event::{Changes, ModelStop};
use harness_core::message::Delivery;
use harness_core::record::RequestMade;
use harness_core::verdict::Allowance;
use harness_core::*;
use proptest::prelude::*;
use serde_json::{Value, json};

const SESSION: SessionId = SessionId::from_bits(7);

fn header(sequence: u64, event: &Event) -> Header {
    Header {
        v: 1,
        tenant: TenantId::local(),
        session: SESSION,
        sequence: Sequence(sequence),
        time: TimeMs(1_000 + sequence as i64),
        actor: Actor::Host,
        kind: event.kind().to_owned(),
        origin: Origin::Derived,
        cause: None,
        core: CORE_VERSION,
        payload: Digest::ZERO,
        previous: Digest::ZERO,
        lineage: Lineage::root_of(SESSION),
    }
}

fn numbered(events: impl IntoIterator<Item = Event>) -> Vec<(Header, Event)> {
    let number = |(index, event): (usize, Event)| (header(index as u64 + 1, &event), event);
    events.into_iter().enumerate().map(number).collect()
}

fn rewinds(events: &[(Header, Event)]) -> Vec<Sequence> {
    let to = |(_, event): &(Header, Event)| match event {
        Event::SessionRewound { to } => Some(*to),
        _ => None,
    };
    events.iter().filter_map(to).collect()
}

/// Whether readers get the whole state after it.
fn begins_anew(event: &Event) -> bool {
    matches!(event, Event::SessionRewound { .. } | Event::SessionForked { .. } | Event::SessionImported { .. })
}

fn screen_of(events: &[(Header, Event)]) -> Screen {
    let mut screen = Screen::default();
    screen.expect_rewinds(rewinds(events));
    events.iter().for_each(|(header, event)| screen.apply(header, Some(event)));
    screen
}

/// A reader with its own copy, made of nothing but updates.
struct Reader {
    known: Value,
    cursor: Cursor,
    wholes: usize,
}

impl Reader {
    fn new() -> Self {
        Self { known: Value::Null, cursor: Cursor::NOTHING, wholes: 0 }
    }

    fn read(&mut self, screen: &Screen) {
        let Some((update, cursor)) = screen.since(&self.cursor) else { return };
        // What is sent is text.
        let update: DisplayUpdate = serde_json::from_str(&serde_json::to_string(&update).unwrap()).unwrap();
        self.wholes += usize::from(matches!(update, DisplayUpdate::Whole { .. }));
        let sequence = update.apply_to(&mut self.known);
        assert_eq!((sequence, cursor.sequence()), (screen.state().sequence, sequence));
        assert_eq!(self.known, screen.state().to_json(), "after {update:?}");
        assert!(screen.since(&cursor).is_none());
        self.cursor = cursor;
    }
}

/// What is told and not logged, by a number.
fn stream(screen: &mut Screen, number: u8) {
    let end = |of: fn(&display::ResponseShown) -> u64| screen.state().responses.values().map(of).next().unwrap_or(0);
    let (text, reasoning) = (end(|it| it.text_bytes), end(|it| it.reasoning_bytes));
    let words = "wörds ".repeat(usize::from(number));
    match number % 8 {
        0 | 1 => screen.text(text, &words),
        2 => screen.text(text.saturating_sub(6), &words),
        3 => screen.text(text + 7, &words),
        4 => screen.reasoning(reasoning, &words),
        5 => screen.tool("edit"),
        6 => screen.arguments(usize::from(number)),
        _ => {
            let calls: Vec<CallId> = screen.state().calls.keys().copied().collect();
            calls.into_iter().for_each(|call| screen.progress(call, &words, Some(u16::from(number))));
        }
    }
}

/// What is shown is what the state says, where the state says it.
fn check_agrees(shown: &DisplayState, state: &SessionState) {
    let about = &shown.about;
    assert_eq!(about.title, state.title);
    assert_eq!((&about.workspace, &about.mode), (&state.workspace, &state.mode));
    assert_eq!((about.archived, &shown.todos), (state.archived, &state.todos));
    // A turn under way says how it ended once it has.
    let ended = state.last_end.as_ref().filter(|_| state.turn.is_none()).map(|end| end.word().to_owned());
    assert_eq!(shown.problems.last_end, ended);
    assert_eq!(about.model, state.model().map_or_else(String::new, |model| model.to_string()));
    assert_eq!(shown.turn.as_ref().map(|turn| turn.turn), state.turn.as_ref().map(|turn| turn.id));
    let pending: Vec<_> = state.pending().iter().map(|it| (it.approval, it.call.id, it.binds_to)).collect();
    let mut approvals: Vec<_> = shown.approvals.iter().map(|(id, it)| (it.at, (*id, it.call, it.binds_to))).collect();
    approvals.sort_by_key(|(at, _)| *at);
    let ids = |all: &mut Vec<(ApprovalId, CallId, Digest)>| all.sort_by_key(|(id, ..)| *id);
    let (mut pending, mut approvals) = (pending, approvals.into_iter().map(|(_, it)| it).collect::<Vec<_>>());
    ids(&mut pending);
    ids(&mut approvals);
    assert_eq!(approvals, pending);
    let mut questions: Vec<_> = state.questions().iter().map(|it| it.question).collect();
    questions.sort();
    assert_eq!(shown.questions.keys().copied().collect::<Vec<_>>(), questions);
    let mut messages: Vec<_> = state.messages.iter().map(|it| it.message).collect();
    messages.sort();
    assert_eq!(shown.messages.keys().copied().collect::<Vec<_>>(), messages);
    let mut grants: Vec<_> = state.grants.iter().map(|grant| grant.id()).collect();
    grants.sort();
    assert_eq!(shown.grants.keys().copied().collect::<Vec<_>>(), grants);
    let mut allowances: Vec<_> = state.allowances.iter().map(|allowance| allowance.id()).collect();
    allowances.sort();
    assert_eq!(shown.allowances.keys().copied().collect::<Vec<_>>(), allowances);
    let mut unreviewed: Vec<_> = state.unreviewed().map(|it| it.call).collect();
    unreviewed.sort();
    assert!(shown.dropped.reviews > 0 || shown.reviews.keys().copied().collect::<Vec<_>>() == unreviewed);
    let files = shown.files.values().flat_map(|file| file.calls.iter().map(|call| (call, file.undone.contains(call))));
    files.for_each(|(call, is_undone)| assert_eq!(is_undone, state.undone.contains(call), "{call}"));
    let mut plans: Vec<_> = state.plans().iter().map(|it| it.plan).collect();
    plans.sort();
    assert_eq!(shown.plans.keys().copied().collect::<Vec<_>>(), plans);
    assert_eq!(shown.undoing.as_ref().map(|it| it.undo), state.undoing.as_ref().map(|it| it.undo));
    assert_eq!(shown.spending.session, state.usage);
    for budget in shown.spending.budgets.iter().filter(|it| it.name == "session.steps") {
        assert_eq!((budget.spent, Some(budget.maximum)), (state.spent.steps, state.budget.steps));
    }
    for budget in shown.spending.budgets.iter().filter(|it| it.name == "session.tokens") {
        assert_eq!((budget.spent, Some(budget.maximum)), (state.spent.tokens, state.budget.tokens));
    }
    for budget in shown.spending.budgets.iter().filter(|it| it.name == "session.cost_micro_usd") {
        assert_eq!((budget.spent, Some(budget.maximum)), (state.spent.cost_micro_usd, state.budget.cost_micro_usd));
    }
    let open = state.turn.iter().flat_map(|turn| turn.calls()).filter(|call| !call.is_ended());
    for call in open {
        assert!(shown.calls.contains_key(&call.id) || shown.dropped.calls > 0, "{call:?} is under way");
    }
    let needs_answer = !state.pending().is_empty() || !state.questions().is_empty() || !state.plans().is_empty();
    assert_eq!(about.status == display::Status::NeedsAnswer, needs_answer);
    assert_eq!(about.status, shown.status());
}

#[track_caller]
fn check_shown(script: &str) {
    let world = check(script);
    check_agrees(screen_of(&numbered(world.events)).state(), &world.state);
}

#[test]
fn a_request_that_a_hook_stops_is_shown_as_spent_unless_it_was_never_made() {
    for (input, after) in [
        ("hook-before stop no", "end stopped by hooks: no => cancel model"),
        ("hook stop no", "end stopped by hooks: no => cancel model"),
        ("interrupt", "interrupted => cancel model"),
    ] {
        check_shown(&format!(
            "> create
             -
             > open without=read without=edit without=run without=fetch without=think without=send
             -
             > budget b.tokens=320
             -
             > prompt tokens=100
             turn 1, request 1.1 items=1 tokens=104 => ask model
             > {input}
             {after}"
        ));
    }
}

#[test]
fn what_outlasts_a_session_is_shown_after_a_rewind() {
    check_shown(
        "> create
         -
         > open
         -
         > carry run
         -
         > rewind 1
         -",
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn patches_lead_to_the_state_however_they_are_put_together(
        moves in prop::collection::vec(any::<(u8, u8, u8, u8)>(), 1..100),
        steps in prop::collection::vec(any::<u8>(), 64),
    ) {
        let (state, batches) = play(&moves);
        let events = numbered(batches.into_iter().flatten());
        let mut screen = Screen::default();
        let mut readers = [Reader::new(), Reader::new(), Reader::new()];
        // What a reader had at each event: of the log alone, and with what was not logged.
        let mut had = vec![(json!({}), json!({}))];
        let mut logged = Screen::default();
        screen.expect_rewinds(rewinds(&events));
        logged.expect_rewinds(rewinds(&events));
        for (index, (header, event)) in events.iter().enumerate() {
            screen.apply(header, Some(event));
            logged.apply(header, Some(event));
            let step = steps[index % steps.len()];
            if step % 4 < 2 {
                stream(&mut screen, step / 2);
            }
            had.push((logged.state().to_json(), screen.state().to_json()));
            readers[0].read(&screen);
            if step % 5 == 0 {
                readers[1].read(&screen);
            }
        }
        for reader in &mut readers {
            reader.read(&screen);
            let anew = events.iter().filter(|(_, event)| begins_anew(event)).count();
            prop_assert!((1..=1 + anew).contains(&reader.wholes), "the whole state comes once, and where it begins anew");
        }
        check_agrees(screen.state(), &state);
        let anew = events.iter().rposition(|(_, event)| begins_anew(event)).map_or(1, |index| index + 1);
        let now = screen.state().to_json();
        let is_streaming = !screen.state().responses.is_empty();
        for (number, (of_log, with_more)) in had.into_iter().enumerate() {
            let cursor = screen.cursor_at(Sequence(number as u64));
            let (update, _) = screen.since(&cursor).unwrap();
            prop_assert_eq!(matches!(update, DisplayUpdate::Whole { .. }), number < anew);
            for (mut known, is_of_log) in [(of_log, true), (with_more, false)] {
                update.apply_to(&mut known);
                // Words that the reader of another screen never got and that are not shown any more stay unknown to it.
                if !(is_of_log && is_streaming) {
                    prop_assert_eq!(&known, &now, "from event {}", number);
                }
            }
        }
    }

    #[test]
    fn after_a_rewind_it_shows_the_conversation_of_then(
        moves in prop::collection::vec(any::<(u8, u8, u8, u8)>(), 1..100),
    ) {
        let events = numbered(play(&moves).1.into_iter().flatten());
        // The events that the conversation is made of: up to where it goes back to, and from there on. What was undone stays so.
        let mut course: Vec<Vec<&(Header, Event)>> = vec![Vec::new()];
        for logged in &events {
            let now = course.last().unwrap();
            let mut next = now.clone();
            if let Event::SessionRewound { to } = logged.1 {
                let since = now.iter().filter(|(header, event)| {
                    header.sequence > to && matches!(event, Event::ChangesUndone { .. })
                });
                next = course[to.0 as usize].iter().chain(since).copied().collect();
            }
            next.push(logged);
            course.push(next);
        }
        let mut of_course = DisplayState::default();
        for (header, event) in course.pop().unwrap() {
            of_course.apply(header.sequence, header.time, event);
        }
        let shown = screen_of(&events);
        let shown = shown.state();
        prop_assert_eq!((&shown.calls, &shown.todos, &shown.notes), (&of_course.calls, &of_course.todos, &of_course.notes));
        prop_assert_eq!((&shown.problems, &shown.turn), (&of_course.problems, &of_course.turn));
        prop_assert_eq!((&shown.approvals, &shown.questions), (&of_course.approvals, &of_course.questions));
        prop_assert_eq!(shown.spending.request_tokens, of_course.spending.request_tokens);
        let sorted = |files: &std::collections::BTreeMap<String, display::FileShown>| {
            let mut files = files.clone();
            files.values_mut().for_each(|file| file.undone.sort());
            files
        };
        prop_assert_eq!(sorted(&shown.files), sorted(&of_course.files));
        // What no rewind takes back is that of all events, whatever the conversation is.
        let mut of_all = DisplayState::default();
        for (header, event) in &events {
            of_all.apply(header.sequence, header.time, event);
        }
        prop_assert_eq!((&shown.counters, &shown.spending.session), (&of_all.counters, &of_all.spending.session));
        prop_assert_eq!((&shown.requests, &shown.trust, &shown.reviews), (&of_all.requests, &of_all.trust, &of_all.reviews));
        prop_assert_eq!(&shown.about.title, &of_all.about.title);
        prop_assert_eq!(&shown.messages, &of_all.messages);
    }

    #[test]
    fn a_fold_can_be_kept_and_gone_on_with(
        moves in prop::collection::vec(any::<(u8, u8, u8, u8)>(), 1..80), at in any::<prop::sample::Index>(),
    ) {
        let events = numbered(play(&moves).1.into_iter().flatten());
        let (before, after) = events.split_at(at.index(events.len() + 1));
        let kept = serde_json::to_vec(screen_of(before).state()).unwrap();
        let mut screen = Screen::of(serde_json::from_slice(&kept).unwrap());
        // What a rewind goes back to is not kept: it is folded again.
        let mut again = Screen::default();
        again.expect_rewinds(rewinds(&events));
        before.iter().for_each(|(header, event)| again.apply(header, Some(event)));
        let lacks = after.iter().any(|(_, event)| screen.lacks_past(Some(event)));
        prop_assert_eq!(lacks, !rewinds(after).is_empty());
        screen.take_pasts(again);
        after.iter().for_each(|(header, event)| screen.apply(header, Some(event)));
        let whole = screen_of(&events);
        prop_assert_eq!(screen.state(), whole.state());
        // What it has already changes nothing.
        events.iter().for_each(|(header, event)| screen.apply(header, Some(event)));
        prop_assert_eq!(screen.state(), whole.state());
        let known: DisplayState = serde_json::from_value(whole.state().to_json()).unwrap();
        prop_assert_eq!(known.to_json(), whole.state().to_json());
    }
}

fn responded(text: &str) -> Event {
    let parts = vec![AssistantPart::Text { text: text.into() }];
    let (entropy, stop, usage) = (String::new(), ModelStop::EndOfTurn, Usage::default());
    Event::ModelResponded { entropy, parts, stop, usage, provider_response: None, time_ms: 1 }
}

fn requested() -> Vec<Event> {
    let limits = event::TurnLimits::default();
    vec![
        Event::SessionCreated { workspace: "/w".into(), title: None },
        Event::PromptReceived { entropy: String::new(), text: "hi".into(), limits },
        Event::TurnStarted { turn: TurnId::from_bits(1), number: 1, limits },
        Event::ModelRequested { step: 1, attempt: 1, items: 1, reserved: Default::default() },
    ]
}

#[test]
fn words_in_flight_and_the_logged_response_agree() {
    let text = "Größer als ein Stück. ".repeat(500);
    let events = numbered(requested().into_iter().chain([responded(&text)]));
    let mut screen = screen_of(&events[..4]);
    let mut reader = Reader::new();
    for (offset, c) in text.char_indices() {
        screen.text(offset as u64, &text[offset..offset + c.len_utf8()]);
        if offset % 7 == 0 {
            reader.read(&screen);
        }
    }
    reader.read(&screen);
    assert_eq!((screen.state().text(), reader.wholes), (text.clone(), 1));
    // One more word costs no more than a piece.
    screen.text(text.len() as u64, "x");
    let (update, _) = screen.since(&reader.cursor).unwrap();
    assert!(serde_json::to_string(&update).unwrap().len() < 2 * display::RESPONSE_PIECE_BYTES_MAX);
    screen.apply(&events[4].0, Some(&events[4].1));
    reader.read(&screen);
    assert_eq!(screen.state(), screen_of(&events).state(), "nothing of what was not logged is left");
    assert!(text.starts_with(screen.state().problems.last_text.as_ref().unwrap().trim_end_matches('…')));
}

#[test]
fn of_a_long_response_the_last_words_are_shown() {
    let mut screen = screen_of(&numbered(requested()));
    let mut reader = Reader::new();
    let word = "0123456789abcdef".repeat(100);
    for number in 0..100 {
        screen.text(number * word.len() as u64, &word);
        reader.read(&screen);
    }
    let text = screen.state().text();
    assert!(text.len() <= display::RESPONSE_SHOWN_BYTES_MAX && text.len() > display::RESPONSE_SHOWN_BYTES_MAX / 2);
    assert!(word.repeat(100).ends_with(&text));
    let shown = screen.state().responses.values().next().unwrap();
    assert_eq!((shown.text_bytes, *shown.text.keys().next().unwrap()), (160_000, 160_000 - text.len() as u64));
    // Where a piece was missed, what is shown begins anew.
    screen.text(200_000, "after");
    reader.read(&screen);
    assert_eq!(screen.state().text(), "after");
}

#[test]
fn who_comes_back_to_another_screen_in_the_middle_of_a_long_response_has_no_piece_twice() {
    let events = numbered(requested());
    let word = "0123456789abcdef".repeat(100);
    let take: [fn(&mut Screen, u64, &str); 2] = [Screen::text, Screen::reasoning];
    for take in take {
        for (begin, is_whole) in [(0, false), (1_601, true), (90_001, true)] {
            let mut first = screen_of(&events);
            take(&mut first, 0, &word);
            let mut reader = Reader::new();
            reader.read(&first);
            // Another screen knows the response from there on.
            let mut second = screen_of(&events);
            take(&mut second, begin, &word);
            reader.cursor = second.cursor_at(reader.cursor.sequence());
            reader.read(&second);
            assert_eq!(reader.wholes == 2, is_whole, "from {begin}");
        }
    }
}

#[test]
fn who_is_too_far_behind_gets_the_whole_state() {
    let rename = |number: usize| Event::SessionRenamed { title: format!("title {number}") };
    let events = numbered(requested().into_iter().chain((0..TOUCHES_MAX + 100).map(rename)));
    let mut screen = screen_of(&events[..10]);
    let mut reader = Reader::new();
    reader.read(&screen);
    events[10..].iter().for_each(|(header, event)| screen.apply(header, Some(event)));
    reader.read(&screen);
    assert_eq!(reader.wholes, 2);
    let last = events.len() as u64;
    for (after, is_whole) in [(10, true), (last - 10, false), (last, false), (last + 1, true)] {
        let (update, _) = screen.since(&screen.cursor_at(Sequence(after))).unwrap();
        assert_eq!(matches!(update, DisplayUpdate::Whole { .. }), is_whole, "after {after}");
    }
}

#[test]
fn a_merge_patch_is_that_of_the_rfc() {
    // RFC 7396, appendix A.
    for (target, patch, result) in [
        (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
        (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
        (json!({"a":"b"}), json!({"a":null}), json!({})),
        (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
        (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
        (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
        (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
        (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a":"b"}), json!(["c"]), json!(["c"])),
        (json!({"a":"foo"}), json!(null), json!(null)),
        (json!({"a":"foo"}), json!("bar"), json!("bar")),
        (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
        (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
        (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
    ] {
        let mut merged = target.clone();
        merge(&mut merged, &patch);
        assert_eq!(merged, result, "{target} with {patch}");
    }
}

/// Every kind of thing that is shown, again and again, each as long as it may be.
fn busy(number: u64) -> Event {
    let long = "lång ".repeat(4_000);
    let id = u128::from(number);
    let call = CallId::from_bits(id / 10 * 10);
    let path = format!("{number}/{}", "p".repeat(300));
    let after = Some(FileState::File { digest: Digest::ZERO, bytes: 1, executable: false });
    let changes = Manifest::new(vec![Change { path, before: None, after }]);
    match number % 10 {
        0 => Event::CallRequested {
            call,
            provider_call: String::new(),
            tool: long.clone(),
            arguments: long,
            parent: None,
        },
        1 => {
            let request = RequestMade {
                method: "GET".into(),
                url: long.clone(),
                address: None,
                status: None,
                problem: Some(long),
                request_bytes: 0,
                response_bytes: 0,
            };
            let record = CallRecord { requests: vec![request; 3], ..CallRecord::default() };
            let (outcome, usage) = (Outcome::text("x"), CallUsage::default());
            Event::CallReported { call, outcome, changes: Changes::None, usage, record }
        }
        2 => Event::CallEnded { call, outcome: "returned".into(), text: Some(long), is_error: false, changes },
        3 => Event::MessageReceived {
            message: MessageId::from_bits(id),
            text: long,
            delivery: Delivery::Queue,
            limits: Default::default(),
        },
        4 => Event::NoteAdded { by: long.clone(), text: long, reserved: None },
        5 => Event::ApprovalAsked {
            approval: ApprovalId::from_bits(id),
            call,
            binds_to: Digest::ZERO,
            rule: long.clone(),
            words: long,
        },
        6 => Event::PlanSubmitted { plan: PlanId::from_bits(id), call, title: long.clone(), text: long },
        7 => Event::QuestionAsked {
            question: QuestionId::from_bits(id),
            call,
            component: long.clone(),
            words: long.clone(),
            choices: vec![long; 3],
            several: false,
        },
        8 => Event::GrantGiven { grant: grant(&format!("http GET https://h{number}.example.com")) },
        _ => Event::AllowanceGranted { allowance: Allowance::of_tool(format!("{number}{long}"), long) },
    }
}

#[test]
fn after_a_hundred_thousand_events_it_is_as_small_as_after_ten_thousand() {
    let mut screen = screen_of(&numbered(requested()));
    let mut reader = Reader::new();
    let mut sizes = Vec::new();
    for number in 0..100_000 {
        let event = busy(number);
        screen.apply(&header(number + 5, &event), Some(&event));
        if number % 10_000 == 9_999 {
            reader.read(&screen);
            sizes.push(reader.known.to_string().len());
        }
    }
    let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
    assert!(*most < 3 << 20 && most - least < most / 50, "{sizes:?}");
    let dropped = &screen.state().dropped;
    assert_eq!((dropped.calls, dropped.files), (10_000 - 128, 10_000 - 256));
}
