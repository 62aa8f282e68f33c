//! Changing a list of installed components.
//!
//! Promise: what is not changed stays as it was written, comments included; the file is replaced whole; what
//! could not be read back is not written; from opening a list to dropping it no other process changes it.
//!
//! Not here: deciding what is changed (the CLI).

use crate::components::{WrittenComponent, parse_list};
use crate::file::{CONFIG_FILE_BYTES_MAX, Readers, locked, make_folder_of, replace};
use crate::layer::text_of;
use crate::problem::{ConfigProblems, Fault, Problem};
use crate::source::Source;
use crate::trust::ConfigDigest;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value, value};

/// What a new list begins with.
const HEADER: &str = "\
# Installed components and what each may do. `harness-host component --help` tells the commands that change this
# file; it may be edited by hand too. A grant holds for the calls that start after it is written.
";

/// The array of components in the file.
const ARRAY: &str = "component";

/// Why a list could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// What is there, or would be, is wrong.
    #[error(transparent)]
    Problems(#[from] ConfigProblems),
    /// The file could not be put in place, or another process keeps changing it.
    #[error("could not write {path}", path = .path.display())]
    Write {
        /// The list.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// A list of installed components that is being changed, by this process alone until this is dropped.
#[derive(Debug)]
pub struct ComponentsEdit {
    path: PathBuf,
    source: Source,
    readers: Readers,
    document: DocumentMut,
    before: Option<ConfigDigest>,
    /// The list's folder, locked: the list itself is replaced. Nothing is left behind, least of all in a project.
    _lock: File,
}

impl ComponentsEdit {
    /// Opens the user's list; one that is not there is empty.
    ///
    /// # Errors
    /// When it is there and cannot be read or understood.
    pub fn of_user(path: PathBuf) -> Result<Self, EditError> {
        let source = Source::User(path.clone());
        Self::open(path, source, Readers::Owner)
    }

    /// Opens a project's list; one that is not there is empty.
    ///
    /// # Errors
    /// When it is there and cannot be read or understood.
    pub fn of_project(path: PathBuf) -> Result<Self, EditError> {
        let source = Source::Project(path.clone());
        Self::open(path, source, Readers::Umask)
    }

    fn open(path: PathBuf, source: Source, readers: Readers) -> Result<Self, EditError> {
        let folder = make_folder_of(&path, readers).and_then(File::open).and_then(locked);
        let lock = folder.map_err(|source| EditError::Write { path: path.clone(), source })?;
        let mut problems = Vec::new();
        let read = text_of(&path, &source, &mut problems);
        let text = read.as_ref().map_or("", |(text, _)| text.as_str());
        if problems.is_empty() {
            parse_list(text, &source, &mut problems);
        }
        let document = text.parse::<DocumentMut>();
        match document {
            Ok(document) if problems.is_empty() => {
                let before = read.map(|(_, digest)| digest);
                Ok(Self { path, source, readers, document, before, _lock: lock })
            }
            Err(error) if problems.is_empty() => {
                let fault = Fault::Syntax { message: error.message().to_owned() };
                let problem = Problem { origin: source, line: None, key: String::new(), fault };
                Err(ConfigProblems { problems: vec![problem] }.into())
            }
            _ => Err(ConfigProblems { problems }.into()),
        }
    }

    /// The digest of the file as it was opened; none where there was none.
    pub fn before(&self) -> Option<&ConfigDigest> {
        self.before.as_ref()
    }

    /// What the list says of a component.
    pub fn get(&self, name: &str) -> Option<WrittenComponent> {
        let components = parse_list(&self.document.to_string(), &self.source, &mut Vec::new())?;
        components.into_iter().map(|component| component.written).find(|component| component.name == name)
    }

    /// Whether a component of the list has this digest.
    pub fn has_digest(&self, digest: &str) -> bool {
        let components = parse_list(&self.document.to_string(), &self.source, &mut Vec::new()).unwrap_or_default();
        components.iter().any(|component| component.written.digest.as_deref() == Some(digest))
    }

    /// Adds a component, or changes what the list says of it.
    pub fn put(&mut self, component: &WrittenComponent) {
        let is_new = self.before.is_none();
        let Some(tables) = self.tables() else { return };
        let at = position(tables, &component.name);
        if at.is_none() {
            let mut table = Table::new();
            if is_new && tables.is_empty() {
                table.decor_mut().set_prefix(format!("{HEADER}\n"));
            }
            tables.push(table);
        }
        let at = at.unwrap_or(tables.len().saturating_sub(1));
        if let Some(table) = tables.get_mut(at) {
            fill(table, component);
        }
    }

    /// Takes a component out. Says whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(tables) = self.tables() else { return false };
        let at = position(tables, name);
        if let Some(at) = at {
            tables.remove(at);
        }
        at.is_some()
    }

    /// An inline array of tables becomes the usual form, so that there is one to change. Always there: what is
    /// something else was refused when the list was opened.
    fn tables(&mut self) -> Option<&mut ArrayOfTables> {
        let item = self.document.entry(ARRAY).or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
        if !item.is_array_of_tables() {
            let inline = std::mem::take(item).into_array_of_tables().unwrap_or_default();
            *item = Item::ArrayOfTables(inline);
        }
        item.as_array_of_tables_mut()
    }

    /// Puts the list in place, once. Gives the digest of what is there now.
    ///
    /// # Errors
    /// When it could not be read back, or not be written.
    pub fn write(&mut self) -> Result<ConfigDigest, EditError> {
        let text = self.document.to_string();
        let mut problems = Vec::new();
        parse_list(&text, &self.source, &mut problems);
        if text.len() > CONFIG_FILE_BYTES_MAX {
            let fault = Fault::TooLarge { bytes_max: CONFIG_FILE_BYTES_MAX };
            problems.push(Problem { origin: self.source.clone(), line: None, key: String::new(), fault });
        }
        if !problems.is_empty() {
            return Err(ConfigProblems { problems }.into());
        }
        replace(&self.path, text.as_bytes(), self.readers)
            .map_err(|source| EditError::Write { path: self.path.clone(), source })?;
        Ok(ConfigDigest::of(text.as_bytes()))
    }
}

fn position(tables: &ArrayOfTables, name: &str) -> Option<usize> {
    tables.iter().position(|table| table.get("name").and_then(Item::as_str) == Some(name))
}

fn fill(table: &mut Table, component: &WrittenComponent) {
    let WrittenComponent { name, digest, source, bytes, pinned, category, grants, described, limits } = component;
    set(table, "name", Some(name.as_str().into()));
    set(table, "digest", digest.as_deref().map(Value::from));
    set(table, "source", source.as_deref().map(Value::from));
    set(table, "bytes", bytes.and_then(|bytes| i64::try_from(bytes).ok()).map(Value::from));
    set(table, "pinned", pinned.then(|| Value::from(true)));
    set(table, "category", category.map(|category| Value::from(category.word())));
    set_grants(table, grants);
    set(table, "described", described.as_deref().map(Value::from));
    let mut inline = InlineTable::new();
    for (key, limit) in limits {
        inline.insert(*key, Value::from(i64::try_from(*limit).unwrap_or(i64::MAX)));
    }
    // Limits are only written by hand: what is there is kept as it is written.
    if table.get("limits").is_none() {
        set(table, "limits", (!inline.is_empty()).then_some(Value::InlineTable(inline)));
    }
}

/// A value that is what it was stays as it was written.
fn set(table: &mut Table, key: &str, new: Option<Value>) {
    let same = |old: &Item, new: &Value| {
        let plain = |value: &Value| value.clone().decorated("", "").to_string();
        old.as_value().is_some_and(|old| plain(old) == plain(new))
    };
    match new {
        None => {
            table.remove(key);
        }
        Some(new) if table.get(key).is_some_and(|old| same(old, &new)) => {}
        Some(new) => match table.get_mut(key) {
            Some(old) => *old = value(new),
            None => {
                table.insert(key, value(new));
            }
        },
    }
}

/// One grant a line; those that stay keep their comments.
fn set_grants(table: &mut Table, grants: &[String]) {
    let Some(old) = table.get_mut("grants").and_then(Item::as_array_mut) else {
        if !grants.is_empty() {
            let mut array = Array::new();
            grants.iter().for_each(|grant| push_line(&mut array, grant));
            table.insert("grants", value(array));
        }
        return;
    };
    old.retain(|kept| kept.as_str().is_some_and(|kept| grants.iter().any(|grant| grant == kept)));
    for grant in grants {
        if !old.iter().any(|kept| kept.as_str() == Some(grant)) {
            push_line(old, grant);
        }
    }
}

fn push_line(array: &mut Array, grant: &str) {
    array.push_formatted(Value::from(grant).decorated("\n    ", ""));
    array.set_trailing_comma(true);
    array.set_trailing("\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(name: &str, grants: &[&str]) -> WrittenComponent {
        WrittenComponent {
            name: name.to_owned(),
            digest: Some(format!("sha256:{}", "ab".repeat(32))),
            bytes: Some(1_000),
            grants: grants.iter().map(|grant| (*grant).to_owned()).collect(),
            ..WrittenComponent::default()
        }
    }

    #[test]
    fn what_is_not_changed_stays_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("components.toml");
        let mut edit = ComponentsEdit::of_user(path.clone()).unwrap();
        edit.put(&component("notes", &["kv write session", "question"]));
        edit.write().unwrap();
        drop(edit);
        let written = std::fs::read_to_string(&path).unwrap();
        let expected = format!(
            "{HEADER}\n[[component]]\nname = \"notes\"\ndigest = \"sha256:{}\"\nbytes = 1000\ngrants = [\n    \
             \"kv write session\",\n    \"question\",\n]\n",
            "ab".repeat(32)
        );
        assert_eq!(written, expected);

        let by_hand = written.replace("\"question\",", "\"question\", # it asks a lot")
            + "limits = { fuel = 1_000 } # little\n\n# Mine.\n[[component]]\nname = 'fetch'\ngrants = ['http GET https://docs.rs']\n";
        std::fs::write(&path, &by_hand).unwrap();
        let mut edit = ComponentsEdit::of_user(path.clone()).unwrap();
        let mut notes = edit.get("notes").unwrap();
        assert_eq!(notes.limits, [("fuel", 1_000)]);
        notes.pinned = true;
        notes.grants.remove(0);
        edit.put(&notes);
        edit.write().unwrap();
        drop(edit);
        let written = std::fs::read_to_string(&path).unwrap();
        for kept in
            ["# it asks a lot", "limits = { fuel = 1_000 } # little", "# Mine.", "name = 'fetch'", "pinned = true"]
        {
            assert!(written.contains(kept), "{kept} is gone:\n{written}");
        }
        assert!(!written.contains("kv write"), "{written}");

        let mut edit = ComponentsEdit::of_user(path.clone()).unwrap();
        assert!(edit.remove("notes") && !edit.remove("notes"));
        edit.write().unwrap();
        drop(edit);
        assert_eq!(ComponentsEdit::of_user(path).unwrap().get("fetch").unwrap().grants, ["http GET https://docs.rs"]);
    }

    #[test]
    fn what_could_not_be_read_back_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("components.toml");
        let mut edit = ComponentsEdit::of_project(path.clone()).unwrap();
        edit.put(&component("Not A Name", &[]));
        assert!(matches!(edit.write(), Err(EditError::Problems(_))));
        drop(edit);
        assert!(!path.exists());
        std::fs::write(&path, "[[component]]\n").unwrap();
        let error = ComponentsEdit::of_project(path.clone()).unwrap_err().to_string();
        assert_eq!(error, format!("{}:1: component[1]: `name` is missing", path.display()));
    }
}
