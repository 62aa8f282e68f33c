//! A screen's state with what is not logged (the response in flight, progress), and the patches that lead from any point of
//! the recent past to now.
//!
//! Promise: a screen remembers what changed, not how: the patch between two points holds each changed part once, as it is
//! now. So a slow reader gets one patch over many events, the last state is never lost, and readers cost nothing between
//! two patches. What a reader may have seen beyond what is remembered comes whole.

use super::{
    CallShown, CallStatus, DisplayState, RESPONSE_PIECE_BYTES_MAX, RESPONSE_SHOWN_BYTES_MAX, ResponseShown,
    WORDS_SHOWN_BYTES_MAX, cut,
};
use crate::envelope::Header;
use crate::event::Event;
use crate::ids::{
    AllowanceId, ApprovalId, CallId, Digest, GrantId, MessageId, PlanId, QuestionId, Sequence, SessionId,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Changes that a screen remembers; a reader that is further behind gets the whole state.
pub const TOUCHES_MAX: usize = 4_096;
/// Tools that are named of the response in flight.
const RESPONSE_TOOLS_SHOWN_MAX: usize = 64;

/// A part of the state that changes as one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    About,
    Turn,
    Todos,
    Spending,
    Undoing,
    Problems,
    Counters,
    Dropped,
    Response(Sequence),
    Text(Sequence, u64),
    Reasoning(Sequence, u64),
    Call(CallId),
    Progress(CallId),
    Approval(ApprovalId),
    Question(QuestionId),
    Plan(PlanId),
    Message(MessageId),
    File(String),
    Request(String),
    Grant(GrantId),
    Allowance(AllowanceId),
    Trust(Digest),
    Review(CallId),
    Proposal(String),
    Note(Sequence),
    Fault(Sequence),
}

#[derive(Debug, Clone)]
struct Touch {
    /// When it happened, counted by the screen.
    revision: u64,
    /// The last event when it happened.
    sequence: Sequence,
    /// Not by an event.
    is_volatile: bool,
    part: Part,
}

/// How much of a screen a reader has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The last revision of this screen that the reader has seen.
    seen: u64,
    sequence: Sequence,
    /// It may have seen any piece of the response in flight, or none.
    is_resumed: bool,
    is_whole_due: bool,
}

impl Cursor {
    /// Of a reader that has seen nothing: the whole state is next.
    pub const NOTHING: Self = Self { seen: 0, sequence: Sequence::START, is_resumed: false, is_whole_due: true };

    /// The last event that the reader has seen.
    pub const fn sequence(&self) -> Sequence {
        self.sequence
    }
}

/// How a reader's state becomes a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisplayPatch {
    /// The event whose state, or a later one's, it is applied to.
    pub from: Sequence,
    /// The event that it leads to. The same as `from` where only the response in flight or progress has changed.
    pub sequence: Sequence,
    /// A JSON Merge Patch (RFC 7396).
    pub merge: Value,
}

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "display", rename_all = "snake_case")]
pub enum DisplayUpdate {
    /// The whole state, in place of whatever the reader has.
    Whole {
        /// The event that it is at.
        sequence: Sequence,
        /// [`DisplayState::to_json`].
        state: Value,
    },
    /// What has changed.
    Patch(DisplayPatch),
}

impl DisplayUpdate {
    /// Brings a reader's state up to date. Gives the event that it is at.
    pub fn apply_to(&self, known: &mut Value) -> Sequence {
        match self {
            Self::Whole { sequence, state } => {
                known.clone_from(state);
                *sequence
            }
            Self::Patch(patch) => {
                merge(known, &patch.merge);
                patch.sequence
            }
        }
    }
}

/// Applies a JSON Merge Patch (RFC 7396, 2).
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Leaves out what is not there: a key of an object whose value is null. Lists stay as they are.
pub(super) fn strip(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, value| !value.is_null());
        fields.values_mut().for_each(strip);
    }
}

