//! Events: the facts that a session's log is made of, one vocabulary for disk, screen and wire.
//!
//! Promise: an event is named in the past tense and never changed. A released shape is frozen: new
//! fields come with a default, other meanings come as new kinds, and reading lifts old to new.
//!
//! Inputs come from outside and are recorded as the event that says so; the others derive from them.

mod parts;

use crate::budget::{Budget, Price, Reservation};
use crate::change::Manifest;
use crate::grant::Grant;
use crate::ids::{
    AllowanceId, ApprovalId, CallId, Digest, Epoch, GrantId, MessageId, PlanId, QuestionId, Sequence, SessionId, TurnId,
};
use crate::item::{AssistantPart, ModelRef, Usage};
use crate::message::Delivery;
use crate::mode::{HookAnswer, HookPoint, ModeSpec, PolicyAnswer};
use crate::outcome::{CallUsage, Outcome};
use crate::record::CallRecord;
use crate::todo::Todo;
use crate::trust::{TrustCounts, TrustKey, TrustLevel, TrustRecord};
use crate::verdict::{Allowance, Verdict};
pub use parts::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    // Inputs: what came from outside.
    /// Input: a session came into being.
    SessionCreated {
        /// The folder it works in, an absolute path.
        workspace: String,
        /// A title, if the person gave one.
        title: Option<String>,
    },
    /// Input: a host took the session up, for the first time or again.
    SessionOpened {
        /// The host's version.
        host: String,
        /// The fencing number of this writer.
        epoch: Epoch,
        /// What the model is told, if it differs from what it was.
        context: Option<Arc<Context>>,
    },
    /// Input: a title was given.
    SessionRenamed {
        /// The title.
        title: String,
    },
    /// Input: the session was put away, or taken out again.
    SessionArchived {
        /// Whether it is put away now.
        archived: bool,
    },
    /// Input: the session begins as another one was; the first event of its own. The events before it are the
    /// origin's, by reference: what they granted or allowed is not in force here, what outlasts a session is carried.
    SessionForked {
        /// The session it was made from.
        origin: SessionId,
        /// The last of its events that both share.
        at: Sequence,
        /// The title.
        title: String,
        /// Which files it works on.
        files: ForkFiles,
    },
    /// Input: the session was taken in from a file; the first event of its own. The events before it were written
    /// elsewhere: what they granted, allowed or had under way is not in force here, and what was said and not delivered
    /// there waits there alone.
    SessionImported {
        /// The session that was exported.
        origin: SessionId,
        /// The last event that was in the file.
        at: Sequence,
        /// The folder it works in from now on, an absolute path.
        workspace: String,
    },
    /// Input: the session goes on as it was after an earlier event. What that was is read from the log again.
    SessionRewound {
        /// That event.
        to: Sequence,
    },
    /// Input: someone spoke to the session and a turn is to begin.
    PromptReceived {
        /// Randomness from which the ids of this input's events are derived.
        entropy: String,
        /// The words.
        text: String,
        /// What limits the turn.
        limits: TurnLimits,
    },
    /// Input: the model answered.
    ModelResponded {
        /// Randomness from which the ids of this input's events are derived.
        entropy: String,
        /// The parts of its response, in order.
        parts: Vec<AssistantPart>,
        /// Why it stopped.
        stop: ModelStop,
        /// What it cost.
        usage: Usage,
        /// The provider's id of the response, if it gives one.
        provider_response: Option<String>,
        /// Time from request to end of response, in milliseconds.
        time_ms: u64,
    },
    /// Input: the model could not be asked, or its response could not be used.
    ModelFailed {
        /// Randomness, for the wait before the next attempt.
        entropy: String,
        /// Why.
        failure: ModelFailure,
    },
    /// Input: the wait before a repetition is over.
    RetryDue,
    /// Input: a hand reports what came of a call.
    CallReported {
        /// The call.
        call: CallId,
        /// What came of it.
        outcome: Outcome,
        /// What it changed, and whether that is in place.
        changes: Changes,
        /// What it used.
        usage: CallUsage,
        /// What else it did, and what it was told.
        #[serde(default, skip_serializing_if = "CallRecord::is_empty")]
        record: CallRecord,
    },
    /// Input: a hand reports how putting staged changes in place went.
    ChangesPut {
        /// The call whose changes they are.
        call: CallId,
        /// How it went.
        result: ApplyResult,
    },
    /// Input: a person answered an approval.
    ApprovalAnswered {
        /// Which.
        approval: ApprovalId,
        /// What the person was shown, by digest.
        binds_to: Digest,
        /// The answer.
        answer: Answer,
    },
    /// Input: a person took back what was allowed for later calls, or its end has come.
    AllowanceRevoked {
        /// Which.
        allowance: AllowanceId,
        /// Its end has come.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        expired: bool,
    },
    /// Input, before the session is opened or where another one took something back: what was allowed beyond a session,
    /// here or in others, is now this.
    AllowancesCarried {
        /// All of it.
        allowances: Vec<Allowance>,
    },
    /// Input, before the session is opened or where another one took something back: what other sessions know of trust
    /// is now this.
    TrustCarried {
        /// Of each key once.
        records: Vec<TrustRecord>,
    },
    /// Input: a person gave a level of trust; evidence begins anew.
    TrustSet {
        /// What it is about.
        key: TrustKey,
        /// The level.
        level: TrustLevel,
    },
    /// Input: a person took back trust; evidence begins anew.
    TrustReset {
        /// What it is about; none for everything.
        key: Option<TrustKey>,
    },
    /// Input: a person looked at a call that ran by trust alone.
    WorkReviewed {
        /// The call.
        call: CallId,
        /// Whether it was as it should be. If not, it counts as denied.
        accepted: bool,
    },
    /// Input: a person stops the running turn.
    InterruptRequested,
    /// Input: a capability was lent to a component. Calls that start from now on have it.
    GrantGiven {
        /// What, to whom, how long.
        grant: Grant,
    },
    /// Input: a capability was taken back. Calls that start from now on do not have it.
    GrantRevoked {
        /// Which.
        grant: GrantId,
    },
    /// Input: a person answered a question, or declined to.
    QuestionAnswered {
        /// Which.
        question: QuestionId,
        /// The words or the choice; none where nobody answers. Of several choices each on a line of its own.
        answer: Option<String>,
    },
    /// Input: someone said something while a turn was under way, or something that is to wait for its turn.
    MessageReceived {
        /// Its id: random.
        message: MessageId,
        /// The words.
        text: String,
        /// When it is to reach the model.
        delivery: Delivery,
        /// What limits the turn that it begins, if it begins one.
        limits: TurnLimits,
    },
    /// Input: a person takes back a message that was not delivered yet.
    MessageWithdrawn {
        /// Which.
        message: MessageId,
    },
    /// Input: what a session may spend was set.
    BudgetSet {
        /// In force from now on, in place of the one before.
        budget: Budget,
    },
    /// Input: a person chose a mode.
    ModeChosen {
        /// Its name.
        mode: String,
    },
    /// Input: the modes there are have changed: the next step goes by the new ones.
    ModesChanged {
        /// All of them.
        modes: Vec<ModeSpec>,
    },
    /// Input: a person chose a model for this session.
    ModelChosen {
        /// Which.
        model: ModelRef,
        /// What its tokens cost, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        price: Option<Price>,
    },
    /// Input: policies said what they think of calls.
    PolicyAnswered {
        /// Each bound to what it is about.
        answers: Vec<PolicyAnswer>,
    },
    /// Input: hooks that wanted something, or broke, at one point.
    HooksAnswered {
        /// The point.
        point: HookPoint,
        /// The call that it is about, at the points of calls.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<CallId>,
        /// What each said, in the order in which they ran.
        answers: Vec<HookAnswer>,
    },
    /// Input: a person answered a submitted plan.
    PlanAnswered {
        /// Which.
        plan: PlanId,
        /// The answer.
        answer: PlanAnswer,
    },
    /// Input: version control's view of the workspace, where it is not what it was.
    WorkspaceObserved {
        /// What it says; none where the workspace is not under version control.
        git: Option<GitState>,
    },
    /// Input: a person takes back what calls changed.
    UndoRequested {
        /// The undoing; it stands where a put names its call.
        undo: CallId,
        /// The calls whose changes are taken back, in the order in which they ended.
        of: Vec<CallId>,
        /// What is put in place: the reverse of what they changed together.
        manifest: Manifest,
    },

    // Derived: what follows.
    /// A turn began.
    TurnStarted {
        /// The turn.
        turn: TurnId,
        /// Its number in the session, from 1.
        number: u32,
        /// What limits it.
        limits: TurnLimits,
    },
    /// The model was to be asked.
    ModelRequested {
        /// The step's number in the turn, from 1.
        step: u32,
        /// The attempt, from 1.
        attempt: u32,
        /// How many items of history the request holds, not counting what hooks of `before_step` add.
        items: u64,
        /// What was set aside for it.
        #[serde(default, skip_serializing_if = "Reservation::is_empty")]
        reserved: Reservation,
    },
    /// The session entered a mode.
    ModeEntered {
        /// Its name.
        mode: String,
        /// The one before; empty for the first.
        previous: String,
        /// Who or what led to it: `person`, `plan`, `start`, `gone` where the one before is no more, or `changed` where
        /// it is still the same one and the model is told something else of it.
        reason: String,
        /// The policy component in force.
        policy: Option<Digest>,
        /// The model in force, where the mode prefers one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<ModelRef>,
        /// What the model is told of it.
        text: String,
    },
    /// A hook proposed a mode: a person may choose it.
    ModeProposed {
        /// The mode.
        mode: String,
        /// The hook's component.
        by: String,
    },
    /// A mode's policy was to be asked about a call.
    PolicyAsked {
        /// The call.
        call: CallId,
        /// What it is asked about, by digest.
        subject: Digest,
    },
    /// A call is to run with other arguments than the model gave, and the model will be told.
    ArgumentsReplaced {
        /// The call.
        call: CallId,
        /// The arguments that count, JSON text.
        arguments: String,
        /// Who replaced them: a rule's id, or `person`.
        by: String,
    },
    /// A hook's words were put before the model.
    NoteAdded {
        /// The hook's component.
        by: String,
        /// The words.
        text: String,
        /// Where the request that is out has yet to be made and holds them: what is set aside for it, the words included.
        /// None where the next request holds them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reserved: Option<Reservation>,
    },
    /// A message is part of the conversation.
    MessageDelivered {
        /// Which.
        message: MessageId,
    },
    /// A message will never be delivered: a person took it back.
    MessageExpired {
        /// Which.
        message: MessageId,
        /// Why.
        reason: String,
    },
    /// Something that may be spent is used up: the turn ends once its calls are answered.
    BudgetCrossed {
        /// Which, such as `budget.turn.calls`.
        limit: String,
        /// Its value.
        maximum: u64,
    },
    /// The same call with the same outcome came again and again, alone or in turn with others: the model is
    /// told; when it goes on all the same, the turn ends.
    RepetitionNoticed {
        /// The call that is told of it.
        call: CallId,
        /// How often.
        times: u32,
    },
    /// The list of what is to be done is now this.
    TodosChanged {
        /// The call that changed it.
        call: CallId,
        /// All of it.
        todos: Vec<Todo>,
    },
    /// A plan was submitted for a person's approval; its call goes on with the answer.
    PlanSubmitted {
        /// The plan.
        plan: PlanId,
        /// The call.
        call: CallId,
        /// What it is about, one line.
        title: String,
        /// The plan, Markdown.
        text: String,
    },
    /// A plan needs no answer any more.
    PlanWithdrawn {
        /// Which.
        plan: PlanId,
    },
    /// The request is to be repeated after a wait.
    RetryScheduled {
        /// The attempt that will be made, from 2.
        attempt: u32,
        /// The wait in milliseconds.
        delay_ms: u64,
        /// The wait is the provider's wish.
        asked_by_provider: bool,
    },
    /// The model, or a call that cannot go on without it, asked for a call.
    CallRequested {
        /// The call.
        call: CallId,
        /// The provider's id for it; empty where another call needs it.
        provider_call: String,
        /// The tool, as the model named it.
        tool: String,
        /// The arguments, as the model wrote them.
        arguments: String,
        /// The call that needs this one; none where the model asked for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<CallId>,
    },
    /// A call was judged, on its arguments or on its staged changes.
    CallJudged {
        /// The call.
        call: CallId,
        /// What was judged, by digest.
        subject: Digest,
        /// The verdict.
        verdict: Verdict,
    },
    /// A call was to be run.
    CallStarted {
        /// The call.
        call: CallId,
        /// What implements the tool: a component's digest, or a word for another hand.
        implementation: String,
    },
    /// A person was to be asked.
    ApprovalAsked {
        /// The approval.
        approval: ApprovalId,
        /// The call it is about.
        call: CallId,
        /// What the answer binds to: the digest of the arguments or of the manifest.
        binds_to: Digest,
        /// The rule that asks.
        rule: String,
        /// Words for the person.
        words: String,
    },
    /// An approval needs no answer any more.
    ApprovalWithdrawn {
        /// Which.
        approval: ApprovalId,
    },
    /// A component, or the model itself, was to ask a person; the call goes on with the answer.
    QuestionAsked {
        /// The question.
        question: QuestionId,
        /// The call that needs the answer.
        call: CallId,
        /// The component, or the tool where none is named; empty where the model itself asks.
        component: String,
        /// What is asked, in the component's or the model's words.
        words: String,
        /// The answers to choose from; none where any text is one.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        choices: Vec<String>,
        /// Several of the choices may be chosen.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        several: bool,
    },
    /// A question needs no answer any more.
    QuestionWithdrawn {
        /// Which.
        question: QuestionId,
    },
    /// The kv writes that a call's last report names are in force, in the same append.
    KvWritten {
        /// The call.
        call: CallId,
    },
    /// Changes were taken back, or could not be.
    ChangesUndone {
        /// The undoing.
        undo: CallId,
        /// The calls whose changes they were.
        of: Vec<CallId>,
        /// How it went: all of them or none.
        result: ApplyResult,
    },
    /// A person allowed later calls.
    AllowanceGranted {
        /// Which, and how far.
        #[serde(flatten)]
        allowance: Allowance,
    },
    /// A level of trust changed.
    TrustLevelChanged {
        /// What it is about.
        key: TrustKey,
        /// The level before.
        from: TrustLevel,
        /// The level from now on.
        to: TrustLevel,
        /// The evidence.
        evidence: TrustCounts,
        /// The rule, in words.
        rule: String,
    },
    /// Staged changes were to be put in place.
    ChangesAuthorized {
        /// The call whose changes they are.
        call: CallId,
        /// What was authorised, by digest.
        manifest: Digest,
    },
    /// A call ended: this is what the model is told.
    CallEnded {
        /// The call.
        call: CallId,
        /// The outcome in one word.
        outcome: String,
        /// What the model reads; none where that is the text of the reported outcome, unchanged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// Whether the model is to read it as a failure.
        is_error: bool,
        /// What is in place now.
        changes: Manifest,
    },
    /// A turn ended.
    TurnEnded {
        /// The turn.
        turn: TurnId,
        /// Why.
        end: TurnEnd,
        /// Model requests that were answered.
        steps: u32,
        /// What the turn cost.
        usage: Usage,
    },
}

