//! Nothing but tests: `tests/dist.rs` looks at the built components as a host does, from outside.
