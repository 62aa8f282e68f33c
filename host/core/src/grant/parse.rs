//! Reading a capability's text.
//!
//! Promise: only the normal form of anything is kept, so that two texts of the same meaning are equal
//! afterwards; whatever is not understood says what was wrong and what would be right.

use super::http::{Cidr, HostPattern, HttpScope, Methods, UrlScheme};
use super::{AccessKind, CAPABILITY_BYTES_MAX, Capability, Scope, SecretPlace, SecretScope};
use crate::outcome::LimitName;
use core::net::IpAddr;
use std::str::FromStr;

/// A name in a capability, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// A host's name, in bytes (RFC 1035, 2.3.4).
const HOST_BYTES_MAX: usize = 253;
/// Methods that a capability can name: those of RFC 9110, 9.3 that make requests, and PATCH (RFC 5789).
const METHODS: &[&str] = &["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
/// The beginning of a path in a capability, in bytes: a person has to see it whole.
const PATH_PREFIX_BYTES_MAX: usize = 160;
/// Ranges of one capability.
const RANGES_MAX: usize = 16;
/// How much of a wrong text an error repeats, in characters.
const SHOWN_CHARS_MAX: usize = 120;

/// A text that is not a capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a capability: {problem}")]
pub struct ParseCapabilityError {
    /// What was given, cut, control characters escaped.
    pub text: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

type Parsed<T> = Result<T, String>;

impl FromStr for Capability {
    type Err = ParseCapabilityError;

    fn from_str(text: &str) -> Result<Self, ParseCapabilityError> {
        parse(text).map_err(|problem| {
            let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            ParseCapabilityError { text: shown.escape_debug().to_string(), problem }
        })
    }
}

fn parse(text: &str) -> Parsed<Capability> {
    if text.len() > CAPABILITY_BYTES_MAX {
        return Err(format!("it has {} bytes, at most {CAPABILITY_BYTES_MAX} are possible", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("it has a control character".to_owned());
    }
    let (kind, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    // A value may hold spaces; all else is words.
    if kind == "env" {
        return env(rest.trim_start());
    }
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    match (kind, words.as_slice()) {
        ("filesystem", [kind, path]) => Ok(Capability::Filesystem { access: access(kind)?, path: guest_path(path)? }),
        ("filesystem", _) => Err("write `filesystem read|write PATH`, such as `filesystem read /workspace`".to_owned()),
        ("http", [methods, url]) => http(methods, url, None).map(Capability::Http),
        ("http", [methods, url, "via", ranges]) => http(methods, url, Some(ranges)).map(Capability::Http),
        ("http", _) => {
            Err("write `http METHODS ORIGIN/PREFIX`, such as `http GET https://api.example.com/v1`".to_owned())
        }
        ("secret", [name, host, place, field]) => secret(name, host, place, field),
        ("secret", _) => Err(
            "write `secret NAME HOST header|query FIELD`, such as `secret forge api.example.com header authorization`"
                .to_owned(),
        ),
        ("kv", [kind, scope]) => Ok(Capability::Kv { access: access(kind)?, scope: kv_scope(scope)? }),
        ("kv", _) => Err("write `kv read|write session|principal|agent|global`".to_owned()),
        ("tool", [name]) => Ok(Capability::Tool { name: identifier(name, "a tool's name")? }),
        ("tool", _) => Err("write `tool NAME`".to_owned()),
        ("question", []) => Ok(Capability::Question),
        ("question", _) => Err("`question` stands alone".to_owned()),
        ("limit", [name, maximum]) => limit(name, maximum),
        ("limit", _) => Err("write `limit NAME NUMBER`, such as `limit deadline-ms 1000`".to_owned()),
        _ => Err("it begins with one of: filesystem, http, secret, env, kv, tool, question, limit".to_owned()),
    }
}

fn access(word: &str) -> Parsed<AccessKind> {
    match word {
        "read" => Ok(AccessKind::Read),
        "write" => Ok(AccessKind::Write),
        other => Err(format!("`{other}` is neither `read` nor `write`")),
    }
}

fn guest_path(path: &str) -> Parsed<String> {
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let mut parts = path.split('/');
    let is_sound = parts.next() == Some("") && parts.clone().next().is_some_and(|first| !first.is_empty());
    if !is_sound || parts.any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!("`{path}` is not an absolute path of a folder without `.`, `..` and empty parts"));
    }
    if !["/workspace", "/scratch", "/skill"].iter().any(|root| super::is_within(path, root)) {
        return Err(format!("`{path}` is not in /workspace, /scratch or /skill, and a component sees nothing else"));
    }
    Ok(path.to_owned())
}

fn identifier(name: &str, what: &str) -> Parsed<String> {
    let is_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(is_char) {
        return Err(format!("`{name}` is not {what} of 1 to {NAME_BYTES_MAX} of the characters a-z A-Z 0-9 _ - ."));
    }
    Ok(name.to_owned())
}

fn env(text: &str) -> Parsed<Capability> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text.trim_end(), None),
    };
    let is_char = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(is_char) {
        return Err("write `env NAME=VALUE`, the name of the characters a-z A-Z 0-9 _".to_owned());
    }
    Ok(Capability::Env { name: name.to_owned(), value })
}

