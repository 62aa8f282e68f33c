//! Simulated sessions of the real core and engine over the real SQLite, on a disk that forgets, tears, fills up,
//! fails and is slow, some with two hosts that fight for the session: what must be true of a session is true after
//! each power cut.
//!
//! `HARNESS_SIM_SEEDS=N` plays so many seeds instead of the few of a test run; `HARNESS_SIM_SEED=N` that one alone.
//! The store has threads of its own, so a seed leads to the same faults and not always to the same moment.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code, reason = "each test uses a part of it")]
mod faulty_vfs;

use faulty_vfs::{Faults, Injected, Random, World};
use harness_engine::ports::Takeover;
use harness_sim::simulation::{Pilot, check};
use harness_store::{FaultOptions, SqliteStore, StoreOptions, Synchronous, this_process};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Seeds of a test run.
const SEEDS_COUNT: u64 = 12;
/// Power cuts of one seed, each in what the one before left behind.
const CUTS_COUNT: u64 = 3;
/// More changes to files than a flight makes, so that some are cut only at the end.
const OPERATIONS_MAX: u64 = 900;
/// Actions of one flight.
const FLIGHT_ACTIONS: usize = 60;
/// Times that a session is opened again on one disk that failed.
const FLIGHTS_MAX: usize = 20;
/// Times that each of two hosts takes the session over, where two fight for it.
const FIGHT_FLIGHTS: u64 = 5;
/// One in so many disks has two hosts that fight for the session.
const FIGHT_ONE_IN: u64 = 3;

/// What a number of seeds came to.
#[derive(Default)]
struct Tally {
    broken: Vec<String>,
    /// One seed was asked for: it need not reach everything.
    is_single: bool,
    told: usize,
    runs: usize,
    cut_in_the_middle: usize,
    flights: usize,
    fights: usize,
    fenced: usize,
    injected: Injected,
}

