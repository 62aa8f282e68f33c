//! HTML made into Markdown, from its tags as they come: no tree is built.
//!
//! Promise: time and memory grow with the input and no faster, however it is nested; nothing recurses; the result
//! has at most [`OUT_BYTES_MAX`]. Scripts, styles, forms' controls, navigation and what is hidden are left out.
//!
//! Not here: which tables are tables and what may be left out (`survey`), writing lines (`writer`).

use html5gum::Tokenizer;
use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use url::Url;

use crate::survey::{Survey, is_void};
use crate::writer::Writer;

pub(crate) const OUT_BYTES_MAX: usize = 4 << 20;
/// Addresses that are longer are not shown: they are data in disguise.
const ADDRESS_BYTES_MAX: usize = 2_000;
/// Attributes of a tag are read up to this many bytes each.
const ATTRIBUTE_BYTES_MAX: usize = 8 << 10;

/// A page as text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) text: String,
    /// Whether there was more than fits into [`OUT_BYTES_MAX`].
    pub(crate) cut: bool,
}

/// The attributes that matter here.
#[derive(Debug, Default)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) href: Option<String>,
    pub(crate) src: Option<String>,
    pub(crate) alt: Option<String>,
    pub(crate) class: Option<String>,
    pub(crate) start: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) hidden: bool,
}

