//! Trust that is earned: how an agent's work with a tool turned out, and how much of it needs no asking.
//!
//! Promise: a level rises only by evidence and one step at a time, and falls at once; work of high risk is asked about
//! now and then however well it went; only whole numbers are used, so that a replay comes to the same on every machine.
//!
//! The rule. Evidence is what persons said since the level last fell: good is a call that was approved, or accepted in
//! a review; bad is one that was denied, undone or failed. Its worth is the lower end of Wilson's interval (E. B.
//! Wilson, 1927, J. Am. Stat. Assoc. 22) at 95 %: of good among good and bad. From [`SEMI_EVIDENCE_MIN`] on and at
//! [`SEMI_BOUND_PERMILLE`] or more a supervised key becomes semi-autonomous; from [`AUTONOMOUS_EVIDENCE_MIN`] on and at
//! [`AUTONOMOUS_BOUND_PERMILLE`] or more it becomes autonomous, unless its risk is high. A denial, an undo or a
//! rejection in a review lowers it one level, and another digest of what implements the tool does too; each makes the
//! evidence begin anew. Work that ran unasked is no evidence by itself: trust does not feed on itself.
//!
//! Not here: keeping the ledger (harness-engine), the order of voices (`verdict`): trust stands in for nothing but the
//! default's ask.

use crate::change::{ChangeKind, Manifest};
use crate::ids::Digest;
use crate::item::{Category, Effects, ToolSpec};
pub use crate::mode::TrustLevel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;

/// z² of the 95 % interval, z = 1.96, in ten-thousandths.
const Z_SQUARED: i128 = 38_416;
/// What [`Z_SQUARED`] counts in.
const SCALE: i128 = 10_000;
/// Evidence beyond this makes no difference.
const EVIDENCE_MAX: u32 = 1_000_000;
/// Good and bad calls before anything may go unasked.
pub const SEMI_EVIDENCE_MIN: u32 = 8;
/// How much of them has to be good at least, in thousandths, as the interval's lower end.
pub const SEMI_BOUND_PERMILLE: u32 = 700;
/// Good and bad calls before all may go unasked.
pub const AUTONOMOUS_EVIDENCE_MIN: u32 = 30;
/// How much of them has to be good at least, in thousandths, as the interval's lower end.
pub const AUTONOMOUS_BOUND_PERMILLE: u32 = 900;
/// Every so many calls of a semi-autonomous key a person is asked all the same.
pub const SEMI_ASKS_EVERY_CALLS: u32 = 5;
/// Staged changes of more files are of medium risk.
pub const MEDIUM_RISK_FILES: usize = 5;
/// Staged changes of more files are of high risk.
pub const HIGH_RISK_FILES: usize = 50;

/// How much can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// A few files, shown and taken back.
    #[default]
    Low,
    /// Many files, a deletion, or more than files in a private layer.
    Medium,
    /// What reaches the world at once, or a great many files.
    High,
}

impl Risk {
    /// The word for people and keys.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// The risk of a call of `tool`, on its staged changes where there are any.
    ///
    /// High: effects that reach the world at once, of a tool that does more than look or change files; or staged
    /// changes of more than [`HIGH_RISK_FILES`] paths. Medium: other tools that do more than look or change files,
    /// files changed in the world at once, requests, a deletion, or more than [`MEDIUM_RISK_FILES`] paths. Low: the
    /// rest.
    pub fn of(tool: &ToolSpec, staged: Option<&Manifest>) -> Self {
        let looks_or_edits = matches!(tool.category, Category::Read | Category::Edit);
        let by_tool = match tool.effects {
            Effects::Direct if !looks_or_edits => Self::High,
            Effects::Direct | Effects::Requesting => Self::Medium,
            Effects::Staged if !looks_or_edits => Self::Medium,
            Effects::Staged => Self::Low,
        };
        let entries = staged.map_or(&[][..], Manifest::entries);
        let deletes = entries.iter().any(|change| change.kind() == ChangeKind::Deleted);
        let by_changes = match entries.len() {
            files if files > HIGH_RISK_FILES => Self::High,
            files if files > MEDIUM_RISK_FILES || deletes => Self::Medium,
            _ => Self::Low,
        };
        by_tool.max(by_changes)
    }
}

