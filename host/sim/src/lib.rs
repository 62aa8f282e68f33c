//! What tests stand on: fakes of the ports, and the cases that real implementations must pass too.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod conformance;
pub mod http_server;
pub mod memory_store;
