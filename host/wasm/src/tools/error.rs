//! Why a component is refused before it is loaded.
//!
//! Promise: every text of the component's own is cleaned and cut.

use crate::clean::clean_and_cut;
use crate::limits::COMPONENT_BYTES_MAX;
use crate::link::MissingImport;
use crate::plain::NotOffered;

/// Missing imports that an error names.
const MISSING_SHOWN_MAX: usize = 5;
/// A problem's words, in bytes.
const PROBLEM_BYTES_MAX: usize = 1 << 10;

/// Why a component was refused before it was loaded.
#[derive(Debug, thiserror::Error)]
pub enum ReadComponentError {
    /// Larger than a component may be.
    #[error("component `{name}` has {bytes} bytes, more than {COMPONENT_BYTES_MAX}: make it smaller")]
    TooLarge {
        /// The component.
        name: String,
        /// Its size.
        bytes: usize,
    },
    /// Not WebAssembly, or damaged.
    #[error("component `{name}` is not a valid WebAssembly component: {problem}")]
    Malformed {
        /// The component.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// Its declaration cannot be used.
    #[error("component `{name}` declares its tools wrongly in its section `{}`: {problem}", super::TOOLS_SECTION)]
    Tools {
        /// The component.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// Its manifest cannot be used.
    #[error("component `{name}` has a wrong manifest in its section `{}`: {problem}", super::MANIFEST_SECTION)]
    Manifest {
        /// The component.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// Its exported functions cannot be made tools.
    #[error("component `{name}` exports functions that cannot be read: {problem}")]
    Exports {
        /// The component.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// There is nothing in it to call.
    #[error("component `{name}` has no tools: {}", reasons(not_offered))]
    NoTools {
        /// The component.
        name: String,
        /// What it exports that is none.
        not_offered: Vec<NotOffered>,
    },
    /// It wants what this host does not have.
    #[error("component `{name}` cannot be loaded: {}", shown(missing))]
    Imports {
        /// The component.
        name: String,
        /// What it wants and what there is instead.
        missing: Vec<MissingImport>,
    },
    /// Its types need what this host's engine does not have.
    #[error("component `{name}` cannot be loaded: this host's engine does not have {}", proposals.join(" and "))]
    Proposals {
        /// The component.
        name: String,
        /// The proposals to the component model.
        proposals: Vec<&'static str>,
    },
    /// It is something else than what it is to be used as.
    #[error("component `{name}` is a {found}, not a {wanted}")]
    OtherKind {
        /// The component.
        name: String,
        /// The word for what it is.
        found: &'static str,
        /// The word for what is wanted.
        wanted: &'static str,
    },
    /// What it says of itself as a mode or as hooks cannot be used.
    #[error("component `{name}` says wrongly what it is: {problem}")]
    Policy {
        /// The component.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// It does not export the contract this host knows.
    #[error("component `{name}` exports {found}, this host calls `{known}`: build it for that version")]
    Contract {
        /// The component.
        name: String,
        /// What it exports in its place.
        found: String,
        /// What this host knows.
        known: &'static str,
    },
}

fn shown(missing: &[MissingImport]) -> String {
    let mut words: Vec<_> = missing.iter().take(MISSING_SHOWN_MAX).map(ToString::to_string).collect();
    if missing.len() > MISSING_SHOWN_MAX {
        words.push(format!("and {} more", missing.len() - MISSING_SHOWN_MAX));
    }
    words.join("; ")
}

fn reasons(not_offered: &[NotOffered]) -> String {
    if not_offered.is_empty() {
        return "it exports neither the contract `harness:tool/tool` nor any function".to_owned();
    }
    let shown = not_offered.iter().take(MISSING_SHOWN_MAX).map(|it| format!("`{}`: {}", it.export, it.reason));
    let mut words: Vec<_> = shown.collect();
    if not_offered.len() > MISSING_SHOWN_MAX {
        words.push(format!("and {} more", not_offered.len() - MISSING_SHOWN_MAX));
    }
    words.join("; ")
}

/// A problem as people read it.
pub(super) fn text(problem: String) -> String {
    clean_and_cut(problem.as_bytes(), PROBLEM_BYTES_MAX)
}
