//! A person at a terminal: prompts, answers, approvals, interrupts, history, and text that would like to act.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_tests::log;
use harness_tests::program::{Place, finish};
use harness_tests::provider::Wire;
use harness_tests::responder::{Answer, Responder};
use harness_tests::secret;
use harness_tests::terminal::Terminal;
use harness_tests::wire_text::Response;
use serde_json::{Value, json};
use std::process::Command;

const WIRE: Wire = Wire::Anthropic;
/// The question of an approval.
const QUESTION: &str = "allow? [y]es, [n]o";

/// The program at a terminal, talking to a server.
fn at_terminal(place: &Place, server: &Responder, words: &[&str]) -> Terminal {
    let mut command: Command = place.run(words);
    command.envs(WIRE.environment(server.url(), secret::KEY));
    Terminal::start(command)
}

/// The words of the last prompt in a request.
fn last_prompt(body: &Value) -> String {
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let text = messages.iter().rev().filter(|message| message["role"] == "user").find_map(|message| {
        message["content"].as_array()?.iter().rev().find(|block| block["type"] == "text")?["text"].as_str()
    });
    text.unwrap_or_default().to_owned()
}

/// Tool results after the last prompt.
fn results_since_prompt(body: &Value) -> usize {
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let is_prompt = |message: &Value| {
        message["role"] == "user"
            && message["content"].as_array().is_none_or(|blocks| blocks.iter().any(|block| block["type"] == "text"))
    };
    let after = messages.iter().rposition(is_prompt).map_or(0, |at| at + 1);
    let results = |message: &Value| {
        message["content"]
            .as_array()
            .map_or(0, |blocks| blocks.iter().filter(|block| block["type"] == "tool_result").count())
    };
    messages[after..].iter().map(results).sum()
}

fn edit(id: &str, from: &str, to: &str) -> Answer {
    Answer::Respond(Response::call(id, "edit_file", json!({"path": "a.txt", "old_string": from, "new_string": to})))
}

fn words(text: &str) -> Answer {
    Answer::Respond(Response::text(text))
}

#[test]
fn approvals_show_the_diff_and_take_reasons_and_allowances() {
    let place = Place::new();
    place.write("a.txt", "    one\n");
    let server = Responder::start(WIRE, |body| match (last_prompt(body).as_str(), results_since_prompt(body)) {
        ("indent it", 0) => edit("c1", "    one", "        one"),
        ("indent it", 1) => edit("c2", "    one", "\tone"),
        ("indent it", 2) => edit("c3", "one", "two"),
        ("indent it", _) => words("Indented with a tab."),
        ("once more", 0) => edit("c4", "two", "three"),
        ("once more", _) => words("And three."),
        (other, _) => words(&format!("You said {other}.")),
    });
    let mut terminal = at_terminal(&place, &server, &[]);
    terminal.wait_for("/help for help");
    terminal.line("indent it");
    terminal.wait_for(QUESTION);
    let screen = terminal.text();
    assert!(screen.contains("-    one") && screen.contains("+        one"), "no diff:\n{screen}");
    assert!(screen.contains("asked by rule default.edit"), "{screen}");
    terminal.line("perhaps");
    terminal.wait_for("please answer y");
    terminal.line("n because tabs");
    terminal.wait_for("refused");
    terminal.wait_for_times(QUESTION, 3);
    assert_eq!(place.read("a.txt"), "    one\n", "nothing is applied before the answer");
    terminal.line("y");
    terminal.wait_for_times(QUESTION, 4);
    assert_eq!(place.read("a.txt"), "\tone\n");
    terminal.line("t");
    terminal.wait_for("Indented with a tab.");
    assert_eq!(place.read("a.txt"), "\ttwo\n");
    terminal.line("once more");
    terminal.wait_for("And three.");
    assert_eq!(place.read("a.txt"), "\tthree\n");
    assert_eq!(terminal.text().matches(QUESTION).count(), 4, "the tool is allowed in this session");
    terminal.line("/exit");
    assert_eq!(terminal.exit_code(), 0);

    let requests = server.requests();
    for body in &requests {
        WIRE.check(body).unwrap();
    }
    let told = requests[1].pointer("/messages/2/content/0/content").unwrap().to_string();
    assert!(told.contains("because tabs"), "the reason does not reach the model: {told}");
    assert!(!secret::is_in(&terminal.raw()) && secret::files_with_key(&place.root(), &[]).is_empty());
}

