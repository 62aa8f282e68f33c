//! Commands that run other commands, or words as code.
//!
//! Promise: what such a command runs is in the list too, or the line is not understood. An option that is not known here
//! could take an argument, so that everything after it would be read wrongly: that is not understood either.
//!
//! Not here: programs whose arguments are code in another language, sed and awk apart, which people think of as harmless.

use super::{Assignment, Dialect, Parsed, Redirection, SimpleCommand, Word, refused};

/// What a command runs in its turn.
#[derive(Debug)]
pub(super) enum Inner {
    Command(SimpleCommand),
    Text(String, Dialect),
}

const NOT_KNOWN: &str = "it runs words that are not known";

/// A command whose operands are another command.
struct Prefix {
    names: &'static [&'static str],
    /// Options that stand alone.
    flags: &'static [&'static str],
    /// Options whose argument is the next word, or, for those of one letter, the rest of theirs.
    with_argument: &'static [&'static str],
    /// Words between the options and the command.
    operands: usize,
    /// Whether variables may be set before the command.
    sets_variables: bool,
}

const PREFIXES: &[Prefix] = &[
    Prefix { names: &["command"], flags: &["-p"], with_argument: &[], operands: 0, sets_variables: false },
    Prefix {
        names: &["builtin", "nohup", "setsid", "busybox", "toybox"],
        flags: &[],
        with_argument: &[],
        operands: 0,
        sets_variables: false,
    },
    Prefix {
        names: &["exec"],
        flags: &["-c", "-l", "-cl"],
        with_argument: &["-a"],
        operands: 0,
        sets_variables: false,
    },
    Prefix { names: &["nice"], flags: &[], with_argument: &["-n", "--adjustment"], operands: 0, sets_variables: false },
    Prefix {
        names: &["timeout"],
        flags: &["--preserve-status", "--foreground", "-v", "--verbose"],
        with_argument: &["-k", "-s", "--kill-after", "--signal"],
        operands: 1,
        sets_variables: false,
    },
    Prefix { names: &["stdbuf"], flags: &[], with_argument: &["-i", "-o", "-e"], operands: 0, sets_variables: false },
    Prefix { names: &["time"], flags: &["-p", "-v"], with_argument: &["-f"], operands: 0, sets_variables: false },
    Prefix {
        names: &["env"],
        flags: &["-", "-i", "--ignore-environment", "-0", "--null"],
        with_argument: &["-u", "--unset"],
        operands: 0,
        sets_variables: true,
    },
    Prefix {
        names: &["sudo", "doas"],
        flags: &["-n", "-E", "-H", "-k", "-S", "-b", "--non-interactive", "--preserve-env", "--set-home"],
        with_argument: &["-u", "-g", "-p", "--user", "--group", "--prompt"],
        operands: 0,
        sets_variables: true,
    },
];

/// Commands that run words in ways of their own.
const RUN_UNKNOWN: &[&str] = &[
    ".",
    "alias",
    "at",
    "batch",
    "bind",
    "bwrap",
    "chroot",
    "chrt",
    "compgen",
    "complete",
    "csh",
    "doas",
    "enable",
    "entr",
    "fakeroot",
    "fc",
    "fish",
    "flock",
    "ionice",
    "ksh",
    "let",
    "ltrace",
    "mksh",
    "nsenter",
    "numactl",
    "parallel",
    "pkexec",
    "proot",
    "rbash",
    "runuser",
    "script",
    "setarch",
    "setpriv",
    "source",
    "strace",
    "su",
    "systemd-run",
    "taskset",
    "tcsh",
    "unbuffer",
    "unshare",
    "watch",
    "xvfb-run",
    "zsh",
];
/// Builtins whose arguments are names of variables, whose indices are evaluated.
const TAKE_NAMES: &[&str] = &["getopts", "mapfile", "read", "readarray", "unset", "wait"];
/// Builtins that set what they are given.
const DECLARE: &[&str] = &["declare", "export", "local", "readonly", "typeset"];