/// A session's screen.
#[derive(Debug, Clone, Default)]
pub struct Screen {
    state: DisplayState,
    touches: VecDeque<Touch>,
    /// How often something changed.
    revision: u64,
    /// The revision up to which touches are not remembered any more.
    forgotten: u64,
    /// The last of them, or the state that the screen began with: its sequence, and whether it was no event's.
    known_from: (Sequence, bool),
    /// What rewinds that come go back to; none where it is not there yet.
    pasts: BTreeMap<Sequence, Option<Box<DisplayState>>>,
}

/// Kinds of events that begin a session's own part of a log which began as another's.
const BEGINNING_KINDS: [&str; 2] = ["session_forked", "session_imported"];

impl Screen {
    /// A screen that goes on from a state, such as one that was kept beside a checkpoint.
    pub fn of(state: DisplayState) -> Self {
        let known_from = (state.sequence, false);
        Self { state, known_from, ..Self::default() }
    }

    /// What it shows now.
    pub fn state(&self) -> &DisplayState {
        &self.state
    }

    /// Remembers what is shown at these events, where it is not past them, for rewinds that go back to them.
    pub fn expect_rewinds(&mut self, to: impl IntoIterator<Item = Sequence>) {
        self.pasts.extend(to.into_iter().map(|to| (to, None)));
        self.remember();
    }

    /// Whether an event is a rewind to what is not remembered. Believed all the same, what is shown of the conversation stays.
    pub fn lacks_past(&self, event: Option<&Event>) -> bool {
        matches!(event, Some(Event::SessionRewound { to }) if !matches!(self.pasts.get(to), Some(Some(_))))
    }

    /// Remembers what another screen of the same session remembers.
    pub fn take_pasts(&mut self, of: Self) {
        self.pasts = of.pasts;
        self.remember();
    }

    /// Remembers nothing for rewinds any more.
    pub fn forget_pasts(&mut self) {
        self.pasts.clear();
    }

    fn remember(&mut self) {
        if let Some(past) = self.pasts.get_mut(&self.state.sequence) {
            *past = Some(Box::new(self.state.clone()));
        }
    }

    fn is_of(&self, session: SessionId, kind: &str) -> bool {
        BEGINNING_KINDS.contains(&kind) || self.state.about.session.is_none_or(|known| known == session)
    }

    /// Believes an event of the log, or takes note of one whose content was erased. One that it has already, or of another
    /// session, changes nothing. After one that changes where the session goes on, readers get the whole state.
    pub fn apply(&mut self, header: &Header, event: Option<&Event>) {
        if header.sequence <= self.state.sequence || !self.is_of(header.session, &header.kind) {
            return;
        }
        let mut touched = Vec::new();
        if self.state.about.session != Some(header.session) {
            self.state.about.session = Some(header.session);
            touched.push(Part::About);
        }
        match event {
            Some(Event::SessionRewound { to }) if !self.lacks_past(event) => {
                let past = self.pasts.get(to).cloned().flatten().unwrap_or_default();
                self.state.rewind(header.sequence, header.time, *past);
            }
            Some(event) => self.state.fold(header.sequence, header.time, event, &mut |part| touched.push(part)),
            None => {
                self.state.sequence = header.sequence;
                self.state.updated = header.time;
                self.state.counters.erased = self.state.counters.erased.saturating_add(1);
                touched.push(Part::Counters);
            }
        }
        for part in touched {
            self.touch(part, false);
        }
        self.remember();
        let begins = |event: &Event| {
            matches!(event, Event::SessionRewound { .. } | Event::SessionForked { .. } | Event::SessionImported { .. })
        };
        if event.is_some_and(begins) {
            self.begin_anew();
        }
    }

    /// Remembers no touches: what readers have seen comes whole.
    fn begin_anew(&mut self) {
        self.touches.clear();
        self.revision = self.revision.saturating_add(1);
        (self.forgotten, self.known_from) = (self.revision, (self.state.sequence, false));
    }

