//! What the staged filesystem adds to the system calls, printed. Run it with
//! `cargo run --release -p harness-wasm --example filesystem_speed`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_core::CallId;
use harness_core::event::ApplyResult;
use harness_wasm::filesystem::{Access, Base, Layer, LayerLimits, OpenHow, put};
use std::io::Read;
use std::sync::Arc;
use std::time::Instant;

const ROUNDS: u32 = 20_000;
/// Rounds of what syncs to disk.
const SYNCED_ROUNDS: u32 = 50;

/// The fastest of five runs, per round, in nanoseconds.
fn measure(what: &str, rounds: u32, mut work: impl FnMut(u32)) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        (0..rounds).for_each(&mut work);
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(rounds));
    }
    println!("{what:<60} {:>9.2} us", best / 1000.0);
    best
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir_all(root.join("src/deep")).unwrap();
    std::fs::write(root.join("src/deep/file.rs"), [b'x'; 2048]).unwrap();
    for number in 0..200 {
        std::fs::write(root.join(format!("src/file{number}")), "x").unwrap();
    }
    let base = Arc::new(Base::open(root, &[]).unwrap());
    let limits = LayerLimits::default();
    let read = OpenHow { read: true, follow: true, ..OpenHow::default() };

    measure("make and drop a layer", ROUNDS, |_| drop(Layer::new(Arc::clone(&base), limits)));
    measure("make a layer, finish it empty", ROUNDS, |_| {
        drop(Layer::new(Arc::clone(&base), limits).finish().unwrap());
    });

    let path = root.join("src/deep/file.rs");
    let plain = measure("std: open, fstat, read 2 KB, close", ROUNDS, |_| {
        let mut file = std::fs::File::open(&path).unwrap();
        let size = file.metadata().unwrap().len();
        let mut bytes = vec![0; size as usize];
        file.read_exact(&mut bytes).unwrap();
    });
    let layer = Layer::new(Arc::clone(&base), limits);
    let handle = layer.root(Access::Staged).unwrap();
    let ours = measure("layer: open, stat, read 2 KB, close", ROUNDS, |_| {
        let file = handle.open_at("src/deep/file.rs", read).unwrap();
        let size = file.stat().unwrap().bytes;
        assert_eq!(file.read_at(size, 0).unwrap().len(), 2048);
    });
    println!("{:<60} {:>9.2} us", "  difference", (ours - plain) / 1000.0);
    let fresh = measure("layer made for it: open, stat, read 2 KB, close", ROUNDS, |_| {
        let layer = Layer::new(Arc::clone(&base), limits);
        let handle = layer.root(Access::Staged).unwrap();
        let file = handle.open_at("src/deep/file.rs", read).unwrap();
        let size = file.stat().unwrap().bytes;
        assert_eq!(file.read_at(size, 0).unwrap().len(), 2048);
    });
    println!("{:<60} {:>9.2} us", "  difference", (fresh - plain) / 1000.0);

    measure("std: stat", ROUNDS, |_| assert!(std::fs::metadata(&path).is_ok()));
    measure("layer: stat", ROUNDS, |_| assert!(handle.stat_at("src/deep/file.rs", true).is_ok()));
    let directory = root.join("src");
    measure("std: list 201 names", 500, |_| assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 201));
    let listed = handle.open_at("src", read).unwrap();
    measure("layer: list 201 names, sorted", 500, |_| assert_eq!(listed.list().unwrap().len(), 201));

    let write = OpenHow { write: true, create: true, truncate: true, ..read };
    measure("layer: write 2 KB into a new layer, finish", 5_000, |_| {
        let layer = Layer::new(Arc::clone(&base), limits);
        let handle = layer.root(Access::Staged).unwrap();
        handle.open_at("src/new", write).unwrap().write_at(&[b'y'; 2048], 0).unwrap();
        drop(handle);
        assert_eq!(layer.finish().unwrap().manifest.entries().len(), 1);
    });
    let mut number = 0u128;
    measure("change one file of 2 KB and put it in place, durably", SYNCED_ROUNDS, |round| {
        let layer = Layer::new(Arc::clone(&base), limits);
        let handle = layer.root(Access::Staged).unwrap();
        number += 1;
        let bytes = [(number % 251) as u8; 2048];
        handle.open_at("src/deep/file.rs", write).unwrap().write_at(&bytes, 0).unwrap();
        drop(handle);
        let staged = layer.finish().unwrap();
        let known =
            |digest| staged.contents.iter().find(|blob| blob.digest == digest).map(|blob| Arc::clone(&blob.bytes));
        assert_eq!(
            put(&base, CallId::from_bits(number), &staged.manifest, known),
            ApplyResult::Applied,
            "round {round}"
        );
    });
}
