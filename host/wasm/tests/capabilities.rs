//! What calls may do: each capability granted, denied and narrowed by the component's own ceiling, its limits, and
//! what the record says of it. The guests are built by `tests/guests/build`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "capabilities/again.rs"]
mod again;
#[path = "capabilities/ceiling.rs"]
mod ceiling;
#[path = "capabilities/folders.rs"]
mod folders;
#[path = "capabilities/interfaces.rs"]
mod interfaces;
#[path = "capabilities/kv.rs"]
mod kv;
#[path = "capabilities/lab.rs"]
mod lab;
#[path = "capabilities/requests.rs"]
mod requests;
#[path = "capabilities/resumable.rs"]
mod resumable;