/// Why a payload is not an event.
#[derive(Debug, thiserror::Error)]
pub enum DecodeEventError {
    /// Not JSON of a known event.
    #[error("unknown or damaged event `{kind}`")]
    Json {
        /// The kind its header names.
        kind: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// Header and payload disagree.
    #[error("the header says `{header}`, the payload `{payload}`")]
    Kind {
        /// The header's kind.
        header: String,
        /// The payload's kind.
        payload: &'static str,
    },
}

impl Event {
    /// The payload's bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Strings, numbers, lists and JSON values: nothing that JSON cannot hold.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The event of a payload whose header names `kind`.
    pub fn decode(kind: &str, bytes: &[u8]) -> Result<Self, DecodeEventError> {
        let event: Self =
            serde_json::from_slice(bytes).map_err(|source| DecodeEventError::Json { kind: kind.to_owned(), source })?;
        if event.kind() != kind {
            return Err(DecodeEventError::Kind { header: kind.to_owned(), payload: event.kind() });
        }
        Ok(event)
    }

    /// The kind, as in header and payload.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SessionCreated { .. } => "session_created",
            Self::SessionOpened { .. } => "session_opened",
            Self::SessionRenamed { .. } => "session_renamed",
            Self::SessionArchived { .. } => "session_archived",
            Self::SessionForked { .. } => "session_forked",
            Self::SessionImported { .. } => "session_imported",
            Self::SessionRewound { .. } => "session_rewound",
            Self::PromptReceived { .. } => "prompt_received",
            Self::ModelResponded { .. } => "model_responded",
            Self::ModelFailed { .. } => "model_failed",
            Self::RetryDue => "retry_due",
            Self::CallReported { .. } => "call_reported",
            Self::ChangesPut { .. } => "changes_put",
            Self::ApprovalAnswered { .. } => "approval_answered",
            Self::AllowanceRevoked { .. } => "allowance_revoked",
            Self::AllowancesCarried { .. } => "allowances_carried",
            Self::TrustCarried { .. } => "trust_carried",
            Self::TrustSet { .. } => "trust_set",
            Self::TrustReset { .. } => "trust_reset",
            Self::WorkReviewed { .. } => "work_reviewed",
            Self::InterruptRequested => "interrupt_requested",
            Self::GrantGiven { .. } => "grant_given",
            Self::GrantRevoked { .. } => "grant_revoked",
            Self::QuestionAnswered { .. } => "question_answered",
            Self::MessageReceived { .. } => "message_received",
            Self::MessageWithdrawn { .. } => "message_withdrawn",
            Self::BudgetSet { .. } => "budget_set",
            Self::ModeChosen { .. } => "mode_chosen",
            Self::ModesChanged { .. } => "modes_changed",
            Self::ModelChosen { .. } => "model_chosen",
            Self::PolicyAnswered { .. } => "policy_answered",
            Self::HooksAnswered { .. } => "hooks_answered",
            Self::PlanAnswered { .. } => "plan_answered",
            Self::WorkspaceObserved { .. } => "workspace_observed",
            Self::UndoRequested { .. } => "undo_requested",
            Self::TurnStarted { .. } => "turn_started",
            Self::ModelRequested { .. } => "model_requested",
            Self::ModeEntered { .. } => "mode_entered",
            Self::ModeProposed { .. } => "mode_proposed",
            Self::PolicyAsked { .. } => "policy_asked",
            Self::ArgumentsReplaced { .. } => "arguments_replaced",
            Self::NoteAdded { .. } => "note_added",
            Self::MessageDelivered { .. } => "message_delivered",
            Self::MessageExpired { .. } => "message_expired",
            Self::BudgetCrossed { .. } => "budget_crossed",
            Self::RepetitionNoticed { .. } => "repetition_noticed",
            Self::TodosChanged { .. } => "todos_changed",
            Self::PlanSubmitted { .. } => "plan_submitted",
            Self::PlanWithdrawn { .. } => "plan_withdrawn",
            Self::RetryScheduled { .. } => "retry_scheduled",
            Self::CallRequested { .. } => "call_requested",
            Self::CallJudged { .. } => "call_judged",
            Self::CallStarted { .. } => "call_started",
            Self::ApprovalAsked { .. } => "approval_asked",
            Self::ApprovalWithdrawn { .. } => "approval_withdrawn",
            Self::QuestionAsked { .. } => "question_asked",
            Self::QuestionWithdrawn { .. } => "question_withdrawn",
            Self::KvWritten { .. } => "kv_written",
            Self::ChangesUndone { .. } => "changes_undone",
            Self::AllowanceGranted { .. } => "allowance_granted",
            Self::TrustLevelChanged { .. } => "trust_level_changed",
            Self::ChangesAuthorized { .. } => "changes_authorized",
            Self::CallEnded { .. } => "call_ended",
            Self::TurnEnded { .. } => "turn_ended",
        }
    }
}