fn open(dir: &Path, world: &World, name: &str, synchronous: Synchronous) -> Option<SqliteStore> {
    let faults = FaultOptions { vfs: Some(name.to_owned()), synchronous, quiet_ms: Some(0) };
    let options = StoreOptions { faults, readers: 1, ..StoreOptions::default() };
    // A disk that failed once may work the next time.
    (0..50).take_while(|_| !world.is_cut()).find_map(|_| SqliteStore::open(dir, options.clone()).ok())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Plays one session on one disk until its power is cut, and gives what is left. Where there is a second store, as
/// another process has it, hosts over both fight for the session.
fn fly(
    pilot: &mut Pilot,
    world: &'static World,
    store: SqliteStore,
    second: Option<SqliteStore>,
    random: &mut Random,
    tally: &mut Tally,
) {
    let runtime = runtime();
    let store = Arc::new(store);
    if let Some(second) = second.map(Arc::new)
        && pilot.session().is_some()
    {
        let stores = [Arc::clone(&store), second];
        runtime.block_on(pilot.fight(stores, this_process(), random.next(), FIGHT_FLIGHTS));
        tally.fights += 1;
    }
    let mut left = FLIGHT_ACTIONS;
    for _ in 0..FLIGHTS_MAX {
        if left == 0 || world.is_cut() {
            break;
        }
        let flight = pilot.fly(Arc::clone(&store), this_process(), Takeover::Force, random.next(), left);
        left -= runtime.block_on(flight);
        tally.flights += 1;
    }
    tally.cut_in_the_middle += usize::from(world.is_cut());
    // The power goes before the process does: nothing is tidied up.
    world.cut();
    drop(store);
    drop(runtime);
}

fn run_seed(seed: u64, faults: Faults, synchronous: Synchronous, tally: &mut Tally) -> Result<(), String> {
    let mut random = Random(seed.wrapping_mul(0x1234_5678_9abc_def1));
    let mut pilot = Pilot::default();
    let mut folder = tempfile::tempdir().unwrap();
    for cut in 0..CUTS_COUNT {
        let name = format!("simulated-{synchronous:?}-{}-{seed}-{cut}", faults.sync_fails_per_mille);
        let world = World::register(&name, random.next(), 1 + random.below(OPERATIONS_MAX), faults);
        if let Some(store) = open(folder.path(), world, &name, synchronous) {
            let fights = random.one_in(FIGHT_ONE_IN);
            let second = fights.then(|| open(folder.path(), world, &name, synchronous)).flatten();
            fly(&mut pilot, world, store, second, &mut random, tally);
        }
        world.cut();
        let left = tempfile::tempdir().unwrap();
        world.leave_behind(left.path());
        world.unregister();
        tally.injected.add(world.injected());
        // Looked at in a copy, so that the next round recovers by itself.
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(left.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        let store = SqliteStore::open(copy.path(), StoreOptions::default()).map_err(|error| error.to_string())?;
        let evidence = runtime().block_on(pilot.land(Arc::new(store))).map_err(|what| format!("cut {cut}: {what}"))?;
        let judged = check(&evidence);
        if cut + 1 == CUTS_COUNT {
            tally.told += evidence.told.len();
            tally.runs += evidence.executions.len();
        }
        judged.map_err(|broken| format!("cut {cut}: {}: {}", broken.invariant, broken.what))?;
        pilot.keep(evidence);
        folder = left;
    }
    tally.fenced += pilot.reached("append fenced");
    drop(folder);
    Ok(())
}

/// Runs the seeds of a test. A failure comes with the command that plays it again.
fn run(test: &str, from: u64, count: u64, faults: Faults, synchronous: Synchronous) -> Tally {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match (number("HARNESS_SIM_SEED"), number("HARNESS_SIM_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, wanted) => from..from + wanted.unwrap_or(count),
    };
    let mut tally = Tally { is_single: number("HARNESS_SIM_SEED").is_some(), ..Tally::default() };
    let (started, count) = (Instant::now(), seeds.end - seeds.start);
    for seed in seeds {
        if let Err(what) = run_seed(seed, faults, synchronous, &mut tally) {
            let again =
                format!("HARNESS_SIM_SEED={seed} cargo test --release -p harness-store --test simulation {test}");
            tally.broken.push(format!("seed {seed}: {what}\nagain: {again}"));
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = count as f64 / seconds;
    let Tally { told, runs, cut_in_the_middle, flights, fights, fenced, injected, .. } = &tally;
    println!(
        "{test}: {count} seeds in {seconds:.1} s, {rate:.1} a second: {told} events told, {runs} calls run, {flights} \
         flights, {fights} fights, {fenced} appends fenced, {cut_in_the_middle} cuts in the middle, {injected:?}"
    );
    tally
}

#[test]
fn a_simulated_session_survives_power_cuts() {
    let name = "a_simulated_session_survives_power_cuts";
    let tally = run(name, 0, SEEDS_COUNT, Faults::default(), Synchronous::Full);
    assert!(tally.broken.is_empty(), "{}", tally.broken.join("\n"));
    if tally.is_single {
        return;
    }
    assert!(tally.told > 500 && tally.runs > 20, "{} events were told, {} calls run", tally.told, tally.runs);
    assert!(tally.cut_in_the_middle > 3, "only {} cuts came in the middle of work", tally.cut_in_the_middle);
    let Injected { dropped, torn, .. } = tally.injected;
    assert!(dropped > 10 && torn > 10, "{dropped} writes were lost, {torn} torn");
    assert!(tally.fights > 3 && tally.fenced > 3, "{} fights, {} appends fenced", tally.fights, tally.fenced);
}

#[test]
fn nor_does_a_disk_break_it_that_is_full_slow_or_broken_now_and_then() {
    let faults = Faults {
        sync_fails_per_mille: 20,
        disk_full_per_mille: 5,
        short_write_per_mille: 5,
        read_fails_per_mille: 3,
        slow_sync_per_mille: 30,
    };
    let name = "nor_does_a_disk_break_it_that_is_full_slow_or_broken_now_and_then";
    let tally = run(name, 1_000, SEEDS_COUNT, faults, Synchronous::Full);
    assert!(tally.broken.is_empty(), "{}", tally.broken.join("\n"));
    if tally.is_single {
        return;
    }
    assert!(tally.told > 200 && tally.flights > 30, "{} events were told in {} flights", tally.told, tally.flights);
    let Injected { syncs, full, short, reads, slow, dropped, torn } = tally.injected;
    assert!(
        [syncs, full, short, reads, slow, dropped, torn].iter().all(|count| *count > 0),
        "too few: {:?}",
        tally.injected
    );
}

#[test]
fn with_less_care_it_does_not() {
    let tally = run("with_less_care_it_does_not", 0, SEEDS_COUNT, Faults::default(), Synchronous::Off);
    assert!(tally.is_single || !tally.broken.is_empty(), "a store that never syncs lost nothing");
}
