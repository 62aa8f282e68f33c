//! What the authors of a component wrote about its functions in WIT: the custom section `package-docs`.
//!
//! Promise: read as data, capped and cleaned; a section that cannot be read is as good as none, for it is
//! documentation.
//!
//! Not here: what the manifest says, which goes before.

use crate::clean::clean;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The section that holds what was written in WIT files (wit-parser, `PackageMetadata`): a byte for the version
/// of the format, 0 or 1, then JSON.
pub(crate) const DOCS_SECTION: &str = "package-docs";
/// All of it, in bytes.
const DOCS_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Package {
    worlds: BTreeMap<String, World>,
    interfaces: BTreeMap<String, Interface>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct World {
    interfaces: BTreeMap<String, Interface>,
    interface_exports: BTreeMap<String, Interface>,
    funcs: BTreeMap<String, Function>,
    func_exports: BTreeMap<String, Function>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Interface {
    funcs: BTreeMap<String, Function>,
}

/// Both forms of the format: the words alone, or a record with them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Function {
    Words(String),
    Record {
        #[serde(default)]
        docs: Option<String>,
    },
}

/// What was written about functions.
#[derive(Debug, Default)]
pub(crate) struct Docs(Vec<Package>);

impl Docs {
    /// Reads the sections of that name.
    pub(crate) fn read<'a>(sections: impl Iterator<Item = &'a [u8]>) -> Self {
        let package = |section: &'a [u8]| match section.split_first() {
            Some((0 | 1, json)) if json.len() <= DOCS_BYTES_MAX => serde_json::from_slice(json).ok(),
            _ => None,
        };
        Self(sections.filter_map(package).collect())
    }

    /// The words about a function.
    pub(crate) fn of(&self, interface: Option<&str>, function: &str) -> Option<String> {
        let words = self.0.iter().find_map(|package| package.find(interface, function))?;
        let words = clean(words.to_owned()).trim().to_owned();
        (!words.is_empty()).then_some(words)
    }
}

impl Package {
    fn find(&self, interface: Option<&str>, function: &str) -> Option<&str> {
        match interface {
            None => self
                .worlds
                .values()
                .find_map(|world| said(&world.func_exports, function).or_else(|| said(&world.funcs, function))),
            Some(interface) => {
                let path = interface.split('@').next().unwrap_or(interface);
                let name = path.rsplit('/').next().unwrap_or(path);
                let inline = self.worlds.values().find_map(|world| {
                    let interface = world.interface_exports.get(name).or_else(|| world.interfaces.get(name));
                    said(&interface?.funcs, function)
                });
                inline.or_else(|| said(&self.interfaces.get(name)?.funcs, function))
            }
        }
    }
}

fn said<'a>(functions: &'a BTreeMap<String, Function>, name: &str) -> Option<&'a str> {
    match functions.get(name)? {
        Function::Words(words) | Function::Record { docs: Some(words) } => Some(words),
        Function::Record { docs: None } => None,
    }
}
