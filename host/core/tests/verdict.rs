//! The verdict's truth table: every combination of voices against an oracle written from the order in
//! the design, not from the code: any deny > a boundary's ask > a user's ask that no allowance
//! answered > a mode's ask that no rule or allowance allows > any allow > the default, whose ask alone trust replaces.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use harness_core::change::{Change, FileState};
use harness_core::item::{Category, Effects};
use harness_core::verdict::{
    Allowance, DELETIONS_UNASKED_FILES_MAX, Judge, ModeAnswer, Rule, Standing, Subject, TrustAnswer, Voice,
};
use harness_core::{ApproveMode, Digest, Manifest, ToolSpec, VerdictKind};

const CATEGORIES: [Category; 5] =
    [Category::Read, Category::Edit, Category::Execute, Category::Network, Category::Other];
const POLICIES: [Option<VerdictKind>; 4] =
    [None, Some(VerdictKind::Allow), Some(VerdictKind::Ask), Some(VerdictKind::Deny)];
const APPROVES: [ApproveMode; 4] = [ApproveMode::None, ApproveMode::Ask, ApproveMode::Edits, ApproveMode::All];

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
    approve: ApproveMode,
    /// What the mode's policy says, if it has one.
    mode: Option<VerdictKind>,
    trusted: bool,
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
        for bits in 0..64 * 2 * 4 {
            let bit = |n: u32| flags()[(bits >> n & 1) as usize];
            let mode = POLICIES[bits as usize / 128];
            for approve in APPROVES {
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
                            approve,
                            mode,
                            trusted: bit(6),
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
    let refuses_changes = case.approve == ApproveMode::None && (changes_now || case.category != Category::Read);
    // A user's ask is put before the call runs; for an edit, with its changes to look at.
    let user_asks = case.ask && (changes_now || before_it_runs && case.category != Category::Edit);
    let approve_allows = match case.approve {
        ApproveMode::All => true,
        ApproveMode::Edits => changes_now && case.effects != Effects::Direct,
        ApproveMode::None | ApproveMode::Ask => false,
    };
    // A mode has nothing to ask about what ran and changed nothing.
    let ran_for_nothing = matches!(case.judged, Judged::Staged { .. }) && !changes_now;
    let mode_asks = case.mode == Some(VerdictKind::Ask) && !ran_for_nothing;
    let allowed_by_person = case.allow || approve_allows || case.from_the_ask || case.from_another;
    if host_file {
        (VerdictKind::Deny, &[Voice::Boundary])
    } else if case.deny || refuses_changes || case.mode == Some(VerdictKind::Deny) {
        (VerdictKind::Deny, &[Voice::User, Voice::Mode])
    } else if git_file {
        (VerdictKind::Ask, &[Voice::Boundary])
    } else if user_asks && !case.from_the_ask {
        (VerdictKind::Ask, &[Voice::User])
    } else if mode_asks && !allowed_by_person {
        (VerdictKind::Ask, &[Voice::Mode])
    } else if allowed_by_person {
        (VerdictKind::Allow, &[Voice::User, Voice::Mode, Voice::Allowance, Voice::Default])
    } else if case.mode == Some(VerdictKind::Allow) {
        (VerdictKind::Allow, &[Voice::Mode])
    } else if changes_now && !case.trusted {
        (VerdictKind::Ask, &[Voice::Default])
    } else if changes_now {
        (VerdictKind::Allow, &[Voice::Trust])
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
    Rule::new(id, verdict)
}

fn manifest(paths: &[&str]) -> Manifest {
    let after = FileState::File { digest: Digest::of(b"x"), bytes: 1, executable: false };
    let change = |path: &&str| Change { path: (*path).to_owned(), before: None, after: Some(after.clone()) };
    Manifest::new(paths.iter().map(change).collect())
}

#[test]
fn every_combination_of_voices_is_decided_as_the_design_says() {
    let (mut seen, mut by_kind) = (0, [0usize; 3]);
    let paths = [".HARNESS-host/config.toml", "sub/.Git/hooks/pre-commit", "src/a.rs"];
    let chosen = |bits: usize| (0..3).filter(|bit| bits >> bit & 1 > 0).map(|bit| paths[bit]).collect::<Vec<_>>();
    let manifests: Vec<Manifest> = (0..8).map(|bits| manifest(&chosen(bits))).collect();
    for case in cases() {
        let mut rules = Vec::new();
        // The order of rules must not matter: the weakest come first.
        rules.extend(case.allow.then(|| rule("user.allow", VerdictKind::Allow)));
        rules.extend(case.ask.then(|| rule("user.ask", VerdictKind::Ask)));
        rules.extend(case.deny.then(|| rule("user.deny", VerdictKind::Deny)));
        let allowance = |tool: &str, rule: &str| Allowance::of_tool(tool, rule);
        let mut allowances = Vec::new();
        allowances.extend(case.for_another_tool.then(|| allowance("another", "user.ask")));
        allowances.extend(case.from_another.then(|| allowance("it", "default.other")));
        allowances.extend(case.from_the_ask.then(|| allowance("it", "user.ask")));
        let subject = match case.judged {
            Judged::Arguments => Subject::Arguments,
            Judged::Staged { host_file, git_file, other_file } => {
                let index = usize::from(host_file) + 2 * usize::from(git_file) + 4 * usize::from(other_file);
                Subject::Staged(&manifests[index])
            }
        };
        let tool = tool(case.category, case.effects);
        let mode = case.mode.map(|kind| ModeAnswer { kind, rule: "plan.rule".to_owned(), words: String::new() });
        let trust = TrustAnswer { rule: "trust.it".to_owned(), words: String::new() };
        let trust = case.trusted.then_some(&trust);
        let judge = Judge {
            approve: case.approve,
            rules: &rules,
            allowances: &allowances,
            mode: mode.as_ref(),
            trust,
            now: None,
        };
        let verdict = judge.judge(&tool, "{}", subject);
        let (kind, voices) = oracle(case);
        assert!(verdict.kind == kind && voices.contains(&verdict.voice), "{case:?}: {verdict:?}, should be {kind:?}");

        let explained = judge.explain(&tool, "{}", subject);
        let spoken: Vec<_> = explained.heard.iter().map(|heard| heard.said.clone()).collect();
        assert!(spoken.contains(&verdict), "the verdict is the word of one voice");
        if spoken.iter().any(|voice| voice.kind == VerdictKind::Deny) {
            assert_eq!(verdict.kind, VerdictKind::Deny, "deny by any voice is final: {case:?}");
        } else if spoken.iter().any(|voice| voice.voice == Voice::Boundary && voice.kind == VerdictKind::Ask) {
            assert_eq!(verdict.kind, VerdictKind::Ask, "a boundary asks a person each time: {case:?}");
        }
        assert_eq!(explained.verdict, verdict, "an explanation is of the real verdict");
        let won: Vec<_> = explained.heard.iter().filter(|heard| heard.standing == Standing::Wins).collect();
        assert!(won.len() == 1 && won[0].said == verdict, "one voice wins: {case:?}");
        seen += 1;
        by_kind[verdict.kind as usize] += 1;
    }
    assert_eq!(seen, 9 * 64 * 2 * 4 * 4 * 5 * 3);
    assert!(by_kind.iter().all(|count| *count > 100), "the table exercises every answer: {by_kind:?}");
}

#[test]
fn a_rule_speaks_only_of_what_it_names() {
    let edit = tool(Category::Edit, Effects::Direct);
    let speaks = |tool: Option<&str>, category: Option<Category>| {
        let rule = Rule { tool: tool.map(str::to_owned), category, ..rule("r", VerdictKind::Deny) };
        let judge = Judge { approve: ApproveMode::All, rules: &[rule], ..Judge::default() };
        judge.judge(&edit, "{}", Subject::Arguments).kind == VerdictKind::Deny
    };
    assert!(speaks(None, None) && speaks(Some("it"), None) && speaks(None, Some(Category::Edit)));
    assert!(speaks(Some("it"), Some(Category::Edit)));
    assert!(!speaks(Some("other"), None) && !speaks(None, Some(Category::Read)));
    assert!(!speaks(Some("it"), Some(Category::Read)) && !speaks(Some("IT"), None));
}

#[test]
fn names_that_only_resemble_a_boundary_are_not_one() {
    let edit = tool(Category::Edit, Effects::Staged);
    let judge = Judge { approve: ApproveMode::All, ..Judge::default() };
    for (path, kind) in [
        (".github/workflows/ci.yml", VerdictKind::Allow),
        (".gitignore", VerdictKind::Allow),
        ("harness-host/src/lib.rs", VerdictKind::Allow),
        (".git", VerdictKind::Ask),
        ("vendor/x/.git/config", VerdictKind::Ask),
        (".harness-host", VerdictKind::Deny),
        ("a/.harness-host/b", VerdictKind::Deny),
        ("../x", VerdictKind::Deny),
        ("/etc/passwd", VerdictKind::Deny),
        ("a/./b", VerdictKind::Deny),
        ("", VerdictKind::Deny),
        ("a/..b", VerdictKind::Allow),
        (".env", VerdictKind::Ask),
        ("app/.ENV.local", VerdictKind::Ask),
        (".env.example", VerdictKind::Allow),
        (".env.production.sample", VerdictKind::Allow),
        ("environment.rs", VerdictKind::Allow),
        ("certs/server.pem", VerdictKind::Ask),
        ("pem/readme", VerdictKind::Allow),
        ("home/.ssh/config", VerdictKind::Ask),
        ("ssh/config", VerdictKind::Allow),
        (".aws/credentials", VerdictKind::Ask),
        (".netrc", VerdictKind::Ask),
        ("keys/id_ed25519", VerdictKind::Ask),
        ("keys/id_ed25519.pub", VerdictKind::Allow),
    ] {
        assert_eq!(judge.judge(&edit, "{}", Subject::Staged(&manifest(&[path]))).kind, kind, "{path}");
    }
}

#[test]
fn deleting_much_at_once_asks_each_time() {
    let file = |content: &str| FileState::File { digest: Digest::of(content.as_bytes()), bytes: 9, executable: false };
    let gone = |path: &str| Change { path: path.to_owned(), before: Some(file(path)), after: None };
    let folder = |path: &str| Change { path: path.to_owned(), before: Some(FileState::Directory), after: None };
    let files = |count: usize| (0..count).map(|n| gone(&format!("a/{n}"))).collect::<Vec<_>>();
    let moved = |count: usize| {
        let new = |n: usize| {
            let after = Some(file(&format!("a/{n}")));
            Change { path: format!("b/{n}"), before: None, after }
        };
        files(count).into_iter().chain((0..count).map(new)).chain([folder("a")]).collect::<Vec<_>>()
    };
    let max = DELETIONS_UNASKED_FILES_MAX;
    let cases = [
        ("as many as may", files(max), VerdictKind::Allow),
        ("one more", files(max + 1), VerdictKind::Ask),
        ("a folder at the top", vec![folder("src"), gone("src/a")], VerdictKind::Ask),
        ("an empty folder at the top", vec![folder("src")], VerdictKind::Allow),
        ("another folder's file", vec![folder("src"), gone("src2/a")], VerdictKind::Allow),
        ("a folder below", vec![folder("a/src"), gone("a/src/a")], VerdictKind::Allow),
        (
            "a folder that becomes a file",
            vec![
                Change { path: "src".to_owned(), before: Some(FileState::Directory), after: Some(file("x")) },
                gone("src/a"),
            ],
            VerdictKind::Ask,
        ),
        ("a folder that is moved", moved(max + 1), VerdictKind::Allow),
    ];
    let edit = tool(Category::Edit, Effects::Staged);
    let allowances = [Allowance::of_tool("it", "boundary.deletion")];
    for (what, changes, kind) in cases {
        let manifest = Manifest::new(changes);
        let judge = Judge { approve: ApproveMode::All, allowances: &allowances, ..Judge::default() };
        let verdict = judge.judge(&edit, "{}", Subject::Staged(&manifest));
        assert_eq!(verdict.kind, kind, "{what}: {verdict:?}");
    }
}
