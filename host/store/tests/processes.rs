//! Real processes on one store: fencing, and takeover after SIGKILL.
//!
//! The children are this test's own program, told by the environment what to be.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_core::{Event, Sequence};
use harness_engine::ports::{
    AppendError, EventLog, Holder, Index, Lease, LeaseError, Said, SessionAppend, SessionFilter, Takeover,
};
use harness_sim::conformance::{self, Stores, Writer, session, titles};
use harness_store::{SqliteStore, StoreOptions, this_process};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// Which child this process is.
const ROLE: &str = "HARNESS_STORE_TEST_ROLE";
/// The store's folder.
const FOLDER: &str = "HARNESS_STORE_TEST_FOLDER";
/// Events that each fighter has to get acknowledged.
const FIGHTER_EVENTS_COUNT: u64 = 40;

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir, StoreOptions::default()).unwrap()
}

fn ports(store: &SqliteStore) -> Stores {
    Stores::of(Arc::new(store.clone()), this_process(), this_process(), |_| unreachable!("nothing is damaged here"))
}

fn child(role: &str, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_process", "--nocapture"])
        .env(ROLE, role)
        .env(FOLDER, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The lines that a child says to its parent; the test runner's own are left out.
fn said(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let output = BufReader::new(child.stdout.take().unwrap());
    output.lines().map_while(Result::ok).filter_map(|line| line.split_once("said ").map(|(_, rest)| rest.to_owned()))
}

fn say(what: &str) {
    let mut output = std::io::stdout();
    writeln!(output, "said {what}").unwrap();
    output.flush().unwrap();
}

/// Not a test of its own: the children start here.
#[tokio::test]
async fn child_process() {
    let (Ok(role), Ok(dir)) = (std::env::var(ROLE), std::env::var(FOLDER)) else { return };
    let store = open(Path::new(&dir));
    match role.as_str() {
        "fighter" => fight(&store).await,
        "holder" => hold(&store).await,
        "speaker" => speak(&store).await,
        other => panic!("unknown role {other}"),
    }
}

/// Takes the session by force whenever it has lost it, until enough events are acknowledged.
async fn fight(store: &SqliteStore) {
    let ports = ports(store);
    let mut acknowledged = 0;
    let mut writer = Writer::acquire(&ports, session(1)).await;
    while acknowledged < FIGHTER_EVENTS_COUNT {
        let title = format!("{}-{acknowledged}", std::process::id());
        match writer.append(&[&title]).await {
            Ok(()) => {
                say(&format!("{} {title}", writer.tip.sequence));
                acknowledged += 1;
            }
            Err(AppendError::Fenced { current, .. }) => {
                assert!(current > writer.epoch);
                writer = Writer::acquire(&ports, session(1)).await;
            }
            // Between our acquiring and our looking at the tip, the other one was still writing.
            Err(AppendError::Tip { .. }) => writer.tip = store.tip(session(1)).await.unwrap(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Holds the session and writes it until it is killed or fenced.
async fn hold(store: &SqliteStore) {
    let epoch = store.acquire(session(1), &this_process(), Takeover::IfGone).await.unwrap();
    loop {
        let tip = store.tip(session(1)).await.unwrap();
        let (events, next) = conformance::seal(session(1), tip, &[Event::SessionRenamed { title: "held".to_owned() }]);
        let append = SessionAppend::new(session(1), epoch, tip, events);
        match store.append(vec![append]).await {
            Ok(()) => say(&next.sequence.to_string()),
            Err(AppendError::Fenced { .. }) => return say("fenced"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Has words searched for, each time others, until it is killed.
async fn speak(store: &SqliteStore) {
    let mut writer = Writer::acquire(&ports(store), session(1)).await;
    loop {
        let (append, tip) = writer.batch(&["spoken"]);
        let said = vec![Said { sequence: tip.sequence, text: format!("the word{} of it", tip.sequence) }];
        let summary = Some(conformance::summary(session(1), "t", "/w", 1));
        store.append(vec![SessionAppend { said, summary, ..append }]).await.unwrap();
        writer.tip = tip;
        say(&tip.sequence.to_string());
    }
}

#[tokio::test]
async fn what_a_killed_process_had_said_is_found() {
    let folder = tempfile::tempdir().unwrap();
    // Each time words are moved or due when it is killed, as it happens.
    for acknowledged in [5, 20, harness_store::SAID_TURN_ROWS_MAX] {
        let mut speaker = child("speaker", folder.path());
        let mut said = said(&mut speaker);
        let seen = said.nth(acknowledged).unwrap();
        speaker.kill().unwrap();
        let last: u64 = said.last().unwrap_or(seen).parse().unwrap();
        speaker.wait().unwrap();
        let store = open(folder.path());
        for number in 1..=last {
            let search = Some(format!("word{number} of"));
            let count = store.count(SessionFilter { search, ..SessionFilter::default() }).await;
            assert_eq!(count, Ok(1), "word {number} of {last}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_that_fight_for_a_session_never_mix() {
    let folder = tempfile::tempdir().unwrap();
    let mut fighters = [child("fighter", folder.path()), child("fighter", folder.path())];
    let heard: Vec<_> =
        fighters.iter_mut().map(said).map(|said| std::thread::spawn(|| said.collect::<Vec<_>>())).collect();
    let mut acknowledged = BTreeMap::new();
    for fighter in heard {
        for line in fighter.join().unwrap() {
            let (sequence, title) = line.split_once(' ').unwrap();
            let before = acknowledged.insert(sequence.parse::<usize>().unwrap(), title.to_owned());
            assert_eq!(before, None, "event {sequence} was acknowledged twice");
        }
    }
    for fighter in &mut fighters {
        assert!(fighter.wait().unwrap().success());
    }
    assert_eq!(acknowledged.len() as u64, 2 * FIGHTER_EVENTS_COUNT);
    let store = open(folder.path());
    let log = titles(&store, session(1)).await;
    let expected: Vec<_> = acknowledged.into_values().map(Some).collect();
    assert_eq!(log, expected, "the log holds what was acknowledged, in that order, and nothing else");
}

#[tokio::test]
async fn a_killed_writer_gives_way_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for round in 0..3 {
        let mut holder = child("holder", folder.path());
        let mut said = said(&mut holder);
        let seen = said.nth(5).unwrap();
        // While it lives, it is not displaced.
        let refused = store.acquire(session(1), &this_process(), Takeover::IfGone).await.unwrap_err();
        assert!(
            matches!(&refused, LeaseError::Held { holder: Holder { pid, .. }, .. } if *pid == holder.id()),
            "{refused}"
        );
        holder.kill().unwrap();
        let last: u64 = said.last().unwrap_or(seen).parse().unwrap();
        holder.wait().unwrap();
        let epoch = store.acquire(session(1), &this_process(), Takeover::IfGone).await.unwrap();
        let log = titles(&store, session(1)).await;
        assert!(log.len() as u64 >= last, "round {round}: {last} events were acknowledged, {} are there", log.len());
        assert_eq!(store.tip(session(1)).await.unwrap().sequence, Sequence(log.len() as u64));
        store.release(session(1), epoch).await.unwrap();
    }
}

#[tokio::test]
async fn a_writer_whose_session_is_taken_by_force_is_fenced() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut holder = child("holder", folder.path());
    let mut said = said(&mut holder);
    said.next().unwrap();
    let mut writer = Writer::acquire(&ports(&store), session(1)).await;
    assert_eq!(said.last().as_deref(), Some("fenced"));
    assert!(holder.wait().unwrap().success());
    writer.tip = store.tip(session(1)).await.unwrap();
    writer.append(&["ours"]).await.unwrap();
    assert!(titles(&store, session(1)).await.contains(&Some("ours".to_owned())));
}
