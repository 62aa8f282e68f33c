//! Lines of Markdown, written as the page's elements begin and end.
//!
//! Promise: white space is what Markdown wants: no line ends with a space, no two empty lines follow each other, a
//! link or a code span never begins in one block and ends in another.
//!
//! Not here: what elements mean (`markdown`).

use std::fmt::Write as _;

/// Deeper lists and quotes are written as deep as this, so that no prefix of a line grows.
const SHOWN_DEPTH_MAX: usize = 8;

/// An inline mark: written when the first text comes, so that empty ones leave nothing.
#[derive(Debug, Default, PartialEq, Eq)]
enum Mark {
    #[default]
    None,
    Wanted,
    Written,
}

#[derive(Debug, Default)]
struct Code {
    language: String,
    text: String,
}

#[derive(Debug, Default)]
struct Table {
    cells: usize,
    rows: usize,
}

/// What was written, and what is to be written before the next word.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    out: String,
    newlines: usize,
    space: bool,
    /// Begins the next line: of a list's item, a heading.
    marker: String,
    quotes: usize,
    /// The next number of each open list; nothing for a bulleted one.
    lists: Vec<Option<u64>>,
    link: Mark,
    address: String,
    span: Mark,
    code: Option<Code>,
    table: Option<Table>,
}

