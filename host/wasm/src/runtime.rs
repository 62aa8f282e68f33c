//! The runtime: one per process, shared by all sessions.
//!
//! Promise: making one costs nothing; engine, linker, threads and cache come with the first component
//! that is loaded. This crate is the only user of wasmtime.
//!
//! Not here: which tools a session has (`hands`).

use crate::cache::{CacheSettings, CompiledCache};
use crate::call::{self, Call, Site};
use crate::compile::{CompileLimits, Compiler, Outside};
use crate::describe::{self, DescribeError};
use crate::engine;
use crate::filesystem::Base;
use crate::limits::{CallLimits, THREADS_MAX};
use crate::link;
use crate::load::{Compile, LoadError, Loaded, Loader, NotLoaded, ProgressSink, Readiness};
use crate::modes::{self, Ask, Asked, PolicyComponent};
use crate::threads::GuestThreads;
use crate::ticker::{self, Pulse};
use crate::tools::{Component, ComponentSource};
use harness_core::Outcome;
use harness_core::outcome::FailureKind;
use harness_egress::{Egress, EgressSettings};
use harness_engine::ports::CallReport;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The code of a failure that says that the component is not compiled yet.
pub const PREPARING_CODE: &str = "preparing";

/// How a runtime is set up.
#[derive(Clone)]
pub struct RuntimeSettings {
    /// The most that any call gets.
    pub limits: CallLimits,
    /// Threads that run guests; 0 is one for each core.
    pub threads: usize,
    /// Where compiled components are kept; without, each process compiles anew.
    pub cache: Option<CacheSettings>,
    /// Where components are compiled.
    pub compiler: Compiler,
    /// Is told of what takes long.
    pub progress: Option<ProgressSink>,
    /// How requests leave the host.
    pub egress: Arc<Egress>,
}

