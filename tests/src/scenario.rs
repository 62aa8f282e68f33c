//! A scenario: a folder that says what a person does, what the provider sends, and what has to come of it.
//!
//! ```text
//! scenario.toml   what is done and what is demanded (see [`Scenario`])
//! config.toml     the user's configuration, if there is one
//! workspace/      the files before
//! streams/        NN.sse: a whole stream; NN.cut.sse: one whose connection breaks at its end;
//!                 NN.http: a reply byte by byte, head included, after which the connection is closed
//! expected/       events.txt, workspace/, N.out.txt and N.err.txt of step N; written anew with BLESS=1
//! ```
//!
//! Promise: beside what a scenario demands, every one is held to what always holds: `--json` is whole and
//! gap-free, every request is one that the provider accepts, the log verifies, no temporary file stays
//! in the workspace, and the key is nowhere.

use crate::json_lines;
use crate::log;
use crate::normal::Names;
use crate::program::{Place, Ran, finish};
use crate::provider::Wire;
use crate::secret;
use crate::tree;
use harness_sim::http_server::{HttpServer, Reply};
use serde::Deserialize;
use serde_json::Value;
use similar::TextDiff;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How names of the program's temporary files begin.
const TEMPORARY_PREFIX: &str = ".harness-host-";

/// `scenario.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// What it shows, in a sentence.
    pub about: String,
    /// The provider's protocol; none for the offline model.
    pub wire: Option<String>,
    /// Each byte of a stream is sent by itself.
    #[serde(default)]
    pub byte_by_byte: bool,
    /// Texts in streams that stand for long ones.
    #[serde(default)]
    pub fill: BTreeMap<String, Fill>,
    /// Variables beside those that name the provider.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// What is done, in order.
    pub step: Vec<Step>,
    /// How many requests the provider gets; as many as there are streams if not given.
    pub requests: Option<usize>,
    /// What is demanded of requests.
    #[serde(default)]
    pub check: Vec<Check>,
}

/// A text many times over.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    text: String,
    times: usize,
}

/// One run of the program.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// The words after the program's name; `run` gets the workspace. `$WORKSPACE`, `$HOME` and `$SESSION` (the
    /// latest that was seen) are filled in.
    args: Vec<String>,
    /// Standard input; nothing if not given.
    stdin: Option<String>,
    /// The exit code.
    exit: i32,
    /// Files of the workspace that are written before.
    #[serde(default)]
    write: BTreeMap<String, String>,
    /// What standard error has to hold, besides being as expected.
    #[serde(default)]
    stderr_has: Vec<String>,
    /// Files of the workspace that are, after this step, exactly as they were before it.
    #[serde(default)]
    untouched: Vec<String>,
}

/// What is demanded of one request's body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Which request, from 1.
    request: usize,
    /// A JSON pointer.
    at: String,
    /// What is there, exactly.
    is: Option<toml::Value>,
    /// A text that what is there holds.
    has: Option<String>,
    /// Nothing is there.
    #[serde(default)]
    absent: bool,
}

