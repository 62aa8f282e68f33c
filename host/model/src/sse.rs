//! Server-sent events, as the WHATWG HTML standard (section 9.2.6, "Interpreting an event stream") defines
//! them: bytes in, events out.
//!
//! Promise: however the bytes are cut into pieces, the events are the same; no line and no event grows
//! beyond a limit, whatever a server sends.
//!
//! Not here: reconnecting, `id` and `retry` (a model's answer cannot be resumed), what the data means.

/// The longest line, in bytes: a whole tool call may come on one.
pub const SSE_LINE_BYTES_MAX: usize = 16 << 20;
/// The most data of one event, in bytes.
pub const SSE_EVENT_BYTES_MAX: usize = 16 << 20;

/// The byte order mark that may open a stream.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// Its name; empty where none was given.
    pub name: String,
    /// Its data, lines joined by a line feed.
    pub data: String,
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// A line is too long.
    #[error("a line of the stream is longer than {SSE_LINE_BYTES_MAX} bytes")]
    Line,
    /// The data of an event is too long.
    #[error("an event of the stream is longer than {SSE_EVENT_BYTES_MAX} bytes")]
    Event,
}

/// A parser that keeps what is not complete yet.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    first_line_seen: bool,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    foreign_lines: u64,
}

impl SseParser {
    /// A parser at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lines so far that no event stream has: neither a field of one nor a comment nor empty.
    pub fn foreign_lines(&self) -> u64 {
        self.foreign_lines
    }

    /// Takes the next bytes and adds the events that they complete.
    pub fn push(&mut self, mut bytes: &[u8], events: &mut Vec<SseEvent>) -> Result<(), SseError> {
        if self.after_return && !bytes.is_empty() {
            self.after_return = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n' || byte == b'\r') {
            if self.line.is_empty() {
                self.take_line(&bytes[..end], events)?;
            } else {
                self.keep(&bytes[..end])?;
                let line = std::mem::take(&mut self.line);
                self.take_line(&line, events)?;
                // The buffer is used again for the next line.
                self.line = line;
                self.line.clear();
            }
            let ended_by_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            if ended_by_return {
                if bytes.is_empty() {
                    self.after_return = true;
                } else {
                    bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
                }
            }
        }
        self.keep(bytes)
    }

    /// The end of the stream: an event whose lines are all complete but whose empty line is missing still
    /// counts, half a line does not.
    pub fn finish(&mut self, events: &mut Vec<SseEvent>) {
        self.line.clear();
        self.dispatch(events);
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        if self.line.len() + bytes.len() > SSE_LINE_BYTES_MAX {
            return Err(SseError::Line);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn take_line(&mut self, line: &[u8], events: &mut Vec<SseEvent>) -> Result<(), SseError> {
        let mut line = line;
        if !self.first_line_seen {
            self.first_line_seen = true;
            line = line.strip_prefix(BOM).unwrap_or(line);
        }
        if line.is_empty() {
            self.dispatch(events);
            return Ok(());
        }
        let (field, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &line[line.len()..]),
        };
        match field {
            b"data" => {
                if self.data.len() + value.len() + 1 > SSE_EVENT_BYTES_MAX {
                    return Err(SseError::Event);
                }
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
            }
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            b"" | b"id" | b"retry" => {}
            _ => self.foreign_lines += 1,
        }
        Ok(())
    }

    fn dispatch(&mut self, events: &mut Vec<SseEvent>) {
        if self.has_data {
            events.push(SseEvent {
                name: String::from_utf8_lossy(&self.name).into_owned(),
                data: String::from_utf8_lossy(&self.data).into_owned(),
            });
        }
        self.name.clear();
        self.data.clear();
        self.has_data = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(name: &str, data: &str) -> SseEvent {
        SseEvent { name: name.to_owned(), data: data.to_owned() }
    }

    fn parse(pieces: &[&[u8]]) -> Vec<SseEvent> {
        let mut parser = SseParser::new();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece, &mut events).unwrap();
        }
        parser.finish(&mut events);
        events
    }

