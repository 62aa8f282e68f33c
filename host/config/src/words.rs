//! The closed lists of words that settings choose from.
//!
//! Promise: a word has one spelling in files, environment, flags and output.
//!
//! Not here: what the words do to a call (the core's verdicts).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A word that is not in the list it should come from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not one of {}", .expected.join(", "))]
pub struct ParseWordError {
    /// What was given.
    pub found: String,
    /// The words there are.
    pub expected: Vec<&'static str>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$word_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word as it is written in files and flags.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }

        impl FromStr for $name {
            type Err = ParseWordError;
            fn from_str(text: &str) -> Result<Self, ParseWordError> {
                let known = Self::ALL.iter().copied().find(|known| known.word() == text);
                known.ok_or_else(|| ParseWordError {
                    found: text.chars().take(80).collect(),
                    expected: Self::ALL.iter().map(|known| known.word()).collect(),
                })
            }
        }
    };
}

words! {
    /// What is approved without asking a person, strictest first. A deny by any voice holds in all.
    Approve {
        /// Nothing, and nobody is asked: what would ask is refused.
        None = "none",
        /// Nothing: a person is asked.
        Ask = "ask",
        /// Changes to files in the workspace; the rest asks.
        Edits = "edits",
        /// Everything that would ask.
        All = "all",
    }
}

words! {
    /// When the terminal gets colours.
    Color {
        /// When the output is a terminal.
        Auto = "auto",
        /// Always, also into a pipe.
        Always = "always",
        /// Never.
        Never = "never",
    }
}

words! {
    /// The protocol a provider is spoken to in.
    Wire {
        /// Anthropic's Messages; the base URL is without `/v1`.
        Anthropic = "anthropic",
        /// OpenAI's Chat Completions, which most compatible servers speak; the base URL is with `/v1`.
        OpenaiChat = "openai-chat",
        /// OpenAI's Responses; the base URL is with `/v1`.
        OpenaiResponses = "openai-responses",
        /// The model that is part of the program and needs no network.
        Offline = "offline",
    }
}

words! {
    /// What kind of thing a tool does.
    Category {
        /// Looks, changes nothing.
        Read = "read",
        /// Changes files.
        Edit = "edit",
        /// Runs commands or code.
        Execute = "execute",
        /// Reaches the network.
        Network = "network",
        /// Anything else.
        Other = "other",
    }
}

words! {
    /// What a rule says of the calls it covers, in order of strictness.
    RuleVerdict {
        /// They may run.
        Allow = "allow",
        /// A person is asked.
        Ask = "ask",
        /// They are refused, whatever else says otherwise.
        Deny = "deny",
    }
}
