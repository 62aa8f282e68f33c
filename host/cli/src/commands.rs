//! The commands beside `run`.

pub(crate) mod completions;
pub(crate) mod component;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod policy;
pub(crate) mod sessions;
pub(crate) mod trust;

use crate::exit::Exit;
use crate::failure::Failure;
use std::io::Write;

/// Prints JSON for programs: one value, indented.
fn print_json(value: &impl serde::Serialize) -> Result<Exit, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::because("writing JSON", &error))?;
    print_text(&text)
}

/// A number of things, in words.
fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// Prints lines; a reader that went away is no failure.
pub(crate) fn print_text(text: &str) -> Result<Exit, Failure> {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => Ok(Exit::Done),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        Err(error) => Err(Failure::because("writing to standard output", &error)),
    }
}
