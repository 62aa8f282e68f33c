//! Real guests on the staged filesystem: the same program runs in the sandbox and natively over the same
//! files, and must see the same and leave the same, but for the differences listed here with their reasons.
//!
//! The guests are built by `tests/guests/build`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_core::event::ApplyResult;
use harness_core::{CallId, Digest};
use harness_wasm::filesystem::{
    Access, Base, FilesystemCtx, FilesystemCtxView, FilesystemView, Layer, LayerLimits, Preopen, add_to_linker, put,
};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// What a guest prints, at most, in bytes.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

struct GuestState {
    table: ResourceTable,
    wasi: WasiCtx,
    files: FilesystemCtx,
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl FilesystemView for GuestState {
    fn filesystem(&mut self) -> FilesystemCtxView<'_> {
        FilesystemCtxView { ctx: &mut self.files, table: &mut self.table }
    }
}

fn guests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests")
}

fn guest(file: &str) -> PathBuf {
    let path = guests().join("dist").join(file);
    assert!(path.exists(), "{file} is not built: run tests/guests/build, then this test again");
    path
}

/// A component, compiled once for this engine and kept beside cargo's own files.
fn component(engine: &Engine, file: &str) -> Component {
    let bytes = std::fs::read(guest(file)).unwrap();
    let mut hash = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut hash);
    let key = format!("{}-{:016x}.cwasm", &Digest::of(&bytes).hex()[..16], std::hash::Hasher::finish(&hash));
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(key);
    if kept.exists() {
        // SAFETY: this test wrote the file, into cargo's own directory, under a name that has the digest of its
        // source and of the compiler's settings.
        return unsafe { Component::deserialize_file(engine, &kept) }.unwrap();
    }
    let component = Component::new(engine, &bytes).unwrap();
    let temporary = kept.with_extension(std::process::id().to_string());
    std::fs::write(&temporary, component.serialize().unwrap()).unwrap();
    std::fs::rename(&temporary, &kept).unwrap();
    component
}

/// The files every guest starts from.
fn plant(root: &Path) {
    for directory in ["dir/sub", "mvdir/inner", "tree/b"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    for (path, text) in [
        ("base.txt", "hello base\n"),
        ("lines.txt", "a\nb\nc\n"),
        ("mv.txt", "to be moved"),
        ("replaced.txt", "old content"),
        ("dir/in.txt", "inside"),
        ("dir/gone.txt", "soon gone"),
        ("dir/twice.txt", "the original, long enough"),
        ("dir/sub/deep.txt", "deep"),
        ("mvdir/inner/file.txt", "moved along"),
        ("tree/a", "a"),
        ("tree/b/c", "c"),
    ] {
        std::fs::write(root.join(path), text).unwrap();
    }
    for (link, target) in
        [("link", "base.txt"), ("dirlink", "dir"), ("loop1", "loop2"), ("loop2", "loop1"), ("dangling", "landing")]
    {
        std::os::unix::fs::symlink(target, root.join(link)).unwrap();
    }
}

fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let what = if meta.is_symlink() {
                format!("link to {}", std::fs::read_link(&path).unwrap().display())
            } else if meta.is_dir() {
                waiting.push(path.clone());
                "directory".to_owned()
            } else {
                Digest::of(&std::fs::read(&path).unwrap()).to_string()
            };
            found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), what);
        }
    }
    found
}

#[derive(Clone, Copy)]
enum Kind {
    /// Exports `wasi:cli/run`.
    Program,
    /// Exports `run: func(root: string) -> string`.
    Function,
}

