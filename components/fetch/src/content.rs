//! From the bytes of a body to what a model can read: text by its character set, HTML as Markdown, JSON indented.
//!
//! Promise: what is not text or a small image is refused with its type and size, never shown as garbage.
//!
//! Not here: cutting the text (`lib`).

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use tool_kit::{Failure, Image, text};
use url::Url;

use crate::wire::Response;
use crate::{Format, json, markdown};

pub(crate) const IMAGE_BYTES_MAX: usize = 1 << 20;
/// JSON is indented up to this size; larger one would only take more room.
pub(crate) const INDENTED_BYTES_MAX: usize = 64 << 10;
/// Where a page may name its character set (HTML, 4.2.5.4).
const PRESCAN_BYTES: usize = 1024;
const SNIFFED_BYTES: usize = 512;

/// A body as it can be shown.
#[derive(Debug)]
pub(crate) enum Content {
    Text {
        title: String,
        text: String,
        /// Whether the text ends before the page does.
        cut: bool,
    },
    Image(Image),
}

/// The kinds of content that are handled apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Html,
    Json,
    Text,
    Image,
    Unknown,
}

/// Reads the body of `response`, which came from `url`.
pub(crate) fn read(response: Response, url: &Url, format: Format) -> Result<Content, Failure> {
    if let Some(coding) = response.header("content-encoding").filter(|coding| !coding.eq_ignore_ascii_case("identity"))
    {
        let message = format!("{url} sent its content compressed ({coding}), which was not asked for and is not read");
        return Err(Failure::unsupported("content-encoding", message));
    }
    let (media_type, charset) = media_type(&response);
    let kind = kind(&media_type, &response.body);
    let size = text::size(response.body.len() as u64);
    if kind == Kind::Image {
        if response.cut || response.body.len() > IMAGE_BYTES_MAX {
            let most = text::size(IMAGE_BYTES_MAX as u64);
            let message = format!("{url} is an image ({media_type}) larger than {most}, the most that is shown");
            return Err(Failure::too_large("image", message));
        }
        return Ok(Content::Image(Image { mime_type: media_type, bytes: response.body }));
    }
    let declared = charset.as_deref().and_then(|label| Encoding::for_label(label.as_bytes()));
    if kind == Kind::Unknown && (declared.is_none() && !is_text(&response)) {
        let shown = if media_type.is_empty() { "of no stated type" } else { media_type.as_str() };
        let more = if response.cut { " and more" } else { "" };
        let message = format!("{url} is not text: {shown}, {size}{more}; only text and small images can be fetched");
        return Err(Failure::unsupported("binary", message));
    }
    let encoding = declared.unwrap_or_else(|| guessed(&response, kind));
    let (decoded, _, _) = encoding.decode(&response.body);
    // The last character may have been split where the body was cut.
    let decoded = if response.cut { decoded.trim_end_matches('\u{fffd}') } else { &decoded };
    let plain = |text: String| Content::Text { title: String::new(), text, cut: response.cut };
    Ok(match (format, kind) {
        (Format::Raw, _) => plain(decoded.to_owned()),
        (_, Kind::Html) => {
            let page = markdown::convert(decoded, url, format == Format::Auto);
            Content::Text { title: page.title, text: page.text, cut: response.cut || page.cut }
        }
        (Format::Auto, Kind::Json) if decoded.len() <= INDENTED_BYTES_MAX => {
            plain(json::indented(decoded).unwrap_or_else(|| decoded.to_owned()))
        }
        _ => plain(decoded.to_owned()),
    })
}

/// The media type in lower case, without parameters, and the charset parameter.
pub(crate) fn media_type(response: &Response) -> (String, Option<String>) {
    let header = response.header("content-type").unwrap_or_default();
    let mut parts = header.split(';');
    let name = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let charset = parts.find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_owned())
    });
    (text::printable(&name), charset)
}

fn kind(media_type: &str, body: &[u8]) -> Kind {
    match media_type {
        "text/html" | "application/xhtml+xml" => Kind::Html,
        "application/json" => Kind::Json,
        "image/png" | "image/jpeg" | "image/gif" | "image/webp" => Kind::Image,
        "application/xml" | "application/javascript" | "application/x-www-form-urlencoded" | "application/yaml" => {
            Kind::Text
        }
        "" if looks_like_html(body) => Kind::Html,
        "text/plain" => Kind::Unknown,
        name if name.ends_with("+json") => Kind::Json,
        name if name.ends_with("+xml") || name.starts_with("text/") => Kind::Text,
        _ => Kind::Unknown,
    }
}

fn looks_like_html(body: &[u8]) -> bool {
    let start = String::from_utf8_lossy(body.get(..SNIFFED_BYTES).unwrap_or(body)).to_ascii_lowercase();
    ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| start.trim_start().starts_with(tag))
}

/// Whether the body is UTF-8 without control characters that text has no use for.
fn is_text(response: &Response) -> bool {
    let body = response.body.as_slice();
    let valid = match std::str::from_utf8(body) {
        Ok(_) => true,
        // The end of what was read may be in the middle of a character.
        Err(error) => response.cut && error.error_len().is_none(),
    };
    valid && !body.iter().any(|byte| matches!(byte, 0..=8 | 14..=26 | 28..=31))
}

/// The character set of a body that does not declare one in its headers.
fn guessed(response: &Response, kind: Kind) -> &'static Encoding {
    let body = response.body.as_slice();
    if kind == Kind::Html {
        let start = String::from_utf8_lossy(body.get(..PRESCAN_BYTES).unwrap_or(body)).to_ascii_lowercase();
        if let Some((_, after)) = start.split_once("charset=") {
            let label: &str = after.trim_start_matches(['"', '\'']);
            let end = label.find(|c: char| !c.is_ascii_alphanumeric() && !"-_:".contains(c)).unwrap_or(label.len());
            if let Some(encoding) = Encoding::for_label(label.get(..end).unwrap_or_default().as_bytes()) {
                // A page that can be read this far is not UTF-16, whatever it says (HTML, 13.2.3.2).
                return if encoding.is_ascii_compatible() { encoding } else { UTF_8 };
            }
        }
    }
    match std::str::from_utf8(body) {
        // Unless only its last character was split.
        Err(error) if !response.cut || error.error_len().is_some() => WINDOWS_1252,
        _ => UTF_8,
    }
}
