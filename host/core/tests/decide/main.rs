//! Decisions as data: each test is a script of inputs and what must follow from each.
//!
//! Not here: the verdict's truth table (`tests/verdict.rs`), random inputs (`tests/properties.rs`).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod approvals;
mod calls;
mod notation;
mod recovery;
mod turns;
