//! What is streamed, without the key.
//!
//! Promise: in all words, in all reasoning and in the arguments of each call, put together, the key never
//! stands whole, however it was cut into deltas. What may be the key's beginning is held back until it is
//! known, but no longer than until another kind of delta comes, so that these keep their order.
//!
//! Not here: what is logged (`key`), keys that were changed.

use crate::key::REMOVED;
use harness_engine::ports::{DeltaSink, ModelDelta};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What is put together by those who get deltas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Text,
    Reasoning,
    Arguments(usize),
}

impl Kind {
    fn delta(self, text: String) -> ModelDelta {
        match self {
            Self::Text => ModelDelta::Text { text },
            Self::Reasoning => ModelDelta::Reasoning { text },
            Self::Arguments(index) => ModelDelta::ToolArguments { index, text },
        }
    }
}

/// The end of what came of a kind, as long as it may be the key's beginning: shorter than the key.
#[derive(Default)]
struct Tail {
    text: String,
    /// So many bytes of it were handed on.
    shown: usize,
}

impl Tail {
    /// Takes a piece and gives what can be handed on.
    fn push(&mut self, secret: &str, piece: &str) -> String {
        self.text.push_str(piece);
        let mut out = String::new();
        while let Some(at) = self.text.find(secret) {
            out.push_str(self.text.get(self.shown..at).unwrap_or_default());
            out.push_str(REMOVED);
            self.text.drain(..at + secret.len());
            self.shown = 0;
        }
        let is_begun = |kept: &usize| secret.get(..*kept).is_some_and(|begin| self.text.ends_with(begin));
        let kept = (1..secret.len()).rev().find(is_begun).unwrap_or(0);
        let end = self.text.len() - kept;
        out.push_str(self.text.get(self.shown..end).unwrap_or_default());
        self.text.drain(..end);
        self.shown = self.shown.saturating_sub(end);
        out
    }

    /// Gives what was held back. It is still known: more may make a key of it.
    fn flush(&mut self) -> String {
        let rest = self.text.get(self.shown..).unwrap_or_default().to_owned();
        self.shown = self.text.len();
        rest
    }
}

/// What came so far.
#[derive(Default)]
struct Tails {
    tails: BTreeMap<Kind, Tail>,
    last: Option<Kind>,
}

impl Tails {
    /// What is held back of the kind before, if `kind` is another one.
    fn turn_to(&mut self, kind: Option<Kind>) -> Option<ModelDelta> {
        let before = std::mem::replace(&mut self.last, kind).filter(|&before| Some(before) != kind)?;
        let rest = self.tails.get_mut(&before)?.flush();
        (!rest.is_empty()).then(|| before.delta(rest))
    }

    /// What is to be handed on for a delta: the rest of the kind before, and what is known of it.
    fn push(&mut self, secret: &str, delta: ModelDelta) -> (Option<ModelDelta>, Option<ModelDelta>) {
        let (kind, text) = match delta {
            ModelDelta::Text { text } => (Kind::Text, text),
            ModelDelta::Reasoning { text } => (Kind::Reasoning, text),
            ModelDelta::ToolArguments { index, text } => (Kind::Arguments(index), text),
            ModelDelta::ToolCall { index, tool } => {
                let tool = tool.replace(secret, REMOVED);
                return (self.turn_to(None), Some(ModelDelta::ToolCall { index, tool }));
            }
        };
        let before = self.turn_to(Some(kind));
        let text = self.tails.entry(kind).or_default().push(secret, &text);
        (before, (!text.is_empty()).then(|| kind.delta(text)))
    }
}

/// A sink before another one.
pub(crate) struct KeyGuard<'a> {
    secret: Option<&'a str>,
    sink: &'a dyn DeltaSink,
    tails: Mutex<Tails>,
}

impl<'a> KeyGuard<'a> {
    /// Without a secret, all is handed on as it is.
    pub(crate) fn new(secret: Option<&'a str>, sink: &'a dyn DeltaSink) -> Self {
        Self { secret, sink, tails: Mutex::default() }
    }

    /// Hands on what is held back: nothing more comes.
    pub(crate) fn finish(&self) {
        let rest = self.tails.lock().unwrap_or_else(PoisonError::into_inner).turn_to(None);
        if let Some(rest) = rest {
            self.sink.delta(rest);
        }
    }
}

