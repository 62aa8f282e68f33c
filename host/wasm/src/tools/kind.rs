//! What kind of component it is: by the contract it exports.
//!
//! Promise: a contract of a version that this host does not know is refused with both versions named.

use crate::clean::clean_and_cut;
use crate::link::{TOOL_INTERFACE, is_compatible};

/// Where a tool goes on after it needed something (wit/tool).
const RESUMABLE_INTERFACE: &str = "harness:tool/resumable@0.1.0";
/// Where a component declares its tools by a call (wit/tool).
pub(crate) const DESCRIBE_INTERFACE: &str = "harness:tool/describe@0.1.0";
/// Where a mode says what it is (wit/mode).
const MODE_DESCRIBE_INTERFACE: &str = "harness:mode/describe@0.1.0";
/// Where a mode judges (wit/mode).
const JUDGE_INTERFACE: &str = "harness:mode/judge@0.1.0";
/// Where hooks are run (wit/mode).
const HOOKS_INTERFACE: &str = "harness:mode/hooks@0.1.0";
/// The packages of all contracts.
const CONTRACTS: [&str; 2] = ["harness:tool/", "harness:mode/"];
/// An export's name inside an error, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// How a component is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// By `harness:tool/tool`.
    Tool,
    /// By `harness:tool/resumable`: it may need a person's answer or another tool before it can go on.
    Resumable,
    /// By its exported functions.
    Plain,
    /// By `harness:mode/judge`: it judges what others want to do, and is no tool.
    Mode,
    /// The same, and by `harness:mode/hooks`.
    ModeWithHooks,
    /// By `harness:mode/hooks` alone.
    Hooks,
}

impl Kind {
    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Resumable => "resumable tool",
            Self::Plain => "plain component",
            Self::Mode => "mode",
            Self::ModeWithHooks => "mode with hooks",
            Self::Hooks => "set of hooks",
        }
    }

    /// Whether it judges or takes part, without any capability, instead of offering tools.
    pub const fn is_policy(self) -> bool {
        matches!(self, Self::Mode | Self::ModeWithHooks | Self::Hooks)
    }

    /// Whether it judges.
    pub(crate) const fn judges(self) -> bool {
        matches!(self, Self::Mode | Self::ModeWithHooks)
    }

    /// Whether it has hooks.
    pub(crate) const fn has_hooks(self) -> bool {
        matches!(self, Self::ModeWithHooks | Self::Hooks)
    }
}

/// A contract that this host does not know.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    /// What is exported.
    pub(super) found: String,
    /// What this host calls.
    pub(super) known: &'static str,
}

/// The kind of a component with these exports, and under which name it can be asked for its tools.
pub(super) fn kind<'a>(exports: &[&'a str]) -> Result<(Kind, Option<&'a str>), Unknown> {
    let known = [TOOL_INTERFACE, RESUMABLE_INTERFACE, DESCRIBE_INTERFACE];
    let [tool, resumable, describe] = known.map(|interface| exports.iter().find(|export| is(export, interface)));
    let kind = match (tool, resumable) {
        (Some(_), _) => Kind::Tool,
        (None, Some(_)) => Kind::Resumable,
        (None, None) => Kind::Plain,
    };
    // One that is known is enough: a component may serve several versions of a contract.
    let is_contract = |export: &&&str| CONTRACTS.iter().any(|package| export.starts_with(package));
    match (kind, exports.iter().find(is_contract)) {
        (Kind::Plain, Some(other)) if other.starts_with("harness:mode/") => Ok((policy(exports)?, None)),
        (Kind::Plain, Some(other)) => Err(unknown(other, known.into_iter().find(|it| is_same(other, it)))),
        _ => Ok((kind, describe.copied())),
    }
}

