//! The numbers that this project holds, measured side by side in one run: `cargo bench -p harness-tests`.
//!
//! Promise: only real parts are measured (the SQLite store, the components of `components/dist`, the HTTP
//! models against a server on loopback, the binary as built for release); every row says what it is and
//! whether it holds. A number that does not hold is a row of the table, never a failure: the command fails
//! only where something is broken.
//!
//! Words after `--` choose rows: `cargo bench -p harness-tests -- wake events`.
//!
//! Not here: assertions on time, load tests, comparisons with other programs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that fails has no result")]

mod bare;
mod beside;
mod calls;
mod display;
mod events;
mod guests;
mod host;
mod judge;
mod languages;
mod machine;
mod memory;
mod model_server;
mod others;
mod process;
mod quantity;
mod sessions;
mod staging;
mod start;
mod steps;
mod table;
mod wake;

use host::Shared;
use table::Table;

/// Measures, and adds what was found to the table.
type Measure = fn(&Shared, &mut Table);

/// What is measured, in the order of the table: the word that chooses it and the code.
const MEASUREMENTS: &[(&str, Measure)] = &[
    ("calls", calls::measure),
    ("judge", judge::measure),
    ("others", others::measure),
    ("languages", languages::measure),
    ("staging", staging::measure),
    ("beside", beside::measure),
    ("start", start::measure),
    ("steps", steps::measure),
    ("display", display::measure),
    ("sessions", sessions::measure),
    ("events", events::measure),
    ("memory", memory::measure),
    ("wake", wake::measure),
];

fn main() {
    // Cargo passes `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.first().is_some_and(|word| word == process::CHILD_WORD) {
        return process::child_main(&words[1..]);
    }
    let chosen: Vec<_> = MEASUREMENTS
        .iter()
        .filter(|(name, _)| words.is_empty() || words.iter().any(|word| name.starts_with(word.as_str())))
        .collect();
    if chosen.is_empty() {
        let known: Vec<_> = MEASUREMENTS.iter().map(|(name, _)| *name).collect();
        eprintln!("nothing is called {}; there are: {}", words.join(" or "), known.join(", "));
        std::process::exit(2);
    }
    let facts = machine::facts();
    let before = machine::commit_cost();
    let shared = Shared::prepare();
    let mut table = Table::default();
    for (name, measure) in chosen {
        eprintln!("measuring {name}…");
        measure(&shared, &mut table);
    }
    println!("{facts}\nbefore: {before}\nafter:  {}\n\n{table}", machine::commit_cost());
}
