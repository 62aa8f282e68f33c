//! Several real processes fight for one session with real engines over the real store, and are killed at any
//! moment: what must be true of a session is true of what they leave.
//!
//! `HARNESS_SIM_SEEDS=N` plays so many seeds instead of one; `HARNESS_SIM_SEED=N` that one alone. What the system runs
//! when does not follow from the seed, so that a seed leads to the same kind of fight and not to the same moments.
//!
//! The children are this test's own program, told by the environment what to be. Each says what must hold from
//! then on before it goes on itself, so that what a killed one said counts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_core::{Epoch, Event, SessionId};
use harness_engine::ports::Takeover;
use harness_sim::random::Random;
use harness_sim::simulation::{Acquired, Evidence, Execution, Note, Pilot, Told, check};
use harness_store::{SqliteStore, StoreOptions, this_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The store's folder, for a child.
const FOLDER: &str = "HARNESS_STORE_SIM_FOLDER";
/// The session, for a child.
const SESSION: &str = "HARNESS_STORE_SIM_SESSION";
/// A child's seed.
const SEED: &str = "HARNESS_STORE_SIM_SEED";
/// Processes at once.
const PROCESSES_COUNT: usize = 3;
/// Seeds of a bounded run.
const SEEDS_COUNT: u64 = 6;
/// Processes killed in one run.
const KILLS_COUNT: u64 = 12;
/// Actions of a child between two openings.
const FLIGHT_ACTIONS: u64 = 30;

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir, StoreOptions::default()).unwrap()
}

/// Not a test of its own: the children start here.
#[test]
fn child_process() {
    let Ok(dir) = std::env::var(FOLDER) else { return };
    let session: SessionId = std::env::var(SESSION).unwrap().parse().unwrap();
    let mut random = Random(std::env::var(SEED).unwrap().parse().unwrap());
    // Whoever started us is gone: so are we, by and by.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let store = Arc::new(open(Path::new(&dir)));
    let mut pilot = Pilot::new(Box::new(say));
    pilot.board(session);
    loop {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let takeover = if random.one_in(2) { Takeover::Force } else { Takeover::IfGone };
        let actions = 1 + random.below(FLIGHT_ACTIONS) as usize;
        runtime.block_on(pilot.fly(Arc::clone(&store), this_process(), takeover, random.next(), actions));
    }
}

/// Says a note as one line. What a kill cuts off does not end in a full stop.
fn say(note: &Note) {
    let value = match note {
        Note::Told(Told { sequence, epoch, event }) => json!(["told", sequence, epoch, &**event]),
        Note::Ran(Execution { call, round, effects, after }) => json!(["ran", call, round, effects, after]),
        Note::Acquired(Acquired { epoch, after }) => json!(["acquired", epoch, after]),
    };
    let mut output = std::io::stdout().lock();
    output.write_all(format!("said {value} .\n").as_bytes()).unwrap();
    output.flush().unwrap();
}

fn heard(line: &str, evidence: &mut Evidence) -> Option<()> {
    let (_, said) = line.split_once("said ")?;
    let value: Value = serde_json::from_str(said.strip_suffix(" .")?).unwrap();
    let part = |index: usize| value[index].clone();
    match value[0].as_str()? {
        "told" => {
            let event: Event = serde_json::from_value(part(3)).unwrap();
            let epoch: Option<Epoch> = serde_json::from_value(part(2)).unwrap();
            evidence.told.push(Told { sequence: value[1].as_u64()?, epoch, event: Arc::new(event) });
        }
        "ran" => {
            let (call, round) = (serde_json::from_value(part(1)).unwrap(), value[2].as_u64()? as u32);
            let effects = serde_json::from_value(part(3)).unwrap();
            let after = value[4].as_u64()?;
            evidence.executions.push(Execution { call, round, effects, after });
        }
        "acquired" => {
            let epoch = serde_json::from_value(part(1)).unwrap();
            evidence.acquired.push(Acquired { epoch, after: value[2].as_u64()? });
        }
        other => panic!("what is {other}?"),
    }
    Some(())
}

/// A child and the thread that hears it.
struct Fighter {
    child: Child,
    hears: std::thread::JoinHandle<()>,
}

impl Fighter {
    fn start(dir: &Path, session: SessionId, seed: u64, evidence: &Arc<Mutex<Evidence>>) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_process", "--nocapture"])
            .env(FOLDER, dir)
            .env(SESSION, session.to_string())
            .env(SEED, seed.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (output, evidence) = (child.stdout.take().unwrap(), Arc::clone(evidence));
        let hears = std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                heard(&line, &mut evidence.lock().unwrap());
            }
        });
        Self { child, hears }
    }

    /// SIGKILL, and everything it had said is heard.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.hears.join().unwrap();
    }
}

fn told(evidence: &Mutex<Evidence>) -> usize {
    evidence.lock().unwrap().told.len()
}

/// Plays one seed: what the processes leave is judged. Gives how many calls they ran.
fn run_seed(seed: u64) -> Result<usize, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = Arc::new(open(folder.path()));
    let mut pilot = Pilot::default();
    runtime.block_on(pilot.fly(Arc::clone(&store), this_process(), Takeover::Force, random.next(), 3));
    drop(runtime);
    let session = pilot.session().expect("it was created");
    let evidence = Arc::new(Mutex::new(Evidence::default()));
    let start = |random: &mut Random| Fighter::start(folder.path(), session, random.next(), &evidence);
    let mut fighters: Vec<Fighter> = (0..PROCESSES_COUNT).map(|_| start(&mut random)).collect();
    for _ in 0..KILLS_COUNT {
        // Each gets to do something, and is then killed at some moment.
        let before = told(&evidence);
        while told(&evidence) < before + 40 {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(random.below(20)));
        fighters.swap_remove(random.index(fighters.len())).kill();
        fighters.push(start(&mut random));
    }
    fighters.into_iter().for_each(Fighter::kill);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let own = runtime.block_on(pilot.land(store)).unwrap();
    let seen = std::mem::take(&mut *evidence.lock().unwrap());
    let epochs = seen.acquired.iter().map(|acquired| acquired.epoch).collect::<std::collections::BTreeSet<_>>();
    assert!(epochs.len() > KILLS_COUNT as usize, "only {} takeovers", epochs.len());
    let executions = seen.executions.len();
    let seen = Evidence { session: own.session, stored: own.stored, tip: own.tip, loaded: own.loaded, ..seen };
    check(&seen).map(|_| executions).map_err(|broken| format!("{}: {}", broken.invariant, broken.what))
}

#[test]
fn processes_that_fight_and_are_killed_leave_a_sound_session() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match (number("HARNESS_SIM_SEED"), number("HARNESS_SIM_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, wanted) => 0..wanted.unwrap_or(SEEDS_COUNT),
    };
    let mut executions = 0;
    let is_whole = seeds.end - seeds.start >= SEEDS_COUNT;
    for seed in seeds {
        executions += run_seed(seed).unwrap_or_else(|what| {
            panic!(
                "seed {seed}: {what}\nagain: HARNESS_SIM_SEED={seed} \
                 cargo test --release -p harness-store --test simulated_processes"
            )
        });
    }
    assert!(executions > 0 || !is_whole, "no process ran a call");
}
