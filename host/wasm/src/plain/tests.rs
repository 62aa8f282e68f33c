//! Types, values and JSON: read from binaries, known by the engine, and passed through real components.

mod echo;
mod random;
mod tables;
mod wit;
