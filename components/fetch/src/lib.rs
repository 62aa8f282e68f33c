//! The tool `fetch`: what a web address holds, as text for a model.
//!
//! Promise: one request, as the arguments say it, and nothing else is sent; the answer says what was left out and how
//! to read on. What comes back is untrusted: no content of it makes the tool fail otherwise than with a failure.
//!
//! Not here: which requests are granted, resolving names, redirects, credentials (all the host's).

// Natively only the tests have a wire.
#![cfg_attr(not(any(test, target_family = "wasm")), allow(dead_code))]

mod content;
mod json;
mod markdown;
mod request;
mod survey;
#[cfg(test)]
mod tests;
#[cfg(target_family = "wasm")]
mod wasi;
mod wire;
mod writer;

use std::collections::BTreeMap;

use serde::Deserialize;
use tool_kit::{Failure, Part, text};
use url::Url;

use content::Content;
use request::{Method, Request};
use wire::{Response, URL_HEADER, Wire};

#[cfg(target_family = "wasm")]
tool_kit::export_tool!("fetch", run);

const BODY_BYTES: u64 = 1 << 20;
const BODY_BYTES_MAX: u64 = 4 << 20;
/// Of the text of one answer.
const TEXT_BYTES_MAX: usize = 48 << 10;
const TITLE_CHARS_MAX: usize = 200;
const REASONS: [(u16, &str); 22] = [
    (200, "OK"),
    (201, "Created"),
    (202, "Accepted"),
    (204, "No Content"),
    (206, "Partial Content"),
    (301, "Moved Permanently"),
    (302, "Found"),
    (303, "See Other"),
    (304, "Not Modified"),
    (307, "Temporary Redirect"),
    (308, "Permanent Redirect"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (410, "Gone"),
    (429, "Too Many Requests"),
    (500, "Internal Server Error"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Gateway Timeout"),
];

/// How to show what came.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Auto,
    Text,
    Raw,
}

/// The arguments.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arguments {
    url: String,
    #[serde(default)]
    method: Method,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    #[serde(default)]
    format: Format,
    max_bytes: Option<u64>,
    offset: Option<u64>,
}

/// Runs the tool over the host's HTTP.
#[cfg(target_family = "wasm")]
pub fn run(_: &tool_kit::Workspace, arguments: Arguments) -> Result<Vec<Part>, Failure> {
    fetch(&wasi::Host, arguments)
}

/// Runs the tool over any wire.
fn fetch(wire: &dyn Wire, arguments: Arguments) -> Result<Vec<Part>, Failure> {
    let Arguments { url, method, headers, body, format, max_bytes, offset } = arguments;
    let bytes_max = max_bytes.unwrap_or(BODY_BYTES).min(BODY_BYTES_MAX);
    if bytes_max == 0 {
        return Err(Failure::invalid("arguments", "max_bytes must be at least 1"));
    }
    let request = Request::new(method, &url, headers, body)?;
    // No more than 4 MiB: it fits everywhere.
    let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let response = wire.send(&request, bytes_max).map_err(|error| error.failure(&request))?;
    let url = final_url(&response, &request);
    let status = status_line(&response, &url);
    let redirected = (300..400).contains(&response.status).then(|| response.header("location")).flatten();
    if response.body.is_empty() {
        let whereto =
            redirected.map_or_else(String::new, |location| format!("; it leads to {}", text::printable(&location)));
        return Ok(vec![Part::Text(format!("{status}\n\n[no content{whereto}]"))]);
    }
    let read_bytes = response.body.len();
    match content::read(response, &url, format)? {
        Content::Image(image) => Ok(vec![Part::Text(status), Part::Image(image)]),
        Content::Text { title, text, cut } => {
            let mut out = status;
            if !title.is_empty() {
                out.push_str(&format!("\nTitle: {}", text::cut(&text::printable(&title), TITLE_CHARS_MAX)));
            }
            out.push_str("\n\n");
            part_of(&mut out, &text, offset.unwrap_or(0), &url)?;
            if cut {
                out.push_str(&format!(
                    "\n[only the first {} of the response were read; max_bytes reads up to {}]",
                    text::size(read_bytes as u64),
                    text::size(BODY_BYTES_MAX)
                ));
            }
            Ok(vec![Part::Text(out)])
        }
    }
}

/// Where the response came from, as far as the host tells.
fn final_url(response: &Response, request: &Request) -> Url {
    let told = response.header(URL_HEADER).and_then(|url| Url::parse(&url).ok());
    told.filter(|url| matches!(url.scheme(), "http" | "https")).unwrap_or_else(|| request.url.clone())
}

/// `200 OK · text/html · 12,345 bytes · https://example.com/`.
fn status_line(response: &Response, url: &Url) -> String {
    let reason = REASONS.iter().find(|(status, _)| *status == response.status).map_or("", |(_, reason)| reason);
    let (media_type, _) = content::media_type(response);
    let media_type = if media_type.is_empty() { "no type".to_owned() } else { media_type };
    let status = format!("{} {reason}", response.status);
    let more = if response.cut { "more than " } else { "" };
    format!("{} · {media_type} · {more}{} bytes · {url}", status.trim_end(), thousands(response.body.len()))
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Appends what of `text` comes after `offset` characters and fits into one answer, and how to read on.
fn part_of(out: &mut String, text: &str, offset: u64, url: &Url) -> Result<(), Failure> {
    let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
    let start = match text.char_indices().nth(skipped) {
        Some((start, _)) => start,
        None if skipped == 0 => 0,
        None => {
            let length = text.chars().count();
            let message = format!("{url} has {} as shown: offset must be less", text::count(length, "character"));
            return Err(Failure::invalid("offset", message));
        }
    };
    let rest = text.get(start..).unwrap_or_default();
    if rest.len() <= TEXT_BYTES_MAX {
        out.push_str(if rest.trim().is_empty() { "[no text]" } else { rest });
        return Ok(());
    }
    let end = rest.floor_char_boundary(TEXT_BYTES_MAX);
    // Whole lines where they are not too long.
    let end =
        rest.get(..end).and_then(|part| part.rfind('\n')).filter(|line| *line > end / 2).map_or(end, |line| line + 1);
    let shown = rest.get(..end).unwrap_or_default();
    let next = skipped + shown.chars().count();
    let all = text.chars().count();
    out.push_str(shown);
    out.push_str(&format!(
        "\n[characters {} to {} of {}; read on with offset {next}]",
        thousands(skipped),
        thousands(next),
        thousands(all)
    ));
    Ok(())
}
