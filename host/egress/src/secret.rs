//! Secrets of one call: the guest gets placeholders, the values take their place where requests leave.
//!
//! Promise: a value goes only where a grant says, over TLS or to this machine; no value is in an error, in
//! debug output or in what is recorded, and its own memory is overwritten when it is dropped (not the copies
//! that a request on its way and the search for it hold).
//!
//! Not here: where values are kept (the port [`Secrets`]), searching for them on the way back (`scan`).

use crate::error::EgressError;
use crate::limits::{SEARCHED_BYTES_MIN, SECRET_BYTES_MAX};
use crate::scan::Patterns;
use crate::target::Target;
use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use harness_core::grant::{Capability, SecretPlace, SecretScope, UrlScheme};
use http::header::{AUTHORIZATION, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use zeroize::Zeroizing;

/// What every placeholder begins with.
pub const PLACEHOLDER_PREFIX: &str = "hhsecret-";

/// Where secrets are kept.
pub trait Secrets: Send + Sync {
    /// The value under a name; none where there is none.
    ///
    /// # Errors
    ///
    /// The place where it is kept cannot be read. The text holds no value.
    fn secret(&self, name: &str) -> Result<Option<SecretValue>, String>;
}

/// No secrets at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn secret(&self, _name: &str) -> Result<Option<SecretValue>, String> {
        Ok(None)
    }
}

/// A secret's value. Never shown; overwritten when dropped.
#[derive(Clone)]
pub struct SecretValue(Zeroizing<Vec<u8>>);

impl SecretValue {
    /// Takes a value.
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(value.into()))
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

/// A secret whose placeholder was given out.
#[derive(Clone)]
struct Issued {
    name: String,
    placeholder: String,
    value: SecretValue,
}

/// The secrets whose placeholders were given out in one call.
#[derive(Default)]
pub(crate) struct CallSecrets {
    issued: Vec<Issued>,
    patterns: Option<Arc<Patterns>>,
    placeholders: Option<AhoCorasick>,
}

/// A request's headers and query with values in place of placeholders.
pub(crate) struct Filled {
    pub(crate) headers: HeaderMap,
    pub(crate) query: Option<Zeroizing<String>>,
}

impl CallSecrets {
    /// The placeholder already given out for a name.
    pub(crate) fn placeholder(&self, name: &str) -> Option<&str> {
        self.issued.iter().find(|it| it.name == name).map(|it| it.placeholder.as_str())
    }

