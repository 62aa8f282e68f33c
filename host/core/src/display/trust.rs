//! What a screen shows of what was allowed for later calls, and of trust.
//!
//! Promise: allowances are those in force, whatever events led to them. Levels of trust are those that events tell.
//!
//! Not here: evidence that changes no level (`state`).

use super::fold::{Touched, put_shown};
use super::screen::Part;
use super::{
    ALLOWANCES_SHOWN_MAX, AllowanceShown, DisplayState, REVIEWS_SHOWN_MAX, ReviewShown, TRUST_SHOWN_MAX, TrustShown,
    name, words,
};
use crate::event::Event;
use crate::grant::Scope;
use crate::ids::{AllowanceId, CallId, Digest, Sequence};
use crate::limits::TRUST_KEYS_MAX;
use crate::pattern::ArgumentPattern;
use crate::state::BY_PERSON;
use crate::trust::{TrustCounts, TrustKey, TrustLevel};
use crate::verdict::{Allowance, Coverage, Verdict, VerdictKind, Voice};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// What was told of trust in one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(super) struct TrustTold {
    level: TrustLevel,
    /// How often the level is known to have fallen or been set.
    era: u32,
}

/// The later calls that an allowance covers, in words.
fn coverage_words(allowance: &Allowance) -> String {
    let tool = &allowance.tool;
    match &allowance.coverage {
        Coverage::Exact { .. } => format!("{tool} with the same arguments"),
        Coverage::Pattern { pattern } => format!("{tool} where {}", pattern_words(pattern)),
        Coverage::Tool => format!("all calls of {tool}"),
        Coverage::Category { category } => format!("all calls of tools of the kind {}", category.word()),
    }
}

fn pattern_words(pattern: &ArgumentPattern) -> String {
    let commands: Vec<&str> = pattern.command.iter().map(|command| command.as_str()).collect();
    let commands = (!commands.is_empty()).then(|| format!("commands are `{}`", commands.join("` or `")));
    let arguments = pattern.arguments.iter().map(|(key, glob)| format!("{key} is `{glob}`"));
    let all: Vec<String> = commands.into_iter().chain(arguments).collect();
    if all.is_empty() { "nothing is".to_owned() } else { all.join(" and ") }
}

impl DisplayState {
    pub(super) fn fold_allowances(&mut self, at: Sequence, event: &Event, touched: Touched<'_>) {
        match event {
            Event::AllowanceGranted { allowance } => self.show_allowance(at, allowance, touched),
            Event::AllowanceRevoked { allowance, .. } if self.allowances.remove(allowance).is_some() => {
                touched(Part::Allowance(*allowance));
            }
            Event::AllowancesCarried { allowances } => {
                self.end_allowances(|shown| shown.scope > Scope::Session, touched);
                allowances.iter().for_each(|allowance| self.show_allowance(at, allowance, touched));
            }
            _ => {}
        }
    }

    fn show_allowance(&mut self, at: Sequence, allowance: &Allowance, touched: Touched<'_>) {
        let id = allowance.id();
        if self.allowances.contains_key(&id) {
            return;
        }
        let shown = AllowanceShown {
            at,
            tool: name(&allowance.tool),
            rule: name(&allowance.rule),
            covers: words(&coverage_words(allowance)),
            scope: allowance.scope,
            until: allowance.until,
        };
        put_shown!(self, touched, allowances, id, shown, ALLOWANCES_SHOWN_MAX, Part::Allowance, allowances);
    }

    pub(super) fn end_allowances(&mut self, is_over: impl Fn(&AllowanceShown) -> bool, touched: Touched<'_>) {
        let over: Vec<AllowanceId> =
            self.allowances.iter().filter(|(_, shown)| is_over(shown)).map(|(id, _)| *id).collect();
        for id in over {
            self.allowances.remove(&id);
            touched(Part::Allowance(id));
        }
    }

