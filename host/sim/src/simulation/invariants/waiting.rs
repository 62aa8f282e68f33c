//! What waits for a person: after whoever opens the session next as before.

use super::Seen;
use crate::simulation::evidence::Opened;
use harness_core::{ApprovalId, CallId, Event, PlanId, QuestionId};
use std::collections::{BTreeMap, BTreeSet};

/// What waits for a person, worked out from what was asked and what answered or withdrew it.
#[derive(Default, Clone, Debug)]
struct Waiting {
    approvals: BTreeMap<ApprovalId, CallId>,
    questions: BTreeMap<QuestionId, CallId>,
    plans: BTreeMap<PlanId, CallId>,
    /// The approvals that waited when a person allowed some tool for later calls, or trust rose: one who opens the
    /// session next may see that nobody needs to be asked any more.
    loosened: BTreeSet<u128>,
}

impl Waiting {
    fn calls(&self) -> impl Iterator<Item = &CallId> {
        self.approvals.values().chain(self.questions.values()).chain(self.plans.values())
    }

    fn all(&self) -> BTreeSet<u128> {
        let (approvals, questions) = (self.approvals.keys(), self.questions.keys());
        let ids = approvals.map(|id| id.bits()).chain(questions.map(|id| id.bits()));
        ids.chain(self.plans.keys().map(|id| id.bits())).collect()
    }

    fn of(opened: &Opened) -> BTreeSet<u128> {
        let (approvals, questions) = (opened.approvals.iter(), opened.questions.iter());
        let ids = approvals.map(|id| id.bits()).chain(questions.map(|id| id.bits()));
        ids.chain(opened.plans.iter().map(|id| id.bits())).collect()
    }

    fn loosen(&mut self) {
        self.loosened.extend(self.approvals.keys().map(|id| id.bits()));
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::ApprovalAsked { approval, call, .. } => drop(self.approvals.insert(*approval, *call)),
            Event::ApprovalAnswered { approval, .. } | Event::ApprovalWithdrawn { approval } => {
                self.approvals.remove(approval);
            }
            Event::AllowanceGranted { .. }
            | Event::AllowancesCarried { .. }
            | Event::TrustCarried { .. }
            | Event::TrustLevelChanged { .. } => self.loosen(),
            Event::PlanSubmitted { plan, call, .. } => drop(self.plans.insert(*plan, *call)),
            Event::PlanAnswered { plan, .. } | Event::PlanWithdrawn { plan } => drop(self.plans.remove(plan)),
            // What was under way elsewhere is over.
            Event::SessionImported { .. } => *self = Self::default(),
            Event::QuestionAsked { question, call, .. } => drop(self.questions.insert(*question, *call)),
            Event::QuestionAnswered { question, .. } | Event::QuestionWithdrawn { question } => {
                self.questions.remove(question);
            }
            _ => {}
        }
    }
}

pub(super) fn what_waits_for_a_person_still_waits_after_a_crash(seen: &Seen<'_>) -> Result<(), String> {
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
        let from = seen.log.iter().skip(seen.shared).position(opens).map(|index| index + seen.shared);
        let (Some(from), Some(now)) = (from, after(opened.after)) else {
            return Err(format!("the log does not hold {opened:?}"));
        };
        let found = Waiting::of(opened);
        if found != now.all() {
            return Err(format!("{:?} should wait at {}, {found:?} do", now.all(), opened.after));
        }
        // Only another context may have made asking a person needless.
        let is_same = matches!(seen.log.get(from), Some(Event::SessionOpened { context: None, .. }));
        let Some(before) = waited.get(from) else { continue };
        if is_same && !before.all().difference(&now.all()).all(|id| now.loosened.contains(id)) {
            return Err(format!("{before:?} waited before event {}, {found:?} do after", from + 1));
        }
    }
    Ok(())
}
