//! What a line of a conversation means: a command, or words for the session.
//!
//! Promise: a line that begins with a slash and one word without further slashes is a command or refused as an unknown
//! one; every other line is words, as they are.
//!
//! Not here: carrying commands out (`drive`), reading lines (`interactive`, `typed`).

use harness_core::message::Delivery;

/// The commands, for people.
pub(super) const HELP: &str = "\
Type a task and press Enter. Alt-Enter, or a backslash at the end of a line, begins a new line.
While a turn runs, a line that you type reaches the model at its next step; /queue TEXT waits for the next turn,
/now TEXT stops the turn and goes on with TEXT, /steer TEXT is what a line is anyway.
/mode NAME changes the mode, /mode tells it, /modes lists them. /budget tells what the session may spend and has spent,
/budget tokens=200000 cost=none sets it. /session names the session, /help shows this, /exit leaves.
Ctrl-C stops a turn, or leaves when pressed twice.";

/// A line, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// An empty one.
    Nothing,
    /// Words; no delivery where nothing is said of when they are to arrive.
    Words(Option<Delivery>, &'a str),
    /// Another mode, or which one it is.
    Mode(Option<&'a str>),
    /// Which modes there are.
    Modes,
    /// What the session may spend: changes of it, or what it is.
    Budget(&'a str),
    /// Which session it is.
    Session,
    /// What can be said.
    Help,
    /// The person leaves.
    Exit,
    /// No command.
    Unknown(&'a str),
    /// A command that says something, without what it is to say.
    NoWords(&'a str),
}

/// Understands a line.
pub(super) fn understood(line: &str) -> Line<'_> {
    let line = line.trim();
    let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let words = |delivery| if rest.is_empty() { Line::NoWords(command) } else { Line::Words(Some(delivery), rest) };
    match command {
        "" => Line::Nothing,
        "/queue" => words(Delivery::Queue),
        "/steer" => words(Delivery::Steer),
        "/now" => words(Delivery::Interrupt),
        "/mode" => Line::Mode((!rest.is_empty()).then_some(rest)),
        "/budget" => Line::Budget(rest),
        "/modes" if rest.is_empty() => Line::Modes,
        "/session" if rest.is_empty() => Line::Session,
        "/help" if rest.is_empty() => Line::Help,
        "/exit" | "/quit" if rest.is_empty() => Line::Exit,
        // A path is words.
        _ if command.starts_with('/') && rest.is_empty() && !command.get(1..).unwrap_or_default().contains('/') => {
            Line::Unknown(command)
        }
        _ => Line::Words(None, line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_mean_what_they_say() {
        let table = [
            ("  ", Line::Nothing),
            ("do it", Line::Words(None, "do it")),
            ("/queue then this", Line::Words(Some(Delivery::Queue), "then this")),
            ("/steer  left", Line::Words(Some(Delivery::Steer), "left")),
            ("/now stop that", Line::Words(Some(Delivery::Interrupt), "stop that")),
            ("/now", Line::NoWords("/now")),
            ("/queue  ", Line::NoWords("/queue")),
            ("/mode plan", Line::Mode(Some("plan"))),
            ("/mode", Line::Mode(None)),
            ("/modes", Line::Modes),
            ("/budget tokens=1 cost=none", Line::Budget("tokens=1 cost=none")),
            ("/exit", Line::Exit),
            ("/nothing", Line::Unknown("/nothing")),
            ("/etc/passwd", Line::Words(None, "/etc/passwd")),
            ("/usr is full", Line::Words(None, "/usr is full")),
            ("/", Line::Unknown("/")),
        ];
        for (line, expected) in table {
            assert_eq!(understood(line), expected, "{line}");
        }
    }
}
