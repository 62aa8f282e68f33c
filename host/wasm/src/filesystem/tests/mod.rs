//! Tests of the staged filesystem without a guest. The guests' own are in `host/wasm/tests/filesystem.rs`.

pub(super) mod differential;
mod escapes;
mod overlay;
pub(super) mod world;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// A runner whose seed is printed, and taken from `HARNESS_HOST_TEST_SEED` (a number) where that is set;
/// `HARNESS_HOST_TEST_CASES` sets another number of cases.
pub(super) fn runner(name: &str, cases: u32) -> TestRunner {
    let number = |key: &str| std::env::var(key).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("HARNESS_HOST_TEST_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    });
    let cases = number("HARNESS_HOST_TEST_CASES").map_or(cases, |cases| cases as u32);
    println!("{name}: HARNESS_HOST_TEST_SEED={seed}, {cases} cases");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}
