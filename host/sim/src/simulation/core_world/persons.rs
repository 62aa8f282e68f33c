//! What persons, policies and hooks do to a session of the core's world.

use super::{CoreWorld, Work};
use crate::random::Random;
use crate::simulation::action::Action;
use crate::simulation::inputs;
use harness_core::event::Answer;
use harness_core::{ApprovalId, CallId, Digest, Event, Grant, Manifest, MessageId, PlanId, QuestionId, Refusal};

impl CoreWorld<'_> {
    /// Lets a person, a policy or a hook speak.
    pub(super) fn hear(&mut self, action: Action, random: &mut Random) {
        let input = match action {
            Action::Prompt => return self.prompt(random),
            Action::Answer => return self.answer(random),
            Action::AnswerAgain => return self.answer_again(random),
            Action::AnswerForeign => return self.answer_foreign(random),
            Action::AnswerQuestion => return self.answer_question(random),
            Action::AnswerQuestionAgain => return self.answer_question_again(random),
            Action::AnswerPlan => return self.answer_plan(random),
            Action::AnswerPlanAgain => return self.answer_plan_again(random),
            Action::Undo => return self.undo(random),
            Action::Say => return self.say(random),
            Action::Interrupt => Some(Event::InterruptRequested),
            Action::Rename => Some(Event::SessionRenamed { title: "t".repeat(random.index(90)) }),
            Action::Archive => Some(Event::SessionArchived { archived: random.one_in(2) }),
            Action::Grant => inputs::grant(random).map(|grant| Event::GrantGiven { grant }),
            Action::Revoke => {
                let grants = self.state().map_or(&[][..], |state| &state.grants);
                random.pick(grants).map(|grant| Event::GrantRevoked { grant: Grant::id(grant) })
            }
            Action::Withdraw => {
                let waiting = self.state().and_then(|state| random.pick(&state.messages)).map(|it| it.message);
                Some(Event::MessageWithdrawn { message: waiting.unwrap_or(MessageId::from_bits(1)) })
            }
            Action::SetBudget => Some(Event::BudgetSet { budget: inputs::budget(random) }),
            Action::ChooseMode => Some(Event::ModeChosen { mode: inputs::mode_name(random) }),
            Action::SwapModes => Some(Event::ModesChanged { modes: inputs::modes(random) }),
            Action::ChooseModel => {
                Some(Event::ModelChosen { model: inputs::model(random), price: inputs::price(random) })
            }
            Action::Observe => Some(Event::WorkspaceObserved { git: inputs::git(random) }),
            Action::PolicyAgain => self.policy_again(random),
            Action::Hook => {
                let answers = (0..1 + random.below(2)).map(|_| inputs::hook_answer(random)).collect();
                Some(Event::HooksAnswered { point: inputs::hook_point(random), call: None, answers })
            }
            Action::Forbid => self.forbid(random),
            Action::Trust => self.trust(random),
            Action::Review => {
                let call = self.state().and_then(|state| state.unreviewed().next()).map(|it| it.call);
                call.map(|call| Event::WorkReviewed { call, accepted: !random.one_in(3) })
            }
            _ => None,
        };
        if let Some(input) = input {
            drop(self.feed(input));
        }
    }

    pub(super) fn prompt(&mut self, random: &mut Random) {
        let (entropy, text, limits) = (self.entropy(), inputs::prompt(random), inputs::limits(random));
        drop(self.feed(Event::PromptReceived { entropy, text, limits }));
    }

    fn say(&mut self, random: &mut Random) {
        let message = MessageId::from_bits(self.bits());
        let (text, delivery, limits) = (format!("message {message}"), inputs::delivery(random), inputs::limits(random));
        if let Err(refusal) = self.feed(Event::MessageReceived { message, text, delivery, limits })
            && !matches!(refusal, Refusal::TooManyMessages)
        {
            self.on.wrong(format!("a message was refused: {refusal}"));
        }
    }

    pub(super) fn answer(&mut self, random: &mut Random) {
        let waiting = self.state().map_or_else(Vec::new, |state| {
            state.pending().iter().map(|pending| (pending.approval, pending.binds_to)).collect()
        });
        let Some((approval, binds_to)) = random.pick(&waiting).copied() else { return };
        let answer = inputs::answer(random);
        let may_be_refused = matches!(answer, Answer::Allow { .. } | Answer::Edited { .. });
        match self.feed(Event::ApprovalAnswered { approval, binds_to, answer }) {
            Err(Refusal::Answer(_) | Refusal::TooManyAllowances) if may_be_refused => {}
            Err(refusal) => self.on.wrong(format!("an answer that was waited for was refused: {refusal}")),
            Ok(()) => {}
        }
    }

    fn answer_again(&mut self, random: &mut Random) {
        let waits = |id: ApprovalId| self.state().is_some_and(|state| state.asked(id).is_some());
        let stale: Vec<_> = self.on.approvals.iter().filter(|(id, _)| !waits(*id)).copied().collect();
        let Some((approval, binds_to)) = random.pick(&stale).copied() else { return };
        let answer = inputs::answer(random);
        self.must_refuse(Event::ApprovalAnswered { approval, binds_to, answer }, "answer to what does not wait");
    }

    fn answer_foreign(&mut self, random: &mut Random) {
        let waiting = self.state().and_then(|state| state.pending().first().map(|it| (it.approval, it.binds_to)));
        let (approval, binds_to) = match (waiting, random.one_in(4)) {
            (Some((approval, shown)), false) => {
                let other = self.on.approvals.iter().rev().map(|(_, digest)| *digest).find(|digest| *digest != shown);
                (approval, other.unwrap_or(Digest::ZERO))
            }
            _ => (ApprovalId::from_bits(u128::from(random.next())), Digest::ZERO),
        };
        let answer = inputs::answer(random);
        self.must_refuse(Event::ApprovalAnswered { approval, binds_to, answer }, "answer to something else");
    }

    pub(super) fn answer_question(&mut self, random: &mut Random) {
        let questions = self.state().map_or_else(Vec::new, |state| {
            state.questions().iter().map(|it| (it.question, it.choices.to_vec())).collect()
        });
        let Some((question, choices)) = random.pick(&questions) else { return };
        let answer = inputs::reply(random, choices);
        drop(self.feed(Event::QuestionAnswered { question: *question, answer }));
    }

    fn answer_question_again(&mut self, random: &mut Random) {
        let waits = |id: QuestionId| self.state().is_some_and(|state| state.question(id).is_some());
        let stale: Vec<_> = self.on.questions.iter().filter(|id| !waits(**id)).copied().collect();
        let Some(question) = random.pick(&stale).copied() else { return };
        self.must_refuse(Event::QuestionAnswered { question, answer: None }, "answer to a question that is over");
    }

    pub(super) fn answer_plan(&mut self, random: &mut Random) {
        let plans: Vec<PlanId> =
            self.state().map_or_else(Vec::new, |state| state.plans().iter().map(|it| it.plan).collect());
        let Some(plan) = random.pick(&plans).copied() else { return };
        let answer = inputs::plan_answer(random);
        match self.feed(Event::PlanAnswered { plan, answer }) {
            Ok(()) | Err(Refusal::UnknownMode { .. }) => {}
            Err(refusal) => self.on.wrong(format!("an answer to a plan that waits was refused: {refusal}")),
        }
    }

    fn answer_plan_again(&mut self, random: &mut Random) {
        let waits = |id: PlanId| self.state().is_some_and(|state| state.plan(id).is_some());
        let stale: Vec<_> = self.on.plans.iter().filter(|id| !waits(**id)).copied().collect();
        let Some(plan) = random.pick(&stale).copied() else { return };
        let answer = inputs::plan_answer(random);
        self.must_refuse(Event::PlanAnswered { plan, answer }, "answer to a plan that is over");
    }

    /// A policy speaks again about what it was asked about before, or one that is not in force speaks.
    fn policy_again(&mut self, random: &mut Random) -> Option<Event> {
        let open = self.on.open.as_ref()?;
        let asked = open.out.iter().chain(&open.stopped).filter_map(|work| match work {
            Work::Policy { question } => Some(question),
            Work::Model | Work::Wait | Work::Call { .. } | Work::Put { .. } => None,
        });
        let asked: Vec<_> = asked.collect();
        let question = random.pick(&asked)?;
        let mut answer = inputs::policy_answer(random, question);
        if random.one_in(3) {
            answer.policy = Digest::of(b"another policy");
            self.coverage.reach("policy answered that is not in force");
        }
        Some(Event::PolicyAnswered { answers: vec![answer] })
    }

    fn forbid(&mut self, random: &mut Random) -> Option<Event> {
        let allowance = random.pick(&self.state()?.allowances)?.id();
        Some(Event::AllowanceRevoked { allowance, expired: random.one_in(2) })
    }

    fn trust(&mut self, random: &mut Random) -> Option<Event> {
        let key = inputs::trust_key(random, self.state()?)?;
        Some(match random.below(5) {
            0 => Event::TrustReset { key: random.one_in(2).then_some(key) },
            _ => Event::TrustSet { level: inputs::trust_level(random, &key), key },
        })
    }

    /// Feeds what must be refused and must change nothing.
    pub(super) fn must_refuse(&mut self, input: Event, what: &str) {
        let Some(before) = self.state().cloned() else { return };
        let fed = self.feed(input);
        if fed.is_ok() {
            self.on.wrong(format!("{what} was taken"));
        } else if self.state() != Some(&before) {
            self.on.wrong(format!("{what} was refused and changed something"));
        }
    }

    pub(super) fn undo(&mut self, random: &mut Random) {
        let count = 1 + random.index(self.on.changed.len());
        let of: Vec<(CallId, Manifest)> = self.on.changed.iter().rev().take(count).cloned().collect();
        let manifest = Self::reverse(&of);
        let undo = CallId::from_bits(u128::from(self.ids.next()));
        let of = of.into_iter().map(|(call, _)| call).collect();
        drop(self.feed(Event::UndoRequested { undo, of, manifest }));
    }
}
