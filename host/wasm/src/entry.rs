//! The ways into a component: what of its exports a call enters.
//!
//! Promise: what is entered is decided when the component is loaded.
//!
//! Not here: the Store around a run (`call`).

use crate::contract::exports::harness::tool::tool::Outcome as ToolOutcome;
use crate::contract::{ToolComponent, ToolComponentIndices};
use crate::guest::GuestState;
use crate::plain::PlainEntry;
use crate::tools::{Component, Kind};
use wasmtime::Store;
use wasmtime::component::InstancePre;

/// What a run of a tool came to.
pub(crate) enum Answer {
    /// It ended.
    Done(ToolOutcome),
}

/// Where calls enter a component.
pub(crate) enum Entry {
    /// `harness:tool/tool`.
    Tool(ToolComponentIndices),
    /// Its exported functions.
    Plain(PlainEntry),
}

impl Entry {
    /// The entry of a component of that kind.
    ///
    /// # Errors
    /// If the compiled component does not have it, or of another type.
    pub(crate) fn of(component: &Component, instance_pre: &InstancePre<GuestState>) -> wasmtime::Result<Self> {
        match component.kind() {
            Kind::Tool => ToolComponentIndices::new(instance_pre).map(Self::Tool),
            Kind::Plain => PlainEntry::new(component.functions(), instance_pre.component()).map(Self::Plain),
            Kind::Resumable => Err(wasmtime::Error::msg("this host does not call resumable tools")),
        }
    }

    /// Instantiates the component and runs one tool of it.
    ///
    /// # Errors
    /// What ended the guest.
    pub(crate) async fn call(
        &self,
        instance_pre: &InstancePre<GuestState>,
        store: &mut Store<GuestState>,
        tool: &str,
        arguments: &str,
    ) -> wasmtime::Result<Answer> {
        let instance = instance_pre.instantiate_async(&mut *store).await?;
        match self {
            Self::Tool(indices) => {
                let component: ToolComponent = indices.load(&mut *store, &instance)?;
                component.harness_tool_tool().call_call(store, tool, arguments).await.map(Answer::Done)
            }
            Self::Plain(entry) => entry.call(store, &instance, tool, arguments).await.map(Answer::Done),
        }
    }
}
