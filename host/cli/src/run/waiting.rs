//! What a session waits for a person to say: approvals, questions, plans.
//!
//! Promise: the host's words come first and a guest's or model's last, cleaned and cut; a question of the model is never
//! shown as a component's; an approval comes with exactly what would be applied and with what can be answered.
//!
//! Not here: asking (`ask`, `plan`), what an answer means (`answers`).

use super::ask::Asked;
use crate::failure::Failure;
use crate::paint::one_line;
use harness_core::state::Pending;
use harness_core::state::Question;
use harness_core::{ApprovalId, CallId, Digest, PlanId, QuestionId, SessionState};
use harness_engine::diff;
use harness_engine::ports::Blobs;
use serde_json::{Value, json};

/// Words of a question in a list are shown up to this many characters.
const WORDS_CHARS_MAX: usize = 400;

/// What an approval is about, ready to be shown.
pub(crate) struct Shown {
    pub(crate) approval: ApprovalId,
    pub(crate) binds_to: Digest,
    pub(crate) asked: Asked,
}

impl Shown {
    fn for_programs(&self) -> Value {
        let Asked { call, tool, arguments, rule, words, diff, .. } = &self.asked;
        json!({
            "approval": self.approval, "binds_to": self.binds_to, "call": call, "tool": tool,
            "arguments": arguments, "rule": rule, "words": words, "diff": diff,
        })
    }
}

/// What a component or the model wants to know, ready to be shown.
pub(crate) struct ShownQuestion {
    pub(crate) question: QuestionId,
    pub(crate) call: CallId,
    /// Empty where the model itself asks.
    pub(crate) component: String,
    pub(crate) words: String,
    pub(crate) choices: Vec<String>,
    pub(crate) several: bool,
}

/// Who asks. No component's name has a space in it.
pub(crate) fn who_asks(component: &str) -> String {
    if component.is_empty() { "the model".to_owned() } else { one_line(component, 64) }
}

impl ShownQuestion {
    fn of(question: &Question<'_>) -> Self {
        Self {
            question: question.question,
            call: question.call.id,
            component: question.component.to_owned(),
            words: question.words.to_owned(),
            choices: question.choices.to_vec(),
            several: question.several,
        }
    }

    fn in_one_line(&self) -> String {
        let choices: Vec<String> = self.choices.iter().map(|choice| one_line(choice, 80)).collect();
        let several = if self.several { "several of: " } else { "" };
        let choices = if choices.is_empty() { String::new() } else { format!(" ({several}{})", choices.join(", ")) };
        format!("{} asks: {}{choices}", who_asks(&self.component), one_line(&self.words, WORDS_CHARS_MAX))
    }

    fn for_programs(&self) -> Value {
        let Self { question, call, component, words, choices, several } = self;
        let mut value = json!({
            "question": question, "call": call, "component": component, "words": words, "choices": choices,
        });
        if *several {
            value["several"] = json!(true);
        }
        value
    }
}

/// A plan of the model's, ready to be shown.
pub(crate) struct ShownPlan {
    pub(crate) plan: PlanId,
    pub(crate) call: CallId,
    pub(crate) title: String,
    pub(crate) text: String,
    /// The mode in which the session goes on where no other one is named.
    pub(crate) leads_to: Option<String>,
}

impl ShownPlan {
    fn in_one_line(&self) -> String {
        format!("the model submits a plan: {}", one_line(&self.title, WORDS_CHARS_MAX))
    }

    fn for_programs(&self) -> Value {
        let Self { plan, call, title, text, leads_to } = self;
        json!({ "plan": plan, "call": call, "title": title, "text": text, "leads_to": leads_to })
    }
}

/// All that waits for a person, each kind in the order in which its calls were requested.
pub(crate) struct Waiting {
    pub(crate) approvals: Vec<Shown>,
    pub(crate) questions: Vec<ShownQuestion>,
    pub(crate) plans: Vec<ShownPlan>,
}

impl Waiting {
    /// What a session waits for.
    pub(crate) async fn of(state: &SessionState, blobs: &dyn Blobs) -> Result<Self, Failure> {
        let mut approvals = Vec::new();
        for pending in state.pending() {
            approvals.push(shown(state, &pending, blobs).await?);
        }
        let leads_to = state.mode().and_then(|mode| mode.leads_to.first().cloned()).filter(|to| *to != state.mode);
        let plans = state.plans().into_iter().map(|plan| ShownPlan {
            plan: plan.plan,
            call: plan.call.id,
            title: plan.title.to_owned(),
            text: plan.text.to_owned(),
            leads_to: leads_to.clone(),
        });
        let questions = state.questions().iter().map(ShownQuestion::of).collect();
        Ok(Self { approvals, questions, plans: plans.collect() })
    }

    /// For those who cannot answer now, a line each.
    pub(crate) fn in_lines(&self) -> Vec<String> {
        let approvals = self.approvals.iter().map(|shown| shown.asked.in_one_line());
        let questions = self.questions.iter().map(ShownQuestion::in_one_line);
        approvals.chain(questions).chain(self.plans.iter().map(ShownPlan::in_one_line)).collect()
    }

    /// The ids, in the order of [`Self::in_lines`].
    pub(crate) fn ids(&self) -> Vec<String> {
        let approvals = self.approvals.iter().map(|shown| shown.approval.to_string());
        let questions = self.questions.iter().map(|shown| shown.question.to_string());
        approvals.chain(questions).chain(self.plans.iter().map(|shown| shown.plan.to_string())).collect()
    }

    /// For programs.
    pub(crate) fn for_programs(&self) -> Vec<Value> {
        let approvals = self.approvals.iter().map(Shown::for_programs);
        let questions = self.questions.iter().map(ShownQuestion::for_programs);
        approvals.chain(questions).chain(self.plans.iter().map(ShownPlan::for_programs)).collect()
    }
}

async fn shown(state: &SessionState, pending: &Pending<'_>, blobs: &dyn Blobs) -> Result<Shown, Failure> {
    let Pending { approval, call, binds_to, rule, words } = *pending;
    let diff = match call.reported.as_ref().and_then(|reported| reported.staged()) {
        Some(manifest) => diff::unified(manifest, blobs)
            .await
            .map_err(|error| Failure::because("reading what would change", &error))?,
        None => String::new(),
    };
    let component = state.tool(&call.tool).map_or("", |tool| tool.component.as_str());
    let asked = Asked {
        call: call.id,
        tool: call.tool.clone(),
        component: component.to_owned(),
        arguments: call.arguments.to_string(),
        rule: rule.to_owned(),
        words: words.to_owned(),
        diff,
        offers: state.offers(approval),
        can_edit: state.can_edit(approval),
    };
    Ok(Shown { approval, binds_to, asked })
}
