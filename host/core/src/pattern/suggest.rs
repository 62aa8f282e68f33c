//! A pattern to offer a person who is asked about a call.
//!
//! Promise: what is suggested covers the call it was made from, and of programs that are not known for their
//! subcommands no other words than those that were there. It is shown before it counts, and can be edited.

use super::{ArgumentPattern, Arguments, CommandPattern, Glob, is_harmless, leaves_workspace};
use crate::command_line::SimpleCommand;
use serde_json::Value;

/// Programs whose first word says what they do: what follows it is usually varied.
const WITH_SUBCOMMANDS: &[&str] = &[
    "apt",
    "brew",
    "cargo",
    "docker",
    "dotnet",
    "gh",
    "git",
    "go",
    "gradle",
    "helm",
    "just",
    "kubectl",
    "make",
    "mvn",
    "npm",
    "pip",
    "pip3",
    "pnpm",
    "podman",
    "poetry",
    "rustup",
    "terraform",
    "uv",
    "yarn",
];
/// Arguments that are a path in the workspace.
const PATH_ARGUMENTS: &[&str] = &["path", "file_path", "file"];

/// A pattern that covers such calls as this one; none where no sensible one is known.
pub fn suggest(arguments: &Arguments) -> Option<ArgumentPattern> {
    let pattern = match arguments.line() {
        Some(Ok(line)) => {
            let commands = line.commands.iter().filter(|command| !is_harmless(command));
            let mut patterns: Vec<CommandPattern> = Vec::new();
            for command in commands {
                let pattern = of_command(command)?;
                if !patterns.contains(&pattern) {
                    patterns.push(pattern);
                }
            }
            ArgumentPattern { command: patterns, ..ArgumentPattern::default() }
        }
        Some(Err(_)) => return None,
        None => {
            let (name, path) = PATH_ARGUMENTS.iter().find_map(|name| match arguments.field(name) {
                Some(Value::String(path)) if !path.is_empty() && !leaves_workspace(path) => Some((*name, path)),
                _ => None,
            })?;
            let arguments = [(name.to_owned(), beside(path)?)].into();
            ArgumentPattern { arguments, ..ArgumentPattern::default() }
        }
    };
    (!pattern.is_empty() && pattern.covers(arguments)).then_some(pattern)
}

fn of_command(command: &SimpleCommand) -> Option<CommandPattern> {
    let mut parts: Vec<String> = Vec::new();
    for assignment in &command.assignments {
        parts.push(format!("{}={}", assignment.name, quoted(assignment.value.known()?)));
    }
    let words = command.words.iter().map(|word| word.known()).collect::<Option<Vec<&str>>>()?;
    match words.as_slice() {
        [program, subcommand, ..] if WITH_SUBCOMMANDS.contains(program) && !subcommand.starts_with('-') => {
            parts.extend([quoted(program), quoted(subcommand), "*".to_owned()]);
        }
        words => parts.extend(words.iter().map(|word| quoted(word))),
    }
    for redirection in command.redirections.iter().filter(|it| it.writes) {
        parts.push(format!("> {}", quoted(redirection.path.known()?)));
    }
    parts.join(" ").parse().ok()
}

/// The files of a path's folder; the path itself where it stands at the top.
fn beside(path: &str) -> Option<Glob> {
    let path = path.strip_prefix("/workspace/").unwrap_or(path);
    match path.rsplit_once('/') {
        Some((folder, _)) if !folder.is_empty() => format!("{}/**", quoted(folder)).parse().ok(),
        _ => quoted(path).parse().ok(),
    }
}

/// A text with everything that has a meaning in patterns quoted.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_alphanumeric() && !matches!(c, '/' | '.' | '-' | '_' | ':' | '=' | '+' | ',' | '@' | '%') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggestion_covers_what_it_was_made_from() {
        for (line, patterns) in [
            ("cargo test -p core", vec!["cargo test *"]),
            ("git status && git status -s", vec!["git status *"]),
            ("git push | tee log", vec!["git push *", "tee log"]),
            ("rm a b", vec!["rm a b"]),
            ("LANG=C sort x > out", vec!["LANG=C sort x > out"]),
            ("echo 'a b' \"$HOME\"", vec![]),
            ("echo 'a;b'", vec!["echo a\\;b"]),
            ("git -C x status", vec!["git -C x status"]),
        ] {
            let suggested = suggest(&Arguments::of_line(line));
            let found: Vec<String> =
                suggested.iter().flat_map(|it| &it.command).map(|it| it.as_str().to_owned()).collect();
            assert_eq!(found, patterns, "{line}");
        }
    }

    #[test]
    fn a_path_suggests_its_folder() {
        for (path, glob) in [
            ("src/a/b.rs", Some("src/a/**")),
            ("/workspace/src/a.rs", Some("src/**")),
            ("a*.rs", Some("a\\*.rs")),
            ("../a", None),
            ("", None),
        ] {
            let arguments = Arguments::of_unknown_tool(&serde_json::json!({ "path": path }).to_string());
            let suggested = suggest(&arguments).and_then(|it| Some(it.arguments.get("path")?.as_str().to_owned()));
            assert_eq!(suggested.as_deref(), glob, "{path}");
        }
    }
}
