//! Looking at a command line as a whole: does it only read, and if not, why not?
//!
//! Promise: a line only reads when every simple command in it does and nothing is redirected into a file; what is not
//! known before the line runs (a program's name, a path that is written, an argument that could make a program write)
//! counts as if it changed something.
//!
//! Not here: what single programs do (`reading`).

use crate::reading::{self, Doing};
use crate::{CommandLine, Direction, SimpleCommand};

/// Characters of a program or path in words for people.
const SHOWN_CHARS_MAX: usize = 80;

/// What a command line does, as far as can be said before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// The tool takes none.
    None,
    /// It only reads, and writes to where its output goes.
    Reads,
    /// Something in it may change something, or cannot be known.
    May {
        /// A rule's id: `not-understood`, `dynamic-program`, `dynamic-argument`, `writes-file`, `changes`, `unknown-program`.
        rule: &'static str,
        /// What it is, to follow "the command line".
        what: String,
    },
}

/// Looks at a command line. The first thing found that may change something is told, what is certain before what is unknown.
pub fn look(line: &CommandLine) -> Line {
    let commands = match line {
        CommandLine::None => return Line::None,
        CommandLine::NotUnderstood => {
            return may("not-understood", "could not be understood, so it may do anything".to_owned());
        }
        CommandLine::Commands(commands) => commands,
    };
    let found = commands.iter().filter_map(of_command);
    found.min_by_key(|(rank, _)| *rank).map_or(Line::Reads, |(_, found)| found)
}

/// The names of the programs that a command line runs, as far as they are known.
pub fn programs(line: &CommandLine) -> impl Iterator<Item = &str> {
    let commands = match line {
        CommandLine::Commands(commands) => commands.as_slice(),
        CommandLine::None | CommandLine::NotUnderstood => &[],
    };
    commands.iter().filter_map(|command| command.words.first()?.as_deref())
}

fn may(rule: &'static str, what: String) -> Line {
    Line::May { rule, what }
}