    /// Takes a piece of the words of the response in flight; `offset_bytes` is what came before. A piece that is known
    /// changes nothing; where one is missing, what was known is not shown any more.
    pub fn text(&mut self, offset_bytes: u64, piece: &str) {
        self.stream(offset_bytes, piece, |shown| (&mut shown.text, &mut shown.text_bytes), Part::Text);
    }

    /// Takes a piece of the reasoning of the response in flight, as with words.
    pub fn reasoning(&mut self, offset_bytes: u64, piece: &str) {
        self.stream(offset_bytes, piece, |shown| (&mut shown.reasoning, &mut shown.reasoning_bytes), Part::Reasoning);
    }

    /// Takes that the response in flight makes a call of a tool.
    pub fn tool(&mut self, tool: &str) {
        let Some((at, shown)) = self.state.responses.iter_mut().next() else { return };
        if shown.tools.len() < RESPONSE_TOOLS_SHOWN_MAX {
            shown.tools.push(super::name(tool));
            let at = *at;
            self.touch(Part::Response(at), true);
        }
    }

    /// Takes that so many more bytes of a call's arguments are there.
    pub fn arguments(&mut self, bytes: usize) {
        let Some((at, shown)) = self.state.responses.iter_mut().next() else { return };
        shown.argument_bytes = shown.argument_bytes.saturating_add(bytes as u64);
        let at = *at;
        self.touch(Part::Response(at), true);
    }

    /// Takes how far a running call has come.
    pub fn progress(&mut self, call: CallId, words: &str, done_permille: Option<u16>) {
        let Some(shown) = self.state.calls.get_mut(&call) else { return };
        if shown.status == CallStatus::Running {
            shown.progress = Some(cut(words, WORDS_SHOWN_BYTES_MAX));
            shown.done_permille = done_permille;
            self.touch(Part::Progress(call), true);
        }
    }

    fn stream(
        &mut self,
        offset: u64,
        piece: &str,
        of: fn(&mut ResponseShown) -> (&mut BTreeMap<u64, String>, &mut u64),
        part: fn(Sequence, u64) -> Part,
    ) {
        let Some((at, shown)) = self.state.responses.iter_mut().next() else { return };
        let (at, (pieces, end)) = (*at, of(shown));
        let mut touched = BTreeSet::new();
        if offset > *end {
            touched.extend(std::mem::take(pieces).into_keys());
            *end = offset;
        }
        let known = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let Some(new) = piece.get(known..) else { return };
        for c in new.chars() {
            let room = pieces.last_entry().filter(|it| it.get().len() + c.len_utf8() <= RESPONSE_PIECE_BYTES_MAX);
            match room {
                Some(mut last) => {
                    touched.insert(*last.key());
                    last.get_mut().push(c);
                }
                None => {
                    touched.insert(*end);
                    pieces.insert(*end, c.to_string());
                }
            }
            *end = end.saturating_add(c.len_utf8() as u64);
        }
        while pieces.len() > RESPONSE_SHOWN_BYTES_MAX / RESPONSE_PIECE_BYTES_MAX {
            touched.extend(pieces.pop_first().map(|(offset, _)| offset));
        }
        for offset in touched {
            self.touch(part(at, offset), true);
        }
    }

    fn touch(&mut self, part: Part, is_volatile: bool) {
        self.revision = self.revision.saturating_add(1);
        let touch = Touch { revision: self.revision, sequence: self.state.sequence, is_volatile, part };
        // One more word is the same touch, later.
        if let Some(last) = self.touches.back_mut()
            && (last.sequence, last.is_volatile, &last.part) == (touch.sequence, is_volatile, &touch.part)
        {
            *last = touch;
            return;
        }
        if self.touches.len() >= TOUCHES_MAX
            && let Some(oldest) = self.touches.pop_front()
        {
            self.forgotten = oldest.revision;
            self.known_from = (oldest.sequence, oldest.is_volatile);
        }
        self.touches.push_back(touch);
    }

