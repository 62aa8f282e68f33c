//! Whether every command that this shell runs was found by the host's reading of the line, which rules are judged by.
//!
//! Promise: it compares with the interpreter itself: each command is noted as it is about to run.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bashkit::hooks::HookAction;
use bashkit::{Bash, ExecutionLimits};
use harness_core::command_line::{CommandLine, SimpleCommand, Word};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The commands that ran, with their arguments.
fn ran(script: &str) -> Vec<Vec<String>> {
    let noted = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&noted);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let limits = ExecutionLimits::new().max_commands(200).max_loop_iterations(20).timeout(Duration::from_secs(5));
        let mut bash = Bash::builder()
            .limits(limits)
            .before_tool(Box::new(move |event| {
                let words = [event.name.clone()].into_iter().chain(event.args.clone()).collect();
                sink.lock().unwrap().push(words);
                HookAction::Continue(event)
            }))
            .build();
        let _ = bash.exec(script).await;
    });
    let noted = noted.lock().unwrap();
    noted.clone()
}

/// Whether a command that was found could be the one that ran. One whose name is not known could be any.
fn could_be(found: &SimpleCommand, ran: &[String]) -> bool {
    fn fits(words: &[Word], ran: &[String]) -> bool {
        match words.split_first() {
            None => ran.is_empty(),
            Some((Word::Dynamic, rest)) => (0..=ran.len()).any(|skipped| fits(rest, &ran[skipped..])),
            Some((Word::Known(text), rest)) => ran.first() == Some(text) && fits(rest, &ran[1..]),
        }
    }
    found.words.first() == Some(&Word::Dynamic) || fits(&found.words, ran)
}

fn missed(script: &str) -> Option<Vec<String>> {
    let found = CommandLine::parse(script).ok()?;
    ran(script).into_iter().find(|ran| !found.commands.iter().any(|command| could_be(command, ran)))
}

#[test]
fn the_commands_of_usual_lines_are_found_and_run() {
    let lines = [
        ("echo a; printf b && true || false", 3),
        ("echo $(printf a) `printf b`", 3),
        ("if true; then echo a; else echo b; fi", 2),
        ("for f in a b; do echo $f; done", 2),
        ("case a in a|b) echo x;; *) echo y;; esac", 1),
        ("f() { echo in; }; f", 1),
        ("(echo a) | { cat; }", 2),
        ("cat <<EOF\n$(echo a) \"'\nEOF\necho b", 3),
        ("eval 'echo a; printf b'", 3),
        ("bash -c 'echo a; printf b'", 2),
        ("echo a | xargs -n1 echo", 2),
        ("[[ -n $(echo a) ]] && echo b", 2),
        ("echo {a,b} 'c'\"d\" $'e' \\f", 1),
        ("cat <(echo a)", 2),
        ("x=(a $(echo b)); echo ${x[@]}", 2),
        ("echo ${y:-$(printf z)}", 2),
        ("trap 'echo bye' EXIT; true", 2),
        ("timeout 2 echo a; env -u X printf b; command echo c", 3),
    ];
    for (line, at_least) in lines {
        assert!(CommandLine::parse(line).is_ok(), "{line}");
        assert_eq!(missed(line), None, "{line}: {:?}", CommandLine::parse(line));
        assert!(ran(line).len() >= at_least, "{line}: {:?}", ran(line));
    }
}

/// Pieces whose combinations are where two readers of one line could differ.
const PIECES: &[&str] = &[
    "echo",
    "printf",
    "true",
    "cat",
    "a",
    "a",
    " ",
    " ",
    " ",
    "\n",
    ";",
    "&&",
    "||",
    "|",
    "&",
    "(",
    ")",
    "{ ",
    "; }",
    "$(",
    ")",
    "`",
    "'",
    "\"",
    "\\",
    "\\\n",
    "<",
    ">",
    "<<E",
    "\nE\n",
    "<<'E'",
    "<<<",
    "[[ ",
    " ]]",
    "case a in ",
    "a) ",
    ";; ",
    "esac",
    "if ",
    "then ",
    "fi",
    "for f in ",
    "do ",
    "done",
    "while ",
    "f() ",
    "function f ",
    "time ",
    "! ",
    "x=",
    "$x",
    "${x:-",
    "}",
    "$'",
    "$",
    "#",
    "~",
    "*",
    "=",
    "eval ",
    "bash -c ",
    "env ",
    "xargs ",
    "é",
    "1",
    "@",
    "{a,b}",
    "2>&1",
    "trap ",
    "-",
];

/// Always the same lines, so that nobody's change fails by chance; `PROPTEST_RNG_SEED` chooses others.
fn config() -> ProptestConfig {
    let given = ProptestConfig::default();
    let rng_seed = match given.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        fixed @ RngSeed::Fixed(_) => fixed,
    };
    ProptestConfig { cases: 50_000, failure_persistence: None, rng_seed, ..given }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_command_runs_that_was_not_found(pieces in prop::collection::vec(prop::sample::select(PIECES), 1..16)) {
        for script in [pieces.concat(), pieces.join(" "), format!("{} ; echo end", pieces.join(" "))] {
            prop_assert_eq!(missed(&script), None, "{:?} {:?}", script, CommandLine::parse(&script));
        }
    }
}
