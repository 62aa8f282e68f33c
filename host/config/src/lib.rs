//! Settings of harness-host: files, environment and flags in; one resolved value with its source
//! for every setting out.
//!
//! Promise: unknown keys, wrong types and values out of range are errors that name file, line and
//! key, and all problems of all layers are reported together. A project's configuration that nobody
//! trusted can only narrow. No API key is ever part of a resolved configuration, only the place
//! where it is kept. Nothing here reads the process environment except [`Environment::from_process`].
//!
//! Layers, weakest first: built-in, machine, user, project, environment, flags.
//!
//! Not here: asking people (the CLI), opening a keyring (the CLI, through [`Keyring`]), judging
//! calls by the rules (the engine), talking to providers (harness-model).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod budget;
mod ceiling;
mod check;
mod components;
mod edit;
mod environment;
mod file;
mod flags;
mod key;
mod layer;
mod limits;
mod meaning;
mod model;
mod narrow;
mod ollama_host;
mod paths;
mod problem;
mod provider;
mod raw;
mod resolve;
mod rule;
mod schema;
mod secret;
mod show;
mod source;
mod suggest;
mod trust;
mod words;

pub use budget::{Budget, Budgets};
pub use components::{
    ComponentList, ComponentLists, GrantLine, InstalledComponent, WrittenComponent, read_components,
    read_project_components, read_usable_components,
};
pub use edit::{ComponentsEdit, EditError};
pub use environment::Environment;
pub use file::CONFIG_FILE_BYTES_MAX;
pub use flags::{BudgetFlags, BudgetValue, Flags, session_budget_fault};
pub use key::{KEY_FILE_BYTES_MAX, KeySource, Keyring, KeyringEntry, KeyringError, NoKeyring, ReadKeyError};
pub use limits::{ToolLimits, TurnLimits};
pub use model::{ModelChoice, ModelFacts, ModelRef, NoModelChosen, ParseModelRefError, Price};
pub use narrow::{Withheld, WithheldReason};
pub use paths::{ComponentPlaces, ConfigFiles, MACHINE_CONFIG_PATH, Paths, PathsError};
pub use problem::{ConfigProblems, Fault, Problem};
pub use provider::{Provider, ProviderKey};
pub use resolve::{Inputs, ProjectConfig, Resolved, Storage, Ui, resolve};
pub use rule::Rule;
pub use schema::json_schema;
pub use secret::SecretString;
pub use show::{ShownValue, show};
pub use source::{Source, Sourced};
pub use suggest::nearest;
pub use trust::{ConfigDigest, ReadTrustError, Trust, TrustStore, WriteTrustError};
pub use words::{Approve, Category, Color, ParseWordError, RuleVerdict, Wire};
