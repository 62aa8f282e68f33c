//! Tests of the built components; see `tests/`.
