//! Compiling in a worker process, with real processes: this program is test, worker and second host, told apart by
//! its first argument.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use harness_core::Outcome;
use harness_wasm::compile::{CompileLimits, Compiler, worker_main};
use harness_wasm::{CACHE_BYTES_MAX_DEFAULT, CacheSettings, CallLimits, Component, LoadError, Progress, Readiness};
use harness_wasm::{Runtime, RuntimeSettings};
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The first argument of a worker.
const WORKER: &str = "compile-component";
/// The first argument of a second host: it loads one component and says what happened.
const HOST: &str = "host";
/// Looks at something that has to come, and how long between two of them. It comes much earlier.
const LOOKS_MAX: usize = 6_000;
const LOOK_MS: u64 = 20;

const TESTS: &[(&str, fn())] = &[
    ("a_worker_compiles_and_the_next_host_finds_it", a_worker_compiles_and_the_next_host_finds_it),
    ("without_a_cache_a_worker_compiles_too", without_a_cache_a_worker_compiles_too),
    ("each_limit_of_a_compilation_is_named", each_limit_of_a_compilation_is_named),
    ("too_little_memory_at_any_point_is_named", too_little_memory_at_any_point_is_named),
    ("what_the_compiler_refuses_is_told_and_not_tried_again", what_the_compiler_refuses_is_told_and_not_tried_again),
    ("broken_workers_are_told_and_not_started_again_at_once", broken_workers_are_told_and_not_started_again_at_once),
    ("a_failure_that_may_pass_is_forgotten", a_failure_that_may_pass_is_forgotten),
    ("several_hosts_at_once_compile_once", several_hosts_at_once_compile_once),
    ("a_worker_outlives_its_host", a_worker_outlives_its_host),
    ("a_call_of_a_large_component_does_not_wait", a_call_of_a_large_component_does_not_wait),
    ("a_worker_refuses_orders_that_are_not_its_own", a_worker_refuses_orders_that_are_not_its_own),
];

fn main() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match words.first().and_then(|word| word.to_str()) {
        Some(WORKER) => return worker_main(words.split_off(1)),
        Some(HOST) => return host_main(&words[1..]),
        _ => {}
    }
    let words: Vec<String> = words.into_iter().map(|word| word.into_string().unwrap()).collect();
    if words.iter().any(|word| word == "--list") {
        TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<_> = words.iter().filter(|word| !word.starts_with("--")).collect();
    for (name, test) in TESTS {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
            // A failure panics, which ends this with an exit code that cargo understands.
            test();
            println!("test {name} ... ok");
        }
    }
    ExitCode::SUCCESS
}

fn this_program() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn worker(limits: CompileLimits) -> Compiler {
    Compiler::Worker { program: this_program(), arguments: vec![WORKER.into()], limits }
}

fn cache(root: &Path) -> CacheSettings {
    CacheSettings {
        folder: root.join("cache"),
        key_file: root.join("component-cache.key"),
        bytes_max: CACHE_BYTES_MAX_DEFAULT,
    }
}

/// A host with a worker, and what it tells.
struct Host {
    runtime: Arc<Runtime>,
    told: Arc<Mutex<Vec<Progress>>>,
}

impl Host {
    fn new(root: &Path, compiler: Compiler) -> Self {
        Self::with(Some(cache(root)), compiler)
    }

    fn with(cache: Option<CacheSettings>, compiler: Compiler) -> Self {
        let told = Arc::<Mutex<Vec<Progress>>>::default();
        let sink = told.clone();
        let settings = RuntimeSettings {
            threads: 1,
            cache,
            compiler,
            progress: Some(Arc::new(move |progress| sink.lock().unwrap().push(progress))),
            ..RuntimeSettings::default()
        };
        Self { runtime: Arc::new(Runtime::new(settings)), told }
    }

    fn load(&self, component: &Arc<Component>) -> Result<(), LoadError> {
        executor().block_on(self.runtime.load(component)).map(drop)
    }

