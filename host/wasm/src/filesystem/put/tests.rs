//! Putting in place when it is killed at every step, when somebody meddles, and when the disk refuses.

use super::{Stop, plan, put, run};
use crate::filesystem::Base;
use crate::filesystem::finish::Staged;
use crate::filesystem::path::{HIDDEN_PREFIX, is_within};
use crate::filesystem::tests::differential::{contents, meddle, reversed};
use crate::filesystem::tests::runner;
use crate::filesystem::tests::world::{Item, Sides, Tree, layer_over, op, plant, read_disk, root_of, tree, write_file};
use harness_core::event::ApplyResult;
use harness_core::{CallId, Change, Digest, FileState, Manifest};
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

const CALL: CallId = CallId::from_bits(7);
/// Each case is run once for every step it takes.
const CASES: u32 = 24;

/// Runs until the point number `kill_at` (from 1) and stops there, as if killed. Says whether it got there,
/// and the name of the last point.
fn run_until(root: &Path, staged: &Staged, kill_at: usize) -> Result<ApplyResult, &'static str> {
    let base = Base::open(root, &[]).unwrap();
    let kept = contents(staged);
    let mut passed = 0;
    let mut last = "";
    let ended = run(&base, CALL, &staged.manifest, &kept, &mut |name| {
        assert!(harness_engine::crash::POINTS.contains(&name), "{name}");
        passed += 1;
        last = name;
        if passed == kill_at { Err(Stop::Killed) } else { Ok(()) }
    });
    match ended {
        Ok(()) => Ok(ApplyResult::Applied),
        Err(Stop::Killed) => Err(last),
        Err(Stop::Conflict(paths)) => Ok(ApplyResult::Conflict { paths }),
        Err(Stop::Failed(message)) => panic!("{message}"),
    }
}

fn is_ours(path: &str) -> bool {
    path.rsplit('/').next().unwrap().starts_with(HIDDEN_PREFIX)
}

/// A layer's result of random operations over a tree, and the tree afterwards.
fn staged_by(tree: &Tree, ops: &[crate::filesystem::tests::world::Op]) -> (Tree, Tree, Staged) {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path(), tree);
    let original = read_disk(folder.path());
    let (base, layer) = layer_over(folder.path());
    let mut sides = Sides::new(root_of(&layer), folder.path());
    for op in ops {
        let _ = sides.on_layer(op);
    }
    drop(sides);
    let staged = layer.finish().unwrap();
    assert_eq!(put(&base, CallId::from_bits(1), &staged.manifest, contents(&staged)), ApplyResult::Applied);
    (original, read_disk(folder.path()), staged)
}

fn fresh(tree: &Tree) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path(), tree);
    folder
}

