//! The end of a call: what it changed.
//!
//! Promise: the manifest has exactly the paths whose kind, content or executable bit is another than before
//! the call; a file written with the content it had is not in it. Every content that it names by digest
//! comes with it, before and after. Nothing is read from the workspace here.

use super::before::Before;
use super::limits::LayerLimits;
use super::tree::{Body, Content, Found, Place, ROOT, State};
use harness_core::outcome::LimitName;
use harness_core::{Change, Digest, FileState, Manifest};
use harness_engine::ports::Blob;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a call staged.
#[derive(Debug, Clone, Default)]
pub struct Staged {
    /// What it changed.
    pub manifest: Manifest,
    /// The contents that the manifest names, each once, sorted by digest.
    pub contents: Vec<Blob>,
}

/// Why a call's changes cannot be taken over. Nothing of them is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FinishError {
    /// Files became others between the call's reading and its writing them.
    #[error("{} changed on disk while the call ran: run it again", paths.join(", "))]
    Conflict {
        /// Their paths, sorted.
        paths: Vec<String>,
    },
    /// The call crossed a limit.
    #[error("the call crossed {} = {maximum}: ask for less at once", limit.name())]
    OverLimit {
        /// Which.
        limit: LimitName,
        /// Its value.
        maximum: u64,
    },
}

/// What stands at a path, if anything does, with its content if it is a file.
type After = (Option<FileState>, Option<Arc<[u8]>>);

impl State {
    /// What is left in place of a layer that was finished: nothing can be opened or written.
    pub(super) fn ended(limits: LayerLimits) -> Self {
        Self::new(None, LayerLimits { staged_bytes: 0, staged_files: 0, open_handles: 0, ..limits })
    }

    /// Compares what was touched with what is there now.
    pub(super) fn finish(mut self) -> Result<Staged, FinishError> {
        if let Some((limit, maximum)) = self.crossed {
            return Err(FinishError::OverLimit { limit, maximum });
        }
        let mut changes = Vec::with_capacity(self.touched.len());
        let mut contents: BTreeMap<Digest, Arc<[u8]>> = BTreeMap::new();
        for (path, touched) in std::mem::take(&mut self.touched) {
            let Some((after, content)) = self.after(&path) else { continue };
            let before = touched.state();
            if before == after {
                continue;
            }
            let image = if let Before::File { image, .. } = touched { Some(image) } else { None };
            for (state, bytes) in [(&before, image), (&after, content)] {
                if let (Some((digest, _)), Some(bytes)) = (state.as_ref().and_then(FileState::content), bytes) {
                    contents.entry(digest).or_insert(bytes);
                }
            }
            changes.push(Change { path, before, after });
        }
        let paths: Vec<String> = changes
            .iter()
            .filter(|change| self.stale.contains(&change.path))
            .map(|change| change.path.clone())
            .collect();
        if !paths.is_empty() {
            return Err(FinishError::Conflict { paths });
        }
        let contents = contents.into_iter().map(|(digest, bytes)| Blob { digest, bytes }).collect();
        Ok(Staged { manifest: Manifest::new(changes), contents })
    }

    /// What stands at a path now, with its content; nothing if the call left it to the workspace.
    fn after(&mut self, path: &str) -> Option<After> {
        let mut place = Place { path: String::new(), node: Some(ROOT) };
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            let id = match self.upper(&place, name) {
                Ok(None) => return None,
                Ok(Some(Found::Node(id))) => id,
                // Removed, or above it stands a file now.
                Ok(Some(Found::Missing | Found::Base(_))) | Err(_) => return Some((None, None)),
            };
            if names.peek().is_some() {
                place.node = Some(id);
                continue;
            }
            return match &mut self.node_mut(id).body {
                Body::Directory(_) => Some((Some(FileState::Directory), None)),
                Body::File(file) => {
                    let bytes: Arc<[u8]> = match &mut file.content {
                        Content::Base { .. } => return None,
                        Content::Image(image) => Arc::clone(image),
                        Content::Staged(bytes) => std::mem::take(bytes).into(),
                    };
                    let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
                    let state = FileState::File { digest, bytes: size, executable: file.executable };
                    Some((Some(state), Some(bytes)))
                }
                Body::Free => Some((None, None)),
            };
        }
        None
    }
}
