//! Durable events a second through the store, with one writer and with many that share commits.

use crate::host::{Shared, executor};
use crate::quantity::{Durations, Quantity};
use crate::table::{Row, Table};
use harness_core::envelope::{Lineage, SealContext, seal};
use harness_core::{Actor, Epoch, Event, SessionId, TenantId, TimeMs, Tip};
use harness_engine::ports::{EventLog, Ids, Lease, Said, SessionAppend, Takeover};
use harness_engine::system::SystemIds;
use harness_store::{SqliteStore, this_process};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Sessions, events of one append, appends of each session, whether one event of each append has words.
const SHAPES: [(u64, usize, usize, bool); 4] =
    [(1, 1, 1_500, false), (100, 1, 200, false), (100, 3, 150, false), (100, 3, 150, true)];
/// Words that can be searched for, of one event.
const WORDS: usize = 40;
/// Different words that there are.
const VOCABULARY: usize = 5_000;

pub(crate) fn measure(shared: &Shared, table: &mut Table) {
    for (sessions, events, appends, speaks) in SHAPES {
        let place = shared.place(&format!("events-{sessions}-{events}-{speaks}"));
        let (elapsed, waits) = executor().block_on(run(place.open_store(), sessions, events, appends, speaks));
        let words = if speaks { format!(", {WORDS} words to search for in one of them") } else { String::new() };
        let what = format!("{sessions} session(s), {events} event(s) an append, each waits for its commit{words}");
        let count = sessions as usize * events * appends;
        let mut row = Row::of("durable events", what, Quantity::rate(count, elapsed));
        if (sessions, events) == (100, 3) {
            row = row.hold(Quantity::PerSecond(20_000.0));
        }
        table.push(row);
        table.push(Row::p50_p99("", "the wait of one append", &waits));
    }
}

async fn run(store: SqliteStore, sessions: u64, events: usize, appends: usize, speaks: bool) -> (Duration, Durations) {
    let mut writers = Vec::new();
    for number in 0..sessions {
        let session = SessionId::from_bits(u128::from(number) + 1);
        let epoch = store.acquire(session, &this_process(), Takeover::IfGone).await.unwrap();
        writers.push(Writer { store: store.clone(), session, epoch, tip: Tip::START, speaks });
    }
    let begin = Instant::now();
    let mut running = JoinSet::new();
    for mut writer in writers {
        running.spawn(async move {
            let mut waits = Vec::with_capacity(appends);
            for _ in 0..appends {
                waits.push(writer.append(events).await);
            }
            waits
        });
    }
    let waits = running.join_all().await.concat();
    (begin.elapsed(), Durations::new(waits))
}

struct Writer {
    store: SqliteStore,
    session: SessionId,
    epoch: Epoch,
    tip: Tip,
    speaks: bool,
}

impl Writer {
    async fn append(&mut self, count: usize) -> Duration {
        let context = SealContext {
            tenant: TenantId::local(),
            session: self.session,
            lineage: Lineage::root_of(self.session),
            time: TimeMs(1),
            actor: Actor::Host,
        };
        let events = vec![Event::SessionRenamed { title: "one small event".to_owned() }; count];
        let (sealed, tip) = seal(self.tip, &context, &events, || SystemIds.entropy());
        let mut append = SessionAppend::new(self.session, self.epoch, self.tip, sealed);
        if self.speaks {
            // The same words in another order each time.
            let start = self.session.bits() as usize * 31 + tip.sequence.0 as usize * 17;
            let word = |number: usize| format!("word{}", (start + number * number) % VOCABULARY);
            let text = (0..WORDS).map(word).collect::<Vec<_>>().join(" ");
            append.said.push(Said { sequence: tip.sequence, text });
        }
        let begin = Instant::now();
        self.store.append(vec![append]).await.unwrap();
        self.tip = tip;
        begin.elapsed()
    }
}
