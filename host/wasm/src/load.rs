//! Loading components: from memory, from the cache, or by compiling.
//!
//! Promise: a component is compiled once per process however many ask for it at once, and never on an
//! executor's thread; what cannot be loaded says why, in words that name the component; what broke a compiler is
//! not given to the next one at once. A call does not wait for a large component to be compiled.
//!
//! Not here: bounding the compiler's time and memory (`compile`).

use crate::cache::{CacheKey, CompiledCache};
use crate::compile::{CompileLimitName, Failure, Made, Outside, chain};
use crate::entry::Entry;
use crate::guest::GuestState;
use crate::limits::{COMPILE_WAITED_FOR_BYTES_MAX, COMPILES_MAX, LOADED_COMPONENTS_MAX};
use crate::tools::Component;
use harness_core::Digest;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use wasmtime::Engine;
use wasmtime::component::{InstancePre, Linker};

/// Something that takes long enough to tell a person about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A component is being compiled: it was not in the cache.
    Compiling {
        /// The component.
        name: String,
    },
    /// It was compiled.
    Compiled {
        /// The component.
        name: String,
        /// How long it took, in milliseconds.
        time_ms: u64,
    },
    /// Another process had it compiled meanwhile.
    CompiledElsewhere {
        /// The component.
        name: String,
        /// How long it was waited for, in milliseconds.
        time_ms: u64,
    },
}

/// Is told of progress. Must not block.
pub type ProgressSink = Arc<dyn Fn(Progress) + Send + Sync>;

/// Why a component could not be loaded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// The compiler refused it.
    #[error("component `{name}` could not be compiled: {problem}")]
    Compile {
        /// The component.
        name: String,
        /// What the compiler said, outermost first.
        problem: String,
    },
    /// It does not fit what the host offers.
    #[error("component `{name}` does not fit this host: {problem}")]
    Link {
        /// The component.
        name: String,
        /// What does not fit.
        problem: String,
    },
    /// Compiling it took more than it may.
    #[error("component `{name}` could not be compiled within {} = {maximum}: make it smaller", limit.name())]
    CompileLimit {
        /// The component.
        name: String,
        /// What was crossed.
        limit: CompileLimitName,
        /// Its value.
        maximum: u64,
    },
    /// The host could not load it, or the compiler broke.
    #[error("component `{name}` could not be loaded: {problem}")]
    Host {
        /// The component.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

impl LoadError {
    /// Whether trying again later may end otherwise: it was not the component that was refused.
    const fn may_pass(&self) -> bool {
        match self {
            Self::Compile { .. } | Self::Link { .. } => false,
            Self::CompileLimit { .. } | Self::Host { .. } => true,
        }
    }
}

/// A component ready to be instantiated.
pub(crate) struct Loaded {
    engine: Engine,
    instance_pre: InstancePre<GuestState>,
    entry: Entry,
}

impl Loaded {
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn instance_pre(&self) -> &InstancePre<GuestState> {
        &self.instance_pre
    }

    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }
}

/// Where a component is on its way.
#[derive(Clone)]
enum Step {
    /// Being looked for.
    Looking,
    /// Being compiled: it was not in the cache.
    Compiling(Instant),
    /// Loaded or not.
    Ended(Result<Arc<Loaded>, LoadError>, Instant),
}

type Loading = watch::Receiver<Step>;

/// How far a component is.
#[derive(Debug, Clone)]
pub enum Readiness {
    /// Nobody asked for it in this process, or what had failed may be tried again.
    Unknown,
    /// Being looked for in the cache, or compiled since then.
    Preparing {
        /// Since when it is being compiled; none while it is looked for.
        since: Option<Instant>,
    },
    /// It can be called at once.
    Ready,
    /// It could not be loaded.
    Failed(LoadError),
}

/// Why a component cannot be called now.
#[derive(Debug, Clone)]
pub(crate) enum NotLoaded {
    /// It is being compiled, which takes about so many seconds.
    Preparing { about_s: u64 },
    /// It could not be loaded.
    Failed(LoadError),
}

/// Who compiles.
pub(crate) enum Compile {
    /// This process; what it made is kept if there is a cache.
    Here(Option<CompiledCache>),
    /// Worker processes, which write into the cache.
    Outside(Box<Outside>, CompiledCache),
}

impl Compile {
    fn cache(&self) -> Option<&CompiledCache> {
        match self {
            Self::Here(cache) => cache.as_ref(),
            Self::Outside(_, cache) => Some(cache),
        }
    }
}