    fn words(&self) -> Vec<&'static str> {
        let word = |progress: &Progress| match progress {
            Progress::Compiling { .. } => "compiling",
            Progress::Compiled { .. } => "compiled",
            Progress::CompiledElsewhere { .. } => "elsewhere",
        };
        self.told.lock().unwrap().iter().map(word).collect()
    }
}

fn executor() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A tool with so many functions that take a while to compile.
fn tool(functions: usize) -> Arc<Component> {
    let text = std::fs::read_to_string(support::corpus().join("neighbour.wat")).unwrap();
    let step = "(if (i32.and (local.get 0) (i32.const 3)) (then (local.set 0 (i32.mul (local.get 0) (local.get 0))))
        (else (local.set 0 (i32.rotl (local.get 0) (i32.const 5)))))";
    let body = step.repeat(200);
    let more = format!("(func (param i32) (result i32) {body} (local.get 0))\n").repeat(functions);
    let text = text.replacen(";; @ok", &format!(";; @ok\n{more}"), 1);
    support::read("tool", support::assemble(&text), CallLimits::DEFAULT).unwrap()
}

fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..LOOKS_MAX {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(LOOK_MS));
    }
    panic!("it never came: {what}");
}

fn entries(root: &Path) -> usize {
    let is_entry = |entry: &std::fs::DirEntry| entry.file_name().to_str().unwrap().ends_with(".cwasm");
    std::fs::read_dir(root.join("cache")).map_or(0, |all| all.filter(|entry| is_entry(entry.as_ref().unwrap())).count())
}

/// The file that a worker reads from and holds locked.
fn order_file(root: &Path) -> Option<PathBuf> {
    let is_order = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(".tmp-order-");
    std::fs::read_dir(root.join("cache")).ok()?.map(|entry| entry.unwrap().path()).find(is_order)
}

fn a_worker_compiles_and_the_next_host_finds_it() {
    let root = tempfile::tempdir().unwrap();
    let work = root.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let first = Host::new(root.path(), worker(CompileLimits::DEFAULT));
    let component = tool(1);
    assert!(matches!(first.runtime.readiness(&component), Readiness::Unknown));
    let hands = support::hands(&first.runtime, &work, std::slice::from_ref(&component));
    let report = executor().block_on(support::call(&hands, "attack", "{}"));
    assert_eq!(report.outcome, Outcome::text("ok"));
    assert!(matches!(first.runtime.readiness(&component), Readiness::Ready));
    assert_eq!(first.words(), ["compiling", "compiled"]);
    assert_eq!((entries(root.path()), order_file(root.path())), (1, None), "the entry, and nothing left behind");
    let next = Host::new(root.path(), worker(CompileLimits::DEFAULT));
    next.load(&component).unwrap();
    assert!(next.words().is_empty(), "it came from the cache");
    let within = Host::new(root.path(), Compiler::InThisProcess);
    within.load(&component).unwrap();
    assert!(within.words().is_empty(), "worker and host make the same");
}

fn without_a_cache_a_worker_compiles_too() {
    let host = Host::with(None, worker(CompileLimits::DEFAULT));
    host.load(&tool(1)).unwrap();
    assert_eq!(host.words(), ["compiling", "compiled"]);
}

fn each_limit_of_a_compilation_is_named() {
    let large = tool(600);
    let limits = CompileLimits::DEFAULT;
    let table = [
        ("compile-time-ms = 20", CompileLimits { time_ms: 20, ..limits }),
        ("compile-cpu-s = 1", CompileLimits { cpu_s: 1, ..limits }),
        ("compile-memory-bytes = 1048576", CompileLimits { memory_bytes: 1 << 20, ..limits }),
        ("compile-file-bytes = 4096", CompileLimits { file_bytes: 4 << 10, ..limits }),
    ];
    for (expected, limits) in table {
        let root = tempfile::tempdir().unwrap();
        let error = Host::new(root.path(), worker(limits)).load(&large).unwrap_err();
        assert!(matches!(error, LoadError::CompileLimit { .. }), "{expected}: {error}");
        let words = error.to_string();
        assert!(words.contains("`tool`") && words.contains(expected), "{words}");
        assert_eq!((entries(root.path()), order_file(root.path())), (0, None), "{expected}");
    }
}

