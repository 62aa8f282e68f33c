//! The mode `build`: everyday work.
//!
//! Promise: what only reads is allowed, and so is work that the tool is trusted with; everything else is asked about,
//! so that a person's rules and allowances decide. Nothing is denied here.

use mode_kit::{Answer, Category, Effects, Line, Question, Subject, Trust, allow, ask, look};

mode_kit::export_mode! {
    name: "build",
    description: "Everyday work: reads freely, asks before it changes anything",
    instructions: "You are in build mode: do the work. Read before you change; make the smallest change that does what was asked, in the style of what is there; then check it as this project checks itself. Each change is shown to the person before it is put in place, so keep changes small and of one kind. If one is refused, take the reason as an instruction and do not try the same by another way. For work of many steps keep a list with todo.",
    leads_to: ["plan", "review"],
    judge: judge,
}

fn judge(question: &Question) -> Answer {
    let reads = question.category == Category::Read || look(&question.command_line) == Line::Reads;
    match (&question.subject, question.effects) {
        (Subject::Staged(changes), _) if changes.is_empty() => allow("no-changes", "It changed nothing."),
        (Subject::Staged(_), _) if is_trusted(question) => allow("trusted", "It is trusted with changes like these."),
        (Subject::Staged(_), _) => ask("changes", "It changes files in the workspace."),
        // What is staged is asked about when it is known.
        (Subject::Arguments, Effects::Staged) => allow("staged", "What it changes is looked at when it is known."),
        (Subject::Arguments, Effects::Direct) if reads && question.category != Category::Network => {
            allow("reads", "It only reads.")
        }
        (Subject::Arguments, Effects::Requesting) => {
            allow("requests", "Each of its requests is judged when it is made, by what was granted.")
        }
        (Subject::Arguments, Effects::Direct) if is_trusted(question) => allow("trusted", "It is trusted with calls like this one."),
        (Subject::Arguments, Effects::Direct) => ask("direct", "What it does cannot be taken back."),
    }
}

/// Trust ends where something from outside could have had a hand in it.
fn is_trusted(question: &Question) -> bool {
    question.trust != Trust::Supervised && !question.is_tainted
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table() {
        mode_kit::cases::check(include_str!("../cases.toml"), super::DECLARATION, super::JUDGE);
    }
}
