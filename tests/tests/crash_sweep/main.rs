//! The program is killed with SIGKILL at every crash point there is, and goes on as if nothing had been.
//!
//! One sweep runs the whole program: reads, two edits and one approval, against a server that refuses what
//! a provider would refuse. The other runs the placing of a manifest that creates, replaces and deletes,
//! because no built-in tool deletes. Together they pass every point of `crash::POINTS`. A third has everything
//! wait at once that can wait (`waits`).
//!
//! What SIGKILL cannot show, a sync that is missing, the store's own tests show.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod waits;

use harness_engine::crash::POINTS;
use harness_tests::json_lines;
use harness_tests::log;
use harness_tests::program::{Place, Ran, finish};
use harness_tests::provider::Wire;
use harness_tests::responder::{Answer, Responder};
use harness_tests::secret::KEY;
use harness_tests::tree;
use harness_tests::wire_text::Response;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs at once.
const AT_ONCE: usize = 2;
/// More points than a sweep may have: it would never end.
const SWEEP_POINTS_MAX: u64 = 400;
/// A session is resumed at most so often after one crash.
const RESUMES_MAX: usize = 8;
/// The signal of a crash.
const SIGKILL: i32 = 9;
const WIRE: Wire = Wire::Anthropic;
const PROMPT: &str = "Count up, and write it down.";
const FINAL: &str = "Counted and written down.";
/// Edits that show when they are made twice.
const RULES: &str = "[[rules]]\nid = \"edits-are-fine\"\ntool = \"edit_file\"\nverdict = \"allow\"\n";

/// What a sweep found out.
#[derive(Default)]
struct Passed {
    kills: u64,
    names: BTreeMap<String, u64>,
}

impl Passed {
    fn note(&mut self, trace: &[String]) {
        self.kills += 1;
        let name = trace.last().cloned().unwrap_or_default();
        *self.names.entry(name).or_default() += 1;
    }

    fn print(&self, sweep: &str) {
        println!("{sweep}: killed at {} points", self.kills);
        for (name, count) in &self.names {
            println!("  {name:20} {count}");
        }
    }
}

/// Kills at point 1, 2, … until a run is not killed any more.
fn sweep(kill_at: impl Fn(u64) -> Option<Vec<String>> + Sync) -> Passed {
    let (next, passed, failed) = (AtomicU64::new(1), Mutex::new(Passed::default()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    assert!(number < SWEEP_POINTS_MAX, "the points never end");
                    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| kill_at(number)));
                    match result {
                        Ok(Some(trace)) => passed.lock().unwrap().note(&trace),
                        Ok(None) => break,
                        Err(_) => failed.lock().unwrap().push(number),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "a kill at these points is not survived: {failed:?}");
    passed.into_inner().unwrap()
}

fn points_of(trace: &Path) -> Vec<String> {
    std::fs::read_to_string(trace).unwrap_or_default().lines().map(str::to_owned).collect()
}

// The whole program.

/// The model: reads and edits at once, then writes a file, then is done.
fn model(body: &Value) -> Answer {
    Answer::Respond(match WIRE.results(body) {
        0 => Response { text: "First the counter.".to_owned(), ..Response::default() }
            .and("c1", "read_file", json!({"path": "counter.txt"}))
            .and("c2", "edit_file", json!({"path": "counter.txt", "old_string": "count:", "new_string": "count:|"})),
        2 => Response::call("c3", "write_file", json!({"path": "notes/deep/log.txt", "content": "counted once\n"})),
        _ => Response::text(FINAL),
    })
}

struct Course {
    place: Place,
    server: Responder,
    /// Lines that were printed, and so promised.
    promised: Vec<Value>,
}

impl Course {
    fn new() -> Self {
        let place = Place::new();
        place.write("counter.txt", "count:\n");
        place.write("other.txt", "stays\n");
        std::fs::write(place.home().join("config.toml"), RULES).unwrap();
        Self { place, server: Responder::start(WIRE, model), promised: Vec::new() }
    }

    fn command(&self, words: &[&str], crash_at: Option<u64>) -> Command {
        let mut command = self.place.run(words);
        command.arg("--json").envs(WIRE.environment(self.server.url(), KEY));
        if let Some(number) = crash_at {
            command.env("HARNESS_HOST_CRASH_AT", number.to_string());
            command.env("HARNESS_HOST_CRASH_TRACE", self.place.root().join("trace"));
        }
        command
    }

    /// Runs; whether it was killed.
    fn run(&mut self, words: &[&str], crash_at: Option<u64>) -> (bool, Ran) {
        let ran = finish(&mut self.command(words, crash_at), None);
        let killed = ran.signal == Some(SIGKILL);
        assert!(killed || ran.signal.is_none(), "{ran:?}");
        if killed {
            assert!(crash_at.is_some());
            self.promised.extend(json_lines::read_killed(&ran.stdout).unwrap());
        } else {
            self.promised.extend(json_lines::read(&ran.stdout).unwrap_or_else(|why| panic!("{why}: {ran:?}")).events);
        }
        (killed, ran)
    }

