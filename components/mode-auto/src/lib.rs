//! The mode `auto`: works on its own inside the workspace.
//!
//! Promise: asks for what leaves the workspace (requests, effects that cannot be taken back), for what destroys (deleted
//! files, many files at once), and for what belongs to version control; allows the rest.
//!
//! Not here: what must never happen, which the host's boundaries and a person's rules say.

use mode_kit::{
    Answer, Category, ChangeKind, Effects, Line, Question, StagedChange, Subject, allow, ask, look, programs,
};

mode_kit::export_mode! {
    name: "auto",
    description: "Works on its own inside the workspace; asks for what leaves it or destroys",
    instructions: "You are in auto mode: work on your own until the task is done. Changes inside the workspace are put in place without a question and can be undone; requests, deletions, changes of many files at once and version control are asked about, so leave them for when they are needed, and group them. Check your own work as this project checks itself before you say that it is done. Stop and ask when the task turns out to be another one than was asked. At the end say what you changed, what you checked and what is left.",
    leads_to: ["auto", "plan", "build", "review"],
    judge: judge,
}

/// Files that one call may change without a question.
const FILES_MAX: usize = 20;
/// Where version control keeps what it knows.
const VERSION_CONTROL: &[&str] = &[".git", ".hg", ".jj", ".svn"];
/// Programs that move, remove or overwrite, or publish.
const GRAVE: &[&str] = &["dd", "git", "hg", "jj", "mv", "rm", "rmdir", "shred", "svn", "truncate", "unlink"];

fn judge(question: &Question) -> Answer {
    match (&question.subject, question.effects) {
        (Subject::Staged(changes), _) => of_changes(changes),
        (Subject::Arguments, Effects::Staged) if question.category != Category::Network => {
            allow("inside", "What it changes stays in the workspace and is looked at when it is known.")
        }
        (Subject::Arguments, Effects::Direct) => direct(question),
        (Subject::Arguments, _) => network(question),
    }
}

fn of_changes(changes: &[StagedChange]) -> Answer {
    let first = |found: &StagedChange| found.path.chars().take(200).collect::<String>();
    let is_kept_by_version_control =
        |change: &&StagedChange| change.path.split('/').any(|part| VERSION_CONTROL.contains(&part));
    if let Some(change) = changes.iter().find(is_kept_by_version_control) {
        return ask("version-control", format!("It changes `{}`, which belongs to version control.", first(change)));
    }
    if let Some(change) = changes.iter().find(|change| change.kind == ChangeKind::Deleted) {
        return ask("deletes", format!("It deletes `{}`.", first(change)));
    }
    if changes.len() > FILES_MAX {
        return ask("many-files", format!("It changes {} files at once, more than {FILES_MAX}.", changes.len()));
    }
    allow("inside", "It changes files in the workspace, and can be undone.")
}

fn direct(question: &Question) -> Answer {
    if question.category == Category::Network {
        return network(question);
    }
    let line = look(&question.command_line);
    if line == Line::Reads || (question.category == Category::Read && line == Line::None) {
        return allow("reads", "It only reads.");
    }
    match programs(&question.command_line).find(|program| GRAVE.contains(program)) {
        Some(program) => ask("destroys", format!("It runs `{program}`, which cannot be taken back.")),
        None => ask("direct", "What it does cannot be taken back."),
    }
}

fn network(question: &Question) -> Answer {
    if question.is_tainted {
        return ask(
            "tainted-request",
            "It sends a request after something from outside was read, which may have asked for it.",
        );
    }
    ask("network", "It leaves the workspace.")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table() {
        mode_kit::cases::check(include_str!("../cases.toml"), super::DECLARATION, super::JUDGE);
    }
}
