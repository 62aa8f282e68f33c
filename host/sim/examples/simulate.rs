//! Plays many seeds: `cargo run --release -p harness-sim --example simulate -- --seeds 1000000`.
//!
//! Prints seeds per second and how often each thing was reached. A failing seed ends it, with exit code 1 and the
//! actions that are enough; `HARNESS_SIM_SEED=N` plays that seed alone.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for a person")]

use harness_sim::simulation::{World, sweep};
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "simulate [--seeds COUNT] [--from SEED] [--world core|engine] [--threads COUNT]";

/// Rare things that are named at the end.
const RAREST_COUNT: usize = 24;

struct Asked {
    seeds: u64,
    from: u64,
    world: World,
    threads: usize,
}

fn asked() -> Result<Asked, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut asked = Asked { seeds: 100_000, from: 0, world: World::Core, threads };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} takes a value. {USAGE}"))?;
        let number = || value.parse::<u64>().map_err(|error| format!("{name} {value}: {error}. {USAGE}"));
        match name.as_str() {
            "--seeds" => asked.seeds = number()?,
            "--from" => asked.from = number()?,
            "--threads" => asked.threads = number()? as usize,
            "--world" => {
                asked.world = World::parse(&value).ok_or_else(|| format!("there is no world `{value}`. {USAGE}"))?;
            }
            _ => return Err(format!("what is {name}? {USAGE}")),
        }
    }
    if let Ok(seed) = std::env::var("HARNESS_SIM_SEED") {
        asked.from = seed.parse().map_err(|error| format!("HARNESS_SIM_SEED is {seed}: {error}"))?;
        asked.seeds = 1;
    }
    Ok(asked)
}

fn main() -> ExitCode {
    let asked = match asked() {
        Ok(asked) => asked,
        Err(what) => {
            eprintln!("{what}");
            return ExitCode::from(2);
        }
    };
    let started = Instant::now();
    match sweep(asked.world, asked.from..asked.from.saturating_add(asked.seeds), asked.threads) {
        Ok(coverage) => {
            let seconds = started.elapsed().as_secs_f64();
            print!("{coverage}");
            let missing = coverage.missing(asked.world.reaches());
            println!("never reached: {missing:?}");
            let rarest = coverage.rarest(asked.world.reaches());
            let rarest = rarest.iter().take(RAREST_COUNT).map(|(share, what)| format!("{what} {share} ‰"));
            println!("rarest, by plays: {}", rarest.collect::<Vec<_>>().join(", "));
            println!("{} seeds in {seconds:.1} s: {:.0} a second", asked.seeds, asked.seeds as f64 / seconds);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
