//! Tables of questions and answers, for the tests of modes.
//!
//! Promise: a case says only what matters; the rest is an everyday question about a staged tool. Every case is
//! checked, and a table without cases fails.

// A test says what went wrong by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::{
    Answer, BudgetLeft, Category, ChangeKind, CommandLine, Direction, Effects, History, Question, Redirection,
    SimpleCommand, StagedChange, Subject, Trust, Verdict,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// `read`, `edit`, `execute`, `network`, `other`.
    category: String,
    /// `staged`, `requesting`, `direct`.
    #[serde(default = "staged")]
    effects: String,
    /// Commands of words; `?` is a word that is not known.
    commands: Option<Vec<Vec<String>>>,
    /// Paths that the last command's output goes to.
    #[serde(default)]
    writes: Vec<String>,
    #[serde(default)]
    not_understood: bool,
    /// Kind and path of each staged change; without, the arguments are judged.
    staged: Option<Vec<(String, String)>>,
    /// As if so many more files were changed.
    #[serde(default)]
    more_files: usize,
    #[serde(default = "empty")]
    arguments: String,
    #[serde(default)]
    tainted: bool,
    #[serde(default = "supervised")]
    trust: String,
    /// `allow`, `ask`, `deny`, `abstain`.
    verdict: String,
    rule: String,
}

fn staged() -> String {
    "staged".to_owned()
}

fn empty() -> String {
    "{}".to_owned()
}

fn supervised() -> String {
    "supervised".to_owned()
}

fn one_of<T: Copy>(word: &str, of: &[(&str, T)]) -> T {
    of.iter().find(|(name, _)| *name == word).unwrap_or_else(|| panic!("`{word}` is no such word")).1
}

/// Checks a mode's answers against a table in TOML, and that its declaration is what a host takes.
pub fn check(table: &str, declaration: &str, judge: fn(&Question) -> Answer) {
    let table: Table = toml::from_str(table).unwrap();
    assert!(!table.case.is_empty());
    // Without an escape in it, so that text and JSON are the same.
    assert!(!declaration.contains('\\') && declaration.is_ascii());
    for (number, case) in table.case.iter().enumerate() {
        let question = question(case);
        let answer = judge(&question);
        let said = format!("case {}: {question:?}\n{answer:?}", number + 1);
        let verdict = one_of(
            &case.verdict,
            &[
                ("allow", Some(Verdict::Allow)),
                ("ask", Some(Verdict::Ask)),
                ("deny", Some(Verdict::Deny)),
                ("abstain", None),
            ],
        );
        assert!(answer.verdict == verdict && answer.rule == case.rule, "{said}");
        assert!((1..=48).contains(&answer.rule.len()), "{said}");
        assert!(answer.rule.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{said}");
        assert!((1..=1_024).contains(&answer.words.chars().count()), "{said}");
        assert_eq!(judge(&question), answer);
    }
}

fn question(case: &Case) -> Question {
    let known = |word: &String| (word != "?").then(|| word.clone());
    let written = |path: &String| Redirection { direction: Direction::Writes, path: known(path) };
    let mut commands: Vec<SimpleCommand> = case
        .commands
        .as_deref()
        .unwrap_or_default()
        .iter()
        .map(|words| SimpleCommand { words: words.iter().map(known).collect(), redirections: Vec::new() })
        .collect();
    if let Some(last) = commands.last_mut() {
        last.redirections = case.writes.iter().map(written).collect();
    }
    let kinds =
        [("created", ChangeKind::Created), ("modified", ChangeKind::Modified), ("deleted", ChangeKind::Deleted)];
    let change =
        |(kind, path): &(String, String)| StagedChange { path: path.clone(), kind: one_of(kind, &kinds), size: 1 };
    let more = (0..case.more_files).map(|number| (("modified").to_owned(), format!("more/{number}")));
    Question {
        tool: "tool".to_owned(),
        component: "component".to_owned(),
        category: one_of(
            &case.category,
            &[
                ("read", Category::Read),
                ("edit", Category::Edit),
                ("execute", Category::Execute),
                ("network", Category::Network),
                ("other", Category::Other),
            ],
        ),
        effects: one_of(
            &case.effects,
            &[("staged", Effects::Staged), ("requesting", Effects::Requesting), ("direct", Effects::Direct)],
        ),
        arguments: case.arguments.clone(),
        command_line: match &case.commands {
            _ if case.not_understood => CommandLine::NotUnderstood,
            None => CommandLine::None,
            Some(_) => CommandLine::Commands(commands),
        },
        subject: match &case.staged {
            None => Subject::Arguments,
            Some(staged) => Subject::Staged(staged.iter().cloned().chain(more).map(|it| change(&it)).collect()),
        },
        is_tainted: case.tainted,
        trust: one_of(
            &case.trust,
            &[
                ("supervised", Trust::Supervised),
                ("semi-autonomous", Trust::SemiAutonomous),
                ("autonomous", Trust::Autonomous),
            ],
        ),
        budget_left: BudgetLeft {
            tokens: None,
            cost_micro_usd: None,
            work_ms: None,
            fuel: None,
            calls: None,
            steps: None,
        },
        history: History { turn: 1, steps: 0, calls: 0, failed_calls: 0, denied_calls: 0 },
    }
}
