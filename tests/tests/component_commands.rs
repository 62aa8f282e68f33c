//! `component`, and what sessions make of it: installing, granting, trusting, calling, undoing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_tests::log;
use harness_tests::program::{Place, Ran, finish};
use harness_tests::secret::{self, KEY};
use harness_tests::terminal::Terminal;
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;

/// A plain component with one tool that adds two numbers; `version` makes it another binary.
fn adder(capabilities: &[&str], version: u32) -> Vec<u8> {
    tool("add", capabilities, version)
}

/// One without a manifest.
fn bare() -> Vec<u8> {
    let text = r#"(component
        (core module $m
            (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
        (core instance $i (instantiate $m))
        (func (export "add") (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "add"))))"#;
    wat::parse_str(text).unwrap()
}

/// The same with its tool under another name.
fn tool(name: &str, capabilities: &[&str], version: u32) -> Vec<u8> {
    let manifest = serde_json::json!({ "capabilities": capabilities }).to_string().replace('"', "\\\"");
    let text = format!(
        r#"(component
            (core module $m
                (global i32 (i32.const {version}))
                (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
            (core instance $i (instantiate $m))
            (func (export "{name}") (param "a" s32) (param "b" s32) (result s32) (canon lift (core func $i "add")))
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
    let exchanged = [
        "is not the component that",
        "components.toml:4 names",
        "add it again: harness-host component add FILE --name adder",
        "remove it: harness-host component remove adder",
    ];
    for words in [&["run", "x"][..], &["component", "inspect", "adder"], &["component", "call", "adder", "add"]] {
        let ran = ran(&place, words);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(exchanged.iter().all(|text| ran.stderr.contains(text)), "{}", ran.stderr);
    }
    let listed = ran(&place, &["component", "list"]);
    assert!(listed.code == Some(0) && listed.stdout.contains("unusable: "), "{listed:?}");
    assert!(exchanged.iter().all(|text| listed.stdout.contains(text)), "{}", listed.stdout);
    std::fs::write(&binary, adder(&[], 1)).unwrap();
    let by_hand = list(&place) + "grants = [\n    \"question\",\n    \"http GET nowhere\",\n]\n";
    std::fs::write(place.home().join("components.toml"), by_hand).unwrap();
    let ran = ran(&place, &["run", "x"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("components.toml:11: `http GET nowhere` is not a capability"), "{}", ran.stderr);
    assert!(ran.stderr.contains("component revoke adder 'http GET nowhere'"), "{}", ran.stderr);
    check(
        &place,
        &[
            step(&["component", "call", "adder", "add", r#"{"a":2,"b":3}"#], 2, &[], &["not a capability"]),
            step(&["component", "revoke", "adder", "http GET nowhere"], 0, &[], &[]),
            step(&["component", "call", "adder", "add", r#"{"a":2,"b":3}"#], 0, &["5"], &[]),
        ],
    );
}

/// What anybody can still do about everything else while one entry cannot be used.
const AROUND_IT: &[Step] = &[
    step(&["component", "list"], 0, &["unusable", "read_file"], &[]),
    step(&["component", "call", "other", "sub", r#"{"a":2,"b":3}"#], 0, &["5"], &[]),
    step(&["component", "call", "other.wasm", "sub", r#"{"a":2,"b":3}"#], 0, &["5"], &[]),
    step(&["component", "grant", "other", "question"], 0, &["may now"], &[]),
    step(&["component", "revoke", "other", "question"], 0, &["no longer"], &[]),
    step(&["component", "pin", "other"], 0, &["pinned"], &[]),
    step(&["component", "pin", "other", "--off"], 0, &["not pinned"], &[]),
    step(&["component", "remove", "other"], 0, &["removed other"], &[]),
    step(&["component", "add", "other.wasm"], 0, &["added other"], &[]),
];

#[test]
fn one_entry_that_cannot_be_used_locks_out_nothing_else_and_is_mended_as_told() {
    let place = Place::new();
    place.write("adder.wasm", adder(&["question"], 1));
    place.write("other.wasm", tool("sub", &["question"], 3));
    let add = step(&["component", "add", "adder.wasm", "--grant-all"], 0, &["added adder"], &[]);
    let mend = step(&["component", "add", "adder.wasm", "--name", "adder"], 0, &["may: question"], &[]);
    let runs = step(&["run", "TOOL add {\"a\":1,\"b\":2}"], 0, &["3"], &[]);
    check(&place, &[add, step(&["component", "add", "other.wasm"], 0, &[], &[])]);
    let digest = row(&place, "adder")["digest"].as_str().unwrap().replace(':', "-");
    let binary = place.home().join("state/components").join(format!("{digest}.wasm"));
    std::fs::remove_file(&binary).unwrap();
    check(&place, AROUND_IT);
    check(&place, &[step(&["run", "x"], 2, &[], &["cannot be read", "add FILE --name adder", "remove adder"]), mend]);
    check(&place, &[runs]);

    // One without a digest that is no built-in, and a tool of a project that nobody can read.
    let by_hand = list(&place) + "\n[[component]]\nname = \"nobody\"\n";
    std::fs::write(place.home().join("components.toml"), by_hand).unwrap();
    check(&place, AROUND_IT);
    check(
        &place,
        &[
            step(&["run", "x"], 2, &[], &["`nobody` has no digest and is no built-in component", "remove nobody"]),
            step(&["component", "remove", "nobody"], 0, &["removed nobody"], &[]),
            step(&["run", "TOOL add {\"a\":1,\"b\":2}"], 0, &["3"], &[]),
        ],
    );
    place.write(".harness-host/components.toml", "[[component]]\nname = 5\n");
    check(&place, AROUND_IT.get(1..).unwrap());
    check(
        &place,
        &[
            step(&["component", "list"], 0, &["other"], &["components.toml:2"]),
            step(&["component", "grant", "fetch", "question", "--project"], 2, &[], &["components.toml:2"]),
            step(&["run", "x"], 2, &[], &["components.toml:2"]),
        ],
    );
}

#[test]
fn commands_at_the_same_time_lose_nothing_of_each_other() {
    const PROCESSES: usize = 8;
    let place = Place::new();
    let spawn = |number: usize| {
        let mut command = place.program();
        command.args(["component", "grant", "fetch", &format!("http GET https://example-{number}.com")]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).current_dir(place.workspace()).spawn().unwrap()
    };
    let running: Vec<_> = (0..PROCESSES).map(spawn).collect();
    for child in running {
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
    }
    let grants = row(&place, "fetch")["grants"].to_string();
    for number in 0..PROCESSES {
        assert!(grants.contains(&format!("https://example-{number}.com")), "{number} is lost: {grants}");
    }
}

#[test]
fn a_component_without_a_manifest_can_be_granted_anything() {
    let place = Place::new();
    place.write("bare.wasm", bare());
    check(
        &place,
        &[
            step(&["component", "add", "bare.wasm", "--grant", "http GET https://example.com"], 0, &["may: http"], &[]),
            step(&["component", "grant", "bare", "kv write session"], 0, &["may now"], &[]),
        ],
    );
}

#[test]
fn a_component_gets_its_manifest_where_its_language_could_not_put_one_in() {
    let place = Place::new();
    place.write("bare.wasm", bare());
    let words = |description: &str| format!(r#"{{"tools": {{"add": {{"description": "{description}"}}}}, "#);
    place.write("manifest.json", words("Adds.") + r#""capabilities": ["question"]}"#);
    place.write("wrong.json", words("Adds.") + r#""capabilities": ["everything"]}"#);
    place.write("other.json", r#"{"capabilities": [], "tools": {"sub": {}}}"#);
    place.write("tools.json", "[]");
    std::os::unix::fs::symlink("bare.wasm", place.workspace().join("link.wasm")).unwrap();
    const FILE: &[&str] = &["component", "describe", "bare.wasm"];
    for (options, told) in [
        (&[][..], "--manifest"),
        (&["--manifest", "nothing.json"], "nothing.json cannot be read"),
        (&["--manifest", "wrong.json"], "`everything` is not a capability"),
        (&["--manifest", "other.json"], "`sub`, which is not exported"),
        (&["--tools", "tools.json"], "exports no tools"),
    ] {
        let refused = ran(&place, &[FILE, options].concat());
        assert!(refused.code == Some(2) && refused.stderr.contains(told), "{options:?}: {refused:?}");
    }
    assert_eq!(std::fs::read(place.workspace().join("bare.wasm")).unwrap(), bare(), "nothing was put in");
    check(
        &place,
        &[
            step(
                &["component", "describe", "link.wasm", "--manifest", "manifest.json"],
                0,
                &["described link sha256:", "asks for at most: question", "only a resumable tool can use it"],
                &[],
            ),
            step(&["component", "inspect", "bare.wasm"], 0, &["Adds."], &[]),
            step(&["component", "call", "bare.wasm", "add", r#"{"a":2,"b":3}"#], 0, &["5"], &[]),
            step(&["component", "add", "bare.wasm", "--grant", "kv read session"], 2, &[], &["never asks for"]),
        ],
    );
    let link = std::fs::symlink_metadata(place.workspace().join("link.wasm")).unwrap();
    assert!(link.is_symlink(), "the file behind it was replaced");
    let described = std::fs::read(place.workspace().join("bare.wasm")).unwrap();
    check(&place, &[step(&["component", "describe", "bare.wasm", "--manifest", "manifest.json"], 0, &[], &[])]);
    assert_eq!(std::fs::read(place.workspace().join("bare.wasm")).unwrap(), described, "twice changes nothing");
}

#[test]
fn a_question_before_a_call_shows_all_that_would_run() {
    let place = Place::new();
    let rule = "[[rules]]\nid = \"look\"\ntool = \"shell\"\nverdict = \"ask\"\nreason = \"look first.\"\n";
    std::fs::write(place.home().join("config.toml"), rule).unwrap();
    let script = format!("echo {}\necho last-line", "long ".repeat(60));
    let call = serde_json::json!({ "command": script }).to_string();
    let mut command = place.program();
    command.args(["run", &format!("TOOL shell {call}")]).current_dir(place.workspace());
    let mut terminal = Terminal::start(command);
    terminal.wait_for("allow? [y]es, [n]o");
    let screen = terminal.text();
    assert!(screen.contains("asked by rule look") && screen.contains("| echo last-line"), "{screen}");
    assert_eq!(screen.matches("long").count(), 60, "{screen}");
    terminal.line("n");
    assert_eq!(terminal.exit_code(), 0);
}

#[test]
fn trusting_a_project_shows_what_is_trusted_and_refuses_what_makes_no_sense() {
    let place = Place::new();
    let list = "[[component]]\nname = \"fetch\"\ngrants = [\n    \"http GET nowhere\",\n]\n";
    place.write(".harness-host/components.toml", list);
    check(
        &place,
        &[step(&["config", "trust"], 2, &[], &["components.toml:4: `http GET nowhere` is not a capability"])],
    );
    place.write(".harness-host/components.toml", list.replace("nowhere", "https://example.com"));
    let told = ["built-in component fetch", "may send GET requests to https://example.com", "trusted "];
    let trusted = ran(&place, &["config", "trust"]);
    assert!(trusted.code == Some(0) && told.iter().all(|text| trusted.stdout.contains(text)), "{trusted:?}");
}

#[test]
fn a_call_takes_standard_input_and_says_what_was_wrong_with_it() {
    let place = Place::new();
    place.write("adder.wasm", adder(&[], 1));
    let call = |words: &[&str], stdin: &str| {
        let mut command = place.program();
        command.args(["component", "call"]).args(words).current_dir(place.workspace());
        finish(&mut command, Some(stdin))
    };
    let sum = call(&["adder.wasm", "add", "-"], r#"{"a":40,"b":2}"#);
    assert!(sum.code == Some(0) && sum.stdout.contains("42"), "{sum:?}");
    let wrong = call(&["adder.wasm", "add", "-"], "{a:1}");
    assert!(wrong.code == Some(2) && wrong.stderr.contains("given was: {a:1}"), "{wrong:?}");
    let workspace = place.workspace().display().to_string();
    let write = r#"{"path":"a.txt","content":"one\n"}"#;
    let built = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../components/dist/{name}.wasm")).display().to_string()
    };
    let (write_file, fetch) = (built("write_file"), built("fetch"));
    let lent = call(&[&write_file, "write_file", write, "-w", &workspace], "");
    assert!(lent.code == Some(0) && lent.stderr.contains("+one"), "{lent:?}");
    let lent = [&write_file, "write_file", write, "-w", &workspace, "--grant", "filesystem read /workspace"];
    let narrowed = call(&lent, "");
    assert!(narrowed.code != Some(0) && !narrowed.stderr.contains("+one"), "only reading was granted: {narrowed:?}");
    let refused = call(&[&fetch, "fetch", r#"{"url":"https://example.com/"}"#], "");
    assert!(refused.stderr.contains("--grant 'http GET https://example.com'"), "{refused:?}");
    assert!(!refused.stdout.contains("component grant"), "a file has no name to grant to: {refused:?}");
    check(
        &place,
        &[
            step(&["component", "call", "no/such", "add"], 2, &[], &["there is no file no/such"]),
            step(&["component", "call", "such.wasm", "add"], 2, &[], &["there is no file such.wasm"]),
            step(
                &["component", "remove", "read_file"],
                2,
                &[],
                &["read_file is built in: it cannot be removed or pinned"],
            ),
            step(
                &["component", "pin", "read_file"],
                2,
                &[],
                &["read_file is built in: it cannot be removed or pinned"],
            ),
            step(&["component", "check", "adder.wasm"], 0, &["export   add"], &[]),
        ],
    );
}

#[test]
fn a_mode_is_told_from_a_tool() {
    let place = Place::new();
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../components/dist/mode-plan.wasm");
    place.write("mode-plan.wasm", std::fs::read(dist).unwrap());
    check(
        &place,
        &[
            step(
                &["component", "check", "mode-plan.wasm"],
                0,
                &["mode     plan: Reads freely", "it can run here"],
                &[],
            ),
            step(
                &["component", "inspect", "mode-plan.wasm"],
                0,
                &["mode-plan: mode,", "have you asked about it", "always refused", "leads to:\n  - build\n  - auto"],
                &[],
            ),
            step(&["component", "add", "mode-plan.wasm"], 2, &[], &["`mode-plan` is a built-in component"]),
            step(
                &["component", "add", "mode-plan.wasm", "--name", "other"],
                2,
                &[],
                &["`other` is a mode `plan`, and so is `mode-plan`"],
            ),
            step(&["component", "call", "mode-plan.wasm", "plan"], 2, &[], &["is a mode, not a tool"]),
        ],
    );
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
    for words in [&["undo", &id, "--yes"][..], &["undo", &id, "--dry-run"]] {
        let refused = sessions(words);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let told = "changed since, by a later turn or somebody else: b\n";
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    }
    let dry = sessions(&["undo", &id, "--dry-run", "--json"]);
    assert_eq!(dry.code, Some(1), "{dry:?}");
    let dry: Value = serde_json::from_str(&dry.stdout).unwrap();
    assert_eq!(dry["changed_since"], serde_json::json!(["b"]));
    assert_eq!((place.read("a"), place.read("b")), ("one\n".into(), "mine\n".into()), "all or nothing");
    std::fs::remove_file(place.workspace().join("b")).unwrap();
    let undone = sessions(&["undo", &id, "--turn", "1", "--yes"]);
    assert!(undone.code == Some(0) && undone.stdout.contains("took back 1 change\n"), "{undone:?}");
    assert!(undone.stderr.contains("as it was before already: b"), "{undone:?}");
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
        // A place for what it asks for, in C in its source.
        let manifest = if language == "c" { "c/src/tool.c".to_owned() } else { format!("{language}/manifest.json") };
        assert!(place.read(&manifest).contains("capabilities"), "{language}");
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
