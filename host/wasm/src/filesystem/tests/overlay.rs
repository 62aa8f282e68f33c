//! What a layer does, case by case: limits, conflicts, what guests do not see.

use super::world::{Item, Tree, layer_over, plant, read_all, read_disk, read_file, root_of, write_file};
use crate::filesystem::handle::Kind;
use crate::filesystem::{Access, Base, ErrorCode, FinishError, Layer, LayerLimits, OpenHow, put};
use harness_core::event::ApplyResult;
use harness_core::outcome::LimitName;
use harness_core::{CallId, TimeMs};
use std::sync::Arc;

const READ: OpenHow = OpenHow {
    read: true,
    write: false,
    create: false,
    exclusive: false,
    truncate: false,
    directory: false,
    follow: true,
};
const UPDATE: OpenHow = OpenHow { write: true, ..READ };

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let tree: Tree =
        files.iter().map(|(path, text)| ((*path).to_owned(), Item::File(text.as_bytes().to_vec(), false))).collect();
    plant(folder.path(), &tree);
    folder
}

fn limited(root: &std::path::Path, limits: LayerLimits) -> Layer {
    Layer::new(Arc::new(Base::open(root, &[]).unwrap()), limits)
}

#[test]
fn reading_opening_and_writing_the_same_content_change_nothing() {
    let folder = folder(&[("a", "one"), ("b", "two")]);
    let (_, layer) = layer_over(folder.path());
    let root = root_of(&layer);
    assert_eq!(read_file(&root, "a").unwrap(), b"one");
    drop(root.open_at("b", UPDATE).unwrap());
    write_file(&root, "b", b"two").unwrap();
    write_file(&root, "new", b"x").unwrap();
    root.unlink_file_at("new").unwrap();
    root.rename_at("a", &root, "c").unwrap();
    root.rename_at("c", &root, "a").unwrap();
    drop(root);
    let staged = layer.finish().unwrap();
    assert!(staged.manifest.is_empty(), "{:?}", staged.manifest);
    assert!(staged.contents.is_empty());
}

#[test]
fn a_file_that_changes_between_reading_and_writing_is_a_conflict() {
    for change_size in [false, true] {
        let folder = folder(&[("a", "one"), ("b", "two")]);
        let (_, layer) = layer_over(folder.path());
        let root = root_of(&layer);
        read_file(&root, "a").unwrap();
        // As editors do it: a new file in place of the old one.
        std::fs::write(folder.path().join("temp"), if change_size { "theirs" } else { "ONE" }).unwrap();
        std::fs::rename(folder.path().join("temp"), folder.path().join("a")).unwrap();
        write_file(&root, "a", b"ours").unwrap();
        drop(root);
        let paths = vec!["a".to_owned()];
        assert_eq!(layer.finish().unwrap_err(), FinishError::Conflict { paths });
    }
}

#[test]
fn a_file_that_changes_after_it_was_written_is_a_conflict_when_put_in_place() {
    let folder = folder(&[("a", "one")]);
    let (base, layer) = layer_over(folder.path());
    let root = root_of(&layer);
    root.open_at("a", UPDATE).unwrap().write_at(b"X", 0).unwrap();
    std::fs::write(folder.path().join("a"), "theirs").unwrap();
    drop(root);
    let staged = layer.finish().unwrap();
    let known = |digest| staged.contents.iter().find(|blob| blob.digest == digest).map(|blob| Arc::clone(&blob.bytes));
    let result = put(&base, CallId::from_bits(1), &staged.manifest, known);
    assert_eq!(result, ApplyResult::Conflict { paths: vec!["a".to_owned()] });
    assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"theirs");
}

#[test]
fn executable_bits_stay_and_move_along() {
    let folder = tempfile::tempdir().unwrap();
    let script = |text: &str| Item::File(text.as_bytes().to_vec(), true);
    plant(folder.path(), &Tree::from([("run".to_owned(), script("one")), ("go".to_owned(), script("two"))]));
    let (base, layer) = layer_over(folder.path());
    let root = root_of(&layer);
    write_file(&root, "run", b"changed").unwrap();
    root.rename_at("go", &root, "went").unwrap();
    drop(root);
    let staged = layer.finish().unwrap();
    let known = |digest| staged.contents.iter().find(|blob| blob.digest == digest).map(|blob| Arc::clone(&blob.bytes));
    assert_eq!(put(&base, CallId::from_bits(1), &staged.manifest, known), ApplyResult::Applied);
    let wanted = Tree::from([("run".to_owned(), script("changed")), ("went".to_owned(), script("two"))]);
    assert_eq!(read_disk(folder.path()), wanted);
}

