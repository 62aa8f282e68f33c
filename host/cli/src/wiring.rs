//! Putting the parts together: store, models, component runtime, host.
//!
//! Promise: nothing is compiled, connected to or provisioned here; each part starts at its first use.

use crate::failure::Failure;
use crate::modes::Modes;
use crate::paint::{err_line, one_line};
use crate::secrets::ConfiguredSecrets;
use crate::settings::{Settings, SystemKeyring};
use crate::system_prompt;
use harness_config::{KeySource, MACHINE_CONFIG_PATH, Price as ConfigPrice, ProviderKey, Wire as ConfigWire};
use harness_core::event::Context;
use harness_core::item::ToolSpec;
use harness_core::mode::ModeSpec;
use harness_core::{ModelRef, SessionId};
use harness_egress::{Egress, EgressSettings};
use harness_engine::ports::{Archived, Hands, Kv, SessionFilter, StoreError};
use harness_engine::{Host, Ports};
use harness_model::{ApiKey, KeyError, KeyProvider, Models, Price, ProviderConfig, Wire};
use harness_store::{SqliteStore, StoreOptions, this_process};
use harness_wasm::compile::{CompileLimits, Compiler};
use harness_wasm::filesystem::{Base, OpenBaseError};
use harness_wasm::{
    CACHE_BYTES_MAX_DEFAULT, CacheSettings, CallLimits, Component, ComponentHands, ComponentPolicies, HandsSettings,
    Progress, Runtime, RuntimeSettings,
};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Sessions looked through for the beginning of an id.
const PREFIX_SESSIONS_MAX: usize = 100_000;
/// What was given for an id is shown up to this many characters.
const SESSION_CHARS_MAX: usize = 80;
/// Characters after `ses_` that the beginning of an id has at least: fewer could be a slip.
const PREFIX_CHARS_MIN: usize = 4;

/// The hidden command that compiles a component.
pub(crate) const COMPILE_COMMAND: &str = "compile-component";
/// Whose values components keep: one person works on this host.
const PRINCIPAL: &str = "person";
/// The agent whose values components keep.
const AGENT: &str = "default";
/// Components that take longer than a moment to compile are prepared beforehand. Bytes.
const PREPARED_BYTES_MIN: usize = 1 << 20;

/// The parts, put together.
pub(crate) struct Wiring {
    pub(crate) host: Host,
    pub(crate) models: Arc<Models>,
    pub(crate) runtime: Arc<Runtime>,
    /// Components that nobody waits for: they are prepared without a word.
    quiet: Arc<Mutex<BTreeSet<String>>>,
}

/// Puts the parts together.
pub(crate) fn wire(settings: &Settings) -> Result<Wiring, Failure> {
    let resolved = &settings.resolved;
    let options = StoreOptions { blob_quota_bytes: resolved.storage.blob_quota_bytes.value, ..StoreOptions::default() };
    let store = SqliteStore::open(store_folder(settings), options)
        .map_err(|error| Failure::because("opening the session store", &error))?;
    let models =
        Arc::new(Models::new(providers(settings)).map_err(|error| Failure::usage(crate::failure::chain(&error)))?);
    let ports = Ports::over(Arc::new(store), models.clone());
    let host = Host::new(ports, this_process(), env!("CARGO_PKG_VERSION"));
    let quiet = Arc::<Mutex<BTreeSet<String>>>::default();
    let unwaited = Arc::clone(&quiet);
    let runtime = Arc::new(Runtime::new(RuntimeSettings {
        limits: call_limits(settings),
        cache: Some(CacheSettings {
            folder: settings.paths.cache_dir.join("compiled"),
            key_file: settings.paths.state_dir.join("cache.key"),
            bytes_max: CACHE_BYTES_MAX_DEFAULT,
        }),
        threads: 0,
        compiler: compiler(),
        progress: Some(Arc::new(move |progress| tell_progress(progress, &unwaited))),
        egress: Egress::new(EgressSettings {
            secrets: Arc::new(ConfiguredSecrets::of(settings)),
            ..EgressSettings::default()
        }),
    }));
    Ok(Wiring { host, models, runtime, quiet })
}

