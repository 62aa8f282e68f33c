//! From a policy's answers to the core's.
//!
//! Promise: what a policy says is measured, checked and cleaned before anybody reads it; what makes no sense is a
//! fault, and a fault of a judge denies.
//!
//! Not here: asking (`run`).

use super::declared::{is_mode_name, not_a_name};
use super::{Asked, FAULT_RULE, Said};
use crate::clean::clean;
use crate::contract::mode::harness::mode::types as wit;
use crate::host::progress::one_line;
use harness_core::VerdictKind;
use harness_core::mode::{HookWish, PolicyAnswer, PolicyQuestion};

/// A rule's id, in characters (wit/mode).
const RULE_CHARS_MAX: usize = 48;
/// Words for a person, in characters (wit/mode).
const WORDS_CHARS_MAX: usize = 1_024;
/// What broke, in characters: the words around it fit too.
const PROBLEM_CHARS_MAX: usize = 800;
/// Narrowed arguments, in bytes.
const NARROWED_BYTES_MAX: usize = 1 << 20;
/// A hook's note for the model, in characters (wit/mode).
const NOTE_CHARS_MAX: usize = 4_096;
/// A hook's reason for ending a turn, in characters.
const REASON_CHARS_MAX: usize = 500;

/// The answer to a question, whatever came of asking.
pub(super) fn judged(question: &PolicyQuestion, asked: Asked) -> PolicyAnswer {
    let Asked { said, fuel } = asked;
    let answer = match said {
        Ok(Said::Answer(answer)) => checked(question, answer, fuel),
        Ok(_) => Err("it answered another question".to_owned()),
        Err(problem) => Err(problem),
    };
    answer.unwrap_or_else(|problem| fault(question, problem, fuel))
}

/// The answer in place of a policy's own.
pub(super) fn fault(question: &PolicyQuestion, problem: String, fuel: u64) -> PolicyAnswer {
    let problem = one_line(problem, PROBLEM_CHARS_MAX);
    PolicyAnswer {
        subject: question.subject,
        policy: question.policy,
        verdict: Some(VerdictKind::Deny),
        rule: FAULT_RULE.to_owned(),
        words: format!("The policy of mode `{}` gave no answer that counts, which denies: {problem}.", question.mode),
        narrowed: None,
        fuel,
    }
}

fn checked(question: &PolicyQuestion, answer: wit::Answer, fuel: u64) -> Result<PolicyAnswer, String> {
    let wit::Answer { verdict, rule, words, narrowed } = answer;
    let is_rule_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=RULE_CHARS_MAX).contains(&rule.len()) || !rule.bytes().all(is_rule_byte) {
        let rule = one_line(rule, RULE_CHARS_MAX);
        return Err(format!("its rule `{rule}` is no id of 1 to {RULE_CHARS_MAX} of the characters a-z 0-9 -"));
    }
    if rule == FAULT_RULE {
        return Err(format!("its rule is `{FAULT_RULE}`, which is the host's own word"));
    }
    let verdict = verdict.map(|verdict| match verdict {
        wit::Verdict::Allow => VerdictKind::Allow,
        wit::Verdict::Ask => VerdictKind::Ask,
        wit::Verdict::Deny => VerdictKind::Deny,
    });
    // Nothing is run of what is denied.
    let narrowed = narrowed.filter(|_| verdict != Some(VerdictKind::Deny));
    if let Some(narrowed) = &narrowed {
        check_narrowed(question, narrowed)?;
    }
    Ok(PolicyAnswer {
        subject: question.subject,
        policy: question.policy,
        verdict,
        rule,
        words: one_line(words, WORDS_CHARS_MAX),
        narrowed,
        fuel,
    })
}

fn check_narrowed(question: &PolicyQuestion, narrowed: &str) -> Result<(), String> {
    if question.staged.is_some() {
        return Err("it narrows arguments of a call that has run".to_owned());
    }
    if narrowed.len() > NARROWED_BYTES_MAX {
        return Err(format!("its narrowed arguments have {} bytes, more than {NARROWED_BYTES_MAX}", narrowed.len()));
    }
    match serde_json::from_str::<serde_json::Value>(narrowed) {
        Ok(value) if value.is_object() => Ok(()),
        Ok(_) => Err("its narrowed arguments are no JSON object".to_owned()),
        Err(error) => Err(format!("its narrowed arguments are no JSON: {error}")),
    }
}

/// What a hook wants, and its note for the model; or what broke.
pub(super) fn hooked(said: Result<Said, String>) -> Result<(HookWish, String), String> {
    let Said::Hook(wit::HookAnswer { wish, note }) = said? else {
        return Err("it answered another question".to_owned());
    };
    let wish = match wish {
        wit::Wish::GoOn => HookWish::GoOn,
        wit::Wish::Stop(reason) => HookWish::Stop { reason: one_line(reason, REASON_CHARS_MAX) },
        wit::Wish::Mode(mode) if is_mode_name(&mode) => HookWish::Mode { mode },
        wit::Wish::Mode(mode) => return Err(not_a_name(&mode)),
    };
    let end = note.char_indices().nth(NOTE_CHARS_MAX).map_or(note.len(), |(at, _)| at);
    Ok((wish, clean(note.get(..end).unwrap_or_default().to_owned()).trim().to_owned()))
}

/// A hook's problem as people read it.
pub(super) fn problem(problem: String) -> String {
    one_line(problem, PROBLEM_CHARS_MAX)
}
