//! Rules and allowances with patterns, judged by the real judge: what an allow covers, what a deny or an ask touches,
//! and what an allowance answers.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use harness_core::change::{Change, FileState};
use harness_core::event::{TurnEnd, TurnLimits};
use harness_core::item::{Category, Effects};
use harness_core::pattern::{ArgumentPattern, Arguments};
use harness_core::verdict::{
    Allowance, Coverage, Example, Judge, Rule, Silence, Standing, Subject, Voice, arguments_digest, test_examples,
};
use harness_core::{Digest, Event, Manifest, Scope, SessionState, TimeMs, ToolSpec, TurnId, Usage, VerdictKind};
use serde_json::json;

fn shell() -> ToolSpec {
    ToolSpec {
        name: "shell".to_owned(),
        description: String::new(),
        parameters: json!({"type": "object", "properties": {"command": {"type": "string"}}}),
        category: Category::Execute,
        effects: Effects::Direct,
        implementation: String::new(),
        component: String::new(),
    }
}

fn commands(patterns: &[&str]) -> ArgumentPattern {
    ArgumentPattern { command: patterns.iter().map(|it| it.parse().unwrap()).collect(), ..ArgumentPattern::default() }
}

fn fields(fields: &[(&str, &str)]) -> ArgumentPattern {
    let arguments = fields.iter().map(|(key, glob)| ((*key).to_owned(), glob.parse().unwrap())).collect();
    ArgumentPattern { arguments, ..ArgumentPattern::default() }
}

fn rule(id: &str, verdict: VerdictKind, patterns: &[&str]) -> Rule {
    Rule { tool: Some("shell".to_owned()), arguments: commands(patterns), ..Rule::new(id, verdict) }
}

fn line(line: &str) -> String {
    json!({ "command": line }).to_string()
}

#[test]
fn an_allow_covers_a_line_only_whole() {
    let rules = [
        rule("status", VerdictKind::Allow, &["git status *", "ls *"]),
        rule(
            "more",
            VerdictKind::Allow,
            &["wc -l *.rs", "LANG=C sort * > build/**", "cat src/**", "git * --stat", "FOO=*"],
        ),
    ];
    let judge = Judge { rules: &rules, ..Judge::default() };
    let cases = [
        ("git status", true),
        ("git status -s", true),
        ("git status && ls src | ls", true),
        ("git status; wc -l a.rs", true),
        ("x=1; for f in a b; do ls $f; done", true),
        ("git status 2>/dev/null < src/a", true),
        ("git status $(ls)", true),
        ("cat src/a/b ./src/../src/c /workspace/src/d", false),
        ("cat src/a/b", true),
        ("cat ./src//../src/c", true),
        ("cat /workspace/src/d", true),
        ("git diff --stat", true),
        ("LANG=C sort x > build/y/z", true),
        ("FOO=bar", true),
        // None of these.
        ("git status; rm -rf .", false),
        ("git status && x", false),
        ("git status $(x)", false),
        ("git status `x`", false),
        ("git status > f", false),
        ("git status >> f", false),
        ("git status | tee f", false),
        ("git\nstatus", false),
        ("git status\nrm x", false),
        ("git status < ../f", false),
        ("git status < /etc/passwd", false),
        ("git statusx", false),
        ("git", false),
        ("git -c a=b status", false),
        ("PATH=/tmp git status", false),
        ("PATH=/tmp; git status", false),
        ("git status() { rm x; }; git status", false),
        ("ls() { rm x; }; ls", false),
        ("alias ls=rm; ls", false),
        ("eval ls", false),
        ("env ls", false),
        ("\"$x\" status", false),
        ("g?t status", false),
        ("cat src/../etc/x", false),
        ("cat ../src/a", false),
        ("cat $f", false),
        ("cat src/*", false),
        ("wc -l *.rs", false),
        ("git $x --stat", false),
        ("git a b --stat", false),
        ("LANG=C sort x > build/../y", false),
        ("LANG=D sort x", false),
        ("sort x", false),
        ("FOO=bar rm x", false),
        ("x=1", false),
        ("", false),
        ("ls '", false),
    ];
    for (text, is_covered) in cases {
        let verdict = judge.judge(&shell(), &line(text), Subject::Arguments);
        assert_eq!(verdict.kind == VerdictKind::Allow, is_covered, "{text:?}: {verdict:?}");
    }
    for arguments in ["{}", "[]", "x", "{\"command\": 1}", "{\"command\": [\"ls\"]}", "{\"script\": \"ls\"}"] {
        assert_eq!(judge.judge(&shell(), arguments, Subject::Arguments).kind, VerdictKind::Ask, "{arguments}");
    }
}

