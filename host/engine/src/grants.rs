//! Bringing a session's grants in line with what the configuration gives.
//!
//! Promise: what the session gave itself stays; of the rest, afterwards there is what the configuration
//! gives and nothing else; what is the same already is not logged again.

use harness_core::grant::{CAPABILITIES_MAX, SESSION_SOURCE};
use harness_core::limits::GRANTS_MAX;
use harness_core::{CallId, Event, Grant, Outcome, SessionState, TimeMs};
use std::collections::BTreeMap;

/// The inputs that make `given` the configuration's grants: first what is revoked, then what is given.
pub(crate) fn inputs(known: &[Grant], given: Vec<Grant>) -> Vec<Event> {
    let given = unique(given);
    let of_configuration = known.iter().filter(|grant| grant.source != SESSION_SOURCE);
    let revoked = of_configuration.map(Grant::id).filter(|id| !given.iter().any(|grant| grant.id() == *id));
    let mut inputs: Vec<Event> = revoked.map(|grant| Event::GrantRevoked { grant }).collect();
    let new = given.into_iter().filter(|grant| !known.contains(grant));
    inputs.extend(new.map(|grant| Event::GrantGiven { grant }));
    inputs
}

/// Whether the configuration's and the session's own grants together are not too many.
pub(crate) fn fit(known: &[Grant], given: &[Grant]) -> bool {
    let given = unique(given.to_vec());
    let own = known.iter().filter(|grant| grant.source == SESSION_SOURCE);
    let mut of_component: BTreeMap<&str, usize> = BTreeMap::new();
    for grant in own.chain(&given) {
        *of_component.entry(&grant.component).or_default() += 1;
    }
    of_component.values().sum::<usize>() <= GRANTS_MAX && of_component.values().all(|count| *count <= CAPABILITIES_MAX)
}

/// Leaves of what is given only what the session has already.
pub(crate) fn only_known(known: &[Grant], given: &mut Vec<Grant>) {
    given.retain(|grant| known.contains(grant));
}

/// Names the component that lacks a capability: a call that another component made may lack what only that one
/// was not granted.
pub(crate) fn name_who_lacks(state: &SessionState, call: CallId, now: TimeMs, outcome: &mut Outcome) {
    let Outcome::NotGranted { component, capability } = outcome else { return };
    let Some(turn) = &state.turn else { return };
    let mut next = turn.call(call);
    while let Some(call) = next {
        let own = state.tool(&call.tool).map_or("", |tool| tool.component.as_str());
        if !own.is_empty() && !state.granted_to(own, now).iter().any(|granted| granted.covers(capability)) {
            own.clone_into(component);
            return;
        }
        next = call.parent.and_then(|parent| turn.call(parent));
    }
}

/// Each grant once, the last of its id; none of the session's own.
fn unique(given: Vec<Grant>) -> Vec<Grant> {
    let mut unique: Vec<Grant> = Vec::with_capacity(given.len());
    for grant in given.into_iter().filter(|grant| grant.source != SESSION_SOURCE) {
        let id = grant.id();
        unique.retain(|known| known.id() != id);
        unique.push(grant);
    }
    unique
}
