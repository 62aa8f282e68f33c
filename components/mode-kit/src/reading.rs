//! What single programs do with their arguments: the tables.
//!
//! Promise: a program that is in no table is unknown, and an option that is not known to be harmless makes a program with
//! dangerous ones unknown. Names with a slash are never in a table: they name files of the workspace too.
//!
//! Not here: redirections (`line`). What a shell makes of a pattern such as `*`: a file could be named like an option.

/// Commands that run another command, inside one another.
const WRAPPED_MAX: usize = 8;

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Nothing but reading and writing to its output.
    Reads,
    /// It changes something.
    Changes,
    /// Its name is not known before it runs.
    DynamicProgram,
    /// An argument is not known before it runs, and could make it change something.
    DynamicArgument,
    /// Nobody knows.
    Unknown,
}

/// Programs and builtins that only read, whatever their arguments.
const READERS: &[&str] = &[
    ":",
    "[",
    "[[",
    "base32",
    "base64",
    "basename",
    "bc",
    "break",
    "cat",
    "cd",
    "cksum",
    "cmp",
    "column",
    "comm",
    "continue",
    "cut",
    "df",
    "diff",
    "dirname",
    "du",
    "echo",
    "egrep",
    "exit",
    "expand",
    "expr",
    "factor",
    "false",
    "fgrep",
    "fmt",
    "fold",
    "grep",
    "head",
    "hexdump",
    "id",
    "join",
    "jq",
    "ls",
    "md5sum",
    "nl",
    "numfmt",
    "od",
    "paste",
    "pr",
    "printenv",
    "pwd",
    "readlink",
    "realpath",
    "return",
    "rev",
    "seq",
    "sha1sum",
    "sha224sum",
    "sha256sum",
    "sha384sum",
    "sha512sum",
    "shift",
    "sleep",
    "stat",
    "strings",
    "tac",
    "tail",
    "test",
    "tr",
    "true",
    "tsort",
    "type",
    "uname",
    "unexpand",
    "wc",
    "which",
    "whoami",
    "yes",
];

/// Programs that are there to change something.
const CHANGERS: &[&str] = &[
    "chgrp", "chmod", "chown", "cp", "dd", "install", "ln", "mkdir", "mkfifo", "mktemp", "mv", "patch", "rename", "rm",
    "rmdir", "shred", "split", "tee", "touch", "truncate", "unlink",
];

/// What `git` does that only reads, where no option names a file or a program.
const GIT_READERS: &[&str] =
    &["blame", "describe", "diff", "log", "ls-files", "ls-tree", "rev-list", "rev-parse", "shortlog", "show", "status"];

/// What a command of these words does; none stands for a word that is not known.
pub(crate) fn doing(words: &[Option<String>]) -> Doing {
    let words: Vec<Option<&str>> = words.iter().map(Option::as_deref).collect();
    of_words(&words, 0)
}

fn of_words(words: &[Option<&str>], depth: usize) -> Doing {
    let (program, arguments) = match words.split_first() {
        // Assignments or redirections alone.
        None => return Doing::Reads,
        Some((None, _)) => return Doing::DynamicProgram,
        Some((Some(program), arguments)) => (*program, arguments),
    };
    if READERS.contains(&program) {
        return Doing::Reads;
    }
    if CHANGERS.contains(&program) {
        return Doing::Changes;
    }
    if depth >= WRAPPED_MAX {
        return Doing::Unknown;
    }
    let inner = |arguments: &[Option<&str>]| match arguments.first() {
        Some(Some(option)) if option.starts_with('-') => Doing::Unknown,
        _ => of_words(arguments, depth + 1),
    };
    match program {
        "builtin" | "command" | "nohup" | "time" => return inner(arguments),
        "timeout" => {
            return match arguments.split_first() {
                Some((Some(time), rest)) if time.starts_with(|c: char| c.is_ascii_digit()) => inner(rest),
                _ => Doing::Unknown,
            };
        }
        "xargs" => return xargs(arguments, depth),
        "env" => return if arguments.is_empty() { Doing::Reads } else { Doing::Unknown },
        _ => {}
    }
    let Some(careful) = careful(program) else { return Doing::Unknown };
    let known: Option<Vec<&str>> = arguments.iter().copied().collect();
    known.map_or(Doing::DynamicArgument, |arguments| careful(&arguments))
}

