//! The real core under a simulated engine: decide, write down, tell, carry out; killed between any two of these.
//!
//! Promise: one thread, no clock, no waiting: what happens follows from the plan alone, thousands of times a
//! second. The log is the real one in memory: sealed, chained, and read back from its bytes after each crash.
//!
//! Not here: the engine's own writer, leases, several hosts (`engine_world`).

use super::action::{Action, Planned};
use super::coverage::Coverage;
use super::evidence::{Evidence, Execution, Live, Opened, Request, Told};
use super::inputs;
use crate::random::Random;
use harness_core::change::Change;
use harness_core::envelope::{Lineage, SealContext, Tip, seal, verify};
use harness_core::event::{Changes, Context};
use harness_core::item::ToolSpec;
use harness_core::{
    Actor, ApprovalId, CallId, Command, Digest, Epoch, Event, Grant, Manifest, QuestionId, Refusal, SessionId,
    SessionState, TenantId, TimeMs, decide,
};
use harness_engine::ports::StoredEvent;
use std::sync::Arc;

/// Returns after which a session that is left alone must have come to rest.
const REST_ACTIONS_MAX: usize = 3_000;

/// Work that is out.
#[derive(Debug, Clone)]
enum Work {
    Model,
    Wait,
    Call { call: CallId, spec: ToolSpec, round: u32 },
    Put { call: CallId },
}

/// What the host that has the session open believes and has out.
struct Open {
    state: SessionState,
    epoch: Epoch,
    out: Vec<Work>,
    /// Work that was stopped.
    stopped: Vec<Work>,
}

/// What becomes of the next batch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Written down, told, carried out.
    Whole,
    /// The host is killed before it is written down.
    Lost,
    /// The host is killed after it was written down, before anybody is told.
    KeptUntold,
}

/// A session, its log and the host that has it open, if any.
pub(crate) struct CoreWorld<'a> {
    session: SessionId,
    stored: Vec<StoredEvent>,
    tip: Tip,
    epoch: u64,
    context: Context,
    open: Option<Open>,
    fate: Fate,
    ids: Random,
    responses: u64,
    now_ms: i64,
    /// Approvals that were ever asked, with what was shown.
    approvals: Vec<(ApprovalId, Digest)>,
    questions: Vec<QuestionId>,
    /// Changes that are in place and not taken back.
    changed: Vec<(CallId, Manifest)>,
    evidence: Evidence,
    coverage: &'a mut Coverage,
}

impl<'a> CoreWorld<'a> {
    /// A new session.
    pub(crate) fn new(seed: u64, coverage: &'a mut Coverage) -> Self {
        let mut ids = Random(seed);
        let session = SessionId::from_bits(u128::from(ids.next()) << 64 | u128::from(ids.next()));
        let context = inputs::context(&mut ids);
        let evidence = Evidence { session: Some(session), ..Evidence::default() };
        let mut world = Self {
            session,
            stored: Vec::new(),
            tip: Tip::START,
            epoch: 0,
            context,
            open: None,
            fate: Fate::Whole,
            ids,
            responses: 0,
            now_ms: 1_700_000_000_000,
            approvals: Vec::new(),
            questions: Vec::new(),
            changed: Vec::new(),
            evidence,
            coverage,
        };
        world.open_session(&mut Random(seed));
        world
    }