#[test]
fn an_allowance_ends_with_its_session() {
    let place = Place::new();
    place.write("a.txt", "one\n");
    let server = Responder::start(WIRE, |body| match (last_prompt(body).as_str(), results_since_prompt(body)) {
        ("first", 0) => edit("c1", "one", "two"),
        ("second", 0) => edit("c2", "two", "three"),
        _ => words("Ended."),
    });
    let mut terminal = at_terminal(&place, &server, &["first"]);
    terminal.wait_for(QUESTION);
    terminal.line("t");
    assert_eq!(terminal.exit_code(), 0);
    let mut terminal = at_terminal(&place, &server, &["second"]);
    terminal.wait_for(QUESTION);
    terminal.line("n");
    assert_eq!(terminal.exit_code(), 0);
    assert_eq!(place.read("a.txt"), "two\n");
}

#[test]
fn ctrl_c_stops_the_turn_and_keeps_the_session_and_twice_leaves() {
    let place = Place::new();
    let server = Responder::start(WIRE, |body| match last_prompt(body).as_str() {
        "hang" => Answer::Hang("Thinking about".to_owned()),
        other => words(&format!("You said {other}.")),
    });
    let mut terminal = at_terminal(&place, &server, &[]);
    terminal.wait_for("/help for help");
    terminal.line("hang");
    terminal.wait_for("Thinking about");
    terminal.keys("\x03");
    terminal.wait_for("stopping; Ctrl-C again leaves at once");
    // The session is kept: the next prompt is answered.
    terminal.line("hello");
    terminal.wait_for("You said hello.");
    let stopped = server.requests().last().cloned().unwrap();
    WIRE.check(&stopped).unwrap();
    assert_eq!(last_prompt(&stopped), "hello");
    terminal.wait_for_prompt();
    terminal.keys("\x03");
    terminal.wait_for("Ctrl-C again leaves; the session is kept");
    terminal.keys("\x03");
    assert_eq!(terminal.exit_code(), 0, "at an empty prompt nothing is interrupted");

    // A prompt of its own on the command line: the first Ctrl-C ends the turn and the run.
    let mut terminal = at_terminal(&place, &server, &["hang"]);
    terminal.wait_for("Thinking about");
    terminal.keys("\x03");
    assert_eq!(terminal.exit_code(), 130);
    let sessions = log::sessions(&place);
    assert_eq!(sessions.len(), 2);
    for session in sessions {
        log::verify_session(&place, &session).unwrap();
    }
}

#[test]
fn two_interrupts_leave_at_once() {
    let place = Place::new();
    let server = Responder::start(WIRE, |_| Answer::Hang("Thinking about".to_owned()));
    let mut terminal = at_terminal(&place, &server, &[]);
    terminal.wait_for("/help for help");
    terminal.line("hang");
    terminal.wait_for("Thinking about");
    terminal.keys("\x03\x03");
    // Both may be taken as one signal: then the turn is stopped and the prompt is back, where two more leave.
    let code = loop {
        if terminal.text().contains("0 steps") {
            terminal.wait_for_prompt();
            terminal.keys("\x03");
            terminal.wait_for("Ctrl-C again leaves; the session is kept");
            terminal.keys("\x03");
            break (terminal.exit_code(), 0);
        }
        if let Some(code) = terminal.ended() {
            break (code, 130);
        }
    };
    assert_eq!(code.0, code.1);
}

#[test]
fn ctrl_c_at_a_question_stops_the_turn() {
    let place = Place::new();
    place.write("a.txt", "one\n");
    let server = Responder::start(WIRE, |body| match (last_prompt(body).as_str(), results_since_prompt(body)) {
        ("edit", 0) => edit("c1", "one", "two"),
        (other, _) => words(&format!("You said {other}.")),
    });
    let mut terminal = at_terminal(&place, &server, &[]);
    terminal.wait_for("/help for help");
    terminal.line("edit");
    terminal.wait_for(QUESTION);
    terminal.keys("\x03");
    terminal.wait_for("1 step");
    terminal.line("go on");
    terminal.wait_for("You said go on.");
    for body in server.requests() {
        WIRE.check(&body).unwrap();
    }
    terminal.wait_for_prompt();
    terminal.keys("\x04");
    assert_eq!(terminal.exit_code(), 0);
    assert_eq!(place.read("a.txt"), "one\n");
}

