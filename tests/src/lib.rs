//! What the end-to-end tests stand on: the real program as a process, real provider servers on loopback,
//! a real terminal, and the checks that hold for every run.
//!
//! Promise: nothing here looks inside the program; what is checked is what a person, a script or a
//! provider sees, and what is on disk.
//!
//! Not here: what is tested (`tests/`, `scenarios/`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod json_lines;
pub mod log;
pub mod normal;
pub mod program;
pub mod provider;
pub mod responder;
pub mod scenario;
pub mod secret;
pub mod terminal;
pub mod tree;
pub mod wire_text;
