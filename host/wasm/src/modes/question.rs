//! From the core's questions and occasions to the contract's.
//!
//! Promise: nothing is added and nothing is left out silently: what is too large to be asked is not asked.
//!
//! Not here: answers.

use crate::contract::mode::harness::mode::types as wit;
use crate::limits::as_size;
use harness_core::change::{Change, ChangeKind, FileState};
use harness_core::command_line::{CommandLine, NotUnderstood, Redirection, SimpleCommand, Word, is_own_variable};
use harness_core::item::{Category, Effects};
use harness_core::mode::{BudgetLeft, HistorySummary, HookPoint, PolicyQuestion, TrustLevel};
use harness_engine::ports::HookOccasion;
use serde_json::Value;

/// An occasion's details, in bytes (wit/mode).
const DETAILS_BYTES_MAX: usize = 64 << 10;
/// Elements of a list in an occasion's details.
const DETAILS_LIST_MAX: usize = 256;
/// To how many characters texts in an occasion's details are cut, the longest cut that fits first.
const DETAILS_CUTS_CHARS: [usize; 4] = [8_192, 1_024, 128, 32];
/// What one change takes beside its path, in bytes.
const CHANGE_BYTES: usize = 32;

/// The question, or words for why it cannot be asked.
pub(super) fn question(asked: &PolicyQuestion, question_bytes_max: u64) -> Result<wit::Question, String> {
    let changes = asked.staged.as_ref().map(|manifest| manifest.entries()).unwrap_or_default();
    let changes_bytes = changes.iter().map(|change| change.path.len().saturating_add(CHANGE_BYTES)).sum::<usize>();
    let bytes = [asked.tool.len(), asked.component.len(), asked.arguments.len(), changes_bytes].iter().sum::<usize>();
    if bytes > as_size(question_bytes_max) {
        return Err(format!("the call has {bytes} bytes, more than the {question_bytes_max} that can be judged"));
    }
    Ok(wit::Question {
        tool: asked.tool.clone(),
        component: asked.component.clone(),
        category: category(asked.category),
        effects: effects(asked.effects),
        arguments: asked.arguments.to_string(),
        command_line: command_line(asked.command_line.as_ref()),
        subject: match &asked.staged {
            None => wit::Subject::Arguments,
            Some(_) => wit::Subject::Staged(changes.iter().map(change).collect()),
        },
        is_tainted: asked.is_tainted,
        trust: trust(asked.trust),
        budget_left: budget_left(&asked.budget_left),
        history: history(&asked.history),
    })
}

/// The occasion, or words for why nobody can be told of it.
pub(super) fn occasion(told: &HookOccasion) -> Result<wit::Occasion, String> {
    Ok(wit::Occasion {
        point: point(told.point),
        mode: told.mode.clone(),
        details: details(&told.details)?,
        history: history(&told.history),
    })
}

/// As JSON of the size that the contract allows.
fn details(details: &Value) -> Result<String, String> {
    let whole = details.to_string();
    if whole.len() <= DETAILS_BYTES_MAX {
        return Ok(whole);
    }
    let cut = DETAILS_CUTS_CHARS.into_iter().map(|chars_max| cut(details, chars_max).to_string());
    cut.into_iter()
        .find(|text| text.len() <= DETAILS_BYTES_MAX)
        .ok_or_else(|| format!("what happened takes more than {DETAILS_BYTES_MAX} bytes to tell, also when it is cut"))
}

/// With shorter texts and lists. As deep as the value, whose depth its parser bounds.
fn cut(value: &Value, chars_max: usize) -> Value {
    match value {
        Value::String(text) => {
            let end = text.char_indices().nth(chars_max).map(|(at, _)| at);
            Value::String(end.and_then(|end| text.get(..end)).map_or_else(|| text.clone(), |text| format!("{text}…")))
        }
        Value::Array(values) => values.iter().take(DETAILS_LIST_MAX).map(|value| cut(value, chars_max)).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), cut(value, chars_max))).collect(),
        other => other.clone(),
    }
}

fn command_line(line: Option<&Result<CommandLine, NotUnderstood>>) -> wit::CommandLine {
    match line {
        None => wit::CommandLine::None,
        Some(Err(NotUnderstood { .. })) => wit::CommandLine::NotUnderstood,
        Some(Ok(line)) => wit::CommandLine::Commands(line.commands.iter().map(simple_command).collect()),
    }
}

