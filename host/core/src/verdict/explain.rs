//! A verdict with everything that led to it, as data.
//!
//! Promise: the same judgement as the real one, since it is made from it.
//!
//! Not here: words and layout for people (harness-host).

use super::{Hearing, RuleLayer, Verdict, VerdictKind, Voice, is_persons_allow};
use crate::pattern::Arguments;
use serde::Serialize;

/// A verdict, and why it is this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The verdict.
    pub verdict: Verdict,
    /// Every voice that spoke.
    pub heard: Vec<Heard>,
    /// The user's rules that said nothing.
    pub silent: Vec<SilentRule>,
    /// Why the line of shell among the arguments was not understood, where a pattern had to read it and it was not.
    pub not_understood: Option<String>,
}

/// A voice that spoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// What it said.
    pub said: Verdict,
    /// What came of it.
    pub standing: Standing,
    /// Whose configuration it is from, for a rule where that is known.
    pub layer: Option<RuleLayer>,
}

/// What came of a voice's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is the verdict.
    Wins,
    /// It says the same as the verdict.
    Agrees,
    /// An ask that a person answered before, for this too.
    Answered,
    /// A mode's ask, where a person allowed it.
    AllowedByPerson,
    /// A stronger voice said otherwise.
    Outranked,
}

/// A rule that said nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SilentRule {
    /// The rule's id.
    pub rule: String,
    /// Why.
    pub why: Silence,
}

/// Why a rule says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// It is about another tool or category.
    OtherTool,
    /// It is about other arguments, or does not cover all of them.
    OtherArguments,
    /// It is about changes, and nothing changes yet.
    NothingChangesYet,
}

pub(super) fn explain(hearing: &Hearing<'_>) -> Explanation {
    let (verdict, voices) = hearing.decide();
    let allowed_by_person = voices.iter().any(is_persons_allow);
    let mut is_found = false;
    let heard = voices.into_iter().map(|said| {
        let wins = !is_found && said == verdict;
        is_found |= wins;
        let standing = if wins {
            Standing::Wins
        } else if said.kind == verdict.kind {
            Standing::Agrees
        } else if said.kind == VerdictKind::Ask && verdict.kind == VerdictKind::Allow && said.voice == Voice::User {
            Standing::Answered
        } else if said.kind == VerdictKind::Ask && said.voice == Voice::Mode && allowed_by_person {
            Standing::AllowedByPerson
        } else {
            Standing::Outranked
        };
        let rule = hearing.judge.rules.iter().find(|rule| said.voice == Voice::User && rule.id == said.rule);
        Heard { layer: rule.and_then(|rule| rule.layer), said, standing }
    });
    let heard = heard.collect();
    let silent = hearing.judge.rules.iter().filter_map(|rule| {
        let why = hearing.silence(rule)?;
        Some(SilentRule { rule: rule.id.clone(), why })
    });
    let line = hearing.arguments.as_ref().and_then(Arguments::line);
    Explanation {
        verdict,
        heard,
        silent: silent.collect(),
        not_understood: line.and_then(|line| line.as_ref().err()).map(ToString::to_string),
    }
}
