//! The forms in which a value comes back: as it is, and as programs write it into texts.
//!
//! Promise: lower case (as in hosts and headers' names), hexadecimal, base64 at every position of a longer text, percent-encoding, JSON and HTML of a value
//! are all there, in the variants that common libraries write.
//!
//! Not here: searching for them (`scan`), forms that a server makes up to hide a value.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode};
use std::fmt::Write as _;

/// All but what RFC 3986, 2.3 calls unreserved.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// As `encodeURIComponent` of JavaScript.
const COMPONENT: &AsciiSet = &UNRESERVED.remove(b'!').remove(b'\'').remove(b'(').remove(b')').remove(b'*');
/// As forms do (WHATWG URL, 5.2), the space aside.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*').remove(b' ');
/// As a path does (WHATWG URL, 1.3).
const PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?').add(b'^').add(b'`').add(b'{').add(b'}');
/// As a query does (WHATWG URL, 1.3).
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'\'');

/// All forms, each once, the value itself first.
pub(crate) fn all(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![value.to_vec(), value.to_ascii_lowercase()];
    let hex: String = value.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    forms.push(hex.to_uppercase().into_bytes());
    forms.push(hex.into_bytes());
    base64_forms(value, &mut forms);
    percent_forms(value, &mut forms);
    if let Ok(text) = std::str::from_utf8(value) {
        text_forms(text, &mut forms);
    }
    let mut unique: Vec<Vec<u8>> = Vec::with_capacity(forms.len());
    for form in forms {
        if !unique.contains(&form) {
            unique.push(form);
        }
    }
    unique
}

/// Alone, and the characters that are certain when other bytes stand before and after it.
fn base64_forms(value: &[u8], forms: &mut Vec<Vec<u8>>) {
    for engine in [&STANDARD, &URL_SAFE] {
        let alone = engine.encode(value);
        forms.push(alone.trim_end_matches('=').into());
        forms.push(alone.into());
        for before in 0..3_usize {
            let shifted: Vec<u8> = std::iter::repeat_n(0, before).chain(value.iter().copied()).collect();
            let text = engine.encode(&shifted);
            // A character holds six bits: those of the bytes around are dropped.
            let (first, end) = ((before * 8).div_ceil(6), shifted.len() * 8 / 6);
            forms.extend(text.get(first..end).map(|certain| certain.as_bytes().to_vec()));
        }
    }
}

fn percent_forms(value: &[u8], forms: &mut Vec<Vec<u8>>) {
    let every: String = value.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "%{byte:02X}");
        text
    });
    let sets = [NON_ALPHANUMERIC, UNRESERVED, COMPONENT, FORM, PATH, QUERY];
    let mut texts: Vec<String> = sets.iter().map(|set| percent_encode(value, set).to_string()).collect();
    texts.extend(texts.iter().map(|text| text.replace("%20", "+").replace(' ', "+")).collect::<Vec<_>>());
    texts.push(every);
    for text in texts {
        forms.push(lower_escapes(&text).into_bytes());
        forms.push(text.into_bytes());
    }
}

/// `%2F` as `%2f`; letters of the value stay.
fn lower_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut after_percent = 0_u8;
    for c in text.chars() {
        out.push(if after_percent > 0 { c.to_ascii_lowercase() } else { c });
        after_percent = if c == '%' { 2 } else { after_percent.saturating_sub(1) };
    }
    out
}

/// JSON as most write it, with escaped slashes, in ASCII only, and safe for HTML; HTML itself.
fn text_forms(text: &str, forms: &mut Vec<Vec<u8>>) {
    let plain = serde_json::Value::from(text).to_string();
    let plain = plain.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&plain);
    let slashes = plain.replace('/', "\\/");
    let escaped = |keep: fn(char) -> bool, source: &str| {
        source.chars().fold(String::new(), |mut out, c| {
            let mut units = [0; 2];
            if keep(c) {
                out.push(c);
            } else {
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            out
        })
    };
    let for_html = |c: char| !matches!(c, '<' | '>' | '&' | '\'' | '\u{2028}' | '\u{2029}');
    for form in [plain, &slashes] {
        for text in [escaped(|c| c.is_ascii(), form), escaped(for_html, form), form.to_owned()] {
            forms.push(text.into_bytes());
        }
    }
    let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let quoted = html.replace('"', "&quot;");
    for text in [quoted.replace('\'', "&#39;"), quoted.replace('\'', "&#x27;"), quoted, html] {
        forms.push(text.into_bytes());
    }
}
