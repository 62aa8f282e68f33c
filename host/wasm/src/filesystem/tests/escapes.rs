//! Ways out of the workspace, and into the host's own directories. None is one.

use super::world::{layer_over, read_file, root_of, write_file};
use crate::filesystem::{Base, ErrorCode, Handle, Layer, LayerLimits, OpenBaseError, OpenHow, put};
use harness_core::event::ApplyResult;
use harness_core::{CallId, Change, Digest, FileState, Manifest};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const READ: OpenHow = OpenHow {
    read: true,
    write: false,
    create: false,
    exclusive: false,
    truncate: false,
    directory: false,
    follow: true,
};

/// A workspace in a folder that also has a secret.
fn nested() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("workspace");
    std::fs::create_dir_all(root.join("dir/sub")).unwrap();
    std::fs::create_dir(folder.path().join("outside")).unwrap();
    std::fs::write(folder.path().join("outside/secret"), "secret").unwrap();
    std::fs::write(root.join("dir/file"), "inside").unwrap();
    (folder, root)
}

/// Every operation on a path; none may succeed, nor tell more than that it is not permitted or not there.
fn all_refused(root: &Handle, path: &str) {
    for (what, result) in [
        ("read", root.open_at(path, READ).map(drop)),
        ("write", root.open_at(path, OpenHow { write: true, ..READ }).map(drop)),
        ("create", root.open_at(path, OpenHow { write: true, create: true, ..READ }).map(drop)),
        ("directory", root.open_at(path, OpenHow { directory: true, ..READ }).map(drop)),
        ("stat", root.stat_at(path, true).map(drop)),
        ("identity", root.identity_at(path, true).map(drop)),
        ("rename from", root.rename_at(path, root, "x")),
        ("rename to", root.rename_at("dir/file", root, path)),
        ("unlink", root.unlink_file_at(path)),
        ("rmdir", root.remove_directory_at(path)),
        ("mkdir", root.create_directory_at(path)),
    ] {
        let code = result.expect_err(what);
        let silent = [
            ErrorCode::NotPermitted,
            ErrorCode::NoEntry,
            ErrorCode::NotDirectory,
            ErrorCode::Loop,
            ErrorCode::Exist,
            ErrorCode::Invalid,
            ErrorCode::NameTooLong,
            ErrorCode::Busy,
        ];
        assert!(silent.contains(&code), "{what} {path}: {code:?}");
    }
}

#[test]
fn paths_that_lead_out_are_refused() {
    let (folder, root) = nested();
    let outside = folder.path().join("outside");
    let absolute = outside.join("secret").to_str().unwrap().to_owned();
    for (link, target) in [
        ("up", ".."),
        ("out", "../outside"),
        ("secret", "../outside/secret"),
        ("deep/../../outside", "x"),
        ("absolute", outside.to_str().unwrap()),
        ("slash", "/"),
        ("proc", "/proc/self/root"),
        ("self", "/proc/self/cwd"),
        ("loop", "loop"),
        ("ping", "pong"),
        ("pong", "ping"),
        ("around", "dir/../../workspace/dir"),
        ("dir/back", "../../outside"),
    ] {
        let _ = symlink(target, root.join(link));
    }
    let (_, layer) = layer_over(&root);
    let handle = root_of(&layer);
    for path in [
        "..",
        "../",
        "../outside",
        "../outside/secret",
        "dir/../..",
        "dir/../../outside/secret",
        "./../outside",
        "/",
        absolute.as_str(),
        "/workspace",
        "up",
        "up/",
        "up/outside/secret",
        "out/secret",
        "out/",
        "secret/",
        "absolute/secret",
        "slash/etc/passwd",
        "proc/etc/passwd",
        "self/x",
        "loop/x",
        "ping/x",
        "around/file",
        "dir/back/secret",
        "\0",
        "dir/\0",
    ] {
        all_refused(&handle, path);
    }
    for path in ["secret", "loop", "absolute", "proc"] {
        assert!(read_file(&handle, path).is_err(), "{path}");
        assert!(write_file(&handle, path, b"x").is_err(), "{path}");
        assert_eq!(handle.unlink_file_at(path).unwrap_err(), ErrorCode::NotPermitted, "a link stays");
    }
    for path in ["absolute", "slash", "proc"] {
        assert_eq!(handle.read_link_at(path).unwrap_err(), ErrorCode::NotPermitted, "{path}");
    }
    drop(handle);
    assert!(layer.finish().unwrap().manifest.is_empty());
    assert_eq!(std::fs::read(outside.join("secret")).unwrap(), b"secret");
}

