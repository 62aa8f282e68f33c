//! The mode `review`: reads, runs checks, changes nothing, ends with findings.
//!
//! Promise: nothing that a call stages is put in place, and a command line that is there to change something does not
//! run. Checks that act at once, such as a project's own tests, are asked about.

use mode_kit::{Answer, Category, Effects, Line, Question, Subject, allow, ask, deny, look};

mode_kit::export_mode! {
    name: "review",
    description: "Reads and runs checks, changes nothing; ends with findings",
    instructions: "You are in review mode: judge what is there, change nothing. Read the change and what it touches; run the checks that the project has; try what you doubt instead of guessing. Files cannot be changed here. End with findings, the gravest first, each with its place (path and line), what goes wrong and when, and how sure you are; say what you did not look at. Praise and matters of taste are no findings. If there is nothing to find, say so in one sentence.",
    leads_to: ["build", "plan"],
    judge: judge,
}

const INSTEAD: &str = "Review mode changes nothing: describe what you would change as a finding.";

fn judge(question: &Question) -> Answer {
    if let Subject::Staged(changes) = &question.subject {
        return match changes.first() {
            None => allow("no-changes", "It changed nothing."),
            Some(change) => {
                let path: String = change.path.chars().take(200).collect();
                deny("changes", format!("It would change `{path}`. {INSTEAD}"))
            }
        };
    }
    if question.category == Category::Edit {
        return deny("edits", format!("`{}` edits files. {INSTEAD}", question.tool));
    }
    let line = look(&question.command_line);
    if let Line::May { rule, what } = &line {
        // A check is a program that nobody here knows; all else that may change something is refused.
        if *rule != "unknown-program" {
            return deny(rule, format!("The command line {what}. {INSTEAD}"));
        }
    }
    let reads = line == Line::Reads || question.category == Category::Read;
    match question.effects {
        Effects::Staged => allow("checks", "Whatever it changes is refused before it is put in place."),
        Effects::Requesting => ask("requests", "It sends requests, where that was granted."),
        Effects::Direct if reads && question.category != Category::Network => allow("reads", "It only reads."),
        Effects::Direct => ask("direct", "What it does cannot be taken back."),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table() {
        mode_kit::cases::check(include_str!("../cases.toml"), super::DECLARATION, super::JUDGE);
    }
}
