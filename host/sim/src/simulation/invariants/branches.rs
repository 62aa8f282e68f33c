//! What must hold where a log begins as another one, or goes on from an earlier place: the conversation, what is read
//! back, and what is not given back.

use super::Seen;
use harness_core::grant::Grant;
use harness_core::verdict::Allowance;
use harness_core::{Event, Item};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a model is asked is the conversation as the log has it.
pub(super) fn every_request_is_the_conversation(seen: &Seen<'_>) -> Result<(), String> {
    let mut by_length: BTreeMap<usize, Vec<&Vec<Arc<Item>>>> = BTreeMap::new();
    for items in seen.asked.values() {
        by_length.entry(items.len()).or_default().push(items);
    }
    for request in &seen.evidence.requests {
        let found = by_length.get(&request.items.len());
        if !found.is_some_and(|found| found.contains(&&request.items)) {
            return Err(format!("the conversation was never {:?}", request.items));
        }
    }
    Ok(())
}

/// What was ever asked is the beginning of what is asked later, unless a person went back in between.
pub(super) fn a_conversation_only_grows(seen: &Seen<'_>) -> Result<(), String> {
    let rewound = |from: u64, to: u64| seen.rewinds.iter().any(|it| from < it.sequence && it.sequence <= to);
    let mut last: Option<(u64, &Vec<Arc<Item>>)> = None;
    for (sequence, items) in &seen.asked {
        if let Some((before, was)) = last
            && !rewound(before, *sequence)
            && items.get(..was.len()) != Some(&was[..])
        {
            return Err(format!("at {before} it was {was:?}, at {sequence} it is {items:?}"));
        }
        last = Some((*sequence, items));
    }
    Ok(())
}

/// A fork's log is its origin's up to the event, byte for byte, and its first own event says so.
pub(super) fn a_fork_begins_as_its_origin_was(seen: &Seen<'_>) -> Result<(), String> {
    let Some(origin) = &seen.evidence.origin else { return Ok(()) };
    let theirs = origin.events.iter().zip(&seen.evidence.stored);
    let differs = theirs.enumerate().find(|(_, (theirs, ours))| theirs != ours);
    if let Some((index, _)) = differs {
        return Err(format!("event {} is not its origin's", index + 1));
    }
    if origin.events.len() != seen.shared {
        return Err(format!("its origin has {} of {} shared events", origin.events.len(), seen.shared));
    }
    match seen.log.get(seen.shared) {
        Some(Event::SessionForked { at, .. } | Event::SessionImported { at, .. }) if at.0 == seen.shared as u64 => {
            Ok(())
        }
        other => Err(format!("its first own event after {} is {other:?}", seen.shared)),
    }
}

/// Whoever reads the session back, from a checkpoint too, believes what its writer believes.
pub(super) fn a_session_loads_as_it_is(seen: &Seen<'_>) -> Result<(), String> {
    match &seen.evidence.loaded {
        Some(loaded) if **loaded != seen.state => Err(format!("loaded is {loaded:?}, the log says {:?}", seen.state)),
        _ => Ok(()),
    }
}

/// A rewind gives no power back, earns and loses no trust, and what was spent, said and undone stays so. Grants and
/// allowances are followed by rules of their own.
pub(super) fn a_rewind_gives_nothing_back(seen: &Seen<'_>) -> Result<(), String> {
    for it in &seen.rewinds {
        let (then, before, after) = (&it.then, &it.before, &it.after);
        let stays = [
            ("the ledger", after.ledger == before.ledger),
            ("what was spent", after.spent == before.spent && after.usage == before.usage),
            ("the budget", after.budget == before.budget),
            ("turns", after.turns == before.turns),
            ("what was undone", after.undone == before.undone),
            ("the epoch", after.epoch == before.epoch),
            ("what waits to be said", after.messages == before.messages),
            ("the context", after.context == before.context),
            ("the mode", after.mode == before.mode),
            ("the place", after.workspace == before.workspace && after.archived == before.archived),
            ("taint", after.is_tainted || !(before.is_tainted || then.is_tainted)),
            ("rest", after.turn.is_none() && after.undoing.is_none()),
            ("the conversation", after.history.starts_with(&then.history)),
            ("grants", after.grants.iter().all(|it| before.grants.contains(it) && then.grants.contains(it))),
            (
                "allowances",
                after
                    .allowances
                    .iter()
                    .all(|it| before.allowances.contains(it) && (it.is_kept() || then.allowances.contains(it))),
            ),
            (
                "what outlasts the session",
                before.allowances.iter().filter(|it| it.is_kept()).all(|it| after.allowances.contains(it)),
            ),
        ];
        if let Some((what, _)) = stays.iter().find(|(_, holds)| !holds) {
            return Err(format!("event {} changed {what}", it.sequence));
        }
    }
    powers(seen)
}

/// What is in force now was given, was not taken back since, and was there at every place that was gone back to.
fn powers(seen: &Seen<'_>) -> Result<(), String> {
    // What was in force after each event.
    let mut grants: Vec<Vec<Grant>> = vec![Vec::new()];
    let mut allowances: Vec<Vec<Allowance>> = vec![Vec::new()];
    for event in &seen.log {
        let (mut lent, mut allowed) = match (grants.last(), allowances.last()) {
            (Some(lent), Some(allowed)) => (lent.clone(), allowed.clone()),
            _ => return Ok(()),
        };
        match event {
            Event::GrantGiven { grant } => lent.push(grant.clone()),
            Event::GrantRevoked { grant } => lent.retain(|it| it.id() != *grant),
            Event::AllowanceGranted { allowance } => allowed.push(allowance.clone()),
            Event::AllowanceRevoked { allowance, .. } => allowed.retain(|it| it.id() != *allowance),
            Event::AllowancesCarried { allowances } => {
                allowed.retain(|it| !it.is_kept());
                allowed.extend(allowances.iter().cloned());
            }
            Event::TurnEnded { .. } => allowed.retain(|it| it.scope != harness_core::Scope::Turn),
            Event::SessionForked { .. } | Event::SessionImported { .. } => (lent, allowed) = Default::default(),
            Event::SessionRewound { to } => {
                let then = usize::try_from(to.0).unwrap_or(usize::MAX);
                let (Some(lent_then), Some(allowed_then)) = (grants.get(then), allowances.get(then)) else {
                    return Err(format!("nothing is known of {to}"));
                };
                lent.retain(|it| lent_then.iter().any(|then| then.id() == it.id()));
                allowed.retain(|it| it.is_kept() || allowed_then.contains(it));
            }
            _ => {}
        }
        grants.push(lent);
        allowances.push(allowed);
    }
    let (lent, allowed) = (grants.last(), allowances.last());
    let is_lent = |grant: &Grant| lent.is_some_and(|lent| lent.iter().any(|it| it.id() == grant.id()));
    if let Some(grant) = seen.state.grants.iter().find(|grant| !is_lent(grant)) {
        return Err(format!("{grant:?} is in force and should not be"));
    }
    let is_allowed = |allowance: &&Allowance| allowed.is_some_and(|allowed| allowed.contains(allowance));
    match seen.state.allowances.iter().find(|allowance| !is_allowed(allowance)) {
        Some(allowance) => Err(format!("{allowance:?} is in force and should not be")),
        None => Ok(()),
    }
}
