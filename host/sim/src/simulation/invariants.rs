//! What must be true of every session, whatever happened to it: a list of named functions over what was seen.
//!
//! Promise: each judges by the log that the store holds and by what was seen from outside, with rules of its own
//! and none of the core's; a session that breaks one is named with it.
//!
//! A new invariant is one function and one line in [`INVARIANTS`]. What it needs to see is a field of
//! [`Evidence`], filled in by the worlds.

mod calls;

use super::evidence::{Accepted, Evidence, Told};
use crate::provider::valid_for_provider;
use harness_core::envelope::{Header, Tip, verify};
use harness_core::item::Effects;
use harness_core::state::Phase;
use harness_core::{ApprovalId, CallId, Epoch, Event, Origin, QuestionId, SessionState, decide};
use std::collections::{BTreeMap, BTreeSet};

/// An evidence with its log read.
pub struct Seen<'a> {
    /// What was seen from outside.
    pub evidence: &'a Evidence,
    /// The log's events, in order.
    pub log: Vec<Event>,
    /// Their headers.
    pub headers: Vec<Header>,
}

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
    what_waits_for_a_person_still_waits_after_a_crash => what_waits_for_a_person_still_waits_after_a_crash,
    every_request_is_valid_for_a_provider => every_request_is_valid_for_a_provider,
    a_conversation_only_grows => a_conversation_only_grows,
    nothing_stands_still => nothing_stands_still,
    calls::a_call_goes_on_only_as_it_was_judged => a_call_goes_on_only_as_it_was_judged,
    calls::only_what_was_authorised_is_put_in_place => only_what_was_authorised_is_put_in_place,
    calls::every_call_ends_once => every_call_ends_once,
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

/// Judges an evidence by every invariant. Gives the log's events.
pub fn check(evidence: &Evidence) -> Result<Vec<Event>, Broken> {
    let seen = read(evidence).map_err(|what| Broken { invariant: "the_chain_is_valid", what, log: Vec::new() })?;
    for Invariant { name, check } in INVARIANTS {
        let log = || seen.log.iter().map(Event::kind).collect();
        check(&seen).map_err(|what| Broken { invariant: name, what, log: log() })?;
    }
    Ok(seen.log)
}

/// Reads the log: gap-free, chained, each event of this session, and the tip where it ends.
fn read(evidence: &Evidence) -> Result<Seen<'_>, String> {
    let (mut log, mut headers, mut tip) = (Vec::new(), Vec::new(), Tip::START);
    for stored in &evidence.stored {
        let verified = verify(tip, stored.header_bytes.clone(), stored.payload.clone());
        let (sealed, next) = verified.map_err(|error| error.to_string())?;
        let event = sealed.event().map_err(|error| error.to_string())?;
        if evidence.session != Some(sealed.header.session) {
            return Err(format!("event {} is of {}", sealed.header.sequence, sealed.header.session));
        }
        log.push(event.ok_or_else(|| format!("event {} was erased", sealed.header.sequence))?);
        headers.push(sealed.header);
        tip = next;
    }
    match evidence.tip {
        Some(said) if said != tip => Err(format!("the log ends at {tip:?}, the store says {said:?}")),
        _ => Ok(Seen { evidence, log, headers }),
    }
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
            _ => false,
        });
        let count = count.count();
        if count != 1 {
            return Err(format!("{accepted:?} is {count} times in the log"));
        }
    }
    Ok(())
}

