//! A state that goes on from another one: a fork's, an import's, a rewound one.
//!
//! Promise: none of them gives power back that was taken away, or that another machine gave; what a session
//! cost, which calls were undone and how many turns it had only grow. The conversation stays valid for a provider.
//!
//! Not here: reading the other state from a log (`fold`), whether it may be done (`decide`).

use super::{Call, CallStage, SessionState, TrustLedger};
use crate::budget::Budget;
use crate::event::{ForkFiles, TurnEnd};
use crate::item::{Item, ToolResult};
use crate::mode::ModeSpec;
use std::sync::Arc;

/// What the model reads of a call that was under way where the conversation is cut.
const CUT_TEXT: &str = "Cut off: the session goes on from before this call ended. It may have been carried out; \
                        look before you rely on what it did.";

impl SessionState {
    /// Goes on from the state `past`, the fold of an earlier part of the same log.
    ///
    /// The conversation is that of then; a turn that was under way then ends there as interrupted. What
    /// the session is called, costs, where it works and what the model is told stay as they are now. A grant or an
    /// allowance is in force only where it was then and is now; one that outlasts the session where it is now.
    pub(crate) fn rewind(&mut self, mut past: Self) {
        past.cut_turn();
        // Every field is named, so that a new one cannot be forgotten here.
        let Self {
            workspace: _,
            title: _,
            titled_by_person: _,
            archived: _,
            epoch: _,
            context: _,
            mut history,
            allowances,
            // A rewind neither earns trust nor loses it.
            ledger: _,
            grants,
            turn,
            turns: _,
            last_end,
            usage: _,
            undoing: _,
            undone: _,
            mode,
            chosen_model: _,
            stop_next: _,
            notes,
            budget: _,
            spent: _,
            known_tokens,
            messages: _,
            todos,
            answers: _,
            is_tainted,
            git: _,
        } = past;
        // What both have in common stays the same `Arc`s: encoders keep what they made of them.
        for (then, now) in history.iter_mut().zip(&self.history).take_while(|(then, now)| then == now) {
            *then = Arc::clone(now);
        }
        self.history = history;
        self.allowances.retain(|allowance| allowance.is_kept() || allowances.contains(allowance));
        self.grants.retain(|grant| grants.contains(grant));
        self.turn = turn;
        self.last_end = last_end;
        self.known_tokens = known_tokens;
        self.todos = todos;
        self.is_tainted |= is_tainted;
        self.answers.clear();
        self.stop_next = None;
        // What the model was still to be told then it still is; and the conversation speaks of the mode of then.
        self.notes = notes;
        if let Some(words) = self.mode().filter(|_| mode != self.mode).map(ModeSpec::words) {
            self.note(&words);
        }
    }

    /// Begins as a fork. A turn under way stays so and is taken up by whoever opens the fork. What was granted and
    /// allowed was for the origin, which may have lost it since.
    pub(super) fn fork(&mut self, title: &str, files: &ForkFiles) {
        self.grants.clear();
        self.allowances.clear();
        self.title = Some(title.to_owned());
        if let Some(workspace) = files.workspace() {
            workspace.clone_into(&mut self.workspace);
        }
        self.archived = false;
        self.ledger.fork();
    }

    /// Begins as a session from elsewhere: nothing that was granted, allowed or under way there is in force here.
    pub(super) fn import(&mut self, workspace: &str) {
        self.cut_turn();
        workspace.clone_into(&mut self.workspace);
        self.grants.clear();
        self.allowances.clear();
        self.ledger = TrustLedger::default();
        self.context = None;
        self.undoing = None;
        self.archived = false;
        self.mode.clear();
        self.chosen_model = None;
        self.stop_next = None;
        self.notes.clear();
        self.budget = Budget::default();
        self.messages.clear();
        self.answers.clear();
        self.is_tainted = true;
        self.git = None;
    }

    /// Ends a turn under way as interrupted; every call of the model's gets a result.
    fn cut_turn(&mut self) {
        let Some(turn) = self.turn.take() else { return };
        self.last_end = Some(TurnEnd::Interrupted);
        let of_model = turn.calls().iter().filter(|call| call.parent.is_none());
        let mut results: Vec<ToolResult> = of_model.map(cut_result).collect();
        // The response is in the conversation; between it and its calls' events stands the middle of a batch.
        if let Some(Item::Assistant { parts, .. }) = self.history.last().map(Arc::as_ref) {
            let asked = parts.iter().filter_map(|part| part.as_tool_call());
            for (provider_call, tool) in asked.skip(results.len()) {
                let (provider_call, tool) = (provider_call.to_owned(), tool.to_owned());
                let call = crate::ids::CallId::from_bits(0);
                results.push(ToolResult { call, provider_call, tool, text: CUT_TEXT.to_owned(), is_error: true });
            }
        }
        if !results.is_empty() {
            self.history.push(Arc::new(Item::ToolResults { results }));
        }
    }
}

fn cut_result(call: &Call) -> ToolResult {
    match &call.stage {
        CallStage::Ended(result) => result.clone(),
        _ => ToolResult {
            call: call.id,
            provider_call: call.provider_call.clone(),
            tool: call.tool.clone(),
            text: CUT_TEXT.to_owned(),
            is_error: true,
        },
    }
}
