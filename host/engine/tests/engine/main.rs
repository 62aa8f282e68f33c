//! The engine over fakes of every port: whole turns, durability, streams, crashes.
//!
//! Not here: real disks, components and providers (their crates and the tests folder).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod approvals;
mod asks;
mod branches;
mod budgets;
mod checkpoints;
mod components;
mod crashes;
mod display;
mod durability;
mod ended;
mod failures;
mod hooks;
mod inbox;
mod messages;
mod policies;
mod portable;
mod streams;
mod swapped;
mod system;
mod taken_back;
mod turns;
mod undo;
mod watched_log;
mod whole;
mod world;
