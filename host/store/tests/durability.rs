//! Power cuts and failing disks under the real SQLite: what was acknowledged must be there afterwards.
//!
//! A killed process proves nothing about syncs, since the system still writes what it had. So the disk
//! is one that forgets whatever was not synced (`faulty_vfs`). That these tests can fail is shown by
//! running them with less care than the store takes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod faulty_vfs;

use faulty_vfs::{Faults, Injected, Random, World};
use harness_core::envelope::{self, Tip};
use harness_core::{Event, Sequence, SessionId};
use harness_engine::ports::{AppendError, EventLog, Lease, SessionAppend, StoreError, Takeover};
use harness_sim::conformance::{self, session};
use harness_store::{DATABASE_FILE, FaultOptions, SqliteStore, StoreOptions, Synchronous, this_process};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Sessions of one workload.
const SESSIONS_COUNT: u64 = 4;
/// Appends of each session between two power cuts.
const APPENDS_COUNT: u64 = 12;
/// Power cuts of one seed, each in what the one before left behind.
const CUTS_COUNT: u64 = 3;
/// More changes to files than a workload makes, so that some are cut only at the end.
const OPERATIONS_MAX: u64 = 700;

/// What must be true of every log.
#[derive(Default, Clone)]
struct Truth {
    acknowledged: BTreeMap<(SessionId, u64), String>,
    erased: BTreeSet<(SessionId, u64)>,
    /// Erasing was asked for and not confirmed.
    maybe_erased: BTreeSet<(SessionId, u64)>,
    attempted: BTreeSet<String>,
}

fn options(name: &str, synchronous: Synchronous) -> StoreOptions {
    // Words are moved after nearly every commit, so that faults and cuts meet that as well.
    let faults = FaultOptions { vfs: Some(name.to_owned()), synchronous, quiet_ms: Some(0) };
    StoreOptions { faults, readers: 1, ..StoreOptions::default() }
}

/// Opens under faults: a disk that failed once may work the next time.
fn open(dir: &Path, world: &World, name: &str, synchronous: Synchronous) -> Option<SqliteStore> {
    for _ in 0..50 {
        match SqliteStore::open(dir, options(name, synchronous)) {
            Ok(store) => return Some(store),
            Err(_) if world.is_cut() => return None,
            Err(_) => {}
        }
    }
    None
}

/// Appends to one session, a few bytes or many, and erases now and then, until the power is gone.
async fn work(store: SqliteStore, world: &'static World, number: u64, seed: u64, truth: &std::sync::Mutex<Truth>) {
    let id = session(number);
    let mut random = Random(seed ^ (number << 32));
    let epoch = loop {
        match store.acquire(id, &this_process(), Takeover::Force).await {
            Ok(epoch) => break epoch,
            Err(_) if world.is_cut() => return,
            Err(_) => {}
        }
    };
    for index in 0..APPENDS_COUNT {
        // Whatever became of the append before: the log says where it ends.
        let tip = match store.tip(id).await {
            Ok(tip) => tip,
            Err(_) if world.is_cut() => return,
            Err(StoreError::Storage(_)) => continue,
            Err(error) => panic!("seed {seed}: {error}"),
        };
        let padding = if random.below(4) == 0 { 30_000 } else { 20 };
        let titles: Vec<String> = (0..=random.below(3))
            .map(|part| format!("{seed}-{number}-{index}-{part}-{}", "x".repeat(random.below(padding) as usize)))
            .collect();
        truth.lock().unwrap().attempted.extend(titles.iter().cloned());
        let events: Vec<Event> = titles.iter().map(|title| Event::SessionRenamed { title: title.clone() }).collect();
        let (events, _) = conformance::seal(id, tip, &events);
        let append = SessionAppend {
            summary: Some(conformance::summary(id, &titles[0], "/w", index as i64)),
            said: vec![harness_engine::ports::Said { sequence: tip.sequence.next(), text: titles[0].clone() }],
            ..harness_engine::ports::SessionAppend::new(id, epoch, tip, events)
        };
        match store.append(vec![append]).await {
            Ok(()) => {
                let mut truth = truth.lock().unwrap();
                for (sequence, title) in (tip.sequence.0 + 1..).zip(titles) {
                    truth.acknowledged.insert((id, sequence), title);
                }
            }
            Err(AppendError::Storage(_)) if world.is_cut() => return,
            Err(AppendError::Storage(_)) => {}
            Err(error) => panic!("seed {seed}: {error}"),
        }
        let end = tip.sequence.0 + 1;
        if random.below(6) == 0 {
            truth.lock().unwrap().maybe_erased.insert((id, end));
            if store.erase_payload(id, Sequence(end)).await.is_ok() {
                truth.lock().unwrap().erased.insert((id, end));
            }
        }
    }
}

/// Whether a title was given as words as well: the first of each append is.
fn is_said(title: &str) -> bool {
    title.split('-').nth(3) == Some("0")
}

