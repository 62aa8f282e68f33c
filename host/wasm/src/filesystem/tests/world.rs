//! Trees and operations, executed on a layer and on a plain directory.

use crate::filesystem::handle::Kind;
use crate::filesystem::{Access, Base, ErrorCode, Handle, Layer, LayerLimits, OpenHow};
use proptest::prelude::*;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Directory,
    File(Vec<u8>, bool),
    /// A link to this path of the workspace.
    Link(String),
}

/// A tree by path.
pub(crate) type Tree = BTreeMap<String, Item>;

/// Makes a tree on disk; parents that are missing or no directories drop what is in them.
pub(crate) fn plant(root: &Path, tree: &Tree) {
    for (path, item) in tree {
        let target = root.join(path);
        let parent = target.parent().unwrap();
        if !std::fs::symlink_metadata(parent).is_ok_and(|meta| meta.is_dir()) {
            continue;
        }
        match item {
            Item::Directory => std::fs::create_dir(&target).unwrap(),
            Item::File(bytes, executable) => {
                std::fs::write(&target, bytes).unwrap();
                let mode = if *executable { 0o755 } else { 0o644 };
                std::fs::set_permissions(&target, std::fs::Permissions::from_mode(mode)).unwrap();
            }
            Item::Link(to) => {
                let up = "../".repeat(path.matches('/').count());
                symlink(format!("{up}{to}"), &target).unwrap();
            }
        }
    }
}

/// Reads a tree from disk.
pub(crate) fn read_disk(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let item = if meta.is_dir() {
                waiting.push(path.clone());
                Item::Directory
            } else if meta.is_symlink() {
                let target = std::fs::read_link(&path).unwrap();
                Item::Link(target.to_str().unwrap().trim_start_matches("../").to_owned())
            } else {
                Item::File(std::fs::read(&path).unwrap(), meta.permissions().mode() & 0o100 != 0)
            };
            tree.insert(name, item);
        }
    }
    tree
}

/// Reads a tree through a layer. The executable bit is not seen by guests and reads as `false`.
pub(crate) fn read_layer(root: &Handle) -> Tree {
    let mut tree = Tree::new();
    let mut waiting = vec![String::new()];
    while let Some(directory) = waiting.pop() {
        let at = if directory.is_empty() { ".".to_owned() } else { directory.clone() };
        let handle = root.open_at(&at, OpenHow { read: true, directory: true, ..OpenHow::default() }).unwrap();
        let listed = handle.list().unwrap();
        assert!(listed.windows(2).all(|pair| pair[0].name < pair[1].name), "sorted and unique");
        for entry in listed {
            let path = crate::filesystem::path::join(&directory, &entry.name);
            assert_eq!(root.stat_at(&path, false).unwrap().kind, entry.kind, "{path}");
            let item = match entry.kind {
                Kind::Directory => {
                    waiting.push(path.clone());
                    Item::Directory
                }
                Kind::Symlink => Item::Link(root.read_link_at(&path).unwrap().trim_start_matches("../").to_owned()),
                Kind::File => Item::File(read_file(root, &path).unwrap(), false),
                other => panic!("{path} is {other:?}"),
            };
            tree.insert(path, item);
        }
    }
    tree
}

pub(crate) fn without_bits(tree: &Tree) -> Tree {
    let item =
        |item: &Item| if let Item::File(bytes, _) = item { Item::File(bytes.clone(), false) } else { item.clone() };
    tree.iter().map(|(path, found)| (path.clone(), item(found))).collect()
}

pub(crate) fn read_file(root: &Handle, path: &str) -> Result<Vec<u8>, ErrorCode> {
    let file = root.open_at(path, OpenHow { read: true, follow: true, ..OpenHow::default() })?;
    read_all(&file)
}

pub(crate) fn read_all(file: &Handle) -> Result<Vec<u8>, ErrorCode> {
    let mut all = Vec::new();
    loop {
        let some = file.read_at(7, all.len() as u64)?;
        if some.is_empty() {
            return Ok(all);
        }
        all.extend(some);
    }
}

pub(crate) fn write_file(root: &Handle, path: &str, bytes: &[u8]) -> Result<(), ErrorCode> {
    let how = OpenHow { write: true, create: true, truncate: true, follow: true, ..OpenHow::default() };
    root.open_at(path, how)?.write_at(bytes, 0)
}

/// A fresh layer over a directory.
pub(crate) fn layer_over(root: &Path) -> (Arc<Base>, Layer) {
    let base = Arc::new(Base::open(root, &[]).unwrap());
    let layer = Layer::new(Arc::clone(&base), LayerLimits::default());
    (base, layer)
}

