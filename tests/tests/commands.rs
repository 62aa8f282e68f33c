//! The commands beside `run`: sessions, doctor, config, completions.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_tests::json_lines::check_sequence;
use harness_tests::log;
use harness_tests::normal::Names;
use harness_tests::program::{Place, Ran, collect, finish};
use harness_tests::provider::Wire;
use harness_tests::responder::{Answer, Responder};
use harness_tests::secret::{self, KEY};
use harness_tests::wire_text::Response;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

fn ok(command: &mut Command) -> Ran {
    let ran = finish(command, None);
    assert_eq!(ran.code, Some(0), "{command:?}: {ran:?}");
    ran
}

fn json(command: &mut Command) -> Value {
    let ran = ok(command);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout))
}

/// A place with two sessions: one that ended, one that waits for an answer.
fn two_sessions() -> (Place, Vec<String>) {
    let place = Place::new();
    place.write("a.txt", "one\n");
    ok(&mut place.run(&["TOOL read_file {\"path\":\"a.txt\"}\nANSWER first"]));
    let asks =
        finish(&mut place.run(&["TOOL write_file {\"path\":\"b.txt\",\"content\":\"b\\n\"}\nANSWER second"]), None);
    assert_eq!(asks.code, Some(3), "{asks:?}");
    let sessions = log::sessions(&place);
    assert_eq!(sessions.len(), 2);
    (place, sessions)
}

fn names(place: &Place) -> Names {
    Names::new(&[
        (place.workspace().display().to_string(), "$WORKSPACE"),
        (place.home().display().to_string(), "$HOME"),
    ])
}

#[test]
fn sessions_are_listed_and_shown() {
    let (place, ids) = two_sessions();
    let sessions = |words: &[&str]| {
        let mut command = place.program();
        command.arg("sessions").args(words);
        command
    };
    let listed = json(&mut sessions(&["list", "--json"]));
    let rows: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["session"].as_str().unwrap(), row["status"].as_str().unwrap()))
        .collect();
    assert_eq!(rows, [(ids[1].as_str(), "needs_answer"), (ids[0].as_str(), "idle")], "the latest first");
    let count = |words: &[&str]| json(&mut sessions(words)).as_array().unwrap().len();
    let workspace = place.workspace().display().to_string();
    let home = place.home().display().to_string();
    assert_eq!(count(&["list", "--json", "-w", &workspace]), 2);
    assert_eq!(count(&["list", "--json", "-w", &home]), 0);
    assert_eq!(count(&["list", "--json", "--limit", "1"]), 1);
    assert_eq!(count(&["list", "--json", "--skip", "1"]), 1);
    assert_eq!(count(&["list", "--json", "--search", "read_file"]), 1);
    assert_eq!(count(&["list", "--json", "--search", "nothing like it"]), 0);
    assert_eq!(ok(&mut sessions(&["list", "-w", &home])).stdout, "no sessions\n");

    let mut names = names(&place);
    let list = names.text(&ok(&mut sessions(&["list"])).stdout);
    let expected = "ses_1  needs-answer  <time>  1 turn  offline/offline  TOOL write_file {\"path\":\"b.txt\",\"content\":\"b\\n\"}\n\
                    ses_2  idle          <time>  1 turn  offline/offline  TOOL read_file {\"path\":\"a.txt\"}\n";
    assert_eq!(list, expected);

    let shown = json(&mut sessions(&["show", &ids[1], "--json"]));
    assert_eq!(shown["pending"][0]["tool"], "write_file");
    assert_eq!(shown["pending"][0]["rule"], "default.edit");
    assert!(shown["pending"][0]["diff"].as_str().unwrap().contains("+b\n"));
    assert_eq!(shown["summary"]["status"], "needs_answer");
    let text = names.text(&ok(&mut sessions(&["show", &ids[0]])).stdout);
    let (head, items) = text.split_once("\n\n").unwrap();
    assert!(
        head.starts_with("ses_2  idle") && head.contains("workspace  $WORKSPACE") && head.contains("head sha256:…"),
        "{head}"
    );
    let expected = "[The session is now in the mode `build`.]…\n\
         > TOOL read_file {\"path\":\"a.txt\"}\nANSWER first\n• read_file {\"path\":\"a.txt\"}\n  ✓ 1\tone\nfirst\n";
    assert_eq!(items, expected);

    // The beginning of an id is enough where it is the only one; else both are told apart.
    let unique = (5..30).find(|&end| ids[0][..end] != ids[1][..end]).unwrap();
    assert_eq!(json(&mut sessions(&["show", &ids[0][..unique], "--json"]))["summary"]["session"], ids[0].as_str());
    let ambiguous = finish(&mut sessions(&["show", &ids[0][..unique - 1]]), None);
    assert_eq!(ambiguous.code, Some(2));
    assert!(ambiguous.stderr.contains("2 sessions begin with"), "{}", ambiguous.stderr);
}

