//! Requests over real connections to servers on this machine.
//!
//! Promise: no test leaves the loopback interface, and each says what the server saw.
//!
//! Not here: tables of addresses, URLs and forms of secrets (beside the modules that know them).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "egress/failures.rs"]
mod failures;
#[path = "egress/redirects.rs"]
mod redirects;
#[path = "egress/requests.rs"]
mod requests;
#[path = "egress/secrets.rs"]
mod secrets;
#[path = "egress/server.rs"]
mod server;
#[path = "egress/world.rs"]
mod world;
