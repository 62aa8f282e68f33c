//! Everything that can wait waits at once, and the program is killed at every point on the way there and back.
//!
//! What is done is data: a folder of `tests/crashes/` with `course.toml` ([`Course`]), the user's `config.toml` and the
//! `workspace/` before. After each kill, opening the session again shows all that waited and was not answered; answers
//! in any order end the same way, down to what the model is sent last.

use super::{AT_ONCE, Passed, SIGKILL, WIRE, points_of, sweep};
use harness_tests::json_lines;
use harness_tests::log;
use harness_tests::program::{Place, Ran, finish};
use harness_tests::responder::{Answer, Responder, page};
use harness_tests::secret::KEY;
use harness_tests::tree;
use harness_tests::wire_text::Response;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A session is taken up at most so often until all waits that is to wait.
const ATTEMPTS_MAX: usize = 10;
/// The orders of three answers: as they come, in reverse, and the others.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]];

/// `course.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Course {
    /// What it shows, in a sentence.
    about: String,
    /// Begins the first turn.
    prompt: String,
    /// Waits for the next one.
    queued: String,
    /// The mode that is switched to while all waits.
    mode: String,
    /// The component and the capability that are granted while all waits. `$PAGE` is a page on loopback.
    grant: [String; 2],
    /// What the model does.
    model: Vec<Turn>,
    /// What waits for a person.
    waits: Vec<Waits>,
    /// What has to come of it.
    expected: Expected,
}

/// A response, to these last words and so many results.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    told: String,
    results: usize,
    #[serde(default)]
    text: String,
    #[serde(default)]
    calls: Vec<Call>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    id: String,
    tool: String,
    arguments: Value,
}

/// What a call of this tool waits for, and the answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waits {
    tool: String,
    answer: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// The last words.
    answer: String,
    files: BTreeMap<String, String>,
    /// What the result of each call holds.
    results: BTreeMap<String, String>,
    /// The call among them that has effects outside.
    outside: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crashes/everything-waits")
}

impl Course {
    fn read() -> Self {
        let text = std::fs::read_to_string(folder().join("course.toml")).unwrap();
        let course: Self = toml::from_str(&text).unwrap();
        assert!(!course.about.is_empty() && course.waits.len() == ORDERS[0].len());
        course
    }
}

/// The words of people in a request, without those of the host on modes.
fn told(body: &Value) -> Option<String> {
    let messages = body["messages"].as_array()?;
    let of_user = messages.iter().filter(|message| message["role"] == "user");
    let texts = of_user.flat_map(|message| message["content"].as_array().into_iter().flatten());
    let mut texts = texts.filter_map(|block| block["text"].as_str());
    texts.rfind(|text| !text.starts_with("[The session is")).map(str::to_owned)
}

fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| event["kind"] == kind).count()
}

/// The ids of what waits, by the tool whose call it is.
fn by_tool(pending: &Value) -> BTreeMap<String, String> {
    let entry = |it: &Value| match it["approval"].as_str() {
        Some(approval) => (it["tool"].as_str().unwrap().to_owned(), approval.to_owned()),
        None => ("ask_user".to_owned(), it["question"].as_str().unwrap().to_owned()),
    };
    pending.as_array().unwrap().iter().map(entry).collect()
}

/// The course, under way.
struct UnderWay<'a> {
    course: &'a Course,
    place: Place,
    server: Responder,
    page: String,
    /// Lines that were printed, and so promised.
    promised: Vec<Value>,
    /// The session in which something was said, once it is known.
    session: Option<String>,
    /// What the last run left waiting: ids by tool.
    ids: BTreeMap<String, String>,
}

