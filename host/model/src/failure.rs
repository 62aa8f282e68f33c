//! What providers say when they do not answer, as failures of our own kinds.
//!
//! Promise: every status, error body and error inside a stream becomes one of six kinds; texts from
//! outside are cut and hold no control characters.
//!
//! Sources: platform.claude.com/docs (errors, stop reasons), developers.openai.com (error codes,
//! responses streaming), openrouter.ai/docs (errors), and the messages that vLLM, llama.cpp, LM Studio,
//! Ollama and Groq give when a prompt does not fit.

use harness_core::event::{ModelFailure, ModelFailureKind};
use serde_json::Value;

/// A message from outside, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 2 << 10;

/// What servers say when a conversation does not fit, in lower case.
const TOO_LONG_MESSAGES: &[&str] = &[
    "prompt is too long",
    "input is too long",
    "exceed context limit",
    "exceeds the context window",
    "exceeds the available context size",
    "exceeds the maximum context",
    "exceeds context length",
    "exceeds the model's context",
    "maximum context length",
    "maximum context window",
    "context length exceeded",
    "context window exceeded",
    "model is loaded with context length",
    "greater than the context length",
    "reduce the length of the messages",
    "maximum prompt length",
];
/// Codes and types for the same.
const TOO_LONG_CODES: &[&str] = &[
    "context_length_exceeded",
    "context_window_exceeded",
    "model_context_window_exceeded",
    "exceed_context_size_error",
    "request_too_large",
    "string_above_max_length",
];
/// Codes and types after which the same request may succeed later.
const RETRYABLE_CODES: &[&str] = &[
    "overloaded_error",
    "api_error",
    "timeout_error",
    "rate_limit_error",
    "rate_limit_exceeded",
    "rate_limited",
    "requests",
    "tokens",
    "server_error",
    "server_is_overloaded",
    "slow_down",
    "internal_error",
    "internal_server_error",
    "vector_store_timeout",
    "timeout",
    "overloaded",
    "unavailable",
    "service_unavailable",
];
/// Codes and types for a key that is missing, wrong or not allowed to.
const KEY_CODES: &[&str] = &["authentication_error", "permission_error", "invalid_api_key", "unauthorized"];
/// Codes and types for what repeating does not help.
const FINAL_CODES: &[&str] = &[
    "insufficient_quota",
    "billing_error",
    "billing_not_active",
    "usage_not_included",
    "content_filter",
    "content_policy_violation",
    "invalid_prompt",
    "invalid_request_error",
    "not_found_error",
    "model_not_found",
    "bio_policy",
    "cyber_policy",
];

/// An error object as a provider sent it, whatever its shape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reported {
    /// Its type and its code, lower case; empty where missing.
    pub(crate) words: [String; 2],
    /// A code that is a number, as OpenRouter and vLLM give an HTTP status.
    pub(crate) status: Option<u16>,
    /// Words for people.
    pub(crate) message: String,
    /// The input was flagged by a moderation.
    pub(crate) flagged: bool,
}

