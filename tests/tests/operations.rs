//! What is done with whole sessions: answers by id, forks, rewinds, archives, files, verification, replay, trust.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_tests::log;
use harness_tests::program::{Place, Ran, finish};
use harness_tests::terminal::Terminal;
use serde_json::{Value, json};

fn words(place: &Place, words: &[&str]) -> Ran {
    finish(place.program().args(words), None)
}

fn ok(place: &Place, args: &[&str]) -> String {
    let ran = words(place, args);
    assert_eq!(ran.code, Some(0), "{args:?}: {ran:?}");
    ran.stdout
}

fn json(place: &Place, args: &[&str]) -> Value {
    let text = ok(place, args);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn run(place: &Place, args: &[&str], code: i32) -> Ran {
    let ran = finish(&mut place.run(args), None);
    assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
    ran
}

fn write(path: &str, content: &str) -> String {
    format!(r#"TOOL write_file {{"path":"{path}","content":"{content}"}}"#)
}

fn pending(place: &Place) -> Value {
    json(place, &["sessions", "pending", "--json"])
}

#[test]
fn what_waits_is_listed_and_answered_by_its_id() {
    let place = Place::new();
    let ran = run(&place, &[&format!("{}\nANSWER written", write("b.txt", "b\\n"))], 3);
    let session = log::sessions(&place).remove(0);
    let waits = pending(&place)[0].clone();
    let approval = waits["approval"].as_str().unwrap().to_owned();
    assert!(ran.stderr.contains(&format!("harness-host sessions answer {session} {approval}")), "{}", ran.stderr);
    assert_eq!(waits["session"], session.as_str());
    let offers = waits["offers"].as_array().unwrap().len();
    assert!(offers >= 4, "once, exact, tool, category: {waits}");
    let human = ok(&place, &["sessions", "pending", &session]);
    assert!(human.contains(&approval) && human.contains(waits["binds_to"].as_str().unwrap()), "{human}");

    for (args, told) in [
        (&["call_00000000000000000000000000", "yes"][..], "does not wait"),
        (&[&approval, "perhaps"], "please answer"),
        (&[&approval, "t", "forever"], "how long"),
    ] {
        let refused = words(&place, &[&["sessions", "answer", &session][..], args].concat());
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    }
    let other = format!("sha256:{}", "0".repeat(64));
    let wrong = words(&place, &["sessions", "answer", "--binds-to", &other, &session, &approval, "yes"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(!place.workspace().join("b.txt").exists(), "nothing was allowed yet");
    let answered = words(&place, &["sessions", "answer", &session, &approval, "yes"]);
    assert_eq!((answered.code, answered.stdout.as_str()), (Some(0), "written\n"), "{answered:?}");
    assert_eq!(place.read("b.txt"), "b\n");
    assert_eq!(ok(&place, &["sessions", "pending"]), "nothing waits for an answer\n");
}

#[test]
fn arguments_are_edited_and_later_calls_allowed_by_an_answer() {
    let place = Place::new();
    run(&place, &[&format!("{}\n{}\nANSWER both", write("a.txt", "1"), write("b.txt", "2"))], 3);
    let session = log::sessions(&place).remove(0);
    let first = pending(&place)[0]["approval"].as_str().unwrap().to_owned();
    let edited = r#"{"path":"c.txt","content":"3"}"#;
    let ran = words(&place, &["sessions", "answer", &session, &first, "edit", edited]);
    assert_eq!(ran.code, Some(3), "what comes of them is asked about: {ran:?}");
    let changed = pending(&place)[0].clone();
    assert!(changed["diff"].as_str().unwrap().contains("created c.txt"), "{changed}");
    let ran = words(&place, &["sessions", "answer", &session, changed["approval"].as_str().unwrap(), "yes"]);
    assert_eq!(ran.code, Some(3), "the next one waits: {ran:?}");
    assert_eq!(place.read("c.txt"), "3");
    assert!(!place.workspace().join("a.txt").exists());
    let second = pending(&place)[0]["approval"].as_str().unwrap().to_owned();
    let ran = words(&place, &["sessions", "answer", &session, &second, "tool", "workspace", "2h"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let events = log::events(&place, &session);
    let granted = events.iter().find(|event| event["kind"] == "allowance_granted").expect("an allowance");
    assert_eq!(granted["event"]["scope"], "workspace", "{granted}");
    assert!(granted["event"]["until"].is_number(), "{granted}");
    // Another session of the workspace, another process.
    run(&place, &[&write("d.txt", "4")], 0);
}

#[test]
fn questions_and_plans_wait_and_are_answered_from_elsewhere() {
    let place = Place::new();
    let asks = r#"TOOL ask_user {"question":"Which?","choices":["red","green","blue"],"several":true}"#;
    let ran = run(&place, &[asks], 3);
    assert!(ran.stderr.contains("the model asks: Which? (several of: red, green, blue)"), "{}", ran.stderr);
    let session = log::sessions(&place).remove(0);
    let question = pending(&place)[0]["question"].as_str().unwrap().to_owned();
    let refused = words(&place, &["sessions", "answer", &session, &question, "pink"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    ok(&place, &["sessions", "answer", &session, &question, "3,", "red"]);
    let answered = |kind: &str| {
        log::events(&place, &session).into_iter().rev().find(|event| event["kind"] == kind).unwrap()["event"].clone()
    };
    assert_eq!(answered("question_answered")["answer"], "blue\nred");

    let plan = r##"TOOL submit_plan {"title":"Tidy up","plan":"# Steps\n1. look\n"}"##;
    let ran = run(&place, &["--session", &session, plan], 3);
    assert!(ran.stderr.contains("the model submits a plan: Tidy up"), "{}", ran.stderr);
    // Nobody hangs, and asking again asks the same.
    run(&place, &["--session", &session], 3);
    let plan = pending(&place)[0]["plan"].as_str().unwrap().to_owned();
    assert!(ok(&place, &["sessions", "pending"]).contains("  | # Steps"));
    ok(&place, &["sessions", "answer", &session, &plan, "no", "smaller", "steps"]);
    assert_eq!(answered("plan_answered")["answer"]["feedback"], "smaller steps");
}

#[test]
fn a_person_at_a_terminal_sees_plans_questions_and_offers() {
    let place = Place::new();
    let script = [
        r#"TOOL ask_user {"question":"Which?\u001b[2J","choices":["red","green"],"several":true}"#,
        r##"TOOL submit_plan {"title":"Tidy up","plan":"# Steps\n? files: write_file — allowed\n"}"##,
        &write("src/a.txt", "1"),
        "ANSWER all done",
    ]
    .join("\n");
    let mut terminal = Terminal::start(place.run(&[&script]));
    terminal.wait_for("? the model asks: Which?");
    terminal.wait_for("with commas between");
    terminal.line("green, 1");
    terminal.wait_for("? the model submits a plan: Tidy up");
    terminal.wait_for("approve? [y]es");
    let screen = terminal.text();
    assert!(screen.contains("  | ? files: write_file"), "a plan's lines are marked:\n{screen}");
    terminal.line("perhaps");
    terminal.wait_for("y and a mode");
    terminal.line("y build");
    terminal.wait_for("allow? [y]es, [n]o, n REASON, [e]dit, x/p/t/c for later calls");
    let screen = terminal.text();
    assert!(
        screen.contains("[t] every call of write_file") && screen.contains("[x] write_file with exactly"),
        "{screen}"
    );
    terminal.line("t turn 1h");
    assert_eq!(terminal.exit_code(), 0, "{}", terminal.text());
    assert_eq!(place.read("src/a.txt"), "1");
    let session = log::sessions(&place).remove(0);
    let events = log::events(&place, &session);
    let answer = events.iter().find(|event| event["kind"] == "question_answered").unwrap();
    assert_eq!(answer["event"]["answer"], "green\nred");
    let allowed = events.iter().find(|event| event["kind"] == "allowance_granted").unwrap();
    assert_eq!(allowed["event"]["scope"], "turn");
}

#[test]
fn sessions_are_forked_put_away_and_moved() {
    let place = Place::new();
    run(&place, &[&format!("{}\nANSWER first", write("a.txt", "1")), "--approve", "edits"], 0);
    let origin = log::sessions(&place).remove(0);
    let clone = json(&place, &["sessions", "clone", &origin, "--title", "The other way", "--json"]);
    let clone = clone["session"].as_str().unwrap().to_owned();
    run(&place, &["--session", &clone, "ANSWER from the clone"], 0);
    assert_eq!(json(&place, &["sessions", "show", &clone, "--json"])["summary"]["title"], "The other way");
    let copy = place.root().join("copy");
    let copy = copy.display().to_string();
    let forked = ["sessions", "fork", &origin, "--at", "3", "--files", "copy", "--to", &copy, "--json"];
    let fork = json(&place, &forked)["session"].as_str().unwrap().to_owned();
    assert_eq!(std::fs::read_to_string(format!("{copy}/a.txt")).unwrap(), "1");
    let again = words(&place, &forked);
    assert_eq!(again.code, Some(2), "nothing is overwritten: {again:?}");
    assert_eq!(words(&place, &["sessions", "fork", &origin, "--at", "9999"]).code, Some(2));

    let listed = |args: &[&str]| {
        let rows = json(&place, &[&["sessions", "list", "--json"][..], args].concat());
        rows.as_array().unwrap().iter().map(|row| row["session"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    ok(&place, &["sessions", "archive", &fork]);
    assert!(!listed(&[]).contains(&fork));
    assert_eq!(listed(&["--archived"]), std::slice::from_ref(&fork));
    assert_eq!(listed(&["--all"]).len(), 3);
    ok(&place, &["sessions", "unarchive", &fork]);
    let all = listed(&[]);
    assert_eq!(listed(&["--after", &all[0]]), all[1..]);
    assert_eq!(listed(&["--status", "needs-answer"]), Vec::<String>::new());

    let file = place.root().join("moved.jsonl").display().to_string();
    ok(&place, &["sessions", "export", &origin, &file]);
    let workspace = place.workspace().display().to_string();
    let moved = json(&place, &["sessions", "import", &file, "-w", &workspace, "--json"]);
    let moved = moved["session"].as_str().unwrap().to_owned();
    run(&place, &["--session", &moved, "ANSWER it goes on"], 0);
    let damaged = std::fs::read_to_string(&file).unwrap().replace("a.txt", "b.txt");
    std::fs::write(&file, damaged).unwrap();
    assert_eq!(words(&place, &["sessions", "import", &file, "-w", &workspace]).code, Some(1));
}

#[test]
fn a_rewind_takes_files_back_and_no_foreign_change_without_being_told() {
    let place = Place::new();
    let git = place.workspace().join(".git");
    std::fs::create_dir(&git).unwrap();
    std::fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    run(&place, &[&format!("{}\nANSWER one", write("a.txt", "1")), "--approve", "edits"], 0);
    let session = log::sessions(&place).remove(0);
    let to = log::events(&place, &session).len().to_string();
    let second = format!("{}\n{}\nANSWER two", write("a.txt", "2"), write("b.txt", "new"));
    run(&place, &["--session", &session, &second, "--approve", "edits"], 0);
    std::fs::write(git.join("HEAD"), "ref: refs/heads/topic\n").unwrap();

    let dry = words(&place, &["sessions", "rewind", &session, "--to", &to, "--files", "--dry-run"]);
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert!(dry.stdout.contains("modified a.txt") && dry.stdout.contains("deleted b.txt"), "{}", dry.stdout);
    assert!(dry.stderr.contains("git's HEAD was main"), "{}", dry.stderr);
    place.write("a.txt", "mine");
    let refused = words(&place, &["sessions", "rewind", &session, "--to", &to, "--files", "--yes"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("a.txt") && refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!((place.read("a.txt").as_str(), place.read("b.txt").as_str()), ("mine", "new"));
    ok(&place, &["sessions", "rewind", &session, "--to", &to, "--files", "--force", "--yes"]);
    assert_eq!(place.read("a.txt"), "1");
    assert!(!place.workspace().join("b.txt").exists());
    let shown = json(&place, &["sessions", "show", &session, "--json"]);
    assert!(!shown["items"].to_string().contains("two"), "the conversation is that of then");
    run(&place, &["--session", &session, "ANSWER on"], 0);
    assert_eq!(words(&place, &["sessions", "rewind", &session, "--to", "9999"]).code, Some(2));
    assert_eq!(json(&place, &["sessions", "verify", &session, "--json"])["problems"], Value::Array(Vec::new()));
    ok(&place, &["sessions", "replay", &session]);
}

#[test]
fn a_log_is_verified_replayed_and_its_calls_run_again() {
    let place = Place::new();
    place.write("a.txt", "one\ntwo\n");
    let script = [
        r#"TOOL read_file {"path":"a.txt"}"#,
        r#"TOOL edit_file {"path":"a.txt","old_string":"two","new_string":"2"}"#,
        r#"TOOL shell {"command":"sort a.txt > b.txt && date"}"#,
        r#"TOOL todo {"todos":[]}"#,
        "ANSWER done",
    ];
    run(&place, &[&script.join("\n"), "--approve", "all"], 0);
    let session = log::sessions(&place).remove(0);
    let head = json(&place, &["sessions", "show", &session, "--json"])["head"].as_str().unwrap().to_owned();
    run(&place, &["--session", &session, "ANSWER more"], 0);
    let verified = json(&place, &["sessions", "verify", &session, "--head", &head, "--json"]);
    assert!(verified["verified"]["known_head_at"].is_number(), "{verified}");
    let other = "0".repeat(64);
    let cut = words(&place, &["sessions", "verify", &session, "--head", &other]);
    assert_eq!(cut.code, Some(1));
    assert!(cut.stderr.contains("was cut"), "{}", cut.stderr);
    let replayed = json(&place, &["sessions", "replay", &session, "--json"]);
    assert!(replayed["replayed"]["difference"].is_null(), "{replayed}");
    assert_eq!(replayed["replayed"]["events"], log::events(&place, &session).len());

    let again = json(&place, &["sessions", "replay", &session, "--execute", "--json"]);
    let calls = again["calls"].as_array().unwrap();
    let ran: Vec<&str> =
        calls.iter().filter(|call| call["not_executed"].is_null()).map(|call| call["tool"].as_str().unwrap()).collect();
    assert_eq!(ran, ["read_file", "edit_file", "shell"], "{again:#}");
    assert_eq!((place.read("a.txt").as_str(), place.read("b.txt").as_str()), ("one\n2\n", "2\none\n"), "untouched");

    let store = place.home().join("state/sessions/sessions.sqlite");
    let bytes = std::fs::read(&store).unwrap();
    let wanted = br#""text":"ANSWER more""#;
    let mut changed = bytes.clone();
    let places: Vec<usize> =
        bytes.windows(wanted.len()).enumerate().filter(|(_, window)| window == wanted).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "the prompt is in the store");
    places.iter().for_each(|at| changed[at + wanted.len() - 2] = b'E');
    std::fs::write(&store, changed).unwrap();
    let damaged = words(&place, &["sessions", "verify", &session]);
    assert_eq!(damaged.code, Some(1), "{damaged:?}");
    assert!(damaged.stderr.contains("event ") && damaged.stderr.contains("is damaged"), "{}", damaged.stderr);
}

#[test]
fn a_fork_with_files_of_its_own_is_rewound_over_its_beginning_in_its_own_folder() {
    let place = Place::new();
    run(&place, &[&format!("{}\nANSWER one", write("a.txt", "1")), "--approve", "edits"], 0);
    let origin = log::sessions(&place).remove(0);
    let copy = place.root().join("copy");
    let to = copy.display().to_string();
    let forked = json(&place, &["sessions", "fork", &origin, "--files", "copy", "--to", &to, "--json"]);
    let fork = forked["session"].as_str().unwrap().to_owned();
    ok(&place, &["run", "--model", "offline/offline", "-w", &to, "--session", &fork, "ANSWER in the copy"]);
    let end = json(&place, &["sessions", "show", &fork, "--json"])["summary"]["last_sequence"].to_string();
    ok(&place, &["sessions", "rewind", &fork, "--to", "1", "--files", "--yes"]);
    assert_eq!(place.read("a.txt"), "1", "the origin's folder is not the fork's");
    assert!(!copy.join("a.txt").exists());
    // What was taken back with files is not put in place again where that is gone back to.
    let back = words(&place, &["sessions", "rewind", &fork, "--to", &end, "--files", "--yes"]);
    assert_eq!(back.code, Some(0), "{back:?}");
    assert!(back.stderr.contains("not put in place again: a.txt"), "{}", back.stderr);
    assert!(!copy.join("a.txt").exists());
}

#[test]
fn calls_that_are_run_again_follow_no_link_out_of_the_workspace() {
    let place = Place::new();
    place.write("sub/a.txt", "one");
    let script = [
        r#"TOOL edit_file {"path":"sub/a.txt","old_string":"one","new_string":"two"}"#,
        &write("sub/b.txt", "new"),
        "ANSWER done",
    ];
    run(&place, &[&script.join("\n"), "--approve", "edits"], 0);
    let session = log::sessions(&place).remove(0);
    let elsewhere = place.root().join("elsewhere");
    std::fs::rename(place.workspace().join("sub"), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, place.workspace().join("sub")).unwrap();
    let again = json(&place, &["sessions", "replay", &session, "--execute", "--json"]);
    let read = |name: &str| std::fs::read_to_string(elsewhere.join(name)).unwrap_or_default();
    assert_eq!((read("a.txt").as_str(), read("b.txt").as_str()), ("two", "new"), "{again:#}");
    assert!(again.to_string().contains("it leads out of the workspace"), "{again:#}");
}

#[test]
fn a_session_that_cannot_be_read_hides_nothing_that_waits_in_others() {
    let place = Place::new();
    for name in ["first.txt", "second.txt"] {
        run(&place, &[&write(name, "1")], 3);
    }
    let store = place.home().join("state/sessions/sessions.sqlite");
    let mut bytes = std::fs::read(&store).unwrap();
    let wanted = br#""text":"TOOL write_file {\"path\":\"first"#;
    let places: Vec<usize> =
        bytes.windows(wanted.len()).enumerate().filter(|(_, window)| window == wanted).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "the prompt is in the store");
    places.iter().for_each(|at| bytes[at + wanted.len() - 1] = b'T');
    std::fs::write(&store, bytes).unwrap();
    let listed = words(&place, &["sessions", "pending", "--json"]);
    assert_eq!(listed.code, Some(1), "{listed:?}");
    let waits: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(waits.as_array().unwrap().len(), 1, "{waits:#}");
    assert!(waits[0]["diff"].as_str().unwrap().contains("second.txt"), "{waits:#}");
    assert!(listed.stderr.contains("damaged after event"), "{}", listed.stderr);
    for others in [&["trust", "review", "--json"][..], &["policy", "allowed", "--json"]] {
        let listed = words(&place, others);
        assert!(listed.code == Some(1) && listed.stderr.contains("damaged after event"), "{listed:?}");
        assert_eq!(listed.stdout, "[]\n", "what can be read is told");
    }
}

#[test]
fn a_list_goes_on_where_it_was_whatever_was_updated_since() {
    let place = Place::new();
    for number in 0..4 {
        run(&place, &[&format!("ANSWER {number}")], 0);
    }
    let page = |args: &[&str]| {
        let rows = json(&place, &[&["sessions", "list", "--json", "--limit", "2"][..], args].concat());
        let of = |row: &Value| (row["session"].as_str().unwrap().to_owned(), row["updated"].as_i64().unwrap());
        rows.as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    let all = json(&place, &["sessions", "list", "--json"]);
    let first = page(&[]);
    let (last, updated) = first[1].clone();
    ok(&place, &["sessions", "rename", &last, "to the front"]);
    let second = page(&["--after", &format!("{last}@{updated}")]);
    let told: Vec<String> = first.into_iter().chain(second).map(|(id, _)| id).collect();
    assert_eq!(told, all.as_array().unwrap().iter().map(|row| row["session"].as_str().unwrap()).collect::<Vec<_>>());
    for wrong in ["@", "x@1", &format!("{last}@soon")] {
        assert_eq!(words(&place, &["sessions", "list", "--after", wrong]).code, Some(2), "{wrong}");
    }
}

#[test]
fn trust_is_given_used_and_taken_back() {
    let place = Place::new();
    run(&place, &["ANSWER begun"], 0);
    assert!(ok(&place, &["trust", "show"]).contains("nothing is known yet"));
    run(&place, &[&write("a.txt", "1")], 3);
    let waiting = log::sessions(&place).pop().unwrap();
    let approval = pending(&place)[0]["approval"].as_str().unwrap().to_owned();
    ok(&place, &["sessions", "answer", &waiting, &approval, "yes"]);
    let known = json(&place, &["trust", "show", "--json"]);
    assert_eq!(
        (known[0]["key"]["tool"].as_str(), known[0]["total"]["approved"].as_u64()),
        (Some("write_file"), Some(1))
    );
    assert_eq!(words(&place, &["trust", "set", "no such key", "autonomous"]).code, Some(2));
    ok(&place, &["trust", "set", "/write_file/", "autonomous"]);
    run(&place, &[&write("b.txt", "2")], 0);
    let unasked = json(&place, &["trust", "review", "--json"]);
    let (session, call) = (unasked[0]["session"].as_str().unwrap(), unasked[0]["call"].as_str().unwrap());
    assert!(unasked[0]["arguments"].as_str().unwrap().contains("b.txt") && unasked.as_array().unwrap().len() == 1);
    assert!(ok(&place, &["trust", "review"]).contains(&format!("sessions undo {session} --call {call}")));
    let slip = words(&place, &["trust", "review", "--accept", call, "--reject", "call_00000000000000000000000000"]);
    assert_eq!((slip.code, slip.stdout.as_str()), (Some(2), ""), "all or nothing: {slip:?}");
    ok(&place, &["trust", "review", "--reject", call]);
    assert_eq!(json(&place, &["trust", "show", "--json"])[0]["level"], "semi_autonomous", "a rejection lowers it");
    assert!(ok(&place, &["trust", "review"]).contains("nothing that ran by trust alone"));
    ok(&place, &["sessions", "undo", session, "--call", call, "--yes"]);
    assert!(!place.workspace().join("b.txt").exists());
    let unknown = words(&place, &["trust", "review", "--reject", "call_00000000000000000000000000"]);
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    ok(&place, &["trust", "reset"]);
    run(&place, &[&write("c.txt", "3")], 3);
}

#[test]
fn what_was_allowed_for_later_calls_is_listed_and_taken_back() {
    let place = Place::new();
    assert_eq!(ok(&place, &["policy", "allowed"]), "nothing is allowed for later calls\n");
    for (far, rest) in [("workspace", "2h"), ("session", "")] {
        run(&place, &[&write(&format!("{far}.txt"), "1")], 3);
        let waits = pending(&place)[0].clone();
        let (session, approval) = (waits["session"].as_str().unwrap(), waits["approval"].as_str().unwrap());
        ok(&place, &["sessions", "answer", session, approval, "exact", far, rest]);
    }
    let all = json(&place, &["policy", "allowed", "--json"]);
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 2, "one that holds in several sessions is listed once: {all:#?}");
    let shared = all.iter().find(|it| it["allowance"]["scope"] == "workspace").unwrap();
    let id = shared["id"].as_str().unwrap().to_owned();
    let listed = ok(&place, &["policy", "allowed"]);
    assert!(listed.contains(&id) && listed.contains("workspace ") && listed.contains(", until "), "{listed}");
    std::fs::remove_file(place.workspace().join("workspace.txt")).unwrap();
    run(&place, &[&write("workspace.txt", "1")], 0);
    // What is there already would change nothing, and not be asked about.
    std::fs::remove_file(place.workspace().join("workspace.txt")).unwrap();
    assert_eq!(pending(&place), json!([]), "nothing was asked about");

    ok(&place, &["policy", "forbid", &id]);
    assert!(!ok(&place, &["policy", "allowed"]).contains(&id));
    run(&place, &[&write("workspace.txt", "1")], 3);
    let waits = pending(&place);
    assert!(waits[0]["arguments"].to_string().contains("workspace.txt") && waits[0]["approval"].is_string(), "{waits}");
    assert!(!place.workspace().join("workspace.txt").exists(), "it is asked about again, and not done");
    let own = all.iter().find(|it| it["id"] != id.as_str()).unwrap()["id"].as_str().unwrap();
    ok(&place, &["policy", "forbid", own]);
    assert_eq!(ok(&place, &["policy", "allowed"]), "nothing is allowed for later calls\n");
    for unknown in [&id, "alw_x", ""] {
        assert_eq!(words(&place, &["policy", "forbid", unknown]).code, Some(2), "{unknown}");
    }
}

#[test]
fn a_slip_in_an_id_an_event_or_a_title_leaves_everything_as_it_was() {
    let place = Place::new();
    run(&place, &["ANSWER one"], 0);
    let session = log::sessions(&place).remove(0);
    let gone = "ses_00000000000000000000000000";
    let long = "x".repeat(81);
    let beside = || std::fs::read_dir(place.workspace().parent().unwrap()).unwrap().count();
    let before = beside();
    for args in [
        &["sessions", "show", gone][..],
        &["sessions", "delete", "--yes", &session, gone],
        &["sessions", "delete", "--yes", &session, &session[..12]],
        &["sessions", "delete", &session],
        &["sessions", "archive", &session, gone],
        &["sessions", "verify", gone],
        &["sessions", "rename", &session, &long],
        &["sessions", "rename", &session, " "],
        &["sessions", "fork", &session, "--at", "9999", "--files", "copy"],
        &["sessions", "fork", &session, "--at", "0", "--files", "copy"],
        &["sessions", "fork", &session, "--files", "copy", "--title", &long],
        &["sessions", "clone", &session, "--title", ""],
    ] {
        let refused = words(&place, args);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{args:?}: {refused:?}");
    }
    assert_eq!(json(&place, &["sessions", "list", "--json"]).as_array().unwrap().len(), 1, "none more, none less");
    assert_eq!(beside(), before, "nothing was copied");
}

#[test]
fn sessions_are_deleted_once_somebody_saw_which_ones() {
    let place = Place::new();
    run(&place, &["ANSWER one"], 0);
    run(&place, &["ANSWER two"], 0);
    let ids = log::sessions(&place);
    for (id, title) in ids.iter().zip(["One day", "Another day"]) {
        ok(&place, &["sessions", "rename", id, title]);
    }
    let delete = |ids: &[String]| {
        let mut command = place.program();
        command.args(["sessions", "delete"]).args(ids);
        command
    };
    let nobody = finish(&mut delete(&ids), None);
    assert!(nobody.code == Some(2) && nobody.stderr.contains("--yes"), "{nobody:?}");
    assert!(nobody.stderr.contains("“One day”") && nobody.stderr.contains("“Another day”"), "{nobody:?}");
    for (answer, left) in [("", 2), ("no", 2), ("y", 0)] {
        let mut terminal = Terminal::start(delete(&ids));
        terminal.wait_for("Delete 2 sessions for good? [y/N]");
        assert!(terminal.text().contains("“One day”"), "{}", terminal.text());
        terminal.line(answer);
        assert_eq!(terminal.exit_code(), 0, "{}", terminal.text());
        assert_eq!(log::sessions(&place).len(), left, "{answer:?}: {}", terminal.text());
    }
}

#[test]
fn a_session_is_shown_with_all_that_waits_in_it() {
    let place = Place::new();
    let asks = r#"TOOL ask_user {"question":"Which?","choices":["red, or blue","green"]}"#;
    run(&place, &[asks], 3);
    let asking = log::sessions(&place).remove(0);
    run(&place, &[r##"TOOL submit_plan {"title":"Tidy up","plan":"1. look\n"}"##, "--mode", "plan"], 3);
    let planning = log::sessions(&place).into_iter().find(|id| *id != asking).unwrap();
    for (session, waits, shown) in [
        (&asking, "question", &["waits for an answer:", "Which?", "  | 1  red, or blue\n", "  | 2  green\n"][..]),
        (&planning, "plan", &["waits for an answer:", "Tidy up", "  | 1. look\n", "mode       plan\n"]),
    ] {
        let human = ok(&place, &["sessions", "show", session]);
        assert!(shown.iter().all(|part| human.contains(part)), "{human}");
        let pending = json(&place, &["sessions", "show", session, "--json"])["pending"].clone();
        assert!(human.contains(pending[0][waits].as_str().unwrap()), "its id is there to answer it by: {human}");
    }
}

#[test]
fn the_name_of_a_folder_says_nothing_of_its_own() {
    let place = Place::new();
    let folder = place.root().join("a\n? forged\u{1b}[31m");
    std::fs::create_dir(&folder).unwrap();
    let folder = folder.to_str().unwrap();
    let ran = finish(place.program().args(["run", "-w", folder, "ANSWER one"]), None);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let session = log::sessions(&place).remove(0);
    let forked = ok(&place, &["sessions", "fork", &session, "--files", "copy"]);
    for told in [ran.stderr, forked, ok(&place, &["sessions", "show", &session])] {
        assert!(!told.contains("\n? forged") && !told.contains('\u{1b}'), "{told:?}");
    }
}
