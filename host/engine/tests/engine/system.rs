//! The system's clock and randomness against the cases that every implementation must pass.

use harness_engine::system::{SystemClock, SystemIds};
use harness_sim::conformance;

#[tokio::test]
async fn the_systems_clock_and_randomness_keep_the_promises_of_their_ports() {
    conformance::clock::run_all(&SystemClock).await;
    conformance::ids::run_all(&SystemIds);
}
