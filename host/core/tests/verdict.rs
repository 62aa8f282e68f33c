//! The verdict's truth table: every combination of voices against an oracle written from the order in
//! the design, not from the code: any deny > a boundary's ask > a user's ask that no allowance
//! answered > any allow > the default.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use harness_core::change::{Change, FileState};
use harness_core::item::{Category, Effects};
use harness_core::verdict::{Allowance, Judge, Rule, Subject, Voice};
use harness_core::{ApproveMode, Digest, Manifest, ToolSpec, VerdictKind};

const CATEGORIES: [Category; 5] =
    [Category::Read, Category::Edit, Category::Execute, Category::Network, Category::Other];
const MODES: [ApproveMode; 4] = [ApproveMode::None, ApproveMode::Ask, ApproveMode::Edits, ApproveMode::All];

#[derive(Debug, Clone, Copy)]
enum Judged {
    Arguments,
    Staged { host_file: bool, git_file: bool, other_file: bool },
}

#[derive(Debug, Clone, Copy)]
struct Case {
    judged: Judged,
    /// Which of the user's rules exist.
    allow: bool,
    ask: bool,
    deny: bool,
    /// Which allowances exist: made from the rule that asks, from another rule, for another tool.
    from_the_ask: bool,
    from_another: bool,
    for_another_tool: bool,
    mode: ApproveMode,
    category: Category,
    effects: Effects,
}

fn cases() -> Vec<Case> {
    let flags = || [false, true];
    let mut subjects = vec![Judged::Arguments];
    for bits in 0..8 {
        let (host_file, git_file, other_file) = (bits & 1 > 0, bits & 2 > 0, bits & 4 > 0);
        subjects.push(Judged::Staged { host_file, git_file, other_file });
    }
    let mut cases = Vec::new();
    for judged in subjects {
        for bits in 0..64 {
            let bit = |n: u32| flags()[(bits >> n & 1) as usize];
            for mode in MODES {
                for category in CATEGORIES {
                    for effects in [Effects::Staged, Effects::Requesting, Effects::Direct] {
                        cases.push(Case {
                            judged,
                            allow: bit(0),
                            ask: bit(1),
                            deny: bit(2),
                            from_the_ask: bit(3),
                            from_another: bit(4),
                            for_another_tool: bit(5),
                            mode,
                            category,
                            effects,
                        });
                    }
                }
            }
        }
    }
    cases
}

/// What the design says.
fn oracle(case: Case) -> (VerdictKind, &'static [Voice]) {
    let (host_file, git_file, other_file) = match case.judged {
        Judged::Staged { host_file, git_file, other_file } => (host_file, git_file, other_file),
        Judged::Arguments => (false, false, false),
    };
    // Whether something would change if it went on now: a tool with staged effects only looks until
    // its changes are applied, and requests are judged when they are made.
    let changes_now = match case.judged {
        Judged::Arguments => case.effects == Effects::Direct,
        Judged::Staged { .. } => host_file || git_file || other_file,
    };
    let before_it_runs = matches!(case.judged, Judged::Arguments);
    let refuses_changes = case.mode == ApproveMode::None && (changes_now || case.category != Category::Read);
    // A user's ask is put before the call runs; for an edit, with its changes to look at.
    let user_asks = case.ask && (changes_now || before_it_runs && case.category != Category::Edit);
    let mode_allows = match case.mode {
        ApproveMode::All => true,
        ApproveMode::Edits => changes_now && case.effects != Effects::Direct,
        ApproveMode::None | ApproveMode::Ask => false,
    };
    if host_file {
        (VerdictKind::Deny, &[Voice::Boundary])
    } else if case.deny || refuses_changes {
        (VerdictKind::Deny, &[Voice::User])
    } else if git_file {
        (VerdictKind::Ask, &[Voice::Boundary])
    } else if user_asks && !case.from_the_ask {
        (VerdictKind::Ask, &[Voice::User])
    } else if case.allow || mode_allows || case.from_the_ask || case.from_another {
        (VerdictKind::Allow, &[Voice::User, Voice::Allowance, Voice::Default])
    } else if changes_now {
        (VerdictKind::Ask, &[Voice::Default])
    } else {
        (VerdictKind::Allow, &[Voice::Default])
    }
}

fn tool(category: Category, effects: Effects) -> ToolSpec {
    ToolSpec {
        name: "it".to_owned(),
        description: String::new(),
        parameters: serde_json::json!({}),
        category,
        effects,
        implementation: String::new(),
        component: String::new(),
    }
}

fn rule(id: &str, verdict: VerdictKind) -> Rule {
    Rule { id: id.to_owned(), tool: None, category: None, verdict, reason: String::new() }
}

fn manifest(paths: &[&str]) -> Manifest {
    let after = FileState::File { digest: Digest::of(b"x"), bytes: 1, executable: false };
    let change = |path: &&str| Change { path: (*path).to_owned(), before: None, after: Some(after.clone()) };
    Manifest::new(paths.iter().map(change).collect())
}

