//! Capabilities and grants: what a component may touch, in one written form for people, files, log and errors.
//!
//! Promise: a capability's text parses back to the same capability; what is not understood is refused
//! with what was wrong; the meet of two capabilities never allows what one of them does not.
//!
//! Not here: enforcing them (harness-wasm, harness-egress), where they are kept (the log, harness-config).
//!
//! ```text
//! filesystem read|write PATH                     a folder as the component sees it: /workspace, /workspace/src, /scratch
//! http METHODS|* ORIGIN[/PREFIX] [via CIDR,…]    GET,POST https://*.example.com:8443/v1 via 10.0.0.0/8; port `*` is every port
//! secret NAME HOST header|query FIELD            put in by the host, never read by the component
//! env NAME[=VALUE]                               a ceiling names it, a grant gives its value
//! kv read|write SCOPE                            session, principal, agent or global
//! tool NAME                                      may ask the host to call that tool
//! question                                       may ask the person
//! limit NAME NUMBER                              lowers a limit of its calls
//! ```

mod http;
mod parse;

pub use http::{Cidr, HostPattern, HttpScope, Methods, RequestTarget, UrlScheme};
pub use parse::ParseCapabilityError;

use crate::ids::{Digest, GrantId, TimeMs};
use crate::outcome::LimitName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// The length of a capability's text, in bytes.
pub const CAPABILITY_BYTES_MAX: usize = 1 << 10;
/// Capabilities that one component declares or is given.
pub const CAPABILITIES_MAX: usize = 64;
/// What is left of two lists together: what is beyond is not in force.
const MET_CAPABILITIES_MAX: usize = 512;

/// How far something reaches and how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One turn.
    Turn,
    /// One session.
    Session,
    /// All sessions of one folder.
    Workspace,
    /// All sessions of one agent.
    Agent,
    /// All sessions of one person or service.
    Principal,
    /// All sessions of one owner of data.
    Tenant,
    /// Everything on this host.
    Global,
}

impl Scope {
    /// The word for people and files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Turn => "turn",
            Self::Session => "session",
            Self::Workspace => "workspace",
            Self::Agent => "agent",
            Self::Principal => "principal",
            Self::Tenant => "tenant",
            Self::Global => "global",
        }
    }
}

/// Looking, or changing too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessKind {
    /// Looking only.
    Read,
    /// Looking and changing.
    Write,
}

impl AccessKind {
    /// The word for people and files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Where in a request a secret goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretPlace {
    /// In the value of this header, its name in lower case.
    Header(String),
    /// In the value of this field of the query.
    Query(String),
}

/// A secret, where it may go and in what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretScope {
    /// Its name in the configuration.
    pub name: String,
    /// The hosts it may go to, over TLS or to an address of this machine.
    pub host: HostPattern,
    /// Where in the request.
    pub place: SecretPlace,
}

/// A kind of power the host can lend.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Capability {
    /// A folder, as the component sees it.
    Filesystem {
        /// Looking, or changing too. Changes are staged and judged.
        access: AccessKind,
        /// An absolute path without `.`, `..`, empty parts or a slash at its end.
        path: String,
    },
    /// Requests.
    Http(HttpScope),
    /// A secret in requests.
    Secret(SecretScope),
    /// A variable of the environment.
    Env {
        /// Its name.
        name: String,
        /// Its value; none in a ceiling.
        value: Option<String>,
    },
    /// Values that outlast a call.
    Kv {
        /// Looking, or changing too.
        access: AccessKind,
        /// How far they reach: session, principal, agent or global.
        scope: Scope,
    },
    /// Asking the host to call another tool.
    Tool {
        /// The tool.
        name: String,
    },
    /// Asking the person.
    Question,
    /// A lower limit for its calls.
    Limit {
        /// Which.
        limit: LimitName,
        /// Its value, in the unit that its name ends in.
        maximum: u64,
    },
}

impl Capability {
    /// What both allow together; nothing where they have nothing in common.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Filesystem { access: a, path: p }, Self::Filesystem { access: b, path: q }) => {
                let path = if is_within(p, q) { p } else { Some(q).filter(|q| is_within(q, p))? };
                Some(Self::Filesystem { access: *a.min(b), path: path.clone() })
            }
            (Self::Http(a), Self::Http(b)) => a.meet(b).map(Self::Http),
            (Self::Secret(a), Self::Secret(b)) if a.name == b.name && a.place == b.place => {
                let host = a.host.meet(&b.host)?;
                Some(Self::Secret(SecretScope { host, ..a.clone() }))
            }
            (Self::Env { name: a, value: v }, Self::Env { name: b, value: w }) if a == b => match (v, w) {
                (Some(v), Some(w)) if v != w => None,
                _ => Some(Self::Env { name: a.clone(), value: v.clone().or_else(|| w.clone()) }),
            },
            (Self::Kv { access: a, scope: s }, Self::Kv { access: b, scope: t }) if s == t => {
                Some(Self::Kv { access: *a.min(b), scope: *s })
            }
            (Self::Limit { limit: a, maximum: m }, Self::Limit { limit: b, maximum: n }) if a == b => {
                Some(Self::Limit { limit: *a, maximum: *m.min(n) })
            }
            (Self::Tool { name: a }, Self::Tool { name: b }) if a == b => Some(self.clone()),
            (Self::Question, Self::Question) => Some(Self::Question),
            _ => None,
        }
    }

    /// Whether everything that `needed` allows is allowed by this.
    pub fn covers(&self, needed: &Self) -> bool {
        self.meet(needed).is_some_and(|met| met == *needed)
    }
}