impl Writer {
    /// How much was written, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.out.len() + self.code.as_ref().map_or(0, |code| code.text.len())
    }

    /// All that was written, at most `bytes_max`, and whether that was less than all.
    pub(crate) fn finish(mut self, bytes_max: usize) -> (String, bool) {
        self.close_code();
        self.close_marks();
        let cut = self.out.len() > bytes_max;
        if cut {
            self.out.truncate(self.out.floor_char_boundary(bytes_max));
        }
        (self.out, cut)
    }

    /// Text of the page.
    pub(crate) fn text(&mut self, text: &str) {
        if let Some(code) = &mut self.code {
            code.text.push_str(text);
            return;
        }
        for part in text.split_inclusive(is_space) {
            let word = part.trim_end_matches(is_space);
            if !word.is_empty() {
                self.word(word);
            }
            self.space |= word.len() < part.len();
        }
    }

    fn word(&mut self, word: &str) {
        self.begin_word();
        if self.table.is_some() && word.contains('|') {
            self.out.push_str(&word.replace('|', "\\|"));
        } else {
            self.out.push_str(word);
        }
    }

    /// Writes all that comes before a word: line breaks, prefixes, the space, marks.
    fn begin_word(&mut self) {
        if self.newlines > 0 || self.out.is_empty() || !self.marker.is_empty() {
            self.begin_line();
        } else if self.space && !self.out.ends_with(['\n', ' ']) {
            self.out.push(' ');
        }
        self.space = false;
        if self.link == Mark::Wanted {
            self.link = Mark::Written;
            self.out.push('[');
        }
        if self.span == Mark::Wanted {
            self.span = Mark::Written;
            self.out.push('`');
        }
    }

    fn begin_line(&mut self) {
        if !self.out.is_empty() {
            for _ in 0..self.newlines.clamp(1, 2) {
                self.out.push('\n');
            }
        }
        self.newlines = 0;
        for _ in 0..self.quotes.min(SHOWN_DEPTH_MAX) {
            self.out.push_str("> ");
        }
        // The marker of an item stands where the text of the list around it begins.
        let depth = self.lists.len() - usize::from(self.has_item_marker() && !self.lists.is_empty());
        for list in self.lists.iter().take(depth.min(SHOWN_DEPTH_MAX)) {
            self.out.push_str(if list.is_some() { "   " } else { "  " });
        }
        self.out.push_str(&self.marker);
        self.marker.clear();
    }

    fn has_item_marker(&self) -> bool {
        self.marker.starts_with('-') || self.marker.starts_with(|first: char| first.is_ascii_digit())
    }

    /// Ends the block; `newlines` come before the next one. Within a table that is a space.
    pub(crate) fn block(&mut self, newlines: usize) {
        if self.code.is_some() {
            return;
        }
        self.close_marks();
        if self.table.is_some() {
            self.space = true;
        } else if self.marker.is_empty() {
            self.newlines = self.newlines.max(newlines);
            self.space = false;
        }
    }

    /// Ends the marks that were begun; those that wait for their first text go on waiting.
    fn close_marks(&mut self) {
        if self.span == Mark::Written {
            self.code_end();
        }
        if self.link == Mark::Written {
            self.link_end();
        }
    }

    pub(crate) fn heading(&mut self, level: usize) {
        self.block(2);
        if self.table.is_none() && self.code.is_none() {
            let hashes = "#".repeat(level.clamp(1, 6));
            // In an item, the heading follows the item's own marker.
            if self.has_item_marker() {
                self.marker.push_str(&hashes)
            } else {
                self.marker = hashes
            }
            self.marker.push(' ');
        }
    }

    pub(crate) fn line_break(&mut self) {
        if let Some(code) = &mut self.code {
            code.text.push('\n');
        } else if self.table.is_some() {
            self.space = true;
        } else {
            self.newlines = (self.newlines + 1).min(2);
        }
    }

    pub(crate) fn rule(&mut self) {
        self.block(2);
        if self.table.is_none() && self.code.is_none() {
            self.word("---");
            self.block(2);
        }
    }

    pub(crate) fn list_start(&mut self, first: Option<u64>) {
        self.block(if self.lists.is_empty() { 2 } else { 1 });
        self.lists.push(first);
    }

    pub(crate) fn list_end(&mut self) {
        self.drop_item_marker();
        if self.lists.pop().is_some() {
            self.block(if self.lists.is_empty() { 2 } else { 1 });
        }
    }

    /// An item without text leaves nothing.
    fn drop_item_marker(&mut self) {
        if self.has_item_marker() {
            self.marker.clear();
        }
    }

    pub(crate) fn item(&mut self) {
        self.drop_item_marker();
        self.block(1);
        if self.table.is_some() || self.code.is_some() {
            return;
        }
        match self.lists.last_mut() {
            Some(Some(number)) => {
                self.marker = format!("{number}. ");
                *number = number.saturating_add(1);
            }
            _ => "- ".clone_into(&mut self.marker),
        }
    }

    pub(crate) fn definition(&mut self) {
        self.block(1);
        if self.table.is_none() && self.code.is_none() {
            ": ".clone_into(&mut self.marker);
        }
    }

    pub(crate) fn quote_start(&mut self) {
        self.block(2);
        self.quotes += 1;
    }

    pub(crate) fn quote_end(&mut self) {
        self.block(2);
        self.quotes = self.quotes.saturating_sub(1);
    }

    /// Begins a link to `address`; without one its text is written alone.
    pub(crate) fn link_start(&mut self, address: Option<String>) {
        self.link_end();
        if let (Some(address), None, Mark::None) = (address, &self.code, &self.span) {
            self.address = address;
            self.link = Mark::Wanted;
        }
    }

    pub(crate) fn link_end(&mut self) {
        if self.link == Mark::Written {
            if self.span == Mark::Written {
                self.code_end();
            }
            // Writing to a string cannot fail.
            let _ = write!(self.out, "]({})", self.address);
        }
        self.link = Mark::None;
    }

    pub(crate) fn code_start(&mut self, class: Option<&str>) {
        match &mut self.code {
            Some(code) if code.language.is_empty() && code.text.trim().is_empty() => code.language = language(class),
            Some(_) => {}
            None => {
                self.code_end();
                self.span = Mark::Wanted;
            }
        }
    }

    pub(crate) fn code_end(&mut self) {
        if self.span == Mark::Written {
            self.out.push('`');
        }
        self.span = Mark::None;
    }

    pub(crate) fn image(&mut self, alt: &str, source: Option<&str>) {
        if self.code.is_some() || alt.trim().is_empty() {
            return;
        }
        match source {
            // Within a link its text is enough.
            Some(source) if self.link == Mark::None && self.span == Mark::None => {
                self.begin_word();
                self.out.push_str("![");
                self.text(alt);
                self.space = false;
                let _ = write!(self.out, "]({source})");
            }
            _ => self.text(alt),
        }
    }

    pub(crate) fn open_code(&mut self, class: Option<&str>) {
        if self.code.is_none() {
            self.block(2);
            self.code = Some(Code { language: language(class), text: String::new() });
        }
    }

    pub(crate) fn close_code(&mut self) {
        let Some(code) = self.code.take() else { return };
        let text = code.text.trim_end().trim_start_matches(['\r', '\n']);
        if text.is_empty() {
            return;
        }
        if self.table.is_some() {
            self.text(text);
            return;
        }
        let fence = "`".repeat(longest_run(text, '`').max(2) + 1);
        self.begin_word();
        let _ = write!(self.out, "{fence}{}\n{text}\n{fence}", code.language);
        self.block(2);
    }

    pub(crate) fn table_start(&mut self) {
        self.block(2);
        if self.code.is_none() {
            self.table = Some(Table::default());
        }
    }

    pub(crate) fn row_start(&mut self) {
        self.row_end();
    }

    pub(crate) fn cell_start(&mut self) {
        self.close_marks();
        let Some(table) = &mut self.table else { return };
        table.cells += 1;
        if table.cells == 1 {
            self.newlines = self.newlines.max(1);
            self.begin_line();
            self.out.push_str("| ");
        } else {
            self.out.push_str(" | ");
        }
        self.space = false;
    }

    pub(crate) fn row_end(&mut self) {
        self.close_marks();
        let Some(table) = &mut self.table else { return };
        if table.cells == 0 {
            return;
        }
        self.out.push_str(" |");
        table.rows += 1;
        let cells = std::mem::take(&mut table.cells);
        if table.rows == 1 {
            self.newlines = 1;
            self.begin_line();
            self.out.push('|');
            for _ in 0..cells {
                self.out.push_str("---|");
            }
        }
        self.newlines = 1;
        self.space = false;
    }

    pub(crate) fn table_end(&mut self) {
        self.row_end();
        self.table = None;
        self.block(2);
    }
}

fn is_space(character: char) -> bool {
    character.is_whitespace() && character != '\u{a0}'
}

/// The language that a class such as `language-rust` names.
fn language(class: Option<&str>) -> String {
    let names = class.unwrap_or_default().split_whitespace();
    let named = names.filter_map(|name| name.strip_prefix("language-").or_else(|| name.strip_prefix("lang-")));
    let plain = |name: &&str| {
        name.len() <= 20 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+#-".contains(&byte))
    };
    named.filter(plain).map(str::to_owned).next().unwrap_or_default()
}

fn longest_run(text: &str, wanted: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for character in text.chars() {
        run = if character == wanted { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}