#[test]
fn a_deny_or_an_ask_is_about_any_command_that_could_match() {
    for kind in [VerdictKind::Deny, VerdictKind::Ask] {
        let rules = [
            rule("allow", VerdictKind::Allow, &["*"]),
            rule("it", kind, &["rm *", "git push *", "X=* make", "* > secrets/**"]),
        ];
        let judge = Judge { rules: &rules, ..Judge::default() };
        let cases = [
            ("rm x", true),
            ("rm", true),
            ("ls; rm x", true),
            ("ls $(rm x)", true),
            ("/bin/rm x", true),
            ("'r'm x", true),
            ("env rm x", true),
            ("sudo -u a rm x", true),
            ("find . -name x -exec rm {} \\;", true),
            ("find . -delete", true),
            ("ls | xargs rm", true),
            ("sh -c 'rm x'", true),
            ("f() { rm x; }", true),
            ("$x y", true),
            ("git $x", true),
            ("git $x origin", true),
            ("git push", true),
            ("eval $x", true),
            ("ls '", true),
            ("X=1 make", true),
            ("X=$y make", true),
            ("ls > secrets/a", true),
            ("> ./x/../secrets/a", true),
            ("ls > $x", true),
            ("ls", false),
            ("ls rm", false),
            ("echo 'rm x'", false),
            ("git pull $x", false),
            ("git pull", false),
            ("make", false),
            ("ls > a", false),
        ];
        for (text, is_touched) in cases {
            let voices = judge.voices(&shell(), &line(text), Subject::Arguments);
            assert_eq!(voices.iter().any(|voice| voice.rule == "it"), is_touched, "{text:?}: {voices:?}");
        }
        let voices = judge.voices(&shell(), "{\"command\": 1}", Subject::Arguments);
        assert!(voices.iter().any(|voice| voice.rule == "it"), "no line is not understood");
    }
}

#[test]
fn named_arguments_are_compared_as_paths_numbers_and_lists() {
    let spec = ToolSpec { name: "edit".to_owned(), category: Category::Edit, parameters: json!({}), ..shell() };
    let pattern = fields(&[("path", "src/**"), ("/options/level", "3")]);
    // Arguments, whether an allow covers them, whether a deny is about them.
    let cases = [
        (json!({"path": "src/a", "options": {"level": 3}}), true, true),
        (json!({"path": "./src//x/../a", "options": {"level": "3"}}), true, true),
        (json!({"path": ["src/a", "src/b"], "options": {"level": 3}}), true, true),
        (json!({"path": ["src/a", "b"], "options": {"level": 3}}), false, true),
        (json!({"path": [], "options": {"level": 3}}), false, false),
        (json!({"path": "src/../a", "options": {"level": 3}}), false, true),
        (json!({"path": "a", "options": {"level": 3}}), false, false),
        (json!({"path": "../src/a", "options": {"level": 3}}), false, false),
        (json!({"path": "/src/a", "options": {"level": 3}}), false, false),
        (json!({"path": "src/a", "options": {"level": 4}}), false, false),
        (json!({"path": "src/a"}), false, false),
        (json!({"path": {"a": 1}, "options": {"level": 3}}), false, true),
        (json!({"path": null, "options": {"level": 3}}), false, false),
    ];
    for (arguments, covered, touched) in cases {
        let read = Arguments::of(&spec, &arguments.to_string());
        assert_eq!((pattern.covers(&read), pattern.touches(&read)), (covered, touched), "{arguments}");
    }
    let any = fields(&[("path", "**")]);
    for outside in ["../a", "/etc/passwd", "~/a", "a/../../b", "/workspace/../etc/x"] {
        let read = Arguments::of(&spec, &json!({ "path": outside }).to_string());
        assert!(!any.covers(&read) && any.touches(&read), "{outside}");
    }
}

