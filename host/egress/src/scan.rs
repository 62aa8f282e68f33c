//! Searching texts and streams for secrets, in all their forms.
//!
//! Promise: what comes out of a stream is the same however it was cut into pieces, and none of the forms
//! stands whole in it. Only what may be the beginning of a form is held back.
//!
//! Not here: which forms there are (`encodings`), whether a secret may be where it is (`secret`).

use crate::encodings;
use crate::limits::SEARCHED_BYTES_MIN;
use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, Match, MatchKind};
use bytes::Bytes;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What is searched for.
pub(crate) struct Patterns {
    automaton: AhoCorasick,
    /// For each pattern, the name of its secret.
    owners: Vec<Arc<str>>,
    /// All patterns, sorted.
    sorted: Vec<Zeroizing<Vec<u8>>>,
    longest_bytes: usize,
}

impl Patterns {
    /// Of these names and values; none where no value is long enough to be searched for.
    pub(crate) fn new<'a>(secrets: impl Iterator<Item = (&'a str, &'a [u8])>) -> Result<Option<Self>, String> {
        let mut forms: Vec<(Zeroizing<Vec<u8>>, Arc<str>)> = Vec::new();
        for (name, value) in secrets.filter(|(_, value)| value.len() >= SEARCHED_BYTES_MIN) {
            let name: Arc<str> = name.into();
            forms.extend(encodings::all(value).into_iter().map(|form| (Zeroizing::new(form), name.clone())));
        }
        if forms.is_empty() {
            return Ok(None);
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            // Made for one call: a faster table would take longer to make than it saves.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(forms.iter().map(|(form, _)| form.as_slice()))
            .map_err(|error| error.to_string())?;
        let (mut sorted, owners): (Vec<_>, Vec<_>) = forms.into_iter().unzip();
        sorted.sort_by(|a, b| a.as_slice().cmp(b.as_slice()));
        let longest_bytes = sorted.iter().map(|form| form.len()).max().unwrap_or(0);
        Ok(Some(Self { automaton, owners, sorted, longest_bytes }))
    }

    /// The name of the first secret that is in a text.
    pub(crate) fn find(&self, text: &[u8]) -> Option<&str> {
        self.next(text, 0).map(|found| self.owner(&found))
    }

    /// A text without secrets; nothing where there were none.
    pub(crate) fn replace(&self, text: &[u8]) -> Option<Vec<u8>> {
        self.find(text)?;
        let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
        while let Some(found) = self.next(text, at) {
            self.skip(text, at, &found, &mut out);
            at = found.end();
        }
        out.extend_from_slice(text.get(at..).unwrap_or_default());
        Some(out)
    }

    fn next(&self, text: &[u8], at: usize) -> Option<Match> {
        self.automaton.find(Input::new(text).range(at.min(text.len())..))
    }

    fn owner(&self, found: &Match) -> &str {
        self.owners.get(found.pattern().as_usize()).map_or("?", |name| name)
    }

    /// What stands before a match, and a word in its place.
    fn skip(&self, text: &[u8], at: usize, found: &Match, out: &mut Vec<u8>) {
        out.extend_from_slice(text.get(at..found.start()).unwrap_or_default());
        out.extend_from_slice(format!("[secret {}]", self.owner(found)).as_bytes());
    }

    /// From where a text's end may be the beginning of a pattern; its length where it is none.
    fn open_from(&self, text: &[u8], at: usize) -> usize {
        let first = at.max((text.len() + 1).saturating_sub(self.longest_bytes));
        let is_open = |start: &usize| {
            let end = text.get(*start..).unwrap_or_default();
            // The first pattern not before it: those that begin with it come next, itself perhaps in between.
            let from = self.sorted.partition_point(|form| form.as_slice() <= end);
            self.sorted.get(from).is_some_and(|form| form.starts_with(end))
        };
        (first..text.len()).find(is_open).unwrap_or(text.len())
    }
}

/// A stream without secrets.
pub(crate) struct Scan {
    patterns: Arc<Patterns>,
    held: Vec<u8>,
}

impl Scan {
    pub(crate) fn new(patterns: Arc<Patterns>) -> Self {
        Self { patterns, held: Vec::new() }
    }

    /// Takes the next piece and gives what is certain; it may be nothing.
    pub(crate) fn push(&mut self, piece: Bytes) -> Bytes {
        let patterns = &self.patterns;
        if self.held.is_empty() && patterns.next(&piece, 0).is_none() && patterns.open_from(&piece, 0) == piece.len() {
            return piece;
        }
        self.held.extend_from_slice(&piece);
        let (mut out, mut at) = (Vec::new(), 0);
        loop {
            let open = patterns.open_from(&self.held, at);
            match patterns.next(&self.held, at) {
                // Nothing that begins earlier, and nothing longer, can still come.
                Some(found) if found.start() < open => {
                    patterns.skip(&self.held, at, &found, &mut out);
                    at = found.end();
                }
                _ => {
                    out.extend_from_slice(self.held.get(at..open).unwrap_or_default());
                    self.held.drain(..open);
                    return out.into();
                }
            }
        }
    }

    /// What is left when the stream has ended.
    pub(crate) fn finish(&mut self) -> Bytes {
        let held = std::mem::take(&mut self.held);
        self.patterns.replace(&held).unwrap_or(held).into()
    }
}

#[cfg(test)]
mod tests;
