//! `harness:host/progress`: how far a call has come, for the person who waits.
//!
//! Promise: words are cleaned, on one line and cut; a flood of reports reaches nobody, and the last
//! report is never lost.
//!
//! Not here: keeping them (nobody does).

use crate::clean::clean;
use crate::contract::host::harness::host::progress::Host;
use crate::guest::GuestState;
use harness_engine::ports::{CallProgress, CallProgressSink};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The words of a report, in characters.
const WORDS_CHARS_MAX: usize = 120;
/// Time between two reports that are passed on.
const REPORTS_APART_MIN: Duration = Duration::from_millis(100);
/// All of the work, in parts of a thousand.
const DONE_PERMILLE_MAX: u16 = 1_000;

/// The way to whoever waits.
pub(crate) struct Reports {
    sink: Arc<dyn CallProgressSink>,
    last: Option<Instant>,
    /// Came too soon after the one before.
    held: Option<CallProgress>,
}

impl Reports {
    pub(crate) fn new(sink: Arc<dyn CallProgressSink>) -> Self {
        Self { sink, last: None, held: None }
    }

    fn report(&mut self, progress: CallProgress) {
        if self.last.is_some_and(|last| last.elapsed() < REPORTS_APART_MIN) {
            self.held = Some(progress);
            return;
        }
        self.held = None;
        self.last = Some(Instant::now());
        self.sink.progress(progress);
    }

    /// Passes on what was held back: the call has ended.
    pub(crate) fn finish(&mut self) {
        if let Some(held) = self.held.take() {
            self.sink.progress(held);
        }
    }
}

impl Host for GuestState {
    fn report(&mut self, words: String, done_permille: Option<u16>) -> wasmtime::Result<()> {
        let words = one_line(words, WORDS_CHARS_MAX);
        let done_permille = done_permille.map(|done| done.min(DONE_PERMILLE_MAX));
        self.lent.reports.report(CallProgress { words, done_permille });
        Ok(())
    }
}

/// A guest's words for a person: cleaned, on one line, at most so many characters.
pub(crate) fn one_line(words: String, chars_max: usize) -> String {
    let words = clean(words);
    let mut line = String::with_capacity(words.len().min(4 * chars_max));
    // What is cut off is not looked at: the words may be megabytes.
    for c in words.trim_start().chars().take(chars_max) {
        // Rows of spaces could push what follows to where a person reads something else.
        if !c.is_whitespace() {
            line.push(c);
        } else if !line.ends_with(' ') {
            line.push(' ');
        }
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_flood_is_thinned_and_the_last_report_comes_through() {
        let told = Arc::<Mutex<Vec<u16>>>::default();
        let sink = told.clone();
        let mut reports = Reports::new(Arc::new(move |progress: CallProgress| {
            sink.lock().unwrap().push(progress.done_permille.unwrap());
        }));
        for done in 0..=1_000 {
            reports.report(CallProgress { words: String::new(), done_permille: Some(done) });
        }
        reports.finish();
        reports.finish();
        let told = told.lock().unwrap();
        assert_eq!((told.first(), told.last()), (Some(&0), Some(&1_000)));
        assert!(told.len() < 1_000, "{}", told.len());
    }

    #[test]
    fn words_are_one_clean_short_line() {
        assert_eq!(one_line(" a\u{1b}[31mb\nc\u{202e} ".to_owned(), 120), "ab c");
        assert_eq!(one_line("ä".repeat(500), 120).chars().count(), 120);
    }
}
