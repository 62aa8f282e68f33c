//! The upper layer: what a call opened or changed, as a tree of nodes above the workspace.
//!
//! Promise: a name that has no node and no tombstone is what the workspace has there. A node lives while
//! it is open or differs from the workspace, so that memory follows what a call holds and changes, and not
//! what it looked at. A node's place in the tree is its path in the workspace: whatever is moved is copied up
//! first, so nothing in the tree refers to another place of the workspace than its own.
//!
//! Not here: opening (`handle.rs`), recording what was there before (`before.rs`).

use super::base::{Base, Meta, code};
use super::before::Before;
use super::bindings::ErrorCode;
use super::descriptors::HeldFile;
use super::limits::{Crossed, LayerLimits, REFUSED_DIRECTORIES_MAX};
use super::path::join;
use harness_core::outcome::LimitName;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the clock of staged files starts unless the host sets it: 1980-01-01, the first time that a ZIP
/// archive can hold. Nanoseconds since the Unix epoch.
const CLOCK_START_NS: u64 = 315_532_800 * 1_000_000_000;
/// How far the clock of staged files moves with each change.
const CLOCK_STEP_NS: u64 = 1_000_000;

/// A node's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(usize);

/// The workspace's own directory.
pub(super) const ROOT: NodeId = NodeId(0);

/// A file or directory that is open or changed.
#[derive(Debug)]
pub(super) struct Node {
    /// The directory it is in; nothing for the root and for what was removed while open.
    pub(super) parent: Option<NodeId>,
    pub(super) name: Box<str>,
    /// Handles that hold it.
    pub(super) opens: u32,
    /// It differs from the workspace, or may.
    pub(super) pinned: bool,
    pub(super) body: Body,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Body {
    /// Nothing: its number is free.
    Free,
    Directory(Directory),
    File(File),
}

/// A directory of the upper layer.
#[derive(Debug)]
pub(super) struct Directory {
    /// Names that are not here are looked up in the workspace.
    pub(super) merged: bool,
    pub(super) names: BTreeMap<Box<str>, Slot>,
}

/// What a directory says of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Node(NodeId),
    /// Deleted here, still in the workspace.
    Gone,
}

/// A file of the upper layer.
#[derive(Debug)]
pub(super) struct File {
    pub(super) content: Content,
    pub(super) executable: bool,
    /// Nanoseconds since the Unix epoch.
    pub(super) modified_ns: u64,
}

/// Where a file's content is.
#[derive(Debug)]
pub(super) enum Content {
    /// In the workspace, as opened.
    Base { file: HeldFile, meta: Meta },
    /// Copied up and not changed.
    Image(Arc<[u8]>),
    /// The call's own.
    Staged(Vec<u8>),
}

/// A position in the merged view: a directory's path, and its node if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) node: Option<NodeId>,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found {
    Node(NodeId),
    /// In the workspace, without a node.
    Base(Meta),
    Missing,
}

/// Everything of one layer. Behind one lock: a call runs on one thread.
#[derive(Debug)]
pub(super) struct State {
    pub(super) base: Option<Arc<Base>>,
    pub(super) limits: LayerLimits,
    nodes: Vec<Node>,
    free: Vec<NodeId>,
    /// Each path that was changed, with what stood there when it was first changed.
    pub(super) touched: BTreeMap<String, Before>,
    /// Files that were read, and their state then: hash of the path to stamp.
    pub(super) seen: HashMap<u64, u64>,
    /// Paths that became another between being read and being changed.
    pub(super) stale: BTreeSet<String>,
    pub(super) staged_bytes: u64,
    /// The same over all layers of the call.
    pub(super) call_bytes: Arc<AtomicU64>,
    /// Directories in which a change was refused because they may only be read.
    pub(super) refused_in: BTreeSet<String>,
    pub(super) before_bytes: u64,
    pub(super) handles: u64,
    /// Bytes of all directory listings that guests still read.
    pub(super) listed_bytes: u64,
    pub(super) crossed: Option<Crossed>,
    clock_ns: u64,
}

impl State {
    pub(super) fn new(base: Option<Arc<Base>>, limits: LayerLimits) -> Self {
        let body = Body::Directory(Directory { merged: base.is_some(), names: BTreeMap::new() });
        Self {
            base,
            limits,
            nodes: vec![Node { parent: None, name: "".into(), opens: 0, pinned: true, body }],
            free: Vec::new(),
            touched: BTreeMap::new(),
            seen: HashMap::new(),
            stale: BTreeSet::new(),
            staged_bytes: 0,
            call_bytes: Arc::default(),
            refused_in: BTreeSet::new(),
            before_bytes: 0,
            handles: 0,
            listed_bytes: 0,
            crossed: None,
            clock_ns: CLOCK_START_NS,
        }
    }

