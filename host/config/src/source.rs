//! Where a value came from.
//!
//! Promise: every resolved value carries its source, and sources compare by strength.
//!
//! Not here: choosing between layers (`resolve`).

use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// The layer that gave a value, with the place inside it that a person would edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "layer", content = "at", rename_all = "kebab-case")]
pub enum Source {
    /// The defaults that are part of the program.
    BuiltIn,
    /// The machine's file, which the operator writes.
    Machine(PathBuf),
    /// The user's file.
    User(PathBuf),
    /// The workspace's file, which a team shares.
    Project(PathBuf),
    /// An environment variable, by name.
    Environment(String),
    /// A command line flag, with its dashes.
    Flag(String),
}

impl Source {
    /// Strength of the layer: a value of a higher one replaces a value of a lower one.
    pub(crate) const fn strength(&self) -> u8 {
        match self {
            Self::BuiltIn => 0,
            Self::Machine(_) => 1,
            Self::User(_) => 2,
            Self::Project(_) => 3,
            Self::Environment(_) => 4,
            Self::Flag(_) => 5,
        }
    }

    /// One word for the layer, as used in the ids of rules that have none of their own.
    pub const fn layer_name(&self) -> &'static str {
        match self {
            Self::BuiltIn => "built-in",
            Self::Machine(_) => "machine",
            Self::User(_) => "user",
            Self::Project(_) => "project",
            Self::Environment(_) => "environment",
            Self::Flag(_) => "flag",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in"),
            Self::Machine(path) | Self::User(path) | Self::Project(path) => {
                write!(f, "{}", path.display())
            }
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// A value together with the layer it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sourced<T> {
    /// The value that holds.
    pub value: T,
    /// Who said so.
    pub source: Source,
}

impl<T> Sourced<T> {
    /// Joins a value and its source.
    pub const fn new(value: T, source: Source) -> Self {
        Self { value, source }
    }
}
