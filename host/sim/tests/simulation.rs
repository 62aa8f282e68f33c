//! A bounded run of the simulation: no seed breaks an invariant, and everything interesting is reached.
//!
//! The long run is a command: `cargo run --release -p harness-sim --example simulate -- --seeds 1000000`.
//! `HARNESS_SIM_SEED=N` has these tests play that seed alone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_sim::simulation::{Coverage, World, plan, play, play_seed, sweep};

/// Seeds of the core's world: a few seconds in a test build.
const CORE_SEEDS: u64 = 800;
/// Seeds of the engine's world.
const ENGINE_SEEDS: u64 = 700;

fn bounded(world: World, seeds: u64) {
    if let Some(seed) = std::env::var("HARNESS_SIM_SEED").ok().map(|text| text.parse().expect("a seed is a number")) {
        play_seed(world, seed, &mut Coverage::default()).unwrap_or_else(|failure| panic!("{failure}"));
        return;
    }
    let coverage = sweep(world, 0..seeds, 2).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(coverage.missing(world.reaches()), Vec::<&str>::new(), "never reached, of\n{coverage}");
}

#[test]
fn the_core_holds_under_anything() {
    bounded(World::Core, CORE_SEEDS);
}

#[test]
fn the_engine_holds_under_anything() {
    bounded(World::Engine, ENGINE_SEEDS);
}

#[test]
fn a_seed_plays_the_same_each_time() {
    for world in [World::Core, World::Engine] {
        for seed in 0..40 {
            let played = [(); 2].map(|()| {
                let mut coverage = Coverage::default();
                let result = play(world, seed, &plan(seed), &mut coverage);
                (result, coverage)
            });
            assert_eq!(played[0], played[1], "seed {seed} of {world:?}");
        }
    }
}
