//! A layer against a plain directory: the same operations must show the same, and what is put in place must
//! be what the plain directory became.

use super::runner;
use super::world::{
    Item, Op, Sides, Tree, expected, layer_over, op, plant, read_disk, read_layer, root_of, tree, without_bits,
};
use crate::filesystem::finish::Staged;
use crate::filesystem::{Base, ErrorCode, Layer, LayerLimits, put};
use harness_core::event::ApplyResult;
use harness_core::{CallId, Change, Digest, Manifest};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use rustix::io::Errno;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

const CASES: u32 = 120;

pub(in crate::filesystem) fn contents(staged: &Staged) -> impl Fn(Digest) -> Option<Arc<[u8]>> + use<> {
    let kept: HashMap<Digest, Arc<[u8]>> =
        staged.contents.iter().map(|blob| (blob.digest, Arc::clone(&blob.bytes))).collect();
    move |digest| kept.get(&digest).cloned()
}

/// Where both are errors but of another word, and which is why.
fn is_known_difference(op: &Op, layer: ErrorCode, plain: Errno) -> bool {
    matches!(
        (op, layer, plain),
        // `rmdir a/..`: Linux sees that it is not empty, we that it has no name to remove.
        (Op::RemoveDirectory { .. }, ErrorCode::Invalid, Errno::NOTEMPTY)
        // A slash after the name of a file to be created: Linux does not look what is there.
        | (Op::Open { .. } | Op::Put { .. }, ErrorCode::NotDirectory | ErrorCode::NoEntry, Errno::ISDIR)
        // Several things are wrong at once, and Linux looks in another order.
        | (Op::Rename { .. }, _, _)
    )
}

/// Only links can be the reason for this.
fn is_refused_for_links(op: &Op, code: ErrorCode) -> bool {
    code == ErrorCode::NotPermitted && matches!(op, Op::Rename { .. } | Op::Unlink { .. })
}

fn has_links(tree: &Tree) -> bool {
    tree.values().any(|item| matches!(item, Item::Link(_)))
}

fn run_both(sides: &mut Sides, ops: &[Op], may_have_links: bool) -> Result<(), TestCaseError> {
    for (number, op) in ops.iter().enumerate() {
        let layer = sides.on_layer(op);
        if let Err(code) = layer
            && is_refused_for_links(op, code)
        {
            prop_assert!(may_have_links, "op {number} {op:?}: not permitted, without a link in sight");
            continue;
        }
        let plain = sides.on_plain(op);
        match (&layer, &plain) {
            (Ok(layer), Ok(plain)) => prop_assert_eq!(layer, plain, "op {} {:?}", number, op),
            (Err(layer), Err(plain)) => prop_assert!(
                *layer == expected(*plain) || is_known_difference(op, *layer, *plain),
                "op {number} {op:?}: {layer:?} instead of {plain:?}"
            ),
            _ => prop_assert!(false, "op {number} {op:?}: {layer:?} instead of {plain:?}"),
        }
    }
    Ok(())
}

fn check(tree: &Tree, ops: &[Op]) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let (below, plain) = (folder.path().join("base"), folder.path().join("plain"));
    for root in [&below, &plain] {
        std::fs::create_dir(root).unwrap();
        plant(root, tree);
    }
    let original = read_disk(&below);
    // Half of the cases as on a system without `openat2`.
    let base = Base::open(&below, &[]).unwrap();
    let base = Arc::new(if ops.len().is_multiple_of(2) { base } else { base.walking() });
    let layer = Layer::new(Arc::clone(&base), LayerLimits::default());
    let mut sides = Sides::new(root_of(&layer), &plain);
    run_both(&mut sides, ops, has_links(&original))?;
    let wanted = read_disk(&plain);
    prop_assert_eq!(read_layer(&sides.layer), without_bits(&wanted), "what the guest sees at the end");
    prop_assert_eq!(&read_disk(&below), &original, "the workspace before anything is put in place");
    drop(sides);

    let staged = layer.finish().unwrap();
    check_exact(&original, &wanted, &staged)?;
    let kept = contents(&staged);
    let result = put(&base, CallId::from_bits(1), &staged.manifest, &kept);
    prop_assert_eq!(&result, &ApplyResult::Applied);
    prop_assert_eq!(read_disk(&below), wanted.clone(), "after putting in place");
    let again = put(&base, CallId::from_bits(1), &staged.manifest, &kept);
    prop_assert_eq!(&again, &ApplyResult::Applied, "a second time");
    prop_assert_eq!(read_disk(&below), wanted, "after the second time");

    let undone = put(&base, CallId::from_bits(2), &reversed(&staged.manifest), &kept);
    prop_assert_eq!(&undone, &ApplyResult::Applied, "undo");
    prop_assert_eq!(read_disk(&below), original, "after undo");
    Ok(())
}