#[test]
fn killed_at_any_step_and_run_again_it_is_complete() {
    let cases = (tree(false), prop::collection::vec(op(), 5..40), any::<prop::sample::Index>());
    runner("killed", CASES)
        .run(&cases, |(tree, ops, second)| {
            let (original, wanted, staged) = staged_by(&tree, &ops);
            for kill_at in 1.. {
                let folder = fresh(&original);
                if run_until(folder.path(), &staged, kill_at).is_ok() {
                    break;
                }
                // Killed once more on the way.
                let _ = run_until(folder.path(), &staged, 1 + second.index(kill_at));
                prop_assert_eq!(run_until(folder.path(), &staged, usize::MAX), Ok(ApplyResult::Applied));
                prop_assert_eq!(read_disk(folder.path()), wanted.clone(), "killed at point {}", kill_at);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn somebody_meddling_with_a_killed_run_gets_all_of_it_taken_back() {
    let cases = (tree(false), prop::collection::vec(op(), 5..40), any::<prop::sample::Index>(), 0..3u8);
    runner("killed and meddled with", CASES)
        .run(&cases, |(tree, ops, which, how)| {
            let (original, _, staged) = staged_by(&tree, &ops);
            let entries = staged.manifest.entries();
            if entries.is_empty() {
                return Ok(());
            }
            let path = &entries[which.index(entries.len())].path;
            for kill_at in 1.. {
                let folder = fresh(&original);
                match run_until(folder.path(), &staged, kill_at) {
                    // All was done and the marker gone: what comes later is a change like any other.
                    Ok(_) | Err("put.end") => break,
                    Err(_) => {}
                }
                let killed = read_disk(folder.path());
                meddle(folder.path(), path, how);
                let meddled = read_disk(folder.path());
                if meddled == killed {
                    // There was no way to: above the path stands a file already.
                    prop_assert_eq!(run_until(folder.path(), &staged, usize::MAX), Ok(ApplyResult::Applied));
                    continue;
                }
                let ApplyResult::Conflict { paths } = run_until(folder.path(), &staged, usize::MAX).unwrap() else {
                    // A file added to a directory that stays: no conflict.
                    prop_assert!(folder.path().join(path).join("theirs").exists());
                    continue;
                };
                prop_assert!(!paths.is_empty());
                let now = read_disk(folder.path());
                let near = |other: &String| is_within(other, path) || is_within(path, other);
                let far = |tree: &Tree| -> Tree {
                    tree.iter().filter(|(other, _)| !near(other)).map(|(p, i)| (p.clone(), i.clone())).collect()
                };
                if entries.len() > 1 {
                    prop_assert_eq!(far(&now), far(&original), "killed at {}, {} meddled with", kill_at, path);
                }
                prop_assert!(!now.keys().any(|path| is_ours(path)), "nothing of ours is left");
                // What somebody else wrote is still there.
                for (theirs, item) in meddled.iter().filter(|(other, _)| is_within(other, path)) {
                    let foreign =
                        matches!(item, Item::Link(_)) || matches!(item, Item::File(b, _) if b.starts_with(b"somebody"));
                    if foreign {
                        prop_assert_eq!(now.get(theirs), Some(item));
                    }
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_conflict_without_an_earlier_run_leaves_work_that_looks_like_ours() {
    let folder = tempfile::tempdir().unwrap();
    let (base, layer) = layer_over(folder.path());
    let root = root_of(&layer);
    write_file(&root, "a", b"same").unwrap();
    write_file(&root, "b", b"ours").unwrap();
    drop(root);
    let staged = layer.finish().unwrap();
    std::fs::write(folder.path().join("a"), b"same").unwrap();
    std::fs::write(folder.path().join("b"), b"theirs").unwrap();
    let result = put(&base, CALL, &staged.manifest, contents(&staged));
    assert_eq!(result, ApplyResult::Conflict { paths: vec!["b".to_owned()] });
    assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"same");
    assert_eq!(std::fs::read(folder.path().join("b")).unwrap(), b"theirs");
}

fn file(bytes: &[u8]) -> Option<FileState> {
    Some(FileState::File { digest: Digest::of(bytes), bytes: bytes.len() as u64, executable: false })
}

fn change(path: &str, before: Option<FileState>, after: Option<FileState>) -> Change {
    Change { path: path.to_owned(), before, after }
}

fn known(bytes: &'static [&'static [u8]]) -> impl Fn(Digest) -> Option<Arc<[u8]>> {
    move |digest| bytes.iter().find(|bytes| Digest::of(bytes) == digest).map(|bytes| Arc::from(*bytes))
}

#[test]
fn what_cannot_be_put_in_place_is_refused_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("old"), b"old").unwrap();
    let base = Base::open(folder.path(), &[]).unwrap();
    let before = read_disk(folder.path());
    for (what, changes) in [
        ("a path upwards", vec![change("../x", None, file(b"new"))]),
        ("an absolute path", vec![change("/tmp/x", None, file(b"new"))]),
        ("an empty path", vec![change("", None, file(b"new"))]),
        ("a name of ours", vec![change(".harness-host-call_x-run", None, file(b"new"))]),
        ("a content that is not kept", vec![change("a", None, file(b"new")), change("b", None, file(b"lost"))]),
        ("a folder that is not there", vec![change("no/such/file", None, file(b"new"))]),
        ("a file in the way of a folder", vec![change("old/x", None, file(b"new"))]),
        ("a file that is there", vec![change("a", None, file(b"new")), change("old", None, file(b"new"))]),
        ("a file that is not there", vec![change("a", None, file(b"new")), change("gone", file(b"old"), file(b"new"))]),
        ("another content", vec![change("a", None, file(b"new")), change("old", file(b"new"), None)]),
        (
            "a folder where a file is",
            vec![change("a", None, file(b"new")), change("old", Some(FileState::Directory), None)],
        ),
    ] {
        let result = put(&base, CALL, &Manifest::new(changes), known(&[b"new", b"old"]));
        assert!(!matches!(result, ApplyResult::Applied), "{what}: {result:?}");
        assert_eq!(read_disk(folder.path()), before, "{what}");
    }
}

#[test]
fn links_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), b"old").unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("file")).unwrap();
    let base = Base::open(folder.path(), &[]).unwrap();
    for changes in [
        vec![change("link/new", None, file(b"new"))],
        vec![change("link/secret", file(b"old"), file(b"new"))],
        vec![change("link/secret", file(b"old"), None)],
        vec![change("file", file(b"old"), file(b"new"))],
        vec![change("file", None, file(b"new"))],
        vec![change("link", Some(FileState::Directory), None)],
    ] {
        let result = put(&base, CALL, &Manifest::new(changes.clone()), known(&[b"new", b"old"]));
        assert!(matches!(result, ApplyResult::Conflict { .. }), "{changes:?}: {result:?}");
    }
    assert_eq!(read_disk(outside.path()), Tree::from([("secret".to_owned(), Item::File(b"old".to_vec(), false))]));
}

#[test]
fn permissions_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let base = Base::open(folder.path(), &[]).unwrap();
    for mode in [0o600, 0o644, 0o755, 0o700, 0o664] {
        std::fs::write(&path, b"old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let state = |bytes: &[u8]| {
            Some(FileState::File {
                digest: Digest::of(bytes),
                bytes: bytes.len() as u64,
                executable: mode & 0o100 != 0,
            })
        };
        let manifest = Manifest::new(vec![change("file", state(b"old"), state(b"new"))]);
        assert_eq!(put(&base, CALL, &manifest, known(&[b"new", b"old"])), ApplyResult::Applied);
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode, "{mode:o}");
        assert_eq!(put(&base, CALL, &reversed(&manifest), known(&[b"new", b"old"])), ApplyResult::Applied);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode, "{mode:o} undone");
    }
}

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn runnable(bytes: &[u8], executable: bool) -> Option<FileState> {
    Some(FileState::File { digest: Digest::of(bytes), bytes: bytes.len() as u64, executable })
}

