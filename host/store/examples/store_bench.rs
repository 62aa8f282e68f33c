//! Prints what the store costs on this machine's disk, next to a bare SQLite commit on the same disk.
//!
//! `cargo run --release -p harness-store --example store_bench [FOLDER]`
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that fails has no result")]

use harness_engine::ports::EventLog;
use harness_sim::conformance::{Stores, Writer, session};
use harness_store::{DATABASE_FILE, SqliteStore, StoreOptions, this_process};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Appends of one session that are timed one by one.
const ALONE_COUNT: usize = 2_000;
/// Sessions that append at the same time.
const SESSIONS_COUNT: u64 = 100;
/// Appends of each of them.
const EACH_COUNT: usize = 400;
/// Openings of each kind.
const OPENINGS_COUNT: usize = 50;

fn main() {
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, std::path::PathBuf::from);
    let folder = tempfile::tempdir_in(parent).unwrap();
    let bare = bare_commits(&folder.path().join("bare.sqlite"));
    println!("bare commit: p50 {:?}, p99 {:?}", at(&bare, 50), at(&bare, 99));

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let start = Instant::now();
        let store = Arc::new(SqliteStore::open(folder.path().join("store"), StoreOptions::default()).unwrap());
        println!("open (new): {:?}", start.elapsed());
        let stores = Stores::of(Arc::clone(&store), this_process(), this_process(), |_| {});
        alone(&stores, at(&bare, 50)).await;
        together(&stores).await;
        reads(&*store).await;
        let open = |folder: &std::path::Path| SqliteStore::open(folder, StoreOptions::default()).unwrap();
        let beside = sorted((0..OPENINGS_COUNT).map(|_| timed(|| open(&folder.path().join("store")))).collect());
        println!("open (others have it open): p50 {:?}, p99 {:?}", at(&beside, 50), at(&beside, 99));
        let (log_bytes, killed) = after_kill(&folder.path().join("store"), &folder.path().join("killed"), &open);
        println!("open (after a kill, log of {log_bytes} bytes): p50 {:?}, p99 {:?}", at(&killed, 50), at(&killed, 99));
        drop((stores, store));
        let closed = sorted((0..OPENINGS_COUNT).map(|_| timed(|| open(&folder.path().join("store")))).collect());
        println!("open (existing): p50 {:?}, p99 {:?}", at(&closed, 50), at(&closed, 99));
    });
}

/// What opening takes when the process that had it open was killed: its files are copied away under it. With the
/// size of its write-ahead log.
fn after_kill(
    living: &std::path::Path,
    killed: &std::path::Path,
    open: &dyn Fn(&std::path::Path) -> SqliteStore,
) -> (u64, Vec<Duration>) {
    let log = format!("{DATABASE_FILE}-wal");
    let times = (0..OPENINGS_COUNT).map(|_| {
        let _ = std::fs::remove_dir_all(killed);
        std::fs::create_dir(killed).unwrap();
        for name in [DATABASE_FILE, &log] {
            std::fs::copy(living.join(name), killed.join(name)).unwrap();
            std::fs::File::open(killed.join(name)).unwrap().sync_all().unwrap();
        }
        let begin = Instant::now();
        let store = open(killed);
        let time = begin.elapsed();
        drop(store);
        time
    });
    let times = sorted(times.collect());
    (std::fs::metadata(living.join(log)).unwrap().len(), times)
}

/// What a commit of one small row costs at least.
fn bare_commits(path: &std::path::Path) -> Vec<Duration> {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, bytes BLOB)").unwrap();
    let mut insert = connection.prepare("INSERT INTO t (bytes) VALUES (?1)").unwrap();
    sorted((0..ALONE_COUNT).map(|_| timed(|| insert.execute([[7_u8; 600].as_slice()]).unwrap())).collect())
}

async fn alone(stores: &Stores, bare: Duration) {
    let mut writer = Writer::acquire(stores, session(0)).await;
    let mut times = Vec::with_capacity(ALONE_COUNT);
    let start = Instant::now();
    for _ in 0..ALONE_COUNT {
        let begin = Instant::now();
        writer.append(&["one small event"]).await.unwrap();
        times.push(begin.elapsed());
    }
    let rate = ALONE_COUNT as f64 / start.elapsed().as_secs_f64();
    let times = sorted(times);
    let ratio = at(&times, 50).as_secs_f64() / bare.as_secs_f64();
    println!(
        "1 session: {rate:.0} commits/s = events/s; append p50 {:?}, p99 {:?}; p50 is {ratio:.2}x of a bare commit",
        at(&times, 50),
        at(&times, 99)
    );
}

async fn together(stores: &Stores) {
    for events in [1, 3] {
        let mut tasks = tokio::task::JoinSet::new();
        let start = Instant::now();
        for number in 1..=SESSIONS_COUNT {
            let mut writer = Writer::acquire(stores, session(number)).await;
            tasks.spawn(async move {
                let titles = vec!["one small event"; events];
                let mut times = Vec::with_capacity(EACH_COUNT);
                for _ in 0..EACH_COUNT {
                    let begin = Instant::now();
                    writer.append(&titles).await.unwrap();
                    times.push(begin.elapsed());
                }
                times
            });
        }
        let mut times = Vec::new();
        while let Some(done) = tasks.join_next().await {
            times.extend(done.unwrap());
        }
        let rate = times.len() as f64 / start.elapsed().as_secs_f64();
        let times = sorted(times);
        println!(
            "{SESSIONS_COUNT} sessions, {events} events an append: {rate:.0} appends/s, {:.0} events/s; append p50 {:?}, p99 {:?}",
            rate * events as f64,
            at(&times, 50),
            at(&times, 99)
        );
    }
}

async fn reads(log: &dyn EventLog) {
    let mut times = Vec::new();
    for _ in 0..200 {
        let begin = Instant::now();
        assert_eq!(log.read(session(0), harness_core::Sequence(100), 100).await.unwrap().len(), 100);
        times.push(begin.elapsed());
    }
    let times = sorted(times);
    println!("read of 100 events: p50 {:?}, p99 {:?}", at(&times, 50), at(&times, 99));
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let begin = Instant::now();
    work();
    begin.elapsed()
}

fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort();
    times
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}
