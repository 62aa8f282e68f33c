//! The real parts, put together as the binary does.

use crate::model_server::{FILE, FILES, SHORT_FILE, file_of};
use harness_core::event::{Context, TurnEnd, TurnLimits};
use harness_core::grant::Scope;
use harness_core::{ApproveMode, Event, Grant, ModelRef};
use harness_engine::ports::Hands;
use harness_engine::{Host, NewSession, Ports, Session, Update};
use harness_model::{Models, ProviderConfig, Wire};
use harness_store::{SqliteStore, StoreOptions, this_process};
use harness_wasm::filesystem::Base;
use harness_wasm::{
    CACHE_BYTES_MAX_DEFAULT, CacheSettings, Component, ComponentHands, ComponentSource, HandsSettings, Runtime,
    RuntimeSettings,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Threads that run sessions, as in the binary.
const SESSION_THREADS: usize = 2;
/// The size of the file that tools read, in bytes.
const FILE_BYTES: usize = 2 << 10;
/// As the binary embeds them, in that order.
const COMPONENTS: [&str; 6] = ["read_file", "write_file", "edit_file", "list_dir", "glob", "grep"];
/// About as long as the binary's own.
const SYSTEM_PROMPT: &str = "You are an agent working for a person in a folder, the workspace. ";
/// Steps of a turn, at most: more than any measurement takes.
const STEPS_MAX: u32 = 100_000;
/// The provider's name.
const PROVIDER: &str = "bench";

/// What all measurements use: a workspace, and compiled components.
pub(crate) struct Shared {
    folder: tempfile::TempDir,
}

impl Shared {
    /// Makes the workspace and compiles the components, so that every measurement finds them.
    pub(crate) fn prepare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let workspace = folder.path().join("workspace");
        std::fs::create_dir(&workspace).unwrap();
        let line = "A line of a file that somebody wrote down to be read.\n";
        let text: String = line.chars().cycle().take(FILE_BYTES).collect();
        for number in 0..FILES {
            std::fs::write(workspace.join(file_of(FILE, number)), &text).unwrap();
            std::fs::write(workspace.join(file_of(SHORT_FILE, number)), "A few words.\n").unwrap();
        }
        let shared = Self { folder };
        let (runtime, hands) = (shared.place("prepare").component_runtime(), executor());
        runtime_hands(&runtime, &workspace, |hands_of| hands.block_on(hands_of.prepare()).unwrap());
        shared
    }

    /// A place with a store of its own.
    pub(crate) fn place(&self, store: &str) -> Place {
        Place { root: self.folder.path().to_owned(), store: store.to_owned() }
    }
}

fn runtime_hands<T>(runtime: &Arc<Runtime>, workspace: &Path, with: impl FnOnce(&ComponentHands) -> T) -> T {
    let base = Arc::new(Base::open(workspace, &[]).unwrap());
    with(&ComponentHands::new(Arc::clone(runtime), base, components(), HandsSettings::default()).unwrap())
}

/// Where the parts are; it can be handed to a child.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    root: PathBuf,
    store: String,
}

impl Place {
    /// As words of a command line.
    pub(crate) fn to_words(&self) -> Vec<String> {
        vec![self.root.to_str().unwrap().to_owned(), self.store.clone()]
    }

    /// From those words.
    pub(crate) fn from_words(words: &[String]) -> Self {
        Self { root: PathBuf::from(&words[0]), store: words[1].clone() }
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.root.join("workspace")
    }

    pub(crate) fn open_store(&self) -> SqliteStore {
        SqliteStore::open(self.root.join(format!("store-{}", self.store)), StoreOptions::default()).unwrap()
    }

    /// A component runtime over the common cache.
    pub(crate) fn component_runtime(&self) -> Arc<Runtime> {
        Arc::new(Runtime::new(RuntimeSettings {
            cache: Some(CacheSettings {
                folder: self.root.join("compiled"),
                key_file: self.root.join("compiled.key"),
                bytes_max: CACHE_BYTES_MAX_DEFAULT,
            }),
            ..RuntimeSettings::default()
        }))
    }