fn kv_scope(word: &str) -> Parsed<Scope> {
    match word {
        "session" => Ok(Scope::Session),
        "principal" => Ok(Scope::Principal),
        "agent" => Ok(Scope::Agent),
        "global" => Ok(Scope::Global),
        other => Err(format!("`{other}` is none of session, principal, agent, global")),
    }
}

fn limit(name: &str, maximum: &str) -> Parsed<Capability> {
    let limit = LimitName::ALL.iter().find(|limit| limit.name() == name).ok_or_else(|| {
        let names: Vec<&str> = LimitName::ALL.iter().map(|limit| limit.name()).collect();
        format!("there is no limit `{name}`; there are: {}", names.join(", "))
    })?;
    if *limit == LimitName::StackBytes {
        return Err("the stack belongs to the whole runtime: set tool-limits.stack-bytes".to_owned());
    }
    let maximum = maximum.replace('_', "").parse().map_err(|_| format!("`{maximum}` is not a whole number"))?;
    Ok(Capability::Limit { limit: *limit, maximum })
}

fn secret(name: &str, host: &str, place: &str, field: &str) -> Parsed<Capability> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if field.is_empty() || field.len() > NAME_BYTES_MAX || !field.chars().all(is_token) {
        return Err(format!("`{field}` is not the name of a header or of a field of a query"));
    }
    let place = match place {
        "header" => SecretPlace::Header(field.to_ascii_lowercase()),
        "query" => SecretPlace::Query(field.to_owned()),
        other => return Err(format!("`{other}` is neither `header` nor `query`")),
    };
    let host = host_pattern(host)?;
    match &host {
        HostPattern::Any => return Err("a secret goes to named hosts, not to every host".to_owned()),
        HostPattern::Below(name) if !name.contains('.') => {
            return Err(format!("a secret does not go to everything below a whole domain such as `{name}`"));
        }
        HostPattern::Below(_) | HostPattern::Name(_) | HostPattern::Address(_) => {}
    }
    Ok(Capability::Secret(SecretScope { name: identifier(name, "a secret's name")?, host, place }))
}

fn http(methods_text: &str, url: &str, ranges: Option<&str>) -> Parsed<HttpScope> {
    let (scheme, rest) = match url.split_once("://") {
        Some(("http", rest)) => (UrlScheme::Http, rest),
        Some(("https", rest)) => (UrlScheme::Https, rest),
        _ => return Err(format!("`{url}` does not begin with http:// or https://")),
    };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let (host, port) = authority_parts(authority)?;
    let port = match port {
        None => Some(scheme.default_port()),
        Some("*") => None,
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => Some(port),
            _ => return Err(format!("`{port}` is not a port; `*` is every port")),
        },
    };
    let via = ranges.map_or(Ok(Vec::new()), cidrs)?;
    let host = host_pattern(host)?;
    if !via.is_empty() && matches!(host, HostPattern::Address(_)) {
        return Err("an address needs no `via`".to_owned());
    }
    Ok(HttpScope { methods: methods(methods_text)?, scheme, host, port, path_prefix: path_prefix(path)?, via })
}

