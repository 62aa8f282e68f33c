//! What a line of a conversation means: a command, or words for the session.
//!
//! Promise: a line that begins with a slash and letters only, or is one word with a slash at its beginning and nowhere
//! else, is a command or refused as an unknown one; every other line is words, as they are. One that begins with a space
//! is words whatever follows.
//!
//! Not here: carrying commands out (`drive`), reading lines (`interactive`, `typed`).

use harness_config::nearest;
use harness_core::message::Delivery;

/// The commands, for people.
pub(super) const HELP: &str = "\
Type a task and press Enter. Alt-Enter, or a backslash at the end of a line, begins a new line.
While a turn runs, a line that you type reaches the model at its next step; /queue TEXT waits for the next turn,
/now TEXT stops the turn and goes on with TEXT, /steer TEXT is what a line is anyway.
/mode NAME changes the mode, /mode tells it, /modes lists them. /budget tells what the session may spend and has spent,
/budget tokens=200000 cost=none sets it. /session names the session, /help shows this, /exit leaves.
A line that begins with a space is said to the model, whatever follows.
Ctrl-C stops a turn, or leaves when pressed twice.";

/// How a line that looks like a command reaches the model.
pub(super) const TO_SAY_IT: &str = "to say it to the model, begin the line with a space";

/// The names of all commands.
const COMMANDS: [&str; 10] =
    ["/queue", "/steer", "/now", "/mode", "/modes", "/budget", "/session", "/help", "/exit", "/quit"];

/// The command that was probably meant, if one is near.
pub(super) fn nearest_command(command: &str) -> Option<&'static str> {
    nearest(command, COMMANDS)
}

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
    /// A command that takes no words, with some.
    WithWords(&'a str),
}

/// Understands a line.
pub(super) fn understood(line: &str) -> Line<'_> {
    let is_said = line.starts_with(char::is_whitespace);
    let line = line.trim();
    if is_said && !line.is_empty() {
        return Line::Words(None, line);
    }
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
        "/modes" | "/session" | "/help" | "/exit" | "/quit" if !rest.is_empty() => Line::WithWords(command),
        "/modes" => Line::Modes,
        "/session" => Line::Session,
        "/help" => Line::Help,
        "/exit" | "/quit" => Line::Exit,
        _ if looks_like_a_command(command, rest) => Line::Unknown(command),
        _ => Line::Words(None, line),
    }
}

/// Whether a person who wrote this wanted a command: a path is words, and so is what no command is like.
fn looks_like_a_command(command: &str, rest: &str) -> bool {
    command.strip_prefix('/').is_some_and(|name| match rest.is_empty() {
        true => !name.contains('/'),
        false => !name.is_empty() && name.chars().all(char::is_alphabetic),
    })
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
            ("/mdoe plan", Line::Unknown("/mdoe")),
            ("/usr is full", Line::Unknown("/usr")),
            (" /usr is full", Line::Words(None, "/usr is full")),
            ("  /mode plan", Line::Words(None, "/mode plan")),
            ("/usr/lib is full", Line::Words(None, "/usr/lib is full")),
            ("/a.txt has a fault", Line::Words(None, "/a.txt has a fault")),
            ("/ is full", Line::Words(None, "/ is full")),
            ("/exit now", Line::WithWords("/exit")),
            ("/", Line::Unknown("/")),
        ];
        for (line, expected) in table {
            assert_eq!(understood(line), expected, "{line}");
        }
    }

    #[test]
    fn a_slip_in_a_command_is_recognised_and_no_command_is_forgotten() {
        for (slip, meant) in [("/mdoe", Some("/mode")), ("/bugdet", Some("/budget")), ("/deploy", None)] {
            assert_eq!(nearest_command(slip), meant, "{slip}");
        }
        for command in COMMANDS {
            assert_ne!(understood(command), Line::Unknown(command), "{command}");
        }
    }
}
