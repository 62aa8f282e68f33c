//! What one process gives to a session that another one holds: taken there once, told to whoever gave it, and never lost,
//! whichever of the two is killed and when.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_tests::json_lines;
use harness_tests::log;
use harness_tests::program::{Place, Ran, collect, finish};
use harness_tests::provider::Wire;
use harness_tests::responder::{Answer, Responder};
use harness_tests::secret::KEY;
use harness_tests::terminal::Terminal;
use harness_tests::wire_text::Response;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;

const WIRE: Wire = Wire::Anthropic;
/// The question of an approval.
const ALLOW: &str = "allow? [y]es, [n]o";
/// The signal of a crash.
const SIGKILL: i32 = 9;
/// More points than a sweep may have: it would never end.
const SWEEP_POINTS_MAX: u64 = 100;
/// A session is opened at most so often after one crash.
const OPENINGS_MAX: usize = 5;

/// The words of all messages of people in a request, in order.
fn said(body: &Value) -> Vec<String> {
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let of_user = messages.iter().filter(|message| message["role"] == "user");
    let blocks = of_user.flat_map(|message| message["content"].as_array().cloned().unwrap_or_default());
    let texts = blocks.filter_map(|block| block["text"].as_str().map(str::to_owned));
    texts.filter(|text| !text.starts_with("[The session is now in the mode")).collect()
}

/// A model that edits a file when it is told `edit`, asks when it is told `ask`, hangs when it is told `hang`, and
/// otherwise says what it was told.
fn model() -> Responder {
    Responder::start(WIRE, |body| {
        let told = said(body).pop().unwrap_or_default();
        let results = WIRE.results(body);
        Answer::Respond(match told.as_str() {
            "hang" => return Answer::Hang("Thinking".to_owned()),
            "edit" if results == 0 => {
                let arguments = json!({"path": "a.txt", "old_string": "count:", "new_string": "count:|"});
                Response::call("c1", "edit_file", arguments)
            }
            "ask" if results == 0 => {
                Response::call("c1", "ask_user", json!({"question": "Which?", "choices": ["red", "green"]}))
            }
            told => Response::text(&format!("You said {told}.")),
        })
    })
}

struct Two {
    place: Place,
    server: Responder,
}

impl Two {
    fn new() -> Self {
        let place = Place::new();
        place.write("a.txt", "count:\n");
        Self { place, server: model() }
    }

    /// One process, at a terminal.
    fn at_terminal(&self) -> Terminal {
        let mut command = self.place.run(&[]);
        command.envs(WIRE.environment(self.server.url(), KEY));
        let terminal = Terminal::start(command);
        terminal.wait_for("/help for help");
        terminal
    }

    /// The same, once it was told a line and shows this; and its session.
    fn at_terminal_told(&self, line: &str, shows: &str) -> (Terminal, String) {
        let terminal = self.at_terminal();
        terminal.line(line);
        terminal.wait_for(shows);
        let session = self.session();
        (terminal, session)
    }

    /// One that asks for an approval and takes nothing: with its session and the approval.
    fn at_stopped_terminal(&self) -> (Terminal, String, String) {
        let (terminal, session) = self.at_terminal_told("edit", ALLOW);
        let approval = self.pending(&session)[0]["approval"].as_str().unwrap().to_owned();
        terminal.signal(libc::SIGSTOP);
        (terminal, session, approval)
    }

    /// The other one, killed at a crash point or not.
    fn command(&self, words: &[&str], crash_at: Option<u64>) -> std::process::Command {
        let mut command = self.place.program();
        command.args(words).current_dir(self.place.workspace()).envs(WIRE.environment(self.server.url(), KEY));
        if let Some(number) = crash_at {
            command.env("HARNESS_HOST_CRASH_AT", number.to_string());
            command.env("HARNESS_HOST_CRASH_TRACE", self.place.root().join(format!("trace-{number}")));
        }
        command
    }

    /// The crash point at which it was killed.
    fn killed_at(&self, number: u64) -> String {
        let trace = std::fs::read_to_string(self.place.root().join(format!("trace-{number}"))).unwrap();
        trace.lines().last().unwrap().to_owned()
    }

    fn run(&self, words: &[&str]) -> Ran {
        finish(&mut self.command(words, None), None)
    }

    fn session(&self) -> String {
        log::sessions(&self.place).remove(0)
    }