    pub(super) fn set_clock(&mut self, start_ns: u64) {
        self.clock_ns = start_ns;
    }

    /// The time of the next change.
    pub(super) fn tick(&mut self) -> u64 {
        self.clock_ns = self.clock_ns.saturating_add(CLOCK_STEP_NS);
        self.clock_ns
    }

    /// Remembers the first limit that was crossed.
    pub(super) fn cross(&mut self, limit: LimitName, maximum: u64) -> ErrorCode {
        self.crossed.get_or_insert((limit, maximum));
        match limit {
            LimitName::OpenHandles | LimitName::HostBytes => ErrorCode::InsufficientMemory,
            _ => ErrorCode::InsufficientSpace,
        }
    }

    /// Takes or gives back room for staged contents.
    pub(super) fn resize(&mut self, from: u64, to: u64) -> Result<(), ErrorCode> {
        let wanted = (self.staged_bytes.saturating_sub(from)).saturating_add(to);
        let others = self.call_bytes.load(Ordering::Relaxed).saturating_sub(self.staged_bytes);
        if to > from && wanted.saturating_add(others) > self.limits.staged_bytes {
            return Err(self.cross(LimitName::StagedBytes, self.limits.staged_bytes));
        }
        self.set_staged_bytes(wanted);
        Ok(())
    }

    fn set_staged_bytes(&mut self, bytes: u64) {
        let others = self.call_bytes.load(Ordering::Relaxed).saturating_sub(self.staged_bytes);
        self.call_bytes.store(others.saturating_add(bytes), Ordering::Relaxed);
        self.staged_bytes = bytes;
    }

    /// Remembers where a change was refused.
    pub(super) fn refuse_change(&mut self, directory: NodeId) {
        if self.refused_in.len() < REFUSED_DIRECTORIES_MAX
            && let Some(path) = self.path_of(directory)
        {
            self.refused_in.insert(path);
        }
    }