/// A command whose further arguments come from its input.
fn xargs(arguments: &[Option<&str>], depth: usize) -> Doing {
    let mut at = 0;
    loop {
        match arguments.get(at) {
            None => return Doing::Reads,
            Some(Some("-0" | "-r" | "-t")) => at += 1,
            Some(Some("-n" | "-I" | "-L" | "-d" | "-P")) => at += 2,
            Some(Some(option)) if option.starts_with('-') => return Doing::Unknown,
            Some(_) => break,
        }
    }
    let mut command = arguments.get(at..).unwrap_or_default().to_vec();
    command.push(None);
    of_words(&command, depth + 1)
}

type Careful = fn(&[&str]) -> Doing;

/// Programs that only read unless told otherwise.
fn careful(program: &str) -> Option<Careful> {
    Some(match program {
        "awk" => awk,
        "date" => date,
        "file" => |words| unless(words, |word| is_cluster_with(word, 'C') || word.starts_with("--c"), Doing::Unknown),
        "find" => |words| unless(words, |word| FIND_CHANGES.iter().any(|it| word.starts_with(it)), Doing::Changes),
        "git" => git,
        // It can set a variable, also the one that says where programs are.
        "printf" => |words| unless(words, |word| word.starts_with("-v"), Doing::Unknown),
        "rg" => |words| unless(words, |word| word.starts_with("--pre") || word.starts_with("--host"), Doing::Unknown),
        "sed" => sed,
        "shuf" | "sort" => |words| unless(words, names_output, Doing::Changes),
        // With `-R` it writes a page into each folder.
        "tree" => |words| unless(words, |word| names_output(word) || is_cluster_with(word, 'R'), Doing::Changes),
        "uniq" => |words| {
            // The second file is written. `-` is one, and after `--` everything is.
            let files = words.iter().filter(|word| !word.starts_with('-') || **word == "-").count();
            if files > 1 || words.contains(&"--") { Doing::Unknown } else { Doing::Reads }
        },
        _ => return None,
    })
}

/// Tests of `find` that do something.
const FIND_CHANGES: &[&str] = &["-delete", "-exec", "-fls", "-fprint", "-ok"];

fn unless(words: &[&str], is_bad: impl Fn(&str) -> bool, bad: Doing) -> Doing {
    if words.iter().any(|word| is_bad(word)) { bad } else { Doing::Reads }
}

/// Whether a word is short options with this one among them.
fn is_cluster_with(word: &str, option: char) -> bool {
    word.strip_prefix('-').is_some_and(|options| !options.starts_with('-') && options.contains(option))
}

/// Long options may be cut short.
fn names_output(word: &str) -> bool {
    is_cluster_with(word, 'o') || word.starts_with("--o") || word.starts_with("--co")
}

fn awk(words: &[&str]) -> Doing {
    let mut words = words;
    while let [option, rest @ ..] = words {
        match *option {
            "-F" => words = rest.get(1..).unwrap_or_default(),
            option if option.starts_with("-F") => words = rest,
            option if option.starts_with('-') => return Doing::Unknown,
            program => {
                let is_bad = ["system", "getline", ">", "|", "@"].iter().any(|bad| program.contains(bad));
                return if is_bad { Doing::Unknown } else { Doing::Reads };
            }
        }
    }
    Doing::Unknown
}

fn date(words: &[&str]) -> Doing {
    let is_known = |word: &str| word.starts_with('+') || matches!(word, "-u" | "-R" | "-I" | "-Iseconds");
    unless(words, |word| !is_known(word), Doing::Unknown)
}

/// Printing and dropping lines by number: other scripts can write files and run programs.
fn sed(words: &[&str]) -> Doing {
    if words.iter().any(|word| is_cluster_with(word, 'i') || word.starts_with("--i")) {
        return Doing::Changes;
    }
    let is_script = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_digit() || ",$;pdq! ".contains(c));
    let mut scripts = 0_usize;
    let mut is_next_script = false;
    for word in words {
        match *word {
            "-n" | "-E" | "-r" if !is_next_script => {}
            "-e" if !is_next_script => is_next_script = true,
            word if word.starts_with('-') => return Doing::Unknown,
            word if is_next_script || scripts == 0 => {
                if !is_script(word) {
                    return Doing::Unknown;
                }
                scripts += 1;
                is_next_script = false;
            }
            _file => {}
        }
    }
    if scripts > 0 { Doing::Reads } else { Doing::Unknown }
}

fn git(words: &[&str]) -> Doing {
    let Some((verb, words)) = words.split_first() else { return Doing::Reads };
    if !GIT_READERS.contains(verb) {
        return Doing::Unknown;
    }
    let names_file_or_program =
        |word: &str| word.starts_with("-O") || ["--ou", "--ext", "--textc"].iter().any(|it| word.starts_with(it));
    unless(words, names_file_or_program, Doing::Unknown)
}