/// What trust is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct TrustKey {
    /// The agent.
    pub agent: String,
    /// The tool's component; what implements it, for other hands.
    pub component: String,
    /// The tool.
    pub tool: String,
    /// The kind of task: the mode's name; empty without modes.
    pub task: String,
    /// What kind of thing the tool does.
    pub category: Category,
    /// How much can go wrong.
    pub risk: Risk,
}

impl TrustKey {
    /// A short name that no other key has.
    pub fn digest(&self) -> Digest {
        // Texts: nothing that JSON cannot hold.
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

impl fmt::Display for TrustKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agent, component, tool, task, category, risk } = self;
        let task = if task.is_empty() { "-" } else { task };
        write!(f, "{agent}/{component}/{tool}/{task}/{}/{}", category.word(), risk.word())
    }
}

/// How calls turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct TrustCounts {
    /// A person said yes, or accepted it in a review.
    pub approved: u32,
    /// A person said no, or rejected it in a review.
    pub denied: u32,
    /// A person took back what it changed.
    pub undone: u32,
    /// It ran and did not do what was asked.
    pub failed: u32,
    /// It ran unasked, by trust alone.
    pub ran: u32,
}

impl TrustCounts {
    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            approved: self.approved.saturating_add(other.approved),
            denied: self.denied.saturating_add(other.denied),
            undone: self.undone.saturating_add(other.undone),
            failed: self.failed.saturating_add(other.failed),
            ran: self.ran.saturating_add(other.ran),
        }
    }

    /// Calls that went well.
    pub fn good(&self) -> u32 {
        self.approved.min(EVIDENCE_MAX)
    }

    /// Calls that did not.
    pub fn bad(&self) -> u32 {
        self.denied.saturating_add(self.undone).saturating_add(self.failed).min(EVIDENCE_MAX)
    }

    /// Whether the lower end of Wilson's 95 % interval is at least so many thousandths.
    pub fn is_worth(&self, permille: u32) -> bool {
        let (good, bad) = (i128::from(self.good()), i128::from(self.bad()));
        let all = good + bad;
        if all == 0 {
            return permille == 0;
        }
        // (g + z²/2 − z·√(g·b/n + z²/4)) / (n + z²) ≥ t, squared: with a = g + z²/2 − t·(n + z²), which must not be
        // negative, a²·n ≥ z²·(g·b + n·z²/4). `a` is counted in ten-millionths.
        let a = 1_000 * (good * SCALE + Z_SQUARED / 2) - i128::from(permille) * (all * SCALE + Z_SQUARED);
        let right = 1_000_000 * Z_SQUARED * (SCALE * good * bad + all * Z_SQUARED / 4);
        a >= 0 && a * a * all >= right
    }

    fn is_enough(&self, level: TrustLevel) -> bool {
        let (min, permille) = match level {
            TrustLevel::Supervised => return true,
            TrustLevel::SemiAutonomous => (SEMI_EVIDENCE_MIN, SEMI_BOUND_PERMILLE),
            TrustLevel::Autonomous => (AUTONOMOUS_EVIDENCE_MIN, AUTONOMOUS_BOUND_PERMILLE),
        };
        self.good().saturating_add(self.bad()) >= min && self.is_worth(permille)
    }
}

impl fmt::Display for TrustCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { approved, denied, undone, failed, ran } = self;
        write!(f, "{approved} approved, {denied} denied, {undone} undone, {failed} failed, {ran} ran unasked")
    }
}

impl TrustLevel {
    /// The word for people and rules.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Supervised => "supervised",
            Self::SemiAutonomous => "semi-autonomous",
            Self::Autonomous => "autonomous",
        }
    }

    /// The level below.
    pub const fn lower(self) -> Self {
        match self {
            Self::Supervised | Self::SemiAutonomous => Self::Supervised,
            Self::Autonomous => Self::SemiAutonomous,
        }
    }

    fn is_lowest(&self) -> bool {
        *self == Self::Supervised
    }

    /// The highest that work of a risk gets.
    pub const fn highest(risk: Risk) -> Self {
        match risk {
            Risk::Low | Risk::Medium => Self::Autonomous,
            Risk::High => Self::SemiAutonomous,
        }
    }
}