#[test]
fn an_allowance_covers_what_was_answered_and_answers_only_its_ask() {
    let rules = [rule("push", VerdictKind::Ask, &["git push *"]), rule("ls", VerdictKind::Allow, &["ls *"])];
    let asks_all = [Rule { tool: Some("shell".to_owned()), ..Rule::new("push", VerdictKind::Ask) }];
    let allowance = |coverage: Coverage| Allowance { coverage, ..Allowance::of_tool("shell", "push") };
    let pattern = |patterns: &[&str]| allowance(Coverage::Pattern { pattern: commands(patterns) });
    let exact = |text: &str| allowance(Coverage::Exact { digest: arguments_digest("shell", &line(text)) });
    let other_rule = |it: Allowance| Allowance { rule: "default.execute".to_owned(), ..it };
    let now = Some(TimeMs(100));
    let until = |it: Allowance, until: i64| Allowance { until: Some(TimeMs(until)), ..it };
    let cases = [
        ("exact", &rules[..], vec![exact("git push a")], "git push a", true),
        ("exact, another", &rules, vec![exact("git push a")], "git push  a", false),
        ("pattern", &rules, vec![pattern(&["git push origin *"])], "git push origin x", true),
        ("pattern with a rule's", &rules, vec![pattern(&["git push origin *"])], "ls && git push origin x", true),
        ("pattern, chained", &rules, vec![pattern(&["git push origin *"])], "git push origin x; rm a", false),
        (
            "pattern, another push",
            &rules,
            vec![pattern(&["git push a"]), other_rule(pattern(&["git *"]))],
            "git push a && git push b",
            false,
        ),
        (
            "two patterns",
            &rules,
            vec![pattern(&["git push a"]), pattern(&["git push b"])],
            "git push a && git push b",
            true,
        ),
        ("from another ask", &rules, vec![other_rule(pattern(&["git push *"]))], "git push a", false),
        ("tool", &rules, vec![allowance(Coverage::Tool)], "git push a; rm x", true),
        ("category", &rules, vec![allowance(Coverage::Category { category: Category::Execute })], "git push a", true),
        (
            "another category",
            &rules,
            vec![allowance(Coverage::Category { category: Category::Edit })],
            "git push a",
            false,
        ),
        ("an empty pattern", &rules, vec![pattern(&[])], "git push a", false),
        ("before its end", &rules, vec![until(allowance(Coverage::Tool), 101)], "git push a", true),
        ("at its end", &rules, vec![until(allowance(Coverage::Tool), 100)], "git push a", false),
        ("default's ask", &[], vec![other_rule(pattern(&["make *"]))], "make x", true),
        ("default's ask, chained", &[], vec![other_rule(pattern(&["make *"]))], "make x | sh", false),
        ("a rule about all", &asks_all, vec![pattern(&["make *"])], "make x", true),
        ("a rule about all, chained", &asks_all, vec![pattern(&["make *"])], "make x; ls", false),
    ];
    for (what, rules, allowances, text, is_allowed) in cases {
        let judge = Judge { rules, allowances: &allowances, now, ..Judge::default() };
        let verdict = judge.judge(&shell(), &line(text), Subject::Arguments);
        assert_eq!(verdict.kind == VerdictKind::Allow, is_allowed, "{what}: {verdict:?}");
        let untimed = Judge { now: None, ..judge }.judge(&shell(), &line(text), Subject::Arguments);
        assert!(what != "before its end" || untimed.kind == VerdictKind::Ask, "without the time it has ended");
    }
}

