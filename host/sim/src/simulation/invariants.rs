//! What must be true of every session, whatever happened to it: a list of named functions over what was seen.
//!
//! Promise: each judges by the log that the store holds and by what was seen from outside, with rules of its own
//! and none of the core's; a session that breaks one is named with it.
//!
//! A new invariant is one function and one line in [`INVARIANTS`]. What it needs to see is a field of
//! [`Evidence`], filled in by the worlds.

mod branches;
mod calls;
mod heard;
mod messages;
mod read;
mod spending;
mod voices;
mod waiting;

use super::evidence::{Accepted, Evidence, Told};
use crate::provider::valid_for_provider;
use harness_core::item::Effects;
use harness_core::state::Phase;
use harness_core::{Epoch, Event, Origin, SessionState, decide, decide_rewind};
pub use read::{Rewound, Seen};
use std::collections::BTreeSet;

/// One thing that must hold.
pub struct Invariant {
    /// What must hold, as a sentence without spaces.
    pub name: &'static str,
    /// Says what is wrong.
    pub check: fn(&Seen<'_>) -> Result<(), String>,
}

/// Names each function as an invariant.
macro_rules! invariants {
    ($($check:path => $name:ident),+ $(,)?) => {
        /// What must hold of every session.
        pub const INVARIANTS: &[Invariant] = &[$(Invariant { name: stringify!($name), check: $check }),+];
    };
}

invariants![
    nothing_was_wrong_on_the_way => nothing_was_wrong_on_the_way,
    no_acknowledged_event_is_lost => no_acknowledged_event_is_lost,
    what_a_person_was_told_is_accepted_is_in_the_log => what_a_person_was_told_is_accepted_is_in_the_log,
    a_fenced_writer_writes_nothing => a_fenced_writer_writes_nothing,
    the_live_state_is_the_fold_of_the_log => the_live_state_is_the_fold_of_the_log,
    a_replay_gives_the_same_events => a_replay_gives_the_same_events,
    nothing_outside_happens_twice => nothing_outside_happens_twice,
    waiting::what_waits_for_a_person_still_waits_after_a_crash => what_waits_for_a_person_still_waits_after_a_crash,
    every_request_is_valid_for_a_provider => every_request_is_valid_for_a_provider,
    branches::every_request_is_the_conversation => every_request_is_the_conversation,
    branches::a_conversation_only_grows => a_conversation_only_grows,
    nothing_stands_still => nothing_stands_still,
    calls::a_call_goes_on_only_as_it_was_judged => a_call_goes_on_only_as_it_was_judged,
    calls::only_what_was_authorised_is_put_in_place => only_what_was_authorised_is_put_in_place,
    calls::every_call_ends_once => every_call_ends_once,
    voices::a_deny_is_never_followed_by_execution => a_deny_is_never_followed_by_execution,
    voices::trust_crosses_no_ask => trust_crosses_no_ask,
    voices::only_a_person_chooses_a_mode => only_a_person_chooses_a_mode,
    spending::a_budget_is_overshot_by_one_request_at_most => a_budget_is_overshot_by_one_request_at_most,
    spending::no_call_starts_beyond_a_budget => no_call_starts_beyond_a_budget,
    messages::a_message_is_delivered_once_in_order_or_expires => a_message_is_delivered_once_in_order_or_expires,
    messages::a_delivered_message_is_read_once => a_delivered_message_is_read_once,
    heard::no_answer_is_lost => no_answer_is_lost,
    branches::a_fork_begins_as_its_origin_was => a_fork_begins_as_its_origin_was,
    branches::a_session_loads_as_it_is => a_session_loads_as_it_is,
    branches::a_rewind_gives_nothing_back => a_rewind_gives_nothing_back,
];

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub invariant: &'static str,
    /// How.
    pub what: String,
    /// The kinds of the log's events, in order, as far as it could be read.
    pub log: Vec<&'static str>,
}

/// Judges an evidence by every invariant. Gives the log's own events: those that are not another session's.
pub fn check(evidence: &Evidence) -> Result<Vec<Event>, Broken> {
    let seen = Seen::of(evidence).map_err(|what| Broken { invariant: "the_chain_is_valid", what, log: Vec::new() })?;
    for Invariant { name, check } in INVARIANTS {
        let log = || seen.log.iter().map(Event::kind).collect();
        check(&seen).map_err(|what| Broken { invariant: name, what, log: log() })?;
    }
    Ok(seen.log.into_iter().skip(seen.shared).collect())
}

fn nothing_was_wrong_on_the_way(seen: &Seen<'_>) -> Result<(), String> {
    seen.evidence.wrong.first().map_or(Ok(()), |what| Err(what.clone()))
}

fn at(log: &[Event], sequence: u64) -> Option<&Event> {
    log.get(usize::try_from(sequence.checked_sub(1)?).ok()?)
}

fn no_acknowledged_event_is_lost(seen: &Seen<'_>) -> Result<(), String> {
    for Told { sequence, event, .. } in &seen.evidence.told {
        match at(&seen.log, *sequence) {
            Some(kept) if *kept == **event => {}
            other => return Err(format!("event {sequence} was told as {event:?}, the log has {other:?}")),
        }
    }
    Ok(())
}

