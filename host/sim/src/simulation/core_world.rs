//! The real core under a simulated engine: decide, write down, tell, carry out; killed between any two of these.
//!
//! Promise: one thread, no clock, no waiting: what happens follows from the plan alone, thousands of times a
//! second. The logs are the real ones in memory: sealed, chained, and read back from their bytes after each crash.
//!
//! Not here: the engine's own writer, leases, several hosts (`engine_world`).

mod branch;
mod persons;

use super::action::{Action, Planned};
use super::coverage::Coverage;
use super::evidence::{Evidence, Execution, Opened, Request, Told};
use super::inputs;
use crate::random::Random;
pub(crate) use branch::fold;
use branch::{Branch, Open, Work};
use harness_core::event::{Changes, ForkFiles};
use harness_core::item::AssistantPart;
use harness_core::{
    Command, Decision, Epoch, Event, Manifest, Refusal, Sequence, SessionId, SessionState, TimeMs, decide,
    decide_rewind,
};
use std::sync::Arc;

/// Returns after which a session that is left alone must have come to rest.
const REST_ACTIONS_MAX: usize = 6_000;
/// Sessions of one play: the first, and what is made from it.
const SESSIONS_MAX: usize = 3;
/// Questions to policies that are remembered to be answered again.
const QUESTIONS_AGAIN_MAX: usize = 8;

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

/// A session, its log and the host that has it open, if any; and the sessions that were made from it.
pub(crate) struct CoreWorld<'a> {
    /// The session that things happen to now.
    on: Branch,
    others: Vec<Branch>,
    fate: Fate,
    ids: Random,
    responses: u64,
    now_ms: i64,
    coverage: &'a mut Coverage,
}

impl<'a> CoreWorld<'a> {
    /// A new session.
    pub(crate) fn new(seed: u64, coverage: &'a mut Coverage) -> Self {
        let mut ids = Random(seed);
        let session = SessionId::from_bits(u128::from(ids.next()) << 64 | u128::from(ids.next()));
        let on = Branch::new(session, inputs::context(&mut ids));
        let (others, now_ms) = (Vec::new(), 1_700_000_000_000);
        let mut world = Self { on, others, fate: Fate::Whole, ids, responses: 0, now_ms, coverage };
        world.open_session(&mut Random(seed));
        world
    }

    /// Lets one thing happen.
    pub(crate) fn act(&mut self, planned: Planned) {
        let random = &mut Random(planned.seed);
        if let Some(other) = random.one_in(2).then(|| random.index(self.others.len()))
            && let Some(other) = self.others.get_mut(other)
        {
            std::mem::swap(&mut self.on, other);
        }
        let needs_none = matches!(planned.action, Action::Open | Action::TakeOver | Action::Fork | Action::Import);
        if self.on.open.is_none() && !needs_none {
            return;
        }
        match planned.action {
            Action::Return => self.give_back(random),
            Action::ReturnLate => self.give_back_late(random),
            Action::Crash => self.crash(random),
            Action::Close => self.on.open = None,
            Action::Open if self.on.open.is_none() => self.open_session(random),
            // One host after the other: two at once are for the engine.
            Action::TakeOver => {
                self.on.open = None;
                self.open_session(random);
            }
            Action::Fork => self.fork(random),
            Action::Import => self.import(random),
            Action::Rewind => self.rewind(random),
            Action::Checkpoint => {
                self.on.keep();
                self.coverage.reach("checkpoint kept");
            }
            // There are no files here: how a put goes is drawn.
            Action::Open | Action::Run | Action::ChangeFile => {}
            of_a_person => self.hear(of_a_person, random),
        }
    }

