//! Finding the text to replace, and replacing it.
//!
//! Promise: in a file whose lines all end with CRLF, texts given with LF mean CRLF, because no tool shows the
//! difference; apart from that a match is byte for byte.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;

/// How many replacements are shown.
const SHOWN: usize = 3;

/// What is new in a content.
#[derive(Default)]
pub(crate) struct Changed {
    /// How many replacements there were.
    pub(crate) places: usize,
    /// Where the first few are.
    pub(crate) first: Vec<Range<usize>>,
}

/// Where a text is, and what is to be there.
pub(crate) struct Edit<'a> {
    /// Where it begins, each time, not overlapping. Empty when it is nowhere.
    pub(crate) places: Vec<usize>,
    old: Cow<'a, str>,
    new: Cow<'a, str>,
}

impl<'a> Edit<'a> {
    pub(crate) fn find(content: &[u8], old: &'a str, new: &'a str) -> Self {
        let crlf = only_crlf(content);
        let new = if crlf { to_crlf(new) } else { Cow::Borrowed(new) };
        let mut old = Cow::Borrowed(old);
        let mut places: Vec<usize> = memmem::find_iter(content, old.as_bytes()).collect();
        if places.is_empty() && crlf {
            old = to_crlf(&old).into_owned().into();
            places = memmem::find_iter(content, old.as_bytes()).collect();
        }
        // Two matches that overlap are two all the same: which one was meant is not known.
        if let [only] = places[..]
            && let Some(next) = memmem::find(&content[only + 1..], old.as_bytes())
        {
            places.push(only + 1 + next);
        }
        Self { places, old, new }
    }

    /// How large the content will be, or a little more where matches overlap.
    pub(crate) fn size_after(&self, content: &[u8]) -> u64 {
        let (places, old, new) = (self.places.len() as u64, self.old.len() as u64, self.new.len() as u64);
        (content.len() as u64 + places * new).saturating_sub(places * old)
    }

    /// The content after replacing every place.
    pub(crate) fn apply(&self, content: &[u8]) -> (Vec<u8>, Changed) {
        let mut after = Vec::with_capacity(content.len());
        let mut changed = Changed::default();
        let mut from = 0;
        for place in &self.places {
            // Overlaps what was just replaced.
            let Some(kept) = content.get(from..*place) else { continue };
            after.extend_from_slice(kept);
            changed.places += 1;
            if changed.first.len() < SHOWN {
                changed.first.push(after.len()..after.len() + self.new.len());
            }
            after.extend_from_slice(self.new.as_bytes());
            from = place + self.old.len();
        }
        after.extend_from_slice(content.get(from..).unwrap_or_default());
        (after, changed)
    }
}

/// Whether the file has lines and each ends with CRLF.
fn only_crlf(content: &[u8]) -> bool {
    let mut any = false;
    for newline in memchr::memchr_iter(b'\n', content) {
        any = true;
        if newline == 0 || content[newline - 1] != b'\r' {
            return false;
        }
    }
    any
}

fn to_crlf(text: &str) -> Cow<'_, str> {
    if text.contains('\n') { text.replace("\r\n", "\n").replace('\n', "\r\n").into() } else { text.into() }
}
