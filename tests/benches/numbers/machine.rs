//! What has to be known of the machine to read the table.

use crate::quantity::Durations;
use std::time::Instant;

/// Commits that are timed.
const COMMITS: usize = 1_000;
/// What each of them writes, in bytes.
const ROW_BYTES: usize = 600;

/// The machine in words, and its load now.
pub(crate) fn facts() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let load = read("/proc/loadavg");
    let cpu = read("/proc/cpuinfo");
    let cpu =
        cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("").trim_start_matches(['\t', ':', ' ']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "machine: {cores} cores ({cpu}), Linux {}, load at the start {}; stores lie in {}",
        read("/proc/sys/kernel/osrelease"),
        load.split(' ').take(3).collect::<Vec<_>>().join(" "),
        std::env::temp_dir().display(),
    )
}

/// The cost of one commit in words, as it is now.
pub(crate) fn commit_cost() -> String {
    let commits = bare_commits();
    format!(
        "one bare SQLite commit (WAL, synchronous=FULL, {ROW_BYTES} bytes): p50 {}, p99 {}",
        commits.percentile(50),
        commits.percentile(99)
    )
}

/// What a durable commit costs at least on this disk.
fn bare_commits() -> Durations {
    let folder = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(folder.path().join("bare.sqlite")).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, bytes BLOB)").unwrap();
    let mut insert = connection.prepare("INSERT INTO t (bytes) VALUES (?1)").unwrap();
    let mut commit = || {
        let begin = Instant::now();
        insert.execute([[7_u8; ROW_BYTES].as_slice()]).unwrap();
        begin.elapsed()
    };
    Durations::new((0..COMMITS).map(|_| commit()).collect())
}