    /// Ends the play: opens each session if nobody has it, lets it come to rest if `rest` says so, and gives what
    /// was seen of each.
    pub(crate) fn end(mut self, seed: u64, rest: bool) -> Vec<Evidence> {
        let random = &mut Random(seed);
        for index in 0..=self.others.len() {
            if let Some(other) = index.checked_sub(1).and_then(|index| self.others.get_mut(index)) {
                std::mem::swap(&mut self.on, other);
            }
            if self.on.open.is_none() {
                self.open_session(random);
            }
            if rest {
                self.come_to_rest(random);
            }
        }
        let branches: Vec<Branch> = std::iter::once(self.on).chain(self.others).collect();
        let logs: Vec<_> = branches.iter().map(|branch| (branch.session, branch.stored.clone())).collect();
        branches.into_iter().map(|branch| branch.into_evidence(&logs)).collect()
    }

    fn come_to_rest(&mut self, random: &mut Random) {
        for _ in 0..REST_ACTIONS_MAX {
            let Some(open) = &self.on.open else { return };
            let state = &open.state;
            if state.turn.is_none() && state.undoing.is_none() {
                return self.coverage.reach("came to rest at the end");
            }
            match open.out.is_empty() {
                false => self.give_back(random),
                true if !state.questions().is_empty() => self.answer_question(random),
                true if !state.plans().is_empty() => self.answer_plan(random),
                true => self.answer(random),
            }
        }
        let state = self.on.open.as_ref().map(|open| &open.state.turn);
        let what = format!("left alone, it does not come to rest: {state:?}");
        self.on.wrong(what);
    }

    fn state(&self) -> Option<&SessionState> {
        self.on.state()
    }

    fn entropy(&mut self) -> String {
        format!("{:016x}{:016x}", self.ids.next(), self.ids.next())
    }

    fn bits(&mut self) -> u128 {
        u128::from(self.ids.next()) << 64 | u128::from(self.ids.next())
    }

    /// Takes an input: decides, writes down, tells, carries out, as far as fate lets it.
    fn feed(&mut self, input: Event) -> Result<(), Refusal> {
        self.settle(|state, session| decide(state, session, input))
    }

    fn settle(
        &mut self,
        decide: impl FnOnce(&mut SessionState, SessionId) -> Result<Decision, Refusal>,
    ) -> Result<(), Refusal> {
        let fate = std::mem::replace(&mut self.fate, Fate::Whole);
        let session = self.on.session;
        let Some(open) = &mut self.on.open else { return Ok(()) };
        let decision = match decide(&mut open.state, session) {
            Ok(decision) => decision,
            Err(Refusal::Inconsistent(why)) => {
                self.on.wrong(format!("BUG: {why}"));
                return Ok(());
            }
            Err(refusal) => {
                self.coverage.reach(refused(&refusal));
                return Err(refusal);
            }
        };
        if fate == Fate::Lost {
            self.on.open = None;
            return Ok(());
        }
        let epoch = open.epoch;
        if open.state.pending().len() > 1 {
            self.coverage.reach("several approvals waiting at once");
        }
        self.write(&decision.events);
        if fate == Fate::KeptUntold {
            self.on.open = None;
            return Ok(());
        }
        let first = self.on.tip.sequence.0 + 1 - decision.events.len() as u64;
        for (sequence, event) in (first..).zip(decision.events) {
            self.on.notice(&event);
            self.on.evidence.told.push(Told { sequence, epoch: Some(epoch), event: Arc::new(event) });
        }
        decision.commands.into_iter().for_each(|command| self.carry_out(command));
        Ok(())
    }

    fn write(&mut self, events: &[Event]) {
        self.now_ms += 1;
        let (ids, now) = (&mut self.ids, TimeMs(self.now_ms));
        let salt = || (u128::from(ids.next()) << 64 | u128::from(ids.next())).to_be_bytes();
        self.on.write(events, now, salt);
    }