    /// Goes on until all is done, as a person or a supervisor would; gives the final answer.
    fn resume(&mut self, mut crash_at: Option<u64>) -> String {
        for _ in 0..RESUMES_MAX {
            let (killed, ran) = self.run(&["--continue", "--approve", "edits"], crash_at.take());
            if killed {
                continue;
            }
            let ran = match ran.code {
                Some(0) => ran,
                // The session, or its prompt, never came to be: the person says it again.
                Some(2) if ran.stdout.contains("no session to continue") => {
                    self.run(&[PROMPT, "--approve", "edits"], None).1
                }
                Some(2) if ran.stdout.contains("no prompt") && !self.is_done() => {
                    self.run(&["--continue", PROMPT, "--approve", "edits"], None).1
                }
                // All was done, only the end could not be told.
                Some(2) if ran.stdout.contains("no prompt") => return self.last_answer(),
                _ => panic!("a resume failed: {ran:?}"),
            };
            assert_eq!(ran.code, Some(0), "{ran:?}");
            return json_lines::read(&ran.stdout).unwrap().end["answer"].as_str().unwrap().to_owned();
        }
        panic!("it is never done");
    }

    fn events(&self) -> Vec<Value> {
        let sessions = log::sessions(&self.place);
        assert!(sessions.len() <= 1, "one task, one session: {sessions:?}");
        sessions.first().map(|session| log::events(&self.place, session)).unwrap_or_default()
    }

    fn is_done(&self) -> bool {
        self.events().iter().any(|event| event["kind"] == "turn_ended")
    }

    fn last_answer(&self) -> String {
        let events = self.events();
        let last = events.iter().rfind(|event| event["kind"] == "model_responded").expect("an answer");
        last.pointer("/event/parts/0/text").and_then(Value::as_str).expect("words").to_owned()
    }

    /// What holds after every crash.
    fn check(&self, answer: &str) {
        assert_eq!(answer, FINAL);
        let expected: BTreeMap<String, Vec<u8>> = [
            ("counter.txt", "count:|\n"),
            ("notes/", ""),
            ("notes/deep/", ""),
            ("notes/deep/log.txt", "counted once\n"),
            ("other.txt", "stays\n"),
        ]
        .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
        .into();
        assert_eq!(tree::read(&self.place.workspace()), expected, "the files, and no temporary ones");
        // A session in which nothing was said before the kill stays behind empty.
        let has_turn = |id: &String| log::events(&self.place, id).iter().any(|event| event["kind"] == "turn_started");
        let sessions: Vec<String> = log::sessions(&self.place).into_iter().filter(has_turn).collect();
        assert_eq!(sessions.len(), 1);
        log::verify_session(&self.place, &sessions[0]).unwrap();
        let events = log::events(&self.place, &sessions[0]);
        for promised in &self.promised {
            let at = usize::try_from(promised["sequence"].as_u64().unwrap()).unwrap() - 1;
            assert_eq!(events.get(at), Some(promised), "an event that was printed is not in the log");
        }
        let mut put: BTreeSet<&str> = BTreeSet::new();
        for event in events.iter().filter(|event| event["kind"] == "changes_put") {
            assert_eq!(event.pointer("/event/result/applied").unwrap(), "applied", "{event}");
            assert!(put.insert(event.pointer("/event/call").unwrap().as_str().unwrap()), "put twice: {event}");
        }
        assert_eq!(put.len(), 2, "two edits");
        let ends = events.iter().filter(|event| event["kind"] == "turn_ended").count();
        assert_eq!(ends, 1);
        for body in self.server.requests() {
            WIRE.check(&body).unwrap_or_else(|why| panic!("the provider would refuse ({why}): {body}"));
        }
    }
}

/// Kills the first run at a point; then, in the resume, kills once more somewhere else.
fn kill_first_run(number: u64) -> Option<Vec<String>> {
    let mut course = Course::new();
    let (killed, ran) = course.run(&[PROMPT], Some(number));
    let trace = points_of(&course.place.root().join("trace"));
    if !killed {
        assert_eq!(ran.code, Some(3), "{ran:?}");
        return None;
    }
    assert_eq!(trace.len() as u64, number);
    let answer = course.resume(Some(number % 11 + 1));
    course.check(&answer);
    Some(trace)
}