/// The events whose words are searched, each as often as it is: sessions' keys and sequences, in order.
fn searched(database: &rusqlite::Connection) -> rusqlite::Result<Vec<([u8; 16], u64)>> {
    let sql = "SELECT session.session, word.id & 0xffffffff FROM (SELECT id FROM said_due UNION ALL
               SELECT rowid FROM said) AS word LEFT JOIN session ON session.id = word.id >> 32 ORDER BY 1, 2";
    let mut statement = database.prepare(sql)?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?.collect()
}

/// Reads everything with the system's own file system and compares.
async fn check(dir: &Path, truth: &Truth) -> Result<(), String> {
    let store = SqliteStore::open(dir, StoreOptions::default()).map_err(|error| format!("does not open: {error}"))?;
    let mut words = Vec::new();
    for number in 0..SESSIONS_COUNT {
        let id = session(number);
        let stored = match store.read(id, Sequence::START, usize::MAX).await {
            Ok(stored) => stored,
            Err(StoreError::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error.to_string()),
        };
        let mut tip = Tip::START;
        let mut found = BTreeMap::new();
        for event in stored {
            let (sealed, next) =
                envelope::verify(tip, event.header_bytes, event.payload).map_err(|error| error.to_string())?;
            tip = next;
            found.insert(tip.sequence.0, sealed.event().map_err(|error| error.to_string())?);
        }
        for ((_, sequence), title) in truth.acknowledged.iter().filter(|((owner, _), _)| *owner == id) {
            let key = (id, *sequence);
            match found.get(sequence) {
                None => return Err(format!("{id}: acknowledged event {sequence} is lost")),
                Some(None) if truth.maybe_erased.contains(&key) => {}
                Some(Some(_)) if truth.erased.contains(&key) => return Err(format!("{id}: {sequence} is back")),
                Some(Some(Event::SessionRenamed { title: stored })) if stored == title => {}
                Some(other) => return Err(format!("{id}: event {sequence} is {other:?}")),
            }
        }
        for (sequence, event) in found {
            let Some(event) = event else { continue };
            let Event::SessionRenamed { title } = &event else { return Err("a foreign event".to_owned()) };
            if is_said(title) {
                words.push((id.bits().to_be_bytes(), sequence));
            }
            if !truth.attempted.contains(title) {
                return Err(format!("{id}: nobody wrote {title}"));
            }
        }
    }
    drop(store);
    let database = rusqlite::Connection::open(dir.join(DATABASE_FILE)).unwrap();
    let searched = searched(&database).map_err(|error| error.to_string())?;
    if searched != words {
        return Err(format!("words of {searched:?} are searched, not those of {words:?}"));
    }
    let verdict = database.pragma_query_value(None, "integrity_check", |row| row.get::<_, String>(0));
    if verdict != Ok("ok".to_owned()) {
        return Err(format!("integrity check: {verdict:?}"));
    }
    let broken_keys: i64 = database
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
        .map_err(|error| error.to_string())?;
    if broken_keys > 0 { Err(format!("{broken_keys} broken references")) } else { Ok(()) }
}

/// What a number of seeds came to.
#[derive(Default)]
struct Tally {
    broken: Vec<String>,
    acknowledged: usize,
    cut_in_the_middle: usize,
    injected: Injected,
}

/// Each power cut comes after so many kills.
fn run(seeds: std::ops::Range<u64>, faults: Faults, kills_count: u64, synchronous: Synchronous) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        if let Err(what) = run_seed(seed, faults, kills_count, synchronous, &mut tally) {
            tally.broken.push(format!("seed {seed}: {what}"));
        }
    }
    tally
}

