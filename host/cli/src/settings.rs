//! From the command line, the environment and files to the settings of one command.
//!
//! Promise: what is wrong is told with file, line and key; what an untrusted project asked for and did
//! not get is told too. Keys are read only when a provider is asked.

use crate::args::{ApproveWord, Cli, ColorWhen, RunArgs};
use crate::failure::Failure;
use harness_config::{
    Approve, BudgetFlags, Color, ConfigFiles, ConfigProblems, Environment, Flags, Inputs, KeySource, Keyring,
    KeyringEntry, KeyringError, Paths, ProviderKey, Resolved, SecretString, Source, Sourced, TrustStore, resolve,
};
use harness_core::budget::{Budget, Price};
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

    /// With what `run` says.
    pub(crate) fn with_run(self, args: &RunArgs) -> Self {
        let mut said = self.with_judging(args.mode.clone(), args.approve);
        said.flags.model.clone_from(&args.model);
        said.flags.max_steps = args.max_steps;
        let it = &args.budgets;
        said.flags.turn_budget = BudgetFlags {
            tokens: it.max_tokens,
            cost_usd: it.max_cost,
            work_seconds: it.max_work,
            fuel: it.max_fuel,
            calls: it.max_calls,
        };
        said.flags.session_budget = BudgetFlags {
            tokens: it.budget_tokens,
            cost_usd: it.budget_cost,
            work_seconds: it.budget_work,
            fuel: it.budget_fuel,
            calls: it.budget_calls,
        };
        said
    }

    /// With what decides how calls are judged.
    pub(crate) fn with_judging(mut self, mode: Option<String>, approve: Option<ApproveWord>) -> Self {
        self.flags.mode = mode;
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
    read_or_problems(said, workspace)?.map_err(|problems| Failure::usage(problems.to_string()))
}

/// The same, with what is wrong in files, variables and flags apart from what failed.
pub(crate) fn read_or_problems(
    said: &Said,
    workspace: Option<&Path>,
) -> Result<Result<Settings, ConfigProblems>, Failure> {
    let environment = Environment::from_process();
    let paths = Paths::from_environment(&environment).map_err(|error| Failure::usage(error.to_string()))?;
    let trust =
        TrustStore::read(&paths.state_dir).map_err(|error| Failure::because("reading what is trusted", &error))?;
    let files = ConfigFiles::usual(&paths, workspace);
    let inputs = Inputs { files: &files, environment: &environment, flags: &said.flags, paths: &paths, trust: &trust };
    Ok(resolve(&inputs).map(|resolved| Settings { environment, paths, resolved }))
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
            budget: self.resolved.budgets.turn.to_core(),
        }
    }

    /// What a new session may spend.
    pub(crate) fn session_budget(&self) -> Budget {
        self.resolved.budgets.session.to_core()
    }

    /// What a session may spend whose budget was this, where flags say something else.
    pub(crate) fn changed_budget(&self, before: Budget) -> Option<Budget> {
        let said = &self.resolved.budgets.session;
        let value = |limit: &Option<Sourced<u64>>, before: Option<u64>| {
            let flag = limit.as_ref().filter(|limit| matches!(limit.source, Source::Flag(_)));
            flag.map(|limit| limit.value).or(before)
        };
        let after = Budget {
            tokens: value(&said.tokens, before.tokens),
            cost_micro_usd: value(&said.cost_micro_usd, before.cost_micro_usd),
            work_ms: value(&said.work_ms, before.work_ms),
            fuel: value(&said.fuel, before.fuel),
            calls: value(&said.calls, before.calls),
            steps: value(&said.steps, before.steps),
        };
        (after != before).then_some(after)
    }

    /// What the tokens of a model cost, where the configuration knows it.
    pub(crate) fn price(&self, model: &ModelRef) -> Option<Price> {
        let mut known = self.resolved.models.iter();
        let (_, facts) = known.find(|(known, _)| known.provider == model.provider && known.name == model.name)?;
        let price = &facts.price.as_ref()?.value;
        let micro = |usd: f64| (usd * 1_000_000.0).round().max(0.0) as u64;
        // What is set aside has to suffice where all of a request is written to the provider's cache.
        let input = price.input?.max(price.cache_write.unwrap_or_default());
        Some(Price { input_micro_usd: micro(input), output_micro_usd: micro(price.output?) })
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