/// What a command runs besides itself.
pub(super) fn inner(command: &SimpleCommand) -> Parsed<Vec<Inner>> {
    let Some((Word::Known(path), arguments)) = command.words.split_first() else { return Ok(Vec::new()) };
    let name = path.rsplit('/').next().unwrap_or(path);
    if name == "command" && matches!(arguments, [Word::Known(option), ..] if option == "-v" || option == "-V") {
        return Ok(Vec::new());
    }
    if let Some(prefix) = PREFIXES.iter().find(|prefix| prefix.names.contains(&name)) {
        return prefixed(prefix, arguments);
    }
    let is_known = arguments.iter().all(|word| word.known().is_some());
    let has = |test: &dyn Fn(&str) -> bool| arguments.iter().filter_map(Word::known).any(test);
    match name {
        "sh" | "dash" | "ash" => shell(arguments, Dialect::Posix),
        "bash" => shell(arguments, Dialect::Bash),
        "eval" if !is_known => refused(NOT_KNOWN),
        "eval" => {
            let words: Vec<&str> = arguments.iter().filter_map(Word::known).filter(|word| *word != "--").collect();
            Ok(vec![Inner::Text(words.join(" "), Dialect::Bash)])
        }
        "trap" => trap(arguments),
        "xargs" => xargs(arguments),
        "find" => find(arguments),
        "awk" | "gawk" | "mawk" | "nawk" => awk(arguments),
        "sed" | "gsed" => sed(arguments),
        "hash" if !is_known || has(&|word| word.starts_with("-p")) => refused("it changes what a name runs"),
        "printf" if matches!(arguments.first(), Some(Word::Dynamic)) || has(&|word| word.starts_with("-v")) => {
            refused("an index is evaluated")
        }
        "jobs" if !is_known || has(&|word| word.starts_with("-x")) => refused(NOT_KNOWN),
        "test" | "[" if has(&|word| word == "-v" || word == "-R") => refused("an index is evaluated"),
        _ if TAKE_NAMES.contains(&name) && (!is_known || has(&|word| word.contains('['))) => {
            refused("an index is evaluated")
        }
        _ if TAKE_NAMES.contains(&name) && has(&|word| word.starts_with("-C")) => refused(NOT_KNOWN),
        _ if DECLARE.contains(&name) => declare(arguments),
        _ if RUN_UNKNOWN.contains(&name) => refused(NOT_KNOWN),
        _ => Ok(Vec::new()),
    }
}

fn declare(arguments: &[Word]) -> Parsed<Vec<Inner>> {
    let is_bad = |word: &str| {
        let is_option = word.starts_with(['-', '+']);
        let name = word.split('=').next().unwrap_or_default();
        is_option && word.contains(['i', 'n', 'f']) || !is_option && name.contains('[')
    };
    if arguments.iter().filter_map(Word::known).any(is_bad) {
        return refused("an index or a value is evaluated");
    }
    // `export "x=$y"` is as common as harmless, but what is set cannot be told.
    let set = |word: &Word| match word {
        Word::Known(text) if text.starts_with(['-', '+']) => None,
        Word::Known(text) => {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            Some(Assignment { name: name.to_owned(), value: Word::Known(value.to_owned()) })
        }
        Word::Dynamic => Some(Assignment { name: String::new(), value: Word::Dynamic }),
    };
    let assignments: Vec<_> = arguments.iter().filter_map(set).collect();
    Ok(vec![Inner::Command(SimpleCommand { assignments, ..SimpleCommand::default() })])
}

