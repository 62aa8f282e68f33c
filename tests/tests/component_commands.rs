//! `component`, and what sessions make of it: installing, granting, trusting, calling, undoing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_tests::log;
use harness_tests::program::{Place, Ran, finish};
use harness_tests::secret::{self, KEY};
use harness_tests::terminal::Terminal;
use serde_json::Value;
use std::path::Path;

/// A plain component with one tool that adds two numbers; `version` makes it another binary.
fn adder(capabilities: &[&str], version: u32) -> Vec<u8> {
    let manifest = serde_json::json!({ "capabilities": capabilities }).to_string().replace('"', "\\\"");
    let text = format!(
        r#"(component
            (core module $m
                (global i32 (i32.const {version}))
                (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
            (core instance $i (instantiate $m))
            (func (export "add") (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "add")))
            (@custom "harness:manifest" "{manifest}"))"#
    );
    wat::parse_str(text).unwrap()
}

/// What one command has to come to.
struct Step {
    words: &'static [&'static str],
    exit: i32,
    stdout: &'static [&'static str],
    stderr: &'static [&'static str],
}

const fn step(
    words: &'static [&'static str],
    exit: i32,
    stdout: &'static [&'static str],
    stderr: &'static [&'static str],
) -> Step {
    Step { words, exit, stdout, stderr }
}

fn ran(place: &Place, words: &[&str]) -> Ran {
    let mut command = place.program();
    command.args(words).current_dir(place.workspace());
    finish(&mut command, None)
}

fn check(place: &Place, steps: &[Step]) {
    for Step { words, exit, stdout, stderr } in steps {
        let ran = ran(place, words);
        assert_eq!(ran.code, Some(*exit), "{words:?}: {ran:?}");
        for (texts, found) in [(stdout, &ran.stdout), (stderr, &ran.stderr)] {
            for text in *texts {
                assert!(found.contains(text), "{words:?}: no {text:?} in\n{found}");
            }
        }
    }
}

fn list(place: &Place) -> String {
    std::fs::read_to_string(place.home().join("components.toml")).unwrap()
}

