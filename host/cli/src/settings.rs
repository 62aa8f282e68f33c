//! From the command line, the environment and files to the settings of one command.
//!
//! Promise: what is wrong is told with file, line and key; what an untrusted project asked for and did
//! not get is told too. Keys are read only when a provider is asked.

use crate::args::{ApproveWord, Cli, ColorWhen};
use crate::failure::Failure;
use harness_config::{
    Approve, Color, ConfigFiles, Environment, Flags, Inputs, KeySource, Keyring, KeyringEntry, KeyringError, Paths,
    ProviderKey, Resolved, SecretString, TrustStore, resolve,
};
use harness_core::event::TurnLimits;
use harness_core::verdict::Rule;
use harness_core::{ApproveMode, ModelRef};
use std::path::{Path, PathBuf};

/// The settings of one command.
pub(crate) struct Settings {
    pub(crate) environment: Environment,
    pub(crate) paths: Paths,
    pub(crate) resolved: Resolved,
}

/// What the command line says about settings.
#[derive(Default)]
pub(crate) struct Said {
    flags: Flags,
}

impl Said {
    pub(crate) fn from_cli(cli: &Cli) -> Self {
        let color = cli.color.map(|when| match when {
            ColorWhen::Auto => Color::Auto,
            ColorWhen::Always => Color::Always,
            ColorWhen::Never => Color::Never,
        });
        Self { flags: Flags { color, set: cli.set.clone(), ..Flags::default() } }
    }

    pub(crate) fn with_run(mut self, model: Option<String>, approve: Option<ApproveWord>, steps: Option<u64>) -> Self {
        self.flags.model = model;
        self.flags.max_steps = steps;
        self.flags.approve = approve.map(|word| match word {
            ApproveWord::Ask => Approve::Ask,
            ApproveWord::Edits => Approve::Edits,
            ApproveWord::All => Approve::All,
            ApproveWord::None => Approve::None,
        });
        self
    }
}

/// The folder to work in, as an absolute path without links.
pub(crate) fn workspace_folder(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let given = given.unwrap_or_else(|| Path::new("."));
    let found = std::fs::canonicalize(given)
        .map_err(|error| Failure::usage(format!("the workspace {} cannot be opened: {error}", given.display())))?;
    if found.to_str().is_none() {
        return Err(Failure::usage(format!(
            "the workspace {} has a path that is not UTF-8: rename it",
            found.display()
        )));
    }
    if !found.is_dir() {
        return Err(Failure::usage(format!("the workspace {} is not a folder", found.display())));
    }
    Ok(found)
}

/// Reads all settings for a workspace.
pub(crate) fn read(said: &Said, workspace: Option<&Path>) -> Result<Settings, Failure> {
    let environment = Environment::from_process();
    let paths = Paths::from_environment(&environment).map_err(|error| Failure::usage(error.to_string()))?;
    let trust =
        TrustStore::read(&paths.state_dir).map_err(|error| Failure::because("reading what is trusted", &error))?;
    let files = ConfigFiles::usual(&paths, workspace);
    let inputs = Inputs { files: &files, environment: &environment, flags: &said.flags, paths: &paths, trust: &trust };
    let resolved = resolve(&inputs).map_err(|problems| Failure::usage(problems.to_string()))?;
    Ok(Settings { environment, paths, resolved })
}

impl Settings {
    /// What is trusted now.
    pub(crate) fn trust(&self) -> Result<TrustStore, Failure> {
        TrustStore::read(&self.paths.state_dir).map_err(|error| Failure::because("reading what is trusted", &error))
    }

    /// The model that was chosen, and why.
    pub(crate) fn model(&self) -> Result<(ModelRef, String), Failure> {
        let chosen = self.resolved.model.chosen().map_err(|error| Failure::usage(error.to_string()))?;
        let model = ModelRef { provider: chosen.value.provider.clone(), name: chosen.value.name.clone() };
        if !self.resolved.providers.contains_key(&model.provider) {
            let known: Vec<&str> = self.resolved.providers.keys().map(String::as_str).collect();
            return Err(Failure::usage(format!(
                "there is no provider `{}`; there are: {}. Add [providers.{}] to the configuration or choose one of them",
                model.provider,
                known.join(", "),
                model.provider
            )));
        }
        Ok((model, chosen.source.to_string()))
    }

    /// Where the key of a provider is, in words; none if it has none.
    pub(crate) fn key_place(&self, provider: &str) -> Option<String> {
        match &self.resolved.providers.get(provider)?.key {
            ProviderKey::In(source) => Some(source.value.to_string()),
            ProviderKey::NotNeeded | ProviderKey::Missing { .. } => None,
        }
    }

    /// How much the person wants to be asked.
    pub(crate) fn approve(&self) -> ApproveMode {
        match self.resolved.approve.value {
            Approve::None => ApproveMode::None,
            Approve::Ask => ApproveMode::Ask,
            Approve::Edits => ApproveMode::Edits,
            Approve::All => ApproveMode::All,
        }
    }

    /// What limits a turn.
    pub(crate) fn turn_limits(&self) -> TurnLimits {
        let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        TurnLimits {
            steps_max: number(self.resolved.max_steps.value),
            output_tokens_max: Some(number(self.resolved.limits.model_output_tokens_max.value)),
            // The setting counts repetitions, the core attempts.
            retry_attempts_max: number(self.resolved.limits.retry_attempts_max.value).saturating_add(1),
        }
    }

    /// The longest response a model gives, where the configuration knows it.
    pub(crate) fn output_tokens_max(&self, model: &ModelRef) -> Option<u32> {
        let mut known = self.resolved.models.iter();
        let (_, facts) = known.find(|(known, _)| known.provider == model.provider && known.name == model.name)?;
        facts.output_tokens_max.as_ref().map(|limit| u32::try_from(limit.value).unwrap_or(u32::MAX))
    }

    /// Files that hold keys and secrets, with words for them.
    pub(crate) fn key_files(&self) -> Vec<(PathBuf, String)> {
        let keys = self.resolved.providers.values().map(|provider| &provider.key);
        let places = keys.chain(self.resolved.secrets.values()).filter_map(|key| match key {
            ProviderKey::In(place) => Some(&place.value),
            ProviderKey::NotNeeded | ProviderKey::Missing { .. } => None,
        });
        places
            .filter_map(|place| match place {
                KeySource::File(path) => Some((path.clone(), format!("key {place}"))),
                KeySource::Environment(_) | KeySource::Keyring(_) => None,
            })
            .collect()
    }

    /// The user's rules.
    pub(crate) fn rules(&self) -> Vec<Rule> {
        self.resolved.rules.iter().map(|rule| rule.value.to_core(&rule.source)).collect()
    }

    /// Directories that no guest may see, wherever the workspace is.
    pub(crate) fn own_folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![
            self.resolved.storage.state_dir.value.clone(),
            self.paths.state_dir.clone(),
            self.paths.cache_dir.clone(),
            self.paths.config_dir.clone(),
        ];
        folders.dedup();
        folders
    }
}

/// The system's keyring.
#[derive(Clone, Copy)]
pub(crate) struct SystemKeyring;

impl Keyring for SystemKeyring {
    fn read(&self, entry: &KeyringEntry) -> Result<Option<SecretString>, KeyringError> {
        let words = |error: keyring::Error| KeyringError { message: error.to_string() };
        let found = keyring::Entry::new(&entry.service, &entry.account).map_err(words)?;
        match found.get_password() {
            Ok(secret) => Ok(Some(SecretString::new(secret))),
            Err(keyring::Error::NoEntry) => Ok(None),
            Err(error) => Err(words(error)),
        }
    }
}