impl<'a> UnderWay<'a> {
    fn new(course: &'a Course) -> Self {
        let (place, page) = (Place::new(), page());
        for (name, content) in tree::read(&folder().join("workspace")) {
            if !name.ends_with('/') {
                place.write(&name, content);
            }
        }
        std::fs::copy(folder().join("config.toml"), place.home().join("config.toml")).unwrap();
        let (turns, url) = (course.model.clone(), page.clone());
        let server = Responder::start(WIRE, move |body| {
            let (told, results) = (told(body).unwrap_or_default(), WIRE.results(body));
            let turn = turns.iter().find(|turn| turn.told == told && turn.results == results);
            let turn = turn.unwrap_or_else(|| panic!("no response to `{told}` with {results} results"));
            let response = Response { text: turn.text.clone(), ..Response::default() };
            Answer::Respond(turn.calls.iter().fold(response, |response, call| {
                let arguments = call.arguments.to_string().replace("$PAGE", &url);
                response.and(&call.id, &call.tool, serde_json::from_str(&arguments).unwrap())
            }))
        });
        Self { course, place, server, page, promised: Vec::new(), session: None, ids: BTreeMap::new() }
    }

    /// Runs the program; the events that it printed are promises.
    fn run(&mut self, words: &[&str], crash_at: Option<u64>) -> Ran {
        let mut command = self.place.program();
        command.args(words).current_dir(self.place.workspace()).envs(WIRE.environment(self.server.url(), KEY));
        if let Some(number) = crash_at {
            command.env("HARNESS_HOST_CRASH_AT", number.to_string());
            command.env("HARNESS_HOST_CRASH_TRACE", self.trace());
        }
        let ran = finish(&mut command, None);
        if ran.signal == Some(SIGKILL) && crash_at.is_some() {
            self.promised.extend(json_lines::read_killed(&ran.stdout).unwrap());
        } else {
            assert!(ran.signal.is_none(), "{ran:?}");
            let lines = json_lines::read(&ran.stdout).unwrap_or_else(|why| panic!("{why}: {ran:?}"));
            self.ids = by_tool(&lines.end["pending"]);
            self.promised.extend(lines.events);
        }
        ran
    }

    fn trace(&self) -> PathBuf {
        self.place.root().join("trace")
    }

    fn create(&mut self, crash_at: Option<u64>) -> Ran {
        let course = self.course;
        self.run(&["run", "--json", &course.prompt, "--then", &course.queued], crash_at)
    }

    fn switch(&mut self, crash_at: Option<u64>) -> Ran {
        let course = self.course;
        self.run(&["run", "--continue", "--json", "--mode", &course.mode], crash_at)
    }

    /// Gives an answer; by which of those that wait.
    fn answer(&mut self, which: usize, crash_at: Option<u64>) -> Ran {
        let (session, waits) = (self.session.clone().unwrap(), &self.course.waits[which]);
        let id = self.ids.get(&waits.tool).unwrap_or_else(|| panic!("{} does not wait", waits.tool)).clone();
        let mut words = vec!["sessions", "answer", "--json", &session, &id];
        words.extend(waits.answer.iter().map(String::as_str));
        self.run(&words, crash_at)
    }

    fn grant(&self) {
        let [component, capability] = &self.course.grant;
        let capability = capability.replace("$PAGE", &self.page);
        let mut command = self.place.program();
        let ran = finish(command.args(["component", "grant", component, &capability]), None);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }

    /// The events of the session in which something was said; none where there is no such session.
    fn events(&mut self) -> Vec<Value> {
        if let Some(session) = &self.session {
            return log::events(&self.place, session);
        }
        // One in which nothing was said before the kill stays behind empty.
        for session in log::sessions(&self.place) {
            let events = log::events(&self.place, &session);
            if events.iter().any(|event| event["kind"] == "prompt_received") {
                self.session = Some(session);
                return events;
            }
        }
        Vec::new()
    }

    /// What waits, as `sessions pending` lists it: ids by tool.
    fn waiting(&self) -> BTreeMap<String, String> {
        let Some(session) = &self.session else { return BTreeMap::new() };
        let ran = finish(self.place.program().args(["sessions", "pending", session, "--json"]), None);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        by_tool(&serde_json::from_str(&ran.stdout).unwrap())
    }