/// Runs a scenario.
///
/// # Errors
/// Everything that is not as it should be.
pub fn run(folder: &Path, runtime: &tokio::runtime::Handle, bless: bool) -> Result<(), String> {
    let text = std::fs::read_to_string(folder.join("scenario.toml")).map_err(|error| error.to_string())?;
    let scenario: Scenario = toml::from_str(&text).map_err(|error| error.to_string())?;
    let wire = match &scenario.wire {
        None => None,
        Some(name) => Some(Wire::named(name).ok_or_else(|| format!("there is no wire {name}"))?),
    };
    let replies = replies(folder, &scenario)?;
    let demanded = scenario.requests.unwrap_or(replies.len());
    let server = runtime.block_on(HttpServer::start(replies)).map_err(|error| error.to_string())?;
    let place = place(folder);
    let mut course =
        Course::new(&scenario, &place, wire.map(|wire| wire.environment(&server.url(), secret::KEY)), &server);
    for step in &scenario.step {
        course.step(step)?;
    }
    let mut problems = course.problems;
    let requests: Vec<Value> = server.requests().iter().map(|request| request.json()).collect();
    if requests.len() != demanded {
        problems.push(format!("{} requests instead of {demanded}", requests.len()));
    }
    for (number, body) in requests.iter().enumerate() {
        if let Some(Err(why)) = wire.map(|wire| wire.check(body)) {
            problems.push(format!("the provider would refuse request {}: {why}", number + 1));
        }
    }
    problems.extend(scenario.check.iter().filter_map(|check| check.problem(&requests)));
    let mut found = course.found;
    let events = state_of_sessions(&place, &mut course.names, &mut problems);
    found.insert("events.txt".to_owned(), events.into_bytes());
    let workspace = tree::read_short(&place.workspace());
    problems
        .extend(workspace.keys().filter(|name| name.contains(TEMPORARY_PREFIX)).map(|name| format!("{name} was left")));
    found.extend(workspace.into_iter().map(|(name, bytes)| (format!("workspace/{name}"), bytes)));
    let leaks = secret::files_with_key(&place.root(), &[]);
    problems.extend(leaks.iter().map(|file| format!("the key is in {file}")));
    let expected = folder.join("expected");
    if bless && problems.is_empty() {
        let _ = std::fs::remove_dir_all(&expected);
        tree::write(&expected, &found);
    }
    problems.extend(differences(&expected, &found));
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

fn place(folder: &Path) -> Place {
    let place = Place::new();
    if folder.join("workspace").is_dir() {
        tree::write(&place.workspace(), &tree::read(&folder.join("workspace")));
    }
    if let Ok(config) = std::fs::read(folder.join("config.toml")) {
        std::fs::write(place.home().join("config.toml"), config).expect("a configuration");
    }
    place
}

fn replies(folder: &Path, scenario: &Scenario) -> Result<Vec<Reply>, String> {
    let streams = folder.join("streams");
    let mut paths: Vec<PathBuf> = match std::fs::read_dir(&streams) {
        Ok(entries) => {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(|e| e.to_string())?
        }
        Err(_) => Vec::new(),
    };
    paths.sort();
    let reply = |path: &PathBuf| {
        let mut bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        for (name, fill) in &scenario.fill {
            // Only streams with places to fill are text throughout.
            let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
            bytes = text.replace(name, &fill.text.repeat(fill.times)).into_bytes();
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(match name.split_once('.').map(|(_, rest)| rest) {
            Some("sse") if scenario.byte_by_byte => Reply::stream_in_pieces(bytes.chunks(1)),
            Some("sse") => Reply::stream(&bytes),
            Some("cut.sse") => Reply::cut_stream(&bytes),
            Some("http") => Reply::raw(bytes),
            _ => return Err(format!("what is streams/{name}?")),
        })
    };
    paths.iter().map(reply).collect()
}

/// A scenario on its way.
struct Course<'a> {
    scenario: &'a Scenario,
    place: &'a Place,
    provider: Vec<(String, String)>,
    names: Names,
    session: String,
    found: BTreeMap<String, Vec<u8>>,
    problems: Vec<String>,
}

impl<'a> Course<'a> {
    fn new(
        scenario: &'a Scenario,
        place: &'a Place,
        provider: Option<Vec<(String, String)>>,
        server: &HttpServer,
    ) -> Self {
        let names = Names::new(&[
            (place.workspace().display().to_string(), "$WORKSPACE"),
            (place.home().display().to_string(), "$HOME"),
            (server.url(), "$SERVER"),
            (server.url().replace("http://", ""), "$ADDRESS"),
        ]);
        let provider = provider.unwrap_or_default();
        Self { scenario, place, provider, names, session: String::new(), found: BTreeMap::new(), problems: Vec::new() }
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let number = self.found.keys().filter(|name| name.ends_with(".out.txt")).count() + 1;
        for (path, content) in &step.write {
            self.place.write(path, content);
        }
        let before: Vec<_> = step.untouched.iter().map(|path| self.place.read(path)).collect();
        let ran = self.ran(step);
        self.remember_session(&ran);
        if ran.code != Some(step.exit) {
            return Err(format!(
                "step {number} ended with {:?} (signal {:?}), not {}:\n{}{}",
                ran.code, ran.signal, step.exit, ran.stdout, ran.stderr
            ));
        }
        for (path, before) in step.untouched.iter().zip(before) {
            if self.place.read(path) != before {
                self.problems.push(format!("step {number} touched {path}"));
            }
        }
        for output in [&ran.stdout, &ran.stderr] {
            if secret::is_in(output.as_bytes()) {
                self.problems.push(format!("step {number} printed the key"));
            }
        }
        // Nothing that a terminal acts on: there is no terminal here, and the text is not the program's.
        if let Some(control) = ran.stderr.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
            self.problems.push(format!("step {number} wrote {control:?} to standard error"));
        }
        for text in step.stderr_has.iter().filter(|text| !ran.stderr.contains(text.as_str())) {
            self.problems.push(format!("step {number} did not say {text:?} but:\n{}", ran.stderr));
        }
        let stdout = self.shown_output(step, &ran, number);
        let stderr = self.names.text(&ran.stderr);
        self.found.insert(format!("{number}.out.txt"), stdout.into_bytes());
        self.found.insert(format!("{number}.err.txt"), stderr.into_bytes());
        Ok(())
    }

    /// Standard output; of the lines of `run --json` only the last, for the events are looked at in the log.
    fn shown_output(&mut self, step: &Step, ran: &Ran, number: usize) -> String {
        let is_run = step.args.first().is_some_and(|word| word == "run");
        if !is_run || !step.args.iter().any(|word| word == "--json") {
            return self.names.text(&ran.stdout);
        }
        match json_lines::read(&ran.stdout) {
            Ok(run) => {
                if run.end["exit_code"].as_i64() != ran.code.map(i64::from) {
                    self.problems.push(format!("step {number}: run_ended names another exit code"));
                }
                self.names.text(&format!("{:#}\n", run.end))
            }
            // A usage error ends before there is a session; what clap refuses is not even a run.
            Err(_) if step.exit == 2 && ran.stdout.is_empty() => String::new(),
            Err(why) => {
                self.problems.push(format!("step {number}: {why}"));
                String::new()
            }
        }
    }

    fn ran(&self, step: &Step) -> Ran {
        let mut command = self.place.program();
        let words = step.args.iter().map(|word| {
            let word = word.replace("$WORKSPACE", &self.place.workspace().display().to_string());
            word.replace("$HOME", &self.place.home().display().to_string()).replace("$SESSION", &self.session)
        });
        let mut words: Vec<String> = words.collect();
        if words.first().is_some_and(|word| word == "run") && !words.iter().any(|word| word == "-w") {
            words.splice(1..1, ["-w".to_owned(), self.place.workspace().display().to_string()]);
        }
        command.args(words).envs(self.provider.clone()).envs(&self.scenario.environment);
        finish(&mut command, step.stdin.as_deref())
    }

    fn remember_session(&mut self, ran: &Ran) {
        for output in [&ran.stdout, &ran.stderr] {
            if let Some(id) = output.find("ses_").and_then(|at| output.get(at..at + 30)) {
                id.clone_into(&mut self.session);
            }
        }
    }
}