#[test]
fn a_directory_handle_is_a_root_of_its_own() {
    let (_folder, root) = nested();
    std::fs::write(root.join("top"), "top").unwrap();
    symlink("../../top", root.join("dir/sub/up")).unwrap();
    symlink("../file", root.join("dir/sub/near")).unwrap();
    let (_, layer) = layer_over(&root);
    let handle = root_of(&layer);
    assert_eq!(read_file(&handle, "dir/sub/up").unwrap(), b"top");
    let sub = handle.open_at("dir", READ).unwrap();
    assert_eq!(sub.open_at("../top", READ).unwrap_err(), ErrorCode::NotPermitted);
    assert_eq!(sub.open_at("sub/up", READ).unwrap_err(), ErrorCode::NotPermitted);
    assert_eq!(read_file(&sub, "sub/near").unwrap(), b"inside");
    assert_eq!(read_file(&sub, "sub/../file").unwrap(), b"inside");
}

#[test]
fn links_inside_are_followed_and_the_manifest_names_what_was_written() {
    let (_folder, root) = nested();
    symlink("dir/file", root.join("link")).unwrap();
    symlink("dir", root.join("dirlink")).unwrap();
    for hop in 0..41 {
        symlink(format!("hop{}", hop + 1), root.join(format!("hop{hop}"))).unwrap();
    }
    std::fs::write(root.join("hop41"), "end").unwrap();
    let (_, layer) = layer_over(&root);
    let handle = root_of(&layer);
    assert_eq!(read_file(&handle, "hop1").unwrap(), b"end", "40 hops");
    assert_eq!(read_file(&handle, "hop0").unwrap_err(), ErrorCode::Loop, "41 hops");
    write_file(&handle, "link", b"through").unwrap();
    write_file(&handle, "dirlink/new", b"through").unwrap();
    drop(handle);
    let staged = layer.finish().unwrap();
    let paths: Vec<_> = staged.manifest.entries().iter().map(|change| change.path.as_str()).collect();
    assert_eq!(paths, ["dir/file", "dir/new"]);
}