#[test]
fn lines_go_on_and_history_comes_back() {
    let place = Place::new();
    let server = Responder::start(WIRE, |body| words(&format!("<{}>", last_prompt(body).replace('\n', "|"))));
    let mut terminal = at_terminal(&place, &server, &[]);
    terminal.wait_for("/help for help");
    terminal.line("first\\");
    terminal.line("second");
    terminal.wait_for("<first|second>");
    terminal.wait_for_prompt();
    // Alt-Enter.
    terminal.keys("third\x1b\rfourth");
    terminal.keys("\r");
    terminal.wait_for("<third|fourth>");
    terminal.wait_for_prompt();
    // Pasted lines are one prompt.
    terminal.keys("\x1b[200~fifth\nsixth\x1b[201~");
    terminal.keys("\r");
    terminal.wait_for("<fifth|sixth>");
    terminal.line("/nonsense");
    terminal.wait_for("there is no command /nonsense");
    terminal.line("/mdoe plan");
    terminal.wait_for("there is no command /mdoe, did you mean /mode?");
    terminal.wait_for_times("to say it to the model, begin the line with a space", 2);
    terminal.wait_for_prompt();
    terminal.line(" /mdoe plan");
    terminal.wait_for("</mdoe plan>");
    terminal.wait_for_prompt();
    terminal.line("/session");
    terminal.wait_for_times("ses_", 2);
    terminal.line("/exit");
    assert_eq!(terminal.exit_code(), 0);

    // Another process, the same person: the last prompt is one key away.
    let mut terminal = at_terminal(&place, &server, &["--continue"]);
    terminal.wait_for("/help for help");
    terminal.line("seventh");
    terminal.wait_for("<seventh>");
    terminal.wait_for_prompt();
    terminal.keys("\x1b[A");
    terminal.keys("\r");
    terminal.wait_for_times("<seventh>", 2);
    terminal.line("/exit");
    assert_eq!(terminal.exit_code(), 0);
    let prompts: Vec<String> = server.requests().iter().map(last_prompt).collect();
    assert_eq!(prompts, ["first\nsecond", "third\nfourth", "fifth\nsixth", "/mdoe plan", "seventh", "seventh"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(place.home().join("state/history.txt")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o077, 0, "the history is for its owner alone");
}

#[test]
fn foreign_text_does_not_act_on_the_terminal() {
    // Sets the title, clears the screen, hides text, turns it around, asks the terminal to answer.
    const HOSTILE: &str = "\x1b]0;owned\x07\x1b[2J\x1b[8m\u{202e}\u{9b}6n\x1b[21t\r\x08";
    let place = Place::new();
    place.write("a.txt", format!("one {HOSTILE}\n"));
    let server = Responder::start(WIRE, |body| match results_since_prompt(body) {
        0 => Answer::Respond(
            Response { text: format!("model {HOSTILE} text"), ..Response::default() }
                .and(
                    "c1",
                    "edit_file",
                    json!({"path": "a.txt", "old_string": "one", "new_string": format!("two {HOSTILE}")}),
                )
                .and("c2", "read_file", json!({"path": format!("no {HOSTILE} such")}))
                .and("c3", &format!("tool{HOSTILE}"), json!({"x": HOSTILE})),
        ),
        _ => words(&format!("Done {HOSTILE}.")),
    });
    let mut terminal = at_terminal(&place, &server, &["go", "--color", "always"]);
    terminal.wait_for(QUESTION);
    terminal.line("y");
    assert_eq!(terminal.exit_code(), 0);
    let raw = String::from_utf8_lossy(&terminal.raw()).into_owned();
    assert!(
        raw.contains("model ") && raw.contains("owned") && raw.contains("Done "),
        "the text itself is shown:\n{raw}"
    );
    for forbidden in ["\x1b]0", "\x1b[2J", "\x1b[8m", "\u{202e}", "\u{9b}", "\x1b[21t", "\x07", "\x08"] {
        assert!(!raw.contains(forbidden), "{forbidden:?} reached the terminal:\n{raw:?}");
    }
    // Later looks at the session are as safe.
    let session = log::sessions(&place).remove(0);
    for words in [&["sessions", "show", &session][..], &["sessions", "events", &session], &["sessions", "list"]] {
        let ran = finish(place.program().args(words), None);
        assert_eq!(ran.code, Some(0));
        let control = ran.stdout.chars().find(|c| (c.is_control() && !matches!(c, '\n' | '\t')) || *c == '\u{202e}');
        assert_eq!(control, None, "{words:?} printed {}", ran.stdout);
    }
}