/// What one session adds to the ledger about one key: what is kept beyond it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrustRecord {
    /// What it is about.
    pub key: TrustKey,
    /// The level as this session knew it.
    pub level: TrustLevel,
    /// How often the level fell or was set: what is of an earlier time counts for nothing.
    pub era: u32,
    /// The level with which that time began: the lowest, or the one that was given.
    #[serde(default, skip_serializing_if = "TrustLevel::is_lowest")]
    pub began: TrustLevel,
    /// What implemented the tool; empty where a level was given and the tool was not there.
    pub implementation: String,
    /// What this session saw in this era.
    pub evidence: TrustCounts,
    /// What this session saw in all.
    pub total: TrustCounts,
}

/// What implements a tool where sessions know of several in one era: nothing is the same as that.
const SEVERAL: &str = "several";

impl TrustRecord {
    /// Whether nothing speaks against both being about the same implementation and the same beginning: two sessions
    /// may begin an era at the same moment, each with a level of its own.
    fn is_of_the_same(&self, other: &Self) -> bool {
        let (one, two) = (&self.implementation, &other.implementation);
        self.began == other.began && (one == two || one.is_empty() || two.is_empty())
    }

    /// What implements the tool as far as both know.
    fn add_implementation(&mut self, other: &Self) {
        if self.implementation.is_empty() {
            self.implementation.clone_from(&other.implementation);
        } else if self.implementation != other.implementation && !other.implementation.is_empty() {
            SEVERAL.clone_into(&mut self.implementation);
        }
    }

    /// Where another record of the same era is of something else, neither counts more than the lower.
    fn lower_to(&mut self, other: &Self) {
        self.level = self.level.min(other.level);
        self.began = self.began.min(other.began);
    }
}

/// One key of the ledger, as a session knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrustEntry {
    /// This session's own part. Its level and era are those in force.
    pub own: TrustRecord,
    /// What other sessions saw in the era that is in force.
    pub others_evidence: TrustCounts,
    /// What other sessions saw in all.
    pub others_total: TrustCounts,
    /// Calls that went unasked since a person was last asked.
    pub unasked: u32,
    /// This session changed its level, or had its evidence begin anew.
    pub(crate) is_set: bool,
    /// The level that was given otherwise than by evidence; the event that says so follows.
    pub(crate) given: Option<LevelChange>,
}

/// A level that is to be another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct LevelChange {
    pub(crate) to: TrustLevel,
    /// The evidence for it.
    pub(crate) evidence: TrustCounts,
    /// The rule, in words.
    pub(crate) rule: String,
}

impl TrustEntry {
    pub(crate) fn new(key: TrustKey, implementation: &str) -> Self {
        Self {
            own: TrustRecord {
                key,
                level: TrustLevel::Supervised,
                era: 0,
                began: TrustLevel::Supervised,
                implementation: implementation.to_owned(),
                evidence: TrustCounts::default(),
                total: TrustCounts::default(),
            },
            others_evidence: TrustCounts::default(),
            others_total: TrustCounts::default(),
            unasked: 0,
            is_set: false,
            given: None,
        }
    }

    /// The evidence that counts.
    pub fn evidence(&self) -> TrustCounts {
        self.own.evidence.plus(self.others_evidence)
    }

    /// All that was ever seen.
    pub fn total(&self) -> TrustCounts {
        self.own.total.plus(self.others_total)
    }

    /// Whether a call need not be asked about by default now.
    pub fn spares(&self) -> bool {
        match self.own.level {
            TrustLevel::Supervised => false,
            TrustLevel::SemiAutonomous => self.unasked + 1 < SEMI_ASKS_EVERY_CALLS,
            TrustLevel::Autonomous => true,
        }
    }

    /// Whether this session has anything to say about it that others do not.
    pub fn has_own_part(&self) -> bool {
        self.own.total != TrustCounts::default() || self.given.is_some() || self.is_set
    }

    /// Makes what this session saw another one's.
    pub(crate) fn disown(&mut self) {
        self.others_evidence = self.evidence();
        self.others_total = self.total();
        (self.own.evidence, self.own.total) = (TrustCounts::default(), TrustCounts::default());
        self.is_set = false;
    }

    pub(crate) fn count(&mut self, add: impl Fn(&mut TrustCounts)) {
        add(&mut self.own.evidence);
        add(&mut self.own.total);
    }

