//! The pure heart of harness-host: its vocabulary, the state of a session as a fold of its events,
//! and the decisions that follow from an input.
//!
//! Promise: nothing here performs I/O, reads a clock, draws randomness, logs or awaits. Whatever a
//! decision needs is part of its input, so the same inputs give the same events, byte for byte.
//!
//! Not here: performing commands (harness-engine), keeping events (harness-store), running
//! components (harness-wasm), talking to providers (harness-model).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod budget;
pub mod change;
pub mod command_line;
pub mod decide;
pub mod display;
pub mod envelope;
pub mod event;
pub mod fold;
pub mod grant;
pub mod ids;
pub mod item;
pub mod limits;
pub mod message;
pub mod mode;
pub mod outcome;
pub mod pattern;
pub mod record;
pub mod session_tools;
pub mod state;
pub mod todo;
pub mod trust;
pub mod verdict;

pub use change::{Change, FileState, Manifest};
pub use decide::{Command, Decision, Refusal, decide, decide_rewind};
pub use envelope::{Actor, Header, Origin, SealedEvent, Tip};
pub use event::Event;
pub use fold::Fold;
pub use grant::{Capability, Grant, Scope};
pub use ids::{
    AllowanceId, ApprovalId, CallId, Digest, Epoch, GrantId, InboxId, MessageId, PlanId, QuestionId, Sequence,
    SessionId, TenantId, TimeMs, TurnId,
};
pub use item::{AssistantPart, Item, ModelRef, ToolSpec, Usage};
pub use outcome::{CallUsage, Outcome, Part, Reply, Resume};
pub use record::CallRecord;
pub use state::SessionState;
pub use verdict::{ApproveMode, Verdict, VerdictKind};

/// The version of the decision rules. It is part of every header, so that a replay knows which rules
/// wrote an event. It changes whenever the same input could give different events.
///
/// Version 2: a call that needs an answer or another call goes on with it; in version 1 it ended there.
///
/// Version 3: what comes of modes, policies, hooks, messages, budgets, session tools and trust; yes for the tool, as an
/// answer to a boundary, is for once. Logs without them are decided as before.
pub const CORE_VERSION: u32 = 3;