pub(crate) fn root_of(layer: &Layer) -> Handle {
    layer.root(Access::Staged).unwrap()
}

/// One operation.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Open { path: String, how: OpenHow, slot: usize },
    Close { slot: usize },
    Read { slot: usize, offset: u64, bytes: u64 },
    Write { slot: usize, offset: u64, bytes: Vec<u8> },
    Append { slot: usize, bytes: Vec<u8> },
    SetSize { slot: usize, bytes: u64 },
    StatSlot { slot: usize },
    Put { path: String, bytes: Vec<u8> },
    Get { path: String },
    Stat { path: String, follow: bool },
    List { path: String },
    MakeDirectory { path: String },
    RemoveDirectory { path: String },
    Unlink { path: String },
    Rename { from: String, to: String },
    ReadLink { path: String },
}

/// What came of it, comparable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Done,
    Bytes(Vec<u8>),
    Stat(Kind, u64),
    Names(Vec<(String, Kind)>),
    Text(String),
    NoSlot,
}

const SLOTS: usize = 3;

/// Both sides' open files.
pub(crate) struct Sides {
    pub(crate) layer: Handle,
    pub(crate) plain: OwnedFd,
    layer_slots: Vec<Option<Handle>>,
    plain_slots: Vec<Option<OwnedFd>>,
}

