//! From a guest's path to a place in the merged view.
//!
//! Promise: the path of a result has no symbolic link in it and lies in the directory it was resolved
//! from; `..` is taken here, never by the kernel. Links are followed at most [`SYMLINK_HOPS_MAX`] times;
//! a link or `..` that leads out of that directory, and an absolute link, is refused.
//!
//! Symbolic links exist only in the workspace: guests can neither create nor change them.

use super::base::{Meta, code};
use super::bindings::ErrorCode;
use super::descriptors::HeldFile;
use super::handle::Kind;
use super::limits::{NAME_BYTES_MAX, PATH_BYTES_MAX, SYMLINK_HOPS_MAX};
use super::path::{GuestPath, is_hidden, is_plain, join, split};
use super::tree::{Body, Found, NodeId, Place, State};
use rustix::io::Errno;
use std::collections::VecDeque;

/// What happens to a symbolic link at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Follow {
    /// It is followed.
    Always,
    /// It is followed where the path ends in a slash.
    BeforeSlash,
    /// It is never followed; with a slash after it, it is not a directory.
    Never,
}

/// What a path names.
#[derive(Debug)]
pub(super) enum Target {
    /// A directory, named by `.` or `..` and not by its own name.
    Itself(Place),
    /// A name in a directory.
    Entry(Entry),
}

/// A name in a directory, and what it stands for.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) parent: Place,
    pub(super) name: String,
    pub(super) found: Found,
    /// The path ended in a slash.
    pub(super) directory: bool,
}

impl Entry {
    /// Its path.
    pub(super) fn path(&self) -> String {
        join(&self.parent.path, &self.name)
    }
}

/// What the quick way found.
pub(super) enum Quick<T> {
    Found(String, T),
    Failed(ErrorCode),
    /// There may be links or changes on the way: look name by name.
    Unclear,
}

impl State {
    /// What is found where a name stands.
    pub(super) fn kind_of(&self, found: &Found) -> Option<Kind> {
        match found {
            Found::Missing => None,
            Found::Base(meta) => Some(meta.kind),
            Found::Node(id) => match self.node(*id).body {
                Body::Directory(_) => Some(Kind::Directory),
                Body::File(_) => Some(Kind::File),
                Body::Free => None,
            },
        }
    }

    /// Resolves a path from an open directory.
    pub(super) fn resolve(&self, start: NodeId, path: &str, follow: Follow) -> Result<Target, ErrorCode> {
        let guest = GuestPath::new(path)?;
        let mut at = self.place_of(start)?;
        let floor = at.path.clone();
        let mut directory = guest.directory;
        let mut pending: VecDeque<String> = guest.parts().map(str::to_owned).collect();
        let mut hops = 0;
        let mut may_jump = true;
        while let Some(name) = pending.pop_front() {
            if name == "." {
                continue;
            }
            if name == ".." {
                if at.path == floor {
                    return Err(ErrorCode::NotPermitted);
                }
                let above = split(&at.path).map_or("", |(parent, _)| parent).to_owned();
                at = self.place_at(&above);
                continue;
            }
            if name.len() > NAME_BYTES_MAX {
                return Err(ErrorCode::NameTooLong);
            }
            if may_jump && !pending.is_empty() && !is_hidden(&name) {
                may_jump = false;
                if let Some((there, last)) = self.jump(&at, &name, &pending)? {
                    at = there;
                    pending.clear();
                    pending.push_back(last);
                    continue;
                }
            }
            let found = if is_hidden(&name) { Found::Missing } else { self.child(&at, &name)? };
            let is_last = pending.is_empty();
            match self.kind_of(&found) {
                Some(Kind::Symlink) => {
                    let stays = match follow {
                        Follow::Always => false,
                        Follow::BeforeSlash => !directory,
                        Follow::Never if is_last && directory => return Err(ErrorCode::NotDirectory),
                        Follow::Never => true,
                    };
                    if is_last && stays {
                        return Ok(Target::Entry(Entry { parent: at, name, found, directory }));
                    }
                    hops += 1;
                    directory |= self.expand(&at, &name, hops, &mut pending)? && is_last;
                    may_jump = true;
                }
                None if !is_last => return Err(ErrorCode::NoEntry),
                Some(Kind::Directory) if !is_last => {
                    let node = if let Found::Node(id) = found { Some(id) } else { None };
                    at = Place { path: join(&at.path, &name), node };
                }
                Some(kind) if kind != Kind::Directory && (!is_last || directory) => {
                    return Err(ErrorCode::NotDirectory);
                }
                _ => return Ok(Target::Entry(Entry { parent: at, name, found, directory })),
            }
        }
        Ok(Target::Itself(at))
    }