#[test]
fn what_is_staged_is_covered_by_the_line_that_made_it() {
    let rules = [rule("fmt", VerdictKind::Allow, &["fmt *"])];
    let after = FileState::File { digest: Digest::of(b"x"), bytes: 1, executable: false };
    let manifest = Manifest::new(vec![Change { path: "a".to_owned(), before: None, after: Some(after) }]);
    let spec = ToolSpec { effects: Effects::Staged, ..shell() };
    let judge = Judge { rules: &rules, ..Judge::default() };
    let kind = |text: &str| judge.judge(&spec, &line(text), Subject::Staged(&manifest)).kind;
    assert_eq!((kind("fmt a"), kind("fmt a; b")), (VerdictKind::Allow, VerdictKind::Ask));
}

#[test]
fn a_mode_that_asks_before_a_staged_call_yields_to_a_rule() {
    let spec = ToolSpec { effects: Effects::Staged, ..shell() };
    let mode =
        harness_core::verdict::ModeAnswer { kind: VerdictKind::Ask, rule: "m.r".to_owned(), words: String::new() };
    let rules = [rule("ls", VerdictKind::Allow, &["ls *"])];
    let judge = Judge { rules: &rules, mode: Some(&mode), ..Judge::default() };
    assert_eq!(judge.judge(&spec, &line("ls"), Subject::Arguments).kind, VerdictKind::Allow);
    let asked = judge.judge(&spec, &line("ls; rm"), Subject::Arguments);
    assert_eq!((asked.kind, asked.voice), (VerdictKind::Ask, Voice::Mode));
    let faulted = harness_core::verdict::ModeAnswer::faulted("plan", "it ran out of fuel");
    let judge = Judge { mode: Some(&faulted), ..judge };
    assert_eq!(judge.judge(&spec, &line("ls"), Subject::Arguments).kind, VerdictKind::Deny);
}

#[test]
fn an_explanation_names_every_voice_and_every_silent_rule() {
    let rules = [
        rule("deny-rm", VerdictKind::Deny, &["rm *"]),
        rule("ask-push", VerdictKind::Ask, &["git push *"]),
        Rule { tool: Some("fetch".to_owned()), ..Rule::new("fetch", VerdictKind::Deny) },
        rule("allow-ls", VerdictKind::Allow, &["ls *"]),
    ];
    let allowances = [Allowance::of_tool("shell", "ask-push")];
    let judge = Judge { rules: &rules, allowances: &allowances, ..Judge::default() };
    let explained = judge.explain(&shell(), &line("git push"), Subject::Arguments);
    let heard: Vec<_> = explained.heard.iter().map(|it| (it.said.rule.as_str(), it.standing)).collect();
    assert_eq!(
        heard,
        [
            ("ask-push", Standing::Answered),
            ("allowance.shell", Standing::Wins),
            ("default.execute", Standing::Outranked),
        ]
    );
    let silent: Vec<_> = explained.silent.iter().map(|it| (it.rule.as_str(), it.why)).collect();
    assert_eq!(
        silent,
        [("deny-rm", Silence::OtherArguments), ("fetch", Silence::OtherTool), ("allow-ls", Silence::OtherArguments),]
    );
    assert_eq!(explained.not_understood, None);
    let explained = judge.explain(&shell(), &line("eval $x"), Subject::Arguments);
    assert_eq!((explained.verdict.rule.as_str(), explained.verdict.kind), ("deny-rm", VerdictKind::Deny));
    assert!(explained.not_understood.unwrap().contains("not known"));
}

