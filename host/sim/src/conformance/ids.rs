//! What every source of randomness must do.

use harness_engine::ports::Ids;
use std::collections::BTreeSet;

/// Draws looked at.
const DRAWS: usize = 1_000;

/// Runs every case.
pub fn run_all(ids: &dyn Ids) {
    let drawn: Vec<[u8; 16]> = (0..DRAWS).map(|_| ids.entropy()).collect();
    assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), DRAWS, "nothing is drawn twice");
    for place in 0..16 {
        let values: BTreeSet<u8> = drawn.iter().map(|bytes| bytes[place]).collect();
        assert!(values.len() > 200, "byte {place} takes only {} of 256 values", values.len());
    }
}