    /// Where a reader stands that has the state of an event, whichever screen gave it.
    pub fn cursor_at(&self, after: Sequence) -> Cursor {
        let is_remembered = self.known_from <= (after, false) && after <= self.state.sequence;
        if after == Sequence::START || !is_remembered || self.is_response_cut() {
            return Cursor::NOTHING;
        }
        // What is not by an event and came with the last one it has may be new to it.
        let known = self.touches.iter().take_while(|touch| (touch.sequence, touch.is_volatile) <= (after, false));
        let seen = known.last().map_or(self.forgotten, |touch| touch.revision);
        Cursor { seen, sequence: after, is_resumed: true, is_whole_due: false }
    }

    /// Whether the response in flight is shown from its middle on: another screen cut it elsewhere, so that pieces which a
    /// reader has from there would stay beside ours.
    fn is_response_cut(&self) -> bool {
        let is_cut = |pieces: &BTreeMap<u64, String>| pieces.keys().next().is_some_and(|offset| *offset > 0);
        self.state.responses.values().any(|shown| is_cut(&shown.text) || is_cut(&shown.reasoning))
    }

    /// Whether there is something that a reader has not seen.
    pub fn has_news(&self, cursor: &Cursor) -> bool {
        cursor.is_whole_due || cursor.is_resumed || cursor.seen < self.revision
    }

    /// Where a reader stands that has seen all.
    pub fn now(&self) -> Cursor {
        Cursor { seen: self.revision, sequence: self.state.sequence, is_resumed: false, is_whole_due: false }
    }

    /// What a reader has not seen, as one update, and where it then stands; none where it has seen all.
    pub fn since(&self, cursor: &Cursor) -> Option<(DisplayUpdate, Cursor)> {
        if !self.has_news(cursor) {
            return None;
        }
        let (sequence, next) = (self.state.sequence, self.now());
        if cursor.is_whole_due || cursor.seen < self.forgotten {
            return Some((DisplayUpdate::Whole { sequence, state: self.state.to_json() }, next));
        }
        let new = self.touches.iter().rev().take_while(|touch| touch.revision > cursor.seen);
        let mut parts: BTreeSet<&Part> = new.map(|touch| &touch.part).collect();
        let volatile: Vec<Part> = if cursor.is_resumed { self.volatile() } else { Vec::new() };
        parts.extend(&volatile);
        let mut patch = json!({ "sequence": sequence, "updated": self.state.updated });
        for part in parts {
            self.render(part, &mut patch);
        }
        Some((DisplayUpdate::Patch(DisplayPatch { from: cursor.sequence, sequence, merge: patch }), next))
    }

    /// What is not by an event.
    fn volatile(&self) -> Vec<Part> {
        let running =
            |call: &&CallId| self.state.calls.get(call).is_some_and(|call| call.status == CallStatus::Running);
        let calls = self.state.calls.keys().filter(running).map(|call| Part::Progress(*call));
        let responses = self.state.responses.iter().flat_map(|(at, shown)| {
            let text = shown.text.keys().map(|offset| Part::Text(*at, *offset));
            let reasoning = shown.reasoning.keys().map(|offset| Part::Reasoning(*at, *offset));
            text.chain(reasoning).chain([Part::Response(*at)])
        });
        calls.chain(responses).collect()
    }

