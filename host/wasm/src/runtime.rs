//! The runtime: one per process, shared by all sessions.
//!
//! Promise: making one costs nothing; engine, linker, threads and cache come with the first component
//! that is loaded. This crate is the only user of wasmtime.
//!
//! Not here: which tools a session has (`hands`).

use crate::cache::{CacheSettings, CompiledCache};
use crate::call;
use crate::describe::{self, DescribeError};
use crate::engine;
use crate::filesystem::Base;
use crate::limits::{CallLimits, THREADS_MAX};
use crate::link;
use crate::load::{LoadError, Loaded, Loader, ProgressSink};
use crate::threads::GuestThreads;
use crate::ticker::{self, Pulse};
use crate::tools::Component;
use harness_engine::ports::CallReport;
use std::sync::{Arc, OnceLock};

/// How a runtime is set up.
#[derive(Clone, Default)]
pub struct RuntimeSettings {
    /// The most that any call gets.
    pub limits: CallLimits,
    /// Threads that run guests; 0 is one for each core.
    pub threads: usize,
    /// Where compiled components are kept; without, each process compiles anew.
    pub cache: Option<CacheSettings>,
    /// Is told of what takes long.
    pub progress: Option<ProgressSink>,
}

/// Runs components. Shared by all sessions of a process.
pub struct Runtime {
    settings: RuntimeSettings,
    core: OnceLock<Result<Core, String>>,
}

/// What exists from the first load on.
struct Core {
    loader: Arc<Loader>,
    threads: GuestThreads,
    pulse: Arc<Pulse>,
}

impl Drop for Core {
    fn drop(&mut self) {
        self.pulse.close();
    }
}

impl Runtime {
    /// A runtime. Nothing is started yet.
    pub fn new(settings: RuntimeSettings) -> Self {
        Self { settings, core: OnceLock::new() }
    }

    /// The most that any call gets.
    pub fn limits(&self) -> &CallLimits {
        &self.settings.limits
    }

    /// Threads that hang in the operating system now.
    pub fn threads_lost(&self) -> usize {
        match self.core.get() {
            Some(Ok(core)) => core.threads.lost(),
            _ => 0,
        }
    }

    /// Loads a component: from memory, from the cache, or by compiling it. Never on this thread.
    ///
    /// # Errors
    /// If the engine cannot be started, or the component cannot be compiled or linked.
    pub async fn load(&self, component: &Arc<Component>) -> Result<LoadedComponent, LoadError> {
        let core = self
            .core()
            .map_err(|problem| LoadError::Host { name: component.name().to_owned(), problem: problem.to_owned() })?;
        let loaded = core.loader.load(component).await?;
        let limits = self.settings.limits.lowered_to(component.limits());
        Ok(LoadedComponent { loaded, limits, pulse: core.pulse.clone() })
    }

    /// Runs a call on one of the runtime's threads. Dropping the future ends the call.
    pub async fn call(
        &self,
        component: &LoadedComponent,
        base: &Arc<Base>,
        tool: String,
        arguments: String,
    ) -> CallReport {
        let core = match self.core() {
            Ok(core) => core,
            Err(problem) => {
                let what = problem.to_owned();
                return CallReport::of(harness_core::Outcome::Faulted { what });
            }
        };
        let (component, base) = (component.clone(), base.clone());
        let deadline_ms = component.limits.deadline_ms;
        core.threads.run(deadline_ms, async move { component.call_here(&base, &tool, &arguments).await }).await
    }

    /// Asks a component for its tools, with everything denied and tight limits: once, when it is installed.
    /// Keep what comes back with the component's digest, and read it with [`Component::read_described`].
    ///
    /// # Errors
    /// If it has nothing to ask, does not load, does not answer in time, or gives what cannot be used.
    pub async fn describe(&self, component: &Arc<Component>) -> Result<String, DescribeError> {
        let name = || component.name().to_owned();
        if component.describe_export().is_none() {
            return Err(DescribeError::Nothing { name: name() });
        }
        let loaded = self.load(component).await.map_err(|error| DescribeError::Load(error.to_string()))?;
        let core = self.core().map_err(|problem| DescribeError::Load(problem.to_owned()))?;
        let deadline_ms = loaded.limits.lowered_to(&describe::DESCRIBE_LIMITS).deadline_ms;
        let ask = async move {
            let _running = loaded.pulse.run();
            describe::run(&loaded.loaded, &loaded.limits).await
        };
        describe::answer(component, core.threads.run(deadline_ms, ask).await)
    }

    fn core(&self) -> Result<&Core, &str> {
        self.core.get_or_init(|| self.start()).as_ref().map_err(String::as_str)
    }

    fn start(&self) -> Result<Core, String> {
        let count = match self.settings.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        }
        .min(THREADS_MAX);
        let broken = |what: &str, error: String| format!("the component engine could not be started: {what}: {error}");
        let engine = engine::engine(&self.settings.limits, count).map_err(|e| broken("engine", format!("{e:#}")))?;
        let linker = link::linker(&engine).map_err(|e| broken("linker", format!("{e:#}")))?;
        let pulse = Arc::<Pulse>::default();
        let threads = GuestThreads::start(count, pulse.clone()).map_err(|e| broken("threads", e.to_string()))?;
        let watchdog = threads.watchdog();
        ticker::start(engine.weak(), pulse.clone(), move || watchdog.look())
            .map_err(|e| broken("epoch thread", e.to_string()))?;
        let loader = Loader::new(engine, linker, self.open_cache(), self.settings.progress.clone());
        Ok(Core { loader: Arc::new(loader), threads, pulse })
    }

    fn open_cache(&self) -> Option<CompiledCache> {
        let opened = CompiledCache::open(self.settings.cache.as_ref()?);
        opened.inspect_err(|error| tracing::warn!(%error, "components are compiled anew in every process")).ok()
    }
}

/// A component ready to be called, with the limits of its calls.
#[derive(Clone)]
pub struct LoadedComponent {
    loaded: Arc<Loaded>,
    limits: CallLimits,
    pulse: Arc<Pulse>,
}

impl LoadedComponent {
    /// The limits of its calls.
    pub fn limits(&self) -> &CallLimits {
        &self.limits
    }

    /// Lowers the limits of calls made through this handle.
    #[must_use]
    pub fn lowered_to(&self, limits: &CallLimits) -> Self {
        let (loaded, pulse) = (self.loaded.clone(), self.pulse.clone());
        Self { loaded, limits: self.limits.lowered_to(limits), pulse }
    }

    /// Runs a call on this thread, for callers that have threads of their own for guests. A tokio
    /// runtime with time must be around it. Nobody looks after a call that hangs in the operating system.
    pub async fn call_here(&self, base: &Arc<Base>, tool: &str, arguments: &str) -> CallReport {
        let _running = self.pulse.run();
        call::run(&self.loaded, base, &self.limits, tool, arguments).await
    }
}
