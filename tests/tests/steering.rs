//! What a person says while a turn runs, modes that are switched and replaced, and why a call would be allowed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_tests::log;
use harness_tests::program::{Place, Ran, finish};
use harness_tests::provider::Wire;
use harness_tests::responder::{Answer, Responder};
use harness_tests::secret;
use harness_tests::terminal::Terminal;
use harness_tests::wire_text::Response;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const WIRE: Wire = Wire::Anthropic;

fn at_terminal(place: &Place, server: &Responder, words: &[&str]) -> Terminal {
    let mut command = place.run(words);
    command.envs(WIRE.environment(server.url(), secret::KEY));
    Terminal::start(command)
}

/// All texts of a request's user messages, in order, without those of the host on modes.
fn said(body: &Value) -> Vec<String> {
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let of_user = messages.iter().filter(|message| message["role"] == "user");
    let blocks = of_user.flat_map(|message| message["content"].as_array().cloned().unwrap_or_default());
    let texts = blocks.filter_map(|block| block["text"].as_str().map(str::to_owned));
    texts.filter(|text| !text.starts_with("[The session is now in the mode")).collect()
}

fn words(text: &str) -> Answer {
    Answer::Respond(Response::text(text))
}

fn kinds(place: &Place, session: &str) -> Vec<String> {
    log::events(place, session).iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_typed_while_a_turn_runs_reaches_the_next_step_or_turn() {
    let place = Place::new();
    place.write("a.txt", "one\n");
    let go = place.root().join("go");
    let gate = go.clone();
    let server = Responder::start(WIRE, move |body| match said(body).last().map(String::as_str) {
        Some("look") => Answer::Once(gate.clone(), Response::call("c1", "read_file", json!({"path": "a.txt"}))),
        Some(other) => words(&format!("You said {other}.")),
        None => words("Nobody spoke."),
    });
    let mut terminal = at_terminal(&place, &server, &[]);
    terminal.wait_for("/help for help");
    terminal.line("look");
    // The turn is under way: lines are read by nobody who edits them.
    while server.requests().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    terminal.line("be quick");
    terminal.wait_for("waits for the next step: be quick");
    terminal.line("/queue and then this");
    terminal.wait_for("waits for the next turn: and then this");
    terminal.line("/mode review");
    terminal.wait_for("mode build → review");
    std::fs::write(&go, "").unwrap();
    terminal.wait_for("You said be quick.");
    terminal.wait_for("You said and then this.");
    terminal.wait_for_prompt();
    terminal.line("/exit");
    assert_eq!(terminal.exit_code(), 0);
    let requests = server.requests();
    assert_eq!(said(&requests[1]), ["look", "be quick"]);
    assert_eq!(said(&requests[2]), ["look", "be quick", "and then this"]);
    let session = log::sessions(&place).remove(0);
    let kinds = kinds(&place, &session);
    let count = |kind: &str| kinds.iter().filter(|it| *it == kind).count();
    assert_eq!((count("message_received"), count("message_delivered"), count("turn_ended")), (2, 2, 2));
    assert_eq!((count("mode_chosen"), count("interrupt_requested")), (1, 0));
}

#[test]
fn prompts_given_with_then_wait_for_the_turn_before_them() {
    let place = Place::new();
    place.write("a.txt", "one\n");
    let run = |words: &[&str]| finish(&mut place.run(words), None);
    let ran = run(&["ANSWER one", "--then", "ANSWER two", "--then", "ANSWER three"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "three\n"), "{}", ran.stderr);
    let session = log::sessions(&place).remove(0);
    let first = kinds(&place, &session);
    assert_eq!(first.iter().filter(|kind| *kind == "turn_ended").count(), 3);
    // At a limit they go on waiting, and come after whatever is said next.
    let ran = run(&["$ ls\n$ ls\nANSWER one", "--max-calls", "1", "--then", "ANSWER two", "--json"]);
    let ended: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(
        (ran.code, &ended["messages_waiting"], &ended["limit"]["name"]),
        (Some(4), &json!(1), &json!("budget.turn.calls"))
    );
    let ran = run(&["--continue", "ANSWER go on"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "two\n"));
    assert!(ran.stderr.contains("delivered: ANSWER two"), "{}", ran.stderr);
}

#[test]
fn a_sessions_budget_is_shown_set_and_raised_by_the_command_that_is_told() {
    let place = Place::new();
    place.write("a.txt", "one\n");
    let ran = finish(&mut place.run(&["--max-fuel", "5", "$ ls\nANSWER x", "--json"]), None);
    let ended: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((ran.code, &ended["limit"]["name"]), (Some(4), &json!("budget.turn.fuel")));
    let raise = ended["limit"]["raise"].as_str().unwrap().to_owned();
    let option: Vec<&str> = raise.split(' ').skip_while(|word| !word.starts_with("--max")).take(2).collect();
    let ran = finish(&mut place.run(&["--continue", option[0], option[1], "$ ls\nANSWER went on"]), None);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "went on\n"), "{raise}: {}", ran.stderr);

    let session = log::sessions(&place).remove(0);
    let budget = |words: &[&str]| {
        let ran = now(&place, &[&["sessions", "budget", &session], words].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
    };
    assert!(budget(&[]).contains("calls   2 no limit\n"), "{}", budget(&[]));
    assert!(budget(&["calls=2", "cost=0.25"]).contains("cost    $0.00 of $0.25\n"));
    let json: Value = serde_json::from_str(&budget(&["--json"])).unwrap();
    assert_eq!((&json["budget"]["calls"], &json["spent"]["calls"]), (&json!(2), &json!(2)));
    let ran = finish(&mut place.run(&["--continue", "$ ls\nANSWER x"]), None);
    assert!(ran.code == Some(4) && ran.stderr.contains("budget.session.calls = 2 was reached"), "{ran:?}");
    budget(&["calls=none"]);
    for refused in ["tokens=0", "steps=0"] {
        let same = now(&place, &["sessions", "budget", &session, refused]);
        assert_eq!(same.code, Some(2), "{same:?}");
        let flag = now(&place, &["run", "--set", &format!("budget.session.{}", refused.replace('=', " = ")), "x"]);
        let rule = "expected 1 to 1000000";
        assert!(same.stderr.contains(rule) && flag.stderr.contains(rule), "{same:?} {flag:?}");
    }
    assert_eq!(finish(&mut place.run(&["--continue", "$ ls\nANSWER x"]), None).code, Some(0));
    let wrong = now(&place, &["sessions", "budget", &session, "money=1"]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("money=1"), "{wrong:?}");
}