/// Components are compiled by this very program in a process of its own. Where it cannot be found, here.
fn compiler() -> Compiler {
    match std::env::current_exe() {
        Ok(program) => {
            Compiler::Worker { program, arguments: vec![COMPILE_COMMAND.into()], limits: CompileLimits::DEFAULT }
        }
        Err(error) => {
            tracing::warn!(%error, "this program does not find itself: it compiles components in its own process");
            Compiler::InThisProcess
        }
    }
}

/// The folder of the session store.
pub(crate) fn store_folder(settings: &Settings) -> PathBuf {
    settings.resolved.storage.state_dir.value.join("sessions")
}

fn tell_progress(progress: Progress, unwaited: &Mutex<BTreeSet<String>>) {
    match progress {
        Progress::Compiling { name } if unwaited.lock().is_ok_and(|names| names.contains(&name)) => {
            tracing::info!(name, "compiling");
        }
        Progress::Compiling { name } => err_line(&format!("preparing {name} (once, then it is kept)…")),
        Progress::Compiled { name, time_ms } => tracing::info!(name, time_ms, "compiled"),
        Progress::CompiledElsewhere { name, .. } => tracing::info!(name, "compiled by another process"),
    }
}

impl Wiring {
    /// The tools of some components over a folder, with nothing hidden in it.
    pub(crate) fn bare_hands(
        &self,
        folder: &Path,
        components: Vec<Arc<Component>>,
        kv: Arc<dyn Kv>,
    ) -> Result<Arc<dyn Hands>, Failure> {
        self.hands_over(Base::open(folder, &[]), components, kv)
    }

    /// The tools of one component over a folder, for calls that are run again. It keeps no values.
    pub(crate) fn hands_again(&self, folder: &Path, component: Arc<Component>) -> Result<ComponentHands, Failure> {
        let base = Base::open(folder, &[]).map_err(|error| Failure::because("opening the copy", &error))?;
        let settings = HandsSettings { kv: None, principal: PRINCIPAL.to_owned(), agent: AGENT.to_owned() };
        ComponentHands::new(Arc::clone(&self.runtime), Arc::new(base), vec![component], settings)
            .map_err(|error| Failure::usage(error.to_string()))
    }

    fn hands_over(
        &self,
        base: Result<Base, OpenBaseError>,
        components: Vec<Arc<Component>>,
        kv: Arc<dyn Kv>,
    ) -> Result<Arc<dyn Hands>, Failure> {
        let settings = HandsSettings { kv: Some(kv), principal: PRINCIPAL.to_owned(), agent: AGENT.to_owned() };
        let base = base.map_err(|error| Failure::because("opening the workspace", &error))?;
        let hands =
            ComponentHands::new(Arc::clone(&self.runtime), Arc::new(base), components, settings).map_err(|error| {
                // Built-in ones come first.
                let remove = format!("harness-host component remove {}", error.second);
                Failure::usage(format!("{error}: {remove} (--project, if it is the project's)"))
            })?;
        Ok(Arc::new(hands))
    }

    /// The tools of a session that works in a folder.
    pub(crate) fn hands(
        &self,
        settings: &Settings,
        workspace: &Path,
        components: Vec<Arc<Component>>,
        kv: Arc<dyn Kv>,
    ) -> Result<Arc<dyn Hands>, Failure> {
        let mut own = Vec::new();
        for folder in settings.own_folders() {
            // A folder that does not exist yet could be made by a tool: it has to be there to be hidden.
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(|error| Failure::failed(format!("{} cannot be made: {error}", folder.display())))?;
            own.push(folder);
        }
        own.extend(machine_folder(workspace));
        for (file, place) in settings.key_files() {
            if std::fs::canonicalize(&file).is_ok_and(|file| file.starts_with(workspace)) {
                return Err(Failure::usage(format!(
                    "{place} lies inside the workspace {}, where tools could read it: move it, or choose another workspace",
                    workspace.display()
                )));
            }
        }
        self.hands_over(Base::open(workspace, &own), components, kv)
    }

