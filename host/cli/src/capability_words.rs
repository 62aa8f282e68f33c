//! Capabilities in plain words, for a person who decides about them.
//!
//! Promise: every capability says what it lets a component do and not more than that; names and paths that a
//! component chose are cleaned.

use crate::paint::one_line;
use harness_core::grant::{AccessKind, Capability, Methods, Scope, SecretPlace};

/// A text that a component chose is shown up to this many characters.
const TEXT_CHARS_MAX: usize = 200;

/// What a capability lets a component do: the rest of a sentence that begins with "it may".
pub(crate) fn in_words(capability: &Capability) -> String {
    let words = match capability {
        Capability::Filesystem { access: AccessKind::Read, path } => format!("read files in {path}"),
        Capability::Filesystem { access: AccessKind::Write, path } => {
            format!("read files in {path}, and change them: staged, shown and judged first")
        }
        Capability::Http(scope) => {
            let methods = match &scope.methods {
                Methods::Any => "requests of any method".to_owned(),
                Methods::Only(methods) => format!("{} requests", methods.join(" and ")),
            };
            let text = capability.to_string();
            let rest = text.splitn(3, ' ').nth(2).unwrap_or_default();
            format!("send {methods} to {rest}")
        }
        Capability::Secret(secret) => {
            let place = match &secret.place {
                SecretPlace::Header(field) => format!("the header {field}"),
                SecretPlace::Query(field) => format!("the query's {field}"),
            };
            format!("use your secret {} in {place} of requests to {}, without reading it", secret.name, secret.host)
        }
        Capability::Env { name, value: None } => format!("read the environment variable {name}"),
        Capability::Env { name, value: Some(_) } => format!("read the environment variable {name} as it is given"),
        Capability::Kv { access, scope } => {
            let verb = if *access == AccessKind::Read { "read" } else { "keep" };
            format!("{verb} values of its own {}", reach(*scope))
        }
        Capability::Tool { name } => format!("have the tool {name} called, as far as both are allowed"),
        Capability::Question => "ask you questions".to_owned(),
        Capability::Limit { limit, maximum } => format!("use no more than {maximum} of {}", limit.name()),
    };
    one_line(&words, TEXT_CHARS_MAX)
}

fn reach(scope: Scope) -> &'static str {
    match scope {
        Scope::Turn => "for a turn",
        Scope::Session => "for a session",
        Scope::Workspace => "across sessions in a folder",
        Scope::Agent => "across sessions of an agent",
        Scope::Principal => "across all your sessions",
        Scope::Tenant | Scope::Global => "for everybody on this host",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_says_what_it_lets_happen() {
        for (text, expected) in [
            ("filesystem read /workspace/src", "read files in /workspace/src"),
            ("http GET,POST https://*.example.com/v1", "send GET and POST requests to https://*.example.com/v1"),
            ("http * https://example.com", "send requests of any method to https://example.com"),
            (
                "secret forge api.example.com header authorization",
                "use your secret forge in the header authorization of requests to api.example.com, without reading it",
            ),
            ("env LANG", "read the environment variable LANG"),
            ("kv write principal", "keep values of its own across all your sessions"),
            ("tool grep", "have the tool grep called, as far as both are allowed"),
            ("question", "ask you questions"),
            ("limit fuel 1000", "use no more than 1000 of fuel"),
        ] {
            assert_eq!(in_words(&text.parse().unwrap()), expected, "{text}");
        }
    }
}