impl Sides {
    pub(crate) fn new(layer: Handle, plain: &Path) -> Self {
        let plain = rustix::fs::open(plain, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        Self {
            layer,
            plain,
            layer_slots: (0..SLOTS).map(|_| None).collect(),
            plain_slots: (0..SLOTS).map(|_| None).collect(),
        }
    }

    /// On the layer.
    pub(crate) fn on_layer(&mut self, op: &Op) -> Result<Seen, ErrorCode> {
        let slot = |slot: &usize| self.layer_slots[*slot].as_ref();
        Ok(match op {
            Op::Open { path, how, slot } => {
                self.layer_slots[*slot] = None;
                self.layer_slots[*slot] = Some(self.layer.open_at(path, *how)?);
                Seen::Done
            }
            Op::Close { slot } => {
                self.layer_slots[*slot] = None;
                Seen::Done
            }
            Op::Read { slot: s, offset, bytes } => match slot(s) {
                Some(file) => Seen::Bytes(file.read_at(*bytes, *offset)?),
                None => Seen::NoSlot,
            },
            Op::Write { slot: s, offset, bytes } => match slot(s) {
                Some(file) => file.write_at(bytes, *offset).map(|()| Seen::Done)?,
                None => Seen::NoSlot,
            },
            Op::Append { slot: s, bytes } => match slot(s) {
                Some(file) => file.append(bytes).map(|()| Seen::Done)?,
                None => Seen::NoSlot,
            },
            Op::SetSize { slot: s, bytes } => match slot(s) {
                Some(file) => file.set_size(*bytes).map(|()| Seen::Done)?,
                None => Seen::NoSlot,
            },
            Op::StatSlot { slot: s } => match slot(s) {
                Some(file) => file.stat().map(|stat| Seen::Stat(stat.kind, stat.bytes))?,
                None => Seen::NoSlot,
            },
            Op::Put { path, bytes } => write_file(&self.layer, path, bytes).map(|()| Seen::Done)?,
            Op::Get { path } => Seen::Bytes(read_file(&self.layer, path)?),
            Op::Stat { path, follow } => {
                let stat = self.layer.stat_at(path, *follow)?;
                Seen::Stat(stat.kind, stat.bytes)
            }
            Op::List { path } => {
                let how = OpenHow { read: true, directory: true, follow: true, ..OpenHow::default() };
                let listed = self.layer.open_at(path, how)?.list()?;
                Seen::Names(listed.into_iter().map(|entry| (entry.name, entry.kind)).collect())
            }
            Op::MakeDirectory { path } => self.layer.create_directory_at(path).map(|()| Seen::Done)?,
            Op::RemoveDirectory { path } => self.layer.remove_directory_at(path).map(|()| Seen::Done)?,
            Op::Unlink { path } => self.layer.unlink_file_at(path).map(|()| Seen::Done)?,
            Op::Rename { from, to } => self.layer.rename_at(from, &self.layer, to).map(|()| Seen::Done)?,
            Op::ReadLink { path } => Seen::Text(self.layer.read_link_at(path)?),
        })
    }

    /// On the plain directory.
    pub(crate) fn on_plain(&mut self, op: &Op) -> Result<Seen, Errno> {
        use rustix::fs::{mkdirat, openat, readlinkat, renameat, unlinkat};
        use rustix::io::{pread, pwrite};
        let slot = |slot: &usize| self.plain_slots[*slot].as_ref();
        let new = Mode::from_raw_mode(0o644);
        let root = &self.plain;
        Ok(match op {
            Op::Open { path, how, slot } => {
                self.plain_slots[*slot] = None;
                self.plain_slots[*slot] = Some(openat(root, path.as_str(), flags_of(how), new)?);
                Seen::Done
            }
            Op::Close { slot } => {
                self.plain_slots[*slot] = None;
                Seen::Done
            }
            Op::Read { slot: s, offset, bytes } => match slot(s) {
                Some(file) => {
                    let mut buffer = vec![0; *bytes as usize];
                    let read = pread(file, &mut buffer, *offset)?;
                    buffer.truncate(read);
                    Seen::Bytes(buffer)
                }
                None => Seen::NoSlot,
            },
            Op::Write { slot: s, offset, bytes } => match slot(s) {
                Some(file) => pwrite(file, bytes, *offset).map(|_| Seen::Done)?,
                None => Seen::NoSlot,
            },
            Op::Append { slot: s, bytes } => match slot(s) {
                Some(file) => {
                    let end = rustix::fs::fstat(file)?.st_size as u64;
                    pwrite(file, bytes, end).map(|_| Seen::Done)?
                }
                None => Seen::NoSlot,
            },
            Op::SetSize { slot: s, bytes } => match slot(s) {
                Some(file) => rustix::fs::ftruncate(file, *bytes).map(|()| Seen::Done)?,
                None => Seen::NoSlot,
            },
            Op::StatSlot { slot: s } => match slot(s) {
                Some(file) => stat_seen(&rustix::fs::fstat(file)?),
                None => Seen::NoSlot,
            },
            Op::Put { path, bytes } => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
                pwrite(openat(root, path.as_str(), flags, new)?, bytes, 0).map(|_| Seen::Done)?
            }
            Op::Get { path } => {
                let file = openat(root, path.as_str(), OFlags::RDONLY, Mode::empty())?;
                let mut buffer = vec![0; 1 << 16];
                let read = pread(file, &mut buffer, 0)?;
                buffer.truncate(read);
                Seen::Bytes(buffer)
            }
            Op::Stat { path, follow } => {
                let flags = if *follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
                stat_seen(&rustix::fs::statat(root, path.as_str(), flags)?)
            }
            Op::List { path } => {
                let directory = openat(root, path.as_str(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
                let mut names = Vec::new();
                for entry in rustix::fs::Dir::new(directory)? {
                    let entry = entry?;
                    let name = entry.file_name().to_str().unwrap().to_owned();
                    if name != "." && name != ".." {
                        names.push((name, kind_of(entry.file_type())));
                    }
                }
                names.sort_by(|a, b| a.0.cmp(&b.0));
                Seen::Names(names)
            }
            Op::MakeDirectory { path } => {
                mkdirat(root, path.as_str(), Mode::from_raw_mode(0o755)).map(|()| Seen::Done)?
            }
            Op::RemoveDirectory { path } => unlinkat(root, path.as_str(), AtFlags::REMOVEDIR).map(|()| Seen::Done)?,
            Op::Unlink { path } => unlinkat(root, path.as_str(), AtFlags::empty()).map(|()| Seen::Done)?,
            Op::Rename { from, to } => renameat(root, from.as_str(), root, to.as_str()).map(|()| Seen::Done)?,
            Op::ReadLink { path } => Seen::Text(readlinkat(root, path.as_str(), Vec::new())?.into_string().unwrap()),
        })
    }
}

fn flags_of(how: &OpenHow) -> OFlags {
    let mut flags = match (how.read, how.write) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        _ => OFlags::RDONLY,
    };
    for (set, flag) in [
        (how.create, OFlags::CREATE),
        (how.exclusive && how.create, OFlags::EXCL),
        (how.truncate, OFlags::TRUNC),
        (how.directory, OFlags::DIRECTORY),
        (!how.follow, OFlags::NOFOLLOW),
    ] {
        if set {
            flags |= flag;
        }
    }
    flags
}

fn kind_of(file_type: rustix::fs::FileType) -> Kind {
    match file_type {
        rustix::fs::FileType::RegularFile => Kind::File,
        rustix::fs::FileType::Directory => Kind::Directory,
        rustix::fs::FileType::Symlink => Kind::Symlink,
        other => panic!("{other:?}"),
    }
}

fn stat_seen(stat: &rustix::fs::Stat) -> Seen {
    let kind = kind_of(rustix::fs::FileType::from_raw_mode(stat.st_mode));
    Seen::Stat(kind, if kind == Kind::Directory { 0 } else { stat.st_size as u64 })
}

/// The code that a layer gives where Linux gives this errno.
pub(crate) fn expected(errno: Errno) -> ErrorCode {
    match errno {
        Errno::EXIST => ErrorCode::Exist,
        Errno::NOTEMPTY => ErrorCode::NotEmpty,
        Errno::BUSY => ErrorCode::Busy,
        Errno::BADF => ErrorCode::BadDescriptor,
        other => crate::filesystem::base::code(other),
    }
}

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("a"), 4 => Just("b"), 3 => Just("c"), 1 => Just("Übung"), 1 => Just("l0"), 1 => Just("l1")]
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0u8..4, 0..20)
}