    /// Lowers the level by one; evidence begins anew.
    pub(crate) fn fall(&mut self, why: &str) {
        self.give(self.own.level.lower(), why);
    }

    /// Gives it a level whatever the evidence, which begins anew.
    pub(crate) fn give(&mut self, to: TrustLevel, why: &str) {
        let change = LevelChange { to, evidence: self.evidence(), rule: why.to_owned() };
        (self.own.era, self.own.began) = (self.own.era.saturating_add(1), to);
        self.own.evidence = TrustCounts::default();
        self.others_evidence = TrustCounts::default();
        self.unasked = 0;
        // Also where the level stays: others have to hear that the evidence is of an era that is over.
        self.is_set = true;
        self.given = (self.own.level != to).then_some(change);
    }

    /// Something else implements the tool: what is known is of the one before, if that is known.
    pub(crate) fn meet(&mut self, implementation: &str) {
        if self.own.implementation != implementation {
            let is_known = !self.own.implementation.is_empty();
            implementation.clone_into(&mut self.own.implementation);
            if is_known {
                self.fall("another digest");
            }
        }
    }

    /// Takes over what other sessions know: of an era that is over nothing but the totals.
    pub(crate) fn carry(&mut self, others: &TrustRecord) {
        self.others_total = others.total;
        match others.era.cmp(&self.own.era) {
            Ordering::Less => self.others_evidence = TrustCounts::default(),
            Ordering::Equal if others.is_of_the_same(&self.own) => {
                self.own.level = self.own.level.max(others.level);
                self.others_evidence = others.evidence;
            }
            Ordering::Equal => {
                self.own.lower_to(others);
                self.others_evidence = TrustCounts::default();
            }
            Ordering::Greater => {
                (self.own.era, self.own.began, self.own.level) = (others.era, others.began, others.level);
                self.own.evidence = TrustCounts::default();
                self.own.implementation.clone_from(&others.implementation);
                self.others_evidence = others.evidence;
            }
        }
    }

    /// The level that it is to have now; none where it stays.
    pub(crate) fn due(&self) -> Option<LevelChange> {
        if self.given.is_some() {
            return self.given.clone();
        }
        let (to, min, permille) = match self.own.level {
            TrustLevel::Supervised => (TrustLevel::SemiAutonomous, SEMI_EVIDENCE_MIN, SEMI_BOUND_PERMILLE),
            TrustLevel::SemiAutonomous => (TrustLevel::Autonomous, AUTONOMOUS_EVIDENCE_MIN, AUTONOMOUS_BOUND_PERMILLE),
            TrustLevel::Autonomous => return None,
        };
        let evidence = self.evidence();
        let rises = to <= TrustLevel::highest(self.own.key.risk) && evidence.is_enough(to);
        let rule = format!("wilson-95 >= 0.{permille} of at least {min}");
        rises.then_some(LevelChange { to, evidence, rule })
    }
}