#[test]
fn permissions_change_only_with_the_executable_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let base = Base::open(folder.path(), &[]).unwrap();
    for (mode, after, wanted) in
        [(0o744, true, 0o744), (0o744, false, 0o644), (0o640, true, 0o750), (0o600, true, 0o700)]
    {
        std::fs::write(&path, b"old").unwrap();
        set_mode(&path, mode);
        let change = change("file", runnable(b"old", mode & 0o100 != 0), runnable(b"new", after));
        assert_eq!(put(&base, CALL, &Manifest::new(vec![change]), known(&[b"new", b"old"])), ApplyResult::Applied);
        assert_eq!(mode_of(&path), wanted, "{mode:o} {after}");
    }
}

/// Private files and folders, and a call that moves all of them.
fn private() -> (tempfile::TempDir, Manifest) {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    std::fs::create_dir_all(at("dir/sub")).unwrap();
    std::fs::create_dir(at("open")).unwrap();
    for (path, bytes, mode) in [
        ("key", &b"key"[..], 0o600),
        ("dir/sub/in", b"in", 0o644),
        ("was", b"was", 0o600),
        ("open/there", b"old", 0o664),
    ] {
        std::fs::write(at(path), bytes).unwrap();
        set_mode(&at(path), mode);
    }
    for (path, mode) in [("dir", 0o700), ("dir/sub", 0o750), ("open", 0o755)] {
        set_mode(&at(path), mode);
    }
    let directory = || Some(FileState::Directory);
    let manifest = Manifest::new(vec![
        change("key", file(b"key"), None),
        change("moved-key", None, file(b"key")),
        change("dir", directory(), None),
        change("dir/sub", directory(), None),
        change("dir/sub/in", file(b"in"), None),
        change("moved", None, directory()),
        change("moved/sub", None, directory()),
        change("moved/sub/in", None, file(b"in")),
        change("open/there", file(b"old"), file(b"was")),
        change("was", file(b"was"), directory()),
        change("was/now", None, file(b"was")),
    ]);
    (folder, manifest)
}

const PRIVATE: &[&[u8]] = &[b"key", b"in", b"was", b"old"];

