//! The interfaces this host has for components: name, version, and what each is good for, in words for people.
//!
//! Promise: the one table. What links (`link`), what is refused with both versions named, and what a person is
//! told a component could do (`inspect`) all come from it.
//!
//! Not here: what stands behind an interface (`link`, `wasi`, `filesystem`), who may use it (grants).

use harness_core::grant::Capability;

/// The version of WASI that is linked (github.com/WebAssembly/WASI, 0.2).
const WASI: &str = "0.2.12";
/// The version of the host's own interfaces (wit/host).
const HOST: &str = "0.1.0";
/// The version of the tools' contract (wit/tool).
const TOOL: &str = "0.1.0";

/// The version of the modes' contract (wit/mode).
const MODE: &str = "0.1.0";

/// What an interface lets a component do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Power {
    /// Reading and changing files, in granted folders.
    Files,
    /// HTTP requests, to granted hosts.
    Requests,
    /// Values that outlast a call, in granted scopes.
    Kv,
    /// Secrets in requests, where granted.
    Secrets,
    /// Reading granted variables of the environment.
    Environment,
    /// Writing notes to the call's log.
    Log,
    /// Telling how far it has come.
    Progress,
    /// Reading the clock.
    Clock,
    /// Random numbers.
    Random,
    /// Linked and always refused.
    Sockets,
    /// What the others are written with: types, streams, errors, ending itself.
    Plumbing,
}

impl Power {
    /// All of them, in the order people read them.
    pub(crate) const ALL: &[Self] = &[
        Self::Files,
        Self::Requests,
        Self::Kv,
        Self::Secrets,
        Self::Environment,
        Self::Log,
        Self::Progress,
        Self::Clock,
        Self::Random,
        Self::Sockets,
        Self::Plumbing,
    ];

    /// What a component with this power could do.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Files => "read and change files in folders it is granted; changes are staged and judged first",
            Self::Requests => "send HTTP requests to hosts it is granted",
            Self::Kv => "keep values of its own from call to call, in scopes it is granted",
            Self::Secrets => "have secrets it is granted put into its requests; it never reads them",
            Self::Environment => "read environment variables it is granted",
            Self::Log => "write notes to the call's log, its standard output and its standard error",
            Self::Progress => "tell how far a call has come",
            Self::Clock => "read the clock, in milliseconds, and wait within its deadline",
            Self::Random => "get random numbers",
            Self::Sockets => "open sockets and look up names",
            Self::Plumbing => "end itself and pass bytes between the interfaces above",
        }
    }

    /// Whether a grant is needed before anything happens.
    pub(crate) const fn needs_grant(self) -> bool {
        matches!(self, Self::Files | Self::Requests | Self::Kv | Self::Secrets | Self::Environment)
    }

    /// The power that a capability is part of; none where it comes by no interface.
    pub(crate) const fn of(capability: &Capability) -> Option<Self> {
        match capability {
            Capability::Filesystem { .. } => Some(Self::Files),
            Capability::Http(_) => Some(Self::Requests),
            Capability::Secret(_) => Some(Self::Secrets),
            Capability::Env { .. } => Some(Self::Environment),
            Capability::Kv { .. } => Some(Self::Kv),
            Capability::Tool { .. } | Capability::Question | Capability::Limit { .. } => None,
        }
    }
}

/// One interface that the host has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offered {
    /// Its name, without the version.
    pub(crate) name: &'static str,
    /// Its version.
    pub(crate) version: &'static str,
    /// What it lets a component do.
    pub(crate) power: Power,
}

const fn row(name: &'static str, version: &'static str, power: Power) -> Offered {
    Offered { name, version, power }
}

/// All interfaces.
pub(crate) const OFFERED: &[Offered] = &[
    row("harness:host/kv", HOST, Power::Kv),
    row("harness:host/log", HOST, Power::Log),
    row("harness:host/progress", HOST, Power::Progress),
    row("harness:host/secrets", HOST, Power::Secrets),
    row("harness:mode/types", MODE, Power::Plumbing),
    row("harness:tool/types", TOOL, Power::Plumbing),
    row("wasi:cli/environment", WASI, Power::Environment),
    row("wasi:cli/exit", WASI, Power::Plumbing),
    row("wasi:cli/stderr", WASI, Power::Log),
    row("wasi:cli/stdin", WASI, Power::Plumbing),
    row("wasi:cli/stdout", WASI, Power::Log),
    row("wasi:cli/terminal-input", WASI, Power::Plumbing),
    row("wasi:cli/terminal-output", WASI, Power::Plumbing),
    row("wasi:cli/terminal-stderr", WASI, Power::Plumbing),
    row("wasi:cli/terminal-stdin", WASI, Power::Plumbing),
    row("wasi:cli/terminal-stdout", WASI, Power::Plumbing),
    row("wasi:clocks/monotonic-clock", WASI, Power::Clock),
    row("wasi:clocks/wall-clock", WASI, Power::Clock),
    row("wasi:filesystem/preopens", WASI, Power::Files),
    row("wasi:filesystem/types", WASI, Power::Files),
    row("wasi:http/outgoing-handler", WASI, Power::Requests),
    row("wasi:http/types", WASI, Power::Plumbing),
    row("wasi:io/error", WASI, Power::Plumbing),
    row("wasi:io/poll", WASI, Power::Plumbing),
    row("wasi:io/streams", WASI, Power::Plumbing),
    row("wasi:random/insecure", WASI, Power::Random),
    row("wasi:random/insecure-seed", WASI, Power::Random),
    row("wasi:random/random", WASI, Power::Random),
    row("wasi:sockets/instance-network", WASI, Power::Sockets),
    row("wasi:sockets/ip-name-lookup", WASI, Power::Sockets),
    row("wasi:sockets/network", WASI, Power::Sockets),
    row("wasi:sockets/tcp", WASI, Power::Sockets),
    row("wasi:sockets/tcp-create-socket", WASI, Power::Sockets),
    row("wasi:sockets/udp", WASI, Power::Sockets),
    row("wasi:sockets/udp-create-socket", WASI, Power::Sockets),
];

/// The interface of a name, given without its version.
pub(crate) fn find(name: &str) -> Option<&'static Offered> {
    OFFERED.iter().find(|offered| offered.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interface_is_there_once_and_in_order() {
        assert!(OFFERED.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}