/// A path of one to three names; at most one `..`, and never first, so that it stays inside.
fn path() -> impl Strategy<Value = String> {
    let odd = prop_oneof![20 => Just(""), 1 => Just("/"), 1 => Just("/."), 1 => Just("/..")];
    (prop::collection::vec(name(), 1..4), odd, 0..12u8).prop_map(|(names, odd, dot)| {
        let glue = match dot {
            0 => "/./",
            1 => "//",
            _ => "/",
        };
        format!("{}{odd}", names.join(glue))
    })
}

/// A random tree, links included where wanted.
pub(crate) fn tree(links: bool) -> impl Strategy<Value = Tree> {
    let plain = prop::sample::select(vec!["a", "b", "c", "Übung"]);
    let place = prop::collection::vec(plain, 1..4).prop_map(|names| names.join("/"));
    let item = prop_oneof![
        3 => Just(Item::Directory),
        4 => (content(), prop::bool::weighted(0.3)).prop_map(|(bytes, executable)| Item::File(bytes, executable)),
    ];
    let link = (prop::sample::select(vec!["", "a/", "b/", "a/b/"]), 0..2u8, place.clone());
    (prop::collection::vec((place, item), 0..14), prop::collection::vec(link, 0..3)).prop_map(move |(items, found)| {
        let mut tree: Tree = items.into_iter().collect();
        if links {
            tree.extend(found.into_iter().map(|(at, number, to)| (format!("{at}l{number}"), Item::Link(to))));
        }
        tree
    })
}

fn how() -> impl Strategy<Value = OpenHow> {
    (
        any::<[bool; 3]>(),
        prop::bool::weighted(0.4),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.1),
    )
        .prop_map(|([read, write, follow], create, exclusive, truncate, directory)| OpenHow {
            read: read || !write,
            write,
            create,
            exclusive: exclusive && create,
            truncate: truncate && write,
            // Linux before 6.4 created a file for it.
            directory: directory && !create,
            follow,
        })
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let slot = || 0..SLOTS;
    prop_oneof![
        4 => (path(), how(), slot()).prop_map(|(path, how, slot)| Op::Open { path, how, slot }),
        1 => slot().prop_map(|slot| Op::Close { slot }),
        3 => (slot(), 0..40u64, 0..40u64).prop_map(|(slot, offset, bytes)| Op::Read { slot, offset, bytes }),
        3 => (slot(), 0..30u64, content()).prop_map(|(slot, offset, bytes)| Op::Write { slot, offset, bytes }),
        2 => (slot(), content()).prop_map(|(slot, bytes)| Op::Append { slot, bytes }),
        2 => (slot(), 0..30u64).prop_map(|(slot, bytes)| Op::SetSize { slot, bytes }),
        2 => slot().prop_map(|slot| Op::StatSlot { slot }),
        6 => (path(), content()).prop_map(|(path, bytes)| Op::Put { path, bytes }),
        4 => path().prop_map(|path| Op::Get { path }),
        3 => (path(), any::<bool>()).prop_map(|(path, follow)| Op::Stat { path, follow }),
        3 => path().prop_map(|path| Op::List { path }),
        4 => path().prop_map(|path| Op::MakeDirectory { path }),
        4 => path().prop_map(|path| Op::RemoveDirectory { path }),
        5 => path().prop_map(|path| Op::Unlink { path }),
        7 => (path(), path()).prop_map(|(from, to)| Op::Rename { from, to }),
        1 => path().prop_map(|path| Op::ReadLink { path }),
    ]
}
