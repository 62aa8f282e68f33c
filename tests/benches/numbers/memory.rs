//! What a process takes while it waits: with one open session, and with up to 10,000 of them.

use crate::host::{Place, Shared, executor, run_turn};
use crate::process::{Role, memory_mebibytes, say};
use crate::quantity::Quantity;
use crate::table::{Row, Table};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Open sessions in one process, each after one turn.
const SIZES: [usize; 4] = [1, 100, 1_000, 10_000];
/// How long the process is left alone before it is looked at.
const SETTLE_MS: u64 = 300;

/// What a process takes, in MiB.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Taken {
    /// Resident, pages of the program's own file included.
    resident: f64,
    /// Of that what no file backs, so that the system cannot simply drop it.
    own: f64,
}

impl Taken {
    fn now() -> Self {
        Self { resident: memory_mebibytes("VmRSS"), own: memory_mebibytes("RssAnon") }
    }
}

pub(crate) fn measure(shared: &Shared, table: &mut Table) {
    let mut server = Role::start("model-server", &[]);
    let url: String = server.hear();
    let mut words = shared.place("memory").to_words();
    words.push(url);
    let (opened, after): (Taken, Vec<Taken>) = Role::start("memory", &words).hear();
    let what = "resident memory with one open session, nothing asked yet";
    table.push(Row::of("idle", what, Quantity::Mebibytes(opened.resident)).hold(Quantity::Mebibytes(30.0)));
    let used = after[0];
    let what = "the same after one turn with a tool call";
    table.push(Row::of("", what, Quantity::Mebibytes(used.resident)).hold(Quantity::Mebibytes(30.0)));
    for (when, taken) in [("before", opened), ("after", used)] {
        let what = format!("of it {when} that turn, not pages of the program's file");
        table.push(Row::of("", what, Quantity::Mebibytes(taken.own)));
    }
    for (count, taken) in SIZES.into_iter().zip(after).skip(1) {
        let what = format!("with {count} open sessions, each after one turn with a tool call");
        table.push(Row::of("", what, Quantity::Mebibytes(taken.resident)));
        let each = Quantity::Mebibytes((taken.resident - used.resident) / (count - 1) as f64);
        table.push(Row::of("", "of that each beyond the first", each).hold(Quantity::Mebibytes(0.5)));
    }
}

/// The process that is looked at: place and address.
pub(crate) fn child(words: &[String]) {
    let (place, url) = (Place::from_words(words), &words[2]);
    let found = executor().block_on(async {
        let settled = || async {
            tokio::time::sleep(Duration::from_millis(SETTLE_MS)).await;
            Taken::now()
        };
        let bench = place.host(url);
        let first = bench.create("first-1").await;
        let opened = settled().await;
        run_turn(&first).await;
        let (mut sessions, mut after) = (vec![first], Vec::new());
        for count in SIZES {
            while sessions.len() < count {
                let session = bench.create(&format!("more{}-1", sessions.len())).await;
                run_turn(&session).await;
                sessions.push(session);
            }
            after.push(settled().await);
        }
        (opened, after)
    });
    say(&found);
}
