//! The program as a process, with a home and a workspace of its own.
//!
//! Promise: no variable of the person who runs the tests reaches it, no run outlives its time, and the
//! components are compiled once for all tests.

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A run may take this long, on a machine that is busy.
const RUN_TIME_MAX: Duration = Duration::from_secs(120);
/// How often a run is looked at.
const POLL: Duration = Duration::from_millis(2);
/// The folder of the program's own files in a home.
const CACHE: &str = "cache/compiled";
/// The key of the cache in a home.
const CACHE_KEY: &str = "state/cache.key";

/// The program under test: `HARNESS_HOST_BIN`, else the one beside this test's own executable.
///
/// # Panics
/// If it was not built.
pub fn binary() -> PathBuf {
    let path = std::env::var_os("HARNESS_HOST_BIN").map_or_else(|| target_folder().join("harness-host"), PathBuf::from);
    assert!(path.is_file(), "{} is missing: run `cargo build -p harness-host` first", path.display());
    path
}

/// An example program of this workspace.
///
/// # Panics
/// If it was not built.
pub fn example(name: &str) -> PathBuf {
    let path = target_folder().join("examples").join(name);
    assert!(path.is_file(), "{} is missing: run `cargo build --workspace --all-targets` first", path.display());
    path
}

/// `target/<profile>`, in which this test's executable lies.
fn target_folder() -> PathBuf {
    let own = std::env::current_exe().expect("the system names the test's executable");
    let folder = own.parent().expect("an executable lies in a folder");
    let folder = if folder.ends_with("deps") { folder.parent().expect("deps lies in a folder") } else { folder };
    folder.to_path_buf()
}

/// A person's files: home and workspace.
pub struct Place {
    folder: TempDir,
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// An empty workspace, and a home that has nothing but compiled components.
    pub fn new() -> Self {
        let place = Self::cold();
        for name in std::fs::read_dir(compiled().join(CACHE)).expect("the components were compiled") {
            let from = name.expect("a name").path();
            let to = place.home().join(CACHE).join(from.file_name().expect("a name"));
            std::fs::hard_link(&from, &to)
                .or_else(|_| std::fs::copy(&from, &to).map(|_| ()))
                .expect("a cache of its own");
        }
        std::fs::copy(compiled().join(CACHE_KEY), place.home().join(CACHE_KEY)).expect("a key of its own");
        place
    }

    /// The same without compiled components.
    fn cold() -> Self {
        let folder = tempfile::Builder::new().prefix("harness-e2e-").tempdir().expect("a folder");
        let place = Self { folder };
        make_home(&place.home());
        std::fs::create_dir(place.workspace()).expect("a workspace");
        place
    }

    /// What `HARNESS_HOST_HOME` says.
    pub fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    /// The folder the agent works in.
    pub fn workspace(&self) -> PathBuf {
        self.root().join("workspace")
    }

    /// The folder that holds both, without links in its path.
    pub fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().expect("it exists")
    }

    /// Writes a file of the workspace.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.workspace().join(path);
        std::fs::create_dir_all(path.parent().expect("inside")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }

    /// Reads a file of the workspace.
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The program, with no environment but what it needs.
    pub fn program(&self) -> Command {
        program_at(&self.home())
    }

    /// `run` in the workspace, with these words after it.
    pub fn run(&self, words: &[&str]) -> Command {
        let mut command = self.program();
        command.arg("run").arg("-w").arg(self.workspace()).args(words);
        command
    }
}

fn make_home(home: &Path) {
    std::fs::create_dir_all(home.join(CACHE)).expect("a cache");
    std::fs::create_dir_all(home.join("state")).expect("a state folder");
    for folder in ["cache/compiled", "state"] {
        std::fs::set_permissions(home.join(folder), Permissions::from_mode(0o700)).expect("a private folder");
    }
}

fn program_at(home: &Path) -> Command {
    let mut command = Command::new(binary());
    command.env_clear().env("HARNESS_HOST_HOME", home).env("HOME", home).env("PATH", "/usr/bin:/bin");
    // The test command tests components that were built anew.
    if let Some(folder) = std::env::var_os("HARNESS_HOST_COMPONENTS") {
        command.env("HARNESS_HOST_COMPONENTS", folder);
    }
    command.current_dir(home);
    command
}