#[test]
fn events_begin_where_they_are_wanted() {
    let (place, ids) = two_sessions();
    let all = log::events(&place, &ids[0]);
    let from =
        |number: &str| ok(place.program().args(["sessions", "events", &ids[0], "--json", "--from", number])).stdout;
    let tail: Vec<Value> = from("4").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(tail, all[3..]);
    assert_eq!(from("1000"), "");
    let human = ok(place.program().args(["sessions", "events", &ids[0]])).stdout;
    assert_eq!(human.lines().count(), all.len());
    let first = names(&place).text(human.lines().next().unwrap());
    assert_eq!(first, "     1  <time>  session_created      {\"title\":null,\"workspace\":\"$WORKSPACE\"}");
}

#[test]
fn a_follower_sees_what_another_process_writes() {
    let (place, ids) = two_sessions();
    let before = log::events(&place, &ids[0]).len();
    let mut follower = place.program();
    follower.args(["sessions", "events", &ids[0], "--follow", "--json"]).stdin(Stdio::null());
    let mut child = follower.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut events: Vec<Value> = Vec::new();
    let mut read =
        |events: &mut Vec<Value>| events.push(serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap());
    for _ in 0..before {
        read(&mut events);
    }
    ok(&mut place.run(&["--session", &ids[0], "TOOL list_dir {}\nANSWER again"]));
    while events.iter().filter(|event| event["kind"] == "turn_ended").count() < 2 {
        read(&mut events);
    }
    check_sequence(&events).unwrap();
    assert_eq!(events, log::events(&place, &ids[0]));
    // SAFETY: the process is our own child and has not been waited for.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGINT) };
    assert_eq!(collect(child).code, Some(130));
}

#[test]
fn sessions_are_renamed_exported_and_deleted() {
    let (place, ids) = two_sessions();
    ok(place.program().args(["sessions", "rename", &ids[0], "A better title"]));
    let listed = json(place.program().args(["sessions", "list", "--json", "--search", "better"]));
    assert_eq!(listed[0]["title"], "A better title");
    let file = place.root().join("export.jsonl");
    ok(place.program().args(["sessions", "export", &ids[0], "-o"]).arg(&file));
    let exported = std::fs::read_to_string(&file).unwrap();
    let count = log::verify_export(&exported).unwrap();
    assert_eq!(count, log::events(&place, &ids[0]).len() as u64);
    assert!(log::verify_export(&exported.replace("a.txt", "b.txt")).is_err(), "a changed export is noticed");
    let twice = finish(place.program().args(["sessions", "export", &ids[0], "-o"]).arg(&file), None);
    assert_eq!(twice.code, Some(2), "nothing is overwritten: {twice:?}");
    ok(place.program().args(["sessions", "delete", &ids[0], "--yes"]));
    assert_eq!(log::sessions(&place), [ids[1].clone()]);
    let gone = finish(place.program().args(["sessions", "show", &ids[0]]), None);
    assert!(gone.code == Some(2) || gone.code == Some(1), "{gone:?}");
    let ran = ok(&mut place.run(&["--session", &ids[1], "--approve", "edits"]));
    assert_eq!(ran.stdout, "second\n");
}

