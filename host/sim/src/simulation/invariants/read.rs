//! An evidence with its log read: what the invariants judge by.
//!
//! Promise: each event is verified against the chain, and stands where the sessions that the log is made of say.

use crate::simulation::evidence::Evidence;
use harness_core::envelope::{Header, Tip, verify};
use harness_core::{Event, Fold, Item, Origin, Sequence, SessionId, SessionState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A rewind in the log.
pub struct Rewound {
    /// Its place in the log.
    pub sequence: u64,
    /// The state that was gone back to.
    pub then: SessionState,
    /// The state right before it.
    pub before: SessionState,
    /// The state right after it.
    pub after: SessionState,
}

/// An evidence with its log read.
pub struct Seen<'a> {
    /// What was seen from outside.
    pub evidence: &'a Evidence,
    /// The log's events, in order.
    pub log: Vec<Event>,
    /// Their headers.
    pub headers: Vec<Header>,
    /// How many of them are another session's.
    pub shared: usize,
    /// Their fold.
    pub state: SessionState,
    /// The rewinds, in order.
    pub rewinds: Vec<Rewound>,
    /// The conversation after each batch that asks a model, or may have to ask again, by the place of its end.
    pub asked: BTreeMap<u64, Vec<Arc<Item>>>,
}

impl<'a> Seen<'a> {
    /// Reads the log: gap-free, chained, each event of whom it should be, and the tip where it ends.
    pub(super) fn of(evidence: &'a Evidence) -> Result<Self, String> {
        let owners = evidence.origin.as_ref().map_or(&[][..], |origin| &origin.owners);
        let shared = owners.last().map_or(0, |(_, last)| usize::try_from(*last).unwrap_or(usize::MAX));
        let (mut log, mut headers, mut tip) = (Vec::new(), Vec::new(), Tip::START);
        for stored in &evidence.stored {
            let verified = verify(tip, stored.header_bytes.clone(), stored.payload.clone());
            let (sealed, next) = verified.map_err(|error| error.to_string())?;
            let event = sealed.event().map_err(|error| error.to_string())?;
            let sequence = sealed.header.sequence;
            if owner(evidence, owners, sequence) != Some(sealed.header.session) {
                return Err(format!("event {sequence} is of {}", sealed.header.session));
            }
            log.push(event.ok_or_else(|| format!("event {sequence} was erased"))?);
            headers.push(sealed.header);
            tip = next;
        }
        if let Some(said) = evidence.tip.filter(|said| *said != tip) {
            return Err(format!("the log ends at {tip:?}, the store says {said:?}"));
        }
        let (rewinds, asked) = (Vec::new(), BTreeMap::new());
        let mut seen = Self { evidence, log, headers, shared, state: SessionState::default(), rewinds, asked };
        seen.fold()?;
        Ok(seen)
    }

    fn fold(&mut self) -> Result<(), String> {
        let targets = self.log.iter().filter_map(|event| match event {
            Event::SessionRewound { to } => Some(*to),
            _ => None,
        });
        let targets: BTreeSet<Sequence> = targets.collect();
        let mut then: BTreeMap<Sequence, SessionState> = BTreeMap::new();
        let mut fold = Fold::new(SessionState::default(), Sequence::START, targets.iter().copied());
        let mut is_asked = false;
        for (index, event) in self.log.iter().enumerate() {
            let sequence = index as u64 + 1;
            let before = matches!(event, Event::SessionRewound { .. }).then(|| fold.state().clone());
            fold.apply(event).map_err(|error| format!("event {sequence} cannot be folded: {error}"))?;
            if let (Event::SessionRewound { to }, Some(before)) = (event, before) {
                let then = then.get(to).cloned().ok_or_else(|| format!("event {sequence} goes back to {to}"))?;
                self.rewinds.push(Rewound { sequence, then, before, after: fold.state().clone() });
            }
            if targets.contains(&Sequence(sequence)) {
                then.insert(Sequence(sequence), fold.state().clone());
            }
            // A note of a hook before a step is in the request that is out.
            let is_note = matches!(event, Event::NoteAdded { reserved: Some(_), .. });
            is_asked |= is_note || matches!(event, Event::ModelRequested { .. } | Event::SessionOpened { .. });
            let is_end = self.headers.get(index + 1).is_none_or(|next| next.origin == Origin::Input);
            if is_end && std::mem::take(&mut is_asked) {
                self.asked.insert(sequence, fold.state().history.clone());
            }
        }
        self.state = fold.into_state();
        Ok(())
    }

    /// The events of the batch that an event is part of, from right behind it.
    pub(super) fn rest_of_batch(&self, index: usize) -> impl Iterator<Item = &Event> {
        let rest = self.log.iter().zip(&self.headers).skip(index + 1);
        rest.take_while(|(_, header)| header.origin != Origin::Input).map(|(event, _)| event)
    }
}

fn owner(evidence: &Evidence, owners: &[(SessionId, u64)], sequence: Sequence) -> Option<SessionId> {
    let shared = owners.iter().find(|(_, last)| sequence.0 <= *last).map(|(owner, _)| *owner);
    shared.or(evidence.session)
}