    /// Lets one thing happen.
    pub(crate) fn act(&mut self, planned: Planned) {
        let random = &mut Random(planned.seed);
        if self.open.is_none() && !matches!(planned.action, Action::Open | Action::TakeOver) {
            return;
        }
        match planned.action {
            Action::Return => self.give_back(random),
            Action::ReturnLate => self.give_back_late(random),
            Action::Prompt => self.prompt(random),
            Action::Answer => self.answer(random),
            Action::AnswerAgain => self.answer_again(random),
            Action::AnswerForeign => self.answer_foreign(random),
            Action::AnswerQuestion => self.answer_question(random),
            Action::AnswerQuestionAgain => self.answer_question_again(random),
            Action::Interrupt => drop(self.feed(Event::InterruptRequested)),
            Action::Rename => {
                let title = "t".repeat(random.index(90));
                drop(self.feed(Event::SessionRenamed { title }));
            }
            Action::Grant => {
                if let Some(grant) = inputs::grant(random) {
                    drop(self.feed(Event::GrantGiven { grant }));
                }
            }
            Action::Revoke => {
                let grants = self.state().map_or(&[][..], |state| &state.grants);
                if let Some(grant) = random.pick(grants).map(Grant::id) {
                    drop(self.feed(Event::GrantRevoked { grant }));
                }
            }
            Action::Undo => self.undo(random),
            Action::Crash => self.crash(random),
            Action::Close => self.open = None,
            Action::Open if self.open.is_none() => self.open_session(random),
            // One host after the other: two at once are for the engine.
            Action::TakeOver => {
                self.open = None;
                self.open_session(random);
            }
            // There are no files here: how a put goes is drawn.
            Action::Open | Action::Run | Action::ChangeFile => {}
        }
    }

    /// Ends the play: opens the session if nobody has it, lets it come to rest if `rest` says so, and gives what
    /// was seen.
    pub(crate) fn end(mut self, seed: u64, rest: bool) -> Evidence {
        let random = &mut Random(seed);
        if self.open.is_none() {
            self.open_session(random);
        }
        if rest {
            self.come_to_rest(random);
        }
        let live = self.open.take().map(|open| Live { out: open.out.len(), state: open.state });
        Evidence { stored: self.stored, tip: Some(self.tip), live, ..self.evidence }
    }

    fn come_to_rest(&mut self, random: &mut Random) {
        for _ in 0..REST_ACTIONS_MAX {
            let Some(open) = &self.open else { return };
            if open.state.turn.is_none() && open.state.undoing.is_none() {
                return self.coverage.reach("came to rest at the end");
            }
            match open.out.is_empty() {
                false => self.give_back(random),
                true if open.state.questions().is_empty() => self.answer(random),
                true => self.answer_question(random),
            }
        }
        let state = self.open.as_ref().map(|open| &open.state.turn);
        self.evidence.wrong.push(format!("left alone, it does not come to rest: {state:?}"));
    }

    fn state(&self) -> Option<&SessionState> {
        self.open.as_ref().map(|open| &open.state)
    }

    fn entropy(&mut self) -> String {
        format!("{:016x}{:016x}", self.ids.next(), self.ids.next())
    }

    /// Takes an input: decides, writes down, tells, carries out, as far as fate lets it.
    fn feed(&mut self, input: Event) -> Result<(), Refusal> {
        let fate = std::mem::replace(&mut self.fate, Fate::Whole);
        let Some(open) = &mut self.open else { return Ok(()) };
        let decision = match decide(&mut open.state, self.session, input) {
            Ok(decision) => decision,
            Err(Refusal::Inconsistent(why)) => {
                self.evidence.wrong.push(format!("BUG: {why}"));
                return Ok(());
            }
            Err(refusal) => {
                self.coverage.reach(refused(&refusal));
                return Err(refusal);
            }
        };
        if fate == Fate::Lost {
            self.open = None;
            return Ok(());
        }
        let epoch = open.epoch;
        self.write(&decision.events);
        if fate == Fate::KeptUntold {
            self.open = None;
            return Ok(());
        }
        let first = self.tip.sequence.0 + 1 - decision.events.len() as u64;
        for (sequence, event) in (first..).zip(decision.events) {
            self.notice(&event);
            self.evidence.told.push(Told { sequence, epoch: Some(epoch), event: Arc::new(event) });
        }
        decision.commands.into_iter().for_each(|command| self.carry_out(command));
        Ok(())
    }

    fn write(&mut self, events: &[Event]) {
        self.now_ms += 1;
        let context = SealContext {
            tenant: TenantId::local(),
            session: self.session,
            lineage: Lineage::root_of(self.session),
            time: TimeMs(self.now_ms),
            actor: Actor::Host,
        };
        let ids = &mut self.ids;
        let (sealed, tip) =
            seal(self.tip, &context, events, || (u128::from(ids.next()) << 64 | u128::from(ids.next())).to_be_bytes());
        let stored = sealed.into_iter().map(|it| StoredEvent { header_bytes: it.header_bytes, payload: it.payload });
        self.stored.extend(stored);
        self.tip = tip;
    }

