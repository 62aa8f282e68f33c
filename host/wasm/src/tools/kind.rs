//! What kind of component it is: by the contract it exports.
//!
//! Promise: a contract of a version that this host does not know is refused with both versions named.

use crate::clean::clean_and_cut;
use crate::link::{TOOL_INTERFACE, is_compatible};

/// Where a tool goes on after it needed something (wit/tool).
const RESUMABLE_INTERFACE: &str = "harness:tool/resumable@0.1.0";
/// Where a component declares its tools by a call (wit/tool).
pub(crate) const DESCRIBE_INTERFACE: &str = "harness:tool/describe@0.1.0";
/// The package of all contracts.
const CONTRACTS: &str = "harness:tool/";
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
}

impl Kind {
    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Resumable => "resumable tool",
            Self::Plain => "plain component",
        }
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
    if let (Kind::Plain, Some(other)) = (kind, exports.iter().find(|export| export.starts_with(CONTRACTS))) {
        let name = other.split('@').next().unwrap_or(other);
        let same = known.into_iter().find(|interface| interface.split('@').next() == Some(name));
        let found = format!("`{}`", clean_and_cut(other.as_bytes(), NAME_BYTES_MAX));
        return Err(Unknown { found, known: same.unwrap_or(TOOL_INTERFACE) });
    }
    Ok((kind, describe.copied()))
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
        let table: [(&[&str], Result<Kind, &str>); 8] = [
            (&["harness:tool/tool@0.1.0"], Ok(Kind::Tool)),
            (&["harness:tool/tool@0.1.7", "x"], Ok(Kind::Tool)),
            (&["harness:tool/resumable@0.1.0"], Ok(Kind::Resumable)),
            (&["harness:tool/resumable@0.1.0", "harness:tool/tool@0.1.0"], Ok(Kind::Tool)),
            (&["a:b/c@0.1.0"], Ok(Kind::Plain)),
            (&["harness:tool/tool@0.2.0"], Err(TOOL_INTERFACE)),
            (&["harness:tool/resumable@1.0.0"], Err(RESUMABLE_INTERFACE)),
            (&["harness:tool/tool@0.2.0", "harness:tool/tool@0.1.0"], Ok(Kind::Tool)),
        ];
        for (exports, expected) in table {
            let found = kind(exports).map(|(kind, _)| kind);
            assert_eq!(found.as_ref().map_err(|unknown| unknown.known), expected.as_ref().map_err(|it| *it));
        }
    }
}
