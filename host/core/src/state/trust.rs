//! The trust ledger in the state: what counts as evidence, and what ran by trust alone.
//!
//! Promise: only what a person said, took back or saw fail counts, once each; a component's own calls neither earn
//! trust nor use it.

use super::{Call, SessionState};
use crate::change::Manifest;
use crate::event::{Answer, ApplyResult, Event};
use crate::ids::{ApprovalId, CallId, Digest};
use crate::item::ToolSpec;
use crate::limits::{TRUST_CALLS_MAX, TRUST_KEYS_MAX, UNREVIEWED_ARGUMENTS_CHARS_MAX, UNREVIEWED_MAX};
use crate::trust::{LevelChange, Risk, TrustCounts, TrustEntry, TrustKey, TrustLevel, TrustRecord};
use crate::verdict::{TrustAnswer, Verdict, VerdictKind, Voice};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// A call that ran by trust alone and was not reviewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreviewed {
    /// The call.
    pub call: CallId,
    /// What trusted it.
    pub key: TrustKey,
    /// Its arguments, cut.
    pub arguments: String,
}

/// What is known of trust.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrustLedger {
    /// By [`TrustKey::digest`].
    entries: BTreeMap<Digest, TrustEntry>,
    /// The last calls that changed something, whoever allowed them.
    worked: VecDeque<(CallId, TrustKey)>,
    unreviewed: VecDeque<Unreviewed>,
}

impl TrustLedger {
    /// All keys.
    pub fn entries(&self) -> impl Iterator<Item = &TrustEntry> {
        self.entries.values()
    }

    /// One key.
    pub fn entry(&self, key: &TrustKey) -> Option<&TrustEntry> {
        self.entries.get(&key.digest())
    }

    /// Whether it knows already what other sessions know.
    pub fn knows(&self, records: &[TrustRecord]) -> bool {
        let mut ledger = self.clone();
        ledger.carry(records);
        ledger == *self
    }

    fn entry_mut(&mut self, key: &TrustKey, implementation: &str) -> Option<&mut TrustEntry> {
        let digest = key.digest();
        if !self.entries.contains_key(&digest) && self.entries.len() >= TRUST_KEYS_MAX {
            return None;
        }
        Some(self.entries.entry(digest).or_insert_with(|| TrustEntry::new(key.clone(), implementation)))
    }

    fn carry(&mut self, records: &[TrustRecord]) {
        for entry in self.entries.values_mut() {
            (entry.others_evidence, entry.others_total) = (TrustCounts::default(), TrustCounts::default());
        }
        for record in records {
            if let Some(entry) = self.entry_mut(&record.key, &record.implementation) {
                entry.carry(record);
            }
        }
    }

    /// Begins a fork's: what its origin saw is the origin's to tell, and comes from there.
    pub(super) fn fork(&mut self) {
        self.entries.values_mut().for_each(TrustEntry::disown);
        self.worked.clear();
        self.unreviewed.clear();
    }

    /// The first level that is to change.
    pub(crate) fn due(&self) -> Option<(TrustKey, TrustLevel, LevelChange)> {
        self.entries.values().find_map(|entry| Some((entry.own.key.clone(), entry.own.level, entry.due()?)))
    }
}

impl SessionState {
    /// What trust in a call of `tool` is about, on its staged changes where there are any.
    pub fn trust_key(&self, tool: &ToolSpec, staged: Option<&Manifest>) -> TrustKey {
        let component = if tool.component.is_empty() { &tool.implementation } else { &tool.component };
        TrustKey {
            agent: self.context.as_ref().map_or_else(String::new, |context| context.agent.clone()),
            component: component.clone(),
            tool: tool.name.clone(),
            task: self.mode.clone(),
            category: tool.category,
            risk: Risk::of(tool, staged),
        }
    }

