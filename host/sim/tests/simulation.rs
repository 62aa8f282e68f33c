//! A bounded run of the simulation: no seed breaks an invariant, and everything interesting is reached.
//!
//! The long run is a command: `cargo run --release -p harness-sim --example simulate -- --seeds 1000000`.
//! `HARNESS_SIM_SEED=N` has these tests play that seed alone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_sim::simulation::{Coverage, World, plan, play, play_seed, sweep};

/// Seeds that are played in any case.
const SEEDS_MIN: u64 = 150;
/// Seeds at most: where they do not reach everything, something is hardly ever reached any more.
const SEEDS_MAX: u64 = 1_200;
/// Seeds that are played twice.
const SEEDS_TWICE: u64 = 16;
/// Seeds between two looks at what was reached.
const SEEDS_PER_LOOK: u64 = 50;

fn bounded(world: World) {
    if let Some(seed) = std::env::var("HARNESS_SIM_SEED").ok().map(|text| text.parse().expect("a seed is a number")) {
        play_seed(world, seed, &mut Coverage::default()).unwrap_or_else(|failure| panic!("{failure}"));
        return;
    }
    let mut coverage = Coverage::default();
    let mut seeds = 0;
    while seeds < SEEDS_MIN || seeds < SEEDS_MAX && !coverage.missing(world.reaches()).is_empty() {
        let next = seeds + SEEDS_PER_LOOK;
        coverage.add(&sweep(world, seeds..next, 2).unwrap_or_else(|failure| panic!("{failure}")));
        seeds = next;
    }
    println!("everything was reached within {seeds} seeds");
    assert_eq!(coverage.missing(world.reaches()), Vec::<&str>::new(), "never reached, of\n{coverage}");
}

#[test]
fn the_core_holds_under_anything() {
    bounded(World::Core);
}

#[test]
fn the_engine_holds_under_anything() {
    bounded(World::Engine);
}

#[test]
fn a_seed_plays_the_same_each_time() {
    for world in [World::Core, World::Engine] {
        for seed in 0..SEEDS_TWICE {
            let played = [(); 2].map(|()| {
                let mut coverage = Coverage::default();
                let result = play(world, seed, &plan(seed), &mut coverage);
                (result, coverage)
            });
            assert_eq!(played[0], played[1], "seed {seed} of {world:?}");
        }
    }
}
