//! `harness:host/log`: notes for the people who look at a call afterwards.
//!
//! Promise: a note is one entry of the call's log, under its limit; writing never fails.
//!
//! Not here: the log itself (`crate::log`).

use crate::contract::host::harness::host::log::{Host, Level};
use crate::guest::GuestState;

impl Host for GuestState {
    fn write(&mut self, level: Level, words: String) -> wasmtime::Result<()> {
        let level = match level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        self.log.note(level, &words);
        Ok(())
    }
}