/// Everything loaded or being loaded, by digest.
pub(crate) struct Loader {
    engine: Engine,
    linker: Linker<GuestState>,
    compile: Compile,
    remember_failure: Duration,
    progress: Option<ProgressSink>,
    loading: Mutex<HashMap<Digest, Loading>>,
    compiling: (Mutex<usize>, Condvar),
}

impl Loader {
    pub(crate) fn new(
        engine: Engine,
        linker: Linker<GuestState>,
        compile: Compile,
        remember_failure: Duration,
        progress: Option<ProgressSink>,
    ) -> Self {
        let compiling = (Mutex::new(0), Condvar::new());
        Self { engine, linker, compile, remember_failure, progress, loading: Mutex::default(), compiling }
    }

    /// The component, loaded: at once if it is, else by a thread of its own.
    pub(crate) async fn load(self: &Arc<Self>, component: &Arc<Component>) -> Result<Arc<Loaded>, LoadError> {
        let mut loading = self.loading(component);
        let ended = match loading.wait_for(|step| matches!(step, Step::Ended(..))).await {
            Ok(step) => ended(&step),
            Err(_thread_died) => None,
        };
        ended.unwrap_or_else(|| Err(host_error(component, "the loading thread died")))
    }

    /// The same, but where a large component turns out to need compiling this does not wait for it.
    pub(crate) async fn load_for_call(self: &Arc<Self>, component: &Arc<Component>) -> Result<Arc<Loaded>, NotLoaded> {
        if component.bytes().len() > COMPILE_WAITED_FOR_BYTES_MAX {
            let mut loading = self.loading(component);
            let known = loading.wait_for(|step| !matches!(step, Step::Looking)).await;
            if known.is_ok_and(|step| matches!(*step, Step::Compiling(_))) {
                return Err(NotLoaded::Preparing { about_s: compile_s(component.bytes().len()) });
            }
        }
        self.load(component).await.map_err(NotLoaded::Failed)
    }

    /// Begins to load it, unless that has begun, and waits for nothing.
    pub(crate) fn prepare(self: &Arc<Self>, component: &Arc<Component>) {
        self.loading(component);
    }

    /// How far it is.
    pub(crate) fn readiness(&self, component: &Component) -> Readiness {
        let map = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(loading) = map.get(&component.digest()).filter(|loading| !self.is_forgotten(loading)) else {
            return Readiness::Unknown;
        };
        match &*loading.borrow() {
            Step::Looking => Readiness::Preparing { since: None },
            Step::Compiling(since) => Readiness::Preparing { since: Some(*since) },
            Step::Ended(Ok(_), _) => Readiness::Ready,
            Step::Ended(Err(error), _) => Readiness::Failed(error.clone()),
        }
    }

    /// Whether it failed for a reason that may have passed, long enough ago to be tried again. Until then every
    /// call gets the same answer at once, and a component that breaks compilers breaks one in that time.
    fn is_forgotten(&self, loading: &Loading) -> bool {
        match &*loading.borrow() {
            Step::Ended(Err(error), at) => error.may_pass() && at.elapsed() >= self.remember_failure,
            _ => false,
        }
    }