    /// With one more.
    pub(crate) fn with(&self, name: &str, value: SecretValue) -> Result<Self, EgressError> {
        let bytes = value.0.len();
        // A shorter one could not be told from chance in a response.
        if !(SEARCHED_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes) {
            let problem =
                format!("its value has {bytes} bytes; {SEARCHED_BYTES_MIN} to {SECRET_BYTES_MAX} are possible");
            return Err(EgressError::secret(name, problem));
        }
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(|error| EgressError::secret(name, format!("no random bytes: {error}")))?;
        let placeholder = random.iter().fold(PLACEHOLDER_PREFIX.to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let mut issued = self.issued.clone();
        issued.push(Issued { name: name.to_owned(), placeholder, value });
        let values = issued.iter().map(|it| (it.name.as_str(), it.value.0.as_slice()));
        let unsearchable = |error: String| EgressError::secret(name, format!("it cannot be searched for: {error}"));
        let patterns = Patterns::new(values).map_err(unsearchable)?.map(Arc::new);
        let placeholders = AhoCorasick::new(issued.iter().map(|it| &it.placeholder));
        let placeholders = Some(placeholders.map_err(|error| unsearchable(error.to_string()))?);
        Ok(Self { issued, patterns, placeholders })
    }

    /// What responses are searched for.
    pub(crate) fn patterns(&self) -> Option<&Arc<Patterns>> {
        self.patterns.as_ref()
    }

    /// A text that may be recorded.
    pub(crate) fn scrub(&self, text: String) -> String {
        let scrubbed = self.patterns.as_ref().and_then(|patterns| patterns.replace(text.as_bytes()));
        scrubbed.map_or(text, |scrubbed| String::from_utf8_lossy(&scrubbed).into_owned())
    }

    /// The secret whose value stands open in a URL, as it is or decoded.
    pub(crate) fn in_url(&self, url: &str) -> Option<&str> {
        let patterns = self.patterns.as_ref()?;
        let decoded: Vec<u8> = percent_decode_str(url).collect();
        patterns.find(url.as_bytes()).or_else(|| patterns.find(&decoded))
    }

    /// Refuses values that a guest holds although it never should, and placeholders outside of headers' values.
    pub(crate) fn check_guest(&self, url: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), EgressError> {
        let leaked = |name: &str, place: &str| {
            Err(EgressError::secret(
                name,
                format!("its value stands open in {place} and was not sent; use its placeholder"),
            ))
        };
        if let Some(name) = self.in_url(url) {
            return leaked(name, "the URL");
        }
        let find = |text: &[u8]| self.patterns.as_ref().and_then(|patterns| patterns.find(text));
        for (header, value) in headers {
            if let Some(name) = find(header.as_str().as_bytes()).or_else(|| find(value.as_bytes())) {
                return leaked(name, "a header");
            }
            self.check_no_placeholder(header.as_str().as_bytes(), "the name of a header")?;
        }
        if let Some(name) = find(body) {
            return leaked(name, "the body");
        }
        self.check_no_placeholder(body, "the body")
    }

    /// Refuses placeholders where no grant can put a value.
    fn check_no_placeholder(&self, text: &[u8], place: &str) -> Result<(), EgressError> {
        let found = self.placeholders.as_ref().and_then(|it| it.find(text));
        match found.and_then(|found| self.issued.get(found.pattern().as_usize())) {
            None => Ok(()),
            Some(issued) => {
                let problem = format!("its placeholder is in {place}; it goes into a header or a field of the query");
                Err(EgressError::secret(&issued.name, problem))
            }
        }
    }

    /// Puts values in place of placeholders. `is_authority` are the headers that must hold one.
    pub(crate) fn fill(
        &self,
        granted: &[SecretScope],
        target: &Target,
        headers: &HeaderMap,
        is_authority: fn(&HeaderName) -> bool,
    ) -> Result<Filled, EgressError> {
        let to = Destination { granted, target };
        let path: Vec<u8> = percent_decode_str(target.before_query()).collect();
        self.check_no_placeholder(&path, "the URL's host or path")?;
        let mut filled = HeaderMap::with_capacity(headers.len() + 4);
        for (header, value) in headers {
            let replaced = self.fill_header(&to, header, value)?;
            if replaced.is_none() && is_authority(header) {
                let why = "guests hold no keys: it needs the placeholder of a secret that is granted for it";
                return Err(EgressError::header(header.as_str(), why));
            }
            filled.append(header.clone(), replaced.unwrap_or_else(|| value.clone()));
        }
        let query = target.query().map(|query| self.fill_query(&to, query)).transpose()?;
        let holds_secret = filled.values().any(HeaderValue::is_sensitive)
            || query.as_ref().is_some_and(|filled| Some(filled.as_str()) != target.query());
        if let (true, Some(part)) = (holds_secret, [RANGE, IF_RANGE].into_iter().find(|name| filled.contains_key(name)))
        {
            // In two halves of what a server sends back, the secret would stand whole in neither.
            return Err(EgressError::header(part.as_str(), "a request with a secret asks for the whole; leave it out"));
        }
        Ok(Filled { headers: filled, query })
    }

    fn fill_header(
        &self,
        to: &Destination<'_>,
        header: &HeaderName,
        value: &HeaderValue,
    ) -> Result<Option<HeaderValue>, EgressError> {
        let place = SecretPlace::Header(header.as_str().to_owned());
        let mut last = None;
        let text = match self.replaced(to, &place, value.as_bytes(), &mut last)? {
            Some(text) => text,
            None if *header == AUTHORIZATION => match self.replaced_basic(to, &place, value, &mut last)? {
                Some(text) => text,
                None => return Ok(None),
            },
            None => return Ok(None),
        };
        let name = last.unwrap_or_default();
        let unfit =
            |_| EgressError::secret(&name, "its value has characters that no header can hold, such as a line's end");
        let mut value = HeaderValue::from_bytes(&text).map_err(unfit)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// `Basic base64(user:password)` (RFC 7617, 2) with a placeholder inside.
    fn replaced_basic(
        &self,
        to: &Destination<'_>,
        place: &SecretPlace,
        value: &HeaderValue,
        last: &mut Option<String>,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, EgressError> {
        let basic = value.to_str().ok().and_then(|text| text.split_once(' '));
        let Some((_, encoded)) = basic.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic")) else {
            return Ok(None);
        };
        let Ok(decoded) = STANDARD_NO_PAD.decode(encoded.trim().trim_end_matches('=')) else { return Ok(None) };
        let Some(text) = self.replaced(to, place, &decoded, last)? else { return Ok(None) };
        Ok(Some(Zeroizing::new(format!("Basic {}", STANDARD.encode(&*text)).into_bytes())))
    }

    fn fill_query(&self, to: &Destination<'_>, query: &str) -> Result<Zeroizing<String>, EgressError> {
        let mut filled = Zeroizing::new(String::with_capacity(query.len()));
        for (at, pair) in query.split('&').enumerate() {
            if at > 0 {
                filled.push('&');
            }
            let (field, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).collect::<Vec<u8>>();
            let name = decode(field);
            self.check_no_placeholder(&name, "the name of a field of the query")?;
            let place = SecretPlace::Query(String::from_utf8_lossy(&name).into_owned());
            match self.replaced(to, &place, &decode(value), &mut None)? {
                None => filled.push_str(pair),
                Some(value) => {
                    filled.push_str(field);
                    filled.push('=');
                    filled.extend(url::form_urlencoded::byte_serialize(&value));
                }
            }
        }
        Ok(filled)
    }

    /// A text with all its placeholders replaced; nothing where it has none. `last` gets the name of the last.
    fn replaced(
        &self,
        to: &Destination<'_>,
        place: &SecretPlace,
        text: &[u8],
        last: &mut Option<String>,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, EgressError> {
        let Some(placeholders) = self.placeholders.as_ref().filter(|it| it.is_match(text)) else { return Ok(None) };
        // Room for a value, so that none is left behind where the text grew.
        let (mut out, mut at) = (Zeroizing::new(Vec::with_capacity(text.len() + SECRET_BYTES_MAX)), 0);
        for found in placeholders.find_iter(text) {
            let Some(issued) = self.issued.get(found.pattern().as_usize()) else { continue };
            to.check(&issued.name, place)?;
            let (before, after) = (text.get(..found.start()), text.get(found.end()..));
            if !before.is_some_and(is_lead) || after.is_some_and(|after| !after.is_empty()) {
                // Text of the guest's around a value could push parts of it over where a server cuts.
                let problem = "its placeholder stands alone, or after one word such as `Bearer ` or `user:`";
                return Err(EgressError::secret(&issued.name, problem));
            }
            out.extend_from_slice(text.get(at..found.start()).unwrap_or_default());
            out.extend_from_slice(&issued.value.0);
            at = found.end();
            *last = Some(issued.name.clone());
        }
        out.extend_from_slice(text.get(at..).unwrap_or_default());
        Ok((at > 0).then_some(out))
    }
}

/// Whether this may stand before a placeholder: nothing, or one word and what ends it.
fn is_lead(before: &[u8]) -> bool {
    const LEAD_BYTES_MAX: usize = 64;
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.@+~".contains(byte);
    match before.split_last() {
        None => true,
        Some((end, word)) => before.len() <= LEAD_BYTES_MAX && b" :=".contains(end) && word.iter().all(is_word),
    }
}

/// Where a request goes, and what may go there.
struct Destination<'a> {
    granted: &'a [SecretScope],
    target: &'a Target,
}

impl Destination<'_> {
    fn check(&self, name: &str, place: &SecretPlace) -> Result<(), EgressError> {
        let covers =
            |scope: &SecretScope| scope.name == name && scope.place == *place && scope.host.covers(self.target.host());
        if !self.granted.iter().any(covers) {
            let needed = SecretScope { name: name.to_owned(), host: self.target.host_pattern(), place: place.clone() };
            let needed = Capability::Secret(needed);
            // The guest chose the name of the place: only what can be written as a grant is named as one.
            if needed.to_string().parse().as_ref() != Ok(&needed) {
                return Err(EgressError::secret(name, "it is in a place that no grant can name"));
            }
            return Err(EgressError::NotGranted(Box::new(needed)));
        }
        // A grant covers an address only where it names it.
        let is_this_machine = self.target.address().is_some_and(|address| address.is_loopback());
        if self.target.scheme() == UrlScheme::Http && !is_this_machine {
            let problem = "it goes only over https, or to a loopback address that is granted as an address";
            return Err(EgressError::secret(name, problem));
        }
        Ok(())
    }
}
