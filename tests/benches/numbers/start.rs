//! Starting the binary: `--version` from spawn to exit, and `run` from spawn to its first model request.

use crate::host::Shared;
use crate::model_server::ModelServer;
use crate::quantity::{Durations, Quantity};
use crate::table::{Row, Table};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Starts that are timed, of each kind.
const STARTS: usize = 40;

pub(crate) fn measure(shared: &Shared, table: &mut Table) {
    let binary = build();
    let place = shared.place("start");
    let home = tempfile::tempdir().unwrap();
    let server = ModelServer::start();
    let command = |words: &[&str]| {
        let mut command = Command::new(&binary);
        command.args(words).current_dir(place.workspace()).env_clear();
        command.env("HARNESS_HOST_HOME", home.path()).env("OPENAI_BASE_URL", server.url()).env("OPENAI_API_KEY", "x");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let version = || {
        let begin = Instant::now();
        assert!(command(&["--version"]).status().unwrap().success());
        begin.elapsed()
    };
    let run = |model: &str| {
        server.take_arrival();
        let begin = Instant::now();
        let ended = command(&["run", "x", "--model", model]).status().unwrap();
        let whole = begin.elapsed();
        assert!(ended.success(), "harness-host run ended with {ended}");
        (server.take_arrival().expect("the binary asked nobody") - begin, whole)
    };
    // Makes the store and compiles what a turn with a tool call needs.
    run("openai/warm-1");
    let bare = || {
        let begin = Instant::now();
        assert!(Command::new("/bin/true").status().unwrap().success());
        begin.elapsed()
    };
    let (mut nothing, mut versions, mut requests, mut wholes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        nothing.push(bare());
        versions.push(version());
        let (request, whole) = run("openai/m");
        requests.push(request);
        wholes.push(whole);
    }
    let [nothing, versions, requests, wholes] = [nothing, versions, requests, wholes].map(Durations::new);
    table.push(Row::p50_p95("start", format!("/bin/true, spawn to exit, {STARTS} times"), &nothing));
    let what = "harness-host --version, spawn to exit";
    table.push(Row::p50_p95("", what, &versions).hold(Quantity::milliseconds(10.0)));
    let what = "harness-host run, spawn to first model request, new session, warm cache";
    table.push(Row::p50_p95("", what, &requests).hold(Quantity::milliseconds(25.0)));
    table.push(Row::p50_p95("", "the same, spawn to exit, one answer in words", &wholes));
}

/// The binary, built for release in the folder this benchmark was built in.
fn build() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    // TARGET/release/deps/numbers-…
    let release = own.ancestors().nth(2).expect("cargo puts benchmarks into TARGET/release/deps").to_owned();
    let target = release.parent().unwrap();
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--quiet", "-p", "harness-host", "--manifest-path"]).arg(manifest);
    let built = cargo.env("CARGO_TARGET_DIR", target).status().expect("cargo builds the binary that is measured");
    assert!(built.success(), "harness-host could not be built for release, so its start cannot be measured");
    release.join("harness-host")
}