pub(in crate::filesystem) fn reversed(manifest: &Manifest) -> Manifest {
    let swap = |change: &Change| Change {
        path: change.path.clone(),
        before: change.after.clone(),
        after: change.before.clone(),
    };
    Manifest::new(manifest.entries().iter().map(swap).collect())
}

/// The manifest has the paths that differ, and no other.
fn check_exact(before: &Tree, after: &Tree, staged: &Staged) -> Result<(), TestCaseError> {
    let mut differ: Vec<&String> =
        before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path)).collect();
    differ.sort();
    differ.dedup();
    let listed: Vec<&String> = staged.manifest.entries().iter().map(|change| &change.path).collect();
    prop_assert_eq!(listed, differ, "paths of the manifest");
    for blob in &staged.contents {
        prop_assert_eq!(Digest::of(&blob.bytes), blob.digest);
    }
    Ok(())
}

#[test]
fn a_layer_shows_and_leaves_what_a_plain_directory_would() {
    let cases = (tree(false), prop::collection::vec(op(), 1..40));
    runner("differential", CASES).run(&cases, |(tree, ops)| check(&tree, &ops)).unwrap();
}

#[test]
fn the_same_with_links_in_the_workspace() {
    let cases = (tree(true), prop::collection::vec(op(), 1..30));
    runner("differential with links", CASES).run(&cases, |(tree, ops)| check(&tree, &ops)).unwrap();
}

/// What somebody else does to a path while the call runs, or before its changes are put in place.
pub(in crate::filesystem) fn meddle(root: &Path, path: &str, how: u8) {
    let target = root.join(path);
    let _ = std::fs::create_dir_all(target.parent().unwrap());
    let is_directory = target.is_dir();
    match how {
        0 if is_directory => std::fs::write(target.join("theirs"), b"somebody else's").unwrap(),
        1 if is_directory => {
            std::fs::remove_dir_all(&target).unwrap();
            std::fs::write(&target, b"somebody else's").unwrap();
        }
        _ if is_directory => {
            std::fs::remove_dir_all(&target).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", &target).unwrap();
        }
        0 => {
            let _ = std::fs::write(&target, b"somebody else's, and long");
        }
        1 => {
            let _ = std::fs::remove_file(&target);
            let _ = std::fs::create_dir(&target);
            let _ = std::fs::write(target.join("theirs"), b"somebody else's");
        }
        _ => {
            let _ = std::fs::remove_file(&target);
            let _ = std::os::unix::fs::symlink("/etc/passwd", &target);
        }
    }
}

#[test]
fn what_somebody_else_changed_is_a_conflict_and_nothing_is_applied() {
    let cases = (tree(false), prop::collection::vec(op(), 1..30), any::<prop::sample::Index>(), 0..3u8);
    runner("foreign changes", CASES / 2)
        .run(&cases, |(tree, ops, which, how)| {
            let folder = tempfile::tempdir().unwrap();
            plant(folder.path(), &tree);
            let (base, layer) = layer_over(folder.path());
            let mut sides = Sides::new(root_of(&layer), folder.path());
            for op in &ops {
                let _ = sides.on_layer(op);
            }
            drop(sides);
            let staged = layer.finish().unwrap();
            let entries = staged.manifest.entries();
            if entries.is_empty() {
                return Ok(());
            }
            let path = entries[which.index(entries.len())].path.clone();
            let planted = read_disk(folder.path());
            meddle(folder.path(), &path, how);
            let changed = read_disk(folder.path());
            if changed == planted {
                // There was no way to: above the path stands a file.
                return Ok(());
            }
            match put(&base, CallId::from_bits(1), &staged.manifest, contents(&staged)) {
                ApplyResult::Conflict { paths } => {
                    prop_assert!(!paths.is_empty());
                    prop_assert_eq!(read_disk(folder.path()), changed);
                }
                // A file added to a directory that was to be made, and is there now, is no conflict.
                ApplyResult::Applied => {
                    let theirs = folder.path().join(&path).join("theirs");
                    prop_assert!(theirs.exists(), "{} was meddled with and yet applied over", path);
                }
                ApplyResult::Failed { message } => prop_assert!(false, "{}", message),
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn an_open_base_is_the_directory_and_not_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    std::fs::create_dir(&old).unwrap();
    let base = Base::open(&old, &[]).unwrap();
    std::fs::rename(&old, &new).unwrap();
    let layer = Layer::new(Arc::new(base), LayerLimits::default());
    super::world::write_file(&root_of(&layer), "file", b"x").unwrap();
    let base = Base::open(&new, &[]).unwrap();
    let staged = layer.finish().unwrap();
    assert_eq!(put(&base, CallId::from_bits(1), &staged.manifest, contents(&staged)), ApplyResult::Applied);
    assert_eq!(std::fs::read(new.join("file")).unwrap(), b"x");
}