    /// Remembers what later actions refer to.
    fn notice(&mut self, event: &Event) {
        match event {
            Event::ApprovalAsked { approval, binds_to, .. } => self.approvals.push((*approval, *binds_to)),
            Event::QuestionAsked { question, .. } => self.questions.push(*question),
            Event::CallEnded { call, changes, .. } if !changes.is_empty() => {
                self.changed.push((*call, changes.clone()));
            }
            Event::ChangesUndone { of, result: harness_core::event::ApplyResult::Applied, .. } => {
                self.changed.retain(|(call, _)| !of.contains(call));
            }
            _ => {}
        }
    }

    fn carry_out(&mut self, command: Command) {
        let Some(open) = &mut self.open else { return };
        match command {
            Command::CallModel => {
                self.evidence.requests.push(Request { items: open.state.history.clone() });
                open.out.push(Work::Model);
            }
            Command::Wait { .. } => open.out.push(Work::Wait),
            Command::RunCall { call, tool, resume, .. } => {
                let Some(spec) = open.state.tool(&tool).cloned() else {
                    self.evidence.wrong.push(format!("{call} runs `{tool}`, which there is not"));
                    return;
                };
                let round = inputs::round_of(resume.as_ref());
                self.evidence.executions.push(Execution { call, round, effects: spec.effects });
                open.out.push(Work::Call { call, spec, round });
            }
            Command::AskPolicy { question } => {
                self.evidence.wrong.push(format!("the policy of `{}` is asked, which there is not", question.mode));
            }
            Command::PutChanges { call, .. } => {
                self.evidence.puts.push(call);
                open.out.push(Work::Put { call });
            }
            Command::CancelModel => {
                let (stopped, left) = open.out.drain(..).partition(|it| matches!(it, Work::Model | Work::Wait));
                open.out = left;
                open.stopped.extend::<Vec<_>>(stopped);
            }
            Command::CancelCall { call: cancelled } => {
                let is_it = |it: &Work| matches!(it, Work::Call { call, .. } if *call == cancelled);
                let (stopped, left) = open.out.drain(..).partition(is_it);
                open.out = left;
                open.stopped.extend::<Vec<_>>(stopped);
            }
        }
    }

    fn give_back(&mut self, random: &mut Random) {
        let Some(open) = &mut self.open else { return };
        if open.out.is_empty() {
            return self.go_on(random);
        }
        let work = open.out.swap_remove(random.index(open.out.len()));
        let input = self.result_of(work, random);
        if let Err(refusal) = self.feed(input) {
            self.evidence.wrong.push(format!("what was out was not waited for: {refusal}"));
        }
    }

    /// Nothing is out: a person goes on, in whatever way there is.
    fn go_on(&mut self, random: &mut Random) {
        match self.state() {
            Some(state) if !state.pending().is_empty() => self.answer(random),
            Some(state) if !state.questions().is_empty() => self.answer_question(random),
            Some(state) if !self.changed.is_empty() && state.turn.is_none() && random.one_in(4) => self.undo(random),
            _ => self.prompt(random),
        }
    }

    /// The result of a call that was stopped: nobody waits for it. That of a stopped request the engine drops.
    fn give_back_late(&mut self, random: &mut Random) {
        let Some(work) = self.open.as_mut().and_then(|open| open.stopped.pop()) else { return };
        if matches!(work, Work::Model | Work::Wait) {
            return;
        }
        let input = self.result_of(work, random);
        self.must_refuse(input, "late report");
    }

    fn result_of(&mut self, work: Work, random: &mut Random) -> Event {
        match work {
            Work::Model if random.one_in(5) => {
                Event::ModelFailed { entropy: self.entropy(), failure: inputs::failure(random) }
            }
            Work::Model => {
                self.responses += 1;
                let response = inputs::response(random, &self.context.tools, self.responses);
                Event::ModelResponded {
                    entropy: self.entropy(),
                    parts: response.parts,
                    stop: response.stop,
                    usage: response.usage,
                    provider_response: None,
                    time_ms: random.below(5_000),
                }
            }
            Work::Wait => Event::RetryDue,
            Work::Call { call, spec, round } => {
                let reported = inputs::report(random, &spec, round, &self.context.tools);
                let (manifest, _) = inputs::edits(random, |_| None);
                let changes = if spec.name == "read" { Changes::None } else { inputs::placed(spec.effects, manifest) };
                let inputs::Reported { outcome, usage, record } = reported;
                Event::CallReported { call, outcome, changes, usage, record }
            }
            Work::Put { call } => Event::ChangesPut { call, result: inputs::put(random) },
        }
    }