#[test]
fn the_hosts_own_directories_are_neither_seen_nor_reached() {
    let (folder, root) = nested();
    let state = root.join("dir/state");
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("log"), "log").unwrap();
    symlink("dir/state", root.join("alias")).unwrap();
    symlink("dir/state/log", root.join("logalias")).unwrap();
    let base = Arc::new(Base::open(&root, std::slice::from_ref(&state)).unwrap());
    let layer = Layer::new(Arc::clone(&base), LayerLimits::default());
    let handle = root_of(&layer);
    for path in ["dir/state/log", "alias/log", "dir/sub/../state/log", "dir/state/", "alias/"] {
        for result in [
            handle.open_at(path, READ).map(drop),
            handle.stat_at(path, true).map(drop),
            handle.unlink_file_at(path),
            handle.remove_directory_at(path),
        ] {
            let code = result.unwrap_err();
            assert!(matches!(code, ErrorCode::NoEntry | ErrorCode::NotDirectory), "{path}: {code:?}");
        }
    }
    assert_eq!(read_file(&handle, "logalias").unwrap_err(), ErrorCode::NoEntry);
    assert_eq!(read_file(&handle, "dir/file").unwrap(), b"inside");
    let listed = handle.open_at("dir", READ).unwrap().list().unwrap();
    assert_eq!(listed.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["file", "sub"]);
    assert_eq!(handle.rename_at("dir", &handle, "moved").unwrap_err(), ErrorCode::NotPermitted);
    let stolen = std::fs::rename(&state, root.join("dir/elsewhere"));
    stolen.unwrap();
    assert_eq!(read_file(&handle, "dir/elsewhere/log").unwrap_err(), ErrorCode::NoEntry, "whatever it is called");
    let file =
        |text: &[u8]| Some(FileState::File { digest: Digest::of(text), bytes: text.len() as u64, executable: false });
    let manifest =
        Manifest::new(vec![Change { path: "dir/elsewhere/new".to_owned(), before: None, after: file(b"x") }]);
    let result = put(&base, CallId::from_bits(1), &manifest, |_| Some(Arc::from(&b"x"[..])));
    assert!(matches!(result, ApplyResult::Conflict { .. }), "{result:?}");
    assert!(!root.join("dir/elsewhere/new").exists());

    let lies_in = Base::open(root.join("dir"), &[folder.path().to_owned()]);
    assert!(matches!(lies_in, Err(OpenBaseError::Inside { .. })), "{lies_in:?}");
    let is = Base::open(&root, std::slice::from_ref(&root));
    assert!(matches!(is, Err(OpenBaseError::Inside { .. })), "{is:?}");
    let missing = Base::open(&root, &[root.join("not there")]);
    assert!(matches!(missing, Err(OpenBaseError::Forbidden { .. })), "{missing:?}");
}

#[test]
fn a_hard_link_to_the_outside_is_cut_and_not_written_through() {
    let (folder, root) = nested();
    let secret = folder.path().join("outside/secret");
    std::fs::hard_link(&secret, root.join("hard")).unwrap();
    let (base, layer) = layer_over(&root);
    let handle = root_of(&layer);
    write_file(&handle, "hard", b"changed").unwrap();
    drop(handle);
    let staged = layer.finish().unwrap();
    let known = |digest| staged.contents.iter().find(|blob| blob.digest == digest).map(|blob| Arc::clone(&blob.bytes));
    assert_eq!(put(&base, CallId::from_bits(1), &staged.manifest, known), ApplyResult::Applied);
    assert_eq!(std::fs::read(root.join("hard")).unwrap(), b"changed");
    assert_eq!(std::fs::read(secret).unwrap(), b"secret");
}

/// Swaps a directory and a link to the outside, again and again, while something else runs.
fn while_swapping(root: &Path, outside: &Path, mut work: impl FnMut(u32)) {
    const ROUNDS: u32 = 1_000;
    let stop = AtomicBool::new(false);
    let (dir, aside, link) = (root.join("dir"), root.join("aside"), root.join("link"));
    symlink(outside, &link).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                std::fs::rename(&dir, &aside).unwrap();
                std::fs::rename(&link, &dir).unwrap();
                std::fs::rename(&dir, &link).unwrap();
                std::fs::rename(&aside, &dir).unwrap();
            }
        });
        (0..ROUNDS).for_each(&mut work);
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_directory_swapped_for_a_link_outside_is_never_followed() {
    let (folder, root) = nested();
    let outside = folder.path().join("outside");
    std::fs::write(outside.join("file"), "secret").unwrap();
    let base = Arc::new(Base::open(&root, &[]).unwrap());
    // The way name by name as well as the kernel's.
    let walking = Arc::new(Base::open(&root, &[]).map(|base| base.walking()).unwrap());
    while_swapping(&root, &outside, |round| {
        let base = if round % 2 == 0 { &base } else { &walking };
        let layer = Layer::new(Arc::clone(base), LayerLimits::default());
        let handle = root_of(&layer);
        if let Ok(bytes) = read_file(&handle, "dir/file") {
            assert_eq!(bytes, b"inside");
        }
        if let Ok(opened) = handle.open_at("dir", READ) {
            assert!(!opened.list().unwrap_or_default().iter().any(|entry| entry.name == "secret"));
        }
        let _ = write_file(&handle, "dir/file", b"changed");
    });
    let (_, layer) = layer_over(&root);
    assert_eq!(read_file(&root_of(&layer), "dir/file").unwrap(), b"inside", "once nobody swaps it");
}