#[test]
fn a_budget_that_ends_a_turn_of_a_conversation_is_raised_in_it() {
    let place = Place::new();
    let mut terminal = Terminal::start(place.run(&["--budget-calls", "1"]));
    terminal.wait_for("/help for help");
    let look = |terminal: &mut Terminal, last: &str| {
        terminal.line("TOOL list_dir {}\\");
        terminal.line(last);
    };
    look(&mut terminal, "TOOL list_dir {}");
    terminal.wait_for("budget.session.calls = 1 was reached. Raise it: /budget calls=2, and say how to go on.");
    terminal.wait_for_prompt();
    terminal.line("/budget calls=2");
    terminal.wait_for("1 of 2");
    terminal.wait_for_prompt();
    look(&mut terminal, "ANSWER went on");
    terminal.wait_for("went on\n");
    assert!(!terminal.text().contains("harness-host run"), "{}", terminal.text());
    terminal.wait_for_prompt();
    terminal.line("/exit");
    assert_eq!(terminal.exit_code(), 0);
}

fn now(place: &Place, words: &[&str]) -> Ran {
    let mut command = place.program();
    command.args(words).current_dir(place.workspace());
    finish(&mut command, None)
}

/// The built form of a built-in mode, with a section that makes it another binary and a mode of another name.
fn own_mode(place: &Place, from: &str, name: &str, version: u8) -> PathBuf {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../components/dist").join(format!("mode-{from}.wasm"));
    let mut bytes = std::fs::read(dist).unwrap();
    // The declaration has the mode's name; another one of the same length keeps every size as it is.
    let [old, new] = [from, name].map(|name| format!("\"name\":\"{name}\""));
    assert_eq!(old.len(), new.len());
    let mut found = 0;
    for at in 0..bytes.len() - old.len() {
        if bytes[at..].starts_with(old.as_bytes()) {
            bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "the mode does not declare its name");
    // A custom section (id 0) of four bytes: a name of one, and the version.
    bytes.extend([0, 4, 1, b'v', version, 0]);
    let path = place.root().join("own.wasm");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_mode_is_installed_used_and_replaced_in_a_running_session() {
    let place = Place::new();
    place.write("a.txt", "one\n");
    let add = |version| {
        let file = own_mode(&place, "plan", "calm", version).display().to_string();
        let ran = now(&place, &["component", "add", &file, "--name", "own-mode"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stdout.contains("mode calm"), "{}", ran.stdout);
        ran.stdout.lines().next().unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    let first = add(1);
    let twice = own_mode(&place, "plan", "plan", 1).display().to_string();
    let refused = now(&place, &["component", "add", &twice, "--name", "other"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("is a mode `plan`"), "{refused:?}");

    let server = Responder::start(WIRE, |body| match said(body).last().map(String::as_str) {
        Some("change it") if body.to_string().contains("tool_result") => words("It was refused."),
        Some("change it") => {
            let arguments = json!({"path": "a.txt", "content": "two\n"});
            Answer::Respond(Response::call("c1", "write_file", arguments))
        }
        Some(other) => words(&format!("You said {other}.")),
        None => words("Nobody spoke."),
    });
    let mut terminal = at_terminal(&place, &server, &["--mode", "calm", "--approve", "all"]);
    terminal.wait_for("/help for help");
    terminal.line("hello");
    terminal.wait_for("You said hello.");
    terminal.wait_for_prompt();
    let second = add(2);
    assert_ne!(first, second);
    terminal.line("change it");
    terminal.wait_for("Denied by rule `mode.calm.edits`");
    terminal.wait_for("It was refused.");
    terminal.wait_for_prompt();
    terminal.line("/exit");
    assert_eq!(terminal.exit_code(), 0);
    assert_eq!(place.read("a.txt"), "one\n");
    let session = log::sessions(&place).remove(0);
    let events = log::events(&place, &session);
    let of = |kind: &str| events.iter().filter(|event| event["kind"] == kind).collect::<Vec<_>>();
    assert_eq!(of("mode_entered")[0]["event"]["policy"], first.as_str());
    assert_eq!(of("modes_changed").len(), 1);
    let answers = of("policy_answered");
    assert_eq!(answers.last().unwrap()["event"]["answers"][0]["policy"], second.as_str());
}

#[test]
fn a_projects_mode_needs_its_trust() {
    let place = Place::new();
    let file = own_mode(&place, "plan", "calm", 1).display().to_string();
    let added = now(&place, &["component", "add", &file, "--name", "own-mode", "--project"]);
    assert_eq!(added.code, Some(0), "{added:?}");
    let calm = || finish(&mut place.run(&["--mode", "calm", "ANSWER calm"]), None);
    assert_eq!(calm().code, Some(0), "who adds it trusts it");
    assert_eq!(now(&place, &["config", "untrust"]).code, Some(0));
    let ran = calm();
    assert!(ran.code == Some(2) && ran.stderr.contains("there is no mode `calm`"), "{ran:?}");
}

const RULES: &str = r#"
[[rules]]
id = "status"
tool = "shell"
command = ["git status *"]
verdict = "allow"
matches = ["git status -s"]
matches-not = ["git status; rm -rf ."]

[[rules]]
id = "no-rm"
tool = "shell"
command = ["rm *"]
verdict = "deny"
reason = "nothing is deleted here."
"#;

#[test]
fn policy_explain_shows_every_voice_and_why_it_yields() {
    let place = Place::new();
    place.write("a.txt", "one\n");
    std::fs::write(place.home().join("config.toml"), RULES).unwrap();
    let explain = |words: &[&str]| {
        let ran = now(&place, &[&["policy", "explain"], words].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout.replace(&place.home().display().to_string(), "$HOME")
    };
    let denied = explain(&["shell", "git status; rm -rf ."]);
    let expected = "shell {\"command\":\"git status; rm -rf .\"}\nmode build, approve ask\ncommands found:\n  git status\n  rm -rf .\n\n\
         deny, by no-rm: nothing is deleted here.\n";
    assert!(denied.starts_with(expected), "{denied}");
    for part in [
        "counts                     deny   you      no-rm",
        "yields: any deny is final  allow  mode     mode.build.staged",
        "($HOME/config.toml:10)",
        "silent: status, about changes, and nothing changes yet ($HOME/config.toml:2)",
    ] {
        assert!(denied.contains(part), "no {part:?} in\n{denied}");
    }
    let staged = |mode: &str, line: &str| explain(&["shell", line, "--mode", mode, "--staged", "a.txt"]);
    assert!(staged("build", "git status").contains("\nallow, by status: "), "{}", staged("build", "git status"));
    let chained = staged("build", "git status; ls");
    assert!(chained.contains("\nask, by default.execute: ") && chained.contains("silent: status"), "{chained}");
    assert!(chained.contains("abstains: mode.build.changes, "), "{chained}");
    assert!(staged("plan", "git status").contains("\ndeny, by mode.plan.changes: "), "an allow rule yields to a deny");

    let options_after = explain(&["write_file", "--staged", "a.txt", "--staged", "-b.txt", "--mode", "plan"]);
    let told = "write_file {}\nmode plan, approve ask\nchanges a.txt\n";
    assert!(options_after.starts_with(told) && options_after.contains("b.txt"), "{options_after}");
    let json = explain(&["shell", "{\"command\": \"rm a.txt\"}", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["verdict"]["rule"], "no-rm");
    assert_eq!(json["commands"], json!(["rm a.txt"]));
    assert_eq!(json["rules"]["no-rm"]["line"], 10);
    assert_eq!(json["heard"][0]["standing"], "wins");

    for (words, told) in [
        (&["policy", "explain", "nothing"][..], "there is no tool `nothing`"),
        (&["policy", "explain", "read_file", "[]"], "no JSON object"),
        (&["policy", "explain", "read_file", "--mode", "nothing"], "there is no mode `nothing`"),
        (&["policy", "explain", "read_file", "{}", "--staged", "../x"], "is no path inside the workspace"),
        (&["policy", "explain", "read_file", "{}", "--staged", "--json"], "a path is missing before this option"),
        (&["policy", "explain", "ask_user"], "is the session's own tool"),
    ] {
        let ran = now(&place, words);
        assert!(ran.code == Some(2) && ran.stderr.contains(told), "{words:?}: {ran:?}");
    }
}

#[test]
fn policy_test_finds_rules_that_match_what_they_should_not() {
    let place = Place::new();
    let config = place.home().join("config.toml");
    std::fs::write(&config, RULES).unwrap();
    let ran = now(&place, &["policy", "test"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "2 rules, 2 examples: each matches what it should\n"));
    std::fs::write(&config, format!("{RULES}\n[[rules]]\ntool = \"shel\"\nverdict = \"deny\"\n")).unwrap();
    let ran = now(&place, &["policy", "test"]);
    let note = "rule user-3 is about the tool `shel`, which is not there\n";
    assert_eq!((ran.code, ran.stdout.contains(note)), (Some(0), true), "what is not installed yet may be: {ran:?}");
    let wrong = RULES.replace("matches = [\"git status -s\"]", "matches = [\"git log\"]");
    std::fs::write(&config, wrong).unwrap();
    let ran = now(&place, &["policy", "test"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("config.toml:7: rules[1].matches[1]: ") && ran.stdout.contains("git log"), "{ran:?}");
    let ran = now(&place, &["policy", "test", "--json"]);
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &found["faults"][0]["line"]), (Some(1), &json!(7)));
    std::fs::write(&config, "modle = \"x\"\n").unwrap();
    assert_eq!(now(&place, &["policy", "test"]).code, Some(2), "what cannot be read at all is another thing");
}
