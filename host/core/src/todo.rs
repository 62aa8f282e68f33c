//! The session's own list of what is to be done, kept by the model for itself and the person.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far one thing has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TodoStatus {
    /// Not begun.
    Pending,
    /// Under way.
    InProgress,
    /// Done.
    Done,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Todo {
    /// What, in a few words.
    pub text: String,
    /// How far it has come.
    pub status: TodoStatus,
}
