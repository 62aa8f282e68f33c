//! What is found in lines, and which lines are refused.

use super::*;
use proptest::prelude::*;
use std::fmt::Write as _;

/// `NAME=value word ? >path`, where `?` is a word that is not known; commands are joined by ` | `.
fn shown(line: &str) -> String {
    let word = |word: &Word| word.known().map_or_else(|| "?".to_owned(), |text| text.replace('\n', "\\n"));
    let Ok(parsed) = CommandLine::parse(line) else { return "not understood".to_owned() };
    let commands = parsed.commands.iter().map(|command| {
        let mut shown = Vec::new();
        shown.extend(command.assignments.iter().map(|it| format!("{}={}", it.name, word(&it.value))));
        shown.extend(command.words.iter().map(word));
        shown.extend(
            command.redirections.iter().map(|it| format!("{}{}", if it.writes { '>' } else { '<' }, word(&it.path))),
        );
        shown.join(" ")
    });
    commands.collect::<Vec<_>>().join(" | ")
}

#[test]
fn every_command_of_a_line_is_found() {
    let cases = [
        ("", ""),
        ("# nothing", ""),
        ("git status", "git status"),
        ("git status; rm -rf .", "git status | rm -rf ."),
        ("git status && x || y & z", "git status | x | y | z"),
        ("git status | tee f |& cat", "git status | tee f | cat"),
        ("git\nstatus", "git | status"),
        ("git \\\n status", "git status"),
        ("git status $(x)", "x | git status ?"),
        ("git status `x y`", "x y | git status ?"),
        ("git status > f", "git status >f"),
        ("git status >& f 2>&1 2>/dev/null <in", "git status >f <in"),
        ("a &> f; b &>> g; c >| h; d <> i; e >> j", "a >f | b >g | c >h | d >i | e >j"),
        ("cat < /dev/tcp/host/80", "cat >/dev/tcp/host/80"),
        ("echo \"$(rm -rf .)\"", "rm -rf . | echo ?"),
        ("echo '$(rm -rf .)' \\$(", "not understood"),
        ("echo '$(rm -rf .)'", "echo $(rm -rf .)"),
        ("echo \"a\\\"b\" 'c'\"d\" $'e\\nf' \"\\x\"", "echo a\"b cd e\\nf \\x"),
        ("diff <(a) >(b)", "a | b | diff ? ?"),
        ("(cd x && ls) > f", "cd x | ls | >f"),
        ("{ a; b; } 2>f", "a | b | >f"),
        ("if a; then b; elif c; then d; else e; fi", "a | b | c | d | e"),
        ("while a; do b; done < f; until c; do d; done", "a | b | <f | c | d"),
        ("for f in a $(b) *.c; do rm $f; done", "f=? | b | rm ?"),
        ("for f; do x; done", "f=? | x"),
        ("case $x in a|b) c;; (d) e; f;& *) g; esac; h", "c | e | f | g | h"),
        ("case $(a) in x) if b; then c; fi ;; esac", "a | b | c"),
        ("f() { a; }; function g { b; }; function h() { c; }; f", "a | b | c | f"),
        ("! time -p a", "a"),
        ("[[ $(a) == b && ! -f \"c d\" ]] && e", "a | e"),
        ("[[ a ]]; rm x", "rm x"),
        ("[[ a; rm ]]", "not understood"),
        ("x=1 y=$(a) b", "a | x=1 y=? b"),
        ("x=(a $(b)); declare -a y=(c)", "b | x=? | declare -a ? | =?"),
        ("x+=1", "x=?"),
        ("cat <<EOF\n$(a) `b` ${c:-$(d)} \"'\nEOF\ne", "cat | a | b | d | e"),
        ("cat <<'EOF'\n$(a)\nEOF\ne", "cat | e"),
        ("cat <<-EOF; b\n\t$(a)\n\tEOF\n", "cat | b | a"),
        ("x=$(cat <<EOF\na\nEOF\n)", "cat | x=?"),
        ("cat <<< \"$(a)\"", "a | cat"),
        ("ls ~ ~x a~ a* b? [c] {d,e} {}", "ls ? ? a~ ? ? ? ? {}"),
        ("[ -f a ]", "[ -f a ]"),
        ("echo $((1 + (2))) ${x} ${#x} ${x%.*} ${x[@]} ${x:1:2} $@ a$ $1", "echo ? ? ? ? ? ? ? a$ ?"),
        ("echo ${x:-$(a)}", "a | echo ?"),
        ("echo a#b #c; d\ne", "echo a#b | e"),
        ("'r'm \\ls \"g\"it", "rm ls git"),
        ("$x y; $(a) b; r* c", "? y | a | ? b | ? c"),
        ("env A=1 -u B rm x", "not understood"),
        ("env -u B A=1 rm x; env", "env -u B A=1 rm x | A=1 rm x | env"),
        (
            "sudo -u x rm y; nice -n5 a; timeout -k 1 5 b",
            "sudo -u x rm y | rm y | nice -n5 a | a | timeout -k 1 5 b | b",
        ),
        (
            "command -v rm; command rm x; nohup env rm y",
            "command -v rm | command rm x | rm x | nohup env rm y | env rm y | rm y",
        ),
        ("/usr/bin/env rm", "/usr/bin/env rm | rm"),
        (
            "xargs -0 -n1 rm -f; xargs -I{} mv {} x; xargs",
            "xargs -0 -n1 rm -f | rm -f ? | xargs -I{} mv {} x | mv ? ? | xargs | echo ?",
        ),
        ("xargs --replace rm a; xargs --max-lines b", "xargs --replace rm a | rm ? | xargs --max-lines b | b ?"),
        (
            "find . -name '*.o' -exec rm {} \\; -exec a {} + -delete",
            "find . -name *.o -exec rm {} ; -exec a {} + -delete | rm ? | a ? | rm ?",
        ),
        ("find . -fprint f", "find . -fprint f | >f"),
        (
            "sh -c 'rm x; ls'; bash -lc \"a\" _ b; bash x.sh",
            "sh -c rm x; ls | rm x | ls | bash -lc a _ b | a | bash x.sh",
        ),
        ("eval rm '-rf;' ls; trap 'rm x' EXIT", "eval rm -rf; ls | rm -rf | ls | trap rm x EXIT | rm x"),
        ("awk '{print $1}' *.c; awk '{print > \"f\"}'", "awk {print $1} ? | awk {print > \"f\"} | >?"),
        ("sed -n '1,3p;s/a/b/gp;/x/d' f; sed -i s,a,b, f", "sed -n 1,3p;s/a/b/gp;/x/d f | sed -i s,a,b, f"),
        ("export A=b; local x", "export A=b | A=b | local x | x="),
    ];
    let mut wrong = String::new();
    for (line, wanted) in cases {
        let found = shown(line);
        if found != wanted {
            let _ = writeln!(wrong, "{line:?}\n  wanted {wanted}\n  found  {found}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_could_run_more_than_is_seen_is_not_understood() {
    let lines = [
        "eval $x",
        "eval \"$(cat f)\"",
        "source f",
        ". f",
        "alias ls=rm",
        "bash",
        "bash -s a",
        "sh -c \"$x\"",
        "bash -i",
        "curl x | sh",
        "bash <<EOF\nrm\nEOF",
        "xargs $x",
        "xargs sh -c",
        "xargs -I% % x",
        "xargs --odd rm",
        "nice --odd 5 rm",
        "find . $x",
        "find . -exec rm",
        "find -exec sh -c \"$x\" \\;",
        "echo $((x))",
        "((x))",
        "for ((;;)); do a; done",
        "echo ${x@P}",
        "echo ${!x}",
        "echo ${x[$(a)]}",
        "echo ${x:$(a)}",
        "echo ${x:-\"a\"}",
        "${PATH:=a} b",
        "a[$(b)]=c",
        "[[ $x -eq 1 ]]",
        "test -v x",
        "read 'a[b]'",
        "unset $x",
        "printf -v x a",
        "let x",
        "declare -i x",
        "hash -p a b",
        "mapfile -C a",
        "compgen -C a",
        "coproc a",
        "echo 'a",
        "echo \"a",
        "echo `a",
        "echo $(a",
        "(a",
        "a)",
        "a ;; b",
        "case x in a) b",
        "cat <<EOF\nx",
        "cat <<$x\na\n$x",
        "cat <<EOF $(a)\nEOF",
        "echo $\\\n(a)",
        "a&\\\n&b",
        "echo `a \\`b\\``",
        "echo \"`a \"b\"`\"",
        "a\rb",
        "a\u{a0}b",
        "a\u{0}",
        "a\u{1}b",
        "x@(a|b)",
        "$\"a\"",
        "$[1]",
        "sh -c \"[[ a && rm x ]]\"",
        "sh -c \"echo \\$'a\\\\'; rm x; echo '\"",
        "sh -c 'a <(b)'",
        "zsh -c a",
        "watch a",
        "awk 'BEGIN{system(\"rm\")}'",
        "awk 'BEGIN{if (2 > 1) system(\"rm\")}'",
        "awk 'BEGIN{while ((\"rm\" | getline) > 0);}'",
        "jobs -x rm a",
        "taskset 1 rm a",
        "tcsh -c rm",
        "xargs --replace=x rm x",
        "awk -f f",
        "sed '1e rm' f",
        "sed 's/a/b/e' f",
        "sed 's/[]/]/;s/e;y/B/C/' f",
        "sed -f s",
        "sed w f",
        "echo ${ a; }",
        "echo ${x:-<(a)}",
        "a >",
        "a > > b",
        "function a-b { c; }",
        "esac",
        "echo ` ]]`",
        "echo `x= ]]`",
        "\\x=1 rm a",
        "'x'=1 rm a",
        "echo `f() `",
        "a $\\'b",
        "x=1 if a; fi",
        "if a; then b",
        "a; done",
        "{ a; ) }",
        "a 2>&1$x",
        "for f in a { b; }",
        "eval }\\a",
        "for f in do; do a; done",
        "a\\",
    ];
    for line in lines {
        assert!(CommandLine::parse(line).is_err(), "{line:?}: {}", shown(line));
    }
}

#[test]
fn limits_hold_at_their_edges() {
    let line = |bytes: usize| "a".repeat(bytes);
    assert!(
        CommandLine::parse(&line(LINE_BYTES_MAX)).is_ok() && CommandLine::parse(&line(LINE_BYTES_MAX + 1)).is_err()
    );
    let commands = |count: usize| "a;".repeat(count);
    assert!(CommandLine::parse(&commands(LINE_COMMANDS_MAX)).is_ok());
    assert!(CommandLine::parse(&commands(LINE_COMMANDS_MAX + 1)).is_err());
    for (open, close) in [("$(", ")"), ("( ", ")"), ("case a in a) ", ";esac"), ("${x:-", "}"), ("\"$(", ")\"")] {
        let nested = |depth: usize| format!("a {}b{}", open.repeat(depth), close.repeat(depth));
        let nested =
            |depth: usize| if open.starts_with(['(', 'c']) { nested(depth)[2..].to_owned() } else { nested(depth) };
        assert!(CommandLine::parse(&nested(NESTING_DEPTH_MAX)).is_ok(), "{open}");
        assert!(CommandLine::parse(&nested(NESTING_DEPTH_MAX + 1)).is_err(), "{open}");
        assert!(CommandLine::parse(&open.repeat(20_000)).is_err(), "{open}");
    }
    assert!(CommandLine::parse(&"env ".repeat(16_000)).is_err());
    assert!(CommandLine::parse(&"find -exec ".repeat(5_000)).is_err());
}

/// Pieces whose combinations are where parsers go wrong.
const PIECES: &[&str] = &[
    "a", "rm", " ", "\n", ";", ";;", "&", "|", "(", ")", "{", "}", "$(", "${", "$((", "`", "'", "\"", "\\", "\\\n",
    "<", ">", "<<E", "\nE\n", "<<<", "&>", "[[", "]]", "case", "in", "esac", "if", "for", "do", "function", "time",
    "x=", "x[", "$'", "$", "#", "~", "*", "=", "eval", "sh -c", "env", "xargs", "find", "-exec", "é", "\u{a0}", "1",
    "!", "@",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_read_without_a_panic(text in any::<String>()) {
        let _ = CommandLine::parse(&text);
    }

    #[test]
    fn any_mixture_of_syntax_is_read_without_a_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        let _ = CommandLine::parse(&pieces.concat());
        let _ = CommandLine::parse(&pieces.join(" "));
    }

    #[test]
    fn what_is_chained_behind_a_command_is_found(
        before in prop::collection::vec(prop::sample::select(PIECES), 0..12),
        chain in prop::sample::select(&["; ", " && ", " || ", " | ", " & ", "\n"][..]),
    ) {
        let before = before.join(" ");
        // A comment or an open `for` or `case` takes what follows as its own.
        let takes = ["#", "for", "case"].iter().any(|word| before.contains(word));
        if let (false, Ok(_), Ok(parsed)) =
            (takes, CommandLine::parse(&before), CommandLine::parse(&format!("{before}{chain}victim x\n")))
        {
            let is_victim = |command: &SimpleCommand| command.words.iter().any(|word| word.known() == Some("victim"));
            prop_assert!(parsed.commands.iter().any(is_victim), "{before:?} {parsed:?}");
        }
    }
}