    /// Where all that is left of a path lies in the workspace: its last directory, in one step.
    fn jump(&self, at: &Place, name: &str, pending: &VecDeque<String>) -> Result<Option<(Place, String)>, ErrorCode> {
        let Some(base) = &self.base else { return Ok(None) };
        let Some(last) = pending.back() else { return Ok(None) };
        if self.upper(at, name)?.is_some() || !pending.iter().all(|part| is_plain(part)) {
            return Ok(None);
        }
        let mut path = join(&at.path, name);
        for part in pending.iter().take(pending.len() - 1) {
            path.push('/');
            path.push_str(part);
        }
        match base.peek(&path) {
            Ok(Meta { kind: Kind::Directory, .. }) => Ok(Some((Place { path, node: None }, last.clone()))),
            _ => Ok(None),
        }
    }

    /// Puts a link's target before what is left of the path; says whether it must be a directory.
    fn expand(&self, at: &Place, name: &str, hops: u32, pending: &mut VecDeque<String>) -> Result<bool, ErrorCode> {
        if hops > SYMLINK_HOPS_MAX {
            return Err(ErrorCode::Loop);
        }
        let base = self.base.as_ref().ok_or(ErrorCode::NoEntry)?;
        let text = base.read_link(&join(&at.path, name))?;
        let target = GuestPath::new(&text)?;
        let parts: Vec<&str> = target.parts().collect();
        let left: usize = pending.iter().map(|part| part.len() + 1).sum();
        if text.len() + left > PATH_BYTES_MAX {
            return Err(ErrorCode::NameTooLong);
        }
        for part in parts.into_iter().rev() {
            pending.push_front(part.to_owned());
        }
        Ok(target.directory)
    }

    /// A path that lies in the workspace from here on down, without `..` and the like; else nothing.
    fn untouched(&self, start: NodeId, path: &str) -> Option<String> {
        let guest = GuestPath::new(path).ok()?;
        if guest.directory || !guest.is_plain() || self.base.is_none() {
            return None;
        }
        let mut at = self.place_of(start).ok()?;
        let mut in_base = false;
        for part in guest.parts() {
            if !in_base {
                match self.upper(&at, part).ok()? {
                    None => in_base = true,
                    Some(Found::Node(id)) => at.node = Some(id),
                    Some(_) => return None,
                }
            }
            at.path = join(&at.path, part);
        }
        in_base.then_some(at.path)
    }

    /// Opens for reading what nobody changed, in one step.
    pub(super) fn quick_open(&self, start: NodeId, path: &str) -> Quick<(HeldFile, Meta)> {
        let (Some(full), Some(base)) = (self.untouched(start, path), &self.base) else { return Quick::Unclear };
        match base.open_held(&full) {
            Ok(opened) => Quick::Found(full, opened),
            Err(Errno::LOOP | Errno::NOTDIR) => Quick::Unclear,
            Err(errno) => Quick::Failed(code(errno)),
        }
    }

    /// Looks at what nobody changed, in one step.
    pub(super) fn quick_peek(&self, start: NodeId, path: &str, follow: Follow) -> Quick<Meta> {
        let (Some(full), Some(base)) = (self.untouched(start, path), &self.base) else { return Quick::Unclear };
        match base.peek(&full) {
            Ok(meta) if meta.kind == Kind::Symlink && follow == Follow::Always => Quick::Unclear,
            Ok(meta) => Quick::Found(full, meta),
            Err(Errno::LOOP | Errno::NOTDIR) => Quick::Unclear,
            Err(errno) => Quick::Failed(code(errno)),
        }
    }
}