    /// How far a tool is trusted; not at all where trust is switched off.
    pub fn trust_level(&self, tool: &ToolSpec, staged: Option<&Manifest>) -> TrustLevel {
        let entry = self.ledger.entry(&self.trust_key(tool, staged)).filter(|_| self.earns_trust());
        entry.map_or(TrustLevel::Supervised, |entry| entry.own.level)
    }

    /// The calls that ran by trust alone and wait for a review, oldest first.
    pub fn unreviewed(&self) -> impl Iterator<Item = &Unreviewed> {
        self.ledger.unreviewed.iter()
    }

    pub(crate) fn earns_trust(&self) -> bool {
        self.context.as_ref().is_some_and(|context| context.trust)
    }

    /// What trust says of a call.
    pub(crate) fn trust_answer(&self, call: &Call, tool: &ToolSpec, staged: Option<&Manifest>) -> Option<TrustAnswer> {
        if !self.earns_trust() || call.parent.is_some() {
            return None;
        }
        let entry = self.ledger.entry(&self.trust_key(tool, staged)).filter(|entry| entry.spares())?;
        let level = entry.own.level.word();
        let words = format!("{} is {level} in this: {}.", tool.name, entry.total());
        Some(TrustAnswer { rule: format!("trust.{level}"), words })
    }

    /// Whoever is asked about it, and what it would be known by.
    fn call_for_trust(&self, call: &Call) -> Option<(TrustKey, String)> {
        let tool = self.tool(&call.tool).filter(|tool| !tool.is_of_session() && call.parent.is_none())?;
        let staged = call.reported.as_ref().and_then(|reported| reported.staged());
        Some((self.trust_key(tool, staged), tool.implementation.clone()))
    }

    /// Counts what an event says about trust; before the event changes anything else.
    pub(super) fn count_trust(&mut self, event: &Event) {
        if !self.earns_trust() {
            return;
        }
        match event {
            Event::ApprovalAnswered { approval, answer, .. } => self.count_answer(*approval, answer),
            Event::CallJudged { call, verdict, .. } => self.count_judged(*call, verdict),
            Event::CallEnded { call, outcome, changes, .. } => self.count_ended(*call, outcome, changes),
            Event::ChangesUndone { of, result: ApplyResult::Applied, .. } => {
                for call in of {
                    self.ledger.unreviewed.retain(|it| it.call != *call);
                    let Some(index) = self.ledger.worked.iter().position(|(it, _)| it == call) else { continue };
                    let Some((_, key)) = self.ledger.worked.remove(index) else { continue };
                    if let Some(entry) = self.ledger.entry_mut(&key, "") {
                        entry.count(|counts| counts.undone = counts.undone.saturating_add(1));
                        entry.fall("undone");
                    }
                }
            }
            _ => {}
        }
    }

    fn count_answer(&mut self, approval: ApprovalId, answer: &Answer) {
        let Some(call) = self.asked(approval) else { return };
        let (id, Some((key, implementation))) = (call.id, self.call_for_trust(call)) else { return };
        let Some(entry) = self.ledger.entry_mut(&key, &implementation) else { return };
        entry.unasked = 0;
        match answer {
            Answer::Yes | Answer::YesForTool | Answer::Allow { .. } => {
                entry.count(|counts| counts.approved = counts.approved.saturating_add(1));
            }
            Answer::No { .. } => {
                entry.count(|counts| counts.denied = counts.denied.saturating_add(1));
                entry.fall("denied");
            }
            // It was neither right nor wrong.
            Answer::Edited { .. } => {}
        }
        self.vouch(id, key);
    }

