//! Waking a session, from its checkpoint and without one; forking and rewinding it in the middle.
//!
//! A row of a refold says so: its whole log is read, verified and folded.

use crate::host::{Bench, Shared, context, executor, grants, turn_limits};
use crate::quantity::{Durations, Quantity};
use crate::table::{Row, Table};
use harness_core::envelope::{Lineage, SealContext, SealedEvent, seal};
use harness_core::event::{Changes, ForkFiles, ModelStop};
use harness_core::{
    Actor, AssistantPart, CallRecord, CallUsage, Command, Epoch, Event, Outcome, Sequence, SessionId, SessionState,
    TenantId, TimeMs, Tip, Usage, decide,
};
use harness_engine::ports::{Ids, SessionAppend, SessionStatus, SessionSummary, Takeover};
use harness_engine::system::SystemIds;
use harness_store::this_process;
use std::sync::Arc;
use std::time::Instant;

/// Events of the sessions, and how often each is opened.
const SIZES: [(u64, usize); 3] = [(1_000, 21), (100_000, 11), (1_000_000, 5)];
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
            let session = write(&bench, events).await;
            // Closing makes a checkpoint where there is none.
            let refold = wake(&bench, session, 1).await;
            let what = format!("open a session of {events} events: a REFOLD of its log, no checkpoint");
            table.push(Row::p50_p95("wake", what, &refold));
            let woken = wake(&bench, session, times).await;
            let what = format!("open a session of {events} events from its checkpoint");
            let mut row = Row::p50_p95("wake", what, &woken);
            if events == 100_000 {
                row = row.hold(Quantity::milliseconds(50.0));
            }
            table.push(row);
            let middle = Sequence(events / 2);
            let mut forked = Vec::new();
            for _ in 0..times {
                let begin = Instant::now();
                bench.host.fork(session, Some(middle), ForkFiles::Shared).await.unwrap();
                forked.push(begin.elapsed());
            }
            let what = format!("fork a session of {events} events in the middle");
            table.push(Row::p50_p95("wake", what, &Durations::new(forked)).hold(Quantity::milliseconds(5.0)));
            let hands = bench.hands();
            let told = context("m", hands.as_ref());
            let opened = bench.host.open(session, told, grants(), hands, Takeover::IfGone).await.unwrap();
            let begin = Instant::now();
            opened.rewind(middle).await.unwrap();
            let rewound = Durations::new(vec![begin.elapsed()]);
            opened.close().await;
            let what = format!("rewind a session of {events} events to the middle: a REFOLD up to there");
            table.push(Row::p50_p95("wake", what, &rewound));
        }
    });
}

/// Opens a session so many times; closing is not counted.
async fn wake(bench: &Bench, session: SessionId, times: usize) -> Durations {
    let mut woken = Vec::new();
    for _ in 0..times {
        let hands = bench.hands();
        let told = context("m", hands.as_ref());
        let begin = Instant::now();
        let opened = bench.host.open(session, told, grants(), hands, Takeover::IfGone).await.unwrap();
        woken.push(begin.elapsed());
        opened.close().await;
    }
    Durations::new(woken)
}

/// Writes a session of at least so many events by the core's own decisions, and gives it back.
async fn write(bench: &Bench, events: u64) -> SessionId {
    let session = SessionId::new(TimeMs(1_700_000_000_000), &SystemIds.entropy());
    let ports = bench.host.ports();
    let epoch = ports.lease.acquire(session, &this_process(), Takeover::IfGone).await.unwrap();
    let mut story = Story { session, state: SessionState::default(), tip: Tip::START, sealed: Vec::new() };
    story.begin(bench, epoch);
    let mut after = Tip::START;
    while story.tip.sequence.0 < events {
        story.turn();
        if story.sealed.len() >= APPEND_EVENTS || story.tip.sequence.0 >= events {
            let sealed = std::mem::take(&mut story.sealed);
            let summary = Some(story.summary());
            let append = SessionAppend { summary, ..SessionAppend::new(session, epoch, after, sealed) };
            ports.log.append(vec![append]).await.unwrap();
            after = story.tip;
        }
    }
    ports.lease.release(session, epoch).await.unwrap();
    session
}

/// A session as it is told by the core, without anybody doing what it asks for.
struct Story {
    session: SessionId,
    state: SessionState,
    tip: Tip,
    sealed: Vec<SealedEvent>,
}

impl Story {
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
                arguments: r#"{"path":"notes.txt"}"#.to_owned(),
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