/// Does something that crosses one limit; gives the code the guest got.
type Crossing = fn(&Layer) -> ErrorCode;

#[test]
fn crossing_a_limit_fails_the_operation_and_names_the_limit() {
    let folder = folder(&[("big", "0123456789"), ("dir", "")]);
    std::fs::remove_file(folder.path().join("dir")).unwrap();
    std::fs::create_dir(folder.path().join("dir")).unwrap();
    for name in ["x", "y", "z"] {
        std::fs::write(folder.path().join("dir").join(name), "1234").unwrap();
    }
    let small = LayerLimits { staged_bytes: 9, staged_files: 2, open_handles: 3, listing_bytes: 150 };
    let cases: [(&str, Crossing, ErrorCode, (LimitName, u64)); 9] = [
        (
            "write",
            |layer| write_file(&root_of(layer), "new", &[0; 10]).unwrap_err(),
            ErrorCode::InsufficientSpace,
            (LimitName::StagedBytes, 9),
        ),
        (
            "write far out",
            |layer| {
                let how = OpenHow { create: true, ..UPDATE };
                root_of(layer).open_at("new", how).unwrap().write_at(b"x", 1 << 60).unwrap_err()
            },
            ErrorCode::InsufficientSpace,
            (LimitName::StagedBytes, 9),
        ),
        (
            "set_size",
            |layer| {
                root_of(layer)
                    .open_at("new", OpenHow { create: true, ..UPDATE })
                    .unwrap()
                    .set_size(u64::MAX)
                    .unwrap_err()
            },
            ErrorCode::InsufficientSpace,
            (LimitName::StagedBytes, 9),
        ),
        (
            "change what is too large",
            |layer| write_file(&root_of(layer), "big", b"").unwrap_err(),
            ErrorCode::InsufficientSpace,
            (LimitName::StagedBytes, 9),
        ),
        (
            "remove what is too large",
            |layer| root_of(layer).unlink_file_at("big").unwrap_err(),
            ErrorCode::InsufficientSpace,
            (LimitName::StagedBytes, 9),
        ),
        (
            "move what is too large",
            |layer| root_of(layer).rename_at("big", &root_of(layer), "bigger").unwrap_err(),
            ErrorCode::InsufficientSpace,
            (LimitName::StagedBytes, 9),
        ),
        (
            "files",
            |layer| {
                let root = root_of(layer);
                root.create_directory_at("one").unwrap();
                root.create_directory_at("two").unwrap();
                root.create_directory_at("three").unwrap_err()
            },
            ErrorCode::InsufficientSpace,
            (LimitName::StagedFiles, 2),
        ),
        (
            "handles",
            |layer| {
                let held: Vec<_> = (0..3).map(|_| root_of(layer)).collect();
                held[0].open_at("big", READ).unwrap_err()
            },
            ErrorCode::InsufficientMemory,
            (LimitName::OpenHandles, 3),
        ),
        (
            "listing",
            |layer| root_of(layer).open_at("dir", READ).unwrap().list().unwrap_err(),
            ErrorCode::InsufficientMemory,
            (LimitName::HostBytes, 150),
        ),
    ];
    for (what, cross, code, crossed) in cases {
        let layer = limited(folder.path(), small);
        assert_eq!(cross(&layer), code, "{what}");
        assert_eq!(layer.crossed(), Some(crossed), "{what}");
        let ended = layer.finish().unwrap_err();
        assert_eq!(ended, FinishError::OverLimit { limit: crossed.0, maximum: crossed.1 }, "{what}");
    }
}

