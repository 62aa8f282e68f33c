//! What persons do to a session of the engine's world.

use super::view::View;
use super::{EngineWorld, Session};
use crate::random::Random;
use crate::simulation::action::Action;
use crate::simulation::core_world::refused;
use crate::simulation::evidence::Accepted;
use crate::simulation::inputs;
use harness_core::event::TurnLimits;
use harness_core::{ApprovalId, Digest, Grant, MessageId, PlanId, SessionState};
use harness_engine::{Selection, SessionError};

impl EngineWorld<'_> {
    fn view(&self, chosen: usize) -> Option<&View> {
        self.views.get(self.processes.get(chosen)?.ports.of)
    }

    fn state(&self, chosen: usize) -> Option<&SessionState> {
        self.view(chosen).map(View::state)
    }

    /// Lets a person speak to the session that a host plays.
    pub(super) fn hear(&mut self, action: Action, chosen: usize, random: &mut Random) {
        match action {
            Action::Prompt => self.prompt(chosen, random),
            Action::Answer => self.answer(chosen, random),
            Action::AnswerAgain => self.answer_again(chosen, random),
            Action::AnswerForeign => self.answer_foreign(chosen, random),
            Action::AnswerQuestion => self.answer_question(chosen, random),
            Action::AnswerQuestionAgain => self.answer_question_again(chosen, random),
            Action::AnswerPlan => self.answer_plan(chosen, random),
            Action::AnswerPlanAgain => self.answer_plan_again(chosen, random),
            Action::Undo => self.undo(chosen, random),
            Action::Say => self.say(chosen, random),
            Action::Withdraw => self.withdraw(chosen, random),
            Action::Interrupt => self.tell(chosen, None, |session| async move { session.interrupt().await }),
            Action::Forbid | Action::Trust | Action::Review => self.vouch(action, chosen, random),
            _ => self.set(action, chosen, random),
        }
    }

    /// Lets a person set what steers the session.
    fn set(&mut self, action: Action, chosen: usize, random: &mut Random) {
        match action {
            Action::Rename => {
                let title = "t".repeat(random.index(90));
                self.tell(chosen, None, |session| async move { session.rename(title).await });
            }
            Action::Archive => {
                let archived = random.one_in(2);
                self.tell(chosen, None, |session| async move { session.archive(archived).await });
            }
            Action::Grant => {
                let Some(grant) = inputs::grant(random) else { return };
                self.tell(chosen, None, |session| async move { session.grant(grant).await.map(drop) });
            }
            Action::Revoke => {
                let grants = self.state(chosen).map_or(&[][..], |state| &state.grants);
                let Some(grant) = random.pick(grants).map(Grant::id) else { return };
                self.tell(chosen, None, |session| async move { session.revoke(grant).await });
            }
            Action::SetBudget => {
                let budget = inputs::budget(random);
                self.tell(chosen, None, |session| async move { session.set_budget(budget).await });
            }
            Action::ChooseMode => {
                let mode = inputs::mode_name(random);
                self.tell(chosen, None, |session| async move { session.choose_mode(mode).await });
            }
            Action::SwapModes => {
                let modes = inputs::modes(random);
                self.tell(chosen, None, |session| async move { session.set_modes(modes).await });
            }
            Action::ChooseModel => {
                let (model, price) = (inputs::model(random), inputs::price(random));
                self.tell(chosen, None, |session| async move { session.choose_model(model, price).await });
            }
            Action::Observe => {
                let git = inputs::git(random);
                self.tell(chosen, None, |session| async move { session.observe_workspace(git).await });
            }
            // Policies and hooks are the hosts' own.
            _ => {}
        }
    }

    /// Nothing is out: a person goes on, in whatever way there is.
    pub(super) fn go_on(&mut self, chosen: usize, random: &mut Random) {
        match self.state(chosen) {
            Some(state) if !state.pending().is_empty() => self.answer(chosen, random),
            Some(state) if !state.questions().is_empty() => self.answer_question(chosen, random),
            Some(state) if !state.plans().is_empty() => self.answer_plan(chosen, random),
            Some(state) if state.turn.is_none() && random.one_in(4) => self.undo(chosen, random),
            _ => self.prompt(chosen, random),
        }
    }

    fn prompt(&mut self, chosen: usize, random: &mut Random) {
        self.prompts += 1;
        let text = format!("{} {}", inputs::prompt(random), self.prompts);
        let limits: TurnLimits = inputs::limits(random);
        let accepted = Some(Accepted::Prompt(text.clone()));
        self.tell(chosen, accepted, |session| async move { session.prompt(text, limits).await });
    }

    fn say(&mut self, chosen: usize, random: &mut Random) {
        self.prompts += 1;
        // Which id it gets only the answer says.
        let text = format!("said {}", self.prompts);
        let (delivery, limits) = (inputs::delivery(random), inputs::limits(random));
        let say = |session: Session| async move { session.say(text, delivery, limits).await };
        self.tell_and(chosen, say, |outside, of, result| match result {
            Ok(message) => {
                let accepted = Accepted::Message(message);
                outside.evidence.get_mut(of).into_iter().for_each(|it| it.accepted.push(accepted.clone()));
            }
            Err(SessionError::Refused(refusal)) => outside.reached.push(refused(&refusal)),
            Err(_) => {}
        });
    }

    fn withdraw(&mut self, chosen: usize, random: &mut Random) {
        let waiting = self.state(chosen).and_then(|state| random.pick(&state.messages)).map(|it| it.message);
        let message = waiting.unwrap_or(MessageId::from_bits(1));
        self.tell(chosen, None, |session| async move { session.withdraw(message).await });
    }

    fn vouch(&mut self, action: Action, chosen: usize, random: &mut Random) {
        let Some(state) = self.state(chosen) else { return };
        match action {
            Action::Forbid => {
                let Some(allowance) = random.pick(&state.allowances).map(|it| it.id()) else { return };
                self.tell(chosen, None, |session| async move { session.forbid(allowance).await });
            }
            Action::Review => {
                let Some(call) = state.unreviewed().next().map(|it| it.call) else { return };
                let accepted = !random.one_in(3);
                self.tell(chosen, None, |session| async move { session.review(call, accepted).await });
            }
            _ => {
                let Some(key) = inputs::trust_key(random, state) else { return };
                let level = inputs::trust_level(random, &key);
                let (is_reset, is_whole) = (random.one_in(5), random.one_in(2));
                self.tell(chosen, None, |session| async move {
                    match is_reset {
                        true => session.reset_trust((!is_whole).then_some(key)).await,
                        false => session.set_trust(key, level).await,
                    }
                });
            }
        }
    }

    pub(super) fn answer(&mut self, chosen: usize, random: &mut Random) {
        let Some(state) = self.state(chosen) else { return };
        let waiting: Vec<_> = state.pending().iter().map(|it| (it.approval, it.binds_to)).collect();
        let Some((approval, binds_to)) = random.pick(&waiting).copied() else { return };
        let answer = inputs::answer(random);
        let accepted = Some(Accepted::Approval(approval));
        self.tell(chosen, accepted, |session| async move { session.answer(approval, binds_to, answer).await });
    }

    fn answer_again(&mut self, chosen: usize, random: &mut Random) {
        let Some(view) = self.view(chosen) else { return };
        // What is over stays over, whoever is asked; what a policy is asked about may be asked about again.
        let is_over = |id: ApprovalId| view.state().asked(id).is_none() && view.state().judging().next().is_none();
        let stale: Vec<_> = view.approvals.iter().filter(|(id, _)| is_over(*id)).copied().collect();
        let Some((approval, binds_to)) = random.pick(&stale).copied() else { return };
        let answer = inputs::answer(random);
        let tell = |session: Session| async move { session.answer(approval, binds_to, answer).await };
        self.must_refuse(chosen, "an answer to what does not wait", tell);
    }

    fn answer_foreign(&mut self, chosen: usize, random: &mut Random) {
        let waiting = self.state(chosen).and_then(|state| state.pending().first().map(|it| it.approval));
        let unknown = ApprovalId::from_bits(u128::from(random.next()));
        let approval = waiting.filter(|_| !random.one_in(4)).unwrap_or(unknown);
        let answer = inputs::answer(random);
        let tell = |session: Session| async move { session.answer(approval, Digest::ZERO, answer).await };
        self.must_refuse(chosen, "an answer to something else", tell);
    }

    pub(super) fn answer_question(&mut self, chosen: usize, random: &mut Random) {
        let Some(state) = self.state(chosen) else { return };
        let waiting: Vec<_> = state.questions().iter().map(|it| (it.question, it.choices.to_vec())).collect();
        let Some((question, choices)) = random.pick(&waiting).cloned() else { return };
        let answer = inputs::reply(random, &choices);
        let accepted = Some(Accepted::Question(question));
        self.tell(chosen, accepted, |session| async move { session.answer_question(question, answer).await });
    }

    fn answer_question_again(&mut self, chosen: usize, random: &mut Random) {
        let Some(view) = self.view(chosen) else { return };
        let stale: Vec<_> = view.questions.iter().filter(|id| view.state().question(**id).is_none()).copied().collect();
        let Some(question) = random.pick(&stale).copied() else { return };
        let tell = |session: Session| async move { session.answer_question(question, None).await };
        self.must_refuse(chosen, "an answer to a question that is over", tell);
    }

    pub(super) fn answer_plan(&mut self, chosen: usize, random: &mut Random) {
        let Some(state) = self.state(chosen) else { return };
        let waiting: Vec<PlanId> = state.plans().iter().map(|it| it.plan).collect();
        let Some(plan) = random.pick(&waiting).copied() else { return };
        let answer = inputs::plan_answer(random);
        self.tell(chosen, Some(Accepted::Plan(plan)), |session| async move { session.answer_plan(plan, answer).await });
    }

    fn answer_plan_again(&mut self, chosen: usize, random: &mut Random) {
        let Some(view) = self.view(chosen) else { return };
        let stale: Vec<_> = view.plans.iter().filter(|id| view.state().plan(**id).is_none()).copied().collect();
        let Some(plan) = random.pick(&stale).copied() else { return };
        let answer = inputs::plan_answer(random);
        let tell = |session: Session| async move { session.answer_plan(plan, answer).await };
        self.must_refuse(chosen, "an answer to a plan that is over", tell);
    }

    fn undo(&mut self, chosen: usize, random: &mut Random) {
        let Some((id, turns)) = self.view(chosen).map(|view| (view.session, view.state().turns)) else { return };
        let Some(host) = self.processes.get(chosen).map(|process| process.host.clone()) else { return };
        let selection = match turns {
            0 => return,
            turns if random.one_in(2) => Selection::Turn(1 + random.below(u64::from(turns)) as u32),
            _ => Selection::All,
        };
        self.tell(chosen, None, |session| async move {
            if let Ok(plan) = host.plan_undo(id, selection).await {
                drop(session.undo(&plan).await);
            }
            Ok(())
        });
    }
}
