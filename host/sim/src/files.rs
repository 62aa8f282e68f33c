//! A workspace as tests see it: in memory or a real folder.
//!
//! Not here: links, permissions, empty directories.
#![allow(clippy::expect_used, reason = "a test's own workspace that cannot be read is a failed test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The files of a workspace, by path relative to it.
pub trait Files: Send + Sync + 'static {
    /// The content of a file, if there is one.
    fn read(&self, path: &str) -> Option<Vec<u8>>;
    /// Makes a file have this content; its folders come into being.
    fn write(&self, path: &str, content: &[u8]);
    /// Removes a file, if there is one.
    fn remove(&self, path: &str);
    /// Every file with its content.
    fn all(&self) -> BTreeMap<String, Vec<u8>>;
}

/// Files in memory.
#[derive(Debug, Default)]
pub struct MemoryFiles {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl MemoryFiles {
    /// All files at once, for a change of several that nobody sees half of.
    pub fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.lock().get(path).cloned()
    }

    fn write(&self, path: &str, content: &[u8]) {
        self.lock().insert(path.to_owned(), content.to_vec());
    }

    fn remove(&self, path: &str) {
        self.lock().remove(path);
    }

    fn all(&self) -> BTreeMap<String, Vec<u8>> {
        self.lock().clone()
    }
}

/// The files of a real folder.
#[derive(Debug, Clone)]
pub struct FolderFiles {
    root: PathBuf,
}

impl FolderFiles {
    /// The files under a folder.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }
}

impl Files for FolderFiles {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.root.join(path)).ok()
    }

    fn write(&self, path: &str, content: &[u8]) {
        let path = self.root.join(path);
        let folder = path.parent().expect("a file is in a folder");
        std::fs::create_dir_all(folder).expect("make the folder");
        std::fs::write(path, content).expect("write the file");
    }

    fn remove(&self, path: &str) {
        // Where there is none there is nothing to do.
        let _ = std::fs::remove_file(self.root.join(path));
    }

    fn all(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("list the folder") {
                let path = entry.expect("list the folder").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&self.root).expect("it is inside").to_string_lossy().into_owned();
                    files.insert(name, std::fs::read(&path).expect("read the file"));
                }
            }
        }
        files
    }
}
