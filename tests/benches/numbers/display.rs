//! Patches of a screen a second: for each event of a session, and for each piece of a response in flight.

use crate::host::Shared;
use crate::quantity::Quantity;
use crate::table::{Row, Table};
use crate::wake::Story;
use harness_core::display::{Cursor, Screen};
use harness_core::{Event, Header, Sequence};
use std::time::{Duration, Instant};

/// Events of the session: several turns of 20 calls.
const EVENTS: u64 = 20_000;
/// Pieces of the response in flight.
const PIECES: usize = 50_000;
/// One piece of a response.
const PIECE: &str = "another word ";

pub(crate) fn measure(shared: &Shared, table: &mut Table) {
    let bench = shared.place("display").host("http://127.0.0.1:9/v1");
    let events: Vec<(Header, Event)> = Story::told(&bench, EVENTS);
    let mut reader = Reader::default();
    for (header, event) in &events {
        reader.take(|screen| screen.apply(header, Some(event)));
    }
    let what = format!("patches of a session of {EVENTS} events, one an event, as JSON text");
    table.push(Row::of("display", what, reader.rate()));

    let mut reader = Reader::default();
    let requested = events.iter().position(|(_, event)| matches!(event, Event::ModelRequested { .. })).unwrap();
    for (header, event) in &events[..=requested] {
        reader.take(|screen| screen.apply(header, Some(event)));
    }
    (reader.patches, reader.elapsed) = Default::default();
    for number in 0..PIECES {
        reader.take(|screen| screen.text((number * PIECE.len()) as u64, PIECE));
    }
    let what = format!("patches of a response in flight, one for each of {PIECES} pieces, as JSON text");
    table.push(Row::of("", what, reader.rate()));
}

/// Someone who takes each change at once.
#[derive(Default)]
struct Reader {
    screen: Screen,
    cursor: Option<Cursor>,
    patches: usize,
    elapsed: Duration,
}

impl Reader {
    fn take(&mut self, change: impl FnOnce(&mut Screen)) {
        let begin = Instant::now();
        change(&mut self.screen);
        let cursor = self.cursor.get_or_insert_with(|| self.screen.cursor_at(Sequence::START));
        if let Some((update, next)) = self.screen.since(cursor) {
            *cursor = next;
            self.patches += usize::from(!serde_json::to_vec(&update).unwrap().is_empty());
        }
        self.elapsed += begin.elapsed();
    }

    fn rate(&self) -> Quantity {
        assert!(self.patches > 0, "nothing was told");
        Quantity::rate(self.patches, self.elapsed)
    }
}