#[test]
fn all_open_listings_of_a_call_have_one_limit_together() {
    let folder = folder(&[("a", "one"), ("b", "two")]);
    // Each listing takes 2 x (64 + 1) bytes.
    let layer = limited(folder.path(), LayerLimits { listing_bytes: 300, ..LayerLimits::default() });
    let root = root_of(&layer);
    for _ in 0..10 {
        drop(root.list_held().unwrap());
    }
    let held = [root.list_held().unwrap(), root.list_held().unwrap()];
    assert_eq!(layer.crossed(), None);
    assert_eq!(root.list_held().unwrap_err(), ErrorCode::InsufficientMemory);
    assert_eq!(layer.crossed(), Some((LimitName::HostBytes, 300)));
    drop(held);
    assert_eq!(root.list_held().unwrap().entries.len(), 2, "the room is given back");
}

#[test]
fn all_layers_hold_so_many_descriptors_together_and_none_of_them_crossed_a_limit() {
    let folder = folder(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]);
    let base = Arc::new(Base::open(folder.path(), &[]).unwrap().with_descriptors(3));
    let layers = [(); 2].map(|()| Layer::new(Arc::clone(&base), LayerLimits::default()));
    let [one, other] = [root_of(&layers[0]), root_of(&layers[1])];
    let held: Vec<_> = ["a", "b"].map(|path| one.open_at(path, READ).unwrap()).into();
    let third = other.open_at("c", READ).unwrap();
    for root in [&one, &other] {
        assert_eq!(root.open_at("d", READ).unwrap_err(), ErrorCode::Busy);
        assert_eq!(root.open_at("d", UPDATE).unwrap_err(), ErrorCode::Busy);
        assert_eq!(root.open_at("nothing", READ).unwrap_err(), ErrorCode::Busy);
    }
    assert_eq!(one.stat_at("d", true).unwrap().bytes, 1, "what holds nothing open goes on");
    assert_eq!(one.list().unwrap().len(), 4);
    drop(third);
    assert_eq!(other.open_at("nothing", READ).unwrap_err(), ErrorCode::NoEntry, "and gives back what it took");
    assert_eq!(read_file(&other, "d").unwrap(), b"4");
    drop(held);
    for root in [&one, &other] {
        // What is copied up is held in memory.
        for path in ["a", "b", "c", "d"] {
            write_file(root, path, b"changed").unwrap();
        }
    }
    assert!(layers.iter().all(|layer| layer.crossed().is_none()));
}

#[test]
fn the_process_may_open_more_than_layers_hold() {
    use rustix::process::{Resource, getrlimit};
    let folder = folder(&[]);
    Base::open(folder.path(), &[]).unwrap();
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    assert!(limit.current.is_none_or(|soft| soft == most || soft >= 10_240), "{limit:?}");
}

#[test]
fn a_directory_too_large_to_move_stays_where_it_is() {
    let folder = folder(&[]);
    std::fs::create_dir(folder.path().join("dir")).unwrap();
    for number in 0..20 {
        std::fs::write(folder.path().join(format!("dir/{number}")), "12345").unwrap();
    }
    for limits in [
        LayerLimits { staged_bytes: 50, ..LayerLimits::default() },
        LayerLimits { staged_files: 10, ..LayerLimits::default() },
    ] {
        let layer = limited(folder.path(), limits);
        let root = root_of(&layer);
        assert_eq!(root.rename_at("dir", &root, "moved").unwrap_err(), ErrorCode::InsufficientSpace);
        assert_eq!(root.open_at("dir", READ).unwrap().list().unwrap().len(), 20);
        assert_eq!(root.stat_at("moved", true).unwrap_err(), ErrorCode::NoEntry);
    }
}

#[test]
fn room_is_given_back() {
    let folder = folder(&[]);
    let layer = limited(
        folder.path(),
        LayerLimits { staged_bytes: 100, staged_files: 3, open_handles: 3, listing_bytes: 4096 },
    );
    let root = root_of(&layer);
    for round in 0..1000 {
        let path = format!("file{round}");
        write_file(&root, &path, &[1; 90]).unwrap();
        root.rename_at(&path, &root, "kept").unwrap();
        write_file(&root, "kept", b"short").unwrap();
        root.create_directory_at("dir").unwrap();
        root.remove_directory_at("dir").unwrap();
        root.unlink_file_at("kept").unwrap();
    }
    assert_eq!(layer.crossed(), None);
}