/// From the event on with which a writer opened the session, nothing of an earlier writer's is in the log.
fn a_fenced_writer_writes_nothing(seen: &Seen<'_>) -> Result<(), String> {
    let opened = (1u64..).zip(&seen.log).filter_map(|(sequence, event)| match event {
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

fn fold(log: &[Event]) -> Result<SessionState, String> {
    let mut state = SessionState::default();
    log.iter().try_for_each(|event| state.apply(event)).map_err(|error| error.to_string())?;
    Ok(state)
}

fn the_live_state_is_the_fold_of_the_log(seen: &Seen<'_>) -> Result<(), String> {
    let folded = fold(&seen.log)?;
    match &seen.evidence.live {
        Some(live) if live.state != folded => Err(format!("believed {:?}, read back {folded:?}", live.state)),
        _ => Ok(()),
    }
}

fn a_replay_gives_the_same_events(seen: &Seen<'_>) -> Result<(), String> {
    let Some(session) = seen.evidence.session else { return Ok(()) };
    let mut state = SessionState::default();
    let mut next = 0;
    while let (Some(input), Some(header)) = (seen.log.get(next), seen.headers.get(next)) {
        if header.origin != Origin::Input {
            return Err(format!("event {} follows from no input: {input:?}", next + 1));
        }
        let decision = decide(&mut state, session, input.clone()).map_err(|error| format!("{input:?}: {error}"))?;
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

/// What waits for a person, worked out from what was asked and what answered or withdrew it.
#[derive(Default, Clone, Debug)]
struct Waiting {
    approvals: BTreeMap<ApprovalId, CallId>,
    questions: BTreeMap<QuestionId, CallId>,
    /// The approvals that waited when a person allowed some tool for later calls: one who opens the session next
    /// may see that nobody needs to be asked any more.
    loosened: BTreeSet<u128>,
}

impl Waiting {
    fn calls(&self) -> impl Iterator<Item = &CallId> {
        self.approvals.values().chain(self.questions.values())
    }

    fn all(&self) -> BTreeSet<u128> {
        self.approvals.keys().map(|id| id.bits()).chain(self.questions.keys().map(|id| id.bits())).collect()
    }

    fn ids(approvals: &[ApprovalId], questions: &[QuestionId]) -> BTreeSet<u128> {
        approvals.iter().map(|id| id.bits()).chain(questions.iter().map(|id| id.bits())).collect()
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::ApprovalAsked { approval, call, .. } => drop(self.approvals.insert(*approval, *call)),
            Event::ApprovalAnswered { approval, .. } | Event::ApprovalWithdrawn { approval } => {
                self.approvals.remove(approval);
            }
            Event::AllowanceGranted { .. } => self.loosened.extend(self.approvals.keys().map(|id| id.bits())),
            Event::QuestionAsked { question, call, .. } => drop(self.questions.insert(*question, *call)),
            Event::QuestionAnswered { question, .. } | Event::QuestionWithdrawn { question } => {
                self.questions.remove(question);
            }
            _ => {}
        }
    }
}

fn what_waits_for_a_person_still_waits_after_a_crash(seen: &Seen<'_>) -> Result<(), String> {
    // What waited after each event; before the first, nothing did.
    let mut waited = vec![Waiting::default()];
    let mut waiting = Waiting::default();
    for (sequence, event) in (1u64..).zip(&seen.log) {
        if let Event::CallEnded { call, .. } = event
            && waiting.calls().any(|waits| waits == call)
        {
            return Err(format!("event {sequence} ends {call}, which still waits for a person"));
        }
        waiting.take(event);
        waited.push(waiting.clone());
    }
    let after = |sequence: u64| usize::try_from(sequence).ok().and_then(|index| waited.get(index));
    for opened in &seen.evidence.openings {
        let opens = |event: &Event| matches!(event, Event::SessionOpened { epoch, .. } if *epoch == opened.epoch);
        let from = seen.log.iter().position(opens);
        let (Some(from), Some(now)) = (from, after(opened.after)) else {
            return Err(format!("the log does not hold {opened:?}"));
        };
        let found = Waiting::ids(&opened.approvals, &opened.questions);
        if found != now.all() {
            return Err(format!("{:?} should wait at {}, {found:?} do", now.all(), opened.after));
        }
        // Only another context may have made asking a person needless.
        let is_same = matches!(seen.log.get(from), Some(Event::SessionOpened { context: None, .. }));
        let before = waited.get(from).map_or_else(BTreeSet::new, Waiting::all);
        let may_go = |id: &u128| now.loosened.contains(id);
        if is_same && !before.difference(&now.all()).all(may_go) {
            return Err(format!("{before:?} waited before event {}, {found:?} do after", from + 1));
        }
    }
    Ok(())
}

fn every_request_is_valid_for_a_provider(seen: &Seen<'_>) -> Result<(), String> {
    let valid = |request: &super::evidence::Request| valid_for_provider(request.items.iter().map(AsRef::as_ref));
    seen.evidence.requests.iter().try_for_each(valid)
}

/// What was ever asked is the beginning of what is asked now.
fn a_conversation_only_grows(seen: &Seen<'_>) -> Result<(), String> {
    let history = fold(&seen.log)?.history;
    let strays = seen.evidence.requests.iter().find(|it| history.get(..it.items.len()) != Some(&it.items[..]));
    strays.map_or(Ok(()), |stray| Err(format!("{:?} does not begin with {:?}", history, stray.items)))
}

/// What is under way waits for the model, a timer, a hand or a person.
fn nothing_stands_still(seen: &Seen<'_>) -> Result<(), String> {
    let Some(live) = &seen.evidence.live else { return Ok(()) };
    let state = &live.state;
    let is_busy = state.turn.is_some() || state.undoing.is_some();
    let waits = !state.pending().is_empty() || !state.questions().is_empty();
    if is_busy && live.out == 0 && !waits {
        return Err(format!("nobody will end {:?} {:?}", state.turn, state.undoing));
    }
    let requesting = state.turn.as_ref().is_some_and(|turn| matches!(turn.phase, Phase::Requesting { .. }));
    if requesting && live.out == 0 { Err("a request is out that nobody makes".to_owned()) } else { Ok(()) }
}
