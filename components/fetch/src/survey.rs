//! A first look at a page: what has to be known before a line of it is written.
//!
//! Promise: one pass. An element that is never closed is not left out, so that a forgotten tag does not swallow
//! the rest of a page.
//!
//! Not here: writing (`markdown`).

use std::collections::HashMap;

use crate::markdown::{Piece, Tag, pieces};

/// Never readable text.
const NEVER_SHOWN: [&str; 16] = [
    "button", "canvas", "datalist", "embed", "head", "iframe", "map", "noscript", "object", "script", "select",
    "style", "svg", "template", "textarea", "title",
];
const TITLE_BYTES_MAX: usize = 1_000;

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) title: String,
    /// The address that relative ones are relative to, as the page says.
    pub(crate) base: Option<String>,
    /// For each table, in the order of their start tags, whether it only lays out the page.
    pub(crate) layout: Vec<bool>,
    /// For each name that may be left out: start tags less end tags, never below nothing.
    open: HashMap<String, usize>,
}

impl Survey {
    pub(crate) fn of(html: &str) -> Self {
        let mut survey = Self::default();
        let mut tables: Vec<usize> = Vec::new();
        let mut in_title = false;
        pieces(html, |piece| {
            match piece {
                Piece::Start(tag) => {
                    // A drawing has titles of its own.
                    let in_drawing = survey.open.get("svg").is_some_and(|open| *open > 0);
                    in_title = tag.name == "title" && survey.title.is_empty() && !in_drawing;
                    survey.start(tag, &mut tables);
                }
                Piece::End(name) => {
                    in_title = false;
                    if name == "table" {
                        tables.pop();
                    }
                    if let Some(open) = survey.open.get_mut(name) {
                        *open = open.saturating_sub(1);
                    }
                }
                Piece::Text(text) if in_title => survey.title.extend(text.chars().take(TITLE_BYTES_MAX / 4)),
                Piece::Text(_) => {}
            }
            true
        });
        // A table that never ends holds whatever follows.
        for table in tables {
            survey.mark(table);
        }
        survey
    }

    fn start(&mut self, tag: &Tag, tables: &mut Vec<usize>) {
        let name = tag.name.as_str();
        if may_be_left_out(tag) && !is_void(name) {
            self.open.entry(name.to_owned()).or_default();
        }
        if let Some(open) = self.open.get_mut(name) {
            *open += 1;
        }
        match name {
            "base" if self.base.is_none() => self.base.clone_from(&tag.href),
            "table" => {
                if let Some(outer) = tables.last() {
                    self.mark(*outer);
                }
                tables.push(self.layout.len());
                self.layout.push(tag.role.as_deref() == Some("presentation"));
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "pre" | "ul" | "ol" | "blockquote" | "form" | "article" => {
                if let Some(table) = tables.last() {
                    self.mark(*table);
                }
            }
            _ => {}
        }
    }

    fn mark(&mut self, table: usize) {
        if let Some(layout) = self.layout.get_mut(table) {
            *layout = true;
        }
    }

    /// Whether an element is left out with all that it holds.
    pub(crate) fn is_left_out(&self, tag: &Tag) -> bool {
        may_be_left_out(tag) && self.open.get(tag.name.as_str()).is_none_or(|open| *open == 0)
    }
}

fn may_be_left_out(tag: &Tag) -> bool {
    let name = tag.name.as_str();
    tag.hidden
        || NEVER_SHOWN.contains(&name)
        || matches!(name, "nav" | "footer")
        || matches!(tag.role.as_deref(), Some("navigation" | "contentinfo"))
}

/// Whether an element never has content (HTML, 13.1.2).
pub(crate) fn is_void(name: &str) -> bool {
    matches!(
        name,
        "area"
            | "base"
            | "br"
            | "col"
            | "embed"
            | "hr"
            | "img"
            | "input"
            | "link"
            | "meta"
            | "source"
            | "track"
            | "wbr"
    )
}
