//! Puts the difference between two folders in place in a third, as a process that can be killed.
//!
//! `put_manifest FOLDER`: `FOLDER/before` and `FOLDER/after` make the manifest, `FOLDER/workspace` gets it.
//! Prints `applied`, `conflict PATHS` or `failed WORDS`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use harness_core::event::ApplyResult;
use harness_core::{CallId, Change, Digest, FileState, Manifest};
use harness_tests::tree;
use harness_wasm::filesystem::{Base, put};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

fn states(files: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, FileState> {
    let state = |(name, bytes): (&String, &Vec<u8>)| match name.strip_suffix('/') {
        Some(folder) => (folder.to_owned(), FileState::Directory),
        None => {
            let digest = Digest::of(bytes);
            (name.clone(), FileState::File { digest, bytes: bytes.len() as u64, executable: false })
        }
    };
    files.iter().map(state).collect()
}

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("a folder"));
    let (before, after) = (tree::read(&folder.join("before")), tree::read(&folder.join("after")));
    let contents: BTreeMap<Digest, Arc<[u8]>> =
        before.values().chain(after.values()).map(|bytes| (Digest::of(bytes), bytes.as_slice().into())).collect();
    let (before, after) = (states(&before), states(&after));
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let change = |path: &String| Change {
        path: path.clone(),
        before: before.get(path).cloned(),
        after: after.get(path).cloned(),
    };
    let manifest = Manifest::new(paths.into_iter().map(change).collect());
    let base = Base::open(folder.join("workspace"), &[]).expect("a workspace");
    let result = put(&base, CallId::from_bits(7), &manifest, |digest| contents.get(&digest).cloned());
    match result {
        ApplyResult::Applied => println!("applied"),
        ApplyResult::Conflict { paths } => println!("conflict {}", paths.join(" ")),
        ApplyResult::Failed { message } => println!("failed {message}"),
    }
}
