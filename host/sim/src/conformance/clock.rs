//! What every clock must do.

use harness_engine::ports::Clock;

/// The first moment of 2020, in milliseconds since the Unix epoch: no clock in use is before it.
const EARLIEST_MS: i64 = 1_577_836_800_000;

/// Runs every case.
pub async fn run_all(clock: &dyn Clock) {
    let before = clock.now();
    assert!(before.0 >= EARLIEST_MS, "the unit is milliseconds since the Unix epoch");
    clock.sleep(0).await;
    clock.sleep(5).await;
    assert!(clock.now().0 >= before.0 + 5, "a wait takes as long as it was asked to");
}