#[test]
fn every_combination_of_voices_is_decided_as_the_design_says() {
    let (mut seen, mut by_kind) = (0, [0usize; 3]);
    for case in cases() {
        let mut rules = Vec::new();
        // The order of rules must not matter: the weakest come first.
        rules.extend(case.allow.then(|| rule("user.allow", VerdictKind::Allow)));
        rules.extend(case.ask.then(|| rule("user.ask", VerdictKind::Ask)));
        rules.extend(case.deny.then(|| rule("user.deny", VerdictKind::Deny)));
        let allowance = |tool: &str, rule: &str| Allowance { tool: tool.to_owned(), rule: rule.to_owned() };
        let mut allowances = Vec::new();
        allowances.extend(case.for_another_tool.then(|| allowance("another", "user.ask")));
        allowances.extend(case.from_another.then(|| allowance("it", "default.other")));
        allowances.extend(case.from_the_ask.then(|| allowance("it", "user.ask")));
        let mut paths = Vec::new();
        if let Judged::Staged { host_file, git_file, other_file } = case.judged {
            paths.extend(other_file.then_some("src/a.rs"));
            paths.extend(git_file.then_some("sub/.Git/hooks/pre-commit"));
            paths.extend(host_file.then_some(".HARNESS-host/config.toml"));
        }
        let manifest = manifest(&paths);
        let subject = match case.judged {
            Judged::Arguments => Subject::Arguments,
            Judged::Staged { .. } => Subject::Staged(&manifest),
        };
        let tool = tool(case.category, case.effects);
        let judge = Judge { approve: case.mode, rules: &rules, allowances: &allowances, mode: None };
        let verdict = judge.judge(&tool, subject);
        let (kind, voices) = oracle(case);
        assert!(verdict.kind == kind && voices.contains(&verdict.voice), "{case:?}: {verdict:?}, should be {kind:?}");

        let spoken = judge.voices(&tool, subject);
        assert!(spoken.contains(&verdict), "the verdict is the word of one voice");
        if spoken.iter().any(|voice| voice.kind == VerdictKind::Deny) {
            assert_eq!(verdict.kind, VerdictKind::Deny, "deny by any voice is final: {case:?}");
        } else if spoken.iter().any(|voice| voice.voice == Voice::Boundary && voice.kind == VerdictKind::Ask) {
            assert_eq!(verdict.kind, VerdictKind::Ask, "a boundary asks a person each time: {case:?}");
        }
        seen += 1;
        by_kind[verdict.kind as usize] += 1;
    }
    assert_eq!(seen, 9 * 64 * 4 * 5 * 3);
    assert!(by_kind.iter().all(|count| *count > 100), "the table exercises every answer: {by_kind:?}");
}

#[test]
fn a_rule_speaks_only_of_what_it_names() {
    let edit = tool(Category::Edit, Effects::Direct);
    let speaks = |tool: Option<&str>, category: Option<Category>| {
        let rule = Rule { tool: tool.map(str::to_owned), category, ..rule("r", VerdictKind::Deny) };
        let judge = Judge { approve: ApproveMode::All, rules: &[rule], allowances: &[], mode: None };
        judge.judge(&edit, Subject::Arguments).kind == VerdictKind::Deny
    };
    assert!(speaks(None, None) && speaks(Some("it"), None) && speaks(None, Some(Category::Edit)));
    assert!(speaks(Some("it"), Some(Category::Edit)));
    assert!(!speaks(Some("other"), None) && !speaks(None, Some(Category::Read)));
    assert!(!speaks(Some("it"), Some(Category::Read)) && !speaks(Some("IT"), None));
}

#[test]
fn what_is_said_of_the_network_holds_for_whatever_makes_requests() {
    for category in CATEGORIES {
        for effects in [Effects::Staged, Effects::Requesting, Effects::Direct] {
            for verdict in [VerdictKind::Allow, VerdictKind::Ask, VerdictKind::Deny] {
                let rule = Rule { category: Some(Category::Network), ..rule("network", verdict) };
                // The category is the component's own word: it may not talk itself out of a rule, nor into one.
                let is_covered =
                    category == Category::Network || effects == Effects::Requesting && verdict != VerdictKind::Allow;
                let judge = Judge { approve: ApproveMode::Ask, rules: &[rule], allowances: &[] };
                let manifest = manifest(&["a"]);
                let voices = [Subject::Arguments, Subject::Staged(&manifest)]
                    .into_iter()
                    .flat_map(|subject| judge.voices(&tool(category, effects), subject));
                let spoke = voices.into_iter().any(|voice| voice.rule == "network");
                assert_eq!(spoke, is_covered, "{category:?} {effects:?} {verdict:?}");
                let judged = judge.judge(&tool(category, effects), Subject::Arguments);
                assert_eq!(judged.kind == VerdictKind::Deny, is_covered && verdict == VerdictKind::Deny);
            }
        }
    }
}

#[test]
fn names_that_only_resemble_a_boundary_are_not_one() {
    let edit = tool(Category::Edit, Effects::Staged);
    let judge = Judge { approve: ApproveMode::All, rules: &[], allowances: &[], mode: None };
    for (path, kind) in [
        (".github/workflows/ci.yml", VerdictKind::Allow),
        (".gitignore", VerdictKind::Allow),
        ("harness-host/src/lib.rs", VerdictKind::Allow),
        (".git", VerdictKind::Ask),
        ("vendor/x/.git/config", VerdictKind::Ask),
        (".harness-host", VerdictKind::Deny),
        ("a/.harness-host/b", VerdictKind::Deny),
    ] {
        assert_eq!(judge.judge(&edit, Subject::Staged(&manifest(&[path]))).kind, kind, "{path}");
    }
}
