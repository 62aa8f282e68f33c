//! The mode `build`: everyday work.
//!
//! Promise: what only reads is allowed; about everything else a person's rules, what they allowed, earned trust and
//! the host's default decide, except that trust does not count where something from outside could have had a hand in
//! it. Nothing is denied here.

use mode_kit::{Answer, Category, Effects, Line, Question, Subject, Trust, abstain, allow, ask, look};

mode_kit::export_mode! {
    name: "build",
    description: "Everyday work: reads freely, asks before it changes anything",
    instructions: "You are in build mode: do the work. Read before you change; make the smallest change that does what was asked, in the style of what is there; then check it as this project checks itself. Each change is shown to the person before it is put in place, so keep changes small and of one kind. If one is refused, take the reason as an instruction and do not try the same by another way. For work of many steps keep a list with todo.",
    leads_to: ["build", "plan", "review"],
    judge: judge,
}

fn judge(question: &Question) -> Answer {
    let reads = question.category == Category::Read || look(&question.command_line) == Line::Reads;
    let (rule, words) = match (&question.subject, question.effects) {
        (Subject::Staged(changes), _) if changes.is_empty() => return allow("no-changes", "It changed nothing."),
        // What is staged is looked at when it is known.
        (Subject::Arguments, Effects::Staged) => {
            return allow("staged", "What it changes is looked at when it is known.");
        }
        (Subject::Arguments, Effects::Requesting) => {
            return allow("requests", "Each of its requests is judged when it is made, by what was granted.");
        }
        (Subject::Arguments, Effects::Direct) if reads && question.category != Category::Network => {
            return allow("reads", "It only reads.");
        }
        (Subject::Staged(_), _) => ("changes", "It changes files in the workspace."),
        (Subject::Arguments, Effects::Direct) => ("direct", "What it does cannot be taken back."),
    };
    if question.is_tainted && question.trust != Trust::Supervised {
        let words = "It is trusted with this, but something from outside was read, which may have asked for it.";
        return ask("tainted", words);
    }
    abstain(rule, words)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table() {
        mode_kit::cases::check(include_str!("../cases.toml"), super::DECLARATION, super::JUDGE);
    }
}
