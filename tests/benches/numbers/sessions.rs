//! Many sessions in one process: reading turns a second, and the peak of its memory.

use crate::host::{Place, Shared, executor, run_turn};
use crate::process::{Role, memory_mebibytes, say};
use crate::quantity::Quantity;
use crate::table::{Row, Table};
use serde::{Deserialize, Serialize};
use std::time::Instant;
use tokio::task::JoinSet;

/// Tool turns of each session.
const TURNS: usize = 20;
/// Sessions at once, and how often each is measured: the middle one counts.
const SIZES: [(usize, usize); 3] = [(1, 5), (10, 3), (100, 3)];

/// What one process found.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    turns_per_second: f64,
    peak_mebibytes: f64,
    cpu_us_per_turn: f64,
}

pub(crate) fn measure(shared: &Shared, table: &mut Table) {
    let mut server = Role::start("model-server", &[]);
    let url: String = server.hear();
    for (count, rounds) in SIZES {
        let mut found: Vec<Found> = (0..rounds)
            .map(|round| {
                let mut words = shared.place(&format!("sessions-{count}-{round}")).to_words();
                words.extend([url.clone(), count.to_string(), format!("many{count}x{round}")]);
                Role::start("sessions", &words).hear()
            })
            .collect();
        found.sort_by(|a, b| a.turns_per_second.total_cmp(&b.turns_per_second));
        let Found { turns_per_second, peak_mebibytes, cpu_us_per_turn } = found.swap_remove(rounds / 2);
        let what = match count {
            1 => "1 session in one process, 20 tool turns, model server in another".to_owned(),
            count => format!("{count} sessions at once, 20 tool turns each"),
        };
        let mut rate = Row::of("sessions at once", what, Quantity::PerSecond(turns_per_second));
        let mut peak = Row::of("", "its peak memory (VmHWM)", Quantity::Mebibytes(peak_mebibytes));
        if count == 100 {
            rate = rate.hold(Quantity::PerSecond(2_000.0));
            peak = peak.hold(Quantity::Mebibytes(120.0));
        }
        table.push(rate);
        table.push(peak);
        table.push(Row::of("", "its processor time for one turn", Quantity::Microseconds(cpu_us_per_turn)));
    }
}

/// The process with the sessions: place, address, how many, and a name for its models.
pub(crate) fn child(words: &[String]) {
    let (place, words) = (Place::from_words(words), &words[2..]);
    let (url, count, name) = (&words[0], words[1].parse::<usize>().unwrap(), &words[2]);
    let found = executor().block_on(async {
        let bench = place.host(url);
        // Loads the component and makes a connection: neither is what is measured.
        run_turn(&bench.create(&format!("{name}-warm-1")).await).await;
        let mut opened = Vec::new();
        for number in 0..count {
            opened.push(bench.create(&format!("{name}-{number}-{TURNS}")).await);
        }
        let (begin, cpu) = (Instant::now(), cpu_us());
        let mut running = JoinSet::new();
        for session in opened {
            running.spawn(async move {
                run_turn(&session).await;
                session
            });
        }
        let ended = running.join_all().await;
        let elapsed = begin.elapsed();
        let cpu_us_per_turn = (cpu_us() - cpu) / (count * TURNS) as f64;
        let peak_mebibytes = memory_mebibytes("VmHWM");
        assert_eq!(ended.len(), count);
        let turns_per_second = (count * TURNS) as f64 / elapsed.as_secs_f64();
        Found { turns_per_second, peak_mebibytes, cpu_us_per_turn }
    });
    say(&found);
}

/// Processor time of this process so far, in microseconds.
fn cpu_us() -> f64 {
    // Nanoseconds on a processor, all threads that live: the first number of each.
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let of = |thread: std::io::Result<std::fs::DirEntry>| -> f64 {
        let statistics = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap_or_default();
        statistics.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0)
    };
    threads.map(of).sum::<f64>() / 1e3
}