fn authority_parts(authority: &str) -> Parsed<(&str, Option<&str>)> {
    if authority.contains('@') {
        return Err("a grant holds no user name or password".to_owned());
    }
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or("a `]` is missing after the address")?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((address, Some(port))),
            None if rest.is_empty() => Ok((address, None)),
            None => Err(format!("`{rest}` after the address is not a port")),
        };
    }
    Ok(authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))))
}

fn path_prefix(path: &str) -> Parsed<String> {
    // Nothing that a shell or a terminal reads otherwise: people paste capabilities.
    let is_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '.' | '_' | '~');
    let trimmed = path.trim_end_matches('/');
    if path.len() > PATH_PREFIX_BYTES_MAX
        || !path.chars().all(is_char)
        || trimmed.split('/').skip(1).any(|part| matches!(part, "" | "." | ".."))
    {
        return Err(format!(
            "`{path}` is not the beginning of a path: letters, digits, `-`, `_`, `~`, no empty parts, `.` or `..`, at \
             most {PATH_PREFIX_BYTES_MAX} bytes"
        ));
    }
    Ok(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() })
}

fn methods(text: &str) -> Parsed<Methods> {
    if text == "*" {
        return Ok(Methods::Any);
    }
    let mut methods: Vec<String> = text.split(',').map(str::to_ascii_uppercase).collect();
    methods.sort();
    methods.dedup();
    if !methods.iter().all(|method| METHODS.contains(&method.as_str())) {
        return Err(format!("`{text}` is not a list of methods and not *; those are: {}", METHODS.join(",")));
    }
    Ok(Methods::Only(methods))
}

fn host_pattern(text: &str) -> Parsed<HostPattern> {
    let text = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if text == "*" {
        return Ok(HostPattern::Any);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(HostPattern::Address(address.to_canonical()));
    }
    match text.strip_prefix("*.") {
        Some(name) => host_name(name).map(HostPattern::Below),
        None => host_name(text).map(HostPattern::Name),
    }
}

fn host_name(text: &str) -> Parsed<String> {
    let name = text.to_ascii_lowercase();
    let is_label = |label: &str| {
        let is_char = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.len() <= 63 && label.chars().all(is_char) && !label.starts_with('-')
    };
    // A last label of digits would be read as an address by some (WHATWG URL, host parsing).
    let is_number = name.rsplit('.').next().is_some_and(|last| last.chars().all(|c| c.is_ascii_digit()));
    if name.len() > HOST_BYTES_MAX || is_number || !name.split('.').all(is_label) {
        return Err(format!(
            "`{text}` is not a host: a name in ASCII (xn-- for others), *.NAME, an address or *; no other wildcards"
        ));
    }
    Ok(name)
}

fn cidrs(text: &str) -> Parsed<Vec<Cidr>> {
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() > RANGES_MAX {
        return Err(format!("there are {} ranges, at most {RANGES_MAX} are possible", parts.len()));
    }
    parts.into_iter().map(cidr).collect()
}

fn cidr(text: &str) -> Parsed<Cidr> {
    let wrong = || format!("`{text}` is not a range of addresses such as 10.0.0.0/8");
    let (address, bits) = text.split_once('/').unwrap_or((text, ""));
    let first = address.parse::<IpAddr>().map_err(|_| wrong())?;
    let width = if first.is_ipv4() { 32 } else { 128 };
    let prefix_bits = match bits {
        "" if text == address => width,
        bits => bits.parse().ok().filter(|bits| *bits <= width).ok_or_else(wrong)?,
    };
    let range = Cidr { first, prefix_bits };
    let is_first = match first {
        IpAddr::V4(v4) => prefix_bits == 32 || u32::from(v4) << u32::from(prefix_bits) == 0,
        IpAddr::V6(v6) => prefix_bits == 128 || u128::from(v6) << u32::from(prefix_bits) == 0,
    };
    if is_first {
        Ok(range)
    } else {
        Err(format!("`{text}` has bits after its prefix: write the range's first address"))
    }
}
