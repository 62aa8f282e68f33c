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
    "hook: mode entered",
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
                Event::ModeEntered { reason, .. } if reason.starts_with("hook ") => Some("hook: mode entered"),
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
        for (what, count) in &self.counts {
            writeln!(f, "{count:>12}  {what}")?;
        }
        Ok(())
    }
}
