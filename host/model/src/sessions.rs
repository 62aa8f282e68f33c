//! What was encoded of each session's history, so that a request only encodes what is new.
//!
//! Promise: an entry is used only while the items it was made from are the very same; the number of
//! sessions and the bytes kept are bounded, the least recently used goes first. Losing an entry costs
//! time, never correctness.

use crate::conversation::{Conversation, WriteConversation};
use bytes::Bytes;
use harness_core::SessionId;
use harness_core::event::Context;
use harness_core::item::Item;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Sessions kept at most, for one provider.
const SESSIONS_MAX: usize = 1024;
/// Bytes kept at most, for one provider.
const KEPT_BYTES_MAX: u64 = 128 << 20;

/// What was encoded of one session.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    items: Vec<Arc<Item>>,
    /// The text.
    pub(crate) conversation: Conversation,
    head: Option<(Arc<Context>, Option<u32>, Bytes)>,
    last_used: u64,
}

impl Encoded {
    /// Encodes the items that are new; starts over if old ones are not the same. The number of bytes
    /// that this took.
    fn follow(&mut self, own: &str, wire: &dyn WriteConversation, items: &[Arc<Item>]) -> u64 {
        let same = self.items.len() <= items.len() && self.items.iter().zip(items).all(|(a, b)| Arc::ptr_eq(a, b));
        if !same {
            self.items.clear();
            self.conversation = Conversation::default();
        }
        let before = self.conversation.writer.len();
        for item in &items[self.items.len()..] {
            self.conversation.push(own, wire, item);
            self.items.push(Arc::clone(item));
        }
        self.conversation.writer.len() - before
    }

    /// What comes before the items, encoded by `make` if it is not what it was.
    pub(crate) fn head(
        &mut self,
        context: &Arc<Context>,
        output_tokens_max: Option<u32>,
        make: impl FnOnce() -> Vec<u8>,
    ) -> Bytes {
        match &self.head {
            Some((known, limit, head))
                if *limit == output_tokens_max && (Arc::ptr_eq(known, context) || known == context) =>
            {
                head.clone()
            }
            _ => {
                let head = Bytes::from(make());
                self.head = Some((Arc::clone(context), output_tokens_max, head.clone()));
                head
            }
        }
    }

    fn kept_bytes(&self) -> u64 {
        self.conversation.writer.len() + self.head.as_ref().map_or(0, |(_, _, head)| head.len() as u64)
    }
}

/// The sessions of one provider.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    kept: Mutex<Kept>,
    encoded_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    sessions: HashMap<SessionId, Encoded>,
    bytes: u64,
    uses: u64,
}

impl Sessions {
    /// Bytes of items that were encoded since the start.
    pub(crate) fn encoded_bytes(&self) -> u64 {
        self.encoded_bytes.load(Ordering::Relaxed)
    }

    /// Follows a session's items and hands its text to `make`. Work is done outside the lock; two
    /// requests of one session at once are allowed, one of them then encodes all.
    pub(crate) fn with<T>(
        &self,
        session: SessionId,
        own: &str,
        wire: &dyn WriteConversation,
        items: &[Arc<Item>],
        make: impl FnOnce(&mut Encoded) -> T,
    ) -> T {
        let mut encoded = self.take(session);
        let bytes = encoded.follow(own, wire, items);
        self.encoded_bytes.fetch_add(bytes, Ordering::Relaxed);
        let made = make(&mut encoded);
        self.keep(session, encoded);
        made
    }

    fn take(&self, session: SessionId) -> Encoded {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let encoded = kept.sessions.remove(&session).unwrap_or_default();
        kept.bytes -= encoded.kept_bytes();
        encoded
    }

    fn keep(&self, session: SessionId, mut encoded: Encoded) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        encoded.last_used = kept.uses;
        kept.bytes += encoded.kept_bytes();
        if let Some(other) = kept.sessions.insert(session, encoded) {
            kept.bytes -= other.kept_bytes();
        }
        while kept.sessions.len() > SESSIONS_MAX || (kept.bytes > KEPT_BYTES_MAX && kept.sessions.len() > 1) {
            let oldest = kept.sessions.iter().min_by_key(|(_, encoded)| encoded.last_used).map(|(session, _)| *session);
            let Some(removed) = oldest.and_then(|oldest| kept.sessions.remove(&oldest)) else { break };
            kept.bytes -= removed.kept_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::SentPart;
    use crate::writer::Writer;

    struct Plain;
    impl WriteConversation for Plain {
        fn user(&self, text: &str, out: &mut Writer) {
            out.raw(text)
        }
        fn assistant(&self, _: &[SentPart<'_>], _: &mut Writer) {}
        fn result(&self, _: &str, _: &str, _: bool, _: &mut Writer) {}
        fn close(&self, _: &mut Writer) {}
    }

    fn item(text: &str) -> Arc<Item> {
        Arc::new(Item::User { text: text.to_owned() })
    }
    fn text(sessions: &Sessions, session: u128, items: &[Arc<Item>]) -> String {
        sessions.with(SessionId::from_bits(session), "own", &Plain, items, |encoded| {
            String::from_utf8(encoded.conversation.writer.body(Bytes::new(), None, Bytes::new()).into_vec()).unwrap()
        })
    }

    #[test]
    fn only_new_items_are_encoded() {
        let sessions = Sessions::default();
        let mut items: Vec<_> = (0..1_000).map(|number| item(&format!("{number:04}"))).collect();
        text(&sessions, 1, &items);
        assert_eq!(sessions.encoded_bytes(), 4_000);
        items.push(item("new"));
        assert!(text(&sessions, 1, &items).ends_with("0999new"));
        assert_eq!(sessions.encoded_bytes(), 4_003);
        text(&sessions, 1, &items);
        assert_eq!(sessions.encoded_bytes(), 4_003, "a repetition encodes nothing");
    }

    #[test]
    fn other_items_start_over() {
        let sessions = Sessions::default();
        let items = [item("a"), item("b")];
        assert_eq!(text(&sessions, 1, &items), "ab");
        assert_eq!(text(&sessions, 1, &items[..1]), "a", "rewound");
        assert_eq!(text(&sessions, 1, &[items[0].clone(), item("b"), item("c")]), "abc", "equal is not the same");
        assert_eq!(text(&sessions, 2, &items), "ab", "another session");
    }

    #[test]
    fn sessions_and_bytes_are_bounded() {
        let sessions = Sessions::default();
        for session in 0..SESSIONS_MAX as u128 + 10 {
            text(&sessions, session, &[item("x")]);
        }
        let kept = sessions.kept.lock().unwrap();
        assert_eq!(kept.sessions.len(), SESSIONS_MAX);
        assert!(!kept.sessions.contains_key(&SessionId::from_bits(0)), "the oldest goes first");
        assert_eq!(kept.bytes, SESSIONS_MAX as u64);
        drop(kept);

        let sessions = Sessions::default();
        let large = item(&"x".repeat(48 << 20));
        for session in 0..4 {
            text(&sessions, session, std::slice::from_ref(&large));
        }
        let kept = sessions.kept.lock().unwrap();
        assert_eq!(kept.sessions.len(), 2);
        assert!(kept.bytes <= KEPT_BYTES_MAX);
    }
}