/// Skips options. The rest begins with the first operand.
fn after_options<'a>(words: &'a [Word], flags: &[&str], with_argument: &[&str]) -> Parsed<&'a [Word]> {
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        let Word::Known(option) = word else { return refused(NOT_KNOWN) };
        if option == "--" {
            return Ok(after);
        }
        if flags.contains(&option.as_str()) {
            rest = after;
        } else if with_argument.contains(&option.as_str()) {
            rest = after.get(1..).unwrap_or_default();
        } else if !option.starts_with('-') || option == "-" {
            return Ok(rest);
        } else {
            let is_joined = |known: &&str| match known.strip_prefix("--") {
                Some(_) => option.strip_prefix(*known).is_some_and(|value| value.starts_with('=')),
                None => known.len() == 2 && option.starts_with(*known),
            };
            if !with_argument.iter().any(is_joined) {
                return refused("a command that runs another has an option that is not known");
            }
            rest = after;
        }
    }
    Ok(rest)
}

fn prefixed(prefix: &Prefix, arguments: &[Word]) -> Parsed<Vec<Inner>> {
    let rest = after_options(arguments, prefix.flags, prefix.with_argument)?;
    let (operands, mut words) = rest.split_at(prefix.operands.min(rest.len()));
    if operands.contains(&Word::Dynamic) {
        return refused(NOT_KNOWN);
    }
    let mut assignments = Vec::new();
    while let (true, Some((Word::Known(word), after))) = (prefix.sets_variables, words.split_first()) {
        let Some((name, value)) = word.split_once('=') else { break };
        assignments.push(Assignment { name: name.to_owned(), value: Word::Known(value.to_owned()) });
        words = after;
    }
    if words.is_empty() && assignments.is_empty() {
        return Ok(Vec::new());
    }
    // Some take options here too.
    if words.first().and_then(Word::known).is_some_and(|word| word.starts_with('-')) {
        return refused("a command that runs another has an option in an unusual place");
    }
    Ok(vec![Inner::Command(SimpleCommand { assignments, words: words.to_vec(), redirections: Vec::new() })])
}

/// A shell: its text, or a file, which is a program like any other.
fn shell(arguments: &[Word], dialect: Dialect) -> Parsed<Vec<Inner>> {
    let (mut has_text, mut reads_input, mut rest) = (false, false, arguments);
    while let Some((word, after)) = rest.split_first() {
        let Word::Known(option) = word else { return refused(NOT_KNOWN) };
        if option == "-" || option == "--" {
            rest = after;
            break;
        }
        if !option.starts_with(['-', '+']) {
            break;
        }
        rest = after;
        match option.as_str() {
            "--norc" | "--noprofile" | "--posix" | "--login" => {}
            _ if option.starts_with("--") => return refused("a shell has an option that is not known"),
            _ if option.ends_with(['o', 'O']) && option.len() == 2 => rest = after.get(1..).unwrap_or_default(),
            _ if !option.chars().skip(1).all(|c| "abcefhlmnpstuvxBCEHP".contains(c)) => {
                return refused("a shell has an option that is not known");
            }
            _ => {
                has_text |= option.starts_with('-') && option.contains('c');
                reads_input |= option.contains('s');
            }
        }
    }
    match rest.first() {
        Some(Word::Known(text)) if has_text => Ok(vec![Inner::Text(text.clone(), dialect)]),
        Some(Word::Known(_)) if !reads_input => Ok(Vec::new()),
        _ => refused("a shell runs what it reads"),
    }
}

fn trap(arguments: &[Word]) -> Parsed<Vec<Inner>> {
    let rest = match arguments {
        [Word::Known(option), rest @ ..] if option == "--" => rest,
        [Word::Known(option), ..] if option == "-p" || option == "-l" => return Ok(Vec::new()),
        rest => rest,
    };
    match rest.first() {
        Some(Word::Known(text)) if text != "-" => Ok(vec![Inner::Text(text.clone(), Dialect::Bash)]),
        Some(Word::Dynamic) => refused(NOT_KNOWN),
        Some(Word::Known(_)) | None => Ok(Vec::new()),
    }
}