    fn prompt(&mut self, random: &mut Random) {
        let (entropy, text, limits) = (self.entropy(), inputs::prompt(random), inputs::limits(random));
        drop(self.feed(Event::PromptReceived { entropy, text, limits }));
    }

    fn answer(&mut self, random: &mut Random) {
        let waiting = self.state().map_or_else(Vec::new, |state| {
            state.pending().iter().map(|pending| (pending.approval, pending.binds_to)).collect()
        });
        if waiting.len() > 1 {
            self.coverage.reach("several approvals waiting at once");
        }
        let Some((approval, binds_to)) = random.pick(&waiting).copied() else { return };
        let answer = inputs::answer(random);
        if let Err(refusal) = self.feed(Event::ApprovalAnswered { approval, binds_to, answer }) {
            self.evidence.wrong.push(format!("an answer that was waited for was refused: {refusal}"));
        }
    }

    fn answer_again(&mut self, random: &mut Random) {
        let waits = |id: ApprovalId| self.state().is_some_and(|state| state.asked(id).is_some());
        let stale: Vec<_> = self.approvals.iter().filter(|(id, _)| !waits(*id)).copied().collect();
        let Some((approval, binds_to)) = random.pick(&stale).copied() else { return };
        let answer = inputs::answer(random);
        self.must_refuse(Event::ApprovalAnswered { approval, binds_to, answer }, "answer to what does not wait");
    }

    fn answer_foreign(&mut self, random: &mut Random) {
        let waiting = self.state().and_then(|state| state.pending().first().map(|it| (it.approval, it.binds_to)));
        let (approval, binds_to) = match (waiting, random.one_in(4)) {
            (Some((approval, shown)), false) => {
                let other = self.approvals.iter().rev().map(|(_, digest)| *digest).find(|digest| *digest != shown);
                (approval, other.unwrap_or(Digest::ZERO))
            }
            _ => (ApprovalId::from_bits(u128::from(random.next())), Digest::ZERO),
        };
        let answer = inputs::answer(random);
        self.must_refuse(Event::ApprovalAnswered { approval, binds_to, answer }, "answer to something else");
    }

    fn answer_question(&mut self, random: &mut Random) {
        let questions = self.state().map_or_else(Vec::new, |state| {
            state.questions().iter().map(|it| (it.question, it.choices.to_vec())).collect()
        });
        let Some((question, choices)) = random.pick(&questions) else { return };
        let answer = inputs::reply(random, choices);
        drop(self.feed(Event::QuestionAnswered { question: *question, answer }));
    }

    fn answer_question_again(&mut self, random: &mut Random) {
        let waits = |id: QuestionId| self.state().is_some_and(|state| state.question(id).is_some());
        let stale: Vec<_> = self.questions.iter().filter(|id| !waits(**id)).copied().collect();
        let Some(question) = random.pick(&stale).copied() else { return };
        self.must_refuse(Event::QuestionAnswered { question, answer: None }, "answer to a question that is over");
    }

    /// Feeds what must be refused and must change nothing.
    fn must_refuse(&mut self, input: Event, what: &str) {
        let Some(before) = self.state().cloned() else { return };
        let fed = self.feed(input);
        if fed.is_ok() {
            self.evidence.wrong.push(format!("{what} was taken"));
        } else if self.state() != Some(&before) {
            self.evidence.wrong.push(format!("{what} was refused and changed something"));
        }
    }

