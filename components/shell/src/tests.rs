//! Runs the tables in `tests/cases`: each case is a script over a folder of its own, and what must come of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tool_kit::{ErrorKind, Workspace};

use crate::session::{Ended, Session};
use crate::{Arguments, commands, run, shown};

/// What a debug build's frames need: several times those of the component.
const STACK_BYTES: usize = 64 << 20;
/// What a script may take here: enough for every ordinary one, also on a slow machine, and short for the others.
const TIME: Duration = Duration::from_secs(8);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    command: String,
    #[serde(default)]
    stdin: String,
    /// Exactly this; nothing is said about it where it is missing.
    stdout: Option<String>,
    /// Each of these in standard output, standard error or the reason why it was stopped.
    #[serde(default)]
    says: Vec<String>,
    /// None of these.
    #[serde(default)]
    not: Vec<String>,
    #[serde(default)]
    status: i32,
    /// Whether a limit must have ended it.
    #[serde(default)]
    stopped: bool,
    /// Whether a limit may have ended it: that of time, on a slow machine.
    #[serde(default)]
    may_stop: bool,
    /// Files there before.
    #[serde(default)]
    before: BTreeMap<String, String>,
    /// Files there afterwards.
    #[serde(default)]
    after: BTreeMap<String, String>,
    /// Paths not there afterwards.
    #[serde(default)]
    gone: Vec<String>,
}

/// A folder as the workspace, one as scratch, and one beside them that must stay out of reach.
struct Place {
    _folder: tempfile::TempDir,
    workspace: PathBuf,
    scratch: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (workspace, scratch) = (folder.path().join("workspace"), folder.path().join("scratch"));
        fs::create_dir(&workspace).unwrap();
        fs::create_dir(&scratch).unwrap();
        fs::write(folder.path().join("secret"), "secret").unwrap();
        Self { _folder: folder, workspace, scratch }
    }

    fn run(&self, command: &str, stdin: &str) -> Ended {
        let session = Session {
            workspace: self.workspace.clone(),
            scratch: Some(self.scratch.clone()),
            directory: "/workspace".to_owned(),
            time: TIME,
        };
        let (command, stdin) = (command.to_owned(), stdin.to_owned());
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        thread.spawn(move || session.run(&command, &stdin).unwrap()).unwrap().join().unwrap()
    }
}

/// What is wrong with what came of `case`.
fn faults(case: &Case) -> Vec<String> {
    let place = Place::new();
    for (path, content) in &case.before {
        let full = place.workspace.join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, content).unwrap();
    }
    let ended = place.run(&case.command, &case.stdin);
    let mut faults = Vec::new();
    let stopped = ended.stopped.is_some();
    if ended.status != case.status || stopped != case.stopped && !(stopped && case.may_stop) {
        faults.push(format!("status {}, stopped {:?}", ended.status, ended.stopped));
    }
    if case.stdout.as_ref().is_some_and(|stdout| *stdout != ended.stdout) {
        faults.push("other stdout".to_owned());
    }
    let all = format!("{}{}{}", ended.stdout, ended.stderr, ended.stopped.as_deref().unwrap_or_default());
    faults.extend(case.says.iter().filter(|text| !all.contains(*text)).map(|text| format!("does not say {text:?}")));
    faults.extend(case.not.iter().filter(|text| all.contains(*text)).map(|text| format!("says {text:?}")));
    for (path, content) in &case.after {
        let found = fs::read_to_string(place.workspace.join(path)).map_err(|error| error.to_string());
        if found.as_ref() != Ok(content) {
            faults.push(format!("{path} is {found:?}"));
        }
    }
    faults.extend(
        case.gone.iter().filter(|path| place.workspace.join(path).exists()).map(|path| format!("{path} is there")),
    );
    if !faults.is_empty() {
        let cut = |text: &str| text.chars().take(2_000).collect::<String>();
        faults.push(format!("stdout: {:?}", cut(&ended.stdout)));
        faults.push(format!("stderr: {:?}", cut(&ended.stderr)));
    }
    faults
}

fn table(name: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
    toml::from_str::<Table>(&fs::read_to_string(path).unwrap()).unwrap().case
}