impl Reported {
    /// Reads `{"error":{…}}`, `{"error":"…"}`, `{"message":…}` and `{"detail":…}`; none for other JSON.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let object = match value.get("error") {
            Some(Value::String(message)) => return Some(Self { message: message.clone(), ..Self::default() }),
            Some(inner @ Value::Object(_)) => inner,
            _ if value.get("message").is_some_and(Value::is_string) => value,
            _ => {
                let detail = value.get("detail")?;
                let message = detail.as_str().map_or_else(|| detail.to_string(), str::to_owned);
                return Some(Self { message, ..Self::default() });
            }
        };
        let word = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
        let metadata = object.get("metadata");
        let mut message = object.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
        // OpenRouter hands on what the upstream provider said beside its own words.
        if let Some(raw) = metadata.and_then(|metadata| metadata.get("raw")).and_then(Value::as_str) {
            message = format!("{message}: {raw}");
        }
        Some(Self {
            words: [word("type"), word("code")],
            status: object.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok()),
            message,
            flagged: metadata
                .is_some_and(|metadata| metadata.get("reasons").is_some() || metadata.get("flagged_input").is_some()),
        })
    }

    fn is_one_of(&self, known: &[&str]) -> bool {
        self.words.iter().any(|word| known.contains(&word.as_str()))
    }

    /// Whether it says that the conversation does not fit.
    fn is_too_long(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        self.is_one_of(TOO_LONG_CODES) || TOO_LONG_MESSAGES.iter().any(|known| message.contains(known))
    }

    /// The failure for an error that came with a status of its own.
    fn kind_for_status(&self, status: u16) -> ModelFailureKind {
        match status {
            400 | 404 | 413 | 422 | 500 if self.is_too_long() => ModelFailureKind::ContextTooLong,
            413 => ModelFailureKind::ContextTooLong,
            403 if self.flagged => ModelFailureKind::Refused,
            401 | 403 => ModelFailureKind::Authentication,
            429 if self.is_one_of(&["insufficient_quota", "billing_not_active"]) => ModelFailureKind::Refused,
            501 | 505 => ModelFailureKind::Refused,
            408 | 409 | 425 | 429 | 500..=599 => ModelFailureKind::Retryable,
            _ => ModelFailureKind::Refused,
        }
    }

    /// The kind of an error inside a stream or inside a response with a good status.
    fn kind_in_stream(&self) -> ModelFailureKind {
        if self.is_too_long() {
            return ModelFailureKind::ContextTooLong;
        }
        if self.flagged {
            return ModelFailureKind::Refused;
        }
        if self.is_one_of(KEY_CODES) {
            return ModelFailureKind::Authentication;
        }
        if self.is_one_of(RETRYABLE_CODES) {
            return ModelFailureKind::Retryable;
        }
        match self.status {
            Some(status @ 400..=599) => self.kind_for_status(status),
            _ if self.is_one_of(FINAL_CODES) => ModelFailureKind::Refused,
            // The request had been accepted, so what went wrong is most likely the server's.
            _ => ModelFailureKind::Retryable,
        }
    }

    /// As a failure inside a stream.
    pub(crate) fn in_stream(&self) -> ModelFailure {
        let words = self.words.iter().find(|word| !word.is_empty()).map_or("error", String::as_str);
        let message = if self.message.is_empty() { words.to_owned() } else { format!("{} ({words})", self.message) };
        let mut failure = failure(self.kind_in_stream(), message);
        failure.status = self.status.filter(|status| (400..=599).contains(status));
        if failure.kind == ModelFailureKind::Retryable {
            failure.retry_after_ms = crate::retry_after::from_message(&self.message);
        }
        failure
    }
}

/// A failure with nothing but a kind and words.
pub(crate) fn failure(kind: ModelFailureKind, message: impl Into<String>) -> ModelFailure {
    ModelFailure { kind, message: message.into(), status: None, retry_after_ms: None }
}

/// The stream ended before the response did.
pub(crate) fn cut() -> ModelFailure {
    failure(ModelFailureKind::Disconnected, "the connection ended in the middle of the response")
}

/// The stream holds what the protocol does not allow.
pub(crate) fn malformed(what: impl Into<String>) -> ModelFailure {
    failure(ModelFailureKind::MalformedStream, what)
}

/// The failure for a response with an HTTP status that is not a success.
pub(crate) fn from_status(status: u16, body: &[u8], location: Option<&str>) -> ModelFailure {
    let reported = reported_in(body);
    let kind = reported.kind_for_status(status);
    let said = if reported.message.is_empty() { status_words(status).to_owned() } else { reported.message.clone() };
    let hint = match kind {
        ModelFailureKind::Authentication => ". Check the API key of this provider",
        ModelFailureKind::Refused if status == 404 => ". Check the model's name and the provider's base URL",
        ModelFailureKind::Refused if (300..400).contains(&status) => {
            ". Redirects are not followed, keys stay with the host they are for; set the base URL to the new address"
        }
        _ => "",
    };
    let location = location.map(|to| format!(" (to {to})")).unwrap_or_default();
    let mut failure = failure(kind, format!("{said}{location} (HTTP {status}){hint}"));
    failure.status = Some(status);
    failure
}

