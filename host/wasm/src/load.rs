//! Loading components: from memory, from the cache, or by compiling.
//!
//! Promise: a component is compiled once per process however many ask for it at once, and never on an
//! executor's thread; what cannot be loaded says why, in words that name the component.
//!
//! Not here: bounding the compiler's time and memory beyond the size of what it is given.

use crate::cache::{CacheKey, CompiledCache};
use crate::entry::Entry;
use crate::guest::GuestState;
use crate::limits::{COMPILES_MAX, LOADED_COMPONENTS_MAX};
use crate::tools::Component;
use harness_core::Digest;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
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
    /// The host could not begin.
    #[error("component `{name}` could not be loaded: {problem}")]
    Host {
        /// The component.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

/// A component ready to be instantiated.
pub(crate) struct Loaded {
    component: Arc<Component>,
    engine: Engine,
    instance_pre: InstancePre<GuestState>,
    entry: Entry,
}

impl Loaded {
    pub(crate) fn component(&self) -> &Component {
        &self.component
    }

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

type Loading = watch::Receiver<Option<Result<Arc<Loaded>, LoadError>>>;

/// Everything loaded or being loaded, by digest.
pub(crate) struct Loader {
    engine: Engine,
    linker: Linker<GuestState>,
    cache: Option<CompiledCache>,
    progress: Option<ProgressSink>,
    loading: Mutex<HashMap<Digest, Loading>>,
    compiling: (Mutex<usize>, Condvar),
}

impl Loader {
    pub(crate) fn new(
        engine: Engine,
        linker: Linker<GuestState>,
        cache: Option<CompiledCache>,
        progress: Option<ProgressSink>,
    ) -> Self {
        let compiling = (Mutex::new(0), Condvar::new());
        Self { engine, linker, cache, progress, loading: Mutex::default(), compiling }
    }

    /// The component, loaded: at once if it is, else by a thread of its own.
    pub(crate) async fn load(self: &Arc<Self>, component: &Arc<Component>) -> Result<Arc<Loaded>, LoadError> {
        let mut loading = self.loading(component);
        let ended = match loading.wait_for(Option::is_some).await {
            Ok(value) => value.clone(),
            Err(_thread_died) => None,
        };
        ended.unwrap_or_else(|| Err(host_error(component, "the loading thread died")))
    }

    fn loading(self: &Arc<Self>, component: &Arc<Component>) -> Loading {
        let mut map = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loading) = map.get(&component.digest()) {
            return loading.clone();
        }
        if map.len() >= LOADED_COMPONENTS_MAX {
            // Any one that is not being loaded: it comes back from the cache.
            let idle = map.iter().find(|(_, loading)| loading.borrow().is_some()).map(|(digest, _)| *digest);
            idle.and_then(|digest| map.remove(&digest));
        }
        let (sender, receiver) = watch::channel(None);
        map.insert(component.digest(), receiver.clone());
        let (loader, wanted) = (self.clone(), component.clone());
        let answer = sender.clone();
        let work = move || {
            let loaded = loader.load_here(&wanted);
            answer.send_replace(Some(loaded));
        };
        if let Err(error) = std::thread::Builder::new().name("wasm-load".to_owned()).spawn(work) {
            map.remove(&component.digest());
            sender.send_replace(Some(Err(host_error(component, &format!("no thread: {error}")))));
        }
        receiver
    }

    fn load_here(&self, component: &Arc<Component>) -> Result<Arc<Loaded>, LoadError> {
        let key = CacheKey::new(&component.digest(), self.engine.precompile_compatibility_hash());
        let compiled = match self.cached(&key) {
            Some(compiled) => compiled,
            None => self.compile(component, &key)?,
        };
        let link =
            |error: wasmtime::Error| LoadError::Link { name: component.name().to_owned(), problem: chain(&error) };
        let instance_pre = self.linker.instantiate_pre(&compiled).map_err(link)?;
        let entry = Entry::of(component, &instance_pre).map_err(link)?;
        Ok(Arc::new(Loaded { component: component.clone(), engine: self.engine.clone(), instance_pre, entry }))
    }

    fn cached(&self, key: &CacheKey) -> Option<wasmtime::component::Component> {
        let code = self.cache.as_ref()?.get(key)?;
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
        let started = std::time::Instant::now();
        let failed = |error: wasmtime::Error| LoadError::Compile { name: name(), problem: chain(&error) };
        let code = self.engine.precompile_component(component.bytes()).map_err(failed)?;
        // SAFETY: the bytes come straight from this engine's compiler.
        let compiled = unsafe { wasmtime::component::Component::deserialize(&self.engine, &code) }.map_err(failed)?;
        let time_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.tell(|| Progress::Compiled { name: name(), time_ms });
        if let Some(cache) = &self.cache {
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

/// An error and what caused it, outermost first.
fn chain(error: &wasmtime::Error) -> String {
    const CHAIN_BYTES_MAX: usize = 2 << 10;
    let links: Vec<_> = error.chain().map(ToString::to_string).collect();
    crate::clean::clean_and_cut(links.join(": ").as_bytes(), CHAIN_BYTES_MAX)
}
