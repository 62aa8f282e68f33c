//! Waking a session, from its checkpoint and without one; forking, rewinding and verifying it.
//!
//! Promise: the sessions' events are the core's own decisions, kept by the store's own appends. A row of a refold says
//! so: its whole log is read, verified and folded.

use crate::host::{Bench, Shared, context, executor, grants, turn_limits};
use crate::model_server::{FILE, file_of};
use crate::quantity::{Durations, Quantity};
use crate::table::{Row, Table};
use harness_core::envelope::{Lineage, SealContext, SealedEvent, seal};
use harness_core::event::{Changes, ForkFiles, ModelStop};
use harness_core::{
    Actor, AssistantPart, CallRecord, CallUsage, Command, Epoch, Event, Header, Outcome, Sequence, SessionId,
    SessionState, TenantId, TimeMs, Tip, Usage, decide,
};
use harness_engine::Session;
use harness_engine::ports::{Ids, SessionAppend, SessionStatus, SessionSummary, Takeover};
use harness_engine::system::SystemIds;
use harness_store::this_process;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events of the sessions, and how often each thing is done to them.
const SIZES: [(u64, usize); 3] = [(1_000, 21), (100_000, 21), (1_000_000, 5)];
/// How often what reads a large part of a log is done.
const REFOLDS: usize = 3;
/// The size that is held.
const HELD_EVENTS: u64 = 100_000;
/// How often a session was closed while it grew, where it has checkpoints along its log.
const CLOSED_TIMES: u64 = 16;
/// Events appended at once while a session is made.
const APPEND_EVENTS: usize = 5_000;
/// What each call returned, in bytes.
const RESULT_BYTES: usize = 2 << 10;
/// Calls of each turn.
const TURN_CALLS: usize = 20;

pub(crate) fn measure(shared: &Shared, table: &mut Table) {
    executor().block_on(async {
        // Nobody is asked anything.
        let bench = shared.place("wake").host("http://127.0.0.1:9/v1");
        for (events, times) in SIZES {
            of_size(&bench, table, events, times).await;
        }
        let session = write(&bench, HELD_EVENTS, CLOSED_TIMES).await;
        let what =
            format!("rewind a session of {HELD_EVENTS} events to the middle, where it was closed {CLOSED_TIMES} times");
        table.push(Row::p50_p95("wake", what, &rewind(&bench, session, HELD_EVENTS / 2, REFOLDS).await));
    });
}

async fn of_size(bench: &Bench, table: &mut Table, events: u64, times: usize) {
    let session = write(bench, events, 1).await;
    // Closing makes a checkpoint where there is none.
    let refold = wake(bench, session, 1).await;
    let what = format!("open a session of {events} events: a REFOLD of its log, no checkpoint");
    table.push(Row::p50_p95("wake", what, &refold));
    let woken = wake(bench, session, times).await;
    let what = format!("open a session of {events} events from its checkpoint");
    let row = Row::p50_p95("wake", what, &woken);
    table.push(if events == HELD_EVENTS { row.hold(Quantity::milliseconds(50.0)) } else { row });
    for (at, what) in [(Some(Sequence(events / 2)), "in the middle"), (None, "at the end")] {
        let mut forked = Vec::new();
        for _ in 0..times {
            let begin = Instant::now();
            bench.host.fork(session, at, ForkFiles::Shared).await.unwrap();
            forked.push(begin.elapsed());
        }
        let what = format!("fork a session of {events} events {what}");
        table.push(Row::p50_p95("wake", what, &Durations::new(forked)).hold(Quantity::milliseconds(5.0)));
    }
    let refolds = if events > HELD_EVENTS { 1 } else { REFOLDS };
    let rewound = rewind(bench, session, events / 2, refolds).await;
    let what = format!("rewind a session of {events} events to the middle: a REFOLD up to there");
    table.push(Row::p50_p95("wake", what, &rewound));
    let begin = Instant::now();
    bench.host.verify(session).await.unwrap();
    let what = format!("verify a session of {events} events: each one");
    table.push(Row::of("wake", what, Quantity::time(begin.elapsed())));
}

/// Goes so many times back to an event.
async fn rewind(bench: &Bench, session: SessionId, to: u64, times: usize) -> Durations {
    let (opened, _) = open(bench, session).await;
    let mut rewound = Vec::new();
    for _ in 0..times {
        let begin = Instant::now();
        opened.rewind(Sequence(to)).await.unwrap();
        rewound.push(begin.elapsed());
    }
    opened.close().await;
    Durations::new(rewound)
}

/// Opens a session so many times; closing is not counted.
async fn wake(bench: &Bench, session: SessionId, times: usize) -> Durations {
    let mut woken = Vec::new();
    for _ in 0..times {
        let (opened, elapsed) = open(bench, session).await;
        woken.push(elapsed);
        opened.close().await;
    }
    Durations::new(woken)
}

async fn open(bench: &Bench, session: SessionId) -> (Session, Duration) {
    let hands = bench.hands();
    let told = context("m", hands.as_ref());
    let begin = Instant::now();
    let opened = bench.host.open(session, told, grants(), hands, Takeover::IfGone).await.unwrap();
    (opened, begin.elapsed())
}