#[test]
fn a_changed_log_is_told_and_not_believed() {
    let (place, ids) = two_sessions();
    let store = place.home().join("state/sessions/sessions.sqlite");
    let bytes = std::fs::read(&store).unwrap();
    let wanted = b"ANSWER first";
    // In the log, and in what is searched, which is not the log.
    let windows = bytes.windows(wanted.len()).enumerate();
    let places: Vec<usize> = windows.filter(|(_, window)| window == wanted).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "the prompt is in the store");
    let mut changed = bytes.clone();
    places.iter().for_each(|at| changed[at + 7] = b'F');
    std::fs::write(&store, changed).unwrap();
    for words in [&["sessions", "show", &ids[0]][..], &["sessions", "export", &ids[0]]] {
        let ran = finish(place.program().args(words), None);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains("damaged after event"), "{}", ran.stderr);
    }
    let ran = finish(&mut place.run(&["--session", &ids[0], "ANSWER more"]), None);
    assert_eq!(ran.code, Some(1), "{ran:?}");
}

#[test]
fn doctor_finds_what_is_there() {
    let place = Place::new();
    let server = Responder::start(Wire::OpenAiChat, |_| Answer::Respond(Response::text("x")));
    let mut command = place.program();
    command.args(["doctor", "--json", "-w"]).arg(place.workspace()).env("OPENAI_API_KEY", KEY);
    // Nothing listens there: the provider is bad, and said to be.
    command.env("OPENAI_BASE_URL", "http://127.0.0.1:1/v1");
    let ran = finish(&mut command, None);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["healthy"], false);
    let finding = |check: &str| {
        let findings = report["findings"].as_array().unwrap();
        findings
            .iter()
            .find(|finding| finding["check"] == check)
            .unwrap_or_else(|| panic!("no {check}: {report:#}"))
            .clone()
    };
    assert_eq!(finding("sandbox")["health"], "good");
    assert_eq!(finding("session store")["health"], "good");
    assert_eq!(finding("provider openai")["health"], "bad");
    assert!(finding("provider openai")["remedy"].is_string());
    assert_eq!(finding("provider anthropic")["health"], "note");
    assert!(finding("provider anthropic")["remedy"].as_str().unwrap().contains("ANTHROPIC_API_KEY"));
    assert!(!secret::is_in(ran.stdout.as_bytes()) && !secret::is_in(ran.stderr.as_bytes()));
    drop(server);
    let calm = ok(place.program().args(["doctor", "-w"]).arg(place.workspace()));
    assert!(calm.stdout.contains("✓ sandbox") && calm.stdout.contains("· provider anthropic"), "{}", calm.stdout);
}

#[test]
fn every_value_says_where_it_comes_from() {
    let place = Place::new();
    std::fs::write(place.home().join("config.toml"), "max-steps = 9\n").unwrap();
    place.write(".harness-host/config.toml", "max-steps = 3\napprove = \"all\"\n");
    let show = |words: &[&str]| {
        let mut command = place.program();
        command.args(["config", "show", "-w"]).arg(place.workspace()).args(words).env("NO_COLOR", "1");
        command
    };
    let shown = json(&mut show(&["--json", "--set", "limits.retry-attempts-max = 2"]));
    let value = |key: &str| {
        let values = shown["values"].as_array().unwrap();
        let found = values.iter().find(|value| value["key"] == key).unwrap_or_else(|| panic!("no {key}"));
        (found["value"].to_string().replace('"', ""), found["source"].to_string().replace('"', ""))
    };
    let (steps, from) = value("max-steps");
    assert!(steps == "3" && from.contains(".harness-host/config.toml"), "{steps} {from}");
    assert_eq!(value("approve").0, "ask", "an untrusted project cannot widen");
    assert!(value("ui.color").1.contains("NO_COLOR"));
    assert!(value("limits.retry-attempts-max").0 == "2" && value("limits.retry-attempts-max").1.contains("set"));
    assert_eq!(shown["withheld"][0]["key"], "approve");
    assert_eq!(shown["project"]["trusted"], false);
    let human = ok(&mut show(&[])).stdout;
    assert!(
        human.contains("not trusted: it can only narrow") && human.contains("withheld: the project asks for approve"),
        "{human}"
    );
    ok(place.program().args(["config", "trust", "-w"]).arg(place.workspace()));
    let trusted = json(&mut show(&["--json"]));
    assert_eq!(
        (trusted["project"]["trusted"].as_bool(), trusted["withheld"].as_array().map(Vec::len)),
        (Some(true), Some(0))
    );
    ok(place.program().args(["config", "untrust", "-w"]).arg(place.workspace()));
    assert_eq!(json(&mut show(&["--json"]))["project"]["trusted"], false);
}

