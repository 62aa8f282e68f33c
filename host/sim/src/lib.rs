//! What tests stand on: fakes of the ports, and the cases that real implementations must pass too.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod clock;
pub mod conformance;
pub mod fake_hands;
pub mod files;
pub mod gate;
pub mod grant_lists;
pub mod http_server;
pub mod ids;
pub mod log_between;
pub mod memory_store;
pub mod native_hand;
pub mod provider;
pub mod random;
pub mod screen_load;
pub mod scripted_model;
pub mod scripted_policy;
pub mod simulation;