    /// A node. A number that outlived its layer stands for what takes its place: the empty root.
    pub(super) fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(id.0).unwrap_or(&self.nodes[ROOT.0])
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        let index = if id.0 < self.nodes.len() { id.0 } else { ROOT.0 };
        &mut self.nodes[index]
    }

    pub(super) fn directory(&self, id: NodeId) -> Result<&Directory, ErrorCode> {
        match &self.node(id).body {
            Body::Directory(directory) => Ok(directory),
            Body::File(_) => Err(ErrorCode::NotDirectory),
            Body::Free => Err(ErrorCode::BadDescriptor),
        }
    }

    pub(super) fn directory_mut(&mut self, id: NodeId) -> Result<&mut Directory, ErrorCode> {
        match &mut self.node_mut(id).body {
            Body::Directory(directory) => Ok(directory),
            Body::File(_) => Err(ErrorCode::NotDirectory),
            Body::Free => Err(ErrorCode::BadDescriptor),
        }
    }

    pub(super) fn file(&self, id: NodeId) -> Result<&File, ErrorCode> {
        match &self.node(id).body {
            Body::File(file) => Ok(file),
            Body::Directory(_) => Err(ErrorCode::IsDirectory),
            Body::Free => Err(ErrorCode::BadDescriptor),
        }
    }

    pub(super) fn file_mut(&mut self, id: NodeId) -> Result<&mut File, ErrorCode> {
        match &mut self.node_mut(id).body {
            Body::File(file) => Ok(file),
            Body::Directory(_) => Err(ErrorCode::IsDirectory),
            Body::Free => Err(ErrorCode::BadDescriptor),
        }
    }

    /// A node's path; nothing if it was removed.
    pub(super) fn path_of(&self, id: NodeId) -> Option<String> {
        let mut names = Vec::new();
        let mut at = id;
        while at != ROOT {
            let node = self.node(at);
            names.push(&*node.name);
            at = node.parent?;
        }
        names.reverse();
        Some(names.join("/"))
    }

    /// A node's position, if it is a directory that still has one.
    pub(super) fn place_of(&self, id: NodeId) -> Result<Place, ErrorCode> {
        self.directory(id)?;
        let path = self.path_of(id).ok_or(ErrorCode::NoEntry)?;
        Ok(Place { path, node: Some(id) })
    }

    /// The position of a path that is known to be a directory.
    pub(super) fn place_at(&self, path: &str) -> Place {
        let mut node = Some(ROOT);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            node = node.and_then(|id| match self.directory(id).ok()?.names.get(name)? {
                Slot::Node(next) => Some(*next),
                Slot::Gone => None,
            });
        }
        Place { path: path.to_owned(), node }
    }

    /// What a directory of the upper layer says of a name: a node, nothing, or "ask the workspace".
    pub(super) fn upper(&self, place: &Place, name: &str) -> Result<Option<Found>, ErrorCode> {
        let Some(id) = place.node else { return Ok(None) };
        let directory = self.directory(id)?;
        Ok(match directory.names.get(name) {
            Some(Slot::Node(child)) => Some(Found::Node(*child)),
            Some(Slot::Gone) => Some(Found::Missing),
            None if directory.merged => None,
            None => Some(Found::Missing),
        })
    }

    /// What a name in a directory stands for.
    pub(super) fn child(&self, place: &Place, name: &str) -> Result<Found, ErrorCode> {
        if let Some(found) = self.upper(place, name)? {
            return Ok(found);
        }
        let Some(base) = &self.base else { return Ok(Found::Missing) };
        match base.peek(&join(&place.path, name)) {
            Ok(meta) => Ok(Found::Base(meta)),
            Err(rustix::io::Errno::NOENT) => Ok(Found::Missing),
            Err(errno) => Err(code(errno)),
        }
    }

    /// A new node under a directory that has a node; the directory does not name it yet.
    pub(super) fn add(&mut self, parent: NodeId, name: &str, pinned: bool, body: Body) -> NodeId {
        let node = Node { parent: Some(parent), name: name.into(), opens: 0, pinned, body };
        if let Some(id) = self.free.pop() {
            self.nodes[id.0] = node;
            return id;
        }
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    /// Adds a node and lets its directory name it.
    pub(super) fn insert(&mut self, parent: NodeId, name: &str, pinned: bool, body: Body) -> Result<NodeId, ErrorCode> {
        let id = self.add(parent, name, pinned, body);
        self.directory_mut(parent)?.names.insert(name.into(), Slot::Node(id));
        Ok(id)
    }

    /// The node of a directory that exists at this position; made if there is none.
    pub(super) fn materialise(&mut self, place: &Place) -> Result<NodeId, ErrorCode> {
        if let Some(id) = place.node {
            return Ok(id);
        }
        let mut at = ROOT;
        for name in place.path.split('/').filter(|name| !name.is_empty()) {
            at = match self.directory(at)?.names.get(name) {
                Some(Slot::Node(next)) => *next,
                Some(Slot::Gone) => return Err(ErrorCode::NoEntry),
                None => {
                    let body = Body::Directory(Directory { merged: true, names: BTreeMap::new() });
                    self.insert(at, name, false, body)?
                }
            };
        }
        Ok(at)
    }

    /// Frees a node that nobody holds and that says nothing, and then those above it.
    pub(super) fn collect(&mut self, id: NodeId) {
        let mut at = id;
        while at != ROOT {
            let node = self.node(at);
            let says_something = match &node.body {
                Body::Directory(directory) => !directory.names.is_empty(),
                Body::File(_) | Body::Free => false,
            };
            let attached = node.parent.is_some();
            if node.opens > 0 || (attached && (node.pinned || says_something)) || matches!(node.body, Body::Free) {
                return;
            }
            let parent = node.parent;
            let name = std::mem::take(&mut self.node_mut(at).name);
            if let Some(parent) = parent
                && let Ok(directory) = self.directory_mut(parent)
            {
                directory.names.remove(&name);
            }
            self.discard(at);
            match parent {
                Some(parent) => at = parent,
                None => return,
            }
        }
    }

    /// Frees a node's number and the room its content took.
    fn discard(&mut self, id: NodeId) {
        let body = std::mem::replace(&mut self.node_mut(id).body, Body::Free);
        if let Body::File(File { content: Content::Staged(bytes), .. }) = body {
            self.set_staged_bytes(self.staged_bytes.saturating_sub(bytes.len() as u64));
        }
        self.node_mut(id).parent = None;
        self.free.push(id);
    }

    /// One handle less holds a node.
    pub(super) fn let_go(&mut self, id: NodeId) {
        // The number may be unknown: the layer was finished and this is what stands in its place.
        let Some(node) = self.nodes.get_mut(id.0) else { return };
        node.opens = node.opens.saturating_sub(1);
        self.collect(id);
    }

    /// Takes a node out of the tree: it lives on only as long as somebody holds it.
    pub(super) fn detach(&mut self, id: NodeId) {
        self.node_mut(id).parent = None;
        self.collect(id);
    }
}
