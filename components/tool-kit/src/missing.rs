//! What to say when a path does not exist: how far it does exist, and which names there are near it.
//!
//! Promise: costs at most one listing, of a folder that exists, cut at [`LOOKED_AT`] names.

use std::fs;

use crate::{Failure, Workspace, WorkspacePath, text};

/// How many names of a folder are compared with the missing one.
const LOOKED_AT: usize = 2_000;
const SUGGESTED: usize = 3;

/// The failure for `path`, which is not there.
pub fn missing(workspace: &Workspace, path: &WorkspacePath) -> Failure {
    let parts: Vec<&str> = path.parts().collect();
    let mut folder = workspace.root_path();
    let mut at = 0;
    while at < parts.len() {
        let next = folder.join(parts[at]);
        match fs::metadata(next.full()) {
            Ok(metadata) if metadata.is_dir() => folder = next,
            Ok(_) if at + 1 < parts.len() => {
                let message = format!("{} does not exist: {} is a file, not a folder", path.shown(), next.shown());
                return Failure::not_found("not-found", message);
            }
            _ => break,
        }
        at += 1;
    }
    let Some(wanted) = parts.get(at) else {
        // It exists after all: it came into being meanwhile, or cannot be reached in some other way.
        return Failure::not_found("not-found", format!("{} cannot be reached", path.shown()));
    };
    let mut message = format!("{} does not exist", path.shown());
    if at + 1 < parts.len() {
        message.push_str(&format!(": there is no folder {}", folder.join(wanted).shown()));
    }
    let near = nearest(&folder, wanted);
    if near.is_empty() {
        message.push_str(&format!("; list_dir on {} shows what is there, glob finds a name anywhere", folder.shown()));
    } else {
        message.push_str(&format!("; did you mean {}?", near.join(", ")));
    }
    Failure::not_found("not-found", message)
}

/// The names in `folder` most like `wanted`, best first, as paths.
fn nearest(folder: &WorkspacePath, wanted: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder.full()) else { return Vec::new() };
    let wanted = wanted.to_lowercase();
    let mut found: Vec<(usize, String)> = entries
        .take(LOOKED_AT)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some((distance(&wanted, &name.to_lowercase())?, name)))
        .collect();
    found.sort();
    found.into_iter().take(SUGGESTED).map(|(_, name)| text::printable(folder.join(&name).shown())).collect()
}

/// How far apart two names are, or nothing when they have too little in common.
fn distance(wanted: &str, name: &str) -> Option<usize> {
    let edits = strsim::osa_distance(wanted, name);
    let stem = |text: &str| text.rsplit_once('.').map_or(text.len(), |(stem, _)| stem.len());
    let same_stem = stem(wanted) > 0 && wanted.get(..stem(wanted)) == name.get(..stem(name));
    let inside = wanted.len() >= 3 && name.len() >= 3 && (name.contains(wanted) || wanted.contains(name));
    (edits <= wanted.chars().count().div_ceil(3) || same_stem || inside).then_some(edits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_names_beside_the_missing_one_and_says_how_far_the_path_exists() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("src/deep")).unwrap();
        for name in ["main.rs", "lib.rs", "parser.rs", "README.md"] {
            fs::write(folder.path().join("src").join(name), "").unwrap();
        }
        let workspace = Workspace::at(folder.path());
        for (path, expected) in [
            ("src/man.rs", "src/man.rs does not exist; did you mean src/main.rs?"),
            ("src/readme.md", "did you mean src/README.md?"),
            ("src/parser.py", "did you mean src/parser.rs?"),
            ("scr/main.rs", "there is no folder scr; did you mean src?"),
            ("src/main.rs/x", "src/main.rs is a file, not a folder"),
            ("src/deep/quite-other", "list_dir on src/deep shows what is there"),
            ("zzzzzz", "list_dir on . shows"),
        ] {
            let failure = missing(&workspace, &workspace.resolve(path).unwrap());
            assert!(failure.message.contains(expected), "{path}: {}", failure.message);
        }
    }
}