#[test]
fn what_is_moved_keeps_its_permissions() {
    let (folder, manifest) = private();
    let base = Base::open(folder.path(), &[]).unwrap();
    assert_eq!(put(&base, CALL, &manifest, known(PRIVATE)), ApplyResult::Applied);
    for (path, mode) in [
        ("moved-key", 0o600),
        ("moved", 0o700),
        ("moved/sub", 0o750),
        ("moved/sub/in", 0o644),
        ("open/there", 0o600),
        ("was/now", 0o600),
    ] {
        assert_eq!(mode_of(&folder.path().join(path)), mode, "{path}");
    }
}

#[test]
fn nothing_gets_wider_when_a_killed_run_is_finished_or_taken_back() {
    let run_to = |root: &Path, manifest: &Manifest, kill_at: usize| {
        let base = Base::open(root, &[]).unwrap();
        let mut passed = 0;
        run(&base, CALL, manifest, &known(PRIVATE), &mut |_| {
            passed += 1;
            if passed == kill_at { Err(Stop::Killed) } else { Ok(()) }
        })
    };
    let narrow = |root: &Path, path: &str, most: u32, kill_at: usize| {
        let Ok(meta) = std::fs::metadata(root.join(path)) else { return };
        let others = if meta.is_dir() { 0o077 } else { 0o177 };
        let mode = meta.permissions().mode() & others;
        assert_eq!(mode & !most, 0, "{path} killed at {kill_at}: {mode:o}");
    };
    for kill_at in 1.. {
        for taken_back in [false, true] {
            let (folder, manifest) = private();
            let root = folder.path();
            if run_to(root, &manifest, kill_at).is_ok() {
                return;
            }
            if taken_back {
                std::fs::write(root.join("open/there"), b"somebody's own").unwrap();
            }
            let ended = run_to(root, &manifest, usize::MAX);
            assert!(ended.is_ok() || taken_back, "{ended:?}");
            for path in ["key", "moved-key", "dir", "moved", "was/now"] {
                narrow(root, path, 0, kill_at);
            }
            narrow(root, "dir/sub/in", 0o044, kill_at);
            narrow(root, "moved/sub/in", 0o044, kill_at);
            narrow(root, "dir/sub", 0o050, kill_at);
            narrow(root, "moved/sub", 0o050, kill_at);
            // A file before, a directory after: as new as any.
            if root.join("was").is_file() {
                narrow(root, "was", 0, kill_at);
            }
        }
    }
}

#[test]
fn what_is_taken_back_after_a_restart_without_knowing_is_for_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        std::fs::write(folder.path().join(name), b"old").unwrap();
    }
    // All are removed; killed before the second file, as the marker tells, and then somebody writes that.
    let manifest = Manifest::new(vec![
        change("a", file(b"old"), None),
        change("b", file(b"old"), None),
        change("d", Some(FileState::Directory), None),
    ]);
    std::fs::write(folder.path().join(format!("{HIDDEN_PREFIX}{CALL}-run")), b"").unwrap();
    std::fs::remove_file(folder.path().join("a")).unwrap();
    std::fs::write(folder.path().join("b"), b"theirs").unwrap();
    let base = Base::open(folder.path(), &[]).unwrap();
    let result = put(&base, CALL, &manifest, known(&[b"old"]));
    assert_eq!(result, ApplyResult::Conflict { paths: vec!["b".to_owned()] });
    assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"old");
    assert_eq!(mode_of(&folder.path().join("a")), 0o600);
    assert_eq!(mode_of(&folder.path().join("d")), 0o700);
}