#[test]
fn nothing_is_put_outside_while_a_directory_is_swapped() {
    let (folder, root) = nested();
    let outside = folder.path().join("outside");
    let base = Base::open(&root, &[]).unwrap();
    let state =
        |text: &[u8]| Some(FileState::File { digest: Digest::of(text), bytes: text.len() as u64, executable: false });
    let put_one = |round| {
        let path = format!("dir/new{round}");
        let manifest = Manifest::new(vec![Change { path, before: None, after: state(b"new") }]);
        put(&base, CallId::from_bits(1), &manifest, |_| Some(Arc::from(&b"new"[..])))
    };
    while_swapping(&root, &outside, |round| {
        // Whether it finds the directory is a matter of chance; each time at another point of the swap.
        if round.is_multiple_of(10) {
            let _ = put_one(round);
        }
    });
    assert_eq!(put_one(u32::MAX), ApplyResult::Applied, "once nobody swaps it");
    let left: Vec<_> = std::fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["secret"]);
}

#[cfg(target_os = "linux")]
#[test]
fn the_file_systems_of_the_kernel_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "ordinary").unwrap();
    symlink("/proc/self", folder.path().join("link")).unwrap();
    let ordinary = folder.path().canonicalize().unwrap().join("file");
    let ordinary = ordinary.to_str().unwrap().trim_start_matches('/');
    assert!(Path::new("/proc/self/environ").exists(), "this test needs /proc");
    for base in [Base::open("/", &[]).unwrap(), Base::open("/", &[]).unwrap().walking()] {
        let layer = Layer::new(Arc::new(base), LayerLimits::default());
        let root = layer.root(crate::filesystem::Access::Staged).unwrap();
        for path in
            ["proc", "proc/self/environ", "proc/self/mem", "proc/1/../self/status", "proc/sys/kernel", "sys/kernel"]
        {
            for (what, result) in [
                ("read", root.open_at(path, READ).map(drop)),
                ("write", root.open_at(path, OpenHow { write: true, ..READ }).map(drop)),
                ("directory", root.open_at(path, OpenHow { directory: true, ..READ }).map(drop)),
                ("stat", root.stat_at(path, true).map(drop)),
                ("link", root.read_link_at(path).map(drop)),
                ("unlink", root.unlink_file_at(path)),
                ("move", root.rename_at(path, &root, "tmp/moved")),
            ] {
                assert_eq!(result.unwrap_err(), ErrorCode::NoEntry, "{what} {path}");
            }
        }
        assert_eq!(read_file(&root, ordinary).unwrap(), b"ordinary");
        assert_eq!(root.stat_at(ordinary, true).unwrap().bytes, 8);
    }
    let base = Base::open("/", &[]).unwrap();
    assert!(base.directory("proc/sys").is_err(), "nor is anything put there");
    for path in ["/proc", "/proc/self", "/sys"] {
        let opened = Base::open(path, &[]);
        assert!(matches!(opened, Err(OpenBaseError::OfKernel { .. })), "{path}: {opened:?}");
    }
    let after = Some(FileState::File { digest: Digest::of(b"x"), bytes: 1, executable: false });
    let manifest = Manifest::new(vec![Change { path: "proc/self/comm".to_owned(), before: None, after }]);
    let result = put(&base, CallId::from_bits(1), &manifest, |_| Some(Arc::from(&b"x"[..])));
    assert_eq!(result, ApplyResult::Conflict { paths: vec!["proc/self/comm".to_owned()] });
}
