//! Signals, readers that go away, and two processes at one session.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_tests::json_lines;
use harness_tests::log;
use harness_tests::program::{Place, Ran, collect, finish};
use harness_tests::provider::Wire;
use harness_tests::responder::{Answer, Responder, page};
use harness_tests::secret::KEY;
use harness_tests::wire_text::Response;
use serde_json::{Value, json};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

const WIRE: Wire = Wire::Anthropic;
/// What is waited for comes within this time, on a machine that is busy.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A server that hangs until it is told to answer.
fn hanging() -> (Responder, Arc<AtomicBool>) {
    let answers = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&answers);
    let server = Responder::start(WIRE, move |_| match told.load(Ordering::SeqCst) {
        true => Answer::Respond(Response::text("At last.")),
        false => Answer::Hang("Thinking".to_owned()),
    });
    (server, answers)
}

fn spawn(place: &Place, server: &Responder, words: &[&str]) -> Child {
    let mut command = place.run(words);
    command.envs(WIRE.environment(server.url(), KEY));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn run(place: &Place, server: &Responder, words: &[&str]) -> Ran {
    finish(place.run(words).envs(WIRE.environment(server.url(), KEY)), None)
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < WAIT_MAX, "{what} never came to be");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn send(child: &Child, signal: i32) {
    // SAFETY: the process is our own child and has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id().cast_signed(), signal) }, 0);
}

#[test]
fn an_interrupt_stops_the_turn_and_is_told() {
    let place = Place::new();
    let (server, answers) = hanging();
    let child = spawn(&place, &server, &["think", "--json"]);
    wait_until("a request", || server.requests().len() == 1);
    send(&child, libc::SIGINT);
    let ran = collect(child);
    assert_eq!(ran.code, Some(130), "{ran:?}");
    let lines = json_lines::read(&ran.stdout).unwrap();
    assert_eq!(lines.end["result"], "interrupted");
    assert_eq!(lines.events.last().unwrap()["event"]["end"]["reason"], "interrupted");
    answers.store(true, Ordering::SeqCst);
    let ran = run(&place, &server, &["--continue", "and now?", "--json"]);
    assert_eq!(json_lines::read(&ran.stdout).unwrap().end["answer"], "At last.");
    for body in server.requests() {
        WIRE.check(&body).unwrap();
    }
}

#[test]
fn a_supervisors_stop_keeps_the_turn_for_later() {
    let place = Place::new();
    let (server, answers) = hanging();
    let child = spawn(&place, &server, &["think", "--json"]);
    wait_until("a request", || server.requests().len() == 1);
    send(&child, libc::SIGTERM);
    let ran = collect(child);
    assert_eq!(ran.code, Some(130), "{ran:?}");
    json_lines::read(&ran.stdout).unwrap();
    answers.store(true, Ordering::SeqCst);
    // Without a new prompt.
    let ran = run(&place, &server, &["--continue", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(json_lines::read(&ran.stdout).unwrap().end["answer"], "At last.");
}

#[test]
fn a_session_has_one_writer_and_can_be_taken_over_openly() {
    let place = Place::new();
    let (server, answers) = hanging();
    let first = spawn(&place, &server, &["think", "--json"]);
    wait_until("a request", || server.requests().len() == 1);
    let session = log::sessions(&place).remove(0);
    let second = run(&place, &server, &["--session", &session, "--json"]);
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("--take-over"), "{}", second.stderr);
    answers.store(true, Ordering::SeqCst);
    let third = run(&place, &server, &["--session", &session, "--take-over", "--json"]);
    assert_eq!(third.code, Some(0), "{third:?}");
    assert_eq!(json_lines::read(&third.stdout).unwrap().end["answer"], "At last.");
    // The first one still waits for its server; it cannot write any more, whatever it is told now.
    send(&first, libc::SIGINT);
    let first = collect(first);
    assert_ne!(first.code, Some(0), "{first:?}");
    json_lines::read(&first.stdout).unwrap();
    log::verify_session(&place, &session).unwrap();
    let events = log::events(&place, &session);
    assert_eq!(
        events.iter().filter(|event| event["kind"] == "turn_ended").count(),
        1,
        "only the new writer's end is in the log"
    );
}

/// The model's server: asks for `url` in each of its first three responses, each as soon as the test lets it.
fn fetching(url: String) -> (Responder, mpsc::Sender<()>) {
    let (go, gone) = mpsc::channel();
    let gone = Mutex::new(gone);
    let server = Responder::start(WIRE, move |body: &Value| {
        let results = WIRE.results(body);
        // A test that failed lets nothing go any more.
        let _ = gone.lock().unwrap().recv_timeout(WAIT_MAX);
        Answer::Respond(match results {
            0..=2 => Response::call(&format!("call_{results}"), "fetch", json!({ "url": url })),
            _ => Response::text("At last."),
        })
    });
    (server, go)
}

#[test]
fn what_another_process_grants_or_revokes_is_in_force_for_the_next_call_of_a_running_turn() {
    let place = Place::new();
    let url = page();
    let capability = format!("http GET {url}");
    let (server, go) = fetching(format!("{url}/"));
    let running = spawn(&place, &server, &["fetch it", "--json"]);
    let second_process = |word: &str| {
        let words = ["component", word, "fetch", &capability];
        let ran = finish(place.program().args(words).current_dir(place.workspace()), None);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    };
    // While the model thinks about its first, second, third call and its answer.
    for (request, between) in [(1, None), (2, Some("grant")), (3, Some("revoke")), (4, None)] {
        wait_until("a request", || {
            let sessions = log::sessions(&place);
            let events = sessions.first().map(|id| log::events(&place, id)).unwrap_or_default();
            events.iter().filter(|event| event["kind"] == "model_requested").count() == request
        });
        between.map(second_process);
        go.send(()).unwrap();
    }
    let ran = collect(running);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines = json_lines::read(&ran.stdout).unwrap();
    let turn = lines.events.iter().skip_while(|event| event["kind"] != "prompt_received");
    let told = turn.filter_map(|event| match event["kind"].as_str()? {
        "call_reported" => event["event"]["outcome"]["outcome"].as_str(),
        kind => kind.starts_with("grant_").then_some(kind),
    });
    let told: Vec<&str> = told.collect();
    assert_eq!(told, ["not_granted", "grant_given", "returned", "grant_revoked", "not_granted"]);
    assert_eq!(lines.events.iter().filter(|event| event["kind"] == "turn_ended").count(), 1);
    log::verify_session(&place, &log::sessions(&place)[0]).unwrap();
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_work() {
    let place = Place::new();
    let script = "TOOL write_file {\"path\":\"a.txt\",\"content\":\"a\\n\"}\nANSWER written";
    let mut command = place.run(&[script, "--approve", "edits", "--json"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ran = collect(child);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(place.read("a.txt"), "a\n");
}

#[test]
fn several_sessions_at_once_in_several_processes() {
    let place = Place::new();
    let server = Responder::start(WIRE, |body| {
        Answer::Respond(match WIRE.results(body) {
            0 => Response::call("c1", "list_dir", serde_json::json!({})),
            _ => Response::text("Listed."),
        })
    });
    let children: Vec<Child> =
        (0..8).map(|number| spawn(&place, &server, &[&format!("list {number}"), "--json"])).collect();
    let mut sessions: Vec<String> = Vec::new();
    for child in children {
        let ran = collect(child);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let lines = json_lines::read(&ran.stdout).unwrap();
        assert_eq!(lines.end["answer"], "Listed.");
        sessions.push(lines.end["session"].as_str().unwrap().to_owned());
    }
    sessions.sort();
    let mut listed = log::sessions(&place);
    listed.sort();
    assert_eq!(sessions, listed);
    for session in sessions {
        log::verify_session(&place, &session).unwrap();
    }
}