    /// Adds a part as it is now to a patch; one that is gone as null.
    fn render(&self, part: &Part, patch: &mut Value) {
        let state = &self.state;
        match part {
            Part::About => set(patch, &["about"], json!(state.about)),
            Part::Turn => set(patch, &["turn"], json!(state.turn)),
            Part::Todos => set(patch, &["todos"], json!(state.todos)),
            Part::Spending => set(patch, &["spending"], json!(state.spending)),
            Part::Undoing => set(patch, &["undoing"], json!(state.undoing)),
            Part::Problems => set(patch, &["problems"], json!(state.problems)),
            Part::Counters => set(patch, &["counters"], json!(state.counters)),
            Part::Dropped => set(patch, &["dropped"], json!(state.dropped)),
            Part::Response(at) | Part::Text(at, _) | Part::Reasoning(at, _) => self.render_response(part, *at, patch),
            Part::Call(id) => set(patch, &["calls", &id.to_string()], json!(state.calls.get(id))),
            Part::Progress(id) => match state.calls.get(id) {
                None => set(patch, &["calls", &id.to_string()], Value::Null),
                Some(CallShown { progress, done_permille, .. }) => {
                    set(patch, &["calls", &id.to_string(), "progress"], json!(progress));
                    set(patch, &["calls", &id.to_string(), "done_permille"], json!(done_permille));
                }
            },
            Part::Approval(id) => set(patch, &["approvals", &id.to_string()], json!(state.approvals.get(id))),
            Part::Question(id) => set(patch, &["questions", &id.to_string()], json!(state.questions.get(id))),
            Part::Plan(id) => set(patch, &["plans", &id.to_string()], json!(state.plans.get(id))),
            Part::Message(id) => set(patch, &["messages", &id.to_string()], json!(state.messages.get(id))),
            Part::File(path) => set(patch, &["files", path], json!(state.files.get(path))),
            Part::Request(at) => set(patch, &["requests", at], json!(state.requests.get(at))),
            Part::Grant(id) => set(patch, &["grants", &id.to_string()], json!(state.grants.get(id))),
            Part::Allowance(id) => set(patch, &["allowances", &id.to_string()], json!(state.allowances.get(id))),
            Part::Trust(key) => set(patch, &["trust", &key.to_string()], json!(state.trust.get(key))),
            Part::Review(call) => set(patch, &["reviews", &call.to_string()], json!(state.reviews.get(call))),
            Part::Proposal(mode) => set(patch, &["proposals", mode], json!(state.proposals.get(mode))),
            Part::Note(at) => set(patch, &["notes", &at.to_string()], json!(state.notes.get(at))),
            Part::Fault(at) => set(patch, &["faults", &at.to_string()], json!(state.faults.get(at))),
        }
    }

    fn render_response(&self, part: &Part, at: Sequence, patch: &mut Value) {
        let key = at.to_string();
        let Some(shown) = self.state.responses.get(&at) else { return set(patch, &["responses", &key], Value::Null) };
        let lengths = [("text_bytes", shown.text_bytes), ("reasoning_bytes", shown.reasoning_bytes)];
        for (name, bytes) in lengths.into_iter().chain([("argument_bytes", shown.argument_bytes)]) {
            set(patch, &["responses", &key, name], json!(bytes));
        }
        // An object that is there while it is empty, as in the whole state.
        for name in ["text", "reasoning"] {
            let pieces = child(child(child(patch, "responses"), &key), name);
            if !pieces.is_object() {
                *pieces = json!({});
            }
        }
        match part {
            Part::Text(_, offset) => {
                set(patch, &["responses", &key, "text", &offset.to_string()], json!(shown.text.get(offset)));
            }
            Part::Reasoning(_, offset) => {
                set(patch, &["responses", &key, "reasoning", &offset.to_string()], json!(shown.reasoning.get(offset)));
            }
            _ => {}
        }
        set(patch, &["responses", &key, "tools"], json!(shown.tools));
    }
}

/// The object under a key, made where there is none.
fn child<'a>(value: &'a mut Value, key: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    &mut value[key]
}

/// Sets what stands at a path.
fn set(value: &mut Value, path: &[&str], to: Value) {
    match path {
        [] => *value = to,
        [key, rest @ ..] => set(child(value, key), rest, to),
    }
}
