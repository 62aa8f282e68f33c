//! What can be wrong with a configuration, with the place and the way out.
//!
//! Promise: a problem names its layer, the line where there is one, and the key's full dotted path.
//! No problem repeats a value that could be an API key.
//!
//! Not here: finding problems (`check`, `meaning`, `resolve`).

use crate::source::Source;
use std::fmt;

/// All problems of all layers. Never empty.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigProblems {
    /// In the order of the layers, weakest first, then of the lines.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The layer.
    pub origin: Source,
    /// The line in the layer's file, from 1; none for the environment, flags and whole files.
    pub line: Option<usize>,
    /// The dotted path of the key; empty when the whole layer is meant.
    pub key: String,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.origin)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.fault)
    }
}

/// What is wrong with a key or a file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The file is there and cannot be read.
    #[error("cannot be read: {message}")]
    Unreadable {
        /// The system's words.
        message: String,
    },
    /// The path leads to a directory, a pipe or another thing that is not a file.
    #[error("is not a regular file")]
    NotAFile,
    /// The file is larger than a configuration can be.
    #[error("is larger than {bytes_max} bytes")]
    TooLarge {
        /// The size that is read at most.
        bytes_max: usize,
    },
    /// The file is not text.
    #[error("is not UTF-8 text")]
    NotUtf8,
    /// The file is not TOML.
    #[error("is not TOML: {message}")]
    Syntax {
        /// The parser's words.
        message: String,
    },
    /// There is no such key.
    #[error("unknown key{}", did_you_mean(.suggestion.as_deref()))]
    UnknownKey {
        /// The key that was probably meant.
        suggestion: Option<String>,
    },
    /// Somebody tried to write an API key into a file.
    #[error(
        "API keys are not part of a configuration: name the place instead, with `key-env`, `key-file` or `key-keyring`"
    )]
    KeyInConfig,
    /// Somebody tried to write a secret into a file.
    #[error("secrets are not part of a configuration: name the place instead, with `env`, `file` or `keyring`")]
    SecretInConfig,
    /// The key has a meaning only in the machine's file.
    #[error("only the machine's file may set this")]
    OnlyInMachineFile,
    /// A value of another type.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// The type there should be.
        expected: &'static str,
        /// The type there is.
        found: &'static str,
    },
    /// A word that is not in the list.
    #[error("expected one of {}, found \"{found}\"{}", .expected.join(", "), did_you_mean(.suggestion.as_deref()))]
    NotOneOf {
        /// The word there is, cut to 40 characters.
        found: String,
        /// The words there are to choose from.
        expected: Vec<String>,
        /// The word that was probably meant.
        suggestion: Option<String>,
    },
    /// A number, or the length of a text, that is too small or too large.
    #[error("expected {min} to {max}{unit}, found {found}")]
    OutOfRange {
        /// Empty for a number, else what is counted, with a space before.
        unit: &'static str,
        /// Smallest good value.
        min: String,
        /// Largest good value.
        max: String,
        /// The value there is.
        found: String,
    },
    /// A table lacks something that it needs.
    #[error("`{key}` is missing")]
    Missing {
        /// The key that has to be there.
        key: String,
    },
    /// A value of the right type that does not say anything.
    #[error("expected {expected}")]
    Invalid {
        /// What there should be, in words.
        expected: String,
    },
    /// A pattern that cannot be read.
    #[error("{message}")]
    BadPattern {
        /// What is wrong with it.
        message: String,
    },
    /// An example that its rule does not judge as it says.
    #[error("{message}")]
    Example {
        /// The example, and what the rule makes of it.
        message: String,
    },
    /// Two keys that exclude each other.
    #[error("`{key}` and `{other}` exclude each other: keep one")]
    Exclusive {
        /// The one.
        key: &'static str,
        /// The other.
        other: &'static str,
    },
    /// The part of a model's name before the slash is no provider.
    #[error("there is no provider `{provider}`{}", did_you_mean(.suggestion.as_deref()))]
    UnknownProvider {
        /// The provider asked for.
        provider: String,
        /// The provider that was probably meant.
        suggestion: Option<String>,
    },
    /// More than may be asked for.
    #[error("{asked} is above {ceiling}, the most that {by} allows")]
    AboveCeiling {
        /// The value asked for.
        asked: u64,
        /// The largest value that may be asked for.
        ceiling: u64,
        /// Who set it: the source, and the key there.
        by: String,
    },
    /// A secret whose place is not said.
    #[error("where is it kept? Name the place with `env`, `file` or `keyring`")]
    NoPlace,
    /// Two components of one name.
    #[error("the name `{name}` is already used by a component in line {line}")]
    DuplicateComponent {
        /// The name.
        name: String,
        /// Where it was used first.
        line: usize,
    },
    /// Two rules of one name.
    #[error("the id `{id}` is already used by a rule in {first}")]
    DuplicateRule {
        /// The name.
        id: String,
        /// Where it was used first.
        first: Source,
    },
    /// The program's own defaults lack a key: a mistake of its authors.
    #[error("has no built-in value; this is a mistake in harness-host")]
    NoBuiltInValue,
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |word| format!("; did you mean `{word}`?"))
}