    /// A host whose only provider is at this address.
    pub(crate) fn host(&self, url: &str) -> Bench {
        let store = Arc::new(self.open_store());
        let provider = ProviderConfig {
            name: PROVIDER.to_owned(),
            wire: Wire::OpenAiChat,
            base_url: url.to_owned(),
            key: None,
            prices: BTreeMap::new(),
        };
        let ports = Ports::over(store, Arc::new(Models::new(vec![provider]).unwrap()));
        let host = Host::new(ports, this_process(), "bench");
        let workspace = self.workspace();
        let base = Arc::new(Base::open(&workspace, &[]).unwrap());
        Bench { host, runtime: self.component_runtime(), components: components(), workspace, base }
    }
}

/// What the built-in tools are granted, as in the binary.
pub(crate) fn grants() -> Vec<Grant> {
    let grant = |component: &&str| Grant {
        component: (*component).to_owned(),
        capability: "filesystem write /workspace".parse().unwrap(),
        scope: Scope::Session,
        until: None,
        source: "built-in".to_owned(),
    };
    COMPONENTS.iter().map(grant).collect()
}

/// The components of `components/dist`.
fn components() -> Vec<Arc<Component>> {
    COMPONENTS.iter().map(|name| component(name)).collect()
}

/// One of them, read anew.
pub(crate) fn component(name: &str) -> Arc<Component> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../components/dist/{name}.wasm"));
    let bytes = std::fs::read(&path).expect("components/build makes it");
    Component::read(ComponentSource { name: name.to_owned(), bytes: bytes.into() }).unwrap()
}

/// An executor like the binary's.
pub(crate) fn executor() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(SESSION_THREADS).enable_all().build().unwrap()
}

/// A host and what its sessions are made of.
pub(crate) struct Bench {
    pub(crate) host: Host,
    runtime: Arc<Runtime>,
    components: Vec<Arc<Component>>,
    workspace: PathBuf,
    /// An open folder, which all sessions share: a process may have open only so many.
    base: Arc<Base>,
}

impl Bench {
    /// The tools of one session.
    pub(crate) fn hands(&self) -> Arc<dyn Hands> {
        let (base, components) = (Arc::clone(&self.base), self.components.clone());
        let settings = HandsSettings::default();
        Arc::new(ComponentHands::new(Arc::clone(&self.runtime), base, components, settings).unwrap())
    }

    /// A new session that asks this model.
    pub(crate) async fn create(&self, model: &str) -> Session {
        let hands = self.hands();
        let new = NewSession { workspace: self.workspace.to_str().unwrap().to_owned(), title: None };
        self.host.create(new, context(model, hands.as_ref()), grants(), hands).await.unwrap()
    }
}

/// What a session's model is told.
pub(crate) fn context(model: &str, hands: &dyn Hands) -> Context {
    Context {
        model: ModelRef { provider: PROVIDER.to_owned(), name: model.to_owned() },
        model_reason: "bench".to_owned(),
        system: SYSTEM_PROMPT.repeat(16),
        tools: hands.tools(),
        approve: ApproveMode::Ask,
        rules: Vec::new(),
        modes: Vec::new(),
        price: None,
        agent: harness_core::event::DEFAULT_AGENT.to_owned(),
        trust: false,
    }
}

/// Limits of a turn that no measurement reaches.
pub(crate) fn turn_limits() -> TurnLimits {
    TurnLimits { steps_max: STEPS_MAX, ..TurnLimits::default() }
}

/// Runs one turn to its end and believes it only if it went well.
pub(crate) async fn run_turn(session: &Session) {
    let after = session.snapshot().await.unwrap().tip.sequence;
    let mut updates = session.subscribe(after);
    session.prompt("Read the notes.", turn_limits()).await.unwrap();
    loop {
        match updates.next().await.unwrap() {
            Update::Event(logged) => match &logged.event {
                Some(Event::TurnEnded { end: TurnEnd::Done, .. }) => return,
                Some(Event::TurnEnded { end, .. }) => panic!("the turn ended otherwise: {end:?}"),
                Some(Event::CallEnded { is_error: true, outcome, text, .. }) => panic!("a call {outcome}: {text:?}"),
                _ => {}
            },
            Update::Delta { .. } | Update::Progress { .. } => {}
            Update::Closed { fault } => panic!("the session closed: {fault:?}"),
        }
    }
}
