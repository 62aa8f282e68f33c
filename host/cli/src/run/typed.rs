//! Lines that a person types while a turn is under way.
//!
//! Promise: nobody is waited for, and no line is lost: what was typed and not read here is read by the line editor that
//! comes next. The terminal is opened anew for it, so that no other use of it changes.
//!
//! Not here: what a line means (`said`), editing lines between turns (`interactive`).

use harness_core::limits::PROMPT_BYTES_MAX;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The terminal of this process.
const TERMINAL: &str = "/dev/tty";
/// A terminal gives at most one line of this length at once (termios(3), canonical mode).
const LINE_BYTES: usize = 4_096;

/// Lines from the terminal.
pub(super) struct TypedLines {
    /// None where no more can come.
    terminal: Option<AsyncFd<File>>,
    unfinished: Vec<u8>,
    lines: VecDeque<String>,
}

impl TypedLines {
    /// Nothing, for where nobody is at a terminal.
    pub(super) fn none() -> Self {
        Self { terminal: None, unfinished: Vec::new(), lines: VecDeque::new() }
    }

    /// The lines of this process's terminal; none ever where the system has no way to wait for them.
    pub(super) fn of_terminal() -> Self {
        let open = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(TERMINAL);
        let terminal = open.and_then(|terminal| {
            // SAFETY: a File has the same descriptor from here to its end, and is closed only with the AsyncFd.
            let registered = unsafe { AsyncFd::register_with_interest(terminal, Interest::READABLE) };
            registered.map_err(std::io::Error::from)
        });
        Self {
            terminal: terminal.inspect_err(|error| tracing::info!(%error, "nothing can be typed during turns")).ok(),
            ..Self::none()
        }
    }

    /// The next line, whenever it comes. Nothing is lost where nobody waits any more.
    pub(super) async fn next(&mut self) -> String {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return line;
            }
            let Some(terminal) = &mut self.terminal else { return std::future::pending().await };
            let goes_on = match terminal.readable_mut().await {
                Ok(mut ready) => {
                    let goes_on = read_all(ready.get_inner_mut(), &mut self.unfinished, &mut self.lines);
                    ready.clear_ready();
                    goes_on
                }
                Err(_) => false,
            };
            if !goes_on {
                self.terminal = None;
            }
        }
    }

    /// A line that was typed already.
    pub(super) fn ready(&mut self) -> Option<String> {
        if self.lines.is_empty()
            && let Some(terminal) = &mut self.terminal
            && !read_all(terminal.get_mut(), &mut self.unfinished, &mut self.lines)
        {
            self.terminal = None;
        }
        self.lines.pop_front()
    }
}

/// Reads what is there. Whether more can come.
fn read_all(terminal: &mut impl Read, unfinished: &mut Vec<u8>, lines: &mut VecDeque<String>) -> bool {
    let mut buffer = [0; LINE_BYTES];
    loop {
        match terminal.read(&mut buffer) {
            // Ctrl-D: the person will say no more in this turn.
            Ok(0) => return false,
            Ok(count) => {
                for &byte in buffer.get(..count).unwrap_or_default() {
                    if byte == b'\n' {
                        let line = String::from_utf8_lossy(unfinished).into_owned();
                        unfinished.clear();
                        lines.push_back(line);
                    } else if unfinished.len() <= PROMPT_BYTES_MAX {
                        // One more than a prompt may have: it is refused, and not cut.
                        unfinished.push(byte);
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its pieces, then nothing for now.
    struct Pieces(Vec<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Err(ErrorKind::WouldBlock.into());
            }
            let piece = self.0.remove(0);
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    #[test]
    fn lines_come_whole_however_they_are_read() {
        let (mut unfinished, mut lines) = (Vec::new(), VecDeque::new());
        let goes_on = read_all(&mut Pieces(vec![b"one\ntw", b"o\n", b"thr"]), &mut unfinished, &mut lines);
        assert!(goes_on && lines == ["one", "two"] && unfinished == b"thr");
        assert!(!read_all(&mut Pieces(vec![b"ee\n", b""]), &mut unfinished, &mut lines));
        assert_eq!(lines, ["one", "two", "three"]);
    }
}