/// A home whose components are compiled, made once.
fn compiled() -> &'static Path {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    HOME.get_or_init(|| {
        let folder = target_folder().parent().expect("target").join("tmp");
        std::fs::create_dir_all(&folder).expect("a folder for what tests keep");
        let home = folder.canonicalize().expect("it exists").join("harness-tests-home");
        // Test executables run beside each other.
        let lock = File::create(folder.join("harness-tests-home.lock")).expect("a lock");
        lock.lock().expect("the lock");
        make_home(&home);
        let workspace = tempfile::tempdir().expect("a folder");
        std::fs::write(workspace.path().join("a"), "a\n").expect("a file");
        let script = "TOOL read_file {\"path\":\"a\"}\nTOOL write_file {\"path\":\"b\",\"content\":\"b\"}\n\
                      TOOL edit_file {\"path\":\"a\",\"old_string\":\"a\",\"new_string\":\"b\"}\nTOOL list_dir {}\n\
                      TOOL glob {\"pattern\":\"*\"}\nTOOL grep {\"pattern\":\"b\"}\nANSWER compiled";
        let mut command = program_at(&home);
        command.args(["run", "--approve", "edits", "-w"]).arg(workspace.path()).arg(script);
        let ran = finish(&mut command, None);
        assert!(ran.code == Some(0) && ran.stdout == "compiled\n", "the components cannot be compiled: {ran:?}");
        // A run would not wait for a large one.
        let mut command = program_at(&home);
        command.args(["component", "call", "shell", "shell", "{\"command\":\"echo compiled\"}"]);
        let ran = finish(&mut command, None);
        assert!(ran.code == Some(0) && ran.stdout.contains("compiled"), "the shell cannot be compiled: {ran:?}");
        // Without a grant it sends nothing, and is compiled all the same.
        let mut command = program_at(&home);
        command.args(["component", "call", "fetch", "fetch", "{\"url\":\"http://127.0.0.1/\"}"]);
        let ran = finish(&mut command, None);
        assert!(ran.stderr.contains("--grant"), "what fetches cannot be compiled: {ran:?}");
        // A mode is compiled when it is asked for the first time.
        for mode in ["auto", "build", "plan", "review"] {
            let mut command = program_at(&home);
            command.args(["policy", "explain", "--mode", mode, "read_file", "{}"]);
            let ran = finish(&mut command, None);
            assert!(ran.stdout.contains(&format!("mode.{mode}.")), "the mode cannot be compiled: {ran:?}");
        }
        home
    })
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a command to its end; without input it gets an empty standard input.
///
/// # Panics
/// If it does not end in time, or writes what is not UTF-8.
pub fn finish(command: &mut Command, stdin: Option<&str>) -> Ran {
    let input = if stdin.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut child = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    if let (Some(text), Some(mut pipe)) = (stdin, child.stdin.take()) {
        // A program that ends without reading is no failure of the test.
        let _ = pipe.write_all(text.as_bytes());
    }
    collect(child)
}

/// Waits for a process whose outputs are pipes.
///
/// # Panics
/// If it does not end in time, or writes what is not UTF-8.
pub fn collect(mut child: Child) -> Ran {
    let stdout = child.stdout.take().map(read_all);
    let stderr = child.stderr.take().map(read_all);
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break status;
        }
        if started.elapsed() > RUN_TIME_MAX {
            let _ = child.kill();
            let said = stderr.map(|thread| thread.join().expect("a reader"));
            panic!("the program did not end within {RUN_TIME_MAX:?}; it said {said:?}");
        }
        std::thread::sleep(POLL);
    };
    let text = |thread: Option<std::thread::JoinHandle<Vec<u8>>>| {
        let bytes = thread.map(|thread| thread.join().expect("a reader")).unwrap_or_default();
        String::from_utf8(bytes).expect("the program writes UTF-8")
    };
    Ran { code: status.code(), signal: status.signal(), stdout: text(stdout), stderr: text(stderr) }
}

fn read_all(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}
