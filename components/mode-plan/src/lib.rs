//! The mode `plan`: reads freely, changes nothing, ends with a plan.
//!
//! Promise: whatever a call is called, nothing of it is put in place: a command line that may change something is denied
//! before it runs, and staged changes are denied when they are known, unless there are none.

use mode_kit::{Answer, Category, Effects, Line, Question, Subject, allow, ask, deny, look};

mode_kit::export_mode! {
    name: "plan",
    description: "Reads freely and changes nothing; ends with a plan for you to approve",
    instructions: "You are in plan mode: find out what is to be done, change nothing. Read, search, list, and run commands that only read; whatever would change a file is refused, also inside a script. Ask with ask_user what only the person can know. Then call submit_plan with a plan that somebody else could carry out: what is to change and where (paths), in which order, what could go wrong, and how it will be checked. Do not submit a plan before you have read the code it is about. Only after it is approved is anything changed.",
    leads_to: ["build", "auto"],
    judge: judge,
}

const INSTEAD: &str = "Plan mode only reads: put what is to change into the plan and call submit_plan.";

fn judge(question: &Question) -> Answer {
    if let Subject::Staged(changes) = &question.subject {
        return match changes.as_slice() {
            [] => allow("no-changes", "It changed nothing."),
            [first, rest @ ..] => {
                let path: String = first.path.chars().take(200).collect();
                let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
                deny("changes", format!("It would change `{path}`{more}. {INSTEAD}"))
            }
        };
    }
    if question.category == Category::Edit {
        return deny("edits", format!("`{}` edits files. {INSTEAD}", question.tool));
    }
    if let Line::May { rule, what } = look(&question.command_line) {
        return deny(rule, format!("The command line {what}. {INSTEAD}"));
    }
    let reads = look(&question.command_line) == Line::Reads || question.category == Category::Read;
    match question.effects {
        Effects::Staged => allow("reads", "Whatever it changes is refused before it is put in place."),
        Effects::Direct if reads && question.category != Category::Network => allow("reads", "It only reads."),
        Effects::Direct => deny("direct", format!("What `{}` does cannot be taken back. {INSTEAD}", question.tool)),
        Effects::Requesting => ask("requests", "It sends requests, where that was granted."),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table() {
        mode_kit::cases::check(include_str!("../cases.toml"), super::DECLARATION, super::JUDGE);
    }
}
