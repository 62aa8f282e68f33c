//! Somebody else was here.