/// What other sessions know of one key together: of the newest era, everything; of earlier ones only the totals.
pub fn merge(records: &[TrustRecord]) -> Vec<TrustRecord> {
    let mut merged: Vec<TrustRecord> = Vec::new();
    for record in records {
        let Some(known) = merged.iter_mut().find(|known| known.key == record.key) else {
            merged.push(record.clone());
            continue;
        };
        let total = known.total.plus(record.total);
        match record.era.cmp(&known.era) {
            Ordering::Less => {}
            // What rose in one of them rose by evidence that is kept.
            Ordering::Equal if record.is_of_the_same(known) => {
                known.add_implementation(record);
                known.level = known.level.max(record.level);
                known.evidence = known.evidence.plus(record.evidence);
            }
            Ordering::Equal => {
                known.lower_to(record);
                known.evidence = TrustCounts::default();
                known.add_implementation(record);
            }
            Ordering::Greater => *known = record.clone(),
        }
        known.total = total;
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(approved: u32, failed: u32) -> TrustCounts {
        TrustCounts { approved, failed, ..TrustCounts::default() }
    }

    #[test]
    fn the_bound_is_wilsons() {
        for good in 0..60u32 {
            for bad in 0..20u32 {
                let (g, n, z) = (f64::from(good), f64::from(good + bad), 1.96f64);
                if n == 0.0 {
                    continue;
                }
                let (p, z2) = (g / n, z * z);
                let low = (p + z2 / (2.0 * n) - z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt()) / (1.0 + z2 / n);
                for permille in [0u32, 500, 700, 900, 990] {
                    let bound = f64::from(permille) / 1_000.0;
                    if (low - bound).abs() > 1e-9 {
                        assert_eq!(counts(good, bad).is_worth(permille), low >= bound, "{good} {bad} {permille}");
                    }
                }
            }
        }
        assert!(counts(u32::MAX, 0).is_worth(999) && !counts(u32::MAX, u32::MAX).is_worth(600), "nothing overflows");
        assert!(!TrustCounts::default().is_worth(1));
    }

    #[test]
    fn the_first_levels_come_after_so_many_calls() {
        let least = |level| (0..100).find(|good| counts(*good, 0).is_enough(level)).unwrap();
        assert_eq!((least(TrustLevel::SemiAutonomous), least(TrustLevel::Autonomous)), (9, 35));
    }

    fn record(era: u32, level: TrustLevel, approved: u32) -> TrustRecord {
        let word = |word: &str| word.to_owned();
        let (category, risk) = (Category::Edit, Risk::Low);
        let key = TrustKey { agent: word("a"), component: word("c"), tool: word("t"), task: word(""), category, risk };
        let evidence = counts(approved, 0);
        let began = TrustLevel::Supervised;
        TrustRecord { key, level, era, began, implementation: word("i"), evidence, total: evidence }
    }

    #[test]
    fn only_the_newest_era_counts_and_sessions_add_up() {
        use TrustLevel::{Autonomous, SemiAutonomous, Supervised};
        let records = [
            record(0, Autonomous, 40),
            record(1, Supervised, 3),
            record(1, SemiAutonomous, 7),
            TrustRecord {
                key: TrustKey { tool: "u".to_owned(), ..record(0, Supervised, 0).key },
                ..record(0, Supervised, 2)
            },
        ];
        for order in [[0, 1, 2, 3], [2, 0, 3, 1], [3, 2, 1, 0]] {
            let merged = merge(&order.map(|index| records[index].clone()));
            let of_t = merged.iter().find(|it| it.key.tool == "t").unwrap();
            assert_eq!(
                (of_t.era, of_t.level, of_t.evidence.approved, of_t.total.approved),
                (1, SemiAutonomous, 10, 50)
            );
            assert_eq!(merged.len(), 2);
        }
        let other = TrustRecord { implementation: "j".to_owned(), ..record(1, SemiAutonomous, 9) };
        let merged = merge(&[record(1, Autonomous, 40), other.clone()]);
        assert_eq!((merged[0].level, merged[0].evidence.approved, merged[0].total.approved), (SemiAutonomous, 0, 49));
        // Also where several sessions know of the same, in whatever order they are read.
        let three = [record(1, Autonomous, 40), record(1, Autonomous, 40), other];
        for order in [[0, 1, 2], [0, 2, 1], [2, 0, 1]] {
            let merged = merge(&order.map(|index| three[index].clone())).remove(0);
            assert_eq!((merged.level, merged.evidence.approved), (SemiAutonomous, 0), "{order:?}");
            let mut entry = TrustEntry { own: record(1, Autonomous, 40), ..TrustEntry::new(merged.key.clone(), "i") };
            entry.carry(&merged);
            assert_eq!(entry.own.level, SemiAutonomous, "{order:?}");
        }
        // A person gave a level at the moment when another session lowered it: the lower one counts.
        let given = TrustRecord { began: Autonomous, ..record(1, Autonomous, 9) };
        for both in [[given.clone(), record(1, Supervised, 1)], [record(1, Supervised, 1), given.clone()]] {
            assert_eq!((merge(&both)[0].level, merge(&both)[0].evidence.approved), (Supervised, 0));
        }
        for (mine, theirs) in [(&given, &record(1, Supervised, 1)), (&record(1, Supervised, 1), &given)] {
            let mut entry = TrustEntry { own: mine.clone(), ..TrustEntry::new(mine.key.clone(), "i") };
            entry.carry(theirs);
            assert_eq!((entry.own.level, entry.others_evidence), (Supervised, TrustCounts::default()));
        }
    }
}
