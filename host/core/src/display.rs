//! What a screen shows of a session: another fold of the same events, of limited size however long the session is.
//!
//! Promise: folding the same events gives the same state. The fold takes any events: what it cannot place it leaves out.
//! Every list and text has a limit; where something was dropped, [`Dropped`] counts it. Applying the patches that a
//! [`Screen`] gives to the state that a reader has gives the state that they lead to.
//!
//! Everything that comes and goes is an object keyed by its id or place, and what is not there has no key: so a change is a
//! JSON Merge Patch (RFC 7396), and patches can be put together without growing. Lists are replaced whole.
//!
//! Not here: waiting for events and telling readers (harness-engine), the conversation (a screen reads it from the events).

mod branch;
mod fold;
mod parts;
mod screen;
mod trust;

pub use parts::*;
pub use screen::{Cursor, DisplayPatch, DisplayUpdate, Screen, TOUCHES_MAX, merge};

use crate::event::{Event, TurnEnd};
use crate::ids::{AllowanceId, ApprovalId, CallId, Digest, GrantId, MessageId, PlanId, QuestionId, Sequence, TimeMs};
use crate::item::Usage;
use crate::limits::{MESSAGES_WAITING_MAX, MODES_MAX};
use crate::todo::Todo;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Calls that are shown; ended ones make room first. All of a turn's, unless it has more.
pub const CALLS_SHOWN_MAX: usize = 128;
/// Approvals, questions and plans that are shown, of each.
pub const ASKED_SHOWN_MAX: usize = 64;
/// Paths that are shown as changed.
pub const FILES_SHOWN_MAX: usize = 256;
/// Calls that are named for one path.
pub const FILE_CALLS_SHOWN_MAX: usize = 8;
/// Requests that are shown.
pub const REQUESTS_SHOWN_MAX: usize = 64;
/// Grants that are shown.
pub const GRANTS_SHOWN_MAX: usize = 128;
/// Allowances that are shown.
pub const ALLOWANCES_SHOWN_MAX: usize = 64;
/// Levels of trust that are shown.
pub const TRUST_SHOWN_MAX: usize = 128;
/// Calls that are shown as waiting for a review.
pub const REVIEWS_SHOWN_MAX: usize = 64;
/// Calls that are remembered as undone, for when the session goes back to before that.
pub const UNDONE_REMEMBERED_MAX: usize = 1_024;
/// Notes, faults of hooks and proposals that are shown, of each.
pub const NOTES_SHOWN_MAX: usize = 32;
/// Things to do that are shown.
pub const TODOS_SHOWN_MAX: usize = 64;
/// Names, rules, titles, paths and addresses that are shown, in bytes.
pub const NAME_SHOWN_BYTES_MAX: usize = 512;
/// Arguments, words and reasons that are shown, in bytes.
pub const WORDS_SHOWN_BYTES_MAX: usize = 2 << 10;
/// A question, a plan, a waiting message and the model's last words as they are shown, in bytes.
pub const TEXT_SHOWN_BYTES_MAX: usize = 4 << 10;
/// Of the response in flight its last words, and as much of its reasoning, in bytes.
pub const RESPONSE_SHOWN_BYTES_MAX: usize = 64 << 10;
/// A piece of the response in flight, in bytes: what a patch for one more word holds at most.
pub const RESPONSE_PIECE_BYTES_MAX: usize = 1 << 10;

const _: () = assert!(MESSAGES_WAITING_MAX <= 64 && MODES_MAX <= 64);

