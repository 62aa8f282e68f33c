//! What a person allowed for later calls.
//!
//! Promise: an allowance covers what its answer said and no more; one that ends counts for nothing where the time is
//! not known. One written before coverage existed covers its tool within the session, as it did.
//!
//! Not here: where allowances are kept that outlast a session.

use super::{Verdict, VerdictKind, Voice};
use crate::grant::Scope;
use crate::ids::{AllowanceId, Digest, TimeMs};
use crate::item::Category;
use crate::pattern::ArgumentPattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an approval of arguments binds to: the digest of tool and arguments.
pub fn arguments_digest(tool: &str, arguments: &str) -> Digest {
    Digest::of_parts(&[tool.as_bytes(), b"\0", arguments.as_bytes()])
}

/// Which later calls an allowance covers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "covers", rename_all = "snake_case")]
pub enum Coverage {
    /// Calls of the same tool with the same arguments, byte for byte.
    Exact {
        /// See [`arguments_digest`].
        digest: Digest,
    },
    /// Calls of the tool whose arguments a pattern covers whole. An empty pattern covers none.
    Pattern {
        /// The pattern.
        pattern: ArgumentPattern,
    },
    /// All calls of the tool.
    #[default]
    Tool,
    /// All calls of tools of a category.
    Category {
        /// The category.
        category: Category,
    },
}

impl Coverage {
    fn is_tool(&self) -> bool {
        *self == Self::Tool
    }
}

fn session() -> Scope {
    Scope::Session
}

fn is_session(scope: &Scope) -> bool {
    *scope == Scope::Session
}

/// What a person allowed for later calls, as an answer to the ask of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Allowance {
    /// The tool whose call was asked about.
    pub tool: String,
    /// The rule whose ask it answered.
    pub rule: String,
    /// The later calls that it covers.
    #[serde(default, skip_serializing_if = "Coverage::is_tool")]
    pub coverage: Coverage,
    /// How far it holds.
    #[serde(default = "session", skip_serializing_if = "is_session")]
    pub scope: Scope,
    /// When it ends, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<TimeMs>,
}

impl Allowance {
    /// All calls of a tool within the session.
    pub fn of_tool(tool: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { tool: tool.into(), rule: rule.into(), coverage: Coverage::Tool, scope: Scope::Session, until: None }
    }

    /// Its id: the same answer to the same rule's ask, as far and as long, is the same allowance.
    pub fn id(&self) -> AllowanceId {
        // Texts and numbers: nothing that JSON cannot hold.
        let digest = Digest::of(&serde_json::to_vec(self).unwrap_or_default());
        let (bits, _) = digest.0.split_at(16);
        AllowanceId::from_bits(bits.iter().fold(0, |value, byte| (value << 8) | u128::from(*byte)))
    }

    /// Whether it outlasts its session.
    pub fn is_kept(&self) -> bool {
        self.scope > Scope::Session
    }

    /// Whether it has not ended.
    pub fn is_in_force(&self, now: Option<TimeMs>) -> bool {
        self.until.is_none_or(|until| now.is_some_and(|now| now < until))
    }

    pub(super) fn verdict(&self, tool: &str) -> Verdict {
        let what = match &self.coverage {
            Coverage::Tool => tool.to_owned(),
            Coverage::Exact { .. } => format!("{tool} with these arguments"),
            Coverage::Pattern { .. } => format!("such calls of {tool}"),
            Coverage::Category { .. } => format!("tools like {tool}"),
        };
        let within = match self.scope {
            Scope::Turn | Scope::Session | Scope::Workspace | Scope::Agent => format!("in this {}", self.scope.word()),
            Scope::Principal | Scope::Tenant | Scope::Global => format!("for this {}", self.scope.word()),
        };
        Verdict {
            kind: VerdictKind::Allow,
            voice: Voice::Allowance,
            rule: format!("allowance.{}", self.tool),
            words: format!("allowed for {what} {within}, as an answer to {}", self.rule),
        }
    }
}