impl DeltaSink for KeyGuard<'_> {
    fn delta(&self, delta: ModelDelta) {
        let Some(secret) = self.secret else { return self.sink.delta(delta) };
        let (before, now) = self.tails.lock().unwrap_or_else(PoisonError::into_inner).push(secret, delta);
        before.into_iter().chain(now).for_each(|delta| self.sink.delta(delta));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = "sk-sk-secret";

    /// What comes of deltas.
    fn guarded(secret: Option<&str>, deltas: impl IntoIterator<Item = ModelDelta>) -> Vec<ModelDelta> {
        let seen = Mutex::new(Vec::new());
        let sink = |delta: ModelDelta| seen.lock().unwrap().push(delta);
        let guard = KeyGuard::new(secret, &sink);
        deltas.into_iter().for_each(|delta| guard.delta(delta));
        guard.finish();
        drop(guard);
        seen.into_inner().unwrap()
    }

    fn text(text: &str) -> ModelDelta {
        ModelDelta::Text { text: text.to_owned() }
    }
    fn reasoning(text: &str) -> ModelDelta {
        ModelDelta::Reasoning { text: text.to_owned() }
    }
    fn arguments(index: usize, text: &str) -> ModelDelta {
        ModelDelta::ToolArguments { index, text: text.to_owned() }
    }
    fn call(index: usize, tool: &str) -> ModelDelta {
        ModelDelta::ToolCall { index, tool: tool.to_owned() }
    }

    #[test]
    fn keys_are_removed_and_the_rest_comes_in_order() {
        for (deltas, expected) in [
            (vec![text("a sk-sk-secret b")], vec![text("a [key] b")]),
            (vec![text("a sk-s"), text("k-secret b")], vec![text("a "), text("[key] b")]),
            (vec![text("sk-sk-sk-sec"), text("ret")], vec![text("sk-"), text("[key]")]),
            (vec![text("that is"), text(" all")], vec![text("that i"), text("s all")]),
            (vec![text("that is")], vec![text("that i"), text("s")]),
            (vec![text("is"), call(0, "t")], vec![text("i"), text("s"), call(0, "t")]),
            (
                vec![text("sk-sk-"), reasoning("hm"), text("secret")],
                vec![text("sk-sk-"), reasoning("hm"), text("[key]")],
            ),
            (
                vec![arguments(0, "sk-sk"), arguments(1, "x"), arguments(0, "-secret"), arguments(0, "!")],
                vec![arguments(0, "sk-sk"), arguments(1, "x"), arguments(0, "[key]"), arguments(0, "!")],
            ),
            (vec![call(0, "sk-sk-secret")], vec![call(0, "[key]")]),
            (vec![text("däs"), text("ä")], vec![text("dä"), text("sä")]),
        ] {
            assert_eq!(guarded(Some(SECRET), deltas.clone()), expected, "{deltas:?}");
            assert_eq!(guarded(None, deltas.clone()), deltas);
        }
    }

    fn piece() -> impl Strategy<Value = (u8, String)> {
        let text = prop_oneof![
            "[sk-]{0,4}",
            Just(SECRET.to_owned()),
            (0..=12usize, 0..=12usize).prop_map(|(a, b)| { SECRET[a.min(b)..a.max(b)].to_owned() })
        ];
        (0u8..3, text)
    }

    proptest! {
        #[test]
        fn however_it_is_cut_no_key_comes_through(pieces in proptest::collection::vec(piece(), 0..12)) {
            let of = |kind: u8, text: &str| match kind {
                0 => self::text(text),
                1 => reasoning(text),
                _ => arguments(0, text),
            };
            let joined = |deltas: &[ModelDelta]| {
                let mut whole = [String::new(), String::new(), String::new()];
                for delta in deltas {
                    match delta {
                        ModelDelta::Text { text } => whole[0].push_str(text),
                        ModelDelta::Reasoning { text } => whole[1].push_str(text),
                        ModelDelta::ToolArguments { text, .. } => whole[2].push_str(text),
                        ModelDelta::ToolCall { .. } => {}
                    }
                }
                whole
            };
            let sent: Vec<ModelDelta> = pieces.iter().map(|(kind, text)| of(*kind, text)).collect();
            let got = joined(&guarded(Some(SECRET), sent.clone()));
            for (sent, got) in joined(&sent).iter().zip(&got) {
                prop_assert!(!got.contains(SECRET), "{got}");
                prop_assert!(sent.contains(SECRET) || sent == got, "{sent} became {got}");
            }
            let one_kind: Vec<ModelDelta> = pieces.iter().map(|(_, text)| self::text(text)).collect();
            let got = joined(&guarded(Some(SECRET), one_kind.clone()));
            prop_assert_eq!(&got[0], &joined(&one_kind)[0].replace(SECRET, REMOVED));
        }
    }
}