/// Runs a guest on a layer over a directory; gives what it printed.
fn sandboxed(file: &str, kind: Kind, root: &Path) -> String {
    let mut config = Config::new();
    config.concurrency_support(false);
    let engine = Engine::new(&config).unwrap();
    let component = component(&engine, file);
    let mut linker = Linker::<GuestState>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
    linker.allow_shadowing(true);
    add_to_linker(&mut linker).unwrap();

    let base = Arc::new(Base::open(root, &[]).unwrap());
    let layer = Layer::new(Arc::clone(&base), LayerLimits::default());
    let output = MemoryOutputPipe::new(OUTPUT_BYTES_MAX);
    let wasi = WasiCtx::builder().args(&["guest", "/workspace"]).stdout(output.clone()).stderr(output.clone()).build();
    let files = FilesystemCtx {
        preopens: vec![Preopen::new("/workspace", &layer, Access::Staged)],
        ..FilesystemCtx::default()
    };
    let mut store = Store::new(&engine, GuestState { table: ResourceTable::new(), wasi, files });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let said = runtime.block_on(async {
        match kind {
            Kind::Program => {
                let program = wasmtime_wasi::p2::bindings::Command::instantiate_async(&mut store, &component, &linker)
                    .await
                    .unwrap();
                let ended = program.wasi_cli_run().call_run(&mut store).await;
                let printed = String::from_utf8(output.contents().to_vec()).unwrap();
                assert!(matches!(ended, Ok(Ok(()))), "{ended:?} after:\n{printed}");
                printed
            }
            Kind::Function => {
                let instance = linker.instantiate_async(&mut store, &component).await.unwrap();
                let run = instance.get_typed_func::<(&str,), (String,)>(&mut store, "run").unwrap();
                run.call_async(&mut store, ("/workspace",))
                    .await
                    .unwrap_or_else(|error| panic!("{error:?} after:\n{}", String::from_utf8_lossy(&output.contents())))
                    .0
            }
        }
    });
    let before = tree(root);
    drop(store);
    assert_eq!(layer.crossed(), None);
    let staged = layer.finish().unwrap();
    assert_eq!(tree(root), before, "nothing is on disk before it is put there");
    let kept: HashMap<Digest, Arc<[u8]>> = staged.contents.into_iter().map(|blob| (blob.digest, blob.bytes)).collect();
    let result = put(&base, CallId::from_bits(1), &staged.manifest, |digest| kept.get(&digest).cloned());
    assert_eq!(result, ApplyResult::Applied);
    said
}

fn natively(mut command: Command, root: &Path) -> String {
    let output = command.arg(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Operation, what the sandbox gives, what this machine gives, why.
type Difference = (&'static str, &'static str, &'static str, &'static str);

/// The sandbox gives ENOTEMPTY; Rust's standard library has no word for it on WASI.
const STD_WORDS: &str = "std has no ErrorKind for it on WASI";

fn compare(file: &str, kind: Kind, native: Command, differences: &[Difference]) {
    let (sandbox, plain) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    plant(sandbox.path());
    plant(plain.path());
    let ours = sandboxed(file, kind, sandbox.path());
    let theirs = natively(native, plain.path());
    let parse = |text: &str| -> Vec<(String, String)> {
        text.lines()
            .map(|line| {
                let value: serde_json::Value =
                    serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
                let saw = &value["saw"];
                (
                    value["op"].as_str().unwrap().to_owned(),
                    saw.as_str().map_or_else(|| saw.to_string().replace(',', ", "), str::to_owned),
                )
            })
            .collect()
    };
    let (ours, theirs) = (parse(&ours), parse(&theirs));
    assert!(ours.len() > 30, "{file} did not get far: {ours:?}");
    let names = |lines: &[(String, String)]| lines.iter().map(|(op, _)| op.clone()).collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs), "the same operations");
    let mut found = Vec::new();
    for ((op, ours), (_, theirs)) in ours.iter().zip(&theirs) {
        if ours != theirs {
            found.push((op.as_str(), ours.as_str(), theirs.as_str()));
        }
    }
    let listed: Vec<_> = differences.iter().map(|&(op, ours, theirs, _)| (op, ours, theirs)).collect();
    assert_eq!(found, listed, "differences of {file}: (operation, in the sandbox, natively)");
    assert_eq!(tree(sandbox.path()), tree(plain.path()), "what {file} left behind");
}

#[test]
fn rust_sees_what_it_sees_natively() {
    compare(
        "fs-rust.wasm",
        Kind::Program,
        Command::new(guest("fs-rust.native")),
        &[
            ("hard link", "error PermissionDenied", "()", "hard links cannot be created"),
            ("rmdir full", "error Uncategorized", "error DirectoryNotEmpty", STD_WORDS),
            ("mv a directory over a full one", "error Uncategorized", "error DirectoryNotEmpty", STD_WORDS),
        ],
    );
}

#[test]
fn c_sees_what_it_sees_natively() {
    compare("fs-c.wasm", Kind::Program, Command::new(guest("fs-c.native")), &[]);
}

#[test]
fn python_sees_what_it_sees_natively() {
    let mut python = Command::new("python3");
    python.arg(guests().join("fs-python/app.py")).env("PYTHONDONTWRITEBYTECODE", "1");
    compare(
        "fs-python.wasm",
        Kind::Function,
        python,
        &[
            (
                "samefile",
                "false",
                "true",
                "its wasi-libc asks for the identity of the link and not of what it points to",
            ),
            ("sqlite3", "not there", "[[100, 4950]]", "componentize-py's CPython has no sqlite3"),
        ],
    );
}
