//! How often each interesting thing happened: a simulation that never gets somewhere proves nothing about it.

use harness_core::event::{Answer, ApplyResult, TurnEnd};
use harness_core::{Event, VerdictKind};
use std::collections::BTreeMap;
use std::fmt;

/// Counters by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<&'static str, u64>,
}

/// Every kind of event, and what matters inside of some of them: what a log is looked through for.
const OF_A_LOG: &[&str] = &[
    "session_created",
    "session_opened",
    "session_renamed",
    "prompt_received",
    "model_responded",
    "model_failed",
    "retry_due",
    "call_reported",
    "changes_put",
    "approval_answered",
    "interrupt_requested",
    "grant_given",
    "grant_revoked",
    "question_answered",
    "undo_requested",
    "turn_started",
    "model_requested",
    "retry_scheduled",
    "call_requested",
    "call_judged",
    "call_started",
    "approval_asked",
    "approval_withdrawn",
    "question_asked",
    "question_withdrawn",
    "kv_written",
    "changes_undone",
    "allowance_granted",
    "changes_authorized",
    "call_ended",
    "turn_ended",
    "ended: returned",
    "ended: failed",
    "ended: denied",
    "ended: not_granted",
    "ended: conflict",
    "ended: over_limit",
    "ended: faulted",
    "ended: interrupted",
    "ended: in_doubt",
    "judged: allow",
    "judged: ask",
    "judged: deny",
    "answer: yes",
    "answer: yes for the tool",
    "answer: no",
    "put: applied",
    "put: conflict",
    "put: failed",
    "nested call",
    "opened again with another context",
    "opened again, nothing changed",
    "turn: done",
    "turn: failed",
    "turn: limit",
    "turn: interrupted",
];

/// What the worlds themselves count, all of them.
const OF_EVERY_WORLD: &[&str] = &[
    "crash at rest",
    "crash with a model request out",
    "crash with a call running",
    "crash with a put out",
    "crash with an approval waiting",
    "crash with a question waiting",
    "several approvals waiting at once",
    "refused: stale approval",
    "refused: wrong subject",
    "refused: stale question",
    "refused: turn running",
    "came to rest at the end",
];

impl Coverage {
    /// Counts one more.
    pub fn reach(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    /// How often it happened.
    pub fn count(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or_default()
    }

    /// What should have happened in every world, and `more`, and did not.
    pub fn missing<'a>(&self, more: &[&'a str]) -> Vec<&'a str> {
        let expected = OF_A_LOG.iter().chain(OF_EVERY_WORLD).chain(more);
        expected.copied().filter(|what| self.count(what) == 0).collect()
    }

    /// Counts what a log holds.
    pub fn look_through(&mut self, log: &[Event]) {
        for event in log {
            self.reach(event.kind());
            let inside = match event {
                Event::SessionOpened { context: Some(_), epoch, .. } if epoch.0 > 1 => {
                    Some("opened again with another context")
                }
                Event::SessionOpened { .. } => Some("opened again, nothing changed"),
                Event::CallEnded { outcome, .. } => ended(outcome),
                Event::CallJudged { verdict, .. } => Some(match verdict.kind {
                    VerdictKind::Allow => "judged: allow",
                    VerdictKind::Ask => "judged: ask",
                    VerdictKind::Deny => "judged: deny",
                }),
                Event::ApprovalAnswered { answer, .. } => Some(match answer {
                    Answer::Yes => "answer: yes",
                    Answer::YesForTool => "answer: yes for the tool",
                    Answer::Allow { .. } => "answer: yes for more",
                    Answer::Edited { .. } => "answer: other arguments",
                    Answer::No { .. } => "answer: no",
                }),
                Event::ChangesPut { result, .. } => Some(match result {
                    ApplyResult::Applied => "put: applied",
                    ApplyResult::Conflict { .. } => "put: conflict",
                    ApplyResult::Failed { .. } => "put: failed",
                }),
                Event::CallRequested { parent: Some(_), .. } => Some("nested call"),
                Event::TurnEnded { end, .. } => Some(match end {
                    TurnEnd::Done => "turn: done",
                    TurnEnd::Failed { .. } => "turn: failed",
                    TurnEnd::Limit { .. } => "turn: limit",
                    TurnEnd::Interrupted => "turn: interrupted",
                    TurnEnd::Stopped { .. } => "turn: stopped",
                    TurnEnd::Stuck { .. } => "turn: stuck",
                }),
                _ => None,
            };
            if let Some(inside) = inside {
                self.reach(inside);
            }
        }
    }
}

fn ended(outcome: &str) -> Option<&'static str> {
    OF_A_LOG.iter().find(|what| what.strip_prefix("ended: ") == Some(outcome)).copied()
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.counts {
            writeln!(f, "{count:>12}  {what}")?;
        }
        Ok(())
    }
}