/// The memory runs out here and there: while reading, while threads start, in the middle of a function.
fn too_little_memory_at_any_point_is_named() {
    let component = tool(100);
    let mut ended = Vec::new();
    for mebibytes in [40, 80, 120, 160, 200, 240, 280, 320, 400, 500, 700, 4096] {
        let root = tempfile::tempdir().unwrap();
        let memory_bytes = mebibytes << 20;
        let host = Host::new(root.path(), worker(CompileLimits { memory_bytes, ..CompileLimits::DEFAULT }));
        let loaded = host.load(&component);
        if let Err(error) = &loaded {
            let expected = format!("compile-memory-bytes = {memory_bytes}");
            assert!(error.to_string().contains(&expected), "with {mebibytes} MiB: {error}");
        }
        ended.push(loaded.is_ok());
    }
    assert!(!ended[0] && *ended.last().unwrap(), "{ended:?}");
}

/// What reads like a component and its tools, but does not validate.
fn invalid() -> Arc<Component> {
    let text = std::fs::read_to_string(support::corpus().join("cases/malformed/malformed-body.wat")).unwrap();
    support::read("tool", support::assemble(&text), CallLimits::DEFAULT).unwrap()
}

fn what_the_compiler_refuses_is_told_and_not_tried_again() {
    let root = tempfile::tempdir().unwrap();
    let limits = CompileLimits { remember_failure_ms: 0, ..CompileLimits::DEFAULT };
    let host = Host::new(root.path(), worker(limits));
    let component = invalid();
    for _ in 0..3 {
        let error = host.load(&component).unwrap_err();
        assert!(matches!(&error, LoadError::Compile { problem, .. } if problem.contains("type mismatch")), "{error}");
    }
    assert_eq!(host.words(), ["compiling"], "once");
    assert!(matches!(host.runtime.readiness(&component), Readiness::Failed(LoadError::Compile { .. })));
}

/// A worker that is a script, which also counts how often it was started.
fn script(root: &Path, lines: &str, remember_failure_ms: u64) -> Compiler {
    let count = root.join("started");
    let lines = format!("echo once >> {}; {lines}", count.display());
    let limits = CompileLimits { remember_failure_ms, ..CompileLimits::DEFAULT };
    Compiler::Worker { program: "/bin/sh".into(), arguments: vec!["-c".into(), lines.into()], limits }
}

fn started(root: &Path) -> usize {
    std::fs::read_to_string(root.join("started")).unwrap().lines().count()
}

fn broken_workers_are_told_and_not_started_again_at_once() {
    let table = [
        ("kill -9 $$", "ended by signal 9"),
        ("echo '*** the stack overflowed' >&2; kill -ABRT $$", "ended by signal 6: *** the stack overflowed"),
        ("exit 3", "said nothing that can be understood"),
        ("printf 'garbage \\033[31m {'", "said nothing that can be understood"),
        ("head -c 10000000 /dev/zero", "ended by signal 13"),
        ("echo '{\"result\":\"compiled\"}'", "the cache has nothing from it"),
        ("echo '{\"result\":\"failed\",\"problem\":\"disk full\"}'", "disk full"),
    ];
    let component = tool(1);
    for (lines, expected) in table {
        let root = tempfile::tempdir().unwrap();
        let limits = CompileLimits { time_ms: 1_000, ..CompileLimits::DEFAULT };
        let compiler = match script(root.path(), lines, limits.remember_failure_ms) {
            Compiler::Worker { program, arguments, .. } => Compiler::Worker { program, arguments, limits },
            Compiler::InThisProcess => unreachable!(),
        };
        let host = Host::new(root.path(), compiler);
        for _ in 0..3 {
            let error = host.load(&component).unwrap_err();
            // One that says more than anybody reads never ends by itself.
            let is_flood = lines.contains("/dev/zero") && error.to_string().contains("compile-time-ms = 1000");
            assert!(is_flood || error.to_string().contains(expected), "{lines}: {error}");
        }
        assert_eq!(started(root.path()), 1, "{lines}");
    }
    let root = tempfile::tempdir().unwrap();
    let program = root.path().join("missing");
    let compiler = Compiler::Worker { program, arguments: Vec::new(), limits: CompileLimits::DEFAULT };
    let error = Host::new(root.path(), compiler).load(&component).unwrap_err().to_string();
    assert!(error.contains("starting the compiler"), "{error}");
}

