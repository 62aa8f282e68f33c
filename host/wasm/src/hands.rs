//! The hands of one session: its components' tools, bound to its workspace.
//!
//! Promise: listing tools compiles and runs nothing; a component that does not load is an outcome the
//! model can read; putting changes in place blocks no executor and no guest.
//!
//! Not here: judging calls, validating arguments against their schema, keeping contents (the engine).

use crate::call::Call;
use crate::filesystem::{self, Base};
use crate::host::kv::KvOwners;
use crate::limits::CallLimits;
use crate::runtime::{LoadedComponent, Runtime};
use crate::tools::Component;
use async_trait::async_trait;
use harness_core::change::Manifest;
use harness_core::event::ApplyResult;
use harness_core::item::ToolSpec;
use harness_core::outcome::FailureKind;
use harness_core::record::Inputs;
use harness_core::{CallId, Digest, Outcome};
use harness_engine::ports::{Blobs, CallReport, CallRequest, Hands, Kv};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::{Semaphore, oneshot};

/// Calls of one session that run at a time; more wait for their turn.
const SESSION_CALLS_MAX: usize = 8;

/// Two components of one session offer a tool of the same name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the components `{first}` and `{second}` both offer a tool `{tool}`: leave one of them out")]
pub struct DuplicateTool {
    /// The tool.
    pub tool: String,
    /// The component named first.
    pub first: String,
    /// The component named second.
    pub second: String,
}

/// Whose session it is, and where its values are kept.
#[derive(Clone, Default)]
pub struct HandsSettings {
    /// Where components keep values; without, they can keep none.
    pub kv: Option<Arc<dyn Kv>>,
    /// The person or service that acts.
    pub principal: String,
    /// The agent.
    pub agent: String,
}

/// The tools of some components over one workspace.
pub struct ComponentHands {
    runtime: Arc<Runtime>,
    base: Arc<Base>,
    components: Vec<Arc<Component>>,
    by_tool: HashMap<String, usize>,
    settings: HandsSettings,
    limits: CallLimits,
    places: Semaphore,
}

impl ComponentHands {
    /// Hands with the tools of these components, in this order.
    ///
    /// # Errors
    /// If two of them offer a tool of the same name.
    pub fn new(
        runtime: Arc<Runtime>,
        base: Arc<Base>,
        components: Vec<Arc<Component>>,
        settings: HandsSettings,
    ) -> Result<Self, DuplicateTool> {
        let mut by_tool = HashMap::<String, usize>::new();
        for (at, component) in components.iter().enumerate() {
            for tool in component.tools() {
                if let Some(first) = by_tool.insert(tool.name.clone(), at) {
                    return Err(DuplicateTool {
                        tool: tool.name.clone(),
                        first: components[first].name().to_owned(),
                        second: component.name().to_owned(),
                    });
                }
            }
        }
        let limits = *runtime.limits();
        let places = Semaphore::new(SESSION_CALLS_MAX);
        Ok(Self { runtime, base, components, by_tool, settings, limits, places })
    }

    /// Lowers the limits of this session's calls.
    #[must_use]
    pub fn lowered_to(mut self, limits: &CallLimits) -> Self {
        self.limits = self.limits.lowered_to(limits);
        self
    }

    /// Loads all components now instead of at their first call, one after the other.
    ///
    /// # Errors
    /// The first component that does not load.
    pub async fn prepare(&self) -> Result<(), crate::load::LoadError> {
        for component in &self.components {
            self.runtime.load(component).await?;
        }
        Ok(())
    }

    /// Runs a call again with what it was told of time and chance. The same component over the same files comes to
    /// the same outcome, changes and fuel where `inputs` are complete; it sleeps for nothing. Requests that it
    /// makes leave the host again.
    pub async fn execute_again(&self, call: CallRequest, inputs: &Inputs) -> CallReport {
        self.execute_with(call, Some(inputs.clone())).await
    }

    async fn execute_with(&self, request: CallRequest, inputs: Option<Inputs>) -> CallReport {
        // One session must not take every place that all sessions share. A closed semaphore does not occur.
        let _place = self.places.acquire().await;
        let component = match self.load(&request.tool).await {
            Ok(component) => component,
            Err(outcome) => return CallReport::of(outcome),
        };
        let kv = self.settings.kv.as_ref().map(|kv| KvOwners {
            kv: kv.clone(),
            session: request.session.to_string(),
            principal: self.settings.principal.clone(),
            agent: self.settings.agent.clone(),
        });
        let CallRequest { tool, arguments, granted, resume, progress, .. } = request;
        let call = Call { tool, arguments, granted, resume, progress, kv, inputs };
        self.runtime.call(&component, &self.base, call).await
    }

    async fn load(&self, tool: &str) -> Result<LoadedComponent, Outcome> {
        let Some(component) = self.by_tool.get(tool).and_then(|at| self.components.get(*at)) else {
            return Err(Outcome::failed(
                FailureKind::UnknownTool,
                "unknown-tool",
                format!("there is no tool `{tool}`"),
            ));
        };
        Ok(self.runtime.load_for_call(component).await?.lowered_to(&self.limits))
    }
}

#[async_trait]
impl Hands for ComponentHands {
    fn tools(&self) -> Vec<ToolSpec> {
        self.components.iter().flat_map(|component| component.tools()).cloned().collect()
    }

    async fn execute(&self, call: CallRequest) -> CallReport {
        self.execute_with(call, None).await
    }

    async fn put(&self, call: CallId, manifest: &Manifest, contents: &dyn Blobs) -> ApplyResult {
        let contents = match fetch(manifest, contents).await {
            Ok(contents) => contents,
            Err(message) => return ApplyResult::Failed { message },
        };
        let (base, manifest) = (self.base.clone(), manifest.clone());
        let (sender, receiver) = oneshot::channel();
        // A thread of its own: it waits for the disk, and it goes on when nobody waits for it any more,
        // so that it is never left half done in a living process.
        let work = move || {
            let result = filesystem::put(&base, call, &manifest, |digest| contents.get(&digest).cloned());
            let _ = sender.send(result);
        };
        if let Err(error) = std::thread::Builder::new().name("wasm-put".to_owned()).spawn(work) {
            return ApplyResult::Failed { message: format!("no thread to write files with: {error}") };
        }
        receiver.await.unwrap_or_else(|_| ApplyResult::Failed { message: "the writing thread died".to_owned() })
    }
}

/// The contents that a manifest names: those it puts in place, and those it needs to take everything back
/// when something goes wrong in the middle. What is not kept any more is missing here, and only matters
/// where it is needed.
async fn fetch(manifest: &Manifest, contents: &dyn Blobs) -> Result<HashMap<Digest, Arc<[u8]>>, String> {
    let wanted: BTreeSet<_> = manifest
        .entries()
        .iter()
        .flat_map(|change| [&change.after, &change.before])
        .filter_map(|state| state.as_ref()?.content().map(|(digest, _)| digest))
        .collect();
    let mut found = HashMap::with_capacity(wanted.len());
    for digest in wanted {
        if let Some(bytes) = contents.get(digest).await.map_err(|error| error.to_string())? {
            found.insert(digest, bytes);
        }
    }
    Ok(found)
}
