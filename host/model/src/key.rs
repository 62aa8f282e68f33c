//! API keys: read when needed, shown nowhere.
//!
//! Promise: a key is never part of a `Debug` text, an error, an event or a log line, also when a server
//! sends it back. Of what a model answers, whole keys are removed (`key_guard` does it for what is
//! streamed); of failures, which often show half of a key, also long pieces.
//!
//! Not here: keys that a server changed before it sent them back, such as encoded ones.

use harness_core::item::AssistantPart;
use harness_engine::ports::ModelResponse;
use serde_json::Value;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What stands where a key was.
pub(crate) const REMOVED: &str = "[key]";
/// In answers, keys at least this long, in bytes, are removed. Shorter ones are words that stand where a
/// server wants no key, such as `ollama`, which answers may well hold.
const SECRET_BYTES_MIN: usize = 12;
/// Pieces of a key at least this long, in bytes, are removed from texts as well.
const PIECE_BYTES_MIN: usize = 12;

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// A key, without the white space around it that files and variables tend to have.
    pub fn new(key: &str) -> Self {
        Self(key.trim().to_owned())
    }

    /// The key itself, for the request.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// What must not be in an answer; none where the key is only a word.
    pub(crate) fn secret(&self) -> Option<&str> {
        (self.0.len() >= SECRET_BYTES_MIN).then_some(self.0.as_str())
    }

    /// Removes the key from a whole answer.
    pub(crate) fn scrub_response(&self, response: &mut ModelResponse) {
        let Some(secret) = self.secret() else { return };
        for part in &mut response.parts {
            match part {
                AssistantPart::Text { text } => hide(secret, text),
                AssistantPart::Reasoning { text, opaque } => {
                    hide(secret, text);
                    if let Some(opaque) = opaque {
                        hide_in_value(secret, opaque);
                    }
                }
                AssistantPart::ToolCall { provider_call, tool, arguments } => {
                    hide(secret, provider_call);
                    hide(secret, tool);
                    hide_in_json(secret, arguments);
                }
            }
        }
        if let Some(id) = &mut response.provider_response {
            hide(secret, id);
        }
    }

    /// The text without the key and without long pieces of its beginning or end.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let key = self.0.as_str();
        if key.is_empty() {
            return text.to_owned();
        }
        let mut clean = text.replace(key, REMOVED);
        for cut in 1..key.len().saturating_sub(PIECE_BYTES_MIN - 1) {
            if let Some(piece) = key.get(..key.len() - cut)
                && clean.contains(piece)
            {
                clean = clean.replace(piece, REMOVED);
            }
            if let Some(piece) = key.get(cut..)
                && clean.contains(piece)
            {
                clean = clean.replace(piece, REMOVED);
            }
        }
        clean
    }
}

fn hide(secret: &str, text: &mut String) {
    if text.contains(secret) {
        *text = text.replace(secret, REMOVED);
    }
}

/// Text of JSON may also hold the key with some of its characters escaped.
fn hide_in_json(secret: &str, text: &mut String) {
    hide(secret, text);
    if text.contains('\\')
        && let Ok(mut value) = serde_json::from_str::<Value>(text)
    {
        let before = value.clone();
        hide_in_value(secret, &mut value);
        if value != before {
            *text = value.to_string();
        }
    }
}