impl Default for RuntimeSettings {
    /// The default limits, a thread for each core, nothing kept, nobody told, the system's resolver and no secrets.
    fn default() -> Self {
        Self {
            limits: CallLimits::DEFAULT,
            threads: 0,
            cache: None,
            compiler: Compiler::default(),
            progress: None,
            egress: Egress::new(EgressSettings::default()),
        }
    }
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
        Ok(self.loaded(core, component, loaded))
    }

    fn loaded(&self, core: &Core, component: &Arc<Component>, loaded: Arc<Loaded>) -> LoadedComponent {
        let limits = self.settings.limits.lowered_to(component.limits());
        let (pulse, egress) = (core.pulse.clone(), self.settings.egress.clone());
        LoadedComponent { component: component.clone(), loaded, limits, pulse, egress }
    }

    /// Begins to load a component and waits for nothing. Where a worker compiles, what was begun comes to its end
    /// also when this process is gone.
    pub fn prepare(&self, component: &Arc<Component>) {
        match self.core() {
            Ok(core) => core.loader.prepare(component),
            // The first call tells it.
            Err(problem) => tracing::warn!(problem, component = component.name(), "could not be prepared"),
        }
    }

    /// How far a component is on its way. Starts nothing.
    pub fn readiness(&self, component: &Component) -> Readiness {
        match self.core.get() {
            None => Readiness::Unknown,
            Some(Ok(core)) => core.loader.readiness(component),
            Some(Err(problem)) => {
                let (name, problem) = (component.name().to_owned(), problem.clone());
                Readiness::Failed(LoadError::Host { name, problem })
            }
        }
    }

    /// As [`Self::load`], for a call that is waited for: a large component that has to be compiled first is an
    /// outcome that says so, and is being compiled from then on.
    ///
    /// # Errors
    /// The outcome of the call that cannot begin.
    pub async fn load_for_call(&self, component: &Arc<Component>) -> Result<LoadedComponent, Outcome> {
        let faulted = |what: String| Outcome::Faulted { what };
        let core = self.core().map_err(|problem| faulted(format!("component `{}`: {problem}", component.name())))?;
        match core.loader.load_for_call(component).await {
            Ok(loaded) => Ok(self.loaded(core, component, loaded)),
            Err(NotLoaded::Failed(error)) => Err(faulted(error.to_string())),
            Err(NotLoaded::Preparing { about_s }) => Err(Outcome::Failed {
                kind: FailureKind::Failed,
                code: PREPARING_CODE.to_owned(),
                message: format!(
                    "component `{}` is being prepared: it is compiled once, which takes about {about_s} s. Try again \
                     in a few seconds, or use another tool meanwhile.",
                    component.name()
                ),
                retryable: true,
            }),
        }
    }

    /// Runs a call on one of the runtime's threads. Dropping the future ends the call.
    pub async fn call(&self, component: &LoadedComponent, base: &Arc<Base>, call: Call) -> CallReport {
        let core = match self.core() {
            Ok(core) => core,
            Err(problem) => {
                let what = problem.to_owned();
                return CallReport::of(Outcome::Faulted { what });
            }
        };
        let (component, base) = (component.clone(), base.clone());
        let deadline_ms = component.limits.deadline_ms;
        core.threads.run(deadline_ms, async move { component.call_here(&base, call).await }).await
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
            describe::run(&loaded.loaded, &loaded.component, &loaded.egress, &loaded.limits).await
        };
        describe::answer(component, core.threads.run(deadline_ms, ask).await)
    }

    /// Asks a mode or hooks what they are, with everything denied: once, when they are installed. Keep what comes back
    /// with the component's digest, and read it with [`PolicyComponent::read_described`].
    ///
    /// # Errors
    /// If it does not load, does not answer in time, or gives what cannot be used.
    pub async fn describe_policy(&self, policy: &PolicyComponent) -> Result<String, DescribeError> {
        let name = || policy.name().to_owned();
        self.load(policy.component()).await.map_err(|error| DescribeError::Load(error.to_string()))?;
        let said = self.ask(policy, Ask::Describe).await.said;
        let said = said.map_err(|problem| DescribeError::Call { name: name(), problem })?;
        let wrong = |problem| DescribeError::Answer { name: name(), problem };
        let json = said.into_json().map_err(wrong)?;
        let source = ComponentSource { name: name(), bytes: policy.bytes().to_vec().into() };
        match PolicyComponent::read_described(source, *policy.limits(), &json) {
            Ok(_) => Ok(json),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    /// Asks a policy on one of the runtime's threads, in a Store of its own.
    pub(crate) async fn ask(&self, policy: &PolicyComponent, ask: Ask) -> Asked {
        let core = match self.core() {
            Ok(core) => core,
            Err(problem) => return Asked::not(problem.to_owned()),
        };
        let loaded = match core.loader.load(policy.component()).await {
            Ok(loaded) => loaded,
            Err(error) => return Asked::not(error.to_string()),
        };
        let limits = policy.limits().of_call(&self.settings.limits);
        let (component, egress) = (policy.component().clone(), self.settings.egress.clone());
        let work = async move { modes::run(&loaded, &component, &egress, &limits, ask).await };
        core.threads.run_for(limits.deadline_ms, work).await.unwrap_or_else(|outcome| Asked::ended(&outcome))
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
        let (compile, remember) = self.compile().map_err(|e| broken("compiler", e))?;
        let loader = Loader::new(engine, linker, compile, remember, self.settings.progress.clone());
        Ok(Core { loader: Arc::new(loader), threads, pulse })
    }

    fn compile(&self) -> Result<(Compile, Duration), String> {
        let cache = self.settings.cache.as_ref().and_then(|settings| {
            let opened = CompiledCache::open(settings);
            opened.inspect_err(|error| tracing::warn!(%error, "components are compiled anew in every process")).ok()
        });
        let remember = |limits: &CompileLimits| Duration::from_millis(limits.remember_failure_ms);
        let Compiler::Worker { program, arguments, limits } = &self.settings.compiler else {
            return Ok((Compile::Here(cache), remember(&CompileLimits::DEFAULT)));
        };
        let settings = self.settings.cache.clone().filter(|_| cache.is_some());
        let outside = Outside::new(program.clone(), arguments.clone(), *limits, self.settings.limits, settings)
            .map_err(|error| error.to_string())?;
        let cache = match cache {
            Some(cache) => cache,
            None => CompiledCache::open(outside.cache()).map_err(|error| error.to_string())?,
        };
        Ok((Compile::Outside(Box::new(outside), cache), remember(limits)))
    }
}

/// A component ready to be called, with the limits of its calls.
#[derive(Clone)]
pub struct LoadedComponent {
    component: Arc<Component>,
    loaded: Arc<Loaded>,
    limits: CallLimits,
    pulse: Arc<Pulse>,
    egress: Arc<Egress>,
}

impl LoadedComponent {
    /// The limits of its calls.
    pub fn limits(&self) -> &CallLimits {
        &self.limits
    }

    /// Lowers the limits of calls made through this handle.
    #[must_use]
    pub fn lowered_to(&self, limits: &CallLimits) -> Self {
        Self { limits: self.limits.lowered_to(limits), ..self.clone() }
    }

    /// Runs a call on this thread, for callers that have threads of their own for guests. A tokio
    /// runtime with all its drivers must be around it. Nobody looks after a call that hangs in the operating system.
    pub async fn call_here(&self, base: &Arc<Base>, call: Call) -> CallReport {
        let _running = self.pulse.run();
        let Self { component, loaded, limits, egress, .. } = self;
        call::run(&Site { loaded, component, base, limits, egress }, call).await
    }
}