/// Everything a screen shows of a session, at the event whose sequence it names.
///
/// ```
/// use harness_core::display::DisplayState;
/// use harness_core::{Event, Sequence, TimeMs};
///
/// let mut shown = DisplayState::default();
/// let created = Event::SessionCreated { workspace: "/work".into(), title: Some("A task".into()) };
/// shown.apply(Sequence(1), TimeMs(0), &created);
/// assert_eq!((shown.sequence, shown.about.title.as_deref()), (Sequence(1), Some("A task")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DisplayState {
    /// The last event that is in it.
    pub sequence: Sequence,
    /// When that was appended.
    pub updated: TimeMs,
    /// The session and how it is set up.
    pub about: About,
    /// The turn under way.
    pub turn: Option<TurnShown>,
    /// The response in flight, at most one, by the event that began it. Not durable: a response is in the log when it is whole.
    pub responses: BTreeMap<Sequence, ResponseShown>,
    /// The calls of the turn under way, or of the last one.
    pub calls: BTreeMap<CallId, CallShown>,
    /// Approvals that wait for an answer.
    pub approvals: BTreeMap<ApprovalId, ApprovalShown>,
    /// Questions that wait for an answer.
    pub questions: BTreeMap<QuestionId, QuestionShown>,
    /// Plans that wait for an answer.
    pub plans: BTreeMap<PlanId, PlanShown>,
    /// Messages that wait to be delivered.
    pub messages: BTreeMap<MessageId, MessageShown>,
    /// What is to be done.
    pub todos: Vec<Todo>,
    /// Tokens, money and budgets.
    pub spending: Spending,
    /// Paths that calls changed.
    pub files: BTreeMap<String, FileShown>,
    /// Changes that are being taken back.
    pub undoing: Option<UndoingShown>,
    /// Requests that left the host or were refused: by the event that reported them and their place in it, `SEQUENCE.NUMBER`.
    pub requests: BTreeMap<String, RequestShown>,
    /// Grants in force.
    pub grants: BTreeMap<GrantId, GrantShown>,
    /// Allowances in force.
    pub allowances: BTreeMap<AllowanceId, AllowanceShown>,
    /// Trust above supervised, by the digest of what it is about. As events tell: where another session's count comes after
    /// an answer here that changed no level, it may be lower in truth.
    pub trust: BTreeMap<Digest, TrustShown>,
    /// Calls that ran by trust alone and wait for a review.
    pub reviews: BTreeMap<CallId, ReviewShown>,
    /// Modes that a hook proposed and no one has entered since, by name.
    pub proposals: BTreeMap<String, ProposalShown>,
    /// What hooks told the model, by the event that says so.
    pub notes: BTreeMap<Sequence, NoteShown>,
    /// Hooks that broke, by the event that says so.
    pub faults: BTreeMap<Sequence, NoteShown>,
    /// What went wrong last and what repeats itself.
    pub problems: Problems,
    /// How often what happened.
    pub counters: Counters,
    /// What is not shown any more.
    pub dropped: Dropped,
    /// What the fold has to remember to show the rest. Kept with the state, and not shown.
    #[serde(default)]
    #[schemars(skip)]
    tally: fold::Tally,
}

impl DisplayState {
    /// The state as JSON, what is not there left out: what [`DisplayPatch::merge`] is applied to.
    pub fn to_json(&self) -> serde_json::Value {
        // Strings, numbers, lists and maps with keys of text: nothing that JSON cannot hold.
        let mut whole = serde_json::to_value(self).unwrap_or_default();
        screen::strip(&mut whole);
        if let Some(fields) = whole.as_object_mut() {
            fields.remove("tally");
        }
        whole
    }

    /// What the session is doing.
    pub fn status(&self) -> Status {
        match &self.turn {
            _ if !self.approvals.is_empty() || !self.questions.is_empty() || !self.plans.is_empty() => {
                Status::NeedsAnswer
            }
            Some(turn) if turn.phase == PhaseShown::Waiting => Status::Retrying,
            Some(_) => Status::Running,
            None if self.undoing.is_some() => Status::Running,
            None => Status::Idle,
        }
    }

    /// The words of the response in flight so far, as many as are shown.
    pub fn text(&self) -> String {
        self.responses.values().flat_map(|response| response.text.values().map(String::as_str)).collect()
    }

    /// Believes an event of the log, in its order. Of a rewind only that it happened: see [`Self::rewind`].
    pub fn apply(&mut self, sequence: Sequence, time: TimeMs, event: &Event) {
        self.fold(sequence, time, event, &mut |_| {});
    }
}

/// What there is to say of how a turn ended.
fn end_words(end: &TurnEnd) -> String {
    match end {
        TurnEnd::Failed { failure } => failure.message.clone(),
        TurnEnd::Limit { limit, maximum } => format!("{limit} = {maximum}"),
        TurnEnd::Stopped { by, words } => format!("{by}: {words}"),
        TurnEnd::Stuck { tool, times } => format!("{tool}, {times} times"),
        TurnEnd::Done | TurnEnd::Interrupted => String::new(),
    }
}

/// A text that is not longer than so many bytes; what was cut is marked with `…`.
fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes_max.saturating_sub('…'.len_utf8()));
    format!("{}…", text.get(..end).unwrap_or_default())
}

fn name(text: &str) -> String {
    cut(text, NAME_SHOWN_BYTES_MAX)
}

fn words(text: &str) -> String {
    cut(text, WORDS_SHOWN_BYTES_MAX)
}

/// Parts of a thousand of a request's tokens that came from the provider's cache.
fn cache_hit_permille(usage: &Usage) -> Option<u16> {
    let hit = usage.cached_input_tokens.saturating_mul(1_000).checked_div(usage.input_tokens)?;
    u16::try_from(hit.min(1_000)).ok()
}