fn hide_in_value(secret: &str, value: &mut Value) {
    match value {
        Value::String(text) => hide(secret, text),
        Value::Array(values) => values.iter_mut().for_each(|value| hide_in_value(secret, value)),
        Value::Object(fields) => {
            for (mut name, mut value) in std::mem::take(fields) {
                hide(secret, &mut name);
                hide_in_value(secret, &mut value);
                fields.insert(name, value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey([key])")
    }
}

/// Why a key could not be read. Must not hold the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(pub String);

/// Where a provider's key comes from: a variable, a file, a keyring.
pub trait KeyProvider: Send + Sync + 'static {
    /// Reads the key; none where none is set. May block: it is called off the threads that serve sessions.
    fn key(&self) -> Result<Option<ApiKey>, KeyError>;
}

impl<F: Fn() -> Result<Option<ApiKey>, KeyError> + Send + Sync + 'static> KeyProvider for F {
    fn key(&self) -> Result<Option<ApiKey>, KeyError> {
        self()
    }
}

/// A key that was read once and is kept until a server refuses it.
pub(crate) struct KeptKey {
    provider: Option<Arc<dyn KeyProvider>>,
    kept: Mutex<Option<ApiKey>>,
}

impl KeptKey {
    pub(crate) fn new(provider: Option<Arc<dyn KeyProvider>>) -> Self {
        Self { provider, kept: Mutex::new(None) }
    }

    /// The key, read at the first call.
    pub(crate) async fn get(&self) -> Result<Option<ApiKey>, KeyError> {
        let Some(provider) = &self.provider else { return Ok(None) };
        if let Some(key) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(Some(key));
        }
        let provider = Arc::clone(provider);
        let key = tokio::task::spawn_blocking(move || provider.key())
            .await
            .map_err(|_| KeyError("reading the key failed".to_owned()))??
            .filter(|key| !key.0.is_empty());
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = key.clone();
        Ok(key)
    }

    /// Forgets the key, so that a new one is read next time.
    pub(crate) fn forget(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_shown() {
        let key = ApiKey::new(" sk-secret-0123456789\n");
        assert_eq!(format!("{key:?}"), "ApiKey([key])");
        assert_eq!(key.expose(), "sk-secret-0123456789");
    }

    #[test]
    fn a_key_is_removed_from_texts_also_in_part() {
        let key = ApiKey::new("sk-secret-0123456789");
        for (text, expected) in [
            ("bad key sk-secret-0123456789!", "bad key [key]!"),
            ("bad key sk-secret-0123****", "bad key [key]****"),
            ("bad key ****et-0123456789", "bad key ****[key]"),
            ("nothing here", "nothing here"),
            ("short sk-sec", "short sk-sec"),
        ] {
            assert_eq!(key.scrub(text), expected);
        }
        assert_eq!(ApiKey::new("").scrub("abc"), "abc");
        assert_eq!(ApiKey::new("abc").scrub("xabcx"), "x[key]x");
    }

    #[test]
    fn a_key_is_removed_from_every_part_of_an_answer() {
        const KEY: &str = "sk-secret-0123456789";
        let answer = |key: &str, escaped: &str| ModelResponse {
            parts: vec![
                AssistantPart::Text { text: format!("a {key} b {key}") },
                AssistantPart::Reasoning {
                    text: key.to_owned(),
                    opaque: Some(serde_json::json!({ "list": [{ key: key }, 1, null] })),
                },
                AssistantPart::ToolCall {
                    provider_call: format!("call {key}"),
                    tool: key.to_owned(),
                    arguments: format!("{{\"x\":\"{key}\"}}"),
                },
                AssistantPart::ToolCall {
                    provider_call: "b".to_owned(),
                    tool: "t".to_owned(),
                    arguments: format!("{{\"x\":\"{escaped}\\n\"}}"),
                },
            ],
            stop: harness_core::event::ModelStop::ToolCalls,
            usage: Default::default(),
            provider_response: Some(format!("id-{key}")),
        };
        let mut response = answer(KEY, "\\u0073k-secret-0123456789");
        ApiKey::new(KEY).scrub_response(&mut response);
        assert_eq!(response, answer(REMOVED, REMOVED));
        // A word that stands where no key is wanted is not a secret.
        let mut response = answer("ollama", "ollama");
        ApiKey::new("ollama").scrub_response(&mut response);
        assert_eq!(response, answer("ollama", "ollama"));
        // Nor is the beginning that all keys of a provider have.
        let mut response = answer("sk-ant-api03-", "x");
        ApiKey::new("sk-ant-api03-0123456789").scrub_response(&mut response);
        assert_eq!(response, answer("sk-ant-api03-", "x"));
    }

    #[tokio::test]
    async fn a_key_is_read_once_until_forgotten() {
        let reads = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counted = Arc::clone(&reads);
        let kept = KeptKey::new(Some(Arc::new(move || {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Ok(Some(ApiKey::new("k")))
        })));
        for expected in [1, 1] {
            assert_eq!(kept.get().await.unwrap(), Some(ApiKey::new("k")));
            assert_eq!(reads.load(std::sync::atomic::Ordering::SeqCst), expected);
        }
        kept.forget();
        kept.get().await.unwrap();
        assert_eq!(reads.load(std::sync::atomic::Ordering::SeqCst), 2);
    }
}