    fn count_judged(&mut self, id: CallId, verdict: &Verdict) {
        if verdict.kind != VerdictKind::Allow || verdict.voice != Voice::Trust {
            return;
        }
        let Some(call) = self.turn.as_ref().and_then(|turn| turn.call(id)) else { return };
        let Some((key, implementation)) = self.call_for_trust(call) else { return };
        let arguments = call.arguments.chars().take(UNREVIEWED_ARGUMENTS_CHARS_MAX).collect();
        if let Some(entry) = self.ledger.entry_mut(&key, &implementation) {
            entry.count(|counts| counts.ran = counts.ran.saturating_add(1));
            entry.unasked = entry.unasked.saturating_add(1);
        }
        let unreviewed = &mut self.ledger.unreviewed;
        if !unreviewed.iter().any(|it| it.call == id) {
            if unreviewed.len() >= UNREVIEWED_MAX {
                unreviewed.pop_front();
            }
            unreviewed.push_back(Unreviewed { call: id, key: key.clone(), arguments });
        }
        self.vouch(id, key);
    }

    fn count_ended(&mut self, id: CallId, outcome: &str, changes: &Manifest) {
        let Some(call) = self.turn.as_ref().and_then(|turn| turn.call(id)) else { return };
        let Some((key, implementation)) = self.call_for_trust(call) else { return };
        let vouched = call.vouched.clone();
        if let ("failed" | "faulted" | "over_limit", Some(key)) = (outcome, &vouched)
            && let Some(entry) = self.ledger.entry_mut(key, &implementation)
        {
            entry.count(|counts| counts.failed = counts.failed.saturating_add(1));
        }
        let key = vouched.unwrap_or(key);
        if !changes.is_empty() && self.ledger.entry_mut(&key, &implementation).is_some() {
            if self.ledger.worked.len() >= TRUST_CALLS_MAX {
                self.ledger.worked.pop_front();
            }
            self.ledger.worked.push_back((id, key));
        }
    }

    /// Somebody, or trust, stood up for a call.
    fn vouch(&mut self, call: CallId, key: TrustKey) {
        if let Some(Ok(call)) = self.turn.as_mut().map(|turn| turn.call_mut(call)) {
            call.vouched = Some(key);
        }
    }

    /// A session was opened: what implements its tools may not be what earned the trust.
    pub(super) fn meet_implementations(&mut self) {
        let Some(context) = self.context.clone().filter(|context| context.trust) else { return };
        for entry in self.ledger.entries.values_mut() {
            let key = &entry.own.key;
            let found = context.tools.iter().find(|tool| tool.name == key.tool && tool.component == key.component);
            if let Some(tool) = found {
                entry.meet(&tool.implementation);
            }
        }
    }

    pub(super) fn apply_trust(&mut self, event: &Event) -> Result<(), &'static str> {
        match event {
            Event::TrustCarried { records } => self.ledger.carry(records),
            Event::TrustSet { key, level } => {
                let implementation = self.tool(&key.tool).map_or_else(String::new, |tool| tool.implementation.clone());
                let entry = self.ledger.entry_mut(key, &implementation).ok_or("the ledger is full")?;
                entry.give(*level, "person");
            }
            Event::TrustReset { key } => {
                let entries = self.ledger.entries.values_mut();
                for entry in entries.filter(|entry| key.as_ref().is_none_or(|key| *key == entry.own.key)) {
                    entry.give(TrustLevel::Supervised, "person");
                }
            }
            Event::TrustLevelChanged { key, to, .. } => {
                let entry = self.ledger.entries.get_mut(&key.digest()).ok_or("there is no such key")?;
                entry.own.level = *to;
                entry.given = None;
                entry.is_set = true;
            }
            Event::WorkReviewed { call, accepted } => {
                let index = self.ledger.unreviewed.iter().position(|it| it.call == *call);
                let reviewed = index.and_then(|index| self.ledger.unreviewed.remove(index));
                let key = reviewed.ok_or("it does not wait for a review")?.key;
                let entry = self.ledger.entry_mut(&key, "").ok_or("the ledger is full")?;
                if *accepted {
                    entry.count(|counts| counts.approved = counts.approved.saturating_add(1));
                } else {
                    entry.count(|counts| counts.denied = counts.denied.saturating_add(1));
                    entry.fall("rejected");
                }
            }
            _ => return Err("it is not about trust"),
        }
        Ok(())
    }
}