    #[test]
    fn fields_comments_and_line_ends() {
        for (stream, expected) in [
            ("data: a\n\n", vec![event("", "a")]),
            ("data: a\r\n\r\n", vec![event("", "a")]),
            ("data: a\r\rdata: b\r\r", vec![event("", "a"), event("", "b")]),
            ("data: a\r\n\n", vec![event("", "a")]),
            ("\u{feff}data: a\n\n", vec![event("", "a")]),
            ("\u{feff}\u{feff}data: a\n\n", vec![]),
            ("event: x\ndata: 1\ndata: 2\n\n", vec![event("x", "1\n2")]),
            (": keep-alive\n\n: again\n\ndata:a\n\n", vec![event("", "a")]),
            ("event: lost\n\ndata: a\n\n", vec![event("", "a")]),
            ("data\n\n", vec![event("", "")]),
            ("data:  two spaces\n\n", vec![event("", " two spaces")]),
            ("id: 7\nretry: 5\nunknown: x\ndata: a\n\n", vec![event("", "a")]),
            ("data: no empty line\n", vec![event("", "no empty line")]),
            ("data: half a li", vec![]),
            ("data: ä€😀\n\n", vec![event("", "ä€😀")]),
            ("", vec![]),
            ("\n\n\n", vec![]),
        ] {
            assert_eq!(parse(&[stream.as_bytes()]), expected, "{stream:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_do_not_stop_the_stream() {
        assert_eq!(parse(&[b"data: \xff\xfe\n\ndata: b\n\n"]), [event("", "\u{fffd}\u{fffd}"), event("", "b")]);
    }

    #[test]
    fn foreign_lines_are_counted() {
        let mut parser = SseParser::new();
        parser.push(b"hello\n<html>\n: fine\ndata: x\nid: 1\n\n", &mut Vec::new()).unwrap();
        assert_eq!(parser.foreign_lines(), 2);
    }

    #[test]
    fn lines_and_events_have_limits() {
        let mut parser = SseParser::new();
        let piece = vec![b'x'; 1 << 20];
        let mut result = Ok(());
        for _ in 0..=SSE_LINE_BYTES_MAX / piece.len() {
            result = parser.push(&piece, &mut Vec::new());
        }
        assert_eq!(result, Err(SseError::Line));

        let mut parser = SseParser::new();
        let line = [b"data: ".as_slice(), &piece, b"\n"].concat();
        let mut result = Ok(());
        for _ in 0..=SSE_EVENT_BYTES_MAX / piece.len() {
            result = parser.push(&line, &mut Vec::new());
        }
        assert_eq!(result, Err(SseError::Event));
    }

    fn line() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            Just(b"data: plain".to_vec()),
            Just("data: ä€😀\u{feff}".as_bytes().to_vec()),
            Just(b"event: named".to_vec()),
            Just(b": comment".to_vec()),
            Just(Vec::new()),
            Just(b"\xef\xbb\xbfdata: marked".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..12),
        ]
    }

    fn line_end() -> impl Strategy<Value = &'static [u8]> {
        prop_oneof![Just(b"\n".as_slice()), Just(b"\r".as_slice()), Just(b"\r\n".as_slice())]
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(
            lines in proptest::collection::vec((line(), line_end()), 0..24),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let stream: Vec<u8> = lines.into_iter().flat_map(|(line, end)| [line, end.to_vec()].concat()).collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut start = 0;
            for cut in cuts {
                pieces.push(&stream[start..cut]);
                start = cut;
            }
            pieces.push(&stream[start..]);
            let whole = parse(&[&stream]);
            prop_assert_eq!(&parse(&pieces), &whole);
            let single: Vec<&[u8]> = stream.chunks(1).collect();
            prop_assert_eq!(&parse(&single), &whole);
        }
    }
}
