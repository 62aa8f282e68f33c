//! `component new`: a small project that builds with its language's ordinary tools.
//!
//! Promise: nothing that exists is overwritten; what is written is what the templates of this program hold, with
//! the name put in.

use super::check_name;
use crate::args::component::Language;
use crate::commands::print_text;
use crate::exit::Exit;
use crate::failure::Failure;
use include_dir::{Dir, include_dir};
use std::path::{Path, PathBuf};

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");
/// The contracts between host and components, as this program speaks them.
static CONTRACTS: [Dir<'_>; 2] =
    [include_dir!("$CARGO_MANIFEST_DIR/../../wit/tool"), include_dir!("$CARGO_MANIFEST_DIR/../../wit/host")];
/// The folders that they are kept in.
const CONTRACT_FOLDERS: [&str; 2] = ["tool", "host"];

/// Runs the command.
pub(super) fn run(name: &str, language: Language, folder: Option<&Path>) -> Result<Exit, Failure> {
    check_name(name)?;
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.ends_with('-') || name.contains("--") {
        return Err(Failure::usage(format!(
            "`{name}` cannot be a package's name: begin with a letter, and keep dashes apart and inside"
        )));
    }
    let folder = folder.unwrap_or(Path::new(name));
    check_empty(folder)?;
    let key = folder_of(language);
    let Some(template) = TEMPLATES.get_dir(key) else {
        return Err(Failure::failed(format!("this program has no template for {key}")));
    };
    let mut written = Vec::new();
    write_all(template, Path::new(key), folder, name, &mut written)?;
    if template.get_dir(format!("{key}/wit")).is_none() {
        for (contracts, inner) in CONTRACTS.iter().zip(CONTRACT_FOLDERS) {
            write_all(contracts, Path::new(""), &folder.join("wit").join(inner), name, &mut written)?;
        }
    }
    let shown = folder.display();
    print_text(&format!("made {shown} with {} files; {shown}/README.md tells how to build and try it", written.len()))
}

fn folder_of(language: Language) -> &'static str {
    match language {
        Language::Rust => "rust",
        Language::Python => "python",
        Language::Js => "js",
        Language::C => "c",
    }
}

/// Refuses a folder with anything in it.
fn check_empty(folder: &Path) -> Result<(), Failure> {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => {
                Err(Failure::usage(format!("{} is not empty: choose another folder with --dir", folder.display())))
            }
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::usage(format!("{} cannot be used: {error}", folder.display()))),
    }
}

fn write_all(
    template: &Dir<'_>,
    root: &Path,
    folder: &Path,
    name: &str,
    written: &mut Vec<PathBuf>,
) -> Result<(), Failure> {
    for file in template.files() {
        let path = folder.join(target(file.path().strip_prefix(root).unwrap_or(file.path())));
        let failed = |error: std::io::Error| Failure::failed(format!("{} cannot be written: {error}", path.display()));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        let filled = file.contents_utf8().map(|text| filled(text, name));
        let contents = filled.as_ref().map_or(file.contents(), String::as_bytes);
        let created = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
        created.and_then(|mut file| std::io::Write::write_all(&mut file, contents)).map_err(failed)?;
        written.push(path);
    }
    template.dirs().try_for_each(|inner| write_all(inner, root, folder, name, written))
}

/// Files whose names would mean something to this repository's own tools have others in the templates.
fn target(path: &Path) -> PathBuf {
    let renamed = match path.file_name().and_then(|name| name.to_str()) {
        Some("gitignore") => ".gitignore",
        _ => return path.to_owned(),
    };
    path.with_file_name(renamed)
}

/// A text with the name in its places: as it is, and as an identifier.
fn filled(text: &str, name: &str) -> String {
    text.replace("{{name}}", name).replace("{{snake}}", &name.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_a_template_that_is_filled_whole() {
        for language in [Language::Rust, Language::Python, Language::Js, Language::C] {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join("word-count");
            run("word-count", language, Some(&folder)).unwrap();
            assert!(folder.join("README.md").is_file() && folder.join(".gitignore").is_file(), "{language:?}");
            assert!(folder.join("wit").is_dir(), "{language:?}");
            let mut names_it = false;
            for file in files(&folder) {
                let Ok(text) = String::from_utf8(std::fs::read(&file).unwrap()) else { continue };
                assert!(!text.contains("{{"), "{}", file.display());
                names_it |= text.contains("word_count");
            }
            assert!(names_it, "{language:?}: no file names the tool");
            assert_eq!(run("word-count", language, Some(&folder)).unwrap_err().exit, Exit::Usage, "it is not empty");
        }
        for name in ["", "Name", "-x", "9x", "a--b", "x-", "../x", "a b"] {
            assert_eq!(run(name, Language::Rust, None).unwrap_err().exit, Exit::Usage, "{name}");
        }
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
        }
        found
    }
}
