//! The folders that one call is lent: preopens over its layers, as the capabilities in force say.
//!
//! Promise: nothing granted is no folder; what may only be read is never changed through any folder; what lies in
//! `/scratch` is the call's own, counts as staged and is gone when it ends.
//!
//! Not here: what a layer does (`filesystem`).

use crate::call::WORKSPACE_PREOPEN;
use crate::filesystem::{Access, Base, Crossed, FilesystemCtx, FinishError, Layer, LayerLimits, Preopen, Staged};
use crate::limits::CallLimits;
use crate::tools::Component;
use harness_core::grant::{AccessKind, Capability};
use std::sync::Arc;

/// Where a guest finds an empty folder of its own.
const SCRATCH_PREOPEN: &str = "/scratch";

/// The folders of one call.
pub(crate) struct Folders {
    layer: Layer,
    scratch: Option<Layer>,
    /// As the guest sees them, none of them covered by another one.
    granted: Vec<(String, AccessKind)>,
}

impl Folders {
    /// The folders of these capabilities.
    pub(crate) fn lend(capabilities: &[Capability], base: &Arc<Base>, limits: &CallLimits) -> Self {
        let layer_limits = LayerLimits {
            staged_bytes: limits.staged_bytes,
            staged_files: limits.staged_files,
            open_handles: limits.open_handles,
            ..LayerLimits::default()
        };
        let granted = uncovered(capabilities);
        let layer = Layer::new(base.clone(), layer_limits);
        let wants_scratch = granted.iter().any(|(path, _)| below(path, SCRATCH_PREOPEN).is_some());
        let scratch = wants_scratch.then(|| layer.scratch_beside(layer_limits));
        let folders = Self { layer, scratch, granted };
        folders.make_scratch();
        folders
    }

    /// Makes the folders inside the scratch folder that were granted by name. What does not fit its limits is not
    /// there.
    fn make_scratch(&self) {
        let Some(root) = self.scratch.as_ref().and_then(|scratch| scratch.root(Access::Staged).ok()) else { return };
        for folder in self.granted.iter().filter_map(|(path, _)| below(path, SCRATCH_PREOPEN)) {
            for (end, _) in folder.match_indices('/').chain([(folder.len(), "")]) {
                let _ = folder.get(..end).filter(|it| !it.is_empty()).map(|it| root.create_directory_at(it));
            }
        }
    }

    /// The preopens.
    pub(crate) fn preopened(&self) -> FilesystemCtx {
        let preopen = |(path, access): &(String, AccessKind)| {
            let access = match access {
                AccessKind::Read => Access::ReadOnly,
                AccessKind::Write => Access::Staged,
            };
            if let Some(folder) = below(path, WORKSPACE_PREOPEN) {
                return Some(Preopen::of_folder(path, &self.layer, folder, access));
            }
            let folder = below(path, SCRATCH_PREOPEN)?;
            self.scratch.as_ref().map(|scratch| Preopen::of_folder(path, scratch, folder, access))
        };
        FilesystemCtx { preopens: self.granted.iter().filter_map(preopen).collect(), ..FilesystemCtx::default() }
    }

    /// The first limit that was crossed.
    pub(crate) fn crossed(&self) -> Option<Crossed> {
        self.layer.crossed().or_else(|| self.scratch.as_ref()?.crossed())
    }

    /// What would have allowed the changes that were refused.
    pub(crate) fn refused(&self) -> Vec<Capability> {
        let of_layer = |layer: &Layer, root: &str| -> Vec<Capability> {
            let folders = layer.refused_in();
            let granted = |folder: &String| {
                let path = if folder.is_empty() { root.to_owned() } else { format!("{root}/{folder}") };
                // The guest's libc takes the longest that fits.
                let fits = |(granted, _): &&(String, AccessKind)| below(&path, granted).is_some();
                self.granted.iter().filter(fits).max_by_key(|(granted, _)| granted.len()).map(|(granted, _)| granted)
            };
            let mut paths: Vec<&String> = folders.iter().filter_map(granted).collect();
            paths.dedup();
            let write = |path: &String| Capability::Filesystem { access: AccessKind::Write, path: path.clone() };
            paths.into_iter().map(write).collect()
        };
        let mut refused = of_layer(&self.layer, WORKSPACE_PREOPEN);
        if let Some(scratch) = &self.scratch {
            refused.extend(of_layer(scratch, SCRATCH_PREOPEN));
        }
        refused
    }

