//! A screen that goes on from another place: a fork's, an import's, one that went back.
//!
//! Promise: what is shown of the conversation is what was shown then; what the session is called, costs, where it works,
//! which requests left the host and how far it is trusted stay as they are, and no grant comes back.
//!
//! Not here: remembering what was shown then (`screen`), reading it again (harness-engine).

use super::{About, CallStatus, DisplayState, Dropped, GrantShown, Spending, name, words};
use crate::budget::Budget;
use crate::event::{ForkFiles, TurnEnd};
use crate::grant::Scope;
use crate::ids::{Sequence, SessionId, TimeMs};
use crate::verdict::ApproveMode;

impl DisplayState {
    /// Goes back, by an event, to what was shown of the conversation in the state `past`: that of the event which the rewind
    /// names. Changes that were taken back since stay so.
    pub fn rewind(&mut self, sequence: Sequence, time: TimeMs, mut past: Self) {
        past.cut_turn();
        // Every field is named, so that a new one cannot be forgotten here.
        let Self {
            sequence: _,
            updated: _,
            about: _,
            turn,
            responses,
            calls,
            approvals,
            questions,
            plans,
            messages: _,
            todos,
            spending: Spending { request_tokens, last_cache_hit_permille, .. },
            mut files,
            undoing: _,
            requests: _,
            grants,
            allowances,
            trust: _,
            reviews: _,
            proposals: _,
            notes,
            faults: _,
            problems,
            counters: _,
            dropped: Dropped { todos: dropped_todos, .. },
            tally: _,
        } = past;
        for file in files.values_mut() {
            let is_new = |call: &&_| self.tally.undone.contains(call) && !file.undone.contains(call);
            let new: Vec<_> = file.calls.iter().filter(is_new).copied().collect();
            file.undone.extend(new);
        }
        (self.turn, self.responses, self.calls) = (turn, responses, calls);
        (self.approvals, self.questions, self.plans) = (approvals, questions, plans);
        (self.todos, self.dropped.todos) = (todos, dropped_todos);
        (self.files, self.notes, self.problems) = (files, notes, problems);
        self.spending.request_tokens = request_tokens;
        self.spending.last_cache_hit_permille = last_cache_hit_permille;
        self.grants.retain(|id, now| {
            let is_same = |then: &GrantShown| GrantShown { at: now.at, ..then.clone() } == *now;
            grants.get(id).is_some_and(is_same)
        });
        // What outlasts the session is in force where it is now.
        self.allowances.retain(|id, now| now.scope > Scope::Session || allowances.contains_key(id));
        (self.sequence, self.updated) = (sequence, time);
        self.show_status();
    }

    /// Begins as a fork.
    pub(super) fn fork(&mut self, time: TimeMs, origin: SessionId, title: &str, files: &ForkFiles) {
        let about = &mut self.about;
        (about.title, about.origin, about.created) = (Some(name(title)), Some(origin), time);
        if let Some(workspace) = files.workspace() {
            about.workspace = words(workspace);
        }
        about.archived = false;
        self.grants.clear();
        self.allowances.clear();
        self.reviews.clear();
    }

    /// Begins as a session from elsewhere: nothing that was granted, allowed or under way there is in force here.
    pub(super) fn import(&mut self, time: TimeMs, origin: SessionId, workspace: &str) {
        self.cut_turn();
        self.about = About {
            session: self.about.session,
            title: self.about.title.take(),
            workspace: words(workspace),
            host: std::mem::take(&mut self.about.host),
            origin: Some(origin),
            created: time,
            approve: ApproveMode::default(),
            ..About::default()
        };
        (self.tally.chosen_model, self.tally.mode_model, self.tally.context_model) = (None, None, None);
        self.show_model();
        self.tally.session_budget = Budget::default();
        self.show_budgets(&mut |_| {});
        self.undoing = None;
        self.messages.clear();
        self.grants.clear();
        self.allowances.clear();
        self.trust.clear();
        self.tally.trust.clear();
        self.reviews.clear();
        self.proposals.clear();
    }

    /// Ends a turn under way as interrupted, and every call of it.
    pub(super) fn cut_turn(&mut self) {
        if self.turn.take().is_none() {
            return;
        }
        let end = TurnEnd::Interrupted.word();
        self.problems.last_end = Some(end.to_owned());
        self.problems.last_end_words = None;
        self.responses.clear();
        self.approvals.clear();
        self.questions.clear();
        self.plans.clear();
        for call in self.calls.values_mut().filter(|call| call.status != CallStatus::Ended) {
            (call.status, call.is_error, call.outcome) = (CallStatus::Ended, true, Some(end.to_owned()));
            (call.progress, call.done_permille) = (None, None);
        }
    }
}