/// What the body of an error says: JSON of any known shape, the title of a page, or plain text.
fn reported_in(body: &[u8]) -> Reported {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        // Google's compatible endpoint wraps the object in a list.
        let value = value.as_array().and_then(|list| list.first()).unwrap_or(&value);
        return Reported::from_json(value)
            .unwrap_or_else(|| Reported { message: text.to_owned(), ..Reported::default() });
    }
    let message = if text.starts_with('<') { html_title(text) } else { text.to_owned() };
    Reported { message, ..Reported::default() }
}

/// What a page that is no answer of a model says of itself.
pub(crate) fn html_title(page: &str) -> String {
    let lower = page.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|start| {
        let start = start + page.get(start..)?.find('>')? + 1;
        let end = start + lower.get(start..)?.find("</title")?;
        page.get(start..end)
    });
    match title.map(str::trim) {
        Some(title) if !title.is_empty() => format!("a web page, not an answer of a model: {title}"),
        _ => "a web page, not an answer of a model".to_owned(),
    }
}

/// The failure for a body with a good status that is one JSON value and no stream.
pub(crate) fn from_whole_json(body: &[u8]) -> ModelFailure {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => match Reported::from_json(&value) {
            Some(reported) => reported.in_stream(),
            None => malformed("the server answered with one JSON value instead of a stream"),
        },
        Err(_) => malformed("the server answered with damaged JSON instead of a stream"),
    }
}

/// The usual words of a status.
fn status_words(status: u16) -> &'static str {
    match status {
        300..=399 => "the server redirects",
        400 => "the request is not acceptable to the server",
        401 => "the API key is missing or wrong",
        403 => "the API key is not allowed to do this",
        404 => "no such model or address",
        408 | 504 => "the server ran out of time",
        413 => "the request is too large",
        429 => "too many requests",
        500 => "the server failed",
        502 => "the server's upstream failed",
        503 => "the server is not available",
        529 => "the server is overloaded",
        _ => "the server refused the request",
    }
}

