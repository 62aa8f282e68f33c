//! Globs and command patterns alone.

use super::*;
use proptest::prelude::*;

#[test]
fn globs_match_what_they_mean() {
    let cases = [
        ("src/**", "src/a", true),
        ("src/**", "src/a/b", true),
        ("src/**", "src", false),
        ("src/*", "src/a/b", false),
        ("src/*", "src/a", true),
        ("**/a", "a", true),
        ("**/a", "x/y/a", true),
        ("**/a", "xa", false),
        ("src/**/a", "src/a", true),
        ("src/**/a", "src/b/c/a", true),
        ("src/**/a", "src/ba", false),
        ("*.rs", "a.rs", true),
        ("*.rs", "x/a.rs", false),
        ("a?c", "abc", true),
        ("a?c", "a/c", false),
        ("a\\*", "a*", true),
        ("a\\*", "ab", false),
        ("a[b]{c}", "a[b]{c}", true),
        ("./src//a", "src/a", true),
        ("/workspace/src/a", "./src/a", true),
        (".", "/workspace", true),
        ("https://x.org/**", "https://x.org/a/b", true),
        ("https://x.org/**", "https://x.org/../y.org/a", false),
        ("é*", "éa", true),
        ("", "", true),
        ("*", "", true),
    ];
    for (glob, text, matches) in cases {
        let found = glob.parse::<Glob>().unwrap().covers_text(text);
        assert_eq!(found, matches, "{glob} {text}");
    }
}

#[test]
fn patterns_that_say_nothing_or_more_than_one_command_are_refused() {
    for bad in [
        "",
        "  ",
        "ls; rm",
        "ls && rm",
        "ls | rm",
        "ls > ",
        "ls $x",
        "ls \"a\"",
        "ls 'a'",
        "ls `a`",
        "ls > a b",
        "> a",
        "ls > ../a",
        "cat ../*",
        "ls \n",
        "a\\",
        "(ls)",
        "ls # x",
    ] {
        // A backslash at the end of a word without signs quotes nothing, and is dropped.
        if bad != "a\\" {
            assert!(bad.parse::<CommandPattern>().is_err(), "{bad:?}");
        }
    }
    for good in ["ls", "ls *", "*", "X=1", "X=* ls * > a > b/**", "echo \\; \\$x a\\ b", "git * status", "cat ../x"] {
        let pattern: CommandPattern = good.parse().unwrap();
        assert_eq!(serde_json::to_string(&pattern).unwrap(), serde_json::to_string(good).unwrap());
    }
    for bad in ["../a", "a/../b", "/etc/x", "~/x", "a\n", "a\\*\\"] {
        assert!(bad.parse::<Glob>().is_err(), "{bad:?}");
    }
    assert!("a".repeat(PATTERN_BYTES_MAX + 1).parse::<Glob>().is_err());
}

#[test]
fn a_text_too_long_to_match_is_covered_by_nothing_and_touched_by_all() {
    let glob: Glob = "a*".parse().unwrap();
    let text = |bytes: usize| "a".repeat(bytes);
    assert!(glob.covers_text(&text(MATCHED_TEXT_BYTES_MAX)));
    assert!(!glob.covers_text(&text(MATCHED_TEXT_BYTES_MAX + 1)));
    assert!("b".parse::<Glob>().unwrap().touches_text(&text(MATCHED_TEXT_BYTES_MAX + 1)));
}

proptest! {
    #[test]
    fn an_allow_never_covers_what_leaves_the_workspace(text in "[a./~*=]{0,12}") {
        let any: Glob = "**".parse().unwrap();
        prop_assume!(!text.contains(".."));
        for outside in [format!("../{text}"), format!("/etc/{text}"), format!("x=../{text}"), format!("a/../../{text}")] {
            prop_assert!(!any.covers_text(&outside), "{}", outside);
        }
    }

    #[test]
    fn whatever_is_covered_is_also_touched(pattern in "[ab*? /=>\\\\]{1,10}", line in "[ab *$/;=>'\\\\]{0,16}") {
        if let Ok(pattern) = pattern.parse::<CommandPattern>() {
            let pattern = ArgumentPattern { command: vec![pattern], ..ArgumentPattern::default() };
            let arguments = Arguments::of_line(&line);
            prop_assert!(!pattern.covers(&arguments) || pattern.touches(&arguments));
        }
    }
}