    fn carry_out(&mut self, command: Command) {
        let after = self.on.tip.sequence.0;
        let Some(open) = &mut self.on.open else { return };
        match command {
            Command::CallModel => {
                self.on.evidence.requests.push(Request { items: open.state.history.clone() });
                open.out.push(Work::Model);
            }
            Command::Wait { .. } => open.out.push(Work::Wait),
            Command::RunCall { call, tool, resume, .. } => {
                let Some(spec) = open.state.tool(&tool).filter(|spec| !spec.is_of_session()).cloned() else {
                    self.on.wrong(format!("{call} runs `{tool}`, which there is not"));
                    return;
                };
                let round = inputs::round_of(resume.as_ref());
                self.on.evidence.executions.push(Execution { call, round, effects: spec.effects, after });
                open.out.push(Work::Call { call, spec, round });
            }
            Command::AskPolicy { question } => open.out.push(Work::Policy { question }),
            Command::PutChanges { call, .. } => {
                self.on.evidence.puts.push(call);
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
        let Some(open) = &mut self.on.open else { return };
        if open.out.is_empty() {
            return self.go_on(random);
        }
        let work = open.out.swap_remove(random.index(open.out.len()));
        if let Work::Policy { .. } = work {
            if open.stopped.len() < QUESTIONS_AGAIN_MAX {
                open.stopped.push(work.clone());
            }
            // Nobody may wait for it any more.
            let input = self.result_of(work, random);
            return drop(self.feed(input));
        }
        let input = self.result_of(work, random);
        if random.one_in(2) {
            self.think_ahead(&input, random);
        }
        if let Err(refusal) = self.feed(input) {
            self.on.wrong(format!("what was out was not waited for: {refusal}"));
        }
    }

    /// As the engine does: what the policy will be asked about is asked before it is judged.
    fn think_ahead(&mut self, input: &Event, random: &mut Random) {
        let Some(state) = self.state() else { return };
        let mut questions = Vec::new();
        match input {
            Event::ModelResponded { parts, .. } => {
                for part in parts {
                    let AssistantPart::ToolCall { tool, arguments, .. } = part else { continue };
                    let arguments: Arc<str> =
                        if arguments.trim().is_empty() { "{}".into() } else { arguments.as_str().into() };
                    questions.extend(state.policy_question(None, tool, &arguments, None));
                }
            }
            Event::CallReported { call, outcome, changes: Changes::Staged { manifest }, .. }
                if outcome.is_success() =>
            {
                if let Some(found) = state.turn.as_ref().and_then(|turn| turn.call(*call)) {
                    questions.extend(state.policy_question(Some(*call), &found.tool, &found.arguments, Some(manifest)));
                }
            }
            _ => {}
        }
        questions.truncate(harness_core::limits::ANSWERS_MAX);
        let answers: Vec<_> = questions.iter().map(|question| inputs::policy_answer(random, question)).collect();
        if !answers.is_empty() {
            self.coverage.reach("policy asked ahead");
            drop(self.feed(Event::PolicyAnswered { answers }));
        }
    }

    /// Nothing is out: a person goes on, in whatever way there is.
    fn go_on(&mut self, random: &mut Random) {
        match self.state() {
            Some(state) if !state.pending().is_empty() => self.answer(random),
            Some(state) if !state.questions().is_empty() => self.answer_question(random),
            Some(state) if !state.plans().is_empty() => self.answer_plan(random),
            Some(state) if !self.on.changed.is_empty() && state.turn.is_none() && random.one_in(4) => self.undo(random),
            _ => self.prompt(random),
        }
    }

    /// The result of a call that was stopped: nobody waits for it. That of a stopped request the engine drops.
    fn give_back_late(&mut self, random: &mut Random) {
        let Some(open) = &mut self.on.open else { return };
        let reports = |work: &Work| matches!(work, Work::Call { .. } | Work::Put { .. });
        let last = open.stopped.len().checked_sub(1);
        let Some(index) = open.stopped.iter().position(reports).or(last) else { return };
        let work = open.stopped.swap_remove(index);
        match work {
            Work::Model | Work::Wait => {}
            Work::Policy { .. } => {
                let input = self.result_of(work, random);
                drop(self.feed(input));
            }
            Work::Call { .. } | Work::Put { .. } => {
                let input = self.result_of(work, random);
                self.must_refuse(input, "late report");
            }
        }
    }

    fn result_of(&mut self, work: Work, random: &mut Random) -> Event {
        match work {
            Work::Model if random.one_in(5) => {
                Event::ModelFailed { entropy: self.entropy(), failure: inputs::failure(random) }
            }
            Work::Model => {
                self.responses += 1;
                let tools = self.state().and_then(|state| state.context.as_ref()).map(|context| context.tools.clone());
                let response = inputs::response(random, &tools.unwrap_or_default(), self.responses);
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
                let reported = inputs::report(random, &spec, round, &self.on.context.tools);
                let (manifest, _) = inputs::edits(random, |_| None);
                let changes = if spec.name == "read" { Changes::None } else { inputs::placed(spec.effects, manifest) };
                let inputs::Reported { outcome, usage, record } = reported;
                Event::CallReported { call, outcome, changes, usage, record }
            }
            Work::Put { call } => Event::ChangesPut { call, result: inputs::put(random) },
            Work::Policy { question } => {
                Event::PolicyAnswered { answers: vec![inputs::policy_answer(random, &question)] }
            }
        }
    }

    fn crash(&mut self, random: &mut Random) {
        if let Some(open) = &self.on.open {
            let out = |test: fn(&Work) -> bool| open.out.iter().any(test);
            let reached = [
                ("crash with a model request out", out(|it| matches!(it, Work::Model))),
                ("crash with a call running", out(|it| matches!(it, Work::Call { .. }))),
                ("crash with a put out", out(|it| matches!(it, Work::Put { .. }))),
                ("crash with a policy asked", out(|it| matches!(it, Work::Policy { .. }))),
                ("crash with an approval waiting", !open.state.pending().is_empty()),
                ("crash with a question waiting", !open.state.questions().is_empty()),
                ("crash with a plan waiting", !open.state.plans().is_empty()),
                ("crash with a message waiting", !open.state.messages.is_empty()),
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
            match random.index(9) {
                0..=2 => self.give_back(random),
                3 => self.hear(Action::Prompt, random),
                4 => self.hear(Action::Answer, random),
                5 => self.hear(Action::AnswerQuestion, random),
                6 => self.hear(Action::Say, random),
                7 => self.rewind(random),
                _ => self.hear(Action::Interrupt, random),
            }
        }
        self.fate = Fate::Whole;
        self.on.open = None;
    }

    /// Goes back to the end of some batch; now and then to where nothing is.
    fn rewind(&mut self, random: &mut Random) {
        let to = match random.pick(&self.on.ends) {
            Some(end) if !random.one_in(6) => *end,
            _ => random.below(3) * (self.on.tip.sequence.0 + 1),
        };
        let count = usize::try_from(to).unwrap_or(usize::MAX);
        let past = match self.on.events.get(..count) {
            Some(events) => match fold(events) {
                Ok(past) => past,
                Err(what) => return self.on.wrong(format!("the log cannot be folded up to {to}: {what}")),
            },
            None => SessionState::default(),
        };
        if past.turn.is_some() && self.state().is_some_and(|state| state.turn.is_none()) {
            self.coverage.reach("rewound into a turn");
        }
        drop(self.settle(|state, _| decide_rewind(state, Sequence(to), past)));
    }

    /// Makes a session that goes on from the end of some batch.
    fn fork(&mut self, random: &mut Random) {
        let Some(at) = random.pick(&self.on.ends).copied() else { return };
        let files = match random.below(3) {
            0 => ForkFiles::Copied { workspace: "/c".to_owned() },
            _ => ForkFiles::Shared,
        };
        let event = Event::SessionForked { origin: self.on.session, at: Sequence(at), title: "f".to_owned(), files };
        if self.begin_another(at, event, random) {
            self.coverage.reach("forked");
        }
    }

    /// Makes a session of what a file holds of this one.
    fn import(&mut self, random: &mut Random) {
        let at = self.on.tip.sequence;
        let event = Event::SessionImported { origin: self.on.session, at, workspace: "/i".to_owned() };
        if self.begin_another(at.0, event, random) {
            self.coverage.reach("imported");
        }
    }

    fn begin_another(&mut self, at: u64, event: Event, random: &mut Random) -> bool {
        if self.others.len() + 1 >= SESSIONS_MAX {
            return false;
        }
        let session = SessionId::from_bits(self.bits());
        let other = self.on.beginning(session, at);
        if other.state().is_none() && fold(&other.events).is_ok_and(|state| state.turn.is_some()) {
            self.coverage.reach("begun from within a turn");
        }
        let origin = std::mem::replace(&mut self.on, other);
        self.write(&[event]);
        self.others.push(origin);
        if random.one_in(2) {
            self.open_session(random);
        }
        true
    }

    /// Reads the log and takes the session up.
    fn open_session(&mut self, random: &mut Random) {
        // What is referred to later is what the log holds, also what was never told.
        (self.on.approvals, self.on.questions, self.on.plans, self.on.changed) = Default::default();
        let read = self.on.read().and_then(|(events, _)| {
            let folded = fold(&events)?;
            let kept = self.on.woken_from_checkpoint(&events)?;
            if kept.as_ref().is_some_and(|kept| *kept != folded) {
                return Err(format!("from the checkpoint {kept:?}, from the log {folded:?}"));
            }
            Ok((events, folded, kept))
        });
        let state = match read {
            Ok((events, folded, kept)) => {
                events.iter().for_each(|event| self.on.notice(event));
                if kept.is_some() {
                    self.coverage.reach("loaded from a checkpoint");
                }
                kept.unwrap_or(folded)
            }
            Err(what) => return self.on.wrong(what),
        };
        self.on.epoch += 1;
        let epoch = Epoch(self.on.epoch);
        let is_new = state.workspace.is_empty();
        let key = inputs::trust_key(random, &state);
        self.on.open = Some(Open { state, epoch, out: Vec::new(), stopped: Vec::new() });
        if is_new {
            drop(self.feed(Event::SessionCreated { workspace: "/w".to_owned(), title: None }));
        } else {
            if random.one_in(4) {
                drop(self.feed(Event::AllowancesCarried { allowances: inputs::carried_allowances(random) }));
            }
            if let Some(key) = key.filter(|_| random.one_in(4)) {
                drop(self.feed(Event::TrustCarried { records: vec![inputs::trust_record(random, key)] }));
            }
            if random.one_in(3) {
                self.on.context = inputs::context(random);
            }
        }
        // As the engine does: a context is logged only where it differs.
        let same = self.state().and_then(|state| state.context.as_deref()) == Some(&self.on.context);
        let context = (!same).then(|| Arc::new(self.on.context.clone()));
        drop(self.feed(Event::SessionOpened { host: "sim".to_owned(), epoch, context }));
        if let Some(open) = &self.on.open {
            let opened = Opened::of(open.epoch, self.on.tip.sequence.0, &open.state);
            self.on.evidence.openings.push(opened);
        }
    }

    fn reverse(manifests: &[(harness_core::CallId, Manifest)]) -> Manifest {
        let reverse = |change: &harness_core::Change| harness_core::Change {
            path: change.path.clone(),
            before: change.after.clone(),
            after: change.before.clone(),
        };
        Manifest::new(manifests.iter().flat_map(|(_, manifest)| manifest.entries()).map(reverse).collect())
    }
}

/// The name under which a refusal is counted.
pub(crate) fn refused(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::StaleApproval(_) => "refused: stale approval",
        Refusal::WrongSubject(_) => "refused: wrong subject",
        Refusal::StaleQuestion(_) => "refused: stale question",
        Refusal::StalePlan(_) => "refused: stale plan",
        Refusal::StaleMessage(_) => "refused: stale message",
        Refusal::TurnRunning => "refused: turn running",
        Refusal::NotAChoice { .. } => "refused: not a choice",
        Refusal::StaleCall(_) => "refused: stale call",
        Refusal::UnknownMode { .. } => "refused: unknown mode",
        Refusal::Answer(_) => "refused: answer",
        Refusal::Trust(_) => "refused: trust",
        Refusal::NoTurn => "refused: no turn",
        Refusal::NoEvent(_) => "refused: no event",
        _ => "refused: other",
    }
}