fn xargs(arguments: &[Word]) -> Parsed<Vec<Inner>> {
    // The last two take an argument too, but never the next word (findutils, xargs(1)).
    const FLAGS: &[&str] =
        &["-0", "-r", "-t", "-x", "--null", "--no-run-if-empty", "--verbose", "--exit", "--max-lines", "--replace"];
    const WITH_ARGUMENT: &[&str] = &[
        "-I",
        "-n",
        "-P",
        "-L",
        "-d",
        "-a",
        "-E",
        "-s",
        "--max-args",
        "--max-procs",
        "--delimiter",
        "--arg-file",
        "--max-chars",
    ];
    const JOINED: &[&str] = &["--max-lines", "--replace"];
    let is_joined = |word: &Word| {
        let option = word.known().and_then(|it| it.split_once('=')).map(|(option, _)| option);
        option.is_some_and(|option| JOINED.contains(&option))
    };
    if arguments.iter().any(is_joined) {
        return refused("a command that runs another has an option that is not known");
    }
    let rest = after_options(arguments, FLAGS, WITH_ARGUMENT)?;
    // Where the arguments go is up to `-I`; any word could hold them.
    let options = arguments.len() - rest.len();
    let replaces = |word: &Word| word.known().is_some_and(|it| it.starts_with("-I") || it.starts_with("--replace"));
    let words = if arguments.iter().take(options).any(replaces) {
        rest.iter().enumerate().map(|(at, word)| if at == 0 { word.clone() } else { Word::Dynamic }).collect()
    } else {
        rest.iter().cloned().chain([Word::Dynamic]).collect::<Vec<_>>()
    };
    if rest.is_empty() {
        let words = vec![Word::Known("echo".to_owned()), Word::Dynamic]; // POSIX, xargs: without a command.
        return Ok(vec![Inner::Command(SimpleCommand { words, ..SimpleCommand::default() })]);
    }
    if rest.first().and_then(Word::known).is_none_or(|name| name.contains(['{', '}', '%', '@'])) {
        return refused(NOT_KNOWN);
    }
    Ok(vec![Inner::Command(SimpleCommand { words, ..SimpleCommand::default() })])
}

fn find(arguments: &[Word]) -> Parsed<Vec<Inner>> {
    let mut found = Vec::new();
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        let Word::Known(word) = word else { return refused("what find does with words that are not known") };
        match word.as_str() {
            "-exec" | "-execdir" | "-ok" | "-okdir" => {
                let mut words = Vec::new();
                loop {
                    match rest.next() {
                        Some(Word::Known(word)) if word == ";" => break,
                        Some(Word::Known(word)) if word == "+" && words.last() == Some(&Word::Dynamic) => break,
                        Some(Word::Known(word)) if word.contains("{}") => words.push(Word::Dynamic),
                        Some(word @ Word::Known(_)) => words.push(word.clone()),
                        Some(Word::Dynamic) | None => return refused("what find runs has no end that is known"),
                    }
                }
                found.push(Inner::Command(SimpleCommand { words, ..SimpleCommand::default() }));
            }
            "-delete" => {
                let words = vec![Word::Known("rm".to_owned()), Word::Dynamic];
                found.push(Inner::Command(SimpleCommand { words, ..SimpleCommand::default() }));
            }
            "-fprint" | "-fprint0" | "-fls" | "-fprintf" => {
                let path = rest.next().cloned().unwrap_or(Word::Dynamic);
                found.push(write(path));
            }
            _ => {}
        }
    }
    Ok(found)
}

fn write(path: Word) -> Inner {
    Inner::Command(SimpleCommand { redirections: vec![Redirection { writes: true, path }], ..SimpleCommand::default() })
}