    /// Has sessions judged by these modes, from the next one that is opened on.
    pub(crate) fn judge_by(&mut self, policies: &Arc<ComponentPolicies>) {
        self.host = self.host.clone().with_policy(policies.clone());
    }

    /// Begins to prepare the modes and the components that take long, beside everything else.
    pub(crate) fn prepare(&self, components: &[Arc<Component>], modes: &Modes) {
        let policies = Arc::clone(modes.policies());
        let large = components.iter().filter(|component| component.bytes().len() >= PREPARED_BYTES_MIN);
        let (runtime, large) = (Arc::clone(&self.runtime), large.cloned().collect::<Vec<_>>());
        if let Ok(mut names) = self.quiet.lock() {
            names.extend(large.iter().map(|component| component.name().to_owned()).chain(modes.names()));
        }
        // Starting the component engine takes a moment too.
        tokio::task::spawn_blocking(move || {
            policies.prepare();
            large.iter().for_each(|component| runtime.prepare(component));
        });
    }

    /// What the model of a session is told.
    pub(crate) fn context(
        &self,
        settings: &Settings,
        (model, model_reason): (ModelRef, String),
        workspace: &Path,
        tools: Vec<ToolSpec>,
        modes: Vec<ModeSpec>,
    ) -> Context {
        Context {
            price: settings.price(&model),
            model,
            model_reason,
            system: system_prompt::assemble(workspace),
            tools,
            approve: settings.approve(),
            rules: settings.rules(),
            modes,
            agent: harness_core::event::DEFAULT_AGENT.to_owned(),
            trust: true,
        }
    }

    /// The session that is meant, or all of them, up to a limit.
    pub(crate) async fn sessions(&self, meant: Option<&str>, sessions_max: usize) -> Result<Vec<SessionId>, Failure> {
        match meant {
            Some(text) => Ok(vec![self.find_session(text).await?]),
            None => self.all_sessions(sessions_max).await,
        }
    }

    /// All sessions, up to a limit, also those that were put away.
    async fn all_sessions(&self, sessions_max: usize) -> Result<Vec<SessionId>, Failure> {
        let filter = SessionFilter { sessions_max, archived: Archived::Included, ..SessionFilter::default() };
        let found = self.host.ports().index.list(filter).await;
        let found = found.map_err(|error| Failure::because("listing sessions", &error))?;
        Ok(found.into_iter().map(|summary| summary.session).collect())
    }

    /// The session with this id, or the only one whose id begins so.
    pub(crate) async fn find_session(&self, text: &str) -> Result<SessionId, Failure> {
        if let Ok(id) = text.parse::<SessionId>() {
            return match self.host.ports().log.tip(id).await {
                Err(StoreError::NotFound(_)) => Err(no_session(text)),
                // Whatever else is wrong with it is for the command to tell.
                _ => Ok(id),
            };
        }
        let beginning = text.strip_prefix("ses_").unwrap_or(text);
        if beginning.len() < PREFIX_CHARS_MIN {
            let text = one_line(text, SESSION_CHARS_MAX);
            return Err(Failure::usage(format!(
                "`{text}` is too short for a session: give at least {PREFIX_CHARS_MIN} characters of its id after ses_"
            )));
        }
        let prefix = format!("ses_{beginning}");
        let all = self.all_sessions(PREFIX_SESSIONS_MAX).await?;
        let found: Vec<SessionId> = all.into_iter().filter(|id| id.to_string().starts_with(&prefix)).collect();
        match found.as_slice() {
            [id] => Ok(*id),
            [] => Err(no_session(text)),
            several => {
                let text = one_line(text, SESSION_CHARS_MAX);
                Err(Failure::usage(format!("{} sessions begin with `{text}`: give more of the id", several.len())))
            }
        }
    }
}

fn no_session(text: &str) -> Failure {
    let text = one_line(text, SESSION_CHARS_MAX);
    Failure::usage(format!("there is no session `{text}`; harness-host sessions list shows those there are"))
}

