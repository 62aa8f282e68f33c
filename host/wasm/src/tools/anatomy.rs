//! A component's binary, taken apart as far as it can be without looking at types or code.
//!
//! Promise: every count has a limit and is checked before anything is kept; bytes are borrowed, not copied.
//!
//! Not here: what the names mean (`kind`), what sections hold (`declared`, `manifest`), types (`plain`).

use crate::clean::clean_and_cut;
use crate::modes::MODE_SECTION;
use std::collections::BTreeSet;
use wasmparser::{Encoding, KnownCustom, Parser, Payload};

/// Modules and components inside one another.
const NESTING_DEPTH_MAX: usize = 16;
/// Imports of a component, and exports: many times what there is to import.
pub(super) const COMPONENT_NAMES_MAX: usize = 1_000;
/// Custom sections that are listed.
const SECTIONS_LISTED_MAX: usize = 64;
/// Producers that are listed.
const PRODUCERS_LISTED_MAX: usize = 64;
/// A name of a section or producer, in bytes.
const LISTED_NAME_BYTES_MAX: usize = 100;

/// A section that may be there once.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Once<'a> {
    /// What the last one holds.
    pub(super) data: Option<&'a [u8]>,
    /// How many there are.
    pub(super) count: usize,
}

/// What the binary's own structure says.
#[derive(Debug, Default)]
pub(super) struct Anatomy<'a> {
    /// Imports of the component itself, with their versions.
    pub(super) imports: Vec<String>,
    /// Exports of the component itself, as they are written.
    pub(super) exports: Vec<&'a str>,
    /// `harness:tools`, wherever it is: compilers put it into a module.
    pub(super) tools: Once<'a>,
    /// `harness:manifest`, wherever it is.
    pub(super) manifest: Once<'a>,
    /// `harness:mode`, wherever it is.
    pub(super) mode: Once<'a>,
    /// What the author wrote in WIT.
    pub(super) docs: Vec<&'a [u8]>,
    /// Names and sizes of other custom sections of the component itself.
    pub(super) sections: Vec<(String, usize)>,
    /// What it was made with.
    pub(super) producers: BTreeSet<String>,
}

impl<'a> Anatomy<'a> {
    /// Takes a binary apart.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, String> {
        let mut anatomy = Self::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(|error| error.to_string())? {
                Payload::Version { encoding: Encoding::Module | Encoding::Component, .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 1 => {
                    check_room("imports", anatomy.imports.len(), section.count())?;
                    for import in section {
                        let import = import.map_err(|error| error.to_string())?;
                        anatomy.imports.push(import.name.full_name().to_string());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 1 => {
                    check_room("exports", anatomy.exports.len(), section.count())?;
                    for export in section {
                        anatomy.exports.push(export.map_err(|error| error.to_string())?.name.name);
                    }
                }
                Payload::CustomSection(section) => anatomy.custom(&section, depth),
                _ => {}
            }
            if depth > NESTING_DEPTH_MAX {
                return Err(format!("more than {NESTING_DEPTH_MAX} modules and components inside one another"));
            }
        }
        Ok(anatomy)
    }

    fn custom(&mut self, section: &wasmparser::CustomSectionReader<'a>, depth: usize) {
        let once = |found: &mut Once<'a>| {
            found.count += 1;
            found.data = Some(section.data());
        };
        match section.name() {
            super::TOOLS_SECTION => once(&mut self.tools),
            super::MANIFEST_SECTION => once(&mut self.manifest),
            MODE_SECTION => once(&mut self.mode),
            crate::plain::DOCS_SECTION if self.docs.len() < SECTIONS_LISTED_MAX => self.docs.push(section.data()),
            "producers" => self.producers(section),
            _ => {}
        }
        if depth == 1 && self.sections.len() < SECTIONS_LISTED_MAX {
            self.sections.push((listed(section.name()), section.data().len()));
        }
    }

    fn producers(&mut self, section: &wasmparser::CustomSectionReader<'a>) {
        // What is wrong with it does not matter: it is only shown.
        let KnownCustom::Producers(fields) = section.as_known() else { return };
        for value in fields.into_iter().flatten().flat_map(|field| field.values.into_iter().flatten()) {
            if self.producers.len() < PRODUCERS_LISTED_MAX {
                self.producers.insert(listed(&format!("{} {}", value.name, value.version)));
            }
        }
    }
}

fn listed(name: &str) -> String {
    clean_and_cut(name.as_bytes(), LISTED_NAME_BYTES_MAX).replace(['\n', '\t'], " ")
}

/// Refuses names before any of them is kept.
pub(super) fn check_room(what: &str, known: usize, more: u32) -> Result<(), String> {
    let all = known.saturating_add(usize::try_from(more).unwrap_or(usize::MAX));
    if all > COMPONENT_NAMES_MAX {
        return Err(format!("it has {all} {what}, more than {COMPONENT_NAMES_MAX}"));
    }
    Ok(())
}