fn what_a_person_was_told_is_accepted_is_in_the_log(seen: &Seen<'_>) -> Result<(), String> {
    for accepted in &seen.evidence.accepted {
        let count = seen.log.iter().filter(|event| match (accepted, event) {
            (Accepted::Prompt(text), Event::PromptReceived { text: kept, .. }) => text == kept,
            (Accepted::Approval(id), Event::ApprovalAnswered { approval, .. }) => id == approval,
            (Accepted::Question(id), Event::QuestionAnswered { question, .. }) => id == question,
            (Accepted::Plan(id), Event::PlanAnswered { plan, .. }) => id == plan,
            (Accepted::Message(id), Event::MessageReceived { message, .. }) => id == message,
            (Accepted::Rewind(at), Event::SessionRewound { to }) => *at == to.0,
            _ => false,
        });
        let count = count.count();
        // Who goes back twice to the same event is told so twice.
        if count != 1 && !(matches!(accepted, Accepted::Rewind(_)) && count > 1) {
            return Err(format!("{accepted:?} is {count} times in the log"));
        }
    }
    Ok(())
}

/// From the event on with which a writer opened the session, nothing of an earlier writer's is in the log.
fn a_fenced_writer_writes_nothing(seen: &Seen<'_>) -> Result<(), String> {
    let own = (1u64..).zip(&seen.log).skip(seen.shared);
    let opened = own.filter_map(|(sequence, event)| match event {
        Event::SessionOpened { epoch, .. } => Some((sequence, *epoch)),
        _ => None,
    });
    let opened: Vec<(u64, Epoch)> = opened.collect();
    if let Some(two) = opened.windows(2).find(|two| matches!(two, [a, b] if a.1 >= b.1)) {
        return Err(format!("the epochs do not rise: {two:?}"));
    }
    for told in &seen.evidence.told {
        let Some(by) = told.epoch else { continue };
        let in_force = opened.iter().rev().find(|(sequence, _)| *sequence <= told.sequence);
        let is_fenced = seen.evidence.acquired.iter().any(|it| it.epoch > by && told.sequence > it.after);
        if is_fenced || in_force.is_some_and(|(_, epoch)| *epoch > by) {
            return Err(format!("event {} was written by {by:?} after a later writer had the session", told.sequence));
        }
    }
    Ok(())
}

fn the_live_state_is_the_fold_of_the_log(seen: &Seen<'_>) -> Result<(), String> {
    match &seen.evidence.live {
        Some(live) if live.state != seen.state => Err(format!("believed {:?}, read back {:?}", live.state, seen.state)),
        _ => Ok(()),
    }
}

fn a_replay_gives_the_same_events(seen: &Seen<'_>) -> Result<(), String> {
    let mut state = SessionState::default();
    let (mut next, mut rewinds) = (0, seen.rewinds.iter());
    while let (Some(input), Some(header)) = (seen.log.get(next), seen.headers.get(next)) {
        if header.origin != Origin::Input {
            return Err(format!("event {} follows from no input: {input:?}", next + 1));
        }
        let decision = match input {
            Event::SessionRewound { to } => {
                let then = rewinds.next().map(|rewound| rewound.then.clone()).unwrap_or_default();
                decide_rewind(&mut state, *to, then)
            }
            _ => decide(&mut state, header.session, input.clone()),
        };
        let decision = decision.map_err(|error| format!("{input:?}: {error}"))?;
        for event in &decision.events {
            let stored = seen.evidence.stored.get(next).and_then(|stored| stored.payload.as_ref());
            if stored.is_none_or(|payload| payload.bytes != event.encode()) {
                return Err(format!("event {} is {:?}, again it is {event:?}", next + 1, seen.log.get(next)));
            }
            next += 1;
        }
    }
    Ok(())
}

fn nothing_outside_happens_twice(seen: &Seen<'_>) -> Result<(), String> {
    let mut done = BTreeSet::new();
    let outside = seen.evidence.executions.iter().filter(|it| it.effects != Effects::Staged);
    match outside.into_iter().find(|it| !done.insert((it.call, it.round))) {
        Some(twice) => Err(format!("{twice:?} was run before")),
        None => Ok(()),
    }
}

fn every_request_is_valid_for_a_provider(seen: &Seen<'_>) -> Result<(), String> {
    let valid = |request: &super::evidence::Request| valid_for_provider(request.items.iter().map(AsRef::as_ref));
    seen.evidence.requests.iter().try_for_each(valid)
}

/// What is under way waits for the model, a timer, a hand or a person.
fn nothing_stands_still(seen: &Seen<'_>) -> Result<(), String> {
    let Some(live) = &seen.evidence.live else { return Ok(()) };
    let state = &live.state;
    let is_busy = state.turn.is_some() || state.undoing.is_some();
    let waits = !state.pending().is_empty() || !state.questions().is_empty() || !state.plans().is_empty();
    if is_busy && live.out == 0 && !waits {
        return Err(format!("nobody will end {:?} {:?}", state.turn, state.undoing));
    }
    let requesting = state.turn.as_ref().is_some_and(|turn| matches!(turn.phase, Phase::Requesting { .. }));
    if requesting && live.out == 0 { Err("a request is out that nobody makes".to_owned()) } else { Ok(()) }
}
