//! How long it takes to wake, fork and rewind sessions of many events, over a real store.
//!
//! `cargo bench -p harness-store --bench wake -- [EVENTS…]`; without numbers 1,000, 100,000 and 1,000,000. Prints a
//! table; nothing is asserted, since times are the machine's.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use harness_core::envelope::{Lineage, SealContext, SealedEvent, seal};
use harness_core::event::{Changes, Context, ForkFiles, ModelStop, TurnLimits};
use harness_core::{
    Actor, ApproveMode, AssistantPart, CallRecord, CallUsage, Command, Epoch, Event, Outcome, Sequence, SessionId,
    SessionState, TenantId, TimeMs, Tip, Usage, decide,
};
use harness_engine::ports::{EventLog, Lease, SessionAppend, Takeover};
use harness_engine::{Host, Ports, Session};
use harness_sim::clock::SimClock;
use harness_sim::fake_hands::{FakeHands, specs};
use harness_sim::files::MemoryFiles;
use harness_sim::ids::SeededIds;
use harness_sim::scripted_model::ScriptedModel;
use harness_store::{SqliteStore, StoreOptions, this_process};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events appended at once while a session is made.
const APPEND_EVENTS: usize = 5_000;
/// What each call returned, in bytes.
const RESULT_BYTES: usize = 2 << 10;
/// Calls of each turn.
const TURN_CALLS: usize = 20;
/// How often each thing is done.
const TIMES: usize = 15;

fn main() {
    let sizes: Vec<u64> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000, 100_000, 1_000_000] } else { sizes };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        println!("{:>9}  {:<52}  {:>10}  {:>10}", "events", "what", "p50", "best");
        for events in sizes {
            measure(events).await;
        }
    });
}

async fn measure(events: u64) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), StoreOptions::default()).unwrap();
    let host = host(&store);
    let id = write(&store, events).await;
    let row = |what: &str, times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort();
        let [middle, best] = [times[times.len() / 2], times[0]].map(|time| time.as_secs_f64() * 1e3);
        println!("{events:>9}  {what:<52}  {middle:>7.2} ms  {best:>7.2} ms");
    };

    let begin = Instant::now();
    let session = open(&host, id).await;
    row("open: a refold, there is no checkpoint", &[begin.elapsed()]);
    let begin = Instant::now();
    session.close().await;
    row("close: the first checkpoint is made and kept", &[begin.elapsed()]);

    let (mut woken, mut closed, mut loaded) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let begin = Instant::now();
        let session = open(&host, id).await;
        woken.push(begin.elapsed());
        let begin = Instant::now();
        session.close().await;
        closed.push(begin.elapsed());
        let begin = Instant::now();
        host.load(id).await.unwrap();
        loaded.push(begin.elapsed());
    }
    row("open: from a checkpoint", &woken);
    row("load: from a checkpoint", &loaded);
    row("close: nothing new", &closed);

    let mut forked = Vec::new();
    for _ in 0..TIMES {
        let begin = Instant::now();
        host.fork(id, Some(Sequence(events / 2)), ForkFiles::Shared).await.unwrap();
        forked.push(begin.elapsed());
    }
    row("fork in the middle", &forked);
    let mut cloned = Vec::new();
    let mut clone = id;
    for _ in 0..TIMES {
        let begin = Instant::now();
        clone = host.fork(id, None, ForkFiles::Shared).await.unwrap();
        cloned.push(begin.elapsed());
    }
    row("fork at the end", &cloned);
    let begin = Instant::now();
    let session = open(&host, clone).await;
    row("open a fork at the end, from its origin's checkpoint", &[begin.elapsed()]);
    session.close().await;

    let session = open(&host, id).await;
    let begin = Instant::now();
    session.rewind(Sequence(events / 2)).await.unwrap();
    row("rewind to the middle, no checkpoint before it", &[begin.elapsed()]);
    session.close().await;
    let begin = Instant::now();
    let session = open(&host, id).await;
    row("open what was rewound", &[begin.elapsed()]);
    session.close().await;
    let begin = Instant::now();
    host.verify(id).await.unwrap();
    row("verify: every event", &[begin.elapsed()]);
}

