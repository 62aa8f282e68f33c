//! The state of a session: a fold of its events.
//!
//! Promise: folding the same events gives the same state, and only `apply` changes it. A log that
//! does not make sense is reported by name, never half-believed.
//!
//! Not here: what to do next (`decide`).

mod branch;
mod grants;
pub mod kept;
mod message;
mod mode;
mod offer;
mod session_tool;
mod spending;
mod trust;
mod turn;

use crate::budget::{Budget, Price, Spent};
use crate::change::Manifest;
use crate::event::{ApplyResult, Context, Event, GitState, ModelStop, TurnEnd};
use crate::grant::{Grant, Scope};
use crate::ids::{ApprovalId, CallId, Epoch, QuestionId};
use crate::item::{AssistantPart, Item, ModelRef, ToolResult, ToolSpec, Usage};
use crate::limits::TITLE_CHARS_MAX;
use crate::message::WaitingMessage;
use crate::mode::PolicyAnswer;
use crate::todo::Todo;
use crate::verdict::Allowance;
pub(crate) use mode::BY_PERSON;
pub use mode::policy_subject;
pub use offer::{Offer, OfferKind};
pub(crate) use offer::{may_allow_more, may_be_edited};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
pub use trust::{TrustLedger, Unreviewed};
pub use turn::{Call, CallStage, Pending, Phase, Plan, Question, ReportedCall, Turn};

/// An event that cannot follow the ones before it: the log was not written by these rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event `{kind}` makes no sense here: {why}")]
pub struct Inconsistency {
    /// The event's kind.
    pub kind: &'static str,
    /// What is missing or in the way.
    pub why: &'static str,
}

/// Changes that are being taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undoing {
    /// The undoing.
    pub undo: CallId,
    /// The calls whose changes they are.
    pub of: Vec<CallId>,
    /// What is being put in place.
    pub manifest: Manifest,
}

/// Everything that steers a session, and its conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionState {
    /// The folder it works in; empty before it is created.
    pub workspace: String,
    /// The title a person gave, or one made from the first prompt.
    pub title: Option<String>,
    /// Whether a person gave the title.
    pub titled_by_person: bool,
    /// Whether it was put away.
    pub archived: bool,
    /// The writer's fencing number.
    pub epoch: Epoch,
    /// What the model is told besides the conversation.
    pub context: Option<Arc<Context>>,
    /// The conversation. Append-only; always valid for a provider when no step is under way.
    #[serde(skip)] // Kept apart, in pieces that are written once.
    pub history: Vec<Arc<Item>>,
    /// What a person allowed for later calls.
    pub allowances: Vec<Allowance>,
    /// What is known of trust.
    pub ledger: TrustLedger,
    /// What was lent to components.
    pub grants: Vec<Grant>,
    /// The turn under way.
    pub turn: Option<Turn>,
    /// Turns begun.
    pub turns: u32,
    /// How the last turn ended.
    pub last_end: Option<TurnEnd>,
    /// What the session cost so far.
    pub usage: Usage,
    /// Changes that are being taken back.
    pub undoing: Option<Undoing>,
    /// The calls whose changes were taken back.
    pub undone: BTreeSet<CallId>,
    /// The mode it is in; empty where there are none.
    pub mode: String,
    /// The model that a person chose for this session, with what its tokens cost.
    pub chosen_model: Option<(ModelRef, Option<Price>)>,
    /// Why the next turn ends at once: a hook said so when it heard the words that are to begin it.
    pub stop_next: Option<TurnEnd>,
    /// What the model is told before its next step, in place of a person's words.
    pub notes: Vec<String>,
    /// What the session may spend.
    pub budget: Budget,
    /// What it has spent.
    pub spent: Spent,
    /// Tokens of the conversation up to the last response whose usage is known, and how many items that were.
    pub known_tokens: (u64, usize),
    /// What was said and is not delivered yet, in the order in which it was said.
    pub messages: Vec<WaitingMessage>,
    /// What is to be done.
    pub todos: Vec<Todo>,
    /// What policies said about calls of the step under way, by what it is about.
    pub answers: Vec<PolicyAnswer>,
    /// Something from outside the workspace was read.
    pub is_tainted: bool,
    /// What version control last said of the workspace.
    pub git: Option<GitState>,
}

impl SessionState {
    /// The tool of that name, if the context offers it.
    pub fn tool(&self, name: &str) -> Option<&ToolSpec> {
        self.context.as_ref()?.tools.iter().find(|tool| tool.name == name)
    }