/// The events of every session, each verified.
fn state_of_sessions(place: &Place, names: &mut Names, problems: &mut Vec<String>) -> String {
    let mut text = String::new();
    // Where even the configuration is wrong there are no sessions to look at.
    if !place.home().join("state/sessions").exists() {
        return text;
    }
    for session in log::sessions(place) {
        match log::verify_session(place, &session) {
            Ok(export) if secret::is_in(export.as_bytes()) => {
                problems.push(format!("the key is in the export of {session}"))
            }
            Ok(_) => {}
            Err(why) => problems.push(format!("{session}: {why}")),
        }
        text.push_str(&names.events(&log::events(place, &session)));
        text.push('\n');
    }
    text
}

impl Check {
    fn problem(&self, requests: &[Value]) -> Option<String> {
        let Some(body) = self.request.checked_sub(1).and_then(|at| requests.get(at)) else {
            return Some(format!("there is no request {}", self.request));
        };
        let there = body.pointer(&self.at);
        let shown = there.map_or_else(|| "nothing".to_owned(), Value::to_string);
        let holds = match (&self.is, &self.has, there) {
            (None, None, there) => self.absent == there.is_none() && self.absent,
            (Some(is), None, Some(there)) => serde_json::to_value(is).ok().as_ref() == Some(there),
            (None, Some(has), Some(Value::String(there))) => there.contains(has),
            (None, Some(has), Some(there)) => there.to_string().contains(has),
            _ => false,
        };
        (!holds).then(|| format!("request {} at {}: {shown}; wanted {self:?}", self.request, self.at))
    }
}

fn differences(expected: &Path, found: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    if !expected.is_dir() {
        return vec!["there is nothing expected yet: BLESS=1 writes it".to_owned()];
    }
    let expected = tree::read(expected);
    let mut problems = Vec::new();
    for name in ["events.txt"]
        .into_iter()
        .chain(found.keys().map(String::as_str).filter(|name| name.ends_with(".out.txt") || name.ends_with(".err.txt")))
    {
        let text = |files: &BTreeMap<String, Vec<u8>>| {
            files.get(name).map_or_else(String::new, |bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        let (before, after) = (text(&expected), text(found));
        if before != after {
            let diff = TextDiff::from_lines(before.as_str(), after.as_str());
            problems
                .push(diff.unified_diff().context_radius(2).header(&format!("expected/{name}"), "found").to_string());
        }
    }
    let files = |files: &BTreeMap<String, Vec<u8>>| {
        let inside =
            files.iter().filter_map(|(name, bytes)| Some((name.strip_prefix("workspace/")?.to_owned(), bytes.clone())));
        inside.filter(|(name, _)| !name.is_empty()).collect::<BTreeMap<_, _>>()
    };
    problems.extend(
        tree::difference(&files(&expected), &files(found)).map(|difference| format!("workspace: {difference}")),
    );
    problems
}
