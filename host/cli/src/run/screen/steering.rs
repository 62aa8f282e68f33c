//! What steers a session, in words: modes, messages, budgets, policies and hooks.
//!
//! Promise: words of models, components and people are cleaned and cut to a line.

use super::{ARGUMENT_CHARS_MAX, RESULT_CHARS_MAX, Screen};
use crate::paint::one_line;
use harness_core::Event;
use harness_core::message::{Delivery, WaitingMessage};
use harness_core::mode::{HookAnswer, ModeSpec};

/// A mode's or a component's name is shown up to this many characters.
const NAME_CHARS_MAX: usize = 64;

impl Screen {
    /// Shows an event that steers; others are nothing to it.
    pub(super) fn steering(&mut self, event: &Event) {
        match event {
            Event::ModeEntered { mode, previous, reason, .. } => {
                self.mode.clone_from(mode);
                if !previous.is_empty() {
                    let why = if reason == "person" { String::new() } else { format!(" ({})", name(reason)) };
                    self.aside(&format!("mode {} → {}{why}", name(previous), name(mode)));
                }
            }
            Event::ModeProposed { mode, by } => {
                let mode = name(mode);
                self.aside(&format!("{} proposes the mode {mode}; /mode {mode} takes it", name(by)));
            }
            Event::ModesChanged { modes } => self.modes_changed(modes),
            Event::ArgumentsReplaced { arguments, by, .. } => {
                let arguments = crate::paint::arguments(arguments, ARGUMENT_CHARS_MAX);
                self.aside(&format!("runs with other arguments, by {}: {arguments}", name(by)));
            }
            Event::HooksAnswered { answers, .. } => answers.iter().for_each(|answer| self.hook_broke(answer)),
            Event::NoteAdded { by, text, .. } => {
                self.aside(&format!("{} tells the model: {}", name(by), one_line(text, RESULT_CHARS_MAX)));
            }
            Event::BudgetCrossed { limit, maximum } => {
                let reached = crate::budget_words::reached(limit, *maximum);
                self.aside(&format!("{reached} is used up: the turn ends with this step"));
            }
            Event::RepetitionNoticed { call, times } => {
                let tool = self.tools.get(call).map_or("a tool", String::as_str);
                self.aside(&format!("{} came {times} times with the same outcome", name(tool)));
            }
            Event::MessageReceived { message, text, delivery, .. } => {
                let text = one_line(text, ARGUMENT_CHARS_MAX);
                let when = match delivery {
                    Delivery::Steer => "for the next step",
                    Delivery::Queue => "for the next turn",
                    Delivery::Interrupt => "once the turn has stopped",
                };
                self.aside(&format!("waits {when}: {text}"));
                self.messages.insert(*message, text);
            }
            Event::MessageDelivered { message } => {
                if let Some(text) = self.messages.remove(message) {
                    self.aside(&format!("delivered: {text}"));
                }
            }
            Event::MessageExpired { message, reason } => {
                let text = self.messages.remove(message).unwrap_or_default();
                self.aside(&format!("not delivered ({}): {text}", name(reason)));
            }
            _ => {}
        }
    }

    /// What waited before this run.
    pub(crate) fn expect(&mut self, messages: &[WaitingMessage]) {
        self.messages.extend(messages.iter().map(|it| (it.message, one_line(&it.text, ARGUMENT_CHARS_MAX))));
    }

    /// How much was said that is not delivered yet.
    pub(crate) fn count_waiting(&mut self, messages: &[WaitingMessage]) {
        self.messages_waiting = messages.len();
    }

    /// What still waits now that nothing is under way.
    pub(crate) fn waiting(&mut self, messages: &[WaitingMessage]) {
        self.count_waiting(messages);
        for message in messages {
            let text = one_line(&message.text, ARGUMENT_CHARS_MAX);
            self.aside(&format!("still waits, until somebody speaks: {text}"));
        }
    }

    fn modes_changed(&mut self, modes: &[ModeSpec]) {
        let names: Vec<String> = modes.iter().map(|mode| name(&mode.name)).collect();
        self.aside(&format!("the modes have changed; there are: {}", names.join(", ")));
        if let Some(policy) = modes.iter().find(|mode| mode.name == self.mode).and_then(|mode| mode.policy) {
            self.aside(&format!("mode {} is judged by {policy}", name(&self.mode)));
        }
    }

    fn hook_broke(&self, answer: &HookAnswer) {
        if let Some(fault) = &answer.fault {
            let fault = one_line(fault, RESULT_CHARS_MAX);
            self.line(&format!("  {}", self.paint.bad(&format!("hooks of {}: {fault}", name(&answer.component)))));
        }
    }

    fn aside(&self, words: &str) {
        self.line(&self.paint.dim(&format!("  {words}")));
    }
}

fn name(text: &str) -> String {
    one_line(text, NAME_CHARS_MAX)
}