    /// Goes on, as a person would, until all waits that is to wait.
    fn until_all_waits(&mut self) {
        let course = self.course;
        for _ in 0..ATTEMPTS_MAX {
            let events = self.events();
            let ran = match self.session.clone() {
                None => self.create(None),
                Some(session) if count(&events, "message_received") == 0 => {
                    self.run(&["sessions", "say", "--json", "--queue", &session, &course.queued], None)
                }
                Some(_) if self.waiting().len() < course.waits.len() => {
                    self.run(&["run", "--continue", "--json"], None)
                }
                Some(_) if count(&events, "mode_chosen") == 0 => {
                    self.grant();
                    self.switch(None)
                }
                Some(_) => return,
            };
            assert_eq!(ran.code, Some(3), "{ran:?}");
        }
        let kinds: Vec<Value> = self.events().iter().map(|event| event["kind"].clone()).collect();
        panic!("only {:?} come to wait, after {kinds:?}", self.waiting());
    }

    /// Opens the session again, and looks that these wait, with all else that does.
    fn check_waiting(&mut self, which: &BTreeSet<usize>) {
        let expected: BTreeSet<&str> = which.iter().map(|which| self.course.waits[*which].tool.as_str()).collect();
        let before = self.waiting();
        assert_eq!(before.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected, "after a kill");
        let ran = self.run(&["run", "--continue", "--json"], None);
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert_eq!(self.ids, before, "opened again, all of it waits under the same ids");
        let end = json_lines::read(&ran.stdout).unwrap().end;
        assert_eq!(
            (&end["messages_waiting"], &end["mode"]),
            (&Value::from(1), &Value::from(self.course.mode.as_str()))
        );
        let kinds = ["mode_chosen", "message_received", "message_delivered", "grant_revoked"];
        let events = self.events();
        assert_eq!(kinds.map(|kind| count(&events, kind)), [1, 1, 0, 0], "{kinds:?}");
        let is_granted = |event: &&Value| event["kind"] == "grant_given" && event.to_string().contains(&self.page);
        assert_eq!(events.iter().filter(is_granted).count(), 1, "the grant is in force");
    }

    /// Answers what still waits, in this order, until all is done.
    fn answer_all(&mut self, order: [usize; 3]) {
        self.ids = self.waiting();
        let waits = |which: &usize| self.ids.contains_key(&self.course.waits[*which].tool);
        let left: Vec<usize> = order.into_iter().filter(waits).collect();
        let mut ran = None;
        for (at, which) in left.iter().enumerate() {
            let answered = self.answer(*which, None);
            assert_eq!(answered.code, Some(if at + 1 == left.len() { 0 } else { 3 }), "{answered:?}");
            ran = Some(answered);
        }
        // A kill came after the last answer.
        let ran = ran.unwrap_or_else(|| self.run(&["run", "--continue", "--json"], None));
        let was_done = ran.code == Some(2) && ran.stdout.contains("no prompt");
        assert!(was_done || ran.code == Some(0), "{ran:?}");
        if !was_done {
            let end = json_lines::read(&ran.stdout).unwrap().end;
            assert_eq!(end["answer"], self.course.expected.answer.as_str(), "{end}");
        }
    }

    /// What holds at the end; gives what the model was sent last.
    fn check_end(&mut self, was_killed: bool) -> Value {
        let events = self.events();
        let expected = &self.course.expected;
        let found = tree::read(&self.place.workspace());
        let files = found.into_iter().filter(|(name, _)| !name.ends_with('/'));
        let files: BTreeMap<String, String> =
            files.map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap())).collect();
        assert_eq!(files, expected.files, "the files, and no temporary ones");
        let counts = [
            "approval_answered",
            "question_answered",
            "message_delivered",
            "message_expired",
            "mode_chosen",
            "grant_revoked",
            "changes_put",
            "turn_ended",
        ];
        assert_eq!(counts.map(|kind| count(&events, kind)), [2, 1, 1, 0, 1, 0, 2, 2], "{counts:?}");
        log::verify_session(&self.place, self.session.as_ref().unwrap()).unwrap();
        for promised in &self.promised {
            let at = usize::try_from(promised["sequence"].as_u64().unwrap()).unwrap() - 1;
            assert!(
                events.get(at) == Some(promised) || promised["session"] != events[0]["session"],
                "an event that was printed is not in the log: {promised}"
            );
        }
        let requests = self.server.requests();
        for body in &requests {
            WIRE.check(body).unwrap_or_else(|why| panic!("the provider would refuse ({why}): {body}"));
        }
        let last = requests.last().expect("a request")["messages"].to_string().replace(&self.page, "$PAGE");
        let mut last: Value = serde_json::from_str(&last).unwrap();
        let blocks = last.as_array_mut().unwrap().iter_mut();
        let blocks = blocks.flat_map(|it| it["content"].as_array_mut().into_iter().flatten());
        let mut results: BTreeMap<String, &mut Value> = blocks
            .filter(|block| block["type"] == "tool_result")
            .map(|block| (block["tool_use_id"].as_str().unwrap().to_owned(), block))
            .collect();
        for (call, words) in &expected.results {
            let result = results.get_mut(call).expect("a result");
            // What has effects outside is not repeated after a kill, and said to be in doubt.
            let is_in_doubt = was_killed && *call == expected.outside && result.to_string().contains("In doubt: ");
            assert!(is_in_doubt || result["content"].to_string().contains(words), "{call} came to {result}");
            if *call == expected.outside {
                **result = Value::from(call.as_str());
            }
        }
        last
    }
}