fn row(place: &Place, name: &str) -> Value {
    let listed = ran(place, &["component", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap_or_else(|_| panic!("{listed:?}"));
    let rows = listed["components"].as_array().unwrap();
    rows.iter().find(|row| row["name"] == name).cloned().unwrap_or_default()
}

#[test]
fn a_component_is_added_called_pinned_and_removed() {
    let place = Place::new();
    place.write("adder.wasm", adder(&["question", "kv write session"], 1));
    place.write("other.wasm", adder(&["question", "kv write session"], 2));
    place.write("wider.wasm", adder(&["question", "kv write session", "kv read principal"], 3));
    check(
        &place,
        &[
            step(&["component", "check", "adder.wasm"], 0, &["tools    add", "it can run here"], &[]),
            step(&["component", "inspect", "adder.wasm"], 0, &["cannot", "start processes"], &[]),
            step(&["component", "call", "adder.wasm", "add", r#"{"a":2,"b":3}"#], 0, &["5"], &["returned", "fuel"]),
            step(&["component", "call", "adder.wasm", "add", r#"{"a":2}"#], 2, &[], &["do not fit"]),
            step(&["component", "call", "adder.wasm", "add", "{"], 2, &[], &["not JSON"]),
            step(&["component", "call", "adder.wasm", "sub"], 2, &[], &["has no tool `sub`; it has: add"]),
            step(&["component", "call", "nothing", "add"], 2, &[], &["neither a file nor an installed component"]),
            // Where nobody is asked, only the command line gives.
            step(
                &["component", "add", "adder.wasm", "--grant", "question"],
                0,
                &["added adder sha256:", "tools: add", "may: question"],
                &["ask you questions", "not granted: kv write session"],
            ),
            step(&["component", "add", "other.wasm"], 2, &[], &["both offer a tool `add`"]),
            step(&["component", "add", "adder.wasm", "--name", "grep"], 2, &[], &["built-in component"]),
            step(&["component", "add", "adder.wasm", "--name", "A b"], 2, &[], &["not a name"]),
            step(&["component", "pin", "adder"], 0, &["pinned adder at sha256:"], &[]),
            step(&["component", "add", "other.wasm", "--name", "adder"], 2, &[], &["is pinned at"]),
            step(&["component", "pin", "adder", "--off"], 0, &["not pinned"], &[]),
            // Another digest keeps its grants, and what was decided stays decided.
            step(&["component", "add", "wider.wasm", "--name", "adder", "--yes"], 0, &["may: question\n"], &[]),
            step(&["component", "grant", "adder", "kv  write session"], 0, &["(kv write session)"], &[]),
            step(&["component", "grant", "adder", "http GET https://example.com"], 2, &[], &["never asks for"]),
            step(&["component", "grant", "adder", "nonsense"], 2, &[], &["is not a capability"]),
            step(&["component", "grant", "nobody", "question"], 2, &[], &["no component `nobody`"]),
            step(&["component", "revoke", "adder", "question"], 0, &["may no longer: question"], &[]),
            step(&["component", "revoke", "adder", "question"], 2, &[], &["no such grant", "kv write session"]),
            step(&["component", "revoke", "read_file", "--all"], 2, &[], &["built-in"]),
            step(&["run", "TOOL add {\"a\":20,\"b\":22}"], 0, &["42"], &[]),
            step(&["component", "grant", "fetch", "http GET https://docs.rs"], 0, &["fetch may now send GET"], &[]),
        ],
    );
    let adder = row(&place, "adder");
    assert_eq!(adder["grants"], serde_json::json!([{ "capability": "kv write session", "source": "user" }]));
    assert_eq!(adder["layer"], "user");
    assert_eq!(row(&place, "fetch")["grants"][0]["source"], "user");
    let binaries: Vec<_> = std::fs::read_dir(place.home().join("state/components")).unwrap().collect();
    assert_eq!(binaries.len(), 1, "what was replaced is gone");
    check(
        &place,
        &[
            step(&["component", "revoke", "fetch", "--all"], 0, &[], &[]),
            step(&["component", "remove", "adder"], 0, &["removed adder"], &[]),
            step(&["component", "remove", "adder"], 2, &[], &["no component `adder`"]),
            step(&["run", "TOOL add {\"a\":20,\"b\":22}"], 0, &["add"], &[]),
        ],
    );
    assert!(!list(&place).contains("[[component]]"), "{}", list(&place));
}

#[test]
fn a_binary_that_was_exchanged_and_a_grant_that_makes_no_sense_are_told_with_their_place() {
    let place = Place::new();
    place.write("adder.wasm", adder(&[], 1));
    check(&place, &[step(&["component", "add", "adder.wasm"], 0, &["may: nothing beyond itself"], &[])]);
    let digest = row(&place, "adder")["digest"].as_str().unwrap().replace(':', "-");
    let binary = place.home().join("state/components").join(format!("{digest}.wasm"));
    std::fs::write(&binary, adder(&[], 2)).unwrap();
    let exchanged = ["is not the component that", "components.toml:4 names", "add it again"];
    for words in [&["run", "x"][..], &["component", "list"], &["component", "call", "adder", "add"]] {
        let ran = ran(&place, words);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(exchanged.iter().all(|text| ran.stderr.contains(text)), "{}", ran.stderr);
    }
    std::fs::write(&binary, adder(&[], 1)).unwrap();
    let by_hand = list(&place) + "grants = [\n    \"question\",\n    \"http GET nowhere\",\n]\n";
    std::fs::write(place.home().join("components.toml"), by_hand).unwrap();
    let ran = ran(&place, &["run", "x"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("components.toml:11: `http GET nowhere` is not a capability"), "{}", ran.stderr);
}

#[test]
fn a_projects_components_hold_once_it_is_trusted() {
    let place = Place::new();
    place.write("adder.wasm", adder(&["question"], 1));
    check(
        &place,
        &[
            step(&["component", "add", "adder.wasm", "--project", "--grant-all"], 0, &["may: question"], &[]),
            step(&["run", "TOOL add {\"a\":1,\"b\":2}"], 0, &["3"], &[]),
            step(&["config", "untrust"], 0, &["components.toml is not trusted any more"], &[]),
            step(&["run", "TOOL list_dir {}"], 0, &[], &["the project asks for component.adder"]),
            step(&["component", "list"], 0, &["withheld: the project asks for component.adder"], &[]),
            step(&["config", "show"], 0, &["none of its components and grants hold", "withheld"], &[]),
            step(&["config", "trust"], 0, &["trusted"], &[]),
            step(&["component", "list"], 0, &["adder             project"], &[]),
            step(&["component", "grant", "adder", "question"], 2, &[], &["--project"]),
            step(&["component", "pin", "adder", "--project"], 0, &["pinned"], &[]),
            // The person's own change keeps the trust, anybody else's ends it.
            step(&["run", "TOOL add {\"a\":1,\"b\":2}"], 0, &["3"], &[]),
        ],
    );
    let path = place.workspace().join(".harness-host/components.toml");
    let changed = std::fs::read_to_string(&path).unwrap() + "# more\n";
    std::fs::write(&path, changed).unwrap();
    check(&place, &[step(&["run", "TOOL list_dir {}"], 0, &[], &["the project asks for component.adder"])]);
    let untrusted = ran(&place, &["component", "pin", "adder", "--off", "--project"]);
    assert!(untrusted.stderr.contains("is not trusted"), "{untrusted:?}");
}

#[test]
fn on_a_terminal_each_capability_is_asked_about_and_only_yes_gives_it() {
    let place = Place::new();
    place.write("adder.wasm", adder(&["question", "kv write session"], 1));
    let mut command = place.program();
    command.args(["component", "add", "adder.wasm"]).current_dir(place.workspace());
    let mut terminal = Terminal::start(command);
    terminal.wait_for("May adder ask you questions? [y/N]");
    terminal.line("y");
    terminal.wait_for("May adder keep values of its own for a session? [y/N]");
    terminal.line("");
    assert_eq!(terminal.exit_code(), 0);
    assert_eq!(row(&place, "adder")["grants"][0]["capability"], "question");
    assert_eq!(row(&place, "adder")["grants"].as_array().unwrap().len(), 1);
}

#[test]
fn a_call_alone_shows_its_changes_and_applies_them_only_when_told() {
    let place = Place::new();
    let workspace = place.workspace().display().to_string();
    let write = r#"{"path":"a.txt","content":"one\n"}"#;
    let shown = ran(&place, &["component", "call", "write_file", "write_file", write, "-w", &workspace]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.stderr.contains("+one") && shown.stderr.contains("--apply"), "{}", shown.stderr);
    assert!(!place.workspace().join("a.txt").exists());
    let json = ran(&place, &["component", "call", "write_file", "write_file", write, "--json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap_or_else(|_| panic!("{json:?}"));
    assert_eq!((&json["outcome"]["outcome"], &json["changes"][0]["path"]), (&"returned".into(), &"a.txt".into()));
    assert!(json["usage"]["fuel"].as_u64() > Some(0) && json["applied"].is_null());
    let applied = ran(&place, &["component", "call", "write_file", "write_file", write, "-w", &workspace, "--apply"]);
    assert!(applied.code == Some(0) && applied.stderr.contains("applied"), "{applied:?}");
    assert_eq!(place.read("a.txt"), "one\n");
    let refused = ran(&place, &["component", "call", "fetch", "fetch", r#"{"url":"https://example.com/"}"#]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("--grant 'http GET https://example.com'"), "{}", refused.stderr);
}

#[test]
fn changes_are_shown_and_taken_back_by_turn_call_and_session() {
    let place = Place::new();
    let run = |prompt: &str| {
        let ran = ran(&place, &["run", "--approve", "edits", prompt]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    };
    run(
        "TOOL write_file {\"path\":\"a\",\"content\":\"one\\n\"}\nTOOL write_file {\"path\":\"b\",\"content\":\"b\\n\"}\nANSWER x",
    );
    let id = log::sessions(&place).remove(0);
    let again = "TOOL edit_file {\"path\":\"a\",\"old_string\":\"one\",\"new_string\":\"two\"}\nANSWER x";
    assert_eq!(ran(&place, &["run", "--approve", "edits", "--session", &id, again]).code, Some(0));
    let sessions = |words: &[&str]| ran(&place, &[&["sessions"], words].concat());
    let all = sessions(&["diff", &id]);
    assert!(all.stdout.contains("+two") && !all.stdout.contains("-one") && all.stdout.contains("+b"), "{all:?}");
    let turn = sessions(&["diff", &id, "--turn", "2", "--json"]);
    let turn: Value = serde_json::from_str(&turn.stdout).unwrap();
    assert_eq!(turn["changes"].as_array().unwrap().len(), 1);
    let call = turn["calls"][0]["call"].as_str().unwrap().to_owned();

    let dry = sessions(&["undo", &id, "--call", &call, "--dry-run"]);
    assert!(dry.code == Some(0) && dry.stdout.contains("-two\n+one"), "{dry:?}");
    assert_eq!(sessions(&["undo", &id, "--call", &call]).code, Some(2), "nobody can be asked");
    assert_eq!(place.read("a"), "two\n");
    assert_eq!(sessions(&["undo", &id, "--call", &call, "--yes"]).code, Some(0));
    assert_eq!(place.read("a"), "one\n");
    place.write("b", "mine\n");
    let refused = sessions(&["undo", &id, "--yes"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("somebody else changed b"), "{}", refused.stderr);
    assert_eq!((place.read("a"), place.read("b")), ("one\n".into(), "mine\n".into()), "all or nothing");
    place.write("b", "b\n");
    assert_eq!(sessions(&["undo", &id, "--turn", "1", "--yes"]).code, Some(0));
    assert!(!place.workspace().join("a").exists() && !place.workspace().join("b").exists());
    let nothing = sessions(&["undo", &id, "--yes"]);
    assert!(nothing.code == Some(0) && nothing.stdout.contains("nothing to take back"), "{nothing:?}");
    for unknown in [&["undo", &id, "--turn", "9", "--yes"][..], &["undo", &id, "--call", "call_zzzz", "--yes"]] {
        assert_eq!(sessions(unknown).code, Some(2), "{unknown:?}");
    }
    log::verify_session(&place, &id).unwrap();
}

#[test]
fn a_new_component_is_a_project_of_its_own() {
    let place = Place::new();
    for language in ["rust", "python", "js", "c"] {
        let made = ran(&place, &["component", "new", "word-count", "--lang", language, "--dir", language]);
        assert_eq!(made.code, Some(0), "{made:?}");
        let readme = place.read(&format!("{language}/README.md"));
        assert!(readme.contains("harness-host component add") && !readme.contains("{{"), "{readme}");
        assert!(place.workspace().join(language).join("wit").is_dir());
    }
    let twice = ran(&place, &["component", "new", "word-count", "--lang", "rust", "--dir", "rust"]);
    assert!(twice.code == Some(2) && twice.stderr.contains("is not empty"), "{twice:?}");
    assert_eq!(ran(&place, &["component", "new", "../up", "--lang", "rust"]).code, Some(2));
}

#[test]
fn secrets_are_named_and_never_shown() {
    let place = Place::new();
    let config = "[secrets.forge]\nenv = \"FORGE_TOKEN\"\n\n[secrets.other]\nfile = \"~/other\"\n";
    std::fs::write(place.home().join("config.toml"), config).unwrap();
    for words in [&["config", "show"][..], &["config", "show", "--json"], &["doctor"], &["doctor", "--json"]] {
        let mut command = place.program();
        command.args(words).env("FORGE_TOKEN", KEY).current_dir(place.workspace());
        let ran = finish(&mut command, None);
        assert!(ran.stdout.contains("forge") && !secret::is_in(ran.stdout.as_bytes()), "{ran:?}");
    }
    assert!(secret::files_with_key(Path::new(&place.root()), &[]).is_empty());
}