/// A text from outside: white space instead of control characters, and cut.
pub(crate) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(MESSAGE_BYTES_MAX));
    for character in text.chars() {
        let character = if character.is_control() || is_invisible(character) { ' ' } else { character };
        if character == ' ' && (clean.is_empty() || clean.ends_with(' ')) {
            continue;
        }
        if clean.len() + character.len_utf8() > MESSAGE_BYTES_MAX - '…'.len_utf8() {
            clean.push('…');
            break;
        }
        clean.push(character);
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// Characters that reorder or hide text on a screen.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use ModelFailureKind::*;

    /// Status, body, and the kind they have.
    const ANSWERS: &[(u16, &str, ModelFailureKind)] = &[
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 207791 tokens > 200000 maximum"}}"#,
            ContextTooLong,
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length or `max_tokens` and try again"}}"#,
            ContextTooLong,
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: Field required"}}"#,
            Refused,
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#,
            Refused,
        ),
        (
            401,
            r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#,
            Authentication,
        ),
        (403, r#"{"type":"error","error":{"type":"permission_error","message":"no access"}}"#, Authentication),
        (404, r#"{"type":"error","error":{"type":"not_found_error","message":"model: nope"}}"#, Refused),
        (
            413,
            r#"{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}"#,
            ContextTooLong,
        ),
        (429, r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#, Retryable),
        (529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, Retryable),
        (
            400,
            r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
            ContextTooLong,
        ),
        (
            400,
            r#"{"error":{"message":"Your input exceeds the context window of this model. Please adjust your input and try again.","type":"invalid_request_error","param":"input","code":"context_length_exceeded"}}"#,
            ContextTooLong,
        ),
        (
            401,
            r#"{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","code":"invalid_api_key"}}"#,
            Authentication,
        ),
        (
            429,
            r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            Refused,
        ),
        (429, r#"{"error":{"message":"Rate limit reached","type":"tokens","code":"rate_limit_exceeded"}}"#, Retryable),
        (
            400,
            r#"{"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","code":400}"#,
            ContextTooLong,
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#,
            ContextTooLong,
        ),
        (
            400,
            r#"{"error":"Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens"}"#,
            ContextTooLong,
        ),
        (404, r#"{"error":{"message":"model 'x' not found, try pulling it first","type":"api_error"}}"#, Refused),
        (402, r#"{"error":{"code":402,"message":"Insufficient credits"}}"#, Refused),
        (
            403,
            r#"{"error":{"code":403,"message":"flagged","metadata":{"reasons":["violence"],"flagged_input":"x"}}}"#,
            Refused,
        ),
        (400, r#"[{"error":{"code":400,"message":"Bad","status":"INVALID_ARGUMENT"}}]"#, Refused),
        (422, r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#, Refused),
        (500, "Internal Server Error", Retryable),
        (502, "<html><head><title>502 Bad Gateway</title></head></html>", Retryable),
        (503, "", Retryable),
        (504, "", Retryable),
        (307, "", Refused),
    ];

    #[test]
    fn real_answers_of_servers_have_their_kind() {
        for &(status, body, kind) in ANSWERS {
            let failure = from_status(status, body.as_bytes(), None);
            assert_eq!(failure.kind, kind, "{status} {body}");
            assert_eq!(failure.status, Some(status));
        }
    }

    #[test]
    fn errors_inside_a_stream_have_their_kind() {
        for (body, kind) in [
            (r#"{"error":{"type":"overloaded_error","message":"Overloaded"}}"#, Retryable),
            (r#"{"error":{"type":"api_error","message":"Internal server error"}}"#, Retryable),
            (
                r#"{"error":{"type":"invalid_request_error","message":"prompt is too long: 2 tokens > 1 maximum"}}"#,
                ContextTooLong,
            ),
            (r#"{"error":{"type":"invalid_request_error","message":"messages: bad"}}"#, Refused),
            (r#"{"error":{"code":"server_error","message":"Provider disconnected unexpectedly"}}"#, Retryable),
            (r#"{"error":{"code":502,"message":"Upstream"}}"#, Retryable),
            (r#"{"error":{"code":401,"message":"No auth"}}"#, Authentication),
            (r#"{"error":{"code":400,"message":"Bad request"}}"#, Refused),
            (r#"{"error":{"code":"context_length_exceeded","message":"x"}}"#, ContextTooLong),
            (r#"{"error":{"code":"insufficient_quota","message":"x"}}"#, Refused),
            (r#"{"error":"model runner has unexpectedly stopped"}"#, Retryable),
        ] {
            let value = serde_json::from_str(body).unwrap();
            assert_eq!(Reported::from_json(&value).unwrap().in_stream().kind, kind, "{body}");
        }
        assert_eq!(from_whole_json(b"{\"choices\":[]}").kind, MalformedStream);
        assert_eq!(from_whole_json(b"{").kind, MalformedStream);
    }

    #[test]
    fn texts_from_outside_are_cleaned_and_cut() {
        assert_eq!(clean("a\x1b[31m\r\n\tb\u{202e}c\0"), "a [31m b c");
        let long = clean(&"ä".repeat(MESSAGE_BYTES_MAX));
        assert!(long.len() <= MESSAGE_BYTES_MAX && long.ends_with('…'), "{}", long.len());
    }

    #[test]
    fn a_page_is_known_by_its_title() {
        assert_eq!(
            html_title("<!doctype html><TITLE>Sign in</TITLE>"),
            "a web page, not an answer of a model: Sign in"
        );
        assert_eq!(html_title("<html>İ<title>"), "a web page, not an answer of a model");
    }
}
