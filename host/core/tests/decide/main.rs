//! Decisions as data: each test is a script of inputs and what must follow from each; then the laws
//! that hold for random inputs, the chain, and the golden logs.
//!
//! Not here: the verdict's truth table (`tests/verdict.rs`).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod answers;
mod approvals;
mod branches;
mod budgets;
mod calls;
mod chain;
mod display;
mod golden;
mod grants;
mod messages;
mod modes;
mod needs;
mod notation;
mod properties;
mod recovery;
mod repetition;
mod session_tools;
mod trust;
mod turns;
mod undo;