/// What a component gets of its grants under its own ceiling. A ceiling knows nothing of addresses: which of those
/// that are not public a name may lead to is for grants alone.
pub fn under_ceiling(granted: &[Capability], ceiling: &[Capability]) -> Vec<Capability> {
    let under = |grant: &Capability| {
        let with_ranges = |most: &Capability| match (most, grant) {
            (Capability::Http(most), Capability::Http(scope)) => {
                Capability::Http(HttpScope { via: scope.via.clone(), ..most.clone() })
            }
            _ => most.clone(),
        };
        meet_all(std::slice::from_ref(grant), &ceiling.iter().map(with_ranges).collect::<Vec<_>>())
    };
    let mut all: Vec<Capability> = Vec::with_capacity(granted.len());
    // A ceiling's limits hold also where nothing was granted.
    let limits = ceiling.iter().filter(|it| matches!(it, Capability::Limit { .. })).cloned();
    for capability in limits.chain(granted.iter().flat_map(under)) {
        if all.len() < MET_CAPABILITIES_MAX && !all.contains(&capability) {
            all.push(capability);
        }
    }
    all
}

/// Everything that both lists allow: the meets of their pairs. Limits are no power: they stay, from both.
pub fn meet_all(a: &[Capability], b: &[Capability]) -> Vec<Capability> {
    let is_limit = |capability: &&Capability| matches!(capability, Capability::Limit { .. });
    let mut met: Vec<Capability> = a.iter().chain(b).filter(is_limit).cloned().collect();
    for x in a.iter().filter(|it| !is_limit(it)) {
        met.extend(b.iter().filter_map(|y| x.meet(y)));
    }
    let mut unique: Vec<Capability> = Vec::with_capacity(met.len());
    for capability in met {
        if unique.len() < MET_CAPABILITIES_MAX && !unique.contains(&capability) {
            unique.push(capability);
        }
    }
    unique
}

/// Whether a path is a folder or lies in it. Both are sound guest paths.
fn is_within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The source of grants that a session gives itself; all others are the configuration's.
pub const SESSION_SOURCE: &str = "session";

/// One capability lent to one component, with scope and end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// The component, by the name it is installed under.
    pub component: String,
    /// What it may do.
    pub capability: Capability,
    /// How long: for the session, or for longer, as its source keeps it.
    pub scope: Scope,
    /// When it ends; none is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<TimeMs>,
    /// Where it was given: `built-in`, `user`, `project`, `session`.
    pub source: String,
}

impl Grant {
    /// A grant for as long as the session lasts, given at `source`.
    pub fn for_session(component: impl Into<String>, capability: Capability, source: impl Into<String>) -> Self {
        Self { component: component.into(), capability, scope: Scope::Session, until: None, source: source.into() }
    }

    /// Its id: the same component and capability from the same source are the same grant.
    pub fn id(&self) -> GrantId {
        let text = self.capability.to_string();
        let digest =
            Digest::of_parts(&[self.component.as_bytes(), b"\0", text.as_bytes(), b"\0", self.source.as_bytes()]);
        let (bits, _) = digest.0.split_at(16);
        GrantId::from_bits(bits.iter().fold(0, |value, byte| (value << 8) | u128::from(*byte)))
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filesystem { access, path } => write!(f, "filesystem {} {path}", access.word()),
            Self::Http(scope) => write!(f, "http {scope}"),
            Self::Secret(SecretScope { name, host, place }) => match place {
                SecretPlace::Header(field) => write!(f, "secret {name} {host} header {field}"),
                SecretPlace::Query(field) => write!(f, "secret {name} {host} query {field}"),
            },
            Self::Env { name, value: None } => write!(f, "env {name}"),
            Self::Env { name, value: Some(value) } => write!(f, "env {name}={value}"),
            Self::Kv { access, scope } => write!(f, "kv {} {}", access.word(), scope.word()),
            Self::Tool { name } => write!(f, "tool {name}"),
            Self::Question => f.write_str("question"),
            Self::Limit { limit, maximum } => write!(f, "limit {} {maximum}", limit.name()),
        }
    }
}

impl Serialize for Capability {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Capability {
    fn schema_name() -> Cow<'static, str> {
        "Capability".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A capability, as one line of text such as `http GET https://example.com`.",
            "type": "string",
            "maxLength": CAPABILITY_BYTES_MAX,
        })
    }
}

#[cfg(test)]
mod tests;