fn run_seed(
    seed: u64,
    faults: Faults,
    kills_count: u64,
    synchronous: Synchronous,
    tally: &mut Tally,
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut random = Random(seed.wrapping_mul(0x1234_5678_9abc_def1));
    let truth = std::sync::Mutex::new(Truth::default());
    let mut folder = tempfile::tempdir().unwrap();
    for cut in 0..CUTS_COUNT {
        let name = |kill| format!("faulty-{synchronous:?}-{}-{seed}-{cut}-{kill}", faults.sync_fails_per_mille);
        let mut world = World::register(&name(0), random.next(), 1 + random.below(OPERATIONS_MAX), faults);
        for kill in 0..=kills_count {
            if kill > 0 {
                let next = tempfile::tempdir().unwrap();
                world = world.after_kill(&name(kill), 1 + random.below(OPERATIONS_MAX), next.path());
                folder = next;
            }
            if let Some(store) = open(folder.path(), world, &name(kill), synchronous) {
                runtime.block_on(async {
                    let seed = (seed * CUTS_COUNT + cut) * (kills_count + 1) + kill;
                    let work = |number| work(store.clone(), world, number, seed, &truth);
                    tokio::join!(work(0), work(1), work(2), work(3));
                });
                tally.cut_in_the_middle += usize::from(world.is_cut());
            }
            world.cut();
            world.unregister();
            let injected = world.injected();
            tally.injected.add(injected);
        }
        let left = tempfile::tempdir().unwrap();
        world.leave_behind(left.path());
        // The check works on a copy, so that the next round recovers by itself.
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(left.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        runtime.block_on(check(copy.path(), &truth.lock().unwrap())).map_err(|what| format!("cut {cut}: {what}"))?;
        folder = left;
    }
    drop(folder);
    tally.acknowledged += truth.lock().unwrap().acknowledged.len();
    Ok(())
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let tally = run(0..40, Faults::default(), 0, Synchronous::Full);
    assert!(tally.broken.is_empty(), "{:#?}", tally.broken);
    assert!(tally.acknowledged > 500, "only {} events were acknowledged", tally.acknowledged);
    assert!(tally.cut_in_the_middle > 20, "only {} cuts came in the middle of work", tally.cut_in_the_middle);
}

#[test]
fn nor_does_one_on_a_disk_that_fails_now_and_then() {
    let faults =
        Faults { sync_fails_per_mille: 60, disk_full_per_mille: 15, short_write_per_mille: 15, ..Faults::default() };
    let tally = run(1000..1040, faults, 0, Synchronous::Full);
    assert!(tally.broken.is_empty(), "{:#?}", tally.broken);
    assert!(tally.acknowledged > 300, "only {} events were acknowledged", tally.acknowledged);
    let Injected { syncs, full, short, .. } = tally.injected;
    assert!(syncs > 20 && full > 20 && short > 20, "too few faults: {:?}", tally.injected);
}

#[test]
fn nor_does_one_after_kills_on_such_a_disk() {
    let faults =
        Faults { sync_fails_per_mille: 100, disk_full_per_mille: 5, short_write_per_mille: 5, ..Faults::default() };
    let tally = run(2000..2030, faults, 2, Synchronous::Full);
    assert!(tally.broken.is_empty(), "{:#?}", tally.broken);
    assert!(tally.acknowledged > 300, "only {} events were acknowledged", tally.acknowledged);
    assert!(tally.injected.syncs > 20, "too few faults: {:?}", tally.injected);
}

/// One event, acknowledged or refused by the disk.
async fn append_one(store: &SqliteStore, epoch: harness_core::Epoch, title: &str, truth: &mut Truth) -> bool {
    let id = session(0);
    let Ok(tip) = store.tip(id).await else { return false };
    truth.attempted.insert(title.to_owned());
    let (events, next) = conformance::seal(id, tip, &[Event::SessionRenamed { title: title.to_owned() }]);
    let append = SessionAppend::new(id, epoch, tip, events);
    let is_acknowledged = store.append(vec![append]).await.is_ok();
    if is_acknowledged {
        truth.acknowledged.insert((id, next.sequence.0), title.to_owned());
    }
    is_acknowledged
}

#[tokio::test]
async fn what_builds_on_a_commit_whose_sync_failed_is_not_lost_with_it() {
    // The process that refused "two" is killed; the next one is cut off at every change that it makes.
    let (mut cut_at, mut is_whole) = (1, false);
    while !is_whole {
        let (first, second, left) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut truth = Truth::default();
        let name = |process| format!("killed-{cut_at}-{process}");
        let world = World::register(&name(1), cut_at, u64::MAX, Faults::default());
        let store = SqliteStore::open(first.path(), options(&name(1), Synchronous::Full)).unwrap();
        let epoch = store.acquire(session(0), &this_process(), Takeover::IfGone).await.unwrap();
        assert!(append_one(&store, epoch, "one", &mut truth).await);
        world.fail_syncs(1);
        assert!(!append_one(&store, epoch, "two", &mut truth).await);
        world.cut();
        world.unregister();

        let world = world.after_kill(&name(2), cut_at, second.path());
        drop(store);
        if let Ok(store) = SqliteStore::open(second.path(), options(&name(2), Synchronous::Full)) {
            let found = store.tip(session(0)).await.map(|tip| tip.sequence);
            assert_eq!(found, Ok(Sequence(2)), "the cache has what the disk refused");
            // What was read once must stay.
            truth.acknowledged.insert((session(0), 2), "two".to_owned());
            if let Ok(epoch) = store.acquire(session(0), &this_process(), Takeover::Force).await {
                append_one(&store, epoch, "three", &mut truth).await;
            }
            is_whole = !world.is_cut();
            // Closing would copy all of it into the database.
            world.cut();
        }
        world.cut();
        world.unregister();
        world.leave_behind(left.path());
        check(left.path(), &truth).await.unwrap_or_else(|what| panic!("cut at {cut_at}: {what}"));
        assert!(!is_whole || truth.acknowledged.len() == 3, "cut at {cut_at}: {:?}", truth.acknowledged);
        cut_at += 1;
    }
    assert!(cut_at > 10, "only {cut_at} changes were made");
}

#[test]
fn with_less_care_the_same_power_cuts_lose_acknowledged_events() {
    for synchronous in [Synchronous::Normal, Synchronous::Off] {
        let tally = run(0..12, Faults::default(), 0, synchronous);
        let lost =
            tally.broken.iter().filter(|what| what.contains("is lost") || what.contains("does not open")).count();
        assert!(lost > 0, "{synchronous:?} lost nothing: this disk forgets nothing. {:#?}", tally.broken);
    }
}
