//! Moving files and directories.
//!
//! Promise: a move succeeds wholly or changes nothing. What is moved is copied up first, so that the manifest
//! has the content of both places; a directory that is too large for that is refused with the limit named,
//! one that holds links, special files or names that guests do not see, with `not-permitted`.

use super::bindings::ErrorCode;
use super::handle::Kind;
use super::limits::PATH_BYTES_MAX;
use super::path::{is_hidden, is_within, join};
use super::resolve::{Entry, Follow, Target};
use super::tree::{Body, Found, NodeId, Place, Slot, State};

/// What a move needs to know of what is moved.
struct Moved {
    node: NodeId,
    /// Paths below a directory, relative to it.
    below: Vec<String>,
    /// The directory and those below it.
    directories: Vec<NodeId>,
}

impl State {
    /// Moves what stands at one path to another.
    pub(super) fn rename(&mut self, from: NodeId, from_path: &str, to: NodeId, to_path: &str) -> Result<(), ErrorCode> {
        let Target::Entry(source) = self.resolve(from, from_path, Follow::Never)? else { return Err(ErrorCode::Busy) };
        let is_directory = match self.kind_of(&source.found) {
            None => return Err(ErrorCode::NoEntry),
            Some(Kind::File) => false,
            Some(Kind::Directory) => true,
            Some(_) => return Err(ErrorCode::NotPermitted),
        };
        let Target::Entry(target) = self.resolve(to, to_path, Follow::Never)? else { return Err(ErrorCode::Busy) };
        let (old, new) = (source.path(), target.path());
        if old == new {
            return Ok(());
        }
        if is_directory && is_within(&new, &old) {
            return Err(ErrorCode::Invalid);
        }
        if is_hidden(&target.name) {
            return Err(ErrorCode::NotPermitted);
        }
        self.check_target(&target, is_directory)?;
        let moved = if is_directory {
            self.own_tree(&source)?
        } else {
            let node = self.own_file(&source.parent, &source.name, &source.found)?;
            Moved { node, below: Vec::new(), directories: Vec::new() }
        };
        let replaced = self.record_target(&target, &new)?;
        for below in &moved.below {
            let path = join(&new, below);
            if path.len() > PATH_BYTES_MAX {
                return Err(ErrorCode::NameTooLong);
            }
            self.touch_nothing(&path)?;
        }
        let target_parent = self.materialise(&target.parent)?;
        let source_parent = self.node(moved.node).parent.ok_or(ErrorCode::NoEntry)?;
        self.forget_name(source_parent, &source.name)?;
        for below in &moved.below {
            self.untouch(&join(&old, below));
        }
        self.attach(&moved, target_parent, &target.name)?;
        if let Some(id) = replaced {
            self.detach(id);
        }
        self.collect(source_parent);
        Ok(())
    }

    /// Whether what stands at the target may be replaced.
    fn check_target(&mut self, target: &Entry, is_directory: bool) -> Result<(), ErrorCode> {
        match (self.kind_of(&target.found), is_directory) {
            (None, false) if target.directory => Err(ErrorCode::NotDirectory),
            (None, _) | (Some(Kind::File), false) => Ok(()),
            (Some(Kind::File), true) => Err(ErrorCode::NotDirectory),
            (Some(Kind::Directory), false) => Err(ErrorCode::IsDirectory),
            (Some(Kind::Directory), true) => {
                let node = if let Found::Node(id) = target.found { Some(id) } else { None };
                let place = Place { path: target.path(), node };
                if self.is_empty(&place)? { Ok(()) } else { Err(ErrorCode::NotEmpty) }
            }
            (Some(_), _) => Err(ErrorCode::NotPermitted),
        }
    }

    /// Records what stands at the target, and gives its node.
    fn record_target(&mut self, target: &Entry, path: &str) -> Result<Option<NodeId>, ErrorCode> {
        if path.len() > PATH_BYTES_MAX {
            return Err(ErrorCode::NameTooLong);
        }
        match self.kind_of(&target.found) {
            None => self.touch_nothing(path).map(|()| None),
            Some(Kind::Directory) => {
                self.touch_directory(path)?;
                Ok(if let Found::Node(id) = target.found { Some(id) } else { None })
            }
            Some(_) => self.own_file(&target.parent, &target.name, &target.found).map(Some),
        }
    }

    /// Copies up a directory with all that is in it.
    fn own_tree(&mut self, source: &Entry) -> Result<Moved, ErrorCode> {
        let root = source.path();
        let node = if let Found::Node(id) = source.found { Some(id) } else { None };
        let top = self.materialise(&Place { path: root.clone(), node })?;
        let mut moved = Moved { node: top, below: Vec::new(), directories: Vec::new() };
        let mut waiting = vec![(top, String::new())];
        while let Some((id, relative)) = waiting.pop() {
            let place =
                Place { path: if relative.is_empty() { root.clone() } else { join(&root, &relative) }, node: Some(id) };
            self.touch_directory(&place.path)?;
            moved.directories.push(id);
            let listing = self.list(&place)?;
            if listing.has_hidden {
                return Err(ErrorCode::NotPermitted);
            }
            for (name, kind) in listing.entries {
                let below = join(&relative, &name);
                match kind {
                    Kind::Directory => {
                        let node = match self.child(&place, &name)? {
                            Found::Node(child) => child,
                            Found::Base(_) => {
                                self.materialise(&Place { path: join(&place.path, &name), node: None })?
                            }
                            Found::Missing => continue,
                        };
                        waiting.push((node, below.clone()));
                    }
                    Kind::File => {
                        let found = self.child(&place, &name)?;
                        self.own_file(&place, &name, &found)?;
                    }
                    _ => return Err(ErrorCode::NotPermitted),
                }
                moved.below.push(below);
            }
        }
        Ok(moved)
    }

    /// Gives what is moved its new place. Nothing here fails for a reason the guest can bring about.
    fn attach(&mut self, moved: &Moved, parent: NodeId, name: &str) -> Result<(), ErrorCode> {
        for &id in &moved.directories {
            let directory = self.directory_mut(id)?;
            directory.merged = false;
            directory.names.retain(|_, slot| *slot != Slot::Gone);
            self.node_mut(id).pinned = true;
        }
        let node = self.node_mut(moved.node);
        node.parent = Some(parent);
        node.name = name.into();
        node.pinned = true;
        if let Body::File(_) = node.body {
            let modified_ns = self.tick();
            self.file_mut(moved.node)?.modified_ns = modified_ns;
        }
        self.directory_mut(parent)?.names.insert(name.into(), Slot::Node(moved.node));
        Ok(())
    }
}