/// What a page consists of.
pub(crate) enum Piece<'a> {
    Start(&'a Tag),
    End(&'a str),
    Text(&'a str),
}

/// Hands the pieces of `html` to `sink` until it returns false.
pub(crate) fn pieces(html: &str, mut sink: impl FnMut(Piece<'_>) -> bool) {
    let mut tag = Tag::default();
    let mut attribute = String::new();
    let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _: html5gum::Span<()>| -> Option<bool> {
        let goes_on = match event {
            CallbackEvent::OpenStartTag { name } => {
                tag = Tag { name: text(name), ..Tag::default() };
                true
            }
            CallbackEvent::AttributeName { name } => {
                attribute = text(name.get(..ATTRIBUTE_BYTES_MAX).unwrap_or(name));
                tag.hidden |= attribute == "hidden";
                true
            }
            CallbackEvent::AttributeValue { value } => {
                let slot = match attribute.as_str() {
                    "href" => &mut tag.href,
                    "src" => &mut tag.src,
                    "alt" => &mut tag.alt,
                    "class" => &mut tag.class,
                    "start" => &mut tag.start,
                    "role" => &mut tag.role,
                    _ => return None,
                };
                // The first of two attributes of a name counts.
                slot.get_or_insert_with(|| text(value.get(..ATTRIBUTE_BYTES_MAX).unwrap_or(value)));
                true
            }
            CallbackEvent::CloseStartTag { .. } => sink(Piece::Start(&tag)),
            CallbackEvent::EndTag { name } => sink(Piece::End(&text(name))),
            CallbackEvent::String { value } => sink(Piece::Text(&String::from_utf8_lossy(value))),
            _ => true,
        };
        (!goes_on).then_some(false)
    });
    // The content of a script or a style is no markup.
    emitter.naively_switch_states(true);
    let mut tokenizer = Tokenizer::new_with_emitter(html, emitter);
    // Only the wish to stop is yielded.
    let _ = tokenizer.next();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Converts `html`, which came from `base`; without `links`, addresses are left out.
pub(crate) fn convert(html: &str, base: &Url, links: bool) -> Page {
    let survey = Survey::of(html);
    let base = survey.base.as_deref().and_then(|href| base.join(href).ok()).unwrap_or_else(|| base.clone());
    let mut converter = Converter {
        writer: Writer::default(),
        survey: &survey,
        base: &base,
        links,
        skipped: None,
        tables: Vec::new(),
        tables_seen: 0,
    };
    pieces(html, |piece| {
        match piece {
            Piece::Start(tag) => converter.start(tag),
            Piece::End(name) => converter.end(name),
            Piece::Text(text) => {
                if converter.skipped.is_none() {
                    converter.writer.text(text);
                }
            }
        }
        converter.writer.len() <= OUT_BYTES_MAX
    });
    let (text, cut) = converter.writer.finish(OUT_BYTES_MAX);
    Page { title: survey.title.split_whitespace().collect::<Vec<_>>().join(" "), text, cut }
}

struct Converter<'a> {
    writer: Writer,
    survey: &'a Survey,
    base: &'a Url,
    links: bool,
    /// The element whose content is left out, and how many of its name are open.
    skipped: Option<(String, usize)>,
    /// For each open table, whether it lays out the page only.
    tables: Vec<bool>,
    tables_seen: usize,
}

impl Converter<'_> {
    fn start(&mut self, tag: &Tag) {
        let name = tag.name.as_str();
        if let Some((skipped, depth)) = &mut self.skipped {
            *depth += usize::from(skipped == name);
            return;
        }
        if self.survey.is_left_out(tag) {
            if !is_void(name) {
                self.skipped = Some((name.to_owned(), 1));
            }
            return;
        }
        match name {
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                let level = name.as_bytes().get(1).map_or(1, |digit| usize::from(digit - b'0'));
                self.writer.heading(level);
            }
            "br" => self.writer.line_break(),
            "hr" => self.writer.rule(),
            "pre" => self.writer.open_code(tag.class.as_deref()),
            "code" | "kbd" | "samp" | "tt" => self.writer.code_start(tag.class.as_deref()),
            "a" => self.writer.link_start(tag.href.as_deref().and_then(|href| self.address(href))),
            "img" => {
                let source = tag.src.as_deref().and_then(|source| self.address(source));
                self.writer.image(tag.alt.as_deref().unwrap_or_default(), source.as_deref());
            }
            "ul" | "menu" => self.writer.list_start(None),
            "ol" => {
                let first = tag.start.as_deref().and_then(|start| start.trim().parse().ok()).unwrap_or(1);
                self.writer.list_start(Some(first));
            }
            "li" => self.writer.item(),
            "dt" => self.writer.block(1),
            "dd" => self.writer.definition(),
            "blockquote" => self.writer.quote_start(),
            "table" => {
                let layout = self.survey.layout.get(self.tables_seen).copied().unwrap_or(true);
                self.tables_seen += 1;
                self.tables.push(layout);
                if layout { self.writer.block(1) } else { self.writer.table_start() }
            }
            "tr" => self.row(Writer::row_start),
            "td" | "th" => self.row(Writer::cell_start),
            "p" => self.writer.block(2),
            _ if is_block(name) => self.writer.block(1),
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        if let Some((skipped, depth)) = &mut self.skipped {
            if skipped == name {
                *depth -= 1;
                if *depth == 0 {
                    self.skipped = None;
                }
            }
            return;
        }
        match name {
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "p" => self.writer.block(2),
            "pre" => self.writer.close_code(),
            "code" | "kbd" | "samp" | "tt" => self.writer.code_end(),
            "a" => self.writer.link_end(),
            "ul" | "ol" | "menu" => self.writer.list_end(),
            "blockquote" => self.writer.quote_end(),
            "table" => match self.tables.pop() {
                Some(false) => self.writer.table_end(),
                Some(true) => self.writer.block(1),
                None => {}
            },
            "tr" => self.row(Writer::row_end),
            "td" | "th" => {}
            _ if is_block(name) => self.writer.block(1),
            _ => {}
        }
    }

    /// A part of a table, or a block where the table only lays out the page.
    fn row(&mut self, part: fn(&mut Writer)) {
        match self.tables.last() {
            Some(false) => part(&mut self.writer),
            _ => self.writer.block(1),
        }
    }

    /// Where a link leads, absolutely; nothing when that is of no use to a reader.
    fn address(&self, href: &str) -> Option<String> {
        let href = href.trim();
        if !self.links || href.is_empty() || href.starts_with('#') || href.len() > ADDRESS_BYTES_MAX {
            return None;
        }
        let url = self.base.join(href).ok()?;
        let known = matches!(url.scheme(), "http" | "https" | "mailto") && url.as_str().len() <= ADDRESS_BYTES_MAX;
        // A parenthesis would end the link.
        known.then(|| url.as_str().replace('(', "%28").replace(')', "%29"))
    }
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "article"
            | "aside"
            | "body"
            | "caption"
            | "center"
            | "details"
            | "dialog"
            | "div"
            | "dl"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "footer"
            | "form"
            | "header"
            | "legend"
            | "main"
            | "nav"
            | "optgroup"
            | "option"
            | "section"
            | "summary"
            | "tbody"
            | "tfoot"
            | "thead"
    )
}
