//! The growing JSON text of a conversation: appended to, never rewritten.
//!
//! Promise: a request's body is put together from this text without encoding or copying what is old, but
//! for one block at the end that is still filling. Cache marks are no part of the text: they are put in
//! between when a body is made, so they can move.

use crate::body::ChunkedBody;
use bytes::Bytes;

/// Text is handed over in blocks of at least this size, in bytes; what is smaller is copied into a body.
const BLOCK_BYTES_MIN: usize = 64 << 10;

/// Which message of the conversation is not closed yet, so that the next item may join it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OpenMessage {
    /// None, and there is no message yet.
    #[default]
    None,
    /// None: all that were written are closed.
    Closed,
    /// One of the user's side.
    User,
    /// One of the model's.
    Assistant,
}

/// The text so far.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    blocks: Vec<Bytes>,
    blocks_bytes: u64,
    last: Vec<u8>,
    /// The message that is open.
    pub(crate) message: OpenMessage,
    /// Where the last block of the user's side ended at the request before and ends now: offsets of
    /// the closing brace.
    marks: [Option<u64>; 2],
}

impl Writer {
    /// Bytes so far.
    pub(crate) fn len(&self) -> u64 {
        self.blocks_bytes + self.last.len() as u64
    }

    /// Whether nothing was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds JSON text.
    pub(crate) fn raw(&mut self, text: &str) {
        self.last.extend_from_slice(text.as_bytes());
    }

    /// Adds a JSON string.
    pub(crate) fn string(&mut self, text: &str) {
        push_string(&mut self.last, text);
    }

    /// Adds what is inside the quotes of a JSON string.
    pub(crate) fn string_inside(&mut self, text: &str) {
        let start = self.last.len();
        push_string(&mut self.last, text);
        self.last.remove(start);
        self.last.pop();
    }

    /// Adds a JSON value.
    pub(crate) fn value(&mut self, value: &serde_json::Value) {
        push_value(&mut self.last, value);
    }

    /// The last byte, a closing brace, ends a block that a cache mark may go into.
    pub(crate) fn mark_user_side(&mut self) {
        self.marks[1] = self.len().checked_sub(1);
    }

    /// The model has answered what came before.
    pub(crate) fn mark_assistant(&mut self) {
        if let Some(mark) = self.marks[1].take() {
            self.marks[0] = Some(mark);
        }
    }

    /// Puts a body together: `head`, the text with `mark` at its marks, `tail`.
    pub(crate) fn body(&mut self, head: Bytes, mark: Option<&'static str>, tail: Bytes) -> ChunkedBody {
        if self.last.len() >= BLOCK_BYTES_MIN {
            self.blocks_bytes += self.last.len() as u64;
            self.blocks.push(Bytes::from(std::mem::take(&mut self.last)));
        }
        let mut body = ChunkedBody::default();
        body.push(head);
        let mut marks = self.marks.into_iter().flatten().filter(|_| mark.is_some()).peekable();
        let mut start = 0;
        for chunk in self.blocks.iter().cloned().chain([Bytes::copy_from_slice(&self.last)]) {
            let end = start + chunk.len() as u64;
            let mut rest = chunk;
            let mut rest_start = start;
            while let Some(at) = marks.next_if(|&at| at < end) {
                body.push(rest.split_to((at - rest_start) as usize));
                body.push(Bytes::from_static(mark.unwrap_or_default().as_bytes()));
                rest_start = at;
            }
            body.push(rest);
            start = end;
        }
        body.push(tail);
        body
    }
}

/// Adds a JSON string to bytes.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    // Writing a string into memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// Adds a JSON value to bytes.
pub(crate) fn push_value(out: &mut Vec<u8>, value: &serde_json::Value) {
    // A value that was parsed can be written.
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(writer: &mut Writer, mark: Option<&'static str>) -> String {
        String::from_utf8(writer.body(Bytes::from_static(b"<"), mark, Bytes::from_static(b">")).to_vec()).unwrap()
    }

    #[test]
    fn marks_move_and_the_text_stays() {
        let mut writer = Writer::default();
        writer.raw("{1}");
        writer.mark_user_side();
        assert_eq!(text(&mut writer, Some("*")), "<{1*}>");
        writer.mark_assistant();
        writer.raw("{a}{2}");
        writer.mark_user_side();
        assert_eq!(text(&mut writer, Some("*")), "<{1*}{a}{2*}>");
        writer.mark_assistant();
        writer.raw("{b}{3}");
        writer.mark_user_side();
        assert_eq!(text(&mut writer, Some("*")), "<{1}{a}{2*}{b}{3*}>");
        assert_eq!(text(&mut writer, None), "<{1}{a}{2}{b}{3}>");
    }

    #[test]
    fn old_text_is_handed_on_without_copying() {
        let mut writer = Writer::default();
        for _ in 0..4 {
            writer.string(&"x".repeat(BLOCK_BYTES_MIN));
            writer.raw("{}");
            writer.mark_user_side();
            text(&mut writer, Some("*"));
            writer.mark_assistant();
        }
        let (one, two) = (writer.body(Bytes::new(), None, Bytes::new()), writer.body(Bytes::new(), None, Bytes::new()));
        let pointers = |body: &ChunkedBody| body.chunks().map(|chunk| chunk.as_ptr()).collect::<Vec<_>>();
        assert_eq!(pointers(&one), pointers(&two));
        assert_eq!(pointers(&one).len(), 4);
        assert_eq!(one.to_vec().len() as u64, writer.len());
    }

    #[test]
    fn the_inside_of_a_string_is_escaped() {
        let mut writer = Writer::default();
        writer.raw("\"");
        writer.string_inside("a\"b\n");
        writer.string_inside("é\u{1}");
        writer.raw("\"");
        assert_eq!(text(&mut writer, None), "<\"a\\\"b\\né\\u0001\">");
    }
}