#[test]
fn a_path_cannot_be_made_longer_than_a_path_may_be() {
    let folder = folder(&[]);
    let layer = limited(folder.path(), LayerLimits { staged_files: 100_000, ..LayerLimits::default() });
    let mut at = root_of(&layer);
    let mut levels = 0;
    let refused = loop {
        if let Err(code) = at.create_directory_at("d") {
            break code;
        }
        at = at.open_at("d", READ).unwrap();
        levels += 1;
    };
    assert_eq!((refused, levels), (ErrorCode::NameTooLong, 2048));
    let root = root_of(&layer);
    root.create_directory_at("e").unwrap();
    assert_eq!(root.rename_at("d", &root, "e/further").unwrap_err(), ErrorCode::NameTooLong);
    root.rename_at("d", &root, "f").unwrap();
}

#[test]
fn read_only_refuses_every_change() {
    let folder = folder(&[("a", "one")]);
    let (_, layer) = layer_over(folder.path());
    let root = layer.root(Access::ReadOnly).unwrap();
    let staged = root_of(&layer);
    for (what, result) in [
        ("write", root.open_at("a", UPDATE).map(drop)),
        ("create", root.open_at("b", OpenHow { create: true, ..READ }).map(drop)),
        ("truncate", root.open_at("a", OpenHow { truncate: true, ..READ }).map(drop)),
        ("mkdir", root.create_directory_at("d")),
        ("rmdir", root.remove_directory_at("d")),
        ("unlink", root.unlink_file_at("a")),
        ("rename", root.rename_at("a", &root, "b")),
        ("rename into", staged.rename_at("a", &root, "b")),
        ("rename out of", root.rename_at("a", &staged, "b")),
        ("below", root.open_at(".", READ).unwrap().unlink_file_at("a")),
    ] {
        assert_eq!(result, Err(ErrorCode::ReadOnly), "{what}");
    }
    assert_eq!(read_file(&root, "a").unwrap(), b"one");
}

#[test]
fn two_layers_are_two_devices_and_see_nothing_of_each_other() {
    let folder = folder(&[("a", "one")]);
    let (base, layer) = layer_over(folder.path());
    let other = Layer::new(base, LayerLimits::default());
    let (root, others) = (root_of(&layer), root_of(&other));
    write_file(&root, "a", b"changed").unwrap();
    assert_eq!(read_file(&others, "a").unwrap(), b"one");
    assert_eq!(root.rename_at("a", &others, "b").unwrap_err(), ErrorCode::CrossDevice);
    assert!(!root.is_same(&others));
}

#[test]
fn a_scratch_layer_starts_empty() {
    let layer = Layer::scratch(LayerLimits::default());
    let root = root_of(&layer);
    assert!(root.list().unwrap().is_empty());
    write_file(&root, "x", b"1").unwrap();
    assert_eq!(read_file(&root, "x").unwrap(), b"1");
}

#[test]
fn names_that_are_not_utf8_and_our_own_are_not_seen_but_keep_their_directory() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder(&[("a", "one")]);
    for directory in ["odd", "ours"] {
        std::fs::create_dir(folder.path().join(directory)).unwrap();
    }
    std::fs::write(folder.path().join("odd").join(std::ffi::OsStr::from_bytes(b"\xff\xfe")), "").unwrap();
    std::fs::write(folder.path().join("ours/.harness-host-call_1-0"), "staged elsewhere").unwrap();
    let (_, layer) = layer_over(folder.path());
    let root = root_of(&layer);
    for directory in ["odd", "ours"] {
        assert!(root.open_at(directory, READ).unwrap().list().unwrap().is_empty());
        assert_eq!(root.remove_directory_at(directory).unwrap_err(), ErrorCode::NotEmpty);
        assert_eq!(root.rename_at(directory, &root, "x").unwrap_err(), ErrorCode::NotPermitted);
    }
    let hidden = "ours/.harness-host-call_1-0";
    assert_eq!(root.open_at(hidden, READ).unwrap_err(), ErrorCode::NoEntry);
    assert_eq!(root.stat_at(hidden, true).unwrap_err(), ErrorCode::NoEntry);
    assert_eq!(root.unlink_file_at(hidden).unwrap_err(), ErrorCode::NoEntry);
    assert_eq!(write_file(&root, hidden, b"x").unwrap_err(), ErrorCode::NotPermitted);
    assert_eq!(root.create_directory_at(".harness-host-x").unwrap_err(), ErrorCode::NotPermitted);
    assert_eq!(root.rename_at("a", &root, ".harness-host-x").unwrap_err(), ErrorCode::NotPermitted);
}