    /// What waits, as another process sees it.
    fn pending(&self, session: &str) -> Vec<Value> {
        let ran = self.run(&["sessions", "pending", session, "--json"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// What came of something that was given.
    fn receipt(&self, session: &str, given: &str) -> Value {
        let ran = self.run(&["sessions", "receipt", session, given, "--json"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        serde_json::from_str(&ran.stdout).unwrap()
    }

    fn count(&self, session: &str, kind: &str) -> usize {
        log::events(&self.place, session).iter().filter(|event| event["kind"] == kind).count()
    }

    fn requests_are_valid(&self) {
        for body in self.server.requests() {
            WIRE.check(&body).unwrap_or_else(|why| panic!("the provider would refuse ({why}): {body}"));
        }
    }
}

/// The end that a run tells to programs, which came with this code.
fn end(ran: &Ran, code: i32) -> Value {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    json_lines::read(&ran.stdout).unwrap_or_else(|why| panic!("{why}: {ran:?}")).end
}

#[test]
fn what_a_terminal_asks_is_answered_by_another_process() {
    let two = Two::new();
    let (mut terminal, session) = two.at_terminal_told("edit", ALLOW);
    let pending = two.pending(&session);
    let (approval, binds_to) = (pending[0]["approval"].as_str().unwrap(), pending[0]["binds_to"].as_str().unwrap());
    let other = format!("sha256:{}", "0".repeat(64));
    let answer = |words: &[&str]| two.run(&[&["sessions", "answer"][..], words].concat());
    for (words, told) in [
        (&["--binds-to", &other, &session, approval, "yes"][..], "look again"),
        (&[&session, approval, "perhaps"], "please answer"),
        (&[&session, "apr_00000000000000000000000000", "yes"], "does not wait"),
    ] {
        let refused = answer(words);
        assert!(refused.code == Some(2) && refused.stderr.contains(told), "{words:?}: {refused:?}");
    }
    assert_eq!((two.pending(&session).len(), two.count(&session, "approval_answered")), (1, 0), "nothing is lost");

    let answered = answer(&["--binds-to", binds_to, &session, approval, "yes"]);
    assert_eq!(answered.code, Some(0), "{answered:?}");
    assert!(answered.stdout.starts_with(&format!("accepted by {session} as event ")), "{answered:?}");
    terminal.wait_for("answered elsewhere");
    terminal.wait_for("You said edit.");
    terminal.wait_for_prompt();
    assert_eq!(two.place.read("a.txt"), "count:|\n");
    let twice = answer(&[&session, approval, "yes"]);
    assert!(twice.code == Some(2) && twice.stderr.contains("it was answered as event"), "{twice:?}");

    // The terminal waits for a line, and something is typed already.
    terminal.keys("half a ");
    terminal.wait_for("half a");
    let told = end(&two.run(&["sessions", "say", &session, "hello", "--json"]), 0);
    assert_eq!((&told["receipt"]["receipt"], &told["session"]), (&json!("delivered"), &json!(session)), "{told}");
    terminal.wait_for("You said hello.");
    terminal.wait_for_prompt_with("half a");
    terminal.line("line");
    terminal.wait_for("You said half a line.");
    terminal.wait_for_prompt();
    terminal.line("/exit");
    assert_eq!(terminal.exit_code(), 0);
    assert_eq!(two.count(&session, "approval_answered"), 1);
    log::verify_session(&two.place, &session).unwrap();
    two.requests_are_valid();
}

#[test]
fn a_question_at_a_terminal_is_answered_by_another_process() {
    let two = Two::new();
    let (mut terminal, session) = two.at_terminal_told("ask", "number or words");
    let question = two.pending(&session)[0]["question"].as_str().unwrap().to_owned();
    let wrong = two.run(&["sessions", "answer", &session, &question, "blue"]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("one of the choices"), "{wrong:?}");
    let answered = end(&two.run(&["sessions", "answer", "--json", &session, &question, "green"]), 0);
    assert_eq!(answered["receipt"]["receipt"], "accepted");
    let given = answered["receipt"]["given"].as_str().unwrap();
    assert_eq!(two.receipt(&session, given), answered["receipt"], "it can be looked up later");
    terminal.wait_for("You said ask.");
    terminal.wait_for_prompt();
    terminal.line("/exit");
    assert_eq!(terminal.exit_code(), 0);
    let events = log::events(&two.place, &session);
    let answer = events.iter().find(|event| event["kind"] == "question_answered").unwrap();
    assert_eq!(answer["event"]["answer"], "green");
}

#[test]
fn messages_reach_a_turn_that_another_process_runs() {
    let two = Two::new();
    let mut command = two.place.run(&["hang", "--json"]);
    command.envs(WIRE.environment(two.server.url(), KEY));
    let running = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = std::time::Instant::now();
    while two.server.requests().is_empty() {
        assert!(started.elapsed().as_secs() < 60);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let session = two.session();
    let say = |words: &[&str]| two.run(&[&["sessions", "say", &session][..], words].concat());
    let queued = end(&say(&["--queue", "and then this", "--json"]), 0)["receipt"].clone();
    assert_eq!(queued["receipt"], "accepted");
    // The model thinks for ever: nothing is delivered before the next step.
    let steered = say(&["--steer", "faster", "--wait", "1"]);
    assert!(steered.code == Some(0) && steered.stdout.contains("not delivered yet"), "{steered:?}");
    assert!(steered.stdout.contains(&format!("harness-host sessions receipt {session} in_")), "{steered:?}");
    let empty = say(&[" "]);
    assert!(empty.code == Some(2) && empty.stderr.contains("nothing to say"), "{empty:?}");
    let interrupted = end(&say(&["--interrupt", "stop and say this", "--json"]), 0)["receipt"].clone();
    assert_eq!(interrupted["receipt"], "delivered");
    let ran = collect(running);
    let lines = json_lines::read(&ran.stdout).unwrap();
    assert_eq!((ran.code, &lines.end["answer"]), (Some(0), &json!("You said and then this.")), "{ran:?}");
    let given = queued["given"].as_str().unwrap();
    assert_eq!(two.receipt(&session, given)["receipt"], "delivered");
    two.requests_are_valid();
}

/// A session whose terminal asks for an approval and takes nothing; an answer and a message that were given to it.
fn left() -> (Two, String, [String; 2]) {
    let two = Two::new();
    let (mut terminal, session, approval) = two.at_stopped_terminal();
    let given = [
        vec!["sessions", "answer", "--json", "--wait", "0", &session, &approval, "yes"],
        vec!["sessions", "say", "--json", "--wait", "0", "--queue", &session, "and then"],
    ]
    .map(|words| {
        let end = end(&two.run(&words), 1);
        assert_eq!(end["receipt"]["receipt"], "waiting");
        let why = end["reason"].as_str().unwrap();
        assert!(why.contains("has not taken it yet") && why.contains("sessions receipt"), "{why}");
        end["receipt"]["given"].as_str().unwrap().to_owned()
    });
    for given in &given {
        assert_eq!(two.receipt(&session, given)["receipt"], "waiting");
    }
    terminal.signal(SIGKILL);
    assert_eq!(terminal.exit_code(), -SIGKILL);
    (two, session, given)
}

/// Copies a folder's files, and those of its folders.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn what_a_killed_process_did_not_take_is_taken_once_over_kills_at_every_point() {
    let (two, session, given) = left();
    let (state, kept) = (two.place.home().join("state"), two.place.root().join("kept"));
    copy(&state, &kept);
    let mut names = std::collections::BTreeSet::new();
    for number in 1..=SWEEP_POINTS_MAX {
        assert!(number < SWEEP_POINTS_MAX, "the points never end");
        std::fs::remove_dir_all(&state).unwrap();
        copy(&kept, &state);
        std::fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        two.place.write("a.txt", "count:\n");
        let open = |crash_at| finish(&mut two.command(&["run", "--session", &session, "--json"], crash_at), None);
        let mut ran = open(Some(number));
        let killed = ran.signal == Some(SIGKILL);
        if killed {
            names.insert(two.killed_at(number));
            // Once more, somewhere else.
            ran = open(Some(number % 7 + 1));
        }
        for _ in 0..OPENINGS_MAX {
            if ran.signal.is_none() {
                break;
            }
            ran = open(None);
        }
        // Where all was done before the kill, only the end could not be told.
        assert!(ran.code == Some(0) || (killed && ran.stdout.contains("no prompt")), "killed at {number}: {ran:?}");
        let counts = ["approval_answered", "message_received", "message_delivered", "changes_put"]
            .map(|kind| two.count(&session, kind));
        assert_eq!(counts, [1, 1, 1, 1], "killed at {number}");
        assert_eq!(two.place.read("a.txt"), "count:|\n", "killed at {number}");
        let events = log::events(&two.place, &session);
        for (given, (kind, came)) in
            given.iter().zip([("approval_answered", "accepted"), ("message_received", "delivered")])
        {
            let receipt = two.receipt(&session, given);
            let at = events.iter().find(|event| event["kind"] == kind).unwrap();
            assert_eq!((&receipt["receipt"], &receipt["accepted"]), (&json!(came), &at["sequence"]), "at {number}");
        }
        log::verify_session(&two.place, &session).unwrap();
        if !killed {
            println!("killed at {} points: {names:?}", number - 1);
            break;
        }
    }
    assert!(names.contains("commit.before") && names.contains("commit.after"), "{names:?}");
    two.requests_are_valid();
}

#[test]
fn a_sender_that_is_killed_gave_all_of_it_or_nothing() {
    let two = Two::new();
    let (mut terminal, session) = two.at_terminal_told("hello", "You said hello.");
    terminal.wait_for_prompt();
    terminal.signal(libc::SIGSTOP);
    let mut expected = vec!["hello".to_owned()];
    for number in 1..=SWEEP_POINTS_MAX {
        assert!(number < SWEEP_POINTS_MAX, "the points never end");
        let text = format!("word {number}");
        let words = ["sessions", "say", "--wait", "0", "--queue", &session, &text];
        let ran = finish(&mut two.command(&words, Some(number)), None);
        if ran.signal.is_none() {
            expected.push(text);
            break;
        }
        if two.killed_at(number) == "commit.after" {
            expected.push(text);
        }
    }
    assert!(expected.len() >= 3, "it is killed after its commit, and not at all: {expected:?}");
    terminal.signal(SIGKILL);
    terminal.exit_code();
    let ran = two.run(&["run", "--session", &session]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let last = two.server.requests().pop().unwrap();
    assert_eq!(said(&last), expected, "each once, in order");
    two.requests_are_valid();
}

#[test]
fn whoever_waits_for_a_process_that_dies_goes_on_alone() {
    let two = Two::new();
    let (mut terminal, session, approval) = two.at_stopped_terminal();
    let words = ["sessions", "answer", "--wait", "60", &session, &approval, "yes"];
    let mut command = two.command(&words, None);
    let waiting = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Whether it has given its answer by then or not, the outcome is the same.
    std::thread::sleep(std::time::Duration::from_millis(500));
    terminal.signal(SIGKILL);
    terminal.exit_code();
    let ran = collect(waiting);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "You said edit.\n"), "{ran:?}");
    assert_eq!(two.place.read("a.txt"), "count:|\n");
    assert_eq!(two.count(&session, "approval_answered"), 1);
}

#[test]
fn what_another_process_runs_is_stopped_without_a_word() {
    let two = Two::new();
    let stop = |words: &[&str]| two.run(&[&["sessions", "stop"][..], words].concat());
    let (mut terminal, session) = two.at_terminal_told("edit", ALLOW);
    let stopped = stop(&[&session]);
    assert_eq!(
        (stopped.code, stopped.stdout),
        (Some(0), format!("stopped turn 1 of {session}\n")),
        "{}",
        stopped.stderr
    );
    terminal.wait_for_prompt();
    assert_eq!((two.pending(&session).len(), two.place.read("a.txt").as_str()), (0, "count:\n"));
    let again = stop(&[&session]);
    assert_eq!((again.code, again.stdout), (Some(0), format!("nothing is under way in {session}\n")));
    terminal.line("hang");
    terminal.wait_for("Thinking");
    let json: Value = serde_json::from_str(&stop(&["--json", &session]).stdout).unwrap();
    assert_eq!(json, json!({"session": session, "stopped": 2}));
    terminal.wait_for_prompt();
    terminal.line("hello");
    terminal.wait_for("You said hello.");
    terminal.wait_for_prompt();
    terminal.line("/exit");
    assert_eq!(terminal.exit_code(), 0);
    two.requests_are_valid();
}

#[test]
fn what_a_process_that_is_gone_left_over_is_stopped_by_another_one() {
    let two = Two::new();
    let stop = |words: &[&str]| two.run(&[&["sessions", "stop"][..], words].concat());
    let (mut terminal, session, _) = two.at_stopped_terminal();
    let waits = stop(&["--wait", "0", &session]);
    assert_eq!(waits.code, Some(1), "{waits:?}");
    assert!(waits.stderr.contains("has not taken it yet") && waits.stderr.contains("sessions receipt"), "{waits:?}");
    terminal.signal(SIGKILL);
    terminal.exit_code();
    let left = two.run(&["sessions", "rewind", &session, "--to", "5"]);
    let told = format!("(harness-host sessions stop {session})");
    assert!(left.code == Some(1) && left.stderr.contains(&told), "{left:?}");
    let requests = two.server.requests().len();
    assert_eq!(stop(&[&session]).stdout, format!("stopped turn 1 of {session}\n"));
    assert_eq!(two.server.requests().len(), requests, "nothing was run for it");
    assert_eq!(two.run(&["sessions", "rewind", &session, "--to", "5"]).code, Some(0));
    let ran = two.run(&["run", "--session", &session, "and on"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "You said and on.\n"), "{ran:?}");
    assert_eq!(two.count(&session, "interrupt_requested"), 1);
    log::verify_session(&two.place, &session).unwrap();
    two.requests_are_valid();
}

#[test]
fn what_a_crash_left_over_is_stopped_and_gone_back_over_whatever_was_under_way() {
    let mut names = std::collections::BTreeSet::new();
    for number in 1..=SWEEP_POINTS_MAX {
        assert!(number < SWEEP_POINTS_MAX, "the points never end");
        let two = Two::new();
        let killed = finish(&mut two.command(&["run", "edit", "--approve", "edits"], Some(number)), None);
        if killed.signal != Some(SIGKILL) {
            assert_eq!(killed.code, Some(0), "{killed:?}");
            break;
        }
        let name = two.killed_at(number);
        let Some(session) = log::sessions(&two.place).pop() else { continue };
        let events = log::events(&two.place, &session);
        if !events.iter().any(|event| event["kind"] == "turn_started") {
            continue;
        }
        let requests = two.server.requests().len();
        let stopped = two.run(&["sessions", "stop", &session]);
        assert_eq!(stopped.code, Some(0), "killed at {number} ({name}): {stopped:?}");
        let count = |kind: &str| two.count(&session, kind);
        let is_over = events.last().unwrap()["kind"] == "turn_ended";
        assert_eq!(stopped.stdout.starts_with("nothing is under way"), is_over, "killed at {number} ({name})");
        assert_eq!((count("turn_ended"), two.server.requests().len()), (1, requests), "killed at {number} ({name})");
        // What was being put in place is there, once, and nothing else is.
        let text = two.place.read("a.txt");
        assert!(text == "count:\n" || text == "count:|\n", "killed at {number} ({name}): {text}");
        let put = count("changes_put");
        assert_eq!(text == "count:|\n", put == 1, "killed at {number} ({name})");
        let rewound = two.run(&["sessions", "rewind", &session, "--to", "2", "--files", "--yes"]);
        assert_eq!(rewound.code, Some(0), "killed at {number} ({name}): {rewound:?}");
        assert_eq!(two.place.read("a.txt"), "count:\n", "killed at {number} ({name})");
        names.insert((put, name));
        log::verify_session(&two.place, &session).unwrap();
    }
    assert!(
        names.contains(&(1, "put.rename.before".to_owned())) && names.iter().any(|(put, _)| *put == 0),
        "{names:?}"
    );
}

#[test]
fn a_title_a_budget_and_putting_away_reach_a_session_that_another_process_holds() {
    let two = Two::new();
    let mut terminal = two.at_terminal();
    let session = two.session();
    for args in [
        &["sessions", "rename", &session, "At work"][..],
        &["sessions", "budget", &session, "tokens=123456"],
        &["sessions", "archive", &session],
    ] {
        let ran = two.run(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:?}");
    }
    let refused = two.run(&["sessions", "rename", &session, " "]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let shown = two.run(&["sessions", "list", "--archived", "--json"]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!((&shown[0]["title"], &shown[0]["session"]), (&json!("At work"), &json!(session)), "{shown}");
    let budget: Value = serde_json::from_str(&two.run(&["sessions", "budget", &session, "--json"]).stdout).unwrap();
    assert_eq!(budget["budget"]["tokens"], 123_456, "{budget}");
    let told = two.run(&["sessions", "rewind", &session, "--to", "1", "--yes"]);
    assert!(told.code == Some(1) && !told.stderr.contains('|'), "the holder is named for people: {told:?}");
    terminal.line("/exit");
    assert_eq!(terminal.exit_code(), 0);
    log::verify_session(&two.place, &session).unwrap();
}