/// Kills the run that takes the pending approval up.
fn kill_second_run(number: u64) -> Option<Vec<String>> {
    let mut course = Course::new();
    let (_, ran) = course.run(&[PROMPT], None);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(course.promised.iter().any(|event| event["kind"] == "approval_asked"));
    let (killed, ran) = course.run(&["--continue", "--approve", "edits"], Some(number));
    let trace = points_of(&course.place.root().join("trace"));
    if !killed {
        assert_eq!(ran.code, Some(0), "{ran:?}");
        course.check(&course.last_answer());
        return None;
    }
    let answer = course.resume(Some(number % 7 + 1));
    course.check(&answer);
    Some(trace)
}

// The placing of a manifest.

/// Starts the program that puts a manifest in place.
fn put(folder: &Path, crash_at: Option<u64>) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_put_manifest"));
    command.arg(folder);
    if let Some(number) = crash_at {
        command.env("HARNESS_HOST_CRASH_AT", number.to_string());
        command.env("HARNESS_HOST_CRASH_TRACE", folder.join("trace"));
    }
    finish(&mut command, None)
}

/// A folder with `before/`, `after/` and `workspace/`, the last as the first.
fn manifest_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |side: &str, name: &str, text: &str| {
        let path = folder.path().join(side).join(name);
        if name.ends_with('/') {
            std::fs::create_dir_all(path).unwrap();
        } else {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    };
    for side in ["before", "workspace"] {
        write(side, "changed.txt", "old\n");
        write(side, "gone.txt", "gone\n");
        write(side, "gone/deep/file.txt", "gone too\n");
        write(side, "stays.txt", "stays\n");
        write(side, "turns", "a file becomes a folder\n");
        write(side, "turns-back/inner.txt", "a folder becomes a file\n");
    }
    write("after", "changed.txt", "new\n");
    write("after", "new/deep/made.txt", "made\n");
    write("after", "new/empty/", "");
    write("after", "stays.txt", "stays\n");
    write("after", "turns/inner.txt", "inside\n");
    write("after", "turns-back", "outside\n");
    folder
}

fn kill_put(number: u64) -> Option<Vec<String>> {
    let folder = manifest_folder();
    let side = |name: &str| tree::read(&folder.path().join(name));
    let ran = put(folder.path(), Some(number));
    let trace = points_of(&folder.path().join("trace"));
    if ran.signal != Some(SIGKILL) {
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "applied\n"), "{ran:?}");
        return None;
    }
    assert_eq!(trace.len() as u64, number);
    // Killed once more in the recovery, then let through.
    put(folder.path(), Some(number % 5 + 1));
    let ran = put(folder.path(), None);
    assert_eq!(ran.stdout, "applied\n", "{ran:?}");
    assert_eq!(side("workspace"), side("after"));
    Some(trace)
}

/// Somebody changes a file between the crash and the recovery: all of the rest is as before, or, where all
/// had been put in place already, as after; the foreign change stays.
fn kill_put_and_interfere(number: u64) -> Option<Vec<String>> {
    let folder = manifest_folder();
    let ran = put(folder.path(), Some(number));
    if ran.signal != Some(SIGKILL) {
        return None;
    }
    let trace = points_of(&folder.path().join("trace"));
    std::fs::write(folder.path().join("workspace/changed.txt"), "somebody else's\n").unwrap();
    let ran = put(folder.path(), None);
    assert_eq!(ran.stdout, "conflict changed.txt\n", "{ran:?}");
    let foreign = |side: &str| {
        let mut files = tree::read(&folder.path().join(side));
        files.insert("changed.txt".to_owned(), b"somebody else's\n".to_vec());
        files
    };
    let found = tree::read(&folder.path().join("workspace"));
    let was_complete = trace.last().is_some_and(|name| name == "put.end");
    let expected = if was_complete { foreign("after") } else { foreign("before") };
    assert_eq!(found, expected, "half of a manifest, after a kill at {:?}", trace.last());
    Some(trace)
}

#[test]
fn every_point_is_survived() {
    let first = sweep(kill_first_run);
    first.print("a run up to its question");
    let second = sweep(kill_second_run);
    second.print("the run after it");
    let third = sweep(kill_put);
    third.print("a manifest with deletions");
    let fourth = sweep(kill_put_and_interfere);
    fourth.print("the same, with somebody else at the files");
    let total: u64 = [&first, &second, &third, &fourth].iter().map(|passed| passed.kills).sum();
    println!("{total} kills");
    let reached: BTreeSet<&str> =
        [&first, &second, &third].iter().flat_map(|passed| passed.names.keys().map(String::as_str)).collect();
    let missed: Vec<&&str> = POINTS.iter().filter(|name| !reached.contains(**name)).collect();
    assert!(missed.is_empty(), "never reached: {missed:?}");
    // The write paths of a session, in the program itself.
    for name in [
        "commit.before",
        "commit.after",
        "command.start",
        "command.end",
        "put.stage.after",
        "put.rename.before",
        "put.rename.after",
        "put.end",
    ] {
        assert!(
            first.names.contains_key(name) && second.names.contains_key(name),
            "{name} is not swept in the program"
        );
    }
}