    /// The approvals that wait for a person, in the order in which their calls were requested.
    pub fn pending(&self) -> Vec<Pending<'_>> {
        let calls = self.turn.iter().flat_map(|turn| turn.calls());
        calls
            .filter_map(|call| match &call.stage {
                CallStage::Asked { approval, binds_to, rule, words } => {
                    Some(Pending { approval: *approval, call, binds_to: *binds_to, rule, words })
                }
                _ => None,
            })
            .collect()
    }

    /// The questions that wait for a person, in the order in which their calls were requested.
    pub fn questions(&self) -> Vec<Question<'_>> {
        let calls = self.turn.iter().flat_map(|turn| turn.calls());
        calls
            .filter_map(|call| match &call.stage {
                CallStage::Questioned { question, component, words, choices, several, .. } => {
                    Some(Question { question: *question, call, component, words, choices, several: *several })
                }
                _ => None,
            })
            .collect()
    }

    /// The question, if it waits for an answer.
    pub fn question(&self, id: QuestionId) -> Option<Question<'_>> {
        self.questions().into_iter().find(|question| question.question == id)
    }

    /// The last words of the model in this session, if it spoke last.
    pub fn final_text(&self) -> Option<String> {
        let parts = self.history.iter().rev().find_map(|item| match item.as_ref() {
            Item::Assistant { parts, .. } => Some(parts),
            Item::User { .. } | Item::ToolResults { .. } => None,
        })?;
        let texts: Vec<&str> = parts
            .iter()
            .filter_map(|part| match part {
                AssistantPart::Text { text } => Some(text.as_str()),
                AssistantPart::Reasoning { .. } | AssistantPart::ToolCall { .. } => None,
            })
            .collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }

    /// Believes an event.
    pub fn apply(&mut self, event: &Event) -> Result<(), Inconsistency> {
        let wrong = |why| Inconsistency { kind: event.kind(), why };
        self.spend(event);
        self.count_trust(event);
        match event {
            Event::SessionCreated { workspace, title } => {
                if !self.workspace.is_empty() {
                    return Err(wrong("the session exists already"));
                }
                self.workspace.clone_from(workspace);
                self.title.clone_from(title);
                self.titled_by_person = title.is_some();
            }
            Event::SessionOpened { epoch, context, .. } => {
                self.epoch = *epoch;
                if let Some(context) = context {
                    self.context = Some(Arc::clone(context));
                }
                self.meet_implementations();
            }
            Event::SessionRenamed { title } => {
                self.title = Some(title.clone());
                self.titled_by_person = true;
            }
            Event::SessionArchived { archived } => self.archived = *archived,
            Event::SessionForked { title, files, .. } => self.fork(title, files),
            Event::SessionImported { workspace, .. } => self.import(workspace),
            Event::SessionRewound { .. } => return Err(wrong("what it goes back to is not there")),
            Event::PromptReceived { text, .. } => {
                if self.turn.is_some() {
                    return Err(wrong("a turn is under way"));
                }
                if self.title.is_none() {
                    self.title = Some(title_of(text));
                }
                // What holds for the words comes before them: the last thing said is what is to be done.
                self.tell_notes();
                self.history.push(Arc::new(Item::User { text: text.clone() }));
            }
            Event::TurnStarted { turn, number, limits } => {
                if self.turn.is_some() {
                    return Err(wrong("a turn is under way"));
                }
                self.turns = *number;
                let mut turn = Turn::new(*turn, *number, *limits);
                turn.stopping = self.stop_next.take();
                self.turn = Some(turn);
            }
            Event::ModelResponded { parts, stop, usage, .. } => {
                self.apply_response(parts, *stop, *usage).map_err(wrong)?
            }
            Event::AllowanceGranted { allowance } => {
                if !self.allowances.contains(allowance) {
                    self.allowances.push(allowance.clone());
                }
            }
            Event::AllowanceRevoked { allowance, .. } => self.allowances.retain(|it| it.id() != *allowance),
            Event::AllowancesCarried { allowances } => {
                self.allowances.retain(|it| !it.is_kept());
                self.allowances.extend(allowances.iter().cloned());
            }
            Event::TurnEnded { end, .. } => {
                let turn = self.turn.as_ref().ok_or_else(|| wrong("no turn is under way"))?;
                if !turn.calls().is_empty() {
                    return Err(wrong("calls are under way"));
                }
                self.turn = None;
                self.allowances.retain(|allowance| allowance.scope != Scope::Turn);
                self.last_end = Some(end.clone());
            }
            Event::GrantGiven { grant } => {
                let id = grant.id();
                self.grants.retain(|known| known.id() != id);
                self.grants.push(grant.clone());
            }
            Event::GrantRevoked { grant } => self.grants.retain(|known| known.id() != *grant),
            Event::UndoRequested { undo, of, manifest } => {
                if self.turn.is_some() || self.undoing.is_some() {
                    return Err(wrong("something is under way"));
                }
                self.undoing = Some(Undoing { undo: *undo, of: of.clone(), manifest: manifest.clone() });
            }
            Event::ChangesPut { call, .. } if self.undoing.as_ref().is_some_and(|it| it.undo == *call) => {}
            Event::ChangesUndone { of, result, .. } => {
                self.undoing = None;
                if *result == ApplyResult::Applied {
                    self.undone.extend(of);
                }
            }
            Event::MessageReceived { .. }
            | Event::MessageWithdrawn { .. }
            | Event::MessageDelivered { .. }
            | Event::MessageExpired { .. } => self.apply_message(event).map_err(wrong)?,
            Event::BudgetSet { .. } | Event::BudgetCrossed { .. } | Event::RepetitionNoticed { .. } => {
                self.apply_spending(event).map_err(wrong)?
            }
            Event::ModeChosen { .. }
            | Event::ModesChanged { .. }
            | Event::ModelChosen { .. }
            | Event::ModeEntered { .. }
            | Event::ModeProposed { .. }
            | Event::PolicyAsked { .. }
            | Event::PolicyAnswered { .. }
            | Event::HooksAnswered { .. }
            | Event::ArgumentsReplaced { .. }
            | Event::NoteAdded { .. } => self.apply_mode(event).map_err(wrong)?,
            Event::TodosChanged { .. }
            | Event::PlanSubmitted { .. }
            | Event::PlanAnswered { .. }
            | Event::PlanWithdrawn { .. } => self.apply_session_tool(event).map_err(wrong)?,
            Event::TrustCarried { .. }
            | Event::TrustSet { .. }
            | Event::TrustReset { .. }
            | Event::TrustLevelChanged { .. }
            | Event::WorkReviewed { .. } => self.apply_trust(event).map_err(wrong)?,
            Event::WorkspaceObserved { git } => self.git.clone_from(git),
            Event::ApprovalAnswered { .. }
            | Event::ApprovalWithdrawn { .. }
            | Event::QuestionWithdrawn { .. }
            | Event::KvWritten { .. }
            | Event::CallJudged { .. } => {}
            Event::ModelRequested { .. } => {
                let turn = self.turn.as_mut().ok_or_else(|| wrong("no turn is under way"))?;
                turn.apply(event).map_err(wrong)?;
                let asked = self.model().cloned();
                if let Some(turn) = &mut self.turn {
                    turn.asked = asked;
                }
                self.begin_step();
            }
            Event::ModelFailed { .. }
            | Event::RetryScheduled { .. }
            | Event::RetryDue
            | Event::InterruptRequested
            | Event::CallRequested { .. }
            | Event::ApprovalAsked { .. }
            | Event::QuestionAsked { .. }
            | Event::QuestionAnswered { .. }
            | Event::ChangesAuthorized { .. }
            | Event::ChangesPut { .. } => {
                let turn = self.turn.as_mut().ok_or_else(|| wrong("no turn is under way"))?;
                turn.apply(event).map_err(wrong)?;
            }
            Event::CallReported { call, record, .. } => {
                self.is_tainted |= !record.requests.is_empty() || self.is_of_network(*call);
                let turn = self.turn.as_mut().ok_or_else(|| wrong("no turn is under way"))?;
                turn.apply(event).map_err(wrong)?;
            }
            Event::CallStarted { call, .. } => {
                let found = self.turn.as_ref().and_then(|turn| turn.call(*call));
                let tool = found.and_then(|call| self.tool(&call.tool));
                let (effects, of_session) = (tool.map(|it| it.effects), tool.is_some_and(ToolSpec::is_of_session));
                let turn = self.turn.as_mut().ok_or_else(|| wrong("no turn is under way"))?;
                turn.start_call(*call, effects, of_session).map_err(wrong)?;
            }
            Event::CallEnded { call, outcome, text, is_error, changes } => {
                if let Some(turn) = &mut self.turn {
                    turn.count(*call, outcome, *is_error);
                }
                self.apply_call_ended(*call, text.as_deref(), *is_error, changes).map_err(wrong)?;
            }
        }
        Ok(())
    }

    fn apply_response(&mut self, parts: &[AssistantPart], stop: ModelStop, usage: Usage) -> Result<(), &'static str> {
        let turn = self.turn.as_mut().ok_or("no turn is under way")?;
        let model = turn.asked.clone().ok_or("no model was asked")?;
        turn.responded(stop, usage)?;
        self.usage = self.usage.plus(usage);
        if !parts.is_empty() {
            self.history.push(Arc::new(Item::Assistant { model, parts: parts.to_vec() }));
        }
        Ok(())
    }

    /// Ends a call; the last one of a step puts all their results into the conversation as one item.
    fn apply_call_ended(
        &mut self,
        call: CallId,
        text: Option<&str>,
        is_error: bool,
        changes: &Manifest,
    ) -> Result<(), &'static str> {
        let turn = self.turn.as_mut().ok_or("no turn is under way")?;
        turn.end_call(call, text, is_error, changes)?;
        if let Some(results) = turn.take_results() {
            self.history.push(Arc::new(Item::ToolResults { results }));
        }
        Ok(())
    }

    /// The call that an approval is about, if it waits for an answer.
    pub fn asked(&self, approval: ApprovalId) -> Option<&Call> {
        let calls = self.turn.iter().flat_map(|turn| turn.calls());
        calls.into_iter().find(|call| matches!(call.stage, CallStage::Asked { approval: it, .. } if it == approval))
    }
}

/// The first line of a prompt that has words, cut.
pub(crate) fn title_of(prompt: &str) -> String {
    let line = prompt.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("untitled");
    let mut title: String = line.chars().filter(|c| !c.is_control()).take(TITLE_CHARS_MAX).collect();
    if line.chars().count() > TITLE_CHARS_MAX {
        title.push('…');
    }
    title
}

/// What [`Turn::take_results`] hands over.
type Results = Vec<ToolResult>;