    pub(super) fn fold_trust(&mut self, at: Sequence, event: &Event, touched: Touched<'_>) {
        match event {
            Event::TrustCarried { records } => {
                for record in records {
                    let told = self.trust_told(&record.key);
                    let (era, level) = (told.era, told.level);
                    let level = match record.era.cmp(&era) {
                        Ordering::Less => level,
                        Ordering::Equal => level.max(record.level),
                        Ordering::Greater => record.level,
                    };
                    self.tell_trust(&record.key, TrustTold { level, era: era.max(record.era) });
                    if self.trust.get(&record.key.digest()).is_none_or(|shown| shown.level != level) {
                        self.show_trust(at, &record.key, level, &record.evidence, "carried", touched);
                    }
                }
            }
            Event::TrustSet { key, .. } => self.begin_era(key),
            Event::TrustReset { key: Some(key) } => self.begin_era(key),
            Event::TrustReset { key: None } => {
                self.tally.trust.values_mut().for_each(|told| told.era = told.era.saturating_add(1));
            }
            Event::TrustLevelChanged { key, from, to, evidence, rule } => {
                // What a person gave began its era when it was given.
                if to < from && rule != BY_PERSON {
                    self.begin_era(key);
                }
                let told = TrustTold { level: *to, ..self.trust_told(key) };
                self.tell_trust(key, told);
                self.show_trust(at, key, *to, evidence, rule, touched);
            }
            Event::WorkReviewed { call, .. } => self.end_review(*call, touched),
            _ => {}
        }
    }

    fn trust_told(&self, key: &TrustKey) -> TrustTold {
        let told = self.tally.trust.get(&key.digest()).cloned();
        told.unwrap_or(TrustTold { level: TrustLevel::Supervised, era: 0 })
    }

    fn tell_trust(&mut self, key: &TrustKey, told: TrustTold) {
        let (digest, all) = (key.digest(), &mut self.tally.trust);
        // As in the ledger, which takes no more.
        if all.len() < TRUST_KEYS_MAX || all.contains_key(&digest) {
            all.insert(digest, told);
        }
    }

    fn begin_era(&mut self, key: &TrustKey) {
        let told = self.trust_told(key);
        self.tell_trust(key, TrustTold { era: told.era.saturating_add(1), ..told });
    }

    fn show_trust(
        &mut self,
        at: Sequence,
        key: &TrustKey,
        level: TrustLevel,
        evidence: &TrustCounts,
        rule: &str,
        touched: Touched<'_>,
    ) {
        let digest: Digest = key.digest();
        if level == TrustLevel::Supervised {
            if self.trust.remove(&digest).is_some() {
                touched(Part::Trust(digest));
            }
            return;
        }
        let shown = TrustShown {
            at,
            agent: name(&key.agent),
            component: name(&key.component),
            tool: name(&key.tool),
            task: name(&key.task),
            category: key.category,
            risk: key.risk,
            level,
            evidence: evidence.to_string(),
            rule: name(rule),
        };
        put_shown!(self, touched, trust, digest, shown, TRUST_SHOWN_MAX, Part::Trust, trust);
    }

    /// A call was judged: where trust alone lets it run, it waits for a review.
    pub(super) fn fold_trusted(&mut self, at: Sequence, call: CallId, verdict: &Verdict, touched: Touched<'_>) {
        let by_trust = verdict.kind == VerdictKind::Allow && verdict.voice == Voice::Trust;
        if !by_trust || self.reviews.contains_key(&call) {
            return;
        }
        let of = self.calls.get(&call).map(|shown| (shown.tool.clone(), shown.arguments.clone()));
        let (tool, arguments) = of.unwrap_or_default();
        let shown = ReviewShown { at, tool, arguments, rule: name(&verdict.rule) };
        put_shown!(self, touched, reviews, call, shown, REVIEWS_SHOWN_MAX, Part::Review, reviews);
    }

    pub(super) fn end_review(&mut self, call: CallId, touched: Touched<'_>) {
        if self.reviews.remove(&call).is_some() {
            touched(Part::Review(call));
        }
    }
}