/// Where a kill comes.
#[derive(Clone, Copy)]
enum Kill {
    /// While all of it comes to be asked.
    Creating,
    /// While the mode is switched, and the grant is taken in.
    Switching,
    /// While the answer at this place is given.
    Answering(usize),
}

/// Sends the course over one kill. What it was killed at, if it was; and what the model was sent last.
fn kill(course: &Course, kill: Kill, number: u64) -> (Option<Vec<String>>, Value) {
    let mut under_way = UnderWay::new(course);
    let order = ORDERS[usize::try_from(number).unwrap() % ORDERS.len()];
    let all: BTreeSet<usize> = order.into();
    let ran = match kill {
        Kill::Creating => under_way.create(Some(number)),
        Kill::Switching => {
            under_way.create(None);
            under_way.grant();
            under_way.switch(Some(number))
        }
        Kill::Answering(place) => {
            under_way.create(None);
            under_way.grant();
            under_way.switch(None);
            under_way.events();
            let mut waits = all.clone();
            for which in &order[..place] {
                under_way.answer(*which, None);
                waits.remove(which);
            }
            let ran = under_way.answer(order[place], Some(number));
            if ran.signal.is_some() {
                let is_left = under_way.waiting().contains_key(&course.waits[order[place]].tool);
                if !is_left {
                    waits.remove(&order[place]);
                }
                if !waits.is_empty() {
                    under_way.check_waiting(&waits);
                }
            }
            ran
        }
    };
    let trace = points_of(&under_way.trace());
    if !matches!(kill, Kill::Answering(_)) {
        under_way.until_all_waits();
        under_way.check_waiting(&all);
    }
    under_way.answer_all(order);
    let was_killed = ran.signal.is_some() && matches!(kill, Kill::Answering(_));
    let last = under_way.check_end(was_killed);
    (ran.signal.is_some().then_some(trace), last)
}

#[test]
fn everything_that_waits_still_waits_after_a_kill_at_any_point() {
    let course = Course::read();
    let reference: Mutex<Option<Value>> = Mutex::new(None);
    let same = |(trace, last): (Option<Vec<String>>, Value)| {
        let mut reference = reference.lock().unwrap();
        let reference = reference.get_or_insert_with(|| last.clone());
        assert_eq!(*reference, last, "the model is sent something else");
        trace
    };
    let mut total = 0;
    let kinds = [
        (Kill::Creating, "all comes to wait"),
        (Kill::Switching, "the mode is switched meanwhile"),
        (Kill::Answering(0), "the first answer"),
        (Kill::Answering(1), "the second answer"),
        (Kill::Answering(2), "the last answer"),
    ];
    for (at, name) in kinds {
        let passed: Passed = sweep(|number| same(kill(&course, at, number)));
        passed.print(name);
        assert!(passed.names.contains_key("commit.before") && passed.names.contains_key("commit.after"), "{name}");
        total += passed.kills;
    }
    println!("{total} kills, {AT_ONCE} at once");
}
