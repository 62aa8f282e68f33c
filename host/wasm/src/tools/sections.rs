//! Putting what a component says of itself into its finished binary, where its compiler could not.
//!
//! Promise: only custom sections of the outermost level are added, in place of those of the same name; the rest stays
//! byte for byte. What comes out was read as any component is.
//!
//! Not here: what the sections hold (`manifest`, `declared`).

use super::anatomy::Anatomy;
use super::{ComponentSource, MANIFEST_SECTION, ReadComponentError, TOOLS_SECTION, check_binary, error, facts};
use std::ops::Range;
use wasmparser::{Parser, Payload};

/// Magic, version and layer (component model, Binary.md, "component preamble"), in bytes.
const PREAMBLE_BYTES: usize = 8;
/// The id of a custom section (WebAssembly, 5.5.3).
const CUSTOM_ID: u8 = 0;

/// What is put into a component; none leaves what there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct OwnWords<'a> {
    /// Its manifest, JSON: the most it asks for.
    pub manifest: Option<&'a [u8]>,
    /// Its tools, JSON.
    pub tools: Option<&'a [u8]>,
}

impl ComponentSource {
    /// The same component with these sections. Doing it twice gives the same bytes.
    ///
    /// # Errors
    /// What is wrong with the component or with what it would say, naming it. What is missing to run it is no error.
    pub fn with_words(&self, words: OwnWords<'_>) -> Result<Self, ReadComponentError> {
        check_binary(self)?;
        let malformed =
            |problem: String| ReadComponentError::Malformed { name: self.name.clone(), problem: error::text(problem) };
        let anatomy = Anatomy::of(&self.bytes).map_err(malformed)?;
        let added = [(MANIFEST_SECTION, words.manifest), (TOOLS_SECTION, words.tools)];
        let added = added.into_iter().filter_map(|(name, data)| data.map(|data| (name, data)));
        let outer = outer(&self.bytes).map_err(malformed)?;
        let mut bytes = self.bytes.get(..PREAMBLE_BYTES).unwrap_or_default().to_vec();
        for section in &outer {
            if !added.clone().any(|(name, _)| section.name == Some(name)) {
                bytes.extend_from_slice(self.bytes.get(section.range.clone()).unwrap_or_default());
            }
        }
        for (name, data) in added {
            let own = outer.iter().filter(|section| section.name == Some(name)).count();
            let all = if name == MANIFEST_SECTION { anatomy.manifest.count } else { anatomy.tools.count };
            if all > own {
                let problem = "a module inside it has one already, from its compiler: change it in its source";
                let (name_of, problem) = (self.name.clone(), problem.to_owned());
                return Err(match name {
                    MANIFEST_SECTION => ReadComponentError::Manifest { name: name_of, problem },
                    _ => ReadComponentError::Tools { name: name_of, problem },
                });
            }
            push_custom(&mut bytes, name, data);
        }
        let described = Self { name: self.name.clone(), bytes: bytes.into() };
        facts(&described, None, None)?;
        Ok(described)
    }
}

/// A section of the component itself, with its id and size.
struct Outer<'a> {
    /// The name of a custom section.
    name: Option<&'a str>,
    range: Range<usize>,
}

fn outer(bytes: &[u8]) -> Result<Vec<Outer<'_>>, String> {
    let mut sections = Vec::new();
    let (mut depth, mut end) = (0_usize, PREAMBLE_BYTES);
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| error.to_string())?;
        match &payload {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {
                let Some((_, contents)) = payload.as_section().filter(|_| depth == 1) else { continue };
                let name = match &payload {
                    Payload::CustomSection(section) => Some(section.name()),
                    _ => None,
                };
                let start = end;
                end = usize::try_from(contents.end).unwrap_or(usize::MAX);
                let range = start..end;
                sections.push(Outer { name, range });
            }
        }
    }
    Ok(sections)
}

/// Adds a custom section (WebAssembly, 5.5.3).
fn push_custom(bytes: &mut Vec<u8>, name: &str, data: &[u8]) {
    let mut body = leb128(name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(data);
    bytes.push(CUSTOM_ID);
    bytes.extend(leb128(body.len()));
    bytes.extend(body);
}

/// A number as unsigned LEB128 (WebAssembly, 5.2.2).
fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::Component;

    const MANIFEST: &[u8] = br#"{"capabilities": ["question"], "tools": {"f": {"description": "Does f."}}}"#;

    fn source(module: &str, rest: &str) -> ComponentSource {
        let text = format!(
            r#"(component (core module $m (func (export "f")) {module}) (core instance $i (instantiate $m))
                (func (export "f") (canon lift (core func $i "f"))) {rest} (@custom "other" "kept"))"#
        );
        ComponentSource { name: "plain".to_owned(), bytes: wat::parse_str(text).unwrap().into() }
    }

    fn described(source: &ComponentSource, manifest: &[u8]) -> Result<ComponentSource, ReadComponentError> {
        source.with_words(OwnWords { manifest: Some(manifest), tools: None })
    }

    #[test]
    fn a_section_is_added_replaced_and_read_as_any_other() {
        let plain = source("", "");
        assert_eq!(plain.with_words(OwnWords::default()).unwrap().bytes, plain.bytes, "nothing else is touched");
        let once = described(&plain, MANIFEST).unwrap();
        assert!(once.bytes.starts_with(&plain.bytes));
        assert_eq!(described(&once, MANIFEST).unwrap().bytes, once.bytes, "twice changes nothing");
        let component = Component::read(once.clone()).unwrap();
        assert_eq!(component.ceiling(), ["question".parse().unwrap()]);
        assert!(component.has_manifest() && component.tools()[0].description.starts_with("Does f."));
        // Wherever it stands, and longer than one byte of a length tells.
        let words = "w".repeat(20_000);
        let long = format!(r#"{{"capabilities": [], "tools": {{"f": {{"name": "g"}}}}, "description": "{words}"}}"#);
        let refused = described(&once, long.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains("its description has 20000 bytes"), "{refused}");
        let before = source("", r#"(@custom "harness:manifest" "{\"capabilities\": [\"kv read session\"]}")"#);
        let now = described(&before, long.replace(&words, &words[..3_000]).as_bytes()).unwrap();
        let component = Component::read(now.clone()).unwrap();
        assert!(component.ceiling().is_empty() && component.tools()[0].name == "g");
        assert_eq!(component.facts().sections.iter().filter(|(name, _)| name == "other").count(), 1);
    }

    #[test]
    fn what_would_not_be_read_is_not_put_in() {
        let plain = source("", "");
        let table: [(&ComponentSource, &[u8], &str); 5] = [
            (&plain, b"{", "wrong manifest"),
            (&plain, br#"{"capabilities": ["anything"]}"#, "is not a capability"),
            (&plain, br#"{"capabilities": [], "tools": {"g": {}}}"#, "`g`, which is not exported"),
            (&source(r#"(@custom "harness:manifest" "{}")"#, ""), MANIFEST, "a module inside it has one already"),
            (
                &ComponentSource { name: "m".to_owned(), bytes: (&b"\0asm\x01\0\0\0"[..]).into() },
                MANIFEST,
                "core module",
            ),
        ];
        for (source, manifest, expected) in table {
            let refused = described(source, manifest).unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
        }
        let tools = plain.with_words(OwnWords { manifest: None, tools: Some(b"[]") }).unwrap_err().to_string();
        assert!(tools.contains("exports no tools"), "{tools}");
    }
}