/// The folder of the machine's configuration, where a workspace around it could make it seen.
fn machine_folder(workspace: &Path) -> Option<PathBuf> {
    let folder = Path::new(MACHINE_CONFIG_PATH).parent()?;
    if !folder.starts_with(workspace) {
        return None;
    }
    // Whoever may not make it cannot have a tool make it either.
    let _ = std::fs::create_dir_all(folder);
    folder.exists().then(|| folder.to_owned())
}

/// The most that any call gets.
pub(crate) fn call_limits(settings: &Settings) -> CallLimits {
    let limits = &settings.resolved.tool_limits;
    CallLimits {
        fuel: limits.fuel.value,
        deadline_ms: limits.deadline_ms.value,
        memory_bytes: limits.memory_bytes.value,
        table_elements: limits.table_elements.value,
        instances: limits.instances.value,
        stack_bytes: limits.stack_bytes.value,
        output_bytes: limits.output_bytes.value,
        log_bytes: limits.log_bytes.value,
        host_bytes: limits.host_bytes.value,
        open_handles: limits.open_handles.value,
        staged_bytes: limits.staged_bytes.value,
        staged_files: limits.staged_files.value,
        argument_bytes: limits.argument_bytes.value,
        requests: limits.requests.value,
        request_bytes: limits.request_bytes.value,
        response_bytes: limits.response_bytes.value,
        kv_bytes: limits.kv_bytes.value,
    }
}

/// Reads a key from where the settings say, when it is needed.
struct KeyAt {
    source: KeySource,
    environment: harness_config::Environment,
}

impl KeyProvider for KeyAt {
    fn key(&self) -> Result<Option<ApiKey>, KeyError> {
        let secret = self.source.read_key(&self.environment, &SystemKeyring);
        secret.map(|secret| Some(ApiKey::new(secret.expose()))).map_err(|error| KeyError(crate::failure::chain(&error)))
    }
}

/// A key that is not there: says which variable would hold it.
struct KeyMissing {
    variable: String,
}

impl KeyProvider for KeyMissing {
    fn key(&self) -> Result<Option<ApiKey>, KeyError> {
        Err(KeyError(format!(
            "no API key: set {} or name a key-file or keyring entry in the configuration",
            self.variable
        )))
    }
}

fn providers(settings: &Settings) -> Vec<ProviderConfig> {
    let resolved = &settings.resolved;
    let provider = |(name, provider): (&String, &harness_config::Provider)| {
        let key: Option<Arc<dyn KeyProvider>> = match &provider.key {
            ProviderKey::NotNeeded => None,
            ProviderKey::Missing { variable } => Some(Arc::new(KeyMissing { variable: variable.value.clone() })),
            ProviderKey::In(source) => {
                Some(Arc::new(KeyAt { source: source.value.clone(), environment: settings.environment.clone() }))
            }
        };
        let of_this = resolved.models.iter().filter(|(model, _)| model.provider == *name);
        let prices: BTreeMap<String, Price> = of_this
            .filter_map(|(model, facts)| Some((model.name.clone(), price(&facts.price.as_ref()?.value)?)))
            .collect();
        ProviderConfig {
            name: name.clone(),
            wire: match provider.wire.value {
                ConfigWire::Anthropic => Wire::Anthropic,
                ConfigWire::OpenaiChat => Wire::OpenAiChat,
                ConfigWire::OpenaiResponses => Wire::OpenAiResponses,
                ConfigWire::Offline => Wire::Offline,
            },
            base_url: provider.base_url.as_ref().map(|url| url.value.clone()).unwrap_or_default(),
            key,
            prices,
        }
    };
    resolved.providers.iter().map(provider).collect()
}

/// A price is of use only with both of its main parts.
fn price(price: &ConfigPrice) -> Option<Price> {
    Some(Price {
        input: price.input?,
        cached_input: price.cached_input,
        cache_write: price.cache_write,
        output: price.output?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{self, Said};

    #[test]
    fn the_two_tables_of_default_limits_agree() {
        let settings = settings::read(&Said::default(), None).unwrap();
        assert_eq!(call_limits(&settings), CallLimits::DEFAULT);
    }
}