#[test]
fn identities_follow_paths() {
    let folder = folder(&[("a", "one"), ("b", "one")]);
    std::os::unix::fs::symlink("a", folder.path().join("link")).unwrap();
    let (_, layer) = layer_over(folder.path());
    let root = root_of(&layer);
    let a = root.open_at("a", READ).unwrap();
    assert_eq!(a.identity(), root.identity_at("a", true).unwrap());
    assert_eq!(a.identity(), root.identity_at("./a", true).unwrap());
    assert_eq!(a.identity(), root.identity_at("link", true).unwrap());
    assert_ne!(a.identity(), root.identity_at("link", false).unwrap());
    assert_ne!(a.identity(), root.identity_at("b", true).unwrap());
    assert!(a.is_same(&root.open_at("link", READ).unwrap()));
    root.unlink_file_at("a").unwrap();
    write_file(&root, "a", b"another").unwrap();
    assert_ne!(a.identity(), root.identity_at("a", true).unwrap());
    assert_eq!(read_all(&a).unwrap(), b"one");
}

#[test]
fn times_of_staged_files_are_the_same_whenever_the_call_runs() {
    let folder = folder(&[]);
    let times = || {
        let layer = limited(folder.path(), LayerLimits::default());
        layer.set_clock(TimeMs(1_700_000_000_000));
        let root = root_of(&layer);
        write_file(&root, "a", b"1").unwrap();
        write_file(&root, "b", b"2").unwrap();
        ["a", "b"].map(|path| root.stat_at(path, true).unwrap().modified_ns)
    };
    let [a, b] = times();
    assert!(1_700_000_000_000_000_000 < a && a < b);
    assert_eq!(times(), [a, b]);
}

#[test]
fn a_handle_that_outlives_its_layer_is_of_no_use() {
    let folder = folder(&[("a", "one")]);
    let (_, layer) = layer_over(folder.path());
    let root = root_of(&layer);
    let file = root.open_at("a", UPDATE).unwrap();
    file.write_at(b"X", 0).unwrap();
    layer.finish().unwrap();
    assert!(file.read_at(10, 0).is_err() && file.write_at(b"Y", 0).is_err());
    assert!(root.open_at("a", READ).is_err() && root.create_directory_at("d").is_err());
}

#[test]
fn special_files_are_seen_and_not_opened() {
    let folder = folder(&[("a", "one")]);
    let directory = std::fs::File::open(folder.path()).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(&directory, "fifo", rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let (_, layer) = layer_over(folder.path());
    let root = root_of(&layer);
    for (name, kind) in [("fifo", Kind::Fifo), ("socket", Kind::Socket)] {
        assert_eq!(root.stat_at(name, true).unwrap().kind, kind);
        for how in [READ, UPDATE, OpenHow { create: true, truncate: true, ..UPDATE }] {
            assert_eq!(root.open_at(name, how).unwrap_err(), ErrorCode::Unsupported, "{name} {how:?}");
        }
        assert_eq!(root.unlink_file_at(name).unwrap_err(), ErrorCode::NotPermitted);
        assert_eq!(root.rename_at("a", &root, name).unwrap_err(), ErrorCode::NotPermitted);
    }
    let listed: Vec<_> = root.list().unwrap().into_iter().map(|entry| (entry.name, entry.kind)).collect();
    let wanted = [("a", Kind::File), ("fifo", Kind::Fifo), ("socket", Kind::Socket)];
    assert_eq!(listed, wanted.map(|(name, kind)| (name.to_owned(), kind)));
}
