//! One layer: what one file, variable or flag says.
//!
//! Promise: all layers go through the same parsing and checking, wherever their text is from.
//!
//! Not here: which layer wins (`resolve`).

use crate::check::{LineIndex, check};
use crate::file::{CONFIG_FILE_BYTES_MAX, read};
use crate::problem::{Fault, Problem};
use crate::raw::RawConfig;
use crate::schema::schema;
use crate::source::{Source, Sourced};
use crate::trust::ConfigDigest;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;
use toml::de::DeTable;

/// What one source says.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    /// The source.
    pub(crate) source: Source,
    /// What it says.
    pub(crate) raw: RawConfig,
    /// Line of each key, by dotted path.
    lines: BTreeMap<String, usize>,
}

impl Layer {
    /// The line of a key, where the layer is a file.
    pub(crate) fn line(&self, key: &str) -> Option<usize> {
        self.lines.get(key).copied().filter(|_| has_lines(&self.source))
    }

    /// A problem with a key of this layer.
    pub(crate) fn problem(&self, key: &str, fault: Fault) -> Problem {
        Problem { origin: self.source.clone(), line: self.line(key), key: key.to_owned(), fault }
    }
}

/// Only files have lines that a person could go to.
fn has_lines(source: &Source) -> bool {
    match source {
        Source::BuiltIn | Source::Machine(_) | Source::User(_) | Source::Project(_) => true,
        Source::Environment(_) | Source::Flag(_) => false,
    }
}

/// Parses and checks a text. None when it has problems, which are added to the list.
pub(crate) fn parse(text: &str, source: Source, problems: &mut Vec<Problem>) -> Option<Layer> {
    let (raw, lines) = parse_as(text, &source, schema(), problems)?;
    Some(Layer { source, raw, lines })
}

/// Parses and checks a text by a schema. None when it has problems, which are added to the list.
pub(crate) fn parse_as<T: DeserializeOwned>(
    text: &str,
    source: &Source,
    root: &serde_json::Value,
    problems: &mut Vec<Problem>,
) -> Option<(T, BTreeMap<String, usize>)> {
    let count_before = problems.len();
    let (document, errors) = DeTable::parse_recoverable(text);
    let line_index = LineIndex::new(text);
    let lined = has_lines(source);
    for error in errors {
        let line = error.span().map(|span| line_index.line(span.start));
        problems.push(Problem {
            origin: source.clone(),
            line: line.filter(|_| lined),
            key: String::new(),
            fault: Fault::Syntax { message: error.message().to_owned() },
        });
    }
    if problems.len() > count_before {
        return None; // What recovery left over would give problems that are not there.
    }
    let checked = check(document.get_ref(), text, root);
    problems.extend(checked.faults.into_iter().map(|(line, key, fault)| Problem {
        origin: source.clone(),
        line: Some(line).filter(|_| lined),
        key,
        fault,
    }));
    if problems.len() > count_before {
        return None;
    }
    match T::deserialize(toml::de::Deserializer::from(document)) {
        Ok(raw) => Some((raw, checked.lines)),
        Err(error) => {
            let line = error.span().map(|span| line_index.line(span.start));
            let fault = Fault::Syntax { message: error.message().to_owned() };
            problems.push(Problem { origin: source.clone(), line, key: String::new(), fault });
            None
        }
    }
}

/// A file's layer and digest; none when there is no file, or it has problems.
pub(crate) fn from_file(path: &Path, source: Source, problems: &mut Vec<Problem>) -> Option<(Layer, ConfigDigest)> {
    let (text, digest) = text_of(path, &source, problems)?;
    parse(&text, source, problems).map(|layer| (layer, digest))
}

/// A file's text and digest; none when there is no file, or it is no text.
pub(crate) fn text_of(path: &Path, source: &Source, problems: &mut Vec<Problem>) -> Option<(String, ConfigDigest)> {
    let fault = match read(path, CONFIG_FILE_BYTES_MAX) {
        Ok(None) => return None,
        Ok(Some(bytes)) => {
            let digest = ConfigDigest::of(&bytes);
            match String::from_utf8(bytes) {
                Ok(text) => return Some((text, digest)),
                Err(_) => Fault::NotUtf8,
            }
        }
        Err(fault) => fault,
    };
    problems.push(Problem { origin: source.clone(), line: None, key: String::new(), fault });
    None
}

/// A layer that sets a single key, given by its path and a TOML value.
pub(crate) fn from_value(
    path: &[&str],
    value: toml::Value,
    source: Source,
    problems: &mut Vec<Problem>,
) -> Option<Layer> {
    let nested = path
        .iter()
        .rev()
        .fold(value, |inner, key| toml::Value::Table(toml::Table::from_iter([((*key).to_owned(), inner)])));
    match toml::to_string(&nested) {
        Ok(text) => parse(&text, source, problems),
        Err(error) => {
            let fault = Fault::Syntax { message: error.to_string() };
            problems.push(Problem { origin: source, line: None, key: path.join("."), fault });
            None
        }
    }
}

/// The value of the strongest layer that has one. Layers come weakest first.
pub(crate) fn strongest<'a, T>(layers: &'a [Layer], get: impl Fn(&'a RawConfig) -> Option<T>) -> Option<Sourced<T>> {
    layers.iter().rev().find_map(|layer| Some(Sourced::new(get(&layer.raw)?, layer.source.clone())))
}
