//! An agent of one's own in a few lines: a store, a model, tools in sandboxes, a session, one turn.
//!
//! `cargo run --example agent` needs no key and no network: the `offline` model answers. For another one, give
//! `Ports::over` a `harness_model::Models`, and name the model in the context.

use harness_core::event::{Context, TurnLimits};
use harness_core::{Grant, Sequence};
use harness_engine::ports::{Hands, ModelDelta};
use harness_engine::{Host, NewSession, Ports, Update};
use harness_model::offline::Offline;
use harness_store::{SqliteStore, StoreOptions, this_process};
use harness_wasm::filesystem::Base;
use harness_wasm::{Component, ComponentHands, ComponentSource, HandsSettings, Runtime, RuntimeSettings};
use std::{path::Path, sync::Arc};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (root, kept) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?, tempfile::tempdir()?);
    let store = SqliteStore::open(kept.path(), StoreOptions::default())?;
    let host = Host::new(Ports::over(Arc::new(store), Arc::new(Offline)), this_process(), "example");

    // The tools: components, each with what it is granted and nothing else.
    let (mut components, mut grants) = (Vec::new(), Vec::new());
    for name in ["grep", "read_file"] {
        let bytes = std::fs::read(root.join(format!("components/dist/{name}.wasm")))?.into();
        components.push(Component::read(ComponentSource { name: name.to_owned(), bytes })?);
        grants.push(Grant::for_session(name, "filesystem read /workspace".parse()?, "example"));
    }
    let workspace = root.join("host/core");
    let (runtime, base) = (Runtime::new(RuntimeSettings::default()), Base::open(&workspace, &[])?);
    let hands = ComponentHands::new(Arc::new(runtime), Arc::new(base), components, HandsSettings::default())?;

    // A session, and what happens in it.
    let context = Context { tools: hands.tools(), ..Context::new("offline/offline".parse()?, "the example's") };
    let new = NewSession { workspace: workspace.display().to_string(), title: None };
    let session = host.create(new, context, grants, Arc::new(hands)).await?;
    let mut updates = session.subscribe(Sequence::START);
    session.prompt("How does the chain of headers find a changed event?", TurnLimits::default()).await?;
    loop {
        match updates.next().await? {
            Update::Delta { delta: ModelDelta::Text { text }, .. } => print!("{text}"),
            Update::Event(logged) if logged.header.kind == "turn_ended" => break,
            Update::Closed { fault } => return Err(fault.unwrap_or_default().into()),
            _ => {}
        }
    }
    session.close().await;
    Ok(())
}