/// Writes a session of at least so many events in so many parts, and gives it back. It is opened and closed after
/// each part but the last.
async fn write(bench: &Bench, events: u64, parts: u64) -> SessionId {
    let session = SessionId::new(TimeMs(1_700_000_000_000), &SystemIds.entropy());
    for part in 1..=parts {
        let ports = bench.host.ports();
        let epoch = ports.lease.acquire(session, &this_process(), Takeover::IfGone).await.unwrap();
        let mut story = Story::new(session);
        if part == 1 {
            story.begin(bench, epoch);
        } else {
            let loaded = bench.host.load(session).await.unwrap();
            (story.state, story.tip) = (loaded.state, loaded.tip);
        }
        story.write(bench, epoch, if part == 1 { Tip::START } else { story.tip }, events * part / parts).await;
        ports.lease.release(session, epoch).await.unwrap();
        if part < parts {
            wake(bench, session, 1).await;
        }
    }
    session
}

/// A session as it is told by the core, without anybody doing what it asks for.
pub(crate) struct Story {
    session: SessionId,
    state: SessionState,
    tip: Tip,
    sealed: Vec<SealedEvent>,
}

impl Story {
    fn new(session: SessionId) -> Self {
        Self { session, state: SessionState::default(), tip: Tip::START, sealed: Vec::new() }
    }

    /// The events of a session of at least so many.
    pub(crate) fn told(bench: &Bench, events: u64) -> Vec<(Header, Event)> {
        let mut story = Self::new(SessionId::new(TimeMs(1_700_000_000_000), &SystemIds.entropy()));
        story.begin(bench, Epoch(1));
        while story.tip.sequence.0 < events {
            story.turn();
        }
        let told = |sealed: SealedEvent| (sealed.header.clone(), sealed.event().unwrap().unwrap());
        story.sealed.into_iter().map(told).collect()
    }

    /// Goes on until there are so many events, and appends all that is not in the log.
    async fn write(&mut self, bench: &Bench, epoch: Epoch, mut after: Tip, events: u64) {
        while self.tip.sequence.0 < events {
            self.turn();
            if self.sealed.len() >= APPEND_EVENTS || self.tip.sequence.0 >= events {
                let (sealed, summary) = (std::mem::take(&mut self.sealed), Some(self.summary()));
                let append = SessionAppend { summary, ..SessionAppend::new(self.session, epoch, after, sealed) };
                bench.host.ports().log.append(vec![append]).await.unwrap();
                after = self.tip;
            }
        }
    }

    /// What a fork takes over of its origin's row.
    fn summary(&self) -> SessionSummary {
        let title = self.state.title.clone().unwrap_or_else(|| "untitled".to_owned());
        SessionSummary {
            session: self.session,
            title,
            workspace: self.state.workspace.clone(),
            model: String::new(),
            created: TimeMs(1_700_000_000_000),
            updated: TimeMs(1_700_000_000_000),
            last_sequence: self.tip.sequence,
            status: SessionStatus::Idle,
            turns: self.state.turns,
            usage: self.state.usage,
            archived: false,
            parent: None,
            origin: None,
        }
    }

    fn begin(&mut self, bench: &Bench, epoch: Epoch) {
        let hands = bench.hands();
        let told = Some(Arc::new(context("m", hands.as_ref())));
        self.take(Event::SessionCreated { workspace: "/workspace".to_owned(), title: None });
        self.take(Event::SessionOpened { host: "bench".to_owned(), epoch, context: told });
    }

    fn turn(&mut self) {
        let text = "Read the notes again.".to_owned();
        self.take(Event::PromptReceived { entropy: entropy(), text, limits: turn_limits() });
        for number in 0..TURN_CALLS {
            let part = AssistantPart::ToolCall {
                provider_call: format!("call_{number}"),
                tool: "read_file".to_owned(),
                arguments: format!(r#"{{"path":"{}"}}"#, file_of(FILE, number as u64)),
            };
            let commands = self.respond(part, ModelStop::ToolCalls);
            for command in commands {
                let Command::RunCall { call, .. } = command else { continue };
                self.take(Event::CallReported {
                    call,
                    outcome: Outcome::text("x".repeat(RESULT_BYTES)),
                    changes: Changes::None,
                    usage: CallUsage::default(),
                    record: CallRecord::default(),
                });
            }
        }
        self.respond(AssistantPart::Text { text: "Done.".to_owned() }, ModelStop::EndOfTurn);
        assert!(self.state.turn.is_none(), "the turn has ended");
    }

    fn respond(&mut self, part: AssistantPart, stop: ModelStop) -> Vec<Command> {
        self.take(Event::ModelResponded {
            entropy: entropy(),
            parts: vec![part],
            stop,
            usage: Usage::default(),
            provider_response: None,
            time_ms: 1,
        })
    }

    fn take(&mut self, input: Event) -> Vec<Command> {
        let decision = decide(&mut self.state, self.session, input).unwrap();
        let context = SealContext {
            tenant: TenantId::local(),
            session: self.session,
            lineage: Lineage::root_of(self.session),
            time: TimeMs(1_700_000_000_000),
            actor: Actor::Host,
        };
        let (sealed, tip) = seal(self.tip, &context, &decision.events, || SystemIds.entropy());
        self.tip = tip;
        self.sealed.extend(sealed);
        decision.commands
    }
}

fn entropy() -> String {
    SystemIds.entropy().iter().map(|byte| format!("{byte:02x}")).collect()
}