/// The kind of a component that exports something of the modes' contract, and no tool.
fn policy(exports: &[&str]) -> Result<Kind, Unknown> {
    let known = [MODE_DESCRIBE_INTERFACE, JUDGE_INTERFACE, HOOKS_INTERFACE];
    let found = known.map(|interface| exports.iter().find(|export| is(export, interface)));
    // A hook of another version would never run, and a judge never judge: nothing of the contract is left out silently.
    for (interface, found) in known.into_iter().zip(found) {
        let other = exports.iter().find(|export| is_same(export, interface));
        if let (None, Some(other)) = (found, other) {
            return Err(unknown(other, Some(interface)));
        }
    }
    let name = |export: Option<&&str>| export.copied().unwrap_or("harness:mode/?").to_owned();
    match found {
        [Some(_), Some(_), None] => Ok(Kind::Mode),
        [Some(_), Some(_), Some(_)] => Ok(Kind::ModeWithHooks),
        [None, None, Some(_)] => Ok(Kind::Hooks),
        [None, judge @ Some(_), _] => Err(unknown(&name(judge), Some(MODE_DESCRIBE_INTERFACE))),
        [describe, None, _] => {
            let other = exports.iter().find(|export| export.starts_with("harness:mode/"));
            Err(unknown(&name(describe.or(other)), Some(JUDGE_INTERFACE)))
        }
    }
}

fn unknown(export: &str, known: Option<&'static str>) -> Unknown {
    let found = format!("`{}`", clean_and_cut(export.as_bytes(), NAME_BYTES_MAX));
    Unknown { found, known: known.unwrap_or(TOOL_INTERFACE) }
}

/// Whether both are the same interface, of whatever version.
fn is_same(export: &str, interface: &str) -> bool {
    export.split('@').next() == interface.split('@').next()
}

fn is(export: &str, interface: &str) -> bool {
    let (name, version) = interface.split_once('@').unwrap_or((interface, ""));
    export.split_once('@').is_some_and(|(found, wanted)| found == name && is_compatible(wanted, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_decides() {
        const DESCRIBE: &str = MODE_DESCRIBE_INTERFACE;
        let table: [(&[&str], Result<Kind, &str>); 17] = [
            (&["harness:tool/tool@0.1.0"], Ok(Kind::Tool)),
            (&["harness:tool/tool@0.1.7", "x"], Ok(Kind::Tool)),
            (&["harness:tool/resumable@0.1.0"], Ok(Kind::Resumable)),
            (&["harness:tool/resumable@0.1.0", "harness:tool/tool@0.1.0"], Ok(Kind::Tool)),
            (&["a:b/c@0.1.0"], Ok(Kind::Plain)),
            (&["harness:tool/tool@0.2.0"], Err(TOOL_INTERFACE)),
            (&["harness:tool/resumable@1.0.0"], Err(RESUMABLE_INTERFACE)),
            (&["harness:tool/tool@0.2.0", "harness:tool/tool@0.1.0"], Ok(Kind::Tool)),
            (&[DESCRIBE, JUDGE_INTERFACE], Ok(Kind::Mode)),
            (&[DESCRIBE, "harness:mode/judge@0.1.4", HOOKS_INTERFACE, "a:b/c@0.1.0"], Ok(Kind::ModeWithHooks)),
            (&[HOOKS_INTERFACE], Ok(Kind::Hooks)),
            (&[DESCRIBE, "harness:mode/judge@0.2.0"], Err(JUDGE_INTERFACE)),
            (&[DESCRIBE, JUDGE_INTERFACE, "harness:mode/hooks@1.0.0"], Err(HOOKS_INTERFACE)),
            (&[JUDGE_INTERFACE], Err(DESCRIBE)),
            (&[DESCRIBE, HOOKS_INTERFACE], Err(JUDGE_INTERFACE)),
            (&["harness:mode/other@0.1.0"], Err(JUDGE_INTERFACE)),
            (&["harness:tool/tool@0.1.0", DESCRIBE, JUDGE_INTERFACE], Ok(Kind::Tool)),
        ];
        for (exports, expected) in table {
            let found = kind(exports).map(|(kind, _)| kind);
            assert_eq!(found.as_ref().map_err(|unknown| unknown.known), expected.as_ref().map_err(|it| *it));
        }
    }
}
