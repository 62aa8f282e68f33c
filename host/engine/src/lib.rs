//! The loop: append, apply, perform commands, feed results back.
//!
//! Promise: log, then believe, then act. Nothing is done before the events that ask for it are
//! durable, and nobody is told of an event that is not.
//!
//! Not here: decisions (harness-core), any implementation of a port but the system's clock and randomness.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod actor;
mod arguments;
mod capture;
mod carried;
pub mod checkpoint;
pub mod crash;
pub mod diff;
pub mod display;
mod fork;
mod grants;
mod host;
pub mod inbox;
mod load;
mod policy;
pub mod portable;
pub mod ports;
pub mod recorded;
pub mod replay;
mod said;
mod session;
mod storable;
pub mod system;
pub mod undo;
mod work;

pub use checkpoint::CheckpointPolicy;
pub use display::DisplayStream;
pub use host::{Host, NewSession, OpenError, Ports};
pub use load::{LoadError, LoadedSession};
pub use portable::{ExportError, Exported, ImportAs, ImportError, ImportLimits};
pub use session::{LoggedEvent, Session, SessionError, Subscription, Update};
#[doc(inline)]
pub use undo::{CallChanges, Files, Selection, Standing, UndoError, UndoPlan};