fn simple_command(command: &SimpleCommand) -> wit::SimpleCommand {
    let known = |word: &Word| word.known().map(str::to_owned);
    let redirection = |it: &Redirection| wit::Redirection {
        direction: if it.writes { wit::Direction::Writes } else { wit::Direction::Reads },
        path: known(&it.path),
    };
    // Under variables that programs look at, the first word does not say what runs.
    let steers = command.assignments.iter().any(|it| !is_own_variable(&it.name));
    let words = steers.then_some(None).into_iter().chain(command.words.iter().map(known)).collect();
    wit::SimpleCommand { words, redirections: command.redirections.iter().map(redirection).collect() }
}

fn change(change: &Change) -> wit::StagedChange {
    wit::StagedChange {
        path: change.path.clone(),
        kind: match change.kind() {
            ChangeKind::Created => wit::ChangeKind::Created,
            ChangeKind::Modified => wit::ChangeKind::Modified,
            ChangeKind::Deleted => wit::ChangeKind::Deleted,
        },
        size: change.after.as_ref().and_then(FileState::content).map_or(0, |(_, bytes)| bytes),
    }
}

const fn category(category: Category) -> wit::Category {
    match category {
        Category::Read => wit::Category::Read,
        Category::Edit => wit::Category::Edit,
        Category::Execute => wit::Category::Execute,
        Category::Network => wit::Category::Network,
        Category::Other => wit::Category::Other,
    }
}

const fn effects(effects: Effects) -> wit::Effects {
    match effects {
        Effects::Staged => wit::Effects::Staged,
        Effects::Requesting => wit::Effects::Requesting,
        Effects::Direct => wit::Effects::Direct,
    }
}

const fn trust(trust: TrustLevel) -> wit::Trust {
    match trust {
        TrustLevel::Supervised => wit::Trust::Supervised,
        TrustLevel::SemiAutonomous => wit::Trust::SemiAutonomous,
        TrustLevel::Autonomous => wit::Trust::Autonomous,
    }
}

const fn budget_left(left: &BudgetLeft) -> wit::BudgetLeft {
    let BudgetLeft { tokens, cost_micro_usd, work_ms, fuel, calls, steps } = *left;
    wit::BudgetLeft { tokens, cost_micro_usd, work_ms, fuel, calls, steps }
}

const fn history(summary: &HistorySummary) -> wit::History {
    let HistorySummary { turn, steps, calls, failed_calls, denied_calls } = *summary;
    wit::History { turn, steps, calls, failed_calls, denied_calls }
}

const fn point(point: HookPoint) -> wit::HookPoint {
    match point {
        HookPoint::SessionStart => wit::HookPoint::SessionStart,
        HookPoint::SessionEnd => wit::HookPoint::SessionEnd,
        HookPoint::Prompt => wit::HookPoint::Prompt,
        HookPoint::BeforeStep => wit::HookPoint::BeforeStep,
        HookPoint::AfterStep => wit::HookPoint::AfterStep,
        HookPoint::BeforeCall => wit::HookPoint::BeforeCall,
        HookPoint::AfterCall => wit::HookPoint::AfterCall,
        HookPoint::BeforeCompaction => wit::HookPoint::BeforeCompaction,
        HookPoint::AfterCompaction => wit::HookPoint::AfterCompaction,
        HookPoint::Stop => wit::HookPoint::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn details_are_cut_until_they_fit() {
        let small = json!({"text": "hi"});
        assert_eq!(details(&small).unwrap(), r#"{"text":"hi"}"#);
        let long = json!({"text": "ä".repeat(100_000), "tools": vec!["x".repeat(1_000); 300]});
        let cut: Value = serde_json::from_str(&details(&long).unwrap()).unwrap();
        assert!(cut["text"].as_str().unwrap().ends_with('…') && cut["tools"].as_array().unwrap().len() == 256);
        let fields: serde_json::Map<_, _> = (0..20_000).map(|it| (it.to_string(), json!(1))).collect();
        assert!(details(&Value::Object(fields)).unwrap_err().contains("65536"));
    }
}