    fn loading(self: &Arc<Self>, component: &Arc<Component>) -> Loading {
        let mut map = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loading) = map.get(&component.digest()).filter(|loading| !self.is_forgotten(loading)) {
            return loading.clone();
        }
        if map.len() >= LOADED_COMPONENTS_MAX {
            // Any one that is not being loaded: it comes back from the cache.
            let is_idle = |loading: &Loading| matches!(*loading.borrow(), Step::Ended(..));
            let idle = map.iter().find(|(_, loading)| is_idle(loading)).map(|(digest, _)| *digest);
            idle.and_then(|digest| map.remove(&digest));
        }
        let (sender, receiver) = watch::channel(Step::Looking);
        map.insert(component.digest(), receiver.clone());
        let (loader, wanted) = (self.clone(), component.clone());
        let answer = sender.clone();
        let work = move || {
            let compiling = || drop(answer.send_replace(Step::Compiling(Instant::now())));
            let loaded = loader.load_here(&wanted, &compiling);
            answer.send_replace(Step::Ended(loaded, Instant::now()));
        };
        if let Err(error) = std::thread::Builder::new().name("wasm-load".to_owned()).spawn(work) {
            map.remove(&component.digest());
            let error = host_error(component, &format!("no thread: {error}"));
            sender.send_replace(Step::Ended(Err(error), Instant::now()));
        }
        receiver
    }

    fn load_here(&self, component: &Arc<Component>, compiling: &dyn Fn()) -> Result<Arc<Loaded>, LoadError> {
        let key = CacheKey::new(&component.digest(), self.engine.precompile_compatibility_hash());
        let compiled = match self.cached(&key) {
            Some(compiled) => compiled,
            None => {
                compiling();
                self.compile(component, &key)?
            }
        };
        let link =
            |error: wasmtime::Error| LoadError::Link { name: component.name().to_owned(), problem: chain(&error) };
        let instance_pre = self.linker.instantiate_pre(&compiled).map_err(link)?;
        let entry = Entry::of(component, &instance_pre).map_err(link)?;
        Ok(Arc::new(Loaded { engine: self.engine.clone(), instance_pre, entry }))
    }

    fn cached(&self, key: &CacheKey) -> Option<wasmtime::component::Component> {
        let code = self.compile.cache()?.get(key)?;
        // SAFETY: the bytes are exactly what this host's own engine made for this key: the MAC over
        // them was checked after they were read into memory.
        match unsafe { wasmtime::component::Component::deserialize(&self.engine, &code) } {
            Ok(compiled) => Some(compiled),
            Err(error) => {
                tracing::warn!(%error, "a compiled component does not fit this engine: it is compiled again");
                None
            }
        }
    }

    fn compile(&self, component: &Arc<Component>, key: &CacheKey) -> Result<wasmtime::component::Component, LoadError> {
        let _turn = self.turn();
        let name = || component.name().to_owned();
        self.tell(|| Progress::Compiling { name: name() });
        let started = Instant::now();
        let (compiled, made) = match &self.compile {
            Compile::Here(cache) => (self.compile_here(component, key, cache.as_ref())?, Made::Here),
            Compile::Outside(outside, cache) => {
                let made = outside.compile(component, key, cache).map_err(|failure| load_error(component, failure))?;
                let missing = "the compiler's worker said that it was done, but the cache has nothing from it";
                (self.cached(key).ok_or_else(|| host_error(component, missing))?, made)
            }
        };
        let time_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.tell(|| match made {
            Made::Here => Progress::Compiled { name: name(), time_ms },
            Made::Elsewhere => Progress::CompiledElsewhere { name: name(), time_ms },
        });
        Ok(compiled)
    }

    fn compile_here(
        &self,
        component: &Component,
        key: &CacheKey,
        cache: Option<&CompiledCache>,
    ) -> Result<wasmtime::component::Component, LoadError> {
        let failed =
            |error: wasmtime::Error| LoadError::Compile { name: component.name().to_owned(), problem: chain(&error) };
        let code = self.engine.precompile_component(component.bytes()).map_err(failed)?;
        // SAFETY: the bytes come straight from this engine's compiler.
        let compiled = unsafe { wasmtime::component::Component::deserialize(&self.engine, &code) }.map_err(failed)?;
        if let Some(cache) = cache {
            cache.put(key, &code);
        }
        Ok(compiled)
    }

    fn tell(&self, progress: impl FnOnce() -> Progress) {
        if let Some(sink) = &self.progress {
            sink(progress());
        }
    }

    /// Waits until fewer than the most are compiling.
    fn turn(&self) -> Turn<'_> {
        let (count, changed) = &self.compiling;
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        while *count >= COMPILES_MAX {
            count = changed.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
        *count += 1;
        Turn(self)
    }
}

struct Turn<'a>(&'a Loader);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let (count, changed) = &self.0.compiling;
        *count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        changed.notify_one();
    }
}

fn host_error(component: &Component, problem: &str) -> LoadError {
    LoadError::Host { name: component.name().to_owned(), problem: problem.to_owned() }
}

fn ended(step: &Step) -> Option<Result<Arc<Loaded>, LoadError>> {
    match step {
        Step::Ended(result, _) => Some(result.clone()),
        Step::Looking | Step::Compiling(_) => None,
    }
}

/// About how long compiling takes at most, in seconds, from the component's size: two seconds for each MiB of code;
/// what is larger than the largest tools is mostly data.
fn compile_s(component_bytes: usize) -> u64 {
    const S_PER_MEBIBYTE: usize = 2;
    const S_MAX: u64 = 15;
    u64::try_from(component_bytes.saturating_mul(S_PER_MEBIBYTE) >> 20).unwrap_or(S_MAX).clamp(1, S_MAX)
}

fn load_error(component: &Component, failure: Failure) -> LoadError {
    let name = component.name().to_owned();
    match failure {
        Failure::Refused { problem } => LoadError::Compile { name, problem },
        Failure::Limit { limit, maximum } => LoadError::CompileLimit { name, limit, maximum },
        Failure::Broken { problem } => LoadError::Host { name, problem },
    }
}