    /// The folder that a component asks for or usually works in, where it was given none.
    pub(crate) fn missing(&self, component: &Component) -> Option<Capability> {
        if !self.granted.is_empty() {
            return None;
        }
        let is_folder = |capability: &&Capability| matches!(capability, Capability::Filesystem { .. });
        if component.has_manifest() {
            return component.ceiling().iter().find(is_folder).cloned();
        }
        Some(Capability::Filesystem { access: AccessKind::Read, path: WORKSPACE_PREOPEN.to_owned() })
    }

    /// Ends the call: what it changed in the workspace.
    pub(crate) fn finish(self) -> Result<Staged, FinishError> {
        self.layer.finish()
    }
}

/// The folders that no other capability covers, sorted by their paths.
fn uncovered(capabilities: &[Capability]) -> Vec<(String, AccessKind)> {
    let folders: Vec<&Capability> =
        capabilities.iter().filter(|capability| matches!(capability, Capability::Filesystem { .. })).collect();
    let mut uncovered = Vec::with_capacity(folders.len());
    for (at, folder) in folders.iter().enumerate() {
        let is_covered = folders
            .iter()
            .enumerate()
            .any(|(other_at, other)| other_at != at && other.covers(folder) && (other != folder || other_at < at));
        if let (Capability::Filesystem { access, path }, false) = (folder, is_covered) {
            uncovered.push((path.clone(), *access));
        }
    }
    uncovered.sort();
    uncovered
}

/// What of a path lies below a folder, without a slash; empty for the folder itself.
fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(folder)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_and_workspace_share_what_may_be_staged() {
        use crate::filesystem::{ErrorCode, OpenHow};
        use harness_core::outcome::LimitName;
        let folder = tempfile::tempdir().unwrap();
        let base = Arc::new(Base::open(folder.path(), &[]).unwrap());
        let granted = ["filesystem write /workspace", "filesystem write /scratch"].map(|text| text.parse().unwrap());
        let folders = Folders::lend(&granted, &base, &CallLimits { staged_bytes: 10, ..CallLimits::DEFAULT });
        let create = OpenHow { write: true, create: true, ..OpenHow::default() };
        let open = |layer: &Layer| layer.root(Access::Staged).unwrap().open_at("a", create).unwrap();
        let (kept, scratch) = (open(&folders.layer), open(folders.scratch.as_ref().unwrap()));
        kept.write_at(b"123456", 0).unwrap();
        scratch.write_at(b"1234", 0).unwrap();
        assert_eq!(folders.crossed(), None);
        scratch.set_size(0).unwrap();
        kept.append(b"7890").unwrap();
        assert_eq!(scratch.append(b"1").unwrap_err(), ErrorCode::InsufficientSpace);
        assert_eq!(folders.crossed(), Some((LimitName::StagedBytes, 10)));
    }

    #[test]
    fn what_another_covers_is_no_folder_of_its_own() {
        let capabilities = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Capability>>();
        let table: [(&[&str], &[&str]); 5] = [
            (&[], &[]),
            (&["filesystem write /workspace", "filesystem read /workspace/a"], &["w /workspace"]),
            (&["filesystem read /workspace", "filesystem write /workspace/a"], &["r /workspace", "w /workspace/a"]),
            (&["filesystem read /scratch", "filesystem read /scratch", "question"], &["r /scratch"]),
            (
                &["filesystem write /workspace/ab", "filesystem write /workspace/a"],
                &["w /workspace/a", "w /workspace/ab"],
            ),
        ];
        for (granted, expected) in table {
            let found: Vec<String> = uncovered(&capabilities(granted))
                .into_iter()
                .map(|(path, access)| format!("{} {path}", &access.word()[..1]))
                .collect();
            assert_eq!(found, expected, "{granted:?}");
        }
    }
}