fn a_failure_that_may_pass_is_forgotten() {
    let root = tempfile::tempdir().unwrap();
    let host = Host::new(root.path(), script(root.path(), "exit 3", 0));
    let component = tool(1);
    for times in 1..=3 {
        host.load(&component).unwrap_err();
        assert_eq!(started(root.path()), times);
    }
}

/// The second host: folder and component's file. Says when it begins to compile and what came of it.
fn host_main(words: &[OsString]) -> ExitCode {
    let (root, file) = (Path::new(&words[0]), Path::new(&words[1]));
    let component = support::read("tool", std::fs::read(file).unwrap(), CallLimits::DEFAULT).unwrap();
    let runtime = Runtime::new(RuntimeSettings {
        threads: 1,
        cache: Some(cache(root)),
        compiler: worker(CompileLimits::DEFAULT),
        progress: Some(Arc::new(|progress| match progress {
            Progress::Compiling { .. } => println!("compiling"),
            Progress::Compiled { .. } => println!("compiled"),
            Progress::CompiledElsewhere { .. } => println!("elsewhere"),
        })),
        ..RuntimeSettings::default()
    });
    executor().block_on(runtime.load(&component)).unwrap();
    println!("loaded");
    ExitCode::SUCCESS
}

struct Second {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Second {
    fn start(root: &Path, component: &Component) -> Self {
        let file = root.join("tool.wasm");
        if !file.exists() {
            std::fs::write(&file, component.bytes()).unwrap();
        }
        let mut child = Command::new(this_program())
            .arg(HOST)
            .args([root, &file])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn several_hosts_at_once_compile_once() {
    let root = tempfile::tempdir().unwrap();
    let component = tool(20);
    let mut hosts: Vec<_> = (0..3).map(|_| Second::start(root.path(), &component)).collect();
    let mut made: Vec<_> = hosts
        .iter_mut()
        .map(|host| {
            let said: Vec<_> = std::iter::from_fn(|| Some(host.hear()).filter(|line| !line.is_empty())).collect();
            assert_eq!(said.last().unwrap(), "loaded");
            assert!(host.child.wait().unwrap().success());
            said.iter().filter(|line| *line == "compiled").count()
        })
        .collect();
    made.sort_unstable();
    assert_eq!(made, [0, 0, 1], "one of them had it compiled");
    assert_eq!(entries(root.path()), 1);
}

fn a_worker_outlives_its_host() {
    let root = tempfile::tempdir().unwrap();
    let component = tool(200);
    let mut host = Second::start(root.path(), &component);
    assert_eq!(host.hear(), "compiling");
    // The worker has the component, and the lock, once nobody else can lock it and it is there whole.
    let is_under_way = || {
        order_file(root.path()).is_some_and(|path| {
            std::fs::File::open(path).is_ok_and(|file| {
                file.metadata().unwrap().len() == component.bytes().len() as u64 && file.try_lock().is_err()
            })
        })
    };
    until("a worker", is_under_way);
    // The host itself held it for a moment: only a worker does so when the host is gone.
    std::thread::sleep(Duration::from_millis(LOOK_MS));
    drop(host);
    assert_eq!(entries(root.path()), 0, "it was not done when the host was killed");
    until("the worker's entry", || entries(root.path()) == 1);
    until("the worker tidied up", || order_file(root.path()).is_none());
    let next = Host::new(root.path(), worker(CompileLimits::DEFAULT));
    next.load(&component).unwrap();
    assert!(next.words().is_empty(), "the next host finds what the worker made");
}

fn a_call_of_a_large_component_does_not_wait() {
    let root = tempfile::tempdir().unwrap();
    let work = root.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let text = std::fs::read_to_string(support::corpus().join("neighbour.wat")).unwrap();
    let text = text.replacen(";; @ok", &format!(";; @ok\n(data (i32.const 16384) \"{}\")", "x".repeat(3 << 20)), 1);
    let text = text.replace("(memory (export \"memory\") 1)", "(memory (export \"memory\") 64)");
    let large = support::read("large", support::assemble(&text), CallLimits::DEFAULT).unwrap();
    let release = root.path().join("release");
    let program = this_program();
    // A worker that waits for a sign before it becomes the real one.
    let lines = format!(
        "while ! [ -e {} ]; do sleep 0.02; done; exec {} {WORKER} \"$@\"",
        release.display(),
        program.display()
    );
    let arguments = vec!["-c".into(), lines.into(), "sh".into()];
    let compiler = Compiler::Worker { program: "/bin/sh".into(), arguments, limits: CompileLimits::DEFAULT };
    let host = Host::new(root.path(), compiler);
    let hands = support::hands(&host.runtime, &work, std::slice::from_ref(&large));
    let executor = executor();
    host.runtime.prepare(&large);
    for _ in 0..2 {
        let report = executor.block_on(support::call(&hands, "attack", "{}"));
        let Outcome::Failed { code, message, retryable: true, .. } = report.outcome else {
            panic!("{:?}", report.outcome)
        };
        assert_eq!(code, harness_wasm::PREPARING_CODE);
        assert!(message.contains("`large` is being prepared") && message.contains("about 6 s"), "{message}");
        assert!(matches!(host.runtime.readiness(&large), Readiness::Preparing { since: Some(_) }));
    }
    std::fs::write(&release, "").unwrap();
    until("prepared", || matches!(host.runtime.readiness(&large), Readiness::Ready));
    let report = executor.block_on(support::call(&hands, "attack", "{}"));
    assert_eq!(report.outcome, Outcome::text("ok"));
    assert_eq!(host.words(), ["compiling", "compiled"]);
    // From the cache it is waited for, however large it is.
    let next = Host::new(root.path(), worker(CompileLimits::DEFAULT));
    let hands = support::hands(&next.runtime, &work, std::slice::from_ref(&large));
    assert_eq!(executor.block_on(support::call(&hands, "attack", "{}")).outcome, Outcome::text("ok"));
}

fn a_worker_refuses_orders_that_are_not_its_own() {
    let root = tempfile::tempdir().unwrap();
    let (folder, key_file) = (root.path().join("cache"), root.path().join("key"));
    let order = |digest: &str, key: &str| {
        format!(
            "{{\"digest\":\"{digest}\",\"key\":\"{key}\",\"cache_bytes_max\":1000000,\"guest_memory_bytes\":65536,\
             \"guest_stack_bytes\":65536,\"limits\":{}}}",
            serde_json::to_string(&CompileLimits::DEFAULT).unwrap()
        )
    };
    let component = tool(1);
    let digest = component.digest().hex();
    let other = "0".repeat(64);
    let whole = component.bytes();
    let table: [(&[&str], &[u8], i32, &str); 6] = [
        (&[], whole, 2, "the arguments are"),
        (&["{}"], whole, 2, "the arguments are"),
        (&[&order(&other, &other)], whole, 2, "not the one of the order"),
        (&[&order(&digest, &other)], whole, 2, "another version"),
        (&[&order(&digest, &other)], &whole[..whole.len() / 2], 2, "not the one of the order"),
        (&[&order(&digest, &other), "more"], whole, 2, "the arguments are"),
    ];
    for (words, bytes, code, expected) in table {
        let input = root.path().join("input");
        std::fs::write(&input, bytes).unwrap();
        let ended = Command::new(this_program())
            .arg(WORKER)
            .args([&folder, &key_file])
            .args(words)
            .stdin(std::fs::File::open(&input).unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8(ended.stdout).unwrap();
        assert_eq!(ended.status.code(), Some(code), "{said}");
        assert!(said.contains(expected) && said.lines().count() == 1, "{said}");
    }
    assert_eq!(entries(root.path()), 0);
}