/// What one command may change, and how far down the list it is told.
fn of_command(command: &SimpleCommand) -> Option<(u8, Line)> {
    for redirection in &command.redirections {
        match (redirection.direction, redirection.path.as_deref()) {
            (Direction::Reads, _) | (_, Some("/dev/null" | "/dev/stdout" | "/dev/stderr")) => {}
            (Direction::Writes, Some(path)) => {
                return Some((0, may("writes-file", format!("writes `{}`", shown(path)))));
            }
            (Direction::Writes, None) => {
                return Some((
                    1,
                    may("writes-file", "writes a file whose name is not known before it runs".to_owned()),
                ));
            }
        }
    }
    let program = command.words.first().and_then(Option::as_deref).map(shown).unwrap_or_default();
    match reading::doing(&command.words) {
        Doing::Reads => None,
        Doing::Changes => Some((0, may("changes", format!("runs `{program}`, which changes things")))),
        Doing::DynamicProgram => {
            Some((1, may("dynamic-program", "runs a program whose name is not known before it runs".to_owned())))
        }
        Doing::DynamicArgument => Some((
            2,
            may("dynamic-argument", format!("gives `{program}` an argument that is not known before it runs")),
        )),
        Doing::Unknown => {
            Some((3, may("unknown-program", format!("runs `{program}` in a way that is not known to only read"))))
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Redirection;

    /// A line of commands separated by `;`, words by spaces; `?` stands for what is not known, `>x` for a redirection.
    fn line(text: &str) -> CommandLine {
        let known = |word: &str| (word != "?").then(|| word.to_owned());
        let command = |text: &str| {
            let (redirections, words): (Vec<_>, Vec<_>) =
                text.split_whitespace().partition(|it| it.starts_with(['>', '<']));
            let redirection = |word: &str| {
                let direction = if word.starts_with('>') { Direction::Writes } else { Direction::Reads };
                Redirection { direction, path: known(&word[1..]) }
            };
            SimpleCommand {
                words: words.into_iter().map(known).collect(),
                redirections: redirections.into_iter().map(redirection).collect(),
            }
        };
        CommandLine::Commands(text.split(';').map(command).collect())
    }

    #[test]
    fn lines_read_or_say_why_not() {
        let table = [
            ("ls ; sort", None),
            ("ls ? ; grep -r x", None),
            ("", None),
            ("cat <a >/dev/null", None),
            ("cat <?", None),
            ("ls >out", Some("writes-file")),
            (">out", Some("writes-file")),
            ("ls >?", Some("writes-file")),
            ("ls ; rm x", Some("changes")),
            ("ls ; tee x", Some("changes")),
            ("? x", Some("dynamic-program")),
            ("xargs ?", Some("dynamic-program")),
            ("xargs rm", Some("changes")),
            ("xargs -n 1 grep x", None),
            ("xargs", None),
            ("xargs find", Some("dynamic-argument")),
            ("xargs -a list cat", Some("unknown-program")),
            ("find . -name *.rs -type f", None),
            ("find . -delete", Some("changes")),
            ("find . -exec rm {}", Some("changes")),
            ("find ?", Some("dynamic-argument")),
            ("sort -k2 -t , x", None),
            ("sort -o x x", Some("changes")),
            ("sort -uo x", Some("changes")),
            ("sort --output=x", Some("changes")),
            ("sed -n 1,20p x", None),
            ("sed -n -e $p x", None),
            ("sed s/a/b/ x", Some("unknown-program")),
            ("sed -i 1d x", Some("changes")),
            ("sed -ni 1d x", Some("changes")),
            ("sed -n wout x", Some("unknown-program")),
            ("awk {print$1} x", None),
            ("awk {print>\"x\"} x", Some("unknown-program")),
            ("awk BEGIN{system(1)}", Some("unknown-program")),
            ("awk -f x", Some("unknown-program")),
            ("uniq -c x", None),
            ("uniq x y", Some("unknown-program")),
            ("uniq -", None),
            ("uniq - out", Some("unknown-program")),
            ("uniq -- -x out", Some("unknown-program")),
            ("date +%s", None),
            ("date -s 1", Some("unknown-program")),
            ("rg x", None),
            ("rg --pre=./x x", Some("unknown-program")),
            ("git status --short", None),
            ("git log -3", None),
            ("git log --oneline --stat", None),
            ("printf %s x", None),
            ("printf -vPATH .", Some("unknown-program")),
            ("git diff --output=x", Some("unknown-program")),
            ("git diff -O x", Some("unknown-program")),
            ("git -c core.pager=x log", Some("unknown-program")),
            ("git push", Some("unknown-program")),
            ("git ?", Some("dynamic-argument")),
            ("timeout 5 ls", None),
            ("timeout 5 rm x", Some("changes")),
            ("timeout -s 9 5 ls", Some("unknown-program")),
            ("command ls", None),
            ("env", None),
            ("env PATH=. ls", Some("unknown-program")),
            ("eval ls", Some("unknown-program")),
            ("./ls", Some("unknown-program")),
            ("export PATH=.", Some("unknown-program")),
            ("tree -o x", Some("changes")),
            ("tree -RL 1 -H .", Some("changes")),
            ("xargs xargs xargs xargs xargs xargs xargs xargs xargs ls", Some("unknown-program")),
            // What is certain is told first.
            ("make ; ? ; rm x", Some("changes")),
        ];
        for (text, expected) in table {
            let found = match look(&line(text)) {
                Line::May { rule, .. } => Some(rule),
                Line::Reads => None,
                Line::None => panic!("{text}"),
            };
            assert_eq!(found, expected, "{text}");
        }
        assert!(matches!(look(&CommandLine::NotUnderstood), Line::May { rule: "not-understood", .. }));
        assert_eq!(look(&CommandLine::None), Line::None);
    }

    #[test]
    fn long_names_are_cut() {
        let Line::May { what, .. } = look(&line(&format!("ls >{}", "ä".repeat(5_000)))) else { panic!() };
        assert!(what.chars().count() < 100);
    }

    #[test]
    fn programs_are_those_that_are_known() {
        assert_eq!(programs(&line("rm x ; ? ; ls")).collect::<Vec<_>>(), ["rm", "ls"]);
        assert_eq!(programs(&CommandLine::NotUnderstood).count(), 0);
    }
}