/// awk(1) runs commands with `system`, pipes and `getline`, and writes with `>`.
fn awk(arguments: &[Word]) -> Parsed<Vec<Inner>> {
    let rest = after_options(arguments, &[], &["-F", "-v"])?;
    match rest.first() {
        Some(Word::Known(program)) if !["system", "|", "getline", "@"].iter().any(|it| program.contains(it)) => {
            let writes = program.contains('>').then(|| write(Word::Dynamic));
            Ok(writes.into_iter().collect())
        }
        _ => refused("an awk program may run commands"),
    }
}

/// sed(1) runs commands with `e` and writes with `w`, as commands and as flags of `s`.
fn sed(arguments: &[Word]) -> Parsed<Vec<Inner>> {
    const FLAGS: &[&str] = &["-n", "-E", "-r", "-s", "-u", "-z", "-i", "-ne", "-nE", "-nr", "-En", "-Ei", "-ni"];
    let (mut scripts, mut rest) = (Vec::new(), arguments);
    let known = loop {
        match rest.split_first() {
            Some((Word::Known(option), after)) if option == "-e" || option == "-ne" => {
                scripts.extend(after.first());
                rest = after.get(1..).unwrap_or_default();
            }
            Some((Word::Known(option), after))
                if FLAGS.contains(&option.as_str()) || option.starts_with("-i") && !option.contains('e') =>
            {
                rest = after;
            }
            Some((Word::Known(option), _)) if option.starts_with('-') => break false,
            _ => break true,
        }
    };
    if scripts.is_empty() {
        scripts.extend(rest.first());
        rest = rest.get(1..).unwrap_or_default();
    }
    // Options may also stand after the script.
    let is_plain = |word: &Word| word.known().is_none_or(|it| !it.starts_with('-'));
    let is_harmless = |script: &&Word| script.known().is_some_and(is_harmless_sed);
    if known && rest.iter().all(is_plain) && scripts.iter().all(is_harmless) {
        return Ok(Vec::new());
    }
    refused("a sed script may run commands")
}

/// Whether each of a script's commands is one that neither runs nor writes.
fn is_harmless_sed(script: &str) -> bool {
    let mut rest = script;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || " \t\n;,$!+~{}".contains(c));
        let mut chars = rest.chars();
        match chars.next() {
            None => return true,
            Some('/') => match after_delimited(chars.as_str(), '/') {
                Some(after) => rest = after.trim_start_matches('I'),
                None => return false,
            },
            Some('s') => {
                let Some(delimiter) = chars.next().filter(|c| c.is_ascii_punctuation() && *c != '\\') else {
                    return false;
                };
                let replaced = after_delimited(chars.as_str(), delimiter);
                let Some(after) = replaced.and_then(|it| after_delimited(it, delimiter)) else { return false };
                rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || "gpiIM".contains(c));
                if !(rest.is_empty() || rest.starts_with([';', '\n', ' ', '}'])) {
                    return false;
                }
            }
            Some('p' | 'd' | 'q' | 'Q' | 'h' | 'H' | 'g' | 'G' | 'x' | 'n' | 'N' | 'D' | 'P' | '=') => {
                rest = chars.as_str()
            }
            Some(_) => return false,
        }
    }
}

/// What follows the next delimiter. A bracket expression that hides one is refused.
fn after_delimited(text: &str, delimiter: char) -> Option<&str> {
    let mut rest = text;
    let mut in_brackets = false;
    loop {
        let mut chars = rest.chars();
        let next = chars.next()?;
        rest = chars.as_str();
        match next {
            '\\' => {
                chars.next()?;
                rest = chars.as_str();
            }
            // `[[:space:]]` holds brackets of its own, and `[]x]` a bracket as a character.
            '[' if in_brackets && rest.starts_with(':') => rest = rest.split_once(":]")?.1,
            '[' if in_brackets || rest.trim_start_matches('^').starts_with(']') => return None,
            '[' => in_brackets = true,
            ']' => in_brackets = false,
            _ if next == delimiter => return (!in_brackets).then_some(rest),
            _ => {}
        }
    }
}