fn message_of(result: ApplyResult) -> String {
    match result {
        ApplyResult::Failed { message } => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failure_says_what_is_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let base = Base::open(folder.path(), &[]).unwrap();
    let names = ["a", "b", "c", "d", "e"];
    let manifest = Manifest::new(names.iter().map(|name| change(name, None, file(b"new"))).collect());
    let message = message_of(put(&base, CALL, &manifest, known(&[])));
    assert!(message.ends_with("; none of the changes is in place"), "{message}");
    let message = message_of(put(&base, CALL, &Manifest::new(vec![change("../x", None, file(b"new"))]), known(&[])));
    assert!(message.ends_with("; none of the changes is in place"), "{message}");
    // A directory with a temporary file's name cannot be swept up, neither before nor after.
    let stuck = folder.path().join(format!("{HIDDEN_PREFIX}{CALL}-99"));
    std::fs::create_dir(&stuck).unwrap();
    let message = message_of(put(&base, CALL, &manifest, known(&[b"new"])));
    assert!(message.ends_with("; in place all the same: a, b, c (and 2 more)"), "{message}");
    // The next run has to take it back, and can.
    std::fs::write(folder.path().join("e"), b"theirs").unwrap();
    let message = message_of(put(&base, CALL, &manifest, known(&[])));
    assert!(message.ends_with("; none of the changes is in place"), "{message}");
    std::fs::remove_dir(&stuck).unwrap();
    let left = Tree::from([("e".to_owned(), Item::File(b"theirs".to_vec(), false))]);
    assert_eq!(read_disk(folder.path()), left);
}

#[test]
fn a_conflict_that_cannot_be_taken_back_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), b"old").unwrap();
    let base = Base::open(folder.path(), &[]).unwrap();
    let manifest = Manifest::new(vec![change("a", file(b"old"), file(b"new")), change("b", None, file(b"new"))]);
    // Somebody makes the second file right after the first is in place; what was in the first is not kept.
    let ended = run(&base, CALL, &manifest, &known(&[b"new"]), &mut |name| {
        if name == "put.rename.after" {
            std::fs::write(folder.path().join("b"), b"theirs").unwrap();
        }
        Ok(())
    });
    let Err(Stop::Failed(message)) = ended else { panic!("{ended:?}") };
    assert!(message.contains("changed b;") && message.contains("of a is not kept"), "{message}");
    assert_eq!(super::what_is_in_place(&base, CALL, &manifest), "in place all the same: a");
}

#[test]
fn a_marker_is_never_something_that_stands_there() {
    let folder = tempfile::tempdir().unwrap();
    let base = Base::open(folder.path(), &[]).unwrap();
    let disk = super::disk::Disk::new(&base, format!("{HIDDEN_PREFIX}{CALL}-"));
    let marker = folder.path().join(format!("{HIDDEN_PREFIX}{CALL}-run"));
    let made = std::process::Command::new("mkfifo").arg(&marker).status().unwrap();
    assert!(made.success());
    // Neither waits for a reader nor takes it for its own.
    assert!(matches!(disk.make_marker(), Err(Stop::Failed(_))));
    std::fs::remove_file(&marker).unwrap();
    std::fs::write(&marker, b"theirs").unwrap();
    assert!(matches!(disk.make_marker(), Err(Stop::Failed(_))));
    std::fs::remove_file(&marker).unwrap();
    disk.make_marker().unwrap();
    assert!(disk.has_marker().unwrap());
}

#[test]
fn a_disk_that_refuses_leaves_everything_as_it_was() {
    // Root may write anywhere: a directory in the way of a temporary name refuses even root.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), b"old").unwrap();
    std::fs::create_dir(folder.path().join("d")).unwrap();
    std::fs::create_dir(folder.path().join(format!("d/{HIDDEN_PREFIX}{CALL}-1"))).unwrap();
    let base = Base::open(folder.path(), &[]).unwrap();
    let before = read_disk(folder.path());
    let manifest = Manifest::new(vec![change("a", file(b"old"), file(b"new")), change("d/x", None, file(b"new"))]);
    let result = put(&base, CALL, &manifest, known(&[b"new", b"old"]));
    assert!(matches!(result, ApplyResult::Failed { .. }), "{result:?}");
    assert_eq!(read_disk(folder.path()), before);
}

#[test]
fn the_order_makes_way_first_and_removes_last() {
    let directory = || Some(FileState::Directory);
    let entries = Manifest::new(vec![
        change("dir", directory(), file(b"x")),
        change("dir/in", file(b"x"), None),
        change("file", file(b"x"), directory()),
        change("file/in", None, file(b"x")),
        change("gone", directory(), None),
        change("gone/in", file(b"x"), None),
        change("new", None, directory()),
        change("new/in", None, directory()),
    ]);
    let pending = (0..entries.entries().len()).collect();
    let steps: Vec<String> = plan::order(entries.entries(), &pending)
        .into_iter()
        .map(|step| {
            let path = &entries.entries()[step.index()].path;
            match step {
                plan::Step::Remove(_) => format!("remove {path}"),
                plan::Step::MakeDirectory(_) => format!("make {path}"),
                plan::Step::Rename(_) => format!("rename {path}"),
            }
        })
        .collect();
    let wanted = [
        "remove file",
        "remove dir/in",
        "remove dir",
        "make file",
        "make new",
        "make new/in",
        "rename dir",
        "rename file/in",
        "remove gone/in",
        "remove gone",
    ];
    assert_eq!(steps, wanted);
}