fn host(store: &SqliteStore) -> Host {
    let kept = Arc::new(store.clone());
    let ports = Ports {
        log: Arc::clone(&kept) as _,
        lease: Arc::clone(&kept) as _,
        index: Arc::clone(&kept) as _,
        blobs: Arc::clone(&kept) as _,
        kv: Arc::clone(&kept) as _,
        inbox: kept,
        model: Arc::new(ScriptedModel::tape([])),
        clock: Arc::new(SimClock::manual(TimeMs(1_800_000_000_000))),
        ids: Arc::new(SeededIds::new(7)),
    };
    Host::new(ports, this_process(), "bench")
}

fn context() -> Context {
    let model = "scripted/model".parse().unwrap();
    Context {
        system: "You are measured.".to_owned(),
        tools: specs(),
        approve: ApproveMode::Edits,
        ..Context::new(model, "bench")
    }
}

async fn open(host: &Host, id: SessionId) -> Session {
    let hands = Arc::new(FakeHands::new(Arc::new(MemoryFiles::default())));
    host.open(id, context(), Vec::new(), hands, Takeover::IfGone).await.unwrap()
}

/// Writes a session of at least so many events by the core's own decisions, and gives it back.
async fn write(store: &SqliteStore, events: u64) -> SessionId {
    let id = SessionId::new(TimeMs(1_700_000_000_000), &[9; 16]);
    let epoch = store.acquire(id, &this_process(), Takeover::IfGone).await.unwrap();
    let mut story = Story { id, state: SessionState::default(), tip: Tip::START, sealed: Vec::new(), inputs: 0 };
    story.take(Event::SessionCreated { workspace: "/workspace".to_owned(), title: None });
    story.take(Event::SessionOpened { host: "bench".to_owned(), epoch: Epoch(1), context: Some(Arc::new(context())) });
    let mut after = Tip::START;
    while story.tip.sequence.0 < events {
        story.turn();
        if story.sealed.len() >= APPEND_EVENTS || story.tip.sequence.0 >= events {
            let append = SessionAppend::new(id, epoch, after, std::mem::take(&mut story.sealed));
            let summary = harness_sim::conformance::summary(id, "bench", "/workspace", 1);
            store.append(vec![SessionAppend { summary: Some(summary), ..append }]).await.unwrap();
            after = story.tip;
        }
    }
    store.release(id, epoch).await.unwrap();
    id
}

/// A session as it is told by the core, without anybody doing what it asks for.
struct Story {
    id: SessionId,
    state: SessionState,
    tip: Tip,
    sealed: Vec<SealedEvent>,
    inputs: u64,
}

impl Story {
    fn turn(&mut self) {
        let entropy = self.entropy();
        let limits = TurnLimits { steps_max: u32::MAX, ..TurnLimits::default() };
        self.take(Event::PromptReceived { entropy, text: "Read the notes again.".to_owned(), limits });
        for number in 0..TURN_CALLS {
            let part = AssistantPart::ToolCall {
                provider_call: format!("call_{number}"),
                tool: "read_file".to_owned(),
                arguments: r#"{"path":"notes.txt"}"#.to_owned(),
            };
            for command in self.respond(part, ModelStop::ToolCalls) {
                let Command::RunCall { call, .. } = command else { continue };
                let (outcome, usage) = (Outcome::text("x".repeat(RESULT_BYTES)), CallUsage::default());
                let record = CallRecord::default();
                self.take(Event::CallReported { call, outcome, changes: Changes::None, usage, record });
            }
        }
        self.respond(AssistantPart::Text { text: "Done.".to_owned() }, ModelStop::EndOfTurn);
        assert!(self.state.turn.is_none(), "the turn has ended");
    }

    fn respond(&mut self, part: AssistantPart, stop: ModelStop) -> Vec<Command> {
        let (entropy, usage) = (self.entropy(), Usage::default());
        let provider_response = None;
        self.take(Event::ModelResponded { entropy, parts: vec![part], stop, usage, provider_response, time_ms: 1 })
    }

    fn take(&mut self, input: Event) -> Vec<Command> {
        let decision = decide(&mut self.state, self.id, input).unwrap();
        let context = SealContext {
            tenant: TenantId::local(),
            session: self.id,
            lineage: Lineage::root_of(self.id),
            time: TimeMs(1_700_000_000_000),
            actor: Actor::Host,
        };
        let (sealed, tip) = seal(self.tip, &context, &decision.events, || [5; 16]);
        self.tip = tip;
        self.sealed.extend(sealed);
        decision.commands
    }

    fn entropy(&mut self) -> String {
        self.inputs += 1;
        format!("{:032x}", self.inputs)
    }
}
