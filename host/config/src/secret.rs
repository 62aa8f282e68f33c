//! Text that must not be shown.
//!
//! Promise: neither debugging, serialising nor comparing shows the text; only
//! [`SecretString::expose`] does, so that a search for it finds every use.
//!
//! Not here: wiping memory. A process that can read this one's memory has the key anyway.

use serde::{Serialize, Serializer};
use std::fmt;

/// An API key or another secret.
#[derive(Clone)]
pub struct SecretString(String);

impl SecretString {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, to be put into a request and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for SecretString {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_only_when_exposed() {
        let secret = SecretString::new("sk-1");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
        assert_eq!(secret.expose(), "sk-1");
    }
}