#[test]
fn examples_hold_or_are_named() {
    let rules = [
        rule("git", VerdictKind::Allow, &["git status *"]),
        Rule { arguments: fields(&[("path", "secrets/**")]), ..Rule::new("secrets", VerdictKind::Deny) },
    ];
    let example = |rule: &str, text: &str, matches| Example { rule: rule.to_owned(), text: text.to_owned(), matches };
    let good = [
        example("git", "git status -s", true),
        example("git", "git status; ls", false),
        example("git", "{ git status; }", true),
        example("git", "{\"command\": \"git status\"}", true),
        example("secrets", "{\"path\": \"secrets/a\"}", true),
        example("secrets", "{\"path\": \"src/a\"}", false),
    ];
    assert_eq!(test_examples(&rules, &good), []);
    let bad = [example("git", "git status; ls", true), example("git", "eval $x", true), example("gone", "x", true)];
    let told: Vec<String> = test_examples(&rules, &bad).iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "the rule does not match \"git status; ls\", and should",
            "the rule does not match \"eval $x\", and should (what this line would run cannot be told: it runs words that are not known)",
            "there is no rule `gone` for the example \"x\"",
        ]
    );
}

#[test]
fn what_was_written_before_reads_and_is_written_as_it_was() {
    for text in [
        "{\"tool\":\"shell\",\"rule\":\"r\"}",
        "{\"tool\":\"shell\",\"rule\":\"r\",\"coverage\":{\"covers\":\"pattern\",\"pattern\":{\"command\":[\"ls *\"]}},\"scope\":\"turn\",\"until\":5}",
        "{\"tool\":\"shell\",\"rule\":\"r\",\"coverage\":{\"covers\":\"category\",\"category\":\"edit\"}}",
    ] {
        let allowance: Allowance = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&allowance).unwrap(), text);
    }
    let old: Allowance = serde_json::from_str("{\"tool\":\"shell\",\"rule\":\"r\"}").unwrap();
    assert_eq!((old.coverage, old.scope, old.until), (Coverage::Tool, Scope::Session, None));
    let rule = "{\"id\":\"r\",\"tool\":null,\"category\":\"edit\",\"verdict\":\"ask\",\"reason\":\"\"}";
    assert_eq!(serde_json::to_string(&serde_json::from_str::<Rule>(rule).unwrap()).unwrap(), rule);
}

#[test]
fn which_argument_is_a_line_is_said_by_the_schema_or_the_category() {
    let spec = |category, properties: serde_json::Value| ToolSpec {
        category,
        parameters: json!({ "properties": properties }),
        ..shell()
    };
    let text = json!({"type": "string"});
    let said = json!({"type": "string", "contentMediaType": "application/x-sh"});
    let of = |spec: ToolSpec| spec.command_line_argument().map(str::to_owned);
    assert_eq!(of(spec(Category::Execute, json!({ "command": text }))).as_deref(), Some("command"));
    assert_eq!(of(spec(Category::Execute, json!({ "script": text }))).as_deref(), Some("script"));
    assert_eq!(of(spec(Category::Other, json!({ "command": text }))), None);
    assert_eq!(of(spec(Category::Execute, json!({ "command": {"type": "array"} }))), None);
    assert_eq!(of(spec(Category::Other, json!({ "run": said, "command": text }))).as_deref(), Some("run"));
}

#[test]
fn an_allowance_for_a_turn_ends_with_it() {
    let mut state = SessionState::default();
    let turn = TurnId::from_bits(1);
    state.apply(&Event::TurnStarted { turn, number: 1, limits: TurnLimits::default() }).unwrap();
    state.allowances.push(Allowance { scope: Scope::Turn, ..Allowance::of_tool("a", "r") });
    state.allowances.push(Allowance::of_tool("b", "r"));
    let end = TurnEnd::Done;
    state.apply(&Event::TurnEnded { turn, end, steps: 0, usage: Usage::default() }).unwrap();
    assert_eq!(state.allowances, [Allowance::of_tool("b", "r")]);
}