fn check(name: &str) {
    let mut wrong = Vec::new();
    for case in table(name) {
        let faults = faults(&case);
        if !faults.is_empty() {
            wrong.push(format!("{}\n    {}", case.command, faults.join("\n    ")));
        }
    }
    assert!(wrong.is_empty(), "{} of {name} went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_language_is_bash() {
    check("language.toml");
}

#[test]
fn commands_do_what_their_names_say() {
    check("commands.toml");
}

#[test]
fn files_are_the_real_ones_and_no_others() {
    check("files.toml");
}

#[test]
fn mistakes_are_told_as_bash_tells_them() {
    check("mistakes.toml");
}

#[test]
fn what_cannot_be_read_or_written_ends_a_command_and_not_the_script() {
    check("unwritable.toml");
}

#[test]
fn hostile_scripts_end_by_a_limit() {
    check("hostile.toml");
}

#[test]
fn every_command_that_is_offered_exists() {
    let place = Place::new();
    for name in commands::BUILTINS.iter().chain(commands::COMMANDS) {
        let ended = place.run(&format!("type '{name}'"), "");
        assert_eq!(ended.status, 0, "{name}: {}", ended.stderr);
    }
}

/// Ways to name what is missing, what cannot be written, and what is no file; `a.txt` and `folder/` are there.
const BAD_ARGUMENTS: &[&str] = &[
    "nope/x",
    "/y",
    "folder",
    "a.txt/x",
    "nope/x nope/y",
    "a.txt nope/x",
    "a.txt /y",
    "a.txt a.txt/x",
    "folder nope/x",
    "/dev/../y a.txt",
    "-o nope/x a.txt",
];

#[test]
fn no_command_ends_the_script_with_a_bad_path() {
    let place = Place::new();
    fs::create_dir(place.workspace.join("folder")).unwrap();
    fs::write(place.workspace.join("folder/f"), "f\n").unwrap();
    let mut wrong = Vec::new();
    for name in commands::COMMANDS.iter().filter(|name| !["sleep", "yes"].contains(name)) {
        let mut script = String::new();
        for arguments in BAD_ARGUMENTS {
            script.push_str(&format!("echo a > a.txt; echo in | {name} {arguments} > /dev/null; echo next >&2\n"));
        }
        let ended = place.run(&script, "");
        let nexts = ended.stderr.lines().filter(|line| *line == "next").count();
        let raw = ["io error", "os error", "execution error"].iter().any(|raw| ended.stderr.contains(raw));
        if nexts != BAD_ARGUMENTS.len() || raw {
            wrong.push(format!("{name}: {nexts}\n{}", ended.stderr));
        }
    }
    assert!(wrong.is_empty(), "{} commands:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
#[cfg(unix)]
fn links_lead_to_what_is_mounted_and_nowhere_else() {
    let place = Place::new();
    fs::write(place.workspace.join("f"), "inside\n").unwrap();
    for (link, target) in [("in", "f"), ("abs", "/workspace/f"), ("out", "../secret"), ("etc", "/etc/passwd")] {
        std::os::unix::fs::symlink(target, place.workspace.join(link)).unwrap();
    }
    let ended = place.run("cat in abs; cat out; cat etc; echo x > out; echo more >> in; rm abs; cat f; ls", "");
    assert_eq!(ended.stdout, "inside\ninside\ninside\nmore\netc\nf\nin\nout\n");
    assert!(ended.stderr.contains("cat: etc: No such file") && !ended.stderr.contains("secret\n"), "{}", ended.stderr);
    let beside = place.workspace.parent().unwrap().join("secret");
    assert_eq!(fs::read_to_string(beside).unwrap(), "secret");
}

fn call(place: &Place, command: &str, directory: Option<&str>) -> Result<String, tool_kit::Failure> {
    let workspace = Workspace::at(&place.workspace);
    let arguments = Arguments { command: command.to_owned(), stdin: None, directory: directory.map(str::to_owned) };
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    thread.spawn(move || run(&workspace, arguments)).unwrap().join().unwrap()
}

#[test]
fn a_model_reads_what_a_terminal_shows() {
    let place = Place::new();
    fs::create_dir_all(place.workspace.join("a/b")).unwrap();
    fs::write(place.workspace.join("f"), "").unwrap();
    for (command, directory, expected) in [
        ("echo out", None, "out\n"),
        ("printf out", None, "out\n"),
        (":", None, "[no output]\n"),
        ("false", None, "exit status 1\n"),
        ("echo out; echo err >&2; exit 3", None, "out\n[stderr]\nerr\nexit status 3\n"),
        ("pwd; echo x > x", Some("a/b"), "/workspace/a/b\n"),
        ("cat x; pwd", Some("/workspace/a/b/."), "x\n/workspace/a/b\n"),
    ] {
        assert_eq!(call(&place, command, directory).unwrap(), expected, "{command}");
    }
    let stopped = call(&place, "f() { f; }; echo y; f", None).unwrap_err();
    assert_eq!((stopped.kind, stopped.code.as_str(), stopped.retryable), (ErrorKind::Failed, "limit", false));
    let expected =
        "y\n[stopped by a limit: maximum function depth exceeded (16); nothing was changed. Do less at once]\n";
    assert_eq!(stopped.message, expected);
    let text = call(&place, "python3 x.py", None).unwrap();
    assert!(
        text.contains("python3: command not found") && text.contains(" awk ") && text.ends_with("exit status 127\n")
    );
    for (directory, kind) in
        [("missing", ErrorKind::NotFound), ("f", ErrorKind::InvalidArguments), ("../x", ErrorKind::InvalidArguments)]
    {
        assert_eq!(call(&place, "pwd", Some(directory)).unwrap_err().kind, kind, "{directory}");
    }
}

#[test]
fn of_long_output_both_ends_are_shown() {
    let place = Place::new();
    let text = call(&place, "seq 50000; seq 5000 >&2", None).unwrap();
    assert!(text.len() < 64 << 10, "{}", text.len());
    assert!(text.starts_with("1\n2\n") && text.contains("\n50000\n[stderr]\n1\n") && text.ends_with("\n5000\n"));
    assert!(text.contains("left out here") && text.contains("sed -n"), "{text}");
    let text = call(&place, "for i in 1 2 3 4 5 6 7 8 9; do seq 90000; done", None).unwrap();
    assert!(text.contains("more output than is kept"), "{}", &text[text.len() - 300..]);
    let ended = Ended { stdout: "ä".repeat(100_000), ..Ended::default() };
    assert!(shown::shown(&ended).len() < 64 << 10);
}

#[test]
fn deep_nesting_and_long_scripts_are_refused_or_run() {
    let place = Place::new();
    for levels in [8, 100] {
        for (open, inner, close) in [
            ("( ", "echo x", " )"),
            ("{ ", "echo x", "; }"),
            ("echo $( ", "echo x", " )"),
            ("if true; then ", "echo x", "; fi"),
            ("f() { ", "echo x", "; }"),
            ("echo $(( ", "1", " ))"),
            ("echo \"${x:-", "y", "}\""),
            ("[[ ! ", "-n x", " ]]"),
            ("echo {a,", "b", "}"),
            ("eval ", "echo x", ""),
        ] {
            place.run(&format!("{}{inner}{}", open.repeat(levels), close.repeat(levels)), "");
        }
        let (open, close) = ("(".repeat(levels), ")".repeat(levels));
        for script in [
            format!("echo $(({open}1{close}))"),
            format!("awk 'BEGIN {{ print {open}1{close} }}'"),
            format!("grep -E '{open}a{close}'"),
            format!("echo '{open}1{close}' | bc"),
            format!("jq -n '{}{}'", "[".repeat(levels), "]".repeat(levels)),
            format!("test {}x", "! ".repeat(levels)),
        ] {
            place.run(&script, "a\n");
        }
    }
    assert_eq!(place.run(&"echo x;".repeat(1_000), "").status, 0);
    let ended = place.run(&"#".repeat(1 << 20), "");
    assert!(ended.stopped.unwrap().contains("input too large"));
}
