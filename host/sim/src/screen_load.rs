//! A measure of screens: a log folded and read as often as wanted.
//!
//! Promise: what a reader puts together is the state; only what is done in between is worth timing.
//!
//! Not here: clocks and tables (benchmarks).

use harness_core::display::{Cursor, Screen};
use harness_core::{Event, Sequence};
use harness_engine::LoggedEvent;

/// What one reader of a screen got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScreenLoad {
    /// Events that were folded.
    pub events: u64,
    /// Updates that were made; the first is the whole state.
    pub updates: u64,
    /// Bytes of all updates as JSON.
    pub bytes: u64,
    /// Bytes of the whole state at the end.
    pub state_bytes: u64,
    /// The event that the reader is at.
    pub at: Sequence,
}

/// Folds events and makes an update after every `events_per_update` of them, as for one reader that sends them on.
pub fn screen_load<'a>(events: impl IntoIterator<Item = &'a LoggedEvent>, events_per_update: u64) -> ScreenLoad {
    let (mut screen, mut cursor, mut load) = (Screen::default(), Cursor::NOTHING, ScreenLoad::default());
    let events: Vec<&LoggedEvent> = events.into_iter().collect();
    screen.expect_rewinds(events.iter().filter_map(|logged| match logged.event {
        Some(Event::SessionRewound { to }) => Some(to),
        _ => None,
    }));
    for logged in events {
        screen.apply(&logged.header, logged.event.as_ref());
        load.events += 1;
        if load.events.is_multiple_of(events_per_update.max(1))
            && let Some((update, next)) = screen.since(&cursor)
        {
            load.updates += 1;
            load.bytes += serde_json::to_vec(&update).map_or(0, |bytes| bytes.len() as u64);
            cursor = next;
        }
    }
    load.at = cursor.sequence();
    load.state_bytes = screen.state().to_json().to_string().len() as u64;
    load
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_events_make_no_updates() {
        let load = screen_load(&[], 1);
        assert_eq!((load.events, load.updates, load.at), (0, 0, Sequence::START));
    }
}
