//! What a process takes while it waits: with one open session, and for each further one.

use crate::host::{Place, Shared, executor, run_turn};
use crate::process::{Role, memory_mebibytes, say};
use crate::quantity::Quantity;
use crate::table::{Row, Table};
use std::time::Duration;

/// Sessions beyond the first.
const MORE: usize = 100;
/// How long the process is left alone before it is looked at.
const SETTLE_MS: u64 = 300;

pub(crate) fn measure(shared: &Shared, table: &mut Table) {
    let mut server = Role::start("model-server", &[]);
    let url: String = server.hear();
    let mut words = shared.place("memory").to_words();
    words.push(url);
    let (opened, used, many): (f64, f64, f64) = Role::start("memory", &words).hear();
    let what = "resident memory with one open session, nothing asked yet";
    table.push(Row::of("idle", what, Quantity::Mebibytes(opened)).hold(Quantity::Mebibytes(30.0)));
    let what = "the same after one turn with a tool call";
    table.push(Row::of("", what, Quantity::Mebibytes(used)).hold(Quantity::Mebibytes(30.0)));
    let what = format!("each of {MORE} further open sessions, each after one turn with a tool call");
    let each = Quantity::Mebibytes((many - used) / MORE as f64);
    table.push(Row::of("", what, each).hold(Quantity::Mebibytes(0.5)));
}

/// The process that is looked at: place and address.
pub(crate) fn child(words: &[String]) {
    let (place, url) = (Place::from_words(words), &words[2]);
    let found = executor().block_on(async {
        let settled = || async {
            tokio::time::sleep(Duration::from_millis(SETTLE_MS)).await;
            memory_mebibytes("VmRSS")
        };
        let bench = place.host(url);
        let first = bench.create("first-1").await;
        let opened = settled().await;
        run_turn(&first).await;
        let used = settled().await;
        let mut sessions = vec![first];
        for number in 0..MORE {
            let session = bench.create(&format!("more{number}-1")).await;
            run_turn(&session).await;
            sessions.push(session);
        }
        let many = settled().await;
        assert_eq!(sessions.len(), MORE + 1);
        (opened, used, many)
    });
    say(&found);
}
