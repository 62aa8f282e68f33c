//! What can happen to a session, and how often each of it does.
//!
//! Promise: a plan follows from its seed alone. An action reads its own seed against the state it meets, so that
//! a plan with actions cut out of it is a plan as well.
//!
//! A new input of the core is one more variant here, its line in [`Action::WEIGHTS`], and one arm in each world.

use crate::random::Random;
use std::fmt;

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Something that is out comes back: a response, a report, a put, the end of a wait.
    Return,
    /// What was stopped comes back all the same.
    ReturnLate,
    /// Someone speaks.
    Prompt,
    /// A person answers an approval that waits.
    Answer,
    /// An approval is answered that needs no answer any more.
    AnswerAgain,
    /// An approval is answered that never was, or with what another one showed.
    AnswerForeign,
    /// A person answers a component's question.
    AnswerQuestion,
    /// A question is answered that needs no answer any more.
    AnswerQuestionAgain,
    /// A person stops the turn.
    Interrupt,
    /// A person gives a title.
    Rename,
    /// A person lends a capability.
    Grant,
    /// A person takes one back.
    Revoke,
    /// A person takes back what calls changed.
    Undo,
    /// Someone says something, whatever is under way: for now, for the next turn, or at once.
    Say,
    /// A message is taken back.
    Withdraw,
    /// A person sets what the session may spend.
    SetBudget,
    /// A person chooses a mode.
    ChooseMode,
    /// The modes there are become others, also under the same names.
    SwapModes,
    /// A person chooses a model.
    ChooseModel,
    /// A policy says something again, or another one that is not in force does.
    PolicyAgain,
    /// A hook wants or says something.
    Hook,
    /// A person answers a plan.
    AnswerPlan,
    /// A plan is answered that needs no answer any more.
    AnswerPlanAgain,
    /// A person takes back what was allowed for later calls, or its end comes.
    Forbid,
    /// A person gives or takes trust.
    Trust,
    /// A person looks at what ran by trust alone.
    Review,
    /// A person puts the session away, or takes it out.
    Archive,
    /// A session is made from this one at some event; both go on.
    Fork,
    /// A person goes back to some event.
    Rewind,
    /// The session is taken in from a file; both go on.
    Import,
    /// A checkpoint is kept.
    Checkpoint,
    /// Version control says something of the workspace.
    Observe,
    /// Somebody else changes a file.
    ChangeFile,
    /// The host is killed, at rest or in the middle of writing down or carrying out.
    Crash,
    /// The host closes the session in an orderly way.
    Close,
    /// A host opens the session, where none has.
    Open,
    /// Another host opens it while one has it.
    TakeOver,
    /// Nothing but time: what can run goes on a little.
    Run,
}

impl Action {
    /// How often each happens, as shares of their sum.
    pub const WEIGHTS: &[(Self, u64)] = &[
        (Self::Return, 560),
        (Self::ReturnLate, 20),
        (Self::Prompt, 120),
        (Self::Answer, 130),
        (Self::AnswerAgain, 15),
        (Self::AnswerForeign, 30),
        (Self::AnswerQuestion, 50),
        (Self::AnswerQuestionAgain, 15),
        (Self::Interrupt, 30),
        (Self::Rename, 6),
        (Self::Grant, 30),
        (Self::Revoke, 25),
        (Self::Undo, 30),
        (Self::Say, 60),
        (Self::Withdraw, 8),
        (Self::SetBudget, 12),
        (Self::ChooseMode, 25),
        (Self::SwapModes, 10),
        (Self::ChooseModel, 5),
        (Self::PolicyAgain, 15),
        (Self::Hook, 25),
        (Self::AnswerPlan, 30),
        (Self::AnswerPlanAgain, 6),
        (Self::Forbid, 8),
        (Self::Trust, 70),
        (Self::Review, 40),
        (Self::Archive, 3),
        (Self::Fork, 8),
        (Self::Rewind, 30),
        (Self::Import, 3),
        (Self::Checkpoint, 15),
        (Self::Observe, 8),
        (Self::ChangeFile, 40),
        (Self::Crash, 45),
        (Self::Close, 8),
        (Self::Open, 60),
        (Self::TakeOver, 15),
        (Self::Run, 30),
    ];

    /// What some plans are full of: what follows only from several rare things after each other comes up there.
    const LEANINGS: &[&[Self]] = &[
        &[Self::AnswerQuestion, Self::AnswerQuestionAgain, Self::AnswerPlan, Self::AnswerPlanAgain, Self::Crash],
        &[Self::Prompt, Self::Answer, Self::AnswerAgain, Self::AnswerForeign, Self::Interrupt],
        &[Self::Grant, Self::Revoke, Self::Rewind, Self::Forbid, Self::Answer],
        &[Self::Fork, Self::Import, Self::Checkpoint, Self::Rewind, Self::Crash, Self::Open],
        &[Self::Say, Self::Withdraw, Self::Interrupt, Self::Crash, Self::SetBudget],
        &[Self::ChooseMode, Self::SwapModes, Self::PolicyAgain, Self::Hook, Self::Rewind],
        &[Self::Trust, Self::Review, Self::Undo, Self::Answer, Self::ChangeFile],
        &[Self::Crash, Self::Close, Self::Open, Self::TakeOver, Self::Undo],
    ];

    fn weight(self, weight: u64, leaning: &[Self]) -> u64 {
        if leaning.contains(&self) { weight * LEANING_TIMES } else { weight }
    }

    fn draw(random: &mut Random, leaning: &[Self]) -> Self {
        let weights = || Self::WEIGHTS.iter().map(|(action, weight)| (*action, action.weight(*weight, leaning)));
        let mut rest = random.below(weights().map(|(_, weight)| weight).sum());
        for (action, weight) in weights() {
            match rest.checked_sub(weight) {
                Some(less) => rest = less,
                None => return action,
            }
        }
        Self::Return
    }
}

/// An action with the seed of its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// What happens.
    pub action: Action,
    /// Where its details come from.
    pub seed: u64,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:#018x}", self.action, self.seed)
    }
}

/// How much more often that comes to which a plan leans.
const LEANING_TIMES: u64 = 5;
/// One in so many plans leans to nothing.
const EVEN_ONE_IN: u64 = 3;
/// Actions of one plan at most.
const PLAN_ACTIONS_MAX: u64 = 120;

/// The plan of a seed: mostly short, so that many are played.
pub fn plan(seed: u64) -> Vec<Planned> {
    // Neighbouring seeds give plans that have nothing in common.
    let mut random = Random(seed.wrapping_mul(0xd129_0b26_8fdb_4a35) ^ 0x51e5_51a7_0000_0001);
    let most = if random.one_in(4) { PLAN_ACTIONS_MAX } else { PLAN_ACTIONS_MAX / 3 };
    let count = 1 + random.below(most);
    let leaning = random.pick(Action::LEANINGS).filter(|_| !random.one_in(EVEN_ONE_IN)).copied().unwrap_or_default();
    (0..count).map(|_| Planned { action: Action::draw(&mut random, leaning), seed: random.next() }).collect()
}
