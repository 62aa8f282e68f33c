//! How often each interesting thing happened: a simulation that never gets somewhere proves nothing about it.

use harness_core::event::{Answer, ApplyResult, TurnEnd};
use harness_core::message::Delivery;
use harness_core::verdict::Voice;
use harness_core::{Event, VerdictKind};
use std::collections::BTreeMap;
use std::fmt;

/// Counters by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<&'static str, Count>,
    plays: u64,
}

/// How often something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    times: u64,
    /// In how many plays it did: one play with many says little of the next one.
    plays: u64,
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
    "session_archived",
    "session_forked",
    "session_imported",
    "session_rewound",
    "allowance_revoked",
    "allowances_carried",
    "trust_carried",
    "trust_set",
    "trust_reset",
    "trust_level_changed",
    "work_reviewed",
    "message_received",
    "message_withdrawn",
    "message_delivered",
    "message_expired",
    "budget_set",
    "budget_crossed",
    "mode_chosen",
    "modes_changed",
    "model_chosen",
    "mode_entered",
    "mode_proposed",
    "policy_asked",
    "policy_answered",
    "hooks_answered",
    "note_added",
    "arguments_replaced",
    "repetition_noticed",
    "todos_changed",
    "workspace_observed",
    "plan_submitted",
    "plan_answered",
    "plan_withdrawn",
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
    "judged by: boundary",
    "judged by: user",
    "judged by: mode",
    "judged by: allowance",
    "judged by: trust",
    "judged by: default",
    "denied by a mode's policy",
    "denied by a mode's tools",
    "replaced by a person",
    "replaced by a policy",
    "plan: mode entered",
    "message: steer",
    "message: queue",
    "message: interrupt",
    "budget of the turn",
    "budget of the session",
    "answer: yes for more",
    "answer: other arguments",
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
    "turn: stopped",
    "turn: stuck",
    "turn: budget",
];

/// What the worlds themselves count, all of them.
const OF_EVERY_WORLD: &[&str] = &[
    "crash at rest",
    "crash with a model request out",
    "crash with a call running",
    "crash with a put out",
    "crash with an approval waiting",
    "crash with a question waiting",
    "crash with a policy asked",
    "crash with a plan waiting",
    "crash with a message waiting",
    "several approvals waiting at once",
    "refused: stale approval",
    "refused: wrong subject",
    "refused: stale question",
    "refused: stale plan",
    "refused: stale message",
    "refused: answer",
    "refused: turn running",
    "forked",
    "imported",
    "came to rest at the end",
];

impl Coverage {
    /// Counts one more.
    pub fn reach(&mut self, what: &'static str) {
        self.counts.entry(what).or_default().times += 1;
    }

    /// Adds what one play counted.
    pub fn add_play(&mut self, play: &Self) {
        self.plays += 1;
        for (what, count) in &play.counts {
            let whole = self.counts.entry(what).or_default();
            whole.times += count.times;
            whole.plays += 1;
        }
    }

    /// Adds what others counted of their plays.
    pub fn add(&mut self, other: &Self) {
        self.plays += other.plays;
        for (what, count) in &other.counts {
            let whole = self.counts.entry(what).or_default();
            whole.times += count.times;
            whole.plays += count.plays;
        }
    }

    /// What should have happened in every world, and `more`, each with the share of plays in which it did, in
    /// thousandths; the rarest first.
    pub fn rarest<'a>(&self, more: &[&'a str]) -> Vec<(u64, &'a str)> {
        let share = |what: &str| {
            let plays = self.counts.get(what).map_or(0, |count| count.plays);
            plays.saturating_mul(1_000) / self.plays.max(1)
        };
        let expected = OF_A_LOG.iter().chain(OF_EVERY_WORLD).chain(more);
        let mut rarest: Vec<(u64, &str)> = expected.map(|what| (share(what), *what)).collect();
        rarest.sort_unstable();
        rarest
    }

    /// What should have happened in every world, and `more`, and did not.
    pub fn missing<'a>(&self, more: &[&'a str]) -> Vec<&'a str> {
        let expected = OF_A_LOG.iter().chain(OF_EVERY_WORLD).chain(more);
        expected.copied().filter(|what| !self.counts.contains_key(what)).collect()
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
                Event::CallJudged { verdict, .. } => {
                    self.reach(by(verdict.voice));
                    if verdict.voice == Voice::Mode && verdict.kind == VerdictKind::Deny {
                        let of_tools = verdict.rule.ends_with(".tools");
                        self.reach(if of_tools { "denied by a mode's tools" } else { "denied by a mode's policy" });
                    }
                    Some(match verdict.kind {
                        VerdictKind::Allow => "judged: allow",
                        VerdictKind::Ask => "judged: ask",
                        VerdictKind::Deny => "judged: deny",
                    })
                }
                Event::ArgumentsReplaced { by, .. } => {
                    Some(if by == "person" { "replaced by a person" } else { "replaced by a policy" })
                }
                Event::ModeEntered { reason, .. } if reason == "plan" => Some("plan: mode entered"),
                Event::MessageReceived { delivery, .. } => Some(match delivery {
                    Delivery::Steer => "message: steer",
                    Delivery::Queue => "message: queue",
                    Delivery::Interrupt => "message: interrupt",
                }),
                Event::TurnEnded { end: TurnEnd::Limit { limit, .. }, .. } if limit.starts_with("budget.") => {
                    let of_turn = limit.starts_with("budget.turn.");
                    self.reach(if of_turn { "budget of the turn" } else { "budget of the session" });
                    Some("turn: budget")
                }
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

fn by(voice: Voice) -> &'static str {
    match voice {
        Voice::Boundary => "judged by: boundary",
        Voice::User => "judged by: user",
        Voice::Mode => "judged by: mode",
        Voice::Allowance => "judged by: allowance",
        Voice::Trust => "judged by: trust",
        Voice::Default => "judged by: default",
    }
}

fn ended(outcome: &str) -> Option<&'static str> {
    OF_A_LOG.iter().find(|what| what.strip_prefix("ended: ") == Some(outcome)).copied()
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>12} {:>12}  of {} plays", "times", "plays", self.plays)?;
        for (what, count) in &self.counts {
            writeln!(f, "{:>12} {:>12}  {what}", count.times, count.plays)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_event_is_looked_for() {
        let schema = serde_json::to_value(schemars::schema_for!(Event)).unwrap();
        let kinds = schema["oneOf"].as_array().expect("one shape a kind").iter();
        let kinds: Vec<&str> = kinds.map(|kind| kind["properties"]["kind"]["const"].as_str().unwrap()).collect();
        assert!(kinds.contains(&"turn_ended"), "{kinds:?}");
        let missing: Vec<_> = kinds.into_iter().filter(|kind| !OF_A_LOG.contains(kind)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