#[test]
fn the_schema_of_configuration_files_names_every_key_that_is_shown() {
    let place = Place::new();
    let schema = json(place.program().args(["config", "schema"]));
    assert_eq!(schema["type"], "object");
    assert_eq!(schema["additionalProperties"], false);
    let shown = json(place.program().args(["config", "show", "--json"]));
    let text = schema.to_string();
    for value in shown["values"].as_array().unwrap() {
        let key = value["key"].as_str().unwrap();
        let last = key.rsplit('.').next().unwrap().trim_matches('"');
        let first = key.split('.').next().unwrap();
        assert!(schema["properties"][first].is_object(), "{key} is not in the schema");
        let free = first == "providers" || first == "models" || first == "rules";
        assert!(free || text.contains(&format!("\"{last}\":")), "{key} is not in the schema");
    }
}

#[test]
fn completions_are_scripts_that_their_shells_accept() {
    let place = Place::new();
    for (shell, telling) in
        [("bash", "complete -F"), ("zsh", "#compdef harness-host"), ("fish", "complete -c harness-host")]
    {
        let script = ok(place.program().args(["completions", shell])).stdout;
        assert!(script.contains(telling), "{shell}: {}", &script[..script.len().min(400)]);
        for word in ["sessions", "max-steps", "output-schema", "doctor"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
        // Parsed by the shell itself where this machine has it.
        let file = place.root().join(format!("completion.{shell}"));
        std::fs::write(&file, script).unwrap();
        match Command::new(shell).arg("-n").arg(&file).output() {
            Ok(output) => assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{shell}: {error}"),
        }
    }
}

#[test]
fn bash_completes_commands_and_options() {
    let place = Place::new();
    let script = place.root().join("completion.bash");
    let text = ok(place.program().args(["completions", "bash"])).stdout;
    let function = text.split("complete -F ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
    std::fs::write(&script, text).unwrap();
    let completed = |words: &[&str]| {
        let program = format!(
            "source \"$0\"; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); {function} harness-host \"${{!#}}\" \"${{@: -2:1}}\"; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let output =
            Command::new("bash").args(["--norc", "-c", &program]).arg(&script).arg("harness-host").args(words).output();
        let output = output.expect("bash is where these tests run");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(completed(&["se"]).contains("sessions"));
    assert!(completed(&["sessions", "ren"]).contains("rename"));
    assert!(completed(&["run", "--out"]).contains("--output-schema"));
    assert!(completed(&["run", "--approve", "ed"]).contains("edits"));
}

#[test]
fn help_and_version_are_there_for_every_command() {
    let place = Place::new();
    assert_eq!(ok(place.program().arg("--version")).stdout, format!("harness-host {}\n", env!("CARGO_PKG_VERSION")));
    for words in
        [&[][..], &["run"], &["sessions"], &["sessions", "events"], &["doctor"], &["config"], &["config", "show"]]
    {
        let help = ok(place.program().args(words).arg("--help")).stdout;
        assert!(help.contains("Usage: harness-host"), "{help}");
    }
    let help = ok(place.program().args(["run", "--help"])).stdout;
    for code in ["0 done", "1 failed", "2 usage", "3 a person's answer", "4 a limit", "130 interrupted"] {
        assert!(help.replace("\n", " ").contains(code), "{code} is not documented:\n{help}");
    }
}