    fn undo(&mut self, random: &mut Random) {
        let count = 1 + random.index(self.changed.len());
        let of: Vec<(CallId, Manifest)> = self.changed.iter().rev().take(count).cloned().collect();
        let reverse = |change: &Change| Change {
            path: change.path.clone(),
            before: change.after.clone(),
            after: change.before.clone(),
        };
        let changes = of.iter().flat_map(|(_, manifest)| manifest.entries()).map(reverse).collect();
        let undo = CallId::from_bits(u128::from(self.ids.next()));
        let of = of.into_iter().map(|(call, _)| call).collect();
        drop(self.feed(Event::UndoRequested { undo, of, manifest: Manifest::new(changes) }));
    }

    fn crash(&mut self, random: &mut Random) {
        if let Some(open) = &self.open {
            let out = |test: fn(&Work) -> bool| open.out.iter().any(test);
            let reached = [
                ("crash with a model request out", out(|it| matches!(it, Work::Model))),
                ("crash with a call running", out(|it| matches!(it, Work::Call { .. }))),
                ("crash with a put out", out(|it| matches!(it, Work::Put { .. }))),
                ("crash with an approval waiting", !open.state.pending().is_empty()),
                ("crash with a question waiting", !open.state.questions().is_empty()),
            ];
            reached.into_iter().filter(|(_, is)| *is).for_each(|(what, _)| self.coverage.reach(what));
        }
        self.fate = [Fate::Whole, Fate::Lost, Fate::KeptUntold][random.index(3)];
        self.coverage.reach(match self.fate {
            Fate::Whole => "crash at rest",
            Fate::Lost => "batch lost",
            Fate::KeptUntold => "batch kept, not told",
        });
        if self.fate != Fate::Whole {
            // Whatever is taken next is what it is killed at.
            let next = [Action::Return, Action::Prompt, Action::Answer, Action::AnswerQuestion, Action::Interrupt];
            let action = next[random.index(next.len())];
            self.act(Planned { action, seed: random.next() });
        }
        self.fate = Fate::Whole;
        self.open = None;
    }

    /// Reads the log from its bytes and takes the session up.
    fn open_session(&mut self, random: &mut Random) {
        let (mut state, mut tip) = (SessionState::default(), Tip::START);
        // What is referred to later is what the log holds, also what was never told.
        (self.approvals, self.questions, self.changed) = (Vec::new(), Vec::new(), Vec::new());
        for stored in self.stored.clone() {
            let read = verify(tip, stored.header_bytes, stored.payload);
            let read = read.and_then(|(sealed, next)| sealed.event().map(|event| (event, next)));
            let Ok((Some(event), next)) = read else {
                return self.evidence.wrong.push(format!("the log cannot be read after {tip:?}"));
            };
            if let Err(error) = state.apply(&event) {
                return self.evidence.wrong.push(format!("the log cannot be folded: {error}"));
            }
            tip = next;
            self.notice(&event);
        }
        self.epoch += 1;
        let is_new = state.workspace.is_empty();
        self.open = Some(Open { state, epoch: Epoch(self.epoch), out: Vec::new(), stopped: Vec::new() });
        if is_new {
            drop(self.feed(Event::SessionCreated { workspace: "/w".to_owned(), title: None }));
        }
        let changes = is_new || random.one_in(3);
        if changes && !is_new {
            self.context = inputs::context(random);
        }
        // As the engine does: a context is logged only where it differs.
        let same = self.state().and_then(|state| state.context.as_deref()) == Some(&self.context);
        let context = (!same).then(|| Arc::new(self.context.clone()));
        drop(self.feed(Event::SessionOpened { host: "sim".to_owned(), epoch: Epoch(self.epoch), context }));
        if let Some(open) = &self.open {
            let opened = Opened::of(open.epoch, self.tip.sequence.0, &open.state);
            self.evidence.openings.push(opened);
        }
    }
}

/// The name under which a refusal is counted.
pub(crate) fn refused(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::StaleApproval(_) => "refused: stale approval",
        Refusal::WrongSubject(_) => "refused: wrong subject",
        Refusal::StaleQuestion(_) => "refused: stale question",
        Refusal::TurnRunning => "refused: turn running",
        Refusal::NotAChoice { .. } => "refused: not a choice",
        Refusal::StaleCall(_) => "refused: stale call",
        _ => "refused: other",
    }
}
